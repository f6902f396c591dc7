//! Classifies every received frame before anything is looked up for it, or names the reason to drop it.
//!
//! Owns no state but our addresses. Checks lengths, checksums, addresses and flags; what it lets through
//! parses in smoltcp, so smoltcp never drops a frame without our counting it.

use core::net::Ipv4Addr;
use core::ops::Range;

use crate::CorePlan;
use crate::nic::{Frame, RxChecksums};
use crate::wire::arp;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::{self, EthernetHeader};
use crate::wire::segment::{self, ACK, FIN, IP_LEN, RST, SYN, Segment};

/// Checks received frames against our addresses and their own headers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Filter {
    mac: [u8; 6],
    address: Ipv4Addr,
    /// What ARP and, besides `address`, ping are answered for.
    link_address: Ipv4Addr,
    /// The TCP port that is served.
    port: u16,
    vlan: Option<u16>,
    unfilled_checksums: bool,
    /// Largest IP packet that fits a buffer for sure, bytes.
    ip_mtu: usize,
}

/// A frame that is not dropped.
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A TCP segment for our address; `packet` is where its IPv4 packet lies in the frame.
    Tcp { segment: Segment, packet: Range<usize> },
    /// An ARP request for our link address.
    ArpRequest(arp::Packet),
    /// An ICMP echo request; `packet` is where its IPv4 packet lies in the frame.
    EchoRequest { packet: Range<usize> },
}

impl Filter {
    /// A filter for the MAC, the VLAN, the addresses and the port of `plan`, on a link of this MTU.
    pub(crate) fn new(plan: &CorePlan, ip_mtu: usize) -> Self {
        let CorePlan { mac, address, link_address, port, vlan, unfilled_checksums, .. } = *plan;
        Self { mac, address, link_address, port, vlan, unfilled_checksums, ip_mtu }
    }

    /// What a frame is, and its Ethernet header.
    pub(crate) fn classify<F: Frame>(
        &self,
        frame: &F,
    ) -> Result<(EthernetHeader, Arrival), DropReason> {
        let bytes = frame.as_ref();
        let header = EthernetHeader::parse(bytes).ok_or(DropReason::Runt)?;
        let to_all = header.destination == ethernet::BROADCAST;
        if header.destination != self.mac && !to_all || ethernet::is_group(header.source) {
            return Err(DropReason::NotForUsL2);
        }
        if header.vlan() != self.vlan {
            return Err(DropReason::Vlan);
        }
        let arrival = match header.ethertype {
            // RFC 1122, 3.3.6: a unicast IP packet in a link broadcast is not answered.
            ethernet::IPV4 if to_all => return Err(DropReason::NotForUsL2),
            ethernet::IPV4 => self.check_ip(bytes, header.len(), frame.checksums())?,
            ethernet::ARP => self.check_arp(&bytes[header.len()..])?,
            _ => return Err(DropReason::Ethertype),
        };
        Ok((header, arrival))
    }

    fn check_arp(&self, bytes: &[u8]) -> Result<Arrival, DropReason> {
        let packet = arp::Packet::parse(bytes).ok_or(DropReason::Arp)?;
        // RFC 5227, 2.4: a request or reply of whoever else has our address.
        if packet.sender == self.link_address && packet.sender_mac != self.mac {
            return Err(DropReason::AddressConflict);
        }
        let is_for_us = packet.operation == arp::REQUEST && packet.target == self.link_address;
        if is_for_us && !ethernet::is_group(packet.sender_mac) {
            Ok(Arrival::ArpRequest(packet))
        } else {
            Err(DropReason::Arp)
        }
    }

