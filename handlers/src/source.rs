//! The files that a [`SiteConfig`](crate::SiteConfig) carries, already read by whoever may do I/O.
//!
//! Nothing here is checked: [`Site::build`](crate::Site::build) does that once, and only the
//! checked form reaches the dataplane.

/// A value and the name by which error messages call it (usually the path of a file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T> {
    /// What an operator would recognise, such as `/data/dataset.json`.
    pub name: String,
    /// The value itself.
    pub value: T,
}

/// One static file with the content-coded siblings that were found beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// Path below the directory, segments separated by `/` and not percent-encoded: `app.js` of the
    /// route `/static/` is served as `/static/app.js`.
    pub name: String,
    /// Content, identity coding.
    pub bytes: Vec<u8>,
    /// Time of last modification, seconds since 1970-01-01T00:00:00Z. The caller sees to it that it
    /// is not in the future (RFC 9110 8.8.2.1).
    pub modified_unix: u64,
    /// Content of the `.br` sibling (RFC 7932), if there is one.
    pub brotli: Option<Vec<u8>>,
    /// Content of the `.gz` sibling (RFC 1952), if there is one.
    pub gzip: Option<Vec<u8>>,
}

/// Memory that a site lives in: hugepages in the appliance, a `Vec<u8>` in tests.
pub trait Bytes: AsRef<[u8]> + AsMut<[u8]> + Send + Sync {}

impl<T: AsRef<[u8]> + AsMut<[u8]> + Send + Sync> Bytes for T {}
