//! The data set, checked once: JSON text in, item texts and exact units out.
//!
//! Items keep their text (key order, notation of numbers and strings) with the white space between
//! tokens removed, so what is written back is what was given.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::error::RouteErrorKind;
use crate::source::Named;

use super::formula::Computed;
use super::unit::{DIGITS_MAX, Plain, Unit};

/// One item of the data set.
#[derive(Debug)]
pub(crate) struct Item {
    /// The object without its closing brace: `{"id":1,"price":328`.
    pub(crate) open_text: String,
    /// The product of each computed field.
    pub(crate) units: Box<[Unit]>,
}

/// Reads a JSON array of items, and makes the products of these fields.
pub(crate) fn read(
    dataset: &Named<Vec<u8>>,
    computed: &[Computed],
) -> Result<Vec<Item>, RouteErrorKind> {
    let file = dataset.name.as_str();
    let whole: &RawValue = parse(file, &dataset.value)?;
    if !whole.get().starts_with('[') {
        return Err(not_items(file, &shown(whole.get())));
    }
    let texts: Vec<&RawValue> = parse(file, &dataset.value)?;
    if texts.is_empty() {
        return Err(not_items(file, "no item"));
    }
    let item = |(at, text): (usize, &&RawValue)| read_item(file, at + 1, text.get(), computed);
    texts.iter().enumerate().map(item).collect()
}

/// The data set `file` is no array of items, or none that can be served.
pub(super) fn not_items(file: &str, found: &str) -> RouteErrorKind {
    let problem = format!("expected an array of items, found {found}");
    RouteErrorKind::Dataset { file: file.into(), problem }
}

fn parse<'t, T: Deserialize<'t>>(file: &str, json: &'t [u8]) -> Result<T, RouteErrorKind> {
    serde_json::from_slice(json).map_err(|error| syntax(file, &error))
}

fn syntax(file: &str, error: &serde_json::Error) -> RouteErrorKind {
    let full = error.to_string();
    let (line, column) = (error.line(), error.column());
    let position = format!(" at line {line} column {column}");
    let found = match error.classify() {
        Category::Eof => "the end of the file",
        _ => full.strip_suffix(position.as_str()).unwrap_or(&full),
    };
    let problem = format!("line {line}, column {column}: expected JSON, found {found}");
    RouteErrorKind::Dataset { file: file.into(), problem }
}

fn read_item(
    file: &str,
    index: usize,
    text: &str,
    computed: &[Computed],
) -> Result<Item, RouteErrorKind> {
    if !text.starts_with('{') {
        let problem = format!("item {index}: expected an object, found {}", shown(text));
        return Err(RouteErrorKind::Dataset { file: file.into(), problem });
    }
    let Fields(fields) = parse(file, text.as_bytes())?;
    let error = |key: &str, expected: &str, found: String| {
        let problem = format!("item {index}: key \"{key}\": expected {expected}, found {found}");
        RouteErrorKind::Key { file: file.into(), key: key.into(), problem }
    };
    for (at, (key, _)) in fields.iter().enumerate() {
        if fields[..at].iter().any(|(earlier, _)| earlier == key) {
            return Err(error(key, "each key once", "it twice".into()));
        }
    }
    let find = |key: &str| fields.iter().find(|(name, _)| name == key).map(|(_, raw)| raw.get());
    let number = |key: &String| {
        let found = find(key).ok_or_else(|| error(key, NUMBER, "nothing".into()))?;
        if !found.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
            return Err(error(key, NUMBER, shown(found)));
        }
        Plain::read(found).map_err(|_| error(key, PLAIN, shown(found)))
    };
    let unit = |field: &Computed| {
        if let Some(found) = find(&field.name) {
            return Err(error(&field.name, "no such key, it is computed", shown(found)));
        }
        let factors = field.keys.iter().map(number).collect::<Result<Vec<_>, _>>()?;
        Unit::product(factors).ok_or_else(|| {
            let texts: Vec<_> = field.keys.iter().filter_map(|key| find(key)).collect();
            error(&field.name, SMALL, texts.join(" * "))
        })
    };
    let units = computed.iter().map(unit).collect::<Result<_, _>>()?;
    let mut open_text = compact(text);
    open_text.pop();
    Ok(Item { open_text, units })
}

/// The text without the white space between tokens.
fn compact(json: &str) -> String {
    let mut quoted = false;
    let mut escaped = false;
    json.chars()
        .filter(|&c| {
            let keep = quoted || !c.is_ascii_whitespace();
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = quoted && c == '\\' && !escaped;
            keep
        })
        .collect()
}

