//! The whole data path on virtual time: a file for each part of its behaviour. One binary, so that it is
//! linked once; `threads.rs` beside it runs on the real clock and has its cores to itself.

use assert_no_alloc::AllocDisabler;

/// Watches that no turn of a worker allocates or frees, in the tests that seal it: see `allocations::sealed`.
#[global_allocator]
static WATCHED: AllocDisabler = AllocDisabler;

mod acknowledgements;
mod allocations;
mod capacity;
#[path = "../../../../handlers/tests/site/configs.rs"]
mod configs;
mod deadlines;
mod drops;
mod endings;
mod exception;
mod faults;
mod forged;
mod half_open;
mod handshake;
mod link_layer;
mod losses;
mod mad_peers;
mod offload;
mod recovery;
mod segmentation;
mod site;
mod sources;
mod statistics;
