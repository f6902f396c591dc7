//! What the kernel says of the interface that a link stands on: whether it is there, up, and how long its
//! packets may be.

use nix::errno::Errno;

use crate::{
    rtnetlink::{
        IFLA_CARRIER_CHANGES, IFLA_MTU, find, get_link, link_attributes, link_flags, request,
        u32_at,
    },
    xdp::program_id,
};

/// The state of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// Administratively up (`ip link set dev X up`).
    pub is_up: bool,
    /// Whether frames pass: it is up, and so is its other side.
    pub is_running: bool,
    /// Its MTU, bytes of an IP packet.
    pub mtu: u32,
    /// How often its carrier came or went; wraps.
    pub carrier_changes: u32,
    /// The id of the XDP program that is attached to it.
    pub xdp_program: Option<u32>,
}

impl InterfaceState {
    /// Asks the kernel for the interface with this index in the calling thread's network namespace, and
    /// waits at most two seconds for the reply. `None`: there is none.
    ///
    /// # Errors
    /// The kernel does not reply, or there is no socket to ask it through.
    pub fn of(index: u32) -> Result<Option<Self>, Errno> {
        match request(&get_link(index)) {
            Ok(reply) => Ok(Self::parse(&reply)),
            Err(Errno::ENODEV) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn parse(message: &[u8]) -> Option<Self> {
        let (flags, attributes) = (link_flags(message)?, link_attributes(message)?);
        let number = |kind| find(attributes, kind).and_then(|value| u32_at(value, 0));
        Some(Self {
            is_up: flags & IFF_UP != 0,
            is_running: flags & IFF_UP != 0 && flags & IFF_RUNNING != 0,
            mtu: number(IFLA_MTU)?,
            carrier_changes: number(IFLA_CARRIER_CHANGES).unwrap_or(0),
            xdp_program: program_id(message),
        })
    }
}

// linux/if.h.
const IFF_UP: u32 = 1;
const IFF_RUNNING: u32 = 1 << 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_mtu_and_a_missing_one_is_none() {
        let lo = InterfaceState::of(1).expect("the kernel replies").expect("there is one");
        assert!(lo.mtu >= 1_500 && lo.xdp_program.is_none(), "{lo:?}");
        assert_eq!(lo.is_running, lo.is_up);
        assert_eq!(InterfaceState::of(0x7fff_fff0), Ok(None));
    }
}
