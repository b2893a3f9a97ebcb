//! Folders: listings, events, and what they say of names and files.
//! Promises that a file which moved is seen as moved, and that a folder of any size is taken in by bounded parts.
//! Leaves what files hold to `identify` and `check`.

use super::{AGAIN, AT_A_TIME, Due, Job, POLL, REFUSED_AGAIN, SWEEP, Tail};
use crate::content::{Content, Home, State};
use crate::names;
use crate::places::{Folder, NONE, Standing, Target, seconds};
use crate::row::held;
use crate::seen::{Entry, Failure, FlowId, FolderId, Status, Ticket};
use crate::todo::{Notice, ToDo};
use std::path::{Path, PathBuf};

/// Listing a folder may take one part in this many of the time.
const SHARE: u64 = 10;

/// What one name costs in a listing, in microseconds.
const NAME_COSTS: u64 = 3;

/// Stamps that stood still for this many seconds are believed.
const STILL: u32 = 2;

/// A file that was none of ours and lost its name is remembered for this many milliseconds: the other half of a renaming
/// comes later, and what was a stranger under one name is a stranger under the next.
const RENAMED_WITHIN: u64 = 10_000;

/// No more files than this that are of no other interest are looked into for what is sought in a folder.
const MOST_STRANGERS: usize = 4_096;

impl Tail {
    /// Patterns lead to this folder, or no longer do.
    pub(super) fn home(&mut self, path: &Path, is_home: bool) {
        let number = self.places.folder(path);
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        folder.is_home = is_home;
        if is_home {
            self.list_soon(number, 0, false);
        }
    }

    /// Everything is known that there is to know before the first look.
    pub(super) fn start(&mut self, _todo: &mut Vec<ToDo>) {
        (self.started, self.started_at) = (Some(0), self.now);
        self.wait_for_heirs();
        let folders: Vec<u32> = self.places.folders.iter().map(|(number, _)| number).collect();
        for folder in folders {
            self.list_soon(folder, 0, false);
            if self.places.folders.get(folder).is_some_and(|folder| folder.is_home) {
                self.know_rotations(folder);
            }
        }
    }

    /// Where rotation may put what lies in this folder.
    pub(super) fn know_rotations(&mut self, number: u32) {
        let Some(folder) = self.places.folders.get(number) else { return };
        let path = folder.path.clone();
        let beside = ["rotated", "old", "archive"].map(|name| path.join(name));
        let above = path.parent().map(|parent| parent.join("rotated"));
        let named = self.settings.flows.iter().flat_map(|flow| flow.rotated_to.iter().cloned());
        let wanted: Vec<PathBuf> = beside.into_iter().chain(above).chain(named).collect();
        self.places.expect_folders(&wanted);
        for path in wanted {
            let rotations = self.places.folder(&path);
            if rotations == number {
                continue;
            }
            if let Some(folder) = self.places.folders.get_mut(rotations)
                && !folder.sources.contains(&number)
            {
                folder.sources.push(number);
                if folder.listings == 0 && folder.due.is_none() {
                    self.list_soon(rotations, 0, true);
                }
            }
        }
    }

    pub(super) fn watched_folders(&self) -> impl Iterator<Item = u32> {
        self.places.folders.iter().map(|(number, _)| number)
    }

    pub(super) fn watching(&mut self, number: u32, events: bool) {
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        let had = std::mem::replace(&mut folder.events, events);
        if had && !events && folder.is_home {
            self.list_soon(number, POLL, false);
        }
    }

    /// Lists the folder after this many milliseconds, or sooner when that is wanted already.
    pub(super) fn list_soon(&mut self, number: u32, milliseconds: u64, everything: bool) {
        if self.started.is_none() {
            return;
        }
        let at = self.now.plus_ms(milliseconds);
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        folder.wants_everything |= everything;
        if folder.due.is_none_or(|due| at < due) {
            folder.due = Some(at);
            self.at(milliseconds, Due::Folder(number));
        }
    }

    /// Something happened in the folder that a listing tells best; it is not listed for more than a part of the time.
    pub(super) fn list_in_turn(&mut self, number: u32, everything: bool) {
        let seen = self.places.folders.get(number).map_or(0, |folder| u64::from(folder.seen));
        self.list_soon(number, (seen * NAME_COSTS * SHARE / 1_000).min(POLL), everything);
    }

