//! The plan: every fact the program runs by, checked once. Nothing in it is optional by accident,
//! and nothing but a [`Plan`] reaches the code that serves.

mod address;
mod files;
mod reader;
mod services;
mod sources;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use engine::limits::{CONNECTIONS_MAX, SCRATCH_LEN};
use engine::{Deadlines, SourceLimits};
use http1::{FIELDS_MAX, Limits};

use super::units::{self, Expected};
use super::{Config, ConfigError, Key, Routes};
use crate::admin;
use crate::cores::{self, HostCores};
use crate::exception;
use crate::link::LinkSpec;
use crate::logs::{LogFormat, LogLevel};
use reader::{DEADLINE, Reader};

#[cfg(test)]
pub(crate) use files::DotNames;
pub(crate) use files::{FilesPlan, Links, Unreadable};
pub(crate) use services::{ComputePlan, PostgresPlan, SqlitePlan};

/// What is to be served, on what, and within which limits.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    /// The port to take.
    pub(crate) link: LinkSpec,
    /// Name of the kernel's interface for what is not for our TCP port, if there is to be one.
    pub(crate) exception: Option<String>,
    /// Whether checksums and segmentation are left to a NIC that does them.
    pub(crate) offloads: Offloads,
    /// The VLAN on the link whose frames are taken; `None`: untagged frames.
    pub(crate) vlan: Option<u16>,
    /// How long the link's interface may be gone before the server ends.
    pub(crate) link_gone: Duration,
    /// Our address.
    pub(crate) address: Ipv4Addr,
    /// Bits of it that name the network.
    pub(crate) prefix: u8,
    /// Our address on the link and its prefix, where `address` is a service address that routers send here.
    pub(crate) link_address: Option<(Ipv4Addr, u8)>,
    /// The TCP port to answer on.
    pub(crate) port: u16,
    /// Whether to ask the wire for the address before using it.
    pub(crate) probe: bool,
    /// One worker each, ascending.
    pub(crate) cores: Vec<usize>,
    /// What a worker does when nothing comes.
    pub(crate) idling: Idling,
    /// How it pauses if it does.
    pub(crate) pause: Pause,
    /// Directory of the data, or the built-in sample.
    pub(crate) data: Option<PathBuf>,
    /// Which files of directories are served.
    pub(crate) files: FilesPlan,
    /// What is served.
    pub(crate) routes: Arc<Routes>,
    /// Connections of all cores together.
    pub(crate) connections: usize,
    /// One core's share.
    pub(crate) tally: CoreTally,
    /// What a request may be.
    pub(crate) limits: Limits,
    /// Requests that wait for a completion from the control plane, of all cores together.
    pub(crate) parked: usize,
    /// Bytes of what such a request brings: captures, query and body.
    pub(crate) request_buffer: usize,
    /// How long a peer may take.
    pub(crate) deadlines: Deadlines,
    /// What one source may hold on one core.
    pub(crate) sources: SourceLimits,
    /// How long connections are accepted though the server does not call itself ready any more.
    pub(crate) withdraw: Duration,
    /// How long connections under way may take to end after SIGTERM.
    pub(crate) drain: Duration,
    /// How long reading and compiling everything again may take.
    pub(crate) reload: Duration,
    /// The PostgreSQL server and how it is used.
    pub(crate) postgres: PostgresPlan,
    /// How SQLite files are used.
    pub(crate) sqlite: SqlitePlan,
    /// What is computed beside the workers.
    pub(crate) compute: ComputePlan,
    /// Cached responses, of all routes together.
    pub(crate) cache_entries: usize,
    /// What memory to serve from.
    pub(crate) pages: Pages,
    /// Where counters are written, if anywhere.
    pub(crate) stats: Option<PathBuf>,
    /// How often.
    pub(crate) stats_every: Duration,
    /// Where metrics are served, if anywhere.
    pub(crate) metrics: Option<SocketAddr>,
    /// Least severe level that is logged.
    pub(crate) log_level: tracing::Level,
    /// Format of the log.
    pub(crate) log_format: LogFormat,
    /// Name of the admin socket, without its ending.
    pub(crate) admin_name: String,
    /// Directory of the admin socket.
    pub(crate) admin_directory: PathBuf,
}

