//! The interfaces, addresses and routes of one network namespace: read for a decision, changed to put
//! back what was there.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use netlink_packet_core::{Emitable as _, NLM_F_CREATE, NLM_F_EXCL, Parseable as _};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, CacheInfo,
};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteMessage, RouteProtocol, RouteType, RouteVia,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::netlink::Netlink;
use super::snapshot::{NetAddress, NetLink, NetRoute};

/// What there is in a namespace.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Interfaces.
    pub(crate) links: Vec<NetLink>,
    /// Addresses.
    pub(crate) addresses: Vec<NetAddress>,
    /// Unicast routes of every table.
    pub(crate) routes: Vec<NetRoute>,
}

/// One change of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Its name; it must be down.
    Name(String),
    /// Its hardware address.
    Mac(Vec<u8>),
    /// Its largest packet.
    Mtu(u32),
    /// Its queue.
    TxQueueLen(u32),
    /// Promiscuous mode on.
    Promiscuous,
    /// Up or down.
    Up(bool),
    /// Moved into the namespace mounted here.
    Namespace(PathBuf),
    /// One address more; nothing happens if it has it.
    Address(NetAddress),
    /// One route more, which led over interface `from` when it was read; nothing happens if there is one.
    Route { text: String, message: String, from: u32 },
}

