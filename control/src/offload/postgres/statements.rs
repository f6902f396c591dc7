//! The statements that one connection has prepared, for each site by their texts: what a site runs was never
//! prepared before it was there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use handlers::Site;
use tokio::sync::OnceCell;

use super::prepared::Prepared;
use crate::offload::cache::lock;

/// All statements of a connection.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<Vec<SiteStatements>>);

#[derive(Debug)]
struct SiteStatements {
    site: Weak<Site>,
    by_text: HashMap<Box<str>, Arc<Known>>,
}

/// One statement.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Jobs that come while it is being prepared wait for that.
    pub(super) prepared: OnceCell<Arc<Prepared>>,
    /// The server does not take it; it is asked again from then on.
    refused: Mutex<Option<Instant>>,
}

impl Known {
    /// Whether the server has refused it a moment ago.
    pub(super) fn is_refused(&self) -> bool {
        lock(&self.refused).is_some_and(|until| Instant::now() < until)
    }

    /// The server refuses it.
    pub(super) fn refuse(&self) {
        *lock(&self.refused) = Some(Instant::now() + REFUSED_FOR);
    }
}

impl Statements {
    /// The statement with the text `sql`, for `site`.
    pub(super) fn known(&self, site: &Arc<Site>, sql: &str) -> Arc<Known> {
        let mut sites = lock(&self.0);
        let at = sites.iter().position(|known| is(&known.site, site)).unwrap_or_else(|| {
            sites.retain(|known| known.site.strong_count() > 0);
            sites.push(SiteStatements { site: Arc::downgrade(site), by_text: HashMap::new() });
            sites.len() - 1
        });
        let by_text = &mut sites[at].by_text;
        match by_text.get(sql) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(by_text.entry(sql.into()).or_default()),
        }
    }

    /// Forgets the statement with the text `sql` of `site` if it is still `prepared`.
    pub(super) fn forget(&self, site: &Arc<Site>, sql: &str, prepared: &Arc<Prepared>) {
        let mut sites = lock(&self.0);
        let Some(found) = sites.iter_mut().find(|known| is(&known.site, site)) else { return };
        let is_it = |known: &Arc<Known>| {
            known.prepared.get().is_some_and(|known| Arc::ptr_eq(known, prepared))
        };
        if found.by_text.get(sql).is_some_and(is_it) {
            found.by_text.remove(sql);
        }
    }

    /// Forgets what belongs to other sites than `site`.
    pub(super) fn keep_only(&self, site: &Arc<Site>) {
        lock(&self.0).retain(|known| is(&known.site, site));
    }
}

fn is(known: &Weak<Site>, site: &Arc<Site>) -> bool {
    std::ptr::eq(known.as_ptr(), Arc::as_ptr(site))
}

/// How long a statement that the server does not take is not sent again.
const REFUSED_FOR: Duration = Duration::from_secs(1);
