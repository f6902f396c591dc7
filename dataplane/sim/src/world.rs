//! The appliance, a network and its clients on one virtual clock.
//!
//! Single-threaded and deterministic: a world is a function of its [`Setup`] and of the calls that the test
//! makes. Time jumps to the next thing that can happen, at most [`TICK`] at once, since workers do not
//! say when they want to be called.

mod counts;

use std::collections::VecDeque;
use std::sync::Arc;

use engine::control_queue::WallClock;
use engine::exception::KernelPort;
use engine::{Nic, Now, Worker};
use http1::Service;
use testkit::Response;

use crate::appliance::{APPLIANCE, HTTP_PORT, UNIX_START, now_at};
use crate::capture::Capture;
use crate::control::Control;
use crate::host::{Host, HostPlan, LineId, Phase, Reading};
use crate::network::{Network, Port};
use crate::nic::Wire;
use crate::overdue::DeadlineWatch;
use crate::raw::{Address, Heard};
use crate::setup::Setup;
use crate::stalls::Stalls;

/// The longest step of virtual time, in microseconds.
pub const TICK: u64 = 1_000;

/// What a turn that found something to do takes, in microseconds.
const BUSY_TURN: u64 = 2;

/// How long the methods that wait for something wait, in microseconds.
const TIMEOUT: u64 = 120_000_000;

/// One core of the appliance, or whatever a test puts in its place.
pub trait Turn {
    /// Does one turn at `now`. `true`: it found something to do.
    fn turn(&mut self, now: Now) -> bool;
}

impl<N: Nic, S: Service> Turn for Worker<N, S> {
    fn turn(&mut self, now: Now) -> bool {
        Self::turn(self, now)
    }
}

/// A client machine of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostId(usize);

/// A connection of a client machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnId {
    host: HostId,
    line: LineId,
}

/// Somebody who speaks packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawId(usize);

/// Everything on one clock.
#[derive(derive_more::Debug)]
#[debug("World {{ seed: {}, elapsed: {:?} }}", setup.seed, self.elapsed())]
pub struct World {
    setup: Setup,
    now: u64,
    network: Network,
    wire: Wire,
    workers: Vec<Box<dyn Turn>>,
    controls: Vec<Box<dyn Control>>,
    pub(crate) kernels: Vec<Box<dyn KernelPort>>,
    wall: Arc<WallClock>,
    places: Vec<Place>,
    hosts: Vec<(Port, Host)>,
    raws: Vec<Raw>,
    stalls: Option<Stalls>,
    capture: Option<Capture>,
    watch: DeadlineWatch,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Appliance,
    Host(usize),
    Raw(usize),
}

#[derive(Debug)]
struct Raw {
    port: Port,
    address: Address,
    heard: VecDeque<Heard>,
}

impl World {
    /// A world in which `workers` are the appliance, at the other end of `wire`. Tests of the appliance
    /// use [`Setup::build`].
    pub fn new(
        setup: &Setup,
        wire: Wire,
        workers: Vec<Box<dyn Turn>>,
        controls: Vec<Box<dyn Control>>,
        wall: Arc<WallClock>,
    ) -> Self {
        let mut network = Network::new(setup.seed, setup.toward.clone(), setup.away.clone());
        network.join(setup.core.mac);
        Self {
            setup: setup.clone(),
            now: setup.origin,
            network,
            wire,
            workers,
            controls,
            kernels: Vec::new(),
            wall,
            places: vec![Place::Appliance],
            hosts: Vec::new(),
            raws: Vec::new(),
            stalls: setup.stalls.then(|| Stalls::new(setup.seed)),
            capture: Capture::from_environment(),
            watch: DeadlineWatch::new(setup.core.deadlines, TICK),
        }
    }

    /// A test failed: says which world it was, and when.
    ///
    /// # Panics
    /// Always.
    #[track_caller]
    pub fn fail(&self, what: impl core::fmt::Display) -> ! {
        let (seed, millis) = (self.setup.seed, self.elapsed() / 1_000);
        panic!("seed {seed}, after {millis} ms of virtual time: {what}");
    }

    /// Microseconds of virtual time since the world began.
    pub fn elapsed(&self) -> u64 {
        self.now - self.setup.origin
    }

    /// The appliance's end of the network.
    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }

    /// The network.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }
}

/// Time.
impl World {
    /// Goes on for `micros` microseconds.
    pub fn run_for(&mut self, micros: u64) {
        let end = self.now + micros;
        while self.now < end {
            self.step(end);
        }
    }

    /// Lets `micros` microseconds pass in which nobody does anything: a virtual machine is paused.
    pub fn pause(&mut self, micros: u64) {
        self.now += micros;
    }

    /// Goes on until `done` or for `limit` microseconds, and says whether it was done in time.
    #[must_use]
    pub fn run_until(&mut self, limit: u64, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + limit;
        while !done(self) {
            if self.now >= end {
                return false;
            }
            self.step(end);
        }
        true
    }

