//! One direction of the bridge: decides what becomes of each frame, and holds what is under way. No I/O, no clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::time::Duration;

use fastrand::Rng;

use super::impairment::{Impairment, TooBig};
use super::line::Line;
use crate::frame::{Flow, Hop, data, fragmentation_needed, hop, ip_start, mend_checksum, segment};

/// What one direction has done so far, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken from the interface, and ICMP messages made for the other direction's senders.
    pub received: u64,
    /// Handed to the interface.
    pub sent: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost by their number among the data segments of their connection.
    pub data_lost: u64,
    /// Lost because the queue was full.
    pub queue_full: u64,
    /// Lost because they were too big, and their sender was told by ICMP.
    pub too_big: u64,
    /// Lost because they were too big, and nobody was told.
    pub swallowed: u64,
    /// Split into fragments.
    pub fragmented: u64,
    /// Flipped a bit of, checksums left.
    pub corrupted: u64,
    /// Flipped a bit of, checksum mended.
    pub corrupted_mended: u64,
    /// Sent twice.
    pub duplicated: u64,
    /// Held back.
    pub reordered: u64,
    /// Lost by the kernel before the bridge saw them: its socket's buffer was full.
    pub overruns: u64,
    /// Lost because the interface did not take them.
    pub refused: u64,
}

/// `received=N sent=N ...`, every counter.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { received, sent, lost, data_lost, queue_full, too_big, swallowed, .. } = self;
        let Self { fragmented, corrupted, corrupted_mended, duplicated, reordered, .. } = self;
        write!(f, "received={received} sent={sent} lost={lost} data_lost={data_lost} ")?;
        write!(f, "queue_full={queue_full} too_big={too_big} swallowed={swallowed} ")?;
        write!(f, "fragmented={fragmented} corrupted={corrupted} ")?;
        write!(f, "corrupted_mended={corrupted_mended} duplicated={duplicated} ")?;
        let Self { overruns, refused, .. } = self;
        write!(f, "reordered={reordered} overruns={overruns} refused={refused}")
    }
}

/// One direction. `now` is the time since the bridge began, and never goes back.
#[derive(Debug)]
pub(crate) struct Direction {
    pub(crate) settings: Impairment,
    pub(crate) counts: Counts,
    rng: Rng,
    line: Line,
    /// When the last frame arrives of those that keep their order.
    last: Duration,
    /// Data segments so far, of connections whose list is not at its end.
    data_segments: HashMap<Flow, Numbered>,
    under_way: BinaryHeap<Reverse<Due>>,
    sequence: u64,
}

impl Direction {
    pub(crate) fn new(seed: u64, settings: Impairment) -> Self {
        Self {
            settings,
            counts: Counts::default(),
            rng: Rng::with_seed(seed),
            line: Line::default(),
            last: Duration::ZERO,
            data_segments: HashMap::new(),
            under_way: BinaryHeap::new(),
            sequence: 0,
        }
    }

    /// A frame enters. Returns what is to enter the other direction for it.
    pub(crate) fn on_frame(&mut self, frame: Vec<u8>, now: Duration) -> Option<Vec<u8>> {
        self.counts.received += 1;
        // A generator for each frame: what becomes of the hundredth does not depend on what others drew.
        let mut rng = Rng::with_seed(self.rng.u64(..));
        if ip_start(&frame).is_none() {
            self.carry(frame, now, &mut rng);
            return None;
        }
        if happens(&mut rng, self.settings.loss) {
            self.counts.lost += 1;
            return None;
        }
        if self.is_listed(&frame) {
            self.counts.data_lost += 1;
            return None;
        }
        let Some(mtu) = self.settings.mtu else {
            self.carry(frame, now, &mut rng);
            return None;
        };
        match hop(&frame, mtu.bytes) {
            Hop::Passes => self.carry(frame, now, &mut rng),
            Hop::Fragments(fragments) => {
                self.counts.fragmented += 1;
                for fragment in fragments {
                    self.carry(fragment, now, &mut rng);
                }
            }
            Hop::TooBig => {
                let reply = match mtu.too_big {
                    TooBig::Icmp(router) => fragmentation_needed(&frame, mtu.bytes, router),
                    TooBig::Swallow => None,
                };
                let count = if reply.is_some() {
                    &mut self.counts.too_big
                } else {
                    &mut self.counts.swallowed
                };
                *count += 1;
                return reply;
            }
        }
        None
    }

