//! The client's side of HTTP/1.1: cuts the bytes of a connection into responses.
//!
//! Independent of `http1` on purpose: one tests the other. It panics on anything malformed, and on what
//! the appliance never sends: a body without a Content-Length, a field with more than one value.

use std::io::Read;

use flate2::read::GzDecoder;
use httparse::{EMPTY_HEADER, Status};

/// Most field lines of a response.
const FIELDS_MAX: usize = 64;

/// One response of the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Three-digit status code.
    pub status: u16,
    /// Field lines in order, names as sent.
    pub fields: Vec<(String, String)>,
    /// Content.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one response from the front of `bytes`, and how many it takes. `None`: not all there yet.
    /// An interim response (1xx) is one too. `to_head`: the request was HEAD, there is no content.
    ///
    /// # Panics
    /// If the bytes cannot be a response, or it has no exact length.
    #[track_caller]
    #[must_use]
    pub fn read(bytes: &[u8], to_head: bool) -> Option<(Self, usize)> {
        let (mut response, head_len) = Self::read_head(bytes)?;
        let end = head_len + response.body_len(to_head);
        response.body = bytes.get(head_len..end)?.to_vec();
        Some((response, end))
    }

    /// How many bytes the response at the front of `bytes` takes, of which its head is there. `None`: not
    /// even that.
    ///
    /// # Panics
    /// As [`read`](Self::read).
    #[track_caller]
    #[must_use]
    pub fn extent(bytes: &[u8], to_head: bool) -> Option<usize> {
        let (response, head_len) = Self::read_head(bytes)?;
        Some(head_len + response.body_len(to_head))
    }

    /// Value of the field called `name`, in any case.
    ///
    /// # Panics
    /// If there are several.
    #[track_caller]
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut found = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let first = found.next();
        assert_eq!(found.next(), None, "{name} is there twice");
        first.map(|(_, value)| &value[..])
    }

    /// Whether the appliance says that it closes the connection.
    #[track_caller]
    #[must_use]
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    /// The content as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[track_caller]
    #[must_use]
    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("content in UTF-8")
    }

    /// The content without its content coding.
    ///
    /// # Panics
    /// If it is not in the coding that Content-Encoding names.
    #[track_caller]
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        decoded(self.field("content-encoding").unwrap_or("identity"), &self.body)
    }

    /// A response without its content, and how long its head is.
    #[track_caller]
    fn read_head(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let head_len = match response.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return None,
            Err(error) => panic!("no response ({error}): {:?}", String::from_utf8_lossy(bytes)),
        };
        assert_eq!(response.version, Some(1), "the appliance speaks HTTP/1.1");
        let text = |value: &[u8]| String::from_utf8(value.to_vec()).expect("field values in UTF-8");
        let fields = response.headers.iter();
        let response = Self {
            status: response.code.expect("a complete head has a status"),
            fields: fields.map(|field| (field.name.to_owned(), text(field.value))).collect(),
            body: Vec::new(),
        };
        Some((response, head_len))
    }

    #[track_caller]
    fn body_len(&self, to_head: bool) -> usize {
        assert_eq!(self.field("transfer-encoding"), None, "responses have a length");
        if to_head || self.status < 200 || self.status == 204 || self.status == 304 {
            return 0;
        }
        let value = self.field("content-length").expect("a response has a Content-Length");
        value.parse().expect("a decimal length")
    }
}

/// The content of `body`, which is in this content coding.
///
/// # Panics
/// If it is not, or the coding is not known here.
#[track_caller]
#[must_use]
pub fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    let read = match coding {
        "identity" => {
            content.extend_from_slice(body);
            Ok(body.len())
        }
        "gzip" => GzDecoder::new(body).read_to_end(&mut content),
        "br" => brotli::Decompressor::new(body, 4_096).read_to_end(&mut content),
        other => panic!("no decoder for the coding {other}"),
    };
    read.unwrap_or_else(|error| panic!("{} bytes are no {coding}: {error}", body.len()));
    content
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_cut_where_they_end() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcHTTP/1.1 ";
        let (first, at) = Response::read(wire, false).expect("an interim response");
        assert_eq!((first.status, at), (100, 25));
        let (second, len) = Response::read(&wire[at..], false).expect("a response");
        assert_eq!((second.status, second.text(), second.closes()), (200, "abc", true));
        assert_eq!(&wire[at + len..], b"HTTP/1.1 ");
        assert_eq!(Response::read(&wire[at + len..], false), None);
        assert_eq!(Response::read(&wire[at..at + len - 1], false), None);
        assert_eq!(Response::extent(&wire[at..at + len - 1], false), Some(len));
    }

    #[test]
    fn a_response_to_head_has_no_content() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1";
        let (response, len) = Response::read(wire, true).expect("a response");
        assert_eq!((response.body.len(), &wire[len..]), (0, &b"HTTP/1.1"[..]));
    }

    #[test]
    #[should_panic(expected = "a response has a Content-Length")]
    fn a_response_without_a_length_is_malformed() {
        let _ = Response::read(b"HTTP/1.1 200 OK\r\n\r\n", false);
    }

    #[test]
    #[should_panic(expected = "responses have a length")]
    fn a_chunked_response_is_malformed() {
        let wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let _ = Response::read(wire, false);
    }

    #[test]
    #[should_panic(expected = "ETag is there twice")]
    fn a_field_that_is_there_twice_has_no_value() {
        let wire = b"HTTP/1.1 204 No Content\r\nETag: \"a\"\r\nEtag: \"b\"\r\n\r\n";
        let (response, _) = Response::read(wire, false).expect("a response");
        let _ = response.field("ETag");
    }

    #[test]
    fn content_is_decoded() {
        // gzip(1) of `abc`: a stored block, CRC-32 and length.
        let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x03\0\xfc\xffabc\xc2\x41\x24\x35\x03\0\0\0";
        let response = Response {
            status: 200,
            fields: vec![("Content-Encoding".into(), "gzip".into())],
            body: gzip.to_vec(),
        };
        assert_eq!(response.plain(), b"abc");
        let mut brotli = Vec::new();
        let parameters = brotli::enc::BrotliEncoderParams::default();
        brotli::BrotliCompress(&mut &b"abc"[..], &mut brotli, &parameters).expect("into memory");
        assert_eq!(decoded("br", &brotli), b"abc");
        assert_eq!(decoded("identity", b"abc"), b"abc");
    }
}
