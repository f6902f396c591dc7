//! A client's namespace behind a bridge.

use std::fs::File;

use nix::sched::{CloneFlags, setns};

use super::forward::{Bridge, make_plain};
use super::impairment::Impairment;
use crate::rig::{HOST, Rig};
use crate::tool::Tool;

/// A namespace that has the host's address of a [`Rig`], with a bridge between its link and the rig's:
///
/// ```text
///   client's namespace          the rig's namespace
///   far-client <----------> client-link = bridge = pollux-host <-> pollux0 (the appliance)
/// ```
///
/// Dropping it removes the namespace. The rig's own end of the link has no address any more.
#[derive(Debug)]
pub struct BridgedClient {
    /// The bridge: left is the client, right the appliance.
    pub bridge: Bridge,
    /// Name of the namespace.
    pub name: String,
}

impl BridgedClient {
    /// Makes it, from a thread inside the rig's namespace.
    ///
    /// # Panics
    /// If that cannot be.
    #[must_use]
    pub fn start(rig: &Rig, seed: u64, [to_appliance, to_client]: [Impairment; 2]) -> Self {
        let name = format!("{}-client", rig.name);
        let cidr = format!("{HOST}/24");
        ip(&["netns", "add", &name]);
        ip(&["link", "add", "client-link", "type", "veth", "peer", "name", "far-client"]);
        make_plain("far-client");
        rig.sysctl("net/ipv6/conf/client-link/disable_ipv6", "1");
        rig.sysctl("net/ipv6/conf/far-client/disable_ipv6", "1");
        ip(&["link", "set", "far-client", "netns", &name]);
        ip(&["address", "del", &cidr, "dev", "pollux-host"]);
        ip(&["-netns", &name, "address", "add", &cidr, "dev", "far-client"]);
        ip(&["-netns", &name, "link", "set", "far-client", "up"]);
        let ends = ["client-link", "pollux-host"];
        let bridge = Bridge::start(ends, seed, [to_appliance, to_client]).expect("both are there");
        Self { bridge, name }
    }

    /// A program in the client's namespace.
    #[must_use]
    pub fn tool(&self, seconds: u32, program: &str, arguments: &[&str]) -> Tool {
        let inside = ["netns", "exec", self.name.as_str(), program];
        Tool::new(seconds, "ip", &[&inside, arguments].concat())
    }

    /// Moves the calling thread into the client's namespace.
    ///
    /// # Panics
    /// If this is not root.
    pub fn enter(&self) {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("it is there");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
    }
}

impl Drop for BridgedClient {
    fn drop(&mut self) {
        Tool::new(5, "ip", &["netns", "del", &self.name]).output();
    }
}

fn ip(arguments: &[&str]) {
    Tool::new(5, "ip", arguments).text();
}
