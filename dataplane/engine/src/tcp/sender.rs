//! What one connection may send, and when it sends again: congestion window, loss detection and the timer.
//!
//! smoltcp's congestion control is off. It is asked for a segment only when [`Sender::has_room`] says so, and what
//! is to be sent again is in the [`Scoreboard`]. Losses are found by selective acknowledgements (RFC 2018, 6675),
//! by time (RFC 8985) and, with a peer that sends none, by duplicates (RFC 6582); what is lost at the end of a
//! response by a probe and then by a timeout. The window is NewReno's (RFC 5681), ten segments at first (RFC 6928).

use crate::CoreStats;
use crate::tcp::round_trip::RoundTrip;
use crate::tcp::scoreboard::{News, Scoreboard};
use crate::wire::segment::is_after;
use crate::wire::syn_options::SEGMENT_MAX_DEFAULT;

/// The sending half of one connection. Times are in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The oldest sequence number that the peer has not acknowledged (RFC 9293, 3.3.1: SND.UNA).
    pub(crate) una: u32,
    /// Largest payload of a segment the peer takes, bytes.
    segment_max: u32,
    /// The congestion window (RFC 5681, 2: cwnd), bytes.
    window: u32,
    /// Up to here the window grows with every acknowledgement (RFC 5681, 2: ssthresh), bytes.
    threshold: u32,
    /// When the timer is due, [`NEVER`]: it is off.
    due: u64,
    alarm: Alarm,
    phase: Phase,
    /// Whether the peer says what it has (RFC 2018).
    has_sack: bool,
    /// Whether the window kept something from being sent since the last acknowledgement.
    is_limited: bool,
    /// Whether one segment may leave whatever the window says: the next new number when that was allowed.
    allowance: Option<u32>,
    /// Whether the peer's window is closed.
    is_closed: bool,
    /// Whether segments of this connection were seen to overtake one another: only time tells a loss then.
    is_reordered: bool,
    /// What is acknowledged when a recovery is over (RFC 6582: `recover`).
    point: u32,
    /// The window and threshold before the recovery.
    before: (u32, u32),
    /// When the phase began.
    since: u64,
    /// Whether the tail was probed since the last acknowledgement.
    is_probed: bool,
    /// Acknowledgements in a row that acknowledge nothing new, of a peer without SACK.
    duplicates: u32,
    /// Bytes acknowledged since the window grew last (RFC 3465).
    acked: u32,
    /// The end of what is timed, if anything is.
    timed: Option<u32>,
    /// When what is timed left, or what was timed last.
    timed_since: u64,
    /// When something new left last.
    sent: u64,
    round_trip: RoundTrip,
    board: Scoreboard,
}

/// What the timer says when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alarm {
    /// What was overtaken is lost (RFC 8985, 6.2).
    Overtaken,
    /// The tail is probed (RFC 8985, 7.3).
    Probe,
    /// Everything is lost (RFC 6298, 5).
    Timeout,
    /// The closed window is probed (RFC 9293, 3.8.6.1).
    Closed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// Fast recovery (RFC 6675, 5).
    Recovery,
    /// After a timeout.
    Timeout,
}

/// What came of an acknowledgement or of the timer, for the statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Nothing,
    /// A loss was found.
    Recovery,
    /// The tail is probed.
    Probe,
    Timeout,
    /// What was taken for lost was not.
    Undone,
}

impl Outcome {
    /// Counts it.
    #[cold]
    pub(crate) fn count(self, stats: &CoreStats) {
        match self {
            Self::Nothing => {}
            Self::Recovery => stats.recoveries.add(1),
            Self::Probe => stats.loss_probes.add(1),
            Self::Timeout => stats.retransmission_timeouts.add(1),
            Self::Undone => stats.recoveries_undone.add(1),
        }
    }
}

impl Sender {
    pub(crate) fn new() -> Self {
        Self {
            una: 0,
            segment_max: u32::from(SEGMENT_MAX_DEFAULT),
            window: INITIAL_SEGMENTS * u32::from(SEGMENT_MAX_DEFAULT),
            threshold: u32::MAX,
            due: NEVER,
            alarm: Alarm::Timeout,
            phase: Phase::Open,
            has_sack: false,
            is_limited: false,
            allowance: None,
            is_closed: false,
            is_reordered: false,
            point: 0,
            before: (0, 0),
            since: 0,
            is_probed: false,
            duplicates: 0,
            acked: 0,
            timed: None,
            timed_since: 0u64.wrapping_sub(TIMED_EVERY),
            sent: 0,
            round_trip: RoundTrip::default(),
            board: Scoreboard::default(),
        }
    }

