//! Packets by hand: [`Segment`] to say anything a peer may or may not say, [`Heard`] to read what the
//! appliance answers. Everything is valid unless a test makes it otherwise: build, mutate, [`refresh`].

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv4Message, Icmpv4Packet, IpAddress, IpProtocol, Ipv4Packet, TcpPacket,
};

/// Bytes of an untagged Ethernet header.
pub const ETHERNET_LEN: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Bytes of a TCP header without options.
pub const TCP_LEN: usize = 20;
/// Where the IPv4 header of an untagged frame starts.
pub const IPV4_AT: usize = ETHERNET_LEN;
/// Where the TCP header of an untagged frame without IPv4 options starts.
pub const TCP_AT: usize = ETHERNET_LEN + IPV4_LEN;

/// EtherType of a VLAN tag (IEEE 802.1Q).
const TAGGED: [u8; 2] = [0x81, 0x00];

/// TCP flags, as in byte 13 of the header (RFC 9293 3.1).
pub mod flag {
    /// No more data from sender.
    pub const FIN: u8 = 0x01;
    /// Synchronize sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// Push function.
    pub const PSH: u8 = 0x08;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub const URG: u8 = 0x20;
}

/// Who somebody is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Link address.
    pub mac: [u8; 6],
    /// IPv4 address.
    pub ip: Ipv4Addr,
}

/// One TCP segment, every field in the hands of the test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number: sent as it is, whether or not [`flag::ACK`] is set.
    pub ack: u32,
    /// Sum of [`flag`]s.
    pub flags: u8,
    /// Window field, unscaled.
    pub window: u16,
    /// Option bytes; padded with end-of-list to a multiple of four.
    pub options: Vec<u8>,
    /// Data.
    pub payload: Vec<u8>,
}

impl Segment {
    /// An empty ACK from port `source` to port `destination` with all numbers zero.
    pub fn new(source: u16, destination: u16) -> Self {
        Self {
            source,
            destination,
            seq: 0,
            ack: 0,
            flags: flag::ACK,
            window: u16::MAX,
            options: Vec::new(),
            payload: Vec::new(),
        }
    }

    /// Whether all of `flags` are set.
    pub fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Bytes of sequence space: data, and one each for SYN and FIN.
    pub fn len(&self) -> u32 {
        let data = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        data + u32::from(self.has(flag::SYN)) + u32::from(self.has(flag::FIN))
    }

    /// Whether the segment takes no sequence space.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole Ethernet frame, lengths and checksums right.
    pub fn frame(&self, from: &Address, to: &Address) -> Vec<u8> {
        let options_len = self.options.len().next_multiple_of(4);
        let header_len = TCP_LEN + options_len;
        let mut tcp = vec![0; header_len + self.payload.len()];
        tcp[TCP_LEN..][..self.options.len()].copy_from_slice(&self.options);
        tcp[header_len..].copy_from_slice(&self.payload);
        let mut packet = TcpPacket::new_unchecked(&mut tcp[..]);
        packet.set_src_port(self.source);
        packet.set_dst_port(self.destination);
        packet.set_window_len(self.window);
        packet.set_header_len(byte(header_len));
        tcp[4..8].copy_from_slice(&self.seq.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.ack.to_be_bytes());
        tcp[13] = self.flags;
        ipv4_frame(from, to, IpProtocol::Tcp, &tcp)
    }
}

/// The option that says how large a segment its sender takes (RFC 9293 3.2).
pub fn option_mss(bytes: u16) -> Vec<u8> {
    let [high, low] = bytes.to_be_bytes();
    vec![2, 4, high, low]
}

/// The window scale option (RFC 7323 2.2).
pub fn option_window_scale(shift: u8) -> Vec<u8> {
    vec![3, 3, shift]
}

/// The SACK-permitted option (RFC 2018 2).
pub fn option_sack_permitted() -> Vec<u8> {
    vec![4, 2]
}

/// An Ethernet frame with one IPv4 packet, its checksums right if they are TCP or ICMP.
pub fn ipv4_frame(from: &Address, to: &Address, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; ETHERNET_LEN + IPV4_LEN + payload.len()];
    frame[IPV4_AT + IPV4_LEN..].copy_from_slice(payload);
    ethernet_header(from.mac, to.mac, EthernetProtocol::Ipv4)
        .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[IPV4_AT..]);
    ip.set_version(4);
    ip.set_header_len(byte(IPV4_LEN));
    ip.set_total_len(u16::try_from(IPV4_LEN + payload.len()).expect("a packet fits 64 KiB"));
    ip.set_dont_frag(true);
    ip.set_hop_limit(64);
    ip.set_next_header(protocol);
    ip.set_src_addr(from.ip);
    ip.set_dst_addr(to.ip);
    refresh(&mut frame);
    frame
}

