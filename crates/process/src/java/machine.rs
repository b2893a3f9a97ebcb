//! Runs a program over a text: tries one way, and goes back where it fails.
//! Promises the same end for the same text, whatever ran before and however busy the machine is: steps are counted,
//! each operation and each byte is one, and a text has a fixed number of steps for each of its bytes. Failures are remembered, so
//! that a pattern without references back takes a bounded number of steps for each byte, as far as the memory reaches.
//! Leaves what a match means to the pattern.

use super::program::{Operation, Program};
use regex_automata::util::look::LookMatcher;

/// Steps for each byte of a text, and for the ends of the shortest ones.
const STEPS: u64 = 256;
const SHORTEST: u64 = 64;
/// Failures are remembered once a text has taken this number of steps for each of its bytes; most texts never do.
const STEPS_WITHOUT_MEMORY: u64 = 8;
/// Bytes that the memory of failures may take; a text that needs more goes without.
const MOST_MEMORY: usize = 2 << 20;
/// Ways that are still to be tried, and visits whose outcome is open: with the failures they take less than 8 MiB.
const MOST_WAYS: usize = 1 << 16;

/// The text takes more steps than it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManySteps;

/// What is left to try, or to put back, where the way at hand fails.
#[derive(Clone, Copy, Debug)]
enum Way {
    Branch {
        operation: usize,
        at: usize,
        trail: usize,
    },
    /// A run that took the characters from `from` to `at`, and goes on with one less; `visit` is its own in the trail.
    Run {
        operation: usize,
        from: usize,
        at: usize,
        trail: usize,
        visit: Option<usize>,
    },
    Slot {
        slot: usize,
        value: usize,
    },
    Round {
        round: usize,
        value: Round,
    },
}

/// Where a round of a loop began, and which visit of the trail its loop is.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    at: usize,
    trail: usize,
}

/// A visit to a place of the program and the text whose outcome is not known yet. A run stands for all characters from
/// `from` on: it tried those up to `most`, and is at `at`.
#[derive(Clone, Copy, Debug)]
struct Visit {
    cell: usize,
    from: usize,
    at: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Unknown = 0,
    Fails = 1,
    Matches = 2,
}

/// What the machine needs from text to text.
#[derive(Debug, Default)]
pub(super) struct Machine {
    left: u64,
    /// Failures are remembered when `left` has fallen to this.
    remember_at: u64,
    ways: Vec<Way>,
    pub(super) slots: Vec<usize>,
    rounds: Vec<Round>,
    trail: Vec<Visit>,
    /// The earliest visit of the trail that the failures of later ones depend on.
    tainted: usize,
    /// Two bits for each cell and each byte; empty while nothing is remembered.
    outcomes: Vec<u8>,
    looks: LookMatcher,
}

const NOWHERE: usize = usize::MAX;

impl Machine {
    /// Begins with a text of this length: gives it its steps, and forgets what was known of the one before.
    pub(super) fn begin(&mut self, length: usize) {
        self.left = STEPS * (length as u64 + SHORTEST);
        self.remember_at = self.left - STEPS_WITHOUT_MEMORY * (length as u64 + SHORTEST);
        self.outcomes.clear();
        self.outcomes.shrink_to(64 * 1024);
        self.ways.shrink_to(4096);
        self.trail.shrink_to(4096);
    }

    /// In tests: remembers from the first step on.
    #[cfg(test)]
    pub(super) fn remember(&mut self) {
        self.remember_at = self.left;
    }

    #[cfg(test)]
    pub(super) fn steps(&self, length: usize) -> u64 {
        STEPS * (length as u64 + SHORTEST) - self.left
    }

    /// The first match that begins at `from` or later; `slots` says where it and its groups begin and end.
    pub(super) fn find(&mut self, program: &Program, text: &str, from: usize) -> Result<bool, TooManySteps> {
        let mut start = from;
        self.slots.clear();
        self.slots.resize(2 * program.groups, NOWHERE);
        self.rounds.clear();
        self.rounds.resize(program.rounds, Round::default());
        self.ways.clear();
        self.trail.clear();
        self.tainted = NOWHERE;
        loop {
            if self.run(program, text, 0, start, Level::Whole)?.is_some() {
                return Ok(true);
            }
            let Some(character) = text[start..].chars().next().filter(|_| !program.anchored) else { return Ok(false) };
            start += character.len_utf8();
        }
    }

