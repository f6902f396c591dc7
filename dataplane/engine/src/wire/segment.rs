//! A TCP segment in an IPv4 packet: the header fields of a received one, and the control segments we send.
//!
//! smoltcp makes every segment of a connection; a [`ControlSegment`] is sent where there is no socket: a reset,
//! a challenge ACK, the acknowledgement of a connection in TIME-WAIT.

use core::net::Ipv4Addr;

use crate::Nic;
use crate::nic::TxOffload;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::ethernet::ReplyHeader;
use crate::wire::tuple::Tuple;

/// Bytes of an IPv4 header without options, which is the only kind we take or make.
pub(crate) const IP_LEN: usize = 20;
/// Bytes of a TCP header without options.
pub(crate) const TCP_LEN: usize = 20;
/// Bytes of a [`ControlSegment`] in its packet.
const CONTROL_SEGMENT_LEN: usize = IP_LEN + TCP_LEN;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// The fields of a TCP header (RFC 9293, 3.1), options aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) tuple: Tuple,
    pub(crate) sequence: u32,
    /// The acknowledgement number.
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Bytes of payload.
    pub(crate) payload_len: u32,
}

impl Segment {
    /// Whether `flag` is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Bytes it takes in sequence space: payload, SYN and FIN.
    pub(crate) fn sequence_len(&self) -> u32 {
        self.payload_len + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

/// Whether sequence number `a` comes after `b` (RFC 9293, 3.4: arithmetic modulo 2^32).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) > i32::MAX as u32 && a != b
}

/// A segment without payload, to be sent without a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ControlSegment {
    tuple: Tuple,
    sequence: u32,
    ack: u32,
    flags: u8,
    /// The window field: scaled where the connection scales it, 0 in a reset.
    window: u16,
}

impl ControlSegment {
    /// The reset that answers `segment` of a connection that is not there (RFC 9293, 3.10.7.1).
    pub(crate) fn reset(segment: &Segment) -> Self {
        if segment.has(ACK) {
            let sequence = segment.ack;
            Self { tuple: segment.tuple, sequence, ack: 0, flags: RST, window: 0 }
        } else {
            let ack = segment.sequence.wrapping_add(segment.sequence_len());
            Self { tuple: segment.tuple, sequence: 0, ack, flags: RST | ACK, window: 0 }
        }
    }

    /// The acknowledgement that says where a connection is (RFC 9293, 3.10.7.4: `<SEQ=SND.NXT><ACK=RCV.NXT>`);
    /// `window` is the window field as the peer reads it.
    pub(crate) fn acknowledgement(tuple: Tuple, sequence: u32, ack: u32, window: u16) -> Self {
        Self { tuple, sequence, ack, flags: ACK, window }
    }

    /// Queues the segment behind `header`; bytes of the frame, or `None` without a transmit buffer.
    pub(crate) fn submit<N: Nic>(&self, nic: &mut N, header: &ReplyHeader) -> Option<usize> {
        let mut tx_buffer = nic.tx_buffer()?;
        let l2_len = usize::from(header.len());
        let buffer = tx_buffer.as_mut();
        buffer[..l2_len].copy_from_slice(header.bytes());
        self.emit(&mut buffer[l2_len..l2_len + CONTROL_SEGMENT_LEN]);
        let len = l2_len + CONTROL_SEGMENT_LEN;
        nic.submit(tx_buffer, len, TxOffload::None);
        Some(len)
    }

    fn emit(&self, packet: &mut [u8]) {
        let (ours, peers) = (low(self.tuple.addresses), high(self.tuple.addresses));
        let (our_port, peer_port) = (self.tuple.ports & 0xffff, self.tuple.ports >> 16);
        let (ip, tcp) = packet.split_at_mut(IP_LEN);
        ip[..12].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip[2..4].copy_from_slice(&[0, CONTROL_SEGMENT_LEN_BYTE]);
        ip[12..16].copy_from_slice(&ours.to_be_bytes());
        ip[16..20].copy_from_slice(&peers.to_be_bytes());
        let field = Sum::default().bytes(ip).checksum();
        ip[10..12].copy_from_slice(&field);
        tcp[..4].copy_from_slice(&((our_port << 16) | peer_port).to_be_bytes());
        tcp[4..8].copy_from_slice(&self.sequence.to_be_bytes());
        tcp[8..12].copy_from_slice(&self.ack.to_be_bytes());
        let [w0, w1] = self.window.to_be_bytes();
        tcp[12..20].copy_from_slice(&[0x50, self.flags, w0, w1, 0, 0, 0, 0]);
        let field = pseudo_header(&ip[12..20], TCP_LEN_WORD).bytes(tcp).checksum();
        tcp[16..18].copy_from_slice(&field);
    }
}

