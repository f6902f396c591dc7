//! What is served: the routes of a plan with everything they are made of, read from the data directory
//! or the built-in sample, and made into a site.
//!
//! Holds no state of its own: whatever was built before, [`Content::load`] builds anew what the files
//! say now.

mod error;
mod route_errors;
mod sample;

use std::panic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use dpdk::{Backing, HugeBytes};
use handlers::config::{Database, Kind, RouteConfig};
use handlers::{BuildError, Bytes, Named, Site, SiteConfig};

use crate::config::{ConfigError, FilesPlan, Plan, RouteEntry};
use crate::data::{self, DataError, Directory, LeftOut};
use crate::offload;
use crate::progress::Progress;
use crate::progress_line::{DRAW_EVERY, ProgressLine};
use crate::sample::SampleError;

pub(crate) use error::ContentError;
pub(crate) use sample::Sample;

/// A site and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Content {
    /// The site.
    pub(crate) site: Arc<Site>,
    /// Where it came from.
    pub(crate) source: String,
    /// Routes.
    pub(crate) routes: usize,
    /// Static files.
    pub(crate) files: usize,
    /// Names in their directories that are not served.
    pub(crate) left_out: LeftOut,
    /// Bytes of the response store.
    pub(crate) bytes: usize,
    /// Whether the store lies in hugepages.
    pub(crate) huge: bool,
}

impl Content {
    /// Reads what `plan` names and lays it out in hugepages, as far as there are any. The site may
    /// name files of `sample`: keep a clone of it as long as the site.
    ///
    /// # Errors
    /// A route or its data is missing or malformed; all that are.
    pub(crate) fn load(
        plan: &Plan,
        sample: &Sample,
        progress: &Progress,
    ) -> Result<Self, ContentError> {
        Self::build(plan, sample, progress, |bytes| match HugeBytes::zeroed(bytes) {
            Ok(bytes) => (bytes.backing() == Backing::Huge, Box::new(bytes)),
            // The site says that it got too little.
            Err(_) => (false, Box::new(Vec::new())),
        })
    }

    /// Reads what `plan` names, to see whether it could be served.
    ///
    /// # Errors
    /// As [`load`](Self::load). Or it takes longer than deadlines.reload.
    pub(crate) fn check(plan: &Plan, sample: &Sample) -> Result<Self, ContentError> {
        let (limit, progress) = (plan.reload, Progress::default());
        let (done, outcome) = mpsc::channel();
        let (plan, sample, watched) = (plan.clone(), sample.clone(), progress.clone());
        // A file system that hangs keeps the thread, but not the process.
        let thread = thread::Builder::new().name("check".into()).spawn(move || {
            let memory = |bytes| -> (bool, Box<dyn Bytes>) { (false, Box::new(vec![0; bytes])) };
            // If nobody waits any more, what came of it ends here.
            let _ = done.send(Self::build(&plan, &sample, &watched, memory));
        });
        let thread = thread.map_err(ContentError::Thread)?;
        let deadline = Instant::now() + limit;
        let shown = ProgressLine::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match outcome.recv_timeout(left.min(DRAW_EVERY)) {
                Ok(outcome) => return outcome,
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    progress.give_up();
                    return Err(ContentError::TimedOut { limit, doing: progress.now() });
                }
                Err(RecvTimeoutError::Timeout) => shown.show(&progress),
                Err(RecvTimeoutError::Disconnected) => match thread.join() {
                    Err(panic) => panic::resume_unwind(panic),
                    Ok(()) => unreachable!("a thread that ends has sent an outcome"),
                },
            }
        }
    }

    fn build(
        plan: &Plan,
        sample: &Sample,
        progress: &Progress,
        memory: impl FnOnce(usize) -> (bool, Box<dyn Bytes>),
    ) -> Result<Self, ContentError> {
        let source = Source::of(plan, sample)?;
        let mut config = SiteConfig::default();
        let mut entries = Vec::new();
        let mut errors = Vec::new();
        let mut left_out = LeftOut::default();
        for entry in &plan.routes.entries {
            match fill(entry, &source, &plan.files, progress) {
                Ok((route, of_route)) => {
                    left_out += of_route;
                    config.routes.push(route);
                    entries.push(entry);
                }
                Err(error) => errors.push(error.into()),
            }
        }
        if progress.is_given_up() {
            return Err(ContentError::GivenUp);
        }
        forget_left_out(&mut config);
        let mut bytes = 0;
        let mut huge = false;
        let compile = progress.compiling();
        let built = match errors.is_empty() {
            true => Site::build_watched(&config, compile, |len| {
                bytes = len;
                let (backing, bytes) = memory(len);
                huge = backing;
                bytes
            }),
            // For what is wrong with the other routes.
            false => Site::build_watched(&config, compile, |len| Box::new(vec![0; len])),
        };
        match built {
            Ok(site) if errors.is_empty() => {
                let (site, source) = (Arc::new(site), source.name);
                let (routes, files) = (config.routes.len(), count_files(&config));
                return Ok(Self { site, source, routes, files, left_out, bytes, huge });
            }
            Ok(_) => {}
            Err(BuildError::Routes(wrong)) => {
                errors.extend(route_errors::explain(&entries, &wrong))
            }
            Err(BuildError::Cancelled) => return Err(ContentError::GivenUp),
            Err(memory @ BuildError::Memory { .. }) => errors.push(memory.into()),
        }
        Err(ContentError::all(errors).expect_err("one led here"))
    }
}

