//! How far a load has come: whoever reads and compiles writes it, whoever waits reads it, and may give up.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use handlers::{BuildProgress, BuildReadings};

use crate::human;

/// The progress of one load. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    files: AtomicU64,
    bytes: AtomicU64,
    now: Mutex<Step>,
    /// How far the compile is; cancelled when nobody waits any more, in all steps.
    compile: BuildProgress,
}

/// What is done now.
#[derive(Debug)]
enum Step {
    /// The site is made of what was read.
    Compile,
    /// Something else, as a person would say it.
    Other(String),
}

impl Default for Step {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl Progress {
    /// `path` is read now.
    pub(crate) fn reading(&self, path: &Path) {
        self.doing(format!("reading {}", path.display()));
    }

    /// `what` is done now.
    pub(crate) fn doing(&self, what: impl Into<String>) {
        self.enter(Step::Other(what.into()));
    }

    /// The site is made now; what is returned is to be written meanwhile.
    pub(crate) fn compiling(&self) -> &BuildProgress {
        self.enter(Step::Compile);
        &self.0.compile
    }

    fn enter(&self, step: Step) {
        *self.0.now.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// A file of so many bytes was read.
    pub(crate) fn has_read(&self, bytes: usize) {
        self.0.files.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How far it is, for people: `900 files, 45 MiB read; compiling the site: 300 of 902 files, 15 of 46 MiB`.
    pub(crate) fn line(&self) -> String {
        let (files, bytes) = (&self.0.files, &self.0.bytes);
        let (files, bytes) = (files.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
        let now = self.now();
        let separator = if now.is_empty() { "" } else { "; " };
        format!("{files} files, {} read{separator}{now}", human::bytes(bytes))
    }

    /// What is done now.
    pub(crate) fn now(&self) -> String {
        match &*self.0.now.lock().unwrap_or_else(PoisonError::into_inner) {
            Step::Compile => {
                let BuildReadings { files, bytes, files_total, bytes_total } =
                    self.0.compile.readings();
                let (bytes, bytes_total) = (human::bytes(bytes), human::bytes(bytes_total));
                format!(
                    "compiling the site: {files} of {files_total} files, {bytes} of {bytes_total}"
                )
            }
            Step::Other(what) => what.clone(),
        }
    }

    /// How far the compile is, while there is one.
    pub(crate) fn compiled(&self) -> Option<BuildReadings> {
        let now = self.0.now.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*now, Step::Compile).then(|| self.0.compile.readings())
    }

    /// Nobody waits any more: whoever works ends at the next file, and a compile in the middle of a long one.
    pub(crate) fn give_up(&self) {
        self.0.compile.cancel();
    }

    /// Whether nobody waits any more.
    pub(crate) fn is_given_up(&self) -> bool {
        self.0.compile.is_cancelled()
    }
}

/// How often those who wait are told.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use handlers::config::{Compress, FixedConfig, Kind, RouteConfig};
    use handlers::{Methods, Site, SiteConfig};
    use http1::Status;

    #[test]
    fn the_line_says_how_far_it_is() {
        let progress = Progress::default();
        assert_eq!(progress.line(), "0 files, 0 B read");
        progress.reading(Path::new("/srv/a"));
        assert_eq!(progress.line(), "0 files, 0 B read; reading /srv/a");
        progress.has_read(1_000);
        progress.has_read(1_048);
        let compile = progress.compiling();
        let begun = "2 files, 2 KiB read; compiling the site: 0 of 0 files, 0 B of 0 B";
        assert_eq!(progress.line(), begun);
        Site::build_watched(&one_file(), compile, |len| Box::new(vec![0; len])).expect("builds");
        assert_eq!(progress.now(), "compiling the site: 1 of 1 files, 2 KiB of 2 KiB");
        progress.doing("asking databases");
        assert_eq!(progress.line(), "2 files, 2 KiB read; asking databases");
        assert_eq!(progress.compiled(), None);
    }

    #[test]
    fn who_gives_up_cancels_the_compile() {
        let progress = Progress::default();
        assert!(!progress.is_given_up());
        progress.clone().give_up();
        assert!(progress.is_given_up() && progress.compiling().is_cancelled());
    }

    fn one_file() -> SiteConfig {
        let fixed = FixedConfig {
            status: Status::S200,
            media_type: "text/plain".into(),
            body: vec![b'a'; 2_048],
            etag: None,
        };
        let route = RouteConfig {
            name: None,
            path: "/".into(),
            below: false,
            methods: Methods::GET,
            headers: Vec::new(),
            compress: Compress::Off,
            kind: Kind::Fixed(fixed),
        };
        SiteConfig { routes: vec![route] }
    }
}
