//! The configuration that holds, for people: every key with its value and where that comes from.
//! Passwords are left out.

use serde::{Deserialize, Serialize};
use tracing::Level;

use super::secret::{HIDDEN, conceal};
use super::units;
use super::{Config, Key, Place, Plan};
use crate::logs::LogLevel;

/// All keys and what is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Effective {
    /// Every key, in the order of the example file.
    pub(crate) settings: Vec<Setting>,
    /// Where the content comes from.
    pub(crate) content: String,
    /// Number of routes.
    pub(crate) routes: usize,
    /// Its static files; a server of before there was this says none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<FileNumbers>,
}

/// Numbers of static files, and of names in their directories that are not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileNumbers {
    /// Files that are.
    pub(crate) served: usize,
    /// Names that lead to no file that can be served (`files.unreadable = "skip"`).
    pub(crate) skipped: usize,
    /// Links among these, which `files.links` does not allow.
    pub(crate) links_refused: usize,
    /// Names that begin with a dot (`files.dot_names`).
    pub(crate) hidden: usize,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Setting {
    /// `section.key`.
    pub(crate) key: String,
    /// The value that holds, as one writes it.
    pub(crate) value: String,
    /// Where it comes from.
    pub(crate) source: Origin,
    /// The place there: `FILE:LINE`, the variable, the option.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// Nobody gave one.
    Default,
    /// A line of the configuration file.
    File,
    /// A variable of the environment.
    Environment,
    /// An option of the command line.
    Option,
    /// A command that was given to the running server.
    Command,
}

impl Effective {
    /// Of `config`, which comes to `plan`. What is served is for the caller to fill in.
    pub(crate) fn of(config: &Config, plan: &Plan) -> Self {
        let settings = Key::ALL.iter().map(|key| Setting::of(*key, config, plan)).collect();
        Self { settings, ..Self::default() }
    }

    /// The same with the level that the log has now.
    pub(crate) fn with_log_level(mut self, level: Level) -> Self {
        for setting in &mut self.settings {
            let changed = LogLevel::parse(&setting.value) != Some(level);
            if setting.key == Key::LogLevel.path() && changed {
                setting.value = LogLevel::name(level);
                (setting.source, setting.at) = (Origin::Command, Some("pollux log".to_owned()));
            }
        }
        self
    }
}

impl Setting {
    fn of(key: Key, config: &Config, plan: &Plan) -> Self {
        let given = config.given(key);
        let (mut value, mut place) = (given.text, given.place);
        if let Some(limited) = limited(key, &value, plan) {
            value = limited;
            match config.connections_max() {
                Some(bound) if key == Key::PostgresConnections => place = bound.place.clone(),
                _ => {}
            }
        }
        value = match plan.postgres.server_name() {
            _ if value.is_empty() || key.is_shown() => conceal(&value),
            Some(name) => format!("postgres://{name}"),
            None => HIDDEN.into(),
        };
        let source = match &place {
            Place::Default => Origin::Default,
            Place::File { .. } => Origin::File,
            Place::Environment(_) => Origin::Environment,
            Place::Option(_) => Origin::Option,
        };
        let at = (place != Place::Default).then(|| place.to_string());
        Self { key: key.path().into(), value, source, at }
    }

    /// Where the value comes from, in words.
    pub(crate) fn origin(&self) -> &str {
        self.at.as_deref().unwrap_or("default")
    }
}

