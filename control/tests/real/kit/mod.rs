//! The real binary on a real port, in a network namespace of its own, with real clients.
//!
//! A test calls [`Rig::run`]: it waits for its turn (two tests with links run at a time, unless one wants to be
//! alone), reserves hugepages, makes the link with `deploy/link.sh`, runs the test on a thread inside
//! the namespace, and takes everything back, whether the test ended well or not. In it, [`Server`] is
//! the process under test. What a test needs and does not find (root, hugepages, a tool) fails it with
//! the reason: a test that cannot run is not a test that passed.
//!
//! `POLLUX_BIN` names the binary; without it, the one that cargo built along.

mod client;
mod counting;
mod curl;
mod driver;
mod load;
mod machine;
mod manager;
mod metrics;
mod postgres;
mod rig;
mod server;
mod site;
mod stats;
mod tmux;
mod turn;

pub(crate) use client::{Client, PATIENCE};
pub(crate) use counting::counting_route;
pub(crate) use curl::{Curl, Shown};
pub(crate) use driver::{Drive, Driven, Exchange, Template};
pub(crate) use load::{Load, h2load, wrk};
pub(crate) use machine::{Hugepages, Running, Tool, binary, raise_file_limit, script};
pub(crate) use manager::{Manager, Message};
pub(crate) use metrics::{LISTEN, Scrape, probe};
pub(crate) use postgres::Postgres;
pub(crate) use rig::{APPLIANCE, HOST, Kind, PORT, Rig, RigPlan};
pub(crate) use server::{Server, ServerPlan};
pub(crate) use site::SampleSite;
pub(crate) use stats::Stats;
pub(crate) use tmux::Tmux;
pub(crate) use turn::Company;
