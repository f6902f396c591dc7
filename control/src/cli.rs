//! The command line.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::admin;
use crate::config::{Config, ConfigError, Environment, Key, Place, parse_time};
use crate::link::LinkSpec;
use crate::manual::CompletedShell;
use crate::nic::NicCommand;
use crate::stats::StatsArgs;
use crate::top::TopArgs;
use crate::tune::TuneCommand;

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

/// Which running server a command is for.
#[derive(Clone, Debug, Args)]
pub(crate) struct ServerArgs {
    /// Which server: its admin.name, here too from POLLUX_ADMIN_NAME
    #[arg(long, value_name = "NAME", default_value = ADMIN_NAME.as_str(), value_parser = server_name)]
    pub(crate) name: String,
    /// Where its admin socket is: its admin.directory, here too from POLLUX_ADMIN_DIRECTORY
    #[arg(long, value_name = "DIR", default_value = ADMIN_DIRECTORY.as_str())]
    pub(crate) directory: PathBuf,
}

/// What the environment says of where the server is, so that commands beside it need no options.
static ADMIN_NAME: LazyLock<String> = LazyLock::new(|| server_default(Key::AdminName));
static ADMIN_DIRECTORY: LazyLock<String> = LazyLock::new(|| server_default(Key::AdminDirectory));

fn server_default(key: Key) -> String {
    let given = Environment::read().keys.remove(&key);
    given.unwrap_or_else(|| key.default_text().to_owned())
}

/// What a command takes that sends one request.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `drain` takes.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Wait at most this long, such as 30s or 5min; the server goes on draining [default: no limit]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) timeout: Option<Duration>,
    /// Do not wait
    #[arg(long, conflicts_with = "timeout")]
    pub(crate) no_wait: bool,
    /// Print nothing but the result, as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `stop` takes.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Wait at most this long, such as 30s or 5min; the server goes on stopping
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    pub(crate) timeout: Duration,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `log` takes.
#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Log what is of this level or more severe; print the level that holds if there is none
    #[arg(value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub(crate) level: Option<String>,
    /// The server.
    #[command(flatten)]
    pub(crate) server: ServerArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `serve` and `check` take. An option wins over the environment, and that over the file.
#[derive(Debug, Default, Args)]
pub(crate) struct Options {
    /// Configuration file (TOML); pollux.example.toml lists every key with its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Port to take [default: auto]
    #[arg(long, value_name = "DEV", long_help = link_help())]
    link: Option<String>,
    /// Kernel interface to make for what is not for the TCP port: SSH, DNS, IPv6 [default: none]
    #[arg(long, value_name = "NAME")]
    exception: Option<String>,
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
    /// Those that name a file and cores, and nothing else.
    pub(crate) fn of_cores(config: Option<PathBuf>, cores: Option<String>) -> Self {
        Self { config, cores, ..Self::default() }
    }

    /// The file, if one was named, with the environment and the options over it.
    ///
    /// # Errors
    /// The file does not read, or an option names something that does not exist.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let mut config = match &self.config {
            Some(file) => Config::read(file)?,
            None => Config::default(),
        };
        config.heed(Environment::read());
        for text in &self.set {
            config.assign(text)?;
        }
        let options = [
            (Key::LinkDevice, "--link", &self.link),
            (Key::LinkException, "--exception", &self.exception),
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

macro_rules! exit_codes {
    () => {
        "\
Exit codes:
  0  done, or stopped by a signal after everything was released
  1  failed at start or while running; the last line on standard error says why
  2  the command line, the configuration or the data is wrong"
    };
}

const EXIT_CODES: &str = exit_codes!();

macro_rules! environment {
    () => {
        "\
Environment:
  POLLUX_SECTION_KEY  the key `section.key` of the configuration, written as for --set:
                      POLLUX_LISTEN_PORT=8081, POLLUX_LIMITS_HALF_OPEN=512, POLLUX_CORES_WORKERS=1,3
  DATABASE_URL        the PostgreSQL server, where nothing else gives postgres.url
  DATABASE_MAX_CONN   the most connections to it, whatever postgres.connections says
Options win over the environment, the environment over the file, and the file over the defaults. An empty
variable counts as absent. Another POLLUX_ variable is refused. A reload sees the variables the server was
started with. Routes and statements are written in a file.

"
    };
}

const CHECK_HELP: &str = concat!(environment!(), exit_codes!());

/// A server as `--name` calls it: what `admin.name` may be.
fn server_name(text: &str) -> Result<String, String> {
    if admin::is_name(text) { Ok(text.into()) } else { Err(format!("expected {}", admin::NAME)) }
}

/// A span of time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    parse_time(text).map_err(|expected| format!("expected {}", expected.0))
}