    fn check_ip(
        &self,
        bytes: &[u8],
        at: usize,
        checksums: RxChecksums,
    ) -> Result<Arrival, DropReason> {
        let rest = &bytes[at..];
        let header = rest.first_chunk::<IP_LEN>().ok_or(DropReason::Runt)?;
        // RFC 791, 3.1. Options are refused as a whole: source routes, and nothing else is in use.
        match header[0] {
            0x45 => {}
            0x46..=0x4f => return Err(DropReason::IpOptions),
            _ => return Err(DropReason::IpHeader),
        }
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if total_len < IP_LEN {
            return Err(DropReason::IpHeader);
        }
        // Ethernet pads short frames: what counts is the length that IP says.
        let packet = rest.get(..total_len).ok_or_else(|| self.why_short(total_len))?;
        let unseen = matches!(checksums, RxChecksums::Unknown | RxChecksums::TcpGood);
        if checksums == RxChecksums::Bad || unseen && !Sum::default().bytes(header).is_intact() {
            return Err(DropReason::Checksum);
        }
        if header[6] & 0x3f != 0 || header[7] != 0 {
            return Err(DropReason::Fragment);
        }
        let source = Ipv4Addr::new(header[12], header[13], header[14], header[15]);
        let destination = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
        let is_link_ping = destination == self.link_address && header[9] == PROTOCOL_ICMP;
        if destination != self.address && !is_link_ping {
            return Err(DropReason::Destination);
        }
        if !is_peer(source) || [self.address, self.link_address].contains(&source) {
            return Err(DropReason::Source);
        }
        let range = at..at + total_len;
        match header[9] {
            PROTOCOL_TCP => self
                .check_tcp(packet, checksums)
                .map(|segment| Arrival::Tcp { segment, packet: range }),
            PROTOCOL_ICMP => check_icmp(packet).map(|()| Arrival::EchoRequest { packet: range }),
            _ => Err(DropReason::Protocol),
        }
    }

    fn check_tcp(&self, packet: &[u8], checksums: RxChecksums) -> Result<Segment, DropReason> {
        let segment = segment::parse(packet).ok_or(DropReason::TcpHeader)?;
        if checksums == RxChecksums::Unknown {
            let tcp = &packet[IP_LEN..];
            let len = u16::try_from(tcp.len()).map_err(|_| DropReason::TcpHeader)?;
            let pseudo = pseudo_header(&packet[12..20], len);
            let is_unfilled = || self.unfilled_checksums && is_unfilled(tcp, pseudo);
            if !(pseudo.bytes(tcp).is_intact() || is_unfilled()) {
                return Err(DropReason::Checksum);
            }
        }
        if segment.tuple.ports & 0xffff == 0 || segment.tuple.ports >> 16 == 0 {
            return Err(DropReason::TcpHeader);
        }
        if !segment::options_are_whole(segment::options(packet)) {
            return Err(DropReason::TcpHeader);
        }
        // Of SYN, FIN and RST at most one; without SYN and RST it acknowledges something.
        let is_sound = match segment.flags & (SYN | FIN | RST) {
            0 | FIN => segment.has(ACK),
            SYN | RST => true,
            _ => false,
        };
        //= RFC 9293 3.10.7.2: where we listen such a segment is dropped; 3.10.7.1: a closed port resets whatever it is.
        if is_sound || segment.tuple.ports & 0xffff != u32::from(self.port) {
            Ok(segment)
        } else {
            Err(DropReason::TcpFlags)
        }
    }

    /// Why a frame is shorter than the `total_len` of its IPv4 header.
    #[cold]
    fn why_short(&self, total_len: usize) -> DropReason {
        if total_len > self.ip_mtu { DropReason::Oversize } else { DropReason::Runt }
    }
}

/// Whether the checksum of a segment is left to hardware: the field holds the sum that this is to begin with.
#[cold]
fn is_unfilled(tcp: &[u8], pseudo: Sum) -> bool {
    tcp.get(16..18) == Some(&pseudo.folded())
}

fn check_icmp(packet: &[u8]) -> Result<(), DropReason> {
    let icmp = &packet[IP_LEN..];
    match icmp.first_chunk::<ICMP_ECHO_LEN>() {
        Some([ECHO_REQUEST, 0, ..]) if Sum::default().bytes(icmp).is_intact() => Ok(()),
        Some([ECHO_REQUEST, 0, ..]) => Err(DropReason::Checksum),
        _ => Err(DropReason::Icmp),
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
