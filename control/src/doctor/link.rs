//! The link itself: which one, whether it is there and up, its MTU, who else listens on it.

use dpdk::DeviceKind;

use super::interfaces::Interface;
use super::report::{Check, Finding};
use super::server::Server;
use crate::config::Plan;
use crate::host::Host;
use crate::link::{HostLinks, Link, LinkSpec, choose};
use crate::scripts::Script;

/// The link that a server would take now, and what was said of each where `auto` chose it.
///
/// # Errors
/// Nothing works for `auto`: a finding.
pub(super) fn chosen(
    plan: &Plan,
    links: &HostLinks,
    server: &Server,
) -> Result<(Link, Option<Finding>), Finding> {
    let check = Check::Link;
    match &plan.link {
        LinkSpec::Named(link) => Ok((link.clone(), None)),
        LinkSpec::Auto => match choose(links) {
            Ok(mut choice) => {
                let said = format!("auto: {}", choice.assessments.join("; "));
                Ok((choice.links.remove(0), Some(Finding::ok(check, said))))
            }
            Err(_) if server.is_live() => Err(Finding::ok(check, "held by the server")),
            Err(none) => {
                let found = format!("auto finds none: {}", none.assessments.join("; "));
                Err(Finding::fail(check, found, format!("{} up", Script::Link)))
            }
        },
    }
}

/// Assesses the interface or the device behind `link`.
pub(super) fn examine(
    host: &Host,
    link: &Link,
    interfaces: &[Interface],
    server: &Server,
) -> Vec<Finding> {
    match (link.device().kind(), link.device().interface()) {
        (DeviceKind::AfXdp | DeviceKind::AfPacket, Some(name)) => {
            let Some(interface) = interfaces.iter().find(|interface| interface.name == name) else {
                return vec![missing(host, link, name, server)];
            };
            let peer = peer(interface, interfaces);
            vec![state(link, interface, peer), mtu(interface, peer), promiscuity(interface, server)]
        }
        (DeviceKind::Tap | DeviceKind::Vhost, Some(name)) => {
            let found = match interfaces.iter().find(|interface| interface.name == name) {
                Some(_) => format!("{link}: {name} waits for its other end, or a server holds it"),
                None => format!("{link}: {name} is made by the server"),
            };
            vec![Finding::ok(Check::Link, found)]
        }
        (DeviceKind::Memif, _) => vec![memif(host, link)],
        _ => vec![Finding::ok(Check::Link, link.to_string())],
    }
}

/// The other end of a veth pair.
pub(super) fn peer<'a>(interface: &Interface, all: &'a [Interface]) -> Option<&'a Interface> {
    let name = interface.link.as_ref().filter(|_| interface.is_virtual())?;
    all.iter().find(|other| other.name == *name)
}

fn missing(host: &Host, link: &Link, name: &str, server: &Server) -> Finding {
    if server.is_elsewhere(host) {
        let found = format!("{link}: held by the server, in its network namespace");
        return Finding::ok(Check::Link, found);
    }
    let found = format!("{link}: there is no interface {name} in this network namespace");
    let fix = if name == "pollux0" {
        format!("{} up", Script::Link)
    } else {
        "ip -brief link (names what is there)".into()
    };
    Finding::fail(Check::Link, found, fix)
}

fn state(link: &Link, interface: &Interface, peer: Option<&Interface>) -> Finding {
    let check = Check::Link;
    let down = [Some(interface), peer].into_iter().flatten().find(|end| !end.is("UP"));
    match down {
        Some(end) => {
            let (found, fix) =
                (format!("{} is down", end.name), format!("ip link set {} up", end.name));
            if end.name == interface.name {
                Finding::fail(check, format!("{link}: {found}"), fix)
            } else {
                Finding::warn(check, format!("{link}: its other end {found}"), fix)
            }
        }
        None if !interface.is("LOWER_UP") => {
            let found = format!("{link}: {} is up and has no carrier", interface.name);
            Finding::warn(check, found, "plug in the cable, or bring up the other end")
        }
        None => Finding::ok(check, format!("{link}: {} is up", interface.name)),
    }
}

fn mtu(interface: &Interface, peer: Option<&Interface>) -> Finding {
    let odd: Vec<_> = [Some(interface), peer]
        .into_iter()
        .flatten()
        .filter(|end| end.mtu != MTU)
        .map(|end| {
            (format!("{} has {}", end.name, end.mtu), format!("ip link set {} mtu {MTU}", end.name))
        })
        .collect();
    if odd.is_empty() {
        return Finding::ok(Check::Mtu, MTU.to_string());
    }
    let (found, fixes): (Vec<_>, Vec<_>) = odd.into_iter().unzip();
    let found = format!("{}; the server sends and takes packets of up to {MTU}", found.join(", "));
    Finding::warn(Check::Mtu, found, fixes.join(" && "))
}

