//! Rows 67 to 74 of the requirements: validators, preconditions, ranges, negotiation, paths.

use handlers::config::{Compress, RouteConfig};
use handlers::{Site, SiteHandle, SourceFile};
use http1::coding::Coding;
use testkit::Response;

use crate::client::{build, get, send, site};
use crate::configs::{self, files, routes, sample_files};
use crate::sources::file;

const APP: &str = "/static/app.js";
const MODIFIED: &str = "Thu, 01 Jan 2026 00:00:00 GMT";
const BEFORE: &str = "Wed, 31 Dec 2025 23:59:59 GMT";
const AFTER: &str = "Thu, 01 Jan 2026 00:00:01 GMT";

fn tag(fields: &str) -> String {
    get(site(), APP, fields).field("ETag").expect("an ETag").to_owned()
}

fn bytes(name: &str) -> &'static [u8] {
    &sample_files().iter().find(|file| file.name == name).expect("in the sample").bytes
}

/// A site of these files below `/static/`.
fn site_of(sources: Vec<SourceFile>) -> SiteHandle {
    build(&routes([configs::route("/static/", files(sources))]))
}

fn app(fields: &str) -> Response {
    get(site(), APP, fields)
}

/// RFC 9110 8.8.3.3
#[test]
fn row_67_every_coding_has_its_own_strong_tag() {
    let tags = ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br\r\n"].map(tag);
    for (at, tag) in tags.iter().enumerate() {
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 2, "{tag}");
        assert!(!tags[..at].contains(tag), "{tag}");
    }
    assert_eq!(tags[0], tag(""), "the same bytes have the same tag");
    let mut changed = sample_files().to_vec();
    for file in &mut changed {
        file.brotli = None;
        file.gzip = None;
        file.bytes[0] ^= 1;
    }
    let changed = get(&site_of(changed), APP, "").field("ETag").expect("an ETag").to_owned();
    assert_ne!(changed, tags[0], "other bytes have another tag");
}

/// RFC 9110 13.1.2
#[test]
fn row_68_if_none_match() {
    let tag = tag("");
    for value in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"x\", {tag}"),
        format!("\"x\",W/\"y\" , W/{tag},\"z\""),
        "*".to_owned(),
        format!("\"x\"\r\nIf-None-Match: {tag}"),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = send(site(), method, APP, &format!("If-None-Match: {value}\r\n"));
            assert_eq!((answer.status, answer.body.len()), (304, 0), "{method} {value}");
        }
    }
    let unquoted = tag.trim_matches('"');
    for value in ["\"x\"", unquoted, "", "\"*\""] {
        let answer = app(&format!("If-None-Match: {value}\r\n"));
        assert_eq!((answer.status, &*answer.body), (200, bytes("app.js")), "{value}");
    }
    let other = app(&format!("Accept-Encoding: br\r\nIf-None-Match: {tag}\r\n"));
    assert_eq!(other.status, 200, "the tag of another coding does not match");
    assert_eq!(get(site(), "/static/none.js", "If-None-Match: *\r\n").status, 404);
}

/// RFC 9110 13.1.3, 5.6.7
#[test]
fn row_69_if_modified_since() {
    for (date, status) in [
        (MODIFIED, 304),
        (AFTER, 304),
        (BEFORE, 200),
        ("Thursday, 01-Jan-26 00:00:00 GMT", 304),
        ("Thu Jan  1 00:00:00 2026", 304),
        ("Wed Dec 31 23:59:59 2025", 200),
        ("yesterday", 200),
        ("2026-01-01T00:00:00Z", 200),
        ("Thu, 32 Jan 2026 00:00:00 GMT", 200),
        ("", 200),
    ] {
        assert_eq!(app(&format!("If-Modified-Since: {date}\r\n")).status, status, "{date}");
    }
    let both = format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {AFTER}\r\n");
    assert_eq!(app(&both).status, 200, "ignored beside If-None-Match");
    let post = send(site(), "POST", APP, &format!("If-Modified-Since: {AFTER}\r\n"));
    assert_eq!(post.status, 405, "never with another method");
}

