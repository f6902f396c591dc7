//! A client machine: smoltcp with Ethernet and ARP of its own, and scripted connections.
//!
//! Does no I/O and reads no clock: frames go in with [`Host::on_frame`], come out with
//! [`Host::take_frame`], and [`Host::poll`] says what time it is. So the same client works on the
//! simulated network and on any queue that carries Ethernet.

use core::net::Ipv4Addr;
use std::collections::VecDeque;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};

use crate::raw::Address;

/// What a client machine is.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Who it is.
    pub address: Address,
    /// Bytes of each connection's receive buffer: the window it offers.
    pub receive_buffer: usize,
    /// Bytes of each connection's transmit buffer.
    pub transmit_buffer: usize,
    /// Largest IP packet, in bytes.
    pub ip_mtu: usize,
    /// Decides initial sequence numbers.
    pub seed: u64,
}

/// How much faster than virtual time the client's stack runs, so that its smallest retransmission
/// timeout is 200 ms, as in Linux, and not smoltcp's second.
const CLOCK_RATE: u64 = 5;

/// First local port of a client.
const PORT_FIRST: u16 = 20_000;

/// How soon a client is polled again that wants to be polled at once, in microseconds.
const POLL_AGAIN: u64 = 100;

/// One client machine with all its connections.
#[derive(derive_more::Debug)]
#[debug("Host {{ plan: {plan:?}, lines: {lines:?} }}")]
pub struct Host {
    plan: HostPlan,
    cable: Cable,
    interface: Interface,
    sockets: SocketSet<'static>,
    lines: Vec<Line>,
    next_port: u16,
    poll_at: Option<u64>,
}

/// A connection of one [`Host`], by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineId(usize);

/// How a client takes what it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything at once.
    Eager,
    /// Nothing: the window closes.
    Stopped,
    /// At most `bytes` every `micros` microseconds.
    Slow {
        /// Bytes taken in one go.
        bytes: usize,
        /// Microseconds between two goes.
        micros: u64,
    },
}

/// Where a connection is, as its client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The handshake is under way.
    Opening,
    /// Both directions are open, or only ours is closed.
    Open,
    /// The peer has sent FIN and everything before it was read.
    Finished,
    /// The connection was reset, or refused.
    Reset,
}

#[derive(Debug)]
struct Line {
    socket: SocketHandle,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that TCP has taken.
    taken: usize,
    /// Whether FIN follows `outgoing`.
    finish: bool,
    received: Vec<u8>,
    reading: Reading,
    read_at: u64,
    phase: Phase,
}

impl Host {
    /// Sets the machine up at virtual time `now`, in microseconds.
    pub fn new(plan: HostPlan, now: u64) -> Self {
        let mut cable =
            Cable { inbox: VecDeque::new(), outgoing: VecDeque::new(), mtu: plan.ip_mtu };
        let mac = HardwareAddress::Ethernet(EthernetAddress(plan.address.mac));
        let mut config = Config::new(mac);
        config.random_seed = plan.seed;
        let mut interface = Interface::new(config, &mut cable, instant(now));
        let cidr = IpCidr::new(plan.address.ip.into(), PREFIX_LEN);
        interface.update_ip_addrs(|list| list.push(cidr).expect("one address fits"));
        Self {
            plan,
            cable,
            interface,
            sockets: SocketSet::new(Vec::new()),
            lines: Vec::new(),
            next_port: PORT_FIRST,
            poll_at: None,
        }
    }

    /// Who this is.
    pub fn address(&self) -> Address {
        self.plan.address
    }

