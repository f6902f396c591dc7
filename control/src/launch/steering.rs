//! How flows get to their workers: decided once, from what the port can do. Pure.

use dpdk::{FlowSteering, PortInfo};
use engine::{BURST_MAX, steering};

use crate::cores::list;

/// Who spreads the flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Steering {
    /// Nobody has to: there is one worker.
    Alone,
    /// The NIC, by the hash of the 4-tuple, one queue for each worker.
    Rss { queues: u16 },
    /// The kernel's driver below, one port for each worker.
    Kernel { ports: u16 },
    /// The kernel's tap, one queue for each worker.
    Tap { queues: u16 },
    /// The first worker polls the only queue and deals frames to the others.
    Software { worker_queues: u16 },
}

impl Steering {
    /// Decides for `workers` workers (at least 1) on `ports` ports like the one that `info` tells of.
    pub(crate) fn decide(info: &PortInfo, ports: u16, workers: u16) -> Self {
        match info.flow_steering {
            _ if workers == 1 => Self::Alone,
            // The kernel keeps a flow on its queue, and so on its port.
            _ if ports == workers => Self::Kernel { ports },
            FlowSteering::Rss if info.queues_max >= workers => Self::Rss { queues: workers },
            FlowSteering::Tap if info.queues_max >= workers => Self::Tap { queues: workers },
            // A memif peer does not promise to keep a flow on its queue.
            FlowSteering::Rss
            | FlowSteering::Outside
            | FlowSteering::Tap
            | FlowSteering::Nobody => Self::Software { worker_queues: workers - 1 },
        }
    }

    /// Queue pairs of each port.
    pub(crate) fn queues(self) -> u16 {
        match self {
            Self::Alone | Self::Kernel { .. } | Self::Software { .. } => 1,
            Self::Rss { queues } | Self::Tap { queues } => queues,
        }
    }

    /// Workers whose frames come from one queue.
    pub(crate) fn workers_of_queue(self) -> u32 {
        self.worker_queues() + 1
    }

    /// In words, with `cores` in the order of the workers.
    pub(crate) fn spell(self, cores: &[usize]) -> String {
        let first = cores.first().copied().unwrap_or_default();
        match self {
            Self::Alone => format!("one queue, one worker on core {first}"),
            Self::Rss { queues } => {
                format!("RSS of the NIC, {queues} queues, a worker each on cores {}", list(cores))
            }
            Self::Kernel { ports } => {
                format!("kernel's driver, {ports} queues, a worker each on cores {}", list(cores))
            }
            Self::Tap { queues } => {
                format!("kernel's tap, {queues} queues, a worker each on cores {}", list(cores))
            }
            Self::Software { worker_queues } => {
                format!(
                    "software steering on core {first}, {} workers on cores {}",
                    worker_queues + 1,
                    list(cores)
                )
            }
        }
    }

    /// Large buffers that lie in the rings between the workers, at most.
    pub(crate) fn large_held(self) -> u32 {
        self.worker_queues() * WORKER_QUEUE_LARGE
    }

    /// Frames and transmit buffers that lie in the rings between the workers, at most.
    pub(crate) fn frames_held(self) -> u32 {
        self.worker_queues() * WORKER_QUEUE_FRAMES
    }

    /// Workers that have a ring of another worker instead of a queue.
    fn worker_queues(self) -> u32 {
        match self {
            Self::Software { worker_queues } => worker_queues.into(),
            Self::Alone | Self::Rss { .. } | Self::Kernel { .. } | Self::Tap { .. } => 0,
        }
    }
}

/// One worker queue of software steering: frames in its ring, its transmit buffers, two bursts in hand, and
/// what its thread's cache of the pool may keep (1.5 times 256).
#[expect(clippy::cast_possible_truncation, reason = "a couple of thousand")]
const WORKER_QUEUE_FRAMES: u32 =
    (steering::FRAMES_MAX + steering::TX_BUFFERS + 2 * BURST_MAX + 384) as u32;

/// Large buffers of one worker queue, and one in hand.
#[expect(clippy::cast_possible_truncation, reason = "a dozen")]
const WORKER_QUEUE_LARGE: u32 = (steering::LARGE_TX_BUFFERS + 1) as u32;

#[cfg(test)]
mod tests {
    use super::*;

    fn info(flow_steering: FlowSteering, queues_max: u16) -> PortInfo {
        PortInfo {
            driver: "net_x".into(),
            mac: [2, 0, 0, 0, 0, 1],
            queues_max,
            rss_tcp_ipv4: flow_steering == FlowSteering::Rss,
            flow_steering,
            rx_checksum_offload: false,
            tx_checksum_offload: false,
            tx_segmentation_max: 0,
            ip_mtu_max: 1_500,
            socket: None,
        }
    }

    #[test]
    fn hardware_spreads_where_it_can() {
        let decide = |flow_steering, max, ports, workers| {
            Steering::decide(&info(flow_steering, max), ports, workers)
        };
        assert_eq!(decide(FlowSteering::Rss, 8, 1, 1), Steering::Alone);
        assert_eq!(decide(FlowSteering::Rss, 8, 1, 4), Steering::Rss { queues: 4 });
        let software = Steering::Software { worker_queues: 3 };
        assert_eq!(decide(FlowSteering::Rss, 2, 1, 4), software, "fewer queues than workers");
        assert_eq!(decide(FlowSteering::Outside, 1, 2, 2), Steering::Kernel { ports: 2 });
        let software = Steering::Software { worker_queues: 1 };
        assert_eq!(decide(FlowSteering::Outside, 1, 1, 2), software, "one AF_XDP queue");
        assert_eq!(decide(FlowSteering::Outside, 8, 1, 2), software, "a memif peer");
        assert_eq!(decide(FlowSteering::Nobody, 1, 1, 2), software);
        assert_eq!(decide(FlowSteering::Tap, 2, 1, 2), Steering::Tap { queues: 2 });
        assert_eq!(
            decide(FlowSteering::Tap, 1, 1, 2),
            software,
            "more workers than vhost has queues"
        );
    }

    #[test]
    fn only_software_holds_frames_between_cores() {
        assert_eq!(Steering::Rss { queues: 2 }.frames_held(), 0);
        assert_eq!(Steering::Software { worker_queues: 2 }.frames_held(), 2 * WORKER_QUEUE_FRAMES);
        assert_eq!(Steering::Software { worker_queues: 2 }.queues(), 1);
        assert_eq!(Steering::Software { worker_queues: 2 }.workers_of_queue(), 3);
        assert_eq!(Steering::Rss { queues: 2 }.workers_of_queue(), 1);
        assert_eq!(
            Steering::Software { worker_queues: 1 }.spell(&[1, 3]),
            "software steering on core 1, 2 workers on cores 1,3"
        );
    }
}
