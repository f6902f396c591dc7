//! Values from variables of the environment: `POLLUX_SECTION_KEY` for every key, and the two names that
//! clients of PostgreSQL share.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};

use handlers::nearest;

use super::key::RENAMED;
use super::{ConfigError, Key, Place, routes};

/// Variables that are heeded; an empty one counts as absent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `DATABASE_URL`: the PostgreSQL server where `postgres.url` is empty.
    pub(crate) database_url: Option<String>,
    /// `DATABASE_MAX_CONN`: the most connections to it, whatever `postgres.connections` says.
    pub(crate) database_max_conn: Option<String>,
    /// `POLLUX_SECTION_KEY`: values of keys.
    pub(crate) keys: BTreeMap<Key, String>,
    /// Variables that begin with `POLLUX_` and name no key, and those that are not text.
    pub(crate) errors: Vec<ConfigError>,
}

impl Environment {
    /// That of this process.
    pub(crate) fn read() -> Self {
        Self::of(env::vars_os())
    }

    /// Reads `variables`, names with values.
    pub(super) fn of(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let mut environment = Self::default();
        for (name, value) in variables {
            // What is not UTF-8 is none of our names; it may still be a slip in one.
            environment.take(&name.to_string_lossy(), &value);
        }
        // The kernel's order of variables says nothing.
        environment.errors.sort_by_key(ToString::to_string);
        environment
    }

    fn take(&mut self, name: &str, value: &OsStr) {
        let is_database = [DATABASE_URL, DATABASE_MAX_CONN].contains(&name);
        let is_ours = name.starts_with(PREFIX) && !RESERVED.contains(&name);
        if !(is_database || is_ours) || value.to_string_lossy().trim().is_empty() {
            return;
        }
        let key = Key::ALL.iter().copied().find(|key| key.variable() == name);
        if is_ours && key.is_none() {
            if !is_service_link(name, value) {
                self.errors.push(unknown(name));
            }
            return;
        }
        let Some(text) = value.to_str().map(str::to_owned) else {
            return self.errors.push(ConfigError::Variable { name: name.into() });
        };
        match (key, name) {
            (Some(key), _) => drop(self.keys.insert(key, text.trim().to_owned())),
            (None, DATABASE_URL) => self.database_url = Some(text),
            (None, _) => self.database_max_conn = Some(text),
        }
    }
}

impl Key {
    /// The variable that gives it: `POLLUX_LIMITS_HALF_OPEN` for `limits.half_open`.
    pub(crate) fn variable(self) -> String {
        format!("{PREFIX}{}", in_capitals(self.path()))
    }
}

fn in_capitals(path: &str) -> String {
    path.replace('.', "_").to_ascii_uppercase()
}

/// Whether Kubernetes set the variable, as it does in every container beside a service whose name begins
/// with `pollux`: `POLLUX_SERVICE_HOST`, `POLLUX_PORT=tcp://10.0.0.1:80`, `POLLUX_PORT_80_TCP_ADDR`
/// (its manual, "Service", section "Environment variables").
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let is_service = name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_");
    let whole = ["_PROTO", "_PORT", "_ADDR"].iter().find_map(|part| name.strip_suffix(part));
    let whole = whole.unwrap_or(name);
    let numbered = ["_TCP", "_UDP", "_SCTP"].iter().find_map(|kind| whole.strip_suffix(kind));
    let is_numbered = numbered
        .and_then(|numbered| numbered.rsplit_once("_PORT_"))
        .is_some_and(|(_, number)| number.parse::<u16>().is_ok());
    let url = value.to_str().unwrap_or_default();
    let is_url = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| url.starts_with(scheme));
    is_service || is_numbered || (is_url && name.ends_with("_PORT"))
}

fn unknown(name: &str) -> ConfigError {
    ConfigError::Unknown {
        place: Place::Environment(name.to_owned()),
        what: "variable".to_owned(),
        fix: fix_of(name),
    }
}

/// What somebody who set `name` should have set.
fn fix_of(name: &str) -> String {
    let capitals = name.to_ascii_uppercase();
    let wanted = capitals.strip_prefix(PREFIX).unwrap_or_default();
    let section = |section: &str| {
        let rest = wanted.strip_prefix(&in_capitals(section));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let in_file = [routes::STATEMENTS, routes::ROUTE, "routes"];
    if let Some(table) = in_file.into_iter().find(|table| section(table)) {
        return format!("{table} is written in a file: name one with --config, and unset it");
    }
    if let Some((_, key)) = RENAMED.iter().find(|(former, _)| in_capitals(former) == wanted) {
        return format!("its name is now {}", key.variable());
    }
    let variables: Vec<String> = Key::ALL.iter().map(|key| key.variable()).collect();
    let names = || variables.iter().map(String::as_str);
    // POLLUX_PORT: the section was forgotten.
    let is_name =
        |key: &Key| key.path().split_once('.').is_some_and(|(_, name)| in_capitals(name) == wanted);
    let with_section: Vec<_> =
        Key::ALL.iter().filter(|key| is_name(key)).map(|key| key.variable()).collect();
    if let Some(nearest) = nearest(&capitals, names()) {
        return format!("did you mean {nearest}?");
    } else if !with_section.is_empty() {
        return format!("did you mean {}?", with_section.join(" or "));
    }
    match Key::sections().into_iter().find(|name| section(name)) {
        Some(section) => {
            let names: Vec<_> = Key::names_in(section).into_iter().map(in_capitals).collect();
            format!("{PREFIX}{}_ has {}", in_capitals(section), names.join(", "))
        }
        None => format!(
            "write {PREFIX}SECTION_KEY with one of the sections {}, or unset it",
            Key::sections().join(", ")
        ),
    }
}

/// Names the server.
pub(super) const DATABASE_URL: &str = "DATABASE_URL";
/// Bounds its connections.
pub(super) const DATABASE_MAX_CONN: &str = "DATABASE_MAX_CONN";
/// How the variable of every key begins.
const PREFIX: &str = "POLLUX_";
/// Variables of our scripts and tests that begin like those of keys.
const RESERVED: &[&str] = &[
    "POLLUX_BIN",
    "POLLUX_COUNTERS",
    "POLLUX_HUGEPAGES",
    "POLLUX_SCENARIOS",
    "POLLUX_SEED",
    "POLLUX_TEST_MEMIF_SOCKET",
    "POLLUX_TEST_PART",
    "POLLUX_TEST_TERMINAL",
    "POLLUX_TEST_VHOST_SOCKET",
];

#[cfg(test)]
mod tests;