    /// Opens a connection to `ip`:`port` from the next local port.
    pub fn connect(&mut self, ip: Ipv4Addr, port: u16) -> LineId {
        let buffer = |len| SocketBuffer::new(vec![0; len]);
        let mut socket =
            Socket::new(buffer(self.plan.receive_buffer), buffer(self.plan.transmit_buffer));
        socket.set_congestion_control(CongestionControl::Reno);
        socket.set_nagle_enabled(false);
        socket
            .connect(self.interface.context(), (ip, port), self.next_port)
            .expect("a fresh socket connects");
        self.next_port = self.next_port.checked_add(1).unwrap_or(PORT_FIRST);
        self.lines.push(Line {
            socket: self.sockets.add(socket),
            outgoing: Vec::new(),
            taken: 0,
            finish: false,
            received: Vec::new(),
            reading: Reading::Eager,
            read_at: 0,
            phase: Phase::Opening,
        });
        self.touch();
        LineId(self.lines.len() - 1)
    }

    /// Sends `bytes` after all that was sent before.
    pub fn send(&mut self, line: LineId, bytes: &[u8]) {
        self.lines[line.0].outgoing.extend_from_slice(bytes);
        self.touch();
    }

    /// Sends FIN after what was sent so far; reading goes on.
    pub fn finish(&mut self, line: LineId) {
        self.lines[line.0].finish = true;
        self.touch();
    }

    /// Resets the connection.
    pub fn reset(&mut self, line: LineId) {
        self.sockets.get_mut::<Socket<'_>>(self.lines[line.0].socket).abort();
        self.touch();
    }

    /// From now on all connections opened so far hold a short segment back while others are not acknowledged
    /// (Nagle's algorithm, RFC 9293, 3.7.4).
    pub fn use_nagle(&mut self) {
        for line in &self.lines {
            self.sockets.get_mut::<Socket<'_>>(line.socket).set_nagle_enabled(true);
        }
    }

    /// From now on the client reads like this.
    pub fn set_reading(&mut self, line: LineId, reading: Reading) {
        self.lines[line.0].reading = reading;
        self.touch();
    }

    /// Everything read so far and not [taken](Self::take_received).
    pub fn received(&self, line: LineId) -> &[u8] {
        &self.lines[line.0].received
    }

    /// Takes the first `len` bytes of what was read.
    ///
    /// # Panics
    /// If fewer were read.
    pub fn take_received(&mut self, line: LineId, len: usize) -> Vec<u8> {
        let received = &mut self.lines[line.0].received;
        let rest = received.split_off(len);
        core::mem::replace(received, rest)
    }

    /// Where the connection is.
    pub fn phase(&self, line: LineId) -> Phase {
        self.lines[line.0].phase
    }

    /// Bytes sent and acknowledged by the peer, of those given to [`send`](Self::send).
    pub fn acknowledged(&self, line: LineId) -> usize {
        let line = &self.lines[line.0];
        line.taken - self.sockets.get::<Socket<'_>>(line.socket).send_queue()
    }

    /// State of the connection, as RFC 9293 3.3.2 names it.
    pub fn state(&self, line: LineId) -> State {
        self.sockets.get::<Socket<'_>>(self.lines[line.0].socket).state()
    }

    /// The local ports of its connections, those that were closed aside.
    pub fn local_ports(&self) -> impl Iterator<Item = u16> + '_ {
        (0..self.lines.len()).filter_map(|line| self.local_port(LineId(line)))
    }

    /// The local port of a connection.
    pub fn local_port(&self, line: LineId) -> Option<u16> {
        let socket = self.sockets.get::<Socket<'_>>(self.lines[line.0].socket);
        socket.local_endpoint().map(|endpoint| endpoint.port)
    }

    /// A frame arrives.
    pub fn on_frame(&mut self, frame: &[u8]) {
        self.cable.inbox.push_back(frame.to_vec());
        self.touch();
    }

    /// The next frame to send.
    pub fn take_frame(&mut self) -> Option<Vec<u8>> {
        self.cable.outgoing.pop_front()
    }

    /// When [`poll`](Self::poll) has something to do, in microseconds; zero for at once.
    pub fn poll_at(&self) -> Option<u64> {
        self.poll_at
    }

    /// Does everything there is to do at `now`, in microseconds.
    pub fn poll(&mut self, now: u64) {
        self.interface.poll(instant(now), &mut self.cable, &mut self.sockets);
        let mut reads_at = None;
        for line in &mut self.lines {
            let socket = self.sockets.get_mut(line.socket);
            line.serve(socket, now);
            reads_at = earlier(reads_at, line.reads_at(socket));
        }
        self.interface.poll(instant(now), &mut self.cable, &mut self.sockets);
        let stack = self.interface.poll_at(instant(now), &self.sockets).map(micros);
        self.poll_at = earlier(stack, reads_at).map(|at| at.max(now + POLL_AGAIN));
    }

    fn touch(&mut self) {
        self.poll_at = Some(0);
    }
}

