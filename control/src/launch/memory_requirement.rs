//! How much memory a plan needs, known before anything is taken, and how that compares with the
//! hugepages there are.

use std::fmt::{self, Display, Formatter};

use dpdk::{DeviceKind, PortPlan};
use engine::exception;

use super::steering::Steering;
use crate::config::{CoreTally, Offloads, Plan};
use crate::human;
use crate::link::LinkSpec;
use crate::memory::HugepagePool;
use crate::scripts::Script;

/// What a plan needs, in bytes, beside the hugepages of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MemoryRequirement {
    /// Buffers for frames (mbufs): an estimate from above, since the link may need fewer.
    pub(crate) mbufs: u64,
    /// Frames: an estimate from above, since drivers round.
    pub(crate) frames: u64,
    /// Socket buffers of all cores.
    pub(crate) buffers: u64,
    /// Responses.
    pub(crate) responses: u64,
    /// The host's hugepages when this was worked out.
    pub(crate) pool: HugepagePool,
}

impl MemoryRequirement {
    /// Of a plan with `responses` bytes of responses, on a host with `pool`.
    pub(crate) fn of(plan: &Plan, responses: usize, pool: HugepagePool) -> Self {
        let workers = u16::try_from(plan.cores.len()).unwrap_or(u16::MAX);
        let exception_frames =
            if plan.exception.is_some() { exception::FRAMES_MAX as u64 } else { 0 };
        let mbufs = mbufs(workers) + u64::from(workers) * exception_frames;
        let frame_len = PortPlan::default().buffer_len(DeviceKind::AfXdp);
        let workers = u64::from(workers);
        Self {
            mbufs,
            frames: mbufs * u64::from(frame_len) + workers * (PORT_LEN + large_frames_len(plan)),
            buffers: workers * buffers_len(&plan.tally) as u64,
            responses: responses as u64,
            pool,
        }
    }

    /// Hugepages for everything.
    pub(crate) fn pages(&self) -> u64 {
        self.pool.pages_for(self.frames)
            + self.pool.pages_for(self.buffers)
            + self.pool.pages_for(self.responses)
    }
}

impl Display for MemoryRequirement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pages = self.pages();
        write!(
            f,
            "This plan takes about {pages} hugepages of {} ({} for frames, {} for socket buffers, {} \
             for responses) and {} are free: `{} reserve {pages}`",
            human::bytes(self.pool.page),
            human::bytes(self.frames),
            human::bytes(self.buffers),
            human::bytes(self.responses),
            self.pool.free,
            Script::Hugepages,
        )
    }
}

/// Bytes of one worker's buffers for packets that the NIC segments, where the link may have them.
fn large_frames_len(plan: &Plan) -> u64 {
    let may_segment = match &plan.link {
        LinkSpec::Named(link) => {
            matches!(link.device().kind(), DeviceKind::Pci | DeviceKind::Vhost)
        }
        // It may choose vhost.
        LinkSpec::Auto => true,
    };
    if may_segment && plan.offloads == Offloads::Auto { LARGE_FRAMES_LEN } else { 0 }
}

/// Bytes of one core's socket buffers.
pub(crate) fn buffers_len(tally: &CoreTally) -> usize {
    let pair = tally.receive_buffer.next_multiple_of(BUFFER_ALIGN)
        + tally.transmit_buffer.next_multiple_of(BUFFER_ALIGN);
    tally.connections * pair
}

/// A cache line: two buffers never share one.
pub(crate) const BUFFER_ALIGN: usize = 64;

/// Buffers (mbufs) for `workers` workers: from above, since the link is not known yet. AF_XDP takes the most, with
/// a port for each worker or with one and software steering.
fn mbufs(workers: u16) -> u64 {
    let alone = PortPlan::default();
    let worker_queues = workers.saturating_sub(1);
    let frames_held = Steering::Software { worker_queues }.frames_held();
    let steered = PortPlan { frames_held, ..alone };
    let each = u64::from(alone.buffers(DeviceKind::AfXdp)) * u64::from(workers);
    each.max(u64::from(steered.buffers(DeviceKind::AfXdp)))
}

/// What DPDK keeps for each port beside its buffers: rings of descriptors and of the pool, caches.
const PORT_LEN: u64 = 4 << 20;

/// Sixty-four buffers of 64 KiB, and those of software steering's rings.
const LARGE_FRAMES_LEN: u64 = 73 * (64 << 10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_says_what_to_type() {
        let requirement = MemoryRequirement {
            mbufs: 8_000,
            frames: 20 << 20,
            buffers: 512 << 20,
            responses: 3 << 20,
            pool: HugepagePool { page: 2 << 20, total: 64, free: 64 },
        };
        assert_eq!(requirement.pages(), 10 + 256 + 2);
        assert_eq!(
            requirement.to_string(),
            "This plan takes about 268 hugepages of 2 MiB (20 MiB for frames, 512 MiB for socket \
             buffers, 3 MiB for responses) and 64 are free: `./hugepages.sh reserve 268`"
        );
    }

    #[test]
    fn every_way_to_spread_has_its_buffers() {
        let alone = u64::from(PortPlan::default().buffers(DeviceKind::AfXdp));
        assert_eq!(mbufs(1), alone);
        for workers in [2, 8, 64] {
            let steered = PortPlan {
                frames_held: Steering::Software { worker_queues: workers - 1 }.frames_held(),
                ..PortPlan::default()
            };
            let rss = PortPlan { queues: workers, ..PortPlan::default() };
            for kind in [DeviceKind::Pci, DeviceKind::AfXdp, DeviceKind::AfPacket] {
                assert!(mbufs(workers) >= u64::from(steered.buffers(kind)), "{workers} spread");
                assert!(mbufs(workers) >= u64::from(rss.buffers(kind)), "{workers} by RSS");
            }
            assert!(mbufs(workers) >= alone * u64::from(workers), "{workers} ports");
        }
    }

    #[test]
    fn buffers_start_on_lines_of_their_own() {
        let tally =
            CoreTally { connections: 2, half_open: 1, receive_buffer: 100, transmit_buffer: 64 };
        assert_eq!(buffers_len(&tally), 2 * (128 + 64));
    }
}
