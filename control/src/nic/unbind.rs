//! Gives a NIC back to the kernel: clear the override, take it from vfio-pci, let the kernel probe, see
//! that a driver has it, wait for its interface, put its settings back.
//!
//! Every step looks first at what is: an unbind that was cut short is finished by another, and one of a
//! NIC that is the kernel's changes nothing.

use std::time::Duration;

use super::decide::USER_DRIVERS;
use super::error::NicError;
use super::holders;
use super::machine::Machine;
use super::pci;
use super::record::{Record, Store};
use super::restore::{self, Done};
use super::sysfs::{NOIOMMU, PROBE, noiommu_mode, write};

/// Gives `address` back, with the help of its record if there is one, and removes that.
///
/// # Errors
/// A step failed, or a process has the device open. The record stays.
pub(crate) fn give_back(
    machine: &impl Machine,
    store: &Store,
    address: &str,
    record: Option<&Record>,
) -> Result<Done, NicError> {
    let mut done = Done::new();
    let was_taken = is_taken(machine, address);
    if was_taken {
        wait_until_closed(machine, address)?;
    }
    let probed = to_driver(machine, address, record, &mut done)?;
    let driver = pci::driver(machine.host(), address);
    let interfaces = record.map_or(&[][..], |record| &record.interfaces);
    match &driver {
        Some(driver) => restore::interfaces(machine, address, driver, record, probed, &mut done)?,
        None if interfaces.is_empty() => done.push(format!("{address}: no driver wants it")),
        None => {
            let had = record.and_then(|record| record.driver.as_deref()).unwrap_or("a driver");
            return Err(NicError::Step {
                address: address.to_owned(),
                step: format!("letting the kernel look for its driver ({had} before)"),
                why: format!("it is on none; `modprobe {had}` and `pollux nic unbind {address}`"),
            });
        }
    }
    noiommu_back(machine, store, address, record)?;
    store.remove(address)?;
    if done.is_empty() {
        let driver = driver.unwrap_or_default();
        done.push(format!("{address}: is on {driver}, its kernel driver; nothing to undo"));
    }
    Ok(done)
}

/// Whether a driver for user space has the device.
fn is_taken(machine: &impl Machine, address: &str) -> bool {
    let driver = pci::driver(machine.host(), address);
    driver.is_some_and(|driver| USER_DRIVERS.contains(&driver.as_str()) || driver == STUB)
}

/// A process that just ended lets go of the device a moment later.
fn wait_until_closed(machine: &impl Machine, address: &str) -> Result<(), NicError> {
    let host = machine.host();
    let closed =
        machine.wait_for(CLOSE_WAIT, || Ok(holders::of(host, address).is_none().then_some(())))?;
    match (closed, holders::of(host, address)) {
        (None, Some(holders)) => Err(NicError::Busy {
            address: address.to_owned(),
            node: holders.node,
            holder: holders
                .processes
                .iter()
                .map(|p| host.spell_process(*p))
                .collect::<Vec<_>>()
                .join(", "),
        }),
        _ => Ok(()),
    }
}

/// Until a driver of the kernel has the device; whether the kernel had to look for one.
fn to_driver(
    machine: &impl Machine,
    address: &str,
    record: Option<&Record>,
    done: &mut Done,
) -> Result<bool, NicError> {
    let host = machine.host();
    let directory = pci::directory(address);
    let before = record.and_then(|record| record.driver_override.as_deref());
    let before = before.filter(|name| !USER_DRIVERS.contains(name) && *name != STUB);
    if pci::driver_override(host, address).as_deref() != before {
        // A line feed clears it.
        let value = before.unwrap_or("\n");
        write(machine, address, &format!("{directory}/driver_override"), value)?;
        done.push(format!("{address}: driver_override is {}", before.unwrap_or("cleared")));
    }
    if is_taken(machine, address) {
        let taken = pci::driver(host, address).unwrap_or_default();
        write(machine, address, &format!("{directory}/driver/unbind"), address)?;
        done.push(format!("{address}: taken from {taken}"));
    }
    if pci::driver(host, address).is_some() {
        return Ok(false);
    }
    let probe = || write(machine, address, PROBE, address);
    let mut probed = probe();
    if pci::driver(host, address).is_none() {
        let had = record.and_then(|record| record.driver.as_deref());
        let alias = host.text(&format!("{directory}/modalias")).ok().flatten();
        let modules = had.into_iter().chain(alias.as_deref());
        if modules.filter(|module| machine.load(module).is_ok()).count() > 0 {
            probed = probe();
        }
    }
    match (pci::driver(host, address), probed) {
        (Some(driver), _) => done.push(format!("{address}: on {driver}")),
        (None, Err(error)) => return Err(error),
        (None, Ok(())) => {}
    }
    Ok(true)
}

/// Puts vfio's mode without an IOMMU back, unless another NIC is bound that needs it.
fn noiommu_back(
    machine: &impl Machine,
    store: &Store,
    address: &str,
    record: Option<&Record>,
) -> Result<(), NicError> {
    let Some(before) = record.and_then(|record| record.noiommu_before.as_deref()) else {
        return Ok(());
    };
    for other in store.addresses()?.iter().filter(|other| *other != address) {
        if let Some(mut other) = store.read(other)? {
            // The last one that goes puts it back.
            if other.noiommu_before.is_none() {
                other.noiommu_before = Some(before.to_owned());
                store.write(&other)?;
            }
            return Ok(());
        }
    }
    if noiommu_mode(machine).is_some_and(|mode| mode != before) {
        write(machine, address, NOIOMMU, before)?;
    }
    Ok(())
}

/// Takes a device from every driver.
const STUB: &str = "pci-stub";
const CLOSE_WAIT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests;
