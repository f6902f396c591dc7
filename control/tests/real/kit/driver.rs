//! A load driver that checks every answer: many connections on one thread, templates in turn.
//!
//! A connection asks one request at a time: [`Drive::repeats`] of one template, then of the next; the
//! first template of the n-th connection is the n-th. Where the server ends a connection that it said
//! it would end, or `lifetime` is over, the lane connects again and goes on where it was. Whatever is
//! not as it should be is a [`Fault`], counted by template and kind. When the time is over nothing more
//! is asked and what is under way is waited for, so that both sides count the same.

mod exchange;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc::linger;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::sockopt::Linger;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket,
};
use testkit::{APPLIANCE, PORT, Response};

pub(crate) use exchange::{Exchange, Fault, Template};

/// What to ask, of whom is always the appliance.
#[derive(Debug)]
pub(crate) struct Drive {
    templates: Vec<Template>,
    connections: usize,
    lasts: Duration,
    repeats: u32,
    lifetime: u32,
    timeout: Duration,
}

impl Drive {
    /// These templates, on so many connections, for so long.
    pub(crate) fn new(templates: Vec<Template>, connections: usize, lasts: Duration) -> Self {
        assert!(!templates.is_empty(), "nothing to ask");
        let (repeats, lifetime, timeout) = (REPEATS, u32::MAX, TIMEOUT);
        Self { templates, connections, lasts, repeats, lifetime, timeout }
    }

    /// So many requests of a template before the next.
    pub(crate) fn repeats(self, repeats: u32) -> Self {
        Self { repeats, ..self }
    }

    /// A connection is reset by us after so many answers.
    pub(crate) fn lifetime(self, lifetime: u32) -> Self {
        Self { lifetime, ..self }
    }

    /// How long a connection, an answer or an end may take before it is a fault.
    pub(crate) fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Asks it all.
    pub(crate) fn run(&self) -> Driven {
        let mut runner = Runner::new(self);
        runner.run();
        runner.driven
    }
}

/// What a driver counted.
#[derive(Debug)]
pub(crate) struct Driven {
    /// In the order of the templates.
    pub(crate) tallies: Vec<Tally>,
    /// Connections that were made.
    pub(crate) connections: u64,
    /// Of them, those that the server ended after an answer that said so.
    pub(crate) ended: u64,
    /// From the first connection to the last answer.
    pub(crate) took: Duration,
    faults: BTreeMap<String, (u64, String)>,
}

/// What happened to one template.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    /// Of the template.
    pub(crate) name: &'static str,
    /// Requests that were sent, or begun to be sent.
    pub(crate) requests: u64,
    /// Answers that are as they should be.
    pub(crate) answers: u64,
    /// Bytes of answers, heads included.
    pub(crate) bytes: u64,
    /// The longest that one of them took.
    pub(crate) slowest: Duration,
}

