//! Whether a followed file still holds what was read of it.
//! Promises that a size which lies is distinguished from a cut, and a cut from another content.
//! Leaves the comparison of bytes to `Proof`, and files of which nothing is known to `identify`.

use super::heirs::Heir;
use super::{AGAIN, CLOSE_AFTER, Job, Tail};
use crate::content::{Content, NO_JUMP, State};
use crate::places::{NONE, Standing};
use crate::proof::{Proof, Verdict, WINDOW, Weight, stretch_of};
use crate::seen::{Sample, Slot};
use crate::todo::{Again, Loss, Notice, ToDo};
use std::ops::Range;

/// A file that says now this and now that is looked at so often without a pause.
const MOST_DOUBTS: u8 = 4;

impl Tail {
    /// Whether the file still holds the content must be found out before anything else.
    pub(super) fn doubt(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let packed = {
            let Some(content) = self.contents.get_mut(number) else { return };
            content.confirmed = false;
            self.places.files.get(content.file).is_some_and(|file| file.packing.is_some())
        };
        if packed {
            // Another archive lies there: what it holds is asked like that of any other.
            let file = self.contents.get(number).map_or(NONE, |content| content.file);
            return self.other_content(number, file, todo);
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.doubts = content.doubts.saturating_add(1);
        if content.doubts > MOST_DOUBTS {
            return self.time_content(number, AGAIN);
        }
        self.enqueue(number);
    }

    /// Whether the file still holds the content is asked now, even without room in its flow.
    pub(super) fn suspect(&mut self, number: u32) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.state == State::Followed && !content.checking && !content.opening {
            (content.checking, content.confirmed) = (true, false);
            self.checks.push_back(number);
        }
    }

    /// Asks for the samples that are due.
    pub(super) fn ask_checks(&mut self, todo: &mut Vec<ToDo>) {
        while self.samples < self.settings.limits.samples && !self.starved {
            let Some(number) = self.checks.pop_front() else { return };
            let Some(content) = self.contents.get(number).filter(|content| content.checking) else { continue };
            let slot = (content.slot != NONE).then_some(Slot(content.slot));
            let path = self.places.path_of(content.file);
            let packing = self.places.files.get(content.file).and_then(|file| file.packing);
            let ranges = self.ranges_of_check(content);
            if slot.is_none() && path.is_none() || packing.is_some() {
                if let Some(content) = self.contents.get_mut(number) {
                    content.checking = false;
                    content.confirmed = packing.is_some();
                }
                self.enqueue(number);
                continue;
            }
            self.samples += 1;
            let ticket = self.ask(Job::Check(number));
            todo.push(ToDo::Sample { ticket, slot, path: path.unwrap_or_default(), packing: None, ranges });
        }
    }

    /// What of its file tells whether that still holds the content.
    pub(super) fn ranges_of_check(&self, content: &Content) -> Vec<Range<u64>> {
        let packing = self.places.files.get(content.file).and_then(|file| file.packing);
        let mut ranges = content.proof.ranges(content.read, 3);
        if content.proof.head.length == 0 && content.read == 0 && content.known > 0 {
            // Nothing is known of it yet; by its beginning it is known when it was copied and truncated.
            ranges.push(0..WINDOW);
        }
        if content.unread() > 0 && packing.is_none() {
            // Is the last byte still there that was seen?
            ranges.push(content.known - 1..content.known);
        }
        ranges.sort_by_key(|range| (range.start, range.end));
        ranges
    }

    /// What the file of a content holds now: the same, less, or something else.
    pub(super) fn checked(&mut self, number: u32, sample: &Sample, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        content.checking = false;
        let file = content.file;
        let Some(entry) = self.places.files.get_mut(file) else { return };
        if entry.key != sample.status.key {
            let folder = entry.last_folder;
            self.list_in_turn(folder, false);
            return self.time_content(number, AGAIN / 4);
        }
        let size = sample.status.size;
        entry.size = size;
        let verdict = content.proof.against(content.read, sample);
        let unread_cut = content.read == 0 && size < content.known;
        match verdict {
            // What was read is not what is there, as far as anybody knows: it is asked what it holds.
            Verdict::Same(Weight::Doubt) if content.from_row && content.is_unproven() => {
                self.other_content(number, file, todo);
            }
            Verdict::Same(weight) if !unread_cut => {
                if content.from_row && weight == Weight::Doubt && content.proof.head.length > 0 {
                    // It begins like what was there in the life before, and may be one of many that did.
                    content.found_at = self.now;
                }
                self.still_holds(number, sample, todo);
            }
            Verdict::Prefix { diverged: false, .. }
                if size < content.read && !content.copies.is_empty() && self.places.has_name(file) =>
            {
                // This place was cut; the content lies elsewhere, too.
                self.other_content(number, file, todo);
            }
            Verdict::Prefix { diverged: false, weight: Weight::Strong, .. } if size < content.read => {
                let unread = content.unread();
                self.destroyed(number, unread, Loss::EndCut, todo);
                if self.places.has_name(file) {
                    self.close(number, todo);
                }
                self.jump(number, size, todo);
            }
            Verdict::Need(_) => self.time_content(number, AGAIN),
            Verdict::Prefix { diverged: false, .. } if size < content.read && size > 0 => {
                if let Some(content) = self.contents.get(number)
                    && let Some(flow) = content.flow
                {
                    let path = self.path_of_content(content);
                    let reason = Again::CutInDoubt;
                    todo.push(ToDo::Say(Notice::ReadAgain { flow, path, bytes: size, reason }));
                }
                self.other_content(number, file, todo);
            }
            _ => self.other_content(number, file, todo),
        }
    }

