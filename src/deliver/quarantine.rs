//! Files of records that were given up on purpose: one line of JSON a record, under `quarantine/<stream>/`.
//! Promises that a record is on disk when `keep` returns, and that a full or broken disk is an error, never a loss.
//! Leaves deciding what is given up to the flow core, and sending again to whoever replays.

/// What a quarantine file holds, and reading it back.
mod file;

use datalake_base::shown::shown;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

pub use file::{Entry, EntryOrigin, Line, LineState, QuarantineFile};

use super::GivenUp;
use datalake_base::units::ByteSize;

/// A file is closed and another begun when it would grow beyond this; a single record is at most a third of it.
pub const LARGEST_FILE: ByteSize = ByteSize::mib(64);
/// All files of one stream together; beyond it nothing more is given up, and the flow holds instead.
pub const LARGEST_STREAM: ByteSize = ByteSize::mib(1024);
/// The folder under the state directory.
const FOLDER: &str = "quarantine";

/// Why a record is not kept. The record is still the caller's; trying again later is safe.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The files of the stream have reached their bound.
    #[error(
        "{} holds {held} bytes and takes at most {most}: look at it with `datalake-agent quarantine summary`, then `quarantine replay` or `quarantine drop`",
        shown(.folder)
    )]
    Full {
        /// The folder of the stream.
        folder: PathBuf,
        /// Bytes in it.
        held: u64,
        /// Bytes that it may hold.
        most: u64,
    },
    /// A command may not look into it, or the disk refuses.
    #[error("{} cannot be opened: {source}; {}", shown(.path), cure(.source))]
    Closed {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk refuses.
    #[error("{} cannot be written: {source}; free space or repair the file system", shown(.path))]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn cure(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "run this as root, or as the user of the agent",
        _ => "repair the file system",
    }
}

/// The quarantine of one flow. Blocking: every record is synced before it counts as kept.
#[derive(Debug)]
pub struct Quarantine {
    folder: PathBuf,
    stream: String,
    flow: String,
    largest_file: u64,
    largest_stream: u64,
    /// The file that the last record went to. Another process may have taken it since; that is looked at each time.
    current: Option<PathBuf>,
}

impl Quarantine {
    /// A quarantine under this state directory. Nothing is made on disk before the first record.
    #[must_use]
    pub fn new(state_directory: &Path, stream: &str, flow: &str) -> Self {
        Self {
            folder: folder(state_directory, stream),
            stream: stream.to_owned(),
            flow: flow.to_owned(),
            largest_file: LARGEST_FILE.as_u64(),
            largest_stream: LARGEST_STREAM.as_u64(),
            current: None,
        }
    }

    /// Writes and syncs records, all of which count as kept, or none. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// When the bound is reached or the disk refuses.
    pub fn keep(&mut self, given_up: &[GivenUp], now: u64) -> Result<(), QuarantineError> {
        let mut lines = Vec::new();
        for record in given_up {
            let entry = Entry::new(record, &self.stream, &self.flow, &timestamp(now));
            serde_json::to_writer(&mut lines, &entry).map_err(|error| self.disk(&self.folder, error.into()))?;
            lines.push(b'\n');
        }
        self.make_folder()?;
        let held = self.held()?;
        if held + lines.len() as u64 > self.largest_stream {
            return Err(QuarantineError::Full { folder: self.folder.clone(), held, most: self.largest_stream });
        }
        let (path, mut file) = match self.reopen(lines.len() as u64) {
            Some(opened) => opened,
            None => self.begin(now)?,
        };
        if let Err(error) = append(&mut file, &lines) {
            // Whatever got there is cut off again; should that fail too, the torn line ends a file that is not used again.
            self.current = None;
            if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
                fs::remove_file(&path).unwrap_or_else(|_| tracing::debug!("an empty quarantine file stays"));
            }
            return Err(self.disk(&path, error));
        }
        self.current = Some(path);
        Ok(())
    }

    fn disk(&self, path: &Path, source: io::Error) -> QuarantineError {
        QuarantineError::Disk { path: path.to_owned(), source }
    }

    fn make_folder(&self) -> Result<(), QuarantineError> {
        if self.folder.is_dir() {
            return Ok(());
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.folder);
        let made = made.and_then(|()| self.folder.ancestors().skip(1).take(2).try_for_each(sync_folder));
        made.map_err(|error| self.disk(&self.folder, error))
    }

    /// Bytes of all files of the stream.
    fn held(&self) -> Result<u64, QuarantineError> {
        let sizes = fs::read_dir(&self.folder).and_then(|entries| {
            entries.map(|entry| entry.and_then(|entry| entry.metadata()).map(|found| found.len())).sum()
        });
        sizes.map_err(|error| self.disk(&self.folder, error))
    }

    /// The current file, if it is still there, nobody replays it and the line fits.
    fn reopen(&self, line: u64) -> Option<(PathBuf, File)> {
        let path = self.current.as_ref()?;
        let file = OpenOptions::new().append(true).open(path).ok()?;
        file.try_lock().ok()?;
        let metadata = file.metadata().ok()?;
        (metadata.nlink() > 0 && metadata.len() + line <= self.largest_file).then(|| (path.clone(), file))
    }

    /// A new file, with a name that no other flow or process has.
    fn begin(&self, now: u64) -> Result<(PathBuf, File), QuarantineError> {
        for attempt in 0_u32.. {
            let name = format!("{}-{}-{attempt}.jsonl", timestamp(now).replace(':', ""), std::process::id());
            let path = self.folder.join(name);
            match OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path) {
                Ok(file) => {
                    let ready = file.try_lock().map_err(io::Error::from).and_then(|()| sync_folder(&self.folder));
                    return ready.map(|()| (path.clone(), file)).map_err(|error| self.disk(&path, error));
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 10_000 => {}
                Err(error) => return Err(self.disk(&path, error)),
            }
        }
        unreachable!("the last attempt returns its error")
    }
}

