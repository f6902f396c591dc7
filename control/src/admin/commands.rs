//! What may be asked of a server that runs. A new command is a line of [`NAMES`] and an arm of
//! [`Desk::answer`].

use serde_json::{Value, json};

use super::protocol::{Request, VERSION};
use crate::reload::ReloadDesk;

/// Where commands are carried out: a handle to each part of the server that takes some.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// Makes and installs new snapshots.
    pub(crate) reload: ReloadDesk,
}

impl Desk {
    /// Carries out what `line` asks for. The text of an error is for whoever wrote the line.
    pub(crate) async fn answer(&self, line: &[u8]) -> Result<Value, String> {
        let request = Request::parse(line).map_err(|error| format!("{error}; {}", list()))?;
        match request.command.as_str() {
            RELOAD => {
                refuse_arguments(&request)?;
                let reloaded = self.reload.reload().await.map_err(|error| error.to_string())?;
                Ok(json!(reloaded))
            }
            other => Err(format!("unknown command {other:?}; {}", list())),
        }
    }
}

/// Reads configuration and data again and serves them.
pub(crate) const RELOAD: &str = "reload";

/// All commands.
const NAMES: &[&str] = &[RELOAD];

fn refuse_arguments(request: &Request) -> Result<(), String> {
    let Request { command, arguments } = request;
    match arguments.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("unknown member {name:?}; the command {command} takes none")),
    }
}

fn list() -> String {
    format!("version {VERSION} has the commands {}", NAMES.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reload::{ReloadError, Reloaded};

    /// A desk behind which every reload ends with `outcome`.
    fn desk(outcome: fn() -> Result<Reloaded, ReloadError>) -> Desk {
        Desk { reload: ReloadDesk::rehearse(outcome) }
    }

    #[tokio::test]
    async fn a_reload_is_answered_with_what_it_did() {
        let desk = desk(|| Ok(Reloaded { ms: 7, ..Reloaded::default() }));
        let result = desk.answer(b"{\"v\":1,\"command\":\"reload\"}").await.expect("is done");
        assert_eq!(result["ms"], 7);
    }

    #[tokio::test]
    async fn a_refused_reload_says_why() {
        let desk = desk(|| Err(ReloadError::Draining));
        let error = desk.answer(b"{\"v\":1,\"command\":\"reload\"}").await.expect_err("is refused");
        assert_eq!(error, ReloadError::Draining.to_string());
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_what_is() {
        let desk = desk(|| panic!("nothing here asks for a reload"));
        for (line, expected) in [
            ("{\"v\":1,\"command\":\"fly\"}", "unknown command \"fly\""),
            ("{\"v\":9,\"command\":\"reload\"}", "\"v\" is 9"),
            ("nonsense", "expected a JSON object"),
        ] {
            let error = desk.answer(line.as_bytes()).await.expect_err("is refused");
            assert!(error.contains(expected), "{error}");
            assert!(error.ends_with("version 1 has the commands reload"), "{error}");
        }
        let line = b"{\"v\":1,\"command\":\"reload\",\"force\":true}";
        let error = desk.answer(line).await.expect_err("is refused");
        assert_eq!(error, "unknown member \"force\"; the command reload takes none");
    }
}
