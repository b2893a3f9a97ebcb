//! A row as the columns of the database.
//! Promises that a row comes back as it was, paths that are no text included. Leaves where columns lie to the database and to
//! the rows that wait for it.

use datalake_tail::{ContentId, Counted, FileKey, Proof, Row, SavedPlace, SavedState};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A row in the form in which the database keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns<'a> {
    pub(super) id: ContentId,
    pub(super) position: u64,
    pub(super) known: u64,
    pub(super) counted: Counted,
    pub(super) state: u8,
    pub(super) packing: u8,
    pub(super) home: &'a [u8],
    /// See [`encode_places`].
    pub(super) places: &'a [u8],
    /// See [`Proof::encode`].
    pub(super) proof: &'a [u8],
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row, places: &'a [u8], proof: &'a [u8]) -> Self {
        let Row { id, position, known, counted, state, packing, .. } = *row;
        let home = row.home.as_os_str().as_bytes();
        Self { id, position, known, counted, state: state.number(), packing, home, places, proof }
    }

    /// The row; `None` where a column holds what no agent has written.
    pub(super) fn row(&self) -> Option<Row> {
        Some(Row {
            id: self.id,
            home: OsString::from_vec(self.home.to_vec()).into(),
            position: self.position,
            known: self.known,
            state: SavedState::of_number(self.state)?,
            packing: self.packing,
            places: decode_places(self.places)?,
            proof: Proof::decode(self.proof)?,
            counted: self.counted,
        })
    }
}

/// Each place: the length of its path, the path, device, inode, birth, size, change time, packing, whether its stamps stood
/// still.
pub(super) fn encode_places(places: &[SavedPlace]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for place in places {
        let path = place.path.as_os_str().as_bytes();
        bytes.extend((path.len() as u64).to_le_bytes());
        bytes.extend(path);
        for number in [place.key.device, place.key.inode, place.key.born, place.size, place.changed] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend([place.packing, place.quiet.into()]);
    }
    bytes
}

pub(super) fn decode_places(mut bytes: &[u8]) -> Option<Vec<SavedPlace>> {
    fn number(bytes: &mut &[u8]) -> Option<u64> {
        let (first, rest) = bytes.split_first_chunk()?;
        *bytes = rest;
        Some(u64::from_le_bytes(*first))
    }
    // Nearly all files have one place.
    let mut places = Vec::with_capacity(1);
    while !bytes.is_empty() {
        let length = usize::try_from(number(&mut bytes)?).ok()?;
        let (path, rest) = bytes.split_at_checked(length)?;
        bytes = rest;
        let path: PathBuf = OsString::from_vec(path.to_vec()).into();
        let key = FileKey { device: number(&mut bytes)?, inode: number(&mut bytes)?, born: number(&mut bytes)? };
        let (size, changed) = (number(&mut bytes)?, number(&mut bytes)?);
        let ([packing, quiet], rest) = bytes.split_first_chunk()?;
        bytes = rest;
        let quiet = match quiet {
            0 => false,
            1 => true,
            _ => return None,
        };
        places.push(SavedPlace { path, key, size, changed, quiet, packing: *packing });
    }
    Some(places)
}
