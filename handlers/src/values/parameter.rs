//! One parameter of a request: the rule an operator gave, checked once, and what it makes of a text.
//!
//! Invariant: a value that a rule made, its default included, is of the rule's kind and within its
//! bounds.

use std::fmt;

use http1::Status;

use crate::config::{Bounds, Outside, Parameter, Source, Value, ValueKind};

use super::decimal::{Decimal, LEN_MAX};
use super::json::{is_number, json_text};
use super::number::Whole;
use super::pairs;
use super::words::shown;
use crate::error::SettingError;

/// A parameter, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rule {
    /// Its name.
    pub(crate) name: Box<str>,
    /// Where it stands.
    pub(crate) from: Source,
    /// What holds where it is missing.
    pub(crate) default: Option<Value>,
    wanted: Constraint,
    outside: Outside,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
enum Constraint {
    /// From the least to the greatest.
    Integer(i64, i64),
    /// From the least to the greatest, and not beyond the reals of 64 bits.
    Number(Bounds),
    /// From the shortest to the longest, in characters.
    Text(usize, usize),
    Boolean,
    Json,
}

/// A text that is no value of its parameter: of another kind, or out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidValue;

impl Rule {
    /// Checks a parameter of the route at `path`.
    pub(crate) fn compile(parameter: &Parameter, path: &str) -> Result<Self, SettingError> {
        let Parameter { name, from, kind, default, bounds, outside } = parameter;
        let key = |key: &str| format!("parameters.{name}{key}");
        if name.is_empty() {
            let fix = "call it as the request does";
            return Err(SettingError::new("parameters", "\"\"", "a parameter has no name", fix));
        }
        if *from == Source::Path {
            if !segments(path).any(|segment| segment == name) {
                let problem = format!("the path {path} has no segment {{{name}}}");
                let fix = "write it into the path, or take it from query or body";
                return Err(SettingError::new(key(".from"), "path", problem, fix));
            }
            if let Some(default) = default {
                let problem = "a segment of the path is never missing";
                let fix = "take it away";
                return Err(SettingError::new(key(".default"), display(default), problem, fix));
            }
        }
        let wanted = Constraint::compile(*kind, bounds.as_ref()).map_err(|(problem, fix)| {
            let found = bounds.clone().unwrap_or_default().to_string();
            SettingError::new(key(".bounds"), found, problem, fix)
        })?;
        if *outside == Outside::Clamp {
            let is_number = matches!(kind, ValueKind::Integer | ValueKind::Number);
            let error =
                |problem, fix| Err(SettingError::new(key(".outside"), "clamp", problem, fix));
            if !is_number {
                return error("only integers and numbers are clamped", "take it away");
            }
            if bounds.is_none() {
                return error("there are no bounds to clamp to", "give bounds = [least, greatest]");
            }
        }
        let default = match default {
            Some(value) => Some(wanted.default(value).ok_or_else(|| {
                let problem = format!("it is not what the parameter takes: {wanted}");
                let fix = "give one that is, or none";
                SettingError::new(key(".default"), display(value), problem, fix)
            })?),
            None => None,
        };
        Ok(Self { name: name.as_str().into(), from: *from, default, wanted, outside: *outside })
    }

