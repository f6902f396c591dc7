//! Made-up machines: snapshots for decisions, and one whose sysfs and network react to changes.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::NicError;
use super::machine::Machine;
use super::network::Change;
use super::pci;
use super::ports::HERE;
use super::snapshot::{Namespace, NetAddress, NetLink, NetRoute, PciDevice, Snapshot};
use crate::host::Host;
use crate::host::captured::Captured;

/// The NIC of every test.
pub(crate) const NIC: &str = "0000:01:00.0";
/// Its MAC.
pub(crate) const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

/// An Ethernet controller.
pub(crate) fn device(address: &str, driver: &str, group: u32) -> PciDevice {
    PciDevice {
        address: address.into(),
        class: 0x02_0000,
        driver: Some(driver.into()),
        iommu_group: Some(group),
        ..PciDevice::default()
    }
}

/// An interface that is up, with a carrier.
pub(crate) fn link(index: u32, name: &str, parent: &str) -> NetLink {
    let parent = (!parent.is_empty()).then(|| parent.to_owned());
    NetLink { index, name: name.into(), parent, up: true, carrier: true, ..NetLink::default() }
}

/// An address, as `10.0.0.1/24`.
pub(crate) fn address(index: u32, text: &str) -> NetAddress {
    let (address, prefix) = text.split_once('/').expect("has a prefix");
    NetAddress {
        index,
        address: address.parse().expect("an address"),
        peer: None,
        prefix: prefix.parse().expect("a length"),
        scope: 0,
        flags: 0x80,
        label: None,
        broadcast: None,
        metric: None,
        lifetimes: None,
    }
}

/// A default route over interfaces.
pub(crate) fn default_route(text: &str, over: &[u32]) -> NetRoute {
    NetRoute { text: text.into(), default: true, over: over.to_vec(), message: "00".into() }
}

/// Two NICs with a carrier, each in a group of its own; nothing uses them.
pub(crate) fn two_nics() -> Snapshot {
    Snapshot {
        devices: vec![device(NIC, "igb", 1), device("0000:02:00.0", "igb", 2)],
        namespaces: vec![Namespace {
            name: HERE.into(),
            links: vec![link(1, "lo", ""), link(2, "eth0", NIC), link(3, "eth1", "0000:02:00.0")],
            ..Namespace::default()
        }],
        ..Snapshot::default()
    }
}

/// A machine with one NIC, [`NIC`] called eth0 on igb, whose attributes do what the kernel's do.
pub(crate) struct FakeMachine {
    captured: Captured,
    host: Host,
    network: RefCell<Namespace>,
    /// What the kernel calls the interface when it makes it.
    pub(crate) name: Cell<&'static str>,
    /// The driver that the kernel finds when it probes.
    pub(crate) native: Cell<Option<&'static str>>,
    /// Whether vfio-pci takes devices.
    pub(crate) vfio_works: Cell<bool>,
    /// Modules that cannot be loaded.
    pub(crate) missing: Cell<Option<&'static str>>,
    /// After so many changes, every other one fails: the process is dead.
    pub(crate) changes_left: Cell<Option<usize>>,
    /// Whether the device still runs for the process that had it last.
    pub(crate) runs_on: Cell<bool>,
    /// Routes that were put back.
    pub(crate) routes: RefCell<Vec<String>>,
}

impl FakeMachine {
    /// On igb, with two addresses, MTU 9000, and a route.
    pub(crate) fn new() -> Self {
        let directory = pci::directory(NIC);
        let captured = Captured::new()
            .file(&format!("{directory}/class"), "0x020000\n")
            .file(&format!("{directory}/driver_override"), "(null)\n")
            .file(&format!("{directory}/reset"), "")
            .symlink(&format!("{directory}/driver"), "../../../../bus/pci/drivers/igb")
            .symlink(&format!("{directory}/iommu_group"), "../../../kernel/iommu_groups/7")
            .file("proc/sys/kernel/random/boot_id", "this-start\n")
            .file("proc/cmdline", "root=/dev/sda1\n")
            .file("proc/mounts", "/dev/sda1 / ext4 rw 0 0\n");
        let host = captured.host();
        let eth0 = NetLink { mtu: 9000, mac: MAC.to_vec(), ..link(2, "eth0", NIC) };
        let route = NetRoute {
            text: "10.9.0.0/16 via 10.0.0.1".into(),
            default: false,
            over: vec![2],
            message: "aa".into(),
        };
        let network = Namespace {
            name: HERE.into(),
            links: vec![eth0],
            addresses: vec![address(2, "10.0.0.5/24"), address(2, "fd00::5/64")],
            routes: vec![route],
            ..Namespace::default()
        };
        Self {
            captured,
            host,
            network: RefCell::new(network),
            name: Cell::new("eth0"),
            native: Cell::new(Some("igb")),
            vfio_works: Cell::new(true),
            missing: Cell::new(None),
            changes_left: Cell::new(None),
            runs_on: Cell::new(false),
            routes: RefCell::default(),
        }
    }

    /// The driver the NIC is on.
    pub(crate) fn driver(&self) -> Option<String> {
        pci::driver(&self.host, NIC)
    }

    /// The interface, if there is one.
    pub(crate) fn eth(&self) -> Option<NetLink> {
        self.network.borrow().links.first().cloned()
    }

