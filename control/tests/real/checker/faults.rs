//! The one who breaks things, mends them, and then wants everything to be as the databases say.

use std::fs::{self, File};
use std::process::Output;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use testkit::{PgBouncer, Postgres, Proxy, Rig};

use super::load::Asker;
use super::model::Model;
use super::request::Request;
use super::site::{CELLS, FEWER_CELLS, HOT_MS, ITEMS, LINGER, LINGERING, Site, retype};
use crate::kit::pollux;

/// What can be broken, and mended again.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    pub(super) rig: &'a Rig,
    pub(super) site: &'a Site,
    pub(super) model: &'a Model,
    pub(super) postgres: Postgres,
    pub(super) pooler: Option<PgBouncer>,
    pub(super) proxy: Proxy,
    pub(super) edition: u64,
    pub(super) rng: Rng,
    pub(super) asker: Asker,
}

impl Faults<'_> {
    /// Everything once, in any order; between them, and at the end, nothing may fail.
    pub(super) fn round(&mut self) {
        let mut kinds: [fn(&mut Self); 12] = [
            Self::reload,
            Self::reload_often,
            Self::cut,
            Self::lose_replies,
            Self::lose_a_write,
            Self::hold,
            Self::kill,
            Self::freeze,
            Self::truncate,
            Self::copy_over,
            Self::retype,
            Self::slow,
        ];
        self.rng.shuffle(&mut kinds);
        for kind in kinds {
            kind(self);
            thread::sleep(CALM);
            self.audit();
        }
    }

    /// A new edition, by a reload: nothing is broken by it.
    fn reload(&mut self) {
        self.edition += 1;
        self.model.begin_edition(self.edition);
        self.site.publish(self.edition);
        let output: Output = pollux(self.rig, &["reload"]).output();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        self.model.install_edition(self.edition);
    }

    fn reload_often(&mut self) {
        for _ in 0..4 {
            self.reload();
        }
    }

    fn cut(&mut self) {
        self.model.set_faulty(true);
        for _ in 0..5 {
            self.proxy.cut();
            thread::sleep(Duration::from_millis(self.rng.u64(1..80)));
        }
        self.settle();
    }

    fn lose_replies(&mut self) {
        self.model.set_faulty(true);
        for _ in 0..5 {
            self.proxy.lose_replies();
            thread::sleep(Duration::from_millis(self.rng.u64(1..40)));
            self.proxy.forward();
            thread::sleep(Duration::from_millis(self.rng.u64(1..80)));
        }
        self.settle();
    }

    /// A write whose connection is lost while it runs, so that nobody knows what became of it, and reads of its row until
    /// it is about to be stored: none of them may be cached.
    fn lose_a_write(&mut self) {
        let model = self.model;
        model.set_faulty(true);
        thread::scope(|scope| {
            let version = model.next_version(LINGERING);
            let write = Request::Write { id: LINGERING, version, plainly: true };
            scope.spawn(move || Asker::default().ask_all(model, &[write]));
            thread::sleep(LINGER / 5);
            self.proxy.cut();
            let start = Instant::now();
            while start.elapsed() < LINGER * 3 / 5 {
                self.asker.ask_all(model, &[Request::item(model, LINGERING, true)]);
                thread::sleep(Duration::from_millis(10));
            }
        });
        self.settle();
    }

    /// Longer than a request may take.
    fn hold(&mut self) {
        self.model.set_faulty(true);
        self.proxy.hold();
        thread::sleep(LONG);
        self.proxy.forward();
        self.settle();
    }

    fn kill(&mut self) {
        self.model.set_faulty(true);
        self.postgres.kill();
        thread::sleep(Duration::from_millis(300));
        self.postgres.start();
        self.settle();
    }

    fn freeze(&mut self) {
        self.model.set_faulty(true);
        self.postgres.freeze();
        thread::sleep(LONG);
        self.postgres.thaw();
        self.settle();
    }

    /// `: > cells.db`. The file is read again once it is sound, without a reload.
    fn truncate(&mut self) {
        self.model.set_faulty(true);
        File::create(self.site.database()).expect("writable");
        thread::sleep(Duration::from_millis(300));
        self.site.publish_database(self.edition);
        self.settle();
    }

    /// `cp smaller.db cells.db`, which is a sound file, so that only a reload takes another.
    fn copy_over(&mut self) {
        self.model.set_faulty(true);
        let smaller = self.rig.scratch.path().join("smaller.db");
        fs::remove_file(&smaller).ok();
        self.site.write_database(&smaller, self.edition, FEWER_CELLS);
        fs::copy(&smaller, self.site.database()).expect("writable");
        thread::sleep(Duration::from_millis(300));
        self.reload();
        self.settle();
    }

    /// `ALTER TABLE`, and a reload.
    fn retype(&mut self) {
        self.model.set_faulty(true);
        let change = self.model.begin_columns();
        self.postgres.query(retype(change));
        self.reload();
        self.model.install_columns();
        self.settle();
    }

    /// Statements that run longer than they may, which is nobody else's trouble. A pooler has no sessions to spare.
    fn slow(&mut self) {
        let model = self.model;
        thread::scope(|scope| {
            for _ in 0..if self.pooler.is_some() { 1 } else { 2 } {
                scope.spawn(|| Asker::default().ask_all(model, &[Request::Slow]));
            }
        });
    }

    /// With nobody else asking: what expires is asked of PostgreSQL once, however many want it. Only before anything
    /// breaks, for after a write of unknown outcome and a reload nothing is cached for a while.
    pub(super) fn expire(&self) {
        let model = self.model;
        let _alone = model.gate.write().expect("nobody panics with it");
        let runs = || -> u64 {
            let last = self.postgres.query("SELECT last_value FROM runs");
            last.trim().parse().expect("a number")
        };
        let (before, start) = (runs(), Instant::now());
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut asker = Asker::default();
                    while start.elapsed() < EXPIRING {
                        asker.ask_all(model, &[Request::Hot]);
                    }
                });
            }
        });
        // From the first to the last answer; each is cached for its time.
        let most = 1 + start.elapsed().as_millis() / HOT_MS + 1;
        let ran = runs() - before;
        // One that waits behind others may have been sent twice.
        if u128::from(ran) > 2 * most {
            model.wrong("asked more than once", &format!("{ran} times in {:?}", start.elapsed()));
        }
    }

    /// What was broken is mended: service returns by itself, for good.
    fn settle(&mut self) {
        let start = Instant::now();
        let mut served = 0;
        while served < 10 {
            let model = self.model;
            if self.pooler.as_mut().is_some_and(PgBouncer::restart_if_ended) {
                model.count("pooler started again");
            }
            let requests = [
                Request::Token { token: model.next_token(), by_get: self.rng.bool() },
                Request::item(model, self.rng.usize(..ITEMS), false),
                Request::Cell {
                    oldest: model.oldest_edition(),
                    id: self.rng.u64(..CELLS),
                    cached: false,
                },
            ];
            served = if self.asker.ask_all(model, &requests) { served + 1 } else { 0 };
            assert!(
                start.elapsed() < SETTLE_MAX,
                "service does not return; {:?}; wrong so far: {:#?}",
                model.counted(),
                model.mistakes()
            );
            thread::sleep(Duration::from_millis(20));
        }
        self.model.set_faulty(false);
    }

    /// With nobody asking and nothing running, every item is what PostgreSQL says, by the cache and without.
    fn audit(&mut self) {
        let model = self.model;
        let _alone = model.gate.write().expect("nobody panics with it");
        let start = Instant::now();
        while self.postgres.query(RUNNING) != "0\n" {
            assert!(start.elapsed() < SETTLE_MAX, "statements do not end");
            thread::sleep(Duration::from_millis(10));
        }
        let rows = self.postgres.query("SELECT id, version FROM items ORDER BY id");
        for row in rows.lines() {
            let (id, version) = row.split_once('|').expect("two columns");
            let (id, version) = (id.parse().expect("a number"), version.parse().expect("a number"));
            if !model.versions(id, model.oldest_version(id)).contains(&version) {
                model.wrong("write lost, or not one of ours", row);
            }
            model.stored(id, version);
        }
        for cached in [true, false] {
            for ids in (0..=LINGERING).collect::<Vec<_>>().chunks(8) {
                let requests: Vec<_> =
                    ids.iter().map(|&id| Request::item(model, id, cached)).collect();
                self.asker.ask_all(model, &requests);
            }
        }
    }

    /// After the last request: each token at most once in the table, and those that were answered.
    pub(super) fn compare_tokens(&self) {
        let stored = self.postgres.query("SELECT token FROM tokens");
        let stored: Vec<_> = stored.lines().map(|token| token.parse().expect("a number")).collect();
        self.model.compare_tokens(&stored);
    }

    /// Proof that connections were lost when they should have been.
    pub(super) fn lost(&self) -> u64 {
        self.proxy.counts().1
    }
}

/// Statements of others that run.
const RUNNING: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                       AND state <> 'idle' AND pid <> pg_backend_pid()";
/// Longer than `postgres.timeout`.
const LONG: Duration = Duration::from_millis(2_600);
/// Long enough for what is cached for a moment to expire a few times.
const EXPIRING: Duration = Duration::from_millis(350);
/// With nothing broken.
const CALM: Duration = Duration::from_millis(400);
/// How long service may take to return.
const SETTLE_MAX: Duration = Duration::from_secs(20);
