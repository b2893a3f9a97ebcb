//! Hints that something changed: the kernel's events where it has them, looking every second elsewhere.
//! Promises that a hint is never more than a hint, that hints use bounded memory, and that a folder without
//! events is polled until it has them. Leaves finding out what changed to the streams.

use super::identity;
use datalake_base::record::FileKey;
use notify::event::EventKind;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More touched paths than this between two looks are not worth remembering one by one.
const MOST_HINTS: usize = 4096;

/// How often a watch that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// What was touched since the last look.
#[derive(Debug, Default)]
pub(super) struct Hints {
    pub(super) paths: HashSet<PathBuf>,
    /// Events were lost: anything may have changed.
    pub(super) everywhere: bool,
}

/// Where hints collect until there is time for them.
pub(super) struct Inbox {
    hints: Mutex<Hints>,
    filled: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Inbox {
    /// Calls `wake` when there are hints where there were none.
    pub(super) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { hints: Mutex::default(), filled: AtomicBool::new(false), wake }
    }

    /// All hints since the last call.
    pub(super) fn take(&self) -> Option<Hints> {
        self.filled
            .swap(false, Ordering::Acquire)
            .then(|| std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn post(&self, event: notify::Result<notify::Event>) {
        let mut hints = self.hints.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            // Opening and closing changes nothing, and our own opening is reported too.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) && !event.need_rescan() => return,
            Ok(event) if !event.need_rescan() => {
                if hints.paths.len() + event.paths.len() > MOST_HINTS {
                    hints.everywhere = true;
                    hints.paths.clear();
                } else if !hints.everywhere {
                    for path in event.paths {
                        if !hints.paths.contains(&path) {
                            hints.paths.insert(path);
                        }
                    }
                }
            }
            Ok(_) | Err(_) => hints.everywhere = true,
        }
        drop(hints);
        if !self.filled.swap(true, Ordering::Release) {
            (self.wake)();
        }
    }
}

/// One folder under watch.
#[derive(Debug)]
struct Watched {
    /// Which folder it is, to notice that another took its place, perhaps with the same inode.
    identity: FileKey,
    /// `None` while the kernel reports its changes; otherwise when to try for events again (if ever).
    polled: Option<Option<Instant>>,
}

/// The folders under watch, one inotify instance for all.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    inbox: Arc<Inbox>,
    folders: BTreeMap<PathBuf, Watched>,
    /// The operator was told that events are missing, and was not told yet that they are back.
    warned: bool,
    retry_watcher: Option<Instant>,
}

