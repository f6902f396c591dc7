//! One connection: its TCP half, its HTTP half, its deadlines, and the segments it refuses.

use std::sync::Arc;

use http1::{Service, Waiting};

use crate::Buffer;
use crate::control_queue::ConnId;
use crate::latency::Exchange;
use crate::plan::Deadlines;
use crate::tcp::recovery::Recovery;
use crate::tcp::stack::Tcp;
use crate::wire::drop_reason::Loss;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::segment::{ACK, FIN, RST, SYN, Segment, is_after};
use crate::wire::tuple::Tuple;

/// One connection: its TCP half, its HTTP half, and what joins them.
pub(crate) struct Conn<S: Service> {
    pub(crate) tcp: Tcp,
    pub(crate) http: http1::Conn<S>,
    /// What the exchange under way began with; none: between exchanges.
    pub(crate) service: Option<Arc<S>>,
    /// The link header of what we send: where the last frame came from.
    pub(crate) link: ReplyHeader,
    pub(crate) tuple: Tuple,
    pub(crate) stage: Stage,
    /// The request under way; none: between requests, or it was refused.
    pub(crate) exchange: Option<Exchange>,
    /// When it was handed to control, in cycles.
    pub(crate) parked: u64,
    /// The state it is counted in.
    pub(super) counted: ConnState,
    /// Whether it is on the ready list.
    pub(crate) queued: bool,
    /// How many connections and asks this slot has seen.
    life: u32,
    /// What the peer owes us, or control, as it was after the last service.
    waiting: Waiting,
    /// When `stage` or `waiting` last changed, in microseconds.
    since: u64,
    /// When the peer last acknowledged something new, in microseconds.
    progress: u64,
    /// The peer's last acknowledgement number.
    acknowledged: u32,
    recovery: Recovery,
    /// Bytes of the body that came in since `since`.
    body_bytes: u64,
}

/// A segment that is dropped although its connection is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suspect {
    pub(crate) loss: Loss,
    /// Whether the peer is asked, by an acknowledgement, if it was it.
    pub(crate) is_challenged: bool,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot is free.
    Free,
    /// SYN received, not yet acknowledged.
    HalfOpen,
    /// HTTP is spoken.
    Open,
    /// All is said: FIN is on its way, what still comes in is thrown away.
    Closing,
}

/// Why time is up for a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Handshake,
    Head,
    Body,
    Idle,
    /// Idle while we drain.
    Drain,
    Answer,
    Stall,
    Close,
}

/// How long a connection is kept after its last answer when we drain: a request that a client sent before
/// our FIN could reach it would be lost. Longer than any round trip.
const DRAIN_IDLE_MICROS: u64 = 1_000_000;

impl<S: Service> Conn<S> {
    pub(super) fn new(receive: Buffer, transmit: Buffer) -> Self {
        Self {
            tcp: Tcp::new(receive, transmit),
            http: http1::Conn::new(),
            service: None,
            link: ReplyHeader::new([0; 6], [0; 6], None, 0),
            tuple: Tuple { addresses: 0, ports: 0 },
            stage: Stage::Free,
            exchange: None,
            parked: 0,
            counted: ConnState::HalfOpen,
            queued: false,
            life: 0,
            waiting: Waiting::Idle,
            since: 0,
            progress: 0,
            acknowledged: 0,
            recovery: Recovery::new(0),
            body_bytes: 0,
        }
    }

    pub(super) fn open(&mut self, syn: &Segment, link: ReplyHeader, port: u16, micros: u64) {
        debug_assert_eq!(self.stage, Stage::Free);
        self.tcp.open(port, syn.sequence);
        self.life = self.life.wrapping_add(1);
        self.link = link;
        self.tuple = syn.tuple;
        self.waiting = Waiting::Idle;
        self.progress = micros;
        self.acknowledged = 0;
        self.body_bytes = 0;
        self.exchange = None;
        self.enter(Stage::HalfOpen, micros);
    }

