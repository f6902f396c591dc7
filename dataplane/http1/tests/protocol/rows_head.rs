//! One test for each rule of RFC 9110 and 9112 about request heads, numbered as in the
//! list of rules the appliance keeps. Every message is sent cut at every byte: see [`exchange`].

use http1::{Limits, Method, Reject, Waiting};

use crate::peer::{chunked, exchange, exchange_with, get, post};

#[test]
fn row_01_host_missing_duplicated_or_invalid_is_refused() {
    exchange("GET / HTTP/1.1\r\n\r\n").assert_refused(Reject::HostMissing);
    exchange("GET / HTTP/1.1\r\nX: y\r\n\r\n").assert_refused(Reject::HostMissing);
    exchange("GET http://h/ HTTP/1.1\r\n\r\n").assert_refused(Reject::HostMissing);
    exchange(get("Host: h\r\n")).assert_refused(Reject::HostRepeated);
    exchange(get("hOST: other\r\n")).assert_refused(Reject::HostRepeated);
    exchange("GET / HTTP/1.1\r\nHost: a b\r\n\r\n").assert_refused(Reject::BadHost);
}

#[test]
fn row_02_http_1_0_needs_no_host() {
    let outcome = exchange("GET / HTTP/1.0\r\n\r\n");
    outcome.assert_answers(&[200], false);
    assert!(outcome.output.contains("host=- Http10"));
    exchange("GET / HTTP/1.0\r\nHost: a,b\r\n\r\n").assert_refused(Reject::BadHost);
}

#[test]
fn row_03_host_value_must_be_an_authority() {
    for host in
        ["u@h", "h/", "h/p", "a,b", "a, b", "h:x", "h:99999", "h:1:2", "[::1", "h?", "\"h\""]
    {
        exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).assert_refused(Reject::BadHost);
    }
    for host in ["", "h", "h:", "h:80", "[::1]:80", "198.18.0.2:8080"] {
        let outcome = exchange(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        outcome.assert_answers(&[200], true);
        assert!(outcome.output.contains(&format!("host={host} ")));
    }
}