    /// The peer takes segments of `segment_max` bytes, and says what it has if `has_sack`.
    pub(crate) fn on_syn(&mut self, segment_max: u32, has_sack: bool) {
        self.segment_max = segment_max.max(1);
        self.has_sack = has_sack;
        self.window = self.initial_window();
    }

    /// The peer acknowledged our SYN at `now`, and closed its window if `is_closed`: `una` is the number after the SYN.
    pub(crate) fn on_handshake(&mut self, una: u32, is_closed: bool, now: u64) {
        // A SYN that was sent again says nothing of the window, and not which of both was acknowledged.
        if self.phase == Phase::Open && self.timed.is_some() {
            self.round_trip.sample(now.saturating_sub(self.timed_since));
        }
        self.round_trip.on_progress();
        self.board.clear();
        self.una = una;
        self.timed = None;
        self.phase = Phase::Open;
        self.window = self.initial_window();
        self.threshold = u32::MAX;
        self.is_closed = is_closed;
        self.arm(una, now);
    }

    /// Whether one more segment may leave, with everything before `nxt` sent.
    pub(crate) fn has_room(&mut self, nxt: u32) -> bool {
        let in_flight = nxt.wrapping_sub(self.una);
        if in_flight + self.segment_max <= self.window && !self.is_closed {
            return true;
        }
        self.has_room_in_pipe(in_flight)
    }

    #[cold]
    fn has_room_in_pipe(&mut self, in_flight: u32) -> bool {
        let is_allowed = self.allowance == Some(in_flight.wrapping_add(self.una));
        if self.is_closed {
            return is_allowed;
        }
        let pipe = self.pipe(in_flight);
        let has_room = pipe == 0 || pipe + self.segment_max <= self.window || is_allowed;
        self.is_limited |= !has_room;
        has_room
    }

    /// Bytes on their way (RFC 6675, 4: `pipe`).
    fn pipe(&self, in_flight: u32) -> u32 {
        let left = self.board.left_network() + self.duplicates * self.segment_max;
        in_flight.saturating_sub(left)
    }

    /// Whether something is to be sent again.
    pub(crate) fn has_lost(&self) -> bool {
        self.board.lost() > 0
    }

    /// The first number from `from` on that is to be sent again.
    pub(crate) fn first_lost(&self, from: u32) -> Option<u32> {
        self.board.first_lost(from)
    }

    /// Whether something of `from..to` is to be sent again.
    pub(crate) fn is_lost(&self, from: u32, to: u32) -> bool {
        self.board.lost_within(from, to)
    }

    /// `from..to` was sent again; `nxt` is the next new number.
    pub(crate) fn on_resent(&mut self, from: u32, to: u32, nxt: u32) {
        self.board.resend(from, to, nxt);
        self.allowance = None;
        //= RFC 6298 3: nothing is timed that was sent twice (Karn's algorithm).
        self.timed = None;
    }

    /// Nothing is in flight before a round of sending at `now`.
    pub(crate) fn on_quiet(&mut self, now: u64) {
        if self.window > INITIAL_BYTES {
            self.restart(now);
        }
    }

    //= RFC 5681 4.1: after a pause longer than the timeout the window is the initial one.
    #[cold]
    fn restart(&mut self, now: u64) {
        let initial = self.initial_window();
        if now > self.sent + self.round_trip.timeout(TIMEOUT_SINGLE) {
            self.window = self.window.min(initial);
        }
    }

    /// After a round of sending at `now` that sent everything before `nxt`, something new among it if `is_new`.
    pub(crate) fn on_sent(&mut self, nxt: u32, is_new: bool, now: u64) {
        if is_new {
            self.sent = now;
            if now.wrapping_sub(self.timed_since) >= TIMED_EVERY
                && self.timed.is_none()
                && self.board.is_empty()
            {
                (self.timed, self.timed_since) = (Some(nxt), now);
            }
        }
        //= RFC 8985 7.3: one probe, and then the timeout, whatever is sent meanwhile.
        let is_open = is_new && self.phase == Phase::Open && !self.is_probed;
        if is_open || self.due == NEVER && nxt != self.una {
            self.arm(nxt, now);
        }
    }

    /// When the timer is due, if it is on.
    pub(crate) fn due(&self) -> u64 {
        self.due
    }

