//! Points in time parsed by a format.
//! Promises that a text is taken only as a whole, and only as a moment that exists.
//! Leaves time zones by name out: nobody agrees on what they mean.

use super::{Civil, Moment};
use crate::number::Decimal;

/// Months by their first three letters.
const MONTHS: [&[u8; 3]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Formats with a name, and what they are short for.
pub(crate) const NAMED: [(&str, &str); 8] = [
    ("RFC3339", "%Y-%m-%dT%H:%M:%S%.f%z"),
    ("APACHE", "%d/%b/%Y:%H:%M:%S %z"),
    ("APACHEERROR", "%a %b %e %H:%M:%S%.f %Y"),
    ("SYSLOG", "%b %e %H:%M:%S"),
    ("UNIX_SECONDS", ""),
    ("UNIX_MILLIS", ""),
    ("UNIX_MICROS", ""),
    ("UNIX_NANOS", ""),
];

/// Those that are one number: how many of their units, as a power of ten, are a second.
const NUMBERS: [(&str, u32); 4] = [("UNIX_SECONDS", 0), ("UNIX_MILLIS", 3), ("UNIX_MICROS", 6), ("UNIX_NANOS", 9)];

/// One part of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Byte(u8),
    /// One or more blanks.
    Blanks,
    Year,
    ShortYear,
    Month,
    MonthName,
    Day,
    Weekday,
    Hour,
    HalfDayHour,
    HalfDay,
    Minute,
    Second,
    /// Digits behind a point that was written out.
    Fraction,
    /// A point or comma and digits, or nothing.
    PointAndFraction,
    Zone,
    /// Seconds since 1970, times ten to this power: a whole number.
    Epoch(u32),
    /// The same as a number with or without a fraction and an exponent.
    Number(u32),
}

/// What a part says. A format says nothing twice, because one of the two would be ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Year,
    Month,
    Day,
    Hour,
    Minute,
    Second,
    Fraction,
    Zone,
    Epoch,
}

/// A format, and the zone of texts that name none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TimeFormat {
    parts: Vec<Part>,
    /// Seconds east of UTC.
    zone: i64,
}

/// What has been read so far.
#[derive(Default)]
struct Read {
    year: Option<i64>,
    month: u32,
    day: u32,
    hour: u32,
    afternoon: Option<bool>,
    minute: u32,
    second: u32,
    /// Digits behind the point, nine of them.
    fraction: u32,
    zone: Option<i64>,
    epoch: Option<Epoch>,
}

/// A moment as a number of units since 1970, its fraction not among them.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    /// Of zero too: -0.5 begins with one.
    negative: bool,
    units: u64,
    /// The number of its units in a second, as a power of ten.
    power: u32,
}

/// Why a text names no moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoMoment {
    /// It does not have the format from this byte on.
    Format {
        /// Where.
        at: usize,
    },
    /// It has the format, but there is no such day or time, or it is beyond the year 9999.
    Calendar,
}

impl TimeFormat {
    /// The format that `text` names or spells with the signs of `strftime`.
    pub(crate) fn new(text: &str, zone: i64) -> Result<Self, String> {
        if let Some((_, power)) = NUMBERS.iter().find(|(name, _)| *name == text) {
            return Ok(Self { parts: vec![Part::Number(*power)], zone });
        }
        let text = NAMED.iter().find(|(name, _)| *name == text).map_or(text, |(_, format)| format);
        let mut parts = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'%' => parts.extend_from_slice(directive(&mut rest)?),
                b' ' => parts.push(Part::Blanks),
                other => parts.push(Part::Byte(other)),
            }
        }
        prove(&parts)?;
        Ok(Self { parts, zone })
    }

    /// The moment that the text names; `now_ms` gives the year where the text does not.
    pub(crate) fn parse(&self, text: &[u8], now_ms: u64) -> Result<Moment, NoMoment> {
        let mut read = Read { month: 1, day: 1, ..Read::default() };
        let mut rest = text;
        for part in &self.parts {
            if let Part::Number(power) = part {
                return number_of_units(rest, *power);
            }
            let at = text.len() - rest.len();
            part.read(&mut rest, &mut read).ok_or(NoMoment::Format { at })?;
        }
        if !rest.is_empty() {
            return Err(NoMoment::Format { at: text.len() - rest.len() });
        }
        match read.epoch {
            Some(epoch) => moment(epoch.nanoseconds(read.fraction)),
            None => {
                let seconds = self.seconds(&read, (now_ms / 1000) as i64).ok_or(NoMoment::Calendar)?;
                moment(i128::from(seconds) * SECOND + i128::from(read.fraction))
            }
        }
    }

    fn seconds(&self, read: &Read, now: i64) -> Option<i64> {
        const TOMORROW: i64 = 86_400;
        let hour = match read.afternoon {
            Some(_) if !(1..=12).contains(&read.hour) => return None,
            Some(afternoon) => read.hour % 12 + if afternoon { 12 } else { 0 },
            None => read.hour,
        };
        let zone = read.zone.unwrap_or(self.zone);
        let in_year = |year| {
            let civil =
                Civil { year, month: read.month, day: read.day, hour, minute: read.minute, second: read.second };
            civil.seconds().map(|seconds| seconds - zone)
        };
        match read.year {
            Some(year) => in_year(year),
            None => {
                // 29 February may lie several years back.
                let this_year = Civil::of(now).year;
                let not_ahead = |seconds: &i64| *seconds <= now + TOMORROW;
                (0..9).find_map(|back| in_year(this_year + 1 - back).filter(not_ahead))
            }
        }
    }
}

