//! Whether a NIC may be bound: a pure function from a [`Snapshot`] to a plan or to refusals.

use super::ports::{Port, spell_link};
use super::rule::Rule;
use super::snapshot::{NetLink, PciDevice, Snapshot};

/// A rule that speaks against binding, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The rule.
    pub(crate) rule: Rule,
    /// What it found, for a message.
    pub(crate) why: String,
}

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    /// Rules that do not count.
    pub(crate) force: Vec<Rule>,
    /// To do without an IOMMU.
    pub(crate) unsafe_noiommu: bool,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// PCI address.
    pub(crate) address: String,
    /// The driver it is taken from.
    pub(crate) driver: Option<String>,
    /// Interfaces that disappear.
    pub(crate) interfaces: Vec<String>,
    /// Whether vfio has to be allowed to do without an IOMMU.
    pub(crate) noiommu: bool,
    /// Rules that would have refused, had they not been overridden.
    pub(crate) overridden: Vec<Refusal>,
    /// Other devices of the group that are on drivers of the kernel.
    pub(crate) siblings: Vec<String>,
}

/// Why nothing is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The driver of the kernel and DPDK's share this NIC.
    Shared(String),
    /// It is on a driver for user space already.
    AlreadyBound(String),
    /// There is no IOMMU, and it was not said to do without.
    NoIommu,
    /// Rules.
    Rules(Vec<Refusal>),
}

/// Drivers that hand a device to a process.
pub(crate) const USER_DRIVERS: &[&str] = &["vfio-pci", "uio_pci_generic", "igb_uio"];
/// Drivers of the kernel that DPDK's own driver works beside.
pub(crate) const SHARED_DRIVERS: &[&str] = &["mlx4_core", "mlx5_core"];
/// Drivers that leave a device's IOMMU group to whoever holds the others.
const GROUP_DRIVERS: &[&str] = &["vfio-pci", "pci-stub", "pcieport"];

/// Plans the binding of `device`.
///
/// # Errors
/// It must not be bound, for all the reasons there are.
pub(crate) fn decide(
    snapshot: &Snapshot,
    device: &PciDevice,
    allowed: &Allowed,
) -> Result<Plan, Refused> {
    match device.driver.as_deref() {
        Some(driver) if SHARED_DRIVERS.contains(&driver) => {
            return Err(Refused::Shared(driver.to_owned()));
        }
        Some(driver) if USER_DRIVERS.contains(&driver) => {
            return Err(Refused::AlreadyBound(driver.to_owned()));
        }
        _ => {}
    }
    let (overridden, refusals): (Vec<_>, Vec<_>) = objections(snapshot, device)
        .into_iter()
        .partition(|refusal| allowed.force.contains(&refusal.rule));
    if !refusals.is_empty() {
        return Err(Refused::Rules(refusals));
    }
    let noiommu = device.iommu_group.is_none();
    if noiommu && !allowed.unsafe_noiommu {
        return Err(Refused::NoIommu);
    }
    let port = Port::new(snapshot, device);
    Ok(Plan {
        address: device.address.clone(),
        driver: device.driver.clone(),
        interfaces: port.own().map(|(_, link)| link.name.clone()).collect(),
        noiommu,
        overridden,
        siblings: siblings(snapshot, device).map(|d| d.address.clone()).collect(),
    })
}

/// Every rule that speaks against binding `device`, in the order of [`Rule::ALL`].
pub(crate) fn objections(snapshot: &Snapshot, device: &PciDevice) -> Vec<Refusal> {
    let port = Port::new(snapshot, device);
    let judged = Rule::ALL.iter().copied().flat_map(|rule| {
        let reasons = match rule {
            Rule::DefaultRoute => default_route(snapshot, &port),
            Rule::SshSession => ssh_session(snapshot, &port),
            Rule::Address => address(snapshot, device, &port),
            Rule::UpperDevice => upper_device(&port),
            Rule::NetworkRoot => network_root(snapshot, &port),
            Rule::OnlyCarrier => only_carrier(snapshot, device, &port),
            Rule::IommuGroup => iommu_group(snapshot, device),
        };
        reasons.into_iter().map(move |why| Refusal { rule, why })
    });
    judged.collect()
}

fn default_route(snapshot: &Snapshot, port: &Port<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for (at, namespace) in snapshot.namespaces.iter().enumerate() {
        for route in namespace.routes.iter().filter(|route| route.default) {
            if route.over.is_empty() && port.is_in(at) {
                let why = "its next hop cannot be read, and may be this port";
                reasons.push(format!("the route `{}`: {why}", route.text));
            } else if let Some(link) = route.over.iter().find_map(|index| port.carries(at, *index))
            {
                let over = spell_link(namespace, link);
                reasons.push(format!("the route `{}` leads over {over}", route.text));
            }
        }
    }
    reasons
}

