//! The site through the protocol: request bytes in, answer bytes out.

use assert_no_alloc::AllocDisabler;

/// Watches that no site allocates or frees while it serves: see `client::sealed`.
#[global_allocator]
static WATCHED: AllocDisabler = AllocDisabler;

mod build;
mod client;
mod conditional;
mod configs;
mod dataset;
mod fixed;
mod offload;
mod routes;
mod sources;
