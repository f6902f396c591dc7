//! How many connections one source, an address, may hold.

use engine::{Network, SourceLimit};
use sim::raw::flag;
use sim::{Dialog, RawId, Setup, World};

const MILLI: u64 = 1_000;
const SECOND: u64 = 1_000 * MILLI;

/// A world whose worker holds up to `connections_max` connections of each source.
fn limited(connections_max: usize) -> (World, RawId) {
    let mut setup = Setup::new(1);
    setup.core.source_limit.connections_max = connections_max;
    setup.build_with_raw()
}

/// Sends a SYN from `port`, which is refused with a reset.
#[track_caller]
fn assert_refused(world: &mut World, raw: RawId, port: u16) {
    let before = world.count("drop_source_full");
    let dialog = Dialog::new(raw, port, 7);
    dialog.send(world, &dialog.segment(flag::SYN, b""));
    let reset = world.hear(raw).segment();
    assert_eq!((reset.flags, reset.ack), (flag::RST | flag::ACK, 8));
    assert_eq!(world.count("drop_source_full"), before + 1);
}

fn reset_all(world: &mut World, dialogs: Vec<Dialog>) {
    for mut dialog in dialogs {
        dialog.say(world, flag::RST, b"");
    }
    world.run_for(MILLI);
}

#[test]
fn a_source_holds_as_many_connections_as_it_may_and_others_are_let_in() {
    let (mut world, raw) = limited(3);
    let other = world.raw();
    let mut dialogs: Vec<_> =
        (4_000..4_003).map(|port| Dialog::open(&mut world, raw, port)).collect();
    for port in 5_000..5_010 {
        assert_refused(&mut world, raw, port);
    }
    dialogs.extend((4_000..4_003).map(|port| Dialog::open(&mut world, other, port)));
    assert_refused(&mut world, other, 5_000);
    assert_eq!(world.count("connections_opened"), 6);
    reset_all(&mut world, dialogs);
    world.end();
}

/// A handshake that is never completed counts as well, until it is given up.
#[test]
fn half_open_connections_count_until_they_are_given_up() {
    let (mut world, raw) = limited(2);
    for port in 4_000..4_002 {
        Dialog::new(raw, port, 9).half_open(&mut world, &[]);
    }
    assert_refused(&mut world, raw, 5_000);
    world.run_for(6 * SECOND);
    assert_eq!(world.count("connections_handshake_expired"), 2);
    while world.overheard(raw).is_some() {}
    let dialogs = (6_000..6_002).map(|port| Dialog::open(&mut world, raw, port)).collect();
    assert_refused(&mut world, raw, 5_001);
    reset_all(&mut world, dialogs);
    world.end();
}

/// Whether the peer resets it or both close it: a TIME-WAIT record is no connection.
#[test]
fn a_connection_that_is_gone_gives_its_room_back() {
    let (mut world, raw) = limited(1);
    let mut dialog = Dialog::open(&mut world, raw, 4_000);
    assert_refused(&mut world, raw, 5_000);
    dialog.say(&mut world, flag::RST, b"");
    world.run_for(MILLI);

    let mut dialog = Dialog::open(&mut world, raw, 4_001);
    assert_refused(&mut world, raw, 5_001);
    dialog.data(&mut world, b"GET /down/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    while !dialog.hear(&mut world).has(flag::FIN) {}
    dialog.say(&mut world, flag::ACK | flag::FIN, b"");
    dialog.hear(&mut world);
    assert_eq!(world.count("connections_closed"), 1);

    let dialog = Dialog::open(&mut world, raw, 4_002);
    assert_refused(&mut world, raw, 5_002);
    reset_all(&mut world, vec![dialog]);
    assert_eq!(world.count("connections_reset_by_peer"), 2);
    world.end();
}

#[test]
fn the_addresses_of_an_unlimited_network_are_not_limited() {
    let mut setup = Setup::new(1);
    let (world, raw) = Setup::new(1).build_with_raw();
    let address = world.address(raw).ip;
    world.end();
    let unlimited = vec![Network { address, prefix: 32 }];
    setup.core.source_limit = SourceLimit { connections_max: 1, unlimited };
    let (mut world, raw) = setup.build_with_raw();
    assert_eq!(world.address(raw).ip, address);
    let other = world.raw();
    let mut dialogs: Vec<_> =
        (4_000..4_020).map(|port| Dialog::open(&mut world, raw, port)).collect();
    dialogs.push(Dialog::open(&mut world, other, 4_000));
    assert_refused(&mut world, other, 5_000);
    reset_all(&mut world, dialogs);
    world.end();
}

#[test]
fn no_source_is_limited_unless_that_is_asked_for() {
    let (mut world, raw) = limited(0);
    let dialogs = (4_000..4_064).map(|port| Dialog::open(&mut world, raw, port)).collect();
    assert_eq!(world.count("drop_source_full"), 0);
    reset_all(&mut world, dialogs);
    world.end();
}
