//! How a port is to be started.

/// How a port is to be started: queues, descriptors, MTU, offloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortPlan {
    /// Queue pairs, one for each core.
    pub queues: u16,
    /// Descriptors of each receive queue; a power of two. Drivers may round it.
    pub rx_descriptors: u16,
    /// Descriptors of each transmit queue; a power of two. Drivers may round it.
    pub tx_descriptors: u16,
    /// Largest IP packet in bytes.
    pub ip_mtu: u16,
    /// Frames and transmit buffers that cores hold at a time beyond a burst in hand: what is in the rings of
    /// software steering, for one.
    pub frames_held: u32,
    /// Whether frames to any group of stations are received, not only broadcasts. Drivers that cannot
    /// choose receive what they always do.
    pub multicast: bool,
    /// Whether received frames go on to somebody else and must have their checksums filled in, which virtio
    /// leaves to whoever receives from it with the receive checksum offload on (virtio 1.1, 5.1.6.4).
    pub checksums_filled: bool,
    /// Large buffers that cores hold at a time beyond those of their queues.
    pub large_held: u32,
    /// Whether checksums and segmentation are left to a NIC that does them.
    pub offloads: bool,
}

impl Default for PortPlan {
    /// One queue, Ethernet's MTU.
    fn default() -> Self {
        Self {
            queues: 1,
            rx_descriptors: 4096,
            tx_descriptors: 1024,
            ip_mtu: 1500,
            frames_held: 0,
            multicast: false,
            checksums_filled: false,
            large_held: 0,
            offloads: true,
        }
    }
}
