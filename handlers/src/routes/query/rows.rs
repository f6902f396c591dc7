//! Rows of a database on their way into a body: each is written as JSON when it comes, and is not
//! kept.

use http1::Status;
use http1::coding::{Accepted, Coding};

use crate::coding;
use crate::config::Value;
use crate::response::RenderedResponse;

use super::bound::Bound;
use super::compiled::{JSON, Query};
use crate::values::json::{self, ColumnError};
use crate::values::template::{ColumnConversion, Hole, Piece};

/// One row as a database gives it. Implemented by whoever queries the database.
pub trait Row {
    /// Writes the JSON of one column. `column` is an index into [`Query::columns`].
    fn write(
        &self,
        column: usize,
        conversion: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError>;
}

/// A body that is being made of rows.
#[derive(Debug)]
pub struct Rows<'q> {
    query: &'q Query,
    bound: &'q Bound,
    /// The rows, with commas between them.
    text: Vec<u8>,
    count: usize,
}

impl Query {
    /// Begins the response to a request.
    pub fn begin<'q>(&'q self, bound: &'q Bound) -> Rows<'q> {
        Rows { query: self, bound, text: Vec::with_capacity(ROOM), count: 0 }
    }
}

impl Rows<'_> {
    /// Writes the next row. A row that fails leaves nothing behind; one that is not wanted
    /// ([`is_full`](Self::is_full)) is passed over.
    pub fn push(&mut self, row: &impl Row) -> Result<(), ColumnError> {
        if self.is_full() {
            return Ok(());
        }
        let begin = self.text.len();
        if self.count > 0 {
            self.text.push(b',');
        }
        for piece in &self.query.row.pieces {
            match piece {
                Piece::Literal(bytes) => self.text.extend_from_slice(bytes),
                Piece::Hole(at) => {
                    let column = &self.query.row.columns[*at];
                    if let Err(error) = row.write(*at, column.conversion, &mut self.text) {
                        self.text.truncate(begin);
                        let place = format!("row {}, column \"{}\": ", self.count + 1, column.name);
                        return Err(error.at(place));
                    }
                }
            }
        }
        self.count += 1;
        Ok(())
    }

    /// Whether no further row is wanted: the response is one row, and it is there.
    pub fn is_full(&self) -> bool {
        self.query.body.is_none() && self.count > 0
    }

    /// Bytes that are written so far.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    /// The response, in a coding that the client takes. 404 if one row is wanted and none came.
    pub fn finish(self, accepted: Accepted) -> RenderedResponse {
        let query = self.query;
        if query.body.is_none() && self.count == 0 {
            return query.failed(Status::S404, NO_ROW);
        }
        let plain = self.into_body();
        let (coding, body) = match query.coding(accepted) {
            Coding::Identity => (Coding::Identity, plain),
            chosen => {
                let compressed = coding::compress(chosen, &plain);
                if compressed.len() < plain.len() {
                    (chosen, compressed)
                } else {
                    (Coding::Identity, plain)
                }
            }
        };
        RenderedResponse::new(query.status, JSON, query.fields(), coding, body)
    }

    fn into_body(self) -> Vec<u8> {
        let Some(template) = &self.query.body else { return self.text };
        let mut body = Vec::with_capacity(self.text.len() + ROOM);
        self.write_holes(&template.before, &mut body);
        if template.rows {
            body.push(b'[');
            body.extend_from_slice(&self.text);
            body.push(b']');
        }
        self.write_holes(&template.after, &mut body);
        body
    }

    fn write_holes(&self, pieces: &[Piece<Hole>], out: &mut Vec<u8>) {
        for piece in pieces {
            match piece {
                Piece::Literal(bytes) => out.extend_from_slice(bytes),
                Piece::Hole(Hole::Count) => {
                    out.extend_from_slice(itoa::Buffer::new().format(self.count).as_bytes());
                }
                Piece::Hole(Hole::Parameter(at)) => write_value(&self.bound.values[*at], out),
            }
        }
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => json::write_null(out),
        Value::Integer(value) => json::write_i64(*value, out),
        Value::Number(value) => out.extend_from_slice(value.as_str().as_bytes()),
        Value::Text(text) => json::write_str(text, out),
        Value::Boolean(value) => json::write_bool(*value, out),
        // Checked where the value was bound.
        Value::Json(text) => out.extend_from_slice(text.as_bytes()),
    }
}

const NO_ROW: &str = "404 Not Found";

/// What most responses need at first.
const ROOM: usize = 1024;
