//! One request, and whether the response to it is one that may be.

use fastrand::Rng;
use serde_json::{Value, json};
use testkit::Response;

use super::model::Model;
use super::site::{CELLS, FEWER_CELLS, ITEMS, LEAST, PAGE, are_wide, cell, item, page};

/// What was asked, with what was known when it was sent.
#[derive(Debug)]
pub(super) enum Request {
    /// The fixed route that names the edition.
    Edition { oldest: u64 },
    /// A range of the static file.
    Page { oldest: u64, range: Range },
    /// A row of SQLite.
    Cell { oldest: u64, id: u64, cached: bool },
    /// A row of PostgreSQL.
    Item { oldest: u64, id: usize, cached: bool },
    /// A new version of it, its number written in another way where that is wanted.
    Write { id: usize, version: u64, plainly: bool },
    /// A row that may be inserted once, by POST or by a GET that says it writes.
    Token { token: u64, by_get: bool },
    /// Numbers that a 64-bit float cannot hold; `bounded` has [`LEAST`] as its bound.
    Numbers { integer: i64, number: String, bounded: i64 },
    /// A row of the table whose columns change.
    Measure { oldest: u64, id: u64 },
    /// What is cached for a moment only.
    Hot,
    /// What takes longer than it may.
    Slow,
}

/// What `Range` says, and what is right for it (RFC 9110 section 14).
#[derive(Debug)]
pub(super) struct Range {
    field: String,
    /// Status and the part of the content, of which `None` is all.
    expected: (u16, Option<(usize, usize)>),
}

impl Request {
    /// Any request of those that may be asked by one who writes to the items `own`.
    pub(super) fn any(model: &Model, rng: &mut Rng, own: &[usize]) -> Self {
        let oldest = model.oldest_edition();
        match rng.u32(..20) {
            0 => Self::Edition { oldest },
            1 | 2 => Self::Page { oldest, range: Range::any(rng) },
            3..6 => Self::Cell { oldest, id: rng.u64(..CELLS), cached: true },
            6 => Self::Cell { oldest, id: rng.u64(..CELLS), cached: false },
            7..11 => Self::item(model, rng.usize(..ITEMS), true),
            11 => Self::item(model, rng.usize(..ITEMS), false),
            12 => Self::item(model, own[rng.usize(..own.len())], true),
            13 | 14 => {
                let id = own[rng.usize(..own.len())];
                Self::Write { id, version: model.next_version(id), plainly: rng.bool() }
            }
            15 | 16 => Self::Token { token: model.next_token(), by_get: rng.bool() },
            17 => Self::Hot,
            18 => Self::Measure { oldest: model.oldest_columns(), id: model.next_token() },
            _ => Self::Numbers {
                integer: rng.i64(..),
                number: format!("{}.{:09}", rng.i128(..), rng.u32(1..1_000_000_000)),
                bounded: LEAST + rng.i64(-2..=2),
            },
        }
    }

    /// The row `id`, by the route with a cache or the one without.
    pub(super) fn item(model: &Model, id: usize, cached: bool) -> Self {
        Self::Item { oldest: model.oldest_version(id), id, cached }
    }

