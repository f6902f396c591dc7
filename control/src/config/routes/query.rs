//! Kinds `sqlite` and `postgres`: rows of a database.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use handlers::config::{CacheConfig, Database, Kind, QueryConfig};
use http1::Status;

use super::content_path::ContentPath;
use super::references::References;
use super::table::{Field, Table};
use super::{parameters, static_kinds};
use crate::config::diagnostics::Reported;
use crate::config::units::{self, Expected};

/// Rows of an SQLite file.
pub(super) fn sqlite(
    table: &Table<'_>,
    references: &References<'_>,
) -> Result<(Kind, Option<ContentPath>), Reported> {
    let file = static_kinds::reads(table, "database", "\"benchmark.db\"");
    let plan = query(table, references, Database::Sqlite(PathBuf::new()));
    let (file, plan) = (file?, plan?);
    Ok((Kind::Query(Box::new(plan)), Some(file)))
}

/// Rows of the PostgreSQL server.
pub(super) fn postgres(
    table: &Table<'_>,
    references: &References<'_>,
) -> Result<(Kind, Option<ContentPath>), Reported> {
    Ok((Kind::Query(Box::new(query(table, references, Database::Postgres)?)), None))
}

fn query(
    table: &Table<'_>,
    references: &References<'_>,
    database: Database,
) -> Result<QueryConfig, Reported> {
    let statement = table
        .require("statement", "\"..\", a name of [statements]")
        .and_then(|field| references.statement(field));
    let arguments = table.field("arguments").map(Field::words).transpose();
    let parameters = parameters::read(table);
    let row = table.require("row", "'{\"id\": id}', say").and_then(Field::text);
    let body = table.text("body");
    let status = static_kinds::status(table);
    let unavailable = table.text("unavailable");
    let cache = cache(table);
    let invalidates = invalidates(table, references);
    let writes = table.field("writes").map(Field::flag).transpose();
    let (statement, sql) = statement?;
    Ok(QueryConfig {
        database,
        statement,
        sql: sql.to_owned(),
        arguments: arguments?.unwrap_or_default(),
        parameters: parameters?,
        row: row?,
        body: body?,
        status: status?.unwrap_or(Status::S200),
        unavailable: unavailable?,
        cache: cache?,
        invalidates: invalidates?,
        writes: writes?.unwrap_or_default(),
    })
}

/// Keys `cache` and `cache_header`.
fn cache(table: &Table<'_>) -> Result<Option<CacheConfig>, Reported> {
    let header = table.text("cache_header");
    match (table.field("cache"), table.field("cache_header")) {
        (None, None) => Ok(None),
        (None, Some(header)) => Err(header.refuse("nothing is kept", "add cache = \"1s\", say")),
        (Some(cache), _) => {
            let lifetime = lifetime(cache)?;
            let header = header?.unwrap_or_else(|| CACHE_HEADER.to_owned());
            Ok(Some(CacheConfig { lifetime, header }))
        }
    }
}

fn lifetime(field: &Field<'_>) -> Result<Duration, Reported> {
    let text = field.text()?;
    let lifetime = units::duration(&text).map_err(|Expected(expected)| {
        field.refuse("not understood", format!("write {expected}"))
    })?;
    if LIFETIME.contains(&lifetime) {
        return Ok(lifetime);
    }
    let (least, most) = (units::spell(*LIFETIME.start()), units::spell(*LIFETIME.end()));
    let side = if lifetime < *LIFETIME.start() { "too short" } else { "too long" };
    Err(field.refuse(side, format!("write {least} to {most}")))
}

/// Names of routes that cache responses.
fn invalidates(table: &Table<'_>, references: &References<'_>) -> Result<Vec<String>, Reported> {
    let Some(field) = table.field("invalidates") else { return Ok(Vec::new()) };
    let names: Vec<Result<_, Reported>> =
        field.list()?.iter().map(|item| references.route(item)).collect();
    names.into_iter().collect()
}

/// The field where the configuration names none.
const CACHE_HEADER: &str = "X-Cache";
const LIFETIME: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
