//! One connection: its TCP half, its HTTP half, its deadlines, and the segments it refuses.

use std::sync::Arc;

use http1::{Service, Waiting};

use crate::Buffer;
use crate::control_queue::ConnId;
use crate::latency::Exchange;
use crate::plan::Deadlines;
use crate::tcp::ack_limit::AckLimit;
use crate::tcp::sender::{Arrival, Outcome};
use crate::tcp::sources::SourceId;
use crate::tcp::stack::{State, Tcp};
use crate::tcp::time_wait::Remains;
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::neighbours::Neighbours;
use crate::wire::segment::{self, ACK, ControlSegment, FIN, RST, SYN, Segment, is_after};
use crate::wire::syn_options::SynOptions;
use crate::wire::tuple::Tuple;

/// One connection: its TCP half, its HTTP half, and the state that joins them.
pub(crate) struct Conn<S: Service> {
    pub(crate) tcp: Tcp,
    pub(crate) http: http1::Conn<S>,
    /// The service that the exchange under way began with; none: between exchanges.
    pub(crate) service: Option<Arc<S>>,
    /// The Ethernet header of the frames we send: back to where the last one came from.
    pub(crate) reply_header: ReplyHeader,
    pub(crate) tuple: Tuple,
    pub(crate) stage: Stage,
    /// The source that it is counted for.
    pub(crate) source: SourceId,
    /// Whether its source is charged for a request whose body comes in.
    pub(crate) is_charged: bool,
    /// The request under way; none: between requests, or it was refused.
    pub(crate) exchange: Option<Exchange>,
    /// When the request was parked, in cycles.
    pub(crate) parked: u64,
    /// The state it is counted in.
    pub(super) counted: ConnState,
    /// Whether it is in the run queue.
    pub(crate) queued: bool,
    /// Counts the connections and offloads of this slot: see [`ConnId`].
    generation: u32,
    /// What it waited for when it was served last.
    waiting: Waiting,
    /// When `stage` or `waiting` last changed, in microseconds.
    since: u64,
    /// When the peer last acknowledged something new, in microseconds.
    progress: u64,
    /// The window field of the segment that SND.UNA is of, or of a later one.
    snd_wnd: u16,
    /// The largest window that the peer offered, in bytes (RFC 5961, 5.2: MAX.SND.WND).
    snd_wnd_max: u32,
    /// How far we shift the peer's window (RFC 7323, 2.3).
    snd_wnd_scale: u8,
    /// How many challenges it is sent.
    challenges: AckLimit,
    /// Bytes of the body that came in since `since`.
    body_bytes: u64,
    /// When the window began in which the peer must take enough of a response, in microseconds.
    taking_since: u64,
    /// Bytes that the peer acknowledged since then.
    taken: u64,
}

/// Why a segment of a connection is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unacceptable {
    pub(crate) reason: DropReason,
    /// Whether a challenge ACK answers it (RFC 5961, 3.2, 4.2 and 5.2).
    pub(crate) is_challenged: bool,
}

/// What counts of a segment that smoltcp is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// Everything.
    Whole,
    /// Everything but its acknowledgement and window: a later acknowledgement came before it (RFC 9293, 3.10.7.4:
    /// it can be ignored; the text is taken).
    OldAck,
    /// Where it came from: it was received before, and is sent again because our acknowledgement was lost, perhaps
    /// on its way to where the peer no longer is.
    Repeated,
    /// Nothing: it is not in the window, and is acknowledged to where the peer was last.
    Outside,
}

/// How smoltcp is shown a segment that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shown {
    /// As it came.
    Whole,
    /// Not at all: it repeats the last acknowledgement, and on the third of these smoltcp would send something again.
    Not,
    /// As if the window were not quite closed: the [`Sender`](crate::tcp::sender::Sender) probes it. With a window of
    /// nothing smoltcp gives up its retransmission timer, which alone makes it go back to what is in flight, and
    /// probes at a time that says more of how often it went back than of the path.
    Ajar,
}

impl Shown {
    fn of(segment: &Segment, is_duplicate: bool) -> Self {
        match (is_duplicate, segment.window) {
            (true, _) => Self::Not,
            (false, 0) => Self::Ajar,
            (false, _) => Self::Whole,
        }
    }
}

/// The stage of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The slot is free.
    Free,
    /// SYN received, not yet acknowledged.
    HalfOpen,
    /// HTTP is spoken.
    Open,
    /// Everything is queued and FIN is on its way; what still comes in is discarded.
    Closing,
}

