//! One file of the spool: its size, how much of it is settled, and which messages its stretches hold.
//! Promises that a file taken over from an earlier life ends with a whole line.
//! Leaves appending and deleting to the spool.

use datalake_mqtt::intake::Counts;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Stretches are not told apart more finely than this, so that a full spool needs little memory.
const STRETCH_BYTES: u64 = 256 << 10;
/// The end of a file is searched for a line break in steps of this.
const STEP: u64 = 64 << 10;

/// A stretch of a segment.
#[derive(Debug)]
struct Stretch {
    begin: u64,
    end: u64,
    /// When its first message was appended, in milliseconds since 1970.
    at: u64,
    counts: Counts,
}

/// See the head of this file. Invariant: `settled <= size`; stretches ascend and end at `size` at most.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    settled: u64,
    stretches: VecDeque<Stretch>,
}

impl Segment {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, size: 0, settled: 0, stretches: VecDeque::new() }
    }

    /// A file of an earlier life. What follows its last line break was never acknowledged, and is cut.
    pub(super) fn adopt(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let status = file.metadata()?;
        let whole = end_of_last_line(&file, status.len())?;
        if whole < status.len() {
            file.set_len(whole)?;
            file.sync_all()?;
        }
        let changed = status.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(changed.as_millis()).unwrap_or(u64::MAX);
        let mut segment = Self { size: whole, ..Self::new(path.to_owned()) };
        segment.note(&[], at);
        Ok(segment)
    }

    /// Everything up to the present size was appended; `counts` is of what is new.
    pub(super) fn note(&mut self, counts: &[u64], now: u64) {
        let begin = self.stretches.back().map_or(0, |last| last.end);
        match self.stretches.back_mut() {
            Some(last) if self.size - last.begin <= STRETCH_BYTES => {
                last.end = self.size;
                add(&mut last.counts, counts);
            }
            _ if self.size > begin => {
                self.stretches.push_back(Stretch { begin, end: self.size, at: now, counts: counts.to_vec() });
            }
            _ => {}
        }
    }

    /// Whether the name still stands for this file, and it is as long as what was written to it.
    pub(super) fn is_at(&self, file: &File) -> bool {
        let (Ok(ours), Ok(found)) = (file.metadata(), std::fs::metadata(&self.path)) else { return false };
        (ours.dev(), ours.ino()) == (found.dev(), found.ino()) && found.len() == self.size
    }

    /// Somebody else made the file so long. One that was cut is read from its beginning again where more than what is
    /// left of it had been read.
    pub(super) fn resize(&mut self, size: u64) {
        self.size = size;
        if self.settled > size {
            self.settled = 0;
        }
        self.stretches.retain(|stretch| stretch.begin < size);
        if let Some(last) = self.stretches.back_mut() {
            last.end = last.end.min(size);
        }
    }

    /// Everything before the position is settled.
    pub(super) fn settle(&mut self, position: u64, delivered: &mut Counts) {
        self.settled = self.settled.max(position.min(self.size));
        while let Some(first) = self.stretches.front().filter(|first| first.end <= self.settled) {
            add(delivered, &first.counts);
            self.stretches.pop_front();
        }
    }

    pub(super) const fn unsettled(&self) -> u64 {
        self.size - self.settled
    }

    /// When the oldest stretch that is not settled began.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.stretches.front().map(|first| first.at)
    }
}

fn add(sums: &mut Counts, counts: &[u64]) {
    sums.resize(sums.len().max(counts.len()), 0);
    sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
}

/// The length without what follows the last line break.
fn end_of_last_line(file: &File, size: u64) -> io::Result<u64> {
    let (mut end, mut bytes) = (size, Vec::new());
    while end > 0 {
        let begin = end.saturating_sub(STEP);
        bytes.resize((end - begin) as usize, 0);
        file.read_exact_at(&mut bytes, begin)?;
        if let Some(found) = memchr::memrchr(b'\n', &bytes) {
            return Ok(begin + found as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}
