//! What a request costs with a dozen routes and with a thousand, from the first byte of its head to the
//! last of its answer: `cargo run --release -p handlers --example lookup`.
#![expect(clippy::disallowed_methods, reason = "the clock is what it is about")]
#![expect(clippy::disallowed_macros, reason = "figures are to be seen")]

use std::sync::Arc;
use std::time::Instant;

use handlers::config::{Compress, FixedConfig, Kind, RouteConfig};
use handlers::{Methods, RequestBufferPool, Site, SiteConfig, SiteHandle};
use http1::{Conn, Context, HttpDate, Limits, Next, Out, Status};

fn main() {
    for routes in [12, 1200] {
        let site = Site::build(&config(routes), |size| Box::new(vec![0; size]));
        let site = Arc::new(site.expect("all routes differ"));
        let edition = SiteHandle::new(site, Arc::new(RequestBufferPool::new(1, 64)));
        for (what, path) in [
            ("exact", "/exact/3/page"),
            ("pattern", "/section-3/items/123456"),
            ("below", "/below-3/some/where"),
            ("missing", "/nowhere-3/items/17"),
        ] {
            println!("{routes} routes, {what}: {:.0} ns", nanoseconds(&edition, path));
        }
    }
}

/// A third of the routes each: exact paths, patterns, and what is below a path.
fn config(routes: usize) -> SiteConfig {
    let route = |path: String, below| RouteConfig {
        name: None,
        path,
        below,
        methods: Methods::GET,
        headers: Vec::new(),
        compress: Compress::Off,
        kind: Kind::Fixed(FixedConfig {
            status: Status::S200,
            media_type: "text/plain".into(),
            body: b"ok".to_vec(),
            etag: None,
        }),
    };
    let three = |at| {
        [
            route(format!("/exact/{at}/page"), false),
            route(format!("/section-{at}/items/{{id}}"), false),
            route(format!("/below-{at}/"), true),
        ]
    };
    SiteConfig { routes: (0..routes / 3).flat_map(three).collect() }
}

/// The least of several rounds, for one of 16 pipelined requests.
fn nanoseconds(edition: &SiteHandle, path: &str) -> f64 {
    let input = format!("GET {path} HTTP/1.1\r\nHost: localhost:8080\r\n\r\n").repeat(PIPELINED);
    let date = HttpDate::from_unix(0);
    let mut buffer = vec![0; 64 * 1024];
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..REPEATS {
            let mut context = Context {
                service: edition,
                limits: &Limits::DEFAULT,
                date: &date,
                one_exchange: false,
                observer: &mut (),
            };
            let mut out = Out::new(&mut buffer);
            let progress = Conn::new().advance(input.as_bytes(), false, &mut out, &mut context);
            assert_eq!((progress.consumed, progress.next), (input.len(), Next::More));
        }
        best = best.min(start.elapsed().as_secs_f64());
    }
    best * 1e9 / f64::from(REPEATS) / PIPELINED as f64
}

const PIPELINED: usize = 16;
const REPEATS: u32 = 10_000;
const ROUNDS: usize = 5;
