//! The site that is served: one route for each profile.

use std::sync::Arc;

use handlers::config::{
    Bounds, Compress, DatasetConfig, FilesConfig, FixedConfig, Kind, Outside, Parameter,
    RouteConfig, Source, Value, ValueKind,
};
use handlers::{Methods, RequestBufferPool, Site, SiteConfig, SiteHandle, SourceFile, sample};
use http1::Status;

/// The workload's smallest response, a list of items made per request, and a file of 16 KiB.
pub(crate) fn site_handle() -> Arc<SiteHandle> {
    let config = SiteConfig {
        routes: vec![
            route("/pipeline", pipeline()),
            route("/json/{count}", Kind::Dataset(items())),
            RouteConfig { below: true, ..route("/static/", file()) },
        ],
    };
    let site = Site::build(&config, |len| Box::new(vec![0; len])).expect("all routes differ");
    Arc::new(SiteHandle::new(Arc::new(site), Arc::new(RequestBufferPool::new(1, 64))))
}

fn route(path: &str, kind: Kind) -> RouteConfig {
    RouteConfig {
        name: None,
        path: path.into(),
        below: false,
        methods: Methods::GET,
        headers: Vec::new(),
        compress: Compress::Off,
        kind,
    }
}

fn pipeline() -> Kind {
    Kind::Fixed(FixedConfig {
        status: Status::S200,
        media_type: "text/plain".into(),
        body: "ok".into(),
        etag: None,
    })
}

fn items() -> DatasetConfig {
    let integer = |name: &str, from| Parameter {
        name: name.into(),
        from,
        kind: ValueKind::Integer,
        default: Some(Value::Integer(1)),
        bounds: None,
        outside: Outside::Refuse,
    };
    let count = Parameter {
        default: None,
        bounds: Some(Bounds::integers(1, 50)),
        ..integer("count", Source::Path)
    };
    DatasetConfig {
        items: sample::dataset(),
        computed: vec![("total".into(), "price * quantity * m".into())],
        count: Some("count".into()),
        parameters: vec![count, integer("m", Source::Query)],
        body: r#"{"items": rows, "count": count}"#.into(),
    }
}

fn file() -> Kind {
    let file = SourceFile {
        name: "file.bin".into(),
        bytes: vec![b'x'; 16 * 1_024],
        modified_unix: 0,
        brotli: None,
        gzip: None,
    };
    Kind::Files(FilesConfig { files: vec![file], index: None, cache_control: None })
}
