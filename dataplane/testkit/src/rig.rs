//! A network namespace with the link of `deploy/link.sh` in it, for the length of one test.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use crate::hugepages::Hugepages;
use crate::tool::Tool;
use crate::turn::{Company, Turn};

/// Address of the appliance.
pub const APPLIANCE: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// Address of the kernel's end of the link.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// TCP port of the appliance.
pub const PORT: u16 = 8080;

/// Kind of link, as `deploy/link.sh` knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `pollux0` and `pollux-host`.
    Veth,
    /// `pollux-host`, whose other end the appliance makes.
    Tap,
}

/// What a test needs.
#[derive(Clone, Copy, Debug)]
pub struct RigPlan {
    /// The link.
    pub kind: Kind,
    /// Queues per direction.
    pub queues: u32,
    /// Hugepages of 2 MiB to have for the test; none are touched where it is 0.
    pub hugepages: u32,
    /// `limits.connections` of its servers.
    pub connections: u32,
    /// Whether another test may run beside it.
    pub company: Company,
}

impl RigPlan {
    /// A veth pair with one queue, and connections for most tests: a server that takes half a gigabyte is
    /// seconds later in coming.
    pub const VETH: Self = Self {
        kind: Kind::Veth,
        queues: 1,
        hugepages: 192,
        connections: 1_024,
        company: Company::Shared,
    };

    /// The same with the default limits: on two cores, buffers of 2 x 9,216 connections of 32 KiB each,
    /// mbufs, and the store.
    pub const MANY_CONNECTIONS: Self = Self { hugepages: 768, connections: 16_384, ..Self::VETH };
}

/// The namespace and its link.
#[derive(Debug)]
pub struct Rig {
    /// Name of the namespace.
    pub name: String,
    /// A directory of this test.
    pub scratch: tempfile::TempDir,
    /// `limits.connections` of its servers.
    pub connections: u32,
    kind: Kind,
    up: bool,
}

impl Rig {
    /// Runs `test` on a thread inside a namespace made by `plan`. Afterwards nothing of it is left,
    /// and if something was, that is a failure too.
    ///
    /// # Panics
    /// If the test does, the machine lacks something, or something is left.
    #[track_caller]
    pub fn run(plan: RigPlan, test: impl FnOnce(&Self) + Send) {
        let turn = Turn::take(plan.company);
        sweep();
        let pages = (plan.hugepages > 0).then(|| Hugepages::reserve(plan.hugepages, &turn));
        let rig = Self::up(plan);
        let outcome = thread::scope(|scope| {
            // By the name of the test, for messages.
            let name = thread::current().name().unwrap_or_default().to_owned();
            let inside = thread::Builder::new().name(name).spawn_scoped(scope, || {
                rig.enter();
                test(&rig);
            });
            inside.expect("a thread").join()
        });
        let left = rig.down().and_then(|()| pages.map_or(Ok(()), Hugepages::release));
        match outcome {
            Err(panic) => {
                if let Err(left) = left {
                    eprintln!("besides, the test left something behind: {left}");
                }
                resume_unwind(panic)
            }
            Ok(()) => left.expect("nothing is left behind"),
        }
    }

