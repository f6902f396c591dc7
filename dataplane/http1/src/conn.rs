//! One connection: what it waits for, and what one call of [`Conn::advance`] does.
//!
//! Owns the state between calls and nothing else: input and output belong to the caller.
//! Never looks at a clock: the caller says when a deadline has passed.
//! Invariant: one request at a time; the next head is looked at when the response has left.
//! Read README.md section "Backpressure" before changing this.

mod work;

use core::mem::{self, MaybeUninit};

use crate::body::{Body, Chunks};
use crate::frame::{self, Framed};
use crate::head::{self, Head, Scan};
use crate::{
    BodyLen, Class, Connection, Context, FIELDS_MAX, HEAD_OUT_MAX, HeadAction, HeadContext, Method,
    Next, Observer, Out, Progress, Reject, RequestAction, Service, Status, Waiting,
};

/// Protocol state of one connection.
#[derive(derive_more::Debug)]
#[debug("Conn {{ waiting: {:?}, shutdown: {shutdown:?} }}", self.waiting())]
pub struct Conn<S: Service> {
    phase: Phase<S::Work, S::Response, S::Offload>,
    shutdown: Shutdown,
}

impl<S: Service> Conn<S> {
    /// A connection on which nothing was received.
    pub fn new() -> Self {
        Self { phase: Phase::Head(Scan::default()), shutdown: Shutdown::None }
    }

    /// Takes what it can from `input` and writes what it can to `out`.
    ///
    /// `input` holds the bytes received and not yet consumed, contiguous from the first of them;
    /// `eof` says that no more will ever come. A head is taken when all of it is there: until then
    /// `input` grows in front of the same bytes. Bodies are taken as they come. Goes on from
    /// request to request while there is input and room.
    ///
    /// `out` must sooner or later offer [`HEAD_OUT_MAX`] bytes, or [`Next::Flush`] never ends.
    ///
    /// # Panics
    /// If the service breaks its contract: a body that does not progress, a head longer than its
    /// room.
    pub fn advance<O: Observer>(
        &mut self,
        input: &[u8],
        eof: bool,
        out: &mut Out<'_>,
        cx: &mut Context<'_, S, O>,
    ) -> Progress {
        let mut io = Io { input, at: 0, eof, out };
        let mut phase = mem::replace(&mut self.phase, Phase::Closed);
        if let Shutdown::Expired { then } = self.shutdown {
            // The completion is late, not the peer: its connection goes on.
            let goes_on = matches!(phase, Phase::Parked { .. }) && then == NextStep::Serve;
            self.shutdown = if goes_on { Shutdown::None } else { Shutdown::AfterCurrent };
            phase = phase.expire(&io, cx);
        }
        loop {
            match phase.step(self.shutdown, &mut io, cx) {
                Flow::On(next) => phase = next,
                Flow::Stop(phase, next) => {
                    self.phase = phase;
                    debug_assert!(io.at <= input.len());
                    return Progress { consumed: io.at, next };
                }
            }
        }
    }

    /// The work to hand over, once for each time that [`advance`](Self::advance) says [`Next::Park`]. The
    /// request waits for [`complete`](Self::complete), and no input is taken meanwhile.
    pub fn take_offload(&mut self) -> Option<S::Offload> {
        match &mut self.phase {
            Phase::Parked { offload, .. } => offload.take(),
            _ => None,
        }
    }

    /// The response to the request that was offloaded. Gives it back if nothing waits for one.
    ///
    /// # Errors
    /// The response, where the connection is not parked.
    pub fn complete(&mut self, response: S::Response) -> Result<(), S::Response> {
        let Phase::Parked { framing, .. } = self.phase else { return Err(response) };
        self.phase = Phase::ResponseHead { response, framing };
        Ok(())
    }

    /// The deadline for what [`waiting`](Self::waiting) says has passed.
    ///
    /// The next [`advance`](Self::advance) answers a request that was begun with 408 and ends; one that
    /// waits for a completion is answered 504 and the connection goes on; an idle connection, and one
    /// whose response is not read, ends at once.
    pub fn expire(&mut self) {
        let then = if self.shutdown == Shutdown::None { NextStep::Serve } else { NextStep::Close };
        self.shutdown = Shutdown::Expired { then };
    }

    /// The server is going down: the request in progress, or else the next one, is the last.
    ///
    /// Its response says `Connection: close`, if its head is not written yet. An idle connection goes on
    /// waiting, because a request may be on its way already; [`expire`](Self::expire) ends it.
    pub fn drain(&mut self) {
        if self.shutdown == Shutdown::None {
            self.shutdown = Shutdown::AfterNext;
        }
    }

