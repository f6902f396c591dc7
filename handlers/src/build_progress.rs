//! How far the making of a site is: whoever makes it writes it, whoever waits reads it, and may cancel it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::config::{Kind, RouteConfig};
use crate::error::RouteErrorKind;

/// The progress of one [`Site::build_watched`](crate::Site::build_watched), shared by reference between threads.
#[derive(Debug, Default)]
pub struct BuildProgress {
    files: AtomicU64,
    bytes: AtomicU64,
    files_total: AtomicU64,
    bytes_total: AtomicU64,
    cancelled: AtomicBool,
}

/// How far it is at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BuildReadings {
    /// Files that are checked, and coded where that is wanted: static files, fixed bodies and data sets.
    pub files: u64,
    /// Their bytes, before any coding.
    pub bytes: u64,
    /// All files of the site; 0 before it is begun.
    pub files_total: u64,
    /// Bytes of all of them.
    pub bytes_total: u64,
}

impl BuildProgress {
    /// How far it is now.
    pub fn readings(&self) -> BuildReadings {
        let value = |number: &AtomicU64| number.load(Ordering::Relaxed);
        BuildReadings {
            files: value(&self.files),
            bytes: value(&self.bytes),
            files_total: value(&self.files_total),
            bytes_total: value(&self.bytes_total),
        }
    }

    /// Nobody wants the site any more: its making ends with [`BuildError::Cancelled`](crate::BuildError::Cancelled)
    /// at the next file, or in the middle of a long one.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether nobody wants it any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// An error once nobody wants it any more.
    pub(crate) fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// A site of these routes is begun.
    pub(crate) fn begin(&self, routes: &[RouteConfig]) {
        let sizes = || routes.iter().flat_map(sizes);
        self.files_total.store(sizes().count() as u64, Ordering::Relaxed);
        self.bytes_total.store(sizes().map(|bytes| bytes as u64).sum(), Ordering::Relaxed);
    }

    /// A file of so many bytes is done.
    pub(crate) fn has_made(&self, bytes: usize) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The site is wanted no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cancelled;

impl From<Cancelled> for RouteErrorKind {
    fn from(Cancelled: Cancelled) -> Self {
        Self::Cancelled
    }
}

/// The files of a route, in bytes each.
fn sizes(route: &RouteConfig) -> Vec<usize> {
    match &route.kind {
        Kind::Fixed(fixed) => vec![fixed.body.len()],
        Kind::Files(config) => config.files.iter().map(|file| file.bytes.len()).collect(),
        Kind::Dataset(dataset) => vec![dataset.items.value.len()],
        Kind::Redirect(_) | Kind::Sum | Kind::Count | Kind::Query(_) => Vec::new(),
    }
}
