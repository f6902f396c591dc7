//! What tells cached responses apart, and which of them a write makes stale.

use http1::coding::Coding;
use proptest::prelude::*;

use super::{PLAIN, compile, gzip, item, list, parameter, update};
use crate::config::{Compress, QueryConfig, RouteConfig, Source, ValueKind};
use crate::request::Inputs;
use crate::routes::query::Query;

#[test]
fn keys_tell_requests_apart_as_far_as_answers_differ() {
    let (mut route, plan) = list();
    route.compress = Compress::PerRequest(vec![Coding::Gzip]);
    let query = compile(&(route, plan));
    let key = |pairs: &str, accepted| {
        let inputs = Inputs::new([], pairs.as_bytes(), b"", PLAIN);
        query.cache_key(&query.bind(&inputs).expect("valid"), accepted)
    };
    let base = key("", PLAIN);
    assert_eq!(base, key("category=electronics&limit=010", PLAIN));
    assert_eq!(key("limit=50", PLAIN), key("limit=51", PLAIN));
    assert_ne!(base, key("limit=11", PLAIN));
    assert_ne!(base, key("category=electronic", PLAIN));
    assert_ne!(base, key("", gzip()));
}

#[test]
fn a_write_knows_the_keys_of_what_it_changes() {
    let (mut route, plan) = item();
    route.compress = Compress::PerRequest(vec![Coding::Gzip]);
    let (target, source) = (compile(&(route, plan)), compile(&update()));
    let bind =
        |query: &Query, id| query.bind(&Inputs::new([("id", id)], b"", b"", PLAIN)).expect("valid");
    let keys = target.cache_keys_of(&source, &bind(&source, "007")).expect("it has the name");
    let own = bind(&target, "7");
    assert_eq!(keys, [target.cache_key(&own, gzip()), target.cache_key(&own, PLAIN)]);
    assert!(!keys.contains(&target.cache_key(&bind(&target, "8"), PLAIN)));
    assert_eq!(compile(&list()).cache_keys_of(&source, &bind(&source, "7")), None);
    for kind in [ValueKind::Text, ValueKind::Number] {
        let other = with_id(update(), kind);
        assert_eq!(
            target.cache_keys_of(&other, &bind(&other, "7")),
            None,
            "{kind:?} for an integer"
        );
        assert_eq!(with_id(item(), kind).cache_keys_of(&other, &bind(&other, "7")), None);
    }
}

/// With an identifier of this kind.
fn with_id((route, mut plan): (RouteConfig, QueryConfig), kind: ValueKind) -> Query {
    plan.parameters[0] = parameter("id", Source::Path, kind, None);
    compile(&(route, plan))
}

/// Whether some database takes two texts of this kind as equal: a `numeric`, a `float4`, a `uuid`, a `citext`, a `jsonb`.
fn may_be_equal(kind: ValueKind, one: &str, other: &str) -> bool {
    let float = |text: &str| text.parse::<f32>().ok();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    match kind {
        ValueKind::Integer => one.parse::<i64>().ok() == other.parse().ok(),
        ValueKind::Number => float(one) == float(other),
        ValueKind::Text => {
            one.trim().eq_ignore_ascii_case(other.trim())
                || float(one).is_some_and(|it| Some(it) == float(other))
        }
        ValueKind::Boolean => one == other,
        ValueKind::Json => json(one) == json(other),
    }
}

fn spelling(kind: ValueKind) -> BoxedStrategy<String> {
    match kind {
        ValueKind::Integer => "-?0{0,2}[0-2]{1,2}".boxed(),
        ValueKind::Number => "-?[01]{1,2}(\\.[01]{1,2}0{0,8})?(e[01])?".boxed(),
        ValueKind::Text => "[aA]{1,2} ?|0?1(\\.0)?".boxed(),
        ValueKind::Boolean => "true|false".boxed(),
        ValueKind::Json => "\\[ ?[01] ?(, ?-?0)?\\]|1(\\.0)?|\"a\"|\"\\\\u0061\"".boxed(),
    }
}

fn two_of_a_kind() -> impl Strategy<Value = (ValueKind, String, String)> {
    use ValueKind::{Boolean, Integer, Json, Number, Text};
    let kinds = prop::sample::select(vec![Integer, Number, Text, Boolean, Json]);
    kinds.prop_flat_map(|kind| (Just(kind), spelling(kind), spelling(kind)))
}

proptest! {
    #[test]
    fn a_write_never_leaves_what_its_database_takes_as_equal(
        (kind, read, written) in two_of_a_kind(),
        writer in prop::sample::select(vec![None, Some(ValueKind::Text), Some(ValueKind::Json)]),
    ) {
        let (target, source) = (with_id(item(), kind), with_id(update(), writer.unwrap_or(kind)));
        let bind = |query: &Query, id: &str| query.bind(&Inputs::new([("id", id)], b"", b"", PLAIN));
        let (Ok(bound), Ok(wrote)) = (bind(&target, &read), bind(&source, &written)) else {
            return Ok(());
        };
        let keys = target.cache_keys_of(&source, &wrote);
        let is_dropped =
            keys.is_none_or(|keys| keys.contains(&target.cache_key(&bound, PLAIN)));
        prop_assert!(is_dropped || !may_be_equal(kind, &read, &written), "{:?}: {} and {}", kind, read, written);
    }
}
