//! What workers only count and an operator should hear of: another station with our address, and frames that are
//! longer than the link takes.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::human;
use crate::launch::WorkerSet;

/// What has been said so far.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Conflicts that were logged, and when.
    conflicts: Option<(u64, Instant)>,
    oversize_logged: bool,
}

impl Notices {
    /// Logs what is new, of `link` with our `address`.
    pub(super) fn look(&mut self, workers: &WorkerSet, (link, address): (&str, Ipv4Addr)) {
        let conflicts = workers.total(|stats| &stats.drop_address_conflict);
        if self.is_conflict_due(conflicts, Instant::now()) {
            let mac =
                workers.rival().map_or_else(|| "another station".into(), |mac| human::mac(&mac));
            tracing::warn!(
                "{mac} says that it has {address} too ({conflicts} times so far): clients on {link} may be sent \
                 there; take the address from one of the two"
            );
        }
        let cut = workers.total(|stats| &stats.drop_oversize);
        let scattered = workers.total(|stats| &stats.nic_rx_multi_segment);
        if cut + scattered > 0 && !self.oversize_logged {
            self.oversize_logged = true;
            tracing::warn!(
                "{link}: frames longer than the MTU arrive and are dropped (drop_oversize {cut}, \
                 nic_rx_multi_segment {scattered}): the sender leaves segmentation to hardware, and there is none \
                 on the way; on the other end of the link: ethtool -K IFACE tso off gso off gro off"
            );
        }
    }

    /// Whether there are new conflicts, and the last were logged some time ago.
    fn is_conflict_due(&mut self, conflicts: u64, now: Instant) -> bool {
        let due = match self.conflicts {
            None => conflicts > 0,
            Some((logged, at)) => conflicts > logged && now - at >= CONFLICTS_EVERY,
        };
        if due {
            self.conflicts = Some((conflicts, now));
        }
        due
    }
}

/// Two stations that both have the address may say so without end.
const CONFLICTS_EVERY: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_logged_at_once_and_then_once_a_minute() {
        let (mut notices, start) = (Notices::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(!notices.is_conflict_due(0, start));
        assert!(notices.is_conflict_due(1, start));
        assert!(!notices.is_conflict_due(9, after(59)));
        assert!(notices.is_conflict_due(9, after(60)));
        assert!(!notices.is_conflict_due(9, after(600)), "nothing is new");
    }
}
