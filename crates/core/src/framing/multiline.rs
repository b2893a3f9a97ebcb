//! Lines joined into records by a start pattern.
//! Promises that a record is complete when the next one starts, when it would grow over the limit, or when
//! nothing followed it for the timeout; the deadline is data, nobody waits here.
//! Leaves finding lines to lines.

use super::lines::Lines;
use super::{BUFFER_KEPT, Framed, Input, MultiLine, Room, Run, Settings};
use datalake_base::record::Position;
use datalake_process::Pattern;
use std::time::Instant;

/// The joining of one origin's lines.
#[derive(Debug)]
pub(super) struct Joiner {
    join: MultiLine,
    max_record_bytes: usize,
    /// The record being joined.
    record: Held,
    /// The line that showed `record` to be complete, while `record` is handed out.
    successor: Held,
    handed_out: bool,
    last_arrival: Option<Instant>,
}

/// Lines of one record. Invariant: `bytes` is empty exactly when `input` is 0.
#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    input: u64,
    end: Position,
}

impl Held {
    fn push(&mut self, line: Run<'_>) {
        self.bytes.extend_from_slice(line.bytes);
        self.input += line.input;
        self.end = line.end;
    }
}

impl Joiner {
    pub(super) fn new(settings: &Settings, join: MultiLine, start: Position) -> Self {
        let empty = || Held { bytes: Vec::new(), input: 0, end: start };
        Self {
            join,
            max_record_bytes: settings.max_line_bytes,
            record: empty(),
            successor: empty(),
            handed_out: false,
            last_arrival: None,
        }
    }

    pub(super) fn next(&mut self, lines: &mut Lines, input: &mut Input<'_>, room: Room, now: Instant) -> Framed<'_> {
        self.forget_handed_out();
        loop {
            // Asked before the line that ends the record is consumed: it could not be put back.
            if self.record.bytes.len() > room.bytes {
                return Framed::NoRoom;
            }
            if !input.bytes.is_empty() {
                self.last_arrival = Some(now);
            }
            match lines.next(input, Room { bytes: usize::MAX, lines: 1 }) {
                Framed::Run(line) => {
                    if self.joins(&line) {
                        self.record.push(line);
                    } else {
                        self.successor.push(line);
                        return Framed::Run(self.hand_out());
                    }
                }
                Framed::Filtered { end, bytes } => return Framed::Filtered { end, bytes },
                Framed::NeedMore => return Framed::NeedMore,
                // A cut line is ready: ask for it.
                Framed::NoRoom => {}
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let held = !self.handed_out && !self.record.bytes.is_empty() || !self.successor.bytes.is_empty();
        self.last_arrival.filter(|_| held).map(|arrival| arrival + self.join.timeout)
    }

    pub(super) fn overdue(&mut self, now: Instant) -> Option<Run<'_>> {
        self.forget_handed_out();
        let due = self.deadline().is_some_and(|deadline| deadline <= now);
        due.then(|| self.hand_out())
    }

    pub(super) fn finish(&mut self, lines: &mut Lines) -> Option<Run<'_>> {
        self.forget_handed_out();
        if let Some(line) = lines.finish() {
            if self.joins(&line) {
                self.record.push(line);
            } else {
                self.successor.push(line);
            }
        }
        (!self.record.bytes.is_empty()).then(|| self.hand_out())
    }

    pub(super) fn held(&self) -> usize {
        let record = if self.handed_out { 0 } else { self.record.bytes.len() };
        record + self.successor.bytes.len()
    }

    fn joins(&self, line: &Run<'_>) -> bool {
        self.record.bytes.is_empty()
            || (self.record.bytes.len() + line.bytes.len() <= self.max_record_bytes
                && !self.join.start.matches(line.bytes))
    }

    fn hand_out(&mut self) -> Run<'_> {
        self.handed_out = true;
        Run { bytes: &self.record.bytes, input: self.record.input, end: self.record.end, lines: 1 }
    }

    fn forget_handed_out(&mut self) {
        if self.handed_out {
            self.handed_out = false;
            self.record.bytes.clear();
            self.record.bytes.shrink_to(BUFFER_KEPT);
            self.record.input = 0;
            std::mem::swap(&mut self.record, &mut self.successor);
        }
    }
}

