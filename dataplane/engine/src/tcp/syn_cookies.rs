//! SYN cookies (RFC 4987, 3.6): a SYN that finds no place in the SYN cache is answered, and nothing is kept of it. What
//! must be known when the acknowledgement comes is in the sequence number of our SYN-ACK, which it repeats.
//!
//! 26 bits are a keyed hash of the connection, the peer's number, the options and the time; 6 bits say the options, as
//! near below what was offered as so few bits can.

use core::hash::Hasher;

use siphasher::sip::SipHasher24;

use crate::wire::syn_options::SynOptions;
use crate::wire::tuple::Tuple;

/// The SYN cookies of one core.
#[derive(Debug)]
pub(crate) struct SynCookies {
    hasher: SipHasher24,
    /// When the last one left, in microseconds.
    sent: Option<u64>,
}

impl SynCookies {
    /// With a secret of 16 bytes.
    pub(crate) fn new(secret: [u8; 16]) -> Self {
        Self { hasher: SipHasher24::new_with_key(&secret), sent: None }
    }

    /// The initial sequence number that answers, at `micros`, a SYN with the number `irs`; `None`: what it offers cannot
    /// be said so.
    pub(crate) fn issue(
        &mut self,
        tuple: Tuple,
        irs: u32,
        options: SynOptions,
        micros: u64,
    ) -> Option<u32> {
        let code = encode(options)?;
        self.sent = Some(micros);
        Some(self.number(tuple, irs, code, micros / PERIOD_MICROS))
    }

    /// Whether a cookie may still come back at `micros`: else an acknowledgement that nobody waits for is not looked at.
    pub(crate) fn are_awaited(&self, micros: u64) -> bool {
        self.sent.is_some_and(|sent| micros.saturating_sub(sent) < 2 * PERIOD_MICROS)
    }

    /// What a SYN with the number `irs` offered that was answered with the number `iss`; `None`: this is no cookie of
    /// ours, or too old.
    pub(crate) fn check(
        &self,
        tuple: Tuple,
        irs: u32,
        iss: u32,
        micros: u64,
    ) -> Option<SynOptions> {
        let (code, period) = (iss & CODE_MASK, micros / PERIOD_MICROS);
        let is_ours = |period| self.number(tuple, irs, code, period) == iss;
        (is_ours(period) || period > 0 && is_ours(period - 1)).then(|| decode(code))
    }

    fn number(&self, tuple: Tuple, irs: u32, code: u32, period: u64) -> u32 {
        let mut hasher = self.hasher;
        hasher.write_u64(tuple.addresses);
        hasher.write_u32(tuple.ports);
        hasher.write_u32(irs);
        hasher.write_u64(period);
        hasher.write_u32(code);
        let hash = u32::try_from(hasher.finish() >> 32).unwrap_or(0);
        hash & !CODE_MASK | code
    }
}

/// What is offered, rounded down to what six bits can say. `None`: the peer takes no segment that large.
fn encode(options: SynOptions) -> Option<u32> {
    let max = options.segment_max();
    let segment = (0..).zip(SEGMENTS).filter(|(_, least)| *least <= max).last()?.0;
    let scale = match options.window_scale {
        None => 0,
        Some(offered) => {
            (1..).zip(SCALES).filter(|(_, least)| *least <= offered).last().map_or(0, |(at, _)| at)
        }
    };
    Some(segment << 4 | scale << 1 | u32::from(options.permits_sack))
}

fn decode(code: u32) -> SynOptions {
    let [segment, scale] = [code >> 4 & 3, code >> 1 & 7].map(|at| at as usize);
    SynOptions {
        segment_max: Some(SEGMENTS[segment]),
        window_scale: scale.checked_sub(1).map(|at| SCALES[at]),
        permits_sack: code & 1 != 0,
    }
}

