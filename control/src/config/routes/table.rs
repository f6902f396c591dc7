//! A table of the file, read key by key. A value of the wrong kind is reported, with its place
//! and what belongs there.

use handlers::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::config::diagnostics::{Diagnostics, Reported, in_order};
use crate::config::{ConfigError, Place};

/// The section of SQL texts.
pub(in crate::config) const STATEMENTS: &str = "statements";
/// The list of routes.
pub(in crate::config) const ROUTE: &str = "route";

/// A table and its place.
pub(super) struct Table<'a> {
    diagnostics: &'a Diagnostics<'a>,
    path: String,
    place: Place,
    fields: Vec<Field<'a>>,
}

/// A key, its value and its place.
pub(super) struct Field<'a> {
    diagnostics: &'a Diagnostics<'a>,
    /// From the section on: `route.parameters.id.bounds`.
    path: String,
    name: &'a str,
    place: Place,
    value: &'a Spanned<DeValue<'a>>,
}

/// The tables of a list such as `[[route]]`.
pub(super) fn list<'a>(
    diagnostics: &'a Diagnostics<'a>,
    document: &'a DeTable<'a>,
    name: &'static str,
) -> Vec<Table<'a>> {
    let Some((key, value)) = document.get_key_value(name) else { return Vec::new() };
    let wrong = |value: &Spanned<DeValue<'_>>| {
        diagnostics.report(ConfigError::Unknown {
            place: diagnostics.place(value.span().start.max(key.span().start)),
            what: format!("form of {name}"),
            fix: format!("write [[{name}]], in two brackets, above the keys of each"),
        });
    };
    let DeValue::Array(items) = value.get_ref() else {
        wrong(value);
        return Vec::new();
    };
    let mut tables = Vec::new();
    for item in items.iter() {
        match item.get_ref() {
            DeValue::Table(table) => {
                let place = diagnostics.place(item.span().start);
                tables.push(Table::new(diagnostics, name.to_owned(), place, table));
            }
            _ => wrong(item),
        }
    }
    tables
}

impl<'a> Table<'a> {
    /// The entries of `table`, which stands at `place` and is called `path`.
    pub(super) fn new(
        diagnostics: &'a Diagnostics<'a>,
        path: String,
        place: Place,
        table: &'a DeTable<'a>,
    ) -> Self {
        let field = |(name, value): (&'a Spanned<DeString<'a>>, _)| {
            let place = diagnostics.place(name.span().start);
            let name = name.get_ref().as_ref();
            Field { diagnostics, path: format!("{path}.{name}"), name, place, value }
        };
        let fields = in_order(table).into_iter().map(field).collect();
        Self { diagnostics, path, place, fields }
    }

    /// Where it begins.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// All entries, in the order of the file.
    pub(super) fn fields(&self) -> &[Field<'a>] {
        &self.fields
    }

    /// An entry.
    pub(super) fn field(&self, name: &str) -> Option<&Field<'a>> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The text of an entry, if it is there.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Reported> {
        self.field(name).map(Field::text).transpose()
    }

    /// An entry that must be there; `example` is one.
    pub(super) fn require(&self, name: &str, example: &str) -> Result<&Field<'a>, Reported> {
        self.field(name).ok_or_else(|| self.missing(name, &format!("write {name} = {example}")))
    }

    /// Notes that an entry is missing.
    pub(super) fn missing(&self, name: &str, fix: &str) -> Reported {
        self.diagnostics.report(ConfigError::Route {
            place: self.place.clone(),
            what: format!("{}.{name}", self.path),
            problem: "is missing".into(),
            fix: fix.into(),
        })
    }

    /// Notes an entry of a name that is none of `known`.
    pub(super) fn unknown(&self, field: &Field<'_>, known: &[&str]) -> Reported {
        let fix = match nearest(field.name, known.iter().copied()) {
            Some(nearest) => format!("did you mean {}.{nearest}?", self.path),
            None => format!("{} has {}", self.path, known.join(", ")),
        };
        let what = format!("key {}", field.path);
        self.diagnostics.report(ConfigError::Unknown { place: field.place.clone(), what, fix })
    }

    /// Notes every entry of a name that is none of `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Reported> {
        let strange = self.fields.iter().filter(|field| !known.contains(&field.name));
        strange.map(|field| Err(self.unknown(field, known))).fold(Ok(()), Result::and)
    }

    /// Every key below this table with its place and what was written: `parameters.id.bounds`.
    pub(super) fn spots(&self) -> impl Iterator<Item = (String, Place, String)> {
        let mut spots = Vec::new();
        let mut open: Vec<(String, &Spanned<DeValue<'_>>, Place)> =
            self.fields.iter().map(|f| (f.name.to_owned(), f.value, f.place.clone())).collect();
        while let Some((name, value, place)) = open.pop() {
            if let DeValue::Table(table) = value.get_ref() {
                open.extend(table.iter().map(|(key, value)| {
                    let place = self.diagnostics.place(key.span().start);
                    (format!("{name}.{}", key.get_ref()), value, place)
                }));
            }
            spots.push((name, place, self.diagnostics.excerpt(value.span())));
        }
        spots.into_iter()
    }
}

