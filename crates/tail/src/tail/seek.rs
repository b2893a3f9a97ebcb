//! Content that has lost its place: where it is looked for, and when it counts as destroyed.
//! Promises that nothing counts as destroyed before everything was looked at that rotation may have made of it, and
//! that what was destroyed is counted and said once.
//! Leaves comparing to `identify`.

use super::conclude::JUDGED;
use super::{AT_A_TIME, Job, Tail};
use crate::content::{Content, Home, State};
use crate::names;
use crate::places::{File, NONE, Name, Standing, seconds};
use crate::proof::Weight;
use crate::seen::Moment;
use crate::todo::{Loss, Notice, ToDo};
use std::path::PathBuf;

/// How long content without a place is sought, in milliseconds, and how long while a file that may hold it is still
/// being written.
const SEEK_FOR: u64 = 10_000;
const SEEK_LONGEST: u64 = 600_000;

/// How long something that holds more is looked for, where a copy was found that may be older than what was lost.
const LOOK_FOR: u64 = 2_000;

/// What is sought is looked for so often.
const LOOK_EVERY: u64 = 1_000;
const CHECK_EVERY: u64 = 250;

/// No more finished contents without a place are remembered than this.
const MOST_GONE: usize = 10_000;

/// The search for one content.
#[derive(Debug)]
pub(super) struct Seek {
    pub(super) since: Moment,
    pub(super) folders: Vec<u32>,
    /// The name by which a pattern matched it.
    home: Option<Box<Home>>,
}

impl Tail {
    /// A file that holds this content has no name any more.
    pub(super) fn lost_name(&mut self, number: u32, file: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.file != file {
            content.copies.take_out(file);
            self.forget_file_if_bare(file);
            return self.mark_dirty(number);
        }
        self.mark_dirty(number);
        let Some(content) = self.contents.get(number) else { return };
        if content.slot != NONE || content.opening {
            // Open without a name: it is read to its end.
            self.enqueue(number);
            self.time_content(number, CHECK_EVERY);
            return;
        }
        self.lose(number, todo);
    }

    /// A copy may be of a moment before the last bytes came: what holds all that is known is read, plain rather than packed;
    /// else what holds the most. Nothing is to be had of one that is shorter than what was read.
    pub(super) fn copy_to_go_on_in(&self, number: u32) -> Option<u32> {
        let content = self.contents.get(number)?;
        let least = if content.state == State::Finished { 0 } else { content.read };
        let rank = |number: &u32| {
            let file = self.places.files.get(*number)?;
            let rank = match file.packing {
                _ if file.refused => (0, 0),
                None if file.size >= content.known => (3, file.size),
                Some(_) => (2, file.size),
                None => (1, file.size),
            };
            (file.packing.is_some() || file.size >= least).then_some((rank, *number))
        };
        content.copies.iter().filter_map(rank).max_by_key(|(rank, _)| *rank).map(|(_, copy)| copy)
    }

