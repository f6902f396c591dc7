//! Fixed bodies, redirections, extra fields.

use handlers::Methods;
use handlers::config::{Compress, FixedConfig, Kind, RedirectConfig, RouteConfig};
use http1::coding::Coding;
use http1::{Method, Status};

use crate::client::{build, get, send, site};
use crate::configs::{all_items, files, fixed, route, routes, sample_files, some_items};
use crate::sources::{data, file};

fn with_status(status: Status, media_type: &str, body: &str) -> Kind {
    Kind::Fixed(FixedConfig {
        status,
        media_type: media_type.into(),
        body: body.into(),
        etag: None,
    })
}

/// RFC 9110 13.1.2, 15.4.5
#[test]
fn an_etag_is_asked_for() {
    for (value, status) in [
        ("\"AOK\"", 304),
        ("W/\"AOK\"", 304),
        ("\"x\", \"AOK\"", 304),
        ("*", 304),
        ("\"x\"", 200),
        ("AOK", 200),
        ("", 200),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = send(site(), method, "/caching", &format!("If-None-Match: {value}\r\n"));
            assert_eq!((answer.status, answer.field("ETag")), (status, Some("\"AOK\"")), "{value}");
            assert_eq!(answer.text(), if status == 200 && method == "GET" { "OK" } else { "" });
        }
    }
    let plain = get(site(), "/caching", "");
    assert_eq!((plain.status, plain.text(), plain.field("ETag")), (200, "OK", Some("\"AOK\"")));
    assert_eq!(get(site(), "/pipeline", "If-None-Match: *\r\n").status, 200, "it has no tag");
}

#[test]
fn a_status_and_a_method_may_be_any() {
    let any: Methods = Method::ALL.iter().copied().collect();
    let site = build(&routes([
        RouteConfig {
            methods: any,
            ..route("/gone", with_status(Status::S410, "text/html", "<p>"))
        },
        route("/none", with_status(Status::S204, "", "")),
        RouteConfig { methods: Methods::POST, ..route("/post", fixed("posted")) },
    ]));
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = send(&site, method, "/gone", "");
        assert_eq!((answer.status, answer.text()), (410, "<p>"), "{method}");
        assert_eq!(answer.field("Content-Type"), Some("text/html"));
    }
    assert_eq!(get(&site, "/none", "").status, 204);
    assert_eq!(send(&site, "POST", "/post", "").text(), "posted");
    assert_eq!(get(&site, "/post", "").status, 405);
}

#[test]
fn a_body_is_coded_if_that_makes_it_smaller() {
    let long = "The same words over and over. ".repeat(40);
    let kind = Kind::Fixed(FixedConfig {
        status: Status::S200,
        media_type: "text/plain".into(),
        body: long.as_bytes().into(),
        etag: Some("v1".into()),
    });
    let coded = |plan| RouteConfig {
        compress: Compress::Precomputed(vec![Coding::Gzip, Coding::Br]),
        ..plan
    };
    let site = build(&routes([coded(route("/long", kind)), coded(route("/short", fixed("ok")))]));
    for (accept, coding, tag) in [
        ("", None, "\"v1\""),
        ("gzip, br", Some("gzip"), "\"v1-gzip\""),
        ("br", Some("br"), "\"v1-br\""),
        ("deflate", None, "\"v1\""),
    ] {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        let answer = get(&site, "/long", &fields);
        assert_eq!((answer.field("Content-Encoding"), answer.field("ETag")), (coding, Some(tag)));
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(answer.plain(), long.as_bytes());
        let again = get(&site, "/long", &format!("{fields}If-None-Match: {tag}\r\n"));
        assert_eq!((again.status, again.field("ETag")), (304, Some(tag)));
        assert_eq!(again.field("Vary"), Some("Accept-Encoding"));
    }
    let short = get(&site, "/short", "Accept-Encoding: gzip, br\r\n");
    assert_eq!((short.text(), short.field("Vary")), ("ok", None));
}

/// RFC 9110 15.4
#[test]
fn a_redirection_says_where_to() {
    let redirect = |status, location: &str| {
        Kind::Redirect(RedirectConfig { status, location: location.into() })
    };
    let site = build(&routes([
        route("/old", redirect(Status::S301, "/new/place%20a?b=c#d")),
        RouteConfig {
            below: true,
            ..route("/blog/", redirect(Status::S308, "https://b.example/"))
        },
    ]));
    let answer = get(&site, "/old", "");
    assert_eq!(answer.field("Location"), Some("/new/place%20a?b=c#d"));
    assert_eq!(
        (answer.status, answer.text()),
        (301, "301 Moved Permanently: /new/place%20a?b=c#d\n")
    );
    for path in ["/blog/", "/blog/2020/01"] {
        let answer = get(&site, path, "");
        assert_eq!((answer.status, answer.field("Location")), (308, Some("https://b.example/")));
    }
    assert_eq!(send(&site, "HEAD", "/old", "").body.len(), 0);
    assert_eq!(send(&site, "POST", "/old", "").status, 405);
}

