//! The parameters of a simulated world.

use engine::{CorePlan, Deadlines, SourceLimits};
use http1::{HEAD_OUT_MAX, Limits};

use crate::appliance::{APPLIANCE, HTTP_PORT};
use crate::network::Faults;
use crate::nic::NicPlan;

/// Runs one turn; may put something around it, such as a ban on allocation.
pub type Seal = fn(&mut dyn FnMut() -> bool) -> bool;

/// Everything that decides a world. Change fields, then `build`.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Decides every fault, every delay and the clients' numbers; printed when a test fails.
    pub seed: u64,
    /// The plan of every worker.
    pub core: CorePlan,
    /// The appliance's queue pair.
    pub nic: NicPlan,
    /// What the cable to the appliance does.
    pub toward: Faults,
    /// What the cable from the appliance does.
    pub away: Faults,
    /// Whether the transmit ring stops now and then, and the pool runs low.
    pub stalls: bool,
    /// Workers: with more than one they share the queue through software steering.
    pub workers: usize,
    /// Requests of one worker that may wait for control.
    pub parked: usize,
    /// Whether workers have an exception path; the test is the kernel's end of it.
    pub exception: bool,
    /// Bytes of the socket buffers of clients.
    pub client_buffer: usize,
    /// Put around every turn of a worker.
    pub seal: Seal,
    /// Where virtual time starts, in microseconds.
    pub origin: u64,
}

impl Setup {
    /// A faultless world with one worker and default deadlines and limits.
    pub fn new(seed: u64) -> Self {
        let mut secret = [0; 16];
        fastrand::Rng::with_seed(seed ^ 0x7365_6372_6574).fill(&mut secret);
        Self {
            seed,
            core: CorePlan {
                address: APPLIANCE.ip,
                link_address: APPLIANCE.ip,
                port: HTTP_PORT,
                mac: APPLIANCE.mac,
                vlan: None,
                unfilled_checksums: false,
                seed: secret,
                connections: 64,
                half_open_max: 32,
                receive_buffer: 16 * 1024,
                transmit_buffer: 16 * 1024,
                limits: Limits::DEFAULT,
                deadlines: Deadlines::default(),
                sources: SourceLimits::default(),
            },
            nic: NicPlan::default(),
            toward: Faults::none(),
            away: Faults::none(),
            stalls: false,
            workers: 1,
            parked: 64,
            exception: false,
            client_buffer: 65_535,
            seal: |turn| turn(),
            origin: 1_000_000 + seed * 7_919,
        }
    }

    /// Everything that can differ does, as `seed` decides: faults, delays, checksum and segmentation
    /// offloads, MTU, buffers, rings, stalls.
    pub fn any(seed: u64) -> Self {
        let plain = Self::new(seed);
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0073_6574_7570);
        let mut size = |least, most| if rng.bool() { most } else { rng.usize(least..=most) };
        let core = CorePlan {
            receive_buffer: size(plain.core.limits.head_len_max, 65_535),
            transmit_buffer: size(HEAD_OUT_MAX, 65_535),
            // Beyond what any test opens: what a source holds is counted, and nothing is refused.
            sources: SourceLimits {
                connections: 1 << 20,
                half_open: 1 << 20,
                requests: 1 << 20,
                unlimited: Vec::new(),
            },
            ..plain.core
        };
        let (ip_mtu, client_buffer) = (size(576, 1_500), size(8_192, 65_535));
        let transmit_checksums = rng.bool();
        let segmentation_max =
            if transmit_checksums && rng.bool() { rng.usize(2_000..=65_389) } else { 0 };
        Self {
            core,
            nic: NicPlan {
                receive_ring: 1 << rng.u32(6..10),
                transmit_ring: 1 << rng.u32(2..10),
                ip_mtu,
                transmit_checksums,
                segmentation_max,
                large_pool: rng.usize(1..=8),
                receive_checksums: rng.bool(),
                ..plain.nic
            },
            toward: Faults::any(rng.u64(..)),
            away: Faults::any(rng.u64(..)),
            stalls: rng.u32(..4) == 0,
            client_buffer,
            ..plain
        }
    }
}
