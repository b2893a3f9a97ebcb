//! TIMESTAMP: a point in time parsed out of a field and written as the lake reads it.
//! Promises ISO 8601 in UTC with the precision that was there; a year that a format leaves out is the one that makes
//! the moment the latest that is not after tomorrow.
//! Leaves the field as it is, unless it is its own target.

use super::json::edit::{self, Additions, Edits, Scratch, Tree};
use super::time::parse::{NoMoment, TimeFormat};
use super::time::write;
use super::{Cause, Place, Stop, Work};

#[derive(Debug)]
pub(super) struct Timestamp {
    format: TimeFormat,
    field: Tree<usize>,
    /// The name of the target, as it stands between quotes.
    into: Vec<u8>,
    value: Vec<u8>,
    name: Vec<u8>,
    edits: Edits,
    scratch: Scratch,
}

impl Timestamp {
    pub(super) fn new(format: TimeFormat, path: &[String], into: Vec<u8>) -> Self {
        let mut field = Tree::default();
        field.insert(path, 0);
        let (value, name, edits, scratch) = (Vec::new(), Vec::new(), Edits::default(), Scratch::default());
        Self { format, field, into, value, name, edits, scratch }
    }
}

struct Target<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl Additions for Target<'_> {
    fn count(&self) -> usize {
        1
    }

    fn name(&self, _: usize) -> (&[u8], bool) {
        (self.name, true)
    }

    fn value(&self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(self.value);
    }
}

impl Work for Timestamp {
    fn apply(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { format, field, into, value, name, edits, scratch } = self;
        let mut found = [None];
        edit::find(record, field, name, &mut found)?;
        let (start, end) = found[0].ok_or(Cause::NoSuchField)?;
        let raw = &record[start..end];
        let text = match raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) {
            Some(inside) => edit::decoded(inside, name),
            None => raw,
        };
        let moment = format.parse(text, place.now_ms).map_err(|no_moment| match no_moment {
            NoMoment::Format { at } => Cause::NotATime { at },
            NoMoment::Calendar => Cause::NoSuchTime,
        })?;
        value.clear();
        value.push(b'"');
        write(moment, value);
        value.push(b'"');
        Ok(edits.apply(record, &Target { name: into, value }, scratch, out)?)
    }
}
