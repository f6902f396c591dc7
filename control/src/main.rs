//! `pollux`: the control plane. Reads what an operator wrote, takes the port, starts the workers, and
//! keeps out of their way.
//!
//! Start with [`serve`]: configuration ([`config`]) and data ([`content`]) become a running server
//! ([`launch`]), which is then watched over ([`supervise`]).
#![forbid(unsafe_code)]

mod check;
mod cli;
mod config;
mod content;
mod cores;
mod data;
mod failure;
mod launch;
mod link;
mod logs;
mod memory;
mod sample;
mod serve;
mod stats_file;
mod supervise;
mod team;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(options) => serve::serve(options),
        Command::Check(options) => check::check(options),
        Command::Sample { directory, force } => write_sample(&directory, force),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logs::last_word(&failure);
            failure.exit_code().into()
        }
    }
}

fn write_sample(directory: &Path, force: bool) -> Result<(), Failure> {
    let written = sample::write(&handlers::sample::material(), directory, force)?;
    println!("{}: {} files, {} octets", directory.display(), written.files, written.octets);
    Ok(())
}
