//! Ethernet frames as the networks of the tests look at them: just enough of IPv4, IPv6, TCP and UDP to spoil a frame on
//! purpose, to fragment it, and to refuse it by ICMP. Frames may carry one VLAN tag.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// A TCP segment, as far as a network looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// The connection, in the direction of the segment.
    pub(crate) flow: Flow,
    pub(crate) is_syn: bool,
    /// Sequence number of the first byte of data.
    pub(crate) sequence: u32,
    /// Where in the frame the data is.
    pub(crate) data: Range<usize>,
}

/// Source and destination of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flow([(IpAddr, u16); 2]);

/// Length of the Ethernet header with its tag, where there is one; the frame is ARP or too short otherwise.
///
/// `None`: no IP packet that this module reads.
pub(crate) fn ip_start(frame: &[u8]) -> Option<usize> {
    let start = if frame.get(12..14)? == TAGGED { ETHERNET_LEN + TAG_LEN } else { ETHERNET_LEN };
    let version = frame.get(start)? >> 4;
    match (frame.get(start - 2..start)?, version) {
        (IPV4, 4) | (IPV6, 6) => Some(start),
        _ => None,
    }
}

/// The segment in `frame`, if it is a whole one of TCP.
pub(crate) fn segment(frame: &[u8]) -> Option<Segment> {
    let transport = Transport::of(frame).filter(|transport| transport.protocol == TCP)?;
    let header = frame.get(transport.bytes.clone())?;
    let data = usize::from(header.get(12)? >> 4) * 4;
    if data < TCP_LEN || data > header.len() {
        return None;
    }
    let [source, destination] = transport.addresses;
    let ports = [0, 2].map(|at| u16::from_be_bytes([header[at], header[at + 1]]));
    Some(Segment {
        flow: Flow([(source, ports[0]), (destination, ports[1])]),
        is_syn: header[13] & SYN != 0,
        sequence: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
        data: transport.bytes.start + data..transport.bytes.end,
    })
}

/// Where the data of a TCP segment or UDP datagram is.
pub(crate) fn data(frame: &[u8]) -> Option<Range<usize>> {
    let transport = Transport::of(frame)?;
    match transport.protocol {
        TCP => segment(frame).map(|segment| segment.data),
        UDP => Some(transport.bytes.start + UDP_LEN..transport.bytes.end),
        _ => None,
    }
    .filter(|data| data.start < data.end)
}

