//! The files that were named on the command line.
//! Promises that each file chosen is a regular file that can be read, and that whatever is not has a reason in words.
//! Leaves reading them to the agent.

use crate::Outcome;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What is shipped, and what is not.
pub(crate) struct Inputs {
    /// Canonical paths.
    pub(crate) files: BTreeSet<PathBuf>,
    /// Why arguments were left out.
    pub(crate) skipped: Vec<String>,
}

impl Inputs {
    /// Sorts the arguments out.
    ///
    /// # Errors
    /// When a name does not exist, which is a slip of the pen, or when nothing is left to ship.
    pub(crate) fn choose(arguments: &[OsString]) -> Outcome<Self> {
        let (mut files, mut skipped) = (BTreeSet::new(), Vec::new());
        for argument in arguments {
            let given = Path::new(argument);
            let path = match given.canonicalize() {
                Ok(path) => path,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    return Err(format!("there is no file {}; check the name", given.display()).into());
                }
                Err(error) => {
                    skipped.push(unreadable(given, &error));
                    continue;
                }
            };
            match shippable(&path) {
                Ok(()) => {
                    files.insert(path);
                }
                Err(reason) => skipped.push(reason),
            }
        }
        if files.is_empty() {
            return Err(format!("none of the files can be shipped:\n  {}", skipped.join("\n  ")).into());
        }
        Ok(Self { files, skipped })
    }

    /// One pattern for each file that matches nothing else.
    pub(crate) fn patterns(&self) -> Vec<String> {
        self.files.iter().filter_map(|path| pattern(path).ok()).collect()
    }

    /// Bytes of all files now.
    pub(crate) fn size(&self) -> u64 {
        self.files.iter().filter_map(|path| path.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

/// Whether the file can be shipped, else why not and what to do.
fn shippable(path: &Path) -> Result<(), String> {
    // Asked before opening: to open a FIFO would wait for its writer.
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        return Err(format!("{} is a folder; name the files in it, such as {0}/*.log", path.display()));
    }
    if !metadata.is_file() {
        return Err(format!("{} is not a regular file", path.display()));
    }
    if path.extension().is_some_and(|ending| ["gz", "zst", "bz2", "xz"].iter().any(|packed| ending == *packed)) {
        return Err(format!("{} is packed; unpack it first, or name the log that it was rotated from", path.display()));
    }
    pattern(path)?;
    File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> String {
    let what_to_do = match error.kind() {
        ErrorKind::PermissionDenied => "start it as a user who may read it (often root or the group adm)",
        _ => "leave it out, or remove the cause",
    };
    format!("{} cannot be read: {error}; {what_to_do}", path.display())
}

/// The pattern that matches this path and no other.
pub(crate) fn pattern(path: &Path) -> Result<String, String> {
    let text = path.to_str().ok_or_else(|| {
        format!("the name {} is not UTF-8, so a configuration file can only match it with `?` or `*`", path.display())
    })?;
    let mut pattern = String::new();
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    Ok(pattern)
}
