//! The checkpoint under what the world does to it: a killed process, a full disk, a read-only disk.
//! Promises that what is read back was posted as a whole and is never older than what was reported as saved.
//! Leaves power cuts to SQLite's own proof: a killed process cannot show what a disk forgets.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer, in what its cases share too")]

#[path = "support/disk.rs"]
mod disk;

use datalake_agent::checkpoint::{Error, Keeper, Store};
use datalake_agent::saved::{CheckpointUpdate, Remembered};
use datalake_tail::{ContentId, FileKey, Fingerprint, Proof, Row, SavedPlace};
use disk::SmallDisk;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Files of one update; all of them stand at the same position, so that a torn state shows.
const FILES: u64 = 7;

fn row(id: u64, position: u64) -> Row {
    let path = PathBuf::from(format!("/logs/{id}.log"));
    let key = FileKey { device: 1, inode: id, born: 2 };
    let head = Fingerprint::of(b"head");
    Row {
        id: ContentId(id),
        home: path.clone(),
        position,
        known: position,
        places: vec![SavedPlace { path, key, size: position, changed: position, ..SavedPlace::default() }],
        proof: Proof::of_old_row(head, position.max(4), head),
        ..Row::default()
    }
}

/// Sets or deletes such rows.
fn rows(rows: impl Iterator<Item = (u64, Option<u64>)>) -> CheckpointUpdate {
    let content = |(id, position): (u64, Option<u64>)| {
        ("firehose:s".into(), ContentId(id), position.map(|position| row(id, position)))
    };
    CheckpointUpdate { contents: rows.map(content).collect(), ..CheckpointUpdate::default() }
}

/// The update that carries the number: all files stand there, and a rotated one comes or goes.
fn update(number: u64) -> CheckpointUpdate {
    let rotated = number.is_multiple_of(2).then_some(number);
    let started = vec![("firehose:s".to_owned(), "/logs/*".to_owned())];
    CheckpointUpdate { started, ..rows((0..FILES).map(|id| (id, Some(number))).chain([(1000, rotated)])) }
}

/// The number of the update that the folder holds; panics when it holds a mixture.
fn held(folder: &Path) -> u64 {
    let (_store, remembered) = open(folder).unwrap();
    let Some(first) = remembered.contents.first() else { return 0 };
    let number = first.row.position;
    let mut expected: Vec<_> = (0..FILES).map(|id| row(id, number)).collect();
    if number.is_multiple_of(2) {
        expected.push(row(1000, number));
    }
    let mut held: Vec<Row> = remembered.contents.into_iter().map(|saved| saved.row).collect();
    held.sort_by_key(|row| row.id);
    assert_eq!(held, expected, "not the state after update {number}");
    assert_eq!(remembered.started.len(), 1);
    number
}

/// The process that is killed: saves one update after the other and says what it is doing.
#[test]
#[ignore = "only as a child of the next test"]
fn saving_child() {
    let folder = PathBuf::from(std::env::var_os("FOLDER").unwrap());
    let (mut store, remembered) = open(&folder).unwrap();
    let first = remembered.contents.first().map_or(0, |saved| saved.row.position) + 1;
    let mut out = std::io::stdout();
    for number in first..first + 100_000 {
        writeln!(out, "\nposting {number}").unwrap();
        store.save(update(number)).unwrap();
        writeln!(out, "\nsaved {number}").unwrap();
    }
}

#[test]
fn after_a_kill_the_checkpoint_is_a_state_that_was_posted_and_none_that_was_saved_is_missing() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let kills: u64 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let (mut posting, mut saved) = (0, 0);
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "saving_child", "--ignored", "--nocapture"])
            .env("FOLDER", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines_to_live = random.u32(1..40);
        let extra = Duration::from_micros(random.u64(..1500));
        let mut seen = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            if let Some(number) = line.strip_prefix("posting ") {
                posting = number.parse().unwrap();
            } else if let Some(number) = line.strip_prefix("saved ") {
                saved = number.parse().unwrap();
            } else {
                continue;
            }
            seen += 1;
            if seen == lines_to_live {
                // Anywhere within the next write.
                std::thread::sleep(extra);
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= lines_to_live, "seed {seed}, kill {kill}: the child ended by itself");
        let held = held(folder.path());
        assert!(
            (saved..=posting).contains(&held),
            "seed {seed}, kill {kill}: holds {held}, but {saved} was saved and {posting} the newest posted"
        );
    }
    assert!(saved > 0, "no child ever saved anything");
}

/// Opens the store. A child that another test of this process is about to start holds a copy of every lock until it has
/// become another program, so a lock that was just let go may be held for a moment.
fn open(folder: &Path) -> Result<(Store, Remembered), Error> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match Store::open(folder, &[], 1) {
            Err(Error::Held { .. }) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
            opened => return opened,
        }
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "in 30 s never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn on_a_full_disk_positions_wait_in_memory_and_are_saved_when_there_is_room_again() {
    let Some(disk) = SmallDisk::mount() else { return };
    let keeper = Keeper::start(open(&disk.state()).unwrap().0).unwrap();
    keeper.post(update(1));
    until("saved", || keeper.health().unsaved_since.is_none());
    let filler = disk.fill();
    // The log that SQLite writes has room left of its own; a great many rows outgrow it.
    keeper.post(rows((0..2000).map(|n| (5000 + n, Some(1)))));
    until("failed", || keeper.health().failing.is_some());
    let reason = keeper.health().failing.unwrap();
    assert!(reason.contains("full") && reason.contains("checkpoint.db"), "{reason}");
    keeper.post(rows((0..2000).map(|n| (5000 + n, None))));
    keeper.post(rows((0..2000).map(|n| (9000 + n, Some(1)))));
    keeper.post(rows((0..1990).map(|n| (9000 + n, None))));
    std::fs::remove_file(filler).unwrap();
    until("recovered", || keeper.health().failing.is_none() && keeper.health().unsaved_since.is_none());
    keeper.finish().unwrap();
    let (_, remembered) = open(&disk.state()).unwrap();
    let ids: Vec<_> = remembered.contents.iter().map(|saved| saved.row.id.0).collect();
    let expected: Vec<u64> = (0..FILES).chain(10_990..11_000).collect();
    assert_eq!(ids, expected);
}

#[test]
fn a_full_disk_at_the_start_is_not_taken_for_damage() {
    let Some(disk) = SmallDisk::mount() else { return };
    open(&disk.state()).unwrap().0.save(update(1)).unwrap();
    let filler = disk.fill();
    match open(&disk.state()) {
        // Whether SQLite needs room to read depends on what it finds; that nothing is thrown away does not.
        Ok((_, remembered)) => assert_eq!(remembered.contents.len() as u64, FILES),
        Err(error) => assert!(matches!(error, Error::Database { .. } | Error::Folder { .. }), "{error}"),
    }
    std::fs::remove_file(filler).unwrap();
    assert_eq!(held(&disk.state()), 1);
}

#[test]
fn a_read_only_disk_is_refused_at_the_start_with_the_reason_and_accepted_once_it_is_writable() {
    let Some(disk) = SmallDisk::mount() else { return };
    open(&disk.state()).unwrap().0.save(update(1)).unwrap();
    disk.remount("ro");
    let refusal = open(&disk.state()).unwrap_err();
    assert!(matches!(refusal, Error::Folder { .. }), "{refusal}");
    assert!(refusal.to_string().contains("state/lock") && refusal.to_string().contains("ead-only"), "{refusal}");
    disk.remount("rw");
    assert_eq!(held(&disk.state()), 1);
}
