//! The connections that have something to do: filled during one turn, worked off in the next.
//!
//! A connection is in it at most once (`Conn::queued`), so it never outgrows the slots.

/// Slots of connections to serve, in two halves that change places at the start of a turn's work.
pub(crate) struct RunQueue {
    now: Vec<u32>,
    next: Vec<u32>,
}

impl RunQueue {
    /// For `connections` connections.
    pub(crate) fn new(connections: usize) -> Self {
        let half = || Vec::with_capacity(connections);
        Self { now: half(), next: half() }
    }

    /// Queues `slot`, unless it is queued: `queued` is its connection's flag.
    pub(crate) fn push(&mut self, slot: u32, queued: &mut bool) {
        if !*queued {
            *queued = true;
            debug_assert!(self.next.len() < self.next.capacity());
            self.next.push(slot);
        }
    }

    /// What was pushed is to be done now; what is pushed from here on, next turn.
    pub(crate) fn begin_turn(&mut self) {
        core::mem::swap(&mut self.now, &mut self.next);
        self.next.clear();
    }

    /// How many are to be done now.
    pub(crate) fn len(&self) -> usize {
        self.now.len()
    }

    /// The one at `at`, in the order in which they were pushed.
    pub(crate) fn slot(&self, at: usize) -> u32 {
        self.now[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_while_it_is_worked_off_waits_for_the_next_turn() {
        let mut queue = RunQueue::new(2);
        let mut queued = [false; 2];
        queue.push(1, &mut queued[1]);
        queue.push(0, &mut queued[0]);
        queue.push(1, &mut queued[1]);
        queue.begin_turn();
        assert_eq!((queue.len(), queue.slot(0), queue.slot(1)), (2, 1, 0));
        queued = [false; 2];
        queue.push(0, &mut queued[0]);
        assert_eq!(queue.len(), 2);
        queue.begin_turn();
        assert_eq!((queue.len(), queue.slot(0)), (1, 0));
    }
}
