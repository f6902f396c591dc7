//! ARP, ping, VLAN tags and link addresses: what the appliance says below TCP.

use std::net::Ipv4Addr;
use std::sync::Arc;

use engine::{AddressProbe, CorePlan};
use sim::raw::{
    Address, Body, Segment, TCP_AT, arp_reply, arp_request, echo_request, flag, option_mss, tagged,
};
use sim::{APPLIANCE, Bulk, Dialog, NicPlan, RawId, Setup, World};

const SECOND: u64 = 1_000_000;

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

#[test]
fn the_appliance_announces_itself_at_start() {
    let mut world = Setup::new(1).build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    let heard = world.hear(raw);
    assert_eq!((heard.from, heard.to, heard.tag), (APPLIANCE.mac, [0xff; 6], None));
    // RFC 5227 2.3: an announcement is a request in which sender and target address are the same.
    let target = Address { mac: [0; 6], ip: APPLIANCE.ip };
    assert_eq!(heard.body, Body::Arp { reply: false, sender: APPLIANCE, target });
    world.end();
}

#[test]
fn every_worker_announces_itself() {
    let mut world = Setup { workers: 2, ..Setup::new(1) }.build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    for _ in 0..2 {
        assert!(matches!(world.hear(raw).body, Body::Arp { reply: false, sender: APPLIANCE, .. }));
    }
    world.end();
}

#[test]
fn arp_requests_for_the_address_are_answered() {
    let (mut world, raw) = world();
    let asker = world.address(raw);
    world.inject(raw, &arp_request(&asker, APPLIANCE.ip));
    let heard = world.hear(raw);
    assert_eq!((heard.from, heard.to), (APPLIANCE.mac, asker.mac));
    assert_eq!(heard.body, Body::Arp { reply: true, sender: APPLIANCE, target: asker });
    assert_eq!(world.count("arp_replies"), 1);
    assert!(world.drops().is_empty());
    world.end();
}

/// RFC 5227 2.1.1: a probe has an all-zero sender address, and whoever has the address answers.
#[test]
fn arp_probes_for_the_address_are_answered() {
    let (mut world, raw) = world();
    let prober = Address { ip: [0, 0, 0, 0].into(), ..world.address(raw) };
    world.inject(raw, &arp_request(&prober, APPLIANCE.ip));
    let heard = world.hear(raw);
    assert_eq!(heard.to, prober.mac);
    assert_eq!(heard.body, Body::Arp { reply: true, sender: APPLIANCE, target: prober });
    world.end();
}

#[test]
fn arp_answers_to_a_padded_frame_are_right() {
    let (mut world, raw) = world();
    let asker = world.address(raw);
    let mut frame = arp_request(&asker, APPLIANCE.ip);
    frame.resize(60, 0xa5);
    world.inject(raw, &frame);
    let wanted = Body::Arp { reply: true, sender: APPLIANCE, target: asker };
    assert_eq!(world.hear(raw).body, wanted);
    world.end();
}

#[test]
fn pings_of_every_size_are_echoed() {
    let (mut world, raw) = world();
    let from = world.address(raw);
    for len in [0, 1, 2, 55, 56, 57, 1_000, 1_471, 1_472] {
        let data: Vec<u8> = (0..=255).cycle().take(len).collect();
        let mut frame = echo_request(&from, &APPLIANCE, 0x1234, 7, &data);
        frame.resize(frame.len().max(60), 0);
        world.inject(raw, &frame);
        let heard = world.hear(raw);
        assert_eq!((heard.from, heard.to), (APPLIANCE.mac, from.mac));
        let ip = (APPLIANCE.ip, from.ip);
        assert_eq!(heard.body, Body::EchoReply { ip, number: (0x1234, 7), data });
    }
    assert_eq!(world.count("echo_replies"), 9);
    world.end();
}

