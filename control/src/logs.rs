//! The log: lines or JSON on standard error, written by the control plane only.

use std::io;
use std::panic;

use tracing_subscriber::fmt;

use crate::config::{LogFormat, Plan};
use crate::failure::Failure;

/// Opens the log, once per process, and lets a panic say which thread it was. The release build
/// aborts on a panic: a worker that is lost must not leave others half alive.
pub(crate) fn open(plan: &Plan) {
    let builder = fmt()
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(false)
        .with_max_level(plan.log_level);
    match plan.log_format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        tracing::error!("thread {name} panicked: {panic}");
    }));
}

/// Says why the program fails, a line for each mistake: in the log if it is open, else on standard error.
pub(crate) fn last_word(failure: &Failure) {
    for line in failure.to_string().lines() {
        if tracing::dispatcher::has_been_set() {
            tracing::error!("{line}");
        } else {
            eprintln!("pollux: {line}");
        }
    }
}
