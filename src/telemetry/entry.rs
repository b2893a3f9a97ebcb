//! One event of the log, taken apart, and the forms in which it is written: a line of text, a JSON object.
//! Promises that no form holds a raw control, a newline inside a line, or a mark that reorders text, whatever the event
//! says, and that a value has an end. Leaves the journal's form to `journal`, and writing to the queue.

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use datalake_base::shown::{shown, write_json};
use std::fmt::{self, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// A value is cut here, so that every line fits into one datagram of the journal.
pub(super) const LONGEST_VALUE: usize = 16 * 1024;
/// The field that holds the id of a line.
const ID: &str = "message_id";
/// Keys of a JSON line that are not fields of the event.
const RESERVED: [&str; 4] = ["timestamp", "level", "message", "target"];

/// A value of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Text, as it came.
    Text(String),
    /// A number or a truth value, as JSON writes it.
    Plain(String),
}

/// One event.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Milliseconds since 1970.
    pub(super) at: u64,
    pub(super) level: Level,
    pub(super) target: &'static str,
    pub(super) message: String,
    /// Of those of `ids`, where the line has one.
    pub(super) id: Option<String>,
    pub(super) fields: Vec<(&'static str, Value)>,
}

impl Entry {
    /// Without fields.
    pub(super) fn new(at: u64, level: Level, target: &'static str, message: &str) -> Self {
        Self { at, level, target, message: message.to_owned(), id: None, fields: Vec::new() }
    }

    /// Takes an event apart.
    pub(super) fn of(event: &Event<'_>, at: u64) -> Self {
        let metadata = event.metadata();
        let mut entry = Self::new(at, *metadata.level(), metadata.target(), "");
        event.record(&mut entry);
        entry
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        let fields = self.fields.iter().map(|(_, value)| value.as_str().len() + size_of::<(&str, Value)>());
        size_of::<Self>() + self.message.len() + fields.sum::<usize>()
    }

    /// The message, then the fields as `name=value`: one line, without its end.
    pub(super) fn words(&self) -> String {
        let mut line = shown(&self.message).to_string();
        for (name, value) in &self.fields {
            let value = shown(value.as_str()).to_string();
            let plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
            let quoted = value.replace('"', "\\\"");
            let written = if plain { write!(line, " {name}={value}") } else { write!(line, " {name}=\"{quoted}\"") };
            written.ok();
        }
        line.truncate(line.floor_char_boundary(LONGEST_VALUE));
        line
    }

    /// For a person: time, level, words.
    pub(super) fn text(&self, colour: bool) -> String {
        let (on, off) = match self.level {
            _ if !colour => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            Level::INFO => ("\x1b[32m", "\x1b[0m"),
            _ => ("\x1b[34m", "\x1b[0m"),
        };
        format!("{} {on}{:>5}{off} {}\n", self.timestamp(), self.level.as_str(), self.words())
    }

    /// For a program: one JSON object.
    pub(super) fn json(&self) -> String {
        let mut line = String::with_capacity(256);
        let mut member = |name: &str, value: &Value| {
            line.push(if line.is_empty() { '{' } else { ',' });
            write_json(&mut line, name);
            line.push(':');
            match value {
                Value::Text(text) => write_json(&mut line, text),
                Value::Plain(plain) => line.push_str(plain),
            }
        };
        member("timestamp", &Value::Text(self.timestamp()));
        member("level", &Value::Text(self.level.to_string()));
        member("message", &Value::Text(self.message.clone()));
        if let Some(id) = &self.id {
            member(ID, &Value::Text(id.clone()));
        }
        for (name, value) in &self.fields {
            match RESERVED.contains(name) {
                true => member(&format!("{name}_"), value),
                false => member(name, value),
            }
        }
        member("target", &Value::Text(self.target.to_owned()));
        line.push_str("}\n");
        line
    }

    fn timestamp(&self) -> String {
        let millis = i64::try_from(self.at).unwrap_or(i64::MAX);
        DateTime::from_millis(millis).fmt(Format::DateTime).unwrap_or_else(|_| self.at.to_string())
    }

    fn take(&mut self, field: &Field, value: Value) {
        match field.name() {
            "message" => self.message = value.into_string(),
            ID => self.id = Some(value.into_string()),
            name => self.fields.push((name, value)),
        }
    }
}

impl Value {
    pub(super) fn as_str(&self) -> &str {
        let (Self::Text(text) | Self::Plain(text)) = self;
        text
    }

    fn into_string(self) -> String {
        let (Self::Text(text) | Self::Plain(text)) = self;
        text
    }
}

/// Formats at most [`LONGEST_VALUE`] bytes.
fn bounded(value: fmt::Arguments<'_>) -> Value {
    struct Bounded(String);
    impl fmt::Write for Bounded {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let room = LONGEST_VALUE - self.0.len();
            let fits = &text[..text.floor_char_boundary(room)];
            self.0.push_str(fits);
            if fits.len() < text.len() { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut text = Bounded(String::new());
    // An error is the end of what fits.
    text.write_fmt(value).ok();
    Value::Text(text.0)
}

impl Visit for Entry {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, bounded(format_args!("{value}")));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, Value::Plain(value.to_string()));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.take(field, Value::Plain(value.to_string())),
            false => self.take(field, Value::Text(value.to_string())),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.take(field, bounded(format_args!("{value}")));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, bounded(format_args!("{value:?}")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let mut entry = Entry::new(1_795_262_400_123, Level::WARN, "datalake_agent::x", "the file\nis \u{1b}[31mgone");
        entry.fields = vec![
            ("file", Value::Text("/var/log/a\n2026-01-01 ERROR forged".into())),
            ("flow", Value::Text("orders".into())),
            ("lost", Value::Plain("7".into())),
            ("level", Value::Text("\u{202e}".into())),
        ];
        entry
    }

    /// A file name with a newline forged a line of its own in the text log.
    #[test]
    fn an_event_is_one_line_of_text_whatever_it_says() {
        let expected = "2026-11-21T12:00:00.123Z  WARN the file\\nis \\x1b[31mgone \
                        file=\"/var/log/a\\n2026-01-01 ERROR forged\" flow=orders lost=7 level=\\u{202e}\n";
        assert_eq!(entry().text(false), expected);
        assert!(entry().text(true).contains("\u{1b}[33m WARN\u{1b}[0m the"), "{}", entry().text(true));
    }

    #[test]
    fn an_event_is_one_json_object_with_its_values_unchanged_and_no_raw_mark() {
        let line = entry().json();
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["file"], "/var/log/a\n2026-01-01 ERROR forged");
        assert_eq!((&value["level"], &value["level_"]), (&"WARN".into(), &"\u{202e}".into()));
        assert_eq!((&value["lost"], &value["timestamp"]), (&7.into(), &"2026-11-21T12:00:00.123Z".into()));
        assert!(!line.trim_end().chars().any(datalake_base::shown::steers), "{line}");
    }

    #[test]
    fn an_endless_value_has_an_end() {
        let Value::Text(text) = bounded(format_args!("{}", "ä".repeat(1 << 20))) else { panic!() };
        assert_eq!(text.len(), LONGEST_VALUE);
        let mut entry = entry();
        entry.fields = vec![("reason", Value::Text(text))];
        assert!(entry.words().len() <= LONGEST_VALUE && entry.size() < 2 * LONGEST_VALUE);
    }
}
