//! Answers without a resource behind them: errors, and what a resource allows.

use http1::{Method, Status};

use crate::error::BuildError;
use crate::head::HeadPlan;
use crate::store::{Body, EntryId, StorePlan};

/// Methods that a resource has (RFC 9110 9.1). HEAD is wherever GET is, OPTIONS is everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allow {
    /// Something to read.
    Read,
    /// Something to read, and to send a body to.
    ReadOrPost,
    /// Something to send a body to.
    Post,
}

impl Allow {
    const ALL: [Self; 3] = [Self::Read, Self::ReadOrPost, Self::Post];

    /// The value of an `Allow` field (RFC 9110 10.2.1).
    fn list(self) -> &'static str {
        match self {
            Self::Read => "GET, HEAD, OPTIONS",
            Self::ReadOrPost => "GET, HEAD, POST, OPTIONS",
            Self::Post => "POST, OPTIONS",
        }
    }
}

/// Where those answers are in the store.
#[derive(Debug)]
pub(crate) struct Answers {
    /// Of each status of [`Status::ALL`] that is an error.
    errors: Vec<(Status, EntryId)>,
    /// 204 for each of [`Allow::ALL`].
    options: [EntryId; 3],
    /// 405 for each of [`Allow::ALL`].
    not_allowed: [EntryId; 3],
}

impl Answers {
    /// Plans them all.
    pub(crate) fn plan(store: &mut StorePlan<'_>) -> Result<Self, BuildError> {
        let mut errors = Vec::new();
        for &status in Status::ALL.iter().filter(|status| status.class() >= 4) {
            let head = match status {
                Status::S405 => HeadPlan::new(status).field("Allow", Allow::ReadOrPost.list()),
                Status::S503 => HeadPlan::new(status).field("Retry-After", RETRY_AFTER_SECS),
                _ => HeadPlan::new(status),
            };
            errors.push((status, error(store, head)?));
        }
        let mut options = Vec::new();
        let mut not_allowed = Vec::new();
        for allow in Allow::ALL {
            let head = HeadPlan::new(Status::S204).field("Allow", allow.list());
            options.push(store.add("OPTIONS", head, Body::Empty)?);
            let head = HeadPlan::new(Status::S405).field("Allow", allow.list());
            not_allowed.push(error(store, head)?);
        }
        let three = |ids: Vec<_>| ids.try_into().expect("one for each of Allow::ALL");
        Ok(Self { errors, options: three(options), not_allowed: three(not_allowed) })
    }

    /// The answer that says `status`; 500 for a status that is no error.
    pub(crate) fn error(&self, status: Status) -> EntryId {
        let find = |status| self.errors.iter().find(|(known, _)| *known == status);
        find(status).or_else(|| find(Status::S500)).map(|&(_, id)| id).expect("500 is an error")
    }

    /// The answer for a method that a resource with this list does not have, OPTIONS included.
    pub(crate) fn other_method(&self, method: Method, allow: Allow) -> EntryId {
        match method {
            Method::Options => self.options[allow as usize],
            _ => self.not_allowed[allow as usize],
        }
    }
}

/// An error with a short text.
fn error(store: &mut StorePlan<'_>, head: HeadPlan) -> Result<EntryId, BuildError> {
    let status = head.status;
    let text = format!("{} {}\n", status.code(), status.reason());
    let head = head.field("Content-Type", TEXT).field("Content-Length", text.len());
    store.add(status.reason(), head, Body::Own(text.into_bytes().into()))
}

/// Content-Type of short texts.
pub(crate) const TEXT: &str = "text/plain";

/// What an overloaded or draining server asks for (RFC 9110 10.2.3), in seconds.
const RETRY_AFTER_SECS: u32 = 1;
