//! `--link auto`: the best kernel link that works here. Pure: a description of the host in, the
//! candidates in order of preference out, and for every other one the reason why not.

use super::host::HostLinks;
use super::spec::Link;
use crate::scripts::Script;

/// The links worth trying, best first, and what was said of every candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Never empty.
    pub(crate) links: Vec<Link>,
    /// One line for each candidate, in order of preference.
    pub(crate) assessments: Vec<String>,
}

/// No link works here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no kernel link works here: {}; make a pair of interfaces with `{} up`, or name a link with \
     --link",
    assessments.join("; "),
    Script::Link
)]
pub(crate) struct NoLink {
    /// Why not, for each candidate.
    pub(crate) assessments: Vec<String>,
}

/// Chooses for `host`.
///
/// # Errors
/// Nothing is left; says why for each candidate.
pub(crate) fn choose(host: &HostLinks) -> Result<Choice, NoLink> {
    let interface = interface(host);
    let candidates = [
        ("vhost", vhost(host)),
        ("AF_XDP", interface.clone().and_then(|name| af_xdp(host, name))),
        ("AF_PACKET", interface.and_then(|name| af_packet(host, name))),
        ("TAP", tap(host)),
    ]
    .map(|(name, candidate)| (name, candidate.and_then(|link| permitted(host, link))));
    let mut links = Vec::new();
    let mut assessments = Vec::new();
    for (name, candidate) in candidates {
        match candidate {
            Ok(link) => {
                let rank = if links.is_empty() { "first choice" } else { "would do, slower" };
                assessments.push(format!("{name}: {rank} ({link})"));
                links.push(link);
            }
            Err(reason) => assessments.push(format!("{name}: {reason}")),
        }
    }
    if links.is_empty() { Err(NoLink { assessments }) } else { Ok(Choice { links, assessments }) }
}

/// The interface to take: `pollux0`, or the only one that is up and that the kernel does not use
/// itself. Taking one that has an address would cut the host off.
fn interface(host: &HostLinks) -> Result<String, String> {
    if let Some(interface) = host.interfaces.get(OURS) {
        let down = format!("{OURS} is down (ip link set {OURS} up)");
        return if interface.up { Ok(OURS.to_owned()) } else { Err(down) };
    }
    let mut free = host.interfaces.iter().filter(|(_, i)| i.up && !i.addressed);
    match (free.next(), free.next()) {
        (Some((name, _)), None) => Ok(name.clone()),
        (None, _) => Err(format!("no interface {OURS}, and none that the kernel does not use")),
        (Some((one, _)), Some((other, _))) => {
            Err(format!("no interface {OURS}, and several free ones ({one}, {other}, ..)"))
        }
    }
}

fn af_xdp(host: &HostLinks, interface: String) -> Result<Link, String> {
    if !host.af_xdp {
        return Err("this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)".into());
    }
    link("af_xdp", &interface)
}

fn af_packet(host: &HostLinks, interface: String) -> Result<Link, String> {
    if !host.af_packet {
        return Err("this kernel has no AF_PACKET sockets (modprobe af_packet)".into());
    }
    link("af_packet", &interface)
}

fn tap(host: &HostLinks) -> Result<Link, String> {
    if !host.tun {
        return Err("no /dev/net/tun (modprobe tun)".into());
    }
    if host.interfaces.contains_key(OURS) {
        return Err(format!("an interface {OURS} is there already"));
    }
    let waiting = host.interfaces.get(KERNELS).is_some_and(|interface| interface.tap);
    link("tap", if waiting { KERNELS } else { OURS })
}

/// Only with an interface that waits and is up: what the kernel takes from us is tested with it at start.
fn vhost(host: &HostLinks) -> Result<Link, String> {
    if !host.vhost {
        return Err("no /dev/vhost-net (modprobe vhost_net)".into());
    }
    if !host.tun {
        return Err("no /dev/net/tun (modprobe tun)".into());
    }
    match host.interfaces.get(KERNELS) {
        Some(interface) if interface.tap && interface.up => link("vhost", KERNELS),
        _ => {
            Err(format!("no TAP interface {KERNELS} that is up ({} up --kind vhost)", Script::Link))
        }
    }
}

fn permitted(host: &HostLinks, link: Link) -> Result<Link, String> {
    host.rights.lacking(link.device().kind()).map_or(Ok(link), Err)
}

fn link(kind: &str, interface: &str) -> Result<Link, String> {
    Link::parse(&format!("{kind}:{interface}")).map_err(|error| error.to_string())
}

/// The interface that the deploy scripts make for the appliance.
const OURS: &str = "pollux0";
/// The kernel's end; of a TAP link, the only one there is before we take the other.
const KERNELS: &str = "pollux-host";

