//! A connection's bytes, with the names of its statements replaced on the way: [`StatementNames`] as a stream.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::statement_names::{Naming, StatementNames};

/// A stream to the server, as tokio-postgres writes and reads it.
#[derive(Debug)]
pub(super) struct StatementStream<S> {
    stream: S,
    names: StatementNames,
    /// Renamed, to be written.
    outgoing: Pending,
    /// Filtered, to be read.
    incoming: Pending,
    /// Told to whoever connects.
    process: Arc<OnceLock<i32>>,
}

/// Bytes of which the first `used` are done with.
#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    used: usize,
}

impl Pending {
    fn rest(&self) -> &[u8] {
        &self.bytes[self.used..]
    }

    fn advance(&mut self, by: usize) {
        self.used += by;
        if self.used == self.bytes.len() {
            self.bytes.clear();
            self.used = 0;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> StatementStream<S> {
    /// A stream on which nothing was said yet. `process` gets the process that the server says it is.
    pub(super) fn new(stream: S, naming: Naming, process: &Arc<OnceLock<i32>>) -> Self {
        Self {
            stream,
            names: StatementNames::new(naming),
            outgoing: Pending::default(),
            incoming: Pending::default(),
            process: Arc::clone(process),
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.rest().is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, self.outgoing.rest()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for StatementStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.incoming.rest().is_empty() && !this.names.filters_received() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        while this.incoming.rest().is_empty() {
            let mut bytes = [0; READ_BYTES];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.names.on_received(read.filled(), &mut this.incoming.bytes);
            if let Some(process) = this.names.process() {
                this.process.get_or_init(|| process);
            }
        }
        let len = this.incoming.rest().len().min(buf.remaining());
        buf.put_slice(&this.incoming.rest()[..len]);
        this.incoming.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for StatementStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(cx))?;
        this.names.on_sent(buf, &mut this.outgoing.bytes);
        match this.poll_drain(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            // What is left goes out with the next write or flush.
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Ready(Ok(buf.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Read at once, at most.
const READ_BYTES: usize = 8 << 10;