/// Reads the namespace of this thread.
///
/// # Errors
/// The kernel refuses, or tells what this program does not understand.
pub(crate) fn read() -> io::Result<Network> {
    let mut netlink = Netlink::open()?;
    let mut network = Network::default();
    let links = netlink.dump(&RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    let addresses = netlink.dump(&RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    let mut routes = Vec::new();
    for family in [AddressFamily::Inet, AddressFamily::Inet6] {
        let mut request = RouteMessage::default();
        request.header.address_family = family;
        match netlink.dump(&RouteNetlinkMessage::GetRoute(request)) {
            Ok(more) => routes.extend(more),
            // A kernel without IPv6.
            Err(error) if error.raw_os_error() == Some(EOPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    for object in links.into_iter().chain(addresses).chain(routes) {
        match object {
            RouteNetlinkMessage::NewLink(message) => network.links.push(link(message)),
            RouteNetlinkMessage::NewAddress(message) => network.addresses.extend(address(&message)),
            RouteNetlinkMessage::NewRoute(message) => network.routes.extend(route(message)),
            _ => {}
        }
    }
    Ok(network)
}

/// The interface of this thread's namespace that leads to `peer`.
///
/// # Errors
/// There is no route.
pub(crate) fn way_to(peer: IpAddr) -> io::Result<Option<u32>> {
    let mut request = RouteMessage::default();
    request.header.address_family = family_of(peer);
    request.header.destination_prefix_length = length_of(peer);
    request.attributes.push(RouteAttribute::Destination(peer.into()));
    let reply = Netlink::open()?.get(&RouteNetlinkMessage::GetRoute(request))?;
    let Some(RouteNetlinkMessage::NewRoute(reply)) = reply else { return Ok(None) };
    Ok(reply.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Oif(index) => Some(*index),
        _ => None,
    }))
}

/// Changes interface `index` of this thread's namespace.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn apply(index: u32, change: &Change) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let mut message = LinkMessage::default();
    message.header.index = index;
    // Held until the kernel has answered.
    let namespace;
    match change {
        Change::Address(address) => {
            let request = RouteNetlinkMessage::NewAddress(address_message(index, address));
            return unless_there(netlink.change(&request, NLM_F_CREATE | NLM_F_EXCL));
        }
        Change::Route { message, from, .. } => {
            let request = RouteNetlinkMessage::NewRoute(route_message(message, *from, index)?);
            return unless_there(netlink.change(&request, NLM_F_CREATE | NLM_F_EXCL));
        }
        Change::Name(name) => message.attributes.push(LinkAttribute::IfName(name.clone())),
        Change::Mac(mac) => message.attributes.push(LinkAttribute::Address(mac.clone())),
        Change::Mtu(mtu) => message.attributes.push(LinkAttribute::Mtu(*mtu)),
        Change::TxQueueLen(len) => message.attributes.push(LinkAttribute::TxQueueLen(*len)),
        Change::Namespace(path) => {
            namespace = File::open(path)?;
            message.attributes.push(LinkAttribute::NetNsFd(namespace.as_raw_fd()));
        }
        Change::Promiscuous => flag(&mut message, LinkFlags::Promisc, true),
        Change::Up(up) => flag(&mut message, LinkFlags::Up, *up),
    }
    netlink.change(&RouteNetlinkMessage::SetLink(message), 0)
}

fn flag(message: &mut LinkMessage, flag: LinkFlags, on: bool) {
    message.header.change_mask = flag;
    message.header.flags = if on { flag } else { LinkFlags::empty() };
}

fn unless_there(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn link(message: LinkMessage) -> NetLink {
    let flags = message.header.flags;
    let mut link = NetLink {
        index: message.header.index,
        up: flags.contains(LinkFlags::Up),
        promiscuous: flags.contains(LinkFlags::Promisc),
        carrier: flags.contains(LinkFlags::Up | LinkFlags::LowerUp),
        ..NetLink::default()
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::ParentDevName(parent) => link.parent = Some(parent),
            LinkAttribute::Controller(index) => link.master = Some(index),
            LinkAttribute::Link(index) if index != 0 && index != link.index => {
                link.lower = Some(index);
            }
            LinkAttribute::LinkNetNsId(_) => link.lower_elsewhere = true,
            LinkAttribute::Mtu(mtu) => link.mtu = mtu,
            LinkAttribute::TxQueueLen(len) => link.tx_queue_len = len,
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::NumRxQueues(n) => link.rx_queues = n,
            LinkAttribute::NumTxQueues(n) => link.tx_queues = n,
            LinkAttribute::LinkInfo(infos) => {
                link.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    link
}

fn address(message: &AddressMessage) -> Option<NetAddress> {
    let mut local = None;
    let mut address = None;
    let mut read = NetAddress {
        index: message.header.index,
        address: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        peer: None,
        prefix: message.header.prefix_len,
        scope: message.header.scope.into(),
        flags: message.header.flags.bits().into(),
        label: None,
        broadcast: None,
        metric: None,
        lifetimes: None,
    };
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Label(label) => read.label = Some(label.clone()),
            AddressAttribute::Broadcast(ip) => read.broadcast = Some((*ip).into()),
            AddressAttribute::Flags(flags) => read.flags = flags.bits(),
            AddressAttribute::RoutePriority(metric) => read.metric = Some(*metric),
            AddressAttribute::CacheInfo(info) if info.ifa_valid != FOR_EVER => {
                read.lifetimes = Some((info.ifa_valid, info.ifa_preferred));
            }
            _ => {}
        }
    }
    read.address = local.or(address)?;
    read.peer = address.filter(|peer| *peer != read.address);
    Some(read)
}

fn address_message(index: u32, address: &NetAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family_of(address.address);
    message.header.prefix_len = address.prefix;
    message.header.scope = address.scope.into();
    message.header.index = index;
    let kept = AddressFlags::from_bits_retain(address.flags) & settable_flags();
    message.header.flags = AddressHeaderFlags::from_bits_retain(kept.bits().to_le_bytes()[0]);
    message.attributes.push(AddressAttribute::Flags(kept));
    message.attributes.push(AddressAttribute::Local(address.address));
    message.attributes.push(AddressAttribute::Address(address.peer.unwrap_or(address.address)));
    if let Some(label) = &address.label {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    if let Some(IpAddr::V4(broadcast)) = address.broadcast {
        message.attributes.push(AddressAttribute::Broadcast(broadcast));
    }
    if let Some(metric) = address.metric {
        message.attributes.push(AddressAttribute::RoutePriority(metric));
    }
    if let Some((valid, preferred)) = address.lifetimes {
        let mut info = CacheInfo::default();
        (info.ifa_valid, info.ifa_preferred) = (valid, preferred);
        message.attributes.push(AddressAttribute::CacheInfo(info));
    }
    message
}

/// Flags that are asked for; the others tell a state.
fn settable_flags() -> AddressFlags {
    AddressFlags::Nodad
        | AddressFlags::Optimistic
        | AddressFlags::Homeaddress
        | AddressFlags::Managetempaddr
        | AddressFlags::Noprefixroute
        | AddressFlags::Mcautojoin
}

fn route(message: RouteMessage) -> Option<NetRoute> {
    let header = &message.header;
    if header.kind != RouteType::Unicast {
        return None;
    }
    let mut over = Vec::new();
    let (mut to, mut via, mut table) = (None, None, u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(index) => over.push(*index),
            RouteAttribute::MultiPath(hops) => {
                over.extend(hops.iter().map(|hop| hop.interface_index));
            }
            RouteAttribute::Destination(address) => to = spell(address),
            RouteAttribute::Gateway(address) => via = spell(address),
            RouteAttribute::Via(RouteVia::Inet(address)) => via = Some(address.to_string()),
            RouteAttribute::Via(RouteVia::Inet6(address)) => via = Some(address.to_string()),
            RouteAttribute::Table(number) => table = *number,
            _ => {}
        }
    }
    let length = header.destination_prefix_length;
    let default = length == 0;
    let mut text = match to {
        _ if default && header.address_family == AddressFamily::Inet6 => "default (IPv6)".into(),
        Some(to) if !default => format!("{to}/{length}"),
        _ => "default".to_owned(),
    };
    if let Some(via) = via {
        text = format!("{text} via {via}");
    }
    if table != MAIN_TABLE {
        text = format!("{text} table {table}");
    }
    // Router advertisements bring theirs again.
    let kept = header.protocol != RouteProtocol::Ra;
    let message = if kept { to_hex(message) } else { String::new() };
    Some(NetRoute { text, default, over, message })
}

fn spell(address: &RouteAddress) -> Option<String> {
    match address {
        RouteAddress::Inet(address) => Some(address.to_string()),
        RouteAddress::Inet6(address) => Some(address.to_string()),
        _ => None,
    }
}

fn to_hex(mut message: RouteMessage) -> String {
    message.header.flags &= RouteFlags::Onlink;
    message.attributes.retain(|attribute| {
        !matches!(attribute, RouteAttribute::CacheInfo(_) | RouteAttribute::Expires(_))
    });
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The route of `hex`, over interface `to` where it led over `from`.
fn route_message(hex: &str, from: u32, to: u32) -> io::Result<RouteMessage> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "the recorded route is damaged");
    let digits = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.map(byte).collect();
    let mut message = RouteMessage::parse(&bytes.ok_or_else(wrong)?[..]).map_err(|_| wrong())?;
    for attribute in &mut message.attributes {
        match attribute {
            RouteAttribute::Oif(index) if *index == from => *index = to,
            RouteAttribute::MultiPath(hops) => {
                for hop in hops.iter_mut().filter(|hop| hop.interface_index == from) {
                    hop.interface_index = to;
                }
            }
            _ => {}
        }
    }
    Ok(message)
}

fn family_of(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn length_of(address: IpAddr) -> u8 {
    let bits = if address.is_ipv4() { Ipv4Addr::BITS } else { Ipv6Addr::BITS };
    u8::try_from(bits).unwrap_or(u8::MAX)
}

/// The number of table `main`.
const MAIN_TABLE: u32 = 254;
/// INFINITY_LIFE_TIME.
const FOR_EVER: u32 = u32::MAX;
/// This kernel does not know the family.
const EOPNOTSUPP: i32 = nix::errno::Errno::EOPNOTSUPP as i32;

#[cfg(test)]
mod tests;
