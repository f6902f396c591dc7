//! A worker, played by a test: requests as text in, responses as text out, and behind it everything that
//! completes offloads, running.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use dpdk::Tsc;
use engine::ConnId;
use engine::control_queue::{self, Submission, WallClock, WorkerEnd};
use handlers::config::{
    CacheConfig, Compress, Database, Kind, Outside, Parameter, QueryConfig, RouteConfig, Source,
    ValueKind,
};
use handlers::{Methods, RequestBufferPool, Response, Site, SiteConfig, SiteHandle};
use http1::{Conn, Context, HttpDate, Limits, Next, Out, Status};

use super::{OffloadService, Parts};
use crate::config::{ComputePlan, PostgresPlan, SqlitePlan};

/// A worker with what is behind it.
pub(super) struct TestWorker {
    site_handle: RefCell<Arc<SiteHandle>>,
    request_buffers: Arc<RequestBufferPool>,
    worker: WorkerEnd<SiteHandle>,
    pub(super) offload: OffloadService,
    asked: Cell<u32>,
    completions: RefCell<HashMap<ConnId, Response>>,
}

/// A request that was sent.
pub(super) struct Waiting {
    id: ConnId,
    conn: Conn<SiteHandle>,
    /// An exchange keeps the site it began with.
    site_handle: Arc<SiteHandle>,
    since: Instant,
    /// What was answered at once.
    sent: Vec<u8>,
}

/// A response, and how long it took to come.
#[derive(Clone, Debug)]
pub(super) struct Received {
    response: ::testkit::Response,
    pub(super) took: Duration,
}

impl Deref for Received {
    type Target = ::testkit::Response;

    fn deref(&self) -> &Self::Target {
        &self.response
    }
}

impl TestWorker {
    pub(super) fn start(parts: &Parts, routes: Vec<RouteConfig>) -> Self {
        let (control, worker) = control_queue::pair(&WallClock::new(0), 4096);
        let request_buffers = Arc::new(RequestBufferPool::new(4096, 4096));
        let site = site(routes);
        let lines = vec![(control.submissions(), control.completions())];
        let offload = OffloadService::start_with(parts, lines, tsc(), &site).expect("threads");
        let site_handle =
            RefCell::new(Arc::new(SiteHandle::new(site, Arc::clone(&request_buffers))));
        let (asked, completions) = (Cell::new(0), RefCell::default());
        Self { site_handle, request_buffers, worker, offload, asked, completions }
    }

    /// Serves other routes from now on; returns what it served before.
    pub(super) fn reload(&self, routes: Vec<RouteConfig>) -> Arc<SiteHandle> {
        let fresh = self.prepare(routes);
        self.offload.on_new_site(fresh.site());
        self.site_handle.replace(fresh)
    }

    /// A site for these routes, ready to be served.
    pub(super) fn prepare(&self, routes: Vec<RouteConfig>) -> Arc<SiteHandle> {
        let site = site(routes);
        self.offload.before_new_site(&site);
        Arc::new(SiteHandle::new(site, Arc::clone(&self.request_buffers)))
    }

    /// A request that begins with this site.
    pub(super) fn get_of(&self, site_handle: &Arc<SiteHandle>, path: &str) -> Received {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
        self.end(self.begin_of(Arc::clone(site_handle), &request, Duration::ZERO))
    }

    pub(super) fn get(&self, path: &str) -> Received {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    /// A request with a JSON body.
    pub(super) fn send(&self, method: &str, path: &str, body: &str) -> Received {
        let len = body.len();
        self.request(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n{body}"
        ))
    }

    pub(super) fn request(&self, request: &str) -> Received {
        self.end(self.begin(request))
    }

    /// Sends a request and does not wait.
    pub(super) fn begin(&self, request: &str) -> Waiting {
        self.begin_of(Arc::clone(&self.site_handle.borrow()), request, Duration::ZERO)
    }

    /// Sends a request that was parked `ago`.
    pub(super) fn begin_parked(&self, request: &str, ago: Duration) -> Waiting {
        self.begin_of(Arc::clone(&self.site_handle.borrow()), request, ago)
    }

    fn begin_of(&self, site_handle: Arc<SiteHandle>, request: &str, ago: Duration) -> Waiting {
        let generation = self.asked.get();
        self.asked.set(generation + 1);
        let id = ConnId::new(0, generation);
        let (mut conn, mut sent) = (Conn::new(), Vec::new());
        if advance(&mut conn, &site_handle, request.as_bytes(), &mut sent) == Next::Park {
            let offload = conn.take_offload().expect("something is asked");
            let parked = tsc().now() - tsc().cycles(ago);
            let submission = Submission { id, offload, parked };
            assert!(self.worker.submit(submission).is_ok(), "the ring has room");
        }
        Waiting { id, conn, site_handle, since: Instant::now(), sent }
    }

