//! What the appliance says: routes, stored and rendered responses. No I/O, no clock.
//!
//! A [`SiteConfig`](config::SiteConfig) (routes as configured, with every file read by someone else)
//! becomes a [`Site`] once; a site is immutable and shared by every connection of every core. An
//! [`SiteHandle`] of it implements [`http1::Service`]; what a core cannot answer becomes an [`Offload`].
//!
//! Read `README.md` for the kinds of routes and the decisions behind them.
#![forbid(unsafe_code)]

mod coding;
pub mod config;
mod dataset;
mod error;
mod error_responses;
mod fields;
mod files;
mod fixed;
mod hash;
mod head;
mod inputs;
mod media;
mod methods;
mod offload;
mod planner;
pub mod query;
mod rendered;
mod request_buffer;
mod router;
pub mod sample;
mod site;
mod site_handle;
mod source;
mod store;
mod sum;
mod traffic;

pub use config::SiteConfig;
pub use error::BuildError;
pub use inputs::{CAPTURES_MAX, Inputs};
pub use media::media_type;
pub use methods::Methods;
pub use offload::{Compression, JobKind, Offload};
pub use rendered::RenderedResponse;
pub use request_buffer::RequestBufferPool;
pub use site::{Invalidation, Response, Site, Work};
pub use site_handle::SiteHandle;
pub use source::{Bytes, Named, SourceFile};
pub use traffic::{RouteKind, RouteName, Traffic};
