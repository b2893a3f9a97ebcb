//! A state folder that the agent of the first format left behind, read by the agent of today.
//! Promises for each kind of row that nothing is lost and nothing is sent again. The rows are written here as that agent
//! wrote them; what it wrote itself was read in the same way before it was replaced.
//! Leaves damage, and what rows of today mean, to their own suites.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]
#![expect(clippy::allow_attributes, reason = "the helpers are shared by suites that need different ones")]

#[allow(dead_code, reason = "each suite uses a part")]
#[path = "support/host.rs"]
mod host;

use datalake_base::record::Fingerprint;
use host::{Host, PATIENCE, holds_within};
use rusqlite::{Connection, params};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::UNIX_EPOCH;

const STREAM: &str = "earlier";

const SCHEMA: &str = "
CREATE TABLE positions (stream TEXT NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL, born INTEGER NOT NULL,
    path BLOB NOT NULL, position INTEGER NOT NULL, head_length INTEGER NOT NULL, head_hash INTEGER NOT NULL,
    frontier_end INTEGER NOT NULL, frontier_length INTEGER NOT NULL, frontier_hash INTEGER NOT NULL, size INTEGER NOT NULL,
    changed INTEGER NOT NULL, saved_at INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, device, inode, born)) STRICT, WITHOUT ROWID;
CREATE TABLE started (stream TEXT NOT NULL, pattern TEXT NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (stream, pattern)) STRICT, WITHOUT ROWID;
PRAGMA application_id = 0x646c6167;
PRAGMA user_version = 1;
";

/// FNV-1a over length-prefixed fields, as that format had it.
struct Checksum(u64);

impl Checksum {
    fn of(fields: &[&[u8]], numbers: &[u64]) -> i64 {
        let whole = fields.iter().fold(Self(0xcbf2_9ce4_8422_2325), |sum, field| sum.bytes(field));
        numbers.iter().fold(whole, |sum, number| sum.plain(&number.to_le_bytes())).0.cast_signed()
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        self.plain(&(bytes.len() as u64).to_le_bytes()).plain(bytes)
    }

