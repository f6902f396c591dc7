//! The network between the appliance and its clients: a switch whose cables have faults.
//!
//! Owns every frame under way and the randomness that decides its fate: one seed, one history. Order is
//! kept in each direction except where a fault reorders. Time is virtual, in microseconds. The faults are those of
//! the bridge of `testkit`, whose code for slow lines and small MTUs this uses.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use fastrand::Rng;
use testkit::{Hop, Line, Mtu, Rate, TooBig, fragmentation_needed, hop};

/// What may happen to a frame on its way. Chances are per million frames.
///
/// They apply in this order: loss, the MTU, the rate with its queue, duplication (the copy takes no room in the queue),
/// delay, corruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Shortest time under way, in microseconds.
    pub delay_min: u64,
    /// Longest time under way, in microseconds, behind the queue of `rate`: drawn for each frame.
    pub delay_max: u64,
    /// Whether a frame with a short delay may overtake one with a longer; otherwise it arrives right behind that.
    pub jitter_reorders: bool,
    /// The frame disappears.
    pub loss: u32,
    /// The frame arrives late, behind frames sent after it.
    pub reorder: u32,
    /// The frame arrives twice.
    pub duplicate: u32,
    /// One bit arrives flipped. Only checksums show it, there is no FCS; so that they always can, it
    /// is a single bit, it is not in the source MAC (which nothing covers), and ARP is spared.
    pub corrupt: u32,
    /// How fast frames leave, those to all machines of the direction together; as fast as they come where there is none.
    pub rate: Option<Rate>,
    /// Longest IP packet that passes, in bytes, at least 68; any where there is none. A longer one that may not be
    /// fragmented is lost, and a router tells its sender or does not.
    pub mtu: Option<Mtu>,
}

impl Faults {
    /// A short cable that does nothing but take 50 microseconds.
    pub fn none() -> Self {
        Self {
            delay_min: 50,
            delay_max: 50,
            jitter_reorders: false,
            loss: 0,
            reorder: 0,
            duplicate: 0,
            corrupt: 0,
            rate: None,
            mtu: None,
        }
    }

    /// A mixture drawn from `seed`: each fault is there or not, up to 3 % of frames each; a rate from 2 to 100 Mbit/s with
    /// a queue of 5 to 100 ms, and room for eight frames: what is slower does not carry 4 MiB in two minutes.
    ///
    /// Never an MTU: the engine does not lower its segments to what a path takes (RFC 1191), so that a smaller MTU than
    /// that of its NIC ends every exchange with a large response.
    pub fn any(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x6661_756c_7473);
        let delay_min = rng.u64(10..2_000);
        let mut chance = || if rng.bool() { rng.u32(0..30_000) } else { 0 };
        let (loss, reorder, duplicate, corrupt) = (chance(), chance(), chance(), chance());
        let delay_max = delay_min + if rng.bool() { rng.u64(0..delay_min) } else { 0 };
        let jitter_reorders = delay_max > delay_min && rng.bool();
        let rate = rng.bool().then(|| {
            let megabits = rng.u64(2..=10) * if rng.bool() { 1 } else { 10 };
            let queue_ms = rng.u64(5..=100);
            // A megabit a second is 125 bytes a millisecond.
            let queue = usize::try_from(megabits * 125 * queue_ms).unwrap_or(usize::MAX);
            Rate { bits_per_second: megabits * 1_000_000, queue: queue.max(QUEUE_MIN) }
        });
        Self {
            delay_min,
            delay_max,
            jitter_reorders,
            loss,
            reorder,
            duplicate,
            corrupt,
            rate,
            mtu: None,
        }
    }
}

/// Eight of the longest frames without a VLAN tag, in bytes.
const QUEUE_MIN: usize = 8 * 1_514;

/// A place where somebody is plugged in. The appliance is [`Port::APPLIANCE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(usize);

impl Port {
    /// Where the appliance's NIC is.
    pub const APPLIANCE: Self = Self(0);

    /// Position among all ports, in the order of [`Network::join`].
    pub fn index(self) -> usize {
        self.0
    }
}

