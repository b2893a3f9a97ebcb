//! The rounds of tailing: take events and watermarks, answer the tail cores, save what they want saved, wait.
//! Promises to wait only when there is nothing to do, that a round is short, and that no flow waits for another's files.
//! Leaves what is done to the streams.

use super::answering;
use super::discover::{Search, folder_of};
use super::identity::{self, Kind};
use super::stream::{Flow, Stream, Work, World};
use super::unpack::Decoders;
use super::walk::LastFolder;
use super::watch::{Hints, Inbox, Watch};
use super::{Change, Input, Means, Orders, OwnFiles, Save};
use crate::saved::{CheckpointUpdate, Remembered};
use datalake_tail::{Limits, Seen};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// The folders of the patterns are found anew so often, whatever the events say.
const SWEEP: Duration = Duration::from_secs(120);

/// The same where folders have no events.
const POLL: Duration = Duration::from_secs(1);

/// After something vanished from a folder, the folder itself is looked for after so long.
const FOLDER_GOES: Duration = Duration::from_millis(100);

/// When some folders could not be walked for want of a descriptor, it is tried again after this.
const INCOMPLETE_AGAIN: Duration = Duration::from_secs(2);

/// A flow without room is tried again after this at the latest; a wake-up comes sooner.
const BLOCKED: Duration = Duration::from_millis(20);

/// Work of one round, in bytes read or what takes as long: a few milliseconds.
const ROUND: Work = 4 << 20;

/// Names that one round looks at in a search for folders.
const SEARCH: usize = 1_000;

/// Events that one round follows.
const HINTS: usize = 256;

/// No more files than this are open, whatever the system allows.
const MOST_OPEN: usize = 512;

/// Descriptors left for everything but files: the runtime, the checkpoint, connections, folders while they are read.
const FOR_OTHERS: u64 = 40;

/// However few the system allows.
const FEWEST_OPEN: usize = 4;

/// The number of the next stream.
static STREAMS: AtomicU64 = AtomicU64::new(1);

struct Rounds {
    streams: Vec<Stream>,
    /// Whose turn is first.
    first: usize,
    world: World,
    inbox: Arc<Inbox>,
    /// Events that wait for their round.
    hints: Vec<PathBuf>,
    /// Folders that are watched because others may come up in them.
    branches: BTreeSet<PathBuf>,
    save: Save,
    orders: Arc<Orders>,
    sweep: Instant,
    poll: Instant,
    /// Folders came or went: find them anew, not before this.
    folders: Option<Instant>,
    /// That is under way: in the folders of this stream.
    search: Option<(usize, Search)>,
    folders_cost: Duration,
    begun: bool,
}

/// What comes after a round.
enum Next {
    /// Another, at once.
    Round,
    /// Nothing, for so long or until somebody wakes us.
    Wait(Duration),
    /// Everything is saved that was to be saved.
    End,
}

/// Tails until it is asked to finish. Other tasks of the runtime get their turn between two rounds.
pub(super) async fn run(inputs: Vec<Input>, remembered: Remembered, means: Means, orders: Arc<Orders>) {
    let mut rounds = Rounds::begin(inputs, remembered, means, orders.clone());
    loop {
        let next = rounds.round();
        rounds.world.last_folder.forget();
        match next {
            Next::Round => tokio::task::yield_now().await,
            Next::Wait(time) => {
                // Whether it was the time or somebody who woke us, the next round finds out what there is to do.
                let _woken = tokio::time::timeout(time, orders.wake.notified()).await;
            }
            Next::End => return,
        }
    }
}

