//! Requests that wait for the response to another one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_asks_and_the_others_wait_for_its_answer() {
    let bench = Bench::new(100);
    let token = bench.miss(1, "a");
    bench.wait_for("second", SECOND, "a");
    bench.wait_for("third", SECOND, "a");
    assert_eq!(bench.counters.cache_waiting.value(), 2);
    assert_eq!(bench.fill(token, "answer"), ["second", "third"]);
    assert_eq!(bench.counters.cache_waiting.value(), 0);
    assert_eq!(bench.hit(1, "a"), "answer");
    assert_eq!(bench.counters.cache_misses.value(), 1);
}

#[test]
fn one_that_has_expired_is_asked_for_once() {
    let mut bench = Bench::new(100);
    bench.fill(bench.miss(1, "a"), "old");
    bench.now += LIFETIME;
    let token = bench.miss(1, "a");
    bench.wait_for("second", SECOND, "a");
    assert_eq!(bench.fill(token, "new"), ["second"]);
}

#[test]
fn a_request_that_comes_after_a_write_does_not_wait_for_a_read_before_it() {
    for key in [Some("a"), None] {
        let bench = Bench::new(100);
        let old = bench.miss(1, "a");
        bench.wait_for("before", SECOND, "a");
        bench.write(1, key);
        let new = bench.miss(1, "a");
        bench.wait_for("after", SECOND, "a");
        assert_eq!(bench.fill(new, "new"), ["after"]);
        assert_eq!(bench.fill(old, "old"), ["before"], "it came before the write was answered");
        assert_eq!(bench.hit(1, "a"), "new");
    }
}

#[test]
fn if_the_first_fails_the_next_asks_and_the_others_wait_for_that() {
    let mut bench = Bench::new(100);
    let first = bench.miss(1, "a");
    bench.wait_for("late", SECOND, "a");
    bench.wait_for("second", 3 * SECOND, "a");
    bench.wait_for("third", 3 * SECOND, "a");
    bench.now += SECOND;
    let (expired, next) = bench.fail(&first);
    let (name, second) = next.expect("two have time left");
    assert_eq!((&*expired, name), (&["late"][..], "second"));
    assert!(bench.fail(&first).1.is_none(), "it has failed already");
    bench.wait_for("fourth", 3 * SECOND, "a");
    assert_eq!(bench.fill(second, "answer"), ["third", "fourth"]);
    assert_eq!(bench.hit(1, "a"), "answer");
}

#[test]
fn a_read_that_is_begun_anew_is_as_new_as_its_begin() {
    let bench = Bench::new(100);
    let first = bench.miss(1, "a");
    bench.wait_for("second", SECOND, "a");
    bench.write(1, Some("a"));
    let (_, second) = bench.fail(&first).1.expect("it waits");
    assert!(bench.fill(second, "new").is_empty());
    assert_eq!(bench.hit(1, "a"), "new");
}

#[test]
fn those_of_an_overtaken_read_that_fails_wait_for_the_new_one() {
    let bench = Bench::new(100);
    let old = bench.miss(1, "a");
    bench.wait_for("before", SECOND, "a");
    bench.write(1, Some("a"));
    let new = bench.miss(1, "a");
    bench.wait_for("after", SECOND, "a");
    assert!(bench.fail(&old).1.is_none());
    assert_eq!(bench.fill(new, "new"), ["before", "after"]);
}

#[test]
fn those_who_wait_for_an_earlier_site_are_answered_with_its_response() {
    let mut bench = Bench::new(100);
    let [first, second] = ["a", "b"].map(|key| bench.miss(1, key));
    bench.wait_for("of a", SECOND, "a");
    bench.wait_for("of b", SECOND, "b");
    bench.site = site();
    bench.cache.renew(&bench.site);
    bench.absent(1, "a");
    assert_eq!(bench.fill(first, "old"), ["of a"]);
    let (name, again) = bench.fail(&second).1.expect("it waits");
    assert_eq!(name, "of b");
    bench.absent(1, "b");
    bench.fill(again, "old");
    bench.absent(1, "b");
}

#[test]
fn a_read_that_is_begun_anew_beside_an_unknown_write_is_not_stored() {
    let bench = Bench::new(100);
    let first = bench.miss(1, "a");
    bench.wait_for("second", SECOND, "a");
    let write = bench.block(1, Some("a"));
    let (_, second) = bench.fail(&first).1.expect("it waits");
    bench.cache.unblock(write);
    bench.fill(second, "old");
    bench.absent(1, "a");
}

