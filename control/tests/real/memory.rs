//! What 16,384 open connections take.

use std::thread;

use testkit::{Client, Rig, RigPlan};

use crate::kit::{ServerPlan, raise_file_limit};

const CONNECTIONS: usize = 16_384;
const LANES: usize = 2;
const MEMORY_MAX: u64 = 1 << 30;

#[test]
fn open_connections_fit_a_gibibyte() {
    raise_file_limit(20_000);
    Rig::run(RigPlan::MANY_CONNECTIONS, |rig| {
        rig.sysctl("net/ipv4/ip_local_port_range", "1024 65535");
        let server = ServerPlan::af_xdp().serve(rig);
        let at_start = server.memory();
        let lane = || (0..CONNECTIONS / LANES).map(|_| ask(Client::open())).collect::<Vec<_>>();
        let mut clients: Vec<_> = thread::scope(|scope| {
            let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
            let join = |lane: thread::ScopedJoinHandle<'_, Vec<Client>>| lane.join();
            lanes.into_iter().flat_map(|lane| join(lane).expect("every one is answered")).collect()
        });
        server.stats_when("all connections", |stats| {
            stats.total("connections_open") == CONNECTIONS as u64
        });
        let (resident, hugepages) = server.memory();
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        println!(
            "{CONNECTIONS} open connections: {:.1} MiB = resident {:.1} + hugepages {:.1} \
             (at start {:.1} + {:.1})",
            mib(resident + hugepages),
            mib(resident),
            mib(hugepages),
            mib(at_start.0),
            mib(at_start.1)
        );
        assert!(resident + hugepages <= MEMORY_MAX, "more than 1 GiB");
        // Idle does not mean forgotten.
        clients = clients.into_iter().step_by(64).map(ask).collect();
        drop(clients);
        let stats = server.stop(rig).stats;
        println!("losses {:?}, the port's own {:?}", stats.losses(), stats.nic());
        assert_eq!(stats.total("responses_2xx"), (CONNECTIONS + CONNECTIONS / 64) as u64);
    });
}

fn ask(mut client: Client) -> Client {
    client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().body, b"ok");
    client
}