    fn still_holds(&mut self, number: u32, sample: &Sample, todo: &mut Vec<ToDo>) {
        let size = sample.status.size;
        let Some(content) = self.contents.get_mut(number) else { return };
        (content.confirmed, content.from_row) = (true, false);
        let head = content.proof.keys();
        if content.proof.frontier(content.read).is_none() {
            content.proof.take_frontier(sample, content.read);
        }
        if let Some(beginning) = stretch_of(sample, &(0..WINDOW)).filter(|_| content.read == 0)
            && content.proof.head.length == 0
        {
            content.proof = Proof::of_beginning(beginning);
            if !beginning.is_empty() {
                // Until now there was nothing: what it replaced may have come and gone meanwhile.
                content.found_at = self.now;
            }
        }
        let last = content.known.saturating_sub(1)..content.known;
        let end_is_there = stretch_of(sample, &last).is_some_and(|bytes| !bytes.is_empty());
        let unread = content.known.saturating_sub(size.max(content.read));
        let (file, at_end) = (content.file, size <= content.read);
        let short = unread > 0 && !end_is_there;
        // What comes after the end of an older copy may be found while that is read.
        let looked_for = short && self.may_hold_more_elsewhere(number, file);
        if looked_for && at_end && self.leave_short_copy(number, todo) {
            return;
        }
        if short && !looked_for {
            self.destroyed(number, unread, Loss::EndCut, todo);
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.known = if end_is_there || looked_for { content.known.max(size) } else { size.max(content.read) };
        content.sure = content.known;
        self.contents.index(number, head);
        let file = self.contents.get(number).map_or(NONE, |content| content.file);
        self.readable(file, todo);
        self.recount(number);
        self.enqueue(number);
        self.time_content(number, CLOSE_AFTER);
    }

    /// The file holds something else: the content is looked for, and the file asked what it holds.
    pub(super) fn other_content(&mut self, number: u32, file: u32, todo: &mut Vec<ToDo>) {
        let names: Vec<(u32, bool, Box<[u8]>)> =
            self.places.names_of(file).map(|name| (name.folder, name.is_matched, name.text.clone())).collect();
        // It stays open until it is known what it holds: until then it may lose its name.
        let packed = self.places.files.get(file).is_some_and(|file| file.packing.is_some());
        if packed || self.contents.get(number).is_some_and(|content| content.flow.is_none()) {
            self.close(number, todo);
        }
        let slot = self.take_slot(number);
        let Some(content) = self.contents.get_mut(number) else { return };
        for (folder, matched, text) in names {
            if !content.traces.contains(&folder) && content.traces.len() < 8 {
                content.traces.push(folder);
            }
            if matched && content.home.is_none() {
                content.home = Some(Box::new((folder, text)));
            }
        }
        (content.file, content.left) = (NONE, file);
        content.confirmed = true;
        content.jump = NO_JUMP;
        content.known = content.read.max(content.sure.min(content.known));
        let home = content.home.as_deref().cloned();
        let heir = content.flow.map(|flow| Heir::new(flow, home, slot, content.read, number));
        if let Some(entry) = self.places.files.get_mut(file) {
            entry.standing = Standing::Unproven;
        }
        if let Some(heir) = heir {
            self.leave_heir(file, heir);
        }
        self.lose(number, todo);
        if self.contents.get(number).is_some_and(|content| content.state != State::Sought) {
            self.look_at_strangers(number);
        }
        if self.places.has_name(file) {
            self.prove(file);
        } else if !self.heir_lost_name(file) {
            self.forget_file_if_bare(file);
        }
    }
}

#[cfg(test)]
mod stories;
