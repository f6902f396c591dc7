//! What one worker serves with: a site, and the forms for what control answers.

use std::sync::Arc;

use http1::{HeadContext, Outcome, Request, Service, Status, Verdict};

use crate::ask::Ask;
use crate::form::FormPool;
use crate::site::{Reply, Site, Work};

/// A site as a worker has it. Control makes one for each worker and each reload, and keeps a clone
/// of the `Arc` it lends, so that the worker never frees it.
#[derive(Debug)]
pub struct Edition {
    site: Arc<Site>,
    forms: Arc<FormPool>,
}

impl Edition {
    /// `site`, with forms from `forms`.
    pub fn new(site: Arc<Site>, forms: Arc<FormPool>) -> Self {
        Self { site, forms }
    }

    /// The site.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// The forms.
    pub fn forms(&self) -> &Arc<FormPool> {
        &self.forms
    }
}

impl Service for Edition {
    type Work = Work;
    type Reply = Reply;
    type Ask = Ask;

    fn accept(&self, request: &Request<'_>) -> Verdict<Work, Reply> {
        self.site.accept(request, &self.forms)
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
