//! Cached responses beside writes: equal values with several spellings, and writes whose outcome is not known.

use std::thread;
use std::time::{Duration, Instant};

use ::testkit::Proxy;
use handlers::Methods;
use handlers::config::{Source, ValueKind};
use http1::Method;

use super::{Postgres, QueryRoute, parts, start, start_with, through};
use crate::offload::testkit::TestWorker;

const HOUR: Duration = Duration::from_secs(3600);
const PUT: Methods = Methods::NONE.with(Method::Put);

/// A cached value, and a write to it that waits until [`let_go`].
fn values(server: &Postgres) -> [QueryRoute; 2] {
    server.query(
        "CREATE TABLE t (id integer PRIMARY KEY, v integer);
         INSERT INTO t VALUES (1, 1);
         CREATE TABLE gate (is_open boolean);
         CREATE FUNCTION put(which integer, new integer) RETURNS integer LANGUAGE plpgsql AS $$
         BEGIN
             WHILE NOT EXISTS (SELECT FROM gate) LOOP PERFORM pg_sleep(0.01); END LOOP;
             UPDATE t SET v = new WHERE id = which;
             RETURN new;
         END $$;",
    );
    let read = QueryRoute::postgres("/t/{id}", "SELECT v FROM t WHERE id = $1", r#"{"v": v}"#)
        .with("id", Source::Path, ValueKind::Integer)
        .first()
        .named("item")
        .cached(HOUR);
    let put = QueryRoute::postgres("/t/{id}", "SELECT put($1, $2) AS v", r#"{"v": v}"#)
        .method(PUT)
        .with("id", Source::Path, ValueKind::Integer)
        .with("v", Source::Body, ValueKind::Integer)
        .first()
        .invalidates("item");
    [read, put]
}

/// Writes that wait go on.
fn let_go(server: &Postgres) {
    server.query("INSERT INTO gate VALUES (true)");
}

#[track_caller]
pub(super) fn wait_until(server: &Postgres, sql: &str, is: &str) {
    let since = Instant::now();
    while server.query(sql) != is {
        assert!(since.elapsed() < Duration::from_secs(20), "{sql} does not become {is}");
        thread::sleep(Duration::from_millis(5));
    }
}

const WRITING: &str =
    "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT put%'";

fn got(stage: &TestWorker, path: &str) -> (Option<String>, String) {
    let response = stage.get(path);
    (response.field("X-Cache").map(str::to_owned), response.text().to_owned())
}

fn is(word: &str, body: &str) -> (Option<String>, String) {
    (Some(word.to_owned()), body.to_owned())
}

const WRITE: &str = "PUT /t/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"v\":2}";

#[test]
fn nothing_old_is_cached_after_a_write_whose_connection_was_lost() {
    let server = Postgres::start_new();
    let (routes, proxy) = (values(&server), Proxy::start_without_cancels(&server.socket()));
    let parts = through(&proxy);
    let stage = start_with(&parts, routes);
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(got(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
    let put = stage.begin(WRITE);
    wait_until(&server, WRITING, "1\n");
    let connects = stage.reading("postgres_connects");
    proxy.cut_clients();
    assert_eq!(stage.end(put).status, 503);
    // How many are up may still count the one that was cut.
    stage.wait_for("postgres_connects", |now| now > connects);
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    let_go(&server);
    wait_until(&server, "SELECT v FROM t", "2\n");
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":2}"#));
    assert_eq!(stage.reading("cache_blocked"), 3);
}

#[test]
fn what_a_write_that_is_cancelled_would_have_changed_is_cached_again() {
    let server = Postgres::start_new();
    let routes = values(&server);
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_millis(500);
    let stage = start_with(&parts, routes);
    assert_eq!(stage.request(WRITE).status, 503);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(got(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
}

/// It waits for a lock that it takes to prepare it, and is given up with its connection.
#[test]
fn a_write_that_was_never_sent_keeps_nothing_out_of_the_cache() {
    let server = Postgres::start_new();
    let [read, _] = values(&server);
    server.query("CREATE TABLE log (v integer)");
    let sql = "INSERT INTO log SELECT $2::integer WHERE $1::integer > 0 RETURNING v";
    let put = QueryRoute::postgres("/t/{id}", sql, r#"{"v": v}"#)
        .method(PUT)
        .with("id", Source::Path, ValueKind::Integer)
        .with("v", Source::Body, ValueKind::Integer)
        .first()
        .invalidates("item");
    let proxy = Proxy::start_without_cancels(&server.socket());
    let mut parts = through(&proxy);
    parts.postgres.timeout = Duration::from_millis(500);
    thread::scope(|scope| {
        let lock = "BEGIN; LOCK TABLE log; SELECT pg_sleep(5); COMMIT";
        let locked = scope.spawn(|| server.query(lock));
        wait_until(
            &server,
            "SELECT count(*) FROM pg_locks WHERE relation = 'log'::regclass",
            "1\n",
        );
        let stage = start_with(&parts, [read, put]);
        assert_eq!(stage.request(WRITE).status, 503);
        stage.wait_for("postgres_connections_replaced", |count| count > 0);
        stage.wait_for("postgres_under_way", |level| level == 0);
        locked.join().expect("psql ends");
        assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
        assert_eq!(got(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
    });
    assert_eq!(server.query("SELECT count(*) FROM log"), "0\n");
}

#[test]
fn nothing_old_is_cached_after_a_write_that_could_not_be_cancelled() {
    let server = Postgres::start_new();
    let (routes, proxy) = (values(&server), Proxy::start_without_cancels(&server.socket()));
    let mut parts = through(&proxy);
    parts.postgres.timeout = Duration::from_millis(500);
    let stage = start_with(&parts, routes);
    assert_eq!(stage.request(WRITE).status, 503);
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#), "it is still running");
    stage.wait_for("postgres_connections_replaced", |count| count == 1);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    let_go(&server);
    wait_until(&server, "SELECT v FROM t", "2\n");
    assert_eq!(got(&stage, "/t/1"), is("MISS", r#"{"v":2}"#));
}

#[test]
fn a_write_empties_the_cache_of_equal_values_that_are_spelt_otherwise() {
    let server = Postgres::start_new();
    for (number, (ty, kind, read, written)) in [
        ("integer", ValueKind::Integer, "7", "007"),
        ("numeric", ValueKind::Number, "0", "-0"),
        ("numeric", ValueKind::Number, "1.5", "1.50"),
        ("real", ValueKind::Number, "0.1", "0.10000000149011612"),
        (
            "uuid",
            ValueKind::Text,
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{A0EEBC999C0B4EF8BB6D6BB9BD380A11}",
        ),
        ("date", ValueKind::Text, "2024-02-09", "20240209"),
        ("jsonb", ValueKind::Json, "[1,0]", "[1,%20-0]"),
    ]
    .into_iter()
    .enumerate()
    {
        server.query(&format!("CREATE TABLE t{number} (id {ty}, v integer)"));
        server.query(&format!("INSERT INTO t{number} VALUES ('{read}', 1)"));
        let read_sql = format!("SELECT v FROM t{number} WHERE id = $1");
        let get = QueryRoute::postgres("/t", &read_sql, r#"{"v": v}"#);
        let get = get.with("id", Source::Query, kind).first().named("item").cached(HOUR);
        let put_sql = format!("UPDATE t{number} SET v = v + 1 WHERE id = $1 RETURNING v");
        let put = QueryRoute::postgres("/t", &put_sql, r#"{"v": v}"#).method(PUT);
        let put = put.with("id", Source::Query, kind).first().invalidates("item");
        let stage = start(&server, [get, put]);
        let path = format!("/t?id={read}");
        assert_eq!(got(&stage, &path), is("MISS", r#"{"v":1}"#), "{ty}");
        assert_eq!(got(&stage, &path), is("HIT", r#"{"v":1}"#), "{ty}");
        let put = stage.send("PUT", &format!("/t?id={written}"), "");
        assert_eq!((put.status, put.text()), (200, r#"{"v":2}"#), "{ty}");
        assert_eq!(got(&stage, &path), is("MISS", r#"{"v":2}"#), "{ty}: {written} is {read}");
    }
}
