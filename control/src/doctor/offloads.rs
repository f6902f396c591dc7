//! Offloads of the link's interfaces. Whoever reads raw frames wants them as they would be on a wire:
//! checksums filled in, no longer than the MTU.

use super::interfaces::Interface;
use super::report::{Check, Finding};
use crate::host::Host;

/// Assesses both ends of a link; the other one where it is seen.
pub(super) fn examine(host: &Host, ends: &[&Interface]) -> Vec<Finding> {
    ends.iter().map(|interface| assess(host, interface)).collect()
}

fn assess(host: &Host, interface: &Interface) -> Finding {
    let Interface { name, .. } = interface;
    let text = match host.run("ethtool", &["-k", name]) {
        Ok(text) => text,
        Err(why) => return Finding::ok(Check::Offloads, format!("{name}: skipped: {why}")),
    };
    // A NIC works off what is sent; between two kernels' ends nobody does.
    let features = if interface.is_virtual() { &FEATURES[..] } else { &FEATURES[SENDING..] };
    let on: Vec<&str> = features
        .iter()
        .filter(|(long, _)| text.lines().any(|line| line.strip_prefix(long) == Some(": on")))
        .map(|(_, short)| *short)
        .collect();
    if on.is_empty() {
        return Finding::ok(Check::Offloads, format!("{name}: off"));
    }
    let switches: Vec<_> = on.iter().map(|feature| format!("{feature} off")).collect();
    let found =
        format!("{name}: {} on: frames reach the server as no wire carries them", on.join(", "));
    Finding::warn(Check::Offloads, found, format!("ethtool -K {name} {}", switches.join(" ")))
}

/// As `ethtool -k` shows them, and as `ethtool -K` takes them. The first are of the sender.
const FEATURES: [(&str, &str); 5] = [
    ("tx-checksumming", "tx"),
    ("generic-segmentation-offload", "gso"),
    ("tcp-segmentation-offload", "tso"),
    ("generic-receive-offload", "gro"),
    ("large-receive-offload", "lro"),
];
/// How many of [`FEATURES`] are of the sender.
const SENDING: usize = 3;

#[cfg(test)]
mod tests {
    use super::super::interfaces::tests::{VETH, interfaces};
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    const ON: &str = "Features for pollux-host:\nrx-checksumming: on\ntx-checksumming: on\n\
        \ttx-checksum-ip-generic: on\ngeneric-segmentation-offload: off\n\
        tcp-segmentation-offload: on\ngeneric-receive-offload: off\n\
        large-receive-offload: on [fixed]\n";

    #[test]
    fn what_is_on_is_switched_off_by_one_command() {
        let captured = Captured::new().tool("ethtool -k pollux-host", ON);
        let all = interfaces(VETH);
        let findings = examine(&captured.host(), &[&all[1]]);
        let fix = "ethtool -K pollux-host tx off tso off";
        expect_one(&findings, State::Warn, &["pollux-host: tx, tso on"], Some(fix));
    }

    #[test]
    fn a_nic_does_what_is_left_to_it() {
        let captured = Captured::new().tool("ethtool -k eth1", ON);
        let nic = &interfaces("[{\"ifname\":\"eth1\"}]")[0];
        expect_one(&examine(&captured.host(), &[nic]), State::Ok, &["eth1: off"], None);
    }

    #[test]
    fn without_the_tool_it_is_skipped() {
        let all = interfaces(VETH);
        let findings = examine(&Captured::new().host(), &[&all[1]]);
        expect_one(&findings, State::Ok, &["skipped: ethtool is not installed"], None);
    }
}
