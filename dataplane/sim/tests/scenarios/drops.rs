//! Every reason for which a frame is dropped: a frame that makes exactly that counter grow by one.

use std::collections::BTreeMap;

use sim::raw::{
    Address, IPV4_AT, Segment, TCP_AT, arp_reply, arp_request, echo_request, flag, ipv4_frame,
    option_window_scale, refresh, tagged,
};
use sim::{APPLIANCE, Dialog, HTTP_PORT, NicPlan, Phase, RawId, Setup, World};
use smoltcp::wire::IpProtocol;

const MILLI: u64 = 1_000;

fn world() -> (World, RawId) {
    Setup::new(1).build_with_raw()
}

/// Checks that, since the world began, one frame was dropped, for the reason that `counter` counts.
#[track_caller]
fn assert_only(world: &World, counter: &'static str) {
    assert_eq!(world.drops(), BTreeMap::from([(counter, 1)]));
}

/// Injects each frame of `frames` into a world of its own: it is dropped with `counter`, in silence.
#[track_caller]
fn assert_dropped(counter: &'static str, frames: impl Fn(&Address) -> Vec<Vec<u8>>) {
    let count = frames(&APPLIANCE).len();
    assert!(count > 0);
    for receive_checksums in [false, true] {
        for case in 0..count {
            let nic = NicPlan { receive_checksums, ..NicPlan::default() };
            let (mut world, raw) = Setup { nic, ..Setup::new(1) }.build_with_raw();
            let frame = &frames(&world.address(raw))[case];
            world.inject(raw, frame);
            world.expect_silence(raw, 100 * MILLI);
            assert_eq!(world.drops(), BTreeMap::from([(counter, 1)]), "case {case}: {frame:02x?}");
            assert_eq!(world.count("rx_delivered"), 0);
            world.end();
        }
    }
}

/// A frame with a SYN that would be answered, to be spoilt.
fn syn(from: &Address) -> Vec<u8> {
    Segment { flags: flag::SYN, ack: 0, ..Segment::new(4_000, HTTP_PORT) }.frame(from, &APPLIANCE)
}

