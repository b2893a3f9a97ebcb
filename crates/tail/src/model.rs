//! A filesystem in memory, a shell over it, and an account of every line: what the core runs against in tests.
//! Promises two views, what is true and what is seen, and that its own obligations are kept outside the core.
//! Leaves which actions make up a world to `worlds`.

use crate::{
    ArchiveFault, Entry, Failure, FileKey, FlowId, FlowSettings, FolderId, FolderRow, Kind, Limits, Moment, Notice,
    Origin, Packing, Part, Position, Row, Sample, Seen, Settings, Slot, Status, Tail, Ticket, ToDo, names,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// An archive of the model: the mark, the content, the end mark. What lacks the last is not whole.
const GZIP: &[u8] = b"\x1f\x8b\x08G";
const ZIP: &[u8] = b"PK\x03\x04";
const END: &[u8] = b"\0END";

pub(crate) fn pack(content: &[u8]) -> Vec<u8> {
    [GZIP, content, END].concat()
}

fn text_of(data: &[u8]) -> Vec<u8> {
    match data.strip_prefix(GZIP) {
        Some(rest) => rest.strip_suffix(END).unwrap_or(rest).to_vec(),
        None => data.to_vec(),
    }
}

/// A file of the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    key: FileKey,
    pub(crate) data: Vec<u8>,
    changed: u64,
    names: u32,
    /// What a network filesystem says of its size, while it is wrong.
    stale: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Link(PathBuf),
}

/// What is true.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fs {
    pub(crate) inodes: Vec<Inode>,
    nodes: BTreeMap<PathBuf, Node>,
    folders: BTreeSet<PathBuf>,
    stamp: u64,
    next_inode: u64,
    free_inodes: Vec<u64>,
    pub(crate) device: u64,
    /// Whether the filesystem keeps births; without them inodes are truly used again.
    pub(crate) births: bool,
    pub(crate) reuse: bool,
    changes: Vec<PathBuf>,
}

impl Fs {
    fn touch(&mut self, inode: usize) {
        self.stamp += 1;
        self.inodes[inode].changed = self.stamp;
    }

    pub(crate) fn folder(&mut self, path: &str) {
        self.folders.insert(path.into());
    }

    /// The names that a lookup goes through, and the file at the end.
    fn resolve(&self, path: &Path) -> (Vec<PathBuf>, Option<usize>) {
        let mut hops = Vec::new();
        let mut at = path.to_path_buf();
        for _ in 0..8 {
            match self.nodes.get(&at) {
                Some(Node::File(inode)) => return (hops, Some(*inode)),
                Some(Node::Link(target)) => {
                    at = target.clone();
                    hops.push(target.clone());
                }
                None => return (hops, None),
            }
        }
        (hops, None)
    }

    pub(crate) fn inode(&self, path: &str) -> Option<usize> {
        self.resolve(Path::new(path)).1
    }

    pub(crate) fn content(&self, path: &str) -> Option<&[u8]> {
        self.inode(path).map(|inode| &*self.inodes[inode].data)
    }

    /// What a reader gets out of the file: unpacked, where it is an archive.
    pub(crate) fn text(&self, path: &str) -> Option<Vec<u8>> {
        self.content(path).map(text_of)
    }

    /// The same of every file that has a name.
    pub(crate) fn texts(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        self.inodes.iter().filter(|inode| inode.names > 0).map(|inode| text_of(&inode.data))
    }

