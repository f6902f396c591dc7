//! The site: every response the appliance can give, and which of them a request gets.
//!
//! Immutable. Built once from a [`SiteConfig`], then shared by all cores; nothing here allocates, locks
//! or looks at a clock while serving. Read `README.md` for the kinds of routes and what was decided.

use std::fmt;
use std::sync::Arc;

use http1::coding::Accepted;
use http1::{HeadContext, Method, Outcome, Request, Status, Target, Verdict};

use crate::compile::Tables;
use crate::config::SiteConfig;
use crate::error::BuildError;
use crate::head::HeadWriter;
use crate::integer::{Number, query_sum};
use crate::offload::{Compression, JobKind, Offload};
use crate::request::{BufferGuard, RequestBuffer, RequestBufferPool};
use crate::response::RenderedResponse;
use crate::response::{AllowResponses, ErrorResponses};
use crate::router::{Hit, PATH_LEN_MAX, Router};
use crate::routes::dataset::{Dataset, DatasetResponse, Values};
use crate::routes::files::{File, FileResponse};
use crate::routes::fixed::Fixed;
use crate::routes::query::{Bound, Query};
use crate::source::Bytes;
use crate::store::{EntryId, Store};
use crate::traffic::{RouteKind, RouteName};

/// Everything that can be asked for, ready to be sent.
#[derive(Debug)]
pub struct Site {
    store: Store,
    router: Router,
    /// What the router finds.
    resources: Box<[Resource]>,
    handlers: Box<[Handler]>,
    /// In the order of the configuration.
    routes: Box<[Route]>,
    /// What is refused before there is a route.
    errors: ErrorResponses,
    /// What the whole server allows.
    server: AllowResponses,
}

/// A path: what answers it, by method.
#[derive(Debug)]
pub(crate) struct Resource {
    /// Index of a handler by method, or [`NONE`].
    handlers: [u32; Method::ALL.len()],
    /// For all other methods. None: the path is not there at all.
    allowed: Option<AllowResponses>,
}

const NONE: u32 = u32::MAX;

impl Resource {
    pub(crate) fn new(handlers: &[(Method, u32)], allowed: Option<AllowResponses>) -> Self {
        let mut by_method = [NONE; Method::ALL.len()];
        for &(method, handler) in handlers {
            by_method[method as usize] = handler;
        }
        Self { handlers: by_method, allowed }
    }

    fn handler(&self, method: Method) -> Option<usize> {
        let handler = self.handlers[method as usize];
        (handler != NONE).then_some(handler as usize)
    }
}

/// What answers some methods of some paths.
#[derive(Debug)]
pub(crate) struct Handler {
    /// Index of its route.
    pub(crate) route: u32,
    /// Of its route.
    pub(crate) kind: RouteKind,
    pub(crate) answer: Answer,
}

#[derive(Debug)]
pub(crate) enum Answer {
    Fixed(Fixed),
    Redirect(EntryId),
    File(File),
    /// There is no such file.
    NoFile,
    /// `head` is the open head of a number.
    Sum {
        head: EntryId,
    },
    Count {
        head: EntryId,
    },
    Dataset(Box<Dataset>),
    Query(Box<Query>),
}

/// What is known of a route, whatever its kind.
#[derive(Debug)]
pub(crate) struct Route {
    /// As statistics call it.
    pub(crate) path: Box<str>,
    pub(crate) methods: Box<str>,
    pub(crate) kind: RouteKind,
    /// Names of the parameters of its path.
    pub(crate) captures: Box<[Box<str>]>,
    pub(crate) errors: ErrorResponses,
    /// Index of the handler of everything but files.
    pub(crate) handler: u32,
    /// Whether a body is written down.
    pub(crate) takes_body: bool,
    /// Routes whose cached responses are dropped after a request to this one.
    pub(crate) invalidates: Box<[usize]>,
}

/// Cached responses that no longer hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Index of the route that gave them.
    pub route: usize,
    /// The key of the response, see [`Query::cache_key`]. None: all responses of the route.
    pub key: Option<Vec<u8>>,
}

/// Which route takes a request, for statistics.
pub(crate) struct Matched {
    /// Its index; the number of routes if none does.
    pub(crate) route: usize,
    pub(crate) kind: RouteKind,
}

/// What a request accumulates while its body arrives.
#[derive(Debug)]
pub struct Work(BodyState);

#[derive(Debug)]
enum BodyState {
    /// The sum of the query, and the body as a number.
    Sum { head: EntryId, query: i128, body: Number },
    /// Bytes of the body so far.
    Count { head: EntryId, bytes: u64 },
    /// Control is to answer.
    RequestBuffer { guard: BufferGuard, takes_body: bool },
}

