//! Bodies made of items, against an independent computation.

use handlers::config::{Compress, DatasetConfig, Kind, Outside, Parameter, RouteConfig, Source};
use handlers::{SiteHandle, sample};
use http1::Service;
use http1::coding::Coding;
use serde_json::{Value, json};

use crate::client::{Spy, asking, build, compress, get, request, site};
use crate::configs::{all_items, bounded, integer, route, routes, some_items};
use crate::sources::data;

fn items() -> Vec<Value> {
    serde_json::from_slice(&sample::dataset().value).expect("JSON")
}

/// The body that is expected of integer prices, by the simplest means.
fn expected(items: &[Value], count: usize, k: i64) -> String {
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
    let items = items();
    for count in 1..=50 {
        for k in [1, 2, 3, 7, 8, 100, -1, 0] {
            let answer = get(site(), &format!("/json/{count}?m={k}"), "");
            assert_eq!(answer.text(), expected(&items, count, k), "{count} {k}");
            assert_eq!(answer.field("Content-Type"), Some("application/json"));
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert_eq!(answer.field("Content-Encoding"), None);
        }
    }
    assert_eq!(get(site(), "/json", "").text(), expected(&items, 50, 1));
}

#[test]
fn a_multiplier_of_64_bits_is_exact() {
    let body = get(site(), "/json/1?m=9223372036854775807", "").body;
    let text = String::from_utf8(body).expect("text");
    let items = items();
    let factor = |key: &str| i128::from(items[0][key].as_i64().expect("an integer"));
    let total = factor("price") * factor("quantity") * i128::from(i64::MAX);
    assert!(text.contains(&format!("\"total\":{total}}}")), "{text}");
}

#[test]
fn any_cut_gives_the_same_body() {
    for (count, k) in [(1, 1), (2, -3), (5, 1000), (50, 7)] {
        let path = format!("/json/{count}?m={k}");
        let response = Spy::choice(site(), &path, "");
        let whole = get(site(), &path, "").body;
        assert_eq!(site().body_len(&response), whole.len() as u64);
        for at in 0..whole.len() {
            let mut out = vec![0; whole.len() + 10];
            let got = site().body_into(&response, at as u64, &mut out);
            assert!(out[..got] == whole[at..], "{path} from {at}");
        }
        for piece in [1, 2, 7, 64, 500, 1460] {
            assert!(in_pieces(site(), &response, piece) == whole, "{path} in pieces of {piece}");
        }
    }
}

