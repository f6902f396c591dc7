//! How much memory a plan needs, known before anything is taken, and how that compares with the
//! hugepages there are.

use std::fmt::{self, Display, Formatter};

use dpdk::LinkKind;

use crate::config::{CoreTally, Offloads, Plan};
use crate::link::LinkSpec;
use crate::memory::{HugepagePool, mebibytes};

/// What a plan needs, in octets, beside the hugepages of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    /// Frames: an estimate from above, since drivers round.
    pub(crate) frames: u64,
    /// Socket buffers of all cores.
    pub(crate) buffers: u64,
    /// Answers.
    pub(crate) answers: u64,
    /// The host's hugepages when this was worked out.
    pub(crate) pool: HugepagePool,
}

impl Need {
    /// Of a plan with `answers` octets of answers, on a host with `pool`.
    pub(crate) fn of(plan: &Plan, answers: usize, pool: HugepagePool) -> Self {
        let workers = plan.cores.len() as u64;
        Self {
            frames: workers * (FRAMES_PER_WORKER * FRAME_LEN + large_frames_len(plan)),
            buffers: workers * buffers_len(&plan.tally) as u64,
            answers: answers as u64,
            pool,
        }
    }

    /// Hugepages for everything.
    pub(crate) fn pages(&self) -> u64 {
        self.pool.pages_for(self.frames)
            + self.pool.pages_for(self.buffers)
            + self.pool.pages_for(self.answers)
    }
}

impl Display for Need {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let pages = self.pages();
        write!(
            f,
            "This plan takes about {pages} hugepages of {} ({} for frames, {} for socket buffers, {} \
             for answers) and {} are free: `./hugepages.sh reserve {pages}`",
            mebibytes(self.pool.page),
            mebibytes(self.frames),
            mebibytes(self.buffers),
            mebibytes(self.answers),
            self.pool.free,
        )
    }
}

/// Bytes of one worker's buffers for packets that the NIC segments, where the link may have them.
fn large_frames_len(plan: &Plan) -> u64 {
    match &plan.link {
        LinkSpec::Named(link)
            if matches!(link.device().kind(), LinkKind::Pci | LinkKind::Vhost)
                && plan.offloads == Offloads::Auto =>
        {
            LARGE_FRAMES_LEN
        }
        LinkSpec::Named(_) | LinkSpec::Auto => 0,
    }
}

/// Octets of one core's socket buffers.
pub(crate) fn buffers_len(tally: &CoreTally) -> usize {
    let pair = tally.receive_buffer.next_multiple_of(BUFFER_ALIGN)
        + tally.transmit_buffer.next_multiple_of(BUFFER_ALIGN);
    tally.connections * pair
}

/// A cache line: two buffers never share one.
pub(crate) const BUFFER_ALIGN: usize = 64;

/// Rings of 4,096 and 1,024 entries, AF_XDP's own of 2,048 twice, caches, bursts in hand, the spreader's rings.
const FRAMES_PER_WORKER: u64 = 11_520;
/// Sixty-four buffers of 64 KiB, and those of the spreader's rings.
const LARGE_FRAMES_LEN: u64 = 73 * (64 << 10);
/// Data room of 2 KiB, headroom, and what DPDK keeps of each frame.
const FRAME_LEN: u64 = 2_048 + 128 + 192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_need_says_what_to_type() {
        let need = Need {
            frames: 20 << 20,
            buffers: 512 << 20,
            answers: 3 << 20,
            pool: HugepagePool { page: 2 << 20, total: 64, free: 64 },
        };
        assert_eq!(need.pages(), 10 + 256 + 2);
        assert_eq!(
            need.to_string(),
            "This plan takes about 268 hugepages of 2.0 MiB (20.0 MiB for frames, 512.0 MiB for \
             socket buffers, 3.0 MiB for answers) and 64 are free: `./hugepages.sh reserve 268`"
        );
    }

    #[test]
    fn buffers_start_on_lines_of_their_own() {
        let tally =
            CoreTally { connections: 2, half_open: 1, receive_buffer: 100, transmit_buffer: 64 };
        assert_eq!(buffers_len(&tally), 2 * (128 + 64));
    }
}
