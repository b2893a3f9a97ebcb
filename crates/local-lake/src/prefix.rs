//! The prefix expression of an S3 destination: `raw/v0/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/`.
//! Promises the service's namespaces `timestamp` and `firehose:random-string`, and that no key leaves the root folder.
//! Leaves partition keys and error prefixes out; what is not understood is refused at start.

use std::fmt::Write as _;

use jiff::Zoned;

/// Longest prefix, as written.
const LONGEST: usize = 1024;
/// Letters of a random string.
const RANDOM_STRING: usize = 11;
/// What the service appends to a prefix without any expression.
const DEFAULT: &str = "!{timestamp:yyyy/MM/dd/HH/}";
/// Stands for the name of the stream; the service has one prefix a stream, a lake one for all.
const STREAM: &str = "<stream>";

/// A prefix expression, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Stream,
    RandomString,
    Year,
    ShortYear,
    /// A number with at least this many digits.
    Field(Field, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Month,
    Day,
    Hour,
    Minute,
    Second,
}

/// A prefix that is not understood.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPrefix {
    /// More than 1,024 characters.
    #[error("the prefix has more than 1024 characters")]
    TooLong,
    /// No closing brace.
    #[error("'{expression}' is not closed with a brace")]
    Open {
        /// From `!{` on.
        expression: String,
    },
    /// Another namespace or value.
    #[error("'!{{{expression}}}' is not imitated; use !{{timestamp:PATTERN}} or !{{firehose:random-string}}")]
    Unknown {
        /// Between the braces.
        expression: String,
    },
    /// A pattern letter outside the subset.
    #[error("the pattern letters '{letters}' are not imitated; use yyyy, yy, MM, dd, HH, mm, ss or quoted text")]
    Letters {
        /// The run of letters.
        letters: String,
    },
    /// A quote without its partner.
    #[error("a quote in '{pattern}' is not closed")]
    Quote {
        /// The pattern.
        pattern: String,
    },
    /// It would leave the folder.
    #[error("the prefix begins with '/' or has a part '..', which a folder cannot hold")]
    Escapes,
}

impl Prefix {
    /// Understands a prefix.
    ///
    /// # Errors
    /// [`BadPrefix`] with the part that is not understood.
    pub fn parse(text: &str) -> Result<Self, BadPrefix> {
        if text.chars().count() > LONGEST {
            return Err(BadPrefix::TooLong);
        }
        let whole = if text.contains("!{") { text.to_owned() } else { format!("{text}{DEFAULT}") };
        let mut parts = Vec::new();
        let mut rest = whole.as_str();
        while let Some(at) = rest.find("!{") {
            literal(&mut parts, &rest[..at]);
            let inner = &rest[at + 2..];
            let end = closing_brace(inner).ok_or_else(|| BadPrefix::Open { expression: rest[at..].to_owned() })?;
            let expression = &inner[..end];
            match expression.split_once(':') {
                Some(("timestamp", pattern)) => time_pattern(&mut parts, pattern)?,
                Some(("firehose", "random-string")) => parts.push(Part::RandomString),
                _ => return Err(BadPrefix::Unknown { expression: expression.to_owned() }),
            }
            rest = &inner[end + 1..];
        }
        literal(&mut parts, rest);
        let prefix = Self { parts };
        let sample = prefix.evaluate("s", &Zoned::default(), &mut fastrand::Rng::with_seed(0));
        if sample.starts_with('/') || sample.split('/').any(|part| part == "..") || sample.contains('\0') {
            return Err(BadPrefix::Escapes);
        }
        Ok(prefix)
    }

    /// The prefix of an object of `stream` whose oldest record arrived `at`.
    pub(crate) fn evaluate(&self, stream: &str, at: &Zoned, random: &mut fastrand::Rng) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::Stream => text.push_str(stream),
                Part::RandomString => text.extend((0..RANDOM_STRING).map(|_| random.alphanumeric())),
                Part::Year => number(&mut text, i64::from(at.year()), 4),
                Part::ShortYear => number(&mut text, i64::from(at.year()).rem_euclid(100), 2),
                Part::Field(field, digits) => {
                    let value = match field {
                        Field::Month => at.month(),
                        Field::Day => at.day(),
                        Field::Hour => at.hour(),
                        Field::Minute => at.minute(),
                        Field::Second => at.second(),
                    };
                    number(&mut text, i64::from(value), *digits);
                }
            }
        }
        text
    }
}

/// `yyyy-MM-dd-HH-mm-ss`, as in the name of an object.
pub(crate) fn name_time(at: &Zoned) -> String {
    at.strftime("%Y-%m-%d-%H-%M-%S").to_string()
}

fn number(text: &mut String, value: i64, digits: usize) {
    write!(text, "{value:0digits$}").expect("a string takes all that is written to it");
}

/// Text outside expressions, in which the stream may be named.
fn literal(parts: &mut Vec<Part>, text: &str) {
    for (index, piece) in text.split(STREAM).enumerate() {
        if index > 0 {
            parts.push(Part::Stream);
        }
        if !piece.is_empty() {
            parts.push(Part::Literal(piece.to_owned()));
        }
    }
}

/// The brace that ends an expression, not one inside quotes.
fn closing_brace(text: &str) -> Option<usize> {
    let mut quoted = false;
    text.bytes().position(|byte| {
        quoted ^= byte == b'\'';
        byte == b'}' && !quoted
    })
}

