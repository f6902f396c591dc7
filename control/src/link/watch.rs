//! Watches the interface below a link, which can go down, be changed or deleted under a running server: a
//! thread that asks the kernel over rtnetlink, says what has changed, and when there is nothing left to serve on.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use dpdk::{DeviceKind, InterfaceState};
use nix::net::if_::if_nametoindex;

use crate::config::spell_time;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct LinkWatch {
    lost: Arc<OnceLock<LinkLost>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Why nothing arrives any more, and nothing will.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkLost {
    /// The interface was deleted, or moved to another network namespace.
    #[error(
        "the interface {interface} is gone for {}: a server that is started again takes one of that name",
        spell_time(*after)
    )]
    Gone { interface: String, after: Duration },
    /// Our XDP program was detached, or another one put in its place.
    #[error(
        "the XDP program of {interface} was {what}, and nothing arrives here any more: a server that is \
         started again attaches its own"
    )]
    Program { interface: String, what: &'static str },
}

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct WatchPlan {
    /// The interface.
    pub(crate) interface: String,
    /// The kind of link on it.
    pub(crate) kind: DeviceKind,
    /// The MTU that the port was started with, bytes of an IP packet.
    pub(crate) mtu: usize,
    /// How long it may be gone before it is [lost](LinkLost::Gone).
    pub(crate) gone: Duration,
}

impl LinkWatch {
    /// Starts to watch, and warns of an interface that is down. An interface that is not there yet
    /// cannot be watched.
    ///
    /// # Errors
    /// The system has no thread to give, or the kernel does not tell of the interface.
    pub(crate) fn start(plan: WatchPlan) -> io::Result<Self> {
        let index = if_nametoindex(plan.interface.as_str())?;
        let state = InterfaceState::of(index)?;
        let lost = Arc::new(OnceLock::new());
        let stopping = Arc::new(AtomicBool::new(false));
        let mut watched = Watched::new(plan, state);
        let thread = thread::Builder::new().name("link-watch".into()).spawn({
            let (lost, stopping) = (Arc::clone(&lost), Arc::clone(&stopping));
            move || {
                while !stopping.load(Ordering::Acquire) {
                    thread::park_timeout(LOOK_EVERY);
                    // What the kernel does not tell now, it tells later.
                    let Ok(state) = InterfaceState::of(index) else { continue };
                    if let Err(why) = watched.observe(state, Instant::now()) {
                        // Nobody else sets it.
                        let _ = lost.set(why);
                        return;
                    }
                }
            }
        })?;
        Ok(Self { lost, stopping, thread: Some(thread) })
    }

    /// Why the link is lost, if it is.
    pub(crate) fn lost(&self) -> Option<LinkLost> {
        self.lost.get().cloned()
    }
}

impl Drop for LinkWatch {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It panics never; if it did, there is nothing left to watch.
            let _ = thread.join();
        }
    }
}

/// An interface, and what was last seen of it.
struct Watched {
    plan: WatchPlan,
    /// `None`: it is gone.
    last: Option<InterfaceState>,
    /// Since when it is gone.
    gone: Option<Instant>,
    /// The program that feeds us.
    program: Option<u32>,
}

impl Watched {
    fn new(plan: WatchPlan, first: Option<InterfaceState>) -> Self {
        let name = &plan.interface;
        if let Some(state) = first.filter(|state| !state.is_running) {
            tracing::warn!("{name} {}: nothing arrives until it is up", why_down(name, &state));
        }
        let program = match plan.kind {
            DeviceKind::AfXdp => first.and_then(|state| state.xdp_program),
            _ => None,
        };
        Self { plan, last: first, gone: None, program }
    }

    /// Says what has changed since the last time.
    fn observe(&mut self, state: Option<InterfaceState>, now: Instant) -> Result<(), LinkLost> {
        let WatchPlan { interface, gone, .. } = &self.plan;
        let last = std::mem::replace(&mut self.last, state);
        let Some(state) = state else {
            let since = *self.gone.get_or_insert_with(|| {
                tracing::error!(
                    "the interface {interface} is gone; the server ends in {} unless it comes back",
                    spell_time(*gone)
                );
                now
            });
            let is_over = now.saturating_duration_since(since) >= *gone;
            let (interface, after) = (interface.clone(), *gone);
            return if is_over { Err(LinkLost::Gone { interface, after }) } else { Ok(()) };
        };
        if self.gone.take().is_some() {
            tracing::warn!("the interface {interface} is back");
        }
        if let Some(last) = last {
            self.log_carrier(&last, &state);
            if last.mtu != state.mtu {
                self.log_mtu(last.mtu, state.mtu);
            }
        }
        let what = match state.xdp_program {
            program if self.program.is_none() || program == self.program => return Ok(()),
            None => "detached",
            Some(_) => "replaced by another one",
        };
        Err(LinkLost::Program { interface: interface.clone(), what })
    }

