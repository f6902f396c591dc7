//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::admin;
use crate::config::{Config, ConfigError, Environment, Key, Place};
use crate::link::LinkSpec;

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
    Reload {
        /// Which server: its admin.name
        #[arg(long, value_name = "NAME", default_value = "pollux", value_parser = server_name)]
        name: String,
    },
    /// Read configuration and data, say what would be served on what; touch no device
    #[command(after_help = EXIT_CODES)]
    Check(Options),
    /// Write the built-in sample data into a directory, the same octets every time
    #[command(after_help = EXIT_CODES)]
    Sample {
        /// Directory to write dataset.json and static/ into; made if it is not there
        directory: PathBuf,
        /// Write into a directory that is not empty; files of the same name are replaced
        #[arg(long)]
        force: bool,
    },
}

/// What `serve` and `check` take. An option wins over the file.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Configuration file (TOML); pollux.example.toml lists every key with its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port to take [default: auto]
    #[arg(long, value_name = "DEV", long_help = link_help())]
    link: Option<String>,
    /// Our address and its prefix length [default: 198.18.0.2/24]
    #[arg(long, value_name = "CIDR")]
    address: Option<String>,
    /// TCP port to answer on [default: 8080]
    #[arg(long, value_name = "N")]
    port: Option<String>,
    /// Cores with a worker each: last, 1, 1-3, 1,3 [default: last]
    #[arg(long, value_name = "LIST")]
    cores: Option<String>,
    /// Directory of the files that routes name [default: the built-in sample]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// File to write counters into as JSON, once a second
    #[arg(long, value_name = "FILE")]
    stats: Option<String>,
    /// What a worker does when nothing comes: auto, poll, adaptive [default: auto]
    #[arg(long, value_name = "HOW")]
    idle: Option<String>,
    /// Set any key of the configuration, such as limits.connections=65536; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Options {
    /// The file, if one was named, with the environment and the options over it.
    ///
    /// # Errors
    /// The file does not read, or an option names something that does not exist.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        for text in &self.set {
            config.assign(text)?;
        }
        config.heed(Environment::read()?);
        let options = [
            (Key::LinkDevice, "--link", &self.link),
            (Key::ListenAddress, "--address", &self.address),
            (Key::ListenPort, "--port", &self.port),
            (Key::CoresWorkers, "--cores", &self.cores),
            (Key::DataDirectory, "--data", &self.data),
            (Key::StatsFile, "--stats", &self.stats),
            (Key::CoresIdle, "--idle", &self.idle),
        ];
        for (key, flag, value) in options {
            if let Some(value) = value {
                config.set(key, value.clone(), Place::Option(flag));
            }
        }
        Ok(config)
    }
}

fn link_help() -> String {
    format!("Port to take: {} [default: auto]", LinkSpec::FORMS)
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or stopped by a signal after everything was released
  1  failed at start or while running; the last line on standard error says why
  2  the command line, the configuration or the data is wrong";

/// A server as `--name` calls it: what `admin.name` may be.
fn server_name(text: &str) -> Result<String, String> {
    if admin::is_name(text) { Ok(text.into()) } else { Err(format!("expected {}", admin::NAME)) }
}

const RELOAD_HELP: &str = "\
Configuration file and data directory are read again, checked, and served from the next request on;
requests and connections under way go on. What is wrong is refused as a whole: what was served before
still is. Keys other than data.directory, statements and routes take effect at a restart, and are named.

Exit codes:
  0  done
  1  refused, or no server of that name runs; the last lines on standard error say why
  2  the command line is wrong";

const SERVE_HELP: &str = "\
Signals:
  SIGTERM, SIGINT  finish the requests under way (deadlines.drain, 8s), release the port, exit 0
  a second SIGINT  release the port at once
  SIGHUP           read configuration and data again, as `pollux reload` does; the log says the outcome

The log goes to standard error. The line with the message `ready` says that requests are answered.

Exit codes:
  0  done, or stopped by a signal after everything was released
  1  failed at start or while running; the last line on standard error says why
  2  the command line, the configuration or the data is wrong";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn config(arguments: &[&str]) -> Config {
        let all = ["pollux", "check"].iter().chain(arguments);
        let Command::Check(options) = Cli::parse_from(all).command else {
            panic!("check is check");
        };
        options.config().expect("is a configuration")
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
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