impl Work {
    /// The next piece of the body.
    pub(crate) fn on_body(&mut self, piece: &[u8]) {
        match &mut self.0 {
            BodyState::Sum { body, .. } => body.on_bytes(piece),
            BodyState::Count { bytes, .. } => *bytes += piece.len() as u64,
            BodyState::RequestBuffer { guard, takes_body: true } => guard.buffer_mut().push(piece),
            BodyState::RequestBuffer { takes_body: false, .. } => {}
        }
    }
}

/// A chosen response.
#[derive(Clone)]
pub struct Response(Content);

#[derive(Clone, Debug)]
enum Content {
    /// As it stands in the store.
    Stored(EntryId),
    /// A part of the stored body that goes with this head.
    Part { head: EntryId, first: u64, len: u64 },
    /// A number as text.
    Number { head: EntryId, value: i128 },
    /// The body of a data set, of this length.
    Rows { handler: u32, len: u32, values: Values },
    /// Made by control.
    Rendered(Arc<RenderedResponse>),
}

impl Response {
    /// A response that was made off the data path. The caller keeps a clone of the `Arc` until it
    /// holds the only one: what a core drops is never the last.
    pub fn rendered(rendered: Arc<RenderedResponse>) -> Self {
        Self(Content::Rendered(rendered))
    }

