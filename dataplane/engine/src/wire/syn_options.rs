//! The options of a SYN that both ends of a connection keep to: what the peer offers, and what we answer.

use crate::wire::segment;

/// What a SYN offers (RFC 9293, 3.7.1; RFC 7323, 2.2; RFC 2018, 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SynOptions {
    /// The largest segment its sender takes, bytes of payload; `None`: it says nothing.
    pub(crate) segment_max: Option<u16>,
    /// How far its sender shifts its window; `None`: not at all, and neither may we.
    pub(crate) window_scale: Option<u8>,
    /// Whether its sender takes selective acknowledgements.
    pub(crate) permits_sack: bool,
}

impl SynOptions {
    /// Reads the `options` of a SYN. A segment of no bytes at all is taken for none said, as smoltcp and Linux do.
    pub(crate) fn parse(options: &[u8]) -> Self {
        Self {
            segment_max: segment::segment_max(options).filter(|max| *max > 0),
            window_scale: segment::window_scale(options).map(|scale| scale.min(WINDOW_SCALE_MAX)),
            permits_sack: segment::permits_sack(options),
        }
    }

    /// Lays the options out: bytes, a multiple of four.
    pub(crate) fn emit(self, into: &mut [u8; SYN_OPTIONS_LEN_MAX]) -> usize {
        let mut len = 0;
        let mut put = |option: [u8; 4]| {
            into[len..len + 4].copy_from_slice(&option);
            len += 4;
        };
        if let Some(max) = self.segment_max {
            let [high, low] = max.to_be_bytes();
            put([segment::OPTION_MSS, 4, high, low]);
        }
        if let Some(scale) = self.window_scale {
            put([segment::OPTION_NOP, segment::OPTION_WINDOW_SCALE, 3, scale]);
        }
        if self.permits_sack {
            put([segment::OPTION_NOP, segment::OPTION_NOP, segment::OPTION_SACK_PERMITTED, 2]);
        }
        len
    }

    /// What our SYN answers to this offer: segments of `segment_max` bytes, and of the rest no more than is offered.
    pub(crate) fn reply(self, segment_max: u16, window_scale: u8) -> Self {
        Self {
            segment_max: Some(segment_max),
            window_scale: self.window_scale.map(|_| window_scale),
            permits_sack: self.permits_sack,
        }
    }

    /// The largest segment that its sender takes, bytes of payload.
    //= RFC 9293 3.7.1: 536 where it says nothing.
    pub(crate) fn segment_max(self) -> u16 {
        self.segment_max.unwrap_or(SEGMENT_MAX_DEFAULT)
    }
}

/// Bytes of the options that [`SynOptions`] knows, padding included.
pub(crate) const SYN_OPTIONS_LEN_MAX: usize = 12;

/// The largest segment of a peer that says nothing (RFC 9293, 3.7.1), bytes of payload.
pub(crate) const SEGMENT_MAX_DEFAULT: u16 = 536;

/// The largest shift of a window (RFC 7323, 2.3).
pub(crate) const WINDOW_SCALE_MAX: u8 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_laid_out_is_read_again() {
        for segment_max in [None, Some(536), Some(1_460)] {
            for window_scale in [None, Some(0), Some(14)] {
                for permits_sack in [false, true] {
                    let options = SynOptions { segment_max, window_scale, permits_sack };
                    let mut bytes = [0; SYN_OPTIONS_LEN_MAX];
                    let len = options.emit(&mut bytes);
                    assert!(segment::options_are_whole(&bytes[..len]));
                    assert_eq!(SynOptions::parse(&bytes[..len]), options);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_meant_is_bounded() {
        let read = SynOptions::parse(b"\x02\x04\x00\x00\x03\x03\x20\x00");
        assert_eq!((read.segment_max(), read.window_scale), (536, Some(14)));
    }

    #[test]
    fn the_reply_uses_what_was_offered_and_no_more() {
        let least = SynOptions::default().reply(1_460, 3);
        assert_eq!(least, SynOptions { segment_max: Some(1_460), ..SynOptions::default() });
        let all = SynOptions { segment_max: None, window_scale: Some(7), permits_sack: true };
        let reply = all.reply(1_460, 3);
        assert_eq!((reply.window_scale, reply.permits_sack), (Some(3), true));
    }
}
