//! One test for each rule of RFC 9110 and 9112 about request bodies, numbered as in the
//! list of rules the appliance keeps. Every message is sent cut at every byte: see [`exchange`].

use http1::{Limits, Next, Reject, Status, Waiting};

use crate::peer::{Event, Peer, Rooms, chunked, exchange, exchange_eof, exchange_with, get, post};

#[test]
fn row_33_te_and_cl_together_is_refused() {
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: gzip\r\n",
        "Content-Length: 5\r\nTransfer-Encoding:\r\n",
    ] {
        let smuggled = format!("0\r\n\r\n{}", get(""));
        exchange(post(lines, &smuggled)).assert_refused(Reject::LengthAndCoding);
    }
}

#[test]
fn row_34_te_in_http_1_0_is_refused() {
    for keep in ["", "Connection: keep-alive\r\n", "Content-Length: 3\r\n"] {
        exchange(format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n{keep}\r\n0\r\n\r\n"))
            .assert_refused(Reject::CodingInHttp10);
    }
}

#[test]
fn row_35_chunked_must_be_the_final_coding() {
    for lines in [
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: gzip, deflate\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: ,\r\n",
    ] {
        exchange(post(lines, "0\r\n\r\n")).assert_refused(Reject::BadCoding);
    }
}

#[test]
fn row_36_unknown_transfer_coding_is_not_implemented() {
    for coding in [
        "gzip",
        "identity",
        "xchunked",
        "chunked1",
        "\"chunked\"",
        "gzip, chunked",
        "a,b,chunked",
        "foo;q=1",
    ] {
        exchange(post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n"))
            .assert_refused(Reject::UnknownCoding);
    }
    exchange(post("Transfer-Encoding: \u{b}chunked\r\n", "")).assert_refused(Reject::BadByte);
}

#[test]
fn row_37_chunked_twice_or_with_parameters_is_refused() {
    for lines in [
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked;a=b\r\n",
        "Transfer-Encoding: chunked ; a\r\n",
        "Transfer-Encoding: gzip, chunked, chunked\r\n",
    ] {
        exchange(post(lines, "0\r\n\r\n")).assert_refused(Reject::BadCoding);
    }
}

#[test]
fn row_38_invalid_content_length_is_refused() {
    for value in [
        "+5", "-5", "0x5", "5a", "a", "", "5 5", "5, 6", "5;", "1e1", "\"5\"", "5.0", "007", "00",
        "\u{665}",
    ] {
        exchange(post(&format!("Content-Length: {value}\r\n"), "12345"))
            .assert_refused(Reject::BadLength);
    }
    exchange(post("Content-Length: 5\r\nContent-Length: 6\r\n", "12345"))
        .assert_refused(Reject::BadLength);
}

#[test]
fn row_39_repeated_equal_content_length_is_refused() {
    exchange(post("Content-Length: 5, 5\r\n", "12345")).assert_refused(Reject::BadLength);
    exchange(post("Content-Length: 5\r\ncontent-length: 5\r\n", "12345"))
        .assert_refused(Reject::BadLength);
}

#[test]
fn row_40_lengths_do_not_wrap() {
    for (length, reject) in [
        ("18446744073709551616", Reject::BadLength),
        ("18446744073709551621", Reject::BadLength),
        (&*"9".repeat(100), Reject::BadLength),
        ("18446744073709551615", Reject::BodyTooLarge),
        ("33554433", Reject::BodyTooLarge),
    ] {
        exchange(post(&format!("Content-Length: {length}\r\n"), "12345")).assert_refused(reject);
    }
    exchange(chunked("10000000000000005\r\n12345\r\n0\r\n\r\n")).assert_refused(Reject::BadChunk);
    exchange(chunked("ffffffffffffffff\r\n12345\r\n0\r\n\r\n"))
        .assert_refused(Reject::BodyTooLarge);
    exchange(chunked("1\r\na\r\nffffffffffffffff\r\n")).assert_refused(Reject::BodyTooLarge);
    exchange(chunked("00000000000000005\r\n12345\r\n0\r\n\r\n")).assert_refused(Reject::BadChunk);
}

#[test]
fn row_41_without_framing_there_is_no_body() {
    let wire = format!("{}{}", post("", ""), get(""));
    exchange(wire).assert_answers(&[200, 200], true);
    let outcome = exchange(post("", "12345\r\n"));
    assert_eq!(outcome.statuses(), [200, 400], "what follows is the next request");
}

#[test]
fn row_42_chunked_bodies_are_read() {
    for (sent, want) in [
        ("0\r\n\r\n", "body=\r\n"),
        ("2\r\n20\r\n0\r\n\r\n", "body=20"),
        ("A\r\n0123456789\r\n0\r\n\r\n", "body=0123456789"),
        ("a\r\n0123456789\r\n0\r\n\r\n", "body=0123456789"),
        ("1\r\na\r\n1\r\nb\r\n02\r\ncd\r\n000\r\n\r\n", "body=abcd"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "body=\\r\\n"),
    ] {
        let wire = format!("{}{}", chunked(sent), get(""));
        let outcome = exchange(wire);
        outcome.assert_answers(&[200, 200], true);
        assert!(outcome.output.contains(want.trim_end()), "{sent:?}: {outcome:?}");
    }
}

#[test]
fn row_43_chunk_grammar_is_strict() {
    for sent in [
        "0x2\r\nab\r\n0\r\n\r\n",
        "+2\r\nab\r\n0\r\n\r\n",
        "-2\r\nab\r\n0\r\n\r\n",
        "1_0\r\nab\r\n0\r\n\r\n",
        " 2\r\nab\r\n0\r\n\r\n",
        "2 \r\nab\r\n0\r\n\r\n",
        "2\t\r\nab\r\n0\r\n\r\n",
        "2 2\r\nab\r\n0\r\n\r\n",
        "\r\n",
        ";a=b\r\n",
        "g\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\na\r\n0\r\n\r\n",
        "2\r\nab0\r\n\r\n",
        "2\r\nab\r0\r\n\r\n",
        "2\rab\r\n",
        "2;a\rb\r\nab\r\n",
        "2;a\0\r\nab\r\n",
    ] {
        let outcome = exchange(chunked(sent));
        outcome.assert_refused_after_request(Reject::BadChunk);
    }
}

#[test]
fn row_44_chunk_extensions_are_ignored_up_to_a_limit() {
    for ext in [
        ";a",
        ";a=b",
        ";a=\"b;\\\"c\"",
        "; a = b ;c",
        " ;a",
        "\t ; a",
        ";a=\"\"",
        ";a=\"\u{e9}\" ;b\t=\t1",
        ";a=\"\\\\\";b",
    ] {
        let outcome = exchange(chunked(&format!("2{ext}\r\nab\r\n0{ext}\r\n\r\n")));
        outcome.assert_answers(&[200], true);
        assert!(outcome.output.ends_with("body=ab"));
    }
    let limits = Limits { chunk_ext_len_max: 10, ..Limits::DEFAULT };
    exchange_with(chunked("1;aaaa\r\na\r\n0;aaaa\r\n\r\n"), &limits).assert_answers(&[200], true);
    exchange_with(chunked("1;aaaa\r\na\r\n0;aaaaa\r\n\r\n"), &limits)
        .assert_refused_after_request(Reject::ChunkExtTooLong);
    exchange_with(chunked("1          ;\r\na\r\n"), &limits)
        .assert_refused_after_request(Reject::ChunkExtTooLong);
}

/// RFC 9112 7.1.1: a semicolon is followed by a name, an equals sign by a token or a quoted string.
#[test]
fn row_44_a_chunk_extension_keeps_its_grammar() {
    for ext in [
        ";",
        "; ",
        ";;a",
        ";a;",
        ";a; ",
        ";=b",
        ";a=",
        ";a= ",
        ";a=;b",
        ";a==b",
        ";a b",
        ";a ",
        ";a=b ",
        ";a=b c",
        ";a=b\"c\"",
        ";a=\"b",
        ";a=\"b\\\"",
        ";a=\"b\"c",
        ";a=\"b\" ",
        ";\u{e9}",
        ";a=\u{e9}",
        ";\"a\"",
        ";a@b",
    ] {
        for wire in [format!("2{ext}\r\nab\r\n0\r\n\r\n"), format!("0{ext}\r\n\r\n")] {
            exchange(chunked(&wire)).assert_refused_after_request(Reject::BadChunk);
        }
    }
}

#[test]
fn row_45_trailers_are_parsed_and_discarded() {
    for trailers in [
        "T: v\r\n",
        "T:\r\nU: \t\r\n",
        "Content-Length: 99\r\nTransfer-Encoding: gzip\r\nHost: evil\r\nX: z\r\n",
    ] {
        let wire = format!("{}{}", chunked(&format!("1\r\na\r\n0\r\n{trailers}\r\n")), get(""));
        let outcome = exchange(wire);
        outcome.assert_answers(&[200, 200], true);
        assert!(outcome.output.contains("host=h Http11 x=- body=a"));
    }
    for trailers in [
        "T\r\n",
        "T : v\r\n",
        " T: v\r\n",
        ": v\r\n",
        "T: v\0\r\n",
        "T: a\r\n b\r\n",
        "T: a\rb\r\n",
    ] {
        exchange(chunked(&format!("0\r\n{trailers}\r\n")))
            .assert_refused_after_request(Reject::BadTrailer);
    }
    let long = format!("0\r\n{}\r\n", "T: v\r\n".repeat(6000));
    exchange(chunked(&long)).assert_refused_after_request(Reject::TrailersTooLong);
}

#[test]
fn row_46_bodies_that_are_too_large_get_413() {
    let limits = Limits { body_len_max: 10, ..Limits::DEFAULT };
    exchange_with(post("Content-Length: 10\r\n", "0123456789"), &limits)
        .assert_answers(&[200], true);
    exchange_with(post("Content-Length: 11\r\n", "0123456789a"), &limits)
        .assert_refused(Reject::BodyTooLarge);
    exchange_with(chunked("5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n"), &limits)
        .assert_answers(&[200], true);
    exchange_with(chunked("5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n"), &limits)
        .assert_refused_after_request(Reject::BodyTooLarge);
}

#[test]
fn row_49_an_incomplete_body_gets_no_2xx() {
    for wire in
        [post("Content-Length: 5\r\n", "1234"), chunked("5\r\n1234"), chunked("4\r\n1234\r\n0\r\n")]
    {
        exchange_eof(&wire).assert_refused_after_request(Reject::BodyCutShort);
        let waiting = exchange(&wire);
        assert_eq!((waiting.output.as_str(), waiting.waiting), ("", Waiting::Body));
        let mut peer = Peer::new();
        peer.send(wire.as_bytes());
        peer.conn.expire();
        peer.send(b"");
        assert!(peer.closed);
        assert_eq!(
            peer.events,
            [Event::Request, Event::Reject(Reject::BodyTimeout), Event::Response(Status::S408)]
        );
    }
}

#[test]
fn row_49_an_incomplete_head_is_refused() {
    for wire in [
        "G",
        "GET",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r",
    ] {
        exchange_eof(wire).assert_refused(Reject::HeadCutShort);
        assert_eq!(exchange(wire).waiting, Waiting::Head);
    }
}

#[test]
fn row_50_get_with_a_body_is_framed_like_any_other() {
    for method in ["GET", "HEAD", "DELETE"] {
        let wire =
            format!("{method} / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde{}", get(""));
        exchange(wire).assert_answers(&[200, 200], true);
        let wire = format!(
            "{method} / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n{}",
            get("")
        );
        exchange(wire).assert_answers(&[200, 200], true);
    }
}

const INTERIM: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

#[test]
fn row_51_expect_100_continue_is_answered_before_the_body() {
    for lines in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut peer = Peer::new();
        peer.send(post(&format!("Expect: 100-Continue\r\n{lines}"), "").as_bytes());
        assert_eq!(peer.output, INTERIM);
        assert_eq!(peer.conn.waiting(), Waiting::Body);
        peer.send(if lines.starts_with('C') { b"ab" } else { b"2\r\nab\r\n0\r\n\r\n" });
        assert_eq!(peer.events, [Event::Request, Event::Response(Status::S200)]);
        assert!(!peer.closed);
    }
}

#[test]
fn row_51_no_interim_answer_where_none_is_due() {
    for wire in [
        post("Expect: 100-continue\r\nContent-Length: 2\r\n", "a"),
        post("Expect: 100-continue\r\n", ""),
        post("Expect: 100-continue\r\nContent-Length: 0\r\n", ""),
        "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n".to_owned(),
        post("Expect:\r\nContent-Length: 2\r\n", ""),
    ] {
        let mut peer = Peer::new();
        peer.send(wire.as_bytes());
        assert!(!peer.output.starts_with(INTERIM), "{wire}");
    }
    exchange(post("Expect: 100-continue\r\nContent-Length: 2\r\n", "ab"))
        .assert_answers(&[200], true);
    exchange_eof(post("Expect: 100-continue\r\nContent-Length: 2\r\n", ""))
        .assert_refused_after_request(Reject::BodyCutShort);
}

#[test]
fn row_51_the_interim_answer_waits_for_room() {
    let mut peer = Peer::new();
    peer.rooms = Rooms::Fixed(INTERIM.len() - 1);
    peer.pending = post("Expect: 100-continue\r\nContent-Length: 2\r\n", "").into_bytes();
    assert_eq!(peer.call(false), Next::Flush);
    assert_eq!(peer.conn.waiting(), Waiting::Output);
    peer.rooms = Rooms::Fixed(INTERIM.len());
    assert_eq!(peer.call(false), Next::More);
    assert_eq!(peer.output, INTERIM);
}

#[test]
fn row_52_an_unknown_expectation_fails() {
    for value in ["200-ok", "100-continue, x", "100-continue;a=b"] {
        exchange(post(&format!("Expect: {value}\r\n"), ""))
            .assert_refused(Reject::UnknownExpectation);
    }
    exchange("POST / HTTP/1.0\r\nExpect: x\r\n\r\n").assert_answers(&[200], false);
}

#[test]
fn row_53_a_final_answer_instead_of_100_closes() {
    for lines in ["Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"] {
        let wire =
            format!("POST /early HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n{lines}\r\n");
        let outcome = exchange(&wire);
        outcome.assert_answers(&[404], false);
        assert!(outcome.output.contains("\r\nConnection: close\r\n"));
    }
}

#[test]
fn row_53_without_expectation_the_body_is_read_and_thrown_away() {
    let wire =
        format!("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde{}", get(""));
    exchange(wire).assert_answers(&[404, 200], true);
    let wire = format!(
        "POST /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n{}",
        get("")
    );
    exchange(wire).assert_answers(&[404, 200], true);
    let wire = "POST /early HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx";
    exchange(wire).assert_refused_after_request(Reject::BadChunk);
}