    /// Runs from one operation on until the end of this level: where it ended, if it matched.
    fn run(
        &mut self,
        program: &Program,
        text: &str,
        operation: usize,
        at: usize,
        level: Level,
    ) -> Result<Option<usize>, TooManySteps> {
        let (ways, trail) = (self.ways.len(), self.trail.len());
        let tainted = std::mem::replace(&mut self.tainted, NOWHERE);
        let (mut operation, mut at) = (operation, at);
        let ended = loop {
            self.spend(1)?;
            if self.left <= self.remember_at && self.outcomes.is_empty() {
                self.begin_to_remember(program, text.len());
            }
            let next = match program.operations[operation] {
                Operation::Match | Operation::End => {
                    self.keep_what_must_be_put_back(ways);
                    if level == (Level::Around { remembers: true }) {
                        self.settle_matches(text.len(), trail);
                    }
                    break Some(at);
                }
                other => self.step(program, text, other, operation, at)?,
            };
            (operation, at) = match next {
                Next::To(operation, at) => (operation, at),
                Next::Matches => {
                    self.keep_what_must_be_put_back(ways);
                    self.settle_matches(text.len(), trail);
                    break Some(at);
                }
                Next::Fails => match self.go_back(program, text, ways) {
                    Some(next) => next,
                    None => {
                        self.settle_failures(text.len(), trail);
                        break None;
                    }
                },
            };
        };
        self.trail.truncate(trail);
        self.tainted = tainted;
        Ok(ended)
    }

    #[inline]
    fn spend(&mut self, steps: u64) -> Result<(), TooManySteps> {
        self.left = self.left.checked_sub(steps).ok_or(TooManySteps)?;
        Ok(())
    }

    /// Does one operation that ends nothing.
    #[inline]
    fn step(
        &mut self,
        program: &Program,
        text: &str,
        operation: Operation,
        place: usize,
        at: usize,
    ) -> Result<Next, TooManySteps> {
        let on = |at: Option<usize>| at.map_or(Next::Fails, |at| Next::To(place + 1, at));
        Ok(match operation {
            Operation::Character { character, back } => on(take(text, at, back, |found| found == character)),
            Operation::Class { class, back } => {
                let class = &program.classes[class];
                on(take(text, at, back, |found| class.contains(found)))
            }
            Operation::Run { class, back, cell } => return self.run_of(program, text, (class, back, cell), place, at),
            Operation::Look(look) => on(self.looks.matches(look, text.as_bytes(), at).then_some(at)),
            Operation::Split { first, second, cell } => match self.outcome(text.len(), cell, at) {
                Outcome::Fails => Next::Fails,
                Outcome::Matches => Next::Matches,
                Outcome::Unknown => {
                    self.visit(Visit { cell, from: at, at, most: at });
                    self.push(Way::Branch { operation: second, at, trail: self.trail.len() })?;
                    Next::To(first, at)
                }
            },
            Operation::Jump(to) => Next::To(to, at),
            Operation::Save(slot) => {
                let value = std::mem::replace(&mut self.slots[slot], at);
                self.push(Way::Slot { slot, value })?;
                on(Some(at))
            }
            Operation::Round(round) => {
                let new = Round { at, trail: self.trail.len().saturating_sub(1) };
                let value = std::mem::replace(&mut self.rounds[round], new);
                self.push(Way::Round { round, value })?;
                on(Some(at))
            }
            Operation::Progress { round, exit } => {
                let Round { at: began, trail } = self.rounds[round];
                if began == at {
                    // What fails from here on fails because the loop is being tried already.
                    self.tainted = self.tainted.min(trail);
                    Next::To(exit, at)
                } else {
                    on(Some(at))
                }
            }
            Operation::Around { negated, end, remembers } => {
                let ways = self.ways.len();
                let found = self.run(program, text, place + 1, at, Level::Around { remembers })?.is_some();
                if negated {
                    self.put_back(ways);
                }
                if found == negated { Next::Fails } else { Next::To(end + 1, at) }
            }
            Operation::Atomic { end } => match self.run(program, text, place + 1, at, Level::Atomic)? {
                Some(at) => Next::To(end + 1, at),
                None => Next::Fails,
            },
            Operation::Group { group, back } => {
                let (from, to) = (self.slots[2 * group], self.slots[2 * group + 1]);
                if from == NOWHERE || to == NOWHERE || from > to {
                    return Ok(Next::Fails);
                }
                self.spend((to - from) as u64)?;
                on(same(text, (from, to), at, back, program.casei))
            }
            Operation::Match | Operation::End => unreachable!("the caller ends"),
        })
    }

