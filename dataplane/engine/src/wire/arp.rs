//! ARP for one IPv4 address (RFC 826): answer for it, announce it, and probe whether it is taken.

use core::net::Ipv4Addr;

use crate::Nic;
use crate::nic::TxOffload;
use crate::wire::ethernet::{self, ReplyHeader};

/// Bytes of an ARP packet for Ethernet and IPv4.
const LEN: usize = 28;

/// An ARP packet for Ethernet and IPv4, in the order it lies on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) operation: u16,
    pub(crate) sender_mac: [u8; 6],
    pub(crate) sender: Ipv4Addr,
    pub(crate) target_mac: [u8; 6],
    pub(crate) target: Ipv4Addr,
}

pub(crate) const REQUEST: u16 = 1;
pub(crate) const REPLY: u16 = 2;
/// Hardware type Ethernet, protocol type IPv4, address lengths 6 and 4.
const PREAMBLE: [u8; 6] = [0, 1, 8, 0, 6, 4];

impl Packet {
    /// Reads a packet; `None` if it is short or not for Ethernet and IPv4.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let packet = bytes.first_chunk::<LEN>()?;
        if packet[..6] != PREAMBLE {
            return None;
        }
        let mac = |at: usize| packet[at..].first_chunk::<6>().copied();
        let address = |at: usize| packet[at..].first_chunk::<4>().copied().map(Ipv4Addr::from);
        Some(Self {
            operation: u16::from_be_bytes([packet[6], packet[7]]),
            sender_mac: mac(8)?,
            sender: address(14)?,
            target_mac: mac(18)?,
            target: address(24)?,
        })
    }

    /// Lays the packet out in the first [`LEN`] bytes of `out`.
    pub(crate) fn emit(&self, out: &mut [u8]) {
        out[..6].copy_from_slice(&PREAMBLE);
        out[6..8].copy_from_slice(&self.operation.to_be_bytes());
        out[8..14].copy_from_slice(&self.sender_mac);
        out[14..18].copy_from_slice(&self.sender.octets());
        out[18..24].copy_from_slice(&self.target_mac);
        out[24..28].copy_from_slice(&self.target.octets());
    }

    /// An announcement that `mac` has `address` (RFC 5227, 2.3).
    pub(crate) fn announcement(mac: [u8; 6], address: Ipv4Addr) -> Self {
        Self {
            operation: REQUEST,
            sender_mac: mac,
            sender: address,
            target_mac: [0; 6],
            target: address,
        }
    }
}

/// Queues `packet` as a frame behind `header`: its length. `None`: there is no transmit buffer.
pub(crate) fn submit<N: Nic>(nic: &mut N, header: &ReplyHeader, packet: &Packet) -> Option<usize> {
    let mut tx_buffer = nic.tx_buffer()?;
    let l2_len = usize::from(header.len());
    let buffer = tx_buffer.as_mut();
    buffer[..l2_len].copy_from_slice(header.bytes());
    packet.emit(&mut buffer[l2_len..]);
    nic.submit(tx_buffer, l2_len + LEN, TxOffload::None);
    Some(l2_len + LEN)
}

/// Probes whether an address is in use, before taking it (RFC 5227, 2.1).
#[derive(Clone, Copy, Debug)]
pub struct AddressProbe {
    mac: [u8; 6],
    address: Ipv4Addr,
    vlan: Option<u16>,
}

impl AddressProbe {
    /// A probe for `address`, sent from `mac` in the VLAN with this identifier, or untagged.
    pub fn new(mac: [u8; 6], address: Ipv4Addr, vlan: Option<u16>) -> Self {
        Self { mac, address, vlan }
    }

    /// Sends one probe. `false`: the NIC has no transmit buffer now.
    pub fn send<N: Nic>(&self, nic: &mut N) -> bool {
        let tag = self.vlan.map(u16::to_be_bytes);
        let header = ReplyHeader::new(ethernet::BROADCAST, self.mac, tag, ethernet::ARP);
        // RFC 5227, 2.1.1: the sender address is zero, so that no cache is polluted.
        let probe = Packet {
            sender: Ipv4Addr::UNSPECIFIED,
            ..Packet::announcement(self.mac, self.address)
        };
        let queued = submit(nic, &header, &probe);
        nic.flush();
        queued.is_some()
    }

    /// Looks at a received frame: the MAC of another station that has, or wants, our address.
    pub fn on_frame(&self, frame: &[u8]) -> Option<[u8; 6]> {
        let header = ethernet::EthernetHeader::parse(frame)?;
        if header.ethertype != ethernet::ARP || header.vlan() != self.vlan {
            return None;
        }
        let packet = Packet::parse(&frame[header.len()..])?;
        // RFC 5227, 2.1.1: another station has it, or probes for it at the same time.
        let rival_probe = packet.operation == REQUEST
            && packet.sender == Ipv4Addr::UNSPECIFIED
            && packet.target == self.address;
        let taken = packet.sender == self.address || rival_probe;
        (taken && packet.sender_mac != self.mac).then_some(packet.sender_mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: [u8; 6] = [2, 0, 0, 0, 0, 9];
    const THEIRS: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

    fn frame(packet: &Packet) -> Vec<u8> {
        let header = ReplyHeader::new(ethernet::BROADCAST, packet.sender_mac, None, ethernet::ARP);
        let mut frame = header.bytes().to_vec();
        frame.resize(14 + LEN, 0);
        packet.emit(&mut frame[14..]);
        frame
    }

    #[test]
    fn a_packet_survives_the_round_trip_and_every_truncation_is_refused() {
        let packet = Packet::announcement(THEIRS, ADDRESS);
        let bytes = frame(&packet);
        assert_eq!(Packet::parse(&bytes[14..]), Some(packet));
        for len in 0..LEN {
            assert_eq!(Packet::parse(&bytes[14..14 + len]), None, "{len}");
        }
    }

    #[test]
    fn a_probe_sees_the_holder_and_a_rival_but_not_itself_nor_a_stranger() {
        let probe = AddressProbe::new(OURS, ADDRESS, None);
        let holder = Packet { operation: REPLY, ..Packet::announcement(THEIRS, ADDRESS) };
        assert_eq!(probe.on_frame(&frame(&holder)), Some(THEIRS));
        let rival =
            Packet { sender: Ipv4Addr::UNSPECIFIED, ..Packet::announcement(THEIRS, ADDRESS) };
        assert_eq!(probe.on_frame(&frame(&rival)), Some(THEIRS));
        let echo = Packet { sender_mac: OURS, ..rival };
        assert_eq!(probe.on_frame(&frame(&echo)), None);
        let stranger = Packet::announcement(THEIRS, Ipv4Addr::new(198, 18, 0, 1));
        assert_eq!(probe.on_frame(&frame(&stranger)), None);
    }
}
