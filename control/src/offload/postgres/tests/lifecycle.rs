//! A server that goes, comes back, hangs, is slow or has no room.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use handlers::Methods;
use handlers::config::{Source, ValueKind};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{ONE, Postgres, QueryRoute, one, parts, sleeping, start, start_with};
use crate::offload::testkit::TestWorker;

/// Statements of ours that the server runs right now.
fn running(server: &Postgres) -> String {
    server.query(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pollux' AND state = 'active'",
    )
}

/// Asks until it is answered `{"n":1}`; how long that took.
fn returns(stage: &TestWorker) -> Duration {
    let since = Instant::now();
    while stage.get("/one").text() != ONE {
        assert!(since.elapsed() < Duration::from_secs(15), "it does not come back");
        thread::sleep(Duration::from_millis(10));
    }
    since.elapsed()
}

/// Ends our sessions; who connects from then on is not answered until the server is thawed.
fn lose_sessions(server: &Postgres) {
    let kill = |pid: &str, signal: Signal| {
        kill(Pid::from_raw(pid.parse().expect("a process id")), signal).expect("it runs");
    };
    let ours = server.query("SELECT pid FROM pg_stat_activity WHERE application_name = 'pollux'");
    let file = fs::read_to_string(server.directory().join("data/postmaster.pid"));
    let first = file.expect("the server is up").lines().next().map(str::to_owned);
    kill(&first.expect("it holds a process id"), Signal::SIGSTOP);
    ours.lines().for_each(|pid| kill(pid, Signal::SIGTERM));
}

#[test]
fn many_at_once_share_few_connections() {
    let server = Postgres::start_new();
    let stage = start(&server, [one()]);
    for _ in 0..10 {
        let waiting: Vec<_> = (0..100).map(|_| stage.begin_get("/one")).collect();
        for waiting in waiting {
            assert_eq!(stage.end(waiting).text(), ONE);
        }
    }
    let up = stage.reading("postgres_connections_up");
    assert!((2..=4).contains(&up), "{up} connections");
    stage.wait_for("completions", |total| total == 1000);
    assert_eq!(stage.reading("postgres_prepared"), up, "once on each");
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(stage.reading("postgres_waiting"), 0);
}

#[test]
fn what_takes_too_long_is_answered_and_stopped() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.connections = 1;
    parts.postgres.timeout = Duration::from_secs(1);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_secs(60)), one()]);
    assert_eq!(stage.get("/one").text(), ONE);
    let slow = stage.begin_get("/sleep");
    stage.wait_for("postgres_under_way", |level| level == 1);
    thread::sleep(Duration::from_millis(600));
    // Behind it on the only connection, with time left when it is stopped.
    let behind = stage.begin_get("/one");
    let response = stage.end(slow);
    assert_eq!((response.status, response.field("Retry-After")), (503, Some("1")));
    assert!(response.took >= Duration::from_secs(1), "{:?}", response.took);
    assert!(response.took < Duration::from_secs(3), "{:?}", response.took);
    assert_eq!(stage.end(behind).text(), ONE, "it has its turn");
    assert_eq!(running(&server), "0\n");
    assert_eq!(stage.reading("postgres_timed_out"), 1);
    assert_eq!(stage.reading("postgres_connections_replaced"), 0, "the connection is kept");
    assert_eq!(stage.reading("postgres_connects"), 1);
}

/// The worker counts its deadline from when it has parked the request, and so does the timeout: what waits in the
/// submission ring for longer is not run behind the client's back.
#[test]
fn the_timeout_counts_from_when_the_request_was_parked() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (n integer)");
    let write = QueryRoute::postgres("/write", "INSERT INTO t VALUES ($1)", r#"{"n": n}"#);
    let write = write.method(Methods::POST).with("n", Source::Body, ValueKind::Integer);
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_secs(5);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_secs(60)), write]);
    let late = "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"n\":1}";
    let late = stage.begin_parked(late, Duration::from_secs(6));
    let slow = "GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n";
    let slow = stage.end(stage.begin_parked(slow, Duration::from_secs(4)));
    assert_eq!((slow.status, stage.end(late).status), (503, 503));
    assert!(slow.took < Duration::from_secs(4), "{:?} of the second that it had left", slow.took);
    assert_eq!(server.query("SELECT count(*) FROM t"), "0\n");
    assert_eq!(stage.reading("postgres_timed_out"), 2);
}

