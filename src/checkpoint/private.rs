//! The state folder belongs to the user of the agent alone: positions name files, quarantine and spool hold log lines.
//! Promises that what is made is private whatever the umask, that what an earlier version left readable is closed with one
//! line, and that nothing is touched that the agent did not make. Leaves files made later to who makes them.

use datalake_base::shown::shown;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the agent makes in a state folder: names, or their beginnings.
const OURS: [&str; 5] = ["checkpoint.db", "lock", "state-folder-used", "quarantine", "spool"];
/// Folders below the state folder are looked through so deep: `quarantine/STREAM/FILE`, `spool/FLOW/FILE`.
const DEEPEST: usize = 3;
/// What belongs to others than the owner.
const OTHERS: u32 = 0o077;

/// Makes the folder, and those above it, for their owner alone. One that is there stays as it is.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// How files in the folder are opened, and made for their owner alone.
pub(super) fn open() -> OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Closes what is open to others in the folder, and the folder itself if nobody else keeps anything in it.
pub(super) fn tighten(folder: &Path) {
    let (mut closed, mut refused) = (0_u64, None);
    let mut close = |path: &Path| match close(path) {
        Ok(changed) => closed += u64::from(changed),
        Err(error) => refused = refused.take().or_else(|| Some((path.to_owned(), error))),
    };
    let mut shared = false;
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            below(&path, DEEPEST, &mut close);
        } else {
            shared = true;
        }
    }
    // A folder such as /tmp or /var/lib was named: it is not ours to close.
    if !shared {
        close(folder);
    }
    if closed > 0 {
        tracing::info!(
            folder = %shown(&folder), closed,
            "files and folders of the agent's state could be read by other users; now only its own user can"
        );
    }
    if let Some((path, error)) = refused {
        tracing::warn!(
            path = %shown(&path), reason = %error,
            "other users can read a part of the agent's state; give it to the agent's user, or run `chmod go-rwx` on it"
        );
    }
}

/// The path and what lies below it, links not followed.
fn below(path: &Path, depth: usize, act: &mut dyn FnMut(&Path)) {
    let Ok(metadata) = path.symlink_metadata() else { return };
    if metadata.is_symlink() {
        return;
    }
    if metadata.is_dir() && depth > 0 {
        for entry in entries(path) {
            below(&entry, depth - 1, act);
        }
    }
    act(path);
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Takes the rights of others away; answers whether they had any.
fn close(path: &Path) -> io::Result<bool> {
    let mode = path.metadata()?.mode();
    if mode & OTHERS == 0 {
        return Ok(false);
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7700))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::test_log::logged;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o777
    }

    fn make(path: &Path, bits: u32) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(bits)).unwrap();
    }

    #[test]
    fn what_an_earlier_version_left_readable_is_closed_with_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let files = ["checkpoint.db", "checkpoint.db-wal", "lock", "quarantine/logs/a.jsonl", "spool/f/1.ndjson"];
        for file in files {
            make(&folder.join(file), 0o644);
        }
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let (log, ()) = logged(|| tighten(&folder));
        for file in files {
            assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
        }
        for inner in ["", "quarantine", "quarantine/logs", "spool/f"] {
            assert_eq!(mode(&folder.join(inner)), 0o700, "{inner}");
        }
        assert_eq!(log.matches("could be read by other users").count(), 1, "{log}");
        assert_eq!(logged(|| tighten(&folder)).0, "", "nothing is left to close");
    }

    /// `stateDirectory` may name a folder that others use too; closing /tmp would break the machine.
    #[test]
    fn what_belongs_to_others_is_left_as_it_is() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("shared");
        make(&folder.join("checkpoint.db"), 0o644);
        make(&folder.join("other/file"), 0o644);
        make(&root.path().join("elsewhere"), 0o644);
        std::os::unix::fs::symlink(root.path().join("elsewhere"), folder.join("lock")).unwrap();
        std::fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        tighten(&folder);
        assert_eq!(mode(&folder.join("checkpoint.db")), 0o600);
        assert_eq!((mode(&folder), mode(&folder.join("other/file"))), (0o755, 0o644));
        assert_eq!(mode(&root.path().join("elsewhere")), 0o644, "a link is not followed");
    }
}
