//! Whether a statement writes: read from its plan, without running it.
//!
//! A route for GET is taken for a read: its statement is sent again when a connection is lost, and its responses may
//! be cached. That is right only if the statement writes nothing: its plan changes and locks no rows, and it calls no
//! function that PostgreSQL holds to be VOLATILE, but for those of [`HARMLESS`].

use std::collections::BTreeSet;

use handlers::query::Query;
use serde_json::Value;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::error_class::{ErrorClass, spell};

/// What a statement does besides answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Reads,
    /// It writes, or may.
    Writes {
        /// What it does, after "it".
        what: String,
        /// What an operator can do.
        fix: &'static str,
    },
}

impl Effect {
    /// What is wrong with a statement that does this for a route that is taken for a read.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Reads => None,
            Self::Writes { what, fix } => {
                Some(format!("it {what}, but its route, for GET, is taken for a read; {fix}"))
            }
        }
    }

    fn writes(what: impl Into<String>, fix: &'static str) -> Self {
        Self::Writes { what: what.into(), fix }
    }
}

/// Has the server explain the statement of `query`, which has that many parameters.
///
/// # Errors
/// The connection is gone, or the server has no room or time.
pub(super) async fn effect(
    client: &Client,
    query: &Query,
    parameters: usize,
) -> Result<Effect, Error> {
    let plan = match explain(client, query.sql(), parameters).await {
        Ok(Some(plan)) => plan,
        Ok(None) => return Ok(Effect::writes("has no plan", SAY_SO)),
        Err(error) => match ErrorClass::of(&error) {
            ErrorClass::Statement | ErrorClass::BadData | ErrorClass::Conflict => {
                let what = format!("cannot be explained ({})", spell(&error));
                return Ok(Effect::writes(what, SAY_SO));
            }
            _ => return Err(error),
        },
    };
    let (mut nodes, mut called) = (BTreeSet::new(), BTreeSet::new());
    walk(&plan, &mut nodes, &mut called);
    if nodes.contains("ModifyTable") {
        return Ok(Effect::writes("changes rows", SAY_SO));
    }
    if nodes.contains("LockRows") {
        return Ok(Effect::writes("locks rows", SAY_SO));
    }
    // A plan does not show all expressions: that of LIMIT, and lists of VALUES.
    called.extend(calls(query.sql()));
    let names: Vec<_> = called.into_iter().collect();
    let parameters = [(&names as _, Type::TEXT_ARRAY), (&HARMLESS as _, Type::TEXT_ARRAY)];
    let volatile = client.query_typed(VOLATILE, &parameters).await?;
    Ok(match volatile.first() {
        None => Effect::Reads,
        Some(function) => {
            let function: &str = function.try_get(0)?;
            Effect::writes(format!("calls {function}, which is VOLATILE"), DECLARE)
        }
    })
}

/// The plan of a statement. All in one message: it is one transaction, whose end undoes the settings.
async fn explain(client: &Client, sql: &str, parameters: usize) -> Result<Option<Value>, Error> {
    let name = format!("pollux_explained_{:016x}", fastrand::u64(..));
    let values = if parameters == 0 {
        String::new()
    } else {
        format!("({})", vec!["NULL"; parameters].join(", "))
    };
    // The plan for any value: with NULL, whole branches would not be in it.
    let messages = client
        .simple_query(&format!(
            "SET TRANSACTION READ ONLY; \
             SELECT set_config(name, 'force_generic_plan', true) FROM pg_catalog.pg_settings \
             WHERE name = 'plan_cache_mode'; \
             PREPARE {name} AS {sql}\n; \
             EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE {name}{values}; \
             DEALLOCATE {name}"
        ))
        .await?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(rows.last().and_then(|text| serde_json::from_str(text).ok()))
}

/// Collects the kinds of a plan's nodes and the names of the functions that its expressions call.
fn walk(plan: &Value, nodes: &mut BTreeSet<String>, called: &mut BTreeSet<String>) {
    match plan {
        Value::Object(fields) => {
            let node = fields.get("Node Type").and_then(Value::as_str);
            nodes.extend(node.map(str::to_owned));
            fields.values().for_each(|value| walk(value, nodes, called));
        }
        Value::Array(values) => values.iter().for_each(|value| walk(value, nodes, called)),
        Value::String(text) => called.extend(calls(text)),
        _ => {}
    }
}

/// Whatever may be the name of a function that is called in `text`: a name in front of a parenthesis.
fn calls(text: &str) -> impl Iterator<Item = String> {
    text.match_indices('(').filter_map(|(at, _)| {
        let before = text[..at].trim_end();
        if let Some(before) = before.strip_suffix('"') {
            return before.rfind('"').map(|start| before[start + 1..].to_owned());
        }
        let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '$');
        let name = &before[before.trim_end_matches(is_of_name).len()..];
        (!name.is_empty()).then(|| name.to_lowercase())
    })
}

/// Of functions with these names, those that may write.
const VOLATILE: &str = "\
SELECT n.nspname || '.' || p.proname
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
WHERE p.provolatile = 'v' AND p.proname = ANY($1)
AND NOT (n.nspname = 'pg_catalog' AND p.proname = ANY($2))
ORDER BY 1";
/// Functions of PostgreSQL's that are VOLATILE because two calls differ, and write nothing.
const HARMLESS: &[&str] = &[
    "clock_timestamp",
    "currval",
    "gen_random_uuid",
    "lastval",
    "pg_database_size",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_relation_size",
    "pg_sleep",
    "pg_sleep_for",
    "pg_sleep_until",
    "pg_table_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "timeofday",
    "uuidv4",
    "uuidv7",
];
const SAY_SO: &str = "write writes = true";
const DECLARE: &str = "write writes = true, or declare the function STABLE if it writes nothing";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_front_of_parentheses_are_calls() {
        let found = |text| calls(text).collect::<Vec<_>>();
        assert_eq!(found("SELECT nextval('s'), public.f (1)"), ["nextval", "f"]);
        assert_eq!(found("SELECT Übung(1), \"My f\"(2), a.\"B\" (3)"), ["übung", "My f", "B"]);
        assert_eq!(found("(1), a <> (2), x[(3)]"), Vec::<String>::new());
    }

    #[test]
    fn nodes_and_calls_are_found_at_every_depth() {
        let plan = r#"[{"Plan": {"Node Type": "CTE Scan", "Output": ["f(1)"], "Plans": [
            {"Node Type": "ModifyTable", "Plans": [{"Node Type": "Result", "Filter": "(g(x) > 0)"}]}]}}]"#;
        let (mut nodes, mut called) = (BTreeSet::new(), BTreeSet::new());
        walk(&serde_json::from_str(plan).expect("JSON"), &mut nodes, &mut called);
        assert_eq!(nodes.iter().collect::<Vec<_>>(), ["CTE Scan", "ModifyTable", "Result"]);
        assert_eq!(called.iter().collect::<Vec<_>>(), ["f", "g"]);
    }
}
