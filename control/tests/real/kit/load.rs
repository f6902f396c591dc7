//! Load generators, and what they say of it.

use testkit::{APPLIANCE, PORT, Tool};

/// What a load generator counted.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) done: u64,
    /// Requests, or connections, that were not answered as they should: what and how many.
    pub(crate) faults: Vec<(String, u64)>,
    /// Requests a second.
    pub(crate) rate: f64,
    /// All it printed.
    pub(crate) text: String,
}

/// `wrk` with `connections` for `seconds` on `path`.
#[track_caller]
pub(crate) fn wrk(connections: u32, seconds: u32, path: &str) -> Load {
    let (connections, duration) = (format!("-c{connections}"), format!("-d{seconds}s"));
    let url = format!("http://{APPLIANCE}:{PORT}{path}");
    let arguments = ["-t1", &connections, &duration, "--timeout", "4s", "--latency", &url];
    Load::of_wrk(Tool::new(seconds + 20, "wrk", &arguments).text())
}

/// `h2load --h1` with `connections` for `seconds` on `path`.
#[track_caller]
pub(crate) fn h2load(connections: u32, seconds: u32, path: &str) -> Load {
    let (connections, duration) = (connections.to_string(), seconds.to_string());
    let url = format!("http://{APPLIANCE}:{PORT}{path}");
    let arguments = ["--h1", "-t", "1", "-c", &connections, "-D", &duration, &url];
    Load::of_h2load(Tool::new(seconds + 40, "h2load", &arguments).text())
}

impl Load {
    fn of_wrk(text: String) -> Self {
        let done = number_before(&text, " requests in ").expect("wrk says how many");
        let mut faults = Vec::new();
        if let Some((_, errors)) = text.split_once("Socket errors: ") {
            for error in errors.lines().next().unwrap_or_default().split(", ") {
                let (what, count) = error.split_once(' ').expect("a kind and a number");
                faults.push((what.to_owned(), count.parse().expect("a number")));
            }
        }
        if let Some((_, other)) = text.split_once("Non-2xx or 3xx responses: ") {
            let count = other.lines().next().and_then(|count| count.trim().parse().ok());
            faults.push(("status".to_owned(), count.expect("a number")));
        }
        let (_, rate) = text.split_once("Requests/sec:").expect("wrk says how fast");
        let rate = rate.split_whitespace().next().and_then(|rate| rate.parse().ok());
        Self { done, faults, rate: rate.expect("a rate"), text }.checked()
    }

    fn of_h2load(text: String) -> Self {
        let line = text.lines().find(|line| line.starts_with("requests:")).expect("h2load says it");
        let count = |what: &str| number_before(line, what).expect("h2load says how many");
        let codes = text.lines().find(|line| line.starts_with("status codes:"));
        let codes = codes.expect("h2load says which status codes");
        let mut faults: Vec<_> =
            [" failed", " errored", " timeout"].map(|what| (what.to_owned(), count(what))).into();
        for what in [" 3xx", " 4xx", " 5xx"] {
            faults.push((what.to_owned(), number_before(codes, what).expect("how many")));
        }
        let rate = text.split(" req/s").next().and_then(|before| before.rsplit(' ').next());
        let rate = rate.and_then(|rate| rate.parse().ok()).expect("h2load says how fast");
        Self { done: count(" succeeded"), faults, rate, text }.checked()
    }

    fn checked(mut self) -> Self {
        self.faults.retain(|(_, count)| *count > 0);
        self
    }
}

/// The number that stands right before `words`.
fn number_before(text: &str, words: &str) -> Option<u64> {
    let (before, _) = text.split_once(words)?;
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
