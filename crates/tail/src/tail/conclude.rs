//! Nothing that is known lies in a file: whether it is ours, and where reading begins in it.
//! Promises that what is new since the last look is known from what the folder held then, never from a clock.
//! Leaves reading to `turns` and `read`.

use super::identify::{Question, SOON, Stage};
use super::{AGAIN, Job, Tail};
use crate::content::{Content, NEVER, State};
use crate::names;
use crate::places::{File, NONE, Name, Standing, mix, seconds};
use crate::proof::{MOST_RANGES, Proof, WINDOW, Weight, stretch_of};
use crate::row::held;
use crate::seen::{FlowId, Moment, Sample};
use crate::todo::{Again, Notice, ToDo};
use std::ops::Range;

/// How far back from the end the last line end is looked for, where a file is followed from its end.
const LAST_LINE: u64 = MOST_RANGES as u64 * WINDOW;

/// A content found at a live name within this many milliseconds has just replaced another.
pub(super) const JUST: u64 = 60_000;

/// Seconds after a file was taken for a stranger until everything that it may have replaced was checked.
pub(super) const JUDGED: u32 = 150;

/// So often a file waits until more of the log was read that begins like it, or until nobody writes to it.
const MOST_WAITS: u8 = 8;

/// More families of names than this are not kept without a reason; a few are looked through in each step.
const MOST_FAMILIES: usize = 1_024;
const FAMILIES_AT_A_TIME: usize = 32;
/// Where few of a part could be forgotten, the next part is looked through after so long.
const FAMILIES_APART: u64 = 10;

/// Whether too little is known of the content to prove anything, and this begins like it.
fn is_small(content: &Content, beginning: &[u8]) -> bool {
    content.proof.weight_at(content.read) == Weight::Doubt && content.proof.begins(beginning)
}

