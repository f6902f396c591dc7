//! A response that was chosen for a request: small, and enough to produce any byte of it again.

mod errors;
mod rendered;

use std::cell::Cell;
use std::sync::Arc;

use crate::request::BufferGuard;
use crate::store::EntryId;

pub(crate) use errors::{AllowResponses, ErrorResponses, TEXT};
pub use rendered::RenderedResponse;

/// A chosen response.
#[derive(derive_more::Debug)]
#[debug("{_0:?}")]
pub struct Response(pub(crate) Content);

#[derive(Debug)]
pub(crate) enum Content {
    /// As it stands in the store.
    Stored(EntryId),
    /// A part of the stored body that goes with this head.
    Part { head: EntryId, first: u64, len: u64 },
    /// A number as text.
    Number { head: EntryId, value: i128 },
    /// The body of a data set, of this length, and how far it was written.
    Rows { route: u32, len: u32, values: Values, cursor: Cell<Cursor> },
    /// A redirection to the same path with a slash, and with the query that the buffer has.
    Moved { head: EntryId, query: Option<BufferGuard> },
    /// Made by control.
    Rendered(Arc<RenderedResponse>),
}

/// A place in the body of a data set from which it can be written on, so that a part costs what is written of
/// it and not what comes before. A memo: any part can be written without it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// The products before it; none: it stands at the start of the body, before anything.
    pub(crate) cuts: u32,
    /// Its offset in the body, in bytes.
    pub(crate) at: u32,
}

/// The values of the parameters of a data set in one request, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Values(pub(crate) [i64; VALUES_MAX]);

impl Values {
    /// The value of the parameter with this index.
    pub(crate) fn of(&self, parameter: u8) -> i64 {
        // No index is that large; that the remainder cannot be spares a check for each product.
        self.0[usize::from(parameter) % VALUES_MAX]
    }
}

/// The most parameters that a data set may have.
pub(crate) const VALUES_MAX: usize = 4;

impl Response {
    /// A response that was made off the data path. The caller keeps a clone of the `Arc` until it
    /// holds the only one: what a core drops is never the last.
    pub fn rendered(rendered: Arc<RenderedResponse>) -> Self {
        Self(Content::Rendered(rendered))
    }

    pub(crate) fn stored(id: EntryId) -> Self {
        Self(Content::Stored(id))
    }
}
