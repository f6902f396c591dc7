//! PCI devices as sysfs has them, and the attributes that bind one to a driver.

use super::snapshot::PciDevice;
use crate::host::Host;

/// Where sysfs has the devices.
const DEVICES: &str = "sys/bus/pci/devices";

/// The directory of a device, below the root.
pub(crate) fn directory(address: &str) -> String {
    format!("{DEVICES}/{address}")
}

/// All devices, sorted by address.
pub(crate) fn read_all(host: &Host) -> Vec<PciDevice> {
    host.names(DEVICES).into_iter().map(|address| read(host, &address)).collect()
}

/// The driver that a device is bound to.
pub(crate) fn driver(host: &Host, address: &str) -> Option<String> {
    host.target(&format!("{}/driver", directory(address)))
}

/// The IOMMU group of a device; vfio makes one on binding where there is no IOMMU.
pub(crate) fn iommu_group(host: &Host, address: &str) -> Option<u32> {
    host.target(&format!("{}/iommu_group", directory(address)))?.parse().ok()
}

/// The only driver that may take a device, if one is set.
pub(crate) fn driver_override(host: &Host, address: &str) -> Option<String> {
    let text = host.text(&format!("{}/driver_override", directory(address))).ok()??;
    (!text.is_empty() && text != "(null)").then_some(text)
}

/// The node through which processes have a device that is on vfio-pci: `dev/vfio/7`.
pub(crate) fn vfio_node(host: &Host, address: &str) -> Option<String> {
    let group = iommu_group(host, address)?;
    let nodes = [format!("dev/vfio/{group}"), format!("dev/vfio/noiommu-{group}")];
    nodes.into_iter().find(|node| host.exists(node))
}

/// Completes what an operator may shorten: `01:00.0` is `0000:01:00.0`.
pub(crate) fn full_address(text: &str) -> Option<String> {
    let full =
        if text.matches(':').count() == 1 { format!("0000:{text}") } else { text.to_owned() };
    let (bus, function) = full.split_once('.')?;
    let (domain, bus) = bus.split_once(':')?;
    let (bus, device) = bus.split_once(':')?;
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let parts = [(domain, 4), (bus, 2), (device, 2), (function, 1)];
    let whole = parts.into_iter().all(|(part, length)| is_hex(part, length));
    whole.then(|| full.to_ascii_lowercase())
}

fn read(host: &Host, address: &str) -> PciDevice {
    let directory = directory(address);
    let hex = |name: &str| {
        let text = host.text(&format!("{directory}/{name}")).ok().flatten().unwrap_or_default();
        u32::from_str_radix(text.trim_start_matches("0x"), 16).unwrap_or_default()
    };
    let id = |name: &str| u16::try_from(hex(name)).unwrap_or_default();
    let mut children = host.names(&directory);
    children.retain(|name| name.starts_with("virtio"));
    // Minus one where there are no nodes.
    let node = host.number(&format!("{directory}/numa_node"));
    PciDevice {
        address: address.to_owned(),
        class: hex("class"),
        vendor: id("vendor"),
        model: id("device"),
        driver: driver(host, address),
        driver_override: driver_override(host, address),
        numa_node: node.and_then(|node| u32::try_from(node).ok()),
        iommu_group: iommu_group(host, address),
        children,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_short() {
        let full = Some("0000:01:00.0".to_owned());
        for text in ["0000:01:00.0", "01:00.0"] {
            assert_eq!(full_address(text), full, "{text}");
        }
        assert_eq!(full_address("0000:AF:1f.7").as_deref(), Some("0000:af:1f.7"));
        for text in ["eth0", "", "1:0", "01:00", "0000:01:00", "01:00.0.", "01.00:0", "g1:00.0"] {
            assert_eq!(full_address(text), None, "{text}");
        }
    }
}
