//! The protocol as its callers see it: bytes in, bytes out.

mod mirror;
mod parked;
mod peer;
mod random;
mod rows_body;
mod rows_connection;
mod rows_head;
mod smuggling;
