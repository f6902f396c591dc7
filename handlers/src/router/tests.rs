use proptest::prelude::*;

use super::pattern::Segment;
use super::*;

/// A router of these paths; `/` at the end stands for what is below.
fn router(paths: &[&str]) -> Router {
    let patterns: Vec<_> = paths.iter().map(|path| pattern(path)).collect();
    router_of(&patterns)
}

/// A path that ends in `/*` stands for what is below.
fn pattern(path: &str) -> Pattern {
    let (path, below) = match path.strip_suffix('*') {
        Some(path) => (path, true),
        None => (path, false),
    };
    Pattern::parse(path, below).expect("a path")
}

fn router_of(patterns: &[Pattern]) -> Router {
    let mut exact = Vec::new();
    let mut inexact = Vec::new();
    for (target, pattern) in (0..).zip(patterns) {
        match pattern.exact() {
            Some(path) => exact.push((path, target)),
            None => inexact.push((pattern.clone(), target)),
        }
    }
    Router::new(exact, &inexact, [])
}

/// What a path leads to, and what it captures.
fn find(router: &Router, path: &str) -> Result<(u32, Vec<Vec<u8>>), Status> {
    let mut room = [0; PATH_LEN_MAX];
    let (hit, plain) = match path.contains('%') {
        true => router.find_escaped(path.as_bytes(), &mut room)?,
        false => (router.find(path.as_bytes())?, path.as_bytes()),
    };
    Ok((hit.target, hit.captures.of(plain).map(<[u8]>::to_vec).collect()))
}