const SECOND: i128 = 1_000_000_000;

impl Epoch {
    /// Since 1970, with a fraction of its unit; what is finer than a nanosecond is cut off.
    fn nanoseconds(self, fraction: u32) -> i128 {
        let unit = 10_i128.pow(9 - self.power);
        let length = i128::from(self.units) * unit + i128::from(fraction) * unit / SECOND;
        if self.negative { -length } else { length }
    }
}

/// A text that is one number of units since 1970.
fn number_of_units(text: &[u8], power: u32) -> Result<Moment, NoMoment> {
    // Some write the fraction behind a comma.
    let number = Decimal::parse_with(text, b".,").ok_or(NoMoment::Format { at: 0 })?;
    moment(number.scaled(9 - power).ok_or(NoMoment::Calendar)?)
}

/// The moment this number of nanoseconds after 1970. What cannot be written with a year of four digits is no time of a log.
fn moment(nanoseconds: i128) -> Result<Moment, NoMoment> {
    let seconds = nanoseconds.div_euclid(SECOND) as i64;
    if !(-62_167_219_200..253_402_300_800).contains(&nanoseconds.div_euclid(SECOND)) {
        return Err(NoMoment::Calendar);
    }
    Ok(Moment { seconds, nanoseconds: nanoseconds.rem_euclid(SECOND) as u32 })
}

/// That a format names a moment, says nothing twice, and says nothing that would be ignored.
fn prove(parts: &[Part]) -> Result<(), String> {
    let mut said = Vec::new();
    for says in parts.iter().filter_map(|part| part.says()) {
        if said.contains(&says) {
            return Err(format!("it says the {} twice, and one of the two would be ignored", says.word()));
        }
        said.push(says);
    }
    let says = |what| said.contains(&what);
    if says(Says::Epoch) {
        // A zone beside it changes nothing, as in the dates of git.
        let beside = said.iter().find(|says| !matches!(says, Says::Epoch | Says::Fraction | Says::Zone));
        return match beside {
            Some(beside) => Err(format!(
                "seconds since 1970 are a whole moment, so the {} beside them would be ignored",
                beside.word()
            )),
            None => Ok(()),
        };
    }
    if !(says(Says::Day) && says(Says::Month)) {
        return Err("it names no day: it needs a month and a day, or seconds since 1970".to_owned());
    }
    if parts.contains(&Part::HalfDayHour) != parts.contains(&Part::HalfDay) {
        return Err("an hour of twelve, `%I`, needs `%p` beside it, and the other way round".to_owned());
    }
    Ok(())
}

impl Says {
    const fn word(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::Fraction => "fraction of a second",
            Self::Zone => "time zone",
            Self::Epoch => "seconds since 1970",
        }
    }
}

