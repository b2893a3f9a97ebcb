//! What a read brings: bytes that are handed over, a beginning, an end, a hole.
//! Promises that bytes handed over follow those that were handed over before, whatever was done to the file meanwhile.
//! Leaves whose turn it is to `turns`, and the comparison with what was read before to `check`.

use super::{BLOCKED, CLOSE_AFTER, Due, Job, Tail};
use crate::content::{NO_JUMP, State};
use crate::places::{NONE, Standing};
use crate::proof::WINDOW;
use crate::row::Counted;
use crate::seen::{FlowId, Slot, Status};
use crate::todo::{Again, Loss, Notice, ToDo};
use datalake_base::record::{Origin, Position};

/// No read asks for less: the whole beginning is compared at once.
const LEAST_READ: u32 = 2 * WINDOW as u32;

impl Tail {
    pub(super) fn read(&mut self, number: u32, flow: FlowId, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        content.reading = true;
        let overlap = content.read.min(WINDOW);
        let (slot, from) = (content.slot, content.read - overlap);
        let most = self.settings.limits.read.max(LEAST_READ) + overlap as u32;
        let ticket = self.ask(Job::Read { content: number, flow, overlap });
        self.flows[usize::from(flow.0)].reading = Some(ticket);
        todo.push(ToDo::Read { ticket, flow, slot: Slot(slot), from, overlap: overlap as u32, most });
    }

