//! What a link's driver takes: capabilities, kernel modules and device nodes, the DPDK plugin, the IOMMU.

use dpdk::DeviceKind;

use super::report::{Check, Finding};
use crate::host::Host;
use crate::link::{HostLinks, Link};
use crate::nic::pci;

/// Assesses all of it for `link`.
pub(super) fn examine(host: &Host, link: &Link, links: &HostLinks) -> Vec<Finding> {
    let kind = link.device().kind();
    let mut findings = vec![capabilities(links, kind)];
    findings.push(match kind {
        DeviceKind::Pci => nic(host, link.device().name()),
        DeviceKind::Tap => tun(host),
        DeviceKind::Vhost => vhost(host),
        _ => sockets(links, kind),
    });
    findings.push(plugin(host, link));
    if kind == DeviceKind::AfXdp {
        findings.push(bpffs(host));
    }
    findings
}

fn capabilities(links: &HostLinks, kind: DeviceKind) -> Finding {
    match links.rights.lacking(kind) {
        None => Finding::ok(Check::Capabilities, "all that this link takes"),
        Some(lacking) => Finding::fail(Check::Capabilities, lacking, "sudo pollux .."),
    }
}

/// The NIC, bound to a driver that lets a process have it.
fn nic(host: &Host, address: &str) -> Finding {
    let check = Check::Driver;
    if !host.exists(&pci::directory(address)) {
        let found = format!("there is no PCI device {address}");
        return Finding::fail(check, found, "pollux nic list (shows what is there)");
    }
    if !host.exists("sys/bus/pci/drivers/vfio-pci") {
        return Finding::fail(check, "the driver vfio-pci is not loaded", "modprobe vfio-pci");
    }
    match pci::driver(host, address) {
        Some(driver) if driver == "vfio-pci" => {}
        // Mellanox NICs are shared with the kernel's driver.
        Some(driver) if driver.starts_with("mlx") => {
            return Finding::ok(check, format!("{address} is on {driver}, which shares it"));
        }
        driver => {
            let driver = driver.unwrap_or_else(|| "no driver".into());
            let found = format!("{address} is on {driver}, not on vfio-pci");
            return Finding::fail(check, found, format!("pollux nic bind {address} --yes"));
        }
    }
    if let Some(node) = pci::vfio_node(host, address) {
        return Finding::ok(check, format!("{address} is on vfio-pci, as /{node}"));
    }
    let found = match pci::iommu_group(host, address) {
        Some(group) => format!("there is no /dev/vfio/{group} or /dev/vfio/noiommu-{group}"),
        None => format!("{address} is on vfio-pci and in no IOMMU group"),
    };
    let fix = "modprobe vfio-pci (in a container: --device /dev/vfio)";
    Finding::fail(check, found, fix)
}

fn tun(host: &Host) -> Finding {
    if host.exists("dev/net/tun") {
        return Finding::ok(Check::Driver, "/dev/net/tun is there");
    }
    let fix = "modprobe tun (in a container: --device /dev/net/tun)";
    Finding::fail(Check::Driver, "there is no /dev/net/tun", fix)
}

fn vhost(host: &Host) -> Finding {
    if host.exists("dev/vhost-net") {
        return Finding::ok(Check::Driver, "/dev/vhost-net is there");
    }
    Finding::fail(Check::Driver, "there is no /dev/vhost-net", "modprobe vhost_net")
}

fn sockets(links: &HostLinks, kind: DeviceKind) -> Finding {
    let check = Check::Driver;
    match kind {
        DeviceKind::AfXdp if !links.af_xdp => {
            let fix = "--link af_packet:IFACE, or boot a kernel with CONFIG_XDP_SOCKETS";
            Finding::fail(check, "this kernel has no AF_XDP sockets", fix)
        }
        DeviceKind::AfPacket if !links.af_packet => {
            Finding::fail(check, "this kernel has no AF_PACKET sockets", "modprobe af_packet")
        }
        DeviceKind::AfXdp => Finding::ok(check, "this kernel has AF_XDP sockets"),
        DeviceKind::AfPacket => Finding::ok(check, "this kernel has AF_PACKET sockets"),
        _ => Finding::ok(check, "this link takes no module of the kernel"),
    }
}

