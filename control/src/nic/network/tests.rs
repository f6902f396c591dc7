//! With the kernel, on the loopback interface of a namespace that ends with the test.

use std::thread;

use netlink_packet_route::link::InfoKind;
use netlink_packet_route::route::RouteScope;
use nix::sched::{CloneFlags, unshare};

use super::*;

/// The loopback interface of a new namespace.
const LO: u32 = 1;

/// Runs a test in a namespace of its own; only root makes one.
fn alone(test: impl FnOnce() + Send + 'static) {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: only root makes network namespaces");
        return;
    }
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNET).expect("root makes namespaces");
        test();
    };
    thread::spawn(run).join().expect("the test passes");
}

fn lo() -> NetLink {
    let network = read().expect("readable");
    network.links.into_iter().find(|link| link.index == LO).expect("every namespace has one")
}

fn held(text: &str) -> NetAddress {
    crate::nic::testkit::address(LO, text)
}

/// Makes a route over loopback.
fn add_route(to: IpAddr, length: u8, via: Option<IpAddr>) {
    let mut message = RouteMessage::default();
    message.header.address_family = family_of(to);
    message.header.destination_prefix_length = length;
    message.header.kind = RouteType::Unicast;
    message.header.protocol = RouteProtocol::Static;
    message.header.table = 254;
    // A gateway must be on the link.
    message.header.scope = if via.is_none() { RouteScope::Link } else { RouteScope::Universe };
    message.attributes.push(RouteAttribute::Destination(to.into()));
    message.attributes.push(RouteAttribute::Oif(LO));
    message.attributes.extend(via.map(|via| RouteAttribute::Gateway(via.into())));
    let request = RouteNetlinkMessage::NewRoute(message);
    let mut netlink = Netlink::open().expect("opens");
    netlink.change(&request, NLM_F_CREATE | NLM_F_EXCL).expect("is a route");
}

#[test]
fn link_settings_are_changed_and_read() {
    alone(|| {
        assert!(!lo().up);
        let changes =
            [Change::Mtu(1400), Change::TxQueueLen(77), Change::Promiscuous, Change::Up(true)];
        for change in &changes {
            apply(LO, change).unwrap_or_else(|error| panic!("{change:?}: {error}"));
        }
        let lo = lo();
        assert_eq!((lo.mtu, lo.tx_queue_len), (1400, 77));
        assert!(lo.up && lo.carrier && lo.promiscuous);
        apply(LO, &Change::Up(false)).expect("may be down");
        apply(LO, &Change::Name("was-lo".into())).expect("may be renamed");
        assert_eq!(self::lo().name, "was-lo");
        assert!(apply(4711, &Change::Up(true)).is_err(), "there is no such interface");
    });
}

#[test]
fn the_ends_of_a_pair_are_interfaces_with_a_kind_and_an_address() {
    alone(|| {
        let mut message = LinkMessage::default();
        message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Veth)]));
        let request = RouteNetlinkMessage::NewLink(message);
        let mut netlink = Netlink::open().expect("opens");
        netlink.change(&request, NLM_F_CREATE | NLM_F_EXCL).expect("root makes pairs");
        let ends = || -> Vec<NetLink> {
            let links = read().expect("readable").links;
            links.into_iter().filter(|link| link.kind.as_deref() == Some("veth")).collect()
        };
        let [a, b] = &ends()[..] else { panic!("two ends") };
        assert_eq!((a.lower, b.lower), (Some(b.index), Some(a.index)));
        let mac = vec![2, 0, 0, 0, 0, 9];
        apply(a.index, &Change::Mac(mac.clone())).expect("may be changed");
        let ends = ends();
        let changed = ends.iter().find(|end| end.index == a.index).expect("is there");
        assert_eq!(changed.mac, mac);
    });
}

#[test]
fn addresses_come_back_with_all_that_they_had() {
    alone(|| {
        apply(LO, &Change::Up(true)).expect("may be up");
        let mut label = held("10.1.2.3/24");
        label.label = Some("lo:x".into());
        label.broadcast = Some("10.1.2.255".parse().expect("an address"));
        label.metric = Some(77);
        let mut lease = held("10.1.3.3/24");
        lease.lifetimes = Some((1000, 500));
        lease.flags = 0;
        let mut peer = held("10.8.0.1/32");
        peer.peer = Some("10.8.0.2".parse().expect("an address"));
        let scoped = NetAddress { scope: 253, ..held("169.254.1.1/16") };
        for wanted in [label, lease, peer, scoped, held("fd00::77/64")] {
            let change = Change::Address(wanted.clone());
            apply(LO, &change).unwrap_or_else(|error| panic!("{wanted:?}: {error}"));
            apply(LO, &change).expect("may be repeated");
            let all = read().expect("readable").addresses;
            let found = all.iter().find(|found| found.address == wanted.address);
            let mut found = found.expect("was added").clone();
            // Duplicate address detection has its flags.
            found.flags = wanted.flags;
            found.label = wanted.label.clone().and(found.label);
            found.metric = wanted.metric.and(found.metric);
            if let (Some(now), Some(then)) = (&mut found.lifetimes, wanted.lifetimes) {
                assert!(now.0 <= then.0 && now.0 + 5 > then.0, "{now:?}");
                *now = then;
            }
            assert_eq!(found, wanted);
        }
    });
}

#[test]
fn routes_are_read_and_come_back() {
    alone(|| {
        apply(LO, &Change::Up(true)).expect("may be up");
        apply(LO, &Change::Address(held("10.1.2.3/24"))).expect("is added");
        apply(LO, &Change::Address(held("fd00::3/64"))).expect("is added");
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        add_route(ip("10.9.0.0"), 16, None);
        add_route(ip("0.0.0.0"), 0, Some(ip("10.9.0.1")));
        add_route(ip("::"), 0, None);
        let ours = |network: Network| -> Vec<NetRoute> {
            let wanted = ["10.9.0.0/16", "default via 10.9.0.1", "default (IPv6)"];
            let mut routes = network.routes;
            routes.retain(|route| wanted.contains(&route.text.as_str()));
            routes
        };
        let before = ours(read().expect("readable"));
        assert_eq!(before.len(), 3, "{before:#?}");
        assert!(before.iter().all(|route| route.over == [LO]));
        let defaults = before.iter().filter(|route| route.default).count();
        assert_eq!(defaults, 2, "{before:#?}");
        assert_eq!(way_to(ip("10.77.0.1")).expect("there is a default route"), Some(LO));
        apply(LO, &Change::Up(false)).expect("may be down");
        assert_eq!(ours(read().expect("readable")), [], "they went with the interface");
        apply(LO, &Change::Up(true)).expect("may be up");
        for _ in 0..2 {
            // As restoring does: first those that gateways are reached by.
            let via = |route: &&NetRoute| route.text.contains(" via ");
            let nearest = before.iter().filter(|route| !via(route));
            for route in nearest.chain(before.iter().filter(via)) {
                let NetRoute { text, message, .. } = route.clone();
                let change = Change::Route { text, message, from: LO };
                apply(LO, &change).unwrap_or_else(|error| panic!("{}: {error}", route.text));
            }
        }
        assert_eq!(ours(read().expect("readable")), before);
    });
}

#[test]
fn a_damaged_route_is_an_error() {
    for message in ["0", "zz", "00"] {
        assert!(route_message(message, 1, 2).is_err(), "{message}");
    }
}