    /// Everything that happens now; then the clock moves, no further than `end`.
    fn step(&mut self, end: u64) {
        self.wall.set(UNIX_START + self.elapsed() / 1_000_000);
        if let Some(stalls) = &mut self.stalls {
            stalls.play(&mut self.wire, self.now);
        }
        self.deliver();
        let busy = self.turn();
        let stats = self.controls.iter().map(|control| control.stats());
        if let Some(overdue) = self.watch.look(stats, self.now) {
            self.fail(overdue);
        }
        self.controls.iter_mut().for_each(|control| control.poll(self.now));
        self.collect();
        self.poll_hosts();
        let next = if busy { self.now + BUSY_TURN } else { self.next_event() };
        self.now = next.clamp(self.now + 1, end.max(self.now + 1));
    }

    fn deliver(&mut self) {
        let Self { network, wire, places, hosts, raws, capture, now, .. } = self;
        while network.deliver(*now, |to, frame| match places[to.index()] {
            Place::Appliance => {
                if let Some(capture) = capture {
                    capture.record(*now, frame);
                }
                wire.deliver(frame);
            }
            Place::Host(index) => hosts[index].1.on_frame(frame),
            // What other clients shout is no answer of the appliance.
            Place::Raw(index) if frame[6..12] == APPLIANCE.mac => {
                raws[index].heard.push_back(Heard::read(frame));
            }
            Place::Raw(_) => {}
        }) {}
    }

    fn turn(&mut self) -> bool {
        let now = now_at(self.now);
        let mut busy = false;
        for worker in &mut self.workers {
            busy |= (self.setup.seal)(&mut || worker.turn(now));
        }
        busy
    }

    fn collect(&mut self) {
        let Self { network, wire, capture, now, .. } = self;
        while wire.collect(|frame| {
            if let Some(capture) = capture {
                capture.record(*now, frame);
            }
            network.send(Port::APPLIANCE, frame, *now);
        }) {}
    }

    fn poll_hosts(&mut self) {
        for (port, host) in &mut self.hosts {
            if host.poll_at().is_some_and(|at| at <= self.now) {
                host.poll(self.now);
            }
            while let Some(frame) = host.take_frame() {
                self.network.send(*port, &frame, self.now);
            }
        }
    }

    fn next_event(&self) -> u64 {
        let hosts = self.hosts.iter().filter_map(|(_, host)| host.poll_at());
        hosts.chain(self.network.due()).fold(self.now + TICK, u64::min)
    }
}

/// Clients with a TCP stack of their own.
impl World {
    /// A client machine with socket buffers as [`Setup::client_buffer`] says.
    pub fn host(&mut self) -> HostId {
        self.host_with(self.setup.client_buffer, self.setup.client_buffer)
    }

    /// A client machine with socket buffers of `receive` and `transmit` bytes.
    pub fn host_with(&mut self, receive: usize, transmit: usize) -> HostId {
        let (port, address) = self.plug(Place::Host(self.hosts.len()));
        let plan = HostPlan {
            address,
            receive_buffer: receive,
            transmit_buffer: transmit,
            ip_mtu: self.setup.nic.ip_mtu,
            seed: self.setup.seed ^ port.index() as u64,
        };
        self.hosts.push((port, Host::new(plan, self.now)));
        HostId(self.hosts.len() - 1)
    }

    /// Opens a connection to the appliance; does not wait for it.
    pub fn connect(&mut self, host: HostId) -> ConnId {
        let line = self.hosts[host.0].1.connect(APPLIANCE.ip, HTTP_PORT);
        ConnId { host, line }
    }

    /// Opens a connection on a machine of its own and waits until it is open.
    pub fn client(&mut self) -> ConnId {
        let host = self.host();
        let conn = self.connect(host);
        if !self.run_until(TIMEOUT, |world| world.phase(conn) != Phase::Opening) {
            self.fail("the connection does not open");
        }
        conn
    }

