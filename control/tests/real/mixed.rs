//! The mixed profile of the workload: everything at once on 512 connections, every answer compared.
//!
//! Fourteen templates in turn, five requests each: three sums by GET and two by POST, items, SQLite rows,
//! an upload of 1 MiB, two compressed megabytes, two files, two of PostgreSQL rows. Nothing may
//! fail, and both sides count the same.

use std::time::Duration;

use serde_json::Value;
use testkit::{Postgres, Response, Rig, RigPlan, decoded, script};

use crate::kit::{Drive, Driven, Exchange, Server, ServerPlan, Stats, Template, raise_file_limit};
use crate::workload::{Shop, Table, same, with_totals};

const CONNECTIONS: usize = 512;
const LASTS: Duration = Duration::from_secs(15);
/// 512 uploads at once share one core with all the rest, on a machine that may be busy.
const TIMEOUT: Duration = Duration::from_secs(90);

#[test]
fn everything_at_once_and_nothing_fails() {
    raise_file_limit(8_192);
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = serve(rig, &shop, &postgres);
        let before = server.stats();
        let driven = drive(&shop, &postgres, LASTS).run();
        account(&server, &before, &driven);
        assert_eq!(driven.connections, CONNECTIONS as u64, "connections stay");
        server.stop(rig);
    });
}

/// As the benchmark does it: a connection has one template's five requests, then it is reset.
#[test]
fn connections_that_end_after_five() {
    raise_file_limit(8_192);
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = serve(rig, &shop, &postgres);
        let before = server.stats();
        let driven = drive(&shop, &postgres, LASTS / 3).lifetime(5).run();
        account(&server, &before, &driven);
        assert!(driven.connections > CONNECTIONS as u64, "connections end");
        server.stop(rig);
    });
}

fn drive(shop: &Shop, postgres: &Postgres, lasts: Duration) -> Drive {
    Drive::new(mixed(shop, postgres), CONNECTIONS, lasts).timeout(TIMEOUT)
}

fn serve(rig: &Rig, shop: &Shop, postgres: &Postgres) -> Server {
    let config = script("deploy/arena.toml");
    let config = config.to_str().expect("a path in UTF-8");
    ServerPlan::af_xdp()
        .with(&["--config", config, "--data", shop.directory()])
        // A reset that is lost leaves a connection that nobody ends: this is how soon it is found out.
        .set("deadlines.idle=35s")
        // Uploads may starve where others use the machine, and are not to be given up for it.
        .set("deadlines.body_grace=2min")
        .with_env("DATABASE_URL", &postgres.url())
        .serve(rig)
}

/// What the driver saw is what the server counted, and all of it is good.
fn account(server: &Server, before: &Stats, driven: &Driven) {
    print!("{}", driven.table());
    driven.expect_no_fault();
    let ended = |stats: &Stats| stats.total("connections_open") == 0;
    let after = server.stats_when("the end of every connection", ended);
    println!(
        "losses {:?}, retransmits {}, the port's own {:?}",
        after.losses(),
        after.total("retransmits"),
        after.nic()
    );
    let asked = driven.tally("db").answers + driven.tally("async-db").answers;
    let expected = [
        ("requests", driven.requests()),
        ("responses_2xx", driven.answers()),
        ("responses_3xx", 0),
        ("responses_4xx", 0),
        ("responses_5xx", 0),
        ("rejects", 0),
        ("offloads_submitted", asked),
        ("offloads_completed", asked),
        ("offloads_late", 0),
        ("offloads_refused", 0),
        ("deadline_response", 0),
        ("connections_opened", driven.connections),
    ];
    for (name, count) in expected {
        assert_eq!(after.total(name) - before.total(name), count, "{name}");
    }
    assert_eq!(after.total("parked"), 0, "nobody waits any more");
}

