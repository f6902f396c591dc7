//! The thread that carries frames from one interface to the other.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;

use super::direction::{Counts, Direction};
use super::impairment::Impairment;
use super::interface::Interface;
use crate::tool::Tool;

/// A bridge, on a thread of its own. Dropping it ends it.
///
/// A frame leaves within about 0.1 ms of its time, if the machine has a core for it; the thread sleeps until something is
/// due or comes. The same seed decides the same for the same sequence of frames in a direction.
#[derive(Debug)]
pub struct Bridge {
    directions: Arc<Directions>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

/// To the right and to the left.
type Directions = Mutex<[Direction; 2]>;

impl Bridge {
    /// Joins the interfaces `left` and `right` of the calling thread's network namespace. Both become promiscuous, and lose
    /// the offloads that make frames which no wire carries; the far ends must have them off too. Neither may have an
    /// address: the kernel would reply as well.
    ///
    /// # Errors
    /// There is no such interface, or this is not root.
    ///
    /// # Panics
    /// If ethtool or ip are not installed.
    pub fn start(
        [left, right]: [&str; 2],
        seed: u64,
        [to_right, to_left]: [Impairment; 2],
    ) -> io::Result<Self> {
        let ends = [Interface::open(left)?, Interface::open(right)?];
        for name in [left, right] {
            make_plain(name);
            Tool::new(5, "ip", &["link", "set", name, "promisc", "on", "up"]).text();
        }
        let directions =
            [Direction::new(seed, to_right), Direction::new(seed ^ OTHER_WAY, to_left)];
        let directions = Arc::new(Mutex::new(directions));
        let (wake, woken) = UnixStream::pair()?;
        let thread = thread::Builder::new().name("bridge".into()).spawn({
            let directions = Arc::clone(&directions);
            move || forward(&directions, ends, &woken)
        })?;
        Ok(Self { directions, wake, thread: Some(thread) })
    }

    /// From now on, frames that enter are treated like this; those under way arrive as was decided.
    pub fn set(&self, [to_right, to_left]: [Impairment; 2]) {
        let mut directions = lock(&self.directions);
        directions[0].settings = to_right;
        directions[1].settings = to_left;
    }

    /// What the directions have done so far, to the right and to the left.
    #[must_use]
    pub fn counts(&self) -> [Counts; 2] {
        lock(&self.directions).each_ref().map(|direction| direction.counts)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // The thread ends at a byte, or where its interfaces have failed.
        self.wake.write_all(&[0]).ok();
        if let Some(Err(_)) = self.thread.take().map(JoinHandle::join) {
            eprintln!("the bridge panicked: see above");
        }
    }
}

/// Turns those offloads of the interface `name` off that would make frames which no wire carries.
///
/// # Panics
/// If ethtool is not installed.
pub(crate) fn make_plain(name: &str) {
    for feature in ["tx", "gso", "tso", "gro"] {
        // An interface may lack one.
        Tool::new(5, "ethtool", &["-K", name, feature, "off"]).output();
    }
}

fn lock(directions: &Directions) -> MutexGuard<'_, [Direction; 2]> {
    directions.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until `woken` has a byte.
///
/// # Panics
/// If an interface fails otherwise than by going down.
fn forward(directions: &Directions, mut ends: [Interface; 2], mut woken: &UnixStream) {
    set_timerslack(TIMER_SLACK_NANOS).expect("Linux has it");
    woken.set_nonblocking(true).expect("a socket of ours");
    let start = Instant::now();
    while woken.read(&mut [0]).is_err() {
        let due = pass(&mut lock(directions), &mut ends, start);
        let sleep = due.map(|due| due.saturating_sub(start.elapsed()).into());
        let mut wait = [ends[0].as_fd(), ends[1].as_fd(), woken.as_fd()]
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        // A signal, too, is a reason to look.
        ppoll(&mut wait, sleep, None).ok();
    }
}

/// Takes what has come, sends what is due, and returns when the next frame is.
fn pass(
    directions: &mut [Direction; 2],
    ends: &mut [Interface; 2],
    start: Instant,
) -> Option<Duration> {
    for from in 0..2 {
        for _ in 0..BURST {
            let Some(frame) = ends[from].receive().expect("an interface that stays") else { break };
            let now = start.elapsed();
            if let Some(reply) = directions[from].on_frame(frame, now) {
                // A reply is too short for another.
                let about_reply = directions[1 - from].on_frame(reply, now);
                assert_eq!(about_reply, None, "an ICMP error about an ICMP error");
            }
        }
        directions[from].counts.overruns = ends[from].overruns.into();
        let (direction, end) = (&mut directions[from], &ends[1 - from]);
        while let Some(frame) = direction.poll_frame(start.elapsed()) {
            let is_taken = end.send(&frame);
            *(if is_taken { &mut direction.counts.sent } else { &mut direction.counts.refused }) +=
                1;
        }
    }
    // The replies to what came last go the other way.
    directions.iter().filter_map(Direction::due).min()
}

/// Frames taken from one side before the other has its turn.
const BURST: usize = 64;
/// Tells the generators of both directions apart.
const OTHER_WAY: u64 = 0x006f_7468_6572_7761;
/// How much later the kernel may wake the thread than it asked for.
const TIMER_SLACK_NANOS: u64 = 1_000;
