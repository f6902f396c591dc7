//! The site: every response the appliance can give, and which of them a request gets.
//!
//! Immutable. Compiled once from a [`SiteConfig`](crate::SiteConfig), then shared by all cores; nothing
//! here allocates, locks or looks at a clock while serving. Read `README.md` for the kinds of routes and
//! what was decided.

use std::sync::Arc;

use http1::{HeadAction, HeadContext, Method, Request, Status, Target as RequestTarget};

use crate::head::HeadWriter;
use crate::paths::Target;
use crate::request::{BufferGuard, RequestBufferPool};
use crate::response::{AllowResponses, Content, ErrorResponses, Response};
use crate::route::RouteRequest;
use crate::router::{Hit, PATH_LEN_MAX, Router};
use crate::routes::query::{Bound, Query};
use crate::routes::{Dataset, Handler};
use crate::store::{EntryId, Store};
use crate::traffic::{RouteKind, RouteName};
use crate::work::{BodyState, Work};

/// Everything that can be asked for, ready to be sent.
#[derive(Debug)]
pub struct Site {
    pub(crate) store: Store,
    pub(crate) router: Router,
    /// What the router finds.
    pub(crate) resources: Box<[Resource]>,
    /// In the order of the configuration.
    pub(crate) routes: Box<[Route]>,
    /// What is refused before there is a route.
    pub(crate) errors: ErrorResponses,
    /// What the whole server allows.
    pub(crate) server: AllowResponses,
}

/// A path: what answers it, by method.
#[derive(Debug)]
pub(crate) struct Resource {
    /// By method; none is [`NONE`].
    targets: [Target; Method::ALL.len()],
    /// For all other methods. None: the path is not there at all.
    allowed: Option<AllowResponses>,
}

const NONE: Target = Target { route: u32::MAX, item: u32::MAX };

impl Resource {
    pub(crate) fn new(targets: &[(Method, Target)], allowed: Option<AllowResponses>) -> Self {
        let mut by_method = [NONE; Method::ALL.len()];
        for &(method, target) in targets {
            by_method[method as usize] = target;
        }
        Self { targets: by_method, allowed }
    }

    fn target(&self, method: Method) -> Option<Target> {
        let target = self.targets[method as usize];
        (target.route != NONE.route).then_some(target)
    }
}

/// A compiled route.
#[derive(Debug)]
pub(crate) struct Route {
    /// As statistics call it.
    pub(crate) path: Box<str>,
    pub(crate) methods: Box<str>,
    pub(crate) kind: RouteKind,
    /// Names of the parameters of its path.
    pub(crate) captures: Box<[Box<str>]>,
    pub(crate) errors: ErrorResponses,
    pub(crate) handler: Handler,
    /// Whether a parameter is in the body.
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

impl Site {
    /// All queries with the indices of their routes.
    pub fn queries(&self) -> impl Iterator<Item = (usize, &Query)> {
        (0..self.routes.len()).filter_map(|route| Some((route, self.query(route)?)))
    }

