//! rtnetlink (rtnetlink(7)): requests over a socket of its own, in the namespace of the calling thread.

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

/// A socket to the kernel's network configuration.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens one in the namespace of this thread.
    ///
    /// # Errors
    /// Those of the system calls.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// All objects of the kind that `request` asks for.
    ///
    /// # Errors
    /// The kernel refuses, or the objects change without end while they are read.
    pub(crate) fn dump(
        &mut self,
        request: &RouteNetlinkMessage,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        for _ in 0..DUMP_TRIES_MAX {
            self.send(request, NLM_F_REQUEST | NLM_F_DUMP)?;
            if let Some(objects) = self.receive_all()? {
                return Ok(objects);
            }
        }
        Err(io::Error::other("the network configuration changes all the time"))
    }

    /// The one object that `request` asks for.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn get(
        &mut self,
        request: &RouteNetlinkMessage,
    ) -> io::Result<Option<RouteNetlinkMessage>> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK)?;
        Ok(self.receive_all()?.unwrap_or_default().into_iter().next())
    }

    /// Carries out `request`, with more NLM_F_* flags if they are needed.
    ///
    /// # Errors
    /// The kernel refuses.
    pub(crate) fn change(&mut self, request: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.send(request, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        self.receive_all().map(|_| ())
    }

    fn send(&mut self, request: &RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = flags;
        header.sequence_number = self.sequence;
        let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request.clone()));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        self.socket.send(&bytes, 0).map(|_| ())
    }

    /// What comes until the kernel says that this was all; `None` if the objects changed meanwhile.
    fn receive_all(&mut self) -> io::Result<Option<Vec<RouteNetlinkMessage>>> {
        let mut objects = Vec::new();
        let mut consistent = true;
        loop {
            let (bytes, _) = self.socket.recv_from_full()?;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let message =
                    NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).map_err(|error| {
                        io::Error::new(io::ErrorKind::InvalidData, error.to_string())
                    })?;
                let aligned = (message.header.length as usize).next_multiple_of(ALIGNMENT);
                rest = rest.get(aligned..).unwrap_or_default();
                if message.header.sequence_number != self.sequence {
                    continue;
                }
                consistent &= message.header.flags & DUMP_INTERRUPTED == 0;
                match message.payload {
                    NetlinkPayload::Done(_) => return Ok(consistent.then_some(objects)),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) => return Ok(Some(objects)),
                    NetlinkPayload::InnerMessage(object) => objects.push(object),
                    _ => {}
                }
            }
        }
    }
}

/// Messages in one datagram begin at multiples of this (NLMSG_ALIGNTO).
const ALIGNMENT: usize = 4;
/// NLM_F_DUMP_INTR: the objects changed while they were read.
const DUMP_INTERRUPTED: u16 = 0x10;
/// How often a dump is tried that changes meanwhile.
const DUMP_TRIES_MAX: usize = 20;