#[test]
fn row_04_absolute_form_is_accepted_and_overrides_host() {
    let outcome = exchange("GET http://other:81/p?q HTTP/1.1\r\nHost: h\r\n\r\n");
    outcome.assert_answers(&[200], true);
    assert!(outcome.output.contains("GET /p query=q host=other:81 "));
    let outcome = exchange("GET HTTPS://other HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(outcome.output.contains("GET / query=- host=other "));
    for target in ["http://u@h/", "ftp://h/", "http:///p", "http://h:x/"] {
        exchange(format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
            .assert_refused(Reject::BadTarget);
    }
}

#[test]
fn row_05_options_asterisk_reaches_the_service() {
    let outcome = exchange("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n");
    outcome.assert_answers(&[200], true);
    assert!(outcome.output.contains("OPTIONS * query=- "));
}

#[test]
fn row_06_asterisk_and_authority_form_with_other_methods_are_refused() {
    for target in ["*", "h:80", "h", "*/", "?q"] {
        for method in ["GET", "POST", "HEAD"] {
            exchange(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
                .assert_refused(Reject::BadTarget);
        }
    }
    exchange("OPTIONS h:80 HTTP/1.1\r\nHost: h\r\n\r\n").assert_refused(Reject::BadTarget);
}

#[test]
fn row_07_connect_is_not_implemented() {
    exchange("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n").assert_refused(Reject::UnknownMethod);
    exchange("CONNECT / HTTP/1.1\r\nHost: h\r\n\r\n").assert_refused(Reject::UnknownMethod);
}

#[test]
fn row_09_invalid_request_line_is_refused() {
    for line in [
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        " GET / HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET /a b HTTP/1.1",
        "GET",
        " ",
        "G(T / HTTP/1.1",
        "GET /",
        "/ HTTP/1.1",
    ] {
        let outcome = exchange(format!("{line}\r\nHost: h\r\n\r\n"));
        outcome.assert_refused(Reject::BadRequestLine);
    }
    for line in ["GET\t/ HTTP/1.1", "GET /\tHTTP/1.1", "GET /\x7f HTTP/1.1", "GET /\0 HTTP/1.1"] {
        exchange(format!("{line}\r\nHost: h\r\n\r\n")).assert_refused(Reject::BadByte);
    }
    exchange("GET /#f HTTP/1.1\r\nHost: h\r\n\r\n").assert_refused(Reject::BadTarget);
}

#[test]
fn row_10_long_targets_are_supported_then_refused_with_414() {
    let get = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(len - 1));
    exchange(get(8000)).assert_answers(&[200], true);
    let longest = Limits::DEFAULT.line_len_max - "GET  HTTP/1.1".len();
    exchange(get(longest)).assert_answers(&[200], true);
    exchange(get(longest + 1)).assert_refused(Reject::TargetTooLong);
    // Refused before it is whole: nobody waits for its end.
    exchange(format!("GET /{}", "a".repeat(9000))).assert_refused(Reject::TargetTooLong);
}

#[test]
fn row_11_unknown_and_long_methods_are_not_implemented() {
    for method in ["BREW", "PROPFIND", "GETS", "GE", &"M".repeat(100), &"M".repeat(9000)] {
        exchange(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"))
            .assert_refused(Reject::UnknownMethod);
    }
}

#[test]
fn row_13_every_known_method_reaches_the_service() {
    for method in Method::ALL {
        let outcome = exchange(format!("{} /p HTTP/1.1\r\nHost: h\r\n\r\n", method.name()));
        outcome.assert_answers(&[200], true);
    }
}

#[test]
fn row_14_methods_are_case_sensitive() {
    for method in ["get", "Get", "pOST"] {
        exchange(format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n"))
            .assert_refused(Reject::UnknownMethod);
    }
}

#[test]
fn row_15_trace_is_not_implemented() {
    exchange("TRACE / HTTP/1.1\r\nHost: h\r\nCookie: secret\r\n\r\n")
        .assert_refused(Reject::UnknownMethod);
}

#[test]
fn row_16_version_is_exact() {
    for version in [
        "",
        "http/1.1",
        "Http/1.1",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/11",
        "HTTP/1.11",
        "HTTP/01.1",
        "HTTP/.1",
        "HTTP/1,1",
        "HTTP1.1",
        "HTTP/1.1a",
        "HTTP/a.1",
        "HTTPS/1.1",
        "1.1",
        "ICY/1.0",
    ] {
        exchange(format!("GET / {version}\r\nHost: h\r\n\r\n")).assert_refused(Reject::BadVersion);
    }
}

#[test]
fn row_17_other_major_versions_get_505() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"] {
        exchange(format!("GET / {version}\r\nHost: h\r\n\r\n"))
            .assert_refused(Reject::UnsupportedVersion);
    }
    exchange("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").assert_refused(Reject::UnsupportedVersion);
}

#[test]
fn row_18_higher_minor_versions_are_1_1() {
    for minor in 2..=9 {
        let outcome = exchange(format!("GET / HTTP/1.{minor}\r\nHost: h\r\n\r\n"));
        outcome.assert_answers(&[200], true);
        assert!(outcome.output.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(outcome.output.contains(" Http11 "));
    }
    exchange("GET / HTTP/1.2\r\n\r\n").assert_refused(Reject::HostMissing);
}

#[test]
fn row_19_http_0_9_gets_a_status_line() {
    let outcome = exchange("GET /\r\n");
    outcome.assert_refused(Reject::BadRequestLine);
    assert!(outcome.output.starts_with("HTTP/1.1 400 "));
}

#[test]
fn row_20_empty_lines_before_the_request_line_are_ignored() {
    exchange(format!("\r\n{}", get(""))).assert_answers(&[200], true);
    exchange(format!("\r\n\r\n\r\n{}\r\n{}", get(""), get(""))).assert_answers(&[200, 200], true);
    exchange(format!("{}{}", "\r\n".repeat(8), get(""))).assert_answers(&[200], true);
    exchange("\r\n".repeat(9)).assert_refused(Reject::BlankLines);
    let idle = exchange("\r\n");
    assert_eq!((idle.output.as_str(), idle.waiting), ("", Waiting::Idle));
}

#[test]
fn row_21_bare_lf_is_refused_everywhere() {
    let head = "GET / HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n";
    for (at, _) in head.match_indices("\r\n") {
        let mut wire = head.to_owned();
        wire.remove(at);
        exchange(&wire).assert_refused(Reject::BareLf);
    }
    exchange("GET / HTTP/1.1\n\n").assert_refused(Reject::BareLf);
    exchange(format!("\n{}", get(""))).assert_refused(Reject::BareLf);
    let body = "3;e=f\r\nabc\r\n0\r\nT: v\r\n\r\n";
    for (at, _) in body.match_indices("\r\n") {
        let mut wire = body.to_owned();
        wire.remove(at);
        let reject =
            if at < body.find('T').unwrap() { Reject::BadChunk } else { Reject::BadTrailer };
        exchange(chunked(&wire)).assert_refused(reject);
    }
}

#[test]
fn row_22_bare_cr_is_refused() {
    for wire in
        ["GET / HTTP/1.1\rHost: h\r\n\r\n", "GET /\r HTTP/1.1\r\n\r\n", "\rGET / HTTP/1.1\r\n"]
    {
        exchange(wire).assert_refused(Reject::BareCr);
    }
    for lines in
        ["X: a\rb\r\n", "X:\ra\r\n", "X\r: a\r\n", "X: a\r\r\n", "\rX: a\r\n", "X: a\r\n\r\r\n"]
    {
        exchange(get(lines)).assert_refused(Reject::BareCr);
    }
}

#[test]
fn row_23_whitespace_before_the_first_field_is_refused() {
    for space in [" ", "\t", "   "] {
        exchange(format!("GET / HTTP/1.1\r\n{space}Host: h\r\n\r\n"))
            .assert_refused(Reject::FoldedField);
        exchange(format!("GET / HTTP/1.1\r\n{space}\r\nHost: h\r\n\r\n"))
            .assert_refused(Reject::FoldedField);
    }
}

#[test]
fn row_24_bytes_that_are_not_http_are_refused() {
    let client_hello = b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03";
    exchange(client_hello).assert_refused(Reject::BadByte);
    exchange(b"\xff\xfe\xfd").assert_refused(Reject::BadByte);
    exchange("GET /caf\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n").assert_refused(Reject::BadByte);
    exchange("EHLO example.org\r\n").assert_refused(Reject::BadRequestLine);
    let noise: Vec<u8> = (0..=255).rev().collect();
    exchange(noise).assert_refused(Reject::BadByte);
}

#[test]
fn row_25_whitespace_before_the_colon_is_refused() {
    for lines in ["X : y\r\n", "X\t: y\r\n", "Content-Length : 5\r\n"] {
        exchange(get(lines)).assert_refused(Reject::BadFieldName);
    }
    exchange("GET / HTTP/1.1\r\nHost : h\r\n\r\n").assert_refused(Reject::BadFieldName);
}

#[test]
fn row_26_field_names_are_tokens_before_a_colon() {
    for lines in
        [": y\r\n", "X\r\n", "X y: z\r\n", "X[: y\r\n", "X\u{e9}: y\r\n", "(X): y\r\n", "X=y\r\n"]
    {
        exchange(get(lines)).assert_refused(Reject::BadFieldName);
    }
    exchange(get("!#$%&'*+-.^_`|~09azAZ: y\r\n")).assert_answers(&[200], true);
}

#[test]
fn row_27_folded_fields_are_refused() {
    for lines in ["X: a\r\n b\r\n", "X: a\r\n\tb\r\n", "X: a\r\n \r\n", "X:\r\n Y: z\r\n"] {
        exchange(get(lines)).assert_refused(Reject::FoldedField);
    }
}

#[test]
fn row_28_cr_lf_and_nul_in_a_value_are_refused() {
    exchange(get("X: a\0b\r\n")).assert_refused(Reject::BadByte);
    exchange(get("X: a\nb\r\n")).assert_refused(Reject::BareLf);
    exchange(get("X: a\rb\r\n")).assert_refused(Reject::BareCr);
}

#[test]
fn row_29_other_controls_in_a_value_are_refused() {
    for control in (1..0x20u8).chain([0x7f]).filter(|b| !b"\t\r\n".contains(b)) {
        exchange(get(&format!("X: a{}b\r\n", char::from(control)))).assert_refused(Reject::BadByte);
    }
    let outcome = exchange(b"GET / HTTP/1.1\r\nHost: h\r\nX: a\tb\xe9\r\n\r\n");
    outcome.assert_answers(&[200], true);
}

#[test]
fn row_30_whitespace_around_values_is_trimmed_and_empty_values_are_legal() {
    for (sent, want) in [
        ("X: y", "x=y "),
        ("X:y", "x=y "),
        ("X:  \t y\t ", "x=y "),
        ("X: a b ", "x=a b "),
        ("X:", "x= "),
        ("X: \t ", "x= "),
    ] {
        let outcome = exchange(get(&format!("{sent}\r\n")));
        outcome.assert_answers(&[200], true);
        assert!(outcome.output.contains(want), "{sent:?}: {outcome:?}");
    }
    exchange(post("Content-Length: \t2 \r\n", "ab")).assert_answers(&[200], true);
}

#[test]
fn row_31_too_many_or_too_long_fields_get_431() {
    let limits = Limits::DEFAULT;
    let many = |fields: usize| get(&"X: y\r\n".repeat(fields - 1));
    exchange(many(limits.fields_max)).assert_answers(&[200], true);
    exchange(many(limits.fields_max + 1)).assert_refused(Reject::TooManyFields);
    let few = Limits { fields_max: 3, ..limits.clone() };
    exchange_with(many(3), &few).assert_answers(&[200], true);
    exchange_with(many(4), &few).assert_refused(Reject::TooManyFields);

    let line = |len: usize| format!("X: {}\r\n", "y".repeat(len - 3));
    exchange(get(&line(limits.line_len_max))).assert_answers(&[200], true);
    exchange(get(&line(limits.line_len_max + 1))).assert_refused(Reject::FieldTooLong);

    let frame = get("").len();
    let head = |len: usize| get(&format!("{}{}", line(8002), line(len - frame - 8006)));
    assert_eq!(head(16_000).len(), 16_000);
    exchange(head(limits.head_len_max - 200)).assert_answers(&[200], true);
    let filler = |len: usize| get(&format!("{0}{0}{1}", line(7998), line(len - frame - 16_002)));
    exchange(filler(limits.head_len_max)).assert_answers(&[200], true);
    exchange(filler(limits.head_len_max + 1)).assert_refused(Reject::HeadTooLong);
}

#[test]
fn row_32_field_names_ignore_case_and_lists_ignore_empty_elements() {
    let wire = "POST / HTTP/1.1\r\nhOsT: h\r\nCONTENT-LENGTH: 2\r\nx: y\r\nCONNECTION: , ,CLOSE ,\r\n\r\nab";
    let outcome = exchange(wire);
    outcome.assert_answers(&[200], false);
    assert!(outcome.output.contains("host=h Http11 x=y body=ab"));
    exchange(post("transfer-ENCODING: ,, Chunked,\r\n", "0\r\n\r\n")).assert_answers(&[200], true);
}
