use super::*;
use datalake_base::record::Position;
use std::fs::{self, OpenOptions};

fn lines(folder: &Path) -> Vec<String> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let text: String = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert!(text.is_empty() || text.ends_with('\n'), "a torn line was left");
    text.lines().map(str::to_owned).collect()
}

fn open(folder: &Path, limit: u64) -> (Spool, SettledFiles) {
    let settled = SettledFiles::default();
    (Spool::open(folder, limit, settled.clone(), 1).unwrap(), settled)
}

/// As the queue does it.
fn append(spool: &mut Spool, lines: &[u8], counts: &[u64], now: u64) -> Result<(), SpoolError> {
    if spool.is_segment_full() {
        spool.sync()?;
        spool.rotate();
    }
    spool.append(lines, counts, now)
}

fn path_of_active(spool: &Spool) -> PathBuf {
    spool.active.as_ref().unwrap().0.path.clone()
}

/// The folder as a power failure may leave it: everything synced, and any part of what was only written.
fn after_power_failure(folder: &Path, synced: &[(PathBuf, u64)], kept: u64) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let to = copy.path().join(path.file_name().unwrap());
        fs::copy(&path, &to).unwrap();
        let size = fs::metadata(&path).unwrap().len();
        let safe = synced.iter().rfind(|(known, _)| *known == path).map_or(0, |(_, safe)| *safe);
        OpenOptions::new().write(true).open(&to).unwrap().set_len((safe + kept).min(size)).unwrap();
    }
    copy
}

#[test]
fn after_a_crash_at_any_write_all_that_was_synced_is_there_and_nothing_is_torn() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    // Small, so that segments are closed often.
    let (mut spool, _) = open(folder.path(), 16_000);
    let (mut written, mut safe, mut synced) = (Vec::new(), 0, Vec::<(PathBuf, u64)>::new());
    for group in 0..60 {
        let fresh: Vec<String> =
            (0..random.usize(1..5)).map(|line| format!("{group}-{line}-{}", "x".repeat(random.usize(0..80)))).collect();
        let bytes: String = fresh.iter().map(|line| format!("{line}\n")).collect();
        append(&mut spool, bytes.as_bytes(), &[fresh.len() as u64], group).unwrap();
        written.extend(fresh);
        // A closed segment was synced when it was closed.
        synced.extend(spool.closed.iter().map(|segment| (segment.path.clone(), segment.size)));
        for _ in 0..4 {
            let crashed = after_power_failure(folder.path(), &synced, random.u64(0..400));
            let (mut after, _) = open(crashed.path(), 1 << 20);
            let found = lines(crashed.path());
            assert!(found.len() >= safe, "{} lines of {safe}", found.len());
            assert_eq!(found, written[..found.len()]);
            // And it goes on, under a name of its own.
            append(&mut after, b"more\n", &[1], 0).unwrap();
            after.sync().unwrap();
            assert_eq!(lines(crashed.path()).last().unwrap(), "more");
        }
        if random.bool() {
            spool.sync().unwrap();
            safe = written.len();
            synced = fs::read_dir(folder.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.path(), entry.metadata().unwrap().len()))
                .collect();
        }
    }
}

#[test]
fn a_segment_is_deleted_when_it_is_closed_and_everything_in_it_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, settled) = open(folder.path(), 400);
    let line = format!("{}\n", "a".repeat(99));
    append(&mut spool, line.as_bytes(), &[1, 0], 5).unwrap();
    let first = path_of_active(&spool);
    append(&mut spool, line.as_bytes(), &[0, 1], 9).unwrap();
    assert_ne!(path_of_active(&spool), first);
    settled.post(&first, Position(99));
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.oldest, standing.delivered), (101, Some(5), vec![]));
    settled.post(&first, Position(100));
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.oldest, standing.delivered), (100, Some(9), vec![1, 0]));
    assert!(!first.exists() && standing.awaits);
    settled.post(&path_of_active(&spool), Position(100));
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.oldest, standing.delivered, standing.awaits), (0, None, vec![0, 1], false));
    assert!(path_of_active(&spool).exists(), "the open segment stays");
}

