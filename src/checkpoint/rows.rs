//! Rows as they lie in the database: what each column means, and the checksum that guards it.
//! Promises that a row that was changed by anything but the agent is noticed before it is believed.
//! Leaves transactions to the store.

use datalake_base::record::{FileKey, Fingerprint, Position, SavedPosition};
use rusqlite::{Connection, Row, params};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The format that this agent writes, kept as `user_version`.
pub(super) const FORMAT: i64 = 1;

/// Numbers that need all 64 bits (hashes) show as negative; an inode, a size or a position never does.
/// `path` is a blob because a path is bytes, not text.
pub(super) const SCHEMA: &str = "
CREATE TABLE positions (
    stream TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    born INTEGER NOT NULL,
    path BLOB NOT NULL,
    position INTEGER NOT NULL,
    head_length INTEGER NOT NULL,
    head_hash INTEGER NOT NULL,
    frontier_end INTEGER NOT NULL,
    frontier_length INTEGER NOT NULL,
    frontier_hash INTEGER NOT NULL,
    size INTEGER NOT NULL,
    changed INTEGER NOT NULL,
    saved_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, device, inode, born)
) STRICT, WITHOUT ROWID;
CREATE TABLE started (
    stream TEXT NOT NULL,
    pattern TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, pattern)
) STRICT, WITHOUT ROWID;
";

/// Why what is in the database cannot be believed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// SQLite says so.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The page structure does not hold together.
    #[error("{0}")]
    Structure(String),
    /// The content of a row is not what was written.
    #[error("a row of `{table}` does not carry its checksum")]
    Checksum {
        /// The table.
        table: &'static str,
    },
}

/// FNV-1a over length-prefixed fields, so that no two rows look alike by moving a border.
struct Checksum(u64);