    fn plain(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

/// The row of a file as it is, settled up to `position`; without a hash of its beginning where it was imported.
fn write(state: &Path, stream: &str, file: &Path, position: u64, imported: bool) {
    let connection = Connection::open(state.join("checkpoint.db")).unwrap();
    if connection.prepare("SELECT * FROM positions").is_err() {
        connection.execute_batch(SCHEMA).unwrap();
    }
    let (content, status) = (std::fs::read(file).unwrap(), std::fs::metadata(file).unwrap());
    let born = status.created().unwrap().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    let head = if imported && position == 0 {
        Fingerprint::default()
    } else {
        Fingerprint::of(&content[..content.len().min(1024)])
    };
    let before = Fingerprint::of(&content[position.saturating_sub(1024) as usize..position as usize]);
    let changed = (status.ctime() * 1_000_000_000 + status.ctime_nsec()) as u64;
    let numbers = [
        status.dev(),
        status.ino(),
        born,
        position,
        head.length.into(),
        head.hash,
        position,
        before.length.into(),
        before.hash,
        content.len() as u64,
        changed,
        1_700_000_000_000,
    ];
    let path = file.as_os_str().as_bytes();
    let checksum = Checksum::of(&[b"positions", stream.as_bytes(), path], &numbers);
    let n = numbers.map(u64::cast_signed);
    connection
        .execute(
            "INSERT INTO positions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
            params![stream, n[0], n[1], n[2], path, n[3], n[4], n[5], n[6], n[7], n[8], n[9], n[10], n[11], checksum],
        )
        .unwrap();
}

fn start(state: &Path, stream: &str, pattern: &str) {
    let connection = Connection::open(state.join("checkpoint.db")).unwrap();
    let checksum = Checksum::of(&[b"started", stream.as_bytes(), pattern.as_bytes()], &[]);
    connection.execute("INSERT INTO started VALUES (?1, ?2, ?3)", params![stream, pattern, checksum]).unwrap();
}

fn append(path: &Path, text: &str) {
    std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn lines(label: &str, numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{label} {number:06} {}\n", "some words of a log line ".repeat(3))).collect()
}

/// Where the line begins in which this position lies. Half of it was a record then; it is sent whole, as nobody can do anything
/// with the other half.
fn begin_of_line(text: &str, position: usize) -> usize {
    text[..position].rfind('\n').map_or(0, |newline| newline + 1)
}

#[test]
fn rows_of_the_first_format_lead_to_the_rest_whatever_became_of_the_file() {
    for kind in ["plain", "settled in part", "rotated", "packed", "gone", "cut", "imported"] {
        let host = Host::new().flow("app.log*", STREAM, json!({}));
        let log = host.log("app.log");
        let first = lines("first", 0..300);
        append(&log, &first);
        let settled = if kind == "settled in part" { first.len() / 2 + 7 } else { first.len() };
        let stream = format!("firehose:{STREAM}");
        write(&host.state(), &stream, &log, settled as u64, kind == "imported");
        start(&host.state(), &stream, &format!("{}*", log.display()));
        let new = lines("new", 0..100);
        let mut expected = format!("{}{new}", &first[begin_of_line(&first, settled)..]);
        match kind {
            "rotated" => {
                append(&log, &new);
                std::fs::rename(&log, host.log("app.log.1")).unwrap();
            }
            "packed" => {
                append(&log, &new);
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(&std::fs::read(&log).unwrap()).unwrap();
                std::fs::write(host.log("app.log.1.gz"), encoder.finish().unwrap()).unwrap();
                std::fs::remove_file(&log).unwrap();
            }
            "gone" => {
                std::fs::remove_file(&log).unwrap();
                append(&log, &new);
            }
            "cut" => std::fs::write(&log, &new).unwrap(),
            _ => append(&log, &new),
        }
        append(&log, "live\n");
        expected += "live\n";
        let mut agent = host.run();
        let count = || {
            let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
            for line in String::from_utf8_lossy(&host.payload(STREAM)).lines() {
                *arrived.entry(line.to_owned()).or_default() += 1;
            }
            arrived
        };
        let complete = holds_within(PATIENCE, || {
            let arrived = count();
            expected.lines().all(|line| arrived.contains_key(line))
        });
        assert!(complete, "{kind}: of {} lines {} arrived", expected.lines().count(), count().len());
        assert_eq!(agent.stop(), 0);
        let (arrived, whole) = (count(), expected.lines().count());
        assert!(arrived.values().all(|times| *times == 1) && arrived.len() == whole, "{kind}: something came again");
    }
}

/// Segments that an earlier agent received and had not shipped whole; the broker is not needed for them.
#[test]
fn a_spool_of_the_first_format_is_shipped_from_where_it_was_settled_and_its_segments_are_deleted() {
    let mqtt = json!({"broker": "mqtt://127.0.0.1:9", "topics": "devices/+/ping", "clientId": "agent"});
    let flow = json!({"mqtt": mqtt, "deliveryStream": STREAM, "maxBufferAgeMillis": 50});
    let host = Host::new().whole_flow(flow);
    let folder = host.state().join("spool").join(STREAM);
    std::fs::create_dir_all(&folder).unwrap();
    let segment = |number: u64| folder.join(format!("{:020}.ndjson", 1_700_000_000_000 + number));
    let [whole, part, unknown] = ["whole", "part", "unknown"].map(|label| lines(label, 0..300));
    for (number, text) in [&whole, &part, &unknown].into_iter().enumerate() {
        append(&segment(number as u64), text);
    }
    let settled = part.len() / 2 + 7;
    let stream = format!("firehose:{STREAM}");
    write(&host.state(), &stream, &segment(0), whole.len() as u64, false);
    write(&host.state(), &stream, &segment(1), settled as u64, false);
    start(&host.state(), &stream, &format!("{}/*.ndjson", folder.display()));
    let expected = format!("{}{unknown}", &part[begin_of_line(&part, settled)..]);
    let mut agent = host.run();
    // Which segment comes first is not promised.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let arrived = host.arrived(STREAM, expected.len());
    assert_eq!(sorted(&String::from_utf8_lossy(&arrived)), sorted(&expected));
    let gone = holds_within(PATIENCE, || (0..3).all(|number| !segment(number).exists()));
    assert!(gone, "settled segments are still there");
    assert_eq!(agent.stop(), 0);
    assert_eq!(host.payload(STREAM).len(), expected.len(), "something came again");
}
