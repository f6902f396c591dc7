//! The commands that a running server carries out. A new command is a name in [`name`], an entry in
//! [`name::ALL`] and an arm of [`CommandHandler::execute`].

use serde_json::{Value, json};

use super::protocol::{Request, VERSION};
use super::status::Process;
use crate::lifecycle::{Action, Lifecycle};
use crate::logs::LogLevel;
use crate::reload::ReloadHandle;
use crate::stats::StatsHandle;

/// Carries out commands: a handle to each part of the server that takes some.
#[derive(Clone, Debug)]
pub(crate) struct CommandHandler {
    /// Makes and installs new snapshots, and knows the configuration that holds.
    pub(crate) reload: ReloadHandle,
    /// Drains, resumes, stops.
    pub(crate) lifecycle: Lifecycle,
    /// Takes reports.
    pub(crate) stats: StatsHandle,
    /// The level of the log.
    pub(crate) log: LogLevel,
    /// This process.
    pub(crate) process: Process,
}

/// Names of commands.
pub(crate) mod name {
    /// Reads configuration and data again and serves them.
    pub(crate) const RELOAD: &str = "reload";
    /// State, process and version of the server.
    pub(crate) const STATUS: &str = "status";
    /// Accepts no more connections and finishes those that are open.
    pub(crate) const DRAIN: &str = "drain";
    /// Accepts connections again.
    pub(crate) const RESUME: &str = "resume";
    /// Drains, then exits.
    pub(crate) const STOP: &str = "stop";
    /// The configuration that holds.
    pub(crate) const CONFIG: &str = "config";
    /// The level of the log, which the member `level` changes.
    pub(crate) const LOG: &str = "log";

    /// A report: of all cores, or of the one that the member `core` names.
    pub(crate) const STATS: &str = "stats";

    /// All of them.
    pub(super) const ALL: &[&str] = &[RELOAD, STATUS, STATS, DRAIN, RESUME, STOP, CONFIG, LOG];
}

impl CommandHandler {
    /// Carries out what `line` asks for. The text of an error is for whoever wrote the line.
    pub(crate) async fn execute(&self, line: &[u8]) -> Result<Value, String> {
        let request = Request::parse(line).map_err(|error| format!("{error}; {}", list()))?;
        match request.command.as_str() {
            name::RELOAD => {
                refuse_arguments(&request)?;
                let reloaded = self.reload.reload().await.map_err(|error| error.to_string())?;
                Ok(json!(reloaded))
            }
            name::CONFIG => {
                refuse_arguments(&request)?;
                let level = self.log.get().map_err(|error| error.to_string())?;
                Ok(json!(self.reload.config().with_log_level(level)))
            }
            name::STATS => self.stats(&request).await,
            name::LOG => self.log(&request),
            name::STATUS => self.lifecycle(&request, Action::Report).await,
            name::DRAIN => self.lifecycle(&request, Action::Drain).await,
            name::RESUME => self.lifecycle(&request, Action::Resume).await,
            name::STOP => self.lifecycle(&request, Action::Stop).await,
            other => Err(format!("unknown command {other:?}; {}", list())),
        }
    }

    async fn stats(&self, request: &Request) -> Result<Value, String> {
        if let Some(other) = request.arguments.keys().find(|name| *name != "core") {
            return Err(format!("unknown member {other:?}; the command stats takes \"core\""));
        }
        let number = |value: &Value| {
            let core = value.as_u64().and_then(|core| usize::try_from(core).ok());
            core.ok_or_else(|| format!("\"core\" is {value}, expected the number of a core"))
        };
        let core = request.arguments.get("core").map(number).transpose()?;
        let report = self.stats.report(core).await.map_err(|error| error.to_string())?;
        Ok(json!(report))
    }

    async fn lifecycle(&self, request: &Request, action: Action) -> Result<Value, String> {
        refuse_arguments(request)?;
        let status = self.lifecycle.request(action).await.map_err(|error| error.to_string())?;
        Ok(json!(self.process.status(status)))
    }

