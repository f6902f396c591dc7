//! PostgreSQL comes, goes and is slow: what depends on it says so, and nothing else notices.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use testkit::{Postgres, Rig, RigPlan, script};

use crate::kit::{SampleSite, ServerPlan, Shown, wrk};
use crate::workload::{Request, Shop, Visitor};

/// The harness itself: all that the others rely on.
#[test]
fn a_server_of_the_tests_own_comes_and_goes() {
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let site = SampleSite::write(scratch.path());
    let mut postgres = Postgres::seeded(&site.directory.join("seed.sql"));
    let directory = postgres.directory();
    assert_eq!(postgres.query("SELECT count(*) FROM items"), "100000\n");
    postgres.kill();
    postgres.start();
    assert_eq!(postgres.query("SELECT count(*) FROM items"), "100000\n");
    postgres.stop();
    postgres.start();
    assert_eq!(postgres.query("SELECT count(*) FROM items"), "100000\n");
    postgres.freeze();
    drop(postgres);
    assert!(!directory.exists(), "{}", directory.display());
    let directory = directory.to_str().expect("a path in UTF-8");
    let processes = fs::read_dir("/proc").expect("procfs").flatten().filter(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(directory)
    });
    assert_eq!(processes.count(), 0, "processes of {directory}");
}

#[test]
fn it_is_waited_for_and_missed_without_an_error() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let mut postgres = Postgres::seeded(&shop.seed());
        postgres.stop();
        let server = plan(&config(rig.scratch.path()), &shop, &postgres).serve(rig);
        let visitor = &mut Visitor::new();
        for round in 0..20 {
            assert_eq!(Kind::of(&visitor.ask(&asking(round))), Kind::Empty);
        }
        for path in ["/crud/items", "/crud/items/1"] {
            unavailable(visitor.ask(&Request::get(path)));
        }
        let write = Request::json("PUT", "/crud/items/1", r#"{"name":"x"}"#);
        unavailable(visitor.ask(&write));
        visitor.get("/db?min=1&max=9");

        postgres.start();
        let took = returned(visitor);
        println!("service came {took:?} after PostgreSQL");
        visitor.ask(&write).status(200);
        visitor.get("/crud/items/1");

        postgres.stop();
        assert_eq!(Kind::of(&visitor.ask(&asking(0))), Kind::Empty);
        unavailable(visitor.ask(&Request::get("/crud/items/2")));
        postgres.start();
        println!("service came {:?} after PostgreSQL, the second time", returned(visitor));
        server.stop(rig);
    });
}

#[test]
fn killed_under_load_nothing_else_notices() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let mut postgres = Postgres::seeded(&shop.seed());
        let plan = plan(&config(rig.scratch.path()), &shop, &postgres);
        let server = plan.with_env("DATABASE_MAX_CONN", "3").serve(rig);
        returned(&mut Visitor::new());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stop = Stop(&stop);
            let load: Vec<_> = (0..8).map(|_| askers(scope, stop.0)).collect();
            let before = wrk(32, 3, "/pipeline");
            let sessions = postgres.query(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                 AND pid <> pg_backend_pid()",
            );
            let sessions: u32 = sessions.trim().parse().expect("a number");
            assert!((1..=3).contains(&sessions), "{sessions} sessions, and 3 are allowed");

            let killed = Instant::now();
            postgres.kill();
            let during = wrk(32, 4, "/pipeline");
            let started = Instant::now();
            postgres.start();
            let up = Instant::now();
            println!("PostgreSQL took {:?} to come up", up - started);
            let after = wrk(32, 6, "/pipeline");
            stop.0.store(true, Ordering::Relaxed);

            for load in [&before, &during, &after] {
                assert!(load.faults.is_empty(), "{}", load.text);
            }
            let (without, back) = (during.rate / before.rate, after.rate / before.rate);
            println!(
                "/pipeline beside /async-db: {:.0}/s; {without:.2} of it without PostgreSQL, \
                 {back:.2} when it was back",
                before.rate
            );
            // A machine that others use, too, is not as fast at all times.
            assert!(without > 0.5 * back.min(1.0), "others keep their rate");
            let asked: Vec<Asked> =
                load.into_iter().flat_map(|load| load.join().expect("ends")).collect();
            assess(&asked, killed, started, up);
        });
        server.stop(rig);
    });
}

