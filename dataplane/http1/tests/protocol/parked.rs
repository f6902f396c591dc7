//! Requests that are offloaded, and wait for a completion.

use http1::{Next, Status, Waiting};

use crate::mirror::Answer;
use crate::peer::{Event, Peer, chunked, exchange, exchange_eof, post};

const OFFLOAD: &str = "GET /offload HTTP/1.1\r\nHost: h\r\n\r\n";

/// A peer whose first request waits for a completion.
fn parked(wire: &str) -> Peer {
    let mut peer = Peer::new();
    peer.parks = true;
    peer.send(wire.as_bytes());
    assert_eq!(peer.conn.waiting(), Waiting::Completion);
    peer
}

fn text(peer: &Peer) -> String {
    String::from_utf8_lossy(&peer.output).into_owned()
}

#[test]
fn row_64_a_pipelined_request_waits_for_the_one_that_is_parked() {
    let outcome = exchange([OFFLOAD, &OFFLOAD.replace("/offload", "/after"), OFFLOAD].concat());
    outcome.assert_answers(&[200, 200, 200], true);
    let (first, after) = (outcome.output.find("/offload "), outcome.output.find("/after "));
    assert!(first.is_some() && first < after, "{outcome:#?}");
}

#[test]
fn bodies_are_read_before_the_request_is_offloaded() {
    let outcome = exchange(post("Content-Length: 3\r\n", "abc").replace("POST /", "POST /offload"));
    outcome.assert_answers(&[200], true);
    assert!(outcome.output.ends_with("body=abc"), "{outcome:#?}");
    let outcome = exchange(chunked("3\r\nabc\r\n0\r\n\r\n").replace("POST /", "POST /offload"));
    assert!(outcome.output.ends_with("body=abc"), "{outcome:#?}");
}

#[test]
fn a_client_that_half_closes_still_gets_its_answer() {
    let outcome = exchange_eof(OFFLOAD);
    outcome.assert_answers(&[200], false);
    assert!(outcome.output.contains("\r\nConnection: close\r\n"), "{outcome:#?}");
}

#[test]
fn nothing_is_read_or_said_while_parked() {
    let mut peer = parked(&[OFFLOAD, OFFLOAD].concat());
    assert_eq!((peer.pending.len(), peer.output.len()), (OFFLOAD.len(), 0));
    assert_eq!(peer.call(false), Next::Park);
    assert_eq!(peer.pending.len(), OFFLOAD.len());
    peer.complete();
    peer.send(b"");
    assert_eq!(text(&peer).matches("HTTP/1.1 200 OK").count(), 1);
    assert_eq!(peer.conn.waiting(), Waiting::Completion, "the second one is offloaded now");
}

#[test]
fn a_completion_nobody_waits_for_is_given_back() {
    let mut peer = Peer::new();
    assert!(peer.conn.complete(Answer::text(Status::S200, "late")).is_err());
    peer.send(OFFLOAD.as_bytes());
    assert!(peer.conn.complete(Answer::text(Status::S200, "twice")).is_err());
    assert_eq!(text(&peer).matches("HTTP/1.1").count(), 1);
}

#[test]
fn a_late_completion_costs_the_request_and_not_the_connection() {
    let mut peer = parked(OFFLOAD);
    peer.conn.expire();
    peer.parks = false;
    peer.send(OFFLOAD.as_bytes());
    assert_eq!(
        peer.events,
        [504, 200]
            .map(|code| match code {
                504 => [Event::Request, Event::Response(Status::S504)],
                _ => [Event::Request, Event::Response(Status::S200)],
            })
            .concat()
    );
    assert!(!peer.closed);
}

#[test]
fn a_parked_request_is_the_last_while_draining() {
    let mut peer = parked(OFFLOAD);
    peer.conn.drain();
    assert_eq!(peer.call(false), Next::Park, "it still waits");
    peer.complete();
    peer.send(OFFLOAD.as_bytes());
    assert!(peer.closed);
    assert!(text(&peer).contains("Connection: close"));
    assert_eq!(text(&peer).matches("HTTP/1.1").count(), 1);
}

#[test]
fn a_deadline_while_draining_answers_and_closes() {
    let mut peer = parked(OFFLOAD);
    peer.conn.drain();
    peer.conn.expire();
    peer.send(b"");
    assert!(peer.closed);
    assert!(text(&peer).starts_with("HTTP/1.1 504 Gateway Timeout"));
}

#[test]
fn a_caller_may_stop_between_two_requests() {
    let mut peer = Peer::new();
    peer.one_exchange = true;
    peer.pending
        .extend_from_slice(&[OFFLOAD, OFFLOAD].concat().replace("/offload", "/a").into_bytes());
    for (left, answers) in [(1, 1), (0, 2)] {
        assert_eq!(peer.call(false), Next::More);
        assert_eq!(peer.pending.len(), left * (OFFLOAD.len() - "ffload".len()));
        assert_eq!(text(&peer).matches("HTTP/1.1 200 OK").count(), answers);
        assert_eq!(peer.conn.waiting(), Waiting::Idle);
    }
}