    /// The connection has come further.
    pub(crate) fn enter(&mut self, stage: Stage, micros: u64) {
        self.stage = stage;
        self.since = micros;
    }

    /// The peer takes segments of `segment_max` bytes of payload.
    pub(crate) fn on_syn(&mut self, segment_max: u32) {
        self.recovery = Recovery::new(segment_max);
    }

    /// A segment of this connection arrived over `link`: how many times more its acknowledgement is
    /// to be handed to smoltcp (see [`Recovery`]).
    pub(crate) fn on_segment(&mut self, segment: &Segment, link: ReplyHeader, micros: u64) -> u32 {
        self.link = link;
        if !segment.has(ACK) {
            return 0;
        }
        let next = self.tcp.sent().next_sequence;
        if self.stage == Stage::HalfOpen {
            self.acknowledged = segment.acknowledged;
            return 0;
        }
        let again = self.recovery.on_acknowledgement(segment, self.acknowledged, next);
        if is_after(segment.acknowledged, self.acknowledged) {
            self.acknowledged = segment.acknowledged;
            self.progress = micros;
        }
        again
    }

    /// What smoltcp would take of `segment` and should not; `None` if it is above suspicion.
    pub(crate) fn suspect(&self, segment: &Segment) -> Option<Suspect> {
        let (sent, expected) = (self.tcp.sent(), self.tcp.expected());
        if segment.has(SYN) {
            let repeats = self.stage == Stage::HalfOpen
                && segment.sequence.wrapping_add(1) == expected
                && !segment.has(ACK);
            return Some(Suspect { loss: Loss::SynOnConnection, is_challenged: !repeats });
        }
        if segment.has(RST) {
            //= RFC 5961 3.2: only the exact number resets; another one in the window is challenged.
            // Its end counts too: there stands a peer that filled the window, lost some of it, and reset.
            let in_window = is_after(segment.sequence, expected)
                && !is_after(segment.sequence, sent.window_end());
            // A peer that closed and then refuses our data resets with the number before its FIN.
            let before_fin =
                self.tcp.is_half_closed() && segment.sequence.wrapping_add(1) == expected;
            let is_exact = segment.sequence == expected || before_fin;
            let guess = Suspect { loss: Loss::ResetGuess, is_challenged: in_window };
            return (!is_exact).then_some(guess);
        }
        let silent = |loss| Some(Suspect { loss, is_challenged: false });
        //= RFC 9293 3.10.7.4: an acknowledgement of what was not yet sent changes nothing.
        if self.stage != Stage::HalfOpen
            && segment.has(ACK)
            && is_after(segment.acknowledged, sent.next_sequence)
        {
            return silent(Loss::AckUnsent);
        }
        // smoltcp clips the data to its window but takes the FIN behind it; and until we have sent
        // more than a SYN it takes the window for larger than it is.
        let hurts = segment.has(FIN) && self.stage != Stage::HalfOpen || sent.is_window_unscaled();
        if hurts && self.tcp.is_beyond_window(segment) {
            return silent(Loss::BeyondWindow);
        }
        None
    }

    /// What it is doing. A free slot has no state; asked of one, it says half-open.
    pub(super) fn state(&self) -> ConnState {
        match (self.stage, self.waiting) {
            (Stage::Free | Stage::HalfOpen, _) => ConnState::HalfOpen,
            (Stage::Closing, _) => ConnState::Closing,
            (Stage::Open, Waiting::Idle) => ConnState::Idle,
            (Stage::Open, Waiting::Head | Waiting::Body) => ConnState::Reading,
            (Stage::Open, Waiting::Answer) => ConnState::Waiting,
            (Stage::Open, Waiting::Output | Waiting::Closed) => ConnState::Sending,
        }
    }

    /// Whether the payload of `segment` came before an earlier one.
    pub(crate) fn is_early(&self, segment: &Segment) -> bool {
        segment.payload_len > 0 && is_after(segment.sequence, self.tcp.expected())
    }

