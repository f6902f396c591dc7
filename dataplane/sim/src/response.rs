//! The client's side of HTTP/1.1: cuts the bytes of a connection into responses.
//!
//! Independent of `http1` on purpose: one tests the other. It panics on anything malformed.

use httparse::{EMPTY_HEADER, Status};

/// Most field lines of a response.
const FIELDS_MAX: usize = 64;

/// One response of the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Three-digit status code.
    pub status: u16,
    /// Field lines in order, names as sent.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Content.
    pub body: Vec<u8>,
}

impl Response {
    /// Reads one response from the front of `bytes`, and how many it takes. `None`: not all there yet.
    /// An interim response (1xx) is a response too. `to_head`: the request was HEAD, there is no content.
    ///
    /// # Panics
    /// If the bytes cannot be a response, or it has no exact length.
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
    pub fn extent(bytes: &[u8], to_head: bool) -> Option<usize> {
        let (response, head_len) = Self::read_head(bytes)?;
        Some(head_len + response.body_len(to_head))
    }

    /// Value of the first field called `name`, in any case.
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &value[..])
    }

    /// Whether the appliance says that it closes the connection.
    pub fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
    }

    /// A response without its content, and how long its head is.
    fn read_head(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut fields = [EMPTY_HEADER; FIELDS_MAX];
        let mut response = httparse::Response::new(&mut fields);
        let head_len = match response.parse(bytes) {
            Ok(Status::Complete(len)) => len,
            Ok(Status::Partial) => return None,
            Err(error) => panic!("no response ({error}): {:?}", String::from_utf8_lossy(bytes)),
        };
        let response = Self {
            status: response.code.expect("a complete head has a status"),
            fields: response
                .headers
                .iter()
                .map(|field| (field.name.to_owned(), field.value.to_vec()))
                .collect(),
            body: Vec::new(),
        };
        Some((response, head_len))
    }

    fn body_len(&self, to_head: bool) -> usize {
        assert!(self.field("transfer-encoding").is_none(), "answers have a length");
        if to_head || self.status < 200 || self.status == 204 || self.status == 304 {
            return 0;
        }
        let value = self.field("content-length").expect("an response has a Content-Length");
        str::from_utf8(value).ok().and_then(|text| text.parse().ok()).expect("a decimal length")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_cut_where_they_end() {
        let wire = b"HTTP/1.1 100 Continue\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabcHTTP/1.1 ";
        let (first, at) = Response::read(wire, false).expect("an interim response");
        assert_eq!((first.status, at), (100, 25));
        let (second, len) = Response::read(&wire[at..], false).expect("an response");
        assert_eq!((second.status, &second.body[..], second.closes()), (200, &b"abc"[..], true));
        assert_eq!(&wire[at + len..], b"HTTP/1.1 ");
        assert_eq!(Response::read(&wire[at + len..], false), None);
        assert_eq!(Response::read(&wire[at..at + len - 1], false), None);
    }

    #[test]
    fn an_answer_to_head_has_no_content() {
        let wire = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1";
        let (response, len) = Response::read(wire, true).expect("an response");
        assert_eq!((response.body.len(), &wire[len..]), (0, &b"HTTP/1.1"[..]));
    }
}