    /// Whether [`drain`](Self::drain) was called.
    pub fn is_draining(&self) -> bool {
        match self.shutdown {
            Shutdown::None | Shutdown::Expired { then: NextStep::Serve } => false,
            Shutdown::AfterNext
            | Shutdown::AfterCurrent
            | Shutdown::Expired { then: NextStep::Close } => true,
        }
    }

    /// What the connection is waiting for.
    pub fn waiting(&self) -> Waiting {
        match &self.phase {
            Phase::Head(scan) if scan.is_idle() => Waiting::Idle,
            Phase::Head(_) => Waiting::Head,
            Phase::Body(_) => Waiting::Body,
            Phase::Parked { .. } => Waiting::Completion,
            Phase::Continue(_) | Phase::ResponseHead { .. } | Phase::ResponseBody { .. } => {
                Waiting::Output
            }
            Phase::Closed => Waiting::Closed,
        }
    }
}

impl<S: Service> Default for Conn<S> {
    fn default() -> Self {
        Self::new()
    }
}

/// How the caller wants the connection to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shutdown {
    /// Not at all.
    None,
    /// The request in progress, or the next, is the last.
    AfterNext,
    /// The request in progress is the last, and there is no next.
    AfterCurrent,
    /// A deadline has passed: the next call acts on it. `then` is what was to be done before that.
    Expired { then: NextStep },
}

/// What a connection does after its deadline has been dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextStep {
    Serve,
    Close,
}

/// Where one connection stands. `W`, `R` and `A` are the service's `Work`, `Response` and
/// `Offload`.
enum Phase<W, R, A> {
    /// Between requests, or in the middle of a head.
    Head(Scan),
    /// `100 Continue` is to be written, then the body read.
    Continue(Receive<W, R>),
    Body(Receive<W, R>),
    /// The request is offloaded; `offload` is there until it is taken.
    Parked {
        offload: Option<A>,
        framing: ResponseFraming,
    },
    /// The head of the response is to be written.
    ResponseHead {
        response: R,
        framing: ResponseFraming,
    },
    /// `sent` of `len` bytes of the body of the response were written.
    ResponseBody {
        response: R,
        sent: u64,
        len: u64,
        after: After,
    },
    Closed,
}

/// A request body on its way in.
struct Receive<W, R> {
    body: Body,
    job: Job<W, R>,
    framing: ResponseFraming,
}

/// What the body is for.
enum Job<W, R> {
    Work(W),
    /// Nothing: the response is known.
    Discard(R),
}

/// What the request head decides about the response: whether its body is sent, and whether the connection
/// persists.
#[derive(Debug, Clone, Copy)]
struct ResponseFraming {
    content: Content,
    connection: Connection,
}

/// Whether the content of a response is sent (RFC 9110 9.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Send,
    /// The request was HEAD.
    Omit,
}

impl Content {
    fn of(method: Method) -> Self {
        if method == Method::Head { Self::Omit } else { Self::Send }
    }

    /// For a request that may not have got as far as being one.
    fn of_bytes(request: &[u8]) -> Self {
        if request.starts_with(b"HEAD ") { Self::Omit } else { Self::Send }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    NextRequest,
    Close,
}

/// The input not yet consumed and the room not yet filled, during one call.
struct Io<'i, 'o, 'r> {
    input: &'i [u8],
    at: usize,
    eof: bool,
    out: &'o mut Out<'r>,
}

impl<'i> Io<'i, '_, '_> {
    fn rest(&self) -> &'i [u8] {
        &self.input[self.at..]
    }

    /// Nothing is left, and nothing will come.
    fn is_over(&self) -> bool {
        self.eof && self.at == self.input.len()
    }
}

/// Whether the loop goes on with a phase, or returns and keeps it.
enum Flow<P> {
    On(P),
    Stop(P, Next),
}

impl<W, R, A> Phase<W, R, A> {
    #[inline]
    fn step<S, O>(
        self,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        match self {
            Self::Head(scan) => Self::step_head(scan, shutdown, io, cx),
            Self::Continue(receive) => Self::step_continue(receive, io),
            Self::Body(receive) => Self::step_body(receive, shutdown, io, cx),
            Self::Parked { .. } => Flow::Stop(self, Next::Park),
            Self::ResponseHead { response, framing } => {
                Self::step_response_head(response, framing, shutdown, io, cx)
            }
            Self::ResponseBody { response, sent, len, after } => {
                Self::step_response_body(response, sent, len, after, io, cx)
            }
            Self::Closed => {
                io.at = io.input.len();
                Flow::Stop(Self::Closed, Next::Close)
            }
        }
    }