impl Tail {
    /// Nothing that is known lies in this file.
    pub(super) fn conclude(&mut self, mut question: Box<Question>, todo: &mut Vec<ToDo>) {
        let number = question.file;
        if !question.looked
            && let Some(log) = self.log_of(number)
        {
            return self.ask_log(question, log, todo);
        }
        let live = self.is_live(number);
        let heir = self.heirs.get(number).map(|heir| heir.flow);
        let flow = self.flow_of_file(number).or(heir);
        let beginning = stretch_of(&question.beginning, &(0..WINDOW)).unwrap_or_default().to_vec();
        if let Some((open, read)) = self.small_open(number, &beginning) {
            if self.read_on(open) {
                return self.put_off(&question, AGAIN / 10);
            }
            question.alike_bytes = question.alike_bytes.max(read);
        }
        if let Some(read) = self.small_unread(number, &beginning) {
            if self.may_wait(number) {
                return self.put_off(&question, AGAIN / 10);
            }
            question.alike_bytes = question.alike_bytes.max(read);
        }
        if question.family.is_none() && beginning.is_empty() {
            // Looked at before its turn, and empty by now: nothing can be said of it before something is in it.
            return self.drop_question(&question);
        }
        let sought = self.small_sought(number, &beginning);
        let Some(file) = self.places.files.get_mut(number) else { return self.drop_question(&question) };
        file.compared = true;
        let Some(flow) = flow else {
            file.standing = Standing::Ignored;
            return self.drop_question(&question);
        };
        if live || heir.is_some() {
            if live && file.skip && !self.begun && question.packing.is_none() {
                let size = file.size;
                question.stage = Stage::LastLine;
                let lowest = size.saturating_sub(LAST_LINE);
                let mut ranges: Vec<Range<u64>> = Vec::new();
                let mut end = size;
                while end > lowest {
                    ranges.insert(0, end.saturating_sub(WINDOW).max(lowest)..end);
                    end = end.saturating_sub(WINDOW).max(lowest);
                }
                return self.ask_file(question, ranges, todo);
            }
        } else {
            // What is equal to something of ours is no stranger.
            let related = question.from.is_some() || question.doubt > 0;
            let identity = held(file.key);
            let folder = file.last_folder;
            // What the first look at the folder found, or an earlier life, was judged then.
            let is_final = file.judged_at == 0 || seconds(self.now) >= file.judged_at + JUDGED;
            let was_held = self.places.folders.get(folder).is_some_and(|folder| folder.held.contains(&identity));
            if was_held && !related && is_final && sought.is_none() {
                file.standing = Standing::Ignored;
                return self.drop_question(&question);
            }
            match self.replaced(number) {
                Replaced::Yes => {}
                Replaced::Unclear(content) => {
                    self.suspect(content);
                    return self.put_off(&question, AGAIN / 4);
                }
                Replaced::No if related || sought.is_some() => {}
                Replaced::No => {
                    let now = seconds(self.now);
                    if let Some(file) = self.places.files.get_mut(number) {
                        file.standing = Standing::Ignored;
                        file.judged_at = now;
                    }
                    self.hold(folder, identity);
                    return self.drop_question(&question);
                }
            }
            if was_held && let Some(folder) = self.places.folders.get_mut(folder) {
                folder.held.remove(&identity);
            }
        }
        if let Some(sought) = sought {
            // One that lies in a file, and is looked for still, is read there.
            let whole =
                |content: &Content| content.state == State::Sought && content.read == 0 && content.origin.is_none();
            if let Some(content) = self.contents.get_mut(sought).filter(|content| whole(content)) {
                // More of its beginning is known now.
                let keys = content.proof.keys();
                content.proof = Proof::of_beginning(&beginning);
                self.contents.index(sought, keys);
                self.drop_question(&question);
                return self.adopt(sought, number, &question.beginning, todo);
            }
            question.covers = sought;
            question.doubt = question.doubt.max(self.contents.get(sought).map_or(0, |content| content.read));
        }
        self.drop_question(&question);
        let start = question.from.map_or(0, |(_, end)| end);
        let like = question.from.and_then(|(content, end)| Some(self.contents.get(content)?.proof.upto(end)));
        let like = like.or_else(|| Some(Proof::of_beginning(&beginning)));
        let skip = self.places.files.get(number).is_some_and(|file| file.skip) && !self.begun;
        let content = self.new_content(number, flow, start, like);
        if let Some(content) = content.and_then(|content| self.contents.get_mut(content)) {
            content.ahead = question.family.is_none() && start == 0;
        }
        let covered = self.contents.get(question.covers).is_some_and(|content| self.may_be_all_of(number, content));
        if let Some(content) = self.contents.get_mut(question.covers).filter(|_| covered) {
            content.known = content.read;
        }
        let path = self.places.path_of(number).unwrap_or_default();
        if skip && question.packing.is_some() {
            self.finish_unread(number);
        } else if start > 0 {
            let reason = Again::EqualUpTo { position: start };
            todo.push(ToDo::Say(Notice::ReadAgain { flow, path, bytes: start, reason }));
        } else if question.doubt.max(question.alike_bytes) > 0 {
            let (bytes, reason) = (question.doubt.max(question.alike_bytes), Again::EqualInDoubt);
            todo.push(ToDo::Say(Notice::ReadAgain { flow, path, bytes, reason }));
        }
    }

    /// Whether the file may be asked once more, before what is known by then decides; counts that.
    pub(super) fn may_wait(&mut self, number: u32) -> bool {
        let Some(file) = self.places.files.get_mut(number).filter(|file| file.waits < MOST_WAITS) else { return false };
        file.waits += 1;
        true
    }

    /// Whether all of what is sought may be in this file, by their names and sizes: so that nothing of it is destroyed when that
    /// is sent.
    fn may_be_all_of(&self, number: u32, content: &Content) -> bool {
        let long_enough = |file: &File| file.packing.is_some() || file.size >= content.known;
        let of_its_log = |name: &Name| {
            let home = content.home.as_deref();
            home.is_some_and(|(_, home)| names::is_of(home, &name.text))
        };
        content.state == State::Sought
            && self.places.files.get(number).is_some_and(long_enough)
            && self.places.names_of(number).any(of_its_log)
    }

