//! What a response is cached under, and where in the cache that is.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Route and parameters of a cached response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// Of the rest, keyed: a client cannot choose where its requests fall.
    pub(super) hash: u64,
    /// Index of the route.
    pub(super) route: usize,
    /// What tells its responses apart.
    pub(super) text: Arc<[u8]>,
}

/// Where a response may be cached.
#[derive(Debug)]
pub(crate) struct Place {
    /// Address of the site that was asked. Whoever asks keeps it alive, so nobody else can be there.
    pub(super) site: usize,
    /// Of the response.
    pub(super) key: Key,
}

impl Key {
    /// The stripe among all. The map of a shard uses other bits of the hash.
    pub(super) fn stripe(&self) -> usize {
        usize::try_from(self.hash >> 32).expect("32 bits") % STRIPES
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Passes on a hash that was made before.
#[derive(Debug, Default)]
pub(super) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key has one hash of 64 bits");
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Fixed, and far more than reads that are under way at once.
pub(super) const STRIPES: usize = 1024;
