//! A link as the operator names it, and what kind of link that is. Parsing only: whether the
//! device exists is found out by `Port::open`.

use std::{fmt, path::Path, str::FromStr};

/// A DPDK device argument, checked for form: a PCI address or a virtual device with its arguments
/// (DPDK programmer's guide, "Device Specification").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    /// What identifies the device on its bus: `0000:01:00.0`, `net_tap0`.
    name: String,
    /// What follows the name, without the comma; may be empty.
    arguments: String,
    kind: DeviceKind,
}

/// Which driver family carries the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeviceKind {
    /// A PCI NIC.
    Pci,
    /// An AF_XDP socket on a kernel interface.
    AfXdp,
    /// An AF_PACKET socket with mapped rings on a kernel interface.
    AfPacket,
    /// A kernel TAP interface that the driver makes.
    Tap,
    /// A kernel TAP interface that the kernel's vhost-net serves, which hands over checksums and whole
    /// segments.
    Vhost,
    /// Shared memory with another process.
    Memif,
    /// Any other virtual device (`net_null0`, `net_ring0`).
    Other,
}

impl DeviceKind {
    /// Whether hardware may reach into the buffers of such a link.
    pub(crate) fn may_do_dma(self) -> bool {
        // A device of another kind may stand for NICs (`net_failsafe`).
        matches!(self, Self::Pci | Self::Other)
    }
}

/// Who makes the memif socket and waits on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MemifRole {
    /// Listens on the socket.
    Server,
    /// Connects to it, and owns the shared memory.
    Client,
}

/// Why a device argument cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, displaydoc::Display, thiserror::Error)]
pub enum DeviceError {
    /// `{0}` is neither a PCI address such as 0000:01:00.0 nor a virtual device such as net_tap0,iface=pollux0
    Syntax(String),
    /// `{0}` is no interface name: 1 to 15 bytes, none of them a space, comma, slash or colon
    Interface(String),
    /// `{0}` cannot be a memif socket: an absolute path of at most 107 bytes without a comma
    Socket(String),
    /// `{0}`: with zero-copy the other process can change the bytes of a frame after they were checked: leave it out, or write zero-copy=no
    ZeroCopy(String),
}

impl Device {
    /// The NIC at a PCI address, `[domain:]bus:device.function`.
    pub fn pci(address: &str) -> Result<Self, DeviceError> {
        let device: Self = address.parse()?;
        match device.kind {
            DeviceKind::Pci => Ok(device),
            _ => Err(DeviceError::Syntax(address.to_owned())),
        }
    }

    /// An AF_XDP socket on queue 0 of `iface`. Preferred busy polling is off: it moves the kernel's
    /// half of the work into the poll, which a veth answers with much lower rates.
    pub fn af_xdp(iface: &str) -> Result<Self, DeviceError> {
        Self::af_xdp_queue(iface, 0)
    }

    /// An AF_XDP socket on one queue of `iface`: a device, and so a port, for each queue, because
    /// DPDK 22.11 takes a veth for a device of one queue whatever it has. (An interface with
    /// combined channels, a NIC's, can be one port: `net_af_xdp0,iface=eth0,queue_count=4`.)
    pub fn af_xdp_queue(iface: &str, queue: u16) -> Result<Self, DeviceError> {
        let iface = interface(iface)?;
        let start = if queue == 0 { String::new() } else { format!("start_queue={queue},") };
        Ok(Self::new(&format!("net_af_xdp{queue}"), format!("iface={iface},{start}busy_budget=0")))
    }

    /// An AF_PACKET socket on `iface`.
    pub fn af_packet(iface: &str) -> Result<Self, DeviceError> {
        Ok(Self::new("net_af_packet0", format!("iface={}", interface(iface)?)))
    }

    /// A TAP interface named `iface`, made when the port is opened, gone when it is closed.
    pub fn tap(iface: &str) -> Result<Self, DeviceError> {
        Ok(Self::new("net_tap0", format!("iface={}", interface(iface)?)))
    }

