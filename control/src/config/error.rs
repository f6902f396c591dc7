//! What can be wrong with a configuration. Every message names the place, the key, the value and
//! the fix.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::Key;

use crate::failure::{CommandError, lines};

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq, derive_more::Display)]
pub(crate) enum Place {
    /// A line of a file, counted from 1.
    #[display("{}:{line}", file.display())]
    File { file: Arc<PathBuf>, line: usize },
    /// An option of the command line.
    Option(&'static str),
    /// A variable of the environment.
    Environment(String),
    /// Nobody gave one.
    #[display("built-in default")]
    Default,
}

impl Place {
    fn line(&self) -> Option<usize> {
        match self {
            Self::File { line, .. } => Some(*line),
            Self::Option(_) | Self::Environment(_) | Self::Default => None,
        }
    }
}

/// A configuration that cannot be served.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file named by `--config` could not be read.
    #[error("{}: cannot be read: {error}; name a readable file with --config", file.display())]
    Unreadable { file: PathBuf, error: Arc<io::Error> },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {problem}")]
    Syntax { place: Place, problem: String },
    /// A section or key that does not exist.
    #[error("{place}: unknown {what}; {fix}")]
    Unknown {
        /// Where.
        place: Place,
        /// `key limits.haed`, `section [limit]`.
        what: String,
        /// The nearest name, or a list of all.
        fix: String,
    },
    /// `--set` without `=`.
    #[error("--set {text:?}: no `=` in it; write --set section.key=value")]
    NotAnAssignment { text: String },
    /// A variable of the environment that is not text.
    #[error("{name}: not UTF-8; set it anew, or unset it")]
    Variable { name: String },
    /// A value that does not parse, or that breaks a rule.
    #[error("{place}: {} = {value:?}: {problem}; {fix}", key.path())]
    Value {
        /// Where.
        place: Place,
        /// Which key.
        key: Key,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        fix: String,
        /// The key whose value it contradicts, where it is not wrong by itself.
        other: Option<Key>,
    },
    /// Something of a route or a statement.
    #[error("{place}: {what}: {problem}; {fix}")]
    Route {
        /// Where.
        place: Place,
        /// `route.status = 99`, or the key alone where it is missing.
        what: String,
        /// What is wrong with it.
        problem: String,
        /// What to do.
        fix: String,
    },
    /// Several of these: one line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

impl CommandError for ConfigError {
    fn exit_code(&self) -> u8 {
        2
    }
}

impl ConfigError {
    /// All of `errors` as one.
    ///
    /// # Errors
    /// There are some.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<(), Self> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }

    /// Each of them, where it is several.
    pub(crate) fn each(self) -> Vec<Self> {
        match self {
            Self::Several(errors) => errors,
            one => vec![one],
        }
    }

    /// The key whose value is wrong, and the one that it contradicts.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        let keys = match self {
            Self::Value { key, other, .. } => [Some(*key), *other],
            _ => [None, None],
        };
        keys.into_iter().flatten()
    }

    /// This error, where the value contradicts that of `other`.
    pub(crate) fn against(mut self, contradicted: Key) -> Self {
        if let Self::Value { other, .. } = &mut self {
            *other = Some(contradicted);
        }
        self
    }

    /// The line it is about; of none, it is about more than a line.
    pub(crate) fn line(&self) -> Option<usize> {
        self.place().and_then(Place::line)
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Self::Syntax { place, .. }
            | Self::Unknown { place, .. }
            | Self::Value { place, .. }
            | Self::Route { place, .. } => Some(place),
            Self::Unreadable { .. }
            | Self::NotAnAssignment { .. }
            | Self::Variable { .. }
            | Self::Several(_) => None,
        }
    }
}
