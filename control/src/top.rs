//! `pollux top`: a running server in a terminal, refreshed until somebody quits.
//!
//! Reports ([`poll`]) go into the [`model`], which says what is to be seen ([`view`]); [`screen`] draws
//! that. Only [`terminal`] touches the terminal.

mod controls;
mod errors;
mod event;
mod input;
mod keys;
mod model;
mod poll;
mod screen;
mod terminal;
#[cfg(test)]
mod testkit;
mod view;

use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use clap::Args;

use crate::cli::server::ServerArgs;
use crate::failure::CommandError;
use controls::{Controls, Effect, parse_interval};
use event::{Event, Input};
use model::Model;
use poll::Poller;
use screen::Palette;
use terminal::Terminal;

/// Why `top` ended otherwise than by a key or a signal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TopError {
    /// Standard output is a file or a pipe.
    #[error(
        "standard output is not a terminal, and `pollux top` draws on one; `pollux stats --watch` writes \
         the same numbers as text"
    )]
    NotATerminal,
    /// The terminal cannot be read, written or set.
    #[error("the terminal cannot be used: {0}")]
    Terminal(#[from] io::Error),
}

impl CommandError for TopError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::NotATerminal => 2,
            Self::Terminal(_) => 1,
        }
    }
}

/// What `pollux top` takes.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Time from one report to the next, from 100ms to 1min
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
}

/// Shows a running server until somebody quits.
///
/// # Errors
/// Standard output is not a terminal, or the terminal fails.
pub(crate) fn top(args: &TopArgs) -> Result<(), TopError> {
    if !terminal::is_there() {
        return Err(TopError::NotATerminal);
    }
    let palette = Palette::from_environment();
    let (events, arrived) = mpsc::channel();
    input::signal_stream(events.clone())?;
    let mut terminal = Terminal::enter()?;
    input::read_keys(events.clone())?;
    let poller = Poller::start(&args.server, args.interval, events)?;
    let mut controls = Controls::new(args.interval);
    let mut model = Model::new(&args.server.name);
    // What is shown while new reports are held back.
    let mut frozen: Option<Model> = None;
    loop {
        let shown = frozen.as_ref().unwrap_or(&model);
        let view = shown.view(&controls, Instant::now());
        terminal.draw(|frame| screen::draw(frame, &view, &controls, &palette))?;
        match arrived.recv_timeout(REDRAW) {
            Ok(Event::Polled(polled)) => {
                model.take(polled, Instant::now());
                if !controls.keep_core(&model.cores()) {
                    poller.set(&controls);
                }
            }
            Ok(Event::Input(Input::Key(key))) => {
                let Some(action) = keys::action(key, controls.is_help) else { continue };
                match controls.apply(action, &model.cores()) {
                    Effect::Quit => return Ok(()),
                    Effect::Poll => poller.set(&controls),
                    Effect::Show => {
                        frozen = controls.is_paused.then(|| frozen.unwrap_or_else(|| model.clone()))
                    }
                }
            }
            Ok(Event::Input(Input::Resized)) | Err(RecvTimeoutError::Timeout) => {}
            Ok(Event::Input(Input::Signal)) => return Ok(()),
            Ok(Event::Input(Input::Failed(error))) => return Err(error.into()),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// How often the screen is drawn again although nothing came: the age of the last report goes on.
const REDRAW: Duration = Duration::from_secs(1);
