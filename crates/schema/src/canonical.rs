//! JSON records made canonical: checked against the plan and written anew, in one pass over the bytes.
//! Promises that a record is either written whole or refused with byte and field, that the same message gives the same
//! line whichever of protobuf's forms it came in, and that nothing is allocated per record once the buffers have grown.
//! Leaves what becomes of refused records, and saying what was left out, to the caller.

/// Values of each kind.
mod values;

use crate::plan::{Kind, Plan, Scalar, Shape};
use datalake_base::json::{self, Members};
use std::collections::HashSet;
use std::sync::Arc;

/// Maximum number of unknown names that are remembered, so that each is reported once.
const NAMES_KEPT: usize = 256;
/// A longer unknown name is cut.
const NAME_SHOWN: usize = 80;

/// Why a record is none of the table's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[expect(missing_docs, reason = "the texts are the documentation")]
pub enum Refusal {
    #[error(transparent)]
    Json(#[from] json::Fault),
    #[error("not {wanted}")]
    NotA { wanted: &'static str },
    #[error("the number is out of the range of {kind}")]
    OutOfRange { kind: &'static str },
    #[error("the number is not whole")]
    NotWhole,
    #[error("no value of the enum")]
    NoSuchValue,
    #[error("the field or key stands twice")]
    Twice,
    #[error("another field of the same `oneof` is set too")]
    OneofTwice,
    #[error("null among the values of a list or map")]
    NullInside,
    #[error("half of a surrogate pair")]
    LoneSurrogate,
    #[error("a field that the schema does not have")]
    Unknown,
}

/// Where and why a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("byte {at}: {why}")]
pub struct Fault {
    /// Bytes from the beginning of the record.
    pub at: usize,
    /// What is wrong there.
    pub why: Refusal,
}

impl Fault {
    pub(crate) const fn new(at: usize, why: Refusal) -> Self {
        Self { at, why }
    }
}

fn at(place: usize) -> impl Fn(json::Fault) -> Fault {
    move |fault| match fault {
        json::Fault::Syntax { at } => Fault::new(at, Refusal::Json(fault)),
        _ => Fault::new(place, Refusal::Json(fault)),
    }
}

type Written<T> = Result<T, Fault>;

/// What was left out or changed beyond its form, since the last time somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Fields that the schema does not have.
    pub unknown: u64,
    /// NaN and infinities, written as null.
    pub not_numbers: u64,
    /// The names of unknown fields that were not named before.
    pub new_names: Vec<String>,
}

impl Notes {
    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unknown == 0 && self.not_numbers == 0
    }
}

/// The canonical lines of one table.
#[derive(Clone, Debug)]
pub struct Canonical {
    types: Arc<Types>,
    refuse_unknown: bool,
    state: State,
}

/// The plan, prepared.
#[derive(Debug)]
struct Types {
    plan: Plan,
    root: usize,
    digits: u8,
    messages: Vec<Layout>,
}

/// How one message is written.
#[derive(Debug)]
struct Layout {
    fields: Vec<Slot>,
    /// All names by which fields are known, sorted, with their fields.
    names: Vec<(Box<[u8]>, u16)>,
}

/// How one field is written.
#[derive(Debug)]
struct Slot {
    /// `,"name":`
    head: Box<[u8]>,
    name: Box<[u8]>,
    json_name: Box<[u8]>,
    kind: Kind,
    shape: Shape,
    oneof: Option<u16>,
    /// What is written when it is absent.
    default: Option<Box<[u8]>>,
}

impl Slot {
    /// Whether it holds one number that may be none.
    fn is_float(&self) -> bool {
        let float = Scalar::Double == self.scalar() || Scalar::Float == self.scalar();
        float && self.shape == Shape::One
    }

    fn scalar(&self) -> Scalar {
        match self.kind {
            Kind::Scalar(scalar) | Kind::Wrapper(scalar) => scalar,
            _ => Scalar::String,
        }
    }
}

/// Buffers, kept from record to record.
#[derive(Clone, Debug, Default)]
struct State {
    spans: Vec<Span>,
    keys: Vec<Span>,
    moved: Vec<u8>,
    decoded: Vec<u8>,
    /// Message and field, innermost first, of the last refusal.
    path: Vec<(usize, usize)>,
    notes: Notes,
    named: HashSet<Box<[u8]>>,
}

/// A part of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const ABSENT: Self = Self { start: u32::MAX, end: u32::MAX };
    /// It was there, as null.
    const NULL: Self = Self { start: u32::MAX, end: 0 };

    fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    const fn is_set(self) -> bool {
        self.start != u32::MAX
    }
}

/// What stands for an absent field that has no presence.
fn default_of(kind: Kind, plan: &Plan) -> Vec<u8> {
    match kind {
        Kind::Scalar(Scalar::Bool) => b"false".to_vec(),
        Kind::Scalar(Scalar::String | Scalar::Bytes) => b"\"\"".to_vec(),
        Kind::Scalar(_) => b"0".to_vec(),
        // The first value of an open enum is its zero.
        Kind::Enum(which) => {
            let name = plan.enums[which].name_of(0).unwrap_or(&plan.enums[which].values[0].0);
            format!("\"{name}\"").into_bytes()
        }
        _ => b"null".to_vec(),
    }
}

