//! The database file: opened, checked, written in whole transactions, moved aside when it is damaged.
//! Promises that it always opens to something that was saved as a whole, or to nothing and says so.
//! Leaves pace and retries to the keeper, columns to the rows.

use super::lock::Lock;
use super::pending::Pending;
use super::rows::{self, Unreadable};
use super::{Error, format1, private, rows::FORMAT};
use crate::saved::{CheckpointUpdate, Remembered, SavedContent, SavedPosition};
use crate::telemetry::{clock, ids};
use datalake_base::shown::shown;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior, ffi};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The name of the database in the state folder.
pub(super) const FILE_NAME: &str = "checkpoint.db";
/// Is there when the folder once held a checkpoint: then a missing database is a loss, not a first start.
const MARKER: &str = "state-folder-used";
const MARKER_TEXT: &str = "This folder has held saved positions. If checkpoint.db is missing beside this file, all \
                           matching files are read again from their beginning.\nRemove this file too and the next \
                           start counts as the very first one, for which initialPosition decides.\n";
/// `application_id` of our databases: "dlag".
pub(super) const APPLICATION: i64 = 0x646c_6167;
/// An operator's query may hold the database for so long before a write counts as failed.
const BUSY: Duration = Duration::from_millis(500);
/// The write-ahead log is moved into the database when it is longer than this.
const LONGEST_LOG: u64 = 1 << 20;
/// Small pages, because a settled call changes one row and writes the page that it is on.
const PAGE: i64 = 1024;
/// So many damaged databases are kept beside the live one.
const DAMAGED_KEPT: usize = 3;

/// The open checkpoint. Holds the lock of its folder.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// Device and inode of the file that `connection` writes to.
    file: (u64, u64),
    /// Whether a commit waits for the disk, as the connection is set now.
    durable: bool,
    _lock: Lock,
}

/// What an existing file turned out to be.
enum Found {
    Ours(Connection, Remembered),
    /// Of the first format, not rewritten yet.
    Old(Connection, Remembered),
    Empty(Connection),
    Damaged(String),
}

impl Store {
    /// Opens the checkpoint in `folder`, making both if they are not there, and reads it.
    ///
    /// `pairs` are the (stream, pattern) pairs that are about to run. Where the positions of an earlier run are
    /// lost (damaged file, deleted file), each of them counts as started before, so that the source reads its files
    /// from their beginning whatever `initialPosition` says: duplicates rather than loss. That is written to the new
    /// database at once, so it also holds when the process dies before it has saved anything else.
    /// `now` is milliseconds since 1970 and names a damaged file that is moved aside.
    ///
    /// # Errors
    /// `Folder` and `Database` when the folder cannot be used, `Held` when another agent uses it, `Newer` when a
    /// later version has written the file. A damaged file is not an error.
    pub fn open(folder: &Path, pairs: &[(String, String)], now: u64) -> Result<(Self, Remembered), Error> {
        private::make_folder(folder).map_err(|source| Error::Folder { path: folder.to_owned(), source })?;
        let lock = Lock::take(folder)?;
        private::tighten(folder);
        let path = folder.join(FILE_NAME);
        let marker = folder.join(MARKER);
        let (connection, remembered) = match look(&path)? {
            Found::Ours(connection, remembered) => (connection, remembered),
            Found::Old(connection, remembered) => rewrite(connection, &path, remembered)?,
            Found::Empty(connection) if marker.exists() => {
                tracing::error!(
                    message_id = ids::POSITIONS_LOST,
                    file = %shown(&path),
                    "the saved positions are gone although this state folder was used before; all matching files are \
                     read again from their beginning, so expect duplicates; to start afresh on purpose, remove {} \
                     as well", shown(&marker)
                );
                create(connection, &path, pairs)?
            }
            Found::Empty(connection) => create(connection, &path, &[])?,
            Found::Damaged(reason) => {
                let aside = move_aside(&path, now)?;
                tracing::error!(
                    message_id = ids::POSITIONS_LOST,
                    file = %shown(&path), reason, kept = %shown(&aside),
                    "the saved positions are damaged; all matching files are read again from their beginning, so \
                     expect duplicates; check the disk that holds the state folder"
                );
                match look(&path)? {
                    Found::Empty(connection) => create(connection, &path, pairs)?,
                    Found::Ours(..) | Found::Old(..) | Found::Damaged(_) => return Err(Error::Replaced { path }),
                }
            }
        };
        let refused = |source| Error::Database { path: path.clone(), action: "write to", source };
        rows::prepare_counters(&connection).map_err(refused)?;
        rows::complete(&connection).map_err(refused)?;
        mark(folder, &marker)?;
        let file = identity(&path).ok_or_else(|| Error::Replaced { path: path.clone() })?;
        Ok((Self { connection, path, file, durable: true, _lock: lock }, remembered))
    }

