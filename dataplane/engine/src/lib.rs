//! One core of the appliance: worker loop, guard, flow table, smoltcp, timers, counters.
//!
//! Nothing here blocks, locks, logs, makes a system call or allocates after start, and nothing here
//! knows DPDK or tokio: the wire is a [`Nic`], the application an [`http1::Service`], time and
//! randomness are arguments. Start with [`Worker::turn`].
#![forbid(unsafe_code)]

mod arp;
mod buffer;
mod checksum;
mod coalesce;
mod conn;
mod echo;
mod ethernet;
pub mod exception;
mod flow;
mod guard;
pub mod latency;
pub mod limits;
pub mod link;
mod loss;
mod nic;
mod now;
mod plan;
mod recovery;
mod run_queue;
mod segment;
mod serve;
pub mod sleep;
pub mod spread;
mod stack;
mod stats;
mod time_wait;
mod timer;
mod tuple;
mod wire;
mod worker;

pub use arp::AddressProbe;
pub use buffer::Buffer;
pub use latency::{Histogram, Latencies};
pub use link::ConnId;
pub use nic::{BURST_MAX, Burst, Capabilities, Frame, Nic, NicLosses, RxChecksums, TxOffload};
pub use now::Now;
pub use plan::{CorePlan, Deadlines};
pub use stats::{CoreStats, Counter, Kind, Reading};
pub use worker::Worker;
