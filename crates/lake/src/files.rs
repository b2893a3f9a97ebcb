//! Files that an operator named: queries, plans, templates, configurations.
//! Promises never to wait for a pipe and never to read more than such a file has, whatever the name leads to.
//! Leaves the words around a failure to the caller.

use std::fs::File;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;

/// Queries and configurations are shorter.
pub const LARGEST_TEXT: u64 = 1 << 20;
/// Plans and templates are shorter.
pub const LARGEST_DOCUMENT: u64 = 64 << 20;

/// What a file holds.
///
/// # Errors
/// When it cannot be read, is no regular file, or holds more than `most` bytes.
pub fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    // Asked before opening: to open a pipe would wait for its writer.
    if !path.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(Error::new(ErrorKind::FileTooLarge, format!("it has more than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

/// A query or a configuration.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub fn text(path: &Path) -> std::io::Result<String> {
    let bytes = read(path, LARGEST_TEXT)?;
    String::from_utf8(bytes).map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}
