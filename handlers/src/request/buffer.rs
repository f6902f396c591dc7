//! Request buffers: what a core writes down of a request that somebody else answers.
//!
//! All buffers of a process are made at start. A core takes one from the pool, fills it, and hands it
//! to control inside an [`Offload`; dropped, it goes back to the pool. Neither side
//! allocates or frees one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::queue::ArrayQueue;
use http1::coding::Accepted;

use super::inputs::{CAPTURES_MAX, Inputs};

/// The buffers of a process.
#[derive(derive_more::Debug)]
#[debug("RequestBufferPool {{ free: {}, refused: {} }}", free.len(), self.refused())]
pub struct RequestBufferPool {
    free: ArrayQueue<Box<RequestBuffer>>,
    /// Written by cores, read by control.
    refused: AtomicU64,
}

impl RequestBufferPool {
    /// `count` buffers with room for `bytes` each: path segments, query and body of one request
    /// together.
    pub fn new(count: usize, bytes: usize) -> Self {
        let free = ArrayQueue::new(count.max(1));
        for _ in 0..count {
            let pushed = free.push(Box::new(RequestBuffer::new(bytes)));
            assert!(pushed.is_ok(), "there is room for each");
        }
        Self { free, refused: AtomicU64::new(0) }
    }

    /// Requests answered 503 because every buffer was in use.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Request buffers that nobody uses.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Takes a buffer, or counts that there is none.
    pub(crate) fn acquire(self: &Arc<Self>) -> Option<BufferGuard> {
        let buffer = self.free.pop();
        if buffer.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        buffer.map(|buffer| BufferGuard { buffer: Some(buffer), pool: Arc::clone(self) })
    }
}

/// A buffer in use.
#[derive(Debug)]
pub(crate) struct BufferGuard {
    /// There until the guard is dropped.
    buffer: Option<Box<RequestBuffer>>,
    pool: Arc<RequestBufferPool>,
}

impl BufferGuard {
    /// The buffer.
    pub(crate) fn buffer(&self) -> &RequestBuffer {
        self.buffer.as_deref().expect("there until the guard is dropped")
    }

    /// The buffer, to be filled.
    pub(crate) fn buffer_mut(&mut self) -> &mut RequestBuffer {
        self.buffer.as_deref_mut().expect("there until the guard is dropped")
    }
}

impl Drop for BufferGuard {
    fn drop(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            let back = self.pool.free.push(buffer);
            debug_assert!(back.is_ok(), "the pool has room for each of its buffers");
        }
    }
}

/// What was written down of one request. `bytes[..used]` are the path segments, the query and the
/// body, in this order.
#[derive(derive_more::Debug)]
#[debug("RequestBuffer {{ route: {route}, used: {used} }}")]
pub(crate) struct RequestBuffer {
    bytes: Box<[u8]>,
    used: usize,
    /// Something did not fit: the request is answered 413.
    overflows: bool,
    route: usize,
    /// Where each path segment ends.
    captures: [usize; CAPTURES_MAX],
    captures_len: usize,
    query_end: usize,
    accepted: Accepted,
}

impl RequestBuffer {
    fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![0; bytes].into(),
            used: 0,
            overflows: false,
            route: 0,
            captures: [0; CAPTURES_MAX],
            captures_len: 0,
            query_end: 0,
            accepted: Accepted::IDENTITY_ONLY,
        }
    }

    /// Begins anew, with a request for a route.
    pub(crate) fn begin<'p>(
        &mut self,
        route: usize,
        captures: impl Iterator<Item = &'p [u8]>,
        query: &[u8],
        accepted: Accepted,
    ) {
        self.used = 0;
        self.overflows = false;
        self.route = route;
        self.captures_len = 0;
        for capture in captures {
            self.push(capture);
            self.captures[self.captures_len] = self.used;
            self.captures_len += 1;
        }
        self.push(query);
        self.query_end = self.used;
        self.accepted = accepted;
    }

    /// Writes more bytes down: of the body, once the request has begun.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self.bytes.get_mut(self.used..self.used + bytes.len()) {
            Some(room) if !self.overflows => {
                room.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            _ => self.overflows = true,
        }
    }

    /// Whether something did not fit.
    pub(crate) fn overflows(&self) -> bool {
        self.overflows
    }

    /// The query, as it was sent.
    pub(crate) fn query(&self) -> &[u8] {
        let from = self.captures[..self.captures_len].last().copied().unwrap_or(0);
        &self.bytes[from..self.query_end]
    }

    /// Index of the route.
    pub(crate) fn route(&self) -> usize {
        self.route
    }

    /// What was written down; `names` are those of the path segments.
    pub(crate) fn inputs<'a>(&'a self, names: impl Iterator<Item = &'a str>) -> Inputs<'a> {
        let mut from = 0;
        let captures = names.zip(&self.captures[..self.captures_len]).map(|(name, &end)| {
            let text = str::from_utf8(&self.bytes[from..end]);
            from = end;
            (name, text.expect("a path that matches is UTF-8"))
        });
        let query = self.query();
        let body = &self.bytes[self.query_end..self.used];
        Inputs::new(captures, query, body, self.accepted)
    }
}
