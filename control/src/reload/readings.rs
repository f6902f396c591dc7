//! What statistics say of reloads.

/// The numbers of reloads, and of the site that is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReloadReadings {
    /// Reloads that were done. Several that were asked for at once count as one.
    pub(crate) reloads: u64,
    /// Reloads that were refused.
    pub(crate) reloads_refused: u64,
    /// Snapshots that were replaced and that somebody still has something of, now.
    pub(crate) sites_retired: u64,
    /// Static files of the site that is served.
    pub(crate) files_served: u64,
    /// Names in its directories that are not: no file that can be served (`files.unreadable = "skip"`).
    pub(crate) files_skipped: u64,
    /// Links among these, which `files.links` does not allow.
    pub(crate) links_refused: u64,
    /// Names in its directories that begin with a dot (`files.dot_names`).
    pub(crate) names_hidden: u64,
}
