//! Templates of responses: JSON text (RFC 8259) in which a value may be a bare word.
//!
//! `{"id": id, "active": bool(active)}`: what is constant becomes bytes without white space between
//! tokens, each word becomes a hole. What a word may be is the caller's to say; [`Row`] and [`Body`]
//! are the two languages there are. A template that compiled makes JSON whatever fills its holes, if
//! each filling is JSON.

use serde_json::value::RawValue;

use super::words::{nearest, shown};
use crate::error::SettingError;

/// A part of a compiled template. Two literals never stand side by side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece<H> {
    /// Constant bytes.
    Literal(Box<[u8]>),
    /// Where a value goes.
    Hole(H),
}

/// The template of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Holes are indices into `columns`.
    pub(crate) pieces: Box<[Piece<usize>]>,
    /// The columns that are used, each conversion of one once, in the order of the template.
    pub(crate) columns: Box<[Column]>,
}

/// A column that a row template uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the result of the statement.
    pub name: Box<str>,
    /// How it is written.
    pub conversion: ColumnConversion,
}

/// How a column is written. NULL is `null` in every conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnConversion {
    /// As its type says.
    Plain,
    /// `bool(x)`: `true` or `false`, of a boolean or of the integers 1 and 0.
    Bool,
    /// `json(x)`: text that is JSON, as it is.
    Json,
    /// `text(x)`: a string, whatever the type.
    Text,
    /// `number(x)`: a number, also of text that is one.
    Number,
}

impl ColumnConversion {
    /// The conversions that have a name in templates.
    const NAMED: &[(&str, Self)] = &[
        ("bool", Self::Bool),
        ("json", Self::Json),
        ("text", Self::Text),
        ("number", Self::Number),
    ];
}

impl Row {
    /// Compiles a template whose words are columns. Which columns there are only the database knows.
    pub(crate) fn compile(text: &str) -> Result<Self, TemplateError> {
        let mut columns: Vec<Column> = Vec::new();
        let pieces = compile(text, COLUMNS, &mut |word| {
            let conversion = match word.conversion {
                None => ColumnConversion::Plain,
                Some(name) => conversion(name)?,
            };
            let column = Column { name: word.name.into(), conversion };
            Ok(columns.iter().position(|known| *known == column).unwrap_or_else(|| {
                columns.push(column);
                columns.len() - 1
            }))
        })?;
        Ok(Self { pieces, columns: columns.into() })
    }
}

fn conversion(name: &str) -> Result<ColumnConversion, Unknown> {
    let names = || ColumnConversion::NAMED.iter().map(|&(known, _)| known);
    let found = ColumnConversion::NAMED.iter().find(|(known, _)| *known == name);
    found.map(|&(_, conversion)| conversion).ok_or_else(|| Unknown {
        problem: format!("no conversion is called \"{}\"", shown(name)),
        fix: known_are(name, names()),
    })
}

/// The template of a whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// What stands before the rows; everything, where there are none.
    pub(crate) before: Box<[Piece<Hole>]>,
    /// Whether the array of all rows stands between `before` and `after`.
    pub(crate) rows: bool,
    /// What stands behind the rows.
    pub(crate) after: Box<[Piece<Hole>]>,
}

/// What goes into the template of a body, the rows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hole {
    /// How many rows there are.
    Count,
    /// A parameter of the request, by its index among the names.
    Parameter(usize),
}

