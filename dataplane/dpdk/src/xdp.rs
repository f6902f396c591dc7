//! The XDP program below an AF_XDP port. libxdp attaches one when the port is started. Where it could
//! use its dispatcher (bpffs is mounted and the kernel lets it), DPDK 22.11 does not find it again, and
//! the interface would go on handing its frames to a socket that is gone. This puts back what was.

use std::{fs, io, path::PathBuf};

use nix::errno::Errno;

use crate::rtnetlink::{
    IFLA_XDP, NLA_F_NESTED, NLM_F_ACK, NLM_F_REQUEST, RTM_SETLINK, attribute, find, get_link,
    link_attributes, message, request, u32_at,
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
    Attachment { index, program: None, own: None }.restore()
}

/// What was attached to an interface before a port was opened on it.
#[derive(Debug)]
pub(crate) struct Attachment {
    index: u32,
    /// The program that was there.
    program: Option<u32>,
    /// The one that was attached since, where it is known.
    own: Option<u32>,
}

impl Attachment {
    /// Looks at the interface with this index.
    pub(crate) fn before(index: u32) -> Result<Self, XdpError> {
        Ok(Self { index, program: attached(index)?, own: None })
    }

    /// Remembers what is attached now: it is ours.
    pub(crate) fn attached(&mut self) {
        // Where the kernel does not tell, whatever is new when it is restored is taken for ours.
        self.own = attached(self.index).ok().flatten();
    }

    /// Detaches what has been attached since, and removes its pin. Returns whether there was any.
    pub(crate) fn restore(&self) -> Result<bool, XdpError> {
        let Some(program) = attached(self.index)? else { return Ok(false) };
        // One that somebody has put in the place of ours is theirs.
        if self.program == Some(program) || self.own.is_some_and(|own| own != program) {
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

fn set_link_no_xdp(index: u32) -> Vec<u8> {
    // IFLA_XDP { IFLA_XDP_FD: -1 }: no program, in whichever mode it runs.
    let fd = attribute(IFLA_XDP_FD, &(-1_i32).to_ne_bytes());
    let xdp = attribute(IFLA_XDP | NLA_F_NESTED, &fd);
    message(RTM_SETLINK, NLM_F_REQUEST | NLM_F_ACK, index, &xdp)
}

/// The program id in an RTM_NEWLINK message.
pub(crate) fn program_id(message: &[u8]) -> Option<u32> {
    let xdp = find(link_attributes(message)?, IFLA_XDP)?;
    let id = u32_at(find(xdp, IFLA_XDP_PROG_ID)?, 0)?;
    (id != 0).then_some(id)
}

const BPFFS: &str = "/sys/fs/bpf";

// linux/if_link.h.
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
