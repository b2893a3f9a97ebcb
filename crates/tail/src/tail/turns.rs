//! Turns: whose bytes are read next, and which files are open.
//! Promises that files are read in the order of their rotation, and that none waits for ever behind others.
//! Leaves what a read brings to `read`.

use super::{AGAIN, AT_A_TIME, BLOCKED, CLOSE_AFTER, Due, Job, Tail};
use crate::content::{Content, NO_JUMP, State};
use crate::places::NONE;
use crate::seen::{FlowId, Slot, Status};
use crate::todo::ToDo;

/// How many files of a flow are opened in one step.
const OPENS_AT_A_TIME: usize = 16;

/// No more steps than this does a file that had a turn wait for others to have their first.
const MOST_STEPS_BEHIND: u32 = 512;

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
    pub(super) fn wants_turn(&self, number: u32) -> bool {
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
    pub(super) fn is_reading(&self, number: u32) -> bool {
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
}

#[cfg(test)]
mod stories;