    /// Whether the values of both are of the same kind.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.wanted) == std::mem::discriminant(&other.wanted)
    }

    /// Whether two values that a database takes as equal are one value here: so it is for integers and booleans.
    /// Of the others only the statement knows what they are compared as: a number as `float4`, a text as `uuid`, as
    /// `date` or without regard to case, JSON as `jsonb`.
    pub(crate) fn has_exact_values(&self) -> bool {
        matches!(self.wanted, Constraint::Integer(..) | Constraint::Boolean)
    }

    /// The value of decoded text, in a path or a query.
    pub(crate) fn read(&self, text: &str) -> Result<Value, InvalidValue> {
        match self.wanted {
            Constraint::Integer(..) => {
                let whole = Whole::of_digits(text.bytes());
                whole.and_then(|whole| self.integer_of(whole)).map(Value::Integer)
            }
            Constraint::Number(..) => {
                Decimal::parse(text).and_then(|number| self.number_of(number))
            }
            Constraint::Text(..) => self.text_of(text.to_owned()),
            Constraint::Boolean => text.parse().ok().map(Value::Boolean),
            Constraint::Json => json_text(text).map(|json| Value::Json(json.to_owned())),
        }
        .ok_or(InvalidValue)
    }

    /// The value of a member of a JSON object; `json` is valid.
    pub(crate) fn read_json(&self, json: &str) -> Result<Value, InvalidValue> {
        let number = is_number(json);
        match self.wanted {
            Constraint::Integer(..) if number => {
                let whole = Whole::of_json(json);
                whole.and_then(|whole| self.integer_of(whole)).map(Value::Integer)
            }
            Constraint::Number(..) if number => {
                Decimal::parse(json).and_then(|number| self.number_of(number))
            }
            Constraint::Integer(..) | Constraint::Number(..) => None,
            Constraint::Text(..) => {
                serde_json::from_str(json).ok().and_then(|text| self.text_of(text))
            }
            Constraint::Boolean => serde_json::from_str(json).ok().map(Value::Boolean),
            Constraint::Json => Some(Value::Json(json.to_owned())),
        }
        .ok_or(InvalidValue)
    }

    /// The value of an integer of a path or a query, without allocation: for cores. `capture` is the
    /// segment of the path with this name, decoded. `Err` is the status that refuses it.
    ///
    /// # Panics
    /// If it is no integer, or stands in a body.
    pub(crate) fn integer(&self, capture: Option<&str>, query: &[u8]) -> Result<i64, Status> {
        let whole = match self.from {
            Source::Path => capture.map(|text| Whole::of_digits(text.bytes())),
            // A broken escape becomes a byte that is no digit.
            Source::Query => pairs::value(query, &self.name)
                .filter(|sent| !sent.is_empty())
                .map(|sent| Whole::of_digits(pairs::bytes(sent).map(|byte| byte.unwrap_or(0)))),
            Source::Body => panic!("a core keeps no body"),
        };
        match (whole, &self.default) {
            (Some(whole), _) => {
                whole.and_then(|whole| self.integer_of(whole)).ok_or_else(|| self.refusal())
            }
            (None, Some(Value::Integer(default))) => Ok(*default),
            (None, None) => Err(Status::S400),
            (None, Some(other)) => panic!("an integer was asked for, not {other:?}"),
        }
    }

    /// The status of what is malformed or out of bounds.
    pub(crate) fn refusal(&self) -> Status {
        match self.from {
            Source::Path => Status::S404,
            Source::Query | Source::Body => Status::S400,
        }
    }

    /// The sentence that refuses: which parameter, then what is wrong.
    pub(crate) fn message(&self, problem: &str) -> String {
        let place = match self.from {
            Source::Path => "path",
            Source::Query => "query",
            Source::Body => "body",
        };
        format!("parameter \"{}\" in the {place}: {problem}\n", shown(&self.name))
    }

    /// The sentence that refuses what was sent instead of what was wanted.
    pub(crate) fn expected(&self, found: &str) -> String {
        self.message(&format!("expected {}, found {found}", self.wanted))
    }

    fn integer_of(&self, whole: Whole) -> Option<i64> {
        let Constraint::Integer(least, greatest) = self.wanted else { return None };
        let value = match whole {
            Whole::Is(value) => value.clamp(least, greatest),
            Whole::Below => least,
            Whole::Above => greatest,
        };
        (whole == Whole::Is(value) || self.outside == Outside::Clamp).then_some(value)
    }

    fn number_of(&self, number: Decimal) -> Option<Value> {
        let Constraint::Number(bounds) = &self.wanted else { return None };
        match bounds.nearest(&number) {
            None => Some(Value::Number(number)),
            Some(bound) if self.outside == Outside::Clamp => Some(Value::Number(bound.clone())),
            Some(_) => None,
        }
    }

    fn text_of(&self, text: String) -> Option<Value> {
        let Constraint::Text(least, greatest) = self.wanted else { return None };
        // No database takes a NUL within text.
        let is_text = !text.contains('\0');
        let is_inside = (least..=greatest).contains(&text.chars().count());
        (is_text && is_inside).then_some(Value::Text(text))
    }
}

