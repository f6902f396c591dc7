//! Frames over an AF_PACKET port on a veth, against a raw socket on its other end. No hugepages.

use std::sync::Arc;

use dpdk::{Device, FlowSteering, Memory, OpenError, Port, PortPlan, StartError};
use engine::Nic;
use testkit::Rig;

use crate::frames::{Raw, can_be_polled, eal, exchange};
use crate::process::{ALONE, Parts};

const PARTS: Parts = Parts {
    test: "af_packet::af_packet_exchanges_frames_without_hugepages",
    parts: &[("port", port)],
};

#[test]
fn af_packet_exchanges_frames_without_hugepages() {
    PARTS.run(|| Rig::run(ALONE, |_| PARTS.succeed("port")));
}

fn port() {
    let eal = eal(Memory::Ordinary { mib: 64 });

    let missing = Device::af_packet("pollux9").expect("a name");
    let error = Port::open(&eal, &missing).expect_err("there is none");
    assert!(matches!(error, OpenError::NoInterface { .. }), "{error}");

    let device = Device::af_packet("pollux0").expect("a name");
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let info = port.info().clone();
    assert_eq!((info.driver.as_str(), info.flow_steering), ("net_af_packet", FlowSteering::Nobody));
    assert!(!info.rx_checksum_offload && !info.tx_checksum_offload && !info.rss_tcp_ipv4);
    let many = PortPlan { queues: 2, ..PortPlan::default() };
    let error = port.start(&many).expect_err("it has one queue");
    assert!(matches!(error, StartError::Queues { asked: 2, max: 1, .. }), "{error}");

    // The refused port is closed: the device can be opened again.
    let port = Port::open(&eal, &device).unwrap_or_else(|error| panic!("{error}"));
    let (port, mut queues) =
        port.start(&PortPlan::default()).unwrap_or_else(|error| panic!("{error}"));
    let queue = &mut queues[0];
    assert_eq!(queue.capabilities().ip_mtu, 1500);
    let pool = Arc::clone(port.pool());
    exchange(queue, &Raw::on("pollux-host"));
    can_be_polled(queue, &Raw::on("pollux-host"));
    assert!(port.link_status().expect("a link").up);
    drop(queues);
    port.stop().expect("a clean stop");
    assert_eq!(pool.available(), pool.size(), "every buffer is back");
}
