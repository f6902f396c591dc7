//! The commands of the command line for a server that runs: each sends requests over the admin socket
//! and prints what comes of them.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::admin::{Client, ClientError, Request, ServerStatus, name, request};
use crate::cli::server::{DrainArgs, LogArgs, QueryArgs, ServerArgs, StopArgs};
use crate::config::{Effective, FileNumbers};
use crate::failure::{CommandError, Failure};
use crate::human;
use crate::lifecycle::State;
use crate::output;
use crate::reload::Reloaded;
use crate::stats::Report;

/// Why a command did not do what it was to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    /// The request failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Connections are left.
    #[error(
        "{connections} connections are left after {timeout:?}; the server goes on draining, and \
         `pollux resume` takes it back"
    )]
    StillDraining { connections: u64, timeout: Duration },
    /// Somebody took the drain back.
    #[error("the server serves again: somebody else resumed it")]
    Resumed,
    /// The server ends instead.
    #[error("the server is stopping: it drains, and exits")]
    Stopping,
    /// The server has not ended.
    #[error("process {pid} still has its socket after {timeout:?}; it goes on stopping")]
    StillRunning { pid: u32, timeout: Duration },
}

impl CommandError for RemoteError {
    fn exit_code(&self) -> u8 {
        if self.is_timeout() { 3 } else { 1 }
    }
}

impl RemoteError {
    /// Whether the command was accepted, and only its end not waited for.
    pub(crate) fn is_timeout(&self) -> bool {
        matches!(self, Self::StillDraining { .. } | Self::StillRunning { .. })
    }
}

/// `pollux reload`.
pub(crate) fn reload(args: &QueryArgs) -> Result<(), Failure> {
    let reloaded: Reloaded = send(&args.server, &Request::new(name::RELOAD), RELOAD_TIMEOUT)?;
    print(args.json, &reloaded, |reloaded| reloaded.to_string())
}

/// A report of a running server: of all cores, or of one.
///
/// # Errors
/// Nobody listens, or no worker runs on that core.
pub(crate) fn stats(server: &ServerArgs, core: Option<usize>) -> Result<Report, RemoteError> {
    let mut line = Request::new(name::STATS);
    line.arguments.extend(core.map(|core| ("core".to_owned(), core.into())));
    send(server, &line, TIMEOUT)
}

/// `pollux drain`: waits until no connection is left, and shows how many are.
pub(crate) fn drain(args: &DrainArgs) -> Result<(), Failure> {
    let start = Instant::now();
    let path = args.server.path();
    let mut client = Client::connect(&path, TIMEOUT).map_err(RemoteError::from)?;
    let mut status: ServerStatus =
        client.request(&Request::new(name::DRAIN)).map_err(RemoteError::from)?;
    if !args.no_wait {
        status = await_drained(&mut client, status, args, start)?;
    }
    print(args.json, &status, |status| match status.state {
        State::Drained => format!("drained in {:.1} s", start.elapsed().as_secs_f64()),
        _ => format!("draining: {} connections left", status.connections),
    })
}

/// Asks for the status until the server has drained.
fn await_drained(
    client: &mut Client,
    first: ServerStatus,
    args: &DrainArgs,
    start: Instant,
) -> Result<ServerStatus, Failure> {
    let mut progress = Progress::new(args.json);
    let drained = follow_drain(client, first, args.timeout, start, &mut progress);
    progress.end()?;
    drained
}

fn follow_drain(
    client: &mut Client,
    mut status: ServerStatus,
    timeout: Option<Duration>,
    start: Instant,
    progress: &mut Progress,
) -> Result<ServerStatus, Failure> {
    let mut pause = FIRST_LOOK;
    loop {
        match status.state {
            State::Drained => return Ok(status),
            State::Draining => progress.show(status.connections)?,
            State::Serving => return Err(RemoteError::Resumed.into()),
            State::Stopping => return Err(RemoteError::Stopping.into()),
        }
        if let Some(timeout) = timeout {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                let connections = status.connections;
                return Err(RemoteError::StillDraining { connections, timeout }.into());
            }
            pause = pause.min(left);
        }
        thread::sleep(pause);
        pause = LOOK_EVERY;
        status = client.request(&Request::new(name::STATUS)).map_err(RemoteError::from)?;
    }
}

/// How many connections are left: on a terminal one line that changes, else a line a second.
#[derive(Debug)]
struct Progress {
    silent: bool,
    terminal: bool,
    last: Option<Instant>,
}

impl Progress {
    fn new(silent: bool) -> Self {
        Self { silent, terminal: io::stdout().is_terminal(), last: None }
    }

    fn show(&mut self, connections: u64) -> Result<(), Failure> {
        let early = self.last.is_some_and(|last| last.elapsed() < LINE_EVERY);
        if self.silent || (!self.terminal && early) {
            return Ok(());
        }
        self.last = Some(Instant::now());
        let (before, after) = if self.terminal { ("\r", ERASE_REST) } else { ("", "\n") };
        output::print(&format!("{before}draining: {connections} connections left{after}"))
    }

    /// The next line is about something else.
    fn end(&mut self) -> Result<(), Failure> {
        let begun = self.terminal && self.last.is_some();
        if begun { output::print("\n") } else { Ok(()) }
    }
}

/// `pollux resume`.
pub(crate) fn resume(args: &QueryArgs) -> Result<(), Failure> {
    let status: ServerStatus = send(&args.server, &Request::new(name::RESUME), TIMEOUT)?;
    print(args.json, &status, |status| {
        format!("{}: {} connections", status.state.name(), status.connections)
    })
}