/// What came to those who asked all the time.
fn assess(asked: &[Asked], killed: Instant, started: Instant, up: Instant) {
    let of = |from: Instant, to: Instant| {
        asked.iter().filter(move |asked| asked.at >= from && asked.at + asked.took <= to)
    };
    let slowest = asked.iter().map(|asked| asked.took).max().unwrap_or_default();
    let first = asked.iter().map(|asked| asked.at).min().expect("somebody asked");
    let good = asked.iter().filter(|asked| asked.kind == Kind::Rows && asked.at >= up);
    let back = good.map(|asked| asked.at).min().expect("service comes back") - up;
    println!("{} asked, slowest {slowest:?}, rows again after {back:?}", asked.len());
    assert!(of(first, killed).all(|asked| asked.kind == Kind::Rows), "rows before");
    assert!(of(first, killed).count() > 100, "there was load");
    let dead = killed + Duration::from_millis(500);
    assert!(of(dead, started).all(|asked| asked.kind == Kind::Empty), "empty without");
    assert!(of(dead, started).count() > 100, "there was load without PostgreSQL");
    assert!(slowest < TIMEOUT + SLACK, "within the timeout");
    assert!(back < RETURN, "by itself");
    let settled = up + RETURN;
    assert!(of(settled, Instant::now()).all(|asked| asked.kind == Kind::Rows), "rows after");
}

/// Worse than gone: it is there, and says nothing.
#[test]
fn frozen_it_is_given_up_in_time() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = plan(&config(rig.scratch.path()), &shop, &postgres).serve(rig);
        let stop = AtomicBool::new(false);
        let visitor = &mut Visitor::new();
        returned(visitor);
        thread::scope(|scope| {
            let stop = Stop(&stop);
            let load: Vec<_> = (0..8).map(|_| askers(scope, stop.0)).collect();
            thread::sleep(Duration::from_secs(1));
            let before = wrk(16, 2, "/pipeline");
            postgres.freeze();
            let frozen = Instant::now();
            let during = wrk(16, 5, "/pipeline");
            postgres.thaw();
            let thawed = Instant::now();
            thread::sleep(RETURN);
            let settled = Instant::now();
            thread::sleep(Duration::from_secs(1));
            stop.0.store(true, Ordering::Relaxed);
            println!("/pipeline: {:.2} of its rate meanwhile", during.rate / before.rate);
            assert!(during.rate > before.rate * 0.5 && during.faults.is_empty());
            let asked: Vec<Asked> =
                load.into_iter().flat_map(|load| load.join().expect("ends")).collect();
            let slowest = asked.iter().map(|asked| asked.took).max().unwrap_or_default();
            println!("{} asked, slowest {slowest:?}", asked.len());
            assert!(slowest < TIMEOUT + SLACK, "within the timeout");
            for Asked { at, took, kind } in &asked {
                if *at > frozen && *at + *took < thawed {
                    assert_eq!(*kind, Kind::Empty, "{:?} after the freeze", *at - frozen);
                }
                if *at + *took < frozen || *at > settled {
                    assert_eq!(*kind, Kind::Rows, "before, and afterwards");
                }
            }
        });
        server.stop(rig);
    });
}

/// Nobody has to start the server again because of what happens to a table.
#[test]
fn a_table_may_come_later_and_be_made_anew() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let mut postgres = Postgres::start_new();
        let plan = plan(&config(rig.scratch.path()), &shop, &postgres);
        // Who starts it now is told.
        let (code, log) = plan.clone().launch(rig).refusal();
        assert_eq!(code, 2, "{log}");
        assert!(log.contains("items_by_price") && log.contains("relation \"items\""), "{log}");

        postgres.stop();
        let server = plan.serve(rig);
        let visitor = &mut Visitor::new();
        assert_eq!(Kind::of(&visitor.ask(&asking(0))), Kind::Empty);
        postgres.start();
        let start = Instant::now();
        while visitor.ask(&asking(0)).answer.status != 500 {
            assert!(start.elapsed() < RETURN, "PostgreSQL is there, and has no table");
            thread::sleep(Duration::from_millis(20));
        }
        for path in ["/crud/items", "/crud/items/1"] {
            visitor.ask(&Request::get(path)).status(500).has("Content-Type", "text/plain");
        }
        server.logged(&["items_by_price", "relation \"items\" does not exist"]);
        postgres.run(&shop.seed());
        let start = Instant::now();
        while visitor.ask(&asking(0)).answer.status == 500 {
            assert!(start.elapsed() < RETURN, "the table is there, and not found");
            thread::sleep(Duration::from_millis(20));
        }
        println!("found {:?} after it was there", start.elapsed());
        assert_eq!(Kind::of(&visitor.ask(&asking(0))), Kind::Rows);
        visitor.get("/crud/items/1");

        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stop = Stop(&stop);
            let load: Vec<_> = (0..4).map(|_| askers(scope, stop.0)).collect();
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(300));
                postgres.run(&shop.seed());
            }
            thread::sleep(Duration::from_millis(300));
            stop.0.store(true, Ordering::Relaxed);
            let asked: Vec<Asked> =
                load.into_iter().flat_map(|load| load.join().expect("ends")).collect();
            let slowest = asked.iter().map(|asked| asked.took).max().unwrap_or_default();
            println!("{} asked while the table was made anew, slowest {slowest:?}", asked.len());
            assert!(asked.len() > 100, "there was load");
            assert!(asked.iter().all(|asked| asked.kind == Kind::Rows), "nobody noticed");
        });
        server.stop(rig);
    });
}