/// Takes the names of routes that were left out from the others.
fn forget_left_out(config: &mut SiteConfig) {
    let names: Vec<_> = config.routes.iter().filter_map(|route| route.name.clone()).collect();
    for route in &mut config.routes {
        if let Kind::Query(query) = &mut route.kind {
            query.invalidates.retain(|name| names.contains(name));
        }
    }
}

/// Reads the content that `plan` names and validates it against the databases; what is no error is logged.
/// Blocks.
///
/// # Errors
/// Data or databases are not what they should be.
pub(crate) fn load_checked(
    plan: &Plan,
    sample: &Sample,
    progress: &Progress,
) -> Result<Content, ContentError> {
    let content = Content::load(plan, sample, progress)?;
    progress.doing("asking databases");
    for warning in validate(plan, &content.site)? {
        tracing::warn!("{warning}");
    }
    Ok(content)
}

/// Asks the databases for what the statements of `site` want of them. What is returned are warnings.
///
/// # Errors
/// Statements that will not work, with their lines.
pub(crate) fn validate(plan: &Plan, site: &Site) -> Result<Vec<String>, ContentError> {
    validate_within(plan, site, offload::REACH_TIMEOUT)
}

/// As [`validate`], with `timeout` for a PostgreSQL server to let us in.
///
/// # Errors
/// As [`validate`].
pub(crate) fn validate_within(
    plan: &Plan,
    site: &Site,
    timeout: Duration,
) -> Result<Vec<String>, ContentError> {
    let fix = "mend the statement or what uses it, or name another database";
    let refuse = |error: &offload::StatementError| {
        let entry = &plan.routes.entries[error.route];
        entry.refuse("statement", error.problem.clone(), fix).into()
    };
    offload::validate(plan, site, timeout).map_err(|error| {
        let errors = error.errors().iter().map(refuse).collect();
        ContentError::all(errors).expect_err("databases refuse with an error")
    })
}

/// Where relative paths begin.
struct Source {
    directory: PathBuf,
    /// As people call it.
    name: String,
    /// What to do about something that is not there.
    fix: &'static str,
}

impl Source {
    fn of(plan: &Plan, sample: &Sample) -> Result<Self, SampleError> {
        if let Some(directory) = &plan.data {
            let name = directory.display().to_string();
            let fix = "`pollux sample DIR` writes an example";
            return Ok(Self { directory: directory.clone(), name, fix });
        }
        let mut reads = plan.routes.entries.iter().filter_map(|entry| entry.reads.as_ref());
        let with_database = reads.any(|reads| sample::is_database(&reads.path));
        let directory = sample.directory(with_database)?;
        let name = "the built-in sample".into();
        let fix =
            "without --data there is the built-in sample alone (`pollux sample DIR` writes it)";
        Ok(Self { directory, name, fix })
    }

    fn path(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }
}

/// A route with everything it is made of, and the names of its directory that were left out.
fn fill(
    entry: &RouteEntry,
    source: &Source,
    rules: &FilesPlan,
    progress: &Progress,
) -> Result<(RouteConfig, LeftOut), ConfigError> {
    let mut plan = entry.plan.clone();
    let Some(reads) = &entry.reads else { return Ok((plan, LeftOut::default())) };
    let path = source.path(&reads.path);
    let filled = read_into(&mut plan.kind, path, rules, progress);
    filled.map(|left_out| (plan, left_out)).map_err(|error| {
        let fix = match error.is_of_path() {
            true => format!("{}; {}", error.fix(), source.fix),
            false => error.fix(),
        };
        entry.refuse(reads.key, error.to_string(), fix)
    })
}

/// Reads the content of a route; returns the names of a directory that were left out.
fn read_into(
    kind: &mut Kind,
    path: PathBuf,
    rules: &FilesPlan,
    progress: &Progress,
) -> Result<LeftOut, DataError> {
    progress.reading(&path);
    match kind {
        Kind::Fixed(fixed) => fixed.body = data::file(&path, "a file to serve")?,
        Kind::Files(config) => {
            let Directory { files, left_out } = data::directory(&path, rules, progress)?;
            config.files = files;
            return Ok(left_out);
        }
        Kind::Dataset(dataset) => {
            let value = data::file(&path, "a file with a JSON array of items")?;
            dataset.items = Named { name: path.display().to_string(), value };
        }
        Kind::Query(query) => {
            data::has_file(&path, "an SQLite file")?;
            query.database = Database::Sqlite(path);
        }
        Kind::Sum | Kind::Count | Kind::Redirect(_) => {}
    }
    Ok(LeftOut::default())
}

fn count_files(config: &SiteConfig) -> usize {
    let of = |route: &RouteConfig| match &route.kind {
        Kind::Files(config) => config.files.len(),
        _ => 0,
    };
    config.routes.iter().map(of).sum()
}

#[cfg(test)]
mod tests;
