//! The configuration as text: which values were given, and where. Knows keys, not meanings.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use handlers::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostics::{Diagnostics, in_order};
use super::environment::{DATABASE_MAX_CONN, DATABASE_URL};
use super::key::ValueType;
use super::routes::{self, Routes};
use super::secret::{conceal, quote};
use super::{ConfigError, Environment, Key, Place};
use crate::regular_file;

/// A value and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The value, without quotes.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) place: Place,
}

/// The values that were given; what is missing has its default. What was not understood is kept as
/// well, and fails when the configuration is made into a plan: so all errors are reported at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config {
    values: BTreeMap<Key, Given>,
    /// None: the built-in ones.
    routes: Option<Arc<Routes>>,
    /// What `DATABASE_MAX_CONN` says.
    connections_max: Option<Given>,
    errors: Vec<ConfigError>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or is not TOML: each line that is not.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let unreadable =
            |error: io::Error| ConfigError::Unreadable { file: file.into(), error: error.into() };
        let bytes = regular_file::read_at(file).map_err(unreadable)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| unreadable(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        Self::parse(file, &text)
    }

    /// Reads `text`, which stands in `file`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let diagnostics = Diagnostics::new(file, text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            diagnostics.report(ConfigError::Syntax {
                place: diagnostics.place(error.span().map_or(0, |span| span.start)),
                problem: conceal(error.message()),
            });
        }
        let mut syntax = diagnostics.take_errors();
        // One slip may be several errors to a parser.
        syntax.dedup_by_key(|error| error.line());
        ConfigError::all(syntax)?;
        let mut config = Self::default();
        for (name, value) in in_order(document.get_ref()) {
            if !routes::SECTIONS.contains(&name.get_ref().as_ref()) {
                config.take_section(&diagnostics, name, value);
            }
        }
        config.routes = Routes::read(&diagnostics, document.get_ref()).map(Arc::new);
        config.errors = diagnostics.take_errors();
        Ok(config)
    }

    /// Gives `key` a value, whatever it had before.
    pub(crate) fn set(&mut self, key: Key, text: String, place: Place) {
        self.values.insert(key, Given { text, place });
    }

    /// Takes one `--set section.key=value`.
    ///
    /// # Errors
    /// No `=`, or no such key.
    pub(crate) fn assign(&mut self, text: &str) -> Result<(), ConfigError> {
        let Some((path, value)) = text.split_once('=') else {
            return Err(ConfigError::NotAnAssignment { text: conceal(text) });
        };
        let path = path.trim();
        let place = Place::Option("--set");
        let Some(key) = Key::find(path) else { return Err(unknown_key(place, path)) };
        self.set(key, value.trim().to_owned(), place);
        Ok(())
    }

    /// Takes one `--set section.key=value`; what is wrong with it is kept.
    pub(crate) fn apply_assignment(&mut self, text: &str) {
        if let Err(error) = self.assign(text) {
            self.errors.push(error);
        }
    }

    /// Takes what the environment says: keys, whatever they had before; a server where none was named; and
    /// a bound that nothing overrides.
    pub(crate) fn apply_environment(&mut self, environment: Environment) {
        for (key, text) in environment.keys {
            self.set(key, text, Place::Environment(key.variable()));
        }
        if let Some(url) = environment.database_url
            && self.given(Key::PostgresUrl).text.is_empty()
        {
            self.set(Key::PostgresUrl, url, Place::Environment(DATABASE_URL.into()));
        }
        self.connections_max = environment
            .database_max_conn
            .map(|text| Given { text, place: Place::Environment(DATABASE_MAX_CONN.into()) });
        self.errors.extend(environment.errors);
    }

    /// The value that holds for `key`.
    pub(crate) fn given(&self, key: Key) -> Given {
        self.values
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Given { text: key.default_text().to_owned(), place: Place::Default })
    }

    /// Takes back whatever was given for `key`.
    pub(crate) fn reset(&mut self, key: Key) {
        self.values.remove(&key);
        if key == Key::PostgresConnections {
            self.connections_max = None;
        }
    }

    /// What bounds `postgres.connections`, if anything does.
    pub(crate) fn connections_max(&self) -> Option<&Given> {
        self.connections_max.as_ref()
    }

    /// The routes that hold.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.as_ref().map_or_else(|| Arc::new(Routes::built_in()), Arc::clone)
    }

    /// What was not understood, in the order of the file.
    pub(crate) fn errors(&self) -> &[ConfigError] {
        &self.errors
    }

    /// The keys that were given.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.values.keys().copied()
    }

    fn take_section(
        &mut self,
        diagnostics: &Diagnostics<'_>,
        name: &Spanned<DeString<'_>>,
        value: &Spanned<DeValue<'_>>,
    ) {
        let section = name.get_ref().as_ref();
        let place = diagnostics.place(name.span().start);
        if !Key::is_section(section) {
            diagnostics.report(unknown_section(place, section));
            return;
        }
        let DeValue::Table(table) = value.get_ref() else {
            diagnostics.report(ConfigError::Unknown {
                place,
                what: format!("key {section}"),
                fix: format!("[{section}] is a section: write [{section}] on a line of its own"),
            });
            return;
        };
        for (name, value) in in_order(table) {
            let path = format!("{section}.{}", name.get_ref());
            let place = diagnostics.place(name.span().start);
            let Some(key) = Key::find(&path) else {
                diagnostics.report(unknown_key(place, &path));
                continue;
            };
            match text_of(key, value.get_ref()) {
                Ok(text) => self.set(key, text, place),
                Err(problem) => {
                    let excerpt = diagnostics.excerpt(value.span());
                    diagnostics.report(wrong_type(place, key, &excerpt, problem));
                }
            }
        }
    }
}