/// What became of frames, in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    /// Put on a cable.
    pub sent: u64,
    /// Lost by a fault.
    pub lost: u64,
    /// Lost because the queue of a slow line was full.
    pub queue_full: u64,
    /// Lost because they were too big, and their sender was told by ICMP.
    pub too_big: u64,
    /// Lost because they were too big, and nobody was told.
    pub swallowed: u64,
    /// Split into fragments.
    pub fragmented: u64,
    /// Delivered late.
    pub reordered: u64,
    /// Delivered before one that was sent earlier, since its delay was shorter.
    pub overtaking: u64,
    /// Delivered twice.
    pub duplicated: u64,
    /// Delivered with a flipped bit.
    pub corrupted: u64,
}

/// The switch and its cables.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    /// Faults towards the appliance, and away from it.
    faults: [Faults; 2],
    /// The slow lines, by direction.
    lines: [Line; 2],
    /// When the last frame arrives of those that no fault holds back, by direction.
    last: [u64; 2],
    hosts: Vec<[u8; 6]>,
    under_way: BinaryHeap<Reverse<Due>>,
    spare: Vec<Vec<u8>>,
    sequence: u64,
    fates: Fates,
    history: DefaultHasher,
}

impl Network {
    /// A network whose every decision follows from `seed`.
    pub fn new(seed: u64, toward: Faults, away: Faults) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            faults: [toward, away],
            lines: <[Line; 2]>::default(),
            last: [0; 2],
            hosts: Vec::new(),
            under_way: BinaryHeap::new(),
            spare: Vec::new(),
            sequence: 0,
            fates: Fates::default(),
            history: DefaultHasher::new(),
        }
    }

    /// Plugs in somebody with address `mac`. The first to join is the appliance.
    pub fn join(&mut self, mac: [u8; 6]) -> Port {
        self.hosts.push(mac);
        Port(self.hosts.len() - 1)
    }

    /// From now on the cables are like this.
    pub fn set_faults(&mut self, toward: Faults, away: Faults) {
        self.faults = [toward, away];
    }

    /// `from` sends `frame` at `now`. A known unicast destination gets it alone; anything else floods.
    ///
    /// # Panics
    /// If the frame is shorter than an Ethernet header.
    pub fn send(&mut self, from: Port, frame: &[u8], now: u64) {
        assert!(frame.len() >= 14, "a frame has an Ethernet header");
        match self.hosts.iter().position(|mac| frame[..6] == *mac) {
            Some(to) => self.carry(Port(to), frame, now),
            None => {
                for to in (0..self.hosts.len()).filter(|&to| to != from.0) {
                    self.carry(Port(to), frame, now);
                }
            }
        }
    }

    /// When the next frame arrives.
    pub fn due(&self) -> Option<u64> {
        self.under_way.peek().map(|Reverse(next)| next.at)
    }

    /// Hands the next frame that has arrived by `now` to `take`. `false`: there is none.
    pub fn deliver(&mut self, now: u64, take: impl FnOnce(Port, &[u8])) -> bool {
        if self.due().is_none_or(|at| at > now) {
            return false;
        }
        let Some(Reverse(next)) = self.under_way.pop() else { return false };
        let headers = &next.frame[..next.frame.len().min(HEADERS_LEN)];
        (next.at, next.to, headers).hash(&mut self.history);
        take(next.to, &next.frame);
        self.spare.push(next.frame);
        true
    }

    /// Frames under way.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// What became of frames so far.
    pub fn fates(&self) -> Fates {
        self.fates
    }

    /// A digest of everything delivered so far, to compare two runs of one seed.
    pub fn history(&self) -> u64 {
        self.history.finish()
    }

    fn carry(&mut self, to: Port, frame: &[u8], now: u64) {
        self.fates.sent += 1;
        let direction = direction_to(to);
        if self.happens(self.faults[direction].loss) {
            self.fates.lost += 1;
            return;
        }
        let Some(mtu) = self.faults[direction].mtu else { return self.queue(to, frame, now) };
        match hop(frame, mtu.bytes) {
            Hop::Passes => self.queue(to, frame, now),
            Hop::Fragments(fragments) => {
                self.fates.fragmented += 1;
                for fragment in fragments {
                    self.queue(to, &fragment, now);
                }
            }
            Hop::TooBig => self.refuse(to, frame, mtu, now),
        }
    }

    /// `frame` was too big for the hop before `to`. What its router says passes the other direction as any frame.
    fn refuse(&mut self, to: Port, frame: &[u8], mtu: Mtu, now: u64) {
        let reply = match mtu.too_big {
            TooBig::Icmp(router) => fragmentation_needed(frame, mtu.bytes, router),
            TooBig::Swallow => None,
        };
        match reply {
            Some(reply) => {
                self.fates.too_big += 1;
                self.send(to, &reply, now);
            }
            None => self.fates.swallowed += 1,
        }
    }

    /// From the queue of the line on.
    fn queue(&mut self, to: Port, frame: &[u8], now: u64) {
        let direction = direction_to(to);
        let rate = self.faults[direction].rate;
        let line = &mut self.lines[direction];
        let Some(left) = line.admit(frame.len(), rate, Duration::from_micros(now)) else {
            self.fates.queue_full += 1;
            return;
        };
        let left = u64::try_from(left.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX);
        let copies = if self.happens(self.faults[direction].duplicate) { 2 } else { 1 };
        self.fates.duplicated += copies - 1;
        for _ in 0..copies {
            let at = self.arrival(direction, left);
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(frame);
            if self.happens(self.faults[direction].corrupt) {
                self.corrupt(&mut copy);
            }
            self.sequence += 1;
            let sequence = self.sequence;
            self.under_way.push(Reverse(Due { at, sequence, to, frame: copy }));
        }
    }

    /// When a frame arrives that has `left` the line.
    fn arrival(&mut self, direction: usize, left: u64) -> u64 {
        let Faults { delay_min, delay_max, jitter_reorders, reorder, .. } = self.faults[direction];
        let at = left + self.rng.u64(delay_min..=delay_max);
        if self.happens(reorder) {
            self.fates.reordered += 1;
            return at + self.rng.u64(1..=REORDER_MAX);
        }
        let last = self.last[direction];
        self.last[direction] = at.max(last);
        if !jitter_reorders {
            return at.max(last);
        }
        self.fates.overtaking += u64::from(at < last);
        at
    }

    fn corrupt(&mut self, frame: &mut [u8]) {
        if frame[12..14] == [0x08, 0x06] {
            return;
        }
        let at = self.rng.usize(..frame.len() - 6);
        let at = if at < 6 { at } else { at + 6 };
        frame[at] ^= 1 << self.rng.u8(..8);
        self.fates.corrupted += 1;
    }

    fn happens(&mut self, per_million: u32) -> bool {
        per_million > 0 && self.rng.u32(..1_000_000) < per_million
    }
}