#[cfg(test)]
mod tests {
    use super::super::host::Interface;
    use super::super::rights::Rights;
    use super::*;

    /// A host with everything but interfaces.
    fn host(interfaces: &[(&str, bool, bool)]) -> HostLinks {
        let interfaces = interfaces
            .iter()
            .map(|(name, up, addressed)| {
                let interface = Interface { up: *up, addressed: *addressed, tap: false, queues: 1 };
                ((*name).to_owned(), interface)
            })
            .collect();
        HostLinks {
            interfaces,
            af_xdp: true,
            af_packet: true,
            tun: true,
            vhost: false,
            rights: Rights::ALL,
        }
    }

    fn spelled(host: &HostLinks) -> (Vec<String>, Vec<String>) {
        let Choice { links, assessments } = choose(host).expect("something works");
        (links.iter().map(Link::to_string).collect(), assessments)
    }

    #[test]
    fn af_xdp_on_our_interface_is_best() {
        let (links, assessments) =
            spelled(&host(&[("eth0", true, true), ("pollux0", true, false)]));
        assert_eq!(links, ["af_xdp:pollux0", "af_packet:pollux0"]);
        assert_eq!(
            assessments,
            [
                "vhost: no /dev/vhost-net (modprobe vhost_net)",
                "AF_XDP: first choice (af_xdp:pollux0)",
                "AF_PACKET: would do, slower (af_packet:pollux0)",
                "TAP: an interface pollux0 is there already",
            ]
        );
    }

    #[test]
    fn without_af_xdp_sockets_af_packet_is_taken() {
        let host = HostLinks { af_xdp: false, ..host(&[("pollux0", true, false)]) };
        let (links, assessments) = spelled(&host);
        assert_eq!(links, ["af_packet:pollux0"]);
        assert_eq!(
            assessments[1],
            "AF_XDP: this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS)"
        );
        assert_eq!(assessments[2], "AF_PACKET: first choice (af_packet:pollux0)");
    }

    #[test]
    fn an_interface_with_an_address_is_never_taken() {
        let (links, assessments) = spelled(&host(&[("eth0", true, true)]));
        assert_eq!(links, ["tap:pollux0"]);
        assert_eq!(
            assessments[1],
            "AF_XDP: no interface pollux0, and none that the kernel does not use"
        );
    }

    #[test]
    fn the_only_free_interface_is_taken_and_of_two_none() {
        let (links, _) = spelled(&host(&[("eth0", true, true), ("eth1", true, false)]));
        assert_eq!(links[0], "af_xdp:eth1");
        let (links, assessments) = spelled(&host(&[("eth1", true, false), ("eth2", true, false)]));
        assert_eq!(links, ["tap:pollux0"]);
        assert_eq!(
            assessments[2],
            "AF_PACKET: no interface pollux0, and several free ones (eth1, eth2, ..)"
        );
    }

    #[test]
    fn a_tap_that_waits_for_us_is_taken() {
        let mut host = host(&[("pollux-host", true, true)]);
        assert_eq!(spelled(&host).0, ["tap:pollux0"], "that one is the end of a pair");
        host.interfaces.entry("pollux-host".into()).or_default().tap = true;
        assert_eq!(spelled(&host).0, ["tap:pollux-host"]);
    }

    #[test]
    fn vhost_is_best_with_an_interface_that_waits_and_is_up() {
        let mut host = HostLinks { vhost: true, ..host(&[("pollux-host", true, true)]) };
        assert_eq!(spelled(&host).0, ["tap:pollux0"], "that one is the end of a pair");
        host.interfaces.entry("pollux-host".into()).or_default().tap = true;
        assert_eq!(spelled(&host).0, ["vhost:pollux-host", "tap:pollux-host"]);
        host.interfaces.entry("pollux-host".into()).or_default().up = false;
        assert_eq!(spelled(&host).0, ["tap:pollux-host"], "it could not be tested");
    }

    #[test]
    fn nothing_at_all_says_why_and_what_to_do() {
        let host = HostLinks { tun: false, ..host(&[("pollux0", false, false)]) };
        assert_eq!(
            choose(&host).expect_err("nothing works").to_string(),
            "no kernel link works here: vhost: no /dev/vhost-net (modprobe vhost_net); AF_XDP: pollux0 is down (ip link set pollux0 up); \
             AF_PACKET: pollux0 is down (ip link set pollux0 up); TAP: no /dev/net/tun (modprobe \
             tun); make a pair of interfaces with `deploy/link.sh up`, or name a link with --link"
        );
    }
}