/// `frame` with `bytes` written at `at`, checksums as they were.
fn spoilt(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

/// As [`spoilt`], with right checksums.
fn altered(frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = spoilt(frame, at, bytes);
    refresh(&mut frame);
    frame
}

/// Recomputes the IPv4 header checksum alone: for headers that say something else of their length.
fn altered_header(frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut frame = spoilt(frame, at, bytes);
    smoltcp::wire::Ipv4Packet::new_unchecked(&mut frame[IPV4_AT..]).fill_checksum();
    frame
}

#[test]
fn drop_runt() {
    assert_dropped("drop_runt", |from| {
        let whole = syn(from);
        let cut = |len: usize| whole[..len].to_vec();
        let tag = tagged(&whole, 0);
        vec![
            cut(14),
            cut(15),
            cut(IPV4_AT + 19),
            cut(whole.len() - 1),
            tag[..17].to_vec(),
            tag[..tag.len() - 1].to_vec(),
            altered_header(whole.clone(), IPV4_AT + 2, &[0x05, 0xdc]),
        ]
    });
}

#[test]
fn drop_runt_of_frames_without_an_ethernet_header() {
    for len in [0, 1, 13] {
        let (mut world, _) = world();
        assert!(world.wire().deliver(&vec![0; len]));
        world.run_for(MILLI);
        assert_only(&world, "drop_runt");
        world.end();
    }
}

#[test]
fn drop_not_for_us_l2() {
    assert_dropped("drop_not_for_us_l2", |from| {
        vec![
            spoilt(syn(from), 0, &[0x02, 9, 9, 9, 9, 9]),
            spoilt(syn(from), 0, &[0x01, 0, 0x5e, 0, 0, 1]),
            spoilt(syn(from), 0, &[0xff; 6]),
            spoilt(echo_request(from, &APPLIANCE, 1, 1, b""), 0, &[0xff; 6]),
            spoilt(syn(from), 6, &[0x03, 0, 0, 0, 0, 1]),
            spoilt(arp_request(from, APPLIANCE.ip), 6, &[0xff; 6]),
        ]
    });
}

#[test]
fn drop_ethertype() {
    assert_dropped("drop_ethertype", |from| {
        vec![
            spoilt(syn(from), 12, &[0x86, 0xdd]),
            spoilt(syn(from), 12, &[0x00, 0x2e]),
            spoilt(syn(from), 12, &[0x88, 0xa8]),
            tagged(&spoilt(syn(from), 12, &[0x86, 0xdd]), 0),
            tagged(&tagged(&syn(from), 5), 0),
        ]
    });
}

/// An announcement answers it, at most once in ten seconds: `link_layer.rs`.
#[test]
fn drop_address_conflict() {
    let (mut world, raw) = world();
    let rival = Address { ip: APPLIANCE.ip, ..world.address(raw) };
    world.inject(raw, &arp_request(&rival, APPLIANCE.ip));
    assert_eq!(world.hear(raw).from, APPLIANCE.mac);
    assert_only(&world, "drop_address_conflict");
    world.end();
}

#[test]
fn drop_vlan() {
    assert_dropped("drop_vlan", |from| {
        vec![tagged(&syn(from), 5), tagged(&arp_request(from, APPLIANCE.ip), 0x2fff)]
    });
}

/// A segment of 20 KiB, of which a ring's place held the beginning.
#[test]
fn drop_oversize() {
    assert_dropped("drop_oversize", |from| {
        let longer = |len: [u8; 2]| altered_header(syn(from), IPV4_AT + 2, &len);
        vec![longer([0x05, 0xdd]), longer([0x50, 0]), longer([0xff, 0xff])]
    });
}

#[test]
fn drop_arp() {
    assert_dropped("drop_arp", |from| {
        let request = arp_request(from, APPLIANCE.ip);
        vec![
            arp_request(from, [198, 18, 0, 77].into()),
            arp_request(from, from.ip),
            arp_reply(from, &APPLIANCE),
            spoilt(request.clone(), 14, &[0, 6]),
            spoilt(request.clone(), 16, &[0x86, 0xdd]),
            spoilt(request.clone(), 18, &[8]),
            spoilt(request.clone(), 20, &[0, 3]),
            spoilt(request.clone(), 22, &[0xff; 6]),
            request[..request.len() - 1].to_vec(),
        ]
    });
}

#[test]
fn drop_ip_header() {
    assert_dropped("drop_ip_header", |from| {
        vec![
            altered_header(syn(from), IPV4_AT, &[0x44]),
            spoilt(syn(from), IPV4_AT, &[0x65]),
            spoilt(syn(from), IPV4_AT, &[0x05]),
            altered_header(syn(from), IPV4_AT + 2, &[0, 19]),
        ]
    });
}

#[test]
fn drop_ip_options() {
    assert_dropped("drop_ip_options", |from| {
        // Loose source route (RFC 791 3.1): type 131.
        let route = [131, 3, 4, 0];
        let plain = syn(from);
        let mut frame = [&plain[..TCP_AT], &route, &plain[TCP_AT..]].concat();
        frame[IPV4_AT] = 0x46;
        frame[IPV4_AT + 3] += 4;
        refresh(&mut frame);
        vec![frame]
    });
}

#[test]
fn drop_fragment() {
    assert_dropped("drop_fragment", |from| {
        vec![
            altered(syn(from), IPV4_AT + 6, &[0x20, 0]),
            altered(syn(from), IPV4_AT + 6, &[0x00, 1]),
            altered(syn(from), IPV4_AT + 6, &[0x1f, 0xff]),
            altered(echo_request(from, &APPLIANCE, 1, 1, b"x"), IPV4_AT + 6, &[0x20, 0]),
        ]
    });
}

#[test]
fn drop_checksum() {
    assert_dropped("drop_checksum", |from| {
        let ping = echo_request(from, &APPLIANCE, 1, 1, b"x");
        vec![
            spoilt(syn(from), IPV4_AT + 8, &[63]),
            spoilt(syn(from), TCP_AT + 14, &[1, 1]),
            spoilt(ping.clone(), IPV4_AT + 8, &[63]),
            spoilt(ping.clone(), ping.len() - 1, b"y"),
        ]
    });
}

#[test]
fn drop_source() {
    assert_dropped("drop_source", |from| {
        let address = |ip: [u8; 4]| Address { ip: ip.into(), ..*from };
        let claims = [[0; 4], [0, 0, 0, 1], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]];
        let mut frames: Vec<Vec<u8>> = claims.map(|ip| syn(&address(ip))).to_vec();
        frames.push(echo_request(&address([255; 4]), &APPLIANCE, 1, 1, b""));
        frames.push(syn(&Address { ip: APPLIANCE.ip, ..*from }));
        frames
    });
}