/// Which deadline of a connection has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    Handshake,
    Head,
    Body,
    Idle,
    /// Idle while we drain.
    Drain,
    Completion,
    Stall,
    /// The peer takes a response, but too slowly.
    Slow,
    Close,
}

/// The window field that smoltcp is shown in place of zero.
const WINDOW_AJAR: u16 = 1;

/// How long a connection is kept after its last response when we drain: a request that a client sent before
/// our FIN could reach it would be lost. Longer than any round trip.
const DRAIN_IDLE_MICROS: u64 = 1_000_000;

impl<S: Service> Conn<S> {
    pub(super) fn new(receive: Buffer, transmit: Buffer) -> Self {
        Self {
            tcp: Tcp::new(receive, transmit),
            http: http1::Conn::new(),
            service: None,
            reply_header: ReplyHeader::new([0; 6], [0; 6], None, 0),
            tuple: Tuple { addresses: 0, ports: 0 },
            stage: Stage::Free,
            source: SourceId::default(),
            is_charged: false,
            exchange: None,
            parked: 0,
            counted: ConnState::HalfOpen,
            queued: false,
            generation: 0,
            waiting: Waiting::Idle,
            since: 0,
            progress: 0,
            snd_wnd: 0,
            snd_wnd_max: 0,
            snd_wnd_scale: 0,
            challenges: AckLimit::default(),
            body_bytes: 0,
            taking_since: 0,
            taken: 0,
        }
    }

    pub(super) fn open(
        &mut self,
        syn: &Segment,
        reply_header: ReplyHeader,
        port: u16,
        micros: u64,
    ) {
        debug_assert_eq!(self.stage, Stage::Free);
        self.tcp.open(port, syn.sequence);
        self.generation = self.generation.wrapping_add(1);
        self.reply_header = reply_header;
        self.tuple = syn.tuple;
        self.waiting = Waiting::Idle;
        self.progress = micros;
        self.taking_since = micros;
        self.taken = 0;
        self.snd_wnd_max = u32::from(syn.window);
        self.challenges = AckLimit::default();
        self.body_bytes = 0;
        self.exchange = None;
        self.enter(Stage::HalfOpen, micros);
    }

    /// Moves the connection to `stage`.
    pub(crate) fn enter(&mut self, stage: Stage, micros: u64) {
        self.stage = stage;
        self.since = micros;
    }

    /// The peer takes segments of `segment_max` bytes of payload; the `options` are those of its SYN.
    pub(crate) fn on_syn(&mut self, segment_max: u16, options: SynOptions) {
        self.snd_wnd_scale = options.window_scale.unwrap_or(0);
        self.tcp.sender_mut().on_syn(u32::from(segment_max), options.permits_sack);
    }

    /// An [acceptable](Acceptance::Whole) segment of this connection, `packet`, arrived, and frames to the peer begin
    /// with `header`: what came of its acknowledgement, and how smoltcp is shown it.
    pub(crate) fn on_segment(
        &mut self,
        segment: &Segment,
        packet: &[u8],
        header: ReplyHeader,
        micros: u64,
    ) -> (Outcome, Shown) {
        self.reply_header = header;
        let una = self.snd_una();
        if !segment.has(ACK) {
            return (Outcome::Nothing, Shown::Whole);
        }
        if self.stage == Stage::HalfOpen {
            self.note_window(segment);
            self.tcp.sender_mut().on_handshake(segment.ack, segment.window == 0, micros);
            return (Outcome::Nothing, Shown::of(segment, false));
        }
        if is_after(una, segment.ack) {
            return (Outcome::Nothing, Shown::Whole);
        }
        let is_duplicate = self.is_duplicate(segment);
        self.note_window(segment);
        let has_blocks = segment::has_options(packet);
        let options = if has_blocks { segment::options(packet) } else { &[] };
        let (ack, is_closed) = (segment.ack, segment.window == 0);
        let arrival = Arrival { ack, is_duplicate, is_closed, has_blocks };
        let blocks = segment::SackBlocks { options };
        let outcome = self.tcp.on_acknowledgement(&arrival, blocks, micros);
        if is_after(ack, una) {
            self.taken += u64::from(ack.wrapping_sub(una));
            self.progress = micros;
        }
        (outcome, Shown::of(segment, is_duplicate))
    }

