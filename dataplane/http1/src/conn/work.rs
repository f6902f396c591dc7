//! What a request keeps while its body comes in, as the caller of a connection sees it.

use super::{Conn, Job, Phase};
use crate::Service;

impl<S: Service> Conn<S> {
    /// What the request has accumulated whose body is still to come in; `None`: there is no such request, or its body is
    /// for nothing.
    pub fn work(&self) -> Option<&S::Work> {
        match &self.phase {
            Phase::Body(receive) | Phase::Continue(receive) => match &receive.job {
                Job::Work(work) => Some(work),
                Job::Discard(_) => None,
            },
            _ => None,
        }
    }

    /// Drops the [`work`](Self::work) of a request. Its body is read and thrown away, then `response` is sent; without
    /// such a request nothing changes.
    pub fn refuse_body(&mut self, response: S::Response) {
        if let Phase::Body(receive) | Phase::Continue(receive) = &mut self.phase
            && matches!(receive.job, Job::Work(_))
        {
            receive.job = Job::Discard(response);
        }
    }
}
