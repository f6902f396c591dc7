//! Two machines with Pollux behind a router, and clients that notice everything.

mod net;
mod visitors;

pub(crate) use net::{Frr, Net, SERVICE};
pub(crate) use visitors::{FILLING, Visitors};
