//! A bridge between two interfaces that delays, loses, reorders, doubles, spoils, throttles and refuses frames: what
//! netem does, for kernels that have none.

mod client;
mod direction;
mod forward;
mod impairment;
mod interface;

pub use client::BridgedClient;
pub use direction::Counts;
pub use forward::Bridge;
pub use impairment::{Impairment, Mtu, Rate, TooBig};

#[cfg(test)]
mod tests;
