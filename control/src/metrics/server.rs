//! Takes connections and answers one request on each. Bounded in each: connections, size of a head, time.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::endpoints::Endpoints;

/// Serves on `listener` for ever. Connections beyond [`CONNECTIONS_MAX`] wait in the kernel's queue, each for
/// no longer than the ones before it may take.
pub(super) async fn serve(listener: TcpListener, endpoints: Endpoints) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        let permit = permit.expect("nobody closes the semaphore");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("metrics: a connection could not be accepted: {error}");
                sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let endpoints = endpoints.clone();
        tokio::spawn(async move {
            converse(stream, &endpoints, Timeouts::DEFAULT).await;
            drop(permit);
        });
    }
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    /// For its request head.
    head: Duration,
    /// For everything.
    connection: Duration,
}

impl Timeouts {
    const DEFAULT: Self =
        Self { head: Duration::from_secs(5), connection: Duration::from_secs(15) };
}

/// Answers one request, then closes: a scrape every few seconds has no use for a kept connection, and so no
/// client can hold one.
async fn converse(stream: TcpStream, endpoints: &Endpoints, timeouts: Timeouts) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let response = endpoints.respond(request.method(), request.uri().path()).await;
        Ok::<_, Infallible>(response)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .keep_alive(false)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service);
    match timeout(timeouts.connection, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("metrics: a client was lost: {error}"),
        Err(_) => tracing::debug!("metrics: a client took longer than {:?}", timeouts.connection),
    }
}

/// Connections at once.
pub(crate) const CONNECTIONS_MAX: usize = 32;
/// Bytes of a request head.
const HEAD_LEN_MAX: usize = 16 << 10;
/// After a connection that could not be accepted (no file descriptors, say).
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::super::readiness::Started;
    use super::*;
    use crate::stats::{Report, StatsHandle};

    fn endpoints() -> Endpoints {
        let started = Started::default();
        started.set();
        Endpoints { stats: StatsHandle::answering(|_| Ok(Report::default())), started }
    }

    /// A client of a listener that serves.
    async fn client(timeouts: Timeouts) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let client = TcpStream::connect(address).await.expect("listens");
        let (stream, _) = listener.accept().await.expect("is connected");
        let endpoints = endpoints();
        tokio::spawn(async move { converse(stream, &endpoints, timeouts).await });
        client
    }

    /// All that comes back for `bytes`, until the server closes.
    async fn exchange(bytes: &[u8], timeouts: Timeouts) -> String {
        let mut client = client(timeouts).await;
        client.write_all(bytes).await.expect("is taken");
        let mut response = Vec::new();
        // A reset is an end, too.
        let _ = client.read_to_end(&mut response).await;
        String::from_utf8_lossy(&response).into_owned()
    }

    #[tokio::test]
    async fn one_request_is_answered_then_the_connection_ends() {
        let get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        let response = exchange(get, Timeouts::DEFAULT).await;
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nok\n"), "{response}");
        let head = b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let response = exchange(head, Timeouts::DEFAULT).await;
        assert!(
            response.starts_with("HTTP/1.1 200 OK\r\n") && response.ends_with("\r\n\r\n"),
            "{response}"
        );
    }

    #[tokio::test]
    async fn garbage_is_refused() {
        let response =
            exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", Timeouts::DEFAULT).await;
        assert!(response.starts_with("HTTP/1.1 400 "), "{response:?}");
        let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(HEAD_LEN_MAX * 2));
        let response = exchange(long.as_bytes(), Timeouts::DEFAULT).await;
        assert!(!response.starts_with("HTTP/1.1 200"), "{response:?}");
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_or_half_is_let_go() {
        let short = Timeouts { head: Duration::from_millis(50), ..Timeouts::DEFAULT };
        for bytes in [&b""[..], b"GET /metrics HT"] {
            let began = Instant::now();
            let response = exchange(bytes, short).await;
            assert!(!response.contains(" 200 "), "{response:?}");
            assert!(began.elapsed() < Timeouts::DEFAULT.head, "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn clients_that_say_nothing_leave_room_for_one_that_asks() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("is bound");
        let server = tokio::spawn(serve(listener, endpoints()));
        let mut silent = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            silent.push(TcpStream::connect(address).await.expect("listens"));
        }
        let mut client = TcpStream::connect(address).await.expect("waits in the queue");
        client.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("is taken");
        let mut byte = [0];
        let early = timeout(Duration::from_millis(100), client.read(&mut byte)).await;
        assert!(early.is_err(), "no more than {CONNECTIONS_MAX} are served at once");
        silent.pop();
        let answered = timeout(Duration::from_secs(4), client.read(&mut byte)).await;
        assert_eq!(answered.expect("there is room now").expect("is answered"), 1);
        server.abort();
    }
}
