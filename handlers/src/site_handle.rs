//! What one worker serves with: a site, and the buffers for requests that control completes.

use std::sync::Arc;

use http1::{Class, HeadAction, HeadContext, Request, RequestAction, Service, Status};

use crate::offload::{Offload, WorkerSite};
use crate::request::RequestBufferPool;
use crate::response::Response;
use crate::site::Site;
use crate::traffic::Traffic;
use crate::work::Work;

/// A site as a worker has it. Control makes one for each worker and each reload, and keeps a clone
/// of the `Arc`, so that the worker never frees it.
#[derive(Debug)]
pub struct SiteHandle {
    site: Arc<Site>,
    for_offloads: Arc<WorkerSite>,
    buffers: Arc<RequestBufferPool>,
    traffic: Arc<Traffic>,
}

impl SiteHandle {
    /// `site`, with buffers from `buffers`.
    pub fn new(site: Arc<Site>, buffers: Arc<RequestBufferPool>) -> Self {
        let traffic = Arc::new(Traffic::new(site.route_names().len()));
        let for_offloads = Arc::new(WorkerSite(Arc::clone(&site)));
        Self { site, for_offloads, buffers, traffic }
    }

    /// The site.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The buffers.
    pub fn buffers(&self) -> &Arc<RequestBufferPool> {
        &self.buffers
    }

    /// Requests that were served with it, by route. Written by its worker.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}

impl Service for SiteHandle {
    type Work = Work;
    type Response = Response;
    type Offload = Offload;

    fn accept(&self, request: &Request<'_>, class: &mut Class) -> HeadAction<Work, Response> {
        let mut matched = self.site.unmatched();
        let action = self.site.accept(request, &self.buffers, &mut matched);
        self.traffic.count(matched.route);
        *class = matched.kind.class();
        action
    }

    fn on_body(&self, work: &mut Work, piece: &[u8]) {
        work.on_body(piece, &self.buffers);
    }

    fn holds_buffer(&self, work: &Work) -> bool {
        work.holds_buffer()
    }

    fn finish(&self, work: Work) -> RequestAction<Response, Offload> {
        match self.site.finish(work, &self.buffers) {
            Ok(response) => RequestAction::Respond(response),
            Err(guard) => {
                RequestAction::Offload(Offload::new(Arc::clone(&self.for_offloads), guard))
            }
        }
    }

    fn refuse(&self, status: Status) -> Response {
        self.site.refusal(status)
    }

    fn status(&self, response: &Response) -> Status {
        self.site.status(response)
    }

    fn body_len(&self, response: &Response) -> u64 {
        self.site.body_len(response)
    }

    fn head_into(&self, response: &Response, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        self.site.head_into(response, context, out)
    }

    fn body_into(&self, response: &Response, at: u64, out: &mut [u8]) -> usize {
        self.site.body_into(response, at, out)
    }
}
