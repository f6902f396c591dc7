//! Packet formats and the checks on them: Ethernet, ARP, IPv4, ICMP echo, TCP headers.
//!
//! Nothing here knows of connections. [`filter`] classifies a received frame or names the [`drop_reason`];
//! [`interface`] sends what needs no socket.

pub(crate) mod arp;
pub(crate) mod checksum;
pub(crate) mod drop_reason;
pub(crate) mod ethernet;
pub(crate) mod filter;
mod icmp;
pub(crate) mod interface;
pub(crate) mod neighbours;
pub(crate) mod network;
mod reply_limit;
pub(crate) mod segment;
pub(crate) mod syn;
pub(crate) mod syn_options;
pub(crate) mod tuple;
