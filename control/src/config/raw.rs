//! The configuration as text: which values were given, and where. Knows keys, not meanings.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, Key, Place};

/// A value and where it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The value, without quotes.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) place: Place,
}

/// The values that were given; what is missing has its default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Config(BTreeMap<Key, Given>);

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, is not TOML, or has a section or key that does not exist.
    pub(crate) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(file)
            .map_err(|error| ConfigError::Unreadable { file: file.into(), error })?;
        Self::parse(file, &text)
    }

    /// Reads `text`, which stands in `file`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let source = Source { file: Rc::new(file.to_owned()), text };
        let document = DeTable::parse(text).map_err(|error| ConfigError::Syntax {
            place: source.place(error.span().map_or(0, |span| span.start)),
            problem: error.message().to_owned(),
        })?;
        let mut config = Self::default();
        for (name, value) in in_order(document.get_ref()) {
            config.take_section(&source, name, value)?;
        }
        Ok(config)
    }

    /// Gives `key` a value, whatever it had before.
    pub(crate) fn set(&mut self, key: Key, text: String, place: Place) {
        self.0.insert(key, Given { text, place });
    }

    /// Takes one `--set section.key=value`.
    ///
    /// # Errors
    /// No `=`, or no such key.
    pub(crate) fn assign(&mut self, text: &str) -> Result<(), ConfigError> {
        let Some((path, value)) = text.split_once('=') else {
            return Err(ConfigError::NotAnAssignment { text: text.to_owned() });
        };
        let path = path.trim();
        let place = Place::Option("--set");
        let Some(key) = Key::find(path) else { return Err(unknown_key(place, path)) };
        self.set(key, value.trim().to_owned(), place);
        Ok(())
    }

    /// The value that holds for `key`.
    pub(crate) fn given(&self, key: Key) -> Given {
        self.0
            .get(&key)
            .cloned()
            .unwrap_or_else(|| Given { text: key.default_text().to_owned(), place: Place::Default })
    }

    /// The keys that were given.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        self.0.keys().copied()
    }

    fn take_section(
        &mut self,
        source: &Source<'_>,
        name: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), ConfigError> {
        let section = name.get_ref().as_ref();
        let place = source.place(name.span().start);
        if !Key::is_section(section) {
            return Err(unknown_section(place, section));
        }
        let DeValue::Table(table) = value.get_ref() else {
            return Err(ConfigError::Unknown {
                place,
                what: format!("key {section}"),
                fix: format!("[{section}] is a section: write [{section}] on a line of its own"),
            });
        };
        for (name, value) in in_order(table) {
            let path = format!("{section}.{}", name.get_ref());
            let place = source.place(name.span().start);
            let Some(key) = Key::find(&path) else { return Err(unknown_key(place, &path)) };
            let Some(text) = scalar(value.get_ref()) else {
                return Err(ConfigError::Value {
                    place,
                    key,
                    value: source.text[value.span()].to_owned(),
                    problem: "neither text, number, switch nor list of those".into(),
                    fix: format!("write it as in {path} = {:?}", key.default_text()),
                });
            };
            self.set(key, text, place);
        }
        Ok(())
    }
}

/// A file's name and text, to turn offsets into lines.
struct Source<'a> {
    file: Rc<PathBuf>,
    text: &'a str,
}

impl Source<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Place::File { file: Rc::clone(&self.file), line }
    }
}

/// Entries in the order of the file, so that the first error reported is the first in the file.
fn in_order<'t, 'i>(
    table: &'t DeTable<'i>,
) -> Vec<(&'t Spanned<std::borrow::Cow<'i, str>>, &'t Spanned<DeValue<'i>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(name, _)| name.span().start);
    entries
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

fn unknown_key(place: Place, path: &str) -> ConfigError {
    let section = path.split_once('.').map_or(path, |(section, _)| section);
    let fix = match (Key::near(path), Key::is_section(section)) {
        (Some(key), _) => format!("did you mean {}?", key.path()),
        (None, true) => format!("[{section}] has {}", Key::names_in(section).join(", ")),
        (None, false) => format!("there are the sections {}", Key::sections().join(", ")),
    };
    ConfigError::Unknown { place, what: format!("key {path}"), fix }
}

fn unknown_section(place: Place, section: &str) -> ConfigError {
    let fix = match Key::near_section(section) {
        Some(near) => format!("did you mean [{near}]?"),
        None => format!("there are the sections {}", Key::sections().join(", ")),
    };
    ConfigError::Unknown { place, what: format!("section [{section}]"), fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(Path::new("p.toml"), text)
    }

    fn message(text: &str) -> String {
        parse(text).expect_err("is refused").to_string()
    }

    #[test]
    fn values_keep_their_line() {
        let config = parse("# first\n[listen]\nport = 81\n").expect("parses");
        let given = config.given(Key::ListenPort);
        assert_eq!(given.text, "81");
        assert_eq!(given.place.to_string(), "p.toml:3");
    }

    #[test]
    fn lists_and_dotted_keys_are_taken() {
        let config = parse("cores.workers = [1, \"3-4\"]\n").expect("parses");
        assert_eq!(config.given(Key::CoresWorkers).text, "1,3-4");
    }

    #[test]
    fn an_assignment_overrides_the_file() {
        let mut config = parse("[limits]\nhead = \"4KiB\"\n").expect("parses");
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
             those; write it as in listen.port = \"8080\""
        );
    }

    #[test]
    fn the_first_error_of_the_file_is_reported() {
        let text = "[zebra]\nx = 1\n[aardvark]\ny = 1\n";
        assert!(message(text).starts_with("p.toml:1: unknown section [zebra]"));
    }

    #[test]
    fn broken_toml_names_its_line() {
        let message = message("[listen]\nport = \n");
        assert!(message.starts_with("p.toml:2: not valid TOML: "), "{message}");
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
