//! What a NIC was before it was bound: one JSON file a device in the state directory, written before
//! anything is touched, removed when everything is back.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::error::NicError;
use super::ports::Port;
use super::snapshot::{NetAddress, PciDevice, Snapshot};

/// A NIC as it was.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Record {
    /// Format of this file.
    pub(crate) version: u32,
    /// PCI address.
    pub(crate) address: String,
    /// The start of the machine that this was in; a record of an earlier one describes nothing.
    pub(crate) boot_id: String,
    /// When it was written, in seconds since 1970.
    pub(crate) written: u64,
    /// Whether the bind came to its end.
    pub(crate) bound: bool,
    /// The driver it was on.
    pub(crate) driver: Option<String>,
    /// Its `driver_override`.
    pub(crate) driver_override: Option<String>,
    /// The mode of vfio without an IOMMU (`Y` or `N`), if it had to be changed.
    pub(crate) noiommu_before: Option<String>,
    /// Its interfaces.
    pub(crate) interfaces: Vec<InterfaceRecord>,
    /// Who takes it back unless the operator confirms.
    pub(crate) watchdog: Option<WatchdogRecord>,
}

/// An interface as it was.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct InterfaceRecord {
    /// Name.
    pub(crate) name: String,
    /// Where its namespace is mounted, if that is not the one `pollux` ran in.
    pub(crate) namespace: Option<PathBuf>,
    /// Its number then; routes name it.
    pub(crate) index: u32,
    /// Hardware address.
    pub(crate) mac: Vec<u8>,
    /// Largest packet.
    pub(crate) mtu: u32,
    /// Length of its queue in the kernel.
    pub(crate) tx_queue_len: u32,
    /// Administratively up.
    pub(crate) up: bool,
    /// Promiscuous mode.
    pub(crate) promiscuous: bool,
    /// The interface it was a member of.
    pub(crate) master: Option<String>,
    /// Addresses.
    pub(crate) addresses: Vec<NetAddress>,
    /// Routes that led over it.
    pub(crate) routes: Vec<RouteRecord>,
}

/// A route as it was.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct RouteRecord {
    /// For messages.
    pub(crate) text: String,
    /// See [`NetRoute::message`](super::snapshot::NetRoute::message).
    pub(crate) message: String,
}

/// A process that waits for a confirmation.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct WatchdogRecord {
    /// Tells this watchdog from one before.
    pub(crate) token: u64,
    /// Its process; zero until it has started.
    pub(crate) pid: u32,
    /// When it takes the NIC back, in seconds since 1970.
    pub(crate) deadline: u64,
}

impl Record {
    /// Describes `device` as it is in `snapshot`.
    pub(crate) fn of(snapshot: &Snapshot, device: &PciDevice, boot_id: &str, now: u64) -> Self {
        let port = Port::new(snapshot, device);
        let interfaces = port.own().map(|(at, link)| {
            let namespace = &snapshot.namespaces[at];
            let routes = namespace
                .routes
                .iter()
                .filter(|route| route.over.contains(&link.index) && !route.message.is_empty());
            let of_link = |held: &&NetAddress| held.index == link.index;
            let master = namespace.links.iter().find(|other| Some(other.index) == link.master);
            InterfaceRecord {
                name: link.name.clone(),
                namespace: namespace.path.clone(),
                index: link.index,
                mac: link.mac.clone(),
                mtu: link.mtu,
                tx_queue_len: link.tx_queue_len,
                up: link.up,
                promiscuous: link.promiscuous,
                master: master.map(|master| master.name.clone()),
                addresses: namespace.addresses.iter().filter(of_link).cloned().collect(),
                routes: routes
                    .map(|route| RouteRecord {
                        text: route.text.clone(),
                        message: route.message.clone(),
                    })
                    .collect(),
            }
        });
        Self {
            version: VERSION,
            address: device.address.clone(),
            boot_id: boot_id.to_owned(),
            written: now,
            bound: false,
            driver: device.driver.clone(),
            driver_override: device.driver_override.clone(),
            noiommu_before: None,
            interfaces: interfaces.collect(),
            watchdog: None,
        }
    }

    /// Whether an interface of this name is in it.
    pub(crate) fn has_interface(&self, name: &str) -> bool {
        self.interfaces.iter().any(|interface| interface.name == name)
    }
}

/// The state directory.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// Keeps other commands out while it lives.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Store {
    /// The one at `directory`, which need not exist yet.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// Where it is.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Makes the directory and waits until no other command works in it.
    ///
    /// # Errors
    /// It cannot be made, or another command takes too long.
    pub(crate) fn lock(&self) -> Result<Lock, NicError> {
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&self.directory).map_err(|e| state(&self.directory, "cannot be made", e))?;
        let path = self.directory.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(&path).map_err(|e| state(&path, "cannot be opened", e))?;
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => {
                    return Err(NicError::Locked { path, seconds: LOCK_WAIT.as_secs() });
                }
                Err(TryLockError::Error(e)) => return Err(state(&path, "cannot be locked", e)),
            }
        }
    }

    /// The record of a device.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn read(&self, address: &str) -> Result<Option<Record>, NicError> {
        let path = self.path(address);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(state(&path, "cannot be read", error)),
        };
        let damaged = |why: String| NicError::Damaged { path, address: address.to_owned(), why };
        match serde_json::from_str::<Record>(&text) {
            Ok(record) if record.version != VERSION => {
                Err(damaged(format!("version {}, not {VERSION}", record.version)))
            }
            Ok(record) if record.address != address => {
                Err(damaged(format!("it is of {}", record.address)))
            }
            Ok(record) => Ok(Some(record)),
            Err(error) => Err(damaged(error.to_string())),
        }
    }

    /// Replaces the record of a device; it is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn write(&self, record: &Record) -> Result<(), NicError> {
        let path = self.path(&record.address);
        let written = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
            serde_json::to_writer_pretty(&mut file, record)?;
            file.write_all(b"\n")?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            File::open(&self.directory)?.sync_all()
        };
        written().map_err(|e| state(&path, "cannot be written", e))
    }

    /// Removes the record of a device, if there is one.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(crate) fn remove(&self, address: &str) -> Result<(), NicError> {
        let path = self.path(address);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(state(&path, "cannot be removed", error))
            }
            _ => Ok(()),
        }
    }

    /// Renames a damaged record, so that nobody reads it again.
    ///
    /// # Errors
    /// It cannot be renamed.
    pub(crate) fn set_aside(&self, address: &str) -> Result<PathBuf, NicError> {
        let path = self.path(address);
        let aside = self.directory.join(format!("{address}.damaged"));
        fs::rename(&path, &aside).map_err(|e| state(&path, "cannot be moved away", e))?;
        Ok(aside)
    }

    /// PCI addresses with a record, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(crate) fn addresses(&self) -> Result<Vec<String>, NicError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(state(&self.directory, "cannot be read", error)),
        };
        let name = |entry: fs::DirEntry| entry.file_name().into_string().ok();
        let names = entries.flatten().filter_map(name);
        let mut addresses: Vec<_> =
            names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        addresses.sort_unstable();
        Ok(addresses)
    }

    fn path(&self, address: &str) -> PathBuf {
        self.directory.join(format!("{address}.json"))
    }
}

fn state(path: &Path, what: &'static str, cause: io::Error) -> NicError {
    NicError::State { path: path.to_owned(), what, cause }
}

/// Of the format of records.
const VERSION: u32 = 1;
const LOCK_FILE: &str = "lock";
/// Longer than any command takes that works: an unbind waits at most so long for an interface.
const LOCK_WAIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(50);
