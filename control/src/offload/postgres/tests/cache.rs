//! Cached responses beside writes: equal values with several spellings, and writes whose outcome is not known.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use handlers::Methods;
use handlers::config::{Source, ValueKind};
use http1::Method;

use super::{Postgres, QueryRoute, parts, start, start_with};
use crate::offload::Parts;
use crate::offload::testkit::TestWorker;

const HOUR: Duration = Duration::from_secs(3600);
const PUT: Methods = Methods::NONE.with(Method::Put);

/// Connections to a server that can be cut without its knowledge. Requests to cancel do not get through.
struct Relay {
    address: SocketAddr,
    clients: Arc<Mutex<Vec<TcpStream>>>,
}

impl Relay {
    /// Relays to this server as long as the test runs.
    fn start(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it has one");
        let clients = Arc::<Mutex<Vec<TcpStream>>>::default();
        let (taken, socket) = (Arc::clone(&clients), socket(server));
        thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, UnixStream::connect(&socket)) else {
                    return;
                };
                let mut head = [0; 8];
                let seen = client.peek(&mut head);
                if seen.is_ok() && head[4..] == CANCEL_REQUEST.to_be_bytes() {
                    continue;
                }
                let copy = |stream: &TcpStream| stream.try_clone().expect("a descriptor");
                taken.lock().unwrap_or_else(PoisonError::into_inner).push(copy(&client));
                let (mut from_client, mut to_client) = (copy(&client), client);
                let mut to_server = server.try_clone().expect("a descriptor");
                let mut from_server = server;
                thread::spawn(move || io::copy(&mut from_client, &mut to_server));
                // The server's end is open until the server closes it.
                thread::spawn(move || {
                    let _ = io::copy(&mut from_server, &mut to_client);
                    let _ = to_client.shutdown(Shutdown::Both);
                    io::copy(&mut from_server, &mut io::sink())
                });
            }
        });
        Self { address, clients }
    }

    /// `parts` with this way to the server.
    fn between(&self, mut parts: Parts) -> Parts {
        let (host, port) = (self.address.ip(), self.address.port());
        let url = format!("host={host} port={port} user=postgres dbname=postgres");
        parts.postgres.server = Some(url.parse().expect("a URL"));
        parts
    }

    /// Ends the clients' ends of all connections.
    fn cut(&self) {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.drain(..).for_each(|client| drop(client.shutdown(Shutdown::Both)));
    }
}

/// PostgreSQL's manual, 55.7: the code of a CancelRequest, after its length.
const CANCEL_REQUEST: u32 = 80_877_102;

/// The server's socket.
fn socket(server: &Postgres) -> PathBuf {
    let config: tokio_postgres::Config = server.url().parse().expect("a URL");
    let port = config.get_ports().first().expect("the URL has one");
    server.directory().join(format!(".s.PGSQL.{port}"))
}

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

fn told(stage: &TestWorker, path: &str) -> (Option<String>, String) {
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
    let (routes, relay) = (values(&server), Relay::start(&server));
    let parts = relay.between(parts(&server));
    let stage = start_with(&parts, routes);
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(told(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
    let put = stage.begin(WRITE);
    wait_until(&server, WRITING, "1\n");
    relay.cut();
    assert_eq!(stage.end(put).status, 503);
    stage.wait_for("postgres_connections_up", |up| up > 0);
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    let_go(&server);
    wait_until(&server, "SELECT v FROM t", "2\n");
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":2}"#));
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
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    assert_eq!(told(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
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
    let relay = Relay::start(&server);
    let mut parts = relay.between(parts(&server));
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
        assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
        assert_eq!(told(&stage, "/t/1"), is("HIT", r#"{"v":1}"#));
    });
    assert_eq!(server.query("SELECT count(*) FROM log"), "0\n");
}

#[test]
fn nothing_old_is_cached_after_a_write_that_could_not_be_cancelled() {
    let server = Postgres::start_new();
    let (routes, relay) = (values(&server), Relay::start(&server));
    let mut parts = relay.between(parts(&server));
    parts.postgres.timeout = Duration::from_millis(500);
    let stage = start_with(&parts, routes);
    assert_eq!(stage.request(WRITE).status, 503);
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#), "it is still running");
    stage.wait_for("postgres_connections_replaced", |count| count == 1);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":1}"#));
    let_go(&server);
    wait_until(&server, "SELECT v FROM t", "2\n");
    assert_eq!(told(&stage, "/t/1"), is("MISS", r#"{"v":2}"#));
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
        assert_eq!(told(&stage, &path), is("MISS", r#"{"v":1}"#), "{ty}");
        assert_eq!(told(&stage, &path), is("HIT", r#"{"v":1}"#), "{ty}");
        let put = stage.send("PUT", &format!("/t?id={written}"), "");
        assert_eq!((put.status, put.text()), (200, r#"{"v":2}"#), "{ty}");
        assert_eq!(told(&stage, &path), is("MISS", r#"{"v":2}"#), "{ty}: {written} is {read}");
    }
}
