//! The process that takes a NIC back unless the operator confirms in time.
//!
//! It has a session of its own and blocks SIGHUP, so that it outlives the terminal it was started from.
//! The record is its only tie: when its token is gone from there, it ends.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, setsid};

use super::args::WatchdogArgs;
use super::error::NicError;
use super::holders;
use super::machine::Machine;
use super::record::Store;
use super::unbind;

/// Starts one for `address` and waits until no signal of this terminal reaches it; its process.
///
/// # Errors
/// It does not start.
pub(crate) fn start(
    store: &Store,
    address: &str,
    token: u64,
    time: Duration,
) -> Result<u32, NicError> {
    let failed = |why: String| NicError::Watchdog { address: address.to_owned(), why };
    let log = store.directory().join(format!("{address}.watchdog.log"));
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o600);
    let file = options.open(&log).map_err(|error| failed(format!("{}: {error}", log.display())))?;
    let mut child = Command::new(OURSELVES)
        .args(["nic", "watchdog", address, "--token", &token.to_string()])
        .args(["--seconds", &time.as_secs().to_string(), "--state"])
        .arg(store.directory())
        .current_dir(Path::new("/"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut line = String::new();
    let read = child.stdout.take().map(|pipe| BufReader::new(pipe).read_line(&mut line));
    if matches!(read, Some(Ok(_))) && line == ARMED {
        return Ok(child.id());
    }
    Err(failed(format!("see {}", log.display())))
}

/// Is one, until the NIC is confirmed or given back.
///
/// # Errors
/// The NIC was not given back.
pub(crate) fn run(machine: &impl Machine, args: &WatchdogArgs) -> Result<(), NicError> {
    let deadline = Instant::now() + Duration::from_secs(args.seconds);
    let detached = setsid().and_then(|_| block_signals());
    detached.map_err(|error| NicError::Watchdog {
        address: args.address.clone(),
        why: error.to_string(),
    })?;
    let mut stdout = io::stdout();
    // Nobody listens any more if the bind was killed just now; the NIC is then taken back in time.
    let _ = stdout.write_all(ARMED.as_bytes()).and_then(|()| stdout.flush());
    let store = Store::new(&args.state.state);
    while Instant::now() < deadline {
        if !is_wanted(&store, args) {
            return Ok(());
        }
        thread::sleep(PAUSE.min(deadline.saturating_duration_since(Instant::now())));
    }
    take_back(machine, &store, args)
}

/// Keeps the signals that a terminal sends when it goes away from ending this thread's process.
///
/// # Errors
/// Those of the system call.
pub(crate) fn block_signals() -> nix::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGHUP);
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGQUIT);
    signals.add(Signal::SIGTSTP);
    signals.add(Signal::SIGPIPE);
    signals.thread_block()
}

/// Whether the record still has this watchdog.
fn is_wanted(store: &Store, args: &WatchdogArgs) -> bool {
    match store.read(&args.address) {
        Ok(Some(record)) => record.watchdog.is_some_and(|watchdog| watchdog.token == args.token),
        Ok(None) => false,
        // Nobody can have confirmed in a record that cannot be read.
        Err(_) => true,
    }
}

/// Gives the NIC back, however long that takes, unless the record no longer wants it.
///
/// # Errors
/// It failed too often.
pub(crate) fn take_back(
    machine: &impl Machine,
    store: &Store,
    args: &WatchdogArgs,
) -> Result<(), NicError> {
    let address = &args.address;
    let mut asked = Vec::new();
    let mut failures = 0;
    loop {
        let attempt = store.lock().and_then(|_lock| {
            if !is_wanted(store, args) {
                return Ok(Vec::new());
            }
            let record = store.read(address).ok().flatten();
            unbind::give_back(machine, store, address, record.as_ref())
        });
        match attempt {
            Ok(done) => {
                done.iter().for_each(say);
                return Ok(());
            }
            Err(error) => {
                say(&error);
                let waits = matches!(error, NicError::Busy { .. } | NicError::Locked { .. });
                failures += u32::from(!waits);
                if failures >= TRIES_MAX {
                    return Err(error);
                }
                if matches!(error, NicError::Busy { .. }) {
                    end_holders(machine, address, &mut asked);
                }
                thread::sleep(RETRY_PAUSE);
            }
        }
    }
}

/// Asks each process that holds the NIC once to end.
fn end_holders(machine: &impl Machine, address: &str, asked: &mut Vec<u32>) {
    let Some(holders) = holders::of(machine.host(), address) else { return };
    for process in holders.processes {
        if asked.contains(&process) {
            continue;
        }
        asked.push(process);
        let Ok(pid) = i32::try_from(process) else { continue };
        say(&format_args!("SIGTERM to {}", machine.host().spell_process(process)));
        if let Err(error) = kill(Pid::from_raw(pid), Signal::SIGTERM) {
            say(&format_args!("process {process}: {error}"));
        }
    }
}

/// A line of its log. A full disk under that, or a terminal that is gone, keeps it from nothing.
fn say(line: &impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}

const OURSELVES: &str = "/proc/self/exe";
/// What it says when it is on its own.
const ARMED: &str = "armed\n";
const PAUSE: Duration = Duration::from_millis(200);
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Failures other than a device that is held open.
const TRIES_MAX: u32 = 10;
