//! The arithmetic of sums: integers of a query, and one in a body.
//!
//! A value counts if it is an optional sign and digits that fit an `i64`; anything else counts
//! nothing. Sums are kept in an `i128`: no request line is long enough to overflow that, so every
//! response is exact and no order of additions matters.

/// Sum of all integer values of a query (`a=13&b=42`), whatever their keys. A pair without `=` has
/// no value.
pub(crate) fn query_sum(query: &[u8]) -> i128 {
    query
        .split(|&b| b == b'&')
        .filter_map(|pair| pair.iter().position(|&b| b == b'=').map(|at| &pair[at + 1..]))
        .filter_map(integer)
        .map(i128::from)
        .sum()
}

/// An optional sign and at least one digit, within `i64`.
fn integer(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// One integer that arrives in pieces, with white space around it.
///
/// ```text
/// Before --sign--> Signed --digit--> Digits --space--> After
///    |                                 ^                 |
///    +------------digit----------------+                 | anything else, in any state
///                                                        +--> Never
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Integer {
    /// Nothing but white space so far.
    #[default]
    Before,
    /// A sign.
    Signed {
        /// It was a minus.
        minus: bool,
    },
    /// Digits. The value is kept negative, where there is room for one more.
    Digits {
        /// A minus came first.
        minus: bool,
        /// Minus the absolute value.
        negated: i64,
    },
    /// White space after digits.
    After {
        /// The number, complete.
        value: i64,
    },
    /// Not an integer, whatever comes.
    Never,
}

impl Integer {
    /// The next bytes.
    pub(crate) fn on_bytes(&mut self, piece: &[u8]) {
        for &byte in piece {
            *self = self.step(byte);
            if *self == Self::Never {
                return;
            }
        }
    }

    /// The integer, if what came is one.
    pub(crate) fn value(self) -> Option<i64> {
        match self {
            Self::Digits { minus: true, negated } => Some(negated),
            Self::Digits { minus: false, negated } => negated.checked_neg(),
            Self::After { value } => Some(value),
            Self::Before | Self::Signed { .. } | Self::Never => None,
        }
    }

    fn step(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Before, b'+' | b'-') => Self::Signed { minus: byte == b'-' },
            (Self::Before, b'0'..=b'9') => Self::digit(false, 0, byte),
            (Self::Signed { minus }, b'0'..=b'9') => Self::digit(minus, 0, byte),
            (Self::Digits { minus, negated }, b'0'..=b'9') => Self::digit(minus, negated, byte),
            (Self::Before | Self::After { .. }, _) if byte.is_ascii_whitespace() => self,
            (Self::Digits { .. }, _) if byte.is_ascii_whitespace() => {
                self.value().map_or(Self::Never, |value| Self::After { value })
            }
            _ => Self::Never,
        }
    }

    fn digit(minus: bool, negated: i64, byte: u8) -> Self {
        negated
            .checked_mul(10)
            .and_then(|tens| tens.checked_sub(i64::from(byte - b'0')))
            .map_or(Self::Never, |negated| Self::Digits { minus, negated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &[(&str, Option<i64>)] = &[
        ("20", Some(20)),
        (" 20\r\n", Some(20)),
        ("\t-7 ", Some(-7)),
        ("+7", Some(7)),
        ("007", Some(7)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("9223372036854775808 ", None),
        ("99999999999999999999999999", None),
        ("", None),
        ("  ", None),
        ("-", None),
        ("+-1", None),
        ("2 0", None),
        ("20x", None),
        ("1.5", None),
        ("0x10", None),
        ("\u{0}1", None),
    ];

    #[test]
    fn a_body_means_the_same_in_every_cut() {
        for &(text, expected) in TEXTS {
            for cut in 0..=text.len() {
                let mut number = Integer::default();
                number.on_bytes(&text.as_bytes()[..cut]);
                number.on_bytes(&text.as_bytes()[cut..]);
                assert_eq!(number.value(), expected, "{text:?} cut at {cut}");
            }
            let mut number = Integer::default();
            text.bytes().for_each(|byte| number.on_bytes(&[byte]));
            assert_eq!(number.value(), expected, "{text:?} byte by byte");
        }
    }

    #[test]
    fn a_query_adds_up_what_is_an_integer() {
        assert_eq!(query_sum(b"a=13&b=42"), 55);
        assert_eq!(query_sum(b"a=1&a=1"), 2);
        assert_eq!(query_sum(b"a=1.5&b=x&c=&d&=4&e=-5&&"), -1);
        assert_eq!(query_sum(b""), 0);
        assert_eq!(query_sum(b"a=9223372036854775808&b=1"), 1);
        assert_eq!(query_sum(b"a= 1&b=1 "), 0);
        assert_eq!(
            query_sum(b"a=9223372036854775807&b=9223372036854775807"),
            18_446_744_073_709_551_614
        );
    }

    proptest::proptest! {
        #[test]
        fn any_body_means_what_the_standard_library_says(
            text in "[ \t\r\n]{0,2}[-+]{0,2}[0-9]{0,21}[ x]{0,2}",
            cut in 0_usize..24,
        ) {
            let (one, two) = text.as_bytes().split_at(cut.min(text.len()));
            let mut number = Integer::default();
            number.on_bytes(one);
            number.on_bytes(two);
            proptest::prop_assert_eq!(number.value(), text.trim_ascii().parse().ok());
        }
    }
}
