//! The site through the protocol: request bytes in, answer bytes out.

mod build;
mod client;
mod conditional;
mod json;
mod routes;
