//! What errors of the server mean for a request.

use std::time::Duration;

use handlers::Methods;
use handlers::config::{RouteConfig, Source, ValueKind};
use http1::Method;

use super::{ONE, Postgres, QueryRoute, one, parts, sleeping, start, start_with};
use crate::offload::validate::{self, StatementError};

#[test]
fn keys_and_checks_are_the_clients_and_everything_else_is_ours() {
    let server = Postgres::start_new();
    server.query(
        "CREATE TABLE parents (id integer PRIMARY KEY); INSERT INTO parents VALUES (1); \
         CREATE TABLE t (id integer PRIMARY KEY REFERENCES parents, \
         n integer CHECK (n > 0) NOT NULL, name varchar(5))",
    );
    let insert = QueryRoute::postgres(
        "/t",
        "INSERT INTO t VALUES ($1, $2, $3) RETURNING id",
        r#"{"id": id}"#,
    );
    let insert = insert
        .method(Methods::POST)
        .first()
        .with("id", Source::Body, ValueKind::Integer)
        .with("n", Source::Body, ValueKind::Integer)
        .with("name", Source::Body, ValueKind::Text);
    let divide = QueryRoute::postgres("/divide/{by}", "SELECT 1 / $1::integer AS n", r#"{"n": n}"#)
        .with("by", Source::Path, ValueKind::Integer);
    let stage = start(&server, [insert, divide, one()]);
    let status = |body: &str| stage.send("POST", "/t", body).status;
    assert_eq!(status(r#"{"id":1,"n":1,"name":"a"}"#), 200);
    assert_eq!(status(r#"{"id":1,"n":1,"name":"a"}"#), 409, "there is one");
    assert_eq!(status(r#"{"id":2,"n":1,"name":"a"}"#), 409, "it has no parent");
    assert_eq!(status(r#"{"id":1,"n":0,"name":"a"}"#), 422, "the check says no");
    assert_eq!(status(r#"{"id":1,"n":1,"name":"too long"}"#), 422);
    assert_eq!(status(r#"{"id":1,"n":5000000000,"name":"a"}"#), 400);
    assert_eq!(stage.get("/divide/0").status, 422);
    assert_eq!(stage.get("/divide/5000000000").status, 404, "it stands in the path");
    assert_eq!(stage.get("/divide/1").status, 200);
    let text = stage.send("POST", "/t", r#"{"id":1,"n":1,"name":"a"}"#);
    assert!(!text.text().contains("INSERT") && !text.text().contains("t_pkey"), "{}", text.text());
    assert_eq!((stage.reading("postgres_conflicts"), stage.reading("postgres_bad_data")), (3, 3));
    assert_eq!(stage.reading("postgres_errors"), 0);
}

#[test]
fn a_statement_that_does_not_fit_its_route_is_answered_500_and_found_by_a_check() {
    let server = Postgres::start_new();
    let route = |path: &str, sql: &str, row: &str| QueryRoute::postgres(path, sql, row);
    let routes = [
        one(),
        route("/column", "SELECT 1 AS a, 2 AS b", r#"{"c": c}"#),
        route("/array", "SELECT '{1}'::int[] AS tags", r#"{"tags": tags}"#),
        route("/form", "SELECT 'x'::text AS a", r#"{"a": bool(a)}"#),
        route("/table", "SELECT id FROM nothing", r#"{"id": id}"#),
    ];
    let stage = start(&server, routes.clone());
    for path in ["/column", "/array", "/form", "/table"] {
        let response = stage.get(path);
        assert_eq!(
            (response.status, response.text()),
            (500, "500 Internal Server Error\n"),
            "{path}"
        );
    }
    assert_eq!(stage.get("/one").text(), ONE);
    assert_eq!(
        (stage.reading("postgres_schema_changed"), stage.reading("postgres_errors")),
        (3, 1)
    );
    // It is there a moment later.
    server.query("CREATE TABLE nothing (id integer)");
    std::thread::sleep(Duration::from_millis(1100));
    assert_eq!(stage.get("/table").text(), r#"{"rows":[]}"#);
    server.query("DROP TABLE nothing");

    let site = crate::offload::testkit::site(routes.map(QueryRoute::route).into());
    let error = validate::validate_with(&parts(&server), &site, validate::REACH_TIMEOUT)
        .expect_err("four are wrong");
    let found: Vec<_> = error.errors().iter().map(|fault| (fault.route, &*fault.problem)).collect();
    assert_eq!(
        found,
        [
            (1, "it has no column \"c\": its columns are a, b"),
            (2, "column \"tags\" is of type _int4: write to_json(tags) AS tags"),
            (3, "column \"a\" is of type text: write a::boolean AS a"),
            (4, "42P01: relation \"nothing\" does not exist"),
        ]
    );
    let StatementError { statement, .. } = &error.errors()[0];
    assert_eq!(statement, "column");
    let mut parts = parts(&server);
    drop(server);
    let warnings = validate::validate_with(&parts, &site, validate::REACH_TIMEOUT)
        .expect("a server that is down is no fault");
    assert!(warnings[0].contains("cannot be reached"), "{warnings:?}");
    parts.postgres.server = None;
    let warnings =
        validate::validate_with(&parts, &site, validate::REACH_TIMEOUT).expect("nor is none");
    assert!(warnings[0].contains("DATABASE_URL"), "{warnings:?}");
}

#[test]
fn a_table_that_is_altered_is_asked_again() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (id integer); INSERT INTO t VALUES (1)");
    let route = || QueryRoute::postgres("/t", "SELECT * FROM t", r#"{"id": id}"#);
    let stage = start(&server, [route()]);
    assert_eq!(stage.get("/t").text(), r#"{"rows":[{"id":1}]}"#);
    server.query("ALTER TABLE t ALTER id TYPE text USING 'number ' || id");
    assert_eq!(stage.get("/t").text(), r#"{"rows":[{"id":"number 1"}]}"#);
    assert_eq!(stage.reading("postgres_retried"), 1);
}

#[test]
fn a_write_empties_the_cache_of_what_it_changes() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (id integer PRIMARY KEY, v integer); INSERT INTO t VALUES (1, 1)");
    let read = QueryRoute::postgres("/t/{id}", "SELECT v FROM t WHERE id = $1", r#"{"v": v}"#);
    let read = read.with("id", Source::Path, ValueKind::Integer).first().named("item");
    let put = QueryRoute::postgres(
        "/t/{id}",
        "UPDATE t SET v = $2 WHERE id = $1 RETURNING v",
        r#"{"v": v}"#,
    );
    let put = put
        .method(Methods::NONE.with(Method::Put))
        .with("id", Source::Path, ValueKind::Integer)
        .with("v", Source::Body, ValueKind::Integer)
        .first()
        .invalidates("item");
    let stage = start(&server, [read.cached(Duration::from_secs(60)), put]);
    let told = || {
        let response = stage.get("/t/1");
        (response.field("X-Cache").map(str::to_owned), response.text().to_owned())
    };
    let is = |word: &str, body: &str| (Some(word.to_owned()), body.to_owned());
    assert_eq!(told(), is("MISS", r#"{"v":1}"#));
    assert_eq!(told(), is("HIT", r#"{"v":1}"#));
    assert_eq!(stage.send("PUT", "/t/1", r#"{"v":2}"#).status, 200);
    assert_eq!(told(), is("MISS", r#"{"v":2}"#));
    assert_eq!(stage.send("PUT", "/t/9", r#"{"v":2}"#).status, 404);
    assert_eq!(told(), is("HIT", r#"{"v":2}"#));
    assert_eq!(stage.reading("cache_invalidated"), 1);
}

#[test]
fn a_full_queue_is_refused_at_once() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    (parts.postgres.connections, parts.postgres.pipeline, parts.postgres.queue) = (1, 1, 2);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_millis(800))]);
    let first = stage.begin_get("/sleep");
    stage.wait_for("postgres_under_way", |level| level == 1);
    let waiting = [stage.begin_get("/sleep"), stage.begin_get("/sleep")];
    stage.wait_for("postgres_waiting", |level| level == 2);
    let refused = stage.get("/sleep");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    assert!(refused.took < Duration::from_millis(600), "{:?}", refused.took);
    assert_eq!(stage.reading("postgres_refused"), 1);
    assert_eq!(stage.end(first).status, 200);
    assert_eq!(waiting.map(|waiting| stage.end(waiting).status), [200, 200]);
}

#[test]
fn routes_of_a_reload_are_prepared_and_others_forgotten() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.connections = 1;
    let stage = start_with(&parts, [one()]);
    stage.wait_for("postgres_prepared", |count| count == 1);
    assert_eq!(stage.get("/one").text(), ONE);
    let two = || -> Vec<RouteConfig> {
        vec![QueryRoute::postgres("/two", "SELECT 2 AS n", r#"{"n": n}"#).route()]
    };
    stage.reload(two());
    stage.wait_for("postgres_prepared", |count| count == 2);
    assert_eq!(stage.get("/two").text(), r#"{"rows":[{"n":2}]}"#);
    assert_eq!(stage.get("/one").status, 404);
    stage.reload(two());
    assert_eq!(stage.get("/two").text(), r#"{"rows":[{"n":2}]}"#);
    stage.wait_for("postgres_prepared", |count| count == 3);
}
