//! The loop of one core. [`Worker::turn`] is its table of contents.
//!
//! Owns everything of its core and shares nothing but the queues to control. Never blocks, locks,
//! logs, allocates after [`Worker::new`], or makes a system call; time comes in with each turn.

mod commands;

use std::sync::Arc;

use http1::Service;

use crate::control_queue::{Command, Event, WorkerEnd};
use crate::exception;
use crate::http_driver::HttpDriver;
use crate::latency::Finished;
use crate::limits::{CONNECTIONS_MAX, HOUSEKEEPING_TURNS};
use crate::sleep::Idle;
use crate::tcp::admission::{Admission, opens};
use crate::tcp::connection::{Expiry, Micros, Stage};
use crate::tcp::connections::Conns;
use crate::tcp::flow::Owner;
use crate::tcp::flow_tables::FlowTables;
use crate::tcp::run_queue::RunQueue;
use crate::tcp::stack::{Egress, Stack, State};
use crate::tcp::time_wait::Record;
use crate::tcp::timer::Wheel;
use crate::wire::drop_reason::DropReason;
use crate::wire::ethernet::ReplyHeader;
use crate::wire::filter::Arrival;
use crate::wire::interface::NetworkInterface;
use crate::wire::segment::{self, ControlSegment, FIN, RST, Segment};
use crate::wire::tuple::HashKey;
use crate::{Buffer, Burst, CorePlan, CoreStats, Nic, Now};

/// One core: a queue pair, a TCP stack, connections, and the service that answers.
#[derive(derive_more::Debug)]
#[debug("Worker {{ connections: {}, mode: {:?} }}", conns.open(), control.mode)]
pub struct Worker<N: Nic, S: Service> {
    interface: NetworkInterface<N>,
    admission: Admission,
    stack: Stack,
    conns: Conns<S>,
    flows: FlowTables,
    timers: Wheel,
    run_queue: RunQueue,
    http: HttpDriver<S>,
    deadlines: Micros,
    control: Control<S>,
    /// The path to the kernel of frames that are not for our port, if there is one.
    exception: Option<exception::WorkerEnd<N::Frame>>,
}