/// Writes lines and syncs them, or leaves the file as long as it was.
fn append(file: &mut File, lines: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    let appended = file.write_all(lines).and_then(|()| file.sync_data());
    if appended.is_err() {
        file.set_len(before).unwrap_or_else(|error| tracing::debug!(%error, "a torn line stays"));
    }
    appended
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder of the records for a stream.
#[must_use]
pub fn folder(state_directory: &Path, stream: &str) -> PathBuf {
    state_directory.join(FOLDER).join(folder_name(stream))
}

/// Stream names are file names, but for those that begin with a dot and what a service emulator may allow.
fn folder_name(stream: &str) -> String {
    let mut name: String = stream
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "_.-".contains(letter) { letter } else { '_' })
        .collect();
    if name.is_empty() || name.starts_with('.') {
        name.insert(0, '_');
    }
    name
}

fn timestamp(now: u64) -> String {
    let millis = i64::try_from(now).unwrap_or(i64::MAX);
    DateTime::from_millis(millis).fmt(Format::DateTime).unwrap_or_else(|_| now.to_string())
}

/// All quarantine files under a state directory, by stream and age.
///
/// # Errors
/// When a folder cannot be read. There being none is no error.
pub fn files(state_directory: &Path) -> Result<Vec<PathBuf>, QuarantineError> {
    let root = state_directory.join(FOLDER);
    let mut found = Vec::new();
    for folder in entries(&root)? {
        if folder.is_dir() {
            found.extend(entries(&folder)?.into_iter().filter(|path| path.extension().is_some_and(|it| it == "jsonl")));
        }
    }
    found.sort();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, QuarantineError> {
    let listed = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect()),
    };
    listed.map_err(|source| QuarantineError::Closed { path: folder.to_owned(), source })
}

/// Opens a file for replay and keeps everybody else away from it; `None` while another process uses it.
///
/// # Errors
/// When it cannot be opened.
pub fn open(path: &Path) -> Result<Option<QuarantineFile>, QuarantineError> {
    let failed = |source| QuarantineError::Closed { path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        // Another process replaced it between the two calls, and what is in the new one is not seen here.
        Ok(()) if file.metadata().map_err(failed)?.nlink() == 0 => Ok(None),
        Ok(()) => Ok(Some(QuarantineFile::new(path.to_owned(), file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Opens a file for reading alone, also while others use it; `None` where it is gone.
///
/// # Errors
/// When it cannot be opened.
pub fn look(path: &Path) -> Result<Option<QuarantineFile>, QuarantineError> {
    match File::open(path) {
        Ok(file) => Ok(Some(QuarantineFile::new(path.to_owned(), file))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(QuarantineError::Closed { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests;
