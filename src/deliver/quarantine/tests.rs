//! The quarantine on a real file system.

use super::*;
use crate::deliver::{Fault, Meaning};
use datalake_base::record::{FileKey, OriginInfo, Position};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

const NOON: u64 = 1_795_262_400_000;

fn given_up(payload: &[u8]) -> GivenUp {
    let key = FileKey { device: 7, inode: 42, born: 1_700_000_000_000_000_001 };
    let info = OriginInfo::new(PathBuf::from("/var/log/app 1.log"), key);
    GivenUp {
        payload: payload.to_vec(),
        partition_key: None,
        lines: 2,
        extents: vec![(Arc::new(info), Position(100), Position(100 + payload.len() as u64))],
        fault: Fault {
            meaning: Meaning::Poison,
            code: "InvalidArgumentException".into(),
            message: "no \"good\"".into(),
        },
        unprocessed: false,
    }
}

fn quarantine(state: &Path) -> Quarantine {
    Quarantine::new(state, "logs", "app")
}

fn all_lines(state: &Path) -> Vec<Line> {
    let files = files(state).unwrap();
    files.iter().flat_map(|path| look(path).unwrap().unwrap().lines().unwrap()).map(Result::unwrap).collect()
}

fn waiting(state: &Path) -> Vec<Entry> {
    let entry = |line: Line| match line.state {
        LineState::Waiting(entry) => Some(*entry),
        _ => None,
    };
    all_lines(state).into_iter().filter_map(entry).collect()
}

#[test]
fn a_kept_record_is_read_back_with_its_origin_and_reason() {
    let state = tempfile::tempdir().unwrap();
    quarantine(state.path()).keep(&[given_up(b"a\nb\xff\n")], NOON).unwrap();
    let kept = waiting(state.path());
    assert_eq!(kept.len(), 1);
    let entry = &kept[0];
    assert_eq!(
        (entry.time.as_str(), entry.stream.as_str(), entry.flow.as_str()),
        ("2026-11-21T12:00:00Z", "logs", "app")
    );
    assert_eq!((entry.code.as_str(), entry.message.as_str()), ("InvalidArgumentException", "no \"good\""));
    assert_eq!((entry.lines, entry.size()), (2, 5));
    assert_eq!(base64_simd::STANDARD.decode_to_vec(&entry.data).unwrap(), b"a\nb\xff\n");
    let origin = &entry.origins[0];
    assert_eq!((origin.path.as_str(), origin.device, origin.inode), ("/var/log/app 1.log", 7, 42));
    assert_eq!((origin.born, origin.start, origin.end), (1_700_000_000_000_000_001, 100, 105));
}

#[test]
fn a_path_that_is_not_utf8_is_kept_exactly() {
    let state = tempfile::tempdir().unwrap();
    let mut record = given_up(b"x");
    let raw = b"/var/log/\xff\xfe.log";
    let info = OriginInfo::new(PathBuf::from(OsStr::from_bytes(raw)), FileKey::default());
    record.extents[0].0 = Arc::new(info);
    quarantine(state.path()).keep(std::slice::from_ref(&record), NOON).unwrap();
    let origin = &waiting(state.path())[0].origins[0];
    assert_eq!(base64_simd::STANDARD.decode_to_vec(origin.path_base64.as_ref().unwrap()).unwrap(), raw);
}

#[test]
fn records_of_one_process_share_a_file_until_it_is_full() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine { largest_file: 1_000, ..quarantine(state.path()) };
    for _ in 0..6 {
        quarantine.keep(&[given_up(&[b'x'; 100])], NOON).unwrap();
    }
    let files = files(state.path()).unwrap();
    assert!(files.len() > 1 && files.len() < 6, "{files:?}");
    assert!(files.iter().all(|path| path.metadata().unwrap().len() <= 1_000));
    assert_eq!(waiting(state.path()).len(), 6);
}

#[test]
fn two_flows_of_one_stream_do_not_meet_in_a_file() {
    let state = tempfile::tempdir().unwrap();
    let mut first = quarantine(state.path());
    let mut second = Quarantine::new(state.path(), "logs", "other");
    for _ in 0..3 {
        first.keep(&[given_up(b"1")], NOON).unwrap();
        second.keep(&[given_up(b"2")], NOON).unwrap();
    }
    assert_eq!(files(state.path()).unwrap().len(), 2);
    assert_eq!(waiting(state.path()).len(), 6);
}

#[test]
fn a_full_quarantine_refuses_and_takes_again_when_there_is_room() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine { largest_stream: 1_000, ..quarantine(state.path()) };
    let mut kept = 0;
    let error = loop {
        match quarantine.keep(&[given_up(&[b'x'; 100])], NOON) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, QuarantineError::Full { .. }), "{error}");
    assert!(error.to_string().contains("quarantine drop"), "{error}");
    assert_eq!(waiting(state.path()).len(), kept);
    fs::remove_file(&files(state.path()).unwrap()[0]).unwrap();
    quarantine.keep(&[given_up(b"x")], NOON).unwrap();
    assert_eq!(waiting(state.path()).len(), 1);
}

