//! One test for each rule of RFC 9110 and 9112 about answers and connections, numbered as in the
//! list of rules the appliance keeps. Every message is sent cut at every byte: see [`exchange`].

use http1::{HEAD_OUT_MAX, Next, Reject, Status, Waiting};

use crate::mirror::pattern;
use crate::peer::{Event, Outcome, Peer, Rooms, chunked, exchange, exchange_eof, get, post};

#[test]
fn row_54_a_request_that_does_not_arrive_gets_408() {
    let mut peer = Peer::new();
    peer.send(b"GET / HTTP/1.1\r\nHos");
    assert_eq!(peer.conn.waiting(), Waiting::Head);
    peer.conn.expire();
    peer.send(b"");
    assert_eq!(peer.events, [Event::Reject(Reject::HeadTimeout), Event::Response(Status::S408)]);
    let output = String::from_utf8_lossy(&peer.output).into_owned();
    assert!(output.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
    assert!(output.contains("\r\nConnection: close\r\n"));
    assert!(peer.closed);
}

#[test]
fn row_54_an_idle_connection_just_ends() {
    for before in ["", &get("")] {
        let mut peer = Peer::new();
        peer.send(before.as_bytes());
        let output = peer.output.len();
        assert_eq!(peer.conn.waiting(), Waiting::Idle);
        peer.conn.expire();
        peer.send(b"");
        assert!(peer.closed);
        assert_eq!(peer.output.len(), output);
    }
}

#[test]
fn row_54_an_answer_that_is_not_taken_is_given_up() {
    let mut peer = Peer::new();
    peer.rooms = Rooms::Fixed(HEAD_OUT_MAX);
    peer.pending = b"GET /big/100000 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    assert_eq!(peer.call(false), Next::Flush);
    assert_eq!(peer.conn.waiting(), Waiting::Output);
    peer.conn.expire();
    let before = peer.output.len();
    assert_eq!(peer.call(false), Next::Close);
    assert_eq!(peer.output.len(), before);
}

#[test]
fn row_55_head_has_the_fields_of_get_and_no_content() {
    let strip = |outcome: Outcome| {
        outcome.output.split_once("\r\n\r\n").map(|(h, b)| (h.to_owned(), b.to_owned()))
    };
    let (get_head, get_body) = strip(exchange("GET /big/500 HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
    let (head, body) = strip(exchange("HEAD /big/500 HTTP/1.1\r\nHost: h\r\n\r\n")).unwrap();
    assert_eq!((get_body.chars().count(), body.as_str()), (500, ""));
    assert_eq!(head, get_head);
    let wire = "HEAD /big/500 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /early HTTP/1.1\r\nHost: h\r\n\r\n";
    let outcome = exchange(wire);
    outcome.assert_answers(&[200, 404], true);
    assert!(outcome.output.ends_with("\r\n\r\n"));
}

#[test]
fn row_55_refused_head_requests_get_no_content_either() {
    for wire in [
        "HEAD / HTTP/1.1\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost : h\r\n\r\n",
        "HEAD / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx",
    ] {
        let outcome = exchange(wire);
        assert_eq!(outcome.statuses(), [400]);
        assert!(outcome.output.ends_with("\r\n\r\n"), "{outcome:?}");
    }
}

#[test]
fn row_56_no_length_and_no_content_in_204_and_304() {
    for status in [204, 304] {
        let outcome = exchange(format!("GET /{status} HTTP/1.1\r\nHost: h\r\n\r\n{}", get("")));
        outcome.assert_answers(&[status, 200], true);
        let (head, rest) = outcome.output.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Content-Length"));
        assert!(rest.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn row_57_bodies_are_exactly_as_long_as_announced() {
    for len in [0, 1, 1023, 1024, 1025, 5000] {
        let outcome = exchange(format!("GET /big/{len} HTTP/1.1\r\nHost: h\r\n\r\n"));
        outcome.assert_answers(&[200], true);
        let mut peer = Peer::new();
        peer.rooms = Rooms::Drops;
        peer.send(format!("GET /big/{len} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes());
        let at = peer.output.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        let want: Vec<u8> = (0..len).map(pattern).collect();
        assert_eq!(peer.output[at..], want);
    }
}

#[test]
fn row_58_the_date_of_the_call_stands_in_every_answer() {
    for wire in [get(""), "GET / HTTP/1.1\r\n\r\n".to_owned()] {
        assert!(exchange(wire).output.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"));
    }
}

#[test]
fn row_60_every_status_line_has_both_spaces() {
    for wire in [
        get(""),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "BREW / HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
    ] {
        let outcome = exchange(wire);
        let line = outcome.output.lines().next().unwrap();
        assert!(line.starts_with("HTTP/1.1 ") && line[12..].starts_with(' '), "{line:?}");
    }
}

#[test]
fn row_61_connection_close_is_the_last_request() {
    for value in ["close", "Close", "keep-alive, close", "x,CLOSE"] {
        let wire = format!("{}{}", get(&format!("Connection: {value}\r\n")), get(""));
        let outcome = exchange(wire);
        outcome.assert_answers(&[200], false);
        assert!(outcome.output.contains("\r\nConnection: close\r\n"));
    }
    exchange(get("Connection: upgrade, closed\r\n")).assert_answers(&[200], true);
}

#[test]
fn row_62_http_1_0_closes_unless_asked_to_keep() {
    let outcome = exchange("GET / HTTP/1.0\r\n\r\n");
    outcome.assert_answers(&[200], false);
    assert!(outcome.output.contains("\r\nConnection: close\r\n"));
    let keep = "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    let outcome = exchange(format!("{keep}{keep}"));
    outcome.assert_answers(&[200, 200], true);
    assert_eq!(outcome.output.matches("\r\nConnection: keep-alive\r\n").count(), 2);
    let outcome = exchange(get("Connection: keep-alive\r\n"));
    outcome.assert_answers(&[200], true);
    assert!(!outcome.output.contains("Connection:"));
}

#[test]
fn row_63_a_half_closing_client_gets_its_answer() {
    let outcome = exchange_eof(get(""));
    outcome.assert_answers(&[200], false);
    assert!(outcome.output.contains("\r\nConnection: close\r\n"));
    let outcome = exchange_eof(format!("{}{}", get(""), get("")));
    outcome.assert_answers(&[200, 200], false);
    assert_eq!(outcome.output.matches("Connection: close").count(), 1);
    exchange_eof(post("Content-Length: 2\r\n", "ab")).assert_answers(&[200], false);
    exchange_eof(chunked("2\r\nab\r\n0\r\n\r\n")).assert_answers(&[200], false);
    // The end may come later than the request, too.
    let mut peer = Peer::new();
    peer.send(get("").as_bytes());
    peer.send_eof(b"");
    assert!(peer.closed);
    assert_eq!(peer.events, [Event::Request, Event::Response(Status::S200)]);
}

#[test]
fn row_63_after_the_end_input_is_discarded() {
    let mut peer = Peer::new();
    peer.send(b"nonsense\r\n");
    assert!(peer.closed);
    let output = peer.output.len();
    peer.pending = get("").into_bytes();
    assert_eq!(peer.call(false), Next::Close);
    assert_eq!((peer.pending.len(), peer.output.len()), (0, output));
}

#[test]
fn row_64_pipelined_answers_keep_the_order_of_requests() {
    let mut wire = String::new();
    for number in 0..20 {
        wire += &match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!(
                "POST /{number} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            ),
        };
    }
    let outcome = exchange(wire);
    outcome.assert_answers(&[200; 20], true);
    let order: Vec<usize> =
        (0..20).map(|n| outcome.output.find(&format!(" /{n} ")).unwrap()).collect();
    assert!(order.is_sorted());
}

#[test]
fn row_65_nothing_is_parsed_after_an_error() {
    for bad in
        ["GET /\r\n", "GET / HTTP/1.1\r\n\r\n", &post("Content-Length: x\r\n", ""), &chunked("x")]
    {
        let wire = format!("{bad}{}", get(""));
        let outcome = exchange(wire);
        assert_eq!(outcome.statuses(), [400]);
        assert!(outcome.closed);
    }
    let outcome = exchange(format!("{}BAD\r\n\r\n{}", get(""), get("")));
    assert_eq!(outcome.statuses(), [200, 400]);
}

#[test]
fn row_66_upgrade_is_ignored() {
    for lines in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    ] {
        let outcome = exchange(format!("{}{}", get(lines), get("")));
        outcome.assert_answers(&[200, 200], true);
    }
}

#[test]
fn row_75_draining_makes_the_request_in_progress_the_last() {
    let mut peer = Peer::new();
    peer.send(post("Content-Length: 2\r\n", "a").as_bytes());
    peer.conn.drain();
    peer.send(format!("b{}", get("")).as_bytes());
    assert!(peer.closed);
    assert_eq!(peer.events, [Event::Request, Event::Response(Status::S200)]);
    assert!(String::from_utf8_lossy(&peer.output).contains("\r\nConnection: close\r\n"));

    let mut peer = Peer::new();
    peer.send(b"GET / HTTP/1.1\r\n");
    peer.conn.drain();
    peer.send(b"Host: h\r\n\r\n");
    assert!(peer.closed);
    assert_eq!(peer.events, [Event::Request, Event::Response(Status::S200)]);

    let mut idle = Peer::new();
    idle.send(get("").as_bytes());
    idle.conn.drain();
    idle.send(b"");
    assert!(!idle.closed, "a request may be on its way");
    idle.conn.expire();
    assert!(idle.conn.is_draining());
    idle.send(b"");
    assert!(idle.closed);
    assert_eq!(idle.events.len(), 2);
}

#[test]
fn row_75_a_request_that_was_on_its_way_when_draining_began_is_answered() {
    let mut peer = Peer::new();
    peer.send(get("").as_bytes());
    assert!(!peer.conn.is_draining());
    peer.conn.drain();
    assert!(peer.conn.is_draining());
    peer.send(format!("{}{}", get(""), get("")).as_bytes());
    assert!(peer.closed);
    assert_eq!(peer.events.len(), 4, "one more, and no second: {:?}", peer.events);
    let said = String::from_utf8_lossy(&peer.output);
    assert_eq!(said.matches("\r\nConnection: close\r\n").count(), 1);
}

#[test]
fn row_75_draining_lets_a_begun_answer_finish() {
    let mut peer = Peer::new();
    peer.rooms = Rooms::Fixed(HEAD_OUT_MAX);
    peer.pending = b"GET /big/5000 HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    assert_eq!(peer.call(false), Next::Flush);
    peer.conn.drain();
    peer.send(b"");
    assert!(!peer.closed, "its head did not say that the connection ends");
    let at = peer.output.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(peer.output.len() - at, 5000);
}
