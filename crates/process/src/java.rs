//! Regular expressions as Java reads them, on engines that cannot overflow a stack.
//! Promises Java's meaning of `\d \w \s \b \Q…\E` and the like; work that is counted, so that the same text meets the
//! same end whatever else the machine does; and a pattern that is too large for the records of its flow named before it
//! runs.
//! Leaves what a match means to the steps.

/// The dialect, rewritten.
mod dialect;
/// Runs what needs look-around, references back or possessive quantifiers.
mod machine;
/// What the machine runs.
mod program;
/// Searches through one text again and again, counted.
mod repeated;
/// Which part of a pattern may take long.
mod slow;

use super::Cause;
use machine::{Machine, TooManySteps};
use program::Program;
use regex_automata::nfa::thompson;
use repeated::Repeated;
use std::sync::Arc;

/// Longer patterns are nobody's regular expression, and take long to compile.
const LONGEST: usize = 64 * 1024;
/// Memory that one compiled pattern may take.
const COMPILED_BYTES: usize = 4 << 20;
/// States of a pattern, times the bytes of the longest record: as much as a search may take, in the worst case.
const MOST_STATES_TIMES_BYTES: u64 = 1 << 33;
/// Nanoseconds for each byte of a record that a step of the machine's pattern may take, in the worst case.
const MACHINE_COST: u64 = 1024;

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct PatternError {
    said: String,
}

/// A compiled pattern, and what it needs while it runs.
#[derive(Debug)]
pub struct Pattern {
    compiled: Arc<Compiled>,
    machine: Machine,
    /// Bytes that searches through the text at hand may still look at.
    left: u64,
}

impl Clone for Pattern {
    fn clone(&self) -> Self {
        Self::of(self.compiled.clone())
    }
}

#[derive(Debug)]
struct Compiled {
    engine: Engine,
    /// As the operator wrote it.
    written: String,
}

#[derive(Debug)]
enum Engine {
    /// One search a record; and the number of states.
    Linear(regex::Regex, usize),
    /// Many searches a record.
    Repeated(Box<Repeated>),
    Machine(Program),
}

/// Where the groups of a match stand; kept from record to record.
#[derive(Clone, Debug)]
pub(super) struct Groups {
    linear: Option<regex::CaptureLocations>,
    /// Of the machine: begin and end of each group, the whole match first.
    found: Vec<Option<(usize, usize)>>,
}

impl Groups {
    /// Begin and end of a group (0 is the whole match), if it took part.
    pub(super) fn get(&self, group: usize) -> Option<(usize, usize)> {
        match &self.linear {
            Some(locations) => locations.get(group),
            None => self.found.get(group).copied().flatten(),
        }
    }
}

impl From<TooManySteps> for Cause {
    fn from(_: TooManySteps) -> Self {
        Self::TooManySteps
    }
}

