//! The loop of one core. [`Worker::turn`] is its table of contents.
//!
//! Owns everything of its core and shares nothing but the queues to control. Never blocks, locks,
//! logs, allocates after [`Worker::new`], or makes a system call; time comes in with each turn.

mod commands;
mod handshake;
mod segments;
mod sources;

use std::sync::Arc;

use http1::Service;

use crate::control_queue::{Command, Event, WorkerEnd};
use crate::exception;
use crate::http_driver::HttpDriver;
use crate::latency::Finished;
use crate::limits::{CONNECTIONS_MAX, HOUSEKEEPING_TURNS};
use crate::secret::{self, Purpose};
use crate::sleep::Idle;
use crate::tcp::admission::Admission;
use crate::tcp::connection::{Expiry, Micros, Stage};
use crate::tcp::connections::Conns;
use crate::tcp::flow_tables::FlowTables;
use crate::tcp::initial_sequence::InitialSequence;
use crate::tcp::run_queue::RunQueue;
use crate::tcp::sources::Sources;
use crate::tcp::stack::{Egress, Stack, State};
use crate::tcp::timer::Wheel;
use crate::wire::drop_reason::DropReason;
use crate::wire::interface::NetworkInterface;
use crate::wire::segment;
use crate::wire::tuple::HashKey;
use crate::{Buffer, Burst, CorePlan, CoreStats, Nic, Now};