/// RFC 9110 13.1.1, 13.1.4, 13.2.2
#[test]
fn row_70_if_match_and_if_unmodified_since() {
    let tag = tag("");
    for (fields, status) in [
        (format!("If-Match: {tag}\r\n"), 200),
        (format!("If-Match: \"x\", {tag}\r\n"), 200),
        ("If-Match: *\r\n".to_owned(), 200),
        (format!("If-Match: W/{tag}\r\n"), 412),
        ("If-Match: \"x\"\r\n".to_owned(), 412),
        ("If-Match: \r\n".to_owned(), 412),
        (format!("If-Unmodified-Since: {MODIFIED}\r\n"), 200),
        (format!("If-Unmodified-Since: {AFTER}\r\n"), 200),
        (format!("If-Unmodified-Since: {BEFORE}\r\n"), 412),
        ("If-Unmodified-Since: never\r\n".to_owned(), 200),
        (format!("If-Match: {tag}\r\nIf-Unmodified-Since: {BEFORE}\r\n"), 200),
        (format!("If-Match: \"x\"\r\nIf-None-Match: {tag}\r\n"), 412),
        (format!("If-Match: {tag}\r\nIf-None-Match: {tag}\r\n"), 304),
        (format!("If-Unmodified-Since: {BEFORE}\r\nIf-None-Match: {tag}\r\n"), 412),
        ("If-Match: \"x\"\r\nRange: bytes=0-0\r\n".to_owned(), 412),
        (format!("If-None-Match: {tag}\r\nRange: bytes=0-0\r\n"), 304),
        (format!("If-Match: {tag}\r\nRange: bytes=0-0\r\n"), 206),
    ] {
        assert_eq!(app(&fields).status, status, "{fields}");
    }
    assert_eq!(app("If-Match: \"x\"\r\n").text(), "412 Precondition Failed\n");
}

/// RFC 9110 15.4.5
#[test]
fn row_71_not_modified_repeats_what_caches_need() {
    for fields in ["", "Accept-Encoding: gzip\r\n", "Accept-Encoding: br\r\n"] {
        let whole = app(fields);
        let tag = whole.field("ETag").expect("an ETag");
        let answer = app(&format!("{fields}If-None-Match: {tag}\r\n"));
        assert_eq!(answer.status, 304);
        for name in ["ETag", "Date", "Vary", "Cache-Control", "Last-Modified"] {
            assert!(whole.field(name).is_some(), "{name}");
            assert_eq!(answer.field(name), whole.field(name), "{name}");
        }
        assert_eq!(answer.field("Content-Length"), None);
    }
}

/// RFC 9110 14, 15.3.7, 15.5.17
#[test]
fn row_72_single_ranges() {
    let whole = bytes("app.js");
    let len = whole.len();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, len - 1),
        ("bytes=-10", len - 10, len - 1),
        ("bytes=-999999999", 0, len - 1),
        ("bytes=5-999999999999999999999", 5, len - 1),
        ("Bytes=7-8", 7, 8),
    ] {
        let answer = app(&format!("Range: {range}\r\n"));
        let expected = format!("bytes {first}-{last}/{len}");
        assert_eq!((answer.status, answer.field("Content-Range")), (206, Some(&*expected)));
        assert!(answer.body == whole[first..=last], "{range}");
        assert_eq!(answer.field("ETag"), Some(&*tag("")));
        assert_eq!(answer.field("Content-Type"), Some("text/javascript; charset=utf-8"));
        assert_eq!(answer.field("Cache-Control"), Some("public, max-age=300"));
    }
    for range in ["bytes=204800-", "bytes=999999-9999999", "bytes=-0"] {
        let answer = app(&format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Range")), (416, Some("bytes */204800")));
        assert_eq!(answer.text(), "416 Range Not Satisfiable\n");
    }
    for range in ["bytes=0-0,2-3", "bytes=3-2", "items=0-1", "bytes=a-b", "bytes", "", "bytes=--1"]
    {
        let answer = app(&format!("Range: {range}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Range")), (200, None), "{range}");
        assert!(answer.body == whole);
    }
    let head = send(site(), "HEAD", APP, "Range: bytes=0-0\r\n");
    assert_eq!((head.status, head.field("Content-Length")), (200, Some("204800")));
}

