//! The lines that an estimate is made from: the newest of what is there, or what is written while it watches.
//! Promises to change nothing, to read a bounded amount, and to frame and process lines exactly as the flow does.
//! Leaves what they cost to the bill.

use super::bill::{Bill, Sum, Way};
use crate::app;
use crate::config::FlowPlan;
use crate::source::file::survey;
use crate::telemetry::clock;
use datalake_archive::{ENOUGH, Kind, recognise};
use datalake_base::record::{FileKey, Position};
use datalake_core::framing::{Framed, Framer, Input, Room, Run};
use datalake_process::{NotReady, Place, Processor, Verdict};
use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// Lines of a flow are looked at up to this number of bytes; more of them would say the same.
const MOST_BYTES: u64 = 16 << 20;
/// Of one file, where there are several.
const MOST_OF_A_FILE: u64 = 4 << 20;
/// Files that are looked into.
const MOST_FILES: usize = 1000;
/// Bytes read at a time.
const READ_BYTES: usize = 256 * 1024;
/// A file that was not written for so long says nothing about how much is written now.
const ACTIVE: Duration = Duration::from_secs(24 * 3600);
/// A file that is younger says nothing either.
const YOUNG: Duration = Duration::from_secs(60);

/// What was found out about a flow, or about one file.
#[derive(Debug)]
pub(super) struct Found {
    /// What each way of sending costs, in the order of [`Way::all`].
    pub(super) sums: Vec<(Way, Sum)>,
    /// Bytes of the files that are written a second, where that is known.
    pub(super) rate: Option<f64>,
    /// How it is known.
    pub(super) rate_by: RateBy,
    /// Bytes of whole lines that were looked at.
    pub(super) read: u64,
    /// Records that would be sent.
    pub(super) records: u64,
    /// Records that options drop or cannot work on.
    pub(super) kept_back: u64,
    /// Files that were looked into.
    pub(super) files: usize,
    /// Files that could not be, and why; the first of them.
    pub(super) unread: Vec<(PathBuf, String)>,
}

/// Where a rate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateBy {
    /// The size of the files that were written lately, by their age.
    Age,
    /// What was written while this command watched, for so long.
    Watching(Duration),
}

/// A flow's lines on their way into bills.
pub(super) struct Sampler<'a> {
    flow: &'a FlowPlan,
    processor: Processor,
    bills: Vec<Bill>,
    out: Vec<u8>,
    read: u64,
    /// Bytes of whole lines.
    framed: u64,
    records: u64,
    kept_back: u64,
    unread: Vec<(PathBuf, String)>,
    /// Files that are followed: where reading goes on.
    followed: BTreeMap<FileKey, u64>,
    files: usize,
    /// Bytes that were written while it watched.
    written: u64,
}

impl<'a> Sampler<'a> {
    pub(super) fn new(flow: &'a FlowPlan) -> Result<Self, NotReady> {
        let processor = Processor::new(&flow.process, &app::surroundings(flow, None))?;
        let processor = processor.with_terminator(&flow.framing.terminator);
        let bills = Way::all(&flow.batch.form).iter().map(|way| Bill::new(*way, &flow.batch)).collect();
        Ok(Self {
            flow,
            processor,
            bills,
            out: Vec::new(),
            read: 0,
            framed: 0,
            records: 0,
            kept_back: 0,
            unread: Vec::new(),
            followed: BTreeMap::new(),
            files: 0,
            written: 0,
        })
    }

    /// Reads the newest lines of these files.
    pub(super) fn read_newest(mut self, paths: &[PathBuf]) -> Found {
        let mut files = Vec::new();
        for path in paths {
            match self.open(path) {
                Ok(Some(opened)) => files.push((path, opened)),
                Ok(None) => self.skip(path, "it is an archive; give its content, unpacked".to_owned()),
                Err(error) => self.skip(path, error.to_string()),
            }
            if files.len() >= MOST_FILES {
                break;
            }
        }
        let rates: Vec<f64> = files.iter().filter_map(|(_, (_, metadata))| rate_by_age(metadata)).collect();
        let rate = (!rates.is_empty()).then(|| rates.iter().sum::<f64>());
        files.sort_by_key(|(_, (_, metadata))| std::cmp::Reverse(metadata.mtime()));
        let share = if files.len() == 1 { MOST_BYTES } else { MOST_OF_A_FILE };
        // The times at which the lines came are not known: they count as spread evenly.
        let (begin, mut before) = (Instant::now(), 0);
        for (path, (file, metadata)) in &files {
            let size = metadata.len();
            let most = share.min(MOST_BYTES.saturating_sub(self.read));
            let from = size.saturating_sub(most);
            let mut at = |sofar: u64| {
                let seconds = rate.map_or(0.0, |rate| (before + sofar) as f64 / rate.max(1e-3));
                begin + Duration::try_from_secs_f64(seconds).unwrap_or_default()
            };
            match self.lines(path, file, metadata, from, size, &mut at) {
                Ok(read) => before += read,
                Err(error) => self.skip(path, error.to_string()),
            }
            self.files += 1;
            if self.read >= MOST_BYTES {
                break;
            }
        }
        self.found(rate, RateBy::Age)
    }

    /// The first look: what is there already does not count.
    pub(super) fn begin_watching(&mut self) {
        for path in survey::paths(&self.flow.source).iter().take(MOST_FILES) {
            if let Ok(metadata) = path.metadata() {
                self.followed.insert(key(&metadata), metadata.len());
            }
        }
    }

