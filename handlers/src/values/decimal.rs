//! Decimal numbers, exact: what was written, and the value it stands for.
//!
//! Invariant: the text is a JSON number. Two numbers are equal if their values are, however they are
//! spelt: 1, 1.0 and 10e-1.

use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeInclusive;

use super::number::Whole;

/// A decimal number with the digits it was written with.
#[derive(Clone, Debug)]
pub struct Decimal {
    /// A JSON number; zero has no sign.
    text: Box<str>,
    sign: Sign,
    /// The digits from the first to the last that is not 0; none of zero.
    digits: Box<str>,
    /// The value is `0.DIGITS` times ten to the power of this. Zero has 0.
    magnitude: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sign {
    Negative,
    Zero,
    Positive,
}

impl Decimal {
    /// A number with an optional sign, point and exponent: `-1.50`, `+.5`, `1e3`. `None` for
    /// anything else, `inf` and `nan` included, and for more than 1,000 characters or an exponent
    /// beyond 64 bits.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > LEN_MAX {
            return None;
        }
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Some(exponent)),
            None => (unsigned, None),
        };
        let power = match exponent.map(|exponent| Whole::of_digits(exponent.bytes())) {
            None => 0,
            Some(Some(Whole::Is(power))) => power,
            Some(_) => return None,
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
        if !is_digits || (whole.is_empty() && fraction.is_empty()) {
            return None;
        }
        let whole = whole.trim_start_matches('0');
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0');
        let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let significant = significant.trim_end_matches('0');
        let sign = match (significant.is_empty(), is_negative) {
            (true, _) => Sign::Zero,
            (false, true) => Sign::Negative,
            (false, false) => Sign::Positive,
        };
        let magnitude = match sign {
            Sign::Zero => 0,
            _ => power.checked_add(i64::try_from(whole.len()).ok()?)?.checked_sub(zeros)?,
        };
        let text = spell(sign, whole, fraction, exponent);
        Some(Self { text: text.into(), sign, digits: significant.into(), magnitude })
    }

    /// The number as it was written, as a JSON number: without `+` and leading zeros, with a digit
    /// before the point, and with one behind it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one spelling of all numbers with this value: `1.5` for `1.50` and `15e-1`.
    pub fn canonical(&self) -> String {
        let digits = &self.digits;
        let sign = if self.sign == Sign::Negative { "-" } else { "" };
        let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
        let len = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        match self.magnitude {
            _ if self.sign == Sign::Zero => "0".into(),
            magnitude if !PLAIN.contains(&magnitude) => format!("{sign}0.{digits}e{magnitude}"),
            magnitude if magnitude <= 0 => format!("{sign}0.{}{digits}", zeros(-magnitude)),
            magnitude if magnitude >= len => format!("{sign}{digits}{}", zeros(magnitude - len)),
            magnitude => {
                let (whole, fraction) = digits.split_at(usize::try_from(magnitude).unwrap_or(0));
                format!("{sign}{whole}.{fraction}")
            }
        }
    }

    /// The value as an integer; `None` if it has a fraction or is beyond 64 bits.
    pub fn to_i64(&self) -> Option<i64> {
        match self.to_whole()? {
            Whole::Is(value) => Some(value),
            Whole::Below | Whole::Above => None,
        }
    }

    /// The nearest number of 64 bits; infinite if it is beyond them.
    ///
    /// # Panics
    /// Never: a JSON number is one of Rust's.
    pub fn to_f64(&self) -> f64 {
        self.text.parse().expect("a number")
    }

    /// The nearest number of 32 bits; infinite if it is beyond them.
    ///
    /// # Panics
    /// Never: a JSON number is one of Rust's.
    pub fn to_f32(&self) -> f32 {
        self.text.parse().expect("a number")
    }

    /// The value as an integer; `None` if it has a fraction.
    pub(crate) fn to_whole(&self) -> Option<Whole> {
        let len = i64::try_from(self.digits.len()).ok()?;
        if self.magnitude < len {
            return None;
        }
        let is_negative = self.sign == Sign::Negative;
        if self.magnitude > INTEGER_DIGITS_MAX {
            return Some(if is_negative { Whole::Below } else { Whole::Above });
        }
        Whole::of_digits(self.canonical().bytes())
    }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Self {
        Self::parse(&value.to_string()).expect("digits are a number")
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Decimal {}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let size = || {
            let magnitude = self.magnitude.cmp(&other.magnitude);
            // Digits that begin alike are a smaller fraction if they end first.
            magnitude.then_with(|| self.digits.cmp(&other.digits))
        };
        self.sign.cmp(&other.sign).then_with(|| match self.sign {
            Sign::Negative => size().reverse(),
            Sign::Zero | Sign::Positive => size(),
        })
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// As JSON has it; `whole` has no leading zeros.
fn spell(sign: Sign, whole: &str, fraction: &str, exponent: Option<&str>) -> String {
    let mut text = String::new();
    if sign == Sign::Negative {
        text.push('-');
    }
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        text.push('.');
        text.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        text.push('e');
        text.push_str(exponent);
    }
    text
}

/// Characters of a number: more than the digits of any that 64 bits hold.
pub(crate) const LEN_MAX: usize = 1_000;

/// Magnitudes of numbers whose canonical spelling has no exponent.
const PLAIN: RangeInclusive<i64> = -30..=400;

