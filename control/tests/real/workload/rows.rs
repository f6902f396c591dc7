//! `/db` and `/async-db`: rows of a price range, from SQLite and PostgreSQL.

use rusqlite::{Connection, OpenFlags, Row, params};
use serde_json::{Value, json};
use testkit::Postgres;

use super::shop::{Shop, difference};
use super::visitor::{Request, Visitor};
use crate::kit::Shown;

/// A route, and the test's own way to the rows behind it.
pub(crate) enum Table<'t> {
    /// `/db`.
    Sqlite(Connection),
    /// `/async-db`.
    Postgres(&'t Postgres),
}

impl<'t> Table<'t> {
    /// The SQLite file of the shop.
    pub(crate) fn sqlite(shop: &Shop) -> Self {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Self::Sqlite(Connection::open_with_flags(shop.database(), flags).expect("is there"))
    }

    /// The server.
    pub(crate) fn postgres(server: &'t Postgres) -> Self {
        Self::Postgres(server)
    }

    /// Where they are asked for.
    pub(crate) fn path(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "/db",
            Self::Postgres(_) => "/async-db",
        }
    }

    /// The first rows, at most `limit`, with a price from `min` to `max`.
    fn rows(&self, min: i64, max: i64, limit: i64) -> Vec<Value> {
        match self {
            Self::Sqlite(connection) => {
                let sql =
                    "SELECT * FROM items WHERE price >= ? AND price <= ? ORDER BY rowid LIMIT ?";
                let mut statement = connection.prepare(sql).expect("the table is there");
                let rows = statement.query_map(params![min, max, limit], item).expect("rows");
                rows.collect::<Result<_, _>>().expect("rows")
            }
            Self::Postgres(server) => {
                lines(server, &format!("WHERE price >= {min} AND price <= {max} LIMIT {limit}"))
            }
        }
    }

    /// What the route says of them.
    pub(crate) fn expected(&self, min: i64, max: i64, limit: i64) -> Value {
        let rows = self.rows(min, max, limit);
        json!({ "items": rows, "count": rows.len() })
    }
}

/// Items of PostgreSQL, which makes the JSON itself.
pub(super) fn lines(server: &Postgres, rest: &str) -> Vec<Value> {
    let sql = format!("SELECT {AS_JSON} FROM items {rest}");
    let text = server.query(&sql);
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Random ranges, empty ones, defaults, bounds, odd spellings.
pub(crate) fn rows(
    visitor: &mut Visitor,
    table: &Table<'_>,
    random: &mut fastrand::Rng,
    rounds: usize,
) {
    let path = table.path();
    let mut ask = |query: &str, expected: Value| {
        is_json(visitor.get(&format!("{path}{query}")), &expected);
    };
    for _ in 0..rounds {
        let (min, width, limit) = (random.i64(-5..505), random.i64(0..60), random.i64(1..=50));
        let max = min + width;
        match table {
            Table::Sqlite(_) => ask(&format!("?min={min}&max={max}"), table.expected(min, max, 50)),
            Table::Postgres(_) => {
                let query = format!("?limit={limit}&max={max}&min={min}");
                ask(&query, table.expected(min, max, limit));
            }
        }
    }
    let empty = json!({ "items": [], "count": 0 });
    for query in ["?min=9999&max=99999", "?min=50&max=10", "?min=-9&max=-1", "?min=501&max=501"] {
        ask(query, empty.clone());
    }
    for (query, min, max) in [
        ("", 10, 50),
        ("?", 10, 50),
        ("?min=20", 20, 50),
        ("?max=15", 10, 15),
        ("?other=1", 10, 50),
        ("?min=&max=", 10, 50),
        ("?min=0020&max=00050", 20, 50),
        ("?min=20&min=400&max=40", 20, 40),
        ("?max=%34%30&min=%33%35", 35, 40),
        ("?min=-2147483648&max=2147483647", 1, 1000),
        ("?min=500&max=500", 500, 500),
    ] {
        ask(query, table.expected(min, max, 50));
    }
    if matches!(table, Table::Postgres(_)) {
        for (limit, clamped) in [
            ("0", 1),
            ("-7", 1),
            ("1", 1),
            ("50", 50),
            ("51", 50),
            ("1000000", 50),
            ("9223372036854775807", 50),
            (HUGE, 50),
            ("0020", 20),
        ] {
            ask(&format!("?min=10&max=50&limit={limit}"), table.expected(10, 50, clamped));
        }
    }
}

/// Values that are none.
pub(crate) fn malformed_rows(visitor: &mut Visitor, table: &Table<'_>) {
    let path = table.path();
    let limit = matches!(table, Table::Postgres(_)).then_some("limit");
    for name in ["min", "max"].into_iter().chain(limit) {
        for value in ["x", "1.5", "1e1", "0x10", "1%202", "--1", "%ff", HUGE] {
            // Which bound is near is plain even then.
            if name == "limit" && value == HUGE {
                continue;
            }
            let target = format!("{path}?{name}={value}");
            let refused = visitor.ask(&Request::get(&target)).status(400);
            assert!(!refused.answer.body.is_empty(), "{target}: says what is wrong");
        }
    }
    // Of 64 bits, but the column has 32.
    let target = format!("{path}?min=3000000000&max=4000000000");
    let status = if limit.is_some() { 400 } else { 200 };
    visitor.ask(&Request::get(&target)).status(status);
}

/// An answer of this JSON, uncompressed.
#[track_caller]
pub(super) fn is_json(shown: Shown, expected: &Value) -> Shown {
    let shown = shown.has("Content-Type", "application/json").lacks("Content-Encoding");
    let got: Value = serde_json::from_slice(&shown.answer.body).unwrap_or_else(|error| {
        panic!("{}: {error}: {}", shown.what, String::from_utf8_lossy(&shown.answer.body))
    });
    if let Some(difference) = difference(&got, expected) {
        panic!("{}: answer{difference}", shown.what);
    }
    shown
}

fn item(row: &Row<'_>) -> rusqlite::Result<Value> {
    let tags: String = row.get("tags")?;
    Ok(json!({
        "id": row.get::<_, i64>("id")?,
        "name": row.get::<_, String>("name")?,
        "category": row.get::<_, String>("category")?,
        "price": row.get::<_, f64>("price")?,
        "quantity": row.get::<_, i64>("quantity")?,
        "active": row.get::<_, i64>("active")? == 1,
        "tags": serde_json::from_str::<Value>(&tags).expect("tags are JSON"),
        "rating": {
            "score": row.get::<_, f64>("rating_score")?,
            "count": row.get::<_, i64>("rating_count")?,
        },
    }))
}

/// More than 64 bits.
const HUGE: &str = "99999999999999999999";

const AS_JSON: &str = "json_build_object('id', id, 'name', name, 'category', category, \
    'price', price, 'quantity', quantity, 'active', active, 'tags', tags, \
    'rating', json_build_object('score', rating_score, 'count', rating_count))";