    /// A further look, now.
    pub(super) fn look(&mut self) {
        let now = Instant::now();
        self.bills.iter_mut().for_each(|bill| bill.pass(now));
        for path in survey::paths(&self.flow.source) {
            let Ok(metadata) = path.metadata() else { continue };
            let key = key(&metadata);
            if self.followed.len() >= MOST_FILES && !self.followed.contains_key(&key) {
                continue;
            }
            let at = *self.followed.get(&key).unwrap_or(&0);
            let size = metadata.len();
            // Cut: what is there now was written since.
            let from = if size < at { 0 } else { at };
            if size == from {
                self.followed.insert(key, size);
                continue;
            }
            let grown = match self.open(&path) {
                Ok(Some((file, metadata))) if self.read < MOST_BYTES => {
                    self.lines(&path, &file, &metadata, from, size, &mut |_| now)
                }
                Ok(Some(_)) => Ok(size - from),
                Ok(None) => Ok(0),
                Err(error) => Err(error),
            };
            match grown {
                Ok(grown) => self.written += grown,
                Err(error) => self.skip(&path, error.to_string()),
            }
            self.followed.insert(key, size);
        }
    }

    /// After the last look.
    pub(super) fn end_watching(mut self, watched: Duration) -> Found {
        self.files = self.followed.len();
        let rate = self.written as f64 / watched.as_secs_f64().max(1e-3);
        self.found(Some(rate), RateBy::Watching(watched))
    }

    fn found(self, rate: Option<f64>, rate_by: RateBy) -> Found {
        // What options make of the lines is what waits for its record to be full.
        let sent = self.bills.first().map_or(0.0, Bill::bytes) / self.framed.max(1) as f64;
        let sums = self.bills.into_iter().map(|bill| (bill.way, bill.end(rate.map(|rate| rate * sent)))).collect();
        Found {
            sums,
            rate,
            rate_by,
            read: self.framed,
            records: self.records,
            kept_back: self.kept_back,
            files: self.files,
            unread: self.unread,
        }
    }

    fn skip(&mut self, path: &Path, reason: String) {
        if self.unread.len() < 10 && !self.unread.iter().any(|(known, _)| known == path) {
            self.unread.push((path.to_owned(), reason));
        }
    }

    /// The file, if it holds lines.
    fn open(&self, path: &Path) -> io::Result<Option<(File, Metadata)>> {
        let file = survey::open(&self.flow.source, path)?;
        let mut beginning = [0; ENOUGH];
        let read = file.read_at(&mut beginning, 0)?;
        let metadata = file.metadata()?;
        Ok(matches!(recognise(&beginning[..read]), Kind::Plain | Kind::Undecided).then_some((file, metadata)))
    }

    /// Takes the lines of a stretch of the file; a line that began before it, or did not end in it, does not count. Answers
    /// how many bytes were read.
    fn lines(
        &mut self,
        path: &Path,
        file: &File,
        metadata: &Metadata,
        from: u64,
        to: u64,
        at: &mut dyn FnMut(u64) -> Instant,
    ) -> io::Result<u64> {
        self.bills.iter_mut().for_each(|bill| bill.begin(path));
        let mut framer = Framer::new(&self.flow.framing, Position(from));
        let room = Room { bytes: self.flow.framing.max_line_bytes, lines: 1 };
        let mut place = Place {
            path,
            file: key(metadata),
            generation: None,
            position: Position(from),
            input: 0,
            now_ms: clock::now_ms(),
        };
        let (mut buffer, mut position) = (vec![0; READ_BYTES], from);
        let mut whole = from == 0 || ends_line(file, from)?;
        while position < to {
            let most = READ_BYTES.min(usize::try_from(to - position).unwrap_or(READ_BYTES));
            let count = file.read_at(&mut buffer[..most], position)?;
            if count == 0 {
                break;
            }
            let mut input = Input { bytes: &buffer[..count], position: Position(position) };
            position += count as u64;
            loop {
                match framer.next(&mut input, room, Instant::now()) {
                    Framed::Run(run) => {
                        let end = run.end;
                        if whole {
                            place.input = run.input;
                            self.framed += run.input;
                            self.record(&run, &place, at(position - from));
                        }
                        whole = true;
                        place.position = end;
                    }
                    Framed::Filtered { bytes, end } => {
                        self.framed += bytes;
                        place.position = end.unwrap_or(place.position);
                    }
                    Framed::NeedMore | Framed::NoRoom => break,
                }
            }
        }
        self.read += position - from;
        Ok(position - from)
    }

    fn record(&mut self, run: &Run<'_>, place: &Place<'_>, at: Instant) {
        self.out.clear();
        match self.processor.process(run.bytes, place, &mut self.out) {
            Verdict::Kept | Verdict::KeptRaw(_) if !self.out.is_empty() => {
                self.records += 1;
                for bill in &mut self.bills {
                    bill.add(&self.out, at);
                }
            }
            Verdict::Kept | Verdict::KeptRaw(_) | Verdict::Dropped(_) | Verdict::Failed(_) => self.kept_back += 1,
        }
    }
}

/// Whether a line ends before this position.
fn ends_line(file: &File, position: u64) -> io::Result<bool> {
    let mut before = [0];
    Ok(file.read_at(&mut before, position - 1)? == 1 && before == *b"\n")
}

fn key(metadata: &Metadata) -> FileKey {
    FileKey { device: metadata.dev(), inode: metadata.ino(), born: 0 }
}

/// Bytes a second since the file was made, if it still grows and its age is known.
fn rate_by_age(metadata: &Metadata) -> Option<f64> {
    let born = metadata.created().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(clock::now_ms());
    let age = changed.checked_sub(born)?;
    (age >= YOUNG && now.saturating_sub(changed) <= ACTIVE && metadata.len() > 0)
        .then(|| metadata.len() as f64 / age.as_secs_f64())
}