/// One core: a queue pair, a TCP stack, connections, and the service that answers.
#[derive(derive_more::Debug)]
#[debug("Worker {{ connections: {}, mode: {:?} }}", conns.open(), control.mode)]
pub struct Worker<N: Nic, S: Service> {
    interface: NetworkInterface<N>,
    admission: Admission,
    stack: Stack,
    initial_sequence: InitialSequence,
    conns: Conns<S>,
    flows: FlowTables,
    timers: Wheel,
    run_queue: RunQueue,
    http: HttpDriver<S>,
    deadlines: Micros,
    control: Control<S>,
    /// Where a packet is copied that is not given to smoltcp as it came: as long as the longest.
    restated: Vec<u8>,
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
        let key = HashKey::new(secret::derive(plan.seed, Purpose::FlowTable));
        let numbers = secret::derive(plan.seed, Purpose::InitialSequence);
        let stack = Stack::new(&mut nic, plan.address, now);
        let sizes = (plan.receive_buffer, whole_segments(plan.transmit_buffer, &nic));
        let conns = Conns::new(plan.connections, sizes, buffers);
        let (interface, admission) = (NetworkInterface::new(nic, &plan), Admission::new(&plan));
        let owners = plan.connections + plan.half_open_max;
        let secret = secret::derive(plan.seed, Purpose::Sources);
        let sources = Sources::new(plan.sources, plan.connections, secret);
        let mut worker = Self {
            interface,
            admission,
            stack,
            initial_sequence: InitialSequence::new(numbers),
            flows: FlowTables::new(owners, key),
            timers: Wheel::new(owners, now.micros),
            run_queue: RunQueue::new(conns.capacity()),
            conns,
            http: HttpDriver::new(service, plan.limits, sources, queue.wall.unix()),
            deadlines: Micros::from(plan.deadlines),
            control: Control {
                finished: Finished::new(plan.connections, now.cycles),
                end: queue,
                mode: Mode::Serving,
                turns: 0,
                outstanding: 0,
                parked: 0,
            },
            restated: vec![0; usize::from(u16::MAX)],
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
        match reason {
            DropReason::AddressConflict => {
                self.control.end.publish_rival(frame.as_ref());
                self.interface.defend(now.micros, stats);
            }
            DropReason::Arp => self.interface.hear_arp(frame.as_ref()),
            _ => {}
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
            self.http.sources.release(id.source);
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

    /// Handles timers that are due: retransmissions and delayed acknowledgements through smoltcp, and deadlines.
    fn expire(&mut self, now: Now) {
        while let Some(slot) = self.timers.poll_due(now.micros) {
            if let Some(index) = (slot as usize).checked_sub(self.conns.capacity()) {
                self.on_half_open_due(u32::try_from(index).unwrap_or(u32::MAX), now);
                continue;
            }
            let conn = self.conns.conn(slot);
            debug_assert_ne!(conn.stage, Stage::Free);
            let followed = conn.follow(&self.interface.neighbours);
            self.control.end.stats.peers_followed.add(u64::from(followed));
            let (at, expiry) = conn.expiry(&self.deadlines);
            self.run_queue.push(slot, &mut conn.queued);
            // A response that came in this turn wins over its deadline.
            let is_over =
                at <= now.micros && !(expiry == Expiry::Completion && conn.is_completed());
            if is_over && !conn.renew(expiry, &self.deadlines, now.micros) {
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
            Expiry::Stall | Expiry::Slow | Expiry::Close => {
                match expiry {
                    Expiry::Stall => &stats.deadline_stall,
                    Expiry::Slow => &stats.deadline_slow,
                    _ => &stats.deadline_close,
                }
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
        let Self { conns, http, stack, interface, control, .. } = self;
        let Self { deadlines, timers, run_queue, .. } = self;
        let stats = &control.end.stats;
        let conn = conns.conn(slot);
        if conn.has_completed_handshake() {
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
        if conn.tcp.sender().due() <= now.micros {
            conn.tcp.on_alarm(now.micros).count(stats);
        }
        let mut egress = stack.egress(&mut conn.tcp, &conn.reply_header, &mut interface.nic, stats);
        // A peer with Nagle's algorithm (RFC 9293, 3.7.4) holds the rest back until this is acknowledged.
        if matches!(egress, Egress::Quiet(Some(_))) && conn.awaits_rest() {
            egress =
                stack.acknowledge(&mut conn.tcp, &conn.reply_header, &mut interface.nic, stats);
        }
        if egress == Egress::Held && conn.tcp.owes_acknowledgement() {
            let acknowledgement = conn.remains().acknowledgement();
            if interface.submit(&acknowledgement, &conn.reply_header, stats) {
                conn.tcp.on_acked();
            }
        }
        match (conn.tcp.state(), egress) {
            (State::Closed | State::Listen, _) => {
                let finished = conn.stage == Stage::Closing;
                if finished { &stats.connections_closed } else { &stats.connections_aborted }
                    .add(1);
                self.retire(slot);
            }
            (State::TimeWait, Egress::Quiet(_)) => self.enter_time_wait(slot, now),
            (_, Egress::More) => run_queue.push(slot, &mut conn.queued),
            (_, Egress::Quiet(_) | Egress::Held) => {
                let (expiry, _) = conn.expiry(deadlines);
                let due = expiry.min(conn.tcp.sender().due());
                timers.arm(
                    slot,
                    if let Egress::Quiet(Some(at)) = egress { at.min(due) } else { due },
                );
            }
        }
    }

    /// Replaces a connection by a TIME-WAIT record, which can acknowledge a retransmitted FIN.
    fn enter_time_wait(&mut self, slot: u32, now: Now) {
        let conn = self.conns.conn(slot);
        let remains = conn.remains();
        self.retire(slot);
        let evicted = self.flows.enter_time_wait(remains, now.micros);
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
            // The handshake and a reset may arrive in one turn.
            let established = u64::from(conn.has_completed_handshake());
            self.control.end.stats.connections_established.add(established);
        }
        self.control.parked -= u64::from(conn.stage == Stage::Open && conn.is_parked());
        self.flows.close(conn.tuple);
        if conn.source.is_counted() {
            self.leave_source(slot);
        }
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
        if self.control.mode == Mode::Draining && self.is_empty() {
            let sent = self.control.end.events.push(Event::Drained).is_ok();
            self.control.mode = if sent { Mode::Drained } else { Mode::Draining };
        }
        if let Some(exception) = &mut self.exception {
            exception.reclaim();
        }
        self.publish();
        commanded
    }

    /// Whether there is no connection, half-open or not.
    fn is_empty(&self) -> bool {
        self.conns.open() + self.admission.cache.len() == 0
    }

    fn publish(&self) {
        let stats: &CoreStats = &self.control.end.stats;
        self.conns.publish(stats, self.admission.cache.len() as u64);
        stats.parked.set(self.control.parked);
        stats.sources.set(self.http.sources.len() as u64);
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
