//! Two servers with different statements behind one PgBouncer: neither ever answers with what the other asked.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use testkit::{PgBouncer, Postgres, Rig, RigPlan};

use crate::kit::ServerPlan;
use crate::workload::{Request, Visitor};

#[test]
fn two_servers_share_a_pooler_and_never_answer_with_each_others_rows() {
    let postgres = Postgres::start_new();
    postgres.query("CREATE TABLE t (own int, n int)");
    let pooler = PgBouncer::start_new(&postgres, 2);
    let (to_second, from_first) = channel();
    let (to_first, from_second) = channel();
    let url = &pooler.url();
    thread::scope(|scope| {
        scope.spawn(move || {
            Rig::run(RigPlan::VETH, |rig| serve(rig, 1, url, to_second, from_second))
        });
        scope
            .spawn(move || Rig::run(RigPlan::VETH, |rig| serve(rig, 2, url, to_first, from_first)));
    });
    let written =
        postgres.query("SELECT own, count(*), count(DISTINCT n) FROM t GROUP BY own ORDER BY own");
    let each = CLIENTS * ROUNDS;
    assert_eq!(written, format!("1|{each}|{each}\n2|{each}|{each}\n"), "each once");
}

/// One of the two; it asks only while the other does, too.
fn serve(rig: &Rig, own: usize, url: &str, to_other: Sender<()>, from_other: Receiver<()>) {
    let config = config(rig.scratch.path(), own);
    let data = rig.scratch.path().to_str().expect("a path in UTF-8");
    let plan = ServerPlan::af_xdp().with(&["--config", &config, "--data", data]);
    let server = plan.with_env("DATABASE_URL", url).serve(rig);
    to_other.send(()).expect("the other is there");
    from_other.recv().expect("the other has started as well");
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            scope.spawn(move || ask(own, client));
        }
    });
    to_other.send(()).ok();
    from_other.recv().ok();
    server.stop(rig);
}

fn ask(own: usize, client: usize) {
    let mut visitor = Visitor::new();
    for round in 0..ROUNDS {
        let n = client * ROUNDS + round;
        let reads = |at| Request::get(&format!("/{}/{n}", STATEMENTS[at]));
        let mut requests: Vec<_> = (0..STATEMENTS.len()).map(reads).collect();
        requests.push(Request::json("POST", "/write", format!(r#"{{"n":{n}}}"#)));
        let mut shown = visitor.ask_all(&requests);
        shown.pop().expect("as many").status(200).body(format!(r#"{{"own":{own},"n":{n}}}"#));
        for (shown, word) in shown.into_iter().zip(STATEMENTS) {
            shown.status(200).body(format!(r#"{{"own":{own},"word":"{word}","n":{n}}}"#));
        }
    }
}

/// Both have as many statements, in the same order, for the same columns: only their rows tell them apart.
fn config(scratch: &Path, own: usize) -> String {
    let mut text = String::from("[statements]\n");
    for word in STATEMENTS {
        writeln!(text, "{word} = \"SELECT {own} AS own, '{word}' AS word, $1::integer AS n\"")
            .expect("memory");
    }
    writeln!(text, "write = \"INSERT INTO t VALUES ({own}, $1) RETURNING own, n\"")
        .expect("memory");
    let route = |path: &str, statement: &str, row: &str, n: &str| {
        format!(
            "\n[[route]]\nkind = \"postgres\"\n{path}\nstatement = \"{statement}\"\narguments = [\"n\"]\n\
             row = '{row}'\n[route.parameters]\nn = {{ from = \"{n}\", type = \"integer\" }}\n"
        )
    };
    for word in STATEMENTS {
        let row = r#"{"own": own, "word": word, "n": n}"#;
        text += &route(&format!("path = \"/{word}/{{n}}\""), word, row, "path");
    }
    let post = "path = \"/write\"\nmethods = [\"POST\"]";
    text += &route(post, "write", r#"{"own": own, "n": n}"#, "body");
    let path = scratch.join("pooler.toml");
    fs::write(&path, text).expect("writable");
    path.to_str().expect("a path in UTF-8").to_owned()
}

const STATEMENTS: [&str; 3] = ["red", "green", "blue"];
const CLIENTS: usize = 4;
const ROUNDS: usize = 50;
