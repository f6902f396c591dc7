//! What is wrong with the routes of a plan, each with the line of the key it is about.

use handlers::config::Kind;
use handlers::{RouteError, RouteErrorKind};

use super::error::ContentError;
use crate::config::Draft;

/// The errors of a site with their lines; `drafts` are its routes. What is wrong with data that several
/// routes share is said once, of the first of them.
pub(super) fn explain(drafts: &[&Draft], errors: &[RouteError]) -> Vec<ContentError> {
    let is_repeated = |at: usize, error: &RouteError| {
        !matches!(error.kind, RouteErrorKind::Setting(_))
            && errors[..at].iter().any(|earlier| earlier.kind == error.kind)
    };
    let first = errors.iter().enumerate().filter(|(at, error)| !is_repeated(*at, error));
    first.map(|(_, error)| explain_one(drafts[error.route], &error.kind)).collect()
}

fn explain_one(draft: &Draft, error: &RouteErrorKind) -> ContentError {
    let problem = error.to_string();
    match error {
        RouteErrorKind::Setting(error) => {
            draft.refuse_part(written(&error.key), &error.value, &error.problem, error.fix.clone())
        }
        RouteErrorKind::Syntax { .. }
        | RouteErrorKind::NotItems { .. }
        | RouteErrorKind::NotObject { .. } => {
            draft.refuse("file", problem, "mend the file, or name another")
        }
        RouteErrorKind::Key { key, .. } => {
            draft.refuse(&formula(draft, key), problem, "mend the formula, or the file")
        }
        RouteErrorKind::FileName { .. } | RouteErrorKind::Sibling { .. } => {
            draft.refuse("directory", problem, "mend that file, or take it away")
        }
    }
    .into()
}

/// The formula that names a key of the items.
fn formula(draft: &Draft, key: &str) -> String {
    let Kind::Dataset(dataset) = &draft.plan.kind else { return "computed".into() };
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
