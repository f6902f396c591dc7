//! Clients that keep their connections, know which server each is with, and forgive nothing.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use testkit::{Client, TIMEOUT};

use super::net::{Net, SERVICE};

/// What the visitors have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Requests answered as they should be.
    pub(crate) answered: u64,
    /// Open connections, by server.
    pub(crate) open: BTreeMap<String, usize>,
    /// Connections that a server has closed, having said so in its last answer.
    pub(crate) closed: BTreeMap<String, usize>,
    /// Everything else that happened.
    pub(crate) failures: Vec<String>,
}

impl Census {
    /// Open connections to this server.
    pub(crate) fn open(&self, server: &str) -> usize {
        self.open.get(server).copied().unwrap_or(0)
    }

    /// Connections that this server has closed as it may.
    pub(crate) fn closed(&self, server: &str) -> usize {
        self.closed.get(server).copied().unwrap_or(0)
    }
}

/// A thread on the client with some connections, of which each asks again and again.
pub(crate) struct Visitors {
    census: Arc<Mutex<Census>>,
    wanted: Arc<AtomicUsize>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Visitors {
    /// So many on the client of `net`.
    pub(crate) fn start(net: &Net, connections: usize) -> Self {
        let census = Arc::<Mutex<Census>>::default();
        let wanted = Arc::new(AtomicUsize::new(connections));
        let ends = Arc::<AtomicBool>::default();
        let enter = net.client_namespace();
        let parts = (Arc::clone(&census), Arc::clone(&wanted), Arc::clone(&ends));
        let thread = thread::spawn(move || {
            enter();
            let (census, wanted, ends) = parts;
            let mut connections = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                round(&mut connections, wanted.load(Ordering::Relaxed), &census);
                thread::sleep(ROUND);
            }
        });
        Self { census, wanted, ends, thread: Some(thread) }
    }

    /// More connections besides.
    pub(crate) fn add(&self, connections: usize) {
        self.wanted.fetch_add(connections, Ordering::Relaxed);
    }

    /// What they have seen so far.
    pub(crate) fn census(&self) -> Census {
        self.census.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What they have seen once it is `good`; nothing may have failed until then.
    #[track_caller]
    pub(crate) fn when(&self, what: &str, good: impl Fn(&Census) -> bool) -> Census {
        let start = Instant::now();
        loop {
            let census = self.census();
            assert!(census.failures.is_empty(), "before {what}: {census:?}");
            if good(&census) {
                return census;
            }
            assert!(start.elapsed() < TIMEOUT, "never {what}: {census:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Visitors {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic of it is in `failures` of nobody: the test has ended by then.
            thread.join().ok();
        }
    }
}

/// A connection, and whose it is.
struct Visitor {
    client: Client,
    server: String,
}

/// A request on each connection, then new connections until there are as many as wanted.
fn round(visitors: &mut Vec<Visitor>, wanted: usize, census: &Mutex<Census>) {
    let note = |outcome: Result<(Visitor, bool), String>| {
        let mut census = census.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Err(failure) => {
                census.failures.push(failure);
                None
            }
            Ok((visitor, closes)) => {
                census.answered += 1;
                if closes {
                    *census.closed.entry(visitor.server).or_default() += 1;
                    return None;
                }
                Some(visitor)
            }
        }
    };
    let mut next: Vec<_> = visitors.drain(..).filter_map(|visitor| note(visit(visitor))).collect();
    for _ in next.len()..wanted {
        next.extend(note(arrive()));
    }
    *visitors = next;
    let mut open = BTreeMap::new();
    visitors.iter().for_each(|visitor| *open.entry(visitor.server.clone()).or_default() += 1);
    census.lock().unwrap_or_else(PoisonError::into_inner).open = open;
}

fn arrive() -> Result<(Visitor, bool), String> {
    let mut client =
        Client::connect((SERVICE, 80)).map_err(|error| format!("a new connection: {error}"))?;
    let (server, closes) = ask(&mut client).map_err(|error| format!("a first request: {error}"))?;
    Ok((Visitor { client, server }, closes))
}

fn visit(mut visitor: Visitor) -> Result<(Visitor, bool), String> {
    let was = visitor.server.clone();
    match ask(&mut visitor.client) {
        Ok((server, closes)) if server == was => Ok((visitor, closes)),
        Ok((server, _)) => Err(format!("a connection to {was} is with {server}")),
        Err(error) => Err(format!("a connection to {was}: {error}")),
    }
}

/// Asks who answers. What it says is longer than a packet.
fn ask(client: &mut Client) -> io::Result<(String, bool)> {
    client.try_send("GET /who HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let answer = client.try_response(false)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    match text.split_once(' ') {
        Some((server, rest)) if answer.status == 200 && rest.len() == FILLING => {
            Ok((server.to_owned(), answer.closes()))
        }
        _ => Err(io::Error::other(format!("answered {} {text:?}", answer.status))),
    }
}

/// Bytes that each answer has besides the name.
pub(crate) const FILLING: usize = 5_000;
/// Between two requests of a connection, at least.
const ROUND: Duration = Duration::from_millis(2);