    /// Writes one update as one transaction: it is in the database as a whole, or not at all. On the disk when this
    /// returns. Rows that are there already word for word cost nothing.
    ///
    /// # Errors
    /// When it could not be written; the database is then as it was before, and another attempt may succeed.
    pub fn save(&mut self, update: CheckpointUpdate) -> Result<(), Error> {
        let mut pending = Pending::default();
        pending.merge(update);
        self.write(&pending, true).map(drop)
    }

    /// Takes positions over that somebody else has saved. Each replaces what is known of the content at the first place of
    /// the same file in `remembered`.
    ///
    /// # Errors
    /// As [`Store::save`].
    pub fn import(
        &mut self,
        positions: Vec<SavedPosition>,
        started: Vec<(String, String)>,
        remembered: &Remembered,
    ) -> Result<(), Error> {
        let mut update = CheckpointUpdate { started, ..CheckpointUpdate::default() };
        let newest = remembered.contents.iter().map(|saved| saved.row.id.0).max().unwrap_or(0);
        for SavedContent { stream, mut row, .. } in contents_of(positions) {
            let same_file = |saved: &&SavedContent| {
                let file = |row: &datalake_tail::Row| row.places.first().map(|place| place.key);
                saved.stream == stream && file(&saved.row) == file(&row)
            };
            row.id.0 = match remembered.contents.iter().find(same_file) {
                Some(known) => known.row.id.0,
                None => newest + row.id.0,
            };
            update.contents.push((stream, row.id, Some(row)));
        }
        self.save(update)
    }

    /// What is in the database.
    ///
    /// # Errors
    /// When it cannot be read, or what it holds is damaged.
    pub(super) fn remembered(&self) -> Result<Remembered, Error> {
        let refused = |source| Error::Database { path: self.path.clone(), action: "read", source };
        if identity(&self.path) != Some(self.file) {
            return Err(Error::Replaced { path: self.path.clone() });
        }
        everything(&self.connection, FORMAT).map_err(|unreadable| match unreadable {
            Unreadable::Sqlite(source) => refused(source),
            // Damaged under the running agent; a restart moves it aside and says so.
            Unreadable::Structure(_) | Unreadable::Checksum { .. } => Error::Replaced { path: self.path.clone() },
        })
    }