#[test]
fn several_that_take_too_long_are_all_stopped() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    (parts.postgres.connections, parts.postgres.pipeline) = (2, 4);
    parts.postgres.timeout = Duration::from_millis(300);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_secs(60)), one()]);
    let slow: Vec<_> = (0..8).map(|_| stage.begin_get("/sleep")).collect();
    for slow in slow {
        let response = stage.end(slow);
        assert_eq!(response.status, 503);
        assert!(response.took < Duration::from_secs(3), "{:?}", response.took);
    }
    returns(&stage);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(running(&server), "0\n");
}

#[test]
fn a_server_that_is_killed_is_missed_at_once_and_found_again() {
    let mut server = Postgres::start_new();
    let stage = start(&server, [one(), sleeping("/sleep", Duration::from_secs(5))]);
    assert_eq!(stage.get("/one").text(), ONE);
    let under_way = stage.begin_get("/sleep");
    stage.wait_for("postgres_under_way", |level| level == 1);
    server.kill();
    assert_eq!(stage.end(under_way).status, 503);
    stage.wait_for("postgres_connect_failures", |failures| failures > 0);
    for _ in 0..20 {
        let response = stage.get("/one");
        assert_eq!(response.status, 503);
        assert!(response.took < Duration::from_secs(1), "{:?}", response.took);
    }
    assert_eq!(stage.reading("postgres_connections_up"), 0);
    server.start();
    let took = returns(&stage);
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert!(stage.reading("postgres_connections_lost") > 0);
}

#[test]
fn a_read_whose_connection_is_lost_is_sent_again_and_a_write_is_not() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE t (n integer)");
    let write = QueryRoute::postgres(
        "/write",
        "INSERT INTO t SELECT $1 FROM pg_sleep(1.5) RETURNING n",
        r#"{"n": n}"#,
    );
    let write = write.method(Methods::POST).with("n", Source::Body, ValueKind::Integer).first();
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_secs(5);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_millis(1_500)), write]);
    // One after the other: by then it is known that the first only reads.
    stage.wait_for("postgres_prepared", |count| count == 2);
    let read = stage.begin_get("/sleep");
    let body = "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"n\":1}";
    let write = stage.begin(body);
    stage.wait_for("postgres_under_way", |level| level == 2);
    thread::sleep(Duration::from_millis(100));
    server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pollux'",
    );
    let read = stage.end(read);
    assert_eq!((read.status, read.text()), (200, ONE));
    assert_eq!(stage.end(write).status, 503);
    assert_eq!(server.query("SELECT count(*) FROM t"), "0\n");
    assert!(stage.reading("postgres_retried") > 0);
}

/// As a restart of the server does it. What is sent again must not use up its attempts on connections that end too.
#[test]
fn reads_outlive_the_end_of_all_connections() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.connections = 16;
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_millis(200))]);
    let requests = || -> Vec<_> { (0..64).map(|_| stage.begin_get("/sleep")).collect() };
    // They are made one by one, while there is load.
    let since = Instant::now();
    while stage.reading("postgres_connections_up") < 12 {
        assert!(since.elapsed() < Duration::from_secs(60), "load makes no connections");
        for waiting in requests() {
            assert_eq!(stage.end(waiting).status, 200);
        }
    }
    for _ in 0..3 {
        let reads = requests();
        thread::sleep(Duration::from_millis(50));
        server.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pollux'",
        );
        for read in reads {
            assert_eq!(stage.end(read).status, 200);
        }
    }
    assert!(stage.reading("postgres_connections_lost") >= 12);
}

