//! The SYN cache (RFC 4987, 3.5): what is kept of a SYN until its sender proves that it is where it says.
//!
//! A half-open connection costs one entry here, one in the flow table and one in the timing wheel; it takes a slot,
//! buffers and a socket when a valid acknowledgement has come. Entries keep their place, so that the flow table and
//! the wheel name them by a number. Times are the low 32 bits of microseconds, an hour's worth: see [`ENTRY_MICROS_MAX`].

use core::net::{IpAddr, Ipv4Addr};

use crate::tcp::sources::{SourceId, Sources};
use crate::wire::segment::is_after;
use crate::wire::syn_options::SynOptions;
use crate::wire::tuple::Tuple;
use crate::{CorePlan, SourceLimits};

/// The half-open connections of one core.
#[derive(Debug)]
pub(crate) struct SynCache {
    entries: Vec<HalfOpen>,
    /// Places in `entries` that hold none.
    free: Vec<u32>,
    /// How many each source has, where that is bounded.
    sources: Sources,
    /// Our address and port.
    local: (Ipv4Addr, u16),
}

/// One half-open connection: SYN received, our SYN-ACK sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HalfOpen {
    peer: Ipv4Addr,
    /// The initial sequence number of the peer (RFC 9293, 3.3.1: IRS).
    pub(crate) irs: u32,
    /// Ours (ISS).
    pub(crate) iss: u32,
    /// When our SYN-ACK left first.
    began: u32,
    /// When it left last.
    sent: u32,
    source: SourceId,
    peer_port: u16,
    segment_max: u16,
    /// Where frames to the peer go.
    pub(crate) mac: [u8; 6],
    /// The VLAN tag's value (IEEE 802.1Q), if `flags` says that there is one.
    tag: [u8; 2],
    flags: u8,
    /// How often the timer has sent the SYN-ACK again.
    resent: u8,
    /// Challenges sent.
    challenges: u8,
}

/// Why a SYN has no entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoEntry {
    /// There are as many as may be.
    Full,
    /// Its source has as many as it may.
    SourceFull,
}

/// What of a SYN is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) tuple: Tuple,
    pub(crate) irs: u32,
    pub(crate) options: SynOptions,
    /// Where it came from.
    pub(crate) mac: [u8; 6],
    /// The value of its VLAN tag.
    pub(crate) tag: Option<[u8; 2]>,
}

impl SynCache {
    /// Takes the memory of `plan.half_open_max` entries. `secret` keys the table of sources.
    pub(crate) fn new(plan: &CorePlan, secret: [u8; 16]) -> Self {
        let SourceLimits { half_open, ref unlimited, .. } = plan.sources;
        let unlimited = unlimited.clone();
        let limits = SourceLimits { connections: half_open, unlimited, ..SourceLimits::default() };
        Self::with(limits, plan.half_open_max, secret, (plan.address, plan.port))
    }

    fn with(limits: SourceLimits, count: usize, secret: [u8; 16], local: (Ipv4Addr, u16)) -> Self {
        Self {
            entries: vec![HalfOpen::NONE; count],
            free: (0..count).rev().filter_map(|at| u32::try_from(at).ok()).collect(),
            sources: Sources::new(limits, count, secret),
            local,
        }
    }

    /// Keeps what was `received`; our SYN-ACK has the number `iss` and leaves at `micros`.
    pub(crate) fn insert(
        &mut self,
        received: &Received,
        iss: u32,
        micros: u64,
    ) -> Result<u32, NoEntry> {
        let &index = self.free.last().ok_or(NoEntry::Full)?;
        let peer = received.tuple.peer();
        // As many records as entries: the table is never full.
        let source = self.sources.enter(IpAddr::V4(peer)).map_err(|_| NoEntry::SourceFull)?;
        self.free.pop();
        self.entries[index as usize] = HalfOpen::new(received, iss, source, low(micros));
        Ok(index)
    }

    /// The entry at `index`.
    pub(crate) fn entry(&mut self, index: u32) -> &mut HalfOpen {
        &mut self.entries[index as usize]
    }

    /// The entry at `index` is over.
    pub(crate) fn remove(&mut self, index: u32) {
        let entry = &mut self.entries[index as usize];
        debug_assert!(entry.is_live(), "an entry ends once");
        self.sources.leave(entry.source);
        *entry = HalfOpen::NONE;
        self.free.push(index);
    }

    /// The connection that `entry` is of.
    pub(crate) fn tuple(&self, entry: &HalfOpen) -> Tuple {
        Tuple::new((entry.peer, entry.peer_port), self.local)
    }

    /// Entries in use.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Entries in all, in use or not.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(u32::MAX)
    }
}

