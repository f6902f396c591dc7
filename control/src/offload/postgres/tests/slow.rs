//! Statements that take their time, and those that would wait behind them.

use std::time::{Duration, Instant};

use handlers::Methods;
use handlers::config::{Source, ValueKind};
use testkit::Proxy;

use super::{ONE, Postgres, QueryRoute, one, parts, sleeping, start_with, through};
use crate::offload::testkit::{TestWorker, Waiting};

/// How long the slow statement takes. What does not wait for it has long been answered by then, on any machine.
const SLOW: Duration = Duration::from_secs(6);
/// By when that is.
const SOON: Duration = Duration::from_secs(3);
const ROUNDS_MAX: usize = 10;

/// A server with the table `t`, and what queries it with `connections` at most.
fn start(connections: usize) -> (Postgres, TestWorker) {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (n integer)");
    let insert = "INSERT INTO t VALUES ($1) RETURNING n";
    let write = QueryRoute::postgres("/write", insert, r#"{"n": n}"#);
    let write = write.method(Methods::POST).with("n", Source::Body, ValueKind::Integer).first();
    let mut parts = parts(&server);
    (parts.postgres.connections, parts.postgres.pipeline) = (connections, 8);
    let half = sleeping("/half", Duration::from_millis(500));
    let fifth = sleeping("/fifth", Duration::from_millis(200));
    let stage = start_with(&parts, [sleeping("/sleep", SLOW), half, fifth, one(), write]);
    assert_eq!(stage.get("/one").text(), ONE);
    // One after the other, the write last: by then it is known that the others only read.
    stage.wait_for("postgres_prepared", |count| count >= 5);
    (server, stage)
}

fn begin_write(stage: &TestWorker, n: u32) -> Waiting {
    let body = format!(r#"{{"n":{n}}}"#);
    let len = body.len();
    stage.begin(&format!("POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}"))
}

/// Waits until nothing is under way and the server runs nothing of ours.
fn settle(server: &Postgres, stage: &TestWorker) {
    stage.wait_for("postgres_under_way", |level| level == 0);
    let running = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pollux' AND \
                   state = 'active'";
    let since = Instant::now();
    while server.query(running) != "0\n" {
        assert!(since.elapsed() < SLOW, "the server goes on");
    }
}

/// Whether a read is pipelined behind a statement that is not yet known to be slow is a matter of milliseconds: plays
/// `round` until one was, and moved.
#[track_caller]
fn until_one_is_moved(stage: &TestWorker, round: impl Fn()) {
    for _ in 0..ROUNDS_MAX {
        assert_eq!(stage.get("/one").text(), ONE);
        let before = stage.reading("postgres_moved");
        round();
        if stage.reading("postgres_moved") > before {
            return;
        }
    }
    panic!("none was moved in {ROUNDS_MAX} rounds");
}

#[test]
fn reads_behind_a_statement_that_shows_to_be_slow_are_moved() {
    let (server, stage) = start(2);
    until_one_is_moved(&stage, || {
        let slow = stage.begin_get("/sleep");
        let behind: Vec<_> = (0..5).map(|_| stage.begin_get("/one")).collect();
        for behind in behind {
            let response = stage.end(behind);
            assert_eq!(response.text(), ONE);
            assert!(response.took < SOON, "{:?}", response.took);
        }
        assert!(!stage.is_complete(&slow), "it takes its time");
        assert_eq!(stage.end(slow).text(), ONE);
    });
    settle(&server, &stage);
    assert_eq!(stage.get("/one").text(), ONE);
    let counted = ["postgres_connects", "postgres_connections_lost", "postgres_retried"];
    assert_eq!(counted.map(|name| stage.reading(name)), [2, 0, 0]);
}

/// The first place of a slow read that was moved comes up while nobody waits for it there.
#[test]
fn a_slow_read_that_was_moved_is_stopped_in_its_first_place() {
    let (server, stage) = start(2);
    // The second connection is made for the one that waits.
    let both = ["/fifth", "/fifth"].map(|path| stage.begin_get(path));
    stage.wait_for("postgres_connections_up", |up| up == 2);
    for waiting in both {
        assert_eq!(stage.end(waiting).text(), ONE);
    }
    until_one_is_moved(&stage, || {
        // Both connections have something to do, and the second is done with it first.
        let [first, other, second] =
            ["/half", "/fifth", "/sleep"].map(|path| stage.begin_get(path));
        assert_eq!(stage.end(other).text(), ONE);
        assert_eq!(stage.end(first).text(), ONE);
        assert!(!stage.is_complete(&second), "only its first place is given up");
        let response = stage.end(second);
        assert_eq!((response.status, response.text()), (200, ONE));
    });
    settle(&server, &stage);
    assert!(stage.reading("postgres_cancels") > 0);
    assert_eq!(stage.reading("postgres_connections_replaced"), 0);
}

/// Under load, or far away, a request to cancel arrives when the statement that it was meant for may be over.
#[test]
fn a_late_request_to_cancel_hits_nothing_that_comes_after() {
    let server = Postgres::start_new();
    let late = Duration::from_millis(300);
    let proxy = Proxy::start_with_late_cancels(&server.socket(), late);
    server.query("CREATE TABLE t (n integer)");
    let insert = "INSERT INTO t SELECT $1 FROM pg_sleep(0.03) RETURNING n";
    let write = QueryRoute::postgres("/write", insert, r#"{"n": n}"#);
    let write = write.method(Methods::POST).with("n", Source::Body, ValueKind::Integer).first();
    let mut parts = through(&proxy);
    parts.postgres.connections = 1;
    parts.postgres.timeout = Duration::from_secs(1);
    let stage = start_with(&parts, [sleeping("/sleep", SLOW), write]);
    assert_eq!(stage.get("/sleep").status, 503);
    stage.wait_for("postgres_under_way", |level| level == 0);
    for n in 0..20 {
        assert_eq!(stage.end(begin_write(&stage, n)).status, 200);
    }
    assert_eq!(["postgres_cancels", "postgres_retried"].map(|name| stage.reading(name)), [1, 0]);
}

#[test]
fn a_read_stays_where_there_is_nowhere_else() {
    let (server, stage) = start(1);
    let slow = stage.begin_get("/half");
    let behind: Vec<_> = (0..12).map(|_| stage.begin_get("/one")).collect();
    assert_eq!(stage.end(slow).text(), ONE);
    for behind in behind {
        assert_eq!(stage.end(behind).text(), ONE);
    }
    settle(&server, &stage);
    assert_eq!(stage.reading("postgres_moved"), 0);
}

/// A write is sent once, and waits behind no statement of which it is not known that it is fast.
#[test]
fn a_write_is_not_sent_behind_a_statement_that_may_be_slow() {
    let (server, stage) = start(3);
    let slow = stage.begin_get("/sleep");
    let writes: Vec<_> = (0..20).map(|n| begin_write(&stage, n)).collect();
    for write in writes {
        let response = stage.end(write);
        assert_eq!(response.status, 200);
        assert!(response.took < SOON, "{:?}", response.took);
    }
    assert!(!stage.is_complete(&slow), "it takes its time");
    assert_eq!(server.query("SELECT count(*), count(DISTINCT n) FROM t"), "20|20\n");
    assert_eq!(stage.end(slow).text(), ONE);
    settle(&server, &stage);
}

/// Whatever the load, writes get their turn and so do reads.
#[test]
fn reads_and_writes_do_not_keep_each_other_waiting() {
    for connections in [1, 2, 4] {
        let (server, stage) = start(connections);
        let mut reads: Vec<_> = (0..40).map(|_| stage.begin_get("/one")).collect();
        let mut writes: Vec<_> = (0..20).map(|n| begin_write(&stage, n)).collect();
        let (mut read, mut wrote) = (0, 0);
        let since = Instant::now();
        while read < 400 || wrote < 200 {
            assert!(since.elapsed() < Duration::from_secs(60), "{read} read, {wrote} written");
            for slot in &mut reads {
                if stage.is_complete(slot) {
                    let done = std::mem::replace(slot, stage.begin_get("/one"));
                    assert_eq!(stage.end(done).text(), ONE);
                    read += 1;
                }
            }
            for slot in &mut writes {
                if stage.is_complete(slot) {
                    let done = std::mem::replace(slot, begin_write(&stage, 20 + wrote));
                    assert_eq!(stage.end(done).status, 200);
                    wrote += 1;
                }
            }
        }
        for waiting in reads.into_iter().chain(writes) {
            assert_eq!(stage.end(waiting).status, 200);
        }
        println!("{connections} connections: {read} read, {wrote} written");
        let count = format!("{}\n", wrote + 20);
        assert_eq!(server.query("SELECT count(DISTINCT n) FROM t"), count);
        settle(&server, &stage);
    }
}