fn captured(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn exact_paths_are_found() {
    let router = router(&["/", "/a", "/static/app.js", "/static/d/x y.txt"]);
    for (path, target) in [
        ("/", 0),
        ("/a", 1),
        ("/%61", 1),
        ("/static/app.js", 2),
        ("/static/%61pp%2Ejs", 2),
        ("/static/app%2ejs", 2),
        ("/static/d/x%20y.txt", 3),
    ] {
        assert_eq!(find(&router, path), Ok((target, vec![])), "{path}");
    }
}

#[test]
fn nothing_else_is_and_nothing_leads_out() {
    let long = format!("/{}", "%61".repeat(PATH_LEN_MAX));
    let wide = format!("/static/{}", "a".repeat(PATH_LEN_MAX));
    let everything = router(&["/{x}", "/static/*", "/a/{x}/b"]);
    for path in [
        "",
        "a",
        "//a",
        "/./a",
        "/../a",
        "/static",
        "/static/../a",
        "/static/%2e%2e/a",
        "/static/%2E./a",
        "/a//b",
        "/a/b/c",
        "/%2e",
        &long,
        &wide,
    ] {
        let found = find(&everything, path);
        // One segment is anything but a dot segment.
        let is_segment = path == "/static";
        assert_eq!(found.is_ok(), is_segment, "{path}: {found:?}");
        assert!(is_segment || found == Err(Status::S404), "{path}: {found:?}");
    }
    let without = router(&["/static/*", "/a/{x}/b", "/static/app.js", "/z"]);
    for path in [
        "/static%2fapp.js",
        "/static%2Fapp.js",
        "/static/d%5cx",
        "/static/d%2fx",
        "/z%2f",
        "/app.js%00",
        "/static/app.js%00",
        "/%00",
        "/a%",
        "/a%6",
        "/%zz",
        "/%+1",
        "/static\\app.js",
        "/a/x%2fy%00/b",
    ] {
        assert_eq!(find(&without, path), Err(Status::S400), "{path}");
    }
}

#[test]
fn an_escaped_slash_is_data_of_a_captured_segment() {
    let router = router(&["/bands/{name}", "/bands/{name}/songs/{song}", "/files/*", "/{any}/*"]);
    for (path, target, captures) in [
        ("/bands/AC%2FDC", 0, &["AC/DC"][..]),
        ("/bands/AC%2fDC/songs/T.N.T.%5c", 1, &["AC/DC", "T.N.T.\\"]),
        ("/bands/..%2f..", 0, &["../.."]),
        ("/bands/%2F", 0, &["/"]),
        ("/bands/%252F", 0, &["%2F"]),
        ("/a%2Fb/c", 3, &["a/b"]),
    ] {
        assert_eq!(find(&router, path), Ok((target, captured(captures))), "{path}");
    }
    for path in ["/files/AC%2FDC", "/files/d/x%5c", "/a/b%2fc", "/a%2fb", "/bands/a%2f%00"] {
        assert_eq!(find(&router, path), Err(Status::S400), "{path}");
    }
    assert_eq!(find(&router, "/bands/a%2fb/.."), Err(Status::S404));
}

#[test]
fn exact_comes_before_pattern_before_prefix() {
    let router = router(&[
        "/*",
        "/a/*",
        "/a/{x}",
        "/a/b",
        "/a/{x}/c",
        "/{x}/b/c",
        "/a/b/c/*",
        "/{y}/{x}/d",
        "/{x}/*",
    ]);
    for (path, target, captures) in [
        ("/a/b", 3, &[][..]),
        ("/a/z", 2, &["z"][..]),
        ("/a/b/c", 4, &["b"]),
        ("/z/b/c", 5, &["z"]),
        ("/a/b/d", 7, &["a", "b"]),
        ("/a/b/c/", 6, &[]),
        ("/a/b/c/d/e", 6, &[]),
        ("/a/", 1, &[]),
        ("/a/b/e", 1, &[]),
        ("/z/q", 8, &["z"]),
        ("/z/", 8, &["z"]),
        ("/z", 0, &[]),
        ("/", 0, &[]),
    ] {
        assert_eq!(find(&router, path), Ok((target, captured(captures))), "{path}");
    }
}

#[test]
fn captures_are_decoded_and_never_empty() {
    let router = router(&["/items/{id}", "/{a}/{b}/{c}/{d}"]);
    for (path, captures) in [
        ("/items/17", &["17"][..]),
        ("/items/a%20b", &["a b"]),
        ("/items/%25", &["%"]),
        ("/items/{id}", &["{id}"]),
        ("/w/x/y/z", &["w", "x", "y", "z"]),
    ] {
        assert_eq!(find(&router, path).expect(path).1, captured(captures), "{path}");
    }
    assert_eq!(find(&router, "/items/%ff").expect("bytes").1, [b"\xff".to_vec()]);
    for path in ["/items/", "/items", "/w/x/y/", "/w//y/z", "/w/x/y/z/"] {
        assert_eq!(find(&router, path), Err(Status::S404), "{path}");
    }
}

#[test]
fn listed_paths_lead_where_their_pattern_does() {
    let patterns = [(pattern("/json/{count}"), 0), (pattern("/{x}/7"), 1)];
    let listed = ["/json/7", "/json/8", "/elsewhere/1"].map(String::from);
    let router = Router::new([("/json/8".to_owned(), 2)], &patterns, listed);
    assert_eq!(find(&router, "/json/7"), Ok((0, captured(&["7"]))));
    assert_eq!(find(&router, "/json/8"), Ok((2, vec![])), "a path of its own comes first");
    assert_eq!(find(&router, "/json/9"), Ok((0, captured(&["9"]))));
    assert_eq!(find(&router, "/elsewhere/1"), Err(Status::S404));
}

#[test]
fn a_thousand_routes_are_all_found() {
    let paths: Vec<_> = (0..1000)
        .flat_map(|at| {
            [
                format!("/exact/{at}"),
                format!("/section-{at}/{{id}}"),
                format!("/section-{at}/{{id}}/part-{at}/{{part}}"),
                format!("/below/{at}/*"),
            ]
        })
        .collect();
    let router = router(&paths.iter().map(String::as_str).collect::<Vec<_>>());
    for at in 0..1000 {
        for (offset, path, captures) in [
            (0, format!("/exact/{at}"), &[][..]),
            (1, format!("/section-{at}/x"), &["x"]),
            (2, format!("/section-{at}/x/part-{at}/y"), &["x", "y"]),
            (3, format!("/below/{at}/deep/down"), &[]),
        ] {
            assert_eq!(find(&router, &path), Ok((at * 4 + offset, captured(captures))), "{path}");
        }
    }
    for path in ["/exact/1000", "/section-1000/x", "/section-1/x/part-2/y", "/below/1000/x"] {
        assert_eq!(find(&router, path), Err(Status::S404), "{path}");
    }
}

/// What the head of router.rs says, by trying all patterns.
fn naive(patterns: &[Pattern], path: &str) -> Option<(u32, Vec<Vec<u8>>)> {
    let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
    let matches = |pattern: &Pattern| -> Option<Vec<Vec<u8>>> {
        let is_long_enough = match pattern.below {
            true => segments.len() > pattern.segments.len(),
            false => segments.len() == pattern.segments.len(),
        };
        let mut captures = Vec::new();
        for (wanted, segment) in pattern.segments.iter().zip(&segments) {
            match wanted {
                Segment::Text(text) if text == segment => {}
                Segment::Capture(_) if !segment.is_empty() => {
                    captures.push(segment.as_bytes().into())
                }
                _ => return None,
            }
        }
        is_long_enough.then_some(captures)
    };
    let rank = |pattern: &Pattern| {
        let captured: Vec<_> =
            pattern.segments.iter().map(|s| matches!(s, Segment::Capture(_))).collect();
        // Of two that agree as far as the shorter goes, the longer comes first.
        let mut captured: Vec<_> = captured.into_iter().map(u8::from).collect();
        captured.push(2);
        (pattern.exact().is_none(), pattern.below, captured)
    };
    (0_u32..)
        .zip(patterns)
        .filter_map(|(target, pattern)| Some((rank(pattern), target, matches(pattern)?)))
        .min()
        .map(|(_, target, captures)| (target, captures))
}

fn any_pattern() -> impl Strategy<Value = Pattern> {
    let segment = prop_oneof![3 => "[ab]", 2 => Just("{}".to_owned())];
    (proptest::collection::vec(segment, 0..5), any::<bool>(), any::<bool>()).prop_map(
        |(segments, slash, below)| {
            let mut path = String::new();
            for (at, segment) in segments.iter().enumerate() {
                path.push('/');
                path.push_str(&segment.replace("{}", &format!("{{p{at}}}")));
            }
            if below || slash || path.is_empty() {
                path.push('/');
            }
            Pattern::parse(&path, below).expect("a path")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_routes_lead_where_the_rule_says(
        mut patterns in proptest::collection::vec(any_pattern(), 0..12),
        paths in proptest::collection::vec("(/[abc]?){1,6}", 20),
    ) {
        let mut seen = std::collections::HashSet::new();
        patterns.retain(|pattern| seen.insert(pattern.shape()));
        let router = router_of(&patterns);
        for path in &paths {
            let want = naive(&patterns, path).ok_or(Status::S404);
            prop_assert_eq!(find(&router, path), want, "{} in {:?}", path, &patterns);
        }
    }
}