impl HalfOpen {
    const NONE: Self = Self {
        peer: Ipv4Addr::UNSPECIFIED,
        irs: 0,
        iss: 0,
        began: 0,
        sent: 0,
        source: SourceId::NONE,
        peer_port: 0,
        segment_max: 0,
        mac: [0; 6],
        tag: [0; 2],
        flags: 0,
        resent: 0,
        challenges: 0,
    };

    fn new(received: &Received, iss: u32, source: SourceId, began: u32) -> Self {
        let SynOptions { segment_max, window_scale, permits_sack } = received.options;
        let mut flags = LIVE | window_scale.unwrap_or(NO_SCALE) & NO_SCALE;
        flags |= if permits_sack { SACK } else { 0 };
        flags |= if received.tag.is_some() { TAGGED } else { 0 };
        let [p0, p1, ..] = received.tuple.ports.to_be_bytes();
        Self {
            peer: received.tuple.peer(),
            irs: received.irs,
            iss,
            began,
            sent: began,
            source,
            peer_port: u16::from_be_bytes([p0, p1]),
            segment_max: segment_max.unwrap_or(0),
            mac: received.mac,
            tag: received.tag.unwrap_or_default(),
            flags,
            resent: 0,
            challenges: 0,
        }
    }

    /// Whether it is in use.
    pub(crate) fn is_live(&self) -> bool {
        self.flags & LIVE != 0
    }

    /// What the peer's SYN offered.
    pub(crate) fn options(&self) -> SynOptions {
        let scale = self.flags & NO_SCALE;
        SynOptions {
            segment_max: Some(self.segment_max).filter(|max| *max > 0),
            window_scale: (scale != NO_SCALE).then_some(scale),
            permits_sack: self.flags & SACK != 0,
        }
    }

    /// The value of the VLAN tag that frames to the peer have.
    pub(crate) fn tag(&self) -> Option<[u8; 2]> {
        (self.flags & TAGGED != 0).then_some(self.tag)
    }

    /// The peer's next sequence number.
    pub(crate) fn rcv_nxt(&self) -> u32 {
        self.irs.wrapping_add(1)
    }

    /// Our next sequence number.
    pub(crate) fn snd_nxt(&self) -> u32 {
        self.iss.wrapping_add(1)
    }

    /// When our SYN-ACK left, as seen at `micros`; `None`: more than once, so that an acknowledgement does not say of
    /// which it is.
    pub(crate) fn sent_once(&self, micros: u64) -> Option<u64> {
        (self.resent == 0 && self.sent == self.began).then(|| since(self.began, micros))
    }

    /// When it began, as seen at `micros`.
    pub(crate) fn began(&self, micros: u64) -> u64 {
        since(self.began, micros)
    }

    /// When the SYN-ACK is due again, as seen at `micros`.
    //= RFC 6298 5.5: the time is doubled with each.
    pub(crate) fn due(&self, micros: u64) -> u64 {
        since(self.sent, micros) + (RESEND_MICROS << self.resent.min(RESENT_MAX))
    }

    /// The timer sends the SYN-ACK again at `micros`.
    pub(crate) fn on_resent(&mut self, micros: u64) {
        self.resent = self.resent.saturating_add(1);
        self.sent = low(micros);
    }

    /// Whether a SYN that came again at `micros` is answered at once: not more often than [`REPEAT_MICROS`] allows,
    /// for anybody may send it.
    pub(crate) fn try_repeat(&mut self, micros: u64) -> bool {
        let is_allowed = low(micros).wrapping_sub(self.sent) >= REPEAT_MICROS;
        if is_allowed {
            self.sent = low(micros);
        }
        is_allowed
    }

    /// Takes one challenge; `false`: there were enough.
    //= RFC 5961 7: how often is limited.
    pub(crate) fn try_challenge(&mut self) -> bool {
        let is_allowed = self.challenges < CHALLENGES_MAX;
        self.challenges += u8::from(is_allowed);
        is_allowed
    }

    /// Whether some of `payload_len` bytes with number `sequence` lies within a window of `window` bytes (RFC 9293,
    /// 3.10.7.4, table 6).
    pub(crate) fn is_in_window(&self, sequence: u32, payload_len: u32, window: u32) -> bool {
        let first = sequence.wrapping_sub(self.rcv_nxt());
        let last = first.wrapping_add(payload_len).wrapping_sub(1);
        let is_next = first == 0 && payload_len == 0;
        first < window || is_next || payload_len > 0 && last < window
    }

    /// Whether `sequence` is in or at the end of the window of `window` bytes, and not its first number.
    pub(crate) fn is_guess(&self, sequence: u32, window: u32) -> bool {
        let rcv_nxt = self.rcv_nxt();
        is_after(sequence, rcv_nxt) && !is_after(sequence, rcv_nxt.wrapping_add(window))
    }
}

