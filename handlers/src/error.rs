//! Why a site could not be built. The message is what the operator reads: it names the file, the
//! line or the item, the key, what was expected and what was found.

/// A fault of the material, or of the memory that was handed in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// The data set is not JSON (RFC 8259).
    #[error("{file}: line {line}, column {column}: expected JSON, found {problem}")]
    Syntax {
        /// Name of the data set.
        file: String,
        /// Line, counted from 1.
        line: usize,
        /// Column in octets, counted from 1.
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
    /// The name of a static file cannot be a path in a URL.
    #[error("static file \"{name}\": expected {expected}, found {found}")]
    FileName {
        /// The name as given.
        name: String,
        /// What a name must be.
        expected: &'static str,
        /// What is wrong with this one.
        found: String,
    },
    /// A content-coded sibling does not say what its file says.
    #[error("static file \"{name}\": expected its {coding} sibling to {expected}, found {found}")]
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
    /// The head of an answer is longer than the protocol gives room for.
    #[error("{what}: expected a head of at most {limit} octets, found {found}")]
    HeadTooLong {
        /// The answer: the name of a file, or a route.
        what: String,
        /// `http1::HEAD_OUT_MAX`.
        limit: usize,
        /// Octets of the longest form of this head.
        found: usize,
    },
    /// The memory that was handed in is smaller than what was asked for.
    #[error("memory for responses: expected {expected} octets, found {found}")]
    Memory {
        /// Octets asked for.
        expected: usize,
        /// Octets handed in.
        found: usize,
    },
}