/// Fills in the checksums of an IPv4 TCP packet, or what the hardware needs to do so.
pub(crate) fn finish_checksums(packet: &mut [u8], l2_len: u8, offload: bool) -> TxOffload {
    let (ip, tcp) = packet.split_at_mut(IP_LEN);
    let tcp_len = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    let pseudo = pseudo_header(&ip[12..20], tcp_len);
    if offload {
        tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&pseudo.folded());
        return TxOffload::Checksums { l2_len, l3_len: IP_LEN_BYTE };
    }
    let field = Sum::default().bytes(ip).checksum();
    ip[IP_CHECKSUM..IP_CHECKSUM + 2].copy_from_slice(&field);
    let field = pseudo.bytes(tcp).checksum();
    tcp[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&field);
    TxOffload::None
}

/// Reads the segment in `packet`, an IPv4 packet without options whose lengths were checked.
pub(crate) fn parse(packet: &[u8]) -> Option<Segment> {
    let (ip, tcp) = packet.split_first_chunk::<IP_LEN>()?;
    let header = tcp.first_chunk::<TCP_LEN>()?;
    let header_len = usize::from(header[12] >> 4) * 4;
    if header_len < TCP_LEN {
        return None;
    }
    let payload = tcp.get(header_len..)?;
    let word = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let ports = word(0);
    let address = |at: usize| Ipv4Addr::new(ip[at], ip[at + 1], ip[at + 2], ip[at + 3]);
    let [p0, p1, l0, l1] = ports.to_be_bytes();
    Some(Segment {
        tuple: Tuple::new(
            (address(12), u16::from_be_bytes([p0, p1])),
            (address(16), u16::from_be_bytes([l0, l1])),
        ),
        sequence: word(4),
        ack: word(8),
        flags: header[13] & (FIN | SYN | RST | ACK),
        window: u16::from_be_bytes([header[14], header[15]]),
        payload_len: u32::try_from(payload.len()).ok()?,
    })
}

/// Copies `packet` into `into` with another acknowledgement number and window field, its checksum as it was.
pub(crate) fn restate<'a>(packet: &[u8], ack: u32, window: u16, into: &'a mut [u8]) -> &'a [u8] {
    let copy = &mut into[..packet.len()];
    copy.copy_from_slice(packet);
    copy[IP_LEN + 8..IP_LEN + 12].copy_from_slice(&ack.to_be_bytes());
    copy[IP_LEN + 14..IP_LEN + 16].copy_from_slice(&window.to_be_bytes());
    copy
}

/// Gives the segment in `packet` another sequence number. Its checksum is yet to be filled in.
pub(crate) fn set_sequence(packet: &mut [u8], sequence: u32) {
    packet[IP_LEN + 4..IP_LEN + 8].copy_from_slice(&sequence.to_be_bytes());
}

/// Makes the segment in `packet`, which has no options, an acknowledgement with number `sequence`: bytes of the packet.
/// Its checksum is yet to be filled in.
pub(crate) fn strip(packet: &mut [u8], sequence: u32) -> usize {
    set_sequence(packet, sequence);
    packet[2..4].copy_from_slice(&[0, CONTROL_SEGMENT_LEN_BYTE]);
    packet[IP_LEN + 13] = ACK;
    CONTROL_SEGMENT_LEN
}

/// Whether the TCP segment in `packet` (see [`parse`]) has options.
pub(crate) fn has_options(packet: &[u8]) -> bool {
    packet[IP_LEN + 12] >> 4 > TCP_LEN_WORDS
}