#[test]
fn drop_destination() {
    assert_dropped("drop_destination", |from| {
        let others = [[198, 18, 0, 3], [255; 4], [224, 0, 0, 1], [127, 0, 0, 1]];
        others.map(|ip| altered(syn(from), IPV4_AT + 16, &ip)).to_vec()
    });
}

#[test]
fn drop_protocol() {
    assert_dropped("drop_protocol", |from| {
        [IpProtocol::Udp, IpProtocol::Igmp, IpProtocol::Unknown(132)]
            .map(|protocol| ipv4_frame(from, &APPLIANCE, protocol, &[0; 20]))
            .to_vec()
    });
}

#[test]
fn drop_icmp() {
    assert_dropped("drop_icmp", |from| {
        let ping = echo_request(from, &APPLIANCE, 1, 1, b"data");
        vec![
            altered(ping.clone(), TCP_AT, &[0]),
            altered(ping.clone(), TCP_AT, &[3]),
            altered(ping.clone(), TCP_AT, &[13]),
            altered(ping, TCP_AT + 1, &[1]),
            ipv4_frame(from, &APPLIANCE, IpProtocol::Icmp, &[8, 0, 0xf7, 0xff]),
        ]
    });
}

#[test]
fn drop_tcp_header() {
    assert_dropped("drop_tcp_header", |from| {
        let optioned = |options: &[u8]| {
            let segment = Segment { flags: flag::SYN, ..Segment::new(4_000, HTTP_PORT) };
            Segment { options: options.to_vec(), ..segment }.frame(from, &APPLIANCE)
        };
        vec![
            ipv4_frame(from, &APPLIANCE, IpProtocol::Tcp, &[0; 19]),
            ipv4_frame(from, &APPLIANCE, IpProtocol::Tcp, &[]),
            altered(syn(from), TCP_AT + 12, &[0x40]),
            altered(syn(from), TCP_AT + 12, &[0x60]),
            altered(syn(from), TCP_AT, &[0, 0]),
            altered(syn(from), TCP_AT + 2, &[0, 0]),
            optioned(&[2, 0, 0, 0]),
            optioned(&[2, 1, 0, 0]),
            optioned(&[1, 1, 2, 4]),
            optioned(&[1, 1, 1, 3]),
            optioned(&[8, 40, 1, 1]),
        ]
    });
}

#[test]
fn drop_tcp_flags() {
    assert_dropped("drop_tcp_flags", |from| {
        let all = flag::FIN | flag::SYN | flag::RST | flag::PSH | flag::ACK | flag::URG;
        [
            0,
            flag::PSH,
            flag::FIN,
            flag::FIN | flag::PSH | flag::URG,
            flag::SYN | flag::FIN,
            flag::SYN | flag::RST,
            flag::SYN | flag::FIN | flag::ACK,
            flag::FIN | flag::RST | flag::ACK,
            all,
        ]
        .map(|flags| Segment { flags, ..Segment::new(4_000, HTTP_PORT) }.frame(from, &APPLIANCE))
        .to_vec()
    });
}

