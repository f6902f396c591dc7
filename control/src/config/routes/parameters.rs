//! Parameters of a request: where each stands, and what it may be.

use handlers::config::{Bounds, Decimal, Outside, Parameter, Source, Value, ValueKind};
use toml::de::DeValue;

use super::table::{Field, Table};
use crate::config::diagnostics::Reported;

/// Key `parameters`.
pub(super) fn read(table: &Table<'_>) -> Result<Vec<Parameter>, Reported> {
    let Some(field) = table.field("parameters") else { return Ok(Vec::new()) };
    let table = field.table()?;
    let parameters: Vec<Result<_, Reported>> = table.fields().iter().map(read_one).collect();
    parameters.into_iter().collect()
}

fn read_one(field: &Field<'_>) -> Result<Parameter, Reported> {
    let table = field.table()?;
    let keys = table.only(&["from", "type", "default", "bounds", "outside"]);
    let from = table.require("from", "\"query\", say").and_then(|field| field.choice(&SOURCES));
    let kind = table.require("type", "\"text\", say").and_then(|field| field.choice(&KINDS));
    let default = table.field("default").zip(kind.ok()).map(|(field, kind)| value(field, kind));
    let bounds = table.field("bounds").map(bounds).transpose();
    let outside = table.field("outside").map(|field| field.choice(&OUTSIDE)).transpose();
    if let (Some(field), None) = (table.field("outside"), table.field("bounds")) {
        return Err(field.refuse("there are no bounds", "add bounds = [1, 50], say"));
    }
    keys?;
    Ok(Parameter {
        name: field.name().to_owned(),
        from: from?,
        kind: kind?,
        default: default.transpose()?,
        bounds: bounds?,
        outside: outside?.unwrap_or(Outside::Refuse),
    })
}

/// Key `default`, of the type that the parameter has.
fn value(field: &Field<'_>, kind: ValueKind) -> Result<Value, Reported> {
    Ok(match kind {
        ValueKind::Integer => Value::Integer(field.integer()?),
        ValueKind::Number => Value::Number(number(field)?),
        ValueKind::Text => Value::Text(field.text()?),
        ValueKind::Json => Value::Json(field.text()?),
        ValueKind::Boolean => match field.value() {
            DeValue::Boolean(value) => Value::Boolean(*value),
            _ => return Err(field.refuse("no truth value", "write true or false")),
        },
    })
}

fn bounds(field: &Field<'_>) -> Result<Bounds, Reported> {
    match field.list()?.as_slice() {
        [least, greatest] => {
            let (least, greatest) = (bound(least, &["-inf"]), bound(greatest, &["inf", "+inf"]));
            Ok(Bounds { least: least?, greatest: greatest? })
        }
        _ => Err(field.refuse("not two bounds", "write bounds = [1, 50], say")),
    }
}

/// A number, or one of the words that leave this side open.
fn bound(field: &Field<'_>, open: &[&str]) -> Result<Option<Decimal>, Reported> {
    match field.value() {
        DeValue::Float(word) if open.contains(&word.as_str()) => Ok(None),
        _ => number(field).map(Some),
    }
}

/// A whole or decimal number, exact.
fn number(field: &Field<'_>) -> Result<Decimal, Reported> {
    let number = match field.value() {
        DeValue::Integer(_) => Some(field.integer()?.into()),
        DeValue::Float(number) => Decimal::parse(number.as_str()),
        _ => None,
    };
    number.ok_or_else(|| field.refuse("no number", "write one such as 2.5, without quotes"))
}

const SOURCES: [(&str, Source); 3] =
    [("path", Source::Path), ("query", Source::Query), ("body", Source::Body)];
const KINDS: [(&str, ValueKind); 5] = [
    ("integer", ValueKind::Integer),
    ("number", ValueKind::Number),
    ("text", ValueKind::Text),
    ("boolean", ValueKind::Boolean),
    ("json", ValueKind::Json),
];
const OUTSIDE: [(&str, Outside); 2] = [("refuse", Outside::Refuse), ("clamp", Outside::Clamp)];
