//! Cached responses: sent again for a while: by route and key, bounded in number and bytes.
//!
//! Owns an `Arc` of each response, as it is sent again (`X-Cache: HIT`). While a response is here it is
//! not registered with the [`RetireList`]; when it goes, it is.
//!
//! A read that was under way while somebody wrote must not leave old data behind. Keys fall into
//! [`STRIPES`] stripes, and each stripe has an epoch. A read carries the epoch it began with in its
//! [`Token`]; its response is stored only if the epoch is still the same. A write moves the epoch on
//! after the database has answered it and before its client is answered. So:
//!
//! - a read that began before and ends after the write is not stored: the epoch has moved;
//! - a read that ended before is stored, and taken out by the write;
//! - a read that began after the write was answered finds the new epoch, and new data.
//!
//! Of several requests for one response that is not here, the first asks the database ([`Found::Miss`]) and the others
//! wait for its response ([`Found::Waiting`]). A request that comes after a write was answered does not wait for a read that
//! began before it: a new read begins beside the old one, which still answers who waits for it. If a read brings
//! no response, the next of those who wait for it asks.
//!
//! Of a write whose answer is lost nobody knows whether the database has done it, or is going to. As long as it may
//! still take effect, what it can change is not cached ([`Found::Uncached`]): see [`Cache::block`].
//!
//! Indices of routes mean something in one site only. Tokens and entries belong to the site they
//! were made for; offloads of an earlier site pass by ([`Found::Uncached`]). Everything about a stripe
//! is under the lock of its shard, so none of this depends on the order of atomics.

mod block;
mod fillings;
mod key;
mod shard;
#[cfg(test)]
mod tests;
mod unknown;

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use handlers::{Invalidation, RenderedResponse, Site};

use super::counters::Counters;
use super::retire_list::RetireList;

pub(crate) use self::fillings::Waiter;
pub(crate) use self::key::Place;
pub(crate) use self::unknown::UnknownWrite;

use self::block::Block;
use self::fillings::{Version, take_expired};
use self::key::{Key, STRIPES};
use self::shard::{Entry, Shard};
use self::unknown::{Part, Scope, UnknownWrites};

/// What the cache has for a request, which is given back unless it waits.
#[derive(Debug)]
pub(crate) enum Found<W> {
    /// A response; the cache keeps it alive.
    Hit(W, Arc<RenderedResponse>),
    /// None, but somebody is about to bring one: the request waits for that.
    Waiting,
    /// None: run the statement, and bring the response with this.
    Miss(W, Token),
    /// None that may be stored: run the statement. The offload is of an earlier site, a write of unknown
    /// outcome may change the response, as many wait as may, or nothing is cached at all.
    Uncached(W),
}

/// The right to store one response, unless something happens to its key meanwhile, and the duty to say what became of
/// it: [`fill`](Cache::fill), [`share`](Cache::share) or [`fail`](Cache::fail).
#[derive(Debug)]
pub(crate) struct Token {
    place: Place,
    version: Version,
    /// Number of the filling.
    filling: u64,
}

/// Who has waited for a response that did not come.
#[derive(Debug)]
pub(crate) struct Failed<W> {
    /// They have no time left.
    pub(crate) expired: Vec<W>,
    /// The one to run its statement now; the others wait for it.
    pub(crate) next: Option<(W, Token)>,
}

/// The cache. `W` is a request.
#[derive(Debug)]
pub(crate) struct Cache<W> {
    shards: Box<[Mutex<Shard<W>>]>,
    hasher: RandomState,
    /// Of one shard.
    entries_max: usize,
    /// Of one shard.
    bytes_max: usize,
    /// Taken before the lock of any shard.
    unknown_writes: Mutex<UnknownWrites>,
    retire_list: Arc<RetireList>,
    counters: Arc<Counters>,
}

