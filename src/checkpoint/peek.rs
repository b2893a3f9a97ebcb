//! The checkpoint as a command sees it: read beside a running agent, or when none runs.
//! Promises that nothing in the state folder is made, changed or locked, and that a row is believed only with its checksum.
//! Leaves what a row means to the caller.

use super::format1;
use super::rows::{self, FORMAT, Unreadable};
use super::store::{APPLICATION, FILE_NAME, contents_of};
use crate::saved::Remembered;
use datalake_base::shown::shown;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fmt::Write as _;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A writer may be in the way for this long.
const BUSY: Duration = Duration::from_millis(500);
/// The agent may start or stop while we look: then it is looked again.
const ATTEMPTS: usize = 3;

/// Why the checkpoint cannot be seen.
#[derive(Debug, thiserror::Error)]
pub enum PeekError {
    /// Not for this user.
    #[error("cannot read {}: {source}; run this as root, or as the user of the agent", shown(&path))]
    Closed {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A later version of the agent has written it.
    #[error("{} has format {found}, this program knows formats up to {FORMAT}; use the newer program", shown(&path))]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
    },
    /// It cannot be believed.
    #[error("cannot read {}: {reason}", shown(&path))]
    Unreadable {
        /// The database.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What is saved in this state folder; `None` where no agent has saved anything.
///
/// # Errors
/// When there is something, and it cannot be read or believed.
pub fn peek(folder: &Path) -> Result<Option<Remembered>, PeekError> {
    let path = folder.join(FILE_NAME);
    match rustix::fs::access(&path, rustix::fs::Access::READ_OK) {
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(PeekError::Closed { path, source: error.into() }),
        Ok(()) if path.is_file() => {}
        Ok(()) => return Err(PeekError::Unreadable { path, reason: "it is no regular file".to_owned() }),
    }
    let mut last = String::new();
    for _ in 0..ATTEMPTS {
        match look(&path) {
            Ok(Found::Nothing) => return Ok(None),
            Ok(Found::Newer(found)) => return Err(PeekError::Newer { path, found }),
            Ok(Found::Rows(remembered)) => return Ok(Some(*remembered)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(PeekError::Unreadable { path, reason: last })
}

enum Found {
    /// Not even tables.
    Nothing,
    Newer(i64),
    Rows(Box<Remembered>),
}

fn look(path: &Path) -> Result<Found, Unreadable> {
    let beside = |suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let log = std::fs::metadata(beside("-wal")).is_ok_and(|status| status.len() > 0);
    let shared = beside("-shm").exists();
    match (log, shared) {
        // A running agent, or one that was killed: its log is read as it is.
        (_, true) => read(&open(path, "mode=ro&readonly_shm=1")?),
        // It was stopped: all is in one file.
        (false, false) => read(&open(path, "mode=ro&immutable=1")?),
        // Somebody removed the index of the log. To make one, SQLite has to write: into a copy.
        (true, false) => Copy::of(path, &beside("-wal"))?.read(),
    }
}

/// Opens it by an address, in which every unusual byte is written as a number.
fn open(path: &Path, how: &str) -> rusqlite::Result<Connection> {
    let mut address = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => address.push(char::from(*byte)),
            other => write!(address, "%{other:02x}").unwrap_or_default(),
        }
    }
    write!(address, "?{how}").unwrap_or_default();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(address, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY)?;
    Ok(connection)
}

fn read(connection: &Connection) -> Result<Found, Unreadable> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    // One transaction: all rows are of the same moment.
    connection.execute_batch("BEGIN")?;
    let format = number("PRAGMA user_version")?;
    if format == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(Found::Nothing);
    }
    if number("PRAGMA application_id")? != APPLICATION || format < 1 {
        return Err(Unreadable::Structure("this database was not made by datalake-agent".to_owned()));
    }
    if format > FORMAT {
        return Ok(Found::Newer(format));
    }
    let started = rows::read_started(connection)?;
    let (contents, folders) = match format {
        1 => (contents_of(format1::read_positions(connection)?), Vec::new()),
        _ => (rows::read_contents(connection)?, rows::read_folders(connection)?),
    };
    let counters = rows::read_counters(connection).unwrap_or_default();
    Ok(Found::Rows(Box::new(Remembered { contents, folders, started, counters })))
}

/// A copy of database and log in a folder of our own, which goes with it.
struct Copy(PathBuf);

impl Copy {
    fn of(database: &Path, log: &Path) -> Result<Self, Unreadable> {
        let refused = |error: io::Error| Unreadable::Structure(error.to_string());
        let name = format!("datalake-agent-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let copy = Self(std::env::temp_dir().join(name));
        DirBuilder::new().mode(0o700).create(&copy.0).map_err(refused)?;
        std::fs::copy(database, copy.0.join(FILE_NAME)).map_err(refused)?;
        std::fs::copy(log, copy.0.join(format!("{FILE_NAME}-wal"))).map_err(refused)?;
        Ok(copy)
    }

    fn read(&self) -> Result<Found, Unreadable> {
        read(&Connection::open(self.0.join(FILE_NAME))?)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::update;
    use super::super::{Store, lock};
    use super::*;
    use crate::saved::{CheckpointUpdate, Counters};
    use std::collections::BTreeMap;

    fn positions(folder: &Path) -> Vec<u64> {
        let found = peek(folder).unwrap().unwrap();
        found.contents.iter().map(|saved| saved.row.position).collect()
    }

    /// Names, lengths and times of change of everything in the folder.
    fn state(folder: &Path) -> BTreeMap<std::ffi::OsString, (u64, std::time::SystemTime)> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let status = |entry: std::fs::DirEntry| (entry.file_name(), entry.metadata().unwrap());
        entries.map(status).map(|(name, status)| (name, (status.len(), status.modified().unwrap()))).collect()
    }

    #[test]
    fn a_look_changes_nothing_beside_a_running_agent_after_one_was_killed_and_after_one_was_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("a state? #1%");
        assert!(peek(&folder).unwrap().is_none(), "no folder is no error");
        let (mut store, _) = Store::open(&folder, &[], 1).unwrap();
        store.save(update(&[("s", 1, Some(10))])).unwrap();
        let before = state(&folder);
        assert_eq!(positions(&folder), [10]);
        assert_eq!(state(&folder), before, "beside a running agent");
        store.save(update(&[("s", 1, Some(20))])).unwrap();
        assert_eq!(positions(&folder), [20], "the agent goes on, and is followed");
        // What a killed agent leaves: all three files.
        let killed = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal", "-shm"] {
            let name = format!("{FILE_NAME}{suffix}");
            std::fs::copy(folder.join(&name), killed.path().join(&name)).unwrap();
        }
        let before = state(killed.path());
        assert_eq!(positions(killed.path()), [20]);
        assert_eq!(state(killed.path()), before, "after a kill");
        std::fs::remove_file(killed.path().join(format!("{FILE_NAME}-shm"))).unwrap();
        let before = state(killed.path());
        assert_eq!(positions(killed.path()), [20], "without its index");
        assert_eq!(state(killed.path()), before, "without its index");
        drop(store);
        let before = state(&folder);
        assert_eq!(positions(&folder), [20]);
        assert_eq!(state(&folder), before, "after a stop");
    }

