//! Looking at folders: what lies there, and what it means for the files that are followed.
//! Promises that a rename, a deletion or a new file is dealt with in the look that first sees it.
//! Leaves comparing content to `copies`.

use super::access;
use super::discover::{folder_of, name_of};
use super::identity::{self, Kind, Status};
use super::names;
use super::reader::Closed;
use super::reconcile::{Decision, Known, Seen, reconcile};
use super::strand::{Id, Place, Role, Standing, Strand};
use super::stream::{Incident, Stream, World, family_of};
use datalake_base::shown::shown;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names that nothing new bears are remembered up to this many.
const MOST_INCIDENTS: usize = 256;

/// How long a folder that could not be read is left alone.
const REFUSED_AGAIN: Duration = Duration::from_secs(2);

/// What a look at some folders has shown.
#[derive(Default)]
struct Scan {
    seen: Vec<Seen>,
    /// Which of the folders could not be read, and why.
    refused: Vec<(usize, io::Error)>,
    /// Links of interest that lead nowhere.
    dangling: Vec<PathBuf>,
}

/// How often a folder that keeps changing is read again before what was seen has to do.
const RESCANS: usize = 4;

impl Stream {
    /// Looks at the folders whose time has come.
    pub(super) fn look_at_due(&mut self, world: &mut World) {
        let due: Vec<PathBuf> =
            self.due.iter().filter(|(_, at)| **at <= world.now).map(|(folder, _)| folder.clone()).collect();
        if !due.is_empty() {
            self.look(&due, world);
        }
    }

    /// Looks at these folders, as one: a file that moved between them is seen as moved.
    pub(super) fn look(&mut self, folders: &[PathBuf], world: &mut World) -> Vec<Id> {
        let begun = Instant::now();
        let inodes: HashSet<u64> = self.by_key.keys().chain(self.dormant.keys()).map(|key| key.inode).collect();
        let mut scan = self.scan_all(folders, &inodes);
        // A folder that is being changed shows a mixture of before and after: look until it stays as it is.
        for _ in 0..RESCANS {
            if !changed_recently(folders, world.wall) {
                break;
            }
            let before = std::mem::replace(&mut scan, self.scan_all(folders, &inodes));
            let names =
                |seen: &[Seen]| -> Vec<_> { seen.iter().map(|seen| (seen.status.key, seen.path.clone())).collect() };
            if names(&before.seen) == names(&scan.seen) {
                break;
            }
        }
        for folder in folders {
            self.due.remove(folder);
        }
        let Scan { seen, refused, dangling } = scan;
        self.dangling.retain(|link| !folders.iter().any(|folder| folder == folder_of(link)));
        self.dangling.extend(dangling);
        let folders = &self.without_refused(folders, refused, world)[..];
        let known = self.known_in(folders, &seen);
        let mut new = Vec::new();
        for decision in reconcile(&known, &seen) {
            match decision {
                Decision::Same { id, seen: place } | Decision::Renamed { id, seen: place } => {
                    self.found(id, &seen[place], world);
                    self.touched(id, &seen[place].status, world);
                }
                Decision::Truncated { id, seen: place } => {
                    self.found(id, &seen[place], world);
                    self.touched(id, &seen[place].status, world);
                }
                Decision::Missing { id } => self.missing(id, world),
                Decision::New { seen: place } => new.push(&seen[place]),
            }
        }
        let new = self.take_up(new, world);
        for id in self.lost.clone() {
            if let Some(strand) = self.strands.get_mut(&id)
                && folders.iter().any(|folder| folder == folder_of(&strand.place.path))
                && let Standing::Lost { sought, .. } = &mut strand.standing
            {
                *sought = true;
            }
        }
        if self.lost.is_empty() {
            for id in new.iter().copied() {
                self.judge(id, world);
            }
        } else {
            self.judge_all(world);
        }
        self.count_files();
        self.look_cost = begun.elapsed();
        new
    }

    fn scan_all(&self, folders: &[PathBuf], inodes: &HashSet<u64>) -> Scan {
        let mut scan = Scan::default();
        for (place, folder) in folders.iter().enumerate() {
            if let Err(error) = self.scan(folder, inodes, &mut scan) {
                scan.refused.push((place, error));
            }
        }
        scan
    }