    /// The content of the log that this file may be a rotation of, or, if it is an archive, of what it may have been packed
    /// from.
    fn log_of(&self, number: u32) -> Option<u32> {
        let packed = self.places.files.get(number).is_some_and(|file| file.packing.is_some());
        self.places.names_of(number).find_map(|name| {
            let sources = self.places.folders.get(name.folder).map_or(&[][..], |folder| &folder.sources);
            let folders = || std::iter::once(name.folder).chain(sources.iter().copied());
            let plain = packed.then(|| names::unpacked(&name.text).to_vec());
            plain.into_iter().chain(names::kin(&name.text)).chain([name.text.to_vec()]).find_map(|base| {
                folders().find_map(|folder| {
                    let log = self.places.names.get(self.places.find_name(folder, &base)?)?;
                    let file = self.places.files.get(log.file);
                    let file = file.filter(|file| (log.is_live || packed) && file.packing.is_none())?;
                    let Standing::Holds(content) = file.standing else { return None };
                    let followed = |content: &Content| {
                        content.file == log.file && content.state == State::Followed && !content.is_cut()
                    };
                    (log.file != number && self.contents.get(content).is_some_and(followed)).then_some(content)
                })
            })
        })
    }

    /// Before a rotation counts as new, the log itself is looked at again: what lies there may be of a moment ago, and the
    /// rotation a copy of it.
    fn ask_log(&mut self, mut question: Box<Question>, log: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(log).filter(|content| !content.checking) else {
            return self.put_off(&question, SOON);
        };
        // By the name of the log: the file may have lost that for another without an event.
        let live = self.places.names_of(content.file).find(|name| name.is_live);
        let path = live.map(|name| self.places.path_of_name(name)).or_else(|| self.places.path_of(content.file));
        let Some(path) = path else { return self.put_off(&question, SOON) };
        let mut ranges = self.ranges_of_check(content);
        ranges.push(0..WINDOW);
        ranges.sort_by_key(|range| (range.start, range.end));
        (question.stage, question.place_packing) = (Stage::Log(log), None);
        self.samples += 1;
        let ticket = self.ask(Job::Identify(question));
        todo.push(ToDo::Sample { ticket, slot: None, path, packing: None, ranges });
    }

    pub(super) fn log_answered(
        &mut self,
        mut question: Box<Question>,
        number: u32,
        sample: &Sample,
        todo: &mut Vec<ToDo>,
    ) {
        let Some(content) = self.contents.get(number).filter(|content| !content.checking) else {
            return self.put_off(&question, SOON);
        };
        let (file, keys) = (content.file, content.proof.keys());
        self.checked(number, sample, todo);
        let still = |content: &Content| {
            content.file == file
                && content.state == State::Followed
                && content.proof.keys() == keys
                && content.confirmed
        };
        let same_file = self.places.files.get(file).is_some_and(|file| file.key == sample.status.key);
        let Some(content) = self.contents.get(number).filter(|content| same_file && still(content)) else {
            // Compared anew, with what is known now.
            return self.put_off(&question, SOON);
        };
        let here = stretch_of(&question.beginning, &(0..WINDOW)).unwrap_or_default();
        let there = stretch_of(sample, &(0..WINDOW)).unwrap_or_default();
        let common = here.len().min(there.len());
        let alike = common > 0 && here[..common] == there[..common];
        if alike && content.proof.weight_at(content.read) == Weight::Strong {
            // So much may have been read of it only since the question began.
            question.looked = true;
            return self.compare_once_more(question, number, todo);
        }
        if alike {
            // The log may itself wait for this file.
            let unread = content.unread() > 0 && !content.ahead;
            if unread && question.packing.is_none() && self.may_wait(question.file) {
                // More is known once that is read.
                return self.put_off(&question, AGAIN / 4);
            }
            question.alike_bytes = question.alike_bytes.max(common as u64);
        }
        question.looked = true;
        self.conclude(question, todo);
    }

