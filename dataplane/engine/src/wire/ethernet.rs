//! The Ethernet header, with or without an 802.1Q tag. Frames are answered to where they came from: the reply's
//! header is made of the received one.

use crate::limits::L2_HEADER_MAX;

/// The broadcast address.
pub(crate) const BROADCAST: [u8; 6] = [0xff; 6];

/// EtherTypes (IEEE 802 numbers) the appliance knows.
pub(crate) const IPV4: u16 = 0x0800;
/// Address Resolution Protocol (RFC 826).
pub(crate) const ARP: u16 = 0x0806;
const VLAN: u16 = 0x8100;
/// The bits of a tag that name the VLAN; the others are priority and drop eligibility.
const VLAN_ID: u16 = 0x0fff;

/// The fields of a received Ethernet header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EthernetHeader {
    /// The destination address.
    pub(crate) destination: [u8; 6],
    /// The source address.
    pub(crate) source: [u8; 6],
    /// The 802.1Q tag: priority and VLAN identifier.
    tag: Option<[u8; 2]>,
    /// The EtherType of the payload.
    pub(crate) ethertype: u16,
}

impl EthernetHeader {
    /// Reads the header of `frame`; `None` if it is too short for one.
    pub(crate) fn parse(frame: &[u8]) -> Option<Self> {
        let (header, rest) = frame.split_first_chunk::<14>()?;
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        let outer = u16::from_be_bytes([t0, t1]);
        let (tag, ethertype) = if outer == VLAN {
            let [v0, v1, e0, e1] = *rest.first_chunk::<4>()?;
            (Some([v0, v1]), u16::from_be_bytes([e0, e1]))
        } else {
            (None, outer)
        };
        Some(Self {
            destination: [d0, d1, d2, d3, d4, d5],
            source: [s0, s1, s2, s3, s4, s5],
            tag,
            ethertype,
        })
    }

    /// Bytes this header takes: 14, or 18 with a tag.
    pub(crate) fn len(&self) -> usize {
        if self.tag.is_some() { L2_HEADER_MAX } else { 14 }
    }

    /// The VLAN that the frame is in. Identifier 0 names none: such a tag carries a priority alone (IEEE
    /// 802.1Q, 9.6).
    pub(crate) fn vlan(&self) -> Option<u16> {
        self.tag.map(|tag| u16::from_be_bytes(tag) & VLAN_ID).filter(|id| *id != 0)
    }

    /// The header of the reply: back to where it came from, from `mac`, in the same VLAN. What load
    /// balancers call auto last hop: no neighbour table, no route.
    pub(crate) fn reply(&self, mac: [u8; 6]) -> ReplyHeader {
        ReplyHeader::new(self.source, mac, self.tag, self.ethertype)
    }
}

/// An Ethernet header ready to be copied in front of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyHeader {
    bytes: [u8; L2_HEADER_MAX],
    len: u8,
}

impl ReplyHeader {
    /// Lays out a header.
    pub(crate) fn new(to: [u8; 6], from: [u8; 6], tag: Option<[u8; 2]>, ethertype: u16) -> Self {
        let mut bytes = [0; L2_HEADER_MAX];
        bytes[..6].copy_from_slice(&to);
        bytes[6..12].copy_from_slice(&from);
        let len = if let Some(tag) = tag {
            bytes[12..14].copy_from_slice(&VLAN.to_be_bytes());
            bytes[14..16].copy_from_slice(&tag);
            bytes[16..18].copy_from_slice(&ethertype.to_be_bytes());
            18
        } else {
            bytes[12..14].copy_from_slice(&ethertype.to_be_bytes());
            14
        };
        Self { bytes, len }
    }

    /// The bytes of the header.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Bytes of the header.
    pub(crate) fn len(&self) -> u8 {
        self.len
    }

    /// The value of its VLAN tag (IEEE 802.1Q), if it has one.
    pub(crate) fn tag(&self) -> Option<[u8; 2]> {
        (usize::from(self.len) == L2_HEADER_MAX).then_some([self.bytes[14], self.bytes[15]])
    }

    /// Where the frame goes.
    pub(crate) fn destination(&self) -> [u8; 6] {
        let [d0, d1, d2, d3, d4, d5, ..] = self.bytes;
        [d0, d1, d2, d3, d4, d5]
    }

    /// Lets the frame go to `mac` instead.
    pub(crate) fn redirect(&mut self, mac: [u8; 6]) {
        self.bytes[..6].copy_from_slice(&mac);
    }
}

/// Whether `mac` names a group of stations (IEEE 802: lowest bit of the first byte).
pub(crate) fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

    #[test]
    fn a_reply_goes_back_to_its_sender() {
        let frame = b"\x02\0\0\0\0\x09\x02\0\0\0\0\x01\x08\0rest";
        let header = EthernetHeader::parse(frame).expect("a header");
        assert_eq!((header.len(), header.ethertype), (14, IPV4));
        assert_eq!(header.reply(MAC).bytes(), b"\x02\0\0\0\0\x01\x02\0\0\0\0\x09\x08\0");
    }

    #[test]
    fn a_reply_stays_in_its_vlan() {
        let frame = b"\x02\0\0\0\0\x09\x02\0\0\0\0\x01\x81\0\x60\x2a\x08\0rest";
        let header = EthernetHeader::parse(frame).expect("a header");
        assert_eq!((header.len(), header.ethertype), (18, IPV4));
        assert_eq!(
            header.reply(MAC).bytes(),
            b"\x02\0\0\0\0\x01\x02\0\0\0\0\x09\x81\0\x60\x2a\x08\0"
        );
        assert_eq!(header.reply(MAC).tag(), Some([0x60, 0x2a]));
    }

    #[test]
    fn every_truncation_is_refused() {
        let frame = b"\x02\0\0\0\0\x09\x02\0\0\0\0\x01\x81\0\x60\x2a\x08\0";
        for len in 0..frame.len() {
            assert_eq!(EthernetHeader::parse(&frame[..len]), None, "{len}");
        }
    }
}