/// A value as an error message shows it.
fn shown(json: &str) -> String {
    let text = compact(json);
    match text.char_indices().nth(SHOWN_MAX) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}

const SHOWN_MAX: usize = 40;

const NUMBER: &str = "a number";
const PLAIN: &str = "a number without exponent, of at most 15 characters";
const SMALL: &str = "a product of at most 15 digits, counting decimals";

const _: () = assert!(DIGITS_MAX == 15, "the messages above say so");

/// The members of an object in the order of the text, doubled keys included.
struct Fields<'t>(Vec<(String, &'t RawValue)>);

impl<'t> Deserialize<'t> for Fields<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'t> Visitor<'t> for FieldsVisitor {
    type Value = Fields<'t>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total() -> [Computed; 1] {
        let keys = vec!["price".into(), "quantity".into()];
        [Computed { name: "total".into(), keys, factor: None }]
    }

    fn message(json: &str) -> String {
        let dataset = Named { name: "dataset.json".into(), value: json.into() };
        read(&dataset, &total()).expect_err(json).to_string()
    }

    #[test]
    fn faults_name_the_place_what_was_expected_and_what_was_found() {
        let rows = [
            ("", "dataset.json: line 1, column 0: expected JSON, found the end of the file"),
            ("[{}", "dataset.json: line 1, column 3: expected JSON, found the end of the file"),
            ("[\n {]", "dataset.json: line 2, column 3: expected JSON, found key must be a string"),
            ("[] []", "dataset.json: line 1, column 4: expected JSON, found trailing characters"),
            ("[]", "dataset.json: expected an array of items, found no item"),
            ("{\"items\": []}", "dataset.json: expected an array of items, found {\"items\":[]}"),
            ("[1]", "dataset.json: item 1: expected an object, found 1"),
            (
                r#"[{"price":1,"quantity":1},{"price":"abc","quantity":1}]"#,
                r#"dataset.json: item 2: key "price": expected a number, found "abc""#,
            ),
            (
                r#"[{"price":null,"quantity":1}]"#,
                r#"dataset.json: item 1: key "price": expected a number, found null"#,
            ),
            (
                r#"[{"quantity":1}]"#,
                r#"dataset.json: item 1: key "price": expected a number, found nothing"#,
            ),
            (
                r#"[{"price":1}]"#,
                r#"dataset.json: item 1: key "quantity": expected a number, found nothing"#,
            ),
            (
                r#"[{"price":1e3,"quantity":1}]"#,
                r#"dataset.json: item 1: key "price": expected a number without exponent, of at most 15 characters, found 1e3"#,
            ),
            (
                r#"[{"price":999999999999999,"quantity":2}]"#,
                r#"dataset.json: item 1: key "total": expected a product of at most 15 digits, counting decimals, found 999999999999999 * 2"#,
            ),
            (
                r#"[{"price":1,"quantity":1,"total":1}]"#,
                r#"dataset.json: item 1: key "total": expected no such key, it is computed, found 1"#,
            ),
            (
                r#"[{"price":1,"quantity":1,"price":2}]"#,
                r#"dataset.json: item 1: key "price": expected each key once, found it twice"#,
            ),
        ];
        for (json, expected) in rows {
            assert_eq!(message(json), expected, "{json}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_syntax_error() {
        let dataset = Named { name: "d".into(), value: b"[{\"a\":\"\xff\"}]".to_vec() };
        let error = read(&dataset, &[]).expect_err("no JSON").to_string();
        assert!(
            error.starts_with("d: line 1, column ") && error.contains("expected JSON"),
            "{error}"
        );
    }

    #[test]
    fn a_long_value_is_shortened() {
        let json = format!("[\"{}\"]", "x".repeat(100));
        let expected =
            format!("dataset.json: item 1: expected an object, found \"{}...", "x".repeat(39));
        assert_eq!(message(&json), expected);
    }

    #[test]
    fn items_keep_their_text() {
        let json = r#" [ { "z" : "a \" b\\" , "price" : 1.50, "quantity" : 2, "n" : 1E+2 } ] "#;
        let dataset = Named { name: "d".into(), value: json.into() };
        let items = read(&dataset, &total()).expect("valid");
        assert_eq!(items[0].open_text, r#"{"z":"a \" b\\","price":1.50,"quantity":2,"n":1E+2"#);
        assert_eq!(*items[0].units, [Unit::Cents { base: 300, per_cent: 1 }]);
    }
}
