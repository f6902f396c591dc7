//! Site configurations to test with: single routes, and the workload of deploy/arena.toml, with which the
//! simulator's tests serve too.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use handlers::config::{
    Bounds, CacheConfig, Compress, Database, DatasetConfig, FilesConfig, FixedConfig, Kind,
    Outside, Parameter, QueryConfig, RouteConfig, Source, Value, ValueKind,
};
use handlers::{Methods, Named, SiteConfig, SourceFile, sample};
use http1::coding::Coding;
use http1::{Method, Status};

/// A route for GET, with nothing special about it.
pub(crate) fn route(path: &str, kind: Kind) -> RouteConfig {
    RouteConfig {
        name: None,
        path: path.into(),
        below: matches!(kind, Kind::Files(_)),
        methods: Methods::GET,
        headers: Vec::new(),
        compress: Compress::Off,
        kind,
    }
}

/// Routes as a config.
pub(crate) fn routes(routes: impl IntoIterator<Item = RouteConfig>) -> SiteConfig {
    SiteConfig { routes: routes.into_iter().collect() }
}

pub(crate) fn fixed(body: &str) -> Kind {
    Kind::Fixed(FixedConfig {
        status: Status::S200,
        media_type: "text/plain".into(),
        body: body.into(),
        etag: None,
    })
}

pub(crate) fn files(files: Vec<SourceFile>) -> Kind {
    Kind::Files(FilesConfig {
        files,
        index: None,
        cache_control: Some("public, max-age=300".into()),
    })
}

/// All items with their totals.
pub(crate) fn all_items(items: Named<Vec<u8>>) -> DatasetConfig {
    DatasetConfig {
        items,
        computed: vec![("total".into(), "price * quantity".into())],
        count: None,
        parameters: Vec::new(),
        body: BODY.into(),
    }
}

/// The first items with their totals: `count` in the path, `m` in the query.
pub(crate) fn some_items(items: Named<Vec<u8>>) -> DatasetConfig {
    DatasetConfig {
        computed: vec![("total".into(), "price * quantity * m".into())],
        count: Some("count".into()),
        parameters: vec![
            bounded(integer("count", Source::Path), 1, 50),
            Parameter { default: Some(Value::Integer(1)), ..integer("m", Source::Query) },
        ],
        ..all_items(items)
    }
}

pub(crate) fn integer(name: &str, from: Source) -> Parameter {
    Parameter {
        name: name.into(),
        from,
        kind: ValueKind::Integer,
        default: None,
        bounds: None,
        outside: Outside::Refuse,
    }
}

pub(crate) fn bounded(parameter: Parameter, least: i64, greatest: i64) -> Parameter {
    Parameter { bounds: Some(Bounds::integers(least, greatest)), ..parameter }
}

/// One row by its `id`.
pub(crate) fn one_row(parameters: Vec<Parameter>) -> QueryConfig {
    QueryConfig {
        database: Database::Postgres,
        statement: "statement".into(),
        sql: placeholders(parameters.len()),
        arguments: parameters.iter().map(|parameter| parameter.name.clone()).collect(),
        parameters,
        row: r#"{"id": id, "name": name}"#.into(),
        body: None,
        status: Status::S200,
        unavailable: None,
        cache: None,
        invalidates: Vec::new(),
        writes: false,
    }
}

fn placeholders(count: usize) -> String {
    let all: Vec<_> = (1..=count).map(|at| format!("${at}")).collect();
    format!("SELECT {}", all.join(", "))
}

/// The sample's files, made once.
pub(crate) fn sample_files() -> &'static [SourceFile] {
    static FILES: OnceLock<Vec<SourceFile>> = OnceLock::new();
    FILES.get_or_init(sample::files)
}

/// The routes of deploy/arena.toml.
pub(crate) fn arena() -> SiteConfig {
    let precomputed = Compress::Precomputed(vec![Coding::Br, Coding::Gzip]);
    let etag = |body: &str| {
        Kind::Fixed(FixedConfig {
            status: Status::S200,
            media_type: "text/plain".into(),
            body: body.into(),
            etag: Some("AOK".into()),
        })
    };
    let dataset = |path: &str, plan: DatasetConfig| RouteConfig {
        compress: precomputed.clone(),
        ..route(path, Kind::Dataset(plan))
    };
    let post = Methods::POST;
    let id = |from| bounded(integer("id", from), 1, 2_147_483_647);
    let query = |path: &str, methods: Methods, plan: QueryConfig| RouteConfig {
        methods,
        ..route(path, Kind::Query(Box::new(plan)))
    };
    let in_list = |plan: QueryConfig| QueryConfig { body: Some(BODY.into()), ..plan };
    let price = |name: &str, value| Parameter {
        default: Some(Value::Integer(value)),
        ..integer(name, Source::Query)
    };
    let text = |name: &str| Parameter {
        kind: ValueKind::Text,
        default: Some(Value::Text("test".into())),
        ..integer(name, Source::Body)
    };
    let drops = |plan: QueryConfig| QueryConfig { invalidates: vec!["item".into()], ..plan };
    let cache = CacheConfig { lifetime: Duration::from_millis(200), header: "X-Cache".into() };
    let item = QueryConfig { cache: Some(cache), ..one_row(vec![id(Source::Path)]) };
    let sqlite = QueryConfig {
        database: Database::Sqlite(PathBuf::from("benchmark.db")),
        sql: "SELECT ?1, ?2".into(),
        ..in_list(one_row(vec![price("min", 10), price("max", 50)]))
    };
    routes([
        route("/", fixed("Pollux is running.\n")),
        route("/pipeline", fixed("ok")),
        route("/caching", etag("OK")),
        RouteConfig { methods: post.union(Methods::GET), ..route("/baseline11", Kind::Sum) },
        route("/baseline2", Kind::Sum),
        RouteConfig { methods: post, ..route("/upload", Kind::Count) },
        dataset("/json", all_items(sample::dataset())),
        dataset("/json/{count}", some_items(sample::dataset())),
        route("/static/", files(sample_files().to_vec())),
        query("/db", Methods::GET, sqlite),
        query("/async-db", Methods::GET, in_list(one_row(vec![price("min", 10)]))),
        query("/crud/items", post, drops(one_row(vec![id(Source::Body), text("name")]))),
        RouteConfig { name: Some("item".into()), ..query("/crud/items/{id}", Methods::GET, item) },
        query(
            "/crud/items/{id}",
            Methods::NONE.with(Method::Put),
            drops(one_row(vec![id(Source::Path), text("name")])),
        ),
    ])
}

const BODY: &str = r#"{"items": rows, "count": count}"#;
