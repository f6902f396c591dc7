//! Numbers as people read them: mostly three significant digits and a unit, in pure ASCII.

/// A count: exact below 10,000, then `12.3 k`, `1.23 M`, `4.56 G`.
pub(crate) fn count(value: u64) -> String {
    if value < EXACT_BELOW {
        return value.to_string();
    }
    let (number, unit) = decimal(value as f64);
    format!("{number} {unit}")
}

/// Events per second: `0/s`, `0.25/s`, `431/s`, `1.23 M/s`.
pub(crate) fn rate(per_second: f64) -> String {
    let per_second = per_second.max(0.0);
    if per_second.round() >= EXACT_BELOW as f64 {
        let (number, unit) = decimal(per_second);
        return format!("{number} {unit}/s");
    }
    if per_second >= 100.0 || per_second.fract() == 0.0 {
        return format!("{per_second:.0}/s");
    }
    format!("{}/s", three_digits(per_second))
}

/// A size in binary units, without zeros behind the point: `512 B`, `2 MiB`, `1.50 KiB`.
pub(crate) fn bytes(value: u64) -> String {
    let (number, unit) = scaled(value as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);
    let whole = number.strip_suffix(".00").or_else(|| number.strip_suffix(".0"));
    format!("{} {unit}", whole.unwrap_or(&number))
}

/// A throughput in decimal units: `0 bit/s`, `96.0 kbit/s`, `1.23 Gbit/s`.
pub(crate) fn bits_per_second(bits: f64) -> String {
    const UNITS: &[&str] = &["bit/s", "kbit/s", "Mbit/s", "Gbit/s", "Tbit/s"];
    let (number, unit) = scaled(bits.max(0.0), 1000.0, UNITS);
    format!("{number} {unit}")
}

/// A duration in nanoseconds: `850 ns`, `12.3 us`, `1.50 ms`, `2.00 s`.
pub(crate) fn nanos(value: u64) -> String {
    let (number, unit) = scaled(value as f64, 1000.0, &["ns", "us", "ms", "s"]);
    format!("{number} {unit}")
}

/// A share of one: `0 %`, `3.4 %`, `97.1 %`, `100 %`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent == 0.0 || percent >= 99.95 {
        return format!("{percent:.0} %");
    }
    format!("{percent:.1} %")
}

/// How long something has run: `45s`, `12m 05s`, `3h 04m`, `12d 03h`.
pub(crate) fn uptime(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {:02}h", hours % 24),
    }
}

/// A hardware address: `02:00:00:00:00:01`.
pub(crate) fn mac(mac: &[u8]) -> String {
    mac.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

fn decimal(value: f64) -> (String, &'static str) {
    scaled(value, 1000.0, &["", "k", "M", "G", "T", "P", "E"])
}

/// `value` in the largest of `units` that leaves at least one, each `base` of the one before. Below `base`
/// the first unit is whole.
fn scaled(value: f64, base: f64, units: &[&'static str]) -> (String, &'static str) {
    let (mut value, mut at) = (value, 0);
    // As it will be rounded: 999.6 is 1.00 of the next.
    while value.round() >= base && at + 1 < units.len() {
        value /= base;
        at += 1;
    }
    let number = if at == 0 { format!("{value:.0}") } else { three_digits(value) };
    (number, units[at])
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

/// Counts below this are written in full.
const EXACT_BELOW: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_while_they_are_small() {
        assert_eq!([0, 7, 9_999].map(count), ["0", "7", "9999"]);
        assert_eq!([10_000, 1_234_567].map(count), ["10.0 k", "1.23 M"]);
        assert_eq!([999_499, 999_500, 999_999].map(count), ["999 k", "1.00 M", "1.00 M"]);
        assert_eq!(count(u64::MAX), "18.4 E");
    }

    #[test]
    fn rates_have_three_digits() {
        assert_eq!([0.0, 0.25, 12.0, 12.345].map(rate), ["0/s", "0.25/s", "12/s", "12.3/s"]);
        assert_eq!([431.4, 9_999.4].map(rate), ["431/s", "9999/s"]);
        assert_eq!([9_999.5, 1_234_567.0].map(rate), ["10.0 k/s", "1.23 M/s"]);
        assert_eq!(rate(-1.0), "0/s");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!([0, 1_023, 1_024, 1_536].map(bytes), ["0 B", "1023 B", "1 KiB", "1.50 KiB"]);
        assert_eq!(bytes(1_048_575), "1 MiB");
        assert_eq!(bytes(3_650_722_202), "3.40 GiB");
        assert_eq!([2 << 20, 64 << 20, 1_000 << 20].map(bytes), ["2 MiB", "64 MiB", "1000 MiB"]);
    }

    #[test]
    fn throughput_is_decimal() {
        let texts = [0.0, 96_000.0, 1.234e9].map(bits_per_second);
        assert_eq!(texts, ["0 bit/s", "96.0 kbit/s", "1.23 Gbit/s"]);
    }

    #[test]
    fn durations_go_from_nanoseconds_to_seconds() {
        let texts = [0, 850, 12_345, 1_500_000, 2_000_000_000].map(nanos);
        assert_eq!(texts, ["0 ns", "850 ns", "12.3 us", "1.50 ms", "2.00 s"]);
        assert_eq!([9_994, 9_996, 999_700].map(nanos), ["9.99 us", "10.0 us", "1.00 ms"]);
        assert_eq!(nanos(3_600_000_000_000), "3600 s");
    }

    #[test]
    fn shares_are_percent() {
        let texts = [0.0, 0.034, 0.971, 0.9996, 1.0].map(percent);
        assert_eq!(texts, ["0 %", "3.4 %", "97.1 %", "100 %", "100 %"]);
    }

    #[test]
    fn uptime_has_two_units() {
        let texts = [45, 725, 11_040, 1_047_600].map(uptime);
        assert_eq!(texts, ["45s", "12m 05s", "3h 04m", "12d 03h"]);
    }
}
