//! A server may refuse; it may not be wrong. Every response of a load is compared with what the test worked
//! out itself, while the site is reloaded, its files are replaced and damaged, and the database is killed,
//! frozen and cut off.
//!
//! `CHECKER_SECONDS` says how long, `CHECKER_SEED` repeats a run as far as threads allow it.

mod faults;
mod load;
mod model;
mod request;
mod site;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::{PgBouncer, Postgres, Proxy, Rig, RigPlan};

use crate::kit::ServerPlan;
use faults::Faults;
use load::{Asker, CONNECTIONS};
use model::Model;
use site::Site;

#[test]
fn no_response_is_wrong_whatever_breaks() {
    Rig::run(RigPlan::VETH, |rig| {
        let postgres = Postgres::start_new();
        let proxy = Proxy::start(&postgres.socket());
        check(rig, postgres, None, proxy);
    });
}

/// In transaction mode it does not keep what is prepared, and ends sessions of its own accord.
#[test]
fn no_response_is_wrong_behind_a_pooler() {
    Rig::run(RigPlan::VETH, |rig| {
        let postgres = Postgres::start_new();
        let pooler = PgBouncer::start_new(&postgres, 2);
        let proxy = Proxy::start(&pooler.socket());
        check(rig, postgres, Some(pooler), proxy);
    });
}

/// Asks and breaks, for as long as it is to last, a server that reaches `postgres` through `proxy`.
fn check(rig: &Rig, postgres: Postgres, pooler: Option<PgBouncer>, proxy: Proxy) {
    let seed = number("CHECKER_SEED").unwrap_or_else(|| fastrand::u64(..));
    let lasts = Duration::from_secs(number("CHECKER_SECONDS").unwrap_or(SECONDS));
    println!("CHECKER_SEED={seed}, for {lasts:?}");
    let (site, model) = (Site::new(rig.scratch.path()), Model::new());
    site.publish(0);
    site::seed(&postgres);
    let config = site.config();
    let server = ServerPlan::af_xdp()
        .with(&["--config", config.to_str().expect("UTF-8")])
        .with_env("DATABASE_URL", &proxy.url())
        .serve(rig);
    let stop = AtomicBool::new(false);
    let mut faults = Faults {
        rig,
        site: &site,
        model: &model,
        postgres,
        pooler,
        proxy,
        edition: 0,
        rng: Rng::with_seed(seed),
        asker: Asker::default(),
    };
    let rounds = thread::scope(|scope| {
        for index in 0..CONNECTIONS {
            let (model, stop) = (&model, &stop);
            scope.spawn(move || load::ask(model, index, seed, stop));
        }
        let end = StopAtEnd(&stop);
        faults.expire();
        let start = Instant::now();
        let mut rounds = 0;
        while rounds == 0 || start.elapsed() < lasts {
            faults.round();
            rounds += 1;
        }
        drop(end);
        rounds
    });
    faults.compare_tokens();
    println!("{rounds} rounds, {} replies lost", faults.lost());
    for (kind, count) in model.counted() {
        println!("{count:>9} {kind}");
    }
    let mistakes = model.mistakes();
    assert!(mistakes.is_empty(), "CHECKER_SEED={seed}\n{}", mistakes.join("\n"));
    assert!(faults.lost() > 0, "the proxy lost nothing");
    server.stop(rig);
}

/// Those who ask stop also when the one who breaks things panics.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is not a number")))
}

/// Each of the tests; CI has no time for more.
const SECONDS: u64 = 30;
