//! Nothing fails under load, and both sides count the same requests.
//!
//! The rule: with `done` the requests that the client counts as answered and `answered` the growth of
//! the server's `responses_*` from before the run until every connection has ended,
//! `done <= answered <= done + connections`. The client ends by closing its connections, each with at
//! most one request under way, whose answer it does not count.

use testkit::{Rig, RigPlan};

use crate::kit::{Load, Server, ServerPlan, h2load, raise_file_limit, wrk};

const SECONDS: u32 = 5;

#[test]
fn every_request_is_answered_and_counted() {
    raise_file_limit(8_192);
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        // The last frame of a client that ends may be lost to a full ring, and nobody sends it again:
        // this is how soon its connection is found out.
        let server = ServerPlan::af_xdp().set("deadlines.idle=10s").serve(rig);
        for connections in [1, 64, 512] {
            run(&server, "wrk", connections, || wrk(connections, SECONDS, "/pipeline"));
        }
        run(&server, "wrk /json/25", 64, || wrk(64, SECONDS, "/json/25?m=4"));
        run(&server, "h2load", 4_096, || h2load(4_096, SECONDS, "/pipeline"));
        let stopped = server.stop(rig);
        let losses = stopped.stats.losses();
        println!("losses {losses:?}, the port's own {:?}", stopped.stats.nic());
        println!("connections {:?}", stopped.stats.nonzero("connections_"));
        println!("retransmits {}", stopped.stats.total("retransmits"));
        let unexplained: Vec<_> =
            losses.iter().filter(|(name, _)| !EXPLAINED.contains(&name.as_str())).collect();
        assert!(unexplained.is_empty(), "frames were lost without a reason: {unexplained:?}");
        for name in ["responses_4xx", "responses_5xx", "rejects"] {
            assert_eq!(stopped.stats.total(name), 0, "{name}");
        }
    });
}

/// Losses that a client brings about that closes its connections with an answer under way. Its kernel
/// says RST to what comes then: again when the connection is gone already, and with the sequence
/// number that our segment acknowledged, which is old where its FIN and our segment crossed.
const EXPLAINED: &[&str] = &["drop_stray_reset", "drop_reset_guess"];

#[track_caller]
fn run(server: &Server, what: &str, connections: u32, load: impl FnOnce() -> Load) {
    let before = server.stats_when("no connection", |stats| stats.total("connections_open") == 0);
    let load = load();
    let ended = |name: &str| server.stats_when(name, |stats| stats.total("connections_open") == 0);
    let after = ended("that every connection has ended");
    let answered = after.responses() - before.responses();
    let requests = after.total("requests") - before.total("requests");
    println!(
        "{what}, {connections} connections: {:.0} requests/s; client {}, server {answered} answers \
         to {requests} requests",
        load.rate, load.done
    );
    assert!(load.faults.is_empty(), "{what}: {:?}\n{}", load.faults, load.text);
    assert!(load.done > 0, "{what}: nothing was done\n{}", load.text);
    let most = load.done + u64::from(connections);
    assert!(
        (load.done..=most).contains(&answered),
        "{what}: the client counts {}, the server {answered}",
        load.done
    );
    assert_eq!(answered, requests, "{what}: every request got one answer");
}
