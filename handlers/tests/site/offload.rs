//! Requests that somebody else answers: what is written down, what is asked, what is said meanwhile.

use std::sync::Arc;
use std::time::Duration;

use handlers::config::{CacheConfig, Compress, Kind, QueryConfig, RouteConfig, Source};
use handlers::{
    Inputs, Invalidation, JobKind, Methods, Offload, RenderedResponse, RequestBufferPool, Response,
    Site, SiteConfig, SiteHandle, sample,
};
use http1::coding::{Accepted, Coding};
use http1::{Conn, Context, HEAD_OUT_MAX, HttpDate, Limits, Method, Next, Out, Service, Status};

use crate::client::{
    asking, build, compress, exchange_asking, get, lend, one, request, sealed, send, site, split,
};
use crate::configs::{all_items, integer, one_row, route, routes, some_items};

/// Answers a query with what was written down, as text.
fn echo(ask: Offload) -> Response {
    let JobKind::Query(query, inputs) = ask.job_kind() else { panic!("a query: {ask:?}") };
    assert_eq!(ask.site().query(ask.route()).map(|known| known.sql()), Some(query.sql()));
    let gzip = inputs.accepted().quality(Coding::Gzip);
    let body = inputs.body().escape_ascii();
    let text = format!(
        "{} {:?} ?{} gzip={gzip} body={body}",
        ask.route(),
        inputs.captures(),
        inputs.query().escape_ascii()
    );
    lend(RenderedResponse::new(
        Status::S200,
        "text/plain",
        [("X-Cache", "MISS")],
        Coding::Identity,
        text.into_bytes(),
    ))
}

fn ask(input: &str) -> String {
    let answer = asking(site(), input.as_bytes(), input.starts_with("HEAD"), &mut echo);
    assert_eq!((answer.status, answer.field("X-Cache")), (200, Some("MISS")), "{input}");
    answer.text().to_owned()
}

