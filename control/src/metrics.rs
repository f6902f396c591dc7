//! The metrics listener: `/metrics` in the OpenMetrics text format, `/healthz` and `/readyz`, over HTTP on a
//! kernel socket of the control plane (`metrics.listen`).
//!
//! Everything it says comes from a [`Report`](crate::stats::Report), taken when somebody asks. While nobody
//! does it costs nothing, and at no time does a worker notice. It is bound from the start until the process
//! ends, so that `/readyz` can say `starting` and `draining`.

mod buckets;
#[cfg(test)]
mod dashboard;
mod encode;
mod endpoints;
mod families;
mod family;
mod help;
mod names;
mod process;
mod readiness;
mod server;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::config::Key;
use crate::stats::StatsHandle;
use endpoints::Endpoints;

pub(crate) use readiness::Started;
pub(crate) use server::CONNECTIONS_MAX;

/// Listens on `listen`, if there is an address, until the runtime ends. Readiness is `starting` until the
/// value returned is set otherwise. An address that cannot be bound is a warning: the server serves without.
pub(crate) async fn start(listen: Option<SocketAddr>, stats: StatsHandle) -> Started {
    let started = Started::default();
    let Some(address) = listen else { return started };
    match TcpListener::bind(address).await {
        Ok(listener) => {
            tracing::info!("metrics are at http://{address}/metrics");
            let endpoints = Endpoints { stats, started: started.clone() };
            tokio::spawn(server::serve(listener, endpoints));
        }
        Err(error) => {
            let key = Key::MetricsListen.path();
            tracing::warn!(
                "{key} = \"{address}\" cannot be bound: {error}; serving without metrics. Write another \
                 address and port, or \"\" for none"
            );
        }
    }
    started
}
