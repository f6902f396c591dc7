//! Captures a [`Snapshot`] of this machine.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::SplitWhitespace;

use super::error::NicError;
use super::pci;
use super::snapshot::{Namespace, NetLink, NetworkRoot, Snapshot, SshSession};
use crate::host::Host;

/// Tells which interface leads to an address.
pub(crate) type WayTo<'a> = &'a dyn Fn(IpAddr) -> Option<u32>;

/// Reads devices, sessions and mounts through `host`, and adds the `namespaces`.
///
/// # Errors
/// A file that a decision needs cannot be read.
pub(crate) fn capture(
    host: &Host,
    mut namespaces: Vec<Namespace>,
    recorded: Vec<String>,
    way_to: WayTo<'_>,
) -> Result<Snapshot, NicError> {
    if let Some(here) = namespaces.first_mut() {
        for link in &mut here.links {
            with_sysfs(host, link);
        }
    }
    let mut sessions = sessions(host);
    for session in &mut sessions {
        session.over = way_to(session.peer);
    }
    Ok(Snapshot {
        devices: pci::read_all(host),
        sessions,
        network_root: network_root(host, &namespaces, way_to)?,
        namespaces,
        recorded,
    })
}

/// Adds what only sysfs tells, and that only of our namespace.
fn with_sysfs(host: &Host, link: &mut NetLink) {
    let directory = format!("sys/class/net/{}", link.name);
    link.speed = host.number(&format!("{directory}/speed")).and_then(|n| u32::try_from(n).ok());
    let names = host.names(&directory);
    let uppers = names.iter().filter_map(|name| name.strip_prefix("upper_").map(str::to_owned));
    link.uppers = uppers.collect();
    for relation in ["master", "brport/bridge"] {
        link.uppers.extend(host.target(&format!("{directory}/{relation}")));
    }
    link.uppers.sort_unstable();
    link.uppers.dedup();
    if link.parent.is_none() {
        // Kernels before 5.14 do not tell it over netlink.
        link.parent = host.target(&format!("{directory}/device"));
    }
}

/// SSH sessions: those that the environment of this process and of its ancestors tells of, and the
/// connections that any sshd holds.
fn sessions(host: &Host) -> Vec<SshSession> {
    let mut ends = BTreeSet::new();
    let mut process = std::process::id();
    for _ in 0..ANCESTORS_MAX {
        let environment = host.text(&format!("proc/{process}/environ")).ok().flatten();
        let environment = environment.unwrap_or_default();
        ends.extend(environment.split('\0').filter_map(connection_of));
        let Some(parent) = parent_of(host, process) else { break };
        process = parent;
    }
    let sockets: BTreeSet<_> = sshd_sockets(host);
    for (table, width) in [("proc/net/tcp", 8), ("proc/net/tcp6", 32)] {
        let text = host.text(table).ok().flatten().unwrap_or_default();
        ends.extend(text.lines().skip(1).filter_map(|line| established(line, width, &sockets)));
    }
    let session = |(local, peer)| SshSession { local, peer, over: None };
    ends.into_iter().filter(|(local, _): &(IpAddr, _)| !local.is_loopback()).map(session).collect()
}

/// Both ends of `SSH_CONNECTION=PEER PORT LOCAL PORT`, ours first.
fn connection_of(variable: &str) -> Option<(IpAddr, IpAddr)> {
    let mut words = variable.strip_prefix("SSH_CONNECTION=")?.split_whitespace();
    let peer = address_of(words.next()?)?;
    let local = address_of(words.nth(1)?)?;
    Some((local, peer))
}

/// An address, without the zone of a link-local one; IPv4 where it is mapped into IPv6.
fn address_of(text: &str) -> Option<IpAddr> {
    let address: IpAddr = text.split('%').next()?.parse().ok()?;
    Some(address.to_canonical())
}

