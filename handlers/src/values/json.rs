//! JSON text (RFC 8259), appended to what is there: no tree in between, no memory per value.
//!
//! Text stays UTF-8 and is escaped where the standard demands it. Numbers say exactly what was given:
//! an integer has no point, a real number has the fewest digits that read back as the same one.

use serde::Serialize;
use serde_json::value::RawValue;

use super::words::shown;

/// A column that cannot be written as its template says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}{text}")]
pub struct ColumnError {
    /// Which row and which column, once that is known.
    place: String,
    text: String,
}

impl ColumnError {
    /// An error that says what was expected and what was found. `Rows::push` adds where.
    pub fn new(text: impl Into<String>) -> Self {
        Self { place: String::new(), text: text.into() }
    }

    /// The same error with which row and which column it is of.
    pub(crate) fn at(self, place: String) -> Self {
        Self { place, ..self }
    }
}

/// A string in quotes, escaped.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    write(text, out);
}

/// An integer.
pub fn write_i64(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A real number: `328.0`, `0.1`, `1e300`. JSON has no notation for one that is not finite.
pub fn write_f64(value: f64, out: &mut Vec<u8>) -> Result<(), ColumnError> {
    if !value.is_finite() {
        return Err(expected("a finite number", &value.to_string()));
    }
    write(&value, out);
    Ok(())
}

/// `true` or `false`.
pub fn write_bool(value: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

/// `null`.
pub fn write_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// Text that is JSON already, as it is. Checked, for it would break everything around it.
pub fn write_json(text: &str, out: &mut Vec<u8>) -> Result<(), ColumnError> {
    match json_text(text) {
        Some(json) => out.extend_from_slice(json.as_bytes()),
        None => return Err(expected("JSON", text)),
    }
    Ok(())
}

/// A number in text, digit for digit: what a decimal of any precision comes as. Checked.
pub fn write_number(text: &str, out: &mut Vec<u8>) -> Result<(), ColumnError> {
    match json_text(text).filter(|json| is_number(json)) {
        Some(json) => out.extend_from_slice(json.as_bytes()),
        None => return Err(expected("a number", text)),
    }
    Ok(())
}

/// The JSON value in `text` without the white space around it; `None` if there is not exactly one.
pub(crate) fn json_text(text: &str) -> Option<&str> {
    serde_json::from_str::<&RawValue>(text).ok().map(RawValue::get)
}

/// Whether a JSON value is a number.
pub(crate) fn is_number(json: &str) -> bool {
    json.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn expected(what: &str, found: &str) -> ColumnError {
    ColumnError::new(format!("expected {what}, found {}", shown(found)))
}

fn write<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Vec takes all, and these values have a notation");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"[1,".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).expect("UTF-8");
        text.strip_prefix("[1,").expect("what was there stays").to_owned()
    }

    #[test]
    fn values_are_written_as_the_standard_has_them() {
        assert_eq!(written(|out| write_str("a\"\\/\u{1}\n\u{7f}ü€😀", out)), {
            r#""a\"\\/\u0001\n"#.to_owned() + "\u{7f}ü€😀\""
        });
        assert_eq!(written(|out| write_i64(i64::MIN, out)), "-9223372036854775808");
        assert_eq!(written(|out| write_bool(true, out)), "true");
        assert_eq!(written(|out| write_bool(false, out)), "false");
        assert_eq!(written(write_null), "null");
        assert_eq!(written(|out| write_json(" [1, 2]\n", out).expect("JSON")), "[1, 2]");
        assert_eq!(written(|out| write_number("-10.500", out).expect("a number")), "-10.500");
    }

    #[test]
    fn real_numbers_are_short_and_exact() {
        for (value, text) in [(328.0, "328.0"), (0.1, "0.1"), (-0.0, "-0.0"), (48.5, "48.5")] {
            assert_eq!(written(|out| write_f64(value, out).expect("finite")), text);
        }
    }

    #[test]
    fn what_has_no_notation_is_refused_and_leaves_nothing() {
        let mut out = Vec::new();
        for (found, result) in [
            ("NaN", write_f64(f64::NAN, &mut out)),
            ("-inf", write_f64(f64::NEG_INFINITY, &mut out)),
            ("[1,", write_json("[1,", &mut out)),
            ("", write_json("", &mut out)),
            ("1 2", write_json("1 2", &mut out)),
            ("NaN", write_number("NaN", &mut out)),
            ("\"1\"", write_number("\"1\"", &mut out)),
            ("01", write_number("01", &mut out)),
        ] {
            let error = result.expect_err(found).to_string();
            assert!(error.ends_with(&format!("found {found}")), "{error}");
        }
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn all_text_reads_back(text in any::<String>()) {
            let json = written(|out| write_str(&text, out));
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), text);
        }

        #[test]
        fn all_finite_numbers_read_back(value in any::<f64>()) {
            prop_assume!(value.is_finite());
            let json = written(|out| write_f64(value, out).expect("finite"));
            let read: f64 = json.parse().expect("a number");
            prop_assert_eq!(read.to_bits(), value.to_bits());
            prop_assert!(json_text(&json).is_some_and(is_number));
        }
    }
}
