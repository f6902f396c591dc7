//! Reads, writes, reloads and their order.

mod waiting;

use std::time::Duration;

use handlers::SiteConfig;
use http1::Status;
use http1::coding::Coding;

use super::*;

/// A request: its name, and when its time is up.
type Request = (&'static str, Instant);

impl Waiter for Request {
    fn deadline(&self) -> Instant {
        self.1
    }
}

struct Bench {
    cache: Cache<Request>,
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

    fn lookup(&self, route: usize, key: &str) -> Found<Request> {
        self.lookup_as(("", self.now), route, key)
    }

    fn lookup_as(&self, request: Request, route: usize, key: &str) -> Found<Request> {
        let place = self.cache.place(&self.site, route, key.into());
        self.cache.lookup(place, self.now, request, |_| true)
    }

    fn miss(&self, route: usize, key: &str) -> Token {
        match self.lookup(route, key) {
            Found::Miss(_, token) => token,
            other => panic!("{key}: {other:?}"),
        }
    }

    fn absent(&self, route: usize, key: &str) {
        let token = self.miss(route, key);
        assert!(self.cache.share(&token).is_empty(), "nobody waits");
    }

    fn hit(&self, route: usize, key: &str) -> String {
        match self.lookup(route, key) {
            Found::Hit(_, response) => String::from_utf8(response.body().to_vec()).expect("text"),
            other => panic!("{key}: {other:?}"),
        }
    }

    /// `name` waits for somebody else's response, for so long.
    #[track_caller]
    fn wait_for(&self, name: &'static str, time: Duration, key: &str) {
        let found = self.lookup_as((name, self.now + time), 1, key);
        assert!(matches!(found, Found::Waiting), "{name}: {found:?}");
    }

    /// Who has waited.
    fn fill(&self, token: Token, body: &str) -> Vec<&'static str> {
        names(self.cache.fill(token, response(body), self.now + LIFETIME))
    }

    /// Who has no time left, and who is to ask now.
    fn fail(&self, token: &Token) -> (Vec<&'static str>, Option<(&'static str, Token)>) {
        let Failed { expired, next } = self.cache.fail(token, self.now);
        (names(expired), next.map(|((name, _), token)| (name, token)))
    }

    fn blocked(&self, route: usize, key: &str) {
        let found = self.lookup(route, key);
        assert!(matches!(found, Found::Uncached(_)), "{key}: {found:?}");
    }

    /// A write of unknown outcome.
    fn block(&self, route: usize, key: Option<&str>) -> UnknownWrite {
        let invalid = Invalidation { route, key: key.map(Into::into) };
        self.cache.block(&self.site, vec![invalid])
    }

    fn write(&self, route: usize, key: Option<&str>) {
        let invalid = Invalidation { route, key: key.map(Into::into) };
        self.cache.invalidate(&self.site, vec![invalid]);
    }
}

const LIFETIME: Duration = Duration::from_millis(200);

fn names(requests: impl IntoIterator<Item = Request>) -> Vec<&'static str> {
    requests.into_iter().map(|(name, _)| name).collect()
}

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
    bench.absent(2, "a");
    bench.absent(1, "b");
    bench.now += LIFETIME - Duration::from_millis(1);
    assert_eq!(bench.hit(1, "a"), "first");
    bench.now += Duration::from_millis(1);
    bench.fill(bench.miss(1, "a"), "second");
    assert_eq!(bench.hit(1, "a"), "second");
    assert_eq!(bench.counters.cache_entries.value(), 1);
    assert_eq!((bench.counters.cache_hits.value(), bench.counters.cache_misses.value()), (3, 4));
}

#[test]
fn a_read_that_ends_before_the_write_does_is_taken_out_by_it() {
    let bench = Bench::new(100);
    let read = bench.miss(1, "a");
    bench.fill(read, "old");
    bench.write(1, Some("a"));
    bench.absent(1, "a");
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
    bench.absent(1, "a");
    bench.absent(1, "b");
    assert_eq!(bench.hit(2, "a"), "other");
}

