//! Bodies made of items, against an independent computation.

use handlers::{Material, Named, Site};
use http1::Service;
use serde_json::{Value, json};

use crate::client::{Spy, build, get, material, site};

/// The body that is expected of integer prices, by the simplest means.
fn expected(material: &Material, count: usize, k: i64) -> String {
    let items: Vec<Value> = serde_json::from_slice(&material.dataset.value).expect("JSON");
    let items: Vec<Value> = items[..count]
        .iter()
        .map(|item| {
            let mut item = item.clone();
            let integer = |key: &str| item[key].as_i64().expect("an integer");
            let total = integer("price") * integer("quantity") * k;
            item["total"] = json!(total);
            item
        })
        .collect();
    json!({ "items": items, "count": count }).to_string()
}

#[test]
fn every_count_and_multiplier() {
    for count in 1..=50 {
        for k in [1, 2, 3, 7, 8, 100, -1, 0] {
            let answer = get(site(), &format!("/json/{count}?m={k}"), "");
            assert_eq!(answer.text(), expected(material(), count, k), "{count} {k}");
            assert_eq!(answer.field("Content-Type"), Some("application/json"));
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(answer.field("Content-Encoding"), None);
        }
    }
    assert_eq!(get(site(), "/json", "").text(), expected(material(), 50, 1));
}

#[test]
fn a_multiplier_of_64_bits_is_exact() {
    let body = get(site(), "/json/1?m=9223372036854775807", "").body;
    let text = String::from_utf8(body).expect("text");
    let items: Vec<Value> = serde_json::from_slice(&material().dataset.value).expect("JSON");
    let factor = |key: &str| i128::from(items[0][key].as_i64().expect("an integer"));
    let total = factor("price") * factor("quantity") * i128::from(i64::MAX);
    assert!(text.contains(&format!("\"total\":{total}}}")), "{text}");
}

#[test]
fn any_cut_gives_the_same_body() {
    for (count, k) in [(1, 1), (2, -3), (5, 1000), (50, 7)] {
        let path = format!("/json/{count}?m={k}");
        let reply = Spy::choice(site(), &path, "");
        let whole = get(site(), &path, "").body;
        assert_eq!(site().body_len(&reply), whole.len() as u64);
        for at in 0..whole.len() {
            let mut out = vec![0; whole.len() + 10];
            let got = site().body_into(&reply, at as u64, &mut out);
            assert!(out[..got] == whole[at..], "{path} from {at}");
        }
        for piece in [1, 2, 7, 64, 500, 1460] {
            assert!(in_pieces(site(), &reply, piece) == whole, "{path} in pieces of {piece}");
        }
    }
}

fn in_pieces(site: &Site, reply: &handlers::Reply, piece: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let len = site.body_len(reply);
    while (body.len() as u64) < len {
        let mut out = vec![0; piece];
        let got = site.body_into(reply, body.len() as u64, &mut out);
        assert!(got == piece || (body.len() + got) as u64 == len, "a short piece in the middle");
        body.extend_from_slice(&out[..got]);
    }
    body
}

#[test]
fn coded_bodies_say_the_same() {
    for count in 1..=50 {
        for k in 1..=8 {
            let path = format!("/json/{count}?m={k}");
            let plain = get(site(), &path, "");
            for coding in ["gzip", "br"] {
                let answer = get(site(), &path, &format!("Accept-Encoding: {coding}\r\n"));
                assert_eq!(answer.field("Content-Encoding"), Some(coding));
                assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
                assert!(answer.plain() == plain.body, "{path} {coding}");
            }
        }
    }
    let plain = get(site(), "/json", "");
    for coding in ["gzip", "br"] {
        let answer = get(site(), "/json", &format!("Accept-Encoding: {coding}\r\n"));
        assert_eq!(answer.field("Content-Encoding"), Some(coding));
        assert!(answer.plain() == plain.body);
        assert!(answer.body.len() * 4 < plain.body.len());
    }
}

#[test]
fn the_coding_of_the_workload_is_the_smallest() {
    let answer = get(site(), "/json/25?m=4", "Accept-Encoding: gzip, br\r\n");
    assert_eq!(answer.field("Content-Encoding"), Some("br"));
}

#[test]
fn an_unusual_multiplier_is_answered_plain() {
    for k in ["0", "9", "-1", "1000"] {
        let answer = get(site(), &format!("/json/5?m={k}"), "Accept-Encoding: gzip, br\r\n");
        assert_eq!((answer.status, answer.field("Content-Encoding")), (200, None));
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
    }
}

fn small(dataset: &str) -> Site {
    let dataset = Named { name: "small".into(), value: dataset.into() };
    build(&Material { dataset, files: Vec::new() })
}

#[test]
fn decimal_prices_make_totals_of_two_decimals() {
    let site = small(
        r#"[ {"id": 1, "price": 5.0, "quantity": 1}, {"id": 2, "price": 12.3, "quantity": 12},
             {"id": 3, "price": 0.125, "quantity": 1}, {"id": 4, "price": 7, "quantity": 3} ]"#,
    );
    let one = concat!(
        r#"{"items":[{"id":1,"price":5.0,"quantity":1,"total":5.0},"#,
        r#"{"id":2,"price":12.3,"quantity":12,"total":147.6},"#,
        r#"{"id":3,"price":0.125,"quantity":1,"total":0.13},"#,
        r#"{"id":4,"price":7,"quantity":3,"total":21}],"count":4}"#,
    );
    assert_eq!(get(&site, "/json", "").text(), one);
    assert_eq!(get(&site, "/json/4?m=1", "").text(), one);
    let thrice = get(&site, "/json/3?m=3", "");
    let thrice: Value = serde_json::from_slice(&thrice.body).expect("JSON");
    let totals: Vec<_> = (0..3).map(|at| thrice["items"][at]["total"].to_string()).collect();
    assert_eq!(totals, ["15.0", "442.8", "0.38"]);
}

#[test]
fn counts_end_with_the_items() {
    let site = small(r#"[{"price":1,"quantity":2},{"price":3,"quantity":4}]"#);
    assert_eq!(
        get(&site, "/json/2?m=9", "").text(),
        r#"{"items":[{"price":1,"quantity":2,"total":18},{"price":3,"quantity":4,"total":108}],"count":2}"#
    );
    assert_eq!(get(&site, "/json/3", "").status, 404);
    let many = vec![r#"{"price":1,"quantity":2}"#; 60].join(",");
    let site = small(&format!("[{many}]"));
    assert_eq!(get(&site, "/json/50", "").status, 200);
    assert_eq!(get(&site, "/json/51", "").status, 404);
    let all: Value = serde_json::from_slice(&get(&site, "/json", "").body).expect("JSON");
    assert_eq!(all["count"], 60);
}
