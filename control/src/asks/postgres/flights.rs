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
}

#[derive(Debug)]
struct Flight {
    number: u64,
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
    pub(super) fn take_off(&self) -> InFlight<'_> {
        let mut board = lock(&self.0);
        let number = board.next;
        board.next += 1;
        board.flights.push_back(Flight { number, overdue: None });
        InFlight { flights: self, number }
    }

    /// The oldest query, if nobody waits for it any more.
    pub(super) fn oldest_overdue(&self) -> Option<Overdue> {
        let board = lock(&self.0);
        let Flight { number, overdue } = board.flights.front()?;
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_holds_up_the_others() {
        let (flights, now) = (Flights::default(), Instant::now());
        let (first, second) = (flights.take_off(), flights.take_off());
        assert_eq!(flights.oldest_overdue(), None);
        second.give_up(now);
        assert_eq!(flights.oldest_overdue(), None, "it may not even run yet");
        drop(first);
        assert_eq!(flights.oldest_overdue(), Some(Overdue { number: 1, since: now }));
        drop(second);
        assert_eq!(flights.oldest_overdue(), None);
    }
}
