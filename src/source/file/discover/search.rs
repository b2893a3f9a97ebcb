//! Finds the folders of patterns, a part at a time.
//! Promises a bounded number of names a step, however many files lie in the folders on the way.
//! Leaves which names a pattern stands for to `discover`, and when to search to the rounds.

use super::{DEEPEST, Folders, Pattern, Step, folder_of};
use rustix::io::Errno;
use std::fs::{DirEntry, ReadDir};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Links in one way; as many as the kernel follows.
const MOST_LINKS: usize = 40;

/// A way that is still to be walked: what is left of a route, from this folder on.
#[derive(Clone, Debug)]
struct Way {
    folder: PathBuf,
    routes: Arc<[Vec<Step>]>,
    route: usize,
    step: usize,
    /// Folders entered under one `**`.
    depth: usize,
}

impl Way {
    fn steps(&self) -> &[Step] {
        self.routes.get(self.route).and_then(|route| route.get(self.step..)).unwrap_or_default()
    }

    fn toward(&self, folder: PathBuf, step: usize, depth: usize) -> Self {
        Self { folder, step, depth, ..self.clone() }
    }
}

/// See the head of this file.
#[derive(Debug, Default)]
pub(in super::super) struct Search {
    found: Folders,
    ways: Vec<Way>,
    /// The folder that is being listed, and what leads into the folders in it.
    listing: Option<(ReadDir, Way)>,
}

impl Search {
    pub(in super::super) fn of<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Self {
        let mut search = Self::default();
        for pattern in patterns {
            let way = |route: usize| Way {
                folder: PathBuf::from("/"),
                routes: pattern.routes.clone(),
                route,
                step: 0,
                depth: 0,
            };
            search.ways.extend((0..pattern.routes.len()).map(way));
        }
        search
    }

    /// Looks at no more names than this. The folders, when all are found.
    pub(in super::super) fn step(&mut self, names: usize) -> Option<Folders> {
        for _ in 0..names {
            if let Some((entries, way)) = &mut self.listing {
                match entries.next() {
                    Some(Ok(entry)) => {
                        if let Some(way) = leads_on(way, &entry) {
                            self.watch_links(&way.folder);
                            self.ways.push(way);
                        }
                    }
                    Some(Err(_)) => {}
                    None => self.listing = None,
                }
            } else if let Some(way) = self.ways.pop() {
                self.walk(way);
            } else {
                return Some(std::mem::take(&mut self.found));
            }
        }
        None
    }

    /// All at once.
    pub(in super::super) fn run(mut self) -> Folders {
        loop {
            if let Some(folders) = self.step(usize::MAX) {
                return folders;
            }
        }
    }

    /// The last step of a route names files and is not walked.
    fn walk(&mut self, way: Way) {
        let Some((step, rest)) = way.steps().split_first() else { return };
        if rest.is_empty() && !matches!(step, Step::Anywhere) {
            self.found.leaves.insert(way.folder);
            return;
        }
        match step {
            Step::Named(name) => {
                let next = way.folder.join(name);
                self.watch_links(&next);
                if next.is_dir() {
                    self.ways.push(way.toward(next, way.step + 1, way.depth));
                } else {
                    self.found.branches.insert(way.folder);
                }
            }
            Step::Like(_) => {
                self.found.branches.insert(way.folder.clone());
                self.list(way);
            }
            Step::Anywhere => {
                self.found.branches.insert(way.folder.clone());
                if rest.is_empty() {
                    self.found.leaves.insert(way.folder.clone());
                } else {
                    self.ways.push(way.toward(way.folder.clone(), way.step + 1, way.depth));
                }
                if way.depth < DEEPEST {
                    self.list(way);
                }
            }
        }
    }

    /// Where the way goes through a link, or a chain of them, the folder of each decides where it leads: a link that is
    /// set to another folder changes nothing in the folder it led to.
    fn watch_links(&mut self, folder: &Path) {
        let mut at = folder.to_owned();
        for _ in 0..MOST_LINKS {
            let Ok(target) = std::fs::read_link(&at) else { return };
            let parent = folder_of(&at).to_owned();
            at = parent.join(target);
            self.found.branches.insert(parent);
        }
    }

    fn list(&mut self, way: Way) {
        match std::fs::read_dir(&way.folder) {
            Ok(entries) => self.listing = Some((entries, way)),
            // A folder that may not be read or vanished has no subfolders now; the next sweep looks again.
            Err(error) => {
                self.found.incomplete |= matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE));
            }
        }
    }
}

/// Where the way goes on in this entry of its folder, if that is a folder on the way.
fn leads_on(way: &Way, entry: &DirEntry) -> Option<Way> {
    let (step, through_links) = match way.steps().first()? {
        Step::Like(name) if name.is_match(entry.file_name().as_bytes()) => (way.step + 1, true),
        Step::Anywhere => (way.step, false),
        Step::Like(_) | Step::Named(_) => return None,
    };
    let is_folder = match entry.file_type() {
        Ok(kind) if kind.is_symlink() => through_links && entry.path().is_dir(),
        Ok(kind) => kind.is_dir(),
        Err(_) => false,
    };
    let depth = if through_links { way.depth } else { way.depth + 1 };
    is_folder.then(|| way.toward(entry.path(), step, depth))
}
