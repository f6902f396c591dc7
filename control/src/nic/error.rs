//! Everything that ends a `pollux nic` command before it is done.

use std::io;
use std::path::PathBuf;

use crate::failure::CommandError;

/// Why a NIC was not looked at, bound or given back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NicError {
    /// Not the superuser.
    #[error(
        "{command} changes drivers of the kernel, which only root may: sudo pollux {command} .."
    )]
    NotRoot { command: &'static str },
    /// Nothing of this name.
    #[error(
        "{port}: there is no PCI NIC of this address and no interface of this name that belongs to one; `pollux nic list` shows what there is"
    )]
    UnknownPort { port: String },
    /// A PCI device of another kind.
    #[error(
        "{address}: is a PCI device of class {class:#08x}, not a NIC; `pollux nic list` shows what there is"
    )]
    NotANic { address: String, class: u32 },
    /// An interface that no PCI device has.
    #[error(
        "{port}: this interface belongs to no PCI device, and only PCI NICs are bound; a link such as af_xdp:{port} needs no binding"
    )]
    NotPci { port: String },
    /// A driver of the kernel that DPDK's works beside.
    #[error(
        "{address}: is on {driver}, and stays there: DPDK's driver for it works beside the kernel's, so nothing has to be bound; serve with --link pci:{address}"
    )]
    Shared { address: String, driver: String },
    /// Rules speak against it.
    #[error(
        "{address}: not bound: {reasons}\nWhat is in use would be lost to the kernel. Choose another port, move that away, or override a rule by its name: {fix}"
    )]
    Refused { address: String, reasons: String, fix: String },
    /// No IOMMU group.
    #[error(
        "{address}: is in no IOMMU group: boot with intel_iommu=on (AMD: amd_iommu=on) iommu=pt, or, where there is no IOMMU, say --unsafe-noiommu: the NIC can then write to any memory of this machine"
    )]
    NoIommu { address: String },
    /// A bind that was cut short.
    #[error(
        "{address}: a bind of {since} was not finished or not undone: `pollux nic unbind {address}` first"
    )]
    Unfinished { address: String, since: String },
    /// No vfio-pci.
    #[error(
        "{address}: the driver vfio-pci is not there: `modprobe vfio-pci` {why}; the kernel must be built with CONFIG_VFIO_PCI (Debian: package linux-image-amd64)"
    )]
    NoVfio { address: String, why: String },
    /// A kernel without that mode.
    #[error(
        "{address}: vfio cannot do without an IOMMU: {why}; the kernel must be built with CONFIG_VFIO_NOIOMMU"
    )]
    NoNoiommu { address: String, why: String },
    /// A step failed.
    #[error("{address}: {step}: {why}")]
    Step { address: String, step: String, why: String },
    /// A step failed, and so did going back.
    #[error("{cause}\n{address}: nor was it given back: {undo}; try `pollux nic unbind {address}`")]
    Undo { address: String, cause: Box<Self>, undo: Box<Self> },
    /// Somebody uses it.
    #[error(
        "{address}: {node} is held open by {holder}; end it (a server: `pollux stop`) and unbind again"
    )]
    Busy { address: String, node: String, holder: String },
    /// The driver is back, its interface is not.
    #[error(
        "{address}: is on {driver} again, but has no interface after {seconds} s; the kernel's log (`dmesg`) may say why, and `pollux nic unbind {address}` tries the rest again"
    )]
    NoInterface { address: String, driver: String, seconds: u64 },
    /// Some settings were refused.
    #[error("{address}: is on its driver again, but not all of it was put back: {lost}")]
    NotRestored { address: String, lost: String },
    /// Nothing to confirm.
    #[error(
        "{port}: is not bound by pollux: there is nothing to confirm; its --watchdog may have taken it back (`pollux nic status`)"
    )]
    NothingToConfirm { port: String },
    /// A namespace that cannot be read.
    #[error(
        "the network of {name} cannot be read: {cause}; without it nobody knows what is in use"
    )]
    Namespace { name: String, cause: io::Error },
    /// A file that a decision needs.
    #[error("{why}; without it nobody knows what is in use")]
    Unreadable { why: String },
    /// The state directory.
    #[error("{}: {what}: {cause}", path.display())]
    State { path: PathBuf, what: &'static str, cause: io::Error },
    /// A record that is not one.
    #[error("{}: this record is damaged: {why}; move it away, and `pollux nic unbind {address}` lets the kernel have the NIC", path.display())]
    Damaged { path: PathBuf, address: String, why: String },
    /// Another command works.
    #[error("{}: another `pollux nic` command is at work, for longer than {seconds} s", path.display())]
    Locked { path: PathBuf, seconds: u64 },
    /// No watchdog.
    #[error("{address}: the watchdog did not start, so nothing was done: {why}")]
    Watchdog { address: String, why: String },
}

impl CommandError for NicError {
    fn exit_code(&self) -> u8 {
        if self.is_input() { 2 } else { 1 }
    }
}

impl NicError {
    /// Whether the operator's input is at fault, not this machine.
    pub(crate) fn is_input(&self) -> bool {
        matches!(self, Self::UnknownPort { .. } | Self::NotANic { .. } | Self::NotPci { .. })
    }
}
