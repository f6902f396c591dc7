//! Requests for one response: the first is run, the others wait for it.

use std::thread;
use std::time::Duration;

use handlers::config::{Source, ValueKind};

use super::cache::wait_until;
use super::{Postgres, QueryRoute, parts, sleeping, start, start_with};
use crate::offload::testkit::TestWorker;

const LIFETIME: Duration = Duration::from_secs(2);

/// The server counts the calls of functions.
fn counting(function: &str) -> Postgres {
    let server = Postgres::start_new();
    server.query("ALTER ROLE postgres SET track_functions = 'all'");
    server.query(function);
    server
}

/// How often the function was called to its end, once `stage` has ended.
fn calls(server: &Postgres, stage: TestWorker) -> String {
    drop(stage);
    // A session reports its last numbers before it goes.
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pollux'";
    wait_until(server, ours, "0\n");
    server.query("SELECT calls FROM pg_stat_user_functions")
}

#[test]
fn two_hundred_requests_at_the_moment_of_expiry_are_one_statement() {
    let server = counting(
        "CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql STABLE AS $$
         BEGIN PERFORM pg_sleep(0.3); RETURN 7; END $$",
    );
    let route = QueryRoute::postgres("/f", "SELECT f() AS n", r#"{"n": n}"#).cached(LIFETIME);
    let mut parts = parts(&server);
    parts.postgres.queue = 200;
    let stage = start_with(&parts, [route]);
    assert_eq!(stage.get("/f").field("X-Cache"), Some("MISS"));
    assert_eq!(stage.get("/f").field("X-Cache"), Some("HIT"));
    thread::sleep(LIFETIME);
    let waiting: Vec<_> = (0..200).map(|_| stage.begin_get("/f")).collect();
    let answers: Vec<_> = waiting.into_iter().map(|waiting| stage.end(waiting)).collect();
    assert!(answers.iter().all(|answer| answer.text() == r#"{"rows":[{"n":7}]}"#));
    let count = |word| answers.iter().filter(|it| it.field("X-Cache") == Some(word)).count();
    assert_eq!((count("MISS"), count("HIT")), (1, 199));
    stage.wait_for("postgres_waiting", |level| level == 0);
    assert_eq!((stage.reading("cache_waiting"), stage.reading("cache_misses")), (0, 2));
    assert!(stage.reading("cache_shared") > 0);
    assert_eq!(calls(&server, stage), "2\n");
}

#[test]
fn a_row_that_is_not_there_is_asked_for_once() {
    let server = counting(
        "CREATE FUNCTION f(integer) RETURNS SETOF integer LANGUAGE plpgsql STABLE AS $$
         BEGIN PERFORM pg_sleep(0.5); END $$",
    );
    let route = QueryRoute::postgres("/f/{id}", "SELECT n FROM f($1) AS n", r#"{"n": n}"#);
    let route = route.with("id", Source::Path, ValueKind::Integer).first().cached(LIFETIME);
    let stage = start(&server, [route]);
    let waiting: Vec<_> = (0..20).map(|_| stage.begin_get("/f/1")).collect();
    stage.wait_for("cache_waiting", |level| level == 19);
    for waiting in waiting {
        let answer = stage.end(waiting);
        assert_eq!((answer.status, answer.field("X-Cache")), (404, None));
    }
    assert_eq!(stage.reading("cache_stored"), 0);
    assert_eq!(calls(&server, stage), "1\n");
}

#[test]
fn where_the_first_fails_everyone_has_a_turn() {
    let server = Postgres::start_new();
    server.query(
        "CREATE FUNCTION f() RETURNS integer LANGUAGE plpgsql STABLE AS $$
         BEGIN PERFORM pg_sleep(0.2); RAISE 'no'; END $$",
    );
    let route = QueryRoute::postgres("/f", "SELECT f() AS n", r#"{"n": n}"#).cached(LIFETIME);
    let stage = start(&server, [route]);
    let waiting: Vec<_> = (0..5).map(|_| stage.begin_get("/f")).collect();
    stage.wait_for("cache_waiting", |level| level == 4);
    for waiting in waiting {
        assert_eq!(stage.end(waiting).status, 500);
    }
    assert_eq!(stage.reading("postgres_errors"), 5);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!((stage.reading("cache_waiting"), stage.reading("postgres_waiting")), (0, 0));
}

#[test]
fn who_waits_is_answered_in_time_and_counted_in_the_queue() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_secs(1);
    parts.postgres.queue = 4;
    let route = sleeping("/sleep", Duration::from_secs(60)).cached(LIFETIME);
    let stage = start_with(&parts, [route]);
    let first = stage.begin_get("/sleep");
    stage.wait_for("postgres_under_way", |level| level == 1);
    let waiting: Vec<_> = (0..4).map(|_| stage.begin_get("/sleep")).collect();
    stage.wait_for("cache_waiting", |level| level == 4);
    assert_eq!(stage.reading("postgres_waiting"), 4);
    let refused = stage.get("/sleep");
    assert_eq!((refused.status, stage.reading("postgres_refused")), (503, 1));
    for waiting in waiting.into_iter().chain([first]) {
        let answer = stage.end(waiting);
        assert_eq!(answer.status, 503);
        assert!(answer.took < Duration::from_secs(3), "{:?}", answer.took);
    }
    assert_eq!(stage.reading("postgres_timed_out"), 5);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!((stage.reading("cache_waiting"), stage.reading("postgres_waiting")), (0, 0));
}
