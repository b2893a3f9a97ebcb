//! The rounds of tailing: take hints, look, read round robin, save rows, wait.
//! Promises to wait only when there is nothing to do, and never for a flow.
//! Leaves every decision to the streams.

use super::discover::folder_of;
use super::identity::{self, Kind};
use super::reader::Descriptors;
use super::stream::{Flow, Stream, World};
use super::turns::Turn;
use super::watch::{Hints, Inbox, Watch};
use super::{Input, Orders, Save};
use datalake_base::record::{CheckpointUpdate, ChunkPool, Remembered, pace_of_saving};
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

/// Everything is looked at so often, whatever the events say.
const SWEEP: Duration = Duration::from_secs(120);

/// What has no events is looked at so often.
const POLL: Duration = Duration::from_secs(1);

/// How often time alone is given a chance, while there is something it may change.
const TICK: Duration = Duration::from_millis(250);

/// How often watermarks are taken, while some are to be expected; more often soon after the start.
const ROWS: Duration = Duration::from_millis(500);

/// After something vanished from a folder, the folder itself is looked for after so long.
const FOLDER_GOES: Duration = Duration::from_millis(100);

/// When some folders could not be walked for want of a descriptor, it is tried again after this.
const INCOMPLETE_AGAIN: Duration = Duration::from_secs(2);

/// A flow without room is tried again after this at the latest; a wake-up comes sooner.
const BLOCKED: Duration = Duration::from_millis(20);

/// After work came quickly, the next hints are given this long to collect.
const COALESCE: Duration = Duration::from_millis(1);

/// Turns in a row before hints are looked at again.
const TURNS: usize = 64;

fn wall_clock() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the edge of the tailer: decisions get this as a value")]
    let now = SystemTime::now();
    now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// When what is due next.
struct Due {
    sweep: Instant,
    poll: Instant,
    tick: Instant,
    rows: Instant,
    /// Folders came or went: find them anew, not before this.
    folders: Option<Instant>,
}

struct Rounds {
    streams: Vec<Stream>,
    world: World,
    watch: Watch,
    inbox: Arc<Inbox>,
    save: Save,
    orders: Arc<Orders>,
    begun: Instant,
    due: Due,
    /// Until told to stop.
    reading: bool,
    folders_cost: Duration,
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

/// Tails until it is told to finish. Other tasks of the runtime get their turn between two rounds.
pub(super) async fn run(inputs: Vec<Input>, remembered: Remembered, pool: ChunkPool, save: Save, orders: Arc<Orders>) {
    let mut rounds = Rounds::begin(inputs, &remembered, pool, save, orders.clone());
    drop(remembered);
    orders.begun.store(true, Ordering::Release);
    loop {
        match rounds.round() {
            Next::Round => tokio::task::yield_now().await,
            Next::Wait(time) => {
                // Whether it was the time or somebody who woke us, the next round finds out what there is to do.
                let _woken = tokio::time::timeout(time, orders.wake.notified()).await;
                if rounds.may_wait_for_more() {
                    tokio::time::sleep(COALESCE).await;
                }
            }
            Next::End => return,
        }
    }
}

/// One stream for each destination, its flows in their order.
fn streams(inputs: Vec<Input>) -> Vec<Stream> {
    let mut streams: Vec<Stream> = Vec::new();
    for input in inputs {
        let name = input.settings.stream.clone();
        match streams.iter_mut().find(|stream| stream.name == name) {
            Some(stream) => stream.flows.push(Flow::from(input)),
            None => streams.push(Stream::new(name, vec![Flow::from(input)])),
        }
    }
    streams
}

impl Rounds {
    fn begin(inputs: Vec<Input>, remembered: &Remembered, pool: ChunkPool, save: Save, orders: Arc<Orders>) -> Self {
        let for_inbox = orders.clone();
        let inbox = Arc::new(Inbox::new(Box::new(move || for_inbox.wake.notify_one())));
        let now = Instant::now();
        let mut rounds = Self {
            streams: streams(inputs),
            world: World { now, wall: wall_clock(), pool, next_origin: 1, descriptors: Descriptors::new() },
            watch: Watch::new(inbox.clone()),
            inbox,
            save,
            orders,
            begun: now,
            due: Due { sweep: now + SWEEP, poll: now + POLL, tick: now, rows: now, folders: None },
            reading: true,
            folders_cost: Duration::ZERO,
        };
        let mut update = CheckpointUpdate::default();
        for stream in &mut rounds.streams {
            stream.remember(remembered, &rounds.world);
        }
        rounds.find_folders();
        for stream in &mut rounds.streams {
            stream.due.clear();
            stream.begin(remembered, &mut rounds.world, &mut update);
            stream.take_watermarks();
            stream.collect_rows(rounds.world.wall, &mut update);
        }
        rounds.send(update);
        rounds
    }

