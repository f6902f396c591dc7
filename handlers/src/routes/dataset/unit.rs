//! `price * quantity * k`, exactly. Owns the arithmetic and its notation, nothing else.
//!
//! Numbers without a decimal point make an integer of any size. One with a decimal point makes a
//! product rounded to two decimals, halves away from zero, written with at least one decimal.
//! Invariant: a unit's product with any `i64` fits an `i128`, so nothing here overflows.

/// `price * quantity` of one item, before it is multiplied by the `k` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A product of integers.
    Whole(i64),
    /// A product with decimals: `base / per_cent` hundredths.
    Cents {
        /// The product in the smallest decimal place that was given.
        base: i64,
        /// How many of `base` make a hundredth: a power of ten.
        per_cent: i64,
    },
}

/// Why a text is no factor of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotPlain;

/// A JSON number in plain notation: `mantissa / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain {
    mantissa: i64,
    /// `None` for an integer.
    decimals: Option<u32>,
}

impl Plain {
    /// Reads the text of a JSON number that has no exponent and at most [`DIGITS_MAX`] digits.
    pub(crate) fn read(number: &str) -> Result<Self, NotPlain> {
        let (whole, fraction) = match number.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (number, None),
        };
        let digits = whole.len() + fraction.map_or(0, str::len);
        if digits > DIGITS_MAX {
            return Err(NotPlain);
        }
        let text = format!("{whole}{}", fraction.unwrap_or_default());
        let mantissa = text.parse().map_err(|_| NotPlain)?;
        let decimals = fraction.map(|f| u32::try_from(f.len()).unwrap_or(u32::MAX));
        Ok(Self { mantissa, decimals })
    }
}

/// Room for the text of one total.
pub(crate) struct Room {
    digits: itoa::Buffer,
    decimal: [u8; TEXT_LEN_MAX],
}

impl Room {
    /// Room with nothing in it.
    pub(crate) fn new() -> Self {
        Self { digits: itoa::Buffer::new(), decimal: [0; TEXT_LEN_MAX] }
    }
}

impl Unit {
    /// The product of some numbers; `None` beyond [`BASE_MAX`], or with more than 20 decimals.
    pub(crate) fn product(factors: impl IntoIterator<Item = Plain>) -> Option<Self> {
        let mut base = 1_i64;
        let mut decimals = None;
        for factor in factors {
            base = base.checked_mul(factor.mantissa)?;
            decimals = match (decimals, factor.decimals) {
                (one, None) => one,
                (one, Some(other)) => Some(one.unwrap_or(0) + other),
            };
        }
        if base.abs() > BASE_MAX {
            return None;
        }
        Some(match decimals {
            None => Self::Whole(base),
            Some(decimals @ 0..=2) => {
                Self::Cents { base: base * 10_i64.pow(2 - decimals), per_cent: 1 }
            }
            Some(decimals) => Self::Cents { base, per_cent: 10_i64.checked_pow(decimals - 2)? },
        })
    }

    /// The total for `k`, as JSON text.
    pub(crate) fn text(self, k: i64, room: &mut Room) -> &[u8] {
        match self {
            Self::Whole(base) => match base.checked_mul(k) {
                Some(total) => room.digits.format(total).as_bytes(),
                None => room.digits.format(i128::from(base) * i128::from(k)).as_bytes(),
            },
            Self::Cents { base, per_cent } => decimal(cents(base, per_cent, k), room),
        }
    }

    /// Bytes of [`text`](Self::text).
    pub(crate) fn len(self, k: i64) -> usize {
        if let Self::Whole(base) = self
            && let Some(total) = base.checked_mul(k)
        {
            return usize::from(total < 0) + digits(total.unsigned_abs());
        }
        self.text(k, &mut Room::new()).len()
    }
}

