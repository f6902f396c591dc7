//! Blueprints that cannot be a site, and memory that cannot hold one.

use std::thread;
use std::time::Duration;

use handlers::config::{
    Bounds, Compress, DatasetConfig, FilesConfig, FixedConfig, Kind, Outside, Parameter,
    QueryConfig, RedirectConfig, RouteConfig, Source, Value, ValueKind,
};
use handlers::{
    BuildError, BuildProgress, BuildReadings, Bytes, Methods, RouteError, RouteErrorKind,
    SettingError, Site, SiteConfig, SiteHandle, SourceFile,
};
use http1::coding::Coding;
use http1::{Method, Status};

use crate::configs::{
    all_items, bounded, files, fixed, integer, one_row, route, routes, some_items,
};
use crate::sources::{data, file};

fn vec_of(size: usize) -> Box<dyn Bytes> {
    Box::new(vec![0_u8; size])
}

fn fault(config: &SiteConfig) -> RouteError {
    let mut errors = faults(config);
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

fn faults(config: &SiteConfig) -> Vec<RouteError> {
    match Site::build(config, vec_of).expect_err("an unsound configuration") {
        BuildError::Routes(errors) => errors,
        other @ (BuildError::Memory { .. } | BuildError::Cancelled) => panic!("{other}"),
    }
}

/// Key, value and problem of the last of these routes.
fn setting_error(configs: impl IntoIterator<Item = RouteConfig>) -> (String, String, String) {
    let config = routes(configs);
    let RouteError { route, kind } = fault(&config);
    match kind {
        RouteErrorKind::Setting(SettingError { key, value, problem, fix }) => {
            assert_eq!(route, config.routes.len() - 1, "{problem}");
            assert!(!fix.is_empty(), "{problem}");
            (key, value, problem)
        }
        other => panic!("{other}"),
    }
}

fn check(plan: RouteConfig, key: &str, value: &str, problem: &str) {
    let (found_key, found_value, found) = setting_error([plan]);
    assert_eq!((&*found_key, &*found_value, &*found), (key, value, problem));
}

const ONE: &str = r#"[{"price":1,"quantity":1}]"#;

fn dataset(text: &str) -> SiteConfig {
    routes([route("/d", Kind::Dataset(all_items(data(text))))])
}

#[test]
fn a_fault_of_the_data_set_is_located() {
    assert_eq!(
        fault(&dataset("[\n{\"price\":1,\n\"quantity\":}]")).to_string(),
        "/data/dataset.json: line 3, column 12: expected JSON, found expected value"
    );
    assert_eq!(
        fault(&dataset(r#"[{"price":1,"quantity":1},{"price":"abc","quantity":1}]"#)).to_string(),
        r#"/data/dataset.json: item 2: key "price": expected a number, found "abc""#
    );
}

#[test]
fn a_file_name_must_be_a_path() {
    let long = "x".repeat(1017);
    let message =
        |files_: Vec<SourceFile>| fault(&routes([route("/static/", files(files_))])).to_string();
    for (name, problem) in [
        ("", "expected segments separated by one slash each, found an empty one"),
        ("/a", "expected segments separated by one slash each, found an empty one"),
        ("a//b", "expected segments separated by one slash each, found an empty one"),
        ("a/", "expected segments separated by one slash each, found an empty one"),
        ("../a", "expected a path below the directory, found a dot segment"),
        ("a/./b", "expected a path below the directory, found a dot segment"),
        ("a\\b", "expected no control character and no backslash, found one"),
        ("a\0", "expected no control character and no backslash, found one"),
        (&long, "expected a path of at most 1024 bytes, found 1025"),
    ] {
        assert_eq!(message(vec![file(name, "")]), format!("file \"{name}\": {problem}"));
    }
    let twice = vec![file("a", ""), file("b", ""), file("a", "")];
    let (key, value, problem) = setting_error([route("/static/", files(twice))]);
    assert_eq!((&*key, &*value, &*problem), ("path", "/static/", "/static/a is there twice"));
}

#[test]
fn a_stale_sibling_is_found_out() {
    let message = |file: SourceFile| fault(&routes([route("/s/", files(vec![file]))])).to_string();
    let mut stale = file("a.css", "some text");
    stale.gzip = Some(b"not gzip at all".to_vec());
    assert_eq!(
        message(stale),
        "file \"a.css\": expected its .gz sibling to unpack to the same bytes, \
         found no such stream"
    );
    let mut stale = file("a.css", "some text");
    let mut squeezed = Vec::new();
    brotli::BrotliCompress(&mut &b"some news"[..], &mut squeezed, &Default::default()).expect("br");
    stale.brotli = Some(squeezed);
    assert_eq!(
        message(stale),
        "file \"a.css\": expected its .br sibling to unpack to the same bytes, \
         found a difference at byte 5"
    );
}

#[test]
fn whoever_waits_sees_how_far_it_is() {
    let some = files(vec![file("a.css", "body { color: red }"), file("b.bin", &"b".repeat(1_000))]);
    let items = Kind::Dataset(all_items(data(ONE)));
    let config = routes([route("/d", items), route("/s/", some), route("/", fixed("hello"))]);
    let progress = BuildProgress::default();
    assert_eq!(progress.readings(), BuildReadings::default());
    let mut before = BuildReadings::default();
    let site = Site::build_watched(&config, &progress, |size| {
        before = progress.readings();
        vec_of(size)
    });
    site.expect("sound");
    let bytes = (ONE.len() + 19 + 1_000 + 5) as u64;
    let all = BuildReadings { files: 4, bytes, files_total: 4, bytes_total: bytes };
    assert_eq!(before, all, "what is left is to lay it down");
}

#[test]
fn a_site_that_nobody_wants_is_not_made() {
    let progress = BuildProgress::default();
    progress.cancel();
    let built = Site::build_watched(&dataset(ONE), &progress, |_| panic!("no memory is asked for"));
    assert_eq!(built.expect_err("cancelled"), BuildError::Cancelled);
}

#[test]
fn a_compile_is_cancelled_in_the_middle() {
    let text = "words that take a while, and others: ".repeat(2_000);
    let many = (0..2_000).map(|at| file(&format!("{at}.txt"), &text));
    let mut one = route("/s/", files(many.collect()));
    one.compress = Compress::Precomputed(vec![Coding::Br, Coding::Gzip]);
    let (config, progress) = (routes([one]), BuildProgress::default());
    let built = thread::scope(|scope| {
        scope.spawn(|| {
            while progress.readings().files < 3 {
                thread::sleep(Duration::from_millis(1));
            }
            progress.cancel();
        });
        Site::build_watched(&config, &progress, vec_of)
    });
    assert_eq!(built.expect_err("cancelled"), BuildError::Cancelled);
    let BuildReadings { files, files_total, .. } = progress.readings();
    assert!(files < files_total, "{files} of {files_total} were made");
}

#[test]
fn memory_is_asked_for_once_at_its_size() {
    let mut asked = Vec::new();
    let sound = dataset(ONE);
    Site::build(&sound, |size| {
        asked.push(size);
        vec_of(size)
    })
    .expect("sound");
    assert_eq!(asked.len(), 1);
    let error = Site::build(&sound, |size| vec_of(size - 1)).expect_err("too little");
    assert_eq!(error, BuildError::Memory { expected: asked[0], found: asked[0] - 1 });
    Site::build(&sound, |size| vec_of(size + 4096)).expect("more than asked for is fine");
}

#[test]
fn a_site_is_shared_between_cores_and_asks_travel() {
    fn shared<T: Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<Site>();
    shared::<SiteHandle>();
    shared::<handlers::RequestBufferPool>();
    sent::<handlers::Offload>();
    sent::<handlers::Response>();
    sent::<handlers::RenderedResponse>();
}

#[test]
fn an_empty_blueprint_is_a_site_where_nothing_is() {
    let site = crate::client::build(&SiteConfig::default());
    assert_eq!(crate::client::get(&site, "/", "").status, 404);
    let server = crate::client::send(&site, "OPTIONS", "*", "");
    assert_eq!((server.status, server.field("Allow")), (204, Some("OPTIONS")));
}

#[test]
fn the_message_of_a_route_says_everything() {
    let error = fault(&routes([route("/", fixed("ok")), route("a", fixed("ok"))]));
    assert_eq!(error.to_string(), "route 1: path = a: does not begin with a slash; write /NAME");
}

#[test]
fn all_wrong_routes_are_found_at_once() {
    let errors = faults(&routes([
        route("/ok", fixed("ok")),
        route("a", fixed("ok")),
        route("/d", Kind::Dataset(all_items(data("{}")))),
        route("/d", Kind::Sum),
        RouteConfig { headers: vec![("X".into(), "x".repeat(1024))], ..route("/e", fixed("ok")) },
        route("/q", Kind::Query(Box::new(QueryConfig { row: "[".into(), ..one_row(vec![]) }))),
    ]));
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    let (query, texts) = texts.split_last().expect("some");
    assert!(query.starts_with("route 5: row = the end: line 1, column 2: expected"), "{query}");
    assert_eq!(
        texts,
        [
            "route 1: path = a: does not begin with a slash; write /NAME",
            "/data/dataset.json: expected an array of items, found {}",
            "route 3: path = /d: GET /d is answered by another route already (number 3); \
             leave one of them out, or let their methods differ",
            "route 4: headers = : a response has a head of 1180 bytes, 1024 at most fit; \
             shorten or leave out some fields",
        ]
    );
    assert_eq!(errors.iter().map(|error| error.route).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
}

#[test]
fn paths_do_not_collide() {
    let put = |plan| RouteConfig { methods: Methods::NONE.with(Method::Put), ..plan };
    for (one, other, problem) in [
        (
            route("/a", fixed("")),
            route("/a", fixed("")),
            "GET /a is answered by another route already (number 1)",
        ),
        (
            route("/a/{x}", fixed("")),
            route("/a/{x}", Kind::Sum),
            "GET /a/{x} is answered by another route already (number 1)",
        ),
        (
            route("/a/{x}", fixed("")),
            put(route("/a/{y}", fixed(""))),
            "/a/{x} differs by the names of its parameters only",
        ),
        (
            route("/s/", files(vec![file("a.js", "")])),
            route("/s/a.js", fixed("")),
            "GET /s/a.js is answered by another route already (number 1)",
        ),
        (
            route("/s/", files(vec![])),
            RouteConfig { below: true, ..route("/s/", fixed("")) },
            "GET /s/ is answered by another route already (number 1)",
        ),
    ] {
        let (key, value, found) = setting_error([one, other.clone()]);
        assert_eq!((&*key, &*value, &*found), ("path", &*other.path, problem));
    }
    let sound = routes([
        route("/a", fixed("")),
        put(route("/a", fixed(""))),
        route("/a/{x}", fixed("")),
        put(route("/a/{x}", fixed(""))),
        route("/{x}/a", fixed("")),
        route("/a/", fixed("")),
        RouteConfig { below: true, ..route("/a/", fixed("")) },
    ]);
    Site::build(&sound, vec_of).expect("all different");
}

#[test]
fn methods_are_those_of_the_kind() {
    let with = |plan, methods| RouteConfig { methods, ..plan };
    let problem = "a count of the body does not answer this";
    check(route("/u", Kind::Count), "methods", "GET", problem);
    let post = Methods::POST;
    for kind in [files(vec![]), Kind::Dataset(all_items(data(ONE)))] {
        let (key, value, _) = setting_error([with(route("/x/", kind), post)]);
        assert_eq!((&*key, &*value), ("methods", "POST"));
    }
    check(
        with(route("/s", Kind::Sum), Methods::NONE.with(Method::Put)),
        "methods",
        "PUT",
        "a sum does not answer this",
    );
    let options = Methods::NONE.with(Method::Options);
    check(
        with(route("/q", Kind::Query(Box::new(one_row(vec![])))), options),
        "methods",
        "OPTIONS",
        "a statement does not answer this",
    );
    check(with(route("/n", fixed("")), Methods::NONE), "methods", "[]", "no method is left");
}

#[test]
fn extra_fields_are_fields_and_not_our_own() {
    let with = |kind: Kind, name: &str, value: &str| RouteConfig {
        headers: vec![(name.into(), value.into())],
        ..route("/x/", kind)
    };
    let own = "the server writes this field itself";
    let no_value = "the value is no field value";
    for (name, value, problem) in [
        ("", "v", "the name is no field name"),
        ("X Y", "v", "the name is no field name"),
        ("X:", "v", "the name is no field name"),
        ("X\r\nY", "v", "the name is no field name"),
        ("X-\u{e9}", "v", "the name is no field name"),
        ("X", "a\r\nY: b", no_value),
        ("X", "a\u{0}", no_value),
        ("X", " a", no_value),
        ("X", "a\t", no_value),
        ("X", "caf\u{e9}", no_value),
        ("date", "v", own),
        ("Content-Length", "1", own),
        ("CONNECTION", "close", own),
        ("Transfer-Encoding", "chunked", own),
        ("Content-Type", "text/css", own),
    ] {
        let (key, found, told) = setting_error([with(fixed("ok"), name, value)]);
        assert_eq!((&*key, &*found, &*told), (&*format!("headers.{name}"), value, problem));
    }
    let location = Kind::Redirect(RedirectConfig { status: Status::S301, location: "/".into() });
    for (kind, name) in [
        (files(vec![]), "cache-control"),
        (files(vec![]), "ETag"),
        (files(vec![]), "X-Content-Type-Options"),
        (location, "Location"),
    ] {
        assert_eq!(setting_error([with(kind, name, "v")]).2, own, "{name}");
    }
    Site::build(&routes([with(fixed("ok"), "Cache-Control", "no-store")]), vec_of).expect("sound");
    Site::build(&routes([with(fixed("ok"), "X-Empty", "")]), vec_of).expect("sound");
    let (key, _, problem) = setting_error([with(fixed("ok"), "X-Long", &"x".repeat(1000))]);
    assert_eq!(key, "headers");
    assert!(problem.ends_with(" bytes, 1024 at most fit"), "{problem}");
}

#[test]
fn fixed_bodies_and_redirections_are_sound() {
    let kind = |status, media_type: &str, body: &str, etag: Option<&str>| {
        let (body, etag) = (body.into(), etag.map(Into::into));
        route("/x", Kind::Fixed(FixedConfig { status, media_type: media_type.into(), body, etag }))
    };
    let text = "text/plain";
    for media_type in ["", "text", "text/", "/plain", "te xt/plain", "text/plain\r\nX: y"] {
        let problem = "this is no media type";
        check(kind(Status::S200, media_type, "", None), "type", media_type, problem);
    }
    for tag in ["a\"b", "a b", "a\n", "\u{e9}"] {
        check(kind(Status::S200, text, "", Some(tag)), "etag", tag, "this is no entity-tag");
    }
    let problem = "only responses of status 200 have an entity-tag here";
    check(kind(Status::S404, text, "", Some("t")), "etag", "t", problem);
    let problem = "this answers a condition or a range";
    check(kind(Status::S304, text, "", None), "status", "304", problem);
    check(kind(Status::S206, text, "x", None), "status", "206", problem);
    check(kind(Status::S416, text, "x", None), "status", "416", problem);
    check(kind(Status::S302, text, "x", None), "status", "302", "this is a redirection");
    check(kind(Status::S405, text, "x", None), "status", "405", "the server says this itself");
    let problem = "a response of this status has no body";
    check(kind(Status::S204, text, "x", None), "status", "204", problem);
    let to = |status, location: &str| {
        route("/x", Kind::Redirect(RedirectConfig { status, location: location.into() }))
    };
    for location in ["", "/a b", "/caf\u{e9}", "/a\r\nX: y", "/<x>", "/\"x\""] {
        check(to(Status::S302, location), "to", location, "this is no reference");
    }
    check(to(Status::S200, "/"), "status", "200", "this is no redirection");
}

#[test]
fn files_are_below_a_directory() {
    let plan = RouteConfig { below: false, ..route("/s", files(vec![])) };
    check(plan, "path", "/s", "files are what is below a path");
    let with = |index: Option<&str>, cache_control: Option<&str>| {
        let (index, cache_control) = (index.map(Into::into), cache_control.map(Into::into));
        route("/s/", Kind::Files(FilesConfig { files: vec![], index, cache_control }))
    };
    check(with(Some("a/b"), None), "index", "a/b", "this is no name of a file");
    check(with(Some(""), None), "index", "", "this is no name of a file");
    check(with(None, Some("a\nb")), "cache_control", "a\nb", "the value is no field value");
}

#[test]
fn codings_are_for_bodies_that_have_them() {
    let coded = |kind, compress| RouteConfig { compress, ..route("/x/", kind) };
    let made = |codings: &[Coding]| Compress::Precomputed(codings.to_vec());
    let each = |codings: &[Coding]| Compress::PerRequest(codings.to_vec());
    let br = &[Coding::Br];
    let problem = "responses of this kind are too short for it";
    check(coded(Kind::Sum, made(br)), "compress", "", problem);
    let to = Kind::Redirect(RedirectConfig { status: Status::S301, location: "/".into() });
    check(coded(to, each(br)), "compress", "", problem);
    let problem = "the body is the same for every request";
    check(coded(fixed("ok"), each(br)), "compress", "per-request", problem);
    let problem = "a file is the same for every request";
    check(coded(files(vec![]), each(br)), "compress", "per-request", problem);
    let twice = &[Coding::Br, Coding::Gzip, Coding::Br];
    check(coded(fixed("ok"), made(twice)), "compress", "br", "the coding is there twice");
}

#[test]
fn names_are_given_once_and_lead_somewhere() {
    let named = |name: &str, plan| RouteConfig { name: Some(name.into()), ..plan };
    let (key, value, problem) =
        setting_error([named("a", route("/a", fixed(""))), named("a", route("/b", fixed("")))]);
    assert_eq!((&*key, &*value, &*problem), ("name", "a", "another route is called so"));
    let drops = |name: &str| {
        let plan = QueryConfig { invalidates: vec![name.into()], ..one_row(vec![]) };
        route("/drop", Kind::Query(Box::new(plan)))
    };
    let cached = named("item", route("/kept", fixed("")));
    let (key, value, problem) = setting_error([cached.clone(), drops("itme")]);
    assert_eq!((&*key, &*value, &*problem), ("invalidates", "itme", "no route is called so"));
    let (.., problem) = setting_error([cached, drops("item")]);
    assert_eq!(problem, "nothing of this route is kept");
}

#[test]
fn parameters_of_a_path_are_declared_where_a_kind_has_parameters() {
    let query = Kind::Query(Box::new(one_row(vec![integer("id", Source::Path)])));
    let check = |plan: RouteConfig, problem: &str| {
        let (key, value, found) = setting_error([plan.clone()]);
        assert_eq!((&*key, &*value, &*found), ("path", &*plan.path, problem));
    };
    check(route("/{id}/{part}", query), "{part} is no parameter");
    check(route("/{x}", Kind::Dataset(all_items(data(ONE)))), "{x} is no parameter");
}

fn some(change: impl FnOnce(&mut DatasetConfig)) -> RouteConfig {
    let mut plan = some_items(data(ONE));
    change(&mut plan);
    RouteConfig {
        compress: Compress::Precomputed(vec![Coding::Br]),
        ..route("/json/{count}", Kind::Dataset(plan))
    }
}

#[test]
fn parameters_of_a_data_set_are_integers_that_matter() {
    let query = |name: &str| integer(name, Source::Query);
    let check = |plan: RouteConfig, key: &str, problem: &str| {
        let (found, _, told) = setting_error([plan]);
        assert_eq!((&*found, &*told), (key, problem));
    };
    check(some(|plan| plan.count = Some("n".into())), "count", "no parameter has this name");
    check(some(|plan| plan.parameters.push(query("x"))), "parameters.x", "nothing depends on it");
    check(
        some(|plan| plan.parameters.push(query("m"))),
        "parameters",
        "two parameters have this name",
    );
    check(
        some(|plan| plan.parameters[1].kind = ValueKind::Text),
        "parameters.m.type",
        "a data set has integers only",
    );
    check(
        some(|plan| plan.parameters[1].from = Source::Body),
        "parameters.m.from",
        "a data set reads no body",
    );
    check(
        some(|plan| plan.parameters[0].bounds = Some(Bounds::integers(-1, 5))),
        "parameters.count.bounds",
        "no count is below 0",
    );
    check(
        some(|plan| plan.parameters[0].bounds = Some(Bounds::integers(2, 5))),
        "parameters.count.bounds",
        "there are 1 items only",
    );
    check(some(|plan| plan.parameters[0].from = Source::Query), "path", "{count} is no parameter");
    let far = |name: &str| Parameter {
        outside: Outside::Refuse,
        default: Some(Value::Integer(20)),
        ..bounded(query(name), 20, 30)
    };
    check(
        some(|plan| plan.parameters[1] = far("m")),
        "compress",
        "no multiplier from 1 to 8 is within the bounds",
    );
    check(
        some(|plan| {
            plan.parameters.push(query("k"));
            plan.computed.push(("other".into(), "price * k".into()));
        }),
        "compress",
        "more than a count and one other parameter: too many bodies to make",
    );
    check(
        some(|plan| plan.parameters.extend(["a", "b", "c"].map(query))),
        "parameters",
        "a data set has at most 4 of them",
    );
    check(
        some(|plan| plan.computed[0].1 = "price * m * count".into()),
        "computed.total",
        "two parameters are multiplied",
    );
    let (key, _, problem) = setting_error([some(|plan| plan.body = "{\"items\": row}".into())]);
    assert_eq!(key, "body");
    assert!(problem.contains("row"), "{problem}");
}

#[test]
fn a_stale_sibling_hides_no_other_error() {
    let stale = SourceFile { gzip: Some(b"no gzip".to_vec()), ..file("a.css", "text") };
    let errors = faults(&routes([
        route("/s/", files(vec![stale])),
        route("no slash", fixed("ok")),
        route("/s/a.css", fixed("ok")),
    ]));
    assert!(matches!(errors[0].kind, RouteErrorKind::File { .. }), "{errors:?}");
    let texts: Vec<_> = errors[1..].iter().map(ToString::to_string).collect();
    assert!(texts[0].starts_with("route 1: path = no slash: "), "{texts:?}");
    assert!(texts[1].starts_with("route 2: path = /s/a.css: GET /s/a.css is "), "{texts:?}");
}

#[test]
fn too_many_bodies_are_not_made() {
    let many: Vec<_> = (0..3000).map(|_| r#"{"price":1,"quantity":1}"#).collect();
    let many = data(&format!("[{}]", many.join(",")));
    let (key, _, problem) = setting_error([some(|plan| {
        plan.items = many;
        plan.parameters[0].bounds = None;
    })]);
    assert_eq!(key, "compress");
    assert!(problem.starts_with("24008 bodies of "), "{problem}");
}
