//! Kinds of response.

mod errors;
mod rendered;

pub(crate) use errors::{AllowResponses, ErrorResponses, TEXT};
pub use rendered::RenderedResponse;
