//! REDACT: secrets replaced before they leave the machine.
//! Promises that JSON stays JSON, that escapes hide nothing from the ready-made patterns and field names, and that a
//! record in which nothing was found passes unchanged.
//! Leaves what is secret to the operator.

/// The ready-made patterns.
pub(super) mod detect;

use super::java::Pattern;
use super::json::edit::{Edits, Scratch};
use super::json::scan;
use super::json::{escape_utf8, print};
use super::number::Decimal;
use super::{Cause, Place, Stop, Work, as_text};
use detect::{Kinds, Search};
use memchr::memmem::Finder;

/// What is looked for and what takes its place.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) kinds: Kinds,
    pub(super) patterns: Vec<Pattern>,
    /// Fields whose values are replaced; `None` where none are.
    pub(super) fields: Option<Edits>,
    pub(super) replacement: String,
}

#[derive(Debug)]
pub(super) struct Redact {
    rules: Rules,
    /// The replacement as it stands between quotes of JSON.
    escaped: Vec<u8>,
    /// What begins an escape of any character, and the exponent of a number with as many digits as a card's.
    disguises: [Finder<'static>; 3],
    scratch: Scratch,
    without_fields: Vec<u8>,
    current: Vec<u8>,
    next: Vec<u8>,
    decoded: Vec<u8>,
    text: String,
    /// The longest record that may come out.
    limit: usize,
}

impl Redact {
    /// `limit`: the longest record that may come out.
    pub(super) fn new(rules: Rules, limit: usize) -> Self {
        let mut escaped = Vec::new();
        escape_utf8(&mut escaped, rules.replacement.as_bytes());
        Self {
            rules,
            escaped,
            disguises: ["\\u", "E1", "e+1"].map(Finder::new),
            scratch: Scratch::default(),
            without_fields: Vec::new(),
            current: Vec::new(),
            next: Vec::new(),
            decoded: Vec::new(),
            text: String::new(),
            limit,
        }
    }

    /// Replaces what the ready-made patterns find; whether there was anything, which is then in `current`.
    fn ready_made(&mut self, record: &[u8]) -> bool {
        let Self { rules, escaped, current, decoded, next, disguises, .. } = self;
        current.clear();
        if rules.kinds.is_empty() {
            return false;
        }
        let mut search = Search::new(rules.kinds);
        // In JSON a character may be written in a way in which it is not found, and a number with an exponent.
        let hit = search.next(record, 0).is_some();
        let mut disguises = disguises.iter().take(if rules.kinds.card_number { 3 } else { 1 });
        if !hit && !disguises.any(|disguise| disguise.find(record).is_some()) {
            return false;
        }
        if looks_like_json(record) && scan::document(record).is_ok() {
            return in_json(record, rules, escaped, current, decoded, next);
        }
        hit && replace(record, rules.kinds, rules.replacement.as_bytes(), current)
    }
}

impl Work for Redact {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let mut without_fields = std::mem::take(&mut self.without_fields);
        let ended = self.apply_with(record, &mut without_fields, out);
        without_fields.clear();
        for buffer in [&mut self.current, &mut self.next, &mut self.decoded, &mut without_fields] {
            buffer.shrink_to(super::BUFFER_KEPT);
        }
        self.without_fields = without_fields;
        Ok(ended?)
    }
}

impl Redact {
    fn apply_with(&mut self, record: &[u8], buffer: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), Cause> {
        let record = match &self.rules.fields {
            None => record,
            Some(edits) => {
                buffer.clear();
                edits.apply(record, &(), &mut self.scratch, buffer)?;
                buffer
            }
        };
        let found = self.ready_made(record);
        if self.rules.patterns.is_empty() {
            out.extend_from_slice(if found { &self.current } else { record });
            return Ok(());
        }
        let start = out.len();
        let Self { rules, escaped, current, next, text, limit, .. } = self;
        if !found {
            current.clear();
            current.extend_from_slice(record);
        }
        let is_json = looks_like_json(current) && scan::document(current).is_ok();
        let replacement = if is_json { escaped.as_slice() } else { rules.replacement.as_bytes() };
        let mut changed = false;
        for pattern in &mut rules.patterns {
            if replace_pattern(as_text(current, text), pattern, replacement, *limit, next)? {
                std::mem::swap(current, next);
                changed = true;
            }
        }
        if changed && is_json && scan::document(current).is_err() {
            return Err(Cause::ReplacementBreaksJson);
        }
        out.truncate(start);
        out.extend_from_slice(current);
        Ok(())
    }
}

