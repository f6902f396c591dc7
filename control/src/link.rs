//! Links: how an operator names one, what the host offers, and which one is taken.

mod choose;
mod host;
mod lock;
mod queues;
mod rights;
mod spec;
mod watch;

pub(crate) use choose::{NoLink, choose};
pub(crate) use host::HostLinks;
pub(crate) use lock::{LinkLock, LockError};
pub(crate) use queues::{QueueMismatch, devices_for};
pub(crate) use spec::{Link, LinkSpec};
pub(crate) use watch::{LinkLost, LinkWatch, WatchPlan};
