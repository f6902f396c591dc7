//! A TCP proxy before a server on a Unix socket, which breaks connections in the ways that networks do.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

/// What becomes of the bytes that pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Forward,
    /// Bytes of either side wait.
    Hold,
    /// What the client says reaches the server; the first bytes that the server sends end the connection.
    LoseReplies,
}

/// A proxy on a port of 127.0.0.1, in the network namespace of the thread that started it.
///
/// Dropping it closes its port and all of its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// A proxy before the server that listens on `upstream`.
    ///
    /// # Panics
    /// If there is no port for it.
    #[track_caller]
    #[must_use]
    pub fn start(upstream: &Path) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let (shared, upstream) = (Arc::clone(&shared), upstream.to_owned());
            move || shared.accept(&listener, &upstream)
        });
        Self { address, shared, acceptor: Some(acceptor) }
    }

    /// Where clients find it.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes every connection with what is under way on it; new ones are accepted.
    pub fn cut(&self) {
        self.shared.lock().cut();
    }

    /// From now on bytes wait, of connections that come as well.
    pub fn hold(&self) {
        self.shared.set(Mode::Hold);
    }

    /// From now on every connection ends when the server says something on it: what the client asked for
    /// is done, and the client does not learn it.
    pub fn lose_replies(&self) {
        self.shared.set(Mode::LoseReplies);
    }

    /// From now on bytes pass, those that waited first.
    pub fn forward(&self) {
        self.shared.set(Mode::Forward);
    }

    /// Connections so far, and of them those whose replies were lost.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        let state = self.shared.lock();
        (state.accepted, state.lost)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.set(Mode::Forward);
        self.shared.lock().cut();
        // The acceptor looks at `ended` when the next connection comes: this one.
        TcpStream::connect(self.address).ok();
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    mode: Mode,
    ended: bool,
    /// By number, those of which one direction at least is open.
    connections: HashMap<u64, Open>,
    accepted: u64,
    lost: u64,
}

#[derive(Debug)]
struct Open {
    client: TcpStream,
    server: UnixStream,
    /// Directions that have ended.
    ended: u32,
}

impl Open {
    fn close(&self) {
        // Either side may have closed it before.
        self.client.shutdown(Shutdown::Both).ok();
        self.server.shutdown(Shutdown::Both).ok();
    }
}

impl State {
    fn cut(&mut self) {
        self.connections.values().for_each(Open::close);
    }

