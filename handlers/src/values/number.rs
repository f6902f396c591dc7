//! Integers in texts: what is one, and what is one but beyond what a machine word holds.

/// An integer that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whole {
    /// It fits.
    Is(i64),
    /// It is less than every `i64`.
    Below,
    /// It is greater than every `i64`.
    Above,
}

impl Whole {
    /// An optional sign and at least one digit; leading zeros are fine. `None` for anything else.
    pub(crate) fn of_digits(bytes: impl IntoIterator<Item = u8>) -> Option<Self> {
        let mut bytes = bytes.into_iter().peekable();
        let negative = match bytes.peek() {
            Some(sign @ (b'-' | b'+')) => {
                let negative = *sign == b'-';
                bytes.next();
                negative
            }
            _ => false,
        };
        bytes.peek()?;
        let mut size = 0_u64;
        for byte in bytes {
            if !byte.is_ascii_digit() {
                return None;
            }
            size = size.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
        }
        Some(Self::of_size(negative, size))
    }

    /// A JSON number without a fraction in its value: `3`, `3.0`, `30e-1`. `None` for any other one.
    pub(crate) fn of_json(number: &str) -> Option<Self> {
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number),
        };
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, saturating(exponent)?),
            None => (number, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            return Some(Self::Is(0));
        }
        let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let decimals = i64::try_from(fraction.len()).ok()?;
        let zeros = exponent.saturating_add(zeros).saturating_sub(decimals);
        let zeros = u32::try_from(zeros.min(i64::from(u32::MAX))).ok()?;
        let size = significant.parse().unwrap_or(u64::MAX);
        let size = 10_u64.checked_pow(zeros).and_then(|power| size.checked_mul(power));
        Some(Self::of_size(negative, size.unwrap_or(u64::MAX)))
    }

    fn of_size(negative: bool, size: u64) -> Self {
        match (negative, i64::try_from(size)) {
            (false, Ok(value)) => Self::Is(value),
            (false, Err(_)) => Self::Above,
            (true, _) => 0_i64.checked_sub_unsigned(size).map_or(Self::Below, Self::Is),
        }
    }
}

/// The exponent of a number; beyond 64 bits it makes no difference how far.
fn saturating(exponent: &str) -> Option<i64> {
    match Whole::of_digits(exponent.bytes())? {
        Whole::Is(exponent) => Some(exponent),
        Whole::Below => Some(i64::MIN),
        Whole::Above => Some(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digits_are_read_with_a_sign_and_leading_zeros() {
        for (text, want) in [
            ("0", Some(Whole::Is(0))),
            ("007", Some(Whole::Is(7))),
            ("+7", Some(Whole::Is(7))),
            ("-00", Some(Whole::Is(0))),
            ("9223372036854775807", Some(Whole::Is(i64::MAX))),
            ("9223372036854775808", Some(Whole::Above)),
            ("-9223372036854775808", Some(Whole::Is(i64::MIN))),
            ("-9223372036854775809", Some(Whole::Below)),
            ("99999999999999999999999999", Some(Whole::Above)),
            ("-99999999999999999999999999", Some(Whole::Below)),
            ("99999999999999999999999999x", None),
            ("", None),
            ("-", None),
            ("+-1", None),
            ("1-", None),
            (" 1", None),
            ("1.0", None),
            ("1e3", None),
            ("0x10", None),
            ("\u{661}", None),
        ] {
            assert_eq!(Whole::of_digits(text.bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn json_numbers_are_integers_by_value() {
        for (text, want) in [
            ("3", Some(Whole::Is(3))),
            ("3.0", Some(Whole::Is(3))),
            ("-3.000", Some(Whole::Is(-3))),
            ("3.5", None),
            ("0.5e1", Some(Whole::Is(5))),
            ("30e-1", Some(Whole::Is(3))),
            ("35e-1", None),
            ("1e18", Some(Whole::Is(1_000_000_000_000_000_000))),
            ("1E+19", Some(Whole::Above)),
            ("-1e19", Some(Whole::Below)),
            ("1e99999999999999999999", Some(Whole::Above)),
            ("1e-99999999999999999999", None),
            ("0e99999999999999999999", Some(Whole::Is(0))),
            ("0.000", Some(Whole::Is(0))),
            ("-0", Some(Whole::Is(0))),
            ("9223372036854775807.0", Some(Whole::Is(i64::MAX))),
            ("-9223372036854775808", Some(Whole::Is(i64::MIN))),
            ("9223372036854775808", Some(Whole::Above)),
            ("99999999999999999999999", Some(Whole::Above)),
        ] {
            assert_eq!(Whole::of_json(text), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_integer_is_read_in_every_notation(value in any::<i64>(), zeros in 0_usize..5) {
            let text = value.to_string();
            prop_assert_eq!(Whole::of_digits(text.bytes()), Some(Whole::Is(value)));
            let json = format!("{text}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(Whole::of_json(&json), Some(Whole::Is(value)));
            let json = format!("{text}{}e-{zeros}", "0".repeat(zeros));
            prop_assert_eq!(Whole::of_json(&json), Some(Whole::Is(value)));
        }
    }
}
