//! The time at which a turn happens.

/// When a turn begins: read once, passed down, so that everything in a turn agrees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Time-stamp counter, for accounting.
    pub cycles: u64,
    /// Microseconds since any fixed origin; never goes back.
    pub micros: u64,
}
