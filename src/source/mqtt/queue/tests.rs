//! The queue and the spool on a disk that fails: every call once, in every way, and then many at random.
//! A power failure after any step must leave everything that was acknowledged.

use super::*;
use crate::source::mqtt::spool::Disk;
use datalake_base::record::{Position, SettledFiles};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// Nothing happens.
    Before,
    /// It happens, and the call reports that it did not. A write takes a part and says so.
    After,
}

/// What the disk would hold after a power failure, and which calls fail.
#[derive(Debug, Default)]
struct State {
    calls: usize,
    failures: BTreeMap<usize, Failure>,
    /// By inode.
    durable: BTreeMap<u64, Vec<u8>>,
    /// Bytes that a failed sync dropped: the system gives them to readers, and never to the disk.
    dropped: BTreeMap<u64, Vec<std::ops::Range<usize>>>,
    names: BTreeSet<PathBuf>,
}

#[derive(Clone, Debug, Default)]
struct Failing(Arc<Mutex<State>>);

/// The calls as the system does them.
#[derive(Debug)]
struct Plain;
impl Disk for Plain {}

impl Failing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn next(&self) -> Option<Failure> {
        let mut state = self.state();
        let call = state.calls;
        state.calls += 1;
        state.failures.get(&call).copied()
    }

    fn call<T>(&self, call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.next() {
            None => call(),
            Some(Failure::Before) => Err(ErrorKind::StorageFull.into()),
            Some(Failure::After) => call().and_then(|_| Err(ErrorKind::StorageFull.into())),
        }
    }

    /// Everything in the file reaches the disk, but for what was dropped.
    fn save(&self, path: &Path) {
        let (inode, mut bytes) = (fs::metadata(path).unwrap().ino(), fs::read(path).unwrap());
        let mut state = self.state();
        for range in state.dropped.get(&inode).into_iter().flatten() {
            let end = range.end.min(bytes.len());
            bytes[range.start.min(end)..end].fill(0);
        }
        state.durable.insert(inode, bytes);
    }

    /// The lines that a start after a power failure finds.
    fn after_power_failure(&self, folder: &Path) -> BTreeSet<String> {
        let copy = tempfile::tempdir().unwrap();
        let state = self.state();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if let Some(bytes) =
                state.durable.get(&fs::metadata(&path).unwrap().ino()).filter(|_| state.names.contains(&path))
            {
                fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            }
        }
        drop(Spool::open(copy.path(), 1 << 20, SettledFiles::default(), 1).unwrap());
        let files = fs::read_dir(copy.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
        files
            .flat_map(|bytes| String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }
}

fn descriptor(file: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

impl Disk for Failing {
    fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.call(|| Plain.make_folder(folder))
    }

    fn create(&mut self, path: &Path) -> io::Result<File> {
        self.call(|| {
            let file = Plain.create(path)?;
            let inode = file.metadata()?.ino();
            let mut state = self.state();
            state.dropped.remove(&inode);
            state.durable.insert(inode, Vec::new());
            state.names.remove(path);
            Ok(file)
        })
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.call(|| {
            let names: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| entry.unwrap().path()).collect();
            self.state().names.extend(names);
            Ok(())
        })
    }

    fn write(&mut self, file: &File, bytes: &[u8]) -> io::Result<usize> {
        match self.next() {
            None => Plain.write(file, bytes),
            Some(Failure::Before) => Err(ErrorKind::StorageFull.into()),
            Some(Failure::After) => Plain.write(file, &bytes[..bytes.len().div_ceil(2)]),
        }
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        let failure = self.next();
        if failure == Some(Failure::Before) {
            let (inode, length) = (file.metadata()?.ino(), file.metadata()?.len() as usize);
            let mut state = self.state();
            let safe = state.durable.get(&inode).map_or(0, Vec::len);
            state.dropped.entry(inode).or_default().push(safe..length);
        } else {
            self.save(&descriptor(file));
        }
        if failure.is_some() { Err(ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn cut(&mut self, path: &Path) -> io::Result<crate::source::mqtt::spool::Whole> {
        self.call(|| {
            let whole = Plain.cut(path)?;
            self.save(path);
            Ok(whole)
        })
    }

    fn size(&mut self, path: &Path) -> io::Result<u64> {
        self.call(|| Plain.size(path))
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.call(|| Plain.remove(path))
    }
}

/// Reads the spool as the tailing thread does: whole lines, each file from where it left it.
#[derive(Default)]
struct Tailer {
    positions: BTreeMap<PathBuf, usize>,
    delivered: BTreeMap<String, usize>,
}

impl Tailer {
    fn read(&mut self, folder: &Path, settled: &SettledFiles) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let position = self.positions.entry(path.clone()).or_default();
            *position = (*position).min(bytes.len());
            let rest = &bytes[*position..];
            let whole = memchr::memrchr(b'\n', rest).map_or(0, |found| found + 1);
            for line in std::str::from_utf8(&rest[..whole]).unwrap().lines() {
                *self.delivered.entry(line.to_owned()).or_default() += 1;
            }
            *position += whole;
            settled.post(&path, Position(*position as u64));
        }
    }
}

