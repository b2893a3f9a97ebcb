//! A file is compared with what begins alike, and with the files in which that is thought to lie.
//! Promises to distinguish a copy from what only begins like it, to check what lies elsewhere before it counts, and that no
//! log stays unknown while an archive that begins like it is read.
//! Leaves the comparison of bytes to `Proof`.

use super::heirs::Heir;
use super::identify::{GROWING, Question, SOON, Stage};
use super::{AGAIN, Job, Tail};
use crate::content::{Content, NO_JUMP, State};
use crate::places::{File, NONE, Standing, seconds};
use crate::proof::{Verdict, WINDOW, Weight, stretch_of};
use crate::seen::Sample;
use crate::todo::{Notice, ToDo};
use std::ops::Range;

/// Bytes that are equal up to a line end before this may be a long header.
const HEADER: u64 = 4 * 1024;

/// So often a comparison is begun anew because its other side moved.
const MOST_ROUNDS: u8 = 8;

/// The last bytes before this end that were not read yet, one window of them.
fn unread_before(end: u64, read: u64) -> Range<u64> {
    end.saturating_sub(WINDOW).max(read)..end
}

impl Tail {
    /// Its beginning is known: which contents begin alike?
    pub(super) fn began(&mut self, mut question: Box<Question>, sample: Sample, todo: &mut Vec<ToDo>) {
        let beginning = stretch_of(&sample, &(0..WINDOW)).unwrap_or_default();
        question.alike = self.contents.alike(beginning);
        question.alike.reverse();
        question.beginning = sample;
        self.next_alike(question, todo);
    }

    pub(super) fn next_alike(&mut self, mut question: Box<Question>, todo: &mut Vec<ToDo>) {
        while let Some(number) = question.alike.pop() {
            let Some(content) = self.contents.get(number).filter(|content| content.file != question.file) else {
                continue;
            };
            let size = self.places.files.get(question.file).map_or(0, |file| file.size);
            let mut ranges = content.proof.ranges(content.read, 3);
            if question.packing.is_none() && size < content.read && size > 0 {
                ranges.push(size.saturating_sub(WINDOW)..size);
            }
            question.tail = self.unread_tail(content, question.packing.is_none().then_some(size));
            if let Some(tail) = &question.tail {
                ranges.push(tail.clone());
            }
            if question.packing.is_some() {
                ranges.extend(question.ends(content.read).map(|end| end..end + 1));
            }
            ranges.sort_by_key(|range| (range.start, range.end));
            question.stage = Stage::Compare(number);
            return self.ask_file(question, ranges, todo);
        }
        self.conclude(question, todo);
    }

    /// The last bytes that both have, where they were not read of the content yet: compared directly.
    fn unread_tail(&self, content: &Content, size: Option<u64>) -> Option<Range<u64>> {
        let plain = self.places.files.get(content.file).filter(|file| file.packing.is_none())?;
        let end = size.unwrap_or(u64::MAX).min(plain.size);
        (end > content.read).then(|| unread_before(end, content.read))
    }

    /// Whether nothing that has a name is known to hold the content. Where it lies in a file that was cut, that will be another
    /// content's once everything that was read is settled, which may take as long as the service is away.
    fn is_placeless(&self, content: &Content) -> bool {
        !self.places.has_name(content.file) || content.is_cut()
    }

