//! Whether the databases can answer what a site will ask them: before it is served, and for `pollux
//! check`.
//!
//! Files of SQLite are opened and every statement is prepared; so it is with PostgreSQL if it can be
//! reached within [`REACH_PATIENCE`]. A server that is down is no fault of the configuration.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use handlers::Site;
use handlers::config::Database;
use handlers::query::Query;

use super::Parts;
use super::postgres;
use super::sqlite::{Clock, File, spell};
use crate::config::Plan;

/// One thing that will not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Index of the route in its blueprint.
    pub(crate) route: usize,
    /// Name of the statement.
    pub(crate) statement: String,
    /// What is wrong with it.
    pub(crate) problem: String,
}

/// Everything that will not work: at least one fault.
#[derive(Debug, thiserror::Error)]
pub(crate) struct VetError(Vec<Fault>);

impl VetError {
    /// The faults, in the order of the routes.
    pub(crate) fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { statement, problem, .. } = self;
        write!(f, "statement \"{statement}\": {problem}")
    }
}

impl fmt::Display for VetError {
    /// One line for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(Fault::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

/// Compares the queries of `site` with the databases. What is returned are warnings, for the log. It
/// blocks: for the time it takes to open the files, and up to `timeout` until PostgreSQL lets us in.
///
/// # Errors
/// Everything that will not work.
pub(crate) fn vet(plan: &Plan, site: &Site, timeout: Duration) -> Result<Vec<String>, VetError> {
    vet_with(&Parts::of(plan), site, timeout)
}

pub(super) fn vet_with(
    plan: &Parts,
    site: &Site,
    timeout: Duration,
) -> Result<Vec<String>, VetError> {
    let (mut faults, mut warnings) = (Vec::new(), Vec::new());
    vet_sqlite(plan, site, &mut faults);
    vet_postgres(plan, site, timeout, &mut faults, &mut warnings);
    faults.sort_by_key(|fault| fault.route);
    if faults.is_empty() { Ok(warnings) } else { Err(VetError(faults)) }
}

fn vet_sqlite(plan: &Parts, site: &Site, faults: &mut Vec<Fault>) {
    let mut opened: Vec<(&Path, Result<File, String>)> = Vec::new();
    for (route, query) in site.queries() {
        let Database::Sqlite(path) = query.database() else { continue };
        if !opened.iter().any(|(known, _)| known == path) {
            let clock = Arc::new(Clock::new(Arc::default()));
            let file = File::open(path, plan.sqlite.mmap, clock);
            opened.push((path, file.map_err(|e| format!("{}: {}", path.display(), spell(&e)))));
        }
        let (_, file) = opened.iter().find(|(known, _)| known == path).expect("it was opened");
        let problem = match file {
            Ok(file) => file.problem(query),
            Err(problem) => Some(problem.clone()),
        };
        faults.extend(problem.map(|problem| fault(route, query, problem)));
    }
}

fn vet_postgres(
    plan: &Parts,
    site: &Site,
    timeout: Duration,
    faults: &mut Vec<Fault>,
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
            let told = asked().zip(problems);
            faults.extend(told.filter_map(|((route, query), problem)| {
                problem.map(|problem| fault(route, query, problem))
            }));
        }
        Err(problem) => warnings.push(format!(
            "PostgreSQL cannot be reached, so its statements were not checked: {problem}; {unavailable}"
        )),
    }
}

fn fault(route: usize, query: &Query, problem: String) -> Fault {
    Fault { route, statement: query.statement().to_owned(), problem }
}

/// For PostgreSQL to let us in before a site is served.
pub(crate) const REACH_PATIENCE: Duration = Duration::from_secs(1);
