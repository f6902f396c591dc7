//! The state of a running server, and the requests that change it.
//!
//! The supervisor owns the state and answers requests one after the other; a [`Lifecycle`] is a handle
//! that sends them. Nothing else knows whether the server drains.

use serde::{Deserialize, Serialize};
use strum::VariantArray as _;
use tokio::sync::{mpsc, oneshot};

/// What a server does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub(crate) enum State {
    /// Accepts connections.
    #[default]
    Serving,
    /// Accepts none, or none once `deadlines.withdraw` is over, and finishes those that are open.
    Draining,
    /// Accepts none, and none is open.
    Drained,
    /// Finishes what is open, then exits.
    Stopping,
}

impl State {
    /// All of them, in their order.
    pub(crate) const ALL: &[Self] = Self::VARIANTS;

    /// The word for it, as in JSON.
    pub(crate) fn name(self) -> &'static str {
        self.into()
    }
}

/// The state at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// What the server does.
    pub(crate) state: State,
    /// Since when, in seconds since 1970-01-01T00:00:00Z.
    pub(crate) since: u64,
    /// Open connections.
    pub(crate) connections: u64,
}

/// What may be asked of the supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing but the status.
    Report,
    /// Accept no more connections, and close those that are open as soon as their requests are answered.
    Drain,
    /// Accept connections again.
    Resume,
    /// Drain, then exit.
    Stop,
}

/// Why the state was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LifecycleError {
    /// The server ends.
    #[error("the server is stopping")]
    Stopping,
    /// Workers that do not look at their commands.
    #[error("cores {cores:?}: their workers take no commands; the log of the server may say why")]
    NotTaken { cores: Vec<usize> },
}

/// What a request comes to: the status after it.
pub(crate) type Outcome = Result<Status, LifecycleError>;

/// A request, and where its outcome goes.
#[derive(Debug)]
pub(crate) struct Request {
    /// What is wanted.
    pub(crate) action: Action,
    reply: oneshot::Sender<Outcome>,
}

impl Request {
    /// Sends the outcome to whoever asked.
    pub(crate) fn complete(self, outcome: Outcome) {
        // A client that has gone away needs no reply.
        let _ = self.reply.send(outcome);
    }
}

/// Sends requests to the supervisor. Clones send to the same one.
#[derive(Clone, Debug)]
pub(crate) struct Lifecycle(mpsc::Sender<Request>);

impl Lifecycle {
    /// A handle, and the requests that come through it and its clones.
    pub(crate) fn channel() -> (Self, mpsc::Receiver<Request>) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Self(sender), requests)
    }

    /// Asks for `action` and waits for the outcome.
    ///
    /// # Errors
    /// It was refused.
    pub(crate) async fn request(&self, action: Action) -> Outcome {
        let (reply, outcome) = oneshot::channel();
        // The supervisor receives until the server is about to end.
        let request = Request { action, reply };
        self.0.send(request).await.map_err(|_| LifecycleError::Stopping)?;
        outcome.await.unwrap_or(Err(LifecycleError::Stopping))
    }

    /// A handle to a supervisor that answers every request with `outcome`.
    #[cfg(test)]
    pub(crate) fn answering(outcome: fn(Action) -> Outcome) -> Self {
        let (lifecycle, mut requests) = Self::channel();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                let outcome = outcome(request.action);
                request.complete(outcome);
            }
        });
        lifecycle
    }
}

/// Requests that wait for the supervisor. More senders wait for their turn.
const REQUESTS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_is_gone_is_stopping() {
        let (lifecycle, requests) = Lifecycle::channel();
        drop(requests);
        assert_eq!(lifecycle.request(Action::Report).await, Err(LifecycleError::Stopping));
    }

    #[tokio::test]
    async fn a_request_that_is_dropped_is_answered_too() {
        let (lifecycle, mut requests) = Lifecycle::channel();
        let asked = tokio::spawn(async move { lifecycle.request(Action::Drain).await });
        drop(requests.recv().await.expect("a request"));
        assert_eq!(asked.await.expect("no panic"), Err(LifecycleError::Stopping));
    }

    #[test]
    fn names_are_those_of_the_protocol() {
        for &state in State::ALL {
            assert_eq!(serde_json::json!(state), state.name());
        }
    }
}