/// Whether its sender takes selective acknowledgements, says a SYN with these `options` (RFC 2018, 2).
pub(crate) fn permits_sack(options: &[u8]) -> bool {
    option(options, OPTION_SACK_PERMITTED).is_some()
}

/// The parts that selective acknowledgements among TCP options name (RFC 2018, 3): first number and end. The options
/// are read when the parts are.
pub(crate) struct SackBlocks<'a> {
    /// The options of a segment.
    pub(crate) options: &'a [u8],
}

impl<'a> IntoIterator for SackBlocks<'a> {
    type Item = (u32, u32);
    type IntoIter = core::iter::Map<core::slice::Iter<'a, [u8; 8]>, fn(&[u8; 8]) -> (u32, u32)>;

    fn into_iter(self) -> Self::IntoIter {
        let blocks = option(self.options, OPTION_SACK).unwrap_or_default();
        blocks.as_chunks().0.iter().map(|&[a, b, c, d, e, f, g, h]| {
            (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]))
        })
    }
}

/// The options of the TCP segment in `packet` (see [`parse`]).
pub(crate) fn options(packet: &[u8]) -> &[u8] {
    let header_len = usize::from(packet[IP_LEN + 12] >> 4) * 4;
    &packet[IP_LEN + TCP_LEN..IP_LEN + header_len]
}

/// The window scale among TCP `options` (RFC 7323, 2.2).
pub(crate) fn window_scale(options: &[u8]) -> Option<u8> {
    match *option(options, OPTION_WINDOW_SCALE)? {
        [scale] => Some(scale),
        _ => None,
    }
}

/// The largest segment among TCP `options` (RFC 9293, 3.7.1), bytes of payload.
pub(crate) fn segment_max(options: &[u8]) -> Option<u16> {
    option(options, OPTION_MSS)?.try_into().ok().map(u16::from_be_bytes)
}

/// The value of the first option of a `kind` that has one.
fn option(options: &[u8], kind: u8) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        match *rest {
            [OPTION_NOP, ref after @ ..] => rest = after,
            [OPTION_END, ..] => return None,
            [found, len, ..] if len >= 2 => {
                let (whole, after) = rest.split_at_checked(usize::from(len))?;
                if found == kind {
                    return whole.get(2..);
                }
                rest = after;
            }
            _ => return None,
        }
    }
}

/// Whether every option fits its length (RFC 9293, 3.1): what smoltcp would drop without counting it.
pub(crate) fn options_are_whole(options: &[u8]) -> bool {
    let mut rest = options;
    loop {
        match *rest {
            [] | [OPTION_END, ..] => return true,
            [OPTION_NOP, ref after @ ..] => rest = after,
            [OPTION_MSS, len, ..] if len != 4 => return false,
            [OPTION_WINDOW_SCALE, len, ..] if len != 3 => return false,
            [OPTION_SACK_PERMITTED, len, ..] if len != 2 => return false,
            [OPTION_TIMESTAMPS, len, ..] if len != 10 => return false,
            [OPTION_SACK, len, ..] if len < 10 || (len - 2) % 8 != 0 => return false,
            [_, len, ..] if len >= 2 => match rest.get(usize::from(len)..) {
                Some(after) => rest = after,
                None => return false,
            },
            _ => return false,
        }
    }
}

fn high(wide: u64) -> u32 {
    u32::try_from(wide >> 32).unwrap_or(u32::MAX)
}

fn low(wide: u64) -> u32 {
    u32::try_from(wide & 0xffff_ffff).unwrap_or(u32::MAX)
}

/// [`IP_LEN`] for fields of one byte.
pub(crate) const IP_LEN_BYTE: u8 = 20;
const _: () = assert!(IP_LEN_BYTE as usize == IP_LEN, "length of the IPv4 header");
/// Where the checksum is in an IPv4 header.
const IP_CHECKSUM: usize = 10;
/// Where the checksum is in a TCP header.
pub(crate) const TCP_CHECKSUM: usize = 16;
const CONTROL_SEGMENT_LEN_BYTE: u8 = 40;
const TCP_LEN_WORD: u16 = 20;
/// Length of a header without options in its own unit, 32 bits.
const TCP_LEN_WORDS: u8 = 5;
const _: () =
    assert!(CONTROL_SEGMENT_LEN_BYTE as usize == CONTROL_SEGMENT_LEN, "total length field");
