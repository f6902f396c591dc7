//! The thread that moves frames between the exception interface and the workers. It sleeps in poll(2)
//! while there are none: the interface ends the sleep by having a frame, a worker by handing one over.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use engine::exception::KernelPort;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;

use super::{ExceptionError, Tap};
use crate::launch::Sleep;

/// The thread, and the interface with it: both end when this is dropped.
#[derive(Debug)]
pub(crate) struct Forwarder {
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
    /// What ends its sleep.
    event: Arc<EventFd>,
}

impl Forwarder {
    /// Starts to move frames between `tap` and `ports`, one for each worker, of which the first sends. The
    /// workers wake the thread by `sleep`.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(crate) fn start(
        tap: Tap,
        ports: Vec<Box<dyn KernelPort>>,
        sleep: Sleep,
    ) -> Result<Self, ExceptionError> {
        let stopping = Arc::new(AtomicBool::new(false));
        let event = Arc::clone(&sleep.event);
        let name = tap.name().to_owned();
        let ends = Ends { tap, ports, sleep, stopping: Arc::clone(&stopping), is_gone: false };
        let thread = thread::Builder::new()
            .name("exception".into())
            .spawn(move || ends.forward())
            .map_err(|cause| ExceptionError::Thread { name, cause })?;
        Ok(Self { thread: Some(thread), stopping, event })
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        // Fails only where the count is at its limit, and then the sleep ends all the same.
        let _ = self.event.write(1);
        if let Some(thread) = self.thread.take() {
            // It panics never; if it did, there is nobody left to move frames for.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Ends {
    tap: Tap,
    ports: Vec<Box<dyn KernelPort>>,
    sleep: Sleep,
    stopping: Arc<AtomicBool>,
    /// Somebody has removed the interface: there is nothing to read or to wait for any more.
    is_gone: bool,
}

impl Ends {
    fn forward(mut self) {
        while !self.stopping.load(Ordering::Acquire) {
            if self.feed_kernel() | self.feed_port() {
                continue;
            }
            self.sleep.flag.set();
            // What a worker handed over before it could see the flag is found here.
            if self.ports.iter().all(|port| port.is_empty()) {
                self.wait();
            }
            self.sleep.flag.clear();
        }
    }

    /// Hands at most [`BATCH`] frames of each worker to the kernel. Whether there was any.
    fn feed_kernel(&mut self) -> bool {
        let Self { tap, ports, is_gone, .. } = self;
        let mut any = false;
        for port in ports {
            for _ in 0..BATCH {
                if !port.take(&mut |frame| !*is_gone && tap.write(frame)) {
                    break;
                }
                any = true;
            }
        }
        any
    }

    /// Hands at most [`BATCH`] frames of the kernel to the first worker. Whether there was any.
    fn feed_port(&mut self) -> bool {
        let Self { tap, ports, is_gone, .. } = self;
        let Some(first) = ports.first_mut() else { return false };
        let mut failed: Option<io::Error> = None;
        let mut any = false;
        for _ in 0..BATCH {
            if *is_gone || failed.is_some() {
                break;
            }
            let given = first.give(&mut |buffer| {
                tap.read(buffer).unwrap_or_else(|error| {
                    failed = Some(error);
                    None
                })
            });
            if !given {
                break;
            }
            any = true;
        }
        if let Some(error) = failed {
            *is_gone = true;
            tracing::error!(
                "the exception interface {} is gone ({error}): the kernel gets and sends nothing more \
                 through this port until a restart; HTTP goes on",
                tap.name()
            );
        }
        any
    }

    fn wait(&self) {
        let tap = PollFd::new(self.tap.as_fd(), PollFlags::POLLIN);
        let event = PollFd::new(self.sleep.event.as_fd(), PollFlags::POLLIN);
        let mut both = [event, tap];
        let watched = if self.is_gone { &mut both[..1] } else { &mut both[..] };
        // After an error or a signal there may be something: a look costs less than to find out.
        let _ = poll(watched, PollTimeout::NONE);
        if both[0].any() == Some(true) {
            // It cannot fail: it is readable, and nobody else reads it.
            let _ = self.sleep.event.read();
        }
    }
}

/// Frames moved one way before the other way has its turn.
const BATCH: usize = 64;