/// What the linear engine may take for each byte of a line, in nanoseconds.
const LINEAR_COST: u64 = 20;
/// So much of a line is looked at for the beginning of a record; what follows changes nothing. It bounds the work on a
/// line, whatever the pattern and the line.
const LOOKED_AT: usize = 8 * 1024;

/// A compiled `multiLineStartPattern`: it must match at the beginning of a line, not to its end.
#[derive(Clone, Debug)]
pub struct StartPattern {
    engine: Engine,
}

#[derive(Clone, Debug)]
enum Engine {
    /// Linear in the line's length, whatever the pattern.
    Linear(regex::bytes::Regex),
    /// For look-around and back-references; a line that takes more steps than its length allows does not match.
    Counted(Pattern),
}

/// Why a start pattern does not compile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct StartPatternError {
    /// What the regex compiler says.
    pub reason: String,
}

impl StartPattern {
    /// Compiles a pattern in Rust's or Java's dialect; look-around, possessive quantifiers and back-references
    /// fall back to a backtracking engine.
    ///
    /// # Errors
    /// When neither engine takes it.
    pub fn parse(text: &str) -> Result<Self, StartPatternError> {
        let anchored = format!(r"\A(?:{})", from_java(text));
        let linear = regex::bytes::RegexBuilder::new(&anchored).size_limit(4 << 20).build();
        let reason = match linear {
            Ok(regex) => return Ok(Self { engine: Engine::Linear(regex) }),
            Err(error) => error.to_string(),
        };
        match Pattern::at_start(text) {
            Ok(pattern) => Ok(Self { engine: Engine::Counted(pattern) }),
            Err(_) => Err(StartPatternError { reason }),
        }
    }

    /// Whether a record starts with this line, of which the first 8 KiB count. Invalid UTF-8 is matched as far as the
    /// pattern allows.
    #[must_use]
    pub fn matches(&self, line: &[u8]) -> bool {
        let line = &line[..line.len().min(LOOKED_AT)];
        match &self.engine {
            Engine::Linear(regex) => regex.is_match(line),
            Engine::Counted(pattern) => pattern.clone().is_match(&String::from_utf8_lossy(line)).unwrap_or(false),
        }
    }

    /// How long it may take for each byte, in nanoseconds and in the worst case.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match &self.engine {
            Engine::Linear(_) => LINEAR_COST,
            Engine::Counted(pattern) => pattern.cost(),
        }
    }

    /// The part of it that may make a line take more steps than it has; then the line starts no record.
    #[must_use]
    pub fn slow_part(&self) -> Option<String> {
        match &self.engine {
            Engine::Linear(_) => None,
            Engine::Counted(pattern) => pattern.slow_part(),
        }
    }
}

/// Java spells a few classes in a way that Rust's engines do not know, and quotes with `\Q…\E`.
fn from_java(text: &str) -> String {
    const CLASSES: [(&str, &str); 9] = [
        (r"\p{Alpha}", "[[:alpha:]]"),
        (r"\p{Digit}", "[[:digit:]]"),
        (r"\p{Alnum}", "[[:alnum:]]"),
        (r"\p{Upper}", "[[:upper:]]"),
        (r"\p{Lower}", "[[:lower:]]"),
        (r"\p{Punct}", "[[:punct:]]"),
        (r"\p{Space}", "[[:space:]]"),
        (r"\p{XDigit}", "[[:xdigit:]]"),
        (r"\Z", r"\z"),
    ];
    let mut rest = text;
    let mut translated = String::with_capacity(text.len());
    while let Some(at) = rest.find('\\') {
        translated.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(quoted) = rest.strip_prefix(r"\Q") {
            let (literal, after) = quoted.split_once(r"\E").unwrap_or((quoted, ""));
            translated.push_str(&regex::escape(literal));
            rest = after;
        } else if let Some((java, rust)) = CLASSES.iter().find(|(java, _)| rest.starts_with(java)) {
            translated.push_str(rust);
            rest = &rest[java.len()..];
        } else {
            let escaped = rest.chars().take(2).map(char::len_utf8).sum();
            translated.push_str(&rest[..escaped]);
            rest = &rest[escaped..];
        }
    }
    translated.push_str(rest);
    translated
}
