//! What is counted beside the dataplane: declared once, with name and help; any thread adds.
//!
//! Totals only grow and are never reset; levels go up and down. Whoever shows them takes
//! [`OffloadReadings`], a copy.

use std::sync::atomic::{AtomicU64, Ordering};

use engine::{Kind, Reading};

/// A number that many threads write.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn up(&self) {
        self.add(1);
    }

    /// One more; how many there were.
    pub(crate) fn draw(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    /// One less: levels only.
    pub(crate) fn down(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// `n` more.
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// `n` less: levels only.
    pub(crate) fn sub(&self, n: u64) {
        self.0.fetch_sub(n, Ordering::Relaxed);
    }

    /// The value now.
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Every number at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffloadReadings(Vec<Reading>);

impl OffloadReadings {
    /// Every number that is declared, at zero.
    pub(crate) fn declared() -> impl Iterator<Item = Reading> {
        Counters::default().readings().0.into_iter()
    }

    /// Tells `deploy/counters.sh` which numbers a test has moved.
    #[cfg(test)]
    pub(crate) fn note_moved(&self) {
        sim::moved::note_readings(self.iter().copied());
    }

    /// In the order of declaration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reading> {
        self.0.iter()
    }
}

macro_rules! counters {
    ($(#[$outer:meta])* pub(crate) struct $block:ident { $($name:ident: $kind:ident, $help:literal;)* }) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        pub(crate) struct $block { $(#[doc = $help] pub(crate) $name: Counter,)* }

        impl $block {
            /// Every number, in the order of declaration.
            pub(crate) fn readings(&self) -> OffloadReadings {
                OffloadReadings(vec![$(Reading {
                    name: stringify!($name),
                    help: $help,
                    kind: Kind::$kind,
                    value: self.$name.value(),
                },)*])
            }
        }
    };
}

counters! {
    /// The counters of offload. Written by all its threads.
    pub(crate) struct Counters {
        offloads_postgres: Total, "offloads for a statement of PostgreSQL taken from workers, cache hits included";
        offloads_sqlite: Total, "offloads for a statement of SQLite taken from workers, cache hits included";
        offloads_compress: Total, "offloads for a compressed body taken from workers";
        offloads_rejected: Total, "offloads answered 400, 404 or 422 because of their parameters";
        completions: Total, "responses handed to workers";
        completions_delayed: Total, "responses that found the ring of their worker full and were tried again";
        completions_lost: Total, "responses given up because the ring of their worker stayed full";
        responses_in_use: Level, "responses that workers may still be sending";
        response_bytes_in_use: Level, "bytes of the bodies that workers may still be sending; a body in several responses counts for each";
        cache_hits: Total, "offloads answered from the cache";
        cache_misses: Total, "offloads of routes with a cache that had to be run";
        cache_shared: Total, "offloads answered with the response that another one was run for at the time";
        cache_waiting: Level, "offloads that wait for the response another one is run for; they are in the waiting of their back end too";
        cache_stored: Total, "responses put into the cache";
        cache_overtaken: Total, "responses not put into the cache because a write went by meanwhile";
        cache_blocked: Total, "offloads of routes with a cache that were run and not cached because the outcome of a write is not known";
        cache_too_large: Total, "responses not put into the cache because of their size";
        cache_invalidated: Total, "responses taken out of the cache by another route, or by a reload";
        cache_evicted: Total, "responses taken out of the cache to make room";
        cache_entries: Level, "responses in the cache, expired ones included";
        cache_bytes: Level, "bytes of the bodies and keys in the cache";
        postgres_connections_up: Level, "connections to PostgreSQL that are up";
        postgres_connections_wanted: Level, "connections that the load has asked for so far";
        postgres_connects: Total, "connections made";
        postgres_connect_failures: Total, "attempts to connect that failed";
        postgres_connections_lost: Total, "connections that ended unexpectedly";
        postgres_connections_replaced: Total, "connections closed because they stopped answering";
        postgres_waiting: Level, "offloads that wait for room on a connection";
        postgres_under_way: Level, "offloads that are with the server";
        postgres_refused: Total, "offloads answered 503 because as many as allowed were waiting";
        postgres_unavailable: Total, "offloads answered as unavailable";
        postgres_timed_out: Total, "offloads answered as unavailable because their time was up";
        postgres_retried: Total, "offloads sent once more";
        postgres_moved: Total, "reads sent on another connection because the statement before them takes long";
        postgres_cancels: Total, "requests to cancel what runs too long";
        postgres_prepared: Total, "statements prepared";
        postgres_conflicts: Total, "offloads answered 409: a unique or foreign key says no";
        postgres_bad_data: Total, "offloads answered 422: a check, a type or a range says no";
        postgres_errors: Total, "offloads answered 500: the server refuses the statement";
        postgres_schema_changed: Total, "offloads answered 500: the statement does not have the columns its route wants";
        sqlite_waiting: Level, "offloads that wait for a thread";
        sqlite_under_way: Level, "offloads that a thread runs";
        sqlite_refused: Total, "offloads answered 503 because as many as allowed were waiting";
        sqlite_unavailable: Total, "offloads answered as unavailable";
        sqlite_timed_out: Total, "offloads answered as unavailable because their time was up";
        sqlite_opened: Total, "connections opened to database files";
        sqlite_errors: Total, "offloads answered 500: SQLite refuses the statement";
        sqlite_schema_changed: Total, "offloads answered 500: the statement does not have the columns its route wants";
        cells_not_finite: Total, "columns written as null because they are infinite or NaN, which JSON has no notation for";
        compress_waiting: Level, "offloads that wait for a compute thread";
        compress_refused: Total, "offloads answered 503 because as many as allowed were waiting";
        compressed: Total, "bodies compressed";
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn readings_have_every_number_by_name() {
        let counters = Counters::default();
        counters.completions.add(3);
        counters.completions.up();
        counters.responses_in_use.add(5);
        counters.responses_in_use.sub(2);
        counters.responses_in_use.down();
        let readings = counters.readings();
        let value = |name| readings.iter().find(|reading| reading.name == name).map(|r| r.value);
        assert_eq!((value("completions"), value("responses_in_use")), (Some(4), Some(2)));
        assert!(readings.iter().all(|reading| !reading.help.is_empty()));
    }

    #[test]
    fn every_number_is_counted_somewhere() {
        let mut code = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/offload"), &mut code);
        let counters = Counters::default();
        let idle: Vec<_> = counters
            .readings()
            .iter()
            .map(|reading| reading.name)
            .filter(|name| !code.contains(&format!("counters.{name}.")))
            .collect();
        assert!(idle.is_empty(), "declared, but counted nowhere: {idle:?}");
    }

    /// The text of every file below `directory` but this one.
    fn sources(directory: &Path, text: &mut String) {
        for entry in fs::read_dir(directory).expect("readable") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                sources(&path, text);
            } else if !path.ends_with("counters.rs") {
                text.push_str(&fs::read_to_string(&path).expect("a source file"));
            }
        }
    }
}