const COMMAND_EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or no server of that name runs; the last line on standard error says why
  2  the command line is wrong";

const DRAIN_HELP: &str = "\
Requests under way are answered, each connection is closed after its next answer or where none is asked
for within a second, and new connections are reset; deadlines.withdraw before that, the server only says that
it is not ready. A server that has drained goes on running until `pollux resume` or `pollux stop`. While it
waits, this command shows how many connections are left: on a terminal on one line, otherwise on a line a
second.

Exit codes:
  0  drained, or with --no-wait: draining
  1  refused, resumed by somebody else, or no server of that name runs
  2  the command line is wrong
  3  connections were left after --timeout; the server goes on draining";

const STOP_HELP: &str = "\
After deadlines.withdraw (0s), the server finishes the requests under way for at most deadlines.drain (8s)
and releases the port. This command ends when the admin socket is gone.

Exit codes:
  0  stopped
  1  refused, or no server of that name runs; the last line on standard error says why
  2  the command line is wrong
  3  the server was still there after --timeout; it goes on stopping";

const VERSION_HELP: &str = "\
Exit codes:
  0  done, whether or not a server runs
  2  the command line is wrong";

const COMPLETIONS_HELP: &str = "\
Put the script where the shell looks for it:
  bash  pollux completions bash >/usr/share/bash-completion/completions/pollux
  zsh   pollux completions zsh >/usr/local/share/zsh/site-functions/_pollux
  fish  pollux completions fish >/usr/share/fish/vendor_completions.d/pollux.fish

Exit codes:
  0  done
  1  standard output cannot be written
  2  the command line is wrong";

const STATS_HELP: &str = "\
Counters only grow and are never reset; levels (open connections, waiting requests, free buffers) are as of
now. A response takes from the turn of the core that took the last byte of the request head to the end of
the turn that queued the last byte of the response; offload is the part of it that was waited for a database
or a compression. Reading costs a running server nothing that a request would notice.

Exit codes:
  0  done
  1  no server of that name runs, or no worker runs on that core
  2  the command line is wrong";

const RELOAD_HELP: &str = "\
Configuration file and data directory are read again, checked, and served from the next request on;
requests and connections under way go on. What is wrong is refused as a whole: what was served before
still is. Keys other than data.directory, statements and routes take effect at a restart, and are named.

Exit codes:
  0  done
  1  refused, or no server of that name runs; the last lines on standard error say why
  2  the command line is wrong";

const DOCTOR_HELP: &str = "\
Every finding is a line: ok, warn or fail, what was examined, what was found, and below it the
command that mends it. Failures come first, counts last. What a running server of this name
(admin.name) holds is not missing. Nothing is changed; run it as root, and in the network
namespace of the link.

With --json, one object:
  {\"version\":1,\"findings\":[{\"check\":\"..\",\"node\":0,\"state\":\"warn\",\"found\":\"..\",\"fix\":\"..\"}],
  \"ok\":0,\"warn\":1,\"fail\":0}
Names of checks are stable; node and fix are left out where there is none.

Exit codes:
  0  all is well
  1  there are warnings: it may be slow, or something is left behind or unknown
  2  there are failures: the server does not start, or does not work, like this";

const TOP_HELP: &str = "\
Keys: q quit, ? help, p pause, s sort routes, tab or arrows pick a core, + and - change the interval.
NO_COLOR is respected. A server that goes away is waited for.

Exit codes:
  0  ended by a key or a signal
  1  the terminal failed; the last line on standard error says why
  2  standard output is not a terminal, or the command line is wrong";

const SERVE_HELP: &str = concat!(
    environment!(),
    "\
Signals:
  SIGTERM, SIGINT  finish the requests under way (deadlines.drain, 8s), release the port, exit 0
  a second SIGINT  release the port at once
  SIGHUP           read configuration and data again, as `pollux reload` does; the log says the outcome

The log goes to standard error. The line with the message `ready` says that requests are answered.

",
    exit_codes!()
);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
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
            assert!(LogLevel::FORMS.contains(level), "{level}");
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