    /// Copies `packet`, which closes the window, into `into`, with the smallest window there is.
    pub(crate) fn set_ajar<'a>(&self, packet: &[u8], into: &'a mut [u8]) -> &'a [u8] {
        segment::restate(packet, self.snd_una(), WINDOW_AJAR, into)
    }

    /// Whether `segment` only repeats the last acknowledgement while something is in flight (RFC 5681, 2).
    fn is_duplicate(&self, segment: &Segment) -> bool {
        segment.ack == self.snd_una()
            && segment.sequence_len() == 0
            && segment.window == self.snd_wnd
            && segment.ack != self.tcp.sent().snd_nxt
    }

    fn note_window(&mut self, segment: &Segment) {
        self.snd_wnd = segment.window;
        let window = u32::from(segment.window) << self.snd_wnd_scale;
        self.snd_wnd_max = self.snd_wnd_max.max(window);
    }

    /// SND.UNA (RFC 9293, 3.3.1).
    fn snd_una(&self) -> u32 {
        self.tcp.sender().una
    }

    /// Sends to where ARP says that the peer is, who does not answer where it was. Whether that is elsewhere.
    pub(crate) fn follow(&mut self, neighbours: &Neighbours) -> bool {
        let Some(mac) = neighbours.moved(self.tuple.peer(), &self.reply_header) else {
            return false;
        };
        self.reply_header.redirect(mac);
        true
    }

    /// A challenge ACK, or `None` if the connection has sent as many as it may (RFC 5961, 7).
    pub(crate) fn challenge(&mut self, micros: u64) -> Option<ControlSegment> {
        self.challenges.try_take(micros).then(|| self.remains().acknowledgement())
    }

    /// What the peer may be told of this connection, now or when it is over.
    pub(crate) fn remains(&self) -> Remains {
        Remains {
            tuple: self.tuple,
            snd_nxt: self.tcp.sent().snd_nxt,
            rcv_nxt: self.tcp.rcv_nxt(),
            window: self.tcp.window_field(),
        }
    }

    /// Copies `packet`, a segment of this connection with an [old acknowledgement](Acceptance::OldAck), into
    /// `into`, with the acknowledgement and window that hold: smoltcp would drop its payload else.
    pub(crate) fn restate<'a>(&self, packet: &[u8], into: &'a mut [u8]) -> &'a [u8] {
        segment::restate(packet, self.snd_una(), self.snd_wnd.max(WINDOW_AJAR), into)
    }

    /// Whether `segment` is what nearly all are: the next in order, without SYN, FIN and RST, within the window, and
    /// with an acknowledgement of what was sent. It is [acceptable](Acceptance::Whole).
    pub(crate) fn is_next(&self, segment: &Segment) -> bool {
        let (sent, rcv_nxt) = (self.tcp.sent(), self.tcp.rcv_nxt());
        self.stage == Stage::Open
            && segment.flags & (SYN | FIN | RST) == 0
            && segment.sequence == rcv_nxt
            && segment.ack.wrapping_sub(self.snd_una()) <= sent.snd_nxt.wrapping_sub(self.snd_una())
            && (segment.payload_len == 0 || is_after(sent.window_end(), rcv_nxt))
            && !sent.is_window_unscaled()
    }

    /// The acceptability test (RFC 9293, 3.10.7.4; RFC 5961) as far as smoltcp leaves it out, and what counts of
    /// what passes.
    #[cold]
    pub(crate) fn check_acceptable(&self, segment: &Segment) -> Result<Acceptance, Unacceptable> {
        let (sent, rcv_nxt) = (self.tcp.sent(), self.tcp.rcv_nxt());
        if segment.has(SYN) {
            let repeats = self.stage == Stage::HalfOpen
                && segment.sequence.wrapping_add(1) == rcv_nxt
                && !segment.has(ACK);
            let reason = DropReason::SynOnConnection;
            // Before our SYN has left there is nothing to say that it will not say.
            return Err(Unacceptable { reason, is_challenged: !repeats && sent.has_begun() });
        }
        if segment.has(RST) {
            //= RFC 5961 3.2: only the exact number resets; another one in the window is challenged.
            // Its end counts too: there stands a peer that filled the window, lost some of it, and reset.
            let in_window = sent.has_begun()
                && is_after(segment.sequence, rcv_nxt)
                && !is_after(segment.sequence, sent.window_end());
            // A peer that closed and then refuses our data resets with the number before its FIN.
            let before_fin =
                self.tcp.is_half_closed() && segment.sequence.wrapping_add(1) == rcv_nxt;
            let is_exact = segment.sequence == rcv_nxt || before_fin;
            let guess = Unacceptable { reason: DropReason::ResetGuess, is_challenged: in_window };
            return if is_exact { Ok(Acceptance::Whole) } else { Err(guess) };
        }
        let is_half_open = self.stage == Stage::HalfOpen;
        //= RFC 9293 3.10.7.4: an acknowledgement of what was not yet sent changes nothing, and is answered.
        if !is_half_open && is_after(segment.ack, sent.snd_nxt) {
            return Err(Unacceptable { reason: DropReason::AckUnsent, is_challenged: true });
        }
        // smoltcp clips the data to its window but takes the FIN behind it; and until we have sent
        // more than a SYN it takes the window for larger than it is.
        let mistaken = segment.has(FIN) && !is_half_open || sent.is_window_unscaled();
        if mistaken && self.tcp.is_beyond_window(segment) {
            let reason = DropReason::BeyondWindow;
            return Err(Unacceptable { reason, is_challenged: false });
        }
        if !self.is_in_window(segment) || is_half_open && segment.ack != sent.snd_nxt {
            return Ok(if self.is_repeated(segment) {
                Acceptance::Repeated
            } else {
                Acceptance::Outside
            });
        }
        if !is_half_open && is_after(self.snd_una(), segment.ack) {
            return self.check_old_ack(segment);
        }
        Ok(Acceptance::Whole)
    }

    /// Whether some of `segment` lies in the window that was advertised last (RFC 9293, 3.10.7.4, table 6).
    fn is_in_window(&self, segment: &Segment) -> bool {
        let (sent, rcv_nxt) = (self.tcp.sent(), self.tcp.rcv_nxt());
        let window = sent.window_left(rcv_nxt);
        let first = segment.sequence.wrapping_sub(rcv_nxt);
        let last = first.wrapping_add(segment.payload_len).wrapping_sub(1);
        let is_next = first == 0 && segment.payload_len == 0;
        sent.has_begun() && (first < window || is_next || segment.payload_len > 0 && last < window)
    }

    /// Whether `segment` is, as far as numbers tell, one that was received before and is sent again: it takes
    /// sequence space, ends where we are or before, at most a window back, and acknowledges what it might.
    #[cold]
    fn is_repeated(&self, segment: &Segment) -> bool {
        let back = self.tcp.rcv_nxt().wrapping_sub(segment.sequence);
        let furthest = u32::try_from(self.tcp.receive_capacity()).unwrap_or(u32::MAX);
        self.stage != Stage::HalfOpen
            && segment.sequence_len() > 0
            && (segment.sequence_len()..=furthest).contains(&back)
            && !self.is_ack_too_old(segment)
    }

    #[cold]
    fn check_old_ack(&self, segment: &Segment) -> Result<Acceptance, Unacceptable> {
        if self.is_ack_too_old(segment) {
            return Err(Unacceptable { reason: DropReason::AckTooOld, is_challenged: true });
        }
        Ok(if segment.sequence_len() > 0 { Acceptance::OldAck } else { Acceptance::Whole })
    }

    //= RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK, or it is challenged.
    fn is_ack_too_old(&self, segment: &Segment) -> bool {
        is_after(self.snd_una().wrapping_sub(self.snd_wnd_max), segment.ack)
    }

    /// What it is doing; half-open for a free slot, which has no state.
    pub(super) fn state(&self) -> ConnState {
        match (self.stage, self.waiting) {
            (Stage::Free | Stage::HalfOpen, _) => ConnState::HalfOpen,
            (Stage::Closing, _) => ConnState::Closing,
            (Stage::Open, Waiting::Idle) => ConnState::Idle,
            (Stage::Open, Waiting::Head | Waiting::Body) => ConnState::Reading,
            (Stage::Open, Waiting::Completion) => ConnState::Waiting,
            (Stage::Open, Waiting::Output | Waiting::Closed) => ConnState::Sending,
        }
    }

    /// Whether the payload of `segment` came before an earlier one.
    pub(crate) fn is_early(&self, segment: &Segment) -> bool {
        segment.payload_len > 0 && is_after(segment.sequence, self.tcp.rcv_nxt())
    }

    /// A new id for an offload: completions of earlier ones have another generation.
    pub(crate) fn next_id(&mut self, slot: u32) -> ConnId {
        self.generation = self.generation.wrapping_add(1);
        ConnId { slot, generation: self.generation, source: self.source }
    }

    /// Whether this connection waits for the completion of `id`.
    pub(crate) fn awaits(&self, id: ConnId) -> bool {
        self.stage == Stage::Open && self.generation == id.generation
    }

    /// Whether it is still held as half-open although the last segment completed its handshake.
    pub(crate) fn has_completed_handshake(&self) -> bool {
        self.stage == Stage::HalfOpen
            && matches!(self.tcp.state(), State::Established | State::CloseWait)
    }

    /// Whether it waited for control when it was served last.
    pub(crate) fn is_parked(&self) -> bool {
        self.waiting == Waiting::Completion
    }

    /// Whether it waits for more of a request that has begun.
    pub(crate) fn awaits_rest(&self) -> bool {
        self.stage == Stage::Open && matches!(self.waiting, Waiting::Head | Waiting::Body)
    }

    /// Whether the completion that it waited for has come since it was served last.
    pub(crate) fn is_completed(&self) -> bool {
        self.is_parked() && self.http.waiting() != Waiting::Completion
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
            self.taking_since = micros;
            self.taken = 0;
        }
        self.body_bytes += consumed as u64;
        self.waiting = waiting;
    }

    /// When time is up, in microseconds, and for what.
    pub(crate) fn expiry(&self, deadlines: &Micros) -> (u64, Expiry) {
        match self.stage {
            Stage::Free | Stage::HalfOpen => (self.since + deadlines.handshake, Expiry::Handshake),
            Stage::Open | Stage::Closing if self.tcp.unacknowledged() > 0 => self.stall(deadlines),
            //= RFC 9112 9.6: a server that closes early loses what the client has not read yet. The client has
            //= its time to close from when it has acknowledged the last byte.
            Stage::Closing => (self.since.max(self.progress) + deadlines.close, Expiry::Close),
            Stage::Open => match self.waiting {
                Waiting::Idle => match deadlines.drain_idle.filter(|_| self.http.is_draining()) {
                    Some(drain_idle) => (self.since + drain_idle, Expiry::Drain),
                    None => (self.since + deadlines.idle, Expiry::Idle),
                },
                Waiting::Head => (self.since + deadlines.head, Expiry::Head),
                Waiting::Body => (self.since + deadlines.body_grace, Expiry::Body),
                Waiting::Completion => (self.since + deadlines.response, Expiry::Completion),
                Waiting::Output | Waiting::Closed => self.stall(deadlines),
            },
        }
    }

    /// When a response must have moved: whole windows at their rate, and something since the last progress.
    fn stall(&self, deadlines: &Micros) -> (u64, Expiry) {
        if self.taking_since < self.progress {
            (self.taking_since + deadlines.stall, Expiry::Slow)
        } else {
            (self.progress + deadlines.stall, Expiry::Stall)
        }
    }

    /// The end of a window in which a body must come in, or a response be taken, at some rate: begins the next
    /// one if enough was moved, and says whether.
    ///
    /// What was moved beyond that counts for the next window, up to all of it, and for no further one: a peer
    /// that was fast may pause, but buys no hours of silence. `expiry` has passed at `micros`.
    pub(crate) fn renew(&mut self, expiry: Expiry, deadlines: &Micros, micros: u64) -> bool {
        let (moved, since, due) = match expiry {
            Expiry::Body => (&mut self.body_bytes, &mut self.since, deadlines.body_due),
            Expiry::Slow => (&mut self.taken, &mut self.taking_since, deadlines.taken_due),
            _ => return false,
        };
        if *moved < due {
            return false;
        }
        *moved = (*moved - due).min(due);
        *since = micros;
        true
    }
}

