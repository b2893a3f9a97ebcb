//! Points in time, read and written, without a clock and without a time zone database.
//! Promises the proleptic Gregorian calendar from year 0 to 9999, in UTC.
//! Leaves what time it is to the caller.

/// Points in time parsed by a format.
pub(super) mod parse;

const DAY: i64 = 86_400;

/// A point in time: seconds since 1970 and nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    /// Invariant: below 1,000,000,000.
    pub(super) nanoseconds: u32,
}

/// A date and a time of day, zone unsaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Civil {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u32,
    /// 1 to 31.
    pub(super) day: u32,
    pub(super) hour: u32,
    pub(super) minute: u32,
    /// Up to 60: a leap second is the first second of the next minute.
    pub(super) second: u32,
}

impl Civil {
    /// Seconds since 1970 if this is in UTC; `None` where there is no such day.
    pub(super) fn seconds(self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days_of_month = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        let valid = (1..=days_of_month).contains(&self.day) && self.hour < 24 && self.minute < 60 && self.second <= 60;
        if !valid || !(0..=9999).contains(&self.year) {
            return None;
        }
        // Years that begin in March have their leap day at the end.
        let year = self.year - i64::from(self.month <= 2);
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let of_year = (153 * i64::from((self.month + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        Some(days * DAY + i64::from(self.hour * 3600 + self.minute * 60 + self.second))
    }

    /// The date and time in UTC.
    pub(super) fn of(seconds: i64) -> Self {
        let (days, of_day) = (seconds.div_euclid(DAY) + 719_468, seconds.rem_euclid(DAY) as u32);
        let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let month = ((shifted + 2) % 12 + 1) as u32;
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month,
            day: (of_year - (153 * shifted + 2) / 5 + 1) as u32,
            hour: of_day / 3600,
            minute: of_day / 60 % 60,
            second: of_day % 60,
        }
    }
}

/// Appends `digits` digits of a number, zeros in front.
fn number(value: u64, digits: u32, out: &mut Vec<u8>) {
    for place in (0..digits).rev() {
        out.push(b'0' + (value / 10_u64.pow(place) % 10) as u8);
    }
}

/// Appends `2018-10-08T12:34:56.789Z`, with as many digits behind the second as the moment has, three at least.
pub(super) fn write(moment: Moment, out: &mut Vec<u8>) {
    let civil = Civil::of(moment.seconds);
    for (value, digits, behind) in [
        (civil.year as u64, 4, b'-'),
        (u64::from(civil.month), 2, b'-'),
        (u64::from(civil.day), 2, b'T'),
        (u64::from(civil.hour), 2, b':'),
        (u64::from(civil.minute), 2, b':'),
        (u64::from(civil.second), 2, b'.'),
    ] {
        number(value, digits, out);
        out.push(behind);
    }
    let (digits, unit) = match moment.nanoseconds {
        whole if whole % 1_000_000 == 0 => (3, 1_000_000),
        micro if micro % 1000 == 0 => (6, 1000),
        _ => (9, 1),
    };
    number(u64::from(moment.nanoseconds / unit), digits, out);
    out.push(b'Z');
}

/// The same for milliseconds since 1970; those past the year 9999 count as its last one.
pub(super) fn write_millis(millis: u64, out: &mut Vec<u8>) {
    const LAST: u64 = 253_402_300_799_999;
    let millis = millis.min(LAST);
    write(Moment { seconds: (millis / 1000) as i64, nanoseconds: (millis % 1000) as u32 * 1_000_000 }, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_moment_is_written_as_everyone_writes_it() {
        let mut out = Vec::new();
        write_millis(1_539_002_096_789, &mut out);
        assert_eq!(out, b"2018-10-08T12:34:56.789Z");
    }

    #[test]
    fn days_that_do_not_exist_are_none() {
        let day = |year, month, day| Civil { year, month, day, hour: 0, minute: 0, second: 0 }.seconds();
        assert!(day(2023, 2, 29).is_none() && day(2024, 2, 29).is_some() && day(1900, 2, 29).is_none());
        assert!(day(2023, 4, 31).is_none() && day(2023, 0, 1).is_none() && day(2023, 13, 1).is_none());
        assert_eq!(day(1970, 1, 1), Some(0));
    }

    proptest::proptest! {
        #[test]
        fn what_a_moment_is_called_leads_back_to_it(seconds in -62_167_219_200_i64..253_402_300_800) {
            proptest::prop_assert_eq!(Civil::of(seconds).seconds(), Some(seconds));
        }
    }
}
