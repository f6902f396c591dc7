//! The network between the appliance and its clients: a switch whose cables have faults.
//!
//! Owns every frame under way and the randomness that decides its fate: one seed, one history. Order is
//! kept in each direction except where a fault reorders. Time is virtual, in microseconds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{DefaultHasher, Hash, Hasher};

use fastrand::Rng;

/// What may happen to a frame on its way. Chances are per million frames.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Shortest time under way, in microseconds.
    pub delay_min: u64,
    /// Longest time under way, in microseconds.
    pub delay_max: u64,
    /// The frame disappears.
    pub loss: u32,
    /// The frame arrives late, behind frames sent after it.
    pub reorder: u32,
    /// The frame arrives twice.
    pub duplicate: u32,
    /// One bit arrives flipped. Only checksums show it, there is no FCS; so that they always can, it
    /// is a single bit, it is not in the source MAC (which nothing covers), and ARP is spared.
    pub corrupt: u32,
}

impl Faults {
    /// A short cable that does nothing but take 50 microseconds.
    pub fn none() -> Self {
        Self { delay_min: 50, delay_max: 50, loss: 0, reorder: 0, duplicate: 0, corrupt: 0 }
    }

    /// A mixture drawn from `seed`: each fault is there or not, up to 3 % of frames each.
    pub fn any(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x6661_756c_7473);
        let delay_min = rng.u64(10..2_000);
        let mut chance = || if rng.bool() { rng.u32(0..30_000) } else { 0 };
        let (loss, reorder, duplicate, corrupt) = (chance(), chance(), chance(), chance());
        let delay_max = delay_min + if rng.bool() { rng.u64(0..delay_min) } else { 0 };
        Self { delay_min, delay_max, loss, reorder, duplicate, corrupt }
    }
}

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
    /// Delivered late.
    pub reordered: u64,
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
    /// When the last frame in order arrives, by direction.
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
        let direction = usize::from(to != Port::APPLIANCE);
        let faults = self.faults[direction].clone();
        if self.happens(faults.loss) {
            self.fates.lost += 1;
            return;
        }
        let copies = if self.happens(faults.duplicate) { 2 } else { 1 };
        self.fates.duplicated += copies - 1;
        for _ in 0..copies {
            let delay = self.rng.u64(faults.delay_min..=faults.delay_max);
            let at = if self.happens(faults.reorder) {
                self.fates.reordered += 1;
                now + delay + self.rng.u64(1..=REORDER_MAX)
            } else {
                let at = (now + delay).max(self.last[direction]);
                self.last[direction] = at;
                at
            };
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(frame);
            if self.happens(faults.corrupt) {
                self.corrupt(&mut copy);
            }
            self.sequence += 1;
            let sequence = self.sequence;
            self.under_way.push(Reverse(Due { at, sequence, to, frame: copy }));
        }
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
