//! HTTP-date (RFC 9110 5.6.7), both ways. Time is a count of seconds since 1970-01-01 00:00 UTC.

use core::fmt;

/// A point in time as IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HttpDate([u8; Self::LEN]);

impl HttpDate {
    /// Bytes of every date.
    pub const LEN: usize = 29;

    /// Formats `secs` since the epoch. What lies beyond the year 9999 becomes its last second.
    pub fn from_unix(secs: u64) -> Self {
        let secs = secs.min(SECS_MAX);
        let (days, second) = (secs / DAY_SECS, secs % DAY_SECS);
        let (year, month, day) = civil_from_days(days);
        let weekday = WEEKDAYS[index((days + EPOCH_WEEKDAY) % 7)];
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[0..3].copy_from_slice(&weekday.as_bytes()[..3]);
        text[5..7].copy_from_slice(&two_digits(day));
        text[8..11].copy_from_slice(MONTHS[index(month - 1)].as_bytes());
        text[12..14].copy_from_slice(&two_digits(year / 100));
        text[14..16].copy_from_slice(&two_digits(year % 100));
        text[17..19].copy_from_slice(&two_digits(second / 3600));
        text[20..22].copy_from_slice(&two_digits(second / 60 % 60));
        text[23..25].copy_from_slice(&two_digits(second % 60));
        Self(text)
    }

    /// The 29 bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Debug for HttpDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpDate({})", self.0.escape_ascii())
    }
}

/// Parses a date in any of the three formats of RFC 9110 5.6.7 into seconds since the epoch.
///
/// Earlier dates count as 0. The two digits of an RFC 850 year mean 1970 to 2069: there is no clock
/// here for the rule of 50 years. `None` for everything that is no date.
pub fn parse_http_date(text: &[u8]) -> Option<u64> {
    let comma = text.iter().position(|&b| b == b',');
    let (year, month, day, time) = match (comma, text.len()) {
        (Some(3), HttpDate::LEN) => parse_imf_fixdate(text)?,
        (Some(comma), _) => parse_rfc850(text, comma)?,
        (None, ASCTIME_LEN) => parse_asctime(text)?,
        (None, _) => return None,
    };
    let second = parse_time(time)?;
    if !(1..=days_of_month(year, month)).contains(&day) {
        return None;
    }
    if year < EPOCH_YEAR {
        return Some(0);
    }
    Some(days_from_civil(year, month, day) * DAY_SECS + second)
}

/// Year, month from 1, day from 1, and the text of the time of day.
type Parts<'a> = (u64, u64, u64, &'a [u8]);

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn parse_imf_fixdate(text: &[u8]) -> Option<Parts<'_>> {
    let framed = WEEKDAYS.iter().any(|name| text[..3] == name.as_bytes()[..3])
        && text[3..5] == *b", "
        && (text[7], text[11], text[16]) == (b' ', b' ', b' ')
        && text[25..] == *b" GMT";
    framed.then_some(())?;
    Some((number(&text[12..16])?, month(&text[8..11])?, number(&text[5..7])?, &text[17..25]))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn parse_rfc850(text: &[u8], comma: usize) -> Option<Parts<'_>> {
    let (weekday, rest) = text.split_at(comma);
    WEEKDAYS.iter().any(|name| name.as_bytes() == weekday).then_some(())?;
    let framed = rest.len() == b", 06-Nov-94 08:49:37 GMT".len()
        && rest[..2] == *b", "
        && (rest[4], rest[8], rest[11]) == (b'-', b'-', b' ')
        && rest[20..] == *b" GMT";
    framed.then_some(())?;
    let year = match number(&rest[9..11])? {
        short @ 70.. => 1900 + short,
        short => 2000 + short,
    };
    Some((year, month(&rest[5..8])?, number(&rest[2..4])?, &rest[12..20]))
}

/// `Sun Nov  6 08:49:37 1994`
fn parse_asctime(text: &[u8]) -> Option<Parts<'_>> {
    let framed = WEEKDAYS.iter().any(|name| text[..3] == name.as_bytes()[..3])
        && (text[3], text[7], text[10], text[19]) == (b' ', b' ', b' ', b' ');
    framed.then_some(())?;
    let day = if text[8] == b' ' { &text[9..10] } else { &text[8..10] };
    Some((number(&text[20..24])?, month(&text[4..7])?, number(day)?, &text[11..19]))
}

