//! Watches from outside that no worker holds a connection past its deadlines.
//!
//! Counters do not say which connection is how old. But while none of them moves no connection changes its state: where
//! that lasts longer than a state may, and somebody is in that state, a deadline was missed.

use engine::{CoreStats, Deadlines};

/// Looks at the counters of all workers, step by step.
#[derive(Debug)]
pub(crate) struct DeadlineWatch {
    deadlines: Deadlines,
    /// A longer step than this was a pause, in which no worker had a turn, in microseconds.
    step_max: u64,
    /// Microseconds that were watched: those in which nobody does anything count no more than a tick.
    clock: u64,
    looked_at: u64,
    workers: Vec<Seen>,
}

/// What one worker's counters said, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    opened: u64,
    opened_since: u64,
    events: [u64; EVENTS],
    events_since: u64,
}

impl DeadlineWatch {
    pub(crate) fn new(deadlines: Deadlines, step_max: u64) -> Self {
        Self { deadlines, step_max, clock: 0, looked_at: 0, workers: Vec::new() }
    }

    /// Looks at the numbers of each worker at `now`, in microseconds. Returns the deadline that was missed, in words.
    pub(crate) fn look<'a>(
        &mut self,
        stats: impl Iterator<Item = &'a CoreStats>,
        now: u64,
    ) -> Option<String> {
        self.clock += (now - self.looked_at).min(self.step_max);
        self.looked_at = now;
        let mut missed = None;
        for (worker, stats) in stats.enumerate() {
            if worker == self.workers.len() {
                self.workers.push(Seen::default());
            }
            let seen = &mut self.workers[worker];
            seen.note(stats, self.clock);
            missed = missed.or_else(|| seen.missed(&self.deadlines, stats, self.clock));
        }
        missed
    }
}

impl Seen {
    fn note(&mut self, stats: &CoreStats, clock: u64) {
        let opened = stats.connections_opened.value();
        if self.opened != opened {
            (self.opened, self.opened_since) = (opened, clock);
        }
        let events = events(stats);
        if self.events != events {
            (self.events, self.events_since) = (events, clock);
        }
    }

    fn missed(&self, deadlines: &Deadlines, stats: &CoreStats, clock: u64) -> Option<String> {
        // Only a SYN makes a connection half-open, whatever else is heard.
        let half_open = clock - self.opened_since;
        let quiet = clock - self.events_since;
        let reading_ms = deadlines.head_ms.max(longest_body(deadlines));
        // Whatever the state, a response before it may not be taken yet, and then it is that which stalls.
        let or_stall = |millis: u64| millis.max(deadlines.stall_ms);
        let states = [
            ("half-open", &stats.connections_half_open, deadlines.handshake_ms, half_open),
            ("idle", &stats.connections_idle, or_stall(deadlines.idle_ms), quiet),
            ("reading", &stats.connections_reading, or_stall(reading_ms), quiet),
            ("waiting", &stats.connections_waiting, or_stall(deadlines.response_ms), quiet),
            ("sending", &stats.connections_sending, deadlines.stall_ms, quiet),
            ("closing", &stats.connections_closing, or_stall(deadlines.close_ms), quiet),
        ];
        let (state, _, limit_ms, lasted) =
            states.into_iter().find(|&(_, level, limit_ms, lasted)| {
                lasted > limit_ms.saturating_mul(1_000).saturating_add(SLACK) && level.value() > 0
            })?;
        Some(format!("a connection has been {state} for {} of {limit_ms} ms", lasted / 1_000))
    }
}

/// How long a body may bring nothing, in milliseconds: the rest of the window in which it brought enough, a second for what it
/// brought beyond that, and the one that it misses.
fn longest_body(deadlines: &Deadlines) -> u64 {
    deadlines.body_grace_ms.saturating_mul(3)
}

/// How long what is left of a connection may take when its client is gone, in microseconds: the longest of the states of a
/// request, the response, the end.
pub(crate) fn longest_end(deadlines: &Deadlines) -> u64 {
    let Deadlines { handshake_ms, head_ms, idle_ms, response_ms, .. } = *deadlines;
    let first =
        handshake_ms.max(head_ms).max(longest_body(deadlines)).max(idle_ms).max(response_ms);
    let millis = first.saturating_add(deadlines.stall_ms).saturating_add(deadlines.close_ms);
    millis.saturating_mul(1_000).saturating_add(SLACK)
}

/// What moves whenever a connection changes its state or may stay longer in it: a frame, a request, or a level.
fn events(stats: &CoreStats) -> [u64; EVENTS] {
    [
        &stats.rx_delivered,
        &stats.requests,
        &stats.connections_open,
        &stats.connections_half_open,
        &stats.connections_idle,
        &stats.connections_reading,
        &stats.connections_waiting,
        &stats.connections_sending,
        &stats.connections_closing,
    ]
    .map(|counter| counter.value())
}

/// How many numbers are watched.
const EVENTS: usize = 9;

/// What publishing and the engine's timers may take beyond a deadline, in microseconds.
const SLACK: u64 = 1_500_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> DeadlineWatch {
        DeadlineWatch::new(Deadlines::default(), 1_000)
    }

    /// Looks once a millisecond for `millis`, and returns what was said first.
    fn look(watch: &mut DeadlineWatch, stats: &CoreStats, millis: u64) -> Option<String> {
        let start = watch.looked_at / 1_000;
        (start + 1..=start + millis).find_map(|now| watch.look([stats].into_iter(), now * 1_000))
    }

    #[test]
    fn a_state_that_outlasts_its_deadline_is_reported_and_what_is_heard_extends_it() {
        let (mut watch, stats) = (watch(), CoreStats::default());
        stats.connections_closing.set(1);
        assert_eq!(look(&mut watch, &stats, 29_900), None);
        stats.rx_delivered.add(1);
        assert_eq!(look(&mut watch, &stats, 29_900), None);
        let said = look(&mut watch, &stats, 3_000).expect("30 s and the slack are over");
        assert_eq!(said, "a connection has been closing for 31501 of 30000 ms");
        stats.connections_closing.set(0);
        assert_eq!(look(&mut watch, &stats, 200_000), None);
    }

    #[test]
    fn a_handshake_is_not_extended_by_what_is_heard() {
        let (mut watch, stats) = (watch(), CoreStats::default());
        stats.connections_opened.add(1);
        stats.connections_half_open.set(1);
        for _ in 0..6 {
            assert_eq!(look(&mut watch, &stats, 1_000), None);
            stats.rx_delivered.add(1);
        }
        let said = look(&mut watch, &stats, 1_000);
        assert_eq!(said.as_deref(), Some("a connection has been half-open for 6501 of 5000 ms"));
    }

    #[test]
    fn a_pause_counts_as_one_tick() {
        let (mut watch, stats) = (watch(), CoreStats::default());
        stats.connections_idle.set(1);
        assert_eq!(look(&mut watch, &stats, 1), None);
        assert_eq!(watch.look([&stats].into_iter(), 1_000_000_000), None);
        assert_eq!(look(&mut watch, &stats, 60_000), None);
    }
}
