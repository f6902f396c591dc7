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
use std::time::Duration;

/// What becomes of the bytes that pass.
#[derive(Clone, Copy, Debug, Default)]
enum Mode {
    #[default]
    Forward,
    /// Bytes of either side wait.
    Hold,
    /// What the client says reaches the server; every `every`th of the server's pieces that are `wanted` ends its
    /// connection instead of passing.
    Lose { every: u64, wanted: fn(&[u8]) -> bool },
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
        Self::start_with(upstream, Shared::default())
    }

    /// A proxy before the PostgreSQL server that listens on `upstream`, to which requests to cancel do not get through.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    #[must_use]
    pub fn start_without_cancels(upstream: &Path) -> Self {
        Self::start_with(upstream, Shared { drops_cancels: true, ..Shared::default() })
    }

    /// A proxy before the PostgreSQL server that listens on `upstream`, to which requests to cancel get through this late.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[track_caller]
    #[must_use]
    pub fn start_with_late_cancels(upstream: &Path, late: Duration) -> Self {
        Self::start_with(upstream, Shared { cancels_late: late, ..Shared::default() })
    }

    #[track_caller]
    fn start_with(upstream: &Path, shared: Shared) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(shared);
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

    /// What goes into `DATABASE_URL` if a PostgreSQL server of the tests is behind it.
    #[must_use]
    pub fn url(&self) -> String {
        let (host, port) = (self.address.ip(), self.address.port());
        format!("host={host} port={port} user=postgres dbname=postgres")
    }

    /// Closes every connection with what is under way on it; new ones are accepted.
    pub fn cut(&self) {
        self.shared.lock().cut();
    }

    /// Closes the clients' ends of all connections. The server's stay open until it closes them, so that it does not
    /// notice.
    pub fn cut_clients(&self) {
        self.shared.lock().connections.values_mut().for_each(|open| {
            open.is_abandoned = true;
            // The client may have closed it before.
            open.client.shutdown(Shutdown::Both).ok();
        });
    }

    /// From now on bytes wait, of connections that come as well.
    pub fn hold(&self) {
        self.shared.set(Mode::Hold);
    }

    /// From now on every connection ends when the server says something on it: what the client asked for
    /// is done, and the client does not learn it.
    pub fn lose_replies(&self) {
        self.lose_every(1, |_| true);
    }

    /// The same for every `every`th piece of what the server says that is `wanted`; all others pass.
    pub fn lose_every(&self, every: u64, wanted: fn(&[u8]) -> bool) {
        self.shared.set(Mode::Lose { every, wanted });
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
    drops_cancels: bool,
    cancels_late: Duration,
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
    /// Pieces that were wanted, of those that are lost in turn.
    wanted: u64,
    lost: u64,
}

#[derive(Debug)]
struct Open {
    client: TcpStream,
    server: UnixStream,
    /// The client's end was closed, and the server is not to notice.
    is_abandoned: bool,
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

    /// One direction of a connection has ended: so does the other, unless the server is not to notice.
    fn end(&mut self, number: u64, replies: bool) {
        let Entry::Occupied(mut entry) = self.connections.entry(number) else { return };
        let open = entry.get_mut();
        if replies {
            open.close();
        } else if !open.is_abandoned {
            // The client may still read: one that asks to cancel waits for the server to close.
            open.server.shutdown(Shutdown::Write).ok();
        }
        open.ended += 1;
        if open.ended == 2 {
            entry.remove();
        }
    }

    /// Whether a piece of what the server says is to be lost.
    fn loses(&mut self, piece: &[u8]) -> bool {
        let Mode::Lose { every, wanted } = self.mode else { return false };
        let is_wanted = wanted(piece);
        self.wanted += u64::from(is_wanted);
        let is_lost = is_wanted && self.wanted.is_multiple_of(every);
        self.lost += u64::from(is_lost);
        is_lost
    }

    fn is_abandoned(&self, number: u64) -> bool {
        self.connections.get(&number).is_some_and(|open| open.is_abandoned)
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
        let open = Open { client, server, is_abandoned: false, ended: 0 };
        state.connections.insert(number, open);
        drop(state);
        Ok(ways.map(|(from, to, replies): (OwnedFd, OwnedFd, bool)| {
            let shared = Arc::clone(self);
            thread::spawn(move || {
                shared.pump(number, File::from(from), File::from(to), replies).ok();
                shared.lock().end(number, replies);
            })
        }))
    }