impl Driven {
    /// Requests of all templates.
    pub(crate) fn requests(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.requests).sum()
    }

    /// Good answers to all templates.
    pub(crate) fn answers(&self) -> u64 {
        self.tallies.iter().map(|tally| tally.answers).sum()
    }

    /// What happened to templates of this name.
    #[track_caller]
    pub(crate) fn tally(&self, name: &str) -> Tally {
        let found = self.tallies.iter().filter(|tally| tally.name == name).cloned();
        let sum = found.reduce(|a, b| Tally {
            name: a.name,
            requests: a.requests + b.requests,
            answers: a.answers + b.answers,
            bytes: a.bytes + b.bytes,
            slowest: a.slowest.max(b.slowest),
        });
        sum.unwrap_or_else(|| panic!("there is no template {name}"))
    }

    /// A table: template, good answers, answers a second, the slowest.
    pub(crate) fn table(&self) -> String {
        let seconds = self.took.as_secs_f64();
        let mut text = format!(
            "{} connections, {:.1} s, {:.0} answers/s\n",
            self.connections,
            seconds,
            rate(self.answers(), seconds)
        );
        for tally in &self.tallies {
            let Tally { name, answers, bytes, slowest, .. } = tally;
            let (per_second, bytes) = (rate(*answers, seconds), rate(*bytes, seconds));
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "  {name:<16}{answers:>9} answers {per_second:>9.0}/s {:>9.1} MB/s, slowest {slowest:.1?}",
                bytes / 1e6
            );
        }
        text
    }

    /// What was not as it should be, as `template: kind`, and how often.
    pub(crate) fn faults(&self) -> Vec<(&str, u64)> {
        self.faults.iter().map(|(what, (count, _))| (what.as_str(), *count)).collect()
    }

    /// Nothing but good answers may have come, one to each request.
    #[track_caller]
    pub(crate) fn expect_no_fault(&self) {
        let faults =
            self.faults.iter().map(|(what, (count, said))| format!("{count} {what}: {said}"));
        let faults: Vec<_> = faults.collect();
        assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), self.table());
        for Tally { name, requests, answers, .. } in &self.tallies {
            assert!(*answers > 0, "{name} was never answered");
            assert_eq!(requests, answers, "requests and answers of {name}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
fn rate(count: u64, seconds: f64) -> f64 {
    count as f64 / seconds
}

/// One run.
struct Runner<'a> {
    drive: &'a Drive,
    epoll: Epoll,
    lanes: Vec<Lane>,
    /// Content that has passed, by template and exchange.
    known: Vec<Vec<Option<Vec<u8>>>>,
    /// Exchanges taken so far, by template.
    taken: Vec<usize>,
    room: Box<[u8]>,
    ends: Instant,
    driven: Driven,
}

/// One connection after the other.
#[derive(Debug)]
struct Lane {
    stream: Option<TcpStream>,
    state: State,
    /// Since when it waits for what it waits for.
    since: Instant,
    template: usize,
    exchange: usize,
    /// Requests of this template that are left.
    left: u32,
    /// Answers on this connection.
    answered: u32,
    written: usize,
    received: Vec<u8>,
    /// Bytes of the answer under way, once its head is there.
    extent: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no connection; one is made at the next tick.
    Closed,
    /// SYN was sent.
    Connecting,
    /// A request is under way.
    Asking,
    /// The last answer came, FIN is to follow.
    Ending,
    /// The time is over.
    Done,
}

impl<'a> Runner<'a> {
    fn new(drive: &'a Drive) -> Self {
        let start = Instant::now();
        let lane = |index: usize| Lane {
            stream: None,
            state: State::Closed,
            since: start,
            template: index % drive.templates.len(),
            exchange: 0,
            left: drive.repeats,
            answered: 0,
            written: 0,
            received: Vec::new(),
            extent: None,
        };
        let tally = |template: &Template| Tally {
            name: template.name,
            requests: 0,
            answers: 0,
            bytes: 0,
            slowest: Duration::ZERO,
        };
        Self {
            drive,
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("an epoll"),
            lanes: (0..drive.connections).map(lane).collect(),
            known: drive.templates.iter().map(|t| vec![None; t.exchanges.len()]).collect(),
            taken: vec![0; drive.templates.len()],
            room: vec![0; READ_MAX].into_boxed_slice(),
            ends: start + drive.lasts,
            driven: Driven {
                tallies: drive.templates.iter().map(tally).collect(),
                connections: 0,
                ended: 0,
                took: Duration::ZERO,
                faults: BTreeMap::new(),
            },
        }
    }

    fn run(&mut self) {
        let start = Instant::now();
        let mut events = vec![EpollEvent::empty(); EVENTS_MAX];
        let mut ticked = None;
        while self.lanes.iter().any(|lane| lane.state != State::Done) {
            let now = Instant::now();
            if ticked.is_none_or(|ticked| now - ticked >= TICK) {
                (0..self.lanes.len()).for_each(|index| self.on_tick(index, now));
                ticked = Some(now);
            }
            let timeout = u16::try_from(TICK.as_millis()).expect("a short time");
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(error) => panic!("epoll: {error}"),
            };
            for event in &events[..count] {
                let index = usize::try_from(event.data()).expect("the index of a lane");
                if let Err(fault) = self.on_ready(index) {
                    self.fail(index, fault);
                }
            }
        }
        self.driven.took = start.elapsed();
    }

    /// Makes the connections that are missing and gives up what takes too long.
    fn on_tick(&mut self, index: usize, now: Instant) {
        let lane = &self.lanes[index];
        let late = now.saturating_duration_since(lane.since) > self.drive.timeout;
        match lane.state {
            State::Closed if now >= self.ends => self.lanes[index].state = State::Done,
            State::Closed => {
                if let Err(fault) = self.open(index) {
                    self.fail(index, fault);
                }
            }
            State::Connecting if late => self.fail(index, Fault::new("connects too slowly", "")),
            State::Asking if late => {
                let fault = Fault::with("no answer in time", &lane.received);
                self.fail(index, fault);
            }
            State::Ending if late => self.fail(index, Fault::new("stays open", "")),
            _ => {}
        }
    }

    fn open(&mut self, index: usize) -> Result<(), Fault> {
        let refused = |errno: Errno| Fault::new("no connection", errno.to_string());
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let fd = socket(AddressFamily::Inet, SockType::Stream, flags, None).map_err(refused)?;
        let address = SockaddrIn::from(SocketAddrV4::new(APPLIANCE, PORT));
        match connect(fd.as_raw_fd(), &address) {
            Ok(()) | Err(Errno::EINPROGRESS) => {}
            Err(errno) => return Err(refused(errno)),
        }
        let stream = TcpStream::from(fd);
        stream.set_nodelay(true).expect("a TCP socket has TCP_NODELAY");
        let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT, index as u64);
        self.epoll.add(&stream, event).expect("a socket can be waited for");
        let lane = &mut self.lanes[index];
        *lane = Lane {
            stream: Some(stream),
            state: State::Connecting,
            since: Instant::now(),
            answered: 0,
            received: std::mem::take(&mut lane.received),
            extent: None,
            ..*lane
        };
        lane.received.clear();
        Ok(())
    }

    fn on_ready(&mut self, index: usize) -> Result<(), Fault> {
        if self.lanes[index].state == State::Connecting {
            let stream = self.lanes[index].stream.as_ref().expect("connecting with a socket");
            if let Some(error) = stream.take_error().expect("a socket has SO_ERROR") {
                return Err(Fault::new("no connection", error.to_string()));
            }
            self.driven.connections += 1;
            self.ask(index);
        }
        if self.lanes[index].state == State::Asking {
            self.push(index)?;
        }
        self.pull(index)
    }

    /// Takes the next exchange, or leaves where the time is over.
    fn ask(&mut self, index: usize) {
        let (drive, now) = (self.drive, Instant::now());
        if now >= self.ends {
            self.close(index, State::Done);
            return;
        }
        let lane = &mut self.lanes[index];
        if lane.left == 0 {
            lane.template = (lane.template + 1) % drive.templates.len();
            lane.left = drive.repeats;
        }
        lane.left -= 1;
        let taken = &mut self.taken[lane.template];
        lane.exchange = *taken % drive.templates[lane.template].exchanges.len();
        *taken += 1;
        self.driven.tallies[lane.template].requests += 1;
        (lane.state, lane.since, lane.written, lane.extent) = (State::Asking, now, 0, None);
    }

    /// Writes what is left of the request.
    fn push(&mut self, index: usize) -> Result<(), Fault> {
        let lane = &mut self.lanes[index];
        let exchange = &self.drive.templates[lane.template].exchanges[lane.exchange];
        let mut stream = lane.stream.as_ref().expect("asking on a connection");
        let (before, len) = (lane.written, exchange.request.len());
        while lane.written < len {
            match stream.write(&exchange.request[lane.written..]) {
                Ok(count) => lane.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The answer may be there all the same, and says more.
                Err(_) => break,
            }
        }
        if before < len && lane.written == len && exchange.half_closes {
            stream.shutdown(Shutdown::Write).map_err(|e| Fault::new("no FIN", e.to_string()))?;
        }
        let waits = if lane.written < len { EpollFlags::EPOLLOUT } else { EpollFlags::empty() };
        let mut event = EpollEvent::new(EpollFlags::EPOLLIN | waits, index as u64);
        self.epoll.modify(stream, &mut event).expect("a socket of this epoll");
        Ok(())
    }

    /// Reads once; epoll calls again where there is more.
    fn pull(&mut self, index: usize) -> Result<(), Fault> {
        let lane = &mut self.lanes[index];
        let Some(mut stream) = lane.stream.as_ref() else { return Ok(()) };
        let count = match stream.read(&mut self.room) {
            Ok(0) => return self.on_end(index),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Fault::new(error.kind().to_string(), error.to_string())),
        };
        lane.received.extend_from_slice(&self.room[..count]);
        if lane.state != State::Asking {
            return Err(Fault::with("more than was asked for", &lane.received));
        }
        if lane.extent.is_none() {
            lane.extent = Response::extent(&lane.received, false);
        }
        if lane.extent.is_some_and(|extent| lane.received.len() >= extent) {
            return self.on_answer(index);
        }
        Ok(())
    }

    fn on_end(&mut self, index: usize) -> Result<(), Fault> {
        let lane = &mut self.lanes[index];
        if lane.state != State::Ending {
            return Err(Fault::with("connection ended early", &lane.received));
        }
        self.driven.ended += 1;
        self.close(index, State::Closed);
        self.open(index)
    }

    fn on_answer(&mut self, index: usize) -> Result<(), Fault> {
        let lane = &mut self.lanes[index];
        let template = &self.drive.templates[lane.template];
        let exchange = &template.exchanges[lane.exchange];
        let read = Response::read(&lane.received, false);
        let (answer, len) = read.expect("its extent is there");
        lane.received.drain(..len);
        let took = lane.since.elapsed();
        exchange.assess(&answer, took, &mut self.known[lane.template][lane.exchange])?;
        if !lane.received.is_empty() {
            return Err(Fault::with("more than was asked for", &lane.received));
        }
        let tally = &mut self.driven.tallies[lane.template];
        tally.answers += 1;
        tally.bytes += len as u64;
        tally.slowest = tally.slowest.max(took);
        lane.answered += 1;
        if exchange.closes {
            (lane.state, lane.since) = (State::Ending, Instant::now());
        } else if lane.answered >= self.drive.lifetime {
            self.close(index, State::Closed);
            self.open(index)?;
        } else {
            self.ask(index);
            if self.lanes[index].state == State::Asking {
                self.push(index)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, index: usize, fault: Fault) {
        let name = self.drive.templates[self.lanes[index].template].name;
        let what = format!("{name}: {}", fault.kind);
        self.driven.faults.entry(what).or_insert((0, fault.said)).0 += 1;
        self.close(index, State::Closed);
    }

    /// Resets the connection, or closes it where the server has.
    fn close(&mut self, index: usize, state: State) {
        let lane = &mut self.lanes[index];
        if let Some(stream) = lane.stream.take() {
            if lane.state != State::Ending {
                let at_once = linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&stream, Linger, &at_once).expect("a TCP socket has SO_LINGER");
            }
            self.epoll.delete(&stream).expect("a socket of this epoll");
        }
        lane.state = state;
    }
}

/// Requests of a template before the next, as the benchmark has them.
const REPEATS: u32 = 5;
/// Longer than any deadline of the server that answers.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks at what takes too long.
const TICK: Duration = Duration::from_millis(100);
const EVENTS_MAX: usize = 1_024;
const READ_MAX: usize = 256 << 10;
