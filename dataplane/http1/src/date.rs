//! HTTP-date (RFC 9110 5.6.7), both ways. Time is a count of seconds since 1970-01-01 00:00 UTC.

use time::{Date, Month, UtcDateTime};

/// A point in time as IMF-fixdate, such as `Sun, 06 Nov 1994 08:49:37 GMT`.
#[derive(Clone, Copy, PartialEq, Eq, derive_more::Debug)]
#[debug("HttpDate({})", _0.escape_ascii())]
pub struct HttpDate([u8; Self::LEN]);

impl HttpDate {
    /// Bytes of every date.
    pub const LEN: usize = 29;

    /// Formats `secs` since the epoch. What lies beyond the year 9999 becomes its last second.
    pub fn from_unix(secs: u64) -> Self {
        let time = UtcDateTime::from_unix_timestamp(secs.min(SECS_MAX).cast_signed())
            .expect("SECS_MAX is in the range of dates");
        let weekday = WEEKDAYS[usize::from(time.weekday().number_days_from_sunday())];
        let month = MONTHS[usize::from(u8::from(time.month())) - 1];
        let year = time.year().unsigned_abs();
        let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
        text[0..3].copy_from_slice(&weekday.as_bytes()[..3]);
        text[5..7].copy_from_slice(&two_digits(time.day().into()));
        text[8..11].copy_from_slice(month.as_bytes());
        text[12..14].copy_from_slice(&two_digits(year / 100));
        text[14..16].copy_from_slice(&two_digits(year % 100));
        text[17..19].copy_from_slice(&two_digits(time.hour().into()));
        text[20..22].copy_from_slice(&two_digits(time.minute().into()));
        text[23..25].copy_from_slice(&two_digits(time.second().into()));
        Self(text)
    }

    /// The 29 bytes.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
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
    let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    let secs = date.midnight().as_utc().unix_timestamp() + parse_time(time)?;
    Some(u64::try_from(secs).unwrap_or(0))
}

/// Year, month, day from 1, and the text of the time of day.
type Parts<'a> = (u16, Month, u16, &'a [u8]);

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
fn parse_time(text: &[u8]) -> Option<i64> {
    let &[h1, h2, b':', m1, m2, b':', s1, s2] = text else { return None };
    let (hour, minute, second) = (number(&[h1, h2])?, number(&[m1, m2])?, number(&[s1, s2])?);
    let secs = i64::from(hour) * 3600 + i64::from(minute * 60 + second);
    (hour < 24 && minute < 60 && second <= 60).then_some(secs)
}

/// At most four digits.
fn number(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0, |value, digit| match digit {
        b'0'..=b'9' => Some(value * 10 + u16::from(digit - b'0')),
        _ => None,
    })
}

fn month(name: &[u8]) -> Option<Month> {
    let (number, _) = (1_u8..).zip(MONTHS).find(|(_, month)| month.as_bytes() == name)?;
    Month::try_from(number).ok()
}

fn two_digits(value: u32) -> [u8; 2] {
    [b'0' + digit(value / 10), b'0' + digit(value)]
}

fn digit(value: u32) -> u8 {
    (value % 10) as u8
}

const ASCTIME_LEN: usize = b"Sun Nov  6 08:49:37 1994".len();
/// 9999-12-31 23:59:59.
const SECS_MAX: u64 = 253_402_300_799;
const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use std::{format, string::ToString};

    use super::{HttpDate, MONTHS, SECS_MAX, parse_http_date};

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
        let leap = |year: u32| {
            year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
        };
        let days_of_month = |year, month| match month {
            2 => 28 + u32::from(leap(year)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..292_194 {
            let secs = days * 86_400 + 86_399;
            let date = HttpDate::from_unix(secs);
            let name = MONTHS[month - 1];
            let text = format!("{day:02} {name} {year:04} 23:59:59 GMT");
            assert_eq!(date.as_bytes()[5..].escape_ascii().to_string(), text, "day {days}");
            assert_eq!(parse_http_date(date.as_bytes()), Some(secs));
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
