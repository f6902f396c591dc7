//! Whether the databases can run what a site will send them: before it is served, and for `pollux
//! check`.
//!
//! Files of SQLite are opened and every statement is prepared; so it is with PostgreSQL if it can be
//! reached within [`REACH_TIMEOUT`]. A server that is down is no fault of the configuration.

use std::path::Path;
use std::time::Duration;

use handlers::Site;
use handlers::config::Database;
use handlers::query::Query;

use super::Parts;
use super::postgres;
use super::sqlite::{File, spell};
use crate::config::Plan;
use crate::failure::lines;

/// One thing that will not work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("statement \"{statement}\": {problem}")]
pub(crate) struct StatementError {
    /// Index of the route in its blueprint.
    pub(crate) route: usize,
    /// Name of the statement.
    pub(crate) statement: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

/// Everything that will not work: at least one error. Its message has a line for each.
#[derive(Debug, thiserror::Error)]
#[error("{}", lines(.0))]
pub(crate) struct ValidationError(Vec<StatementError>);

impl ValidationError {
    /// The errors, in the order of the routes.
    pub(crate) fn errors(&self) -> &[StatementError] {
        &self.0
    }
}

/// Compares the queries of `site` with the databases. What is returned are warnings, for the log. It
/// blocks: for the time it takes to open the files, and up to `timeout` until PostgreSQL lets us in.
///
/// # Errors
/// Everything that will not work.
pub(crate) fn validate(
    plan: &Plan,
    site: &Site,
    timeout: Duration,
) -> Result<Vec<String>, ValidationError> {
    validate_with(&Parts::of(plan), site, timeout)
}

pub(super) fn validate_with(
    plan: &Parts,
    site: &Site,
    timeout: Duration,
) -> Result<Vec<String>, ValidationError> {
    let (mut errors, mut warnings) = (Vec::new(), Vec::new());
    validate_sqlite(plan, site, &mut errors);
    validate_postgres(plan, site, timeout, &mut errors, &mut warnings);
    errors.sort_by_key(|error| error.route);
    if errors.is_empty() { Ok(warnings) } else { Err(ValidationError(errors)) }
}

fn validate_sqlite(plan: &Parts, site: &Site, errors: &mut Vec<StatementError>) {
    let mut opened: Vec<(&Path, Result<File, String>)> = Vec::new();
    for (route, query) in site.queries() {
        let Database::Sqlite(path) = query.database() else { continue };
        if !opened.iter().any(|(known, _)| known == path) {
            let file = File::open(path, plan.sqlite.cache);
            opened.push((path, file.map_err(|e| format!("{}: {}", path.display(), spell(&e)))));
        }
        let (_, file) = opened.iter().find(|(known, _)| known == path).expect("it was opened");
        let problem = match file {
            Ok(file) => file.problem(query),
            Err(problem) => Some(problem.clone()),
        };
        errors.extend(problem.map(|problem| error(route, query, problem)));
    }
}

fn validate_postgres(
    plan: &Parts,
    site: &Site,
    timeout: Duration,
    errors: &mut Vec<StatementError>,
    warnings: &mut Vec<String>,
) {
    let asked = || site.queries().filter(|(_, query)| *query.database() == Database::Postgres);
    let routes = asked().count();
    if routes == 0 {
        return;
    }
    let unavailable = format!("until it can, {routes} routes answer as unavailable");
    let Some(server) = &plan.postgres.server else {
        return warnings.push(format!(
            "no PostgreSQL server is configured: write its URL as postgres.url or into DATABASE_URL; \
             {unavailable}"
        ));
    };
    let queries: Vec<_> = asked().map(|(_, query)| query).collect();
    match postgres::problems(server, &queries, timeout) {
        Ok(problems) => {
            let found = asked().zip(problems);
            errors.extend(found.filter_map(|((route, query), problem)| {
                problem.map(|problem| error(route, query, problem))
            }));
        }
        Err(problem) => warnings.push(format!(
            "PostgreSQL cannot be reached, so its statements were not checked: {problem}; {unavailable}"
        )),
    }
}

fn error(route: usize, query: &Query, problem: String) -> StatementError {
    StatementError { route, statement: query.statement().to_owned(), problem }
}

/// For PostgreSQL to let us in before a site is served.
pub(crate) const REACH_TIMEOUT: Duration = Duration::from_secs(1);