/// What RFC 9293 3.10.7.1 wants as answer to `segment` where there is no connection.
fn reset_for(segment: &Segment) -> Segment {
    let (seq, ack, flags) = if segment.has(flag::ACK) {
        (segment.ack, 0, flag::RST)
    } else {
        (0, segment.seq.wrapping_add(segment.len()), flag::RST | flag::ACK)
    };
    Segment { seq, ack, flags, window: 0, ..Segment::new(segment.destination, segment.source) }
}

/// Sends `segment` where no connection is: it is reset as the RFC says, and counted by `counter`.
#[track_caller]
fn assert_reset(counter: &'static str, segment: &Segment) {
    let (mut world, raw) = world();
    world.inject(raw, &segment.frame(&world.address(raw), &APPLIANCE));
    assert_eq!(world.hear(raw).segment(), reset_for(segment));
    world.expect_silence(raw, 100 * MILLI);
    assert_only(&world, counter);
    world.end();
}

#[test]
fn drop_closed_port() {
    let to_other = Segment { seq: 0xffff_ffff, ack: 77, ..Segment::new(4_000, HTTP_PORT + 1) };
    let payload = b"data".to_vec();
    let xmas = flag::FIN | flag::PSH | flag::URG;
    for flags in [
        flag::SYN,
        flag::ACK,
        flag::SYN | flag::ACK,
        flag::FIN | flag::ACK,
        0,
        flag::FIN,
        xmas,
        flag::PSH,
        flag::SYN | flag::FIN,
        flag::SYN | flag::FIN | flag::ACK,
    ] {
        assert_reset("drop_closed_port", &Segment { flags, ..to_other.clone() });
        assert_reset(
            "drop_closed_port",
            &Segment { flags, payload: payload.clone(), ..to_other.clone() },
        );
    }
}

#[test]
fn drop_no_connection() {
    let stray = Segment { seq: 0x8000_0000, ack: 0xffff_fffe, ..Segment::new(4_000, HTTP_PORT) };
    let payload = b"data".to_vec();
    for flags in [flag::ACK, flag::SYN | flag::ACK, flag::FIN | flag::ACK, flag::ACK | flag::PSH] {
        assert_reset("drop_no_connection", &Segment { flags, ..stray.clone() });
        assert_reset(
            "drop_no_connection",
            &Segment { flags, payload: payload.clone(), ..stray.clone() },
        );
    }
}

#[test]
fn drop_stray_reset() {
    assert_dropped("drop_stray_reset", |from| {
        let odd = flag::RST | flag::SYN | flag::FIN;
        [(HTTP_PORT, flag::RST), (HTTP_PORT, flag::RST | flag::ACK), (1, flag::RST), (1, odd)]
            .map(|(port, flags)| {
                Segment { flags, ..Segment::new(4_000, port) }.frame(from, &APPLIANCE)
            })
            .to_vec()
    });
}

