//! The loop of one core. [`Worker::turn`] is its table of contents.
//!
//! Owns everything of its core and shares nothing but the link to control. Never blocks, locks,
//! logs, allocates after [`Worker::new`], or makes a system call; time comes in with each turn.

mod commands;

use core::fmt;
use std::sync::Arc;

use http1::Service;

use crate::control_queue::{Command, Event, WorkerEnd};
use crate::exception;
use crate::http_driver::Desk;
use crate::latency::Finished;
use crate::limits::{CONNECTIONS_MAX, HOUSEKEEPING_TURNS, TIME_WAIT_MAX, TIME_WAIT_MICROS};
use crate::sleep::Idle;
use crate::tcp::connection::{Expiry, Micros, Stage};
use crate::tcp::connections::Conns;
use crate::tcp::flow::{FlowTable, Owner};
use crate::tcp::run_queue::RunQueue;
use crate::tcp::stack::{Egress, Stack, State};
use crate::tcp::time_wait::{Record, TimeWait};
use crate::tcp::timer::Wheel;
use crate::wire::drop_reason::Loss;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::filter::{Arrival, Guard};
use crate::wire::interface::Wire;
use crate::wire::segment::{self, ACK, Bare, FIN, RST, SYN, Segment};
use crate::wire::tuple::HashKey;
use crate::{Buffer, Burst, CorePlan, CoreStats, Nic, Now};

/// One core: a queue pair, a TCP stack, connections, and the service that answers.
pub struct Worker<N: Nic, S: Service> {
    wire: Wire<N>,
    door: Door,
    stack: Stack,
    conns: Conns<S>,
    registry: Registry,
    timers: Wheel,
    ready: RunQueue,
    desk: Desk<S>,
    deadlines: Micros,
    link: Link<S>,
    /// Where frames go that are not for our port; `None`: nowhere.
    exception: Option<exception::WorkerEnd<N::Frame>>,
}

/// Who may come in.
struct Door {
    guard: Guard,
    port: u16,
    half_open: usize,
    half_open_max: usize,
}

/// Which tuple is whose.
struct Registry {
    flows: FlowTable,
    time_wait: TimeWait,
}

/// The link to control, and what it asked of us.
struct Link<S: Service> {
    end: WorkerEnd<S>,
    mode: Mode,
    turns: u64,
    /// Asks without an answer yet, whether or not anybody still waits for it.
    owed: u64,
    /// Connections that wait for an answer.
    parked: u64,
    finished: Finished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Serving,
    Retiring,
    Draining,
    Drained,
    Stopped,
}

impl<N: Nic, S: Service> Worker<N, S> {
    /// Takes all the memory the worker will ever use: two buffers a connection from `buffers`, which
    /// is asked for a number of bytes, and the tables from the heap.
    ///
    /// # Panics
    /// If the plan contradicts itself: no connection or too many, a receive buffer that no full head
    /// fits, a transmit buffer that no head of a response fits.
    pub fn new(
        plan: CorePlan,
        mut nic: N,
        service: Arc<S>,
        link: WorkerEnd<S>,
        buffers: &mut dyn FnMut(usize) -> Buffer,
        now: Now,
    ) -> Self {
        assert!((1..=CONNECTIONS_MAX).contains(&plan.connections), "connections within limits");
        assert!(plan.receive_buffer >= plan.limits.head_len_max, "a full head fits its buffer");
        assert!(plan.transmit_buffer >= http1::HEAD_OUT_MAX, "a response head fits its buffer");
        let key = HashKey::new(plan.seed);
        let [a, b, c, d, e, f, g, h, ..] = plan.seed;
        let stack_seed = u64::from_le_bytes([h, g, f, e, d, c, b, a]) ^ now.micros;
        let stack = Stack::new(&mut nic, plan.address, stack_seed, now);
        let sizes = (plan.receive_buffer, whole_segments(plan.transmit_buffer, &nic));
        let conns = Conns::new(plan.connections, sizes, buffers);
        let mut worker = Self {
            wire: Wire::new(nic, &plan),
            door: Door {
                guard: Guard::new(&plan),
                port: plan.port,
                half_open: 0,
                half_open_max: plan.half_open_max,
            },
            stack,
            registry: Registry {
                flows: FlowTable::new(conns.capacity() + TIME_WAIT_MAX, key),
                time_wait: TimeWait::new(TIME_WAIT_MAX, TIME_WAIT_MICROS),
            },
            timers: Wheel::new(conns.capacity(), now.micros),
            ready: RunQueue::new(conns.capacity()),
            conns,
            desk: Desk::new(service, plan.limits, link.wall.unix()),
            deadlines: Micros::from(plan.deadlines),
            link: Link {
                finished: Finished::new(plan.connections, now.cycles),
                end: link,
                mode: Mode::Serving,
                turns: 0,
                owed: 0,
                parked: 0,
            },
            exception: None,
        };
        worker.wire.announce(&worker.link.end.stats);
        worker
    }

