//! `pollux stats`: asks a running server, and prints.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::render::{Numbers, render};
use super::report::Report;
use crate::cli::server::ServerArgs;
use crate::failure::Failure;
use crate::remote;

/// What `pollux stats` takes.
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print the report as JSON; with --watch, a line each time. Names and meanings stay within a version
    #[arg(long)]
    json: bool,
    /// Print again every SECS seconds: rates over that time instead of totals [default: 1]
    #[arg(long, value_name = "SECS", num_args = 0..=1, default_missing_value = "1", value_parser = seconds)]
    watch: Option<Duration>,
    /// The numbers of this core only
    #[arg(long, value_name = "N")]
    core: Option<usize>,
}

impl StatsArgs {
    /// Prints until there is nothing more to print, or nobody reads it.
    ///
    /// # Errors
    /// No server answers, or its reply cannot be printed.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let mut out = io::stdout();
        let outcome = match self.watch {
            None => self.report().and_then(|report| self.print(&mut out, &report, Numbers::Totals)),
            Some(every) => self.watch(&mut out, every),
        };
        match outcome {
            // Whoever read it has seen enough.
            Err(failure) if failure.is_broken_pipe() => Ok(()),
            other => other,
        }
    }

    fn watch(&self, out: &mut io::Stdout, every: Duration) -> Result<(), Failure> {
        let mut before = self.report()?;
        loop {
            thread::sleep(every);
            let now = self.report()?;
            if self.json {
                self.print(out, &now, Numbers::Totals)?;
            } else if let Some(since) = now.since(&before) {
                let seconds = now.unix_ms.saturating_sub(before.unix_ms).max(1) as f64 / 1e3;
                if out.is_terminal() {
                    out.write_all(HOME_AND_CLEAR).map_err(Failure::output)?;
                }
                self.print(out, &since, Numbers::Rates { seconds })?;
            } else {
                writeln!(out, "another server has taken the name: process {}", now.server.pid)
                    .map_err(Failure::output)?;
            }
            before = now;
        }
    }

    fn report(&self) -> Result<Report, Failure> {
        Ok(remote::stats(&self.server, self.core)?)
    }

    fn print(
        &self,
        out: &mut impl Write,
        report: &Report,
        numbers: Numbers,
    ) -> Result<(), Failure> {
        let text = if self.json {
            serde_json::to_string(report).map_err(|error| Failure::output(error.into()))?
        } else {
            render(report, numbers)
        };
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(Failure::output)
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let known = text.parse().ok().filter(|seconds| SECONDS.contains(seconds));
    known.map(Duration::from_secs_f64).ok_or_else(|| {
        format!("expected seconds between {} and {}, such as 0.5", SECONDS.start(), SECONDS.end())
    })
}

const SECONDS: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// ECMA-48 CUP and ED: the cursor goes to the first cell, and everything after it is cleared.
const HOME_AND_CLEAR: &[u8] = b"\x1b[H\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_within_reason() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["0", "-1", "nan", "inf", "1e9", "soon", ""] {
            assert!(seconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
