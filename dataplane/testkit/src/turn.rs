//! Whose turn it is to change the machine: two tests of this process at a time, none of another.

use std::fs::{self, File, TryLockError};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;

/// The right to make namespaces, links and hugepages. Given back when dropped.
#[derive(Debug)]
pub struct Turn {
    number: usize,
    company: Company,
}

/// Whether another test may run beside this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Company {
    /// One other may.
    Shared,
    /// None may: the test measures what it takes of the machine.
    Alone,
}

impl Turn {
    /// Waits for it.
    ///
    /// # Panics
    /// If this is not root, or another test run does not end.
    #[track_caller]
    #[must_use]
    pub fn take(company: Company) -> Self {
        assert!(geteuid().is_root(), "needs root: namespaces, links and hugepages are made");
        keep_other_runs_away();
        let mut turns = lock();
        if company == Company::Alone {
            turns.waiting_alone += 1;
        }
        let free = |turns: &mut Turns| match company {
            Company::Alone => turns.taken != [false; SIDE_BY_SIDE],
            // Whoever wants to be alone would wait for ever otherwise.
            Company::Shared => turns.waiting_alone > 0 || turns.taken == [true; SIDE_BY_SIDE],
        };
        turns = CHANGED.wait_while(turns, free).unwrap_or_else(PoisonError::into_inner);
        let number = turns.taken.iter().position(|taken| !taken).expect("one is free");
        match company {
            Company::Shared => turns.taken[number] = true,
            Company::Alone => {
                turns.waiting_alone -= 1;
                turns.taken = [true; SIDE_BY_SIDE];
            }
        }
        Self { number, company }
    }

    /// Which of the turns that are given at a time.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut turns = lock();
        match self.company {
            Company::Shared => turns.taken[self.number] = false,
            Company::Alone => turns.taken = [false; SIDE_BY_SIDE],
        }
        CHANGED.notify_all();
    }
}

/// Tests at a time.
const SIDE_BY_SIDE: usize = 2;

/// Who has a turn.
#[derive(Debug)]
struct Turns {
    taken: [bool; SIDE_BY_SIDE],
    waiting_alone: usize,
}

static TURNS: Mutex<Turns> = Mutex::new(Turns { taken: [false; SIDE_BY_SIDE], waiting_alone: 0 });
static CHANGED: Condvar = Condvar::new();

/// A test that failed has poisoned it, and has cleaned up.
fn lock() -> MutexGuard<'static, Turns> {
    TURNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for other test runs to end, and has them wait for the end of this process.
fn keep_other_runs_away() {
    static LOCK: OnceLock<File> = OnceLock::new();
    LOCK.get_or_init(|| {
        fs::create_dir_all(RECORDS).expect("root may write there");
        let file = File::create(format!("{RECORDS}/tests.lock")).expect("root may write there");
        let start = Instant::now();
        while let Err(TryLockError::WouldBlock) = file.try_lock() {
            assert!(start.elapsed() < OTHERS_MAX, "another test run holds {RECORDS}/tests.lock");
            thread::sleep(Duration::from_millis(50));
        }
        file
    });
}

/// Where the scripts of this repository keep their records.
const RECORDS: &str = "/run/pollux";
/// As long as a whole run of all tests may take.
const OTHERS_MAX: Duration = Duration::from_secs(1_200);
