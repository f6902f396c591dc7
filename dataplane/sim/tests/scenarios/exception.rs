//! The exception path: what is not for the appliance's TCP port is the kernel's, and what the kernel sends
//! leaves through the port. HTTP does not notice.

use sim::raw::{
    Address, IPV4_AT, Segment, TCP_AT, arp_reply, arp_request, echo_request, flag, ipv4_frame,
    refresh, tagged,
};
use sim::{APPLIANCE, Dialog, HTTP_PORT, NicPlan, RawId, Setup, World};
use smoltcp::wire::IpProtocol;

const SECOND: u64 = 1_000_000;
const STRANGER: [u8; 6] = [0x02, 7, 7, 7, 7, 7];

fn setup() -> Setup {
    Setup { exception: true, ..Setup::new(1) }
}

/// Injects `frame` and lets it arrive.
fn arrive(world: &mut World, raw: RawId, frame: &[u8]) {
    world.inject(raw, frame);
    world.run_for(SECOND / 100);
}

/// A frame as given is the kernel's, whole; nothing is dropped and nobody answers it.
#[track_caller]
fn expect_for_kernel(frame: impl FnOnce(&Address) -> Vec<u8>) {
    let (mut world, raw) = setup().build_with_raw();
    let frame = frame(&world.address(raw));
    arrive(&mut world, raw, &frame);
    let len = frame.len() as u64;
    assert_eq!(world.kernel_frames(), [frame]);
    let counts = (world.count("exception_rx_frames"), world.count("exception_rx_bytes"));
    assert_eq!(counts, (1, len));
    assert!(world.drops().is_empty(), "{:?}", world.drops());
    world.expect_silence(raw, SECOND);
    world.end();
}

/// A frame as given is not the kernel's, but dropped for `reason`.
#[track_caller]
fn expect_dropped(reason: &str, frame: impl FnOnce(&Address) -> Vec<u8>) {
    let (mut world, raw) = setup().build_with_raw();
    let frame = frame(&world.address(raw));
    arrive(&mut world, raw, &frame);
    assert_eq!(world.kernel_frames(), Vec::<Vec<u8>>::new());
    assert_eq!(world.drops().into_iter().collect::<Vec<_>>(), [(reason, 1)]);
    world.discard_heard(raw);
    world.end();
}

fn syn(port: u16) -> Segment {
    Segment { flags: flag::SYN, ..Segment::new(4_000, port) }
}

fn changed(mut frame: Vec<u8>, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    change(&mut frame);
    frame
}

/// An IPv4 frame with one option of four bytes, a router alert (RFC 2113).
fn with_option(frame: &[u8]) -> Vec<u8> {
    let (head, payload) = frame.split_at(TCP_AT);
    let mut frame = [head, &[148, 4, 0, 0], payload].concat();
    frame[IPV4_AT] = 0x46;
    let total = u16::try_from(frame.len() - IPV4_AT).expect("short");
    frame[IPV4_AT + 2..IPV4_AT + 4].copy_from_slice(&total.to_be_bytes());
    refresh(&mut frame);
    frame
}

/// The first fragment of a longer packet.
fn first_fragment(frame: Vec<u8>) -> Vec<u8> {
    changed(frame, |frame| {
        frame[IPV4_AT + 6] = 0x20;
        refresh(frame);
    })
}

#[test]
fn tcp_of_other_ports_is_the_kernels() {
    for flags in [flag::SYN, flag::ACK, flag::SYN | flag::ACK, flag::RST, flag::FIN | flag::ACK] {
        expect_for_kernel(|from| {
            Segment { flags, payload: b"SSH-2.0".to_vec(), ..syn(22) }.frame(from, &APPLIANCE)
        });
    }
    // An answer to a connection that the kernel made: from a port like ours to one that is not.
    expect_for_kernel(|from| {
        Segment { flags: flag::SYN | flag::ACK, ..Segment::new(HTTP_PORT, 50_000) }
            .frame(from, &APPLIANCE)
    });
}

