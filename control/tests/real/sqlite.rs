//! SQLite files that are replaced and overwritten under load: no answer is from the wrong one.
//!
//! Every database has a number. Its values say it, its column is named by it, and so does the configuration that
//! is for it: an answer tells which file and which configuration it comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rusqlite::Connection;
use serde_json::Value;
use testkit::{Client, Rig, RigPlan};

use crate::kit::{Server, ServerPlan, pollux};

/// What the operator has: a database, and a configuration that reads it.
struct Operator<'r> {
    rig: &'r Rig,
    scratch: PathBuf,
}

impl Operator<'_> {
    fn database(&self) -> PathBuf {
        self.scratch.join("a.db")
    }

    /// A database of its own file, with so many rows.
    fn make(&self, number: u64, rows: u64, column: &str) -> PathBuf {
        let path = self.scratch.join(format!("{number}.db"));
        let script = format!(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, {column} INTEGER, filler TEXT);
             WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n LIMIT {rows})
             INSERT INTO t SELECT i, {number} * {NUMBERED} + i, hex(randomblob(30)) FROM n"
        );
        Connection::open(&path).and_then(|db| db.execute_batch(&script)).expect("a script");
        path
    }

    /// Configuration for the database of this number; replaced as an editor does, whole.
    fn configure(&self, number: u64, column: &str) {
        let route = |path: &str, more: &str| {
            format!(
                "[[route]]\npath = \"{path}/{{id}}\"\nkind = \"sqlite\"\ndatabase = \"a.db\"\n\
                 statement = \"one\"\narguments = [\"id\"]\n\
                 row = '{{\"value\": value, \"configuration\": configuration}}'\n{more}\n\
                 [route.parameters]\nid = {{ from = \"path\", type = \"integer\" }}\n\n"
            )
        };
        let text = format!(
            "[data]\ndirectory = \"{}\"\n[statements]\n\
             one = \"SELECT {column} AS value, {number} AS configuration FROM t WHERE id = ?1\"\n\n\
             [[route]]\npath = \"/fixed\"\nkind = \"fixed\"\ntype = \"text/plain\"\nbody = \"fixed\"\n\n{}{}",
            self.scratch.display(),
            route("/plain", ""),
            route("/cached", "cache = \"1h\""),
        );
        let fresh = self.scratch.join("fresh.toml");
        fs::write(&fresh, text).expect("writable");
        fs::rename(&fresh, self.file()).expect("the same directory");
    }

    fn file(&self) -> PathBuf {
        self.scratch.join("pollux.toml")
    }

    fn serve(&self) -> Server {
        let file = self.file();
        ServerPlan::af_xdp().with(&["--config", file.to_str().expect("UTF-8")]).serve(self.rig)
    }
}

/// Clients that check every answer.
#[derive(Debug, Default)]
struct Load {
    /// No older database may be answered from by now.
    oldest: AtomicU64,
    /// The newest there is.
    newest: AtomicU64,
    answers: AtomicU64,
    unavailable: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// Runs `test` with clients beside it, until it ends.
    fn run(
        &self,
        paths: &[&str],
        keys: u64,
        judge: impl Fn(u64, u64) -> bool + Sync,
        test: impl FnOnce(),
    ) {
        thread::scope(|scope| {
            for seed in 0..CLIENTS {
                let judge = &judge;
                scope.spawn(move || {
                    // Also when a client panics: the test waits for answers of the others.
                    let _over = Over(&self.is_over);
                    let (mut client, mut random) = (Client::open(), fastrand::Rng::with_seed(seed));
                    while !self.is_over.load(Ordering::Relaxed) {
                        let asked: Vec<_> = (0..PIPELINED).map(|_| random.u64(0..keys)).collect();
                        self.ask(&mut client, paths[random.usize(0..paths.len())], &asked, judge);
                    }
                });
            }
            let _over = Over(&self.is_over);
            test();
        });
        println!("{} answers, {} unavailable", value(&self.answers), value(&self.unavailable));
    }

