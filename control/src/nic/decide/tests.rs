//! Each rule on a machine where it is the only one to speak, and the machines that operators lost.

use super::super::rule::Rule;
use super::super::snapshot::{Namespace, NetLink, NetworkRoot, PciDevice, Snapshot, SshSession};
use super::super::testkit::{NIC, address, default_route, device, link, two_nics};
use super::*;

fn nic(snapshot: &Snapshot) -> &PciDevice {
    &snapshot.devices[0]
}

fn rules(snapshot: &Snapshot) -> Vec<Rule> {
    let mut rules: Vec<_> =
        objections(snapshot, nic(snapshot)).into_iter().map(|refusal| refusal.rule).collect();
    rules.dedup();
    rules
}

/// A link that software made on `lower`.
fn made_on(index: u32, name: &str, kind: &str, lower: u32) -> NetLink {
    NetLink { kind: Some(kind.into()), lower: Some(lower), ..link(index, name, "") }
}

/// The rule refuses, with these words; its name overrides it, and no other name does.
#[track_caller]
fn refuses_alone(snapshot: &Snapshot, rule: Rule, words: &[&str]) {
    let device = nic(snapshot);
    let Err(Refused::Rules(refusals)) = decide(snapshot, device, &Allowed::default()) else {
        panic!("{} does not refuse", rule.name());
    };
    for refusal in &refusals {
        assert_eq!(refusal.rule, rule, "{}", refusal.why);
    }
    for word in words {
        assert!(refusals.iter().any(|r| r.why.contains(word)), "{word:?} is not in {refusals:?}");
    }
    for &forced in Rule::ALL {
        let allowed = Allowed { force: vec![forced], unsafe_noiommu: false };
        let decided = decide(snapshot, device, &allowed);
        if forced == rule {
            assert_eq!(decided.expect("is overridden").overridden, refusals);
        } else {
            assert_eq!(decided, Err(Refused::Rules(refusals.clone())), "{}", forced.name());
        }
    }
}

#[test]
fn a_nic_that_nobody_uses_is_bound() {
    let snapshot = two_nics();
    let plan = decide(&snapshot, nic(&snapshot), &Allowed::default()).expect("nobody uses it");
    assert_eq!((plan.address.as_str(), plan.driver.as_deref()), (NIC, Some("igb")));
    assert_eq!(plan.interfaces, ["eth0"]);
    assert!(!plan.noiommu && plan.overridden.is_empty() && plan.siblings.is_empty());
}

#[test]
fn a_default_route_refuses() {
    let mut snapshot = two_nics();
    snapshot.namespaces[0].routes = vec![default_route("default via 10.0.0.1", &[2])];
    refuses_alone(&snapshot, Rule::DefaultRoute, &["default via 10.0.0.1", "eth0"]);
    snapshot.namespaces[0].routes = vec![default_route("default (IPv6) table 7", &[2])];
    refuses_alone(&snapshot, Rule::DefaultRoute, &["(IPv6) table 7"]);
    snapshot.namespaces[0].routes = vec![default_route("default", &[3, 2])];
    refuses_alone(&snapshot, Rule::DefaultRoute, &["`default`"]);
    snapshot.namespaces[0].routes = vec![default_route("default", &[])];
    refuses_alone(&snapshot, Rule::DefaultRoute, &["may be this port"]);
    snapshot.namespaces[0].routes = vec![default_route("default", &[3])];
    assert_eq!(rules(&snapshot), []);
}

#[test]
fn an_ssh_session_refuses() {
    let session = |over| SshSession {
        local: "10.0.0.5".parse().expect("an address"),
        peer: "10.7.7.7".parse().expect("an address"),
        over,
    };
    let mut snapshot = two_nics();
    snapshot.sessions = vec![session(Some(2))];
    refuses_alone(&snapshot, Rule::SshSession, &["10.7.7.7", "eth0"]);
    snapshot.sessions = vec![session(Some(3))];
    assert_eq!(rules(&snapshot), []);
    // The way back may be another: the address that was connected to counts as well.
    snapshot.namespaces[0].addresses = vec![address(2, "10.0.0.5/24")];
    assert_eq!(rules(&snapshot), [Rule::SshSession, Rule::Address]);
}

