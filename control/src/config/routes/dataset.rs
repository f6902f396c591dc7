//! Kind `dataset`: items of a JSON file, with computed fields.

use handlers::Named;
use handlers::config::{DatasetConfig, Kind};

use super::content_path::ContentPath;
use super::table::{Field, Table};
use super::{parameters, static_kinds};
use crate::config::diagnostics::Reported;

/// The first items of a JSON array.
pub(super) fn read(table: &Table<'_>) -> Result<(Kind, Option<ContentPath>), Reported> {
    let file = static_kinds::reads(table, "file", "\"dataset.json\"");
    let computed = table.field("computed").map(Field::texts).transpose();
    let count = table.text("count");
    let parameters = parameters::read(table);
    let body = table.text("body");
    let plan = DatasetConfig {
        items: Named { name: String::new(), value: Vec::new() },
        computed: computed?.unwrap_or_default(),
        count: count?,
        parameters: parameters?,
        body: body?.unwrap_or_else(|| BODY.to_owned()),
    };
    Ok((Kind::Dataset(plan), Some(file?)))
}

/// The body where the configuration says nothing.
const BODY: &str = r#"{"items": rows, "count": count}"#;