    fn run_of(
        &mut self,
        program: &Program,
        text: &str,
        (class, back, cell): (usize, bool, usize),
        place: usize,
        from: usize,
    ) -> Result<Next, TooManySteps> {
        match self.outcome(text.len(), cell, from) {
            Outcome::Fails => return Ok(Next::Fails),
            Outcome::Matches => return Ok(Next::Matches),
            Outcome::Unknown => {}
        }
        let class = &program.classes[class];
        let mut at = from;
        while let Some(next) = take(text, at, back, |found| class.contains(found)) {
            at = next;
        }
        self.spend(at.abs_diff(from) as u64)?;
        let remembered = self.visit(Visit { cell, from, at, most: at });
        if at != from {
            let trail = self.trail.len();
            let visit = remembered.then(|| trail - 1);
            self.push(Way::Run { operation: place, from, at, trail, visit })?;
        }
        Ok(Next::To(place + 1, at))
    }

    fn push(&mut self, way: Way) -> Result<(), TooManySteps> {
        if self.ways.len() >= MOST_WAYS {
            return Err(TooManySteps);
        }
        self.ways.push(way);
        Ok(())
    }

    /// Takes the last way that is left, down to the first `ways`: where to go on.
    fn go_back(&mut self, program: &Program, text: &str, ways: usize) -> Option<(usize, usize)> {
        while self.ways.len() > ways {
            match self.ways.pop()? {
                Way::Slot { slot, value } => self.slots[slot] = value,
                Way::Round { round, value } => self.rounds[round] = value,
                Way::Branch { operation, at, trail } => {
                    self.settle_failures(text.len(), trail);
                    return Some((operation, at));
                }
                Way::Run { operation, from, at, trail, visit } => {
                    self.settle_failures(text.len(), trail);
                    let back = matches!(program.operations[operation], Operation::Run { back: true, .. });
                    let at = take(text, at, !back, |_| true)?;
                    if at != from {
                        self.ways.push(Way::Run { operation, from, at, trail, visit });
                    }
                    if let Some(visit) = visit {
                        self.trail[visit].at = at;
                    }
                    return Some((operation + 1, at));
                }
            }
        }
        None
    }

    /// Undoes what the ways behind the first `ways` would undo.
    fn put_back(&mut self, ways: usize) {
        while self.ways.len() > ways {
            match self.ways.pop() {
                Some(Way::Slot { slot, value }) => self.slots[slot] = value,
                Some(Way::Round { round, value }) => self.rounds[round] = value,
                _ => {}
            }
        }
    }

    /// Of the ways behind the first `ways`, keeps those that put something back: the rest is decided.
    fn keep_what_must_be_put_back(&mut self, ways: usize) {
        let mut kept = ways;
        for index in ways..self.ways.len() {
            if matches!(self.ways[index], Way::Slot { .. } | Way::Round { .. }) {
                self.ways[kept] = self.ways[index];
                kept += 1;
            }
        }
        self.ways.truncate(kept);
    }