/// Makes the checksum of the TCP segment or UDP datagram in `frame` right.
pub(crate) fn mend_checksum(frame: &mut [u8]) {
    let Some(Transport { addresses, protocol, bytes }) = Transport::of(frame) else { return };
    let at = bytes.start + if protocol == TCP { 16 } else { 6 };
    if at + 2 > bytes.end || !matches!(protocol, TCP | UDP) {
        return;
    }
    frame[at..at + 2].fill(0);
    let mut pseudo = Vec::with_capacity(40);
    for address in addresses {
        match address {
            IpAddr::V4(address) => pseudo.extend(address.octets()),
            IpAddr::V6(address) => pseudo.extend(address.octets()),
        }
    }
    // Zero bytes more or less do not change a sum: this is the pseudo-header of both families.
    pseudo.extend([0, protocol]);
    pseudo.extend(u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes());
    let checksum = !sum(&frame[bytes], sum(&pseudo, 0));
    // RFC 768: zero means that there is none.
    let checksum = if protocol == UDP && checksum == 0 { u16::MAX } else { checksum };
    frame[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// What a hop of a small MTU does with a frame.
#[derive(Debug, PartialEq, Eq)]
pub enum Hop {
    /// It fits, or is not IP.
    Passes,
    /// Its fragments, in order (RFC 791 2.3).
    Fragments(Vec<Vec<u8>>),
    /// It does not fit and may not be fragmented.
    TooBig,
}

/// Sends `frame` over a hop whose longest IP packet has `mtu` bytes.
///
/// # Panics
/// If `mtu` has no room for an IP header and eight bytes.
#[must_use]
pub fn hop(frame: &[u8], mtu: u16) -> Hop {
    let Some(start) = ip_start(frame) else { return Hop::Passes };
    let room = usize::from(mtu);
    if frame[start] >> 4 == 6 {
        return if frame.len() - start > room { Hop::TooBig } else { Hop::Passes };
    }
    let Some(packet) = Ipv4::of(frame) else { return Hop::Passes };
    if packet.bytes.len() <= room {
        Hop::Passes
    } else if packet.flags & DONT_FRAGMENT != 0 {
        Hop::TooBig
    } else {
        Hop::Fragments(packet.fragments(frame, room))
    }
}

/// What router `from` replies to the sender of `frame`, which did not fit into `mtu` bytes: ICMP "fragmentation needed
/// and DF set" with the MTU of the next hop (RFC 1191 4), the IP header and 8 bytes quoted (RFC 792).
///
/// `None`: to such a frame none is sent (RFC 1122 3.2.2): ICMP errors, later fragments, frames to many; and what is not
/// IPv4.
#[must_use]
pub fn fragmentation_needed(frame: &[u8], mtu: u16, from: Ipv4Addr) -> Option<Vec<u8>> {
    let packet = Ipv4::of(frame)?;
    let ip = &frame[packet.bytes.clone()];
    let is_first = packet.offset == 0;
    let is_error = ip[9] == ICMP && !matches!(ip.get(packet.header_len), Some(0 | 8));
    let is_to_many = frame[0] & 1 != 0 || ip[16] >= 224;
    if !is_first || is_error || is_to_many {
        return None;
    }
    let quoted = &ip[..ip.len().min(packet.header_len + 8)];

    let mut reply = Vec::with_capacity(packet.bytes.start + IPV4_LEN + 8 + quoted.len());
    reply.extend_from_slice(&frame[6..12]);
    reply.extend_from_slice(&frame[..6]);
    reply.extend_from_slice(&frame[12..packet.bytes.start]);
    let total = u16::try_from(IPV4_LEN + 8 + quoted.len()).ok()?;
    let header = reply.len();
    reply.extend([0x45, 0]);
    reply.extend(total.to_be_bytes());
    reply.extend([0, 0, 0, 0, 64, ICMP, 0, 0]);
    reply.extend(from.octets());
    reply.extend_from_slice(&ip[12..16]);
    let icmp = reply.len();
    // Type 3, code 4; the MTU is in the second half of the word that others leave unused.
    reply.extend([3, 4, 0, 0, 0, 0]);
    reply.extend(mtu.to_be_bytes());
    reply.extend_from_slice(quoted);
    let checksum = !sum(&reply[icmp..], 0);
    reply[icmp + 2..icmp + 4].copy_from_slice(&checksum.to_be_bytes());
    mend_header(&mut reply[header..icmp]);
    Some(reply)
}

/// An IPv4 packet within a frame.
struct Ipv4 {
    /// Where it is: what pads a short frame is not of it.
    bytes: Range<usize>,
    header_len: usize,
    /// The flags, as in the first byte of their field.
    flags: u8,
    /// Bytes of the whole packet before this fragment.
    offset: usize,
}

impl Ipv4 {
    fn of(frame: &[u8]) -> Option<Self> {
        let start = ip_start(frame)?;
        let ip = &frame[start..];
        let header_len = usize::from(ip[0] & 0xf) * 4;
        let len = usize::from(u16::from_be_bytes([*ip.get(2)?, *ip.get(3)?]));
        if ip[0] >> 4 != 4 || header_len < IPV4_LEN || len < header_len || len > ip.len() {
            return None;
        }
        let flags = ip[6] & 0xe0;
        let offset = usize::from(u16::from_be_bytes([ip[6] & 0x1f, ip[7]])) * 8;
        Some(Self { bytes: start..start + len, header_len, flags, offset })
    }

    /// Each fragment has the whole header: an option that asks not to be copied is copied here.
    fn fragments(&self, frame: &[u8], room: usize) -> Vec<Vec<u8>> {
        let (header, data) = frame[self.bytes.clone()].split_at(self.header_len);
        let piece_len = (room - self.header_len) / 8 * 8;
        assert!(piece_len > 0, "{room} bytes hold a header and eight bytes");
        let last = (data.len() - 1) / piece_len;
        let piece = |(number, piece): (usize, &[u8])| {
            let mut fragment = frame[..self.bytes.start].to_vec();
            let at = fragment.len();
            fragment.extend_from_slice(header);
            fragment.extend_from_slice(piece);
            let total = u16::try_from(header.len() + piece.len()).unwrap_or(u16::MAX);
            let offset = u16::try_from((self.offset + number * piece_len) / 8).unwrap_or(u16::MAX);
            let more = if number < last { MORE_FRAGMENTS } else { self.flags & MORE_FRAGMENTS };
            fragment[at + 2..at + 4].copy_from_slice(&total.to_be_bytes());
            fragment[at + 6..at + 8].copy_from_slice(&offset.to_be_bytes());
            fragment[at + 6] |= more;
            mend_header(&mut fragment[at..at + self.header_len]);
            fragment
        };
        data.chunks(piece_len).enumerate().map(piece).collect()
    }
}

/// What a packet carries, if it is whole. IPv6 extension headers are not looked into.
struct Transport {
    addresses: [IpAddr; 2],
    protocol: u8,
    bytes: Range<usize>,
}

impl Transport {
    fn of(frame: &[u8]) -> Option<Self> {
        let start = ip_start(frame)?;
        let ip = &frame[start..];
        if ip[0] >> 4 == 4 {
            let packet = Ipv4::of(frame)?;
            if packet.offset > 0 || packet.flags & MORE_FRAGMENTS != 0 {
                return None;
            }
            let addresses = [12, 16]
                .map(|at| IpAddr::V4(Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3])));
            let bytes = packet.bytes.start + packet.header_len..packet.bytes.end;
            return Some(Self { addresses, protocol: ip[9], bytes });
        }
        let len = usize::from(u16::from_be_bytes([*ip.get(4)?, *ip.get(5)?]));
        if ip.len() < IPV6_LEN + len {
            return None;
        }
        let address = |at: usize| <[u8; 16]>::try_from(&ip[at..at + 16]).ok();
        let addresses = [address(8)?, address(24)?].map(|bytes| IpAddr::V6(Ipv6Addr::from(bytes)));
        let bytes = start + IPV6_LEN..start + IPV6_LEN + len;
        Some(Self { addresses, protocol: ip[6], bytes })
    }
}

