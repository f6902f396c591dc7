//! What `pollux nic list` and `pollux nic status` print.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::decide::{self, Plan, SHARED_DRIVERS, USER_DRIVERS};
use super::error::NicError;
use super::machine::Machine;
use super::pci;
use super::ports::Port;
use super::record::{Record, Store};
use super::snapshot::{PciDevice, Snapshot};
use crate::human;

/// What can be said of a NIC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// No driver has it.
    Free,
    /// A driver of the kernel has it, and nothing needs that.
    Safe,
    /// Something needs it: why.
    InUse(Vec<decide::Refusal>),
    /// It has a record, and is on a driver for user space.
    Ours,
    /// It is on a driver for user space.
    Others(String),
    /// It needs no binding.
    Shared,
}

impl Availability {
    /// Assesses `device`.
    pub(crate) fn of(snapshot: &Snapshot, device: &PciDevice) -> Self {
        let is_recorded = snapshot.recorded.contains(&device.address);
        match device.driver.as_deref() {
            Some(driver) if USER_DRIVERS.contains(&driver) && is_recorded => return Self::Ours,
            Some(driver) if USER_DRIVERS.contains(&driver) => return Self::Others(driver.into()),
            Some(driver) if SHARED_DRIVERS.contains(&driver) => return Self::Shared,
            _ => {}
        }
        let objections = decide::objections(snapshot, device);
        match (objections.is_empty(), &device.driver) {
            (false, _) => Self::InUse(objections),
            (true, None) => Self::Free,
            (true, Some(_)) => Self::Safe,
        }
    }

    /// Its name, stable for programs.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Safe => "safe to bind",
            Self::InUse(_) => "in use",
            Self::Ours => "bound by pollux",
            Self::Others(_) => "bound",
            Self::Shared => "stays on its kernel driver",
        }
    }

    fn text(&self) -> String {
        match self {
            Self::InUse(reasons) => {
                let reasons: Vec<_> = reasons
                    .iter()
                    .map(|reason| format!("{} ({})", reason.why, reason.rule.name()))
                    .collect();
                format!("in use: {}", reasons.join("; "))
            }
            Self::Others(driver) => format!("bound to {driver}, not by pollux"),
            Self::Shared => {
                "stays on its kernel driver: DPDK's driver works beside the kernel's".into()
            }
            other => other.name().into(),
        }
    }
}

/// The list for people.
pub(crate) fn list_text(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    for device in snapshot.devices.iter().filter(|device| device.is_nic()) {
        let driver = device.driver.as_deref().unwrap_or("no driver");
        let PciDevice { address, vendor, model, .. } = device;
        let _ = write!(text, "{address}  [{vendor:04x}:{model:04x}]  {driver}");
        if let Some(node) = device.numa_node {
            let _ = write!(text, "  NUMA node {node}");
        }
        let _ = match device.iommu_group {
            Some(group) => writeln!(text, "  IOMMU group {group}"),
            None => writeln!(text, "  no IOMMU group (bind wants --unsafe-noiommu)"),
        };
        let port = Port::new(snapshot, device);
        for (at, link) in port.own() {
            let place = match at {
                0 => String::new(),
                at => format!(" in {}", snapshot.namespaces[at].name),
            };
            let speed = link.speed.map(|speed| format!(", {speed} Mbit/s")).unwrap_or_default();
            let _ = writeln!(
                text,
                "    {}{place}: {}, {}{speed}, {} receive and {} transmit queues",
                link.name,
                if link.up { "up" } else { "down" },
                if link.carrier { "carrier" } else { "no carrier" },
                link.rx_queues,
                link.tx_queues,
            );
        }
        let _ = writeln!(text, "    {}", Availability::of(snapshot, device).text());
    }
    if text.is_empty() {
        text.push_str("this machine has no PCI NIC: nothing can be bound, and links such as af_xdp need no binding\n");
    }
    text
}

/// The list for programs.
pub(crate) fn list_json(snapshot: &Snapshot) -> Value {
    let nic = |device: &PciDevice| {
        let availability = Availability::of(snapshot, device);
        let reasons: Vec<_> = match &availability {
            Availability::InUse(reasons) => reasons
                .iter()
                .map(|reason| json!({"rule": reason.rule.name(), "why": reason.why}))
                .collect(),
            _ => Vec::new(),
        };
        let port = Port::new(snapshot, device);
        let interfaces: Vec<_> = port
            .own()
            .map(|(at, link)| {
                json!({
                    "name": link.name,
                    "namespace": snapshot.namespaces[at].name,
                    "up": link.up,
                    "carrier": link.carrier,
                    "speed_mbit": link.speed,
                    "mtu": link.mtu,
                    "mac": human::mac(&link.mac),
                    "rx_queues": link.rx_queues,
                    "tx_queues": link.tx_queues,
                })
            })
            .collect();
        json!({
            "address": device.address,
            "vendor": format!("{:04x}", device.vendor),
            "model": format!("{:04x}", device.model),
            "driver": device.driver,
            "interfaces": interfaces,
            "numa_node": device.numa_node,
            "iommu_group": device.iommu_group,
            "availability": availability.name(),
            "reasons": reasons,
        })
    };
    let nics: Vec<_> = snapshot.devices.iter().filter(|device| device.is_nic()).map(nic).collect();
    json!({"version": 1, "nics": nics})
}

/// What there is of a record now.
#[derive(Debug)]
pub(crate) struct RecordStatus {
    address: String,
    record: Option<Record>,
    damaged: Option<String>,
    driver: Option<String>,
    stale: bool,
    now: u64,
}

