//! What is wrong with a configuration, with the place of each fault, in words an operator can act on.
//! Promises that a report shows every fault once, in file order, and never the secret of an access key.
//! Leaves finding the faults to the reader, `written` and `plan`.

use std::fmt;
use std::sync::Arc;

/// So many faults are told in full; further ones are only counted.
pub const MOST_FAULTS: usize = 100;
/// So many characters of a source line are shown.
const EXCERPT: usize = 100;

/// A part of one of the files, in bytes. `start <= end`, both on character borders of the file's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which of the report's files.
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// A place, and the keys that lead to it: `flows[2].maxBufferAgeMillis`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Where it stands.
    pub place: Place,
    /// The keys that lead to it; empty for the whole file.
    pub path: String,
}

macro_rules! kinds {
    ($($(#[doc = $words:literal])+ $kind:ident $code:literal $severity:ident,)+) => {
        /// The kinds of faults; the code in brackets is stable, so that a text search finds it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Kind { $($(#[doc = $words])+ $kind,)+ }

        impl Kind {
            /// Every kind there is.
            pub const ALL: &[Self] = &[$(Self::$kind,)+];

            /// The stable code of the kind.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)+ }
            }

            /// Whether the agent can run in spite of it.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$kind => Severity::$severity,)+ }
            }
        }
    };
}

kinds! {
    /// A file or folder cannot be read.
    Unreadable "unreadable" Error,
    /// The file is larger than any sensible configuration.
    TooLarge "too-large" Error,
    /// The file is not UTF-8 text.
    NotUtf8 "not-utf8" Error,
    /// The text is not JSON.
    Syntax "syntax" Error,
    /// A comma stands before a closing bracket.
    TrailingComma "trailing-comma" Error,
    /// Lists and objects are nested too deeply.
    TooDeep "too-deep" Error,
    /// A key stands twice in one object.
    DuplicateKey "duplicate-key" Error,
    /// Nobody knows the key.
    UnknownKey "unknown-key" Error,
    /// The key is known, but not here.
    WrongPlace "wrong-place" Error,
    /// The Kinesis Agent has the key; this version does not.
    NotSupported "not-supported" Error,
    /// The key has another name here.
    Renamed "renamed" Error,
    /// A key that is needed is not there.
    Missing "missing" Error,
    /// The value is of another type.
    WrongType "wrong-type" Error,
    /// The value is no whole number, or no size.
    BadNumber "bad-number" Error,
    /// The number is too small or too large.
    OutOfRange "out-of-range" Error,
    /// The value is none of those allowed.
    UnknownChoice "unknown-choice" Error,
    /// An empty text or list where something is needed.
    Empty "empty" Error,
    /// A name breaks the rule for names.
    BadName "bad-name" Error,
    /// A path is not absolute, or holds a NUL.
    BadPath "bad-path" Error,
    /// A path pattern does not compile.
    BadPattern "bad-pattern" Error,
    /// A regular expression does not compile.
    BadRegex "bad-regex" Error,
    /// An endpoint is no address.
    BadEndpoint "bad-endpoint" Error,
    /// Two flows do the same, or have the same name.
    DuplicateFlow "duplicate-flow" Error,
    /// There is nothing to do.
    NoFlows "no-flows" Error,
    /// Two values exclude each other.
    Conflict "conflict" Error,
    /// The flows cannot work within the memory given.
    Memory "memory" Error,
    /// Everybody on the machine can read a secret.
    Exposed "exposed" Error,
    /// The key is allowed, and does nothing.
    NoEffect "no-effect" Warning,
    /// Log lines cross a network unencrypted.
    PlainHttp "plain-http" Warning,
    /// A file in the folder of fragments is not read.
    NotRead "not-read" Warning,
}

/// Whether the agent can run in spite of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It cannot.
    Error,
    /// It can, but perhaps not as meant.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Which kind of fault.
    pub kind: Kind,
    /// Which file of the report.
    pub file: usize,
    /// Where in the file; `None` when it is about the file as a whole.
    pub place: Option<Place>,
    /// The keys that lead there; empty when it is about the file as a whole.
    pub path: String,
    /// What is wrong, and what was found.
    pub message: String,
    /// What would do.
    pub help: String,
}

/// One file as it was read.
#[derive(Clone)]
struct Source {
    name: String,
    text: Arc<str>,
    /// Byte ranges that are never shown.
    secrets: Vec<(usize, usize)>,
}