    /// The machine itself.
    pub fn machine(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0].1
    }

    /// Sends `bytes`; does not wait.
    pub fn send(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        self.machine(conn.host).send(conn.line, bytes.as_ref());
    }

    /// Half-closes after what was sent; does not wait.
    pub fn finish(&mut self, conn: ConnId) {
        self.machine(conn.host).finish(conn.line);
    }

    /// Resets the connection.
    pub fn reset(&mut self, conn: ConnId) {
        self.machine(conn.host).reset(conn.line);
    }

    /// From now on the client reads like this.
    pub fn set_reading(&mut self, conn: ConnId, reading: Reading) {
        self.machine(conn.host).set_reading(conn.line, reading);
    }

    /// Where the connection is, as its client sees it.
    pub fn phase(&self, conn: ConnId) -> Phase {
        self.hosts[conn.host.0].1.phase(conn.line)
    }

    /// Bytes that the appliance acknowledged, of those sent.
    pub fn acknowledged(&self, conn: ConnId) -> usize {
        self.hosts[conn.host.0].1.acknowledged(conn.line)
    }

    /// What was read and not yet taken by [`response`](Self::response) or [`expect`](Self::expect).
    pub fn received(&self, conn: ConnId) -> &[u8] {
        self.hosts[conn.host.0].1.received(conn.line)
    }

    /// Waits for the next response and takes it.
    #[track_caller]
    pub fn response(&mut self, conn: ConnId) -> Response {
        self.next_response(conn, false)
    }

    /// Waits for the head of the response to a HEAD request and takes it.
    #[track_caller]
    pub fn response_to_head(&mut self, conn: ConnId) -> Response {
        self.next_response(conn, true)
    }

    #[track_caller]
    fn next_response(&mut self, conn: ConnId, to_head: bool) -> Response {
        let mut found = None;
        let mut seen = usize::MAX;
        let in_time = self.run_until(TIMEOUT, |world| {
            let received = world.received(conn);
            if received.len() != seen {
                seen = received.len();
                found = Response::read(received, to_head);
            }
            found.is_some() || !matches!(world.phase(conn), Phase::Opening | Phase::Open)
        });
        let Some((response, len)) = found else {
            let (phase, got) = (self.phase(conn), self.received(conn).len());
            self.fail(format!("no response (in time: {in_time}, {phase:?}, {got} bytes)"))
        };
        self.machine(conn.host).take_received(conn.line, len);
        response
    }

    /// Waits for exactly `bytes` and takes them.
    #[track_caller]
    pub fn expect(&mut self, conn: ConnId, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let there = |world: &mut Self| world.received(conn).len() >= bytes.len();
        if !self.run_until(TIMEOUT, there) || !self.received(conn).starts_with(bytes) {
            let got = String::from_utf8_lossy(self.received(conn)).into_owned();
            self.fail(format!("expected {:?}, got {got:?}", String::from_utf8_lossy(bytes)));
        }
        self.machine(conn.host).take_received(conn.line, bytes.len());
    }

    /// Waits until the connection is in `phase`.
    #[track_caller]
    pub fn expect_phase(&mut self, conn: ConnId, phase: Phase) {
        if !self.run_until(TIMEOUT, |world| world.phase(conn) == phase) {
            self.fail(format!("the connection is {:?}, not {phase:?}", self.phase(conn)));
        }
    }

    fn plug(&mut self, place: Place) -> (Port, Address) {
        let number = self.places.len();
        self.places.push(place);
        let [high, low] = u16::try_from(number + CLIENT_FIRST).expect("few clients").to_be_bytes();
        let address = Address { mac: [0x02, 0, 0, 0, high, low], ip: [198, 18, high, low].into() };
        (self.network.join(address.mac), address)
    }
}

/// The last part of the first client's address.
const CLIENT_FIRST: usize = 100;

/// Clients that speak packets.
impl World {
    /// Somebody who speaks packets, on a cable of its own.
    pub fn raw(&mut self) -> RawId {
        let (port, address) = self.plug(Place::Raw(self.raws.len()));
        self.raws.push(Raw { port, address, heard: VecDeque::new() });
        RawId(self.raws.len() - 1)
    }

    /// Who that is.
    pub fn address(&self, raw: RawId) -> Address {
        self.raws[raw.0].address
    }

    /// Sends `frame` as it is.
    pub fn inject(&mut self, raw: RawId, frame: &[u8]) {
        self.network.send(self.raws[raw.0].port, frame, self.now);
    }

    /// The next frame heard, if one is there already.
    pub fn overheard(&mut self, raw: RawId) -> Option<Heard> {
        self.raws[raw.0].heard.pop_front()
    }

    /// Passes over every frame heard so far.
    pub fn discard_heard(&mut self, raw: RawId) {
        self.raws[raw.0].heard.clear();
    }

    /// Waits up to `limit` microseconds for a frame.
    pub fn hear_within(&mut self, raw: RawId, limit: u64) -> Option<Heard> {
        let there = |world: &mut Self| !world.raws[raw.0].heard.is_empty();
        if self.run_until(limit, there) { self.overheard(raw) } else { None }
    }

    /// Waits for a frame.
    #[track_caller]
    pub fn hear(&mut self, raw: RawId) -> Heard {
        let Some(heard) = self.hear_within(raw, TIMEOUT) else {
            self.fail("the appliance says nothing")
        };
        heard
    }

    /// Nothing may be heard for `micros` microseconds.
    #[track_caller]
    pub fn expect_silence(&mut self, raw: RawId, micros: u64) {
        if let Some(heard) = self.hear_within(raw, micros) {
            self.fail(format!("silence was expected, not {heard:?}"));
        }
    }
}