fn ssh_session(snapshot: &Snapshot, port: &Port<'_>) -> Vec<String> {
    let Some(here) = snapshot.namespaces.first() else { return Vec::new() };
    let mut reasons = Vec::new();
    for session in &snapshot.sessions {
        let holder = here.addresses.iter().find(|held| held.address == session.local);
        let indexes = holder.map(|held| held.index).into_iter().chain(session.over);
        if let Some(link) = indexes.filter_map(|index| port.carries(0, index)).next() {
            reasons.push(format!(
                "the SSH session from {} to {} comes in over {}",
                session.peer, session.local, link.name
            ));
        }
    }
    reasons.sort_unstable();
    reasons.dedup();
    reasons
}

fn address(snapshot: &Snapshot, device: &PciDevice, port: &Port<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for (at, namespace) in snapshot.namespaces.iter().enumerate() {
        for held in namespace.addresses.iter().filter(|held| !held.is_link_local_v6()) {
            if let Some(link) = port.carries(at, held.index) {
                let on = spell_link(namespace, link);
                reasons.push(format!("{on} has the address {}/{}", held.address, held.prefix));
            }
        }
    }
    let away = port.own().filter(|(at, _)| *at != 0);
    for (at, link) in away {
        let name = &snapshot.namespaces[at].name;
        reasons.push(format!("its interface {} was given to {name}", link.name));
    }
    if let (Some(driver), None) = (&device.driver, port.own().next()) {
        let why = "and no interface of it is in any namespace that can be seen from here";
        reasons.push(format!("it is on the driver {driver}, {why}"));
    }
    reasons
}

fn upper_device(port: &Port<'_>) -> Vec<String> {
    let mut reasons: Vec<_> = port
        .above()
        .map(|(_, link)| {
            let kind = link.kind.as_deref().unwrap_or("an interface");
            format!("{} ({kind}) is made on it", link.name)
        })
        .collect();
    for (_, link) in port.own() {
        let known = |name: &&String| !port.above().any(|(_, above)| above.name == **name);
        let more = link.uppers.iter().filter(known);
        reasons.extend(more.map(|name| format!("{name} is made on {}, by sysfs", link.name)));
    }
    reasons
}

fn network_root(snapshot: &Snapshot, port: &Port<'_>) -> Vec<String> {
    let Some(root) = &snapshot.network_root else { return Vec::new() };
    let reason = match root.over {
        None => Some(format!(
            "the root file system is on the network ({}), perhaps over this port",
            root.why
        )),
        Some(index) => port.carries(0, index).map(|link| {
            format!("the root file system is reached over {} ({})", link.name, root.why)
        }),
    };
    reason.into_iter().collect()
}

fn only_carrier(snapshot: &Snapshot, device: &PciDevice, port: &Port<'_>) -> Vec<String> {
    let Some((_, link)) = port.own().find(|(_, link)| link.carrier) else { return Vec::new() };
    let mut links = snapshot.namespaces.iter().flat_map(|namespace| &namespace.links);
    let other = |link: &NetLink| {
        link.carrier && link.parent.as_ref().is_some_and(|parent| !device.is_parent(parent))
    };
    if links.any(other) {
        return Vec::new();
    }
    vec![format!("{} is the only NIC of this machine with a carrier", link.name)]
}

fn iommu_group(snapshot: &Snapshot, device: &PciDevice) -> Vec<String> {
    let group = device.iommu_group.unwrap_or_default();
    let reason = |sibling: &PciDevice| {
        let driver = sibling.driver.as_deref().unwrap_or("no driver");
        format!("{} is in its IOMMU group {group} and in use by {driver}", sibling.address)
    };
    siblings(snapshot, device).map(reason).collect()
}

/// Other devices of the group that are on drivers of the kernel.
fn siblings<'a>(
    snapshot: &'a Snapshot,
    device: &'a PciDevice,
) -> impl Iterator<Item = &'a PciDevice> {
    let busy = |driver: &String| !GROUP_DRIVERS.contains(&driver.as_str());
    snapshot.devices.iter().filter(move |other| {
        other.address != device.address
            && device.iommu_group.is_some()
            && other.iommu_group == device.iommu_group
            && !other.is_bridge()
            && other.driver.as_ref().is_some_and(busy)
    })
}

#[cfg(test)]
mod tests;