    /// Its addresses, spelled and sorted.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let network = self.network.borrow();
        let mut all: Vec<_> = network
            .addresses
            .iter()
            .map(|held| format!("{}/{}", held.address, held.prefix))
            .collect();
        all.sort_unstable();
        all
    }

    /// Takes the possibility to reset the device away.
    pub(crate) fn cannot_be_reset(&self) {
        fs::remove_file(self.file(&format!("{}/reset", pci::directory(NIC)))).expect("was there");
    }

    /// Lets a process hold something open.
    pub(crate) fn hold(&self, process: u32, node: &str) {
        let directory = self.captured.root().join(format!("proc/{process}/fd"));
        fs::create_dir_all(&directory).expect("writable");
        symlink(node, directory.join("5")).expect("writable");
        fs::write(directory.join("../comm"), "testpmd\n").expect("writable");
    }

    /// A file below the root.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.captured.root().join(path)
    }

    fn count(&self) -> io::Result<()> {
        match self.changes_left.get() {
            Some(0) => Err(io::Error::other("the process was killed")),
            Some(left) => {
                self.changes_left.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn release(&self) {
        let link = self.file(&format!("{}/driver", pci::directory(NIC)));
        fs::remove_file(link).expect("it was on a driver");
        let node = self.file("dev/vfio/7");
        if node.exists() {
            fs::remove_file(node).expect("writable");
            let reset = self.file(&format!("{}/reset", pci::directory(NIC)));
            self.runs_on.set(!reset.exists());
        }
        let mut network = self.network.borrow_mut();
        network.links.clear();
        network.addresses.clear();
        network.routes.clear();
    }

    fn probe(&self) -> io::Result<()> {
        if self.driver().is_some() {
            return Ok(());
        }
        let wanted = pci::driver_override(&self.host, NIC);
        let found = wanted.or_else(|| self.native.get().map(str::to_owned));
        let Some(driver) = found else { return Ok(()) };
        if driver == "vfio-pci" && !self.vfio_works.get() {
            return Err(io::Error::from_raw_os_error(22));
        }
        let link = self.file(&format!("{}/driver", pci::directory(NIC)));
        symlink(format!("../drivers/{driver}"), link)?;
        if driver == "vfio-pci" {
            fs::create_dir_all(self.file("dev/vfio"))?;
            return fs::write(self.file("dev/vfio/7"), "");
        }
        let fresh = NetLink {
            index: 9,
            name: self.name.get().into(),
            parent: Some(NIC.into()),
            mtu: 1500,
            mac: MAC.to_vec(),
            ..NetLink::default()
        };
        self.network.borrow_mut().links.push(fresh);
        Ok(())
    }
}

impl Machine for FakeMachine {
    fn host(&self) -> &Host {
        &self.host
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, NicError> {
        Ok(vec![self.network.borrow().clone()])
    }

    fn way_to(&self, _peer: IpAddr) -> Option<u32> {
        None
    }

    fn write(&self, path: &str, value: &str) -> io::Result<()> {
        self.count()?;
        if path.ends_with("/driver_override") {
            let value = if value.trim().is_empty() { "(null)" } else { value };
            fs::write(self.file(path), value)
        } else if path.ends_with("/driver/unbind") {
            self.release();
            Ok(())
        } else if path == "sys/bus/pci/drivers_probe" {
            self.probe()
        } else if self.file(path).exists() {
            fs::write(self.file(path), value)
        } else {
            Err(io::Error::from_raw_os_error(2))
        }
    }

    fn load(&self, module: &str) -> Result<(), String> {
        if self.missing.get() == Some(module) {
            return Err(format!("modprobe: FATAL: Module {module} not found"));
        }
        fs::create_dir_all(self.file(&format!("sys/bus/pci/drivers/{module}"))).expect("writable");
        if module == "igb" {
            self.native.set(Some("igb"));
        }
        Ok(())
    }

    fn apply(&self, namespace: Option<&Path>, index: u32, change: &Change) -> io::Result<()> {
        assert_eq!(namespace, None, "this machine has one namespace");
        self.count()?;
        let mut network = self.network.borrow_mut();
        let link = network.links.first_mut().filter(|link| link.index == index);
        let link = link.ok_or_else(|| io::Error::from_raw_os_error(19))?;
        match change {
            Change::Name(_) | Change::Mac(_) if link.up => {
                return Err(io::Error::from_raw_os_error(16));
            }
            Change::Name(name) => link.name.clone_from(name),
            Change::Mac(mac) => link.mac.clone_from(mac),
            Change::Mtu(mtu) => link.mtu = *mtu,
            Change::TxQueueLen(len) => link.tx_queue_len = *len,
            Change::Promiscuous => link.promiscuous = true,
            Change::Up(up) => {
                if link.up && !up {
                    self.runs_on.set(false);
                }
                link.up = *up;
            }
            Change::Address(held) => {
                network.addresses.push(NetAddress { index, ..held.clone() });
            }
            Change::Route { text, from, .. } => {
                assert_eq!(*from, 2, "the number that the route was read with");
                self.routes.borrow_mut().push(text.clone());
            }
            Change::Namespace(path) => panic!("{} is no namespace here", path.display()),
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(500)
    }

    fn now(&self) -> u64 {
        1000
    }
}
