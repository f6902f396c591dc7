//! Reads that are under way to fill the cache, and the requests that wait for their responses: while one asks the
//! database for a response, others for the same one do not.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasherDefault;
use std::time::Instant;

use super::key::{Hashed, Key};

/// A request that can wait for the response to another one.
pub(crate) trait Waiter {
    /// How long.
    fn deadline(&self) -> Instant;
}

/// What changes when a response is overtaken by a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// Of the stripe.
    pub(super) epoch: u64,
    /// Of the route.
    pub(super) generation: u64,
}

/// The reads under way of one shard.
#[derive(Debug)]
pub(super) struct Fillings<W> {
    /// Of each key at most one for each version.
    by_key: HashMap<Key, Vec<Filling<W>>, BuildHasherDefault<Hashed>>,
    next: u64,
}

#[derive(Debug)]
struct Filling<W> {
    number: u64,
    version: Version,
    /// Oldest first.
    waiters: VecDeque<W>,
}

impl<W: Waiter> Fillings<W> {
    /// No reads.
    pub(super) fn new() -> Self {
        Self { by_key: HashMap::default(), next: 0 }
    }

    /// Who waits for the read of `key` that has begun in this version.
    pub(super) fn waiters(&mut self, key: &Key, version: Version) -> Option<&mut VecDeque<W>> {
        let fillings = self.by_key.get_mut(key)?.iter_mut();
        let mut current = fillings.filter(|filling| filling.version == version);
        current.next().map(|filling| &mut filling.waiters)
    }

    /// A read of `key` begins, for which these wait; its number.
    pub(super) fn begin(&mut self, key: &Key, version: Version, waiters: VecDeque<W>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_key.entry(key.clone()).or_default().push(Filling { number, version, waiters });
        number
    }

    /// The read with this number has ended: who has waited for it. Nobody if it has ended before.
    pub(super) fn end(&mut self, key: &Key, number: u64) -> VecDeque<W> {
        let Some(fillings) = self.by_key.get_mut(key) else { return VecDeque::new() };
        let at = fillings.iter().position(|filling| filling.number == number);
        let waiters = at.map(|at| fillings.swap_remove(at).waiters).unwrap_or_default();
        if fillings.is_empty() {
            self.by_key.remove(key);
        }
        waiters
    }

    /// Takes those who have no time left.
    pub(super) fn take_expired(&mut self, now: Instant, expired: &mut Vec<W>) {
        for filling in self.by_key.values_mut().flatten() {
            expired.extend(take_expired(&mut filling.waiters, now));
        }
    }
}

/// Takes those who have no time left: requests for one key have the same time, so the oldest have the least.
pub(super) fn take_expired<W: Waiter>(
    waiters: &mut VecDeque<W>,
    now: Instant,
) -> impl Iterator<Item = W> {
    let count = waiters.iter().take_while(|waiter| waiter.deadline() <= now).count();
    waiters.drain(..count)
}