/// The fourteen, in the order of the benchmark.
fn mixed(shop: &Shop, postgres: &Postgres) -> Vec<Template> {
    let pairs: Vec<_> = (0..64).map(|n| (n * 7 - 100, n * n)).collect();
    let path = |(a, b): &(i64, i64)| format!("/baseline11?a={a}&b={b}");
    let get = || {
        let sum =
            |pair: &(i64, i64)| Exchange::get(&path(pair), "").body((pair.0 + pair.1).to_string());
        Template::new("baseline", pairs.iter().map(sum).collect())
    };
    let posted = |pair: &(i64, i64)| (pair.0 + pair.1 + 20).to_string();
    let sized = |pair| Exchange::post(&path(pair), b"20").body(posted(pair));
    let chunked = |pair| Exchange::post_chunked(&path(pair), &["2", "0"]).body(posted(pair));
    let (count, megabyte) = ((1 << 20).to_string(), vec![b'x'; 1 << 20]);
    let upload = Exchange::post("/upload", &megabyte).body(count);
    let async_db = || Template::new("async-db", rows(&Table::postgres(postgres)));
    vec![
        get(),
        get(),
        get(),
        Template::new("POST, length", pairs.iter().map(sized).collect()),
        Template::new("POST, chunked", pairs.iter().map(chunked).collect()),
        Template::new("json", items(shop)),
        Template::new("db", rows(&Table::sqlite(shop))),
        Template::new("upload", vec![upload]),
        compression(shop),
        compression(shop),
        files(shop),
        files(shop),
        async_db(),
        async_db(),
    ]
}

fn items(shop: &Shop) -> Vec<Exchange> {
    let pairs = [(1, 3), (5, 7), (10, 2), (15, 5), (25, 4), (40, 8), (50, 6)];
    let exchange = |(count, m): (usize, i64)| {
        let expected = with_totals(&shop.items, count, m);
        let exchange = Exchange::get(&format!("/json/{count}?m={m}"), "");
        exchange.passes(move |answer| is_json(&answer.body, &expected))
    };
    pairs.into_iter().map(exchange).collect()
}

/// Several ranges from either database.
fn rows(table: &Table<'_>) -> Vec<Exchange> {
    let exchange = |(min, max, limit): (i64, i64, i64)| {
        let (expected, path) = (table.expected(min, max, limit), table.path());
        let exchange = Exchange::get(&format!("{path}?min={min}&max={max}&limit={limit}"), "");
        exchange.passes(move |answer| is_json(&answer.body, &expected))
    };
    // SQLite has one limit, and the workload one range.
    let limits: &[i64] = match table {
        Table::Sqlite(_) => &[50],
        Table::Postgres(_) => &[5, 10, 20, 35, 50],
    };
    let ranges = [(10, 50), (1, 500), (400, 410)];
    let all = limits.iter().flat_map(|&limit| ranges.map(|(min, max)| (min, max, limit)));
    all.map(exchange).collect()
}

fn compression(shop: &Shop) -> Template {
    let expected = with_totals(&shop.large, shop.large.len(), 1);
    let check = move |answer: &Response| {
        let len = answer.body.len();
        if len >= 500_000 {
            return Err(format!("{len} bytes on the wire"));
        }
        is_json(&decoded("gzip", &answer.body), &expected)
    };
    let exchange = Exchange::get("/compression", "Accept-Encoding: gzip\r\n");
    Template::new("compression", vec![exchange.has("Content-Encoding", "gzip").passes(check)])
}

/// Every file, plain and coded.
fn files(shop: &Shop) -> Template {
    let files = &shop.site.files;
    let exchange = |name: &str, coding: &str, ending: &str| {
        let target = format!("/static/{name}");
        let exchange = Exchange::get(&target, &format!("Accept-Encoding: {coding}\r\n"));
        match files.get(&format!("{name}{ending}")) {
            Some(bytes) if ending.is_empty() => exchange.body(bytes.clone()),
            Some(bytes) => exchange.has("Content-Encoding", coding).body(bytes.clone()),
            None => exchange.body(files[name].clone()),
        }
    };
    let codings = [("identity", ""), ("br", ".br"), ("gzip", ".gz")];
    let all = shop
        .site
        .plain()
        .flat_map(|name| codings.map(|(coding, ending)| exchange(name, coding, ending)));
    Template::new("static", all.collect())
}

fn is_json(bytes: &[u8], expected: &Value) -> Result<(), String> {
    let got: Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if same(&got, expected) { Ok(()) } else { Err(format!("not {expected}")) }
}
