//! Kinds without a query or a data set (fixed, files, redirect), and keys that several kinds have.

use std::path::{Component, PathBuf};

use handlers::config::{FilesConfig, FixedConfig, Kind, RedirectConfig};
use http1::Status;

use super::content_path::ContentPath;
use super::table::{Field, Table};
use crate::config::diagnostics::Reported;

/// The same bytes always.
pub(super) fn fixed(table: &Table<'_>) -> Result<(Kind, Option<ContentPath>), Reported> {
    let status = status(table).map(|status| status.unwrap_or(Status::S200));
    let etag = table.text("etag");
    let content = content(table, status.ok());
    let (media_type, body, reads) = content?;
    Ok((Kind::Fixed(FixedConfig { status: status?, media_type, body, etag: etag? }), reads))
}

/// Files of a directory.
pub(super) fn files(table: &Table<'_>) -> Result<(Kind, Option<ContentPath>), Reported> {
    let directory = reads(table, "directory", "\"static\"");
    let index = table.text("index").map(|index| index.unwrap_or_else(|| INDEX.to_owned()));
    let cache_control = table.text("cache_control");
    let kind = Kind::Files(FilesConfig {
        files: Vec::new(),
        index: Some(index?).filter(|index| !index.is_empty()),
        cache_control: cache_control?,
    });
    Ok((kind, Some(directory?)))
}

/// Somewhere else.
pub(super) fn redirect(table: &Table<'_>) -> Result<(Kind, Option<ContentPath>), Reported> {
    let status = status(table).map(|status| status.unwrap_or(Status::S308));
    let location = table.require("to", "\"/..\"").and_then(Field::text);
    Ok((Kind::Redirect(RedirectConfig { status: status?, location: location? }), None))
}

/// Key `status`.
pub(super) fn status(table: &Table<'_>) -> Result<Option<Status>, Reported> {
    let Some(field) = table.field("status") else { return Ok(None) };
    let code = field.integer()?;
    if let Some(status) = Status::ALL.iter().find(|status| i64::from(status.code()) == code) {
        return Ok(Some(*status));
    }
    let codes: Vec<_> = Status::ALL.iter().map(|status| status.code().to_string()).collect();
    Err(field.refuse("no status that is answered with", format!("there are {}", codes.join(", "))))
}

/// A file or directory. A relative one stays in the data directory.
pub(super) fn reads(
    table: &Table<'_>,
    key: &'static str,
    example: &str,
) -> Result<ContentPath, Reported> {
    let field = table.require(key, example)?;
    let path = PathBuf::from(field.text()?);
    if path.as_os_str().is_empty() {
        return Err(field.refuse("names nothing", format!("write {key} = {example}, say")));
    }
    if path.is_relative() && path.components().any(|part| part == Component::ParentDir) {
        let fix = "write a path within it, or one that begins with a slash";
        return Err(field.refuse("leads out of the data directory", fix));
    }
    Ok(ContentPath { key, path })
}

/// Type and bytes of a fixed response, or where these are read from.
fn content(
    table: &Table<'_>,
    status: Option<Status>,
) -> Result<(String, Vec<u8>, Option<ContentPath>), Reported> {
    let media_type = table.text("type");
    match (table.field("body"), table.field("file")) {
        (Some(body), Some(_)) => {
            Err(body.refuse("there is a file, too", "take one of the two out"))
        }
        (Some(body), None) => {
            let body = body.text();
            table.require("type", "\"text/plain\", say")?;
            Ok((media_type?.unwrap_or_default(), body?.into_bytes(), None))
        }
        (None, Some(_)) => {
            let file = reads(table, "file", "\"..\"")?;
            let by_name = || handlers::media_type(&file.path.to_string_lossy()).to_owned();
            Ok((media_type?.unwrap_or_else(by_name), Vec::new(), Some(file)))
        }
        (None, None) if status == Some(Status::S204) => match table.field("type") {
            Some(field) => Err(field.refuse("204 has no content", "take it out")),
            None => Ok((String::new(), Vec::new(), None)),
        },
        (None, None) => Err(table.missing("body", "write body = \"..\", or file = \"..\"")),
    }
}

/// The file that stands for a directory where the configuration says nothing.
const INDEX: &str = "index.html";
