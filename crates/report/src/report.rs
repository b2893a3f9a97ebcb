//! What is wrong with a configuration, with the place of each fault, in words an operator can act on.
//! Promises that a report shows every fault once, in file order, and never the secret of an access key.
//! Leaves finding the faults to the reader, `written` and `plan`.

/// The kinds of faults.
mod kinds;
/// The report as text.
mod show;

pub use kinds::{Kind, Severity};
pub use show::{printable, quoted};

use std::fmt;
use std::sync::Arc;

/// At most this many faults are shown in full; further ones are only counted.
pub const MOST_FAULTS: usize = 100;

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

/// A decoded value and where it stands; for a default, where the object stands that lacks the key.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// What was decoded.
    pub value: T,
    /// Where it stands.
    pub at: At,
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

impl Fault {
    /// The file and the object of a key whose name is mistyped, and the one that was meant.
    fn mistyped(&self) -> Option<(usize, String, String)> {
        let meant = self.help.strip_prefix("did you mean `")?.strip_suffix("`?")?;
        let is_key = self.kind == Kind::UnknownKey;
        let object = self.path.rsplit_once('.').map_or("", |(object, _)| object);
        is_key.then(|| (self.file, object.to_owned(), meant.to_owned()))
    }
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
    /// What came from the environment.
    hidden: Vec<Hidden>,
    /// What is faulty, in words; else the configuration.
    subject: Option<&'static str>,
}

/// A value of the environment in a text: it is shown as `${NAME}`.
#[derive(Clone)]
struct Hidden {
    /// The text that it stands in.
    place: Place,
    value: String,
    name: String,
}

impl fmt::Debug for Hidden {
    /// Never shows the value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Hidden").field(&self.name).finish()
    }
}

/// Values shorter than this hide nothing, and are found by chance everywhere.
const SHORTEST_HIDDEN: usize = 4;

impl Report {
    /// A report about something else than the configuration, such as `the query`.
    #[must_use]
    pub fn about(subject: &'static str) -> Self {
        Self { subject: Some(subject), ..Self::default() }
    }

    /// Adds a file; the number it is known by comes back.
    pub fn add_source(&mut self, name: &str, text: Arc<str>) -> usize {
        self.sources.push(Source { name: printable(name), text, secrets: Vec::new() });
        self.sources.len() - 1
    }

    /// What the file holds from the beginning of the place on.
    #[must_use]
    pub fn text_from(&self, place: Place) -> &str {
        self.sources.get(place.file).and_then(|source| source.text.get(place.start..)).unwrap_or_default()
    }

    /// Never show this part of the file.
    pub fn hide(&mut self, place: Place) {
        self.sources[place.file].secrets.push((place.start, place.end));
    }

    /// The last part hidden of the file ends here after all.
    pub fn hide_only_until(&mut self, file: usize, end: usize) {
        if let Some(last) = self.sources[file].secrets.last_mut() {
            last.1 = end;
        }
    }

    /// Whether the report is already as long as it may get, so that finding words for more is wasted.
    pub fn is_full(&self) -> bool {
        self.faults.len() >= MOST_FAULTS
    }