    /// What is sent.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let prefix = |cached: &bool| if *cached { "" } else { "/uncached" };
        let (method, path, fields, body) = match self {
            Self::Edition { .. } => ("GET", "/edition".to_owned(), String::new(), String::new()),
            Self::Page { range, .. } => {
                let fields = format!("Range: {}\r\n", range.field);
                ("GET", "/static/page.bin".to_owned(), fields, String::new())
            }
            Self::Cell { id, cached, .. } => {
                ("GET", format!("{}/cells/{id}", prefix(cached)), String::new(), String::new())
            }
            Self::Item { id, cached, .. } => {
                ("GET", format!("{}/items/{id}", prefix(cached)), String::new(), String::new())
            }
            Self::Write { id, version, plainly } => {
                let body = json!({ "version": version, "body": item(*id, *version) }).to_string();
                let fields = format!("Content-Length: {}\r\n", body.len());
                let sign = if *id == 0 { "-" } else { "0" };
                let path = format!("/items/{}{id}", if *plainly { "" } else { sign });
                ("PUT", path, fields, body)
            }
            Self::Token { token, by_get: true } => {
                ("GET", format!("/tokens/{token}"), String::new(), String::new())
            }
            Self::Token { token, .. } => {
                let fields = "Content-Length: 0\r\n".to_owned();
                ("POST", format!("/tokens/{token}"), fields, String::new())
            }
            Self::Numbers { integer, number, bounded } => {
                let path = format!("/numbers?integer={integer}&number={number}&bounded={bounded}");
                ("GET", path, String::new(), String::new())
            }
            Self::Measure { oldest, id } => {
                let body = json!({ "id": measure(*id, *oldest)["id"], "at": MOMENT, "f": 0.1 })
                    .to_string();
                let fields = format!("Content-Length: {}\r\n", body.len());
                ("POST", "/measures".to_owned(), fields, body)
            }
            Self::Hot => ("GET", "/hot".to_owned(), String::new(), String::new()),
            Self::Slow => ("GET", "/slow".to_owned(), String::new(), String::new()),
        };
        format!("{method} {path} HTTP/1.1\r\nHost: checker\r\n{fields}\r\n{body}").into_bytes()
    }

    /// What it is called in a count.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Edition { .. } => "fixed",
            Self::Page { .. } => "file",
            Self::Cell { cached: true, .. } => "SQLite, cached",
            Self::Cell { .. } => "SQLite",
            Self::Item { cached: true, .. } => "PostgreSQL, cached",
            Self::Item { .. } => "PostgreSQL",
            Self::Write { .. } => "write",
            Self::Token { by_get: true, .. } => "insertion by GET",
            Self::Token { .. } => "insertion",
            Self::Numbers { .. } => "numbers",
            Self::Measure { .. } => "columns that change",
            Self::Hot => "cached for a moment",
            Self::Slow => "too slow",
        }
    }

    /// Whether this status says that it cannot be served while something is broken: only what needs a
    /// database may say so, and a row that is not in a smaller file is not found in it.
    pub(super) fn is_refusal(&self, status: u16) -> bool {
        match self {
            Self::Edition { .. } | Self::Page { .. } => false,
            Self::Cell { id, .. } if *id >= FEWER_CELLS => matches!(status, 404 | 503 | 504),
            Self::Slow => false,
            _ => matches!(status, 503 | 504),
        }
    }

    /// Compares a response that is no refusal with what may come; notes what a write's success says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn judge(&self, model: &Model, response: &Response) -> Result<(), String> {
        let status = |expected: u16| match response.status {
            status if status == expected => Ok(()),
            status => Err(format!("status {status}")),
        };
        match self {
            Self::Edition { oldest } => {
                status(200)?;
                let edition = response.text().parse().map_err(|_| "no number".to_owned())?;
                within("edition", edition, &model.editions(*oldest))
            }
            Self::Page { oldest, range } => range.judge(model, *oldest, response),
            Self::Cell { oldest, id, .. } => {
                status(200)?;
                let row = parsed(response)?;
                let edition = row["edition"].as_u64().ok_or("no edition")?;
                within("edition", edition, &model.editions(*oldest))?;
                let expected = json!({ "id": id, "value": cell(*id, edition), "edition": edition,
                    "configured": edition });
                equal(&row, &expected)
            }
            Self::Item { oldest, id, .. } => {
                status(200)?;
                let row = parsed(response)?;
                let version = row["version"].as_u64().ok_or("no version")?;
                equal(&row, &row_of(*id, version))?;
                within("version", version, &model.versions(*id, *oldest))
            }
            Self::Write { id, version, .. } => {
                status(200)?;
                equal(&parsed(response)?, &row_of(*id, *version))?;
                model.stored(*id, *version);
                Ok(())
            }
            Self::Token { token, by_get } => {
                status(if *by_get { 200 } else { 201 })?;
                equal(&parsed(response)?, &json!({ "token": token }))?;
                model.token_stored(*token);
                Ok(())
            }
            Self::Numbers { bounded, .. } if *bounded < LEAST => status(400),
            Self::Numbers { integer, number, bounded } => {
                status(200)?;
                // As text: what reads JSON may round.
                let expected = format!(
                    r#"{{"integer":{integer},"number":{number},"bounded":{bounded},"infinite":null}}"#
                );
                let row = response.text();
                if row == expected { Ok(()) } else { Err(format!("another number: {row}")) }
            }
            Self::Measure { oldest, .. } if !model.columns_are(*oldest) => Ok(()),
            Self::Measure { oldest, id } => {
                status(201)?;
                equal(&parsed(response)?, &measure(*id, *oldest))
            }
            Self::Hot => {
                status(200)?;
                let runs = parsed(response)?["runs"].as_u64();
                runs.map(|_| ()).ok_or_else(|| "no number".to_owned())
            }
            Self::Slow => status(503),
        }
    }
}

