//! Reads a data directory into [`Material`]: `dataset.json` and everything below `static/`.
//!
//! Reads only; what the octets mean is checked by `handlers::Site::build`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use handlers::{Material, Named, SourceFile};

/// A data directory that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// A file or directory that must be there cannot be read.
    #[error("{}: expected {expected}, found {error}; {fix}", path.display())]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What the system says.
        error: io::Error,
        /// What to do.
        fix: &'static str,
    },
    /// A name that cannot stand in a URL without knowing its encoding.
    #[error("{}: expected a name in UTF-8; rename it", path.display())]
    Name {
        /// The file or directory.
        path: PathBuf,
    },
    /// Directories in directories without end: a symbolic link to a parent.
    #[error(
        "{}: expected at most {DEPTH_MAX} directories below each other; is there a symbolic link to \
         a parent?",
        path.display()
    )]
    Depth {
        /// The directory.
        path: PathBuf,
    },
}

/// Reads `directory`. Files whose name begins with a dot are left out, and named in the log.
///
/// # Errors
/// `dataset.json` or `static/` is missing, or something below cannot be read.
pub(crate) fn read(directory: &Path) -> Result<Material, DataError> {
    let dataset = directory.join(DATASET);
    let value = fs::read(&dataset).map_err(|error| DataError::Unreadable {
        path: dataset.clone(),
        expected: "a file with a JSON array of items",
        error,
        fix: "`pollux sample DIR` writes an example",
    })?;
    let mut found = BTreeMap::new();
    walk(&directory.join(STATIC), "", 0, &mut found)?;
    Ok(Material {
        dataset: Named { name: dataset.display().to_string(), value },
        files: pair_siblings(found),
    })
}

/// The file of items.
pub(crate) const DATASET: &str = "dataset.json";
/// The directory of static files.
pub(crate) const STATIC: &str = "static";

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
    if depth > DEPTH_MAX {
        return Err(DataError::Depth { path: directory.to_owned() });
    }
    let unreadable = |path: &Path, error| DataError::Unreadable {
        path: path.to_owned(),
        expected: "a directory of files to serve",
        error,
        fix: "make it and let this user read it; it may be empty",
    };
    for entry in fs::read_dir(directory).map_err(|error| unreadable(directory, error))? {
        let path = entry.map_err(|error| unreadable(directory, error))?.path();
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
    let unreadable = |error| DataError::Unreadable {
        path: path.to_owned(),
        expected: "a file to serve",
        error,
        fix: "let this user read it, or take it away",
    };
    let bytes = fs::read(path).map_err(unreadable)?;
    let modified = fs::metadata(path).and_then(|meta| meta.modified()).map_err(unreadable)?;
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
        fs::create_dir(directory.path().join(STATIC)).expect("writable");
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
            ("dataset.json", b"[]"),
            ("static/app.js", b"js"),
            ("static/app.js.br", b"brotli"),
            ("static/app.js.gz", b"gzip"),
            ("static/pack.tar.gz", b"tar"),
            ("static/deep/er/a.txt", b"a"),
            ("static/.hidden", b"h"),
        ]);
        let material = read(site.path()).expect("reads");
        let names: Vec<_> = material.files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["app.js", "deep/er/a.txt", "pack.tar.gz"]);
        assert_eq!(material.files[0].bytes, b"js");
        assert_eq!(material.files[0].brotli.as_deref(), Some(b"brotli".as_slice()));
        assert_eq!(material.files[0].gzip.as_deref(), Some(b"gzip".as_slice()));
        assert_eq!(material.files[2].bytes, b"tar");
        assert_eq!(material.dataset.value, b"[]");
        assert!(material.dataset.name.ends_with("/dataset.json"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_was_expected() {
        let empty = tempfile::tempdir().expect("temporary directory");
        let at = empty.path().display();
        assert_eq!(
            read(empty.path()).expect_err("no data set").to_string(),
            format!(
                "{at}/dataset.json: expected a file with a JSON array of items, found No such file \
                 or directory (os error 2); `pollux sample DIR` writes an example"
            )
        );
        fs::write(empty.path().join(DATASET), "[]").expect("writable");
        assert_eq!(
            read(empty.path()).expect_err("no static").to_string(),
            format!(
                "{at}/static: expected a directory of files to serve, found No such file or \
                 directory (os error 2); make it and let this user read it; it may be empty"
            )
        );
    }

    #[test]
    fn a_dangling_link_and_a_loop_are_errors() {
        let site = site(&[("dataset.json", b"[]")]);
        let link = site.path().join("static/away");
        std::os::unix::fs::symlink("/nonexistent/file", &link).expect("link");
        let error = read(site.path()).expect_err("dangles").to_string();
        assert!(error.contains("static/away: expected a file to serve, found No such"), "{error}");
        fs::remove_file(&link).expect("removable");
        std::os::unix::fs::symlink(".", &link).expect("link");
        let error = read(site.path()).expect_err("loops").to_string();
        assert!(error.contains("expected at most 16 directories below each other"), "{error}");
    }

    #[test]
    fn times_are_not_in_the_future() {
        let site = site(&[("dataset.json", b"[]"), ("static/a.txt", b"a")]);
        let file = fs::File::open(site.path().join("static/a.txt")).expect("is there");
        let future = SystemTime::now() + std::time::Duration::from_secs(86_400);
        file.set_modified(future).expect("settable");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let material = read(site.path()).expect("reads");
        assert!(material.files[0].modified_unix <= now + 1);
    }
}
