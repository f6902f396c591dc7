//! Every route with every method, and what is no route.

use handlers::Methods;
use handlers::config::{FilesConfig, Kind, RouteConfig};
use http1::{Connection, HEAD_OUT_MAX, HeadContext, HttpDate, Method, Service, Status};

use crate::client::{DATE, NOW, build, exchange, get, one, request, send, site, split};
use crate::configs::{files, fixed, route, routes, sample_files};
use crate::sources::file;

#[test]
fn pipeline_says_ok() {
    let answer = exchange(site(), request("GET", "/pipeline", "").as_bytes(), 64 * 1024);
    let expected = format!(
        "HTTP/1.1 200 OK\r\nDate: {DATE}\r\nServer: Pollux\r\nContent-Type: text/plain\r\n\
         Content-Length: 2\r\n\r\nok"
    );
    assert_eq!(String::from_utf8(answer).expect("text"), expected);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let input = b"GET /pipeline HTTP/1.1\r\nHost: localhost:8080\r\n\r\n".repeat(16);
    let bytes = exchange(site(), &input, 4096);
    let mut rest = &bytes[..];
    for _ in 0..16 {
        let (answer, after) = split(rest, false);
        assert_eq!(answer.text(), "ok");
        rest = after;
    }
    assert!(rest.is_empty());
}

#[test]
fn baseline11_adds_query_and_body() {
    let rows: &[(&str, &str)] = &[
        ("GET /baseline11?a=13&b=42 HTTP/1.1\r\nHost: localhost:8080\r\n\r\n", "55"),
        ("GET /baseline11 HTTP/1.1\r\nHost: a\r\n\r\n", "0"),
        (
            "GET /baseline11?a=-9223372036854775808&b=-1 HTTP/1.1\r\nHost: a\r\n\r\n",
            "-9223372036854775809",
        ),
        (
            "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 2\r\n\r\n20",
            "75",
        ),
        (
            "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: localhost:8080\r\n\
             Transfer-Encoding: chunked\r\n\r\n2\r\n20\r\n0\r\n\r\n",
            "75",
        ),
        (
            "POST /baseline11?a=13&b=42 HTTP/1.1\r\nHost: localhost:8080\r\n\
             Transfer-Encoding: chunked\r\n\r\n1\r\n2\r\n1\r\n0\r\n0\r\n\r\n",
            "75",
        ),
        ("POST /baseline11?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", "1"),
        ("POST /baseline11?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n -20\r\n", "-19"),
        (
            "POST /baseline11?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\n\
             999999999999999999999999999999",
            "1",
        ),
        ("POST /baseline11 HTTP/1.1\r\nHost: a\r\n\r\n", "0"),
        ("GET /baseline2?a=1&b=1 HTTP/1.1\r\nHost: a\r\n\r\n", "2"),
    ];
    for (request, sum) in rows {
        let answer = one(site(), request.as_bytes(), false);
        assert_eq!((answer.status, answer.text()), (200, *sum), "{request}");
        assert_eq!(answer.field("Content-Type"), Some("text/plain"));
    }
}

#[test]
fn upload_counts_what_came() {
    let request = |len: usize| {
        let mut request =
            format!("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n")
                .into_bytes();
        request.resize(request.len() + len, b'x');
        request
    };
    for len in [0, 1, 512_000, 2_000_000] {
        let answer = one(site(), &request(len), false);
        assert_eq!((answer.status, answer.text()), (200, len.to_string().as_str()));
    }
    let chunked = b"POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n";
    assert_eq!(one(site(), chunked, false).text(), "15");
}

#[test]
fn a_number_is_the_same_from_every_offset() {
    for path in ["/baseline11?a=-1234567890123456789&b=-9999999999", "/baseline2?a=7"] {
        let response = crate::client::Spy::choice(site(), path, "");
        let whole = get(site(), path, "").body;
        for at in 0..whole.len() {
            let mut out = vec![0; whole.len()];
            let got = site().body_into(&response, at as u64, &mut out);
            assert_eq!(&out[..got], &whole[at..]);
        }
    }
}