#[test]
fn what_is_too_large_or_not_stored_answers_those_who_wait() {
    let bench = Bench::new(10);
    let token = bench.miss(1, "a");
    bench.wait_for("second", SECOND, "a");
    assert_eq!(bench.fill(token, &"x".repeat(BYTES_MAX)), ["second"]);
    let token = bench.miss(1, "a");
    bench.wait_for("third", SECOND, "a");
    assert_eq!(names(bench.cache.share(&token)), ["third"]);
    bench.absent(1, "a");
}

#[test]
fn who_may_not_wait_asks() {
    let bench = Bench::new(100);
    let token = bench.miss(1, "a");
    let place = bench.cache.place(&bench.site, 1, "a".into());
    let found = bench.cache.lookup(place, bench.now, ("second", bench.now), |_| false);
    assert!(matches!(found, Found::Uncached(("second", _))), "{found:?}");
    assert!(bench.fill(token, "answer").is_empty());
}

#[test]
fn nobody_waits_for_longer_than_allowed() {
    let bench = Bench::new(4096);
    let tokens = ["a", "b"].map(|key| bench.miss(1, key));
    bench.wait_for("short", SECOND, "a");
    bench.wait_for("long", 2 * SECOND, "a");
    bench.wait_for("other", SECOND, "b");
    let expired = |after| {
        let mut expired = names(bench.cache.take_expired(bench.now + after));
        expired.sort_unstable();
        expired
    };
    assert!(expired(SECOND / 2).is_empty());
    assert_eq!(expired(SECOND), ["other", "short"]);
    assert_eq!(bench.counters.cache_waiting.value(), 1);
    assert_eq!(tokens.map(|token| bench.fill(token, "late")), [vec!["long"], vec![]]);
}

/// What a request that waits is told.
enum Outcome {
    Value(u64),
    Run(Token),
}

#[derive(Debug)]
struct Reader(Sender<Outcome>);

impl Waiter for Reader {
    fn deadline(&self) -> Instant {
        Instant::now() + SECOND
    }
}

/// Each write makes the truth one larger before it invalidates; what a reader gets must never be older than what was true
/// when its lookup began, whether it is a hit, was waited for or was read.
#[test]
fn readers_and_writers_of_one_key_never_get_old_data() {
    let (retire_list, counters, site) = (Arc::default(), Arc::<Counters>::default(), site());
    let cache = Cache::<Reader>::new(100, &site, &retire_list, &counters);
    let (written, answered, waited) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let run = |token: Token, number: usize| {
        if number.is_multiple_of(3) {
            if let Some((next, token)) = cache.fail(&token, Instant::now()).next {
                next.0.send(Outcome::Run(token)).expect("it waits");
            }
            return None;
        }
        let read = written.load(Ordering::SeqCst);
        std::thread::yield_now();
        let until = Instant::now() + Duration::from_micros(50);
        for waiter in cache.fill(token, response(&read.to_string()), until) {
            waiter.0.send(Outcome::Value(read)).expect("it waits");
        }
        Some(read)
    };
    let get = |number: usize| {
        let (sender, told) = channel();
        let place = cache.place(&site, 1, b"a".to_vec());
        match cache.lookup(place, Instant::now(), Reader(sender), |_| true) {
            Found::Miss(_, token) => run(token, number),
            Found::Hit(_, response) => str::from_utf8(response.body()).expect("text").parse().ok(),
            Found::Waiting => match told.recv().expect("somebody answers") {
                Outcome::Value(value) => {
                    waited.fetch_add(1, Ordering::Relaxed);
                    Some(value)
                }
                Outcome::Run(token) => run(token, number),
            },
            Found::Uncached(_) => panic!("one site, all writes known"),
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..20_000 {
                    let floor = answered.load(Ordering::SeqCst);
                    if let Some(value) = get(number) {
                        assert!(value >= floor, "{value} after {floor} was answered");
                    }
                }
            });
        }
        scope.spawn(|| {
            for value in 1..=2_000 {
                written.store(value, Ordering::SeqCst);
                let invalid = Invalidation { route: 1, key: Some(b"a".to_vec()) };
                cache.invalidate(&site, vec![invalid]);
                answered.store(value, Ordering::SeqCst);
                std::thread::yield_now();
            }
        });
    });
    assert!(counters.cache_hits.value() > 0);
    assert!(waited.into_inner() > 0);
    assert_eq!(counters.cache_waiting.value(), 0);
    counters.readings().note_moved();
}
