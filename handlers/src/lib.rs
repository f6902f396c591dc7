//! What the appliance says: routes, stored and rendered answers. No I/O, no clock.
//!
//! [`Material`] (raw bytes, read by someone else) becomes a [`Site`] once; a site is immutable and
//! shared by every connection of every core. It implements [`http1::Service`].
//!
//! Read `README.md` for the routes and the decisions behind them.
#![forbid(unsafe_code)]

mod answers;
mod coding;
mod dataset;
mod error;
mod files;
mod hash;
mod head;
mod items;
mod json;
mod material;
mod media;
mod routes;
pub mod sample;
mod site;
mod store;
mod sum;
mod total;

pub use error::BuildError;
pub use material::{Bytes, Material, Named, SourceFile};
pub use site::{Reply, Site, Work};
