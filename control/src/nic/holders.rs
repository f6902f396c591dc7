//! Processes that have a device of vfio open.

use std::fs;
use std::path::PathBuf;

use super::pci;
use crate::host::Host;

/// Who has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Holders {
    /// What they opened: `/dev/vfio/7`.
    pub(crate) node: String,
    /// Their ids.
    pub(crate) processes: Vec<u32>,
}

/// Processes that have `address` open; `None` if there are none.
pub(crate) fn of(host: &Host, address: &str) -> Option<Holders> {
    let group = pci::vfio_node(host, address);
    // With iommufd, devices have nodes of their own.
    let devices = host.names(&format!("{}/vfio-dev", pci::directory(address)));
    let devices = devices.into_iter().map(|name| format!("dev/vfio/devices/{name}"));
    group.into_iter().chain(devices).find_map(|node| {
        let node = format!("/{node}");
        let processes: Vec<_> =
            host.processes().into_iter().filter(|process| holds(host, *process, &node)).collect();
        (!processes.is_empty()).then_some(Holders { node, processes })
    })
}

fn holds(host: &Host, process: u32, node: &str) -> bool {
    let directory = format!("proc/{process}/fd");
    let open = |name: &String| fs::read_link(host.path(format!("{directory}/{name}")));
    host.names(&directory).iter().any(|name| open(name).is_ok_and(|to| to == PathBuf::from(node)))
}
