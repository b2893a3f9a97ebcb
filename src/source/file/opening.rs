//! Opening the files of strands, and which to close when there are too many.
//! Promises that what has to wait for its turn is held open, as far as descriptors reach.
//! Leaves reading to `turns`.

use super::access;
use super::archive::Decoder;
use super::discover::folder_of;
use super::reader::Closed;
use super::strand::{Id, Role, Source, Standing, Strand};
use super::stream::{Stream, World};
use super::turns::{Turn, confirm, take_head};
use datalake_base::shown::shown;
use std::io;

/// So many openings are remembered: more than files are ever open.
const MOST_NOTED: usize = 1024;

impl Stream {
    /// Opens the strand's file unless it is open. An error is the turn that came of it.
    pub(super) fn ensure_open(&mut self, id: Id, world: &mut World) -> Result<(), Turn> {
        let Some(strand) = self.strands.get(&id) else { return Err(Turn::Done) };
        if strand.source.is_some() {
            return Ok(());
        }
        let (path, key) = (strand.place.path.clone(), strand.place.key);
        if !world.descriptors.has_room() && !self.close_one() {
            return Err(Turn::Blocked);
        }
        match world.descriptors.open(&path, world.now) {
            Ok((file, status, slot)) if status.key == key => {
                let Some(strand) = self.strands.get_mut(&id) else { return Err(Turn::Done) };
                strand.seen_at(world.wall);
                strand.source = Some(match strand.place.packing {
                    None => Source::Plain { file, _slot: slot },
                    Some(packing) => match Decoder::new(packing, file) {
                        Ok(decoder) => Source::Archive { decoder, at: 0, _slot: slot },
                        Err(error) => return Err(self.denied(id, &error)),
                    },
                });
                if strand.place.packing.is_none() {
                    strand.place.look(&status);
                    if strand.head.length == 0 && strand.read == 0 {
                        take_head(strand);
                    }
                }
                strand.denied = false;
                self.tick_later(id);
                self.note_opened(id);
                Ok(())
            }
            Ok(_) | Err(Closed::Elsewhere) => {
                self.folder_touched(folder_of(&path), world.now);
                Err(Turn::Done)
            }
            Err(Closed::NoDescriptor) => Err(Turn::Blocked),
            Err(Closed::Denied(error)) => Err(self.denied(id, &error)),
        }
    }

    /// The file cannot be read; one line says so, and sweeps and events try again.
    pub(super) fn denied(&mut self, id: Id, error: &io::Error) -> Turn {
        if let Some(strand) = self.strands.get_mut(&id) {
            strand.source = None;
            strand.denied = true;
            strand.denials = strand.denials.saturating_add(1);
            let worst = &self.flows[strand.flow].books.denials;
            worst.set(worst.value().max(strand.denials.into()));
            if strand.denials == 1 {
                let (flow, path) = (&self.flows[strand.flow].name, &strand.place.path);
                let obstacle = access::obstacle(path, &access::User::of_process());
                let rights = obstacle.as_ref().map(access::Obstacle::rights);
                let closed = obstacle.as_ref().map(|obstacle| shown(&obstacle.path).to_string());
                let cures = obstacle.map_or_else(
                    || "give the agent's user the right to read it".to_owned(),
                    |obstacle| obstacle.cures(&access::user_of_process()),
                );
                tracing::warn!(
                    flow, file = %shown(&**path), reason = %error, closed, rights,
                    "the file cannot be read; {cures}; it is then shipped from where it was left"
                );
            }
        }
        Turn::Done
    }

    /// The file was read; if it was complained about, one line says that this is over.
    pub(super) fn readable(&mut self, id: Id) {
        if let Some(strand) = self.strands.get_mut(&id)
            && std::mem::take(&mut strand.denials) > 0
        {
            tracing::info!(
                flow = self.flows[strand.flow].name, file = %strand.place.path.display(), "the file can be read now"
            );
            self.count_files();
        }
    }

    /// Remembers the order of opening; what was closed meanwhile is forgotten before it can pile up.
    fn note_opened(&mut self, id: Id) {
        if self.opened.len() >= MOST_NOTED {
            let mut open = std::collections::BTreeSet::new();
            let strands = &self.strands;
            self.opened.retain(|id| strands.get(id).is_some_and(|strand| strand.source.is_some()) && open.insert(*id));
        }
        self.opened.push_back(id);
    }

    /// Closes the file that was opened longest ago and has nothing to read, else the one opened longest ago. Returns
    /// whether there was one to close.
    pub(super) fn close_one(&mut self) -> bool {
        let mut busy = None;
        for _ in 0..self.opened.len() {
            let Some(id) = self.opened.pop_front() else { break };
            let Some(strand) = self.strands.get_mut(&id).filter(|strand| strand.source.is_some()) else { continue };
            if strand.standing == Standing::Present {
                if !strand.wants_turn() {
                    strand.source = None;
                    return true;
                }
                busy = busy.or(Some(id));
            }
            self.opened.push_back(id);
        }
        let Some((id, strand)) = busy.and_then(|id| Some((id, self.strands.get_mut(&id)?))) else { return false };
        strand.source = None;
        self.unheld.insert(id);
        true
    }

    /// Opens what has to wait for its turn, so that no rotation can take it away unseen.
    pub(super) fn hold_unread(&mut self, world: &mut World) {
        while let Some(id) = self.unheld.first().copied() {
            let waits = |strand: &Strand| strand.queued && strand.source.is_none() && !strand.denied;
            if self.strands.get(&id).is_some_and(|strand| waits(strand)) {
                if !world.descriptors.has_room() {
                    return;
                }
                let opened = self.ensure_open(id, world);
                if opened.is_err() && world.descriptors.retry_at.is_some_and(|at| world.now < at) {
                    return;
                }
            }
            self.unheld.remove(&id);
        }
    }

    /// Looks at the evidence of files that were touched while their flow has no room.
    pub(super) fn check_unread(&mut self, id: Id, world: &World) {
        let Some(strand) = self.strands.get_mut(&id) else { return };
        if strand.role == Role::Log
            && strand.standing == Standing::Present
            && matches!(strand.source, Some(Source::Plain { .. }))
        {
            match confirm(strand) {
                Ok(true) => {
                    strand.sure = strand.place.size;
                    strand.holds_its_content();
                }
                Ok(false) => {
                    // What came of it is of no interest here: nothing was read.
                    let _turn = self.found_truncated(id, world);
                }
                Err(_) => {}
            }
        }
    }
}