/// Segments, bytes of payload: the least that every host takes, tunnels (1,280 bytes of IPv6's least MTU), PPPoE,
/// Ethernet.
const SEGMENTS: [u16; 4] = [536, 1_240, 1_440, 1_460];
/// Window scales; the eighth value is none at all. A smaller one makes the peer's window look smaller, never larger.
const SCALES: [u8; 7] = [0, 2, 4, 6, 7, 8, 10];
const CODE_MASK: u32 = 0x3f;
/// A cookie is good for the rest of the period in which it was made and for the next one, microseconds.
const PERIOD_MICROS: u64 = 64_000_000;

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn tuple(port: u16) -> Tuple {
        let peer = (Ipv4Addr::new(198, 18, 0, 1), port);
        Tuple::new(peer, (Ipv4Addr::new(198, 18, 0, 2), 8_080))
    }

    fn offer(segment_max: Option<u16>, window_scale: Option<u8>, permits_sack: bool) -> SynOptions {
        SynOptions { segment_max, window_scale, permits_sack }
    }

    #[test]
    fn a_cookie_says_what_was_offered_or_a_little_less() {
        let mut cookies = SynCookies::new([7; 16]);
        for segment_max in [None, Some(536), Some(1_239), Some(1_459), Some(1_460), Some(8_960)] {
            for window_scale in (0..=14).map(Some).chain([None]) {
                for permits_sack in [false, true] {
                    let offered = offer(segment_max, window_scale, permits_sack);
                    let iss = cookies.issue(tuple(1), 9, offered, 0).expect("it can be said");
                    let read = cookies.check(tuple(1), 9, iss, 0).expect("it is ours");
                    assert_eq!(read.permits_sack, permits_sack);
                    assert_eq!(read.window_scale.is_some(), window_scale.is_some());
                    assert!(read.window_scale <= window_scale, "{offered:?} {read:?}");
                    let (least, most) = (offered.segment_max() * 3 / 8, offered.segment_max());
                    assert!((least.min(1_460)..=most).contains(&read.segment_max()));
                }
            }
        }
        for common in [offer(Some(1_460), Some(7), true), offer(Some(1_460), Some(8), true)] {
            let iss = cookies.issue(tuple(1), 9, common, 0).expect("it can be said");
            assert_eq!(cookies.check(tuple(1), 9, iss, 0), Some(common), "nothing is lost");
        }
        assert_eq!(cookies.issue(tuple(1), 9, offer(Some(535), None, false), 0), None);
    }

    #[test]
    fn it_is_good_for_its_connection_and_its_time_alone() {
        let mut cookies = SynCookies::new([7; 16]);
        let offered = offer(Some(1_460), Some(7), true);
        let iss = cookies.issue(tuple(1), 9, offered, 10 * PERIOD_MICROS).expect("it can be said");
        let checked = |tuple, irs, iss, micros| cookies.check(tuple, irs, iss, micros);
        let now = 12 * PERIOD_MICROS - 1;
        assert_eq!(checked(tuple(1), 9, iss, now), Some(offered));
        assert_eq!(checked(tuple(1), 9, iss, now + 1), None, "too old");
        assert_eq!(checked(tuple(1), 9, iss, 9 * PERIOD_MICROS), None, "not made yet");
        assert_eq!(checked(tuple(2), 9, iss, now), None);
        assert_eq!(checked(tuple(1), 10, iss, now), None);
        for bit in 0..32 {
            assert_eq!(checked(tuple(1), 9, iss ^ 1 << bit, now), None, "bit {bit}");
        }
        assert_eq!(SynCookies::new([8; 16]).check(tuple(1), 9, iss, now), None);
    }

    #[test]
    fn acknowledgements_are_looked_at_while_a_cookie_may_come_back() {
        let mut cookies = SynCookies::new([7; 16]);
        assert!(!cookies.are_awaited(0));
        let _ = cookies.issue(tuple(1), 9, SynOptions::default(), 1_000);
        assert!(cookies.are_awaited(1_000) && cookies.are_awaited(128_000_999));
        assert!(!cookies.are_awaited(128_001_000));
    }
}
