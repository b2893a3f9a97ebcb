//! One file of the spool: its size, how much of it is settled, and which messages its stretches hold.
//! Promises arithmetic only. Leaves the file itself to the spool.

use super::disk::Whole;
use datalake_mqtt::intake::Counts;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// Stretches are at least this long, so that a full spool needs little memory.
const STRETCH_BYTES: u64 = 256 << 10;

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
    /// Whether the file may end within a line, which nobody would ever finish.
    pub(super) torn: bool,
    settled: u64,
    stretches: VecDeque<Stretch>,
}

impl Segment {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, size: 0, torn: false, settled: 0, stretches: VecDeque::new() }
    }

    /// A file of an earlier run, cut to whole lines.
    pub(super) fn adopt(path: PathBuf, whole: Whole) -> Self {
        let mut segment = Self { size: whole.size, ..Self::new(path) };
        segment.note(&[], whole.changed);
        segment
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
