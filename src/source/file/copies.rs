//! Telling copies from new files, and finding content again that left its place.
//! Promises that only content decides, that what is in doubt is shipped rather than dropped, and that a copy
//! still being written is waited for. Leaves unpacking archives for the comparison to `verify`.

use super::begin::end_of_last_line;
use super::discover::{folder_of, name_of};
use super::identity;
use super::names;
use super::reader::Closed;
use super::strand::{Id, Role, Source, Standing, Strand, holds_evidence};
use super::stream::{Stream, World};
use datalake_base::record::Fingerprint;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that did not change for so long, and is a copy of something so far, is a copy.
const QUIET: Duration = Duration::from_secs(10);

/// Content shorter than this may be equal by chance: it is shipped when nothing else speaks for a copy.
pub(super) const CONVINCING: u64 = 64;

/// With this much of equal beginning, the content is the same under any name beside where it was.
const CONVINCING_ANYWHERE: u32 = 256;

/// What a candidate turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is a copy of nothing.
    Fresh,
    /// It holds what this strand read, and that strand goes on reading here.
    Home(Id),
    /// It holds nothing but what this strand reads or has read.
    Copy(Id),
    /// Up to this end of a line it holds what another strand has read; whether the rest was read too cannot be said.
    From(u64, Fingerprint),
    /// So far it holds nothing but what this strand reads; it may still grow.
    Growing(Id),
    /// It cannot be said yet.
    Unclear,
}

impl Stream {
    /// Judges all that is undecided, and the copies: something lost may lie in any of them.
    pub(super) fn judge_all(&mut self, world: &mut World) {
        let open_questions: Vec<Id> = self
            .strands
            .iter()
            .filter(|(_, strand)| strand.role != Role::Log && strand.standing == Standing::Present)
            .map(|(id, _)| *id)
            .collect();
        for id in open_questions {
            self.judge(id, world);
        }
    }

    /// The candidate changed: it is to be judged anew.
    pub(super) fn doubt(&mut self, id: Id, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let fresh = !matches!(strand.role, Role::Candidate { fresh: false, .. });
        if strand.role == Role::Twin {
            self.candidates.push(id);
            (strand.read, strand.settled) = (0, 0);
            strand.evidence.clear();
        }
        strand.role = Role::Candidate { since: world.now, fresh };
        strand.attempts = 0;
        strand.compared = 0;
        self.verifying.retain(|verify| verify.id != id);
        self.doubted.push(id);
        self.tick_later(id);
    }

    /// Judges what changed.
    pub(super) fn judge_doubted(&mut self, world: &mut World) {
        for id in std::mem::take(&mut self.doubted) {
            self.judge(id, world);
        }
    }