#[test]
fn an_index_stands_for_its_directory() {
    let with_index = |index: Option<&str>| {
        let sources = vec![
            file("index.html", "front"),
            file("app.js", "code"),
            file("docs/index.html", "docs"),
            file("docs/xindex.html", "other"),
        ];
        let cache_control = None;
        let kind = Kind::Files(FilesConfig {
            files: sources,
            index: index.map(Into::into),
            cache_control,
        });
        build(&routes([route("/", kind)]))
    };
    let site = with_index(Some("index.html"));
    for (path, text) in [
        ("/", "front"),
        ("/index.html", "front"),
        ("/app.js", "code"),
        ("/docs/", "docs"),
        ("/docs/index.html", "docs"),
        ("/docs/xindex.html", "other"),
    ] {
        let answer = get(&site, path, "");
        assert_eq!((answer.status, answer.text()), (200, text), "{path}");
        assert_eq!(answer.field("Cache-Control"), None, "{path}");
    }
    let (front, index) = (get(&site, "/", ""), get(&site, "/index.html", ""));
    assert_eq!(front, index, "one representation, two names");
    for (query, location) in [("", "/docs/"), ("?", "/docs/"), ("?a=1&b=%2F", "/docs/?a=1&b=%2F")] {
        for method in ["GET", "HEAD"] {
            let answer = send(&site, method, &format!("/docs{query}"), "");
            assert_eq!((answer.status, answer.field("Location")), (301, Some(location)), "{query}");
        }
    }
    assert_eq!(get(&site, "/docs", "").text(), "301 Moved Permanently: /docs/\n");
    assert_eq!(site.buffers().free(), 16, "each came back");
    assert_eq!(get(&site, &format!("/docs?{}", "q".repeat(500)), "").status, 301);
    assert_eq!(get(&site, &format!("/docs?{}", "q".repeat(513)), "").status, 414);
    assert_eq!(send(&site, "POST", "/docs", "").status, 405);
    let site = with_index(None);
    assert_eq!(get(&site, "/docs", "").status, 404);
    assert_eq!((get(&site, "/", "").status, get(&site, "/docs/", "").status), (404, 404));
}

#[test]
fn a_directory_without_its_slash_gives_way_to_other_routes() {
    let kind = |names: &[&str]| {
        let files = names.iter().map(|name| file(name, "index")).collect();
        Kind::Files(FilesConfig { files, index: Some("i".into()), cache_control: None })
    };
    let post = |path| RouteConfig { methods: Methods::POST, ..route(path, fixed("post")) };
    let site = build(&routes([
        route("/first", fixed("first")),
        route("/", kind(&["first/i", "last/i", "a b/é?/i", "i", "both/i"])),
        route("/last", fixed("last")),
        route("/{any}", fixed("any")),
        post("/both"),
        route("/deep/er/", kind(&["i"])),
    ]));
    assert_eq!(get(&site, "/first", "").text(), "first");
    assert_eq!(get(&site, "/last", "").text(), "last");
    assert_eq!(get(&site, "/other", "").text(), "any");
    assert_eq!(send(&site, "POST", "/both", "").text(), "post");
    for (path, location) in [
        ("/both?x", "/both/?x"),
        ("/a%20b/%C3%A9%3f", "/a%20b/%C3%A9%3F/"),
        ("/deep/er", "/deep/er/"),
    ] {
        let answer = get(&site, path, "");
        assert_eq!((answer.status, answer.field("Location")), (301, Some(location)), "{path}");
        let target = location.split('?').next().expect("a path");
        assert_eq!(get(&site, target, "").text(), "index", "it leads there");
    }
    assert_eq!(get(&site, "/", "").text(), "index");
}

#[test]
fn files_share_their_directory_with_other_routes() {
    let put = Methods::NONE.with(Method::Put);
    let below = |plan: RouteConfig| RouteConfig { below: true, ..plan };
    let site = build(&routes([
        route("/static/", files(vec![file("a.js", "file"), file("b.js", "file")])),
        RouteConfig { methods: put, ..route("/static/a.js", fixed("put")) },
        route("/static/health", fixed("health")),
        below(route("/", fixed("anything"))),
        RouteConfig { methods: Methods::POST, ..below(route("/static/", fixed("post"))) },
    ]));
    for (method, path, text) in [
        ("GET", "/static/a.js", "file"),
        ("PUT", "/static/a.js", "put"),
        ("GET", "/static/b.js", "file"),
        ("GET", "/static/health", "health"),
        ("GET", "/", "anything"),
        ("GET", "/elsewhere/x", "anything"),
        ("GET", "/static", "anything"),
        ("POST", "/static/c.js", "post"),
        ("POST", "/static/", "post"),
        ("GET", "/static/c.js", "404 Not Found\n"),
        ("GET", "/static/", "404 Not Found\n"),
        ("PUT", "/static/b.js", "405 Method Not Allowed\n"),
    ] {
        assert_eq!(send(&site, method, path, "").text(), text, "{method} {path}");
    }
    let allow = send(&site, "OPTIONS", "/static/a.js", "");
    assert_eq!(allow.field("Allow"), Some("GET, HEAD, PUT, OPTIONS"));
    let allow = send(&site, "DELETE", "/static/c.js", "");
    assert_eq!((allow.status, allow.field("Allow")), (405, Some("POST, OPTIONS")));
}