impl Constraint {
    /// `Err` says what is wrong with the bounds, and what to do.
    fn compile(
        kind: ValueKind,
        bounds: Option<&Bounds>,
    ) -> Result<Self, (&'static str, &'static str)> {
        let Some(bounds) = bounds else {
            return Ok(match kind {
                ValueKind::Integer => Self::Integer(i64::MIN, i64::MAX),
                ValueKind::Number => Self::Number(Bounds::reals()),
                ValueKind::Text => Self::Text(0, usize::MAX),
                ValueKind::Boolean => Self::Boolean,
                ValueKind::Json => Self::Json,
            });
        };
        if bounds.are_reversed() {
            return Err(("the least is not below the greatest", "write [least, greatest]"));
        }
        let whole = |bound: &Option<Decimal>, open| match bound {
            None => Ok(Whole::Is(open)),
            Some(bound) => bound
                .to_whole()
                .ok_or(("integers and lengths have whole bounds", "take the decimals away")),
        };
        match kind {
            ValueKind::Integer => {
                let least = whole(&bounds.least, i64::MIN)?;
                let greatest = whole(&bounds.greatest, i64::MAX)?;
                match (least, greatest) {
                    (Whole::Is(least), Whole::Is(greatest)) => Ok(Self::Integer(least, greatest)),
                    _ => Err(("integers have 64 bits", "bring the bounds nearer")),
                }
            }
            ValueKind::Number if !bounds.are_reals() => {
                Err(("numbers are not beyond 64 bits, 1.8e308", "bring the bounds nearer"))
            }
            ValueKind::Number => Ok(Self::Number(bounds.clone().or(Bounds::reals()))),
            ValueKind::Text => {
                // A length beyond memory bounds nothing.
                let length = |whole| match whole {
                    Whole::Is(length) => usize::try_from(length).ok(),
                    Whole::Below => None,
                    Whole::Above => Some(usize::MAX),
                };
                let least = length(whole(&bounds.least, 0)?);
                let greatest = match bounds.greatest {
                    None => Some(usize::MAX),
                    Some(_) => length(whole(&bounds.greatest, 0)?),
                };
                least
                    .zip(greatest)
                    .map(|(least, greatest)| Self::Text(least, greatest))
                    .ok_or(("no text is shorter than nothing", "begin at 0"))
            }
            ValueKind::Boolean | ValueKind::Json => {
                Err(("only integers, numbers and text have bounds", "take them away"))
            }
        }
    }

    /// The default, if it is one.
    fn default(&self, value: &Value) -> Option<Value> {
        let is_one = match (self, value) {
            (Self::Integer(least, greatest), Value::Integer(value)) => {
                (least..=greatest).contains(&value)
            }
            (Self::Number(bounds), Value::Number(value)) => bounds.nearest(value).is_none(),
            (Self::Number(..), &Value::Integer(value)) => {
                return self.default(&Value::Number(value.into()));
            }
            (Self::Text(least, greatest), Value::Text(text)) => {
                (*least..=*greatest).contains(&text.chars().count()) && !text.contains('\0')
            }
            (Self::Boolean, Value::Boolean(_)) => true,
            (Self::Json, Value::Json(text)) => json_text(text).is_some(),
            _ => false,
        };
        is_one.then(|| value.clone())
    }
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(i64::MIN, i64::MAX) => write!(f, "an integer within 64 bits"),
            Self::Integer(least, i64::MAX) => write!(f, "an integer of at least {least}"),
            Self::Integer(i64::MIN, greatest) => write!(f, "an integer of at most {greatest}"),
            Self::Integer(least, greatest) => write!(f, "an integer from {least} to {greatest}"),
            Self::Number(bounds) => fmt_number(bounds, f),
            Self::Text(0, usize::MAX) => write!(f, "text without NUL"),
            Self::Text(least, usize::MAX) => write!(f, "text of {least} characters or more"),
            Self::Text(0, greatest) => write!(f, "text of at most {greatest} characters"),
            Self::Text(least, greatest) => write!(f, "text of {least} to {greatest} characters"),
            Self::Boolean => write!(f, "true or false"),
            Self::Json => write!(f, "a JSON value"),
        }
    }
}

