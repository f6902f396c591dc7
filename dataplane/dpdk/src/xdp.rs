//! The XDP program below an AF_XDP port. libxdp attaches one when the port is started. Where it could
//! use its dispatcher (bpffs is mounted and the kernel lets it), DPDK 22.11 does not find it again, and
//! the interface would go on handing its frames to a socket that is gone. This puts back what was.

use std::{
    fs, io,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
};

use nix::{
    errno::Errno,
    sys::{
        socket::{
            AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt,
            socket, sockopt::ReceiveTimeout,
        },
        time::{TimeVal, TimeValLike},
    },
};

/// Why the XDP side of an interface cannot be worked with.
#[derive(Debug, displaydoc::Display, thiserror::Error)]
pub enum XdpError {
    /// interface {iface}: there is none of that name in this network namespace
    NoInterface {
        /// The name asked for.
        iface: String,
    },
    /// interface {index}: asking the kernel about its XDP program failed: {errno}
    Query {
        /// The interface's index.
        index: u32,
        /// What the kernel said.
        errno: Errno,
    },
    /// interface {index}: detaching its XDP program failed: {errno}; `ip link set dev X xdp off` does it by hand
    Detach {
        /// The interface's index.
        index: u32,
        /// What the kernel said.
        errno: Errno,
    },
    /// {path}: removing the pin of a detached XDP program failed: {cause}
    Pin {
        /// Where it is pinned.
        path: PathBuf,
        /// What went wrong.
        cause: io::Error,
    },
}

/// Detaches whatever XDP program is attached to `iface`, in the calling thread's network namespace;
/// for one that a process which was killed has left. Returns whether there was one.
pub fn detach(iface: &str) -> Result<bool, XdpError> {
    let Ok(index) = nix::net::if_::if_nametoindex(iface) else {
        return Err(XdpError::NoInterface { iface: iface.to_owned() });
    };
    Attachment { index, program: None }.restore()
}

/// What was attached to an interface before a port was opened on it.
#[derive(Debug)]
pub(crate) struct Attachment {
    index: u32,
    program: Option<u32>,
}

impl Attachment {
    /// Looks at the interface with this index.
    pub(crate) fn before(index: u32) -> Result<Self, XdpError> {
        Ok(Self { index, program: attached(index)? })
    }

    /// Detaches what has been attached since, and removes its pin. Returns whether there was any.
    pub(crate) fn restore(&self) -> Result<bool, XdpError> {
        let Some(program) = attached(self.index)? else { return Ok(false) };
        if self.program == Some(program) {
            return Ok(false);
        }
        let detached = request(&set_link_no_xdp(self.index));
        detached.map_err(|errno| XdpError::Detach { index: self.index, errno })?;
        let path = PathBuf::from(format!("{BPFFS}/xdp/dispatch-{}-{program}", self.index));
        match fs::remove_dir_all(&path) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                Err(XdpError::Pin { path, cause })
            }
            _ => Ok(true),
        }
    }
}

/// The id of the program attached to an interface. An interface that is gone has none.
fn attached(index: u32) -> Result<Option<u32>, XdpError> {
    match request(&get_link(index)) {
        Ok(reply) => Ok(program_id(&reply)),
        Err(Errno::ENODEV) => Ok(None),
        Err(errno) => Err(XdpError::Query { index, errno }),
    }
}

/// Sends one rtnetlink(7) request and returns the message that answers it.
fn request(message: &[u8]) -> Result<Vec<u8>, Errno> {
    let netlink: OwnedFd = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkRoute,
    )?;
    setsockopt(&netlink, ReceiveTimeout, &TimeVal::seconds(REPLY_SECONDS))?;
    send(netlink.as_raw_fd(), message, MsgFlags::empty())?;
    let mut reply = vec![0; REPLY_LEN_MAX];
    let len = recv(netlink.as_raw_fd(), &mut reply, MsgFlags::empty())?;
    reply.truncate(len);
    // An error message carries a negative errno after its header; 0 acknowledges.
    if u16_at(&reply, 4) == Some(NLMSG_ERROR) {
        let errno = u32_at(&reply, HEADER_LEN).unwrap_or_default().cast_signed();
        if errno != 0 {
            return Err(Errno::from_raw(errno.saturating_neg()));
        }
    }
    Ok(reply)
}

