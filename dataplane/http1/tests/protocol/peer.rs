//! The caller's side of a connection, holding [`Conn::advance`] to its contract.
//!
//! [`exchange`] is the oracle: what it returns was the same for every cut of the message and for every
//! way of offering room.

use http1::{
    Class, Conn, Context, HEAD_OUT_MAX, HttpDate, Limits, Next, Observer, Out, Progress, Reject,
    Status, Waiting,
};

use crate::mirror::{Answer, Mirror};

/// What an observer was called with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Request,
    Response(Status),
    Reject(Reject),
}

/// Keeps what it is called with.
struct Log<'a>(&'a mut Vec<Event>);

impl Observer for Log<'_> {
    fn on_request(&mut self, _: Class) {
        self.0.push(Event::Request);
    }
    fn on_response(&mut self, status: Status) {
        self.0.push(Event::Response(status));
    }
    fn on_response_end(&mut self) {}
    fn on_reject(&mut self, reject: Reject) {
        self.0.push(Event::Reject(reject));
    }
}

/// How a caller offers room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Rooms {
    /// That many bytes at every call.
    Fixed(usize),
    /// One byte, and a head's worth only when nothing was written.
    Drops,
}

/// A connection and the caller's side of it.
pub(crate) struct Peer {
    pub(crate) conn: Conn<Mirror>,
    pub(crate) limits: Limits,
    pub(crate) rooms: Rooms,
    /// Received and not consumed.
    pub(crate) pending: Vec<u8>,
    /// Everything sent.
    pub(crate) output: Vec<u8>,
    pub(crate) events: Vec<Event>,
    pub(crate) closed: bool,
    /// Whether offloads stay without a completion.
    pub(crate) parks: bool,
    /// Whether to stop between two requests.
    pub(crate) one_exchange: bool,
    stalled: bool,
}

impl Peer {
    pub(crate) fn new() -> Self {
        Self {
            conn: Conn::new(),
            limits: Limits::default(),
            rooms: Rooms::Fixed(4096),
            pending: Vec::new(),
            output: Vec::new(),
            events: Vec::new(),
            closed: false,
            parks: false,
            one_exchange: false,
            stalled: false,
        }
    }

    /// Bytes arrive: calls `advance` until it asks for more or ends.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.feed(bytes, false);
    }

    pub(crate) fn send_eof(&mut self, bytes: &[u8]) {
        self.feed(bytes, true);
    }

    pub(crate) fn feed(&mut self, bytes: &[u8], eof: bool) {
        self.pending.extend_from_slice(bytes);
        loop {
            match self.call(eof) {
                Next::Flush => {}
                Next::Park if self.parks => return,
                Next::Park => self.complete(),
                Next::Close => {
                    self.closed = true;
                    return;
                }
                Next::More => break,
            }
        }
        assert!(!eof, "nothing more will come, and yet it is asked for");
        let before = (self.pending.len(), self.output.len(), self.events.len());
        assert_eq!(self.call(eof), Next::More, "the same input again is not more");
        assert_eq!((self.pending.len(), self.output.len(), self.events.len()), before);
    }

    /// Completes an offload as the mirror would have answered.
    pub(crate) fn complete(&mut self) {
        let text = self.conn.take_offload().expect("parked with an offload");
        assert_eq!(self.conn.take_offload(), None, "it is taken once");
        self.conn.complete(Answer::text(Status::S200, &text)).expect("parked");
    }

    /// One call of `advance`, held to its contract.
    pub(crate) fn call(&mut self, eof: bool) -> Next {
        let size = match self.rooms {
            Rooms::Fixed(size) => size,
            Rooms::Drops if self.stalled => HEAD_OUT_MAX,
            Rooms::Drops => 1,
        };
        let mut room = vec![0; size];
        let mut out = Out::new(&mut room);
        let mut cx = Context {
            service: &Mirror,
            limits: &self.limits,
            date: &HttpDate::from_unix(784_111_777),
            observer: &mut Log(&mut self.events),
            one_exchange: self.one_exchange,
        };
        let Progress { consumed, next } = self.conn.advance(&self.pending, eof, &mut out, &mut cx);
        assert!(consumed <= self.pending.len());
        let written = out.len();
        self.stalled = written == 0;
        assert!(
            next != Next::Flush || written > 0 || size < HEAD_OUT_MAX,
            "room for a head was offered, and nothing was written"
        );
        match next {
            Next::More => {
                let waiting = self.conn.waiting();
                assert!(matches!(waiting, Waiting::Idle | Waiting::Head | Waiting::Body));
            }
            Next::Flush => assert_eq!(self.conn.waiting(), Waiting::Output),
            Next::Park => assert_eq!(self.conn.waiting(), Waiting::Completion),
            Next::Close => assert_eq!(self.conn.waiting(), Waiting::Closed),
        }
        self.pending.drain(..consumed);
        self.output.extend_from_slice(&room[..written]);
        next
    }
}