/// `08:49:37` as seconds of the day; 60 is a leap second.
fn parse_time(text: &[u8]) -> Option<u64> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value * 10 + u64::from(digit - b'0')),
        _ => None,
    })
}

fn month(name: &[u8]) -> Option<u64> {
    (1..).zip(MONTHS).find(|(_, month)| month.as_bytes() == name).map(|(number, _)| number)
}

fn days_of_month(year: u64, month: u64) -> u64 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Year, month and day of the day `days` after the epoch, proleptic Gregorian.
///
/// Years are counted from March here, so that the leap day is the last of a year; 400 of them, an
/// era, always have the same number of days.
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_BEFORE_EPOCH;
    let (era, day_of_era) = (days / ERA_DAYS, days % ERA_DAYS);
    let leap_days = day_of_era / 1460 + day_of_era / 146_096 - day_of_era / 36_524;
    let year_of_era = (day_of_era - leap_days) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The inverse of [`civil_from_days`], from [`EPOCH_YEAR`] on.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - DAYS_BEFORE_EPOCH
}

fn two_digits(value: u64) -> [u8; 2] {
    [b'0' + digit(value / 10), b'0' + digit(value)]
}

fn digit(value: u64) -> u8 {
    (value % 10) as u8
}

#[expect(clippy::cast_possible_truncation, reason = "only called with values below 12")]
fn index(value: u64) -> usize {
    value as usize
}

const ASCTIME_LEN: usize = b"Sun Nov  6 08:49:37 1994".len();
const DAY_SECS: u64 = 86_400;
const EPOCH_YEAR: u64 = 1970;
/// Index of Thursday in [`WEEKDAYS`].
const EPOCH_WEEKDAY: u64 = 4;
/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_EPOCH: u64 = 719_468;
/// 9999-12-31 23:59:59.
const SECS_MAX: u64 = 253_402_300_799;
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use std::format;

    use super::{DAY_SECS, HttpDate, SECS_MAX, civil_from_days, days_of_month, parse_http_date};

    #[test]
    fn three_formats_name_the_same_second() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), Some(784_111_777), "{text}");
        }
    }

    #[test]
    fn formats_the_example_of_the_standard() {
        let date = HttpDate::from_unix(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(format!("{date:?}"), "HttpDate(Sun, 06 Nov 1994 08:49:37 GMT)");
    }

    /// Naive twin: walks the calendar day by day.
    #[test]
    fn every_day_of_800_years_agrees_with_counting() {
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..292_194 {
            assert_eq!(civil_from_days(days), (year, month, day), "day {days}");
            let secs = days * DAY_SECS + 86_399;
            assert_eq!(parse_http_date(HttpDate::from_unix(secs).as_bytes()), Some(secs));
            day += 1;
            if day > days_of_month(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
    }

    #[test]
    fn ends_of_the_range() {
        assert_eq!(HttpDate::from_unix(0).as_bytes(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        let last = b"Fri, 31 Dec 9999 23:59:59 GMT";
        assert_eq!(HttpDate::from_unix(SECS_MAX).as_bytes(), last);
        assert_eq!(HttpDate::from_unix(u64::MAX).as_bytes(), last);
        assert_eq!(parse_http_date(b"Sat, 01 Jan 1955 00:00:00 GMT"), Some(0));
        assert_eq!(parse_http_date(b"Friday, 01-Jan-70 00:00:00 GMT"), Some(0));
        assert_eq!(parse_http_date(b"Tue, 31 Dec 2069 23:59:60 GMT"), Some(3_155_760_000));
    }

    #[test]
    fn everything_else_is_no_date() {
        for text in [
            "",
            "0",
            ",",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:60:37 GMT",
            "Sun, 06 Nov 1994 08:49:61 GMT",
            "Sun, 06 Nov +994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT ",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 94",
        ] {
            assert_eq!(parse_http_date(text.as_bytes()), None, "{text}");
        }
    }
}
