//! The Kinesis Agent's saved positions, read out of its SQLite database.
//! Promises that the database is never written to, and that whatever lies in its place ends in rows or in a clear message.
//! Leaves which file a row is about to the placing.

use datalake_base::calendar::Civil;
use datalake_base::shown::shown;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A database with more in it than this is none of the Kinesis Agent's, which keeps one row a path and flow.
const LARGEST: u64 = 256 << 20;
/// So many rows are read.
const MOST_ROWS: usize = 100_000;
/// No path or flow is longer.
const LONGEST_TEXT: usize = 64 * 1024;
/// The Kinesis Agent may be writing at this moment.
const BUSY: Duration = Duration::from_secs(5);
/// What every SQLite database begins with.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// One row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRow {
    /// The flow's name there.
    pub flow: String,
    /// Where the file was when it was read.
    pub path: PathBuf,
    /// Device and inode, where they can be understood.
    pub file: Option<(u64, u64)>,
    /// Modification time of the file at the last look before it was read, in milliseconds since 1970.
    pub modified: u64,
    /// Size of the file at that look; may be smaller than `offset`.
    pub size: u64,
    /// Everything before it was accepted.
    pub offset: u64,
    /// When the row was written, in milliseconds since 1970; 0 where that cannot be understood.
    pub updated: u64,
}

/// What a database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OldPositions {
    /// The rows that can be used.
    pub rows: Vec<OldRow>,
    /// Why each of the others cannot.
    pub odd: Vec<String>,
}

/// Why there are no positions to be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file.
    #[error(
        "{} is not there; name the file that `checkpointFile` of the Kinesis Agent names with --checkpoints (the default \
         lies on a disk in memory, which a restart of the machine empties)", shown(&path)
    )]
    Missing {
        /// The database.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{} cannot be read: {source}; run this as a user who may", shown(&path))]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{} is not a checkpoint database of the Kinesis Agent: {reason}", shown(&path))]
    Other {
        /// The database.
        path: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// It is damaged.
    #[error(
        "{} is damaged: {reason}; without it nobody knows how far the files were sent: repair it with `sqlite3 {} .recover`, \
         or move without positions (--without-checkpoints)", shown(&path), shown(&path)
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        reason: String,
    },
}

/// Reads all rows.
///
/// # Errors
/// When the file is not there, cannot be read, or is no sound database of the Kinesis Agent.
pub fn read(path: &Path) -> Result<OldPositions, ReadError> {
    let header = header(path)?;
    // What an interrupted write left behind can only be undone by writing: then a copy is read.
    let through_a_copy = header.get(18..20) != Some(&[1, 1][..]);
    if !through_a_copy {
        match read_open(path, OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(rusqlite::Error::SqliteFailure(failure, _))
                if matches!(failure.code, ErrorCode::ReadOnly | ErrorCode::CannotOpen) => {}
            answer => return answer.map_err(|error| judged(path, &error)),
        }
    }
    let copy = Copied::of(path).map_err(|source| ReadError::Unreadable { path: path.to_owned(), source })?;
    read_open(&copy.database(), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(|error| judged(path, &error))
}

/// For fuzzing: whatever bytes lie where the database should be, reading them ends in rows or in a message, and leaves
/// them as they were.
///
/// # Panics
/// When that does not hold.
pub fn fuzz(folder: &Path, bytes: &[u8]) {
    let path = folder.join("checkpoints");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    match read(&path) {
        Ok(positions) => assert!(positions.rows.len() <= MOST_ROWS, "rows are bounded"),
        Err(error) => assert!(error.to_string().contains("checkpoints"), "a message names the file: {error}"),
    }
    assert_eq!(std::fs::read(&path).ok().as_deref(), Some(bytes), "the database was written to");
    let names = std::fs::read_dir(folder).map(Iterator::count).unwrap_or_default();
    assert_eq!(names, 1, "something was left beside the database");
}

/// The first bytes, which tell what the file is.
fn header(path: &Path) -> Result<Vec<u8>, ReadError> {
    let refused = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => ReadError::Missing { path: path.to_owned() },
        _ => ReadError::Unreadable { path: path.to_owned(), source },
    };
    let other = |reason: &str| ReadError::Other { path: path.to_owned(), reason: reason.to_owned() };
    let metadata = std::fs::metadata(path).map_err(refused)?;
    if !metadata.is_file() {
        return Err(other("it is no regular file"));
    }
    if metadata.len() > LARGEST {
        return Err(other("it is larger than 256 MiB"));
    }
    let mut header = Vec::new();
    File::open(path).and_then(|file| file.take(100).read_to_end(&mut header)).map_err(refused)?;
    match header.starts_with(MAGIC) {
        true => Ok(header),
        false if header.is_empty() => Err(other("it is empty")),
        false => Err(other("it is no SQLite database")),
    }
}

/// What an error of SQLite means for the operator.
fn judged(path: &Path, error: &rusqlite::Error) -> ReadError {
    let path = path.to_owned();
    let reason = error.to_string();
    match error {
        // "no such table", "no such column".
        rusqlite::Error::SqliteFailure(failure, _) if failure.code == ErrorCode::Unknown => {
            ReadError::Other { path, reason }
        }
        rusqlite::Error::QueryReturnedNoRows => {
            ReadError::Other { path, reason: "it has no table FILE_CHECKPOINTS".to_owned() }
        }
        _ => ReadError::Damaged { path, reason },
    }
}

