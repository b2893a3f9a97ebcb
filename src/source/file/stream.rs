//! All files of one destination: looks at folders, and does what follows from what is seen.
//! Promises that each file is read by one strand, and that a strand outlives names, folders and truncations.
//! Leaves reading to `turns`, telling copies apart to `copies`, and checkpoint rows to `rows`.

use super::begin::FirstLook;
use super::discover::{Folders, folder_of, name_of};
use super::identity;
use super::names;
use super::reader::Descriptors;
use super::strand::{Id, Place, Role, Standing, Strand};
use super::verify::Verify;
use super::{Input, Settings};
use datalake_base::accounting::Accounting;
use datalake_base::record::{Arrival, ChunkPool, FileKey, Origin, SavedPosition, Watermarks};
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long the content of a truncated or vanished file is looked for before it counts as destroyed.
pub(super) const SEEK_FOR: Duration = Duration::from_secs(10);

/// How long after it moved a name is kept in mind at least.
pub(super) const INCIDENT_FOR: Duration = Duration::from_secs(5);

/// Two changes of a file this far apart, in nanoseconds, never bear the same time stamp.
pub(super) const STAMPS_APART: u64 = 100_000_000;

/// How far the clock that stamps files may be behind ours.
pub(super) const CLOCK_LAG: Duration = Duration::from_millis(20);

/// What all streams share.
pub(super) struct World {
    pub(super) now: Instant,
    /// Milliseconds since 1970.
    pub(super) wall: u64,
    pub(super) pool: ChunkPool,
    pub(super) next_origin: u64,
    pub(super) descriptors: Descriptors,
}

/// One flow, and which of its files have something to read.
pub(super) struct Flow {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) arrivals: Option<mpsc::Sender<Arrival>>,
    pub(super) watermarks: Watermarks,
    pub(super) books: Arc<Accounting>,
    pub(super) ready: VecDeque<Id>,
    pub(super) lag: u64,
    /// Whether there was no room or no buffer for it when last tried.
    pub(super) blocked: bool,
}

impl From<Input> for Flow {
    fn from(input: Input) -> Self {
        Self {
            name: input.flow,
            settings: input.settings,
            arrivals: Some(input.arrivals),
            watermarks: input.watermarks,
            books: input.books,
            ready: VecDeque::new(),
            lag: 0,
            blocked: false,
        }
    }
}

impl Flow {
    fn matches(&self, path: &Path) -> bool {
        self.settings.include.iter().any(|pattern| pattern.matches(path))
            && !self.settings.exclude.iter().any(|pattern| pattern.matches(path))
    }
}

/// See the head of this file.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) flows: Vec<Flow>,
    /// Boxed, because the table keeps room for half as many again, and for three times as many while it grows.
    pub(super) strands: HashMap<Id, Box<Strand>>,
    next: Id,
    /// Which strand reads the file; at most one.
    pub(super) by_key: HashMap<FileKey, Id>,
    /// Everything that has, or last had, this path: nearly always one strand, so it needs no heap block of its own.
    pub(super) by_path: HashMap<Arc<Path>, SmallVec<[Id; 1]>>,
    pub(super) by_origin: HashMap<Origin, Id>,
    /// Strands whose content is looked for.
    pub(super) lost: Vec<Id>,
    /// How often something was lost.
    pub(super) losses: u32,
    /// New files that may be copies.
    pub(super) candidates: Vec<Id>,
    /// Candidates that changed since they were judged.
    pub(super) doubted: Vec<Id>,
    /// Archives whose content is being compared; the first is worked on.
    pub(super) verifying: VecDeque<Verify>,
    /// Strands of flows whose files belong to the agent itself.
    pub(super) owned: BTreeSet<Id>,
    /// Strands that a second may change without an event.
    pub(super) ticking: Vec<Id>,
    /// Strands in the order in which their files were opened; some are closed again.
    pub(super) opened: VecDeque<Id>,
    /// Strands that wait for a turn and were closed when they began to.
    pub(super) unheld: BTreeSet<Id>,
    /// Strands whose row changed.
    pub(super) dirty: Vec<Id>,
    /// Rows that go away.
    pub(super) forgotten: Vec<FileKey>,
    /// Rows of files that no flow reads now.
    pub(super) dormant: HashMap<FileKey, SavedPosition>,
    pub(super) folders: Folders,
    /// Folders to look at, and not before when.
    pub(super) due: BTreeMap<PathBuf, Instant>,
    /// Folders that cannot be read, of which the operator knows.
    pub(super) unreadable: HashSet<PathBuf>,
    /// How long the last look took.
    pub(super) look_cost: Duration,
    /// Strands reached through links.
    pub(super) links: BTreeSet<Id>,
    /// Links that match and lead nowhere; no event tells when they do.
    pub(super) dangling: HashSet<PathBuf>,
    /// Names that stopped leading to what was followed there, since the last look.
    pub(super) incidents: Vec<Incident>,
    /// What is known of earlier lives; during the first look only.
    pub(super) first_look: Option<FirstLook>,
}

