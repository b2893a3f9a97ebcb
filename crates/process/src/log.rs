//! LOGTOJSON: lines of known formats, or of a pattern, become objects.
//! Promises the original's fields for every line that it reads, and fields for the lines that it loses: with carriage
//! returns, IPv6 clients, `@` in users, empty or escaped quotes, missing brackets.
//! Leaves a line that is something else to `onFailure`.

/// The three formats of Apache.
mod apache;
/// Places in a line, moved forward by what is expected there.
mod cursor;
/// The two formats of syslog.
mod syslog;

use super::java::{Groups, Pattern};
use super::json::{Field, Shape};
use super::{Cause, Place, Stop, Work, as_text, bare};

/// Columns of the format with the most of them.
const COLUMNS: usize = 9;

/// A known format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    CommonApache,
    CombinedApache,
    ApacheError,
    Syslog,
    Rfc3339Syslog,
}

impl LogFormat {
    pub(super) const NAMES: [(&'static str, Self); 5] = [
        ("COMMONAPACHELOG", Self::CommonApache),
        ("COMBINEDAPACHELOG", Self::CombinedApache),
        ("APACHEERRORLOG", Self::ApacheError),
        ("SYSLOG", Self::Syslog),
        ("RFC3339SYSLOG", Self::Rfc3339Syslog),
    ];

    pub(super) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, format)| *format == self).map_or("", |(name, _)| name)
    }

    /// The names of its fields.
    pub(super) fn fields(self) -> &'static [&'static str] {
        const APACHE: &[&str] =
            &["host", "ident", "authuser", "datetime", "request", "response", "bytes", "referer", "agent"];
        match self {
            Self::CommonApache => &APACHE[..7],
            Self::CombinedApache => APACHE,
            Self::ApacheError => &["timestamp", "module", "severity", "processid", "threadid", "client", "message"],
            Self::Syslog | Self::Rfc3339Syslog => &["timestamp", "hostname", "program", "processid", "message"],
        }
    }

    /// Whether `-` stands for nothing.
    fn has_dashes(self) -> bool {
        matches!(self, Self::CommonApache | Self::CombinedApache | Self::ApacheError)
    }

    fn parse(self, line: &[u8], cells: &mut [Cell; COLUMNS]) -> Result<(), Expected> {
        match self {
            Self::CommonApache => apache::common(line, cells).map(|_| ()),
            Self::CombinedApache => apache::combined(line, cells),
            Self::ApacheError => apache::error(line, cells),
            Self::Syslog => syslog::parse(line, cells, |cursor| cursor.syslog_time()),
            Self::Rfc3339Syslog => syslog::parse(line, cells, |cursor| cursor.rfc3339_time()),
        }
    }
}

/// Where the value of a field stands in the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cell {
    #[default]
    Absent,
    /// From here to there; what is outside quotes of the line holds none.
    Span(usize, usize),
    /// Free text, which may hold quotes.
    Text(usize, usize),
    /// Free text with something in its middle that is a field of its own.
    Around((usize, usize), (usize, usize)),
}

/// What stood elsewhere than it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    what: &'static str,
    at: usize,
}

/// A built-in format.
#[derive(Debug)]
pub(super) struct KnownLog {
    format: LogFormat,
    shape: Shape,
    text: String,
}

impl KnownLog {
    pub(super) fn new(format: LogFormat, shape: Shape) -> Self {
        Self { format, shape, text: String::new() }
    }
}

impl Work for KnownLog {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let line = as_text(bare(record), &mut self.text).as_bytes();
        let mut cells = [Cell::Absent; COLUMNS];
        let format = self.format;
        let not_it = |Expected { what, at }| Cause::NotTheFormat { format: format.name(), expected: what, at };
        format.parse(line, &mut cells).map_err(not_it)?;
        // One look at the whole line saves a look at each field.
        let plain = !line.iter().fold(false, |any, byte| any | (*byte == b'\\') | (*byte < 0x20));
        let dashes = format.has_dashes();
        let is_dash = |start: usize, end: usize| dashes && end - start == 1 && line[start] == b'-';
        self.shape.write(out, |index| match cells[index] {
            Cell::Absent => Field::Null,
            Cell::Span(start, end) | Cell::Text(start, end) if is_dash(start, end) => Field::Null,
            Cell::Span(start, end) if plain => Field::Plain(&line[start..end]),
            Cell::Span(start, end) | Cell::Text(start, end) => Field::Text(&line[start..end]),
            Cell::Around(first, second) => Field::Joined(&line[first.0..first.1], &line[second.0..second.1]),
        });
        Ok(())
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }
}

/// A format of the operator's own.
#[derive(Debug)]
pub(super) struct OwnLog {
    pattern: Pattern,
    groups: Groups,
    dashes: bool,
    shape: Shape,
    text: String,
}

impl OwnLog {
    /// `pattern` matches whole lines; `format` says which family it belongs to.
    pub(super) fn new(pattern: Pattern, format: LogFormat, shape: Shape) -> Self {
        let groups = pattern.room();
        Self { pattern, groups, dashes: format.has_dashes(), shape, text: String::new() }
    }
}

impl Work for OwnLog {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let line = as_text(bare(record), &mut self.text);
        if !self.pattern.captures(line, &mut self.groups)? {
            return Err(Cause::NoMatch.into());
        }
        let Self { groups, dashes, shape, .. } = self;
        shape.write(out, |index| match groups.get(index + 1).map(|(start, end)| &line[start..end]) {
            None => Field::Null,
            Some("-") if *dashes => Field::Null,
            Some(text) => Field::Text(text.as_bytes()),
        });
        Ok(())
    }

    fn line_end<'a>(&self, _: &'a [u8]) -> &'a [u8] {
        b"\n"
    }
}
