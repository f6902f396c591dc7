//! What a request accumulates while its body arrives.

use std::sync::Arc;

use http1::Status;
use http1::coding::Accepted;

use crate::integer::Integer;
use crate::request::{BufferGuard, RequestBufferPool};
use crate::store::EntryId;

/// What a request accumulates while its body arrives.
#[derive(Debug)]
pub struct Work(pub(crate) BodyState);

#[derive(Debug)]
pub(crate) enum BodyState {
    /// The sum of the query, and the body as a number. `head` is open at its length.
    Sum { head: EntryId, query: i128, body: Integer },
    /// Bytes of the body so far. `head` is open at its length.
    Count { head: EntryId, bytes: u64 },
    /// Control is to make the response, and nothing of the request had to be kept so far.
    Empty(EmptyRequest),
    /// Control is to make the response.
    Buffer { guard: BufferGuard, takes_body: bool },
    /// The request could not be kept: no buffer was free, or it does not fit one, which went back.
    Refused { route: u32, status: Status },
}

/// A request that control answers, without path segments, query and body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EmptyRequest {
    pub(crate) route: u32,
    pub(crate) accepted: Accepted,
    pub(crate) takes_body: bool,
}

impl EmptyRequest {
    /// A buffer for it, or the status that refuses it.
    pub(crate) fn keep(self, buffers: &Arc<RequestBufferPool>) -> Result<BufferGuard, Status> {
        let mut guard = buffers.acquire().ok_or(Status::S503)?;
        guard.buffer_mut().begin(self.route as usize, core::iter::empty(), b"", self.accepted);
        Ok(guard)
    }
}

impl Work {
    /// The next piece of the body. A buffer for it is taken when its first byte is there: a client that sends a
    /// head and no body holds none.
    pub(crate) fn on_body(&mut self, piece: &[u8], buffers: &Arc<RequestBufferPool>) {
        match &mut self.0 {
            BodyState::Sum { body, .. } => body.on_bytes(piece),
            BodyState::Count { bytes, .. } => *bytes += piece.len() as u64,
            BodyState::Empty(request @ EmptyRequest { takes_body: true, .. }) => {
                let request = *request;
                self.0 = match request.keep(buffers) {
                    Ok(guard) => BodyState::Buffer { guard, takes_body: true },
                    Err(status) => BodyState::Refused { route: request.route, status },
                };
                self.push(piece);
            }
            BodyState::Buffer { takes_body: true, .. } => self.push(piece),
            BodyState::Empty(_) | BodyState::Buffer { .. } | BodyState::Refused { .. } => {}
        }
    }

    /// Whether it occupies a request buffer.
    pub(crate) fn holds_buffer(&self) -> bool {
        matches!(self.0, BodyState::Buffer { .. })
    }

    /// Keeps a piece of the body. A buffer that it does not fit goes back at once.
    fn push(&mut self, piece: &[u8]) {
        let BodyState::Buffer { guard, .. } = &mut self.0 else { return };
        guard.buffer_mut().push(piece);
        if guard.buffer().overflows() {
            let route = u32::try_from(guard.buffer().route()).expect("fewer than 2^32 routes");
            self.0 = BodyState::Refused { route, status: Status::S413 };
        }
    }
}
