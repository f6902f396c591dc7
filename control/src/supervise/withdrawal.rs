//! Between "not ready" and the drain: the time in which whoever routes to this server is to notice.

use std::time::{Duration, Instant};

/// What a withdrawal leads to, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Responses begin to say `Connection: close`. By now new connections should go elsewhere.
    Retire,
    /// Connections are refused, and idle ones closed.
    Drain,
}

/// A withdrawal under way. In its first half the server serves as ever, in its second with
/// `Connection: close`.
#[derive(Debug)]
pub(super) struct Withdrawal {
    retire_at: Instant,
    drain_at: Instant,
    retired: bool,
}

impl Withdrawal {
    /// One that takes so long, from `now`; `None` if it takes no time.
    pub(super) fn begin(takes: Duration, now: Instant) -> Option<Self> {
        let (retire_at, drain_at) = (now + takes / 2, now + takes);
        (!takes.is_zero()).then_some(Self { retire_at, drain_at, retired: false })
    }

    /// When the drain is due.
    pub(super) fn end(&self) -> Instant {
        self.drain_at
    }

    /// The step that is due at `now`, each once.
    pub(super) fn due(&mut self, now: Instant) -> Option<Step> {
        if now >= self.drain_at {
            return Some(Step::Drain);
        }
        let retires = now >= self.retire_at && !self.retired;
        self.retired |= retires;
        retires.then_some(Step::Retire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_retires_halfway_and_drains_at_the_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut withdrawal = Withdrawal::begin(Duration::from_secs(4), start).expect("4 s");
        assert_eq!(withdrawal.due(at(1_999)), None);
        assert_eq!(withdrawal.due(at(2_000)), Some(Step::Retire));
        assert_eq!(withdrawal.due(at(3_999)), None, "said once");
        assert_eq!(withdrawal.due(at(4_000)), Some(Step::Drain));
    }

    #[test]
    fn without_time_there_is_none() {
        assert!(Withdrawal::begin(Duration::ZERO, Instant::now()).is_none());
    }
}