/// Where in a pair the direction towards `to` is.
fn direction_to(to: Port) -> usize {
    usize::from(to != Port::APPLIANCE)
}

/// The longest that a reordered frame is held back beyond its delay, in microseconds.
const REORDER_MAX: u64 = 3_000;

/// Bytes of a frame that enter the history: Ethernet, IPv4, TCP with its longest options.
const HEADERS_LEN: usize = 14 + 20 + 60;

/// A frame under way. Ordered by arrival, then by when it was sent.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: u64,
    sequence: u64,
    to: Port,
    frame: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::{Address, Segment};

    const FRAMES: u16 = 2_000;

    /// Sends numbered frames to the appliance, one a microsecond, and returns what arrives.
    fn run(seed: u64, faults: Faults) -> (Vec<(u64, Vec<u8>)>, Network) {
        let mut network = Network::new(seed, faults, Faults::none());
        network.join([2, 0, 0, 0, 0, 1]);
        let client = network.join([2, 0, 0, 0, 0, 2]);
        for number in 0..FRAMES {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
            frame.extend_from_slice(&number.to_be_bytes());
            network.send(client, &frame, u64::from(number));
        }
        let mut arrived = Vec::new();
        while let Some(at) = network.due() {
            assert!(network.deliver(at, |_, frame| arrived.push((at, frame.to_vec()))));
        }
        (arrived, network)
    }

    #[test]
    fn without_faults_every_frame_arrives_once_in_order_after_the_delay() {
        let (arrived, network) = run(1, Faults::none());
        assert_eq!(arrived.len(), usize::from(FRAMES));
        for (number, (at, frame)) in (0..FRAMES).zip(&arrived) {
            assert_eq!((*at, &frame[14..]), (u64::from(number) + 50, &number.to_be_bytes()[..]));
        }
        assert_eq!(network.fates(), Fates { sent: u64::from(FRAMES), ..Fates::default() });
    }

    #[test]
    fn jitter_alone_keeps_the_order() {
        let (arrived, _) = run(2, Faults { delay_min: 0, delay_max: 5_000, ..Faults::none() });
        assert!(arrived.is_sorted_by_key(|(_, frame)| frame[14..].to_vec()));
    }

    #[test]
    fn one_seed_has_one_history() {
        let faults = Faults {
            loss: 50_000,
            reorder: 50_000,
            duplicate: 50_000,
            corrupt: 50_000,
            ..Faults::none()
        };
        let (first, one) = run(7, faults.clone());
        let (second, two) = run(7, faults.clone());
        let (third, _) = run(8, faults);
        assert_eq!((&first, one.history(), one.fates()), (&second, two.history(), two.fates()));
        assert_ne!(first, third);
        let Fates { lost, reordered, duplicated, corrupted, .. } = one.fates();
        for (name, count) in [("lost", lost), ("reordered", reordered)] {
            assert!((60..=140).contains(&count), "{name}: {count} of 2000 at 5 %");
        }
        assert!(duplicated > 0 && corrupted > 0);
        assert_eq!(u64::from(FRAMES) - lost + duplicated, first.len() as u64);
    }

    #[test]
    fn corruption_flips_one_bit_and_spares_the_source_address() {
        let (arrived, network) = run(3, Faults { corrupt: 1_000_000, ..Faults::none() });
        assert_eq!(network.fates().corrupted, u64::from(FRAMES));
        for (number, (_, frame)) in (0..FRAMES).zip(&arrived) {
            let mut sent = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
            sent.extend_from_slice(&number.to_be_bytes());
            let flipped: u32 = sent.iter().zip(frame).map(|(a, b)| (a ^ b).count_ones()).sum();
            assert_eq!((flipped, &frame[6..12]), (1, &sent[6..12]));
        }
    }

    #[test]
    fn jitter_that_may_reorder_does_and_no_frame_is_later_than_the_longest_delay() {
        let faults = Faults { delay_max: 5_000, jitter_reorders: true, ..Faults::none() };
        let (arrived, network) = run(4, faults);
        assert_eq!(arrived.len(), usize::from(FRAMES));
        assert!(!arrived.is_sorted_by_key(|(_, frame)| frame[14..].to_vec()));
        assert!(network.fates().overtaking > u64::from(FRAMES) / 2);
        for (at, frame) in arrived {
            let sent = u64::from(u16::from_be_bytes([frame[14], frame[15]]));
            assert!((sent + 50..=sent + 5_000).contains(&at), "sent at {sent}, there at {at}");
        }
    }

    #[test]
    fn a_rate_spaces_frames_and_a_full_queue_drops() {
        // 16 bytes at 1.28 Mbit/s are 100 microseconds, in which 100 more come; ten of them fit.
        let rate = Some(Rate { bits_per_second: 1_280_000, queue: 160 });
        let (arrived, network) = run(5, Faults { rate, ..Faults::none() });
        let times: Vec<u64> = arrived.iter().map(|(at, _)| *at).collect();
        assert!(times.is_sorted() && times[0] == 150);
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == 100));
        // Ten that came first, and one for each that has left since.
        assert_eq!(arrived.len(), 10 + usize::from(FRAMES - 1) / 100);
        let Fates { sent, queue_full, .. } = network.fates();
        assert_eq!((sent, queue_full), (u64::from(FRAMES), u64::from(FRAMES) - times.len() as u64));
    }

    #[test]
    fn a_hop_that_is_too_small_tells_the_sender_or_does_not() {
        let ports = [raw_address(1), raw_address(2)];
        let router = [10, 9, 9, 9].into();
        for (too_big, told) in [(TooBig::Icmp(router), true), (TooBig::Swallow, false)] {
            let toward = Faults { mtu: Some(Mtu { bytes: 1_300, too_big }), ..Faults::none() };
            let mut network = Network::new(0, toward, Faults::none());
            let [appliance, client] = ports.map(|address| network.join(address.mac));
            let frame = |len: usize| {
                let payload = vec![7; len - 40];
                let segment = Segment { payload, ..Segment::new(7, 80) };
                let mut frame = segment.frame(&ports[1], &ports[0]);
                frame[20] = 0x40; // Don't fragment.
                frame
            };
            network.send(client, &frame(1_300), 0);
            network.send(client, &frame(1_301), 1_000);
            // The other direction is not narrow.
            network.send(appliance, &Segment::new(80, 7).frame(&ports[0], &ports[1]), 2_000);
            let mut arrived = Vec::new();
            while network.deliver(u64::MAX, |to, frame| arrived.push((to, frame.to_vec()))) {}
            let reply = if told { Some(arrived.remove(1)) } else { None };
            let whom: Vec<(Port, usize)> = arrived.iter().map(|(to, f)| (*to, f.len())).collect();
            assert_eq!(whom, [(appliance, 1_314), (client, 54)]);
            let Fates { too_big, swallowed, .. } = network.fates();
            assert_eq!((too_big, swallowed), (u64::from(told), u64::from(!told)));
            let Some((to, reply)) = reply else { continue };
            assert_eq!((to, &reply[26..30]), (client, &[10, 9, 9, 9][..]), "from the router");
            // RFC 1191 4: type 3, code 4, the MTU, and the header of what did not fit.
            assert_eq!(
                (&reply[34..36], &reply[40..42]),
                (&[3, 4][..], &1_300_u16.to_be_bytes()[..])
            );
            assert_eq!(reply[42..70], frame(1_301)[14..42]);
        }
    }

    fn raw_address(last: u8) -> Address {
        Address { mac: [2, 0, 0, 0, 0, last], ip: [198, 18, 0, last].into() }
    }

    #[test]
    fn a_mixture_is_slow_and_reorders_now_and_then_and_has_no_mtu() {
        let all: Vec<Faults> = (0..1_000).map(Faults::any).collect();
        let share = |of: &dyn Fn(&Faults) -> bool| all.iter().filter(|faults| of(faults)).count();
        assert!((400..600).contains(&share(&|faults| faults.rate.is_some())));
        assert!((150..350).contains(&share(&|faults| faults.jitter_reorders)));
        assert_eq!(share(&|faults| faults.mtu.is_some()), 0);
        for Rate { bits_per_second, queue } in all.iter().filter_map(|faults| faults.rate) {
            assert!((2_000_000..=100_000_000).contains(&bits_per_second));
            // As many bytes as leave in 100 ms.
            assert!(
                queue >= QUEUE_MIN && queue as u64 <= (bits_per_second / 80).max(QUEUE_MIN as u64)
            );
        }
    }

    #[test]
    fn broadcast_reaches_everyone_else() {
        let mut network = Network::new(0, Faults::none(), Faults::none());
        let ports = [1, 2, 3].map(|last| network.join([2, 0, 0, 0, 0, last]));
        let mut frame = vec![0xff; 6];
        frame.extend_from_slice(&[2, 0, 0, 0, 0, 2, 8, 6]);
        network.send(ports[1], &frame, 0);
        let mut reached = Vec::new();
        while network.deliver(u64::MAX, |to, _| reached.push(to)) {}
        assert_eq!(reached, [ports[0], ports[2]]);
    }
}
