//! Positions that somebody else has saved, made into rows of ours with evidence taken from the files as they stand.
//! Promises that a row claims only what its file holds at this moment, and that files are read and never changed.
//! Leaves which position belongs to which file to whoever knows the other's book-keeping.

use super::begin::end_of_last_line;
use super::discover::name_of;
use super::identity::{self, Kind};
use super::names;
use datalake_base::record::{FileKey, Fingerprint, Position, SavedPosition};
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
        packed: names::packing(name_of(path)).is_some(),
    })
}

/// Whether the name is that of a rotation of `live`: the same with a number or a date.
#[must_use]
pub fn is_rotation(live: &Path, path: &Path) -> bool {
    names::is_rotation_of(name_of(live), name_of(path))
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
            return Err(io::Error::other(format!("it is only {} bytes long", status.size)));
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

#[cfg(test)]
mod tests {
    use super::*;

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