fn parent_of(host: &Host, process: u32) -> Option<u32> {
    let status = host.text(&format!("proc/{process}/status")).ok()??;
    let parent = crate::host::field(&status, "PPid:")?.parse().ok()?;
    (parent != 0).then_some(parent)
}

/// Numbers of the sockets that processes called sshd hold.
fn sshd_sockets(host: &Host) -> BTreeSet<String> {
    let is_sshd = |process: &u32| {
        let name = host.text(&format!("proc/{process}/comm")).ok().flatten().unwrap_or_default();
        name.starts_with("sshd") || name == "dropbear"
    };
    let mut sockets = BTreeSet::new();
    for process in host.processes().into_iter().filter(is_sshd) {
        let directory = format!("proc/{process}/fd");
        for file in host.names(&directory) {
            let target = host.target(&format!("{directory}/{file}")).unwrap_or_default();
            let number = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
            sockets.extend(number.map(str::to_owned));
        }
    }
    sockets
}

/// Both ends of a line of /proc/net/tcp that is an established connection on one of `sockets`.
fn established(line: &str, width: usize, sockets: &BTreeSet<String>) -> Option<(IpAddr, IpAddr)> {
    let words: Vec<_> = line.split_whitespace().collect();
    let (local, peer) = (words.get(1)?, words.get(2)?);
    let held = words.get(3) == Some(&"01") && sockets.contains(*words.get(9)?);
    let end = |text: &str| hex_address(text.split(':').next()?, width);
    if held { Some((end(local)?, end(peer)?)) } else { None }
}

/// An address of /proc/net/tcp: words of 32 bits in the byte order of this machine.
fn hex_address(text: &str, width: usize) -> Option<IpAddr> {
    if text.len() != width || !text.is_ascii() {
        return None;
    }
    let words = (0..width).step_by(8).map(|at| u32::from_str_radix(&text[at..at + 8], 16).ok());
    let bytes: Vec<u8> =
        words.collect::<Option<Vec<_>>>()?.into_iter().flat_map(u32::to_ne_bytes).collect();
    if let Ok(bytes) = <[u8; 4]>::try_from(&bytes[..]) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(&bytes[..]).ok()?;
    Some(IpAddr::from(Ipv6Addr::from(bytes)).to_canonical())
}

/// The root file system, if it is NFS, iSCSI or a network block device.
fn network_root(
    host: &Host,
    namespaces: &[Namespace],
    way_to: WayTo<'_>,
) -> Result<Option<NetworkRoot>, NicError> {
    let read = |path: &str| {
        host.text(path).map(Option::unwrap_or_default).map_err(|why| NicError::Unreadable { why })
    };
    let arguments = read("proc/cmdline")?;
    let mounts = read("proc/mounts")?;
    let Some((why, server)) = mounted_root(&mounts).or_else(|| booted_root(&arguments)) else {
        return Ok(None);
    };
    let named = || {
        let value = arguments.split_whitespace().find_map(|word| word.strip_prefix("ip="))?;
        let name = value.split(':').nth(5)?;
        let links = &namespaces.first()?.links;
        links.iter().find(|link| link.name == name).map(|link| link.index)
    };
    let over = server.and_then(way_to).or_else(named);
    Ok(Some(NetworkRoot { why, over }))
}