    /// Asks for these keys; each answer is right, or unavailable. Returns how many were right.
    fn ask(
        &self,
        client: &mut Client,
        path: &str,
        keys: &[u64],
        judge: impl Fn(u64, u64) -> bool,
    ) -> usize {
        let oldest = value(&self.oldest);
        let request = |key: &u64| format!("GET {path}/{key} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.send(keys.iter().map(request).collect::<String>());
        let mut right = 0;
        for key in keys {
            let answer = client.response();
            if answer.status == 503 {
                self.unavailable.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status, 200, "{path}/{key}: {text}");
            let json: Value = serde_json::from_slice(&answer.body).expect("JSON");
            let number = |name: &str| json[name].as_u64().expect("a number");
            let (file, configuration) = (number("value") / NUMBERED, number("configuration"));
            assert_eq!(number("value") % NUMBERED, *key, "{path}: another row");
            let newest = value(&self.newest);
            assert!(
                (oldest..=newest).contains(&file),
                "{path}/{key} is {text}: {oldest} to {newest}"
            );
            assert!(judge(file, configuration), "{path}/{key} is {text}: mixed");
            self.answers.fetch_add(1, Ordering::Relaxed);
            right += 1;
        }
        right
    }

    /// Waits until the clients have so many answers more.
    fn advance(&self, answers: u64) {
        let until = value(&self.answers) + answers;
        while value(&self.answers) < until && !self.is_over.load(Ordering::Relaxed) {
            thread::yield_now();
        }
    }

    fn set(&self, bound: &AtomicU64, number: u64) {
        bound.store(number, Ordering::Relaxed);
    }
}

/// Ends the load when it is dropped.
struct Over<'l>(&'l AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn value(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn scene(test: impl FnOnce(&Operator<'_>) + Send) {
    Rig::run(RigPlan::VETH, |rig| test(&Operator { rig, scratch: rig.scratch.path().to_owned() }));
}

#[test]
fn a_reload_takes_file_and_configuration_together() {
    scene(|operator| {
        let place = |number: u64| {
            // Every other time the columns stay as they are.
            let column = format!("v{}", number / 2);
            let fresh = operator.make(number, KEYS, &column);
            fs::rename(fresh, operator.database()).expect("the same directory");
            operator.configure(number, &column);
        };
        place(0);
        let server = operator.serve();
        let load = Load::default();
        load.run(
            &["/plain", "/cached"],
            KEYS,
            |file, configuration| file == configuration,
            || {
                let mut witness = Client::open();
                for number in 1..=RELOADS {
                    load.set(&load.newest, number);
                    place(number);
                    load.advance(ANSWERS_BETWEEN);
                    pollux(operator.rig, &["reload"]).text();
                    load.set(&load.oldest, number);
                    // What was cached during the reload is found by whoever asks for all there is.
                    let keys: Vec<_> = (0..KEYS).collect();
                    for keys in keys.chunks(PIPELINED) {
                        let right =
                            load.ask(&mut witness, "/cached", keys, |file, configuration| {
                                file == configuration
                            });
                        assert_eq!(right, keys.len(), "nothing is unavailable");
                    }
                }
            },
        );
        assert_eq!(value(&load.unavailable), 0);
        server.stop(operator.rig);
    });
}

#[test]
fn a_file_that_is_emptied_or_overwritten_is_right_or_unavailable() {
    scene(|operator| {
        let path = operator.database();
        fs::rename(operator.make(0, ROWS_MANY, "v"), &path).expect("the same directory");
        operator.configure(0, "v");
        let server = operator.serve();
        let load = Load::default();
        load.run(
            &["/plain"],
            ROWS_FEW,
            |_, configuration| configuration == 0,
            || {
                let mut witness = Client::open();
                for number in 1..=OVERWRITES {
                    load.advance(ANSWERS_BETWEEN);
                    empty(&path);
                    load.set(&load.oldest, number);
                    let right = load.ask(&mut witness, "/plain", &[0], |_, _| false);
                    assert_eq!(right, 0, "an empty file has no rows");
                    let rows = if number % 2 == 0 { ROWS_MANY } else { ROWS_FEW };
                    let fresh = operator.make(number, rows, "v");
                    load.set(&load.newest, number);
                    fs::copy(&fresh, &path).expect("overwrites");
                    load.set(&load.oldest, number);
                    while load.ask(&mut witness, "/plain", &[0], |_, _| true) == 0 {
                        thread::yield_now();
                    }
                }
                witness.send("GET /fixed HTTP/1.1\r\nHost: a\r\n\r\n");
                assert_eq!(witness.response().body, b"fixed", "everything else goes on");
            },
        );
        assert!(value(&load.unavailable) > 0, "nobody noticed");
        server.stop(operator.rig);
    });
}

/// `: > path`
fn empty(path: &Path) {
    fs::write(path, "").expect("truncates");
}

/// Above any key: a database's number times this is the value of its first row.
const NUMBERED: u64 = 1_000_000;
const CLIENTS: u64 = 8;
const PIPELINED: usize = 16;
const KEYS: u64 = 4_000;
const RELOADS: u64 = 10;
const OVERWRITES: u64 = 20;
const ANSWERS_BETWEEN: u64 = 500;
const ROWS_MANY: u64 = 20_000;
const ROWS_FEW: u64 = 1_000;