    fn log(&self, request: &Request) -> Result<Value, String> {
        if let Some(other) = request.arguments.keys().find(|name| *name != "level") {
            return Err(format!("unknown member {other:?}; the command log takes \"level\""));
        }
        if let Some(level) = request.arguments.get("level") {
            let known = level.as_str().and_then(LogLevel::parse);
            let known = known
                .ok_or_else(|| format!("\"level\" is {level}, expected {}", LogLevel::FORMATS))?;
            self.log.set(known).map_err(|error| error.to_string())?;
        }
        let level = self.log.get().map_err(|error| error.to_string())?;
        Ok(json!({ "level": LogLevel::name(level) }))
    }

    /// One whose commands all succeed and change nothing.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        use crate::lifecycle::{State, Status};
        use crate::reload::Reloaded;
        use crate::stats::{Report, StatsError};

        let serving = |_| Ok(Status { state: State::Serving, since: 7, connections: 3 });
        Self {
            reload: ReloadHandle::for_tests(|| Ok(Reloaded::default())),
            lifecycle: Lifecycle::answering(serving),
            stats: StatsHandle::answering(|core| match core {
                None | Some(1) => Ok(Report::default()),
                Some(core) => Err(StatsError::NoSuchCore { core, workers: "1".into() }),
            }),
            log: LogLevel::for_tests(),
            process: Process::started(std::time::Instant::now()),
        }
    }
}

fn refuse_arguments(request: &Request) -> Result<(), String> {
    let Request { command, arguments } = request;
    match arguments.keys().next() {
        None => Ok(()),
        Some(name) => Err(format!("unknown member {name:?}; the command {command} takes none")),
    }
}