    pub(super) fn read_done(&mut self, number: u32, flow: FlowId) {
        if let Some(content) = self.contents.get_mut(number) {
            content.reading = false;
        }
        if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
            flow.reading = None;
        }
    }

    pub(super) fn block(&mut self, flow: FlowId) {
        if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
            flow.blocked = true;
        }
        self.at(BLOCKED, Due::Flow(flow));
    }

    /// The bytes that were asked for.
    #[expect(clippy::too_many_arguments, reason = "the fields of one answer")]
    pub(super) fn was_read(
        &mut self,
        number: u32,
        flow: FlowId,
        overlap: u64,
        bytes: &[u8],
        status: &Status,
        end: bool,
        todo: &mut Vec<ToDo>,
    ) {
        let Some(content) = self.contents.get_mut(number) else { return };
        let packed = self.places.files.get(content.file).is_some_and(|file| file.packing.is_some());
        content.served = true;
        content.unlinked = status.names == 0;
        content.polled = std::mem::take(&mut content.poll);
        let (before, new) = bytes.split_at(bytes.len().min(overlap as usize));
        let cut = !packed && new.is_empty() && status.size < content.read;
        let beginning = if content.read == overlap && bytes.len() >= content.proof.head.length as usize {
            content.proof.begins(bytes)
        } else {
            // A read may be short; a file that is shorter than its beginning is another one.
            packed || content.read > overlap || status.size >= u64::from(content.proof.head.length)
        };
        let other = !beginning || (content.read > 0 && !content.proof.accepts(before, content.read));
        if before.len() < overlap as usize || other || cut {
            return self.doubt(number, todo);
        }
        let from = content.read;
        content.doubts = 0;
        if !new.is_empty() {
            let head = content.proof.keys();
            let knew_line = content.proof.generation != 0;
            let unseen = from == 0 && content.proof.head.length == 0;
            if unseen {
                // Until now there was nothing: what it replaced may have come and gone meanwhile.
                content.found_at = self.now;
            }
            content.proof.advance(from - overlap, from, bytes);
            content.read = from + new.len() as u64;
            content.whole_line = new.ends_with(b"\n");
            content.proof.thin(content.settled, false);
            content.touched = self.now;
            let late = content.origin.is_some() && !knew_line && content.proof.generation != 0;
            if unseen {
                self.say_if_known(number, flow, new, todo);
            }
            self.contents.index(number, head);
            self.hand_over(number, flow, from, before, todo);
            if let Some(content) = self.contents.get(number).filter(|_| late)
                && let Some(origin) = content.origin
            {
                todo.push(ToDo::Generation { origin, generation: content.proof.generation });
            }
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        let (sure, unread) = (content.sure, content.unread());
        content.at_end |= end && packed;
        let cut = !packed && new.is_empty() && sure > from && status.size < from + unread;
        if unread > 0 && (cut || content.at_end) && self.leave_short_copy(number, todo) {
            return;
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.known = match (packed, new.is_empty()) {
            (true, _) if !end => content.known.max(content.read),
            (false, false) => content.known.max(content.read).max(status.size),
            // An empty answer is the end, whatever a size said before.
            _ => content.read,
        };
        content.sure = content.known;
        if cut && unread > 0 {
            self.destroyed(number, unread, Loss::EndCut, todo);
        }
        if end && packed {
            self.close(number, todo);
            self.say_end(number, todo);
            if let Some(content) = self.contents.get_mut(number) {
                content.state = State::Finished;
            }
            self.mark_dirty(number);
        }
        self.recount(number);
        self.enqueue(number);
        self.time_content(number, CLOSE_AFTER);
    }

    /// These are the first bytes of a file that nobody could ask what it holds, as it has no name: if a content begins like
    /// them that was read elsewhere, its lines come twice.
    fn say_if_known(&mut self, number: u32, flow: FlowId, bytes: &[u8], todo: &mut Vec<ToDo>) {
        if self.is_owned(flow) {
            return;
        }
        let read = |other: &u32| self.contents.get(*other).map_or(0, |content| content.read);
        let known = self.contents.alike(bytes).iter().filter(|other| **other != number).map(read).max();
        if let (Some(known @ 1..), Some(content)) = (known, self.contents.get(number)) {
            let (path, bytes) = (self.path_of_content(content), known.min(content.read));
            todo.push(ToDo::Say(Notice::ReadAgain { flow, path, bytes, reason: Again::EqualInDoubt }));
        }
    }

    /// Hands over what was read behind `before`, which ends at `from`. An origin begins with a line: where the one of before
    /// ended within a line, in this life or an earlier one, its first bytes come once more, so that the line is whole.
    fn hand_over(&mut self, number: u32, flow: FlowId, from: u64, before: &[u8], todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return };
        let (known, path) = (content.origin.filter(|_| !content.ended), self.path_of_content(content));
        let skip = match memchr::memrchr(b'\n', before) {
            _ if known.is_some() => before.len(),
            Some(newline) => newline + 1,
            // It is the first line of all.
            None if before.len() as u64 == from => 0,
            None => before.len(),
        };
        let again = (before.len() - skip) as u64;
        let start = from - again;
        let generation = (content.proof.generation != 0).then_some(content.proof.generation);
        let key = self.places.files.get(content.file).map(|file| file.key).unwrap_or_default();
        let origin = known.unwrap_or_else(|| {
            let origin = self.new_origin(number);
            let start = Position(start);
            todo.push(ToDo::Begin { flow, origin, path, file: key, start, generation });
            origin
        });
        todo.push(ToDo::HandOver { flow, origin, start: Position(start), skip });
        if let Some(content) = self.contents.get_mut(number) {
            content.origin = Some(origin);
            content.ended = false;
            content.settled = content.settled.min(start);
            content.delivered = content.delivered.saturating_sub(again);
        }
    }

    /// No further byte comes from its origin.
    pub(super) fn say_end(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if let (Some(flow), Some(origin), false) = (content.flow, content.origin, content.ended) {
            content.ended = true;
            todo.push(ToDo::End { flow, origin });
            self.drop_ended(number);
        }
    }

    /// A content that is settled to the end of a line and is not open needs no origin: the next line begins another. So a flow
    /// keeps nothing of the many logs that are quiet.
    pub(super) fn rest(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return };
        let quiet = content.slot == NONE && !content.opening && content.unread() == 0;
        let over = quiet && content.whole_line && content.is_settled() && !content.ended;
        let (Some(flow), Some(origin), true) = (content.flow, content.origin, over) else { return };
        let skips_header = self.settings.flows.get(usize::from(flow.0)).is_some_and(|flow| flow.skips_header);
        // What was moved away goes on under the name by which it began, for as long as its writer may have it open.
        if skips_header || !self.is_live(content.file) {
            return;
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.origin = None;
        self.origins.remove(&origin.number());
        todo.push(ToDo::End { flow, origin });
    }

    /// Once everything of an origin that ended is settled, more bytes begin another.
    fn drop_ended(&mut self, number: u32) {
        let Some(content) = self.contents.get_mut(number) else { return };
        if !content.ended || !content.is_settled() {
            return;
        }
        if let Some(origin) = content.origin.take() {
            self.origins.remove(&origin.number());
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        content.ended = false;
        let to = std::mem::replace(&mut content.jump, NO_JUMP);
        if to != NO_JUMP {
            if to < content.read {
                return self.go_on_cut(number, to);
            }
            (content.read, content.settled, content.known) = (to, to, content.known.max(to));
            content.confirmed = false;
        }
        self.mark_dirty(number);
        self.recount(number);
        self.enqueue(number);
    }

    /// The file was cut, and holds a shorter content from now on. The longer one is remembered: it may be restored.
    fn go_on_cut(&mut self, number: u32, to: u64) {
        let Some(content) = self.contents.get_mut(number) else { return };
        let (file, flow) = (std::mem::replace(&mut content.file, NONE), content.flow);
        let slot = self.take_slot(number);
        let Some(content) = self.contents.get_mut(number) else { return };
        content.state = State::Finished;
        content.known = content.read;
        let mut proof = content.proof.upto(to);
        proof.cut(to);
        self.mark_dirty(number);
        self.recount(number);
        self.remember_gone(number);
        if !self.places.has_name(file) && slot == NONE {
            // Nobody can read what is left any more.
            return self.forget_file_if_bare(file);
        }
        if let Some(flow) = flow {
            self.new_content(file, flow, to, Some(proof));
        }
        if let Some(Standing::Holds(shorter)) = self.places.files.get(file).map(|file| file.standing)
            && let Some(content) = self.contents.get_mut(shorter)
        {
            content.confirmed = false;
            self.give_slot(shorter, slot);
            self.enqueue(shorter);
        }
    }

    /// The content goes on from another position, once everything that was read is settled.
    pub(super) fn jump(&mut self, number: u32, to: u64, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        content.jump = to;
        if content.origin.is_some() {
            self.say_end(number, todo);
        } else {
            content.ended = true;
            self.drop_ended(number);
        }
    }

    pub(super) fn found_hole(&mut self, number: u32, end: u64, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return };
        let bytes = end.saturating_sub(content.read);
        if let (Some(flow), true) = (content.flow, bytes > 0) {
            todo.push(ToDo::Say(Notice::Hole { flow, path: self.path_of_content(content), bytes }));
            self.jump(number, end, todo);
        }
    }

    /// `filtered` and `quarantined`: bytes that were given up among those that are settled now and were not before.
    pub(super) fn settled(
        &mut self,
        origin: Origin,
        position: u64,
        filtered: u64,
        quarantined: u64,
        todo: &mut Vec<ToDo>,
    ) {
        let Some(number) = self.origins.get(&origin.number()).copied() else { return };
        let Some(content) = self.contents.get_mut(number) else { return };
        let position = position.min(content.read);
        if position <= content.settled {
            return;
        }
        let delivered = (position - content.settled).saturating_sub(filtered + quarantined);
        content.add(Counted { delivered, filtered, quarantined, destroyed: 0 });
        content.settled = position;
        self.drop_ended(number);
        self.rest(number, todo);
        self.mark_dirty(number);
        self.recount(number);
        if self.contents.get(number).is_some_and(|content| content.state == State::Finished) {
            let owned = self.contents.get(number).and_then(|content| content.flow).is_some_and(|f| self.is_owned(f));
            if owned {
                self.forget_if_over(number);
            } else {
                self.remember_gone(number);
            }
        }
    }
}

#[cfg(test)]
mod stories;
