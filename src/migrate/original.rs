//! The Kinesis Agent's files: `agent.json`, and every file of `agent.d`.
//! Promises to read what it read, whatever the names, and to say what it skipped.
//! Leaves what the files say to the translation.

use super::java;
use super::notes::Notes;
use super::translate::OldFile;
use crate::regular;
use datalake_base::shown::shown;
use std::path::{Path, PathBuf};

/// A file larger than this is no configuration.
const LARGEST: u64 = 1 << 20;
/// So many fragments are read.
const MOST_FRAGMENTS: usize = 1000;
/// Where fragments lie, whatever the main file is.
const FRAGMENTS: &str = "/etc/aws-kinesis/agent.d";

/// What was read.
pub(super) struct Original {
    pub(super) main: OldFile,
    pub(super) fragments: Vec<OldFile>,
    pub(super) notes: Notes,
}

/// Reads the main file, or that of the folder, and the fragments beside it.
///
/// # Errors
/// When the main file cannot be read.
pub(super) fn read(from: &Path) -> Result<Original, String> {
    let main = if from.is_dir() { from.join("agent.json") } else { from.to_owned() };
    let folder = main.parent().unwrap_or(Path::new("")).join("agent.d");
    let mut notes = Notes::default();
    let bytes = contents(&main).map_err(|reason| {
        format!("{} cannot be read: {reason}; name the Kinesis Agent's folder or file with --from", shown(&main))
    })?;
    let value = java::parse(&bytes).map_err(|reason| {
        format!("{} is not JSON: {reason}; the Kinesis Agent does not start with it either", shown(&main))
    })?;
    let main = OldFile { name: shown(&main).to_string(), value };
    if folder != Path::new(FRAGMENTS) && Path::new(FRAGMENTS).is_dir() {
        let words = format!(
            "not read: fragments are taken from {}; the Kinesis Agent took them from here always",
            shown(&folder)
        );
        notes.differs(FRAGMENTS, words);
    }
    let fragments = fragments(&folder, &mut notes);
    Ok(Original { main, fragments, notes })
}

fn fragments(folder: &Path, notes: &mut Notes) -> Vec<OldFile> {
    let mut paths: Vec<PathBuf> = match std::fs::read_dir(folder) {
        Ok(entries) => entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            notes.blocks(
                shown(&folder).to_string(),
                format!("the folder cannot be read: {error}; run this as a user who may"),
            );
            return Vec::new();
        }
    };
    paths.sort();
    if paths.len() > MOST_FRAGMENTS {
        notes.blocks(
            shown(&folder).to_string(),
            format!("it holds more than {MOST_FRAGMENTS} files; put more flows into each"),
        );
        paths.truncate(MOST_FRAGMENTS);
    }
    let mut files = Vec::new();
    for path in paths {
        let name = shown(&path).to_string();
        match contents(&path) {
            Ok(bytes) => match java::parse(&bytes) {
                Ok(value) => files.push(OldFile { name, value }),
                Err(reason) => {
                    notes.same(name, format!("left out: it is not JSON ({reason}), so the Kinesis Agent skipped it"))
                }
            },
            Err(reason) => notes.blocks(name, format!("it cannot be read: {reason}; run this as a user who may")),
        }
    }
    files
}

fn contents(path: &Path) -> Result<Vec<u8>, String> {
    regular::read(path, LARGEST).map(|(bytes, _)| bytes).map_err(|error| error.to_string())
}
