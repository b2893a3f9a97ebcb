//! Rows: which contents changed, and what is saved of them.
//! Promises a row for every content whose position or place changed, at a bounded pace, and no position that is not
//! settled.
//! Leaves writing to the checkpoint.

use super::conclude::JUST;
use super::heirs::Heir;
use super::{AT_A_TIME, Due, Job, SAVES_APART, Tail};
use crate::content::{Content, Home, NEVER, State};
use crate::names;
use crate::places::{NONE, Standing, seconds};
use crate::row::{ContentId, FolderRow, Row, SavedPlace, SavedState, packing_number, packing_of_number};
use crate::seen::{FlowId, Status};
use crate::todo::ToDo;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// No more places of a content are saved than this.
const MOST_PLACES: usize = 4;

impl Tail {
    pub(super) fn mark_dirty(&mut self, number: u32) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if !std::mem::replace(&mut content.dirty, true) {
            self.dirty.push_back(number);
            if self.dirty.len() == 1 {
                let wait = SAVES_APART.saturating_sub(self.now.ms_since(self.saved_at));
                self.at(wait, Due::Rows);
            }
        }
    }

    /// Saves what changed, a part of it, not too often.
    pub(super) fn save_rows(&mut self, todo: &mut Vec<ToDo>) {
        if self.dirty.is_empty() && self.dirty_folders.is_empty() && self.forgotten.is_empty() {
            return;
        }
        let more = !self.begun && self.started == Some(NONE);
        if !more && self.now.ms_since(self.saved_at) < SAVES_APART && self.saved_at.0 > 0 {
            // The step that was asked for when they changed may have been left out for an earlier one.
            return self.at(SAVES_APART - self.now.ms_since(self.saved_at), Due::Rows);
        }
        self.saved_at = self.now;
        for _ in 0..AT_A_TIME {
            let Some(number) = self.dirty.pop_front() else { break };
            self.rows_first = self.rows_first.map(|first| first.saturating_sub(1));
            let Some(content) = self.contents.get_mut(number) else { continue };
            content.dirty = false;
            if let Some(content) = self.contents.get(number) {
                todo.push(ToDo::Save(Box::new(self.row(number, content))));
            }
        }
        todo.extend(self.forgotten.drain(..).map(|id| ToDo::Forget(ContentId(id))));
        for number in std::mem::take(&mut self.dirty_folders) {
            if let Some(folder) = self.places.folders.get(number) {
                let row = FolderRow { path: folder.path.to_path_buf(), held: folder.held.iter().copied().collect() };
                todo.push(ToDo::SaveFolder(Box::new(row)));
            }
        }
        if !self.dirty.is_empty() {
            self.at(if more { 0 } else { SAVES_APART }, Due::Rows);
        }
    }

    /// Everything that was there at the start is decided, as soon as no file is asked any more.
    pub(super) fn begin(&mut self, todo: &mut Vec<ToDo>) {
        let asked = self.jobs.values().any(|job| matches!(job, Job::Identify(_)));
        let listing = self.watched_folders().any(|folder| self.is_first(folder));
        if asked || listing || (self.skips && !self.unproven.is_empty()) {
            return;
        }
        // All rows of before go first, a part of them in each step.
        let first = *self.rows_first.get_or_insert(self.dirty.len());
        if first > 0 {
            return self.at(0, Due::Work);
        }
        self.begun = true;
        todo.push(ToDo::Begun);
    }

    pub(super) fn row(&self, number: u32, content: &Content) -> Row {
        let file = self.places.files.get(content.file);
        let finished = content.state == State::Finished && content.is_settled();
        let whole = content.settled == content.read;
        // Thousands of rows are made at once, and a row that takes room for four places is made mostly of that room.
        let mut places = Vec::with_capacity(MOST_PLACES.min(1 + content.copies.len()));
        for number in std::iter::once(content.file).chain(content.copies.iter().copied()).take(MOST_PLACES) {
            let Some(file) = self.places.files.get(number) else { continue };
            let Some(path) =
                self.places.path_of(number).or_else(|| (number == content.file).then(|| self.home_of(content)))
            else {
                continue;
            };
            places.push(SavedPlace {
                path,
                key: file.key,
                size: file.size,
                changed: file.changed,
                quiet: file.quiet && whole,
                packing: packing_number(file.packing),
            });
        }
        places.extend(self.left_place(number, content));
        Row {
            id: ContentId(content.id),
            home: self.home_of(content),
            position: content.settled,
            known: content.known,
            state: match content.state {
                State::Sought => SavedState::Sought,
                // What it was found in may be an older copy: the next life looks on.
                State::Followed if self.seeks.contains_key(&number) => SavedState::Sought,
                // A log that was replaced by a copy of itself may be read to its end while the copy lies there.
                state
                    if (state == State::Followed || (self.is_live(content.file) && !content.at_end))
                        && self.is_new(content) =>
                {
                    SavedState::New
                }
                State::Finished if finished => SavedState::Finished,
                State::Finished | State::Followed => SavedState::Followed,
            },
            packing: packing_number(file.and_then(|file| file.packing)),
            places,
            proof: content.proof.upto(content.settled),
            counted: content.count(),
        }
    }

    /// The file that the content was found not to be in any more, while nobody knows what it holds. If this life ends before
    /// that, the next one still knows whose it is, whatever its name is then. As a place of the content it has no bytes and no
    /// time.
    fn left_place(&self, number: u32, content: &Content) -> Option<SavedPlace> {
        let waits = self.heirs.get(content.left).is_some_and(|heir| heir.after == number);
        let file = self.places.files.get(content.left).filter(|file| waits && file.packing.is_none())?;
        let path = self.places.path_of(content.left).unwrap_or_else(|| self.home_of(content));
        Some(SavedPlace { path, key: file.key, size: 0, changed: 0, quiet: false, packing: 0 })
    }

    /// See `left_place`: the folder is listed to its end for it.
    fn remember_left(&mut self, number: u32, saved: &SavedPlace) {
        let Some(content) = self.contents.get(number) else { return };
        let (flow, home) = (content.flow, content.home.as_deref().cloned());
        let known = self.places.find_file(saved.key).is_some();
        let (Some(flow), Some(folder), false) = (flow, saved.path.parent(), known) else { return };
        let status = Status { key: saved.key, size: saved.size, changed: saved.changed, names: 1 };
        let file = self.places.insert_file(&status, self.now);
        let folder = self.places.folder(folder);
        if let Some(entry) = self.places.files.get_mut(file) {
            entry.last_folder = folder;
        }
        if let Some(folder) = self.places.folders.get_mut(folder) {
            folder.wants_everything = true;
        }
        self.leave_heir(file, Heir::new(flow, home, NONE, 0, NONE));
    }

    /// Whether the content has just replaced another as far as the next life is concerned: until its folder was listed once
    /// more and all is judged that was found there, a rotation may turn up that nobody has seen.
    fn is_new(&self, content: &Content) -> bool {
        let folder = || self.places.files.get(content.file).and_then(|file| self.places.folders.get(file.last_folder));
        let listed = || {
            folder().is_none_or(|folder| {
                folder.listed_at.is_some_and(|at| at > content.found_at)
                    && folder.listing.is_none()
                    && folder.sweep.is_none()
            })
        };
        let asked = || self.jobs.values().any(|job| matches!(job, Job::Identify(_)));
        let judged = || {
            self.unproven.is_empty() && self.waiting.is_empty() && self.dirty.len() < AT_A_TIME && !asked() && listed()
        };
        content.found_at != NEVER && (self.now.ms_since(content.found_at) < JUST || !judged())
    }

    /// The content that a row tells of, where nobody has looked yet.
    pub(super) fn remember_row(&mut self, row: Row, flow: Option<FlowId>) {
        let mut content = Content::new(row.id.0, flow, self.now);
        self.next_content = self.next_content.max(row.id.0 + 1);
        content.found_at = if row.state == SavedState::New { self.now } else { NEVER };
        content.ahead = row.state == SavedState::New && row.position == 0;
        (content.read, content.settled) = (row.position, row.position);
        content.known = row.known.max(row.position);
        content.proof = row.proof;
        content.add(row.counted);
        (content.confirmed, content.from_row) = (false, true);
        let packing = packing_of_number(row.packing);
        if row.state == SavedState::Finished {
            content.state = State::Finished;
            content.at_end = packing.is_some();
            content.known = row.position;
        }
        if packing.is_some() {
            content.known = row.position;
        }
        let mut family = None;
        if let (Some(folder), Some(name)) = (row.home.parent(), row.home.file_name()) {
            let folder = self.places.folder(folder);
            family = Some(crate::places::mix(u64::from(folder), &names::family(name.as_bytes())));
            content.home = Some(Box::new((folder, name.as_bytes().into())));
        }
        content.sure = content.known;
        let at_home = matches!(&row.places[..], [place] if place.path == row.home);
        content.saved_at_home = at_home && matches!(row.state, SavedState::Followed | SavedState::New);
        let number = self.contents.all.insert(content);
        self.contents.index(number, [None; 2]);
        if let Some(family) = family.filter(|_| row.state != SavedState::Finished) {
            self.families.insert(family, number);
        }
        for (nth, saved) in row.places.into_iter().enumerate() {
            let log = self.log_by_name(&row.home, &saved.path).filter(|_| nth > 0);
            self.remembered.extend(log.map(|log| (number, Some(log))));
            self.remember_place(number, saved);
        }
        if let Some(flow) = flow.and_then(|flow| self.flows.get_mut(usize::from(flow.0))) {
            flow.gauge.files += 1;
        }
        let bare = self.contents.get(number).is_some_and(|content| content.file == NONE);
        if bare || row.state == SavedState::Sought {
            self.remembered.push((number, None));
        }
        self.recount(number);
    }

    /// The name, if it is that of the log of which a file at `home` is a rotation, or the log itself.
    fn log_by_name(&mut self, home: &Path, path: &Path) -> Option<Home> {
        let (folder, name) = (path.parent()?, path.file_name()?.as_bytes());
        let rotation = home.file_name()?.as_bytes();
        let is_log = home == path || (names::is_kin(name, rotation) && !names::is_kin(rotation, name));
        is_log.then(|| (self.places.folder(folder), name.into()))
    }

    fn remember_place(&mut self, number: u32, saved: SavedPlace) {
        if (saved.size, saved.changed, saved.packing) == (0, 0, 0) {
            return self.remember_left(number, &saved);
        }
        let folder = saved.path.parent().map(|folder| self.places.folder(folder));
        let status = Status { key: saved.key, size: saved.size, changed: saved.changed, names: 1 };
        let file = match self
            .places
            .find_file(saved.key)
            .filter(|file| self.places.files.get(*file).is_some_and(|f| f.key == saved.key))
        {
            Some(file) => {
                let other = match self.places.files.get(file).map(|file| file.standing) {
                    // Two rows name it: the younger content is the one that was seen there last.
                    Some(Standing::Holds(other)) => other,
                    // An older content has left it for this one.
                    Some(Standing::Unproven) => NONE,
                    _ => return,
                };
                let ids = (self.contents.get(other).map(|c| c.id), self.contents.get(number).map(|c| c.id));
                if ids.0 > ids.1 {
                    return;
                }
                self.end_heir(file);
                if let Some(other_content) = self.contents.get_mut(other) {
                    other_content.copies.take_out(file);
                    if other_content.file == file {
                        other_content.file = NONE;
                        self.remembered.push((other, None));
                    }
                }
                file
            }
            None => self.places.insert_file(&status, self.now),
        };
        let old = seconds(self.now);
        if let Some(entry) = self.places.files.get_mut(file) {
            entry.standing = Standing::Holds(number);
            (entry.remembered, entry.unseen) = (true, true);
            entry.quiet = saved.quiet;
            entry.packing = packing_of_number(saved.packing);
            entry.changed_at = old;
            (entry.size, entry.changed) = (saved.size, saved.changed);
            entry.last_folder = folder.unwrap_or(NONE);
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.file == NONE && content.copies.is_empty() {
            content.file = file;
        } else {
            content.copies.push(file);
        }
    }
}

#[cfg(test)]
mod stories;
