//! What earlier runs have left: links that were made and not removed, files and directories of processes
//! that have ended.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::report::{Check, Finding};
use crate::host::{Host, field, quoted};
use crate::scripts::Script;

/// Assesses all of it.
pub(super) fn examine(host: &Host) -> Vec<Finding> {
    vec![records(host), hugepage_files(host), runtime_directories(host)]
}

/// The records of `deploy/link.sh`: see `deploy/record.sh`.
fn records(host: &Host) -> Finding {
    let boot = host.text("proc/sys/kernel/random/boot_id").ok().flatten().unwrap_or_default();
    let (mut used, mut left, mut fixes) = (0, Vec::new(), Vec::new());
    for name in host.names("run/pollux") {
        let Some(place) = name.strip_prefix("link-").filter(|_| !name.ends_with(".new")) else {
            continue;
        };
        let record = host.text(&format!("run/pollux/{name}")).ok().flatten().unwrap_or_default();
        if field(&record, "boot ") != Some(&*boot) {
            left.push(format!("{place} of an earlier boot"));
            fixes.push(format!("rm {}", quoted(&host.path("run/pollux").join(&name))));
            continue;
        }
        match (place.strip_prefix('@'), use_of(host, place)) {
            (_, Use::Here | Use::Process) => used += 1,
            (None, _) => {
                left.push(format!("namespace {place}, where nothing runs"));
                fixes.push(format!("{} down --netns {place}", Script::Link));
            }
            (Some(inode), _) => {
                left.push(format!("a namespace that is gone ({inode})"));
                fixes.push(format!("rm {}", quoted(&host.path("run/pollux").join(&name))));
            }
        }
    }
    if left.is_empty() {
        let found = match used {
            0 => format!("no link of {} is up", Script::Link),
            _ => format!("{used} links of {}, none of them left over", Script::Link),
        };
        return Finding::ok(Check::Records, found);
    }
    let found = format!("links that were made and not removed: {}", left.join(", "));
    Finding::warn(Check::Records, found, fixes.join(" && "))
}

/// Who uses a network namespace.
enum Use {
    /// This process.
    Here,
    /// Another one.
    Process,
    /// Nobody; or it is gone.
    Nobody,
}

fn use_of(host: &Host, place: &str) -> Use {
    let inode = match place.strip_prefix('@') {
        Some(inode) => inode.parse().ok(),
        None => {
            let file = fs::metadata(host.path("run/netns").join(place));
            file.ok().map(|file| file.ino())
        }
    };
    let Some(inode) = inode else { return Use::Nobody };
    let namespace = format!("net:[{inode}]");
    let is_in = |process: &str| {
        host.target(&format!("proc/{process}/ns/net")).as_deref() == Some(&*namespace)
    };
    if is_in("self") {
        Use::Here
    } else if host.processes().iter().any(|process| is_in(&process.to_string())) {
        Use::Process
    } else {
        Use::Nobody
    }
}

/// Files that a server of a dead process holds pages with. Pollux runs DPDK so that there are none;
/// one that was started otherwise may have left some.
fn hugepage_files(host: &Host) -> Finding {
    let check = Check::HugepageFiles;
    let mounts = match host.text("proc/mounts") {
        Ok(mounts) => mounts.unwrap_or_default(),
        Err(why) => return Finding::unknown(check, why),
    };
    let mut files = Vec::new();
    for line in mounts.lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(mount), Some("hugetlbfs")) = (words.next(), words.next()) else { continue };
        let mount = mount.trim_start_matches('/');
        let names = host.names(mount).into_iter().filter(|name| is_of_dead(host, name));
        files.extend(names.map(|name| host.path(mount).join(name)));
    }
    assess(check, "hugepage files", "rm", &files)
}

/// Directories that DPDK makes for each process.
fn runtime_directories(host: &Host) -> Finding {
    let names = host.names("run/dpdk").into_iter().filter(|name| is_of_dead(host, name));
    let paths: Vec<_> = names.map(|name| host.path("run/dpdk").join(name)).collect();
    assess(Check::RuntimeDirectories, "runtime directories of DPDK", "rm -r", &paths)
}

fn assess(check: Check, what: &str, remove: &str, paths: &[PathBuf]) -> Finding {
    if paths.is_empty() {
        return Finding::ok(check, "none of a process that has ended");
    }
    let paths: Vec<_> = paths.iter().map(|path| quoted(path)).collect();
    let paths = paths.join(" ");
    let found = format!("{what} of processes that have ended: {paths}");
    Finding::warn(check, found, format!("{remove} {paths}"))
}

/// Whether `name` is `pollux-PID`, perhaps with more behind it, and no process has that id.
fn is_of_dead(host: &Host, name: &str) -> bool {
    let Some(rest) = name.strip_prefix("pollux-") else { return false };
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().is_ok_and(|process: u32| !host.runs(process))
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    const BOOT: &str = "proc/sys/kernel/random/boot_id";

    #[test]
    fn nothing_left_is_nothing_to_do() {
        let findings = examine(&Captured::new().file(BOOT, "b1\n").host());
        assert_eq!(findings.len(), 3);
        assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:#?}");
    }

    #[test]
    fn a_link_without_processes_is_left_over() {
        let captured = Captured::new()
            .file(BOOT, "b1\n")
            .file("run/pollux/link-px-1", "boot b1\nkind veth\n")
            .file("run/pollux/link-@77", "boot b1\nkind veth\n")
            .file("run/pollux/link-old", "boot b0\n")
            .file("run/pollux/link.lock", "")
            .file("run/netns/px-1", "")
            .symlink("proc/self/ns/net", "net:[5]");
        let fix = format!(
            "rm {root}/run/pollux/link-@77 && rm {root}/run/pollux/link-old && \
             deploy/link.sh down --netns px-1",
            root = captured.root().display()
        );
        let words =
            ["namespace px-1, where nothing runs", "that is gone (77)", "old of an earlier"];
        expect_one(&[records(&captured.host())], State::Warn, &words, Some(&fix));
    }

    #[test]
    fn a_link_in_use_is_not() {
        let captured = Captured::new()
            .file(BOOT, "b1\n")
            .file("run/pollux/link-a", "boot b1\n")
            .file("run/pollux/link-@77", "boot b1\n")
            .file("run/netns/a", "");
        let inode = fs::metadata(captured.root().join("run/netns/a")).expect("is there").ino();
        let captured = captured
            .symlink("proc/9/ns/net", &format!("net:[{inode}]"))
            .symlink("proc/self/ns/net", "net:[77]");
        expect_one(&[records(&captured.host())], State::Ok, &["2 links"], None);
    }

    #[test]
    fn what_dead_processes_left_is_named() {
        let captured = Captured::new()
            .file("proc/mounts", "nodev /dev/hugepages hugetlbfs rw 0 0\nodd\n")
            .folder("proc/12")
            .file("dev/hugepages/pollux-11map_0", "")
            .file("dev/hugepages/pollux-12map_0", "")
            .file("dev/hugepages/rtemap_0", "")
            .folder("run/dpdk/pollux-11")
            .folder("run/dpdk/pollux-12")
            .folder("run/dpdk/pollux-")
            .folder("run/dpdk/rte");
        let host = captured.host();
        let root = captured.root().display();
        let fix = format!("rm {root}/dev/hugepages/pollux-11map_0");
        expect_one(&[hugepage_files(&host)], State::Warn, &["hugepage files"], Some(&fix));
        let fix = format!("rm -r {root}/run/dpdk/pollux-11");
        expect_one(&[runtime_directories(&host)], State::Warn, &["of DPDK"], Some(&fix));
    }
}