    /// An acknowledgement arrived at `now`, everything before `nxt` being sent. Its `blocks` are what the peer has
    /// beyond what it acknowledges.
    pub(crate) fn on_acknowledgement(
        &mut self,
        arrival: &Arrival,
        nxt: u32,
        blocks: impl IntoIterator<Item = (u32, u32)>,
        now: u64,
    ) -> Outcome {
        let Arrival { ack, is_closed, has_blocks, .. } = *arrival;
        // What the peer says of a closed window when it is probed, tells no loss.
        let is_duplicate = arrival.is_duplicate && !is_closed;
        if is_closed != self.is_closed {
            self.is_closed = is_closed;
            self.on_window(nxt, now);
        }
        let acked = ack.wrapping_sub(self.una);
        if acked > 0 {
            let in_flight = nxt.wrapping_sub(self.una);
            self.una = ack;
            self.round_trip.on_progress();
            if let Some(end) = self.timed
                && !is_after(end, ack)
            {
                self.round_trip.sample(now.saturating_sub(self.timed_since));
                self.timed = None;
            }
            self.grow(acked, in_flight);
            self.is_limited = false;
            self.is_probed = false;
            if !has_blocks && self.phase == Phase::Open && self.board.is_empty() {
                self.duplicates = 0;
                self.arm(nxt, now);
                return Outcome::Nothing;
            }
        } else if !is_duplicate && !has_blocks {
            return Outcome::Nothing;
        }
        self.on_news(acked, is_duplicate, nxt, blocks, now)
    }

    /// Something is missing, or was.
    #[cold]
    fn on_news(
        &mut self,
        acked: u32,
        is_duplicate: bool,
        nxt: u32,
        blocks: impl IntoIterator<Item = (u32, u32)>,
        now: u64,
    ) -> Outcome {
        let mut news = self.board.advance(self.una);
        self.board.begin(self.una);
        for (from, to) in blocks {
            // What lies before SND.UNA is a duplicate that the peer received (RFC 2883).
            let is_valid = is_after(from, self.una) && is_after(to, from) && !is_after(to, nxt);
            if is_valid {
                news = news | self.board.sack(from, to);
            }
        }
        if self.is_spurious(news, now) {
            return self.undo(nxt, now);
        }
        if self.phase != Phase::Open && !is_after(self.point, self.una) {
            self.phase = Phase::Open;
            self.duplicates = 0;
            self.allowance = None;
        }
        let is_partial = acked > 0 && self.phase == Phase::Recovery;
        if self.has_sack {
            if !self.is_reordered {
                self.board.lose_below(DUPLICATES * self.segment_max);
            }
        } else {
            self.count_duplicates(acked, is_duplicate, nxt);
        }
        let found = self.has_lost() && self.phase == Phase::Open;
        if found {
            self.enter_recovery(nxt, now);
        }
        if acked > 0 || found {
            if is_partial {
                self.allowance = Some(nxt);
            }
            self.arm(nxt, now);
        }
        if self.has_sack && self.board.has_overtaken() && self.alarm != Alarm::Overtaken {
            self.due = self.due.min(now + self.round_trip.reordering_window());
            self.alarm = Alarm::Overtaken;
        }
        if found { Outcome::Recovery } else { Outcome::Nothing }
    }

    /// Counts duplicate acknowledgements of a peer without SACK, and finds a loss by them.
    fn count_duplicates(&mut self, acked: u32, is_duplicate: bool, nxt: u32) {
        let in_flight = nxt.wrapping_sub(self.una);
        if self.phase == Phase::Timeout {
            return;
        }
        if acked > 0 {
            //= RFC 6582 3.2 step 3: a partial acknowledgement says that the next segment is lost, too.
            if self.phase == Phase::Recovery && in_flight > 0 {
                self.duplicates = self.duplicates.saturating_sub(acked / self.segment_max);
                self.board.begin(self.una);
                self.board.lose(self.una, self.first_end(nxt));
            } else {
                self.duplicates = 0;
            }
            return;
        }
        if !is_duplicate {
            return;
        }
        let segments = in_flight.div_ceil(self.segment_max);
        self.duplicates = (self.duplicates + 1).min(segments.saturating_sub(1));
        //= RFC 5827 3.1: a short window gives fewer than three.
        let enough = segments.saturating_sub(1).clamp(1, DUPLICATES);
        if self.phase == Phase::Open && self.duplicates >= enough {
            self.board.lose(self.una, self.first_end(nxt));
        }
    }

