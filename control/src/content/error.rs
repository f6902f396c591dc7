//! Why there is nothing to serve.

use handlers::BuildError;

use crate::config::ConfigError;
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
            Self::Build(_) | Self::Sample(_) | Self::Several(_) => None,
        }
    }
}
