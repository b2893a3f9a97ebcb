//! Which file it is: device, inode and birth from the filesystem, hashes of its content as evidence.
//! Promises that reading evidence never waits for a writer and never reads more than 2 KiB.
//! Leaves what follows from evidence to the code that compares it.

use datalake_base::record::{FileKey, Fingerprint};
use datalake_tail::Failure;
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    Folder,
    /// A symbolic link, where links are not followed.
    Link,
    /// A FIFO, a socket, a device: never opened.
    Other,
}

/// What the filesystem says about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) key: FileKey,
    pub(super) kind: Kind,
    pub(super) size: u64,
    /// Change time (ctime), nanoseconds since 1970.
    pub(super) changed: u64,
    /// Modification time (mtime), nanoseconds since 1970.
    pub(super) modified: u64,
    /// How many names it has; 0 when it was deleted and only descriptors hold it.
    pub(super) names: u32,
    /// The user that it belongs to.
    pub(super) owner: u32,
    /// Bytes that it takes on the disk; less than its size where it has holes.
    pub(super) stored: u64,
}

impl Status {
    /// As the tail core is told.
    pub(super) fn told(&self) -> datalake_tail::Status {
        datalake_tail::Status {
            key: datalake_tail::FileKey { device: self.key.device, inode: self.key.inode, born: self.key.born },
            size: self.size,
            changed: self.changed,
            names: self.names,
        }
    }
}

fn nanoseconds(seconds: i64, rest: u32) -> u64 {
    u64::try_from(seconds).map_or(0, |seconds| seconds.saturating_mul(1_000_000_000).saturating_add(u64::from(rest)))
}

impl From<Statx> for Status {
    fn from(status: Statx) -> Self {
        let has_birth = status.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if has_birth { nanoseconds(status.stx_btime.tv_sec, status.stx_btime.tv_nsec) } else { 0 };
        let kind = match FileType::from_raw_mode(status.stx_mode.into()) {
            FileType::RegularFile => Kind::Regular,
            FileType::Directory => Kind::Folder,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        };
        let device = rustix::fs::makedev(status.stx_dev_major, status.stx_dev_minor);
        Self {
            key: FileKey { device, inode: status.stx_ino, born },
            kind,
            size: status.stx_size,
            changed: nanoseconds(status.stx_ctime.tv_sec, status.stx_ctime.tv_nsec),
            modified: nanoseconds(status.stx_mtime.tv_sec, status.stx_mtime.tv_nsec),
            names: status.stx_nlink,
            owner: status.stx_uid,
            stored: status.stx_blocks.saturating_mul(512),
        }
    }
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::BTIME
}

/// The status of what the path leads to; links are followed.
pub(super) fn of_path(path: &Path) -> io::Result<Status> {
    Ok(statx(CWD, path, AtFlags::empty(), wanted())?.into())
}

/// The status of the path itself: a link is not followed.
pub(super) fn of_link(path: &Path) -> io::Result<Status> {
    Ok(statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, wanted())?.into())
}

/// The status of an open file.
pub(super) fn of_file(file: &File) -> io::Result<Status> {
    of_descriptor(file.as_fd())
}

/// The status of what a descriptor stands for, opened for reading or not.
pub(super) fn of_descriptor(descriptor: BorrowedFd<'_>) -> io::Result<Status> {
    Ok(statx(descriptor, c"", AtFlags::EMPTY_PATH, wanted())?.into())
}

/// The status of an entry of a folder; a link is not followed.
pub(super) fn of_entry(folder: BorrowedFd<'_>, name: &std::ffi::CStr) -> io::Result<Status> {
    Ok(statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, wanted())?.into())
}

/// The bytes from `start` to `end`, or as many of them as there are.
pub(super) fn bytes_between(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; end.saturating_sub(start).min(Fingerprint::LONGEST as u64) as usize];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// The first bytes, at most [`Fingerprint::LONGEST`].
pub(super) fn head_bytes(file: &File) -> io::Result<Vec<u8>> {
    bytes_between(file, 0, Fingerprint::LONGEST as u64)
}

/// The bytes just before `end`, at most [`Fingerprint::LONGEST`].
pub(super) fn bytes_before(file: &File, end: u64) -> io::Result<Vec<u8>> {
    bytes_between(file, end.saturating_sub(Fingerprint::LONGEST as u64), end)
}

/// What an error of the system means for the tail core.
pub(super) fn failure_of(error: &io::Error) -> Failure {
    match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM) => Failure::NoResource,
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Failure::Missing,
        Some(Errno::STALE | Errno::IO | Errno::TIMEDOUT) => Failure::Stale,
        Some(Errno::ACCESS | Errno::PERM) => Failure::Denied,
        Some(error) => Failure::System { errno: error.raw_os_error() },
        None => Failure::System { errno: 0 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_and_its_path_have_the_same_identity_until_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        std::fs::write(&path, "one\n").unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(of_path(&path).unwrap().key, of_file(&file).unwrap().key);
        std::fs::rename(&path, folder.path().join("b.log")).unwrap();
        std::fs::write(&path, "one\n").unwrap();
        assert_ne!(of_path(&path).unwrap().key, of_file(&file).unwrap().key);
        std::fs::remove_file(folder.path().join("b.log")).unwrap();
        assert_eq!(of_file(&file).unwrap().names, 0);
    }
}
