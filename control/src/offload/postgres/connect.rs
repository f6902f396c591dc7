//! Connecting to the server over a [`StatementStream`], which tokio-postgres does not make by itself: hosts, ports
//! and socket options of a [`Config`] mean what they mean to it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use tokio_postgres::config::{Host, LoadBalanceHosts, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{CancelToken, Client, Config, Connection, Error, NoTls, SimpleQueryMessage};

use super::error_class::spell;
use super::statement_names::Naming;
use super::statement_stream::StatementStream;

/// A connection that was just made.
pub(super) struct Connected {
    /// What asks on it.
    pub(super) client: Client,
    /// What moves its bytes.
    pub(super) driver: Driver,
    /// Where it leads.
    pub(super) address: Address,
    /// The server's process is not the one that let us in: a connection pooler is in between.
    pub(super) is_pooled: bool,
}

/// Moves the bytes of a connection until it ends.
pub(super) type Driver = Connection<StatementStream<Box<dyn Socket>>, NoTlsStream>;

/// Where a server listens.
#[derive(Clone, Debug)]
pub(super) enum Address {
    /// Over TCP.
    Tcp(SocketAddr),
    /// On this machine.
    Unix(PathBuf),
}

/// Bytes to and from a server.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl Socket for TcpStream {}
impl Socket for UnixStream {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The hosts of the configuration do not fit together.
    #[error("invalid configuration: {0}")]
    Config(&'static str),
    /// Nobody listens there.
    #[error("error connecting to server: {0}")]
    Io(#[from] io::Error),
    /// The server does not let us in.
    #[error("{}", spell(.0))]
    Server(#[from] Error),
    /// It is not what `target_session_attrs` asks for.
    #[error("{0}")]
    Role(&'static str),
}

impl ConnectError {
    /// Whether the server has as many connections as it takes.
    pub(super) fn has_no_room(&self) -> bool {
        matches!(self, Self::Server(error) if error.code() == Some(&SqlState::TOO_MANY_CONNECTIONS))
    }
}

/// Connects to the first host of `server` that lets us in.
///
/// # Errors
/// What the last one said.
pub(super) async fn connect(server: &Config, naming: &Naming) -> Result<Connected, ConnectError> {
    let mut last = ConnectError::Config("both host and hostaddr are missing");
    for (host, port) in hosts(server)? {
        match addresses(server, host, port).await {
            Ok(addresses) => {
                for address in addresses {
                    match connect_once(server, address, naming).await {
                        Ok(connected) => return Ok(connected),
                        Err(error) => last = error,
                    }
                }
            }
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}

/// Asks the server to stop what the connection of `token` runs, and waits until it has: what is sent on that connection
/// from then on is not hit.
///
/// # Errors
/// It cannot be reached.
pub(super) async fn cancel(
    token: &CancelToken,
    server: &Config,
    address: &Address,
) -> Result<(), ConnectError> {
    let mut socket = open(server, address).await?;
    token.cancel_query_raw(&mut socket, NoTls).await?;
    // It says nothing, and closes once the signal is sent (PostgreSQL's manual, "Canceling Requests in Progress").
    while socket.read(&mut [0; 16]).await? > 0 {}
    Ok(())
}

/// Every host with its port, in the order in which they are tried.
fn hosts(server: &Config) -> Result<Vec<(Host, u16)>, ConnectError> {
    let (names, addresses, ports) =
        (server.get_hosts(), server.get_hostaddrs(), server.get_ports());
    let count = names.len().max(addresses.len());
    if !names.is_empty() && !addresses.is_empty() && names.len() != addresses.len() {
        return Err(ConnectError::Config("there are not as many hosts as hostaddrs"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(ConnectError::Config("there are not as many ports as hosts"));
    }
    let host = |at: usize| {
        let host = addresses.get(at).map(|address| Host::Tcp(address.to_string()));
        let port = ports.get(at).or_else(|| ports.first()).copied().unwrap_or(PORT);
        (host.unwrap_or_else(|| names[at].clone()), port)
    };
    let mut hosts: Vec<_> = (0..count).map(host).collect();
    if server.get_load_balance_hosts() == LoadBalanceHosts::Random {
        fastrand::shuffle(&mut hosts);
    }
    Ok(hosts)
}

async fn addresses(server: &Config, host: Host, port: u16) -> io::Result<Vec<Address>> {
    match host {
        Host::Unix(directory) => {
            Ok(vec![Address::Unix(directory.join(format!(".s.PGSQL.{port}")))])
        }
        Host::Tcp(name) => {
            let mut found: Vec<_> = lookup_host((&*name, port)).await?.map(Address::Tcp).collect();
            if server.get_load_balance_hosts() == LoadBalanceHosts::Random {
                fastrand::shuffle(&mut found);
            }
            if found.is_empty() {
                return Err(io::Error::other("the host has no address"));
            }
            Ok(found)
        }
    }
}

async fn connect_once(
    server: &Config,
    address: Address,
    naming: &Naming,
) -> Result<Connected, ConnectError> {
    let process = Arc::<OnceLock<i32>>::default();
    let stream = StatementStream::new(open(server, &address).await?, naming.clone(), &process);
    let (client, mut driver) = server.connect_raw(stream, NoTls).await?;
    let served_by = query_value(&client, &mut driver, "SELECT pg_backend_pid()").await?;
    let is_pooled = process.get().map(i32::to_string) != Some(served_by);
    let wanted = server.get_target_session_attrs();
    if wanted != TargetSessionAttrs::Any {
        let is_read_only =
            query_value(&client, &mut driver, "SHOW transaction_read_only").await? == "on";
        match wanted {
            TargetSessionAttrs::ReadWrite if is_read_only => {
                return Err(ConnectError::Role("database does not allow writes"));
            }
            TargetSessionAttrs::ReadOnly if !is_read_only => {
                return Err(ConnectError::Role("database is not read only"));
            }
            _ => {}
        }
    }
    Ok(Connected { client, driver, address, is_pooled })
}

/// What `sql` says, one value.
async fn query_value(
    client: &Client,
    driver: &mut Driver,
    sql: &str,
) -> Result<String, ConnectError> {
    let messages = tokio::select! {
        messages = client.simple_query(sql) => messages?,
        ended = driver => {
            ended?;
            return Err(ConnectError::Role("the server has closed the connection"));
        }
    };
    let value = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(value.unwrap_or_default().to_owned())
}

async fn open(server: &Config, address: &Address) -> io::Result<Box<dyn Socket>> {
    let opening = async {
        Ok::<Box<dyn Socket>, io::Error>(match address {
            Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Address::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                set_options(&stream, server)?;
                Box::new(stream)
            }
        })
    };
    match server.get_connect_timeout() {
        Some(&limit) => timeout(limit, opening).await.unwrap_or_else(|_| {
            Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out"))
        }),
        None => opening.await,
    }
}

fn set_options(stream: &TcpStream, server: &Config) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(limit) = server.get_tcp_user_timeout() {
        let limit = u32::try_from(limit.as_millis()).unwrap_or(u32::MAX);
        setsockopt(stream, sockopt::TcpUserTimeout, &limit)?;
    }
    if server.get_keepalives() {
        setsockopt(stream, sockopt::KeepAlive, &true)?;
        setsockopt(stream, sockopt::TcpKeepIdle, &seconds(server.get_keepalives_idle()))?;
        if let Some(interval) = server.get_keepalives_interval() {
            setsockopt(stream, sockopt::TcpKeepInterval, &seconds(interval))?;
        }
        if let Some(retries) = server.get_keepalives_retries() {
            setsockopt(stream, sockopt::TcpKeepCount, &retries)?;
        }
    }
    Ok(())
}

fn seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

/// Where none is named.
const PORT: u16 = 5432;
