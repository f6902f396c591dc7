//! What a driver asks, and what the answer must be.

use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use testkit::Response;

/// One kind of request. Its exchanges are taken in turn.
#[derive(Debug)]
pub(crate) struct Template {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// At least one.
    pub(crate) exchanges: Vec<Exchange>,
}

impl Template {
    /// Called `name`, with these exchanges.
    pub(crate) fn new(name: &'static str, exchanges: Vec<Exchange>) -> Self {
        assert!(!exchanges.is_empty(), "{name} asks nothing");
        Self { name, exchanges }
    }
}

/// One request and what its answer must be: unless said otherwise 200, after which the connection
/// goes on.
pub(crate) struct Exchange {
    /// Bytes of the request.
    pub(crate) request: Vec<u8>,
    /// Whether FIN follows the request.
    pub(crate) half_closes: bool,
    /// Whether the server ends the connection after the answer.
    pub(crate) closes: bool,
    statuses: RangeInclusive<u16>,
    fields: Vec<(&'static str, String)>,
    within: Range<Duration>,
    body: Body,
}

/// What the content must be.
enum Body {
    Any,
    Exact(Vec<u8>),
    Passes(Box<Check>),
}

/// Says what is wrong with an answer.
type Check = dyn Fn(&Response) -> Result<(), String> + Send + Sync;

impl Exchange {
    /// These bytes.
    pub(crate) fn new(request: impl Into<Vec<u8>>) -> Self {
        Self {
            request: request.into(),
            half_closes: false,
            closes: false,
            statuses: 200..=200,
            fields: Vec::new(),
            within: Duration::ZERO..Duration::MAX,
            body: Body::Any,
        }
    }

    /// `GET path`, with these field lines (each ending in CRLF).
    pub(crate) fn get(path: &str, fields: &str) -> Self {
        Self::new(format!("GET {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    /// `POST path` with a length.
    pub(crate) fn post(path: &str, body: &[u8]) -> Self {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
        Self::new([head.as_bytes(), body].concat())
    }

    /// `POST path` in chunks of these.
    pub(crate) fn post_chunked(path: &str, chunks: &[&str]) -> Self {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = |chunk: &&str| format!("{:x}\r\n{chunk}\r\n", chunk.len());
        Self::new(head + &chunks.iter().map(chunk).collect::<String>() + "0\r\n\r\n")
    }

    /// FIN follows the request.
    pub(crate) fn half_closed(self) -> Self {
        Self { half_closes: true, ..self }
    }

    /// The answer has one of these statuses.
    pub(crate) fn status(self, statuses: RangeInclusive<u16>) -> Self {
        Self { statuses, ..self }
    }

    /// The answer has this field.
    pub(crate) fn has(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    /// The content is this.
    pub(crate) fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: Body::Exact(bytes.into()), ..self }
    }

    /// The answer passes this check. An answer whose content has passed before is not checked again.
    pub(crate) fn passes(
        self,
        check: impl Fn(&Response) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self { body: Body::Passes(Box::new(check)), ..self }
    }

    /// The answer says that the connection ends, and then it does.
    pub(crate) fn ends(self) -> Self {
        Self { closes: true, ..self }
    }

    /// The answer comes no sooner and no later than this after the request.
    pub(crate) fn takes(self, within: Range<Duration>) -> Self {
        Self { within, ..self }
    }

    /// Says in what the answer, which came after `took`, is not as it should be. `known` is the content
    /// that passed last.
    pub(crate) fn assess(
        &self,
        answer: &Response,
        took: Duration,
        known: &mut Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        if !self.statuses.contains(&answer.status) {
            return Err(Fault::new(format!("status {}", answer.status), shown(answer)));
        }
        for (name, value) in &self.fields {
            if answer.field(name) != Some(value) {
                return Err(Fault::new(format!("no {name}: {value}"), shown(answer)));
            }
        }
        // Our FIN may come after the answer was made.
        if self.closes != answer.closes() && !self.half_closes {
            let kind = if self.closes { "does not say close" } else { "says close" };
            return Err(Fault::new(kind, shown(answer)));
        }
        if !self.within.contains(&took) {
            let said = format!("{took:?}, not within {:?}: {}", self.within, shown(answer));
            return Err(Fault::new("at the wrong time", said));
        }
        self.judge_body(answer, known)
    }

    fn judge_body(&self, answer: &Response, known: &mut Option<Vec<u8>>) -> Result<(), Fault> {
        match &self.body {
            Body::Any => Ok(()),
            Body::Exact(body) if *body == answer.body => Ok(()),
            Body::Exact(body) => {
                let said =
                    format!("{} bytes, not {}: {}", answer.body.len(), body.len(), shown(answer));
                Err(Fault::new("other content", said))
            }
            Body::Passes(_) if known.as_ref() == Some(&answer.body) => Ok(()),
            Body::Passes(check) => {
                check(answer).map_err(|said| Fault::new("wrong content", said))?;
                *known = Some(answer.body.clone());
                Ok(())
            }
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = &self.request[..self.request.len().min(SHOWN_MAX)];
        f.debug_tuple("Exchange").field(&String::from_utf8_lossy(head)).finish()
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    /// Faults are counted by this.
    pub(crate) kind: String,
    /// What was seen this time.
    pub(crate) said: String,
}

impl Fault {
    /// Of this kind.
    pub(crate) fn new(kind: impl Into<String>, said: impl Into<String>) -> Self {
        Self { kind: kind.into(), said: said.into() }
    }

    /// Of this kind, with the beginning of what was received.
    pub(crate) fn with(kind: &str, received: &[u8]) -> Self {
        let beginning = String::from_utf8_lossy(&received[..received.len().min(SHOWN_MAX)]);
        Self::new(kind, format!("{} bytes: {beginning:?}", received.len()))
    }
}

/// The beginning of an answer, for messages.
fn shown(answer: &Response) -> String {
    let fields = answer.fields.iter();
    let fields: Vec<_> = fields.map(|(name, value)| format!("{name}: {value}")).collect();
    let body = &answer.body[..answer.body.len().min(SHOWN_MAX)];
    format!("{} {fields:?} {:?}", answer.status, String::from_utf8_lossy(body))
}

const SHOWN_MAX: usize = 200;
