//! Puts the settings of an interface back after its driver has it again.

use std::path::Path;
use std::time::Duration;

use super::error::NicError;
use super::machine::Machine;
use super::network::Change;
use super::pci;
use super::ports::Port;
use super::record::{InterfaceRecord, Record};
use super::snapshot::{Namespace, NetAddress, NetLink, Snapshot};
use crate::human;

/// What was done, in words, each of them a line for the operator.
pub(crate) type Done = Vec<String>;

/// Waits for the interfaces of `address` and puts back what the record has of them.
///
/// # Errors
/// There is no interface in time, or the kernel refuses a setting.
pub(crate) fn interfaces(
    machine: &impl Machine,
    address: &str,
    driver: &str,
    record: Option<&Record>,
    probed: bool,
    done: &mut Done,
) -> Result<(), NicError> {
    let wanted = record.map_or(&[][..], |record| &record.interfaces);
    if wanted.is_empty() && !probed {
        return Ok(());
    }
    let least = wanted.len().max(1);
    let found = machine.wait_for(INTERFACE_WAIT, || {
        let found = find(machine, address)?;
        Ok((found.len() >= least).then_some(found))
    })?;
    let Some(found) = found else {
        if wanted.is_empty() {
            done.push(format!("{address}: {driver} gave it no interface"));
            return Ok(());
        }
        return Err(NicError::NoInterface {
            address: address.to_owned(),
            driver: driver.to_owned(),
            seconds: INTERFACE_WAIT.as_secs(),
        });
    };
    let was_taken = probed || record.is_some_and(|record| record.bound);
    let found = if was_taken && !can_be_reset(machine, address) {
        stop(machine, address, &found, done)?;
        find(machine, address)?
    } else {
        found
    };
    if wanted.is_empty() {
        let names = found.iter().map(|at| at.link.name.as_str()).collect::<Vec<_>>().join(", ");
        done.push(format!("{address}: {names} is there; no record says what it was like"));
        return Ok(());
    }
    let elapsed = record.map_or(0, |record| machine.now().saturating_sub(record.written));
    let mut lost = Vec::new();
    for (at, interface) in wanted.iter().enumerate() {
        let of_mac = found.iter().find(|now| now.link.mac == interface.mac);
        let Some(now) = of_mac.or_else(|| found.get(at)) else { continue };
        one(machine, address, interface, now, elapsed, done, &mut lost)?;
    }
    if lost.is_empty() {
        return Ok(());
    }
    Err(NicError::NotRestored { address: address.to_owned(), lost: lost.join("; ") })
}

/// Whether the kernel can reset the device, and so did when whoever had it let go.
fn can_be_reset(machine: &impl Machine, address: &str) -> bool {
    machine.host().exists(&format!("{}/reset", pci::directory(address)))
}

/// Has the driver start and stop the device. One that cannot be reset may still be running for a process
/// that was killed, with that one's rings; vmxnet3 then takes no others, until it is stopped.
fn stop(
    machine: &impl Machine,
    address: &str,
    found: &[Found],
    done: &mut Done,
) -> Result<(), NicError> {
    for Found { namespace, link } in found {
        let set = |up| {
            machine.apply(namespace.path.as_deref(), link.index, &Change::Up(up)).map_err(|error| {
                NicError::Step {
                    address: address.to_owned(),
                    step: format!("ip link set {} {}", link.name, if up { "up" } else { "down" }),
                    why: error.to_string(),
                }
            })
        };
        if !link.up {
            set(true)?;
        }
        set(false)?;
        if link.up {
            set(true)?;
        }
        done.push(format!("{address}: {} was stopped once: it cannot be reset", link.name));
    }
    Ok(())
}

/// An interface as it is now.
struct Found {
    namespace: Namespace,
    link: NetLink,
}

fn find(machine: &impl Machine, address: &str) -> Result<Vec<Found>, NicError> {
    let namespaces = machine.namespaces()?;
    let devices = pci::read_all(machine.host());
    let Some(device) = devices.into_iter().find(|device| device.address == address) else {
        return Ok(Vec::new());
    };
    let mut snapshot = Snapshot { namespaces, ..Snapshot::default() };
    // Kernels before 5.14 tell the parent by sysfs only.
    for link in snapshot.namespaces.iter_mut().take(1).flat_map(|here| &mut here.links) {
        if link.parent.is_none() {
            link.parent = machine.host().target(&format!("sys/class/net/{}/device", link.name));
        }
    }
    let port = Port::new(&snapshot, &device);
    // What only a process holds cannot be entered by a path that lasts.
    let reachable =
        port.own().filter(|(at, _)| *at == 0 || snapshot.namespaces[*at].path.is_some());
    let found = reachable
        .map(|(at, link)| Found { namespace: snapshot.namespaces[at].clone(), link: link.clone() });
    Ok(found.collect())
}

