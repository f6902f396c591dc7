//! The listen address: nobody else may have it.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::interfaces::Interface;
use super::report::{Check, Finding};
use super::server::Server;
use crate::config::Plan;

/// Judges the address of `plan`; `answered` if somebody answers there.
pub(super) fn examine(
    plan: &Plan,
    interfaces: &[Interface],
    server: &Server,
    answered: bool,
) -> Finding {
    let check = Check::Address;
    let Plan { address, port, .. } = plan;
    let own = interfaces
        .iter()
        .find_map(|interface| Some((&interface.name, interface.prefix_of(IpAddr::V4(*address))?)));
    match own {
        Some((name, prefix)) => {
            let found = format!("{address} is this kernel's own, on {name}: it would answer too");
            Finding::fail(check, found, format!("ip address del {address}/{prefix} dev {name}"))
        }
        None if server.is_live() => {
            Finding::ok(check, format!("{address} port {port} is held by the server"))
        }
        None if answered => {
            let found = format!("{address} is in use: somebody answers connections to port {port}");
            Finding::fail(check, found, "--address CIDR with another one")
        }
        None => Finding::ok(check, format!("{address} is free, as far as is seen from here")),
    }
}

/// Asks for a connection, where the address is in a network of this machine: behind a router, others may
/// answer in its name.
pub(super) fn answers(plan: &Plan, interfaces: &[Interface]) -> bool {
    if !interfaces.iter().any(|interface| interface.reaches(plan.address)) {
        return false;
    }
    let address = SocketAddr::from((plan.address, plan.port));
    match TcpStream::connect_timeout(&address, TIMEOUT) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
    }
}

/// On a link of this machine an answer takes far less.
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
    fn nobody_is_asked_behind_a_router() {
        let plan = plan(&[("listen.address", "203.0.113.9/24")]);
        assert!(!answers(&plan, &interfaces(VETH)));
    }
}