    /// The query of the route with this index, if it is one.
    pub fn query(&self, route: usize) -> Option<&Query> {
        match &self.routes[route].handler {
            Handler::Query(query) => Some(query),
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

    /// The route with this index.
    pub(crate) fn route(&self, route: usize) -> &Route {
        &self.routes[route]
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
    ) -> HeadAction<Work, Response> {
        let (path, query) = match request.target() {
            RequestTarget::Path { path, query } => (path, query.unwrap_or_default()),
            RequestTarget::Asterisk => {
                return HeadAction::Respond(Response::stored(
                    self.server.other_method(Method::Options),
                ));
            }
        };
        if path.contains(&b'%') {
            return self.accept_escaped(path, query, request, buffers, matched);
        }
        match self.router.find(path) {
            Ok(hit) => self.choose(&hit, path, query, request, buffers, matched),
            Err(status) => HeadAction::Respond(self.refusal(status)),
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
    ) -> HeadAction<Work, Response> {
        let mut room = [0; PATH_LEN_MAX];
        match self.router.find_escaped(path, &mut room) {
            Ok((hit, plain)) => self.choose(&hit, plain, query, request, buffers, matched),
            Err(status) => HeadAction::Respond(self.refusal(status)),
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
    ) -> HeadAction<Work, Response> {
        let resource = &self.resources[hit.target as usize];
        let method = request.method();
        let Some(Target { route: at, item }) = resource.target(method) else {
            return HeadAction::Respond(match resource.allowed {
                Some(allowed) => Response::stored(allowed.other_method(method)),
                None => self.refusal(Status::S404),
            });
        };
        let route = &self.routes[at as usize];
        *matched = Matched { route: at as usize, kind: route.kind };
        route.handler.serve(&RouteRequest {
            request,
            path: plain,
            query,
            captures: &hit.captures,
            route: at,
            item,
            errors: route.errors,
            takes_body: route.takes_body,
            buffers,
        })
    }

    /// The response once the body is complete; or the buffer, if control is to make it.
    pub(crate) fn finish(
        &self,
        work: Work,
        buffers: &Arc<RequestBufferPool>,
    ) -> Result<Response, BufferGuard> {
        Ok(Response(match work.0 {
            BodyState::Sum { head, query, body } => {
                Content::Number { head, value: query + i128::from(body.value().unwrap_or(0)) }
            }
            BodyState::Count { head, bytes } => Content::Number { head, value: i128::from(bytes) },
            BodyState::Buffer { guard, .. } => return Err(guard),
            BodyState::Empty(request) => match request.keep(buffers) {
                Ok(guard) => return Err(guard),
                Err(status) => return Ok(self.error_response_of(request.route as usize, status)),
            },
            BodyState::Refused { route, status } => {
                return Ok(self.error_response_of(route as usize, status));
            }
        }))
    }

    pub(crate) fn status(&self, response: &Response) -> Status {
        match &response.0 {
            Content::Rendered(rendered) => rendered.status(),
            stored => self.store.status(self.head_entry(stored)),
        }
    }

    pub(crate) fn body_len(&self, response: &Response) -> u64 {
        match &response.0 {
            Content::Stored(id) | Content::Moved { head: id, .. } => self.store.body_len(*id),
            Content::Part { len, .. } => *len,
            Content::Number { value, .. } => itoa::Buffer::new().format(*value).len() as u64,
            Content::Rows { len, .. } => u64::from(*len),
            Content::Rendered(rendered) => rendered.body().len() as u64,
        }
    }

    pub(crate) fn head_into(
        &self,
        response: &Response,
        context: &HeadContext<'_>,
        out: &mut [u8],
    ) -> usize {
        if let Content::Rendered(rendered) = &response.0 {
            return rendered.head_into(context, out);
        }
        let id = self.head_entry(&response.0);
        let (template, date_at) = self.store.head(id);
        let mut writer = HeadWriter::copy(template, date_at, context, out);
        match &response.0 {
            Content::Part { first, len, .. } => {
                writer.range_lines(*first, *len, self.store.body_len(id));
            }
            Content::Moved { query, .. } => {
                let query = query.as_ref().map(|guard| guard.buffer().query());
                writer.location_line(query.unwrap_or_default());
            }
            Content::Number { .. } | Content::Rows { .. } => {
                writer.number_line(self.body_len(response));
            }
            Content::Stored(_) | Content::Rendered(_) => {}
        }
        writer.finish(context.connection)
    }

    pub(crate) fn body_into(&self, response: &Response, at: u64, out: &mut [u8]) -> usize {
        let at = usize::try_from(at).expect("an offset within memory");
        match &response.0 {
            Content::Stored(id) | Content::Moved { head: id, .. } => {
                copy(&self.store.body(*id)[at..], out)
            }
            Content::Part { head, first, len } => {
                let first = usize::try_from(*first).expect("an offset within memory");
                let len = usize::try_from(*len).expect("a length within memory");
                copy(&self.store.body(*head)[first..first + len][at..], out)
            }
            Content::Number { value, .. } => {
                copy(&itoa::Buffer::new().format(*value).as_bytes()[at..], out)
            }
            Content::Rows { route, len, values, cursor } => {
                let dataset = self.dataset(*route);
                dataset.render(self.text_of(dataset), *values, *len, cursor, at, out)
            }
            Content::Rendered(rendered) => copy(&rendered.body()[at..], out),
        }
    }

    fn dataset(&self, route: u32) -> &Dataset {
        match &self.routes[route as usize].handler {
            Handler::Dataset(dataset) => dataset,
            other => unreachable!("no rows are rendered of {other:?}"),
        }
    }

    /// The entry whose head template goes with a response.
    fn head_entry(&self, response: &Content) -> EntryId {
        match response {
            Content::Stored(id)
            | Content::Part { head: id, .. }
            | Content::Moved { head: id, .. } => *id,
            Content::Number { head, .. } => *head,
            Content::Rows { route, .. } => self.dataset(*route).rendered(),
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
