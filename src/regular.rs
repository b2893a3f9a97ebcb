//! Files that an operator named to us, read whole: configuration, certificates, passwords.
//! Promises that reading ends and stays within a bound whatever the name leads to: a FIFO, a device, a folder, an endless
//! file. Leaves what the bytes mean to the caller.

use rustix::fs::{FileType, Mode, OFlags};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Reads the regular file that the path leads to, links followed; one that holds more than `most` bytes is an error.
///
/// # Errors
/// When it cannot be opened or read, is no regular file, or is too large.
pub fn read(path: &Path, most: u64) -> io::Result<(Vec<u8>, Metadata)> {
    // Without waiting for the other end of a FIFO, and without taking a terminal.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other(format!("it is {}, not a regular file", kind(&metadata))));
    }
    let mut bytes = Vec::new();
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {most} bytes")));
    }
    Ok((bytes, metadata))
}

fn kind(metadata: &Metadata) -> &'static str {
    match FileType::from_raw_mode(metadata.mode()) {
        FileType::Directory => "a folder",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `check --config FIFO` waited for a writer for ever.
    #[test]
    fn what_is_no_file_or_has_no_end_is_refused_at_once_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let said = |path: &Path| read(path, 1 << 20).unwrap_err().to_string();
        assert_eq!(said(&fifo), "it is a FIFO, not a regular file");
        assert_eq!(said(folder.path()), "it is a folder, not a regular file");
        assert_eq!(said(Path::new("/dev/zero")), "it is a device, not a regular file");
        let endless = folder.path().join("endless");
        File::create(&endless).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(said(&endless), "it is larger than 1048576 bytes");
        let good = folder.path().join("good");
        std::fs::write(&good, "text").unwrap();
        assert_eq!(read(&good, 4).unwrap().0, b"text");
    }
}
