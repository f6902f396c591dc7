//! A client that decides itself when which bytes leave.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};
use sim::Response;

use super::rig::{APPLIANCE, PORT};

/// How long a client waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection to the appliance.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// Connects to the appliance.
    pub(crate) fn connect() -> io::Result<Self> {
        TcpStream::connect_timeout(&SocketAddr::from((APPLIANCE, PORT)), PATIENCE).map(Self::of)
    }

    /// On a connection that is there.
    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket has TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("not zero");
        stream.set_write_timeout(Some(PATIENCE)).expect("not zero");
        Self { stream, received: Vec::new() }
    }

    /// Connects; the appliance must be there.
    #[track_caller]
    pub(crate) fn open() -> Self {
        Self::connect().unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    /// Sends `bytes`, at once.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends `bytes`, at once.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// No more is to be sent: FIN.
    #[track_caller]
    pub(crate) fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("no FIN: {error}"));
    }

    /// Waits for the next answer.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Response {
        self.try_answer(false).unwrap_or_else(|error| panic!("no answer: {error}"))
    }

    /// Waits for the next answer; `to_head` if HEAD was asked.
    pub(crate) fn try_answer(&mut self, to_head: bool) -> io::Result<Response> {
        loop {
            if let Some((answer, len)) = Response::read(&self.received, to_head) {
                self.received.drain(..len);
                return Ok(answer);
            }
            if self.read()? == 0 {
                let rest = String::from_utf8_lossy(&self.received).into_owned();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, rest));
            }
        }
    }

    /// Waits for the server's FIN; nothing may come before it.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let read = self.read().unwrap_or_else(|error| panic!("no FIN: {error}"));
        let rest = String::from_utf8_lossy(&self.received);
        assert!(read == 0 && rest.is_empty(), "more came than was asked for: {rest:?}");
    }

    /// Closes with RST.
    pub(crate) fn reset(self) {
        let at_once = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, Linger, &at_once).expect("a TCP socket has SO_LINGER");
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut room = [0; 1 << 16];
        let read = self.stream.read(&mut room)?;
        self.received.extend_from_slice(&room[..read]);
        Ok(read)
    }
}