    /// The same worker with an exception path: what is not for its TCP port goes to the kernel.
    #[must_use]
    pub fn with_exception(self, end: exception::WorkerEnd<N::Frame>) -> Self {
        Self { exception: Some(end), ..self }
    }

    /// Turns until control says stop, and gives the queue pair back.
    ///
    /// `clock` is read once a turn; `idle` is called after each empty turn, and may block as [`Idle`] says.
    pub fn run(mut self, mut clock: impl FnMut() -> Now, mut idle: impl FnMut(&Idle<'_>)) -> N {
        let mut now = clock();
        let mut empty_turns = 0u32;
        while self.link.mode != Mode::Stopped {
            let announced = self.link.end.sleep.is_set();
            let busy = self.turn(now);
            if busy {
                empty_turns = 0;
                self.link.end.sleep.clear();
            } else {
                empty_turns = empty_turns.saturating_add(1);
                let (timers, flag) = (&self.timers, &self.link.end.sleep);
                idle(&Idle { empty_turns, now, timers, flag, announced });
            }
            let after = clock();
            let cycles = after.cycles.wrapping_sub(now.cycles);
            let stats = &self.link.end.stats;
            if busy { &stats.cycles_busy } else { &stats.cycles_idle }.add(cycles);
            now = after;
        }
        self.wire.nic
    }

    /// One turn: everything a core ever does, in order. Whether there was anything to do.
    pub fn turn(&mut self, now: Now) -> bool {
        self.desk.tick(self.link.end.wall.unix());
        self.stack.tick(now);
        self.link.finished.begin_turn(now.cycles, &self.link.end.latencies);
        let arrived = self.ingress(now) | self.take_answers(now);
        self.expire(now);
        let settled = self.settle_ready(now);
        let forwarded = self.send_for_kernel();
        self.wire.nic.flush();
        self.link.turns += 1;
        // A turn before a sleep is the last look at everything: commands too.
        let due = self.link.turns & (HOUSEKEEPING_TURNS - 1) == 0 || self.link.end.sleep.is_set();
        let commanded = due && self.housekeeping();
        let busy = arrived || settled || forwarded || commanded;
        self.link.end.stats.turns.add(1);
        self.link.end.stats.turns_busy.add(u64::from(busy));
        busy
    }

    /// Takes a burst from the wire; every frame is delivered, answered or dropped with its reason.
    fn ingress(&mut self, now: Now) -> bool {
        let mut burst = Burst::new();
        self.wire.nic.receive(&mut burst);
        let arrived = !burst.is_empty();
        self.link.end.stats.turns_receiving.add(u64::from(arrived));
        let steered = self.wire.nic.has_steered();
        for frame in burst {
            let stats = &self.link.end.stats;
            stats.rx_frames.add(1);
            stats.rx_bytes.add(frame.as_ref().len() as u64);
            match self.on_frame(&frame, now) {
                Ok(()) => self.link.end.stats.rx_delivered.add(1),
                Err(loss) => self.on_loss(frame, loss),
            }
        }
        if let Some(exception) = &mut self.exception {
            exception.end_burst();
        }
        arrived | steered
    }

    /// A frame that is of no use here: the kernel's, or dropped with its reason.
    fn on_loss(&mut self, frame: N::Frame, loss: Loss) {
        let stats = &self.link.end.stats;
        match &mut self.exception {
            Some(exception) if exception.wants(frame.as_ref(), loss) => {
                exception.hand_over(frame, stats);
            }
            _ => loss.counter(stats).add(1),
        }
    }

    /// Sends what the kernel has to send. Whether there was anything.
    fn send_for_kernel(&mut self) -> bool {
        let Self { exception, wire, link, .. } = self;
        exception.as_mut().is_some_and(|exception| exception.send(&mut wire.nic, &link.end.stats))
    }

    /// Takes what control answered; an answer that nobody waits for any more is dropped and counted.
    fn take_answers(&mut self, now: Now) -> bool {
        let mut taken = false;
        while self.link.owed > 0
            && let Some((id, reply)) = self.link.end.poll_answer()
        {
            taken = true;
            self.link.owed -= 1;
            let stats = &self.link.end.stats;
            let conn = self.conns.conn(id.slot);
            if conn.awaits(id) && conn.http.answer(reply).is_ok() {
                stats.offloads_completed.add(1);
                if let Some(exchange) = conn.exchange {
                    let waited = now.cycles.wrapping_sub(conn.parked);
                    self.link.end.latencies.offload(exchange.class).record(waited, 1);
                }
                self.ready.push(id.slot, &mut conn.queued);
            } else {
                stats.offloads_late.add(1);
            }
        }
        taken
    }

    fn on_frame(&mut self, frame: &N::Frame, now: Now) -> Result<(), Loss> {
        let (link, arrival) = self.door.guard.judge(frame)?;
        let stats = &self.link.end.stats;
        match arrival {
            Arrival::ArpRequest(request) => self.wire.answer_arp(&link, &request, stats),
            Arrival::EchoRequest { packet } => {
                self.wire.answer_echo(&link, &frame.as_ref()[packet], stats);
            }
            // smoltcp may answer any segment with one of its own: reserve before promising.
            Arrival::Tcp { .. } if !self.wire.nic.ready() => return Err(Loss::NoTxBuffer),
            Arrival::Tcp { segment, packet } => {
                let header = self.wire.reply_header(&link);
                let owner = self.registry.flows.find(segment.tuple);
                let slot = match owner {
                    Some(Owner::Conn(slot)) => slot,
                    Some(Owner::TimeWait(index)) if !opens(&segment) => {
                        return self.on_time_wait(index, &segment, &header);
                    }
                    // RFC 1122, 4.2.2.13: a SYN may open a connection again from TIME-WAIT.
                    _ => self.admit(&segment, &header, owner, now)?,
                };
                return self.deliver(slot, &segment, &frame.as_ref()[packet], &header, now);
            }
        }
        Ok(())
    }

    /// Opens a connection for a SYN, or says why not. Refused segments of strangers are reset.
    fn admit(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        owner: Option<Owner>,
        now: Now,
    ) -> Result<u32, Loss> {
        let stats = &self.link.end.stats;
        let ours = segment.tuple.ports & 0xffff == u32::from(self.door.port);
        if !opens(segment) || !ours {
            if !ours && self.exception.is_some() {
                // The kernel answers, whatever it is.
                return Err(Loss::ClosedPort);
            }
            if segment.has(RST) {
                return Err(Loss::StrayReset);
            }
            self.wire.submit(&Bare::reset(segment), header, stats);
            return Err(if ours { Loss::NoConnection } else { Loss::ClosedPort });
        }
        if !self.link.mode.accepts() {
            self.wire.submit(&Bare::reset(segment), header, stats);
            return Err(Loss::Draining);
        }
        if self.door.half_open >= self.door.half_open_max {
            return Err(Loss::HalfOpenFull);
        }
        let opened = self.conns.try_open(segment, *header, self.door.port, now.micros);
        let slot = opened.ok_or(Loss::ConnectionsFull)?;
        if let Some(Owner::TimeWait(index)) = owner {
            self.registry.time_wait.release(index);
            stats.time_wait_reused.add(1);
        }
        self.registry.flows.insert(segment.tuple, Owner::Conn(slot));
        self.door.half_open += 1;
        stats.connections_opened.add(1);
        Ok(slot)
    }

    /// Hands a segment to the connection in `slot`, after the checks that smoltcp leaves out.
    fn deliver(
        &mut self,
        slot: u32,
        segment: &Segment,
        packet: &[u8],
        header: &ReplyHeader,
        now: Now,
    ) -> Result<(), Loss> {
        let Self { conns, stack, wire, link, ready, .. } = self;
        let stats = &link.end.stats;
        let conn = conns.conn(slot);
        let is_first = conn.stage == Stage::HalfOpen && conn.tcp.state() == State::Listen;
        if is_first {
            let ours =
                wire.nic.capabilities().ip_mtu.saturating_sub(segment::IP_LEN + segment::TCP_LEN);
            let theirs =
                segment::segment_max(segment::options(packet)).unwrap_or(SEGMENT_MAX_DEFAULT);
            conn.on_syn(u32::from(theirs).min(u32::try_from(ours).unwrap_or(u32::MAX)));
        } else if let Some(suspect) = conn.suspect(segment) {
            if suspect.is_challenged {
                // RFC 5961, 3.2 and 4.2: whoever really is the peer answers with an exact reset.
                let (sequence, expected) = (conn.tcp.sent().next_sequence, conn.tcp.expected());
                let challenge = Bare::acknowledgement(segment.tuple, sequence, expected);
                wire.submit(&challenge, header, stats);
            }
            return Err(suspect.loss);
        }
        // A reset that is above suspicion frees at once: nothing here is worth another look.
        if segment.has(RST) {
            stats.connections_reset_by_peer.add(1);
            self.retire(slot);
            return Ok(());
        }
        stats.rx_out_of_order.add(u64::from(conn.is_early(segment)));
        let again = conn.on_segment(segment, *header, now.micros);
        stack.ingress(&mut conn.tcp, packet, header, &mut wire.nic, stats);
        stats.recoveries.add(u64::from(again > 0));
        for _ in 0..again {
            if wire.nic.ready() {
                stack.ingress(&mut conn.tcp, packet, header, &mut wire.nic, stats);
            }
        }
        ready.push(slot, &mut conn.queued);
        Ok(())
    }

    fn on_time_wait(
        &mut self,
        index: u32,
        segment: &Segment,
        header: &ReplyHeader,
    ) -> Result<(), Loss> {
        // RFC 9293, 3.10.7.4: what may arrive here is a retransmitted FIN, and it is acknowledged.
        // RFC 1337: a reset does not end TIME-WAIT.
        if !segment.has(FIN) {
            return Err(Loss::TimeWait);
        }
        let Record { tuple, next_sequence, acknowledged, .. } =
            self.registry.time_wait.record(index);
        let late = Bare::acknowledgement(tuple, next_sequence, acknowledged);
        let queued = self.wire.submit(&late, header, &self.link.end.stats);
        self.link.end.stats.time_wait_acked.add(u64::from(queued));
        Ok(())
    }

    /// Lets what is due happen: retransmissions and delayed acknowledgements through smoltcp, and the
    /// deadlines of the peer's duties.
    fn expire(&mut self, now: Now) {
        while let Some(slot) = self.timers.poll_due(now.micros) {
            let conn = self.conns.conn(slot);
            debug_assert_ne!(conn.stage, Stage::Free);
            let (at, expiry) = conn.expiry(&self.deadlines);
            self.ready.push(slot, &mut conn.queued);
            if at <= now.micros {
                self.on_expiry(slot, expiry);
            }
        }
        while let Some(tuple) = self.registry.time_wait.poll_expired(now.micros) {
            self.registry.flows.remove(tuple);
        }
    }

    fn on_expiry(&mut self, slot: u32, expiry: Expiry) {
        let stats = &self.link.end.stats;
        let conn = self.conns.conn(slot);
        match expiry {
            Expiry::Handshake => {
                stats.connections_handshake_expired.add(1);
                self.retire(slot);
            }
            // Its end is counted when it has come.
            Expiry::Drain => conn.http.expire(),
            Expiry::Head | Expiry::Body | Expiry::Idle | Expiry::Answer => {
                match expiry {
                    Expiry::Head => &stats.deadline_head,
                    Expiry::Body => &stats.deadline_body,
                    Expiry::Answer => &stats.deadline_answer,
                    _ => &stats.deadline_idle,
                }
                .add(1);
                conn.http.expire();
            }
            Expiry::Stall | Expiry::Close => {
                if expiry == Expiry::Stall { &stats.deadline_stall } else { &stats.deadline_close }
                    .add(1);
                self.abort(slot);
            }
        }
    }

    /// Serves, sends and files away every connection that has something to do.
    fn settle_ready(&mut self, now: Now) -> bool {
        self.ready.begin_turn();
        let mut settled = false;
        for at in 0..self.ready.len() {
            let slot = self.ready.slot(at);
            let conn = self.conns.conn(slot);
            conn.queued = false;
            if conn.stage != Stage::Free {
                settled = true;
                self.settle(slot, now);
            }
        }
        settled
    }

    fn settle(&mut self, slot: u32, now: Now) {
        let Self { conns, desk, stack, wire, link, door, deadlines, timers, ready, .. } = self;
        let stats = &link.end.stats;
        let conn = conns.conn(slot);
        let established = matches!(conn.tcp.state(), State::Established | State::CloseWait);
        if conn.stage == Stage::HalfOpen && established {
            door.half_open -= 1;
            stats.connections_established.add(1);
            conn.enter(Stage::Open, now.micros);
            if link.mode != Mode::Serving {
                conn.http.drain();
            }
        }
        if conn.stage == Stage::Open {
            let (asks, was_parked) = (stats.offloads_submitted.value(), conn.is_parked());
            let served = desk.serve(conn, slot, &link.end, &mut link.finished);
            conn.on_served(served.consumed, served.requests > 0, now.micros);
            link.owed += stats.offloads_submitted.value() - asks;
            link.parked += u64::from(conn.is_parked());
            link.parked -= u64::from(was_parked);
            if served.closed {
                conn.tcp.close();
                conn.enter(Stage::Closing, now.micros);
            }
        }
        conns.recount(slot);
        let conn = conns.conn(slot);
        if conn.stage == Stage::Closing {
            conn.tcp.consume(conn.tcp.received());
        }
        let egress = stack.egress(&mut conn.tcp, &conn.link, &mut wire.nic, stats);
        match (conn.tcp.state(), egress) {
            (State::Closed | State::Listen, _) => {
                let finished = conn.stage == Stage::Closing;
                if finished { &stats.connections_closed } else { &stats.connections_aborted }
                    .add(1);
                self.retire(slot);
            }
            (State::TimeWait, Egress::Quiet(_)) => self.rest(slot, now),
            (_, Egress::More) => ready.push(slot, &mut conn.queued),
            (_, Egress::Quiet(at)) => {
                let (expiry, _) = conn.expiry(deadlines);
                timers.arm(slot, at.map_or(expiry, |at| at.min(expiry)));
            }
        }
    }

    /// The connection is over on our side but for a retransmitted FIN: a record will do.
    fn rest(&mut self, slot: u32, now: Now) {
        let Self { conns, link, .. } = self;
        let conn = conns.conn(slot);
        let (tuple, next_sequence) = (conn.tuple, conn.tcp.sent().next_sequence);
        let expected = conn.tcp.expected();
        link.end.stats.connections_closed.add(1);
        self.retire(slot);
        let Registry { flows, time_wait } = &mut self.registry;
        if time_wait.is_full()
            && let Some(oldest) = time_wait.evict()
        {
            flows.remove(oldest);
            self.link.end.stats.time_wait_evicted.add(1);
        }
        let index = time_wait.push(tuple, next_sequence, expected, now.micros);
        flows.insert(tuple, Owner::TimeWait(index));
    }

    /// Resets a connection and frees its slot.
    fn abort(&mut self, slot: u32) {
        let Self { conns, stack, wire, link, .. } = self;
        let conn = conns.conn(slot);
        conn.tcp.abort();
        // The reset is sent once; a peer that misses it is answered when it speaks again.
        let _ = stack.egress(&mut conn.tcp, &conn.link, &mut wire.nic, &link.end.stats);
        link.end.stats.connections_aborted.add(1);
        self.retire(slot);
    }

    /// Frees a slot. Whoever calls has counted why.
    fn retire(&mut self, slot: u32) {
        let conn = self.conns.conn(slot);
        if conn.stage == Stage::HalfOpen {
            self.door.half_open -= 1;
        }
        self.link.parked -= u64::from(conn.stage == Stage::Open && conn.is_parked());
        self.registry.flows.remove(conn.tuple);
        self.timers.disarm(slot);
        self.conns.release(slot);
    }

    /// What is not urgent: commands, levels. Whether there was a command.
    fn housekeeping(&mut self) -> bool {
        let mut commanded = false;
        while let Some(command) = self.link.end.commands.pop() {
            commanded = true;
            match command {
                Command::Install(service) => {
                    self.desk.install(service);
                    self.link.end.stats.sites_installed.add(1);
                }
                Command::Retire => self.retire_all(),
                Command::Drain => self.drain(),
                Command::Resume => self.resume(),
                Command::Stop => self.stop(),
            }
        }
        if self.link.mode == Mode::Draining && self.conns.open() == 0 {
            let told = self.link.end.events.push(Event::Drained).is_ok();
            self.link.mode = if told { Mode::Drained } else { Mode::Draining };
        }
        if let Some(exception) = &mut self.exception {
            exception.reclaim();
        }
        self.publish();
        commanded
    }

    fn publish(&self) {
        let stats: &CoreStats = &self.link.end.stats;
        self.conns.publish(stats);
        stats.parked.set(self.link.parked);
        stats.time_wait_open.set(self.registry.time_wait.live() as u64);
        stats.publish_losses(self.wire.nic.losses());
    }
}

impl<N: Nic, S: Service> fmt::Debug for Worker<N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { conns, link, .. } = self;
        f.debug_struct("Worker")
            .field("connections", &conns.open())
            .field("mode", &link.mode)
            .finish_non_exhaustive()
    }
}

/// As many of `bytes` as make whole segments, so that a long body refilled as it drains leaves in whole
/// segments too; all of them where there are fewer than two segments.
fn whole_segments<N: Nic>(bytes: usize, nic: &N) -> usize {
    let payload = nic.capabilities().ip_mtu.saturating_sub(segment::IP_LEN + segment::TCP_LEN);
    if bytes >= 2 * payload { bytes / payload.max(1) * payload } else { bytes }
}

/// What a peer takes that does not say (RFC 9293, 3.7.1), bytes of payload.
const SEGMENT_MAX_DEFAULT: u16 = 536;

/// Whether a segment asks for a new connection: SYN and nothing else that matters.
fn opens(segment: &Segment) -> bool {
    segment.has(SYN) && !segment.has(ACK)
}
