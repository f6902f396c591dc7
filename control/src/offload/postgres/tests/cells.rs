//! What the server's types become, compared with the server's own JSON; and what parameters become.

use handlers::config::{Source, ValueKind};
use serde_json::Value;

use super::{Postgres, QueryRoute, start};

/// Values whose JSON is the server's own, byte for byte.
const SAME: &[&str] = &[
    "true",
    "false",
    "NULL::integer",
    "(-32768)::smallint",
    "2147483647",
    "(-2147483648)::integer",
    "9223372036854775807",
    "0::numeric",
    "0.00::numeric(5,2)",
    "-12.50::numeric",
    "30000::numeric",
    "10020.0::numeric",
    "0.0005::numeric",
    "0.0000120::numeric",
    "1.000200::numeric",
    "123456789012345678901234567890.123456789::numeric",
    "1e-20::numeric",
    "1e100::numeric",
    "99999.9999::numeric",
    "0.1::float8",
    "(-1.5)::float8",
    "0.1::float4",
    "3.5::float4",
    "'text \"with\" \\ / and ü € 😀'::text",
    "E'tab\\t, line\\n, bell\\x07'::text",
    "''::varchar",
    "'fixed'::char(8)",
    "'pg_class'::name",
    "'00112233-4455-6677-8899-aabbccddeeff'::uuid",
    "'{\"b\": [1, 2.50, null]}'::jsonb",
    "'{\"b\":   [1]}'::json",
    "'[]'::jsonb",
    "'2024-02-29'::date",
    "'1900-03-01'::date",
    "'0001-01-01'::date",
    "'infinity'::date",
    "'2024-02-29 12:34:56'::timestamp",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'1969-12-31 23:59:59.999999'::timestamp",
    "'-infinity'::timestamp",
    "'2024-02-29 12:34:56.5+02'::timestamptz",
    "'happy'::mood",
    "7::age",
    "'a@b'::address",
];

#[test]
fn every_type_is_as_the_server_has_it_in_json() {
    let server = Postgres::start_new();
    server.query(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN age AS smallint; \
         CREATE DOMAIN address AS text CHECK (value LIKE '%@%')",
    );
    let all: Vec<_> = SAME.iter().enumerate().map(|(n, sql)| format!("{sql} AS c{n}")).collect();
    let all = format!("SELECT {}", all.join(", "));
    let columns: Vec<_> = (0..SAME.len()).map(|n| format!("\"c{n}\": c{n}")).collect();
    let row = format!("{{{}}}", columns.join(", "));
    let stage = start(&server, [QueryRoute::postgres("/types", &all, &row).first()]);
    let response = stage.get("/types");
    assert_eq!(response.status, 200, "{}", response.text());
    let theirs: Vec<_> = (0..SAME.len()).map(|n| format!("to_json(c{n})")).collect();
    for (n, (sql, theirs)) in SAME.iter().zip(theirs).enumerate() {
        let sql_theirs = format!("SET timezone = 'UTC'; SELECT {theirs} FROM ({all}) AS t");
        let theirs = server.query(&sql_theirs);
        let theirs = theirs.trim_end_matches('\n');
        let theirs = if theirs.is_empty() { "null" } else { theirs };
        let ours = member(response.text(), n);
        // A real number is the same, whatever its notation.
        let is_real = sql.contains("float");
        let parse = |text: &str| text.parse::<f64>().expect("a number");
        let is_same = if is_real { parse(ours) == parse(theirs) } else { ours == theirs };
        assert!(is_same, "{sql}: {ours} is not {theirs}");
    }
    let parsed: Value = serde_json::from_str(response.text()).expect("JSON");
    assert_eq!(parsed.as_object().map(serde_json::Map::len), Some(SAME.len()));
}

/// The text of member `n` of an object whose members are in order.
fn member(object: &str, n: usize) -> &str {
    let name = format!("\"c{n}\": ");
    let name = if object.contains(&name) { name } else { format!("\"c{n}\":") };
    let from = object.find(&name).expect("is there") + name.len();
    let next = format!(",\"c{}\"", n + 1);
    let rest = &object[from..];
    let end = rest.find(&next).unwrap_or(rest.len() - 1);
    rest[..end].trim_end_matches([',', ' '])
}

#[test]
fn what_is_not_finite_is_null_and_the_other_rows_are_there() {
    let server = Postgres::start_new();
    let sql = "SELECT * FROM (VALUES \
               (1, 'NaN'::float8, 'infinity'::float4, 'NaN'::numeric, '-infinity'::date), \
               (2, '-infinity', 'NaN', 'infinity', 'infinity'), \
               (3, 1.5, -0.5, 0.25, '2024-02-29')) AS t (id, a, b, c, d) ORDER BY id";
    let rows = QueryRoute::postgres(
        "/rows",
        sql,
        r#"{"id": id, "a": a, "b": number(b), "c": text(c), "d": d}"#,
    );
    let stage = start(&server, [rows]);
    let response = stage.get("/rows");
    assert_eq!(
        (response.status, response.text()),
        (
            200,
            concat!(
                r#"{"rows":[{"id":1,"a":null,"b":null,"c":null,"d":"-infinity"},"#,
                r#"{"id":2,"a":null,"b":null,"c":null,"d":"infinity"},"#,
                r#"{"id":3,"a":1.5,"b":-0.5,"c":"0.25","d":"2024-02-29"}]}"#,
            )
        )
    );
    assert_eq!(stage.reading("cells_not_finite"), 6);
    assert_eq!(stage.reading("postgres_schema_changed"), 0);
}

