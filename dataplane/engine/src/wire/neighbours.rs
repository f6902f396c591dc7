//! What ARP says of the hosts on the link: which MAC address has an IPv4 address now, and which one had it before.
//!
//! Nothing is sent by it as long as the peer speaks: frames go back to where its last one came from. It is asked
//! when the peer has fallen silent, for it may have moved (a failover, announced by a gratuitous ARP). So whoever forges
//! ARP gets nothing of a connection whose peer answers.

use core::net::Ipv4Addr;

use crate::wire::arp;
use crate::wire::ethernet::{self, ReplyHeader};

/// What one core has heard. A host that hashes to the place of another takes it.
#[derive(Debug)]
pub(crate) struct Neighbours {
    places: Vec<Neighbour>,
    /// The last addresses that changed their MAC; `next` is the oldest.
    moves: [Move; MOVES],
    next: usize,
}

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    address: Ipv4Addr,
    mac: [u8; 6],
}

/// What was at `from` is at `to`: a host, or a router and all that is behind it.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: [u8; 6],
    to: [u8; 6],
}

impl Neighbours {
    /// Nobody is known.
    pub(crate) fn new() -> Self {
        let nobody = Neighbour { address: Ipv4Addr::UNSPECIFIED, mac: [0; 6] };
        let none = Move { from: [0; 6], to: [0; 6] };
        Self { places: vec![nobody; PLACES], moves: [none; MOVES], next: 0 }
    }

    /// Takes note of an ARP packet; `is_for_us`: it asks for our address. As RFC 826 has it, who asks
    /// for us is learned, and of others only what is known already is changed; or what is announced
    /// (RFC 5227, 3: sender and target are one).
    #[cold]
    pub(crate) fn hear(&mut self, packet: &arp::Packet, is_for_us: bool) {
        let arp::Packet { sender: address, sender_mac: mac, target, .. } = *packet;
        if address.is_unspecified() || ethernet::is_group(mac) || mac == [0; 6] {
            return;
        }
        let place = &mut self.places[place(address)];
        if place.address == address {
            let from = core::mem::replace(&mut place.mac, mac);
            if from != mac {
                self.note(Move { from, to: mac });
            }
        } else if is_for_us || address == target {
            *place = Neighbour { address, mac };
        }
    }

    /// Where `peer` is, if ARP says that it is elsewhere than `header` goes: by its own address, or by that of a router
    /// that moved.
    #[cold]
    pub(crate) fn moved(&self, peer: Ipv4Addr, header: &ReplyHeader) -> Option<[u8; 6]> {
        let mac = header.destination();
        let place = &self.places[place(peer)];
        if place.address == peer {
            return (place.mac != mac).then_some(place.mac);
        }
        let left = |is: &&Move| is.from == mac && is.to != mac;
        self.moves.iter().find(left).map(|is| is.to)
    }

    fn note(&mut self, new: Move) {
        // What is come to is left no more; and of one place there is one last move.
        for old in &mut self.moves {
            if old.from == new.to || old.from == new.from {
                *old = Move { to: old.from, ..*old };
            }
        }
        self.moves[self.next] = new;
        self.next = (self.next + 1) % MOVES;
    }
}

fn place(address: Ipv4Addr) -> usize {
    // Knuth's multiplicative hash: neighbouring addresses do not meet.
    let hash = address.to_bits().wrapping_mul(0x9e37_79b1) >> (u32::BITS - PLACES_BITS);
    usize::try_from(hash).unwrap_or(0)
}

const PLACES_BITS: u32 = 10;
/// Hosts of a link that are remembered, at most.
const PLACES: usize = 1 << PLACES_BITS;
/// Moves that are remembered.
const MOVES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];
    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
    const BEHIND: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);

    fn to(mac: [u8; 6]) -> ReplyHeader {
        ReplyHeader::new(mac, OURS, None, ethernet::IPV4)
    }

    fn announced(neighbours: &mut Neighbours, mac: [u8; 6]) {
        neighbours.hear(&arp::Packet::announcement(mac, HOST), false);
    }

    #[test]
    fn who_was_announced_elsewhere_is_there_and_so_is_what_is_behind_it() {
        let mut neighbours = Neighbours::new();
        assert_eq!(neighbours.moved(HOST, &to(A)), None);
        announced(&mut neighbours, A);
        assert_eq!(
            (neighbours.moved(HOST, &to(A)), neighbours.moved(BEHIND, &to(A))),
            (None, None)
        );
        for _ in 0..2 {
            announced(&mut neighbours, B);
            assert_eq!(neighbours.moved(HOST, &to(A)), Some(B));
            assert_eq!(neighbours.moved(BEHIND, &to(A)), Some(B));
            assert_eq!(neighbours.moved(BEHIND, &to(B)), None);
            announced(&mut neighbours, A);
            assert_eq!(neighbours.moved(HOST, &to(B)), Some(A));
            assert_eq!(neighbours.moved(BEHIND, &to(B)), Some(A));
            assert_eq!(neighbours.moved(BEHIND, &to(A)), None);
        }
    }

    #[test]
    fn a_question_for_another_changes_what_is_known_and_adds_nothing() {
        let mut neighbours = Neighbours::new();
        let asks = |mac| arp::Packet { target: BEHIND, ..arp::Packet::announcement(mac, HOST) };
        neighbours.hear(&asks(A), false);
        assert_eq!(neighbours.moved(HOST, &to(B)), None);
        neighbours.hear(&asks(A), true);
        assert_eq!(neighbours.moved(HOST, &to(B)), Some(A));
        neighbours.hear(&asks(B), false);
        assert_eq!(neighbours.moved(HOST, &to(A)), Some(B));
    }
}
