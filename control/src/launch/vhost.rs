//! The start-up self-test of a vhost link: whether the kernel takes what the queue sends. Some kernels
//! (6.1.103 and later, 6.6.44) refuse a large packet whose last segment is a short one.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use engine::{Nic, TxOffload};

/// What the kernel takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Handover {
    /// Frames, and large packets where the queue offers them.
    Everything,
    /// Frames only, and why.
    Frames(String),
    /// Not even those, and why.
    Nothing(String),
}

/// Sends a frame and a large packet to a MAC address that nobody has, and reads from the interface's
/// statistics whether they came.
pub(super) fn test<N: Nic>(nic: &mut N, interface: &str, mac: [u8; 6]) -> Handover {
    let directory = Path::new("/sys/class/net").join(interface).join("statistics");
    test_with(nic, mac, || received(&directory))
}

fn test_with<N: Nic>(nic: &mut N, mac: [u8; 6], received: impl Fn() -> Option<u64>) -> Handover {
    let Some(before) = received() else {
        return Handover::Frames("the statistics of the interface cannot be read".into());
    };
    if !send(nic, mac, 0) || !has_come(&received, before) {
        return Handover::Nothing("a frame did not reach the kernel: is the interface up?".into());
    }
    if nic.capabilities().tx_segmentation_max == 0 {
        return Handover::Everything;
    }
    let Some(before) = received() else {
        return Handover::Frames("the statistics of the interface cannot be read".into());
    };
    if send(nic, mac, 2 * SEGMENT + 10) && has_come(&received, before) {
        Handover::Everything
    } else {
        Handover::Frames("this kernel refuses large packets with a short last segment".into())
    }
}

fn received(directory: &Path) -> Option<u64> {
    let path: PathBuf = directory.join("rx_packets");
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

fn has_come(received: &impl Fn() -> Option<u64>, before: u64) -> bool {
    let deadline = Instant::now() + ARRIVAL_TIMEOUT;
    while received().is_none_or(|now| now <= before) {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(LOOK_EVERY);
    }
    true
}

/// Sends a TCP packet with `payload` bytes of zeros, to be cut where it is longer than a segment. Whether
/// there was a buffer for it.
fn send<N: Nic>(nic: &mut N, mac: [u8; 6], payload: usize) -> bool {
    let is_large = payload > SEGMENT;
    let Some(mut buffer) = (if is_large { nic.large_tx_buffer() } else { nic.tx_buffer() }) else {
        return false;
    };
    let len = LINK_LEN + HEADERS_LEN + payload;
    let frame = &mut buffer.as_mut()[..len];
    frame.fill(0);
    frame[..6].copy_from_slice(&NOBODY);
    frame[6..12].copy_from_slice(&mac);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let total = u16::try_from(HEADERS_LEN + payload).unwrap_or(u16::MAX);
    let ip = &mut frame[LINK_LEN..];
    ip[..10].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
    ip[2..4].copy_from_slice(&total.to_be_bytes());
    ip[12..16].copy_from_slice(&Ipv4Addr::new(198, 18, 255, 253).octets());
    ip[16..20].copy_from_slice(&Ipv4Addr::new(198, 18, 255, 254).octets());
    // Ports 9 (discard), an acknowledgement without anything.
    ip[20..24].copy_from_slice(&[0, 9, 0, 9]);
    ip[32..34].copy_from_slice(&[0x50, 0x10]);
    let offload = if is_large {
        let segment_size = u16::try_from(SEGMENT).unwrap_or(u16::MAX);
        TxOffload::Segmentation { l2_len: 14, l3_len: 20, l4_len: 20, segment_size }
    } else {
        TxOffload::None
    };
    nic.submit(buffer, len.max(FRAME_MIN), offload);
    nic.flush();
    true
}

/// Locally administered, and no interface's.
const NOBODY: [u8; 6] = [0x02, 0x50, 0x4c, 0xff, 0xff, 0xfe];
const LINK_LEN: usize = 14;
const HEADERS_LEN: usize = 40;
const FRAME_MIN: usize = 60;
/// Bytes of payload of a segment.
const SEGMENT: usize = 1_448;
const ARRIVAL_TIMEOUT: Duration = Duration::from_millis(500);
const LOOK_EVERY: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use engine::{Burst, Capabilities, Frame, NicLosses, RxChecksums};

    use super::*;

    /// Never made: this queue receives nothing.
    struct NoFrame;

    impl AsRef<[u8]> for NoFrame {
        fn as_ref(&self) -> &[u8] {
            &[]
        }
    }

    impl Frame for NoFrame {
        fn checksums(&self) -> RxChecksums {
            RxChecksums::Unknown
        }
    }

    /// A kernel that counts what it takes.
    struct Kernel {
        taken: Rc<Cell<u64>>,
        takes_frames: bool,
        takes_large: bool,
    }

    impl Nic for Kernel {
        type Frame = NoFrame;
        type TxBuffer = Vec<u8>;

        fn capabilities(&self) -> Capabilities {
            Capabilities { tx_checksum_offload: true, ip_mtu: 1_500, tx_segmentation_max: 65_000 }
        }

        fn receive(&mut self, _: &mut Burst<NoFrame>) {}

        fn ready(&mut self) -> bool {
            true
        }

        fn tx_buffer(&mut self) -> Option<Vec<u8>> {
            Some(vec![0; 1_518])
        }

        fn large_tx_buffer(&mut self) -> Option<Vec<u8>> {
            Some(vec![0; 65_018])
        }

        fn submit(&mut self, _: Vec<u8>, len: usize, offload: TxOffload) {
            let is_large = matches!(offload, TxOffload::Segmentation { .. });
            assert_eq!(is_large, len > 1_514);
            let takes = if is_large { self.takes_large } else { self.takes_frames };
            self.taken.set(self.taken.get() + u64::from(takes));
        }

        fn flush(&mut self) {}

        fn losses(&self) -> NicLosses {
            NicLosses::default()
        }
    }

    fn tested(takes_frames: bool, takes_large: bool) -> Handover {
        let taken = Rc::new(Cell::new(7));
        let mut kernel = Kernel { taken: Rc::clone(&taken), takes_frames, takes_large };
        test_with(&mut kernel, [2, 0, 0, 0, 0, 1], || Some(taken.get()))
    }

    #[test]
    fn what_the_kernel_takes_is_found_out() {
        assert_eq!(tested(true, true), Handover::Everything);
        assert!(matches!(tested(true, false), Handover::Frames(why) if why.contains("short last")));
        assert!(matches!(tested(false, false), Handover::Nothing(why) if why.contains("up?")));
    }

    #[test]
    fn without_statistics_nothing_is_promised() {
        let taken = Rc::new(Cell::new(0));
        let mut kernel = Kernel { taken, takes_frames: true, takes_large: true };
        let found = test_with(&mut kernel, [2, 0, 0, 0, 0, 1], || None);
        assert!(matches!(found, Handover::Frames(_)));
    }
}
