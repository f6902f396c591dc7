//! A service manager of the test's own: the socket that `NOTIFY_SOCKET` names, and all that arrives there.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::UnixCredentials;
use nix::sys::socket::sockopt::PassCred;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};

/// One datagram.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// When it was read.
    pub(crate) at: Instant,
    /// The process that sent it, as the kernel says.
    pub(crate) sender: u32,
    /// Its lines.
    pub(crate) lines: Vec<String>,
}

impl Message {
    /// Whether it has this line.
    pub(crate) fn says(&self, line: &str) -> bool {
        self.lines.iter().any(|said| said == line)
    }

    /// The value that it gives to `key`.
    pub(crate) fn value(&self, key: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    }
}

/// Reads at once whatever comes, as systemd does.
#[derive(Debug)]
pub(crate) struct Manager {
    messages: Arc<Mutex<Vec<Message>>>,
    over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Manager {
    /// At `socket`, which is bound already.
    pub(crate) fn listen(socket: UnixDatagram) -> Self {
        setsockopt(&socket, PassCred, &true).expect("a Unix socket has SO_PASSCRED");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("not zero");
        let (messages, over) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let reader = thread::spawn({
            let (messages, over) = (Arc::clone(&messages), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    let Some(message) = receive(&socket) else { continue };
                    messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
                }
            }
        });
        Self { messages, over, reader: Some(reader) }
    }

    /// All that came so far.
    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there were so far: where to begin with [`when`](Self::when).
    pub(crate) fn count(&self) -> usize {
        self.messages().len()
    }

    /// Feedings of the watchdog after the first `skipped` messages.
    pub(crate) fn feedings(&self, skipped: usize) -> usize {
        self.messages()[skipped..].iter().filter(|message| message.says("WATCHDOG=1")).count()
    }

    /// The first message after `skipped` that is `good`, with its place; panics when it takes too long.
    #[track_caller]
    pub(crate) fn when(
        &self,
        skipped: usize,
        what: &str,
        good: impl Fn(&Message) -> bool,
    ) -> (usize, Message) {
        let start = Instant::now();
        loop {
            let messages = self.messages();
            let found = messages.iter().enumerate().skip(skipped).find(|(_, m)| good(m));
            if let Some((place, message)) = found {
                return (place, message.clone());
            }
            assert!(start.elapsed() < ARRIVAL_MAX, "never told {what}: {messages:#?}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            reader.join().ok();
        }
    }
}

/// The next datagram, if one comes soon.
fn receive(socket: &UnixDatagram) -> Option<Message> {
    let mut room = [0; 4_096];
    let mut pieces = [IoSliceMut::new(&mut room)];
    let mut control = cmsg_space!(UnixCredentials);
    let flags = MsgFlags::empty();
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut pieces, Some(&mut control), flags);
    let (length, sender) = match received {
        Ok(received) => {
            let mut controls = received.cmsgs().expect("there is room for one");
            let sender = controls.find_map(|control| match control {
                ControlMessageOwned::ScmCredentials(sender) => Some(sender.pid()),
                _ => None,
            });
            (received.bytes, sender.expect("it was asked for"))
        }
        Err(Errno::EAGAIN | Errno::EINTR) => return None,
        Err(error) => panic!("the socket of the service manager: {error}"),
    };
    let text = std::str::from_utf8(&room[..length]).expect("UTF-8");
    assert!(text.ends_with('\n'), "every assignment is a line: {text:?}");
    let lines = text.lines().map(str::to_owned).collect();
    Some(Message { at: Instant::now(), sender: sender.unsigned_abs(), lines })
}

/// How long a message may take.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);