/// Who wants the same address finds that it is taken, before it says a word as its owner.
#[test]
fn a_second_appliance_finds_the_first() {
    let (mut world, raw) = world();
    let (mut nic, mut wire) = NicPlan::default().build();
    let probe = AddressProbe::new([0x02, 9, 9, 9, 9, 9], APPLIANCE.ip, None);
    assert!(probe.send(&mut nic));
    let mut frame = Vec::new();
    assert!(wire.collect(|probe| frame = probe.to_vec()));
    assert_eq!(probe.on_frame(&frame), None, "its own probe comes back");
    world.inject(raw, &frame);
    let Body::Arp { reply: true, sender, target } = world.hear(raw).body else {
        panic!("a probe is answered by an ARP reply")
    };
    assert_eq!(probe.on_frame(&arp_reply(&sender, &target)), Some(APPLIANCE.mac));
    assert_eq!(probe.on_frame(&arp_request(&world.address(raw), APPLIANCE.ip)), None);
    wire.squeeze(0);
    assert!(!probe.send(&mut nic), "there is no transmit buffer");
    world.end();
}

/// With a worker in this VLAN; it has announced itself there.
fn tagged_world(vlan: u16) -> (World, RawId) {
    let setup = Setup::new(1);
    let core = CorePlan { vlan: Some(vlan), ..setup.core };
    Setup { core, ..setup }.build_with_raw()
}

/// IEEE 802.1Q: what comes in our VLAN is answered there, with its tag.
#[test]
fn tagged_frames_are_answered_with_their_tag() {
    const TCI: u16 = 0xa123;
    let (mut world, raw) = tagged_world(0x0123);
    let from = world.address(raw);
    let ping = echo_request(&from, &APPLIANCE, 1, 2, b"tagged");
    for frame in [arp_request(&from, APPLIANCE.ip), ping] {
        world.inject(raw, &tagged(&frame, TCI));
        assert_eq!(world.hear(raw).tag, Some(TCI));
    }
    let syn = Dialog::new(raw, 4_000, 1).segment(flag::SYN, b"");
    world.inject(raw, &tagged(&syn.frame(&from, &APPLIANCE), TCI));
    let heard = world.hear(raw);
    assert_eq!(heard.tag, Some(TCI));
    assert!(heard.segment().has(flag::SYN | flag::ACK));
    assert!(world.drops().is_empty());
    world.end();
}

#[test]
fn a_worker_announces_itself_in_its_vlan() {
    let setup = Setup::new(1);
    let core = CorePlan { vlan: Some(7), ..setup.core };
    let mut world = Setup { core, ..setup }.build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    assert_eq!(world.hear(raw).tag, Some(7));
    world.end();
}

/// IEEE 802.1Q, 9.6: identifier 0 is a priority, and no VLAN.
#[test]
fn what_is_not_of_our_vlan_is_dropped() {
    let (mut world, raw) = world();
    let request = arp_request(&world.address(raw), APPLIANCE.ip);
    world.inject(raw, &tagged(&request, 0x6000));
    assert_eq!(world.hear(raw).tag, Some(0x6000));
    world.inject(raw, &tagged(&request, 1));
    world.expect_silence(raw, SECOND);
    assert_eq!(world.count("drop_vlan"), 1);
    world.end();
    let (mut world, raw) = tagged_world(7);
    let request = arp_request(&world.address(raw), APPLIANCE.ip);
    for other in [request.clone(), tagged(&request, 8), tagged(&request, 0)] {
        world.inject(raw, &other);
    }
    world.expect_silence(raw, SECOND);
    assert_eq!(world.count("drop_vlan"), 3);
    world.end();
}

/// RFC 5227, 2.4: one announcement against whoever says that our address is theirs, and no more for ten seconds.
#[test]
fn our_address_is_defended_once_in_ten_seconds() {
    let (mut world, raw) = world();
    let from = world.address(raw);
    let rival = Address { ip: APPLIANCE.ip, ..from };
    let target = Address { mac: [0; 6], ip: APPLIANCE.ip };
    let defence = Body::Arp { reply: false, sender: APPLIANCE, target };
    world.inject(raw, &arp_request(&rival, APPLIANCE.ip));
    assert_eq!(world.hear(raw).body, defence);
    for claim in
        [arp_request(&rival, from.ip), arp_reply(&rival, &from), arp_reply(&rival, &APPLIANCE)]
    {
        world.inject(raw, &claim);
    }
    world.expect_silence(raw, 9 * SECOND);
    world.run_for(2 * SECOND);
    world.inject(raw, &arp_request(&rival, APPLIANCE.ip));
    assert_eq!(world.hear(raw).body, defence);
    assert_eq!((world.count("drop_address_conflict"), world.count("arp_defences")), (4, 2));
    world.end();
}

