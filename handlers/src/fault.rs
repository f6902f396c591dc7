//! What is wrong with the configuration of a route, before it is known which route.

use crate::error::BuildError;

/// A error of an operator: where it is, what stands there, what is wrong, what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The key, from below the route: `parameters.min.default`.
    pub(crate) key: String,
    /// What stands there, shortened.
    pub(crate) value: String,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What to write instead.
    pub(crate) fix: String,
}

impl Fault {
    /// A fault of these parts.
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl Into<String>,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self { key: key.into(), value: value.into(), problem: problem.into(), fix: fix.into() }
    }

    /// The error that says so of the route with this index.
    pub(crate) fn at(self, route: usize) -> BuildError {
        let Self { key, value, problem, fix } = self;
        BuildError::Route { route, key, value, problem, fix }
    }
}
