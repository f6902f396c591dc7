//! What a request brings along, and the buffer that keeps it while control works on the response.

mod buffer;
mod inputs;

pub(crate) use buffer::BufferGuard;
pub use buffer::RequestBufferPool;
pub use inputs::{CAPTURES_MAX, Inputs};
