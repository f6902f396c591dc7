//! TCP for many connections: smoltcp for each one, and what smoltcp leaves out.
//!
//! [`stack`] wraps smoltcp; [`connection`] is one connection and [`connections`] all of a core;
//! [`flow`] finds the connection or TIME-WAIT record of a segment.

mod coalesce;
pub(crate) mod connection;
pub(crate) mod connections;
pub(crate) mod flow;
mod recovery;
pub(crate) mod run_queue;
pub(crate) mod stack;
pub(crate) mod time_wait;
pub(crate) mod timer;
