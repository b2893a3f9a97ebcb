//! The step machine: takes in what was seen, decides, and asks for what is to be done.
//! Promises bounded work a step, and decisions that depend on nothing but what was seen.
//! Leaves IO to the shell.

mod check;
mod compare;
mod conclude;
mod heirs;
mod identify;
mod inspect;
mod kin;
mod look;
mod read;
mod saves;
#[cfg(test)]
mod scene;
mod seek;
#[cfg(test)]
mod stories;
mod time;
mod turns;

pub use inspect::{ContentAbout, FileAbout, FileStanding, Inspected};

use crate::content::{Content, Contents, Home, NEVER, State};
use crate::places::{NONE, Places};
use crate::row::{FolderRow, Row};
use crate::seen::{Failure, FlowId, Moment, Seen, Slot, Ticket};
use crate::todo::{Notice, ToDo};
use crate::{Gauge, Settings};
use datalake_base::record::Origin;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::path::PathBuf;

/// Everything is listed so often, whatever the events say, in milliseconds; and what has no events so often.
const SWEEP: u64 = 120_000;
const POLL: u64 = 1_000;

/// After a failure that has nothing to do with the file, and after one that has.
const AGAIN: u64 = 1_000;
const REFUSED_AGAIN: u64 = 30_000;

/// A file that is read to its end and quiet for this many milliseconds is closed.
const CLOSE_AFTER: u64 = 5_000;

/// An open file that has changed hands is looked at after so long.
const SOON_AFTER: u64 = 250;

/// Without a refusal for so long, the system has enough to give.
const PLENTY: u64 = 30_000;

/// Saves are so far apart at least.
const SAVES_APART: u64 = 20;

/// A flow without room is tried again after so long, should nobody say that it has room.
const BLOCKED: u64 = 20;

/// No more of anything than this in one step.
const AT_A_TIME: usize = 256;

/// One flow, and which of its contents have something to read.
#[derive(Debug, Default)]
struct Flow {
    /// Contents that wait for a read, or to be compared.
    ready: VecDeque<u32>,
    /// Contents that wait to be opened.
    closed: VecDeque<u32>,
    reading: Option<Ticket>,
    /// In how many steps files that had a turn have waited for others since one of them was read.
    waited: u32,
    blocked: bool,
    gone: bool,
    /// The turnover at which nothing that was open could be closed for a file of the flow.
    no_slot: u64,
    gauge: Gauge,
}

/// What an answer is for.
#[derive(Debug)]
enum Job {
    List(u32),
    Open { content: u32, slot: u32 },
    Read { content: u32, flow: FlowId, overlap: u64 },
    Check(u32),
    Identify(Box<identify::Question>),
}

/// What the time is awaited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// More work of a kind that is cut into steps.
    Work,
    Rows,
    /// A file that can be closed for another is looked for once more.
    Slots,
    Folder(u32),
    Content(u32),
    File(u32),
    /// A file that was none of ours has no name.
    Nameless(u32),
    Flow(FlowId),
    Resources,
}