/// `pollux stop`: waits until the socket is gone.
pub(crate) fn stop(args: &StopArgs) -> Result<(), Failure> {
    let start = Instant::now();
    let path = args.server.path();
    let socket = identity(&path);
    let status: ServerStatus = send(&args.server, &Request::new(name::STOP), TIMEOUT)?;
    let ServerStatus { pid, .. } = status;
    while is_there(&path, socket) {
        if start.elapsed() > args.timeout {
            return Err(RemoteError::StillRunning { pid, timeout: args.timeout }.into());
        }
        thread::sleep(GONE_LOOK_EVERY);
    }
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    print(args.json, &json!({ "state": "stopped", "pid": pid, "ms": ms }), |_| {
        format!("process {pid} stopped in {ms} ms")
    })
}

/// Which file is at `path`.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

/// Whether a server still listens on `path`, and it is the one that did when `socket` was looked at.
fn is_there(path: &Path, socket: Option<(u64, u64)>) -> bool {
    // A server that was killed leaves its socket behind.
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    let now = identity(path);
    now.is_some() && now == socket && !UnixStream::connect(path).is_err_and(|e| refused(&e))
}

/// `pollux config show`.
pub(crate) fn show_config(args: &QueryArgs) -> Result<(), Failure> {
    let effective: Effective = send(&args.server, &Request::new(name::CONFIG), TIMEOUT)?;
    print(args.json, &effective, |effective| {
        let Effective { settings, content, routes, files } = effective;
        let lines: Vec<_> = settings
            .iter()
            .map(|setting| (format!("{} = {:?}", setting.key, setting.value), setting.origin()))
            .collect();
        let width = lines.iter().map(|(text, _)| text.len().min(WIDTH_MAX)).max().unwrap_or(0);
        let mut text: String =
            lines.iter().map(|(text, origin)| format!("{text:width$}  # {origin}\n")).collect();
        text += &format!("# {routes} routes, content from {content}");
        if let Some(FileNumbers { served, skipped, links_refused, hidden }) = files {
            text += &format!(
                "\n# {served} files; not served: {skipped} skipped (files.unreadable), {links_refused} of them links \
                 that files.links refuses; {hidden} with a dot in front (files.dot_names)"
            );
        }
        text
    })
}

/// `pollux log`.
pub(crate) fn log(args: &LogArgs) -> Result<(), Failure> {
    let mut request = Request::new(name::LOG);
    if let Some(level) = &args.level {
        request = request.with("level", level.as_str());
    }
    let result: Value = send(&args.server, &request, TIMEOUT)?;
    print(args.json, &result, |result| result["level"].as_str().unwrap_or_default().to_owned())
}

/// `pollux version`: ours, and that of a server if one runs.
pub(crate) fn version(args: &QueryArgs) -> Result<(), Failure> {
    let dpdk = dpdk::version();
    let server: Result<ServerStatus, ClientError> =
        request(&args.server.path(), &Request::new(name::STATUS), TIMEOUT);
    let server = match server {
        Ok(status) => Ok(status),
        Err(ClientError::Nobody { path }) => Err(format!("none runs ({})", path.display())),
        Err(error) => Err(error.to_string()),
    };
    let document = json!({
        "version": VERSION,
        "dpdk": dpdk,
        "server": server.as_ref().ok(),
        "server_error": server.as_ref().err(),
    });
    print(args.json, &document, |_| {
        let said = server.as_ref().map_or_else(Clone::clone, spell);
        format!("pollux {VERSION}\n{dpdk}\nserver {}: {said}", args.server.name)
    })
}

fn spell(status: &ServerStatus) -> String {
    let ServerStatus { state, pid, uptime_seconds, version, dpdk, connections, .. } = status;
    let up = human::uptime(*uptime_seconds);
    format!(
        "version {version} with {dpdk}, process {pid}, up {up}, {}, {connections} connections",
        state.name()
    )
}

impl ServerArgs {
    /// The socket of the server that is meant.
    fn path(&self) -> PathBuf {
        crate::admin::path(&self.directory, &self.name)
    }
}

fn send<T: DeserializeOwned>(
    server: &ServerArgs,
    line: &Request,
    timeout: Duration,
) -> Result<T, RemoteError> {
    Ok(request(&server.path(), line, timeout)?)
}

/// Prints `result` as one line of JSON, or as `text` words it.
fn print<T: Serialize>(
    as_json: bool,
    result: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    let text = if as_json { json!(result).to_string() } else { text(result) };
    output::print(&format!("{text}\n"))
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Reading and compressing a large site takes seconds; this is long.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(600);
/// Other commands take milliseconds. A server that still starts answers when it is ready.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A server without connections has drained by then.
const FIRST_LOOK: Duration = Duration::from_millis(20);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const LINE_EVERY: Duration = Duration::from_secs(1);
const GONE_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Where the origin of a setting stands, unless its value is longer than others.
const WIDTH_MAX: usize = 44;
/// Erases what an earlier, longer text has left on the line of a terminal.
const ERASE_REST: &str = "\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_nobody_listens_on_is_gone() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("a.sock");
        assert!(!is_there(&path, None));
        let listener = std::os::unix::net::UnixListener::bind(&path).expect("binds");
        let socket = identity(&path);
        assert!(is_there(&path, socket));
        assert!(!is_there(&path, Some((0, 0))), "that is another one");
        drop(listener);
        assert!(!is_there(&path, socket), "its server was killed");
    }
}