    fn step_head<S, O>(
        mut scan: Scan,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        if !scan.is_idle() {
            return Self::step_head_in_pieces(scan, shutdown, io, cx);
        }
        if shutdown == Shutdown::AfterCurrent {
            return Flow::On(Self::Closed);
        }
        if io.rest().starts_with(b"\r") {
            match scan.skip_blanks(io.rest()) {
                Ok(skipped) => io.at += skipped,
                Err(reject) => return Flow::On(Self::refuse(reject, Content::Send, cx)),
            }
        }
        match io.rest() {
            [] if io.eof => return Flow::On(Self::Closed),
            [] | b"\r" if !io.eof => return Flow::Stop(Self::Head(scan), Next::More),
            _ => {}
        }
        let mut room = [const { MaybeUninit::uninit() }; FIELDS_MAX];
        match head::parse_at_once(io.rest(), cx.limits, &mut room) {
            Some(head) => Self::begin(&head, shutdown, io, cx),
            None => Self::step_head_in_pieces(scan, shutdown, io, cx),
        }
    }

    /// The head did not arrive as one, or something is wrong with it.
    #[cold]
    #[inline(never)]
    fn step_head_in_pieces<S, O>(
        mut scan: Scan,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        let rest = io.rest();
        match scan.find_end(rest, cx.limits) {
            Ok(Some(len)) => Self::step_whole_head(&rest[..len], shutdown, io, cx),
            Ok(None) if !io.eof => Flow::Stop(Self::Head(scan), Next::More),
            Ok(None) => Flow::On(Self::refuse(Reject::HeadCutShort, Content::of_bytes(rest), cx)),
            Err(reject) => Flow::On(Self::refuse(reject, Content::of_bytes(rest), cx)),
        }
    }

    /// Apart from its caller for its room, which is filled on every entry.
    #[inline(never)]
    fn step_whole_head<S, O>(
        head: &[u8],
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        let mut room = head::EMPTY_ROOM;
        match head::parse_scanned(head, cx.limits, &mut room) {
            Ok(parsed) => Self::begin(&parsed, shutdown, io, cx),
            Err(reject) => Flow::On(Self::refuse(reject, Content::of_bytes(head), cx)),
        }
    }

    /// A well-formed head was found: validate its framing, and hand it to the service.
    #[inline]
    fn begin<S, O>(
        head: &Head<'_>,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        let content = Content::of_bytes(io.rest());
        io.at += head.len;
        let Framed { request, connection, expects_continue } =
            match frame::validate(head, cx.limits) {
                Ok(framed) => framed,
                Err(reject) => return Flow::On(Self::refuse(reject, content, cx)),
            };
        let framing = ResponseFraming { content: Content::of(request.method()), connection };
        let mut class = Class::default();
        let action = cx.service.accept(&request, &mut class);
        cx.observer.on_request(class);
        let body = match request.body_len() {
            BodyLen::None | BodyLen::Length(0) => {
                let action = match action {
                    HeadAction::ReadBody(work) => cx.service.finish(work),
                    HeadAction::Respond(response) => RequestAction::Respond(response),
                };
                return Self::step_action(action, framing, shutdown, io, cx);
            }
            BodyLen::Length(len) => Body::Length(len),
            BodyLen::Chunked => Body::Chunked(Chunks::START),
        };
        let job = match action {
            HeadAction::ReadBody(work) => Job::Work(work),
            //= RFC 9110 10.1.1: a final status before the body: the client may or may not send it
            //= now, so that where the next request begins is not known. Close.
            HeadAction::Respond(response) if expects_continue => {
                let framing = ResponseFraming { connection: Connection::Close, ..framing };
                return Self::step_response_head(response, framing, shutdown, io, cx);
            }
            HeadAction::Respond(response) => Job::Discard(response),
        };
        let receive = Receive { body, job, framing };
        if expects_continue {
            return Flow::On(Self::Continue(receive));
        }
        Self::step_body(receive, shutdown, io, cx)
    }

    /// RFC 9110 15.2.1. Not sent to a client that did not wait for it.
    fn step_continue(receive: Receive<W, R>, io: &mut Io<'_, '_, '_>) -> Flow<Self> {
        if io.rest().is_empty() && !io.eof {
            match io.out.free().first_chunk_mut() {
                Some(room) => *room = *CONTINUE,
                None => return Flow::Stop(Self::Continue(receive), Next::Flush),
            }
            io.out.advance(CONTINUE.len());
        }
        Flow::On(Self::Body(receive))
    }