/// [`Deadlines`] in microseconds, and rates as bytes in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Micros {
    pub(crate) handshake: u64,
    head: u64,
    body_grace: u64,
    /// Bytes of a body that must come in within each `body_grace`.
    body_due: u64,
    idle: u64,
    /// Instead of `idle` while we drain.
    drain_idle: Option<u64>,
    response: u64,
    stall: u64,
    /// Bytes of a response that the peer must take within each `stall`.
    taken_due: u64,
    close: u64,
}

impl Micros {
    /// Sets whether draining connections have less time to be idle than others.
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
            // Not even a rate of nothing lets a body be silent for ever.
            body_due: bytes_in(deadlines.body_grace_ms, deadlines.body_rate).max(1),
            idle: deadlines.idle_ms * 1_000,
            drain_idle: None,
            response: deadlines.response_ms * 1_000,
            stall: deadlines.stall_ms * 1_000,
            taken_due: bytes_in(deadlines.stall_ms, deadlines.stall_rate),
            close: deadlines.close_ms * 1_000,
        }
    }
}

/// Bytes in `millis` milliseconds at `rate` bytes per second.
fn bytes_in(millis: u64, rate: u64) -> u64 {
    u64::try_from(u128::from(millis) * u128::from(rate) / 1_000).unwrap_or(u64::MAX)
}

/// What a connection is doing, as statistics count it. Each has a level in [`CoreStats`](crate::CoreStats).
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