    fn stored(id: EntryId) -> Self {
        Self(Content::Stored(id))
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Site {
    /// Checks the configuration, computes what can be computed, asks `memory` once for room of the exact
    /// size in bytes, and lays every response into it.
    ///
    /// # Errors
    /// If a route or its data are at fault, or the memory is smaller than asked for.
    pub fn build(
        config: &SiteConfig,
        memory: impl FnOnce(usize) -> Box<dyn Bytes>,
    ) -> Result<Self, BuildError> {
        let tables = Tables::plan(config)?;
        Ok(Self {
            store: tables.store.build(memory)?,
            router: tables.router,
            resources: tables.resources.into(),
            handlers: tables.handlers.into(),
            routes: tables.routes.into(),
            errors: tables.errors,
            server: tables.server,
        })
    }

    /// All queries with the indices of their routes.
    pub fn queries(&self) -> impl Iterator<Item = (usize, &Query)> {
        (0..self.routes.len()).filter_map(|route| Some((route, self.query(route)?)))
    }

    /// The query of the route with this index, if it is one.
    pub fn query(&self, route: usize) -> Option<&Query> {
        match &self.handlers[self.routes[route].handler as usize].answer {
            Answer::Query(query) => Some(query),
            _ => None,
        }
    }

    /// Cached responses that no longer hold once the query of this route was run with these values.
    pub fn invalidates(&self, route: usize, bound: &Bound) -> Vec<Invalidation> {
        let mut invalid = Vec::new();
        let Some(source) = self.query(route) else { return invalid };
        for &target in &self.routes[route].invalidates {
            let keys = self.query(target).and_then(|query| query.cache_keys_of(source, bound));
            match keys {
                Some(keys) => invalid.extend(
                    keys.into_iter().map(|key| Invalidation { route: target, key: Some(key) }),
                ),
                None => invalid.push(Invalidation { route: target, key: None }),
            }
        }
        invalid
    }

    /// The response that says `status`, of no route; 500 for a status that is no error.
    pub fn refusal(&self, status: Status) -> Response {
        Response::stored(self.errors.of(status))
    }

    /// The response that says `status`, with the extra fields of a route.
    pub(crate) fn error_response_of(&self, route: usize, status: Status) -> Response {
        Response::stored(self.routes[route].errors.of(status))
    }

    /// What a buffer asks for.
    pub(crate) fn job_kind<'a>(&'a self, buffer: &'a RequestBuffer) -> JobKind<'a> {
        let route = &self.routes[buffer.route()];
        let inputs = buffer.inputs(route.captures.iter().map(|name| &**name));
        match &self.handlers[route.handler as usize].answer {
            Answer::Query(query) => JobKind::Query(query, inputs),
            Answer::Dataset(dataset) => JobKind::Compress(Compression::new(self, dataset, inputs)),
            other => unreachable!("no buffer is filled for {other:?}"),
        }
    }

    /// The text of the items of a data set.
    pub(crate) fn text_of(&self, dataset: &Dataset) -> &[u8] {
        self.store.body(dataset.rendered())
    }

    /// All routes as statistics call them, in the order of the configuration.
    pub fn route_names(&self) -> impl ExactSizeIterator<Item = RouteName<'_>> {
        self.routes.iter().map(|route| RouteName {
            path: &route.path,
            methods: &route.methods,
            kind: route.kind,
        })
    }

    /// What is known of a request before a route takes it.
    pub(crate) fn unmatched(&self) -> Matched {
        Matched { route: self.routes.len(), kind: RouteKind::Unrouted }
    }

    /// What is to be done with a request. `matched` is [`unmatched`](Self::unmatched), and becomes the route
    /// that takes it.
    pub(crate) fn accept(
        &self,
        request: &Request<'_>,
        buffers: &Arc<RequestBufferPool>,
        matched: &mut Matched,
    ) -> Verdict<Work, Response> {
        let (path, query) = match request.target() {
            Target::Path { path, query } => (path, query.unwrap_or_default()),
            Target::Asterisk => {
                return Verdict::Reply(Response::stored(self.server.other_method(Method::Options)));
            }
        };
        if path.contains(&b'%') {
            return self.accept_escaped(path, query, request, buffers, matched);
        }
        match self.router.find(path) {
            Ok(hit) => self.choose(&hit, path, query, request, buffers, matched),
            Err(status) => Verdict::Reply(self.refusal(status)),
        }
    }

    /// Apart from its caller for its room.
    #[inline(never)]
    fn accept_escaped(
        &self,
        path: &[u8],
        query: &[u8],
        request: &Request<'_>,
        buffers: &Arc<RequestBufferPool>,
        matched: &mut Matched,
    ) -> Verdict<Work, Response> {
        let mut room = [0; PATH_LEN_MAX];
        match self.router.find_escaped(path, &mut room) {
            Ok((hit, plain)) => self.choose(&hit, plain, query, request, buffers, matched),
            Err(status) => Verdict::Reply(self.refusal(status)),
        }
    }

    /// The response of a path that is there; `plain` has no escapes.
    fn choose(
        &self,
        hit: &Hit,
        plain: &[u8],
        query: &[u8],
        request: &Request<'_>,
        buffers: &Arc<RequestBufferPool>,
        matched: &mut Matched,
    ) -> Verdict<Work, Response> {
        let resource = &self.resources[hit.target as usize];
        let method = request.method();
        let Some(at) = resource.handler(method) else {
            return Verdict::Reply(match resource.allowed {
                Some(allowed) => Response::stored(allowed.other_method(method)),
                None => self.refusal(Status::S404),
            });
        };
        let Handler { route, kind, answer } = &self.handlers[at];
        let route = *route as usize;
        *matched = Matched { route, kind: *kind };
        let refuse = |status| Verdict::Reply(self.error_response_of(route, status));
        let gather = |gathering| Verdict::Read(Work(gathering));
        Verdict::Reply(Response(match answer {
            Answer::Fixed(fixed) => Content::Stored(fixed.serve(request)),
            Answer::Redirect(id) => Content::Stored(*id),
            Answer::NoFile => return refuse(Status::S404),
            Answer::File(file) => match file.serve(request) {
                FileResponse::Stored(id) => Content::Stored(id),
                FileResponse::Part { head, first, len } => Content::Part { head, first, len },
                FileResponse::Failed => return refuse(Status::S412),
            },
            &Answer::Sum { head } if method == Method::Post => {
                let (query, body) = (query_sum(query), Number::default());
                return gather(BodyState::Sum { head, query, body });
            }
            &Answer::Sum { head } => Content::Number { head, value: query_sum(query) },
            &Answer::Count { head } => return gather(BodyState::Count { head, bytes: 0 }),
            Answer::Dataset(dataset) => {
                match dataset.serve(hit.captures.of(plain), query, request) {
                    Ok(DatasetResponse::Stored(id)) => Content::Stored(id),
                    Ok(DatasetResponse::Rendered { values, len }) => {
                        let handler = u32::try_from(at).expect("fewer than 2^32 handlers");
                        Content::Rows { handler, len, values }
                    }
                    Ok(DatasetResponse::Offload) => {
                        return self.write_down(route, hit, plain, query, request, buffers);
                    }
                    Err(status) => return refuse(status),
                }
            }
            Answer::Query(_) => return self.write_down(route, hit, plain, query, request, buffers),
        }))
    }

    /// Fills a buffer for control.
    fn write_down(
        &self,
        route: usize,
        hit: &Hit,
        plain: &[u8],
        query: &[u8],
        request: &Request<'_>,
        buffers: &Arc<RequestBufferPool>,
    ) -> Verdict<Work, Response> {
        if hit.captures.of(plain).any(|capture| str::from_utf8(capture).is_err()) {
            return Verdict::Reply(self.error_response_of(route, Status::S404));
        }
        let Some(mut guard) = buffers.acquire() else {
            return Verdict::Reply(self.error_response_of(route, Status::S503));
        };
        let accepted = Accepted::from_values(request.fields("accept-encoding"));
        guard.buffer_mut().begin(route, hit.captures.of(plain), query, accepted);
        //= RFC 9110 9.3.1: content received in a GET request has no generally defined semantics.
        let is_read = matches!(request.method(), Method::Get | Method::Head);
        let takes_body = self.routes[route].takes_body && !is_read;
        Verdict::Read(Work(BodyState::RequestBuffer { guard, takes_body }))
    }

    pub(crate) fn finish(self: &Arc<Self>, work: Work) -> Outcome<Response, Offload> {
        Outcome::Reply(Response(match work.0 {
            BodyState::Sum { head, query, body } => {
                Content::Number { head, value: query + i128::from(body.value().unwrap_or(0)) }
            }
            BodyState::Count { head, bytes } => Content::Number { head, value: i128::from(bytes) },
            BodyState::RequestBuffer { guard, .. } if guard.buffer().overflows() => {
                return Outcome::Reply(
                    self.error_response_of(guard.buffer().route(), Status::S413),
                );
            }
            BodyState::RequestBuffer { guard, .. } => {
                return Outcome::Ask(Offload::new(Arc::clone(self), guard));
            }
        }))
    }

    pub(crate) fn status(&self, reply: &Response) -> Status {
        match &reply.0 {
            Content::Rendered(rendered) => rendered.status(),
            stored => self.store.status(self.head_entry(stored)),
        }
    }

    pub(crate) fn body_len(&self, reply: &Response) -> u64 {
        match &reply.0 {
            Content::Stored(id) => self.store.body_len(*id),
            Content::Part { len, .. } => *len,
            Content::Number { value, .. } => itoa::Buffer::new().format(*value).len() as u64,
            Content::Rows { len, .. } => u64::from(*len),
            Content::Rendered(rendered) => rendered.body().len() as u64,
        }
    }

    pub(crate) fn head_into(
        &self,
        reply: &Response,
        context: &HeadContext<'_>,
        out: &mut [u8],
    ) -> usize {
        if let Content::Rendered(rendered) = &reply.0 {
            return rendered.head_into(context, out);
        }
        let id = self.head_entry(&reply.0);
        let (template, date_at) = self.store.head(id);
        let mut writer = HeadWriter::copy(template, date_at, context, out);
        match reply.0 {
            Content::Part { first, len, .. } => {
                writer.range_lines(first, len, self.store.body_len(id));
            }
            Content::Number { .. } | Content::Rows { .. } => {
                writer.number_line(self.body_len(reply));
            }
            Content::Stored(_) | Content::Rendered(_) => {}
        }
        writer.finish(context.connection)
    }

    pub(crate) fn body_into(&self, reply: &Response, at: u64, out: &mut [u8]) -> usize {
        let at = usize::try_from(at).expect("an offset within memory");
        match &reply.0 {
            Content::Stored(id) => copy(&self.store.body(*id)[at..], out),
            Content::Part { head, first, len } => {
                let first = usize::try_from(*first).expect("an offset within memory");
                let len = usize::try_from(*len).expect("a length within memory");
                copy(&self.store.body(*head)[first..first + len][at..], out)
            }
            Content::Number { value, .. } => {
                copy(&itoa::Buffer::new().format(*value).as_bytes()[at..], out)
            }
            Content::Rows { handler, len, values } => {
                let dataset = self.dataset(*handler);
                dataset.render(self.text_of(dataset), *values, *len, at, out)
            }
            Content::Rendered(rendered) => copy(&rendered.body()[at..], out),
        }
    }

    fn dataset(&self, handler: u32) -> &Dataset {
        match &self.handlers[handler as usize].answer {
            Answer::Dataset(dataset) => dataset,
            other => unreachable!("no rows are rendered of {other:?}"),
        }
    }

    /// The entry whose head template goes with a choice.
    fn head_entry(&self, choice: &Content) -> EntryId {
        match choice {
            Content::Stored(id) | Content::Part { head: id, .. } => *id,
            Content::Number { head, .. } => *head,
            Content::Rows { handler, .. } => self.dataset(*handler).rendered(),
            Content::Rendered(_) => unreachable!("it brings its own head"),
        }
    }
}

/// Copies what fits; returns how much.
fn copy(from: &[u8], out: &mut [u8]) -> usize {
    let len = from.len().min(out.len());
    out[..len].copy_from_slice(&from[..len]);
    len
}