#[test]
fn other_protocols_are_the_kernels() {
    for protocol in [IpProtocol::Udp, IpProtocol::Igmp, IpProtocol::Unknown(89)] {
        expect_for_kernel(|from| ipv4_frame(from, &APPLIANCE, protocol, &[0; 40]));
    }
    // ICMP: destination unreachable.
    expect_for_kernel(|from| {
        changed(echo_request(from, &APPLIANCE, 1, 1, &[0; 28]), |frame| {
            frame[TCP_AT] = 3;
            refresh(frame);
        })
    });
}

#[test]
fn fragments_and_options_are_the_kernels() {
    expect_for_kernel(|from| first_fragment(syn(22).frame(from, &APPLIANCE)));
    expect_for_kernel(|from| with_option(&syn(22).frame(from, &APPLIANCE)));
    // A later fragment has no ports; without the first it is never put together.
    expect_for_kernel(|from| {
        changed(syn(HTTP_PORT).frame(from, &APPLIANCE), |frame| {
            frame[IPV4_AT + 7] = 3;
            refresh(frame);
        })
    });
}

#[test]
fn other_ethertypes_and_groups_are_the_kernels() {
    const LLDP: [u8; 6] = [0x01, 0x80, 0xc2, 0, 0, 0x0e];
    let with_type = |frame: Vec<u8>, to: [u8; 6], ethertype: [u8; 2]| {
        changed(frame, |frame| {
            frame[..6].copy_from_slice(&to);
            frame[12..14].copy_from_slice(&ethertype);
        })
    };
    expect_for_kernel(|from| with_type(arp_request(from, APPLIANCE.ip), LLDP, [0x88, 0xcc]));
    // IPv6, to us and to all nodes.
    for to in [APPLIANCE.mac, [0x33, 0x33, 0, 0, 0, 1]] {
        expect_for_kernel(|from| with_type(syn(22).frame(from, &APPLIANCE), to, [0x86, 0xdd]));
    }
    // DHCP: a broadcast.
    let all = Address { mac: [0xff; 6], ip: [255; 4].into() };
    expect_for_kernel(|from| ipv4_frame(from, &all, IpProtocol::Udp, &[0; 300]));
    // A second address that the kernel has on the interface.
    let second = Address { ip: [198, 18, 0, 77].into(), ..APPLIANCE };
    expect_for_kernel(|from| syn(HTTP_PORT).frame(from, &second));
    // Tagged frames keep their tag.
    expect_for_kernel(|from| tagged(&syn(22).frame(from, &APPLIANCE), 0x0123));
}

#[test]
fn arp_of_others_is_the_kernels() {
    expect_for_kernel(|from| arp_reply(from, &APPLIANCE));
    expect_for_kernel(|from| arp_request(from, [198, 18, 0, 77].into()));
    // Somebody announces an address of its own.
    expect_for_kernel(|from| arp_request(from, from.ip));
}

/// Exactly one of the two answers: the appliance.
#[test]
fn arp_requests_and_pings_for_the_address_are_answered_here() {
    let (mut world, raw) = setup().build_with_raw();
    let from = world.address(raw);
    world.inject(raw, &arp_request(&from, APPLIANCE.ip));
    world.hear(raw);
    world.inject(raw, &echo_request(&from, &APPLIANCE, 1, 2, b"ping"));
    world.hear(raw);
    assert_eq!((world.count("arp_replies"), world.count("echo_replies")), (1, 1));
    assert_eq!(world.kernel_frames(), Vec::<Vec<u8>>::new());
    world.end();
    expect_dropped("drop_arp", |from| {
        let group = Address { mac: [0x03, 0, 0, 0, 0, 1], ..*from };
        changed(arp_request(&group, APPLIANCE.ip), |frame| {
            frame[6..12].copy_from_slice(&from.mac);
        })
    });
}