/// Puts one interface back; what the kernel refuses goes into `lost`.
fn one(
    machine: &impl Machine,
    address: &str,
    interface: &InterfaceRecord,
    now: &Found,
    elapsed: u64,
    done: &mut Done,
    lost: &mut Vec<String>,
) -> Result<(), NicError> {
    let moved;
    let mut now = named_by_others(machine, address, interface, now)?;
    if let Some(path) = interface.namespace.as_deref()
        && now.namespace.path.as_deref() != Some(path)
    {
        let change = Change::Namespace(path.to_owned());
        if let Err(error) = machine.apply(None, now.link.index, &change) {
            lost.push(format!("{} into {}: {error}", interface.name, path.display()));
            return Ok(());
        }
        done.push(format!("{address}: {} moved into {}", now.link.name, path.display()));
        let of_path = |found: &Found| found.namespace.path.as_deref() == Some(path);
        moved = find(machine, address)?.into_iter().find(of_path);
        let Some(found) = moved else {
            lost.push(format!("{} is not in {}", interface.name, path.display()));
            return Ok(());
        };
        now = found;
    }
    let taken = now
        .namespace
        .links
        .iter()
        .any(|other| other.name == interface.name && other.index != now.link.index);
    if taken {
        lost.push(format!("the name {}: another interface has it", interface.name));
    }
    let namespace: Option<&Path> = now.namespace.path.as_deref();
    for change in changes(interface, &now.link, &now.namespace.addresses, elapsed, !taken) {
        let spelled = spell(&change, interface);
        match machine.apply(namespace, now.link.index, &change) {
            Ok(()) => done.push(format!("{address}: {spelled}")),
            Err(error) => lost.push(format!("{spelled}: {error}")),
        }
    }
    if let Some(master) = &interface.master {
        done.push(format!(
            "{address}: {} was a member of {master}: put it back there yourself, with \
             `ip link set {} master {master}`",
            interface.name, interface.name
        ));
    }
    Ok(())
}

/// The interface after udev had its time to give it the name it had.
fn named_by_others(
    machine: &impl Machine,
    address: &str,
    interface: &InterfaceRecord,
    now: &Found,
) -> Result<Found, NicError> {
    let mut last = Found { namespace: now.namespace.clone(), link: now.link.clone() };
    let index = last.link.index;
    machine.wait_for(NAME_WAIT, || {
        if last.link.name == interface.name {
            return Ok(Some(()));
        }
        let mut found = find(machine, address)?.into_iter();
        if let Some(found) = found.find(|found| found.link.index == index) {
            last = found;
        }
        Ok((last.link.name == interface.name).then_some(()))
    })?;
    Ok(last)
}

/// What has to change, in an order that the kernel takes.
pub(crate) fn changes(
    interface: &InterfaceRecord,
    now: &NetLink,
    addresses: &[NetAddress],
    elapsed: u64,
    may_rename: bool,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let rename = may_rename && now.name != interface.name;
    let mac = now.mac != interface.mac && !interface.mac.is_empty();
    if now.up && (rename || mac) {
        changes.push(Change::Up(false));
    }
    if rename {
        changes.push(Change::Name(interface.name.clone()));
    }
    if mac {
        changes.push(Change::Mac(interface.mac.clone()));
    }
    if now.mtu != interface.mtu {
        changes.push(Change::Mtu(interface.mtu));
    }
    if now.tx_queue_len != interface.tx_queue_len {
        changes.push(Change::TxQueueLen(interface.tx_queue_len));
    }
    if interface.promiscuous && !now.promiscuous {
        changes.push(Change::Promiscuous);
    }
    let goes_down = changes.contains(&Change::Up(false));
    if (interface.up && !now.up) || (now.up && goes_down) {
        changes.push(Change::Up(true));
    }
    let has = |wanted: &NetAddress| {
        addresses.iter().any(|held| {
            held.index == now.index
                && (held.address, held.prefix) == (wanted.address, wanted.prefix)
        })
    };
    for wanted in &interface.addresses {
        let temporary = wanted.address.is_ipv6() && wanted.flags & IFA_F_TEMPORARY != 0;
        if temporary || (has(wanted) && !goes_down) {
            continue;
        }
        let mut wanted = wanted.clone();
        if let Some((valid, preferred)) = wanted.lifetimes {
            let gone = u32::try_from(elapsed).unwrap_or(u32::MAX);
            if valid <= gone {
                continue;
            }
            let preferred =
                if preferred == u32::MAX { preferred } else { preferred.saturating_sub(gone) };
            wanted.lifetimes = Some((valid - gone, preferred));
        }
        changes.push(Change::Address(wanted));
    }
    // Routes without a gateway first: the others need them.
    let (routed, direct): (Vec<_>, Vec<_>) =
        interface.routes.iter().partition(|route| route.text.contains(" via "));
    changes.extend(direct.into_iter().chain(routed).map(|route| Change::Route {
        text: route.text.clone(),
        message: route.message.clone(),
        from: interface.index,
    }));
    changes
}

