//! What comes from outside: keys and sizes from the terminal, signals from anybody.

use std::io;
use std::sync::mpsc::Sender;
use std::thread;

use ratatui::crossterm::event::{self, Event as TerminalEvent, KeyEventKind};
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::event::{Event, Input};

/// Sends keys and sizes from a thread that ends with the process.
pub(super) fn read_keys(events: Sender<Event>) -> io::Result<()> {
    let read = move || {
        loop {
            let input = match event::read() {
                Ok(TerminalEvent::Key(key)) if key.kind != KeyEventKind::Release => Input::Key(key),
                Ok(TerminalEvent::Resize(..)) => Input::Resized,
                Ok(_) => continue,
                Err(error) => Input::Failed(error),
            };
            let is_last = matches!(input, Input::Failed(_));
            if events.send(Event::Input(input)).is_err() || is_last {
                return;
            }
        }
    };
    thread::Builder::new().name("keys".into()).spawn(read).map(drop)
}

/// Sends the first signal that ends a program. From the return of this on, none ends it by itself.
pub(super) fn signal_stream(events: Sender<Event>) -> io::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    drop(guard);
    let wait = move || {
        runtime.block_on(async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        // Nobody listens: it is ending already.
        let _ = events.send(Event::Input(Input::Signal));
    };
    thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}