    /// Does what there is to do now, a bounded part of it.
    fn round(&mut self) -> Next {
        self.world.now = Instant::now();
        self.world.wall = wall_clock();
        if self.orders.finish.load(Ordering::Acquire) {
            self.save_rows();
            return Next::End;
        }
        if self.reading && self.orders.stop_reading.load(Ordering::Acquire) {
            self.reading = false;
            self.streams.iter_mut().flat_map(|stream| &mut stream.flows).for_each(|flow| flow.arrivals = None);
        }
        if let Some(hints) = self.inbox.take() {
            self.follow_hints(hints);
        }
        self.do_what_is_due();
        if self.read() { Next::Round } else { Next::Wait(self.until_next()) }
    }

    /// Finds the folders anew, watches them, and looks at those that are new.
    fn find_folders(&mut self) {
        let begun = Instant::now();
        let mut wanted = BTreeSet::new();
        let mut gone: Vec<(usize, PathBuf)> = Vec::new();
        for (place, stream) in self.streams.iter_mut().enumerate() {
            let before = stream.folders.leaves.clone();
            wanted.extend(stream.refresh_folders());
            gone.extend(before.difference(&stream.folders.leaves).map(|folder| (place, folder.clone())));
        }
        let fresh = self.watch.set(&wanted, self.world.now);
        for stream in &mut self.streams {
            for folder in fresh.iter().filter(|folder| stream.folders.leaves.contains(*folder)) {
                stream.due.insert(folder.clone(), self.world.now);
            }
        }
        for (place, folder) in gone {
            self.streams[place].due.insert(folder, self.world.now);
        }
        // What came into a folder after it was walked and before it was watched, no event tells.
        if fresh.iter().any(|folder| self.streams.iter().any(|stream| stream.folders.branches.contains(folder))) {
            self.due.folders = Some(self.world.now);
        }
        if self.streams.iter().any(|stream| stream.folders.incomplete) {
            self.due.folders.get_or_insert(self.world.now + INCOMPLETE_AGAIN);
        }
        self.folders_cost = begun.elapsed();
    }

    fn follow_hints(&mut self, hints: Hints) {
        if hints.everywhere {
            tracing::debug!("events were lost; looking everywhere");
            self.due.sweep = self.world.now;
            return;
        }
        for path in hints.paths {
            let status = identity::of_path(&path).ok();
            for stream in &mut self.streams {
                stream.hint(&path, status.as_ref(), &self.world);
            }
            let is_folder = status.is_some_and(|status| status.kind == Kind::Folder);
            let concerns = |stream: &Stream| {
                let known = stream.folders.leaves.contains(&path) || stream.folders.branches.contains(&path);
                known || (is_folder && stream.folders.branches.contains(folder_of(&path)))
            };
            self.watch.doubt(&path);
            if self.streams.iter().any(concerns) {
                let not_before = self.world.now + (self.folders_cost * 10).min(POLL);
                self.due.folders.get_or_insert(not_before);
            } else if status.is_none() && self.watch.watches(folder_of(&path)) {
                // Perhaps the whole folder goes. Its own end is told only when the last of its files is closed, and we
                // may be the one who has it open.
                let not_before = self.world.now + (self.folders_cost * 10).clamp(FOLDER_GOES, POLL);
                self.due.folders.get_or_insert(not_before);
            }
        }
    }