/// A change, for a message.
fn spell(change: &Change, interface: &InterfaceRecord) -> String {
    let name = &interface.name;
    match change {
        Change::Name(new) => format!("named {new}"),
        Change::Mac(mac) => format!("{name} has the hardware address {}", human::mac(mac)),
        Change::Mtu(mtu) => format!("{name} has MTU {mtu}"),
        Change::TxQueueLen(len) => format!("{name} has a queue of {len}"),
        Change::Promiscuous => format!("{name} is promiscuous"),
        Change::Up(true) => format!("{name} is up"),
        Change::Up(false) => format!("{name} is down for a moment"),
        Change::Namespace(path) => format!("{name} moved into {}", path.display()),
        Change::Address(held) => format!("{name} has {}/{}", held.address, held.prefix),
        Change::Route { text, .. } => format!("{name} has the route `{text}`"),
    }
}

const INTERFACE_WAIT: Duration = Duration::from_secs(10);
/// udev names an interface within this time, or not at all.
const NAME_WAIT: Duration = Duration::from_secs(2);
/// The kernel makes such addresses itself, from a router's advertisement.
const IFA_F_TEMPORARY: u32 = 1;

#[cfg(test)]
mod tests {
    use super::super::testkit::{MAC, address, link};
    use super::*;
    use crate::nic::record::RouteRecord;

    fn record() -> InterfaceRecord {
        let now = link(2, "eth0", "");
        InterfaceRecord {
            name: now.name,
            up: true,
            mac: MAC.to_vec(),
            ..InterfaceRecord::default()
        }
    }

    #[test]
    fn an_interface_that_is_as_it_was_is_left_alone() {
        let now = NetLink { mac: MAC.to_vec(), ..link(9, "eth0", "") };
        let wanted = InterfaceRecord { addresses: vec![address(2, "10.0.0.5/24")], ..record() };
        assert_eq!(changes(&wanted, &now, &[address(9, "10.0.0.5/24")], 0, true), []);
        let missing = changes(&wanted, &now, &[address(8, "10.0.0.5/24")], 0, true);
        assert_eq!(missing, [Change::Address(address(2, "10.0.0.5/24"))]);
    }

    #[test]
    fn name_and_hardware_address_are_changed_while_it_is_down() {
        let now = NetLink { mac: vec![9; 6], promiscuous: false, ..link(9, "eth7", "") };
        let wanted = InterfaceRecord { promiscuous: true, ..record() };
        let expected = [
            Change::Up(false),
            Change::Name("eth0".into()),
            Change::Mac(MAC.to_vec()),
            Change::Promiscuous,
            Change::Up(true),
        ];
        assert_eq!(changes(&wanted, &now, &[], 0, true), expected);
        // What was down stays down.
        let wanted = InterfaceRecord { up: false, ..record() };
        let now = NetLink { up: false, mac: MAC.to_vec(), ..now };
        assert_eq!(changes(&wanted, &now, &[], 0, true), [Change::Name("eth0".into())]);
        assert_eq!(changes(&wanted, &now, &[], 0, false), []);
    }

    #[test]
    fn leases_go_on_and_end() {
        let now = NetLink { mac: MAC.to_vec(), ..link(9, "eth0", "") };
        let lease = NetAddress { lifetimes: Some((100, 60)), ..address(2, "10.0.0.5/24") };
        let temporary = NetAddress { flags: IFA_F_TEMPORARY, ..address(2, "fd00::77/64") };
        let wanted = InterfaceRecord { addresses: vec![lease.clone(), temporary], ..record() };
        let left = NetAddress { lifetimes: Some((20, 0)), ..lease };
        assert_eq!(changes(&wanted, &now, &[], 80, true), [Change::Address(left)]);
        assert_eq!(changes(&wanted, &now, &[], 100, true), []);
    }

    #[test]
    fn routes_through_a_gateway_come_last() {
        let now = NetLink { mac: MAC.to_vec(), ..link(9, "eth0", "") };
        let route = |text: &str| RouteRecord { text: text.into(), message: String::new() };
        let routes = vec![route("default via 10.9.0.1"), route("10.9.0.0/16")];
        let wanted = InterfaceRecord { routes, index: 2, ..record() };
        let texts: Vec<_> = changes(&wanted, &now, &[], 0, true)
            .into_iter()
            .map(|change| spell(&change, &wanted))
            .collect();
        let expected =
            ["eth0 has the route `10.9.0.0/16`", "eth0 has the route `default via 10.9.0.1`"];
        assert_eq!(texts, expected);
    }
}