    /// The content has no place (of which it is known) any more.
    pub(super) fn lose(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        self.close(number, todo);
        let copy = self.copy_to_go_on_in(number).filter(|copy| !self.is_fragment(number, *copy));
        let Some(content) = self.contents.get_mut(number) else { return };
        let flow = content.flow;
        if let Some(copy) = copy {
            self.go_on_in_copy(number, copy, todo);
            self.look_on(number, copy);
            return self.enqueue(number);
        }
        match (content.state, flow) {
            (State::Finished, _) => return self.remember_gone(number),
            // It sleeps where it was.
            (_, None) => return,
            (State::Sought, _) => return,
            (State::Followed, Some(flow)) if self.is_owned(flow) => return self.finish(number, todo),
            (State::Followed, Some(_)) => {}
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.state = State::Sought;
        content.checking = false;
        let home = content.home.clone();
        self.seek(number, home);
        self.mark_dirty(number);
    }

    /// A copy that does not hold all of the beginning by which the content is known: to read it there would forget the rest of
    /// that, by which the whole may still be found.
    fn is_fragment(&self, number: u32, copy: u32) -> bool {
        let file = self.places.files.get(copy).filter(|file| file.packing.is_none());
        self.contents.get(number).zip(file).is_some_and(|(content, file)| {
            content.state == State::Followed && content.read == 0 && file.size < u64::from(content.proof.head.length)
        })
    }

    fn go_on_in_copy(&mut self, number: u32, copy: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        content.copies.take_out(copy);
        let old = std::mem::replace(&mut content.file, copy);
        // What comes in it is the content's own from now on.
        self.end_heir(copy);
        let Some(content) = self.contents.get_mut(number) else { return };
        let known = self.places.files.get(copy).map(|file| (file.packing.is_some(), file.size));
        if let Some((packed, size)) = known
            && content.state != State::Finished
        {
            content.confirmed = packed;
            content.at_end = false;
            content.known = if packed { content.known } else { content.known.max(size) };
            if !packed {
                self.goes_on_in(number, size);
            }
        }
        self.leave_for_copy(number, old);
        self.mark_dirty(number);
        self.recount(number);
        self.end_seek(number);
        self.end_with_beginning(number, todo);
    }

    /// Of a finished content there may be no more than a plain copy of its beginning: that is then as if it had been cut, and
    /// what comes behind it is new.
    fn end_with_beginning(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number).filter(|content| content.state == State::Finished) else {
            return;
        };
        let plain = self.places.files.get(content.file).filter(|file| file.packing.is_none());
        let ends = plain.filter(|_| self.places.has_name(content.file)).map(|file| file.size);
        if let Some(ends) = ends.filter(|ends| *ends < content.read) {
            self.jump(number, ends, todo);
        }
    }

    /// The content goes on in this file, which may be an older copy than what the content was put away as, under any name.
    pub(super) fn look_on(&mut self, number: u32, file: u32) {
        let home = self.contents.get(number).and_then(|content| content.home.clone());
        self.look_on_from(number, home, file);
    }

    fn look_on_from(&mut self, number: u32, home: Option<Box<Home>>, file: u32) {
        let Some(content) = self.contents.get(number) else { return };
        let unfinished = content.state != State::Finished && content.flow.is_some_and(|flow| !self.is_owned(flow));
        if unfinished && !self.seeks.contains_key(&number) && self.is_away(home.as_deref(), file) {
            self.seek(number, home);
        }
    }

    /// The log of this name counted as a copy of the content when the life before ended. If it is none any more, it may have
    /// gone on, been put away under any name and cut, and so hold more than the file in which the content lies.
    pub(super) fn look_on_behind(&mut self, number: u32, log: Home) {
        let Some(content) = self.contents.get(number) else { return };
        let file = content.file;
        let found = self.places.find_name(log.0, &log.1).and_then(|name| self.places.names.get(name));
        let holds = |name: &Name| name.file == file || content.copies.contains(&name.file);
        let is_ours = |name: &Name| name.is_matched && name.flow == content.flow && !holds(name);
        if found.is_none_or(is_ours) {
            self.look_on_from(number, Some(Box::new(log)), file);
        }
    }

    /// A file that counted as a copy of the content was cut. If it is the log, that may have gone on before, and been put away.
    pub(super) fn copy_was_cut(&mut self, number: u32, copy: u32) {
        let Some(content) = self.contents.get(number) else { return };
        let (file, is_ours) = (content.file, |name: &&Name| name.is_matched && name.flow == content.flow);
        let log = self.places.names_of(copy).find(is_ours).map(|name| Box::new((name.folder, name.text.clone())));
        if self.is_log_of(copy, file) {
            self.look_on_from(number, log, file);
        }
    }