impl fmt::Debug for Source {
    /// Never shows the text, which may hold a secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Source").field(&self.name).finish()
    }
}

/// All that is wrong with a configuration, of all its files.
#[derive(Clone, Debug, Default)]
pub struct Report {
    sources: Vec<Source>,
    faults: Vec<Fault>,
    errors: usize,
    warnings: usize,
}

impl Report {
    /// Adds a file; the number it is known by comes back.
    pub(super) fn add_source(&mut self, name: &str, text: Arc<str>) -> usize {
        self.sources.push(Source { name: printable(name), text, secrets: Vec::new() });
        self.sources.len() - 1
    }

    /// Never show this part of the file.
    pub(super) fn hide(&mut self, place: Place) {
        self.sources[place.file].secrets.push((place.start, place.end));
    }

    /// The last part hidden of the file ends here after all.
    pub(super) fn hide_only_until(&mut self, file: usize, end: usize) {
        if let Some(last) = self.sources[file].secrets.last_mut() {
            last.1 = end;
        }
    }

    /// Whether the report is already as long as it may get, so that finding words for more is wasted.
    pub(super) fn is_full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }

    /// Adds a fault at a place.
    pub(super) fn add(&mut self, kind: Kind, at: &At, message: impl Into<String>, help: impl Into<String>) {
        let fault = Fault {
            kind,
            file: at.place.file,
            place: Some(at.place),
            path: at.path.clone(),
            message: message.into(),
            help: help.into(),
        };
        self.keep(fault);
    }

    /// Adds a fault of a file as a whole.
    pub(super) fn add_to_file(&mut self, kind: Kind, file: usize, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.keep(Fault { kind, file, place: None, path: String::new(), message, help });
    }

    fn keep(&mut self, fault: Fault) {
        match fault.kind.severity() {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if !self.is_full() {
            self.faults.push(fault);
        }
    }

    /// In file order, so that the operator can mend from top to bottom.
    pub(super) fn sort(&mut self) {
        self.faults.sort_by_key(|fault| (fault.file, fault.place.map(|place| place.start)));
    }

    /// Faults that keep the agent from running, those not told in full included.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Faults in spite of which the agent runs.
    #[must_use]
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// The faults told in full, at most [`MOST_FAULTS`].
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Line and column of a fault, both from 1, the column in characters; `None` for a fault of a whole file.
    #[must_use]
    pub fn line_and_column(&self, fault: &Fault) -> Option<(usize, usize)> {
        fault.place.map(|place| self.line_of(place).1)
    }

    /// The start of the line of a place, and its line and column.
    fn line_of(&self, place: Place) -> (usize, (usize, usize)) {
        let before = &self.sources[place.file].text[..place.start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        (line_start, (line, before[line_start..].trim_start_matches('\u{feff}').chars().count() + 1))
    }

    /// A place in words: `agent.json:12:5`.
    pub(super) fn spot(&self, place: Place) -> String {
        let (line, column) = self.line_of(place).1;
        format!("{}:{line}:{column}", self.sources[place.file].name)
    }

    /// The fault in one line, for a log: `FILE:LINE:COLUMN: what is wrong; what would do`.
    #[must_use]
    pub fn one_line(&self, fault: &Fault) -> String {
        let name = &self.sources[fault.file].name;
        let place = self.line_and_column(fault).map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        format!("{name}{place}: {}; {}", fault.message, fault.help)
    }

    fn write_fault(&self, formatter: &mut fmt::Formatter<'_>, fault: &Fault) -> fmt::Result {
        let word = match fault.kind.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        writeln!(formatter, "{word}[{}]: {}", fault.kind.code(), fault.message)?;
        let name = &self.sources[fault.file].name;
        let margin = match fault.place {
            None => {
                writeln!(formatter, " --> {name}")?;
                1
            }
            Some(place) => {
                let (line_start, (line, column)) = self.line_of(place);
                let margin = line.to_string().len();
                let (excerpt, carets) = self.excerpt(place, line_start);
                writeln!(formatter, "{:margin$}--> {name}:{line}:{column}", "")?;
                writeln!(formatter, "{:margin$} |", "")?;
                writeln!(formatter, "{line} | {excerpt}")?;
                writeln!(formatter, "{:margin$} | {carets}", "")?;
                margin
            }
        };
        writeln!(formatter, "{:margin$} = help: {}", "", fault.help)
    }

    /// The source line (or the part of a long one around the place) and the carets below it.
    fn excerpt(&self, place: Place, line_start: usize) -> (String, String) {
        let source = &self.sources[place.file];
        let line_end = source.text[line_start..].find('\n').map_or(source.text.len(), |length| line_start + length);
        let line = source.text[line_start..line_end].trim_end_matches('\r');
        let first = source.text[line_start..place.start.min(line_start + line.len())].chars().count();
        let skipped = if line.chars().count() > EXCERPT { first.saturating_sub(EXCERPT / 2) } else { 0 };
        let (mut excerpt, mut carets) = (String::new(), String::new());
        for (offset, character) in line.char_indices().skip(skipped).take(EXCERPT) {
            let at = line_start + offset;
            let hidden = source.secrets.iter().any(|(start, end)| (*start..*end).contains(&at));
            match if hidden { '*' } else { character } {
                '\u{feff}' => continue,
                shown => excerpt.push(one_printable(shown)),
            }
            if at < place.start {
                carets.push(' ');
            } else if at < place.end.max(place.start + 1) {
                carets.push('^');
            }
        }
        if !carets.contains('^') {
            carets.push('^');
        }
        (excerpt.trim_end().to_owned(), carets)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.faults {
            self.write_fault(formatter, fault)?;
            writeln!(formatter)?;
        }
        let told = self.faults.len();
        if self.errors + self.warnings > told {
            writeln!(formatter, "… and {} more; mend these first\n", self.errors + self.warnings - told)?;
        }
        let count = |count: usize, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (0, 0) => Ok(()),
            (0, warnings) => writeln!(formatter, "{}", count(warnings, "warning")),
            (errors, 0) => writeln!(formatter, "the configuration has {}", count(errors, "error")),
            (errors, warnings) => {
                writeln!(
                    formatter,
                    "the configuration has {} and {}",
                    count(errors, "error"),
                    count(warnings, "warning")
                )
            }
        }
    }
}

