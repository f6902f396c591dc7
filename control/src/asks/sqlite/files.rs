//! The files that one thread has open.
//!
//! A file that cannot be used is shut and tried again later, with longer and longer pauses; until then
//! nothing waits for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{Clock, Fault, File, spell};
use crate::asks::office::Office;

/// Files by their path.
#[derive(Debug)]
pub(super) struct Files {
    slots: HashMap<PathBuf, Slot>,
    mmap: u64,
    clock: Arc<Clock>,
    office: Arc<Office>,
}

#[derive(Debug)]
enum Slot {
    Open(File),
    /// Not usable; tried again after `until`.
    Shut {
        fault: Fault,
        until: Instant,
        pause: Duration,
    },
}

impl Files {
    /// Nothing is open yet. At most `mmap` bytes of each file will be mapped.
    pub(super) fn new(mmap: u64, clock: &Arc<Clock>, office: &Arc<Office>) -> Self {
        Self { slots: HashMap::new(), mmap, clock: Arc::clone(clock), office: Arc::clone(office) }
    }

    /// The file at `path`, opened if it is not.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn open(&mut self, path: &Path, now: Instant) -> Result<&File, Fault> {
        let is_due = match self.slots.get(path) {
            None => true,
            Some(Slot::Open(_)) => false,
            Some(Slot::Shut { until, .. }) => *until <= now,
        };
        if is_due {
            self.office.tallies.sqlite_opened.up();
            match File::open(path, self.mmap, Arc::clone(&self.clock)) {
                Ok(file) => drop(self.slots.insert(path.to_owned(), Slot::Open(file))),
                Err(error) => {
                    let fault = Fault::of(&error);
                    self.shut(path, fault, &spell(&error), now);
                    return Err(fault);
                }
            }
        }
        match &self.slots[path] {
            Slot::Open(file) => Ok(file),
            Slot::Shut { fault, .. } => Err(*fault),
        }
    }

    /// `path` has failed: it is opened anew after a pause.
    pub(super) fn shut(&mut self, path: &Path, fault: Fault, problem: &str, now: Instant) {
        self.office.refusals.tell(now, |quiet| {
            tracing::error!("SQLite: {}: {problem} ({quiet} faults untold)", path.display());
        });
        let pause = match self.slots.get(path) {
            Some(Slot::Shut { pause, .. }) => (2 * *pause).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        self.slots.insert(path.to_owned(), Slot::Shut { fault, until: now + pause, pause });
    }

    /// Closes what is not `wanted` any more, and what is not the file it was opened as.
    pub(super) fn renew(&mut self, wanted: impl Fn(&Path) -> bool) {
        self.slots.retain(|path, slot| {
            wanted(path) && matches!(slot, Slot::Open(file) if file.is_at(path))
        });
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