/// What one core holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoreTally {
    /// Connections.
    pub(crate) connections: usize,
    /// Of those, half-open ones.
    pub(crate) half_open: usize,
    /// Bytes of one receive buffer.
    pub(crate) receive_buffer: usize,
    /// Bytes of one transmit buffer.
    pub(crate) transmit_buffer: usize,
}

/// What memory to serve from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Pages {
    /// Hugepages. Frames must be in them; the rest is in ordinary pages where they are too few.
    Huge,
    /// Ordinary pages for everything: links of this kernel only, and slower.
    Ordinary,
}

/// Who does checksums, and cuts large packets into segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Offloads {
    /// The NIC, as far as its driver offers it.
    Auto,
    /// This process.
    Off,
}

/// What a worker does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "lowercase")]
pub(crate) enum Idling {
    /// `Poll` on a PCI device, `Adaptive` on everything else.
    Auto,
    /// Asks again at once: least latency, a whole core.
    Poll,
    /// Naps after many empty turns, and waits for its link after a while without work, where it can.
    Adaptive,
}

/// When and how long an adaptive worker naps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pause {
    /// Empty turns in a row before the first nap.
    pub(crate) after: u32,
    /// One nap.
    pub(crate) sleep: Duration,
}

impl Plan {
    /// Checks `config` against itself and against the cores there are.
    ///
    /// # Errors
    /// Everything that was not understood, and the first value that breaks a rule; each with place,
    /// key, value and fix.
    pub(crate) fn check(config: &Config, host: &HostCores) -> Result<Self, ConfigError> {
        let (plan, errors) = Self::survey(config, host);
        ConfigError::all(errors).map(|()| plan)
    }

    /// The address that this server has on the link, where ARP finds it, and its prefix.
    pub(crate) fn on_link(&self) -> (Ipv4Addr, u8) {
        self.link_address.unwrap_or((self.address, self.prefix))
    }

    /// This plan with room for so many connections, of all cores together.
    pub(crate) fn with_connections(&self, connections: usize) -> Self {
        let tally = CoreTally { connections: share(connections, self.cores.len()), ..self.tally };
        Self { connections, tally, ..self.clone() }
    }

    /// Every error of `config`, and a plan in which each key with an error has its default, for finding more
    /// of them in what the configuration names.
    pub(crate) fn survey(config: &Config, host: &HostCores) -> (Self, Vec<ConfigError>) {
        let mut errors = config.errors().to_vec();
        let (mut left, mut reset) = (config.clone(), Vec::new());
        loop {
            let error = match Self::read(&left, host) {
                Ok(plan) => return (plan, errors),
                Err(error) => error,
            };
            let key = error.keys().find(|key| !reset.contains(key));
            let key = key.expect("defaults are right, and do not contradict each other");
            // That a value contradicts the default in place of a wrong one is none of the operator's errors.
            if !error.keys().any(|key| reset.contains(&key)) {
                errors.push(error);
            }
            left.reset(key);
            reset.push(key);
        }
    }

    fn read(config: &Config, host: &HostCores) -> Result<Self, ConfigError> {
        let read = Reader(config);
        let (address, prefix) = read.address(Key::ListenAddress)?;
        let cores = read.cores(host)?;
        let (workers, beside) = (cores.len(), host.beside(&cores).len());
        let connections = read.size(Key::LimitsConnections, units::count, CONNECTIONS)?;
        let limits = read.limits()?;
        let tally = read.tally(workers, connections, &limits)?;
        let (parked, request_buffer) = read.parked(connections)?;
        let link = read.link()?;
        Ok(Self {
            exception: read.exception(&link)?,
            link,
            offloads: read.with(Key::LinkOffloads, |text| word(text, "auto or off"))?,
            vlan: read.with(Key::LinkVlan, vlan)?,
            link_gone: read.time(Key::LinkGone, LINK_GONE)?,
            address,
            prefix,
            link_address: read.link_address((address, prefix))?,
            port: read.with(Key::ListenPort, port)?,
            probe: read.with(Key::ListenProbe, units::switch)?,
            cores,
            idling: read.with(Key::CoresIdle, |text| word(text, "auto, poll or adaptive"))?,
            pause: read.pause()?,
            data: read.path(Key::DataDirectory),
            files: read.files()?,
            routes: config.routes(),
            connections,
            tally,
            limits,
            parked,
            request_buffer,
            deadlines: read.deadlines()?,
            sources: read.sources(workers, connections, parked)?,
            withdraw: read.time(Key::DeadlinesWithdraw, WITHDRAW)?,
            drain: read.time(Key::DeadlinesDrain, DEADLINE)?,
            reload: read.time(Key::DeadlinesReload, RELOAD)?,
            postgres: read.postgres()?,
            sqlite: read.sqlite(beside)?,
            compute: read.compute(beside)?,
            cache_entries: read.size(Key::CacheEntries, units::count, CACHE_ENTRIES)?,
            pages: read.with(Key::MemoryPages, |text| word(text, "huge or ordinary"))?,
            stats: read.path(Key::StatsFile),
            stats_every: read.time(Key::StatsEvery, STATS_EVERY)?,
            metrics: read.with(Key::MetricsListen, metrics_listen)?,
            log_level: read.with(Key::LogLevel, |text| word(text, LogLevel::FORMATS))?,
            log_format: read.with(Key::LogFormat, |text| word(text, "text or json"))?,
            admin_name: read.with(Key::AdminName, admin_name)?,
            admin_directory: read.admin_directory()?,
        })
    }
}

