//! Routes that ask a database: typed parameters in, a statement to run, JSON out.
//!
//! A [`Query`] is compiled once from the configuration and proven to be able to answer: each
//! placeholder has its parameter, each default is within its bounds, each head fits. It runs nothing:
//! control binds the inputs of a request, runs the statement, pushes the rows.
//!
//! ```text
//! bind(inputs) -> Bound -> arguments -> (the database) -> begin, push.., finish -> RenderedResponse
//!    |                                        |
//!    +-> RenderedResponse: 400, 404                   +-> unavailable, busy, refuse, failed
//! ```

mod bound;
mod check;
mod placeholder;
mod rows;

use http1::Status;
use http1::coding::{Accepted, Coding};

use crate::config::{CacheConfig, Database, QueryConfig, RouteConfig, Value};
use crate::error::BuildError;
use crate::fields::Fields;
use crate::request::Inputs;
use crate::response::RenderedResponse;

use self::bound::{BindError, bind};
use crate::values::parameter::Rule;
use crate::values::template::{Body, Row as RowTemplate};

pub use self::bound::Bound;
pub use self::rows::{Row, Rows};
pub use crate::values::json::{self, ColumnError};
pub use crate::values::template::{Column, ColumnForm};

/// A route that asks a database, compiled.
#[derive(Debug)]
pub struct Query {
    database: Database,
    statement: Box<str>,
    sql: Box<str>,
    rules: Box<[Rule]>,
    /// Indices into `rules`, in the order of the placeholders.
    arguments: Box<[usize]>,
    row: RowTemplate,
    /// None: the response is the first row.
    body: Option<Body>,
    status: Status,
    /// Extra fields of every response.
    headers: Fields,
    /// What a response may be in, best first among equals.
    codings: Box<[Coding]>,
    unavailable: Option<Box<[u8]>>,
    cache: Option<CacheConfig>,
    is_read: bool,
}

impl Query {
    /// Compiles the query of the route with this index.
    pub(crate) fn compile(
        route: usize,
        plan: &RouteConfig,
        query: &QueryConfig,
    ) -> Result<Self, BuildError> {
        check::compile(plan, query).map_err(|fault| fault.at(route))
    }

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

    /// Whether it may be asked again when nobody knows whether it was asked: only GET reaches it, and
    /// it invalidates nothing.
    pub fn is_read(&self) -> bool {
        self.is_read
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

    /// Begins the response to a request.
    pub fn begin<'q>(&'q self, bound: &'q Bound) -> Rows<'q> {
        Rows::new(self, bound)
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
    /// their names. None if one of them is missing there, or is of another kind.
    pub(crate) fn cache_keys_of(&self, source: &Self, bound: &Bound) -> Option<Vec<Vec<u8>>> {
        let values = self
            .rules
            .iter()
            .map(|rule| {
                let at = source.rules.iter().position(|other| other.name == rule.name)?;
                rule.is_like(&source.rules[at]).then(|| bound.values[at].clone())
            })
            .collect::<Option<Vec<_>>>()?;
        Some(self.codings.iter().map(|&coding| key(coding, &values)).collect())
    }

    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
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
        let (kind, bytes): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Integer(value) => (1, &value.to_le_bytes()),
            Value::Number(value) => (2, &value.to_bits().to_le_bytes()),
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

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";
const VARY: (&str, &str) = ("Vary", "Accept-Encoding");
const RETRY_AFTER: (&str, &str) = ("Retry-After", "1");

#[cfg(test)]
mod tests;
