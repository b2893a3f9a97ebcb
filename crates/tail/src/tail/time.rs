//! What time and failures bring about for a content.
//! Promises that nothing waits for ever, and that nothing is closed which may still get bytes.
//! Leaves the search for a content to `seek`.

use super::{AGAIN, CLOSE_AFTER, Due, SAVES_APART, Tail};
use crate::content::{Content, NEVER, NO_JUMP, State};
use crate::places::{File, NONE, Standing};
use crate::seen::{ArchiveFault, Failure};
use crate::todo::ToDo;

/// A file without a name that is open, at its end, and quiet for so long gets no further byte: deleted, and moved away.
const DELETED_ENDS: u64 = 10_000;
const MOVED_ENDS: u64 = 180_000;

/// A file without a name is looked at so often: no event tells of it.
const ORPHAN_POLL: u64 = 1_000;

impl Tail {
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