/// The text of the value of `key`, or what is wrong with its type.
fn text_of(key: Key, value: &DeValue<'_>) -> Result<String, &'static str> {
    match (key.value_type(), value) {
        (_, DeValue::Datetime(_) | DeValue::Table(_)) => {
            Err("neither text, number, switch nor list of those")
        }
        (ValueType::Number | ValueType::Switch | ValueType::Text, DeValue::Array(_)) => {
            Err("a list, where one value is wanted")
        }
        (ValueType::Number, DeValue::String(_)) => Err("text, where a number is wanted"),
        (ValueType::Switch, DeValue::String(_)) => Err("text, where true or false is wanted"),
        _ => scalar(value).ok_or("a list of what is no text, number or switch"),
    }
}

/// The text of a value; lists are joined by commas (`cores.workers = [1, 2]`).
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Array(items) => {
            let texts: Option<Vec<_>> = items.iter().map(|item| scalar(item.get_ref())).collect();
            texts.map(|texts| texts.join(","))
        }
        DeValue::Datetime(_) | DeValue::Table(_) => None,
    }
}

/// `value`, as it was written, has not the type that `key` has.
fn wrong_type(place: Place, key: Key, value: &str, problem: &str) -> ConfigError {
    let unquoted = value.trim_matches(['"', '\'']);
    let is_number = unquoted.parse::<u64>().is_ok();
    let example = match key.value_type() {
        // What was meant.
        ValueType::Number if is_number => unquoted.to_owned(),
        ValueType::Number | ValueType::Switch => key.default_text().to_owned(),
        ValueType::Text | ValueType::List => format!("{:?}", key.default_text()),
    };
    ConfigError::Value {
        place,
        key,
        value: quote(key, unquoted),
        problem: problem.into(),
        fix: format!("write it as in {} = {example}", key.path()),
        other: None,
    }
}

fn unknown_key(place: Place, path: &str) -> ConfigError {
    let section = path.split_once('.').map_or(path, |(section, _)| section);
    let renamed = Key::renamed(path).map(|key| format!("its name is now {}", key.path()));
    let meant = || Key::nearest(path).map(|key| format!("did you mean {}?", key.path()));
    let fix = match renamed.or_else(meant) {
        Some(fix) => fix,
        None if Key::is_section(section) => {
            format!("[{section}] has {}", Key::names_in(section).join(", "))
        }
        None if routes::SECTIONS.contains(&section) => {
            format!("{section} is written in a file: name one with --config")
        }
        None => format!("there are the sections {}", Key::sections().join(", ")),
    };
    ConfigError::Unknown { place, what: format!("key {}", conceal(path)), fix }
}

