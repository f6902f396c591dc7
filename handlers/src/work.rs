//! What a request accumulates while its body arrives.

use crate::integer::Integer;
use crate::request::BufferGuard;
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
    /// Control is to make the response.
    Buffer { guard: BufferGuard, takes_body: bool },
}

impl Work {
    /// The next piece of the body.
    pub(crate) fn on_body(&mut self, piece: &[u8]) {
        match &mut self.0 {
            BodyState::Sum { body, .. } => body.on_bytes(piece),
            BodyState::Count { bytes, .. } => *bytes += piece.len() as u64,
            BodyState::Buffer { guard, takes_body: true } => guard.buffer_mut().push(piece),
            BodyState::Buffer { takes_body: false, .. } => {}
        }
    }
}