impl<'a> Field<'a> {
    /// The key alone.
    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// The value as TOML has it.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Notes that the value is not good.
    pub(super) fn refuse(&self, problem: impl Into<String>, fix: impl Into<String>) -> Reported {
        self.diagnostics.report(ConfigError::Route {
            place: self.place.clone(),
            what: format!("{} = {}", self.path, self.diagnostics.excerpt(self.value.span())),
            problem: problem.into(),
            fix: fix.into(),
        })
    }

    /// Whether it is true.
    pub(super) fn flag(&self) -> Result<bool, Reported> {
        match self.value() {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.refuse("neither true nor false", "write true, or take it away")),
        }
    }

    /// A text.
    pub(super) fn text(&self) -> Result<String, Reported> {
        match self.value() {
            DeValue::String(text) => Ok(text.to_string()),
            _ => Err(self.refuse("not a text", "put it in quotes")),
        }
    }

    /// A whole number.
    pub(super) fn integer(&self) -> Result<i64, Reported> {
        match self.value() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_err(|_| self.refuse("beyond 64 bits", "write a smaller number")),
            _ => Err(self.refuse("not a whole number", "write one such as 200, without quotes")),
        }
    }

    /// Items of a list, each with the place of the key.
    pub(super) fn list(&self) -> Result<Vec<Self>, Reported> {
        let DeValue::Array(items) = self.value() else {
            return Err(self.refuse("not a list", "put it in brackets: [..]"));
        };
        let item = |value: &'a Spanned<DeValue<'a>>| Self {
            diagnostics: self.diagnostics,
            path: self.path.clone(),
            name: self.name,
            place: self.diagnostics.place(value.span().start),
            value,
        };
        Ok(items.iter().map(item).collect())
    }

    /// A table.
    pub(super) fn table(&self) -> Result<Table<'a>, Reported> {
        match self.value() {
            DeValue::Table(table) => {
                Ok(Table::new(self.diagnostics, self.path.clone(), self.place.clone(), table))
            }
            _ => Err(self.refuse("not a table", "put it in braces: { name = value }")),
        }
    }

    /// Names and their texts, in the order of the file.
    pub(super) fn texts(&self) -> Result<Vec<(String, String)>, Reported> {
        let table = self.table()?;
        let one = |field: &Field<'_>| Ok((field.name.to_owned(), field.text()?));
        // All of them are read before one is asked about, so that all errors are noted.
        let texts: Vec<Result<_, Reported>> = table.fields.iter().map(one).collect();
        texts.into_iter().collect()
    }

    /// A list of texts.
    pub(super) fn words(&self) -> Result<Vec<String>, Reported> {
        let words: Vec<Result<_, Reported>> = self.list()?.iter().map(Self::text).collect();
        words.into_iter().collect()
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, Reported> {
        let text = self.text()?;
        if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text) {
            return Ok(*meaning);
        }
        Err(self.strange(&text, "not understood", "write", words.iter().map(|(word, _)| *word)))
    }

    /// Notes that `name` is none of `known`.
    pub(super) fn strange<'n>(
        &self,
        name: &str,
        problem: &str,
        list: &str,
        known: impl Iterator<Item = &'n str> + Clone,
    ) -> Reported {
        let fix = match nearest(name, known.clone()) {
            Some(nearest) => format!("did you mean {nearest:?}?"),
            None => format!("{list} {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.refuse(problem, fix)
    }
}