    #[test]
    fn counters_come_back_and_one_that_another_hand_changed_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = Store::open(folder.path(), &[], 1).unwrap();
        let mut counters = Counters { since: 7, delivered: 100, destroyed: 5, ..Counters::default() };
        counters.limited_by[4] = 900;
        let of = |counters| CheckpointUpdate { counters: vec![("f".into(), counters)], ..CheckpointUpdate::default() };
        store.save(of(Counters::default())).unwrap();
        store.save(of(counters)).unwrap();
        assert_eq!(peek(folder.path()).unwrap().unwrap().counters["f"], counters);
        drop(store);
        let (store, remembered) = Store::open(folder.path(), &[], 1).unwrap();
        assert_eq!(remembered.counters["f"], counters, "a restart");
        drop(store);
        let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        let change = "UPDATE accounting SET counters = replace(counters, 'delivered_bytes=100', 'delivered_bytes=1')";
        assert_eq!(connection.execute(change, []).unwrap(), 1);
        drop(connection);
        assert!(peek(folder.path()).unwrap().unwrap().counters.is_empty());
    }

    #[test]
    fn a_foreign_database_is_an_error_and_an_empty_one_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE_NAME), b"").unwrap();
        assert!(peek(folder.path()).unwrap().is_none());
        std::fs::write(folder.path().join(FILE_NAME), b"no database at all, and rather long for one").unwrap();
        assert!(matches!(peek(folder.path()), Err(PeekError::Unreadable { .. })));
    }

    /// Root asks about a folder of the agent's user, who could have him wait for ever.
    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        for name in [lock::FILE_NAME, FILE_NAME] {
            let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600));
            rustix::fs::mknodat(rustix::fs::CWD, folder.path().join(name), kind, mode, 0).unwrap();
        }
        assert_eq!(lock::holder(folder.path()).ok().flatten(), None);
        assert!(matches!(peek(folder.path()), Err(PeekError::Unreadable { .. })));
    }
}
