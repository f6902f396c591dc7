//! The offloads of virtio between two processes without a kernel: DPDK's virtio_user on one side, its
//! net_vhost on the other. Checksums left to the driver arrive filled in, a large packet arrives in one
//! piece.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Child},
};

use dpdk::{Device, DeviceKind, Memory, Port, PortPlan, QueuePair, Running};
use engine::{Burst, Nic, TxOffload};

use crate::frames::{eal, frame, is_ours, submit, wait_until};
use crate::process::{Parts, is_done};

const PARTS: Parts = Parts {
    test: "vhost_user::checksums_and_large_packets_cross_between_two_processes",
    parts: &[("device", take), ("driver", give)],
};

/// The path of the socket between both parts.
const SOCKET: &str = "POLLUX_TEST_VHOST_SOCKET";

/// Bytes of payload of the large packet: 44 segments of 1,460 and a short one.
const LARGE: usize = 44 * 1_460 + 100;

#[test]
fn checksums_and_large_packets_cross_between_two_processes() {
    PARTS.run(|| {
        let socket = PathBuf::from(format!("/tmp/pollux-test-vhost-{}.sock", process::id()));
        let start = |part| -> Child {
            PARTS.command(part).env(SOCKET, &socket).spawn().expect("it starts")
        };
        let (mut device, mut driver) = (start("device"), start("driver"));
        let (driver, device) = (driver.wait().expect("it runs"), device.wait().expect("it runs"));
        let _ = fs::remove_file(&socket);
        assert!(is_done(driver) && is_done(device), "driver {driver}, device {device}");
    });
}

fn socket() -> PathBuf {
    env::var_os(SOCKET).expect("a part is told").into()
}

fn open(argument: &str) -> (Port<Running>, QueuePair) {
    // Ordinary pages are one file, which vhost-user can hand over; eight are the most it can.
    let eal = eal(Memory::Ordinary { mib: 128 });
    let device: Device = argument.parse().expect("a device argument");
    assert_eq!((device.kind(), device.interface()), (DeviceKind::Other, None));
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let (port, mut queues) =
        port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"));
    wait_until("the peer", || port.link_status().expect("a link").up);
    (port, queues.pop().expect("one was asked for"))
}

/// A TCP packet with `payload` bytes whose checksums are as `offload` wants them.
fn packet(payload: usize, pseudo_len: u32) -> Vec<u8> {
    let mut frame = vec![0; 54 + payload];
    frame[..14].copy_from_slice(&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00]);
    let total = u16::try_from(40 + payload).expect("within 64 KiB");
    frame[14..24].copy_from_slice(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 6]);
    frame[16..18].copy_from_slice(&total.to_be_bytes());
    frame[26..34].copy_from_slice(&[198, 18, 0, 1, 198, 18, 0, 2]);
    frame[34..38].copy_from_slice(&[0x1f, 0x90, 0x9c, 0x40]);
    frame[46..50].copy_from_slice(&[0x50, 0x10, 0xff, 0xff]);
    for (at, byte) in frame[54..].iter_mut().enumerate() {
        *byte = at.to_le_bytes()[0] ^ at.to_le_bytes()[1];
    }
    let pseudo = sum(&frame[26..34], 6 + pseudo_len);
    frame[50..52].copy_from_slice(&pseudo.to_be_bytes());
    frame
}

/// One's complement sum of 16-bit words (RFC 1071).
fn sum(bytes: &[u8], start: u32) -> u16 {
    let words = bytes.chunks(2);
    let words = words.map(|pair| u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    let mut sum = words.fold(start, |sum, word| sum + u32::from(word));
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).expect("folded")
}

/// The driver's end: sends a plain frame, one with its checksums left, and a large packet.
fn give() {
    let socket = socket();
    wait_until("the device's socket", || socket.exists());
    let argument = format!("net_virtio_user0,path={},queue_size=1024", socket.display());
    let (port, mut queue) = open(&argument);
    let info = port.info();
    assert_eq!(info.driver, "net_virtio_user");
    assert!(info.tx_checksum_offload && info.tx_segmentation_max > 65_000, "{info:?}");
    let pool = port.large_pool().expect("a queue that segments has large buffers").clone();
    assert!(submit(&mut queue, &frame(0)));

    let small = packet(1_000, 1_020);
    let mut tx_buffer = queue.tx_buffer().expect("room");
    tx_buffer.as_mut()[..small.len()].copy_from_slice(&small);
    queue.submit(tx_buffer, small.len(), TxOffload::Checksums { l2_len: 14, l3_len: 20 });

    let large = packet(LARGE, 0);
    assert!(queue.large_ready());
    let mut tx_buffer = queue.large_tx_buffer().expect("a large buffer");
    tx_buffer.as_mut()[..large.len()].copy_from_slice(&large);
    let offload =
        TxOffload::Segmentation { l2_len: 14, l3_len: 20, l4_len: 20, segment_size: 1_460 };
    queue.submit(tx_buffer, large.len(), offload);
    queue.flush();
    let stats = || port.stats().expect("counters").tx_bytes;
    wait_until("everything to leave", || {
        queue.flush();
        stats() >= (large.len() + small.len()) as u64
    });
    assert_eq!(queue.losses().tx_segmentation_refused, 0, "the driver takes the packet");
    assert!(queue.large_ready(), "there are more");
    assert!(pool.size() >= 64);
    // The device ends the link when it has read everything.
    wait_until("the device to leave", || !port.link_status().expect("a link").up);
}

/// The device's end: what arrives.
fn take() {
    let argument = format!("net_vhost0,iface={},queues=1,tso=1", socket().display());
    let (port, mut queue) = open(&argument);
    let (mut plain, mut filled) = (0, 0);
    let mut burst = Burst::new();
    wait_until("three frames", || {
        queue.receive(&mut burst);
        for frame in burst.drain(..) {
            let bytes = frame.as_ref();
            if is_ours(bytes) {
                plain += 1;
            } else if bytes.len() == 1_054 {
                assert_eq!(sum(&bytes[14..34], 0), 0xffff, "the IPv4 header's checksum");
                let pseudo = u32::from(sum(&bytes[26..34], 6 + 1_020));
                assert_eq!(sum(&bytes[34..], pseudo), 0xffff, "the TCP checksum");
                filled += 1;
            }
        }
        plain == 1 && filled == 1 && queue.losses().rx_multi_segment == 1
    });
    // What came in several buffers was the large packet, whole.
    let received = port.stats().expect("counters").rx_bytes;
    assert!(received >= LARGE as u64, "{received} bytes");
}