    fn do_what_is_due(&mut self) {
        let now = self.world.now;
        if self.due.folders.is_some_and(|at| at <= now) || self.due.sweep <= now {
            self.due.folders = None;
            self.find_folders();
        }
        if self.due.sweep <= now {
            self.due.sweep = now + SWEEP;
            self.watch.retry(now);
            for stream in &mut self.streams {
                let leaves: Vec<PathBuf> = stream.folders.leaves.iter().cloned().collect();
                stream.look(&leaves, &mut self.world);
                stream.expire(self.world.wall);
            }
        }
        if self.due.poll <= now {
            self.due.poll = now + POLL;
            self.poll();
        }
        for stream in &mut self.streams {
            stream.look_at_due(&mut self.world);
            stream.judge_doubted(&mut self.world);
        }
        if self.due.tick <= now {
            self.due.tick = now + TICK;
            self.streams.iter_mut().for_each(|stream| stream.tick(&mut self.world));
        }
        if self.due.rows <= now && self.streams.iter().any(Stream::awaits_watermarks) {
            self.due.rows = now + pace_of_saving(now - self.begun, ROWS);
            self.save_rows();
        }
    }

    /// Looks at what no event would tell about.
    fn poll(&mut self) {
        self.watch.retry(self.world.now);
        let polled: HashSet<&Path> = self.watch.polled().collect();
        for stream in &mut self.streams {
            let folders: Vec<PathBuf> =
                stream.folders.leaves.iter().filter(|folder| polled.contains(folder.as_path())).cloned().collect();
            if !folders.is_empty() {
                stream.look(&folders, &mut self.world);
            }
            stream.look_at_links(&self.world);
        }
        let branches = self.streams.iter().flat_map(|stream| &stream.folders.branches);
        if branches.into_iter().any(|folder| polled.contains(folder.as_path())) {
            self.due.folders.get_or_insert(self.world.now);
        }
    }

    /// Reads round robin: a turn for each flow, again and again. Returns whether there may be more to do at once.
    fn read(&mut self) -> bool {
        let mut done = 0;
        let mut busy = false;
        for stream in &mut self.streams {
            busy |= stream.verify_step(&mut self.world);
        }
        for flow in self.streams.iter_mut().flat_map(|stream| &mut stream.flows) {
            flow.blocked = false;
        }
        while self.reading && done < TURNS {
            let mut progress = false;
            for stream in &mut self.streams {
                for flow in 0..stream.flows.len() {
                    progress |= one_turn(stream, flow, &mut self.world);
                }
            }
            if !progress {
                break;
            }
            done += 1;
            busy |= done == TURNS;
        }
        for stream in &mut self.streams {
            stream.hold_unread(&mut self.world);
        }
        busy
    }

    /// How long there is nothing to do unless something happens.
    fn until_next(&self) -> Duration {
        let mut next = self.due.sweep;
        let mut sooner = |at: Instant| next = next.min(at);
        self.due.folders.into_iter().for_each(&mut sooner);
        self.streams.iter().flat_map(|stream| stream.due.values().copied()).for_each(&mut sooner);
        if self.streams.iter().any(Stream::awaits_watermarks) {
            sooner(self.due.rows);
        }
        if self.streams.iter().any(|stream| !stream.ticking.is_empty()) {
            sooner(self.due.tick);
        }
        if self.watch.polled().next().is_some() || self.streams.iter().any(Stream::has_links) {
            sooner(self.due.poll);
        }
        if self.reading && self.streams.iter().flat_map(|stream| &stream.flows).any(|flow| flow.blocked) {
            sooner(self.world.now + BLOCKED);
        }
        next.saturating_duration_since(Instant::now())
    }

