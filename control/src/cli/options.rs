//! Arguments of `serve`, `check` and `doctor`: a configuration.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, ConfigError, Environment, Key, Place};
use crate::link::LinkSpec;

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

    /// The file, if one was named, with the environment and the options over it. What these name that does not
    /// exist is kept, and fails with everything else that is wrong.
    ///
    /// # Errors
    /// The file does not read; with what is wrong beside it.
    pub(crate) fn config(&self) -> Result<Config, ConfigError> {
        let (mut config, unread) = match self.config.as_deref().map(Config::read).transpose() {
            Ok(config) => (config.unwrap_or_default(), None),
            Err(error) => (Config::default(), Some(error)),
        };
        config.apply_environment(Environment::read());
        for text in &self.set {
            config.apply_assignment(text);
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
        if let Some(error) = unread {
            let errors = error.each().into_iter().chain(config.errors().iter().cloned());
            ConfigError::all(errors.collect())?;
        }
        Ok(config)
    }
}

fn link_help() -> String {
    format!("Port to take: {} [default: auto]", LinkSpec::FORMATS)
}
