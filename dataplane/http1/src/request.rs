//! A request head, as a service sees it: already valid, framing and Host included.

use httparse::Header;

use crate::{Method, Target};

/// One request head. Everything borrows the bytes it arrived in.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    pub(crate) method: Method,
    pub(crate) target: Target<'a>,
    pub(crate) version: Version,
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) body_len: BodyLen,
    pub(crate) fields: &'a [Header<'a>],
}

impl<'a> Request<'a> {
    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Path and query, or `*`.
    pub fn target(&self) -> Target<'a> {
        self.target
    }

    /// The version to answer in the spirit of: 1.2 and later count as 1.1 (RFC 9110 2.5).
    pub fn version(&self) -> Version {
        self.version
    }

    /// The authority asked for, `host [":" port]` as sent: that of an absolute-form target, else
    /// the Host field (RFC 9112 3.2.2). `None` only in HTTP/1.0. May be empty.
    pub fn host(&self) -> Option<&'a [u8]> {
        self.host
    }

    /// How the body is framed.
    pub fn body_len(&self) -> BodyLen {
        self.body_len
    }

    /// Value of the first field line called `name` (any case), whitespace around it trimmed.
    pub fn field(&self, name: &str) -> Option<&'a [u8]> {
        self.fields(name).next()
    }

    /// Values of all field lines called `name` (any case), in order, each as in
    /// [`field`](Self::field).
    pub fn fields<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name))
            .map(|field| field.value)
    }
}

/// Version of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: the connection closes unless the client asked to keep it.
    Http10,
    /// HTTP/1.1 and any later minor version.
    Http11,
}

/// Framing of a request body (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLen {
    /// Neither Content-Length nor Transfer-Encoding: there is no body.
    None,
    /// Content-Length, in bytes; perhaps 0.
    Length(u64),
    /// Transfer-Encoding: chunked. The length is known when the body has ended.
    Chunked,
}