    pub(super) fn compare(&mut self, mut question: Box<Question>, number: u32, sample: Sample, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return self.next_alike(question, todo) };
        let now = seconds(self.now);
        let growing = self.places.files.get(question.file).is_some_and(|file| now < file.changed_at + GROWING);
        let placeless = self.is_placeless(content);
        question.size = if question.packing.is_some() {
            let goes_on = |end: &u64| stretch_of(&sample, &(*end..*end + 1)).is_some_and(|next| !next.is_empty());
            sample.end.or_else(|| question.ends(content.read).find(goes_on).map(|end| end + 1))
        } else {
            Some(sample.status.size)
        };
        let verdict = content.proof.against(content.read, &sample);
        match verdict {
            Verdict::Same(weight) if placeless && weight >= Weight::Fair => {
                let open = content.slot != NONE;
                if self.read_on(number) {
                    return self.put_off(&question, AGAIN / 10);
                }
                let Some(content) = self.contents.get(number) else { return self.next_alike(question, todo) };
                let longer = question.size.is_some_and(|size| size > content.read);
                if open && !longer {
                    return self.copy(&question, number);
                }
                self.drop_question(&question);
                return self.adopt(number, question.file, &sample, todo);
            }
            Verdict::Same(Weight::Strong) => {
                let known = question.tail.as_ref().map_or(0, |tail| tail.end);
                let end = sample.end.filter(|end| content.read < *end && *end < known);
                question.sample = sample;
                let Some(end) = end else { return self.ask_place(question, number, todo) };
                // It ends before what is known of the content and was not read yet.
                let tail = unread_before(end, content.read);
                question.tail = Some(tail.clone());
                question.stage = Stage::Tail(number);
                let mut ranges = content.proof.ranges(content.read, 3);
                ranges.extend([tail, end..end + 1]);
                ranges.sort_by_key(|range| (range.start, range.end));
                return self.ask_file(question, ranges, todo);
            }
            Verdict::Same(_) => {
                question.covers = if placeless { number } else { question.covers };
                question.doubt = question.doubt.max(content.read).max(u64::from(content.proof.head.length));
            }
            Verdict::Prefix { diverged: false, .. } if !placeless => {
                question.sample = sample;
                let Some(end) = question.size.filter(|_| question.packing.is_some()) else {
                    return self.ask_place(question, number, todo);
                };
                question.stage = Stage::Tail(number);
                let mut ranges = content.proof.ranges(content.read, 3);
                ranges.push(end.saturating_sub(WINDOW)..end);
                ranges.sort_by_key(|range| (range.start, range.end));
                return self.ask_file(question, ranges, todo);
            }
            Verdict::Prefix { diverged: false, .. } if growing => return self.put_off(&question, AGAIN / 2),
            Verdict::Prefix { .. } => self.note_prefix(&mut question, number, &sample),
            // More of it was read meanwhile.
            Verdict::Need(_) => return self.compare_once_more(question, number, todo),
            Verdict::Other => {}
        }
        self.next_alike(question, todo);
    }

    /// What is known of the content has changed since it was compared.
    pub(super) fn compare_once_more(&mut self, mut question: Box<Question>, number: u32, todo: &mut Vec<ToDo>) {
        question.rounds += 1;
        if question.rounds > MOST_ROUNDS {
            return self.put_off(&question, AGAIN);
        }
        question.alike.push(number);
        self.next_alike(question, todo);
    }

    /// It holds what a content holds that is thought to lie elsewhere: does it?
    pub(super) fn ask_place(&mut self, mut question: Box<Question>, number: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return self.next_alike(question, todo) };
        let Some((file, path)) = self.places.files.get(content.file).zip(self.places.path_of(content.file)) else {
            // It has lost its place since it was compared.
            return self.compare_once_more(question, number, todo);
        };
        let packing = file.packing;
        let shorter = question.size.is_some_and(|size| size < content.read);
        if !shorter && packing.is_some() && !content.at_end {
            let holds_all = question.size.is_some_and(|size| size >= content.known);
            if question.packing.is_none() && holds_all && self.is_log_of(question.file, content.file) {
                self.drop_question(&question);
                return self.read_log_first(number, question.file, &question.sample, todo);
            }
            if content.state != State::Finished && !content.waits_to_settle() {
                // It is compared when all of that was read.
                return self.put_off(&question, AGAIN / 4);
            }
        }
        if !shorter && (packing.is_some() || content.state == State::Finished && content.is_settled()) {
            // An archive does not change under its name, and nothing more comes of what is finished: unless it goes on
            // in this file.
            let longer = question.size.is_some_and(|size| size > content.read);
            if !longer {
                return self.copy(&question, number);
            }
            self.drop_question(&question);
            let sample = std::mem::take(&mut question.sample);
            return self.adopt(number, question.file, &sample, todo);
        }
        let mut ranges = content.proof.ranges(content.read, 3);
        if let Some(size) = question.size.filter(|size| *size < content.read) {
            ranges.push(size.saturating_sub(WINDOW)..size);
        }
        if let Some(tail) = &question.tail {
            ranges.push(tail.clone());
        }
        ranges.sort_by_key(|range| (range.start, range.end));
        if packing.is_some() && self.decoders >= self.settings.limits.decoders {
            return self.wait_for_decoder(&question);
        }
        question.stage = Stage::Place(number);
        question.place_packing = packing;
        self.samples += 1;
        self.decoders += usize::from(packing.is_some());
        let ticket = self.ask(Job::Identify(question));
        todo.push(ToDo::Sample { ticket, slot: None, path, packing, ranges });
    }

    pub(super) fn place_answered(
        &mut self,
        mut question: Box<Question>,
        number: u32,
        sample: &Sample,
        todo: &mut Vec<ToDo>,
    ) {
        let Some(content) = self.contents.get(number) else { return self.next_alike(question, todo) };
        let same_file = self.places.files.get(content.file).is_some_and(|file| file.key == sample.status.key);
        let verdict = content.proof.against(content.read, sample);
        let holds = matches!(verdict, Verdict::Same(_));
        question.rounds += 1;
        if question.rounds > MOST_ROUNDS {
            return self.put_off(&question, AGAIN);
        }
        if matches!(verdict, Verdict::Need(_)) {
            question.alike.push(number);
            return self.next_alike(question, todo);
        }
        let cut = |file: &File| question.packing.is_none() && question.size.is_some_and(|size| file.size < size);
        if self.places.files.get(question.file).is_some_and(cut) {
            // It was cut since it was asked, and what it held may lie only in that place by now.
            return self.put_off(&question, SOON);
        }
        if same_file && !holds && sample.packed {
            return self.next_alike(question, todo);
        }
        if !same_file || !holds {
            let folder = self.places.files.get(content.file).map(|file| file.last_folder);
            if same_file {
                self.checked(number, sample, todo);
            } else if let Some(folder) = folder {
                self.list_in_turn(folder, false);
            }
            // Compared anew, once it is known where the content lies.
            return self.put_off(&question, SOON);
        }
        let both_have = if sample.packed { 0 } else { question.size.unwrap_or(0).min(sample.status.size) };
        if question.tail.is_none() && both_have > content.read {
            // The place was thought to end where reading does: what both have behind that was not compared.
            if let Some(file) = self.places.files.get_mut(content.file) {
                file.size = sample.status.size;
            }
            if let Some(content) = self.contents.get_mut(number) {
                content.known = content.known.max(sample.status.size);
            }
            self.recount(number);
            self.enqueue(number);
            return self.compare_once_more(question, number, todo);
        }
        let shorter = question.size.is_some_and(|size| size < content.read);
        let differs = question.tail.as_ref().is_some_and(|tail| {
            let (here, there) = (stretch_of(&question.sample, tail), stretch_of(sample, tail));
            here.is_none_or(<[u8]>::is_empty) || here != there
        });
        if !shorter && differs {
            let sample = std::mem::take(&mut question.sample);
            self.note_prefix(&mut question, number, &sample);
            return self.next_alike(question, todo);
        }
        if !shorter {
            let longer = question.size.is_some_and(|size| size > sample.status.size);
            let at_least = question.packing.is_some() && question.sample.end.is_none();
            if at_least && !longer {
                // It has grown since the archive was asked for a byte behind it.
                return self.put_off(&question, AGAIN / 4);
            }
            let holds_all = question.size.is_some_and(|size| size >= sample.status.size.max(content.known));
            if holds_all && question.packing.is_none() && self.is_log_of(question.file, content.file) {
                // It is the log itself that goes on.
                self.drop_question(&question);
                return self.adopt(number, question.file, &question.sample, todo);
            }
            return if longer { self.longer_copy(question, number, todo) } else { self.copy(&question, number) };
        }
        let end = question.size.unwrap_or(0);
        let range = end.saturating_sub(WINDOW)..end;
        let (here, there) = (stretch_of(&question.sample, &range), stretch_of(sample, &range));
        let equal = here.is_some() && here == there;
        let weight = here.map_or(Weight::Doubt, |tail| content.proof.weight_of_tail(tail, end));
        if equal && weight == Weight::Strong {
            return self.copy(&question, number);
        }
        if equal {
            question.doubt = question.doubt.max(end);
        } else {
            let sample = std::mem::take(&mut question.sample);
            self.note_prefix(&mut question, number, &sample);
        }
        self.next_alike(question, todo);
    }

    /// It is equal to a content up to a line end, and goes on differently: it is read from there, if that is more than
    /// any header.
    fn note_prefix(&self, question: &mut Question, number: u32, sample: &Sample) {
        let Some(content) = self.contents.get(number) else { return };
        match content.proof.line_upto(content.settled, sample) {
            Some((end, Weight::Strong)) if end >= HEADER => question.from = question.from.max(Some((number, end))),
            Some((end, Weight::Strong)) => question.doubt = question.doubt.max(end),
            _ => {
                let least = u64::from(self.is_placeless(content));
                question.doubt = question.doubt.max(Self::unsettled_upto(content, sample)).max(least);
            }
        }
    }

    /// How far the sample is equal to what was read of the content, and not settled yet: where that goes wrong, it is still to
    /// be had there, so the file is read from its beginning.
    fn unsettled_upto(content: &Content, sample: &Sample) -> u64 {
        match content.proof.line_upto(content.read, sample) {
            Some((end, Weight::Strong)) => end,
            _ => 0,
        }
    }

    /// A copy that holds more than what it is a copy of: what it is a copy of may just have grown, too.
    fn longer_copy(&mut self, mut question: Box<Question>, number: u32, todo: &mut Vec<ToDo>) {
        let place = self.contents.get(number).map_or(NONE, |content| content.file);
        if self.may_go_on_elsewhere(number, place) {
            self.drop_question(&question);
            let sample = std::mem::take(&mut question.sample);
            return self.adopt(number, question.file, &sample, todo);
        }
        let Some(file) = self.places.files.get_mut(question.file) else { return self.drop_question(&question) };
        let content = self.contents.get_mut(number);
        let unread = content.is_some_and(|content| {
            // It is to be read for this, and does not wait.
            content.ahead = false;
            content.unread() > 0
        });
        file.attempts += u8::from(!unread);
        if unread || file.attempts <= 3 {
            return self.put_off(&question, AGAIN / 2);
        }
        let Some(content) = self.contents.get(number) else { return self.next_alike(question, todo) };
        match content.proof.line_upto(content.settled, &question.sample) {
            Some((end, Weight::Strong)) => question.from = question.from.max(Some((number, end))),
            _ => question.doubt = question.doubt.max(Self::unsettled_upto(content, &question.sample)),
        }
        self.next_alike(question, todo);
    }

    /// The file holds a content that lies elsewhere, too: it is another place of it, and never read on its own.
    fn copy(&mut self, question: &Question, number: u32) {
        let changed = |file: &File| question.packing.is_none() && question.size.is_some_and(|size| file.size != size);
        if self.places.files.get(question.file).is_some_and(changed) && self.may_wait(question.file) {
            // It was written to while it was asked: it may be the log that goes on.
            return self.put_off(question, SOON);
        }
        self.drop_question(question);
        let Some(file) = self.places.files.get_mut(question.file) else { return };
        file.standing = Standing::Holds(number);
        file.attempts = 0;
        self.heirs.rest(question.file);
        if let Some(content) = self.contents.get_mut(number) {
            content.copies.push(question.file);
        }
        self.mark_dirty(number);
    }

    /// An archive of which not all was read begins like the log: that is read first, lest it is cut or put away while nothing
    /// is known of it. What the archive holds is asked again, compared with the log.
    fn read_log_first(&mut self, number: u32, log: u32, sample: &Sample, todo: &mut Vec<ToDo>) {
        let archive = self.contents.get(number).map_or(NONE, |content| content.file);
        self.adopt(number, log, sample, todo);
        if let Some(content) = self.contents.get_mut(number) {
            content.copies.take_out(archive);
        }
        self.prove(archive);
    }

    /// The content lies in this file now: it is read on there.
    pub(super) fn adopt(&mut self, number: u32, file: u32, sample: &Sample, todo: &mut Vec<ToDo>) {
        let Some(entry) = self.places.files.get_mut(file) else { return };
        entry.standing = Standing::Holds(number);
        entry.attempts = 0;
        let (packing, size) = (entry.packing, entry.size);
        self.end_heir(file);
        self.look_on(number, file);
        let sought = self.may_go_on_elsewhere(number, file);
        let home = self.home_without_name(number, file);
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.slot != NONE {
            self.close(number, todo);
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        let old = std::mem::replace(&mut content.file, file);
        content.home = content.home.take().or(home);
        content.state = State::Followed;
        // As far as its name is concerned, it has come just now.
        content.found_at = self.now;
        content.traces.clear();
        content.confirmed = true;
        content.at_end = false;
        content.unlinked = false;
        let was_cut = content.is_cut();
        content.jump = NO_JUMP;
        if content.proof.frontier(content.read).is_none() {
            content.proof.take_frontier(sample, content.read);
        }
        let there = if packing.is_some() { content.read } else { size.max(content.read) };
        // What it was found in may be an older copy.
        content.known = if sought { content.known.max(there) } else { there };
        content.sure = content.known;
        if packing.is_some() && sample.packed && sample.end == Some(content.read) {
            (content.at_end, content.state) = (true, State::Finished);
        }
        let recovered = std::mem::take(&mut content.destroyed);
        let flow = content.flow;
        if self.places.has_name(old) && was_cut {
            // What came behind the cut is nobody else's.
            let home = self.contents.get(number).and_then(|content| content.home.as_deref().cloned());
            if let Some(flow) = flow {
                self.leave_heir(old, Heir::new(flow, home, NONE, 0, NONE));
            }
            self.prove(old);
        } else if self.places.has_name(old)
            && let Some(content) = self.contents.get_mut(number)
        {
            content.copies.push(old);
        }
        if packing.is_none() {
            self.goes_on_in(number, size);
        }
        self.leave_for_copy(number, old);
        if !sought {
            self.end_seek(number);
        }
        if let (Some(flow), Some(path), true) = (flow, self.places.path_of(file), recovered > 0) {
            todo.push(ToDo::Say(Notice::Recovered { flow, path, bytes: recovered }));
        }
        self.mark_dirty(number);
        self.recount(number);
        self.enqueue(number);
    }
}

#[cfg(test)]
mod stories;