#[test]
fn a_full_spool_says_so_and_takes_more_once_something_is_settled() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, settled) = open(folder.path(), 400);
    let line = format!("{}\n", "a".repeat(149));
    append(&mut spool, line.as_bytes(), &[1], 0).unwrap();
    let first = path_of_active(&spool);
    append(&mut spool, line.as_bytes(), &[1], 0).unwrap();
    assert!(matches!(append(&mut spool, line.as_bytes(), &[1], 0), Err(SpoolError::Full { .. })));
    settled.post(&first, Position(150));
    spool.collect();
    append(&mut spool, line.as_bytes(), &[1], 0).unwrap();
    assert_eq!(lines(folder.path()).len(), 2);
}

#[test]
fn the_open_segment_makes_way_when_it_is_settled_and_its_room_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, settled) = open(folder.path(), 4000);
    append(&mut spool, format!("{}\n", "a".repeat(899)).as_bytes(), &[1], 0).unwrap();
    settled.post(&path_of_active(&spool), Position(900));
    spool.collect();
    append(&mut spool, format!("{}\n", "b".repeat(3_500)).as_bytes(), &[1], 0).unwrap();
    assert_eq!(lines(folder.path()).len(), 1);
}

#[test]
fn segments_of_an_earlier_life_are_settled_and_deleted_like_any_other() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(folder.path(), 1 << 20);
    append(&mut spool, b"one\ntwo\n", &[2], 0).unwrap();
    let path = path_of_active(&spool);
    drop(spool);
    fs::write(&path, "one\ntwo\nthr").unwrap();
    let (mut spool, settled) = open(folder.path(), 1 << 20);
    assert_eq!(lines(folder.path()), ["one", "two"]);
    assert_eq!(spool.collect().bytes, 8);
    settled.post(&path, Position(8));
    assert!(!spool.collect().awaits && !path.exists());
}

#[test]
fn the_pattern_finds_the_segments_whatever_the_folder_is_called() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("a{b,c}[d]*?\\ e");
    let (mut spool, _) = open(&folder, 1 << 20);
    append(&mut spool, b"x\n", &[1], 0).unwrap();
    let pattern = Spool::pattern(&folder);
    let mut glob = globset::GlobBuilder::new(&pattern);
    assert!(
        glob.literal_separator(true)
            .backslash_escape(true)
            .build()
            .unwrap()
            .compile_matcher()
            .is_match(path_of_active(&spool))
    );
}

#[test]
fn what_is_synced_to_a_file_that_somebody_removed_is_not_taken_for_safe() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("spool");
    let (mut spool, _) = open(&folder, 1 << 20);
    let ways: [&dyn Fn(&Path); 4] = [
        &|path| fs::remove_file(path).unwrap(),
        &|_| fs::remove_dir_all(&folder).unwrap(),
        &|path| fs::rename(path, root.path().join("elsewhere")).unwrap(),
        // As an editor does it.
        &|path| {
            fs::copy(path, root.path().join("edited")).unwrap();
            fs::rename(root.path().join("edited"), path).unwrap();
        },
    ];
    for remove in ways {
        append(&mut spool, b"before\n", &[1], 0).unwrap();
        spool.sync().unwrap();
        remove(&path_of_active(&spool));
        append(&mut spool, b"after\n", &[1], 0).unwrap();
        assert!(matches!(spool.sync(), Err(SpoolError::Touched { .. })));
        append(&mut spool, b"after\n", &[1], 0).unwrap();
        spool.sync().unwrap();
        assert_eq!(lines(&folder).last().unwrap(), "after");
    }
}

