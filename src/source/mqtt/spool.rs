//! Messages on disk until they are shipped: plain segments of lines, appended and synced by one owner, deleted once settled.
//! Promises that what was synced is there whole after any crash, that no closed segment ends within a line, and that the
//! folder stays within its limit. Leaves shipping to the tailing thread; when to sync and rotate, to the queue.

/// The calls that can fail.
mod disk;
/// One file of the spool, and what is known of its content.
mod segment;

#[cfg(test)]
pub(super) use disk::{Disk, Whole};

use datalake_base::record::SettledFiles;
use datalake_base::units::ByteSize;
use datalake_mqtt::intake::Counts;
use segment::Segment;
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A segment is closed at this size, or at a quarter of the spool if that is less: only closed ones can be deleted.
const SEGMENT_BYTES: u64 = 8 << 20;
/// How a segment's name ends. No tailing rule takes it for a rotation.
const ENDING: &str = "ndjson";
/// And how many digits stand before that.
const DIGITS: usize = 20;

/// Why messages cannot be kept now. All of them pass: nothing is acknowledged meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// `maxSpoolBytes` is reached.
    #[error("the spool is full ({limit}, `maxSpoolBytes`); it empties as messages are delivered")]
    Full {
        /// How much it may hold.
        limit: ByteSize,
    },
    /// The disk refuses.
    #[error("cannot {doing} {path}: {error}")]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// What was appended to a file that is no longer the one in the folder would be gone with it.
    #[error("somebody removed or changed {path}, which messages are written to; another file takes its place")]
    Touched {
        /// The file.
        path: PathBuf,
    },
}

impl SpoolError {
    fn disk(doing: &'static str, path: &Path, error: io::Error) -> Self {
        Self::Disk { doing, path: path.to_owned(), error }
    }
}

/// What became of the spool when settled files were looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Bytes that are not settled.
    pub(super) bytes: u64,
    /// When the oldest message that is not settled was appended, in milliseconds since 1970.
    pub(super) oldest: Option<u64>,
    /// Messages settled since the last look, by subscription.
    pub(super) delivered: Counts,
    /// Whether files wait to be settled.
    pub(super) awaits: bool,
    /// Files that somebody else removed or cut before they were settled; each is named once.
    pub(super) touched: Vec<PathBuf>,
    /// Why a file of which nothing is left to do cannot be deleted; its room is missing meanwhile.
    pub(super) stuck: Option<String>,
}

/// See the head of this file. Invariants: numbers ascend; only `active` grows; the sum of all sizes is `bytes`; what was
/// appended since the last sync is in `active`.
#[derive(Debug)]
pub(super) struct Spool {
    disk: Box<dyn disk::Disk>,
    folder: PathBuf,
    limit: u64,
    settled: SettledFiles,
    closed: VecDeque<Segment>,
    active: Option<(Segment, File)>,
    /// The number of the next segment.
    next: u64,
    bytes: u64,
    /// How many bytes of the lines being appended are in the file already: the disk was full, and they go on from there.
    begun: usize,
}

impl Spool {
    /// Opens the folder, makes it if need be, and cuts lines that a crash left unfinished. `now` is in milliseconds since
    /// 1970 and makes names that were never used, whatever was deleted.
    ///
    /// # Errors
    /// When the folder cannot be made or listed, or a segment cannot be cut.
    pub(super) fn open(folder: &Path, limit: u64, settled: SettledFiles, now: u64) -> Result<Self, SpoolError> {
        Self::open_on(Box::new(disk::System), folder, limit, settled, now)
    }

    pub(super) fn open_on(
        mut disk: Box<dyn disk::Disk>,
        folder: &Path,
        limit: u64,
        settled: SettledFiles,
        now: u64,
    ) -> Result<Self, SpoolError> {
        let failed = |doing: &'static str| move |error: io::Error| SpoolError::disk(doing, folder, error);
        disk.make_folder(folder).map_err(failed("make"))?;
        let mut numbers = segments(folder).map_err(failed("list"))?;
        numbers.sort_unstable();
        let next = numbers.last().map_or(0, |last: &u64| last + 1).max(now);
        let (folder, closed) = (folder.to_owned(), VecDeque::new());
        let mut spool = Self { disk, folder, limit, settled, closed, active: None, next, bytes: 0, begun: 0 };
        for number in numbers {
            let path = spool.path(number);
            let whole = spool.disk.cut(&path).map_err(|error| SpoolError::disk("open", &path, error))?;
            spool.bytes += whole.size;
            spool.closed.push_back(Segment::adopt(path, whole));
        }
        Ok(spool)
    }