fn bpffs(host: &Host) -> Finding {
    let check = Check::Bpffs;
    let mounts = match host.text("proc/mounts") {
        Ok(mounts) => mounts.unwrap_or_default(),
        Err(why) => return Finding::unknown(check, why),
    };
    let mounted = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        words.next() == Some(BPFFS) && words.next() == Some("bpf")
    };
    if mounts.lines().any(mounted) {
        return Finding::ok(check, format!("mounted on {BPFFS}"));
    }
    let found = format!("no bpffs on {BPFFS}, where AF_XDP may want to pin its program");
    Finding::warn(check, found, format!("mount -t bpf bpf {BPFFS}"))
}

/// DPDK's drivers are plugins: a directory has those that are installed.
fn plugin(host: &Host, link: &Link) -> Finding {
    let check = Check::Pmd;
    let device = link.device();
    let name = match device.kind() {
        DeviceKind::Pci => "bus_pci",
        _ => device.name().trim_end_matches(|c: char| c.is_ascii_digit()),
    };
    let package = format!("apt-get install librte-{}23", name.replace('_', "-"));
    let libraries = ["usr/lib", "usr/local/lib"].into_iter().flat_map(|base| {
        let triplets = host.names(base).into_iter().map(move |name| format!("{base}/{name}"));
        triplets.chain([base.to_owned(), format!("{base}64")])
    });
    let mut found =
        libraries.map(|base| format!("{base}/dpdk/{PLUGINS}")).filter(|d| host.exists(d));
    let Some(directory) = found.next() else {
        let found =
            format!("unknown: no directory {PLUGINS} of DPDK's plugins where Debian has it");
        return Finding::warn(check, found, package);
    };
    let file = format!("librte_{name}.so");
    if host.names(&directory).iter().any(|plugin| plugin.starts_with(&file)) {
        Finding::ok(check, format!("/{directory}/{file}"))
    } else {
        Finding::fail(check, format!("/{directory} lacks {file}"), package)
    }
}

/// The IOMMU: only a NIC that writes into our memory wants one.
pub(super) fn iommu(host: &Host, kind: Option<DeviceKind>) -> Finding {
    let check = Check::Iommu;
    let groups = host.names("sys/kernel/iommu_groups").len();
    let units = host.names("sys/class/iommu");
    if groups > 0 {
        let maker = match units.first() {
            Some(unit) if unit.starts_with("dmar") => " (Intel)",
            Some(unit) if unit.starts_with("ivhd") => " (AMD)",
            _ => "",
        };
        return Finding::ok(check, format!("{groups} groups{maker}"));
    }
    let cpu = host.text("proc/cpuinfo").ok().flatten().unwrap_or_default();
    let argument = if cpu.contains("AuthenticAMD") { "amd_iommu=on" } else { "intel_iommu=on" };
    let fix =
        format!("add {argument} iommu=pt to the kernel's command line and restart the machine");
    let unsafe_mode = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
    let without = host.text(unsafe_mode).ok().flatten().is_some_and(|text| text == "Y");
    match kind {
        Some(DeviceKind::Pci) if !without => {
            let fix = format!("{fix}; in a VM without one: echo Y >/{unsafe_mode}");
            Finding::fail(check, "no IOMMU group, and vfio is not allowed to do without", fix)
        }
        Some(DeviceKind::Pci) => {
            let found = "no IOMMU group: vfio does without, and the NIC may write to any memory";
            Finding::warn(check, found, fix)
        }
        _ => Finding::warn(check, "no IOMMU group; only a PCI link wants them", fix),
    }
}