    /// As [`Store::save`], for merged updates; on the disk when this returns only if it is to be `durable`, else with
    /// the kernel, where a crash of this process does not reach it. Returns how many bytes were written.
    pub(super) fn write(&mut self, pending: &Pending, durable: bool) -> Result<u64, Error> {
        if identity(&self.path) != Some(self.file) {
            return Err(Error::Replaced { path: self.path.clone() });
        }
        let before = self.log_size();
        let mut write = || {
            // Set only when it changes: the words of a pragma are parsed anew each time.
            if self.durable != durable {
                let synchronous = if durable { "FULL" } else { "NORMAL" };
                self.connection.pragma_update(None, "synchronous", synchronous)?;
                self.durable = durable;
            }
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let now = clock::now_ms();
            for (stream, id, row) in pending.rows.iter() {
                match row {
                    Some(row) => rows::save_columns(&transaction, stream, &row, now)?,
                    None => rows::forget(&transaction, stream, id)?,
                };
            }
            for ((stream, path), held) in &pending.folders {
                rows::save_folder(&transaction, stream, path, held.as_deref())?;
            }
            for (stream, pattern) in &pending.started {
                rows::start(&transaction, stream, pattern)?;
            }
            for (flow, counters) in &pending.counters {
                rows::save_counters(&transaction, flow, counters)?;
            }
            transaction.commit()
        };
        write().map_err(|source| Error::Database { path: self.path.clone(), action: "write to", source })?;
        let after = self.log_size();
        let mut written = after.saturating_sub(before);
        if after > LONGEST_LOG {
            written += self.move_log()?;
        }
        Ok(written)
    }

    /// Brings on the disk what was written so far.
    pub(super) fn sync(&self) -> Result<(), Error> {
        let log = self.log_path();
        match File::open(&log).and_then(|file| file.sync_data()) {
            // All of it has been moved into the database, which syncs both.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(Error::Folder { path: log, source }),
            Ok(()) => Ok(()),
        }
    }

    /// Moves what the log holds into the database and empties it. Returns how many bytes that wrote. While somebody else
    /// reads the database it does what it can; the next write tries again.
    fn move_log(&self) -> Result<u64, Error> {
        let refused = |source| Error::Database { path: self.path.clone(), action: "write to", source };
        let pages: i64 =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(2)).map_err(refused)?;
        let page: i64 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0)).map_err(refused)?;
        Ok(pages.max(0).cast_unsigned().saturating_mul(page.cast_unsigned()))
    }

    fn log_size(&self) -> u64 {
        std::fs::metadata(self.log_path()).map_or(0, |status| status.len())
    }

    fn log_path(&self) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push("-wal");
        path.into()
    }
}

/// Opens the file, or makes an empty one, and decides what it is.
fn look(path: &Path) -> Result<Found, Error> {
    let refused = |source| Error::Database { path: path.to_owned(), action: "open", source };
    // Made here, because SQLite would make it for everybody; what it makes beside it takes the mode of this one.
    match private::open().write(true).create_new(true).open(path) {
        Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::Folder { path: path.to_owned(), source });
        }
        _ => {}
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(refused)?;
    connection.busy_timeout(BUSY).map_err(refused)?;
    if connection.is_readonly("main").map_err(refused)? {
        let source = std::io::ErrorKind::PermissionDenied.into();
        return Err(Error::Folder { path: path.to_owned(), source });
    }
    match read(&connection, path) {
        Ok(Some((FORMAT, remembered))) => Ok(Found::Ours(connection, remembered)),
        Ok(Some((_, remembered))) => Ok(Found::Old(connection, remembered)),
        Ok(None) => Ok(Found::Empty(connection)),
        Err(Obstacle::Refused(error)) => Err(error),
        Err(Obstacle::Content(Unreadable::Sqlite(error))) if !is_damage(&error) => Err(refused(error)),
        Err(Obstacle::Content(unreadable)) => Ok(Found::Damaged(unreadable.to_string())),
    }
}

/// Why a file that could be opened could not be read.
enum Obstacle {
    Refused(Error),
    Content(Unreadable),
}

impl<E: Into<Unreadable>> From<E> for Obstacle {
    fn from(error: E) -> Self {
        Self::Content(error.into())
    }
}

/// The format of the database and everything in it; `None` when there is nothing in it, not even tables.
fn read(connection: &Connection, path: &Path) -> Result<Option<(i64, Remembered)>, Obstacle> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    // The log of WAL is moved into the database by us, which lets us count what that costs.
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -256;
         PRAGMA wal_autocheckpoint = 0;"
    ))?;
    let format = number("PRAGMA user_version")?;
    if format == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(None);
    }
    if number("PRAGMA application_id")? != APPLICATION || format < 1 {
        return Err(Unreadable::Structure("this database was not made by datalake-agent".to_owned()).into());
    }
    if format > FORMAT {
        return Err(Obstacle::Refused(Error::Newer { path: path.to_owned(), found: format, known: FORMAT }));
    }
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(Unreadable::Structure(verdict).into());
    }
    Ok(Some((format, everything(connection, format)?)))
}