    fn begin_to_remember(&mut self, program: &Program, length: usize) {
        // Not asked again for this text.
        self.remember_at = 0;
        let Some(cells) = program.cells.filter(|cells| *cells > 0) else { return };
        let bytes = cells.saturating_mul(length + 1).div_ceil(4);
        if bytes <= MOST_MEMORY {
            self.outcomes.resize(bytes, 0);
        }
    }

    #[inline]
    fn outcome(&self, length: usize, cell: usize, at: usize) -> Outcome {
        if self.outcomes.is_empty() {
            return Outcome::Unknown;
        }
        let place = cell * (length + 1) + at;
        match self.outcomes[place / 4] >> (place % 4 * 2) & 3 {
            0 => Outcome::Unknown,
            1 => Outcome::Fails,
            _ => Outcome::Matches,
        }
    }

    /// Whether failures are remembered, and so this visit. One that is not stays unknown, and may be made again.
    fn visit(&mut self, visit: Visit) -> bool {
        let remembers = !self.outcomes.is_empty() && self.trail.len() < MOST_WAYS;
        if remembers {
            self.trail.push(visit);
        }
        remembers
    }

    fn note(&mut self, length: usize, cell: usize, from: usize, to: usize, outcome: Outcome) {
        for at in from.min(to)..=from.max(to) {
            let place = cell * (length + 1) + at;
            let byte = &mut self.outcomes[place / 4];
            *byte = *byte & !(3 << (place % 4 * 2)) | (outcome as u8) << (place % 4 * 2);
        }
    }

    /// What was visited after the first `kept` visits has failed, wherever it is tried again.
    #[inline]
    fn settle_failures(&mut self, length: usize, kept: usize) {
        if self.trail.len() <= kept {
            return;
        }
        if kept <= self.tainted {
            self.tainted = NOWHERE;
            for index in kept..self.trail.len() {
                let Visit { cell, from, most, .. } = self.trail[index];
                self.note(length, cell, from, most, Outcome::Fails);
            }
        }
        self.trail.truncate(kept);
    }

    /// What was visited after the first `kept` visits lies on the way to a match.
    fn settle_matches(&mut self, length: usize, kept: usize) {
        for index in kept..self.trail.len() {
            let Visit { cell, from, at, .. } = self.trail[index];
            self.note(length, cell, from, at, Outcome::Matches);
        }
    }
}

/// What a run is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Whole,
    Atomic,
    Around { remembers: bool },
}

enum Next {
    To(usize, usize),
    Fails,
    /// It was tried before, and matched.
    Matches,
}

/// The place behind (or before) the next character, if it is one that is wanted.
#[inline]
fn take(text: &str, at: usize, back: bool, wanted: impl Fn(char) -> bool) -> Option<usize> {
    let bytes = text.as_bytes();
    if back {
        let byte = *bytes.get(at.checked_sub(1)?)?;
        let character = if byte.is_ascii() { char::from(byte) } else { text[..at].chars().next_back()? };
        wanted(character).then(|| at - character.len_utf8())
    } else {
        let byte = *bytes.get(at)?;
        let character = if byte.is_ascii() { char::from(byte) } else { text[at..].chars().next()? };
        wanted(character).then(|| at + character.len_utf8())
    }
}

/// The place behind (or before) the text of a group, where it stands here again.
fn same(text: &str, (from, to): (usize, usize), at: usize, back: bool, casei: bool) -> Option<usize> {
    let wanted = &text[from..to];
    if !casei {
        return if back {
            text[..at].ends_with(wanted).then(|| at - wanted.len())
        } else {
            text[at..].starts_with(wanted).then(|| at + wanted.len())
        };
    }
    let lower = |character: char| character.to_lowercase().next().unwrap_or(character);
    let mut at = at;
    let mut rest: Box<dyn Iterator<Item = char>> =
        if back { Box::new(wanted.chars().rev()) } else { Box::new(wanted.chars()) };
    rest.try_for_each(|wanted| {
        at = take(text, at, back, |found| lower(found) == lower(wanted))?;
        Some(())
    })?;
    Some(at)
}
