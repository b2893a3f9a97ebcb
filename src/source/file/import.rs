//! Positions that somebody else has saved, made into rows of ours with evidence taken from the files as they stand.
//! Promises that a row claims only what its file holds at this moment, and that files are read and never changed.
//! Leaves which position belongs to which file to the part that knows how the other keeps them.

use super::discover::name_of;
use super::identity::{self, Kind};
use crate::saved::SavedPosition;
use datalake_base::record::{FileKey, Fingerprint, Position};
use datalake_base::units::counted;
use datalake_tail::names;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A regular file as the filesystem shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Where it was found.
    pub path: PathBuf,
    /// Which file it is.
    pub key: FileKey,
    /// Modification time, nanoseconds since 1970.
    pub modified: u64,
    /// Bytes in it.
    pub size: u64,
    /// Whether its name promises an archive that can be unpacked.
    pub packed: bool,
}

/// Where reading is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At this byte.
    At(u64),
    /// Behind its last whole line.
    LastLine,
    /// Nowhere: all of it is known, as that of an archive of what was sent before.
    Known,
}

/// The file that the path leads to, links followed; `None` when there is none or it is not a regular file.
#[must_use]
pub fn found(path: &Path) -> Option<Found> {
    let status = identity::of_path(path).ok().filter(|status| status.kind == Kind::Regular)?;
    Some(Found {
        path: path.to_owned(),
        key: status.key,
        modified: status.modified,
        size: status.size,
        packed: is_packed(name_of(path)),
    })
}

/// Whether the name is that of a rotation of `live`: the same with a number or a date.
#[must_use]
pub fn is_rotation(live: &Path, path: &Path) -> bool {
    names::is_kin(name_of(live), name_of(path))
}

/// Whether a line ends just before this byte, or the file begins there; `false` behind its end.
///
/// # Errors
/// When the file cannot be read.
pub fn ends_line(path: &Path, position: u64) -> io::Result<bool> {
    if position == 0 {
        return Ok(true);
    }
    Ok(identity::bytes_between(&File::open(path)?, position - 1, position)? == b"\n")
}

/// The row for this file and stream. `now` is milliseconds since 1970.
///
/// # Errors
/// When the file cannot be read, is no longer the one that was found, or is shorter than the position.
pub fn row(stream: &str, found: &Found, start: Start, now: u64) -> io::Result<SavedPosition> {
    let file = File::open(&found.path)?;
    let status = identity::of_file(&file)?;
    if status.key != found.key {
        return Err(io::Error::other("another file has taken its name in this moment"));
    }
    let head = || identity::head_bytes(&file).map(|bytes| Fingerprint::of(&bytes));
    let (position, frontier, head) = match start {
        // Of an archive that is done with, nothing stands before the position: so such a row is known again.
        Start::Known => (1, Fingerprint::default(), Fingerprint::default()),
        Start::At(0) => (0, Fingerprint::default(), Fingerprint::default()),
        Start::At(position) if position > status.size => {
            return Err(io::Error::other(format!("it is only {} long", counted(status.size, "byte"))));
        }
        Start::At(position) => (position, Fingerprint::of(&identity::bytes_before(&file, position)?), head()?),
        Start::LastLine => end_of_last_line(&file, status.size)?,
    };
    Ok(SavedPosition {
        stream: stream.to_owned(),
        file: status.key,
        path: found.path.clone(),
        position: Position(position),
        head,
        frontier_end: Position(position),
        frontier,
        size: status.size,
        changed: status.changed,
        saved_at: now,
    })
}

/// Whether the name is that of an archive that the other agent's rotations leave.
fn is_packed(name: &[u8]) -> bool {
    [b".gz".as_slice(), b".zst", b".bz2"].iter().any(|suffix| name.len() > suffix.len() && name.ends_with(suffix))
}

/// How far back a line that was begun is looked for.
const LONGEST_SEARCH: u64 = 64 * 1024 * 1024;

/// The position after the last newline, the bytes before it and the first bytes, as hashes.
pub(super) fn end_of_last_line(file: &File, size: u64) -> io::Result<(u64, Fingerprint, Fingerprint)> {
    let mut end = size;
    let lowest = size.saturating_sub(LONGEST_SEARCH);
    let position = loop {
        if end <= lowest {
            // No line ends in reach: a whole small file is one begun line; in a large one nothing else is to be had.
            break if lowest == 0 { 0 } else { size };
        }
        let bytes = identity::bytes_before(file, end)?;
        if bytes.is_empty() {
            break end;
        }
        if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
            break end - (bytes.len() - newline - 1) as u64;
        }
        end -= bytes.len() as u64;
    };
    let before = Fingerprint::of(&identity::bytes_before(file, position)?);
    Ok((position, before, Fingerprint::of(&identity::head_bytes(file)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_after_the_last_newline_wherever_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(5_000);
        for (content, position) in [
            (String::new(), 0),
            ("one\ntwo\n".into(), 8),
            ("one\ntwo".into(), 4),
            ("begun".into(), 0),
            (format!("one\n{long}"), 4),
            (long.clone(), 0),
        ] {
            std::fs::write(file.path(), &content).unwrap();
            let found = end_of_last_line(&File::open(file.path()).unwrap(), content.len() as u64).unwrap();
            assert_eq!(found.0, position, "{} bytes", content.len());
        }
    }

    #[test]
    fn a_row_holds_what_stands_before_its_position_and_nothing_behind_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        std::fs::write(&path, "one\ntwo\nthr").unwrap();
        let file = found(&path).unwrap();
        let at = |start| row("firehose:s", &file, start, 7);
        let four = at(Start::At(4)).unwrap();
        assert_eq!((four.position, four.frontier), (Position(4), Fingerprint::of(b"one\n")));
        assert_eq!(four.head, Fingerprint::of(b"one\ntwo\nthr"));
        assert_eq!(at(Start::LastLine).unwrap().position, Position(8));
        assert!(at(Start::At(12)).is_err());
        assert!(ends_line(&path, 8).unwrap() && !ends_line(&path, 9).unwrap() && !ends_line(&path, 99).unwrap());
    }

    #[test]
    fn a_file_that_was_replaced_gets_no_row() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.log");
        std::fs::write(&path, "one\n").unwrap();
        let file = found(&path).unwrap();
        std::fs::rename(&path, folder.path().join("app.log.1")).unwrap();
        std::fs::write(&path, "one\n").unwrap();
        assert!(row("firehose:s", &file, Start::At(4), 7).is_err());
        assert!(found(folder.path()).is_none(), "a folder is no file");
    }
}