/// Looks at every record.
///
/// # Errors
/// The state directory cannot be read.
pub(crate) fn records(
    machine: &impl Machine,
    store: &Store,
) -> Result<Vec<RecordStatus>, NicError> {
    let boot_id = machine.boot_id();
    let status = |address: String| {
        let (record, damaged) = match store.read(&address) {
            Ok(record) => (record, None),
            Err(NicError::Damaged { why, .. }) => (None, Some(why)),
            Err(error) => return Err(error),
        };
        Ok(RecordStatus {
            driver: pci::driver(machine.host(), &address),
            stale: record.as_ref().is_some_and(|record| record.boot_id != boot_id),
            now: machine.now(),
            address,
            record,
            damaged,
        })
    };
    store.addresses()?.into_iter().map(status).collect()
}

impl RecordStatus {
    /// Its state, stable for programs.
    fn state(&self) -> &'static str {
        let taken = self.driver.as_deref().is_some_and(|name| USER_DRIVERS.contains(&name));
        let bound = self.record.as_ref().is_some_and(|record| record.bound);
        match (self.damaged.is_some(), self.stale, taken, bound) {
            (true, ..) => "damaged record",
            (_, true, ..) => "from an earlier start",
            (_, _, true, true) => "bound",
            _ => "unfinished",
        }
    }

    /// Seconds until the watchdog takes it back.
    fn seconds_left(&self) -> Option<u64> {
        let watchdog = self.record.as_ref()?.watchdog.as_ref()?;
        Some(watchdog.deadline.saturating_sub(self.now))
    }

    /// Names of the interfaces it had.
    fn interfaces(&self) -> Vec<&str> {
        let interfaces = self.record.iter().flat_map(|record| &record.interfaces);
        interfaces.map(|interface| interface.name.as_str()).collect()
    }

    fn text(&self) -> String {
        let Self { address, .. } = self;
        let driver = self.driver.as_deref().unwrap_or("no driver");
        let had = self.record.as_ref().and_then(|record| record.driver.as_deref());
        let had = had.unwrap_or("no driver");
        let names = match self.interfaces().join(", ") {
            names if names.is_empty() => "no interface".to_owned(),
            names => names,
        };
        let mut text = match self.state() {
            "bound" => format!("{address}  bound: on {driver}; was {names} on {had}\n"),
            "from an earlier start" => format!(
                "{address}  on {driver}; its record is from an earlier start of the machine and tells \
                 nothing: `pollux nic unbind {address}` removes it\n"
            ),
            "damaged record" => format!(
                "{address}  on {driver}; its record is damaged ({}): `pollux nic unbind {address}` lets \
                 the kernel have it\n",
                self.damaged.as_deref().unwrap_or_default()
            ),
            _ => format!(
                "{address}  not bound, or not given back, to the end: on {driver}; was {names} on {had}: \
                 `pollux nic unbind {address}` puts everything back\n"
            ),
        };
        if let Some(seconds) = self.seconds_left() {
            let _ = writeln!(
                text,
                "    is taken back in {seconds} s unless `pollux nic confirm {address}` comes first"
            );
        }
        text
    }

    fn json(&self) -> Value {
        let watchdog = self.record.as_ref().and_then(|record| record.watchdog.as_ref());
        json!({
            "address": self.address,
            "state": self.state(),
            "driver": self.driver,
            "driver_before": self.record.as_ref().and_then(|record| record.driver.clone()),
            "interfaces": self.interfaces(),
            "confirm_within_s": self.seconds_left(),
            "watchdog_pid": watchdog.map(|watchdog| watchdog.pid),
        })
    }
}

/// The status for people.
pub(crate) fn status_text(records: &[RecordStatus]) -> String {
    if records.is_empty() {
        return "no NIC is bound by pollux\n".into();
    }
    records.iter().map(RecordStatus::text).collect()
}

/// The status for programs.
pub(crate) fn status_json(records: &[RecordStatus]) -> Value {
    let bound: Vec<_> = records.iter().map(RecordStatus::json).collect();
    json!({"version": 1, "bound": bound})
}

/// A plan for people.
pub(crate) fn plan_text(plan: &Plan) -> String {
    let Plan { address, .. } = plan;
    let driver = plan.driver.as_deref().unwrap_or("no driver");
    let mut text = format!("{address} is on {driver}\n");
    for refusal in &plan.overridden {
        let _ = writeln!(text, "  overridden: {} ({})", refusal.why, refusal.rule.name());
    }
    if !plan.interfaces.is_empty() {
        let names = plan.interfaces.join(", ");
        let _ = writeln!(text, "  record {names}: addresses, routes, MTU, hardware address, state");
    }
    let _ = writeln!(text, "  load vfio-pci, if it is not loaded");
    if plan.noiommu {
        let _ =
            writeln!(text, "  let vfio do without an IOMMU: the NIC may then write to any memory");
    }
    let _ = writeln!(text, "  set driver_override to vfio-pci");
    if let Some(driver) = &plan.driver {
        let gone = match plan.interfaces.join(", ") {
            names if names.is_empty() => String::new(),
            names => format!("; {names} disappears"),
        };
        let _ = writeln!(text, "  take it from {driver}{gone}");
    }
    let _ = writeln!(text, "  let the kernel probe, see that vfio-pci has it");
    for sibling in &plan.siblings {
        let _ = writeln!(
            text,
            "  not done by this: {sibling} is in the same IOMMU group and must leave its driver too, \
             or no process can open the group"
        );
    }
    text
}
