//! `pollux`: the control plane. Reads what an operator wrote, takes the port, starts the workers, and
//! keeps out of their way.
//!
//! Start with [`serve`]: configuration ([`config`]) and data ([`content`]) become a running server
//! ([`launch`]), which is then watched over ([`supervise`]). Beside it run whoever answers what a core
//! cannot ([`asks`]), new snapshots ([`reload`]) and the operator's socket ([`admin`]).
#![forbid(unsafe_code)]

mod admin;
mod asks;
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
mod reload;
mod sample;
mod serve;
mod stats_file;
mod supervise;
mod team;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};
use failure::Failure;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(options) => serve::serve(options),
        Command::Reload { name } => reload_server(&name),
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

fn reload_server(name: &str) -> Result<(), Failure> {
    let reloaded = admin::reload(name)?;
    writeln!(io::stdout(), "{reloaded}").map_err(Failure::Output)
}

fn write_sample(directory: &Path, force: bool) -> Result<(), Failure> {
    let written = sample::write(directory, force)?;
    println!("{}: {} files, {} octets", directory.display(), written.files, written.octets);
    Ok(())
}