impl Body {
    /// Compiles a template whose words are `rows`, `count` and these names of parameters. An empty
    /// name keeps an index and is no word.
    pub(crate) fn compile(text: &str, names: &[&str]) -> Result<Self, TemplateError> {
        let named = names.iter().filter(|name| !name.is_empty());
        let known: Vec<&str> = [ROWS, COUNT].iter().chain(named).copied().collect();
        let wanted = format!("a JSON value or one of: {}", known.join(", "));
        let mut rows_seen = false;
        let pieces = compile(text, &wanted, &mut |word| {
            if let Some(name) = word.conversion {
                return Err(Unknown {
                    problem: format!("{}(..) converts columns, and here are none", shown(name)),
                    fix: format!("write {}", word.name),
                });
            }
            let parameter = names.iter().position(|name| *name == word.name);
            match (word.name, parameter) {
                (ROWS | COUNT, Some(_)) => Err(Unknown {
                    problem: format!("\"{}\" is a parameter of the route too", word.name),
                    fix: "give the parameter another name".into(),
                }),
                (ROWS, None) if rows_seen => Err(Unknown {
                    problem: "the rows stand there already".into(),
                    fix: "write rows once".into(),
                }),
                (ROWS, None) => {
                    rows_seen = true;
                    Ok(None)
                }
                (COUNT, None) => Ok(Some(Hole::Count)),
                (_, Some(at)) => Ok(Some(Hole::Parameter(at))),
                (name, None) => Err(Unknown {
                    problem: format!("nothing is called \"{}\"", shown(name)),
                    fix: known_are(name, known.iter().copied()),
                }),
            }
        })?;
        Ok(Self::split(pieces))
    }

    /// Whether a parameter, by its index among the names, is used.
    pub(crate) fn uses(&self, parameter: usize) -> bool {
        let hole = Piece::Hole(Hole::Parameter(parameter));
        self.before.contains(&hole) || self.after.contains(&hole)
    }

    /// `None` is where the rows go.
    fn split(pieces: Box<[Piece<Option<Hole>>]>) -> Self {
        let mut sides = [Vec::new(), Vec::new()];
        let mut rows = false;
        for piece in pieces {
            let side = &mut sides[usize::from(rows)];
            match piece {
                Piece::Literal(bytes) => side.push(Piece::Literal(bytes)),
                Piece::Hole(Some(hole)) => side.push(Piece::Hole(hole)),
                Piece::Hole(None) => rows = true,
            }
        }
        let [before, after] = sides.map(Vec::into_boxed_slice);
        Self { before, rows, after }
    }
}

fn known_are<'k>(name: &str, known: impl Iterator<Item = &'k str> + Clone) -> String {
    let all: Vec<_> = known.clone().collect();
    match nearest(name, known) {
        Some(suggestion) => format!("did you mean {suggestion}? known are {}", all.join(", ")),
        None => format!("known are {}", all.join(", ")),
    }
}

const ROWS: &str = "rows";
const COUNT: &str = "count";
const COLUMNS: &str = "a JSON value, a column, or bool, json, text or number of one: bool(active)";

/// Why a template means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemplateError {
    /// Line of the template, counted from 1.
    pub(crate) line: usize,
    /// Character of the line, counted from 1.
    pub(crate) column: usize,
    /// What stands there, shortened.
    pub(crate) found: String,
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What to write instead.
    pub(crate) fix: String,
}

impl TemplateError {
    /// The error of the template under `key`.
    pub(crate) fn under(self, key: &str) -> SettingError {
        let Self { line, column, found, problem, fix } = self;
        SettingError::new(key, found, format!("line {line}, column {column}: {problem}"), fix)
    }
}

/// A bare word: `name`, or `conversion(name)`.
struct Word<'t> {
    name: &'t str,
    conversion: Option<&'t str>,
}

/// A word that stands for nothing.
struct Unknown {
    problem: String,
    fix: String,
}

fn compile<H>(
    text: &str,
    wanted: &str,
    hole: &mut dyn FnMut(Word<'_>) -> Result<H, Unknown>,
) -> Result<Box<[Piece<H>]>, TemplateError> {
    let mut compiler =
        Compiler { text, at: 0, wanted, hole, literal: Vec::new(), pieces: Vec::new() };
    compiler.value(0)?;
    compiler.space();
    if compiler.at < text.len() {
        return Err(compiler.expected("the end of the template", "take the rest away"));
    }
    compiler.end_literal();
    Ok(compiler.pieces.into())
}

/// Reads a template from its beginning to its end, once.
struct Compiler<'t, 'h, H> {
    text: &'t str,
    /// Offset of the next byte.
    at: usize,
    /// What may stand where a value may.
    wanted: &'t str,
    hole: &'h mut dyn FnMut(Word<'_>) -> Result<H, Unknown>,
    literal: Vec<u8>,
    pieces: Vec<Piece<H>>,
}