/// Digits of the greatest number of 64 bits, which is less than ten to the power of this.
const INTEGER_DIGITS_MAX: i64 = 19;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a number")
    }

    #[test]
    fn decimals_are_digits_not_words() {
        for (sent, text, canonical) in [
            ("1", "1", "1"),
            ("-1.50", "-1.50", "-1.5"),
            ("+.5", "0.5", "0.5"),
            ("5.", "5", "5"),
            ("007", "7", "7"),
            ("00.10", "0.10", "0.1"),
            ("1e3", "1e3", "1000"),
            ("1E+3", "1e+3", "1000"),
            ("-0", "0", "0"),
            ("-0.00e5", "0.00e5", "0"),
            ("123.4500e-1", "123.4500e-1", "12.345"),
            ("0.0010", "0.0010", "0.001"),
            ("12e-33", "12e-33", "0.12e-31"),
            ("-1e500", "-1e500", "-0.1e501"),
            ("9007199254740993", "9007199254740993", "9007199254740993"),
            ("0.10000000000000000555", "0.10000000000000000555", "0.10000000000000000555"),
        ] {
            let number = decimal(sent);
            assert_eq!(number.as_str(), text, "{sent}");
            assert_eq!(number.canonical(), canonical, "{sent}");
            assert_eq!(decimal(canonical), number, "{sent}");
        }
        for text in [
            "",
            "-",
            "+",
            ".",
            "-.",
            "e5",
            ".e5",
            "1e",
            "1e+",
            "1e1.0",
            "1.2.3",
            "inf",
            "-infinity",
            "nan",
            "NaN",
            "1,5",
            "1_000",
            " 1",
            "1 ",
            "--1",
            "+-1",
            "1.-5",
            "0x10",
            "\u{661}",
            "1\u{661}",
            "1e99999999999999999999",
            "9e9223372036854775807",
        ] {
            assert!(Decimal::parse(text).is_none(), "{text:?}");
        }
        assert!(Decimal::parse(&"1".repeat(LEN_MAX)).is_some());
        assert!(Decimal::parse(&"1".repeat(LEN_MAX + 1)).is_none());
    }

    #[test]
    fn numbers_are_in_order() {
        let ascending = [
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-10",
            "-9.99",
            "-0.1",
            "-0.01",
            "0",
            "1e-400",
            "0.01",
            "0.0999",
            "0.1",
            "0.11",
            "9",
            "9.000000000000000000001",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1.7976931348623157e308",
            "1.7976931348623158e308",
            "1e400",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (other_at, other) in ascending.iter().enumerate() {
                let order = decimal(one).cmp(&decimal(other));
                assert_eq!(order, at.cmp(&other_at), "{one} {other}");
            }
        }
    }

    #[test]
    fn whole_numbers_are_integers_as_far_as_64_bits_go() {
        for (text, want) in [
            ("0.000e9", Some(0)),
            ("-3.00", Some(-3)),
            ("30e-1", Some(3)),
            ("35e-1", None),
            ("0.5", None),
            ("9223372036854775807", Some(i64::MAX)),
            ("9.223372036854775807e18", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("-9223372036854775808.0", Some(i64::MIN)),
            ("-9223372036854775809", None),
            ("1e999999", None),
        ] {
            assert_eq!(decimal(text).to_i64(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn equal_values_have_one_spelling(value in any::<i64>(), zeros in 0_usize..30, e in -40_i64..40) {
            let number = decimal(&format!("{value}e{e}"));
            let zeros_behind = "0".repeat(zeros);
            let shifted = e - i64::try_from(zeros).expect("small");
            for text in [
                format!("{value}.{zeros_behind}e{e}"),
                format!("{value}{zeros_behind}E{shifted}"),
            ] {
                let other = decimal(&text);
                prop_assert_eq!(&other, &number);
                prop_assert_eq!(other.canonical(), number.canonical());
            }
            let canonical = decimal(&number.canonical());
            prop_assert_eq!(&canonical, &number);
            prop_assert_eq!(canonical.canonical(), number.canonical());
        }

        #[test]
        fn order_is_that_of_fractions_over_one_denominator(
            a in any::<i64>(), b in any::<i64>(), small in any::<bool>(), x in 0_u32..15, y in 0_u32..15,
        ) {
            let (a, b) = if small { (a % 20, b % 20) } else { (a, b) };
            let [one, other] = [(a, x), (b, y)].map(|(value, power)| {
                decimal(&format!("{value}e{}", i64::from(power) - 7))
            });
            // 128 bits hold 19 digits and 15 more.
            let [a, b] = [(a, x), (b, y)].map(|(value, power)| i128::from(value) * 10_i128.pow(power));
            prop_assert_eq!(one.cmp(&other), a.cmp(&b));
            prop_assert_eq!(one.canonical() == other.canonical(), a == b);
        }

        #[test]
        fn integers_and_reals_are_read(value in any::<i64>(), real in any::<f64>()) {
            let integer = Decimal::from(value);
            prop_assert_eq!(integer.to_i64(), Some(value));
            prop_assert_eq!(integer.to_string(), value.to_string());
            prop_assume!(real.is_finite() && real != 0.0);
            let text = format!("{real:e}");
            let number = decimal(&text);
            prop_assert_eq!(number.to_f64().to_bits(), real.to_bits());
            prop_assert_eq!(decimal(&number.canonical()).to_f64().to_bits(), real.to_bits());
        }

        #[test]
        fn what_is_read_is_a_json_number(text in "[-+]?[0-9]{0,4}(\\.[0-9]{0,4})?([eE][-+]?[0-9]{1,3})?") {
            if let Some(number) = Decimal::parse(&text) {
                let json: Box<serde_json::value::RawValue> =
                    serde_json::from_str(number.as_str()).expect("JSON");
                prop_assert_eq!(json.get(), number.as_str());
                prop_assert_eq!(number.to_f64(), text.parse::<f64>().expect("a number") + 0.0);
            } else {
                prop_assert!(text.parse::<f64>().is_err());
            }
        }
    }
}
