//! A pattern that is looked for again and again in one text, by an automaton whose every byte is counted.
//! Promises that all searches through a text together look at [`BYTES`] bytes for each of its bytes at most; the search
//! that would look at more is given up. Whatever the automaton, the same text meets the same end.
//! Leaves what bytes cannot decide (edges of words beside letters that are not ASCII) to the machine.

use super::machine::TooManySteps;
use super::program::Program;
use super::slow;
use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::prefilter::Prefilter;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

/// Bytes that all searches through a text may look at, for each byte of it.
pub(super) const BYTES: u64 = 64;
/// A shorter text counts as one of this length.
const SHORTEST: u64 = 64;
/// Memory that an automaton may take; a pattern that needs more is left to the machine.
const AUTOMATON_BYTES: usize = 1 << 20;

/// What all searches through a text of this length may look at.
pub(super) fn budget(length: usize) -> u64 {
    BYTES * (length as u64).max(SHORTEST)
}

type Dfa = dense::DFA<Vec<u32>>;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Repeated {
    forward: Dfa,
    reverse: Dfa,
    /// Finds where a match may begin, where all begin with one of a few texts.
    prefilter: Option<Prefilter>,
    pub(super) program: Program,
    rewritten: String,
}

/// What a search came to.
pub(super) enum Found {
    Decided(Option<(usize, usize)>),
    /// Only characters can decide.
    NotByBytes,
}

fn forward(text: &str) -> Option<Dfa> {
    let config = dense::Config::new().start_kind(StartKind::Unanchored);
    build(text, config, thompson::Config::new())
}

fn build(text: &str, config: dense::Config, nfa: thompson::Config) -> Option<Dfa> {
    let config = config
        .unicode_word_boundary(true)
        .dfa_size_limit(Some(AUTOMATON_BYTES))
        .determinize_size_limit(Some(4 * AUTOMATON_BYTES));
    let mut builder = dense::Builder::new();
    builder.syntax(syntax::Config::new().crlf(true)).configure(config);
    builder.thompson(nfa.nfa_size_limit(Some(super::COMPILED_BYTES)));
    builder.build(text).ok()
}

impl Repeated {
    /// The automaton of a rewritten pattern without marks; `None` where it would be too large.
    pub(super) fn new(text: &str) -> Option<Self> {
        let backwards = dense::Config::new().start_kind(StartKind::Anchored).match_kind(MatchKind::All);
        let hir = regex_syntax::ParserBuilder::new().crlf(true).build().parse(text).ok()?;
        Some(Self {
            forward: forward(text)?,
            reverse: build(text, backwards, thompson::Config::new().reverse(true))?,
            prefilter: Prefilter::from_hir_prefix(MatchKind::LeftmostFirst, &hir).filter(Prefilter::is_fast),
            program: Program::new(text, &[]).ok()?,
            rewritten: text.to_owned(),
        })
    }

    /// Begin and end of the first match that begins at `from` or later; takes what it looks at from `left`.
    pub(super) fn find(&self, text: &str, from: usize, left: &mut u64) -> Result<Found, TooManySteps> {
        let bytes = text.as_bytes();
        let begin = match &self.prefilter {
            None => from,
            Some(prefilter) => match prefilter.find(bytes, (from..bytes.len()).into()) {
                Some(candidate) => candidate.start,
                None => return Ok(Found::Decided(None)),
            },
        };
        let Ok(mut state) = self.forward.start_state_forward(&Input::new(bytes).range(begin..)) else {
            return Ok(Found::NotByBytes);
        };
        // The budget is applied to the end of the search, so that the loop below counts nothing but its place.
        let end = bytes.len().min(begin.saturating_add(usize::try_from(*left).unwrap_or(usize::MAX)));
        let (mut at, mut found) = (begin, None);
        let dead = loop {
            let Some(byte) = bytes[..end].get(at) else { break false };
            state = self.forward.next_state(state, *byte);
            if self.forward.is_special_state(state) {
                if self.forward.is_match_state(state) {
                    found = Some(at);
                } else if self.forward.is_dead_state(state) {
                    break true;
                } else if self.forward.is_quit_state(state) {
                    return Ok(Found::NotByBytes);
                }
            }
            at += 1;
        };
        spend(left, at - begin)?;
        if !dead {
            if end < bytes.len() {
                return Err(TooManySteps);
            }
            if self.forward.is_match_state(self.forward.next_eoi_state(state)) {
                found = Some(bytes.len());
            }
        }
        let Some(end) = found else { return Ok(Found::Decided(None)) };
        spend(left, end - begin)?;
        let back = Input::new(bytes).range(begin..end).anchored(Anchored::Yes);
        let Ok(Some(start)) = self.reverse.try_search_rev(&back) else { return Ok(Found::NotByBytes) };
        // Only a match of nothing can lie inside a character.
        let whole = text.is_char_boundary(start.offset()) && text.is_char_boundary(end);
        Ok(if whole { Found::Decided(Some((start.offset(), end))) } else { Found::NotByBytes })
    }

    /// The part that makes a search look on after it has a match, if there is one.
    pub(super) fn slow_part(&self, written: &str) -> Option<String> {
        let looks_on = |text: &str| forward(text).is_some_and(|dfa| slow::looks_on(&dfa));
        slow::looks_on(&self.forward)
            .then(|| slow::part(&self.rewritten, looks_on).unwrap_or_else(|| written.to_owned()))
    }
}

fn spend(left: &mut u64, bytes: usize) -> Result<(), TooManySteps> {
    *left = left.checked_sub(bytes as u64).ok_or(TooManySteps)?;
    Ok(())
}
