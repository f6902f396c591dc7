//! Connections to one file: one for each thread, opened before they are needed.
//!
//! A pool belongs to the file it was made with, whatever the path names later. Connections that are open go on
//! reading that file when another one was renamed over it; then no further one can be opened.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use rusqlite::Error;

use super::file::File;
use super::handle::FileHandle;
use crate::offload::cache::lock;
use crate::offload::counters::Counters;

/// The connections to one file.
#[derive(Debug)]
pub(super) struct FilePool {
    path: PathBuf,
    handle: FileHandle,
    idle: Mutex<Vec<File>>,
    settings: Arc<Settings>,
}

/// What all pools have in common.
#[derive(Debug)]
pub(super) struct Settings {
    /// Connections that may be in use at once.
    pub(super) threads: usize,
    /// Bytes of a file's pages that a connection keeps in memory.
    pub(super) cache: u64,
    /// Interrupts statements.
    pub(super) stopping: Arc<AtomicBool>,
    /// Counts files that are opened.
    pub(super) counters: Arc<Counters>,
}

impl FilePool {
    /// No connection yet to the file of `handle`, which is at `path`.
    pub(super) fn new(path: PathBuf, handle: FileHandle, settings: &Arc<Settings>) -> Self {
        Self { path, handle, idle: Mutex::default(), settings: Arc::clone(settings) }
    }

    /// Whether `handle` is of this pool's file.
    pub(super) fn is_of(&self, handle: &FileHandle) -> bool {
        self.handle.is_same(handle)
    }

    /// Opens connections until each thread has one, and anew those that were opened before the file was
    /// changed. It blocks: also, for a moment, if the file was changed just now.
    ///
    /// # Errors
    /// SQLite's own.
    pub(super) fn fill(&self) -> Result<(), Error> {
        self.handle.settle();
        let mut idle = lock(&self.idle);
        if self.handle.is_at(&self.path) {
            idle.retain(|file| file.is_settled() && self.is_unchanged(file));
        }
        while idle.len() < self.settings.threads {
            let Some(file) = self.open()? else { break };
            idle.push(file);
        }
        Ok(())
    }

    /// A connection; `None` if there is none and the path names another file by now.
    ///
    /// # Errors
    /// As [`fill`](Self::fill).
    pub(super) fn check_out(self: &Arc<Self>) -> Result<Option<PooledFile>, Error> {
        let file = match self.take() {
            Some(file) => Some(file),
            None => self.open()?,
        };
        Ok(file.map(|file| PooledFile { file, pool: Arc::clone(self) }))
    }

    /// Closes the connections that nobody uses.
    pub(super) fn clear(&self) {
        lock(&self.idle).clear();
    }

    /// The connection that was used last.
    fn take(&self) -> Option<File> {
        let mut idle = lock(&self.idle);
        loop {
            let file = idle.pop()?;
            // What has not settled is used once, unless no other can be opened any more.
            if self.is_unchanged(&file) && (file.is_settled() || !self.handle.is_at(&self.path)) {
                return Some(file);
            }
        }
    }

    fn is_unchanged(&self, file: &File) -> bool {
        file.is_unchanged(&self.handle, &self.path)
    }

    fn open(&self) -> Result<Option<File>, Error> {
        let Settings { cache, stopping, counters, .. } = &*self.settings;
        counters.sqlite_opened.up();
        File::open_handle(&self.handle, &self.path, *cache, stopping)
    }
}

/// A connection in use. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct PooledFile {
    /// The connection.
    pub(super) file: File,
    pool: Arc<FilePool>,
}

impl PooledFile {
    /// Whether the file has been what it is since it was opened: whatever was read is from one version of it.
    pub(super) fn is_unchanged(&self) -> bool {
        self.pool.is_unchanged(&self.file)
    }

    /// Gives the connection back, for the next who reads this file.
    pub(super) fn keep(self) {
        let mut idle = lock(&self.pool.idle);
        if idle.len() < self.pool.settings.threads {
            idle.push(self.file);
        }
    }
}
