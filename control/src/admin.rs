//! The admin socket: how an operator talks to a server that runs.
//!
//! A Unix socket, `admin.directory`/`admin.name`.sock, on which requests and replies are lines of JSON.
//! What may be asked is in [`commands`]; everything else here is the same for all commands. The format
//! is in `control/README.md`.

mod client;
mod clients;
mod commands;
mod protocol;
mod server;
mod socket;
mod status;

pub(crate) use client::{Client, ClientError, request};
pub(crate) use commands::{CommandHandler, name};
pub(crate) use protocol::Request;
pub(crate) use server::{CLIENTS_MAX, serve};
pub(crate) use socket::{NAME, Socket, SocketError, is_name, path};
pub(crate) use status::{Process, ServerStatus};
