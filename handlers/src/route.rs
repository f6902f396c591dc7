//! What a kind of route is: compiled once from its configuration, then asked for a response to each
//! request. The kinds are listed in `routes/mod.rs`.

use std::sync::Arc;

use http1::coding::{Accepted, Coding};
use http1::{HeadAction, Method, Request, Status};

use crate::build_progress::BuildProgress;
use crate::coding::chosen;
use crate::config::{Compress, Parameter, RouteConfig};
use crate::error::{RouteErrorKind, SettingError};
use crate::fields::Fields;
use crate::methods::Methods;
use crate::paths::{PathTable, Target};
use crate::request::RequestBufferPool;
use crate::response::{ErrorResponses, Response};
use crate::router::{Captures, Pattern};
use crate::store::StoreBuilder;
use crate::traffic::RouteKind;
use crate::work::{BodyState, EmptyRequest, Work};

/// A compiled route of one kind. Immutable, shared by all cores; serving neither allocates nor blocks.
pub(crate) trait RouteHandler: Sized {
    /// What only routes of this kind have in their configuration.
    type Config;

    /// What is known of a route before it is compiled.
    fn info(config: &Self::Config) -> KindInfo<'_>;

    /// Checks the configuration and adds the responses to `store`.
    fn compile<'c>(
        config: &'c Self::Config,
        route: &mut RouteContext<'c, '_>,
        store: &mut StoreBuilder<'c>,
    ) -> Result<Self, RouteErrorKind>;

    /// The response to a request, or how its body is to be read.
    fn serve(&self, request: &RouteRequest<'_>) -> HeadAction<Work, Response>;
}

/// What is known of a route before it is compiled.
pub(crate) struct KindInfo<'c> {
    /// As error messages call a route of this kind.
    pub(crate) name: &'static str,
    /// Methods that it can answer.
    pub(crate) methods: Methods,
    /// The kind in statistics.
    pub(crate) kind: RouteKind,
    /// Whether the path of the route is there; if not, only paths that it adds are.
    pub(crate) has_own_path: bool,
    /// Parameters of the request; none for a kind that has no parameters.
    pub(crate) parameters: Option<&'c [Parameter]>,
    /// Fields that responses have from the kind, so that `headers` cannot name them.
    pub(crate) own_fields: Vec<&'c str>,
}

impl KindInfo<'_> {
    /// Of a kind with a path, and without parameters or fields of its own.
    pub(crate) fn new(name: &'static str, methods: Methods, kind: RouteKind) -> Self {
        let (parameters, own_fields) = (None, Vec::new());
        Self { name, methods, kind, has_own_path: true, parameters, own_fields }
    }
}

/// What a route is compiled with.
pub(crate) struct RouteContext<'c, 'a> {
    /// Index of the route.
    pub(crate) index: u32,
    pub(crate) config: &'c RouteConfig,
    pub(crate) pattern: &'a Pattern,
    /// Extra fields of all responses.
    pub(crate) fields: &'a Fields,
    pub(crate) paths: &'a mut PathTable,
    pub(crate) progress: &'a BuildProgress,
}

impl RouteContext<'_, '_> {
    /// Leads another path to this route; requests for it have this [`item`](RouteRequest::item).
    pub(crate) fn add_path(&mut self, path: &str, item: usize) -> Result<(), SettingError> {
        let item = u32::try_from(item).expect("fewer than 2^32 paths");
        let target = Target { route: self.index, item };
        self.paths.add(&Pattern::exactly(path), self.config, target, true)
    }

    /// Leads another path to this route for methods of it that no other route, earlier or later, has there.
    pub(crate) fn add_path_if_free(&mut self, path: &str, item: usize) {
        let item = u32::try_from(item).expect("fewer than 2^32 paths");
        let target = Target { route: self.index, item };
        self.paths.add_if_free(Pattern::exactly(path), self.config.methods, target);
    }

    /// Refuses `compress`, for kinds whose responses are short.
    pub(crate) fn refuse_compression(&self) -> Result<(), SettingError> {
        match self.config.compress {
            Compress::Off => Ok(()),
            _ => {
                let problem = "responses of this kind are too short for it";
                Err(compress_error("", problem, "leave it out"))
            }
        }
    }

    /// The codings of bodies that are made once; `why` refuses to make them for each request.
    pub(crate) fn precomputed(&self, why: &str) -> Result<&[Coding], SettingError> {
        match &self.config.compress {
            Compress::Off => Ok(&[]),
            Compress::Precomputed(codings) => Ok(codings),
            Compress::PerRequest(_) => Err(compress_error("per-request", why, "write precomputed")),
        }
    }
}

pub(crate) fn compress_error(value: &str, problem: &str, fix: &str) -> SettingError {
    SettingError::new("compress", value, problem, fix)
}

/// A request for a route.
pub(crate) struct RouteRequest<'a> {
    pub(crate) request: &'a Request<'a>,
    /// Without escapes.
    pub(crate) path: &'a [u8],
    pub(crate) query: &'a [u8],
    pub(crate) captures: &'a Captures,
    /// Index of the route.
    pub(crate) route: u32,
    /// Which path of the route: as it was added, [`Target::OWN_PATH`] for the configured one.
    pub(crate) item: u32,
    pub(crate) errors: ErrorResponses,
    /// Whether the route has a parameter in the body.
    pub(crate) takes_body: bool,
    pub(crate) buffers: &'a Arc<RequestBufferPool>,
}

impl<'a> RouteRequest<'a> {
    /// The segments of the path that are parameters.
    pub(crate) fn captures(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.captures.of(self.path)
    }

    /// The coding of `offers` that the client prefers.
    #[inline]
    pub(crate) fn coding(&self, offers: &[Coding]) -> Coding {
        match offers.len() {
            1 => Coding::Identity,
            _ => chosen(Accepted::from_values(self.request.fields("accept-encoding")), offers),
        }
    }

    /// The response that says `status`, an error.
    #[inline]
    pub(crate) fn refuse(&self, status: Status) -> HeadAction<Work, Response> {
        HeadAction::Respond(Response::stored(self.errors.of(status)))
    }

    /// Control is to make the response: fills a buffer, where there is something to keep already. One that has
    /// no room for it goes back, and the request is refused before its body.
    pub(crate) fn offload(&self) -> HeadAction<Work, Response> {
        if self.captures().any(|capture| str::from_utf8(capture).is_err()) {
            return self.refuse(Status::S404);
        }
        let accepted = Accepted::from_values(self.request.fields("accept-encoding"));
        //= RFC 9110 9.3.1: content received in a GET request has no generally defined semantics.
        let is_read = matches!(self.request.method(), Method::Get | Method::Head);
        let takes_body = self.takes_body && !is_read;
        if self.query.is_empty() && self.captures().next().is_none() {
            let request = EmptyRequest { route: self.route, accepted, takes_body };
            return HeadAction::ReadBody(Work(BodyState::Empty(request)));
        }
        let Some(mut guard) = self.buffers.acquire() else {
            return self.refuse(Status::S503);
        };
        guard.buffer_mut().begin(self.route as usize, self.captures(), self.query, accepted);
        if guard.buffer().overflows() {
            return self.refuse(Status::S413);
        }
        HeadAction::ReadBody(Work(BodyState::Buffer { guard, takes_body }))
    }
}