    pub(crate) fn create(&mut self, path: &str, data: &[u8]) {
        self.unlink(path);
        self.next_inode += 1;
        let reused = self.free_inodes.pop().filter(|_| self.reuse);
        let number = reused.unwrap_or(self.next_inode);
        let born = if self.births { self.next_inode * 1_000 } else { 0 };
        let key = FileKey { device: self.device, inode: number, born };
        self.inodes.push(Inode { key, data: data.to_vec(), changed: 0, names: 1, stale: None });
        let inode = self.inodes.len() - 1;
        self.touch(inode);
        self.nodes.insert(path.into(), Node::File(inode));
        self.changes.push(path.into());
    }

    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.unlink(path);
        self.nodes.insert(path.into(), Node::Link(target.into()));
        self.changes.push(path.into());
    }

    pub(crate) fn append(&mut self, path: &str, data: &[u8]) {
        match self.inode(path) {
            Some(inode) => {
                self.inodes[inode].data.extend_from_slice(data);
                self.touch(inode);
                let (hops, _) = self.resolve(Path::new(path));
                self.changes.push(hops.last().cloned().unwrap_or_else(|| path.into()));
            }
            None => self.create(path, data),
        }
    }

    pub(crate) fn truncate(&mut self, path: &str, size: usize) {
        if let Some(inode) = self.inode(path) {
            self.inodes[inode].data.truncate(size);
            self.touch(inode);
            let (hops, _) = self.resolve(Path::new(path));
            self.changes.push(hops.last().cloned().unwrap_or_else(|| path.into()));
        }
    }

    /// In place, as an editor or `cp` does: the same file, other bytes.
    pub(crate) fn overwrite(&mut self, path: &str, data: &[u8]) {
        self.truncate(path, 0);
        self.append(path, data);
    }

    /// In the same tick of the clock as the change before: its stamps say nothing.
    pub(crate) fn overwrite_within_the_tick(&mut self, path: &str, data: &[u8]) {
        if let Some(inode) = self.inode(path) {
            self.inodes[inode].data = data.to_vec();
        }
    }

    pub(crate) fn unlink(&mut self, path: &str) {
        if let Some(node) = self.nodes.remove(Path::new(path)) {
            if let Node::File(inode) = node {
                self.inodes[inode].names -= 1;
                if self.inodes[inode].names == 0 {
                    self.free_inodes.push(self.inodes[inode].key.inode);
                }
                self.touch(inode);
            }
            self.changes.push(path.into());
        }
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        if from == to || !self.nodes.contains_key(Path::new(from)) {
            return;
        }
        self.unlink(to);
        let Some(node) = self.nodes.remove(Path::new(from)) else { return };
        if let Node::File(inode) = node {
            self.touch(inode);
        }
        self.nodes.insert(to.into(), node);
        self.changes.push(from.into());
        self.changes.push(to.into());
    }

    pub(crate) fn copy(&mut self, from: &str, to: &str) {
        if let Some(data) = self.content(from).map(<[u8]>::to_vec) {
            self.create(to, &data);
        }
    }

    pub(crate) fn compress(&mut self, from: &str, to: &str) {
        if let Some(data) = self.content(from).map(pack) {
            self.create(to, &data);
        }
    }

    /// Everything is mounted anew, under another number.
    pub(crate) fn remount(&mut self) {
        self.device += 1;
        let device = self.device;
        self.inodes.iter_mut().for_each(|inode| inode.key.device = device);
    }

    /// For a while the file looks as long as this.
    pub(crate) fn stale(&mut self, path: &str, size: Option<u64>) {
        if let Some(inode) = self.inode(path) {
            self.inodes[inode].stale = size;
            self.changes.push(path.into());
        }
    }

    fn status(&self, inode: usize) -> Status {
        let inode = &self.inodes[inode];
        let size = inode.stale.unwrap_or(inode.data.len() as u64);
        Status { key: inode.key, size, changed: inode.changed, names: inode.names }
    }
}

#[derive(Clone, Copy, Debug)]
struct Opened {
    inode: usize,
    packed: bool,
}

/// One origin as the flow sees it.
#[derive(Debug, Default)]
struct Stream {
    end: u64,
    begun: Vec<u8>,
    ended: bool,
}

/// A running agent: the core and its shell.
struct Agent {
    tail: Tail,
    watches: BTreeMap<u32, PathBuf>,
    slots: BTreeMap<u32, Opened>,
    events: VecDeque<PathBuf>,
    answers: VecDeque<ToDo>,
    streams: BTreeMap<u64, Stream>,
    begun: bool,
}

