//! A client of a site: speaks through `http1::Conn`, on a fixed date, without a network. What the site
//! asks is answered by a closure. Everything that a core would do runs under a ban on allocation.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use assert_no_alloc::{assert_no_alloc, violation_count};
use handlers::{
    JobKind, Offload, RenderedResponse, RequestBufferPool, Response, Site, SiteConfig, SiteHandle,
    Work,
};
use http1::{
    Class, Conn, Context, HEAD_OUT_MAX, HeadAction, HeadContext, HttpDate, Limits, Next, Out,
    Request, RequestAction, Service, Status,
};

use crate::configs;

/// 1994-11-06T08:49:37Z, the example of RFC 9110 5.6.7.
pub(crate) const NOW: u64 = 784_111_777;
pub(crate) const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

/// The site of the workload, built once.
pub(crate) fn site() -> &'static SiteHandle {
    static SITE: OnceLock<SiteHandle> = OnceLock::new();
    SITE.get_or_init(|| build(&configs::arena()))
}

/// A site with 16 forms of 512 bytes.
pub(crate) fn build(config: &SiteConfig) -> SiteHandle {
    let site = Site::build(config, |size| Box::new(vec![0_u8; size]));
    let site = site.unwrap_or_else(|error| panic!("{error}"));
    SiteHandle::new(Arc::new(site), Arc::new(RequestBufferPool::new(16, 512)))
}

/// `GET path` with more field lines, each ending in CRLF.
pub(crate) fn get(site: &SiteHandle, path: &str, fields: &str) -> testkit::Response {
    send(site, "GET", path, fields)
}

/// A request without a body.
pub(crate) fn send(site: &SiteHandle, method: &str, path: &str, fields: &str) -> testkit::Response {
    one(site, request(method, path, fields).as_bytes(), method == "HEAD")
}

/// The bytes of a request without a body.
pub(crate) fn request(method: &str, path: &str, fields: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: localhost:8080\r\n{fields}\r\n")
}

/// The answer to the one request in `input`.
pub(crate) fn one(site: &SiteHandle, input: &[u8], is_head: bool) -> testkit::Response {
    asking(site, input, is_head, &mut |ask| panic!("nobody was to be asked {ask:?}"))
}

/// The answer to the one request in `input`, with what the site asks answered by `complete`.
pub(crate) fn asking(
    site: &SiteHandle,
    input: &[u8],
    is_head: bool,
    complete: &mut dyn FnMut(Offload) -> Response,
) -> testkit::Response {
    let bytes = exchange_asking(site, input, 64 * 1024, complete);
    let (answer, rest) = split(&bytes, is_head);
    assert!(rest.is_empty(), "one answer, not more: {}", rest.escape_ascii());
    answer
}

/// All bytes that a connection answers with, in pieces of `room`.
pub(crate) fn exchange<S: Service>(service: &S, input: &[u8], room: usize) -> Vec<u8> {
    exchange_asking(service, input, room, &mut |_| panic!("nobody was to be asked"))
}

/// The same, with what the service asks answered by `complete`.
pub(crate) fn exchange_asking<S: Service>(
    service: &S,
    input: &[u8],
    room: usize,
    complete: &mut dyn FnMut(S::Offload) -> S::Response,
) -> Vec<u8> {
    let mut conn = Conn::new();
    let date = HttpDate::from_unix(NOW);
    let limits = Limits::DEFAULT;
    let mut buffer = vec![0; room.max(HEAD_OUT_MAX)];
    let mut sent = Vec::new();
    let mut at = 0;
    loop {
        let mut out = Out::new(&mut buffer);
        let mut context = Context {
            service,
            limits: &limits,
            date: &date,
            one_exchange: false,
            observer: &mut (),
        };
        let progress = sealed(|| conn.advance(&input[at..], false, &mut out, &mut context));
        let written = out.len();
        sent.extend_from_slice(&buffer[..written]);
        at += progress.consumed;
        match progress.next {
            Next::Flush => assert!(written > 0, "no progress"),
            Next::Park => {
                let ask = conn.take_offload().expect("something is asked");
                let response = complete(ask);
                assert!(conn.complete(response).is_ok(), "the answer is waited for");
            }
            Next::More => {
                assert_eq!(at, input.len(), "the request is complete");
                return sent;
            }
            Next::Close => return sent,
        }
    }
}