/// All rows.
fn everything(connection: &Connection, format: i64) -> Result<Remembered, Unreadable> {
    let started = rows::read_started(connection)?;
    let (contents, folders) = match format {
        1 => (contents_of(format1::read_positions(connection)?), Vec::new()),
        _ => (rows::read_contents(connection)?, rows::read_folders(connection)?),
    };
    // They are for people; without them the positions are as good.
    let counters = rows::read_counters(connection).unwrap_or_default();
    Ok(Remembered { contents, folders, started, counters })
}

/// Whether SQLite complains about the content of the file, and not about the circumstances.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::TypeMismatch)
                || matches!(failure.extended_code, ffi::SQLITE_IOERR_READ | ffi::SQLITE_IOERR_CORRUPTFS)
                // "no such table", "no such column", "malformed database schema".
                || failure.extended_code == ffi::SQLITE_ERROR
        }
        _ => true,
    }
}

/// Positions of files as contents, numbered anew.
pub(crate) fn contents_of(positions: Vec<SavedPosition>) -> Vec<SavedContent> {
    let mut numbers: HashMap<String, (Arc<str>, u64)> = HashMap::new();
    let content = |position: SavedPosition| {
        let next = || (position.stream.as_str().into(), 0);
        let (stream, number) = numbers.entry(position.stream.clone()).or_insert_with(next);
        *number += 1;
        let (stream, saved_at) = (stream.clone(), position.saved_at);
        SavedContent { stream, saved_at, row: format1::content(position, *number) }
    };
    positions.into_iter().map(content).collect()
}

/// Makes the tables of this format in place of those of the first; all or nothing.
fn rewrite(mut connection: Connection, path: &Path, remembered: Remembered) -> Result<(Connection, Remembered), Error> {
    let mut rewrite = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch("DROP TABLE positions;")?;
        transaction.execute_batch(rows::SCHEMA)?;
        for saved in &remembered.contents {
            rows::save(&transaction, &saved.stream, &saved.row, saved.saved_at)?;
        }
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    rewrite().map_err(|source| Error::Database { path: path.to_owned(), action: "rewrite", source })?;
    tracing::info!(
        file = %path.display(), positions = remembered.contents.len(),
        "the saved positions of an earlier version are taken over; that version cannot read them any more"
    );
    Ok((connection, remembered))
}