    /// Another copy that may hold more than this one, of which everything was read. How much an archive holds shows only when
    /// it is read: after one, only a larger one is.
    fn copy_that_goes_on(&self, number: u32, short: u32) -> Option<u32> {
        let content = self.contents.get(number)?;
        let packed = |file: &File| file.packing.is_some();
        let short = self.places.files.get(short).filter(|file| packed(file)).map_or(0, |file| file.size);
        let more = |copy: &u32| {
            let file = self.places.files.get(*copy).filter(|file| !file.refused);
            file.is_some_and(|file| file.size > if packed(file) { short } else { content.read })
        };
        content.copies.iter().copied().find(more)
    }

    /// The copy in which the content is read ends before it. `false` when nothing else is looked for that may hold more.
    pub(super) fn leave_short_copy(&mut self, number: u32, todo: &mut Vec<ToDo>) -> bool {
        let file = self.contents.get(number).map_or(NONE, |content| content.file);
        if !self.may_hold_more_elsewhere(number, file) {
            return false;
        }
        self.close(number, todo);
        let next = self.copy_that_goes_on(number, file);
        // So far the name of the copy may have said which flow reads it.
        let home = self.sought_home(number).cloned();
        let Some(content) = self.contents.get_mut(number) else { return false };
        content.home = content.home.take().or(home.map(Box::new));
        content.copies.push(file);
        match next {
            Some(next) => {
                content.copies.take_out(next);
                (content.file, content.confirmed, content.at_end) = (next, false, false);
            }
            None => {
                content.file = NONE;
                (content.state, content.confirmed, content.poll) = (State::Sought, true, false);
            }
        }
        self.mark_dirty(number);
        self.recount(number);
        self.enqueue(number);
        true
    }

