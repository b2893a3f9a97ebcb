//! Turns: whose bytes are read next, and whether what was read is what was meant.
//! Promises that bytes handed over follow those that were handed over before, whatever was done to the file meanwhile.
//! Leaves whether a file holds a content to `Proof`.

use super::heirs::Heir;
use super::{AGAIN, AT_A_TIME, BLOCKED, CLOSE_AFTER, Due, Job, SAVES_APART, Tail};
use crate::content::{Content, NEVER, NO_JUMP, State};
use crate::places::{File, NONE, Standing};
use crate::proof::{Proof, Verdict, WINDOW, Weight, stretch_of};
use crate::row::Counted;
use crate::seen::{ArchiveFault, Failure, FlowId, Sample, Slot, Status};
use crate::todo::{Again, Loss, Notice, ToDo};
use datalake_base::record::{Origin, Position};
use std::ops::Range;

/// A file without a name that is open, at its end, and quiet for so long gets no further byte: deleted, and moved away.
const DELETED_ENDS: u64 = 10_000;
const MOVED_ENDS: u64 = 180_000;

/// A file without a name is looked at so often: no event tells of it.
const ORPHAN_POLL: u64 = 1_000;

/// How many files of a flow are opened in one step.
const OPENS_AT_A_TIME: usize = 16;

/// A file that says now this and now that is looked at so often without a pause.
const MOST_DOUBTS: u8 = 4;

/// No more steps than this does a file that had a turn wait for others to have their first.
const MOST_STEPS_BEHIND: u32 = 512;

/// No read asks for less: the whole beginning is compared at once.
const LEAST_READ: u32 = 2 * WINDOW as u32;

/// What is sought holds back what follows it for so long.
const HOLD_BACK: u64 = 3_000;