/// What goes wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// How many of a hundred events are lost silently.
    pub(crate) lost_events: u32,
    /// How many of a hundred questions are answered by an error that means "later".
    pub(crate) failures: u32,
    /// Answers come in any order.
    pub(crate) disorder: bool,
    /// How many of a hundred reads find no room.
    pub(crate) no_room: u32,
    /// Names of which no event tells.
    pub(crate) unheard: BTreeSet<PathBuf>,
    /// Files and folders of which nothing but this comes.
    pub(crate) failing: BTreeMap<PathBuf, Failure>,
}

/// A world: files, an agent that may run, and what arrived from it over all starts.
pub(crate) struct World {
    pub(crate) fs: Fs,
    agent: Option<Agent>,
    pub(crate) rows: BTreeMap<u64, Row>,
    pub(crate) folder_rows: BTreeMap<PathBuf, FolderRow>,
    pub(crate) started: bool,
    /// Names that a pattern matches.
    pub(crate) matches: fn(&Path) -> bool,
    pub(crate) homes: Vec<PathBuf>,
    pub(crate) rotated_to: Vec<PathBuf>,
    pub(crate) from_end: bool,
    pub(crate) owned: bool,
    pub(crate) skips_header: bool,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) now: Moment,
    pub(crate) delivered: BTreeMap<Vec<u8>, u32>,
    /// In the order of their arrival.
    pub(crate) lines: Vec<Vec<u8>>,
    pub(crate) notices: Vec<Notice>,
    /// Lines that a crash may have sent again.
    pub(crate) may_repeat: BTreeSet<Vec<u8>>,
    /// Lines that arrived and whose position may not be saved yet, and when they came.
    unsaved: BTreeMap<Vec<u8>, Moment>,
    pub(crate) saves: u64,
    /// Bytes that had arrived when the process died, and were not settled: whether they had, the next one cannot know.
    pub(crate) in_flight: u64,
    /// Files that an agent was shown, and how much was in them the last time.
    shown: BTreeMap<usize, u64>,
    pub(crate) settles: bool,
    pub(crate) random: fastrand::Rng,
    pub(crate) steps: u64,
    origins: u64,
    pub(crate) read_bytes: u64,
    /// How often a file was opened, or looked into.
    pub(crate) looks: u64,
    /// Folders that were listed, and whether all of their names were wanted.
    pub(crate) listed: Vec<(PathBuf, bool)>,
    /// First lines that were not whole when their origin began.
    pub(crate) generations: Vec<(Origin, u64)>,
    pub(crate) log: bool,
}

fn flow_of(matches: fn(&Path) -> bool, path: &Path) -> Option<FlowId> {
    matches(path).then_some(FlowId(0))
}

impl World {
    pub(crate) fn new(matches: fn(&Path) -> bool) -> Self {
        let mut fs = Fs { device: 1, births: true, ..Fs::default() };
        fs.folder("/l");
        Self {
            fs,
            agent: None,
            rows: BTreeMap::new(),
            folder_rows: BTreeMap::new(),
            started: false,
            matches,
            homes: vec!["/l".into()],
            rotated_to: Vec::new(),
            from_end: false,
            owned: false,
            skips_header: false,
            limits: Limits { read: 4 * 1024, ..Limits::default() },
            faults: Faults::default(),
            now: Moment(1_000_000),
            delivered: BTreeMap::new(),
            lines: Vec::new(),
            notices: Vec::new(),
            may_repeat: BTreeSet::new(),
            unsaved: BTreeMap::new(),
            saves: 0,
            in_flight: 0,
            shown: BTreeMap::new(),
            settles: true,
            random: fastrand::Rng::with_seed(0),
            steps: 0,
            origins: 0,
            read_bytes: 0,
            looks: 0,
            listed: Vec::new(),
            generations: Vec::new(),
            log: std::env::var_os("TAIL_LOG").is_some(),
        }
    }