    /// The folders of which it is known what they hold. A folder that is not there holds nothing; of one that cannot be
    /// read nothing follows for the files that were followed in it, and it is looked at again soon.
    fn without_refused(
        &mut self,
        folders: &[PathBuf],
        refused: Vec<(usize, io::Error)>,
        world: &mut World,
    ) -> Vec<PathBuf> {
        let mut unknown = HashSet::new();
        for (place, error) in refused {
            let folder = &folders[place];
            let reason = error.to_string();
            match world.descriptors.closed(error, world.now) {
                Closed::Elsewhere => continue,
                Closed::NoDescriptor => {}
                Closed::Denied(_) => {
                    if self.unreadable.insert(folder.clone()) {
                        let obstacle = access::obstacle(folder, &access::User::of_process());
                        let rights = obstacle.as_ref().map(access::Obstacle::rights);
                        let closed = obstacle.as_ref().map(|obstacle| shown(&obstacle.path).to_string());
                        let cures = obstacle.map_or_else(
                            || "give the agent's user the right to list and enter it".to_owned(),
                            |obstacle| obstacle.cures(&access::user_of_process()),
                        );
                        tracing::warn!(
                            folder = %shown(folder), reason, closed, rights,
                            "the folder cannot be read; {cures}; its files are then shipped from where they were left"
                        );
                    }
                }
            }
            self.due.insert(folder.clone(), world.now + REFUSED_AGAIN);
            unknown.insert(place);
        }
        let known = folders.iter().enumerate().filter(|(place, _)| !unknown.contains(place));
        let known: Vec<PathBuf> = known.map(|(_, folder)| folder.clone()).collect();
        for folder in &known {
            if self.unreadable.remove(folder) {
                tracing::info!(folder = %folder.display(), "the folder can be read now");
            }
        }
        known
    }

    /// What lies in the folder, as far as it may be of interest.
    fn scan(&self, folder: &Path, inodes: &HashSet<u64>, scan: &mut Scan) -> io::Result<()> {
        let entries = std::fs::read_dir(folder)?;
        let in_own = OnceCell::new();
        let everything = self
            .lost
            .iter()
            .filter_map(|id| self.strands.get(id))
            .any(|strand| folder_of(&strand.place.path) == folder);
        for entry in entries {
            let entry = entry?;
            let Ok(kind) = entry.file_type() else { continue };
            if !kind.is_file() && !kind.is_symlink() {
                continue;
            }
            let path = entry.path();
            let flow = self.flow_of(&path);
            let rotated = || {
                let name = name_of(&path);
                names::packing(name).is_some() || !names::parents(name).is_empty()
            };
            if flow.is_none() && !everything && !inodes.contains(&entry.ino()) && !rotated() {
                continue;
            }
            let status = match identity::of_path(&path) {
                Ok(status) => status,
                // The folder may be listed and not entered.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && kind.is_file() => return Err(error),
                Err(error) if error.kind() == io::ErrorKind::NotFound && kind.is_symlink() && flow.is_some() => {
                    scan.dangling.push(path);
                    continue;
                }
                // Gone since the folder was read, or a link that leads nowhere.
                Err(_) => continue,
            };
            if status.kind == Kind::Regular {
                if self.is_own(&path, &status, flow, &in_own) {
                    continue;
                }
                scan.seen.push(Seen { path: path.into(), status, link: kind.is_symlink(), flow });
            }
        }
        Ok(())
    }

    /// Whether it is a file of the agent itself; one line for each name says so.
    fn is_own(&self, path: &Path, status: &Status, flow: Option<usize>, folder_is_own: &OnceCell<bool>) -> bool {
        let is_spool = flow.is_some_and(|flow| self.flows[flow].settings.owned.is_some());
        if is_spool || self.by_key.contains_key(&status.key) {
            return false;
        }
        let own = &self.flows[0].settings.own;
        let is_own = own.hold(status.key.device, status.key.inode)
            || *folder_is_own.get_or_init(|| own.hold_folder(folder_of(path)));
        if is_own && own.is_news(path) {
            tracing::warn!(
                file = %path.display(),
                "this is a file of the agent itself (configuration, credentials, state, or its own log), so it is not \
                 read as a log; exclude it from the pattern"
            );
        }
        is_own
    }

