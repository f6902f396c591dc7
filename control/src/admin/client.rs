//! The other side of the admin socket: a client that sends requests to a running server.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::protocol::{Request, VERSION, parse_reply};

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody is there.
    #[error(
        "{}: no server listens there; is it running, and under this name? Its log names its socket, \
         `--name NAME` and `--directory DIR` choose another",
        path.display()
    )]
    Nobody { path: PathBuf },
    /// The socket does not let us, or the server went away.
    #[error("{}: {cause}; {fix}", path.display())]
    Lost { path: PathBuf, cause: io::Error, fix: &'static str },
    /// The server speaks otherwise.
    #[error(
        "{}: the reply is not of version {VERSION}: {line}; use the pollux that this server was \
         started from", path.display()
    )]
    Foreign { path: PathBuf, line: String },
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// A connection to a server. Requests are answered one after the other.
#[derive(Debug)]
pub(crate) struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

/// Sends one request to whoever listens on `path`, and waits for the reply for at most `timeout`.
///
/// # Errors
/// Nobody listens, or the server refuses.
pub(crate) fn request<T: DeserializeOwned>(
    path: &Path,
    request: &Request,
    timeout: Duration,
) -> Result<T, ClientError> {
    Client::connect(path, timeout)?.request(request)
}

impl Client {
    /// Connects to whoever listens on `path`; each request has `timeout`.
    ///
    /// # Errors
    /// Nobody listens, or may not be spoken to.
    pub(crate) fn connect(path: &Path, timeout: Duration) -> Result<Self, ClientError> {
        let stream = UnixStream::connect(path).map_err(|cause| match cause.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => {
                ClientError::Nobody { path: path.into() }
            }
            _ => lost(path, cause),
        })?;
        stream.set_read_timeout(Some(timeout)).map_err(|cause| lost(path, cause))?;
        stream.set_write_timeout(Some(timeout)).map_err(|cause| lost(path, cause))?;
        Ok(Self { path: path.into(), stream: BufReader::new(stream) })
    }

    /// Sends a request and reads the result.
    ///
    /// # Errors
    /// The server refuses, went away, or sends something else.
    pub(crate) fn request<T: DeserializeOwned>(
        &mut self,
        request: &Request,
    ) -> Result<T, ClientError> {
        let Self { path, stream } = self;
        let lost = |cause| lost(path, cause);
        stream.get_mut().write_all(request.line().as_bytes()).map_err(lost)?;
        let mut line = String::new();
        stream.take(REPLY_MAX).read_line(&mut line).map_err(lost)?;
        if line.is_empty() {
            return Err(lost(ErrorKind::UnexpectedEof.into()));
        }
        let foreign = || ClientError::Foreign { path: path.clone(), line: line.trim_end().into() };
        match parse_reply(&line) {
            Some(Ok(result)) => serde_json::from_value::<T>(result).map_err(|_| foreign()),
            Some(Err(error)) => Err(ClientError::Refused(error)),
            None => Err(foreign()),
        }
    }
}

fn lost(path: &Path, cause: io::Error) -> ClientError {
    let fix = match cause.kind() {
        ErrorKind::PermissionDenied => "run as root, or as the socket's group",
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "the server's log says what it does",
        _ => "has the server ended? Its log says why",
    };
    ClientError::Lost { path: path.into(), cause, fix }
}

/// Bytes of a reply.
const REPLY_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use serde_json::Value;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    fn ask(path: &Path) -> Result<Value, ClientError> {
        request(path, &Request::new("reload"), TIMEOUT)
    }

    /// What comes of asking a server that answers everything with `reply`.
    fn ask_for(reply: &'static str) -> Result<Value, ClientError> {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("a.sock");
        let listener = UnixListener::bind(&path).expect("binds");
        let server = thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a client");
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).expect("a line");
            (&stream).write_all(reply.as_bytes()).expect("is taken");
            line
        });
        let outcome = ask(&path);
        assert_eq!(server.join().expect("no panic"), Request::new("reload").line());
        outcome
    }

    #[test]
    fn a_reply_is_result_or_refusal() {
        let result = ask_for("{\"v\":1,\"ok\":true,\"result\":{\"ms\":3}}\n").expect("is good");
        assert_eq!(result["ms"], 3);
        let error = ask_for("{\"v\":1,\"ok\":false,\"error\":\"no\"}\n").expect_err("is bad");
        assert_eq!(error.to_string(), "no");
    }

    #[test]
    fn what_is_no_reply_is_shown() {
        let error = ask_for("HTTP/1.1 400 Bad Request\r\n").expect_err("is foreign").to_string();
        assert!(error.contains("not of version 1: HTTP/1.1 400 Bad Request;"), "{error}");
        let error = ask_for("").expect_err("nothing came").to_string();
        assert!(error.contains("has the server ended?"), "{error}");
    }

    #[test]
    fn nobody_is_told_from_somebody() {
        let place = tempfile::tempdir().expect("temporary directory");
        let path = place.path().join("a.sock");
        for round in 0..2 {
            let error = ask(&path).expect_err("nobody").to_string();
            assert!(error.contains("no server listens there"), "round {round}: {error}");
            assert!(error.contains("--name NAME"), "round {round}: {error}");
            if round == 0 {
                drop(UnixListener::bind(&path).expect("a socket left by a dead process"));
            }
        }
    }
}
