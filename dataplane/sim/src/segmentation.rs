//! What a NIC does about segmentation: cuts a large TCP packet into segments, as hardware does.

use crate::checksum;

/// Where the headers of a large packet end, and how it is to be cut.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cut {
    /// Bytes of the Ethernet header.
    pub(crate) l2_len: usize,
    /// Bytes of the IPv4 header.
    pub(crate) l3_len: usize,
    /// Bytes of the TCP header.
    pub(crate) l4_len: usize,
    /// Bytes of payload in each segment but the last.
    pub(crate) segment_size: usize,
}

/// Hands the frames that `frame` becomes to `take`, in order, checksums filled in.
///
/// # Panics
/// If the frame is not as [`engine::TxOffload::Segmentation`] wants it: header checksum zero, TCP field
/// holding the sum of a pseudo-header whose length is zero; or if it carries SYN, RST or URG.
pub(crate) fn split(frame: &[u8], cut: Cut, mut take: impl FnMut(&[u8])) {
    let Cut { l2_len, l3_len, l4_len, segment_size } = cut;
    assert!(segment_size > 0, "segments have a size");
    let (headers, payload) = frame.split_at(l2_len + l3_len + l4_len);
    let (ip, tcp) = headers[l2_len..].split_at(l3_len);
    assert_eq!(usize::from(ip[0] & 0xf) * 4, l3_len, "length of the IPv4 header");
    assert_eq!(usize::from(tcp[12] >> 4) * 4, l4_len, "length of the TCP header");
    assert_eq!(ip[10..12], [0, 0], "the header checksum field is left zero");
    let pseudo = checksum::pseudo_header(ip, 0);
    assert_eq!(tcp[16..18], pseudo.to_be_bytes(), "the TCP field holds the sum without a length");
    assert_eq!(tcp[13] & (SYN | RST | URG), 0, "only data is segmented");
    let (ident, first) = (u16::from_be_bytes([ip[4], ip[5]]), word(&tcp[4..8]));
    let count = payload.len().div_ceil(segment_size);
    for (number, piece) in payload.chunks(segment_size).enumerate() {
        let mut segment = [headers, piece].concat();
        let (ip, tcp) = segment[l2_len..].split_at_mut(l3_len);
        let total = half(l3_len + l4_len + piece.len());
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[4..6].copy_from_slice(&ident.wrapping_add(half(number)).to_be_bytes());
        let offset = u32::try_from(number * segment_size).expect("within 64 KiB");
        tcp[4..8].copy_from_slice(&first.wrapping_add(offset).to_be_bytes());
        if number + 1 < count {
            tcp[13] &= !(FIN | PSH);
        }
        let pseudo = checksum::pseudo_header(ip, tcp.len());
        tcp[16..18].copy_from_slice(&pseudo.to_be_bytes());
        checksum::finish(&mut segment, l2_len, l3_len);
        take(&segment);
    }
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn half(number: usize) -> u16 {
    u16::try_from(number).expect("within 64 KiB")
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const URG: u8 = 0x20;

#[cfg(test)]
mod tests {
    use engine::RxChecksums;

    use super::*;
    use crate::raw::{Address, Segment};

    #[test]
    fn a_packet_becomes_segments_that_add_up_to_it() {
        let to = Address { mac: [2, 0, 0, 0, 0, 1], ip: [198, 18, 0, 2].into() };
        let from = Address { mac: [2, 0, 0, 0, 0, 9], ip: [198, 18, 0, 9].into() };
        let payload: Vec<u8> = (0..2_500u32).map(|at| at.to_le_bytes()[0]).collect();
        let plain = Segment { payload: payload.clone(), ..Segment::new(4_000, 80) };
        let mut frame = plain.frame(&from, &to);
        frame[14 + 10..14 + 12].copy_from_slice(&[0, 0]);
        frame[34 + 13] |= FIN | PSH;
        let pseudo = checksum::pseudo_header(&frame[14..34], 0);
        frame[34 + 16..34 + 18].copy_from_slice(&pseudo.to_be_bytes());
        let mut frames = Vec::new();
        let cut = Cut { l2_len: 14, l3_len: 20, l4_len: 20, segment_size: 1_000 };
        split(&frame, cut, |segment| frames.push(segment.to_vec()));
        let first = word(&frame[38..42]);
        let joined: Vec<u8> = frames.iter().flat_map(|frame| frame[54..].to_vec()).collect();
        assert_eq!(joined, payload);
        for (number, segment) in (0u32..).zip(&frames) {
            assert_eq!(checksum::hardware_result(segment), RxChecksums::Good, "segment {number}");
            assert_eq!(word(&segment[38..42]), first.wrapping_add(number * 1_000));
            let last = if number == 2 { FIN | PSH } else { 0 };
            assert_eq!(segment[34 + 13] & (FIN | PSH), last, "segment {number}");
        }
        let lengths: Vec<_> = frames.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_054, 1_054, 554]);
        let idents: Vec<_> = frames.iter().map(|frame| frame[19] - frames[0][19]).collect();
        assert_eq!(idents, [0, 1, 2]);
    }
}