    fn log_carrier(&self, last: &InterfaceState, state: &InterfaceState) {
        let name = &self.plan.interface;
        match (last.is_running, state.is_running) {
            (true, false) => {
                tracing::warn!("{name} {}: nothing arrives until it is up", why_down(name, state));
            }
            (false, true) => tracing::info!("{name} is up again"),
            (true, true) if last.carrier_changes != state.carrier_changes => {
                tracing::warn!("{name} was down for a moment and is up again");
            }
            _ => {}
        }
    }

    fn log_mtu(&self, from: u32, to: u32) {
        let WatchPlan { interface, kind, mtu, .. } = &self.plan;
        let changed = format!("the MTU of {interface} was {from} and is {to}");
        let fix = format!("ip link set dev {interface} mtu {mtu}");
        match usize::try_from(to).unwrap_or(usize::MAX) {
            to if to < *mtu => {
                tracing::warn!("{changed}: responses in packets of {mtu} bytes are lost; {fix}");
            }
            to if to > *mtu && *kind == DeviceKind::AfPacket => tracing::warn!(
                "{changed}: longer frames than fit the ring are cut by the kernel and dropped here, and a \
                 server would not start on it; {fix}"
            ),
            _ => tracing::info!("{changed}"),
        }
    }
}

fn why_down(name: &str, state: &InterfaceState) -> String {
    if state.is_up {
        "has no carrier: its other side is down".to_owned()
    } else {
        format!("is down (ip link set {name} up)")
    }
}

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const UP: InterfaceState = InterfaceState {
        is_up: true,
        is_running: true,
        mtu: 1_500,
        carrier_changes: 2,
        xdp_program: Some(7),
    };

    fn watched(kind: DeviceKind) -> Watched {
        let gone = Duration::from_secs(5);
        let plan = WatchPlan { interface: "pollux0".into(), kind, mtu: 1_500, gone };
        Watched::new(plan, Some(UP))
    }

    #[test]
    fn an_interface_is_lost_when_it_is_gone_for_longer_than_it_may() {
        let (mut watched, start) = (watched(DeviceKind::AfPacket), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(watched.observe(None, start), Ok(()));
        assert_eq!(watched.observe(None, after(4)), Ok(()));
        assert_eq!(watched.observe(Some(UP), after(4)), Ok(()), "it is back");
        assert_eq!(watched.observe(None, after(6)), Ok(()), "it is gone anew");
        let lost = watched.observe(None, after(11)).expect_err("gone for five seconds");
        assert!(lost.to_string().starts_with("the interface pollux0 is gone for 5s:"), "{lost}");
    }

    #[test]
    fn a_link_that_is_down_is_not_lost() {
        let (mut watched, now) = (watched(DeviceKind::AfXdp), Instant::now());
        let down = InterfaceState { is_up: false, is_running: false, mtu: 9_000, ..UP };
        assert_eq!(watched.observe(Some(down), now), Ok(()));
        assert_eq!(watched.observe(Some(down), now + Duration::from_secs(3_600)), Ok(()));
    }

    #[test]
    fn an_af_xdp_link_is_lost_with_its_program() {
        let other = InterfaceState { xdp_program: Some(8), ..UP };
        let none = InterfaceState { xdp_program: None, ..UP };
        let now = Instant::now();
        for (state, what) in [(other, "replaced by another one"), (none, "detached")] {
            let lost = watched(DeviceKind::AfXdp).observe(Some(state), now);
            assert_eq!(lost, Err(LinkLost::Program { interface: "pollux0".into(), what }));
            let program = watched(DeviceKind::AfPacket).observe(Some(state), now);
            assert_eq!(program, Ok(()), "it is none of ours");
        }
    }
}
