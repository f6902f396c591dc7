//! Columns whose types are altered while statements that use them are prepared.

use std::thread;
use std::time::{Duration, Instant};

use handlers::Methods;
use handlers::config::{RouteConfig, Source, ValueKind};

use super::{Postgres, QueryRoute, parts, start, start_with};

/// As `pollux reload` would, with the same routes.
#[test]
fn a_reload_prepares_everything_anew() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (id integer PRIMARY KEY, at date, f float4)");
    let route = || {
        QueryRoute::postgres(
            "/t",
            "INSERT INTO t VALUES ($1, $2, $3) RETURNING id",
            r#"{"id": id}"#,
        )
        .method(Methods::POST)
        .with("id", Source::Body, ValueKind::Integer)
        .with("at", Source::Body, ValueKind::Text)
        .with("f", Source::Body, ValueKind::Number)
        .first()
    };
    let stage = start(&server, [route()]);
    let send = |id: u32| {
        let body = format!(r#"{{"id":{id},"at":"2024-05-06 10:20:30","f":0.1}}"#);
        let response = stage.send("POST", "/t", &body);
        assert_eq!(response.status, 200, "{}", response.text());
        server.query(&format!("SELECT at, f FROM t WHERE id = {id}"))
    };
    assert_eq!(send(1), "2024-05-06|0.1\n");
    server.query("TRUNCATE t; ALTER TABLE t ALTER at TYPE timestamp, ALTER f TYPE float8");
    let routes = || -> Vec<RouteConfig> { vec![route().route()] };
    for id in 2..20 {
        // The first request of a site may come before its statements are prepared.
        stage.reload(routes());
        assert_eq!(send(id), "2024-05-06 10:20:30|0.1\n", "request {id}");
    }
}

#[test]
fn a_value_that_only_the_new_type_takes_finds_its_row() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (id integer PRIMARY KEY)");
    let route = QueryRoute::postgres("/t/{id}", "SELECT id FROM t WHERE id = $1", r#"{"id": id}"#)
        .with("id", Source::Path, ValueKind::Integer)
        .first();
    let stage = start(&server, [route]);
    let big = "/t/5000000000";
    assert_eq!(stage.get(big).status, 404);
    server.query("ALTER TABLE t ALTER id TYPE bigint; INSERT INTO t VALUES (5000000000)");
    // A statement that was prepared a moment ago is not prepared again for a value.
    let since = Instant::now();
    while stage.get(big).text() != r#"{"id":5000000000}"# {
        assert!(since.elapsed() < Duration::from_secs(10), "it is not found");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn values_that_no_type_takes_do_not_prepare_it_each_time() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.connections = 1;
    let route = QueryRoute::postgres("/n/{n}", "SELECT $1::integer AS n", r#"{"n": n}"#).with(
        "n",
        Source::Path,
        ValueKind::Integer,
    );
    let stage = start_with(&parts, [route]);
    let since = Instant::now();
    for _ in 0..200 {
        assert_eq!(stage.get("/n/5000000000").status, 404);
    }
    let prepared = stage.reading("postgres_prepared");
    assert!(prepared <= 2 + since.elapsed().as_secs(), "{prepared} times");
}

/// The server refuses what was prepared: binary values of another length, an operator that is not there, another
/// result. It was not run, so that a write is sent again as well.
#[test]
fn a_statement_that_the_server_refuses_by_its_types_is_prepared_and_sent_again() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (id integer, v integer); INSERT INTO t VALUES (1, 1)");
    let put = QueryRoute::postgres(
        "/t",
        "UPDATE t SET v = v + 1 WHERE id = $1 RETURNING v",
        r#"{"v": v}"#,
    );
    let put = put.method(Methods::POST).with("id", Source::Body, ValueKind::Integer).first();
    let stage = start(&server, [put]);
    let send = || {
        let response = stage.send("POST", "/t", r#"{"id":1}"#);
        (response.status, response.text().to_owned())
    };
    assert_eq!(send(), (200, r#"{"v":2}"#.to_owned()));
    // integer = text has no operator: the parameter is an integer as prepared, and text when prepared anew.
    server.query("ALTER TABLE t ALTER id TYPE text");
    assert_eq!(send(), (200, r#"{"v":3}"#.to_owned()));
    server.query("ALTER TABLE t ALTER v TYPE bigint");
    assert_eq!(send(), (200, r#"{"v":4}"#.to_owned()));
    assert_eq!(stage.reading("postgres_retried"), 2);
    assert_eq!(stage.reading("postgres_errors"), 0);
}

/// What the server says when it is prepared anew as well is the operator's, whatever its number.
#[test]
fn an_error_that_stays_is_not_sent_for_ever() {
    let server = Postgres::start_new();
    server.query(
        "CREATE TABLE t (id integer); CREATE FUNCTION f(integer) RETURNS integer IMMUTABLE LANGUAGE plpgsql AS \
         'BEGIN RAISE EXCEPTION USING ERRCODE = ''42883''; END'",
    );
    let route = QueryRoute::postgres("/f", "SELECT f(1) AS n FROM t", r#"{"n": n}"#);
    let stage = start(&server, [route]);
    assert_eq!(stage.get("/f").status, 500);
    assert_eq!(stage.reading("postgres_errors"), 1);
}
