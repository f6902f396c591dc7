//! Attributes below /sys that a NIC is bound and given back with.

use super::error::NicError;
use super::machine::Machine;

/// What vfio does without an IOMMU: `Y` or `N`; `None` where it cannot.
pub(crate) fn noiommu_mode(machine: &impl Machine) -> Option<String> {
    machine.host().text(NOIOMMU).ok().flatten()
}

/// Writes an attribute, with an error that names both.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn write(
    machine: &impl Machine,
    address: &str,
    path: &str,
    value: &str,
) -> Result<(), NicError> {
    machine.write(path, value).map_err(|error| NicError::Step {
        address: address.to_owned(),
        step: format!("writing {:?} to /{path}", value.trim_end()),
        why: error.to_string(),
    })
}

/// Lets the kernel look for a driver of the device whose address is written.
pub(crate) const PROBE: &str = "sys/bus/pci/drivers_probe";
/// Whether vfio does without an IOMMU.
pub(crate) const NOIOMMU: &str = "sys/module/vfio/parameters/enable_unsafe_noiommu_mode";
