//! Kinds of routes: which keys and methods each has.

use handlers::{Methods, nearest};
use strum::VariantArray as _;

use super::table::Table;
use crate::config::diagnostics::Reported;

/// What a route is, by the word of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub(super) enum KindName {
    Fixed,
    Files,
    Dataset,
    Sum,
    Count,
    Sqlite,
    Postgres,
    Redirect,
}

/// Key `kind`.
pub(super) fn read(table: &Table<'_>) -> Result<KindName, Reported> {
    let words: Vec<_> = KindName::ALL.iter().map(|kind| (kind.name(), *kind)).collect();
    if let Some(field) = table.field("kind") {
        return field.choice(&words);
    }
    let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
    Err(table.missing("kind", &format!("write kind = \"..\", one of {}", names.join(", "))))
}

/// Notes every key that is not one of the kind; of any kind, if the kind is not known.
pub(super) fn refuse_others(table: &Table<'_>, kind: Option<KindName>) -> Result<(), Reported> {
    let own = |kind: KindName| COMMON.iter().chain(kind.keys()).copied();
    let every = || KindName::ALL.iter().copied().flat_map(own);
    let known: Vec<&str> = kind.map_or_else(|| every().collect(), |kind| own(kind).collect());
    let mut result = Ok(());
    for field in table.fields().iter().filter(|field| !known.contains(&field.name())) {
        let owners: Vec<_> =
            KindName::ALL.iter().filter(|kind| kind.keys().contains(&field.name())).collect();
        result = Err(match (kind, owners.is_empty()) {
            (Some(kind), false) => {
                let names: Vec<_> = owners.iter().map(|kind| kind.name()).collect();
                field.refuse(
                    format!("a key of kind {}", names.join(", ")),
                    format!("this route is of kind {}: take it out, or change kind", kind.name()),
                )
            }
            _ if nearest(field.name(), known.iter().copied()).is_some() => {
                table.unknown(field, &known)
            }
            (Some(_), true) if nearest(field.name(), every()).is_some() => {
                table.unknown(field, &every().collect::<Vec<_>>())
            }
            _ => table.unknown(field, &known),
        });
    }
    result
}

impl KindName {
    pub(super) const ALL: &[Self] = Self::VARIANTS;

    /// The word.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }

    /// Keys besides [`COMMON`].
    pub(super) const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Fixed => &["status", "type", "body", "file", "etag", "compress", "codings"],
            Self::Files => &["directory", "index", "cache_control", "compress", "codings"],
            Self::Dataset => {
                &["file", "computed", "count", "parameters", "body", "compress", "codings"]
            }
            Self::Sum | Self::Count => &[],
            Self::Sqlite => DATABASES.split_last().expect("it has keys").1,
            Self::Postgres => DATABASES.split_first().expect("it has keys").1,
            Self::Redirect => &["to", "status"],
        }
    }

    /// Methods it has where none is named.
    pub(super) const fn default_methods(self) -> Methods {
        match self {
            Self::Count => Methods::POST,
            _ => Methods::GET,
        }
    }
}

/// Keys of kinds `sqlite` and `postgres` besides [`COMMON`]; the first is of `sqlite` only, the last of `postgres`:
/// an SQLite file is opened for reading.
const DATABASES: &[&str] = &[
    "database",
    "statement",
    "arguments",
    "parameters",
    "row",
    "body",
    "status",
    "unavailable",
    "cache",
    "cache_header",
    "invalidates",
    "compress",
    "codings",
    "writes",
];

/// Keys of every kind.
pub(super) const COMMON: &[&str] = &["name", "path", "methods", "kind", "headers"];
