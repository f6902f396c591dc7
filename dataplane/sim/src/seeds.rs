//! Many seeds through one scenario; the one that fails is named, and can be had back.

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Environment variable that holds the only seed to run, or a range of them: `183`, `0..5000`.
const VARIABLE: &str = "SIM_SEED";

/// Runs `scenario` with seeds 0 to `count` - 1 until one fails, or with all of those that `SIM_SEED` names.
///
/// # Panics
/// If a scenario does, after saying with which seed.
pub fn for_seeds(count: u64, scenario: impl Fn(u64)) {
    let run = |seed| {
        let named = Named(seed);
        scenario(seed);
        drop(named);
    };
    let Some(chosen) = chosen() else { return (0..count).for_each(run) };
    let failed: Vec<u64> =
        chosen.filter(|&seed| catch_unwind(AssertUnwindSafe(|| run(seed))).is_err()).collect();
    assert!(failed.is_empty(), "failed with seeds {failed:?}");
}

fn chosen() -> Option<Range<u64>> {
    let text = std::env::var(VARIABLE).ok()?;
    let range = match text.split_once("..") {
        Some((first, end)) => first.parse().ok().zip(end.parse().ok()),
        None => text.parse().ok().map(|seed: u64| (seed, seed + 1)),
    };
    let (first, end) = range.unwrap_or_else(|| panic!("{VARIABLE}={text} is no seed, nor a range"));
    Some(first..end)
}

/// Says which seed it was if the scenario panics.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {0} failed; to have it back: {VARIABLE}={0} cargo test -p sim", self.0);
        }
    }
}
