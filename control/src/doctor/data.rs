//! Configuration, data and databases, as `pollux check` reads them.

use std::collections::BTreeSet;
use std::time::Duration;

use handlers::config::Database;

use super::report::{Check, Finding};
use crate::config::{ConfigError, Plan};
use crate::content::{self, Content, ContentError, Sample};

/// What the data comes to, as far as other checks want it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Data {
    /// Bytes of the response store.
    pub(super) store: usize,
    /// SQLite files that routes query.
    pub(super) sqlite_files: usize,
}

/// What is wrong with the configuration; that nothing is, where nothing is.
pub(super) fn configuration(errors: Vec<ConfigError>, origin: &str) -> Vec<Finding> {
    let check = Check::Configuration;
    if errors.is_empty() {
        return vec![Finding::ok(check, format!("routes of {origin}"))];
    }
    errors.iter().flat_map(|error| failures(check, &error.to_string())).collect()
}

/// Reads what routes name, and asks the databases for what statements take.
pub(super) fn examine(plan: &Plan) -> (Data, Vec<Finding>) {
    let sample = Sample::default();
    let content = match Content::check(plan, &sample) {
        Ok(content) => content,
        Err(error) => return (Data::default(), each(Check::Data, error)),
    };
    let files = sqlite_files(plan);
    let data = Data { store: content.bytes, sqlite_files: files.len() };
    let Content { source, routes, files: served, .. } = &content;
    let found = format!("{source}: {routes} routes, {served} files");
    let mut findings = vec![Finding::ok(Check::Data, found)];
    match content::validate_within(plan, &content.site, REACH_TIMEOUT) {
        Err(error) => findings.extend(each(Check::Data, error)),
        Ok(warnings) => {
            findings.push(Finding::ok(
                Check::Sqlite,
                match files.len() {
                    0 => "no route queries a file".into(),
                    _ => format!("readable: {}", files.into_iter().collect::<Vec<_>>().join(", ")),
                },
            ));
            findings.extend(postgres(plan, &content, &warnings));
        }
    }
    (data, findings)
}

/// Files as routes name them, below the data directory where there is one.
fn sqlite_files(plan: &Plan) -> BTreeSet<String> {
    let entries = plan.routes.entries.iter().filter(|entry| entry.kind() == "sqlite");
    let reads = entries.filter_map(|entry| entry.reads.as_ref());
    let directory = plan.data.clone().unwrap_or_default();
    reads.map(|reads| directory.join(&reads.path).display().to_string()).collect()
}

/// A server that cannot be reached is a warning: the routes that query it answer as unavailable.
fn postgres(plan: &Plan, content: &Content, warnings: &[String]) -> Vec<Finding> {
    let check = Check::Postgres;
    let asked = content.site.queries().any(|(_, query)| *query.database() == Database::Postgres);
    let fix = "export DATABASE_URL=postgres://USER@HOST:5432/NAME with a server that answers";
    match (plan.postgres.server_name(), warnings) {
        (_, []) if !asked => vec![Finding::ok(check, "no route queries it")],
        (Some(server), []) => vec![Finding::ok(check, format!("{server} answers, statements fit"))],
        (server, warnings) => {
            let server = server.map(|server| format!("{server}: ")).unwrap_or_default();
            let warn = |warning| Finding::warn(check, format!("{server}{warning}"), fix);
            warnings.iter().map(warn).collect()
        }
    }
}

fn each(check: Check, error: ContentError) -> Vec<Finding> {
    error.each().iter().flat_map(|error| failures(check, &error.to_string())).collect()
}

/// Messages of the configuration end with their fix; each line is one.
pub(super) fn failures(check: Check, message: &str) -> Vec<Finding> {
    let failure = |line: &str| match line.split_once("; ") {
        Some((found, fix)) => Finding::fail(check, found, fix),
        None => Finding::fail(check, line, "pollux check with the same options says more"),
    };
    message.lines().map(failure).collect()
}

/// For a PostgreSQL server to let us in.
const REACH_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::super::report::expect_one;
    use super::*;
    use crate::doctor::tests::plan;

    #[test]
    fn a_mistake_is_a_failure_with_its_fix() {
        let findings =
            failures(Check::Configuration, "p.toml:2: unknown key a.b; did you mean a.c?");
        expect_one(
            &findings,
            State::Fail,
            &["p.toml:2: unknown key a.b"],
            Some("did you mean a.c?"),
        );
        assert_eq!(failures(Check::Data, "one; a\ntwo; b").len(), 2);
        expect_one(&configuration(Vec::new(), "p.toml"), State::Ok, &["p.toml"], None);
    }

    #[test]
    fn the_password_is_not_shown() {
        let url = "postgres://joe:geheim@127.0.0.1:1/db";
        let (data, findings) = examine(&plan(&[("postgres.url", url)]));
        assert!(data.store > 0 && data.sqlite_files == 1, "{data:?}");
        let postgres: Vec<_> =
            findings.iter().filter(|finding| finding.check == Check::Postgres).collect();
        assert_eq!(postgres.len(), 1, "{findings:#?}");
        assert_eq!(postgres[0].state, State::Warn);
        assert!(postgres[0].found.starts_with("joe@127.0.0.1:1/db: "), "{postgres:?}");
        assert!(!format!("{findings:?}").contains("geheim"), "{findings:#?}");
    }

    #[test]
    fn missing_data_is_a_failure() {
        let (data, findings) = examine(&plan(&[("data.directory", "/no/such")]));
        assert_eq!(data, Data::default());
        assert!(findings.iter().all(|finding| finding.state == State::Fail), "{findings:#?}");
        assert!(findings.iter().all(|finding| finding.check == Check::Data));
    }
}
