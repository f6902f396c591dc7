//! The files that one thread has open.
//!
//! A file that cannot be used is shut and tried again later, with longer and longer pauses; until then
//! nothing waits for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::file::{Clock, ErrorClass, File, spell};
use crate::offload::counters::Counters;
use crate::offload::statement_log::StatementLog;

/// Files by their path.
#[derive(Debug)]
pub(super) struct Files {
    slots: HashMap<PathBuf, Slot>,
    mmap: u64,
    clock: Arc<Clock>,
    counters: Arc<Counters>,
    log: Arc<StatementLog>,
}

#[derive(Debug)]
enum Slot {
    Open(File),
    /// Not usable; tried again after `until`.
    Shut {
        class: ErrorClass,
        until: Instant,
        pause: Duration,
    },
}

impl Files {
    /// Nothing is open yet. At most `mmap` bytes of each file will be mapped.
    pub(super) fn new(
        mmap: u64,
        clock: &Arc<Clock>,
        counters: &Arc<Counters>,
        log: &Arc<StatementLog>,
    ) -> Self {
        Self {
            slots: HashMap::new(),
            mmap,
            clock: Arc::clone(clock),
            counters: Arc::clone(counters),
            log: Arc::clone(log),
        }
    }

    /// The file at `path`, opened if it is not.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn open(&mut self, path: &Path, now: Instant) -> Result<&File, ErrorClass> {
        let is_due = match self.slots.get(path) {
            None => true,
            Some(Slot::Open(_)) => false,
            Some(Slot::Shut { until, .. }) => *until <= now,
        };
        if is_due {
            self.counters.sqlite_opened.up();
            match File::open(path, self.mmap, Arc::clone(&self.clock)) {
                Ok(file) => drop(self.slots.insert(path.to_owned(), Slot::Open(file))),
                Err(error) => {
                    let class = ErrorClass::of(&error);
                    self.shut(path, class, &spell(&error), now);
                    return Err(class);
                }
            }
        }
        match &self.slots[path] {
            Slot::Open(file) => Ok(file),
            Slot::Shut { class, .. } => Err(*class),
        }
    }

    /// `path` has failed: it is opened anew after a pause.
    pub(super) fn shut(&mut self, path: &Path, class: ErrorClass, problem: &str, now: Instant) {
        self.log.limited(&format_args!("{}: {problem}", path.display()), now);
        let pause = match self.slots.get(path) {
            Some(Slot::Shut { pause, .. }) => (2 * *pause).min(PAUSE_MAX),
            _ => PAUSE_MIN,
        };
        self.slots.insert(path.to_owned(), Slot::Shut { class, until: now + pause, pause });
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