    pub(crate) fn start(&mut self) {
        self.fs.changes.clear();
        let flow =
            FlowSettings { rotated_to: self.rotated_to.clone(), owned: self.owned, skips_header: self.skips_header };
        self.origins += 1 << 32;
        let settings = Settings { flows: vec![flow], limits: self.limits, first_origin: self.origins };
        let mut tail = Tail::new(settings);
        for row in self.rows.values() {
            tail.remember(row.clone(), flow_of(self.matches, &row.home).or_else(|| self.kin(&row.home)));
        }
        for row in self.folder_rows.values() {
            tail.remember_folder(row.clone());
        }
        self.agent = Some(Agent {
            tail,
            watches: BTreeMap::new(),
            slots: BTreeMap::new(),
            events: VecDeque::new(),
            answers: VecDeque::new(),
            streams: BTreeMap::new(),
            begun: false,
        });
        for home in self.homes.clone() {
            self.step(Seen::Folder { path: &home });
        }
        self.step(Seen::Start);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.agent.is_some()
    }

    /// The process dies. What was not saved may be sent again.
    pub(crate) fn crash(&mut self) {
        self.agent = None;
        let unsaved = std::mem::take(&mut self.unsaved);
        self.in_flight += unsaved.keys().map(|line| line.len() as u64 + 1).sum::<u64>();
        self.may_repeat.extend(unsaved.into_keys());
    }

    /// It stops in good order: everything that is settled is saved, as the shell does it.
    pub(crate) fn stop(&mut self) {
        self.run_for(100);
        loop {
            let saves = self.saves;
            self.now = self.now.plus_ms(25);
            self.step(Seen::Time);
            if self.saves == saves {
                break;
            }
        }
        if self.settles {
            self.unsaved.clear();
        }
        self.crash();
    }

    /// Events of what was done to the files since.
    fn note_changes(&mut self) {
        let changes = std::mem::take(&mut self.fs.changes);
        let Some(agent) = &mut self.agent else { return };
        for path in changes {
            let watched = agent.watches.values().any(|folder| Some(folder.as_path()) == path.parent());
            let heard = !self.faults.unheard.contains(&path);
            if watched && heard && self.random.u32(..100) >= self.faults.lost_events && !agent.events.contains(&path) {
                agent.events.push_back(path);
            }
        }
    }

    /// Runs without a pause in time until there is nothing to do at once.
    pub(crate) fn run(&mut self) {
        for _ in 0..5_000 + self.fs.inodes.len() * 20 {
            self.note_changes();
            let disorder = self.faults.disorder;
            let Some(agent) = &mut self.agent else { return };
            let which = if disorder { self.random.usize(..agent.answers.len().max(1)) } else { 0 };
            if let Some(question) = agent.answers.remove(which) {
                self.answer(question);
            } else if let Some(path) = agent.events.pop_front() {
                self.event(&path);
            } else if agent.tail.deadline().is_some_and(|at| at <= self.now) {
                self.step(Seen::Time);
            } else {
                return;
            }
        }
        panic!("the core never comes to rest");
    }

    /// Takes this number of single steps.
    pub(crate) fn run_steps(&mut self, steps: usize) {
        for _ in 0..steps {
            self.note_changes();
            let Some(agent) = &mut self.agent else { return };
            if let Some(question) = agent.answers.pop_front() {
                self.answer(question);
            } else if let Some(path) = agent.events.pop_front() {
                self.event(&path);
            } else if let Some(at) = agent.tail.deadline() {
                self.now = self.now.max(at);
                self.step(Seen::Time);
            }
        }
    }

