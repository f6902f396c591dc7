//! What one call of [`Conn::advance`](crate::Conn::advance) is given, and what it says.

use crate::{HttpDate, Limits};

/// What [`Conn::advance`](crate::Conn::advance) works with and does not own.
#[derive(Debug)]
pub struct Context<'a, S, O> {
    /// What answers requests.
    pub service: &'a S,
    /// What one request may cost.
    pub limits: &'a Limits,
    /// Now, for the `Date` field.
    pub date: &'a HttpDate,
    /// Notified of what happened.
    pub observer: &'a mut O,
    /// Whether to stop between two requests, with [`Next::More`] and whatever input is left: the
    /// caller wants to serve the next one with something else.
    pub one_exchange: bool,
}

/// Result of [`Conn::advance`](crate::Conn::advance).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes from the start of `input` that are done with.
    pub consumed: usize,
    /// What must happen before another call makes sense.
    pub next: Next,
}

/// What a connection needs next. Whatever is in `out` is to be sent in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Input beyond what was given, or its end.
    More,
    /// More room: `out` is full, or has less than [`HEAD_OUT_MAX`](crate::HEAD_OUT_MAX) left and a head is due.
    Flush,
    /// The completion of an offload: see [`Conn::take_offload`](crate::Conn::take_offload) and
    /// [`Conn::complete`](crate::Conn::complete).
    Park,
    /// Everything is in `out`: send it, half-close, discard further input.
    Close,
}

/// What a connection is waiting for, so that the caller can choose a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// A request; nothing of it was seen.
    Idle,
    /// The rest of a request head.
    Head,
    /// The rest of a request body.
    Body,
    /// The completion of an offload.
    Completion,
    /// Room: a response is not wholly written.
    Output,
    /// Nothing: the connection is over.
    Closed,
}
