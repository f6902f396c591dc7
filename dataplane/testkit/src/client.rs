//! An HTTP client that leaves to the test which bytes leave when, over anything that reads and writes.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use nix::libc::linger;
use nix::sys::socket::{setsockopt, sockopt::Linger};

use crate::response::Response;
use crate::rig::{APPLIANCE, PORT};

/// How long a client waits for anything.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// One connection to a server.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    stream: S,
    received: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    /// Over this stream.
    pub fn over(stream: S) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends `bytes`, at once.
    ///
    /// # Panics
    /// If the stream does not take them.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|error| panic!("cannot send: {error}"));
    }

    /// Sends `bytes`, at once.
    ///
    /// # Errors
    /// The stream's.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Waits for the next response.
    ///
    /// # Panics
    /// If none comes.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response(false).unwrap_or_else(|error| panic!("no response: {error}"))
    }

    /// Waits for the next response; `to_head` if the request was HEAD.
    ///
    /// # Errors
    /// The stream's; that it ended, with what had come of the response.
    #[track_caller]
    pub fn try_response(&mut self, to_head: bool) -> io::Result<Response> {
        loop {
            if let Some((response, len)) = Response::read(&self.received, to_head) {
                self.received.drain(..len);
                return Ok(response);
            }
            if self.read()? == 0 {
                let rest = String::from_utf8_lossy(&self.received).into_owned();
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, rest));
            }
        }
    }

    /// Waits for the server's FIN; nothing may come before it.
    ///
    /// # Panics
    /// If something comes, or no FIN does.
    #[track_caller]
    pub fn expect_end(&mut self) {
        let read = self.read().unwrap_or_else(|error| panic!("no FIN: {error}"));
        let rest = String::from_utf8_lossy(&self.received);
        assert!(read == 0 && rest.is_empty(), "more came than was asked for: {rest:?}");
    }

    fn read(&mut self) -> io::Result<usize> {
        let mut room = [0; 1 << 16];
        let read = self.stream.read(&mut room)?;
        self.received.extend_from_slice(&room[..read]);
        Ok(read)
    }
}

impl Client {
    /// Connects to the appliance of the rig in whose namespace the calling thread is.
    ///
    /// # Panics
    /// If it does not take the connection.
    #[track_caller]
    #[must_use]
    pub fn open() -> Self {
        Self::connect((APPLIANCE, PORT)).unwrap_or_else(|error| panic!("no connection: {error}"))
    }

    /// Connects to this address.
    ///
    /// # Errors
    /// The kernel's.
    pub fn connect(address: impl Into<SocketAddr>) -> io::Result<Self> {
        TcpStream::connect_timeout(&address.into(), TIMEOUT).map(Self::of)
    }

    /// On a connection that is there.
    ///
    /// # Panics
    /// If it is not a socket that takes options.
    #[must_use]
    pub fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a TCP socket has TCP_NODELAY");
        stream.set_read_timeout(Some(TIMEOUT)).expect("not zero");
        stream.set_write_timeout(Some(TIMEOUT)).expect("not zero");
        Self::over(stream)
    }

    /// No more is to be sent: FIN.
    ///
    /// # Panics
    /// If the connection is gone.
    #[track_caller]
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).unwrap_or_else(|error| panic!("no FIN: {error}"));
    }

    /// Closes with RST.
    ///
    /// # Panics
    /// If the socket does not take the option.
    pub fn reset(self) {
        let at_once = linger { l_onoff: 1, l_linger: 0 };
        setsockopt(&self.stream, Linger, &at_once).expect("a TCP socket has SO_LINGER");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives what was prepared, in pieces, and keeps what is written.
    struct Played {
        pieces: Vec<&'static [u8]>,
        written: Vec<u8>,
    }

    impl Read for Played {
        fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
            if self.pieces.is_empty() {
                return Ok(0);
            }
            self.pieces.remove(0).read(room)
        }
    }

    impl Write for Played {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.written.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn client(pieces: &[&'static [u8]]) -> Client<Played> {
        Client::over(Played { pieces: pieces.to_vec(), written: Vec::new() })
    }

    #[test]
    fn responses_come_in_any_pieces() {
        let mut client = client(&[
            b"HTTP/1.1 200 OK\r\nContent-Le",
            b"ngth: 3\r\n\r\na",
            b"bcHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        ]);
        client.send("GET");
        assert_eq!(client.stream.written, b"GET");
        assert_eq!(client.response().text(), "abc");
        assert_eq!(client.try_response(true).expect("a head").field("content-length"), Some("9"));
        assert_eq!(client.response().status, 204);
        client.expect_end();
    }

    #[test]
    fn an_end_before_the_response_is_an_error_that_shows_what_came() {
        let error = client(&[b"HTTP/1.1 200"]).try_response(false).expect_err("it is cut off");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(error.to_string(), "HTTP/1.1 200");
    }

    #[test]
    #[should_panic(expected = "more came than was asked for: \"x\"")]
    fn nothing_may_come_before_the_end() {
        client(&[b"x"]).expect_end();
    }
}
