//! Requests to a real server, through everything between a worker and the server: what its types
//! become, what its errors mean, and that it may go, come back, hang and be slow.

mod cache;
mod cells;
mod errors;
mod hosts;
mod lifecycle;
mod pooler;
mod retyped;
mod slow;
mod waiting;
mod writing_reads;

use std::time::Duration;

use ::testkit::{Postgres, Proxy};
use handlers::config::RouteConfig;

use crate::offload::Parts;
use crate::offload::testkit::{self, QueryRoute, TestWorker};

/// A small pool for this server.
fn parts(server: &Postgres) -> Parts {
    let mut parts = testkit::parts();
    parts.postgres.server = Some(server.url().parse().expect("a URL"));
    parts
}

/// The server behind `proxy`.
fn through(proxy: &Proxy) -> Parts {
    let mut parts = testkit::parts();
    parts.postgres.server = Some(proxy.url().parse().expect("a URL"));
    parts
}

fn start(server: &Postgres, routes: impl IntoIterator<Item = QueryRoute>) -> TestWorker {
    start_with(&parts(server), routes)
}

fn start_with(parts: &Parts, routes: impl IntoIterator<Item = QueryRoute>) -> TestWorker {
    let routes: Vec<RouteConfig> = routes.into_iter().map(QueryRoute::route).collect();
    let stage = TestWorker::start(parts, routes);
    stage.wait_for("postgres_connections_up", |up| up > 0);
    stage
}

/// Answers `{"rows":[{"n":1}]}` at once.
fn one() -> QueryRoute {
    QueryRoute::postgres("/one", "SELECT 1 AS n", r#"{"n": n}"#)
}

const ONE: &str = r#"{"rows":[{"n":1}]}"#;

/// Answers after a while.
fn sleeping(path: &str, time: Duration) -> QueryRoute {
    let sql = format!("SELECT 1 AS n FROM pg_sleep({})", time.as_secs_f64());
    QueryRoute::postgres(path, &sql, r#"{"n": n}"#)
}
