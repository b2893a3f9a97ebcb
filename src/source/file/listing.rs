//! Listing a folder in parts.
//! Promises a bounded number of names a part, however many there are, and that nothing but links is followed.
//! Leaves which names are of interest to the stream, and what they mean to the tail core.

use super::identity::{self, Kind, Status};
use rustix::fd::OwnedFd;
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use std::ffi::CString;
use std::io;

/// Names that are read in one part, of interest or not.
const NAMES: usize = 2_000;

/// A folder that is being listed.
pub(super) struct Listing {
    names: Dir,
}

/// A name that is of interest, and what it stands for.
pub(super) struct Named {
    pub(super) name: CString,
    /// A link is not followed here; an error is one of this name alone.
    pub(super) status: io::Result<Status>,
}

impl Listing {
    pub(super) fn begin(folder: OwnedFd) -> io::Result<Self> {
        Ok(Self { names: Dir::new(folder)? })
    }

    /// Appends the next names for which `wanted` holds, at most `most`. Returns whether the listing is over.
    pub(super) fn next(
        &mut self,
        most: usize,
        mut wanted: impl FnMut(&[u8]) -> bool,
        found: &mut Vec<Named>,
    ) -> io::Result<bool> {
        for _ in 0..NAMES {
            if found.len() >= most {
                return Ok(false);
            }
            let entry = match self.names.read() {
                None => return Ok(true),
                Some(Ok(entry)) => entry,
                Some(Err(Errno::INTR)) => continue,
                Some(Err(error)) => return Err(error.into()),
            };
            let name = entry.file_name();
            let kind = entry.file_type();
            let of_interest = matches!(kind, FileType::RegularFile | FileType::Symlink | FileType::Unknown);
            if !of_interest || !wanted(name.to_bytes()) {
                continue;
            }
            let status = identity::of_entry(self.names.fd()?, name);
            match &status {
                // Gone since it was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Ok(status) if !matches!(status.kind, Kind::Regular | Kind::Link) => continue,
                _ => {}
            }
            found.push(Named { name: name.to_owned(), status });
        }
        Ok(false)
    }
}