/// The clients' network is 198.18.0.0/16, of the benchmarking range (RFC 2544).
const PREFIX_LEN: u8 = 16;

impl Line {
    fn serve(&mut self, socket: &mut Socket<'_>, now: u64) {
        if self.phase == Phase::Opening && socket.state() != State::SynSent {
            self.phase = if socket.is_active() { Phase::Open } else { Phase::Reset };
        }
        while self.taken < self.outgoing.len() && socket.can_send() {
            let sent = socket.send_slice(&self.outgoing[self.taken..]);
            self.taken += sent.expect("the socket can send");
        }
        if self.finish && self.taken == self.outgoing.len() && socket.may_send() {
            socket.close();
        }
        self.read(socket, now);
    }

    fn read(&mut self, socket: &mut Socket<'_>, now: u64) {
        let mut allowance = match self.reading {
            Reading::Eager => usize::MAX,
            Reading::Slow { bytes, micros } if now >= self.read_at => {
                self.read_at = now + micros;
                bytes
            }
            Reading::Slow { .. } | Reading::Stopped => 0,
        };
        while allowance > 0 && socket.can_recv() {
            let taken = socket.recv(|bytes| {
                let taken = bytes.len().min(allowance);
                self.received.extend_from_slice(&bytes[..taken]);
                (taken, taken)
            });
            allowance -= taken.expect("the socket can receive");
        }
        if self.phase == Phase::Open && !socket.can_recv() {
            match socket.recv(|_| (0, ())) {
                Ok(()) => {}
                Err(RecvError::Finished) => self.phase = Phase::Finished,
                Err(RecvError::InvalidState) => self.phase = Phase::Reset,
            }
        } else if self.phase == Phase::Finished && socket.state() == State::Closed {
            // A reset after FIN, while our own direction was open.
            let ended_well = self.finish && self.taken == self.outgoing.len();
            if !ended_well {
                self.phase = Phase::Reset;
            }
        }
    }

    fn reads_at(&self, socket: &Socket<'_>) -> Option<u64> {
        let waits = matches!(self.reading, Reading::Slow { .. }) && socket.can_recv();
        waits.then_some(self.read_at)
    }
}

fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    [a, b].into_iter().flatten().min()
}

fn instant(now: u64) -> Instant {
    Instant::from_micros(i64::try_from(now * CLOCK_RATE).expect("virtual time fits 63 bits"))
}

fn micros(instant: Instant) -> u64 {
    u64::try_from(instant.total_micros()).unwrap_or(0).div_ceil(CLOCK_RATE)
}

/// The machine's network card: two queues.
#[derive(Debug)]
struct Cable {
    inbox: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    mtu: usize,
}

impl Device for Cable {
    type RxToken<'a> = Arrived;
    type TxToken<'a> = Leaving<'a>;

    fn receive(&mut self, _now: Instant) -> Option<(Arrived, Leaving<'_>)> {
        let frame = self.inbox.pop_front()?;
        Some((Arrived(frame), Leaving(&mut self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Leaving<'_>> {
        Some(Leaving(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.mtu + crate::raw::ETHERNET_LEN;
        capabilities
    }
}

#[derive(Debug)]
struct Arrived(Vec<u8>);

impl phy::RxToken for Arrived {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, use_frame: F) -> R {
        use_frame(&self.0)
    }
}

#[derive(Debug)]
struct Leaving<'a>(&'a mut VecDeque<Vec<u8>>);

impl phy::TxToken for Leaving<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}
