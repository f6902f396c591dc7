//! Limits of this process, which a server started in its place would have.

use dpdk::DeviceKind;

use super::report::{Check, Finding};
use crate::admin;
use crate::config::Plan;
use crate::host::{Host, field};
use crate::human;
use crate::launch::{FILES_BASE, FILES_PER_WORKER, MemoryRequirement};
use crate::metrics;

/// Memory that the kernel or a NIC holds in place: RLIMIT_MEMLOCK.
pub(super) fn memlock(
    host: &Host,
    requirement: MemoryRequirement,
    kind: DeviceKind,
    may_exceed: bool,
) -> Finding {
    let check = Check::Memlock;
    if !matches!(kind, DeviceKind::AfXdp | DeviceKind::Pci) {
        return Finding::ok(check, "this link locks no memory");
    }
    if may_exceed {
        return Finding::ok(check, "no limit: this process has CAP_IPC_LOCK");
    }
    let bytes = human::bytes(requirement.frames);
    match soft_limit(host, "Max locked memory") {
        Err(why) => Finding::unknown(check, why),
        Ok(limit) if limit >= requirement.frames => Finding::ok(check, format!("at least {bytes}")),
        Ok(limit) => {
            let limit = human::bytes(limit);
            let found = format!("{limit} may be locked, frames take {bytes}");
            let fix = "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit)";
            Finding::warn(check, found, fix)
        }
    }
}

/// Open files against what control opens; a connection of a client is none.
pub(super) fn open_files(host: &Host, plan: &Plan, sqlite_files: usize) -> Finding {
    let check = Check::OpenFiles;
    let databases = plan.postgres.connections + plan.sqlite.threads * sqlite_files;
    let wanted =
        (FILES_BASE + FILES_PER_WORKER * plan.cores.len() + OPERATORS_MAX + databases) as u64;
    match soft_limit(host, "Max open files") {
        Err(why) => Finding::unknown(check, why),
        Ok(limit) => {
            let spelled = if limit == u64::MAX { "no limit".into() } else { limit.to_string() };
            let found =
                format!("{spelled}; databases, admin and metrics clients take up to {wanted}");
            if limit >= wanted {
                Finding::ok(check, found)
            } else {
                let fix = format!("ulimit -n {wanted} (LimitNOFILE={wanted} in a systemd unit)");
                Finding::warn(check, found, fix)
            }
        }
    }
}

fn soft_limit(host: &Host, name: &str) -> Result<u64, String> {
    let file = "proc/self/limits";
    let text = host.text(file)?.ok_or_else(|| format!("there is no /{file}"))?;
    let soft = field(&text, name).and_then(|rest| rest.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(u64::MAX),
        Some(number) => number.parse().map_err(|_| format!("/{file} says {name} {number}")),
        None => Err(format!("/{file} does not tell {name}")),
    }
}

/// Clients of the admin socket and of the metrics listener.
const OPERATORS_MAX: usize = admin::CLIENTS_MAX + metrics::CONNECTIONS_MAX;

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::doctor::tests::plan;
    use crate::host::captured::Captured;
    use crate::memory::HugepagePool;

    fn limits(text: &str) -> Captured {
        Captured::new().file("proc/self/limits", text)
    }

    const NEED: MemoryRequirement = MemoryRequirement {
        mbufs: 8_000,
        frames: 26 << 20,
        buffers: 0,
        responses: 0,
        pool: HugepagePool { page: 0, total: 0, free: 0 },
    };

    #[test]
    fn locked_memory_counts_for_links_that_lock() {
        let captured = limits("Max locked memory         8388608    8388608    bytes\n");
        let host = captured.host();
        let finding = memlock(&host, NEED, DeviceKind::AfXdp, false);
        let fix = "ulimit -l unlimited (LimitMEMLOCK=infinity in a systemd unit)";
        expect_one(&[finding], State::Warn, &["8 MiB", "26 MiB"], Some(fix));
        expect_one(&[memlock(&host, NEED, DeviceKind::AfXdp, true)], State::Ok, &[], None);
        expect_one(&[memlock(&host, NEED, DeviceKind::Tap, false)], State::Ok, &[], None);
        let captured = limits("Max locked memory         unlimited  unlimited  bytes\n");
        expect_one(
            &[memlock(&captured.host(), NEED, DeviceKind::Pci, false)],
            State::Ok,
            &[],
            None,
        );
    }

    #[test]
    fn files_are_for_databases() {
        let plan = plan(&[
            ("cores.workers", "1"),
            ("postgres.connections", "100"),
            ("sqlite.threads", "2"),
        ]);
        let captured = limits("Max open files            394        1024       files\n");
        // 64 of the process, 64 of the worker, 160 operators, 100 connections, 2 threads by 3 files.
        let fix = "ulimit -n 394 (LimitNOFILE=394 in a systemd unit)";
        expect_one(&[open_files(&captured.host(), &plan, 3)], State::Ok, &["394; "], None);
        let captured = limits("Max open files            393        1024       files\n");
        expect_one(&[open_files(&captured.host(), &plan, 3)], State::Warn, &["to 394"], Some(fix));
    }

    #[test]
    fn odd_limits_are_unknown() {
        let plan = plan(&[]);
        for text in ["", "Max open files\n", "Max open files  lots  lots\n"] {
            let findings = [open_files(&limits(text).host(), &plan, 0)];
            expect_one(&findings, State::Warn, &["unknown: /proc/self/limits"], None);
        }
        let none = [open_files(&Captured::new().host(), &plan, 0)];
        expect_one(&none, State::Warn, &["unknown: there is no"], None);
    }
}