    /// Decides what the candidate is, as far as that can be said now, and acts on it.
    pub(super) fn judge(&mut self, id: Id, world: &mut World) {
        let Some(strand) = self.strands.get(&id).filter(|strand| strand.role != Role::Log) else { return };
        let known_copy = strand.role == Role::Twin;
        let only_sought = matches!(strand.role, Role::Candidate { fresh: false, .. });
        if only_sought && strand.compared == self.losses && strand.place.packing.is_none() {
            return;
        }
        if known_copy && (self.lost.is_empty() || strand.compared == self.losses) {
            return; // It was compared with everything that is lost.
        }
        let packed = strand.place.packing.is_some();
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.compared = self.losses;
        }
        if packed {
            if known_copy {
                self.begin_verifying(id, world);
            }
            return; // Candidates are unpacked once they stopped growing.
        }
        let Some(strand) = self.strands.get(&id) else { return };
        let (path, key, role) = (strand.place.path.clone(), strand.place.key, strand.role);
        let verdict = match world.descriptors.open(&path, world.now) {
            Ok((file, status, _slot)) if status.key == key => self.compare(id, &file, status.size, world),
            Ok(_) | Err(Closed::Elsewhere) => {
                self.folder_touched(folder_of(&path), world.now);
                Verdict::Unclear
            }
            Err(Closed::NoDescriptor) => Verdict::Unclear,
            // The turn that tries to read it tells the operator.
            Err(Closed::Denied(_)) => Verdict::Fresh,
        };
        let verdict = match (verdict, role) {
            (Verdict::Growing(original), Role::Candidate { since, .. }) if world.now >= since + QUIET => {
                if self.strands[&id].place.size < CONVINCING { Verdict::Fresh } else { Verdict::Copy(original) }
            }
            (verdict, _) => verdict,
        };
        self.act(id, verdict, world);
    }

    pub(super) fn act(&mut self, id: Id, verdict: Verdict, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        tracing::debug!(file = %strand.place.path.display(), ?verdict, size = strand.place.size, "judged");
        match (verdict, strand.role) {
            (Verdict::Home(lost), _) => self.come_home(lost, id, world),
            (Verdict::Fresh, Role::Candidate { fresh: true, .. }) => {
                (strand.read, strand.settled) = (0, 0);
                strand.evidence.clear();
                self.make_log(id);
            }
            (Verdict::From(end, before), Role::Candidate { fresh: true, .. }) => {
                (strand.read, strand.settled) = (end, end);
                strand.evidence.clear();
                strand.evidence.push_back((end, before));
                self.make_log(id);
            }
            (Verdict::Copy(_), Role::Candidate { .. }) => {
                tracing::debug!(file = %strand.place.path.display(), "the file is a copy of what was read already");
                strand.role = Role::Twin;
                self.candidates.retain(|other| *other != id);
                self.recount(id);
                self.mark_dirty(id);
            }
            _ => {}
        }
    }

    /// Compares a plain file with everything it may be a copy of, and leaves the evidence for its row.
    fn compare(&mut self, id: Id, file: &File, size: u64, world: &mut World) -> Verdict {
        let (Ok(head), Ok(tail)) = (identity::head_bytes(file), identity::bytes_before(file, size)) else {
            return Verdict::Unclear;
        };
        let Some(strand) = self.strands.get_mut(&id) else { return Verdict::Unclear };
        let path = strand.place.path.clone();
        if matches!(strand.role, Role::Candidate { .. }) {
            strand.place.size = size;
            strand.head = Fingerprint::of(&head);
            (strand.read, strand.settled) = (0, 0);
            strand.evidence.clear();
        }
        let parents = parent_paths(&path);
        let lost_here: Vec<Id> = self.lost.iter().copied().filter(|lost| *lost != id).collect();
        for other in lost_here {
            let Some(lost) = self.strands.get(&other) else { continue };
            let related = parents.iter().any(|parent| **parent == *lost.place.path);
            let verdict = compare_with_lost(other, lost, related, &path, &head, file, size);
            if verdict != Verdict::Fresh {
                return verdict;
            }
        }
        for parent in parents {
            for other in self.by_path.get(parent.as_path()).cloned().unwrap_or_default() {
                let verdict = self.compare_with_known(other, &head, &tail, file, size, world);
                if let Verdict::Growing(original) | Verdict::Copy(original) = verdict {
                    self.note_copy(id, original, size, &tail);
                }
                if verdict != Verdict::Fresh {
                    return verdict;
                }
            }
        }
        Verdict::Fresh
    }

    /// A copy counts as read and settled to its end; its row says so once that is true of the original.
    pub(super) fn note_copy(&mut self, id: Id, original: Id, size: u64, tail: &[u8]) {
        if let Some(strand) = self.strands.get_mut(&id).filter(|strand| strand.role != Role::Log) {
            strand.copy_of = Some(original);
            (strand.read, strand.settled) = (size, size);
            strand.evidence.clear();
            strand.evidence.push_back((size, Fingerprint::of(tail)));
        }
    }

    /// Compares with a file from which, by its name, this one may have been copied.
    fn compare_with_known(
        &mut self,
        other: Id,
        head: &[u8],
        tail: &[u8],
        file: &File,
        size: u64,
        world: &mut World,
    ) -> Verdict {
        let Some(known) = self.strands.get(&other) else { return Verdict::Fresh };
        if matches!(known.role, Role::Candidate { .. }) || known.place.packing.is_some() {
            return Verdict::Fresh;
        }
        match (known.standing, &known.source) {
            (Standing::Lost { .. }, _) => Verdict::Fresh,
            (Standing::Absent { .. }, None) => {
                let (end, before) = known.frontier();
                let holds = known.read >= CONVINCING
                    && known.is_evident()
                    && known.read <= size
                    && known.head.length > 0
                    && identity::begins_with(head, known.head)
                    && end <= size
                    && identity::holds_at(file, end, before).unwrap_or(false);
                if holds { Verdict::Home(other) } else { Verdict::Fresh }
            }
            _ if size == 0 => Verdict::Growing(other),
            _ => self.same_content(other, head, tail, size, world),
        }
    }

    /// Compares with the content of a file that is there: its beginning, and the last bytes before `size`.
    pub(super) fn same_content(
        &mut self,
        other: Id,
        head: &[u8],
        tail: &[u8],
        size: u64,
        world: &mut World,
    ) -> Verdict {
        let Some(known) = self.strands.get(&other) else { return Verdict::Fresh };
        let opened;
        let file = match &known.source {
            Some(Source::Plain { file, .. }) => file,
            Some(Source::Archive { .. }) => return Verdict::Fresh,
            None => {
                let path = known.place.path.clone();
                opened = world.descriptors.open(&path, world.now);
                match &opened {
                    Ok((file, status, _)) if status.key == known.place.key => file,
                    Err(Closed::Denied(_)) => return Verdict::Fresh,
                    Err(Closed::NoDescriptor) => return Verdict::Unclear,
                    // It moved a moment ago; the look that finds out where to comes first.
                    Ok(_) | Err(Closed::Elsewhere) => {
                        self.folder_touched(folder_of(&path), world.now);
                        return Verdict::Unclear;
                    }
                }
            }
        };
        let Ok(status) = identity::of_file(file) else { return Verdict::Fresh };
        let holds = holds_evidence(known, file).unwrap_or(false);
        if status.size < known.sure || !holds {
            // It was truncated or overwritten a moment ago; once that is dealt with, this is judged again.
            let folder = folder_of(&known.place.path).to_owned();
            match self.strands.get_mut(&other) {
                Some(known) if holds => known.sure = status.size,
                Some(known) if known.role != Role::Log => self.doubt(other, world),
                _ => {
                    let _turn = self.found_truncated(other, world);
                }
            }
            self.folder_touched(&folder, world.now);
            return Verdict::Unclear;
        }
        let same = status.size >= size
            && identity::bytes_between(file, 0, head.len() as u64).is_ok_and(|bytes| bytes == head)
            && identity::bytes_before(file, size).is_ok_and(|bytes| bytes == tail);
        if same { Verdict::Growing(other) } else { Verdict::Fresh }
    }

    /// What was to wait for the first strand waits for the second, unless that one waits for it.
    fn wait_instead(&mut self, first: Id, second: Id) {
        let waiting: Vec<Id> =
            self.strands.iter().filter(|(_, strand)| strand.after == Some(first)).map(|(id, _)| *id).collect();
        for id in waiting {
            let after = (!self.waits_for(second, id)).then_some(second);
            if let Some(strand) = self.strands.get_mut(&id) {
                strand.after = after;
            }
        }
    }

    /// The lost strand goes on where the candidate lies.
    pub(super) fn come_home(&mut self, lost: Id, candidate: Id, world: &World) {
        let Some(place) = self.strands.get(&candidate).map(|strand| strand.place.clone()) else { return };
        self.remove(candidate);
        // What was a copy of the candidate is one of what goes on there.
        for copy in self.strands.values_mut().filter(|strand| strand.copy_of == Some(candidate)) {
            copy.copy_of = Some(lost);
        }
        let Some(strand) = self.strands.get_mut(&lost) else { return };
        let old = strand.place.key;
        tracing::debug!(from = %strand.place.path.display(), to = %place.path.display(), read = strand.read, "the content was found again");
        strand.standing = Standing::Present;
        strand.source = None;
        strand.confirmed = true;
        strand.rotated = true;
        strand.finished = false;
        strand.denied = false;
        strand.touched = world.now;
        strand.family = super::stream::family_of(&place.path);
        let had_row = strand.saved_at > 0;
        self.lost.retain(|other| *other != lost);
        self.wait_instead(candidate, lost);
        self.move_to(lost, place.clone());
        match self.by_key.get(&old).copied() {
            Some(next) if next != lost => self.mark_dirty(next),
            None if had_row => self.forgotten.push(old),
            _ => {}
        }
        self.recount(lost);
        self.mark_dirty(lost);
        self.enqueue(lost);
        self.tick_later(lost);
    }
}

