//! Takes a NIC from the kernel's driver and gives it to vfio-pci, step by step.
//!
//! The record is on the disk before the first step. Whatever ends this between two steps, even
//! `kill -9`, `unbind` finds a NIC that it can give back.

use std::time::Duration;

use super::decide::Plan;
use super::error::NicError;
use super::machine::Machine;
use super::pci;
use super::record::{Record, Store};
use super::sysfs::{NOIOMMU, PROBE, noiommu_mode, write};
use super::unbind;

/// A step of a bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Load vfio-pci.
    Load,
    /// Let vfio do without an IOMMU.
    AllowNoiommu,
    /// Let no other driver have the device.
    Override,
    /// Take the device from its driver.
    Release,
    /// Let the kernel look for a driver.
    Probe,
    /// See that it is vfio-pci, and that a process can open the device.
    Verify,
}

/// The steps of `plan`, in their order.
pub(crate) fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps = vec![Step::Load];
    if plan.noiommu {
        steps.push(Step::AllowNoiommu);
    }
    steps.push(Step::Override);
    if plan.driver.is_some() {
        steps.push(Step::Release);
    }
    steps.extend([Step::Probe, Step::Verify]);
    steps
}

/// Binds; the record has been written. On an error the NIC is given back.
///
/// # Errors
/// A step failed.
pub(crate) fn bind(
    machine: &impl Machine,
    store: &Store,
    record: &mut Record,
    plan: &Plan,
) -> Result<(), NicError> {
    let done = steps(plan).into_iter().try_for_each(|step| perform(machine, plan, step));
    let done = done.and_then(|()| {
        record.bound = true;
        store.write(record)
    });
    done.map_err(|cause| match unbind::give_back(machine, store, &plan.address, Some(record)) {
        Ok(_) => cause,
        Err(undo) => NicError::Undo {
            address: plan.address.clone(),
            cause: Box::new(cause),
            undo: Box::new(undo),
        },
    })
}

/// Performs one step.
///
/// # Errors
/// It failed; the message names it.
pub(crate) fn perform(machine: &impl Machine, plan: &Plan, step: Step) -> Result<(), NicError> {
    let address = &plan.address;
    let directory = pci::directory(address);
    match step {
        Step::Load => load(machine, address),
        Step::AllowNoiommu => {
            if noiommu_mode(machine).as_deref() == Some("Y") {
                return Ok(());
            }
            machine.write(NOIOMMU, "Y").map_err(|error| NicError::NoNoiommu {
                address: address.clone(),
                why: format!("/{NOIOMMU}: {error}"),
            })
        }
        Step::Override => write(machine, address, &format!("{directory}/driver_override"), DRIVER),
        Step::Release => write(machine, address, &format!("{directory}/driver/unbind"), address),
        Step::Probe => write(machine, address, PROBE, address),
        Step::Verify => verify(machine, address),
    }
}

fn load(machine: &impl Machine, address: &str) -> Result<(), NicError> {
    let there = || machine.host().exists(&format!("sys/bus/pci/drivers/{DRIVER}"));
    if there() {
        return Ok(());
    }
    let why = match machine.load(DRIVER) {
        Ok(()) if there() => return Ok(()),
        Ok(()) => format!("says nothing, but there is no /sys/bus/pci/drivers/{DRIVER}"),
        Err(why) => format!("says: {why}"),
    };
    Err(NicError::NoVfio { address: address.to_owned(), why })
}

fn verify(machine: &impl Machine, address: &str) -> Result<(), NicError> {
    let failed = |why: String| NicError::Step {
        address: address.to_owned(),
        step: "looking whether vfio-pci has it".into(),
        why,
    };
    match pci::driver(machine.host(), address) {
        Some(driver) if driver == DRIVER => {}
        Some(driver) => return Err(failed(format!("it is on {driver}"))),
        None => {
            let why = "it is on no driver; the kernel's log (`dmesg`) says why";
            return Err(failed(why.into()));
        }
    }
    let node = machine.wait_for(NODE_WAIT, || Ok(pci::vfio_node(machine.host(), address)))?;
    match node {
        Some(_) => Ok(()),
        None => Err(failed("there is no node for its IOMMU group below /dev/vfio".into())),
    }
}

/// The driver that hands devices to processes.
pub(crate) const DRIVER: &str = "vfio-pci";
const NODE_WAIT: Duration = Duration::from_secs(2);