/// RFC 5961 3.2: a reset whose number is off by one may be a guess; it is challenged and counted.
#[test]
fn drop_reset_guess() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let guess = dialog.segment(flag::RST, b"");
    dialog.send(&mut world, &Segment { seq: guess.seq.wrapping_add(1), ..guess });
    let challenge = world.hear(raw).segment();
    let said = (challenge.flags, challenge.seq, challenge.ack);
    assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq));
    assert_only(&world, "drop_reset_guess");
    // Who sent the reset in earnest learns the right number from the challenge.
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// A peer that filled the window, lost some of it on the way and resets, does so at the window's end: it
/// is challenged like anybody else in the window, and nobody beyond it is.
#[test]
fn a_reset_at_the_end_of_the_window_is_challenged() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = dialog.hear(&mut world);
    dialog.say(&mut world, flag::ACK, b"");
    let end = response.ack.wrapping_add(u32::from(response.window));
    let reset = dialog.segment(flag::RST, b"");
    dialog.send(&mut world, &Segment { seq: end.wrapping_add(1), ..reset.clone() });
    assert_eq!(dialog.hear_within(&mut world, 50 * MILLI), None);
    dialog.send(&mut world, &Segment { seq: end, ..reset });
    let challenge = dialog.hear(&mut world);
    assert_eq!((challenge.flags, challenge.ack), (flag::ACK, dialog.seq));
    assert_eq!(world.count("drop_reset_guess"), 2);
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 5961 4.2: a SYN where a connection is open is challenged, and counted.
#[test]
fn drop_syn_on_connection() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    let syn = dialog.segment(flag::SYN, b"");
    dialog.send(&mut world, &Segment { seq: syn.seq.wrapping_sub(0x1000_0000), ..syn });
    let challenge = world.hear(raw).segment();
    let said = (challenge.flags, challenge.seq, challenge.ack);
    assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq));
    assert_only(&world, "drop_syn_on_connection");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 9293 3.10.7.4: an acknowledgement of something not yet sent is dropped; RFC 5961 5.2 has it
