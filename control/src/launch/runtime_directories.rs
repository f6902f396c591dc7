//! What servers that were killed have left of DPDK: a directory a process, which DPDK makes while it starts.

use std::fs;
use std::path::Path;

/// Takes away the directories of servers that have ended. What cannot be taken away stays, and `pollux doctor`
/// names it.
pub(super) fn sweep() {
    sweep_in(Path::new(DIRECTORY), Path::new("/proc"));
}

fn sweep_in(directory: &Path, processes: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let Some(process) = process.and_then(|id| id.parse::<u32>().ok()) else { continue };
        if processes.join(process.to_string()).exists() {
            continue;
        }
        match fs::remove_dir_all(entry.path()) {
            Ok(()) => {
                tracing::info!("{}: of a server that was killed, removed", entry.path().display())
            }
            Err(error) => tracing::debug!("{}: stays behind: {error}", entry.path().display()),
        }
    }
}

/// What this process is called there.
pub(super) fn file_prefix() -> String {
    format!("{PREFIX}{}", std::process::id())
}

const DIRECTORY: &str = "/run/dpdk";
const PREFIX: &str = "pollux-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_of_dead_servers_go() {
        let place = tempfile::tempdir().expect("temporary directory");
        let (directory, processes) = (place.path().join("dpdk"), place.path().join("proc"));
        for name in ["pollux-11", "pollux-12", "pollux-", "pollux-11x", "rte"] {
            fs::create_dir_all(directory.join(name)).expect("writable");
        }
        fs::write(directory.join("pollux-11/config"), "").expect("writable");
        fs::create_dir_all(processes.join("12")).expect("writable");
        sweep_in(&directory, &processes);
        let mut left: Vec<_> = fs::read_dir(&directory)
            .expect("is there")
            .map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8"))
            .collect();
        left.sort();
        assert_eq!(left, ["pollux-", "pollux-11x", "pollux-12", "rte"]);
        sweep_in(&place.path().join("nowhere"), &processes);
    }
}
