//! The first format of the checkpoint: a position belonged to a file. Read forward once, when the agent that wrote it is
//! replaced. Promises that a row that was changed by anything but the agent is noticed before it is believed.
//! Leaves what becomes of the rows to the store.

use super::rows::{Checksum, Unreadable};
use crate::saved::SavedPosition;
use datalake_base::record::{FileKey, Fingerprint, Position};
use rusqlite::{Connection, Row};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

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

/// The row as the content that its file held then. Which one, nobody knows but its bytes.
pub(super) fn content(row: SavedPosition, id: u64) -> datalake_tail::Row {
    let packing = packing_of_name(&row.path);
    datalake_tail::Row::of_old_row(
        datalake_tail::ContentId(id),
        key(row.file),
        row.path,
        row.position.0,
        fingerprint(row.head),
        row.frontier_end.0,
        fingerprint(row.frontier),
        row.size,
        row.changed,
        packing,
    )
}

fn key(file: FileKey) -> datalake_tail::FileKey {
    datalake_tail::FileKey { device: file.device, inode: file.inode, born: file.born }
}

fn fingerprint(of: Fingerprint) -> datalake_tail::Fingerprint {
    datalake_tail::Fingerprint { length: of.length, hash: of.hash }
}

/// In that format the name decided what was unpacked, and so what a position counts.
fn packing_of_name(path: &std::path::Path) -> Option<datalake_tail::Packing> {
    use datalake_tail::Packing;
    let name = path.file_name()?.as_bytes();
    let known: [(&[u8], Packing); 3] = [(b".gz", Packing::Gzip), (b".zst", Packing::Zstd), (b".bz2", Packing::Bzip2)];
    known
        .into_iter()
        .find(|(suffix, _)| name.len() > suffix.len() && name.ends_with(suffix))
        .map(|(_, packing)| packing)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rusqlite::params;

    /// The tables as the agent of that format made them.
    pub(in super::super) const SCHEMA: &str = "
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

    /// Writes a row as the agent of that format did.
    pub(in super::super) fn write(connection: &Connection, row: &SavedPosition) {
        let [device, inode, born, position, head_length, head_hash, end, length, hash, size, changed, saved_at] =
            numbers(row).map(u64::cast_signed);
        connection
            .execute(
                "INSERT INTO positions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
                params![
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
                ],
            )
            .unwrap();
    }

    #[test]
    fn only_the_name_says_what_a_position_of_that_format_counts() {
        let row = |path: &str| SavedPosition {
            stream: "firehose:s".to_owned(),
            file: FileKey { device: 1, inode: 2, born: 3 },
            path: path.into(),
            position: Position(40),
            head: Fingerprint::of(b"head"),
            frontier_end: Position(40),
            frontier: Fingerprint::of(b"tail"),
            size: 70,
            changed: 5,
            saved_at: 6,
        };
        let plain = content(row("/l/app.log"), 7);
        assert_eq!((plain.id.0, plain.position, plain.known, plain.packing), (7, 40, 70, 0));
        assert_eq!(plain.places[0].key.inode, 2);
        let packed = content(row("/l/app.log.1.gz"), 8);
        assert_eq!((packed.position, packed.known, packed.packing), (40, 0, 1), "its size counts packed bytes");
        assert_eq!(content(row("/l/.gz"), 9).packing, 0);
    }
}
