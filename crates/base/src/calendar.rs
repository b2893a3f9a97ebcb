//! Points in time as the calendar has them, in UTC.
//! Promises the proleptic Gregorian calendar from year 0 to 9999, and one way to write a moment for all of the agent.
//! Leaves what time it is to the caller, and the length of months to jiff.

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};

const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);
/// The last millisecond that has a year of four digits.
const LAST_MILLISECOND: u64 = 253_402_300_799_999;

/// A point in time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Rounded down, so that the nanoseconds are never negative.
    pub seconds: i64,
    /// Invariant: below 1,000,000,000.
    pub nanoseconds: u32,
}

impl Moment {
    /// This number of milliseconds after 1970; those past the year 9999 count as its last one.
    #[must_use]
    pub const fn of_millis(millis: u64) -> Self {
        let millis = if millis < LAST_MILLISECOND { millis } else { LAST_MILLISECOND };
        Self { seconds: (millis / 1000) as i64, nanoseconds: (millis % 1000) as u32 * 1_000_000 }
    }
}

/// A date and a time of day, zone unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// 0 to 9999.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// Up to 60: a leap second is the first second of the next minute.
    pub second: u32,
}

impl Civil {
    /// Seconds since 1970 if this is in UTC; `None` where there is no such day or time.
    #[must_use]
    pub fn seconds(self) -> Option<i64> {
        let Self { year, month, day, hour, minute, second } = self;
        if !(0..=9999).contains(&year) || second > 60 {
            return None;
        }
        let small = |number: u32| i8::try_from(number).ok();
        let time = DateTime::new(
            i16::try_from(year).ok()?,
            small(month)?,
            small(day)?,
            small(hour)?,
            small(minute)?,
            small(second.min(59))?,
            0,
        );
        Some(time.ok()?.duration_since(EPOCH).as_secs() + i64::from(second == 60))
    }

    /// The date and time in UTC of a number of seconds since 1970, which lie within the years 0 to 9999.
    #[must_use]
    pub fn of(seconds: i64) -> Self {
        let time = EPOCH.saturating_add(SignedDuration::from_secs(seconds));
        Self {
            year: i64::from(time.year()),
            month: time.month().unsigned_abs().into(),
            day: time.day().unsigned_abs().into(),
            hour: time.hour().unsigned_abs().into(),
            minute: time.minute().unsigned_abs().into(),
            second: time.second().unsigned_abs().into(),
        }
    }
}

/// Writes the last digits of a number into all of these places, zeros in front.
fn number(mut value: u32, places: &mut [u8]) {
    for place in places.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Appends `2018-10-08T12:34:56.789Z`, with as many digits behind the second as the moment has, three at least.
pub fn write(moment: Moment, out: &mut Vec<u8>) {
    let civil = Civil::of(moment.seconds);
    let (digits, unit) = match moment.nanoseconds {
        whole if whole % 1_000_000 == 0 => (3, 1_000_000),
        micro if micro % 1000 == 0 => (6, 1000),
        _ => (9, 1),
    };
    // Written in one place and appended at once: one is written for each record that has its time added.
    let mut text = *b"0000-00-00T00:00:00.000000000Z";
    number(civil.year as u32, &mut text[..4]);
    for (at, value) in [(5, civil.month), (8, civil.day), (11, civil.hour), (14, civil.minute), (17, civil.second)] {
        number(value, &mut text[at..at + 2]);
    }
    let end = 20 + digits;
    number(moment.nanoseconds / unit, &mut text[20..end]);
    text[end] = b'Z';
    out.extend_from_slice(&text[..=end]);
}

/// The same for milliseconds since 1970.
pub fn write_millis(millis: u64, out: &mut Vec<u8>) {
    write(Moment::of_millis(millis), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_as_everyone_writes_them() {
        for (millis, written) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_539_002_096_789, "2018-10-08T12:34:56.789Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            write_millis(millis, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }

    #[test]
    fn days_that_do_not_exist_are_none() {
        let day = |year, month, day| Civil { year, month, day, hour: 0, minute: 0, second: 0 }.seconds();
        assert!(day(2023, 2, 29).is_none() && day(2024, 2, 29).is_some() && day(1900, 2, 29).is_none());
        assert!(day(2023, 4, 31).is_none() && day(2023, 0, 1).is_none() && day(2023, 13, 1).is_none());
        assert!(day(10_000, 1, 1).is_none() && day(-1, 1, 1).is_none() && day(2023, 1, 300).is_none());
        assert_eq!((day(1970, 1, 1), day(0, 1, 1)), (Some(0), Some(-62_167_219_200)));
    }

    #[test]
    fn a_leap_second_is_the_first_of_the_next_minute() {
        let at = |hour, second| Civil { year: 2016, month: 12, day: 31, hour, minute: 59, second }.seconds();
        assert_eq!((at(23, 60), at(23, 61), at(24, 0)), (Some(1_483_228_800), None, None));
    }

    proptest::proptest! {
        #[test]
        fn what_a_moment_is_called_leads_back_to_it(seconds in -62_167_219_200_i64..253_402_300_800) {
            proptest::prop_assert_eq!(Civil::of(seconds).seconds(), Some(seconds));
        }
    }
}