/// Makes the checksums of an untagged IPv4 frame right again after a test changed it.
///
/// # Panics
/// If the header is no IPv4 header with its own length inside the frame.
pub fn refresh(frame: &mut [u8]) {
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[IPV4_AT..]);
    ip.fill_checksum();
    let (source, destination) = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
    let (protocol, header_len) = (ip.next_header(), usize::from(ip.header_len()));
    let payload = &mut frame[IPV4_AT + header_len..];
    match protocol {
        IpProtocol::Tcp if payload.len() >= TCP_LEN => {
            TcpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        IpProtocol::Icmp if payload.len() >= ECHO_LEN => {
            Icmpv4Packet::new_unchecked(payload).fill_checksum();
        }
        _ => {}
    }
}

/// Bytes of the header of an echo message (RFC 792).
const ECHO_LEN: usize = 8;

/// An echo request ("ping") with `data`.
pub fn echo_request(from: &Address, to: &Address, ident: u16, seq: u16, data: &[u8]) -> Vec<u8> {
    let mut icmp = vec![0; ECHO_LEN + data.len()];
    let mut packet = Icmpv4Packet::new_unchecked(&mut icmp[..]);
    packet.set_msg_type(Icmpv4Message::EchoRequest);
    packet.set_echo_ident(ident);
    packet.set_echo_seq_no(seq);
    icmp[ECHO_LEN..].copy_from_slice(data);
    ipv4_frame(from, to, IpProtocol::Icmp, &icmp)
}

/// A broadcast ARP request: who has `wanted`?
pub fn arp_request(from: &Address, wanted: Ipv4Addr) -> Vec<u8> {
    arp(ArpOperation::Request, from, [0xff; 6], Address { mac: [0; 6], ip: wanted })
}

/// An ARP reply to `to`: `from` is at its MAC.
pub fn arp_reply(from: &Address, to: &Address) -> Vec<u8> {
    arp(ArpOperation::Reply, from, to.mac, *to)
}

fn arp(operation: ArpOperation, from: &Address, to: [u8; 6], target: Address) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(from.mac),
        source_protocol_addr: from.ip,
        target_hardware_addr: EthernetAddress(target.mac),
        target_protocol_addr: target.ip,
    };
    let mut frame = vec![0; ETHERNET_LEN + repr.buffer_len()];
    ethernet_header(from.mac, to, EthernetProtocol::Arp)
        .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[ETHERNET_LEN..]));
    frame
}

fn ethernet_header(from: [u8; 6], to: [u8; 6], ethertype: EthernetProtocol) -> EthernetRepr {
    EthernetRepr { src_addr: EthernetAddress(from), dst_addr: EthernetAddress(to), ethertype }
}

/// Puts a VLAN tag with control information `tci` into `frame` (IEEE 802.1Q).
pub fn tagged(frame: &[u8], tci: u16) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(ETHERNET_LEN - 2);
    [addresses, &TAGGED, &tci.to_be_bytes(), rest].concat()
}

/// A frame of the appliance, read. Lengths and checksums were found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// Link source.
    pub from: [u8; 6],
    /// Link destination.
    pub to: [u8; 6],
    /// Control information of the VLAN tag, if the frame has one.
    pub tag: Option<u16>,
    /// What it carries.
    pub body: Body,
}

/// What a frame of the appliance carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// ARP over Ethernet and IPv4.
    Arp {
        /// Whether it is a reply; else a request.
        reply: bool,
        /// Sender.
        sender: Address,
        /// Target.
        target: Address,
    },
    /// ICMP echo reply.
    EchoReply {
        /// Sender and receiver.
        ip: (Ipv4Addr, Ipv4Addr),
        /// Identifier and sequence number.
        number: (u16, u16),
        /// The data echoed.
        data: Vec<u8>,
    },
    /// A TCP segment.
    Tcp {
        /// Sender and receiver.
        ip: (Ipv4Addr, Ipv4Addr),
        /// The segment.
        segment: Segment,
    },
}

impl Heard {
    /// Reads a frame that the appliance sent.
    ///
    /// # Panics
    /// If it is malformed in any way: everything that the appliance says has to be right.
    pub fn read(frame: &[u8]) -> Self {
        let ethernet = EthernetFrame::new_checked(frame).expect("an Ethernet header");
        let (from, to) = (ethernet.src_addr().0, ethernet.dst_addr().0);
        let (tag, ethertype, payload) = if frame[12..14] == TAGGED {
            let tci = u16::from_be_bytes([frame[14], frame[15]]);
            (Some(tci), [frame[16], frame[17]], &frame[18..])
        } else {
            (None, [frame[12], frame[13]], &frame[14..])
        };
        let body = match ethertype {
            [0x08, 0x00] => read_ipv4(payload),
            [0x08, 0x06] => read_arp(payload),
            other => panic!("the appliance sent EtherType {other:02x?}"),
        };
        Self { from, to, tag, body }
    }