impl Pattern {
    /// A pattern that is looked for anywhere in a record, once.
    pub(super) fn anywhere(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, "", "")
    }

    /// A pattern that must match a record from its beginning to its end.
    pub(super) fn whole(text: &str) -> Result<Self, PatternError> {
        // On its own first, so that the message shows the pattern as it was written and so that a stray parenthesis
        // cannot pair up with one of ours.
        Self::compile(text, "", "")?;
        // A comment at the end of a pattern with `(?x)` would swallow the parenthesis.
        Self::compile(text, r"\A(?:", r")\z").or_else(|_| Self::compile(text, r"\A(?:", "\n)\\z"))
    }

    /// A pattern that must match at the beginning of a line, not to its end.
    ///
    /// # Errors
    /// When the text is no pattern.
    pub fn at_start(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, "", "")?;
        Self::compile(text, r"\A(?:", ")").or_else(|_| Self::compile(text, r"\A(?:", "\n)"))
    }

    /// A pattern that is looked for again and again in a record, each time behind the match before.
    pub(super) fn repeated(text: &str) -> Result<Self, PatternError> {
        let pattern = Self::compile(text, "", "")?;
        if !matches!(pattern.compiled.engine, Engine::Linear(..)) {
            return Ok(pattern);
        }
        let refused = |said: String| PatternError { said: last_line(&said) };
        let rewritten = dialect::rewrite(text).map_err(refused)?;
        let engine = match Repeated::new(&rewritten.text) {
            Some(repeated) => Engine::Repeated(Box::new(repeated)),
            None => Engine::Machine(Program::new(&rewritten.text, &[]).map_err(refused)?),
        };
        Ok(Self::of(Arc::new(Compiled { engine, written: text.to_owned() })))
    }

    fn of(compiled: Arc<Compiled>) -> Self {
        Self { compiled, machine: Machine::default(), left: 0 }
    }

    fn compile(text: &str, before: &str, after: &str) -> Result<Self, PatternError> {
        if text.len() > LONGEST {
            return Err(PatternError { said: format!("it is longer than {LONGEST} bytes") });
        }
        let refused = |said: String| PatternError { said: last_line(&said) };
        let rewritten = dialect::rewrite(text).map_err(refused)?;
        let whole = format!("{before}{}{after}", rewritten.text);
        let engine = if rewritten.marks.is_empty() {
            let regex = regex::RegexBuilder::new(&whole).size_limit(COMPILED_BYTES).crlf(true).build();
            let regex = regex.map_err(|error| refused(error.to_string()))?;
            let states = states(&whole).ok_or_else(|| refused("it is too large".to_owned()))?;
            Engine::Linear(regex, states)
        } else {
            Engine::Machine(Program::new(&whole, &rewritten.marks).map_err(refused)?)
        };
        Ok(Self::of(Arc::new(Compiled { engine, written: text.to_owned() })))
    }

    /// How many groups it captures, beside the whole match.
    pub(super) fn groups(&self) -> usize {
        match &self.compiled.engine {
            Engine::Linear(regex, _) => regex.captures_len() - 1,
            Engine::Repeated(repeated) => repeated.program.groups - 1,
            Engine::Machine(program) => program.groups - 1,
        }
    }

    /// The number of the group of this name.
    pub(super) fn group_named(&self, name: &str) -> Option<usize> {
        let of_program =
            |program: &Program| program.names.iter().find(|(known, _)| known == name).map(|(_, group)| *group);
        match &self.compiled.engine {
            Engine::Linear(regex, _) => regex.capture_names().position(|known| known == Some(name)),
            Engine::Repeated(repeated) => of_program(&repeated.program),
            Engine::Machine(program) => of_program(program),
        }
    }

    /// Nanoseconds that it may take for each byte of a record, in the worst case: how work is shared out, not how long
    /// it takes.
    #[must_use]
    pub fn cost(&self) -> u64 {
        match &self.compiled.engine {
            Engine::Linear(_, states) => 2 * *states as u64,
            Engine::Repeated(_) => 2 * repeated::BYTES,
            Engine::Machine(_) => MACHINE_COST,
        }
    }

    /// Whether it is too large for records of this length.
    pub(super) fn is_too_large_for(&self, bytes: usize) -> bool {
        match &self.compiled.engine {
            Engine::Linear(_, states) => *states as u64 * bytes as u64 > MOST_STATES_TIMES_BYTES,
            Engine::Repeated(_) | Engine::Machine(_) => false,
        }
    }

    /// The part of it that may make long records take more steps than they have, if there is one.
    #[must_use]
    pub fn slow_part(&self) -> Option<String> {
        match &self.compiled.engine {
            Engine::Linear(..) => None,
            Engine::Repeated(repeated) => repeated.slow_part(&self.compiled.written),
            Engine::Machine(program) => slow::around(&self.compiled.written, program.anchored).map(str::to_owned),
        }
    }

    /// Room for its groups.
    pub(super) fn room(&self) -> Groups {
        let linear = match &self.compiled.engine {
            Engine::Linear(regex, _) => Some(regex.capture_locations()),
            Engine::Repeated(_) | Engine::Machine(_) => None,
        };
        Groups { linear, found: Vec::new() }
    }

    /// Whether it matches somewhere.
    ///
    /// # Errors
    /// When that takes more steps than the text has.
    pub fn is_match(&mut self, text: &str) -> Result<bool, Cause> {
        match &self.compiled.engine {
            Engine::Linear(regex, _) => Ok(regex.is_match(text)),
            Engine::Repeated(_) => {
                self.begin(text);
                Ok(self.find(text, 0)?.is_some())
            }
            Engine::Machine(program) => {
                self.machine.begin(text.len());
                Ok(self.machine.find(program, text, 0)?)
            }
        }
    }

    /// Before the first search through a text, for [`Pattern::find`].
    pub(super) fn begin(&mut self, text: &str) {
        self.left = repeated::budget(text.len());
        self.machine.begin(text.len());
    }

    /// Begin and end of the first match that begins at `from` or later.
    pub(super) fn find(&mut self, text: &str, from: usize) -> Result<Option<(usize, usize)>, Cause> {
        let Self { compiled, machine, left } = self;
        let program = match &compiled.engine {
            Engine::Linear(regex, _) => {
                return Ok(regex.find_at(text, from).map(|found| (found.start(), found.end())));
            }
            Engine::Repeated(repeated) => match repeated.find(text, from, left)? {
                repeated::Found::Decided(found) => return Ok(found),
                repeated::Found::NotByBytes => &repeated.program,
            },
            Engine::Machine(program) => program,
        };
        let found = machine.find(program, text, from)?;
        Ok(found.then(|| (machine.slots[0], machine.slots[1])))
    }

    /// Whether it matches; if so, `groups` says where. `groups` is of this pattern's [`Pattern::room`].
    pub(super) fn captures(&mut self, text: &str, groups: &mut Groups) -> Result<bool, Cause> {
        let Self { compiled, machine, .. } = self;
        let program = match (&compiled.engine, &mut groups.linear) {
            (Engine::Linear(regex, _), Some(locations)) => return Ok(regex.captures_read(locations, text).is_some()),
            (Engine::Linear(..), None) => unreachable!("room was made by this pattern"),
            (Engine::Repeated(repeated), _) => &repeated.program,
            (Engine::Machine(program), _) => program,
        };
        machine.begin(text.len());
        groups.found.clear();
        if !machine.find(program, text, 0)? {
            return Ok(false);
        }
        let place = |pair: &[usize]| (pair[0] != usize::MAX && pair[1] != usize::MAX).then_some((pair[0], pair[1]));
        groups.found.extend(machine.slots.chunks_exact(2).map(place));
        Ok(true)
    }
}

/// How many states the pattern has.
fn states(text: &str) -> Option<usize> {
    let syntax = regex_automata::util::syntax::Config::new().crlf(true);
    let limits = thompson::Config::new().nfa_size_limit(Some(COMPILED_BYTES));
    let nfa = thompson::Compiler::new().syntax(syntax).configure(limits).build(text).ok()?;
    Some(nfa.states().len())
}

/// The line of an engine's message that says what is wrong; those before it draw the place.
fn last_line(message: &str) -> String {
    let line = message.lines().last().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

#[cfg(test)]
mod tests;
