//! Extra fields of a route's responses, checked once (RFC 9110 5.1, 5.5).

use crate::config::RouteConfig;
use crate::error::SettingError;

/// Field lines that go into every response of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// The `headers` of a route. `own` are fields that its kind writes.
    pub(crate) fn check(config: &RouteConfig, own: &[&str]) -> Result<Self, SettingError> {
        for (name, value) in &config.headers {
            let error = |problem: &str, fix: &str| {
                Err(SettingError::new(format!("headers.{name}"), value, problem, fix))
            };
            if !is_token(name) {
                return error(
                    "the name is no field name",
                    "use letters, digits and any of !#$%&'*+-.^_`|~",
                );
            }
            if !is_field_value(value) {
                return error("the value is no field value", FIELD_VALUE_FIX);
            }
            if OWN.iter().chain(own).any(|own| own.eq_ignore_ascii_case(name)) {
                return error("the server writes this field itself", "leave it out");
            }
        }
        Ok(Self(config.headers.clone()))
    }

    /// Adds a field that the kind of the route writes.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        self.0.push((name.into(), value.into()));
    }

    /// Names and values, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// RFC 9110 5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let is_mark = |b: u8| b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || is_mark(b))
}

/// Visible ASCII with blanks in between, on one line: what everybody reads the same.
pub(crate) fn is_field_value(text: &str) -> bool {
    text.trim_ascii() == text && text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t'))
}

/// What to do about a text that is none.
pub(crate) const FIELD_VALUE_FIX: &str =
    "use visible ASCII on one line, without blanks at its ends";

/// Fields of every response, and those that say how a response is framed.
const OWN: &[&str] = &[
    "allow",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "date",
    "keep-alive",
    "proxy-connection",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