/// The paths that a file may have been copied from, by its name.
fn parent_paths(path: &Path) -> Vec<PathBuf> {
    names::parents(name_of(path)).iter().map(|name| folder_of(path).join(OsStr::from_bytes(name))).collect()
}

/// Compares with what was read before its place lost it.
fn compare_with_lost(
    id: Id,
    lost: &Strand,
    related: bool,
    path: &Path,
    head: &[u8],
    file: &File,
    size: u64,
) -> Verdict {
    if is_unseen(lost) {
        let same_size = lost.place.size == size && super::stream::family_of(path) == lost.family;
        return if same_size && *lost.place.path != *path { Verdict::Home(id) } else { Verdict::Fresh };
    }
    let known_content = lost.head.length > 0 && identity::begins_with(head, lost.head);
    let beside = folder_of(path) == folder_of(&lost.place.path) && *lost.place.path != *path;
    if !known_content || !beside || !(related || lost.head.length >= CONVINCING_ANYWHERE) {
        return Verdict::Fresh;
    }
    let holds =
        |(end, before): (u64, Fingerprint)| end <= size && identity::holds_at(file, end, before).unwrap_or(false);
    if lost.read <= size {
        return if lost.is_evident() && holds(lost.frontier()) { Verdict::Home(id) } else { Verdict::Fresh };
    }
    // Shorter than what was read: a copy taken before the last read, or another file that begins alike.
    let older = lost.evidence.iter().rev().copied().find(|boundary| boundary.0 > 0 && holds(*boundary));
    // From where a line begins: the other's line may have gone on differently.
    match older.and_then(|(end, _)| end_of_last_line(file, end).ok()) {
        Some((start, before, _)) if start > 0 => Verdict::From(start, before),
        _ => Verdict::Fresh,
    }
}

/// Whether it was gone before anything of its content was seen: only family and size can tell it then, and as it
/// is read from its beginning wherever it is found, a mistake does no harm.
pub(super) fn is_unseen(lost: &Strand) -> bool {
    lost.read == 0 && lost.head.length == 0
}