    /// A name for what is asked now; an answer to anything earlier does not have it.
    pub(crate) fn next_id(&mut self, slot: u32) -> ConnId {
        self.life = self.life.wrapping_add(1);
        ConnId::new(slot, self.life)
    }

    /// Whether an answer to `id` is for what this connection waits for.
    pub(crate) fn awaits(&self, id: ConnId) -> bool {
        self.stage == Stage::Open && self.life == id.life
    }

    /// Whether it waited for control when it was served last.
    pub(crate) fn is_parked(&self) -> bool {
        self.waiting == Waiting::Answer
    }

    /// The connection was served: `consumed` bytes were taken in, `answered` says that a request was
    /// completed meanwhile, which gives the next one its full time.
    pub(crate) fn on_served(&mut self, consumed: usize, answered: bool, micros: u64) {
        let waiting = self.http.waiting();
        if answered || waiting != self.waiting {
            self.since = micros;
            self.body_bytes = 0;
            // What is handed to TCP now has its full time to be taken.
            self.progress = micros;
        }
        self.body_bytes += consumed as u64;
        self.waiting = waiting;
    }

    /// When time is up, in microseconds, and for what.
    pub(crate) fn expiry(&self, deadlines: &Micros) -> (u64, Expiry) {
        match self.stage {
            Stage::Free | Stage::HalfOpen => (self.since + deadlines.handshake, Expiry::Handshake),
            Stage::Closing => (self.since + deadlines.close, Expiry::Close),
            Stage::Open if self.tcp.unacknowledged() > 0 => {
                (self.progress + deadlines.stall, Expiry::Stall)
            }
            Stage::Open => match self.waiting {
                Waiting::Idle => match deadlines.drain_idle.filter(|_| self.http.is_draining()) {
                    Some(drain_idle) => (self.since + drain_idle, Expiry::Drain),
                    None => (self.since + deadlines.idle, Expiry::Idle),
                },
                Waiting::Head => (self.since + deadlines.head, Expiry::Head),
                Waiting::Body => {
                    let earned = self.body_bytes * 1_000_000 / deadlines.body_rate;
                    (self.since + earned.max(deadlines.body_grace), Expiry::Body)
                }
                Waiting::Answer => (self.since + deadlines.answer, Expiry::Answer),
                Waiting::Output | Waiting::Closed => {
                    (self.progress + deadlines.stall, Expiry::Stall)
                }
            },
        }
    }
}

/// [`Deadlines`] in microseconds, and the body rate in bytes per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Micros {
    handshake: u64,
    head: u64,
    body_grace: u64,
    body_rate: u64,
    idle: u64,
    /// Instead of `idle` while we drain.
    drain_idle: Option<u64>,
    answer: u64,
    stall: u64,
    close: u64,
}

impl Micros {
    /// Whether connections that were told to close have less time to be idle than others.
    pub(crate) fn set_draining(&mut self, draining: bool) {
        self.drain_idle = draining.then_some(self.idle.min(DRAIN_IDLE_MICROS));
    }
}

impl From<Deadlines> for Micros {
    fn from(deadlines: Deadlines) -> Self {
        Self {
            handshake: deadlines.handshake_ms * 1_000,
            head: deadlines.head_ms * 1_000,
            body_grace: deadlines.body_grace_ms * 1_000,
            body_rate: deadlines.body_rate.max(1),
            idle: deadlines.idle_ms * 1_000,
            drain_idle: None,
            answer: deadlines.answer_ms * 1_000,
            stall: deadlines.stall_ms * 1_000,
            close: deadlines.close_ms * 1_000,
        }
    }
}

/// What a connection is doing, as statistics tell it. Each has a level in [`CoreStats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnState {
    HalfOpen,
    /// Between requests.
    Idle,
    /// A head or a body is not complete.
    Reading,
    /// A completion is awaited.
    Waiting,
    /// A response has found no room yet.
    Sending,
    Closing,
}

impl ConnState {
    pub(super) const COUNT: usize = 6;
}
