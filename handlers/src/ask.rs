//! What a core hands to control: one request that it cannot answer itself.

use std::sync::Arc;

use http1::Status;

use crate::dataset::Dataset;
use crate::form::Lease;
use crate::inputs::Inputs;
use crate::query::Query;
use crate::rendered::Rendered;
use crate::site::{Reply, Site};

/// A request that somebody beside the dataplane answers, with the site that it was made to.
#[derive(Debug)]
pub struct Ask {
    site: Arc<Site>,
    lease: Lease,
}

impl Ask {
    pub(crate) fn new(site: Arc<Site>, lease: Lease) -> Self {
        Self { site, lease }
    }

    /// The site that was asked.
    pub fn site(&self) -> &Arc<Site> {
        &self.site
    }

    /// Index of the route in its blueprint.
    pub fn route(&self) -> usize {
        self.lease.form().route()
    }

    /// The answer that says `status`, an error, to this request: 503 where too many wait.
    pub fn refusal(&self, status: Status) -> Reply {
        self.site.refusal_of(self.route(), status)
    }

    /// What is to be done.
    pub fn errand(&self) -> Errand<'_> {
        self.site.errand(self.lease.form())
    }
}

/// What is to be done for an [`Ask`].
#[derive(Debug)]
pub enum Errand<'a> {
    /// A statement is to be run.
    Query(&'a Query, Inputs<'a>),
    /// A body is to be rendered and compressed: processor time, nothing else.
    Press(Press<'a>),
}

/// A body that is to be rendered and compressed for one request.
#[derive(Debug)]
pub struct Press<'a> {
    site: &'a Site,
    dataset: &'a Dataset,
    inputs: Inputs<'a>,
}

impl<'a> Press<'a> {
    pub(crate) fn new(site: &'a Site, dataset: &'a Dataset, inputs: Inputs<'a>) -> Self {
        Self { site, dataset, inputs }
    }

    /// Renders and compresses: milliseconds for a megabyte.
    pub fn run(&self) -> Rendered {
        let captures = self.inputs.captures().iter().map(|(_, text)| text.as_bytes());
        let values = self.dataset.values(captures, self.inputs.query());
        self.dataset.press(self.site.text_of(self.dataset), values, self.inputs.accepted())
    }
}
