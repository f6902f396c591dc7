//! XDP programs: whose is the one on the link, and which were left by processes that have ended.

use super::interfaces::{Interface, Program};
use super::report::{Check, Finding};
use super::server::Server;
use crate::host::{Host, field};

/// Assesses the program on `ours`, the link's interface, and what is left on others.
pub(super) fn examine(
    host: &Host,
    ours: Option<&str>,
    interfaces: &[Interface],
    server: &Server,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for interface in interfaces {
        let is_ours = ours == Some(&*interface.name);
        match interface.program() {
            Some(program) => findings.extend(assess(host, interface, program, is_ours, server)),
            None if is_ours => {
                findings.push(Finding::ok(CHECK, format!("no program on {}", interface.name)));
            }
            None => {}
        }
    }
    findings.extend(pins(host, interfaces));
    findings
}

/// Programs of others on other interfaces are their business.
fn assess(
    host: &Host,
    interface: &Interface,
    program: &Program,
    is_ours: bool,
    server: &Server,
) -> Option<Finding> {
    let (Program { id, name }, interface_name) = (program, &interface.name);
    let what = format!("{interface_name} has program {id} ({name})");
    match holder(host, *id, server) {
        Some(process) if Some(process) == server.process() => {
            Some(Finding::ok(CHECK, format!("{what}, held by the server (process {process})")))
        }
        Some(process) if is_ours => {
            let found = format!("{what} of {}", host.spell_process(process));
            Some(Finding::fail(CHECK, found, format!("kill {process}, or another --link")))
        }
        None if is_ours || name.starts_with(LIBXDP) => {
            let found = format!("{what} and no process holds it: a server that was killed left it");
            let pin = format!("{PINS}/dispatch-{}-{id}", interface.index);
            let unpin = if host.exists(&pin) { format!(" && rm -r /{pin}") } else { String::new() };
            let fix = format!("ip link set dev {interface_name} xdp off{unpin}");
            Some(Finding::warn(CHECK, found, fix))
        }
        Some(_) | None => None,
    }
}

/// The process that has a program open; the server where it is one of several.
fn holder(host: &Host, program: u32, server: &Server) -> Option<u32> {
    let has = |process: &u32| {
        let directory = format!("proc/{process}/fdinfo");
        host.names(&directory).iter().any(|file| {
            let text = host.text(&format!("{directory}/{file}")).ok().flatten().unwrap_or_default();
            field(&text, "prog_id:").and_then(|id| id.parse().ok()) == Some(program)
        })
    };
    let first = server.process().into_iter();
    first.chain(host.processes()).find(has)
}

/// Directories of libxdp, named after interface and program, whose program is not on its interface.
fn pins(host: &Host, interfaces: &[Interface]) -> Option<Finding> {
    let stale = |name: &String| {
        let (index, program) = name.strip_prefix("dispatch-")?.split_once('-')?;
        let (index, program): (u32, u32) = (index.parse().ok()?, program.parse().ok()?);
        let attached = interfaces.iter().any(|interface| {
            interface.index == index && interface.program().is_some_and(|own| own.id == program)
        });
        (!attached).then(|| format!("/{PINS}/{name}"))
    };
    let stale: Vec<_> = host.names(PINS).iter().filter_map(stale).collect();
    if stale.is_empty() {
        return None;
    }
    let found = format!("pinned programs that are on no interface here: {}", stale.join(", "));
    Some(Finding::warn(CHECK, found, format!("rm -r {}", stale.join(" "))))
}

const CHECK: Check = Check::Xdp;
/// Where libxdp keeps what it has attached.
const PINS: &str = "sys/fs/bpf/xdp";
/// How the programs of libxdp are called: `xsk_def_prog`, `xsk_def_xdp_prog`.
const LIBXDP: &str = "xsk_def";

#[cfg(test)]
mod tests {
    use super::super::interfaces::tests::{VETH, interfaces};
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    fn found(captured: &Captured, ours: Option<&str>, server: &Server) -> Vec<Finding> {
        examine(&captured.host(), ours, &interfaces(VETH), server)
    }

    fn held(process: u32) -> Captured {
        Captured::new()
            .file(&format!("proc/{process}/fdinfo/32"), "pos:\t0\nprog_type:\t6\nprog_id:\t115\n")
            .file(&format!("proc/{process}/fdinfo/33"), "\u{0}\nprog_id:\tmany\n")
            .file(&format!("proc/{process}/comm"), "pollux\n")
    }

    #[test]
    fn a_stale_program_is_told_with_its_pin() {
        let captured = Captured::new().folder("sys/fs/bpf/xdp/dispatch-3-115");
        let fix = "ip link set dev pollux0 xdp off && rm -r /sys/fs/bpf/xdp/dispatch-3-115";
        let findings = found(&captured, Some("pollux0"), &Server::Absent);
        expect_one(&findings, State::Warn, &["program 115", "no process holds it"], Some(fix));
        let findings = found(&Captured::new(), None, &Server::Absent);
        let fix = "ip link set dev pollux0 xdp off";
        expect_one(&findings, State::Warn, &["was killed"], Some(fix));
    }

    #[test]
    fn a_program_belongs_to_the_process_that_has_it_open() {
        let server = Server::Live { process: Some(12) };
        let findings = found(&held(12), Some("pollux0"), &server);
        expect_one(&findings, State::Ok, &["held by the server (process 12)"], None);
        let findings = found(&held(13), Some("pollux0"), &server);
        let fix = "kill 13, or another --link";
        expect_one(&findings, State::Fail, &["of pollux (process 13)"], Some(fix));
        assert_eq!(found(&held(13), Some("eth0"), &server), []);
    }

    #[test]
    fn a_pin_without_its_program_is_left_over() {
        let captured = held(12).folder("sys/fs/bpf/xdp/dispatch-3-99").folder("sys/fs/bpf/xdp/odd");
        let server = Server::Live { process: Some(12) };
        let findings = found(&captured, None, &server);
        let fix = "rm -r /sys/fs/bpf/xdp/dispatch-3-99";
        expect_one(&findings[1..], State::Warn, &["dispatch-3-99"], Some(fix));
    }
}
