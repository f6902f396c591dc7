//! What a NIC does about checksums: finish those of a frame that leaves, check those of one that
//! arrives. RFC 1071 arithmetic, written apart from the engine's so that one tests the other.

use engine::RxChecksums;
use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket,
};

/// Bytes of an untagged Ethernet header.
const ETHERNET_LEN: usize = 14;
/// Bytes of the VLAN tag.
const TAG_LEN: usize = 4;
/// EtherType of a VLAN tag (IEEE 802.1Q).
const TAGGED: u16 = 0x8100;

/// Fills in the IPv4 header checksum and the TCP checksum of `frame`, as hardware does.
///
/// # Panics
/// If the frame is not as [`engine::TxOffload::Checksums`] wants it: header checksum zero, TCP field
/// holding the pseudo-header sum.
pub(crate) fn finish(frame: &mut [u8], l2_len: usize, l3_len: usize) {
    let (ip, tcp) = frame[l2_len..].split_at_mut(l3_len);
    assert_eq!(ip[0], 0x40 | u8::try_from(l3_len / 4).unwrap_or(0), "IPv4 header of l3_len");
    assert_eq!(ip[10..12], [0, 0], "the header checksum field is left zero");
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    assert_eq!(total, l3_len + tcp.len(), "the frame ends with its packet");

    let header = !sum(ip, 0);
    ip[10..12].copy_from_slice(&header.to_be_bytes());

    let pseudo = pseudo_header(ip, tcp.len());
    assert_eq!(tcp[16..18], pseudo.to_be_bytes(), "the TCP field holds the pseudo-header sum");
    let segment = !sum(tcp, 0);
    tcp[16..18].copy_from_slice(&segment.to_be_bytes());
}

/// What hardware says of a received frame: it looks at untruncated IPv4 TCP without fragments only.
pub(crate) fn hardware_result(frame: &[u8]) -> RxChecksums {
    let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return RxChecksums::Unknown };
    let packet = match ethernet.ethertype() {
        EthernetProtocol::Ipv4 => &frame[ETHERNET_LEN..],
        EthernetProtocol::Unknown(TAGGED)
            if frame.len() > ETHERNET_LEN + TAG_LEN && frame[16..18] == [0x08, 0x00] =>
        {
            &frame[ETHERNET_LEN + TAG_LEN..]
        }
        _ => return RxChecksums::Unknown,
    };
    let Ok(ip) = Ipv4Packet::new_checked(packet) else { return RxChecksums::Unknown };
    if ip.version() != 4 || usize::from(ip.header_len()) < 20 {
        return RxChecksums::Unknown;
    }
    if !ip.verify_checksum() {
        return RxChecksums::Bad;
    }
    let whole = !ip.more_frags() && ip.frag_offset() == 0;
    if !whole || ip.next_header() != IpProtocol::Tcp {
        return RxChecksums::Unknown;
    }
    let Ok(tcp) = TcpPacket::new_checked(ip.payload()) else { return RxChecksums::Unknown };
    let (source, destination) = (IpAddress::Ipv4(ip.src_addr()), IpAddress::Ipv4(ip.dst_addr()));
    if tcp.verify_checksum(&source, &destination) { RxChecksums::Good } else { RxChecksums::Bad }
}

/// Sum of the pseudo-header, not complemented (RFC 9293 3.1).
pub(crate) fn pseudo_header(ip: &[u8], tcp_len: usize) -> u16 {
    let mut pseudo = [0; 12];
    pseudo[..8].copy_from_slice(&ip[12..20]);
    pseudo[9] = ip[9];
    pseudo[10..].copy_from_slice(&u16::try_from(tcp_len).unwrap_or(u16::MAX).to_be_bytes());
    sum(&pseudo, 0)
}

/// One's complement sum of big-endian 16-bit words, an odd byte padded with zero.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut total = start;
    for pair in bytes.chunks(2) {
        total += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total & 0xffff).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Address, Segment};

    fn segment_frame() -> Vec<u8> {
        let to = Address { mac: [2, 0, 0, 0, 0, 1], ip: [198, 18, 0, 2].into() };
        let from = Address { mac: [2, 0, 0, 0, 0, 9], ip: [198, 18, 0, 9].into() };
        Segment { payload: b"odd".to_vec(), ..Segment::new(4000, 80) }.frame(&from, &to)
    }

    #[test]
    fn finishing_gives_what_the_wire_library_gives() {
        let whole = segment_frame();
        let mut left = whole.clone();
        left[24..26].copy_from_slice(&[0, 0]);
        let pseudo = pseudo_header(&left[14..34], left.len() - 34);
        left[50..52].copy_from_slice(&pseudo.to_be_bytes());
        finish(&mut left, 14, 20);
        assert_eq!(left, whole);
    }

    #[test]
    fn every_single_flipped_bit_of_a_packet_is_caught() {
        let good = segment_frame();
        assert_eq!(hardware_result(&good), RxChecksums::Good);
        for bit in 14 * 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(hardware_result(&bad), RxChecksums::Good, "bit {bit}");
        }
    }
}
