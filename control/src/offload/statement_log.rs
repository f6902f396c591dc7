//! What is wrong with statements, logged without filling the log.

use std::fmt::Display;
use std::time::Instant;

use handlers::query::Query;

use super::log_limits::{LogOnce, RateLimitedLog};

/// The errors of one database's statements.
#[derive(Debug)]
pub(crate) struct StatementLog {
    database: &'static str,
    schema_changes: LogOnce,
    refusals: RateLimitedLog,
}

impl StatementLog {
    /// Nothing was logged yet; `database` opens every line.
    pub(crate) fn new(database: &'static str) -> Self {
        Self { database, schema_changes: LogOnce::default(), refusals: RateLimitedLog::new() }
    }

    /// `query`'s statement does not have the columns or parameters that its route wants: logged once for a
    /// site.
    pub(crate) fn schema_changed(&self, query: &Query, problem: &str) {
        let text = format!("statement \"{}\": {problem}", query.statement());
        if self.schema_changes.is_new(&text) {
            tracing::error!("{}: {text}", self.database);
        }
    }

    /// The database refuses `query`'s statement: logged at most once a second.
    pub(crate) fn refused(&self, query: &Query, problem: &str, now: Instant) {
        self.limited(&format_args!("statement \"{}\": {problem}", query.statement()), now);
    }

    /// Any error of the database: logged at most once a second, together with refused statements.
    pub(crate) fn limited(&self, problem: &dyn Display, now: Instant) {
        self.refusals.log(now, |suppressed| {
            tracing::error!("{}: {problem} ({suppressed} more not logged)", self.database);
        });
    }

    /// Another site is served: its changed schemas are logged anew.
    pub(crate) fn renew(&self) {
        self.schema_changes.forget();
    }
}