    pub(super) fn list_if_due(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let now = self.now;
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        if folder.due.is_none_or(|due| due > now) {
            return;
        }
        folder.due = None;
        let sources = folder.sources.clone();
        let busy = folder.listing.is_some() || folder.sweep.is_some();
        if self.waits_for_home(number) {
            return self.list_soon(number, AGAIN, false);
        }
        if busy || sources.iter().any(|source| self.is_new_home(*source)) {
            // Once that is over.
            return self.list_soon(number, 5, false);
        }
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        let first = !std::mem::replace(&mut folder.is_watched, true);
        // Where rotations or targets of links lie, no pattern tells which names matter.
        let everything = std::mem::take(&mut folder.wants_everything) || !folder.is_home || !folder.targets.is_empty();
        folder.listing_everything = everything;
        folder.listings += 1;
        let path = folder.path.to_path_buf();
        if first {
            todo.push(ToDo::Watch { folder: FolderId(number), path });
        }
        let ticket = self.ask(Job::List(number));
        if let Some(folder) = self.places.folders.get_mut(number) {
            folder.listing = Some(ticket);
            folder.seen = 0;
        }
        todo.push(ToDo::List { ticket, folder: FolderId(number), everything });
    }

    pub(super) fn listed(
        &mut self,
        number: u32,
        ticket: Ticket,
        entries: Vec<Entry>,
        last: bool,
        todo: &mut Vec<ToDo>,
    ) {
        if self.places.folders.get(number).is_none_or(|folder| folder.listing != Some(ticket)) {
            return;
        }
        for entry in entries {
            if let Some(folder) = self.places.folders.get_mut(number) {
                folder.seen += 1;
            }
            self.note(number, entry, true, todo);
        }
        if last {
            self.jobs.remove(&ticket.0);
            self.sweeping.push_back(number);
            if let Some(folder) = self.places.folders.get_mut(number) {
                folder.listing = None;
                folder.sweep = Some(NONE);
                if std::mem::take(&mut folder.refused) {
                    todo.push(ToDo::Say(Notice::FolderReadableAgain { path: folder.path.to_path_buf() }));
                }
            }
            self.at(0, Due::Work);
        }
    }

    pub(super) fn list_failed(&mut self, number: u32, failure: Failure, todo: &mut Vec<ToDo>) {
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        folder.listing = None;
        if failure == Failure::Missing {
            // It is not there: it holds nothing. Its watch, if it had one, is gone with it.
            folder.sweep = Some(NONE);
            folder.is_watched = false;
            self.sweeping.push_back(number);
            self.at(0, Due::Work);
            return;
        }
        if failure != Failure::NoResource && !std::mem::replace(&mut folder.refused, true) {
            todo.push(ToDo::Say(Notice::FolderUnreadable { path: folder.path.to_path_buf(), failure }));
        }
        let everything = folder.listing_everything;
        self.list_soon(number, AGAIN * 2, everything);
    }

    /// Names that the last listing did not show are gone: a part of the work in each step.
    pub(super) fn sort_out_unseen(&mut self, todo: &mut Vec<ToDo>) {
        if let Some(number) = self.sweeping.front().copied() {
            self.sweep(number, todo);
            self.at(0, Due::Work);
        } else if self.started.is_some_and(|from| from < NONE) && !self.watched_folders().any(|f| self.is_first(f)) {
            self.miss_remembered(todo);
        } else if !self.begun && self.started == Some(NONE) {
            self.begin(todo);
        }
    }

    /// Whether a folder that patterns lead to is being looked at for the first time: which names are live there tells what
    /// is a rotation elsewhere.
    fn is_new_home(&self, number: u32) -> bool {
        self.is_first(number) && self.places.folders.get(number).is_some_and(|folder| folder.is_home)
    }

    /// Whether the folder was not listed to its end yet. One that refuses to be listed is not waited for.
    pub(super) fn is_first(&self, number: u32) -> bool {
        let is_first = |folder: &Folder| {
            let first = if folder.is_home { folder.listed_at.is_none() } else { folder.is_listed_first() };
            (folder.listings == 0 || first) && !folder.refused
        };
        self.places.folders.get(number).is_some_and(is_first) && !self.waits_for_home(number)
    }

