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
//! Indices of routes mean something in one site only. Tokens and entries belong to the site they
//! were made for; offloads of an earlier site pass by ([`Found::OtherSite`]). Everything about a stripe
//! is under the lock of its shard, so none of this depends on the order of atomics.

use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use handlers::{Invalidation, RenderedResponse, Site};
use hashlink::LinkedHashMap;

use super::counters::Counters;
use super::retire_list::RetireList;

/// What the cache has for a key.
#[derive(Debug)]
pub(crate) enum Found {
    /// A response; the cache keeps it alive.
    Hit(Arc<RenderedResponse>),
    /// None: run the statement, and bring the response with this.
    Miss(Token),
    /// The offload is of an earlier site: run the statement, store nothing.
    OtherSite,
}

/// The right to store one response, unless something happens to its key meanwhile.
#[derive(Debug)]
pub(crate) struct Token {
    /// Address of the site. The offload keeps the site alive, so nobody else can be there.
    site: usize,
    key: Key,
    epoch: u64,
    generation: u64,
}

/// The cache.
#[derive(Debug)]
pub(crate) struct Cache {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    /// Of one shard.
    entries_max: usize,
    /// Of one shard.
    bytes_max: usize,
    /// The current site's. Held so that its address stays its own.
    site: Mutex<Arc<Site>>,
    retire_list: Arc<RetireList>,
    counters: Arc<Counters>,
}

impl Cache {
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
        let shard =
            || Shard { site: address(site), epochs: vec![0; STRIPES / shards], ..Shard::default() };
        Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher: RandomState::new(),
            entries_max: entries_max / shards,
            bytes_max: BYTES_MAX / shards,
            site: Mutex::new(Arc::clone(site)),
            retire_list: Arc::clone(retire_list),
            counters: Arc::clone(counters),
        }
    }

    /// What there is for `text`, the key of an offload for `route` of `site`.
    pub(crate) fn lookup(
        &self,
        site: &Arc<Site>,
        route: usize,
        text: Vec<u8>,
        now: Instant,
    ) -> Found {
        let key = self.key(route, text);
        let mut shard = self.shard(&key);
        if shard.site != address(site) {
            return Found::OtherSite;
        }
        let generation = *shard.generation(route);
        if let Some(entry) = shard.entries.to_back(&key) {
            if entry.generation == generation && now < entry.until {
                self.counters.cache_hits.up();
                return Found::Hit(Arc::clone(&entry.response));
            }
            self.remove(&mut shard, &key);
        }
        self.counters.cache_misses.up();
        let epoch = shard.epochs[self.stripe(&key)];
        Found::Miss(Token { site: address(site), key, epoch, generation })
    }

    /// Stores `response` until `until`, unless a write or a reload has overtaken it.
    pub(crate) fn fill(&self, token: Token, response: Arc<RenderedResponse>, until: Instant) {
        let Token { site, key, epoch, generation } = token;
        let bytes = response.body().len() + key.text.len() + ENTRY_BYTES;
        let mut shard = self.shard(&key);
        let overtaken = shard.site != site
            || shard.epochs[self.stripe(&key)] != epoch
            || *shard.generation(key.route) != generation;
        let too_large = bytes > self.bytes_max || self.entries_max == 0;
        if overtaken || too_large {
            let why = if overtaken {
                &self.counters.cache_overtaken
            } else {
                &self.counters.cache_too_large
            };
            why.up();
            return self.retire_list.keep(response);
        }
        // It is there where two reads of one key were under way.
        self.remove(&mut shard, &key);
        while shard.entries.len() >= self.entries_max || shard.bytes + bytes > self.bytes_max {
            let Some((_, oldest)) = shard.entries.pop_front() else { break };
            self.gone(&mut shard, oldest);
            self.counters.cache_evicted.up();
        }
        shard.entries.insert(key, Entry { response, until, generation, bytes });
        shard.bytes += bytes;
        self.counters.cache_stored.up();
        self.counters.cache_entries.up();
        self.counters.cache_bytes.add(bytes as u64);
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
                return self.drop_all(None);
            }
        }
    }

    /// `site` is served from now on: everything of the site before it goes.
    pub(crate) fn renew(&self, site: &Arc<Site>) {
        self.drop_all(Some(site));
        *lock(&self.site) = Arc::clone(site);
    }

    /// Whether `site` is the one the cache is for.
    fn drop_key(&self, site: &Arc<Site>, route: usize, text: Vec<u8>) -> bool {
        let key = self.key(route, text);
        let mut shard = self.shard(&key);
        if shard.site != address(site) {
            return false;
        }
        shard.epochs[self.stripe(&key)] += 1;
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
                *shard.generation(route) += 1;
            }
            known
        })
    }

    fn drop_all(&self, site: Option<&Arc<Site>>) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.site = site.map_or(shard.site, address);
            shard.epochs.iter_mut().for_each(|epoch| *epoch += 1);
            while let Some((_, entry)) = shard.entries.pop_front() {
                self.gone(&mut shard, entry);
                self.counters.cache_invalidated.up();
            }
        }
    }

    /// Whether there was one.
    fn remove(&self, shard: &mut Shard, key: &Key) -> bool {
        let entry = shard.entries.remove(key);
        entry.map(|entry| self.gone(shard, entry)).is_some()
    }

    /// `entry` is out of the shard; workers may still be sending it.
    fn gone(&self, shard: &mut Shard, entry: Entry) {
        shard.bytes -= entry.bytes;
        self.counters.cache_entries.down();
        self.counters.cache_bytes.sub(entry.bytes as u64);
        self.retire_list.keep(entry.response);
    }

    fn key(&self, route: usize, text: Vec<u8>) -> Key {
        let hash = self.hasher.hash_one((route, &text[..]));
        Key { hash, route, text: text.into() }
    }

    fn shard(&self, key: &Key) -> MutexGuard<'_, Shard> {
        lock(&self.shards[key.stripe() % self.shards.len()])
    }

    /// Index of the stripe within its shard.
    fn stripe(&self, key: &Key) -> usize {
        key.stripe() / self.shards.len()
    }
}

