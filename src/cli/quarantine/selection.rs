//! Which records of the quarantine are meant, and walking through them.
//! Promises that one line is in memory at a time, and that a file which a replay empties meanwhile is no fault.
//! Leaves what becomes of them to the commands.

use crate::deliver::quarantine::{self, Entry, Line, LineState, QuarantineError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the walk ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Which records are meant: those for which everything that is given holds; all, if nothing is.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only records for this stream.
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Only records of this flow.
    #[arg(long, value_name = "NAME")]
    pub flow: Option<String>,
    /// Only records with this code, such as `InvalidArgumentException` or `processing`.
    #[arg(long, value_name = "CODE")]
    pub code: Option<String>,
}

impl Selection {
    pub(super) fn holds(&self, entry: &Entry) -> bool {
        let is = |asked: &Option<String>, value: &str| asked.as_ref().is_none_or(|asked| asked == value);
        is(&self.stream, &entry.stream) && is(&self.flow, &entry.flow) && is(&self.code, &entry.code)
    }

    /// The files that can hold such records, by stream and age.
    pub(super) fn files(&self, state_directory: &Path) -> Result<Vec<PathBuf>, QuarantineError> {
        let mut files = quarantine::files(state_directory)?;
        if let Some(stream) = &self.stream {
            let folder = quarantine::folder(state_directory, stream);
            files.retain(|path| path.parent() == Some(&folder));
        }
        Ok(files)
    }

    /// Calls `each` with the lines that are meant, and with those that are damaged; one is in memory at a time.
    pub(super) fn each(
        &self,
        state_directory: &Path,
        mut each: impl FnMut(&Path, &Line, Found<'_>) -> io::Result<()>,
    ) -> Result<(), Unread> {
        for path in self.files(state_directory)? {
            // Emptied by a replay since the folder was listed.
            let Some(file) = quarantine::look(&path)? else { continue };
            for line in file.lines()? {
                let line = line?;
                match &line.state {
                    LineState::Waiting(entry) if self.holds(entry) => each(&path, &line, Found::Record(entry))?,
                    LineState::Damaged(reason) => each(&path, &line, Found::Damaged(reason))?,
                    LineState::Waiting(_) | LineState::Delivered | LineState::Torn => {}
                }
            }
        }
        Ok(())
    }
}

/// A line that is meant.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Record(&'a Entry),
    /// No record; why.
    Damaged(&'a str),
}
