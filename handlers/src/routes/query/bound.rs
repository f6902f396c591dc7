//! From the raw inputs of a request to the values of its parameters, or to the response that says what
//! is wrong with them.
//!
//! Only what a rule names is looked at. What is missing gets its default or 400; what is malformed or
//! out of bounds gets 404 in a path and 400 elsewhere.

use std::fmt;

use http1::Status;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::config::{Source, Value};
use crate::request::Inputs;

use crate::values::pairs;
use crate::values::parameter::{InvalidValue, Rule};
use crate::values::template::json_problem;
use crate::values::words::shown;

/// The values of all parameters of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// In the order of the rules.
    pub(crate) values: Box<[Value]>,
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BindError {
    /// 400 or 404.
    pub(crate) status: Status,
    /// A sentence that says what is wrong.
    pub(crate) text: String,
}

/// The values of these parameters.
pub(crate) fn bind(rules: &[Rule], inputs: &Inputs<'_>) -> Result<Bound, BindError> {
    let members = members(rules, inputs.body())?;
    let value = |(at, rule): (usize, &Rule)| {
        let found = match rule.from {
            Source::Path => inputs.capture(&rule.name).map(|text| of_text(rule, text)),
            Source::Query => pairs::value(inputs.query(), &rule.name)
                .filter(|sent| !sent.is_empty())
                .map(|sent| of_pair(rule, sent)),
            Source::Body => members[at].map(|json| of_member(rule, json)),
        };
        found.unwrap_or_else(|| of_nothing(rule))
    };
    Ok(Bound { values: rules.iter().enumerate().map(value).collect::<Result<_, _>>()? })
}

fn of_text(rule: &Rule, text: &str) -> Result<Value, BindError> {
    rule.read(text).map_err(|InvalidValue| wrong(rule, &format!("\"{}\"", shown(text))))
}

fn of_pair(rule: &Rule, sent: &[u8]) -> Result<Value, BindError> {
    match pairs::decode(sent) {
        Ok(text) => of_text(rule, &text),
        Err(pairs::Broken) => {
            let found = shown(&String::from_utf8_lossy(sent));
            let problem = format!("expected UTF-8, each % with two digits, found \"{found}\"");
            Err(BindError { status: rule.refusal(), text: rule.message(&problem) })
        }
    }
}

fn of_member(rule: &Rule, json: &str) -> Result<Value, BindError> {
    rule.read_json(json).map_err(|InvalidValue| wrong(rule, &shown(json)))
}

fn of_nothing(rule: &Rule) -> Result<Value, BindError> {
    let missing = || BindError { status: Status::S400, text: rule.expected("nothing") };
    rule.default.clone().ok_or_else(missing)
}

fn wrong(rule: &Rule, found: &str) -> BindError {
    BindError { status: rule.refusal(), text: rule.expected(found) }
}

/// The members of the body that rules name, by the index of the rule. An empty body is an object
/// without members if every member has a default.
fn members<'b>(rules: &[Rule], body: &'b [u8]) -> Result<Vec<Option<&'b str>>, BindError> {
    let found = vec![None; rules.len()];
    let mut wanted = rules.iter().filter(|rule| rule.from == Source::Body).peekable();
    if wanted.peek().is_none() {
        return Ok(found);
    }
    if body.trim_ascii().is_empty() && wanted.all(|rule| rule.default.is_some()) {
        return Ok(found);
    }
    let refusal = |problem: String| BindError {
        status: Status::S400,
        text: format!("body: expected a JSON object, {problem}\n"),
    };
    let Ok(text) = std::str::from_utf8(body) else {
        return Err(refusal("found bytes that are no UTF-8".into()));
    };
    match text.trim_ascii().chars().next() {
        None => return Err(refusal("found nothing".into())),
        Some('{') => {}
        Some(_) => return Err(refusal(format!("found {}", shown(text.trim_ascii())))),
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Members { rules, found }
        .deserialize(&mut deserializer)
        .and_then(|found| deserializer.end().map(|()| found))
        .map_err(|error| {
            let (line, column) = (error.line(), error.column());
            let problem = json_problem(&error);
            refusal(format!("found at line {line}, column {column}: {problem}"))
        })
}

/// Takes the members that rules name, each once, and passes over the others.
struct Members<'r, 'b> {
    rules: &'r [Rule],
    found: Vec<Option<&'b str>>,
}

impl<'b> DeserializeSeed<'b> for Members<'_, 'b> {
    type Value = Vec<Option<&'b str>>;

    fn deserialize<D: Deserializer<'b>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'b> Visitor<'b> for Members<'_, 'b> {
    type Value = Vec<Option<&'b str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'b>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let is_it = |rule: &Rule| rule.from == Source::Body && *rule.name == *name;
            match self.rules.iter().position(is_it) {
                None => drop(map.next_value::<IgnoredAny>()?),
                Some(at) if self.found[at].is_none() => {
                    self.found[at] = Some(map.next_value::<&RawValue>()?.get());
                }
                Some(_) => {
                    let problem = format!("the member \"{}\" a second time", shown(&name));
                    return Err(serde::de::Error::custom(problem));
                }
            }
        }
        Ok(self.found)
    }
}