#[test]
fn what_is_for_our_port_is_never_the_kernels() {
    let (mut world, raw) = setup().build_with_raw();
    Dialog::open(&mut world, raw, 4_000).say(&mut world, flag::RST, b"");
    assert_eq!(world.count("connections_opened"), 1);
    assert_eq!(world.kernel_frames(), Vec::<Vec<u8>>::new());
    world.end();
    let ours = |from: &Address| syn(HTTP_PORT).frame(from, &APPLIANCE);
    expect_dropped("drop_fragment", |from| first_fragment(ours(from)));
    expect_dropped("drop_ip_options", |from| with_option(&ours(from)));
    expect_dropped("drop_not_for_us_l2", |from| {
        changed(ours(from), |frame| frame[..6].copy_from_slice(&[0xff; 6]))
    });
    expect_dropped("drop_no_connection", |from| {
        Segment::new(4_000, HTTP_PORT).frame(from, &APPLIANCE)
    });
    expect_dropped("drop_stray_reset", |from| {
        Segment { flags: flag::RST, ..syn(HTTP_PORT) }.frame(from, &APPLIANCE)
    });
    expect_dropped("drop_tcp_flags", |from| {
        Segment { flags: flag::SYN | flag::FIN, ..syn(HTTP_PORT) }.frame(from, &APPLIANCE)
    });
}

#[test]
fn a_segment_without_connection_on_our_port_is_reset_here() {
    let (mut world, raw) = setup().build_with_raw();
    let from = world.address(raw);
    world.inject(raw, &Segment::new(4_000, HTTP_PORT).frame(&from, &APPLIANCE));
    assert!(world.hear(raw).segment().has(flag::RST));
    assert_eq!(world.kernel_frames(), Vec::<Vec<u8>>::new());
    world.end();
}

#[test]
fn damaged_frames_and_those_of_other_stations_are_dropped() {
    let udp = |from: &Address| ipv4_frame(from, &APPLIANCE, IpProtocol::Udp, &[0; 40]);
    expect_dropped("drop_checksum", |from| changed(udp(from), |frame| frame[IPV4_AT + 10] ^= 1));
    expect_dropped("drop_checksum", |from| {
        changed(syn(22).frame(from, &APPLIANCE), |frame| frame[TCP_AT + 16] ^= 1)
    });
    expect_dropped("drop_runt", |from| udp(from)[..30].to_vec());
    expect_dropped("drop_not_for_us_l2", |from| {
        changed(udp(from), |frame| frame[..6].copy_from_slice(&STRANGER))
    });
    expect_dropped("drop_not_for_us_l2", |from| changed(udp(from), |frame| frame[6] |= 1));
    // Our own broadcast comes back: IPv6 would take it for a duplicate of its address.
    expect_dropped("drop_ethertype", |from| {
        changed(udp(from), |frame| {
            frame[6..12].copy_from_slice(&APPLIANCE.mac);
            frame[12..14].copy_from_slice(&[0x86, 0xdd]);
        })
    });
}

/// As long as no transmit buffer is to be had, TCP for our port is dropped; the kernel's is not.
#[test]
fn the_kernels_frames_need_no_transmit_buffer() {
    let (mut world, raw) = setup().build_with_raw();
    let from = world.address(raw);
    world.wire().squeeze(0);
    arrive(&mut world, raw, &syn(22).frame(&from, &APPLIANCE));
    arrive(&mut world, raw, &syn(HTTP_PORT).frame(&from, &APPLIANCE));
    assert_eq!(world.kernel_frames().len(), 1);
    assert_eq!(world.drops().into_iter().collect::<Vec<_>>(), [("drop_no_tx_buffer", 1)]);
    world.wire().squeeze(usize::MAX);
    world.end();
}