fn commit(lines: &str, count: usize) -> Commit {
    let mut batch = Batch::default();
    batch.lines.extend_from_slice(lines.as_bytes());
    batch.counts.push(count as u64);
    Commit { batch, done: oneshot::channel().0 }
}

/// Two connections write for a while on a disk with these failures. Returns how many calls that took.
fn live(failures: BTreeMap<usize, Failure>, random: &mut fastrand::Rng) -> usize {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("spool");
    let disk = Failing::default();
    let story = format!("{failures:?}");
    // It can be opened, so that there is a story.
    let settled = SettledFiles::default();
    let mut spool = Spool::open_on(Box::new(disk.clone()), &folder, 1200, settled.clone(), 1).unwrap();
    {
        let mut state = disk.state();
        (state.calls, state.failures) = (0, failures);
    }
    let keep: Keep = Arc::new(|_| Ok(()));
    let (mut queue, mut tailer) = (Queue::default(), Tailer::default());
    let (mut pushed, mut acknowledged) = (Vec::<String>::new(), Vec::<String>::new());
    for round in 0..40 {
        let last = round >= 20;
        if last {
            // From here on the disk is well.
            disk.state().failures.clear();
        } else if queue.is_empty() {
            for _ in 0..random.usize(1..4) {
                let mut lines = Vec::new();
                for _ in 0..random.usize(0..4) {
                    lines.push(format!("{}-{}", pushed.len(), "x".repeat(random.usize(0..80))));
                    pushed.extend(lines.last().cloned());
                }
                let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
                queue.push(commit(&text, lines.len()));
            }
        }
        let written = queue.write(&mut spool, &keep, 1);
        for commit in written.safe {
            acknowledged.extend(String::from_utf8(commit.batch.lines).unwrap().lines().map(str::to_owned));
        }
        assert_eq!(acknowledged, pushed[..acknowledged.len()], "out of order: {story}");
        let there = disk.after_power_failure(&folder);
        for line in &acknowledged {
            assert!(
                there.contains(line) || tailer.delivered.contains_key(line),
                "{line} is acknowledged and gone: {story}"
            );
        }
        if last || random.u8(0..3) == 0 {
            tailer.read(&folder, &settled);
        }
        spool.collect();
    }
    assert!(queue.is_empty() && acknowledged == pushed, "it does not come back: {story}");
    let known: BTreeSet<&String> = pushed.iter().collect();
    assert!(tailer.delivered.keys().all(|line| known.contains(line)), "a torn line was delivered: {story}");
    assert_eq!(tailer.delivered.len(), pushed.len(), "{story}");
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.stuck, standing.touched.len()), (0, None, 0), "{story}");
    // Nothing is left to do but the open file.
    assert!(!standing.awaits, "a file is waited for, for ever: {story}");
    let twice: usize = tailer.delivered.values().map(|times| times - 1).sum();
    assert!(story != "{}" || twice == 0, "sent twice without need");
    disk.state().calls
}