    /// Whether the folder holds rotations of logs whose own folder was never listed, because that failed: as nobody knows
    /// the names of the logs, nobody knows what is a rotation of them. Others are not kept waiting by a folder that refuses.
    fn waits_for_home(&self, number: u32) -> bool {
        let Some(folder) = self.places.folders.get(number).filter(|folder| !folder.is_home) else { return false };
        let homes = || {
            let sources = folder.sources.iter().filter_map(|source| self.places.folders.get(*source));
            sources.filter(|source| source.is_home)
        };
        let failed = |home: &Folder| home.listings > 0 && home.listed_at.is_none() && !home.is_listed_first();
        let is_over_soon = homes().any(|home| failed(home) && !home.refused);
        is_over_soon || (homes().next().is_some() && homes().all(failed))
    }

    fn sweep(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let Some(folder) = self.places.folders.get(number) else { return };
        let from = folder.sweep.unwrap_or(0).min(folder.names.len() as u32);
        let to = from.saturating_sub(AT_A_TIME as u32 * 16);
        let (listing, everything) = (folder.listings, folder.listing_everything);
        let unseen = |name: &u32| self.places.names.get(*name).is_some_and(|name| name.seen_in != listing);
        // From the end: what is taken out is filled up with what was looked at already.
        let gone: Vec<u32> =
            folder.names[to as usize..from as usize].iter().rev().copied().filter(|name| unseen(name)).collect();
        for name in gone {
            if !everything && self.is_followed_without_a_match(name) {
                self.list_in_turn(number, true);
                continue;
            }
            self.vanished(name, todo);
        }
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        if to > 0 {
            folder.sweep = Some(to);
            return;
        }
        folder.sweep = None;
        self.sweeping.pop_front();
        let was_known = std::mem::replace(&mut folder.is_known, true);
        if !was_known || std::mem::take(&mut folder.row_dirty) {
            self.dirty_folders.insert(number);
        }
        let next = if folder.events || !folder.is_home { SWEEP } else { POLL };
        self.list_soon(number, next, false);
        self.folder_was_listed(number);
    }

    /// Whether a log goes on under this name, or may go on, which a listing of what patterns match does not show.
    fn is_followed_without_a_match(&self, name: u32) -> bool {
        let Some(name) = self.places.names.get(name).filter(|name| name.flow.is_none()) else { return false };
        let is_heirs = || self.heirs.get(name.file).is_some();
        match self.places.files.get(name.file).map(|file| file.standing) {
            Some(Standing::Holds(number)) => {
                let followed = |content: &Content| content.file == name.file && content.state == State::Followed;
                // A copy that was the log itself once may be written to as the log was.
                self.contents.get(number).is_some_and(followed) || is_heirs()
            }
            Some(Standing::Unproven) => is_heirs(),
            _ => false,
        }
    }

    /// An event, or the answer to a look.
    pub(super) fn changed(&mut self, number: u32, name: &[u8], entry: Option<Entry>, todo: &mut Vec<ToDo>) {
        if self.places.folders.get(number).is_none() {
            return;
        }
        match entry {
            Some(entry) => {
                self.note(number, entry, false, todo);
            }
            None => {
                if let Some(name) = self.places.find_name(number, name) {
                    self.vanished(name, todo);
                    self.list_in_turn(number, false);
                }
            }
        }
    }

