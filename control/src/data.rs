//! Reads what routes are made of: files, and directories with everything below them.
//!
//! Reads only; what the bytes mean is checked by `handlers::Site::build`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handlers::SourceFile;

/// Something that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// A file or directory that must be there.
    #[error("{}: expected {expected}, found {error}", path.display())]
    Unreadable { path: PathBuf, expected: &'static str, error: io::Error },
    /// A name that cannot stand in a URL without knowing its encoding.
    #[error("{}: expected a name in UTF-8", path.display())]
    Name { path: PathBuf },
    /// Directories in directories without end: a symbolic link to a parent.
    #[error("{}: expected at most {DEPTH_MAX} directories below each other", path.display())]
    Depth { path: PathBuf },
}

impl DataError {
    /// What to do about it.
    pub(crate) fn fix(&self) -> &'static str {
        match self {
            Self::Unreadable { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                "put it there, or name another"
            }
            Self::Unreadable { .. } => "let this user read it, or name another",
            Self::Name { .. } => "rename it",
            Self::Depth { .. } => "is there a symbolic link to a parent?",
        }
    }

    fn unreadable<'a>(
        path: &'a Path,
        expected: &'static str,
    ) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |error| Self::Unreadable { path: path.to_owned(), expected, error }
    }
}

/// The bytes of a file, which should be `expected`.
///
/// # Errors
/// It cannot be read.
pub(crate) fn file(path: &Path, expected: &'static str) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(DataError::unreadable(path, expected))
}

/// That a file is there, for others to read.
///
/// # Errors
/// It is not, or is none.
pub(crate) fn has_file(path: &Path, expected: &'static str) -> Result<(), DataError> {
    let opened = fs::File::open(path).and_then(|file| file.metadata());
    let is_file = opened.and_then(|meta| match meta.is_file() {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::IsADirectory)),
    });
    is_file.map_err(DataError::unreadable(path, expected))
}

/// Every file below `directory`, with its `.br` and `.gz` siblings. Files whose name begins with a dot
/// are left out, and named in the log.
///
/// # Errors
/// It is missing, or something below cannot be read.
pub(crate) fn directory(directory: &Path) -> Result<Vec<SourceFile>, DataError> {
    let mut found = BTreeMap::new();
    walk(directory, "", 0, &mut found)?;
    Ok(pair_siblings(found))
}

/// One file as it lies on disk.
struct Raw {
    bytes: Vec<u8>,
    modified_unix: u64,
}

fn walk(
    directory: &Path,
    prefix: &str,
    depth: usize,
    found: &mut BTreeMap<String, Raw>,
) -> Result<(), DataError> {
    const EXPECTED: &str = "a directory of files to serve";
    if depth > DEPTH_MAX {
        return Err(DataError::Depth { path: directory.to_owned() });
    }
    for entry in fs::read_dir(directory).map_err(DataError::unreadable(directory, EXPECTED))? {
        let path = entry.map_err(DataError::unreadable(directory, EXPECTED))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(DataError::Name { path });
        };
        if name.starts_with('.') {
            tracing::warn!(file = %path.display(), "hidden file is not served");
            continue;
        }
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            walk(&path, &format!("{name}/"), depth + 1, found)?;
        } else {
            found.insert(name, raw(&path)?);
        }
    }
    Ok(())
}

fn raw(path: &Path) -> Result<Raw, DataError> {
    const EXPECTED: &str = "a file to serve";
    let bytes = file(path, EXPECTED)?;
    let modified = fs::metadata(path).and_then(|meta| meta.modified());
    let modified = modified.map_err(DataError::unreadable(path, EXPECTED))?;
    // RFC 9110 8.8.2.1: a Last-Modified later than the clock is replaced by the clock.
    let modified = modified.min(SystemTime::now());
    let modified_unix = modified.duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    Ok(Raw { bytes, modified_unix })
}

