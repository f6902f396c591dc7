//! One core of the appliance: worker loop, guard, flow table, smoltcp, timers, counters.
//!
//! Nothing here blocks, locks, logs, makes a system call or allocates after start, and nothing here
//! knows DPDK or tokio: the wire is a [`Nic`], the application an [`http1::Service`], time and
//! randomness are arguments. Start with [`Worker::turn`].
#![forbid(unsafe_code)]

mod buffer;
pub mod control_queue;
pub mod exception;
mod http_driver;
pub mod latency;
pub mod limits;
mod nic;
mod now;
mod plan;
mod secret;
pub mod sleep;
mod stats;
mod tcp;
mod wire;
mod worker;

pub use buffer::Buffer;
pub use control_queue::ConnId;
pub use latency::{Histogram, Latencies};
pub use nic::steering;
pub use nic::{BURST_MAX, Burst, Capabilities, Frame, Nic, NicLosses, RxChecksums, TxOffload};
pub use now::Now;
pub use plan::{CorePlan, Deadlines, SourceLimits};
pub use stats::{CoreStats, Counter, Kind, Reading};
pub use wire::arp::AddressProbe;
pub use wire::network::Network;
pub use worker::Worker;
