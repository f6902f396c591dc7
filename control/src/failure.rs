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
    /// Standard output is closed.
    pub(crate) fn output(error: io::Error) -> Self {
        OutputError(error).into()
    }

    /// The host does not tell its cores.
    pub(crate) fn cores(error: io::Error) -> Self {
        CoresError(error).into()
    }

    /// The exit code of the command.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }

    /// Whether the reader of standard output has gone.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        let output = self.error.downcast_ref::<OutputError>();
        output.is_some_and(|OutputError(error)| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// An error that ends a command.
pub(crate) trait CommandError: Error + Send + Sync + 'static {
    /// 2 where the command line, the configuration or the data is wrong; 3 where a running server has not
    /// finished in time what it was told; 1 for everything else.
    fn exit_code(&self) -> u8 {
        1
    }
}

impl<E: CommandError> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { exit_code: error.exit_code(), error: Box::new(error) }
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

/// Several errors as one text: a line each.
pub(crate) fn lines<E: Error>(errors: &[E]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
struct OutputError(io::Error);

#[derive(Debug, thiserror::Error)]
#[error("the cores of this machine cannot be read: {0}")]
struct CoresError(io::Error);

impl CommandError for OutputError {}
impl CommandError for CoresError {}
