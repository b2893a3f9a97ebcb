//! Rows as they lie in the database: what each column means, and the checksum that guards it.
//! Promises that a row that was changed by anything but the agent is noticed before it is believed.
//! Leaves transactions to the store.

use super::columns::{Columns, encode_places};
use crate::saved::{Counters, SavedContent};
use datalake_tail::{ContentId, Counted, FolderRow, Row as Content};
use rusqlite::{Connection, Row, params};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::Arc;

/// The format that this agent writes, kept as `user_version`.
pub(super) const FORMAT: i64 = 2;

/// A position belongs to a content; `id` is made up and never used again for the stream. `places` holds the paths and files
/// in which it was seen last, `proof` the hashes by which it is known again. Paths are blobs because they are bytes, not
/// text. No table is WITHOUT ROWID: rows of such a table that do not fit a quarter of a page take a page more each.
pub(super) const SCHEMA: &str = "
CREATE TABLE contents (
    stream TEXT NOT NULL,
    id INTEGER NOT NULL,
    path BLOB NOT NULL,
    position INTEGER NOT NULL,
    known INTEGER NOT NULL,
    state INTEGER NOT NULL,
    packing INTEGER NOT NULL,
    places BLOB NOT NULL,
    proof BLOB NOT NULL,
    saved_at INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    delivered INTEGER NOT NULL DEFAULT 0,
    filtered INTEGER NOT NULL DEFAULT 0,
    quarantined INTEGER NOT NULL DEFAULT 0,
    destroyed INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, id)
) STRICT;
CREATE TABLE folders (
    stream TEXT NOT NULL,
    path BLOB NOT NULL,
    held BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, path)
) STRICT;
";

/// Which patterns were started; the same in both formats.
pub(super) const STARTED: &str = "
CREATE TABLE started (
    stream TEXT NOT NULL,
    pattern TEXT NOT NULL,
    checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, pattern)
) STRICT, WITHOUT ROWID;
";

/// What became of the bytes of each flow: `name=value` for each counter that is not 0. One row a flow, because it is written
/// with the positions.
pub(super) const ACCOUNTING: &str = "
CREATE TABLE IF NOT EXISTS accounting (
    flow TEXT PRIMARY KEY,
    counters TEXT NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
";

/// Makes the table of counters where it is missing. Agents of before had none, or one with a row a number, which is taken
/// over.
pub(super) fn prepare_counters(connection: &Connection) -> rusqlite::Result<()> {
    let counters = read_counters(connection);
    let transaction = connection.unchecked_transaction()?;
    if counters.is_err() {
        transaction.execute_batch("DROP TABLE IF EXISTS accounting")?;
    }
    transaction.execute_batch(ACCOUNTING)?;
    if has_table(&transaction, "counters")? {
        for (flow, counters) in counters.unwrap_or_default() {
            save_counters(&transaction, &flow, &counters)?;
        }
        transaction.execute_batch("DROP TABLE counters")?;
    }
    transaction.commit()
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    let count: i64 = connection.query_row(query, [name], |row| row.get(0))?;
    Ok(count > 0)
}

/// The columns that say what became of the bytes of a content. Made where they are missing: agents of before had none.
const COUNTED: [&str; 4] = ["delivered", "filtered", "quarantined", "destroyed"];

/// Gives the table of contents the columns that agents of before did not make.
pub(super) fn complete(connection: &Connection) -> rusqlite::Result<()> {
    for column in COUNTED {
        if !has_column(connection, column)? {
            let add = format!("ALTER TABLE contents ADD COLUMN {column} INTEGER NOT NULL DEFAULT 0");
            connection.execute_batch(&add)?;
        }
    }
    Ok(())
}

/// Whether the table of contents has this column.
fn has_column(connection: &Connection, column: &str) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FROM pragma_table_info('contents') WHERE name = ?1";
    let count: i64 = connection.query_row(query, [column], |row| row.get(0))?;
    Ok(count > 0)
}

/// The name of the row that says since when a flow's counters count.
const SINCE: &str = "since_ms";

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
pub(super) struct Checksum(u64);

