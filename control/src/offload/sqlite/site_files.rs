//! Which files a site reads: those that its paths named when it was made.
//!
//! A request of an earlier site never reads a file that came with a later one. Only the current site takes what
//! its path names now, if the file it had cannot be used any more: all threads do from then on, and the
//! site's cached responses from that path go.
//!
//! A file that cannot be used is shut and tried again later, with longer and longer pauses; until then nothing
//! waits for it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use handlers::config::Database;
use handlers::query::Query;
use handlers::{Invalidation, Site};
use rusqlite::Error;

use super::file::{ErrorClass, cannot_open, spell};
use super::handle::FileHandle;
use super::pool::{FilePool, PooledFile, Settings};
use crate::offload::cache::{Cache, lock};
use crate::offload::job::Job;
use crate::offload::statement_log::StatementLog;

/// The files of all sites that somebody may still send requests of.
#[derive(Debug)]
pub(super) struct SiteFiles {
    /// The current one is the last.
    sites: Mutex<Vec<Arc<FilesOfSite>>>,
    settings: Arc<Settings>,
    log: Arc<StatementLog>,
}

/// The files of one site.
#[derive(Debug)]
struct FilesOfSite {
    /// Keeps the site's address its own.
    site: Weak<Site>,
    files: HashMap<PathBuf, Mutex<SiteFile>>,
}

/// What a path means to one site.
#[derive(Debug)]
struct SiteFile {
    /// `None` if there was no file yet.
    pool: Option<Arc<FilePool>>,
    /// Whether another file at the path is another site's.
    is_pinned: bool,
    shut: Option<Shut>,
}

/// Not usable; tried again after `until`.
#[derive(Clone, Copy, Debug)]
struct Shut {
    class: ErrorClass,
    until: Instant,
    pause: Duration,
}

impl SiteFiles {
    /// Without sites.
    pub(super) fn new(settings: Settings, log: &Arc<StatementLog>) -> Self {
        Self { sites: Mutex::default(), settings: Arc::new(settings), log: Arc::clone(log) }
    }

    /// `site` is the current one from now on: opens its files, for every thread. It blocks.
    pub(super) fn add(&self, site: &Arc<Site>, now: Instant) {
        let earlier = lock(&self.sites).clone();
        for file in earlier.iter().flat_map(|site| site.files.values()) {
            lock(file).is_pinned = true;
        }
        let mut files = HashMap::new();
        for path in site.queries().filter_map(|(_, query)| path_of(query)) {
            if !files.contains_key(path) {
                files.insert(path.to_owned(), Mutex::new(self.open(path, &earlier, now)));
            }
        }
        let files = FilesOfSite { site: Arc::downgrade(site), files };
        lock(&self.sites).push(Arc::new(files));
    }

    /// Closes the files of sites that are gone.
    pub(super) fn sweep(&self) {
        let is_gone = |site: &mut Arc<FilesOfSite>| site.site.strong_count() == 0;
        // What it drops closes files: not under the lock.
        let gone: Vec<_> = lock(&self.sites).extract_if(.., is_gone).collect();
        drop(gone);
    }

    /// A connection to the file that `path` is to `site`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(super) fn check_out(
        &self,
        site: &Arc<Site>,
        path: &Path,
        cache: &Cache<Job>,
        now: Instant,
    ) -> Result<PooledFile, ErrorClass> {
        let files = self.of(site);
        let mut file = lock(&files.files[path]);
        if let Some(shut) = &file.shut
            && now < shut.until
        {
            return Err(shut.class);
        }
        let found = file.check_out(path, &self.settings, || drop_cached(cache, site, path));
        if found.is_ok() {
            file.shut = None;
        }
        found.map_err(|error| self.shut(&mut file, path, &error, now))
    }

    /// `path` has failed `site`: it is opened anew after a pause.
    pub(super) fn fail(&self, site: &Arc<Site>, path: &Path, error: &Error, now: Instant) {
        let files = self.of(site);
        self.shut(&mut lock(&files.files[path]), path, error, now);
    }

    fn of(&self, site: &Arc<Site>) -> Arc<FilesOfSite> {
        let sites = lock(&self.sites);
        let found = sites.iter().rfind(|files| files.site.as_ptr() == Arc::as_ptr(site));
        Arc::clone(found.expect("a site's files are opened before it is served"))
    }

    /// What `path` is to a new site: what it is to one of the `earlier`, unless it names another file by now.
    fn open(&self, path: &Path, earlier: &[Arc<FilesOfSite>], now: Instant) -> SiteFile {
        let mut file = SiteFile { pool: None, is_pinned: false, shut: None };
        let filled = file_pool(path, &self.settings, |handle| {
            let known = earlier.iter().rev().filter_map(|site| site.files.get(path));
            let mut pools = known.filter_map(|file| lock(file).pool.clone());
            pools.find(|pool| pool.is_of(handle))
        });
        let filled = filled.and_then(|pool| file.pool.insert(pool).fill());
        if let Err(error) = filled {
            self.shut(&mut file, path, &error, now);
        }
        file
    }

    fn shut(&self, file: &mut SiteFile, path: &Path, error: &Error, now: Instant) -> ErrorClass {
        self.log.limited(&format_args!("{}: {}", path.display(), spell(error)), now);
        let class = ErrorClass::of(error);
        let pause = file.shut.map_or(PAUSE_MIN, |shut| (2 * shut.pause).min(PAUSE_MAX));
        file.shut = Some(Shut { class, until: now + pause, pause });
        if let Some(pool) = &file.pool {
            pool.clear();
        }
        class
    }
}

impl SiteFile {
    /// A connection to this file, or, if it has gone and this is the current site's, to the one at `path` now:
    /// then, before anybody reads that, `on_replaced` is called.
    fn check_out(
        &mut self,
        path: &Path,
        settings: &Arc<Settings>,
        on_replaced: impl FnOnce(),
    ) -> Result<PooledFile, Error> {
        if let Some(pool) = &self.pool
            && let Some(file) = pool.check_out()?
        {
            return Ok(file);
        }
        if self.is_pinned {
            return Err(cannot_open("the site's file is gone, and another has its name"));
        }
        let pool = file_pool(path, settings, |_| None)?;
        let file = pool.check_out()?.ok_or_else(|| cannot_open("it is being replaced"))?;
        self.pool = Some(pool);
        on_replaced();
        Ok(file)
    }
}

/// The pool of the file that `path` names now: one that is `known`, or a new one.
fn file_pool(
    path: &Path,
    settings: &Arc<Settings>,
    known: impl FnOnce(&FileHandle) -> Option<Arc<FilePool>>,
) -> Result<Arc<FilePool>, Error> {
    let handle = FileHandle::open(path).map_err(cannot_open)?;
    let pool = known(&handle);
    Ok(pool.unwrap_or_else(|| Arc::new(FilePool::new(path.to_owned(), handle, settings))))
}

/// Drops what is cached of the routes of `site` that read `path`, and has what is under way not cached.
fn drop_cached(cache: &Cache<Job>, site: &Arc<Site>, path: &Path) {
    let routes = site.queries().filter(|(_, query)| path_of(query) == Some(path));
    let invalids = routes.map(|(route, _)| Invalidation { route, key: None }).collect();
    cache.invalidate(site, invalids);
}

/// The file that `query` reads; `None` if it is of another database.
pub(super) fn path_of(query: &Query) -> Option<&Path> {
    match query.database() {
        Database::Sqlite(path) => Some(path),
        Database::Postgres => None,
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);