/// A connection that takes its time is not an outage for whoever is waiting for it. New requests are spared the wait.
#[test]
fn what_waits_outlives_an_attempt_to_connect_that_takes_long() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.connections = 1;
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_millis(200)), one()]);
    assert_eq!(stage.get("/one").text(), ONE);
    let sent = stage.begin_get("/sleep");
    stage.wait_for("postgres_under_way", |level| level == 1);
    lose_sessions(&server);
    stage.wait_for("postgres_connections_lost", |lost| lost == 1);
    let since = Instant::now();
    let refused = loop {
        assert!(since.elapsed() < Duration::from_secs(5), "new requests wait as well");
        let response = stage.begin_get("/one");
        thread::sleep(Duration::from_millis(20));
        if stage.is_complete(&response) {
            break stage.end(response);
        }
    };
    assert_eq!(refused.status, 503);
    server.thaw();
    let response = stage.end(sent);
    assert_eq!((response.status, response.text()), (200, ONE));
    returns(&stage);
    assert_eq!(stage.reading("postgres_connect_failures"), 0);
    assert_eq!(stage.reading("postgres_timed_out"), 0);
}

#[test]
fn a_server_that_hangs_is_waited_for_no_longer_than_allowed() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_secs(1);
    let stage = start_with(&parts, [one()]);
    assert_eq!(stage.get("/one").text(), ONE);
    server.freeze();
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(6) {
        let response = stage.get("/one");
        assert_eq!(response.status, 503);
        assert!(response.took < Duration::from_secs(3), "{:?}", response.took);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(stage.reading("postgres_connections_replaced") > 0);
    let response = stage.get("/one");
    assert!(response.took < Duration::from_millis(700), "at once by now: {:?}", response.took);
    server.thaw();
    let took = returns(&stage);
    assert!(took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn a_server_without_room_is_asked_through_what_it_gave() {
    let server = Postgres::start_new();
    server.query("CREATE ROLE few LOGIN CONNECTION LIMIT 2");
    let mut parts = parts(&server);
    parts.postgres.connections = 8;
    let mut config: tokio_postgres::Config = server.url().parse().expect("a URL");
    config.user("few");
    parts.postgres.server = Some(config);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_millis(10))]);
    // Each thread has one before the first wants its second.
    stage.wait_for("postgres_connections_up", |up| up == 2);
    forty_are_answered(&stage);
    forty_are_answered(&stage);
    assert_eq!(stage.reading("postgres_connections_up"), 2);
    let failures = stage.reading("postgres_connect_failures");
    assert!((1..=3).contains(&failures), "{failures} attempts that failed");
}

/// One connection for two threads: whose thread got none is asked through the other's.
#[test]
fn a_server_with_room_for_one_is_asked_through_that() {
    let server = Postgres::start_new();
    server.query("CREATE ROLE one LOGIN CONNECTION LIMIT 1");
    let mut parts = parts(&server);
    parts.postgres.connections = 8;
    let mut config: tokio_postgres::Config = server.url().parse().expect("a URL");
    config.user("one");
    parts.postgres.server = Some(config);
    let stage =
        TestWorker::start(&parts, vec![sleeping("/sleep", Duration::from_millis(1)).route()]);
    // While both threads connect: those of the one that is refused go over to the other.
    forty_are_answered(&stage);
    if thread::available_parallelism().map_or(1, usize::from) > 1 {
        stage.wait_for("postgres_connect_failures", |failures| failures > 0);
    }
    forty_are_answered(&stage);
    assert_eq!(stage.reading("postgres_connections_up"), 1);
}

fn forty_are_answered(stage: &TestWorker) {
    let waiting: Vec<_> = (0..40).map(|_| stage.begin_get("/sleep")).collect();
    for waiting in waiting {
        assert_eq!(stage.end(waiting).status, 200);
    }
}

#[test]
fn a_server_that_comes_late_is_found() {
    let mut server = Postgres::start_new();
    server.stop();
    let mut parts = parts(&server);
    parts.postgres.timeout = Duration::from_secs(5);
    let stage = TestWorker::start(&parts, vec![one().route()]);
    let response = stage.get("/one");
    assert_eq!(response.status, 503);
    assert!(response.took < Duration::from_secs(1), "{:?}", response.took);
    server.start();
    let took = returns(&stage);
    assert!(took < Duration::from_secs(6), "{took:?}");
}