    /// The folder holds this file, and it is none of ours.
    fn hold(&mut self, number: u32, identity: u64) {
        if let Some(folder) = self.places.folders.get_mut(number)
            && folder.held.insert(identity)
        {
            self.dirty_folders.insert(number);
        }
    }

    /// Whether what lay at the live name of which this may be a rotation has just been replaced.
    fn replaced(&self, number: u32) -> Replaced {
        let since = self.places.files.get(number).map_or(0, |file| file.since);
        let mut answer = Replaced::Yes;
        for name in self.places.names_of(number).filter(|name| !name.is_live) {
            let sources = self.places.folders.get(name.folder).map_or(&[][..], |folder| &folder.sources);
            let folders = || std::iter::once(name.folder).chain(sources.iter().copied());
            for base in names::kin(&name.text).into_iter().chain([name.text.to_vec()]) {
                for folder in folders() {
                    match self.replaced_at(folder, &base, number, since) {
                        Replaced::Yes => {}
                        Replaced::No => answer = Replaced::No,
                        unclear @ Replaced::Unclear(_) => return unclear,
                    }
                }
            }
        }
        answer
    }

    fn replaced_at(&self, folder: u32, base: &[u8], number: u32, since: u32) -> Replaced {
        let base = self.places.find_name(folder, base).and_then(|base| self.places.names.get(base));
        let Some(base) = base.filter(|base| base.is_live && base.file != number) else { return Replaced::Yes };
        let Some(Standing::Holds(holds)) = self.places.files.get(base.file).map(|file| file.standing) else {
            return Replaced::Yes;
        };
        let Some(content) = self.contents.get(holds) else { return Replaced::Yes };
        if content.read == 0 && (content.known == 0 || content.ahead) {
            // Nothing is nothing's successor: it may have been written and emptied any number of times. And what was looked at
            // before its turn comes after this file.
            return Replaced::Yes;
        }
        let unsure = (!content.confirmed || content.known > content.sure) && !content.is_cut();
        if content.checking || (unsure && content.file == base.file) {
            return Replaced::Unclear(holds);
        }
        let just = |found: Moment| self.now.ms_since(found) < JUST || seconds(found) >= since;
        if content.found_at != NEVER && just(content.found_at) { Replaced::Yes } else { Replaced::No }
    }

    /// A content of which too little is known to prove anything, and which this may be by its name and its first bytes.
    /// As it is read from its beginning wherever it is found, a mistake does no harm.
    fn small_sought(&self, number: u32, beginning: &[u8]) -> Option<u32> {
        let (size, packed) = self.places.files.get(number).map(|file| (file.size, file.packing.is_some()))?;
        let alike = |content: &Content| {
            let mut names = self.places.names_of(number);
            content.slot == NONE
                && is_small(content, beginning)
                && (packed || (size >= content.read && (content.read > 0 || content.known == size)))
                && content.home.as_deref().is_some_and(|(folder, home)| {
                    names.any(|name| names::is_kin(home, &name.text) || (name.folder == *folder && name.text == *home))
                })
        };
        self.seeks.keys().copied().filter(|seek| self.contents.get(*seek).is_some_and(alike)).min()
    }

    /// A content that is open without a name, of which too little was read to prove anything, and which this may be by its
    /// name and its first bytes.
    fn small_open(&self, number: u32, beginning: &[u8]) -> Option<(u32, u64)> {
        let alike = |content: &Content| {
            let mut names = self.places.names_of(number);
            content.slot != NONE
                && content.file != number
                && content.read > 0
                && !self.places.has_name(content.file)
                && is_small(content, beginning)
                && content.home.as_deref().is_some_and(|(_, home)| names.any(|name| names::is_of(home, &name.text)))
        };
        self.opened.iter().find_map(|open| Some((*open, self.contents.get(*open).filter(|open| alike(open))?.read)))
    }