    pub(super) fn begin_get(&self, path: &str) -> Waiting {
        self.begin(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    /// Whether the response is there.
    pub(super) fn is_complete(&self, waiting: &Waiting) -> bool {
        let mut completions = self.completions.borrow_mut();
        completions.extend(std::iter::from_fn(|| self.worker.poll_completion()));
        !waiting.sent.is_empty() || completions.contains_key(&waiting.id)
    }

    /// Waits for the response.
    #[track_caller]
    pub(super) fn end(&self, mut waiting: Waiting) -> Received {
        while !self.is_complete(&waiting) {
            assert!(waiting.since.elapsed() < RESPONSE_TIMEOUT, "no answer");
            thread::sleep(Duration::from_micros(20));
        }
        let took = waiting.since.elapsed();
        if let Some(response) = self.completions.borrow_mut().remove(&waiting.id) {
            assert!(waiting.conn.complete(response).is_ok(), "the answer is waited for");
            advance(&mut waiting.conn, &waiting.site_handle, b"", &mut waiting.sent);
        }
        let (response, len) = ::testkit::Response::read(&waiting.sent, false).expect("a whole one");
        assert_eq!(len, waiting.sent.len(), "one response, not more");
        Received { response, took }
    }

    /// A number of the statistics.
    #[track_caller]
    pub(super) fn reading(&self, name: &str) -> u64 {
        let readings = self.offload.readings();
        readings.note_moved();
        let found = readings.iter().find(|reading| reading.name == name);
        found.unwrap_or_else(|| panic!("there is no {name}")).value
    }

    /// Waits until a number of the statistics is as it should be.
    #[track_caller]
    pub(super) fn wait_for(&self, name: &str, is_so: impl Fn(u64) -> bool) {
        let since = Instant::now();
        while !is_so(self.reading(name)) {
            assert!(since.elapsed() < RESPONSE_TIMEOUT, "{name} stays {}", self.reading(name));
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for TestWorker {
    fn drop(&mut self) {
        self.offload.readings().note_moved();
        self.offload.stop();
    }
}

/// The clock of the worker, measured once.
fn tsc() -> Tsc {
    static TSC: OnceLock<Tsc> = OnceLock::new();
    *TSC.get_or_init(Tsc::calibrated)
}

pub(super) fn site(routes: Vec<RouteConfig>) -> Arc<Site> {
    let site = Site::build(&SiteConfig { routes }, |bytes| Box::new(vec![0; bytes]));
    Arc::new(site.unwrap_or_else(|error| panic!("{error}")))
}

fn advance(
    conn: &mut Conn<SiteHandle>,
    site_handle: &SiteHandle,
    input: &[u8],
    sent: &mut Vec<u8>,
) -> Next {
    let (date, limits, mut at) = (HttpDate::from_unix(0), Limits::DEFAULT, 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut out = Out::new(&mut buffer);
        let mut context = Context {
            service: site_handle,
            limits: &limits,
            date: &date,
            one_exchange: false,
            observer: &mut (),
        };
        let progress = conn.advance(&input[at..], false, &mut out, &mut context);
        let written = out.len();
        sent.extend_from_slice(&buffer[..written]);
        at += progress.consumed;
        if progress.next != Next::Flush {
            return progress.next;
        }
    }
}

/// Small, without a server.
pub(super) fn parts() -> Parts {
    // Nobody waits that long, unless a test says so.
    let timeout = Duration::from_secs(10);
    Parts {
        postgres: PostgresPlan { server: None, connections: 4, pipeline: 4, timeout, queue: 100 },
        sqlite: SqlitePlan { threads: 2, cache: 1 << 20, timeout, queue: 100 },
        compute: ComputePlan { threads: 1, queue: 2 },
        cache_entries: 100,
    }
}

/// A route for GET that answers with all rows.
pub(super) fn list(path: &str, database: Database, sql: &str, row: &str) -> QueryRoute {
    let plan = QueryConfig {
        database,
        statement: path.trim_start_matches('/').to_owned(),
        sql: sql.into(),
        arguments: Vec::new(),
        parameters: Vec::new(),
        row: row.into(),
        body: Some("{\"rows\": rows}".into()),
        status: Status::S200,
        unavailable: None,
        cache: None,
        invalidates: Vec::new(),
        writes: false,
    };
    QueryRoute { path: path.into(), methods: Methods::GET, name: None, plan }
}

/// A query with what is around it, to be changed by whoever needs something else.
#[derive(Clone)]
pub(super) struct QueryRoute {
    path: String,
    methods: Methods,
    name: Option<String>,
    plan: QueryConfig,
}

impl QueryRoute {
    pub(super) fn sqlite(path: &str, file: &Path, sql: &str, row: &str) -> Self {
        list(path, Database::Sqlite(file.to_owned()), sql, row)
    }

    pub(super) fn postgres(path: &str, sql: &str, row: &str) -> Self {
        list(path, Database::Postgres, sql, row)
    }

    /// With a parameter for the next placeholder.
    pub(super) fn with(mut self, name: &str, from: Source, kind: ValueKind) -> Self {
        self.plan.arguments.push(name.into());
        self.plan.parameters.push(Parameter {
            name: name.into(),
            from,
            kind,
            default: None,
            bounds: None,
            outside: Outside::Refuse,
        });
        self
    }

    pub(super) fn method(self, methods: Methods) -> Self {
        Self { methods, ..self }
    }

    pub(super) fn named(self, name: &str) -> Self {
        Self { name: Some(name.into()), ..self }
    }

    /// The response is the first row.
    pub(super) fn first(mut self) -> Self {
        self.plan.body = None;
        self
    }

    pub(super) fn unavailable(mut self, body: &str) -> Self {
        self.plan.unavailable = Some(body.into());
        self
    }

    pub(super) fn cached(mut self, lifetime: Duration) -> Self {
        self.plan.cache = Some(CacheConfig { lifetime, header: "X-Cache".into() });
        self
    }

    pub(super) fn invalidates(mut self, name: &str) -> Self {
        self.plan.invalidates.push(name.into());
        self
    }

    /// Its statement writes.
    pub(super) fn writes(mut self) -> Self {
        self.plan.writes = true;
        self
    }

    pub(super) fn route(self) -> RouteConfig {
        RouteConfig {
            name: self.name,
            path: self.path,
            below: false,
            methods: self.methods,
            headers: Vec::new(),
            compress: Compress::Off,
            kind: Kind::Query(Box::new(self.plan)),
        }
    }
}

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(20);
