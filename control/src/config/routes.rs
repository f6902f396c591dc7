//! What is served: the `[[route]]` entries of a configuration and the `[statements]` they name.
//!
//! A [`RouteEntry`] is a route that is checked as far as it can be without looking at files: what lacks in
//! its [`RouteConfig`] is content, which [`crate::content`] reads. Every error of a file is found in
//! one reading; a route with an error yields no draft, and a file with an error no [`Routes`].

mod compress;
mod content_path;
mod dataset;
mod kinds;
mod methods;
mod parameters;
mod query;
mod references;
mod static_kinds;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use handlers::config::{Kind, RouteConfig};
use toml::de::DeTable;

use super::diagnostics::{Diagnostics, Reported};
use super::{ConfigError, Place};
use content_path::ContentPath;
use kinds::KindName;
use references::References;
use table::{Field, Table};

pub(super) use table::{ROUTE, STATEMENTS};

pub(crate) use methods::names as method_names;

/// What a file has besides sections of keys.
pub(super) const SECTIONS: [&str; 2] = [STATEMENTS, ROUTE];

/// All routes of a configuration, in its order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Routes {
    /// Where they are written.
    pub(crate) origin: String,
    /// The routes.
    pub(crate) entries: Vec<RouteEntry>,
    /// Statements that no route names.
    pub(crate) idle_statements: Vec<String>,
}

/// A route whose files are not read yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteEntry {
    /// The route, without the content that `reads` names.
    pub(crate) plan: RouteConfig,
    /// What is still to be read.
    pub(crate) reads: Option<ContentPath>,
    kind: KindName,
    /// Its first line.
    place: Place,
    /// Its keys, `parameters.id.bounds` in full.
    spots: BTreeMap<String, Spot>,
}

/// Where a key stands, and what was written there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    place: Place,
    written: String,
}

impl Routes {
    /// Reads the routes of `document`, and reports every error to `diagnostics`. `None`: there is no route.
    pub(super) fn read(diagnostics: &Diagnostics<'_>, document: &DeTable<'_>) -> Option<Self> {
        let tables = table::list(diagnostics, document, ROUTE);
        let references = References::read(diagnostics, document, &tables);
        if tables.is_empty() {
            return None;
        }
        let entries: Vec<RouteEntry> =
            tables.iter().filter_map(|table| RouteEntry::read(table, &references).ok()).collect();
        for error in doubled(&entries) {
            diagnostics.report(error);
        }
        let used: BTreeSet<&str> = entries.iter().filter_map(RouteEntry::statement).collect();
        let idle = references.statements().filter(|name| !used.contains(name)).map(str::to_owned);
        Some(Self { origin: diagnostics.origin(), idle_statements: idle.collect(), entries })
    }

    /// What is served where the configuration has no route: the workload of HttpArena.
    ///
    /// # Panics
    /// If the text that was compiled in has an error; a test reads it.
    pub(crate) fn built_in() -> Self {
        let diagnostics = Diagnostics::new(Path::new("built-in arena.toml"), ARENA);
        let document = DeTable::parse(ARENA).expect("deploy/arena.toml is TOML");
        let routes = Self::read(&diagnostics, document.get_ref());
        ConfigError::all(diagnostics.take_errors()).expect("deploy/arena.toml has no error");
        routes.expect("deploy/arena.toml has routes")
    }
}