    /// How much was read of the log of which this may be a copy, by its name and its first bytes, where that is too little to
    /// prove anything and more of it is there: it was renamed since.
    fn small_unread(&self, number: u32, beginning: &[u8]) -> Option<u64> {
        self.places.names_of(number).find_map(|name| {
            let log = self.families.get(&mix(u64::from(name.folder), &names::family(&name.text)))?;
            let content = self.contents.get(*log)?;
            let unread = content.file != number
                && content.state == State::Followed
                && content.read > 0
                && content.unread() > 0
                && is_small(content, beginning);
            unread.then_some(content.read)
        })
    }

    /// What there is in a file without a name is read before anything is compared with it. `false` when that is done.
    pub(super) fn read_on(&mut self, number: u32) -> bool {
        let Some(content) = self.contents.get_mut(number) else { return false };
        if content.slot == NONE || (content.unread() == 0 && content.polled) {
            return false;
        }
        content.poll = true;
        self.enqueue(number);
        true
    }

    /// A content that was not known begins in this file: its number.
    pub(super) fn new_content(&mut self, number: u32, flow: FlowId, start: u64, proof: Option<Proof>) -> Option<u32> {
        // What has no name follows nothing.
        let family = self.places.has_name(number).then(|| self.family_of(number));
        let base = if self.is_live(number) { None } else { self.base_of(number) };
        let file = self.places.files.get_mut(number)?;
        let mut content = Content::new(self.next_content, Some(flow), self.now);
        self.next_content += 1;
        content.file = number;
        content.home = base.map(Box::new);
        (content.read, content.settled) = (start, start);
        content.known = if file.packing.is_some() { start } else { file.size.max(start) };
        content.sure = content.known;
        content.proof = proof.unwrap_or_default();
        let content = self.contents.all.insert(content);
        file.standing = Standing::Holds(content);
        self.contents.index(content, [None; 2]);
        if let Some(family) = family {
            self.put_in_line(content, number, family);
        }
        if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
            flow.gauge.files += 1;
        }
        self.inherit(content, number);
        self.mark_dirty(content);
        self.recount(content);
        self.enqueue(content);
        Some(content)
    }

    /// The content comes after the last one of its family; or before that, if it is the log that was looked at before its turn.
    fn put_in_line(&mut self, number: u32, file: u32, family: u64) {
        let Some(last) = self.families.insert(family, number) else { return };
        let waits =
            |log: &Content| log.ahead && log.state == State::Followed && self.age_of(file) < self.age_of(log.file);
        let mut after = last;
        if self.contents.get(last).is_some_and(waits)
            && let Some(log) = self.contents.get_mut(last)
        {
            after = std::mem::replace(&mut log.after, number);
            self.families.insert(family, last);
        }
        if let Some(content) = self.contents.get_mut(number) {
            content.after = after;
        }
    }

    /// Only what is still to be read matters for the order of reading: a part of the others is forgotten in each step.
    pub(super) fn forget_families(&mut self) {
        if !self.begun || self.families.len() <= MOST_FAMILIES || self.now < self.families_after {
            return;
        }
        let before = self.families.len();
        let part: Vec<(u64, u32)> = self
            .families
            .range(self.families_from..)
            .take(FAMILIES_AT_A_TIME)
            .map(|(family, last)| (*family, *last))
            .collect();
        self.families_from = match part.last() {
            Some((family, _)) if part.len() == FAMILIES_AT_A_TIME => family.saturating_add(1),
            _ => 0,
        };
        let matters = |content: &Content| content.unread() > 0 || content.state == State::Sought;
        for (family, last) in part {
            if !self.contents.get(last).is_some_and(matters) {
                self.families.remove(&family);
            }
        }
        if before - self.families.len() < FAMILIES_AT_A_TIME / 4 {
            // While thousands of files wait to be read, nearly all of them matter.
            self.families_after = self.now.plus_ms(FAMILIES_APART);
        }
    }

    /// It was there when its pattern was first started: it is followed from the end of its last line.
    pub(super) fn follow_from_end(&mut self, question: &Question, sample: &Sample) {
        self.drop_question(question);
        let number = question.file;
        let size = sample.parts.last().map_or(0, |part| part.range.start + part.bytes.len() as u64);
        let line =
            sample.parts.iter().rev().find_map(|part| {
                memchr::memrchr(b'\n', &part.bytes).map(|newline| part.range.start + newline as u64 + 1)
            });
        let lowest = sample.parts.first().map_or(0, |part| part.range.start);
        // Without a line end in reach, a small file is one begun line; in a large one nothing else is to be had.
        let start = line.unwrap_or(if lowest == 0 { 0 } else { size });
        let mut all = question.beginning.clone();
        let mut tail = crate::seen::Part { range: lowest..size, bytes: Vec::new() };
        sample.parts.iter().for_each(|part| tail.bytes.extend_from_slice(&part.bytes));
        all.parts.push(tail);
        let proof = Proof::from_sample(&all, start);
        if let Some(flow) = self.flow_of_file(number) {
            self.new_content(number, flow, start, Some(proof));
        }
    }

    /// An archive that was there when its pattern was first started is never read.
    fn finish_unread(&mut self, number: u32) {
        if let Some(Standing::Holds(content)) = self.places.files.get(number).map(|file| file.standing)
            && let Some(content) = self.contents.get_mut(content)
        {
            (content.at_end, content.state) = (true, State::Finished);
        }
    }
}