    /// Whether a folder holds segments with something in them.
    pub(super) fn has_messages(folder: &Path) -> bool {
        let mut numbers = segments(folder).unwrap_or_default().into_iter();
        numbers.any(|number| std::fs::metadata(path(folder, number)).is_ok_and(|status| status.len() > 0))
    }

    /// The pattern under which the tailing thread finds the segments.
    pub(super) fn pattern(folder: &Path) -> String {
        let mut pattern = String::new();
        for character in folder.to_string_lossy().chars() {
            if "*?[]{}!,\\".contains(character) {
                pattern.push('\\');
            }
            pattern.push(character);
        }
        format!("{pattern}/{}.{ENDING}", "[0-9]".repeat(DIGITS))
    }

    /// Appends whole lines, which are safe only after [`Spool::sync`]. After an error the same lines must be given again:
    /// what the disk took of them stays, and the rest follows.
    ///
    /// # Errors
    /// When the spool or the disk is full, or the disk fails.
    pub(super) fn append(&mut self, lines: &[u8], counts: &[u64], now: u64) -> Result<(), SpoolError> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.begun == 0 {
            self.make_room(lines.len() as u64)?;
        }
        if self.active.is_none() {
            self.active = Some(self.create()?);
        }
        let (segment, file) = self.active.as_mut().expect("made just now");
        while self.begun < lines.len() {
            match self.disk.write(file, &lines[self.begun..]) {
                Ok(written) => {
                    self.begun += written;
                    self.bytes += written as u64;
                    segment.size += written as u64;
                }
                Err(error) => return Err(SpoolError::disk("write to", &segment.path, error)),
            }
        }
        self.begun = 0;
        segment.note(counts, now);
        Ok(())
    }

    /// Makes everything appended safe.
    ///
    /// # Errors
    /// When the disk fails, or the file is not what was written. What is safe is then unknown, so everything since the
    /// last sync must be appended again; it goes into another file.
    pub(super) fn sync(&mut self) -> Result<(), SpoolError> {
        let Some((segment, file)) = &self.active else { return Ok(()) };
        let path = &segment.path;
        let synced = match self.disk.sync(file) {
            Err(error) => Err(SpoolError::disk("sync", path, error)),
            Ok(()) if segment.is_at(file) => Ok(()),
            Ok(()) => Err(SpoolError::Touched { path: path.clone() }),
        };
        if synced.is_err() {
            self.close();
            let last = self.closed.len() - 1;
            self.measure(last);
            // What is in it of a line that was being written is written again elsewhere, whole.
            self.closed[last].torn = true;
            self.trim(last);
        }
        synced
    }

    /// Whether the open segment has its size, and another is to take what comes next. What waits for a sync waits in one
    /// file, so it must be synced before.
    pub(super) fn is_segment_full(&self) -> bool {
        // A line that was begun is finished where it was begun.
        self.begun == 0 && self.active.as_ref().is_some_and(|(segment, _)| segment.size >= self.segment_bytes())
    }

    /// Closes the open segment, of which everything is synced.
    pub(super) fn rotate(&mut self) {
        self.close();
    }

    /// Holds a closed segment against its file: somebody may have removed it, or cut it. Returns whether that is so.
    fn measure(&mut self, place: usize) -> bool {
        let segment = &mut self.closed[place];
        let before = segment.size;
        match self.disk.size(&segment.path) {
            Ok(size) => segment.resize(size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => segment.resize(0),
            Err(_) => return false,
        }
        segment.torn |= segment.size != before;
        self.bytes = self.bytes - before + segment.size;
        segment.size != before
    }

    /// Ends a closed segment with a whole line: nobody finishes one that was begun, and it would be waited for, for ever.
    /// Returns why that failed, where it did; it is to be tried again.
    fn trim(&mut self, place: usize) -> Option<String> {
        let segment = &mut self.closed[place];
        if !segment.torn {
            return None;
        }
        let whole = match self.disk.cut(&segment.path) {
            Ok(whole) => whole.size,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Some(format!("{}: {error}", segment.path.display())),
        };
        self.bytes -= segment.size;
        segment.resize(whole);
        segment.torn = false;
        self.bytes += whole;
        None
    }

    /// Takes what the tailing thread has settled, and deletes the segments of which nothing is left to do.
    pub(super) fn collect(&mut self) -> Standing {
        let mut standing = Standing::default();
        for (path, position) in self.settled.take() {
            let active = self.active.iter_mut().map(|(segment, _)| segment);
            if let Some(segment) = self.closed.iter_mut().chain(active).find(|segment| segment.path == path) {
                segment.settle(position.0, &mut standing.delivered);
            }
        }
        let torn = (0..self.closed.len()).filter_map(|place| self.trim(place)).last();
        standing.stuck = self.delete_settled().or(torn);
        // Delivery begins with the oldest, so others come to be the oldest. What is gone would be waited for, and its room
        // be missed, for ever.
        while self.closed.front().is_some_and(|oldest| oldest.unsettled() > 0) && self.measure(0) {
            standing.touched.push(self.closed[0].path.clone());
            self.trim(0);
            standing.stuck = self.delete_settled();
        }
        let segments = || self.closed.iter().chain(self.active.iter().map(|(segment, _)| segment));
        standing.bytes = segments().map(Segment::unsettled).sum();
        standing.oldest = segments().find_map(Segment::oldest);
        standing.awaits = standing.bytes > 0 || !self.closed.is_empty();
        standing
    }

    /// Returns why one could not be deleted, where that is so.
    fn delete_settled(&mut self) -> Option<String> {
        let mut stuck = None;
        self.closed.retain(|segment| {
            if segment.unsettled() > 0 {
                return true;
            }
            match self.disk.remove(&segment.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    stuck = Some(format!("{}: {error}", segment.path.display()));
                    true
                }
                _ => {
                    self.bytes -= segment.size;
                    false
                }
            }
        });
        stuck
    }

    /// Whether half of the room is free.
    pub(super) const fn has_reserve(&self) -> bool {
        self.bytes <= self.limit / 2
    }

    fn segment_bytes(&self) -> u64 {
        SEGMENT_BYTES.min(self.limit / 4)
    }

    fn make_room(&mut self, wanted: u64) -> Result<(), SpoolError> {
        if self.bytes + wanted > self.limit && self.active.as_ref().is_some_and(|(open, _)| open.unsettled() == 0) {
            // The room that the open segment takes is needed more than the segment.
            self.close();
            self.delete_settled();
        }
        if self.bytes + wanted > self.limit {
            return Err(SpoolError::Full { limit: ByteSize::bytes(self.limit) });
        }
        Ok(())
    }

    fn close(&mut self) {
        self.begun = 0;
        self.closed.extend(self.active.take().map(|(segment, _)| segment));
    }

    fn create(&mut self) -> Result<(Segment, File), SpoolError> {
        let path = self.path(self.next);
        let failed = |error| SpoolError::disk("make", &path, error);
        // Somebody may have removed the folder.
        self.disk.make_folder(&self.folder).map_err(failed)?;
        // Whatever comes of it, the name is used.
        self.next += 1;
        let file = self.disk.create(&path).map_err(failed)?;
        // The name must survive a power failure as the bytes do.
        if let Err(error) = self.disk.sync_folder(&self.folder) {
            let error = failed(error);
            // Empty, so it is deleted with those that are settled.
            self.closed.push_back(Segment::new(path));
            return Err(error);
        }
        Ok((Segment::new(path), file))
    }

    fn path(&self, number: u64) -> PathBuf {
        path(&self.folder, number)
    }
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:0DIGITS$}.{ENDING}"))
}

/// The numbers of the segments in a folder: plain files, no links.
fn segments(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if let Some(number) = number(&entry.file_name()).filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file()))
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// The number of the segment of this name. What somebody else put into the folder has another name, or its number leaves
/// none for the next.
fn number(name: &OsStr) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(ENDING)?.strip_suffix('.')?;
    let is_ours = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|number| is_ours && *number < u64::MAX)
}

#[cfg(test)]
mod tests;
