//! The answers that are made of items: `/json`, `/json/{count}`, `/compression`.

use serde_json::Value;
use testkit::decoded;

use super::coding::CHOICES;
use super::shop::{Shop, difference, with_totals};
use super::visitor::{Request, Visitor};
use crate::kit::Shown;

/// `/json`: all items, in every coding.
pub(crate) fn whole(visitor: &mut Visitor, shop: &Shop) {
    let expected = with_totals(&shop.items, shop.items.len(), 1);
    in_every_coding(visitor, "/json", &expected);
}

/// `/json/{count}?m={m}` for every count and every m from 1 to 8, plain and in both codings.
pub(crate) fn every_pair(visitor: &mut Visitor, shop: &Shop) {
    for count in 1..=50 {
        in_every_coding(visitor, &format!("/json/{count}"), &with_totals(&shop.items, count, 1));
        for m in 1..=8 {
            let expected = with_totals(&shop.items, count, m);
            in_every_coding(visitor, &format!("/json/{count}?m={m}"), &expected);
        }
    }
}

/// Any m at all.
pub(crate) fn random_pairs(
    visitor: &mut Visitor,
    shop: &Shop,
    random: &mut fastrand::Rng,
    rounds: usize,
) {
    for round in 0..rounds {
        let count = random.usize(1..=50);
        let m = match round % 4 {
            0 => random.i64(9..100),
            1 => random.i64(-100..=0),
            2 => random.i64(-10_000..10_000),
            _ => random.i64(-shop.m_max..=shop.m_max),
        };
        let expected = with_totals(&shop.items, count, m);
        in_every_coding(visitor, &format!("/json/{count}?m={m}"), &expected);
    }
    for (query, m) in [("?m=007", 7), ("?x=9&m=3", 3), ("?m=3&m=4", 3), ("?n=5", 1), ("?m=", 1)] {
        let expected = with_totals(&shop.items, 5, m);
        is_json(visitor.get(&format!("/json/5{query}")), "identity", &expected);
    }
    is_json(visitor.get("/json/05?m=2"), "identity", &with_totals(&shop.items, 5, 2));
    for target in ["/json/0", "/json/51", "/json/-1", "/json/x", "/json/", "/json/1.0", "/json/5/6"]
    {
        visitor.ask(&Request::get(target)).status(404);
    }
    for query in ["m=x", "m=1.5", "m=99999999999999999999"] {
        visitor.ask(&Request::get(&format!("/json/5?{query}"))).status(400);
    }
}

/// `/compression`: the large data set, below 500,000 bytes where it is coded.
pub(crate) fn compression(visitor: &mut Visitor, shop: &Shop) {
    let expected = with_totals(&shop.large, shop.large.len(), 1);
    let content = in_every_coding(visitor, "/compression", &expected);
    assert!(content.len() > 1_000_000, "{} bytes are not large", content.len());
    for coding in ["gzip", "br", "gzip, br"] {
        let shown = visitor.ask(&Request::get("/compression").accepting(coding)).status(200);
        let (on_wire, coding) = (shown.answer.body.len(), shown.value("Content-Encoding"));
        println!("/compression: {} bytes, {on_wire} in {coding}", content.len());
        assert!(on_wire < 500_000, "{on_wire} bytes in {coding}");
    }
}

/// Every way to say what one takes.
pub(crate) fn codings_of_items(visitor: &mut Visitor, shop: &Shop) {
    let pair = with_totals(&shop.items, 25, 4);
    let all = with_totals(&shop.items, shop.items.len(), 1);
    let large = with_totals(&shop.large, shop.large.len(), 1);
    for (target, expected) in [("/json/25?m=4", &pair), ("/json", &all), ("/compression", &large)] {
        for (accepted, coding) in CHOICES {
            let shown = visitor.ask(&Request::get(target).accepting(accepted));
            is_json(shown, coding, expected);
        }
    }
    // Two lines are one list.
    let request = Request::get("/json/25?m=4").accepting("gzip;q=0.5").accepting("br;q=0.4");
    is_json(visitor.ask(&request), "gzip", &pair);
}

/// Asks plain, in gzip and in br: the same bytes once decoded. Returns them.
#[track_caller]
fn in_every_coding(visitor: &mut Visitor, target: &str, expected: &Value) -> Vec<u8> {
    let plain = is_json(visitor.get(target), "identity", expected);
    for coding in ["gzip", "br"] {
        let shown = visitor.ask(&Request::get(target).accepting(coding));
        let what = shown.what.clone();
        let content = coded(shown, coding);
        assert!(content == plain, "{what}: is not what it is without a coding");
    }
    plain
}

/// An answer with this JSON in this coding. Returns its content.
#[track_caller]
fn is_json(shown: Shown, coding: &str, expected: &Value) -> Vec<u8> {
    let what = shown.what.clone();
    let content = coded(shown, coding);
    let got: Value = serde_json::from_slice(&content).unwrap_or_else(|error| {
        panic!("{what}: is no JSON, {error}: {}", String::from_utf8_lossy(&content))
    });
    if let Some(difference) = difference(&got, expected) {
        panic!("{what}: answer{difference}");
    }
    content
}

/// The content of an answer of a route that compresses, which must have come in this coding.
#[track_caller]
fn coded(shown: Shown, coding: &str) -> Vec<u8> {
    let shown = shown.status(200).has("Content-Type", "application/json");
    let shown = shown.has("Vary", "Accept-Encoding");
    let shown = match coding {
        "identity" => shown.lacks("Content-Encoding"),
        _ => shown.has("Content-Encoding", coding),
    };
    decoded(coding, &shown.answer.body)
}