/// One stream for each destination, its flows in their order.
pub(super) fn streams(inputs: Vec<Input>, remembered: Remembered) -> Vec<Stream> {
    let mut by_name: Vec<(Arc<str>, Vec<Flow>)> = Vec::new();
    for input in inputs {
        let name: Arc<str> = input.settings.stream.as_str().into();
        match by_name.iter_mut().find(|(known, _)| *known == name) {
            Some((_, flows)) => flows.push(Flow::from(input)),
            None => by_name.push((name, vec![Flow::from(input)])),
        }
    }
    let limits = Limits { open: most_open() / by_name.len().max(1), ..Limits::default() };
    let mut streams = Vec::with_capacity(by_name.len());
    for (name, flows) in by_name {
        let started = remembered.started.iter().filter(|(stream, _)| **stream == *name);
        let started: HashSet<String> = started.map(|(_, pattern)| pattern.clone()).collect();
        // No two streams of a process ever number an origin alike.
        let number = STREAMS.fetch_add(1, Ordering::Relaxed);
        streams.push(Stream::new(name, flows, started, limits, number << 40));
    }
    let places: HashMap<Arc<str>, usize> =
        streams.iter().enumerate().map(|(place, stream)| (stream.name.clone(), place)).collect();
    let mut rows = vec![0; streams.len()];
    let known = remembered.contents.iter().filter_map(|saved| places.get(&saved.stream));
    known.for_each(|place| rows[*place] += 1);
    streams.iter_mut().zip(rows).for_each(|(stream, rows)| stream.expect(rows));
    for saved in &remembered.contents {
        // What a destination has that no flow feeds stays in the checkpoint as it is.
        if let Some(place) = places.get(&saved.stream) {
            // Copied, and all rows freed together in the end: what a content keeps of its row would lie scattered among
            // them, and the memory of a hundred thousand rows could not be given back.
            streams[*place].remember(saved.row.clone());
        }
    }
    for (name, row) in remembered.folders {
        if let Some(place) = places.get(&name) {
            streams[*place].remember_folder(row);
        }
    }
    streams
}

/// How many files may be open at the same time.
fn most_open() -> usize {
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    let left = allowed.saturating_sub(FOR_OTHERS).min(allowed / 2);
    usize::try_from(left).unwrap_or(MOST_OPEN).clamp(FEWEST_OPEN, MOST_OPEN)
}

impl Rounds {
    fn begin(inputs: Vec<Input>, remembered: Remembered, means: Means, orders: Arc<Orders>) -> Self {
        let for_inbox = orders.clone();
        let inbox = Arc::new(Inbox::new(Box::new(move || for_inbox.wake.notify_one())));
        let now = Instant::now();
        let world = World {
            now,
            epoch: now.checked_sub(Duration::from_secs(1)).unwrap_or(now),
            pool: means.pool,
            decoders: Decoders::new(means.budget),
            watch: Watch::new(inbox.clone()),
            reading: true,
            scratch: Vec::new(),
            last_folder: LastFolder::default(),
        };
        let mut rounds = Self {
            streams: streams(inputs, remembered),
            first: 0,
            world,
            inbox,
            hints: Vec::new(),
            branches: BTreeSet::new(),
            save: means.save,
            orders,
            sweep: now + SWEEP,
            poll: now + POLL,
            folders: None,
            search: None,
            folders_cost: Duration::ZERO,
            begun: false,
        };
        rounds.find_folders();
        while rounds.search.is_some() {
            rounds.search_on(usize::MAX);
        }
        for stream in &mut rounds.streams {
            stream.tell(Seen::Start, &mut rounds.world);
        }
        rounds
    }

    /// Does what there is to do now, a bounded part of it.
    fn round(&mut self) -> Next {
        self.world.now = Instant::now();
        if self.orders.finish.load(Ordering::Acquire) {
            self.finish();
            return Next::End;
        }
        if self.orders.stop_reading.load(Ordering::Acquire) {
            self.world.reading = false;
            self.streams.iter_mut().for_each(Stream::stop_reading);
        }
        self.change();
        let mut settles = false;
        for stream in &mut self.streams {
            settles |= stream.take_watermarks(&mut self.world);
            stream.look_for_room(&mut self.world);
        }
        self.follow_hints();
        self.do_what_is_due();
        // Positions do not wait for what is read.
        self.save();
        let busy = self.work();
        self.streams.iter().for_each(Stream::count);
        self.save();
        let busy = answering::answer_one(&self.orders, &self.streams) || busy;
        if busy || settles || self.search.is_some() || !self.hints.is_empty() {
            return Next::Round;
        }
        if self.orders.once.load(Ordering::Acquire) {
            self.come_to_the_end();
        }
        if self.asks_for_room() { Next::Round } else { Next::Wait(self.until_next()) }
    }

    /// Does what was asked for since the last round.
    fn change(&mut self) {
        let changes = std::mem::take(&mut *self.orders.changes.lock().unwrap_or_else(PoisonError::into_inner));
        for change in changes {
            match change {
                Change::StopReading(names) => {
                    let concerned = self.streams.iter_mut().filter(|stream| names.contains(&*stream.name));
                    concerned.for_each(Stream::stop_reading);
                }
                Change::Leave(names, left) => {
                    self.leave(&names);
                    // Who asked may have stopped waiting.
                    left.send(()).ok();
                }
                Change::Enter(streams, buffers, own) => self.enter(streams, buffers, &own),
            }
        }
    }