/// A name that used to lead to a followed file and no longer does: there may have been more rotations.
#[derive(Debug)]
pub(super) struct Incident {
    pub(super) path: Arc<Path>,
    pub(super) flow: usize,
    pub(super) strand: Id,
    /// Files born after this are news, in nanoseconds since 1970.
    pub(super) since: u64,
    /// Kept in mind until then at least: folders are read while they change.
    pub(super) until: Instant,
}

/// The family of a path: its folder and its name without rotation suffixes.
pub(super) fn family_of(path: &Path) -> u64 {
    let mut hasher = DefaultHasher::new();
    folder_of(path).hash(&mut hasher);
    names::family(name_of(path)).hash(&mut hasher);
    hasher.finish()
}

impl Stream {
    pub(super) fn new(name: String, flows: Vec<Flow>) -> Self {
        Self {
            name,
            flows,
            strands: HashMap::new(),
            next: 0,
            by_key: HashMap::new(),
            by_path: HashMap::new(),
            by_origin: HashMap::new(),
            lost: Vec::new(),
            losses: 0,
            candidates: Vec::new(),
            doubted: Vec::new(),
            verifying: VecDeque::new(),
            owned: BTreeSet::new(),
            ticking: Vec::new(),
            opened: VecDeque::new(),
            unheld: BTreeSet::new(),
            dirty: Vec::new(),
            forgotten: Vec::new(),
            dormant: HashMap::new(),
            folders: Folders::default(),
            due: BTreeMap::new(),
            unreadable: HashSet::new(),
            look_cost: Duration::ZERO,
            links: BTreeSet::new(),
            dangling: HashSet::new(),
            incidents: Vec::new(),
            first_look: None,
        }
    }

    /// The flow that the file belongs to, else the first whose patterns match.
    pub(super) fn flow_of(&self, path: &Path) -> Option<usize> {
        let owner = self.flows.iter().position(|flow| flow.settings.owned.is_some() && flow.matches(path));
        owner.or_else(|| self.flows.iter().position(|flow| flow.matches(path)))
    }