    /// Lets this many milliseconds pass.
    pub(crate) fn run_for(&mut self, milliseconds: u64) {
        let until = self.now.plus_ms(milliseconds);
        loop {
            self.run();
            let Some(agent) = &self.agent else { break };
            match agent.tail.deadline() {
                Some(at) if at <= until => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = until;
        self.run();
        // What was settled a moment ago is saved by now.
        let now = self.now;
        if self.settles && self.agent.is_some() {
            self.unsaved.retain(|_, came| now.ms_since(*came) < 50);
        }
    }

    pub(crate) fn is_caught_up(&self) -> bool {
        self.agent.as_ref().is_none_or(|agent| agent.tail.is_caught_up())
    }

    pub(crate) fn lag(&self) -> u64 {
        self.agent.as_ref().map_or(0, |agent| agent.tail.gauge(FlowId(0)).lag)
    }

    pub(crate) fn open_files(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.slots.len())
    }

    /// How many origins may still get bytes.
    pub(crate) fn origins_open(&self) -> usize {
        self.agent.as_ref().map_or(0, |agent| agent.streams.values().filter(|stream| !stream.ended).count())
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.begun)
    }

    fn kin(&self, path: &Path) -> Option<FlowId> {
        let (parent, name) = (path.parent()?, path.file_name()?.as_bytes());
        names::kin(name).iter().find_map(|base| flow_of(self.matches, &parent.join(OsStr::from_bytes(base))))
    }

    /// Whether an agent was shown the file.
    pub(crate) fn has_shown(&self, path: &str) -> bool {
        self.fs.inode(path).is_some_and(|inode| self.shown.contains_key(&inode))
    }

    /// Whether there was anything in the file when an agent was shown it last.
    pub(crate) fn has_shown_some(&self, path: &str) -> bool {
        self.fs.inode(path).is_some_and(|inode| self.shown.get(&inode).is_some_and(|size| *size > 0))
    }

    /// Whether the line arrived, and its position is saved.
    pub(crate) fn is_saved(&self, line: &[u8]) -> bool {
        self.count(line) > 0 && !self.unsaved.contains_key(line)
    }

    fn entry(&mut self, path: &Path) -> Option<Entry> {
        let node = self.fs.nodes.get(path)?;
        let (hops, inode) = self.fs.resolve(path);
        self.shown.extend(inode.map(|inode| (inode, self.fs.status(inode).size)));
        let name = path.file_name().map(OsStr::as_bytes).unwrap_or_default();
        let flow = flow_of(self.matches, path);
        let status = inode.map(|inode| self.fs.status(inode));
        if matches!(node, Node::File(_)) && status.is_none() {
            return None;
        }
        let kin = if flow.is_none() { self.kin(path) } else { None };
        Some(Entry { name: name.into(), status, flow, kin, skip: self.from_end && !self.started, hops })
    }

    fn event(&mut self, path: &Path) {
        let Some(agent) = &self.agent else { return };
        let Some(folder) = agent
            .watches
            .iter()
            .find(|(_, watched)| Some(watched.as_path()) == path.parent())
            .map(|(folder, _)| *folder)
        else {
            return;
        };
        let entry = self.entry(path);
        let name: Vec<u8> = path.file_name().map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        self.step(Seen::Changed { folder: FolderId(folder), name: &name, entry });
    }

    fn fails(&mut self, path: &Path) -> Option<Failure> {
        if let Some(failure) = self.faults.failing.get(path) {
            return Some(*failure);
        }
        if self.random.u32(..100) >= self.faults.failures {
            return None;
        }
        Some([Failure::NoResource, Failure::Stale, Failure::Denied, Failure::NoDecoder][self.random.usize(..4)])
    }