#[test]
fn an_address_refuses_in_any_namespace() {
    let mut snapshot = two_nics();
    snapshot.namespaces[0].addresses = vec![address(2, "fe80::1/64"), address(3, "10.0.0.5/24")];
    assert_eq!(rules(&snapshot), []);
    snapshot.namespaces[0].addresses.push(address(2, "fd00::5/64"));
    refuses_alone(&snapshot, Rule::Address, &["fd00::5/64"]);
    let mut snapshot = two_nics();
    let eth0 = snapshot.namespaces[0].links.remove(1);
    snapshot.namespaces.push(Namespace {
        name: "namespace /run/netns/blue".into(),
        links: vec![NetLink { index: 5, ..eth0 }],
        ..Namespace::default()
    });
    refuses_alone(&snapshot, Rule::Address, &["eth0 was given to namespace /run/netns/blue"]);
    snapshot.namespaces[1].addresses = vec![address(5, "192.168.0.1/24")];
    refuses_alone(&snapshot, Rule::Address, &["192.168.0.1/24", "blue"]);
    snapshot.namespaces.pop();
    refuses_alone(&snapshot, Rule::Address, &["igb", "no interface of it"]);
}

#[test]
fn what_is_made_on_it_refuses() {
    for kind in ["vlan", "macvlan", "ipvlan", "macvtap"] {
        let mut snapshot = two_nics();
        snapshot.namespaces[0].links.push(made_on(7, "over0", kind, 2));
        refuses_alone(&snapshot, Rule::UpperDevice, &["over0", kind]);
    }
    for kind in ["bond", "team", "bridge", "openvswitch"] {
        let mut snapshot = two_nics();
        let master = NetLink { kind: Some(kind.into()), ..link(7, "all0", "") };
        snapshot.namespaces[0].links.push(master);
        snapshot.namespaces[0].links[1].master = Some(7);
        refuses_alone(&snapshot, Rule::UpperDevice, &["all0", kind]);
    }
    let mut snapshot = two_nics();
    snapshot.namespaces[0].links[1].uppers = vec!["br9".into()];
    refuses_alone(&snapshot, Rule::UpperDevice, &["br9", "sysfs"]);
}

#[test]
fn a_macvlan_of_a_container_refuses_and_the_end_of_a_pair_does_not() {
    let mut snapshot = two_nics();
    let elsewhere = NetLink { lower_elsewhere: true, ..made_on(2, "eth0", "macvlan", 2) };
    let pair = NetLink { kind: Some("veth".into()), ..elsewhere.clone() };
    let container = |link: NetLink| Namespace {
        name: "the namespace of nginx (process 12)".into(),
        links: vec![link],
        ..Namespace::default()
    };
    snapshot.namespaces.push(container(pair));
    assert_eq!(rules(&snapshot), []);
    snapshot.namespaces[1] = container(elsewhere);
    refuses_alone(&snapshot, Rule::UpperDevice, &["macvlan"]);
}

#[test]
fn addresses_and_routes_of_what_is_above_count() {
    let mut snapshot = two_nics();
    let here = &mut snapshot.namespaces[0];
    here.links.push(NetLink { kind: Some("bond".into()), ..link(7, "bond0", "") });
    here.links[1].master = Some(7);
    here.links.push(made_on(8, "bond0.5", "vlan", 7));
    here.addresses = vec![address(8, "10.0.0.5/24")];
    here.routes = vec![default_route("default via 10.0.0.1", &[8])];
    assert_eq!(rules(&snapshot), [Rule::DefaultRoute, Rule::Address, Rule::UpperDevice]);
    // One rule by name leaves the others.
    let allowed = Allowed { force: vec![Rule::Address], ..Allowed::default() };
    let Err(Refused::Rules(left)) = decide(&snapshot, nic(&snapshot), &allowed) else {
        panic!("two rules are left");
    };
    assert!(left.iter().all(|refusal| refusal.rule != Rule::Address), "{left:?}");
    let allowed = Allowed {
        force: vec![Rule::Address, Rule::UpperDevice, Rule::DefaultRoute],
        ..Allowed::default()
    };
    let plan = decide(&snapshot, nic(&snapshot), &allowed).expect("all are overridden");
    assert_eq!(plan.overridden.len(), 4, "{:?}", plan.overridden);
}

#[test]
fn a_root_on_the_network_refuses() {
    let mut snapshot = two_nics();
    let root = |over| Some(NetworkRoot { why: "nfsroot=10.0.0.1:/srv".into(), over });
    snapshot.network_root = root(None);
    refuses_alone(&snapshot, Rule::NetworkRoot, &["perhaps", "nfsroot"]);
    snapshot.network_root = root(Some(2));
    refuses_alone(&snapshot, Rule::NetworkRoot, &["over eth0"]);
    snapshot.network_root = root(Some(3));
    assert_eq!(rules(&snapshot), []);
}

