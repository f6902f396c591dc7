//! Dates of PostgreSQL's binary format as ISO 8601 text, in quotes.
//!
//! Years 0 to 9999 have four digits; others a sign and at least six, as ECMAScript reads them (the
//! year before 1 is 0). Instants are UTC. The ends of time are `"infinity"` and `"-infinity"`, as
//! PostgreSQL's own JSON has them.

use std::io::Write;

use time::Date;

/// `date`: `days` since 2000-01-01.
pub(super) fn write_date(days: i32, out: &mut Vec<u8>) {
    match days {
        i32::MAX => out.extend_from_slice(INFINITY),
        i32::MIN => out.extend_from_slice(MINUS_INFINITY),
        _ => {
            out.push(b'"');
            write_day(i64::from(days), out);
            out.push(b'"');
        }
    }
}

/// `timestamp`: `micros` since 2000-01-01T00:00:00, in no zone; `zone` stands at the end.
pub(super) fn write_timestamp(micros: i64, zone: &str, out: &mut Vec<u8>) {
    match micros {
        i64::MAX => out.extend_from_slice(INFINITY),
        i64::MIN => out.extend_from_slice(MINUS_INFINITY),
        _ => {
            out.push(b'"');
            write_day(micros.div_euclid(DAY_MICROS), out);
            let micros = micros.rem_euclid(DAY_MICROS);
            let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            written(write!(out, "T{hours:02}:{minutes:02}:{:02}", seconds % 60));
            if fraction > 0 {
                written(write!(out, ".{fraction:06}"));
                let digits = out.iter().rev().take_while(|byte| **byte == b'0').count();
                out.truncate(out.len() - digits);
            }
            out.extend_from_slice(zone.as_bytes());
            out.push(b'"');
        }
    }
}

/// The zone of an instant.
pub(super) const UTC: &str = "+00:00";

fn write_day(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    let shown = if (0..=9999).contains(&year) {
        write!(out, "{year:04}-{month:02}-{day:02}")
    } else {
        write!(out, "{year:+07}-{month:02}-{day:02}")
    };
    written(shown);
}

/// Year, month and day of the Gregorian calendar, `days` after 2000-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // `Date` ends long before PostgreSQL's calendar does; four centuries always have as many days.
    let (cycles, day) = (days.div_euclid(CYCLE_DAYS), days.rem_euclid(CYCLE_DAYS));
    let date =
        i32::try_from(day).ok().and_then(|day| Date::from_julian_day(JULIAN_2000 + day).ok());
    let (year, month, day) = date.expect("2000 to 2399 are dates").to_calendar_date();
    (i64::from(year) + 400 * cycles, u8::from(month).into(), day.into())
}

fn written(result: std::io::Result<()>) {
    result.expect("a Vec takes everything");
}

const INFINITY: &[u8] = b"\"infinity\"";
const MINUS_INFINITY: &[u8] = b"\"-infinity\"";
const DAY_MICROS: i64 = 86_400_000_000;
/// Days of 400 years.
const CYCLE_DAYS: i64 = 146_097;
/// The Julian day of 2000-01-01.
const JULIAN_2000: i32 = 2_451_545;

#[cfg(test)]
mod tests {
    use super::*;

    fn date(days: i32) -> String {
        let mut out = Vec::new();
        write_date(days, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn timestamp(micros: i64) -> String {
        let mut out = Vec::new();
        write_timestamp(micros, UTC, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn days_have_their_dates() {
        for (days, text) in [
            (0, "2000-01-01"),
            (58, "2000-02-28"),
            (59, "2000-02-29"),
            (60, "2000-03-01"),
            (365, "2000-12-31"),
            (366, "2001-01-01"),
            (-1, "1999-12-31"),
            (-10957, "1970-01-01"),
            (8825, "2024-02-29"),
            (-36465, "1900-03-01"),
            (-36466, "1900-02-28"),
            (36583, "2100-02-28"),
            (36584, "2100-03-01"),
            (2_921_939, "9999-12-31"),
            (2_921_940, "+010000-01-01"),
            (-730_119, "0001-01-01"),
            (-730_120, "0000-12-31"),
            (-730_486, "-000001-12-31"),
        ] {
            assert_eq!(date(days), format!("\"{text}\""), "{days}");
        }
        assert_eq!(date(i32::MAX), "\"infinity\"");
        assert_eq!(date(i32::MIN), "\"-infinity\"");
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let length = |year: i64, month: i64| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut before = civil(-400_001);
        for days in -400_000..400_000 {
            let (year, month, day) = before;
            let next = if day < length(year, month) {
                (year, month, day + 1)
            } else if month < 12 {
                (year, month + 1, 1)
            } else {
                (year + 1, 1, 1)
            };
            before = civil(days);
            assert_eq!(before, next, "{days}");
        }
    }

    #[test]
    fn instants_have_as_many_decimals_as_they_need() {
        for (micros, text) in [
            (0, "2000-01-01T00:00:00"),
            (1, "2000-01-01T00:00:00.000001"),
            (1_500_000, "2000-01-01T00:00:01.5"),
            (-1, "1999-12-31T23:59:59.999999"),
            (DAY_MICROS - 1_000_000, "2000-01-01T23:59:59"),
            (10_000_000, "2000-01-01T00:00:10"),
        ] {
            assert_eq!(timestamp(micros), format!("\"{text}+00:00\""), "{micros}");
        }
        assert_eq!(timestamp(i64::MAX), "\"infinity\"");
        assert_eq!(timestamp(i64::MIN), "\"-infinity\"");
    }
}
