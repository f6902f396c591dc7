//! Requests and replies as lines of JSON. Knows their syntax, not what they mean.
//!
//! A request is `{"v":1,"command":"reload"}`; other members are the command's own. A reply is
//! `{"v":1,"ok":true,"result":{..}}` or `{"v":1,"ok":false,"error":".."}`.

use serde_json::{Map, Value, json};

/// A request whose syntax is right.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Request {
    /// What is wanted.
    pub(crate) command: String,
    /// What else the request says.
    pub(crate) arguments: Map<String, Value>,
}

/// A line that is no request. The message is for whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not JSON, or not an object.
    #[error("expected a JSON object such as {EXAMPLE}, found {found}")]
    NotAnObject { found: String },
    /// Another version, or none.
    #[error("\"v\" is {found}, expected {VERSION}; write {EXAMPLE}")]
    Version { found: String },
    /// No command.
    #[error("\"command\" is {found}, expected a text; write {EXAMPLE}")]
    Command { found: String },
}

impl Request {
    /// For `command`, without arguments.
    pub(crate) fn new(command: &str) -> Self {
        Self { command: command.into(), arguments: Map::new() }
    }

    /// With one more argument.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.arguments.insert(name.into(), value.into());
        self
    }

    /// Reads a line, with or without its end.
    ///
    /// # Errors
    /// It is no request of this version.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, Malformed> {
        let found = |found: String| Malformed::NotAnObject { found };
        let mut object = match serde_json::from_slice(line) {
            Ok(Value::Object(object)) => object,
            Ok(other) => return Err(found(other.to_string())),
            Err(error) => return Err(found(format!("something else ({error})"))),
        };
        match object.shift_remove("v") {
            Some(version) if version == VERSION => {}
            other => return Err(Malformed::Version { found: spell(other.as_ref()) }),
        }
        match object.shift_remove("command") {
            Some(Value::String(command)) => Ok(Self { command, arguments: object }),
            other => Err(Malformed::Command { found: spell(other.as_ref()) }),
        }
    }

    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let mut object = Map::from_iter([
            ("v".to_owned(), json!(VERSION)),
            ("command".to_owned(), json!(self.command)),
        ]);
        object.extend(self.arguments.clone());
        format!("{}\n", Value::Object(object))
    }
}

/// The line that answers with `outcome`: a result, or why there is none.
pub(crate) fn reply_line(outcome: &Result<Value, String>) -> String {
    let reply = match outcome {
        Ok(result) => json!({ "v": VERSION, "ok": true, "result": result }),
        Err(error) => json!({ "v": VERSION, "ok": false, "error": error }),
    };
    format!("{reply}\n")
}

/// Reads what [`reply_line`] wrote; `None` if it is something else.
pub(crate) fn parse_reply(line: &str) -> Option<Result<Value, String>> {
    let mut reply: Value = serde_json::from_str(line).ok()?;
    if reply["v"] != VERSION {
        return None;
    }
    match (reply["ok"].as_bool()?, &reply["error"]) {
        (true, _) => Some(Ok(reply["result"].take())),
        (false, Value::String(error)) => Some(Err(error.clone())),
        (false, _) => None,
    }
}

fn spell(value: Option<&Value>) -> String {
    value.map_or_else(|| "missing".to_owned(), Value::to_string)
}

/// The version of all this.
pub(crate) const VERSION: u64 = 1;
const EXAMPLE: &str = r#"{"v":1,"command":"reload"}"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_as_it_was_written() {
        let request = Request::new("reload");
        assert_eq!(request.line(), "{\"v\":1,\"command\":\"reload\"}\n");
        let request = request.with("soon", json!([1, 2]));
        assert_eq!(Request::parse(request.line().as_bytes()), Ok(request));
    }

    #[test]
    fn replies_read_back_as_they_were_written() {
        for outcome in [Ok(json!({ "routes": 3 })), Err("no \"such\" thing\nat all".to_owned())] {
            let line = reply_line(&outcome);
            assert_eq!(line.find('\n'), Some(line.len() - 1), "one line: {line}");
            assert_eq!(parse_reply(&line), Some(outcome));
        }
        for other in ["", "pong\n", "{\"v\":2,\"ok\":true}", "{\"v\":1,\"ok\":false}", "{\"v\":1}"]
        {
            assert_eq!(parse_reply(other), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_what_one_is() {
        let cases = [
            ("reload", "expected a JSON object such as"),
            ("[1]", "found [1]"),
            ("\u{1}", "expected a JSON object such as"),
            ("{\"command\":\"reload\"}", "\"v\" is missing, expected 1"),
            ("{\"v\":2,\"command\":\"reload\"}", "\"v\" is 2, expected 1"),
            ("{\"v\":\"1\",\"command\":\"reload\"}", "\"v\" is \"1\", expected 1"),
            ("{\"v\":1}", "\"command\" is missing, expected a text"),
            ("{\"v\":1,\"command\":7}", "\"command\" is 7, expected a text"),
        ];
        for (line, expected) in cases {
            let message = Request::parse(line.as_bytes()).expect_err(line).to_string();
            assert!(message.contains(expected), "{line}: {message}");
            assert!(message.contains(EXAMPLE), "{line}: {message}");
        }
        assert!(Request::parse(b"\xff\xfe").is_err());
        let deep = format!("{{\"v\":1,\"command\":\"x\",\"deep\":{}", "[".repeat(60_000));
        let message = Request::parse(deep.as_bytes()).expect_err("too deep").to_string();
        assert!(message.contains("recursion limit"), "{message}");
    }
}
