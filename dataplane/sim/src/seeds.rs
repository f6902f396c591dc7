//! Many seeds through one scenario; the one that fails is named, and can be had back.

/// Environment variable that holds the only seed to run.
const VARIABLE: &str = "SIM_SEED";

/// Runs `scenario` with seeds 0 to `count` - 1, or with the one that `SIM_SEED` names.
///
/// # Panics
/// If a scenario does, after saying with which seed.
pub fn for_seeds(count: u64, scenario: impl Fn(u64)) {
    let only = std::env::var(VARIABLE)
        .ok()
        .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{VARIABLE}={text} is no seed")));
    let seeds = only.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        let named = Named(seed);
        scenario(seed);
        drop(named);
    }
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
