//! Queries as control uses them: compiled, bound, answered.

mod keys;

use std::io::Read;
use std::time::Duration;

use http1::coding::{Accepted, Coding};
use http1::{Method, Status};
use proptest::prelude::*;

use crate::config::{
    Bounds, CacheConfig, Compress, Database, Decimal, Kind, Outside, Parameter, QueryConfig,
    RouteConfig, Source, Value, ValueKind,
};
use crate::fields::Fields;
use crate::methods::Methods;
use crate::request::Inputs;
use crate::response::RenderedResponse;

use super::{Bound, ColumnConversion, ColumnError, Query, Row, compile, json};
use crate::error::SettingError;

const PLAIN: Accepted = Accepted::IDENTITY_ONLY;

fn gzip() -> Accepted {
    Accepted::from_values([&b"gzip"[..]])
}

fn parameter(name: &str, from: Source, kind: ValueKind, default: Option<Value>) -> Parameter {
    let (bounds, outside) = (None, Outside::Refuse);
    Parameter { name: name.into(), from, kind, default, bounds, outside }
}

fn plan(path: &str, methods: Methods) -> RouteConfig {
    RouteConfig {
        name: None,
        path: path.into(),
        below: false,
        methods,
        headers: Vec::new(),
        compress: Compress::Off,
        kind: Kind::Sum,
    }
}

