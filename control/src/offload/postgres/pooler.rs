//! Whether a connection pooler stands between us and the server. A session of the server is not ours alone then:
//! what was prepared on it may be gone or be another one's; PgBouncer 1.18 has handed a reply to somebody else when
//! the next query was under way before it; and a request to cancel may stop another client's query. So each query is sent with
//! its text, one at a time on a connection, and none is cancelled. It shows when a connection is made, or by an error of the
//! server, and all pools go by it from then on.

use std::sync::atomic::{AtomicBool, Ordering};

use super::statement_names::Naming;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Pooler(AtomicBool);

impl Pooler {
    /// What statements are called on a connection that is made now.
    pub(super) fn naming(&self) -> Naming {
        if self.is_found() { Naming::Unnamed } else { Naming::unique() }
    }

    /// Whether prepared statements are not kept.
    pub(super) fn is_found(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// It has shown.
    pub(super) fn on_found(&self) {
        if !self.0.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "a connection pooler is in front of PostgreSQL: each query is sent with its text, one at a time on \
                 a connection, and none is cancelled"
            );
        }
    }
}
