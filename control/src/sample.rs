//! `pollux sample DIR`: writes the data that the program carries, the same bytes and the same
//! modification times every time: two data sets, static files, and the same rows for both databases.

mod database;
mod error;
mod modified;
mod seed;

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use handlers::SourceFile;

pub(crate) use error::SampleError;

use modified::set_modified;

/// The small data set of a data directory.
pub(crate) const DATASET: &str = "dataset.json";
/// The large one.
pub(crate) const DATASET_LARGE: &str = "dataset-large.json";
/// The directory of static files.
pub(crate) const STATIC: &str = "static";
/// The SQLite file.
pub(crate) const DATABASE: &str = "benchmark.db";
/// The script that makes the same table in PostgreSQL.
pub(crate) const SEED: &str = "seed.sql";

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Files, siblings included.
    pub(crate) files: usize,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// Writes the sample into `directory`, which is made if need be.
///
/// # Errors
/// It has files and `force` was not said, or something cannot be written.
pub(crate) fn write(directory: &Path, force: bool) -> Result<Written, SampleError> {
    fs::create_dir_all(directory).map_err(SampleError::write(directory))?;
    let mut entries = fs::read_dir(directory).map_err(SampleError::write(directory))?;
    if !force && entries.next().is_some() {
        return Err(SampleError::NotEmpty { directory: directory.to_owned() });
    }
    let mut paths = write_data(directory)?;
    for (name, write) in [(DATABASE, write_database as fn(&Path) -> _), (SEED, seed::write)] {
        let path = directory.join(name);
        write(&path)?;
        paths.push(path);
    }
    let mut bytes = 0;
    for path in &paths {
        bytes += fs::metadata(path).map_err(SampleError::write(path))?.len();
    }
    Ok(Written { files: paths.len(), bytes })
}

/// Writes the data sets and the static files below `directory`; returns their paths.
///
/// # Errors
/// Something cannot be written.
pub(crate) fn write_data(directory: &Path) -> Result<Vec<PathBuf>, SampleError> {
    let mut paths = Vec::new();
    for (name, bytes) in files() {
        let path = directory.join(name);
        put(&path, &bytes).map_err(SampleError::write(&path))?;
        paths.push(path);
    }
    Ok(paths)
}

/// Writes the SQLite file to `path`; what was there is replaced.
///
/// # Errors
/// The file system or SQLite refuses.
pub(crate) fn write_database(path: &Path) -> Result<(), SampleError> {
    database::write(path)
}

/// Every file that lies in memory: path below the data directory and content.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = vec![
        (DATASET.into(), handlers::sample::dataset().value),
        (DATASET_LARGE.into(), handlers::sample::dataset_large().value),
    ];
    for SourceFile { name, bytes, brotli, gzip, .. } in handlers::sample::files() {
        let path = |ending: &str| Path::new(STATIC).join(format!("{name}{ending}"));
        files.push((path(""), bytes));
        files.extend(brotli.map(|coded| (path(".br"), coded)));
        files.extend(gzip.map(|coded| (path(".gz"), coded)));
    }
    files
}

fn put(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    set_modified(&file)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use handlers::sample::MODIFIED_UNIX;

    use super::*;

    #[test]
    fn what_was_written_reads_back_as_it_was() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let target = directory.path().join("new/data");
        let written = write(&target, false).expect("writes");
        let read = |name: &str| fs::read(target.join(name)).expect("is there");
        assert!(read(DATASET) == handlers::sample::dataset().value);
        assert!(read(DATASET_LARGE) == handlers::sample::dataset_large().value);
        let mut files = 4;
        for file in handlers::sample::files() {
            let name = format!("{STATIC}/{}", file.name);
            assert!(read(&name) == file.bytes, "{name}");
            for (ending, sibling) in [("br", &file.brotli), ("gz", &file.gzip)] {
                if let Some(sibling) = sibling {
                    assert!(&read(&format!("{name}.{ending}")) == sibling, "{name}.{ending}");
                    files += 1;
                }
            }
            files += 1;
        }
        assert_eq!(written.files, files);
        assert!(written.bytes > 10_000_000, "the databases count too: {written:?}");
        for name in [DATASET, "static/app.js.br", DATABASE, SEED] {
            let modified = fs::metadata(target.join(name)).and_then(|meta| meta.modified());
            let date = UNIX_EPOCH + Duration::from_secs(MODIFIED_UNIX);
            assert_eq!(modified.expect("has a time"), date, "{name}");
        }
    }

    #[test]
    fn a_directory_with_files_is_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let precious = directory.path().join("precious");
        fs::write(&precious, "kept").expect("writable");
        let error = write(directory.path(), false).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            format!(
                "{}: is not empty; name another directory, or say --force to write into it",
                directory.path().display()
            )
        );
        write(directory.path(), true).expect("forced");
        write(directory.path(), true).expect("and again, over what it wrote");
        assert_eq!(fs::read(&precious).expect("is there"), b"kept");
    }
}
