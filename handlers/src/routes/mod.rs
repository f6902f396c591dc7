//! The kinds of routes, one file or folder each.

pub(crate) mod dataset;
pub(crate) mod files;
pub(crate) mod fixed;
pub mod query;