/// Files with their coded siblings. A `.br` or `.gz` without a file beside it is a file itself.
fn pair_siblings(mut found: BTreeMap<String, Raw>) -> Vec<SourceFile> {
    let names: Vec<String> = found.keys().cloned().collect();
    let mut files = Vec::new();
    for name in names {
        let coded = name.strip_suffix(".br").or_else(|| name.strip_suffix(".gz"));
        if coded.is_some_and(|plain| found.contains_key(plain)) {
            continue;
        }
        let brotli = found.get(&format!("{name}.br")).map(|raw| raw.bytes.clone());
        let gzip = found.get(&format!("{name}.gz")).map(|raw| raw.bytes.clone());
        let Some(raw) = found.get_mut(&name) else { continue };
        let bytes = std::mem::take(&mut raw.bytes);
        files.push(SourceFile { name, bytes, modified_unix: raw.modified_unix, brotli, gzip });
    }
    files
}

const DEPTH_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn site(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("temporary directory");
        for (name, bytes) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().expect("has a parent")).expect("writable");
            fs::write(path, bytes).expect("writable");
        }
        directory
    }

    #[test]
    fn siblings_find_their_file_and_orphans_stand_alone() {
        let site = site(&[
            ("app.js", b"js"),
            ("app.js.br", b"brotli"),
            ("app.js.gz", b"gzip"),
            ("pack.tar.gz", b"tar"),
            ("deep/er/a.txt", b"a"),
            (".hidden", b"h"),
        ]);
        let files = directory(site.path()).expect("reads");
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["app.js", "deep/er/a.txt", "pack.tar.gz"]);
        assert_eq!(files[0].bytes, b"js");
        assert_eq!(files[0].brotli.as_deref(), Some(b"brotli".as_slice()));
        assert_eq!(files[0].gzip.as_deref(), Some(b"gzip".as_slice()));
        assert_eq!(files[2].bytes, b"tar");
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_expected() {
        let empty = tempfile::tempdir().expect("temporary directory");
        let at = empty.path().display();
        let error = file(&empty.path().join("a.json"), "a JSON array").expect_err("no file");
        assert_eq!(
            error.to_string(),
            format!(
                "{at}/a.json: expected a JSON array, found No such file or directory (os error 2)"
            )
        );
        assert_eq!(error.fix(), "put it there, or name another");
        let error = directory(&empty.path().join("static")).expect_err("no directory").to_string();
        assert!(
            error.starts_with(&format!("{at}/static: expected a directory of files to serve, ")),
            "{error}"
        );
        let error = has_file(empty.path(), "a database").expect_err("is a directory");
        assert!(error.to_string().contains("expected a database, found is a directory"), "{error}");
        assert_eq!(error.fix(), "let this user read it, or name another");
    }

    #[test]
    fn a_dangling_link_and_a_loop_are_errors() {
        let site = site(&[]);
        let link = site.path().join("away");
        std::os::unix::fs::symlink("/nonexistent/file", &link).expect("link");
        let error = directory(site.path()).expect_err("dangles").to_string();
        assert!(error.contains("away: expected a file to serve, found No such"), "{error}");
        fs::remove_file(&link).expect("removable");
        std::os::unix::fs::symlink(".", &link).expect("link");
        let error = directory(site.path()).expect_err("loops");
        let text = error.to_string();
        assert!(text.contains("expected at most 16 directories below each other"), "{text}");
        assert_eq!(error.fix(), "is there a symbolic link to a parent?");
    }

    #[test]
    fn times_are_not_in_the_future() {
        let site = site(&[("a.txt", b"a")]);
        let file = fs::File::open(site.path().join("a.txt")).expect("is there");
        let future = SystemTime::now() + std::time::Duration::from_secs(86_400);
        file.set_modified(future).expect("settable");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let files = directory(site.path()).expect("reads");
        assert!(files[0].modified_unix <= now + 1);
    }
}
