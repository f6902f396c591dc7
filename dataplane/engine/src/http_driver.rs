//! Drives http1 over TCP: passes it received bytes and transmit room, and counts what it reports.

use core::mem;
use std::sync::Arc;

use http1::{
    Class, Context, HttpDate, Limits, Next, Observer, Out, Reject, Service, Status, Waiting,
};

use crate::CoreStats;
use crate::control_queue::{Submission, WorkerEnd};
use crate::latency::{Exchange, Finished};
use crate::limits::SCRATCH_LEN;
use crate::tcp::connection::Conn;
use crate::tcp::sources::Sources;

/// The HTTP side of one core: the service, its limits, and the buffers through which bytes are copied.
pub(crate) struct HttpDriver<S> {
    pub(crate) service: Arc<S>,
    /// What each source holds.
    pub(crate) sources: Sources,
    limits: Limits,
    unix: u64,
    date: HttpDate,
    /// smoltcp gives access to input and room one at a time, so one of the two is copied: heads come in through
    /// this, which also makes one contiguous that wraps round its ring.
    input: Box<[u8]>,
    /// Room for a head where the ring's own free part is cut in two.
    output: Box<[u8]>,
}

/// The result of serving a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Served {
    /// Bytes taken in.
    pub(crate) consumed: usize,
    /// Requests whose head was complete.
    pub(crate) requests: u64,
    /// Everything this connection will ever send is queued.
    pub(crate) closed: bool,
}

impl<S: Service> HttpDriver<S> {
    pub(crate) fn new(service: Arc<S>, limits: Limits, sources: Sources, unix: u64) -> Self {
        Self {
            service,
            sources,
            limits,
            unix,
            date: HttpDate::from_unix(unix),
            input: vec![0; SCRATCH_LEN].into_boxed_slice(),
            output: vec![0; SCRATCH_LEN].into_boxed_slice(),
        }
    }

    /// It is `unix` seconds since the epoch.
    pub(crate) fn tick(&mut self, unix: u64) {
        if unix != self.unix {
            self.unix = unix;
            self.date = HttpDate::from_unix(unix);
        }
    }

    /// Serves the connection in `slot` as far as its input and its room allow.
    pub(crate) fn serve(
        &mut self,
        conn: &mut Conn<S>,
        slot: u32,
        queue: &WorkerEnd<S>,
        finished: &mut Finished,
    ) -> Served {
        let stats: &CoreStats = &queue.stats;
        let mut served = Served::default();
        let mut tally = Tally { stats, finished, exchange: conn.exchange, requests: 0 };
        loop {
            let step = self.exchange(conn, &mut tally);
            served.consumed += step.consumed;
            stats.request_bytes.add(step.consumed as u64);
            stats.response_bytes.add(step.written as u64);
            if conn.service.is_some() && conn.http.waiting() == Waiting::Idle {
                // An exchange from before a reload is over; the next one begins with the new service.
                conn.service = None;
                continue;
            }
            if let Some(offload) = conn.http.take_offload() {
                conn.parked = tally.finished.turn();
                self.submit(conn, slot, offload, queue);
                continue;
            }
            served.closed = step.next == Next::Close;
            if served.closed || step.consumed == 0 && step.written == 0 {
                break;
            }
            // http1 has all it can use, so what is left is a part of a head.
            if step.next == Next::More && conn.tcp.received() == 0 && !conn.tcp.is_half_closed() {
                break;
            }
        }
        self.keep_service(conn);
        if conn.source.is_counted() && (conn.is_charged || conn.http.work().is_some()) {
            self.charge_body(conn, stats);
        }
        conn.exchange = tally.exchange;
        served.requests = tally.requests;
        served
    }

    /// Submits an offload to control, or answers 503 where the ring to it is full or the source has as many as it may.
    fn submit(&mut self, conn: &mut Conn<S>, slot: u32, offload: S::Offload, queue: &WorkerEnd<S>) {
        // The source is charged for the request until its completion comes; for its body it was already.
        if mem::take(&mut conn.is_charged) || self.sources.try_hold(conn.source) {
            let id = conn.next_id(slot);
            if queue.submit(Submission { id, offload, parked: conn.parked }).is_ok() {
                queue.stats.offloads_submitted.add(1);
                return;
            }
            self.sources.release(conn.source);
            queue.stats.offloads_refused.add(1);
        } else {
            queue.stats.source_requests_refused.add(1);
        }
        let service = conn.service.as_ref().unwrap_or(&self.service);
        let completed = conn.http.complete(service.refuse(Status::S503));
        debug_assert!(completed.is_ok(), "it was parked just now");
    }

