//! What routes refer to: statements, and each other.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::table::{Field, ROUTE, STATEMENTS, Table};
use crate::config::diagnostics::{Diagnostics, Reported};
use crate::config::{ConfigError, Place};

/// All names of one file.
pub(super) struct References<'a> {
    statements: BTreeMap<&'a str, String>,
    routes: BTreeMap<String, Named>,
}

/// A route that has a name.
struct Named {
    place: Place,
    /// Whether its responses are cached.
    is_cached: bool,
}

impl<'a> References<'a> {
    /// Collects the names, and reports those that are there twice.
    pub(super) fn read(
        diagnostics: &'a Diagnostics<'a>,
        document: &'a DeTable<'a>,
        tables: &[Table<'_>],
    ) -> Self {
        let mut references = Self { statements: BTreeMap::new(), routes: BTreeMap::new() };
        if let Some((key, value)) = document.get_key_value(STATEMENTS) {
            let place = diagnostics.place(key.span().start);
            match value.get_ref() {
                DeValue::Table(table) => {
                    let table =
                        Table::new(diagnostics, STATEMENTS.to_owned(), place.clone(), table);
                    references.take_statements(&table);
                }
                _ => {
                    diagnostics.report(ConfigError::Unknown {
                        place: place.clone(),
                        what: format!("key {STATEMENTS}"),
                        fix: format!("[{STATEMENTS}] is a section of names and their SQL"),
                    });
                }
            }
            if !document.contains_key(ROUTE) {
                diagnostics.report(ConfigError::Route {
                    place,
                    what: format!("[{STATEMENTS}]"),
                    problem: "there is no route".into(),
                    fix: format!("add a [[{ROUTE}]] that names one, or take them out"),
                });
            }
        }
        for table in tables {
            references.take_route(table);
        }
        references
    }

    /// Names of the statements.
    pub(super) fn statements(&self) -> impl Iterator<Item = &'a str> + Clone {
        self.statements.keys().copied()
    }

    /// The SQL of the statement that `field` names.
    pub(super) fn statement(&self, field: &Field<'_>) -> Result<(String, &str), Reported> {
        let name = field.text()?;
        match self.statements.get(name.as_str()) {
            Some(sql) => Ok((name, sql)),
            None if self.statements.is_empty() => {
                Err(field.refuse("there are no statements", format!("add it to [{STATEMENTS}]")))
            }
            None => {
                let list = format!("[{STATEMENTS}] has");
                Err(field.strange(&name, "no such statement", &list, self.statements()))
            }
        }
    }

    /// The name of a route, which is there and caches responses.
    pub(super) fn route(&self, field: &Field<'_>) -> Result<String, Reported> {
        let name = field.text()?;
        match self.routes.get(&name) {
            Some(named) if named.is_cached => Ok(name),
            Some(named) => {
                let problem = format!("the route of {} caches no responses", named.place);
                Err(field.refuse(problem, "add cache = \"1s\", say, there"))
            }
            None if self.routes.is_empty() => {
                Err(field.refuse("no route has a name", "give the route that is meant a name"))
            }
            None => {
                let known = self.routes.keys().map(String::as_str);
                Err(field.strange(&name, "no route of this name", "there are", known))
            }
        }
    }

    fn take_statements(&mut self, table: &Table<'a>) {
        for field in table.fields() {
            match field.text() {
                Ok(sql) if sql.trim().is_empty() => {
                    field.refuse("no SQL", "write a statement, or take it out");
                }
                Ok(sql) => {
                    self.statements.insert(field.name(), sql);
                }
                Err(Reported) => {}
            }
        }
    }

    fn take_route(&mut self, table: &Table<'_>) {
        let Some(field) = table.field("name") else { return };
        // A name that is no text is noted where the route is read.
        let DeValue::String(name) = field.value() else { return };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if name.is_empty() || !name.chars().all(plain) {
            field.refuse("not a name", "write letters, digits, `_`, `-` and `.`");
        }
        let is_cached = table.field("cache").is_some();
        let named = Named { place: field.place().clone(), is_cached };
        if let Some(first) = self.routes.get(name.as_ref()) {
            let problem = format!("the route of {} has it too", first.place);
            field.refuse(problem, "give each its own name");
            return;
        }
        self.routes.insert(name.to_string(), named);
    }
}