/// Renders and codes what is asked for, as control does.
pub(crate) fn compress(ask: Offload) -> Response {
    let JobKind::Compress(compression) = ask.job_kind() else { panic!("no statement: {ask:?}") };
    lend(compression.run())
}

/// Does what a core does, and fails if that allocated or freed.
pub(crate) fn sealed<T>(serve: impl FnOnce() -> T) -> T {
    let before = violation_count();
    let done = assert_no_alloc(serve);
    assert_eq!(violation_count(), before, "a core called the allocator");
    done
}

/// Lends an answer as control does: a core never drops the last of it.
pub(crate) fn lend(rendered: RenderedResponse) -> Response {
    thread_local! {
        static LENT: RefCell<Vec<Arc<RenderedResponse>>> = const { RefCell::new(Vec::new()) };
    }
    let rendered = Arc::new(rendered);
    LENT.with_borrow_mut(|lent| lent.push(Arc::clone(&rendered)));
    Response::rendered(rendered)
}

/// Cuts the first answer off, and checks what every answer must have.
pub(crate) fn split(bytes: &[u8], is_head: bool) -> (testkit::Response, &[u8]) {
    let head_len = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    assert!(head_len <= HEAD_OUT_MAX);
    let (answer, len) = testkit::Response::read(bytes, is_head).expect("a whole answer");
    assert_eq!(answer.field("Date"), Some(DATE));
    assert_eq!(answer.field("Server"), Some("Pollux"));
    let has_length = answer.field("Content-Length").is_some();
    assert_eq!(has_length, !matches!(answer.status, 204 | 304), "{:?}", answer.fields);
    assert_eq!(answer.field("Content-Type").is_some(), has_length, "{:?}", answer.fields);
    (answer, &bytes[len..])
}

/// A site that remembers what it chose last.
pub(crate) struct Spy<'s> {
    pub(crate) site: &'s SiteHandle,
    pub(crate) last: RefCell<Option<Response>>,
}

impl Spy<'_> {
    /// What `site` chooses for a GET of `path`.
    pub(crate) fn choice(site: &SiteHandle, path: &str, fields: &str) -> Response {
        let spy = Spy { site, last: RefCell::new(None) };
        exchange(&spy, request("GET", path, fields).as_bytes(), 64 * 1024);
        spy.last.take().expect("an answer")
    }
}

impl Service for Spy<'_> {
    type Work = Work;
    type Response = Response;
    type Offload = Offload;

    fn accept(&self, request: &Request<'_>, class: &mut Class) -> HeadAction<Work, Response> {
        // The same twice: a response may hold a buffer, and cannot be cloned.
        if let HeadAction::Respond(response) = self.site.accept(request, class) {
            self.last.replace(Some(response));
        }
        self.site.accept(request, class)
    }

    fn on_body(&self, work: &mut Work, piece: &[u8]) {
        self.site.on_body(work, piece);
    }

    fn finish(&self, work: Work) -> RequestAction<Response, Offload> {
        self.site.finish(work)
    }

    fn refuse(&self, status: Status) -> Response {
        self.site.refuse(status)
    }

    fn status(&self, response: &Response) -> Status {
        self.site.status(response)
    }

    fn body_len(&self, response: &Response) -> u64 {
        self.site.body_len(response)
    }

    fn head_into(&self, response: &Response, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        self.site.head_into(response, context, out)
    }

    fn body_into(&self, response: &Response, at: u64, out: &mut [u8]) -> usize {
        self.site.body_into(response, at, out)
    }
}