const _: () = assert!(TCP_LEN_WORD as usize == TCP_LEN, "length in the pseudo header");
const OPTION_END: u8 = 0;
pub(crate) const OPTION_NOP: u8 = 1;
pub(crate) const OPTION_MSS: u8 = 2;
pub(crate) const OPTION_WINDOW_SCALE: u8 = 3;
pub(crate) const OPTION_SACK_PERMITTED: u8 = 4;
const OPTION_SACK: u8 = 5;
const OPTION_TIMESTAMPS: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 1), 40_000);
    const OURS: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 2), 8_080);

    fn segment(flags: u8) -> Segment {
        Segment {
            tuple: Tuple::new(PEER, OURS),
            sequence: 1_000,
            ack: 7,
            flags,
            window: 0,
            payload_len: 10,
        }
    }

    fn emitted(control: ControlSegment) -> Segment {
        let mut packet = [0; CONTROL_SEGMENT_LEN];
        control.emit(&mut packet);
        assert!(Sum::default().bytes(&packet[..IP_LEN]).is_intact());
        assert!(pseudo_header(&packet[12..20], 20).bytes(&packet[IP_LEN..]).is_intact());
        parse(&packet).expect("a segment")
    }

    #[test]
    fn a_reset_takes_its_numbers_from_what_it_answers() {
        let with_ack = emitted(ControlSegment::reset(&segment(ACK)));
        assert_eq!((with_ack.flags, with_ack.sequence), (RST, 7));
        let syn = emitted(ControlSegment::reset(&segment(SYN)));
        assert_eq!((syn.flags, syn.sequence, syn.ack), (RST | ACK, 0, 1_011));
        assert_eq!(syn.tuple, Tuple::new(OURS, PEER));
        assert_eq!((with_ack.window, syn.window), (0, 0));
    }

    #[test]
    fn an_acknowledgement_carries_its_window() {
        let tuple = Tuple::new(PEER, OURS);
        let ack = emitted(ControlSegment::acknowledgement(tuple, 5, 9, 0xa1b2));
        assert_eq!((ack.flags, ack.sequence, ack.ack, ack.window), (ACK, 5, 9, 0xa1b2));
    }

    #[test]
    fn a_restated_packet_differs_in_acknowledgement_and_window_alone() {
        let mut packet = [0x5a; 60];
        packet[IP_LEN + 12] = 0x50;
        let mut into = [0; 100];
        let restated = restate(&packet, 0x0102_0304, 0x0506, &mut into);
        packet[IP_LEN + 8..IP_LEN + 12].copy_from_slice(&[1, 2, 3, 4]);
        packet[IP_LEN + 14..IP_LEN + 16].copy_from_slice(&[5, 6]);
        assert_eq!(restated, packet);
    }

    #[test]
    fn sequence_numbers_compare_around_the_wrap() {
        assert!(is_after(1, 0));
        assert!(is_after(5, u32::MAX - 5));
        assert!(!is_after(u32::MAX - 5, 5));
        assert!(!is_after(9, 9));
    }

    #[test]
    fn options_are_walked_without_running_off_their_end() {
        let whole = b"\x02\x04\x05\xb4\x01\x03\x03\x07\x04\x02\x01\x00";
        assert!(options_are_whole(whole));
        assert_eq!(window_scale(whole), Some(7));
        assert_eq!(segment_max(whole), Some(1_460));
        assert_eq!(segment_max(b"\x01\x04\x02"), None);
        assert!(!options_are_whole(b"\x02\x04\x05"));
        assert!(!options_are_whole(b"\x08"));
        assert!(!options_are_whole(b"\x05\x00\x01\x01"));
        assert!(!options_are_whole(b"\x05\x0b\0\0\0\0\0\0\0\0\0\x01"));
        assert!(!options_are_whole(b"\x03\x04\x07\x01"));
        assert_eq!(window_scale(b"\x05\x00\x03\x03"), None);
        assert_eq!(window_scale(b"\x02\x04"), None);
    }
}