impl std::error::Error for Report {}

/// A character that cannot move the cursor, colour the screen or turn the line around.
fn one_printable(character: char) -> char {
    match character {
        '\t' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        control if control.is_control() => '\u{fffd}',
        other => other,
    }
}

/// The text, safe to print.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(one_printable).collect()
}

/// The text in quotes as it would stand in JSON, at most about 60 characters of it.
pub(super) fn quoted(text: &str) -> String {
    let mut shown = String::from("\"");
    for (count, character) in text.chars().enumerate() {
        if count == 60 {
            shown.push('…');
            break;
        }
        match character {
            '"' => shown.push_str("\\\""),
            '\\' => shown.push_str("\\\\"),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            other => shown.push(one_printable(other)),
        }
    }
    shown.push('"');
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(text: &str, start: usize, end: usize) -> Report {
        let mut report = Report::default();
        let file = report.add_source("agent.json", text.into());
        let at = At { place: Place { file, start, end }, path: "flows".into() };
        report.add(Kind::Syntax, &at, "what is wrong", "what would do");
        report
    }

    #[test]
    fn carets_stand_below_the_place_they_mean() {
        let shown = report("{\n\t\"äö\": 5,\n}", 9, 11).to_string();
        assert!(shown.contains(" --> agent.json:2:6\n"), "{shown}");
        assert!(shown.contains("2 |  \"äö\": 5,\n  |      ^^\n"), "{shown}");
    }

    #[test]
    fn of_a_long_line_only_the_part_around_the_place_is_shown() {
        let line = format!("{}HERE{}", "a".repeat(100_000), "b".repeat(100_000));
        let shown = report(&line, 100_000, 100_004).to_string();
        assert!(shown.contains("aHEREb") && shown.len() < 500, "{shown}");
    }

    #[test]
    fn what_could_steer_a_terminal_is_not_printed() {
        let shown = report("\u{1b}[31mred\u{202e}", 0, 1).to_string();
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown}");
    }

    #[test]
    fn a_report_does_not_grow_without_end() {
        let mut long = report("{}", 0, 1);
        let at = At { place: Place { file: 0, start: 0, end: 1 }, path: String::new() };
        for _ in 0..10 * MOST_FAULTS {
            long.add(Kind::Syntax, &at, "again", "no");
        }
        assert_eq!(long.faults().len(), MOST_FAULTS);
        assert_eq!(long.errors(), 10 * MOST_FAULTS + 1);
        assert!(long.to_string().contains("and 901 more"));
    }
}