fn fmt_number(bounds: &Bounds, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let reals = Bounds::reals();
    let least = bounds.least.as_ref().filter(|_| bounds.least != reals.least);
    let greatest = bounds.greatest.as_ref().filter(|_| bounds.greatest != reals.greatest);
    match (least, greatest) {
        (None, None) => write!(f, "a number within 64 bits, of at most {LEN_MAX} characters"),
        (Some(least), None) => write!(f, "a number of at least {least}"),
        (None, Some(greatest)) => write!(f, "a number of at most {greatest}"),
        (Some(least), Some(greatest)) => write!(f, "a number from {least} to {greatest}"),
    }
}

/// The names of the `{name}` segments of a path.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// A value as a message shows it.
fn display(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Integer(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::Text(text) => format!("\"{}\"", shown(text)),
        Value::Boolean(value) => value.to_string(),
        Value::Json(text) => shown(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameter(kind: ValueKind, from: Source) -> Parameter {
        let (default, bounds, outside) = (None, None, Outside::Refuse);
        Parameter { name: "m".into(), from, kind, default, bounds, outside }
    }

    fn number(text: &str) -> Value {
        Value::Number(Decimal::parse(text).expect(text))
    }

    /// `-inf` and `inf` are open.
    fn between(least: &str, greatest: &str) -> Option<Bounds> {
        Some(Bounds { least: Decimal::parse(least), greatest: Decimal::parse(greatest) })
    }

    fn rule(kind: ValueKind, bounds: Option<Bounds>, outside: Outside) -> Rule {
        let parameter = Parameter { bounds, outside, ..parameter(kind, Source::Query) };
        Rule::compile(&parameter, "/").expect("valid")
    }

    #[test]
    fn texts_are_read_by_kind() {
        let text = |text: &str| Ok(Value::Text(text.into()));
        let json = |text: &str| Ok(Value::Json(text.into()));
        for (kind, sent, want) in [
            (ValueKind::Integer, "-007", Ok(Value::Integer(-7))),
            (ValueKind::Integer, "3.0", Err(InvalidValue)),
            (ValueKind::Integer, "9223372036854775808", Err(InvalidValue)),
            (ValueKind::Number, "3.50", Ok(number("3.5"))),
            (ValueKind::Number, "1e999", Err(InvalidValue)),
            (ValueKind::Number, "NaN", Err(InvalidValue)),
            (ValueKind::Text, " a ", text(" a ")),
            (ValueKind::Text, "a\0b", Err(InvalidValue)),
            (ValueKind::Boolean, "true", Ok(Value::Boolean(true))),
            (ValueKind::Boolean, "false", Ok(Value::Boolean(false))),
            (ValueKind::Boolean, "1", Err(InvalidValue)),
            (ValueKind::Boolean, "TRUE", Err(InvalidValue)),
            (ValueKind::Json, " [1, {}] ", json("[1, {}]")),
            (ValueKind::Json, "[1", Err(InvalidValue)),
        ] {
            assert_eq!(rule(kind, None, Outside::Refuse).read(sent), want, "{kind:?} {sent}");
        }
    }

    #[test]
    fn json_is_read_by_kind() {
        let text = |text: &str| Ok(Value::Text(text.into()));
        for (kind, sent, want) in [
            (ValueKind::Integer, "3", Ok(Value::Integer(3))),
            (ValueKind::Integer, "3.0", Ok(Value::Integer(3))),
            (ValueKind::Integer, "3.5", Err(InvalidValue)),
            (ValueKind::Integer, "\"3\"", Err(InvalidValue)),
            (ValueKind::Integer, "null", Err(InvalidValue)),
            (ValueKind::Integer, "1e30", Err(InvalidValue)),
            (ValueKind::Number, "-3.5e1", Ok(number("-35.0"))),
            (ValueKind::Number, "\"3\"", Err(InvalidValue)),
            (ValueKind::Number, "1e999", Err(InvalidValue)),
            (ValueKind::Text, r#""a\u00fc\n""#, text("a\u{fc}\n")),
            (ValueKind::Text, r#""\u0000""#, Err(InvalidValue)),
            (ValueKind::Text, r#""\ud800""#, Err(InvalidValue)),
            (ValueKind::Text, "3", Err(InvalidValue)),
            (ValueKind::Boolean, "true", Ok(Value::Boolean(true))),
            (ValueKind::Boolean, "\"true\"", Err(InvalidValue)),
            (ValueKind::Json, "[1, 2]", Ok(Value::Json("[1, 2]".into()))),
            (ValueKind::Json, "null", Ok(Value::Json("null".into()))),
        ] {
            assert_eq!(rule(kind, None, Outside::Refuse).read_json(sent), want, "{kind:?} {sent}");
        }
    }

    #[test]
    fn what_is_out_of_bounds_is_clamped_or_refused() {
        let huge = "99999999999999999999";
        let bounds = || between("1", "50");
        for (sent, refused, clamped) in [
            ("1", Ok(1), 1),
            ("50", Ok(50), 50),
            ("0", Err(InvalidValue), 1),
            ("51", Err(InvalidValue), 50),
            (huge, Err(InvalidValue), 50),
            (&format!("-{huge}"), Err(InvalidValue), 1),
        ] {
            let read = |outside| rule(ValueKind::Integer, bounds(), outside).read(sent);
            assert_eq!(read(Outside::Refuse), refused.map(Value::Integer), "{sent}");
            assert_eq!(read(Outside::Clamp), Ok(Value::Integer(clamped)), "{sent}");
        }
        let json = rule(ValueKind::Integer, bounds(), Outside::Clamp).read_json("-1e99");
        assert_eq!(json, Ok(Value::Integer(1)));
        let read = |outside, sent| rule(ValueKind::Number, bounds(), outside).read(sent);
        assert_eq!(read(Outside::Refuse, "50.5"), Err(InvalidValue));
        assert_eq!(read(Outside::Refuse, "50.00000000000000000001"), Err(InvalidValue));
        assert_eq!(read(Outside::Refuse, "49.99999999999999999999"), {
            Ok(number("49.99999999999999999999"))
        });
        assert_eq!(read(Outside::Clamp, "1e999"), Ok(number("50")));
        let text = rule(ValueKind::Text, between("2", "3"), Outside::Refuse);
        let read = |sent| text.read(sent).is_ok();
        assert_eq!(["ü", "üü", "üüü", "üüüü"].map(read), [false, true, true, false]);
    }

    #[test]
    fn integers_and_their_bounds_are_exact() {
        let bounds = between("-9223372036854775807", "9007199254740993");
        let rule = rule(ValueKind::Integer, bounds, Outside::Refuse);
        assert_eq!(rule.read("9007199254740993"), Ok(Value::Integer(9_007_199_254_740_993)));
        assert_eq!(rule.read("9007199254740994"), Err(InvalidValue));
        assert_eq!(rule.read("-9223372036854775807"), Ok(Value::Integer(-i64::MAX)));
        assert_eq!(rule.read("-9223372036854775808"), Err(InvalidValue));
        assert_eq!(rule.read_json("9007199254740993.0"), rule.read("9007199254740993"));
        assert_eq!(rule.read_json("9.007199254740994e15"), Err(InvalidValue));
    }

    #[test]
    fn numbers_keep_every_digit_and_have_the_range_of_reals() {
        let rule = rule(ValueKind::Number, None, Outside::Refuse);
        let digits = |text: &str| match rule.read_json(text) {
            Ok(Value::Number(number)) => number.as_str().to_owned(),
            other => panic!("{text}: {other:?}"),
        };
        for text in ["9007199254740993", "0.10000000000000000000000001", "1.50", "-1e-400"] {
            assert_eq!(digits(text), text);
        }
        for text in ["1.7976931348623158e308", "-1e309", &"1".repeat(LEN_MAX + 1)] {
            assert_eq!(rule.read(text), Err(InvalidValue), "{text}");
        }
        assert!(rule.read("1.7976931348623157e308").is_ok());
    }

    #[test]
    fn a_side_may_be_open() {
        let open = rule(ValueKind::Integer, between("1", "inf"), Outside::Refuse);
        assert_eq!(open.read("9223372036854775807"), Ok(Value::Integer(i64::MAX)));
        assert_eq!(
            (open.read("0"), open.read("9223372036854775808")),
            (Err(InvalidValue), Err(InvalidValue))
        );
        assert_eq!(
            open.expected("0"),
            "parameter \"m\" in the query: expected an integer of at least 1, found 0\n"
        );
        let open = rule(ValueKind::Number, between("-inf", "0.5"), Outside::Refuse);
        assert_eq!(
            (open.read("-1e300"), open.read("1")),
            (Ok(number("-1e300")), Err(InvalidValue))
        );
    }

    #[test]
    fn what_is_wanted_is_told() {
        let rows = [
            (ValueKind::Integer, None, "an integer within 64 bits"),
            (ValueKind::Integer, between("1", "50"), "an integer from 1 to 50"),
            (ValueKind::Integer, between("-inf", "0"), "an integer of at most 0"),
            (ValueKind::Number, None, "a number within 64 bits, of at most 1000 characters"),
            (ValueKind::Number, between("0.5", "1.5"), "a number from 0.5 to 1.5"),
            (ValueKind::Number, between("0.5", "inf"), "a number of at least 0.5"),
            (ValueKind::Number, between("-inf", "2"), "a number of at most 2"),
            (ValueKind::Text, None, "text without NUL"),
            (ValueKind::Text, between("1", "9"), "text of 1 to 9 characters"),
            (ValueKind::Text, between("0", "9"), "text of at most 9 characters"),
            (ValueKind::Text, between("1", "inf"), "text of 1 characters or more"),
            (ValueKind::Boolean, None, "true or false"),
            (ValueKind::Json, None, "a JSON value"),
        ];
        for (kind, bounds, want) in rows {
            assert_eq!(rule(kind, bounds, Outside::Refuse).wanted.to_string(), want);
        }
    }

    #[test]
    fn cores_read_integers_alone() {
        let query = Parameter {
            default: Some(Value::Integer(1)),
            bounds: between("0", "9"),
            ..parameter(ValueKind::Integer, Source::Query)
        };
        let clamped = Parameter { outside: Outside::Clamp, ..query.clone() };
        let strict = Parameter { default: None, ..query.clone() };
        let path = parameter(ValueKind::Integer, Source::Path);
        let compile = |parameter| Rule::compile(&parameter, "/a/{m}").expect("valid");
        let [query, clamped, strict, path] = [query, clamped, strict, path].map(compile);
        for (sent, want) in [
            ("m=3&m=4", Ok(3)),
            ("%6d=%33", Ok(3)),
            ("", Ok(1)),
            ("m=", Ok(1)),
            ("m=10", Err(Status::S400)),
            ("m=%3", Err(Status::S400)),
            ("m=x", Err(Status::S400)),
            ("m=+3", Err(Status::S400)),
        ] {
            assert_eq!(query.integer(None, sent.as_bytes()), want, "{sent}");
        }
        assert_eq!(clamped.integer(None, b"m=99999999999999999999"), Ok(9));
        assert_eq!(strict.integer(None, b"x=1"), Err(Status::S400));
        assert_eq!(path.integer(Some("07"), b"m=5"), Ok(7));
        assert_eq!(path.integer(Some("x"), b""), Err(Status::S404));
    }

    #[test]
    fn mistakes_are_told_with_their_key_and_a_fix() {
        let base = || parameter(ValueKind::Integer, Source::Query);
        let of = |kind, default| Parameter { kind, default, ..base() };
        let bounded =
            |kind, least, greatest| Parameter { kind, bounds: between(least, greatest), ..base() };
        let clamped = |kind, bounds| Parameter { kind, bounds, outside: Outside::Clamp, ..base() };
        let one = || between("1", "2");
        for (parameter, want) in [
            (
                Parameter { name: String::new(), ..base() },
                "parameters \"\": a parameter has no name",
            ),
            (
                Parameter { from: Source::Path, name: "i".into(), ..base() },
                "parameters.i.from path: the path /a/{m}/{n} has no segment {i}",
            ),
            (
                Parameter { from: Source::Path, ..of(ValueKind::Integer, Some(Value::Integer(1))) },
                "parameters.m.default 1: a segment of the path is never missing",
            ),
            (
                bounded(ValueKind::Integer, "2", "1"),
                "parameters.m.bounds [2, 1]: the least is not below the greatest",
            ),
            (
                bounded(ValueKind::Number, "-inf", "1e309"),
                "parameters.m.bounds [-inf, 1e309]: numbers are not beyond 64 bits, 1.8e308",
            ),
            (
                bounded(ValueKind::Integer, "0.5", "1"),
                "parameters.m.bounds [0.5, 1]: integers and lengths have whole bounds",
            ),
            (
                bounded(ValueKind::Integer, "0", "9223372036854775808"),
                "parameters.m.bounds [0, 9223372036854775808]: integers have 64 bits",
            ),
            (
                bounded(ValueKind::Text, "-1", "5"),
                "parameters.m.bounds [-1, 5]: no text is shorter than nothing",
            ),
            (
                bounded(ValueKind::Boolean, "0", "1"),
                "parameters.m.bounds [0, 1]: only integers, numbers and text have bounds",
            ),
            (
                clamped(ValueKind::Text, one()),
                "parameters.m.outside clamp: only integers and numbers are clamped",
            ),
            (
                clamped(ValueKind::Integer, None),
                "parameters.m.outside clamp: there are no bounds to clamp to",
            ),
            (
                of(ValueKind::Integer, Some(number("1.5"))),
                "parameters.m.default 1.5: it is not what the parameter takes: an integer within 64 bits",
            ),
            (
                Parameter { bounds: one(), ..of(ValueKind::Integer, Some(Value::Integer(3))) },
                "parameters.m.default 3: it is not what the parameter takes: an integer from 1 to 2",
            ),
            (
                Parameter { bounds: one(), ..of(ValueKind::Text, Some(Value::Text("abc".into()))) },
                "parameters.m.default \"abc\": it is not what the parameter takes: text of 1 to 2 characters",
            ),
            (
                of(ValueKind::Json, Some(Value::Json("[1".into()))),
                "parameters.m.default [1: it is not what the parameter takes: a JSON value",
            ),
            (
                of(ValueKind::Boolean, Some(Value::Null)),
                "parameters.m.default null: it is not what the parameter takes: true or false",
            ),
        ] {
            let SettingError { key, value, problem, fix } =
                Rule::compile(&parameter, "/a/{m}/{n}").expect_err(want);
            assert_eq!(format!("{key} {value}: {problem}"), want);
            assert!(!fix.is_empty());
        }
        let whole = of(ValueKind::Number, Some(Value::Integer(2)));
        let rule = Rule::compile(&whole, "/").expect("an integer is a number");
        assert_eq!(rule.default, Some(number("2.0")));
    }
}