    /// When the next frame leaves.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }

    /// The next frame that leaves by `now`.
    pub(crate) fn poll_frame(&mut self, now: Duration) -> Option<Vec<u8>> {
        self.due().filter(|&at| at <= now)?;
        self.under_way.pop().map(|Reverse(next)| next.frame)
    }

    /// Whether `frame` is a data segment that the list names.
    fn is_listed(&mut self, frame: &[u8]) -> bool {
        let Some(&last) = self.settings.lose_data.iter().max() else { return false };
        let Some(segment) = segment(frame) else { return false };
        if segment.is_syn {
            self.data_segments.insert(segment.flow, Numbered { count: 0, end: segment.sequence });
        }
        if segment.data.is_empty() {
            return false;
        }
        let Some(so_far) = self.data_segments.get_mut(&segment.flow) else { return false };
        if segment.sequence.wrapping_sub(so_far.end).cast_signed() < 0 {
            return false;
        }
        let len = u32::try_from(segment.data.len()).unwrap_or(u32::MAX);
        so_far.end = segment.sequence.wrapping_add(len);
        so_far.count += 1;
        let number = so_far.count;
        if number >= last {
            self.data_segments.remove(&segment.flow);
        }
        self.settings.lose_data.contains(&number)
    }

    /// From the queue of the line on. ARP is neither spoilt nor doubled nor held back.
    fn carry(&mut self, mut frame: Vec<u8>, now: Duration, rng: &mut Rng) {
        let Some(left) = self.line.admit(frame.len(), self.settings.rate, now) else {
            self.counts.queue_full += 1;
            return;
        };
        let is_ip = ip_start(&frame).is_some();
        if is_ip {
            self.corrupt(&mut frame, rng);
        }
        let jitter = u64::try_from(self.settings.jitter.as_nanos()).unwrap_or(u64::MAX);
        let mut at = left + self.settings.delay + Duration::from_nanos(rng.u64(..=jitter));
        if is_ip && happens(rng, self.settings.reorder) {
            self.counts.reordered += 1;
            at += self.settings.reorder_by;
        } else if !self.settings.jitter_reorders {
            at = at.max(self.last);
            self.last = at;
        }
        if is_ip && happens(rng, self.settings.duplicate) {
            self.counts.duplicated += 1;
            self.push(at, frame.clone());
        }
        self.push(at, frame);
    }

    fn push(&mut self, at: Duration, frame: Vec<u8>) {
        self.sequence += 1;
        self.under_way.push(Reverse(Due { at, sequence: self.sequence, frame }));
    }

    fn corrupt(&mut self, frame: &mut [u8], rng: &mut Rng) {
        if happens(rng, self.settings.corrupt) {
            let start = ip_start(frame).unwrap_or(0);
            frame[rng.usize(start..frame.len())] ^= 1 << rng.u8(..8);
            self.counts.corrupted += 1;
        }
        if happens(rng, self.settings.corrupt_mended)
            && let Some(data) = data(frame)
        {
            frame[rng.usize(data)] ^= 1 << rng.u8(..8);
            mend_checksum(frame);
            self.counts.corrupted_mended += 1;
        }
    }
}

/// Data segments of a connection that have had a number.
#[derive(Clone, Copy, Debug)]
struct Numbered {
    count: u32,
    /// The sequence number behind the last of them.
    end: u32,
}

fn happens(rng: &mut Rng, per_million: u32) -> bool {
    per_million > 0 && rng.u32(..1_000_000) < per_million
}