    /// One direction of a connection has ended: so does the other.
    fn end(&mut self, number: u64) {
        let Entry::Occupied(mut entry) = self.connections.entry(number) else { return };
        entry.get().close();
        entry.get_mut().ended += 1;
        if entry.get().ended == 2 {
            entry.remove();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, mode: Mode) {
        self.lock().mode = mode;
        self.changed.notify_all();
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener, upstream: &PathBuf) {
        let mut pumps = Vec::new();
        for client in listener.incoming() {
            if self.lock().ended {
                break;
            }
            // A server that is down: the client's connection is closed at once.
            if let Ok(pair) = client.and_then(|client| self.connect(client, upstream)) {
                pumps.extend(pair);
            }
        }
        for pump in pumps {
            pump.join().ok();
        }
    }

    fn connect(
        self: &Arc<Self>,
        client: TcpStream,
        upstream: &PathBuf,
    ) -> io::Result<[JoinHandle<()>; 2]> {
        client.set_nodelay(true)?;
        let server = UnixStream::connect(upstream)?;
        let ways = [
            (client.try_clone()?.into(), server.try_clone()?.into(), false),
            (server.try_clone()?.into(), client.try_clone()?.into(), true),
        ];
        let mut state = self.lock();
        state.accepted += 1;
        let number = state.accepted;
        state.connections.insert(number, Open { client, server, ended: 0 });
        drop(state);
        Ok(ways.map(|(from, to, replies): (OwnedFd, OwnedFd, bool)| {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                // However it ends, the connection does.
                shared.pump(File::from(from), File::from(to), replies).ok();
                shared.lock().end(number);
            })
        }))
    }

    /// Takes bytes from one side to the other until either ends; `replies` if the server says them.
    fn pump(&self, mut from: impl Read, mut to: impl Write, replies: bool) -> io::Result<()> {
        let mut room = [0; 1 << 16];
        loop {
            let read = from.read(&mut room)?;
            if read == 0 {
                return Ok(());
            }
            let mut state = self.lock();
            while state.mode == Mode::Hold {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if replies && state.mode == Mode::LoseReplies {
                state.lost += 1;
                return Ok(());
            }
            drop(state);
            to.write_all(&room[..read])?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    /// A server that sends back what it gets and tells the test of it.
    struct Echo {
        directory: tempfile::TempDir,
        heard: mpsc::Receiver<Vec<u8>>,
    }

    impl Echo {
        fn start() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
            let (tell, heard) = mpsc::channel();
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let tell = tell.clone();
                    thread::spawn(move || {
                        let mut room = [0; 64];
                        while let Ok(read @ 1..) = stream.read(&mut room) {
                            if tell.send(room[..read].to_vec()).is_err()
                                || stream.write_all(&room[..read]).is_err()
                            {
                                break;
                            }
                        }
                    });
                }
            });
            Self { directory, heard }
        }

        fn proxy(&self) -> Proxy {
            Proxy::start(&self.directory.path().join("socket"))
        }

        fn heard(&self) -> Vec<u8> {
            self.heard.recv_timeout(Duration::from_secs(10)).expect("the server gets it")
        }
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("not zero");
        stream
    }

    fn read(stream: &mut TcpStream) -> Vec<u8> {
        let mut room = [0; 64];
        let read = stream.read(&mut room).unwrap_or(0);
        room[..read].to_vec()
    }

    #[test]
    fn bytes_pass_both_ways() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let (mut one, mut two) = (connect(&proxy), connect(&proxy));
        one.write_all(b"one").expect("open");
        assert_eq!((echo.heard(), read(&mut one)), (b"one".to_vec(), b"one".to_vec()));
        two.write_all(b"two").expect("open");
        assert_eq!((echo.heard(), read(&mut two)), (b"two".to_vec(), b"two".to_vec()));
        assert_eq!(proxy.counts(), (2, 0));
    }

    #[test]
    fn a_cut_ends_connections_and_not_the_proxy() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let mut stream = connect(&proxy);
        stream.write_all(b"one").expect("open");
        assert_eq!((echo.heard(), read(&mut stream)), (b"one".to_vec(), b"one".to_vec()));
        proxy.cut();
        assert_eq!(read(&mut stream), b"");
        let mut stream = connect(&proxy);
        stream.write_all(b"two").expect("open");
        assert_eq!((echo.heard(), read(&mut stream)), (b"two".to_vec(), b"two".to_vec()));
    }

    #[test]
    fn a_lost_reply_was_given() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let mut stream = connect(&proxy);
        proxy.lose_replies();
        stream.write_all(b"one").expect("open");
        assert_eq!((echo.heard(), read(&mut stream)), (b"one".to_vec(), Vec::new()));
        assert_eq!(proxy.counts(), (1, 1));
    }

    #[test]
    fn held_bytes_come_later() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let mut stream = connect(&proxy);
        proxy.hold();
        stream.write_all(b"one").expect("open");
        assert_eq!(echo.heard.recv_timeout(Duration::from_millis(50)).ok(), None);
        proxy.forward();
        assert_eq!((echo.heard(), read(&mut stream)), (b"one".to_vec(), b"one".to_vec()));
    }

    #[test]
    fn a_server_that_is_down_takes_nothing() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let proxy = Proxy::start(&directory.path().join("nobody"));
        assert_eq!(read(&mut connect(&proxy)), b"");
    }
}
