//! Everything a command can end with, and its exit code.

use std::io;

use crate::admin::SocketError;
use crate::config::ConfigError;
use crate::content::ContentError;
use crate::launch::LaunchError;
use crate::manual::ManualError;
use crate::nic::NicError;
use crate::remote::RemoteError;
use crate::sample::SampleError;
use crate::supervise::RunError;
use crate::top::TopError;
use crate::tune::TuneError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The configuration or the command line is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data is missing or malformed, or a database does not have what a statement asks of it.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// There is no admin socket.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// A command for a running server was not carried out, or not to its end.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A NIC was not looked at, bound or given back.
    #[error(transparent)]
    Nic(#[from] NicError),
    /// Manual pages were not written.
    #[error(transparent)]
    Manual(#[from] ManualError),
    /// The live view did not start, or lost its terminal.
    #[error(transparent)]
    Top(#[from] TopError),
    /// The machine was not tuned, or not put back.
    #[error(transparent)]
    Tune(#[from] TuneError),
    /// The server did not start.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A panic while starting; it is in the log.
    #[error("the start was cut short by a defect; the log above says where")]
    LaunchPanicked,
    /// The server did not run, or did not end, as it should.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The sample was not written.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// The host does not tell its cores.
    #[error("the cores of this machine cannot be read: {0}")]
    Cores(io::Error),
    /// No threads for what the cores ask.
    #[error("the threads that answer for databases could not be made: {0}")]
    Offload(io::Error),
    /// No threads for the control plane.
    #[error("the threads of the control plane could not be made: {0}")]
    Runtime(io::Error),
    /// Standard output is closed.
    #[error("standard output cannot be written: {0}")]
    Output(io::Error),
}

impl Failure {
    /// 2 where the operator's input is wrong, 3 where a server was told and has not finished in time, 1 for
    /// everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Content(_) | Self::Top(TopError::NotATerminal) => 2,
            Self::Nic(error) if error.is_input() => 2,
            Self::Remote(error) if error.is_timeout() => 3,
            Self::Remote(_)
            | Self::Socket(_)
            | Self::Nic(_)
            | Self::Manual(_)
            | Self::Top(TopError::Terminal(_))
            | Self::Tune(_)
            | Self::Offload(_)
            | Self::Launch(_)
            | Self::LaunchPanicked
            | Self::Run(_)
            | Self::Sample(_)
            | Self::Cores(_)
            | Self::Runtime(_)
            | Self::Output(_) => 1,
        }
    }
}
