//! What one worker serves with: a site, and the forms for what control answers.

use std::sync::Arc;

use http1::{Class, HeadContext, Outcome, Request, Service, Status, Verdict};

use crate::ask::Ask;
use crate::form::FormPool;
use crate::site::{Reply, Site, Work};
use crate::traffic::Traffic;

/// A site as a worker has it. Control makes one for each worker and each reload, and keeps a clone
/// of the `Arc` it lends, so that the worker never frees it.
#[derive(Debug)]
pub struct Edition {
    site: Arc<Site>,
    forms: Arc<FormPool>,
    traffic: Arc<Traffic>,
}

impl Edition {
    /// `site`, with forms from `forms`.
    pub fn new(site: Arc<Site>, forms: Arc<FormPool>) -> Self {
        let traffic = Arc::new(Traffic::new(site.route_names().len()));
        Self { site, forms, traffic }
    }

    /// The site.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The forms.
    pub fn forms(&self) -> &Arc<FormPool> {
        &self.forms
    }

    /// Requests that were served with it, by route. Written by its worker.
    pub fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}

impl Service for Edition {
    type Work = Work;
    type Reply = Reply;
    type Offload = Ask;

    fn accept(&self, request: &Request<'_>, class: &mut Class) -> Verdict<Work, Reply> {
        let mut taken = self.site.not_taken();
        let verdict = self.site.accept(request, &self.forms, &mut taken);
        self.traffic.count(taken.route);
        *class = taken.kind.class();
        verdict
    }

    fn on_body(&self, work: &mut Work, piece: &[u8]) {
        work.on_body(piece);
    }

    fn finish(&self, work: Work) -> Outcome<Reply, Ask> {
        Site::finish(&self.site, work)
    }

    fn refuse(&self, status: Status) -> Reply {
        self.site.refusal(status)
    }

    fn status(&self, reply: &Reply) -> Status {
        self.site.status(reply)
    }

    fn body_len(&self, reply: &Reply) -> u64 {
        self.site.body_len(reply)
    }

    fn head_into(&self, reply: &Reply, context: &HeadContext<'_>, out: &mut [u8]) -> usize {
        self.site.head_into(reply, context, out)
    }

    fn body_into(&self, reply: &Reply, at: u64, out: &mut [u8]) -> usize {
        self.site.body_into(reply, at, out)
    }
}
