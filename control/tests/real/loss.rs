//! Large transfers through a bad wire: nftables loses, doubles and corrupts frames, both ways.
//!
//! ```text
//!   client's namespace          the rig's namespace
//!   far-client <----------> near-client  -.  nftables: 2 % lost, 2 % twice, 1 % corrupt, the rest as
//!                           pollux-host  -'  it is, out of the other interface
//!                                |
//!                             pollux0 (the appliance)
//! ```
//!
//! Frames are spoilt where they enter an interface, when their checksums are final: on its way out, a
//! frame of this kernel has none yet.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use testkit::{APPLIANCE, HOST, PORT, Rig, RigPlan, Tool};

use crate::kit::{SampleSite, ServerPlan};

const UPLOAD: usize = 20 << 20;
const DOWNLOAD: usize = 64 << 20;
const SECONDS_MAX: u32 = 240;

#[test]
fn large_transfers_arrive_through_loss() {
    Rig::run(RigPlan::VETH, |rig| {
        let site = SampleSite::write(rig.scratch.path());
        let content = noise(DOWNLOAD);
        fs::write(site.directory.join("static/large.bin"), &content).expect("writable");
        let data = site.directory.to_str().expect("a path in UTF-8");
        let server = ServerPlan::af_xdp().with(&["--data", data]).serve(rig);
        let wire = Wire::lay(rig);

        let sent = rig.scratch.path().join("sent");
        fs::write(&sent, &content[..UPLOAD]).expect("writable");
        let got = wire.curl(UPLOAD, "upload", "/upload", &["--data-binary", &at(&sent)]);
        assert_eq!(got, UPLOAD.to_string().as_bytes(), "every byte is counted once");

        let got = wire.curl(DOWNLOAD, "download", "/static/large.bin", &[]);
        assert_eq!(got.len(), content.len(), "the length is right");
        let differs = got.iter().zip(&content).position(|(got, sent)| got != sent);
        assert_eq!(differs, None, "first byte that differs");

        wire.expect_faults();
        let stats = server.stop(rig).stats;
        println!("losses {:?}, retransmits {}", stats.losses(), stats.total("retransmits"));
        assert!(stats.total("drop_checksum") > 0, "corrupt frames were found out");
        assert!(stats.total("retransmits") > 0, "lost frames were sent again");
    });
}

/// The bad wire, and the client's namespace at its end.
struct Wire {
    client: String,
}

impl Wire {
    fn lay(rig: &Rig) -> Self {
        let wire = Self { client: format!("{}-client", rig.name) };
        let client = wire.client.as_str();
        ip(&["netns", "add", client]);
        ip(&["link", "add", "near-client", "type", "veth", "peer", "name", "far-client"]);
        ip(&["link", "set", "far-client", "netns", client]);
        let cidr = format!("{HOST}/24");
        ip(&["address", "del", &cidr, "dev", "pollux-host"]);
        ip(&["-netns", client, "address", "add", &cidr, "dev", "far-client"]);
        for feature in ["tx", "gso", "tso", "gro"] {
            wire.inside("ethtool", &["-K", "far-client", feature, "off"]).output();
            Tool::new(5, "ethtool", &["-K", "near-client", feature, "off"]).output();
        }
        rig.sysctl("net/ipv6/conf/near-client/disable_ipv6", "1");
        ip(&["link", "set", "near-client", "up"]);
        ip(&["-netns", client, "link", "set", "far-client", "up"]);
        let rules = rig.scratch.path().join("rules");
        let ways = way("to_appliance", "near-client", "pollux-host")
            + &way("to_client", "pollux-host", "near-client");
        fs::write(&rules, format!("table netdev bad_wire {{\n{ways}}}\n")).expect("writable");
        Tool::new(5, "nft", &["--file", rules.to_str().expect("a path in UTF-8")]).text();
        wire
    }

    fn inside(&self, program: &str, arguments: &[&str]) -> Tool {
        let mut all = vec!["netns", "exec", self.client.as_str(), program];
        all.extend(arguments);
        Tool::new(SECONDS_MAX + 10, "ip", &all)
    }

    /// Transfers `bytes`, prints how fast, and returns what came back.
    fn curl(&self, bytes: usize, what: &str, path: &str, arguments: &[&str]) -> Vec<u8> {
        let url = format!("http://{APPLIANCE}:{PORT}{path}");
        let limit = SECONDS_MAX.to_string();
        let mut all = vec!["--silent", "--show-error", "--fail", "--max-time", &limit];
        all.extend(["--header", "Expect:"]);
        all.extend(arguments);
        all.push(&url);
        let start = Instant::now();
        let output = self.inside("curl", &all).output();
        let took: Duration = start.elapsed();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {}: {errors} after {took:?}", output.status);
        let rate = bytes as f64 / f64::from(1 << 20) / took.as_secs_f64();
        println!("{what} of {} MiB: {took:.1?}, {rate:.2} MiB/s", bytes >> 20);
        output.stdout
    }

    /// Every kind of fault has happened, both ways.
    fn expect_faults(&self) {
        let rules = Tool::new(5, "nft", &["list", "table", "netdev", "bad_wire"]).text();
        let mut counts = Vec::new();
        for rule in rules.lines().filter(|line| line.contains(" counter packets ")) {
            let (what, count) = rule.trim().split_once(" counter packets ").expect("as filtered");
            let count = count.split(' ').next().and_then(|count| count.parse::<u64>().ok());
            counts.push((what.to_owned(), count.expect("a number")));
        }
        println!("the wire: {counts:?}");
        assert_eq!(counts.len(), 2 * FAULTS, "{rules}");
        assert!(counts.iter().all(|(_, count)| *count > 0), "a fault never happened: {counts:?}");
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        Tool::new(5, "ip", &["netns", "del", &self.client]).output();
    }
}

/// The rules of one direction. Both ends of a frame are corrupted: 14 bytes into the TCP header (the
/// window), and 100 bytes into it (the payload of a data segment; other frames are not so long).
fn way(name: &str, from: &str, to: &str) -> String {
    format!(
        "chain {name} {{
            type filter hook ingress device \"{from}\" priority 0; policy accept;
            numgen random mod 1000 < 20 counter drop
            numgen random mod 1000 < 20 counter dup to \"{to}\"
            meta l4proto tcp numgen random mod 1000 < 5 counter @th,112,8 set @th,112,8 ^ 0x5a
            meta l4proto tcp numgen random mod 1000 < 5 counter @th,800,8 set @th,800,8 ^ 0x5a
            fwd to \"{to}\"
        }}
        "
    )
}

/// Counted rules of one direction.
const FAULTS: usize = 4;

fn ip(arguments: &[&str]) {
    Tool::new(5, "ip", arguments).text();
}

fn at(path: &Path) -> String {
    format!("@{}", path.display())
}

/// Bytes without a pattern (xorshift64).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(next).flatten().take(len).collect()
}
