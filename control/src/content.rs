//! What is served: the data directory or the built-in sample, made into a site.

use std::sync::Arc;

use dpdk::{Backing, HugeBytes};
use handlers::{BuildError, Bytes, Material, Site};

use crate::config::Plan;
use crate::data::{self, DataError};

/// Why there is nothing to serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The data is not what it should be.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// A site and what is to be said of it.
#[derive(Debug)]
pub(crate) struct Content {
    /// The site.
    pub(crate) site: Arc<Site>,
    /// Where it came from.
    pub(crate) source: String,
    /// Static files.
    pub(crate) files: usize,
    /// Octets of the response store.
    pub(crate) octets: usize,
    /// Whether the store lies in hugepages.
    pub(crate) huge: bool,
}

impl Content {
    /// Reads what `plan` names and lays it out in hugepages, as far as there are any.
    ///
    /// # Errors
    /// The data is missing or malformed.
    pub(crate) fn load(plan: &Plan) -> Result<Self, ContentError> {
        Self::build(plan, |octets| match HugeBytes::zeroed(octets) {
            Ok(bytes) => (bytes.backing() == Backing::Huge, Box::new(bytes)),
            // The site says that it got too little.
            Err(_) => (false, Box::new(Vec::new())),
        })
    }

    /// Reads what `plan` names, to see whether it could be served.
    ///
    /// # Errors
    /// The data is missing or malformed.
    pub(crate) fn rehearse(plan: &Plan) -> Result<Self, ContentError> {
        Self::build(plan, |octets| (false, Box::new(vec![0; octets])))
    }

    fn build(
        plan: &Plan,
        memory: impl FnOnce(usize) -> (bool, Box<dyn Bytes>),
    ) -> Result<Self, ContentError> {
        let (material, source) = gather(plan)?;
        let mut octets = 0;
        let mut huge = false;
        let site = Site::build(&material, |len| {
            octets = len;
            let (backing, bytes) = memory(len);
            huge = backing;
            bytes
        })?;
        Ok(Self { site: Arc::new(site), source, files: material.files.len(), octets, huge })
    }
}

fn gather(plan: &Plan) -> Result<(Material, String), DataError> {
    match &plan.data {
        Some(directory) => Ok((data::read(directory)?, directory.display().to_string())),
        None => Ok((handlers::sample::material(), "the built-in sample".into())),
    }
}
