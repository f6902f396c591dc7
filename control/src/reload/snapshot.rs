//! Snapshots: what the workers serve with, and those they served with before.
//!
//! A worker never frees memory. Of every site that one holds, a snapshot keeps a count of its
//! own; a snapshot that was replaced goes on the [`RetiredSnapshots`] and stays there until the counts of the
//! workers are gone, and with them those of whoever still completes an offload of its site.

use std::sync::Arc;

use handlers::{RequestBufferPool, SiteHandle, Traffic};

use crate::content::Content;

/// A site, and a handle of it for each worker.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// What is served.
    pub(crate) content: Content,
    /// One for each worker, in their order.
    pub(crate) site_handles: Vec<Arc<SiteHandle>>,
}

impl Snapshot {
    /// A handle of `content`'s site for each worker; `request_buffers` are theirs.
    pub(crate) fn new(content: Content, request_buffers: &[Arc<RequestBufferPool>]) -> Self {
        let site_handle = |request_buffers: &Arc<RequestBufferPool>| {
            Arc::new(SiteHandle::new(Arc::clone(&content.site), Arc::clone(request_buffers)))
        };
        let site_handles = request_buffers.iter().map(site_handle).collect();
        Self { content, site_handles }
    }

    /// What each worker counts its requests in.
    pub(crate) fn traffic(&self) -> Vec<Arc<Traffic>> {
        self.site_handles.iter().map(|site_handle| Arc::clone(site_handle.traffic())).collect()
    }

    /// Gives up the site handles that no worker has any more. Whether nobody has anything of this.
    fn is_done(&mut self) -> bool {
        // A count of one is ours, and nobody can make another from it.
        self.site_handles.retain(|site_handle| Arc::strong_count(site_handle) > 1);
        self.site_handles.is_empty() && Arc::strong_count(&self.content.site) == 1
    }
}

/// Snapshots that were replaced.
#[derive(Debug, Default)]
pub(crate) struct RetiredSnapshots(Vec<Snapshot>);

impl RetiredSnapshots {
    /// Keeps `snapshot` until nobody has anything of it.
    pub(crate) fn put(&mut self, snapshot: Snapshot) {
        self.0.push(snapshot);
    }

    /// Takes out those that nobody has anything of any more. Dropping them gives their memory back,
    /// which may take a while.
    pub(crate) fn sweep(&mut self) -> Vec<Snapshot> {
        self.0.extract_if(.., Snapshot::is_done).collect()
    }

    /// How many are here.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::snapshot;
    use super::*;

    #[test]
    fn every_worker_has_an_edition_of_one_site() {
        let snapshot = snapshot(3);
        assert_eq!(snapshot.site_handles.len(), 3);
        for site_handle in &snapshot.site_handles {
            assert!(Arc::ptr_eq(site_handle.site(), &snapshot.content.site));
        }
    }

    #[test]
    fn a_snapshot_stays_as_long_as_anybody_has_something_of_it() {
        let snapshot = snapshot(2);
        let held: Vec<_> = snapshot.site_handles.iter().map(Arc::clone).collect();
        let site = Arc::clone(&snapshot.content.site);
        let mut retired_snapshots = RetiredSnapshots::default();
        retired_snapshots.put(snapshot);
        assert_eq!(retired_snapshots.sweep().len(), 0, "both workers have theirs");
        let mut held = held.into_iter();
        drop(held.next());
        assert_eq!(retired_snapshots.sweep().len(), 0, "one worker has its own");
        drop(held);
        assert_eq!(retired_snapshots.sweep().len(), 0, "an offload of the site is under way");
        assert_eq!(retired_snapshots.len(), 1);
        drop(site);
        assert_eq!(retired_snapshots.sweep().len(), 1);
        assert_eq!(retired_snapshots.len(), 0);
    }

    #[test]
    fn an_old_snapshot_does_not_hold_up_a_newer_one() {
        let mut retired_snapshots = RetiredSnapshots::default();
        let (old, new) = (snapshot(1), snapshot(1));
        let held = Arc::clone(&old.site_handles[0]);
        retired_snapshots.put(old);
        retired_snapshots.put(new);
        assert_eq!(retired_snapshots.sweep().len(), 1);
        assert_eq!(retired_snapshots.len(), 1);
        drop(held);
        assert_eq!(retired_snapshots.sweep().len(), 1);
    }
}