    /// A TAP interface named `iface` behind the kernel's vhost-net, with `queues` queues: made when the port
    /// is opened, unless it is there already, and then it must have been made with as many queues. The MAC
    /// address is of the interface's name, so that peers find the port again after a restart.
    pub fn vhost(iface: &str, queues: u16) -> Result<Self, DeviceError> {
        let iface = interface(iface)?;
        let queues = queues.clamp(1, VHOST_QUEUES_MAX);
        // The driver wants its control queue for more than one pair.
        let control = u8::from(queues > 1);
        let [a, b, c] = digest(iface);
        let arguments = format!(
            "path={VHOST_NET},iface={iface},queues={queues},cq={control},queue_size={VHOST_RING},\
             mac=02:50:4c:{a:02x}:{b:02x}:{c:02x}"
        );
        Ok(Self::new("net_virtio_user0", arguments))
    }

    /// One end of a shared memory link whose control socket is at `socket`.
    pub fn memif(role: MemifRole, socket: &Path) -> Result<Self, DeviceError> {
        let path = socket.to_str().filter(|path| {
            socket.is_absolute() && path.len() <= SOCKET_LEN_MAX && !path.contains([',', '\0'])
        });
        let Some(path) = path else {
            return Err(DeviceError::Socket(socket.to_string_lossy().into_owned()));
        };
        let role = match role {
            MemifRole::Server => "server",
            MemifRole::Client => "client",
        };
        let arguments = format!("role={role},socket={path},socket-abstract=no");
        Ok(Self::new("net_memif0", arguments))
    }

    /// Which kind of link this is.
    pub fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// What identifies the device on its bus: `0000:01:00.0`, `net_tap0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kernel interface in the arguments, if they name one.
    pub fn interface(&self) -> Option<&str> {
        // net_vhost calls its socket so.
        let is_socket = self.name.starts_with("net_vhost");
        self.argument("iface").filter(|_| !is_socket)
    }

    /// The socket that a memif server is to listen on.
    pub(crate) fn server_socket(&self) -> Option<&str> {
        let server = self.kind == DeviceKind::Memif && self.argument("role") == Some("server");
        if server { self.argument("socket") } else { None }
    }

    /// The value of an argument, if it is given.
    pub fn argument(&self, key: &str) -> Option<&str> {
        self.arguments.split(',').find_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
    }

    fn new(name: &str, arguments: String) -> Self {
        let mut device = Self { kind: kind_of(name), name: name.to_owned(), arguments };
        if name.starts_with("net_virtio_user") && device.argument("path") == Some(VHOST_NET) {
            device.kind = DeviceKind::Vhost;
        }
        device
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.arguments.is_empty() {
            write!(f, ",{}", self.arguments)?;
        }
        Ok(())
    }
}

impl FromStr for Device {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let syntax = || DeviceError::Syntax(text.to_owned());
        let (name, arguments) = text.split_once(',').unwrap_or((text, ""));
        if shares_frames(arguments) {
            return Err(DeviceError::ZeroCopy(text.to_owned()));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(syntax());
        }
        if let Some(name) = pci_name(name) {
            return Ok(Self { name, arguments: arguments.to_owned(), kind: DeviceKind::Pci });
        }
        let instance = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let known = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.starts_with("net_") || instance == name || !name.chars().all(known) {
            return Err(syntax());
        }
        let device = Self::new(name, arguments.to_owned());
        if let Some(iface) = device.interface() {
            interface(iface)?;
        }
        if matches!(device.kind, DeviceKind::AfXdp | DeviceKind::AfPacket)
            && device.interface().is_none()
        {
            return Err(syntax());
        }
        Ok(device)
    }
}

/// `sun_path` less its terminator: unix(7).
const SOCKET_LEN_MAX: usize = 107;

/// `IFNAMSIZ` less its terminator: netdevice(7).
const INTERFACE_LEN_MAX: usize = 15;

/// The kernel's end of a vhost link.
pub const VHOST_NET: &str = "/dev/vhost-net";

/// Most queue pairs of virtio_user (DPDK 22.11: `VIRTIO_MAX_VIRTQUEUE_PAIRS`).
pub const VHOST_QUEUES_MAX: u16 = 8;

/// Descriptors of each queue, the most that vhost-net takes.
const VHOST_RING: u16 = 1024;

/// Three bytes that differ from name to name (FNV-1a).
fn digest(name: &str) -> [u8; 3] {
    let step = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let [a, b, c, d] = name.bytes().fold(0x811c_9dc5, step).to_be_bytes();
    [a ^ d, b, c]
}

fn interface(name: &str) -> Result<&str, DeviceError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, ',' | '/' | ':');
    if name.is_empty() || name.len() > INTERFACE_LEN_MAX || name.contains(bad) {
        return Err(DeviceError::Interface(name.to_owned()));
    }
    Ok(name)
}

