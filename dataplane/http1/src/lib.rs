//! HTTP/1.1 (RFC 9110, RFC 9112) as a function of bytes.
//!
//! Bytes of one connection go in, bytes and what to do next come out. The crate does no I/O, reads no
//! clock, takes no lock and never allocates: the caller owns the buffers and passes the time in.
//!
//! Read [`Conn::advance`] first, then [`Service`]; `README.md` has the states on one page.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod authority;
mod body;
mod conn;
mod date;
mod frame;
mod head;
mod limits;
mod list;
mod method;
mod observe;
mod out;
mod progress;
mod reject;
mod request;
mod response;
mod service;
mod status;
mod target;

pub mod coding;
pub mod etag;
pub mod path;
pub mod range;

pub use conn::Conn;
pub use date::{HttpDate, parse_http_date};
pub use limits::{FIELDS_MAX, Limits};
pub use method::Method;
pub use observe::Observer;
pub use out::Out;
pub use progress::{Context, Next, Progress, Waiting};
pub use reject::Reject;
pub use request::{BodyLen, Request, Version};
pub use response::{Connection, HEAD_OUT_MAX, HeadContext};
pub use service::{Class, HeadAction, RequestAction, Service};
pub use status::Status;
pub use target::Target;
