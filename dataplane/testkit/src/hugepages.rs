//! Hugepages for the length of a test, through `hugepages.sh`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::tool::Tool;
use crate::turn::Turn;

/// Hugepages of 2 MiB that are there for a test and were not there before.
#[derive(Debug)]
pub struct Hugepages {
    owner: String,
}

impl Hugepages {
    /// Reserves `pages` through `hugepages.sh`, under an owner of this turn. Pages that a killed test run
    /// left are taken over, not added to.
    ///
    /// # Panics
    /// If the kernel has not as many.
    #[track_caller]
    #[must_use]
    pub fn reserve(pages: u32, turn: &Turn) -> Self {
        let (count, owner) = (pages.to_string(), format!("tests-{}", turn.number()));
        hugepages(&["reserve", &count, "--owner", &owner]).text();
        Self { owner }
    }

    /// Gives them back. None may be in use that no process holds: that would be a leak. What a server has that ended just
    /// now may be free a moment later (the kernel frees the memory of an AF_XDP socket behind its back); given back
    /// before, the pages that went would be those of the test beside this one.
    ///
    /// # Errors
    /// How many are.
    pub fn release(self) -> Result<(), String> {
        let start = Instant::now();
        while Self::leaked() > 0 {
            if start.elapsed() > RELEASE_MAX {
                return Err(format!("{} hugepages that no process holds", Self::leaked()));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Pages in use that no process holds. Others may start and end while this is read, so that only
    /// a number that stays says something.
    ///
    /// # Panics
    /// If the kernel has no hugepages.
    #[must_use]
    pub fn leaked() -> u64 {
        let used = Self::count("HugePages_Total:") - Self::free();
        let held = |pid: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("HugetlbPages:"));
            let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
            kib.unwrap_or(0_u64) / KIB_PER_PAGE
        };
        let entries = fs::read_dir("/proc").expect("procfs is mounted").flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let pids = names.filter(|name| name.parse::<u32>().is_ok());
        used.saturating_sub(pids.map(|pid| held(&pid)).sum())
    }

    /// Pages that nobody uses.
    ///
    /// # Panics
    /// If the kernel has no hugepages.
    #[must_use]
    pub fn free() -> u64 {
        Self::count("HugePages_Free:")
    }

    fn count(name: &str) -> u64 {
        let text = fs::read_to_string("/proc/meminfo").expect("procfs is mounted");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).expect("the kernel has hugepages")
    }
}

impl Drop for Hugepages {
    fn drop(&mut self) {
        // What others use of the pool stays in it; the script says so.
        hugepages(&["release", "--owner", &self.owner]).output();
    }
}

const KIB_PER_PAGE: u64 = 2_048;

fn hugepages(arguments: &[&str]) -> Tool {
    Tool::script(60, "hugepages.sh", arguments)
}

/// How long the kernel may take to free the pages of a process that has ended.
const RELEASE_MAX: Duration = Duration::from_secs(10);