impl<'t, H> Compiler<'t, '_, H> {
    fn value(&mut self, depth: usize) -> Result<(), TemplateError> {
        match self.peek() {
            Some('{' | '[') if depth == DEPTH_MAX => {
                Err(self.expected("fewer brackets within brackets", "64 levels are the most"))
            }
            Some('{') => self.object(depth + 1),
            Some('[') => self.array(depth + 1),
            Some('"') => self.string().map(drop),
            Some('-' | '0'..='9') => self.number(),
            Some(c) if begins_word(c) => self.word(),
            _ => Err(self.expected(self.wanted, "strings stand in double quotes")),
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), TemplateError> {
        let mut keys: Vec<String> = Vec::new();
        self.take('{');
        if self.peek() == Some('}') {
            self.take('}');
            return Ok(());
        }
        loop {
            if self.peek() != Some('"') {
                return Err(self.expected("a key", "keys stand in double quotes: \"id\": id"));
            }
            let key_at = self.at;
            let key = self.string()?;
            if keys.contains(&key) {
                let (problem, fix) = ("the object has this key already", "write each key once");
                return Err(self.error(key_at, &self.text[key_at..self.at], problem, fix));
            }
            keys.push(key);
            self.require(':', "\":\"", "a value follows each key")?;
            self.value(depth)?;
            if self.peek() == Some('}') {
                self.take('}');
                return Ok(());
            }
            self.require(',', "\",\" or \"}\"", "members are separated by commas")?;
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), TemplateError> {
        self.take('[');
        if self.peek() == Some(']') {
            self.take(']');
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if self.peek() == Some(']') {
                self.take(']');
                return Ok(());
            }
            self.require(',', "\",\" or \"]\"", "elements are separated by commas")?;
        }
    }

    /// Takes a string as it is written; returns what it says.
    fn string(&mut self) -> Result<String, TemplateError> {
        let rest = &self.text[self.at..];
        let mut escaped = true;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return Err(self.error(self.at, rest, "the string has no end", "close it with \""));
        };
        let token = &rest[..=end];
        let said = serde_json::from_str(token).map_err(|error| {
            let (problem, fix) = (json_problem(&error), "escape it as JSON does: \\n, \\u0007");
            self.error(self.at, token, problem, fix)
        })?;
        self.keep(token);
        Ok(said)
    }

    fn number(&mut self) -> Result<(), TemplateError> {
        let token = self.run(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
        if serde_json::from_str::<&RawValue>(token).is_err() {
            let fix = "write it as JSON does: 10, -0.5, 1e3";
            return Err(self.error(self.at, token, "this is no number", fix));
        }
        self.keep(token);
        Ok(())
    }

    fn word(&mut self) -> Result<(), TemplateError> {
        let first_at = self.at;
        let first = self.run(in_word);
        if matches!(first, "true" | "false" | "null") {
            self.keep(first);
            return Ok(());
        }
        self.at += first.len();
        let mut word = Word { name: first, conversion: None };
        let end = self.at;
        if self.peek() == Some('(') {
            self.at += 1;
            if !self.peek().is_some_and(begins_word) {
                return Err(self.expected("the name of a column", "write it as in bool(active)"));
            }
            word = Word { name: self.run(in_word), conversion: Some(first) };
            self.at += word.name.len();
            if self.peek() != Some(')') {
                return Err(self.expected("\")\"", "a conversion takes one column: bool(active)"));
            }
            self.at += 1;
        } else {
            self.at = end;
        }
        let found = &self.text[first_at..self.at];
        let hole = (self.hole)(word)
            .map_err(|Unknown { problem, fix }| self.error(first_at, found, problem, fix))?;
        self.end_literal();
        self.pieces.push(Piece::Hole(hole));
        Ok(())
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        self.space();
        self.text[self.at..].chars().next()
    }

    fn space(&mut self) {
        self.at += self.run(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).len();
    }

    /// The text from here on that consists of such characters.
    fn run(&self, belongs: impl Fn(char) -> bool) -> &'t str {
        let rest = &self.text[self.at..];
        &rest[..rest.find(|c| !belongs(c)).unwrap_or(rest.len())]
    }

    fn require(&mut self, mark: char, what: &str, fix: &str) -> Result<(), TemplateError> {
        if self.peek() != Some(mark) {
            return Err(self.expected(what, fix));
        }
        self.take(mark);
        Ok(())
    }

    /// Takes a mark that is known to stand here.
    fn take(&mut self, mark: char) {
        debug_assert!(self.text[self.at..].starts_with(mark));
        self.keep(&self.text[self.at..self.at + mark.len_utf8()]);
    }

    fn keep(&mut self, token: &str) {
        self.literal.extend_from_slice(token.as_bytes());
        self.at += token.len();
    }

    fn end_literal(&mut self) {
        if !self.literal.is_empty() {
            self.pieces.push(Piece::Literal(std::mem::take(&mut self.literal).into()));
        }
    }

    /// Something else stands here than must.
    fn expected(&self, what: &str, fix: &str) -> TemplateError {
        let rest = &self.text[self.at..];
        let found = match (rest.chars().next(), self.run(in_word)) {
            (None, _) => "the end",
            (Some(c), "") => &rest[..c.len_utf8()],
            (Some(_), word) => word,
        };
        self.error(self.at, found, format!("expected {what}"), fix)
    }

    fn error(
        &self,
        at: usize,
        found: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> TemplateError {
        let before = &self.text[..at];
        let line_at = before.rfind('\n').map_or(0, |newline| newline + 1);
        TemplateError {
            line: before.matches('\n').count() + 1,
            column: before[line_at..].chars().count() + 1,
            found: shown(found),
            problem: problem.into(),
            fix: fix.into(),
        }
    }
}

fn begins_word(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// What the JSON parser says, without its own idea of the place.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    let full = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    full.strip_suffix(place.as_str()).unwrap_or(&full).to_owned()
}

/// Brackets within brackets: far beyond any response, far below the end of a stack.
const DEPTH_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of a row as text, holes as `<index>`.
    fn row(text: &str) -> (String, Vec<(String, ColumnConversion)>) {
        let Row { pieces, columns } = Row::compile(text).expect(text);
        let columns = columns.iter().map(|column| (column.name.to_string(), column.conversion));
        (pieces.iter().map(|piece| text_of(piece, usize::to_string)).collect(), columns.collect())
    }

    fn text_of<H>(piece: &Piece<H>, hole: impl Fn(&H) -> String) -> String {
        match piece {
            Piece::Literal(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Piece::Hole(filling) => format!("<{}>", hole(filling)),
        }
    }

    fn body(text: &str, names: &[&str]) -> String {
        let Body { before, rows, after } = Body::compile(text, names).expect(text);
        let side = |pieces: &[Piece<Hole>]| -> String {
            let hole = |hole: &Hole| match hole {
                Hole::Count => "count".into(),
                Hole::Parameter(at) => names[*at].into(),
            };
            pieces.iter().map(|piece| text_of(piece, hole)).collect()
        };
        format!("{}{}{}", side(&before), if rows { "<rows>" } else { "" }, side(&after))
    }

    fn message(error: TemplateError) -> String {
        let TemplateError { line, column, found, problem, fix } = error;
        format!("line {line}, column {column}: {found}: {problem}; {fix}")
    }

    #[test]
    fn rows_become_literals_and_columns() {
        let (text, columns) = row(
            "{\"id\": id,\n \"active\": bool( active ), \"again\": id,
            \"tags\": json(tags), \"n\": [number(n), text (n), n], \"c\": [1, -0.5e3, null, true]}",
        );
        assert_eq!(
            text,
            r#"{"id":<0>,"active":<1>,"again":<0>,"tags":<2>,"n":[<3>,<4>,<5>],"c":[1,-0.5e3,null,true]}"#
        );
        let want = [
            ("id", ColumnConversion::Plain),
            ("active", ColumnConversion::Bool),
            ("tags", ColumnConversion::Json),
            ("n", ColumnConversion::Number),
            ("n", ColumnConversion::Text),
            ("n", ColumnConversion::Plain),
        ];
        assert_eq!(columns, want.map(|(name, conversion)| (name.to_owned(), conversion)));
    }

    #[test]
    fn bodies_are_split_where_the_rows_go() {
        let names = ["page", "limit"];
        for (text, want) in [
            ("rows", "<rows>"),
            (" {\"items\": rows, \"count\": count} ", r#"{"items":<rows>,"count":<count>}"#),
            (
                r#"{"n":count,"items":rows,"total":count,"page":page,"of":{"limit":[limit]}}"#,
                r#"{"n":<count>,"items":<rows>,"total":<count>,"page":<page>,"of":{"limit":[<limit>]}}"#,
            ),
            (r#"{"changed": count}"#, r#"{"changed":<count>}"#),
            (r#" [ {} , [ ] , "a b" , "\"rows\"" ] "#, r#"[{},[],"a b","\"rows\""]"#),
        ] {
            assert_eq!(body(text, &names), want, "{text}");
        }
        let used = Body::compile("[rows, limit]", &names).expect("known");
        assert_eq!((used.uses(0), used.uses(1)), (false, true));
    }

    #[test]
    fn mistakes_are_told_with_their_place_and_a_fix() {
        for (text, want) in [
            (
                "",
                "line 1, column 1: the end: expected a JSON value or one of: rows, count, min, max; \
                 strings stand in double quotes",
            ),
            (
                "{\"items\": rows,\n \"count\": cuont}",
                "line 2, column 11: cuont: nothing is called \"cuont\"; \
                 did you mean count? known are rows, count, min, max",
            ),
            (
                "[row]",
                "line 1, column 2: row: nothing is called \"row\"; \
                 did you mean rows? known are rows, count, min, max",
            ),
            (
                "[rows, rows]",
                "line 1, column 8: rows: the rows stand there already; write rows once",
            ),
            (
                "[bool(min)]",
                "line 1, column 2: bool(min): bool(..) converts columns, and here are none; \
                 write min",
            ),
            (
                "{\"ü\": rows, count}",
                "line 1, column 13: count: expected a key; keys stand in double quotes: \"id\": id",
            ),
            (
                "{\"a\": 1,}",
                "line 1, column 9: }: expected a key; keys stand in double quotes: \"id\": id",
            ),
            ("{\"a\" 1}", "line 1, column 6: 1: expected \":\"; a value follows each key"),
            (
                "{\"a\": 1 \"b\": 2}",
                "line 1, column 9: \": expected \",\" or \"}\"; members are separated by commas",
            ),
            (
                "[1 2]",
                "line 1, column 4: 2: expected \",\" or \"]\"; elements are separated by commas",
            ),
            (
                "{\"a\": 1, \"\\u0061\": 2}",
                "line 1, column 10: \"\\u0061\": the object has this key already; \
                 write each key once",
            ),
            (
                "rows rows",
                "line 1, column 6: rows: expected the end of the template; take the rest away",
            ),
            (
                "[01]",
                "line 1, column 2: 01: this is no number; write it as JSON does: 10, -0.5, 1e3",
            ),
            ("[\"a]", "line 1, column 2: \"a]: the string has no end; close it with \""),
            (
                "[\"a\nb\"]",
                "line 1, column 2: \"a\\nb\": control character (\\u0000-\\u001F) found while \
                 parsing a string; escape it as JSON does: \\n, \\u0007",
            ),
            (
                "['a']",
                "line 1, column 2: ': expected a JSON value or one of: rows, count, min, max; \
                 strings stand in double quotes",
            ),
        ] {
            let error = Body::compile(text, &["min", "max"]).expect_err(text);
            assert_eq!(message(error), want, "{text}");
        }
        for (text, want) in [
            (
                "[boolean(a)]",
                "line 1, column 2: boolean(a): no conversion is called \"boolean\"; \
                 known are bool, json, text, number",
            ),
            (
                "[Bool(a)]",
                "line 1, column 2: Bool(a): no conversion is called \"Bool\"; \
                 did you mean bool? known are bool, json, text, number",
            ),
            (
                "[bool(1)]",
                "line 1, column 7: 1: expected the name of a column; write it as in bool(active)",
            ),
            (
                "[bool(a, b)]",
                "line 1, column 8: ,: expected \")\"; a conversion takes one column: bool(active)",
            ),
        ] {
            assert_eq!(message(Row::compile(text).expect_err(text)), want, "{text}");
        }
    }

    #[test]
    fn a_parameter_must_not_hide_a_word() {
        let error = Body::compile("[count]", &["count"]).expect_err("ambiguous");
        assert_eq!(
            message(error),
            "line 1, column 2: count: \"count\" is a parameter of the route too; \
             give the parameter another name"
        );
        assert_eq!(body("[rows]", &["count"]), "[<rows>]");
        assert_eq!(body("[rows, count, m]", &["", "m"]), "[<rows>,<count>,<m>]");
        let error = Body::compile("[n]", &["", "m"]).expect_err("unknown");
        assert_eq!(error.fix, "known are rows, count, m");
    }

    #[test]
    fn brackets_are_nested_within_reason() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(body(&nested(DEPTH_MAX), &[]), nested(DEPTH_MAX));
        let error = Body::compile(&nested(DEPTH_MAX + 1), &[]).expect_err("deep");
        assert!(error.problem.contains("expected fewer brackets within brackets"), "{error:?}");
        let error = Body::compile(&"[".repeat(1_000_000), &[]).expect_err("deep");
        assert_eq!((error.line, error.column), (1, DEPTH_MAX + 1));
    }

    /// Texts of templates with the columns a, b and c, keys always different.
    fn template() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("a".to_owned()),
            Just("bool(b)".to_owned()),
            Just(" json( c ) ".to_owned()),
            any::<i64>().prop_map(|number| number.to_string()),
            any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a string")),
            Just("null".to_owned()),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| format!("[{}]", values.join(" , "))),
                prop::collection::vec(inner, 0..4).prop_map(|values| {
                    let member = |(at, value)| format!("\n\"k{at}\" :{value}");
                    let members: Vec<_> = values.iter().enumerate().map(member).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_filled_template_is_json(text in template()) {
            let compiled = Row::compile(&text).expect("valid");
            let literals = compiled.pieces.windows(2).filter(|pair| {
                matches!(pair, [Piece::Literal(_), Piece::Literal(_)])
            });
            prop_assert_eq!(literals.count(), 0);
            let names = ["a", "b", "c"];
            let fill = |at: &usize| {
                names.iter().position(|name| *name == &*compiled.columns[*at].name)
            };
            let filled: String = compiled.pieces.iter().map(|piece| match piece {
                Piece::Literal(bytes) => std::str::from_utf8(bytes).expect("text").to_owned(),
                Piece::Hole(at) => format!("{{\"column\":{}}}", fill(at).expect("known")),
            }).collect();
            let expected = text
                .replace("bool(b)", "{\"column\":1}")
                .replace(" json( c ) ", "{\"column\":2}");
            let expected = replace_word(&expected, "a", "{\"column\":0}");
            let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
            prop_assert_eq!(read(&filled), read(&expected));
        }

        #[test]
        fn a_cut_or_spoilt_template_is_refused_or_read_but_never_panics(
            text in template(),
            cut in any::<prop::sample::Index>(),
            mark in "[\\[\\]{}\",:()a1 \\\\]",
        ) {
            let ends: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
            let at = ends[cut.index(ends.len())];
            let begun = text.trim_start();
            if begun.starts_with(['[', '{', '"']) && at < text.trim_end().len() {
                let error = Row::compile(&text[..at]).expect_err("cut");
                prop_assert!(error.line >= 1 && error.column >= 1);
            }
            let spoilt = format!("{}{mark}{}", &text[..at], &text[at..]);
            if let Err(error) = Row::compile(&spoilt) {
                prop_assert!(!error.problem.is_empty() && !error.fix.is_empty());
            }
        }

        #[test]
        fn any_text_is_refused_or_read(text in any::<String>()) {
            if let Ok(row) = Row::compile(&text) {
                prop_assert!(!row.pieces.is_empty());
            }
        }
    }

    /// Replaces a word that stands outside of strings.
    fn replace_word(text: &str, word: &str, by: &str) -> String {
        let mut out = String::new();
        let (mut quoted, mut escaped) = (false, false);
        for c in text.chars() {
            if c == '"' && !escaped {
                quoted = !quoted;
            }
            escaped = quoted && c == '\\' && !escaped;
            if !quoted && word.contains(c) {
                out.push_str(by);
            } else {
                out.push(c);
            }
        }
        out
    }
}
