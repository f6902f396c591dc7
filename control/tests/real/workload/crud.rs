//! `/crud/items` and `/crud/items/{id}`: lists, rows with a cache of 200 ms before them, changes.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::Postgres;

use super::rows::{is_json, lines};
use super::visitor::{Body, Request, Visitor};
use crate::kit::Shown;

/// The routes, and the test's own way to the rows behind them.
pub(crate) struct Crud<'t> {
    server: &'t Postgres,
    /// The next id that nobody has.
    next: i64,
}

impl<'t> Crud<'t> {
    /// On this server, as it was seeded.
    pub(crate) fn new(server: &'t Postgres) -> Self {
        Self { server, next: 100_001 }
    }

    /// `GET /crud/items`: pages of a category in the order of ids.
    pub(crate) fn lists(&self, visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
        let mut ask = |query: &str, category: &str, page: i64, limit: i64| {
            let expected = self.list(category, page, limit);
            is_json(visitor.get(&format!("/crud/items{query}")), &expected);
        };
        for _ in 0..rounds {
            let category = *random.choice(CATEGORIES).expect("not empty");
            let (page, limit) = (random.i64(1..=40), random.i64(1..=50));
            let query = format!("?category={category}&page={page}&limit={limit}");
            ask(&query, category, page, limit);
        }
        for (query, category, page, limit) in [
            ("", "electronics", 1, 10),
            ("?", "electronics", 1, 10),
            ("?category=toys", "toys", 1, 10),
            ("?page=3", "electronics", 3, 10),
            ("?limit=7", "electronics", 1, 7),
            ("?category=office&page=007&limit=010", "office", 7, 10),
            ("?category=office&page=0000000001&limit=5", "office", 1, 5),
            ("?category=office&page=100000&limit=10", "office", 100_000, 10),
            ("?category=nothing", "nothing", 1, 10),
            ("?category=%74oys&limit=3", "toys", 1, 3),
            ("?category=x%27%20OR%201%3D1--", "x' OR 1=1--", 1, 10),
            ("?category=TOYS", "TOYS", 1, 10),
            ("?page=0", "electronics", 1, 10),
            ("?page=-3", "electronics", 1, 10),
            ("?limit=0", "electronics", 1, 1),
            ("?limit=51", "electronics", 1, 50),
            ("?limit=1000000", "electronics", 1, 50),
        ] {
            ask(query, category, page, limit);
        }
        for query in ["page=x", "limit=x", "page=1.5", "limit=1e1", "category=%ff", "category=%zz"]
        {
            visitor.ask(&Request::get(&format!("/crud/items?{query}"))).status(400);
        }
    }

    /// `GET /crud/items/{id}`: a row, from the database and then, for 200 ms, from memory.
    pub(crate) fn reads(&self, visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
        for _ in 0..rounds {
            let id = random.i64(1..=100_000);
            let zeros = "0".repeat(random.usize(0..6));
            let target = format!("/crud/items/{zeros}{id}");
            is_json(visitor.get(&target), &self.item(id));
        }
        for id in ["0", "-1", "x", "1.0", "100000000", "2147483648", "99999999999999999999", "%31x"]
        {
            let refused = visitor.ask(&Request::get(&format!("/crud/items/{id}"))).status(404);
            refused.lacks("X-Cache");
        }
    }

    /// The life of an answer in the cache: MISS, HIT, and MISS again after 200 ms.
    pub(crate) fn keeps(&self, visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
        let mut other = Visitor::new();
        let mut seen = 0;
        for _ in 0..rounds {
            // Far from what `reads` has left.
            let id = random.i64(1..=100_000);
            let (target, expected) = (format!("/crud/items/{id}"), self.item(id));
            thread::sleep(LIFETIME + SLACK);
            let start = Instant::now();
            let miss = is_json(visitor.get(&target), &expected).has("X-Cache", "MISS");
            let hits = [visitor.get(&target), other.get(&format!("/crud/items/00{id}"))];
            let took = start.elapsed();
            for hit in hits {
                // The machine may have been elsewhere for that long.
                if took < LIFETIME {
                    let hit = hit.has("X-Cache", "HIT").body(&miss.answer.body);
                    assert_eq!(names(&hit), names(&miss));
                    seen += 1;
                }
            }
            thread::sleep(LIFETIME + SLACK);
            is_json(visitor.get(&target), &expected).has("X-Cache", "MISS");
        }
        assert!(seen >= rounds, "{seen} hits in {rounds} rounds: the machine is too slow to tell");
    }

