//! What the protocol passes to a service that is to write the head of a response.

use crate::HttpDate;

/// No head of a response is longer than this, in bytes, from status line to empty line.
pub const HEAD_OUT_MAX: usize = 1024;

/// The fields of a response that the service cannot know: they depend on now and on the connection.
#[derive(Debug, Clone, Copy)]
pub struct HeadContext<'a> {
    /// For the `Date` field (RFC 9110 6.6.1).
    pub date: &'a HttpDate,
    /// What the head has to say of the connection.
    pub connection: Connection,
}

/// What becomes of the connection after a response, and how the head says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// It persists and nothing need be said: HTTP/1.1 (RFC 9112 9.3).
    Implicit,
    /// It ends with this response (RFC 9112 9.6).
    Close,
    /// It persists because an HTTP/1.0 client asked for it (RFC 9112 C.2.2).
    KeepAlive,
}

impl Connection {
    /// The longest of the lines of [`field_line`](Self::field_line), in bytes.
    pub const FIELD_LINE_MAX: usize = b"Connection: keep-alive\r\n".len();

    /// The field line that says it, CRLF included. Empty for [`Implicit`](Self::Implicit).
    pub const fn field_line(self) -> &'static [u8] {
        match self {
            Self::Implicit => b"",
            Self::Close => b"Connection: close\r\n",
            Self::KeepAlive => b"Connection: keep-alive\r\n",
        }
    }
}
