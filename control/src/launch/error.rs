//! Why the appliance did not start. Every message says what to do.

use std::io;
use std::net::Ipv4Addr;

use dpdk::{AdoptError, ArenaError, EalError, OpenError, StartError};

use super::hugepage_shortage::HugepageShortage;
use super::memory_requirement::MemoryRequirement;
use super::remedy;
use crate::exception::ExceptionError;
use crate::failure::CommandError;
use crate::human;
use crate::link::{LockError, NoLink, QueueMismatch};

/// A start that failed. Whatever had been taken is released.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// `--link auto` found nothing.
    #[error(transparent)]
    NoLink(#[from] NoLink),
    /// Queues and workers do not fit.
    #[error(transparent)]
    Queues(#[from] QueueMismatch),
    /// There is no exception interface.
    #[error(transparent)]
    Exception(#[from] ExceptionError),
    /// DPDK did not start.
    #[error("{0}")]
    Eal(EalError),
    /// There is no hugepage, or too few for frames.
    #[error("{cause}. {shortage}")]
    Hugepages { cause: String, shortage: Box<HugepageShortage> },
    /// The process may not take the link.
    #[error("{link}: {lacking}")]
    Rights { link: String, lacking: String },
    /// Another server has the link.
    #[error("{link}: {cause}")]
    Locked { link: String, cause: LockError },
    /// The port that was named cannot be opened.
    #[error("{link}: {cause}{}", remedy::of_open(cause))]
    Open { link: String, cause: OpenError },
    /// The kernel takes nothing from a vhost link.
    #[error("{link}: {reason}")]
    Vhost { link: String, reason: String },
    /// Of the links that seemed to work none could be opened.
    #[error("no kernel link could be opened: {}", attempts.join("; "))]
    NoneOpened { attempts: Vec<String> },
    /// The port does not start.
    #[error("{link}: {cause}{}", remedy::of_start(cause))]
    Start { link: String, cause: StartError },
    /// Somebody answers for our address.
    #[error(
        "{address} is in use on the wire by {}; choose another with --address, or say --set \
         listen.probe=false if that is a proxy",
        human::mac(mac)
    )]
    AddressInUse { address: Ipv4Addr, mac: [u8; 6] },
    /// The kernel gives no randomness.
    #[error("no randomness from the operating system: {0}")]
    Randomness(getrandom::Error),
    /// No memory for socket buffers.
    #[error("memory for socket buffers: {0}; lower limits.connections or the buffers' sizes")]
    Buffers(ArenaError),
    /// No thread for a worker.
    #[error("core {core}: a thread for its worker could not be made: {cause}")]
    Thread { core: usize, cause: io::Error },
    /// Too few files may be open.
    #[error(
        "this process may open {limit} files and cannot raise that limit, and a server takes about \
         {needed}: `ulimit -n {needed}`, or LimitNOFILE={needed} in a systemd unit"
    )]
    OpenFiles { limit: u64, needed: u64 },
    /// No file descriptor for a worker to wait on.
    #[error("no file descriptor for a worker: {0}; raise the limit of open files (ulimit -n)")]
    Descriptor(io::Error),
    /// A worker's thread could not be bound to its core.
    #[error("{0}; choose other cores with --cores")]
    Adopt(AdoptError),
    /// A worker's thread ended before it was ready.
    #[error("core {core}: its worker ended before it was ready; the log above says why")]
    Lost { core: usize },
}

impl LaunchError {
    /// Too few hugepages for a plan that needs `requirement`.
    pub(super) fn hugepages(cause: impl Into<String>, requirement: MemoryRequirement) -> Self {
        let shortage = Box::new(HugepageShortage::find(requirement));
        Self::Hugepages { cause: cause.into(), shortage }
    }
}

impl CommandError for LaunchError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_in_use_names_its_owner_and_the_way_out() {
        let error = LaunchError::AddressInUse {
            address: Ipv4Addr::new(198, 18, 0, 2),
            mac: [2, 0xab, 0, 0, 0, 1],
        };
        assert_eq!(
            error.to_string(),
            "198.18.0.2 is in use on the wire by 02:ab:00:00:00:01; choose another with --address, \
             or say --set listen.probe=false if that is a proxy"
        );
    }
}
