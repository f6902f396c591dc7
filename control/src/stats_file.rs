//! The report as one JSON document, replaced as a whole so that a reader never sees half of one.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::stats::Report;

/// Replaces `path` by `report`, as JSON. Nobody can make it write elsewhere: the report is written to a new
/// file whose name cannot be guessed, in the same directory, and renamed. A symbolic link at `path` is
/// replaced, not followed.
///
/// # Errors
/// The directory is not writable, or the disk is full; the old report then stays.
pub(crate) fn replace(path: &Path, report: &Report) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let mut fresh = tempfile::Builder::new()
        .prefix(".pollux-stats-")
        .permissions(Permissions::from_mode(FILE_MODE))
        .tempfile_in(directory.unwrap_or_else(|| Path::new(".")))?;
    fresh.write_all(format!("{}\n", serde_json::to_string_pretty(report)?).as_bytes())?;
    fresh.persist(path)?;
    Ok(())
}

/// Anybody may read the counters, as far as the umask allows.
const FILE_MODE: u32 = 0o666;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A report that was taken at this time.
    fn at(unix_ms: u64) -> Report {
        Report { unix_ms, ..Report::default() }
    }

    #[test]
    fn a_document_is_replaced_whole() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("stats.json");
        for round in 0..2 {
            replace(&path, &at(round)).expect("writes");
            let text = fs::read_to_string(&path).expect("is there");
            assert_eq!(serde_json::from_str::<Report>(&text).expect("is JSON"), at(round));
        }
        let entries = fs::read_dir(directory.path()).expect("readable").count();
        assert_eq!(entries, 1, "nothing is left beside it");
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let victim = directory.path().join("victim");
        fs::write(&victim, "precious").expect("writable");
        let path = directory.path().join("stats.json");
        let temporary = directory.path().join("stats.json.new");
        for link in [&path, &temporary] {
            symlink(&victim, link).expect("a link");
        }
        replace(&path, &at(1)).expect("writes");
        assert_eq!(fs::read_to_string(&victim).expect("is there"), "precious");
        assert!(fs::symlink_metadata(&path).expect("is there").is_file(), "the link was replaced");
        let text = fs::read_to_string(&path).expect("is there");
        assert_eq!(serde_json::from_str::<Report>(&text).expect("is JSON"), at(1));
        assert!(temporary.is_symlink(), "nothing was written there");
    }

    #[test]
    fn the_file_has_the_mode_that_the_umask_leaves() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let (path, plain) = (directory.path().join("stats.json"), directory.path().join("plain"));
        replace(&path, &Report::default()).expect("writes");
        fs::write(&plain, "").expect("writable");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn a_place_that_cannot_be_written_is_an_error() {
        assert!(replace(Path::new("/nonexistent/stats.json"), &Report::default()).is_err());
    }
}