fn get_link(index: u32) -> Vec<u8> {
    message(RTM_GETLINK, NLM_F_REQUEST, index, &[])
}

fn set_link_no_xdp(index: u32) -> Vec<u8> {
    // IFLA_XDP { IFLA_XDP_FD: -1 }: no program, in whichever mode it runs.
    let fd = attribute(IFLA_XDP_FD, &(-1_i32).to_ne_bytes());
    let xdp = attribute(IFLA_XDP | NLA_F_NESTED, &fd);
    message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, index, &xdp)
}

/// `nlmsghdr` and `ifinfomsg`, then attributes.
fn message(kind: u16, flags: u16, index: u32, attributes: &[u8]) -> Vec<u8> {
    let len = HEADER_LEN + LINK_LEN + attributes.len();
    let mut message = Vec::with_capacity(len);
    message.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([0; 8]); // sequence number, port: one request on this socket
    message.extend([0; 4]); // any family, any type
    message.extend(index.to_ne_bytes());
    message.extend([0; 8]); // flags and their mask: unchanged
    message.extend(attributes);
    message
}

/// An attribute whose value is a multiple of four bytes long.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(ATTRIBUTE_LEN + value.len()).unwrap_or(u16::MAX);
    [&len.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

/// The program id in an RTM_NEWLINK message.
fn program_id(message: &[u8]) -> Option<u32> {
    let xdp = find(message.get(HEADER_LEN + LINK_LEN..)?, IFLA_XDP)?;
    let id = u32_at(find(xdp, IFLA_XDP_PROG_ID)?, 0)?;
    (id != 0).then_some(id)
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let len = usize::from(u16_at(attributes, 0)?);
        let kind = u16_at(attributes, 2)? & !(NLA_F_NESTED | NLA_F_NET_BYTEORDER);
        let value = attributes.get(ATTRIBUTE_LEN..len)?;
        if kind == wanted {
            return Some(value);
        }
        attributes = attributes.get(len.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

const BPFFS: &str = "/sys/fs/bpf";

/// The kernel answers at once; a reply that does not come is not waited for.
const REPLY_SECONDS: i64 = 2;

/// A link with its statistics and sub-interfaces is some two kilobytes.
const REPLY_LEN_MAX: usize = 64 * 1024;

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h.
const HEADER_LEN: usize = 16;
const LINK_LEN: usize = 16;
const ATTRIBUTE_LEN: usize = 4;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
const IFLA_XDP: u16 = 43;
const IFLA_XDP_FD: u16 = 1;
const IFLA_XDP_PROG_ID: u16 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_among_the_attributes_of_a_link() {
        let name = attribute(3, b"lo\0\0");
        let id = attribute(IFLA_XDP_PROG_ID, &7_u32.to_ne_bytes());
        let attached = attribute(2, &[1, 0, 0, 0]);
        let xdp = attribute(IFLA_XDP | NLA_F_NESTED, &[attached, id].concat());
        let with = message(16, 0, 1, &[name.clone(), xdp].concat());
        assert_eq!(program_id(&with), Some(7));
        assert_eq!(program_id(&message(16, 0, 1, &name)), None);
        for cut in 0..with.len() {
            assert_eq!(program_id(&with[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn the_loopback_interface_has_no_program_and_a_missing_one_none_either() {
        assert!(matches!(attached(1), Ok(None)));
        assert!(matches!(attached(0x7fff_fff0), Ok(None)));
        assert!(matches!(detach("no-such-link"), Err(XdpError::NoInterface { .. })));
    }
}