#[test]
fn numbers_are_exact() {
    let server = Postgres::start_new();
    server.query(
        "CREATE TABLE n (big bigint, exact numeric); \
         INSERT INTO n VALUES (9007199254740992, 0.1), (9007199254740993, 0.10000000000000000001)",
    );
    let echo = |ty: &str| {
        let sql = format!("SELECT $1::{ty}::text AS v");
        let path = format!("/{}", ty.replace(' ', "_"));
        let route = QueryRoute::postgres(&path, &sql, r#"{"v": v}"#).first();
        route.with("v", Source::Query, ValueKind::Number)
    };
    let find = |path: &str, column: &str| {
        let sql = format!("SELECT big::text AS v FROM n WHERE {column} = $1");
        let route = QueryRoute::postgres(path, &sql, r#"{"v": v}"#).first();
        route.with("v", Source::Query, ValueKind::Number)
    };
    let types = ["smallint", "bigint", "real", "double precision", "numeric", "text"];
    let finds = [find("/big", "big"), find("/exact", "exact")];
    let stage = start(&server, types.map(echo).into_iter().chain(finds));
    let says = |path: &str, value: &str| {
        let response = stage.get(path);
        let text = response.text();
        assert_eq!((response.status, text), (200, &*format!(r#"{{"v":"{value}"}}"#)), "{path}");
    };
    says("/bigint?v=9007199254740993", "9007199254740993");
    says("/bigint?v=-9.223372036854775808e18", "-9223372036854775808");
    says("/smallint?v=3.0", "3");
    says(
        "/numeric?v=9007199254740993.10000000000000000000001",
        "9007199254740993.10000000000000000000001",
    );
    says("/numeric?v=1.50", "1.50");
    says("/double_precision?v=0.1", "0.1");
    says("/real?v=0.1", "0.1");
    says("/text?v=15e-1", "1.5");
    says("/big?v=9007199254740993.0", "9007199254740993");
    says("/big?v=9007199254740992", "9007199254740992");
    says("/exact?v=0.10000000000000000001", "9007199254740993");
    says("/exact?v=1e-1", "9007199254740992");
    for (path, status) in [
        ("/bigint?v=0.5", 400),
        ("/bigint?v=9223372036854775808", 400),
        ("/smallint?v=32768", 400),
        ("/real?v=1e39", 400),
        ("/numeric?v=1e309", 400),
        ("/numeric?v=NaN", 400),
        ("/numeric?v=1e-99999", 422),
    ] {
        assert_eq!(stage.get(path).status, status, "{path}");
    }
}

#[test]
fn dates_outside_of_four_digits_are_as_ecmascript_reads_them() {
    let server = Postgres::start_new();
    let sql = "SELECT '4713-11-24 BC'::date AS a, '12345-06-07'::date AS b, \
               '0001-12-31 BC'::timestamptz AS c, '5874897-12-31'::date AS d";
    let row = r#"{"a": a, "b": b, "c": c, "d": d}"#;
    let stage = start(&server, [QueryRoute::postgres("/dates", sql, row).first()]);
    let parsed: Value = serde_json::from_str(stage.get("/dates").text()).expect("JSON");
    assert_eq!(parsed["a"], "-004712-11-24");
    assert_eq!(parsed["b"], "+012345-06-07");
    assert_eq!(parsed["c"], "0000-12-31T00:00:00+00:00");
    assert_eq!(parsed["d"], "+5874897-12-31");
}

#[test]
fn parameters_take_the_type_of_their_placeholder() {
    let server = Postgres::start_new();
    server.query("CREATE TYPE mood AS ENUM ('sad', 'happy')");
    let echo = |kind, ty: &str| {
        let sql = format!("SELECT $1::{ty}::text AS v");
        let path = format!("/{}", ty.replace(' ', "_"));
        let route = QueryRoute::postgres(&path, &sql, r#"{"v": v}"#).first();
        route.with("v", Source::Query, kind)
    };
    let whole = ["smallint", "integer", "bigint", "real", "double precision", "numeric", "text"];
    let integers = whole.map(|ty| echo(ValueKind::Integer, ty));
    let texts = ["varchar", "uuid", "date", "timestamptz", "mood", "inet", "bytea"]
        .map(|ty| echo(ValueKind::Text, ty));
    let others = [echo(ValueKind::Boolean, "boolean"), echo(ValueKind::Json, "jsonb")];
    let stage = start(&server, integers.into_iter().chain(texts).chain(others));
    let says = |path: &str, value: &str| {
        let response = stage.get(path);
        let text = response.text();
        assert_eq!((response.status, text), (200, &*format!(r#"{{"v":"{value}"}}"#)), "{path}");
    };
    for ty in whole {
        says(&format!("/{}?v=-12", ty.replace(' ', "_")), "-12");
    }
    says("/bigint?v=-9223372036854775808", "-9223372036854775808");
    says("/varchar?v=a%22b", "a\\\"b");
    says("/uuid?v=00112233445566778899AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff");
    says("/date?v=2024-02-29", "2024-02-29");
    says("/mood?v=happy", "happy");
    says("/inet?v=10.0.0.1", "10.0.0.1/32");
    says("/bytea?v=abc", "\\\\x616263");
    says("/boolean?v=true", "true");
    says("/jsonb?v=%5B1,2%5D", "[1, 2]");
    let refused = [
        ("/uuid?v=x", 422),
        ("/date?v=2024-02-30", 422),
        ("/mood?v=angry", 422),
        ("/smallint?v=40000", 400),
        ("/integer?v=3000000000", 400),
    ];
    for (path, status) in refused {
        let response = stage.get(path);
        assert_eq!(response.status, status, "{path}: {}", response.text());
    }
    let text = stage.get("/integer?v=3000000000");
    assert!(text.text().contains("\"v\"") && text.text().contains("2147483647"), "{}", text.text());
    assert_eq!((stage.reading("postgres_bad_data"), stage.reading("offloads_rejected")), (3, 3));
}
