//! What a command can end with: a text for the operator and an exit code. Each error says in its own file which
//! exit code it has.

use std::error::Error;
use std::fmt;
use std::io;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    error: Box<dyn Error + Send + Sync>,
    exit_code: u8,
}

impl Failure {
    /// The command line, the configuration or the data is wrong.
    pub(crate) fn input(error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error), exit_code: 2 }
    }

    /// A running server has not finished a command in time.
    pub(crate) fn timeout(error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error), exit_code: 3 }
    }

    /// Everything else.
    pub(crate) fn other(error: impl Error + Send + Sync + 'static) -> Self {
        Self { error: Box::new(error), exit_code: 1 }
    }

    /// Standard output is closed.
    pub(crate) fn output(error: io::Error) -> Self {
        Self::other(OutputError(error))
    }

    /// The host does not tell its cores.
    pub(crate) fn cores(error: io::Error) -> Self {
        Self::other(CoresError(error))
    }

    /// 2 for wrong input, 3 for a timeout, 1 for everything else.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Whether the reader of standard output has gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let output = self.error.downcast_ref::<OutputError>();
        output.is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
struct OutputError(io::Error);

#[derive(Debug, thiserror::Error)]
#[error("the cores of this machine cannot be read: {0}")]
struct CoresError(io::Error);
