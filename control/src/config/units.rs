//! Values with units, as operators write them: sizes, spans of time, rates, counts, switches.
//!
//! Every function takes the text of a value; the error is what was expected, to stand after
//! "write ".

use std::time::Duration;

/// What should have been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected(pub(crate) &'static str);

/// Bytes: `16384`, `512B`, `16KiB`, `32MiB`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, Expected> {
    let (number, unit) = split(text);
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(BYTES),
    };
    integer(number).and_then(|n| n.checked_mul(1 << shift)).ok_or(BYTES)
}

/// A span of time with its unit: `50us`, `100ms`, `10s`, `5min`, `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, Expected> {
    let (number, unit) = split(text);
    let micros = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "min" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return Err(DURATION),
    };
    integer(number).and_then(|n| n.checked_mul(micros)).map(Duration::from_micros).ok_or(DURATION)
}

/// The opposite of [`duration`], in the largest unit that divides it.
pub(crate) fn spell(span: Duration) -> String {
    let micros = span.as_micros();
    let units = [("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000), ("ms", 1_000)];
    let fits = |unit: &&(&str, u128)| micros != 0 && micros.is_multiple_of(unit.1);
    let (unit, size) = units.iter().find(fits).copied().unwrap_or(("us", 1));
    format!("{}{unit}", micros / size)
}

/// Bytes per second: `1KiB/s`.
pub(crate) fn rate(text: &str) -> Result<u64, Expected> {
    text.strip_suffix("/s").and_then(|size| bytes(size.trim_end()).ok()).ok_or(RATE)
}

/// A plain number: `16384`, `16_384`.
pub(crate) fn count(text: &str) -> Result<u64, Expected> {
    integer(text).ok_or(Expected("a whole number such as 4096"))
}

/// `true` or `false`.
pub(crate) fn switch(text: &str) -> Result<bool, Expected> {
    text.parse().map_err(|_| Expected("true or false"))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

fn integer(text: &str) -> Option<u64> {
    let digits: String = text.trim().chars().filter(|c| *c != '_').collect();
    if digits.starts_with('+') { None } else { digits.parse().ok() }
}

const BYTES: Expected = Expected("bytes such as 16384, \"16KiB\" or \"32MiB\"");
const DURATION: Expected =
    Expected("a number with its unit such as \"50us\", \"100ms\" or \"10s\"");
const RATE: Expected = Expected("bytes per second such as \"1KiB/s\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_take_binary_units_only() {
        assert_eq!(bytes("16384"), Ok(16_384));
        assert_eq!(bytes("16KiB"), Ok(16_384));
        assert_eq!(bytes("32 MiB"), Ok(33_554_432));
        assert_eq!(bytes("1_024B"), Ok(1_024));
        for bad in ["", "KiB", "16KB", "16kib", "-1", "+1", "1.5KiB", "99999999999GiB"] {
            assert_eq!(bytes(bad), Err(BYTES), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(duration("50us"), Ok(Duration::from_micros(50)));
        assert_eq!(duration("100ms"), Ok(Duration::from_millis(100)));
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("5min"), Ok(Duration::from_secs(300)));
        for bad in ["10", "s", "10m", "10 seconds", "-1s", "1.5s"] {
            assert_eq!(duration(bad), Err(DURATION), "{bad:?}");
        }
    }

    #[test]
    fn a_duration_is_spelled_as_it_is_read() {
        for text in ["0us", "50us", "100ms", "10s", "5min", "24h"] {
            assert_eq!(duration(text).map(spell).as_deref(), Ok(text));
        }
    }

    #[test]
    fn rates_counts_and_switches() {
        assert_eq!(rate("1KiB/s"), Ok(1_024));
        assert_eq!(rate("1KiB"), Err(RATE));
        assert_eq!(count("16_384"), Ok(16_384));
        assert!(count("many").is_err());
        assert_eq!(switch("true"), Ok(true));
        assert!(switch("yes").is_err());
    }
}