/// Decimal digits of `value`; one for zero.
fn digits(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

fn cents(base: i64, per_cent: i64, k: i64) -> i128 {
    let exact = i128::from(base) * i128::from(k);
    let half = i128::from(per_cent / 2);
    let away = if exact < 0 { exact - half } else { exact + half };
    away / i128::from(per_cent)
}

/// `1230` as `12.3`, `1200` as `12.0`, `-5` as `-0.05`.
fn decimal(cents: i128, room: &mut Room) -> &[u8] {
    let text = &mut room.decimal;
    let mut len = 0;
    if cents < 0 {
        text[0] = b'-';
        len = 1;
    }
    let whole = room.digits.format(cents.unsigned_abs() / 100).as_bytes();
    text[len..len + whole.len()].copy_from_slice(whole);
    len += whole.len();
    let fraction = room.digits.format(100 + cents.unsigned_abs() % 100).as_bytes();
    text[len..len + 3].copy_from_slice(&[b'.', fraction[1], fraction[2]]);
    len += if fraction[2] == b'0' { 2 } else { 3 };
    &text[..len]
}

/// A sign, 39 digits, a point and two decimals: no text is longer.
pub(crate) const TEXT_LEN_MAX: usize = 43;

/// Characters of a factor, counting sign and decimals.
pub(crate) const DIGITS_MAX: usize = 15;

/// A product in the smallest decimal place that it has. Far beyond any shop, and small enough
/// that hundredths of it times any `i64` fit an `i128`.
const BASE_MAX: i64 = 1_000_000_000_000_000;

const _: () = assert!(BASE_MAX as i128 * 100 <= (i128::MAX >> 64), "hundredths * k must fit i128");

#[cfg(test)]
mod tests {
    use super::*;

    fn total(price: &str, quantity: i64, k: i64) -> String {
        let factors = [price, &quantity.to_string()].map(|text| Plain::read(text).expect("plain"));
        let unit = Unit::product(factors).expect("in range");
        let text = String::from_utf8(unit.text(k, &mut Room::new()).to_vec()).expect("digits");
        assert_eq!(unit.len(k), text.len(), "{price} {quantity} {k}");
        text
    }

    #[test]
    fn integers_stay_integers() {
        assert_eq!(total("328", 15, 1), "4920");
        assert_eq!(total("328", 15, -1), "-4920");
        assert_eq!(total("328", 15, 0), "0");
        assert_eq!(total("-3", 5, 2), "-30");
        assert_eq!(total("1", 1, i64::MIN), "-9223372036854775808");
        assert_eq!(total("1", 1, i64::MAX), "9223372036854775807");
    }

    #[test]
    fn totals_beyond_64_bits_are_exact() {
        assert_eq!(total("1000000000000", 1000, i64::MAX), "9223372036854775807000000000000000");
        assert_eq!(total("1000000000000", 1000, i64::MIN), "-9223372036854775808000000000000000");
    }

    #[test]
    fn decimals_are_rounded_to_two_places_halves_away_from_zero() {
        assert_eq!(total("5.0", 1, 1), "5.0");
        assert_eq!(total("12.3", 12, 1), "147.6");
        assert_eq!(total("0.05", 1, -1), "-0.05");
        assert_eq!(total("19.99", 3, 1), "59.97");
        assert_eq!(total("0.125", 1, 1), "0.13");
        assert_eq!(total("0.125", 1, -1), "-0.13");
        assert_eq!(total("0.1249", 1, 1), "0.12");
        assert_eq!(total("0.001", 1, -1), "0.0");
        assert_eq!(total("0.00000000001", 1, i64::MAX), "92233720.37");
        assert_eq!(total("1.5", 1, 0), "0.0");
        assert_eq!(total("99999999999.99", 10, i64::MAX), "9223372036853853469796314522419.3");
    }

    #[test]
    fn what_is_not_plain_is_refused() {
        for text in ["1e3", "1E3", "1.5e3", "1234567890123456", "0.123456789012345678"] {
            assert_eq!(Plain::read(text), Err(NotPlain), "{text}");
        }
    }

    fn product(factors: &[&str]) -> Option<Unit> {
        Unit::product(factors.iter().map(|text| Plain::read(text).expect("plain")))
    }

    #[test]
    fn products_have_any_number_of_factors() {
        assert_eq!(product(&[]), Some(Unit::Whole(1)));
        assert_eq!(product(&["7"]), Some(Unit::Whole(7)));
        assert_eq!(product(&["7", "-3", "2"]), Some(Unit::Whole(-42)));
        assert_eq!(product(&["2", "0.5"]), Some(Unit::Cents { base: 100, per_cent: 1 }));
        assert_eq!(product(&["1.5", "0.05", "3"]), Some(Unit::Cents { base: 225, per_cent: 10 }));
    }

    #[test]
    fn products_without_end_are_refused() {
        assert_eq!(product(&["999999999999999", "2"]), None);
        assert_eq!(product(&["999999999999999", "999999999999999"]), None);
        assert!(product(&["0.0000000001", "0.0000000001"]).is_some());
        assert_eq!(product(&["0.0000000001", "0.00000000001"]), None);
    }

    #[test]
    fn length_agrees_with_the_text_around_every_power_of_ten() {
        for power in 0..18 {
            for near in -1..=1 {
                let value = 10_i64.pow(power) + near;
                assert_eq!(digits(value.unsigned_abs()), value.to_string().len(), "{value}");
            }
        }
        assert_eq!(digits(u64::MAX), 20);
    }

    proptest::proptest! {
        #[test]
        fn any_total_agrees_with_long_division(
            mantissa in -99_999_999_i64..=99_999_999,
            decimals in 1_u32..=8,
            quantity in 0_i64..=9_999_999,
            k in proptest::prelude::any::<i64>(),
        ) {
            let scale = 10_i128.pow(decimals);
            let sign = if mantissa < 0 { "-" } else { "" };
            let (whole, rest) =
                (i128::from(mantissa).abs() / scale, i128::from(mantissa).abs() % scale);
            let price = format!("{sign}{whole}.{rest:0width$}", width = decimals as usize);
            let exact = i128::from(mantissa) * i128::from(quantity) * i128::from(k) * 100;
            let cents = exact.abs() / scale + i128::from(exact.abs() % scale * 2 >= scale);
            let text = total(&price, quantity, k);
            let (units, hundredths) = text.split_once('.').expect("a point");
            let written = format!("{}{hundredths:0<2}", units.trim_start_matches('-'));
            proptest::prop_assert_eq!(written.parse::<i128>().expect("digits"), cents);
            proptest::prop_assert_eq!(text.starts_with('-'), exact < 0 && cents > 0);
        }
    }
}