    /// Does the IO of a question, and tells the answer.
    fn answer(&mut self, question: ToDo) {
        match question {
            ToDo::Watch { folder, .. } => self.step(Seen::Watching { folder, events: true }),
            ToDo::List { ticket, folder, everything } => self.list(ticket, folder, everything),
            ToDo::Look { folder, name } => {
                let Some(path) = self.agent.as_ref().and_then(|agent| agent.watches.get(&folder.0)) else { return };
                let path = path.join(OsStr::from_bytes(&name));
                self.event(&path);
            }
            ToDo::Open { ticket, slot, path, packing } => match (self.fails(&path), self.fs.resolve(&path).1) {
                (Some(failure), _) => self.step(Seen::Failed { ticket, failure }),
                (None, None) => self.step(Seen::Failed { ticket, failure: Failure::Missing }),
                (None, Some(inode)) => {
                    let opened = Opened { inode, packed: packing.is_some() };
                    self.looks += 1;
                    if let Some(agent) = &mut self.agent {
                        assert!(agent.slots.insert(slot.0, opened).is_none(), "a slot is used twice");
                        assert!(agent.slots.len() <= self.limits.open, "too many open files");
                        let decoders = agent.slots.values().filter(|opened| opened.packed).count();
                        assert!(decoders <= self.limits.decoders, "too many decoders");
                    }
                    self.step(Seen::Opened { ticket, status: self.fs.status(inode) });
                }
            },
            ToDo::Sample { ticket, slot, path, packing, ranges } => {
                assert!(ranges.len() <= 16, "{} ranges", ranges.len());
                let inode = match slot {
                    Some(slot) => match self.agent.as_ref().and_then(|agent| agent.slots.get(&slot.0)) {
                        Some(opened) => Some(opened.inode),
                        None => return,
                    },
                    None => self.fs.resolve(&path).1,
                };
                self.looks += 1;
                let failure = self.fails(&path).or(inode.is_none().then_some(Failure::Missing));
                match (failure, inode) {
                    (None, Some(inode)) => match self.sample(inode, packing, &ranges) {
                        Ok(sample) => self.step(Seen::Sampled { ticket, sample }),
                        Err(failure) => self.step(Seen::Failed { ticket, failure }),
                    },
                    (failure, _) => self.step(Seen::Failed { ticket, failure: failure.unwrap_or(Failure::Missing) }),
                }
            }
            ToDo::Read { ticket, slot, from, most, overlap, .. } => self.read(ticket, slot, from, most, overlap),
            other => panic!("{other:?} has no answer"),
        }
    }

    fn list(&mut self, ticket: Ticket, folder: FolderId, everything: bool) {
        let Some(path) = self.agent.as_ref().and_then(|agent| agent.watches.get(&folder.0)).cloned() else { return };
        self.listed.push((path.clone(), everything));
        if !self.fs.folders.contains(&path) {
            return self.step(Seen::Failed { ticket, failure: Failure::Missing });
        }
        if let Some(failure) = self.fails(&path) {
            return self.step(Seen::Failed { ticket, failure });
        }
        let paths: Vec<PathBuf> =
            self.fs.nodes.keys().filter(|node| node.parent() == Some(path.as_path())).cloned().collect();
        let entries: Vec<Entry> = paths
            .into_iter()
            .filter_map(|path| self.entry(&path))
            .filter(|entry| everything || entry.flow.is_some() || entry.kin.is_some())
            .collect();
        let mut parts: Vec<Vec<Entry>> = entries.chunks(self.limits.entries).map(<[Entry]>::to_vec).collect();
        let last = parts.pop().unwrap_or_default();
        for entries in parts {
            self.step(Seen::Listed { ticket, entries, last: false });
        }
        self.step(Seen::Listed { ticket, entries: last, last: true });
    }

    /// What is in an archive, and whether that is all.
    fn unpacked(data: &[u8]) -> Result<(&[u8], bool), Failure> {
        let rest = data.strip_prefix(GZIP).ok_or(Failure::Archive(ArchiveFault::Corrupt))?;
        Ok(rest.strip_suffix(END).map_or((rest, false), |whole| (whole, true)))
    }