    /// What a name leads to.
    fn note(&mut self, number: u32, entry: Entry, listed: bool, todo: &mut Vec<ToDo>) {
        let text = entry.name.clone();
        let known = self.places.find_name(number, &entry.name);
        let listing = self.places.folders.get(number).map_or(0, |folder| folder.listings);
        if let Some(name) = known.and_then(|known| self.places.names.get_mut(known)) {
            name.seen_in = listing;
        }
        for hop in &entry.hops {
            self.note_target(hop, entry.flow, (number, &entry.name));
        }
        let Some(status) = entry.status else { return };
        let kin = self.kin_of(number, &entry);
        let live = entry.flow.or_else(|| self.target_flow(number, &entry.name));
        let flow = live.or(kin);
        let mut file = self.places.find_file(status.key);
        let is_new = file.is_none();
        if is_new && flow.is_none() && !self.is_sought_in(number) {
            // Of no interest; and if it was, it was under another file.
            if let Some(known) = known {
                self.vanished(known, todo);
            }
            return;
        }
        if is_new && flow.is_none() && known.is_none() && !self.may_add_stranger(number) {
            return;
        }
        let number_of_file = *file.get_or_insert_with(|| self.places.insert_file(&status, self.now));
        let nameless = !is_new && !self.places.has_name(number_of_file);
        let renumbered = self.places.files.get(number_of_file).is_some_and(|file| file.key != status.key);
        match known {
            Some(known) => {
                let before = self.places.names.get(known).map_or(NONE, |name| name.file);
                if before != number_of_file {
                    let home = self.leave(known);
                    self.places.redirect(known, number_of_file);
                    self.without_name(before, home, todo);
                    // One name moved: others may have.
                    if !listed {
                        self.list_in_turn(number, false);
                    }
                }
            }
            None => {
                let name = self.places.insert_name(number, entry.name.clone(), number_of_file);
                if let Some(name) = self.places.names.get_mut(name) {
                    name.seen_in = listing;
                }
            }
        }
        let name = self.places.find_name(number, &text).unwrap_or(NONE);
        if let Some(name) = self.places.names.get_mut(name) {
            (name.flow, name.is_live, name.is_link) = (flow, live.is_some(), !entry.hops.is_empty());
            name.is_matched = entry.flow.is_some();
        }
        if let Some(file) = self.places.files.get_mut(number_of_file) {
            // The number of its device may be another since the last mount.
            file.key = status.key;
            file.last_folder = number;
            file.skip |= entry.skip && !self.begun;
            self.skips |= file.skip;
        }
        if is_new {
            self.came(number_of_file, number, live, kin);
        } else {
            if nameless {
                self.found_again(number_of_file, (number, &entry.name), renumbered);
                self.heir_found(number_of_file);
            }
            self.touched(number_of_file, &status, live, todo);
        }
        // Where the name itself tells, nothing else has to.
        if entry.flow.is_some()
            && let Some(Standing::Holds(content)) = self.places.files.get(number_of_file).map(|file| file.standing)
            && let Some(content) = self.contents.get_mut(content).filter(|content| content.file == number_of_file)
        {
            // A log that was renamed to a rotation's name is looked for by its own: other rotations of it have that, too.
            content.home = content.home.take().filter(|home| names::is_kin(&home.1, &entry.name));
        }
    }

    /// A link leads through here: the folder is watched like one that matches, and the name in it is a live one.
    fn note_target(&mut self, hop: &Path, flow: Option<FlowId>, link: (u32, &[u8])) {
        use std::os::unix::ffi::OsStrExt;
        let (Some(parent), Some(name), Some(flow)) = (hop.parent(), hop.file_name(), flow) else { return };
        let number = self.places.folder(parent);
        let Some(folder) = self.places.folders.get_mut(number) else { return };
        let name = name.as_bytes();
        if folder.targets.iter().any(|target| *target.name == *name) {
            return;
        }
        folder.targets.push(Target { name: name.into(), flow, link: (link.0, link.1.into()) });
        if !folder.is_home {
            self.know_rotations(number);
        }
        self.list_soon(number, 0, true);
    }

    fn target_flow(&self, number: u32, name: &[u8]) -> Option<FlowId> {
        let folder = self.places.folders.get(number)?;
        folder.targets.iter().find(|target| *target.name == *name).map(|target| target.flow)
    }