impl Watch {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { watcher: None, inbox, folders: BTreeMap::new(), warned: false, retry_watcher: None }
    }

    /// Watches exactly these folders; returns those whose watch is new, which must be looked at now.
    pub(super) fn set(&mut self, wanted: &BTreeSet<PathBuf>, now: Instant) -> Vec<PathBuf> {
        let gone: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(path, watched)| !wanted.contains(*path) || folder_identity(path) != Some(watched.identity))
            .map(|(path, _)| path.clone())
            .collect();
        for path in gone {
            self.folders.remove(&path);
            if let Some(watcher) = &mut self.watcher {
                // The kernel drops the watch of a deleted folder by itself, so an error here says nothing.
                let _dropped_already = watcher.unwatch(&path);
            }
        }
        let mut fresh = Vec::new();
        for path in wanted {
            if self.folders.contains_key(path) {
                continue;
            }
            let Some(identity) = folder_identity(path) else { continue };
            let polled = self.add(path, now);
            tracing::debug!(folder = %path.display(), events = polled.is_none(), "the folder is watched");
            self.folders.insert(path.clone(), Watched { identity, polled });
            fresh.push(path.clone());
        }
        fresh
    }

    /// Whether the folder is under watch.
    pub(super) fn watches(&self, folder: &Path) -> bool {
        self.folders.contains_key(folder)
    }

    /// Something happened to the folder itself. When it was deleted and made again, the report that it was deleted may
    /// come after the new one was watched, and the watcher, which goes by names, then drops the watch of the new one:
    /// it is watched anew at the next [`Watch::set`].
    pub(super) fn doubt(&mut self, folder: &Path) {
        if let Some(watched) = self.folders.get_mut(folder) {
            watched.identity = FileKey::default();
        }
    }

    /// The folders that must be looked at because no event would tell.
    pub(super) fn polled(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().filter(|(_, watched)| watched.polled.is_some()).map(|(path, _)| path.as_path())
    }

    /// Tries again for events where they failed.
    pub(super) fn retry(&mut self, now: Instant) {
        let due: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(_, watched)| matches!(watched.polled, Some(Some(at)) if at <= now))
            .map(|(path, _)| path.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        for path in due {
            let polled = self.add(&path, now);
            if let Some(watched) = self.folders.get_mut(&path) {
                watched.polled = polled;
            }
            if polled.is_some() {
                return; // One failure is enough to know that the limit still stands.
            }
        }
        if self.warned && !self.folders.values().any(|watched| matches!(watched.polled, Some(Some(_)))) {
            self.warned = false;
            tracing::info!("file events are back for all folders");
        }
    }

    fn add(&mut self, path: &Path, now: Instant) -> Option<Option<Instant>> {
        if is_without_events(path) {
            return Some(None);
        }
        if let Err(error) = self.try_add(path, now) {
            if !self.warned {
                self.warned = true;
                tracing::warn!(
                    folder = %path.display(),
                    reason = %error,
                    "no file events here; looking every second instead. Raise fs.inotify.max_user_watches and \
                     fs.inotify.max_user_instances (sysctl), or the limit of open files, and events are used again"
                );
            }
            return Some(Some(now + TRY_AGAIN));
        }
        None
    }

    fn try_add(&mut self, path: &Path, now: Instant) -> notify::Result<()> {
        if self.watcher.is_none() {
            if self.retry_watcher.is_some_and(|at| now < at) {
                return Err(notify::Error::generic("file events could not be set up a moment ago"));
            }
            self.retry_watcher = Some(now + TRY_AGAIN);
            let inbox = self.inbox.clone();
            self.watcher = Some(notify::recommended_watcher(move |event| inbox.post(event))?);
        }
        match &mut self.watcher {
            Some(watcher) => watcher.watch(path, RecursiveMode::NonRecursive),
            None => Ok(()),
        }
    }
}

fn folder_identity(path: &Path) -> Option<FileKey> {
    let status = identity::of_path(path).ok()?;
    (status.kind == identity::Kind::Folder).then_some(status.key)
}

/// Filesystems on which others write without our kernel knowing.
pub(super) fn is_without_events(path: &Path) -> bool {
    const NETWORKED: [u64; 10] = [
        0x6969,      // NFS
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x517b,      // SMB
        0x6573_5546, // FUSE, virtiofs
        0x0102_1997, // 9P
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
        0x0bd0_0bd0, // Lustre
        0x786f_4256, // VirtualBox shared folders
    ];
    rustix::fs::statfs(path).is_ok_and(|status| NETWORKED.contains(&(status.f_type as u64 & 0xffff_ffff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_hints_become_one_and_lost_events_do_too() {
        let inbox = Inbox::new(Box::new(|| {}));
        let touched = |name: usize| {
            let kind = EventKind::Modify(notify::event::ModifyKind::Any);
            Ok(notify::Event::new(kind).add_path(format!("/l/{name}").into()))
        };
        inbox.post(touched(1));
        inbox.post(touched(1));
        let hints = inbox.take().unwrap();
        assert!(hints.paths.len() == 1 && !hints.everywhere && inbox.take().is_none());
        (0..=MOST_HINTS).for_each(|name| inbox.post(touched(name)));
        assert!(inbox.take().is_some_and(|hints| hints.everywhere));
        inbox.post(Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        assert!(inbox.take().is_some_and(|hints| hints.everywhere));
    }

    #[test]
    fn a_folder_that_was_replaced_is_watched_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("logs");
        std::fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new(Arc::new(Inbox::new(Box::new(|| {}))));
        let wanted = BTreeSet::from([folder.clone()]);
        assert_eq!(watch.set(&wanted, Instant::now()), std::slice::from_ref(&folder));
        assert!(watch.set(&wanted, Instant::now()).is_empty());
        std::fs::rename(&folder, root.path().join("logs.old")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(watch.set(&wanted, Instant::now()), std::slice::from_ref(&folder));
        watch.doubt(&folder);
        assert_eq!(watch.set(&wanted, Instant::now()), [folder], "something happened to it");
    }
}
