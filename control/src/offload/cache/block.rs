//! Whether responses are kept out of a part of the cache, because a write of unknown outcome may still change what they
//! say.

use std::time::Instant;

/// The writes of unknown outcome that concern one part of the cache.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Block {
    /// Writes whose outcome will be known.
    open: usize,
    /// When those whose outcome will not be known can have no effect any more.
    until: Option<Instant>,
}

impl Block {
    /// Whether responses are kept out.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.open > 0 || self.until.is_some_and(|until| now < until)
    }

    /// One write more.
    pub(super) fn begin(&mut self) {
        self.open += 1;
    }

    /// One write less.
    pub(super) fn end(&mut self) {
        self.open -= 1;
    }

    /// At least until then, whatever ends before.
    pub(super) fn extend(&mut self, until: Option<Instant>) {
        self.until = self.until.max(until);
    }

    /// See [`extend`](Self::extend).
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }
}
