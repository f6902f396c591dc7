//! How the rest of the process asks for a report: the supervisor takes it, since it owns the ports.

use tokio::sync::{mpsc, oneshot};

use super::report::Report;

/// Why there is no report.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StatsError {
    /// No worker runs there.
    #[error("no worker runs on core {core}; workers run on {workers}")]
    NoSuchCore { core: usize, workers: String },
    /// The supervisor has ended.
    #[error("the server is stopping and takes no more statistics")]
    Stopping,
}

/// Where reports are asked for. Clones ask in the same place.
#[derive(Clone, Debug)]
pub(crate) struct StatsHandle(mpsc::Sender<StatsQuery>);

/// Somebody wants a report.
#[derive(Debug)]
pub(crate) struct StatsQuery {
    /// Of this core only.
    pub(crate) core: Option<usize>,
    reply: oneshot::Sender<Result<Report, StatsError>>,
}

impl StatsHandle {
    /// A handle, and where its queries arrive.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<StatsQuery>) {
        let (sender, queries) = mpsc::channel(QUERIES_MAX);
        (Self(sender), queries)
    }

    /// A report of all cores, or of one.
    ///
    /// # Errors
    /// No worker runs on that core, or the server is stopping.
    pub(crate) async fn report(&self, core: Option<usize>) -> Result<Report, StatsError> {
        let (reply, report) = oneshot::channel();
        self.0.send(StatsQuery { core, reply }).await.map_err(|_| StatsError::Stopping)?;
        report.await.unwrap_or(Err(StatsError::Stopping))
    }

    /// A handle whose reports are all `report`.
    #[cfg(test)]
    pub(crate) fn answering(report: fn(Option<usize>) -> Result<Report, StatsError>) -> Self {
        let (handle, mut queries) = Self::channel();
        tokio::spawn(async move {
            while let Some(query) = queries.recv().await {
                let outcome = report(query.core);
                query.complete(outcome);
            }
        });
        handle
    }
}

impl StatsQuery {
    /// Answers whoever still waits.
    pub(crate) fn complete(self, outcome: Result<Report, StatsError>) {
        // Who has gone away needs no report.
        let _ = self.reply.send(outcome);
    }
}

/// Queries that may wait for the supervisor; more wait for their turn.
const QUERIES_MAX: usize = 64;