    /// Saves what these destinations have settled, and forgets them.
    fn leave(&mut self, names: &BTreeSet<String>) {
        let now = self.world.now;
        let streams = std::mem::take(&mut self.streams);
        let (mut going, staying): (Vec<Stream>, Vec<Stream>) =
            streams.into_iter().partition(|stream| names.contains(&*stream.name));
        for stream in &mut going {
            while stream.take_watermarks(&mut self.world) {}
            stream.save_all(&mut self.world);
            stream.count();
        }
        // The last rows come as if time went by.
        self.world.now = now;
        self.streams = going;
        self.save();
        std::mem::take(&mut self.streams).into_iter().for_each(|stream| stream.leave(&mut self.world));
        self.streams = staying;
        self.folders = Some(self.world.now);
    }

    /// Tails for these destinations too.
    fn enter(&mut self, streams: Vec<Stream>, buffers: usize, own: &OwnFiles) {
        let first = self.streams.len();
        self.world.pool.resize(buffers);
        self.streams.extend(streams);
        let most = most_open() / self.streams.len().max(1);
        for stream in &mut self.streams {
            stream.protect(own);
            stream.limit_open(most);
        }
        self.begun = false;
        self.find_folders();
        for stream in &mut self.streams[first..] {
            stream.tell(Seen::Start, &mut self.world);
        }
    }

    /// Answers questions, a stream after the other, until the round's share of work is done. Returns whether there is more.
    fn work(&mut self) -> bool {
        let mut done = 0;
        let streams = self.streams.len();
        self.first = (self.first + 1) % streams.max(1);
        // The longer answers first: one step for each stream, so that short ones do not keep them waiting.
        for stream in &mut self.streams {
            done += stream.work_on_a_job(&mut self.world).unwrap_or(0);
        }
        let mut idle = 0;
        let mut turn = self.first;
        while idle < streams && done < ROUND {
            match self.streams[turn].work(&mut self.world) {
                Some(work) => (done, idle) = (done + work.max(1), 0),
                None => idle += 1,
            }
            turn = (turn + 1) % streams;
        }
        for stream in &mut self.streams {
            stream.take_time(&mut self.world);
        }
        let overdue = |stream: &Stream| stream.deadline(&self.world).is_some_and(|at| at <= self.world.now);
        self.streams.iter().any(|stream| stream.is_busy() || overdue(stream))
    }

    /// Begins to find the folders of the patterns anew, for the flows that there are now.
    fn find_folders(&mut self) {
        self.inbox.coalescing.set_patience(self.streams.iter().map(Stream::patience).min().unwrap_or_default());
        self.search = self.streams.first().map(|stream| (0, stream.search()));
        self.folders_cost = Duration::ZERO;
    }

    /// Looks at no more names than this on the way to the folders of the patterns.
    fn search_on(&mut self, names: usize) {
        let Some((number, search)) = &mut self.search else { return };
        let begun = Instant::now();
        if let Some(folders) = search.step(names) {
            self.streams[*number].found_folders(folders, &mut self.world);
            let next = *number + 1;
            self.search = self.streams.get(next).map(|stream| (next, stream.search()));
            if self.search.is_none() {
                self.found_folders();
            }
        }
        self.folders_cost += begun.elapsed();
    }

    /// All streams know their folders: watches those in which more may come up.
    fn found_folders(&mut self) {
        let branches: BTreeSet<PathBuf> =
            self.streams.iter().flat_map(|stream| &stream.patterns.branches).cloned().collect();
        // What came into a folder after it was walked and before it was watched, no event tells.
        if branches.difference(&self.branches).count() > 0 {
            self.folders = Some(self.world.now);
        }
        for branch in branches.difference(&self.branches) {
            self.world.watch.add(branch, self.world.now);
        }
        for branch in self.branches.difference(&branches) {
            self.world.watch.remove(branch);
        }
        self.branches = branches;
        for folder in self.world.watch.renew(self.world.now) {
            self.streams.iter_mut().for_each(|stream| stream.doubt(&folder, &mut self.world));
        }
        if self.streams.iter().any(|stream| stream.patterns.incomplete) {
            self.folders.get_or_insert(self.world.now + INCOMPLETE_AGAIN);
        }
    }

    fn follow_hints(&mut self) {
        if let Some(Hints { paths, everywhere }) = self.inbox.take() {
            if everywhere {
                tracing::debug!("events were lost; looking everywhere");
                self.hints.clear();
                self.folders = Some(self.world.now);
                self.streams.iter_mut().for_each(|stream| stream.tell(Seen::EventsLost, &mut self.world));
            }
            self.hints.extend(paths);
        }
        let some = self.hints.len().min(HINTS);
        let mut paths = self.hints.drain(..some).collect::<Vec<_>>();
        paths.extend(paths.iter().flat_map(|path| self.world.watch.aliases(path)).collect::<Vec<_>>());
        for path in paths {
            for stream in &mut self.streams {
                stream.hint(&path, &mut self.world);
            }
            self.consider_folders(&path);
        }
    }