/// Linux leaves the sum of the pseudo-header in the field of a segment whose checksum hardware is to fill in
/// (`CHECKSUM_PARTIAL`), and on a link within the machine nothing does.
#[test]
fn an_unfilled_checksum_is_taken_on_a_link_within_the_machine_only() {
    for is_taken in [false, true] {
        let setup = Setup::new(1);
        let core = CorePlan { unfilled_checksums: is_taken, ..setup.core };
        let (mut world, raw) = Setup { core, ..setup }.build_with_raw();
        let from = world.address(raw);
        let syn = Dialog::new(raw, 4_000, 1).segment(flag::SYN, b"");
        let mut frame = syn.frame(&from, &APPLIANCE);
        let tcp_len = frame.len() - TCP_AT;
        let words = from.ip.octets().into_iter().chain(APPLIANCE.ip.octets()).collect::<Vec<_>>();
        let words = words.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1]));
        let sum = words.sum::<u32>() + 6 + u32::try_from(tcp_len).expect("short");
        let folded = u16::try_from((sum & 0xffff) + (sum >> 16)).expect("one carry at most");
        frame[TCP_AT + 16..TCP_AT + 18].copy_from_slice(&folded.to_be_bytes());
        world.inject(raw, &frame);
        if is_taken {
            assert!(world.hear(raw).segment().has(flag::SYN | flag::ACK));
            frame[TCP_AT + 17] ^= 1;
            world.inject(raw, &frame);
        }
        world.expect_silence(raw, SECOND / 10);
        assert_eq!(world.count("drop_checksum"), 1);
        world.end();
    }
}

/// The whole of a connection in a VLAN, with segments as large as the link takes.
#[test]
fn full_segments_keep_their_tag() {
    const TCI: u16 = 0x0007;
    let (mut world, raw) = tagged_world(TCI);
    let from = world.address(raw);
    let mut dialog = Dialog::new(raw, 4_000, 1);
    let send = |world: &mut World, segment: &Segment| {
        world.inject(raw, &tagged(&segment.frame(&from, &APPLIANCE), TCI));
    };
    let options = option_mss(1_460);
    send(&mut world, &Segment { options, ..dialog.segment(flag::SYN, b"") });
    let syn_ack = world.hear(raw).segment();
    (dialog.seq, dialog.ack) = (2, syn_ack.seq.wrapping_add(1));
    let request = b"GET /down/4000 HTTP/1.1\r\nHost: a\r\n\r\n";
    send(&mut world, &dialog.segment(flag::ACK, request));
    let mut longest = 0;
    for _ in 0..3 {
        let heard = world.hear(raw);
        assert_eq!(heard.tag, Some(TCI));
        longest = longest.max(heard.segment().payload.len());
    }
    assert_eq!(longest, 1_460);
    dialog.seq += dialog.segment(flag::ACK, request).len();
    send(&mut world, &dialog.segment(flag::RST, b""));
    world.end();
}