    /// The content goes on in a copy of this size, which may be of a moment before its whole beginning was there.
    pub(super) fn goes_on_in(&mut self, number: u32, size: u64) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if size < u64::from(content.proof.head.length) && content.read <= size {
            let keys = content.proof.keys();
            content.proof.cut(size);
            self.contents.index(number, keys);
        }
    }

    /// Where rotation may have put it: beside where it was, and where that folder's rotations go.
    fn where_to_look(&mut self, number: u32, home: Option<&Home>) -> Vec<u32> {
        let Some(content) = self.contents.get(number) else { return Vec::new() };
        let last = self.places.files.get(content.file).map(|file| file.last_folder);
        let home = home.or(content.home.as_deref()).map(|home| home.0);
        let mut folders: Vec<u32> = content.traces.iter().copied().chain(last).chain(home).collect();
        folders.retain(|folder| *folder != NONE);
        for folder in folders.clone() {
            self.know_rotations(folder);
        }
        let of_these = |folder: &crate::places::Folder| folder.sources.iter().any(|source| folders.contains(source));
        let rotations: Vec<u32> =
            self.places.folders.iter().filter(|(_, folder)| of_these(folder)).map(|(number, _)| number).collect();
        folders.extend(rotations);
        folders.sort_unstable();
        folders.dedup();
        folders
    }

    /// Looks for the content. One that is read on in a copy meanwhile keeps its state.
    fn seek(&mut self, number: u32, home: Option<Box<Home>>) {
        self.end_seek(number);
        self.time_content(number, CHECK_EVERY);
        let folders = self.where_to_look(number, home.as_deref());
        for folder in &folders {
            if let Some(folder) = self.places.folders.get_mut(*folder) {
                folder.sought += 1;
            }
            self.list_in_turn(*folder, true);
            self.compare_again(*folder);
        }
        self.seeks.insert(number, Seek { since: self.now, folders, home });
    }

    /// A live name has got another content: what was taken for a stranger a moment ago may be a rotation.
    pub(super) fn look_at_strangers(&mut self, number: u32) {
        for folder in self.where_to_look(number, None) {
            self.compare_again(folder);
        }
    }

    pub(super) fn end_seek(&mut self, number: u32) {
        let Some(seek) = self.seeks.remove(&number) else { return };
        for number in seek.folders {
            if let Some(folder) = self.places.folders.get_mut(number) {
                folder.sought -= 1;
            }
        }
        self.mark_dirty(number);
    }

    /// Whether it is looked for, and would in this file be elsewhere than where it was: that may be an older copy.
    pub(super) fn may_go_on_elsewhere(&self, number: u32, file: u32) -> bool {
        self.is_away(self.sought_home(number), file)
    }

    /// The same, or a copy is known that may hold more, though nothing is looked for any more: its rest waited for room.
    pub(super) fn may_hold_more_elsewhere(&self, number: u32, file: u32) -> bool {
        let known = || !self.is_live(file) && self.copy_that_goes_on(number, file).is_some();
        self.may_go_on_elsewhere(number, file) || known()
    }

    /// The name by which a pattern matched what is looked for.
    fn sought_home(&self, number: u32) -> Option<&Home> {
        self.seeks.get(&number)?.home.as_deref()
    }

    fn is_away(&self, home: Option<&Home>, file: u32) -> bool {
        let is_home = |name: &Name, home: &Home| (name.folder, &name.text) == (home.0, &home.1);
        home.is_some_and(|home| !self.places.names_of(file).any(|name| is_home(name, home)))
    }

    pub(super) fn is_sought_in(&self, folder: u32) -> bool {
        self.places.folders.get(folder).is_some_and(|folder| folder.sought > 0)
    }

    /// The folder was listed to its end.
    pub(super) fn folder_was_listed(&mut self, number: u32) {
        let now = self.now;
        if let Some(folder) = self.places.folders.get_mut(number) {
            folder.listed_at = Some(now);
        }
        if self.is_sought_in(number) {
            self.compare_again(number);
        }
    }

    /// What was of no interest in this folder may hold what is sought: as far as it was never compared, or taken for a
    /// stranger just now. What was there before does not hold what was lost only now.
    fn compare_again(&mut self, number: u32) {
        let now = seconds(self.now);
        let Some(folder) = self.places.folders.get(number) else { return };
        let files: Vec<u32> = folder
            .names
            .iter()
            .filter_map(|name| self.places.names.get(*name))
            .map(|name| name.file)
            .filter(|file| {
                self.places.files.get(*file).is_some_and(|file| {
                    let doubtful = file.judged_at > 0 && now < file.judged_at + JUDGED;
                    file.standing == Standing::Ignored && (!file.compared || doubtful)
                })
            })
            .take(AT_A_TIME * 16)
            .collect();
        for file in files {
            self.prove(file);
        }
    }

    /// Whether something that may hold it is still to be looked at.
    fn may_be_found(&self, seek: &Seek) -> bool {
        let listed = |folder: &u32| {
            self.places.folders.get(*folder).is_none_or(|folder| {
                folder.listed_at.is_some_and(|at| at >= seek.since)
                    && folder.listing.is_none()
                    && folder.sweep.is_none()
            })
        };
        let in_folders = |file: u32| {
            self.places.files.get(file).is_some_and(|file| !file.refused && seek.folders.contains(&file.last_folder))
        };
        !seek.folders.iter().all(listed)
            || self.unproven.iter().any(|(_, file)| in_folders(*file))
            || self.waiting.iter().any(|file| in_folders(*file))
            || self.jobs.values().any(|job| matches!(job, Job::Identify(question) if in_folders(question.file)))
    }

    /// Time went by for a content that is sought.
    pub(super) fn seek_on(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let Some(seek) = self.seeks.get(&number) else { return };
        let past = self.now.ms_since(seek.since);
        let sought = self.contents.get(number).is_some_and(|content| content.state == State::Sought);
        let least = if sought { SEEK_FOR } else { LOOK_FOR };
        if past >= SEEK_LONGEST || (past >= least && !self.may_be_found(seek)) {
            return if sought { self.give_up(number, todo) } else { self.end_seek(number) };
        }
        let folders = seek.folders.clone();
        for folder in folders {
            let listed = self.places.folders.get(folder).and_then(|folder| folder.listed_at);
            if listed.is_none_or(|at| self.now.ms_since(at) >= LOOK_EVERY) {
                self.list_in_turn(folder, true);
            }
        }
        self.time_content(number, CHECK_EVERY);
    }

    /// It was not found anywhere.
    fn give_up(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let covered = self.seeks.get(&number).is_some_and(|seek| self.is_covered(number, &seek.folders));
        self.end_seek(number);
        let whole = |content: &Content| content.read == 0 && !covered && !content.copies.is_empty();
        if self.contents.get(number).is_some_and(whole)
            && let Some(copy) = self.copy_to_go_on_in(number)
        {
            // Its beginning is all that there is.
            if let Some(content) = self.contents.get_mut(number) {
                content.state = State::Followed;
            }
            self.go_on_in_copy(number, copy, todo);
            return self.enqueue(number);
        }
        if covered && let Some(content) = self.contents.get_mut(number) {
            content.known = content.read;
        }
        let Some(content) = self.contents.get(number) else { return };
        let file = self.places.files.get(content.file);
        let bytes = match file {
            Some(file) if file.packing.is_some() && !content.at_end => file.size,
            // What came behind a cut was to be read once all before it was settled.
            Some(file) if content.is_cut() => file.size.saturating_sub(content.jump),
            _ => content.unread(),
        };
        let reason = if content.file == NONE { Loss::Truncated } else { Loss::Deleted };
        if let Some(content) = self.contents.get_mut(number).filter(|content| content.file == NONE)
            && let Some(copy) = content.copies.first().copied()
        {
            // Where its beginning lies is known.
            content.copies.take_out(copy);
            content.file = copy;
        }
        self.destroyed(number, bytes, reason, todo);
        self.finish(number, todo);
        self.end_with_beginning(number, todo);
    }

    /// Whether a rotation of it was taken for something new before it was sought: too little was known of it to tell. What
    /// was sent in doubt is not destroyed.
    fn is_covered(&self, number: u32, folders: &[u32]) -> bool {
        let Some(content) = self.contents.get(number) else { return false };
        if content.proof.weight_at(content.read) == Weight::Strong {
            return false;
        }
        let Some((_, home)) = content.home.as_deref() else { return false };
        let names =
            folders.iter().filter_map(|folder| self.places.folders.get(*folder)).flat_map(|folder| &folder.names);
        names.take(AT_A_TIME * 16).filter_map(|name| self.places.names.get(*name)).any(|name| {
            let Some(file) = self.places.files.get(name.file) else { return false };
            let Standing::Holds(other) = file.standing else { return false };
            let same_size = |other: &Content| {
                if file.packing.is_some() {
                    other.known >= content.known || !other.at_end
                } else {
                    file.size >= content.known
                }
            };
            let may_be = |other: &Content| {
                other.id > content.id && same_size(other) && content.proof.may_begin_like(&other.proof)
            };
            self.contents.get(other).is_some_and(may_be) && names::is_of(home, &name.text)
        })
    }

    /// These bytes cannot be had any more.
    pub(super) fn destroyed(&mut self, number: u32, bytes: u64, reason: Loss, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return };
        let (flow, path) = (content.flow, self.path_of_content(content));
        if let (Some(flow), true) = (flow, bytes > 0) {
            todo.push(ToDo::Say(Notice::Destroyed { flow, path, bytes, reason }));
        }
        if let Some(content) = self.contents.get_mut(number) {
            content.destroyed += bytes;
            content.known = content.read;
        }
    }

    /// Nothing more is expected of the content.
    pub(super) fn finish(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        self.close(number, todo);
        self.say_end(number, todo);
        let Some(content) = self.contents.get_mut(number) else { return };
        content.state = State::Finished;
        content.known = content.read;
        let owned = content.flow;
        self.recount(number);
        self.mark_dirty(number);
        if owned.is_some_and(|flow| self.is_owned(flow)) {
            return self.forget_if_over(number);
        }
        self.remember_gone(number);
    }

    /// A finished content may have no place: a number of those are remembered.
    pub(super) fn remember_gone(&mut self, number: u32) {
        let Some(content) = self.contents.get(number) else { return };
        if self.places.has_name(content.file) || !content.is_settled() {
            return;
        }
        let id = content.id;
        self.gone.push_back((number, id));
        while self.gone.len() > MOST_GONE {
            let Some((oldest, id)) = self.gone.pop_front() else { return };
            let gone = |content: &Content| {
                content.id == id && content.state == State::Finished && !self.places.has_name(content.file)
            };
            if self.contents.get(oldest).is_some_and(gone) {
                self.forget(oldest);
            }
        }
    }

    /// What belongs to the agent itself is forgotten as soon as it is settled: there are no copies to be known later.
    pub(super) fn forget_if_over(&mut self, number: u32) {
        let over = |content: &Content| content.state == State::Finished && content.is_settled();
        if self.contents.get(number).is_some_and(over) {
            self.forget(number);
        }
    }

    fn forget(&mut self, number: u32) {
        self.end_seek(number);
        let Some(content) = self.contents.remove(number) else { return };
        if let Some(origin) = content.origin {
            self.origins.remove(&origin.number());
        }
        if let Some(flow) = content.flow.and_then(|flow| self.flows.get_mut(usize::from(flow.0))) {
            flow.gauge.lag -= content.counted;
            flow.gauge.files -= 1;
        }
        self.forgotten.push(content.id);
        for file in content.copies.iter().copied().chain([content.file]) {
            if let Some(entry) = self.places.files.get_mut(file) {
                entry.standing = Standing::Ignored;
            }
            self.forget_file_if_bare(file);
        }
    }

    /// A file without a name is kept only for the content that it holds.
    pub(super) fn forget_file_if_bare(&mut self, file: u32) {
        if self.places.files.get(file).is_none() || self.places.has_name(file) || self.is_waited_for(file) {
            return;
        }
        if let Some(Standing::Holds(content)) = self.places.files.get(file).map(|file| file.standing)
            && self.contents.get(content).is_some_and(|content| content.file == file)
        {
            return;
        }
        self.end_heir(file);
        self.places.remove_file(file);
    }

    /// The name by which a pattern matched the content, which moves to a file that has no such name.
    pub(super) fn home_without_name(&self, number: u32, file: u32) -> Option<Box<Home>> {
        if self.places.names_of(file).any(|name| name.is_matched) {
            return None;
        }
        let old = self.contents.get(number).map_or(NONE, |content| content.file);
        let matched = || self.places.names_of(old).find(|name| name.is_matched);
        let home = self.sought_home(number).cloned();
        home.or_else(|| matched().map(|name| (name.folder, name.text.clone()))).map(Box::new)
    }

    /// The path by which a pattern matched it.
    pub(super) fn home_of(&self, content: &Content) -> PathBuf {
        if let Some(matched) = self.places.names_of(content.file).find(|name| name.is_matched) {
            return self.places.path_of_name(matched);
        }
        let target = self.places.names_of(content.file).find_map(|name| self.target_home(name.folder, &name.text));
        if let (Some((folder, name)), None) = (target, &content.home) {
            return self.places.path(folder, &name);
        }
        let Some((folder, name)) = content.home.as_deref() else {
            return self.places.path_of(content.file).unwrap_or_default();
        };
        self.places.path(*folder, name)
    }

    /// The link through which a name is followed.
    pub(super) fn target_home(&self, folder: u32, name: &[u8]) -> Option<(u32, Box<[u8]>)> {
        let targets = &self.places.folders.get(folder)?.targets;
        targets.iter().find(|target| *target.name == *name).map(|target| target.link.clone())
    }
}

#[cfg(test)]
mod stories;
