//! Why a site could not be built. The message is what the operator reads: it names the route, or the
//! file and the line or the item; the key, and what is wrong or was expected.

use std::fmt;

/// Why a site could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// Routes are wrong, or their data: all that are, one error each, in the order of the configuration.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Routes(Vec<RouteError>),
    /// Nobody wants the site any more ([`BuildProgress::cancel`](crate::BuildProgress::cancel)).
    #[error("the making of the site was cancelled")]
    Cancelled,
    /// The memory that was handed in is smaller than what was asked for.
    #[error("memory for responses: expected {expected} bytes, found {found}")]
    Memory {
        /// Bytes asked for.
        expected: usize,
        /// Bytes handed in.
        found: usize,
    },
}

/// What is wrong with one route. Control says which line of the configuration it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteError {
    /// Index in the configuration.
    pub route: usize,
    /// What is wrong.
    pub kind: RouteErrorKind,
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            RouteErrorKind::Setting(error) => write!(f, "route {}: {error}", self.route),
            data => data.fmt(f),
        }
    }
}

/// An error of a route or of its data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteErrorKind {
    /// A setting does not mean anything.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A data set is not a JSON array (RFC 8259) of objects.
    #[error("{file}: {problem}")]
    Dataset {
        /// Its name.
        file: String,
        /// Where, what may stand there, and what was found.
        problem: String,
    },
    /// A key of an item is missing, doubled, or has a value of the wrong kind.
    #[error("{file}: {problem}")]
    Key {
        /// Name of the data set.
        file: String,
        /// The key.
        key: String,
        /// Of which item, what may stand there, and what was found.
        problem: String,
    },
    /// The name of a file cannot be a path in a URL, or a content-coded sibling does not say what it says.
    #[error("file \"{name}\": {problem}")]
    File {
        /// The name as given, without the ending of the sibling.
        name: String,
        /// What was expected, and what was found.
        problem: String,
    },
    /// Nobody wants the site any more; [`BuildError::Cancelled`] says so of the whole.
    #[error("cancelled")]
    Cancelled,
}

/// A setting of a route that does not mean anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} = {value}: {problem}; {fix}")]
pub struct SettingError {
    /// The key, from below the route, as an operator writes it: `path`, `computed.total`,
    /// `parameters.m.default`.
    pub key: String,
    /// Its value, or the part of it that is wrong, shortened.
    pub value: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to write instead.
    pub fix: String,
}

impl SettingError {
    /// An error of these parts.
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), value: value.into(), problem: problem.into(), fix: fix.into() }
    }
}
