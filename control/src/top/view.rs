//! What is to be seen, without where: plain numbers for the screen.

use super::controls::Sort;
use super::errors::ErrorCount;
use crate::stats::{Part, Quantiles};

/// Everything.
#[derive(Clone, Debug)]
pub(super) struct View {
    /// Whose numbers these are.
    pub(super) header: Header,
    /// The numbers, or why there are none.
    pub(super) body: Result<Body, Absence>,
}

/// Why there are no numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Absence {
    /// In two words.
    pub(super) title: &'static str,
    /// In full; may be empty.
    pub(super) text: String,
}

/// The server. All but its name is empty while there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Header {
    pub(super) name: String,
    /// The name of it.
    pub(super) state: &'static str,
    /// For how many seconds no report has come, where one should have.
    pub(super) silence: Option<u64>,
    pub(super) pid: u32,
    pub(super) version: String,
    pub(super) uptime_seconds: u64,
    pub(super) link: String,
    pub(super) url: String,
    pub(super) memory: Memory,
}

/// Memory of the process, of the host, of the ports.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Memory {
    /// Bytes.
    pub(super) resident: u64,
    /// Bytes.
    pub(super) hugepages: u64,
    /// Bytes of a hugepage of the host.
    pub(super) host_page_size: u64,
    pub(super) host_free: u64,
    pub(super) host_total: u64,
    pub(super) mbufs: u64,
    pub(super) mbufs_free: u64,
}

/// The numbers.
#[derive(Clone, Debug)]
pub(super) struct Body {
    /// Whose numbers all but `cores` and `errors` are; of all cores if none.
    pub(super) core: Option<usize>,
    pub(super) cores: Vec<CoreLine>,
    /// Per second.
    pub(super) requests: f64,
    /// Requests a second, the newest last.
    pub(super) history: Vec<f64>,
    /// By class, per second.
    pub(super) responses: [(&'static str, f64); 4],
    pub(super) received: Throughput,
    pub(super) sent: Throughput,
    pub(super) connections: Connections,
    pub(super) latency: Vec<LatencyLine>,
    /// In the order of the configuration.
    pub(super) routes: Vec<RouteLine>,
    /// Of all cores.
    pub(super) errors: Vec<ErrorCount>,
}

/// What went one way, per second.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Throughput {
    pub(super) bytes: f64,
    pub(super) frames: f64,
}

/// How many are in each state; the first is all together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connections(pub(super) [(&'static str, u64); 8]);

/// One core.
#[derive(Clone, Copy, Debug)]
pub(super) struct CoreLine {
    pub(super) core: usize,
    /// Share of its cycles.
    pub(super) busy: f64,
    /// Requests a second.
    pub(super) rate: f64,
}

/// Latencies of one class of requests.
#[derive(Clone, Debug)]
pub(super) struct LatencyLine {
    pub(super) class: String,
    pub(super) part: Part,
    /// Requests a second.
    pub(super) rate: f64,
    /// Of the last interval.
    pub(super) quantiles: Quantiles,
}

/// One route.
#[derive(Clone, Debug)]
pub(super) struct RouteLine {
    pub(super) path: String,
    pub(super) methods: String,
    pub(super) kind: String,
    /// Requests a second.
    pub(super) rate: f64,
    /// Requests since the start.
    pub(super) total: u64,
}

impl Body {
    /// The routes in this order; equals stay in that of the configuration.
    pub(super) fn routes_by(&self, sort: Sort) -> Vec<&RouteLine> {
        let mut routes: Vec<_> = self.routes.iter().collect();
        match sort {
            Sort::Rate => {
                routes.sort_by(|a, b| b.rate.total_cmp(&a.rate).then(b.total.cmp(&a.total)))
            }
            Sort::Name => routes.sort_by(|a, b| (&a.path, &a.methods).cmp(&(&b.path, &b.methods))),
            Sort::Total => routes.sort_by_key(|route| std::cmp::Reverse(route.total)),
        }
        routes
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::top::controls::Controls;
    use crate::top::event::Polled;
    use crate::top::model::Model;
    use crate::top::testkit::report;

    #[test]
    fn routes_are_sorted_three_ways() {
        let mut model = Model::new("pollux");
        for seconds in [1, 2] {
            let mut report = report(seconds, &[1]);
            // Much earlier, nothing now.
            report.routes[2].requests = 1_000_000;
            let report = Box::new(report);
            model.take(Polled::Report { core: None, report }, Instant::now());
        }
        let view = model.view(&Controls::new(Duration::from_secs(1)), Instant::now());
        let body = view.body.expect("there is a server");
        let firsts = [Sort::Rate, Sort::Name, Sort::Total].map(|sort| {
            body.routes_by(sort)[..2].iter().map(|r| r.path.as_str()).collect::<Vec<_>>()
        });
        assert_eq!(
            firsts,
            [
                ["/json/{count}", "/async-db"],
                ["(no route)", "/async-db"],
                ["/pipeline", "/json/{count}"]
            ]
        );
    }
}