    /// `PUT /crud/items/{id}`: the row is changed, and nobody gets the old one any more.
    pub(crate) fn updates(&self, visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
        let mut other = Visitor::new();
        for round in 0..rounds {
            let id = random.i64(1..=100_000);
            let target = format!("/crud/items/{id}");
            visitor.get(&target);
            let fields = fields(random, round);
            let request = Request::json("PUT", &format!("/crud/items/0{id}"), fields.to_string());
            let request = match round % 3 {
                0 => request.body(Body::Chunked(fields.to_string().into_bytes(), vec![7, 1])),
                _ => request,
            };
            let mut expected = json!({ "id": id });
            merge(&mut expected, &fields);
            is_json(visitor.ask(&request).status(200), &expected);
            let mut now = self.item(id);
            merge(&mut now, &fields);
            let read = is_json(other.get(&target), &now).has("X-Cache", "MISS");
            assert_eq!(self.item(id), now, "{}", read.what);
        }
        let id = 77;
        is_json(
            visitor.ask(&Request::json("PUT", "/crud/items/77", "{}")).status(200),
            &json!({
                "id": id, "name": "Updated Product", "category": "test", "price": 0, "quantity": 0,
            }),
        );
        for target in ["/crud/items/99999999", "/crud/items/0", "/crud/items/x"] {
            visitor.ask(&Request::json("PUT", target, r#"{"name":"nobody"}"#)).status(404);
        }
        self.malformed(visitor, |body| Request::json("PUT", "/crud/items/78", body));
    }

    /// A reader and a writer at once: whoever asks after the change gets the new row, although the
    /// reader may have put the old one into the cache meanwhile.
    pub(crate) fn races(&self, visitor: &mut Visitor, random: &mut fastrand::Rng, rounds: usize) {
        let mut other = Visitor::new();
        for round in 0..rounds {
            let id = random.i64(1..=20);
            let read = Request::get(&format!("/crud/items/{id}"));
            let fields = fields(random, round);
            let write = Request::json("PUT", &format!("/crud/items/{id}"), fields.to_string());
            if round % 2 == 0 {
                other.send(&read);
                visitor.send(&write);
            } else {
                visitor.send(&write);
                other.send(&read);
            }
            visitor.answer(&write).status(200);
            let after = visitor.get(&format!("/crud/items/{id}"));
            other.answer(&read).status(200);
            let later = other.ask(&read).status(200);
            for shown in [after, later] {
                let got: Value = serde_json::from_slice(&shown.answer.body).expect("JSON");
                assert_eq!(got["name"], fields["name"], "round {round}: {}: stale", shown.what);
                assert_eq!(got["price"], fields["price"], "round {round}: {}: stale", shown.what);
            }
        }
    }

    /// `POST /crud/items`: a new row, or new values for one that is there.
    pub(crate) fn creates(
        &mut self,
        visitor: &mut Visitor,
        random: &mut fastrand::Rng,
        rounds: usize,
    ) {
        for round in 0..rounds {
            let id = self.next;
            self.next += 1;
            let target = format!("/crud/items/{id}");
            visitor.ask(&Request::get(&target)).status(404);
            let mut fields = fields(random, round);
            self.create(visitor, id, &fields);
            let mut expected = json!({ "id": id });
            merge(&mut expected, &fields);
            merge(
                &mut expected,
                &json!({ "active": true, "tags": [], "rating": { "score": 0, "count": 0 } }),
            );
            is_json(visitor.get(&target), &expected).has("X-Cache", "MISS");
            // Once more, over it.
            fields["name"] = json!(format!("again {round}"));
            self.create(visitor, id, &fields);
            merge(&mut expected, &fields);
            is_json(visitor.get(&target), &expected).has("X-Cache", "MISS");
            assert_eq!(self.item(id), expected);
        }
        // What was seeded keeps what the request does not say.
        let mut expected = self.item(4321);
        let fields = fields(random, 0);
        self.create(visitor, 4321, &fields);
        merge(&mut expected, &fields);
        is_json(visitor.get("/crud/items/4321"), &expected);
        let id = self.next;
        self.next += 1;
        let request = Request::json("POST", "/crud/items", format!(r#"{{"id":{id}}}"#));
        is_json(
            visitor.ask(&request).status(201),
            &json!({
                "id": id, "name": "New Product", "category": "test", "price": 0, "quantity": 0,
            }),
        );
        self.malformed(visitor, |body| Request::json("POST", "/crud/items", body));
        for body in [
            r#"{"name":"no id"}"#,
            r#"{"id":"1"}"#,
            r#"{"id":0}"#,
            r#"{"id":2147483648}"#,
            r#"{"id":-5}"#,
            r#"{"id":null}"#,
            r#"{"id":1.5}"#,
            "{}",
            "",
        ] {
            visitor.ask(&Request::json("POST", "/crud/items", body)).status(400);
        }
        let long = format!(r#"{{"id":{id},"name":"{}"}}"#, "x".repeat(10_000));
        visitor.ask(&Request::json("POST", "/crud/items", long)).status(413);
        visitor.get("/pipeline");
    }

    fn create(&self, visitor: &mut Visitor, id: i64, fields: &Value) {
        let mut body = json!({ "id": id });
        merge(&mut body, fields);
        // What nobody asked for does not harm.
        let mut sent = body.clone();
        merge(&mut sent, &json!({ "more": [1, { "id": 5 }], "tags": ["x"] }));
        let sent = serde_json::to_vec_pretty(&sent).expect("plain values");
        let shown = visitor.ask(&Request::json("POST", "/crud/items", sent)).status(201);
        is_json(shown, &body);
    }

    /// Bodies that are no JSON object, or whose members are of another kind.
    fn malformed(&self, visitor: &mut Visitor, request: impl Fn(&[u8]) -> Request) {
        let bodies: &[&[u8]] = &[
            b"{",
            b"{\"id\":123",
            b"[]",
            b"\"id\"",
            b"5",
            b"null",
            b"nonsense",
            b"{\"id\":123,}",
            b"{\"id\":123} {}",
            b"{'id':123}",
            b"{\"id\":123,\"name\":\"\xff\"}",
            b"{\"id\":123,\"name\":5}",
            b"{\"id\":123,\"price\":\"5\"}",
            b"{\"id\":123,\"price\":99999999999999999999}",
            b"{\"id\":123,\"quantity\":true}",
            b"{\"id\":123,\"quantity\":{}}",
        ];
        let before = self.item(123);
        for body in bodies {
            let refused = visitor.ask(&request(body)).status(400);
            assert!(!refused.answer.body.is_empty(), "{}: says what is wrong", refused.what);
        }
        assert_eq!(self.item(123), before, "what was refused has changed nothing");
    }

    #[track_caller]
    fn item(&self, id: i64) -> Value {
        let mut found = lines(self.server, &format!("WHERE id = {id}"));
        assert_eq!(found.len(), 1, "item {id}");
        found.remove(0)
    }

    fn list(&self, category: &str, page: i64, limit: i64) -> Value {
        let (category, before) = (category.replace('\'', "''"), (page - 1) * limit);
        let rest =
            format!("WHERE category = '{category}' ORDER BY id LIMIT {limit} OFFSET {before}");
        let items = lines(self.server, &rest);
        let total = items.len();
        json!({ "items": items, "total": total, "page": page, "limit": limit })
    }
}

/// Name, category, price and quantity, in this order, with all that text may hold. Prices stay where
/// they are in the sample: other checks know which ranges are empty.
fn fields(random: &mut fastrand::Rng, round: usize) -> Value {
    let text = random.choice(TEXTS).expect("not empty");
    json!({
        "name": format!("{text} {round} {}", random.u32(..)),
        "category": random.choice(CATEGORIES).expect("not empty"),
        "price": random.i32(1..=500),
        "quantity": random.i32(0..=i32::MAX),
    })
}

fn merge(into: &mut Value, from: &Value) {
    let into = into.as_object_mut().expect("an object");
    for (name, value) in from.as_object().expect("an object") {
        into.insert(name.clone(), value.clone());
    }
}

/// Names of its fields.
fn names(shown: &Shown) -> Vec<&str> {
    shown.answer.fields.iter().map(|(name, _)| name.as_str()).collect()
}

const CATEGORIES: &[&str] = &[
    "auto",
    "books",
    "clothing",
    "electronics",
    "garden",
    "home",
    "office",
    "sports",
    "tools",
    "toys",
];
const TEXTS: &[&str] = &[
    "Plain",
    "with \"quotes\" and \\ and /",
    "Gr\u{fc}\u{df}e \u{1f600} \u{4e2d}\u{6587}",
    "tab\tline\nreturn\r bell\u{7} unit\u{1f}",
    "it's; DROP TABLE items; --",
    "<b>&amp;</b>\u{2028}",
];
/// How long an answer is kept.
const LIFETIME: Duration = Duration::from_millis(200);
/// Clocks are read here and there.
const SLACK: Duration = Duration::from_millis(60);
