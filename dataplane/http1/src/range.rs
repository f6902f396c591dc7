//! Range requests for bytes (RFC 9110 14).

use crate::{etag, list, parse_http_date};

/// What a Range field asks of a representation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// All of it: the field is to be ignored, because it is malformed, in another unit, or asks for
    /// several ranges, which a server need not serve (RFC 9110 14.2).
    Whole,
    /// One part: 206.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte: `first <= last`, and `last` is less than the length.
        last: u64,
    },
    /// Nothing that exists: 416.
    Unsatisfiable,
}

impl Range {
    /// Reads the value of a Range field against a representation of `len` bytes.
    pub fn parse(value: &[u8], len: u64) -> Self {
        let Some((unit, spec)) = value.split_at_checked(b"bytes=".len()) else {
            return Self::Whole;
        };
        if !unit.eq_ignore_ascii_case(b"bytes=") {
            return Self::Whole;
        }
        let mut specs = list::elements(spec);
        match (specs.next(), specs.next()) {
            (Some(spec), None) => Self::parse_spec(spec, len).unwrap_or(Self::Whole),
            _ => Self::Whole,
        }
    }

    /// `first "-" [ last ] / "-" suffix-length`; `None` if it is neither.
    fn parse_spec(spec: &[u8], len: u64) -> Option<Self> {
        let dash = spec.iter().position(|&b| b == b'-')?;
        let (first, last) = (&spec[..dash], &spec[dash + 1..]);
        if first.is_empty() {
            return Some(Self::suffix(Digits::parse(last)?.saturated(), len));
        }
        let first = Digits::parse(first)?;
        let last = if last.is_empty() { None } else { Some(Digits::parse(last)?) };
        //= RFC 9110 14.1.1: an int-range whose last-pos is less than its first-pos is invalid.
        if last.as_ref().is_some_and(|last| first > *last) {
            return None;
        }
        let first = first.saturated();
        let last = last.map_or(u64::MAX, |last| last.saturated());
        Some(if first < len {
            Self::Part { first, last: last.min(len - 1) }
        } else {
            Self::Unsatisfiable
        })
    }

    fn suffix(suffix: u64, len: u64) -> Self {
        match (suffix, len) {
            (0, _) => Self::Unsatisfiable,
            // Satisfiable by the standard, but no Content-Range can say "no bytes".
            (_, 0) => Self::Whole,
            _ => Self::Part { first: len.saturating_sub(suffix), last: len - 1 },
        }
    }
}

/// If-Range (RFC 9110 13.1.5): whether the representation is still the one that `value` names, so
/// that Range applies. `current` is its tag as in ETag, `modified` its Last-Modified in seconds
/// since the epoch. Tags compare strongly, dates exactly.
pub fn if_range_holds(value: &[u8], current: &[u8], modified: Option<u64>) -> bool {
    match value {
        [b'"', ..] | [b'W', b'/', ..] => etag::is_same_strong(value, current),
        _ => modified.is_some() && parse_http_date(value) == modified,
    }
}

/// `1*DIGIT` without its leading zeros: a number of any size, of which fewer digits are less.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Digits<'v> {
    len: usize,
    digits: &'v [u8],
}

impl<'v> Digits<'v> {
    fn parse(value: &'v [u8]) -> Option<Self> {
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let zeros = value.iter().take_while(|&&digit| digit == b'0').count();
        let digits = &value[zeros..];
        Some(Self { len: digits.len(), digits })
    }

    /// What is beyond 64 bits is beyond every representation.
    fn saturated(&self) -> u64 {
        self.digits.iter().fold(0u64, |value, digit| {
            value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Range, if_range_holds};

    fn part(first: u64, last: u64) -> Range {
        Range::Part { first, last }
    }

    #[test]
    fn row_72_single_ranges() {
        for (value, want) in [
            ("bytes=0-0", part(0, 0)),
            ("bytes=0-9", part(0, 9)),
            ("bytes=2-", part(2, 9)),
            ("bytes=9-", part(9, 9)),
            ("bytes=5-100", part(5, 9)),
            ("bytes=-1", part(9, 9)),
            ("bytes=-10", part(0, 9)),
            ("bytes=-11", part(0, 9)),
            ("BYTES=1-2", part(1, 2)),
            ("bytes= 1-2 ,", part(1, 2)),
            ("bytes=0-99999999999999999999999999", part(0, 9)),
            ("bytes=10-", Range::Unsatisfiable),
            ("bytes=10-20", Range::Unsatisfiable),
            ("bytes=-0", Range::Unsatisfiable),
            ("bytes=99999999999999999999999999-", Range::Unsatisfiable),
            ("bytes=10000000000000000000000000-99999999999999999999999999", Range::Unsatisfiable),
            ("bytes=99999999999999999999999999-99999999999999999999999999", Range::Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551616", Range::Unsatisfiable),
            ("bytes=-99999999999999999999999999", part(0, 9)),
            ("bytes=000000000000000000000000000000-0000000000000000000000000000001", part(0, 1)),
            ("bytes=-000000000000000000000000000000", Range::Unsatisfiable),
        ] {
            assert_eq!(Range::parse(value.as_bytes(), 10), want, "{value}");
        }
    }

    #[test]
    fn row_72_other_fields_are_ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
            "bytes=1",
            "bytes=5-4",
            "bytes=1000000000000000000000000000000-10000000000000000000000000",
            "bytes=18446744073709551617-18446744073709551616",
            "bytes=18446744073709551616-18446744073709551615",
            "bytes=99999999999999999999999999-5",
            "bytes=99999999999999999999999999-00000000000000000000000000000000000005",
            "bytes=005-04",
            "bytes=99999999999999999999999999x-",
            "bytes=0-99999999999999999999999999x",
            "bytes=-99999999999999999999999999x",
            "bytes=--1",
            "bytes=-1-",
            "bytes=-+1",
            "bytes=0-1;2-3",
            "bytes=5-4,0-1",
            "bytes==0-1",
            "bytes=0\u{2013}1",
            "bytes=,",
            "bytes=1-2,3-4",
            "bytes=1-2-3",
            "bytes=+1-2",
            "bytes=0x0-1",
            "items=0-1",
            "bytes 0-1",
            "bytes=1 -2",
        ] {
            assert_eq!(Range::parse(value.as_bytes(), 10), Range::Whole, "{value}");
        }
    }

    #[test]
    fn row_72_nothing_of_an_empty_representation() {
        assert_eq!(Range::parse(b"bytes=0-", 0), Range::Unsatisfiable);
        assert_eq!(Range::parse(b"bytes=-5", 0), Range::Whole);
    }

    #[test]
    fn row_72_if_range_is_strong() {
        let modified = Some(784_111_777);
        assert!(if_range_holds(br#""a""#, br#""a""#, None));
        assert!(!if_range_holds(br#"W/"a""#, br#"W/"a""#, None));
        assert!(!if_range_holds(br#""b""#, br#""a""#, None));
        assert!(if_range_holds(b"Sun, 06 Nov 1994 08:49:37 GMT", br#""a""#, modified));
        assert!(!if_range_holds(b"Sun, 06 Nov 1994 08:49:38 GMT", br#""a""#, modified));
        assert!(!if_range_holds(b"Sun, 06 Nov 1994 08:49:37 GMT", br#""a""#, None));
        assert!(!if_range_holds(b"yesterday", br#""a""#, None));
    }
}