#[test]
fn files_that_somebody_cut_or_removed_are_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, settled) = open(folder.path(), 400);
    let line = format!("{}\n", "a".repeat(99));
    let mut one_more = || {
        append(&mut spool, line.as_bytes(), &[1], 0).unwrap();
        spool.sync().unwrap();
        path_of_active(&spool)
    };
    let paths = [one_more(), one_more(), one_more(), one_more()];
    assert!(matches!(append(&mut spool, b"x\n", &[1], 0), Err(SpoolError::Full { .. })));
    fs::remove_file(&paths[0]).unwrap();
    OpenOptions::new().write(true).open(&paths[1]).unwrap().set_len(0).unwrap();
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.touched), (200, paths[..2].to_vec()));
    assert_eq!(spool.collect().touched, Vec::<PathBuf>::new(), "it is reported once");
    append(&mut spool, line.as_bytes(), &[1], 0).unwrap();
    settled.post(&paths[2], Position(100));
    settled.post(&paths[3], Position(100));
    assert_eq!(spool.collect().bytes, 100);
}

#[test]
fn the_open_file_may_be_cut_or_written_to_by_others_and_ours_is_still_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    // What is left of a line that was cut is cut too: nobody would ever finish it.
    for (length, expected) in [(0, 0), (3, 0), (20, 7)] {
        let (mut spool, settled) = open(folder.path(), 1 << 20);
        append(&mut spool, b"before\n", &[1], 0).unwrap();
        spool.sync().unwrap();
        let path = path_of_active(&spool);
        settled.post(&path, Position(7));
        spool.collect();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(length).unwrap();
        assert!(matches!(spool.sync(), Err(SpoolError::Touched { .. })), "{length}");
        assert_eq!(spool.closed.back().map_or(0, |segment| segment.size), expected);
        append(&mut spool, b"after\n", &[1], 0).unwrap();
        spool.sync().unwrap();
        assert_ne!(path_of_active(&spool), path);
        fs::remove_file(path_of_active(&spool)).unwrap();
        fs::remove_file(&path).ok();
    }
}

/// A spool that was listed as having messages, because of a file that opening it did not take for a segment, was logged at
/// each start and never emptied.
#[test]
fn files_that_somebody_put_into_the_folder_are_none_of_ours_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let names = ["5.ndjson", "+0000000000000000005.ndjson", "18446744073709551615.ndjson", "notes.ndjson", "x"];
    for name in names {
        fs::write(at(name), "not whole").unwrap();
    }
    fs::create_dir(at("00000000000000000006.ndjson")).unwrap();
    std::os::unix::fs::symlink(at("x"), at("00000000000000000007.ndjson")).unwrap();
    assert!(!Spool::has_messages(folder.path()));
    let glob = globset::GlobBuilder::new(&Spool::pattern(folder.path())).literal_separator(true).build().unwrap();
    assert!(names.iter().all(|name| name.starts_with('1') || !glob.compile_matcher().is_match(at(name))));
    let (mut spool, _) = open(folder.path(), 1 << 20);
    assert!(spool.closed.is_empty());
    append(&mut spool, b"x\n", &[1], 0).unwrap();
    spool.sync().unwrap();
    assert!(Spool::has_messages(folder.path()));
    assert!(names.iter().all(|name| fs::read_to_string(at(name)).unwrap() == "not whole"));
}

#[test]
fn a_settled_file_that_cannot_be_deleted_is_told_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let (mut spool, settled) = open(folder.path(), 400);
    append(&mut spool, format!("{}\n", "a".repeat(99)).as_bytes(), &[1], 0).unwrap();
    let first = path_of_active(&spool);
    append(&mut spool, b"x\n", &[1], 0).unwrap();
    settled.post(&first, Position(100));
    // No file can be deleted here by anybody, not even by root.
    fs::remove_file(&first).unwrap();
    fs::create_dir(&first).unwrap();
    assert!(spool.collect().stuck.is_some_and(|why| why.contains(&first.display().to_string())));
    fs::remove_dir(&first).unwrap();
    assert_eq!((spool.collect().stuck, spool.bytes), (None, 2));
}
