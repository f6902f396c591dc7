//! Queries under way on one connection, oldest first.
//!
//! The server runs pipelined queries one after the other. So only the oldest can be running, only it
//! can be what holds up the others, and a request to cancel hits whatever runs when it arrives.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Instant;

use crate::asks::cache::lock;

/// The queries of one connection.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Board>);

#[derive(Debug, Default)]
struct Board {
    next: u64,
    flights: VecDeque<Flight>,
    /// When the server was last done with one.
    landed: Option<Instant>,
}

#[derive(Debug)]
struct Flight {
    number: u64,
    since: Instant,
    overdue: Option<Instant>,
}

/// A query that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    /// Tells it from all others of the connection.
    pub(super) number: u64,
    /// Since when.
    pub(super) since: Instant,
}

/// One query under way: until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight<'f> {
    flights: &'f Flights,
    number: u64,
}

impl Flights {
    /// A query is about to be sent.
    pub(super) fn take_off(&self, now: Instant) -> InFlight<'_> {
        let mut board = lock(&self.0);
        let number = board.next;
        board.next += 1;
        board.flights.push_back(Flight { number, since: now, overdue: None });
        InFlight { flights: self, number }
    }

    /// Since when the server has been running the oldest query, as far as can be seen from here.
    pub(super) fn running_since(&self) -> Option<Instant> {
        let board = lock(&self.0);
        let sent = board.flights.front()?.since;
        Some(board.landed.map_or(sent, |landed| landed.max(sent)))
    }

    /// The oldest query, if nobody waits for it any more.
    pub(super) fn oldest_overdue(&self) -> Option<Overdue> {
        let board = lock(&self.0);
        let Flight { number, overdue, .. } = board.flights.front()?;
        overdue.map(|since| Overdue { number: *number, since })
    }
}

impl InFlight<'_> {
    /// Nobody waits for it any more.
    pub(super) fn give_up(&self, now: Instant) {
        let mut board = lock(&self.flights.0);
        if let Some(flight) = board.flights.iter_mut().find(|flight| flight.number == self.number) {
            flight.overdue = Some(now);
        }
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let mut board = lock(&self.flights.0);
        board.flights.retain(|flight| flight.number != self.number);
        board.landed = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_holds_up_the_others() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (first, second) = (flights.take_off(now), flights.take_off(now));
        assert_eq!(flights.oldest_overdue(), None);
        second.give_up(now);
        assert_eq!(flights.oldest_overdue(), None, "it may not even run yet");
        drop(first);
        assert_eq!(flights.oldest_overdue(), Some(Overdue { number: 1, since: now }));
        drop(second);
        assert_eq!(flights.oldest_overdue(), None);
    }

    #[test]
    fn a_query_runs_from_when_the_one_before_it_has_landed() {
        let (flights, sent) = (Flights::default(), Instant::now());
        assert_eq!(flights.running_since(), None);
        let (first, second) = (flights.take_off(sent), flights.take_off(sent));
        assert_eq!(flights.running_since(), Some(sent));
        drop(first);
        assert!(flights.running_since().is_some_and(|since| since > sent));
        drop(second);
        assert_eq!(flights.running_since(), None);
    }
}