/// RFC 9110 14.2: a range of the representation that is transferred.
#[test]
fn row_72_a_range_of_a_coded_file_is_one_of_its_coding() {
    let fields = "Accept-Encoding: gzip\r\n";
    let whole = app(fields);
    let cut = whole.body.len() / 2;
    let front = app(&format!("{fields}Range: bytes=0-{}\r\n", cut - 1));
    let resume = format!("If-Range: {}\r\nRange: bytes={cut}-\r\n", tag(fields));
    let back = app(&format!("{fields}{resume}"));
    assert_eq!((front.status, back.status), (206, 206));
    assert_eq!(front.field("Content-Encoding"), Some("gzip"));
    assert!([front.body, back.body].concat() == whole.body);
    assert_eq!(app(&resume).status, 200, "never bytes of another coding");
}

/// RFC 9110 13.1.5
#[test]
fn row_72_if_range_is_strong() {
    let tag = tag("");
    for (value, status) in [
        (&*tag, 206),
        (&*format!("W/{tag}"), 200),
        ("\"x\"", 200),
        (MODIFIED, 206),
        (BEFORE, 200),
        (AFTER, 200),
        ("nonsense", 200),
    ] {
        let answer = app(&format!("Range: bytes=0-0\r\nIf-Range: {value}\r\n"));
        assert_eq!(answer.status, status, "{value}");
    }
    assert_eq!(app(&format!("If-Range: {tag}\r\n")).status, 200);
}

/// RFC 9110 14.1.2
#[test]
fn row_72_an_empty_file_has_no_part() {
    let site = site_of(vec![file("empty.txt", "")]);
    let ask = |fields: &str| get(&site, "/static/empty.txt", fields);
    let whole = ask("");
    assert_eq!((whole.status, whole.field("Content-Length")), (200, Some("0")));
    let part = ask("Range: bytes=0-\r\n");
    assert_eq!((part.status, part.field("Content-Range")), (416, Some("bytes */0")));
    assert_eq!(ask("Range: bytes=-1\r\n").status, 200);
}

/// RFC 9110 12.5.3, 12.5.5, 8.4
#[test]
fn row_73_negotiation() {
    for (value, coding) in [
        ("gzip", Some("gzip")),
        ("x-gzip", Some("gzip")),
        ("br", Some("br")),
        ("gzip, br", Some("br")),
        ("gzip, deflate, br, zstd", Some("br")),
        ("br;q=0.5, gzip", Some("gzip")),
        ("br;q=0, gzip;q=0.1", Some("gzip")),
        ("*", Some("br")),
        ("gzip;q=0, *;q=0.5", Some("br")),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("deflate", None),
        ("", None),
        ("identity;q=0, deflate", None),
    ] {
        let answer = app(&format!("Accept-Encoding: {value}\r\n"));
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, coding), "{value}");
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
        assert!(answer.plain() == bytes("app.js"), "{value}");
    }
    let plain = app("");
    assert_eq!(plain.field("Content-Encoding"), None);
    assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
    let picture = get(site(), "/static/hero.webp", "Accept-Encoding: gzip, br\r\n");
    assert_eq!((picture.field("Content-Encoding"), picture.field("Vary")), (None, None));
}

#[test]
fn row_73_one_sibling_is_enough() {
    let mut some = sample_files().to_vec();
    some.retain(|file| file.name == "app.js");
    some[0].brotli = None;
    let site = site_of(some);
    for (value, coding) in [("gzip, br", Some("gzip")), ("br", None)] {
        let answer = get(&site, APP, &format!("Accept-Encoding: {value}\r\n"));
        assert_eq!(answer.field("Content-Encoding"), coding, "{value}");
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
    }
}