/// The queues to control, and the state that commands change.
struct Control<S: Service> {
    end: WorkerEnd<S>,
    mode: Mode,
    turns: u64,
    /// Offloads without a completion yet, whether or not a connection still waits for it.
    outstanding: u64,
    /// Connections that wait for a completion.
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
        queue: WorkerEnd<S>,
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
            interface: NetworkInterface::new(nic, &plan),
            admission: Admission::new(&plan),
            stack,
            flows: FlowTables::new(conns.capacity(), key),
            timers: Wheel::new(conns.capacity(), now.micros),
            run_queue: RunQueue::new(conns.capacity()),
            conns,
            http: HttpDriver::new(service, plan.limits, queue.wall.unix()),
            deadlines: Micros::from(plan.deadlines),
            control: Control {
                finished: Finished::new(plan.connections, now.cycles),
                end: queue,
                mode: Mode::Serving,
                turns: 0,
                outstanding: 0,
                parked: 0,
            },
            exception: None,
        };
        worker.interface.announce(&worker.control.end.stats);
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
        while self.control.mode != Mode::Stopped {
            let announced = self.control.end.sleep.is_set();
            let busy = self.turn(now);
            if busy {
                empty_turns = 0;
                self.control.end.sleep.clear();
            } else {
                empty_turns = empty_turns.saturating_add(1);
                let (timers, flag) = (&self.timers, &self.control.end.sleep);
                let is_relied_on = self.interface.nic.is_relied_on();
                idle(&Idle { empty_turns, now, timers, flag, announced, is_relied_on });
            }
            let after = clock();
            let cycles = after.cycles.wrapping_sub(now.cycles);
            let stats = &self.control.end.stats;
            if busy { &stats.cycles_busy } else { &stats.cycles_idle }.add(cycles);
            now = after;
        }
        self.interface.nic
    }

    /// One turn: everything a core ever does, in order. Whether there was anything to do.
    pub fn turn(&mut self, now: Now) -> bool {
        self.http.tick(self.control.end.wall.unix());
        self.stack.tick(now);
        self.control.finished.begin_turn(now.cycles, &self.control.end.latencies);
        let arrived = self.ingress(now) | self.take_completions(now);
        self.expire(now);
        let settled = self.settle_ready(now);
        let forwarded = self.send_for_kernel();
        self.interface.nic.flush();
        self.control.turns += 1;
        // A turn before a sleep is the last look at everything: commands too.
        let due =
            self.control.turns & (HOUSEKEEPING_TURNS - 1) == 0 || self.control.end.sleep.is_set();
        let commanded = due && self.housekeeping();
        let busy = arrived || settled || forwarded || commanded;
        self.control.end.stats.turns.add(1);
        self.control.end.stats.turns_busy.add(u64::from(busy));
        busy
    }

    /// Takes a burst from the wire; every frame is delivered, answered or dropped with its reason.
    fn ingress(&mut self, now: Now) -> bool {
        let mut burst = Burst::new();
        self.interface.nic.receive(&mut burst);
        let arrived = !burst.is_empty();
        self.control.end.stats.turns_receiving.add(u64::from(arrived));
        let steered = self.interface.nic.has_steered();
        for frame in burst {
            let stats = &self.control.end.stats;
            stats.rx_frames.add(1);
            stats.rx_bytes.add(frame.as_ref().len() as u64);
            match self.on_frame(&frame, now) {
                Ok(()) => self.control.end.stats.rx_delivered.add(1),
                Err(reason) => self.on_drop(frame, reason, now),
            }
        }
        if let Some(exception) = &mut self.exception {
            exception.end_burst();
        }
        arrived | steered
    }

    /// A frame that is not for us: the kernel's, or dropped with its reason.
    fn on_drop(&mut self, frame: N::Frame, reason: DropReason, now: Now) {
        let stats = &self.control.end.stats;
        if reason == DropReason::AddressConflict {
            self.control.end.publish_rival(frame.as_ref());
            self.interface.defend(now.micros, stats);
        }
        match &mut self.exception {
            Some(exception) if exception.wants(frame.as_ref(), reason) => {
                exception.hand_over(frame, stats);
            }
            _ => reason.counter(stats).add(1),
        }
    }

    /// Sends what the kernel has to send. Whether there was anything.
    fn send_for_kernel(&mut self) -> bool {
        let Self { exception, interface, control, .. } = self;
        exception
            .as_mut()
            .is_some_and(|exception| exception.send(&mut interface.nic, &control.end.stats))
    }

    /// Takes completions from control; one that no connection waits for any more is dropped and counted.
    fn take_completions(&mut self, now: Now) -> bool {
        let mut taken = false;
        while self.control.outstanding > 0
            && let Some((id, response)) = self.control.end.poll_completion()
        {
            taken = true;
            self.control.outstanding -= 1;
            let stats = &self.control.end.stats;
            let conn = self.conns.conn(id.slot);
            if conn.awaits(id) && conn.http.complete(response).is_ok() {
                stats.offloads_completed.add(1);
                if let Some(exchange) = conn.exchange {
                    let waited = now.cycles.wrapping_sub(conn.parked);
                    self.control.end.latencies.offload(exchange.class).record(waited, 1);
                }
                self.run_queue.push(id.slot, &mut conn.queued);
            } else {
                stats.offloads_late.add(1);
            }
        }
        taken
    }

    fn on_frame(&mut self, frame: &N::Frame, now: Now) -> Result<(), DropReason> {
        let (received, arrival) = self.interface.filter.classify(frame)?;
        let stats = &self.control.end.stats;
        match arrival {
            Arrival::ArpRequest(request) => self.interface.reply_to_arp(&received, &request, stats),
            Arrival::EchoRequest { packet } => {
                self.interface.reply_to_echo(&received, &frame.as_ref()[packet], stats);
            }
            // smoltcp may answer any segment with one of its own: reserve before promising.
            Arrival::Tcp { .. } if !self.interface.nic.ready() => {
                return Err(DropReason::NoTxBuffer);
            }
            Arrival::Tcp { segment, packet } => {
                let header = self.interface.reply_header(&received);
                let owner = self.flows.find(segment.tuple);
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

    /// Opens a connection for a SYN, or says why not. Other segments without a connection are reset.
    fn admit(
        &mut self,
        segment: &Segment,
        header: &ReplyHeader,
        owner: Option<Owner>,
        now: Now,
    ) -> Result<u32, DropReason> {
        let stats = &self.control.end.stats;
        let ours = self.admission.is_our_port(segment);
        if !opens(segment) || !ours {
            if !ours && self.exception.is_some() {
                // The kernel answers, whatever it is.
                return Err(DropReason::ClosedPort);
            }
            if segment.has(RST) {
                return Err(DropReason::StrayReset);
            }
            self.interface.submit(&ControlSegment::reset(segment), header, stats);
            return Err(if ours { DropReason::NoConnection } else { DropReason::ClosedPort });
        }
        if !self.control.mode.accepts() {
            self.interface.submit(&ControlSegment::reset(segment), header, stats);
            return Err(DropReason::Draining);
        }
        if self.admission.is_full() {
            return Err(DropReason::HalfOpenFull);
        }
        let opened = self.conns.try_open(segment, *header, self.admission.port(), now.micros);
        let slot = opened.ok_or(DropReason::ConnectionsFull)?;
        let reused = self.flows.open(segment.tuple, slot, owner);
        stats.time_wait_reused.add(u64::from(reused));
        self.admission.enter();
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
    ) -> Result<(), DropReason> {
        let Self { conns, stack, interface, control, run_queue, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        let is_first = conn.stage == Stage::HalfOpen && conn.tcp.state() == State::Listen;
        if is_first {
            let ours = interface
                .nic
                .capabilities()
                .ip_mtu
                .saturating_sub(segment::IP_LEN + segment::TCP_LEN);
            let theirs =
                segment::segment_max(segment::options(packet)).unwrap_or(SEGMENT_MAX_DEFAULT);
            conn.on_syn(u32::from(theirs).min(u32::try_from(ours).unwrap_or(u32::MAX)));
        } else if let Err(unacceptable) = conn.check_acceptable(segment) {
            if unacceptable.is_challenged {
                // RFC 5961, 3.2 and 4.2: a challenge ACK. The genuine peer answers it with an exact reset.
                let (snd_nxt, rcv_nxt) = (conn.tcp.sent().snd_nxt, conn.tcp.rcv_nxt());
                let challenge = ControlSegment::acknowledgement(segment.tuple, snd_nxt, rcv_nxt);
                interface.submit(&challenge, header, stats);
            }
            return Err(unacceptable.reason);
        }
        // An acceptable reset frees the connection at once.
        if segment.has(RST) {
            stats.connections_reset_by_peer.add(1);
            self.retire(slot);
            return Ok(());
        }
        stats.rx_out_of_order.add(u64::from(conn.is_early(segment)));
        let again = conn.on_segment(segment, *header, now.micros);
        stack.ingress(&mut conn.tcp, packet, header, &mut interface.nic, stats);
        stats.recoveries.add(u64::from(again > 0));
        for _ in 0..again {
            if interface.nic.ready() {
                stack.ingress(&mut conn.tcp, packet, header, &mut interface.nic, stats);
            }
        }
        run_queue.push(slot, &mut conn.queued);
        Ok(())
    }

    fn on_time_wait(
        &mut self,
        index: u32,
        segment: &Segment,
        header: &ReplyHeader,
    ) -> Result<(), DropReason> {
        // RFC 9293, 3.10.7.4: what may arrive here is a retransmitted FIN, and it is acknowledged.
        // RFC 1337: a reset does not end TIME-WAIT.
        if !segment.has(FIN) {
            return Err(DropReason::TimeWait);
        }
        let Record { tuple, snd_nxt, rcv_nxt, .. } = self.flows.record(index);
        let late = ControlSegment::acknowledgement(tuple, snd_nxt, rcv_nxt);
        let queued = self.interface.submit(&late, header, &self.control.end.stats);
        self.control.end.stats.time_wait_acked.add(u64::from(queued));
        Ok(())
    }

    /// Handles timers that are due: retransmissions and delayed acknowledgements through smoltcp, and deadlines.
    fn expire(&mut self, now: Now) {
        while let Some(slot) = self.timers.poll_due(now.micros) {
            let conn = self.conns.conn(slot);
            debug_assert_ne!(conn.stage, Stage::Free);
            let (at, expiry) = conn.expiry(&self.deadlines);
            self.run_queue.push(slot, &mut conn.queued);
            // A response that came in this turn wins over its deadline.
            if at <= now.micros && !(expiry == Expiry::Completion && conn.is_completed()) {
                self.on_expiry(slot, expiry);
            }
        }
        self.flows.expire(now.micros);
    }

    fn on_expiry(&mut self, slot: u32, expiry: Expiry) {
        let stats = &self.control.end.stats;
        let conn = self.conns.conn(slot);
        match expiry {
            Expiry::Handshake => {
                stats.connections_handshake_expired.add(1);
                self.retire(slot);
            }
            // Counted when the connection has closed.
            Expiry::Drain => conn.http.expire(),
            Expiry::Head | Expiry::Body | Expiry::Idle | Expiry::Completion => {
                match expiry {
                    Expiry::Head => &stats.deadline_head,
                    Expiry::Body => &stats.deadline_body,
                    Expiry::Completion => &stats.deadline_response,
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

    /// Settles every connection in the run queue.
    fn settle_ready(&mut self, now: Now) -> bool {
        self.run_queue.begin_turn();
        let mut settled = false;
        for at in 0..self.run_queue.len() {
            let slot = self.run_queue.slot(at);
            let conn = self.conns.conn(slot);
            conn.queued = false;
            if conn.stage != Stage::Free {
                settled = true;
                self.settle(slot, now);
            }
        }
        settled
    }

    /// Serves a connection, sends what it has to send, and arms its timer or frees its slot.
    fn settle(&mut self, slot: u32, now: Now) {
        let Self { conns, http, stack, interface, control, admission, .. } = self;
        let Self { deadlines, timers, run_queue, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        if conn.has_completed_handshake() {
            admission.leave();
            stats.connections_established.add(1);
            conn.enter(Stage::Open, now.micros);
            if control.mode != Mode::Serving {
                conn.http.drain();
            }
        }
        if conn.stage == Stage::Open {
            let (submitted, was_parked) = (stats.offloads_submitted.value(), conn.is_parked());
            let served = http.serve(conn, slot, &control.end, &mut control.finished);
            conn.on_served(served.consumed, served.requests > 0, now.micros);
            control.outstanding += stats.offloads_submitted.value() - submitted;
            control.parked += u64::from(conn.is_parked());
            control.parked -= u64::from(was_parked);
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
        let egress = stack.egress(&mut conn.tcp, &conn.reply_header, &mut interface.nic, stats);
        match (conn.tcp.state(), egress) {
            (State::Closed | State::Listen, _) => {
                let finished = conn.stage == Stage::Closing;
                if finished { &stats.connections_closed } else { &stats.connections_aborted }
                    .add(1);
                self.retire(slot);
            }
            (State::TimeWait, Egress::Quiet(_)) => self.enter_time_wait(slot, now),
            (_, Egress::More) => run_queue.push(slot, &mut conn.queued),
            (_, Egress::Quiet(at)) => {
                let (expiry, _) = conn.expiry(deadlines);
                timers.arm(slot, at.map_or(expiry, |at| at.min(expiry)));
            }
        }
    }

    /// Replaces a connection by a TIME-WAIT record, which can acknowledge a retransmitted FIN.
    fn enter_time_wait(&mut self, slot: u32, now: Now) {
        let conn = self.conns.conn(slot);
        let (tuple, snd_nxt, rcv_nxt) = (conn.tuple, conn.tcp.sent().snd_nxt, conn.tcp.rcv_nxt());
        self.retire(slot);
        let evicted = self.flows.enter_time_wait(tuple, snd_nxt, rcv_nxt, now.micros);
        let stats = &self.control.end.stats;
        stats.connections_closed.add(1);
        stats.time_wait_evicted.add(u64::from(evicted));
    }

    /// Resets a connection and frees its slot.
    fn abort(&mut self, slot: u32) {
        let Self { conns, stack, interface, control, .. } = self;
        let conn = conns.conn(slot);
        conn.tcp.abort();
        // The reset is sent once; a peer that misses it is answered when it speaks again.
        let _ =
            stack.egress(&mut conn.tcp, &conn.reply_header, &mut interface.nic, &control.end.stats);
        control.end.stats.connections_aborted.add(1);
        self.retire(slot);
    }

    /// Frees a slot. The caller counts why.
    fn retire(&mut self, slot: u32) {
        let conn = self.conns.conn(slot);
        if conn.stage == Stage::HalfOpen {
            self.admission.leave();
            // The handshake and a reset may arrive in one turn.
            let established = u64::from(conn.has_completed_handshake());
            self.control.end.stats.connections_established.add(established);
        }
        self.control.parked -= u64::from(conn.stage == Stage::Open && conn.is_parked());
        self.flows.close(conn.tuple);
        self.timers.disarm(slot);
        self.conns.release(slot);
    }

    /// Handles commands and publishes levels. Whether there was a command.
    fn housekeeping(&mut self) -> bool {
        let mut commanded = false;
        while let Some(command) = self.control.end.commands.pop() {
            commanded = true;
            match command {
                Command::Install(service) => {
                    self.http.service = service;
                    self.control.end.stats.sites_installed.add(1);
                }
                Command::Retire => self.retire_all(),
                Command::Drain => self.drain(),
                Command::Resume => self.resume(),
                Command::Stop => self.stop(),
            }
        }
        if self.control.mode == Mode::Draining && self.conns.open() == 0 {
            let sent = self.control.end.events.push(Event::Drained).is_ok();
            self.control.mode = if sent { Mode::Drained } else { Mode::Draining };
        }
        if let Some(exception) = &mut self.exception {
            exception.reclaim();
        }
        self.publish();
        commanded
    }

    fn publish(&self) {
        let stats: &CoreStats = &self.control.end.stats;
        self.conns.publish(stats);
        stats.parked.set(self.control.parked);
        stats.time_wait_open.set(self.flows.time_wait_open() as u64);
        stats.publish_losses(self.interface.nic.losses());
    }
}

/// As many of `bytes` as make whole segments, so that a long body refilled as it drains leaves in whole
/// segments too; all of them where there are fewer than two segments.
fn whole_segments<N: Nic>(bytes: usize, nic: &N) -> usize {
    let payload = nic.capabilities().ip_mtu.saturating_sub(segment::IP_LEN + segment::TCP_LEN);
    if bytes >= 2 * payload { bytes / payload.max(1) * payload } else { bytes }
}

/// The maximum segment size of a peer that sends no such option (RFC 9293, 3.7.1), bytes of payload.
const SEGMENT_MAX_DEFAULT: u16 = 536;
