//! Which part of a pattern may make long records take more work than they have.
//! Promises an answer from the pattern alone, before any record is seen.
//! Leaves giving up a record to the counters: this is for warnings.

use regex_automata::dfa::{Automaton, dense};
use regex_automata::{Input, util::primitives::StateID};
use regex_syntax::ast::{self, Ast, RepetitionKind, RepetitionRange};
use std::collections::HashMap;

/// Whether a search that has a match may look on without end for a longer one that never comes: whether the automaton
/// can go round in states that are no match, behind one that is.
pub(super) fn looks_on(dfa: &dense::DFA<Vec<u32>>) -> bool {
    let graph = Graph::of(dfa);
    // From each match on, the states that are no match: a cycle among them is a search without end.
    let mut waits: HashMap<StateID, bool> = HashMap::new();
    let matches = graph.next.keys().filter(|state| dfa.is_match_state(**state));
    for state in matches {
        for next in &graph.next[state] {
            if !dfa.is_match_state(*next) && graph.goes_round(*next, dfa, &mut waits) {
                return true;
            }
        }
    }
    false
}

struct Graph {
    /// The states that can be reached, and where each byte leads, dead ends left out.
    next: HashMap<StateID, Vec<StateID>>,
}

impl Graph {
    fn of(dfa: &dense::DFA<Vec<u32>>) -> Self {
        let mut open: Vec<StateID> = Vec::new();
        // What stands before the place where a search begins may matter.
        for before in ["", "a", " ", "\n", "\r"] {
            open.extend(dfa.start_state_forward(&Input::new(before).range(before.len()..)).ok());
        }
        let mut next: HashMap<StateID, Vec<StateID>> = HashMap::new();
        while let Some(state) = open.pop() {
            if next.contains_key(&state) {
                continue;
            }
            let bytes = dfa.byte_classes().representatives(0..=255).filter_map(|unit| unit.as_u8());
            let mut to: Vec<StateID> = bytes.map(|byte| dfa.next_state(state, byte)).collect();
            to.sort_unstable();
            to.dedup();
            to.retain(|to| !dfa.is_dead_state(*to) && !dfa.is_quit_state(*to));
            open.extend_from_slice(&to);
            next.insert(state, to);
        }
        Self { next }
    }

    /// Whether there is a cycle of states that are no match, from this one on. `known`: `true` while a state is on the
    /// way, `false` once nothing was found behind it.
    fn goes_round(&self, from: StateID, dfa: &dense::DFA<Vec<u32>>, known: &mut HashMap<StateID, bool>) -> bool {
        if known.get(&from).is_some_and(|on_the_way| !on_the_way) {
            return false;
        }
        let mut way = vec![(from, 0)];
        known.insert(from, true);
        while let Some((state, child)) = way.last_mut() {
            let Some(next) = self.next[state].get(*child).copied() else {
                known.insert(*state, false);
                way.pop();
                continue;
            };
            *child += 1;
            if dfa.is_match_state(next) {
                continue;
            }
            match known.get(&next) {
                Some(true) => return true,
                Some(false) => {}
                None => {
                    known.insert(next, true);
                    way.push((next, 0));
                }
            }
        }
        false
    }
}

/// The last repetition without an end without which the pattern is not slow any more.
pub(super) fn part(text: &str, is_slow: impl Fn(&str) -> bool) -> Option<String> {
    let ast = ast::parse::Parser::new().parse(text).ok()?;
    let spans = ast::visit(&ast, Repetitions::default()).ok()?;
    let without = |(start, end): (usize, usize)| format!("{}(?:){}", &text[..start], &text[end..]);
    let slow = spans.into_iter().rev().find(|span| !is_slow(&without(*span)));
    slow.map(|(start, end)| text[start..end].to_owned())
}

#[derive(Default)]
struct Repetitions {
    spans: Vec<(usize, usize)>,
}

impl ast::Visitor for Repetitions {
    type Output = Vec<(usize, usize)>;
    type Err = ();

    fn finish(self) -> Result<Self::Output, ()> {
        Ok(self.spans)
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), ()> {
        if let Ast::Repetition(repetition) = ast {
            let endless = matches!(
                repetition.op.kind,
                RepetitionKind::ZeroOrMore
                    | RepetitionKind::OneOrMore
                    | RepetitionKind::Range(RepetitionRange::AtLeast(_))
            );
            if endless {
                self.spans.push((repetition.span.start.offset, repetition.span.end.offset));
            }
        }
        Ok(())
    }
}

/// The look-around of a pattern that holds a repetition without an end, or the reference back beside one. A look-around
/// that is tried at the beginning of a text only, once, is nothing to speak of: behind `^`, or as the first thing of a
/// pattern that is `anchored`.
pub(super) fn around(pattern: &str, anchored: bool) -> Option<&str> {
    let bytes = pattern.as_bytes();
    let mut open: Vec<(usize, bool)> = Vec::new();
    let (mut at, mut brackets, mut endless_anywhere, mut reference) = (0, 0_usize, false, None);
    let mut found: Option<(usize, usize)> = None;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => {
                if brackets == 0 && matches!(bytes.get(at + 1), Some(b'1'..=b'9' | b'k')) {
                    reference = Some((at, at + 2));
                }
                at += 1;
            }
            b'[' => brackets += 1,
            b']' if brackets > 0 => brackets -= 1,
            _ if brackets > 0 => {}
            b'(' => open.push((at, false)),
            b')' => {
                if let Some((begin, endless)) = open.pop() {
                    let is_around =
                        ["(?=", "(?!", "(?<=", "(?<!"].iter().any(|sign| pattern[begin..].starts_with(sign));
                    let before = &pattern[..begin];
                    let once = matches!(before, "^" | "\\A") || anchored && before.is_empty();
                    if is_around && endless && !once {
                        found = found.or(Some((begin, at + 1)));
                    }
                    if let Some(outer) = open.last_mut() {
                        outer.1 |= endless;
                    }
                }
            }
            b'*' | b'+' => {
                // A possessive sign repeats nothing.
                endless_anywhere = true;
                if let Some(inner) = open.last_mut() {
                    inner.1 = true;
                }
            }
            b'{' => {
                let end = pattern[at..].find('}').map_or(bytes.len(), |end| at + end);
                if pattern[at..end].ends_with(',') {
                    endless_anywhere = true;
                    if let Some(inner) = open.last_mut() {
                        inner.1 = true;
                    }
                }
            }
            _ => {}
        }
        at += 1;
    }
    let reference = reference.filter(|_| endless_anywhere);
    found.or(reference).and_then(|(begin, end)| pattern.get(begin..end))
}