    fn sample(
        &self,
        inode: usize,
        packing: Option<Packing>,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Sample, Failure> {
        let data = &self.fs.inodes[inode].data;
        let (bytes, whole) = if packing.is_some() { Self::unpacked(data)? } else { (&data[..], true) };
        let mut parts = Vec::new();
        for range in ranges {
            assert!(range.end - range.start <= 1024 && range.start < range.end, "range {range:?}");
            if !whole && range.end > bytes.len() as u64 {
                return Err(Failure::Archive(ArchiveFault::NotWhole));
            }
            let within = |position: u64| position.min(bytes.len() as u64) as usize;
            parts.push(Part { range: range.clone(), bytes: bytes[within(range.start)..within(range.end)].to_vec() });
        }
        let reached = ranges.iter().any(|range| range.end >= bytes.len() as u64);
        let kind = match bytes {
            _ if ranges.iter().all(|range| range.start > 0) => Kind::Plain,
            _ if bytes.starts_with(GZIP) => Kind::Packed(Packing::Gzip),
            _ if bytes.starts_with(ZIP) => Kind::Packed(Packing::Other),
            _ if !bytes.is_empty() && (GZIP.starts_with(bytes) || ZIP.starts_with(bytes)) => Kind::Undecided,
            _ => Kind::Plain,
        };
        let end = (packing.is_some() && reached).then_some(bytes.len() as u64);
        Ok(Sample { status: self.fs.status(inode), parts, packed: packing.is_some(), kind, end })
    }

    fn read(&mut self, ticket: Ticket, slot: Slot, from: u64, most: u32, overlap: u32) {
        let Some(opened) = self.agent.as_ref().and_then(|agent| agent.slots.get(&slot.0)).copied() else { return };
        if self.random.u32(..100) < self.faults.no_room {
            return self.step(Seen::NoRoom { ticket });
        }
        if let Some(failure) = self.fails(Path::new("")) {
            return self.step(Seen::Failed { ticket, failure });
        }
        let data = self.fs.inodes[opened.inode].data.clone();
        let (bytes, whole) = if opened.packed {
            match Self::unpacked(&data) {
                Ok((bytes, whole)) => (bytes, whole),
                Err(failure) => return self.step(Seen::Failed { ticket, failure }),
            }
        } else {
            (&data[..], true)
        };
        let start = from.min(bytes.len() as u64) as usize;
        let end = (start + most as usize).min(bytes.len());
        if opened.packed && !whole && end - start <= overlap as usize {
            let failure = Failure::Archive(ArchiveFault::NotWhole);
            return self.step(Seen::Failed { ticket, failure });
        }
        let is_end = opened.packed && whole && end == bytes.len();
        let status = self.fs.status(opened.inode);
        let bytes = bytes[start..end].to_vec();
        self.step(Seen::Read { ticket, bytes: &bytes, status, end: is_end });
    }

    /// One step of the core, and everything that it wants done.
    pub(crate) fn step(&mut self, seen: Seen<'_>) {
        let bytes = match &seen {
            Seen::Read { bytes, .. } => bytes.to_vec(),
            _ => Vec::new(),
        };
        if self.log {
            println!("{:>9} {seen:?}", self.now.0 / 1000);
        }
        let Some(agent) = &mut self.agent else { return };
        let mut todo = Vec::new();
        agent.tail.step(seen, self.now, &mut todo);
        assert!(agent.tail.wakes_for_rows(), "rows changed, and no step is due that saves them");
        self.steps += 1;
        let saves = todo.iter().filter(|todo| matches!(todo, ToDo::Save(_))).count();
        assert!(todo.len() - saves <= 2_000, "{} things to do at once", todo.len());
        let mut handed_over = Vec::new();
        for todo in todo {
            if self.log {
                println!("          → {todo:?}");
            }
            self.execute(todo, &bytes, &mut handed_over);
        }
        if self.settles {
            for origin in handed_over {
                self.settle(origin);
            }
        }
    }

    fn execute(&mut self, todo: ToDo, bytes: &[u8], handed_over: &mut Vec<Origin>) {
        let Some(agent) = &mut self.agent else { return };
        match todo {
            ToDo::Watch { folder, path } => {
                agent.watches.insert(folder.0, path.clone());
                agent.answers.push_back(ToDo::Watch { folder, path });
            }
            ToDo::Unwatch { folder } => {
                agent.watches.remove(&folder.0);
            }
            ToDo::Close { slot } => {
                assert!(agent.slots.remove(&slot.0).is_some(), "a slot is closed that is not open");
            }
            ToDo::Begin { origin, start, .. } => {
                assert!(origin.number() >= self.origins, "origins are the process's own");
                let stream = Stream { end: start.0, ..Stream::default() };
                assert!(agent.streams.insert(origin.number(), stream).is_none(), "an origin begins twice");
            }
            ToDo::HandOver { origin, start, skip, .. } => {
                self.receive(origin, start, &bytes[skip..]);
                handed_over.push(origin);
            }
            ToDo::End { origin, .. } => {
                let stream = agent.streams.get_mut(&origin.number()).expect("an end of what has begun");
                assert!(!std::mem::replace(&mut stream.ended, true), "an origin ends twice");
                let line = std::mem::take(&mut stream.begun);
                if !line.is_empty() {
                    self.deliver(line);
                }
                handed_over.push(origin);
            }
            ToDo::Save(row) => {
                assert!(row.proof.boundaries().iter().all(|boundary| boundary.end <= row.position));
                let decoded = crate::Proof::decode(&row.proof.encode());
                assert_eq!(decoded.as_ref(), Some(&row.proof));
                self.saves += 1;
                self.rows.insert(row.id.0, *row);
            }
            ToDo::Forget(id) => {
                self.rows.remove(&id.0);
            }
            ToDo::SaveFolder(row) => {
                self.folder_rows.insert(row.path.clone(), *row);
            }
            ToDo::ForgetFolder(path) => {
                self.folder_rows.remove(&path);
            }
            ToDo::Begun => {
                agent.begun = true;
                self.started = true;
            }
            ToDo::Say(notice) => self.notices.push(notice),
            ToDo::Generation { origin, generation } => self.generations.push((origin, generation)),
            question => agent.answers.push_back(question),
        }
    }

    fn receive(&mut self, origin: Origin, start: Position, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "nothing is handed over");
        self.read_bytes += bytes.len() as u64;
        let Some(agent) = &mut self.agent else { return };
        let stream = agent.streams.get_mut(&origin.number()).expect("bytes of what has begun");
        assert!(!stream.ended, "bytes after the end");
        assert_eq!(stream.end, start.0, "a gap");
        stream.end += bytes.len() as u64;
        stream.begun.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(newline) = stream.begun.iter().position(|byte| *byte == b'\n') {
            let mut line: Vec<u8> = stream.begun.drain(..=newline).collect();
            line.pop();
            lines.push(line);
        }
        lines.into_iter().for_each(|line| self.deliver(line));
    }

