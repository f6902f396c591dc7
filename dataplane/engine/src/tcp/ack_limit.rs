//! How many acknowledgements a connection sends for segments that change nothing: challenges and those of
//! TIME-WAIT (RFC 5961, 7).
//!
//! Each connection has a limit of its own. One for all of them could be used up by an attacker, so that a client
//! which needs a challenge gets none, and would tell him how many challenges others got (CVE-2016-5696).

use crate::limits::{ACK_LIMIT_BURST, ACK_LIMIT_INTERVAL_MICROS};

/// The limit of one connection: a bucket of [`ACK_LIMIT_BURST`], refilled by one every
/// [`ACK_LIMIT_INTERVAL_MICROS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct AckLimit {
    /// When the bucket is full again, in microseconds.
    full_at: u64,
}

impl AckLimit {
    /// Takes one acknowledgement; `false`: none is left.
    pub(crate) fn try_take(&mut self, micros: u64) -> bool {
        let full_at = self.full_at.max(micros);
        let is_allowed = full_at - micros <= (ACK_LIMIT_BURST - 1) * ACK_LIMIT_INTERVAL_MICROS;
        if is_allowed {
            self.full_at = full_at + ACK_LIMIT_INTERVAL_MICROS;
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: u64 = 1_000;
    const WINDOW: u64 = 5_000_000;

    /// When acknowledgements leave if one is wanted every millisecond for a minute.
    fn taken() -> Vec<u64> {
        let mut limit = AckLimit::default();
        (0..60_000).map(|at| at * MILLI).filter(|&micros| limit.try_take(micros)).collect()
    }

    #[test]
    fn no_five_seconds_see_more_than_ten() {
        let taken = taken();
        for &from in &taken {
            let within = taken.iter().filter(|&&at| at >= from && at < from + WINDOW).count();
            assert!(within <= 10, "{within} from {from}");
        }
        assert!(taken.len() > 40, "{}", taken.len());
    }

    #[test]
    fn whoever_was_quiet_has_a_burst() {
        let mut limit = AckLimit::default();
        let burst =
            |limit: &mut AckLimit, micros| (0..100).filter(|_| limit.try_take(micros)).count();
        assert_eq!(burst(&mut limit, 0), 6);
        assert_eq!(burst(&mut limit, 1_250_000), 1);
        assert_eq!(burst(&mut limit, 60_000_000), 6);
    }
}