    fn step_body<S, O>(
        mut receive: Receive<W, R>,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        let framing = receive.framing;
        loop {
            let piece = match receive.body.take(io.rest(), cx.limits) {
                Ok(piece) => piece,
                Err(reject) => return Flow::On(Self::refuse(reject, framing.content, cx)),
            };
            io.at += piece.taken;
            if let Job::Work(work) = &mut receive.job
                && !piece.content.is_empty()
            {
                cx.service.on_body(work, piece.content);
            }
            if piece.is_last {
                let action = match receive.job {
                    Job::Work(work) => cx.service.finish(work),
                    Job::Discard(response) => RequestAction::Respond(response),
                };
                return Self::step_action(action, framing, shutdown, io, cx);
            }
            if io.is_over() {
                return Flow::On(Self::refuse(Reject::BodyCutShort, framing.content, cx));
            }
            if io.rest().is_empty() {
                return Flow::Stop(Self::Body(receive), Next::More);
            }
        }
    }

    #[inline]
    fn step_action<S, O>(
        action: RequestAction<R, A>,
        framing: ResponseFraming,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        match action {
            RequestAction::Respond(response) => {
                Self::step_response_head(response, framing, shutdown, io, cx)
            }
            RequestAction::Offload(offload) => {
                Flow::Stop(Self::Parked { offload: Some(offload), framing }, Next::Park)
            }
        }
    }

    fn step_response_head<S, O>(
        response: R,
        framing: ResponseFraming,
        shutdown: Shutdown,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        if io.out.left() < HEAD_OUT_MAX {
            return Flow::Stop(Self::ResponseHead { response, framing }, Next::Flush);
        }
        let is_last = shutdown != Shutdown::None || io.is_over();
        let connection = if is_last { Connection::Close } else { framing.connection };
        let after = if connection == Connection::Close { After::Close } else { After::NextRequest };
        let context = HeadContext { date: cx.date, connection };
        let written = cx.service.head_into(&response, &context, io.out.free());
        io.out.advance(written);
        cx.observer.on_response(cx.service.status(&response));
        let len = match framing.content {
            Content::Send => cx.service.body_len(&response),
            Content::Omit => 0,
        };
        Self::step_response_body(response, 0, len, after, io, cx)
    }

    fn step_response_body<S, O>(
        response: R,
        mut sent: u64,
        len: u64,
        after: After,
        io: &mut Io<'_, '_, '_>,
        cx: &mut Context<'_, S, O>,
    ) -> Flow<Self>
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        while sent < len {
            let left = usize::try_from(len - sent).unwrap_or(usize::MAX);
            let free = io.out.free();
            let room = left.min(free.len());
            if room == 0 {
                return Flow::Stop(Self::ResponseBody { response, sent, len, after }, Next::Flush);
            }
            let written = cx.service.body_into(&response, sent, &mut free[..room]);
            assert!(written > 0, "a service gave nothing of a body that has not ended");
            assert!(written <= room, "a service wrote more than there was room for");
            io.out.advance(written);
            sent += written as u64;
        }
        cx.observer.on_response_end();
        match after {
            After::NextRequest if cx.one_exchange => {
                Flow::Stop(Self::Head(Scan::default()), Next::More)
            }
            After::NextRequest => Flow::On(Self::Head(Scan::default())),
            After::Close => Flow::On(Self::Closed),
        }
    }

    /// The deadline passed in this phase.
    fn expire<S, O>(self, io: &Io<'_, '_, '_>, cx: &mut Context<'_, S, O>) -> Self
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        match self {
            Self::Head(scan) if !scan.is_idle() => {
                Self::refuse(Reject::HeadTimeout, Content::of_bytes(io.input), cx)
            }
            Self::Body(receive) => Self::refuse(Reject::BodyTimeout, receive.framing.content, cx),
            Self::Parked { framing, .. } => {
                Self::ResponseHead { response: cx.service.refuse(Status::S504), framing }
            }
            Self::Head(_)
            | Self::Continue(_)
            | Self::ResponseHead { .. }
            | Self::ResponseBody { .. } => Self::Closed,
            Self::Closed => Self::Closed,
        }
    }

    /// The peer is at fault: answer, close, parse nothing more.
    #[cold]
    fn refuse<S, O>(reject: Reject, content: Content, cx: &mut Context<'_, S, O>) -> Self
    where
        S: Service<Work = W, Response = R, Offload = A>,
        O: Observer,
    {
        cx.observer.on_reject(reject);
        let response = cx.service.refuse(reject.status());
        Self::ResponseHead {
            response,
            framing: ResponseFraming { content, connection: Connection::Close },
        }
    }
}

const CONTINUE: &[u8; 25] = b"HTTP/1.1 100 Continue\r\n\r\n";
const _: () = assert!(CONTINUE.len() <= HEAD_OUT_MAX);
const _: () = assert!(size_of::<Phase<(), (), ()>>() <= 128, "a connection is to stay small");
