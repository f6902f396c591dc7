//! What can be wrong with a configuration. Every message names the place, the key, the value and
//! the fix.

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use super::Key;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of a file, counted from 1.
    File {
        /// The file, as it was named.
        file: Rc<PathBuf>,
        /// The line.
        line: usize,
    },
    /// An option of the command line.
    Option(&'static str),
    /// Nobody gave one.
    Default,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::Option(flag) => f.write_str(flag),
            Self::Default => f.write_str("built-in default"),
        }
    }
}

/// A configuration that cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file named by `--config` could not be read.
    #[error("{}: cannot be read: {error}; name a readable file with --config", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The file is not TOML.
    #[error("{place}: not valid TOML: {problem}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        problem: String,
    },
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
    NotAnAssignment {
        /// What followed `--set`.
        text: String,
    },
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
    },
}