fn read_open(path: &Path, flags: OpenFlags) -> rusqlite::Result<OldPositions> {
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(BUSY)?;
    // Nothing that the file itself brings along is run.
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON; PRAGMA cell_size_check = ON")?;
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(verdict),
        ));
    }
    // A view of that name could do anything.
    connection.query_row(
        "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND lower(name) = 'file_checkpoints'",
        [],
        |_| Ok(()),
    )?;
    let mut statement = connection.prepare(
        "SELECT flow, path, fileId, lastModifiedTime, size, \"offset\", lastUpdated FROM FILE_CHECKPOINTS LIMIT 100001",
    )?;
    let mut rows = statement.query([])?;
    let (mut positions, mut number) = (OldPositions::default(), 0);
    while let Some(row) = rows.next()? {
        number += 1;
        if number > MOST_ROWS {
            positions.odd.push(format!("there are more than {MOST_ROWS} rows; the rest was not looked at"));
            break;
        }
        match one(row)? {
            Ok(row) => positions.rows.push(row),
            Err(reason) => positions.odd.push(format!("row {number}: {reason}")),
        }
    }
    Ok(positions)
}

/// One row, or why it cannot be used.
fn one(row: &Row<'_>) -> rusqlite::Result<Result<OldRow, String>> {
    let text = |column: usize| -> rusqlite::Result<Option<String>> {
        Ok(match row.get_ref(column)? {
            ValueRef::Text(bytes) if bytes.len() <= LONGEST_TEXT => String::from_utf8(bytes.to_vec()).ok(),
            _ => None,
        })
    };
    let number = |column: usize| -> rusqlite::Result<Option<u64>> {
        Ok(match row.get_ref(column)? {
            ValueRef::Integer(number) => u64::try_from(number).ok(),
            ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()),
            _ => None,
        })
    };
    let (Some(flow), Some(path)) = (text(0)?, text(1)?) else {
        return Ok(Err("its flow or its path is no text".to_owned()));
    };
    let Some(offset) = number(5)?.filter(|offset| i64::try_from(*offset).is_ok()) else {
        return Ok(Err(format!("the offset of {path} is no position")));
    };
    Ok(Ok(OldRow {
        flow,
        path: path.into(),
        file: text(2)?.as_deref().and_then(file_id),
        modified: number(3)?.unwrap_or(0),
        size: number(4)?.unwrap_or(0),
        offset,
        updated: text(6)?.as_deref().and_then(milliseconds).unwrap_or(0),
    }))
}

/// `(dev=fd00,ino=1048587)`: the device hexadecimal, the inode decimal.
fn file_id(text: &str) -> Option<(u64, u64)> {
    let (device, inode) = text.strip_prefix("(dev=")?.strip_suffix(')')?.split_once(",ino=")?;
    Some((u64::from_str_radix(device, 16).ok()?, inode.parse().ok()?))
}

/// `2026-11-21 15:31:46.123`, in UTC, as milliseconds since 1970.
fn milliseconds(text: &str) -> Option<u64> {
    let (date, time) = text.trim().split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-').map(str::parse::<u32>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (time.next()?.parse::<u32>().ok()?, time.next()?.parse::<u32>().ok()?);
    let (second, fraction) = time.next().map(|rest| rest.split_once('.').unwrap_or((rest, "0")))?;
    let (second, thousandths) = (second.parse::<u32>().ok()?, format!("{fraction:0<3}"));
    let thousandths = thousandths.get(..3)?.parse::<u64>().ok()?;
    let seconds = Civil { year: year.into(), month, day, hour, minute, second }.seconds()?;
    Some(u64::try_from(seconds).ok()? * 1000 + thousandths)
}

/// A copy of the database and of what SQLite keeps beside it; gone when it is dropped.
struct Copied {
    folder: PathBuf,
}

impl Copied {
    fn of(path: &Path) -> std::io::Result<Self> {
        let name = format!("datalake-agent-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let folder = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let copied = Self { folder };
        std::fs::copy(path, copied.database())?;
        for suffix in ["-journal", "-wal"] {
            let beside = |path: &Path| {
                let mut name = path.as_os_str().to_owned();
                name.push(suffix);
                PathBuf::from(name)
            };
            if beside(path).is_file() {
                std::fs::copy(beside(path), beside(&copied.database()))?;
            }
        }
        Ok(copied)
    }

    fn database(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // It lies where temporary files lie; somebody else removes what stays.
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_a_hexadecimal_device_and_a_decimal_inode() {
        assert_eq!(file_id("(dev=fd00,ino=1048587)"), Some((0xfd00, 1_048_587)));
        for odd in ["", "(dev=,ino=1)", "(dev=1,ino=)", "(dev=1,ino=-1)", "dev=1,ino=2", "(ino=1,dev=2)"] {
            assert_eq!(file_id(odd), None, "{odd}");
        }
    }

    #[test]
    fn times_are_utc_with_milliseconds() {
        for (text, time) in [
            ("1970-01-01 00:00:00.000", Some(0)),
            ("2000-02-29 12:00:00.5", Some(951_825_600_500)),
            ("2026-11-21 15:31:46.123", Some(1_795_275_106_123)),
            ("2026-11-21T15:31:46", Some(1_795_275_106_000)),
            ("yesterday", None),
            ("2026-13-01 00:00:00.000", None),
            ("2026-11-21", None),
            ("99999999999-01-01 00:00:00", None),
        ] {
            assert_eq!(milliseconds(text), time, "{text}");
        }
    }
}