#[test]
fn a_full_queue_is_refused_at_once() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = plan(&config(rig.scratch.path()), &shop, &postgres)
            .set("postgres.connections=1")
            .set("postgres.pipeline=1")
            .set("postgres.queue=4")
            .set("postgres.timeout=5s")
            .serve(rig);
        returned(&mut Visitor::new());
        let request = Request::get("/slow?ms=500");
        let mut visitors: Vec<_> = (0..20).map(|_| Visitor::new()).collect();
        for visitor in &mut visitors {
            visitor.send(&request);
        }
        let (mut served, mut refused) = (0, 0);
        for visitor in &mut visitors {
            let shown = visitor.answer(&request);
            match shown.answer.status {
                200 => served += 1,
                _ => {
                    unavailable(shown);
                    refused += 1;
                }
            }
        }
        println!("{served} served, {refused} refused");
        assert!((4..=7).contains(&served), "one at a time, four waiting: {served}");
        assert_eq!(served + refused, 20);
        let counted = server.stop(rig).stats.offload("postgres_refused");
        assert_eq!(counted, refused, "each refusal is counted");
    });
}

#[test]
fn a_slow_statement_times_out_alone() {
    Rig::run(RigPlan::VETH, |rig| {
        let shop = Shop::write(rig.scratch.path());
        let postgres = Postgres::seeded(&shop.seed());
        let server = plan(&config(rig.scratch.path()), &shop, &postgres)
            .set("postgres.connections=6")
            .set("postgres.timeout=1s")
            .serve(rig);
        returned(&mut Visitor::new());
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let stop = Stop(&stop);
            let load: Vec<_> = (0..4).map(|_| askers(scope, stop.0)).collect();
            thread::sleep(Duration::from_millis(500));
            for shown in time_out(&Request::get("/slow?ms=30000")) {
                unavailable(shown);
            }
            for shown in time_out(&Request::get("/slow-or-empty?ms=30000")) {
                shown.status(200).body(r#"{"items":[],"count":0}"#);
            }
            stop.0.store(true, Ordering::Relaxed);
            let asked: Vec<Asked> =
                load.into_iter().flat_map(|load| load.join().expect("ends")).collect();
            let slowest = asked.iter().map(|asked| asked.took).max().unwrap_or_default();
            println!("{} asked meanwhile, slowest {slowest:?}", asked.len());
            assert!(asked.len() > 100, "there was load");
            assert!(slowest < ALONE, "nobody waited for it");
        });
        // Nobody waits for what they say any more, so they are not to go on.
        let start = Instant::now();
        while sleepers(&postgres) > 0 {
            assert!(start.elapsed() < RETURN, "{} statements go on", sleepers(&postgres));
            thread::sleep(Duration::from_millis(50));
        }
        server.stop(rig);
    });
}

/// Asks twice for what takes too long, and returns the answers, which come when the time is over. Who
/// asks meanwhile for something else does not wait.
#[track_caller]
fn time_out(slow: &Request) -> Vec<Shown> {
    let mut visitors = [Visitor::new(), Visitor::new()];
    let start = Instant::now();
    visitors.iter_mut().for_each(|visitor| visitor.send(slow));
    let mut other = Visitor::new();
    for round in 0..40 {
        let asked = Instant::now();
        assert_eq!(Kind::of(&other.ask(&asking(round))), Kind::Rows, "{slow:?}, {round}");
        assert!(asked.elapsed() < ALONE, "{slow:?}: {round} took {:?}", asked.elapsed());
    }
    let others = start.elapsed();
    let shown = visitors.iter_mut().map(|visitor| visitor.answer(slow)).collect();
    let took = start.elapsed();
    let bounds = Duration::from_millis(900)..others.max(Duration::from_secs(1)) + SLACK;
    assert!(bounds.contains(&took), "{slow:?}: {took:?}");
    shown
}

