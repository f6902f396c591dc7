//! A response that was made off the data path, for one request: a head template and a body.
//!
//! Made by control, sent by a core, freed by control: a core holds it in an `Arc` that is never the
//! last. Fields come from the configuration and were measured when the site was built, so a head
//! always fits [`HEAD_OUT_MAX`].

use std::sync::Arc;

use http1::coding::Coding;
use http1::{HEAD_OUT_MAX, HeadContext, Status};

use crate::head::{HeadTemplate, HeadWriter};

/// A rendered response.
#[derive(Clone, derive_more::Debug)]
#[debug("RenderedResponse {{ head: {:?}, body: {} }}", head.text, body.escape_ascii())]
pub struct RenderedResponse {
    head: HeadTemplate,
    body: Arc<[u8]>,
}

impl RenderedResponse {
    /// A response with this Content-Type (none for an empty text), these further fields, and a body
    /// that is already in `coding`. Length, date, server and coding are written by the response itself.
    ///
    /// # Panics
    /// If the head cannot fit [`HEAD_OUT_MAX`]; see [`RenderedResponse::head_len_max`].
    pub fn new<'f>(
        status: Status,
        media_type: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
        coding: Coding,
        body: impl Into<Arc<[u8]>>,
    ) -> Self {
        let body = body.into();
        let head = plan(status, media_type, fields, coding);
        //= RFC 9110 8.6: no Content-Length in a 204; a 304 need not repeat it.
        let head = match status {
            Status::S204 | Status::S304 => head,
            _ => head.field("Content-Length", body.len()),
        };
        assert!(head.len_max() <= HEAD_OUT_MAX, "heads are measured when a site is built");
        Self { head, body }
    }

    /// Bytes of the longest head that [`new`](Self::new) makes of these, whatever the body: at most
    /// [`HEAD_OUT_MAX`], or the response cannot be given.
    pub fn head_len_max<'f>(
        status: Status,
        media_type: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> usize {
        plan(status, media_type, fields, Coding::Gzip).open_length().len_max()
    }

    /// The same response with one more field; the body is shared.
    ///
    /// # Panics
    /// If the head cannot fit [`HEAD_OUT_MAX`].
    #[must_use]
    pub fn with_field(&self, name: &str, value: &str) -> Self {
        let head = self.head.clone().field(name, value);
        assert!(head.len_max() <= HEAD_OUT_MAX, "heads are measured when a site is built");
        Self { head, body: Arc::clone(&self.body) }
    }

    /// Status of the response.
    pub fn status(&self) -> Status {
        self.head.status
    }

    /// The body, in its coding.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The value of the first field line called `name`, as it was given.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.text.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// Writes the complete head; returns its length.
    pub(crate) fn head_into(&self, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        HeadWriter::copy(self.head.text.as_bytes(), self.head.date_at, context, out)
            .finish(context.connection)
    }
}

fn plan<'f>(
    status: Status,
    media_type: &str,
    fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    coding: Coding,
) -> HeadTemplate {
    let head = HeadTemplate::new(status)
        .maybe("Content-Type", Some(media_type).filter(|kind| !kind.is_empty()))
        .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()));
    fields.into_iter().fold(head, |head, (name, value)| head.field(name, value))
}

#[cfg(test)]
mod tests {
    use http1::{Connection, HttpDate};

    use super::*;

    fn head(rendered: &RenderedResponse) -> String {
        let date = HttpDate::from_unix(0);
        let mut out = [0; HEAD_OUT_MAX];
        let context = HeadContext { date: &date, connection: Connection::KeepAlive };
        let len = rendered.head_into(&context, &mut out);
        String::from_utf8(out[..len].to_vec()).expect("ASCII")
    }

    #[test]
    fn an_answer_says_its_length_its_coding_and_its_fields() {
        let fields = [("Vary", "Accept-Encoding"), ("X-A", "1")];
        let one = RenderedResponse::new(Status::S201, "text/css", fields, Coding::Br, &b"body"[..]);
        assert_eq!(
            head(&one),
            "HTTP/1.1 201 Created\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: Pollux\r\n\
             Content-Type: text/css\r\nContent-Encoding: br\r\nVary: Accept-Encoding\r\n\
             X-A: 1\r\nContent-Length: 4\r\nConnection: keep-alive\r\n\r\n"
        );
        let two = one.with_field("X-Cache", "HIT");
        assert_eq!((two.field("x-cache"), one.field("x-cache")), (Some("HIT"), None));
        assert!(Arc::ptr_eq(&one.body, &two.body), "the body is shared");
        let none = RenderedResponse::new(Status::S204, "", [], Coding::Identity, Vec::new());
        assert_eq!((none.field("Content-Length"), none.field("Content-Type")), (None, None));
    }

    #[test]
    fn the_longest_head_is_known_beforehand() {
        let fields = [("X-A", "1")];
        let kind = "application/json";
        let most = RenderedResponse::head_len_max(Status::S503, kind, fields);
        for (coding, body) in [(Coding::Identity, vec![]), (Coding::Gzip, vec![0; 100_000])] {
            let rendered = RenderedResponse::new(Status::S503, kind, fields, coding, body);
            assert!(head(&rendered).len() <= most);
        }
        let long = "x".repeat(HEAD_OUT_MAX - most);
        let line = ["X-B", ": ", "\r\n"].concat().len();
        let fits = [("X-A", "1"), ("X-B", &long[line..])];
        assert_eq!(RenderedResponse::head_len_max(Status::S503, kind, fits), HEAD_OUT_MAX);
    }
}
