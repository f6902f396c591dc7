//! What an operator can know of a running server: one [`Report`] of counters, levels, routes and latencies,
//! taken at a moment by loads that no worker notices.
//!
//! The same report is the statistics file, the reply of the admin command `stats`, what `pollux stats` and
//! `pollux top` show, and what `/metrics` says. Names in it stay.

mod collect;
mod command;
mod latency;
mod query;
mod render;
mod report;
mod routes;
mod table;

pub(crate) use collect::{CoreReadings, ServerFacts, Sources, nic};
pub(crate) use command::StatsArgs;
pub(crate) use latency::{LatencyReport, Part, Quantiles};
pub(crate) use query::{StatsError, StatsHandle, StatsQuery};
pub(crate) use report::{CoreReport, Counters, Report, RouteReport, ServerReport};
pub(crate) use report::{is_level, value};
pub(crate) use routes::RouteLedger;
