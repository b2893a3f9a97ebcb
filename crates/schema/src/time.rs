//! Points in time and durations, as protobuf's JSON writes them.
//! Promises the ranges of protobuf: years 1 to 9999, durations up to 10,000 years; no leap seconds.
//! Leaves everything else about calendars to others.

use std::io::Write;

/// Seconds since 1970 of the years 1 and 10000.
const FIRST: i64 = -62_135_596_800;
const END: i64 = 253_402_300_800;
/// The longest duration, in seconds.
const LONGEST: i64 = 315_576_000_000;

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    seconds: i64,
    nanos: u32,
}

fn number(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01; a year begins in March, so that the leap day is its last.
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

const fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let shifted = (5 * day + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + (month <= 2) as i64, month, day - (153 * shifted + 2) / 5 + 1)
}

/// A fraction of a second after its point: nanoseconds, and where it ends.
fn fraction(text: &[u8]) -> Option<(u32, usize)> {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 || length > 9 {
        return None;
    }
    let digits = u32::try_from(number(&text[..length])?).ok()?;
    Some((digits * 10_u32.pow(9 - length as u32), length))
}

impl Moment {
    pub(crate) const fn new(seconds: i64, nanos: i32) -> Option<Self> {
        if seconds < FIRST || seconds >= END || nanos < 0 || nanos > 999_999_999 {
            return None;
        }
        Some(Self { seconds, nanos: nanos as u32 })
    }

    /// RFC 3339 with any distance from UTC.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
        if text.len() < 20 || separators.iter().any(|(at, byte)| text[*at] != *byte) || !matches!(text[10], b'T' | b't')
        {
            return None;
        }
        let part = |from: usize, to: usize, least: i64, most: i64| {
            number(&text[from..to]).filter(|part| (least..=most).contains(part))
        };
        let (year, month) = (part(0, 4, 1, 9999)?, part(5, 7, 1, 12)?);
        let day = part(8, 10, 1, days_in_month(year, month))?;
        let (hour, minute, second) = (part(11, 13, 0, 23)?, part(14, 16, 0, 59)?, part(17, 19, 0, 59)?);
        let (nanos, used) =
            if text[19] == b'.' { fraction(&text[20..]).map(|(n, used)| (n, used + 1))? } else { (0, 0) };
        let ahead = match &text[19 + used..] {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), zone @ ..] if zone.len() == 5 && zone[2] == b':' => {
                let hours = number(&zone[..2]).filter(|hours| *hours <= 23)?;
                let minutes = number(&zone[3..]).filter(|minutes| *minutes <= 59)?;
                (hours * 3600 + minutes * 60) * if *sign == b'-' { -1 } else { 1 }
            }
            _ => return None,
        };
        let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - ahead;
        Self::new(seconds, i32::try_from(nanos).ok()?)
    }

    /// Appends it in UTC with this number of digits behind the point; finer digits are cut off.
    pub(crate) fn write(self, digits: u8, out: &mut Vec<u8>) {
        let (year, month, day) = date(self.seconds.div_euclid(86_400));
        let second = self.seconds.rem_euclid(86_400);
        let infallible = "a vector takes what is written";
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}").expect(infallible);
        if digits > 0 {
            let fraction = self.nanos / 10_u32.pow(9 - u32::from(digits.min(9)));
            write!(out, ".{fraction:0width$}", width = usize::from(digits)).expect(infallible);
        }
        out.push(b'Z');
    }

    /// The same with as many digits as protobuf writes: 0, 3, 6 or 9.
    pub(crate) fn write_short(self, out: &mut Vec<u8>) {
        self.write(digits_needed(self.nanos), out);
    }
}

const fn digits_needed(nanos: u32) -> u8 {
    if nanos == 0 {
        0
    } else if nanos.is_multiple_of(1_000_000) {
        3
    } else if nanos.is_multiple_of(1000) {
        6
    } else {
        9
    }
}

