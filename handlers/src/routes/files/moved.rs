//! A directory that was asked for without its slash: 301 to the path with it, and with the same query.

use std::fmt::Write;

use http1::coding::Accepted;
use http1::{HEAD_OUT_MAX, HeadAction, Status};

use crate::fields::Fields;
use crate::head::HeadTemplate;
use crate::response::{Content, Response, TEXT};
use crate::route::RouteRequest;
use crate::store::{Body, EntryId, StoreBuilder};
use crate::work::Work;

/// The redirection of one directory.
#[derive(Debug)]
pub(super) struct Moved {
    head: EntryId,
    /// Bytes of the longest query for which the head has room.
    query_len_max: usize,
}

impl Moved {
    /// The redirection to `directory`, a path that ends in a slash, escapes decoded. `None`: its head has no room
    /// for so long a path.
    pub(super) fn compile(
        directory: &str,
        fields: &Fields,
        store: &mut StoreBuilder<'_>,
    ) -> Option<Self> {
        let location = reference(directory);
        let text = format!("301 Moved Permanently: {location}\n");
        let head = HeadTemplate::new(Status::S301)
            .field("Content-Type", TEXT)
            .fields(fields)
            .field("Content-Length", text.len())
            .open_location(&location);
        let query_len_max = HEAD_OUT_MAX.checked_sub(head.len_max())?;
        let head = head.with_query_of(query_len_max);
        let head = store.add(head, Body::Own(text.into_bytes().into())).ok()?;
        Some(Self { head, query_len_max })
    }

    /// Another path, for a request or two of somebody who typed it: apart from the files.
    #[cold]
    pub(super) fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response> {
        let head = self.head;
        if request.query.is_empty() {
            return HeadAction::Respond(Response(Content::Moved { head, query: None }));
        }
        let Some(mut guard) = request.buffers.acquire() else {
            return request.refuse(Status::S503);
        };
        let buffer = guard.buffer_mut();
        buffer.begin(
            request.route as usize,
            [].into_iter(),
            request.query,
            Accepted::IDENTITY_ONLY,
        );
        if buffer.overflows() || request.query.len() > self.query_len_max {
            return request.refuse(Status::S414);
        }
        HeadAction::Respond(Response(Content::Moved { head, query: Some(guard) }))
    }
}

/// A path as a reference has it (RFC 3986 3.3): what may not stand there is escaped.
fn reference(path: &str) -> String {
    let mut reference = String::new();
    for byte in path.bytes() {
        match byte {
            b if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&b) => {
                reference.push(char::from(b));
            }
            b => write!(reference, "%{b:02X}").expect("a String takes everything"),
        }
    }
    reference
}