/// A list: two integers and a text of the query, a body around the rows.
fn list() -> (RouteConfig, QueryConfig) {
    let limit = Parameter {
        bounds: Some(Bounds::integers(1, 50)),
        outside: Outside::Clamp,
        ..parameter("limit", Source::Query, ValueKind::Integer, Some(Value::Integer(10)))
    };
    let text = Some(Value::Text("electronics".into()));
    let query = QueryConfig {
        database: Database::Postgres,
        statement: "items_by_category".into(),
        sql: "SELECT id, name FROM items WHERE category = $1 LIMIT $2".into(),
        arguments: vec!["category".into(), "limit".into()],
        parameters: vec![limit, parameter("category", Source::Query, ValueKind::Text, text)],
        row: r#"{"id": id, "name": name}"#.into(),
        body: Some(r#"{"items": rows, "total": count, "limit": limit}"#.into()),
        status: Status::S200,
        unavailable: Some(r#"{"items":[],"count":0}"#.into()),
        cache: None,
        invalidates: Vec::new(),
        writes: false,
    };
    (plan("/items", Methods::GET), query)
}

/// One row by a segment of the path, cached.
fn item() -> (RouteConfig, QueryConfig) {
    let id = Parameter {
        bounds: Some(Bounds::integers(1, 2_147_483_647)),
        ..parameter("id", Source::Path, ValueKind::Integer, None)
    };
    let query = QueryConfig {
        statement: "item_by_id".into(),
        sql: "SELECT id, name FROM items WHERE id = $1".into(),
        arguments: vec!["id".into()],
        parameters: vec![id],
        body: None,
        unavailable: None,
        cache: Some(CacheConfig { lifetime: Duration::from_millis(200), header: "X-Cache".into() }),
        ..list().1
    };
    (plan("/items/{id}", Methods::GET), query)
}

/// A write: the identifier in the path, the rest in the body.
fn update() -> (RouteConfig, QueryConfig) {
    let text = Some(Value::Text("Updated Product".into()));
    let query = QueryConfig {
        statement: "item_update".into(),
        sql: "UPDATE items SET name = $2, price = $3 WHERE id = $1 RETURNING id, name".into(),
        arguments: vec!["id".into(), "name".into(), "price".into()],
        parameters: vec![
            item().1.parameters.remove(0),
            parameter("name", Source::Body, ValueKind::Text, text),
            parameter("price", Source::Body, ValueKind::Integer, Some(Value::Integer(0))),
        ],
        cache: None,
        invalidates: vec!["item".into()],
        ..item().1
    };
    (plan("/items/{id}", Methods::NONE.with(Method::Put)), query)
}

fn compile((route, query): &(RouteConfig, QueryConfig)) -> Query {
    try_compile(route, query).expect("valid")
}

fn try_compile(route: &RouteConfig, query: &QueryConfig) -> Result<Query, SettingError> {
    compile::compile(route, query, &Fields::check(route, &[])?)
}

fn bound(query: &Query, path: &str, pairs: &str, body: &str) -> Result<Vec<Value>, String> {
    let captures = (!path.is_empty()).then_some(("id", path));
    let inputs = Inputs::new(captures, pairs.as_bytes(), body.as_bytes(), PLAIN);
    match query.bind(&inputs) {
        Ok(bound) => Ok(query.arguments(&bound).into_iter().cloned().collect()),
        Err(refusal) => {
            assert_eq!(refusal.field("Content-Type"), Some("text/plain"));
            Err(format!("{} {}", refusal.status().code(), text(&refusal)))
        }
    }
}

fn text(answer: &RenderedResponse) -> &str {
    std::str::from_utf8(answer.body()).expect("text")
}

/// Columns of a row that are JSON already, in the order of the columns of the query.
struct Texts<'t>(&'t [&'t str]);

impl Row for Texts<'_> {
    fn write(
        &self,
        column: usize,
        _: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError> {
        json::write_json(self.0[column], out)
    }
}

fn answer(query: &Query, bound: &Bound, rows: &[&[&str]], accepted: Accepted) -> RenderedResponse {
    let mut answer = query.begin(bound);
    for row in rows {
        answer.push(&Texts(row)).expect("JSON");
    }
    answer.finish(accepted)
}

fn defaults(query: &Query) -> Bound {
    query.bind(&Inputs::new([("id", "7")], b"", b"", PLAIN)).expect("all have defaults")
}

#[test]
fn queries_are_bound_in_the_order_of_the_placeholders() {
    let query = compile(&list());
    let values =
        |category: &str, limit| Ok(vec![Value::Text(category.into()), Value::Integer(limit)]);
    for (pairs, want) in [
        ("", values("electronics", 10)),
        ("limit=007&category=toys", values("toys", 7)),
        ("category=home+%26%20garden&x=%zz", values("home & garden", 10)),
        ("limit=&category=", values("electronics", 10)),
        ("limit=1000", values("electronics", 50)),
        ("limit=-99999999999999999999", values("electronics", 1)),
        ("limit=5&limit=x", values("electronics", 5)),
        (
            "limit=abc",
            Err("400 parameter \"limit\" in the query: expected an integer from 1 to 50, \
                 found \"abc\"\n"
                .into()),
        ),
        (
            "limit=%5",
            Err("400 parameter \"limit\" in the query: expected UTF-8, each % with two digits, \
                 found \"%5\"\n"
                .into()),
        ),
        (
            "category=%ff",
            Err(
                "400 parameter \"category\" in the query: expected UTF-8, each % with two digits, \
                 found \"%ff\"\n"
                    .into(),
            ),
        ),
        (
            "category=a%00%1b[0m",
            Err("400 parameter \"category\" in the query: expected text without NUL, \
                 found \"a\\u{0}\\u{1b}[0m\"\n"
                .into()),
        ),
    ] {
        assert_eq!(bound(&query, "", pairs, ""), want, "{pairs}");
    }
}

#[test]
fn a_path_that_names_nothing_is_not_found() {
    let query = compile(&item());
    assert_eq!(bound(&query, "0042", "id=1", ""), Ok(vec![Value::Integer(42)]));
    for path in ["x", "0", "-1", "2147483648", "99999999999999999999", "1.0", " 1"] {
        let want = format!(
            "404 parameter \"id\" in the path: expected an integer from 1 to 2147483647, \
             found \"{path}\"\n"
        );
        assert_eq!(bound(&query, path, "", ""), Err(want));
    }
}

#[test]
fn bodies_are_objects_of_which_only_known_members_count() {
    let query = compile(&update());
    let values = |name: &str, price| {
        Ok(vec![Value::Integer(7), Value::Text(name.into()), Value::Integer(price)])
    };
    let refused = |problem: &str| Err(format!("400 {problem}\n"));
    for (body, want) in [
        ("", values("Updated Product", 0)),
        (" \r\n", values("Updated Product", 0)),
        ("{}", values("Updated Product", 0)),
        (r#" {"name": "Ünï\u0041", "price": 30.0, "x": [{"name": 1}]} "#, values("ÜnïA", 30)),
        (r#"{"id": 1, "id": 2, "pr\u0069ce": 5}"#, values("Updated Product", 5)),
        (
            r#"{"price": 3.5}"#,
            refused(
                "parameter \"price\" in the body: expected an integer within 64 bits, found 3.5",
            ),
        ),
        (
            r#"{"name": null}"#,
            refused("parameter \"name\" in the body: expected text without NUL, found null"),
        ),
        (
            r#"{"price": 1, "price": 2}"#,
            refused(
                "body: expected a JSON object, found at line 1, column 20: \
                 the member \"price\" a second time",
            ),
        ),
        ("[1]", refused("body: expected a JSON object, found [1]")),
        (
            r#"{"name": "a""#,
            refused(
                "body: expected a JSON object, found at line 1, column 12: \
                 EOF while parsing an object",
            ),
        ),
        (
            "{} {}",
            refused("body: expected a JSON object, found at line 1, column 4: trailing characters"),
        ),
    ] {
        assert_eq!(bound(&query, "7", "", body), want, "{body}");
    }
    let inputs = Inputs::new([("id", "7")], b"", b"{\"x\":\"\xff\"}", PLAIN);
    let refusal = query.bind(&inputs).expect_err("not UTF-8");
    assert_eq!(text(&refusal), "body: expected a JSON object, found bytes that are no UTF-8\n");
}

#[test]
fn what_has_no_default_must_be_there() {
    let (route, mut plan) = update();
    plan.parameters[1].default = None;
    let query = compile(&(route, plan));
    for (body, want) in [
        ("", "400 body: expected a JSON object, found nothing\n"),
        ("{}", "400 parameter \"name\" in the body: expected text without NUL, found nothing\n"),
    ] {
        assert_eq!(bound(&query, "7", "", body), Err(want.into()));
    }
}

#[test]
fn rows_go_into_the_body() {
    let query = compile(&list());
    let names: Vec<_> = query.columns().iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["id", "name"]);
    let bound = defaults(&query);
    for (rows, want) in [
        (&[][..], r#"{"items":[],"total":0,"limit":10}"#),
        (&[&["1", "\"a\""][..]], r#"{"items":[{"id":1,"name":"a"}],"total":1,"limit":10}"#),
        (
            &[&["1", "null"], &["2", "\"b\""]],
            r#"{"items":[{"id":1,"name":null},{"id":2,"name":"b"}],"total":2,"limit":10}"#,
        ),
    ] {
        let answer = answer(&query, &bound, rows, gzip());
        assert_eq!((answer.status(), text(&answer)), (Status::S200, want));
        assert_eq!(answer.field("Content-Type"), Some("application/json"));
        assert_eq!(answer.field("Content-Length"), Some(&*want.len().to_string()));
        assert_eq!((answer.field("Vary"), answer.field("Content-Encoding")), (None, None));
    }
}

#[test]
fn every_kind_of_parameter_goes_into_the_body() {
    let (route, mut plan) = list();
    plan.parameters = vec![
        parameter(
            "n",
            Source::Query,
            ValueKind::Number,
            Some(Value::Number(Decimal::parse("0.50").expect("a number"))),
        ),
        parameter("t", Source::Query, ValueKind::Text, Some(Value::Text("a\"b".into()))),
        parameter("b", Source::Query, ValueKind::Boolean, Some(Value::Boolean(true))),
        parameter("j", Source::Query, ValueKind::Json, Some(Value::Json("{\"x\": 1}".into()))),
    ];
    plan.arguments = vec!["t".into(), "n".into()];
    plan.body = Some("[n, t, b, j]".into());
    let query = compile(&(route, plan));
    let answer = answer(&query, &defaults(&query), &[], PLAIN);
    assert_eq!(text(&answer), r#"[0.50,"a\"b",true,{"x": 1}]"#);
}

#[test]
fn one_row_is_the_answer_or_nothing_is_found() {
    let (route, mut plan) = item();
    plan.status = Status::S201;
    let query = compile(&(route, plan));
    let bound = defaults(&query);
    let none = answer(&query, &bound, &[], PLAIN);
    assert_eq!((none.status(), text(&none)), (Status::S404, "404 Not Found\n"));
    let mut rows = query.begin(&bound);
    assert!(!rows.is_full());
    rows.push(&Texts(&["1", "\"a\""])).expect("JSON");
    assert!(rows.is_full());
    let bytes = rows.bytes();
    rows.push(&Texts(&["2", "\"b\""])).expect("passed over");
    assert_eq!((rows.bytes(), bytes), (19, 19));
    let one = rows.finish(PLAIN);
    assert_eq!((one.status(), text(&one)), (Status::S201, r#"{"id":1,"name":"a"}"#));
}

#[test]
fn a_column_that_fails_is_named_and_leaves_nothing() {
    let query = compile(&list());
    let bound = defaults(&query);
    let mut rows = query.begin(&bound);
    rows.push(&Texts(&["1", "\"a\""])).expect("JSON");
    let error = rows.push(&Texts(&["2", "b"])).expect_err("not JSON");
    assert_eq!(error.to_string(), "row 2, column \"name\": expected JSON, found b");
    let answer = rows.finish(PLAIN);
    assert_eq!(text(&answer), r#"{"items":[{"id":1,"name":"a"}],"total":1,"limit":10}"#);
}

#[test]
fn answers_are_pressed_if_that_makes_them_smaller() {
    let (mut route, plan) = list();
    route.compress = Compress::PerRequest(vec![Coding::Br, Coding::Gzip]);
    let query = compile(&(route, plan));
    let bound = defaults(&query);
    let rows = [&["1", "\"the same name\""][..]; 50];
    let whole = answer(&query, &bound, &rows, PLAIN);
    assert_eq!((whole.field("Content-Encoding"), whole.field("Vary")), {
        (None, Some("Accept-Encoding"))
    });
    let compressed = answer(&query, &bound, &rows, gzip());
    assert_eq!(compressed.field("Content-Encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(compressed.body()).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, whole.body());
    let both = Accepted::from_values([&b"gzip, br"[..]]);
    assert_eq!(answer(&query, &bound, &rows, both).field("Content-Encoding"), Some("br"));
    assert_eq!((query.coding(both), query.coding(PLAIN)), (Coding::Br, Coding::Identity));
    let (mut route, plan) = list();
    route.compress = Compress::PerRequest(vec![Coding::Gzip]);
    let small = answer(&compile(&(route, plan)), &bound, &[], gzip());
    assert_eq!(small.field("Content-Encoding"), None);
    assert_eq!(small.field("Vary"), Some("Accept-Encoding"));
}

#[test]
fn every_answer_has_the_extra_fields() {
    let (mut route, plan) = item();
    route.headers = vec![("X-Extra".into(), "a b".into())];
    let query = compile(&(route, plan));
    let bound = defaults(&query);
    for answer in [
        answer(&query, &bound, &[&["1", "2"]], PLAIN),
        answer(&query, &bound, &[], PLAIN),
        query.unavailable(),
        query.failed(Status::S409, "409 Conflict"),
        query.refuse(0, "it is too large"),
        query.bind(&Inputs::new([("id", "x")], b"", b"", PLAIN)).expect_err("no integer"),
    ] {
        assert_eq!(answer.field("X-Extra"), Some("a b"), "{answer:?}");
    }
    let with = answer(&query, &bound, &[&["1", "2"]], PLAIN).with_field("X-Cache", "MISS");
    assert_eq!(with.field("X-Cache"), Some("MISS"));
}

#[test]
fn what_cannot_be_answered_is_told() {
    let (list, item) = (compile(&list()), compile(&item()));
    let degraded = list.unavailable();
    assert_eq!((degraded.status(), text(&degraded)), (Status::S200, r#"{"items":[],"count":0}"#));
    for busy in [list.busy(), item.unavailable()] {
        assert_eq!((busy.status(), text(&busy)), (Status::S503, "503 Service Unavailable\n"));
        assert_eq!(busy.field("Retry-After"), Some("1"));
    }
    let refused = item.refuse(0, "expected an integer of 32 bits");
    assert_eq!(refused.status(), Status::S404);
    assert_eq!(text(&refused), "parameter \"id\" in the path: expected an integer of 32 bits\n");
    let refused = list.refuse(1, "expected less");
    assert_eq!(refused.status(), Status::S400);
    assert_eq!(text(&refused), "parameter \"limit\" in the query: expected less\n");
    let failed = list.failed(Status::S409, "409 Conflict: such a row is there");
    assert_eq!(failed.status(), Status::S409);
    assert_eq!(text(&failed), "409 Conflict: such a row is there\n");
}

#[test]
fn only_what_is_known_to_change_nothing_is_a_read() {
    for only_reads in [true, false] {
        let query = compile(&list());
        assert!(query.is_unknown() && !query.is_read(), "nobody knows yet");
        query.set_only_reads(only_reads);
        assert_eq!((query.is_unknown(), query.is_read()), (false, only_reads));
    }
    let read = |(route, plan): (RouteConfig, QueryConfig)| {
        let query = compile(&(route, plan));
        query.set_only_reads(true);
        (query.is_taken_for_read(), query.is_read())
    };
    assert_eq!(read(item()), (true, true));
    assert_eq!(read(update()), (false, false));
    let (route, plan) = list();
    let clears = QueryConfig { invalidates: vec!["item".into()], ..plan.clone() };
    assert_eq!(read((route.clone(), clears)), (true, false));
    assert_eq!(read((route.clone(), QueryConfig { writes: true, ..plan.clone() })), (false, false));
    let database = Database::Sqlite("a.db".into());
    let sql = plan.sql.replace('$', "?");
    assert!(
        compile(&(route, QueryConfig { database, sql, ..plan })).is_read(),
        "a file is only read"
    );
}

type Change = fn(&mut RouteConfig, &mut QueryConfig);

fn faults(base: fn() -> (RouteConfig, QueryConfig), rows: &[(Change, &str)]) {
    for (change, want) in rows {
        let (mut route, mut plan) = base();
        change(&mut route, &mut plan);
        let SettingError { key, value, problem, fix } =
            try_compile(&route, &plan).expect_err("a mistake");
        assert_eq!(format!("{key} = {value}: {problem}; {fix}"), *want);
    }
}

#[test]
fn mistakes_in_parameters_and_statements_are_told() {
    let rows: &[(Change, &str)] = &[
        (
            |_, plan| plan.arguments[1] = "limt".into(),
            "arguments = limt: no parameter is called this; did you mean limit?",
        ),
        (
            |_, plan| plan.arguments[1] = "offset".into(),
            "arguments = offset: no parameter is called this; \
             add parameters.offset = { from = .., type = .. }",
        ),
        (
            |_, plan| plan.parameters[1].name = "limit".into(),
            "parameters = limit: two parameters have this name; give each its own",
        ),
        (
            |_, plan| plan.parameters[1].from = Source::Body,
            "parameters.category.from = body: the route answers GET, which has no body; \
             write methods = [\"POST\"], say",
        ),
        (
            |_, plan| plan.sql.push_str(" OFFSET $3"),
            "statement = items_by_category: it has a placeholder 3, but 2 arguments; \
             name a parameter in arguments for each placeholder",
        ),
        (
            |_, plan| plan.sql = "SELECT id, name FROM items LIMIT $2 -- $1".into(),
            "statement = items_by_category: it has no placeholder 1 for the argument category; \
             use it, or take it from arguments",
        ),
        (
            |_, plan| plan.sql.push('\''),
            "statement = items_by_category: a quote has no end; close it",
        ),
        (
            |_, plan| plan.database = Database::Sqlite("a.db".into()),
            "statement = items_by_category: a placeholder $1 has a name; \
             write ?1 for the first argument, ?2 for the second",
        ),
        (
            |_, plan| {
                plan.parameters.push(parameter("x", Source::Query, ValueKind::Integer, None));
            },
            "parameters = x: neither arguments nor body use it; use it, or take it away",
        ),
    ];
    faults(list, rows);
}

#[test]
fn mistakes_in_answers_are_told() {
    let rows: &[(Change, &str)] = &[
        (
            |_, plan| plan.row = "{\"id\": id,}".into(),
            "row = }: line 1, column 11: expected a key; keys stand in double quotes: \"id\": id",
        ),
        (
            |_, plan| plan.body = Some("{\"items\": row}".into()),
            "body = row: line 1, column 11: nothing is called \"row\"; \
             did you mean rows? known are rows, count, limit, category",
        ),
        (
            |_, plan| plan.status = Status::S204,
            "status = 204: a response with rows does not have this status; write 200",
        ),
        (
            |_, plan| plan.status = Status::S404,
            "status = 404: a response with rows does not have this status; write 200",
        ),
        (
            |_, plan| plan.unavailable = Some("{items:[]}".into()),
            "unavailable = {items:[]}: it is not JSON; write JSON, or take it away for 503",
        ),
        (
            |route, _| route.compress = Compress::Precomputed(vec![Coding::Gzip]),
            "compress = precomputed: rows are not known before they are asked for; \
             write \"per-request\"",
        ),
        (
            |route, _| route.headers = vec![("X-Long".into(), "x".repeat(1000))],
            "headers = 1 fields: the head of a response may have 1268 bytes; \
             at most 1024 are sent: shorten the fields",
        ),
    ];
    faults(list, rows);
}

#[test]
fn mistakes_in_caching_are_told() {
    let rows: &[(Change, &str)] = &[
        (
            |route, _| route.methods = Methods::GET.union(Methods::POST),
            "cache = 200ms: the route answers more than GET; cache responses to GET only",
        ),
        (
            |_, plan| plan.writes = true,
            "cache = 200ms: its statement writes; take cache away, or writes = true",
        ),
        (
            |_, plan| plan.cache.as_mut().expect("cached").lifetime = Duration::ZERO,
            "cache = 0ns: nothing is kept for no time; give it some, or take cache away",
        ),
        (
            |_, plan| plan.cache.as_mut().expect("cached").header = "X Cache".into(),
            "cache.header = X Cache: it is no field name; use letters, digits and hyphens: X-Cache",
        ),
        (
            |_, plan| plan.cache.as_mut().expect("cached").header = "x".repeat(1024),
            "headers = 0 fields: the head of a response may have 1290 bytes; \
             at most 1024 are sent: shorten the fields",
        ),
    ];
    faults(item, rows);
}

/// A value of a database in tests.
#[derive(Clone, Debug)]
enum Cell {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Boolean(bool),
}

impl Cell {
    fn expected(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Integer(value) => (*value).into(),
            Self::Real(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::Boolean(value) => (*value).into(),
        }
    }
}

impl Row for Vec<Cell> {
    fn write(
        &self,
        column: usize,
        _: ColumnConversion,
        out: &mut Vec<u8>,
    ) -> Result<(), ColumnError> {
        match &self[column] {
            Cell::Null => json::write_null(out),
            Cell::Integer(value) => json::write_i64(*value, out),
            Cell::Real(value) => json::write_f64(*value, out)?,
            Cell::Text(text) => json::write_str(text, out),
            Cell::Boolean(value) => json::write_bool(*value, out),
        }
        Ok(())
    }
}

fn cell() -> impl Strategy<Value = Cell> {
    prop_oneof![
        Just(Cell::Null),
        any::<i64>().prop_map(Cell::Integer),
        any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(Cell::Real),
        any::<String>().prop_map(Cell::Text),
        any::<bool>().prop_map(Cell::Boolean),
    ]
}

/// As many columns in each row as the row before it.
fn table() -> impl Strategy<Value = (Vec<String>, Vec<Vec<Cell>>)> {
    prop::collection::vec("[^\"\\\\\0-\x1f]{0,4}", 1..8).prop_flat_map(|keys| {
        let row = prop::collection::vec(cell(), keys.len());
        let keys = keys.into_iter().enumerate().map(|(at, key)| format!("{key}{at}"));
        (Just(keys.collect()), prop::collection::vec(row, 0..12))
    })
}

proptest! {
    #[test]
    fn any_rows_read_back_as_they_were(
        (keys, rows) in table(),
        category in "[^\0]{1,20}",
        limit in 1_i64..=50,
        compressed in any::<bool>(),
    ) {
        let (mut route, mut plan) = list();
        route.compress = Compress::PerRequest(vec![Coding::Gzip]);
        let members: Vec<_> =
            keys.iter().enumerate().map(|(at, key)| format!("\"{key}\" : c{at}")).collect();
        plan.row = format!("{{ {} }}", members.join(" ,\n"));
        plan.body = Some(r#"{"n": count, "c": category, "items": rows, "l": [limit]}"#.into());
        let query = compile(&(route, plan));
        let sent: String = category.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let pairs = format!("limit={limit}&category={sent}");
        let inputs = Inputs::new([], pairs.as_bytes(), b"", PLAIN);
        let bound = query.bind(&inputs).expect("valid");
        let mut answer = query.begin(&bound);
        for row in &rows {
            answer.push(row).expect("finite");
        }
        let answer = answer.finish(if compressed { gzip() } else { PLAIN });
        let mut plain = answer.body().to_vec();
        if answer.field("Content-Encoding") == Some("gzip") {
            plain.clear();
            flate2::read::GzDecoder::new(answer.body()).read_to_end(&mut plain).expect("gzip");
        }
        let items: Vec<serde_json::Value> = rows
            .iter()
            .map(|row| keys.iter().cloned().zip(row.iter().map(Cell::expected)).collect())
            .collect();
        let expected = serde_json::json!({
            "n": rows.len(), "c": category, "items": items, "l": [limit],
        });
        // The text itself: order of members and notation of numbers count too.
        let plain = String::from_utf8(plain).expect("UTF-8");
        prop_assert_eq!(&plain, &expected.to_string());
        prop_assert!(json::json_text(&plain).is_some());
    }

    #[test]
    fn no_input_leads_astray(
        path in any::<String>(),
        pairs in "(limit|category|id|[%=&+a-z0-9]{0,4}){0,8}",
        body in "([\\[\\]{}\":,1.e]|name|price|null|\\PC){0,24}",
    ) {
        for query in [list(), item(), update()].map(|plan| compile(&plan)) {
            let inputs =
                Inputs::new([("id", &*path)], pairs.as_bytes(), body.as_bytes(), PLAIN);
            match query.bind(&inputs) {
                Ok(bound) => prop_assert_eq!(query.arguments(&bound).len(), query.arguments.len()),
                Err(refusal) => {
                    let class = refusal.status();
                    prop_assert!(matches!(class, Status::S400 | Status::S404));
                    let printable = |c: char| c == '\n' || (' '..='~').contains(&c);
                    prop_assert!(text(&refusal).chars().all(printable), "{:?}", refusal);
                }
            }
        }
    }
}
