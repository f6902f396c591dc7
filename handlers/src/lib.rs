//! What the appliance says: routes, stored and rendered answers. No I/O, no clock.
//!
//! A [`Blueprint`](blueprint::Blueprint) (routes as configured, with every file read by someone else)
//! becomes a [`Site`] once; a site is immutable and shared by every connection of every core. An
//! [`Edition`] of it implements [`http1::Service`]; what a core cannot answer becomes an [`Ask`].
//!
//! Read `README.md` for the kinds of routes and the decisions behind them.
#![forbid(unsafe_code)]

mod answers;
mod ask;
pub mod blueprint;
mod coding;
mod dataset;
mod edition;
mod error;
mod fields;
mod files;
mod fixed;
mod form;
mod hash;
mod head;
mod inputs;
mod material;
mod media;
mod methods;
mod planner;
pub mod query;
mod rendered;
mod router;
pub mod sample;
mod site;
mod store;
mod sum;
mod traffic;

pub use ask::{Ask, Errand, Press};
pub use blueprint::Blueprint;
pub use edition::Edition;
pub use error::BuildError;
pub use form::FormPool;
pub use inputs::{CAPTURES_MAX, Inputs};
pub use material::{Bytes, Named, SourceFile};
pub use media::media_type;
pub use methods::Methods;
pub use rendered::Rendered;
pub use site::{Invalid, Reply, Site, Work};
pub use traffic::{RouteKind, RouteName, Traffic};