#[test]
fn extra_fields_are_in_every_answer_of_their_route() {
    let with = |plan: RouteConfig| RouteConfig {
        headers: vec![
            ("Access-Control-Allow-Origin".into(), "*".into()),
            ("X-Words".into(), "one, two".into()),
        ],
        ..plan
    };
    let tagged = Kind::Fixed(FixedConfig {
        status: Status::S200,
        media_type: "text/plain".into(),
        body: b"ok".to_vec(),
        etag: Some("t".into()),
    });
    let away = Kind::Redirect(RedirectConfig { status: Status::S302, location: "/".into() });
    let many = data(r#"[{"price":1,"quantity":2},{"price":3,"quantity":4}]"#);
    let post = Methods::POST;
    let site = build(&routes([
        with(route("/fixed", tagged)),
        with(route("/away", away)),
        with(RouteConfig { methods: post.union(Methods::GET), ..route("/sum", Kind::Sum) }),
        with(RouteConfig { methods: post, ..route("/count", Kind::Count) }),
        with(RouteConfig {
            compress: Compress::Precomputed(vec![Coding::Br]),
            ..route("/all", Kind::Dataset(all_items(many.clone())))
        }),
        with(route("/some/{count}", Kind::Dataset(some_items(many)))),
        with(route("/static/", files(sample_files()[..1].to_vec()))),
        route("/bare", fixed("bare")),
        route("/other/", files(vec![file("a", "b")])),
    ]));
    let name = &sample_files()[0].name;
    let tag = get(&site, &format!("/static/{name}"), "").field("ETag").expect("a tag").to_owned();
    let rows = [
        ("GET", "/fixed".to_owned(), String::new(), 200),
        ("GET", "/fixed".to_owned(), "If-None-Match: \"t\"\r\n".to_owned(), 304),
        ("GET", "/away".to_owned(), String::new(), 302),
        ("GET", "/sum?a=1".to_owned(), String::new(), 200),
        ("POST", "/sum?a=1".to_owned(), String::new(), 200),
        ("POST", "/count".to_owned(), String::new(), 200),
        ("GET", "/all".to_owned(), String::new(), 200),
        ("GET", "/all".to_owned(), "Accept-Encoding: br\r\n".to_owned(), 200),
        ("GET", "/some/1".to_owned(), String::new(), 200),
        ("GET", "/some/1?m=x".to_owned(), String::new(), 400),
        ("GET", "/some/9".to_owned(), String::new(), 404),
        ("GET", format!("/static/{name}"), String::new(), 200),
        ("GET", format!("/static/{name}"), "Accept-Encoding: br\r\n".to_owned(), 200),
        ("GET", format!("/static/{name}"), "Range: bytes=0-0\r\n".to_owned(), 206),
        ("GET", format!("/static/{name}"), "Range: bytes=999999-\r\n".to_owned(), 416),
        ("GET", format!("/static/{name}"), format!("If-None-Match: {tag}\r\n"), 304),
        ("GET", format!("/static/{name}"), "If-Match: \"x\"\r\n".to_owned(), 412),
        ("GET", "/static/none".to_owned(), String::new(), 404),
    ];
    for (method, path, fields, status) in rows {
        let answer = send(&site, method, &path, &fields);
        assert_eq!(answer.status, status, "{method} {path} {fields}");
        assert_eq!(answer.field("Access-Control-Allow-Origin"), Some("*"), "{path} {fields}");
        assert_eq!(answer.field("X-Words"), Some("one, two"), "{path} {fields}");
    }
    for path in ["/bare", "/other/a", "/other/b", "/nowhere"] {
        assert_eq!(get(&site, path, "").field("X-Words"), None, "{path}");
    }
    assert_eq!(send(&site, "PUT", "/fixed", "").field("X-Words"), None, "of no route");
}

#[test]
fn parameters_of_a_path_need_not_be_used() {
    let site = build(&routes([route("/{any}/ok", fixed("ok"))]));
    assert_eq!(get(&site, "/whatever/ok", "").text(), "ok");
    assert_eq!(get(&site, "/%ff/ok", "").text(), "ok", "any bytes but a slash");
    assert_eq!(get(&site, "//ok", "").status, 404);
}
