//! An answer that was made beside the dataplane, for one request: a head template and a body.
//!
//! Made by control, sent by a core, freed by control: a core holds it in an `Arc` that is never the
//! last. Fields come from the configuration and were measured when the site was built, so a head
//! always fits [`HEAD_OUT_MAX`].

use std::fmt;
use std::sync::Arc;

use http1::coding::Coding;
use http1::{HEAD_OUT_MAX, HeadContext, Status};

use crate::head::{HeadPlan, Writer};

/// A rendered answer.
#[derive(Clone)]
pub struct Rendered {
    head: HeadPlan,
    body: Arc<[u8]>,
}

impl Rendered {
    /// An answer with this Content-Type (none for an empty text), these further fields, and a body
    /// that is already in `coding`. Length, date, server and coding are written by the answer itself.
    ///
    /// # Panics
    /// If the head cannot fit [`HEAD_OUT_MAX`]; see [`Rendered::head_len_max`].
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

    /// Octets of the longest head that [`new`](Self::new) makes of these, whatever the body: at most
    /// [`HEAD_OUT_MAX`], or the answer cannot be given.
    pub fn head_len_max<'f>(
        status: Status,
        media_type: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    ) -> usize {
        plan(status, media_type, fields, Coding::Gzip).open_length().len_max()
    }

    /// The same answer with one more field; the body is shared.
    ///
    /// # Panics
    /// If the head cannot fit [`HEAD_OUT_MAX`].
    #[must_use]
    pub fn with_field(&self, name: &str, value: &str) -> Self {
        let head = self.head.clone().field(name, value);
        assert!(head.len_max() <= HEAD_OUT_MAX, "heads are measured when a site is built");
        Self { head, body: Arc::clone(&self.body) }
    }

    /// Status of the answer.
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
        Writer::copy(self.head.text.as_bytes(), self.head.date_at, context, out)
            .finish(context.connection)
    }
}

fn plan<'f>(
    status: Status,
    media_type: &str,
    fields: impl IntoIterator<Item = (&'f str, &'f str)>,
    coding: Coding,
) -> HeadPlan {
    let head = HeadPlan::new(status)
        .maybe("Content-Type", Some(media_type).filter(|kind| !kind.is_empty()))
        .maybe("Content-Encoding", (coding != Coding::Identity).then_some(coding.name()));
    fields.into_iter().fold(head, |head, (name, value)| head.field(name, value))
}

impl fmt::Debug for Rendered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { head, body } = self;
        f.debug_struct("Rendered")
            .field("head", &head.text)
            .field("body", &body.escape_ascii().to_string())
            .finish()
    }
}
