//! Files in which something else was found than what was read of them: they stay their flow's, whatever becomes of their
//! names.
//! Promises that a file which is truncated or rewritten, renamed to any name and written to, all within seconds, is read
//! from its beginning; through the descriptor by which it was open, as long as there is one, and whatever events tell.
//! Leaves finding out what such a file holds to `identify`, and reading to `turns` and `read`.

use super::{CLOSE_AFTER, Due, Tail};
use crate::content::{Content, Home, NEVER};
use crate::places::{NONE, Standing};
use crate::seen::{FlowId, Moment};
use crate::todo::{Again, Notice, ToDo};
use std::collections::{BTreeMap, VecDeque};

/// So long, in milliseconds, a new name of a file is waited for: of one that is not open; and of one that is, before it is
/// read without asking what it holds.
const NAMELESS_FOR: u64 = 10_000;
const NAMELESS_OPEN: u64 = 1_000;

/// One that is empty is looked at so often, in milliseconds.
const LOOK_EVERY: u64 = 1_000;

/// What comes in a file that held a content.
#[derive(Debug)]
pub(super) struct Heir {
    pub(super) flow: FlowId,
    /// The name by which a pattern matched it.
    pub(super) home: Option<Home>,
    /// Where it is open.
    pub(super) slot: u32,
    /// How much was read of what it held before.
    pub(super) bytes: u64,
    /// What it held before.
    pub(super) after: u32,
    /// It has no name, and is forgotten then.
    until: Moment,
    /// So long it is looked at again and again whether anything came, and stays open though nothing does.
    look_until: Moment,
}

impl Heir {
    pub(super) const fn new(flow: FlowId, home: Option<Home>, slot: u32, bytes: u64, after: u32) -> Self {
        Self { flow, home, slot, bytes, after, until: NEVER, look_until: Moment(0) }
    }
}

/// All of them, by file.
#[derive(Debug, Default)]
pub(super) struct Heirs {
    all: BTreeMap<u32, Heir>,
    /// Those that are open, the oldest first; some are not any more.
    open: VecDeque<u32>,
    /// Slots that nobody needs any more.
    released: Vec<u32>,
}

impl Heirs {
    pub(super) fn get(&self, file: u32) -> Option<&Heir> {
        self.all.get(&file)
    }

    fn insert(&mut self, file: u32, heir: Heir) {
        if heir.slot != NONE {
            self.open.push_back(file);
        }
        self.end(file);
        self.all.insert(file, heir);
    }

    /// What is in the file is known, or nobody's: what was kept for it is let go.
    pub(super) fn end(&mut self, file: u32) {
        if let Some(heir) = self.all.remove(&file)
            && heir.slot != NONE
        {
            self.released.push(heir.slot);
        }
    }

    /// The file holds a copy of what is known. It need not be open for that; what comes in it later is still its heir's.
    pub(super) fn rest(&mut self, file: u32) {
        self.release(file);
        if let Some(heir) = self.all.get_mut(&file) {
            heir.until = NEVER;
        }
    }

    fn release(&mut self, file: u32) -> bool {
        let Some(heir) = self.all.get_mut(&file).filter(|heir| heir.slot != NONE) else { return false };
        self.released.push(std::mem::replace(&mut heir.slot, NONE));
        true
    }
}

impl Tail {
    /// The file held the content that `heir` names, and holds something else, which nobody knows yet.
    pub(super) fn leave_heir(&mut self, file: u32, heir: Heir) {
        if let Some(entry) = self.places.files.get_mut(file) {
            entry.standing = Standing::Unproven;
        }
        self.heirs.insert(file, heir);
        self.look_at_heir(file);
    }

    /// What is in the file is known, or nobody's, and so the row of what it held before need not name it any more.
    pub(super) fn end_heir(&mut self, file: u32) {
        let after = self.heirs.get(file).map_or(NONE, |heir| heir.after);
        self.heirs.end(file);
        if let Some(content) = self.contents.get_mut(after).filter(|content| content.left == file) {
            content.left = NONE;
            self.mark_dirty(after);
        }
    }

    /// A file that has an heir, and a name, is looked at for a while.
    fn look_at_heir(&mut self, file: u32) {
        if let Some(heir) = self.heirs.all.get_mut(&file) {
            heir.look_until = self.now.plus_ms(CLOSE_AFTER);
            self.at(LOOK_EVERY, Due::File(file));
        }
    }

    /// The file has a name again: what came in it while it had none is asked, and what comes next.
    pub(super) fn heir_found(&mut self, file: u32) {
        if self.heirs.get(file).is_some() {
            self.prove(file);
            self.look_at_heir(file);
        }
    }

