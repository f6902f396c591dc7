//! The interface between the protocol and the application.
//!
//! [`Conn`](crate::Conn) decides *when* something is answered and how it is framed; a [`Service`]
//! decides *what*. A service is shared by every connection of every core: it is immutable, and
//! whatever one request needs to remember lives in its `Work` and `Response` values.

use crate::{HeadContext, Request, Status};

/// What the appliance answers. Implemented by `handlers::Site`, and by small services in tests.
///
/// Order of calls for one request: `accept`, then (if it said [`HeadAction::ReadBody`]) `on_body` for
/// every piece of the body and `finish`; then `head_into` once and `body_into` until the body has
/// left. Where `finish` returned [`RequestAction::Offload`], the response comes from another thread in between.
/// A request that is refused midway, or whose connection ends, loses its `Work` without `finish`.
pub trait Service {
    /// What a request accumulates while its body arrives.
    type Work;
    /// The chosen response: small, and enough to produce any byte of it again.
    type Response;
    /// Work that another thread has to do before there is a response.
    type Offload;

    /// A request head is complete and its framing is valid. A service that distinguishes classes of requests
    /// puts this one's into `class`. (An argument, since a larger result costs a copy a request.)
    fn accept(
        &self,
        request: &Request<'_>,
        class: &mut Class,
    ) -> HeadAction<Self::Work, Self::Response>;

    /// The next piece of the request body, transfer coding removed. Never empty; cut anywhere.
    fn on_body(&self, work: &mut Self::Work, piece: &[u8]);

    /// Whether `work` occupies one of a bounded number of buffers. The caller may bound how many of them one peer has, and
    /// takes one back by [`Conn::refuse_body`](crate::Conn::refuse_body).
    fn holds_buffer(&self, work: &Self::Work) -> bool {
        let _ = work;
        false
    }

    /// The body is complete: choose the response, or return the work that has to be done first.
    fn finish(&self, work: Self::Work) -> RequestAction<Self::Response, Self::Offload>;

    /// The request cannot be answered as it should: the response for `status`, a short text.
    fn refuse(&self, status: Status) -> Self::Response;

    /// Status of a response.
    fn status(&self, response: &Self::Response) -> Status;

    /// Length of the body in bytes. Zero for 204 and 304. For HEAD the protocol sends none of it.
    fn body_len(&self, response: &Self::Response) -> u64;

    /// Writes the complete head, from the status line to the empty line, and returns its length.
    ///
    /// `out` has at least [`HEAD_OUT_MAX`](crate::HEAD_OUT_MAX) bytes; a service proves when it is
    /// built that none of its heads is longer.
    fn head_into(
        &self,
        response: &Self::Response,
        context: &HeadContext<'_>,
        out: &mut [u8],
    ) -> usize;

    /// Writes body bytes starting at offset `at` (less than `body_len`) into `out`, which is not
    /// empty and no longer than what is left of the body, and returns how many: at least one.
    /// A pure function of its arguments: it is called again at any offset.
    fn body_into(&self, response: &Self::Response, at: u64, out: &mut [u8]) -> usize;
}

/// A class of requests whose latency is measured together. The service numbers them, from zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class(pub u8);

/// What a service decides on a request head.
#[derive(Debug)]
pub enum HeadAction<W, R> {
    /// The body (perhaps empty) is wanted: read it, then call [`Service::finish`].
    ReadBody(W),
    /// The response is known. A body, if there is one, is read and thrown away.
    Respond(R),
}

/// What a service decides on a whole request.
#[derive(Debug)]
pub enum RequestAction<R, A> {
    /// The response is known.
    Respond(R),
    /// Another thread has to do this work: the connection is parked until
    /// [`Conn::complete`](crate::Conn::complete).
    Offload(A),
}