    fn deliver(&mut self, line: Vec<u8>) {
        *self.delivered.entry(line.clone()).or_default() += 1;
        self.unsaved.insert(line.clone(), self.now);
        self.lines.push(line);
    }

    fn settle(&mut self, origin: Origin) {
        let Some(stream) = self.agent.as_ref().and_then(|agent| agent.streams.get(&origin.number())) else { return };
        let position = Position(stream.end - stream.begun.len() as u64);
        self.step(Seen::Settled { origin, position, filtered: 0, quarantined: 0 });
    }

    pub(crate) fn settle_all(&mut self) {
        let origins: Vec<u64> = self.agent.iter().flat_map(|agent| agent.streams.keys().copied()).collect();
        origins.into_iter().for_each(|origin| self.settle(Origin::new(origin)));
    }

    pub(crate) fn count(&self, line: &[u8]) -> u32 {
        self.delivered.get(line).copied().unwrap_or(0)
    }

    pub(crate) fn destroyed(&self) -> u64 {
        let bytes = |notice: &Notice| match notice {
            Notice::Destroyed { bytes, .. } => *bytes as i64,
            Notice::Recovered { bytes, .. } => -(*bytes as i64),
            _ => 0,
        };
        self.notices.iter().map(bytes).sum::<i64>() as u64
    }
}