/// Makes the checksum of an IPv4 header right.
pub(crate) fn mend_header(header: &mut [u8]) {
    header[10..12].fill(0);
    let checksum = !sum(header, 0);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// One's complement sum of big-endian 16-bit words, an odd byte padded with zero (RFC 1071).
fn sum(bytes: &[u8], start: u16) -> u16 {
    let word = |pair: &[u8]| u64::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut total = u64::from(start) + bytes.chunks(2).map(word).sum::<u64>();
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).unwrap_or(u16::MAX)
}

pub(crate) const ETHERNET_LEN: usize = 14;
const TAG_LEN: usize = 4;
/// EtherTypes.
const TAGGED: &[u8] = &[0x81, 0x00];
const IPV4: &[u8] = &[0x08, 0x00];
const IPV6: &[u8] = &[0x86, 0xdd];
pub(crate) const IPV4_LEN: usize = 20;
const IPV6_LEN: usize = 40;
const TCP_LEN: usize = 20;
const UDP_LEN: usize = 8;
/// IP protocol numbers.
const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// Flags of IPv4 and TCP.
const DONT_FRAGMENT: u8 = 0x40;
const MORE_FRAGMENTS: u8 = 0x20;
const SYN: u8 = 0x02;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frame with a UDP datagram (from port 7 to 9) that carries `data`.
    pub(crate) fn datagram(data: &[u8], dont_fragment: bool) -> Vec<u8> {
        let mut udp = [0, 7, 0, 9].to_vec();
        udp.extend(u16::try_from(data.len() + UDP_LEN).expect("short").to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(data);
        packet(UDP, &udp, dont_fragment)
    }

    /// A frame with a TCP segment (from port 7 to `to`).
    pub(crate) fn tcp(to: u16, flags: u8, data: &[u8]) -> Vec<u8> {
        tcp_at(1, to, flags, data)
    }

    /// The same with a sequence number.
    pub(crate) fn tcp_at(sequence: u32, to: u16, flags: u8, data: &[u8]) -> Vec<u8> {
        let mut tcp = [0, 7].to_vec();
        tcp.extend(to.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend([0, 0, 0, 2, 0x50, flags, 1, 0, 0, 0, 0, 0]);
        tcp.extend(data);
        packet(TCP, &tcp, true)
    }

    fn packet(protocol: u8, content: &[u8], dont_fragment: bool) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend(u16::try_from(IPV4_LEN + content.len()).expect("short").to_be_bytes());
        frame.extend([0x12, 0x34, if dont_fragment { DONT_FRAGMENT } else { 0 }, 0]);
        frame.extend([64, protocol, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1]);
        mend_header(&mut frame[ETHERNET_LEN..]);
        frame.extend(content);
        mend_checksum(&mut frame);
        frame
    }

    /// The same frame with VLAN tag 5.
    fn tagged(frame: &[u8]) -> Vec<u8> {
        [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat()
    }

    #[test]
    fn a_checksum_is_mended_to_what_makes_the_sum_all_ones() {
        for frame in [datagram(b"odd", true), tcp(80, 0x10, b"data"), tagged(&tcp(80, 0x10, b"x"))]
        {
            let Transport { protocol, bytes, .. } = Transport::of(&frame).expect("whole");
            let ip = bytes.start - IPV4_LEN;
            assert_eq!(sum(&frame[ip..bytes.start], 0), 0xffff);
            let mut pseudo = frame[ip + 12..ip + 20].to_vec();
            pseudo.extend([0, protocol]);
            pseudo.extend(u16::try_from(bytes.len()).expect("short").to_be_bytes());
            assert_eq!(sum(&frame[bytes], sum(&pseudo, 0)), 0xffff);
        }
        let mut six = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd];
        // RFC 768 and 8200 by hand: addresses ::1 and ::2, length 9, protocol 17, ports 7 and 9, length 9, "A".
        six.extend([0x60, 0, 0, 0, 0, 9, UDP, 64]);
        six.extend(Ipv6Addr::from(1).octets());
        six.extend(Ipv6Addr::from(2).octets());
        six.extend([0, 7, 0, 9, 0, 9, 0, 0, b'A']);
        mend_checksum(&mut six);
        assert_eq!(six[60..62], (!(1 + 2 + 9 + 17 + 7 + 9 + 9 + 0x4100_u16)).to_be_bytes());
    }

    #[test]
    fn segments_are_told_by_flow_flags_and_data() {
        let syn = segment(&tcp(80, SYN, b"")).expect("TCP");
        let data = segment(&tagged(&tcp(80, 0x18, b"data"))).expect("TCP");
        assert_eq!((syn.is_syn, syn.data.len()), (true, 0));
        assert_eq!((data.is_syn, data.data), (false, 58..62));
        assert_eq!(syn.flow, data.flow);
        assert_ne!(syn.flow, segment(&tcp(81, SYN, b"")).expect("TCP").flow);
        assert_eq!(segment(&datagram(b"data", true)), None);
        // What pads a short frame is no data.
        let padded = [tcp(80, 0x10, b""), vec![0; 6]].concat();
        assert_eq!(segment(&padded).expect("TCP").data.len(), 0);
        for len in 0..54 {
            assert_eq!(segment(&tcp(80, SYN, b"")[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn what_may_be_fragmented_is_and_the_pieces_make_the_packet() {
        let content: Vec<u8> = (0..=255).cycle().take(1_400).collect();
        let whole = datagram(&content, false);
        assert_eq!(hop(&whole, 1_428), Hop::Passes);
        assert_eq!(hop(&datagram(&content, true), 1_427), Hop::TooBig);
        let Hop::Fragments(fragments) = hop(&whole, 500) else { panic!("it does not fit") };
        let mut put_together = Vec::new();
        for (number, fragment) in fragments.iter().enumerate() {
            let packet = Ipv4::of(fragment).expect("IPv4");
            let is_last = number + 1 == fragments.len();
            assert!(packet.bytes.len() <= 500);
            assert_eq!(sum(&fragment[14..34], 0), 0xffff);
            assert_eq!(packet.offset, put_together.len());
            assert_eq!(packet.flags, if is_last { 0 } else { MORE_FRAGMENTS });
            put_together.extend_from_slice(&fragment[34..packet.bytes.end]);
        }
        assert_eq!((fragments.len(), put_together), (3, whole[34..].to_vec()));
    }

    #[test]
    fn a_router_replies_with_its_mtu_and_the_quoted_header() {
        let router = Ipv4Addr::new(10, 9, 9, 9);
        let frame = tcp(80, 0x18, &[7; 1_400]);
        let reply = fragmentation_needed(&frame, 1_300, router).expect("a reply");
        assert_eq!(
            (&reply[..6], &reply[6..12]),
            (&frame[6..12], &frame[..6]),
            "back to its sender"
        );
        assert_eq!((&reply[26..30], &reply[30..34]), (&[10, 9, 9, 9][..], &frame[26..30]));
        assert_eq!((sum(&reply[14..34], 0), sum(&reply[34..], 0)), (0xffff, 0xffff));
        assert_eq!(reply[34..36], [3, 4], "fragmentation needed");
        assert_eq!(reply[38..42], [0, 0, 5, 20], "an MTU of 1300");
        assert_eq!(reply[42..], frame[14..42], "header, ports and sequence number");
        let tagged_reply = fragmentation_needed(&tagged(&frame), 1_300, router).expect("a reply");
        assert_eq!(tagged_reply, tagged(&reply));
        // RFC 1122 3.2.2.
        assert_eq!(fragmentation_needed(&reply, 30, router), None, "about an ICMP error");
        let mut to_many = frame.clone();
        to_many[0] = 1;
        assert_eq!(fragmentation_needed(&to_many, 1_300, router), None);
        let mut later = frame;
        later[21] = 9;
        assert_eq!(fragmentation_needed(&later, 1_300, router), None, "a later fragment");
    }
}
