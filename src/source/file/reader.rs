//! Opening what is followed, and reading a little from it.
//! Promises a bounded number of open files, that only regular files are opened, and that opening never waits.
//! Leaves whose turn it is to the stream.

use super::identity::{self, Kind, Status};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The most that one turn reads.
pub(super) const TURN: usize = 256 * 1024;

/// How long the system is left alone after it had no descriptor to give.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// No more files than this are open, whatever the system allows.
const MOST_OPEN: usize = 512;

/// Descriptors left for everything but files: the runtime, the checkpoint, connections, folders while they are read.
const FOR_OTHERS: u64 = 40;

/// However few the system allows.
const FEWEST_OPEN: usize = 4;

/// The open files, all streams together. Invariant: `open <= limit`.
#[derive(Debug)]
pub(super) struct Descriptors {
    open: Arc<AtomicUsize>,
    limit: usize,
    /// The system refused one: not before then again.
    pub(super) retry_at: Option<Instant>,
    warned: bool,
}

/// A place among the open files; given back when dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicUsize>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a file could not be opened.
#[derive(Debug)]
pub(super) enum Closed {
    /// Nothing there, or something else: the folder must be looked at again.
    Elsewhere,
    /// No descriptor to be had now.
    NoDescriptor,
    /// The system says no.
    Denied(io::Error),
}

impl Descriptors {
    pub(super) fn new() -> Self {
        let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        let left = allowed.saturating_sub(FOR_OTHERS).min(allowed / 2);
        let limit = usize::try_from(left).unwrap_or(MOST_OPEN).clamp(FEWEST_OPEN, MOST_OPEN);
        Self { open: Arc::default(), limit, retry_at: None, warned: false }
    }

    /// Whether another file may be opened.
    pub(super) fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.limit
    }

    /// Opens the regular file that the path leads to, links followed.
    pub(super) fn open(&mut self, path: &Path, now: Instant) -> Result<(File, Status, Slot), Closed> {
        if self.retry_at.is_some_and(|at| now < at) {
            return Err(Closed::NoDescriptor);
        }
        // Looked at before it is opened: opening a FIFO or a device can have effects.
        match identity::of_path(path) {
            Ok(status) if status.kind == Kind::Regular => {}
            Ok(_) => return Err(Closed::Elsewhere),
            Err(error) => return Err(self.closed(error, now)),
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(descriptor) => File::from(descriptor),
            Err(error) => return Err(self.closed(error.into(), now)),
        };
        if self.warned {
            self.warned = false;
            tracing::info!("files can be opened again");
        }
        self.retry_at = None;
        self.open.fetch_add(1, Ordering::Relaxed);
        let slot = Slot(self.open.clone());
        match identity::of_file(&file) {
            Ok(status) if status.kind == Kind::Regular => Ok((file, status, slot)),
            Ok(_) => Err(Closed::Elsewhere),
            Err(error) => Err(self.closed(error, now)),
        }
    }

    /// What it means that something could not be opened or looked at.
    pub(super) fn closed(&mut self, error: io::Error, now: Instant) -> Closed {
        match Errno::from_io_error(&error) {
            Some(Errno::MFILE | Errno::NFILE) => {
                self.retry_at = Some(now + TRY_AGAIN);
                if !std::mem::replace(&mut self.warned, true) {
                    tracing::warn!(
                        reason = %error,
                        "no file or folder can be opened; nothing is lost, but raise LimitNOFILE of the service or \
                         fs.file-max"
                    );
                }
                Closed::NoDescriptor
            }
            Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE) => Closed::Elsewhere,
            _ => Closed::Denied(error),
        }
    }
}

/// The kernel copies to a border of this many bytes in two thirds of the time that it takes to copy elsewhere
/// (measured: 0.10 against 0.16 CPU seconds a GiB).
const BORDER: usize = 64;

/// Appends what the file holds from `start` on, at most one turn's worth, to an empty buffer; 0 at the end. The bytes
/// are the last of the buffer: before them stands what brings them to a border.
pub(super) fn read_turn(file: &File, start: u64, size: u64, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let expected = usize::try_from(size.saturating_sub(start)).unwrap_or(TURN).clamp(512, TURN);
    buffer.reserve_exact(expected + BORDER);
    buffer.resize(buffer.as_ptr().align_offset(BORDER).min(BORDER), 0);
    loop {
        match rustix::io::pread(file, rustix::buffer::spare_capacity(buffer), start) {
            Ok(count) => return Ok(count),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_regular_file_is_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo.log");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        let mut descriptors = Descriptors::new();
        for path in [fifo.as_path(), folder.path(), &folder.path().join("nothing")] {
            assert!(matches!(descriptors.open(path, Instant::now()), Err(Closed::Elsewhere)), "{}", path.display());
        }
    }

    #[test]
    fn a_slot_comes_back_when_a_file_is_closed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut descriptors = Descriptors { limit: 1, ..Descriptors::new() };
        let opened = descriptors.open(file.path(), Instant::now()).unwrap();
        assert!(!descriptors.has_room());
        drop(opened);
        assert!(descriptors.has_room());
    }
}
