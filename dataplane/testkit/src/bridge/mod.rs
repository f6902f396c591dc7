//! A bridge between two interfaces that delays, loses, reorders, doubles, spoils, throttles and refuses frames: what
//! netem does, for kernels that have none.

mod client;
mod direction;
mod forward;
mod impairment;
mod interface;
mod line;

pub use client::BridgedClient;
pub use direction::Counts;
pub use forward::Bridge;
pub use impairment::{Impairment, Mtu, Rate, TooBig};
pub(crate) use interface::Interface;
pub use line::Line;

#[cfg(test)]
mod tests;
