//! What to do about an error of DPDK, which says little more than a number. The crate `dpdk` names what it asked for;
//! here the machine is looked at for why that did not work.

use std::path::Path;

use dpdk::{Device, DeviceKind, OpenError, StartError};

use crate::host::Host;
use crate::scripts::Script;

/// What follows an error of opening a port.
pub(super) fn of_open(cause: &OpenError) -> String {
    match cause {
        OpenError::NoInterface { .. } => format!(", `{} up` makes pollux0", Script::Link),
        OpenError::Call { device, .. } => sentence(&Host::here(), device),
        _ => String::new(),
    }
}

/// What follows an error of starting a port.
pub(super) fn of_start(cause: &StartError) -> String {
    match cause {
        StartError::Call { device, .. } => sentence(&Host::here(), device),
        _ => String::new(),
    }
}

/// After a full stop: what is most likely wrong with `device` on `host`, and the fix.
fn sentence(host: &Host, device: &Device) -> String {
    let said = match device.kind() {
        DeviceKind::AfXdp => device.interface().map(|name| of_af_xdp(host, name)),
        DeviceKind::AfPacket => device.interface().map(of_af_packet),
        DeviceKind::Memif => of_memif(host, device),
        DeviceKind::Tap | DeviceKind::Vhost => Some(format!(
            "Is there another interface or server of that name? `ip link`; `{} down` takes away what an \
             earlier run left",
            Script::Link
        )),
        DeviceKind::Pci => Some(
            "Is the NIC bound to vfio-pci, and free? `pollux nic list` and `pollux doctor` say"
                .into(),
        ),
        DeviceKind::Other => Some(format!(
            "DPDK has no driver for {}, or refuses its arguments: a name is that of a driver and a number, \
             such as net_ring0 (the drivers: `ls /usr/lib/*/dpdk/pmds-*`)",
            device.name()
        )),
    };
    said.map_or_else(String::new, |said| format!(". {said}"))
}

fn of_af_xdp(host: &Host, interface: &str) -> String {
    let class = format!("sys/class/net/{interface}");
    let file =
        |name: &str| host.text(&format!("{class}/{name}")).ok().flatten().unwrap_or_default();
    let mtu: u32 = file("mtu").trim().parse().unwrap_or(0);
    if mtu > AF_XDP_MTU_MAX {
        return format!(
            "The MTU of {interface} is {mtu}, and AF_XDP has room for {AF_XDP_MTU_MAX}: \
             `ip link set dev {interface} mtu 1500`, on both ends of a veth"
        );
    }
    let kind =
        file("uevent").lines().find_map(|line| line.strip_prefix("DEVTYPE=")).map(str::to_owned);
    if let Some(kind) = kind.filter(|kind| WITHOUT_XDP.contains(&kind.as_str())) {
        return format!(
            "{interface} is a {kind}, which has no queues of its own for AF_XDP: \
             `--link af_packet:{interface}`, or take the interface below it"
        );
    }
    format!(
        "The kernel refuses an AF_XDP socket on {interface}; a server that has it already is one reason, a \
         driver without XDP another: `pollux doctor` looks, and `--link af_packet:{interface}` works \
         with every driver"
    )
}

fn of_af_packet(interface: &str) -> String {
    format!(
        "The kernel refuses an AF_PACKET socket on {interface}, or the memory of its rings: is there enough \
         memory (`free -m`), and does this process have CAP_NET_RAW?"
    )
}

/// What is wrong with a memif is the directory of its socket; of one that is there, nothing is known.
fn of_memif(host: &Host, device: &Device) -> Option<String> {
    let text = device.to_string();
    let socket = text.split(',').find_map(|argument| argument.strip_prefix("socket="))?;
    let directory = Path::new(socket).parent()?;
    let below = directory.strip_prefix("/").unwrap_or(directory);
    if host.path(below).is_dir() {
        return Some(format!(
            "Is {socket} a socket that this process may use, and not one of another server? `ls -l {socket}`"
        ));
    }
    let directory = directory.display();
    Some(format!("There is no directory {directory} for the socket: `mkdir -p {directory}`"))
}

/// A page, less the kernel's headroom (256), the Ethernet header and what the kernel keeps behind a frame (320), as
/// veth has it; drivers of NICs have about as much.
const AF_XDP_MTU_MAX: u32 = 3_498;
/// Kinds of interfaces on top of another one, as the kernel calls them in `uevent`.
const WITHOUT_XDP: [&str; 4] = ["macvlan", "ipvlan", "vlan", "bridge"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::captured::Captured;

    fn said(captured: &Captured, device: &str) -> String {
        sentence(&captured.host(), &device.parse().expect("a device"))
    }

    #[test]
    fn every_link_that_dpdk_refuses_has_a_sentence_with_the_fix() {
        let captured = Captured::new()
            .file("sys/class/net/jumbo/mtu", "9000\n")
            .file("sys/class/net/mac0/mtu", "1500\n")
            .file("sys/class/net/mac0/uevent", "DEVTYPE=macvlan\nINTERFACE=mac0\n")
            .file("sys/class/net/odd/mtu", "1500\n")
            .folder("run/x");
        for (device, words) in [
            ("net_af_xdp0,iface=jumbo", "`ip link set dev jumbo mtu 1500`"),
            ("net_af_xdp0,iface=mac0", "is a macvlan"),
            ("net_af_xdp0,iface=mac0", "`--link af_packet:mac0`"),
            ("net_af_xdp0,iface=odd", "`--link af_packet:odd`"),
            ("net_af_packet0,iface=odd", "CAP_NET_RAW"),
            ("net_memif0,role=server,socket=/run/y/a.sock", "`mkdir -p /run/y`"),
            ("net_memif0,role=server,socket=/run/x/a.sock", "`ls -l /run/x/a.sock`"),
            ("net_tap0,iface=t0", "`ip link`"),
            ("0000:01:00.0", "`pollux nic list`"),
            ("net_foo0", "no driver for net_foo0"),
        ] {
            let said = said(&captured, device);
            assert!(said.starts_with(". ") && said.contains(words), "{device}: {said}");
        }
    }
}