    /// Takes bytes of a connection from one side to the other until that way ends; `replies` if the server says them.
    fn pump(
        &self,
        number: u64,
        mut from: impl Read,
        mut to: impl Write,
        replies: bool,
    ) -> io::Result<()> {
        let mut room = [0; 1 << 16];
        loop {
            let read = from.read(&mut room)?;
            let piece = &room[..read];
            let is_cancel = piece.get(4..8) == Some(&CANCEL_REQUEST);
            if read == 0 || self.drops_cancels && !replies && is_cancel {
                return Ok(());
            }
            if is_cancel && !replies {
                thread::sleep(self.cancels_late);
            }
            let mut state = self.lock();
            while matches!(state.mode, Mode::Hold) {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            if replies && state.loses(piece) {
                return Ok(());
            }
            let reads_on = replies && state.is_abandoned(number);
            drop(state);
            if !reads_on {
                to.write_all(piece)?;
            }
        }
    }
}

/// Follows the length of a CancelRequest (PostgreSQL's manual, "Message Formats").
const CANCEL_REQUEST: [u8; 4] = 80_877_102_u32.to_be_bytes();

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    /// A server that sends back what it gets and tells the test of it.
    struct Echo {
        directory: tempfile::TempDir,
        heard: mpsc::Receiver<Vec<u8>>,
        /// Connections that have ended.
        ended: mpsc::Receiver<()>,
    }

    impl Echo {
        fn start() -> Self {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let listener = UnixListener::bind(directory.path().join("socket")).expect("a socket");
            let ((tell, heard), (tell_end, ended)) = (mpsc::channel(), mpsc::channel());
            thread::spawn(move || {
                for mut stream in listener.incoming().flatten() {
                    let (tell, tell_end) = (tell.clone(), tell_end.clone());
                    thread::spawn(move || {
                        let mut room = [0; 64];
                        while let Ok(read @ 1..) = stream.read(&mut room) {
                            if tell.send(room[..read].to_vec()).is_err()
                                || stream.write_all(&room[..read]).is_err()
                            {
                                break;
                            }
                        }
                        tell_end.send(()).ok();
                    });
                }
            });
            Self { directory, heard, ended }
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
    fn every_second_reply_of_a_kind_is_lost() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        proxy.lose_every(2, |piece| piece.starts_with(b"x"));
        let mut stream = connect(&proxy);
        for sent in [&b"x1"[..], b"one", b"two"] {
            stream.write_all(sent).expect("open");
            assert_eq!((echo.heard(), read(&mut stream)), (sent.to_vec(), sent.to_vec()));
        }
        stream.write_all(b"x2").expect("open");
        assert_eq!((echo.heard(), read(&mut stream)), (b"x2".to_vec(), Vec::new()));
        assert_eq!(proxy.counts(), (1, 1));
    }

    #[test]
    fn a_server_does_not_notice_that_its_client_was_cut_off() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let mut stream = connect(&proxy);
        stream.write_all(b"one").expect("open");
        assert_eq!((echo.heard(), read(&mut stream)), (b"one".to_vec(), b"one".to_vec()));
        proxy.cut_clients();
        assert_eq!(read(&mut stream), b"");
        let is_open = |proxy: &Proxy| !proxy.shared.lock().connections.is_empty();
        assert!(is_open(&proxy) && echo.ended.try_recv().is_err());
        proxy.cut();
        echo.ended.recv_timeout(Duration::from_secs(10)).expect("now it does");
    }

    #[test]
    fn requests_to_cancel_may_be_dropped() {
        let echo = Echo::start();
        let proxy = Proxy::start_without_cancels(&echo.directory.path().join("socket"));
        let mut stream = connect(&proxy);
        stream.write_all(&[&[0, 0, 0, 16][..], &CANCEL_REQUEST, &[0; 8]].concat()).expect("open");
        assert_eq!((read(&mut stream), echo.heard.try_recv().ok()), (Vec::new(), None));
    }

    #[test]
    fn requests_to_cancel_may_come_late() {
        let (echo, late) = (Echo::start(), Duration::from_millis(200));
        let proxy = Proxy::start_with_late_cancels(&echo.directory.path().join("socket"), late);
        let (mut stream, start) = (connect(&proxy), Instant::now());
        let request = [&[0, 0, 0, 16][..], &CANCEL_REQUEST, &[0; 8]].concat();
        stream.write_all(&request).expect("open");
        assert_eq!(echo.heard(), request);
        assert!(start.elapsed() >= late);
    }

    #[test]
    fn a_client_that_has_said_all_still_hears() {
        let echo = Echo::start();
        let proxy = echo.proxy();
        let mut stream = connect(&proxy);
        stream.write_all(b"one").expect("open");
        stream.shutdown(Shutdown::Write).expect("open");
        assert_eq!((read(&mut stream), read(&mut stream)), (b"one".to_vec(), Vec::new()));
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
