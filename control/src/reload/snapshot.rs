//! Snapshots: what the workers serve with, and those they served with before.
//!
//! A worker never frees memory. Of every edition that is lent to one, a snapshot keeps a count of its
//! own; a snapshot that was replaced goes on the [`Shelf`] and stays there until the counts of the
//! workers are gone, and with them those of whoever still answers an ask of its site.

use std::sync::Arc;

use handlers::{RequestBufferPool, SiteHandle, Traffic};

use crate::content::Content;

/// A site, and an edition of it for each worker.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// What is served.
    pub(crate) content: Content,
    /// One for each worker, in their order.
    pub(crate) editions: Vec<Arc<SiteHandle>>,
}

impl Snapshot {
    /// An edition of `content` for each worker; `forms` are theirs.
    pub(crate) fn new(content: Content, forms: &[Arc<RequestBufferPool>]) -> Self {
        let edition = |forms: &Arc<RequestBufferPool>| {
            Arc::new(SiteHandle::new(Arc::clone(&content.site), Arc::clone(forms)))
        };
        let editions = forms.iter().map(edition).collect();
        Self { content, editions }
    }

    /// What each worker counts its requests in.
    pub(crate) fn traffic(&self) -> Vec<Arc<Traffic>> {
        self.editions.iter().map(|edition| Arc::clone(edition.traffic())).collect()
    }

    /// Gives up the editions that no worker has any more. Whether nobody has anything of this.
    fn is_done(&mut self) -> bool {
        // A count of one is ours, and nobody can make another from it.
        self.editions.retain(|edition| Arc::strong_count(edition) > 1);
        self.editions.is_empty() && Arc::strong_count(&self.content.site) == 1
    }
}

/// Snapshots that were replaced.
#[derive(Debug, Default)]
pub(crate) struct Shelf(Vec<Snapshot>);

impl Shelf {
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
        assert_eq!(snapshot.editions.len(), 3);
        for edition in &snapshot.editions {
            assert!(Arc::ptr_eq(edition.site(), &snapshot.content.site));
        }
    }

    #[test]
    fn a_snapshot_stays_as_long_as_anybody_has_something_of_it() {
        let snapshot = snapshot(2);
        let lent: Vec<_> = snapshot.editions.iter().map(Arc::clone).collect();
        let site = Arc::clone(&snapshot.content.site);
        let mut shelf = Shelf::default();
        shelf.put(snapshot);
        assert_eq!(shelf.sweep().len(), 0, "both workers have theirs");
        let mut lent = lent.into_iter();
        drop(lent.next());
        assert_eq!(shelf.sweep().len(), 0, "one worker has its own");
        drop(lent);
        assert_eq!(shelf.sweep().len(), 0, "an ask of the site is under way");
        assert_eq!(shelf.len(), 1);
        drop(site);
        assert_eq!(shelf.sweep().len(), 1);
        assert_eq!(shelf.len(), 0);
    }

    #[test]
    fn an_old_snapshot_does_not_hold_up_a_newer_one() {
        let mut shelf = Shelf::default();
        let (old, new) = (snapshot(1), snapshot(1));
        let held = Arc::clone(&old.editions[0]);
        shelf.put(old);
        shelf.put(new);
        assert_eq!(shelf.sweep().len(), 1);
        assert_eq!(shelf.len(), 1);
        drop(held);
        assert_eq!(shelf.sweep().len(), 1);
    }
}