fn looks_like_json(record: &[u8]) -> bool {
    let record = record.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(record);
    matches!(record.get(scan::blanks(record, 0)), Some(b'{' | b'[' | b'"'))
}

/// Writes `text` to `out` with everything found replaced; whether there was anything.
fn replace(text: &[u8], kinds: Kinds, replacement: &[u8], out: &mut Vec<u8>) -> bool {
    let (mut search, mut copied) = (Search::new(kinds), 0);
    while let Some((start, end)) = search.next(text, copied) {
        out.extend_from_slice(&text[copied..start]);
        out.extend_from_slice(replacement);
        copied = end;
    }
    out.extend_from_slice(&text[copied..]);
    copied > 0
}

/// The same for a pattern of the operator's; nothing is written to `out` where nothing matches.
/// More than `limit` bytes are too many: each match may become much longer.
fn replace_pattern(
    text: &str,
    pattern: &mut Pattern,
    replacement: &[u8],
    limit: usize,
    out: &mut Vec<u8>,
) -> Result<bool, Cause> {
    let (mut copied, mut search, mut changed) = (0, 0, false);
    out.clear();
    pattern.begin(text);
    while let Some((start, end)) = pattern.find(text, search)? {
        if start == end {
            // Nothing is no secret.
            let Some(next) = text[end..].chars().next() else { break };
            search = end + next.len_utf8();
            continue;
        }
        out.extend_from_slice(&text.as_bytes()[copied..start]);
        out.extend_from_slice(replacement);
        (copied, search, changed) = (end, end, true);
        if out.len() > limit {
            return Err(Cause::TooLong { limit });
        }
    }
    out.extend_from_slice(&text.as_bytes()[copied..]);
    Ok(changed)
}

/// Whether a number of JSON is something that is looked for, also where it is written with an exponent, as many writers
/// of doubles do.
fn is_secret(number: &[u8], kinds: Kinds) -> bool {
    let mut digits = [0; detect::LONGEST_CARD];
    let found = |text: &[u8]| Search::new(kinds).next(text, 0).is_some();
    let mut written_out = || Decimal::parse(number)?.whole_digits(&mut digits).map(|length| found(&digits[..length]));
    found(number) || memchr::memchr2(b'e', b'E', number).is_some() && written_out().unwrap_or(false)
}

/// Writes valid JSON to `out` with everything found in its strings and numbers replaced; whether there was anything.
fn in_json(
    record: &[u8],
    rules: &Rules,
    escaped: &[u8],
    out: &mut Vec<u8>,
    decoded: &mut Vec<u8>,
    replaced: &mut Vec<u8>,
) -> bool {
    let (mut at, mut copied, mut changed) = (0, 0, false);
    while at < record.len() {
        match record[at] {
            b'"' => {
                let end = scan::string(record, at + 1).unwrap_or(record.len());
                let inside = &record[at + 1..end - 1];
                decoded.clear();
                print::decode(inside, decoded);
                replaced.clear();
                if replace(decoded, rules.kinds, rules.replacement.as_bytes(), replaced) {
                    out.extend_from_slice(&record[copied..=at]);
                    escape_utf8(out, replaced);
                    copied = end - 1;
                    changed = true;
                }
                at = end;
            }
            b'-' | b'0'..=b'9' => {
                let number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
                let end = record[at..].iter().position(|byte| !number(byte)).map_or(record.len(), |end| at + end);
                if is_secret(&record[at..end], rules.kinds) {
                    out.extend_from_slice(&record[copied..at]);
                    out.push(b'"');
                    out.extend_from_slice(escaped);
                    out.push(b'"');
                    copied = end;
                    changed = true;
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    if changed {
        out.extend_from_slice(&record[copied..]);
    }
    changed
}
