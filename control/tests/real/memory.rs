//! What 16,384 open connections take, and what becomes of a server whose control group may not have as many
//! hugepages as are free.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Client, Rig, RigPlan, Tool};

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

#[test]
fn a_control_group_with_too_few_hugepages_ends_nothing() {
    Rig::run(RigPlan::VETH, |rig| {
        let Some(group) = Group::new(rig) else {
            println!("skipped: no control group with hugetlb can be made here");
            return;
        };
        let plan = ServerPlan::af_xdp().in_group(&group.path.join("cgroup.procs"));
        let server = plan.clone().serve(rig);
        let (_, hugepages) = server.memory();
        let free = server.log();
        assert!(!free.contains("ordinary pages"), "{free}");
        server.stop(rig);
        // All but a page of what it takes: the last to ask are the socket buffers.
        group.limit(hugepages - PAGE);
        let server = plan.clone().serve(rig);
        let line = server.logged(&["socket buffers in ordinary pages"]);
        assert!(line.contains("hugetlb.2MB.max"), "{line}");
        drop(ask(Client::open()));
        server.stop(rig);
        for limit in [0, PAGE, 4 * PAGE] {
            group.limit(limit);
            let (code, log) = plan.clone().launch(rig).refusal();
            assert_eq!(code, 1, "{limit}: {log}");
            let file = group.path.join("hugetlb.2MB.max");
            let words = format!("{}: {limit}", file.display());
            assert!(log.contains(&words) && log.contains("hugepages-2Mi"), "{limit}: {log}");
        }
        assert_eq!(rig.xdp_program(), None, "a start that failed leaves nothing");
    });
}

/// A control group below the root of version 2's hierarchy, mounted where a server in a network namespace,
/// which has a `/sys` of its own, sees it. Gone when dropped.
struct Group {
    mount: PathBuf,
    path: PathBuf,
    /// The file that lists the controllers of the root's groups, if hugetlb was added to it.
    added_to: Option<PathBuf>,
}

impl Group {
    /// `None` where hugetlb is not to be had: no such controller, or one that version 1 has taken.
    fn new(rig: &Rig) -> Option<Self> {
        let mount = rig.scratch.path().join("cgroup");
        fs::create_dir(&mount).expect("writable");
        let mut group =
            Self { path: mount.join(format!("pollux-{}", rig.name)), mount, added_to: None };
        let mount = group.mount.to_str().expect("a path in UTF-8");
        if !Tool::new(5, "mount", &["-t", "cgroup2", "none", mount]).output().status.success() {
            return None;
        }
        let has = |file: &str| {
            let text = fs::read_to_string(group.mount.join(file)).unwrap_or_default();
            text.split_whitespace().any(|word| word == "hugetlb")
        };
        if !has("cgroup.controllers") {
            return None;
        }
        if !has("cgroup.subtree_control") {
            let file = group.mount.join("cgroup.subtree_control");
            fs::write(&file, "+hugetlb").ok()?;
            group.added_to = Some(file);
        }
        fs::create_dir(&group.path).expect("a new group");
        Some(group)
    }

    /// Sets the limit, once the kernel has freed what the last server had.
    fn limit(&self, bytes: u64) {
        let (file, start) = (self.path.join("hugetlb.2MB.max"), Instant::now());
        while let Err(error) = fs::write(&file, bytes.to_string()) {
            let is_busy = error.kind() == ErrorKind::ResourceBusy;
            assert!(is_busy && start.elapsed() < FREED_MAX, "{}: {error}", file.display());
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        fs::remove_dir(&self.path).ok();
        if let Some(file) = &self.added_to {
            // Another test may have a group meanwhile.
            fs::write(file, "-hugetlb").ok();
        }
        let mount = self.mount.to_str().expect("a path in UTF-8");
        Tool::new(5, "umount", &["--lazy", mount]).output();
    }
}

const PAGE: u64 = 2 << 20;
const FREED_MAX: Duration = Duration::from_secs(10);

fn ask(mut client: Client) -> Client {
    client.send("GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().body, b"ok");
    client
}
