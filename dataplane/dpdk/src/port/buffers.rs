//! How many buffers (mbufs) a port takes and how large they are: known before it is opened.

use engine::BURST_MAX;

use super::plan::PortPlan;
use crate::{
    DeviceKind,
    limits::{L2_LEN_MAX, PENDING_MAX, STASH_MAX},
    pool::{CACHE_MAX, MBUF_OVERHEAD},
};

impl PortPlan {
    /// Buffers of the port's pool: as many as everything that can hold one of them at a time, on a device of
    /// this kind that takes the descriptors as planned.
    pub fn buffers(&self, kind: DeviceKind) -> u32 {
        let descriptors = u32::from(self.rx_descriptors) + u32::from(self.tx_descriptors);
        let in_driver = match kind {
            // Its fill and completion rings have 2,048 entries each, whatever is asked for.
            DeviceKind::AfXdp => 2 * AF_XDP_RING + descriptors,
            _ => descriptors,
        };
        let per_queue = in_driver + IN_HAND + self.frames_held + CACHE_MAX;
        // A cache more for the thread that closes the port, or looks at it.
        per_queue * u32::from(self.queues) + CACHE_MAX
    }

    /// Bytes of each buffer, with what DPDK keeps beside its data.
    pub fn buffer_len(&self, kind: DeviceKind) -> u32 {
        self.data_len(kind) + dpdk_sys::SHIM_HEADROOM + MBUF_OVERHEAD
    }

    /// Bytes of data in each buffer, without headroom.
    pub(crate) fn data_len(&self, kind: DeviceKind) -> u32 {
        let frame = L2_LEN_MAX + u32::from(self.ip_mtu);
        let frame = match kind {
            DeviceKind::AfXdp => frame + XDP_PACKET_HEADROOM,
            _ => frame,
        };
        frame.max(DATA_LEN_MIN).next_multiple_of(DATA_LEN_STEP)
    }
}

/// Buffers that a queue's core has in hand: a burst, frames to send, and transmit buffers of two sizes.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred")]
const IN_HAND: u32 = (BURST_MAX + PENDING_MAX + 2 * STASH_MAX) as u32;

/// What the kernel keeps free before each frame of an AF_XDP socket (linux/bpf.h).
const XDP_PACKET_HEADROOM: u32 = 256;

/// Entries of an AF_XDP fill or completion ring (`XSK_RING_PROD__DEFAULT_NUM_DESCS`).
const AF_XDP_RING: u32 = 2048;

/// NICs take receive buffers in steps of 1 KiB, and split a full-sized frame over smaller ones.
const DATA_LEN_MIN: u32 = 2048;
const DATA_LEN_STEP: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_more_takes_as_many_buffers_again() {
        let plan = PortPlan { queues: 2, frames_held: 100, ..PortPlan::default() };
        let each = 4096 + 1024 + 160 + 100 + 384;
        assert_eq!(plan.buffers(DeviceKind::Pci), 2 * each + 384);
        assert_eq!(plan.buffers(DeviceKind::AfXdp), 2 * (each + 4096) + 384);
    }

    #[test]
    fn a_buffer_holds_a_frame_of_the_mtu() {
        let plan = PortPlan::default();
        assert_eq!(
            (plan.data_len(DeviceKind::Pci), plan.buffer_len(DeviceKind::Pci)),
            (2048, 2368)
        );
        let jumbo = PortPlan { ip_mtu: 9000, ..plan };
        assert_eq!(jumbo.data_len(DeviceKind::AfXdp), 10 * 1024);
    }
}
