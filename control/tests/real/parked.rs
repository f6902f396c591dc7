//! A request that waits for a database is answered, whatever becomes of the server meanwhile: a reload
//! takes its site away, or a signal ends the process.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use testkit::{Client, Rig, RigPlan};

use crate::kit::{Server, ServerPlan, counting_route};

#[test]
fn a_query_outlives_the_site_it_was_asked_of() {
    Rig::run(RigPlan::VETH, |rig| {
        let file = configure(rig.scratch.path(), "before");
        let server = serve(rig, &file);
        let long = long_enough();
        let mut waiting = Client::open();
        let asked = Instant::now();
        waiting.send(get(long));
        server.stats_when("a query", |stats| stats.total("parked") == 1);
        configure(rig.scratch.path(), "after");
        server.signal(Signal::SIGHUP);
        let stats = server.stats_when("a reload", |stats| stats.reload("reloads") == 1);
        assert_eq!(stats.reload("sites_retired"), 1, "the query still has the old site");
        let mut other = Client::open();
        other.send(get(3));
        assert_eq!(other.response().body, b"{\"after\":3}", "others have the new site");
        assert_eq!(waiting.response().body, format!("{{\"before\":{long}}}").into_bytes());
        println!("a query of {:.1?} over a reload", asked.elapsed());
        waiting.send(get(4));
        assert_eq!(waiting.response().body, b"{\"after\":4}", "and so has its next request");
        server.stats_when("that nothing old is left", |s| s.reload("sites_retired") == 0);
        drop((waiting, other));
        let stats = server.stop(rig).stats;
        assert_eq!(stats.total("offloads_submitted"), stats.total("offloads_completed"));
    });
}

#[test]
fn a_query_is_answered_while_the_server_drains() {
    Rig::run(RigPlan::VETH, |rig| {
        let server = serve(rig, &configure(rig.scratch.path(), "n"));
        let long = long_enough();
        let mut waiting = Client::open();
        waiting.send(get(long));
        server.stats_when("a query", |stats| stats.total("parked") == 1);
        server.signal(Signal::SIGTERM);
        let answer = waiting.response();
        assert_eq!(answer.body, format!("{{\"n\":{long}}}").into_bytes());
        assert!(answer.closes(), "{:?}", answer.fields);
        waiting.expect_end();
        drop(waiting);
        let stopped = server.stop(rig);
        assert_eq!(
            stopped.stats.total("offloads_submitted"),
            stopped.stats.total("offloads_completed")
        );
        assert_eq!(stopped.stats.total("connections_aborted"), 0);
    });
}

/// One request may wait, and so there is one buffer for what it asks: a second one is refused at once.
#[test]
fn more_than_may_wait_are_refused_and_counted() {
    Rig::run(RigPlan::VETH, |rig| {
        let file = configure(rig.scratch.path(), "n");
        let file = file.to_str().expect("UTF-8");
        let plan = ServerPlan::af_xdp().with(&["--config", file]).set("limits.parked=1");
        let server = plan.serve(rig);
        let long = long_enough();
        // Several times as long as from one statistics file to the next: what they say now is of now.
        thread::sleep(Duration::from_millis(500));
        server.stats_when("a free buffer", |stats| stats.total("request_buffers_free") == 1);
        let (mut waiting, mut refused) = (Client::open(), Client::open());
        waiting.send(get(long));
        server.stats_when("a query", |stats| stats.total("parked") == 1);
        refused.send(get(3));
        assert_eq!(refused.response().status, 503);
        assert_eq!(waiting.response().body, format!("{{\"n\":{long}}}").into_bytes());
        refused.send(get(3));
        assert_eq!(refused.response().body, b"{\"n\":3}", "there is room again");
        drop((waiting, refused));
        let stats = server.stop(rig).stats;
        assert_eq!(stats.total("request_buffers_refused"), 1);
        assert_eq!(stats.total("responses_5xx"), 1);
    });
}

/// Writes a configuration whose route /count answers `{"WORD": N}`.
fn configure(scratch: &Path, word: &str) -> PathBuf {
    let file = scratch.join("pollux.toml");
    let text = format!(
        "[data]\ndirectory = \"{}\"\n[sqlite]\ntimeout = \"20s\"\n[deadlines]\nresponse = \"30s\"\n\
         drain = \"20s\"\n{}",
        scratch.display(),
        counting_route(scratch, word)
    );
    fs::write(&file, text).expect("writable");
    file
}

fn serve(rig: &Rig, file: &Path) -> Server {
    ServerPlan::af_xdp().with(&["--config", file.to_str().expect("UTF-8")]).serve(rig)
}

fn get(to: u64) -> String {
    format!("GET /count?to={to} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// How far this machine counts in about two seconds: twenty times as far as in a tenth of one.
fn long_enough() -> u64 {
    let mut client = Client::open();
    let mut to = 10_000;
    loop {
        let asked = Instant::now();
        client.send(get(to));
        assert_eq!(client.response().status, 200);
        if asked.elapsed() > Duration::from_millis(100) {
            return to * 20;
        }
        to *= 2;
    }
}
