//! Configuration: what an operator may write, and the checked [`Plan`] it becomes.
//!
//! A [`Config`] is text: the values given in a file, in the environment and on the command line, each
//! with the place it came from, and the [`Routes`] of the file. It becomes a [`Plan`] at start and at
//! each reload; nothing else of the program sees a `Config`.

mod diagnostics;
mod effective;
mod environment;
mod error;
mod key;
mod plan;
mod routes;
mod secret;
mod units;
mod values;

pub(crate) use effective::{Effective, FileNumbers, Origin, Setting};
pub(crate) use environment::Environment;
pub(crate) use error::{ConfigError, Place};
pub(crate) use key::Key;
#[cfg(test)]
pub(crate) use plan::DotNames;
pub(crate) use plan::{
    ComputePlan, CoreTally, FilesPlan, Idling, Links, Offloads, Pages, Pause, Plan, PostgresPlan,
    SqlitePlan, Unreadable,
};
pub(crate) use routes::{RouteEntry, Routes, method_names};
pub(crate) use secret::conceal;
pub(crate) use units::{duration as parse_time, spell as spell_time};
pub(crate) use values::Config;
