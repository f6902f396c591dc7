//! The listen address: nobody else may have it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::interfaces::Interface;
use super::report::{Check, Finding};
use super::server::Server;
use crate::config::Plan;

/// Assesses the address of `plan`; `answered` if somebody answers there.
pub(super) fn examine(
    plan: &Plan,
    interfaces: &[Interface],
    server: &Server,
    answered: bool,
) -> Finding {
    let check = Check::Address;
    let Plan { address, port, .. } = plan;
    let (on_link, _) = plan.on_link();
    let own = interfaces
        .iter()
        .find_map(|interface| Some((&interface.name, interface.prefix_of(IpAddr::V4(on_link))?)));
    let is_exception = |name: &str| plan.exception.as_deref() == Some(name);
    match own {
        Some((name, _)) if server.is_live() && is_exception(name) => {
            let held = format!("{address} port {port} is held by the server");
            Finding::ok(check, format!("{held}, everything else by the kernel on {name}"))
        }
        Some((name, prefix)) => {
            let found = format!("{on_link} is this kernel's own, on {name}: it would answer too");
            Finding::fail(check, found, format!("ip address del {on_link}/{prefix} dev {name}"))
        }
        None if server.is_live() => {
            Finding::ok(check, format!("{address} port {port} is held by the server"))
        }
        None if answered => {
            let found = format!("{address} is in use: somebody answers connections to port {port}");
            Finding::fail(check, found, "--address CIDR with another one")
        }
        None => Finding::ok(check, format!("{on_link} is free, as far as is seen from here")),
    }
}

/// Asks for a connection, where the address is in a network of this machine: behind a router, others may
/// answer in its name. Nor is anybody asked for a service address, which others may serve, too.
pub(super) fn is_answered(plan: &Plan, interfaces: &[Interface]) -> bool {
    let is_service = plan.link_address.is_some();
    if is_service || !interfaces.iter().any(|interface| interface.reaches(plan.address)) {
        return false;
    }
    let address = SocketAddr::from((plan.address, plan.port));
    match TcpStream::connect_timeout(&address, TIMEOUT) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

/// On a link of this machine a reply takes far less.
const TIMEOUT: Duration = Duration::from_millis(300);

#[cfg(test)]
mod tests {
    use super::super::interfaces::tests::{VETH, interfaces};
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::doctor::tests::plan;

    #[test]
    fn an_address_of_this_kernel_is_a_failure() {
        let plan = plan(&[("listen.address", "198.18.0.1/24")]);
        let finding = examine(&plan, &interfaces(VETH), &Server::Absent, false);
        let fix = "ip address del 198.18.0.1/24 dev pollux-host";
        expect_one(&[finding], State::Fail, &["this kernel's own"], Some(fix));
    }

    #[test]
    fn a_live_server_may_have_it_on_its_exception_interface() {
        let plan = plan(&[("listen.address", "198.18.0.1/24"), ("link.exception", "pollux-host")]);
        let live = Server::Live { process: None };
        let finding = examine(&plan, &interfaces(VETH), &live, true);
        expect_one(&[finding], State::Ok, &["held by the server", "on pollux-host"], None);
        let finding = examine(&plan, &interfaces(VETH), &Server::Absent, false);
        let fix = "ip address del 198.18.0.1/24 dev pollux-host";
        expect_one(&[finding], State::Fail, &["this kernel's own"], Some(fix));
    }

    #[test]
    fn whoever_answers_has_it() {
        let plan = plan(&[]);
        let all = interfaces(VETH);
        let free = examine(&plan, &all, &Server::Absent, false);
        expect_one(&[free], State::Ok, &["198.18.0.2 is free"], None);
        let used = examine(&plan, &all, &Server::Absent, true);
        let fix = Some("--address CIDR with another one");
        expect_one(&[used], State::Fail, &["is in use"], fix);
        let ours = examine(&plan, &all, &Server::Live { process: None }, true);
        expect_one(&[ours], State::Ok, &["held by the server"], None);
    }

    #[test]
    fn a_service_address_may_be_this_kernels_and_others() {
        let service = ("listen.address", "198.18.0.1/32");
        let all = interfaces(VETH);
        let good = plan(&[service, ("link.address", "198.18.0.2/24")]);
        assert!(!is_answered(&good, &all), "nobody is asked");
        let finding = examine(&good, &all, &Server::Absent, false);
        expect_one(&[finding], State::Ok, &["198.18.0.2 is free"], None);
        let taken = plan(&[("listen.address", "192.0.2.10/32"), ("link.address", "198.18.0.1/24")]);
        let finding = examine(&taken, &all, &Server::Absent, false);
        let fix = "ip address del 198.18.0.1/24 dev pollux-host";
        expect_one(&[finding], State::Fail, &["198.18.0.1 is this kernel's own"], Some(fix));
    }

    #[test]
    fn nobody_is_asked_behind_a_router() {
        let plan = plan(&[("listen.address", "203.0.113.9/24")]);
        assert!(!is_answered(&plan, &interfaces(VETH)));
    }
}
