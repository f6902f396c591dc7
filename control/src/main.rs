//! `pollux`: the control plane. Reads what an operator wrote, takes the port, starts the workers, and
//! keeps out of their way.
//!
//! Start with [`serve`]: configuration ([`config`]) and data ([`content`]) become a running server
//! ([`launch`]), which is then watched over ([`supervise`]). Beside it run the back ends for what a core
//! cannot answer ([`offload`]), new snapshots ([`reload`]) and the operator's socket ([`admin`]). The commands for
//! a running server are in [`remote`].
#![forbid(unsafe_code)]

mod admin;
mod check;
mod cli;
mod config;
mod content;
mod cores;
mod data;
mod doctor;
mod exception;
mod failure;
mod host;
mod hugepage_limit;
mod human;
mod launch;
mod lifecycle;
mod link;
mod logs;
mod manual;
mod memory;
mod metrics;
mod nic;
mod offload;
mod output;
mod progress;
mod progress_line;
mod regular_file;
mod reload;
mod remote;
mod sample;
mod scripts;
mod serve;
mod service_manager;
mod stats;
mod stats_file;
mod supervise;
mod top;
mod tune;

use std::path::Path;
use std::process::{self, ExitCode};

use clap::Parser;

use cli::{Cli, Command, ConfigCommand};
use failure::Failure;
use output::print;

fn main() -> ExitCode {
    let done = match command_line().command {
        Command::Serve(options) => serve::serve(options),
        Command::Reload(args) => remote::reload(&args),
        Command::Drain(args) => remote::drain(&args),
        Command::Resume(args) => remote::resume(&args),
        Command::Stop(args) => remote::stop(&args),
        Command::Config(ConfigCommand::Show(args)) => remote::show_config(&args),
        Command::Stats(args) => args.run(),
        Command::Log(args) => remote::log(&args),
        Command::Version(args) => remote::version(&args),
        Command::Top(args) => top::top(&args).map_err(Failure::from),
        Command::Tune(command) => tune::tune(command),
        Command::Check { options, sizing } => check::check(options, sizing),
        Command::Doctor { options, json } => match doctor::doctor(&options, json) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Command::Nic(command) => nic::nic(command),
        Command::Sample { directory, force } => write_sample(&directory, force),
        Command::Man { directory } => manual::write_pages(&directory).map_err(Failure::from),
        Command::Completions { shell } => manual::print_completions(shell),
    };
    let code = match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            logs::last_word(&failure);
            failure.exit_code().into()
        }
    };
    logs::flush();
    code
}

/// The command line. What is wrong with it ends the process, and so does asking for help.
fn command_line() -> Cli {
    Cli::try_parse().unwrap_or_else(|error| {
        if error.use_stderr() && logs::journal_reads_stderr() {
            logs::before_it_is_open(&error.to_string());
            process::exit(error.exit_code());
        }
        let Err(cause) = error.print() else { process::exit(error.exit_code()) };
        let failure = Failure::output(cause);
        logs::last_word(&failure);
        process::exit(if error.use_stderr() {
            error.exit_code()
        } else {
            failure.exit_code().into()
        })
    })
}

fn write_sample(directory: &Path, force: bool) -> Result<(), Failure> {
    let written = sample::write(directory, force)?;
    let sample::Written { files, bytes } = written;
    print(&format!("{}: {files} files, {bytes} bytes\n", directory.display()))
}
