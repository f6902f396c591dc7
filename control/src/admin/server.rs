//! Takes clients, reads their lines, writes replies. Bounded in each: clients, length of a line, time.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use super::clients::{Clients, Place};
use super::commands::CommandHandler;
use super::protocol::reply_line;
use super::socket::Socket;
use crate::reload::WAITING_MAX;

/// Serves clients of `socket` until it is dropped.
pub(crate) async fn serve(socket: Socket, handler: CommandHandler) {
    let clients = Clients::new(CLIENTS_MAX);
    loop {
        match socket.listener.accept().await {
            Ok((stream, _)) => {
                let place = clients.admit().await;
                start(&clients, place, stream, handler.clone(), READ_TIMEOUTS);
            }
            Err(error) => {
                tracing::warn!("admin: a client could not be accepted: {error}");
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// How long a client may take to send a line.
#[derive(Clone, Copy, Debug)]
struct ReadTimeouts {
    /// The first one, from the connection on.
    first: Duration,
    /// Each other one, from the reply before it on.
    later: Duration,
}

/// Serves one client on a task of its own.
fn start(
    clients: &Clients,
    place: Place,
    stream: UnixStream,
    handler: CommandHandler,
    timeouts: ReadTimeouts,
) {
    let id = place.id();
    let task = tokio::spawn(async move {
        if let Err(error) = converse(stream, &handler, &place, timeouts).await {
            tracing::debug!("admin: a client was lost: {error}");
        }
    });
    clients.set_task(id, task.abort_handle());
}

/// Answers the lines of one client, in order, until it has no more.
async fn converse(
    mut stream: UnixStream,
    handler: &CommandHandler,
    place: &Place,
    timeouts: ReadTimeouts,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut read_timeout = timeouts.first;
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        line.clear();
        let mut bounded = (&mut read).take(LINE_MAX + 1);
        let Ok(len) = timeout(read_timeout, bounded.read_until(b'\n', &mut line)).await else {
            let late = format!("no whole line within {read_timeout:?}");
            return send(&mut write, &reply_line(&Err(late))).await;
        };
        if len? == 0 {
            return Ok(());
        }
        if line.len() as u64 > LINE_MAX {
            let long = format!("a line has at most {LINE_MAX} bytes");
            return send(&mut write, &reply_line(&Err(long))).await;
        }
        place.set_busy();
        let outcome = handler.execute(&line).await;
        place.set_idle();
        send(&mut write, &reply_line(&outcome)).await?;
        place.set_idle();
        read_timeout = timeouts.later;
    }
}

async fn send(to: &mut (impl AsyncWriteExt + Unpin), line: &str) -> io::Result<()> {
    timeout(WRITE_TIMEOUT, to.write_all(line.as_bytes())).await?
}

/// Clients at once.
pub(crate) const CLIENTS_MAX: usize = 128;
const _: () =
    assert!(WAITING_MAX < CLIENTS_MAX, "beside those that wait for a reload, others find a place");
/// Bytes of one request, with the end of its line.
const LINE_MAX: u64 = 64 << 10;
/// Whoever connects has something to say; whoever said something may have more.
const READ_TIMEOUTS: ReadTimeouts =
    ReadTimeouts { first: Duration::from_secs(1), later: Duration::from_secs(30) };
/// A client may take this long to read a reply.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a client that could not be accepted (no file descriptors, say).
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::Value;

    use super::*;

    const RELOAD: &[u8] = b"{\"v\":1,\"command\":\"reload\"}\n";

    /// A client of a server whose reloads all succeed.
    async fn client(timeouts: ReadTimeouts) -> UnixStream {
        client_of(&Clients::new(1), timeouts).await
    }

    async fn client_of(clients: &Clients, timeouts: ReadTimeouts) -> UnixStream {
        let (client, server) = UnixStream::pair().expect("a pair of sockets");
        let place = clients.admit().await;
        start(clients, place, server, CommandHandler::for_tests(), timeouts);
        client
    }

    /// All that comes until the server closes, as JSON.
    async fn replies(mut client: UnixStream) -> Vec<Value> {
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("UTF-8");
        text.lines().map(|line| serde_json::from_str(line).expect("is JSON")).collect()
    }

    #[tokio::test]
    async fn lines_are_answered_in_order_until_there_are_no_more() {
        let mut client = client(READ_TIMEOUTS).await;
        // The last line is without its end.
        let lines = b"{\"v\":1,\"command\":\"reload\"}\n\n{\"v\":1,\"command\":\"reload\"}";
        client.write_all(lines).await.expect("is taken");
        client.shutdown().await.expect("is open");
        let replies = replies(client).await;
        let oks: Vec<_> = replies.iter().map(|reply| reply["ok"].as_bool()).collect();
        assert_eq!(oks, [Some(true), Some(false), Some(true)]);
    }

    #[tokio::test]
    async fn a_line_has_an_end() {
        let mut client = client(READ_TIMEOUTS).await;
        let long = vec![b' '; usize::try_from(LINE_MAX).expect("fits") + 1];
        client.write_all(&long).await.expect("is taken");
        let replies = replies(client).await;
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0]["error"], "a line has at most 65536 bytes");
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_let_go() {
        let timeouts = ReadTimeouts { first: Duration::from_millis(20), ..READ_TIMEOUTS };
        let mut client = client(timeouts).await;
        client.write_all(b"{\"v\":1").await.expect("is taken");
        let replies = replies(client).await;
        assert_eq!(replies[0]["error"], "no whole line within 20ms");
    }

    #[tokio::test]
    async fn a_client_that_never_says_anything_is_let_go_within_a_second() {
        let start = Instant::now();
        let replies = replies(client(READ_TIMEOUTS).await).await;
        assert_eq!(replies[0]["error"], "no whole line within 1s");
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn a_client_that_was_answered_may_take_longer_for_its_next_line() {
        let timeouts = ReadTimeouts { first: Duration::from_millis(500), ..READ_TIMEOUTS };
        let mut client = client(timeouts).await;
        client.write_all(RELOAD).await.expect("is taken");
        sleep(Duration::from_millis(1_000)).await;
        client.write_all(RELOAD).await.expect("is taken");
        client.shutdown().await.expect("is open");
        assert_eq!(replies(client).await.len(), 2);
    }

    #[tokio::test]
    async fn silent_clients_keep_nobody_out() {
        let clients = Clients::new(4);
        let mut silent = Vec::new();
        for _ in 0..4 {
            silent.push(client_of(&clients, READ_TIMEOUTS).await);
        }
        let start = Instant::now();
        let mut client = client_of(&clients, READ_TIMEOUTS).await;
        client.write_all(RELOAD).await.expect("is taken");
        client.shutdown().await.expect("is open");
        assert_eq!(replies(client).await[0]["ok"], true);
        assert!(start.elapsed() < Duration::from_secs(10), "long before the silent ones are late");
        let oldest = silent.remove(0);
        assert!(replies(oldest).await.is_empty(), "the longest idle was closed");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_frees_its_place() {
        let clients = Clients::new(2);
        for _ in 0..20 {
            let mut client = client_of(&clients, READ_TIMEOUTS).await;
            client.write_all(RELOAD).await.expect("is taken");
            drop(client);
        }
        let start = Instant::now();
        while clients.len() > 0 {
            assert!(start.elapsed() < Duration::from_secs(10), "{clients:?}");
            sleep(Duration::from_millis(1)).await;
        }
    }
}