    /// For which flow this may be a rotation, by the names that are live here or where rotations come from.
    fn kin_of(&self, number: u32, entry: &Entry) -> Option<FlowId> {
        if entry.flow.is_some() || entry.kin.is_some() {
            return entry.kin;
        }
        let folder = self.places.folders.get(number)?;
        if folder.targets.is_empty() && folder.sources.is_empty() {
            return None;
        }
        let bases = names::kin(&entry.name);
        let of_targets = |folder: &crate::places::Folder, beyond: bool| {
            folder.targets.iter().find_map(|target| {
                let live = &target.name;
                let family = || names::family(live) == names::family(&entry.name);
                let kin = bases.iter().any(|base| **base == **live)
                    || (beyond && names::is_kin(live, &entry.name))
                    || (!beyond && **live != *entry.name && family());
                kin.then_some(target.flow)
            })
        };
        if let Some(flow) = of_targets(folder, false) {
            return Some(flow);
        }
        for source in &folder.sources {
            let by_name = |base: &[u8]| {
                let name = self.places.names.get(self.places.find_name(*source, base)?)?;
                name.flow.filter(|_| name.is_live)
            };
            // A copy under the very same name, or with something behind it.
            let found = by_name(&entry.name).or_else(|| bases.iter().find_map(|base| by_name(base)));
            let source = self.places.folders.get(*source)?;
            let found = found.or_else(|| of_targets(source, true)).or_else(|| {
                let mut few = source.names.iter().take(64).filter_map(|name| self.places.names.get(*name));
                few.find_map(|name| {
                    let kin = || names::is_kin(&names::family(&name.text), &entry.name);
                    name.flow.filter(|_| (name.is_live && names::is_kin(&name.text, &entry.name)) || kin())
                })
            });
            if found.is_some() {
                return found;
            }
        }
        // The live name may be gone; what lay there is sought.
        self.seeks.keys().filter_map(|sought| self.contents.get(*sought)).find_map(|content| {
            let (home, live) = content.home.as_deref()?;
            let here = *home == number || folder.sources.contains(home);
            content.flow.filter(|_| here && names::is_kin(live, &entry.name))
        })
    }

    fn may_add_stranger(&self, number: u32) -> bool {
        self.places.folders.get(number).is_some_and(|folder| folder.names.len() < MOST_STRANGERS * 2)
    }

    /// A file that was not known.
    fn came(&mut self, file: u32, folder: u32, live: Option<FlowId>, kin: Option<FlowId>) {
        let Some(entry) = self.places.files.get(file) else { return };
        let identity = held(entry.key);
        if live.is_some() {
            return self.prove(file);
        }
        let Some(place) = self.places.folders.get_mut(folder) else { return };
        let since = place.listed_at.map_or(0, seconds);
        if let Some(file) = self.places.files.get_mut(file) {
            file.since = since;
        }
        if kin.is_some() {
            let before = place.is_known && place.held.contains(&identity);
            if let Some(file) = self.places.files.get_mut(file) {
                file.compared = before;
            }
            let in_advance = !place.is_known && !place.held.contains(&identity);
            if in_advance {
                place.held.insert(identity);
                place.row_dirty = true;
            }
            if place.held.contains(&identity) && (before || !self.is_sought_in(folder)) {
                return;
            }
        }
        self.prove(file);
    }

    /// The file has a name again. At a start all of them have: a row that says so already is not saved once more.
    fn found_again(&mut self, file: u32, (folder, name): (u32, &[u8]), renumbered: bool) {
        let Some(Standing::Holds(number)) = self.places.files.get(file).map(|file| file.standing) else { return };
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.file != file {
            return;
        }
        content.unlinked = false;
        let at_home = content.home.as_deref().is_some_and(|home| (home.0, &*home.1) == (folder, name));
        let was_sought = content.state == State::Sought;
        let saved = std::mem::take(&mut content.saved_at_home) && at_home && !renumbered && !was_sought;
        if was_sought {
            content.state = State::Followed;
            content.confirmed = false;
            self.end_seek(number);
        }
        if let Some(content) = self.contents.get_mut(number) {
            content.traces.clear();
        }
        if !saved {
            self.mark_dirty(number);
        }
        self.enqueue(number);
    }

