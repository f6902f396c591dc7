//! The appliance in every simulated world: its address, its port, its clocks.

use core::net::Ipv4Addr;

use engine::Now;

use crate::raw::Address;

/// Where the appliance is in every simulated world.
pub const APPLIANCE: Address =
    Address { mac: [0x02, 0x50, 0x4c, 0x58, 0, 1], ip: Ipv4Addr::new(198, 18, 0, 2) };

/// The TCP port it answers on.
pub const HTTP_PORT: u16 = 8080;

/// Seconds since 1970 when a world starts: 2026-01-01T00:00:00Z.
pub const UNIX_START: u64 = 1_767_225_600;

/// The simulated processor's clock rate.
const CYCLES_PER_MICRO: u64 = 2_000;

/// The time of a turn at virtual time `micros`.
pub(crate) fn now_at(micros: u64) -> Now {
    Now { cycles: micros * CYCLES_PER_MICRO, micros }
}
