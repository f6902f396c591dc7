//! What all asks have in common: the cache, the queues, the way back.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use handlers::Named;
use handlers::config::{Compress, DatasetConfig, Kind, RouteConfig, Source, ValueKind};
use http1::coding::Coding;
use rusqlite::Connection;
use tempfile::TempDir;

use super::testkit::{QueryRoute, TestWorker, parts};

fn database() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let path = directory.path().join("a.db");
    set(&path, 1);
    (directory, path)
}

/// The value that the route says.
fn set(path: &Path, value: i64) {
    let script = format!(
        "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY, value INTEGER);
         INSERT OR REPLACE INTO t VALUES (1, {value}), (2, {value})"
    );
    Connection::open(path).and_then(|db| db.execute_batch(&script)).expect("a script");
}

const LIFETIME: Duration = Duration::from_millis(200);

fn item(file: &Path) -> RouteConfig {
    QueryRoute::sqlite("/t/{id}", file, "SELECT value FROM t WHERE id = ?1", r#"{"v": value}"#)
        .with("id", Source::Path, ValueKind::Integer)
        .first()
        .cached(LIFETIME)
        .route()
}

#[test]
fn an_answer_is_kept_for_its_lifetime_and_says_so() {
    let (_directory, file) = database();
    let stage = TestWorker::start(&parts(), vec![item(&file)]);
    let told = |path: &str| {
        let response = stage.get(path);
        let told = response.field("X-Cache").map(str::to_owned);
        (response.status, told, response.text().to_owned())
    };
    let is = |word: &str, body: &str| (200, Some(word.to_owned()), body.to_owned());
    assert_eq!(told("/t/1"), is("MISS", r#"{"v":1}"#));
    set(&file, 2);
    assert_eq!(told("/t/1"), is("HIT", r#"{"v":1}"#));
    assert_eq!(told("/t/01"), is("HIT", r#"{"v":1}"#), "the key is the value");
    assert_eq!(told("/t/2"), is("MISS", r#"{"v":2}"#));
    thread::sleep(LIFETIME);
    assert_eq!(told("/t/1"), is("MISS", r#"{"v":2}"#));
    assert_eq!(stage.get("/t/3").status, 404);
    assert_eq!(stage.get("/t/3").field("X-Cache"), None, "only what is there is kept");
    assert_eq!((stage.reading("cache_hits"), stage.reading("cache_stored")), (2, 3));
}

#[test]
fn a_reload_empties_the_cache() {
    let (_directory, file) = database();
    let stage = TestWorker::start(&parts(), vec![item(&file)]);
    assert_eq!(stage.get("/t/1").field("X-Cache"), Some("MISS"));
    stage.reload(vec![item(&file)]);
    assert_eq!(stage.get("/t/1").field("X-Cache"), Some("MISS"));
    assert_eq!(stage.get("/t/1").field("X-Cache"), Some("HIT"));
}

#[test]
fn answers_are_let_go_when_they_were_sent() {
    let (_directory, file) = database();
    let stage = TestWorker::start(&parts(), vec![item(&file)]);
    for _ in 0..3 {
        (0..100).for_each(|id| drop(stage.get(&format!("/t/{}", id % 3))));
        thread::sleep(LIFETIME);
    }
    // The shelf that is looked at least often is looked at about once a second.
    stage.wait_for("responses_in_use", |level| level == 0);
    assert_eq!((stage.reading("response_bytes_in_use"), stage.reading("completions")), (0, 300));
}

/// A data set whose bodies are compressed for each request.
fn pressed() -> RouteConfig {
    let items: Vec<_> =
        (0..2000).map(|id| format!(r#"{{"id":{id},"price":2,"quantity":3}}"#)).collect();
    let text = format!("[{}]", items.join(","));
    RouteConfig {
        name: None,
        path: "/pressed".into(),
        below: false,
        methods: handlers::Methods::GET,
        headers: Vec::new(),
        compress: Compress::PerRequest(vec![Coding::Gzip]),
        kind: Kind::Dataset(DatasetConfig {
            items: Named { name: "items.json".into(), value: text.into() },
            computed: vec![("total".into(), "price * quantity".into())],
            count: None,
            parameters: Vec::new(),
            body: r#"{"items": rows, "count": count}"#.into(),
        }),
    }
}

const PRESSED: &str = "GET /pressed HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";

#[test]
fn bodies_are_compressed_beside_the_core() {
    let stage = TestWorker::start(&parts(), vec![pressed()]);
    let response = stage.request(PRESSED);
    assert_eq!((response.status, response.field("Content-Encoding")), (200, Some("gzip")));
    let plain = String::from_utf8(response.plain()).expect("text");
    assert!(
        plain.starts_with(r#"{"items":[{"id":0,"price":2,"quantity":3,"total":6"#),
        "{plain:.80}"
    );
    assert!(plain.ends_with(r#""count":2000}"#));
    assert_eq!((stage.reading("offloads_compress"), stage.reading("compressed")), (1, 1));
}

#[test]
fn more_bodies_than_can_wait_are_refused() {
    let stage = TestWorker::start(&parts(), vec![pressed()]);
    let waiting: Vec<_> = (0..50).map(|_| stage.begin(PRESSED)).collect();
    let answers: Vec<_> = waiting.into_iter().map(|waiting| stage.end(waiting)).collect();
    let refused: Vec<_> = answers.iter().filter(|response| response.status == 503).collect();
    assert_eq!(refused.len() as u64, stage.reading("compress_refused"));
    assert!(!refused.is_empty() && refused.len() < 50, "{} of 50", refused.len());
    assert!(refused.iter().all(|response| response.field("Retry-After") == Some("1")));
    assert!(answers.iter().all(|response| [200, 503].contains(&response.status)));
    assert_eq!(stage.reading("compress_waiting"), 0);
}

#[test]
fn without_a_server_postgres_is_unavailable_at_once() {
    let plain = QueryRoute::postgres("/a", "SELECT 1 AS n", r#"{"n": n}"#);
    let told = QueryRoute::postgres("/b", "SELECT 1 AS n", r#"{"n": n}"#).unavailable("{}");
    let stage = TestWorker::start(&parts(), vec![plain.route(), told.route()]);
    let response = stage.get("/a");
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert!(response.took < Duration::from_millis(900), "{:?}", response.took);
    let response = stage.get("/b");
    assert_eq!((response.status, response.text()), (200, "{}"));
    assert_eq!(stage.reading("postgres_unavailable"), 2);
}