impl RouteEntry {
    /// The word for its kind.
    pub(crate) fn kind(&self) -> &'static str {
        self.kind.name()
    }

    /// `problem` with the value of `key`, or with the nearest key above it that was written.
    pub(crate) fn refuse(
        &self,
        key: &str,
        problem: impl Into<String>,
        fix: impl Into<String>,
    ) -> ConfigError {
        let above = |key: &str| key.rsplit_once('.').map(|(above, _)| above.to_owned());
        let keys = std::iter::successors(Some(key.to_owned()), |key| above(key));
        let spot = keys.clone().find_map(|key| Some((self.spots.get(&key)?, key)));
        let (place, what) = match spot {
            Some((spot, key)) => (&spot.place, format!("{ROUTE}.{key} = {}", spot.written)),
            None => (&self.place, format!("{ROUTE}.{key} of {}", self.plan.path)),
        };
        ConfigError::Route { place: place.clone(), what, problem: problem.into(), fix: fix.into() }
    }

    /// As [`refuse`](Self::refuse), where it may be a `part` of the value that is wrong.
    pub(crate) fn refuse_part(
        &self,
        key: &str,
        part: &str,
        problem: &str,
        fix: impl Into<String>,
    ) -> ConfigError {
        let unquoted =
            |text: &str| text.replace(|c: char| c.is_whitespace() || matches!(c, '"' | '\''), "");
        let part = part.escape_debug().to_string();
        let is_whole =
            self.spots.get(key).is_some_and(|spot| unquoted(&spot.written) == unquoted(&part));
        match is_whole || part.is_empty() {
            true => self.refuse(key, problem, fix),
            false => self.refuse(key, format!("{part}: {problem}"), fix),
        }
    }

    fn read(table: &Table<'_>, references: &References<'_>) -> Result<Self, Reported> {
        let name = table.text("name");
        let kind = kinds::read(table);
        let keys = kinds::refuse_others(table, kind.ok());
        let path = table.require("path", "\"/..\"").and_then(Field::text);
        let methods = methods::read(table, kind.ok());
        let headers = headers(table);
        let compress = compress::read(table);
        let kind = kind?;
        let content = match kind {
            KindName::Fixed => static_kinds::fixed(table),
            KindName::Files => static_kinds::files(table),
            KindName::Dataset => dataset::read(table),
            KindName::Sum => Ok((Kind::Sum, None)),
            KindName::Count => Ok((Kind::Count, None)),
            KindName::Sqlite => query::sqlite(table, references),
            KindName::Postgres => query::postgres(table, references),
            KindName::Redirect => static_kinds::redirect(table),
        };
        let (static_kinds, reads) = content?;
        keys?;
        let plan = RouteConfig {
            name: name?,
            path: path?,
            below: kind == KindName::Files,
            methods: methods?,
            headers: headers?,
            compress: compress?,
            kind: static_kinds,
        };
        let spots = table.spots().map(|(key, place, written)| (key, Spot { place, written }));
        Ok(Self { plan, reads, kind, place: table.place().clone(), spots: spots.collect() })
    }

    fn statement(&self) -> Option<&str> {
        match &self.plan.kind {
            Kind::Query(query) => Some(&query.statement),
            _ => None,
        }
    }
}

/// Key `headers`: names, each once in any case, and values.
fn headers(table: &Table<'_>) -> Result<Vec<(String, String)>, Reported> {
    let Some(field) = table.field("headers") else { return Ok(Vec::new()) };
    let headers = field.texts()?;
    for (at, (name, _)) in headers.iter().enumerate() {
        if headers[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            let problem = format!("{name} is there twice");
            return Err(field.refuse(problem, "write it once: case makes no difference"));
        }
    }
    Ok(headers)
}

/// Routes that another one has taken the requests of.
fn doubled(entries: &[RouteEntry]) -> Vec<ConfigError> {
    let mut taken: BTreeMap<(String, bool), Vec<&RouteEntry>> = BTreeMap::new();
    let mut errors = Vec::new();
    for entry in entries {
        let plan = &entry.plan;
        let others = taken.entry((shape(&plan.path), plan.below)).or_default();
        let both = |other: &&&RouteEntry| !other.plan.methods.intersection(plan.methods).is_empty();
        if let Some(first) = others.iter().find(both) {
            let common = first.plan.methods.intersection(plan.methods);
            errors.push(entry.refuse(
                "path",
                format!("{} is answered by the route of {}", methods::names(common), first.place),
                "take one of the two out, or give them different methods",
            ));
        }
        others.push(entry);
    }
    errors
}

/// The path with its parameters nameless: routes of the same shape answer the same requests.
fn shape(path: &str) -> String {
    let nameless = |segment| if str::starts_with(segment, '{') { "{}" } else { segment };
    path.split('/').map(nameless).collect::<Vec<_>>().join("/")
}

/// The routes of a configuration without routes.
const ARENA: &str = include_str!("../../../deploy/arena.toml");

#[cfg(test)]
mod tests;