/// Makes the tables; with `started` in the same transaction.
fn create(
    mut connection: Connection,
    path: &Path,
    started: &[(String, String)],
) -> Result<(Connection, Remembered), Error> {
    let mut fill = || {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(rows::SCHEMA)?;
        transaction.execute_batch(rows::STARTED)?;
        transaction.execute_batch(rows::ACCOUNTING)?;
        for (stream, pattern) in started {
            rows::start(&transaction, stream, pattern)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.commit()
    };
    fill().map_err(|source| Error::Database { path: path.to_owned(), action: "make", source })?;
    Ok((connection, Remembered { started: started.to_vec(), ..Remembered::default() }))
}

/// Leaves the sign that this folder has held positions.
fn mark(folder: &Path, marker: &Path) -> Result<(), Error> {
    if marker.exists() {
        return Ok(());
    }
    let made = private::open().write(true).create(true).truncate(true).open(marker);
    let written = made.and_then(|mut file| file.write_all(MARKER_TEXT.as_bytes()));
    match written.and_then(|()| File::open(folder)?.sync_all()) {
        // Without room for it only a deletion of the database would go unnoticed.
        Err(source) if source.kind() != std::io::ErrorKind::StorageFull => {
            Err(Error::Folder { path: marker.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Renames the database and what SQLite keeps beside it; the oldest of earlier ones make room.
fn move_aside(path: &Path, now: u64) -> Result<PathBuf, Error> {
    let beside = |name: String| path.with_file_name(name);
    let aside = beside(format!("{FILE_NAME}.corrupt-{now}"));
    for suffix in ["", "-wal", "-shm"] {
        let from = beside(format!("{FILE_NAME}{suffix}"));
        let to = beside(format!("{FILE_NAME}.corrupt-{now}{suffix}"));
        match std::fs::rename(&from, to) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::Folder { path: from, source });
            }
            _ => {}
        }
    }
    let prefix = format!("{FILE_NAME}.corrupt-");
    let mut kept: Vec<PathBuf> = path
        .parent()
        .and_then(|folder| std::fs::read_dir(folder).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(prefix.as_bytes())))
        .collect();
    kept.sort();
    kept.retain(|path| !path.as_os_str().as_encoded_bytes().ends_with(b"-wal"));
    kept.retain(|path| !path.as_os_str().as_encoded_bytes().ends_with(b"-shm"));
    for old in kept.iter().rev().skip(DAMAGED_KEPT) {
        for suffix in ["", "-wal", "-shm"] {
            let mut name = old.clone().into_os_string();
            name.push(suffix);
            // Only tidiness: one that cannot be removed harms nobody.
            std::fs::remove_file(name).ok();
        }
    }
    Ok(aside)
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// For fuzzing: whatever bytes lie where the database should be, opening ends in a store or in an error, never in a
/// panic, and a store that opens can be written to.
///
/// # Panics
/// When that does not hold.
pub fn fuzz_database(folder: &Path, bytes: &[u8]) {
    if std::fs::write(folder.join(FILE_NAME), bytes).is_err() {
        return;
    }
    let pair = ("firehose:fuzz".to_owned(), "/fuzz/*".to_owned());
    match Store::open(folder, std::slice::from_ref(&pair), 1) {
        Ok((mut store, _)) => {
            let update = CheckpointUpdate { started: vec![pair], ..CheckpointUpdate::default() };
            assert!(store.save(update).is_ok(), "an opened store takes a row");
        }
        Err(error) => assert!(matches!(error, Error::Newer { .. }), "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{row, update};
    use super::*;
    use crate::checkpoint::test_log::logged;
    use datalake_tail::ContentId;
    use std::os::unix::fs::PermissionsExt;

    fn pair(pattern: &str) -> (String, String) {
        ("firehose:s".to_owned(), pattern.to_owned())
    }

    /// Stream, number and position of each content.
    fn positions(remembered: &Remembered) -> Vec<(&str, u64, u64)> {
        remembered.contents.iter().map(|saved| (&*saved.stream, saved.row.id.0, saved.row.position)).collect()
    }

    fn open(folder: &Path) -> (Store, Remembered) {
        Store::open(folder, &[pair("/logs/*")], 1).unwrap()
    }

    /// A folder whose checkpoint holds `count` rows and one started pair.
    fn used_folder(count: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path());
        let rows: Vec<_> = (0..count).map(|id| ("firehose:s", id, Some(id * 10))).collect();
        store.save(update(&rows)).unwrap();
        store.save(CheckpointUpdate { started: vec![pair("/logs/*")], ..Default::default() }).unwrap();
        folder
    }

    #[test]
    fn what_was_saved_is_remembered_and_what_was_forgotten_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, remembered) = open(folder.path());
        assert!(remembered.contents.is_empty() && remembered.started.is_empty(), "a first start knows nothing");
        store.save(update(&[("a", 1, Some(10)), ("a", 2, Some(20)), ("b", 1, Some(30))])).unwrap();
        let folder_row = |held: Option<Vec<u64>>| ("a".into(), PathBuf::from("/l"), held);
        let update = CheckpointUpdate {
            started: vec![pair("/x/*")],
            folders: vec![folder_row(Some(vec![7, 9]))],
            ..update(&[("a", 1, Some(15)), ("a", 2, None)])
        };
        store.save(update).unwrap();
        drop(store);
        let (mut store, remembered) = open(folder.path());
        assert_eq!(positions(&remembered), [("a", 1, 15), ("b", 1, 30)]);
        assert_eq!(remembered.contents[0].row, row(1, 15));
        assert_eq!(remembered.started, [pair("/x/*")]);
        assert_eq!(remembered.folders[0].1.held, [7, 9]);
        store.save(CheckpointUpdate { folders: vec![folder_row(None)], ..Default::default() }).unwrap();
        drop(store);
        assert!(open(folder.path()).1.folders.is_empty());
    }

    /// A state folder as the agent of the first format left it.
    fn folder_of_format_1(rows: &[SavedPosition]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        connection.execute_batch("PRAGMA journal_mode = WAL;").unwrap();
        connection.execute_batch(format1::tests::SCHEMA).unwrap();
        rows.iter().for_each(|row| format1::tests::write(&connection, row));
        rows::start(&connection, "firehose:s", "/logs/*").unwrap();
        connection.pragma_update(None, "application_id", APPLICATION).unwrap();
        connection.pragma_update(None, "user_version", 1).unwrap();
        folder
    }

    fn old_row(inode: u64, position: u64) -> SavedPosition {
        use datalake_base::record::{FileKey, Fingerprint, Position};
        SavedPosition {
            stream: "firehose:s".to_owned(),
            file: FileKey { device: 2049, inode, born: 17 },
            path: format!("/logs/{inode}.log").into(),
            position: Position(position),
            head: Fingerprint::of(b"first line\n"),
            frontier_end: Position(position),
            frontier: Fingerprint::of(b"last line\n"),
            size: position + 7,
            changed: 18,
            saved_at: 1_700_000_000_000,
        }
    }

    #[test]
    fn positions_of_the_first_format_are_taken_over_once_and_whole() {
        let folder = folder_of_format_1(&[old_row(4, 40), old_row(5, 50)]);
        let (text, (store, remembered)) = logged(|| open(folder.path()));
        assert!(text.contains("are taken over"), "{text}");
        assert_eq!(positions(&remembered), [("firehose:s", 1, 40), ("firehose:s", 2, 50)]);
        assert_eq!(remembered.contents[1].row.places[0].key.inode, 5);
        assert_eq!(remembered.contents[1].saved_at, 1_700_000_000_000);
        assert_eq!(remembered.started, [pair("/logs/*")]);
        drop(store);
        let (text, (_, again)) = logged(|| open(folder.path()));
        assert_eq!((text.as_str(), again.contents), ("", remembered.contents));
    }

    #[test]
    fn a_row_of_the_first_format_that_another_hand_changed_is_not_believed() {
        let folder = folder_of_format_1(&[old_row(4, 40)]);
        let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        connection.execute("UPDATE positions SET position = position + 1", []).unwrap();
        drop(connection);
        let (text, (_, remembered)) = logged(|| open(folder.path()));
        assert!(text.contains("checksum") && remembered.contents.is_empty(), "{text}");
        assert_eq!(remembered.started, [pair("/logs/*")]);
    }

    #[test]
    fn an_imported_position_replaces_that_of_the_same_file_and_no_other() {
        let folder = folder_of_format_1(&[old_row(4, 40), old_row(5, 50)]);
        let (mut store, remembered) = open(folder.path());
        store.import(vec![old_row(5, 90), old_row(6, 60)], Vec::new(), &remembered).unwrap();
        drop(store);
        let found = open(folder.path()).1;
        assert_eq!(positions(&found), [("firehose:s", 1, 40), ("firehose:s", 2, 90), ("firehose:s", 4, 60)]);
        assert_eq!(found.contents[2].row.id, ContentId(4));
    }

    #[test]
    fn a_deleted_database_in_a_used_folder_counts_every_pair_as_started_and_says_so() {
        let folder = used_folder(3);
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        let (text, (store, remembered)) = logged(|| open(folder.path()));
        assert!(text.contains("are gone") && text.contains("ERROR"), "{text}");
        assert_eq!((remembered.contents.len(), remembered.started), (0, vec![pair("/logs/*")]));
        drop(store);
        let (text, (_, remembered)) = logged(|| open(folder.path()));
        assert_eq!(remembered.started, [pair("/logs/*")], "that survives an early death");
        assert_eq!(text, "", "and is said once");
    }

    #[test]
    fn removing_the_marker_too_makes_it_a_first_start() {
        let folder = used_folder(3);
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        std::fs::remove_file(folder.path().join(MARKER)).unwrap();
        let (text, (_, remembered)) = logged(|| open(folder.path()));
        assert_eq!((text.as_str(), remembered.started.len()), ("", 0));
    }

    #[test]
    fn a_newer_format_is_refused_and_left_alone() {
        let folder = used_folder(3);
        let path = folder.path().join(FILE_NAME);
        Connection::open(&path).unwrap().pragma_update(None, "user_version", FORMAT + 1).unwrap();
        let before = std::fs::read(&path).unwrap();
        let refusal = Store::open(folder.path(), &[], 1).unwrap_err();
        assert!(matches!(refusal, Error::Newer { found, known, .. } if found == known + 1), "{refusal}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn somebody_elses_database_is_moved_aside_and_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let other = Connection::open(folder.path().join(FILE_NAME)).unwrap();
        other.execute_batch("CREATE TABLE FILE_CHECKPOINTS(flow TEXT); PRAGMA user_version = 1").unwrap();
        drop(other);
        let (text, (_, remembered)) = logged(|| open(folder.path()));
        assert!(text.contains("not made by datalake-agent"), "{text}");
        assert_eq!(remembered.started, [pair("/logs/*")]);
        let kept = Connection::open(folder.path().join("checkpoint.db.corrupt-1")).unwrap();
        assert!(kept.prepare("SELECT flow FROM FILE_CHECKPOINTS").is_ok());
    }

    #[test]
    fn flipped_bytes_and_cut_ends_never_panic_and_never_yield_a_row_that_was_not_saved() {
        let seed = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1_u64);
        let folder = used_folder(40);
        let intact = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
        let saved = open(folder.path()).1;
        // When a row was written is for people, and not guarded.
        let content = |remembered: &Remembered| -> Vec<_> {
            remembered.contents.iter().map(|saved| (saved.stream.clone(), saved.row.clone())).collect()
        };
        let (mut moved, mut unharmed) = (0, 0);
        for case in seed..seed + 150 {
            let mut random = fastrand::Rng::with_seed(case);
            let mut bytes = intact.clone();
            if random.bool() {
                bytes.truncate(random.usize(1..intact.len()));
            } else {
                for _ in 0..random.usize(1..20) {
                    let place = random.usize(..bytes.len());
                    bytes[place] ^= random.u8(1..);
                }
            }
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(FILE_NAME), &bytes).unwrap();
            let (text, opened) = logged(|| Store::open(folder.path(), &[pair("/logs/*")], case));
            let (mut store, remembered) = match opened {
                Ok(opened) => opened,
                // A flip in the format number itself: refused, and nothing touched.
                Err(Error::Newer { .. }) => continue,
                Err(error) => panic!("seed {case}: {error}"),
            };
            if text.contains("are damaged") {
                moved += 1;
                assert_eq!((remembered.contents.len(), remembered.started.len()), (0, 1), "seed {case}");
                let aside = folder.path().join(format!("{FILE_NAME}.corrupt-{case}"));
                assert!(aside.exists(), "seed {case}: the damaged file was not kept");
            } else {
                unharmed += 1;
                assert!(content(&remembered) == content(&saved), "seed {case}: damage was believed");
                assert_eq!(remembered.started, saved.started, "seed {case}: damage was believed");
            }
            store.save(update(&[("s", 1, Some(1))])).unwrap_or_else(|error| panic!("seed {case}: {error}"));
        }
        assert!(moved > 50, "only {moved} of the cases did any damage ({unharmed} did none)");
    }

    #[test]
    fn a_torn_write_ahead_log_costs_its_newest_transactions_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let (mut store, _) = open(folder.path());
        for position in 1..=20 {
            store.save(update(&[("s", 1, Some(position)), ("s", 2, Some(position))])).unwrap();
        }
        let log = std::fs::read(folder.path().join("checkpoint.db-wal")).unwrap();
        let database = std::fs::read(folder.path().join(FILE_NAME)).unwrap();
        let (mut newest, mut states) = (0, std::collections::BTreeSet::new());
        for cut in (0..log.len()).step_by(1777).chain([log.len()]) {
            let copy = tempfile::tempdir().unwrap();
            std::fs::write(copy.path().join(FILE_NAME), &database).unwrap();
            std::fs::write(copy.path().join("checkpoint.db-wal"), &log[..cut]).unwrap();
            let (_, remembered) = open(copy.path());
            let positions: Vec<_> = remembered.contents.iter().map(|saved| saved.row.position).collect();
            assert!(positions.windows(2).all(|pair| pair[0] == pair[1]), "cut at {cut}: torn: {positions:?}");
            let held = positions.first().copied().unwrap_or(0);
            assert!(held >= newest, "cut at {cut}: a longer log holds less");
            newest = held;
            states.insert(held);
        }
        assert!(newest == 20 && states.len() > 10, "the cuts went through {states:?} only");
    }

    #[test]
    fn only_the_newest_damaged_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for now in 1..=5 {
            std::fs::write(folder.path().join(FILE_NAME), b"no database").unwrap();
            Store::open(folder.path(), &[], now).unwrap();
        }
        let kept = |now| folder.path().join(format!("checkpoint.db.corrupt-{now}")).exists();
        assert_eq!([1, 2, 3, 4, 5].map(kept), [false, false, true, true, true]);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_refused_with_its_name() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let refusal = Store::open(&file.join("state"), &[], 1).unwrap_err();
        assert!(matches!(refusal, Error::Folder { .. }) && refusal.to_string().contains("file/state"), "{refusal}");
        // A link into a filesystem where nobody can make files, root included.
        let refusal = Store::open(Path::new("/proc/self"), &[], 1).unwrap_err();
        assert!(matches!(refusal, Error::Folder { .. }), "{refusal}");
    }

    #[test]
    fn a_folder_without_write_permission_is_refused_with_its_name() {
        if rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: root may write everywhere; the read-only mount in tests/checkpoint_crash.rs covers it");
            return;
        }
        let folder = used_folder(1);
        std::fs::set_permissions(folder.path().join(FILE_NAME), PermissionsExt::from_mode(0o400)).unwrap();
        let refusal = Store::open(folder.path(), &[], 1).unwrap_err();
        assert!(matches!(refusal, Error::Folder { .. }), "{refusal}");
    }

    #[test]
    fn a_database_removed_under_the_running_agent_is_noticed_at_the_next_write() {
        let folder = used_folder(1);
        let (mut store, _) = open(folder.path());
        std::fs::remove_file(folder.path().join(FILE_NAME)).unwrap();
        assert!(matches!(store.save(update(&[("s", 1, Some(1))])), Err(Error::Replaced { .. })));
    }

    #[test]
    fn whatever_lies_in_place_of_the_database_opening_it_ends_well() {
        let used = used_folder(5);
        let real = std::fs::read(used.path().join(FILE_NAME)).unwrap();
        for bytes in [&b""[..], b"x", b"SQLite format 3\0", &[0; 4096], &real, &real[..100], &real[..1024]] {
            fuzz_database(tempfile::tempdir().unwrap().path(), bytes);
        }
    }
}