    /// The segment.
    ///
    /// # Panics
    /// If this is no TCP segment.
    pub fn segment(self) -> Segment {
        match self.body {
            Body::Tcp { segment, .. } => segment,
            other => panic!("a TCP segment was expected, not {other:?}"),
        }
    }
}

fn read_arp(payload: &[u8]) -> Body {
    let packet = ArpPacket::new_checked(payload).expect("a whole ARP packet");
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&packet).expect("ARP over Ethernet and IPv4")
    else {
        panic!("ARP of another kind")
    };
    Body::Arp {
        reply: operation == ArpOperation::Reply,
        sender: Address { mac: source_hardware_addr.0, ip: source_protocol_addr },
        target: Address { mac: target_hardware_addr.0, ip: target_protocol_addr },
    }
}

fn read_ipv4(payload: &[u8]) -> Body {
    let ip = Ipv4Packet::new_checked(payload).expect("a whole IPv4 packet");
    assert_eq!((ip.version(), ip.header_len()), (4, 20), "IPv4 without options");
    assert!(ip.verify_checksum(), "IPv4 header checksum");
    assert_eq!(ip.hop_limit(), 64, "time to live");
    assert_eq!(usize::from(ip.total_len()), payload.len(), "nothing behind the packet");
    let addresses = (ip.src_addr(), ip.dst_addr());
    match ip.next_header() {
        IpProtocol::Icmp => {
            let icmp = Icmpv4Packet::new_checked(ip.payload()).expect("a whole ICMP message");
            assert!(icmp.verify_checksum(), "ICMP checksum");
            assert_eq!((icmp.msg_type(), icmp.msg_code()), (Icmpv4Message::EchoReply, 0));
            let number = (icmp.echo_ident(), icmp.echo_seq_no());
            Body::EchoReply { ip: addresses, number, data: icmp.data().to_vec() }
        }
        IpProtocol::Tcp => {
            assert_eq!((ip.dscp(), ip.ecn()), (0, 0), "type of service");
            assert!(ip.dont_frag() && !ip.more_frags() && ip.frag_offset() == 0, "fragmentation");
            let (from, to) = (IpAddress::Ipv4(addresses.0), IpAddress::Ipv4(addresses.1));
            let tcp = TcpPacket::new_checked(ip.payload()).expect("a whole TCP segment");
            assert!(tcp.verify_checksum(&from, &to), "TCP checksum");
            Body::Tcp { ip: addresses, segment: read_tcp(&tcp, ip.payload()) }
        }
        other => panic!("the appliance sent IP protocol {other}"),
    }
}

fn read_tcp(tcp: &TcpPacket<&[u8]>, bytes: &[u8]) -> Segment {
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    assert_eq!((bytes[12] & 0x0f, bytes[13] & 0xc0), (0, 0), "reserved bits");
    assert_eq!(bytes[18..20], [0, 0], "urgent pointer");
    Segment {
        source: tcp.src_port(),
        destination: tcp.dst_port(),
        seq: word(4),
        ack: word(8),
        flags: bytes[13],
        window: tcp.window_len(),
        options: tcp.options().to_vec(),
        payload: tcp.payload().to_vec(),
    }
}

fn byte(len: usize) -> u8 {
    u8::try_from(len).expect("a header length fits a byte")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Address = Address { mac: [2, 0, 0, 0, 0, 1], ip: Ipv4Addr::new(198, 18, 0, 9) };
    const THERE: Address = Address { mac: [2, 0, 0, 0, 0, 2], ip: Ipv4Addr::new(198, 18, 0, 2) };

    #[test]
    fn a_segment_survives_the_wire() {
        let segment = Segment {
            seq: 0xffff_fff0,
            ack: 7,
            flags: flag::SYN | flag::ACK | flag::PSH,
            window: 512,
            options: option_mss(1460),
            payload: b"abc".to_vec(),
            ..Segment::new(40_000, 80)
        };
        let frame = segment.frame(&HERE, &THERE);
        let heard = Heard::read(&tagged(&frame, 0x2064));
        assert_eq!((heard.from, heard.to, heard.tag), (HERE.mac, THERE.mac, Some(0x2064)));
        assert_eq!(heard.segment(), segment);
        assert_eq!(segment.len(), 4);
    }

    #[test]
    fn arp_survives_the_wire() {
        let heard = Heard::read(&arp_request(&HERE, THERE.ip));
        assert_eq!(heard.to, [0xff; 6]);
        let target = Address { mac: [0; 6], ip: THERE.ip };
        assert_eq!(heard.body, Body::Arp { reply: false, sender: HERE, target });
    }
}
