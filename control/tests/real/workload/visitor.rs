//! Asks over connections that it keeps, and checks what holds for every answer of the workload.

use std::fmt;

use testkit::{APPLIANCE, Client, PORT, Response};

use crate::kit::Shown;

/// One connection at a time.
#[derive(Debug)]
pub(crate) struct Visitor {
    client: Client,
}

/// What is asked.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    fields: Vec<(&'static str, String)>,
    body: Body,
}

/// How a body comes.
#[derive(Clone)]
pub(crate) enum Body {
    /// There is none.
    None,
    /// With its length before it.
    Sized(Vec<u8>),
    /// In chunks; the lengths are taken in turn.
    Chunked(Vec<u8>, Vec<usize>),
}

impl Visitor {
    /// Connects.
    #[track_caller]
    pub(crate) fn new() -> Self {
        Self { client: Client::open() }
    }

    /// Asks and waits for the answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &Request) -> Shown {
        self.ask_all(std::slice::from_ref(request)).remove(0)
    }

    /// `GET target`, answered 200.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> Shown {
        self.ask(&Request::get(target)).status(200)
    }

    /// Sends all at once, and waits for the answers.
    #[track_caller]
    pub(crate) fn ask_all(&mut self, requests: &[Request]) -> Vec<Shown> {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
        self.client.send(bytes);
        let mut shown = Vec::new();
        for request in requests {
            let answer = self.client.try_response(request.method == "HEAD");
            let answer = answer.unwrap_or_else(|error| panic!("{request:?}: no answer: {error}"));
            let closes = answer.closes();
            shown.push(request.check(answer));
            if closes {
                self.client.expect_end();
                self.client = Client::open();
                break;
            }
        }
        assert_eq!(shown.len(), requests.len(), "the connection ended early: {requests:?}");
        shown
    }

    /// Sends without waiting.
    #[track_caller]
    pub(crate) fn send(&mut self, request: &Request) {
        self.client.send(request.bytes());
    }

    /// Waits for the answer to what was sent.
    #[track_caller]
    pub(crate) fn answer(&mut self, request: &Request) -> Shown {
        let answer = self.client.try_response(request.method == "HEAD");
        request.check(answer.unwrap_or_else(|error| panic!("{request:?}: no answer: {error}")))
    }
}

impl Request {
    /// A request without a body.
    pub(crate) fn new(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), fields: Vec::new(), body: Body::None }
    }

    /// `GET`.
    pub(crate) fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `HEAD`.
    pub(crate) fn head(target: &str) -> Self {
        Self::new("HEAD", target)
    }

    /// `POST`.
    pub(crate) fn post(target: &str, body: Body) -> Self {
        Self { body, ..Self::new("POST", target) }
    }

    /// `POST` or `PUT` of JSON.
    pub(crate) fn json(method: &'static str, target: &str, body: impl AsRef<[u8]>) -> Self {
        let body = Body::Sized(body.as_ref().to_vec());
        Self { body, ..Self::new(method, target) }.field("Content-Type", "application/json")
    }

    /// With another body.
    pub(crate) fn body(self, body: Body) -> Self {
        Self { body, ..self }
    }

    /// With a field line.
    pub(crate) fn field(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// With Accept-Encoding.
    pub(crate) fn accepting(self, codings: &str) -> Self {
        self.field("Accept-Encoding", codings)
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, target, .. } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {APPLIANCE}:{PORT}\r\n");
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Body::None => text.push_str("\r\n"),
            Body::Sized(body) => text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len())),
            Body::Chunked(..) => text.push_str("Transfer-Encoding: chunked\r\n\r\n"),
        }
        let mut bytes = text.into_bytes();
        match &self.body {
            Body::None => {}
            Body::Sized(body) => bytes.extend_from_slice(body),
            Body::Chunked(body, lens) => chunk(body, lens, &mut bytes),
        }
        bytes
    }

    /// What holds for every answer, whatever was asked.
    #[track_caller]
    fn check(&self, answer: Response) -> Shown {
        let shown = Shown { what: format!("{self:?}"), answer, interim: false };
        let fields = &shown.answer.fields;
        let count = |name: &str| {
            fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count()
        };
        assert_eq!(count("Date"), 1, "{self:?}: one Date in {fields:?}");
        for name in ["Content-Type", "Content-Encoding", "ETag", "Vary", "Connection", "Allow"] {
            assert!(count(name) < 2, "{self:?}: {name} twice in {fields:?}");
        }
        // A generator of this workload takes no more.
        let head: usize = fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        assert!(head < 1000 && fields.len() <= 16, "{self:?}: a long head: {fields:?}");
        match shown.answer.status {
            204 | 304 => assert_eq!(count("Content-Type"), 0, "{self:?}: {fields:?}"),
            _ => assert_eq!(count("Content-Length"), 1, "{self:?}: {fields:?}"),
        }
        if !shown.answer.body.is_empty() {
            assert_eq!(count("Content-Type"), 1, "{self:?}: a body has a type: {fields:?}");
        }
        let asked = self.fields.iter().any(|(name, _)| *name == "Accept-Encoding");
        if count("Content-Encoding") > 0 {
            assert!(asked, "{self:?}: coded, and nobody asked: {fields:?}");
            assert_eq!(shown.value("Vary"), "Accept-Encoding", "{self:?}");
        }
        shown
    }
}

impl fmt::Debug for Request {
    /// As a person would tell it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.fields {
            write!(f, ", {name}: {value}")?;
        }
        let (how, body) = match &self.body {
            Body::None => return Ok(()),
            Body::Sized(body) => ("", body),
            Body::Chunked(body, _) => (" in chunks", body),
        };
        let start = String::from_utf8_lossy(&body[..body.len().min(80)]);
        write!(f, ", body of {} bytes{how}: {start:?}", body.len())
    }
}

/// RFC 9112 7.1, with an extension on the first chunk.
fn chunk(body: &[u8], lens: &[usize], out: &mut Vec<u8>) {
    let mut rest = body;
    for at in 0.. {
        let len = lens.get(at % lens.len().max(1)).copied().unwrap_or(rest.len()).min(rest.len());
        let (now, later) = rest.split_at(len.max(1).min(rest.len()));
        if now.is_empty() {
            break;
        }
        let extension = if at == 0 { ";part=first" } else { "" };
        out.extend_from_slice(format!("{:x}{extension}\r\n", now.len()).as_bytes());
        out.extend_from_slice(now);
        out.extend_from_slice(b"\r\n");
        rest = later;
    }
    out.extend_from_slice(b"0\r\n\r\n");
}