fn list() -> String {
    format!("version {VERSION} has the commands {}", name::ALL.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::{LifecycleError, State, Status};
    use crate::reload::{ReloadError, Reloaded};

    async fn execute(handler: &CommandHandler, line: &str) -> Result<Value, String> {
        handler.execute(line.as_bytes()).await
    }

    #[tokio::test]
    async fn a_reload_is_answered_with_what_it_did() {
        let reload = ReloadHandle::for_tests(|| Ok(Reloaded { ms: 7, ..Reloaded::default() }));
        let handler = CommandHandler { reload, ..CommandHandler::for_tests() };
        let result = execute(&handler, "{\"v\":1,\"command\":\"reload\"}").await.expect("is done");
        assert_eq!(result["ms"], 7);
    }

    #[tokio::test]
    async fn a_refused_reload_says_why() {
        let reload = ReloadHandle::for_tests(|| Err(ReloadError::Draining));
        let handler = CommandHandler { reload, ..CommandHandler::for_tests() };
        let error =
            execute(&handler, "{\"v\":1,\"command\":\"reload\"}").await.expect_err("refused");
        assert_eq!(error, ReloadError::Draining.to_string());
    }

    #[tokio::test]
    async fn the_state_is_changed_and_reported() {
        let lifecycle = Lifecycle::answering(|action| {
            let state = match action {
                Action::Report => State::Serving,
                Action::Drain => State::Draining,
                Action::Resume => return Err(LifecycleError::NotTaken { cores: vec![3] }),
                Action::Stop => State::Stopping,
            };
            Ok(Status { state, since: 7, connections: 5 })
        });
        let handler = CommandHandler { lifecycle, ..CommandHandler::for_tests() };
        let expected = [("status", "serving"), ("drain", "draining"), ("stop", "stopping")];
        for (command, state) in expected {
            let line = Request::new(command).line();
            let result = execute(&handler, &line).await.expect("is done");
            assert_eq!((&result["state"], &result["since"]), (&json!(state), &json!(7)));
            assert_eq!(result["connections"], 5);
            assert_eq!(result["pid"], std::process::id());
            assert_eq!(result["version"], env!("CARGO_PKG_VERSION"));
            assert!(result["dpdk"].as_str().is_some_and(|text| text.starts_with("DPDK ")));
            assert!(result["uptime_seconds"].is_u64());
        }
        let error = execute(&handler, &Request::new("resume").line()).await.expect_err("refused");
        assert!(error.starts_with("cores [3]: "), "{error}");
    }

    #[tokio::test]
    async fn a_report_is_of_all_cores_or_of_one() {
        let handler = CommandHandler::for_tests();
        for line in
            ["{\"v\":1,\"command\":\"stats\"}", "{\"v\":1,\"command\":\"stats\",\"core\":1}"]
        {
            let result = execute(&handler, line).await.expect("is taken");
            assert!(result["total"].is_object(), "{result}");
        }
        for (argument, expected) in [
            ("\"core\":7", "no worker runs on core 7; workers run on 1"),
            ("\"core\":\"1\"", "\"core\" is \"1\", expected the number of a core"),
            ("\"cpu\":1", "unknown member \"cpu\"; the command stats takes \"core\""),
        ] {
            let line = format!("{{\"v\":1,\"command\":\"stats\",{argument}}}");
            assert_eq!(execute(&handler, &line).await.expect_err("is refused"), expected);
        }
    }

    #[tokio::test]
    async fn the_level_of_the_log_is_told_and_changed() {
        let handler = CommandHandler::for_tests();
        let told = |line: &'static str| execute(&handler, line);
        assert_eq!(told("{\"v\":1,\"command\":\"log\"}").await.expect("told")["level"], "info");
        let set = told("{\"v\":1,\"command\":\"log\",\"level\":\"debug\"}").await.expect("is set");
        assert_eq!(set["level"], "debug");
        assert_eq!(told("{\"v\":1,\"command\":\"log\"}").await.expect("told")["level"], "debug");
        let error = told("{\"v\":1,\"command\":\"log\",\"level\":\"loud\"}").await.expect_err("no");
        assert_eq!(error, "\"level\" is \"loud\", expected error, warn, info, debug or trace");
        let error = told("{\"v\":1,\"command\":\"log\",\"to\":\"x\"}").await.expect_err("no");
        assert_eq!(error, "unknown member \"to\"; the command log takes \"level\"");
    }

    #[tokio::test]
    async fn the_configuration_has_the_level_that_holds() {
        let handler = CommandHandler::for_tests();
        execute(&handler, "{\"v\":1,\"command\":\"log\",\"level\":\"trace\"}")
            .await
            .expect("is set");
        let result = execute(&handler, "{\"v\":1,\"command\":\"config\"}").await.expect("is shown");
        let settings = result["settings"].as_array().expect("a list");
        let level = settings.iter().find(|s| s["key"] == "log.level").expect("every key is there");
        assert_eq!((&level["value"], &level["source"]), (&json!("trace"), &json!("command")));
    }

    #[tokio::test]
    async fn every_name_is_a_command() {
        let handler = CommandHandler::for_tests();
        for name in name::ALL {
            execute(&handler, &Request::new(name).line()).await.expect("is carried out");
        }
    }

    #[tokio::test]
    async fn what_is_not_there_is_told_what_is() {
        let handler = CommandHandler::for_tests();
        for (line, expected) in [
            ("{\"v\":1,\"command\":\"fly\"}", "unknown command \"fly\""),
            ("{\"v\":9,\"command\":\"reload\"}", "\"v\" is 9"),
            ("nonsense", "expected a JSON object"),
        ] {
            let error = execute(&handler, line).await.expect_err("is refused");
            assert!(error.contains(expected), "{error}");
            let all = "the commands reload, status, stats, drain, resume, stop, config, log";
            assert!(error.ends_with(&format!("version 1 has {all}")), "{error}");
        }
        let line = "{\"v\":1,\"command\":\"reload\",\"force\":true}";
        let error = execute(&handler, line).await.expect_err("is refused");
        assert_eq!(error, "unknown member \"force\"; the command reload takes none");
    }
}