fn low(micros: u64) -> u32 {
    u32::try_from(micros & u64::from(u32::MAX)).unwrap_or(0)
}

/// The moment with the low bits `then`, which was at `micros` or less than an hour before.
fn since(then: u32, micros: u64) -> u64 {
    micros.saturating_sub(u64::from(low(micros).wrapping_sub(then)))
}

/// No entry lives longer, whatever the deadline: the low bits of its times would wrap.
pub(crate) const ENTRY_MICROS_MAX: u64 = 3_600_000_000;
const _: () = assert!(ENTRY_MICROS_MAX < 1 << 32, "times of entries are told apart");
/// What Linux and the BSDs take for their least timeout: see [`RoundTrip`](crate::tcp::round_trip::RoundTrip).
const RESEND_MICROS: u64 = 200_000;
/// Doublings of that: up to 51 s (RFC 6298, 2.5 asks for a minute).
const RESENT_MAX: u8 = 8;
/// Half of that: a SYN that comes again brings the SYN-ACK no more often.
const REPEAT_MICROS: u32 = 100_000;
/// As many as [`ACK_LIMIT_BURST`](crate::limits::ACK_LIMIT_BURST) in the life of an entry.
const CHALLENGES_MAX: u8 = 6;
/// The low bits of `flags`: the window scale, or this.
const NO_SCALE: u8 = 15;
const SACK: u8 = 1 << 4;
const TAGGED: u8 = 1 << 5;
const LIVE: u8 = 1 << 6;
const _: () = assert!(size_of::<HalfOpen>() == 40, "what a half-open connection costs here");

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: (Ipv4Addr, u16) = (Ipv4Addr::new(198, 18, 0, 2), 8_080);

    fn cache(count: usize, half_open: u32) -> SynCache {
        let limits = SourceLimits { connections: half_open, ..SourceLimits::default() };
        SynCache::with(limits, count, [7; 16], LOCAL)
    }

    fn received(host: u8, port: u16, options: SynOptions) -> Received {
        let tuple = Tuple::new((Ipv4Addr::new(10, 0, 0, host), port), LOCAL);
        Received { tuple, irs: 5, options, mac: [2; 6], tag: None }
    }

    #[test]
    fn what_is_kept_is_what_was_received() {
        let mut cache = cache(1, 0);
        for segment_max in [None, Some(536), Some(u16::MAX)] {
            for window_scale in (0..=14).map(Some).chain([None]) {
                for permits_sack in [false, true] {
                    let options = SynOptions { segment_max, window_scale, permits_sack };
                    let tag = permits_sack.then_some([0x60, 0x2a]);
                    let received = Received { tag, ..received(1, u16::MAX, options) };
                    let index = cache.insert(&received, 77, 0).expect("there is room");
                    let entry = *cache.entry(index);
                    assert_eq!((entry.options(), entry.tag(), entry.mac), (options, tag, [2; 6]));
                    assert_eq!((entry.irs, entry.iss), (5, 77));
                    assert_eq!(cache.tuple(&entry), received.tuple);
                    cache.remove(index);
                    assert!(!cache.entry(index).is_live());
                }
            }
        }
        assert_eq!(cache.len(), 0);
    }

    #[test]
    fn it_is_full_for_all_or_for_one_source() {
        let mut cache = cache(3, 2);
        let mut insert = |host, port| {
            let received = received(host, port, SynOptions::default());
            cache.insert(&received, 1, 0)
        };
        let first = insert(1, 1).expect("there is room");
        assert!(insert(1, 2).is_ok());
        assert_eq!(insert(1, 3), Err(NoEntry::SourceFull));
        assert!(insert(2, 1).is_ok());
        assert_eq!(insert(3, 1), Err(NoEntry::Full));
        cache.remove(first);
        assert_eq!(cache.len(), 2);
        assert!(cache.insert(&received(1, 3, SynOptions::default()), 1, 0).is_ok());
    }

    #[test]
    fn times_are_right_when_their_low_bits_wrap() {
        let mut cache = cache(1, 0);
        let began = (1 << 32) - 50_000;
        let index = cache.insert(&received(1, 1, SynOptions::default()), 1, began).expect("room");
        let entry = cache.entry(index);
        let now = began + 100_000;
        assert_eq!((entry.began(now), entry.sent_once(now)), (began, Some(began)));
        assert_eq!(entry.due(now), began + 200_000);
        assert!(!entry.try_repeat(now - 1) && entry.try_repeat(now) && !entry.try_repeat(now));
        assert_eq!(entry.sent_once(now), None, "of which one would an acknowledgement be?");
        entry.on_resent(now);
        assert_eq!(entry.due(now), now + 400_000);
        entry.on_resent(now);
        assert_eq!(entry.due(now), now + 800_000);
    }
}