fn directive(rest: &mut std::str::Bytes<'_>) -> Result<&'static [Part], String> {
    use Part::{Blanks, Byte, Day, Epoch, Hour, Minute, Month, MonthName, Second, Weekday, Year};
    let kind = rest.next().ok_or("it ends in `%`")?;
    let signs: &[Part] = match kind {
        b'Y' => &[Year],
        b'y' => &[Part::ShortYear],
        b'm' => &[Month],
        b'b' | b'B' | b'h' => &[MonthName],
        b'd' | b'e' => &[Day],
        b'a' | b'A' => &[Weekday],
        b'H' | b'k' => &[Hour],
        b'I' | b'l' => &[Part::HalfDayHour],
        b'p' | b'P' => &[Part::HalfDay],
        b'M' => &[Minute],
        b'S' => &[Second],
        b'f' | b'L' | b'N' => &[Part::Fraction],
        b'z' => &[Part::Zone],
        b's' => &[Epoch(0)],
        b'Q' => &[Epoch(3)],
        b'T' => &[Hour, Byte(b':'), Minute, Byte(b':'), Second],
        b'R' => &[Hour, Byte(b':'), Minute],
        b'F' => &[Year, Byte(b'-'), Month, Byte(b'-'), Day],
        b'D' => &[Month, Byte(b'/'), Day, Byte(b'/'), Part::ShortYear],
        b'n' | b't' => &[Blanks],
        b'%' => &[Byte(b'%')],
        b'.' | b'3' | b'6' | b'9' => match (kind, rest.next()) {
            (b'.', Some(b'f')) => &[Part::PointAndFraction],
            (b'3', Some(b's')) => &[Epoch(3)],
            (b'6', Some(b's')) => &[Epoch(6)],
            (b'9', Some(b's')) => &[Epoch(9)],
            _ => return Err(format!("`%{}` is not complete", char::from(kind))),
        },
        other => return Err(format!("`%{}` is not known", char::from(other))),
    };
    Ok(signs)
}

impl Part {
    const fn says(self) -> Option<Says> {
        Some(match self {
            Self::Byte(_) | Self::Blanks | Self::Weekday | Self::HalfDay => return None,
            Self::Year | Self::ShortYear => Says::Year,
            Self::Month | Self::MonthName => Says::Month,
            Self::Day => Says::Day,
            Self::Hour | Self::HalfDayHour => Says::Hour,
            Self::Minute => Says::Minute,
            Self::Second => Says::Second,
            Self::Fraction | Self::PointAndFraction => Says::Fraction,
            Self::Zone => Says::Zone,
            Self::Epoch(_) | Self::Number(_) => Says::Epoch,
        })
    }

    fn read(self, rest: &mut &[u8], read: &mut Read) -> Option<()> {
        match self {
            Self::Byte(byte) => *rest = rest.strip_prefix(&[byte]).or_else(|| loose(byte, rest))?,
            Self::Blanks => {
                let kept = rest.trim_ascii_start();
                if kept.len() == rest.len() {
                    return None;
                }
                *rest = kept;
            }
            Self::Year => read.year = Some(number(rest, 4, 4)? as i64),
            Self::ShortYear => {
                let year = number(rest, 2, 2)? as i64;
                read.year = Some(if year < 69 { 2000 + year } else { 1900 + year });
            }
            Self::Month => read.month = number(rest, 1, 2)? as u32,
            Self::MonthName => {
                let word = letters(rest);
                let first: [u8; 3] = word.get(..3)?.to_ascii_lowercase().try_into().ok()?;
                read.month = MONTHS.iter().position(|month| **month == first)? as u32 + 1;
            }
            Self::Day => {
                *rest = rest.trim_ascii_start();
                read.day = number(rest, 1, 2)? as u32;
            }
            Self::Weekday => drop(letters(rest).get(..3)?),
            Self::Hour | Self::HalfDayHour => {
                *rest = rest.trim_ascii_start();
                read.hour = number(rest, 1, 2)? as u32;
            }
            Self::HalfDay => {
                let word = letters(rest);
                read.afternoon = Some(if word.eq_ignore_ascii_case(b"pm") {
                    true
                } else if word.eq_ignore_ascii_case(b"am") {
                    false
                } else {
                    return None;
                });
            }
            Self::Minute => read.minute = number(rest, 2, 2)? as u32,
            Self::Second => read.second = number(rest, 1, 2)? as u32,
            Self::Fraction => read.fraction = fraction(rest)?,
            Self::PointAndFraction => {
                if let Some(digits) = rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
                    *rest = digits;
                    read.fraction = fraction(rest)?;
                }
            }
            Self::Zone => read.zone = Some(zone(rest)?),
            Self::Epoch(power) => {
                let negative = rest.strip_prefix(b"-");
                *rest = negative.unwrap_or(rest);
                read.epoch = Some(Epoch { negative: negative.is_some(), units: number(rest, 1, 19)?, power });
            }
            Self::Number(_) => return None,
        }
        Some(())
    }
}

