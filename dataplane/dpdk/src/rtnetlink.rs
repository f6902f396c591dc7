//! Requests about one interface over rtnetlink(7): a socket for each, in the network namespace of the
//! calling thread.

use std::os::fd::{AsRawFd, OwnedFd};

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

/// Sends one rtnetlink(7) request and returns the message that answers it.
pub(crate) fn request(message: &[u8]) -> Result<Vec<u8>, Errno> {
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

/// Asks for everything about the interface with this index.
pub(crate) fn get_link(index: u32) -> Vec<u8> {
    message(RTM_GETLINK, NLM_F_REQUEST, index, &[])
}

/// `nlmsghdr` and `ifinfomsg`, then attributes.
pub(crate) fn message(kind: u16, flags: u16, index: u32, attributes: &[u8]) -> Vec<u8> {
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

/// The attributes of an RTM_NEWLINK message.
pub(crate) fn link_attributes(message: &[u8]) -> Option<&[u8]> {
    message.get(HEADER_LEN + LINK_LEN..)
}

/// The flags (IFF_UP and others, netdevice(7)) in an RTM_NEWLINK message.
pub(crate) fn link_flags(message: &[u8]) -> Option<u32> {
    u32_at(message, HEADER_LEN + 8)
}

/// An attribute whose value is a multiple of four bytes long.
pub(crate) fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(ATTRIBUTE_LEN + value.len()).unwrap_or(u16::MAX);
    [&len.to_ne_bytes(), &kind.to_ne_bytes(), value].concat()
}

/// The value of the first attribute of a kind.
pub(crate) fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
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

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The kernel answers at once; a reply that does not come is not waited for.
const REPLY_SECONDS: i64 = 2;

/// A link with its statistics and sub-interfaces is some two kilobytes.
const REPLY_LEN_MAX: usize = 64 * 1024;

// linux/netlink.h, linux/rtnetlink.h, linux/if_link.h.
const HEADER_LEN: usize = 16;
const LINK_LEN: usize = 16;
const ATTRIBUTE_LEN: usize = 4;
const NLMSG_ERROR: u16 = 2;
pub(crate) const NLM_F_REQUEST: u16 = 1;
pub(crate) const NLM_F_ACK: u16 = 4;
const RTM_GETLINK: u16 = 18;
pub(crate) const RTM_SETLINK: u16 = 19;
pub(crate) const NLA_F_NESTED: u16 = 1 << 15;
const NLA_F_NET_BYTEORDER: u16 = 1 << 14;
pub(crate) const IFLA_MTU: u16 = 4;
pub(crate) const IFLA_CARRIER_CHANGES: u16 = 35;
pub(crate) const IFLA_XDP: u16 = 43;
