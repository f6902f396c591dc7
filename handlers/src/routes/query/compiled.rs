//! A compiled query: what control asks of it, and its responses that are not rows.

use std::sync::OnceLock;

use http1::Status;
use http1::coding::{Accepted, Coding};

use crate::config::{CacheConfig, Database, Value};
use crate::fields::Fields;
use crate::request::Inputs;
use crate::response::RenderedResponse;
use crate::values::parameter::Rule;
use crate::values::template::{Body, Column, Row};

use super::bound::{BindError, Bound, bind};

/// A route that queries a database, compiled.
#[derive(Debug)]
pub struct Query {
    pub(super) database: Database,
    pub(super) statement: Box<str>,
    pub(super) sql: Box<str>,
    pub(super) rules: Box<[Rule]>,
    /// Indices into `rules`, in the order of the placeholders.
    pub(super) arguments: Box<[usize]>,
    pub(super) row: Row,
    /// None: the response is the first row.
    pub(super) body: Option<Body>,
    pub(super) status: Status,
    /// Extra fields of every response.
    pub(super) headers: Fields,
    /// What a response may be in, best first among equals.
    pub(super) codings: Box<[Coding]>,
    pub(super) unavailable: Option<Box<[u8]>>,
    pub(super) cache: Option<CacheConfig>,
    pub(super) invalidates: bool,
    pub(super) is_taken_for_read: bool,
    /// Whether the statement writes nothing, once the database has said so.
    pub(super) only_reads: OnceLock<bool>,
}

impl Query {
    /// Where it is asked.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Name of the statement.
    pub fn statement(&self) -> &str {
        &self.statement
    }

    /// The statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The columns that a response is made of. Each must be in the result of the statement.
    pub fn columns(&self) -> &[Column] {
        &self.row.columns
    }

    /// How responses are cached.
    pub fn cache(&self) -> Option<&CacheConfig> {
        self.cache.as_ref()
    }

    /// Whether its statement must not write: only GET reaches it, and nothing says that it writes.
    pub fn is_taken_for_read(&self) -> bool {
        self.is_taken_for_read
    }

    /// Whether it is taken for a read, and nobody has found out yet whether its statement writes.
    pub fn is_unknown(&self) -> bool {
        self.is_taken_for_read && self.only_reads.get().is_none()
    }

    /// The database has said whether the statement writes nothing: the first word holds.
    pub fn set_only_reads(&self, only_reads: bool) {
        self.only_reads.get_or_init(|| only_reads);
    }

    /// Whether its statement is known to write nothing.
    pub fn only_reads(&self) -> bool {
        self.only_reads.get() == Some(&true)
    }

    /// Whether it may be asked again when nobody knows whether it was asked: it is taken for a read, its statement is
    /// known to write nothing, and it invalidates nothing.
    pub fn is_read(&self) -> bool {
        self.is_taken_for_read && !self.invalidates && self.only_reads()
    }

    /// The values of all parameters of one request, or the response that says what is wrong.
    pub fn bind(&self, inputs: &Inputs<'_>) -> Result<Bound, RenderedResponse> {
        bind(&self.rules, inputs)
            .map_err(|BindError { status, text }| self.text(status, &text, None))
    }

    /// The values of the placeholders, in their order.
    pub fn arguments<'b>(&self, bound: &'b Bound) -> Vec<&'b Value> {
        self.arguments.iter().map(|&at| &bound.values[at]).collect()
    }

    /// The coding of a response to a client that takes these.
    pub fn coding(&self, accepted: Accepted) -> Coding {
        accepted.choose(&self.codings).unwrap_or(Coding::Identity)
    }

    /// The response while the database cannot be asked: what is configured for that, or
    /// [`busy`](Self::busy).
    pub fn unavailable(&self) -> RenderedResponse {
        match &self.unavailable {
            Some(body) => RenderedResponse::new(
                Status::S200,
                JSON,
                self.fields(),
                Coding::Identity,
                body.to_vec(),
            ),
            None => self.busy(),
        }
    }

    /// 503: too much is waiting to be asked.
    pub fn busy(&self) -> RenderedResponse {
        let text = format!("{} {}\n", Status::S503.code(), Status::S503.reason());
        self.text(Status::S503, &text, Some(RETRY_AFTER))
    }

    /// The response that says of the value of a placeholder, counted from 0, what is wrong with it:
    /// 404 in a path, 400 elsewhere.
    pub fn refuse(&self, placeholder: usize, problem: &str) -> RenderedResponse {
        let rule = &self.rules[self.arguments[placeholder]];
        self.text(rule.refusal(), &rule.message(problem), None)
    }

    /// A short text that says why there is no other response.
    pub fn failed(&self, status: Status, text: &str) -> RenderedResponse {
        self.text(status, &format!("{text}\n"), None)
    }

    /// What tells the response to one request from all other responses of this route: the values of its
    /// parameters, and the coding it is in.
    pub fn cache_key(&self, bound: &Bound, accepted: Accepted) -> Vec<u8> {
        key(self.coding(accepted), &bound.values)
    }

    /// The keys of all responses of this route that have the parameters of a request to `source`, by
    /// their names. None where keys cannot tell: one of them is missing there, is of another kind, or
    /// equal values of it have several spellings ([`Rule::has_exact_values`]).
    pub(crate) fn cache_keys_of(&self, source: &Self, bound: &Bound) -> Option<Vec<Vec<u8>>> {
        let values = self
            .rules
            .iter()
            .map(|rule| {
                let at = source.rules.iter().position(|other| other.name == rule.name)?;
                let is_exact = rule.has_exact_values() && rule.is_like(&source.rules[at]);
                is_exact.then(|| bound.values[at].clone())
            })
            .collect::<Option<Vec<_>>>()?;
        Some(self.codings.iter().map(|&coding| key(coding, &values)).collect())
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let vary = (self.codings.len() > 1).then_some(VARY);
        self.headers.iter().chain(vary)
    }

    /// A short text, never coded.
    fn text(&self, status: Status, text: &str, field: Option<(&str, &str)>) -> RenderedResponse {
        let fields = self.fields().chain(field);
        RenderedResponse::new(status, TEXT, fields, Coding::Identity, text.as_bytes())
    }
}

/// No two lists of values have the same key.
fn key(coding: Coding, values: &[Value]) -> Vec<u8> {
    let mut key = vec![coding as u8];
    for value in values {
        let number;
        let (kind, bytes): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Integer(value) => (1, &value.to_le_bytes()),
            Value::Number(value) => {
                number = value.canonical();
                (2, number.as_bytes())
            }
            Value::Text(text) => (3, text.as_bytes()),
            Value::Boolean(value) => (4, &[u8::from(*value)]),
            Value::Json(text) => (5, text.as_bytes()),
        };
        key.push(kind);
        key.extend_from_slice(&bytes.len().to_le_bytes());
        key.extend_from_slice(bytes);
    }
    key
}

pub(super) const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
pub(super) const VARY: (&str, &str) = ("Vary", "Accept-Encoding");
pub(super) const RETRY_AFTER: (&str, &str) = ("Retry-After", "1");