/// Whether a live name has got another content just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replaced {
    Yes,
    No,
    /// Whether this content is still there must be found out first.
    Unclear(u32),
}

#[cfg(test)]
mod stories;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::Status;
    use datalake_base::record::FileKey;
    use std::path::Path;

    /// Thousands of logs come and go: what came last of each family is remembered as long as it is still to be read, that
    /// of a thousand more, and a few are looked through in a step; where all matter, as while 100,000 new files are read, a few
    /// in ten milliseconds.
    #[test]
    fn families_of_names_are_forgotten_a_few_at_a_time_unless_something_of_them_is_to_be_read() {
        let mut tail = Tail::new(crate::Settings::default());
        for number in 0..3_000_u64 {
            let mut content = Content::new(number, None, Moment(0));
            (content.read, content.known) = (5, 6);
            let content = tail.contents.all.insert(content);
            tail.families.insert(number * 7, content);
        }
        let steps = |tail: &mut Tail, steps: usize| {
            for _ in 0..steps {
                let before = tail.families.len();
                tail.forget_families();
                assert!(before - tail.families.len() <= FAMILIES_AT_A_TIME);
            }
        };
        // Once through all of them, which are still to be read.
        tail.begun = true;
        for _ in 0..3_000_usize.div_ceil(FAMILIES_AT_A_TIME) {
            tail.now = tail.now.plus_ms(FAMILIES_APART);
            let from = tail.families_from;
            steps(&mut tail, 5);
            assert!(tail.families_from.abs_diff(from).div_ceil(7) <= FAMILIES_AT_A_TIME as u64 || from > 20_000);
        }
        assert_eq!((tail.families.len(), tail.families_from), (3_000, 0));
        tail.now = tail.now.plus_ms(FAMILIES_APART);
        for number in 100..3_000 {
            let content = tail.contents.get_mut(number).unwrap();
            content.known = content.read;
            content.state = if number < 200 { State::Sought } else { State::Followed };
        }
        tail.begun = false;
        steps(&mut tail, 100);
        assert_eq!(tail.families.len(), 3_000, "all of them matter for what is found at the start");
        tail.begun = true;
        // The first 200 stay, of the others as many go as there are too many.
        for _ in 0..200_usize.div_ceil(FAMILIES_AT_A_TIME) {
            steps(&mut tail, 1);
            tail.now = tail.now.plus_ms(FAMILIES_APART);
        }
        steps(&mut tail, (3_000 - MOST_FAMILIES).div_ceil(FAMILIES_AT_A_TIME));
        assert!(tail.families.len() <= MOST_FAMILIES, "{}", tail.families.len());
        assert!((0..200).all(|number| tail.families.contains_key(&(number * 7))));
        let left = tail.families.len();
        steps(&mut tail, 100);
        assert_eq!(tail.families.len(), left, "few need not be looked through");
    }

    /// What is changed in the story of each case below.
    type Change = fn(&mut Tail, u32, u32);

    /// A rotation is new where the log has just been replaced: not where it is the same as ever, and not before that is sure.
    #[test]
    fn what_lies_at_the_name_of_a_log_tells_whether_its_rotation_is_new() {
        const LATER: u64 = 500_000_000;
        let cases: [(&str, Change, Option<bool>); 13] = [
            ("a log of long ago", |_, _, _| (), Some(false)),
            ("found just now", |tail, _, content| at(tail, content).found_at = Moment(LATER - 59_999_000), Some(true)),
            (
                "found a minute ago",
                |tail, _, content| at(tail, content).found_at = Moment(LATER - 60_000_000),
                Some(false),
            ),
            (
                "found after the folder was looked at",
                |tail, _, content| {
                    (tail.now, at(tail, content).found_at) = (Moment(LATER + 100_000_000), Moment(450_000_000));
                },
                Some(true),
            ),
            ("a row knew it", |tail, _, content| at(tail, content).found_at = NEVER, Some(false)),
            ("empty", |tail, _, content| (at(tail, content).read, at(tail, content).known) = (0, 0), Some(true)),
            ("not read yet", |tail, _, content| at(tail, content).read = 0, Some(false)),
            ("being looked at", |tail, _, content| at(tail, content).checking = true, None),
            ("in doubt", |tail, _, content| at(tail, content).confirmed = false, None),
            ("longer than when it was looked at", |tail, _, content| at(tail, content).known = 60, None),
            (
                "in doubt where it lies, which is elsewhere",
                |tail, file, content| {
                    (at(tail, content).confirmed, at(tail, content).file) = (false, file + 1);
                },
                Some(false),
            ),
            (
                "no pattern matches that name",
                |tail, file, _| {
                    let name = tail.places.names.iter().find(|(_, name)| name.file == file).map(|(number, _)| number);
                    tail.places.names.get_mut(name.unwrap()).unwrap().is_live = false;
                },
                Some(true),
            ),
            (
                "nobody knows what it holds",
                |tail, file, _| {
                    tail.places.files.get_mut(file).unwrap().standing = Standing::Unproven;
                },
                Some(true),
            ),
        ];
        for (what, change, expected) in cases {
            let (mut tail, file, content) = followed_log();
            let folder = 0;
            tail.now = Moment(LATER);
            change(&mut tail, file, content);
            // When the rotation came, the folder had been looked at last 450 seconds after the start.
            let answer = tail.replaced_at(folder, b"a.log", file + 9, 450);
            let expected = match expected {
                Some(true) => Replaced::Yes,
                Some(false) => Replaced::No,
                None => Replaced::Unclear(content),
            };
            assert_eq!(answer, expected, "{what}");
            assert_eq!(tail.replaced_at(folder, b"a.log", file, 450), Replaced::Yes, "a log is not its own rotation");
            assert_eq!(tail.replaced_at(folder, b"b.log", file + 9, 450), Replaced::Yes, "nothing has that name");
        }
    }

    /// Before a rotation counts as new the log is looked at once more: that which is followed under the name of the log now.
    #[test]
    fn the_log_of_a_rotation_is_what_is_followed_under_its_name() {
        let cases: [(&str, Change, bool); 6] = [
            ("as it is", |_, _, _| (), true),
            ("no pattern matches it", |tail, _, _| tail.places.names.get_mut(0).unwrap().is_live = false, false),
            ("an archive", |tail, file, _| file_at(tail, file).packing = Some(crate::Packing::Gzip), false),
            ("a copy of what is followed elsewhere", |tail, _, content| at(tail, content).file = 99, false),
            ("read to its end", |tail, _, content| at(tail, content).state = State::Finished, false),
            ("not known", |tail, file, _| file_at(tail, file).standing = Standing::Unproven, false),
        ];
        for (what, change, expected) in cases {
            let (mut tail, log, content) = followed_log();
            let rotation = tail.places.insert_file(&Status::default(), Moment(0));
            tail.places.insert_name(0, b"a.log.1".as_slice().into(), rotation);
            change(&mut tail, log, content);
            assert_eq!(tail.log_of(rotation), expected.then_some(content), "{what}");
            assert_eq!(tail.log_of(log), None, "it is not its own");
        }
    }

    /// Four lines of a log without a name are read, and more is there. A file with the same lines and a name that the log had or
    /// its rotations have waits until more is known.
    #[test]
    fn what_may_be_a_copy_of_an_open_log_without_a_name_is_known_by_beginning_and_name() {
        let beginning = crate::worlds::text('x', 0..4);
        let other = crate::worlds::text('y', 0..4);
        let cases: [(&str, &[u8], &str, Change, bool); 8] = [
            ("a rotation", &beginning, "a.log.1", |_, _, _| (), true),
            ("its own name", &beginning, "a.log", |_, _, _| (), true),
            ("another name", &beginning, "b.log", |_, _, _| (), false),
            ("another beginning", &other, "a.log.1", |_, _, _| (), false),
            ("nothing was read", &beginning, "a.log.1", |tail, _, content| at(tail, content).read = 0, false),
            ("closed", &beginning, "a.log.1", |tail, _, content| at(tail, content).slot = NONE, false),
            (
                "enough is known",
                &beginning,
                "a.log.1",
                |tail, _, content| {
                    let lines = crate::worlds::text('x', 0..10);
                    (at(tail, content).read, at(tail, content).proof) =
                        (lines.len() as u64, Proof::of_beginning(&lines));
                },
                false,
            ),
            (
                "it has a name",
                &beginning,
                "a.log.1",
                |tail, file, _| {
                    tail.places.insert_name(0, b"moved".as_slice().into(), file);
                },
                false,
            ),
        ];
        for (what, begins, name, change, expected) in cases {
            let (mut tail, log, content) = followed_log();
            tail.places.remove_name(0);
            let read = beginning.len() as u64;
            let it = at(&mut tail, content);
            (it.slot, it.read, it.home) = (3, read, Some(Box::new((0, b"a.log".as_slice().into()))));
            it.proof = Proof::of_beginning(&beginning);
            tail.opened.push_back(content);
            let file = tail.places.insert_file(&Status::default(), Moment(0));
            tail.places.insert_name(0, name.as_bytes().into(), file);
            change(&mut tail, log, content);
            // Ten lines are there in any case, so that a beginning is never too short.
            let begins = [begins, &crate::worlds::text(begins[0] as char, 4..10)].concat();
            assert_eq!(tail.small_open(file, &begins), expected.then_some((content, read)), "{what}");
            assert_eq!(tail.small_open(log, &begins), None, "it is no copy of itself");
        }
    }

    /// `/l/a.log`, its file and its content.
    fn followed_log() -> (Tail, u32, u32) {
        let mut tail = Tail::new(crate::Settings::default());
        let folder = tail.places.folder(Path::new("/l"));
        let key = FileKey { device: 1, inode: 7, born: 5 };
        let file = tail.places.insert_file(&Status { key, ..Status::default() }, Moment(0));
        let name = tail.places.insert_name(folder, b"a.log".as_slice().into(), file);
        tail.places.names.get_mut(name).unwrap().is_live = true;
        let mut content = Content::new(1, None, Moment(1_000_000));
        (content.file, content.read, content.known, content.sure) = (file, 50, 50, 50);
        let content = tail.contents.all.insert(content);
        tail.places.files.get_mut(file).unwrap().standing = Standing::Holds(content);
        (tail, file, content)
    }

    fn file_at(tail: &mut Tail, file: u32) -> &mut crate::places::File {
        tail.places.files.get_mut(file).unwrap()
    }

    fn at(tail: &mut Tail, content: u32) -> &mut Content {
        tail.contents.get_mut(content).unwrap()
    }
}