impl Types {
    fn new(plan: &Plan, root: usize, digits: u8) -> Self {
        let messages = plan.messages.iter().map(|message| {
            let mut names = Vec::new();
            let fields = message.fields.iter().enumerate().map(|(index, field)| {
                let index = u16::try_from(index).expect("a plan was checked");
                names.push((field.name.as_bytes().into(), index));
                if field.json_name != field.name {
                    names.push((field.json_name.as_bytes().into(), index));
                }
                let default = match field.shape {
                    Shape::List => Some(b"[]".to_vec()),
                    Shape::Map(_) => Some(b"{}".to_vec()),
                    Shape::One if field.presence => None,
                    Shape::One => Some(default_of(field.kind, plan)),
                };
                Slot {
                    head: format!(",\"{}\":", field.name).into_bytes().into(),
                    name: field.name.as_bytes().into(),
                    json_name: field.json_name.as_bytes().into(),
                    kind: field.kind,
                    shape: field.shape,
                    oneof: field.oneof,
                    default: default.map(Into::into),
                }
            });
            let fields = fields.collect();
            names.sort();
            Layout { fields, names }
        });
        let messages = messages.collect();
        Self { plan: plan.clone(), root, digits, messages }
    }
}

impl Layout {
    /// The field of a name, most likely the one at `expected`.
    #[inline]
    fn find(&self, name: &[u8], expected: usize) -> Option<usize> {
        if let Some(slot) = self.fields.get(expected)
            && (*slot.name == *name || *slot.json_name == *name)
        {
            return Some(expected);
        }
        let place = self.names.binary_search_by(|(known, _)| (**known).cmp(name)).ok()?;
        Some(usize::from(self.names[place].1))
    }
}

impl Canonical {
    /// For a table of a plan; `None` when the plan has none of this name. With `refuse_unknown`, a field that the schema
    /// does not have is a fault of the record; else it is left out and counted.
    #[must_use]
    pub fn new(plan: &Plan, table: &str, refuse_unknown: bool) -> Option<Self> {
        let table = plan.tables.get(table)?;
        let types = Arc::new(Types::new(plan, table.message, table.timestamp_digits));
        Some(Self { types, refuse_unknown, state: State::default() })
    }

    /// Appends the canonical line of a record (one JSON object and nothing else), newline included. On a fault nothing
    /// is appended.
    ///
    /// # Errors
    /// Where and why the record is none of the table's.
    pub fn write(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        self.write_object(record, out)?;
        out.push(b'\n');
        Ok(())
    }

    /// The same without the newline.
    ///
    /// # Errors
    /// Where and why the record is none of the table's.
    pub fn write_object(&mut self, record: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let start = out.len();
        self.state.spans.clear();
        self.state.keys.clear();
        self.state.path.clear();
        let types = self.types.clone();
        let refuse_unknown = self.refuse_unknown;
        let mut walk = Walk { types: &types, text: record, out, state: &mut self.state, depth: 0, refuse_unknown };
        let written = walk.document();
        if written.is_err() {
            out.truncate(start);
        }
        written
    }

    /// The field that the last refusal is about, such as `position.lat`; empty when it is about the record.
    #[must_use]
    pub fn path(&self) -> String {
        let name = |(message, field): &(usize, usize)| self.types.plan.messages[*message].fields[*field].name.as_str();
        self.state.path.iter().rev().map(name).collect::<Vec<_>>().join(".")
    }

    /// What was left out since this was asked last.
    pub fn take_notes(&mut self) -> Notes {
        std::mem::take(&mut self.state.notes)
    }

    /// The same without taking it.
    #[must_use]
    pub const fn notes(&self) -> &Notes {
        &self.state.notes
    }
}

/// One record under way.
struct Walk<'a> {
    types: &'a Types,
    text: &'a [u8],
    out: &'a mut Vec<u8>,
    state: &'a mut State,
    depth: usize,
    refuse_unknown: bool,
}

