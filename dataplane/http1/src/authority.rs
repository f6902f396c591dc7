//! `uri-host [":" port]` (RFC 3986 3.2, RFC 9110 4.2 and 7.2), the value of Host.

use core::net::Ipv6Addr;

/// Whether `value` is a Host value. Empty is legal, userinfo and comma are not.
#[inline]
pub(crate) fn is_valid(value: &[u8]) -> bool {
    // Every request comes here, nearly always with a plain name or address, perhaps a port.
    match value.iter().fold(0, |seen, &b| seen | CLASS[usize::from(b)]) {
        0 => true,
        COLON => split_port(value).1.is_none_or(is_port_suffix),
        _ => is_valid_thoroughly(value),
    }
}

fn is_valid_thoroughly(value: &[u8]) -> bool {
    let (host_ok, port) = match value {
        [b'[', rest @ ..] => match split_at_byte(rest, b']') {
            (literal, Some(port)) => (is_ipv6(literal), Some(port).filter(|port| !port.is_empty())),
            (_, None) => return false,
        },
        _ => {
            let (name, port) = split_port(value);
            (is_reg_name(name), port)
        }
    };
    host_ok && port.is_none_or(is_port_suffix)
}

/// Cuts `name` from `":" port`; the second part keeps its colon.
fn split_port(value: &[u8]) -> (&[u8], Option<&[u8]>) {
    match value.iter().position(|&b| b == b':') {
        Some(colon) => (&value[..colon], Some(&value[colon..])),
        None => (value, None),
    }
}

fn split_at_byte(value: &[u8], byte: u8) -> (&[u8], Option<&[u8]>) {
    match value.iter().position(|&b| b == byte) {
        Some(at) => (&value[..at], Some(&value[at + 1..])),
        None => (value, None),
    }
}

/// `":" *DIGIT`, at most 65535.
fn is_port_suffix(suffix: &[u8]) -> bool {
    let [b':', digits @ ..] = suffix else { return false };
    let mut port = 0u32;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return false;
        }
        port = port * 10 + u32::from(digit - b'0');
        if port > u32::from(u16::MAX) {
            return false;
        }
    }
    true
}

fn is_ipv6(literal: &[u8]) -> bool {
    core::str::from_utf8(literal).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// `reg-name` of RFC 3986 without the comma, which only a list of hosts would hold.
fn is_reg_name(name: &[u8]) -> bool {
    name.iter().all(|&b| matches!(CLASS[usize::from(b)], 0 | PERCENT)) && escapes_are_whole(name)
}

/// Every `%` starts a `"%" HEXDIG HEXDIG`.
fn escapes_are_whole(name: &[u8]) -> bool {
    name.iter().enumerate().filter(|&(_, &b)| b == b'%').all(|(at, _)| {
        matches!(name.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit))
    })
}

const COLON: u8 = 1;
const PERCENT: u8 = 2;
const OTHER: u8 = 4;

/// 0 for what may stand in a name as it is.
const CLASS: [u8; 256] = {
    let mut table = [OTHER; 256];
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => 0,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'=' => 0,
            b':' => COLON,
            b'%' => PERCENT,
            _ => OTHER,
        };
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_valid, is_valid_thoroughly};

    proptest! {
        #[test]
        fn the_short_cut_changes_nothing(value in "[a-c0-9:.%,@\\[\\]-]{0,12}") {
            let value = value.as_bytes();
            prop_assert_eq!(is_valid(value), is_valid_thoroughly(value));
        }
    }

    #[test]
    fn accepts_names_addresses_and_ports() {
        for value in
            ["", "a", "example.org", "a:80", "a:", "a:65535", "10.0.0.1:1", "[::1]", "[::1]:8080"]
        {
            assert!(is_valid(value.as_bytes()), "{value}");
        }
        for value in ["a_b", "a%20b", "xn--bcher-kva.example", "[2001:db8::1]:", "a:00080"] {
            assert!(is_valid(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        for value in
            ["u@a", "u:p@a", "a/b", "a,b", "a, b", "a b", "a:x", "a:65536", "a:-1", "a:1:2", "a?b"]
        {
            assert!(!is_valid(value.as_bytes()), "{value}");
        }
        for value in ["[", "[]", "[::1", "::1", "[::1]80", "[g::]", "[::1]:x", "a%2", "a%zz", "a#"]
        {
            assert!(!is_valid(value.as_bytes()), "{value}");
        }
        assert!(!is_valid(b"caf\xc3\xa9"));
    }
}
