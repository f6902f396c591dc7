//! What a site is made from: routes as an operator configured them, with every file already read by
//! whoever may do I/O.
//!
//! The shape is checked by the types; what the texts mean (templates, formulas, data) is checked once by
//! [`Site::build`](crate::Site::build), whose errors name the route and the key.

use std::path::PathBuf;
use std::time::Duration;

use http1::Status;
use http1::coding::Coding;

use crate::methods::Methods;
use crate::source::{Named, SourceFile};

pub use crate::values::bounds::Bounds;
pub use crate::values::decimal::Decimal;

/// All routes of one site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SiteConfig {
    /// In the order of the configuration; errors name a route by its index here.
    pub routes: Vec<RouteConfig>,
}

/// One route. Several may share a path if their methods differ.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// What other routes call it (`invalidates`), and statistics; unique if given.
    pub name: Option<String>,
    /// As written: `/a` is exact, `/a/` and everything below it if `below` is set, `/a/{x}/b` takes
    /// one segment as the parameter `x`.
    pub path: String,
    /// Whether everything below `path` (which then ends in `/`) belongs to the route.
    pub below: bool,
    /// Methods it answers; HEAD is wherever GET is, OPTIONS is everywhere.
    pub methods: Methods,
    /// Extra fields of its responses, name and value.
    pub headers: Vec<(String, String)>,
    /// Content codings of its responses.
    pub compress: Compress,
    /// What it answers.
    pub kind: Kind,
}

/// When a body is compressed, and to what; the order is the preference among equals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compress {
    /// Never.
    Off,
    /// Once, when the site is built.
    Precomputed(Vec<Coding>),
    /// For each request, off the data path.
    PerRequest(Vec<Coding>),
}

/// What a route answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The same bytes always.
    Fixed(FixedConfig),
    /// Files of a directory, all in memory.
    Files(FilesConfig),
    /// Somewhere else.
    Redirect(RedirectConfig),
    /// The first items of a JSON array, with fields that are computed.
    Dataset(DatasetConfig),
    /// Sum of the integers of the query and, for POST, of the body.
    Sum,
    /// How many bytes of body came.
    Count,
    /// Rows of a database.
    Query(Box<QueryConfig>),
}

/// A [`Kind::Fixed`].
#[derive(Clone, Debug, PartialEq)]
pub struct FixedConfig {
    /// Status of the response.
    pub status: Status,
    /// Content-Type.
    pub media_type: String,
    /// Content.
    pub body: Vec<u8>,
    /// Entity-tag without its quotes: with it, `If-None-Match` is answered 304.
    pub etag: Option<String>,
}

/// A [`Kind::Files`].
#[derive(Clone, Debug, PartialEq)]
pub struct FilesConfig {
    /// The files, named from below the directory.
    pub files: Vec<SourceFile>,
    /// File that stands for a directory: `index.html`.
    pub index: Option<String>,
    /// Cache-Control of every file.
    pub cache_control: Option<String>,
}

/// A [`Kind::Redirect`].
#[derive(Clone, Debug, PartialEq)]
pub struct RedirectConfig {
    /// 301, 302, 303, 307 or 308.
    pub status: Status,
    /// The Location field.
    pub location: String,
}

/// A [`Kind::Dataset`].
#[derive(Clone, Debug, PartialEq)]
pub struct DatasetConfig {
    /// JSON text of an array of objects.
    pub items: Named<Vec<u8>>,
    /// Fields added to each item, in order: name, and a product such as `price * quantity * m` of
    /// keys of the item and at most one integer parameter.
    pub computed: Vec<(String, String)>,
    /// Parameter that says how many items; none: all of them.
    pub count: Option<String>,
    /// Parameters of the request, path and query only.
    pub parameters: Vec<Parameter>,
    /// Template of the whole body: `{"items": rows, "count": count}`.
    pub body: String,
}

/// A [`Kind::Query`].
#[derive(Clone, Debug, PartialEq)]
pub struct QueryConfig {
    /// Where it is asked.
    pub database: Database,
    /// Name of the statement, for messages and statistics.
    pub statement: String,
    /// SQL text, with `$1` or `?1` placeholders.
    pub sql: String,
    /// Parameters in the order of the placeholders.
    pub arguments: Vec<String>,
    /// Parameters of the request.
    pub parameters: Vec<Parameter>,
    /// Template of one row: `{"id": id, "active": bool(active), "tags": json(tags)}`.
    pub row: String,
    /// Template of the whole body, with `rows`, `count` and parameters: `{"items": rows}`. None: the
    /// response is the first row, and 404 without one.
    pub body: Option<String>,
    /// Status of a response with rows.
    pub status: Status,
    /// Body of a 200 while the database cannot be asked; none: 503.
    pub unavailable: Option<String>,
    /// How long a response may be given again, and the field that says whether it was.
    pub cache: Option<CacheConfig>,
    /// Routes whose cached responses with the same parameters are dropped by this one.
    pub invalidates: Vec<String>,
    /// The statement writes although the route answers GET: it is never sent twice for one request.
    pub writes: bool,
}

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Database {
    /// An SQLite file, opened for reading only.
    Sqlite(PathBuf),
    /// The PostgreSQL server of the configuration.
    Postgres,
}

/// How a response is cached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// From the response of the database on.
    pub lifetime: Duration,
    /// Name of the field that says `MISS` or `HIT`.
    pub header: String,
}

/// One parameter of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name: of the path segment, of the query pair, of the member of the JSON body.
    pub name: String,
    /// Where it stands.
    pub from: Source,
    /// What it may be.
    pub kind: ValueKind,
    /// What holds where it is missing; none: missing is refused with 400.
    pub default: Option<Value>,
    /// Least and greatest, for numbers; shortest and longest in characters, for text.
    pub bounds: Option<Bounds>,
    /// What happens to a number outside of them. Text outside is refused.
    pub outside: Outside,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A `{name}` segment of the path.
    Path,
    /// The query, `name=value`; the first counts.
    Query,
    /// A member of the JSON object in the body.
    Body,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Decimal digits with an optional sign, within 64 bits; leading zeros are fine.
    Integer,
    /// A decimal number, exact.
    Number,
    /// Text in UTF-8.
    Text,
    /// `true` or `false`.
    Boolean,
    /// Any JSON value, as its text.
    Json,
}

/// What happens to a number outside of its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    /// It is refused: 404 in a path, 400 elsewhere.
    Refuse,
    /// The nearest bound is matched.
    Clamp,
}

/// A value of a parameter, or of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON null, SQL NULL.
    Null,
    /// An integer.
    Integer(i64),
    /// A number.
    Number(Decimal),
    /// Text.
    Text(String),
    /// A truth value.
    Boolean(bool),
    /// JSON text.
    Json(String),
}
