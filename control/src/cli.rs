//! The command line.

mod help;
pub(crate) mod options;
pub(crate) mod server;
pub(crate) mod shell;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::nic::NicCommand;
use crate::stats::StatsArgs;
use crate::top::TopArgs;
use crate::tune::TuneCommand;

use help::{
    CHECK_HELP, COMMAND_EXIT_CODES, COMPLETIONS_HELP, DOCTOR_HELP, DRAIN_HELP, EXIT_CODES,
    RELOAD_HELP, SERVE_HELP, STATS_HELP, STOP_HELP, TOP_HELP, VERSION_HELP,
};

use options::Options;
use server::{DrainArgs, LogArgs, QueryArgs, StopArgs};
use shell::CompletedShell;

/// What was asked for.
#[derive(Debug, Parser)]
#[command(
    name = "pollux",
    version,
    about = "An HTTP/1.1 server that takes a network port away from the kernel",
    long_about = "An HTTP/1.1 server that takes a network port away from the kernel: DPDK queues, \
                  one TCP stack per core, precomputed responses.",
    after_help = EXIT_CODES
)]
pub(crate) struct Cli {
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take the port and serve until SIGTERM or SIGINT
    #[command(after_help = SERVE_HELP)]
    Serve(Options),
    /// Let a running server read its configuration and data again, and say what came of it
    #[command(after_help = RELOAD_HELP)]
    Reload(QueryArgs),
    /// Print the counters, routes and latencies of a running server, once or again and again
    #[command(after_help = STATS_HELP)]
    Stats(StatsArgs),
    /// Let a running server accept no more connections, and wait until those that are open have ended
    #[command(after_help = DRAIN_HELP)]
    Drain(DrainArgs),
    /// Let a server that was drained accept connections again
    #[command(after_help = COMMAND_EXIT_CODES)]
    Resume(QueryArgs),
    /// Let a running server finish the requests under way and exit, as SIGTERM does
    #[command(after_help = STOP_HELP)]
    Stop(StopArgs),
    /// Look at the configuration of a running server
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the log level of a running server, or change it until the server ends
    #[command(after_help = COMMAND_EXIT_CODES)]
    Log(LogArgs),
    /// Print the versions of this program, of DPDK, and of a running server if there is one
    #[command(after_help = VERSION_HELP)]
    Version(QueryArgs),
    /// Show a running server live in the terminal: cores, rates, latencies, routes, errors
    #[command(after_help = TOP_HELP)]
    Top(TopArgs),
    /// Read configuration and data, say what would be served on what; touch no device
    #[command(after_help = CHECK_HELP)]
    Check {
        /// The server that is looked at.
        #[command(flatten)]
        options: Options,
        /// Print instead what memory this takes for several numbers of connections
        #[arg(long)]
        sizing: bool,
    },
    /// Find out why a server does not start here, or is slow; change nothing
    #[command(after_help = DOCTOR_HELP)]
    Doctor {
        /// The server that is examined for.
        #[command(flatten)]
        options: Options,
        /// Print one JSON object instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Give a NIC to DPDK and back to the kernel: list, bind, confirm, unbind, status
    #[command(subcommand)]
    Nic(NicCommand),
    /// Keep other work off the dataplane cores, and put back what was found
    #[command(subcommand)]
    Tune(TuneCommand),
    /// Write the built-in sample data into a directory, the same bytes every time
    #[command(after_help = EXIT_CODES)]
    Sample {
        /// Directory to write dataset.json and static/ into; made if it is not there
        directory: PathBuf,
        /// Write into a directory that is not empty; files of the same name are replaced
        #[arg(long)]
        force: bool,
    },
    /// Write the manual pages: pollux.1 and one for each command
    #[command(after_help = EXIT_CODES)]
    Man {
        /// Directory to write them into; made if it is not there
        directory: PathBuf,
    },
    /// Print a completion script for a shell
    #[command(after_help = COMPLETIONS_HELP)]
    Completions {
        /// The shell
        shell: CompletedShell,
    },
}

/// Commands about the configuration of a running server.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every key with its value and where that comes from; passwords are left out
    #[command(after_help = COMMAND_EXIT_CODES)]
    Show(QueryArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::config::{Config, Key, Place};
    use crate::logs::LogLevel;

    fn config(arguments: &[&str]) -> Config {
        let all = ["pollux", "check"].iter().chain(arguments);
        let Command::Check { options, .. } = Cli::parse_from(all).command else {
            panic!("check is check");
        };
        options.config().expect("is a configuration")
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_level_of_the_log_may_be_named() {
        for level in ["error", "warn", "info", "debug", "trace"] {
            assert!(LogLevel::parse(level).is_some(), "{level}");
            assert!(LogLevel::FORMATS.contains(level), "{level}");
            assert!(Cli::try_parse_from(["pollux", "log", level]).is_ok(), "{level}");
        }
        assert!(Cli::try_parse_from(["pollux", "log", "loud"]).is_err());
    }

    #[test]
    fn options_name_themselves() {
        let given = config(&["--port", "81"]).given(Key::ListenPort);
        assert_eq!((given.text.as_str(), given.place), ("81", Place::Option("--port")));
    }

    #[test]
    fn an_option_wins_over_set() {
        let config = config(&["--port", "81", "--set", "listen.port=82"]);
        assert_eq!(config.given(Key::ListenPort).text, "81");
    }
}