/// What /proc/mounts says of `/`: the mount and its server.
fn mounted_root(mounts: &str) -> Option<(String, Option<IpAddr>)> {
    let root = mounts.lines().rev().find_map(|line| {
        let mut words = line.split_whitespace();
        let source = words.next()?;
        (words.next()? == "/").then_some((source, words))
    });
    let (source, mut words): (_, SplitWhitespace<'_>) = root?;
    let (kind, options) = (words.next()?, words.next().unwrap_or_default());
    let remote = kind.starts_with("nfs")
        || ["cifs", "smb3", "9p", "ceph", "glusterfs"].contains(&kind)
        || source.starts_with("/dev/nbd")
        || source.starts_with("/dev/rbd");
    let server = options.split(',').find_map(|option| option.strip_prefix("addr="));
    let virtio = kind == "9p" && options.contains("trans=virtio");
    (remote && !virtio)
        .then(|| (format!("/ is {source}, mounted as {kind}"), server.and_then(address_of)))
}

/// What the kernel's command line says of the root: the argument and the server in it.
fn booted_root(arguments: &str) -> Option<(String, Option<IpAddr>)> {
    let remote = |word: &&str| {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "nfsroot" | "netroot" | "nbdroot" | "iscsi_target_ip" => true,
            "root" => ["/dev/nfs", "nfs:", "nfs4:", "iscsi:", "nbd:", "/dev/nbd"]
                .iter()
                .any(|start| value.starts_with(start)),
            key => key.starts_with("rd.iscsi"),
        }
    };
    // One that names the server is worth more than `root=/dev/nfs`.
    let words: Vec<_> = arguments.split_whitespace().filter(remote).collect();
    let word = words.iter().find(|word| server_in(word).is_some()).or(words.first())?;
    Some((format!("{word} on the kernel's command line"), server_in(word)))
}

/// The first address in an argument such as `netroot=iscsi:@10.0.0.1::3260::iqn`.
fn server_in(argument: &str) -> Option<IpAddr> {
    let value = argument.split_once('=')?.1;
    if let Some((_, rest)) = value.split_once('[') {
        return address_of(rest.split(']').next()?);
    }
    value.split([':', '@', ',', '/']).find_map(|part| part.parse::<Ipv4Addr>().ok()).map(IpAddr::V4)
}

