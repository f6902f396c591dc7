//! Where the server is looked for: over TCP, by several names, and only if it is what is asked for.

use std::time::Duration;

use ::testkit::Proxy;

use super::{ONE, Postgres, one, parts, sleeping};
use crate::offload::testkit::TestWorker;

/// The first host refuses us. The second passes on to the server, requests to cancel as well.
#[test]
fn the_second_host_over_tcp_is_asked_where_the_first_refuses() {
    let server = Postgres::start_new();
    let proxy = Proxy::start(&server.socket());
    let port = proxy.address().port();
    let mut parts = parts(&server);
    let url = format!(
        "host=/nonexistent,localhost hostaddr=127.0.0.1,127.0.0.1 port=1,{port} user=postgres \
         dbname=postgres target_session_attrs=read-write tcp_user_timeout=5 keepalives_interval=5 \
         keepalives_retries=3"
    );
    parts.postgres.server = Some(url.parse().expect("a URL"));
    parts.postgres.timeout = Duration::from_millis(500);
    parts.postgres.connections = 1;
    let slow = sleeping("/sleep", Duration::from_secs(60)).route();
    let stage = TestWorker::start(&parts, vec![one().route(), slow]);
    stage.wait_for("postgres_connections_up", |up| up == 1);
    assert_eq!(stage.get("/one").text(), ONE);
    assert_eq!(stage.get("/sleep").status, 503);
    stage.wait_for("postgres_under_way", |level| level == 0);
    assert_eq!(stage.reading("postgres_connections_replaced"), 0, "it was cancelled");
}

/// A server that is not what is asked for is not used.
#[test]
fn a_server_that_may_be_written_to_is_not_one_that_is_read_only() {
    let server = Postgres::start_new();
    let mut parts = parts(&server);
    let url = format!("{} target_session_attrs=read-only", server.url());
    parts.postgres.server = Some(url.parse().expect("a URL"));
    let stage = TestWorker::start(&parts, vec![one().route()]);
    stage.wait_for("postgres_connect_failures", |failures| failures > 0);
    assert_eq!((stage.get("/one").status, stage.reading("postgres_connections_up")), (503, 0));
}
