//! Interfaces of this network namespace as `ip -json -details address show` describes them.

use std::net::IpAddr;

use serde::Deserialize;

use crate::host::Host;

/// One interface. What `ip` leaves out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Interface {
    /// Its name.
    #[serde(rename = "ifname")]
    pub(super) name: String,
    /// Its number.
    #[serde(rename = "ifindex")]
    pub(super) index: u32,
    /// The other end of a veth pair, where it is in this namespace.
    pub(super) link: Option<String>,
    /// `UP`, `LOWER_UP`, `PROMISC`, ..
    pub(super) flags: Vec<String>,
    /// The largest IP packet.
    pub(super) mtu: u32,
    /// How many want frames of other addresses.
    pub(super) promiscuity: u32,
    #[serde(rename = "linkinfo")]
    info: Info,
    xdp: Option<Xdp>,
    #[serde(rename = "addr_info")]
    addresses: Vec<Address>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Info {
    info_kind: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Xdp {
    prog: Program,
}

/// An XDP program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Program {
    /// Its number in the kernel.
    pub(super) id: u32,
    /// What it calls itself.
    pub(super) name: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Address {
    local: Option<IpAddr>,
    prefixlen: u8,
}

impl Interface {
    /// All there are.
    ///
    /// # Errors
    /// Why `ip` does not tell.
    pub(super) fn read(host: &Host) -> Result<Vec<Self>, String> {
        let text = host.run("ip", &["-json", "-details", "address", "show"])?;
        serde_json::from_str(&text).map_err(|error| format!("ip -json address show: {error}"))
    }

    /// Whether it has a flag.
    pub(super) fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|own| own == flag)
    }

    /// Whether both its ends are in a kernel's memory: frames on it are never made ready for a wire.
    pub(super) fn is_virtual(&self) -> bool {
        ["veth", "tun"].contains(&self.info.info_kind.as_str())
    }

    /// The XDP program on it.
    pub(super) fn program(&self) -> Option<&Program> {
        self.xdp.as_ref().map(|xdp| &xdp.prog).filter(|program| program.id != 0)
    }

    /// The prefix length of an address of its own.
    pub(super) fn prefix_of(&self, address: IpAddr) -> Option<u8> {
        let own = self.addresses.iter().find(|own| own.local == Some(address));
        own.map(|own| own.prefixlen)
    }

    /// Whether `address` is in one of its networks.
    pub(super) fn reaches(&self, address: std::net::Ipv4Addr) -> bool {
        self.addresses.iter().any(|own| match own.local {
            Some(IpAddr::V4(local)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(own.prefixlen.min(32))).unwrap_or(0);
                u32::from(local) & mask == u32::from(address) & mask
            }
            _ => false,
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::host::captured::Captured;

    /// What `ip` is called with.
    pub(in super::super) const IP: &str = "ip -json -details address show";

    /// A link of `deploy/link.sh` with a server on it.
    pub(in super::super) const VETH: &str = r#"[
        {"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,
         "addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
        {"ifindex":2,"link":"pollux0","ifname":"pollux-host","flags":["UP","LOWER_UP"],"mtu":1500,
         "promiscuity":0,"linkinfo":{"info_kind":"veth"},
         "addr_info":[{"family":"inet","local":"198.18.0.1","prefixlen":24}]},
        {"ifindex":3,"link":"pollux-host","ifname":"pollux0","flags":["UP","LOWER_UP"],"mtu":1500,
         "xdp":{"mode":1,"prog":{"id":115,"name":"xsk_def_prog"},"attached":[]},"promiscuity":0,
         "linkinfo":{"info_kind":"veth"},"addr_info":[]}]"#;

    /// Interfaces as `ip` tells them.
    pub(in super::super) fn interfaces(text: &str) -> Vec<Interface> {
        Interface::read(&Captured::new().tool(IP, text).host()).expect("is JSON")
    }

    #[test]
    fn a_link_is_read_from_both_ends() {
        let all = interfaces(VETH);
        let ours = &all[2];
        assert_eq!(ours.program().map(|program| program.id), Some(115));
        assert_eq!(ours.link.as_deref(), Some("pollux-host"));
        assert!(ours.is_virtual() && ours.is("UP") && !ours.is("PROMISC"));
        let kernels = &all[1];
        assert_eq!(kernels.program(), None);
        assert_eq!(kernels.prefix_of("198.18.0.1".parse().expect("an address")), Some(24));
        assert!(
            kernels.reaches([198, 18, 0, 2].into()) && !kernels.reaches([198, 18, 1, 2].into())
        );
    }

    #[test]
    fn odd_output_is_an_error() {
        for text in ["", "{}", "[{\"ifname\":3}]", "[{\"addr_info\":[{\"local\":\"x\"}]}]"] {
            let read = Interface::read(&Captured::new().tool(IP, text).host());
            assert!(read.is_err_and(|why| why.starts_with("ip -json address show: ")), "{text}");
        }
        let read = Interface::read(&Captured::new().host());
        assert_eq!(read, Err("ip is not installed".into()));
    }
}