    /// A known file, as it is now.
    fn touched(&mut self, number: u32, status: &Status, live: Option<FlowId>, todo: &mut Vec<ToDo>) {
        let now = seconds(self.now);
        let Some(file) = self.places.files.get_mut(number) else { return };
        let same = file.size == status.size && file.changed == status.changed;
        let resized = file.size != status.size;
        let shrunk = status.size < file.size;
        let was_remembered = std::mem::take(&mut file.remembered);
        file.unseen = false;
        let was_quiet = file.quiet;
        if same {
            if !file.quiet && now >= file.changed_at + STILL {
                file.quiet = true;
                if let Standing::Holds(content) = file.standing {
                    self.mark_dirty(content);
                }
            }
        } else {
            (file.size, file.changed, file.changed_at) = (status.size, status.changed, now);
            (file.quiet, file.attempts) = (false, 0);
        }
        let Some(file) = self.places.files.get_mut(number) else { return };
        let sought = self.places.folders.get(file.last_folder).is_some_and(|folder| folder.sought > 0);
        match file.standing {
            Standing::Unproven if !same => self.prove(number),
            // A copy under any name may be on its way.
            Standing::Ignored if !same && sought => self.prove(number),
            Standing::Ignored | Standing::Skipped
                if live.is_some() && (!same || file.standing == Standing::Ignored) =>
            {
                self.prove(number);
            }
            Standing::Skipped if resized => self.prove(number),
            Standing::Holds(content) => {
                self.touched_content(
                    content,
                    number,
                    status,
                    (same, resized, was_quiet, was_remembered, shrunk),
                    live,
                    todo,
                );
            }
            _ => {}
        }
    }

    fn touched_content(
        &mut self,
        number: u32,
        file: u32,
        status: &Status,
        (same, resized, was_quiet, was_remembered, shrunk): (bool, bool, bool, bool, bool),
        live: Option<FlowId>,
        todo: &mut Vec<ToDo>,
    ) {
        let packing = self.places.files.get(file).and_then(|file| file.packing);
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.flow.is_none() && live.is_some() {
            content.flow = live;
            if let Some(flow) = live.and_then(|flow| self.flows.get_mut(usize::from(flow.0))) {
                flow.gauge.files += 1;
            }
        }
        if content.file != file {
            // A copy that changes may be on its way to be something else. To an archive a new name is no change.
            if resized || (!same && packing.is_none()) {
                content.copies.take_out(file);
                self.prove(file);
                if shrunk {
                    self.copy_was_cut(number, file);
                }
            }
            return;
        }
        if packing.is_some() {
            if resized && content.at_end {
                // An archive that was read to its end and changed is another one.
                self.other_content(number, file, todo);
            } else {
                self.enqueue(number);
            }
            return;
        }
        if was_remembered {
            // Thousands of files need not be opened at a start.
            content.confirmed = same && was_quiet && content.read == status.size;
        }
        if !same {
            if content.state == State::Finished {
                content.state = State::Followed;
            }
            let grew = status.size > content.read && !shrunk;
            // Grown beyond what was read: the bytes before the position are checked with the next read.
            content.confirmed &= grew && (content.read == 0 || content.proof.frontier(content.read).is_some());
            if !shrunk {
                content.known = content.known.max(status.size);
            }
        }
        let (open, flow) = (content.slot != NONE, content.flow);
        let cut_again = shrunk && content.is_cut();
        self.recount(number);
        if cut_again {
            // It ends before where it was to go on.
            self.suspect(number);
        }
        self.enqueue(number);
        // Its turn may be far away: see now whether what was read of it is still there, and so what is new is its own.
        let blocked = flow.and_then(|flow| self.flows.get(usize::from(flow.0))).is_some_and(|flow| flow.blocked);
        if !same && open && blocked {
            self.suspect(number);
        }
    }

    /// The name is gone.
    pub(super) fn vanished(&mut self, name: u32, todo: &mut Vec<ToDo>) {
        let Some(file) = self.places.names.get(name).map(|name| name.file) else { return };
        let home = self.leave(name);
        self.places.remove_name(name);
        self.without_name(file, home, todo);
    }

    /// The name no longer leads to its file: what it held keeps in mind where it was. Returns the name when a pattern
    /// matched it.
    fn leave(&mut self, name: u32) -> Option<Home> {
        let entry = self.places.names.get(name)?;
        let (file, folder, matched, text) = (entry.file, entry.folder, entry.is_matched, entry.text.clone());
        let Standing::Holds(content) = self.places.files.get(file)?.standing else {
            if let Some(flow) = entry.flow.filter(|_| matched) {
                self.unproven_lost_name(file, flow, (folder, text));
            }
            return None;
        };
        if matched {
            // What was taken for a stranger while this name was thought to be there may be a rotation of it.
            self.replaced.insert(content);
        }
        let content = self.contents.get_mut(content)?;
        if !content.traces.contains(&folder) && content.traces.len() < 8 {
            content.traces.push(folder);
        }
        if matched && content.home.is_none() {
            content.home = Some(Box::new((folder, text.clone())));
        }
        matched.then_some((folder, text))
    }

