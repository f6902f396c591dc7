//! The cost of one request on one core without a NIC: the worker loop as it ships, over a NIC in memory.
//!
//! `core_loop PROFILE [CONNECTIONS REQUESTS]` runs the clients of [`client`] against [`engine::Worker`] and
//! prints `PROFILE REQUESTS`: how many requests were answered inside [`measured`]. Under callgrind, with
//! `--toggle-collect='*core_loop::measured*'`, that function and what it calls are what is counted: the
//! turns of the worker, not the clients. `deploy/bench/instructions.sh` does so and compares the counts with
//! those in the tree. Nothing here depends on time or chance: two runs of one binary count the same to a
//! thousandth, which is where buffers happen to lie.

mod client;
mod memory_nic;
mod site;

use std::env;
use std::process::ExitCode;

use engine::control_queue::{self, WallClock};
use engine::{Buffer, CorePlan, Deadlines, Now, SourceLimits, Worker};
use handlers::SiteHandle;
use http1::Limits;

use crate::client::{Client, Clients};
use crate::memory_nic::{MemoryNic, Wire};

const ADDRESS: [u8; 4] = [198, 18, 0, 2];
const PORT: u16 = 8080;
const MAC: [u8; 6] = [2, 0x50, 0x4c, 0x58, 0, 1];

/// What the clients of a profile do.
#[derive(Clone, Copy, Debug)]
struct Profile {
    name: &'static str,
    path: &'static str,
    /// Requests a client sends at once.
    depth: usize,
    /// A client resets its connection after this many requests and opens another.
    requests_per_connection: Option<usize>,
    /// Requests to count where the command line does not say.
    requests: usize,
}

const PROFILES: [Profile; 5] = [
    Profile::plain("pipeline", "/pipeline", 20_000),
    Profile { depth: 16, ..Profile::plain("pipeline-16-deep", "/pipeline", 64_000) },
    Profile::plain("json-50", "/json/50?m=3", 4_000),
    Profile::plain("static-16k", "/static/file.bin", 3_000),
    Profile {
        requests_per_connection: Some(10),
        ..Profile::plain("reconnect-10", "/pipeline", 20_000)
    },
];

impl Profile {
    const fn plain(name: &'static str, path: &'static str, requests: usize) -> Self {
        Self { name, path, depth: 1, requests_per_connection: None, requests }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default| arguments.get(at).map_or(Ok(default), |text| text.parse());
    let profile = arguments.first().and_then(|name| PROFILES.iter().find(|p| p.name == name));
    let Some(profile) = profile else { return misuse() };
    let (Ok(connections), Ok(requests)) = (number(1, 64), number(2, profile.requests)) else {
        return misuse();
    };
    if !(1..=Clients::MAX).contains(&connections) {
        return misuse();
    }
    let mut bench = Bench::new(profile, connections);
    while bench.rounds < WARM_ROUNDS {
        bench.turn_until_quiet();
        bench.clients_answer();
    }
    let before = bench.clients.answered();
    while bench.clients.answered() - before < requests {
        measured(&mut bench);
        bench.clients_answer();
    }
    println!("{} {}", profile.name, bench.clients.answered() - before);
    ExitCode::SUCCESS
}

fn misuse() -> ExitCode {
    let names = PROFILES.map(|profile| profile.name).join("|");
    eprintln!("usage: core_loop {names} [CONNECTIONS (1 to {}) [REQUESTS]]", Clients::MAX);
    ExitCode::FAILURE
}

/// Rounds in which caches fill, connections open and the first responses come.
const WARM_ROUNDS: usize = 8;

/// A worker and its clients.
struct Bench {
    worker: Worker<MemoryNic, SiteHandle>,
    clients: Clients,
    wire: Wire,
    now: Now,
    rounds: usize,
    /// Kept so that the rings of the worker have another end.
    _control: control_queue::ControlEnd<SiteHandle>,
}

impl Bench {
    fn new(profile: &Profile, connections: usize) -> Self {
        let wire = Wire::new(connections * FRAMES_PER_CONNECTION);
        let (control, end) = control_queue::pair(&WallClock::new(1_767_225_600), 64);
        let plan = CorePlan {
            address: ADDRESS.into(),
            link_address: ADDRESS.into(),
            port: PORT,
            mac: MAC,
            vlan: None,
            unfilled_checksums: false,
            seed: *b"0123456789abcdef",
            connections: 2 * connections,
            half_open_max: 2 * connections,
            receive_buffer: 16_384,
            transmit_buffer: 16_384,
            limits: Limits::DEFAULT,
            deadlines: Deadlines::default(),
            sources: SourceLimits::default(),
        };
        let now = Now { cycles: 0, micros: 1_000_000 };
        let nic = MemoryNic::new(&wire);
        let buffers = &mut |len| Buffer::Owned(vec![0; len]);
        let worker = Worker::new(plan, nic, site::site_handle(), end, buffers, now);
        let request = format!("GET {} HTTP/1.1\r\nHost: 198.18.0.2:8080\r\n\r\n", profile.path);
        let requests = request.repeat(profile.depth).into_bytes();
        let per_connection = profile.requests_per_connection;
        let client = Client::new(requests, profile.depth, per_connection);
        let mut clients = Clients::new(client, connections);
        clients.open(&wire);
        Self { worker, clients, wire, now, rounds: 0, _control: control }
    }

    /// Turns until the worker has nothing to do and has taken every frame.
    #[inline(always)]
    fn turn_until_quiet(&mut self) {
        loop {
            self.now.micros += 1;
            self.now.cycles += CYCLES_PER_MICRO;
            let busy = self.worker.turn(self.now);
            if !busy && self.wire.is_taken() {
                return;
            }
        }
    }

    /// The clients take what the worker sent and send what they have to.
    fn clients_answer(&mut self) {
        self.rounds += 1;
        let sent = self.clients.on_frames(&self.wire);
        if sent == 0 {
            // What is left waits for a timer: a delayed acknowledgement, for one.
            self.now.micros += 5_000;
            self.now.cycles += 5_000 * CYCLES_PER_MICRO;
        }
    }
}

const CYCLES_PER_MICRO: u64 = 2_500;
/// A full transmit buffer in segments, and what the client answers.
const FRAMES_PER_CONNECTION: usize = 32;

/// What callgrind counts.
#[inline(never)]
fn measured(bench: &mut Bench) {
    bench.turn_until_quiet();
}
