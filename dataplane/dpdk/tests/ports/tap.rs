//! Frames over a TAP port, against a raw socket on the interface it makes. No hugepages.

use std::sync::Arc;

use dpdk::{Device, FlowSteering, Memory, Port, PortPlan, QueuePair};
use engine::{Burst, Frame, Nic, RxChecksums, TxOffload};
use nix::net::if_::if_nametoindex;
use testkit::{Rig, Tool};

use crate::frames::{Raw, can_be_polled, eal, exchange, wait_until};
use crate::process::{ALONE, Parts};

const PARTS: Parts = Parts {
    test: "tap::tap_exchanges_frames_and_takes_its_interface_along",
    parts: &[("port", port)],
};

/// Not one of the link's: the driver makes it.
const TAP: &str = "pollux-tap";

#[test]
fn tap_exchanges_frames_and_takes_its_interface_along() {
    PARTS.run(|| Rig::run(ALONE, |_| PARTS.succeed("port")));
}

fn port() {
    let eal = eal(Memory::Ordinary { mib: 64 });
    let device = Device::tap(TAP).expect("a name");
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    assert!(port.info().rx_checksum_offload && port.info().tx_checksum_offload);
    assert_eq!(
        (port.info().driver.as_str(), port.info().flow_steering),
        ("net_tap", FlowSteering::Nobody)
    );
    Tool::new(5, "sysctl", &["-qw", &format!("net.ipv6.conf.{TAP}.disable_ipv6=1")]).text();
    let (port, mut queues) =
        port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"));
    Tool::new(5, "ip", &["link", "set", TAP, "up"]).text();
    exchange(&mut queues[0], &Raw::on(TAP));
    can_be_polled(&mut queues[0], &Raw::on(TAP));
    checksums_are_offloaded(&mut queues[0], &Raw::on(TAP));
    let pool = Arc::clone(port.pool());
    drop(queues);
    port.stop().expect("a clean stop");
    assert!(if_nametoindex(TAP).is_err(), "the interface is gone");
    assert_eq!(pool.available(), pool.size(), "every buffer is back");
}

/// The TAP driver does in software what NICs do: flags in and out have their meaning.
fn checksums_are_offloaded(queue: &mut QueuePair, kernel: &Raw) {
    assert!(queue.capabilities().tx_checksum_offload);
    let whole = tcp_frame();

    let mut wrong_tcp = whole.clone();
    wrong_tcp[60] ^= 1;
    let mut wrong_ip = whole.clone();
    wrong_ip[22] ^= 1;
    let cases = [
        (&whole, RxChecksums::Good),
        (&wrong_tcp, RxChecksums::Bad),
        (&wrong_ip, RxChecksums::Bad),
    ];
    let mut burst = Burst::new();
    for (frame, expected) in cases {
        kernel.send(frame);
        wait_until("the frame", || {
            queue.receive(&mut burst);
            burst.retain(|got| got.as_ref() == frame.as_slice());
            !burst.is_empty()
        });
        assert_eq!(burst[0].checksums(), expected);
        burst.clear();
    }

    let mut tx_buffer = queue.tx_buffer().expect("a buffer");
    let bytes = &mut tx_buffer.as_mut()[..whole.len()];
    bytes.copy_from_slice(&whole);
    bytes[24..26].fill(0);
    bytes[50..52].copy_from_slice(&(!checksum(&[&pseudo_header(&whole)])).to_be_bytes());
    queue.submit(tx_buffer, whole.len(), TxOffload::Checksums { l2_len: 14, l3_len: 20 });
    let mut got = None;
    wait_until("the frame with its checksums", || {
        queue.flush();
        got = kernel.receive_where(|frame| frame.len() == whole.len() && frame[12..14] == [8, 0]);
        got.is_some()
    });
    assert_eq!(got.expect("waited for"), whole);
}

/// A TCP segment with ten bytes of data in IPv4, all checksums right.
fn tcp_frame() -> Vec<u8> {
    let mut frame = [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1][..], &[8, 0]].concat();
    frame.extend([0x45, 0, 0, 50, 0, 1, 0x40, 0, 64, 6, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2]);
    frame.extend([0x1f, 0x90, 0, 80, 0, 0, 0, 9, 0, 0, 0, 7, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
    frame.extend(b"0123456789");
    let ip = checksum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&ip.to_be_bytes());
    let tcp = checksum(&[&pseudo_header(&frame), &frame[34..]]);
    frame[50..52].copy_from_slice(&tcp.to_be_bytes());
    frame
}

/// RFC 9293 3.1: addresses, zero, protocol, TCP length.
fn pseudo_header(frame: &[u8]) -> [u8; 12] {
    let mut header = [0; 12];
    header[..8].copy_from_slice(&frame[26..34]);
    header[9] = 6;
    header[11] = u8::try_from(frame.len() - 34).expect("small");
    header
}

/// RFC 1071, over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).expect("folded")
}
