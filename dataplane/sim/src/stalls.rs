//! A transmit side that is not always there.

use fastrand::Rng;

use crate::nic::Wire;

/// Now and then the transmit ring stops, or the pool is nearly empty.
#[derive(Debug)]
pub(crate) struct Stalls {
    rng: Rng,
    next: u64,
}

impl Stalls {
    /// Decides everything from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed ^ 0x7374_616c_6c73), next: 0 }
    }

    /// It is `now`, in microseconds: stops or starts what is due.
    pub(crate) fn play(&mut self, wire: &mut Wire, now: u64) {
        if now < self.next {
            return;
        }
        self.end(wire);
        match self.rng.u32(..10) {
            0 => wire.hold(true),
            1 => wire.squeeze(self.rng.usize(..4)),
            _ => {}
        }
        self.next = now + self.rng.u64(100..3_000);
    }

    /// Everything runs again.
    pub(crate) fn end(&mut self, wire: &mut Wire) {
        wire.hold(false);
        wire.squeeze(usize::MAX);
    }
}
