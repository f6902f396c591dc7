//! The least and the greatest that a parameter may be.

use std::fmt;

use super::decimal::Decimal;
use super::number::Whole;

/// Bounds of a number, or of the length of a text in characters. A side that is `None` is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The least there may be.
    pub least: Option<Decimal>,
    /// The greatest there may be.
    pub greatest: Option<Decimal>,
}

impl Bounds {
    /// From one integer to another.
    pub fn integers(least: i64, greatest: i64) -> Self {
        Self { least: Some(least.into()), greatest: Some(greatest.into()) }
    }

    /// All numbers that are finite as reals of 64 bits.
    pub(crate) fn reals() -> Self {
        // The digits that tell the greatest real from others; they are less than it is.
        let bound = |text: &str| Decimal::parse(text);
        Self { least: bound("-1.7976931348623157e308"), greatest: bound("1.7976931348623157e308") }
    }

    /// These bounds where they are given, `open` where a side is open.
    pub(crate) fn or(self, open: Self) -> Self {
        Self { least: self.least.or(open.least), greatest: self.greatest.or(open.greatest) }
    }

    /// The bound that `number` is beyond, if it is.
    pub(crate) fn nearest(&self, number: &Decimal) -> Option<&Decimal> {
        let below = self.least.as_ref().filter(|least| number < *least);
        below.or_else(|| self.greatest.as_ref().filter(|greatest| number > *greatest))
    }

    /// Whether the least is above the greatest.
    pub(crate) fn are_reversed(&self) -> bool {
        self.least.as_ref().zip(self.greatest.as_ref()).is_some_and(|(least, most)| least > most)
    }

    /// Whether none is beyond the reals of 64 bits.
    pub(crate) fn are_reals(&self) -> bool {
        let reals = Self::reals();
        [&self.least, &self.greatest].into_iter().flatten().all(|it| reals.nearest(it).is_none())
    }

    /// The least and the greatest integer. `None` if a bound has a fraction; one beyond 64 bits is
    /// as good as open.
    pub(crate) fn to_integers(&self) -> Option<(i64, i64)> {
        let integer = |bound: &Option<Decimal>, open| {
            Some(match bound.as_ref().map_or(Some(Whole::Is(open)), Decimal::to_whole)? {
                Whole::Is(value) => value,
                Whole::Below => i64::MIN,
                Whole::Above => i64::MAX,
            })
        };
        Some((integer(&self.least, i64::MIN)?, integer(&self.greatest, i64::MAX)?))
    }
}

impl fmt::Display for Bounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let least = self.least.as_ref().map_or("-inf", Decimal::as_str);
        let greatest = self.greatest.as_ref().map_or("inf", Decimal::as_str);
        write!(f, "[{least}, {greatest}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_a_bound_by_the_least_is_beyond_it() {
        let bounds = Bounds::integers(-9_007_199_254_740_993, 9_007_199_254_740_993);
        for (text, is_beyond) in [
            ("9007199254740993", false),
            ("9007199254740993.00", false),
            ("9007199254740993.0000000001", true),
            ("9007199254740994", true),
            ("-9007199254740993", false),
            ("-9007199254740994", true),
        ] {
            let number = Decimal::parse(text).expect(text);
            assert_eq!(bounds.nearest(&number).is_some(), is_beyond, "{text}");
        }
        assert_eq!(Bounds::default().nearest(&1.into()), None);
        assert_eq!(bounds.to_integers(), Some((-9_007_199_254_740_993, 9_007_199_254_740_993)));
        assert_eq!(Bounds::default().to_integers(), Some((i64::MIN, i64::MAX)));
    }

    #[test]
    fn reals_are_finite() {
        let Bounds { least, greatest } = Bounds::reals();
        assert_eq!(least.map(|bound| bound.to_f64()), Some(f64::MIN));
        assert_eq!(greatest.map(|bound| bound.to_f64()), Some(f64::MAX));
    }
}
