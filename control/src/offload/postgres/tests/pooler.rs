//! Through PgBouncer, which gives two sessions to everybody and keeps no prepared statements.

use std::thread;
use std::time::Duration;

use ::testkit::{PgBouncer, Tool};
use handlers::Methods;
use handlers::config::{Source, ValueKind};

use super::cache::wait_until;
use super::{ONE, Postgres, QueryRoute, sleeping, start_with};
use crate::offload::Parts;
use crate::offload::testkit::{self, TestWorker, site};
use crate::offload::validate;

fn parts(pooler: &PgBouncer) -> Parts {
    let mut parts = testkit::parts();
    parts.postgres.server = Some(pooler.url().parse().expect("a URL"));
    parts
}

/// Answers with its own number, the one of the request and a value of a type that the client must look up.
fn own(number: u32) -> QueryRoute {
    let sql = format!("SELECT {number} AS own, $1::integer AS n, 'blue'::color AS color");
    QueryRoute::postgres("/own/{n}", &sql, r#"{"own": own, "n": n, "color": color}"#)
        .with("n", Source::Path, ValueKind::Integer)
        .first()
}

fn write(number: u32) -> QueryRoute {
    let sql = format!("INSERT INTO t VALUES ({number}, $1, $2::text::color) RETURNING n");
    QueryRoute::postgres("/write", &sql, r#"{"n": n}"#)
        .method(Methods::POST)
        .with("n", Source::Body, ValueKind::Integer)
        .with("color", Source::Body, ValueKind::Text)
        .first()
}

#[test]
fn two_appliances_share_sessions_and_never_meet_each_others_statements() {
    let server = Postgres::start_new();
    server
        .query("CREATE TYPE color AS ENUM ('blue'); CREATE TABLE t (own int, n int, color color)");
    let pooler = PgBouncer::start_new(&server, 2);
    prepare_as_others_do(&pooler);
    let start = |number| {
        let routes = vec![own(number).route(), write(number).route()];
        let checked = validate::validate_with(
            &parts(&pooler),
            &site(routes.clone()),
            validate::REACH_TIMEOUT,
        );
        assert_eq!(checked.expect("nothing is wrong"), Vec::<String>::new());
        TestWorker::start(&parts(&pooler), routes)
    };
    let appliances = [start(1), start(2)];
    for round in 0..ROUNDS {
        let begun: Vec<_> = (0..AT_ONCE)
            .flat_map(|at| {
                let n = round * AT_ONCE + at;
                let body = format!(r#"{{"n":{n},"color":"blue"}}"#);
                let post = format!(
                    "POST /write HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                );
                appliances.iter().zip([1, 2]).flat_map(move |(appliance, own)| {
                    let row = format!(r#"{{"own":{own},"n":{n},"color":"blue"}}"#);
                    let written = format!(r#"{{"n":{n}}}"#);
                    [
                        (appliance, appliance.begin_get(&format!("/own/{n}")), row),
                        (appliance, appliance.begin(&post), written),
                    ]
                })
            })
            .collect();
        for (appliance, waiting, expected) in begun {
            let response = appliance.end(waiting);
            assert_eq!((response.status, response.text()), (200, &*expected), "round {round}");
        }
    }
    let written =
        server.query("SELECT own, count(*), count(DISTINCT n) FROM t GROUP BY own ORDER BY own");
    let each = ROUNDS * AT_ONCE;
    assert_eq!(written, format!("1|{each}|{each}\n2|{each}|{each}\n"), "each once");
    for appliance in &appliances {
        assert_eq!(appliance.reading("postgres_errors"), 0);
    }
}

/// Other appliances, whose clients count their statements from `s0`, were here before.
fn prepare_as_others_do(pooler: &PgBouncer) {
    let prepare = "DO $$ BEGIN FOR i IN 0..999 LOOP EXECUTE format('PREPARE s%s(int) AS SELECT 666 AS \
                   own, $1 AS n, ''red'' AS color', i); END LOOP; PERFORM pg_sleep(0.2); END $$";
    // Two at a time get both sessions.
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                Tool::new(60, "psql", &["--dbname", &pooler.url(), "--command", prepare]).text()
            });
        }
    });
}

const ROUNDS: usize = 40;
const AT_ONCE: usize = 8;

/// The session may be somebody else's by the time that a request to cancel arrives.
#[test]
fn what_takes_too_long_is_not_cancelled_and_its_connection_is_closed() {
    let server = Postgres::start_new();
    let pooler = PgBouncer::start_new(&server, 2);
    let mut parts = parts(&pooler);
    parts.postgres.timeout = Duration::from_millis(500);
    let stage = start_with(&parts, [sleeping("/sleep", Duration::from_secs(4)), super::one()]);
    assert_eq!(stage.get("/one").text(), ONE);
    assert_eq!(stage.get("/sleep").status, 503);
    let made = stage.reading("postgres_connects");
    stage.wait_for("postgres_connections_replaced", |count| count == 1);
    stage.wait_for("postgres_connects", |count| count > made);
    assert_eq!(stage.get("/one").text(), ONE);
    assert_eq!(stage.reading("postgres_cancels"), 0);
}

/// Preparing at the start is given up when it takes too long: nothing may be sent behind what is under way.
#[test]
fn a_connection_ends_with_a_query_that_is_given_up_on_it() {
    let server = Postgres::start_new();
    server.query("CREATE TABLE locked (n integer)");
    let pooler = PgBouncer::start_new(&server, 2);
    let mut parts = parts(&pooler);
    parts.postgres.timeout = Duration::from_millis(500);
    thread::scope(|scope| {
        let lock = "BEGIN; LOCK TABLE locked; SELECT pg_sleep(3); COMMIT";
        let locked = scope.spawn(|| server.query(lock));
        wait_until(
            &server,
            "SELECT count(*) FROM pg_locks WHERE relation = 'locked'::regclass",
            "1\n",
        );
        let route = QueryRoute::postgres("/locked", "SELECT n FROM locked", r#"{"n": n}"#);
        let stage = start_with(&parts, [route]);
        stage.wait_for("postgres_connections_lost", |count| count > 0);
        locked.join().expect("psql ends");
    });
}
