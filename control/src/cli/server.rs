//! Arguments of the commands for a running server.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::Args;

use crate::admin;
use crate::config::{Environment, Key, parse_time};

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

/// A server as `--name` calls it: what `admin.name` may be.
fn server_name(text: &str) -> Result<String, String> {
    if admin::is_name(text) { Ok(text.into()) } else { Err(format!("expected {}", admin::NAME)) }
}

/// A span of time with its unit.
fn time(text: &str) -> Result<Duration, String> {
    parse_time(text).map_err(|expected| format!("expected {}", expected.0))
}
