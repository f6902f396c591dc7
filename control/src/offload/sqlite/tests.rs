//! Requests to files of SQLite, through everything between a worker and the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use handlers::config::{RouteConfig, Source, ValueKind};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::offload::testkit::{QueryRoute, TestWorker, parts};

fn database(script: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.db");
    write(&path, script);
    (directory, path)
}

fn write(path: &Path, script: &str) {
    Connection::open(path).and_then(|db| db.execute_batch(script)).expect("a script");
}

const ITEMS: &str = "
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, active INTEGER, tags TEXT);
INSERT INTO items VALUES (1, 'a \"b\"', 1.5, 1, '[\"x\"]'), (2, NULL, 2.0, 0, '[]');";

fn by_price(file: &Path) -> RouteConfig {
    QueryRoute::sqlite(
        "/items",
        file,
        "SELECT tags, id, name, price, active FROM items WHERE price BETWEEN ?1 AND ?2",
        r#"{"id": id, "name": name, "price": price, "active": bool(active), "tags": json(tags)}"#,
    )
    .with("min", Source::Query, ValueKind::Number)
    .with("max", Source::Query, ValueKind::Number)
    .route()
}

/// A statement that runs for minutes.
fn endless(file: &Path) -> RouteConfig {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS n FROM n";
    QueryRoute::sqlite("/endless", file, sql, r#"{"n": n}"#).route()
}

#[test]
fn rows_become_json() {
    let (_directory, file) = database(ITEMS);
    let stage = TestWorker::start(&parts(), vec![by_price(&file)]);
    let response = stage.get("/items?min=0&max=9");
    assert_eq!((response.status, response.field("Content-Type")), (200, Some("application/json")));
    assert_eq!(
        response.text(),
        r#"{"rows":[{"id":1,"name":"a \"b\"","price":1.5,"active":true,"tags":["x"]},"#.to_owned()
            + r#"{"id":2,"name":null,"price":2.0,"active":false,"tags":[]}]}"#
    );
    assert_eq!(stage.get("/items?min=3&max=9").text(), r#"{"rows":[]}"#);
    assert_eq!(stage.get("/items?min=x&max=9").status, 400);
    assert_eq!((stage.reading("offloads_sqlite"), stage.reading("offloads_rejected")), (3, 1));
    stage.wait_for("completions", |total| total == 3);
    assert_eq!((stage.reading("sqlite_waiting"), stage.reading("sqlite_under_way")), (0, 0));
}

#[test]
fn what_does_not_fit_is_the_operators_and_told_once() {
    let (_directory, file) = database(ITEMS);
    let route =
        |path: &str, sql: &str, row: &str| QueryRoute::sqlite(path, &file, sql, row).route();
    let stage = TestWorker::start(
        &parts(),
        vec![
            route("/column", "SELECT id FROM items", r#"{"price": price}"#),
            route("/value", "SELECT price FROM items", r#"{"price": bool(price)}"#),
            route("/table", "SELECT id FROM nothing", r#"{"id": id}"#),
            route("/write", "DELETE FROM items RETURNING id", r#"{"id": id}"#),
            by_price(&file),
        ],
    );
    for path in ["/column", "/value", "/table", "/write"] {
        let response = stage.get(path);
        assert_eq!(
            (response.status, response.text()),
            (500, "500 Internal Server Error\n"),
            "{path}"
        );
    }
    assert_eq!((stage.reading("sqlite_schema_changed"), stage.reading("sqlite_errors")), (2, 2));
    assert_eq!(stage.get("/items?min=0&max=9").status, 200, "the file is fine");
}

#[test]
fn a_statement_that_runs_too_long_is_stopped() {
    let (_directory, file) = database(ITEMS);
    let mut parts = parts();
    parts.sqlite.timeout = Duration::from_millis(100);
    parts.sqlite.threads = 1;
    let stage = TestWorker::start(&parts, vec![endless(&file), by_price(&file)]);
    let endless = stage.begin_get("/endless");
    let behind = stage.begin_get("/items?min=0&max=9");
    let response = stage.end(endless);
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert!(response.took >= Duration::from_millis(100), "{:?}", response.took);
    assert!(response.took < Duration::from_secs(3), "{:?}", response.took);
    // Its time was up before it had its turn.
    assert_eq!(stage.end(behind).status, 503);
    assert_eq!(stage.reading("sqlite_timed_out"), 2);
    assert_eq!(stage.get("/items?min=0&max=9").status, 200);
}

#[test]
fn a_full_queue_is_refused_at_once() {
    let (_directory, file) = database(ITEMS);
    let mut parts = parts();
    (parts.sqlite.threads, parts.sqlite.queue) = (1, 1);
    parts.sqlite.timeout = Duration::from_secs(1);
    let stage = TestWorker::start(&parts, vec![endless(&file)]);
    let first = stage.begin_get("/endless");
    stage.wait_for("sqlite_under_way", |level| level == 1);
    let second = stage.begin_get("/endless");
    stage.wait_for("sqlite_waiting", |level| level == 1);
    let refused = stage.get("/endless");
    assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")));
    assert!(refused.took < Duration::from_millis(800), "{:?}", refused.took);
    assert_eq!(stage.reading("sqlite_refused"), 1);
    assert_eq!((stage.end(first).status, stage.end(second).status), (503, 503));
}

#[test]
fn a_replaced_file_is_opened_after_a_reload() {
    let (directory, file) = database(ITEMS);
    let mut parts = parts();
    parts.sqlite.threads = 1;
    let stage = TestWorker::start(&parts, vec![by_price(&file)]);
    let before = stage.get("/items?min=0&max=9");
    let fresh = directory.path().join("b.db");
    write(&fresh, &ITEMS.replace("1.5", "1.25"));
    fs::rename(&fresh, &file).expect("replaces");
    assert_eq!(stage.get("/items?min=0&max=9").body, before.body, "until the reload");
    stage.reload(vec![by_price(&file)]);
    assert!(stage.get("/items?min=0&max=9").text().contains("1.25"));
    assert_eq!(stage.reading("sqlite_opened"), 2);
    stage.reload(vec![by_price(&file)]);
    assert_eq!(stage.get("/items?min=0&max=9").status, 200);
    assert_eq!(stage.reading("sqlite_opened"), 2, "it is still the same");
}

#[test]
fn a_file_that_is_missing_or_damaged_comes_back() {
    let (_directory, file) = database(ITEMS);
    let good = fs::read(&file).expect("a file");
    fs::remove_file(&file).expect("is there");
    let mut parts = parts();
    parts.sqlite.threads = 1;
    let stage = TestWorker::start(&parts, vec![by_price(&file)]);
    assert_eq!(stage.get("/items?min=0&max=9").status, 503);
    assert_eq!(stage.reading("sqlite_unavailable"), 1);
    fs::write(&file, "no database at all ".repeat(1000)).expect("writes");
    let settled = |status: u16| {
        let fits = |_: &u32| {
            thread::sleep(Duration::from_millis(20));
            stage.get("/items?min=0&max=9").status == status
        };
        (0..200).any(|round| fits(&round))
    };
    assert!(settled(500), "it is there and damaged");
    assert!(stage.reading("sqlite_errors") > 0);
    fs::remove_file(&file).expect("is there");
    fs::write(&file, good).expect("writes");
    assert!(settled(200), "it is whole again");
    assert!(stage.reading("sqlite_opened") < 20, "with pauses in between");
}

#[test]
fn a_locked_file_is_waited_for_and_then_missed() {
    let (_directory, file) = database(ITEMS);
    let stage = TestWorker::start(&parts(), vec![by_price(&file)]);
    assert_eq!(stage.get("/items?min=0&max=9").status, 200);
    let writer = Connection::open(&file).expect("opens");
    writer.execute_batch("BEGIN EXCLUSIVE").expect("locks");
    assert_eq!(stage.get("/items?min=0&max=9").status, 503);
    writer.execute_batch("ROLLBACK").expect("unlocks");
    assert_eq!(stage.get("/items?min=0&max=9").status, 200);
    assert_eq!(stage.reading("sqlite_unavailable"), 1);
}

#[test]
fn an_unavailable_answer_is_what_the_route_says() {
    let missing = Path::new("/nonexistent/a.db");
    let route = QueryRoute::sqlite("/a", missing, "SELECT 1 AS n", r#"{"n": n}"#);
    let stage = TestWorker::start(&parts(), vec![route.unavailable(r#"{"rows":[]}"#).route()]);
    let response = stage.get("/a");
    assert_eq!((response.status, response.text()), (200, r#"{"rows":[]}"#));
}
