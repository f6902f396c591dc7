//! Heads of responses: built once as templates with a `Date` slot, completed per response.
//!
//! A template ends after a field line, or in the middle of one whose value is known only per response;
//! whoever completes it adds what is missing, the `Connection` line and the empty line.
//! Invariant, proven by [`HeadTemplate::len_max`] when a site is built: no head exceeds `HEAD_OUT_MAX`.

use std::fmt::{Display, Write};

use http1::{Connection, HEAD_OUT_MAX, HeadContext, HttpDate, Status};

use crate::error::{RouteErrorKind, SettingError};
use crate::fields::Fields;

/// A head while it is being built.
#[derive(Clone, Debug)]
pub(crate) struct HeadTemplate {
    pub(crate) status: Status,
    pub(crate) text: String,
    /// Offset of the date bytes.
    pub(crate) date_at: usize,
    /// Bytes that completing the head may add, `Connection` and the empty line left out.
    open_len_max: usize,
}

impl HeadTemplate {
    /// Status line, `Date` and `Server`.
    pub(crate) fn new(status: Status) -> Self {
        let mut text = format!("HTTP/1.1 {} {}\r\nDate: ", status.code(), status.reason());
        let date_at = text.len();
        text.push_str(DATE_PLACEHOLDER);
        text.push_str("\r\nServer: Pollux\r\n");
        Self { status, text, date_at, open_len_max: 0 }
    }

    /// Adds a field line.
    pub(crate) fn field(mut self, name: &str, value: impl Display) -> Self {
        assert_eq!(self.open_len_max, 0, "nothing can follow an open end");
        write!(self.text, "{name}: {value}\r\n").expect("a String takes everything");
        self
    }

    /// Adds a field line if there is a value.
    pub(crate) fn maybe(self, name: &str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Adds the extra fields of a route.
    pub(crate) fn fields(self, fields: &Fields) -> Self {
        fields.iter().fold(self, |head, (name, value)| head.field(name, value))
    }

    /// Ends the template in the middle of a `Content-Length` line: [`HeadWriter::number_line`] goes on.
    pub(crate) fn open_length(mut self) -> Self {
        self.text.push_str("Content-Length: ");
        self.open_len_max = U64_LEN_MAX + CRLF.len();
        self
    }

    /// Ends the template in the middle of a `Content-Range` line: [`HeadWriter::range_lines`] goes on.
    pub(crate) fn open_range(mut self) -> Self {
        self.text.push_str("Content-Range: bytes ");
        let marks = b"-/".len() + CRLF.len() + CONTENT_LENGTH.len() + CRLF.len();
        self.open_len_max = 4 * U64_LEN_MAX + marks;
        self
    }

    /// Ends the template in the middle of a `Location` line: [`HeadWriter::location_line`] goes on.
    pub(crate) fn open_location(mut self, reference: &str) -> Self {
        self.text.push_str("Location: ");
        self.text.push_str(reference);
        self.open_len_max = b"?".len() + CRLF.len();
        self
    }

    /// With room for a query of so many bytes in the line that is open.
    pub(crate) fn with_query_of(mut self, bytes: usize) -> Self {
        self.open_len_max += bytes;
        self
    }

    /// Proves that no head made of this template is too long.
    pub(crate) fn check(&self) -> Result<(), HeadTooLong> {
        match self.len_max() {
            len if len > HEAD_OUT_MAX => Err(HeadTooLong(len)),
            _ => Ok(()),
        }
    }

    /// Bytes of the longest head that this template can become.
    pub(crate) fn len_max(&self) -> usize {
        self.text.len() + self.open_len_max + Connection::FIELD_LINE_MAX + CRLF.len()
    }
}

/// A head of so many bytes is longer than [`HEAD_OUT_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadTooLong(pub(crate) usize);

impl From<HeadTooLong> for RouteErrorKind {
    fn from(HeadTooLong(found): HeadTooLong) -> Self {
        let problem = format!("a response has a head of {found} bytes, {HEAD_OUT_MAX} at most fit");
        SettingError::new("headers", "", problem, "shorten or leave out some fields").into()
    }
}

/// Completes one head in the room given to it.
#[derive(Debug)]
pub(crate) struct HeadWriter<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl<'o> HeadWriter<'o> {
    /// Copies a template and puts the date into its slot.
    pub(crate) fn copy(
        template: &[u8],
        date_at: usize,
        context: &HeadContext<'_>,
        out: &'o mut [u8],
    ) -> Self {
        out[..template.len()].copy_from_slice(template);
        out[date_at..date_at + DATE_PLACEHOLDER.len()].copy_from_slice(context.date.as_bytes());
        Self { out, len: template.len() }
    }

    /// The rest of a `Content-Length` line.
    pub(crate) fn number_line(&mut self, value: u64) -> &mut Self {
        self.number(value).push(CRLF)
    }

    /// The rest of a `Content-Range` line for `len` bytes from `first` of `whole`, and the
    /// `Content-Length` line (RFC 9110 14.4).
    pub(crate) fn range_lines(&mut self, first: u64, len: u64, whole: u64) -> &mut Self {
        debug_assert!(len > 0 && first + len <= whole);
        self.number(first).push(b"-").number(first + len - 1).push(b"/").number(whole).push(CRLF);
        self.push(CONTENT_LENGTH).number(len).push(CRLF)
    }

    /// The rest of a `Location` line, with this query unless it is empty.
    pub(crate) fn location_line(&mut self, query: &[u8]) -> &mut Self {
        if !query.is_empty() {
            self.push(b"?").push(query);
        }
        self.push(CRLF)
    }

    /// The `Connection` line and the empty line; returns the length of the head.
    pub(crate) fn finish(&mut self, connection: Connection) -> usize {
        if connection != Connection::Implicit {
            self.push(connection.field_line());
        }
        self.push(CRLF).len
    }

    fn number(&mut self, value: u64) -> &mut Self {
        self.push(itoa::Buffer::new().format(value).as_bytes())
    }

    fn push(&mut self, text: &[u8]) -> &mut Self {
        self.out[self.len..self.len + text.len()].copy_from_slice(text);
        self.len += text.len();
        self
    }
}

/// What stands in the slot until a response is written.
const DATE_PLACEHOLDER: &str = "Thu, 01 Jan 1970 00:00:00 GMT";
const _: () = assert!(DATE_PLACEHOLDER.len() == HttpDate::LEN, "the slot must fit every date");
const CRLF: &[u8; 2] = b"\r\n";
const CONTENT_LENGTH: &[u8; 16] = b"Content-Length: ";
const U64_LEN_MAX: usize = 20;