/// Appends a duration as protobuf writes it; `None` when it is out of range.
pub(crate) fn write_duration(seconds: i64, nanos: i32, out: &mut Vec<u8>) -> Option<()> {
    let mixed = (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0);
    if !(-LONGEST..=LONGEST).contains(&seconds) || nanos.unsigned_abs() > 999_999_999 || mixed {
        return None;
    }
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    let (infallible, nanos) = ("a vector takes what is written", nanos.unsigned_abs());
    write!(out, "{}", seconds.unsigned_abs()).expect(infallible);
    let digits = digits_needed(nanos);
    if digits > 0 {
        let fraction = nanos / 10_u32.pow(9 - u32::from(digits));
        write!(out, ".{fraction:0width$}", width = usize::from(digits)).expect(infallible);
    }
    out.push(b's');
    Some(())
}

/// Reads `3.5s`: seconds and nanoseconds.
pub(crate) fn parse_duration(text: &[u8]) -> Option<(i64, i32)> {
    let unsigned = text.strip_prefix(b"-").unwrap_or(text);
    let sign = if unsigned.len() < text.len() { -1 } else { 1 };
    let inner = unsigned.strip_suffix(b"s")?;
    let whole = inner.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole == 0 || whole > 12 {
        return None;
    }
    let seconds = number(&inner[..whole])?;
    let nanos = match &inner[whole..] {
        [] => 0,
        [b'.', rest @ ..] => fraction(rest).filter(|(_, used)| *used == rest.len())?.0,
        _ => return None,
    };
    (seconds <= LONGEST).then_some(())?;
    Some((seconds * sign, i32::try_from(nanos).ok()? * sign as i32))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str, digits: u8) -> Option<String> {
        let mut out = Vec::new();
        Moment::parse(text.as_bytes())?.write(digits, &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn times_with_any_zone_and_any_digits_become_utc_of_one_width() {
        for (text, written) in [
            ("2026-03-09T07:05:04Z", "2026-03-09T07:05:04.000Z"),
            ("2026-03-09T07:05:04.1Z", "2026-03-09T07:05:04.100Z"),
            ("2026-03-09T07:05:04.123999999+01:30", "2026-03-09T05:35:04.123Z"),
            ("2024-02-29T23:59:59.5-00:01", "2024-03-01T00:00:59.500Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(canonical(text, 3).as_deref(), Some(written), "{text}");
        }
        assert_eq!(canonical("2026-03-09T07:05:04.1Z", 9).as_deref(), Some("2026-03-09T07:05:04.100000000Z"));
    }

    #[test]
    fn what_is_no_time_of_protobuf_is_none() {
        for text in [
            "",
            "2026-03-09",
            "2026-03-09T07:05:04",
            "2026-03-09 07:05:04Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-03-09T24:00:00Z",
            "2026-03-09T07:05:60Z",
            "2026-03-09T07:05:04.Z",
            "2026-03-09T07:05:04.1234567890Z",
            "2026-03-09T07:05:04+0100",
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(Moment::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_and_written_as_protobuf_does() {
        for (text, written) in [
            ("0s", Some("0s")),
            ("3.5s", Some("3.500s")),
            ("-0.000001s", Some("-0.000001s")),
            ("-3s", Some("-3s")),
            ("1.000000001s", Some("1.000000001s")),
            ("315576000000s", Some("315576000000s")),
            ("315576000001s", None),
            ("3", None),
            ("3.s", None),
            (".5s", None),
            ("+3s", None),
            ("1.0000000001s", None),
        ] {
            let mut out = Vec::new();
            let done = parse_duration(text.as_bytes()).and_then(|(s, n)| write_duration(s, n, &mut out));
            assert_eq!(done.map(|()| String::from_utf8(out).unwrap()).as_deref(), written, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_second_is_written_and_read_back(seconds in FIRST..END, nanos in 0..1_000_000_000) {
            let moment = Moment::new(seconds, nanos).unwrap();
            let mut out = Vec::new();
            moment.write(9, &mut out);
            proptest::prop_assert_eq!(Moment::parse(&out), Some(moment));
        }
    }
}