    /// A file may have lost its last name.
    fn without_name(&mut self, file: u32, home: Option<Home>, todo: &mut Vec<ToDo>) {
        if self.places.has_name(file) {
            return;
        }
        let Some(standing) = self.places.files.get(file).map(|file| file.standing) else { return };
        match standing {
            Standing::Holds(number) => {
                if let Some(home) = home {
                    self.copy_lost_name(number, file, home);
                }
                self.lost_name(number, file, todo);
            }
            Standing::Unproven if self.heir_lost_name(file) => {}
            // Renamed, perhaps, and its new name is seen in a moment. Without a time of birth it may also be another file then.
            Standing::Ignored | Standing::Skipped
                if self.places.files.get(file).is_some_and(|file| file.key.born > 0) =>
            {
                self.at(RENAMED_WITHIN, Due::Nameless(file));
            }
            Standing::Ignored | Standing::Unproven | Standing::Skipped => self.forget_file(file),
        }
    }

    /// A file that was none of ours has had no name for a while.
    pub(super) fn forget_nameless(&mut self, file: u32) {
        let stranger = |standing| matches!(standing, Standing::Ignored | Standing::Skipped);
        if self.places.files.get(file).is_some_and(|file| stranger(file.standing)) && !self.places.has_name(file) {
            self.forget_file(file);
        }
    }

    fn forget_file(&mut self, file: u32) {
        let Some(entry) = self.places.files.get(file) else { return };
        let (identity, folder) = (held(entry.key), entry.last_folder);
        self.end_heir(file);
        self.places.remove_file(file);
        if let Some(folder) = self.places.folders.get_mut(folder)
            && folder.held.remove(&identity)
        {
            folder.row_dirty = true;
        }
    }

    /// Files of rows that no listing showed have lost their place while nobody looked.
    fn miss_remembered(&mut self, todo: &mut Vec<ToDo>) {
        let Some(from) = self.started else { return };
        let end = (from + AT_A_TIME as u32 * 4).min(self.places.files.numbers());
        for file in from..end {
            let gone = self.places.files.get(file).is_some_and(|file| file.remembered);
            if gone
                && !self.places.has_name(file)
                && let Some(Standing::Holds(number)) = self.places.files.get_mut(file).map(|file| {
                    file.remembered = false;
                    file.standing
                })
            {
                self.lost_name(number, file, todo);
            }
        }
        let done = end >= self.places.files.numbers();
        let remembered = if done { std::mem::take(&mut self.remembered) } else { Vec::new() };
        for (number, log) in remembered {
            match (self.contents.get(number).map(|content| content.file), log) {
                (Some(NONE), _) => self.lose(number, todo),
                (Some(_), Some(log)) => self.look_on_behind(number, log),
                (Some(file), None) => self.look_on(number, file),
                (None, _) => {}
            }
        }
        self.started = Some(if done { NONE } else { end });
        self.at(0, Due::Work);
    }

    /// A file cannot be read: said once.
    pub(super) fn refuse(&mut self, file: u32, flow: Option<FlowId>, failure: Failure, todo: &mut Vec<ToDo>) {
        let path = self.places.path_of(file);
        let Some(entry) = self.places.files.get_mut(file) else { return };
        let known = std::mem::replace(&mut entry.refused, true);
        if entry.standing == Standing::Unproven {
            self.waiting.insert(file);
        }
        if let (Some(flow), Some(path), false) = (flow, path, known || failure == Failure::Refused) {
            todo.push(ToDo::Say(Notice::Unreadable { flow, path, failure }));
        }
        self.at(REFUSED_AGAIN, Due::File(file));
    }

    /// A file that could not be read can be read.
    pub(super) fn readable(&mut self, file: u32, todo: &mut Vec<ToDo>) {
        let path = self.places.path_of(file);
        let Some(entry) = self.places.files.get_mut(file) else { return };
        if std::mem::take(&mut entry.refused)
            && let Some(path) = path
        {
            todo.push(ToDo::Say(Notice::ReadableAgain { path }));
        }
    }
}

#[cfg(test)]
mod stories;