impl Reader<'_> {
    fn link(&self) -> Result<LinkSpec, ConfigError> {
        LinkSpec::parse(&self.0.given(Key::LinkDevice).text).map_err(|error| {
            self.refuse(Key::LinkDevice, error.to_string(), format!("write {}", LinkSpec::FORMATS))
        })
    }

    /// With the name of the socket in it, which must be one that a socket can have.
    fn admin_directory(&self) -> Result<PathBuf, ConfigError> {
        let directory = self.with(Key::AdminDirectory, admin_directory)?;
        let path = admin::path(&directory, &self.0.given(Key::AdminName).text);
        let len = path.as_os_str().len();
        if len > SOCKET_PATH_LEN_MAX {
            let problem = format!(
                "the socket {} would have a path of {len} bytes, and Linux takes {SOCKET_PATH_LEN_MAX}",
                path.display()
            );
            let fix = "shorten admin.name or admin.directory";
            return Err(self.refuse(Key::AdminDirectory, problem, fix).against(Key::AdminName));
        }
        Ok(directory)
    }

    /// The empty one is none: then `listen`, listen.address, is on the link.
    fn link_address(&self, listen: (Ipv4Addr, u8)) -> Result<Option<(Ipv4Addr, u8)>, ConfigError> {
        if self.0.given(Key::LinkAddress).text.is_empty() {
            return Ok(None);
        }
        let (on_link, prefix) = self.address(Key::LinkAddress)?;
        if on_link == listen.0 {
            let fix = "leave link.address empty, or write listen.address = \"ADDRESS/32\" with another one";
            let error = self.refuse(Key::LinkAddress, "the same as listen.address", fix);
            return Err(error.against(Key::ListenAddress));
        }
        if listen.1 != 32 {
            let problem = "beside link.address it is a service address, which has no network";
            let fix = format!("write {}/32, or leave link.address empty", listen.0);
            return Err(self.refuse(Key::ListenAddress, problem, fix).against(Key::LinkAddress));
        }
        Ok(Some((on_link, prefix)))
    }

    /// The empty name is none.
    fn exception(&self, link: &LinkSpec) -> Result<Option<String>, ConfigError> {
        let name = self.0.given(Key::LinkException).text;
        if name.is_empty() {
            return Ok(None);
        }
        let device = match link {
            LinkSpec::Named(link) => Some(link.device()),
            LinkSpec::Auto => None,
        };
        if device.is_some_and(|device| exception::is_shared(device.kind())) {
            let problem = format!("link.device {link} {}", exception::SHARED);
            let fix = "use af_xdp:IFACE or pci:ADDRESS, or no exception interface";
            return Err(self.refuse(Key::LinkException, problem, fix).against(Key::LinkDevice));
        }
        if device.and_then(|device| device.interface()) == Some(&name) {
            let problem = "the interface of link.device itself, which carries HTTP too";
            let fix = "write a name that no interface has: it is made at start";
            return Err(self.refuse(Key::LinkException, problem, fix).against(Key::LinkDevice));
        }
        if exception::is_interface_name(&name) {
            Ok(Some(name))
        } else {
            let fix = "write 1 to 15 letters, digits, and signs other than / : % and quotes";
            Err(self.refuse(Key::LinkException, "no name for an interface", fix))
        }
    }

    fn cores(&self, host: &HostCores) -> Result<Vec<usize>, ConfigError> {
        let cores = self.with(Key::CoresWorkers, |text| match text {
            "last" => Ok(vec![host.last()]),
            list => cores::parse_list(list).ok_or(Expected("cores such as \"1\", \"1-3\" or last")),
        })?;
        if let Some(core) = cores::named_twice(&self.0.given(Key::CoresWorkers).text) {
            let problem = format!("core {core} is named twice, and it has one worker");
            return Err(self.refuse(Key::CoresWorkers, problem, "name each core once"));
        }
        match cores.iter().find(|core| !host.has(**core)) {
            None => Ok(cores),
            Some(core) => Err(self.refuse(
                Key::CoresWorkers,
                format!("core {core} is not there"),
                format!("this process may use {host}"),
            )),
        }
    }

    fn limits(&self) -> Result<Limits, ConfigError> {
        let head = self.size(Key::LimitsHead, units::bytes, HEAD)?;
        let line = self.size(Key::LimitsLine, units::bytes, LINE)?;
        let extensions = self.within(Key::LimitsChunkExtensions, units::bytes, CHUNK_EXTENSIONS)?;
        Ok(Limits {
            head_len_max: head,
            line_len_max: self.at_most(Key::LimitsLine, line, Key::LimitsHead, head)?,
            fields_max: self.size(Key::LimitsFields, units::count, FIELDS)?,
            body_len_max: self.within(Key::LimitsBody, units::bytes, BODY)?,
            chunk_ext_len_max: u32::try_from(extensions).expect("CHUNK_EXTENSIONS ends within u32"),
        })
    }

    fn tally(
        &self,
        cores: usize,
        connections: usize,
        limits: &Limits,
    ) -> Result<CoreTally, ConfigError> {
        let half_open = self.size(Key::LimitsHalfOpen, units::count, CONNECTIONS)?;
        let receive_buffer = self.size(Key::LimitsReceiveBuffer, units::bytes, BUFFER)?;
        let half_open =
            self.at_most(Key::LimitsHalfOpen, half_open, Key::LimitsConnections, connections)?;
        if limits.head_len_max > receive_buffer {
            let problem = format!("smaller than {}", self.spell(Key::LimitsHead));
            let fix = "a full head must fit: raise limits.receive_buffer or lower limits.head";
            return Err(self
                .refuse(Key::LimitsReceiveBuffer, problem, fix)
                .against(Key::LimitsHead));
        }
        Ok(CoreTally {
            connections: share(connections, cores),
            half_open: share(half_open, cores),
            receive_buffer,
            transmit_buffer: self.size(Key::LimitsTransmitBuffer, units::bytes, BUFFER)?,
        })
    }

    fn pause(&self) -> Result<Pause, ConfigError> {
        let after = self.within(Key::CoresIdleAfter, units::count, IDLE_AFTER)?;
        Ok(Pause {
            after: u32::try_from(after).expect("IDLE_AFTER ends within u32"),
            sleep: self.time(Key::CoresIdleSleep, IDLE_SLEEP)?,
        })
    }

    /// How many may wait, and how large the request buffer of each is. A request that waits has a connection.
    fn parked(&self, connections: usize) -> Result<(usize, usize), ConfigError> {
        let parked = self.size(Key::LimitsParked, units::count, PARKED)?;
        let parked =
            self.at_most(Key::LimitsParked, parked, Key::LimitsConnections, connections)?;
        let request_buffer = self.size(Key::LimitsRequestBuffer, units::bytes, REQUEST_BUFFER)?;
        if parked * request_buffer > REQUEST_BUFFERS_LEN_MAX {
            let problem =
                format!("with {} more than 1 GiB of memory", self.spell(Key::LimitsRequestBuffer));
            let error = self.refuse(Key::LimitsParked, problem, "lower one of the two");
            return Err(error.against(Key::LimitsRequestBuffer));
        }
        Ok((parked, request_buffer))
    }

    fn deadlines(&self) -> Result<Deadlines, ConfigError> {
        Ok(Deadlines {
            handshake_ms: self.millis(Key::DeadlinesHandshake)?,
            head_ms: self.millis(Key::DeadlinesHead)?,
            body_grace_ms: self.millis(Key::DeadlinesBodyGrace)?,
            body_rate: self.within(Key::DeadlinesBodyRate, units::rate, RATE)?,
            idle_ms: self.millis(Key::DeadlinesIdle)?,
            stall_ms: self.millis(Key::DeadlinesStall)?,
            stall_rate: self.within(Key::DeadlinesStallRate, units::rate, RATE)?,
            close_ms: self.millis(Key::DeadlinesClose)?,
            response_ms: self.millis(Key::DeadlinesResponse)?,
        })
    }
}

