//! `quarantine export` and `quarantine drop`: copies of records that wait, and giving them up for good.
//! Promises that an export changes nothing and writes over nothing, and that a drop is complete for a file or not begun.
//! Leaves confirming a drop to the command.

use super::CommandError;
use super::list::described;
use super::selection::{Found, Selection};
use crate::cli::output::json_lines;
use crate::deliver::quarantine::{self, LineState};
use datalake_base::shown::shown;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Their bytes, before base64.
    pub bytes: u64,
    /// Lines that are no records, or whose data is not base64.
    pub damaged: u64,
}

/// Writes the records that wait: their bytes as they are, one after the other, or one JSON object a line, with the data
/// in base64. They stay in the quarantine.
///
/// # Errors
/// When a file cannot be read or the output cannot be written.
pub fn export(
    state_directory: &Path,
    selection: &Selection,
    json: bool,
    out: &mut dyn Write,
) -> Result<Exported, CommandError> {
    let mut exported = Exported::default();
    selection.each(state_directory, |path, line, found| {
        let Found::Record(entry) = found else {
            exported.damaged += 1;
            return Ok(());
        };
        let Ok(data) = base64_simd::STANDARD.decode_to_vec(&entry.data) else {
            exported.damaged += 1;
            return Ok(());
        };
        exported.records += 1;
        exported.bytes += data.len() as u64;
        if !json {
            return out.write_all(&data);
        }
        let mut value = described(path, line.number, entry);
        value["data"] = json!(entry.data);
        write!(out, "{}", json_lines(&value, false))
    })?;
    out.flush()?;
    Ok(exported)
}

/// The file that records are exported to: a new one, for its owner only.
///
/// # Errors
/// When it exists or cannot be made.
pub(super) fn make(path: &Path) -> Result<File, CommandError> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|source| CommandError::Export { path: path.to_owned(), source })
}

/// What was dropped, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Records.
    pub records: u64,
    /// Lines in them.
    pub lines: u64,
    /// Their bytes, before base64.
    pub bytes: u64,
    /// Lines that are no records.
    pub damaged: u64,
    /// Files that another process is using, which are left alone.
    pub in_use: u64,
}

/// Removes the records that are meant, and with `damaged` the lines that are no records; only counts them where it is not
/// `confirmed`. Each file is rewritten as a whole or not at all.
///
/// # Errors
/// When a file cannot be read or written; files before it are done.
pub fn drop(
    state_directory: &Path,
    selection: &Selection,
    damaged: bool,
    confirmed: bool,
    out: &mut dyn Write,
) -> Result<Dropped, CommandError> {
    let mut dropped = Dropped::default();
    for path in selection.files(state_directory)? {
        let Some(file) = quarantine::open(&path)? else {
            dropped.in_use += 1;
            writeln!(out, "{}: in use by another process, left alone; try again later", shown(&path))?;
            continue;
        };
        let before = dropped;
        for line in file.lines()? {
            match line?.state {
                LineState::Waiting(entry) if selection.holds(&entry) => {
                    dropped.records += 1;
                    dropped.lines += entry.lines as u64;
                    dropped.bytes += entry.size() as u64;
                }
                LineState::Damaged(_) if damaged => dropped.damaged += 1,
                _ => {}
            }
        }
        if confirmed && dropped != before {
            file.retain(|state| match state {
                LineState::Waiting(entry) => !selection.holds(entry),
                LineState::Damaged(_) => !damaged,
                LineState::Delivered | LineState::Torn => false,
            })?;
        }
    }
    Ok(dropped)
}

/// Standard output as it is, for bytes that no terminal gets to see.
pub(super) fn raw_stdout() -> io::BufWriter<io::StdoutLock<'static>> {
    io::BufWriter::new(io::stdout().lock())
}
