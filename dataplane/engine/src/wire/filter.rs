//! What stands in front of smoltcp: every frame is judged here before anything is looked up for it.
//!
//! Owns no state but who we are. Judges lengths, checksums, addresses and flags; what it lets through
//! parses in smoltcp, so smoltcp never drops a frame without our counting it.

use core::net::Ipv4Addr;
use core::ops::Range;

use crate::CorePlan;
use crate::nic::{Frame, RxChecksums};
use crate::wire::arp;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::drop_reason::Loss;
use crate::wire::ethernet::{self, LinkHeader};
use crate::wire::segment::{self, ACK, FIN, IP_LEN, RST, SYN, Segment};

/// Who we are on the wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    mac: [u8; 6],
    address: Ipv4Addr,
    /// What ARP and, besides `address`, ping are answered for.
    link_address: Ipv4Addr,
}

/// A frame worth an answer.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A TCP segment for our address; `packet` is where its IPv4 packet lies in the frame.
    Tcp { segment: Segment, packet: Range<usize> },
    /// Somebody asks for our link address.
    ArpRequest(arp::Packet),
    /// An ICMP echo request; `packet` is where its IPv4 packet lies in the frame.
    EchoRequest { packet: Range<usize> },
}

impl Guard {
    /// A guard for the MAC, the address and the link address of `plan`.
    pub(crate) fn new(plan: &CorePlan) -> Self {
        Self { mac: plan.mac, address: plan.address, link_address: plan.link_address }
    }

    /// Judges a frame: what it is, and the link header its answer would have.
    pub(crate) fn judge<F: Frame>(&self, frame: &F) -> Result<(LinkHeader, Arrival), Loss> {
        let bytes = frame.as_ref();
        let header = LinkHeader::parse(bytes).ok_or(Loss::Runt)?;
        let to_all = header.destination == ethernet::BROADCAST;
        if header.destination != self.mac && !to_all || ethernet::is_group(header.source) {
            return Err(Loss::NotForUsL2);
        }
        let arrival = match header.ethertype {
            // RFC 1122, 3.3.6: a unicast IP packet in a link broadcast is not answered.
            ethernet::IPV4 if to_all => return Err(Loss::NotForUsL2),
            ethernet::IPV4 => self.judge_ip(bytes, header.len(), frame.checksums())?,
            ethernet::ARP => self.judge_arp(&bytes[header.len()..])?,
            _ => return Err(Loss::Ethertype),
        };
        Ok((header, arrival))
    }

    fn judge_arp(&self, bytes: &[u8]) -> Result<Arrival, Loss> {
        let packet = arp::Packet::parse(bytes).ok_or(Loss::Arp)?;
        let asks = packet.operation == arp::REQUEST && packet.target == self.link_address;
        if asks && !ethernet::is_group(packet.sender_mac) {
            Ok(Arrival::ArpRequest(packet))
        } else {
            Err(Loss::Arp)
        }
    }

    fn judge_ip(&self, bytes: &[u8], at: usize, checksums: RxChecksums) -> Result<Arrival, Loss> {
        let rest = &bytes[at..];
        let header = rest.first_chunk::<IP_LEN>().ok_or(Loss::Runt)?;
        // RFC 791, 3.1. Options are refused as a whole: source routes, and nothing else is in use.
        match header[0] {
            0x45 => {}
            0x46..=0x4f => return Err(Loss::IpOptions),
            _ => return Err(Loss::IpHeader),
        }
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if total_len < IP_LEN {
            return Err(Loss::IpHeader);
        }
        // Ethernet pads short frames: what counts is the length that IP says.
        let packet = rest.get(..total_len).ok_or(Loss::Runt)?;
        let unseen = matches!(checksums, RxChecksums::Unknown | RxChecksums::TcpGood);
        if checksums == RxChecksums::Bad || unseen && !Sum::default().bytes(header).is_intact() {
            return Err(Loss::Checksum);
        }
        if header[6] & 0x3f != 0 || header[7] != 0 {
            return Err(Loss::Fragment);
        }
        let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
        let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        let is_link_ping = destination == self.link_address && header[9] == PROTOCOL_ICMP;
        if destination != self.address && !is_link_ping {
            return Err(Loss::Destination);
        }
        if !is_peer(source) || [self.address, self.link_address].contains(&source) {
            return Err(Loss::Source);
        }
        let range = at..at + total_len;
        match header[9] {
            PROTOCOL_TCP => {
                judge_tcp(packet, checksums).map(|segment| Arrival::Tcp { segment, packet: range })
            }
            PROTOCOL_ICMP => judge_icmp(packet).map(|()| Arrival::EchoRequest { packet: range }),
            _ => Err(Loss::Protocol),
        }
    }
}

fn judge_tcp(packet: &[u8], checksums: RxChecksums) -> Result<Segment, Loss> {
    let segment = segment::parse(packet).ok_or(Loss::TcpHeader)?;
    if checksums == RxChecksums::Unknown {
        let tcp = &packet[IP_LEN..];
        let len = u16::try_from(tcp.len()).map_err(|_| Loss::TcpHeader)?;
        if !pseudo_header(&packet[12..20], len).bytes(tcp).is_intact() {
            return Err(Loss::Checksum);
        }
    }
    if segment.tuple.ports & 0xffff == 0 || segment.tuple.ports >> 16 == 0 {
        return Err(Loss::TcpHeader);
    }
    if !segment::options_are_whole(segment::options(packet)) {
        return Err(Loss::TcpHeader);
    }
    // Of SYN, FIN and RST at most one; without any of them and without ACK it says nothing.
    match segment.flags & (SYN | FIN | RST) {
        0 | FIN if !segment.has(ACK) => Err(Loss::TcpFlags),
        0 | SYN | FIN | RST => Ok(segment),
        _ => Err(Loss::TcpFlags),
    }
}

fn judge_icmp(packet: &[u8]) -> Result<(), Loss> {
    let icmp = &packet[IP_LEN..];
    match icmp.first_chunk::<ICMP_ECHO_LEN>() {
        Some([ECHO_REQUEST, 0, ..]) if Sum::default().bytes(icmp).is_intact() => Ok(()),
        Some([ECHO_REQUEST, 0, ..]) => Err(Loss::Checksum),
        _ => Err(Loss::Icmp),
    }
}

/// Whether an address can belong to a single other host (RFC 1122, 3.2.1.3).
fn is_peer(source: Ipv4Addr) -> bool {
    let [first, ..] = source.octets();
    first != 0 && first != 127 && first < 224
}

const PROTOCOL_ICMP: u8 = 1;
const PROTOCOL_TCP: u8 = 6;
/// ICMP echo (RFC 792): type, code, checksum, identifier, sequence number.
const ICMP_ECHO_LEN: usize = 8;
const ECHO_REQUEST: u8 = 8;