impl Walk<'_> {
    fn document(&mut self) -> Written<()> {
        if std::str::from_utf8(self.text).is_err() {
            return Err(Fault::new(0, Refusal::Json(json::Fault::NotText)));
        }
        let begin = if self.text.starts_with(b"\xEF\xBB\xBF") { 3 } else { 0 };
        let start = json::blanks(self.text, begin);
        if self.text.get(start) != Some(&b'{') {
            json::document(self.text).map_err(at(start))?;
            return Err(Fault::new(start, Refusal::Json(json::Fault::NotAnObject)));
        }
        let end = self.message(self.types.root, start)?;
        let rest = json::blanks(self.text, end);
        if rest < self.text.len() {
            return Err(Fault::new(rest, Refusal::Json(json::Fault::Syntax { at: rest })));
        }
        Ok(())
    }

    /// The message whose `{` stands at `start`: where it ends.
    fn message(&mut self, message: usize, start: usize) -> Written<usize> {
        let layout = &self.types.messages[message];
        let base = self.state.spans.len();
        self.state.spans.resize(base + layout.fields.len(), Span::ABSENT);
        let from = self.out.len();
        let mut members = Members::new(start);
        let mut expected = 0;
        self.depth += 1;
        let end = loop {
            let member = match members.next(self.text).map_err(at(start))? {
                Ok(member) => member,
                Err(end) => break end,
            };
            let raw = &self.text[member.start + 1..member.name_end - 1];
            let field = if memchr::memchr(b'\\', raw).is_none() {
                layout.find(raw, expected)
            } else {
                let mut decoded = std::mem::take(&mut self.state.decoded);
                let done = values::decode(raw, member.start + 1, &mut decoded);
                let field = done.map(|()| layout.find(&decoded, expected));
                self.state.decoded = decoded;
                field?
            };
            let Some(field) = field else {
                self.unknown(raw, member.start)?;
                members.ended(json::value(self.text, member.value, self.depth).map_err(at(member.value))?);
                continue;
            };
            expected = field + 1;
            let written = self.out.len();
            let (ended, is_null) = self.field(&layout.fields[field], member.value).inspect_err(|_| {
                self.state.path.push((message, field));
            })?;
            members.ended(ended);
            let span = if is_null { Span::NULL } else { self.span(written, member.start)? };
            if let Err(why) = set(layout, &mut self.state.spans[base..], field, span) {
                self.state.path.push((message, field));
                return Err(Fault::new(member.start, why));
            }
        };
        self.depth -= 1;
        self.arrange(layout, base, from);
        self.state.spans.truncate(base);
        Ok(end)
    }

    fn span(&self, from: usize, place: usize) -> Written<Span> {
        let part = |at: usize| u32::try_from(at).ok().filter(|at| *at < u32::MAX);
        match (part(from), part(self.out.len())) {
            (Some(start), Some(end)) => Ok(Span { start, end }),
            _ => Err(Fault::new(place, Refusal::NotA { wanted: "a record of less than 4 GiB" })),
        }
    }

    /// Puts the values, which stand in the order of the record from `from` on, into the order of the schema, with names
    /// and defaults.
    fn arrange(&mut self, layout: &Layout, base: usize, from: usize) {
        let State { spans, moved, .. } = &mut *self.state;
        moved.clear();
        moved.extend_from_slice(&self.out[from..]);
        self.out.truncate(from);
        self.out.push(b'{');
        let mut skip = 1;
        for (slot, span) in layout.fields.iter().zip(&spans[base..]) {
            let value = if span.is_set() {
                let range = span.range();
                &moved[range.start - from..range.end - from]
            } else if let Some(default) = &slot.default {
                default
            } else {
                continue;
            };
            self.out.extend_from_slice(&slot.head[skip..]);
            self.out.extend_from_slice(value);
            skip = 0;
        }
        self.out.push(b'}');
    }

    /// A field's value: where it ends, and whether it is null, which means unset; nothing is written then.
    #[inline]
    fn field(&mut self, slot: &Slot, start: usize) -> Written<(usize, bool)> {
        if self.text.get(start) == Some(&b'n') && !matches!((slot.kind, slot.shape), (Kind::Value, Shape::One)) {
            let end = json::word(self.text, start, b"null").map_err(at(start))?;
            // What NaN has become in a line that is canonical already stays what it is.
            let stays = slot.is_float() && slot.default.is_some();
            if stays {
                self.out.extend_from_slice(b"null");
            }
            return Ok((end, !stays));
        }
        let written = self.out.len();
        let end = match slot.shape {
            Shape::One => self.single(slot.kind, start)?,
            Shape::List => self.list(slot.kind, start)?,
            Shape::Map(key) => self.map(key, slot.kind, start)?,
        };
        // Where unset is null, NaN is unset.
        if slot.is_float() && slot.default.is_none() && self.out[written..] == *b"null" {
            self.out.truncate(written);
            return Ok((end, true));
        }
        Ok((end, false))
    }

    fn unknown(&mut self, raw: &[u8], place: usize) -> Written<()> {
        if self.refuse_unknown {
            return Err(Fault::new(place, Refusal::Unknown));
        }
        self.state.notes.unknown += 1;
        if self.state.named.len() < NAMES_KEPT && !self.state.named.contains(raw) {
            self.state.named.insert(raw.into());
            let name = String::from_utf8_lossy(raw).chars().take(NAME_SHOWN).collect();
            self.state.notes.new_names.push(name);
        }
        Ok(())
    }
}

/// Notes where the value of a field was written.
fn set(layout: &Layout, spans: &mut [Span], field: usize, span: Span) -> Result<(), Refusal> {
    if spans[field] != Span::ABSENT {
        return Err(Refusal::Twice);
    }
    if let Some(group) = layout.fields[field].oneof.filter(|_| span.is_set()) {
        let others = layout.fields.iter().zip(&*spans);
        if others.into_iter().any(|(slot, span)| slot.oneof == Some(group) && span.is_set()) {
            return Err(Refusal::OneofTwice);
        }
    }
    spans[field] = span;
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