fn in_pieces(site: &SiteHandle, response: &handlers::Response, piece: usize) -> Vec<u8> {
    let mut body = Vec::new();
    let len = site.body_len(response);
    while (body.len() as u64) < len {
        let mut out = vec![0; piece];
        let got = site.body_into(response, body.len() as u64, &mut out);
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
fn an_unusual_multiplier_is_coded_beside_the_core() {
    for k in ["0", "9", "-1", "1000"] {
        let path = format!("/json/5?m={k}");
        let plain = get(site(), &path, "");
        assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
        for coding in ["gzip", "br"] {
            let input = request("GET", &path, &format!("Accept-Encoding: {coding}\r\n"));
            let answer = asking(site(), input.as_bytes(), false, &mut compress);
            assert_eq!((answer.status, answer.field("Content-Encoding")), (200, Some(coding)));
            assert_eq!(answer.field("Vary"), Some("Accept-Encoding"));
            assert!(answer.plain() == plain.body, "{path} {coding}");
        }
    }
}

/// A site of this data set, as the workload has it.
fn small(dataset: &str) -> SiteHandle {
    build(&routes([
        dataset_route("/json", all_items(data(dataset))),
        dataset_route("/json/{count}", some_items(data(dataset))),
    ]))
}

fn dataset_route(path: &str, plan: DatasetConfig) -> RouteConfig {
    let compress = Compress::Precomputed(vec![Coding::Br, Coding::Gzip]);
    RouteConfig { compress, ..route(path, Kind::Dataset(plan)) }
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

#[test]
fn several_fields_are_computed_in_their_order() {
    let plan = DatasetConfig {
        computed: [
            ("net", "price * quantity"),
            ("gross", "price * quantity * percent"),
            ("each", "price"),
            ("scaled", "k * quantity"),
        ]
        .map(|(name, formula)| (name.into(), formula.into()))
        .to_vec(),
        count: None,
        parameters: vec![integer("percent", Source::Query), integer("k", Source::Query)],
        ..all_items(data(r#"[{"price":2,"quantity":3},{"price":0.5,"quantity":10}]"#))
    };
    let site = build(&routes([route("/d", Kind::Dataset(plan))]));
    let answer = get(&site, "/d?k=-7&percent=119", "");
    assert_eq!(
        answer.text(),
        concat!(
            r#"{"items":[{"price":2,"quantity":3,"net":6,"gross":714,"each":2,"scaled":-21},"#,
            r#"{"price":0.5,"quantity":10,"net":5.0,"gross":595.0,"each":0.5,"scaled":-70}],"#,
            r#""count":2}"#
        )
    );
    assert_eq!(get(&site, "/d?k=1", "").status, 400, "a parameter without default is missing");
    let response = Spy::choice(&site, "/d?k=-7&percent=119", "");
    for at in 0..answer.body.len() {
        let mut out = vec![0; 11];
        let got = site.body_into(&response, at as u64, &mut out);
        assert!(got == 11 || at + got == answer.body.len());
        assert_eq!(out[..got], answer.body[at..at + got], "from {at}");
    }
}

#[test]
fn a_template_may_name_counts_and_parameters() {
    let plan = DatasetConfig {
        computed: Vec::new(),
        count: Some("limit".into()),
        parameters: vec![
            Parameter {
                outside: Outside::Clamp,
                ..bounded(integer("limit", Source::Query), 0, 50)
            },
            integer("page", Source::Path),
        ],
        body: r#" { "page" : page, "is": [ count , limit ], "of": {"rows": rows} } "#.into(),
        ..all_items(data(r#"[{"a":"b c"}, {}, {"n": [1, 2]}]"#))
    };
    let site = build(&routes([route("/{page}/list", Kind::Dataset(plan))]));
    for (path, body) in [
        ("/7/list?limit=0", r#"{"page":7,"is":[0,0],"of":{"rows":[]}}"#),
        ("/007/list?limit=1", r#"{"page":7,"is":[1,1],"of":{"rows":[{"a":"b c"}]}}"#),
        (
            "/-1/list?limit=99",
            r#"{"page":-1,"is":[3,3],"of":{"rows":[{"a":"b c"},{},{"n":[1,2]}]}}"#,
        ),
    ] {
        assert_eq!(get(&site, path, "").text(), body, "{path}");
    }
    assert_eq!(get(&site, "/x/list?limit=1", "").status, 404);
    assert_eq!(get(&site, "/1/list?limit=x", "").status, 400);
    assert_eq!(get(&site, "/1/list", "").status, 400);
}

#[test]
fn a_body_without_rows_is_a_body_too() {
    let items = data(r#"[{"price":1,"quantity":2}]"#);
    let plan = DatasetConfig { body: r#"{"count": count}"#.into(), ..all_items(items) };
    let site = build(&routes([route("/n", Kind::Dataset(plan))]));
    assert_eq!(get(&site, "/n", "").text(), r#"{"count":1}"#);
    assert_eq!(get(&site, "/n", "").field("Vary"), None, "there is one coding");
}

#[test]
fn a_long_body_is_rendered_in_pieces() {
    let plan = DatasetConfig {
        count: Some("count".into()),
        parameters: vec![integer("count", Source::Path), integer("m", Source::Query)],
        ..some_items(sample::dataset_large())
    };
    let site = build(&routes([route("/large/{count}", Kind::Dataset(plan))]));
    let items: Vec<Value> = serde_json::from_slice(&sample::dataset_large().value).expect("JSON");
    let whole = get(&site, "/large/6000?m=12", "").body;
    assert!(whole == expected(&items, 6000, 12).as_bytes());
    let response = Spy::choice(&site, "/large/6000?m=12", "");
    assert!(in_pieces(&site, &response, 30_011) == whole);
}
