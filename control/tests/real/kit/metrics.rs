//! What the server says over HTTP of itself, read by a parser that is not ours.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use testkit::{Rig, Tool};

/// All samples of one scrape.
#[derive(Clone, Debug)]
pub(crate) struct Scrape(Vec<Sample>);

type Sample = (String, BTreeMap<String, String>, f64);

impl Scrape {
    /// Asks `/metrics`, and has Python's `prometheus_client` parse what comes, strictly.
    #[track_caller]
    pub(crate) fn take(rig: &Rig) -> Self {
        let (status, text) = probe("/metrics");
        assert_eq!(status, 200, "{text}");
        let file = rig.scratch.path().join("metrics.txt");
        fs::write(&file, text).expect("writable");
        let file = file.to_str().expect("a path in UTF-8");
        let samples = Tool::new(10, "/usr/bin/python3", &["-c", PARSE, file]).text();
        Self(serde_json::from_str(&samples).expect("Python writes JSON"))
    }

    /// The first scrape that is `good`; panics when that takes too long.
    #[track_caller]
    pub(crate) fn when(rig: &Rig, what: &str, good: impl Fn(&Self) -> bool) -> Self {
        let start = Instant::now();
        loop {
            let scrape = Self::take(rig);
            if good(&scrape) {
                return scrape;
            }
            assert!(start.elapsed() < SETTLE_MAX, "metrics never showed {what}: {scrape:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sum of the samples of this name that have all of these labels.
    #[track_caller]
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let is_it = |(found, has, _): &&Sample| {
            found == name && labels.iter().all(|(k, v)| has.get(*k).is_some_and(|is| is == v))
        };
        assert!(self.has(name), "there is no metric {name}");
        self.0.iter().filter(is_it).map(|(_, _, value)| value).sum()
    }

    /// Whether there is a sample of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(found, _, _)| found == name)
    }
}

/// Asks the metrics listener for `path`: the status, and the body.
#[track_caller]
pub(crate) fn probe(path: &str) -> (u16, String) {
    let url = format!("http://{LISTEN}{path}");
    let arguments = ["--silent", "--max-time", "8", "--write-out", "\n%{http_code}", &url];
    let output = Tool::new(10, "curl", &arguments).output();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').expect("curl writes the status");
    (status.parse().expect("a number"), body.to_owned())
}

/// The default of `metrics.listen`.
pub(crate) const LISTEN: &str = "127.0.0.1:9464";
/// How long metrics may take to show what has happened.
const SETTLE_MAX: Duration = Duration::from_secs(20);
const PARSE: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_fd_to_metric_families as parse
families = parse(open(sys.argv[1]))
print(json.dumps([[s.name, s.labels, s.value] for f in families for s in f.samples]))
";