    /// The timer is due at `now`, with everything before `nxt` sent; `has_more` says that there is something new to
    /// send.
    #[cold]
    pub(crate) fn on_alarm(&mut self, nxt: u32, has_more: bool, now: u64) -> Outcome {
        self.due = NEVER;
        if nxt == self.una && !self.is_closed {
            return Outcome::Nothing;
        }
        self.board.begin(self.una);
        let outcome = match self.alarm {
            Alarm::Overtaken => {
                self.board.lose_overtaken();
                let found = self.has_lost() && self.phase == Phase::Open;
                if found {
                    self.enter_recovery(nxt, now);
                }
                if found { Outcome::Recovery } else { Outcome::Nothing }
            }
            Alarm::Probe => {
                //= RFC 8985 7.3: a new segment, or the last one again.
                self.allowance = Some(nxt);
                self.is_probed = true;
                if !has_more {
                    let last = nxt.wrapping_sub(self.segment_max);
                    let last = if is_after(self.una, last) { self.una } else { last };
                    let (from, to) =
                        if self.has_sack { (last, nxt) } else { (self.una, self.first_end(nxt)) };
                    self.board.lose(from, to);
                }
                Outcome::Probe
            }
            Alarm::Closed => {
                //= RFC 9293 3.8.6.1: something beyond the window, now and then; new, or in flight. It is not a loss.
                self.board.lose_all(self.first_end(nxt));
                self.allowance = Some(nxt);
                self.round_trip.back_off();
                self.arm(nxt, now);
                return Outcome::Nothing;
            }
            Alarm::Timeout => {
                self.on_timeout(nxt, now);
                Outcome::Timeout
            }
        };
        self.alarm = Alarm::Timeout;
        self.due = now + self.timeout(nxt);
        outcome
    }

    /// Nothing holds the connection back any more: it ends with a reset.
    pub(crate) fn release(&mut self) {
        self.board.clear();
        self.window = u32::MAX / 2;
    }

    fn on_timeout(&mut self, nxt: u32, now: u64) {
        //= RFC 6582 4: a timeout within a recovery does not cut the window again.
        if self.phase == Phase::Open {
            let in_flight = nxt.wrapping_sub(self.una);
            self.before = (self.window, self.threshold);
            //= RFC 5681 3.1 equation 4.
            self.threshold = (self.pipe(in_flight) / 2).max(2 * self.segment_max);
        }
        (self.phase, self.since) = (Phase::Timeout, now);
        self.point = nxt;
        self.window = self.segment_max;
        self.duplicates = 0;
        self.timed = None;
        self.round_trip.back_off();
        self.board.lose_all(nxt);
    }

    //= RFC 6675 5 step 4, RFC 6582 3.2 step 2: the window is halved once in a recovery.
    fn enter_recovery(&mut self, nxt: u32, now: u64) {
        let in_flight = nxt.wrapping_sub(self.una);
        self.before = (self.window, self.threshold);
        self.threshold = (in_flight.min(self.window) / 2).max(2 * self.segment_max);
        self.window = self.threshold;
        (self.phase, self.since) = (Phase::Recovery, now);
        self.point = nxt;
        self.allowance = Some(nxt);
        self.timed = None;
    }

    /// Whether `news` proves that something was taken for lost that was not.
    ///
    /// What arrived without having been sent again, a peer with SACK had not got before; without SACK it may have
    /// had it for long. And whatever was acknowledged sooner than any round trip after the first was sent again, the
    /// acknowledgement is for what was sent before (RFC 3522 asks timestamps).
    fn is_spurious(&self, news: News, now: u64) -> bool {
        let is_soon = self.round_trip.is_too_soon(now.saturating_sub(self.since));
        let is_proof = match news {
            News { had_lost: false, had_resent: false } => false,
            News { had_lost: true, .. } if self.has_sack => true,
            News { had_resent: true, .. } => is_soon,
            News { had_lost: true, .. } => self.phase == Phase::Timeout && is_soon,
        };
        is_proof && self.phase != Phase::Open
    }

    /// What was taken for lost was late (RFC 5682, RFC 4015).
    fn undo(&mut self, nxt: u32, now: u64) -> Outcome {
        self.is_reordered |= self.phase == Phase::Recovery;
        self.board.forgive();
        self.phase = Phase::Open;
        self.window = self.window.max(self.before.0);
        self.threshold = self.before.1;
        self.duplicates = 0;
        self.allowance = None;
        self.arm(nxt, now);
        Outcome::Undone
    }