/// The tail core of one destination.
#[derive(Debug)]
pub struct Tail {
    settings: Settings,
    flows: Vec<Flow>,
    places: Places,
    contents: Contents,
    next_content: u64,
    next_origin: u64,
    next_ticket: u64,
    origins: BTreeMap<u64, u32>,
    jobs: BTreeMap<u64, Job>,
    due: BinaryHeap<Reverse<(Moment, Due)>>,
    /// Open files by slot: the content, and whether it is unpacked.
    slots: Vec<Option<(u32, bool)>>,
    free_slots: Vec<u32>,
    /// Contents in the order in which their files were opened; some are closed again.
    opened: VecDeque<u32>,
    checks: VecDeque<u32>,
    /// Files that are to be asked what they hold, the oldest rotation first.
    unproven: BTreeSet<(u64, u32)>,
    /// Families of names of which a file is being asked: the others wait, so that they come in order.
    families_asked: Vec<u64>,
    /// Files that are asked again after a while.
    waiting: BTreeSet<u32>,
    /// Contents of rows to look for at the start: those that name no file or were looked for before, and, with its name, those
    /// that had a copy under the name of the log.
    remembered: Vec<(u32, Option<Home>)>,
    /// Folders whose last listing is still to be compared with the one before.
    sweeping: VecDeque<u32>,
    samples: usize,
    decoders: usize,
    /// Files that wait for a decoder to be asked what they hold, and whether one waits to be read.
    for_decoder: BTreeSet<u32>,
    opens_wait: bool,
    /// The system had nothing to give; nothing is asked of it before then.
    starved: bool,
    refused_at: Moment,
    told_starved: bool,
    /// How many files may be open; fewer after the system refused one.
    most_open: usize,
    /// A content was put in line since the flows had their turns.
    enqueued: bool,
    /// When a step of each of these is due that need not be asked for again.
    work_at: Moment,
    rows_at: Moment,
    slots_at: Moment,
    /// Grows when something that is open may have become something that can be closed for another.
    turnover: u64,
    seeks: BTreeMap<u32, seek::Seek>,
    /// Files that held a content and hold something else: what comes there is that flow's, whatever their names.
    heirs: heirs::Heirs,
    /// Contents that have lost a name that a pattern matches: strangers beside it are still to be looked at again.
    replaced: BTreeSet<u32>,
    /// The last content of each family of names, for the order of reading.
    families: BTreeMap<u64, u32>,
    /// From which family on they are looked through for those that matter no more.
    families_from: u64,
    /// Not before this.
    families_after: Moment,
    dirty: VecDeque<u32>,
    dirty_folders: BTreeSet<u32>,
    forgotten: Vec<u64>,
    saved_at: Moment,
    /// Finished contents without a place, the oldest first.
    gone: VecDeque<(u32, u64)>,
    /// `None` before the start; then how far the files of rows were looked through that no listing showed.
    started: Option<u32>,
    started_at: Moment,
    /// How many rows are to be saved before the start is over.
    rows_first: Option<usize>,
    /// Some files are followed from their end: where that is must be known before the start is over.
    skips: bool,
    begun: bool,
    now: Moment,
}

/// Whether a queue has room for at least four times as much as stands in it, and so much that giving it back is worth it.
const fn is_roomy(members: usize, room: usize) -> bool {
    room > 4_096 && members < room / 4
}

