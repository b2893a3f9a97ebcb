//! Hours as partitions have them, and in the text of a query: `{dt}`, `{dt-24h}`, `{dt-7d}`, `{dt+1h}`.
//! Promises that what takes the place of a placeholder is digits and dashes, so that it means nothing but an hour
//! between quotes, and that a placeholder which is none is refused instead of finding no rows.
//! Leaves the rest of the text to the lint.

use datalake_base::calendar::Civil;
use std::fmt;

/// One hour in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hour {
    /// Hours since 1970. Invariant: in the years 1 to 9999.
    number: i64,
}

/// Why a text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHour {
    /// Not `2026-03-09-07`.
    #[error("`{found}` is no hour such as 2026-03-09-07")]
    NoHour {
        /// What was found.
        found: String,
    },
    /// Begins like a placeholder.
    #[error("`{found}` is no placeholder; write {{dt}}, or {{dt-24h}}, {{dt-7d}}, {{dt+1h}}")]
    NoPlaceholder {
        /// What was found.
        found: String,
    },
}

/// Placeholders reach about a hundred years.
const FARTHEST: i64 = 876_000;
const LEAST: i64 = -17_259_888;
const MOST: i64 = 70_389_527;

impl Hour {
    /// Reads `2026-03-09-07`.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, BadHour> {
        let none = || BadHour::NoHour { found: text.chars().take(40).collect() };
        let shape = text.len() == 13
            && text.bytes().enumerate().all(|(place, byte)| match place {
                4 | 7 | 10 => byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !shape {
            return Err(none());
        }
        let part = |from: usize, to: usize| text[from..to].parse::<u32>().map_err(|_| none());
        let (year, month, day, hour) = (part(0, 4)?, part(5, 7)?, part(8, 10)?, part(11, 13)?);
        let civil = Civil { year: year.into(), month, day, hour, minute: 0, second: 0 };
        let seconds = civil.seconds().filter(|_| year > 0).ok_or_else(none)?;
        Ok(Self { number: seconds.div_euclid(3600) })
    }

    /// The hour of a number of milliseconds since 1970.
    #[must_use]
    pub fn of_millis(millis: u64) -> Self {
        Self { number: i64::try_from(millis / 3_600_000).unwrap_or(MOST).min(MOST) }
    }

    /// Hours later, or earlier; the first or last hour where there is no such one.
    #[must_use]
    pub fn plus(self, hours: i64) -> Self {
        Self { number: self.number.saturating_add(hours).clamp(LEAST, MOST) }
    }
}

impl fmt::Display for Hour {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::of(self.number * 3600);
        write!(formatter, "{:04}-{:02}-{:02}-{:02}", civil.year, civil.month, civil.day, civil.hour)
    }
}

/// Whether a text has placeholders.
#[must_use]
pub fn has_placeholders(query: &str) -> bool {
    query.contains("{dt")
}

/// The text of a query with hours in place of its placeholders.
///
/// # Errors
/// A placeholder that is none.
pub fn bind(query: &str, hour: Hour) -> Result<String, BadHour> {
    let mut out = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find("{dt") {
        let (before, from) = rest.split_at(at);
        let end = from.find('}').map(|end| end + 1);
        let moved = end.and_then(|end| distance(&from[3..end - 1]));
        let (Some(end), Some(moved)) = (end, moved) else {
            return Err(BadHour::NoPlaceholder { found: from.chars().take(20).collect() });
        };
        out.push_str(before);
        out.push_str(&hour.plus(moved).to_string());
        rest = &from[end..];
    }
    out.push_str(rest);
    Ok(out)
}

/// Hours of ``, `-7d` or `+1h`.
fn distance(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let (sign, text) = match text.split_at_checked(1)? {
        ("-", text) => (-1, text),
        ("+", text) => (1, text),
        _ => return None,
    };
    let (unit, digits) = match (text.strip_suffix('h'), text.strip_suffix('d')) {
        (Some(digits), _) => (1, digits),
        (_, Some(digits)) => (24, digits),
        _ => return None,
    };
    let number: i64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    number.checked_mul(unit).filter(|hours| *hours <= FARTHEST).map(|hours| sign * hours)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> Hour {
        Hour::parse(text).unwrap()
    }

    #[test]
    fn hours_are_read_and_written_alike_and_move_over_months_and_years() {
        for text in ["2026-03-09-07", "0001-01-01-00", "9999-12-31-23", "2024-02-29-23"] {
            assert_eq!(hour(text).to_string(), text);
        }
        assert_eq!(hour("2026-03-01-00").plus(-1).to_string(), "2026-02-28-23");
        assert_eq!(hour("2026-12-31-23").plus(1).to_string(), "2027-01-01-00");
        assert_eq!(hour("0001-01-01-00").plus(-1).to_string(), "0001-01-01-00");
        assert_eq!(hour("9999-12-31-23").plus(i64::MAX).to_string(), "9999-12-31-23");
        assert_eq!(Hour::of_millis(1_773_039_600_000).to_string(), "2026-03-09-07");
    }

    #[test]
    fn what_is_no_hour_is_refused() {
        for text in [
            "",
            "2026-03-09",
            "2026-02-30-00",
            "2026-13-01-00",
            "2026-03-09-24",
            "0000-01-01-00",
            "+026-03-09-07",
            "today",
        ] {
            assert!(Hour::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn placeholders_become_hours_and_nothing_else_changes() {
        let text = "SELECT '{\"a\": 1}' FROM t WHERE dt BETWEEN '{dt-7d}' AND '{dt}' OR dt = '{dt+1h}' OR dt = '{dt-24h}' -- {d}";
        let bound = bind(text, hour("2026-03-09-07")).unwrap();
        assert_eq!(
            bound,
            "SELECT '{\"a\": 1}' FROM t WHERE dt BETWEEN '2026-03-02-07' AND '2026-03-09-07' OR dt = '2026-03-09-08' \
             OR dt = '2026-03-08-07' -- {d}"
        );
    }

    /// `{dt-7}` between quotes would be a text that no partition equals: a report without rows, and no word about it.
    #[test]
    fn a_placeholder_that_is_none_is_refused() {
        for text in [
            "'{dt-7}'",
            "'{dt",
            "'{dt 7d}'",
            "'{dt-d}'",
            "'{dt--1h}'",
            "'{dt-1.5h}'",
            "'{dt-9999999999d}'",
            "'{dt-é}'",
            "'{dtx}'",
        ] {
            assert!(bind(text, hour("2026-03-09-07")).is_err(), "{text}");
        }
    }
}