    /// The window grows by what was acknowledged, if it was what held the connection back.
    fn grow(&mut self, acked: u32, in_flight: u32) {
        let was_needed = self.is_limited || in_flight >= self.window / 2;
        if self.phase == Phase::Recovery || !was_needed {
            return;
        }
        if self.window < self.threshold {
            //= RFC 3465 2.2, with L = 2.
            self.window += acked.min(2 * self.segment_max);
        } else {
            self.acked += acked;
            if self.acked >= self.window {
                self.acked -= self.window;
                self.window += self.segment_max;
            }
        }
        self.window = self.window.min(WINDOW_MAX);
    }

    /// The peer has closed its window, or opened it: what was in flight beyond it may have been thrown away.
    #[cold]
    fn on_window(&mut self, nxt: u32, now: u64) {
        self.round_trip.on_progress();
        self.arm(nxt, now);
    }

    /// Sets the timer anew.
    fn arm(&mut self, nxt: u32, now: u64) {
        if self.is_closed {
            (self.alarm, self.due) = (Alarm::Closed, now + self.round_trip.timeout(TIMEOUT_SINGLE));
            return;
        }
        if nxt == self.una {
            self.due = NEVER;
            return;
        }
        let in_flight = nxt.wrapping_sub(self.una);
        let is_quiet = self.phase == Phase::Open && self.board.is_empty();
        let probe = self.round_trip.probe_timeout();
        (self.alarm, self.due) = match probe.filter(|_| is_quiet && in_flight > self.segment_max) {
            Some(probe) => (Alarm::Probe, now + probe.max(TIMEOUT_FLOOR)),
            None => (Alarm::Timeout, now + self.timeout(nxt)),
        };
    }

    /// A single segment's acknowledgement may be delayed (RFC 9293, 3.8.6.3); that of more is not.
    fn timeout(&self, nxt: u32) -> u64 {
        let is_single = nxt.wrapping_sub(self.una) <= self.segment_max;
        self.round_trip.timeout(if is_single { TIMEOUT_SINGLE } else { TIMEOUT_FLOOR })
    }

    /// The end of the segment that begins at `from`, before `nxt`.
    pub(crate) fn segment_end(&self, from: u32, nxt: u32) -> u32 {
        from.wrapping_add(nxt.wrapping_sub(from).min(self.segment_max))
    }

    /// The end of the first segment in flight.
    fn first_end(&self, nxt: u32) -> u32 {
        self.segment_end(self.una, nxt)
    }

    fn initial_window(&self) -> u32 {
        //= RFC 6928 2: min (10*MSS, max (2*MSS, 14600)).
        (INITIAL_SEGMENTS * self.segment_max).min(INITIAL_BYTES.max(2 * self.segment_max))
    }
}

/// What of a segment concerns the sender.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The acknowledgement number; SND.UNA or later, and not beyond SND.NXT.
    pub(crate) ack: u32,
    /// Whether it only repeats the last one (RFC 5681, 2).
    pub(crate) is_duplicate: bool,
    /// Whether it closes the window.
    pub(crate) is_closed: bool,
    /// Whether it has selective acknowledgements.
    pub(crate) has_blocks: bool,
}