#[test]
fn frames_of_the_kernel_leave_in_order() {
    let (mut world, raw) = setup().build_with_raw();
    let to = world.address(raw);
    for number in 0..400u16 {
        let segment = Segment { seq: number.into(), ..Segment::new(22, 4_000) };
        world.kernel_sends(&segment.frame(&APPLIANCE, &to));
    }
    for number in 0..400u32 {
        assert_eq!(world.hear(raw).segment().seq, number);
    }
    assert_eq!(world.count("exception_tx_frames"), 400);
    assert_eq!(world.count("exception_tx_bytes"), 400 * 54);
    world.end();
}

#[test]
fn without_a_transmit_buffer_the_kernels_frames_wait() {
    let (mut world, raw) = setup().build_with_raw();
    let to = world.address(raw);
    world.wire().squeeze(0);
    world.kernel_sends(&syn(80).frame(&APPLIANCE, &to));
    world.expect_silence(raw, SECOND / 10);
    assert!(world.count("exception_tx_waits") > 0);
    assert_eq!(world.count("exception_tx_frames"), 0);
    world.wire().squeeze(usize::MAX);
    assert!(world.hear(raw).segment().has(flag::SYN));
    world.end();
}

#[test]
fn more_than_may_wait_is_counted() {
    let (mut world, raw) = setup().build_with_raw();
    let to = world.address(raw);
    let frame = syn(80).frame(&APPLIANCE, &to);
    world.wire().squeeze(0);
    for _ in 0..engine::exception::BUFFERS + 3 {
        world.kernel_sends(&frame);
    }
    assert_eq!(world.count("exception_tx_ring_full"), 3);
    world.wire().squeeze(usize::MAX);
    world.run_for(SECOND);
    assert_eq!(world.count("exception_tx_frames"), engine::exception::BUFFERS as u64);
    world.discard_heard(raw);
    world.kernel_sends(&frame);
    world.hear(raw);
    world.end();
}

#[test]
fn frames_longer_than_the_link_takes_are_counted() {
    let (mut world, raw) = setup().build_with_raw();
    let to = world.address(raw);
    let frame = |len: usize| ipv4_frame(&APPLIANCE, &to, IpProtocol::Tcp, &vec![0; len]);
    world.kernel_sends(&frame(1_485));
    world.expect_silence(raw, SECOND / 10);
    assert_eq!(world.count("exception_tx_too_long"), 1);
    let fits = Segment { payload: vec![1; 1_460], ..syn(80) }.frame(&APPLIANCE, &to);
    world.kernel_sends(&tagged(&fits, 7));
    assert_eq!(world.hear(raw).segment().payload.len(), 1_460);
    world.end();
}