    /// A pattern matched the file of a content that lies elsewhere, too, and it has lost its name: its writer may go on
    /// under another.
    pub(super) fn copy_lost_name(&mut self, number: u32, file: u32, home: Home) {
        let goes_on = self.copy_to_go_on_in(number).is_some();
        let elsewhere =
            |content: &&Content| content.file != file || (content.slot == NONE && !content.opening && goes_on);
        let Some(content) = self.contents.get(number).filter(elsewhere) else { return };
        let Some(flow) = content.flow else { return };
        let Some(entry) = self.places.files.get_mut(file).filter(|entry| entry.packing.is_none()) else { return };
        entry.standing = Standing::Unproven;
        let folder = entry.last_folder;
        let heir = Heir { until: self.now.plus_ms(NAMELESS_FOR), ..Heir::new(flow, Some(home), NONE, 0, NONE) };
        self.heirs.insert(file, heir);
        self.at(NAMELESS_FOR, Due::File(file));
        self.list_in_turn(folder, true);
    }

    /// The content goes on in a copy. Its old file, should it have no name, may have been renamed, and its new name is seen
    /// in a moment; without a time of birth it may also be another file then.
    pub(super) fn leave_for_copy(&mut self, number: u32, old: u32) {
        let born = self.places.files.get(old).is_some_and(|file| file.key.born > 0);
        if born
            && !self.places.has_name(old)
            && let Some(home) = self.contents.get(number).and_then(|content| content.home.as_deref().cloned())
        {
            self.copy_lost_name(number, old, home);
        }
        self.forget_file_if_bare(old);
    }

    /// A pattern matched a file, and it loses that name before anybody knows what it holds, or while it is empty: what its
    /// writer puts there under another name is the flow's.
    pub(super) fn unproven_lost_name(&mut self, file: u32, flow: FlowId, home: Home) {
        // What was there at the first start is followed from its end, and where that is nobody knows.
        let unproven =
            |file: &crate::places::File| file.standing == Standing::Unproven && file.packing.is_none() && !file.skip;
        if self.places.files.get(file).is_some_and(unproven) && self.heirs.get(file).is_none() {
            self.leave_heir(file, Heir::new(flow, Some(home), NONE, 0, NONE));
        }
    }

    /// Whether a file without a name is waited for.
    pub(super) fn is_waited_for(&self, file: u32) -> bool {
        self.heirs.get(file).is_some_and(|heir| heir.until != NEVER && heir.until > self.now)
    }

    /// Slots of files that are known by now are closed.
    pub(super) fn close_released(&mut self, todo: &mut Vec<ToDo>) {
        while let Some(slot) = self.heirs.released.pop() {
            self.close_slot(slot, todo);
        }
    }

    /// Closes the oldest of them, for others that want to be opened.
    pub(super) fn close_heir(&mut self, todo: &mut Vec<ToDo>) -> bool {
        while let Some(file) = self.heirs.open.pop_front() {
            if self.heirs.release(file) {
                self.close_released(todo);
                return true;
            }
        }
        false
    }

    /// A file of which it is not known yet what it holds has lost its name. `false` when it held nothing before.
    pub(super) fn heir_lost_name(&mut self, file: u32) -> bool {
        let now = self.now;
        let Some(heir) = self.heirs.all.get_mut(&file) else { return false };
        let patience = if heir.slot == NONE { NAMELESS_FOR } else { NAMELESS_OPEN };
        heir.until = now.plus_ms(patience);
        self.at(patience, Due::File(file));
        if let Some(folder) = self.places.files.get(file).map(|file| file.last_folder) {
            self.list_in_turn(folder, true);
        }
        true
    }

    /// Nobody has looked yet: the files of the life before are waited for from now on.
    pub(super) fn wait_for_heirs(&mut self) {
        for file in self.heirs.all.keys().copied().collect::<Vec<_>>() {
            self.heir_lost_name(file);
        }
    }

    /// The file is open and has no name by which it could be asked what it holds: it is read from its beginning.
    fn succeed(&mut self, file: u32, todo: &mut Vec<ToDo>) {
        let Some((flow, home, bytes, after)) =
            self.heirs.get(file).map(|heir| (heir.flow, heir.home.clone(), heir.bytes, heir.after))
        else {
            return;
        };
        let Some(number) = self.new_content(file, flow, 0, None) else { return };
        let Some(content) = self.contents.get_mut(number) else { return };
        content.home = home.map(Box::new);
        content.after = after;
        if let Some(content) = self.contents.get(number).filter(|_| bytes > 0) {
            let path = self.path_of_content(content);
            todo.push(ToDo::Say(Notice::ReadAgain { flow, path, bytes, reason: Again::Rewritten }));
        }
    }

