//! Routes for GET whose statements write, or might: found by a check, never sent twice while serving.

use std::time::Duration;

use ::testkit::Proxy;
use handlers::config::{Source, ValueKind};

use super::{Postgres, QueryRoute, parts, through};
use crate::offload::Parts;
use crate::offload::testkit::{self, TestWorker};
use crate::offload::validate;

const SCHEMA: &str = "\
CREATE TABLE t (id integer); CREATE SEQUENCE s; \
CREATE FUNCTION logs(integer) RETURNS integer LANGUAGE sql AS 'INSERT INTO t VALUES ($1) RETURNING id'; \
CREATE FUNCTION reads(integer) RETURNS integer STABLE LANGUAGE sql AS 'SELECT max(id) + $1 FROM t'; \
CREATE VIEW v AS SELECT id, logs(id) AS logged FROM t; \
CREATE SCHEMA other; CREATE FUNCTION other.\"My f\"() RETURNS integer LANGUAGE sql AS 'SELECT 1'";

/// What a check says of a route for GET with this statement, which returns `n`.
fn checked(parts: &Parts, sql: &str, change: impl Fn(QueryRoute) -> QueryRoute) -> Option<String> {
    let mut route = QueryRoute::postgres("/r", sql, r#"{"n": n}"#);
    for placeholder in 1..=2 {
        if sql.contains(&format!("${placeholder}")) {
            let name = format!("p{placeholder}");
            route = route.with(&name, Source::Query, ValueKind::Integer);
        }
    }
    let site = testkit::site(vec![change(route).route()]);
    match validate::validate_with(parts, &site, validate::REACH_TIMEOUT) {
        Ok(warnings) => {
            assert!(warnings.is_empty(), "{warnings:?}");
            None
        }
        Err(error) => Some(error.errors()[0].problem.clone()),
    }
}

#[test]
fn a_check_tells_statements_that_write_from_others() {
    let server = Postgres::start_new();
    server.query(SCHEMA);
    let parts = parts(&server);
    let check = |sql: &str| checked(&parts, sql, |route| route);
    for sql in [
        "SELECT id AS n FROM t WHERE id = $1",
        "SELECT reads($1) AS n -- that is all",
        "SELECT count(*) AS n, max(random()), now(), clock_timestamp(), gen_random_uuid() FROM t;",
        "SELECT $1::integer AS n FROM pg_sleep(0)",
        "SELECT coalesce(max(id), $1) AS n FROM t WHERE id IN (1, 2) GROUP BY id LIMIT $2",
        "VALUES (1) /* n */ UNION ALL SELECT n FROM generate_series(1, 3) AS n"
            .replace("VALUES (1)", "SELECT 1 AS n")
            .as_str(),
    ] {
        assert_eq!(check(sql), None, "{sql}");
    }
    for (sql, what) in [
        ("INSERT INTO t VALUES ($1) RETURNING id AS n", "changes rows"),
        (
            "WITH d AS (DELETE FROM t WHERE id = $1 RETURNING id) SELECT id AS n FROM d",
            "changes rows",
        ),
        ("SELECT id AS n FROM t WHERE id = $1 FOR UPDATE", "locks rows"),
        ("SELECT nextval('s') AS n", "calls pg_catalog.nextval, which is VOLATILE"),
        ("SELECT logs($1) AS n", "calls public.logs, which is VOLATILE"),
        ("SELECT logged AS n FROM v", "calls public.logs, which is VOLATILE"),
        (
            "SELECT id AS n FROM t WHERE $1 > 3 AND logs(id) > 1",
            "calls public.logs, which is VOLATILE",
        ),
        ("SELECT id AS n FROM t LIMIT logs(1)", "calls public.logs, which is VOLATILE"),
        ("SELECT other.\"My f\"() AS n", "calls other.My f, which is VOLATILE"),
        (
            "SELECT pg_advisory_lock($1)::text AS n",
            "calls pg_catalog.pg_advisory_lock, which is VOLATILE",
        ),
    ] {
        let problem = check(sql).unwrap_or_else(|| panic!("{sql} is taken for a read"));
        let start =
            format!("it {what}, but its route, for GET, is taken for a read; write writes = true");
        assert!(problem.starts_with(&start), "{sql}: {problem}");
        assert_eq!(checked(&parts, sql, QueryRoute::writes), None, "{sql}");
    }
    assert_eq!(server.query("SELECT count(*) FROM t"), "0\n", "nothing was run");
    assert_eq!(server.query("SELECT is_called FROM s"), "f\n", "nothing was run");
}

/// Its response is not kept either: the statement is to run for every request.
#[test]
fn what_a_check_has_not_seen_is_found_while_serving() {
    let server = Postgres::start_new();
    server.query(SCHEMA);
    let route = QueryRoute::postgres("/n", "SELECT logs(1) AS n", r#"{"n": n}"#);
    let read = QueryRoute::postgres("/r", "SELECT 1 AS n", r#"{"n": n}"#);
    let hour = Duration::from_secs(3600);
    let stage = super::start(&server, [route.cached(hour), read.cached(hour)]);
    for _ in 0..3 {
        assert_eq!(stage.get("/n").field("X-Cache"), Some("MISS"));
    }
    assert_eq!(server.query("SELECT count(*) FROM t"), "3\n");
    assert_eq!(stage.get("/r").field("X-Cache"), Some("MISS"));
    assert_eq!(stage.get("/r").field("X-Cache"), Some("HIT"));
}

/// The server is reached through something that loses the response to every eleventh row and the connection with it.
#[test]
fn a_get_that_writes_is_run_once_at_most_when_its_response_is_lost() {
    let server = Postgres::start_new();
    server.query(SCHEMA);
    let proxy = Proxy::start(&server.socket());
    let parts = through(&proxy);
    let found = QueryRoute::postgres("/found/{id}", "SELECT logs($1) AS n", r#"{"n": n}"#).with(
        "id",
        Source::Path,
        ValueKind::Integer,
    );
    let declared = QueryRoute::postgres(
        "/declared/{id}",
        "INSERT INTO t VALUES ($1) RETURNING id AS n",
        r#"{"n": n}"#,
    )
    .with("id", Source::Path, ValueKind::Integer)
    .writes();
    let read = QueryRoute::postgres("/read/{id}", "SELECT $1::integer AS n", r#"{"n": n}"#).with(
        "id",
        Source::Path,
        ValueKind::Integer,
    );
    let stage = TestWorker::start(&parts, [found, declared, read].map(QueryRoute::route).into());
    stage.wait_for("postgres_connections_up", |up| up > 0);
    for path in ["found", "declared", "read"] {
        assert_eq!(stage.get(&format!("/{path}/-1")).status, 200);
    }
    // BindComplete in front, then a row.
    proxy.lose_every(11, |piece| piece.starts_with(b"2\0\0\0\x04D"));
    let mut answered = Vec::new();
    for id in 0..1000 {
        let path = ["found", "declared"][id % 2];
        let connects = stage.reading("postgres_connects");
        let response = stage.get(&format!("/{path}/{id}"));
        match response.status {
            200 => answered.push(id),
            status => {
                assert_eq!(status, 503);
                // While the next connection takes long to come, whoever comes is refused.
                stage.wait_for("postgres_connects", |now| now > connects);
            }
        }
        // Whoever reads gets an answer, from the next connection.
        assert_eq!(stage.get(&format!("/read/{id}")).status, 200);
    }
    assert!(answered.len() < 1000 && stage.reading("postgres_retried") > 0, "responses were lost");
    let repeated =
        "SELECT count(*) FROM (SELECT id FROM t WHERE id >= 0 GROUP BY id HAVING count(*) > 1) r";
    assert_eq!(server.query(repeated), "0\n");
    let run = server.query("SELECT id FROM t WHERE id >= 0 ORDER BY id");
    let run: Vec<usize> = run.lines().map(|id| id.parse().expect("a number")).collect();
    assert!(answered.iter().all(|id| run.contains(id)), "what was answered was run");
    assert!(run.len() > answered.len(), "what was lost was run");
}