    /// Adds a fault at a place.
    pub fn add(&mut self, kind: Kind, at: &At, message: impl Into<String>, help: impl Into<String>) {
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
    pub fn add_to_file(&mut self, kind: Kind, file: usize, message: impl Into<String>, help: impl Into<String>) {
        let (message, help) = (message.into(), help.into());
        self.keep(Fault { kind, file, place: None, path: String::new(), message, help });
    }

    /// Show this value of the environment, which stands in this text, by its name.
    pub(super) fn hide_value(&mut self, place: Place, value: &str, name: &str) {
        self.hidden.push(Hidden { place, value: value.to_owned(), name: name.to_owned() });
    }

    /// The text with the values of the environment shown by their names.
    #[must_use]
    pub fn without_values(&self, mut text: String) -> String {
        for Hidden { value, name, .. } in self.hidden.iter().filter(|hidden| hidden.value.len() >= SHORTEST_HIDDEN) {
            for written in [value.clone(), quoted(value).trim_matches('"').to_owned(), value.escape_debug().to_string()]
            {
                text = text.replace(&written, &format!("${{{name}}}"));
            }
        }
        text
    }

    /// The same for a fault, whose words may quote a part of such a value.
    fn without_values_in(&self, mut fault: Fault) -> Fault {
        fault.message = self.without_values(fault.message);
        fault.help = self.without_values(fault.help);
        let Some(place) = fault.place else { return fault };
        let inside = |hidden: &&Hidden| {
            hidden.place.file == place.file && hidden.place.start < place.end && place.start < hidden.place.end
        };
        if self.hidden.iter().any(|hidden| inside(&hidden)) {
            let written = self.sources[place.file].text.get(place.start..place.end).unwrap_or_default();
            let written = quoted(written.trim_matches('"'));
            if let (Some(first), Some(last)) = (fault.message.find('"'), fault.message.rfind('"'))
                && first < last
            {
                fault.message.replace_range(first..=last, &written);
            }
            let begins = |hidden: &Hidden| hidden.value.chars().take(SHORTEST_HIDDEN).collect::<String>();
            let shows =
                |text: &str, hidden: &Hidden| hidden.value.len() >= SHORTEST_HIDDEN && text.contains(&begins(hidden));
            for hidden in self.hidden.iter().filter(inside) {
                if shows(&fault.message, hidden) {
                    fault.message = format!("`{}` is {written}, which cannot be used", fault.path);
                }
                if shows(&fault.help, hidden) {
                    "look at the variable in the environment of the agent".clone_into(&mut fault.help);
                }
            }
        }
        fault
    }

    fn keep(&mut self, fault: Fault) {
        let fault = if self.hidden.is_empty() { fault } else { self.without_values_in(fault) };
        match fault.kind.severity() {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if !self.is_full() {
            self.faults.push(fault);
        }
    }

    /// A key that is missing because its name is mistyped is one fault, and the mistyped name is the one that is shown.
    pub fn join_mistyped(&mut self) {
        let mistyped: Vec<(usize, String, String)> = self.faults.iter().filter_map(Fault::mistyped).collect();
        let is_echo = |fault: &Fault| {
            fault.kind == Kind::Missing
                && mistyped.iter().any(|(file, object, meant)| {
                    let named =
                        fault.message.contains(&format!("`{meant}`")) || fault.help.contains(&format!("\"{meant}\""));
                    *file == fault.file && *object == fault.path && named
                })
        };
        let before = self.faults.len();
        self.faults.retain(|fault| !is_echo(fault));
        self.errors -= before - self.faults.len();
    }

    /// In file order, so that the operator can repair from top to bottom.
    pub fn sort(&mut self) {
        self.faults.sort_by_key(|fault| (fault.file, fault.place.map(|place| place.start)));
    }

    /// Faults that keep the agent from running, those not shown in full included.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Faults in spite of which the agent runs.
    #[must_use]
    pub const fn warnings(&self) -> usize {
        self.warnings
    }

    /// The faults shown in full, at most [`MOST_FAULTS`].
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
    pub fn spot(&self, place: Place) -> String {
        let (line, column) = self.line_of(place).1;
        format!("{}:{line}:{column}", self.sources[place.file].name)
    }

    /// The name of the file that the fault is in.
    #[must_use]
    pub fn file_of(&self, fault: &Fault) -> &str {
        &self.sources[fault.file].name
    }

    /// The fault in one line, for a log: `FILE:LINE:COLUMN: what is wrong; what would do`.
    #[must_use]
    pub fn one_line(&self, fault: &Fault) -> String {
        let name = &self.sources[fault.file].name;
        let place = self.line_and_column(fault).map_or_else(String::new, |(line, column)| format!(":{line}:{column}"));
        format!("{name}{place}: {}; {}", fault.message, fault.help)
    }
}

impl std::error::Error for Report {}
