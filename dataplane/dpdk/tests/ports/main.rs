//! Every kind of port that needs no NIC: a file of tests each. An EAL is of a process, so that each part of
//! each test has a process of its own (`process.rs`).

mod af_packet;
mod af_xdp;
mod frames;
mod memif;
mod process;
mod ring;
mod tap;
mod vhost_user;
