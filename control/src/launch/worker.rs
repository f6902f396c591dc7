//! One worker's thread: bound to its core, it makes the worker there, says so, and turns until it is
//! commanded to stop.

use std::hint;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

use dpdk::{AdoptError, Arena, ArenaError, Backing, Tsc};
use engine::control_queue::WorkerEnd;
use engine::{Buffer, CorePlan, Nic, Now, Worker, exception};
use handlers::SiteHandle;

use super::idle::{Sources, Waiter};
use super::memory_requirement::BUFFER_ALIGN;
use crate::config::Pause;

/// What a worker is made from.
#[derive(Debug)]
pub(crate) struct Parts<F> {
    /// Its core.
    pub(crate) core: usize,
    /// Its commands.
    pub(crate) plan: CorePlan,
    /// What it serves with first.
    pub(crate) site_handle: Arc<SiteHandle>,
    /// Its end of the link to control.
    pub(crate) link: WorkerEnd<SiteHandle>,
    /// Its end of the exception path, if there is one.
    pub(crate) exception: Option<exception::WorkerEnd<F>>,
    /// Bytes of its socket buffers, measured for `plan`.
    pub(crate) buffers_len: usize,
    /// The clock.
    pub(crate) tsc: Tsc,
    /// When it naps. `None`: never, and it never waits either.
    pub(crate) pause: Option<Pause>,
    /// What ends a wait. `None`: it only naps.
    pub(crate) sources: Option<Sources>,
}

/// What a thread says once: that its worker turns, with its socket buffers there; or why it cannot.
pub(crate) type Report = (usize, Result<Backing, WorkerError>);

/// Why a worker does not turn.
#[derive(Debug)]
pub(crate) enum WorkerError {
    /// Its thread could not be bound to its core.
    Adopt(AdoptError),
    /// No memory for socket buffers.
    Buffers(ArenaError),
}

/// Starts the thread. It reports once, and drops `nic` when it ends.
///
/// # Errors
/// The system has no thread to give.
pub(crate) fn spawn<N>(
    parts: Parts<N::Frame>,
    nic: N,
    report: Sender<Report>,
) -> std::io::Result<JoinHandle<()>>
where
    N: Nic + Send + 'static,
    N::Frame: Send,
{
    let name = format!("worker-{}", parts.core);
    thread::Builder::new().name(name).spawn(move || work(parts, nic, &report))
}

fn work<N: Nic>(parts: Parts<N::Frame>, nic: N, report: &Sender<Report>) {
    let Parts { core, plan, site_handle, link, exception, buffers_len, tsc, pause, sources } =
        parts;
    // The memory of a thread that is bound to its core is near that core.
    let adopted = dpdk::adopt_thread(core).map_err(WorkerError::Adopt).and_then(|adopted| {
        let arena = Arena::reserve(buffers_len).map_err(WorkerError::Buffers)?;
        Ok((adopted, arena))
    });
    let (adopted, mut arena) = match adopted {
        Ok(both) => both,
        Err(error) => {
            // Nobody listens any more only if the launch has failed already.
            let _ = report.send((core, Err(error)));
            return;
        }
    };
    if pause.is_some() {
        // The default slack of 50 us would double a short sleep. A longer nap is all a refusal costs.
        let _ = nix::sys::prctl::set_timerslack(TIMER_SLACK_NS);
    }
    let clock = move || {
        let cycles = tsc.now();
        Now { cycles, micros: tsc.micros(cycles) }
    };
    let backing = arena.backing();
    let mut buffers = |len| {
        let buffer = arena.carve(len, BUFFER_ALIGN).expect("the arena was measured for the plan");
        Buffer::Static(buffer)
    };
    let mut worker = Worker::new(plan, nic, site_handle, link, &mut buffers, clock());
    if let Some(end) = exception {
        worker = worker.with_exception(end);
    }
    let _ = report.send((core, Ok(backing)));
    let mut waiter = pause.map(|pause| Waiter::new(pause, sources.as_ref()));
    let nic = worker.run(clock, |idle| match &mut waiter {
        Some(waiter) => waiter.on_empty_turn(idle),
        None => hint::spin_loop(),
    });
    // What keeps the driver's sockets open goes before the queue.
    drop(waiter);
    drop(sources);
    // The queue goes before the thread's registration: it gives buffers back through it.
    drop(nic);
    drop(adopted);
}

/// As precise as the kernel's timers are.
const TIMER_SLACK_NS: std::ffi::c_ulong = 1;
