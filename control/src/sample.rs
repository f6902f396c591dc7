//! `pollux sample DIR`: writes the data set that the program carries, the same octets and the same
//! modification times every time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use handlers::Material;

use crate::data::{DATASET, STATIC};

/// A sample that could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SampleError {
    /// Somebody's files are there.
    #[error("{}: is not empty; name another directory, or say --force to write into it", directory.display())]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
    /// The file system refused.
    #[error("{}: cannot be written: {error}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// Files, siblings included.
    pub(crate) files: usize,
    /// Their octets.
    pub(crate) octets: usize,
}

/// Writes `material` into `directory`, which is made if need be.
///
/// # Errors
/// It has files and `force` was not said, or something cannot be written.
pub(crate) fn write(
    material: &Material,
    directory: &Path,
    force: bool,
) -> Result<Written, SampleError> {
    let fail = |path: &Path, error| SampleError::Write { path: path.to_owned(), error };
    fs::create_dir_all(directory).map_err(|error| fail(directory, error))?;
    let mut entries = fs::read_dir(directory).map_err(|error| fail(directory, error))?;
    if !force && entries.next().is_some() {
        return Err(SampleError::NotEmpty { directory: directory.to_owned() });
    }
    let mut written = Written { files: 0, octets: 0 };
    for (name, bytes, modified_unix) in files(material) {
        let path = directory.join(name);
        put(&path, bytes, modified_unix).map_err(|error| fail(&path, error))?;
        written.files += 1;
        written.octets += bytes.len();
    }
    Ok(written)
}

/// Every file of the data directory: path below it, content, modification time.
fn files(material: &Material) -> Vec<(PathBuf, &[u8], u64)> {
    let newest = material.files.iter().map(|file| file.modified_unix).max().unwrap_or(0);
    let mut files = vec![(DATASET.into(), material.dataset.value.as_slice(), newest)];
    for file in &material.files {
        let siblings = [(".br", &file.brotli), (".gz", &file.gzip)];
        let path = |ending: &str| Path::new(STATIC).join(format!("{}{ending}", file.name));
        files.push((path(""), &file.bytes, file.modified_unix));
        for (ending, coded) in siblings {
            if let Some(coded) = coded {
                files.push((path(ending), coded, file.modified_unix));
            }
        }
    }
    files
}

fn put(path: &Path, bytes: &[u8], modified_unix: u64) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.set_modified(UNIX_EPOCH + Duration::from_secs(modified_unix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data;

    #[test]
    fn what_was_written_reads_back_as_it_was() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let target = directory.path().join("new/data");
        let mut material = handlers::sample::material();
        let written = write(&material, &target, false).expect("writes");
        assert!(written.files > material.files.len(), "the data set and siblings too");
        let read = data::read(&target).expect("reads");
        material.files.sort_by(|a, b| a.name.cmp(&b.name));
        material.dataset.name = target.join(DATASET).display().to_string();
        assert!(read == material, "the sample changed on its way through the disk");
    }

    #[test]
    fn the_sample_is_the_same_every_time() {
        assert!(handlers::sample::material() == handlers::sample::material());
    }

    #[test]
    fn a_directory_with_files_is_left_alone() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let precious = directory.path().join("precious");
        fs::write(&precious, "kept").expect("writable");
        let material = handlers::sample::material();
        let error = write(&material, directory.path(), false).expect_err("is refused");
        assert_eq!(
            error.to_string(),
            format!(
                "{}: is not empty; name another directory, or say --force to write into it",
                directory.path().display()
            )
        );
        write(&material, directory.path(), true).expect("forced");
        assert_eq!(fs::read(&precious).expect("is there"), b"kept");
    }
}