/// What came of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) output: String,
    pub(crate) events: Vec<Event>,
    pub(crate) closed: bool,
    pub(crate) waiting: Waiting,
}

impl Outcome {
    fn of(peer: Peer) -> Self {
        Self {
            waiting: peer.conn.waiting(),
            output: String::from_utf8_lossy(&peer.output).into_owned(),
            events: peer.events,
            closed: peer.closed,
        }
    }

    /// The status codes of the final answers.
    pub(crate) fn statuses(&self) -> Vec<u16> {
        let of = |event: &Event| match event {
            Event::Response(status) => Some(status.code()),
            _ => None,
        };
        self.events.iter().filter_map(of).collect()
    }

    pub(crate) fn reject(&self) -> Option<Reject> {
        self.events.iter().find_map(|event| match event {
            Event::Reject(reject) => Some(*reject),
            _ => None,
        })
    }

    /// Asserts one refusal for `reject`: its status, a length, `Connection: close`, and the end.
    #[track_caller]
    pub(crate) fn assert_refused(&self, reject: Reject) {
        assert_eq!(self.reject(), Some(reject), "{self:#?}");
        assert_eq!(self.statuses(), [reject.status().code()], "{self:#?}");
        assert!(self.output.contains("\r\nContent-Length: "), "{self:#?}");
        assert!(self.output.contains("\r\nConnection: close\r\n"), "{self:#?}");
        assert!(self.closed, "{self:#?}");
    }

    /// Like [`assert_refused`](Self::assert_refused), for a refusal after a valid head.
    #[track_caller]
    pub(crate) fn assert_refused_after_request(&self, reject: Reject) {
        assert_eq!(self.events.first(), Some(&Event::Request), "{self:#?}");
        self.assert_refused(reject);
    }

    /// Asserts final answers with `statuses`, no refusal, and whether the connection persists.
    #[track_caller]
    pub(crate) fn assert_answers(&self, statuses: &[u16], persists: bool) {
        assert_eq!(self.reject(), None, "{self:#?}");
        assert_eq!(self.statuses(), statuses, "{self:#?}");
        assert_eq!(self.closed, !persists, "{self:#?}");
    }
}

/// Sends `wire` uncut and returns what came of it, after proving that cuts, rooms and the size of
/// steps change nothing.
#[track_caller]
pub(crate) fn exchange(wire: impl AsRef<[u8]>) -> Outcome {
    exchange_with(wire, &Limits::default())
}

#[track_caller]
pub(crate) fn exchange_with(wire: impl AsRef<[u8]>, limits: &Limits) -> Outcome {
    let wire = wire.as_ref();
    let whole = run(&[wire], false, Rooms::Fixed(4096), limits);
    for pieces in cuts(wire) {
        let rooms = Rooms::Fixed(HEAD_OUT_MAX + pieces[0].len() % 64);
        assert_eq!(run(&pieces, false, rooms, limits), whole, "cut {}", pieces[0].len());
    }
    let bytes: Vec<_> = wire.chunks(1).collect();
    for rooms in [Rooms::Fixed(HEAD_OUT_MAX), Rooms::Drops] {
        assert_eq!(run(&[wire], false, rooms, limits), whole, "{rooms:?}");
        assert_eq!(run(&bytes, false, rooms, limits), whole, "byte by byte, {rooms:?}");
    }
    whole
}

/// Like [`exchange`], with the end of input right after `wire`.
#[track_caller]
pub(crate) fn exchange_eof(wire: impl AsRef<[u8]>) -> Outcome {
    let (wire, limits) = (wire.as_ref(), Limits::default());
    let whole = run(&[wire], true, Rooms::Fixed(4096), &limits);
    for pieces in cuts(wire) {
        let cut = run(&pieces, true, Rooms::Fixed(HEAD_OUT_MAX), &limits);
        assert_eq!(cut, whole, "cut {}", pieces[0].len());
    }
    whole
}

/// `wire` in two pieces, neither empty: every cut of a short one, some of a long one.
fn cuts(wire: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
    let step = 1 + wire.len() / 512;
    (1..wire.len()).step_by(step).map(|at| [&wire[..at], &wire[at..]])
}

/// Sends `pieces` one by one; interim answers are left out of the output, for they depend on the
/// cut by design.
pub(crate) fn run(pieces: &[&[u8]], eof: bool, rooms: Rooms, limits: &Limits) -> Outcome {
    let mut peer = Peer::new();
    peer.rooms = rooms;
    peer.limits = limits.clone();
    for (index, piece) in pieces.iter().enumerate() {
        if peer.closed {
            break;
        }
        peer.feed(piece, eof && index + 1 == pieces.len());
    }
    let mut outcome = Outcome::of(peer);
    outcome.output = outcome.output.replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    outcome
}

/// A GET of `/` with `lines` (each with its CRLF) after Host.
pub(crate) fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n")
}

/// A POST to `/` with `lines` after Host, then `body`.
pub(crate) fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n{body}")
}

/// A chunked POST with `body` as sent.
pub(crate) fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}
