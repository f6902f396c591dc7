//! One end of the bridge: every frame of a network interface, through an AF_PACKET socket.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recvmsg, send, setsockopt, socket, sockopt,
};

/// An interface of the network namespace it was opened in.
#[derive(Debug)]
pub(crate) struct Interface {
    socket: OwnedFd,
    /// Frames that the kernel has dropped because the socket's buffer was full, since it was opened.
    pub(crate) overruns: u32,
    buffer: Vec<u8>,
    control: Vec<u8>,
}

impl Interface {
    /// Opens the interface called `name`. What the socket sends never comes back to it: the kernel leaves the sender out.
    ///
    /// # Errors
    /// There is no such interface, or this is not root.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let mut addresses = getifaddrs()?.filter(|entry| entry.interface_name == name);
        let link = addresses.find_map(|entry| entry.address?.as_link_addr().copied());
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("no interface {name}"));
        let link = link.ok_or_else(missing)?;
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let all = SockProtocol::EthAll;
        let socket = socket(AddressFamily::Packet, SockType::Raw, flags, all)?;
        setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES)?;
        setsockopt(&socket, sockopt::RxqOvfl, &1)?;
        // An address without a protocol leaves the socket the one it has.
        bind(socket.as_raw_fd(), &link)?;
        let control = nix::cmsg_space!(u32);
        let mut this = Self { socket, overruns: 0, buffer: vec![0; FRAME_MAX], control };
        // Before it was bound it heard every interface.
        while this.receive()?.is_some() {}
        this.overruns = 0;
        Ok(this)
    }

    /// The next frame that has come; `None`: there is none now.
    pub(crate) fn receive(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut pieces = [IoSliceMut::new(&mut self.buffer)];
            let fd = self.socket.as_raw_fd();
            let flags = MsgFlags::MSG_DONTWAIT;
            let got = match recvmsg::<LinkAddr>(fd, &mut pieces, Some(&mut self.control), flags) {
                Ok(got) => got,
                Err(Errno::EAGAIN) => return Ok(None),
                Err(Errno::EINTR | Errno::ENETDOWN) => continue,
                Err(error) => return Err(error.into()),
            };
            for message in got.cmsgs()? {
                if let ControlMessageOwned::RxqOvfl(overruns) = message {
                    self.overruns = overruns;
                }
            }
            let (len, from) = (got.bytes, got.address);
            if from.is_none_or(|from| from.pkttype() != PACKET_OUTGOING) {
                return Ok(Some(self.buffer[..len].to_vec()));
            }
        }
    }

    /// Sends a frame. `false`: the interface did not take it.
    pub(crate) fn send(&self, frame: &[u8]) -> bool {
        send(self.socket.as_raw_fd(), frame, MsgFlags::MSG_DONTWAIT).is_ok()
    }
}

impl AsFd for Interface {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Bytes of frames that wait while the bridge sleeps or is not run.
const BUFFER_BYTES: usize = 64 << 20;
/// More than the longest frame.
const FRAME_MAX: usize = 1 << 17;
/// `sll_pkttype` of what this machine sends (packet(7)).
const PACKET_OUTGOING: u8 = 4;
