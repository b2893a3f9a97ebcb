//! The agent's own files: configuration, credentials, state, quarantine, spool, and its log where that is a file.
//! Promises that none of them passes for a log, by whatever name: they are known by device and inode, so links, hard links
//! and bind mounts lead nowhere. Leaves saying so to the caller.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What is known is looked up anew when it is older than this: editors and rotation replace files.
const FRESH: Duration = Duration::from_secs(1);
/// Own folders are looked through so deep.
const DEEPEST: usize = 4;
/// And hold no more files than this that are looked at.
const MOST_FILES: usize = 50_000;
/// Maximum number of names that are remembered as reported.
const MOST_REPORTED: usize = 1000;

/// Device and inode.
type Identity = (u64, u64);

/// The set; cheap to clone, and shared between the flows.
#[derive(Clone, Debug, Default)]
pub struct OwnFiles(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    files: Vec<PathBuf>,
    folders: Vec<PathBuf>,
    /// Of descriptors that we have: their names may be gone.
    open: Vec<Identity>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    at: Option<Instant>,
    /// With the name under which each was found; none for what is open.
    files: HashMap<Identity, Option<PathBuf>>,
    folders: HashSet<Identity>,
    reported: HashSet<PathBuf>,
}

impl OwnFiles {
    /// These files, and everything in these folders; none of them needs to be there. What this process writes its log to
    /// comes on top.
    #[must_use]
    pub fn new(files: Vec<PathBuf>, folders: Vec<PathBuf>) -> Self {
        let outputs = [rustix::fs::fstat(std::io::stdout()), rustix::fs::fstat(std::io::stderr())];
        let regular = |stat: &rustix::fs::Stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
        let open = outputs.into_iter().flatten().filter(regular).map(|stat| (stat.st_dev, stat.st_ino)).collect();
        Self(Arc::new(Inner { files, folders, open, known: Mutex::default() }))
    }

    /// Whether one is a clone of the other.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether the folder is one of ours, or lies in one.
    #[must_use]
    pub fn hold_folder(&self, folder: &Path) -> bool {
        if self.is_empty() {
            return false;
        }
        let Ok(real) = folder.canonicalize() else { return false };
        let known = self.known();
        real.ancestors().filter_map(identity).any(|folder| known.folders.contains(&folder))
    }

    /// Whether the file of this device and inode is one of ours.
    #[must_use]
    pub fn hold(&self, device: u64, inode: u64) -> bool {
        !self.is_empty() && self.known().hold(&self.0, (device, inode))
    }

    /// Whether the file or folder of this device and inode is one of ours.
    #[must_use]
    pub fn hold_any(&self, device: u64, inode: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut known = self.known();
        known.folders.contains(&(device, inode)) || known.hold(&self.0, (device, inode))
    }

    /// Whether the path leads to one of ours.
    #[must_use]
    pub fn hold_path(&self, path: &Path) -> bool {
        let leads_here = |path: PathBuf| path.parent().is_some_and(|folder| self.hold_folder(folder));
        identity(path).is_some_and(|(device, inode)| self.hold(device, inode))
            || path.canonicalize().is_ok_and(leads_here)
    }

    /// Whether it is the first time that this name is spoken of.
    #[must_use]
    pub fn is_news(&self, path: &Path) -> bool {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.reported.len() < MOST_REPORTED && known.reported.insert(path.to_owned())
    }

    fn is_empty(&self) -> bool {
        self.0.files.is_empty() && self.0.folders.is_empty() && self.0.open.is_empty()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.at.is_none_or(|at| at.elapsed() > FRESH) {
            known.look(&self.0);
        }
        known
    }
}

impl Known {
    /// What is there now.
    fn look(&mut self, own: &Inner) {
        self.files = own.open.iter().map(|open| (*open, None)).collect();
        self.files.extend(own.files.iter().filter_map(|file| Some((identity(file)?, Some(file.clone())))));
        self.folders = own.folders.iter().filter_map(identity).collect();
        for folder in &own.folders {
            gather(folder, DEEPEST, &mut self.files);
        }
        self.at = Some(Instant::now());
    }

