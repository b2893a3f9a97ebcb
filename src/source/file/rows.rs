//! Watermarks in, checkpoint rows out; and what time alone brings about: endings, closings, giving up.
//! Promises a row for every file whose position changed, and none for a file whose old content is still sought.
//! Leaves writing rows to the checkpoint.

use super::copies::is_unseen;
use super::discover::folder_of;
use super::identity;
use super::strand::{Id, Role, Source, Standing, Strand};
use super::stream::{SEEK_FOR, Stream, World};
use super::verify;
use datalake_base::record::{Arrival, CheckpointUpdate, Position};
use std::time::Duration;

/// A file read to its end and quiet for so long is closed.
const CLOSE_AFTER: Duration = Duration::from_secs(5);

/// A deleted file at its end and quiet for so long gets no further byte.
const DELETED_ENDS: Duration = Duration::from_secs(10);

/// A renamed or moved file at its end and quiet for so long gets no further byte, most likely.
const ROTATED_ENDS: Duration = Duration::from_secs(180);

/// Rows of files that are gone are kept so long, to know archives and copies of them.
const KEEP_ROWS: Duration = Duration::from_secs(7 * 24 * 3600);

/// No more files that are gone are remembered than this.
const MOST_GONE: usize = 10_000;

impl Stream {
    /// Takes what was settled since the last call.
    pub(super) fn take_watermarks(&mut self) {
        for flow in 0..self.flows.len() {
            for (origin, position) in self.flows[flow].watermarks.take() {
                let Some(id) = self.by_origin.get(&origin).copied() else { continue };
                let Some(strand) = self.strands.get_mut(&id) else { continue };
                if strand.settle(position.0) {
                    self.recount(id);
                    self.mark_dirty(id);
                    self.enqueue(id);
                    self.tick_later(id);
                }
            }
        }
        for flow in &self.flows {
            flow.books.unsettled.set(flow.lag);
        }
        self.tell_owners();
    }

    /// Tells how far files are settled that belong to the agent itself, once their content is known to be theirs.
    fn tell_owners(&self) {
        let owned = self.owned.iter().filter_map(|id| self.strands.get(id));
        for strand in owned.filter(|strand| strand.confirmed && strand.settled > 0) {
            if let Some(owner) = &self.flows[strand.flow].settings.owned {
                owner.post(&strand.place.path, Position(strand.settled));
            }
        }
    }

    /// Whether watermarks are to be expected.
    pub(super) fn awaits_watermarks(&self) -> bool {
        self.flows.iter().any(|flow| flow.lag > 0) || !self.dirty.is_empty() || !self.forgotten.is_empty()
    }

    /// Rows of everything that changed.
    pub(super) fn collect_rows(&mut self, wall: u64, update: &mut CheckpointUpdate) {
        let sought = |strand: &Strand| {
            let unsought = matches!(strand.standing, Standing::Lost { sought: false, .. });
            unsought || strand.unread() > 0 || !self.candidates.is_empty()
        };
        let lost = self.lost.iter().filter_map(|id| self.strands.get(id).map(|strand| (*id, strand)));
        let held: Vec<_> =
            lost.filter(|(_, strand)| sought(strand)).map(|(id, strand)| (strand.place.key, id)).collect();
        let mut later = Vec::new();
        for id in std::mem::take(&mut self.dirty) {
            let original = self.strands.get(&id).and_then(|strand| self.strands.get(&strand.copy_of?));
            let settled_there = original.map_or(u64::MAX, |original| original.settled);
            let Some(strand) = self.strands.get_mut(&id) else { continue };
            let key = strand.place.key;
            if strand.role == Role::Twin && settled_there < strand.settled {
                // Until then the copy may come to be all that is left of what was read and is on its way.
                later.push(id);
                continue;
            }
            if held.iter().any(|(other, lost)| *other == key && *lost != id) {
                // The row of this file still says where the lost content is to be found.
                later.push(id);
                continue;
            }
            strand.dirty = false;
            let replaced = self.by_key.get(&key) != Some(&id) && !held.contains(&(key, id));
            if replaced || matches!(strand.role, Role::Candidate { fresh: false, .. }) {
                continue;
            }
            strand.saved_at = wall.max(1);
            strand.take_evidence();
            // What came after the file was last seen at its path is news to the next start.
            let seen = if strand.looked == 0 { wall } else { strand.looked.min(wall) };
            update.positions.push(strand.row(&self.name, seen));
            self.forgotten.retain(|forgotten| *forgotten != key);
        }
        self.dirty = later;
        let forgotten = std::mem::take(&mut self.forgotten);
        update.forgotten.extend(forgotten.into_iter().map(|key| (self.name.clone(), key)));
    }

