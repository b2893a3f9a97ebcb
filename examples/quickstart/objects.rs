//! What lies in the lake: the tree of objects, and what is in one.
//! Promises a listing that fits on a screen however many objects there are.
//! Leaves writing objects to the lake.

use crate::Outcome;
use crate::words::{amount, count, say};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// This many objects of one folder are shown.
const SHOWN: usize = 8;
/// This many lines of an object are shown.
const LINES: usize = 5;
/// So much of a line is shown, in characters.
const WIDTH: usize = 110;

/// The objects by path below the lake, with their sizes.
#[derive(Default)]
pub(crate) struct Listing(BTreeMap<PathBuf, u64>);

impl Listing {
    /// What lies there now; nothing when the folder does not exist.
    pub(crate) fn of(root: &Path) -> Outcome<Self> {
        let mut listing = Self::default();
        listing.collect(root, root)?;
        Ok(listing)
    }

    fn collect(&mut self, root: &Path, folder: &Path) -> Outcome<()> {
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(format!("cannot list {}: {error}", folder.display()).into()),
        };
        for entry in entries {
            let entry = entry?;
            let (path, hidden) = (entry.path(), entry.file_name().as_encoded_bytes().starts_with(b"."));
            if hidden {
                continue; // Unfinished objects.
            }
            if entry.file_type()?.is_dir() {
                self.collect(root, &path)?;
            } else {
                self.0.insert(path.strip_prefix(root)?.to_owned(), entry.metadata()?.len());
            }
        }
        Ok(())
    }

    /// The newest object of a stream that is not in an older listing, or, when there is none, the newest of all.
    pub(crate) fn newest(&self, stream: &str, before: &Self) -> Option<&Path> {
        let of_stream = |path: &&PathBuf| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&format!("{stream}-")))
        };
        let newest =
            |fresh: bool| self.0.keys().rev().filter(of_stream).find(|path| !fresh || !before.0.contains_key(*path));
        newest(true).or_else(|| newest(false)).map(PathBuf::as_path)
    }

    /// Prints folders and objects with their sizes.
    pub(crate) fn print_tree(&self, title: &Path) {
        let total = self.0.values().sum();
        say(format_args!("{}: {}, {}", title.display(), count(self.0.len() as u64, "object"), amount(total)));
        let mut folders: BTreeMap<&Path, Vec<(&Path, u64)>> = BTreeMap::new();
        for (path, size) in &self.0 {
            folders.entry(path.parent().unwrap_or(path)).or_default().push((path, *size));
        }
        for (folder, objects) in folders {
            say(format_args!("  {}/", folder.display()));
            let hidden = objects.len().saturating_sub(SHOWN);
            if hidden > 0 {
                say(format_args!("    … {hidden} older"));
            }
            for (path, size) in &objects[hidden..] {
                say(format_args!("    {}  {:>10}", path.file_name().unwrap_or_default().display(), amount(*size)));
            }
        }
    }
}

/// Prints the beginning of an object, unpacked.
pub(crate) fn print_first_lines(object: &Path) -> Outcome<()> {
    let unpacked = MultiGzDecoder::new(BufReader::new(File::open(object)?));
    let mut unpacked = BufReader::new(unpacked);
    for _ in 0..LINES {
        let mut line = Vec::new();
        // No more of an endless line than is shown.
        if unpacked.by_ref().take(WIDTH as u64 * 4).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if !line.ends_with(b"\n") {
            unpacked.skip_until(b'\n')?;
        }
        say(format_args!("  {}", printable(&line)));
    }
    Ok(())
}

/// One line that no terminal stumbles over.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\r', '\n']);
    let shown: String = text.chars().take(WIDTH).map(|c| if c.is_control() { '·' } else { c }).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}