    /// Whether the path would be read if it were not excluded.
    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        let included = |flow: &Flow| flow.settings.include.iter().any(|pattern| pattern.matches(path));
        self.flow_of(path).is_none() && self.flows.iter().any(included)
    }

    /// The flow that reads rotations of what it matches: by the name without one suffix after the other.
    pub(super) fn flow_of_rotated(&self, path: &Path) -> Option<usize> {
        use std::os::unix::ffi::OsStrExt;
        let family = names::family(name_of(path));
        self.flow_of(path)
            .or_else(|| self.flow_of(&folder_of(path).join(std::ffi::OsStr::from_bytes(&family))))
            .or_else(|| {
                // Renamed beyond recognition: whoever reads in that folder read it before.
                let folder = folder_of(path);
                let reads_there = |flow: &Flow| {
                    let mut folders = Folders::default();
                    flow.settings.include.iter().for_each(|pattern| pattern.collect_folders(&mut folders));
                    folders.leaves.contains(folder)
                };
                self.flows.iter().position(reads_there)
            })
    }

    /// Finds the folders anew. Returns all that must be watched.
    pub(super) fn refresh_folders(&mut self) -> BTreeSet<PathBuf> {
        let mut folders = Folders::default();
        for pattern in self.flows.iter().flat_map(|flow| &flow.settings.include) {
            pattern.collect_folders(&mut folders);
        }
        // Where files are followed that were renamed, or known from rows, is of interest too.
        let mut last: Option<&Path> = None;
        for strand in self.strands.values() {
            let folder = folder_of(&strand.place.path);
            if last != Some(folder) && !folders.leaves.contains(folder) && folder.is_dir() {
                folders.leaves.insert(folder.to_owned());
            }
            last = Some(folder);
        }
        if folders.incomplete {
            // What could not be walked is as it was, as far as it is there at all.
            let still = |folder: &&PathBuf| folder.is_dir();
            folders.leaves.extend(self.folders.leaves.iter().filter(still).cloned());
            folders.branches.extend(self.folders.branches.iter().filter(still).cloned());
        }
        self.folders = folders;
        self.folders.leaves.union(&self.folders.branches).cloned().collect()
    }

    pub(super) fn insert(&mut self, strand: Strand) -> Id {
        self.next += 1;
        let id = self.next;
        self.by_key.insert(strand.place.key, id);
        self.by_path.entry(strand.place.path.clone()).or_default().push(id);
        if self.flows[strand.flow].settings.owned.is_some() {
            self.owned.insert(id);
        }
        self.strands.insert(id, Box::new(strand));
        self.recount(id);
        id
    }

    pub(super) fn remove(&mut self, id: Id) {
        let Some(strand) = self.strands.remove(&id) else { return };
        if self.by_key.get(&strand.place.key) == Some(&id) {
            self.by_key.remove(&strand.place.key);
        }
        self.leave_path(id, &strand.place.path);
        if let Some(origin) = strand.origin {
            self.by_origin.remove(&origin);
        }
        self.owned.remove(&id);
        self.lost.retain(|other| *other != id);
        self.candidates.retain(|other| *other != id);
        self.verifying.retain(|verify| verify.id != id);
        self.flows[strand.flow].lag -= strand.counted;
    }

    pub(super) fn leave_path(&mut self, id: Id, path: &Arc<Path>) {
        if let Some(ids) = self.by_path.get_mut(path) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_path.remove(path);
            }
        }
    }

    /// Gives the strand another place and path.
    pub(super) fn move_to(&mut self, id: Id, place: Place) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let old = std::mem::replace(&mut strand.place, place.clone());
        if self.by_key.get(&old.key) == Some(&id) {
            self.by_key.remove(&old.key);
        }
        self.by_key.insert(place.key, id);
        self.leave_path(id, &old.path);
        self.by_path.entry(place.path).or_default().push(id);
    }

    /// Brings the books in line with the strand.
    pub(super) fn recount(&mut self, id: Id) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let flow = &mut self.flows[strand.flow];
        let lag = strand.lag();
        flow.lag = flow.lag - strand.counted + lag;
        strand.counted = lag;
    }

    /// Makes the strand a log: from now on it is read.
    pub(super) fn make_log(&mut self, id: Id) {
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.role = Role::Log;
            self.candidates.retain(|other| *other != id);
        }
        self.recount(id);
        self.mark_dirty(id);
        self.enqueue(id);
    }

    pub(super) fn mark_dirty(&mut self, id: Id) {
        if let Some(strand) = self.strands.get_mut(&id)
            && !std::mem::replace(&mut strand.dirty, true)
        {
            self.dirty.push(id);
        }
    }

    pub(super) fn tick_later(&mut self, id: Id) {
        if let Some(strand) = self.strands.get_mut(&id)
            && !std::mem::replace(&mut strand.ticking, true)
        {
            self.ticking.push(id);
        }
    }

    /// Puts the strand in line for a turn, when it wants one.
    pub(super) fn enqueue(&mut self, id: Id) {
        if let Some(strand) = self.strands.get_mut(&id)
            && strand.wants_turn()
        {
            if strand.source.is_none() {
                self.unheld.insert(id);
            }
            if !std::mem::replace(&mut strand.queued, true) {
                self.flows[strand.flow].ready.push_back(id);
            }
        }
    }

    /// The folder changed: look at it soon, and not more than a tenth of the time.
    pub(super) fn folder_touched(&mut self, folder: &Path, now: Instant) {
        if !self.due.contains_key(folder) {
            self.due.insert(folder.to_owned(), now + (self.look_cost * 10).min(Duration::from_secs(1)));
        }
    }

    pub(super) fn present_at(&self, path: &Path) -> Option<Id> {
        let here = |id: &&Id| self.strands.get(*id).is_some_and(|strand| strand.standing == Standing::Present);
        self.by_path.get(path)?.iter().find(here).copied()
    }

    /// Whether some files are reached through links, whose targets have no events here.
    pub(super) fn has_links(&self) -> bool {
        !(self.links.is_empty() && self.dangling.is_empty())
    }

    /// Looks at the files behind links.
    pub(super) fn look_at_links(&mut self, world: &World) {
        for id in self.links.clone() {
            let Some(strand) = self.strands.get(&id).filter(|strand| strand.place.link) else {
                self.links.remove(&id);
                continue;
            };
            let path = strand.place.path.clone();
            self.hint(&path, identity::of_path(&path).ok().as_ref(), world);
        }
        let leads: Vec<PathBuf> = self.dangling.extract_if(|link| link.exists()).collect();
        for link in leads {
            self.folder_touched(folder_of(&link), world.now);
        }
    }
}
