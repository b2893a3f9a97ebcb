//! Hints that something changed: the kernel's events where it has them, looking every second elsewhere.
//! Promises that a hint is never more than a hint, and that hints use bounded memory.
//! Leaves finding out what changed, and looking where there are no events, to others.

use super::coalescing::Coalescing;
use super::identity;
use crate::telemetry::ids;
use datalake_base::record::FileKey;
use datalake_base::shown::shown;
use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// More touched paths than this between two looks are not worth remembering one by one.
const MOST_HINTS: usize = 4096;

/// How often a watch that failed is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(15);

/// Whether the folder is closed to this user, or gone.
fn is_closed(error: &notify::Error) -> bool {
    match &error.kind {
        notify::ErrorKind::Io(error) => {
            matches!(error.kind(), std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::NotFound)
        }
        notify::ErrorKind::PathNotFound => true,
        _ => false,
    }
}

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
    /// How events of growth wait for each other.
    pub(super) coalescing: Coalescing,
}

impl Inbox {
    /// Calls `wake` when there are hints where there were none.
    pub(super) fn new(wake: Box<dyn Fn() + Send + Sync>) -> Self {
        Self { hints: Mutex::default(), filled: AtomicBool::new(false), wake, coalescing: Coalescing::default() }
    }

    /// All hints since the last call.
    pub(super) fn take(&self) -> Option<Hints> {
        self.filled
            .swap(false, Ordering::Acquire)
            .then(|| std::mem::take(&mut *self.hints.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Takes an event on the watcher's own thread; growth may wait there for more.
    fn receive(&self, event: notify::Result<notify::Event>) {
        match &event {
            // Who opens and closes a file for each line says nothing by that.
            Ok(opened) if matches!(opened.kind, EventKind::Access(_)) => {
                self.coalescing.opened();
                return self.post(event);
            }
            Ok(event) if matches!(event.kind, EventKind::Modify(ModifyKind::Data(_))) => self.coalescing.grown(),
            Ok(_) | Err(_) => self.coalescing.changed(),
        }
        self.post(event);
        self.coalescing.done();
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
    /// Which folder it is, to notice that another took its place, perhaps with the same inode; `None` while there is none.
    identity: Option<FileKey>,
    /// Something happened to the folder itself: its watch may be gone.
    doubted: bool,
    /// `None` while the kernel reports its changes; otherwise when to try for events again (if ever).
    polled: Option<Option<Instant>>,
    /// So many want to know what happens in it.
    users: u32,
}

/// The folders under watch, one inotify instance for all.
pub(super) struct Watch {
    watcher: Option<RecommendedWatcher>,
    inbox: Arc<Inbox>,
    folders: BTreeMap<PathBuf, Watched>,
    /// How many of them are the same folder, where that is more than one: by a link, or a bind mount. The kernel has one watch
    /// for all of these, which goes with the first that is no longer watched, and names one of them only in its events.
    same: BTreeMap<FileKey, u32>,
    /// The operator was warned that events are missing, and does not know yet that they are back.
    warned: bool,
    retry_watcher: Option<Instant>,
}

impl Watch {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            watcher: None,
            inbox,
            folders: BTreeMap::new(),
            same: BTreeMap::new(),
            warned: false,
            retry_watcher: None,
        }
    }

    /// Somebody wants to know what happens in the folder. Returns whether events say so.
    pub(super) fn add(&mut self, path: &Path, now: Instant) -> bool {
        if let Some(watched) = self.folders.get_mut(path) {
            watched.users += 1;
            return watched.has_events();
        }
        let identity = folder_identity(path);
        let polled = if identity.is_some() { self.begin(path, now) } else { Some(None) };
        tracing::debug!(folder = %path.display(), events = polled.is_none(), "the folder is watched");
        let watched = Watched { identity, doubted: false, polled, users: 1 };
        let events = watched.has_events();
        self.folders.insert(path.to_owned(), watched);
        self.count(identity, 1);
        events
    }

    /// Somebody wants to know it no longer.
    pub(super) fn remove(&mut self, path: &Path) {
        let Some(watched) = self.folders.get_mut(path) else { return };
        watched.users -= 1;
        if watched.users == 0 {
            let identity = watched.identity;
            self.folders.remove(path);
            self.count(identity, -1);
            self.end(path, identity, Instant::now());
        }
    }

    /// Ends the watch of a path by which this folder was known. If it is watched by other paths, these get a new one, and
    /// what happened in between is looked for everywhere.
    fn end(&mut self, path: &Path, identity: Option<FileKey>, now: Instant) {
        if let Some(watcher) = &mut self.watcher {
            let _now = self.inbox.coalescing.interrupt();
            // The kernel drops the watch of a deleted folder by itself, so an error here says nothing.
            let _dropped_already = watcher.unwatch(path);
        }
        for other in self.others(path, identity).into_iter().filter(|other| self.has_events(other)).collect::<Vec<_>>()
        {
            let polled = self.begin(&other, now);
            if let Some(watched) = self.folders.get_mut(&other) {
                watched.polled = polled;
            }
            self.inbox.post(Ok(notify::Event::new(EventKind::Other).set_flag(notify::event::Flag::Rescan)));
        }
    }

    fn count(&mut self, identity: Option<FileKey>, more: i32) {
        let Some(identity) = identity else { return };
        let count = self.same.entry(identity).or_default();
        *count = count.saturating_add_signed(more);
        if *count == 0 {
            self.same.remove(&identity);
        }
    }

    /// The other paths by which this folder is watched.
    fn others(&self, path: &Path, identity: Option<FileKey>) -> Vec<PathBuf> {
        let own = u32::from(self.folders.get(path).is_some_and(|watched| watched.identity == identity));
        let Some(identity) = identity.filter(|identity| self.same.get(identity).is_some_and(|count| *count > own))
        else {
            return Vec::new();
        };
        let is_other = |(other, watched): &(&PathBuf, &Watched)| *other != path && watched.identity == Some(identity);
        self.folders.iter().filter(is_other).map(|(other, _)| other.clone()).collect()
    }

    /// An event names a file, or a folder, by one path: the other paths that it has where its folder is watched by several.
    pub(super) fn aliases(&self, path: &Path) -> Vec<PathBuf> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
        let Some(watched) = self.folders.get(folder) else { return Vec::new() };
        self.others(folder, watched.identity).into_iter().map(|folder| folder.join(name)).collect()
    }

    /// Whether the folder is under watch.
    pub(super) fn watches(&self, folder: &Path) -> bool {
        self.folders.contains_key(folder)
    }

    /// Whether events say what happens in the folder.
    pub(super) fn has_events(&self, folder: &Path) -> bool {
        self.folders.get(folder).is_some_and(Watched::has_events)
    }

    /// Whether some folder that is there has no events.
    pub(super) fn is_lacking(&self) -> bool {
        self.folders.values().any(|watched| watched.identity.is_some() && !watched.has_events())
    }

    /// Something happened to the folder itself. When it was deleted and made again, the report that it was deleted may
    /// come after the new one was watched, and the watcher, which goes by names, then drops the watch of the new one:
    /// it is watched anew at the next [`Watch::renew`].
    pub(super) fn doubt(&mut self, folder: &Path) {
        if let Some(watched) = self.folders.get_mut(folder) {
            watched.doubted = true;
        }
    }

    /// Looks whether each folder is still the one that is watched, and watches the new one where it is not. Returns those
    /// in which anything may have happened.
    pub(super) fn renew(&mut self, now: Instant) -> Vec<PathBuf> {
        let mut renewed = Vec::new();
        let other = |(path, watched): (&PathBuf, &Watched)| {
            let identity = folder_identity(path);
            (watched.doubted || identity != watched.identity).then(|| (path.clone(), identity))
        };
        for (path, identity) in self.folders.iter().filter_map(other).collect::<Vec<_>>() {
            self.begin_anew(&path, identity, now);
            renewed.push(path);
        }
        renewed
    }

    fn begin_anew(&mut self, path: &Path, identity: Option<FileKey>, now: Instant) {
        let Some(watched) = self.folders.get_mut(path) else { return };
        let before = std::mem::replace(&mut watched.identity, identity);
        watched.doubted = false;
        self.count(before, -1);
        self.count(identity, 1);
        self.end(path, before, now);
        let polled = if identity.is_some() { self.begin(path, now) } else { Some(None) };
        if let Some(watched) = self.folders.get_mut(path) {
            watched.polled = polled;
        }
    }

    /// The same for one.
    pub(super) fn renew_one(&mut self, path: &Path, now: Instant) {
        let identity = folder_identity(path);
        if self.folders.get(path).is_some_and(|watched| watched.doubted || watched.identity != identity) {
            self.begin_anew(path, identity, now);
        }
    }

    /// Tries again for events where they failed. Returns where they are back.
    pub(super) fn retry(&mut self, now: Instant) -> Vec<PathBuf> {
        let due: Vec<PathBuf> = self
            .folders
            .iter()
            .filter(|(_, watched)| matches!(watched.polled, Some(Some(at)) if at <= now))
            .map(|(path, _)| path.clone())
            .collect();
        let mut back = Vec::new();
        for path in due {
            let polled = self.begin(&path, now);
            if let Some(watched) = self.folders.get_mut(&path) {
                watched.polled = polled;
            }
            if polled.is_some() {
                return back; // One failure is enough to know that the limit still stands.
            }
            back.push(path);
        }
        if self.warned && !self.folders.values().any(|watched| matches!(watched.polled, Some(Some(_)))) {
            self.warned = false;
            tracing::info!("file events are back for all folders");
        }
        back
    }

    /// Begins to watch: when to try again, if that failed.
    fn begin(&mut self, path: &Path, now: Instant) -> Option<Option<Instant>> {
        if is_without_events(path) {
            return Some(None);
        }
        if let Err(error) = self.try_add(path, now) {
            // Who may not read a folder may not watch it either, and listing it says so; no limit of the kernel is in the way.
            if !self.warned && !is_closed(&error) {
                self.warned = true;
                tracing::warn!(
                    message_id = ids::NO_EVENTS,
                    folder = %shown(path),
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
            self.watcher = Some(notify::recommended_watcher(move |event| inbox.receive(event))?);
        }
        let _now = self.inbox.coalescing.interrupt();
        match &mut self.watcher {
            Some(watcher) => watcher.watch(path, RecursiveMode::NonRecursive),
            None => Ok(()),
        }
    }
}

impl Watched {
    const fn has_events(&self) -> bool {
        self.polled.is_none()
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

    /// With an hour of patience: what waits, waits until it is interrupted, and the test does not end if anything else does.
    #[test]
    fn growth_waits_for_more_and_nothing_else_does() {
        use notify::event::{AccessKind, CreateKind, DataChange};
        let inbox = Arc::new(Inbox::new(Box::new(|| {})));
        inbox.coalescing.set_patience(Duration::from_secs(3600));
        let event = |kind, name: &str| Ok(notify::Event::new(kind).add_path(Path::new("/l").join(name)));
        let grown = EventKind::Modify(ModifyKind::Data(DataChange::Any));
        let hints = || inbox.take().map(|hints| hints.paths).unwrap_or_default();
        inbox.receive(event(grown, "first"));
        assert!(hints().contains(Path::new("/l/first")), "the first one");
        inbox.receive(event(EventKind::Access(AccessKind::Any), "opened"));
        // What comes later than this was not in the queue already.
        std::thread::sleep(Duration::from_millis(1));
        let waiting = inbox.clone();
        let second = event(grown, "second");
        let thread = std::thread::spawn(move || waiting.receive(second));
        assert!(hints().is_empty(), "whether or not the thread has begun");
        let interruption = inbox.coalescing.interrupt();
        thread.join().unwrap();
        drop(interruption);
        assert!(hints().contains(Path::new("/l/second")), "somebody needed the thread");
        inbox.receive(event(EventKind::Create(CreateKind::File), "new"));
        inbox.receive(event(grown, "third"));
        assert_eq!(hints().len(), 2, "names change");
    }

    #[test]
    fn a_folder_that_was_replaced_is_watched_anew() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("logs");
        std::fs::create_dir(&folder).unwrap();
        let mut watch = Watch::new(Arc::new(Inbox::new(Box::new(|| {}))));
        let now = Instant::now();
        assert!(watch.add(&folder, now) && watch.renew(now).is_empty());
        std::fs::rename(&folder, root.path().join("logs.old")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(watch.renew(now), std::slice::from_ref(&folder));
        assert!(watch.renew(now).is_empty() && watch.has_events(&folder));
        watch.doubt(&folder);
        assert_eq!(watch.renew(now), [folder], "something happened to it");
    }

    #[test]
    fn a_folder_that_comes_later_has_events_from_then_on_and_is_watched_until_nobody_asks() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("rotated");
        let mut watch = Watch::new(Arc::new(Inbox::new(Box::new(|| {}))));
        let now = Instant::now();
        assert!(!watch.add(&folder, now) && !watch.add(&folder, now));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(watch.renew(now), std::slice::from_ref(&folder));
        watch.remove(&folder);
        assert!(watch.has_events(&folder));
        watch.remove(&folder);
        assert!(!watch.watches(&folder));
    }
}
