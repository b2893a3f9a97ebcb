//! FILTER: records kept or dropped by what is in them.
//! Promises that the pattern or test that dropped a record is named.
//! Leaves counting what was dropped to the flow.

use super::java::Pattern;
use super::json::edit::{self, Tree};
use super::number::{Decimal, Number};
use super::{Cause, Place, Stop, Work, as_text};

/// What a field must be like.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    /// One of these.
    Equals(Vec<Wanted>),
    /// A text or number in which the pattern is found.
    Matches(Pattern),
    /// Whether it is there at all; `null` is.
    Exists(bool),
    /// A number, or a text that is one, from here to there; `None` where that end is open.
    Range(Option<Number>, Option<Number>),
}

/// A value that a field may equal.
#[derive(Clone, Debug)]
pub(super) enum Wanted {
    Text(String),
    Number(Number),
    /// `true`, `false` or `null`.
    Word(&'static str),
}

/// A condition on one field.
#[derive(Clone, Debug)]
pub(super) struct Test {
    /// Which of the fields that are looked for.
    pub(super) field: usize,
    pub(super) condition: Condition,
}

/// The rules of one step.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) include: Vec<Pattern>,
    pub(super) exclude: Vec<Pattern>,
    pub(super) keep_when: Vec<Test>,
    pub(super) drop_when: Vec<Test>,
    /// The fields of all tests, numbered.
    pub(super) fields: Tree<usize>,
    pub(super) field_count: usize,
}

#[derive(Debug)]
pub(super) struct Filter {
    rules: Rules,
    found: Vec<Option<(usize, usize)>>,
    name: Vec<u8>,
    text: String,
}

impl Filter {
    pub(super) fn new(rules: Rules) -> Self {
        let found = vec![None; rules.field_count];
        Self { rules, found, name: Vec::new(), text: String::new() }
    }
}

impl Work for Filter {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { rules, found, name, text } = self;
        if !rules.include.is_empty() || !rules.exclude.is_empty() {
            let line = as_text(record, text);
            let mut included = rules.include.is_empty();
            for pattern in &mut rules.include {
                included = included || pattern.is_match(line)?;
            }
            if !included {
                return Err(Stop::Dropped(Cause::NotIncluded));
            }
            for (index, pattern) in rules.exclude.iter_mut().enumerate() {
                if pattern.is_match(line)? {
                    return Err(Stop::Dropped(Cause::Excluded { which: index as u16 + 1 }));
                }
            }
        }
        if rules.field_count > 0 {
            edit::find(record, &rules.fields, name, found)?;
            for (index, test) in rules.keep_when.iter_mut().enumerate() {
                if !holds(test, record, found, name, text)? {
                    return Err(Stop::Dropped(Cause::TestFailed { which: index as u16 + 1 }));
                }
            }
            for (index, test) in rules.drop_when.iter_mut().enumerate() {
                if holds(test, record, found, name, text)? {
                    return Err(Stop::Dropped(Cause::TestHeld { which: index as u16 + 1 }));
                }
            }
        }
        out.extend_from_slice(record);
        Ok(())
    }
}

fn holds(
    test: &mut Test,
    record: &[u8],
    found: &[Option<(usize, usize)>],
    decoded: &mut Vec<u8>,
    text: &mut String,
) -> Result<bool, Cause> {
    let Some((start, end)) = found[test.field] else {
        return Ok(matches!(test.condition, Condition::Exists(false)));
    };
    let raw = &record[start..end];
    // A string as what it stands for, anything else as it is written.
    let inside = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let shown = match inside {
        Some(inside) => edit::decoded(inside, decoded),
        None => raw,
    };
    Ok(match &mut test.condition {
        Condition::Exists(wanted) => *wanted,
        Condition::Equals(values) => values.iter().any(|value| equals(value, shown, inside.is_some())),
        Condition::Matches(pattern) => pattern.is_match(as_text(shown, text))?,
        Condition::Range(from, to) => Decimal::parse(shown).is_some_and(|number| {
            from.as_ref().is_none_or(|from| from.decimal() <= number)
                && to.as_ref().is_none_or(|to| number <= to.decimal())
        }),
    })
}

fn equals(value: &Wanted, shown: &[u8], is_text: bool) -> bool {
    match value {
        Wanted::Text(text) => is_text && text.as_bytes() == shown,
        Wanted::Number(wanted) => !is_text && Decimal::parse(shown).is_some_and(|number| number == wanted.decimal()),
        Wanted::Word(word) => !is_text && word.as_bytes() == shown,
    }
}
