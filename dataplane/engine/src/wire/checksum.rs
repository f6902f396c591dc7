//! The Internet checksum (RFC 1071), in software, for links whose hardware does not do it.
//!
//! Sums are kept in native byte order: a one's complement sum does not care (RFC 1071, 2.B), so words
//! are added as they lie in memory, eight bytes at a time.

/// A one's complement sum that is not folded yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes; a last odd one counts as the high byte of a word. Only the last call for one
    /// checksum may be given an odd number of bytes.
    #[must_use]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<8>();
        let mut sum = self.0;
        for word in words {
            sum = add(sum, u64::from_ne_bytes(*word));
        }
        let mut last = [0; 8];
        last[..tail.len()].copy_from_slice(tail);
        Self(add(sum, u64::from_ne_bytes(last)))
    }

    /// Adds one 16-bit word, given in host order.
    #[must_use]
    pub(crate) fn word(self, word: u16) -> Self {
        Self(add(self.0, u64::from(word.to_be())))
    }

    /// The sum folded to 16 bits, as it lies in memory.
    pub(crate) fn folded(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).unwrap_or(u16::MAX).to_ne_bytes()
    }

    /// The checksum field that makes this sum come out right.
    pub(crate) fn checksum(self) -> [u8; 2] {
        let [a, b] = self.folded();
        [!a, !b]
    }

    /// Whether the bytes summed, checksum field included, are intact.
    pub(crate) fn is_intact(self) -> bool {
        self.folded() == [0xff, 0xff]
    }
}

/// The pseudo header of a TCP segment of `tcp_len` bytes between the two addresses of an IPv4 header
/// (RFC 9293, 3.1): `addresses` are bytes 12 to 20 of that header.
pub(crate) fn pseudo_header(addresses: &[u8], tcp_len: u16) -> Sum {
    Sum::default().bytes(addresses).word(PROTOCOL_TCP).word(tcp_len)
}

const PROTOCOL_TCP: u16 = 6;

/// End-around carry.
fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 as it is written: sixteen bits at a time, in network order.
    fn naive(bytes: &[u8]) -> [u8; 2] {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        u16::try_from(sum).expect("folded").to_be_bytes()
    }

    #[test]
    fn agrees_with_the_sixteen_bit_sum_at_every_length() {
        let bytes: Vec<u8> =
            (0..1500u32).map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
        for len in 0..bytes.len() {
            assert_eq!(Sum::default().bytes(&bytes[..len]).folded(), naive(&bytes[..len]), "{len}");
        }
    }

    #[test]
    fn carries_go_round_when_every_bit_is_set() {
        let ones = [0xff; 64];
        assert_eq!(Sum::default().bytes(&ones).folded(), [0xff, 0xff]);
    }

    #[test]
    fn the_field_makes_the_sum_come_out_right() {
        let mut header =
            *b"\x45\x00\x00\x3c\x1c\x46\x40\x00\x40\x06\x00\x00\xac\x10\x0a\x63\xac\x10\x0a\x0c";
        let field = Sum::default().bytes(&header).checksum();
        assert_eq!(field, [0xb1, 0xe6]);
        header[10..12].copy_from_slice(&field);
        assert!(Sum::default().bytes(&header).is_intact());
        header[3] ^= 1;
        assert!(!Sum::default().bytes(&header).is_intact());
    }
}
