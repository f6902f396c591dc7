//! How many requests each route of a site was given, on one worker.

use std::sync::atomic::{AtomicU64, Ordering};

use http1::Class;
use strum::VariantArray as _;

/// Requests by route. Written by one worker, read by control; numbers only grow.
#[derive(Debug)]
pub struct Traffic {
    routes: usize,
    /// By index of the route; the one after the last is for requests that no route took.
    requests: Box<[Line]>,
}

/// Two cache lines of numbers, of which the prefetcher takes both: no two workers write into one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Line([AtomicU64; LINE_LEN]);

const LINE_LEN: usize = 128 / size_of::<AtomicU64>();

impl Traffic {
    pub(crate) fn new(routes: usize) -> Self {
        let lines = routes / LINE_LEN + 1;
        Self { routes, requests: (0..lines).map(|_| Line::default()).collect() }
    }

    /// One more for the route with this index; for none if it is the number of routes. Only the worker that
    /// serves with it may call this: there is no locked instruction.
    pub(crate) fn count(&self, route: usize) {
        let counter = &self.requests[route / LINE_LEN].0[route % LINE_LEN];
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Requests of each route, in the order of the configuration, then of those that no route took.
    pub fn requests(&self) -> impl Iterator<Item = u64> + '_ {
        let number = |route: usize| &self.requests[route / LINE_LEN].0[route % LINE_LEN];
        (0..=self.routes).map(move |route| number(route).load(Ordering::Relaxed))
    }
}

/// The kind of a route. Requests of a kind are alike in what they cost, so their latency is measured
/// together: a kind is the [`Class`] of its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum RouteKind {
    /// No route: the path or the method is not there.
    Unrouted,
    /// The same bytes always.
    Fixed,
    /// Files of a directory.
    Files,
    /// Another place.
    Redirect,
    /// Items of a JSON file.
    Dataset,
    /// A sum of integers.
    Sum,
    /// The length of the request body.
    Count,
    /// A statement of PostgreSQL.
    Postgres,
    /// A statement of SQLite.
    Sqlite,
}

impl RouteKind {
    /// All of them, in the order of their numbers.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// As the configuration writes it; `unrouted` for no route.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The class whose latency it is measured in.
    pub const fn class(self) -> Class {
        Class(self as u8)
    }
}

/// What a route is called in statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteName<'a> {
    /// As configured; ends in `/*` where everything below belongs to it.
    pub path: &'a str,
    /// Its methods, HEAD aside where GET is: `GET` or `PUT, DELETE`.
    pub methods: &'a str,
    /// Its kind.
    pub kind: RouteKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_numbered_in_their_order() {
        for (at, kind) in RouteKind::ALL.iter().enumerate() {
            assert_eq!(usize::from(kind.class().0), at);
        }
    }

    #[test]
    fn requests_without_a_route_come_last() {
        let traffic = Traffic::new(2);
        traffic.count(1);
        traffic.count(2);
        traffic.count(1);
        assert_eq!(traffic.requests().collect::<Vec<_>>(), [0, 2, 1]);
    }

    #[test]
    fn there_is_room_for_every_number_of_routes() {
        for routes in 0..3 * LINE_LEN {
            let traffic = Traffic::new(routes);
            (0..=routes).for_each(|route| traffic.count(route));
            assert_eq!(traffic.requests().collect::<Vec<_>>(), vec![1; routes + 1]);
        }
    }
}
