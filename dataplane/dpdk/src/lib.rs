//! Safe owners of what DPDK hands out: the environment ([`Eal`]), ports and their queue pairs
//! ([`Port`], [`QueuePair`]), buffers ([`Pool`]), hugepage memory ([`Arena`]), the clock ([`Tsc`]).
//!
//! The only crate that says `unsafe`. No raw pointer and no errno leaves it. Hardware handles are
//! neither `Copy` nor `Sync`: owning the value is the right to use it, moving it is the hand-over.
//! Read `dataplane/dpdk/README.md` first: who owns and who frees what.

mod arena;
mod device;
mod eal;
mod interface;
mod limits;
mod log;
mod mbuf;
mod pool;
mod port;
mod queue;
mod rtnetlink;
mod thread;
mod tsc;
mod wait;
mod xdp;

pub use arena::{Arena, ArenaError, Backing, HugeBytes};
pub use device::{Device, DeviceError, DeviceKind, MemifRole, VHOST_NET, VHOST_QUEUES_MAX};
pub use eal::{Eal, EalError, EalPlan, Memory, version};
pub use interface::InterfaceState;
pub use mbuf::{RxFrame, TxBuffer};
pub use pool::{Pool, PoolError};
pub use port::{
    Call, FlowSteering, LinkStatus, OpenError, Port, PortInfo, PortPlan, PortStats, Running,
    StartError, StopError, Stopped,
};
pub use queue::QueuePair;
pub use thread::{AdoptError, Adopted, adopt_thread};
pub use tsc::Tsc;
pub use xdp::{XdpError, detach as detach_xdp};