/// Between date and time, RFC 3339 also allows a blank and a small letter.
fn loose(byte: u8, rest: &[u8]) -> Option<&[u8]> {
    if byte == b'T' { rest.strip_prefix(b" ").or_else(|| rest.strip_prefix(b"t")) } else { None }
}

fn letters<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let (word, left) = rest.split_at(length);
    *rest = left;
    word
}

fn number(rest: &mut &[u8], least: usize, most: usize) -> Option<u64> {
    let length = rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
    if length < least {
        return None;
    }
    let (digits, left) = rest.split_at(length);
    *rest = left;
    let value =
        digits.iter().try_fold(0_u64, |value, digit| value.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    // What follows is multiplied and signed.
    (value <= i64::MAX as u64).then_some(value)
}

/// Digits behind a point, as nanoseconds; more than nine are cut off.
fn fraction(rest: &mut &[u8]) -> Option<u32> {
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let (digits, left) = rest.split_at(length);
    *rest = left;
    let place = |index: usize| digits.get(index).map_or(0, |digit| u32::from(digit - b'0'));
    Some((0..9).fold(0, |value, index| value * 10 + place(index)))
}

/// `Z`, `UTC`, `GMT`, `+0100`, `+01:00`, `+01`: seconds east of UTC.
pub(crate) fn zone(rest: &mut &[u8]) -> Option<i64> {
    for name in [b"Z".as_slice(), b"z", b"UTC", b"GMT"] {
        if let Some(left) = rest.strip_prefix(name) {
            *rest = left;
            return Some(0);
        }
    }
    let (sign, left) = rest.split_first()?;
    let sign = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    *rest = left;
    let hours = number(rest, 2, 2)? as i64;
    *rest = rest.strip_prefix(b":").unwrap_or(rest);
    let minutes = number(rest, 2, 2).unwrap_or(0) as i64;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::write;

    /// 2018-10-08T12:34:56Z
    const NOW: u64 = 1_539_002_096_000;

    fn iso(format: &str, text: &str) -> Option<String> {
        let moment = TimeFormat::new(format, 0).unwrap().parse(text.as_bytes(), NOW).ok()?;
        let mut out = Vec::new();
        write(moment, &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn the_named_formats_are_read() {
        for (format, text, expected) in [
            ("RFC3339", "2016-04-22T10:11:12.123456+02:00", "2016-04-22T08:11:12.123456Z"),
            ("RFC3339", "2016-04-22 10:11:12Z", "2016-04-22T10:11:12.000Z"),
            ("APACHE", "10/Oct/2000:13:55:36 -0700", "2000-10-10T20:55:36.000Z"),
            ("APACHEERROR", "Wed Oct 11 14:32:52.123456 2023", "2023-10-11T14:32:52.123456Z"),
            ("SYSLOG", "Mar  2 12:00:08", "2018-03-02T12:00:08.000Z"),
            ("SYSLOG", "Dec 31 23:59:59", "2017-12-31T23:59:59.000Z"),
            ("SYSLOG", "Feb 29 01:00:00", "2016-02-29T01:00:00.000Z"),
            ("UNIX_SECONDS", "1539002096.5", "2018-10-08T12:34:56.500Z"),
            ("UNIX_MILLIS", "1539002096789", "2018-10-08T12:34:56.789Z"),
            ("UNIX_NANOS", "1539002096000000001", "2018-10-08T12:34:56.000000001Z"),
            ("UNIX_MILLIS", "-1", "1969-12-31T23:59:59.999Z"),
            ("UNIX_SECONDS", "-1.5", "1969-12-31T23:59:58.500Z"),
            ("UNIX_SECONDS", "-0.25", "1969-12-31T23:59:59.750Z"),
            ("UNIX_SECONDS", "-0.0000000001", "1970-01-01T00:00:00.000Z"),
            ("UNIX_SECONDS", "1.7E9", "2023-11-14T22:13:20.000Z"),
            ("UNIX_SECONDS", "1.5390020965e9", "2018-10-08T12:34:56.500Z"),
            ("UNIX_SECONDS", "1539002096,5", "2018-10-08T12:34:56.500Z"),
            ("UNIX_MILLIS", "1.539002096789E12", "2018-10-08T12:34:56.789Z"),
            ("UNIX_MILLIS", "1539002096789.5", "2018-10-08T12:34:56.789500Z"),
            ("UNIX_NANOS", "1539002096000000001.999", "2018-10-08T12:34:56.000000001Z"),
            ("%s%.f", "-1.5", "1969-12-31T23:59:58.500Z"),
            ("%s.%f", "-0.5", "1969-12-31T23:59:59.500Z"),
            ("%3s%.f", "-1.5", "1969-12-31T23:59:59.998500Z"),
            ("%s %z", "1539002096 +0200", "2018-10-08T12:34:56.000Z"),
            ("%d.%m.%y %I:%M %p", "08.10.18 12:05 AM", "2018-10-08T00:05:00.000Z"),
            ("%F %T,%f", "2018-10-08 12:34:56,7", "2018-10-08T12:34:56.700Z"),
        ] {
            assert_eq!(iso(format, text).as_deref(), Some(expected), "{format}: {text}");
        }
    }

    #[test]
    fn what_is_no_moment_of_the_format_is_none() {
        for (format, text) in [
            ("RFC3339", "2016-04-22T10:11:12Zx"),
            ("RFC3339", "2016-02-30T10:11:12Z"),
            ("RFC3339", "2016-04-22T25:11:12Z"),
            ("APACHE", "10/Okt/2000:13:55:36 -0700"),
            ("UNIX_MILLIS", "99999999999999999999"),
            ("UNIX_SECONDS", "9999999999999"),
            ("%d.%m.%y %I:%M %p", "08.10.18 13:05 AM"),
            ("SYSLOG", ""),
        ] {
            assert_eq!(iso(format, text), None, "{format}: {text}");
        }
        assert!(TimeFormat::new("%H:%M", 0).is_err() && TimeFormat::new("%d %q", 0).is_err());
    }

    #[test]
    fn a_format_that_would_ignore_a_part_of_itself_is_refused() {
        // `%s` used to override the date beside it without a word.
        for (format, said) in [
            ("%Y-%m-%d %s", "the year beside them"),
            ("%s %H", "the hour beside them"),
            ("%s %Q", "seconds since 1970 twice"),
            ("%Y %y-%m-%d", "the year twice"),
            ("%m %b %d", "the month twice"),
            ("%F %T%.f%f", "the fraction of a second twice"),
            ("%F %I:%M", "needs `%p`"),
            ("%F %H:%M %p", "needs `%p`"),
        ] {
            let error = TimeFormat::new(format, 0).unwrap_err();
            assert!(error.contains(said), "{format}: {error}");
        }
    }

    #[test]
    fn a_refusal_says_where_the_text_leaves_the_format() {
        let refused = |format, text: &str| TimeFormat::new(format, 0).unwrap().parse(text.as_bytes(), NOW);
        assert_eq!(refused("%s", "1.7E9"), Err(NoMoment::Format { at: 1 }));
        assert_eq!(refused("APACHE", "10/Okt/2000:13:55:36 -0700"), Err(NoMoment::Format { at: 3 }));
        assert_eq!(refused("RFC3339", "2016-02-30T10:11:12Z"), Err(NoMoment::Calendar));
        assert_eq!(refused("UNIX_SECONDS", "1e400"), Err(NoMoment::Calendar));
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in -62_167_219_200_i64..253_402_300_800, nanoseconds in 0_u32..1_000_000_000) {
            let moment = Moment { seconds, nanoseconds };
            let mut text = Vec::new();
            write(moment, &mut text);
            proptest::prop_assert_eq!(TimeFormat::new("RFC3339", 0).unwrap().parse(&text, NOW), Ok(moment));
        }

        #[test]
        fn no_text_makes_it_panic(format in "[%YmdbeHMSfzsQTp:. ]{0,12}", text in "[0-9A-Za-z:+. -]{0,40}") {
            if let Ok(format) = TimeFormat::new(&format, 0) {
                let _moment = format.parse(text.as_bytes(), NOW);
            }
        }
    }
}
