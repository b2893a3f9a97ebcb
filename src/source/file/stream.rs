//! All files of one destination: asks the tail core what to do, and does it.
//! Promises that every question of the core is answered once, in bounded pieces, and that what it wants handed over, saved
//! or said is done in its order. Leaves every decision to the core, and when to work to `rounds`.

use super::discover::{Folders, Search, folder_of};
use super::identity::{self, Kind, failure_of};
use super::inquiry::{FileKnown, FileSeen};
use super::listing::{Listing, Named};
use super::own::OwnFiles;
use super::reading::{Bytes, Open, Plain};
use super::unpack::{Decoders, Unpacker};
use super::walk::{FollowLinks, LastFolder, Trouble, Walker};
use super::watch::Watch;
use super::words::Words;
use super::{InitialPosition, Input, Settings};
use crate::saved::CheckpointUpdate;
use datalake_base::accounting::Accounting;
use datalake_base::record::{Arrival, Chunk, ChunkPool, FileKey, Origin, OriginInfo, Position, Watermarks};
use datalake_tail::{
    Entry, Failure, FlowId, FolderId, Limits, Moment, Notice, Packing, Seen, Slot, Tail, Ticket, ToDo, names,
};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

mod jobs;

use jobs::Job;

/// What all streams share.
pub(super) struct World {
    pub(super) now: Instant,
    /// What moments of the tail core are counted from.
    pub(super) epoch: Instant,
    pub(super) pool: ChunkPool,
    pub(super) decoders: Decoders,
    pub(super) watch: Watch,
    /// Until reading is to stop.
    pub(super) reading: bool,
    /// What a step of a tail core wants done, while it is being done; one for all, because there may be thousands.
    pub(super) scratch: Vec<ToDo>,
    pub(super) last_folder: LastFolder,
}

