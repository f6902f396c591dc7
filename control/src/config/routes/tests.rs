use std::collections::BTreeMap;
use std::time::Duration;

use handlers::Methods;
use handlers::config::{
    Bounds, CacheConfig, Compress, Database, Decimal, FilesConfig, FixedConfig, Outside, Parameter,
    RedirectConfig, Source, Value, ValueKind,
};
use http1::coding::Coding;
use http1::{Method, Status};

use super::*;
use crate::config::Config;

fn read(text: &str) -> Config {
    Config::parse(Path::new("p.toml"), text).expect("is TOML")
}

fn routes(text: &str) -> Vec<RouteEntry> {
    let config = read(text);
    assert_eq!(messages(text), "", "{text}");
    config.routes().entries.clone()
}

fn route(text: &str) -> RouteEntry {
    let mut routes = routes(&format!("[[route]]\n{text}"));
    assert_eq!(routes.len(), 1);
    routes.remove(0)
}

fn messages(text: &str) -> String {
    let lines: Vec<_> = read(text).errors().iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// What is said of a route with these keys. Its first key stands on line 2.
fn refusal(text: &str) -> String {
    messages(&format!("[[route]]\n{text}"))
}

const SQL: &str = "[statements]\none = \"SELECT id FROM t WHERE id = $1\"\n";

fn query(text: &str) -> String {
    format!(
        "{SQL}[[route]]\nkind = \"postgres\"\npath = \"/q\"\nstatement = \"one\"\n\
         row = '{{\"id\": id}}'\n{text}"
    )
}

#[test]
fn a_fixed_answer_has_its_bytes_or_a_file() {
    let plan = route("kind = \"fixed\"\npath = \"/a\"\ntype = \"text/plain\"\nbody = \"ok\"").plan;
    assert_eq!((plan.path.as_str(), plan.below, plan.name), ("/a", false, None));
    assert_eq!((plan.methods, plan.compress), (Methods::GET, Compress::Off));
    let Kind::Fixed(FixedConfig { status, media_type, body, etag }) = plan.kind else {
        panic!("is fixed")
    };
    assert_eq!((status, media_type.as_str(), etag), (Status::S200, "text/plain", None));
    assert_eq!(body, b"ok");
    let entry = route("kind = \"fixed\"\npath = \"/a\"\nfile = \"d/a.json\"\nstatus = 404");
    assert_eq!(entry.reads, Some(ContentPath { key: "file", path: "d/a.json".into() }));
    let Kind::Fixed(FixedConfig { status, media_type, .. }) = entry.plan.kind else {
        panic!("is fixed")
    };
    assert_eq!((status, media_type.as_str()), (Status::S404, "application/json"));
    let empty = route("kind = \"fixed\"\npath = \"/a\"\nstatus = 204");
    assert_eq!(empty.reads, None);
    assert_eq!(
        refusal("kind = \"fixed\"\npath = \"/a\""),
        "p.toml:1: route.body: is missing; write body = \"..\", or file = \"..\""
    );
    assert_eq!(
        refusal("kind = \"fixed\"\npath = \"/a\"\nbody = \"x\""),
        "p.toml:1: route.type: is missing; write type = \"text/plain\", say"
    );
    assert_eq!(
        refusal("kind = \"fixed\"\npath = \"/a\"\nbody = \"x\"\ntype = \"a/b\"\nfile = \"y\""),
        "p.toml:4: route.body = \"x\": there is a file, too; take one of the two out"
    );
    assert_eq!(
        refusal("kind = \"fixed\"\npath = \"/a\"\nstatus = 204\ntype = \"a/b\""),
        "p.toml:5: route.type = \"a/b\": 204 has no content; take it out"
    );
}

#[test]
fn files_are_what_is_below_a_directory() {
    let entry = route("kind = \"files\"\npath = \"/s/\"\ndirectory = \"static\"");
    assert_eq!(entry.reads, Some(ContentPath { key: "directory", path: "static".into() }));
    assert!(entry.plan.below);
    let Kind::Files(FilesConfig { files, index, cache_control }) = entry.plan.kind else {
        panic!("is files")
    };
    assert_eq!((files.len(), index.as_deref(), cache_control), (0, Some("index.html"), None));
    let bare = route("kind = \"files\"\npath = \"/s/\"\ndirectory = \"/srv/../www\"\nindex = \"\"");
    assert!(matches!(bare.plan.kind, Kind::Files(FilesConfig { index: None, .. })));
    assert_eq!(
        refusal("kind = \"files\"\npath = \"/s/\"\ndirectory = \"../secret\""),
        "p.toml:4: route.directory = \"../secret\": leads out of the data directory; write a path \
         within it, or one that begins with a slash"
    );
    assert_eq!(
        refusal("kind = \"files\"\npath = \"/s/\"\ndirectory = \"\""),
        "p.toml:4: route.directory = \"\": names nothing; write directory = \"static\", say"
    );
    assert_eq!(
        refusal("kind = \"files\"\npath = \"/s/\""),
        "p.toml:1: route.directory: is missing; write directory = \"static\""
    );
}

#[test]
fn a_data_set_has_computed_fields_in_their_order() {
    let entry = route(
        "kind = \"dataset\"\npath = \"/j/{n}\"\nfile = \"d.json\"\ncount = \"n\"\n\
         computed = { z = \"a * b\", a = \"a * m\" }\ncompress = \"precomputed\"\n\
         codings = [\"gzip\"]\n[route.parameters]\n\
         n = { from = \"path\", type = \"integer\", bounds = [1, 50] }",
    );
    assert_eq!(entry.reads, Some(ContentPath { key: "file", path: "d.json".into() }));
    assert_eq!(entry.plan.compress, Compress::Precomputed(vec![Coding::Gzip]));
    let Kind::Dataset(plan) = entry.plan.kind else { panic!("is a data set") };
    let pairs = [("z", "a * b"), ("a", "a * m")].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(plan.computed, pairs);
    assert_eq!(plan.count.as_deref(), Some("n"));
    assert_eq!(plan.body, "{\"items\": rows, \"count\": count}");
    assert_eq!(
        plan.parameters,
        [Parameter {
            name: "n".into(),
            from: Source::Path,
            kind: ValueKind::Integer,
            default: None,
            bounds: Some(Bounds::integers(1, 50)),
            outside: Outside::Refuse,
        }]
    );
    assert_eq!(
        refusal("kind = \"dataset\"\npath = \"/j\"\nfile = \"d\"\ncomputed = { a = 1, b = 2 }"),
        "p.toml:5: route.computed.a = 1: not a text; put it in quotes\n\
         p.toml:5: route.computed.b = 2: not a text; put it in quotes"
    );
}

#[test]
fn sums_counts_and_redirects_are_short() {
    assert_eq!(route("kind = \"sum\"\npath = \"/s\"").plan.kind, Kind::Sum);
    let count = route("kind = \"count\"\npath = \"/c\"").plan;
    assert_eq!((count.kind, count.methods), (Kind::Count, Methods::POST));
    let redirect = route("kind = \"redirect\"\npath = \"/r\"\nto = \"/x\"").plan;
    let location = "/x".to_owned();
    assert_eq!(redirect.kind, Kind::Redirect(RedirectConfig { status: Status::S308, location }));
    assert_eq!(
        refusal("kind = \"redirect\"\npath = \"/r\"\nstatus = 299\nto = 5"),
        "p.toml:4: route.status = 299: no status that is answered with; there are 200, 201, 202, \
         204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, \
         412, 413, 414, 415, 416, 417, 421, 422, 429, 431, 500, 501, 503, 504, 505\n\
         p.toml:5: route.to = 5: not a text; put it in quotes"
    );
    assert_eq!(
        refusal("kind = \"redirect\"\npath = \"/r\"\nstatus = \"301\"\nto = \"/\""),
        "p.toml:4: route.status = \"301\": not a whole number; write one such as 200, without quotes"
    );
}

#[test]
fn a_query_has_its_statement_and_its_cache() {
    let text = query(
        "arguments = [\"id\"]\ncache = \"200ms\"\nname = \"item\"\n\
                      [route.parameters]\nid = { from = \"query\", type = \"integer\" }",
    );
    let entry = routes(&text).remove(0);
    let Kind::Query(plan) = entry.plan.kind else { panic!("is a query") };
    assert_eq!((plan.database, plan.statement.as_str()), (Database::Postgres, "one"));
    assert_eq!(plan.sql, "SELECT id FROM t WHERE id = $1");
    assert_eq!((plan.status, plan.body, plan.unavailable), (Status::S200, None, None));
    let lifetime = Duration::from_millis(200);
    assert_eq!(plan.cache, Some(CacheConfig { lifetime, header: "X-Cache".into() }));
    let text = text.replace("\"postgres\"", "\"sqlite\"\ndatabase = \"b.db\"");
    let entry = routes(&text).remove(0);
    assert_eq!(entry.reads, Some(ContentPath { key: "database", path: "b.db".into() }));
    assert!(matches!(entry.plan.kind, Kind::Query(plan)
        if matches!(plan.database, Database::Sqlite(_))));
}

#[test]
fn a_get_may_say_that_it_writes() {
    let writes = |text: &str| {
        let Kind::Query(plan) = routes(text).remove(0).plan.kind else { panic!("is a query") };
        plan.writes
    };
    assert!(!writes(&query("")));
    assert!(writes(&query("writes = true")));
    assert_eq!(
        messages(&query("writes = \"yes\"")),
        "p.toml:8: route.writes = \"yes\": neither true nor false; write true, or take it away"
    );
    let text = query("writes = true").replace("\"postgres\"", "\"sqlite\"\ndatabase = \"b.db\"");
    assert!(messages(&text).contains("route.writes"), "a file is only read: {}", messages(&text));
}

#[test]
fn lifetimes_have_units_and_need_a_cache() {
    assert_eq!(
        messages(&query("cache = 200")),
        "p.toml:8: route.cache = 200: not a text; put it in quotes"
    );
    assert_eq!(
        messages(&query("cache = \"200\"")),
        "p.toml:8: route.cache = \"200\": not understood; write a number with its unit such as \
         \"50us\", \"100ms\" or \"10s\""
    );
    assert_eq!(
        messages(&query("cache = \"48h\"")),
        "p.toml:8: route.cache = \"48h\": too long; write 1ms to 24h"
    );
    assert_eq!(
        messages(&query("cache_header = \"X-C\"")),
        "p.toml:8: route.cache_header = \"X-C\": nothing is kept; add cache = \"1s\", say"
    );
}

#[test]
fn names_that_nobody_has_are_refused_with_the_nearest() {
    let text = query("").replace("statement = \"one\"", "statement = \"onne\"");
    assert_eq!(
        messages(&text),
        "p.toml:6: route.statement = \"onne\": no such statement; did you mean \"one\"?"
    );
    let text = query("").replace("statement = \"one\"", "statement = \"other\"");
    assert_eq!(
        messages(&text),
        "p.toml:6: route.statement = \"other\": no such statement; [statements] has one"
    );
    assert_eq!(
        messages(&text.replace(SQL, "")),
        "p.toml:4: route.statement = \"other\": there are no statements; add it to [statements]"
    );
    let other = "[[route]]\nkind = \"sum\"\npath = \"/s\"\nname = \"items\"\n";
    assert_eq!(
        messages(&format!("{}{other}", query("invalidates = [\"item\", \"items\"]\n"))),
        "p.toml:8: route.invalidates = \"item\": no route of this name; did you mean \"items\"?\n\
         p.toml:8: route.invalidates = \"items\": the route of p.toml:12 caches no responses; add cache \
         = \"1s\", say, there"
    );
    assert_eq!(
        messages(&query("invalidates = [\"item\"]")),
        "p.toml:8: route.invalidates = \"item\": no route has a name; give the route that is meant a \
         name"
    );
}

#[test]
fn keys_and_kinds_are_known_or_guessed() {
    assert_eq!(
        refusal("kind = \"fixd\"\npath = \"/a\"\nbdy = \"x\""),
        "p.toml:2: route.kind = \"fixd\": not understood; did you mean \"fixed\"?\n\
         p.toml:4: unknown key route.bdy; did you mean route.body?"
    );
    assert_eq!(
        refusal("kind = \"proxy\"\npath = \"/a\""),
        "p.toml:2: route.kind = \"proxy\": not understood; write fixed, files, dataset, sum, count, \
         sqlite, postgres, redirect"
    );
    assert_eq!(
        refusal("path = \"/a\""),
        "p.toml:1: route.kind: is missing; write kind = \"..\", one of fixed, files, dataset, sum, \
         count, sqlite, postgres, redirect"
    );
    assert_eq!(
        refusal("kind = \"sum\"\npath = \"/a\"\ndirectory = \"s\"\ncache = \"1s\""),
        "p.toml:4: route.directory = \"s\": a key of kind files; this route is of kind sum: take it \
         out, or change kind\n\
         p.toml:5: route.cache = \"1s\": a key of kind sqlite, postgres; this route is of kind sum: \
         take it out, or change kind"
    );
    assert_eq!(
        refusal("kind = \"sum\"\npath = \"/a\"\nmethod = [\"GET\"]\ncolour = 5"),
        "p.toml:4: unknown key route.method; did you mean route.methods?\n\
         p.toml:5: unknown key route.colour; route has name, path, methods, kind, headers"
    );
}

#[test]
fn methods_are_those_that_are_answered() {
    let methods = |text| format!("kind = \"fixed\"\npath = \"/a\"\nstatus = 204\nmethods = {text}");
    let plan = route(&methods("[\"GET\", \"DELETE\"]")).plan;
    assert_eq!(plan.methods, Methods::GET.with(Method::Delete));
    assert_eq!(method_names(plan.methods), "GET,DELETE");
    for (text, problem) in [
        ("[\"get\"]", "\"get\": no method that is answered; did you mean \"GET\"?"),
        (
            "[\"FETCH\"]",
            "\"FETCH\": no method that is answered; there are GET, POST, PUT, DELETE and PATCH",
        ),
        ("[\"HEAD\"]", "\"HEAD\": comes with GET; write \"GET\""),
        ("[\"OPTIONS\"]", "\"OPTIONS\": is answered everywhere; leave it out"),
        ("[\"PUT\", \"PUT\"]", "\"PUT\": is there twice; take one out"),
        ("[]", "[]: no method; write methods = [\"GET\"], or leave it out"),
        ("\"GET\"", "\"GET\": not a list; put it in brackets: [..]"),
        ("[5]", "5: not a text; put it in quotes"),
    ] {
        assert_eq!(refusal(&methods(text)), format!("p.toml:5: route.methods = {problem}"));
    }
}

#[test]
fn compression_has_its_words() {
    let fixed = |text: &str| format!("kind = \"files\"\npath = \"/a/\"\ndirectory = \"d\"\n{text}");
    let compress = |text| route(&fixed(text)).plan.compress;
    assert_eq!(compress("compress = \"off\""), Compress::Off);
    let both = vec![Coding::Br, Coding::Gzip];
    assert_eq!(compress("compress = \"per-request\""), Compress::PerRequest(both));
    for (text, problem) in [
        (
            "compress = \"on\"",
            "compress = \"on\": not understood; write off, precomputed, per-request",
        ),
        (
            "compress = \"precomputd\"",
            "compress = \"precomputd\": not understood; did you mean \"precomputed\"?",
        ),
        (
            "codings = [\"br\"]",
            "codings = [\"br\"]: nothing is compressed; add compress = \"precomputed\" or \
             \"per-request\", or take it out",
        ),
        (
            "codings = [\"zip\"]\ncompress = \"off\"",
            "codings = \"zip\": not understood; did you mean \"gzip\"?",
        ),
        (
            "codings = [\"br\", \"br\"]\ncompress = \"off\"",
            "codings = \"br\": is there twice; take one out",
        ),
        (
            "codings = []\ncompress = \"off\"",
            "codings = []: no coding; write codings = [\"br\", \"gzip\"], or leave it out",
        ),
    ] {
        assert_eq!(refusal(&fixed(text)), format!("p.toml:5: route.{problem}"));
    }
}

#[test]
fn headers_are_texts_and_stand_once() {
    let sum = |text: &str| format!("kind = \"sum\"\npath = \"/a\"\n{text}");
    let headers = route(&sum("[route.headers]\nX-B = \"1\"\nX-A = \"2\"")).plan.headers;
    assert_eq!(headers, [("X-B", "1"), ("X-A", "2")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(
        refusal(&sum("headers = { X-A = 1 }")),
        "p.toml:4: route.headers.X-A = 1: not a text; put it in quotes"
    );
    assert_eq!(
        refusal(&sum("headers = { X-A = \"1\", x-a = \"2\" }")),
        "p.toml:4: route.headers = { X-A = \"1\", x-a = \"2\" }: x-a is there twice; write it once: \
         case makes no difference"
    );
    assert_eq!(
        refusal(&sum("headers = [\"X-A: 1\"]")),
        "p.toml:4: route.headers = [\"X-A: 1\"]: not a table; put it in braces: { name = value }"
    );
}

#[test]
fn bounds_and_defaults_have_every_digit() {
    let text = query(
        "[route.parameters]\n\
         a = { from = \"query\", type = \"integer\", \
         bounds = [-9_223_372_036_854_775_807, 9_007_199_254_740_993] }\n\
         b = { from = \"query\", type = \"number\", default = 9007199254740993, \
         bounds = [0.100_000_000_000_000_000_01, 1e+300] }",
    );
    let Kind::Query(plan) = routes(&text).remove(0).plan.kind else { panic!("is a query") };
    let shown = |at: usize| plan.parameters[at].bounds.as_ref().map(ToString::to_string);
    assert_eq!(shown(0).as_deref(), Some("[-9223372036854775807, 9007199254740993]"));
    assert_eq!(shown(1).as_deref(), Some("[0.10000000000000000001, 1e+300]"));
    let default = plan.parameters[1].default.clone();
    assert_eq!(default, Some(Value::Number(9_007_199_254_740_993.into())));
}

#[test]
fn parameters_have_the_type_of_their_values() {
    let text = query(
        "[route.parameters]\n\
         a = { from = \"body\", type = \"number\", default = 2, bounds = [0.5, inf] }\n\
         b = { from = \"query\", type = \"text\", default = \"x\" }\n\
         c = { from = \"query\", type = \"boolean\", default = true }\n\
         d = { from = \"query\", type = \"json\", default = \"[]\" }\n\
         e = { from = \"query\", type = \"integer\", default = 0x10, bounds = [1, 1_000], \
         outside = \"clamp\" }",
    );
    let Kind::Query(plan) = routes(&text).remove(0).plan.kind else { panic!("is a query") };
    let defaults: Vec<_> = plan.parameters.iter().map(|p| p.default.clone()).collect();
    assert_eq!(
        defaults,
        [
            Value::Number(2.into()),
            Value::Text("x".into()),
            Value::Boolean(true),
            Value::Json("[]".into()),
            Value::Integer(16)
        ]
        .map(Some)
    );
    let half = Decimal::parse("0.5");
    assert_eq!(plan.parameters[0].bounds, Some(Bounds { least: half, greatest: None }));
    assert_eq!(plan.parameters[4].bounds, Some(Bounds::integers(1, 1_000)));
    assert_eq!(plan.parameters[4].outside, Outside::Clamp);
    for (keys, problem) in [
        ("type = \"text\"", "x.from: is missing; write from = \"query\", say"),
        ("from = \"query\"", "x.type: is missing; write type = \"text\", say"),
        (
            "from = \"header\", type = \"text\"",
            "x.from = \"header\": not understood; write path, query, body",
        ),
        (
            "from = \"query\", type = \"int\"",
            "x.type = \"int\": not understood; write integer, number, text, boolean, json",
        ),
        (
            "from = \"query\", type = \"integer\", default = 1.5",
            "x.default = 1.5: not a whole number; write one such as 200, without quotes",
        ),
        (
            "from = \"query\", type = \"integer\", default = 99999999999999999999",
            "x.default = 99999999999999999999: beyond 64 bits; write a smaller number",
        ),
        (
            "from = \"query\", type = \"number\", default = \"1\"",
            "x.default = \"1\": no number; write one such as 2.5, without quotes",
        ),
        (
            "from = \"query\", type = \"boolean\", default = 1",
            "x.default = 1: no truth value; write true or false",
        ),
        (
            "from = \"query\", type = \"integer\", bounds = [1]",
            "x.bounds = [1]: not two bounds; write bounds = [1, 50], say",
        ),
        (
            "from = \"query\", type = \"integer\", bounds = [\"a\", 2]",
            "x.bounds = \"a\": no number; write one such as 2.5, without quotes",
        ),
        (
            "from = \"query\", type = \"number\", bounds = [inf, 2]",
            "x.bounds = inf: no number; write one such as 2.5, without quotes",
        ),
        (
            "from = \"query\", type = \"number\", bounds = [1, nan]",
            "x.bounds = nan: no number; write one such as 2.5, without quotes",
        ),
        (
            "from = \"query\", type = \"integer\", outside = \"clamp\"",
            "x.outside = \"clamp\": there are no bounds; add bounds = [1, 50], say",
        ),
    ] {
        let text = query(&format!("[route.parameters]\nx = {{ {keys} }}"));
        assert_eq!(messages(&text), format!("p.toml:9: route.parameters.{problem}"));
    }
    assert_eq!(
        messages(&query("[route.parameters]\nx = { from = \"query\", typ = \"text\" }")),
        "p.toml:9: unknown key route.parameters.x.typ; did you mean route.parameters.x.type?\n\
         p.toml:9: route.parameters.x.type: is missing; write type = \"text\", say"
    );
    assert_eq!(
        messages(&query("[route.parameters]\nx = 5")),
        "p.toml:9: route.parameters.x = 5: not a table; put it in braces: { name = value }"
    );
}

#[test]
fn two_routes_cannot_answer_one_request() {
    let text = "[[route]]\nkind = \"sum\"\npath = \"/a/{x}\"\nmethods = [\"GET\", \"POST\"]\n\
                [[route]]\nkind = \"count\"\npath = \"/a/{y}\"\n\
                [[route]]\nkind = \"fixed\"\nstatus = 204\npath = \"/a/{y}\"\nmethods = [\"PUT\"]\n";
    assert_eq!(
        messages(text),
        "p.toml:7: route.path = \"/a/{y}\": POST is answered by the route of p.toml:1; take one of \
         the two out, or give them different methods"
    );
    let name = "[[route]]\nname = \"a\"\nkind = \"sum\"\npath = \"/1\"\n";
    assert_eq!(
        messages(&format!("{name}{}", name.replace("/1", "/2"))),
        "p.toml:6: route.name = \"a\": the route of p.toml:2 has it too; give each its own name"
    );
    assert_eq!(
        refusal("name = \"a b\"\nkind = \"sum\"\npath = \"/1\""),
        "p.toml:2: route.name = \"a b\": not a name; write letters, digits, `_`, `-` and `.`"
    );
    assert_ne!(shape("/a"), shape("/a/"));
    assert_ne!(shape("/a/{x}"), shape("/a/x"));
}

#[test]
fn routes_are_a_list_and_statements_are_for_them() {
    assert_eq!(
        messages("\n[route]\npath = \"/\"\n"),
        "p.toml:2: unknown form of route; write [[route]], in two brackets, above the keys of each"
    );
    assert_eq!(
        messages("[[routes]]\npath = \"/\"\n"),
        "p.toml:1: unknown section [routes]; did you mean [[route]]?"
    );
    assert_eq!(
        messages("[statement]\na = \"SELECT 1\"\n"),
        "p.toml:1: unknown section [statement]; did you mean [statements]?"
    );
    assert_eq!(
        messages("\n[statements]\na = \"SELECT 1\"\n"),
        "p.toml:2: [statements]: there is no route; add a [[route]] that names one, or take them out"
    );
    assert_eq!(
        messages(&query("").replace("[statements]\n", "[statements]\nb = 1\nc = \" \"\n")),
        "p.toml:2: statements.b = 1: not a text; put it in quotes\n\
         p.toml:3: statements.c = \" \": no SQL; write a statement, or take it out"
    );
    let idle = query("").replace("[statements]\n", "[statements]\nspare = \"SELECT 1\"\n");
    assert_eq!(read(&idle).routes().idle_statements, ["spare"]);
}

#[test]
fn later_faults_find_the_line_of_their_key() {
    let text = query(
        "arguments = [\"id\"]\n\n[route.parameters]\n\
         id = { from = \"query\", type = \"integer\", bounds = [5, 1] }",
    );
    let entry = routes(&text).remove(0);
    let refuse = |key: &str| entry.refuse(key, "wrong", "mend it").to_string();
    assert_eq!(refuse("row"), "p.toml:7: route.row = '{\"id\": id}': wrong; mend it");
    assert_eq!(
        refuse("parameters.id.bounds"),
        "p.toml:11: route.parameters.id.bounds = [5, 1]: wrong; mend it"
    );
    assert_eq!(
        refuse("parameters.id.default"),
        "p.toml:11: route.parameters.id = { from = \"query\", type = \"integer\", bounds = [5, 1] }: \
         wrong; mend it"
    );
    assert_eq!(refuse("compress"), "p.toml:3: route.compress of /q: wrong; mend it");
}

#[test]
fn the_example_file_shows_every_key_of_every_kind() {
    let example = include_str!("../../../pollux.example.toml");
    let commented = example.lines().filter_map(|line| line.strip_prefix('#'));
    let text: Vec<_> = commented.filter(|line| !line.starts_with(' ')).collect();
    let text = text.join("\n");
    let mut shown: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for entry in routes(&text) {
        let keys = entry.spots.keys().map(|key| key.split('.').next().unwrap_or(key).to_owned());
        let kind = entry.spots["kind"].written.trim_matches('"').to_owned();
        let kind = KindName::ALL.iter().find(|other| other.name() == kind).expect("a kind");
        shown.entry(kind.name()).or_default().extend(keys);
    }
    let all: Vec<&String> = shown.values().flatten().collect();
    for kind in KindName::ALL {
        assert!(shown.contains_key(kind.name()), "no route of kind {}", kind.name());
        for key in kind.keys() {
            assert!(all.iter().any(|other| other == key), "no {key}");
        }
    }
    for key in kinds::COMMON {
        assert!(all.iter().any(|other| other == key), "no {key}");
    }
}

#[test]
fn the_site_file_is_read_without_mistake() {
    let text = include_str!("../../../../deploy/site.toml");
    let kinds: Vec<_> = routes(text).iter().map(|entry| entry.plan.path.clone()).collect();
    assert_eq!(kinds, ["/", "/home", "/health"]);
}
