//! `quarantine`: what was given up on purpose; listing it, summing it up, exporting, dropping and sending it again.
//! Promises that a record leaves its file only after the service accepted it, an option dropped it on purpose, or the
//! operator said so; what is refused again stays.
//! Leaves arguments to the command line, and the files' form to the quarantine.

/// What was typed, and how it ends.
mod command;
/// Copies of records, and giving them up for good.
mod export;
/// Tables, sums and JSON.
mod list;
/// Sending again.
mod replay;
/// Which records are meant.
mod selection;

pub(super) use command::run;
pub use export::{Dropped, Exported, drop, export};
pub use list::{list, summary};
pub use replay::{Replayed, Road, conclude, replay};
pub use selection::Selection;

use crate::deliver::Fault;
use crate::deliver::quarantine::QuarantineError;
use std::io;
use std::path::PathBuf;

/// Why a command ended early.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The quarantine cannot be read or written.
    #[error(transparent)]
    Quarantine(#[from] QuarantineError),
    /// A quarantine file or the output failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file that records are exported to is not made.
    #[error("{} cannot be made: {source}; name a file that does not exist yet", datalake_base::shown::shown(.path))]
    Export {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The service takes nothing at the moment, whatever the record.
    #[error("the service takes no records now: {0}")]
    Unavailable(Fault),
}

impl From<selection::Unread> for CommandError {
    fn from(unread: selection::Unread) -> Self {
        match unread {
            selection::Unread::Quarantine(error) => Self::Quarantine(error),
            selection::Unread::Io(error) => Self::Io(error),
        }
    }
}

#[cfg(test)]
mod tests;
