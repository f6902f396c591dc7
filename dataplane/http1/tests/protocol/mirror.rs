//! A small service that echoes its requests.

use http1::{
    Class, HEAD_OUT_MAX, HeadAction, HeadContext, Request, RequestAction, Service, Status,
};

/// Echoes its requests. `/early*` is answered 404 without wanting the body, `/204` and
/// `/304` without content, `/big/N` with N bytes; everything else with a description, which for
/// `/offload*` is offloaded.
#[derive(Debug, Default)]
pub(crate) struct Mirror;

/// A request, and its body so far.
#[derive(Debug)]
pub(crate) struct Echo {
    line: String,
    body: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    status: Status,
    content: Content,
}

#[derive(Debug, Clone)]
enum Content {
    None,
    Text(String),
    Pattern(u64),
}

impl Answer {
    pub(crate) fn text(status: Status, text: &str) -> Self {
        Self { status, content: Content::Text(text.to_owned()) }
    }
}

/// The byte at `at` of a body from `/big`.
pub(crate) fn pattern(at: u64) -> u8 {
    u8::try_from(at % 251).expect("below 251")
}

impl Service for Mirror {
    type Work = Echo;
    type Response = Answer;
    /// The description.
    type Offload = String;

    fn accept(&self, request: &Request<'_>, _: &mut Class) -> HeadAction<Echo, Answer> {
        let path = String::from_utf8_lossy(request.target().path()).into_owned();
        if path.starts_with("/early") {
            return HeadAction::Respond(Answer::text(Status::S404, "early"));
        }
        let text = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| "-".into(), |bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let line = format!(
            "{} {path} query={} host={} {:?} x={}",
            request.method().name(),
            text(request.target().query()),
            text(request.host()),
            request.version(),
            text(request.field("x")),
        );
        HeadAction::ReadBody(Echo { line, body: Vec::new() })
    }

    fn on_body(&self, work: &mut Echo, piece: &[u8]) {
        assert!(!piece.is_empty());
        work.body.extend_from_slice(piece);
    }

    fn finish(&self, work: Echo) -> RequestAction<Answer, String> {
        let path = work.line.split(' ').nth(1).expect("a line has a path");
        let none = |status| Answer { status, content: Content::None };
        let text = format!("{} body={}", work.line, work.body.escape_ascii());
        RequestAction::Respond(match (path, path.strip_prefix("/big/").map(str::parse)) {
            (_, Some(Ok(len))) => Answer { status: Status::S200, content: Content::Pattern(len) },
            (_, Some(Err(_))) => Answer::text(Status::S404, "no such size"),
            ("/204", None) => none(Status::S204),
            ("/304", None) => none(Status::S304),
            _ if path.starts_with("/offload") => return RequestAction::Offload(text),
            _ => Answer::text(Status::S200, &text),
        })
    }

    fn refuse(&self, status: Status) -> Answer {
        Answer::text(status, status.reason())
    }

    fn status(&self, response: &Answer) -> Status {
        response.status
    }

    fn body_len(&self, response: &Answer) -> u64 {
        match &response.content {
            Content::None => 0,
            Content::Text(text) => text.len() as u64,
            Content::Pattern(len) => *len,
        }
    }

    fn head_into(&self, response: &Answer, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        assert!(out.len() >= HEAD_OUT_MAX);
        let mut head =
            format!("HTTP/1.1 {} {}\r\n", response.status.code(), response.status.reason());
        head += &format!("Date: {}\r\n", context.date.as_bytes().escape_ascii());
        if !matches!(response.content, Content::None) {
            head += &format!("Content-Length: {}\r\n", self.body_len(response));
        }
        head += str::from_utf8(context.connection.field_line()).expect("field lines are ASCII");
        head += "\r\n";
        out[..head.len()].copy_from_slice(head.as_bytes());
        head.len()
    }

    fn body_into(&self, response: &Answer, at: u64, out: &mut [u8]) -> usize {
        assert!(!out.is_empty());
        assert!(at < self.body_len(response));
        let left = usize::try_from(self.body_len(response) - at).expect("test bodies are small");
        assert!(out.len() <= left, "no room is offered beyond the end");
        let len = out.len();
        match &response.content {
            Content::None => unreachable!("no content, no bytes"),
            Content::Text(text) => {
                let at = usize::try_from(at).expect("text is short");
                out[..len].copy_from_slice(&text.as_bytes()[at..at + len]);
            }
            Content::Pattern(_) => {
                for (byte, at) in out[..len].iter_mut().zip(at..) {
                    *byte = pattern(at);
                }
            }
        }
        len
    }
}
