//! The exception interface: whether it can be made, or is there.

use super::interfaces::Interface;
use super::report::{Check, Finding};
use super::server::Server;
use crate::config::Plan;
use crate::exception::unreserved;
use crate::host::Host;
use crate::link::HostLinks;

/// Assesses `link.exception` of `plan`; nothing where there is none.
pub(super) fn examine(
    host: &Host,
    plan: &Plan,
    interfaces: &[Interface],
    links: &HostLinks,
    server: &Server,
) -> Vec<Finding> {
    let Some(name) = &plan.exception else { return Vec::new() };
    let check = Check::Exception;
    let is_there = interfaces.iter().any(|interface| interface.name == *name);
    let mut findings = vec![match (is_there, server.is_live()) {
        (true, true) => Finding::ok(check, format!("{name} is there, made by the server")),
        (true, false) => {
            let found =
                format!("there is an interface {name} already, and the server makes its own");
            Finding::fail(check, found, format!("ip link del {name}, or another link.exception"))
        }
        (false, _) if !links.tun => {
            let found = format!("{name} cannot be made: there is no /dev/net/tun");
            Finding::fail(check, found, "modprobe tun")
        }
        (false, true) if !server.is_elsewhere(host) => {
            let found = format!("the server that runs has no interface {name} here");
            Finding::warn(check, found, "restart the server with link.exception")
        }
        (false, _) => Finding::ok(check, format!("no interface is called {name}")),
    }];
    if let Some(warning) = unreserved(plan.port, &host.path("proc/sys/net/ipv4")) {
        let (found, fix) = warning.split_once(": sysctl").unwrap_or((&warning, ""));
        findings.push(Finding::warn(check, found, format!("sysctl{fix}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::interfaces::tests::{VETH, interfaces};
    use super::super::report::{State, expect_one};
    use super::*;
    use crate::doctor::tests::plan;
    use crate::host::captured::Captured;

    fn judged(name: &str, tun: bool, server: &Server) -> Vec<Finding> {
        let links = HostLinks { tun, ..HostLinks::default() };
        let plan = plan(&[("link.exception", name)]);
        examine(&Captured::new().host(), &plan, &interfaces(VETH), &links, server)
    }

    #[test]
    fn nothing_is_said_where_there_is_none() {
        assert!(judged("", true, &Server::Absent).is_empty());
    }

    #[test]
    fn the_name_must_be_free_and_tun_there() {
        let free = judged("pollux1", true, &Server::Absent);
        expect_one(&free, State::Ok, &["no interface is called pollux1"], None);
        let taken = judged("pollux-host", true, &Server::Absent);
        let fix = Some("ip link del pollux-host, or another link.exception");
        expect_one(&taken, State::Fail, &["already"], fix);
        let tun = judged("pollux1", false, &Server::Absent);
        expect_one(&tun, State::Fail, &["/dev/net/tun"], Some("modprobe tun"));
    }

    #[test]
    fn a_live_server_has_it() {
        let live = Server::Live { process: None };
        expect_one(&judged("pollux-host", true, &live), State::Ok, &["made by the server"], None);
        let fix = Some("restart the server with link.exception");
        expect_one(&judged("pollux1", true, &live), State::Warn, &["no interface pollux1"], fix);
    }

    #[test]
    fn a_port_that_the_kernel_may_choose_is_warned_of() {
        let captured = Captured::new()
            .file("proc/sys/net/ipv4/ip_local_port_range", "8000\t9000\n")
            .file("proc/sys/net/ipv4/ip_local_reserved_ports", "\n");
        let links = HostLinks { tun: true, ..HostLinks::default() };
        let plan = plan(&[("link.exception", "pollux1")]);
        let found = examine(&captured.host(), &plan, &interfaces(VETH), &links, &Server::Absent);
        let fix = Some("sysctl -w net.ipv4.ip_local_reserved_ports=8080");
        expect_one(&found[1..], State::Warn, &["port 8080 is one of 8000 to 9000"], fix);
    }
}