    /// Does what is due with the strands that time may change.
    pub(super) fn tick(&mut self, world: &mut World) {
        for id in std::mem::take(&mut self.ticking) {
            let Some(strand) = self.strands.get_mut(&id) else { continue };
            strand.ticking = false;
            let again = match (strand.role, strand.standing) {
                (Role::Candidate { .. }, _) => self.tick_candidate(id, world),
                (Role::Twin, _) => false,
                (Role::Log, Standing::Lost { .. }) => self.tick_lost(id, world),
                (Role::Log, Standing::Absent { .. }) => self.tick_absent(id, world),
                (Role::Log, Standing::Present) => self.tick_present(id, world),
            };
            if again {
                self.tick_later(id);
            }
        }
    }

    fn tick_candidate(&mut self, id: Id, world: &mut World) -> bool {
        let Some(strand) = self.strands.get(&id) else { return false };
        let Role::Candidate { since, fresh } = strand.role else { return false };
        if !fresh && self.lost.is_empty() {
            self.remove(id);
            return false;
        }
        if strand.place.packing.is_none() {
            self.judge(id, world);
        } else if world.now >= since + verify::SETTLED && self.worth_verifying(id) {
            self.begin_verifying(id, world);
        }
        true
    }

    /// Gives up when the time is over and nothing that may hold the content is left to look at.
    fn tick_lost(&mut self, id: Id, world: &mut World) -> bool {
        let Some(strand) = self.strands.get(&id) else { return false };
        let Standing::Lost { since, .. } = strand.standing else { return false };
        if world.now < since + SEEK_FOR || !self.verifying.is_empty() {
            // A copy may come to light late: a compressor gives its output the final name at the end.
            let path = strand.place.path.clone();
            self.folder_touched(folder_of(&path), world.now);
            return true;
        }
        let unread = if is_unseen(strand) && self.was_found_as_new(id, strand) { 0 } else { strand.unread() };
        let (path, key, flow) = (strand.place.path.clone(), strand.place.key, strand.flow);
        if unread > 0 {
            self.flows[flow].books.destroyed.add(unread);
            tracing::warn!(
                flow = self.flows[flow].name, file = %path.display(), bytes = unread,
                "bytes were destroyed before they could be read; keep rotated files longer, or rotate by rename"
            );
        }
        if let Some(strand) = self.strands.get_mut(&id) {
            // Told once, however long the flow has no room for what follows.
            strand.place.size = strand.read;
        }
        self.recount(id);
        if !self.say_ended(id) {
            return true;
        }
        let next = self.by_key.get(&key).copied().filter(|next| *next != id);
        if next.is_some() && !self.is_settled_for_copies(id) {
            return true;
        }
        self.lost.retain(|other| *other != id);
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.standing = Standing::Absent { since: world.now };
        }
        match next {
            Some(next) => {
                self.mark_dirty(next);
                // Its row now belongs to the next content; what is not settled yet was read and is on its way.
                self.remove(id);
            }
            None => self.mark_dirty(id),
        }
        false
    }

    /// Whether no copy's row waits for this strand. While one does the strand must stay: without it nobody would know when
    /// what was read is settled, and until then the copy may be all that is left of it.
    fn is_settled_for_copies(&self, id: Id) -> bool {
        let settled = self.strands.get(&id).is_none_or(|strand| strand.settled >= strand.read);
        settled || !self.strands.values().any(|strand| strand.copy_of == Some(id))
    }

    /// Whether a rotation of the same length was taken for a new file after this one was first seen.
    fn was_found_as_new(&self, id: Id, lost: &Strand) -> bool {
        let length = |strand: &Strand| if strand.place.packing.is_some() { strand.read } else { strand.place.size };
        self.strands.iter().any(|(other, strand)| {
            *other > id && strand.family == lost.family && strand.role == Role::Log && length(strand) == lost.place.size
        })
    }

    fn tick_absent(&mut self, id: Id, world: &mut World) -> bool {
        let Some(strand) = self.strands.get_mut(&id) else { return false };
        let mut names = 0;
        if let Some(Source::Plain { file, .. }) = &strand.source
            && let Ok(status) = identity::of_file(file)
        {
            names = status.names;
            if status.size > strand.place.size {
                strand.touched = world.now;
            }
            strand.place.size = status.size.max(strand.read);
        }
        let quiet = world.now.saturating_duration_since(strand.touched);
        let wants = strand.wants_turn();
        self.recount(id);
        if wants {
            self.enqueue(id);
            return true;
        }
        let owned = self.flows[self.strands[&id].flow].settings.owned.is_some();
        let ends = match names {
            // Its owner deleted it, and knows that nothing more comes.
            0 if owned => Duration::ZERO,
            0 => DELETED_ENDS,
            _ => ROTATED_ENDS,
        };
        if quiet < ends || !self.say_ended(id) {
            return true;
        }
        let Some(strand) = self.strands.get_mut(&id) else { return false };
        if strand.settled < strand.read {
            return true;
        }
        strand.source = None;
        if owned {
            // There are no copies of it to be known later.
            self.forgotten.push(strand.place.key);
            self.remove(id);
        }
        false
    }

    fn tick_present(&mut self, id: Id, world: &mut World) -> bool {
        let Some(strand) = self.strands.get_mut(&id) else { return false };
        if strand.finished {
            return !self.say_ended(id);
        }
        if strand.wants_turn() {
            return true;
        }
        let quiet = world.now.saturating_duration_since(strand.touched);
        if quiet >= CLOSE_AFTER {
            strand.source = None;
            strand.evidence.shrink_to_fit();
        }
        if strand.rotated && strand.origin.is_some() && !strand.ended {
            return quiet < ROTATED_ENDS || !self.say_ended(id);
        }
        strand.source.is_some()
    }

    /// Tells the flow that nothing more comes. Returns whether it knows.
    fn say_ended(&mut self, id: Id) -> bool {
        let Some(strand) = self.strands.get_mut(&id) else { return true };
        let Some(origin) = strand.origin.filter(|_| !strand.ended) else { return true };
        let Some(sender) = &self.flows[strand.flow].arrivals else { return true };
        match sender.try_send(Arrival::Ended { origin }) {
            Ok(()) => {
                strand.ended = true;
                true
            }
            Err(error) => matches!(error, tokio::sync::mpsc::error::TrySendError::Closed(_)),
        }
    }

    /// Forgets files that are gone and settled, the old ones and the many.
    pub(super) fn expire(&mut self, wall: u64) {
        let too_old = wall.saturating_sub(KEEP_ROWS.as_millis() as u64);
        let gone = |strand: &Strand| {
            matches!(strand.standing, Standing::Absent { .. })
                && strand.source.is_none()
                && (strand.settled == strand.read || strand.origin.is_none())
        };
        let mut old: Vec<(u64, Id)> =
            self.strands.iter().filter(|(_, strand)| gone(strand)).map(|(id, strand)| (strand.saved_at, *id)).collect();
        old.sort_unstable();
        let excess = old.len().saturating_sub(MOST_GONE);
        for (place, (saved_at, id)) in old.into_iter().enumerate() {
            if place >= excess && saved_at >= too_old {
                break;
            }
            if let Some(strand) = self.strands.get(&id) {
                let key = strand.place.key;
                if self.by_key.get(&key) == Some(&id) {
                    self.forgotten.push(key);
                }
            }
            self.remove(id);
        }
        let forgotten = self.dormant.extract_if(|_, row| row.saved_at < too_old && !row.path.exists());
        self.forgotten.extend(forgotten.map(|(key, _)| key));
    }
}