    fn known_in(&self, folders: &[PathBuf], seen: &[Seen]) -> Vec<Known> {
        let folders: HashSet<&Path> = folders.iter().map(PathBuf::as_path).collect();
        let mut ids: HashSet<Id> = seen.iter().filter_map(|seen| self.by_key.get(&seen.status.key)).copied().collect();
        let here =
            |strand: &Strand| strand.standing == Standing::Present && folders.contains(folder_of(&strand.place.path));
        ids.extend(self.strands.iter().filter(|(_, strand)| here(strand)).map(|(id, _)| *id));
        ids.iter()
            .filter_map(|id| self.strands.get(id).map(|strand| (*id, strand)))
            .map(|(id, strand)| Known {
                id,
                key: strand.place.key,
                path: strand.place.path.clone(),
                read: if strand.place.packing.is_some() || strand.role != Role::Log { 0 } else { strand.read },
                present: strand.standing == Standing::Present,
            })
            .collect()
    }

    /// The file of the strand is there, perhaps under another name, perhaps again.
    fn found(&mut self, id: Id, seen: &Seen, world: &World) {
        let Some(strand) = self.strands.get(&id) else { return };
        if strand.place.path != seen.path {
            tracing::debug!(from = %strand.place.path.display(), to = %seen.path.display(), "the file was renamed");
            self.incident(id, world);
            let mut place = self.strands[&id].place.clone();
            place.path = seen.path.clone();
            self.move_to(id, place);
            self.mark_dirty(id);
            if let Some(strand) = self.strands.get_mut(&id) {
                strand.rotated = true;
                strand.family = family_of(&seen.path);
                strand.touched = world.now;
            }
        }
        let Some(strand) = self.strands.get_mut(&id) else { return };
        strand.place.link = seen.link;
        if seen.link {
            self.links.insert(id);
        }
        if strand.standing != Standing::Present {
            strand.standing = Standing::Present;
            self.lost.retain(|other| *other != id);
        }
        self.enqueue(id);
    }

    /// The file of the strand is not in its folder.
    pub(super) fn missing(&mut self, id: Id, world: &World) {
        self.incident(id, world);
        let Some(strand) = self.strands.get_mut(&id) else { return };
        tracing::debug!(file = %strand.place.path.display(), read = strand.read, "the file is gone from its folder");
        if matches!(strand.role, Role::Candidate { .. }) {
            self.remove(id);
            return;
        }
        strand.standing = Standing::Absent { since: world.now };
        let unread = strand.unread() > 0 || (strand.place.packing.is_some() && !strand.finished);
        if strand.role == Role::Log && strand.source.is_none() && unread {
            strand.standing = Standing::Lost { since: world.now, sought: false };
            self.due.insert(folder_of(&strand.place.path).to_owned(), world.now);
            self.lose(id);
        }
        self.tick_later(id);
        self.mark_dirty(id);
    }

    /// Begins with new files: those that match, and rotations of names that something happened to.
    fn take_up(&mut self, mut new: Vec<&Seen>, world: &mut World) -> Vec<Id> {
        self.expect_rotations_of(&new, world);
        let mut incidents = std::mem::take(&mut self.incidents);
        // Oldest first; a name without a rotation suffix is the newest of its rotations.
        new.sort_by_key(|seen| {
            let live = is_live(&seen.path);
            (live, seen.status.key.born.min(seen.status.modified), seen.status.modified, seen.path.clone())
        });
        let mut begun = Vec::new();
        // The newest of each family: what happened last, and of several things at once, what happened to the live name.
        incidents.sort_by_key(|incident| (incident.until, is_live(&incident.path)));
        let mut last: HashMap<u64, Id> =
            incidents.iter().map(|incident| (family_of(&incident.path), incident.strand)).collect();
        for seen in new {
            let sibling = incidents.iter().position(|incident| is_later_rotation(incident, seen));
            let sibling = sibling.filter(|_| !self.dormant.contains_key(&seen.status.key));
            let Some(flow) =
                seen.flow.or(sibling.map(|place| incidents[place].flow)).or_else(|| self.seeking_flow(seen))
            else {
                continue;
            };
            let place = Place {
                key: seen.status.key,
                path: seen.path.clone(),
                size: seen.status.size,
                changed: seen.status.changed,
                packing: names::packing(name_of(&seen.path)),
                link: seen.link,
            };
            let family = family_of(&seen.path);
            tracing::debug!(file = %seen.path.display(), flow, rotated = sibling.is_some(), "a new file");
            if let Some(row) = self.dormant.remove(&seen.status.key) {
                let strand = Strand::remembered(&row, flow, place.packing, family, world.now);
                let id = self.insert(strand);
                self.found(id, seen, world);
                self.touched(id, &seen.status, world);
                continue;
            }
            let fresh = seen.flow.is_some() || sibling.is_some();
            let id = self.add_candidate(flow, place, family, fresh, world);
            if self.flows[flow].settings.owned.is_some() {
                self.make_log(id);
                continue;
            }
            if seen.link {
                self.links.insert(id);
            }
            if let (Some(last), Some(strand)) = (last.get_mut(&family), self.strands.get_mut(&id)) {
                strand.after = Some(std::mem::replace(last, id));
            }
            if seen.flow.is_some() && sibling.is_none() && self.skips(&seen.path, flow) {
                self.skip_to_end(id, world);
            } else {
                begun.push(id);
            }
        }
        // What begins anew under the old name comes after all rotations of it.
        for incident in &mut incidents {
            let Some(last) = last.get(&family_of(&incident.path)).copied() else { continue };
            incident.strand = last;
            if let Some(live) = self.present_at(&incident.path).filter(|live| !self.waits_for(last, *live))
                && let Some(strand) = self.strands.get_mut(&live)
                && strand.read == 0
            {
                strand.after = Some(last);
            }
        }
        self.keep_open(incidents, world);
        begun
    }

