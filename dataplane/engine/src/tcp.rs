//! TCP for many connections: smoltcp for each one, and what smoltcp leaves out.
//!
//! [`stack`] wraps smoltcp; [`connection`] is one connection and [`connections`] all of a core;
//! [`flow_tables`] finds the connection or TIME-WAIT record of a segment, [`admission`] says what becomes of
//! a SYN: it waits in the [`syn_cache`], or is answered with one of the [`syn_cookies`]. [`sources`] says how much one peer address may hold, and [`run_queue`] holds the connections that have
//! something to do.
//!
//! [`sender`] decides what a connection may send and what is lost: [`scoreboard`] has the fate of what is in flight and
//! [`round_trip`] the times, and [`device`] lets leave what smoltcp makes as they say.

pub(crate) mod ack_limit;
pub(crate) mod admission;
mod coalesce;
pub(crate) mod connection;
pub(crate) mod connections;
mod device;
pub(crate) mod flow;
pub(crate) mod flow_tables;
mod generator;
pub(crate) mod initial_sequence;
mod round_trip;
pub(crate) mod run_queue;
mod scoreboard;
pub(crate) mod sender;
mod sent;
pub(crate) mod sources;
pub(crate) mod stack;
pub(crate) mod syn_cache;
pub(crate) mod syn_cookies;
pub(crate) mod time_wait;
pub(crate) mod timer;
