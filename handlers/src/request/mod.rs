//! What a request brings along, and the buffer that keeps it while control works on the response.

mod buffer;
mod inputs;

pub use buffer::RequestBufferPool;
pub(crate) use buffer::{BufferGuard, RequestBuffer};
pub use inputs::{CAPTURES_MAX, Inputs};
