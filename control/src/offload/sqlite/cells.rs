//! Columns of SQLite as JSON. SQLite types values, not columns: what a conversion cannot take is found as it
//! is written. An infinity, which JSON has no notation for, is null.

use handlers::query::json::{
    write_bool, write_f64, write_i64, write_json, write_null, write_number, write_str,
};
use handlers::query::{Column, ColumnConversion, ColumnError, Row};
use rusqlite::types::ValueRef;

use crate::offload::counters::Counters;

/// Where each of `columns` stands among columns with these names.
///
/// # Errors
/// One is not there.
pub(super) fn places(names: &[&str], columns: &[Column]) -> Result<Box<[usize]>, String> {
    columns
        .iter()
        .map(|Column { name, .. }| {
            names.iter().position(|known| *known == &**name).ok_or_else(|| {
                let names = if names.is_empty() { "none".into() } else { names.join(", ") };
                format!("it has no column \"{name}\": its columns are {names}")
            })
        })
        .collect()
}

/// One row with the places of its columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cells<'r> {
    /// The row.
    pub(super) row: &'r rusqlite::Row<'r>,
    /// By index of the column in the template.
    pub(super) places: &'r [usize],
    /// Counts infinities. (SQLite has NULL for NaN.)
    pub(super) counters: &'r Counters,
}

impl Row for Cells<'_> {
    fn write(
        &self,
        column: usize,
        conversion: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError> {
        let value = self.row.get_ref(self.places[column]);
        match value.map_err(|error| ColumnError::new(error.to_string()))? {
            ValueRef::Real(real) if !real.is_finite() => {
                self.counters.cells_not_finite.up();
                write_null(out);
                Ok(())
            }
            value => write(value, conversion, out),
        }
    }
}

fn write(
    value: ValueRef<'_>,
    conversion: ColumnConversion,
    out: &mut Vec<u8>,
) -> Result<(), ColumnError> {
    match (value, conversion) {
        (ValueRef::Null, _) => write_null(out),
        (ValueRef::Integer(value @ (0 | 1)), ColumnConversion::Bool) => write_bool(value == 1, out),
        (ValueRef::Integer(value), ColumnConversion::Plain | ColumnConversion::Number) => {
            write_i64(value, out)
        }
        (ValueRef::Real(value), ColumnConversion::Plain | ColumnConversion::Number) => {
            write_f64(value, out)?
        }
        (ValueRef::Integer(_) | ValueRef::Real(_), ColumnConversion::Text) => {
            out.push(b'"');
            write(value, ColumnConversion::Plain, out)?;
            out.push(b'"');
        }
        (ValueRef::Text(text), ColumnConversion::Plain | ColumnConversion::Text) => {
            write_str(utf8(text)?, out)
        }
        (ValueRef::Text(text), ColumnConversion::Json) => write_json(utf8(text)?, out)?,
        (ValueRef::Text(text), ColumnConversion::Number) => write_number(utf8(text)?, out)?,
        (ValueRef::Blob(_), _) => {
            return Err(ColumnError::new(
                "a blob has no JSON representation: write hex(..) in the statement",
            ));
        }
        (value, ColumnConversion::Bool) => return Err(other("the integer 0 or 1", value)),
        (value, ColumnConversion::Json) => return Err(other("text that is JSON", value)),
    }
    Ok(())
}

fn utf8(text: &[u8]) -> Result<&str, ColumnError> {
    str::from_utf8(text).map_err(|_| ColumnError::new("expected UTF-8, found other bytes"))
}

fn other(expected: &str, value: ValueRef<'_>) -> ColumnError {
    let found = match value {
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => value.to_string(),
        other => other.data_type().to_string(),
    };
    ColumnError::new(format!("expected {expected}, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: ValueRef<'_>, conversion: ColumnConversion) -> Result<String, String> {
        let mut out = Vec::new();
        write(value, conversion, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).expect("text"))
    }

    #[test]
    fn values_are_written_as_their_form_says() {
        use ColumnConversion::{Bool, Json, Number, Plain, Text};
        for (value, conversion, text) in [
            (ValueRef::Null, Json, "null"),
            (ValueRef::Integer(-5), Plain, "-5"),
            (ValueRef::Integer(1), Bool, "true"),
            (ValueRef::Integer(0), Bool, "false"),
            (ValueRef::Integer(7), Text, "\"7\""),
            (ValueRef::Integer(7), Number, "7"),
            (ValueRef::Real(0.1), Plain, "0.1"),
            (ValueRef::Real(2.0), Number, "2.0"),
            (ValueRef::Real(2.5), Text, "\"2.5\""),
            (ValueRef::Text(b"a\"b"), Plain, r#""a\"b""#),
            (ValueRef::Text(b"[\"a\"]"), Json, r#"["a"]"#),
            (ValueRef::Text(b"[\"a\"]"), Plain, r#""[\"a\"]""#),
            (ValueRef::Text(b"12.50"), Number, "12.50"),
        ] {
            assert_eq!(written(value, conversion).as_deref(), Ok(text), "{value:?} {conversion:?}");
        }
    }

    #[test]
    fn what_a_form_cannot_take_says_what_was_found() {
        use ColumnConversion::{Bool, Json, Number, Plain};
        for (value, conversion, end) in [
            (ValueRef::Integer(2), Bool, "the integer 0 or 1, found 2"),
            (ValueRef::Text(b"1"), Bool, "found Text"),
            (ValueRef::Integer(2), Json, "text that is JSON, found 2"),
            (ValueRef::Text(b"[1"), Json, "found [1"),
            (ValueRef::Text(b"x"), Number, "found x"),
            (ValueRef::Text(b"\xff"), Plain, "found other bytes"),
            (ValueRef::Blob(b"x"), Plain, "hex(..) in the statement"),
        ] {
            let error = written(value, conversion).expect_err("is refused");
            assert!(error.ends_with(end), "{error}");
        }
    }

    #[test]
    fn columns_are_found_by_name() {
        let wanted = ["b", "a"]
            .map(|name| Column { name: name.into(), conversion: ColumnConversion::Plain });
        assert_eq!(places(&["a", "x", "b"], &wanted).as_deref(), Ok(&[2, 0][..]));
        let error = places(&["b", "x"], &wanted).expect_err("there is no a");
        assert_eq!(error, "it has no column \"a\": its columns are b, x");
        assert!(places(&[], &wanted).expect_err("there are none").ends_with("none"));
    }
}