    /// Perhaps the folders of the patterns are others now.
    fn consider_folders(&mut self, path: &std::path::Path) {
        let status = identity::of_path(path).ok();
        let is_folder = status.as_ref().is_some_and(|status| status.kind == Kind::Folder);
        if self.world.watch.watches(path) {
            self.world.watch.doubt(path);
        }
        let concerns = |stream: &Stream| stream.patterns.leaves.contains(path);
        let known = self.branches.contains(path) || self.streams.iter().any(concerns) || self.world.watch.watches(path);
        if known || (is_folder && self.branches.contains(folder_of(path))) {
            self.folders.get_or_insert(self.world.now + (self.folders_cost * 10).min(POLL));
        } else if status.is_none() && self.world.watch.watches(folder_of(path)) {
            // Perhaps the whole folder goes. Its own end comes only when the last of its files is closed, and we may be the
            // one who has it open.
            self.folders.get_or_insert(self.world.now + (self.folders_cost * 10).clamp(FOLDER_GOES, POLL));
        }
    }

    fn do_what_is_due(&mut self) {
        let now = self.world.now;
        self.search_on(SEARCH);
        if self.search.is_none() && (self.folders.is_some_and(|at| at <= now) || self.sweep <= now) {
            self.folders = None;
            if self.sweep <= now {
                self.sweep = now + SWEEP;
            }
            self.find_folders();
        }
        if self.poll <= now {
            self.poll = now + POLL;
            for folder in self.world.watch.retry(now) {
                self.streams.iter_mut().for_each(|stream| stream.doubt(&folder, &mut self.world));
            }
            if self.branches.iter().any(|folder| !self.world.watch.has_events(folder)) {
                self.folders.get_or_insert(now);
            }
        }
        for stream in &mut self.streams {
            stream.take_time(&mut self.world);
        }
    }

    /// Everything is to be read once: when it is, its last lines are complete, and all is done when they are settled.
    fn come_to_the_end(&mut self) {
        if self.world.reading
            && self.folders.is_none()
            && self.search.is_none()
            && self.streams.iter().all(Stream::is_read)
        {
            self.world.reading = false;
            self.streams.iter_mut().for_each(Stream::end_all);
        }
        let settled = !self.world.reading && self.streams.iter().all(Stream::is_settled);
        self.orders.caught_up.store(settled, Ordering::Release);
    }

    /// A flow that makes room from here on wakes us, where that is waited for. Whether one has made room just before.
    fn asks_for_room(&self) -> bool {
        let waits = self.streams.iter().any(Stream::waits_for_room);
        self.orders.wants_room.store(waits, Ordering::SeqCst);
        waits && self.streams.iter().any(|stream| stream.has_room(&self.world))
    }

    /// How long there is nothing to do unless something happens.
    fn until_next(&self) -> Duration {
        let mut next = self.sweep;
        let mut sooner = |at: Instant| next = next.min(at);
        self.folders.into_iter().for_each(&mut sooner);
        self.streams.iter().filter_map(|stream| stream.deadline(&self.world)).for_each(&mut sooner);
        if self.world.watch.is_lacking() {
            sooner(self.poll);
        }
        if self.streams.iter().any(Stream::waits_for_room) {
            sooner(self.world.now + BLOCKED);
        }
        next.saturating_duration_since(Instant::now())
    }

    /// Takes the last watermarks and saves what they say.
    fn finish(&mut self) {
        for stream in &mut self.streams {
            while stream.take_watermarks(&mut self.world) {}
            stream.save_all(&mut self.world);
        }
        self.streams.iter().for_each(Stream::count);
        self.save();
    }

    fn save(&mut self) {
        let mut update = CheckpointUpdate::default();
        for stream in &mut self.streams {
            let CheckpointUpdate { contents, folders, started, settled_bytes, .. } = std::mem::take(&mut stream.update);
            update.contents.extend(contents);
            update.folders.extend(folders);
            update.started.extend(started);
            update.settled_bytes += settled_bytes;
        }
        if !update.is_empty() || update.settled_bytes > 0 {
            (self.save)(update);
        }
        if !self.begun && self.streams.iter().all(|stream| stream.begun) {
            self.begun = true;
            self.orders.begun.store(true, Ordering::Release);
        }
    }
}