    /// Whether this is one of ours now: a file that was replaced a moment ago leaves its inode to the next that is made,
    /// which may be a log.
    fn hold(&mut self, own: &Inner, file: Identity) -> bool {
        let still = |name: &Option<PathBuf>| name.as_ref().is_none_or(|name| identity(name) == Some(file));
        match self.files.get(&file) {
            None => false,
            Some(name) if still(name) => true,
            // Gone, or renamed.
            Some(_) => {
                self.look(own);
                self.files.contains_key(&file)
            }
        }
    }
}

fn identity(path: impl AsRef<Path>) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files in the folder and below it.
fn gather(folder: &Path, depth: usize, files: &mut HashMap<Identity, Option<PathBuf>>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if files.len() >= MOST_FILES {
            return;
        }
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() && depth > 0 => gather(&entry.path(), depth - 1, files),
            Ok(metadata) if metadata.is_file() => {
                files.insert((metadata.dev(), metadata.ino()), Some(entry.path()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A link to the configuration in a log folder was shipped, with the keys in it.
    #[test]
    fn no_other_name_of_an_own_file_passes_for_a_log() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for folder in ["etc/agent.d", "state/quarantine/logs", "logs/sub"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        for file in ["etc/agent.json", "etc/agent.d/more.json", "state/checkpoint.db", "state/quarantine/logs/a.jsonl"]
        {
            std::fs::write(root.join(file), file).unwrap();
        }
        std::fs::write(root.join("logs/app.log"), "a line").unwrap();
        let own = OwnFiles::new(vec![root.join("etc/agent.json")], vec![root.join("state"), root.join("etc/agent.d")]);
        symlink(root.join("etc/agent.json"), root.join("logs/one.log")).unwrap();
        symlink("one.log", root.join("logs/two.log")).unwrap();
        std::fs::hard_link(root.join("state/checkpoint.db"), root.join("logs/three.log")).unwrap();
        symlink(root.join("state/quarantine/logs"), root.join("logs/folder")).unwrap();
        for path in ["one.log", "two.log", "three.log", "folder/a.jsonl"] {
            assert!(own.hold_path(&root.join("logs").join(path)), "{path}");
        }
        assert!(own.hold_folder(&root.join("logs/folder")) && own.hold_folder(&root.join("state")));
        assert!(!own.hold_path(&root.join("logs/app.log")) && !own.hold_folder(&root.join("logs")));
        // Made a moment ago, and not seen yet.
        std::fs::write(root.join("state/quarantine/logs/b.jsonl"), "").unwrap();
        assert!(own.hold_path(&root.join("logs/folder/b.jsonl")));
    }

    /// A log was not read for half a minute, because it had the inode of a configuration that was replaced just before.
    #[test]
    fn a_file_that_was_replaced_leaves_its_inode_to_a_log_and_one_that_was_renamed_does_not() {
        let root = tempfile::tempdir().unwrap();
        let (state, log) = (root.path().join("state"), root.path().join("app.log"));
        std::fs::create_dir(&state).unwrap();
        std::fs::write(state.join("old"), "").unwrap();
        let own = OwnFiles::new(Vec::new(), vec![state.clone()]);
        let (device, inode) = identity(state.join("old")).unwrap();
        assert!(own.hold(device, inode));
        std::fs::rename(state.join("old"), state.join("new")).unwrap();
        assert!(own.hold(device, inode) && own.hold_any(device, inode), "it is ours under another name");
        // The file leaves the folder with its inode, as if that had been given to another.
        std::fs::rename(state.join("new"), &log).unwrap();
        assert!(!own.hold(device, inode) && !own.hold_any(device, inode) && !own.hold_path(&log));
    }

    #[test]
    fn a_name_is_spoken_of_once() {
        let own = OwnFiles::new(vec!["/etc/agent.json".into()], Vec::new());
        assert!(own.is_news(Path::new("/a")) && !own.is_news(Path::new("/a")) && own.is_news(Path::new("/b")));
    }
}
