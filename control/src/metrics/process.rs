//! When this process began, as the kernel knows it.

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// Seconds since 1970-01-01T00:00:00Z; `None` if the kernel does not tell.
pub(super) fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let system = fs::read_to_string("/proc/stat").ok()?;
    let ticks_per_second = sysconf(SysconfVar::CLK_TCK).ok()??;
    let booted: u64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(booted as f64 + start_ticks(&stat)? as f64 / ticks_per_second as f64)
}

/// Field 22 of `/proc/self/stat`. The name of the program, field 2, may have spaces and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(START_TIME - FIELDS_BEFORE)?.parse().ok()
}

/// Number of the field, from 1, as proc(5) counts.
const START_TIME: usize = 22;
/// Fields 1 and 2 are before the last parenthesis.
const FIELDS_BEFORE: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::unix_now;

    #[test]
    fn a_name_with_parentheses_is_passed_over() {
        let stat = "7 (a) b) (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(start_ticks(stat), Some(4711));
    }

    #[test]
    fn this_process_began_not_long_ago() {
        let age = unix_now() as f64 - start_time().expect("Linux tells");
        assert!((-2.0..86_400.0).contains(&age), "{age}");
    }
}
