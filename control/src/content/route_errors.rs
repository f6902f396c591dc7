//! What is wrong with the routes of a plan, each with the line of the key it is about.

use handlers::config::Kind;
use handlers::{RouteError, RouteErrorKind};

use super::error::ContentError;
use crate::config::RouteEntry;

/// The errors of a site with their lines; `entries` are its routes. What is wrong with data that several
/// routes share is said once, of the first of them.
pub(super) fn explain(entries: &[&RouteEntry], errors: &[RouteError]) -> Vec<ContentError> {
    let is_repeated = |at: usize, error: &RouteError| {
        !matches!(error.kind, RouteErrorKind::Setting(_))
            && errors[..at].iter().any(|earlier| earlier.kind == error.kind)
    };
    let first = errors.iter().enumerate().filter(|(at, error)| !is_repeated(*at, error));
    first.map(|(_, error)| explain_one(entries[error.route], &error.kind)).collect()
}

fn explain_one(entry: &RouteEntry, error: &RouteErrorKind) -> ContentError {
    let problem = error.to_string();
    match error {
        RouteErrorKind::Setting(error) => {
            entry.refuse_part(written(&error.key), &error.value, &error.problem, error.fix.clone())
        }
        RouteErrorKind::Dataset { .. } => {
            entry.refuse("file", problem, "mend the file, or name another")
        }
        RouteErrorKind::Key { key, .. } => {
            entry.refuse(&formula(entry, key), problem, "mend the formula, or the file")
        }
        RouteErrorKind::File { .. } => {
            entry.refuse("directory", problem, "mend that file, or take it away")
        }
        RouteErrorKind::Cancelled => return ContentError::GivenUp,
    }
    .into()
}

/// The formula that names a key of the items.
fn formula(entry: &RouteEntry, key: &str) -> String {
    let Kind::Dataset(dataset) = &entry.plan.kind else { return "computed".into() };
    let names = |formula: &str| formula.split('*').any(|name| name.trim() == key);
    let found = dataset.computed.iter().find(|(_, formula)| names(formula));
    found.map_or_else(|| "computed".into(), |(name, _)| format!("computed.{name}"))
}

/// A key as the configuration has it, where the site calls it otherwise.
fn written(key: &str) -> &str {
    match key {
        "location" => "to",
        "cache.header" => "cache_header",
        key => key,
    }
}