/// A frame under way. Ordered by arrival, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    sequence: u64,
    frame: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::super::impairment::Mtu;
    use super::*;
    use crate::frame::tests::{datagram, tcp, tcp_at};

    const FRAMES: u16 = 2_000;

    /// Sends numbered datagrams, one each 10 us, and returns when each arrives and what it is.
    fn run(seed: u64, settings: &str) -> (Vec<(Duration, Vec<u8>)>, Counts) {
        let mut direction = Direction::new(seed, settings.parse().expect("settings"));
        for number in 0..FRAMES {
            let now = Duration::from_micros(10) * u32::from(number);
            assert_eq!(direction.on_frame(numbered(number), now), None);
        }
        (drain(&mut direction), direction.counts)
    }

    fn drain(direction: &mut Direction) -> Vec<(Duration, Vec<u8>)> {
        let mut arrived = Vec::new();
        while let Some(at) = direction.due() {
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                assert_eq!(direction.poll_frame(before), None, "not before");
            }
            arrived.push((at, direction.poll_frame(at).expect("due")));
        }
        arrived
    }

    fn numbered(number: u16) -> Vec<u8> {
        datagram(&number.to_be_bytes(), true)
    }

    fn number(frame: &[u8]) -> u16 {
        u16::from_be_bytes([frame[42], frame[43]])
    }

    fn is_in_order(arrived: &[(Duration, Vec<u8>)]) -> bool {
        arrived.is_sorted_by_key(|(_, frame)| number(frame))
    }

    #[test]
    fn a_delay_alone_keeps_every_frame_and_its_distance() {
        let (arrived, counts) = run(1, "delay=20ms");
        for (number, (at, frame)) in (0..FRAMES).zip(&arrived) {
            let sent = Duration::from_micros(10) * u32::from(number);
            assert_eq!((*at, frame), (sent + Duration::from_millis(20), &numbered(number)));
        }
        assert_eq!(counts, Counts { received: u64::from(FRAMES), ..Counts::default() });
    }

    #[test]
    fn jitter_keeps_the_order_unless_it_may_not() {
        let (kept, _) = run(2, "jitter=5ms");
        let (mixed, _) = run(2, "jitter=5ms,jitter-reorders=yes");
        assert_eq!((kept.len(), mixed.len()), (usize::from(FRAMES), usize::from(FRAMES)));
        assert!(is_in_order(&kept) && !is_in_order(&mixed));
        for (at, frame) in mixed {
            let late = at - Duration::from_micros(10) * u32::from(number(&frame));
            assert!(late <= Duration::from_millis(5), "{late:?}");
        }
    }

    #[test]
    fn what_is_held_back_is_overtaken_by_just_that_time() {
        let (arrived, counts) = run(3, "delay=1ms,reorder=5%,reorder-by=2ms");
        let late = |(at, frame): &&(Duration, Vec<u8>)| {
            *at - Duration::from_micros(10) * u32::from(number(frame)) == Duration::from_millis(3)
        };
        assert_eq!(arrived.iter().filter(late).count() as u64, counts.reordered);
        assert!((60..=140).contains(&counts.reordered), "{counts}: 5 % of 2000");
        assert!(!is_in_order(&arrived));
    }

    #[test]
    fn shares_are_counted_and_one_seed_decides_once() {
        let all = "loss=5%,duplicate=5%,corrupt=5%,jitter=1ms,reorder=5%,reorder-by=1ms";
        let (arrived, counts) = run(7, all);
        assert_eq!((&arrived, counts), (&run(7, all).0, run(7, all).1));
        assert_ne!(arrived, run(8, all).0);
        for count in [counts.lost, counts.duplicated, counts.corrupted, counts.reordered] {
            assert!((60..=140).contains(&count), "{counts}: 5 % of 2000");
        }
        assert_eq!(u64::from(FRAMES) - counts.lost + counts.duplicated, arrived.len() as u64);
    }

    #[test]
    fn corruption_flips_one_bit_and_mends_the_checksum_only_where_told() {
        for (settings, mended) in [("corrupt=100%", false), ("corrupt-mended=100%", true)] {
            let (arrived, counts) = run(4, settings);
            let count = if mended { counts.corrupted_mended } else { counts.corrupted };
            assert_eq!(count, u64::from(FRAMES));
            for (number, (_, frame)) in (0..FRAMES).zip(&arrived) {
                let sent = numbered(number);
                let flipped = |range: std::ops::Range<usize>| -> u32 {
                    range.map(|at| (sent[at] ^ frame[at]).count_ones()).sum()
                };
                let mut right = frame.clone();
                mend_checksum(&mut right);
                if mended {
                    assert_eq!((flipped(0..40), flipped(42..44), &right), (0, 1, frame));
                } else {
                    assert_eq!((flipped(0..14), flipped(14..44)), (0, 1));
                }
            }
        }
    }

    #[test]
    fn a_line_sends_at_its_rate_and_its_queue_drops_what_does_not_fit() {
        // 44 bytes at 352 kbit/s are a millisecond; ten of them fit.
        let mut direction =
            Direction::new(0, "rate=352k,queue=440,delay=5ms".parse().expect("settings"));
        for number in 0..15 {
            direction.on_frame(numbered(number), Duration::ZERO);
        }
        // One has left, so that there is room for one.
        direction.on_frame(numbered(15), Duration::from_millis(1));
        direction.on_frame(numbered(16), Duration::from_millis(1));
        let arrived: Vec<_> =
            drain(&mut direction).into_iter().map(|(at, frame)| (at, number(&frame))).collect();
        let expected: Vec<_> =
            (0..10).chain([15]).zip(6..).map(|(n, at)| (Duration::from_millis(at), n)).collect();
        assert_eq!((arrived, direction.counts.queue_full), (expected, 6));
    }

    #[test]
    fn listed_data_segments_are_lost_on_each_connection() {
        let mut direction = Direction::new(0, "lose-data=1-2+4".parse().expect("settings"));
        let mut pass = |frame: Vec<u8>| {
            direction.on_frame(frame, Duration::ZERO);
            direction.poll_frame(Duration::ZERO).is_some()
        };
        assert!(pass(tcp(1, 0x18, b"of a connection that was there before")));
        for port in [1, 2, 1] {
            assert!(pass(tcp(port, 0x12, b"")));
            assert!(pass(tcp(port, 0x10, b"")), "no data");
            let passed: Vec<bool> =
                (0..6).map(|n| pass(tcp_at(2 + 4 * n, port, 0x18, b"data"))).collect();
            assert_eq!(passed, [false, false, true, false, true, true]);
            assert!(pass(tcp_at(2, port, 0x18, b"data")), "a retransmission");
        }
        assert_eq!(direction.counts.data_lost, 9);
        assert!(direction.data_segments.is_empty(), "no record stays");
    }

    #[test]
    fn a_small_mtu_replies_swallows_or_fragments() {
        let big = || tcp(80, 0x18, &[0; 1_400]);
        let mut direction =
            Direction::new(0, "mtu=1400,icmp-from=10.9.9.9".parse().expect("settings"));
        let reply = direction.on_frame(big(), Duration::ZERO);
        assert_eq!(reply, fragmentation_needed(&big(), 1_400, [10, 9, 9, 9].into()));
        assert_eq!((direction.counts.too_big, direction.due()), (1, None));
        direction.on_frame(datagram(&[0; 1_400], false), Duration::ZERO);
        assert_eq!((direction.counts.fragmented, drain(&mut direction).len()), (1, 2));
        direction.settings.mtu = Some(Mtu { bytes: 1_400, too_big: TooBig::Swallow });
        assert_eq!(direction.on_frame(big(), Duration::ZERO), None);
        assert_eq!((direction.counts.swallowed, direction.due()), (1, None));
        direction.on_frame(tcp(80, 0x18, &[0; 1_360]), Duration::ZERO);
        assert_eq!(drain(&mut direction).len(), 1, "what fits passes");
    }

    #[test]
    fn arp_is_spared() {
        let settings = "loss=100%,duplicate=100%,corrupt=100%,reorder=100%,reorder-by=1s,delay=1ms";
        let mut direction = Direction::new(0, settings.parse().expect("settings"));
        let mut arp = vec![0xff; 12];
        arp.extend([8, 6]);
        arp.extend([0; 28]);
        direction.on_frame(arp.clone(), Duration::ZERO);
        assert_eq!(drain(&mut direction), [(Duration::from_millis(1), arp)]);
    }
}