/// One core's share of `total`. Hashing spreads flows evenly only on average, so that with several
/// cores each may hold an eighth more than its even share.
fn share(total: usize, cores: usize) -> usize {
    if cores == 1 { total } else { (total.div_ceil(cores) * 9).div_ceil(8).min(total) }
}

/// An identifier of IEEE 802.1Q, of which 0 and 4095 name no VLAN; the empty one is none.
fn vlan(text: &str) -> Result<Option<u16>, Expected> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = text.parse().ok().filter(|id| (1..=4_094).contains(id));
    id.map(Some).ok_or(Expected("a VLAN from 1 to 4094, or \"\" for untagged frames"))
}

fn port(text: &str) -> Result<u16, Expected> {
    text.parse().ok().filter(|port| *port != 0).ok_or(Expected("a TCP port from 1 to 65535"))
}

/// One of the words that a value may be.
fn word<T: FromStr>(text: &str, expected: &'static str) -> Result<T, Expected> {
    text.parse().map_err(|_| Expected(expected))
}

/// A socket address of the kernel's; the empty one is none.
fn metrics_listen(text: &str) -> Result<Option<SocketAddr>, Expected> {
    const EXPECTED: Expected =
        Expected("an address and a port such as \"127.0.0.1:9464\", or \"\" for no metrics");
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().ok().filter(|at: &SocketAddr| at.port() != 0).map(Some).ok_or(EXPECTED)
}