#[test]
fn a_full_disk_is_an_error() {
    let mut full = OpenOptions::new().append(true).open("/dev/full").unwrap();
    assert_eq!(append(&mut full, b"{}\n").unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_until_it_can() {
    let state = tempfile::tempdir().unwrap();
    let in_the_way = state.path().join(FOLDER);
    fs::write(&in_the_way, "").unwrap();
    let mut quarantine = quarantine(state.path());
    let error = quarantine.keep(&[given_up(b"x")], NOON).unwrap_err();
    assert!(matches!(error, QuarantineError::Disk { .. }), "{error}");
    fs::remove_file(&in_the_way).unwrap();
    quarantine.keep(&[given_up(b"x")], NOON).unwrap();
    assert_eq!(waiting(state.path()).len(), 1);
}

#[test]
fn a_torn_end_and_a_damaged_line_hide_no_record() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = quarantine(state.path());
    quarantine.keep(&[given_up(b"one")], NOON).unwrap();
    let path = files(state.path()).unwrap().remove(0);
    let good = fs::read(&path).unwrap();
    let bytes = [&good[..], b"{\"time\":\n", &good[..], &good[..good.len() / 2]].concat();
    fs::write(&path, bytes).unwrap();
    let states: Vec<LineState> = all_lines(state.path()).into_iter().map(|line| line.state).collect();
    assert!(
        matches!(&states[..], [LineState::Waiting(_), LineState::Damaged(_), LineState::Waiting(_), LineState::Torn]),
        "{states:?}"
    );
}

#[test]
fn a_marked_line_waits_no_longer_and_compacting_removes_it() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = quarantine(state.path());
    for payload in [&b"one"[..], b"two", b"three"] {
        quarantine.keep(&[given_up(payload)], NOON).unwrap();
    }
    let path = files(state.path()).unwrap().remove(0);
    let file = open(&path).unwrap().unwrap();
    let second = file.lines().unwrap().nth(1).unwrap().unwrap();
    file.mark_delivered(&second).unwrap();
    assert_eq!(waiting(state.path()).len(), 2);
    assert_eq!(file.compact().unwrap(), 2);
    let sizes: Vec<usize> = waiting(state.path()).iter().map(Entry::size).collect();
    assert_eq!(sizes, [3, 5]);
    let file = open(&path).unwrap().unwrap();
    for line in file.lines().unwrap() {
        file.mark_delivered(&line.unwrap()).unwrap();
    }
    assert_eq!(file.compact().unwrap(), 0);
    assert!(files(state.path()).unwrap().is_empty());
}

#[test]
fn compacting_keeps_long_records_and_damaged_lines_byte_for_byte() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = quarantine(state.path());
    for size in [30_000, 50_000, 1, 900_000, 20_000] {
        quarantine.keep(&[given_up(&vec![b'x'; size])], NOON).unwrap();
    }
    let path = files(state.path()).unwrap().remove(0);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[b'y'; 20_000]);
    bytes.extend_from_slice(b"\n{\"torn");
    fs::write(&path, bytes).unwrap();
    let file = open(&path).unwrap().unwrap();
    let second = file.lines().unwrap().nth(1).unwrap().unwrap();
    file.mark_delivered(&second).unwrap();
    let stays = |line: &Line| matches!(line.state, LineState::Waiting(_) | LineState::Damaged(_));
    let before: Vec<LineState> = all_lines(state.path()).into_iter().filter(stays).map(|line| line.state).collect();
    assert_eq!(file.compact().unwrap(), 5);
    let after: Vec<LineState> = all_lines(state.path()).into_iter().map(|line| line.state).collect();
    assert_eq!(before, after);
}

#[test]
fn a_file_under_replay_is_left_alone_and_the_record_goes_to_another() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = quarantine(state.path());
    quarantine.keep(&[given_up(b"one")], NOON).unwrap();
    let path = files(state.path()).unwrap().remove(0);
    let replayed = open(&path).unwrap().unwrap();
    assert!(open(&path).unwrap().is_none(), "one replay at a time");
    quarantine.keep(&[given_up(b"two")], NOON + 1).unwrap();
    replayed.compact().unwrap();
    quarantine.keep(&[given_up(b"three")], NOON + 2).unwrap();
    assert_eq!(waiting(state.path()).len(), 3);
}

#[test]
fn a_stream_name_cannot_leave_the_folder() {
    for (stream, folder) in [("..", "_.."), ("a/../b", "a_.._b"), ("", "_"), ("logs.v1-x_y", "logs.v1-x_y")] {
        assert_eq!(folder_name(stream), folder);
    }
}

#[test]
fn several_records_are_kept_together_each_a_line_of_its_own() {
    let state = tempfile::tempdir().unwrap();
    let mut quarantine = Quarantine::new(state.path(), "logs", "flow");
    let records: Vec<GivenUp> =
        (0..3).map(|number| GivenUp { unprocessed: true, ..given_up(format!("line {number}\n").as_bytes()) }).collect();
    quarantine.keep(&records, 0).unwrap();
    let files = files(state.path()).unwrap();
    assert_eq!(files.len(), 1);
    let lines: Vec<Line> = look(&files[0]).unwrap().unwrap().lines().unwrap().map(Result::unwrap).collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|line| matches!(&line.state, LineState::Waiting(entry) if entry.unprocessed)),
        "{lines:?}"
    );
}