fn unknown_section(place: Place, section: &str) -> ConfigError {
    let sections = Key::sections();
    let fix = match nearest(section, sections.iter().copied().chain(routes::SECTIONS)) {
        Some(routes::ROUTE) => format!("did you mean [[{}]]?", routes::ROUTE),
        Some(nearest) => format!("did you mean [{nearest}]?"),
        None => format!(
            "there are the sections {}, {}, and routes in [[{}]]",
            sections.join(", "),
            routes::STATEMENTS,
            routes::ROUTE
        ),
    };
    ConfigError::Unknown { place, what: format!("section [{}]", conceal(section)), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Config {
        Config::parse(Path::new("p.toml"), text).expect("is TOML")
    }

    fn messages(text: &str) -> Vec<String> {
        parse(text).errors().iter().map(ToString::to_string).collect()
    }

    fn message(text: &str) -> String {
        messages(text).join("\n")
    }

    #[test]
    fn values_keep_their_line() {
        let config = parse("# first\n[listen]\nport = 81\n");
        let given = config.given(Key::ListenPort);
        assert_eq!(given.text, "81");
        assert_eq!(given.place.to_string(), "p.toml:3");
    }

    #[test]
    fn lists_and_dotted_keys_are_taken() {
        let config = parse("cores.workers = [1, \"3-4\"]\n");
        assert_eq!(config.given(Key::CoresWorkers).text, "1,3-4");
    }

    #[test]
    fn an_assignment_overrides_the_file() {
        let mut config = parse("[limits]\nhead = \"4KiB\"\n");
        config.assign("limits.head = 8KiB").expect("is a key");
        let given = config.given(Key::LimitsHead);
        assert_eq!((given.text.as_str(), given.place), ("8KiB", Place::Option("--set")));
    }

    #[test]
    fn refusals_name_line_key_and_fix() {
        assert_eq!(
            message("[limits]\nhaed = 1\n"),
            "p.toml:2: unknown key limits.haed; did you mean limits.head?"
        );
        assert_eq!(
            message("[deadlines]\nanswer = \"5s\"\n"),
            "p.toml:2: unknown key deadlines.answer; its name is now deadlines.response"
        );
        assert_eq!(
            message("[limits]\nform = \"8KiB\"\n"),
            "p.toml:2: unknown key limits.form; its name is now limits.request_buffer"
        );
        assert_eq!(
            message("[limit]\nhead = 1\n"),
            "p.toml:1: unknown section [limit]; did you mean [limits]?"
        );
        assert_eq!(
            message("\nstats = 5\n"),
            "p.toml:2: unknown key stats; [stats] is a section: write [stats] on a line of its own"
        );
        assert_eq!(
            message("[log]\nvolume_of_the_log = 11\n"),
            "p.toml:2: unknown key log.volume_of_the_log; [log] has level, format"
        );
        assert_eq!(
            message("[listen]\nport = { tcp = 80 }\n"),
            "p.toml:2: listen.port = \"{ tcp = 80 }\": neither text, number, switch nor list of \
             those; write it as in listen.port = 8080"
        );
    }

    #[test]
    fn a_value_has_the_type_of_its_key() {
        assert_eq!(
            message("[listen]\nport = \"80\"\nprobe = 'true'\n"),
            "p.toml:2: listen.port = \"80\": text, where a number is wanted; write it as in \
             listen.port = 80\n\
             p.toml:3: listen.probe = \"true\": text, where true or false is wanted; write it as in \
             listen.probe = true"
        );
        assert_eq!(
            message("[listen]\nport = [80]\n[limits]\nhead = [\"8KiB\"]\n"),
            "p.toml:2: listen.port = \"[80]\": a list, where one value is wanted; write it as in \
             listen.port = 8080\n\
             p.toml:4: limits.head = \"[\\\"8KiB\\\"]\": a list, where one value is wanted; write it as in \
             limits.head = \"16KiB\""
        );
        // With a unit it is text, without one it need not be.
        let config = parse("[limits]\nhead = 8192\nline = \"4KiB\"\n");
        assert!(config.errors().is_empty(), "{:?}", config.errors());
        // A command line and a variable have nothing but text.
        let mut config = Config::default();
        config.apply_assignment("listen.port=80");
        assert!(config.errors().is_empty());
    }

    #[test]
    fn all_mistakes_are_kept_in_the_order_of_the_file() {
        let text = "[zebra]\nx = 1\n[aardvark]\ny = 1\n[log]\nlevle = 1\nfromat = 2\n";
        let messages = messages(text);
        let places: Vec<_> = messages.iter().filter_map(|m| m.split(": ").next()).collect();
        assert_eq!(places, ["p.toml:1", "p.toml:3", "p.toml:6", "p.toml:7"]);
    }

    #[test]
    fn broken_toml_names_its_line() {
        let broken = Config::parse(Path::new("p.toml"), "[listen]\nport = \n");
        let message = broken.expect_err("is no TOML").to_string();
        assert!(message.starts_with("p.toml:2: not valid TOML: "), "{message}");
        let broken = "[listen]\nport = \n[log]\nlevel = \"info\nformat = text\n";
        let broken = Config::parse(Path::new("p.toml"), broken).expect_err("is no TOML");
        let message = broken.to_string();
        let lines: Vec<_> = message.lines().filter_map(|line| line.split(": ").next()).collect();
        assert!(lines.starts_with(&["p.toml:2", "p.toml:4"]), "every line that is not: {message}");
    }

    #[test]
    fn assignments_are_checked_too() {
        let mut config = Config::default();
        assert_eq!(
            config.assign("limits.head").expect_err("no value").to_string(),
            "--set \"limits.head\": no `=` in it; write --set section.key=value"
        );
        assert_eq!(
            config.assign("limit.head=1").expect_err("no key").to_string(),
            "--set: unknown key limit.head; did you mean limits.head?"
        );
    }

    #[test]
    fn a_missing_file_says_so() {
        let error = Config::read(Path::new("/nonexistent/p.toml")).expect_err("is not there");
        assert_eq!(
            error.to_string(),
            "/nonexistent/p.toml: cannot be read: No such file or directory (os error 2); \
             name a readable file with --config"
        );
    }
}
