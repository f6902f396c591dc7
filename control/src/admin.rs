//! The admin socket: how an operator talks to a server that runs.
//!
//! A Unix socket, `/run/pollux/NAME.sock`, on which requests and replies are lines of JSON. What may be
//! asked is in [`commands`]; everything else here is the same for all commands. The format is in
//! `control/README.md`.

mod client;
mod commands;
mod protocol;
mod server;
mod socket;

pub(crate) use client::{AskError, reload};
pub(crate) use commands::Desk;
pub(crate) use server::serve;
pub(crate) use socket::{NAME, Socket, SocketError, is_name};
