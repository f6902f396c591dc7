//! The real binary on a real port, in a network namespace of its own, with real clients: what `testkit` has
//! not, since nobody else needs it.
//!
//! A test calls [`testkit::Rig::run`]; in it, [`Server`] is the process under test. `POLLUX_BIN` names the
//! binary; without it, the one that cargo built along.

mod binary;
mod counting;
mod curl;
mod driver;
mod load;
mod manager;
mod metrics;
mod server;
mod site;
mod stats;
mod tmux;

pub(crate) use binary::{binary, pollux, raise_file_limit};
pub(crate) use counting::counting_route;
pub(crate) use curl::{Curl, Shown};
pub(crate) use driver::{Drive, Driven, Exchange, Template};
pub(crate) use load::{Load, h2load, wrk};
pub(crate) use manager::{Manager, Message};
pub(crate) use metrics::{LISTEN, Scrape, probe};
pub(crate) use server::{Server, ServerPlan};
pub(crate) use site::SampleSite;
pub(crate) use stats::Stats;
pub(crate) use tmux::Tmux;