#[test]
fn what_was_sent_is_written_down() {
    for (method, path, fields, text) in [
        ("GET", "/crud/items/17", "", r#"12 [("id", "17")] ? gzip=0 body="#),
        ("GET", "/crud/items/a%20b?x=%20&y", "", r#"12 [("id", "a b")] ?x=%20&y gzip=0 body="#),
        ("GET", "/crud/items/%C3%A9", "", "12 [(\"id\", \"\u{e9}\")] ? gzip=0 body="),
        ("PUT", "/crud/items/17", "", r#"13 [("id", "17")] ? gzip=0 body="#),
        ("GET", "/db?min=1", "Accept-Encoding: gzip;q=0.5\r\n", "9 [] ?min=1 gzip=500 body="),
    ] {
        assert_eq!(ask(&request(method, path, fields)), text, "{method} {path}");
    }
    assert_eq!(ask(&request("HEAD", "/crud/items/1", "")), "", "it is asked, but not sent");
}

#[test]
fn a_body_is_written_down_where_a_parameter_is_in_it() {
    let with = |start: &str, body: &str| {
        let len = body.len();
        ask(&format!("{start} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}"))
    };
    assert_eq!(with("POST /crud/items", "{\"id\": 1}"), r#"11 [] ? gzip=0 body={\"id\": 1}"#);
    assert_eq!(with("PUT /crud/items/5", "{}"), r#"13 [("id", "5")] ? gzip=0 body={}"#);
    assert_eq!(with("GET /crud/items/5", "ignored"), r#"12 [("id", "5")] ? gzip=0 body="#);
    let chunked = "POST /crud/items HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                   1\r\n{\r\n1\r\n}\r\n0\r\n\r\n";
    assert_eq!(ask(chunked), "11 [] ? gzip=0 body={}");
}

#[test]
fn what_does_not_fit_a_form_is_refused() {
    // 512 bytes in all.
    let put = |len: usize| {
        let body = "x".repeat(len);
        format!("PUT /crud/items/12?q HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{body}")
    };
    assert!(ask(&put(509)).ends_with("xxx"));
    let input = put(510) + &request("GET", "/pipeline", "");
    let bytes = exchange_asking(site(), input.as_bytes(), 4096, &mut echo);
    let (answer, rest) = split(&bytes, false);
    assert_eq!((answer.status, answer.text()), (413, "413 Content Too Large\n"));
    assert_eq!(split(rest, false).0.text(), "ok", "the connection goes on");
    let long = format!("/db?x={}", "y".repeat(511));
    assert_eq!(get(site(), &long, "").status, 413);
}

#[test]
fn a_path_that_is_no_text_is_not_found() {
    assert_eq!(get(site(), "/crud/items/%ff", "").status, 404);
}

/// One route that asks, and the plain one.
fn asking_site() -> SiteConfig {
    routes([
        RouteConfig {
            headers: vec![("X-Route".into(), "q".into())],
            ..route("/q", Kind::Query(Box::new(one_row(vec![]))))
        },
        route("/plain", crate::configs::fixed("plain")),
    ])
}

#[test]
fn without_a_form_a_request_is_refused_and_counted() {
    let site = Site::build(&asking_site(), |size| Box::new(vec![0_u8; size])).expect("sound");
    let (site, forms) = (Arc::new(site), Arc::new(RequestBufferPool::new(2, 64)));
    let edition = SiteHandle::new(Arc::clone(&site), Arc::clone(&forms));
    let shared = Arc::strong_count(&site);
    let mut kept = Vec::new();
    let keep = &mut |ask: Offload| {
        assert_eq!(
            Arc::strong_count(&site),
            shared,
            "the worker's own count, not one for all cores"
        );
        let response = ask.refusal(Status::S504);
        kept.push(ask);
        response
    };
    let input = request("GET", "/q", "");
    for _ in 0..2 {
        let answer = asking(&edition, input.as_bytes(), false, keep);
        assert_eq!((answer.status, answer.field("X-Route")), (504, Some("q")));
    }
    assert_eq!((forms.free(), forms.refused()), (0, 0));
    let answer = one(&edition, input.as_bytes(), false);
    assert_eq!((answer.status, answer.field("Retry-After")), (503, Some("1")));
    assert_eq!(answer.field("X-Route"), Some("q"));
    assert_eq!((forms.free(), forms.refused()), (0, 1));
    assert_eq!(get(&edition, "/plain", "").text(), "plain", "others are answered");
    kept.pop();
    assert_eq!(forms.free(), 1, "a form goes back with its ask");
    assert_eq!(asking(&edition, input.as_bytes(), false, &mut echo).status, 200);
    drop((kept, edition));
    assert_eq!((forms.free(), forms.refused()), (2, 1));
    assert_eq!(Arc::strong_count(&site), 1, "an ask has its site as long as it lives");
}

/// Clients that send a head and then hardly anything hold no buffer: neither for a body that the route does not
/// keep, nor before the first byte of one that it keeps, nor once it has overflowed.
#[test]
fn a_form_is_held_only_while_something_is_in_it() {
    let plan = one_row(vec![integer("n", Source::Body)]);
    let taking = RouteConfig {
        methods: Methods::NONE.with(Method::Post),
        ..route("/take", Kind::Query(Box::new(plan)))
    };
    let mut config = asking_site();
    config.routes.push(taking);
    let site = Site::build(&config, |size| Box::new(vec![0_u8; size])).expect("sound");
    let forms = Arc::new(RequestBufferPool::new(1, 64));
    let edition = SiteHandle::new(Arc::new(site), Arc::clone(&forms));
    let chunk = |bytes: usize| format!("{bytes:x}\r\n{}\r\n", "x".repeat(bytes));
    for (start, sent, free, is_asked) in [
        ("GET /q", chunk(5), 1, true),
        ("POST /take", String::new(), 1, true),
        ("POST /take", chunk(64), 0, true),
        ("POST /take", chunk(64) + &chunk(1), 1, false),
        ("POST /take?q", chunk(64), 1, false),
        ("GET /q?long", chunk(5), 0, true),
    ] {
        let (mut conn, mut buffer) = (Conn::<SiteHandle>::new(), [0; 2 * HEAD_OUT_MAX]);
        let mut send = |conn: &mut Conn<SiteHandle>, input: &str| {
            let mut context = Context {
                service: &edition,
                limits: &Limits::DEFAULT,
                date: &HttpDate::from_unix(0),
                one_exchange: false,
                observer: &mut (),
            };
            let mut out = Out::new(&mut buffer);
            sealed(|| conn.advance(input.as_bytes(), false, &mut out, &mut context).next)
        };
        let fields = "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(send(&mut conn, &format!("{start} {fields}{sent}")), Next::More);
        assert_eq!(forms.free(), free, "{start} {sent}");
        let is_held = conn.work().is_some_and(|work| edition.holds_buffer(work));
        assert_eq!(is_held, free == 0, "{start} {sent}");
        let next = send(&mut conn, "0\r\n\r\n");
        assert_eq!(next, if is_asked { Next::Park } else { Next::More }, "{start} {sent}");
        assert_eq!(buffer.starts_with(b"HTTP/1.1 413 "), !is_asked, "{start} {sent}");
        assert_eq!(forms.free(), usize::from(!is_asked), "{start} {sent}");
        drop(conn);
        assert_eq!(forms.free(), 1, "{start} {sent}");
    }
    assert_eq!(forms.refused(), 0);
}

/// What a core does where a client has as many buffers as it may: the buffer goes back, the body is read, 503.
#[test]
fn a_form_that_is_taken_back_is_free_at_once() {
    let site = Site::build(&asking_site(), |size| Box::new(vec![0_u8; size])).expect("sound");
    let forms = Arc::new(RequestBufferPool::new(1, 64));
    let edition = SiteHandle::new(Arc::new(site), Arc::clone(&forms));
    let (mut conn, mut buffer) = (Conn::<SiteHandle>::new(), [0; 2 * HEAD_OUT_MAX]);
    let mut send = |conn: &mut Conn<SiteHandle>, input: &str| {
        let mut context = Context {
            service: &edition,
            limits: &Limits::DEFAULT,
            date: &HttpDate::from_unix(0),
            observer: &mut (),
            one_exchange: false,
        };
        conn.advance(input.as_bytes(), false, &mut Out::new(&mut buffer), &mut context).next
    };
    let head = "GET /q?long HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab";
    assert_eq!((send(&mut conn, head), forms.free()), (Next::More, 0));
    conn.refuse_body(edition.refuse(Status::S503));
    assert_eq!((forms.free(), conn.work().is_none()), (1, true));
    assert_eq!(send(&mut conn, "cd"), Next::More);
    assert!(buffer.starts_with(b"HTTP/1.1 503 "));
}

#[test]
fn a_request_that_ends_early_gives_its_form_back() {
    let site = Site::build(&asking_site(), |size| Box::new(vec![0_u8; size])).expect("sound");
    let forms = Arc::new(RequestBufferPool::new(1, 64));
    let edition = SiteHandle::new(Arc::new(site), Arc::clone(&forms));
    let input = "GET /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX";
    let answer = one(&edition, input.as_bytes(), false);
    assert_eq!((answer.status, forms.free()), (400, 1));
}

#[test]
fn an_ask_that_nobody_takes_is_dropped_by_the_core() {
    let site = Site::build(&asking_site(), |size| Box::new(vec![0_u8; size])).expect("sound");
    let forms = Arc::new(RequestBufferPool::new(1, 64));
    let edition = SiteHandle::new(Arc::new(site), Arc::clone(&forms));
    let (mut conn, mut buffer) = (Conn::<SiteHandle>::new(), [0; HEAD_OUT_MAX]);
    let mut context = Context {
        service: &edition,
        limits: &Limits::DEFAULT,
        date: &HttpDate::from_unix(0),
        one_exchange: false,
        observer: &mut (),
    };
    let input = request("GET", "/q", "");
    let progress = conn.advance(input.as_bytes(), false, &mut Out::new(&mut buffer), &mut context);
    assert_eq!((progress.next, forms.free()), (Next::Park, 0));
    sealed(|| drop(conn));
    assert_eq!(forms.free(), 1);
}

fn pressed(compress: Compress) -> SiteHandle {
    let route = |path: &str, plan| RouteConfig {
        compress: compress.clone(),
        headers: vec![("X-Route".into(), "p".into())],
        ..route(path, Kind::Dataset(plan))
    };
    build(&routes([
        route("/json/{count}", some_items(sample::dataset())),
        route("/compression", all_items(sample::dataset_large())),
    ]))
}

#[test]
fn a_body_is_coded_for_each_request_beside_the_core() {
    let site = pressed(Compress::PerRequest(vec![Coding::Gzip, Coding::Br]));
    let reference = pressed(Compress::Off);
    let mut pressings = 0;
    let mut counted = |ask: Offload| {
        pressings += 1;
        compress(ask)
    };
    for path in ["/json/5?m=3", "/json/50?m=1000", "/json/7", "/compression"] {
        let plain = get(&reference, path, "").body;
        for (accept, coding) in [("gzip, br", "gzip"), ("br", "br"), ("gzip;q=0.1,br", "br")] {
            let fields = format!("Accept-Encoding: {accept}\r\n");
            let input = request("GET", path, &fields);
            let answer = asking(&site, input.as_bytes(), false, &mut counted);
            assert_eq!((answer.status, answer.field("Content-Encoding")), (200, Some(coding)));
            assert_eq!(answer.field("Content-Type"), Some("application/json"));
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(answer.field("X-Route"), Some("p"));
            assert!(answer.plain() == plain, "{path} {accept}");
            assert!(answer.body.len() < plain.len(), "{path} {accept}");
        }
        let identity = get(&site, path, "");
        assert!(identity.body == plain, "{path} needs nobody");
        assert_eq!(identity.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(get(&reference, path, "Accept-Encoding: br\r\n").field("Vary"), None);
    }
    assert_eq!(pressings, 12);
    let bad = get(&site, "/json/5?m=x", "Accept-Encoding: gzip\r\n");
    assert_eq!(bad.status, 400, "seen before anybody is asked");
}

#[test]
fn an_update_drops_what_was_kept_under_the_same_parameters() {
    let site = site().site();
    let queries: Vec<_> = site.queries().map(|(route, _)| route).collect();
    assert_eq!(queries, [9, 10, 11, 12, 13]);
    let (item, update) = (site.query(12).expect("a query"), site.query(13).expect("a query"));
    let inputs =
        |body: &'static [u8]| Inputs::new([("id", "17")], b"", body, Accepted::IDENTITY_ONLY);
    let read = item.bind(&inputs(b"")).expect("sound");
    let written = update.bind(&inputs(b"{\"name\": \"x\"}")).expect("sound");
    let key = item.cache_key(&read, Accepted::IDENTITY_ONLY);
    let invalid = site.invalidates(13, &written);
    assert!(invalid.iter().all(|invalid| invalid.route == 12));
    assert!(invalid.iter().any(|invalid| invalid.key.as_ref() == Some(&key)), "{invalid:?}");
    assert!(site.invalidates(12, &read).is_empty());
    assert!(site.query(0).is_none());
}

#[test]
fn what_has_no_parameter_of_the_kept_answer_drops_all_of_it() {
    let cache = CacheConfig { lifetime: Duration::from_secs(1), header: "X-Cache".into() };
    let kept = QueryConfig { cache: Some(cache), ..one_row(vec![integer("id", Source::Path)]) };
    let clear = QueryConfig { invalidates: vec!["kept".into()], ..one_row(vec![]) };
    let edition = build(&routes([
        RouteConfig {
            methods: Methods::NONE.with(Method::Delete),
            ..route("/all", Kind::Query(Box::new(clear)))
        },
        RouteConfig { name: Some("kept".into()), ..route("/{id}", Kind::Query(Box::new(kept))) },
    ]));
    let site = edition.site();
    let inputs = Inputs::new([], b"", b"", Accepted::IDENTITY_ONLY);
    let bound = site.query(0).expect("a query").bind(&inputs).expect("nothing to bind");
    let invalid = site.invalidates(0, &bound);
    assert_eq!(invalid, [Invalidation { route: 1, key: None }]);
    assert_eq!(send(&edition, "PATCH", "/all", "").status, 405);
}