fn promiscuity(interface: &Interface, server: &Server) -> Finding {
    let check = Check::Promiscuity;
    let Interface { name, promiscuity, .. } = interface;
    if *promiscuity == 0 && !interface.is("PROMISC") {
        return Finding::ok(check, format!("{name} takes frames for its own addresses only"));
    }
    if server.is_live() {
        return Finding::ok(check, format!("{name} is promiscuous, and a server runs"));
    }
    let found = format!(
        "{name} is promiscuous ({promiscuity}): another program captures from it, or a server that \
         was killed left it so"
    );
    Finding::warn(check, found, format!("ip link set {name} promisc off"))
}

fn memif(host: &Host, link: &Link) -> Finding {
    let device = link.device().to_string();
    let socket = device.split(',').find_map(|argument| argument.strip_prefix("socket="));
    let directory =
        socket.and_then(|socket| socket.rsplit_once('/')).map(|(directory, _)| directory);
    match directory {
        Some(directory) if !host.exists(directory.trim_start_matches('/')) => {
            let found = format!("{link}: there is no directory {directory}");
            Finding::fail(Check::Link, found, format!("mkdir -p {directory}"))
        }
        _ => Finding::ok(Check::Link, link.to_string()),
    }
}

/// Bytes of an IP packet that the server sends at most.
const MTU: u32 = 1_500;

#[cfg(test)]
mod tests {
    use super::super::interfaces::tests::{VETH, interfaces};
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::doctor::tests::plan;
    use crate::host::captured::Captured;

    fn link(text: &str) -> Link {
        Link::parse(text).expect(text)
    }

    fn found(text: &str, all: &[Interface], server: &Server) -> Vec<Finding> {
        examine(&Captured::new().host(), &link(text), all, server)
    }

    #[test]
    fn a_link_that_is_up_is_ok() {
        let findings = found("af_xdp:pollux0", &interfaces(VETH), &Server::Absent);
        assert!(findings.iter().all(|finding| finding.state == State::Ok), "{findings:#?}");
        assert_eq!(findings.len(), 3);
    }

    #[test]
    fn an_interface_that_is_not_there_is_a_failure() {
        let findings = found("af_packet:pollux0", &[], &Server::Absent);
        expect_one(&findings, State::Fail, &["no interface pollux0"], Some("deploy/link.sh up"));
    }

    #[test]
    fn what_is_down_or_odd_names_its_command() {
        let mut all = interfaces(VETH);
        all[2].flags = vec!["PROMISC".into()];
        all[1].mtu = 9_000;
        let findings = found("af_packet:pollux0", &all, &Server::Absent);
        let fixes: Vec<_> = findings.iter().map(|f| (f.state, f.fix.as_deref())).collect();
        assert_eq!(
            fixes,
            [
                (State::Fail, Some("ip link set pollux0 up")),
                (State::Warn, Some("ip link set pollux-host mtu 1500")),
                (State::Warn, Some("ip link set pollux0 promisc off")),
            ]
        );
        let live = Server::Live { process: Some(1) };
        assert_eq!(promiscuity(&all[2], &live).state, State::Ok);
        all[2].flags = vec!["UP".into()];
        assert_eq!(state(&link("af_xdp:pollux0"), &all[2], None).state, State::Warn, "no carrier");
        all[1].flags.clear();
        let other = state(&link("af_xdp:pollux0"), &all[2], Some(&all[1]));
        expect_one(&[other], State::Warn, &["other end"], Some("ip link set pollux-host up"));
    }

    #[test]
    fn auto_without_a_link_names_the_script() {
        let nothing = HostLinks::default();
        let finding = chosen(&plan(&[]), &nothing, &Server::Absent).expect_err("nothing works");
        expect_one(&[finding], State::Fail, &["AF_XDP: "], Some("deploy/link.sh up"));
        let live = Server::Live { process: None };
        let finding = chosen(&plan(&[]), &nothing, &live).expect_err("nothing is left");
        expect_one(&[finding], State::Ok, &["held by the server"], None);
    }

    #[test]
    fn a_memif_socket_needs_its_directory() {
        let captured = Captured::new().folder("run/a");
        let findings = examine(&captured.host(), &link("memif:/run/a/x"), &[], &Server::Absent);
        expect_one(&findings, State::Ok, &["memif:/run/a/x"], None);
        let findings = examine(&captured.host(), &link("memif:/run/b/x"), &[], &Server::Absent);
        expect_one(&findings, State::Fail, &["no directory /run/b"], Some("mkdir -p /run/b"));
    }
}
