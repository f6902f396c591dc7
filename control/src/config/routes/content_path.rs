//! Where the content of a route is.

use std::path::PathBuf;

/// A file or directory that a route is made of; what it is, the kind of the route says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ContentPath {
    /// The key that names it.
    pub(crate) key: &'static str,
    /// As written: a relative path is one of the data directory.
    pub(crate) path: PathBuf,
}