/// Ethernet pads frames to 60 bytes; what is behind the packet is no data (RFC 894).
#[test]
fn padding_is_no_data() {
    let (mut world, raw) = world();
    let from = world.address(raw);
    let send = |world: &mut World, segment: &Segment| {
        let mut frame = segment.frame(&from, &APPLIANCE);
        frame.resize(frame.len().max(60), b'!');
        world.inject(raw, &frame);
    };
    let mut dialog = Dialog::new(raw, 4_000, 1);
    send(&mut world, &dialog.segment(flag::SYN, b""));
    let syn_ack = world.hear(raw).segment();
    assert_eq!(syn_ack.ack, 2);
    (dialog.seq, dialog.ack) = (2, syn_ack.seq.wrapping_add(1));
    send(&mut world, &dialog.segment(flag::ACK, b""));
    for byte in b"GET /down/1 HTTP/1.1\r\nHost: a\r\n\r\n" {
        send(&mut world, &dialog.segment(flag::ACK, &[*byte]));
        dialog.seq += 1;
    }
    let response = loop {
        let heard = dialog.hear(&mut world);
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    assert!(response.payload.starts_with(b"HTTP/1.1 200"));
    send(&mut world, &dialog.segment(flag::RST, b""));
    assert!(world.drops().is_empty());
    world.end();
}

/// Replies go to where the last frame of the connection came from: no neighbour table.
#[test]
fn replies_follow_the_last_hop() {
    let (mut world, raw) = world();
    let from = world.address(raw);
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let router = Address { mac: [0x02, 0, 0, 0, 0xff, 9], ..from };
    let request = dialog.segment(flag::ACK, b"GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.inject(raw, &request.frame(&router, &APPLIANCE));
    // Nobody has that address, so the switch floods the answer.
    let heard = world.hear(raw);
    assert_eq!(heard.to, router.mac);
    dialog.seq += request.len();
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

const SERVICE: Address = Address { mac: APPLIANCE.mac, ip: Ipv4Addr::new(192, 0, 2, 10) };

/// The appliance serves [`SERVICE`] behind its address on the link.
fn service_world() -> (World, RawId) {
    let mut setup = Setup::new(1);
    setup.core.address = SERVICE.ip;
    let mut world = setup.build(&Arc::new(Bulk::PLAIN));
    let raw = world.raw();
    let target = Address { mac: [0; 6], ip: APPLIANCE.ip };
    let announced = Body::Arp { reply: false, sender: APPLIANCE, target };
    assert_eq!(world.hear(raw).body, announced, "what is announced is the address on the link");
    (world, raw)
}

/// A client of another network, through a router: no ARP comes before the answer.
#[test]
fn a_service_address_is_served_through_the_last_hop() {
    let (mut world, raw) = service_world();
    let router = world.address(raw);
    let client = Address { ip: Ipv4Addr::new(203, 0, 113, 5), ..router };
    let mut dialog = Dialog::new(raw, 4_000, 1);
    world.inject(raw, &dialog.segment(flag::SYN, b"").frame(&client, &SERVICE));
    let heard = world.hear(raw);
    assert_eq!(heard.to, router.mac);
    let Body::Tcp { ip, segment } = heard.body else { panic!("a segment: {:?}", heard.body) };
    assert_eq!(ip, (SERVICE.ip, client.ip));
    assert!(segment.has(flag::SYN | flag::ACK));
    (dialog.seq, dialog.ack) = (2, segment.seq.wrapping_add(1));
    let request = dialog.segment(flag::ACK, b"GET /down/5 HTTP/1.1\r\nHost: a\r\n\r\n");
    world.inject(raw, &request.frame(&client, &SERVICE));
    let response = loop {
        let segment = world.hear(raw).segment();
        if !segment.payload.is_empty() {
            break segment;
        }
    };
    assert!(response.payload.starts_with(b"HTTP/1.1 200"));
    dialog.seq += request.len();
    world.inject(raw, &dialog.segment(flag::RST, b"").frame(&client, &SERVICE));
    world.run_for(SECOND / 100);
    assert!(world.drops().is_empty());
    world.end();
}

/// Several servers have it: ARP is answered for the address on the link alone, ping for both.
#[test]
fn a_service_address_is_not_announced_on_the_link() {
    let (mut world, raw) = service_world();
    let from = world.address(raw);
    world.inject(raw, &arp_request(&from, SERVICE.ip));
    world.expect_silence(raw, SECOND);
    assert_eq!(world.count("drop_arp"), 1);
    world.inject(raw, &arp_request(&from, APPLIANCE.ip));
    let wanted = Body::Arp { reply: true, sender: APPLIANCE, target: from };
    assert_eq!(world.hear(raw).body, wanted);
    for to in [SERVICE, APPLIANCE] {
        world.inject(raw, &echo_request(&from, &to, 1, 2, b"ping"));
        let ip = (to.ip, from.ip);
        let data = b"ping".to_vec();
        assert_eq!(world.hear(raw).body, Body::EchoReply { ip, number: (1, 2), data });
    }
    world.inject(raw, &Dialog::new(raw, 4_000, 1).segment(flag::SYN, b"").frame(&from, &APPLIANCE));
    world.expect_silence(raw, SECOND);
    assert_eq!(world.count("drop_destination"), 1, "HTTP is served on the service address only");
    world.end();
}