#[test]
fn the_only_carrier_refuses() {
    let mut snapshot = two_nics();
    snapshot.namespaces[0].links[2].carrier = false;
    refuses_alone(&snapshot, Rule::OnlyCarrier, &["eth0"]);
    // A bridge or loopback has a carrier, and is no way out.
    snapshot.namespaces[0].links.push(made_on(8, "br0", "bridge", 3));
    refuses_alone(&snapshot, Rule::OnlyCarrier, &["eth0"]);
    snapshot.namespaces[0].links[1].carrier = false;
    assert_eq!(rules(&snapshot), []);
}

#[test]
fn a_group_in_use_refuses() {
    let mut snapshot = two_nics();
    let bridge = PciDevice { class: 0x06_0400, ..device("0000:00:01.0", "pcieport", 1) };
    let odd_bridge = PciDevice { class: 0x06_0400, ..device("0000:00:02.0", "odd", 1) };
    let idle = PciDevice { driver: None, ..device("0000:01:00.1", "", 1) };
    let bound = device("0000:01:00.2", "vfio-pci", 1);
    snapshot.devices.extend([bridge, odd_bridge, idle, bound]);
    assert_eq!(rules(&snapshot), []);
    let disk = PciDevice { class: 0x01_0601, ..device("0000:01:00.3", "ahci", 1) };
    snapshot.devices.push(disk);
    refuses_alone(&snapshot, Rule::IommuGroup, &["0000:01:00.3", "ahci", "group 1"]);
    let allowed = Allowed { force: vec![Rule::IommuGroup], ..Allowed::default() };
    let plan = decide(&snapshot, nic(&snapshot), &allowed).expect("is overridden");
    assert_eq!(plan.siblings, ["0000:01:00.3"]);
}

#[test]
fn mellanox_stays_whatever_is_forced() {
    for driver in ["mlx4_core", "mlx5_core"] {
        let mut snapshot = two_nics();
        snapshot.devices[0].driver = Some(driver.into());
        let allowed = Allowed { force: Rule::ALL.to_vec(), unsafe_noiommu: true };
        let decided = decide(&snapshot, nic(&snapshot), &allowed);
        assert_eq!(decided, Err(Refused::Shared(driver.into())));
    }
}

#[test]
fn virtio_has_its_interface_one_device_below() {
    let mut snapshot = two_nics();
    snapshot.devices[0].driver = Some("virtio-pci".into());
    snapshot.devices[0].children = vec!["virtio3".into()];
    snapshot.namespaces[0].links[1].parent = Some("virtio3".into());
    let plan = decide(&snapshot, nic(&snapshot), &Allowed::default()).expect("nobody uses it");
    assert_eq!(plan.interfaces, ["eth0"]);
    snapshot.namespaces[0].addresses = vec![address(2, "10.0.0.5/24")];
    refuses_alone(&snapshot, Rule::Address, &["10.0.0.5/24"]);
}

#[test]
fn without_an_iommu_it_wants_to_be_told() {
    let mut snapshot = two_nics();
    snapshot.devices[0].iommu_group = None;
    snapshot.devices[1].iommu_group = None;
    let decided = decide(&snapshot, nic(&snapshot), &Allowed::default());
    assert_eq!(decided, Err(Refused::NoIommu));
    let allowed = Allowed { unsafe_noiommu: true, ..Allowed::default() };
    let plan = decide(&snapshot, nic(&snapshot), &allowed).expect("was told");
    assert!(plan.noiommu);
}

#[test]
fn a_cloud_machine_keeps_the_nic_it_is_reached_by() {
    let mut snapshot = two_nics();
    let here = &mut snapshot.namespaces[0];
    here.links.push(link(4, "eth2", "0000:03:00.0"));
    here.addresses = vec![address(2, "10.0.0.5/24"), address(3, "10.0.1.5/24")];
    here.routes = vec![default_route("default via 10.0.0.1", &[2])];
    snapshot.devices.push(device("0000:03:00.0", "igb", 3));
    let of = |at: usize| {
        let mut rules: Vec<_> =
            objections(&snapshot, &snapshot.devices[at]).iter().map(|r| r.rule.name()).collect();
        rules.dedup();
        rules
    };
    assert_eq!(of(0), ["default-route", "address"]);
    assert_eq!(of(1), ["address"]);
    assert_eq!(of(2), [""; 0]);
}

#[test]
fn a_machine_with_one_nic_keeps_it() {
    let mut snapshot = two_nics();
    snapshot.devices.pop();
    snapshot.namespaces[0].links.pop();
    assert_eq!(rules(&snapshot), [Rule::OnlyCarrier]);
}

#[test]
fn rules_have_the_names_that_are_forced() {
    for &rule in Rule::ALL {
        assert_eq!(Rule::parse(rule.name()), Ok(rule));
    }
    let error = Rule::parse("adress").expect_err("is no rule");
    for &rule in Rule::ALL {
        assert!(error.contains(rule.name()), "{error}");
    }
}
