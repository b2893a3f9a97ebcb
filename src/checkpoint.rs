//! Settled positions on disk: newest watermarks into SQLite, as soon as calls settle and as often as it is worth it.
//! Promises that what is read back was saved as a whole, and that losing the file costs duplicates, never bytes.
//! Leaves deciding what is settled to the flows, and what a saved position means for a file to the source.

/// A row as columns.
mod columns;
/// The format before this one, read forward.
mod format1;
/// The thread that owns the store.
mod keeper;
/// One agent per state folder.
mod lock;
/// When the next transaction may be written.
mod pace;
/// A look from outside.
mod peek;
/// Rows that wait, one behind the other.
mod packed;
/// What waits to be written.
mod pending;
/// Nobody else's business.
mod private;
/// Rows as they lie in the database.
mod rows;
/// The database file.
mod store;

pub use keeper::{Health, Keeper, Poster};
pub use peek::{PeekError, peek};
pub(crate) use store::contents_of;
pub use store::{Store, fuzz_database};

use datalake_base::shown::shown;
use std::path::{Path, PathBuf};

/// The process that is the agent of this state folder, and may be asked by a signal; known only to who may open its lock.
///
/// # Errors
/// When this user may not open it.
pub fn holder(folder: &Path) -> std::io::Result<Option<u32>> {
    lock::holder(folder)
}

/// Why the checkpoint cannot be used or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state folder cannot be made, or files in it cannot be made or moved.
    #[error(
        "cannot use {} for the agent's state: {source}; the user that runs the agent must be able \
         to make the folder and to write to it (`datalake-agent check` names the command)", shown(&path)
    )]
    Folder {
        /// The file or folder that was refused.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another agent runs on this folder.
    #[error(
        "another agent ({}) uses the state folder {}; stop it, or give this one a `stateDirectory` of its own",
        holder.map_or_else(|| "pid unknown".to_owned(), |pid| format!("pid {pid}")), shown(&folder)
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Process id of the holder, as it wrote it into the lock file.
        holder: Option<u32>,
    },
    /// A later version of the agent has written this file.
    #[error(
        "{} has format {found}, this agent knows formats up to {known}; install the newer agent again, or move the \
         file away (all matching files are then read again from their beginning)", shown(&path)
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format this agent knows.
        known: i64,
    },
    /// SQLite cannot do what it was asked to.
    #[error("cannot {action} {}: {source}{}", shown(&path), cure(source))]
    Database {
        /// The database.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Somebody removed or replaced the database under a running agent: what is written now nobody will find.
    #[error(
        "{} was removed or replaced while the agent was running; restart the agent (matching files may then be read \
         again from their beginning)", shown(&path)
    )]
    Replaced {
        /// The database.
        path: PathBuf,
    },
    /// The thread that writes is gone. A bug.
    #[error("the thread that saves positions has died")]
    Died,
}

/// What would do about it, where that is known.
fn cure(refused: &rusqlite::Error) -> &'static str {
    use rusqlite::ErrorCode::{CannotOpen, DiskFull, PermissionDenied, ReadOnly, SystemIoFailure};
    match refused.sqlite_error_code() {
        Some(DiskFull) => "; make room on the disk of the state folder, or move the folder (`stateDirectory`)",
        Some(ReadOnly | PermissionDenied | CannotOpen) => {
            "; the user that runs the agent must be able to write there, and the filesystem must not be mounted read-only"
        }
        Some(SystemIoFailure) => "; check the disk of the state folder, and that it is not full",
        _ => "",
    }
}

/// Reading what was logged.
#[cfg(test)]
mod test_log {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    /// What was logged since.
    #[derive(Clone, Default)]
    pub(super) struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        pub(super) fn text(&self) -> String {
            String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
        }

        /// Runs `action` with everything that it logs, threads that it starts included, ending up here.
        pub(super) fn during<T>(&self, action: impl FnOnce() -> T) -> T {
            let own = self.clone();
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || own.clone()).without_time().finish();
            tracing::subscriber::with_default(subscriber, action)
        }
    }

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What `action` logs, and what it returns.
    pub(super) fn logged<T>(action: impl FnOnce() -> T) -> (String, T) {
        let log = Log::default();
        let result = log.during(action);
        (log.text(), result)
    }
}