/// More processes than there are between a login and a command.
const ANCESTORS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::captured::Captured;
    use crate::nic::ports::{HERE, Port};
    use crate::nic::testkit::{NIC, link};

    fn taken(captured: &Captured, links: Vec<NetLink>) -> Snapshot {
        let here = Namespace { name: HERE.into(), links, ..Namespace::default() };
        let way_to = |peer: IpAddr| (peer == IpAddr::from([10, 0, 0, 1])).then_some(2);
        capture(&captured.host(), vec![here], Vec::new(), &way_to).expect("readable")
    }

    fn root_of(captured: Captured) -> Option<NetworkRoot> {
        taken(&captured, vec![link(3, "eth1", "")]).network_root
    }

    #[test]
    fn a_virtio_nic_is_read_from_sysfs() {
        let directory = pci::directory(NIC);
        let captured = Captured::new()
            .file(&format!("{directory}/class"), "0x020000\n")
            .file(&format!("{directory}/vendor"), "0x1af4\n")
            .file(&format!("{directory}/device"), "0x1041\n")
            .file(&format!("{directory}/numa_node"), "-1\n")
            .file(&format!("{directory}/driver_override"), "(null)\n")
            .symlink(&format!("{directory}/driver"), "../../../bus/pci/drivers/virtio-pci")
            .symlink(&format!("{directory}/iommu_group"), "../../kernel/iommu_groups/12")
            .folder(&format!("{directory}/virtio3/net/eth0"))
            .file("sys/class/net/eth0/speed", "25000\n")
            .symlink("sys/class/net/eth0/device", "../../../virtio3")
            .symlink("sys/class/net/eth0/upper_br0", "../br0")
            .symlink("sys/class/net/eth0/master", "../br0");
        let snapshot = taken(&captured, vec![link(2, "eth0", "")]);
        let device = &snapshot.devices[0];
        assert!(device.is_nic() && !device.is_bridge());
        assert_eq!((device.vendor, device.model), (0x1af4, 0x1041));
        assert_eq!(device.driver.as_deref(), Some("virtio-pci"));
        assert_eq!((&device.driver_override, device.numa_node), (&None, None));
        assert_eq!(device.iommu_group, Some(12));
        let (_, eth0) = Port::new(&snapshot, device).own().next().expect("its interface");
        assert_eq!((eth0.speed, &eth0.uppers[..]), (Some(25000), &["br0".to_owned()][..]));
    }

    #[test]
    fn ssh_sessions_are_those_of_ancestors_and_of_any_sshd() {
        let own = std::process::id();
        let tcp = "  sl  local_address rem_address   st\n   \
                   0: 0500000A:0016 0707070A:C350 01 0:0 00:0 0 0 0 4242 1\n   \
                   1: 0500000A:0016 0808080A:C350 01 0:0 00:0 0 0 0 4243 1\n   \
                   2: 0500000A:0016 0909090A:C350 06 0:0 00:0 0 0 0 4244 1\n";
        let mapped = "  sl\n   0: 0000000000000000FFFF00000500000A:0016 \
                      0000000000000000FFFF00000606060A:C350 01 0:0 00:0 0 0 0 4245 1\n";
        let captured = Captured::new()
            .file(&format!("proc/{own}/environ"), "A=B\0")
            .file(&format!("proc/{own}/status"), "Name:\tx\nPPid:\t4000000\n")
            .file("proc/4000000/environ", "SSH_CONNECTION=10.0.0.1 50000 10.0.0.5 22\0X=y\0")
            .file("proc/4000001/comm", "sshd-session\n")
            .symlink("proc/4000001/fd/3", "socket:[4242]")
            .symlink("proc/4000001/fd/4", "socket:[4244]")
            .symlink("proc/4000001/fd/5", "socket:[4245]")
            .file("proc/4000002/comm", "nginx\n")
            .symlink("proc/4000002/fd/3", "socket:[4243]")
            .file("proc/net/tcp", tcp)
            .file("proc/net/tcp6", mapped);
        let sessions = taken(&captured, Vec::new()).sessions;
        let found: Vec<_> = sessions
            .iter()
            .map(|session| format!("{} {} {:?}", session.local, session.peer, session.over))
            .collect();
        let expected =
            ["10.0.0.5 10.0.0.1 Some(2)", "10.0.0.5 10.6.6.6 None", "10.0.0.5 10.7.7.7 None"];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_root_on_the_network_is_known_by_mounts_and_arguments() {
        let mounted = |line: &str| Captured::new().file("proc/mounts", line);
        let booted = |line: &str| Captured::new().file("proc/cmdline", line);
        assert!(root_of(Captured::new()).is_none());
        assert!(root_of(mounted("/dev/sda1 / ext4 rw 0 0\nh:/x /mnt nfs rw 0 0\n")).is_none());
        assert!(root_of(booted("root=/dev/sda1 ip=dhcp quiet")).is_none());
        let root = root_of(mounted("h:/x / nfs4 rw,addr=10.0.0.1 0 0\n")).expect("is NFS");
        assert_eq!(root.over, Some(2));
        let root = root_of(mounted("/dev/nbd0 / ext4 rw 0 0\n")).expect("is a block device");
        assert_eq!(root.over, None);
        for line in [
            "root=/dev/nfs nfsroot=10.0.0.1:/srv,tcp",
            "netroot=iscsi:@10.0.0.1::3260::iqn.x",
            "rd.iscsi.initiator=x netroot=iscsi:u:p@10.0.0.1::3260::iqn.x",
            "root=nfs:10.0.0.1:/srv",
        ] {
            let root = root_of(booted(line)).expect(line);
            assert_eq!(root.over, Some(2), "{line}: {}", root.why);
        }
        let root = root_of(booted("root=/dev/nfs ip=::::host:eth1:dhcp")).expect("is NFS");
        assert_eq!(root.over, Some(3), "{}", root.why);
        let root = root_of(booted("root=/dev/nfs ip=dhcp")).expect("is NFS");
        assert_eq!((root.over, root.why.contains("root=/dev/nfs")), (None, true));
    }
}
