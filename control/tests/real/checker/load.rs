//! Those who ask: many connections, each with several requests under way, all responses compared.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use fastrand::Rng;
use testkit::{APPLIANCE, Client, PORT, Response};

use super::model::Model;
use super::request::Request;
use super::site::ITEMS;

/// Connections, one thread each.
pub(super) const CONNECTIONS: usize = 32;
/// Most requests that are sent before the first response is waited for.
const DEPTH: usize = 6;

/// Asks until `stop` is said, as the `index`th of [`CONNECTIONS`].
pub(super) fn ask(model: &Model, index: usize, seed: u64, stop: &AtomicBool) {
    let mut rng = Rng::with_seed(seed.wrapping_add(index as u64));
    let own: Vec<usize> = (index..ITEMS).step_by(CONNECTIONS).collect();
    let mut asker = Asker::default();
    while !stop.load(Relaxed) {
        let _pass = model.gate.read().expect("nobody panics with it");
        let depth = rng.usize(1..=DEPTH);
        let requests: Vec<_> = (0..depth).map(|_| Request::any(model, &mut rng, &own)).collect();
        asker.ask_all(model, &requests);
    }
}

/// One connection after the other.
#[derive(Debug, Default)]
pub(super) struct Asker {
    client: Option<Client>,
}

impl Asker {
    /// Sends all at once and compares what comes; whatever may not be is noted in the model. Returns whether
    /// every request was served.
    pub(super) fn ask_all(&mut self, model: &Model, requests: &[Request]) -> bool {
        let faulty = model.is_faulty();
        let mut responses = Vec::new();
        let mut own = Vec::new();
        let outcome = self.send(requests).and_then(|()| {
            for request in requests {
                let response = self.receive()?;
                let closes = response.closes();
                // What is written before on the same connection must be seen.
                responses.push(judge(model, request, &response, &mut own));
                if closes {
                    self.client = None;
                    break;
                }
            }
            Ok(())
        });
        let served = outcome.is_ok() && responses.len() == requests.len();
        let may_fail = faulty || model.is_faulty();
        if let Err(error) = outcome {
            self.client = None;
            // Nothing that breaks is between the client and the server.
            let request = &requests[responses.len()];
            model.wrong(
                &format!("{}: no response", request.kind()),
                &format!("{request:?}: {error}"),
            );
        }
        let mut all = served;
        for (request, verdict) in requests.iter().zip(responses) {
            match verdict {
                Verdict::Right => model.count(request.kind()),
                Verdict::Refused(status) if may_fail => {
                    model.count(refusal(status));
                    all = false;
                }
                Verdict::Refused(status) => {
                    let what = format!("{}: refused with nothing broken, {status}", request.kind());
                    model.wrong(&what, &format!("{request:?}"));
                    all = false;
                }
                Verdict::Wrong(why) => {
                    let what = why.split(':').next().unwrap_or_default();
                    model.wrong(
                        &format!("{}: {what}", request.kind()),
                        &format!("{why} ({request:?})"),
                    );
                    all = false;
                }
            }
        }
        all
    }

    fn send(&mut self, requests: &[Request]) -> io::Result<()> {
        let bytes: Vec<u8> = requests.iter().flat_map(Request::bytes).collect();
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(Client::connect(SocketAddr::from((APPLIANCE, PORT)))?),
        };
        client.try_send(bytes)
    }

    fn receive(&mut self) -> io::Result<Response> {
        self.client.as_mut().ok_or(io::ErrorKind::NotConnected)?.try_response(false)
    }
}

enum Verdict {
    Right,
    /// It says that it cannot.
    Refused(u16),
    Wrong(String),
}

/// `own` are writes that were answered before on the same connection: a read behind them sees them.
fn judge(
    model: &Model,
    request: &Request,
    response: &Response,
    own: &mut Vec<(usize, u64)>,
) -> Verdict {
    if request.is_refusal(response.status) {
        return Verdict::Refused(response.status);
    }
    let judged = request.judge(model, response);
    if let (Request::Write { id, version, .. }, Ok(())) = (request, &judged) {
        own.push((*id, *version));
    }
    if let (Request::Item { id, .. }, Ok(())) = (request, &judged) {
        let written =
            own.iter().filter(|(other, _)| other == id).map(|(_, version)| *version).max();
        let body: serde_json::Value = serde_json::from_slice(&response.body).unwrap_or_default();
        if written.is_some_and(|written| body["version"].as_u64() < Some(written)) {
            return Verdict::Wrong(format!("own write not seen: {body} after {written:?}"));
        }
    }
    judged.map_or_else(Verdict::Wrong, |()| Verdict::Right)
}

fn refusal(status: u16) -> &'static str {
    match status {
        404 => "404, something is broken",
        503 => "503, something is broken",
        _ => "504, something is broken",
    }
}