    fn up(plan: RigPlan) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self::up_as(format!("{PREFIX}{}-{number}", process::id()), plan)
    }

    /// Another machine with such a link: a namespace of its own. It goes with [`Rig::down`].
    ///
    /// # Panics
    /// If the link cannot be made.
    #[must_use]
    pub fn beside(&self, suffix: &str, plan: RigPlan) -> Self {
        Self::up_as(format!("{}-{suffix}", self.name), plan)
    }

    fn up_as(name: String, plan: RigPlan) -> Self {
        let scratch = tempfile::tempdir().expect("a temporary directory");
        let RigPlan { kind, connections, .. } = plan;
        let rig = Self { name, scratch, connections, kind, up: true };
        let kind = match kind {
            Kind::Veth => "veth",
            Kind::Tap => "tap",
        };
        let queues = plan.queues.to_string();
        link(&["up", "--netns", &rig.name, "--kind", kind, "--queues", &queues]).text();
        rig
    }

    /// Moves the calling thread into the namespace: its sockets, its children, its threads to come.
    ///
    /// # Panics
    /// If this is not root.
    pub fn enter(&self) {
        let namespace = File::open(self.path()).expect("the namespace is there");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("root may enter it");
    }

    /// `deploy/link.sh exec` in this namespace: what comes before the command.
    #[must_use]
    pub fn exec_arguments(&self) -> [String; 4] {
        ["exec".into(), "--netns".into(), self.name.clone(), "--".into()]
    }

    /// Id of the XDP program on the appliance's interface, if there is one. A tap has none.
    ///
    /// # Panics
    /// If there is no link.
    #[must_use]
    pub fn xdp_program(&self) -> Option<String> {
        if self.kind == Kind::Tap {
            return None;
        }
        let shown = Tool::new(5, "ip", &["-details", "link", "show", "dev", "pollux0"]).text();
        let (_, rest) = shown.split_once("prog/xdp id ")?;
        Some(rest.split(' ').next().unwrap_or_default().to_owned())
    }

    /// Sets a sysctl of the namespace; `key` is a path below `/proc/sys`.
    ///
    /// # Panics
    /// If there is no such key.
    pub fn sysctl(&self, key: &str, value: &str) {
        let path = format!("/proc/sys/{key}");
        fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
    }

    /// What still runs in the namespace, once it has had the time that a killed process takes to end.
    fn wait_for_processes(&self) -> String {
        let start = Instant::now();
        loop {
            let running = Tool::new(5, "ip", &["netns", "pids", &self.name]).text();
            if running.trim().is_empty() {
                return String::new();
            }
            if start.elapsed() > ENDS_MAX {
                return running.split_whitespace().map(command_line).collect::<Vec<_>>().join(", ");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    /// Where servers of this rig listen for commands, unless they are told otherwise.
    #[must_use]
    pub fn admin_socket(&self) -> PathBuf {
        format!("/run/pollux/{}.sock", self.name).into()
    }

    /// Takes the link and the namespace away.
    ///
    /// # Errors
    /// What is left.
    pub fn down(mut self) -> Result<(), String> {
        self.up = false;
        let running = self.wait_for_processes();
        let said = link(&["down", "--netns", &self.name]).output();
        let left =
            |what: &str, is: bool| if is { Err(format!("{what} ({})", self.name)) } else { Ok(()) };
        left(&format!("processes {running}"), !running.is_empty())?;
        left(&String::from_utf8_lossy(&said.stderr), !said.status.success())?;
        left("the namespace", fs::exists(self.path()).unwrap_or(true))?;
        left("an admin socket", fs::exists(self.admin_socket()).unwrap_or(true))
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.up {
            link(&["down", "--netns", &self.name]).output();
        }
    }
}

/// Takes down what test runs that were killed have left.
fn sweep() {
    let Ok(entries) = fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let pid = rest.split('-').next().unwrap_or_default();
        if !fs::exists(format!("/proc/{pid}")).unwrap_or(true) {
            link(&["down", "--netns", &name]).output();
            // A namespace that a test made beside the link's.
            Tool::new(5, "ip", &["netns", "del", &name]).output();
        }
    }
}

/// The process with this id, as a message shows it.
fn command_line(pid: &str) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    format!("{pid} ({})", String::from_utf8_lossy(&line).replace('\0', " ").trim_end())
}

fn link(arguments: &[&str]) -> Tool {
    Tool::script(60, "deploy/link.sh", arguments)
}

const PREFIX: &str = "px-";
/// The kernel unmaps a killed process's memory before it is gone.
const ENDS_MAX: Duration = Duration::from_secs(5);