fn kind_of(name: &str) -> DeviceKind {
    match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "net_af_xdp" => DeviceKind::AfXdp,
        "net_af_packet" => DeviceKind::AfPacket,
        "net_tap" => DeviceKind::Tap,
        "net_memif" => DeviceKind::Memif,
        _ => DeviceKind::Other,
    }
}

/// Whether a memif among the devices that `arguments` describe, which may be nested
/// (`net_failsafe0,dev(net_memif0,..)`), would hand out frames that its peer can still write to.
fn shares_frames(arguments: &str) -> bool {
    let mut each = arguments.split([',', '(', ')']);
    each.any(|argument| argument.strip_prefix("zero-copy=").is_some_and(|value| value != "no"))
}

/// The address in the form that DPDK names the device by, or `None` where `text` is not one.
fn pci_name(text: &str) -> Option<String> {
    let (rest, function) = text.rsplit_once('.')?;
    let (rest, device) = rest.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
    let number = |digits: &str, max: usize| {
        let good = (1..=max).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if good { u32::from_str_radix(digits, 16).ok() } else { None }
    };
    let (domain, bus) = (number(domain, 4)?, number(bus, 2)?);
    let device = number(device, 2).filter(|device| *device < 32)?;
    let function = number(function, 1).filter(|function| *function < 8)?;
    Some(format!("{domain:04x}:{bus:02x}:{device:02x}.{function}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_write_what_the_parser_reads() {
        for device in [
            Device::pci("01:00.0"),
            Device::af_xdp("pollux0"),
            Device::af_xdp_queue("pollux0", 2),
            Device::af_packet("pollux0"),
            Device::tap("pollux0"),
            Device::vhost("pollux0", 2),
            Device::memif(MemifRole::Server, Path::new("/run/x.sock")),
        ] {
            let device = device.expect("well formed");
            assert_eq!(device.to_string().parse(), Ok(device));
        }
    }

    #[test]
    fn arguments_become_devices() {
        for (text, name, kind, iface) in [
            ("0000:01:00.0", "0000:01:00.0", DeviceKind::Pci, None),
            ("A:1f.7", "0000:0a:1f.7", DeviceKind::Pci, None),
            ("net_tap3,iface=t0", "net_tap3", DeviceKind::Tap, Some("t0")),
            ("net_af_xdp0,iface=a,busy_budget=0", "net_af_xdp0", DeviceKind::AfXdp, Some("a")),
            ("net_af_packet0,iface=b", "net_af_packet0", DeviceKind::AfPacket, Some("b")),
            (
                "net_virtio_user0,path=/dev/vhost-net,iface=v",
                "net_virtio_user0",
                DeviceKind::Vhost,
                Some("v"),
            ),
            ("net_virtio_user0,path=/a.sock", "net_virtio_user0", DeviceKind::Other, None),
            ("net_memif0", "net_memif0", DeviceKind::Memif, None),
            ("net_null0,size=64", "net_null0", DeviceKind::Other, None),
        ] {
            let device: Device = text.parse().expect(text);
            assert_eq!((device.name(), device.kind(), device.interface()), (name, kind, iface));
        }
    }

    #[test]
    fn malformed_arguments_are_refused() {
        for text in [
            "",
            "eth0",
            "net_tap",
            "net_tap0 iface=x",
            "net_af_xdp0",
            "net_tap0,iface=",
            "net_tap0,iface=a-name-too-long1",
            "01:20.0",
            "01:00.8",
            "0:0:1:00.0",
            "00001:01:00.0",
            "net_a-b0",
        ] {
            assert!(text.parse::<Device>().is_err(), "{text}");
        }
        for text in [
            "net_memif0,role=client,zero-copy=yes",
            "net_memif0,zero-copy=no,zero-copy=yes",
            "net_failsafe0,dev(net_memif0,zero-copy=yes)",
        ] {
            assert_eq!(text.parse::<Device>(), Err(DeviceError::ZeroCopy(text.into())));
        }
        assert!("net_memif0,zero-copy=no".parse::<Device>().is_ok());
        assert!(Device::memif(MemifRole::Client, Path::new("x.sock")).is_err());
        assert!(Device::memif(MemifRole::Client, Path::new("/run/a,b")).is_err());
        assert!(Device::pci("net_null0").is_err());
    }
}