#[test]
fn a_sibling_is_a_file_itself_and_stored_once() {
    let size = |sources: Vec<SourceFile>| {
        let (mut size, plan) = (0, routes([configs::route("/static/", files(sources))]));
        Site::build(&plan, |len| {
            size = len;
            Box::new(vec![0_u8; len])
        })
        .expect("builds");
        size
    };
    let app = sample_files().iter().find(|file| file.name == "app.js").expect("there").clone();
    let packed = app.gzip.clone().expect("there");
    let bytes = packed.clone();
    let itself =
        SourceFile { name: "app.js.gz".into(), bytes, brotli: None, gzip: None, ..app.clone() };
    let without = size(vec![app.clone()]);
    let with = size(vec![app.clone(), itself.clone()]);
    assert!(with < without + 2_048 && packed.len() > 2_048, "{with} {without} {}", packed.len());
    let site = site_of(vec![app, itself]);
    let answer = get(&site, "/static/app.js.gz", "Accept-Encoding: gzip\r\n");
    assert_eq!((answer.status, answer.field("Content-Type")), (200, Some("application/gzip")));
    assert_eq!((answer.field("Content-Encoding"), answer.body == packed), (None, true));
    let coded = get(&site, APP, "Accept-Encoding: gzip\r\n");
    assert_eq!((coded.field("Content-Encoding"), coded.body == packed), (Some("gzip"), true));
    assert_ne!(coded.field("ETag"), answer.field("ETag"), "two representations");
}

#[test]
fn row_73_what_has_no_sibling_is_coded_when_the_site_is_built() {
    let text = "function call(that) { return that.many.times.over(that); }\n".repeat(50);
    let mut sources =
        vec![file("a.js", &text), file("short.js", "x"), file("b.png", &text), file("c.js", &text)];
    sources[3].gzip = sample_files()[0].gzip.clone();
    sources[3].bytes = sample_files()[0].bytes.clone();
    let codings = vec![Coding::Gzip, Coding::Br];
    let site = build(&routes([RouteConfig {
        compress: Compress::Precomputed(codings),
        ..configs::route("/static/", files(sources.clone()))
    }]));
    for (name, accept, coding) in [
        ("a.js", "gzip, br", Some("gzip")),
        ("a.js", "br", Some("br")),
        ("a.js", "gzip;q=0.5, br", Some("br")),
        ("a.js", "identity", None),
        ("short.js", "gzip, br", None),
        ("b.png", "gzip, br", None),
        ("c.js", "gzip", Some("gzip")),
        ("c.js", "br", Some("br")),
    ] {
        let fields = format!("Accept-Encoding: {accept}\r\n");
        let answer = get(&site, &format!("/static/{name}"), &fields);
        assert_eq!(answer.field("Content-Encoding"), coding, "{name} {accept}");
        let source = sources.iter().find(|file| file.name == name).expect("there");
        assert!(answer.plain() == source.bytes, "{name} {accept}");
        let is_coded = !matches!(name, "short.js" | "b.png");
        assert_eq!(answer.field("Vary"), is_coded.then_some("Accept-Encoding"), "{name}");
        let tag = answer.field("ETag").expect("a tag");
        let again = format!("{fields}If-None-Match: {tag}\r\n");
        assert_eq!(get(&site, &format!("/static/{name}"), &again).status, 304);
    }
    let sibling = get(&site, "/static/c.js", "Accept-Encoding: gzip\r\n").body;
    assert!(Some(sibling) == sources[3].gzip, "a sibling is served as it is");
}

/// RFC 9110 17.3
#[test]
fn row_74_nothing_leads_out_of_the_table() {
    for path in [
        "/static/../app.js",
        "/static/%2e%2e/app.js",
        "/static/.%2E/app.js",
        "/../etc/passwd",
        "/static/./app.js",
        "/static//app.js",
        "/static/app.js%20",
        "/static/%252e%252e/app.js",
    ] {
        assert_eq!(get(site(), path, "").status, 404, "{path}");
    }
    for path in [
        "/static%2fapp.js",
        "/static%2Fapp.js",
        "/static/..%2fapp.js",
        "/static/app.js%00",
        "/static/%00app.js",
        "/static/..%5capp.js",
        "/static\\app.js",
        "/static/%zz",
        "/static/%",
    ] {
        assert_eq!(get(site(), path, "").status, 400, "{path}");
    }
    for path in ["/static/%61pp%2ejs", "/%73tatic/app.js", "http://other.example/static/app.js"] {
        assert_eq!(get(site(), path, "").status, 200, "{path}");
    }
}