#[cfg(test)]
mod tests {
    use super::super::reader::Descriptors;
    use super::super::strand::Place;
    use super::super::stream::Flow;
    use super::super::{Input, Outlet, Settings};
    use super::*;
    use datalake_base::record::{ChunkPool, FileKey, Fingerprint, Origin};
    use std::path::Path;
    use std::time::Instant;

    /// A stream of one flow, after everything that is lost was sought for long enough.
    fn later() -> (Stream, Outlet, World, Instant) {
        let settings = Settings {
            stream: "firehose:s".to_owned(),
            include: Vec::new(),
            exclude: Vec::new(),
            initial_position: super::super::InitialPosition::StartOfFile,
            owned: None,
            own: crate::source::file::OwnFiles::default(),
        };
        let (input, outlet) = Input::new("flow", &settings);
        let before = Instant::now();
        let world = World {
            now: before + SEEK_FOR,
            wall: 1_000_000,
            pool: ChunkPool::new(1),
            next_origin: 2,
            descriptors: Descriptors::new(),
        };
        (Stream::new(settings.stream, vec![Flow::from(input)]), outlet, world, before)
    }

    fn strand(path: &str, inode: u64, role: Role, size: u64, at: Instant) -> Strand {
        let key = FileKey { device: 1, inode, born: 1 };
        let place = Place { key, path: Path::new(path).into(), size, changed: 1, packing: None, link: false };
        Strand::new(0, role, place, 0, at)
    }

