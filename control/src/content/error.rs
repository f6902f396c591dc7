//! Why there is nothing to serve.

use std::io;
use std::time::Duration;

use handlers::BuildError;

use crate::config::{ConfigError, spell_time};
use crate::failure::{CommandError, lines};
use crate::sample::SampleError;

/// Why there is nothing to serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentError {
    /// A route is wrong, or what it names is; with its line.
    #[error(transparent)]
    Route(#[from] ConfigError),
    /// Data is not what it should be.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// It takes too long; `doing` is what.
    #[error(
        "not done within {} (deadlines.reload): {doing}; mend what hangs there, or raise deadlines.reload",
        spell_time(*.limit)
    )]
    TimedOut { limit: Duration, doing: String },
    /// Nobody waits for it any more.
    #[error("given up")]
    GivenUp,
    /// There is no thread to read with.
    #[error("no thread to read with: {0}")]
    Thread(io::Error),
    /// The built-in sample cannot be written.
    #[error(transparent)]
    Sample(#[from] SampleError),
    /// Several of these: one line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

impl CommandError for ContentError {
    fn exit_code(&self) -> u8 {
        2
    }
}

impl ContentError {
    /// All of `errors` as one, in the order of their lines.
    ///
    /// # Errors
    /// There are some.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        // What is about no line is about more than one: it stands last.
        errors.sort_by_key(|error| error.line().unwrap_or(usize::MAX));
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// The single ones.
    pub(crate) fn each(self) -> Vec<Self> {
        match self {
            Self::Several(errors) => errors,
            one => vec![one],
        }
    }

    fn line(&self) -> Option<usize> {
        match self {
            Self::Route(error) => error.line(),
            Self::Build(_)
            | Self::TimedOut { .. }
            | Self::GivenUp
            | Self::Thread(_)
            | Self::Sample(_)
            | Self::Several(_) => None,
        }
    }
}