impl Checksum {
    pub(super) fn start(table: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).bytes(table.as_bytes())
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let seen = self.number(bytes.len() as u64);
        Self(bytes.iter().fold(seen.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    pub(super) fn number(self, number: u64) -> Self {
        let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(number.to_le_bytes().into_iter().fold(self.0, fold))
    }

    /// Rows of agents that did not count carry the checksum of before.
    fn counted(self, counted: Counted) -> Self {
        if counted == Counted::default() { self } else { numbers(counted).into_iter().fold(self, Self::number) }
    }

    pub(super) fn column(self) -> i64 {
        self.0.cast_signed()
    }
}

/// In the order of the columns.
const fn numbers(counted: Counted) -> [u64; 4] {
    [counted.delivered, counted.filtered, counted.quarantined, counted.destroyed]
}

fn checksum_of(stream: &str, row: &Columns<'_>) -> i64 {
    let text = Checksum::start("contents").bytes(stream.as_bytes()).bytes(row.home);
    [row.id.0, row.position, row.known, row.state.into(), row.packing.into()]
        .into_iter()
        .fold(text, Checksum::number)
        .bytes(row.places)
        .bytes(row.proof)
        .counted(row.counted)
        .column()
}

fn checksum_of_pair(stream: &str, pattern: &str) -> i64 {
    Checksum::start("started").bytes(stream.as_bytes()).bytes(pattern.as_bytes()).column()
}

fn checksum_of_folder(stream: &str, path: &[u8], held: &[u8]) -> i64 {
    Checksum::start("folders").bytes(stream.as_bytes()).bytes(path).bytes(held).column()
}

/// Inserts or replaces a row; one that is already there word for word is not written again. `now` is milliseconds since
/// 1970 and only for the operator to see.
pub(super) fn save(connection: &Connection, stream: &str, row: &Content, now: u64) -> rusqlite::Result<usize> {
    let (places, proof) = (encode_places(&row.places), row.proof.encode());
    save_columns(connection, stream, &Columns::of(row, &places, &proof), now)
}

/// The same of a row whose columns are at hand.
pub(super) fn save_columns(
    connection: &Connection,
    stream: &str,
    row: &Columns<'_>,
    now: u64,
) -> rusqlite::Result<usize> {
    let [delivered, filtered, quarantined, destroyed] = numbers(row.counted).map(u64::cast_signed);
    connection
        .prepare_cached(
            "INSERT INTO contents VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT DO UPDATE SET path = excluded.path, position = excluded.position, known = excluded.known,
                 state = excluded.state, packing = excluded.packing, places = excluded.places, proof = excluded.proof,
                 saved_at = excluded.saved_at, checksum = excluded.checksum, delivered = excluded.delivered,
                 filtered = excluded.filtered, quarantined = excluded.quarantined, destroyed = excluded.destroyed
             WHERE checksum <> excluded.checksum",
        )?
        .execute(params![
            stream,
            row.id.0.cast_signed(),
            row.home,
            row.position.cast_signed(),
            row.known.cast_signed(),
            row.state,
            row.packing,
            row.places,
            row.proof,
            now.cast_signed(),
            checksum_of(stream, row),
            delivered,
            filtered,
            quarantined,
            destroyed,
        ])
}

/// Deletes a row; one that is not there is no error.
pub(super) fn forget(connection: &Connection, stream: &str, id: ContentId) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM contents WHERE stream = ?1 AND id = ?2")?
        .execute(params![stream, id.0.cast_signed()])
}

/// Inserts or replaces what a folder held; `None` deletes it.
pub(super) fn save_folder(
    connection: &Connection,
    stream: &str,
    path: &Path,
    held: Option<&[u64]>,
) -> rusqlite::Result<usize> {
    let path = path.as_os_str().as_bytes();
    let Some(held) = held else {
        return connection
            .prepare_cached("DELETE FROM folders WHERE stream = ?1 AND path = ?2")?
            .execute(params![stream, path]);
    };
    let held: Vec<u8> = held.iter().flat_map(|number| number.to_le_bytes()).collect();
    connection
        .prepare_cached(
            "INSERT INTO folders VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET held = excluded.held, checksum = excluded.checksum
             WHERE checksum <> excluded.checksum",
        )?
        .execute(params![stream, path, held, checksum_of_folder(stream, path, &held)])
}

/// Remembers that a pair of stream and pattern was started.
pub(super) fn start(connection: &Connection, stream: &str, pattern: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached("INSERT OR IGNORE INTO started VALUES (?1, ?2, ?3)")?.execute(params![
        stream,
        pattern,
        checksum_of_pair(stream, pattern)
    ])
}

fn checksum_of_counters(flow: &str, counters: &str) -> i64 {
    Checksum::start("accounting").bytes(flow.as_bytes()).bytes(counters.as_bytes()).column()
}

/// Inserts or replaces the counters of a flow; what is there already is not written again.
pub(super) fn save_counters(connection: &Connection, flow: &str, counters: &Counters) -> rusqlite::Result<()> {
    let named = counters.named().into_iter().chain([(SINCE, counters.since)]).filter(|(_, value)| *value > 0);
    let words: Vec<String> = named.map(|(name, value)| format!("{name}={value}")).collect();
    let text = words.join(" ");
    let mut statement = connection.prepare_cached(
        "INSERT INTO accounting VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET counters = excluded.counters, checksum = excluded.checksum
         WHERE checksum <> excluded.checksum",
    )?;
    statement.execute(params![flow, text, checksum_of_counters(flow, &text)]).map(drop)
}

/// The counters of all flows. They are for people: a row that does not carry its checksum is left out, and positions are
/// believed all the same.
pub(super) fn read_counters(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Counters>> {
    let mut flows: BTreeMap<String, Counters> = BTreeMap::new();
    if has_table(connection, "counters")? {
        let mut statement = connection.prepare("SELECT flow, name, value, checksum FROM counters")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (flow, name): (String, String) = (row.get(0)?, row.get(1)?);
            let value = row.get::<_, i64>(2)?.cast_unsigned();
            let checksum = Checksum::start("counters").bytes(flow.as_bytes()).bytes(name.as_bytes()).number(value);
            if row.get::<_, i64>(3)? == checksum.column() {
                set(flows.entry(flow).or_default(), &name, value);
            }
        }
    }
    if has_table(connection, "accounting")? {
        let mut statement = connection.prepare("SELECT flow, counters, checksum FROM accounting")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (flow, text): (String, String) = (row.get(0)?, row.get(1)?);
            if row.get::<_, i64>(2)? != checksum_of_counters(&flow, &text) {
                continue;
            }
            let mut counters = Counters::default();
            for (name, value) in text.split(' ').filter_map(|word| word.split_once('=')) {
                value.parse().into_iter().for_each(|value| set(&mut counters, name, value));
            }
            flows.insert(flow, counters);
        }
    }
    Ok(flows)
}

