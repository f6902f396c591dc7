//! Responses without a resource behind them: errors, and what a path allows.

use http1::{Method, Status};

use crate::fields::Fields;
use crate::head::{HeadTemplate, HeadTooLong};
use crate::methods::Methods;
use crate::store::{Body, EntryId, StoreBuilder};

/// The errors that a route can be answered with, all with the extra fields of that route.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ErrorResponses {
    /// The first of them, in the order of [`Status::ALL`].
    first: EntryId,
}

impl ErrorResponses {
    /// Plans one response for each error status. `all` are the methods of the whole site.
    pub(crate) fn plan(
        store: &mut StoreBuilder<'_>,
        fields: &Fields,
        all: Methods,
    ) -> Result<Self, HeadTooLong> {
        let mut first = None;
        for &status in errors() {
            let head = match status {
                Status::S405 => HeadTemplate::new(status).field("Allow", all.allow()),
                Status::S503 => HeadTemplate::new(status).field("Retry-After", RETRY_AFTER_SECS),
                _ => HeadTemplate::new(status),
            };
            let id = error(store, head.fields(fields))?;
            first = first.or(Some(id));
        }
        Ok(Self { first: first.expect("there are errors") })
    }

    /// The response that says `status`; 500 for a status that is no error.
    pub(crate) fn of(self, status: Status) -> EntryId {
        let find = |status| errors().position(|&known| known == status);
        let at = find(status).or_else(|| find(Status::S500)).expect("500 is an error");
        self.first.plus(u32::try_from(at).expect("few"))
    }
}

fn errors() -> impl Iterator<Item = &'static Status> {
    Status::ALL.iter().filter(|status| status.class() >= 4)
}

/// What a path says of its methods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllowResponses {
    /// 204 for OPTIONS; 405 is the next.
    options: EntryId,
}

impl AllowResponses {
    /// Plans the responses of a path that has these methods (RFC 9110 9.1). HEAD is wherever GET is,
    /// OPTIONS is everywhere.
    pub(crate) fn plan(
        store: &mut StoreBuilder<'_>,
        methods: Methods,
    ) -> Result<Self, HeadTooLong> {
        let allow = methods.allow();
        let head = HeadTemplate::new(Status::S204).field("Allow", &allow);
        let options = store.add(head, Body::Empty)?;
        let not_allowed = error(store, HeadTemplate::new(Status::S405).field("Allow", &allow))?;
        assert_eq!(not_allowed, options.plus(1));
        Ok(Self { options })
    }

    /// The response for a method that the path does not have, OPTIONS included.
    pub(crate) fn other_method(self, method: Method) -> EntryId {
        match method {
            Method::Options => self.options,
            _ => self.options.plus(1),
        }
    }
}

/// An error with a short text.
fn error(store: &mut StoreBuilder<'_>, head: HeadTemplate) -> Result<EntryId, HeadTooLong> {
    let status = head.status;
    let text = format!("{} {}\n", status.code(), status.reason());
    let head = head.field("Content-Type", TEXT).field("Content-Length", text.len());
    store.add(head, Body::Own(text.into_bytes().into()))
}

/// Content-Type of short texts.
pub(crate) const TEXT: &str = "text/plain";

/// What an overloaded or draining server asks for (RFC 9110 10.2.3), in seconds.
const RETRY_AFTER_SECS: u32 = 1;
