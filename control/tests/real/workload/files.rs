//! `/static/{file}`: the files of the directory and the siblings that lie beside them.

use testkit::decoded;

use super::coding::CHOICES;
use super::shop::Shop;
use super::visitor::{Request, Visitor};

/// Every file: plain, coded, conditional, head alone.
pub(crate) fn static_files(visitor: &mut Visitor, shop: &Shop) {
    let mut coded = 0;
    for name in shop.site.plain() {
        let target = format!("/static/{name}");
        let bytes = &shop.site.files[name];
        let plain = visitor.get(&target).body(bytes).lacks("Content-Encoding");
        let plain = plain.has("Content-Type", media_type(name));
        let plain = plain.has("Cache-Control", "public, max-age=300");
        let mut variants = vec![("identity", plain.value("ETag"), bytes)];
        for (coding, ending) in [("gzip", "gz"), ("br", "br")] {
            let Some(sibling) = shop.site.files.get(&format!("{name}.{ending}")) else { continue };
            let shown = visitor.ask(&Request::get(&target).accepting(coding)).status(200);
            let shown = shown.has("Content-Encoding", coding).body(sibling);
            let shown = shown.has("Content-Type", media_type(name)).has("Vary", "Accept-Encoding");
            assert!(&decoded(coding, sibling) == bytes, "{target} in {coding}");
            assert_eq!(plain.value("Vary"), "Accept-Encoding", "{target}");
            variants.push((coding, shown.value("ETag"), sibling));
            coded += 1;
        }
        if variants.len() == 1 {
            // Nothing beside it: whoever takes a coding gets it as it is.
            visitor.ask(&Request::get(&target).accepting("gzip, br")).status(200).body(bytes);
        }
        for (coding, tag, bytes) in &variants {
            let head = visitor.ask(&Request::head(&target).accepting(coding)).status(200);
            head.has("Content-Length", &bytes.len().to_string()).has("ETag", tag).body("");
            let request = Request::get(&target).accepting(coding).field("If-None-Match", tag);
            visitor.ask(&request).status(304).has("ETag", tag).body("");
            let modified = plain.value("Last-Modified");
            let request = Request::get(&target).accepting(coding);
            let request = request.field("If-Modified-Since", &modified);
            visitor.ask(&request).status(304).body("");
        }
        let mut tags: Vec<_> = variants.iter().map(|(_, tag, _)| tag).collect();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), variants.len(), "{target}: each coding has a tag of its own");
    }
    assert!(coded > 20, "the sample has siblings");
    visitor.get("/static/").body(&shop.site.files["index.html"]);
    for (accepted, coding) in CHOICES {
        let shown = visitor.ask(&Request::get("/static/app.js").accepting(accepted)).status(200);
        let got = shown.answer.field("Content-Encoding").unwrap_or("identity");
        assert_eq!(got, *coding, "{}", shown.what);
    }
}

/// What is not there.
pub(crate) fn missing_files(visitor: &mut Visitor) {
    for name in ["nothing.js", "app.js/", "APP.JS", "app.js.zip", "../dataset.json", "%2e%2e"] {
        visitor.ask(&Request::get(&format!("/static/{name}"))).status(404);
    }
    for name in ["app.js%00", "app%2", "a%2fb"] {
        visitor.ask(&Request::get(&format!("/static/{name}"))).status(400);
    }
    // A sibling is a form of its file, and a file.
    let sibling = visitor.ask(&Request::get("/static/app.js.gz")).status(200);
    assert_eq!(sibling.answer.field("Content-Type"), Some("application/gzip"));
}

/// The media type of a file of the sample.
pub(crate) fn media_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("webp") => "image/webp",
        Some("woff2") => "font/woff2",
        _ => panic!("the sample has no such file: {name}"),
    }
}
