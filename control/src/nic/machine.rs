//! The machine that a command works on: this one, or a made-up one in tests.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use super::capture;
use super::error::NicError;
use super::namespaces;
use super::network::{self, Change};
use super::record::Store;
use super::snapshot::{Namespace, Snapshot};
use crate::host::Host;

/// What commands need of a machine.
pub(crate) trait Machine {
    /// Its files.
    fn host(&self) -> &Host;

    /// Its network namespaces, ours first.
    ///
    /// # Errors
    /// One of them cannot be read.
    fn namespaces(&self) -> Result<Vec<Namespace>, NicError>;

    /// The interface of our namespace that leads to an address.
    fn way_to(&self, peer: IpAddr) -> Option<u32>;

    /// Writes an attribute of sysfs.
    ///
    /// # Errors
    /// Those of the system calls.
    fn write(&self, path: &str, value: &str) -> io::Result<()>;

    /// Loads a module of the kernel.
    ///
    /// # Errors
    /// What modprobe said.
    fn load(&self, module: &str) -> Result<(), String>;

    /// Changes an interface in the namespace mounted at a path, or in ours.
    ///
    /// # Errors
    /// The kernel refuses.
    fn apply(&self, namespace: Option<&Path>, index: u32, change: &Change) -> io::Result<()>;

    /// Waits a moment before looking again; how long.
    fn pause(&self) -> Duration;

    /// Seconds since 1970.
    fn now(&self) -> u64 {
        SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
    }

    /// Tells this start of the machine from others.
    fn boot_id(&self) -> String {
        let text = self.host().text("proc/sys/kernel/random/boot_id");
        text.ok().flatten().unwrap_or_default()
    }

    /// Everything that a decision is made from.
    ///
    /// # Errors
    /// A part of it cannot be read.
    fn snapshot(&self, store: &Store) -> Result<Snapshot, NicError> {
        let recorded = store.addresses()?;
        capture::capture(self.host(), self.namespaces()?, recorded, &|peer| self.way_to(peer))
    }

    /// Looks every moment until there is something, or `limit` is over.
    ///
    /// # Errors
    /// Those of `look`.
    fn wait_for<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut() -> Result<Option<T>, NicError>,
    ) -> Result<Option<T>, NicError>
    where
        Self: Sized,
    {
        let mut waited = Duration::ZERO;
        loop {
            if let Some(found) = look()? {
                return Ok(Some(found));
            }
            if waited >= limit {
                return Ok(None);
            }
            waited += self.pause();
        }
    }
}

/// This machine.
pub(crate) struct ThisMachine {
    host: Host,
}

impl ThisMachine {
    /// As it is.
    pub(crate) fn new() -> Self {
        Self { host: Host::here() }
    }
}

impl Machine for ThisMachine {
    fn host(&self) -> &Host {
        &self.host
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, NicError> {
        namespaces::read_all(&self.host)
    }

    fn way_to(&self, peer: IpAddr) -> Option<u32> {
        network::way_to(peer).ok().flatten()
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.host.path(path))?.write_all(value.as_bytes())
    }

    fn load(&self, module: &str) -> Result<(), String> {
        self.host.run("modprobe", &[module]).map(|_| ())
    }

    fn apply(&self, namespace: Option<&Path>, index: u32, change: &Change) -> io::Result<()> {
        namespaces::within(namespace, || network::apply(index, change))
    }

    fn pause(&self) -> Duration {
        thread::sleep(PAUSE);
        PAUSE
    }
}

const PAUSE: Duration = Duration::from_millis(50);
