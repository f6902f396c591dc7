//! What holds for paths rather than for what they say: methods, heads, paths nobody has.

use super::visitor::{Body, Request, Visitor};

/// Paths of every route, and the methods they answer.
const ROUTES: &[(&str, &str)] = &[
    ("/", "GET, HEAD, OPTIONS"),
    ("/pipeline", "GET, HEAD, OPTIONS"),
    ("/caching", "GET, HEAD, OPTIONS"),
    ("/baseline11", "GET, HEAD, POST, OPTIONS"),
    ("/baseline2", "GET, HEAD, OPTIONS"),
    ("/upload", "POST, OPTIONS"),
    ("/json", "GET, HEAD, OPTIONS"),
    ("/json/5", "GET, HEAD, OPTIONS"),
    ("/compression", "GET, HEAD, OPTIONS"),
    ("/static/app.js", "GET, HEAD, OPTIONS"),
    ("/db", "GET, HEAD, OPTIONS"),
    ("/async-db", "GET, HEAD, OPTIONS"),
    ("/crud/items", "GET, HEAD, POST, OPTIONS"),
    ("/crud/items/5", "GET, HEAD, PUT, OPTIONS"),
];

/// Every path with every method it does not have.
pub(crate) fn methods(visitor: &mut Visitor) {
    for (path, allow) in ROUTES {
        for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"] {
            if allow.split(", ").any(|allowed| allowed == method) {
                continue;
            }
            let request = Request::new(method, path);
            let bodies: &[Body] = match method {
                "POST" | "PUT" | "PATCH" => {
                    let body = b"{\"a\":1}".to_vec();
                    &[Body::Sized(body.clone()), Body::Chunked(body, vec![3])]
                }
                _ => &[Body::None],
            };
            for body in bodies {
                let refused = visitor.ask(&request.clone().body(body.clone()));
                let refused = refused.status(405).has("Allow", allow);
                refused.has("Content-Type", "text/plain");
            }
        }
        let told = visitor.ask(&Request::new("OPTIONS", path)).status(204);
        told.has("Allow", allow).body("");
    }
    visitor.ask(&Request::new("BREW", "/pipeline")).status(501);
    visitor.get("/pipeline").body("ok");
}

/// A head says what would come.
pub(crate) fn heads(visitor: &mut Visitor) {
    let more = ["/json/50?m=8", "/db?min=1&max=3", "/async-db?limit=3", "/crud/items?page=2"];
    let paths = ROUTES.iter().filter(|(_, allow)| allow.starts_with("GET")).map(|(path, _)| *path);
    for path in paths.chain(more) {
        for accepted in ["", "gzip", "br"] {
            let with = |request: Request| match accepted {
                "" => request,
                _ => request.accepting(accepted),
            };
            let whole = visitor.ask(&with(Request::get(path))).status(200);
            let head = visitor.ask(&with(Request::head(path))).status(200).body("");
            let head = head.has("Content-Length", &whole.answer.body.len().to_string());
            for (name, value) in &whole.answer.fields {
                // A date passes, and what was a miss is a hit the next time.
                if name != "Date" && name != "X-Cache" {
                    head.clone().has(name, value);
                }
            }
        }
    }
}

/// Paths that are nobody's, with any method.
pub(crate) fn unknown_paths(visitor: &mut Visitor) {
    for path in [
        "/nothing",
        "/PIPELINE",
        "/pipeline/",
        "/pipelin",
        "/baseline1",
        "/baseline11/1",
        "/json5",
        "/db/1",
        "/crud",
        "/crud/",
        "/crud/items/",
        "/crud/items/1/2",
        "/crud/item/1",
        "/index.html",
        "/dataset.json",
    ] {
        let refused =
            visitor.ask(&Request::get(path)).status(404).has("Content-Type", "text/plain");
        assert!(!refused.answer.body.is_empty(), "{path}: says what is wrong");
        visitor.ask(&Request::head(path)).status(404);
        let body = Body::Sized(b"20".to_vec());
        visitor.ask(&Request::post(path, body)).status(404);
        visitor.ask(&Request::new("DELETE", path)).status(404);
    }
    visitor.get("/pipeline").body("ok");
}