impl Tail {
    /// Knows nothing yet: give it the rows and the folders, then [`Seen::Start`].
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            flows: settings.flows.iter().map(|_| Flow::default()).collect(),
            next_origin: settings.first_origin,
            places: Places::default(),
            contents: Contents::default(),
            next_content: 1,
            next_ticket: 1,
            origins: BTreeMap::new(),
            jobs: BTreeMap::new(),
            due: BinaryHeap::new(),
            slots: Vec::new(),
            free_slots: Vec::new(),
            opened: VecDeque::new(),
            checks: VecDeque::new(),
            unproven: BTreeSet::new(),
            families_asked: Vec::new(),
            waiting: BTreeSet::new(),
            remembered: Vec::new(),
            sweeping: VecDeque::new(),
            samples: 0,
            decoders: 0,
            for_decoder: BTreeSet::new(),
            opens_wait: false,
            starved: false,
            refused_at: Moment::default(),
            told_starved: false,
            most_open: settings.limits.open,
            enqueued: false,
            work_at: NEVER,
            rows_at: NEVER,
            slots_at: NEVER,
            turnover: 1,
            seeks: BTreeMap::new(),
            heirs: heirs::Heirs::default(),
            replaced: BTreeSet::new(),
            families: BTreeMap::new(),
            families_from: 0,
            families_after: Moment::default(),
            dirty: VecDeque::new(),
            dirty_folders: BTreeSet::new(),
            forgotten: Vec::new(),
            saved_at: Moment::default(),
            gone: VecDeque::new(),
            started: None,
            started_at: Moment::default(),
            rows_first: None,
            skips: false,
            begun: false,
            now: Moment::default(),
            settings,
        }
    }

    /// A row of the checkpoint, before [`Seen::Start`]. `flow`: whose patterns match its home now, if any's do; without
    /// a flow the row sleeps: it is kept, and nothing is read.
    pub fn remember(&mut self, row: Row, flow: Option<FlowId>) {
        self.remember_row(row, flow);
    }

    /// No more files than this are to be open from now on; what is open stays so until its turn is over.
    pub fn limit_open(&mut self, most: usize) {
        self.settings.limits.open = most;
        self.most_open = self.most_open.min(most);
    }

    /// This number of rows will come: room is made for them, and for no more.
    pub fn expect(&mut self, rows: usize) {
        self.contents.all.reserve(rows);
        self.places.files.reserve(rows);
        self.places.names.reserve(rows);
    }

    /// What a folder held, before [`Seen::Start`].
    pub fn remember_folder(&mut self, row: FolderRow) {
        let folder = self.places.folder(&row.path);
        if let Some(folder) = self.places.folders.get_mut(folder) {
            folder.held = row.held.into_iter().collect();
            folder.is_known = true;
        }
    }

    /// Takes in one thing that was seen, and appends what is to be done now. What follows from bytes that were settled is due
    /// at once, and done in the next step.
    pub fn step(&mut self, seen: Seen<'_>, now: Moment, todo: &mut Vec<ToDo>) {
        // A clock that went back stands still instead.
        self.now = self.now.max(now);
        // One call settles bytes of several files, up to some hundred thousand: what it settled is saved together, and what
        // follows from it is done, in the next step.
        if let Seen::Settled { .. } = seen {
            self.take_in(seen, todo);
            return self.at(0, Due::Rows);
        }
        self.turnover += u64::from(matches!(seen, Seen::Read { .. } | Seen::Hole { .. } | Seen::Closed { .. }));
        self.take_in(seen, todo);
        self.do_what_is_due(todo);
        self.sort_out_unseen(todo);
        if let Some(content) = self.replaced.pop_first() {
            self.look_at_strangers(content);
            self.at(0, Due::Work);
        }
        self.ask_unproven(todo);
        self.enqueued = false;
        for flow in 0..self.flows.len() {
            self.pump(FlowId(flow as u16), todo);
        }
        self.ask_checks(todo);
        for flow in 0..self.flows.len() {
            self.open_waiting(FlowId(flow as u16), todo);
        }
        self.close_released(todo);
        self.save_rows(todo);
        self.forget_families();
        self.give_back_room();
        if self.enqueued {
            self.at(0, Due::Work);
        }
    }

    /// At a start thousands of contents stand in line, and hardly any later.
    fn give_back_room(&mut self) {
        let of_flows = self.flows.iter_mut().flat_map(|flow| [&mut flow.ready, &mut flow.closed]);
        for queue in of_flows.chain([&mut self.checks, &mut self.dirty, &mut self.opened]) {
            if is_roomy(queue.len(), queue.capacity()) {
                queue.shrink_to(queue.len() * 2);
            }
        }
        if is_roomy(self.due.len(), self.due.capacity()) {
            self.due.shrink_to(self.due.len() * 2);
        }
    }

    fn take_in(&mut self, seen: Seen<'_>, todo: &mut Vec<ToDo>) {
        match seen {
            Seen::Folder { path } => self.home(path, true),
            Seen::FolderGone { path } => self.home(path, false),
            Seen::Start => self.start(todo),
            Seen::Watching { folder, events } => self.watching(folder.0, events),
            Seen::Listed { ticket, entries, last } => {
                let Some(Job::List(folder)) = self.jobs.get(&ticket.0) else { return };
                self.listed(*folder, ticket, entries, last, todo);
            }
            Seen::Changed { folder, name, entry } => self.changed(folder.0, name, entry, todo),
            Seen::Unsure { folder } => self.list_soon(folder.0, 0, false),
            Seen::EventsLost => {
                let folders: Vec<u32> = self.watched_folders().collect();
                folders.into_iter().for_each(|folder| self.list_soon(folder, 0, false));
            }
            Seen::Opened { ticket, status } => {
                if let Some(Job::Open { content, slot }) = self.jobs.remove(&ticket.0) {
                    self.was_opened(content, slot, &status, todo);
                }
            }
            Seen::Sampled { ticket, sample } => match self.jobs.remove(&ticket.0) {
                Some(Job::Check(content)) => {
                    self.samples -= 1;
                    self.turnover += 1;
                    self.checked(content, &sample, todo);
                }
                Some(Job::Identify(question)) => {
                    self.end_sample(&question);
                    self.answered(question, sample, todo);
                }
                _ => {}
            },
            Seen::Read { ticket, bytes, status, end } => {
                if let Some(Job::Read { content, flow, overlap }) = self.jobs.remove(&ticket.0) {
                    self.read_done(content, flow);
                    self.was_read(content, flow, overlap, bytes, &status, end, todo);
                }
            }
            Seen::Hole { ticket, end } => {
                if let Some(Job::Read { content, flow, .. }) = self.jobs.remove(&ticket.0) {
                    self.read_done(content, flow);
                    self.found_hole(content, end, todo);
                }
            }
            Seen::NoRoom { ticket } => {
                if let Some(Job::Read { content, flow, .. }) = self.jobs.remove(&ticket.0) {
                    self.read_done(content, flow);
                    self.block(flow);
                    self.keep_turn(content);
                    if self
                        .contents
                        .get(content)
                        .is_some_and(|content| content.read > 0 && content.known > content.sure)
                    {
                        self.suspect(content);
                    }
                }
            }
            Seen::Failed { ticket, failure } => {
                if let Some(job) = self.jobs.remove(&ticket.0) {
                    self.failed(job, failure, todo);
                }
            }
            Seen::Room { flow } => {
                if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
                    flow.blocked = false;
                }
            }
            Seen::Closed { flow } => {
                if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
                    flow.gone = true;
                }
            }
            Seen::Settled { origin, position, filtered, quarantined } => {
                self.settled(origin, position.0, filtered, quarantined, todo);
            }
            Seen::Time => {}
        }
    }

    /// What a failure means for the question; none of them says anything about content.
    fn failed(&mut self, job: Job, failure: Failure, todo: &mut Vec<ToDo>) {
        self.turnover += 1;
        if failure == Failure::NoResource {
            self.starve(todo);
        }
        match job {
            Job::List(folder) => self.list_failed(folder, failure, todo),
            Job::Open { content, slot } => {
                self.free_slot(slot);
                if let Some(content) = self.contents.get_mut(content) {
                    content.opening = false;
                }
                self.content_failed(content, failure, todo);
            }
            Job::Read { content, flow, .. } => {
                self.read_done(content, flow);
                if failure != Failure::NoDecoder && failure != Failure::NoResource {
                    self.close(content, todo);
                }
                self.content_failed(content, failure, todo);
            }
            Job::Check(content) => {
                self.samples -= 1;
                if let Some(content) = self.contents.get_mut(content) {
                    content.checking = false;
                }
                self.content_failed(content, failure, todo);
            }
            Job::Identify(question) => {
                self.end_sample(&question);
                self.identify_failed(&question, failure, todo);
            }
        }
    }

    /// The system has nothing to give: fewer files are open from now on, and nothing is asked of it for a while.
    fn starve(&mut self, todo: &mut Vec<ToDo>) {
        self.refused_at = self.now;
        self.most_open = self.slots_in_use().saturating_sub(1).clamp(1, self.most_open);
        self.close_another(None, todo);
        if !std::mem::replace(&mut self.starved, true) {
            self.at(AGAIN, Due::Resources);
        }
        if !std::mem::replace(&mut self.told_starved, true) {
            todo.push(ToDo::Say(Notice::NoResource));
        }
    }

    fn try_again(&mut self, todo: &mut Vec<ToDo>) {
        self.starved = false;
        self.turnover += 1;
        if self.now.ms_since(self.refused_at) < PLENTY {
            return self.at(PLENTY, Due::Resources);
        }
        self.most_open = (self.most_open * 2).min(self.settings.limits.open);
        if self.most_open < self.settings.limits.open {
            self.at(PLENTY, Due::Resources);
        }
        if std::mem::take(&mut self.told_starved) {
            todo.push(ToDo::Say(Notice::ResourcesAgain));
        }
    }

    fn do_what_is_due(&mut self, todo: &mut Vec<ToDo>) {
        for _ in 0..AT_A_TIME {
            let Some(Reverse((at, due))) = self.due.peek().copied() else { return };
            if at > self.now {
                return;
            }
            self.due.pop();
            match due {
                Due::Work => self.work_at = NEVER,
                Due::Rows => self.rows_at = NEVER,
                Due::Slots => {
                    self.slots_at = NEVER;
                    self.turnover += 1;
                }
                Due::Folder(folder) => self.list_if_due(folder, todo),
                Due::Content(content) => self.time_passed(content, todo),
                Due::File(file) => self.ask_again(file, todo),
                Due::Nameless(file) => self.forget_nameless(file),
                Due::Flow(flow) => {
                    if let Some(flow) = self.flows.get_mut(usize::from(flow.0)) {
                        flow.blocked = false;
                    }
                }
                Due::Resources => self.try_again(todo),
            }
        }
    }

    /// Whether what changed is saved in time, whatever comes or does not come.
    #[cfg(test)]
    pub(crate) fn wakes_for_rows(&self) -> bool {
        let unsaved = !(self.dirty.is_empty() && self.dirty_folders.is_empty() && self.forgotten.is_empty());
        let latest = self.saved_at.plus_ms(SAVES_APART).max(self.now);
        !unsaved || self.deadline().is_some_and(|deadline| deadline <= latest)
    }

    /// When [`Seen::Time`] is due, if nothing else comes before. In the past while there is more to do at once.
    #[must_use]
    pub fn deadline(&self) -> Option<Moment> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// What there is to count of a flow.
    #[must_use]
    pub fn gauge(&self, flow: FlowId) -> Gauge {
        self.flows.get(usize::from(flow.0)).map(|flow| flow.gauge).unwrap_or_default()
    }

    /// Whether everything that matches and was seen is read to its end, and nothing is open: no listing, no comparison,
    /// nothing sought. What was read may not be settled yet.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        let reading =
            |flow: &Flow| !flow.gone && (flow.reading.is_some() || !flow.ready.is_empty() || !flow.closed.is_empty());
        let listing = |folder: u32| {
            self.places.folders.get(folder).is_some_and(|folder| folder.listing.is_some() || folder.sweep.is_some())
        };
        self.begun
            && self.jobs.is_empty()
            && self.unproven.is_empty()
            && self.checks.is_empty()
            && self.seeks.is_empty()
            && !self.flows.iter().any(reading)
            && !self.watched_folders().any(listing)
            && !self.files_wait()
    }

    fn at(&mut self, milliseconds: u64, due: Due) {
        let at = self.now.plus_ms(milliseconds);
        let soonest = match due {
            Due::Work => Some(&mut self.work_at),
            Due::Rows => Some(&mut self.rows_at),
            Due::Slots => Some(&mut self.slots_at),
            _ => None,
        };
        // What asked for a step asks again in that step if it needs another.
        if soonest.is_some_and(|soonest| std::mem::replace(soonest, at.min(*soonest)) <= at) {
            return;
        }
        self.due.push(Reverse((at, due)));
    }

    fn ask(&mut self, job: Job) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.jobs.insert(ticket.0, job);
        ticket
    }

    /// The name that a content is known by: where it lies, or lay.
    fn path_of_content(&self, content: &Content) -> PathBuf {
        self.places.path_of(content.file).unwrap_or_else(|| self.home_of(content))
    }

    /// Brings the gauge of its flow in line with the content.
    fn recount(&mut self, number: u32) {
        let Some(content) = self.contents.get_mut(number) else { return };
        let Some(flow) = content.flow.and_then(|flow| self.flows.get_mut(usize::from(flow.0))) else { return };
        let in_flight = content.read - content.settled;
        let packed = self.places.files.get(content.file).is_some_and(|file| file.packing.is_some());
        let lag = match content.state {
            State::Followed if packed && !content.at_end => {
                in_flight + self.places.files.get(content.file).map_or(0, |file| file.size)
            }
            State::Followed | State::Sought => in_flight + content.unread(),
            State::Finished => in_flight,
        };
        flow.gauge.lag = flow.gauge.lag + lag - content.counted;
        content.counted = lag;
    }

    fn new_origin(&mut self, number: u32) -> Origin {
        let origin = Origin::new(self.next_origin);
        self.next_origin += 1;
        self.origins.insert(origin.number(), number);
        origin
    }

    fn free_slot(&mut self, slot: u32) {
        if let Some(Some((_, packed))) = self.slots.get(slot as usize).copied() {
            self.slots[slot as usize] = None;
            self.free_slots.push(slot);
            self.turnover += 1;
            if packed {
                self.give_decoder_back();
            }
        }
    }

    /// A decoder is free: what waits for one is next.
    fn give_decoder_back(&mut self) {
        self.decoders -= 1;
        if let Some(file) = self.for_decoder.pop_first() {
            self.at(0, Due::File(file));
        }
        if std::mem::take(&mut self.opens_wait) {
            self.at(0, Due::Work);
        }
    }

    fn slots_in_use(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    /// Closes what is open of the content.
    fn close(&mut self, number: u32, todo: &mut Vec<ToDo>) {
        let slot = self.take_slot(number);
        if slot == NONE {
            return;
        }
        self.close_slot(slot, todo);
        if let Some(file) = self.contents.get(number).map(|content| content.file) {
            self.forget_file_if_bare(file);
        }
    }

    fn close_slot(&mut self, slot: u32, todo: &mut Vec<ToDo>) {
        todo.push(ToDo::Close { slot: Slot(slot) });
        self.free_slot(slot);
    }

    /// The file is open for this content now.
    fn give_slot(&mut self, number: u32, slot: u32) {
        let Some(content) = self.contents.get_mut(number).filter(|_| slot != NONE) else { return };
        (content.slot, content.served) = (slot, false);
        self.opened.push_back(number);
        self.enqueue(number);
        self.time_content(number, SOON_AFTER);
    }

    /// Its file is no longer open for this content. What was asked about it is void.
    fn take_slot(&mut self, number: u32) -> u32 {
        let Some(content) = self.contents.get_mut(number) else { return NONE };
        let slot = std::mem::replace(&mut content.slot, NONE);
        if slot == NONE {
            return NONE;
        }
        let about = |job: &Job| match job {
            Job::Read { content, .. } | Job::Check(content) => *content == number,
            _ => false,
        };
        let void: Vec<u64> = self.jobs.iter().filter(|(_, job)| about(job)).map(|(ticket, _)| *ticket).collect();
        for ticket in void {
            match self.jobs.remove(&ticket) {
                Some(Job::Read { content, flow, .. }) => self.read_done(content, flow),
                Some(Job::Check(_)) => {
                    self.samples -= 1;
                    if let Some(content) = self.contents.get_mut(number) {
                        content.checking = false;
                    }
                }
                _ => {}
            }
        }
        slot
    }
}
