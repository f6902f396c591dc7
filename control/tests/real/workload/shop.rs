//! What the workload is about: the data directory, read by the test.

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::{Map, Number, Value, json};

use crate::kit::SampleSite;

/// The sample on disk, and its contents.
#[derive(Debug)]
pub(crate) struct Shop {
    /// The files.
    pub(crate) site: SampleSite,
    /// `dataset.json`.
    pub(crate) items: Vec<Value>,
    /// `dataset-large.json`.
    pub(crate) large: Vec<Value>,
    /// The largest multiplier whose totals a double still tells apart, and the test's JSON reader
    /// with it.
    pub(crate) m_max: i64,
}

impl Shop {
    /// Has the binary write its sample below `scratch`.
    #[track_caller]
    pub(crate) fn write(scratch: &Path) -> Self {
        let site = SampleSite::write(scratch);
        let items = array(&site.directory.join("dataset.json"));
        let large = array(&site.directory.join("dataset-large.json"));
        assert_eq!((items.len(), large.len()), (50, 6_000));
        Self { site, items, large, m_max: 1_000_000_000_000 }
    }

    /// The same with prices that have decimals: all kinds of them in the data sets, quarters in half
    /// of the SQLite file.
    #[track_caller]
    pub(crate) fn with_decimals(mut self, random: &mut fastrand::Rng) -> Self {
        for (name, items) in
            [("dataset.json", &mut self.items), ("dataset-large.json", &mut self.large)]
        {
            for item in items.iter_mut() {
                let (whole, part) = (random.u32(0..500), random.u32(0..1000));
                let price = match random.u32(0..5) {
                    0 => format!("{whole}"),
                    1 => format!("{whole}.0"),
                    2 => format!("{whole}.{}", part / 100),
                    3 => format!("{whole}.{:02}", part / 10),
                    _ => format!("{whole}.{part:03}"),
                };
                item["price"] = serde_json::from_str(&price).expect("a number");
            }
            let text = serde_json::to_vec(items).expect("plain values");
            fs::write(self.site.directory.join(name), text).expect("writable");
        }
        let connection = Connection::open(self.database()).expect("the sample has a database");
        connection.execute_batch(QUARTERS).expect("writable");
        connection.close().expect("closes");
        self.m_max = 10_000_000;
        self
    }

    /// The data directory.
    pub(crate) fn directory(&self) -> &str {
        self.site.directory.to_str().expect("a path in UTF-8")
    }

    /// `benchmark.db`.
    pub(crate) fn database(&self) -> PathBuf {
        self.site.directory.join("benchmark.db")
    }

    /// `seed.sql`.
    pub(crate) fn seed(&self) -> PathBuf {
        self.site.directory.join("seed.sql")
    }
}

/// What a route says of the first `count` of `items`, each with its total for `m`.
pub(crate) fn with_totals(items: &[Value], count: usize, m: i64) -> Value {
    let with_total = |item: &Value| {
        let mut item = item.clone();
        let quantity = item["quantity"].as_i64().expect("quantities are integers");
        let total = total(&item["price"].to_string(), quantity, m);
        item.as_object_mut().expect("items are objects").insert("total".to_owned(), total);
        item
    };
    let items: Vec<Value> = items[..count].iter().map(with_total).collect();
    json!({ "items": items, "count": count })
}

/// `price * quantity * m`: an integer if the price is one, else rounded to two decimals, halves away
/// from zero. Long multiplication in thousandths.
fn total(price: &str, quantity: i64, m: i64) -> Value {
    let Some((whole, fraction)) = price.split_once('.') else {
        let price: i64 = price.parse().expect("an integer");
        return json!(price * quantity * m);
    };
    let thousandths: i128 = format!("{whole}{fraction:0<3}").parse().expect("digits");
    let exact = thousandths * i128::from(quantity) * i128::from(m);
    let cents = (exact.abs() + 5) / 10;
    let sign = if exact < 0 { "-" } else { "" };
    let text = format!("{sign}{}.{:02}", cents / 100, cents % 100);
    Value::Number(text.parse::<f64>().ok().and_then(Number::from_f64).expect("a number"))
}

/// Whether two JSON values say the same: see [`difference`].
pub(crate) fn same(got: &Value, expected: &Value) -> bool {
    difference(got, expected).is_none()
}

/// Where two JSON values differ first, and in what. An expected integer must be one; an expected number
/// with decimals may be written without them, where it has none (`12.0` as `12`).
pub(crate) fn difference(got: &Value, expected: &Value) -> Option<String> {
    let whole = || Some(format!(": got {got}, expected {expected}"));
    match (got, expected) {
        (Value::Array(a), Value::Array(b)) => {
            let mut pairs = a.iter().zip(b).enumerate();
            let found = pairs.find_map(|(at, (a, b))| {
                difference(a, b).map(|difference| format!("[{at}]{difference}"))
            });
            let lens = || format!(": got {} elements, expected {}", a.len(), b.len());
            found.or_else(|| (a.len() != b.len()).then(lens))
        }
        // In this order, too.
        (Value::Object(a), Value::Object(b)) if !a.keys().eq(b.keys()) => {
            let names = |object: &Map<String, Value>| {
                object.keys().map(String::as_str).collect::<Vec<_>>().join(",")
            };
            Some(format!(": got {}, expected {}", names(a), names(b)))
        }
        (Value::Object(a), Value::Object(b)) => a.iter().zip(b).find_map(|((name, a), (_, b))| {
            difference(a, b).map(|difference| format!(".{name}{difference}"))
        }),
        (Value::Number(a), Value::Number(b)) if b.is_f64() => match a.as_f64() == b.as_f64() {
            true => None,
            false => whole(),
        },
        _ if got == expected => None,
        _ => whole(),
    }
}

fn array(path: &Path) -> Vec<Value> {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("an array")
}

const QUARTERS: &str = "UPDATE items SET price = price + (id % 4) * 0.25, \
                        rating_score = rating_score + 0.5 WHERE id % 2 = 1";