    /// A log that was truncated when so much of it had been read; what it holds now follows at its place.
    fn truncated(stream: &mut Stream, size: u64, read: u64, at: Instant) -> Id {
        let mut lost = strand("/l/a.log", 7, Role::Log, size, at);
        lost.standing = Standing::Lost { since: at, sought: true };
        lost.origin = Some(Origin::new(1));
        lost.advance(read, Fingerprint { length: 1, hash: 1 }, at);
        let id = stream.insert(lost);
        stream.by_origin.insert(Origin::new(1), id);
        stream.lose(id);
        stream.insert(strand("/l/a.log", 7, Role::Log, 0, at));
        id
    }

    #[test]
    fn what_was_destroyed_is_counted_once_however_long_the_flow_has_no_room() {
        let (mut stream, mut outlet, mut world, at) = later();
        let id = truncated(&mut stream, 100, 40, at);
        let takes_the_slot = Arrival::Ended { origin: Origin::new(9) };
        stream.flows[0].arrivals.as_ref().unwrap().try_send(takes_the_slot).unwrap();
        for _ in 0..3 {
            stream.tick(&mut world);
            assert_eq!((outlet.books.destroyed.value(), stream.strands.contains_key(&id)), (60, true));
        }
        outlet.arrivals.try_recv().unwrap();
        stream.tick(&mut world);
        assert_eq!((outlet.books.destroyed.value(), stream.strands.contains_key(&id)), (60, false));
        assert!(matches!(outlet.arrivals.try_recv(), Ok(Arrival::Ended { origin }) if origin == Origin::new(1)));
    }

    #[test]
    fn a_copy_is_not_done_with_before_the_original_that_lost_its_place_is_settled() {
        let (mut stream, outlet, mut world, at) = later();
        let original = truncated(&mut stream, 100, 100, at);
        let copy = stream.insert(strand("/l/a.log.1", 8, Role::Twin, 90, at));
        stream.note_copy(copy, original, 90, b"the end");
        stream.mark_dirty(copy);
        let rows_of_the_copy = |stream: &mut Stream| {
            let mut update = CheckpointUpdate::default();
            stream.collect_rows(1, &mut update);
            update.positions.iter().filter(|row| row.file.inode == 8).map(|row| row.position).collect::<Vec<_>>()
        };
        for settled in [50, 89] {
            outlet.watermarks.post(Origin::new(1), Position(settled));
            stream.take_watermarks();
            stream.tick(&mut world);
            assert_eq!(rows_of_the_copy(&mut stream), [], "{settled} of 100 are settled");
        }
        outlet.watermarks.post(Origin::new(1), Position(100));
        stream.take_watermarks();
        assert_eq!(rows_of_the_copy(&mut stream), [Position(90)]);
        stream.tick(&mut world);
        assert!(!stream.strands.contains_key(&original), "nothing waits for it any more");
    }
}
