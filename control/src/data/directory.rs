//! The files of a directory, with everything below it, and their coded siblings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::ops::AddAssign;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handlers::SourceFile;
use nix::errno::Errno;

use super::error::DataError;
use crate::config::{FilesPlan, Links, Unreadable};
use crate::progress::Progress;
use crate::regular_file::{Opened, Root, read};

/// What was found in a directory.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Its files, by name.
    pub(crate) files: Vec<SourceFile>,
    /// The names that are not served.
    pub(crate) left_out: LeftOut,
}

/// Names in directories that are not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    /// They lead to no file that can be served, and `files.unreadable = "skip"` wants them to be left out.
    pub(crate) skipped: usize,
    /// Those of them that are links which `files.links` does not allow.
    pub(crate) links: usize,
    /// They begin with a dot, and `files.dot_names` does not have them.
    pub(crate) hidden: usize,
}

/// Every regular file below the directory at `path`, with its `.br` and `.gz` siblings. What is left out is
/// named in the log.
///
/// # Errors
/// It is missing, or something below cannot be served and `rules` do not skip it.
pub(crate) fn directory(
    path: &Path,
    rules: &FilesPlan,
    progress: &Progress,
) -> Result<Directory, DataError> {
    let beneath = rules.links == Links::Within;
    let root = Root::open(path, beneath).map_err(DataError::unreadable(path, EXPECTED))?;
    let (found, hidden, skipped) = (BTreeMap::new(), Vec::new(), Vec::new());
    let mut walk = Walk { root, path, rules, progress, found, hidden, skipped, names: 0 };
    walk.directory(Path::new(""), &mut Vec::new())?;
    walk.log();
    Ok(Directory { left_out: walk.left_out(), files: pair_siblings(walk.found) })
}

impl AddAssign for LeftOut {
    fn add_assign(&mut self, other: Self) {
        let Self { skipped, links, hidden } = other;
        self.skipped += skipped;
        self.links += links;
        self.hidden += hidden;
    }
}

/// One file as it lies on disk.
struct Raw {
    bytes: Vec<u8>,
    modified_unix: u64,
}

/// A walk through a directory.
struct Walk<'a> {
    root: Root,
    path: &'a Path,
    rules: &'a FilesPlan,
    progress: &'a Progress,
    found: BTreeMap<String, Raw>,
    /// Names that begin with a dot.
    hidden: Vec<PathBuf>,
    skipped: Vec<DataError>,
    /// Names that were looked at.
    names: usize,
}

/// Tells a directory from any other.
type Identity = (u64, u64);

impl Walk<'_> {
    /// Everything in the directory `name` below the root; `above` are those that it is in.
    fn directory(&mut self, name: &Path, above: &mut Vec<Identity>) -> Result<(), DataError> {
        let path = self.path.join(name);
        let unreadable = |error: std::io::Error| DataError::unreadable(&path, EXPECTED)(error);
        let mut listed = self.root.list(name).map_err(unreadable)?;
        for entry in listed.iter() {
            let entry = entry.map_err(|error| unreadable(error.into()))?;
            let entry = entry.file_name().to_bytes();
            if matches!(entry, b"." | b"..") {
                continue;
            }
            let name = name.join(OsStr::from_bytes(entry));
            if self.progress.is_given_up() {
                return Err(DataError::GivenUp);
            }
            self.names += 1;
            if self.names > NAMES_MAX {
                return Err(DataError::TooMany { path: self.path.to_owned() });
            }
            match self.entry(&name, entry, above) {
                Ok(()) => {}
                Err(error) if self.rules.unreadable == Unreadable::Skip && error.is_of_entry() => {
                    self.skipped.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The `entry` of a directory whose path below the root is `name`.
    fn entry(
        &mut self,
        name: &Path,
        entry: &[u8],
        above: &mut Vec<Identity>,
    ) -> Result<(), DataError> {
        let path = self.path.join(name);
        let Some(text) = name.to_str() else { return Err(DataError::Name { path }) };
        if entry.starts_with(b".") && !self.rules.dot_names.has(entry) {
            self.hidden.push(path);
            return Ok(());
        }
        self.progress.reading(&path);
        let found = self.root.find(name).map_err(|error| match error.raw_os_error() {
            Some(code) if code == Errno::EXDEV as i32 => DataError::Outside { path: path.clone() },
            Some(code) if code == Errno::ELOOP as i32 => DataError::Loop { path: path.clone() },
            _ => DataError::entry(&path, error),
        })?;
        match found {
            Opened::File(file, metadata) => {
                let raw = raw(file, &metadata).map_err(|error| DataError::entry(&path, error))?;
                self.progress.has_read(raw.bytes.len());
                self.found.insert(text.to_owned(), raw);
                Ok(())
            }
            Opened::Directory(metadata) => {
                let identity = (metadata.dev(), metadata.ino());
                if above.contains(&identity) || above.len() >= DEPTH_MAX {
                    return Err(DataError::Loop { path });
                }
                above.push(identity);
                let done = self.directory(name, above);
                above.pop();
                done
            }
            Opened::Other(found) => Err(DataError::NoFile { path, found }),
        }
    }

    fn left_out(&self) -> LeftOut {
        let is_link = |error: &&DataError| matches!(error, DataError::Outside { .. });
        LeftOut {
            skipped: self.skipped.len(),
            links: self.skipped.iter().filter(is_link).count(),
            hidden: self.hidden.len(),
        }
    }

    fn log(&self) {
        for error in self.skipped.iter().take(LOGGED_MAX) {
            tracing::warn!("skipped, as files.unreadable = \"skip\" wants it: {error}");
        }
        if self.skipped.len() > LOGGED_MAX {
            let more = self.skipped.len() - LOGGED_MAX;
            tracing::warn!("skipped, as files.unreadable = \"skip\" wants it: {more} more files");
        }
        let Some(first) = self.hidden.first() else { return };
        let (count, first) = (self.hidden.len(), first.display());
        tracing::warn!(
            "{count} names that begin with a dot are not served, {first} among them: files.dot_names says \
             which are"
        );
    }
}

fn raw(mut file: File, metadata: &Metadata) -> std::io::Result<Raw> {
    // RFC 9110 8.8.2.1: a Last-Modified later than the clock is replaced by the clock.
    let modified = metadata.modified()?.min(SystemTime::now());
    let modified_unix = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    Ok(Raw { bytes: read(&mut file, metadata)?, modified_unix })
}

/// Files with their coded siblings. A `.br` or `.gz` is a file itself, too.
fn pair_siblings(mut found: BTreeMap<String, Raw>) -> Vec<SourceFile> {
    let names: Vec<String> = found.keys().cloned().collect();
    let mut files = Vec::new();
    // A sibling comes after its file, and is copied before it is taken.
    for name in names {
        let brotli = found.get(&format!("{name}.br")).map(|raw| raw.bytes.clone());
        let gzip = found.get(&format!("{name}.gz")).map(|raw| raw.bytes.clone());
        let Some(Raw { bytes, modified_unix }) = found.remove(&name) else { continue };
        files.push(SourceFile { name, bytes, modified_unix, brotli, gzip });
    }
    files
}

const EXPECTED: &str = "a directory of files to serve";
const DEPTH_MAX: usize = 16;
/// Names below one directory. Links within it can make a few directories many.
const NAMES_MAX: usize = 4_000_000;
/// Skipped files that the log names one by one.
const LOGGED_MAX: usize = 20;