fn admin_name(text: &str) -> Result<String, Expected> {
    if admin::is_name(text) { Ok(text.to_owned()) } else { Err(Expected(admin::NAME)) }
}

fn admin_directory(text: &str) -> Result<PathBuf, Expected> {
    Some(PathBuf::from(text))
        .filter(|path| path.is_absolute())
        .ok_or(Expected("a directory from the root, such as \"/run/pollux\""))
}

/// unix(7): 108 bytes with the NUL.
const SOCKET_PATH_LEN_MAX: usize = 107;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const CONNECTIONS: RangeInclusive<u64> = 1..=CONNECTIONS_MAX as u64;
/// A head must fit the engine's scratch buffer when it straddles the receive ring.
const HEAD: RangeInclusive<u64> = KIB..=SCRATCH_LEN as u64;
const LINE: RangeInclusive<u64> = 64..=64 * KIB;
const FIELDS: RangeInclusive<u64> = 1..=FIELDS_MAX as u64;
const BODY: RangeInclusive<u64> = 0..=1 << 40;
const CHUNK_EXTENSIONS: RangeInclusive<u64> = 0..=MIB;
const BUFFER: RangeInclusive<u64> = 4 * KIB..=16 * MIB;
const RATE: RangeInclusive<u64> = 0..=1 << 40;
const PARKED: RangeInclusive<u64> = 1..=1 << 20;
const REQUEST_BUFFER: RangeInclusive<u64> = 256..=MIB;
/// All request buffers are allocated at start.
const REQUEST_BUFFERS_LEN_MAX: usize = 1 << 30;
const CACHE_ENTRIES: RangeInclusive<u64> = 1..=1 << 24;
const IDLE_AFTER: RangeInclusive<u64> = 1..=1 << 30;
const IDLE_SLEEP: RangeInclusive<Duration> = Duration::from_micros(1)..=Duration::from_millis(10);
/// `pollux reload` waits ten minutes.
const RELOAD: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(590);
const LINK_GONE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
const WITHDRAW: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
const STATS_EVERY: RangeInclusive<Duration> =
    Duration::from_millis(100)..=Duration::from_secs(3_600);

#[cfg(test)]
mod tests;
