//! One agent per state folder: an advisory lock on a file in it.
//! Promises that the lock goes when its process does, whatever way it goes.
//! Leaves saying so to the operator to the error.

use super::{Error, private};
use crate::regular;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, geteuid, test_kill_process};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The name of the locked file. It stays when the agent stops; only the lock on it counts.
pub(super) const FILE_NAME: &str = "lock";

/// The name of the program as the kernel knows it.
const PROGRAM: &str = "datalake-agent";

/// Held as long as it lives.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of `folder` and writes our process id into the file.
    ///
    /// # Errors
    /// `Held` when another process has it, `Folder` when the file cannot be made or written.
    pub(super) fn take(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE_NAME);
        let refused = |source: std::io::Error| Error::Folder { path: path.clone(), source };
        let mut file =
            private::open().read(true).write(true).create(true).truncate(false).open(&path).map_err(refused)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // Bounded, for nobody promises that the file is ours; unreadable is as good as empty.
                let read = file.take(32).read_to_string(&mut text);
                let holder = read.ok().and_then(|_| text.trim().parse().ok());
                return Err(Error::Held { folder: folder.to_owned(), holder });
            }
            Err(errno) => return Err(refused(errno.into())),
        }
        // The process id is a courtesy: on a full disk the lock holds without it.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::StorageFull => Err(refused(error)),
            _ => Ok(Self { _file: file }),
        }
    }
}

/// The agent that uses the folder, as it wrote itself into the file: it lives, and is the owner's. The lock itself is not
/// tried, for that could refuse an agent that starts in this moment.
///
/// # Errors
/// When this user may not read the file: then nobody knows.
pub(super) fn holder(folder: &Path) -> std::io::Result<Option<u32>> {
    match regular::read(&folder.join(FILE_NAME), 32) {
        Ok((text, metadata)) => Ok(living(&text, metadata.uid())),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(None),
    }
}

/// The agent whose number this is, if it lives and is that user's.
fn living(text: &[u8], owner: u32) -> Option<u32> {
    let pid: u32 = std::str::from_utf8(text).ok()?.trim().parse().ok()?;
    let process = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok();
    let field =
        |name: &str| status.as_ref()?.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next();
    if geteuid().is_root() {
        // What the owner of the file wrote must not lead root to anybody else's process.
        let is_agent = field("Name:").is_some_and(|name| name.starts_with(PROGRAM));
        return (is_agent && field("Uid:").and_then(|user| user.parse().ok()) == Some(owner)).then_some(pid);
    }
    // The unit hides processes that are not dumpable even from their own user; a signal may be sent all the same.
    let is_other = field("Name:").is_some_and(|name| !name.starts_with(PROGRAM));
    (!is_other && test_kill_process(process).is_ok()).then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_with_the_process_id_of_the_first_and_let_in_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Lock::take(folder.path()).unwrap();
        let refusal = Lock::take(folder.path()).unwrap_err();
        assert!(matches!(refusal, Error::Held { holder: Some(pid), .. } if pid == std::process::id()), "{refusal}");
        assert!(refusal.to_string().contains(&format!("pid {}", std::process::id())), "{refusal}");
        drop(first);
        assert!(Lock::take(folder.path()).is_ok());
    }

    #[test]
    fn a_holder_that_wrote_no_process_id_is_still_a_holder() {
        let folder = tempfile::tempdir().unwrap();
        let _first = Lock::take(folder.path()).unwrap();
        std::fs::write(folder.path().join(FILE_NAME), [0xff, 0xfe]).unwrap();
        assert!(matches!(Lock::take(folder.path()), Err(Error::Held { holder: None, .. })));
    }

    #[test]
    fn nobody_holds_a_folder_whose_holder_is_gone_or_is_somebody_else() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(holder(folder.path()).ok().flatten(), None);
        std::fs::write(folder.path().join(FILE_NAME), "4194305").unwrap();
        assert_eq!(holder(folder.path()).ok().flatten(), None, "no such process");
        std::fs::write(folder.path().join(FILE_NAME), "1").unwrap();
        assert_eq!(holder(folder.path()).ok().flatten(), None, "another program");
    }
}