#[test]
fn static_files_are_served_with_their_types() {
    for source in sample_files() {
        let answer = get(site(), &format!("/static/{}", source.name), "");
        assert_eq!((answer.status, &answer.body), (200, &source.bytes), "{}", source.name);
        let kind = match source.name.rsplit('.').next() {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("html") => "text/html; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("json") => "application/json",
            Some("webp") => "image/webp",
            Some("woff2") => "font/woff2",
            other => panic!("{other:?}"),
        };
        assert_eq!(answer.field("Content-Type"), Some(kind));
        assert_eq!(answer.field("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.field("Last-Modified"), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
        assert_eq!(answer.field("Cache-Control"), Some("public, max-age=300"));
        assert_eq!(answer.field("Accept-Ranges"), Some("bytes"));
    }
}

const PATHS: &[(&str, &str)] = &[
    ("/", "GET, HEAD, OPTIONS"),
    ("/pipeline", "GET, HEAD, OPTIONS"),
    ("/baseline11?a=1", "GET, HEAD, POST, OPTIONS"),
    ("/baseline2?a=1", "GET, HEAD, OPTIONS"),
    ("/json", "GET, HEAD, OPTIONS"),
    ("/json/7?m=3", "GET, HEAD, OPTIONS"),
    ("/static/app.js", "GET, HEAD, OPTIONS"),
    ("/upload", "POST, OPTIONS"),
    ("/caching", "GET, HEAD, OPTIONS"),
];

/// Those of routes that ask somebody.
const ASKING_PATHS: &[(&str, &str)] = &[
    ("/db", "GET, HEAD, OPTIONS"),
    ("/crud/items", "POST, OPTIONS"),
    ("/crud/items/17", "GET, HEAD, PUT, OPTIONS"),
];

#[test]
fn head_is_get_without_the_body() {
    for (path, allow) in PATHS.iter().filter(|(_, allow)| allow.contains("HEAD")) {
        for fields in ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br\r\n"] {
            let bytes =
                |method| exchange(site(), request(method, path, fields).as_bytes(), 64 * 1024);
            let (whole, head) = (bytes("GET"), bytes("HEAD"));
            let head_len = whole.len() - get(site(), path, fields).body.len();
            assert!(head == whole[..head_len], "{path} {allow}: {}", head.escape_ascii());
        }
    }
    assert_eq!(send(site(), "HEAD", "/nowhere", "").status, 404);
}

#[test]
fn other_methods_are_told_what_is_allowed() {
    for &(path, allow) in PATHS.iter().chain(ASKING_PATHS) {
        for method in ["PUT", "DELETE", "PATCH", "POST", "GET"] {
            if allow.contains(method) {
                continue;
            }
            let answer = send(site(), method, path, "");
            assert_eq!(
                (answer.status, answer.field("Allow")),
                (405, Some(allow)),
                "{method} {path}"
            );
            assert_eq!(answer.text(), "405 Method Not Allowed\n");
        }
        let answer = send(site(), "OPTIONS", path, "");
        assert_eq!((answer.status, answer.field("Allow")), (204, Some(allow)), "{path}");
    }
    let server = send(site(), "OPTIONS", "*", "");
    assert_eq!(server.status, 204);
    assert_eq!(server.field("Allow"), Some("GET, HEAD, POST, PUT, OPTIONS"));
    assert_eq!(send(site(), "OPTIONS", "/nowhere", "").status, 404);
}

#[test]
fn a_body_that_nobody_wants_is_thrown_away() {
    for (start, status) in [("POST /nowhere", 404), ("PUT /pipeline", 405), ("GET /pipeline", 200)]
    {
        let input = format!(
            "{start} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
             GET /pipeline HTTP/1.1\r\nHost: a\r\n\r\n"
        );
        let bytes = exchange(site(), input.as_bytes(), 4096);
        let (first, rest) = split(&bytes, false);
        assert_eq!(first.status, status);
        let (second, rest) = split(rest, false);
        assert_eq!((second.text(), rest.len()), ("ok", 0));
    }
}

#[test]
fn what_is_no_route_is_not_found() {
    for path in [
        "/nowhere",
        "/pipeline/",
        "/Pipeline",
        "//pipeline",
        "/json/",
        "/json/0",
        "/json/51",
        "/json/-1",
        "/json/x",
        "/json/%ff",
        "/json/0x5",
        "/json/5/",
        "/json/99999999999999999999",
        "/static",
        "/static/",
        "/static/nothing.js",
        "/static/app.js/",
        "/static/app.js.br",
        "/static/app.js.gz",
        "/baseline1",
        "/upload/x",
        "/crud/items/",
        "/crud/items/17/",
        "/crud",
    ] {
        let answer = get(site(), path, "");
        assert_eq!((answer.status, answer.text()), (404, "404 Not Found\n"), "{path}");
    }
}

#[test]
fn a_multiplier_that_is_no_integer_is_refused() {
    for query in ["m=x", "m=1.5", "m=9223372036854775808", "m=1%20", "m=x&m=1", "m=%zz"] {
        assert_eq!(get(site(), &format!("/json/3?{query}"), "").status, 400, "{query}");
    }
    let plain = get(site(), "/json/3?m=1", "").body;
    for query in ["", "m", "m=", "m=&m=2", "m=1&m=x", "%6d=%31", "m=+1", "m=%2B1", "m=001"] {
        let answer = get(site(), &format!("/json/3?{query}"), "");
        let is_space = query == "m=+1";
        assert_eq!(answer.status, if is_space { 400 } else { 200 }, "{query}");
        assert!(is_space || answer.body == plain, "{query}");
    }
    assert_eq!(get(site(), "/json/3?x=9&m=2&m=3", "").body, get(site(), "/json/3?m=2", "").body);
}

#[test]
fn a_listed_path_is_the_pattern_it_was_made_of() {
    let five = get(site(), "/json/5", "");
    for path in ["/json/05", "/json/+5", "/json/%35", "/%6ason/5", "/json/0005"] {
        assert_eq!(get(site(), path, ""), five, "{path}");
    }
}

#[test]
fn every_refusal_has_its_text() {
    let date = HttpDate::from_unix(NOW);
    for &status in Status::ALL.iter().filter(|status| status.class() >= 4) {
        let response = site().refuse(status);
        assert_eq!(site().status(&response), status);
        let mut out = [0; HEAD_OUT_MAX];
        let context = HeadContext { date: &date, connection: Connection::Close };
        let len = site().head_into(&response, &context, &mut out);
        let mut body = [0; 64];
        let body_len = site().body_into(&response, 0, &mut body);
        let bytes = [&out[..len], &body[..body_len]].concat();
        let (answer, rest) = split(&bytes, false);
        assert!(rest.is_empty());
        assert_eq!(answer.text(), format!("{} {}\n", status.code(), status.reason()));
        assert_eq!(answer.field("Connection"), Some("close"));
        assert_eq!(answer.field("Retry-After").is_some(), status == Status::S503);
        assert_eq!(answer.field("Allow").is_some(), status == Status::S405);
    }
    assert_eq!(site().status(&site().refuse(Status::S204)), Status::S500, "no error at all");
}

#[test]
fn the_connection_line_is_the_last() {
    let date = HttpDate::from_unix(0);
    let response = site().refuse(Status::S404);
    for (connection, ending) in [
        (Connection::Implicit, "\r\nContent-Length: 14\r\n\r\n"),
        (Connection::Close, "\r\nConnection: close\r\n\r\n"),
        (Connection::KeepAlive, "\r\nConnection: keep-alive\r\n\r\n"),
    ] {
        let mut out = [0; HEAD_OUT_MAX];
        let len = site().head_into(&response, &HeadContext { date: &date, connection }, &mut out);
        let head = String::from_utf8(out[..len].to_vec()).expect("ASCII");
        assert!(head.ends_with(ending), "{head}");
        assert!(head.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"));
    }
}