/// A pattern of Java's `DateTimeFormatter`: runs of a letter, quoted text, and other characters as they are.
fn time_pattern(parts: &mut Vec<Part>, pattern: &str) -> Result<(), BadPrefix> {
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (text, after) = quoted(&rest[1..]).ok_or_else(|| BadPrefix::Quote { pattern: pattern.to_owned() })?;
            parts.push(Part::Literal(text));
            rest = after;
            continue;
        }
        let run = rest.chars().take_while(|next| *next == first).map(char::len_utf8).sum::<usize>();
        let (letters, after) = rest.split_at(run);
        parts.push(match letters {
            "yyyy" | "uuuu" => Part::Year,
            "yy" | "uu" => Part::ShortYear,
            "M" | "MM" => Part::Field(Field::Month, run),
            "d" | "dd" => Part::Field(Field::Day, run),
            "H" | "HH" => Part::Field(Field::Hour, run),
            "m" | "mm" => Part::Field(Field::Minute, run),
            "s" | "ss" => Part::Field(Field::Second, run),
            // Java keeps these for itself, and so does the service.
            _ if first.is_ascii_alphabetic() || "[]{}#".contains(first) => {
                return Err(BadPrefix::Letters { letters: letters.to_owned() });
            }
            _ => Part::Literal(letters.to_owned()),
        });
        rest = after;
    }
    Ok(())
}

/// Text up to the closing quote, two quotes standing for one, and what follows; `''` alone is one quote.
fn quoted(text: &str) -> Option<(String, &str)> {
    if let Some(after) = text.strip_prefix('\'') {
        return Some(("'".to_owned(), after));
    }
    let mut literal = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('\'')?;
        literal.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                literal.push('\'');
                rest = after;
            }
            None => return Some((literal, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(prefix: &str) -> String {
        let at: Zoned = "2026-03-09T07:05:04+00:00[UTC]".parse().unwrap();
        Prefix::parse(prefix).unwrap().evaluate("logs", &at, &mut fastrand::Rng::with_seed(1))
    }

    #[test]
    fn an_hour_partition_of_a_stream_reads_as_the_service_writes_it() {
        assert_eq!(evaluate("raw/v0/<stream>/dt=!{timestamp:yyyy-MM-dd-HH}/"), "raw/v0/logs/dt=2026-03-09-07/");
    }

    #[test]
    fn a_prefix_without_expression_gets_the_default_partition() {
        assert_eq!(evaluate(""), "2026/03/09/07/");
        assert_eq!(evaluate("folder/"), "folder/2026/03/09/07/");
    }

    #[test]
    fn each_letter_of_the_subset_pads_as_java_does() {
        assert_eq!(
            evaluate("!{timestamp:yyyy yy uuuu M MM d dd H HH m mm s ss}"),
            "2026 26 2026 3 03 9 09 7 07 5 05 4 04"
        );
    }

    #[test]
    fn quoted_text_is_taken_as_it_is() {
        assert_eq!(evaluate("!{timestamp:'year='yyyy'/month='MM}/"), "year=2026/month=03/");
        assert_eq!(evaluate("!{timestamp:yyyy'-'MM'-'dd}"), "2026-03-09");
        assert_eq!(evaluate("!{timestamp:HH''mm'o''clock }'}"), "07'05o'clock }");
    }

    #[test]
    fn a_random_string_has_eleven_letters_and_differs() {
        let prefix = evaluate("!{firehose:random-string}/!{firehose:random-string}/");
        let parts: Vec<&str> = prefix.trim_end_matches('/').split('/').collect();
        assert!(parts.iter().all(|part| part.len() == 11), "{prefix}");
        assert_ne!(parts[0], parts[1]);
    }

    #[test]
    fn the_hour_is_that_of_the_zone() {
        let at: Zoned = "2026-03-09T23:30:00+00:00[UTC]".parse().unwrap();
        let tokyo = at.with_time_zone(jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
        let prefix = Prefix::parse("!{timestamp:dd-HH}").unwrap();
        assert_eq!(prefix.evaluate("s", &tokyo, &mut fastrand::Rng::with_seed(1)), "10-08");
        assert_eq!(name_time(&tokyo), "2026-03-10-08-30-00");
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_part() {
        let refused = |text: &str| Prefix::parse(text).unwrap_err();
        let letters = |letters: &str| BadPrefix::Letters { letters: letters.to_owned() };
        assert_eq!(refused("!{timestamp:YYYY}"), letters("YYYY"));
        assert_eq!(refused("!{timestamp:MMM}"), letters("MMM"));
        assert_eq!(refused("!{timestamp:[HH]}"), letters("["));
        assert!(matches!(refused("a/!{timestamp:yyyy"), BadPrefix::Open { .. }));
        assert!(matches!(refused("!{timestamp:'a}"), BadPrefix::Open { .. }));
        assert!(matches!(refused("!{partitionKeyFromQuery:k}/"), BadPrefix::Unknown { .. }));
        assert!(matches!(refused("!{firehose:error-output-type}/"), BadPrefix::Unknown { .. }));
        assert_eq!(refused("../up/"), BadPrefix::Escapes);
        assert_eq!(refused("/root/"), BadPrefix::Escapes);
        assert_eq!(refused("a/!{timestamp:'..'}/"), BadPrefix::Escapes);
        assert_eq!(refused(&"a".repeat(1025)), BadPrefix::TooLong);
    }
}