fn set(counters: &mut Counters, name: &str, value: u64) {
    if name == SINCE {
        counters.since = value;
    } else if let Some((_, counter)) = counters.named_mut().into_iter().find(|(known, _)| *known == name) {
        *counter = value;
    }
}

/// All rows of `contents`.
pub(super) fn read_contents(connection: &Connection) -> Result<Vec<SavedContent>, Unreadable> {
    let column = |column| Ok(if has_column(connection, column)? { column } else { "0" });
    let counted = COUNTED.into_iter().map(column).collect::<rusqlite::Result<Vec<_>>>()?.join(", ");
    let mut statement = connection.prepare(&format!(
        "SELECT stream, id, path, position, known, state, packing, places, proof, saved_at, checksum, {counted}
         FROM contents"
    ))?;
    let mut rows = statement.query([])?;
    let mut contents: Vec<SavedContent> = Vec::new();
    let unsound = Unreadable::Checksum { table: "contents" };
    while let Some(row) = rows.next()? {
        let stream = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        let checksum: i64 = row.get(10)?;
        let (home, places, proof) = (blob(row, 2)?, blob(row, 7)?, blob(row, 8)?);
        let columns = columns_of(row, home, places, proof)?;
        let Some(columns) = columns.filter(|columns| checksum == checksum_of(stream, columns)) else {
            return Err(unsound);
        };
        let Some(content) = columns.row() else { return Err(unsound) };
        // Thousands of rows have the same few streams.
        let stream = match contents.last() {
            Some(last) if &*last.stream == stream => last.stream.clone(),
            _ => stream.into(),
        };
        contents.push(SavedContent { stream, row: content, saved_at: row.get::<_, i64>(9)?.cast_unsigned() });
    }
    Ok(contents)
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> rusqlite::Result<&'a [u8]> {
    row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)
}

fn columns_of<'a>(
    row: &Row<'_>,
    home: &'a [u8],
    places: &'a [u8],
    proof: &'a [u8],
) -> rusqlite::Result<Option<Columns<'a>>> {
    let number = |column: usize| row.get::<_, i64>(column).map(i64::cast_unsigned);
    let (Ok(state), Ok(packing)) = (u8::try_from(number(5)?), u8::try_from(number(6)?)) else { return Ok(None) };
    let counted =
        Counted { delivered: number(11)?, filtered: number(12)?, quarantined: number(13)?, destroyed: number(14)? };
    let (id, position, known) = (ContentId(number(1)?), number(3)?, number(4)?);
    Ok(Some(Columns { id, position, known, counted, state, packing, home, places, proof }))
}

