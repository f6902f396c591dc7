//! Why a site could not be built. The message is what the operator reads: it names the route, or the
//! file and the line or the item; the key, and what is wrong or was expected.

use http1::HEAD_OUT_MAX;

use crate::fault::Fault;
use crate::head::HeadTooLong;

/// A fault of a route, of its data, or of the memory that was handed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A route does not mean anything. Control says which line of the configuration it is.
    #[error("route {route}: {key} = {value}: {problem}; {fix}")]
    Route {
        /// Index in the configuration.
        route: usize,
        /// The key, as an operator writes it: `path`, `computed.total`, `parameters.m.default`.
        key: String,
        /// Its value, or the part of it that is wrong.
        value: String,
        /// What is wrong with it.
        problem: String,
        /// What to do about it.
        fix: String,
    },
    /// The data set is not JSON (RFC 8259).
    #[error("{file}: line {line}, column {column}: expected JSON, found {problem}")]
    Syntax {
        /// Name of the data set.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// Column in bytes, counted from 1.
        column: usize,
        /// What the parser said.
        problem: String,
    },
    /// The data set is JSON, but of another kind.
    #[error("{file}: expected an array of items, found {found}")]
    NotItems {
        /// Name of the data set.
        file: String,
        /// The kind of value, or the number of items.
        found: String,
    },
    /// An item is not an object.
    #[error("{file}: item {index}: expected an object, found {found}")]
    NotObject {
        /// Name of the data set.
        file: String,
        /// Position of the item, counted from 1.
        index: usize,
        /// The value as written, shortened.
        found: String,
    },
    /// A key of an item is missing, doubled, or has a value of the wrong kind.
    #[error("{file}: item {index}: key \"{key}\": expected {expected}, found {found}")]
    Key {
        /// Name of the data set.
        file: String,
        /// Position of the item, counted from 1.
        index: usize,
        /// The key.
        key: String,
        /// What may stand there.
        expected: &'static str,
        /// The value as written, shortened; or `nothing`.
        found: String,
    },
    /// The name of a file cannot be a path in a URL.
    #[error("file \"{name}\": expected {expected}, found {found}")]
    FileName {
        /// The name as given.
        name: String,
        /// What a name must be.
        expected: &'static str,
        /// What is wrong with this one.
        found: String,
    },
    /// A content-coded sibling does not say what its file says.
    #[error("file \"{name}\": expected its {coding} sibling to {expected}, found {found}")]
    Sibling {
        /// The name of the file, without the ending of the sibling.
        name: String,
        /// `.br` or `.gz`.
        coding: &'static str,
        /// What the sibling must do.
        expected: &'static str,
        /// What was found instead.
        found: String,
    },
    /// The memory that was handed in is smaller than what was asked for.
    #[error("memory for responses: expected {expected} bytes, found {found}")]
    Memory {
        /// Bytes asked for.
        expected: usize,
        /// Bytes handed in.
        found: usize,
    },
}

/// What stops the planning of a route, before it is known which route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// The route is at fault.
    Route(Fault),
    /// Its data are.
    Data(BuildError),
    /// Its responses would have a head that is too long.
    Head(HeadTooLong),
}

impl PlanError {
    /// The error of the route with this index.
    pub(crate) fn at(self, route: usize) -> BuildError {
        match self {
            Self::Route(fault) => fault.at(route),
            Self::Data(error) => error,
            Self::Head(HeadTooLong(found)) => {
                let problem =
                    format!("an answer has a head of {found} bytes, {HEAD_OUT_MAX} at most fit");
                Fault::new("headers", "", problem, "shorten or leave out some fields").at(route)
            }
        }
    }
}

impl From<Fault> for PlanError {
    fn from(fault: Fault) -> Self {
        Self::Route(fault)
    }
}

impl From<BuildError> for PlanError {
    fn from(error: BuildError) -> Self {
        Self::Data(error)
    }
}

impl From<HeadTooLong> for PlanError {
    fn from(error: HeadTooLong) -> Self {
        Self::Head(error)
    }
}
