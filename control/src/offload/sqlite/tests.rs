//! Requests to files of SQLite, through everything between a worker and the file.

use std::fs;
use std::path::{Path, PathBuf};
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
fn infinities_are_null_and_the_other_rows_are_there() {
    let (_directory, file) = database(
        "CREATE TABLE r (id INTEGER PRIMARY KEY, v REAL); \
         INSERT INTO r VALUES (1, 9e999), (2, -9e999), (3, 1.5);",
    );
    let row = r#"{"id": id, "v": v, "t": text(v), "n": number(v)}"#;
    let route = QueryRoute::sqlite("/r", &file, "SELECT id, v FROM r ORDER BY id", row).route();
    let stage = TestWorker::start(&parts(), vec![route]);
    let response = stage.get("/r");
    assert_eq!(
        (response.status, response.text()),
        (
            200,
            concat!(
                r#"{"rows":[{"id":1,"v":null,"t":null,"n":null},"#,
                r#"{"id":2,"v":null,"t":null,"n":null},{"id":3,"v":1.5,"t":"1.5","n":1.5}]}"#,
            )
        )
    );
    assert_eq!(stage.reading("cells_not_finite"), 6);
}

#[test]
fn numbers_beyond_the_integers_of_reals_are_exact() {
    let (_directory, file) = database(
        "CREATE TABLE n (id INTEGER PRIMARY KEY); \
         INSERT INTO n VALUES (9007199254740992), (9007199254740993);",
    );
    let find = QueryRoute::sqlite("/n", &file, "SELECT id FROM n WHERE id = ?1", r#"{"id": id}"#);
    let half = QueryRoute::sqlite("/half", &file, "SELECT ?1 / 2 AS h", r#"{"h": h}"#);
    let routes =
        [find, half].map(|route| route.with("n", Source::Query, ValueKind::Number).route());
    let stage = TestWorker::start(&parts(), routes.into());
    for (path, want) in [
        ("/n?n=9007199254740993", r#"{"rows":[{"id":9007199254740993}]}"#),
        ("/n?n=9007199254740992.0", r#"{"rows":[{"id":9007199254740992}]}"#),
        ("/n?n=9007199254740994", r#"{"rows":[]}"#),
        ("/half?n=3", r#"{"rows":[{"h":1.5}]}"#),
    ] {
        assert_eq!(stage.get(path).text(), want, "{path}");
    }
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
    stage.wait_for("sqlite_opened", |opened| {
        assert_eq!(stage.get("/items?min=0&max=9").status, 503, "it is there and damaged");
        opened > 1
    });
    fs::remove_file(&file).expect("is there");
    fs::write(&file, good).expect("writes");
    stage.wait_for("sqlite_opened", |_| stage.get("/items?min=0&max=9").status == 200);
    assert_eq!(stage.reading("sqlite_errors"), 0);
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

/// One value of a table, under a name that is the route's.
fn value(file: &Path, column: &str) -> RouteConfig {
    let sql = format!("SELECT {column} AS v FROM t");
    QueryRoute::sqlite("/v", file, &sql, r#"{"v": v}"#).first().cached(HOUR).route()
}

const HOUR: Duration = Duration::from_secs(3600);

/// Replaces the file at `path` by one with this value.
fn replace(path: &Path, column: &str, value: i64) {
    let fresh = path.with_extension("new");
    write(&fresh, &format!("CREATE TABLE t ({column}); INSERT INTO t VALUES ({value})"));
    fs::rename(&fresh, path).expect("replaces");
}

#[test]
fn each_site_reads_the_file_that_came_with_it() {
    let (_directory, file) = database("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let stage = TestWorker::start(&parts(), vec![value(&file, "a")]);
    replace(&file, "b", 2);
    let second = stage.prepare(vec![value(&file, "b")]);
    // A worker may have it before anybody else is told, and others may not have it yet.
    for _ in 0..10 {
        assert_eq!(stage.get_of(&second, "/v").text(), r#"{"v":2}"#);
        assert_eq!(stage.get("/v").text(), r#"{"v":1}"#);
    }
    let first = stage.reload(vec![value(&file, "b")]);
    replace(&file, "c", 3);
    let third = stage.reload(vec![value(&file, "c")]);
    for _ in 0..10 {
        assert_eq!(stage.get_of(&first, "/v").text(), r#"{"v":1}"#);
        assert_eq!(stage.get_of(&second, "/v").text(), r#"{"v":2}"#);
        assert_eq!(stage.get_of(&third, "/v").text(), r#"{"v":2}"#);
        assert_eq!(stage.get("/v").text(), r#"{"v":3}"#);
    }
    assert_eq!((stage.reading("sqlite_errors"), stage.reading("sqlite_opened")), (0, 3 * 2));
}

#[test]
fn files_of_sites_that_are_gone_are_closed() {
    let (_directory, file) = database("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let stage = TestWorker::start(&parts(), vec![value(&file, "a")]);
    replace(&file, "a", 2);
    let first = stage.reload(vec![value(&file, "a")]);
    let name = PathBuf::from(format!("{} (deleted)", file.display()));
    let opened = || {
        let descriptors = fs::read_dir("/proc/self/fd").expect("Linux").flatten();
        descriptors.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to == name)).count()
    };
    stage.offload.on_old_sites_gone();
    assert_eq!(opened(), 3, "a handle and a connection for each thread");
    assert_eq!(stage.get_of(&first, "/v").text(), r#"{"v":1}"#);
    drop(first);
    stage.wait_for("sqlite_opened", |_| {
        stage.offload.on_old_sites_gone();
        opened() == 0
    });
    assert_eq!(stage.get("/v").text(), r#"{"v":2}"#);
}

#[test]
fn an_earlier_site_whose_file_is_lost_is_unavailable() {
    let (directory, file) = database("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let stage = TestWorker::start(&parts(), vec![value(&file, "a")]);
    let kept = directory.path().join("kept.db");
    fs::hard_link(&file, &kept).expect("the same file system");
    replace(&file, "a", 2);
    let first = stage.reload(vec![value(&file, "a")]);
    assert_eq!(stage.get_of(&first, "/v").text(), r#"{"v":1}"#);
    fs::write(&kept, "").expect("truncates");
    for _ in 0..10 {
        assert_eq!(stage.get_of(&first, "/v").status, 503);
        assert_eq!(stage.get("/v").text(), r#"{"v":2}"#);
    }
}

#[test]
fn a_lost_file_of_the_current_site_is_replaced_for_all_at_once() {
    let (directory, file) = database("CREATE TABLE t (a); INSERT INTO t VALUES (1)");
    let other = QueryRoute::sqlite("/u", &file, "SELECT a AS v FROM t", r#"{"v": v}"#).first();
    let stage = TestWorker::start(&parts(), vec![value(&file, "a"), other.route()]);
    let kept = directory.path().join("kept.db");
    fs::hard_link(&file, &kept).expect("the same file system");
    assert_eq!(stage.get("/v").field("X-Cache"), Some("MISS"));
    replace(&file, "a", 2);
    assert_eq!(stage.get("/u").text(), r#"{"v":1}"#, "what it had is sound");
    fs::write(&kept, "").expect("truncates");
    assert_eq!(stage.get("/u").text(), r#"{"v":2}"#);
    let response = stage.get("/v");
    assert_eq!(
        (response.field("X-Cache"), response.text()),
        (Some("MISS"), r#"{"v":2}"#),
        "what was cached is of the other file"
    );
}

#[test]
fn a_file_that_is_emptied_or_cut_short_is_unavailable_until_it_is_sound() {
    let rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)
                INSERT INTO items SELECT i + 2, hex(randomblob(50)), i, 0, '[]' FROM n";
    let (_directory, file) = database(&format!("{ITEMS} {rows}"));
    let sound = fs::read(&file).expect("a file");
    let stage = TestWorker::start(&parts(), vec![by_price(&file)]);
    let all = "/items?min=0&max=9999";
    let before = stage.get(all);
    assert_eq!(before.status, 200);
    for len in [0, 100, 4096, sound.len() / 2] {
        fs::write(&file, &sound[..len]).expect("truncates");
        for _ in 0..5 {
            assert_eq!(stage.get(all).status, 503, "{len} bytes");
        }
        fs::write(&file, &sound).expect("writes");
        stage.wait_for("sqlite_opened", |_| {
            let response = stage.get(all);
            assert!(response.status == 503 || response.body == before.body, "{len} bytes");
            response.status == 200
        });
    }
    assert_eq!(stage.reading("sqlite_errors"), 0);
}

/// As many changes and as many changes of the schema: to SQLite the two files are one.
#[test]
fn a_database_that_is_copied_over_another_is_seen() {
    let filler = "INSERT INTO u VALUES (7); INSERT INTO t VALUES (1)";
    let script = |first: &str, second: &str| {
        format!("CREATE TABLE {first} (a); CREATE TABLE {second} (a); {filler}")
    };
    let (directory, file) = database(&script("t", "u"));
    let other = directory.path().join("other.db");
    write(&other, &script("u", "t").replace("(1)", "(2)"));
    let (before, after) = (fs::read(&file).expect("a file"), fs::read(&other).expect("a file"));
    assert_eq!(before.len(), after.len());
    assert_eq!(before[24..44], after[24..44], "change counter, size and schema cookie");
    let route = QueryRoute::sqlite("/v", &file, "SELECT a AS v FROM t", r#"{"v": v}"#).first();
    let stage = TestWorker::start(&parts(), vec![route.route()]);
    for _ in 0..3 {
        for (bytes, text) in [(&before, r#"{"v":1}"#), (&after, r#"{"v":2}"#)] {
            fs::write(&file, bytes).expect("writes");
            (0..4).for_each(|_| assert_eq!(stage.get("/v").text(), text));
        }
    }
}

#[test]
fn what_another_process_commits_is_read() {
    let (_directory, file) = database("CREATE TABLE t (a); INSERT INTO t VALUES (0)");
    let route = QueryRoute::sqlite("/v", &file, "SELECT a AS v FROM t", r#"{"v": v}"#).first();
    let stage = TestWorker::start(&parts(), vec![route.route()]);
    let writer = Connection::open(&file).expect("opens");
    for mode in ["DELETE", "WAL"] {
        writer.pragma_update(None, "journal_mode", mode).expect("nobody reads");
        for round in 1..200 {
            writer.execute("UPDATE t SET a = ?1", [round]).expect("writes");
            let response = stage.get("/v");
            assert_eq!((response.status, response.text()), (200, &*format!(r#"{{"v":{round}}}"#)));
        }
    }
}
