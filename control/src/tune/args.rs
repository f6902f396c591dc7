//! The command line of `pollux tune`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Commands about the machine that the dataplane cores are part of.
#[derive(Debug, Subcommand)]
pub(crate) enum TuneCommand {
    /// Print what `apply` would change, what was applied, and what the kernel's command line lacks
    #[command(after_help = EXIT_CODES)]
    Show(ShowArgs),
    /// Change it; without --yes only say what would be changed
    #[command(after_help = APPLY_HELP)]
    Apply(ApplyArgs),
    /// Put back what `apply` found
    #[command(after_help = REVERT_HELP)]
    Revert(RevertArgs),
}

/// Which cores are the dataplane's.
#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    /// Configuration file of the server, for its cores
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Cores with a worker each: last, 1, 1-3, 1,3 [default: last]
    #[arg(long, value_name = "LIST")]
    pub(crate) cores: Option<String>,
}

/// Where the record is.
#[derive(Debug, Args)]
pub(crate) struct StateArgs {
    /// Directory with the record of what was found
    #[arg(long, value_name = "DIR", default_value = "/var/lib/pollux/tune")]
    pub(crate) state: PathBuf,
}

/// What `show` takes.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The cores.
    #[command(flatten)]
    pub(crate) cores: CoreArgs,
    /// The record.
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `apply` takes.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// The cores.
    #[command(flatten)]
    pub(crate) cores: CoreArgs,
    /// The record.
    #[command(flatten)]
    pub(crate) state: StateArgs,
    /// Do it
    #[arg(long)]
    pub(crate) yes: bool,
}

/// What `revert` takes.
#[derive(Debug, Args)]
pub(crate) struct RevertArgs {
    /// The record.
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  this machine or the record cannot be read; the last line on standard error says why
  2  the command line or the configuration is wrong";

const APPLY_HELP: &str = "\
Changes the frequency governor of the dataplane cores to performance, moves interrupts and unbound
workqueues to the other cores, and switches automatic NUMA balancing off. What was found is recorded
before anything is changed. Interrupts that the kernel does not let move are listed, and are no error.
A restart of the machine undoes all of it.

Exit codes:
  0  done, or without --yes: printed
  1  something could not be changed, or other cores are tuned already; standard error says why
  2  the command line or the configuration is wrong";

const REVERT_HELP: &str = "\
A value that somebody else has changed since is left as it is, and said. May be repeated, also after an
`apply` that was killed.

Exit codes:
  0  done
  1  something could not be put back (the record keeps it); standard error says why
  2  the command line is wrong";