/// A round trip is measured no more often, microseconds.
//= RFC 6298 3 asks for one each round trip; where that is shorter, the floors of the timeout hide the difference.
const TIMED_EVERY: u64 = 1_000;
/// A time that does not come.
pub(crate) const NEVER: u64 = u64::MAX;
/// Duplicates, or segments beyond it, on which one is taken for lost (RFC 5681, 3.2: `DupThresh`).
const DUPLICATES: u32 = 3;
/// The least timeout, microseconds, where acknowledgements are not delayed.
const TIMEOUT_FLOOR: u64 = 5_000;
/// The least timeout where the peer may delay the acknowledgement.
const TIMEOUT_SINGLE: u64 = 200_000;
const INITIAL_SEGMENTS: u32 = 10;
const INITIAL_BYTES: u32 = 14_600;
/// A window that nothing needs: the largest that window scaling can offer (RFC 7323, 2.3).
const WINDOW_MAX: u32 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;
    const MILLI: u64 = 1_000;

    /// A sender with `nxt` before which everything was sent, and a clock.
    struct Sending {
        sender: Sender,
        nxt: u32,
        now: u64,
    }

    impl Sending {
        /// With a round trip of `rtt` milliseconds and `segments` in flight.
        fn new(has_sack: bool, rtt: u64, segments: u32) -> Self {
            let mut sender = Sender::new();
            sender.on_syn(MSS, has_sack);
            sender.una = 0xffff_f000;
            sender.on_sent(sender.una.wrapping_add(1), true, 0);
            sender.on_handshake(sender.una.wrapping_add(1), false, rtt * MILLI);
            let mut sending = Self { nxt: sender.una, sender, now: rtt * MILLI };
            sending.send(segments);
            sending
        }

        fn send(&mut self, segments: u32) {
            self.nxt = self.nxt.wrapping_add(segments * MSS);
            self.sender.on_sent(self.nxt, segments > 0, self.now);
        }

        /// The number at the beginning of segment `index` in flight.
        fn at(&self, index: u32) -> u32 {
            self.sender.una.wrapping_add(index * MSS)
        }

        fn acknowledge(&mut self, ack: u32, blocks: &[(u32, u32)]) -> Outcome {
            let arrival = Arrival {
                ack,
                is_duplicate: ack == self.sender.una,
                is_closed: false,
                has_blocks: !blocks.is_empty(),
            };
            self.sender.on_acknowledgement(&arrival, self.nxt, blocks.iter().copied(), self.now)
        }

        /// An acknowledgement of everything before `ack` that closes the window.
        fn close(&mut self, ack: u32) {
            let is_duplicate = ack == self.sender.una && self.sender.is_closed;
            let closed = Arrival { ack, is_duplicate, is_closed: true, has_blocks: false };
            self.sender.on_acknowledgement(&closed, self.nxt, [], self.now);
        }

        /// Waits for the timer.
        fn alarm(&mut self) -> (u64, Outcome) {
            let waited = self.sender.due() - self.now;
            self.now = self.sender.due();
            (waited, self.sender.on_alarm(self.nxt, false, self.now))
        }

        /// Sends again what may be; how many segments.
        fn repair(&mut self) -> usize {
            let mut count = 0;
            while let Some(from) = self.sender.first_lost(self.sender.una)
                && self.sender.has_room(self.nxt)
            {
                self.sender.on_resent(from, from.wrapping_add(MSS), self.nxt);
                count += 1;
            }
            count
        }
    }

    #[test]
    fn ten_segments_leave_and_each_acknowledged_one_lets_two_follow() {
        let mut sending = Sending::new(true, 10, 0);
        let mut left = 0;
        while sending.sender.has_room(sending.nxt) {
            sending.send(1);
            left += 1;
        }
        assert_eq!(left, 10);
        sending.acknowledge(sending.at(4), &[]);
        while sending.sender.has_room(sending.nxt) {
            sending.send(1);
            left += 1;
        }
        assert_eq!(left, 16, "four, and the two that slow start allows for one acknowledgement");
    }

    #[test]
    fn a_window_that_is_not_used_does_not_grow() {
        let mut sending = Sending::new(true, 10, 0);
        for _ in 0..100 {
            sending.send(1);
            sending.acknowledge(sending.nxt, &[]);
        }
        assert_eq!(sending.sender.window, 10 * MSS);
    }

    #[test]
    fn three_segments_beyond_a_gap_say_that_it_is_lost_and_the_window_is_halved_once() {
        let mut sending = Sending::new(true, 10, 10);
        let una = sending.sender.una;
        assert_eq!(sending.acknowledge(una, &[(sending.at(1), sending.at(3))]), Outcome::Nothing);
        assert_eq!(sending.repair(), 0);
        let outcome = sending.acknowledge(una, &[(sending.at(1), sending.at(4))]);
        assert_eq!(outcome, Outcome::Recovery);
        assert_eq!(sending.repair(), 1);
        assert_eq!(sending.sender.window, 5 * MSS);
        let blocks = [(sending.at(5), sending.at(8)), (sending.at(1), sending.at(4))];
        assert_eq!(sending.acknowledge(una, &blocks), Outcome::Nothing, "the same recovery");
        assert_eq!((sending.repair(), sending.sender.window), (1, 5 * MSS));
        sending.now += 10 * MILLI;
        sending.acknowledge(sending.nxt, &[]);
        assert_eq!((sending.sender.phase, sending.sender.window), (Phase::Open, 5 * MSS));
    }

    #[test]
    fn a_gap_that_less_lies_beyond_is_lost_after_a_quarter_of_the_round_trip() {
        let mut sending = Sending::new(true, 40, 3);
        sending.acknowledge(sending.sender.una, &[(sending.at(2), sending.at(3))]);
        assert_eq!(sending.alarm(), (10 * MILLI, Outcome::Recovery));
        assert_eq!(sending.repair(), 2);
    }

    #[test]
    fn what_was_only_overtaken_gives_the_window_back_and_is_waited_for_from_then_on() {
        let mut sending = Sending::new(true, 40, 10);
        let una = sending.sender.una;
        sending.acknowledge(una, &[(sending.at(2), sending.at(5))]);
        assert_eq!(sending.sender.window, 5 * MSS);
        // Before it is sent again, it arrives.
        let outcome = sending.acknowledge(sending.at(5), &[]);
        assert_eq!((outcome, sending.sender.window), (Outcome::Undone, 10 * MSS));
        assert_eq!(sending.repair(), 0);
        let una = sending.sender.una;
        assert_eq!(sending.acknowledge(una, &[(sending.at(1), sending.at(5))]), Outcome::Nothing);
    }

    #[test]
    fn what_was_sent_again_too_soon_gives_the_window_back() {
        let mut sending = Sending::new(true, 40, 10);
        let una = sending.sender.una;
        sending.acknowledge(una, &[(sending.at(1), sending.at(5))]);
        assert_eq!((sending.repair(), sending.sender.window), (1, 5 * MSS));
        sending.now += 4 * MILLI;
        let outcome = sending.acknowledge(sending.at(5), &[]);
        assert_eq!((outcome, sending.sender.window), (Outcome::Undone, 10 * MSS));
        // A round trip later it may be for what was sent again.
        let mut sending = Sending::new(true, 40, 10);
        let una = sending.sender.una;
        sending.acknowledge(una, &[(sending.at(1), sending.at(5))]);
        assert_eq!(sending.repair(), 1);
        sending.now += 40 * MILLI;
        let outcome = sending.acknowledge(sending.at(5), &[]);
        assert_eq!((outcome, sending.sender.window), (Outcome::Nothing, 5 * MSS));
    }

    #[test]
    fn one_probe_is_followed_by_the_timeout_whatever_is_sent() {
        let mut sending = Sending::new(true, 40, 5);
        let (_, outcome) = sending.alarm();
        assert_eq!(outcome, Outcome::Probe);
        sending.send(1);
        assert_eq!(sending.alarm(), (120 * MILLI, Outcome::Timeout));
    }

    #[test]
    fn the_tail_is_probed_after_two_round_trips_and_lost_after_the_timeout() {
        let mut sending = Sending::new(true, 40, 5);
        assert_eq!(sending.alarm(), (80 * MILLI, Outcome::Probe));
        assert_eq!(sending.sender.first_lost(sending.sender.una), Some(sending.at(4)), "the last");
        assert_eq!(sending.repair(), 1);
        let (waited, outcome) = sending.alarm();
        assert_eq!((waited, outcome), (120 * MILLI, Outcome::Timeout));
        assert_eq!((sending.sender.window, sending.repair()), (MSS, 1));
        assert_eq!(sending.alarm().0, 240 * MILLI, "twice as long");
        assert_eq!(sending.repair(), 1);
        // The first was lost, and the others with it.
        sending.now += 40 * MILLI;
        sending.acknowledge(sending.at(1), &[]);
        assert_eq!(sending.repair(), 2, "slow start");
    }

    #[test]
    fn a_short_path_waits_for_milliseconds_but_a_single_segment_for_a_delayed_acknowledgement() {
        let mut sending = Sending::new(true, 0, 4);
        assert_eq!(sending.alarm(), (TIMEOUT_FLOOR, Outcome::Probe));
        assert_eq!(sending.alarm(), (TIMEOUT_FLOOR, Outcome::Timeout));
        let mut sending = Sending::new(true, 0, 1);
        assert_eq!(sending.alarm(), (TIMEOUT_SINGLE, Outcome::Timeout));
    }

    #[test]
    fn a_timeout_that_was_too_soon_is_taken_back() {
        let mut sending = Sending::new(true, 40, 8);
        sending.alarm();
        sending.repair();
        sending.alarm();
        assert_eq!(sending.repair(), 1);
        let threshold = sending.sender.threshold;
        assert!(threshold < 10 * MSS);
        // The acknowledgement of two, of which only one was sent again.
        sending.now += 5 * MILLI;
        assert_eq!(sending.acknowledge(sending.at(2), &[]), Outcome::Undone);
        assert_eq!((sending.sender.window, sending.sender.threshold), (10 * MSS, u32::MAX));
        assert_eq!(sending.repair(), 0);
    }

    #[test]
    fn a_peer_without_sack_counts_in_duplicates_and_partial_acknowledgements() {
        let mut sending = Sending::new(false, 40, 10);
        let una = sending.sender.una;
        assert_eq!(sending.acknowledge(una, &[]), Outcome::Nothing);
        assert_eq!(sending.acknowledge(una, &[]), Outcome::Nothing);
        assert_eq!(sending.acknowledge(una, &[]), Outcome::Recovery);
        assert_eq!((sending.repair(), sending.sender.window), (1, 5 * MSS));
        sending.now += 40 * MILLI;
        assert_eq!(sending.acknowledge(sending.at(4), &[]), Outcome::Nothing);
        assert_eq!(
            (sending.repair(), sending.sender.window),
            (1, 5 * MSS),
            "the next one, no less"
        );
        sending.acknowledge(sending.nxt, &[]);
        assert_eq!(sending.sender.phase, Phase::Open);
    }

    #[test]
    fn a_short_window_of_a_peer_without_sack_gives_fewer_duplicates() {
        for (segments, enough) in [(2, 1), (3, 2), (4, 3), (5, 3)] {
            let mut sending = Sending::new(false, 40, segments);
            let una = sending.sender.una;
            for _ in 1..enough {
                assert_eq!(sending.acknowledge(una, &[]), Outcome::Nothing, "{segments}");
            }
            assert_eq!(sending.acknowledge(una, &[]), Outcome::Recovery, "{segments}");
        }
    }

    #[test]
    fn blocks_that_cannot_be_are_ignored() {
        let mut sending = Sending::new(true, 40, 4);
        let (una, nxt) = (sending.sender.una, sending.nxt);
        let blocks = [
            (una, nxt),
            (nxt, una),
            (una.wrapping_sub(MSS), una),
            (nxt.wrapping_sub(1), nxt.wrapping_add(1)),
            (una.wrapping_add(1), una.wrapping_add(1)),
        ];
        assert_eq!(sending.acknowledge(una, &blocks), Outcome::Nothing);
        assert!(sending.sender.board.is_empty());
    }

    #[test]
    fn a_pause_brings_the_window_back_to_the_initial_one() {
        let mut sending = Sending::new(true, 10, 0);
        for _ in 0..20 {
            let segments = sending.sender.window / MSS;
            sending.send(segments);
            sending.acknowledge(sending.nxt, &[]);
        }
        let grown = sending.sender.window;
        assert!(grown > 20 * MSS);
        sending.sender.on_quiet(sending.now + 100 * MILLI);
        assert_eq!(sending.sender.window, grown);
        sending.sender.on_quiet(sending.now + 300 * MILLI);
        assert_eq!(sending.sender.window, 10 * MSS);
    }

    #[test]
    fn a_closed_window_is_probed_ever_more_seldom_and_is_not_a_loss() {
        let mut sending = Sending::new(true, 10, 2);
        sending.close(sending.nxt);
        assert!(!sending.sender.has_room(sending.nxt));
        for probe in 0..4 {
            let (waited, outcome) = sending.alarm();
            assert_eq!((waited, outcome), (TIMEOUT_SINGLE << probe, Outcome::Nothing));
            if probe == 0 {
                assert!(sending.sender.has_room(sending.nxt), "a new byte");
                sending.nxt = sending.nxt.wrapping_add(1);
                sending.sender.on_sent(sending.nxt, true, sending.now);
            } else {
                let from = sending.sender.una;
                assert_eq!(sending.sender.first_lost(from), Some(from), "the same again");
                assert!(sending.sender.has_room(sending.nxt));
                sending.sender.on_resent(from, sending.nxt, sending.nxt);
            }
            assert!(!sending.sender.has_room(sending.nxt), "one");
            sending.close(sending.sender.una);
        }
        let window = sending.sender.window;
        sending.acknowledge(sending.nxt, &[]);
        assert_eq!((sending.sender.window, sending.sender.threshold), (window, u32::MAX));
        assert!(sending.sender.has_room(sending.nxt));
        assert_eq!(sending.sender.due(), NEVER);
    }

    #[test]
    fn what_is_in_flight_when_a_closed_window_opens_is_lost_after_the_timeout() {
        let mut sending = Sending::new(true, 10, 3);
        sending.close(sending.at(1));
        for _ in 0..6 {
            sending.alarm();
            sending.repair();
        }
        let una = sending.sender.una;
        let opened = Arrival { ack: una, is_duplicate: false, is_closed: false, has_blocks: false };
        sending.sender.on_acknowledgement(&opened, sending.nxt, [], sending.now);
        assert!(sending.sender.due() - sending.now < 100 * MILLI, "the probes' intervals are past");
    }
}
