//! Rows of an answer as points of a chart.
//! Promises that a column which is not there, a time that is none and a value that is no number are errors with the row,
//! and that null is no point.
//! Leaves drawing to `chart`.

use super::Series;
use datalake_base::calendar::Civil;
use datalake_base::shown::shown;
use serde_json::{Map, Value};

/// Reads JSON lines.
///
/// # Errors
/// What is wrong with which row.
pub fn read(rows: &[u8], time: &str, value: &str, series: Option<&str>) -> Result<Series, String> {
    let mut all = Series::new();
    let lines = rows.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    for (number, line) in lines {
        let row: Map<String, Value> =
            serde_json::from_slice(line).map_err(|error| format!("row {} is no JSON: {error}", number + 1))?;
        let column = |name: &str| {
            let found = row.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            found.ok_or_else(|| {
                let known = row.keys().map(|key| shown(key.as_str()).to_string()).collect::<Vec<_>>().join(", ");
                format!("the answer has no column `{name}`; it has {known}")
            })
        };
        let (at, height) = (column(time)?, column(value)?);
        let name = series.map(column).transpose()?.map_or_else(String::new, text);
        if at.is_null() || height.is_null() {
            continue;
        }
        let wrong = |name: &str, value: &Value, what: &str| {
            let found: String = shown(text(value).as_str()).to_string().chars().take(60).collect();
            format!("row {}: `{name}` is {found}, which is no {what}", number + 1)
        };
        let moment = moment(&text(at)).ok_or_else(|| wrong(time, at, "time"))?;
        let height = text(height).parse().map_err(|_| wrong(value, height, "number"))?;
        all.entry(name).or_default().push((moment, height));
    }
    Ok(all)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Milliseconds since 1970 of `2026-03-09T07:05:04.123Z`, `2026-03-09 07:05:04.123 UTC`, `2026-03-09 07:05:04+01`,
/// `2026-03-09-07` or `2026-03-09`; without a zone it is UTC.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    let number = |from: usize, to: usize| -> Option<u32> {
        let part = text.get(from..to)?;
        part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let sign = |place: usize, signs: &[u8]| text.as_bytes().get(place).is_some_and(|byte| signs.contains(byte));
    if !sign(4, b"-") || !sign(7, b"-") {
        return None;
    }
    let day =
        Civil { year: number(0, 4)?.into(), month: number(5, 7)?, day: number(8, 10)?, hour: 0, minute: 0, second: 0 };
    if text.len() == 10 {
        return Some(day.seconds()? * 1000);
    }
    if !sign(10, b"- T") {
        return None;
    }
    let hour = number(11, 13)?;
    if text.len() == 13 {
        return Some(Civil { hour, ..day }.seconds()? * 1000);
    }
    if !sign(13, b":") || !sign(16, b":") {
        return None;
    }
    let seconds = Civil { hour, minute: number(14, 16)?, second: number(17, 19)?, ..day }.seconds()?;
    let mut rest = text.get(19..)?;
    let mut millis = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let padded: String = fraction[..digits].chars().chain("000".chars()).take(3).collect();
        millis = padded.parse::<i64>().ok().filter(|_| digits > 0)?;
        rest = &fraction[digits..];
    }
    Some(seconds * 1000 + millis - zone(rest.trim_start())? * 1000)
}

/// Seconds east of Greenwich.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "UTC") {
        return Some(0);
    }
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "0"));
    let part = |text: &str, most: i64| text.parse::<i64>().ok().filter(|number| (0..=most).contains(number));
    Some(sign * (part(hours, 14)? * 3600 + part(minutes, 59)? * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_one_in_every_form_that_both_engines_write() {
        for text in [
            "2026-03-09T07:00:00Z",
            "2026-03-09T07:00:00.000Z",
            "2026-03-09T08:00:00+01:00",
            "2026-03-09 07:00:00",
            "2026-03-09 07:00:00.000 UTC",
            "2026-03-09 07:00:00+00",
            "2026-03-09 05:30:00-01:30",
            "2026-03-09-07",
        ] {
            assert_eq!(moment(text), Some(1_773_039_600_000), "{text}");
        }
        assert_eq!(moment("2026-03-09"), Some(1_773_014_400_000));
        assert_eq!(moment("2026-03-09T07:00:00.1234567Z"), Some(1_773_039_600_123));
        for text in [
            "",
            "7",
            "2026-03-09T07",
            "2026-02-30",
            "2026-03-09T07:00:00.Z",
            "2026-03-09T07:00:00+99",
            "2026/03/09",
            "2026-03-09é07",
        ] {
            let hour = text == "2026-03-09T07";
            assert_eq!(moment(text).is_some(), hour, "{text}");
        }
    }

    #[test]
    fn rows_become_points_by_series_and_null_is_none() {
        let rows = b"{\"sent_at\":\"2026-03-09-07\",\"v\":5.5,\"d\":\"a\"}\n{\"sent_at\":null,\"v\":1,\"d\":\"a\"}\n\
                     {\"sent_at\":\"2026-03-09-08\",\"v\":\"7\",\"d\":null}\n";
        let series = read(rows, "sent_at", "V", Some("d")).unwrap();
        assert_eq!(series["a"], [(1_773_039_600_000, 5.5)]);
        assert_eq!(series[""], [(1_773_043_200_000, 7.0)]);
        assert!(read(rows, "sent_at", "w", None).unwrap_err().contains("has no column `w`; it has sent_at, v, d"));
        let wrong = read(b"{\"t\":\"soon\",\"v\":1}\n", "t", "v", None).unwrap_err();
        assert_eq!(wrong, "row 1: `t` is soon, which is no time");
        assert!(read(b"{\"t\":\"2026-03-09\",\"v\":true}\n", "t", "v", None).unwrap_err().contains("no number"));
    }
}
