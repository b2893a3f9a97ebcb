//! ADDFIELDS, RENAMEFIELDS, REMOVEFIELDS: members of JSON objects, by splicing.
//! Promises that what is not edited stays as it came, byte by byte.
//! Leaves finding the places to edit.

use super::java::Pattern;
use super::json::edit::{Additions, Edits, Scratch};
use super::template::{PerFile, Template, path_groups};
use super::{Place, Stop, Work};

/// Edits that are the same for every record.
#[derive(Debug)]
pub(super) struct FixedEdits {
    edits: Edits,
    scratch: Scratch,
}

impl FixedEdits {
    pub(super) fn new(edits: Edits) -> Self {
        Self { edits, scratch: Scratch::default() }
    }
}

impl Work for FixedEdits {
    fn apply(&mut self, record: &[u8], _: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        Ok(self.edits.apply(record, &(), &mut self.scratch, out)?)
    }
}

/// A field to be added.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    /// As it stands between quotes.
    pub(super) name: Vec<u8>,
    pub(super) value: Template,
}

/// Fields that are to be there in the end.
#[derive(Debug)]
pub(super) struct AddFields {
    constants: Vec<Constant>,
    path_pattern: Option<Pattern>,
    /// Whether they take the place of fields of the same name.
    replace: bool,
    /// The values, as JSON.
    values: PerFile<Vec<Vec<u8>>>,
    edits: Edits,
    scratch: Scratch,
}

impl AddFields {
    /// `constants` hold no more holes that the start of the agent fills.
    pub(super) fn new(constants: Vec<Constant>, path_pattern: Option<Pattern>, replace: bool) -> Self {
        let (values, edits, scratch) = (PerFile::default(), Edits::default(), Scratch::default());
        Self { constants, path_pattern, replace, values, edits, scratch }
    }
}

struct Values<'a> {
    constants: &'a [Constant],
    values: &'a [Vec<u8>],
    replace: bool,
}

impl Additions for Values<'_> {
    fn count(&self) -> usize {
        self.constants.len()
    }

    fn name(&self, index: usize) -> (&[u8], bool) {
        (&self.constants[index].name, self.replace)
    }

    fn value(&self, index: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.values[index]);
    }
}

impl Work for AddFields {
    fn apply(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { constants, path_pattern, replace, values, edits, scratch } = self;
        let values = values.get(place, || {
            let groups = path_groups(path_pattern.as_mut(), place)?;
            let filled = constants.iter().map(|constant| {
                let mut value = Vec::new();
                constant.value.fill(place, groups.as_ref(), &mut value);
                value
            });
            Ok(filled.collect())
        })?;
        Ok(edits.apply(record, &Values { constants, values, replace: *replace }, scratch, out)?)
    }
}
