//! Messages nobody would think of: random bytes, and random mixtures of what messages consist of.

use http1::{Limits, Waiting};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::peer::{Peer, Rooms, chunked, run};

/// Pieces that messages consist of, whole and broken.
const FRAGMENTS: &[&str] = &[
    "GET ",
    "HEAD ",
    "POST ",
    "get ",
    "/",
    "/early",
    "/big/3000",
    "*",
    "http://h",
    "?a=1",
    "#",
    " ",
    " HTTP/1.1",
    " HTTP/1.0",
    " HTTP/1.2",
    " HTTP/2.0",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "GET / HTTP/1.1\r\n",
    "POST / HTTP/1.1\r\n",
    "HEAD / HTTP/1.0\r\n",
    "Host: h\r\n",
    "Host: h:x\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: x\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Expect: 100-continue\r\n",
    "Expect: x\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    "X: y\r\n",
    "X:\r\n",
    " folded\r\n",
    "Name: ",
    ":",
    "abc",
    "3\r\n",
    "3\r\nabc\r\n",
    "0\r\n",
    "0\r\n\r\n",
    ";ext=1\r\n",
    "Trailer: v\r\n",
    "\0",
    "\u{e9}",
    "\t",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        20 => proptest::sample::select(FRAGMENTS).prop_map(|text| text.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..20),
    ];
    vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

/// A request that is almost always valid, then damaged in up to two places.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let whole = proptest::sample::select(&FRAGMENTS[FRAGMENTS.len() - 3..]);
    let damage = vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (vec(whole, 1..4), damage).prop_map(|(whole, damage)| {
        let mut wire = whole.concat().into_bytes();
        for (at, byte) in damage {
            let at = at.index(wire.len());
            wire[at] = byte;
        }
        wire
    })
}

/// Cuts `wire` at `cuts`, each taken modulo its length. No piece is empty.
fn pieces<'a>(wire: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = cuts.iter().map(|cut| cut % (wire.len() + 1)).collect();
    ends.push(wire.len());
    ends.sort_unstable();
    let mut start = 0;
    let piece = |end: usize| {
        let piece = &wire[start..end];
        start = end;
        piece
    };
    ends.into_iter().map(piece).filter(|piece| !piece.is_empty()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The driver asserts on the way: no panic, nothing consumed that was not given, progress or an
    /// honest [`http1::Next::More`].
    #[test]
    fn cuts_and_rooms_never_change_the_answer(
        wire in prop_oneof![message(), damaged(), vec(any::<u8>(), 0..300)],
        cuts in vec(any::<usize>(), 0..8),
        eof in any::<bool>(),
        room in prop_oneof![(1024usize..5000).prop_map(Rooms::Fixed), Just(Rooms::Drops)],
    ) {
        let limits = Limits::default();
        let whole = run(&[&wire], eof, Rooms::Fixed(65_536), &limits);
        if !wire.is_empty() {
            prop_assert_eq!(&run(&pieces(&wire, &cuts), eof, room, &limits), &whole);
            let bytes: Vec<_> = wire.chunks(1).collect();
            prop_assert_eq!(&run(&bytes, eof, room, &limits), &whole);
        }
    }

    /// Small limits are reached by every kind of message.
    #[test]
    fn small_limits_hold_however_the_message_is_cut(
        wire in prop_oneof![message(), damaged()],
        cuts in vec(any::<usize>(), 0..8),
        (head, line, fields, body, ext) in (20usize..120, 10usize..60, 0usize..4, 0u64..8, 0u32..8),
    ) {
        let limits = Limits {
            head_len_max: head,
            line_len_max: line,
            fields_max: fields,
            body_len_max: body,
            chunk_ext_len_max: ext,
        };
        let whole = run(&[&wire], false, Rooms::Fixed(65_536), &limits);
        prop_assert_eq!(&run(&pieces(&wire, &cuts), false, Rooms::Drops, &limits), &whole);
    }

    /// Whatever came before, each of these ends a connection within one call.
    #[test]
    fn end_of_input_and_deadline_always_end(wire in message(), deadline in any::<bool>()) {
        let mut peer = Peer::new();
        peer.send(&wire);
        let answered = peer.events.len();
        if deadline && !peer.closed {
            peer.conn.expire();
            peer.send(b"");
        } else if !peer.closed {
            peer.send_eof(b"");
        }
        prop_assert!(peer.closed);
        prop_assert!(peer.events.len() <= answered + 2, "one refusal and its answer at most");
        prop_assert_eq!(peer.conn.waiting(), Waiting::Closed);
    }

    #[test]
    fn chunked_content_arrives_as_it_was_sent(
        chunks in vec(vec(any::<u8>(), 1..12), 0..8),
        exts in vec(proptest::sample::select(&["", ";a", " ;a=b", ";a=\"b c\""][..]), 9),
        trailers in vec(proptest::sample::select(&["A: b\r\n", "C:\r\n"][..]), 0..3),
        upper in any::<bool>(),
        cuts in vec(any::<usize>(), 0..6),
    ) {
        let mut wire = chunked("").into_bytes();
        for (chunk, ext) in chunks.iter().zip(&exts) {
            let size = if upper { format!("{:X}", chunk.len()) } else { format!("{:02x}", chunk.len()) };
            wire.extend(format!("{size}{ext}\r\n").bytes());
            wire.extend(chunk);
            wire.extend(b"\r\n");
        }
        wire.extend(format!("0{}\r\n{}\r\n", exts[8], trailers.concat()).bytes());
        let outcome = run(&pieces(&wire, &cuts), false, Rooms::Fixed(1024), &Limits::default());
        let want = format!("body={}", chunks.concat().escape_ascii());
        prop_assert_eq!(outcome.statuses(), [200]);
        prop_assert!(outcome.output.contains(&want[..want.len().min(300)]), "{:?}", outcome);
    }
}