/// A kernel that takes nothing costs its own frames and nothing else.
#[test]
fn drop_exception_ring_full() {
    const MAX: usize = engine::exception::FRAMES_MAX;
    let nic = NicPlan { receive_pool: MAX + 600, ..NicPlan::default() };
    let (mut world, raw) = Setup { nic, ..setup() }.build_with_raw();
    let frame = syn(22).frame(&world.address(raw), &APPLIANCE);
    for _ in 0..MAX / 16 + 1 {
        (0..16).for_each(|_| world.inject(raw, &frame));
        world.run_for(SECOND / 1_000);
    }
    let full = world.drops().into_iter().collect::<Vec<_>>();
    assert_eq!(full, [("drop_exception_ring_full", 16)]);
    assert_eq!(world.wire().missed(), 0, "the port lost nothing");
    let conn = world.client();
    world.send(conn, "GET /down/5 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(world.response(conn).status, 200);
    assert_eq!(world.kernel_frames().len(), MAX);
    // Those that came back make room.
    arrive(&mut world, raw, &frame);
    assert_eq!(world.kernel_frames().len(), 1);
    world.end();
}

#[test]
fn a_frame_that_the_interface_does_not_take_is_counted() {
    let (mut world, raw) = setup().build_with_raw();
    let frame = syn(22).frame(&world.address(raw), &APPLIANCE);
    arrive(&mut world, raw, &frame);
    assert!(!world.kernel(0).is_empty());
    assert!(world.kernel(0).take(&mut |_| false));
    assert!(world.kernel(0).is_empty());
    assert_eq!(world.count("exception_write_failed"), 1);
    world.end();
}

/// Turns until `requests` requests, one after the other, are answered, while `foreign` frames arrive with
/// each.
fn turns_for(requests: usize, foreign: usize) -> (u64, u64) {
    let (mut world, raw) = setup().build_with_raw();
    let frame = ipv4_frame(&world.address(raw), &APPLIANCE, IpProtocol::Udp, &[0; 400]);
    let conn = world.client();
    world.run_for(SECOND / 10);
    let mut turns = 0;
    for _ in 0..requests {
        let before = world.count("turns");
        (0..foreign).for_each(|_| world.inject(raw, &frame));
        world.send(conn, "GET /down/1000 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(world.response(conn).body.len(), 1_000);
        turns += world.count("turns") - before;
        world.kernel_frames();
    }
    world.reset(conn);
    let taken = world.count("exception_rx_frames");
    world.end();
    (turns, taken)
}

#[test]
fn ten_thousand_frames_for_the_kernel_delay_no_answer() {
    let (alone, _) = turns_for(500, 0);
    let (beside, taken) = turns_for(500, 20);
    assert_eq!(taken, 10_000);
    assert_eq!(beside, alone, "turns until everything was answered");
}

#[test]
fn every_worker_has_a_path_and_the_first_one_sends() {
    let (mut world, raw) = Setup { workers: 2, ..setup() }.build_with_raw();
    let from = world.address(raw);
    for port in 1..=64 {
        world.inject(raw, &Segment { source: port, ..syn(22) }.frame(&from, &APPLIANCE));
    }
    world.run_for(SECOND / 10);
    assert_eq!(world.kernel_frames().len(), 64);
    assert!(world.count_each("exception_rx_frames").iter().all(|&frames| frames > 0));
    world.kernel_sends(&syn(22).frame(&APPLIANCE, &from));
    world.hear(raw);
    assert_eq!(world.count_each("exception_tx_frames"), [1, 0]);
    world.end();
}

/// Without the configuration everything is as it was.
#[test]
fn without_a_path_nothing_is_the_kernels() {
    let (mut world, raw) = Setup::new(1).build_with_raw();
    let from = world.address(raw);
    world.inject(raw, &syn(22).frame(&from, &APPLIANCE));
    assert!(world.hear(raw).segment().has(flag::RST));
    assert_eq!(world.count("drop_closed_port"), 1);
    assert_eq!(world.count("exception_rx_frames"), 0);
    world.end();
}

/// With a service address, TCP for our port at the address on the link is the kernel's, too. What it would
/// do harm with is not: ARP requests for either address, and TCP for our port at the service address.
#[test]
fn beside_a_service_address_the_address_on_the_link_is_the_kernels() {
    let mut setup = setup();
    let service = Address { mac: APPLIANCE.mac, ip: [192, 0, 2, 10].into() };
    setup.core.address = service.ip;
    let (mut world, raw) = setup.build_with_raw();
    let from = world.address(raw);
    let frame = syn(HTTP_PORT).frame(&from, &APPLIANCE);
    arrive(&mut world, raw, &frame);
    assert_eq!(world.kernel_frames(), [frame]);
    let other = syn(22).frame(&from, &service);
    arrive(&mut world, raw, &other);
    assert_eq!(world.kernel_frames(), [other]);
    world.inject(raw, &arp_request(&from, service.ip));
    world.expect_silence(raw, SECOND);
    world.inject(raw, &arp_request(&from, APPLIANCE.ip));
    world.hear(raw);
    world.inject(raw, &syn(HTTP_PORT).frame(&from, &service));
    assert!(world.hear(raw).segment().has(flag::SYN | flag::ACK));
    assert_eq!(world.kernel_frames(), Vec::<Vec<u8>>::new());
    assert_eq!(world.count("drop_arp"), 1);
    world.end();
}