    /// A content begins in the file: it is open already.
    pub(super) fn inherit(&mut self, number: u32, file: u32) {
        let packed = self.places.files.get(file).is_some_and(|file| file.packing.is_some());
        let named = self.flow_of_file(file).is_some();
        let Some(heir) = self.heirs.all.get_mut(&file) else { return };
        let home = heir.home.take();
        if !packed {
            let slot = std::mem::replace(&mut heir.slot, NONE);
            self.give_slot(number, slot);
        }
        self.end_heir(file);
        // A content under a name that nothing matches is remembered under that of the one which it replaced.
        if let (Some(home), false) = (home, named)
            && let Some(content) = self.contents.get_mut(number)
        {
            content.home = Some(Box::new(home));
        }
    }

    /// Time went by for a file that has an heir. `true` when that was all.
    pub(super) fn heir_waits(&mut self, file: u32, todo: &mut Vec<ToDo>) -> bool {
        let Some(heir) = self.heirs.get(file) else { return false };
        if self.places.has_name(file) {
            let (open, over) = (heir.slot != NONE, heir.look_until <= self.now);
            let empty = self.places.files.get(file).filter(|file| file.size == 0).map(|file| file.last_folder);
            if let Some(folder) = empty.filter(|_| !self.is_live(file)) {
                // Its writer goes on under a name that nothing matches, and no event need tell of it.
                self.list_in_turn(folder, true);
            }
            if empty.is_some() && over {
                self.heirs.release(file);
            } else if open || empty.is_some() {
                self.at(LOOK_EVERY, Due::File(file));
            }
            return false;
        }
        match heir {
            Heir { until, .. } if *until > self.now => {}
            Heir { slot: NONE, .. } => self.forget_file_if_bare(file),
            Heir { .. } => self.succeed(file, todo),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seen::{Packing, Status};
    use datalake_base::record::FileKey;
    use std::path::Path;

    const FLOW: FlowId = FlowId(0);

    fn tail() -> Tail {
        let mut tail = Tail::new(crate::Settings { flows: vec![crate::FlowSettings::default()], ..Default::default() });
        tail.now = Moment(5_000_000);
        tail
    }

    /// A file that nobody has a name for, and whose heir is open in this slot.
    fn heir(tail: &mut Tail, slot: u32, bytes: u64) -> u32 {
        let key = FileKey { device: 1, inode: 7, born: 5 };
        let file = tail.places.insert_file(&Status { key, ..Status::default() }, tail.now);
        tail.places.files.get_mut(file).unwrap().standing = Standing::Unproven;
        tail.leave_heir(file, Heir::new(FLOW, None, slot, bytes, NONE));
        file
    }

    fn name_it(tail: &mut Tail, file: u32) {
        let folder = tail.places.folder(Path::new("/l"));
        tail.places.insert_name(folder, b"a.log".as_slice().into(), file);
    }

    #[test]
    fn an_open_file_with_a_name_is_closed_after_a_while_when_it_is_still_empty() {
        for (slot, size) in [(3, 0), (3, 9), (NONE, 0), (NONE, 9)] {
            let mut tail = tail();
            let file = heir(&mut tail, slot, 0);
            name_it(&mut tail, file);
            tail.places.files.get_mut(file).unwrap().size = size;
            for later in [CLOSE_AFTER - 1, CLOSE_AFTER] {
                tail.now = Moment(5_000_000).plus_ms(later);
                tail.due.clear();
                assert!(!tail.heir_waits(file, &mut Vec::new()), "it is asked what it holds");
                let over = size == 0 && later == CLOSE_AFTER;
                assert_eq!(tail.heirs.released, if over && slot == 3 { vec![3] } else { Vec::new() });
                let again = tail.due.iter().any(|due| due.0.1 == Due::File(file));
                assert_eq!(again, !over && (slot == 3 || size == 0), "whether it is looked at again");
            }
        }
    }

    /// A rename is two events: for a moment the file has no name. What is open may be read all the same, and soon.
    #[test]
    fn a_file_without_a_name_is_waited_for_a_second_while_it_is_open_and_else_ten() {
        for (slot, patience) in [(3, NAMELESS_OPEN), (NONE, NAMELESS_FOR)] {
            let (mut tail, mut todo) = (tail(), Vec::new());
            let file = heir(&mut tail, slot, 0);
            assert!(!tail.is_waited_for(file), "it has not lost a name");
            assert!(tail.heir_lost_name(file) && tail.is_waited_for(file));
            tail.now = Moment(5_000_000 + patience * 1_000 - 1);
            assert!(tail.is_waited_for(file) && tail.heir_waits(file, &mut todo));
            assert!(tail.places.files.get(file).is_some_and(|file| file.standing == Standing::Unproven));
            tail.now = Moment(5_000_000 + patience * 1_000);
            assert!(!tail.is_waited_for(file) && tail.heir_waits(file, &mut todo));
            // What is open is read from its beginning, the other is forgotten.
            let standing = tail.places.files.get(file).map(|file| file.standing);
            assert_eq!(standing, (slot != NONE).then_some(Standing::Holds(0)));
            assert_eq!(tail.contents.get(0).map(|content| content.slot), (slot != NONE).then_some(slot));
        }
        assert!(!tail().is_waited_for(0) && !tail().heir_lost_name(0), "nothing was known of it");
    }

    #[test]
    fn that_a_file_is_read_again_is_said_where_it_was_read_before() {
        for (bytes, said) in [(0, 0), (1, 1)] {
            let (mut tail, mut todo) = (tail(), Vec::new());
            let file = heir(&mut tail, 3, bytes);
            tail.heir_lost_name(file);
            tail.now = tail.now.plus_ms(NAMELESS_OPEN);
            tail.heir_waits(file, &mut todo);
            let notices = todo.iter().filter(|todo| matches!(todo, ToDo::Say(Notice::ReadAgain { .. }))).count();
            assert_eq!(notices, said, "{todo:?}");
        }
    }

    /// A copy of what is known need not stay open.
    #[test]
    fn what_turns_out_to_be_a_copy_is_closed_and_no_longer_waited_for() {
        let (mut tail, mut todo) = (tail(), Vec::new());
        let file = heir(&mut tail, 3, 0);
        tail.heir_lost_name(file);
        tail.heirs.rest(file);
        assert!(!tail.is_waited_for(file) && tail.heirs.get(file).is_some());
        tail.close_released(&mut todo);
        assert_eq!(todo, [ToDo::Close { slot: crate::Slot(3) }]);
    }

    /// What was left behind without a name may have been renamed, and is known by its inode then: unless that can be given to
    /// another file, which only a time of birth would tell.
    #[test]
    fn a_file_that_was_left_for_a_copy_is_waited_for_where_births_tell_files_apart() {
        for (born, waits) in [(5, true), (0, false)] {
            let mut tail = tail();
            let key = FileKey { device: 1, inode: 7, born };
            let old = tail.places.insert_file(&Status { key, ..Status::default() }, tail.now);
            let mut content = Content::new(1, Some(FLOW), tail.now);
            (content.file, content.home) = (old + 1, Some(Box::new((0, b"a.log".as_slice().into()))));
            let number = tail.contents.all.insert(content);
            tail.leave_for_copy(number, old);
            assert_eq!((tail.is_waited_for(old), tail.places.files.get(old).is_some()), (waits, waits));
        }
    }

    /// Archives are not written to under another name; what is followed from its end has none as long as nobody knows where
    /// that is; what is known is nobody's heir; and the heir of something that was read knows how much that was.
    #[test]
    fn only_a_file_of_which_nothing_is_known_gets_an_heir_with_its_name() {
        let gzip = Some(Packing::Gzip);
        let cases = [
            (Standing::Unproven, None, false, true),
            (Standing::Ignored, None, false, false),
            (Standing::Unproven, gzip, false, false),
            (Standing::Unproven, None, true, false),
            (Standing::Ignored, gzip, true, false),
        ];
        for (standing, packing, skip, expected) in cases {
            let mut tail = tail();
            let file = heir(&mut tail, NONE, 0);
            tail.heirs.end(file);
            let entry = tail.places.files.get_mut(file).unwrap();
            (entry.standing, entry.packing, entry.skip) = (standing, packing, skip);
            tail.unproven_lost_name(file, FLOW, (0, b"a.log".as_slice().into()));
            assert_eq!(tail.heirs.get(file).is_some(), expected, "{standing:?} {packing:?} {skip}");
        }
        let mut tail = tail();
        let file = heir(&mut tail, NONE, 7);
        tail.unproven_lost_name(file, FLOW, (0, b"a.log".as_slice().into()));
        assert_eq!(tail.heirs.get(file).map(|heir| heir.bytes), Some(7));
    }
}
