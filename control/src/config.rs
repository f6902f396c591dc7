//! Configuration: what an operator may write, and the checked [`Plan`] it becomes.
//!
//! A [`Config`] is text: the values given in a file and on the command line, each with the place it
//! came from. It becomes a [`Plan`] once, at start; nothing else of the program sees a `Config`.

mod error;
mod key;
mod plan;
mod raw;
mod units;

pub(crate) use error::{ConfigError, Place};
pub(crate) use key::Key;
pub(crate) use plan::{CoreTally, Idling, LogFormat, Pages, Pause, Plan};
pub(crate) use raw::Config;
