//! The writes of unknown outcome: sent to the database, and not answered by it.

use std::collections::HashMap;
use std::sync::Arc;

use handlers::Site;

/// A write of unknown outcome.
#[derive(Debug)]
#[must_use = "what it can change is never cached again"]
pub(crate) struct UnknownWrite(u64);

/// All of them, and the site that the cache is for.
#[derive(Debug)]
pub(super) struct UnknownWrites {
    /// Held so that its address stays its own.
    pub(super) site: Arc<Site>,
    next: u64,
    open: HashMap<u64, Scope>,
}

/// What a write can change.
#[derive(Debug)]
pub(super) enum Scope {
    /// It was made through an earlier site, whose routes have other indices.
    All,
    /// Parts of the cache.
    Parts(Vec<Part>),
}

/// A part of the cache.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    /// The keys of one stripe: its indices.
    Stripe {
        /// Among all.
        shard: usize,
        /// Within the shard.
        stripe: usize,
    },
    /// The route with this index.
    Route(usize),
}

impl UnknownWrites {
    /// None, while `site` is served.
    pub(super) fn new(site: &Arc<Site>) -> Self {
        Self { site: Arc::clone(site), next: 0, open: HashMap::new() }
    }

    /// One more, which can change this.
    pub(super) fn add(&mut self, scope: Scope) -> UnknownWrite {
        let number = self.next;
        self.next += 1;
        self.open.insert(number, scope);
        UnknownWrite(number)
    }

    /// One less: what it can change.
    pub(super) fn remove(&mut self, UnknownWrite(number): UnknownWrite) -> Scope {
        self.open.remove(&number).expect("a write is settled once")
    }

    /// Each of them can change everything from now on; how many were bound to parts before.
    pub(super) fn widen(&mut self) -> usize {
        let scopes = self.open.values_mut().map(|scope| std::mem::replace(scope, Scope::All));
        scopes.filter(|scope| matches!(scope, Scope::Parts(_))).count()
    }
}