/// The value of `key` where another key, or the environment, allows less than `text` says.
fn limited(key: Key, text: &str, plan: &Plan) -> Option<String> {
    let count = |limit: usize| {
        let more = units::count(text).is_ok_and(|given| given > limit as u64);
        more.then(|| limit.to_string())
    };
    let time = |limit| {
        let more = units::duration(text).is_ok_and(|given| given > limit);
        more.then(|| units::spell(limit))
    };
    match key {
        Key::LimitsHalfOpen => count(plan.connections),
        Key::LimitsParked => count(plan.parked),
        Key::LimitsLine => {
            let limit = plan.limits.line_len_max;
            units::bytes(text).is_ok_and(|given| given > limit as u64).then(|| limit.to_string())
        }
        Key::PostgresConnections => count(plan.postgres.connections),
        Key::PostgresTimeout => time(plan.postgres.timeout),
        Key::SqliteTimeout => time(plan.sqlite.timeout),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;
    use crate::cores::HostCores;

    fn settings(text: &str, environment: Environment, set: &[&str]) -> Vec<Setting> {
        let mut config = Config::parse(Path::new("p.toml"), text).expect("is TOML");
        for assignment in set {
            config.assign(assignment).expect("is a key");
        }
        config.apply_environment(environment);
        let host = HostCores::of(vec![0, 1]).expect("not empty");
        let plan = Plan::check(&config, &host).expect("holds");
        Effective::of(&config, &plan).settings
    }

    /// Value, source and place of `key`.
    fn of(settings: &[Setting], key: Key) -> (&str, Origin, &str) {
        let found = settings.iter().find(|setting| setting.key == key.path());
        let Setting { value, source, .. } = found.expect("every key is there");
        (value, *source, found.expect("it was found").origin())
    }

    #[test]
    fn every_key_says_where_its_value_comes_from() {
        let settings = settings(
            "[listen]\nport = 81\n",
            Environment::default(),
            &["limits.head=8KiB", "limits.connections=100"],
        );
        assert_eq!(settings.len(), Key::ALL.len());
        assert_eq!(of(&settings, Key::ListenPort), ("81", Origin::File, "p.toml:2"));
        assert_eq!(of(&settings, Key::LimitsHead), ("8KiB", Origin::Option, "--set"));
        assert_eq!(of(&settings, Key::LogLevel), ("info", Origin::Default, "default"));
        assert_eq!(of(&settings, Key::LimitsHalfOpen), ("100", Origin::Default, "default"));
        assert_eq!(of(&settings, Key::LimitsParked), ("100", Origin::Default, "default"));
        assert_eq!(of(&settings, Key::LimitsLine), ("8KiB", Origin::Default, "default"));
    }

    #[test]
    fn a_password_is_not_shown_however_it_is_written() {
        let shown = ("postgres://me@db.example:5433/shop", Origin::File, "p.toml:2");
        for url in [
            "postgres://me:s3cret@db.example:5433/shop",
            "postgresql://me@db.example:5433/shop?password=s3cret",
            "host=db.example port=5433 user=me password=s3cret dbname=shop",
        ] {
            let text = format!("[postgres]\nurl = \"{url}\"\n");
            let settings = settings(&text, Environment::default(), &[]);
            assert_eq!(of(&settings, Key::PostgresUrl), shown);
            assert!(!format!("{settings:?}").contains("s3cret"), "{url}");
        }
    }

    #[test]
    fn the_environment_is_named() {
        let environment = Environment {
            database_url: Some("postgres://me:s3cret@h/d".into()),
            database_max_conn: Some("3".into()),
            ..Environment::default()
        };
        let settings = settings("", environment, &[]);
        let url = ("postgres://me@h:5432/d", Origin::Environment, "DATABASE_URL");
        assert_eq!(of(&settings, Key::PostgresUrl), url);
        let connections = ("3", Origin::Environment, "DATABASE_MAX_CONN");
        assert_eq!(of(&settings, Key::PostgresConnections), connections);
    }

    #[test]
    fn a_level_that_was_changed_at_run_time_is_shown_as_such() {
        let effective = Effective {
            settings: settings("", Environment::default(), &[]),
            ..Effective::default()
        };
        assert_eq!(effective.clone().with_log_level(Level::INFO), effective);
        let changed = effective.with_log_level(Level::DEBUG).settings;
        assert_eq!(of(&changed, Key::LogLevel), ("debug", Origin::Command, "pollux log"));
    }
}