impl Checksum {
    fn start(table: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).bytes(table.as_bytes())
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let seen = self.number(bytes.len() as u64);
        Self(bytes.iter().fold(seen.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    fn number(self, number: u64) -> Self {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(number.to_le_bytes().into_iter().fold(self.0, fold))
    }

    fn column(self) -> i64 {
        self.0.cast_signed()
    }
}

fn checksum_of(row: &SavedPosition) -> i64 {
    let text = Checksum::start("positions").bytes(row.stream.as_bytes()).bytes(row.path.as_os_str().as_bytes());
    numbers(row).into_iter().fold(text, Checksum::number).column()
}

/// All numbers of a row in the order of the columns.
fn numbers(row: &SavedPosition) -> [u64; 12] {
    [
        row.file.device,
        row.file.inode,
        row.file.born,
        row.position.0,
        u64::from(row.head.length),
        row.head.hash,
        row.frontier_end.0,
        u64::from(row.frontier.length),
        row.frontier.hash,
        row.size,
        row.changed,
        row.saved_at,
    ]
}

fn checksum_of_pair(stream: &str, pattern: &str) -> i64 {
    Checksum::start("started").bytes(stream.as_bytes()).bytes(pattern.as_bytes()).column()
}

/// Inserts or replaces a row; one that is already there word for word is not written again.
pub(super) fn save(connection: &Connection, row: &SavedPosition) -> rusqlite::Result<usize> {
    let [device, inode, born, position, head_length, head_hash, end, length, hash, size, changed, saved_at] =
        numbers(row).map(u64::cast_signed);
    connection
        .prepare_cached(
            "INSERT INTO positions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO UPDATE SET path = excluded.path, position = excluded.position,
                 head_length = excluded.head_length, head_hash = excluded.head_hash,
                 frontier_end = excluded.frontier_end, frontier_length = excluded.frontier_length,
                 frontier_hash = excluded.frontier_hash, size = excluded.size, changed = excluded.changed,
                 saved_at = excluded.saved_at, checksum = excluded.checksum
             WHERE checksum <> excluded.checksum",
        )?
        .execute(params![
            row.stream,
            device,
            inode,
            born,
            row.path.as_os_str().as_bytes(),
            position,
            head_length,
            head_hash,
            end,
            length,
            hash,
            size,
            changed,
            saved_at,
            checksum_of(row),
        ])
}

/// Deletes a row; one that is not there is no error.
pub(super) fn forget(connection: &Connection, stream: &str, file: FileKey) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM positions WHERE stream = ?1 AND device = ?2 AND inode = ?3 AND born = ?4")?
        .execute(params![stream, file.device.cast_signed(), file.inode.cast_signed(), file.born.cast_signed()])
}

/// Remembers that a pair of stream and pattern was started.
pub(super) fn start(connection: &Connection, stream: &str, pattern: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached("INSERT OR IGNORE INTO started VALUES (?1, ?2, ?3)")?.execute(params![
        stream,
        pattern,
        checksum_of_pair(stream, pattern)
    ])
}

/// All rows of `positions`.
pub(super) fn read_positions(connection: &Connection) -> Result<Vec<SavedPosition>, Unreadable> {
    let mut statement = connection.prepare(
        "SELECT stream, device, inode, born, path, position, head_length, head_hash, frontier_end, frontier_length,
                frontier_hash, size, changed, saved_at, checksum FROM positions",
    )?;
    let mut rows = statement.query([])?;
    let mut positions = Vec::new();
    while let Some(row) = rows.next()? {
        let (position, checksum) = (read_position(row)?, row.get::<_, i64>(14)?);
        // The formula on the field holds for whatever we wrote; a row that breaks it was not written by us.
        if checksum != checksum_of(&position) || position.frontier_end > position.position {
            return Err(Unreadable::Checksum { table: "positions" });
        }
        positions.push(position);
    }
    Ok(positions)
}

fn read_position(row: &Row<'_>) -> rusqlite::Result<SavedPosition> {
    let number = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    Ok(SavedPosition {
        stream: row.get(0)?,
        file: FileKey { device: number(1)?, inode: number(2)?, born: number(3)? },
        path: OsString::from_vec(row.get(4)?).into(),
        position: Position(number(5)?),
        head: Fingerprint { length: row.get(6)?, hash: number(7)? },
        frontier_end: Position(number(8)?),
        frontier: Fingerprint { length: row.get(9)?, hash: number(10)? },
        size: number(11)?,
        changed: number(12)?,
        saved_at: number(13)?,
    })
}

/// All rows of `started`.
pub(super) fn read_started(connection: &Connection) -> Result<Vec<(String, String)>, Unreadable> {
    let mut statement = connection.prepare("SELECT stream, pattern, checksum FROM started")?;
    let mut rows = statement.query([])?;
    let mut started = Vec::new();
    while let Some(row) = rows.next()? {
        let (stream, pattern): (String, String) = (row.get(0)?, row.get(1)?);
        if row.get::<_, i64>(2)? != checksum_of_pair(&stream, &pattern) {
            return Err(Unreadable::Checksum { table: "started" });
        }
        started.push((stream, pattern));
    }
    Ok(started)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A plausible row.
    pub(in super::super) fn row(stream: &str, inode: u64, position: u64) -> SavedPosition {
        SavedPosition {
            stream: stream.to_owned(),
            file: FileKey { device: 2049, inode, born: 1_700_000_000_000_000_000 },
            path: format!("/var/log/{inode}.log").into(),
            position: Position(position),
            head: Fingerprint::of(b"first line\n"),
            frontier_end: Position(position),
            frontier: Fingerprint::of(b"last line\n"),
            size: position + 7,
            changed: 1_700_000_000_000_000_001,
            saved_at: 1_700_000_000_000,
        }
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection
    }

    prop_compose! {
        fn any_row()(
            stream in "[a-z:]{1,9}", numbers: [u64; 7], lengths: [u32; 2], hashes: [u64; 2], path: Vec<u8>, back: u64,
        ) -> SavedPosition {
            SavedPosition {
                stream,
                file: FileKey { device: numbers[0], inode: numbers[1], born: numbers[2] },
                path: OsString::from_vec(path).into(),
                position: Position(numbers[3]),
                head: Fingerprint { length: lengths[0], hash: hashes[0] },
                frontier_end: Position(numbers[3].saturating_sub(back)),
                frontier: Fingerprint { length: lengths[1], hash: hashes[1] },
                size: numbers[4],
                changed: numbers[5],
                saved_at: numbers[6],
            }
        }
    }

    proptest! {
        #[test]
        fn any_row_comes_back_as_it_was_saved_paths_that_are_no_text_and_64_bit_numbers_included(row in any_row()) {
            let connection = database();
            prop_assert_eq!(save(&connection, &row).unwrap(), 1);
            prop_assert_eq!(save(&connection, &row).unwrap(), 0, "an unchanged row was written again");
            prop_assert_eq!(read_positions(&connection).unwrap(), vec![row.clone()]);
            forget(&connection, &row.stream, row.file).unwrap();
            prop_assert_eq!(read_positions(&connection).unwrap(), vec![]);
        }
    }

    #[test]
    fn a_number_changed_by_another_hand_is_noticed() {
        for column in ["position", "inode", "head_hash", "frontier_end", "size", "saved_at", "checksum"] {
            let connection = database();
            save(&connection, &row("s", 1, 100)).unwrap();
            connection.execute(&format!("UPDATE positions SET {column} = {column} + 1"), []).unwrap();
            let answer = read_positions(&connection);
            assert!(matches!(answer, Err(Unreadable::Checksum { .. })), "{column}: {answer:?}");
        }
        let connection = database();
        start(&connection, "s", "/var/log/*.log").unwrap();
        connection.execute("UPDATE started SET pattern = '/var/log/*.lag'", []).unwrap();
        assert!(matches!(read_started(&connection), Err(Unreadable::Checksum { table: "started" })));
    }
}
