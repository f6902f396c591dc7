//! How an operator names a link.

use std::path::Path;

use dpdk::{Device, DeviceError, MemifRole};

use crate::config::conceal;

/// Which port to take.
#[derive(Clone, Debug, PartialEq, Eq, derive_more::Display)]
pub(crate) enum LinkSpec {
    /// The best kernel link that works here.
    #[display("auto")]
    Auto,
    /// This one.
    Named(Link),
}

/// A link by its name and as the device argument that DPDK knows it by.
#[derive(Clone, Debug, PartialEq, Eq, derive_more::Display)]
#[display("{}", conceal(name))]
pub(crate) struct Link {
    name: String,
    device: Device,
}

impl LinkSpec {
    /// Reads `auto` or the name of a link.
    ///
    /// # Errors
    /// It is neither.
    pub(crate) fn parse(text: &str) -> Result<Self, DeviceError> {
        if text == "auto" { Ok(Self::Auto) } else { Link::parse(text).map(Self::Named) }
    }

    /// What one may write, for errors and help.
    pub(crate) const FORMATS: &'static str = "auto, af_xdp:IFACE, af_packet:IFACE, tap:IFACE, vhost[:IFACE], \
         memif:PATH[,role=server|client], pci:0000:01:00.0, or a DPDK device argument such as \
         net_af_packet0,iface=eth1";
}

impl Link {
    /// Reads `KIND:WHAT`, a PCI address, or a DPDK device argument.
    ///
    /// # Errors
    /// It is none of these.
    pub(crate) fn parse(text: &str) -> Result<Self, DeviceError> {
        let device = match text.split_once(':') {
            Some(("af_xdp", interface)) => Device::af_xdp(interface),
            Some(("af_packet", interface)) => Device::af_packet(interface),
            Some(("tap", interface)) => Device::tap(interface),
            Some(("vhost", interface)) => Device::vhost(interface, 1),
            None if text == "vhost" => Device::vhost(VHOST_INTERFACE, 1),
            Some(("memif", socket)) => memif(socket),
            Some(("pci", address)) => Device::pci(address),
            _ => text.parse(),
        }?;
        Ok(Self { name: text.to_owned(), device })
    }

    /// The device argument.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Whether it was named in our words, so that the arguments are ours to choose.
    pub(crate) fn is_short(&self) -> bool {
        self.name != self.device.to_string()
    }
}

/// The interface of a vhost link that names none.
const VHOST_INTERFACE: &str = "pollux0";

fn memif(text: &str) -> Result<Device, DeviceError> {
    let (socket, role) = match text.split_once(',') {
        None | Some((_, "role=server")) => (text.split(',').next(), MemifRole::Server),
        Some((socket, "role=client")) => (Some(socket), MemifRole::Client),
        Some(_) => (None, MemifRole::Server),
    };
    match socket {
        Some(socket) => Device::memif(role, Path::new(socket)),
        None => Err(DeviceError::Syntax(format!("memif:{text}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(text: &str) -> String {
        let link = Link::parse(text).expect(text);
        assert_eq!(link.to_string(), text, "a link keeps the name it was given");
        link.device().to_string()
    }

    #[test]
    fn every_form_becomes_its_device() {
        assert_eq!(device("af_xdp:pollux0"), "net_af_xdp0,iface=pollux0,busy_budget=0");
        assert_eq!(device("af_packet:eth1"), "net_af_packet0,iface=eth1");
        assert_eq!(device("tap:pollux0"), "net_tap0,iface=pollux0");
        let vhost = device("vhost:pollux-host");
        assert!(
            vhost.starts_with("net_virtio_user0,path=/dev/vhost-net,iface=pollux-host,"),
            "{vhost}"
        );
        assert!(
            device("vhost").contains("iface=pollux0,queues=1,cq=0,queue_size=1024,mac=02:50:4c:")
        );
        let server = "net_memif0,role=server,socket=/run/p.sock,socket-abstract=no";
        assert_eq!(device("memif:/run/p.sock"), server);
        assert_eq!(device("memif:/run/p.sock,role=server"), server);
        assert_eq!(
            device("memif:/run/p.sock,role=client"),
            "net_memif0,role=client,socket=/run/p.sock,socket-abstract=no"
        );
        assert_eq!(device("pci:0000:01:00.0"), "0000:01:00.0");
        assert_eq!(device("01:00.0"), "0000:01:00.0");
        assert_eq!(
            device("net_af_packet0,iface=eth1,qpairs=2"),
            "net_af_packet0,iface=eth1,qpairs=2"
        );
        assert_eq!(LinkSpec::parse("auto"), Ok(LinkSpec::Auto));
    }

    #[test]
    fn what_is_no_link_is_refused() {
        for text in [
            "",
            "eth0",
            "af_xdp:",
            "af_xdp:a,b=c",
            "af_xdp:sixteen_letters_x",
            "tap:a/b",
            "vhost:",
            "vhost:a,b",
            "memif:",
            "memif:relative",
            "memif:/a,role=master",
            "pci:eth0",
            "0000:01:00.9",
            "usb:1",
        ] {
            assert!(LinkSpec::parse(text).is_err(), "{text:?}");
        }
    }
}
