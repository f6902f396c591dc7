//! The other [`engine::Nic`]: an in-memory network with seeded faults, scripted clients, virtual time.
//!
//! Everything is a function of one seed: a test that fails names it, and the seed brings the failure
//! back. Nothing here ships. Read [`Setup`], then [`World`]; `README.md` has a test on one page.
#![forbid(unsafe_code)]

mod appliance;
mod build;
mod bulk;
mod capture;
mod checksum;
mod control;
mod dialog;
mod host;
mod kernel;
pub mod moved;
mod network;
mod nic;
mod overdue;
pub mod raw;
mod seeds;
mod segmentation;
mod setup;
mod stalls;
mod world;

pub use appliance::{APPLIANCE, HTTP_PORT, UNIX_START};
pub use bulk::{Bulk, BulkResponse, BulkWork, Digest, chunked, download, download_byte};
pub use control::{Control, ControlFn};
pub use dialog::Dialog;
pub use host::{Host, HostPlan, LineId, Phase, Reading};
pub use network::{Fates, Faults, Network, Port};
pub use nic::{Frame, Nic, NicPlan, TxBuffer, Wire};
pub use seeds::for_seeds;
pub use setup::{Seal, Setup};
pub use world::{ConnId, HostId, RawId, TICK, Turn, World};