    /// Under heavy writing each wake-up would find a few bytes; a moment later there are more.
    fn may_wait_for_more(&self) -> bool {
        let blocked = self.streams.iter().flat_map(|stream| &stream.flows).any(|flow| flow.blocked);
        !blocked && self.world.now.elapsed() < COALESCE
    }

    fn save_rows(&mut self) {
        let mut update = CheckpointUpdate::default();
        for stream in &mut self.streams {
            stream.take_watermarks();
            stream.collect_rows(self.world.wall, &mut update);
        }
        self.send(update);
    }

    fn send(&self, update: CheckpointUpdate) {
        if !(update.positions.is_empty() && update.forgotten.is_empty() && update.started.is_empty()) {
            (self.save)(update);
        }
    }
}

/// A turn for one flow: the first of its strands that need not wait for another. Returns whether it got one.
fn one_turn(stream: &mut Stream, flow: usize, world: &mut World) -> bool {
    if stream.flows[flow].blocked {
        return false;
    }
    for _ in 0..stream.flows[flow].ready.len() {
        match stream.turn(flow, world) {
            Turn::Done => return true,
            Turn::HeldBack => {}
            Turn::Blocked => {
                stream.flows[flow].blocked = true;
                return false;
            }
            Turn::Nothing => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::discover::Pattern;
    use crate::source::file::{InitialPosition, Outlet, Settings};
    use datalake_base::record::Arrival;
    use std::fs;
    use std::io::Write;

    fn append(path: &Path, text: &str) {
        fs::File::options().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Everything that was handed over.
    fn take(outlet: &mut Outlet, text: &mut String) {
        while let Ok(arrival) = outlet.arrivals.try_recv() {
            if let Arrival::Read(chunk) = arrival {
                text.push_str(std::str::from_utf8(&chunk.bytes).unwrap());
            }
        }
    }

    /// On a busy machine a file was rotated twice between two looks, and what was open was read in between. That counted
    /// as a look at its path: the file that had come and gone meanwhile was taken for one from before, and never read.
    #[test]
    fn what_was_rotated_away_between_two_looks_is_found_though_the_open_file_was_read_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let settings = Settings {
            stream: "firehose:s".to_owned(),
            include: vec![Pattern::parse(path("w*.log").to_str().unwrap()).unwrap()],
            exclude: Vec::new(),
            initial_position: InitialPosition::StartOfFile,
            owned: None,
            own: crate::source::file::OwnFiles::default(),
        };
        let (input, mut outlet) = Input::new("f", &settings);
        append(&path("w.log"), "one\n");
        let orders = Arc::new(Orders::default());
        let save: Save = Box::new(|_| {});
        let mut rounds = Rounds::begin(vec![input], &Remembered::default(), Input::pool(1), save, orders);
        let (mut text, deadline) = (String::new(), Instant::now() + Duration::from_secs(30));
        let mut until = |rounds: &mut Rounds, text: &mut String, expected: &str| {
            while !text.contains(expected) {
                assert!(Instant::now() < deadline, "never {expected}, only {text}");
                rounds.round();
                take(&mut outlet, text);
            }
        };
        until(&mut rounds, &mut text, "one\n");
        append(&path("w.log"), "two\n");
        fs::rename(path("w.log"), path("w.log.2")).unwrap();
        append(&path("w.log"), "three\n");
        fs::rename(path("w.log"), path("w.log.1")).unwrap();
        append(&path("w.log"), "four\n");
        // A second later, before any look: the turn of the open file.
        rounds.world.wall = wall_clock() + 1000;
        let (stream, world) = (&mut rounds.streams[0], &mut rounds.world);
        let id = *stream.strands.keys().next().unwrap();
        let strand = stream.strands.get_mut(&id).unwrap();
        assert!(strand.source.is_some(), "it is open still");
        strand.place.size = 8;
        stream.enqueue(id);
        assert!(one_turn(stream, 0, world));
        until(&mut rounds, &mut text, "four\n");
        assert_eq!(text, "one\ntwo\nthree\nfour\n");
    }
}
