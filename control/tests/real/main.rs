//! The real binary on a real port: every file of tests is a module, `kit` is what they share, `workload`
//! is the public benchmark's data and what it expects. One binary, so that it is linked once and two tests
//! can run side by side (`kit/machine.rs`).
#![forbid(unsafe_code)]

mod admin;
mod arena;
mod checker;
mod cluster;
mod cuts;
mod doctor;
mod exception;
mod idle;
mod kit;
mod links;
mod load;
mod logs;
mod loss;
mod memif;
mod memory;
mod metrics;
mod mixed;
mod noise;
mod parked;
mod pooler;
mod postgres;
mod reload;
mod reset;
mod routes;
mod service_manager;
mod shutdown;
mod sqlite;
mod stats;
mod steering;
mod top;
mod tune;
mod upgrade;
mod workload;
