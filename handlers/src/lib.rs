//! What the appliance says: routes, stored and rendered responses. No I/O, no clock.
//!
//! A [`SiteConfig`](config::SiteConfig) (routes as configured, with every file read by someone else)
//! becomes a [`Site`] once; a site is immutable and shared by every connection of every core. An
//! [`SiteHandle`] of it implements [`http1::Service`]; what a core cannot answer becomes an [`Offload`].
//!
//! Read `README.md` for the kinds of routes and the decisions behind them.
#![forbid(unsafe_code)]

mod build_progress;
mod coding;
mod compile;
pub mod config;
mod error;
mod fields;
mod hash;
mod head;
mod integer;
mod media;
mod methods;
mod offload;
mod parallel;
mod paths;
mod request;
mod response;
mod route;
mod router;
mod routes;
pub mod sample;
mod site;
mod site_handle;
mod source;
mod store;
mod traffic;
mod values;
mod work;

pub use build_progress::{BuildProgress, BuildReadings};
pub use config::SiteConfig;
pub use error::{BuildError, RouteError, RouteErrorKind, SettingError};
pub use media::media_type;
pub use methods::Methods;
pub use offload::{Compression, JobKind, Offload};
pub use request::{CAPTURES_MAX, Inputs, RequestBufferPool};
pub use response::{RenderedResponse, Response};
pub use routes::query;
pub use site::{Invalidation, Site};
pub use site_handle::SiteHandle;
pub use source::{Bytes, Named, SourceFile};
pub use traffic::{RouteKind, RouteName, Traffic};
pub use values::words::nearest;
pub use work::Work;