    /// Whether `id` is the other or comes after it.
    pub(super) fn waits_for(&self, id: Id, other: Id) -> bool {
        let mut next = Some(id);
        // No chain is longer than there are strands, whatever happened to it.
        for _ in 0..=self.strands.len() {
            match next {
                Some(id) if id == other => return true,
                Some(id) => next = self.strands.get(&id).and_then(|strand| strand.after),
                None => return false,
            }
        }
        true
    }

    /// As long as nothing new bears the name, further rotations may still be on their way.
    fn keep_open(&mut self, incidents: Vec<Incident>, world: &World) {
        let open = incidents
            .into_iter()
            .filter(|incident| world.now < incident.until || self.present_at(&incident.path).is_none());
        let mut open: Vec<Incident> = open.collect();
        open.drain(..open.len().saturating_sub(MOST_INCIDENTS));
        self.incidents = open;
    }

    /// While content is looked for, any file beside where it was may hold it.
    fn seeking_flow(&self, seen: &Seen) -> Option<usize> {
        let beside =
            |id: &&Id| self.strands.get(*id).is_some_and(|lost| folder_of(&lost.place.path) == folder_of(&seen.path));
        self.lost.iter().find(beside).map(|id| self.strands[id].flow)
    }

    /// How many files each flow follows, and how it goes with the one that goes worst.
    pub(super) fn count_files(&self) {
        let mut files = vec![(0, 0); self.flows.len()];
        for strand in self.strands.values() {
            if strand.role == Role::Log && (strand.standing == Standing::Present || strand.source.is_some()) {
                let (files, denials) = &mut files[strand.flow];
                (*files, *denials) = (*files + 1, strand.denials.max(*denials));
            }
        }
        for (flow, (files, denials)) in self.flows.iter().zip(files) {
            flow.books.files.set(files);
            flow.books.denials.set(denials.into());
        }
    }
}

/// Whether the name bears no sign of rotation.
fn is_live(path: &Path) -> bool {
    names::parents(name_of(path)).is_empty() && names::packing(name_of(path)).is_none()
}

/// Whether entries of one of the folders came or went a moment ago.
fn changed_recently(folders: &[PathBuf], wall: u64) -> bool {
    let recently = wall.saturating_sub(50).saturating_mul(1_000_000);
    folders.iter().any(|folder| identity::of_path(folder).is_ok_and(|status| status.modified >= recently))
}

/// Whether the file is a rotation that came about since the name was last seen to lead where it led.
fn is_later_rotation(incident: &Incident, seen: &Seen) -> bool {
    let born = if seen.status.key.born == 0 { seen.status.modified } else { seen.status.key.born };
    let (name, before) = (name_of(&seen.path), name_of(&incident.path));
    folder_of(&incident.path) == folder_of(&seen.path)
        && born > incident.since
        && seen.status.modified > incident.since
        && (names::is_rotation_of(before, name) || names::is_rotation_of(&names::family(before), name))
}