impl Tail {
    /// Puts the content in line for a turn, when it wants one.
    pub(super) fn enqueue(&mut self, number: u32) {
        if !self.wants_turn(number) {
            return;
        }
        let Some(content) = self.contents.get_mut(number) else { return };
        let Some(flow) = content.flow else { return };
        if std::mem::replace(&mut content.queued, true) {
            return;
        }
        let to_open = content.slot == NONE && content.confirmed;
        if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
            if to_open {
                flow.closed.push_back(number);
            } else {
                flow.ready.push_back(number);
                self.enqueued |= !flow.blocked && flow.reading.is_none();
            }
        }
    }

    /// There was no room for what it has, or no slot: its turn is still the next.
    pub(super) fn keep_turn(&mut self, number: u32) {
        self.enqueue(number);
        let flow = self.contents.get(number).and_then(|content| content.flow);
        let Some(flow) = flow.and_then(|flow| self.flows.get_mut(usize::from(flow.0))) else { return };
        for queue in [&mut flow.ready, &mut flow.closed] {
            if queue.back() == Some(&number) {
                queue.rotate_right(1);
            }
        }
    }

    /// Whether bytes are known to wait, or its file must be looked at.
    fn wants_turn(&self, number: u32) -> bool {
        let Some(content) = self.contents.get(number) else { return false };
        let Some(file) = self.places.files.get(content.file) else { return false };
        let open = self.flow(content.flow).is_some_and(|flow| !flow.gone);
        let reachable = content.slot != NONE || (self.places.has_name(content.file) && !file.remembered);
        let more = match file.packing {
            Some(_) => !content.at_end,
            None => content.unread() > 0,
        };
        let waits = content.jump != NO_JUMP || content.waits_to_settle();
        open && reachable
            && content.state == State::Followed
            && !content.checking
            && !content.opening
            && !waits
            && (more || !content.confirmed || content.poll)
    }

    fn flow(&self, flow: Option<FlowId>) -> Option<&super::Flow> {
        self.flows.get(usize::from(flow?.0))
    }

    /// Gives the flow its turn: one read at a time.
    pub(super) fn pump(&mut self, flow: FlowId, todo: &mut Vec<ToDo>) {
        let busy = |tail: &Self| tail.flow(Some(flow)).is_none_or(|flow| flow.blocked || flow.reading.is_some());
        let waiting = self.flow(Some(flow)).map_or(0, |flow| flow.ready.len());
        let mut others_first = None;
        for _ in 0..waiting.min(AT_A_TIME) {
            if busy(self) || self.starved {
                return;
            }
            let Some(number) = self.flows[usize::from(flow.0)].ready.pop_front() else { return };
            if let Some(content) = self.contents.get_mut(number) {
                content.queued = false;
            }
            if !self.wants_turn(number) {
                continue;
            }
            if self.is_held_back(number) {
                self.wait_in_line(number);
                self.at(BLOCKED * 5, Due::Flow(flow));
                continue;
            }
            if self.contents.get(number).is_some_and(|content| !content.confirmed) {
                if let Some(content) = self.contents.get_mut(number) {
                    content.checking = true;
                }
                self.checks.push_back(number);
            } else if self.contents.get(number).is_some_and(|content| content.slot == NONE) {
                self.enqueue(number);
            } else if self.contents.get(number).is_some_and(|content| content.served)
                && *others_first.get_or_insert_with(|| self.first_turns_come(flow))
            {
                self.wait_in_line(number);
            } else {
                self.read(number, flow, todo);
            }
        }
    }

    /// Whether files of the flow are on their way to their first turn: those that had one wait for them, for a number of
    /// steps. So one huge file is not read on while a thousand small ones are asked what they hold, and opened.
    fn first_turns_come(&mut self, flow: FlowId) -> bool {
        let comes = |job: &Job| match job {
            Job::Open { content, .. } => self.contents.get(*content).is_some_and(|content| content.flow == Some(flow)),
            Job::Identify(question) => question.packing.is_none() && self.flow_of_file(question.file) == Some(flow),
            _ => false,
        };
        let come = self.jobs.values().any(comes);
        let Some(line) = self.flows.get_mut(usize::from(flow.0)) else { return false };
        line.waited = if come && line.waited < MOST_STEPS_BEHIND { line.waited + 1 } else { 0 };
        line.waited > 0
    }

    /// Puts it back in line: it has to wait for something else.
    fn wait_in_line(&mut self, number: u32) {
        let before = self.enqueued;
        self.enqueue(number);
        self.enqueued = before;
    }

    /// Whether something older is to be handed over first.
    fn is_held_back(&mut self, number: u32) -> bool {
        if self.contents.get(number).is_some_and(|content| content.ahead && self.older_are_asked(content.file)) {
            return true;
        }
        if let Some(content) = self.contents.get_mut(number) {
            content.ahead = false;
        }
        let Some(content) = self.contents.get(number).filter(|content| content.after != NONE) else { return false };
        let (after, now) = (content.after, self.now);
        let holds = |before: &Content| match before.state {
            State::Followed => self.wants_turn(after) || before.checking || before.opening,
            State::Sought => {
                let since = self.seeks.get(&after).map_or(now, |seek| seek.since);
                before.unread() > 0 && now.ms_since(since) < HOLD_BACK
            }
            State::Finished => false,
        };
        let refused = |before: &Content| self.places.files.get(before.file).is_some_and(|file| file.refused);
        // What is open without a name stays open until it is read: if it kept the last slots from what it waits for, both
        // would wait for ever.
        let keeps = content.slot != NONE && !self.places.has_name(content.file);
        let no_slot = |before: &Content| keeps && before.slot == NONE && self.slots_in_use() >= self.most_open;
        if self.contents.get(after).is_some_and(|before| holds(before) && !refused(before) && !no_slot(before)) {
            return true;
        }
        if let Some(content) = self.contents.get_mut(number) {
            content.after = NONE;
        }
        false
    }

    /// Opens what waits for a turn, also while its flow has no room: so no rotation can take it away unseen.
    pub(super) fn open_waiting(&mut self, flow: FlowId, todo: &mut Vec<ToDo>) {
        if self.has_no_slot(Some(flow)) {
            return;
        }
        let waiting = self.flow(Some(flow)).map_or(0, |flow| flow.closed.len());
        for _ in 0..waiting.min(OPENS_AT_A_TIME) {
            let Some(number) = self.flows[usize::from(flow.0)].closed.pop_front() else { return };
            if let Some(content) = self.contents.get_mut(number) {
                content.queued = false;
            }
            if !self.wants_turn(number) || self.contents.get(number).is_some_and(|content| content.slot != NONE) {
                self.enqueue(number);
                continue;
            }
            let held_back = self.is_held_back(number);
            if self.open(number, !held_back, todo) {
                continue;
            }
            self.at(BLOCKED * 5, Due::Work);
            if self.has_no_slot(Some(flow)) {
                return self.keep_turn(number);
            }
            // It waits for something else than those behind it: a decoder, what is older.
            self.enqueue(number);
            if !held_back {
                return;
            }
        }
    }

    /// Opens the file of the content. `false` when that must wait.
    fn open(&mut self, number: u32, for_turn: bool, todo: &mut Vec<ToDo>) -> bool {
        let Some(content) = self.contents.get(number) else { return true };
        let packing = self.places.files.get(content.file).and_then(|file| file.packing);
        let Some(path) = self.places.path_of(content.file) else { return true };
        // A decoder is for what has its turn: held by what waits for something older, that would wait for a decoder.
        if self.starved || (packing.is_some() && (!for_turn || self.decoders >= self.settings.limits.decoders)) {
            self.opens_wait |= packing.is_some();
            return false;
        }
        let flow = content.flow;
        if self.slots_in_use() >= self.most_open && !(for_turn && self.close_for(flow, todo)) {
            return false;
        }
        let slot = self.free_slots.pop().unwrap_or(self.slots.len() as u32);
        if slot as usize == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot as usize] = Some((number, packing.is_some()));
        self.decoders += usize::from(packing.is_some());
        if let Some(content) = self.contents.get_mut(number) {
            content.opening = true;
        }
        let ticket = self.ask(Job::Open { content: number, slot });
        todo.push(ToDo::Open { ticket, slot: Slot(slot), path, packing });
        true
    }

    /// Whether something was closed for a file of the flow. Where nothing can be, hundreds of open files are not looked through
    /// again before one of them was read or compared, a question failed, a slot is free, or some time has passed.
    fn close_for(&mut self, flow: Option<FlowId>, todo: &mut Vec<ToDo>) -> bool {
        if self.has_no_slot(flow) {
            return false;
        }
        let closed = self.close_another(flow, todo);
        let turnover = self.turnover;
        if let (false, Some(line)) = (closed, flow.and_then(|flow| self.flows.get_mut(usize::from(flow.0)))) {
            line.no_slot = turnover;
            self.at(BLOCKED * 5, Due::Slots);
        }
        closed
    }

    fn has_no_slot(&self, flow: Option<FlowId>) -> bool {
        self.flow(flow).is_some_and(|line| line.no_slot == self.turnover)
    }

    /// Closes the file that was opened first and has nothing to read, or else one that had its turn, waits for another,
    /// or is another flow's; not one without a name.
    pub(super) fn close_another(&mut self, flow: Option<FlowId>, todo: &mut Vec<ToDo>) -> bool {
        if self.close_heir(todo) {
            return true;
        }
        let mut busy = None;
        for _ in 0..self.opened.len() {
            let Some(number) = self.opened.pop_front() else { break };
            let Some(content) = self.contents.get(number).filter(|content| content.slot != NONE) else { continue };
            if self.places.has_name(content.file) && !self.is_reading(number) {
                if !self.wants_turn(number) {
                    self.close(number, todo);
                    self.rest(number, todo);
                    return true;
                }
                let may_wait = self.contents.get(number).is_some_and(|content| content.served || content.flow != flow);
                if may_wait || self.is_held_back(number) {
                    busy = busy.or(Some(number));
                }
            }
            self.opened.push_back(number);
        }
        let Some(number) = busy else { return false };
        self.close(number, todo);
        true
    }

    /// Whether an answer about its open file is on the way.
    fn is_reading(&self, number: u32) -> bool {
        self.contents.get(number).is_some_and(|content| content.reading || content.checking)
    }

    pub(super) fn was_opened(&mut self, number: u32, slot: u32, status: &Status, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else {
            todo.push(ToDo::Close { slot: Slot(slot) });
            return self.free_slot(slot);
        };
        content.opening = false;
        let file = content.file;
        let expected = self.places.files.get(file).map(|file| file.key);
        if expected != Some(status.key) || content.slot != NONE || content.state != State::Followed {
            // The name leads elsewhere by now, or it is not wanted any more.
            todo.push(ToDo::Close { slot: Slot(slot) });
            self.free_slot(slot);
            if let Some(folder) = self.places.files.get(file).map(|file| file.last_folder) {
                self.list_in_turn(folder, false);
            }
            self.time_content(number, AGAIN / 4);
            if !self.places.has_name(file) && self.contents.get(number).is_some_and(|c| c.state == State::Followed) {
                self.lose(number, todo);
            }
            return;
        }
        content.slot = slot;
        content.served = false;
        self.opened.push_back(number);
        self.readable(file, todo);
        self.enqueue(number);
        self.time_content(number, CLOSE_AFTER);
    }

    fn read(&mut self, number: u32, flow: FlowId, todo: &mut Vec<ToDo>) {
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

    /// Whether the file still holds the content must be found out before anything else.
    fn doubt(&mut self, number: u32, todo: &mut Vec<ToDo>) {
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

    pub(super) fn content_failed(&mut self, number: u32, failure: Failure, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get(number) else { return };
        let (file, flow) = (content.file, content.flow);
        if content.slot == NONE && !self.places.has_name(file) && content.state == State::Followed {
            return self.lose(number, todo);
        }
        match failure {
            Failure::NoResource => self.time_content(number, AGAIN),
            Failure::NoDecoder => self.time_content(number, AGAIN / 4),
            Failure::Stale => {
                self.close(number, todo);
                self.time_content(number, AGAIN);
            }
            Failure::Missing => {
                if let Some(folder) = self.places.files.get(file).map(|file| file.last_folder) {
                    self.list_in_turn(folder, false);
                }
                self.time_content(number, AGAIN);
            }
            Failure::Archive(ArchiveFault::NotWhole) => {
                self.close(number, todo);
                let Some(file) = self.places.files.get_mut(file) else { return };
                file.attempts += 1;
                if file.attempts > 6 {
                    return self.skip_rest(number, ArchiveFault::NotWhole, todo);
                }
                self.time_content(number, AGAIN);
            }
            Failure::Archive(fault) => self.skip_rest(number, fault, todo),
            Failure::Denied | Failure::Refused | Failure::System { .. } => {
                self.refuse(file, flow, failure, todo);
                self.time_content(number, super::REFUSED_AGAIN);
            }
        }
    }

    /// The rest of an archive is not read.
    fn skip_rest(&mut self, number: u32, fault: ArchiveFault, todo: &mut Vec<ToDo>) {
        let Some(content) = self.contents.get_mut(number) else { return };
        let file = content.file;
        content.at_end = true;
        self.skip_archive(file, fault, todo);
        if let Some(entry) = self.places.files.get_mut(file) {
            entry.standing = Standing::Holds(number);
        }
        self.finish(number, todo);
    }

    /// Lets time pass for the content, once.
    pub(super) fn time_content(&mut self, number: u32, milliseconds: u64) {
        let Some(content) = self.contents.get_mut(number) else { return };
        let at = self.now.plus_ms(milliseconds);
        if at < content.timed {
            content.timed = at;
            self.at(milliseconds, Due::Content(number));
        }
    }

    /// What time alone brings about.
    pub(super) fn time_passed(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let now = self.now;
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.timed > now {
            return;
        }
        content.timed = NEVER;
        self.seek_on(number, todo);
        if self.contents.get(number).is_none_or(|content| content.state != State::Followed) {
            return;
        }
        if self.wants_turn(number) {
            self.enqueue(number);
            return;
        }
        let Some(content) = self.contents.get(number) else { return };
        let quiet = now.ms_since(content.touched);
        let owned = content.flow.is_some_and(|flow| self.is_owned(flow));
        let (unlinked, open) = (content.unlinked, content.slot != NONE);
        let busy = content.checking || content.opening || self.is_reading(number);
        if !self.places.has_name(content.file) {
            if !open {
                return;
            }
            if self.contents.get(number).is_some_and(|content| content.jump != NO_JUMP) {
                return self.time_content(number, ORPHAN_POLL);
            }
            let over = match (unlinked, owned) {
                (true, true) => 0,
                (true, false) => DELETED_ENDS,
                (false, _) => MOVED_ENDS,
            };
            if quiet >= over && content.unread() == 0 && !busy && content.polled {
                return self.end_orphan(number, todo);
            }
            if let Some(content) = self.contents.get_mut(number) {
                content.poll = true;
            }
            self.enqueue(number);
            return self.time_content(number, ORPHAN_POLL);
        }
        if quiet < CLOSE_AFTER || busy {
            return self.time_content(number, CLOSE_AFTER);
        }
        let (file, settled) = (content.file, content.settled);
        if open {
            self.close(number, todo);
        }
        self.rest(number, todo);
        let live = self.is_live(file);
        let Some(content) = self.contents.get_mut(number) else { return };
        content.proof.thin(settled, true);
        if !live && content.origin.is_some() && !content.ended {
            if quiet >= MOVED_ENDS {
                return self.say_end(number, todo);
            }
            self.time_content(number, MOVED_ENDS - quiet + SAVES_APART);
        }
    }

    /// A file without a name was read to its end.
    fn end_orphan(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        self.say_end(number, todo);
        self.close(number, todo);
        let files = &self.places.files;
        let longer = |content: &Content| {
            let more = |file: &File| file.packing.is_none() && file.size > content.read;
            content.copies.iter().any(|copy| files.get(*copy).is_some_and(more))
        };
        let goes_on = self.contents.get(number).is_some_and(longer);
        let Some(content) = self.contents.get_mut(number) else { return };
        if content.copies.is_empty() {
            return self.finish(number, todo);
        }
        if !goes_on {
            // Where copies of it lie is known; none of them is read.
            content.state = State::Finished;
        }
        content.known = content.read;
        self.lose(number, todo);
    }
}

#[cfg(test)]
mod stories;