#[test]
fn a_write_leaves_keys_of_other_stripes_alone() {
    let bench = Bench::new(4096);
    let reads: Vec<_> = (0..100).map(|n| bench.miss(1, &n.to_string())).collect();
    bench.write(1, Some("write"));
    reads.into_iter().for_each(|read| drop(bench.fill(read, "x")));
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
    assert!(matches!(bench.lookup(1, "a"), Found::Uncached(_)));
    bench.site = new;
    bench.absent(1, "a");
    bench.fill(bench.miss(1, "b"), "new");
    let invalid = Invalidation { route: 7, key: Some(b"c".to_vec()) };
    bench.cache.invalidate(&old, vec![invalid]);
    bench.absent(1, "b");
}

#[test]
fn a_write_of_unknown_outcome_keeps_its_key_out_until_it_is_known() {
    let bench = Bench::new(100);
    bench.fill(bench.miss(1, "a"), "old");
    let stripe = |key: &str| bench.cache.key(1, key.into()).stripe();
    let other = (0..).map(|n| n.to_string()).find(|key| stripe(key) != stripe("a"));
    let other = &*other.expect("there are many");
    let read = bench.miss(1, other);
    let (first, second) = (bench.block(1, Some("a")), bench.block(1, Some("a")));
    bench.blocked(1, "a");
    bench.fill(read, "of another stripe");
    assert_eq!(bench.hit(1, other), "of another stripe");
    bench.cache.unblock(first);
    bench.blocked(1, "a");
    bench.cache.unblock(second);
    bench.fill(bench.miss(1, "a"), "new");
    assert_eq!(bench.hit(1, "a"), "new");
    assert_eq!(bench.counters.cache_blocked.value(), 2);
}

#[test]
fn a_read_that_began_before_the_outcome_was_unknown_is_not_stored_after_it() {
    let bench = Bench::new(100);
    let reads = [bench.miss(1, "a"), bench.miss(2, "b")];
    let writes = [bench.block(1, Some("a")), bench.block(2, None)];
    writes.into_iter().for_each(|write| bench.cache.unblock(write));
    reads.into_iter().for_each(|read| drop(bench.fill(read, "old")));
    bench.absent(1, "a");
    bench.absent(2, "b");
    assert_eq!(bench.counters.cache_overtaken.value(), 2);
}

#[test]
fn an_outcome_that_is_lost_blocks_for_its_time() {
    let mut bench = Bench::new(100);
    let write = bench.block(1, None);
    bench.cache.abandon(write, bench.now + LIFETIME);
    bench.blocked(1, "a");
    bench.absent(2, "a");
    bench.now += LIFETIME;
    bench.fill(bench.miss(1, "a"), "new");
    assert_eq!(bench.hit(1, "a"), "new");
}

#[test]
fn writes_of_unknown_outcome_block_every_route_of_the_next_site() {
    let mut bench = Bench::new(4096);
    let write = bench.block(1, Some("a"));
    bench.cache.abandon(bench.block(1, Some("b")), bench.now + LIFETIME);
    let (old, new) = (Arc::clone(&bench.site), site());
    bench.cache.renew(&new);
    bench.site = new;
    (0..100).for_each(|key| bench.blocked(key, "c"));
    let stranger = bench.cache.block(&old, Vec::new());
    bench.now += LIFETIME;
    bench.cache.unblock(write);
    bench.blocked(7, "c");
    bench.cache.unblock(stranger);
    (0..100).for_each(|key| bench.absent(key, "c"));
}

#[test]
fn the_least_recently_used_makes_room() {
    let bench = Bench::new(3);
    for key in ["a", "b", "c"] {
        bench.fill(bench.miss(1, key), key);
    }
    assert_eq!(bench.hit(1, "a"), "a");
    bench.fill(bench.miss(1, "d"), "d");
    bench.absent(1, "b");
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
    bench.absent(1, "a");
    assert_eq!(bench.counters.cache_entries.value(), 2);
    bench.fill(bench.miss(1, "d"), &"x".repeat(BYTES_MAX));
    bench.absent(1, "d");
    assert_eq!(bench.counters.cache_too_large.value(), 1);
    assert!(bench.counters.cache_bytes.value() <= BYTES_MAX as u64);
}

#[test]
fn no_entries_is_no_cache() {
    let bench = Bench::new(0);
    for _ in 0..2 {
        assert!(matches!(bench.lookup(1, "a"), Found::Uncached(_)));
    }
    assert_eq!(bench.counters.cache_misses.value(), 2);
}