impl Range {
    fn any(rng: &mut Rng) -> Self {
        let (a, b) = (rng.usize(..PAGE), rng.usize(..PAGE));
        let (first, last) = (a.min(b), a.max(b));
        let part = |from, to| (206, Some((from, to)));
        let (field, expected) = match rng.u32(..8) {
            0 => (format!("bytes={first}-"), part(first, PAGE)),
            1 => (format!("bytes=-{}", first + 1), part(PAGE - first - 1, PAGE)),
            2 => (format!("bytes={first}-{}", PAGE + last), part(first, PAGE)),
            3 => (format!("bytes={}-{}", PAGE + first, PAGE + last), (416, None)),
            4 => (format!("bytes={}-{first}", last + 1), (200, None)),
            5 => (format!("bytes={}0-{}", u128::MAX, u128::MAX), (200, None)),
            6 => (format!("lines={first}-{last}"), (200, None)),
            _ => (format!("bytes={first}-{last}"), part(first, last + 1)),
        };
        Self { field, expected }
    }

    fn judge(&self, model: &Model, oldest: u64, response: &Response) -> Result<(), String> {
        let (status, part) = self.expected;
        if response.status != status {
            return Err(format!("status {} to {}, not {status}", response.status, self.field));
        }
        if status == 416 {
            return Ok(());
        }
        let (from, to) = part.unwrap_or((0, PAGE));
        let editions = model.editions(oldest);
        let right = |edition: u64| response.body == page(edition)[from..to];
        if editions.clone().any(right) {
            return Ok(());
        }
        Err(format!("content of no edition of {editions:?} to {}", self.field))
    }
}

fn row_of(id: usize, version: u64) -> Value {
    json!({ "id": id, "version": version, "body": item(id, version) })
}

/// What the columns of a change keep of what is sent: [`MOMENT`], 0.1 and a number, which is beyond 32 bits where it may
/// be. The columns of the rows are of one type always, so that PostgreSQL does not refuse a plan of before.
fn measure(id: u64, change: u64) -> Value {
    let (id, at) = if are_wide(change) { (id + (1 << 33), MOMENT) } else { (id, &MOMENT[..10]) };
    json!({ "id": id, "at": at, "f": "0.1" })
}

const MOMENT: &str = "2024-05-06 10:20:30";

fn parsed(response: &Response) -> Result<Value, String> {
    serde_json::from_slice(&response.body).map_err(|error| format!("no JSON: {error}"))
}

fn equal(row: &Value, expected: &Value) -> Result<(), String> {
    if row == expected { Ok(()) } else { Err(format!("another row: {row}, not {expected}")) }
}

fn within(what: &str, number: u64, range: &std::ops::RangeInclusive<u64>) -> Result<(), String> {
    if range.contains(&number) {
        return Ok(());
    }
    let how = if number < *range.start() { "old" } else { "unknown" };
    Err(format!("{how} {what}: {number} is not in {range:?}"))
}
