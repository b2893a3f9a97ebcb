//! What the spool asks of the file system, call by call.
//! Promises that each call is one that can fail alone, so that tests can make each of them fail.
//! Leaves what follows from a failure to the spool.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::UNIX_EPOCH;

/// The end of a file is searched for a line break in steps of this.
const STEP: u64 = 64 << 10;

/// A file that ends with a whole line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::mqtt) struct Whole {
    pub(super) size: u64,
    /// When it was changed last, in milliseconds since 1970.
    pub(super) changed: u64,
}

/// The file system, or one that fails on purpose.
pub(in crate::source::mqtt) trait Disk: std::fmt::Debug + Send {
    /// Makes the folder, and those above it, so that they survive a power failure.
    fn make_folder(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<&Path> = folder.ancestors().take_while(|path| !path.exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        for parent in missing.iter().filter_map(|path| path.parent()) {
            self.sync_folder(parent)?;
        }
        Ok(())
    }

    /// Makes a file that was not there.
    fn create(&mut self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)
    }

    /// Makes the names in a folder survive a power failure.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    /// One call: how much of the bytes the file took, at least one.
    #[expect(
        clippy::disallowed_methods,
        reason = "how much of a short write reached the file must be known, to go on there"
    )]
    fn write(&mut self, mut file: &File, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match file.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                other => return other,
            }
        }
    }

    /// Makes what was written survive a power failure. After a failure it must not be asked again about the same bytes:
    /// the system may have dropped them and say yes.
    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    /// Cuts what follows the last line break of a file, durably.
    fn cut(&mut self, path: &Path) -> io::Result<Whole> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let status = file.metadata()?;
        let size = end_of_last_line(&file, status.len())?;
        if size < status.len() {
            file.set_len(size)?;
            file.sync_all()?;
        }
        let changed = status.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Whole { size, changed: u64::try_from(changed.as_millis()).unwrap_or(u64::MAX) })
    }

    /// How long a file is.
    fn size(&mut self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    /// Deletes a file.
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

/// The file system as it is.
#[derive(Debug)]
pub(super) struct System;

impl Disk for System {}

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