#[derive(Debug, Default)]
struct Shard {
    /// Least recently used first.
    entries: LinkedHashMap<Key, Entry, BuildHasherDefault<Hashed>>,
    bytes: usize,
    /// Address of the site that the entries belong to.
    site: usize,
    /// By stripe; this shard's stripes only.
    epochs: Vec<u64>,
    /// By route: how often all of it was dropped.
    generations: Vec<u64>,
}

impl Shard {
    fn generation(&mut self, route: usize) -> &mut u64 {
        if self.generations.len() <= route {
            self.generations.resize(route + 1, 0);
        }
        &mut self.generations[route]
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Key {
    /// Of the rest, keyed: a client cannot choose where its requests fall.
    hash: u64,
    route: usize,
    text: Box<[u8]>,
}

impl Key {
    /// The stripe among all. The map of a shard uses other bits of the hash.
    fn stripe(&self) -> usize {
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
struct Hashed(u64);

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

#[derive(Debug)]
struct Entry {
    response: Arc<RenderedResponse>,
    until: Instant,
    generation: u64,
    bytes: usize,
}

fn address(site: &Arc<Site>) -> usize {
    Arc::as_ptr(site).addr()
}

/// A thread that panics aborts the process: nobody finds a lock poisoned.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fixed, and far more than reads that are under way at once.
const STRIPES: usize = 1024;
const SHARDS_MAX: usize = 16;
const SHARD_ENTRIES_MIN: usize = 64;
/// Bodies and keys of all entries: a list route must not fill the memory with 65,536 long responses.
const BYTES_MAX: usize = 256 << 20;
/// What an entry takes besides its body and key: two heads, the map's node.
const ENTRY_BYTES: usize = 512;
const _: () = assert!(STRIPES.is_multiple_of(SHARDS_MAX));

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use handlers::SiteConfig;
    use http1::Status;
    use http1::coding::Coding;

    use super::*;

    struct Bench {
        cache: Cache,
        site: Arc<Site>,
        counters: Arc<Counters>,
        now: Instant,
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            self.counters.readings().note_moved();
        }
    }

    impl Bench {
        fn new(entries: usize) -> Self {
            let (retire_list, counters, site) = (Arc::default(), Arc::default(), site());
            let cache = Cache::new(entries, &site, &retire_list, &counters);
            Self { cache, site, counters, now: Instant::now() }
        }

        fn lookup(&self, route: usize, key: &str) -> Found {
            self.cache.lookup(&self.site, route, key.into(), self.now)
        }

        fn miss(&self, route: usize, key: &str) -> Token {
            match self.lookup(route, key) {
                Found::Miss(token) => token,
                other => panic!("{key}: {other:?}"),
            }
        }

        fn hit(&self, route: usize, key: &str) -> String {
            match self.lookup(route, key) {
                Found::Hit(response) => String::from_utf8(response.body().to_vec()).expect("text"),
                other => panic!("{key}: {other:?}"),
            }
        }

        fn fill(&self, token: Token, body: &str) {
            self.cache.fill(token, response(body), self.now + LIFETIME);
        }

        fn write(&self, route: usize, key: Option<&str>) {
            let invalid = Invalidation { route, key: key.map(Into::into) };
            self.cache.invalidate(&self.site, vec![invalid]);
        }
    }

    const LIFETIME: Duration = Duration::from_millis(200);

    fn site() -> Arc<Site> {
        let memory = |bytes| -> Box<dyn handlers::Bytes> { Box::new(vec![0; bytes]) };
        Arc::new(Site::build(&SiteConfig::default(), memory).expect("an empty site"))
    }

    fn response(body: &str) -> Arc<RenderedResponse> {
        let body = body.as_bytes().to_vec();
        Arc::new(RenderedResponse::new(Status::S200, "text/plain", [], Coding::Identity, body))
    }

    #[test]
    fn an_answer_is_given_again_for_its_lifetime() {
        let mut bench = Bench::new(100);
        bench.fill(bench.miss(1, "a"), "first");
        assert_eq!(bench.hit(1, "a"), "first");
        bench.miss(2, "a");
        bench.miss(1, "b");
        bench.now += LIFETIME - Duration::from_millis(1);
        assert_eq!(bench.hit(1, "a"), "first");
        bench.now += Duration::from_millis(1);
        bench.fill(bench.miss(1, "a"), "second");
        assert_eq!(bench.hit(1, "a"), "second");
        assert_eq!(bench.counters.cache_entries.value(), 1);
        assert_eq!(
            (bench.counters.cache_hits.value(), bench.counters.cache_misses.value()),
            (3, 4)
        );
    }

    #[test]
    fn a_read_that_ends_before_the_write_does_is_taken_out_by_it() {
        let bench = Bench::new(100);
        let read = bench.miss(1, "a");
        bench.fill(read, "old");
        bench.write(1, Some("a"));
        bench.miss(1, "a");
        assert_eq!(bench.counters.cache_invalidated.value(), 1);
    }

    #[test]
    fn a_read_that_ends_after_the_write_did_is_not_stored() {
        let bench = Bench::new(100);
        let read = bench.miss(1, "a");
        bench.write(1, Some("a"));
        bench.fill(read, "old");
        bench.fill(bench.miss(1, "a"), "new");
        assert_eq!(bench.hit(1, "a"), "new");
        assert_eq!(bench.counters.cache_overtaken.value(), 1);
    }

    #[test]
    fn writes_to_the_whole_route_overtake_in_both_orders_too() {
        let bench = Bench::new(100);
        bench.fill(bench.miss(1, "a"), "old");
        bench.fill(bench.miss(2, "a"), "other");
        let read = bench.miss(1, "b");
        bench.write(1, None);
        bench.fill(read, "old");
        bench.miss(1, "a");
        bench.miss(1, "b");
        assert_eq!(bench.hit(2, "a"), "other");
    }

    #[test]
    fn a_write_leaves_keys_of_other_stripes_alone() {
        let bench = Bench::new(4096);
        let reads: Vec<_> = (0..100).map(|n| bench.miss(1, &n.to_string())).collect();
        bench.write(1, Some("write"));
        reads.into_iter().for_each(|read| bench.fill(read, "x"));
        assert!(bench.counters.cache_overtaken.value() < 10, "100 keys in 1,024 stripes");
    }

    #[test]
    fn another_edition_starts_empty_and_strangers_pass_by() {
        let mut bench = Bench::new(100);
        bench.fill(bench.miss(1, "a"), "old");
        let late = bench.miss(1, "b");
        let (old, new) = (Arc::clone(&bench.site), site());
        bench.cache.renew(&new);
        bench.fill(late, "old");
        assert!(matches!(bench.lookup(1, "a"), Found::OtherSite));
        bench.site = new;
        bench.miss(1, "a");
        bench.fill(bench.miss(1, "b"), "new");
        let invalid = Invalidation { route: 7, key: Some(b"c".to_vec()) };
        bench.cache.invalidate(&old, vec![invalid]);
        bench.miss(1, "b");
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let bench = Bench::new(3);
        for key in ["a", "b", "c"] {
            bench.fill(bench.miss(1, key), key);
        }
        assert_eq!(bench.hit(1, "a"), "a");
        bench.fill(bench.miss(1, "d"), "d");
        bench.miss(1, "b");
        for key in ["c", "a", "d"] {
            assert_eq!(bench.hit(1, key), key);
        }
        assert_eq!(bench.counters.cache_evicted.value(), 1);
        assert_eq!(bench.counters.cache_entries.value(), 3);
    }

    #[test]
    fn a_large_answer_makes_room_for_itself_or_stays_out() {
        let bench = Bench::new(10);
        let half = "x".repeat(BYTES_MAX / 2 - 2 * ENTRY_BYTES);
        for key in ["a", "b", "c"] {
            bench.fill(bench.miss(1, key), &half);
        }
        bench.miss(1, "a");
        assert_eq!(bench.counters.cache_entries.value(), 2);
        bench.fill(bench.miss(1, "d"), &"x".repeat(BYTES_MAX));
        bench.miss(1, "d");
        assert_eq!(bench.counters.cache_too_large.value(), 1);
        assert!(bench.counters.cache_bytes.value() <= BYTES_MAX as u64);
    }

    #[test]
    fn no_entries_is_no_cache() {
        let bench = Bench::new(0);
        bench.fill(bench.miss(1, "a"), "a");
        bench.miss(1, "a");
    }

    #[test]
    fn readers_and_writers_of_one_key_never_leave_old_data() {
        // Each write makes the truth one larger before it invalidates; a hit must never be older
        // than what was true when its lookup began.
        use std::sync::atomic::{AtomicU64, Ordering};
        let bench = Bench::new(100);
        let (written, answered) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let floor = answered.load(Ordering::SeqCst);
                        match bench.lookup(1, "a") {
                            Found::Miss(token) => {
                                let read = written.load(Ordering::SeqCst);
                                std::thread::yield_now();
                                bench.fill(token, &read.to_string());
                            }
                            Found::Hit(response) => {
                                let text = str::from_utf8(response.body()).expect("text");
                                let hit: u64 = text.parse().expect("a number");
                                assert!(hit >= floor, "{hit} after {floor} was answered");
                            }
                            Found::OtherSite => panic!("there is one site"),
                        }
                    }
                });
            }
            scope.spawn(|| {
                for value in 1..=2_000 {
                    written.store(value, Ordering::SeqCst);
                    bench.write(1, Some("a"));
                    answered.store(value, Ordering::SeqCst);
                    std::thread::yield_now();
                }
            });
        });
        assert!(bench.counters.cache_hits.value() > 0);
    }
}
