//! ADDPROVENANCE: where a record comes from, added to JSON objects by splicing.
//! Promises that a record which is sent twice has the same host, file, generation, offset and length both times, and that
//! offset and //! length of the records of one life of a file, put in order, leave no gap where nothing was left out.
//! Leaves asking for gaps and duplicates to the lake.

use super::json::edit::{Additions, Edits, Scratch};
use super::json::{escape, quoted};
use super::template::PerFile;
use super::{Place, Stop, Work};
use datalake_base::record::FileKey;

/// The names, behind the prefix.
pub(super) const NAMES: [&str; 6] = ["host", "file", "file_id", "generation", "offset", "length"];

#[derive(Debug)]
pub(super) struct Provenance {
    /// Names as they stand between quotes.
    names: [Vec<u8>; 6],
    host: Vec<u8>,
    per_file: PerFile<File>,
    edits: Edits,
    scratch: Scratch,
}

/// What is the same for all records of a file, as JSON.
#[derive(Debug)]
struct File {
    path: Vec<u8>,
    id: Vec<u8>,
    generation: Vec<u8>,
}

/// The identity of a file as text: device, inode and birth, in hexadecimal.
fn identity(file: FileKey) -> String {
    format!("{:x}-{:x}-{:x}", file.device, file.inode, file.born)
}

impl Provenance {
    pub(super) fn new(prefix: &str, host: &str) -> Self {
        let name = |name: &str| {
            let mut quoted = quoted(&format!("{prefix}{name}"));
            quoted.pop();
            quoted.remove(0);
            quoted
        };
        Self {
            names: NAMES.map(name),
            host: quoted(host),
            per_file: PerFile::default(),
            edits: Edits::default(),
            scratch: Scratch::default(),
        }
    }
}

/// The values for one record.
struct Values<'a> {
    names: &'a [Vec<u8>; 6],
    host: &'a [u8],
    file: &'a File,
    offset: u64,
    length: u64,
}

impl Additions for Values<'_> {
    fn count(&self) -> usize {
        NAMES.len()
    }

    fn name(&self, index: usize) -> (&[u8], bool) {
        (&self.names[index], true)
    }

    fn value(&self, index: usize, out: &mut Vec<u8>) {
        match index {
            0 => out.extend_from_slice(self.host),
            1 => out.extend_from_slice(&self.file.path),
            2 => out.extend_from_slice(&self.file.id),
            3 => out.extend_from_slice(&self.file.generation),
            4 => decimal(self.offset, out),
            _ => decimal(self.length, out),
        }
    }
}

impl Work for Provenance {
    fn apply(&mut self, record: &[u8], place: &Place<'_>, out: &mut Vec<u8>) -> Result<(), Stop> {
        let Self { names, host, per_file, edits, scratch } = self;
        let file = per_file.get(place, || {
            let mut path = vec![b'"'];
            escape(&mut path, place.path.as_os_str().as_encoded_bytes());
            path.push(b'"');
            let generation = place.generation.map_or_else(|| b"null".to_vec(), |hash| quoted(&format!("{hash:016x}")));
            Ok(File { path, id: quoted(&identity(place.file)), generation })
        })?;
        let values = Values { names, host, file, offset: place.position.0, length: place.input };
        Ok(edits.apply(record, &values, scratch, out)?)
    }
}

/// Appends a number.
fn decimal(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
