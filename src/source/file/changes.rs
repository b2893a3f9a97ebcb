//! What it means that something happened at a path or to a file that is followed.
//! Promises that a truncation gives the place to a new strand and keeps the old one, whose content is looked for.
//! Leaves new and vanished names to `look`, and content to `copies`.

use super::discover::{folder_of, name_of};
use super::identity::{Kind, Status};
use super::names;
use super::strand::{Id, Place, Role, Source, Standing, Strand, holds_evidence};
use super::stream::{CLOCK_LAG, INCIDENT_FOR, Incident, STAMPS_APART, Stream, World};
use std::path::Path;

impl Stream {
    /// Something happened at this path. Returns whether anyone cared.
    pub(super) fn hint(&mut self, path: &Path, status: Option<&Status>, world: &World) {
        let present = self.present_at(path);
        match (present, status) {
            (Some(id), Some(status)) if self.strands[&id].place.key == status.key => self.touched(id, status, world),
            (Some(_), _) => self.folder_touched(folder_of(path), world.now),
            (None, Some(status)) if status.kind == Kind::Regular => {
                let of_interest = self.by_key.contains_key(&status.key)
                    || !self.lost.is_empty()
                    || self.flow_of(path).is_some()
                    || self.by_path.contains_key(path);
                if of_interest {
                    self.folder_touched(folder_of(path), world.now);
                }
            }
            (None, _) => {}
        }
    }

    /// The file is still there; it may have grown.
    pub(super) fn touched(&mut self, id: Id, status: &Status, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let resized = strand.place.size != status.size;
        let changed = strand.place.changed != status.changed;
        let as_saved = std::mem::take(&mut strand.as_saved);
        strand.seen_at(world.wall);
        if !resized && !changed {
            strand.holds_its_content();
            // Thousands of files need not be opened at a start. A change in the last moments before the row was made
            // could bear the same time stamp, so such a file is looked into all the same.
            let quiet = strand.saved_at.saturating_mul(1_000_000) > strand.place.changed + STAMPS_APART;
            strand.confirmed |= as_saved && quiet && strand.read == strand.place.size;
            return;
        }
        if strand.role == Role::Log && strand.place.packing.is_none() {
            if status.size < strand.read || (status.size < strand.place.size && is_other_content(strand)) {
                self.truncated(id, status, world);
                return;
            }
            if status.size < strand.place.size && self.flows[strand.flow].settings.owned.is_none() {
                let unread_end_gone = strand.place.size - status.size;
                self.flows[strand.flow].books.destroyed.add(unread_end_gone);
                tracing::warn!(
                    flow = self.flows[strand.flow].name, file = %strand.place.path.display(), bytes = unread_end_gone,
                    "the unread end of the file was cut off; rotate by rename, or after it was shipped"
                );
            } else if status.size <= strand.read {
                strand.confirmed = false;
            }
        }
        strand.place.look(status);
        if resized {
            strand.touched = world.now;
        }
        strand.denied = false;
        match strand.role {
            Role::Twin | Role::Candidate { .. } if resized => self.doubt(id, world),
            Role::Log if resized && strand.finished => self.reopen_archive(id, world),
            _ => {}
        }
        self.recount(id);
        self.enqueue(id);
        // Not its turn for perhaps a long time: see now whether what was read of it is still there.
        if self.strands.get(&id).is_some_and(|strand| strand.after.is_some() || self.flows[strand.flow].blocked) {
            self.check_unread(id, world);
        }
    }

    /// A finished archive that changed is another archive.
    pub(super) fn reopen_archive(&mut self, id: Id, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        let (flow, place, family) = (strand.flow, strand.place.clone(), strand.family);
        strand.standing = Standing::Absent { since: world.now };
        self.add_candidate(flow, place, family, true, world);
    }

    pub(super) fn add_candidate(&mut self, flow: usize, place: Place, family: u64, fresh: bool, world: &World) -> Id {
        let role = Role::Candidate { since: world.now, fresh };
        let mut strand = Strand::new(flow, role, place, family, world.now);
        strand.seen_at(world.wall);
        strand.holds_its_content();
        let id = self.insert(strand);
        self.candidates.push(id);
        self.tick_later(id);
        if fresh {
            // Its row keeps it in mind, should the process end before it is clear what it is.
            self.mark_dirty(id);
        }
        id
    }

    /// From now on the content of the strand is looked for.
    pub(super) fn lose(&mut self, id: Id) {
        self.losses = self.losses.wrapping_add(1);
        self.lost.push(id);
        self.tick_later(id);
    }

    /// The path of the strand no longer leads to it, or leads to other content.
    pub(super) fn incident(&mut self, id: Id, world: &World) {
        let Some(strand) = self.strands.get(&id).filter(|strand| strand.role == Role::Log) else { return };
        let (path, flow) = (strand.place.path.clone(), strand.flow);
        // The kernel stamps files with a clock that may be some milliseconds behind.
        let since = strand.looked.saturating_sub(CLOCK_LAG.as_millis() as u64).saturating_mul(1_000_000);
        self.incidents.push(Incident { path, flow, strand: id, since, until: world.now + INCIDENT_FOR });
    }

    /// The place holds other content than what was read: the strand is lost, and another begins there.
    pub(super) fn truncated(&mut self, id: Id, status: &Status, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        tracing::debug!(file = %strand.place.path.display(), read = strand.read, "the file was truncated");
        strand.standing = Standing::Lost { since: world.now, sought: false };
        strand.source = None;
        strand.confirmed = true;
        strand.place.size = strand.sure.max(strand.read);
        let mut place = strand.place.clone();
        let (flow, family, path) = (strand.flow, strand.family, strand.place.path.clone());
        self.incident(id, world);
        place.look(status);
        self.lose(id);
        let mut next = Strand::new(flow, Role::Candidate { since: world.now, fresh: true }, place, family, world.now);
        next.seen_at(world.wall);
        next.holds_its_content();
        next.after = Some(id);
        let next = self.insert(next);
        self.recount(id);
        if names::parents(name_of(&path)).is_empty() {
            self.make_log(next);
        } else {
            // A name like that of a rotation: perhaps a copy took its place.
            self.candidates.push(next);
            self.doubted.push(next);
            self.tick_later(next);
        }
        self.due.insert(folder_of(&path).to_owned(), world.now);
    }
}

/// Whether the place of a strand that became shorter holds something else now.
fn is_other_content(strand: &Strand) -> bool {
    let nothing_known = strand.read == 0 && strand.head.length == 0;
    match &strand.source {
        Some(Source::Plain { file, .. }) if !nothing_known => !matches!(holds_evidence(strand, file), Ok(true)),
        Some(_) => true,
        None => {
            nothing_known || {
                // Opened for a moment only; the turn that reads it opens it again.
                let holds = std::fs::File::open(&strand.place.path).and_then(|file| holds_evidence(strand, &file));
                !matches!(holds, Ok(true))
            }
        }
    }
}