const BPFFS: &str = "/sys/fs/bpf";
/// Named for the ABI of DPDK 22.11, which this program is built for.
const PLUGINS: &str = "pmds-23.0";

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::host::captured::Captured;

    const NIC: &str = "sys/bus/pci/devices/0000:01:00.0";

    fn link(text: &str) -> Link {
        Link::parse(text).expect(text)
    }

    fn on_driver(driver: &str) -> Captured {
        Captured::new()
            .folder(NIC)
            .symlink(&format!("{NIC}/driver"), &format!("../drivers/{driver}"))
    }

    #[test]
    fn each_step_to_vfio_has_its_command() {
        let assess = |captured: &Captured| [nic(&captured.host(), "0000:01:00.0")];
        let fix = Some("pollux nic list (shows what is there)");
        expect_one(&assess(&Captured::new()), State::Fail, &["no PCI device"], fix);
        let captured = on_driver("igb");
        expect_one(&assess(&captured), State::Fail, &["not loaded"], Some("modprobe vfio-pci"));
        let captured = captured.folder("sys/bus/pci/drivers/vfio-pci");
        let fix = Some("pollux nic bind 0000:01:00.0 --yes");
        expect_one(&assess(&captured), State::Fail, &["is on igb"], fix);
        let captured = on_driver("vfio-pci")
            .folder("sys/bus/pci/drivers/vfio-pci")
            .symlink(&format!("{NIC}/iommu_group"), "../../groups/7");
        let fix = Some("modprobe vfio-pci (in a container: --device /dev/vfio)");
        expect_one(&assess(&captured), State::Fail, &["/dev/vfio/noiommu-7"], fix);
        let captured = captured.file("dev/vfio/7", "");
        expect_one(&assess(&captured), State::Ok, &["as /dev/vfio/7"], None);
    }

    #[test]
    fn an_iommu_is_wanted_by_a_nic_only() {
        let captured = Captured::new().file("proc/cpuinfo", "vendor_id : AuthenticAMD\n");
        let host = captured.host();
        let fix = "add amd_iommu=on iommu=pt to the kernel's command line and restart the machine";
        expect_one(&[iommu(&host, Some(DeviceKind::AfXdp))], State::Warn, &["no IOMMU"], Some(fix));
        assert_eq!(iommu(&host, Some(DeviceKind::Pci)).state, State::Fail);
        let file = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
        let captured = captured.file(file, "Y\n");
        assert_eq!(iommu(&captured.host(), Some(DeviceKind::Pci)).state, State::Warn);
        let captured = captured.folder("sys/kernel/iommu_groups/0").folder("sys/class/iommu/dmar0");
        let finding = iommu(&captured.host(), Some(DeviceKind::Pci));
        expect_one(&[finding], State::Ok, &["1 groups (Intel)"], None);
    }

    #[test]
    fn plugins_are_found_below_any_triplet() {
        let af_xdp = link("af_xdp:pollux0");
        let fix = Some("apt-get install librte-net-af-xdp23");
        let assess = |captured: &Captured| [plugin(&captured.host(), &af_xdp)];
        expect_one(&assess(&Captured::new()), State::Warn, &["unknown: "], fix);
        let directory = "usr/lib/aarch64-linux-gnu/dpdk/pmds-23.0";
        let captured = Captured::new().file(&format!("{directory}/librte_net_tap.so.23"), "");
        expect_one(&assess(&captured), State::Fail, &["lacks librte_net_af_xdp.so"], fix);
        let captured = captured.file(&format!("{directory}/librte_net_af_xdp.so.23"), "");
        expect_one(&assess(&captured), State::Ok, &["aarch64"], None);
    }

    #[test]
    fn nodes_and_sockets_are_looked_for() {
        let empty = Captured::new();
        assert_eq!(tun(&empty.host()).state, State::Fail);
        assert_eq!(vhost(&empty.host()).fix.as_deref(), Some("modprobe vhost_net"));
        let nothing = HostLinks::default();
        assert_eq!(sockets(&nothing, DeviceKind::AfXdp).state, State::Fail);
        assert_eq!(sockets(&nothing, DeviceKind::AfPacket).state, State::Fail);
        assert_eq!(sockets(&nothing, DeviceKind::Memif).state, State::Ok);
        let fix = Some("mount -t bpf bpf /sys/fs/bpf");
        let captured = empty.file("proc/mounts", "x\n\nbpf /sys/fs/bpf\n");
        expect_one(&[bpffs(&captured.host())], State::Warn, &["no bpffs"], fix);
        let captured = captured.file("proc/mounts", "bpf /sys/fs/bpf bpf rw 0 0\n");
        expect_one(&[bpffs(&captured.host())], State::Ok, &["mounted"], None);
    }
}
