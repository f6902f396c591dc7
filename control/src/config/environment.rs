//! What the environment says, as deployments of database clients have it.

use std::env;

use super::ConfigError;

/// Variables that are heeded; an empty one counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment {
    /// `DATABASE_URL`: the PostgreSQL server where `postgres.url` is empty.
    pub(crate) database_url: Option<String>,
    /// `DATABASE_MAX_CONN`: the most connections to it, whatever `postgres.connections` says.
    pub(crate) database_max_conn: Option<String>,
}

impl Environment {
    /// Asks the process's own.
    ///
    /// # Errors
    /// A variable is not UTF-8.
    pub(crate) fn read() -> Result<Self, ConfigError> {
        Ok(Self {
            database_url: variable(DATABASE_URL)?,
            database_max_conn: variable(DATABASE_MAX_CONN)?,
        })
    }
}

fn variable(name: &'static str) -> Result<Option<String>, ConfigError> {
    match env::var(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.trim().is_empty())),
        Err(env::VarError::NotPresent) => Ok(None),
        Err(env::VarError::NotUnicode(_)) => Err(ConfigError::Variable { name }),
    }
}

/// Names the server.
pub(crate) const DATABASE_URL: &str = "DATABASE_URL";
/// Bounds its connections.
pub(crate) const DATABASE_MAX_CONN: &str = "DATABASE_MAX_CONN";