/// All rows of `folders`.
pub(super) fn read_folders(connection: &Connection) -> Result<Vec<(Arc<str>, FolderRow)>, Unreadable> {
    let mut statement = connection.prepare("SELECT stream, path, held, checksum FROM folders")?;
    let mut rows = statement.query([])?;
    let mut folders = Vec::new();
    while let Some(row) = rows.next()? {
        let (stream, path, held): (String, Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let sound = row.get::<_, i64>(3)? == checksum_of_folder(&stream, &path, &held) && held.len() % 8 == 0;
        if !sound {
            return Err(Unreadable::Checksum { table: "folders" });
        }
        let held = held.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
        folders.push((stream.into(), FolderRow { path: OsString::from_vec(path).into(), held }));
    }
    Ok(folders)
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
    use super::super::columns::decode_places;
    use super::*;
    use datalake_tail::{FileKey, Proof, SavedPlace, SavedState};
    use proptest::prelude::*;

    /// A plausible row.
    pub(in super::super) fn row(id: u64, position: u64) -> Content {
        let place = SavedPlace {
            path: format!("/var/log/{id}.log").into(),
            key: FileKey { device: 2049, inode: id, born: 1_700_000_000_000_000_000 },
            size: position + 7,
            changed: 1_700_000_000_000_000_001,
            quiet: true,
            packing: 0,
        };
        let head = datalake_tail::Fingerprint::of(b"first line\n");
        let last = datalake_tail::Fingerprint::of(b"last line\n");
        Content {
            id: ContentId(id),
            home: place.path.clone(),
            position,
            known: place.size,
            state: SavedState::Followed,
            packing: 0,
            places: vec![place],
            proof: Proof::of_old_row(head, position.max(10), last),
            counted: Counted { delivered: position, ..Counted::default() },
        }
    }

    /// An update of such rows: stream, number, position; no position deletes.
    pub(in super::super) fn update(rows: &[(&str, u64, Option<u64>)]) -> crate::saved::CheckpointUpdate {
        let contents = rows
            .iter()
            .map(|(stream, id, position)| {
                ((*stream).into(), ContentId(*id), position.map(|position| row(*id, position)))
            })
            .collect();
        crate::saved::CheckpointUpdate { contents, ..Default::default() }
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        connection.execute_batch(STARTED).unwrap();
        connection
    }

    fn read(connection: &Connection) -> Vec<(Arc<str>, Content)> {
        let rows = read_contents(connection).unwrap();
        rows.into_iter().map(|saved| (saved.stream, saved.row)).collect()
    }

    prop_compose! {
        fn any_place()(path: Vec<u8>, numbers: [u64; 5], packing: u8, quiet: bool) -> SavedPlace {
            SavedPlace {
                path: OsString::from_vec(path).into(),
                key: FileKey { device: numbers[0], inode: numbers[1], born: numbers[2] },
                size: numbers[3],
                changed: numbers[4],
                quiet,
                packing,
            }
        }
    }

    prop_compose! {
        fn any_row()(
            home: Vec<u8>, numbers: [u64; 3], state in 0_u8..3, packing in 0_u8..6,
            places in proptest::collection::vec(any_place(), 0..4),
        ) -> Content {
            Content {
                id: ContentId(numbers[0]),
                home: OsString::from_vec(home).into(),
                position: numbers[1],
                known: numbers[2],
                state: SavedState::of_number(state).unwrap(),
                packing,
                places,
                proof: row(1, 100).proof,
                counted: Counted { delivered: numbers[0], filtered: numbers[1], quarantined: numbers[2], destroyed: 0 },
            }
        }
    }

    proptest! {
        #[test]
        fn any_row_comes_back_as_it_was_saved_paths_that_are_no_text_and_64_bit_numbers_included(row in any_row()) {
            let connection = database();
            prop_assert_eq!(save(&connection, "s", &row, 5).unwrap(), 1);
            prop_assert_eq!(save(&connection, "s", &row, 6).unwrap(), 0, "an unchanged row was written again");
            prop_assert_eq!(read(&connection), vec![("s".into(), row.clone())]);
            forget(&connection, "s", row.id).unwrap();
            prop_assert_eq!(read(&connection), vec![]);
        }

        #[test]
        fn what_is_no_list_of_places_is_noticed(bytes: Vec<u8>) {
            if let Some(places) = decode_places(&bytes) {
                prop_assert_eq!(encode_places(&places), bytes);
            }
        }
    }

    #[test]
    fn a_folder_is_saved_replaced_and_deleted_as_a_whole() {
        let connection = database();
        let path = Path::new("/var/log");
        save_folder(&connection, "s", path, Some(&[1, u64::MAX])).unwrap();
        save_folder(&connection, "s", path, Some(&[2])).unwrap();
        save_folder(&connection, "t", path, Some(&[])).unwrap();
        let row = |held: &[u64]| FolderRow { path: path.to_owned(), held: held.to_vec() };
        assert_eq!(read_folders(&connection).unwrap(), [("s".into(), row(&[2])), ("t".into(), row(&[]))]);
        save_folder(&connection, "s", path, None).unwrap();
        assert_eq!(read_folders(&connection).unwrap().len(), 1);
    }

    /// The tables as agents made them that counted nothing of files, and kept a row for each counter of a flow.
    #[test]
    fn a_folder_of_an_agent_that_did_not_count_files_is_read_and_completed() {
        let connection = Connection::open_in_memory().unwrap();
        let mut before = SCHEMA.to_owned();
        for column in COUNTED {
            before = before.replace(&format!("    {column} INTEGER NOT NULL DEFAULT 0,\n"), "");
        }
        connection.execute_batch(&before).unwrap();
        let old = Content { counted: Counted::default(), ..row(1, 100) };
        let (places, proof) = (encode_places(&old.places), old.proof.encode());
        let checksum = checksum_of("s", &Columns::of(&old, &places, &proof));
        connection
            .execute(
                "INSERT INTO contents VALUES ('s', 1, ?1, 100, ?2, 0, 0, ?3, ?4, 7, ?5)",
                params![old.home.as_os_str().as_bytes(), old.known.cast_signed(), places, proof, checksum],
            )
            .unwrap();
        connection
            .execute_batch(
                "CREATE TABLE counters (flow TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
                     checksum INTEGER NOT NULL, PRIMARY KEY (flow, name)) STRICT, WITHOUT ROWID",
            )
            .unwrap();
        for (name, value) in [("delivered_bytes", 90), (SINCE, 5)] {
            let checksum = Checksum::start("counters").bytes(b"f").bytes(name.as_bytes()).number(value).column();
            let numbers = params!["f", name, value.cast_signed(), checksum];
            connection.execute("INSERT INTO counters VALUES (?1, ?2, ?3, ?4)", numbers).unwrap();
        }
        let counters = Counters { since: 5, delivered: 90, ..Counters::default() };
        for completed in [false, true] {
            if completed {
                prepare_counters(&connection).unwrap();
                complete(&connection).unwrap();
                assert!(!has_table(&connection, "counters").unwrap());
            }
            assert_eq!(read(&connection), [("s".into(), old.clone())], "completed: {completed}");
            assert_eq!(read_counters(&connection).unwrap()["f"], counters, "completed: {completed}");
        }
        save(&connection, "s", &row(1, 110), 8).unwrap();
        assert_eq!(read(&connection)[0].1.counted.delivered, 110);
    }

    #[test]
    fn a_number_changed_by_another_hand_is_noticed() {
        for column in ["position", "id", "known", "state", "packing", "checksum", "delivered", "quarantined"] {
            let connection = database();
            save(&connection, "s", &row(1, 100), 1).unwrap();
            connection.execute(&format!("UPDATE contents SET {column} = {column} + 1"), []).unwrap();
            let answer = read_contents(&connection);
            assert!(matches!(answer, Err(Unreadable::Checksum { .. })), "{column}: {answer:?}");
        }
        for column in ["places", "proof"] {
            let connection = database();
            save(&connection, "s", &row(1, 100), 1).unwrap();
            connection.execute(&format!("UPDATE contents SET {column} = CAST({column} || x'00' AS BLOB)"), []).unwrap();
            assert!(matches!(read_contents(&connection), Err(Unreadable::Checksum { .. })), "{column}");
        }
        let connection = database();
        start(&connection, "s", "/var/log/*.log").unwrap();
        connection.execute("UPDATE started SET pattern = '/var/log/*.lag'", []).unwrap();
        assert!(matches!(read_started(&connection), Err(Unreadable::Checksum { table: "started" })));
        save_folder(&connection, "s", Path::new("/l"), Some(&[7])).unwrap();
        connection.execute("UPDATE folders SET path = CAST('/m' AS BLOB)", []).unwrap();
        assert!(matches!(read_folders(&connection), Err(Unreadable::Checksum { table: "folders" })));
    }
}