#[test]
fn whichever_call_fails_nothing_is_acknowledged_that_a_power_failure_could_take() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let calls = live(BTreeMap::new(), &mut fastrand::Rng::with_seed(seed));
    assert!(calls > 60, "{calls}");
    for call in 0..calls {
        for failure in [Failure::Before, Failure::After] {
            live(BTreeMap::from([(call, failure)]), &mut fastrand::Rng::with_seed(seed));
            // And what is done about it fails too.
            live((call..call + 3).map(|call| (call, failure)).collect(), &mut fastrand::Rng::with_seed(seed));
        }
    }
}

#[test]
fn on_a_disk_that_fails_at_random_everything_acknowledged_is_safe_and_everything_arrives() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        let every = random.usize(2..30);
        let mut failures = BTreeMap::new();
        for call in 0..400 {
            if random.usize(0..every) == 0 {
                failures.insert(call, if random.bool() { Failure::Before } else { Failure::After });
            }
        }
        live(failures, &mut random);
    }
}

#[test]
fn when_the_sync_before_a_rotation_fails_no_batch_of_that_segment_is_acknowledged() {
    // Two connections: the first batch fills the segment, the second asks for another. The sync of the first failed and
    // closed it, the sync that followed had nothing to do and said yes, and a message that existed nowhere was acknowledged.
    let folder = tempfile::tempdir().unwrap();
    let disk = Failing::default();
    let mut spool = Spool::open_on(Box::new(disk.clone()), folder.path(), 400, SettledFiles::default(), 1).unwrap();
    let keep: Keep = Arc::new(|_| Ok(()));
    let mut queue = Queue::default();
    for letter in ["a", "b"] {
        queue.push(commit(&format!("{}\n", letter.repeat(120)), 1));
    }
    // The folder, the file, its name and one write come before the sync.
    let calls = disk.state().calls;
    disk.state().failures.insert(calls + 4, Failure::Before);
    let written = queue.write(&mut spool, &keep, 1);
    assert!(written.error.unwrap().contains("cannot sync"));
    assert!(written.safe.is_empty());
    assert!(disk.after_power_failure(folder.path()).is_empty());
    let written = queue.write(&mut spool, &keep, 1);
    assert_eq!((written.safe.len(), written.error), (2, None));
    assert_eq!(disk.after_power_failure(folder.path()).len(), 2);
}

#[test]
fn a_line_that_a_failed_sync_left_torn_is_cut_at_once_and_its_segment_is_deleted_like_any_other() {
    // The rest of the line went into another file, so the tail of this one was waited for until the next start.
    let folder = tempfile::tempdir().unwrap();
    let (disk, settled) = (Failing::default(), SettledFiles::default());
    let mut spool = Spool::open_on(Box::new(disk.clone()), folder.path(), 4000, settled.clone(), 1).unwrap();
    let (keep, mut queue): (Keep, _) = (Arc::new(|_| Ok(())), Queue::default());
    queue.push(commit("whole\n", 1));
    queue.push(commit("torn\n", 1));
    // After the first line and a half of the second the disk is full, and it fails when it is asked to sync the first.
    let calls = disk.state().calls;
    disk.state().failures.extend(
        [(4, Failure::After), (5, Failure::Before), (6, Failure::Before)].map(|(call, how)| (calls + call, how)),
    );
    assert!(queue.write(&mut spool, &keep, 1).safe.is_empty());
    let left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert_eq!(left, [b"whole\n"]);
    assert_eq!(queue.write(&mut spool, &keep, 1).safe.len(), 2);
    Tailer::default().read(folder.path(), &settled);
    let standing = spool.collect();
    assert_eq!((standing.bytes, standing.awaits), (0, false));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
