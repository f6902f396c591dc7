//! Messages that two readers could frame differently. None of them may get a second request past
//! this one, and none may be answered as if nothing were wrong with it.

use http1::Reject;

use crate::peer::{chunked, exchange, get, post};

/// A request hidden where a reader with other rules would find it.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: h\r\n\r\n";

/// Asserts that `wire` is refused for `reject`, once, and the hidden request never answered.
#[track_caller]
fn assert_nothing_smuggled(wire: &str, reject: Reject) {
    let outcome = exchange(wire);
    outcome.assert_refused(reject);
    assert!(!outcome.output.contains("/hidden"), "{outcome:#?}");
}

#[test]
fn two_framings_at_once() {
    for lines in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
        "Transfer-Encoding: chunked\r\nContent-length: 6\r\nTransfer-encoding: cow\r\n",
        "Transfer-Encoding: identity\r\nContent-Length: 6\r\n",
        "Content-Length: 6\r\nTransfer-Encoding: chunked, identity\r\n",
    ] {
        assert_nothing_smuggled(
            &post(lines, &format!("0\r\n\r\n{HIDDEN}")),
            Reject::LengthAndCoding,
        );
    }
}

#[test]
fn disguised_transfer_encoding() {
    for (line, reject) in [
        ("Transfer-Encoding : chunked", Reject::BadFieldName),
        ("Transfer-Encoding\t: chunked", Reject::BadFieldName),
        (" Transfer-Encoding: chunked", Reject::FoldedField),
        ("X: y\nTransfer-Encoding: chunked", Reject::BareLf),
        ("X: y\rTransfer-Encoding: chunked", Reject::BareCr),
        ("Transfer-Encoding: xchunked", Reject::UnknownCoding),
        ("Transfer-Encoding: chunked x", Reject::UnknownCoding),
        ("Transfer-Encoding: 'chunked'", Reject::UnknownCoding),
        ("Transfer-Encoding: [chunked]", Reject::UnknownCoding),
        ("Transfer-Encoding: chunked\u{a0}", Reject::UnknownCoding),
        ("Transfer-Encoding: \u{b}chunked", Reject::BadByte),
        ("Transfer-Encoding: chunked\0", Reject::BadByte),
        ("Transfer-Encoding: chunked;", Reject::BadCoding),
        ("Transfer-Encoding:\r\n chunked", Reject::FoldedField),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", Reject::BadCoding),
        ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", Reject::UnknownCoding),
        ("Transfer-Encoding\u{17f}: chunked", Reject::BadFieldName),
        ("Transfer-Encoding", Reject::BadFieldName),
    ] {
        assert_nothing_smuggled(&post(&format!("{line}\r\n"), HIDDEN), reject);
    }
}

#[test]
fn a_field_that_only_looks_like_framing_frames_nothing() {
    for line in ["Transfer_Encoding: chunked", "Content_Length: 5", "X-Content-Length: 5"] {
        let outcome = exchange(post(&format!("{line}\r\n"), "0\r\n\r\n"));
        assert_eq!(outcome.statuses(), [200, 400], "the body is read as the next request");
        assert!(outcome.closed);
    }
}

#[test]
fn disguised_content_length() {
    for (line, reject) in [
        ("Content-Length: +6", Reject::BadLength),
        ("Content-Length: 6 6", Reject::BadLength),
        ("Content-Length: 6,6", Reject::BadLength),
        ("Content-Length: 6\r\nContent-Length: 0", Reject::BadLength),
        ("Content-Length: 0\r\nContent-Length: 0", Reject::BadLength),
        ("Content-Length: 06", Reject::BadLength),
        ("Content-Length: 0x6", Reject::BadLength),
        ("Content-Length: 6_0", Reject::BadLength),
        ("Content-Length:", Reject::BadLength),
        ("Content-Length: \u{ff16}", Reject::BadLength),
        ("Content-Length : 6", Reject::BadFieldName),
        ("Content-Length: 6\rX: y", Reject::BareCr),
        ("Content-Length: 6\u{b}", Reject::BadByte),
        ("Content-Length: 18446744073709551622", Reject::BadLength),
    ] {
        assert_nothing_smuggled(&post(&format!("{line}\r\n"), HIDDEN), reject);
    }
}

#[test]
fn disguised_chunks() {
    for (body, reject) in [
        ("0\n\r\n", Reject::BadChunk),
        ("0\r\n\n", Reject::BadTrailer),
        ("2;\nxx\r\n0\r\n\r\n", Reject::BadChunk),
        ("2;x=\"\n\"\r\nxx\r\n0\r\n\r\n", Reject::BadChunk),
        ("2;x=\"\r\nxx\n0\r\n\r\n", Reject::BadChunk),
        ("2;\r\nxx\r\n0\r\n\r\n", Reject::BadChunk),
        ("0;\r\n\r\n", Reject::BadChunk),
        ("2\r\nxx0\r\n\r\n", Reject::BadChunk),
        ("2\r\nxxyy0\r\n\r\n", Reject::BadChunk),
        ("2\r\nxx\n0\r\n\r\n", Reject::BadChunk),
        ("2\r\nxx\r0\r\n\r\n", Reject::BadChunk),
        ("-0\r\n\r\n", Reject::BadChunk),
        ("0x0\r\n\r\n", Reject::BadChunk),
        ("0 \r\n\r\n", Reject::BadChunk),
        ("00000000000000000\r\n\r\n", Reject::BadChunk),
        ("10000000000000002\r\nxx\r\n0\r\n\r\n", Reject::BadChunk),
        ("fffffffffffffffe\r\nxx\r\n0\r\n\r\n", Reject::BodyTooLarge),
        ("0\r\nX: y\n\r\n", Reject::BadTrailer),
        ("0\r\n X: y\r\n\r\n", Reject::BadTrailer),
        ("0\r\nGET /hidden HTTP/1.1\r\n\r\n", Reject::BadTrailer),
    ] {
        assert_nothing_smuggled(&chunked(&format!("{body}{HIDDEN}")), reject);
    }
}

#[test]
fn a_hidden_request_inside_a_well_framed_body_stays_content() {
    let outcome = exchange(post(&format!("Content-Length: {}\r\n", HIDDEN.len()), HIDDEN));
    outcome.assert_answers(&[200], true);
    let outcome = exchange(chunked(&format!("{:x}\r\n{HIDDEN}\r\n0\r\n\r\n", HIDDEN.len())));
    outcome.assert_answers(&[200], true);
    let wire =
        format!("POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", HIDDEN.len());
    exchange(format!("{wire}{HIDDEN}{}", get(""))).assert_answers(&[404, 200], true);
}

#[test]
fn disguised_hosts() {
    for (wire, reject) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n", Reject::HostRepeated),
        ("GET / HTTP/1.1\r\nHost: h\r\n Host: g\r\n\r\n", Reject::FoldedField),
        ("GET / HTTP/1.1\r\nHost: h@g\r\n\r\n", Reject::BadHost),
        ("GET / HTTP/1.1\r\nHost: h#g\r\n\r\n", Reject::BadHost),
        ("GET / HTTP/1.1\r\nHost: h\\g\r\n\r\n", Reject::BadHost),
        ("GET http://a\\b/ HTTP/1.1\r\nHost: h\r\n\r\n", Reject::BadTarget),
        ("GET http://a@b/ HTTP/1.1\r\nHost: h\r\n\r\n", Reject::BadTarget),
        ("GET / HTTP/1.1\r\nX: y\r\n\r\nHost: h\r\n\r\n", Reject::HostMissing),
    ] {
        assert_nothing_smuggled(&format!("{wire}{HIDDEN}"), reject);
    }
}