    /// Charges the source of `conn` for a request whose body comes in and occupies a buffer, until it does so no more.
    /// Where the source has as many as it may, the buffer goes back and the request is answered 503.
    #[cold]
    fn charge_body(&mut self, conn: &mut Conn<S>, stats: &CoreStats) {
        let service = conn.service.as_ref().unwrap_or(&self.service);
        let is_held = conn.http.work().is_some_and(|work| service.holds_buffer(work));
        if is_held == conn.is_charged {
            return;
        }
        if !is_held {
            self.sources.release(conn.source);
        } else if !self.sources.try_hold(conn.source) {
            stats.source_requests_refused.add(1);
            conn.http.refuse_body(service.refuse(Status::S503));
            return;
        }
        conn.is_charged = is_held;
    }

    /// Keeps the service of an exchange that is not over: it goes on with the one it began with.
    fn keep_service(&self, conn: &mut Conn<S>) {
        match conn.http.waiting() {
            Waiting::Idle | Waiting::Head | Waiting::Closed => conn.service = None,
            Waiting::Body | Waiting::Completion | Waiting::Output => {
                if conn.service.is_none() {
                    conn.service = Some(Arc::clone(&self.service));
                }
            }
        }
    }

    /// Has http1 advance once. smoltcp gives access to one of its two rings at a time: for a body the input is
    /// read in place and the little that is written is copied; for anything else it is the other way round.
    fn exchange(&mut self, conn: &mut Conn<S>, tally: &mut Tally<'_>) -> Step {
        let Self { service, limits, date, input, output, .. } = self;
        let Conn { tcp, http, service: kept, .. } = conn;
        let is_body = http.waiting() == Waiting::Body;
        let mut context = Context {
            service: &**kept.as_ref().unwrap_or(service),
            limits,
            date,
            observer: tally,
            one_exchange: kept.is_some(),
        };
        let mut advance = |input: &[u8], eof: bool, room: &mut [u8]| {
            let mut out = Out::new(room);
            let progress = http.advance(input, eof, &mut out, &mut context);
            Step { consumed: progress.consumed, written: out.len(), next: progress.next }
        };
        if is_body {
            let (received, fin) = (tcp.received(), tcp.is_half_closed());
            let copy = &mut output[..tcp.room().min(SCRATCH_LEN)];
            let step = if received == 0 {
                advance(&[], fin, copy)
            } else {
                tcp.receive(|part| {
                    let step = advance(part, fin && part.len() == received, copy);
                    (step.consumed, step)
                })
                .unwrap_or(Step::CLOSE)
            };
            if step.written > 0 {
                tcp.send_all(&output[..step.written]);
            }
            return step;
        }
        let available = tcp.peek(input);
        let eof = tcp.is_half_closed() && available == tcp.received();
        let input = &input[..available];
        let room = tcp.room();
        let mut step = tcp
            .send(|part| {
                let step = advance(input, eof, part);
                (step.written, step)
            })
            .unwrap_or(Step::CLOSE);
        let is_stuck = step.next == Next::Flush && step.written + step.consumed == 0;
        if is_stuck && room >= http1::HEAD_OUT_MAX {
            // The free part of the ring is cut in two, and a head has to be written in one piece.
            step = advance(input, eof, &mut output[..room.min(SCRATCH_LEN)]);
            tcp.send_all(&output[..step.written]);
        }
        tcp.consume(step.consumed);
        step
    }
}

#[derive(Clone, Copy, Debug)]
struct Step {
    consumed: usize,
    written: usize,
    next: Next,
}

impl Step {
    /// The socket is closed: nothing comes in or goes out any more.
    const CLOSE: Self = Self { consumed: 0, written: 0, next: Next::Close };
}

struct Tally<'a> {
    stats: &'a CoreStats,
    finished: &'a mut Finished,
    /// The request under way.
    exchange: Option<Exchange>,
    requests: u64,
}

impl Observer for Tally<'_> {
    fn on_request(&mut self, class: Class) {
        self.exchange = Some(Exchange { class, began: self.finished.turn() });
        self.requests += 1;
        self.stats.requests.add(1);
    }

    fn on_response(&mut self, status: Status) {
        let counter = match status.code() / 100 {
            2 => &self.stats.responses_2xx,
            3 => &self.stats.responses_3xx,
            4 => &self.stats.responses_4xx,
            _ => &self.stats.responses_5xx,
        };
        counter.add(1);
    }

    fn on_response_end(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            self.finished.push(exchange);
        }
    }

    fn on_reject(&mut self, _: Reject) {
        self.stats.rejects.add(1);
    }
}