impl<W: Waiter> Cache<W> {
    /// A cache of at most `entries_max` responses for `site`.
    pub(crate) fn new(
        entries_max: usize,
        site: &Arc<Site>,
        retire_list: &Arc<RetireList>,
        counters: &Arc<Counters>,
    ) -> Self {
        // A power of two, so that stripes divide evenly; few where each would hold few responses.
        let shards = (entries_max / SHARD_ENTRIES_MIN).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let shard = || Shard::new(address(site), STRIPES / shards);
        Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::new(),
            entries_max: entries_max / shards,
            bytes_max: BYTES_MAX / shards,
            unknown_writes: Mutex::new(UnknownWrites::new(site)),
            retire_list: Arc::clone(retire_list),
            counters: Arc::clone(counters),
        }
    }

    /// The place of the response that `text` tells from others of `route` of `site`.
    pub(crate) fn place(&self, site: &Arc<Site>, route: usize, text: Vec<u8>) -> Place {
        Place { site: address(site), key: self.key(route, text) }
    }

    /// What there is at `place` for `request`. It may wait if `admit` says so.
    pub(crate) fn lookup(
        &self,
        place: Place,
        now: Instant,
        request: W,
        admit: impl FnOnce(&W) -> bool,
    ) -> Found<W> {
        let key = &place.key;
        let (route, stripe) = (key.route, self.stripe(key));
        let mut shard = self.shard(key);
        if shard.site != place.site {
            return Found::Uncached(request);
        }
        let is_blocked = shard.is_blocked(route, stripe, now);
        if is_blocked || self.entries_max == 0 {
            self.counters.cache_misses.up();
            self.counters.cache_blocked.add(is_blocked.into());
            return Found::Uncached(request);
        }
        let version = shard.version(route, stripe);
        if let Some(entry) = shard.entries.to_back(key) {
            if entry.generation == version.generation && now < entry.until {
                self.counters.cache_hits.up();
                return Found::Hit(request, Arc::clone(&entry.response));
            }
            self.remove(&mut shard, key);
        }
        if let Some(waiters) = shard.fillings.waiters(key, version) {
            if !admit(&request) {
                self.counters.cache_misses.up();
                return Found::Uncached(request);
            }
            self.counters.cache_waiting.up();
            waiters.push_back(request);
            return Found::Waiting;
        }
        self.counters.cache_misses.up();
        let filling = shard.fillings.begin(key, version, VecDeque::new());
        drop(shard);
        Found::Miss(request, Token { place, version, filling })
    }

    /// Stores `response` until `until`, unless a write or a reload has overtaken it. Who has waited for it is
    /// to be answered with it.
    pub(crate) fn fill(
        &self,
        token: Token,
        response: Arc<RenderedResponse>,
        until: Instant,
    ) -> VecDeque<W> {
        let Token { place: Place { site, key }, version, filling } = token;
        let bytes = response.body().len() + key.text.len() + ENTRY_BYTES;
        let mut shard = self.shard(&key);
        let waiters = self.end(&mut shard, &key, filling);
        let overtaken =
            shard.site != site || shard.version(key.route, self.stripe(&key)) != version;
        let too_large = bytes > self.bytes_max;
        if overtaken || too_large {
            let why = if overtaken {
                &self.counters.cache_overtaken
            } else {
                &self.counters.cache_too_large
            };
            why.up();
            self.retire_list.keep(response);
            return waiters;
        }
        // It is there where two reads of one key were under way.
        self.remove(&mut shard, &key);
        while shard.entries.len() >= self.entries_max || shard.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = shard.entries.pop_front() else { break };
            self.gone(&mut shard, oldest);
            self.counters.cache_evicted.up();
        }
        shard.entries.insert(key, Entry { response, until, generation: version.generation, bytes });
        shard.bytes += bytes;
        self.counters.cache_stored.up();
        self.counters.cache_entries.up();
        self.counters.cache_bytes.add(bytes as u64);
        waiters
    }

    /// There is a response of the database that is not stored. Who has waited for it is to be answered with it.
    pub(crate) fn share(&self, Token { place, filling, .. }: &Token) -> VecDeque<W> {
        self.end(&mut self.shard(&place.key), &place.key, *filling)
    }

    /// There is no response. It may be called more than once for a token.
    pub(crate) fn fail(&self, token: &Token, now: Instant) -> Failed<W> {
        let Token { place: Place { site, key }, version, filling } = token;
        let (stripe, mut shard) = (self.stripe(key), self.shard(key));
        let mut waiters = self.end(&mut shard, key, *filling);
        let expired = take_expired(&mut waiters, now).collect();
        let is_stored = shard.site == *site && !shard.is_blocked(key.route, stripe, now);
        // Otherwise it stays overtaken.
        let version = if is_stored { shard.version(key.route, stripe) } else { *version };
        if let Some(current) = shard.fillings.waiters(key, version) {
            self.counters.cache_waiting.add(waiters.len() as u64);
            // They came before those who wait there.
            waiters.append(current);
            *current = waiters;
            return Failed { expired, next: None };
        }
        let next = waiters.pop_front().map(|request| {
            self.counters.cache_waiting.add(waiters.len() as u64);
            let filling = shard.fillings.begin(key, version, waiters);
            let place = Place { site: *site, key: key.clone() };
            (request, Token { place, version, filling })
        });
        Failed { expired, next }
    }

    /// Takes the requests that have waited for as long as they may.
    pub(crate) fn take_expired(&self, now: Instant) -> Vec<W> {
        let mut expired = Vec::new();
        if self.counters.cache_waiting.value() > 0 {
            for shard in &self.shards {
                lock(shard).fillings.take_expired(now, &mut expired);
            }
            self.counters.cache_waiting.sub(expired.len() as u64);
        }
        expired
    }

    fn end(&self, shard: &mut Shard<W>, key: &Key, filling: u64) -> VecDeque<W> {
        let waiters = shard.fillings.end(key, filling);
        self.counters.cache_waiting.sub(waiters.len() as u64);
        waiters
    }

    /// A write to `site` was answered by its database: what it makes untrue goes, and what is under
    /// way is not stored. To be called before the client is answered.
    pub(crate) fn invalidate(&self, site: &Arc<Site>, invalids: Vec<Invalidation>) {
        for Invalidation { route, key } in invalids {
            let known = match key {
                Some(text) => self.drop_key(site, route, text),
                None => self.drop_route(site, route),
            };
            if !known {
                // Written through an earlier site, whose routes have other indices.
                return self.drop_all();
            }
        }
    }

    /// The outcome of a write to `site` is not known: what it can change goes, and is not cached again before the
    /// write is given to [`unblock`](Self::unblock) or [`abandon`](Self::abandon).
    pub(crate) fn block(&self, site: &Arc<Site>, invalids: Vec<Invalidation>) -> UnknownWrite {
        let mut unknown = lock(&self.unknown_writes);
        let scope = if address(site) == address(&unknown.site) {
            Scope::Parts(invalids.iter().map(|invalid| self.part(invalid)).collect())
        } else {
            Scope::All
        };
        // In this order: no read can begin between the two and be stored.
        self.each_block(&scope, Block::begin);
        self.invalidate(site, invalids);
        unknown.add(scope)
    }

    /// The database has said what became of `write`.
    pub(crate) fn unblock(&self, write: UnknownWrite) {
        self.settle(write, Block::end);
    }

    /// Nobody will say what became of `write`; after `until` it can have no effect.
    pub(crate) fn abandon(&self, write: UnknownWrite, until: Instant) {
        self.settle(write, |block| {
            block.end();
            block.extend(Some(until));
        });
    }

    /// `site` is served from now on: everything of the site before it goes. Writes of unknown outcome that were made
    /// through that one block everything, for nobody knows what they change of this one.
    pub(crate) fn renew(&self, site: &Arc<Site>) {
        let mut unknown = lock(&self.unknown_writes);
        let widened = unknown.widen();
        let until =
            |shard: &Mutex<Shard<W>>| lock(shard).blocks().filter_map(|block| block.until()).max();
        let until = self.shards.iter().filter_map(until).max();
        for shard in &self.shards {
            let mut shard = lock(shard);
            let mut block = shard.block;
            (0..widened).for_each(|_| block.begin());
            block.extend(until);
            shard.blocks().for_each(|block| *block = Block::default());
            shard.block = block;
            shard.site = address(site);
            self.empty(&mut shard);
        }
        unknown.site = Arc::clone(site);
    }

    fn settle(&self, write: UnknownWrite, change: impl Fn(&mut Block)) {
        let mut unknown = lock(&self.unknown_writes);
        let scope = unknown.remove(write);
        self.each_block(&scope, change);
    }

    fn each_block(&self, scope: &Scope, change: impl Fn(&mut Block)) {
        let shards = || self.shards.iter().map(lock);
        match scope {
            Scope::All => shards().for_each(|mut shard| change(&mut shard.block)),
            Scope::Parts(parts) => parts.iter().for_each(|part| match *part {
                Part::Stripe { shard, stripe } => {
                    change(&mut lock(&self.shards[shard]).stripes[stripe].block);
                }
                Part::Route(route) => {
                    shards().for_each(|mut shard| change(&mut shard.route(route).block));
                }
            }),
        }
    }

    fn part(&self, Invalidation { route, key }: &Invalidation) -> Part {
        match key {
            Some(text) => {
                let key = self.key(*route, text.clone());
                Part::Stripe { shard: key.stripe() % self.shards.len(), stripe: self.stripe(&key) }
            }
            None => Part::Route(*route),
        }
    }

    /// Whether `site` is the one the cache is for.
    fn drop_key(&self, site: &Arc<Site>, route: usize, text: Vec<u8>) -> bool {
        let key = self.key(route, text);
        let mut shard = self.shard(&key);
        if shard.site != address(site) {
            return false;
        }
        shard.stripes[self.stripe(&key)].epoch += 1;
        if self.remove(&mut shard, &key) {
            self.counters.cache_invalidated.up();
        }
        true
    }

    /// Whether `site` is the one the cache is for. The entries stay until they are looked up or have
    /// to make room: going through all of them would hold up every core's offloads.
    fn drop_route(&self, site: &Arc<Site>, route: usize) -> bool {
        self.shards.iter().all(|shard| {
            let mut shard = lock(shard);
            let known = shard.site == address(site);
            if known {
                shard.route(route).generation += 1;
            }
            known
        })
    }

    fn drop_all(&self) {
        self.shards.iter().for_each(|shard| self.empty(&mut lock(shard)));
    }

    /// Everything goes, and what is under way is not stored.
    fn empty(&self, shard: &mut Shard<W>) {
        shard.stripes.iter_mut().for_each(|stripe| stripe.epoch += 1);
        while let Some((_, entry)) = shard.entries.pop_front() {
            self.gone(shard, entry);
            self.counters.cache_invalidated.up();
        }
    }

    /// Whether there was one.
    fn remove(&self, shard: &mut Shard<W>, key: &Key) -> bool {
        let entry = shard.entries.remove(key);
        entry.map(|entry| self.gone(shard, entry)).is_some()
    }

    /// `entry` is out of the shard; workers may still be sending it.
    fn gone(&self, shard: &mut Shard<W>, entry: Entry) {
        shard.bytes -= entry.bytes;
        self.counters.cache_entries.down();
        self.counters.cache_bytes.sub(entry.bytes as u64);
        self.retire_list.keep(entry.response);
    }

    fn key(&self, route: usize, text: Vec<u8>) -> Key {
        let hash = self.hasher.hash_one((route, &text[..]));
        Key { hash, route, text: text.into() }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard<W>> {
        lock(&self.shards[key.stripe() % self.shards.len()])
    }

    /// Index of the stripe within its shard.
    fn stripe(&self, key: &Key) -> usize {
        key.stripe() / self.shards.len()
    }
}

fn address(site: &Arc<Site>) -> usize {
    Arc::as_ptr(site).addr()
}

/// A thread that panics aborts the process: nobody finds a lock poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const SHARDS_MAX: usize = 16;
const SHARD_ENTRIES_MIN: usize = 64;
/// Bodies and keys of all entries: a list route must not fill the memory with 65,536 long responses.
const BYTES_MAX: usize = 256 << 20;
/// What an entry takes besides its body and key: two heads, the map's node.
const ENTRY_BYTES: usize = 512;
const _: () = assert!(STRIPES.is_multiple_of(SHARDS_MAX));