/// answered by an ACK, so that a peer that lost its way finds back.
#[test]
fn drop_ack_unsent() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = dialog.hear(&mut world);
    assert!(!response.payload.is_empty());
    let beyond = dialog.segment(flag::ACK, b"");
    dialog.send(&mut world, &Segment { ack: dialog.ack.wrapping_add(1), ..beyond });
    let answer = dialog.hear(&mut world);
    let said = (answer.flags, answer.seq, answer.ack, answer.window);
    assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq, response.window));
    assert_only(&world, "drop_ack_unsent");
    // The connection goes on as if nothing had been said.
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let next = loop {
        let heard = dialog.hear(&mut world);
        if !heard.payload.is_empty() {
            break heard;
        }
    };
    assert_eq!(next.seq, response.seq.wrapping_add(response.len()));
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// RFC 5961 5.2: what acknowledges less than a window before the last acknowledgement is challenged.
#[test]
fn drop_ack_too_old() {
    let (mut world, raw) = world();
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = dialog.hear(&mut world);
    dialog.say(&mut world, flag::ACK, b"");
    let old = dialog.segment(flag::ACK, b"GET /down/3 HTTP/1.1\r\nHost: a\r\n\r\n");
    for (back, counted) in [(65_535 + 1, 1), (0x7000_0000, 2)] {
        dialog.send(&mut world, &Segment { ack: dialog.ack.wrapping_sub(back), ..old.clone() });
        let answer = dialog.hear(&mut world);
        let said = (answer.flags, answer.seq, answer.ack, answer.window);
        assert_eq!(said, (flag::ACK, dialog.ack, dialog.seq, response.window), "{back}");
        assert_eq!(world.drops(), BTreeMap::from([("drop_ack_too_old", counted)]));
    }
    // A window back is not too old.
    dialog.send(&mut world, &Segment { ack: dialog.ack.wrapping_sub(65_535), ..old.clone() });
    dialog.seq = dialog.seq.wrapping_add(old.len());
    let next = dialog.hear(&mut world);
    assert!(next.payload.starts_with(b"HTTP/1.1 200"), "{next:?}");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn drop_beyond_window() {
    let (mut world, raw) = world();
    let (mut dialog, syn_ack) = Dialog::open_with(&mut world, raw, 4_000, &[]);
    let window = usize::from(syn_ack.window);
    dialog.data(&mut world, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 90000\r\n\r\n");
    world.run_for(100 * MILLI);
    world.discard_heard(raw);
    // Holes in front, so nothing of this is taken from the window by the service.
    for at in (1_000..window - 1_000).step_by(1_000) {
        let segment = dialog.segment(flag::ACK, &[b'x'; 1_000]);
        let ahead = u32::try_from(at).expect("a window fits");
        dialog.send(&mut world, &Segment { seq: segment.seq.wrapping_add(ahead), ..segment });
    }
    world.run_for(MILLI);
    let last = dialog.segment(flag::ACK | flag::FIN, &[b'x'; 1_000]);
    let ahead = u32::try_from(window - 500).expect("a window fits");
    dialog.send(&mut world, &Segment { seq: last.seq.wrapping_add(ahead), ..last });
    world.run_for(MILLI);
    assert_only(&world, "drop_beyond_window");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// The same with a scaled window: the window of a SYN-ACK is never scaled (RFC 7323 2.2).
#[test]
fn fins_beyond_a_scaled_window_are_dropped_too() {
    let mut setup = Setup::new(1);
    setup.core.receive_buffer = 300_000;
    let (mut world, raw) = setup.build_with_raw();
    let options = option_window_scale(7);
    let (mut dialog, syn_ack) = Dialog::open_with(&mut world, raw, 4_000, &options);
    assert!(syn_ack.options.windows(2).any(|kind_and_len| kind_and_len == [3, 3]), "{syn_ack:?}");
    let last = dialog.segment(flag::ACK | flag::FIN, &[b'x'; 1_000]);
    let far = last.seq.wrapping_add(310_000);
    dialog.send(&mut world, &Segment { seq: far, ..last });
    world.run_for(MILLI);
    assert_only(&world, "drop_beyond_window");
    dialog.say(&mut world, flag::RST, b"");
    world.end();
}

/// Opens and closes a connection from the appliance's side first, so that it is in TIME-WAIT.
fn into_time_wait(world: &mut World, raw: RawId) -> Dialog {
    let mut dialog = Dialog::open(world, raw, 4_000);
    dialog.data(world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while !dialog.hear(world).has(flag::FIN) {}
    dialog.say(world, flag::ACK | flag::FIN, b"");
    let last = dialog.hear(world);
    assert_eq!((last.flags, last.ack), (flag::ACK, dialog.seq));
    dialog
}

#[test]
fn drop_time_wait() {
    for flags in [flag::ACK, flag::RST, flag::RST | flag::ACK] {
        let (mut world, raw) = world();
        let dialog = into_time_wait(&mut world, raw);
        dialog.send(&mut world, &dialog.segment(flags, b""));
        world.expect_silence(raw, 100 * MILLI);
        assert_only(&world, "drop_time_wait");
        world.end();
    }
}

#[test]
fn drop_half_open_full() {
    let mut setup = Setup::new(1);
    setup.core.half_open_max = 2;
    let (mut world, raw) = setup.build_with_raw();
    for port in [4_000, 4_001] {
        Dialog::new(raw, port, 7).half_open(&mut world, &[]);
    }
    let third = Dialog::new(raw, 4_002, 7);
    third.send(&mut world, &third.segment(flag::SYN, b""));
    world.run_for(10 * MILLI);
    assert_only(&world, "drop_half_open_full");
    world.run_for(10_000 * MILLI);
    assert_eq!(world.count("connections_handshake_expired"), 2);
    world.end();
}

#[test]
fn drop_source_half_open() {
    let mut setup = Setup::new(1);
    setup.core.sources.half_open = 1;
    let (mut world, raw) = setup.build_with_raw();
    Dialog::new(raw, 4_000, 7).half_open(&mut world, &[]);
    let second = Dialog::new(raw, 4_001, 7);
    second.send(&mut world, &second.segment(flag::SYN, b""));
    world.run_for(10 * MILLI);
    assert_only(&world, "drop_source_half_open");
    world.end();
}

#[test]
fn drop_connections_full() {
    let mut setup = Setup::new(1);
    setup.core.connections = 2;
    let (mut world, raw) = setup.build_with_raw();
    let mut dialogs = [4_000, 4_001].map(|port| Dialog::open(&mut world, raw, port));
    let third = Dialog::new(raw, 4_002, 7);
    third.send(&mut world, &third.segment(flag::SYN, b""));
    world.expect_silence(raw, 10 * MILLI);
    assert_only(&world, "drop_connections_full");
    for dialog in &mut dialogs {
        dialog.say(&mut world, flag::RST, b"");
    }
    world.run_for(MILLI);
    let mut later = Dialog::open(&mut world, raw, 4_003);
    later.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn drop_source_limit() {
    let mut setup = Setup::new(1);
    setup.core.sources.connections = 1;
    let (mut world, raw) = setup.build_with_raw();
    let mut first = Dialog::open(&mut world, raw, 4_000);
    let syn = Dialog::new(raw, 4_001, 7).segment(flag::SYN, b"");
    world.inject(raw, &syn.frame(&world.address(raw), &APPLIANCE));
    assert_eq!(world.hear(raw).segment(), reset_for(&syn));
    assert_only(&world, "drop_source_limit");
    first.say(&mut world, flag::RST, b"");
    world.end();
}

#[test]
fn drop_draining() {
    let (mut world, raw) = world();
    world.drain();
    world.run_for(100 * MILLI);
    let syn = Dialog::new(raw, 4_000, 7).segment(flag::SYN, b"");
    world.inject(raw, &syn.frame(&world.address(raw), &APPLIANCE));
    assert_eq!(world.hear(raw).segment(), reset_for(&syn));
    assert_only(&world, "drop_draining");
    world.end();
}

#[test]
fn drop_no_tx_buffer() {
    let (mut world, raw) = world();
    world.wire().squeeze(0);
    let mut dialog = Dialog::new(raw, 4_000, 7);
    dialog.send(&mut world, &dialog.segment(flag::SYN, b""));
    world.expect_silence(raw, 10 * MILLI);
    assert_only(&world, "drop_no_tx_buffer");
    // The retransmitted SYN finds everything as it was.
    world.wire().squeeze(usize::MAX);
    dialog.half_open(&mut world, &[]);
    dialog.say(&mut world, flag::RST, b"");
    world.run_for(MILLI);
    assert_only(&world, "drop_no_tx_buffer");
    world.end();
}

#[test]
fn reply_no_tx_buffer() {
    let answered: [fn(&Address) -> Vec<u8>; 2] =
        [|from| arp_request(from, APPLIANCE.ip), |from| echo_request(from, &APPLIANCE, 1, 1, b"")];
    for frame in answered {
        let (mut world, raw) = world();
        world.wire().squeeze(0);
        world.inject(raw, &frame(&world.address(raw)));
        world.expect_silence(raw, 10 * MILLI);
        // The frame itself was delivered: what is lost is the answer.
        assert_eq!((world.drops(), world.count("reply_no_tx_buffer")), (BTreeMap::new(), 1));
        world.end();
    }
}

/// A segment that would be reset is not looked at either: its sender says it again.
#[test]
fn strangers_wait_for_a_transmit_buffer_too() {
    let (mut world, raw) = world();
    world.wire().squeeze(0);
    let stray = Segment::new(4_000, HTTP_PORT);
    world.inject(raw, &stray.frame(&world.address(raw), &APPLIANCE));
    world.expect_silence(raw, 10 * MILLI);
    assert_only(&world, "drop_no_tx_buffer");
    world.end();
}

/// A counter that no test here is named after has no test.
#[test]
fn every_reason_has_its_test() {
    let (world, _) = world();
    let tests = [include_str!("drops.rs"), include_str!("exception.rs")].concat();
    for name in world.counts().keys().filter(|name| name.starts_with("drop_")) {
        assert!(tests.contains(&format!("fn {name}()")), "{name} has no test");
    }
    let (mut world, _) = self::world();
    let client = world.client();
    world.send(client, "GET /down/1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(world.response(client).body.len(), 1);
    world.finish(client);
    world.expect_phase(client, Phase::Finished);
    assert!(world.drops().is_empty(), "an ordinary exchange drops nothing: {:?}", world.drops());
    world.end();
}