impl World {
    pub(super) fn moment(&self) -> Moment {
        let since = self.now.saturating_duration_since(self.epoch);
        Moment(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

/// One flow.
pub(super) struct Flow {
    pub(super) name: String,
    pub(super) settings: Arc<Settings>,
    arrivals: Option<mpsc::Sender<Box<Arrival>>>,
    watermarks: Watermarks,
    books: Arc<Accounting>,
    /// What there was no room for yet.
    outbox: VecDeque<Arrival>,
    /// Bytes that were handed over and are not settled.
    under_way: u64,
    /// The core was answered that there is no room, and nothing since.
    full: bool,
    /// The core knows that the flow takes nothing more.
    closed: bool,
}

impl From<Input> for Flow {
    fn from(input: Input) -> Self {
        Self {
            name: input.flow,
            settings: input.settings,
            arrivals: Some(input.arrivals),
            watermarks: input.watermarks,
            books: input.books,
            outbox: VecDeque::new(),
            under_way: 0,
            full: false,
            closed: false,
        }
    }
}

impl Flow {
    fn includes(&self, path: &Path) -> bool {
        self.settings.include.iter().any(|pattern| pattern.matches(path))
    }

    fn matches(&self, path: &Path) -> bool {
        self.includes(path) && !self.settings.exclude.iter().any(|pattern| pattern.matches(path))
    }

    /// Hands over what waits, as far as there is room.
    fn flush(&mut self) {
        while let Some(arrival) = self.outbox.pop_front() {
            let Some(sender) = &self.arrivals else {
                self.outbox.clear();
                return;
            };
            let full = match sender.try_reserve() {
                Ok(room) => {
                    room.send(Box::new(arrival));
                    continue;
                }
                Err(full) => full == TrySendError::Full(()),
            };
            if full {
                self.outbox.push_front(arrival);
                return;
            }
            self.arrivals = None;
        }
    }

    /// Everything of the origin is settled, and it is over.
    fn close(&mut self, origin: Origin) {
        match self.outbox.back_mut() {
            Some(Arrival::Closed { origins }) if origins.len() < CLOSED_TOGETHER => origins.push(origin),
            _ => self.outbox.push_back(Arrival::Closed { origins: vec![origin] }),
        }
    }

    fn has_room(&self) -> bool {
        self.outbox.is_empty() && self.takes_more()
    }

    /// Whether its channel has room.
    fn takes_more(&self) -> bool {
        self.arrivals.as_ref().is_some_and(|arrivals| arrivals.capacity() > 0)
    }

    fn is_closed(&self) -> bool {
        self.arrivals.as_ref().is_none_or(mpsc::Sender::is_closed)
    }
}

/// An origin whose positions may still come.
struct Followed {
    flow: usize,
    info: Arc<OriginInfo>,
    handed_over: u64,
    settled: u64,
    /// Bytes before `settled` that were given up, since the origin opened.
    filtered: u64,
    quarantined: u64,
    ended: bool,
}

/// See the head of this file.
pub(super) struct Stream {
    pub(super) name: Arc<str>,
    pub(super) flows: Vec<Flow>,
    tail: Tail,
    limits: Limits,
    /// The agent's own files; every flow has the same.
    own: OwnFiles,
    /// Patterns that were started in an earlier life.
    started: HashSet<String>,
    /// The folders that the core watches.
    folders: HashMap<FolderId, Arc<Path>>,
    numbers: HashMap<Arc<Path>, FolderId>,
    /// The folders of the patterns.
    pub(super) patterns: Folders,
    open: HashMap<Slot, Open>,
    /// Files that cannot be read, and whose they are; one entry for each line in the log.
    unreadable: HashMap<PathBuf, FlowId>,
    /// Questions, oldest first.
    asked: VecDeque<ToDo>,
    /// Questions whose answer takes several steps; the first is worked on.
    jobs: VecDeque<Job>,
    origins: HashMap<Origin, Followed>,
    pub(super) update: CheckpointUpdate,
    /// The core has decided where to begin in everything that was there.
    pub(super) begun: bool,
    words: Words,
}

/// Everything that counts as work is counted in these: bytes, or what takes as long as so many bytes.
pub(super) type Work = u64;

/// A question costs as much as reading so many bytes.
const QUESTION: Work = 16 * 1024;

/// The core saves rows no closer together than this.
const SAVES_APART: std::time::Duration = std::time::Duration::from_millis(25);

/// Origins that are closed at once.
const CLOSED_TOGETHER: usize = 1_000;

/// Watermarks that one round takes of a flow.
const WATERMARKS: usize = 2_000;

/// Steps in which the last rows are saved at most.
const MOST_LAST_STEPS: usize = 10_000;

impl Stream {
    pub(super) fn new(
        name: Arc<str>,
        flows: Vec<Flow>,
        started: HashSet<String>,
        limits: Limits,
        origins: u64,
    ) -> Self {
        let own = flows.first().map_or_else(OwnFiles::default, |flow| flow.settings.own.clone());
        let settings = datalake_tail::Settings {
            flows: flows
                .iter()
                .map(|flow| datalake_tail::FlowSettings {
                    rotated_to: flow.settings.rotated_to.clone(),
                    owned: flow.settings.owned.is_some(),
                    skips_header: flow.settings.skips_header,
                })
                .collect(),
            limits,
            first_origin: origins,
        };
        Self {
            name,
            flows,
            tail: Tail::new(settings),
            limits,
            own,
            started,
            folders: HashMap::new(),
            numbers: HashMap::new(),
            patterns: Folders::default(),
            open: HashMap::new(),
            asked: VecDeque::new(),
            jobs: VecDeque::new(),
            origins: HashMap::new(),
            update: CheckpointUpdate::default(),
            begun: false,
            unreadable: HashMap::new(),
            words: Words::default(),
        }
    }

    /// This number of rows of the checkpoint will come.
    pub(super) fn expect(&mut self, rows: usize) {
        self.tail.expect(rows);
    }

    /// A row of the checkpoint.
    pub(super) fn remember(&mut self, row: datalake_tail::Row) {
        // What was found as a rotation has a home that no pattern matches.
        let name = super::discover::name_of(&row.home);
        let flow = self.flow_of(&row.home).or_else(|| self.kin_of(&row.home, name));
        if let Some(owner) = flow.and_then(|flow| self.flows[usize::from(flow.0)].settings.owned.as_ref())
            && let Some(place) = row.places.first().filter(|place| place.path == row.home)
            && let Ok(status) = identity::of_path(&row.home)
            && (status.key.inode, status.key.born) == (place.key.inode, place.key.born)
        {
            // The end before this start may have come between saving the position and telling the owner, who deletes what
            // is settled; of a file that is settled to its end nothing else tells.
            owner.post(&row.home, Position(row.position));
        }
        self.tail.remember(row, flow);
    }

    /// What a folder held.
    pub(super) fn remember_folder(&mut self, row: datalake_tail::FolderRow) {
        self.tail.remember_folder(row);
    }

    /// Tells the core, and does at once what need not be answered.
    pub(super) fn tell(&mut self, seen: Seen<'_>, world: &mut World) {
        let mut todo = std::mem::take(&mut world.scratch);
        tracing::trace!(?seen, "seen");
        self.tail.step(seen, world.moment(), &mut todo);
        for one in todo.drain(..) {
            self.take(one, None, world);
        }
        world.scratch = todo;
        self.flows.iter_mut().for_each(Flow::flush);
    }

    /// Tells the core what was read, and hands the buffer over when it says so.
    fn tell_read(
        &mut self,
        ticket: Ticket,
        buffer: Vec<u8>,
        first: usize,
        status: &identity::Status,
        end: bool,
        world: &mut World,
    ) {
        let mut todo = std::mem::take(&mut world.scratch);
        tracing::trace!(?ticket, bytes = buffer.len() - first, ?status, end, "read");
        let seen = Seen::Read { ticket, bytes: &buffer[first..], status: status.told(), end };
        self.tail.step(seen, world.moment(), &mut todo);
        let mut buffer = Some((buffer, first));
        for one in todo.drain(..) {
            self.take(one, Some(&mut buffer), world);
        }
        world.scratch = todo;
        if let Some((buffer, _)) = buffer {
            world.pool.give_back(buffer);
        }
        self.flows.iter_mut().for_each(Flow::flush);
    }

    /// Does one thing, or keeps it for its turn.
    fn take(&mut self, todo: ToDo, buffer: Option<&mut Option<(Vec<u8>, usize)>>, world: &mut World) {
        tracing::trace!(?todo, "to do");
        match todo {
            ToDo::Watch { .. }
            | ToDo::List { .. }
            | ToDo::Look { .. }
            | ToDo::Open { .. }
            | ToDo::Sample { .. }
            | ToDo::Read { .. } => {
                self.asked.push_back(todo);
            }
            ToDo::Unwatch { folder } => {
                if let Some(path) = self.folders.remove(&folder) {
                    self.numbers.remove(&path);
                    world.watch.remove(&path);
                }
            }
            ToDo::Close { slot } => {
                self.open.remove(&slot);
                for job in std::mem::take(&mut self.jobs) {
                    if job.slot() == Some(slot) { job.give_up(&world.pool) } else { self.jobs.push_back(job) }
                }
                // What was asked about it needs no answer, and must not reach what is opened there next.
                self.asked.retain(|asked| slot_of(asked) != Some(slot));
            }
            ToDo::Begin { flow, origin, path, file, start, generation } => {
                let key = FileKey { device: file.device, inode: file.inode, born: file.born };
                let info = Arc::new(OriginInfo::new(path, key));
                if let Some(generation) = generation {
                    info.generation.get_or_init(|| generation);
                }
                let (origin, start) = (Origin::new(origin.number()), Position(start.0));
                let flow = usize::from(flow.0);
                let followed = Followed {
                    flow,
                    info: info.clone(),
                    handed_over: start.0,
                    settled: start.0,
                    filtered: 0,
                    quarantined: 0,
                    ended: false,
                };
                self.origins.insert(origin, followed);
                self.flows[flow].outbox.push_back(Arrival::Opened { origin, info, start });
            }
            ToDo::Generation { origin, generation } => {
                if let Some(followed) = self.origins.get(&Origin::new(origin.number())) {
                    followed.info.generation.get_or_init(|| generation);
                }
            }
            ToDo::HandOver { flow, origin, start, skip } => {
                let Some((buffer, first)) = buffer.and_then(Option::take) else {
                    debug_assert!(false, "a hand-over without a read");
                    return;
                };
                let first = first + skip;
                let count = (buffer.len() - first) as u64;
                let origin = Origin::new(origin.number());
                let flow = &mut self.flows[usize::from(flow.0)];
                flow.books.read.add(count);
                flow.under_way += count;
                let wide = start.0 == 0 && matches!(buffer.get(first..first + 2), Some([0xff, 0xfe] | [0xfe, 0xff]));
                let bytes = world.pool.wrap(buffer, first);
                let chunk = Chunk { origin, start: Position(start.0), bytes, read_at: world.now };
                flow.outbox.push_back(Arrival::Read(chunk));
                if let Some(followed) = self.origins.get_mut(&origin) {
                    followed.handed_over = start.0 + count;
                    if wide {
                        self.words.wide(&flow.name, &followed.info.path);
                    }
                }
            }
            ToDo::End { flow, origin } => {
                let origin = Origin::new(origin.number());
                let followed = self.origins.get_mut(&origin).filter(|followed| !followed.ended);
                let Some(followed) = followed else { return };
                if followed.settled < followed.handed_over {
                    followed.ended = true;
                    return self.flows[usize::from(flow.0)].outbox.push_back(Arrival::Ended { origin });
                }
                self.origins.remove(&origin);
                self.flows[usize::from(flow.0)].close(origin);
            }
            ToDo::Save(row) => self.update.contents.push((self.name.clone(), row.id, Some(*row))),
            ToDo::Forget(id) => self.update.contents.push((self.name.clone(), id, None)),
            ToDo::SaveFolder(row) => self.update.folders.push((self.name.clone(), row.path, Some(row.held))),
            ToDo::ForgetFolder(path) => self.update.folders.push((self.name.clone(), path, None)),
            ToDo::Begun => self.have_begun(),
            ToDo::Say(notice) => self.say(&notice, world.now),
        }
    }

    fn have_begun(&mut self) {
        self.begun = true;
        let patterns = self.flows.iter().flat_map(|flow| &flow.settings.include).map(|pattern| pattern.as_str());
        let new: BTreeSet<&str> = patterns.filter(|pattern| !self.started.contains(*pattern)).collect();
        let name = &self.name;
        self.update.started.extend(new.into_iter().map(|pattern| (name.to_string(), pattern.to_owned())));
    }

    fn say(&mut self, notice: &Notice, now: Instant) {
        let books = |flow: &FlowId| &self.flows[usize::from(flow.0)].books;
        match notice {
            Notice::Destroyed { flow, bytes, .. } => books(flow).destroyed.add(*bytes),
            Notice::Recovered { flow, bytes, .. } => {
                let destroyed = &books(flow).destroyed;
                destroyed.set(destroyed.value().saturating_sub(*bytes));
            }
            Notice::Hole { flow, bytes, .. } | Notice::ArchiveSkipped { flow, bytes, .. } => {
                books(flow).skipped.add(*bytes);
            }
            _ => {}
        }
        self.count_unreadable(notice);
        let flows = &self.flows;
        self.words.say(notice, now, |flow| flows[usize::from(flow.0)].name.as_str());
    }

    /// Keeps the number of files that a flow cannot read now.
    fn count_unreadable(&mut self, notice: &Notice) {
        let flow = match notice {
            Notice::Unreadable { flow, path, .. } => {
                self.unreadable.insert(path.clone(), *flow);
                Some(*flow)
            }
            Notice::ReadableAgain { path } => self.unreadable.remove(path),
            _ => None,
        };
        if let Some(flow) = flow {
            let count = self.unreadable.values().filter(|of| **of == flow).count();
            self.flows[usize::from(flow.0)].books.denials.set(count as u64);
        }
    }

    /// How long what is written may wait for more.
    pub(super) fn patience(&self) -> std::time::Duration {
        self.flows.iter().map(|flow| flow.settings.patience).min().unwrap_or_default()
    }

    /// Takes what was settled since the last call, a bounded part of it: one call may settle a hundred thousand small files.
    /// Whether there is more.
    pub(super) fn take_watermarks(&mut self, world: &mut World) -> bool {
        let mut more = false;
        for flow in 0..self.flows.len() {
            let taken = self.flows[flow].watermarks.take(WATERMARKS);
            more |= taken.len() == WATERMARKS;
            for (origin, watermark) in taken {
                let Some(followed) = self.origins.get_mut(&origin) else { continue };
                let position = watermark.position.0.min(followed.handed_over);
                if position <= followed.settled {
                    continue;
                }
                self.update.settled_bytes += position - followed.settled;
                let under_way = &mut self.flows[followed.flow].under_way;
                *under_way = under_way.saturating_sub(position - followed.settled);
                followed.settled = position;
                let filtered = watermark.filtered - std::mem::replace(&mut followed.filtered, watermark.filtered);
                let quarantined =
                    watermark.quarantined - std::mem::replace(&mut followed.quarantined, watermark.quarantined);
                if let Some(owner) = &self.flows[followed.flow].settings.owned {
                    owner.post(&followed.info.path, Position(position));
                }
                if followed.ended && position == followed.handed_over {
                    self.origins.remove(&origin);
                }
                let origin = datalake_tail::Origin::new(origin.number());
                let position = datalake_tail::Position(position);
                self.tell(Seen::Settled { origin, position, filtered, quarantined }, world);
            }
        }
        more
    }

    /// Tells the core which flows have room again, or have ended.
    pub(super) fn look_for_room(&mut self, world: &mut World) {
        for number in 0..self.flows.len() {
            let flow = &mut self.flows[number];
            flow.flush();
            let id = FlowId(number as u16);
            if flow.is_closed() && !flow.closed {
                (flow.arrivals, flow.closed) = (None, true);
                flow.outbox.clear();
                self.tell(Seen::Closed { flow: id }, world);
            } else if flow.full && flow.has_room() && world.pool.has_free() {
                flow.full = false;
                self.tell(Seen::Room { flow: id }, world);
            }
        }
    }

    /// Hands over nothing more.
    pub(super) fn stop_reading(&mut self) {
        self.flows.iter_mut().for_each(|flow| flow.arrivals = None);
    }

    /// The agent ends: everything that is to be saved is saved now.
    pub(super) fn save_all(&mut self, world: &mut World) {
        // A step saves a bounded number of rows, and two steps are so far apart.
        for _ in 0..MOST_LAST_STEPS {
            let before = self.update.contents.len();
            world.now += SAVES_APART;
            self.tell(Seen::Time, world);
            if self.update.contents.len() == before {
                break;
            }
        }
    }

    /// Its last rows are saved, and nobody reads for it any more.
    pub(super) fn leave(self, world: &mut World) {
        self.jobs.into_iter().for_each(|job| job.give_up(&world.pool));
        self.folders.values().for_each(|folder| world.watch.remove(folder));
    }

    /// No more files than this are to be open.
    pub(super) fn limit_open(&mut self, most: usize) {
        self.tail.limit_open(most);
    }

    /// The files of the agent itself are these from now on.
    pub(super) fn protect(&mut self, own: &OwnFiles) {
        self.own = own.clone();
    }

    /// Time went by.
    pub(super) fn take_time(&mut self, world: &mut World) {
        self.words.time(world.now);
        if self.tail.deadline().is_some_and(|deadline| deadline <= world.moment()) {
            self.tell(Seen::Time, world);
        }
    }

    /// When the core wants to know that time went by.
    pub(super) fn deadline(&self, world: &World) -> Option<Instant> {
        self.tail.deadline().map(|moment| world.epoch + std::time::Duration::from_micros(moment.0))
    }

    /// Whether there is something to do at once.
    pub(super) fn is_busy(&self) -> bool {
        !self.asked.is_empty() || !self.jobs.is_empty()
    }

    /// Whether some flow waits for room.
    pub(super) fn waits_for_room(&self) -> bool {
        self.flows.iter().any(|flow| flow.full || !flow.outbox.is_empty())
    }

    /// Whether some flow that waits for room has it.
    pub(super) fn has_room(&self, world: &World) -> bool {
        let waits = |flow: &Flow| !flow.outbox.is_empty() || (flow.full && world.pool.has_free());
        self.flows.iter().any(|flow| waits(flow) && flow.takes_more())
    }

    /// Whether everything that matches is read to its end.
    pub(super) fn is_read(&self) -> bool {
        self.begun && !self.is_busy() && self.tail.is_caught_up()
    }

    /// No further byte comes from anything that was read.
    pub(super) fn end_all(&mut self) {
        for (origin, followed) in &mut self.origins {
            if !std::mem::replace(&mut followed.ended, true) {
                self.flows[followed.flow].outbox.push_back(Arrival::Ended { origin: *origin });
            }
        }
    }

    /// Whether everything that was handed over is settled.
    pub(super) fn is_settled(&self) -> bool {
        let settled = |followed: &Followed| followed.settled >= followed.handed_over;
        self.flows.iter().all(|flow| flow.outbox.is_empty()) && self.origins.values().all(settled)
    }

    /// Contents with numbers from `from` on, as an operator sees them, and where to go on.
    pub(super) fn seen(&self, from: u32, most: u32) -> (Vec<FileSeen>, Option<u32>) {
        let (contents, next) = self.tail.inspect(from, most);
        let seen = |content: datalake_tail::Inspected| FileSeen {
            stream: self.name.clone(),
            flow: content.flow.map(|flow| self.flows[usize::from(flow.0)].name.clone()),
            content,
        };
        (contents.into_iter().map(seen).collect(), next)
    }

    /// What is known of a file.
    pub(super) fn about(&self, key: FileKey, beginning: &[u8]) -> FileKnown {
        let about = self.tail.about(key, beginning);
        let name = |flow: FlowId| self.flows[usize::from(flow.0)].name.clone();
        let flows = about.contents.iter().map(|content| content.flow.map(name)).collect();
        FileKnown { stream: self.name.clone(), about, flows }
    }

    /// See [`Tail::oldest_unsettled`].
    pub(super) fn oldest(&self, from: u32, most: u32, oldest: &mut [Option<(u64, u32)>]) -> Option<u32> {
        self.tail.oldest_unsettled(from, most, oldest)
    }

    /// Brings the accounting in line.
    pub(super) fn count(&self) {
        for (number, flow) in self.flows.iter().enumerate() {
            let gauge = self.tail.gauge(FlowId(number as u16));
            flow.books.files.set(gauge.files);
            flow.books.unsettled.set(gauge.lag);
            flow.books.unread.set(gauge.lag.saturating_sub(flow.under_way));
        }
    }

    /// Answers one question, or does a step of a longer answer. Returns what that cost; `None` when there is nothing to do.
    pub(super) fn work(&mut self, world: &mut World) -> Option<Work> {
        if let Some(todo) = self.asked.pop_front() {
            return Some(self.answer(todo, world));
        }
        self.work_on_a_job(world)
    }

    /// The same for the longer answers, so that they get on beside many short ones.
    pub(super) fn work_on_a_job(&mut self, world: &mut World) -> Option<Work> {
        let job = self.jobs.pop_front()?;
        Some(self.step_job(job, world))
    }

    fn answer(&mut self, todo: ToDo, world: &mut World) -> Work {
        match todo {
            ToDo::Watch { folder, path } => {
                let path: Arc<Path> = path.into();
                match self.folders.insert(folder, path.clone()) {
                    None => _ = world.watch.add(&path, world.now),
                    // It was not there, and may be now.
                    Some(_) => world.watch.renew_one(&path, world.now),
                }
                // That a folder comes into being is an event in the one above.
                let above = || !path.exists() && world.watch.has_events(folder_of(&path));
                let events = world.watch.has_events(&path) || above();
                self.numbers.insert(path.clone(), folder);
                self.tell(Seen::Watching { folder, events }, world);
            }
            ToDo::List { ticket, folder, everything } => self.begin_listing(ticket, folder, everything, world),
            ToDo::Look { folder, name } => self.look(folder, &name, world),
            ToDo::Open { ticket, slot, path, packing } => match self.open(&path, packing, world) {
                Ok((open, status)) => {
                    self.open.insert(slot, open);
                    self.tell(Seen::Opened { ticket, status: status.told() }, world);
                }
                Err(failure) => self.tell(Seen::Failed { ticket, failure }, world),
            },
            ToDo::Sample { ticket, slot, path, packing, ranges } => match packing {
                None => {
                    let sample = match slot {
                        Some(slot) => match self.open.get(&slot) {
                            Some(Open::Plain(plain)) => plain.sample(ranges).map_err(|error| failure_of(&error)),
                            _ => Err(Failure::Missing),
                        },
                        None => self
                            .open_plain(&path, world)
                            .and_then(|(plain, _)| plain.sample(ranges).map_err(|error| failure_of(&error))),
                    };
                    match sample {
                        Ok(sample) => self.tell(Seen::Sampled { ticket, sample }, world),
                        Err(failure) => self.tell(Seen::Failed { ticket, failure }, world),
                    }
                }
                Some(packing) => self.begin_sampling(ticket, slot, &path, packing, ranges, world),
            },
            ToDo::Read { ticket, flow, slot, from, overlap, most } => {
                return self.read(ticket, flow, slot, (from, overlap, most), world);
            }
            _ => {}
        }
        QUESTION
    }

    fn read(
        &mut self,
        ticket: Ticket,
        flow: FlowId,
        slot: Slot,
        (from, overlap, most): (u64, u32, u32),
        world: &mut World,
    ) -> Work {
        let number = usize::from(flow.0);
        let buffer = (world.reading && self.flows[number].has_room()).then(|| world.pool.lend()).flatten();
        let Some(mut buffer) = buffer else {
            self.flows[number].full = true;
            self.tell(Seen::NoRoom { ticket }, world);
            return 0;
        };
        match self.open.get_mut(&slot) {
            Some(Open::Plain(plain)) => match plain.read(from, overlap, most, &mut buffer) {
                Ok(Bytes::Some { first, status }) => {
                    let count = buffer.len() - first;
                    self.tell_read(ticket, buffer, first, &status, false, world);
                    QUESTION / 2 + count as u64
                }
                Ok(Bytes::Hole { end }) => {
                    world.pool.give_back(buffer);
                    self.tell(Seen::Hole { ticket, end }, world);
                    QUESTION
                }
                Err(error) => {
                    world.pool.give_back(buffer);
                    self.tell(Seen::Failed { ticket, failure: failure_of(&error) }, world);
                    QUESTION
                }
            },
            Some(Open::Packed(_)) => {
                self.jobs.push_back(Job::Read { ticket, slot, from, most, buffer, fresh: 0 });
                QUESTION
            }
            None => {
                world.pool.give_back(buffer);
                self.tell(Seen::Failed { ticket, failure: Failure::Missing }, world);
                QUESTION
            }
        }
    }

    /// The flow that the file belongs to, else the first whose patterns match.
    fn flow_of(&self, path: &Path) -> Option<FlowId> {
        let owner = self.flows.iter().position(|flow| flow.settings.owned.is_some() && flow.matches(path));
        let flow = owner.or_else(|| self.flows.iter().position(|flow| flow.matches(path)));
        flow.map(|place| FlowId(place as u16))
    }

    /// The flow for which a file of a name that no pattern matches may be a rotation; none for what is excluded.
    fn kin_of(&self, path: &Path, name: &[u8]) -> Option<FlowId> {
        if self.flows.iter().any(|flow| flow.includes(path)) {
            return None;
        }
        let folder = folder_of(path);
        names::kin(name).iter().find_map(|base| self.flow_of(&folder.join(OsStr::from_bytes(base))))
    }

    /// Whether the file is to be read from its end when it is there at the first start of everything that matches it.
    fn skips(&self, path: &Path, flow: FlowId) -> bool {
        if self.begun || self.flows[usize::from(flow.0)].settings.initial_position != InitialPosition::EndOfFile {
            return false;
        }
        let mut patterns = self.flows.iter().flat_map(|flow| &flow.settings.include);
        !patterns.any(|pattern| pattern.matches(path) && self.started.contains(pattern.as_str()))
    }

    /// Who finds the way to this file: the flow that reads it decides about links, or the strictest rule.
    fn walker(&self, path: &Path) -> Walker {
        let name = super::discover::name_of(path);
        let flow = self.flow_of(path).or_else(|| self.kin_of(path, name));
        let settings = flow.map(|flow| &self.flows[usize::from(flow.0)].settings);
        let owned = settings.is_some_and(|settings| settings.owned.is_some());
        let own = if owned { OwnFiles::default() } else { self.own.clone() };
        Walker { follow: settings.map_or(FollowLinks::Owned, |settings| settings.follow_links), own }
    }

    fn open_plain(&mut self, path: &Path, world: &mut World) -> Result<(Plain, identity::Status), Failure> {
        match self.walker(path).open_beside(path, &mut world.last_folder) {
            Ok((file, found)) => {
                self.words.accept(path);
                Ok((Plain::new(file, &found.status), found.status))
            }
            Err(trouble) => Err(self.refused(path, &trouble)),
        }
    }

    fn open(
        &mut self,
        path: &Path,
        packing: Option<Packing>,
        world: &mut World,
    ) -> Result<(Open, identity::Status), Failure> {
        let (plain, status) = self.open_plain(path, world)?;
        let Some(packing) = packing else { return Ok((Open::Plain(plain), status)) };
        let limits = self.limits_for(path);
        let unpacker = Unpacker::new(plain.file, packing, limits, &world.decoders)?;
        Ok((Open::Packed(Box::new(unpacker)), status))
    }

    fn limits_for(&self, path: &Path) -> datalake_archive::Limits {
        let name = super::discover::name_of(path);
        let flow = self.flow_of(path).or_else(|| self.kin_of(path, name)).unwrap_or(FlowId(0));
        self.flows[usize::from(flow.0)].settings.archives
    }

    /// What the core is told of trouble. A refusal is our own, so it is said here.
    fn refused(&mut self, path: &Path, trouble: &Trouble) -> Failure {
        let (failure, words) = trouble.told();
        if let Some(words) = words {
            self.words.refuse(path, &words);
        }
        failure
    }

    /// An event concerned this path.
    pub(super) fn hint(&mut self, path: &Path, world: &mut World) {
        if let Some(folder) = self.numbers.get(path) {
            let folder = *folder;
            self.tell(Seen::Unsure { folder }, world);
        }
        if let Some(folder) = self.numbers.get(folder_of(path)) {
            let folder = *folder;
            self.look(folder, super::discover::name_of(path), world);
        }
    }

    fn look(&mut self, folder: FolderId, name: &[u8], world: &mut World) {
        let Some(path) = self.folders.get(&folder).map(|folder| folder.join(OsStr::from_bytes(name))) else { return };
        let entry = match identity::of_link(&path) {
            Ok(status) if status.kind == Kind::Folder || status.kind == Kind::Other => None,
            Ok(status) => Some(self.entry(&path, name, Ok(&status))),
            Err(error) => match failure_of(&error) {
                Failure::Missing => None,
                _ => return self.tell(Seen::Unsure { folder }, world),
            },
        };
        self.tell(Seen::Changed { folder, name, entry }, world);
    }

    /// A name as the core is told of it. `status` is that of the name itself.
    fn entry(&mut self, path: &Path, name: &[u8], status: Result<&identity::Status, ()>) -> Entry {
        let flow = self.flow_of(path);
        let kin = if flow.is_none() { self.kin_of(path, name) } else { None };
        let skip = flow.is_some_and(|flow| self.skips(path, flow));
        let mut entry = Entry { name: name.into(), status: None, flow, kin, skip, hops: Vec::new() };
        match status {
            Ok(status) if status.kind == Kind::Link => match self.walker(path).find(path) {
                Ok(found) if found.status.kind == Kind::Regular => {
                    entry.status = Some(found.status.told());
                    entry.hops = found.hops;
                }
                Ok(_) => {}
                // It leads nowhere, and may lead somewhere later.
                Err(Trouble::Elsewhere) => entry.hops = super::walk::hops_of_dangling(path, self.walker(path).follow),
                Err(trouble) => {
                    self.refused(path, &trouble);
                }
            },
            Ok(status) => entry.status = Some(status.told()),
            Err(()) => {}
        }
        entry
    }

    fn entries(&mut self, folder: &Path, named: Vec<Named>) -> Vec<Entry> {
        named
            .into_iter()
            .map(|named| {
                let name = named.name.to_bytes();
                let path = folder.join(OsStr::from_bytes(name));
                self.entry(&path, name, named.status.as_ref().map_err(|_| ()))
            })
            .collect()
    }

    /// A search for the folders of the patterns.
    pub(super) fn search(&self) -> Search {
        Search::of(self.flows.iter().flat_map(|flow| &flow.settings.include))
    }

    /// Tells the core what came and went since the last search.
    pub(super) fn found_folders(&mut self, mut folders: Folders, world: &mut World) {
        if folders.incomplete {
            // A folder that could not be listed keeps its earlier entries if they still exist.
            let still = |folder: &&PathBuf| folder.is_dir();
            folders.leaves.extend(self.patterns.leaves.iter().filter(still).cloned());
            folders.branches.extend(self.patterns.branches.iter().filter(still).cloned());
        }
        let before = std::mem::replace(&mut self.patterns, folders);
        let new: Vec<PathBuf> = self.patterns.leaves.difference(&before.leaves).cloned().collect();
        let gone: Vec<PathBuf> = before.leaves.difference(&self.patterns.leaves).cloned().collect();
        for path in &new {
            self.tell(Seen::Folder { path }, world);
        }
        for path in &gone {
            self.tell(Seen::FolderGone { path }, world);
        }
    }

    /// Something may have happened in the folder that no event told of.
    pub(super) fn doubt(&mut self, folder: &Path, world: &mut World) {
        let Some(number) = self.numbers.get(folder).copied() else { return };
        let events = world.watch.has_events(folder);
        self.tell(Seen::Watching { folder: number, events }, world);
        self.tell(Seen::Unsure { folder: number }, world);
    }

    fn begin_listing(&mut self, ticket: Ticket, folder: FolderId, everything: bool, world: &mut World) {
        let Some(path) = self.folders.get(&folder).cloned() else {
            return self.tell(Seen::Failed { ticket, failure: Failure::Missing }, world);
        };
        let all = self.flows.iter().any(|flow| flow.settings.follow_links == FollowLinks::All);
        let owned = self.flows.iter().all(|flow| flow.settings.owned.is_some());
        let follow = if all { FollowLinks::All } else { FollowLinks::Owned };
        let walker = Walker { follow, own: if owned { OwnFiles::default() } else { self.own.clone() } };
        let listing = walker.open_folder(&path).and_then(|folder| Listing::begin(folder).map_err(Trouble::from));
        match listing {
            Ok(listing) => self.jobs.push_back(Job::List { ticket, path, everything, listing }),
            // A file where a folder was: the folder is not there.
            Err(Trouble::Other) => self.tell(Seen::Failed { ticket, failure: Failure::Missing }, world),
            Err(trouble) => {
                let failure = self.refused(&path, &trouble);
                self.tell(Seen::Failed { ticket, failure }, world);
            }
        }
    }
}

/// The slot that a question is about.
const fn slot_of(todo: &ToDo) -> Option<Slot> {
    match todo {
        ToDo::Open { slot, .. } | ToDo::Read { slot, .. } => Some(*slot),
        ToDo::Sample { slot, .. } => *slot,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `a_destination_without_work_is_small` of the tail core, for what is around it.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_destination_without_work_is_small() {
        for (what, size, most) in [("Stream", size_of::<Stream>(), 1_912), ("Flow", size_of::<Flow>(), 104)] {
            assert!(size <= most, "{what} takes {size} bytes, more than {most}");
        }
    }
}
