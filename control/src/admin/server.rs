//! Takes clients, reads their lines, writes replies. Bounded in each: clients, length of a line, time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::commands::Desk;
use super::protocol::reply_line;
use super::socket::Socket;

/// Serves clients of `socket` until it is dropped.
pub(crate) async fn serve(socket: Socket, desk: Desk) {
    let places = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let stream = match socket.listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("admin: a client could not be taken: {error}");
                sleep(ACCEPT_AGAIN).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tokio::spawn(turn_away(stream));
            continue;
        };
        let desk = desk.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &desk, READ_PATIENCE).await {
                tracing::debug!("admin: a client was lost: {error}");
            }
            drop(place);
        });
    }
}

/// One client that found no place.
async fn turn_away(mut stream: UnixStream) {
    let busy = format!("{CLIENTS_MAX} clients are here already; try again later");
    // Whoever does not take the line sees the connection close.
    let _ = say(&mut stream, &reply_line(&Err(busy))).await;
}

/// Answers the lines of one client, in order, until it has no more.
async fn converse(mut stream: UnixStream, desk: &Desk, patience: Duration) -> io::Result<()> {
    let mut line = Vec::new();
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    loop {
        line.clear();
        let mut bounded = (&mut read).take(LINE_MAX + 1);
        let Ok(len) = timeout(patience, bounded.read_until(b'\n', &mut line)).await else {
            let late = format!("no whole line within {patience:?}");
            return say(&mut write, &reply_line(&Err(late))).await;
        };
        if len? == 0 {
            return Ok(());
        }
        if line.len() as u64 > LINE_MAX {
            let long = format!("a line has at most {LINE_MAX} octets");
            return say(&mut write, &reply_line(&Err(long))).await;
        }
        let outcome = desk.answer(&line).await;
        say(&mut write, &reply_line(&outcome)).await?;
    }
}

async fn say(to: &mut (impl AsyncWriteExt + Unpin), line: &str) -> io::Result<()> {
    timeout(WRITE_PATIENCE, to.write_all(line.as_bytes())).await?
}

const CLIENTS_MAX: usize = 16;
/// Octets of one request, with the end of its line.
const LINE_MAX: u64 = 64 << 10;
/// A client may think this long.
const READ_PATIENCE: Duration = Duration::from_secs(30);
/// A client may take this long to read a reply.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// After a client that could not be taken (no file descriptors, say).
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::reload::{ReloadDesk, Reloaded};

    /// A client of a server whose reloads all succeed.
    fn client(patience: Duration) -> UnixStream {
        let (client, server) = UnixStream::pair().expect("a pair of sockets");
        let desk = Desk { reload: ReloadDesk::rehearse(|| Ok(Reloaded::default())) };
        tokio::spawn(async move { converse(server, &desk, patience).await });
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
        let mut client = client(READ_PATIENCE);
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
        let mut client = client(READ_PATIENCE);
        let long = vec![b' '; usize::try_from(LINE_MAX).expect("fits") + 1];
        client.write_all(&long).await.expect("is taken");
        let replies = replies(client).await;
        assert_eq!(replies.len(), 1);
        assert_eq!(replies[0]["error"], "a line has at most 65536 octets");
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_is_let_go() {
        let mut client = client(Duration::from_millis(20));
        client.write_all(b"{\"v\":1").await.expect("is taken");
        let replies = replies(client).await;
        assert_eq!(replies[0]["error"], "no whole line within 20ms");
    }

    #[tokio::test]
    async fn one_client_too_many_is_told_so() {
        let (client, server) = UnixStream::pair().expect("a pair of sockets");
        turn_away(server).await;
        let replies = replies(client).await;
        assert_eq!(replies[0]["error"], "16 clients are here already; try again later");
    }
}
