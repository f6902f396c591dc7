//! What a core hands to control: one request that it cannot answer itself.

use std::sync::Arc;

use http1::Status;

use crate::request::{BufferGuard, Inputs};
use crate::response::{RenderedResponse, Response};
use crate::routes::query::Query;
use crate::routes::{Dataset, Handler};
use crate::site::Site;

/// A site as the offloads of one worker hold it: a count of the site itself would be a cache line that every core
/// writes to for every offload.
#[derive(Debug)]
pub(crate) struct WorkerSite(pub(crate) Arc<Site>);

/// A request that somebody off the data path answers, with the site that it was made to.
#[derive(Debug)]
pub struct Offload {
    site: Arc<WorkerSite>,
    guard: BufferGuard,
}

impl Offload {
    pub(crate) fn new(site: Arc<WorkerSite>, guard: BufferGuard) -> Self {
        Self { site, guard }
    }

    /// The site that was asked.
    pub fn site(&self) -> &Arc<Site> {
        &self.site.0
    }

    /// Index of the route in the configuration.
    pub fn route(&self) -> usize {
        self.guard.buffer().route()
    }

    /// The response that says `status`, an error, to this request: 503 where too many wait.
    pub fn refusal(&self, status: Status) -> Response {
        self.site.0.error_response_of(self.route(), status)
    }

    /// What is to be done.
    pub fn job_kind(&self) -> JobKind<'_> {
        let buffer = self.guard.buffer();
        let route = self.site.0.route(buffer.route());
        let inputs = buffer.inputs(route.captures.iter().map(|name| &**name));
        match &route.handler {
            Handler::Query(query) => JobKind::Query(query, inputs),
            Handler::Dataset(dataset) => {
                JobKind::Compress(Compression { site: &self.site.0, dataset, inputs })
            }
            other => unreachable!("no buffer is filled for {other:?}"),
        }
    }
}

/// What is to be done for an [`Offload`].
#[derive(Debug)]
pub enum JobKind<'a> {
    /// A statement is to be run.
    Query(&'a Query, Inputs<'a>),
    /// A body is to be rendered and compressed: processor time, nothing else.
    Compress(Compression<'a>),
}

/// A body that is to be rendered and compressed for one request.
#[derive(Debug)]
pub struct Compression<'a> {
    site: &'a Site,
    dataset: &'a Dataset,
    inputs: Inputs<'a>,
}

impl Compression<'_> {
    /// Renders and compresses: milliseconds for a megabyte.
    pub fn run(&self) -> RenderedResponse {
        let captures = self.inputs.captures().iter().map(|(_, text)| text.as_bytes());
        let values = self.dataset.values(captures, self.inputs.query());
        self.dataset.compress(self.site.text_of(self.dataset), values, self.inputs.accepted())
    }
}
