//! The command line of the binary, without a port: what it prints, refuses and asks of a server that the
//! test plays.
#![forbid(unsafe_code)]

mod admin;
mod check;
mod doctor;
mod environment;
mod help;
mod man;
mod nic;
mod pollux;
mod reload;
mod routes;
mod sample;