/// How many statements sleep.
fn sleepers(postgres: &Postgres) -> u32 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
    postgres.query(sql).trim().parse().expect("a number")
}

/// One answer to `/async-db`.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Instant,
    took: Duration,
    kind: Kind,
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All rows that there are.
    Rows,
    /// What is said without a database.
    Empty,
}

impl Kind {
    /// It must be one of them.
    #[track_caller]
    fn of(shown: &Shown) -> Self {
        let shown = shown.clone().status(200).has("Content-Type", "application/json");
        let body: serde_json::Value = serde_json::from_slice(&shown.answer.body).expect("JSON");
        match body["count"].as_u64() {
            Some(0) => {
                shown.body(r#"{"items":[],"count":0}"#);
                Self::Empty
            }
            count => {
                let items = body["items"].as_array().map(Vec::len);
                assert_eq!((count, items), (Some(ROWS), Some(20)), "{}", shown.what);
                Self::Rows
            }
        }
    }
}

/// Asks `/async-db` again and again, some two hundred times a second.
fn askers<'scope>(
    scope: &'scope Scope<'scope, '_>,
    stop: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, Vec<Asked>> {
    scope.spawn(move || {
        let mut visitor = Visitor::new();
        let mut asked = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let at = Instant::now();
            let shown = visitor.ask(&asking(asked.len()));
            asked.push(Asked { at, took: at.elapsed(), kind: Kind::of(&shown) });
            thread::sleep(Duration::from_millis(5));
        }
        asked
    })
}

/// Ends the askers, also when the test fails beside them.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Twenty rows that are there.
fn asking(round: usize) -> Request {
    Request::get(&format!("/async-db?min={}&max=500&limit={ROWS}", round % 400))
}

const ROWS: u64 = 20;

/// Asks until rows come; says how long that took.
#[track_caller]
fn returned(visitor: &mut Visitor) -> Duration {
    let start = Instant::now();
    while Kind::of(&visitor.ask(&asking(0))) == Kind::Empty {
        assert!(start.elapsed() < RETURN, "no rows {RETURN:?} after PostgreSQL was there");
        thread::sleep(Duration::from_millis(20));
    }
    start.elapsed()
}

#[track_caller]
fn unavailable(shown: Shown) {
    let shown = shown.status(503).has("Content-Type", "text/plain");
    let seconds: u32 = shown.value("Retry-After").parse().expect("seconds");
    assert!(seconds > 0, "{shown:?}");
}

/// `deploy/arena.toml` with two routes whose statement takes as long as it is told.
fn config(scratch: &Path) -> String {
    let text = fs::read_to_string(script("deploy/arena.toml")).expect("is there");
    let section = "[statements]\n";
    assert!(text.contains(section), "arena.toml has statements");
    let statement = "slow = \"SELECT 1 AS id FROM pg_sleep($1::bigint * 0.001::float8)\"\n";
    let mut text = text.replace(section, &format!("{section}{statement}"));
    for (path, more) in
        [("/slow", ""), ("/slow-or-empty", "unavailable = '{\"items\":[],\"count\":0}'\n")]
    {
        text.push_str(&format!(
            "\n[[route]]\npath = \"{path}\"\nkind = \"postgres\"\nstatement = \"slow\"\n\
             arguments = [\"ms\"]\nrow = '{{\"id\": id}}'\n{more}\n[route.parameters]\n\
             ms = {{ from = \"query\", type = \"integer\", default = 1, bounds = [0, 60_000] }}\n"
        ));
    }
    let path = scratch.join("slow.toml");
    fs::write(&path, text).expect("writable");
    path.to_str().expect("a path in UTF-8").to_owned()
}

fn plan(config: &str, shop: &Shop, postgres: &Postgres) -> ServerPlan {
    ServerPlan::af_xdp()
        .with(&["--config", config, "--data", shop.directory()])
        .with_env("DATABASE_URL", &postgres.url())
}

/// From ask to answer, unless configured otherwise.
const TIMEOUT: Duration = Duration::from_secs(2);
/// What does not wait for a statement that times out after a second takes less, on a busy machine too.
const ALONE: Duration = Duration::from_millis(700);
/// For what a busy machine adds.
const SLACK: Duration = Duration::from_millis(800);
/// Until what was away serves again: the longest pause between two attempts, on a busy machine.
const RETURN: Duration = Duration::from_secs(4);
