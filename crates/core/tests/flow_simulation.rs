//! The flow core in a seeded world: files that grow, end and begin anew, a service with every kind of failure,
//! crashes that forget everything but the committed watermarks. No clock, no task, no socket.
//!
//! Half of the worlds process their records: options that make them longer, that drop some and that fail on some.
//!
//! Checked in every world: nothing before a committed watermark was lost, memory and window stay within their bounds,
//! the accounting balances after every step, poison records end up in the quarantine and nothing else does; the same seed
//! gives the same history. `SIMULATION_SEED=n` runs one world again, `SIMULATION_WORLDS=n` runs more of them.

#![expect(clippy::disallowed_methods, reason = "a world starts from the clock and is chosen by the environment")]

use datalake_base::accounting::{Calls, Spread};
use datalake_base::record::{Arrival, Chunk, FileKey, Origin, OriginInfo, Position, Watermark};
use datalake_core::batch::{self, Compression, Form, PartitionKey, kinesis};
use datalake_core::budget::{Budget, Lease};
use datalake_core::deliver::{Answer, Fault, GivenUp, Meaning, Outcome, pace};
use datalake_core::flow::{Action, BatchId, Core, Input, Job, Settings};
use datalake_core::framing::{self, LongLines, MultiLine, StartPattern};
use datalake_process::{self, OnFailure, Processor, Surroundings};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Read as _;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

const POISON: &[u8] = b"poison";
/// Lines with this are dropped by an option, where there are options.
const UNWANTED: u8 = b'~';
/// Lines with this are what an option cannot work on.
const UNFIT: u8 = b'!';

/// What is done with the records of a world.
#[derive(Clone)]
struct Processing {
    settings: datalake_process::Settings,
    on_failure: OnFailure,
}

fn processing(random: &mut fastrand::Rng) -> Option<Processing> {
    if random.bool() {
        return None;
    }
    Some(PROCESSINGS[random.usize(..PROCESSINGS.len())].clone())
}

/// This many patterns that look around may take so long that some lines are processed elsewhere, and others one a step.
const COSTLY_PATTERNS: usize = 130;

/// Each way to fail, with records that grow a little and much, and with options that may take long. Made once: patterns take long to compile.
static PROCESSINGS: LazyLock<Vec<Processing>> = LazyLock::new(|| {
    let mut all = Vec::new();
    for on_failure in [OnFailure::Quarantine, OnFailure::Raw, OnFailure::Drop] {
        for (padding, costly) in [(0, 0), (300, 0), (0, COSTLY_PATTERNS)] {
            let costly = std::iter::repeat_n("^(?=`)`", costly);
            let options = serde_json::json!([
                {"optionName": "FILTER", "exclude": std::iter::once("~").chain(costly).collect::<Vec<_>>()},
                {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": "([^!]*)", "customFieldNames": ["line"]},
                {"optionName": "ADDFIELDS", "fields": {"padding": "x".repeat(padding)}},
            ]);
            let settings = datalake_process::Settings::parse_with(&options, on_failure).expect("the options are good");
            all.push(Processing { settings, on_failure });
        }
    }
    all
});

/// One file of the world; its lines are `F<file>:<number>:<padding>`.
struct File {
    content: Vec<u8>,
    /// What is committed; survives a crash.
    committed: u64,
    /// What was handed to the core since the last start, and as which origin.
    read: u64,
    origin: Option<Origin>,
    /// Nothing will be appended any more.
    complete: bool,
    ended: bool,
}

/// A record as it was sent.
#[derive(Clone)]
struct Sent {
    key: String,
    data: Vec<u8>,
}

struct World {
    random: fastrand::Rng,
    settings: Settings,
    processing: Option<Processing>,
    now: Instant,
    core: Core,
    files: Vec<File>,
    next_origin: u64,
    calls: BTreeMap<BatchId, Vec<Sent>>,
    quarantining: BTreeMap<BatchId, Vec<GivenUp>>,
    /// A record that is processed elsewhere.
    elsewhere: Option<(BatchId, Box<Job>)>,
    /// Steps that were not done in one go, one behind the other.
    halfway: u32,
    /// Every line that the service accepted or the quarantine kept, per file: number -> how often.
    accepted: Vec<BTreeMap<u64, u32>>,
    quarantined: BTreeSet<(usize, u64)>,
    arrival_order: Vec<(usize, u64)>,
    /// The same with the partition key that each line came under; empty for Firehose.
    keyed_order: Vec<(String, usize, u64)>,
    memory_limit: usize,
    faults: bool,
    /// Once in a world the stream refuses every call for a while, without a word about why.
    refuses_until: Option<Instant>,
    crashes: u32,
    finished: bool,
    /// The newest of each origin, since the last crash.
    watermarks: BTreeMap<Origin, Watermark>,
    history: DefaultHasher,
}

/// `F<file>:…` in a JSON line with a key, where keys come from the lines.
const FIELD: &str = "k";

/// A service, and for Kinesis keys of every kind; packed: whether lines can be aggregated.
fn form(random: &mut fastrand::Rng, packed: bool) -> Form {
    if random.bool() {
        return Form::Firehose;
    }
    let partition_key = match random.u8(..4) {
        0 => PartitionKey::Random,
        1 if !packed => PartitionKey::Deterministic,
        2 => PartitionKey::Path(regex::Regex::new("/world/[0-9]*([0-9])$").expect("a good pattern")),
        _ => PartitionKey::Field(FIELD.to_owned()),
    };
    let can_order = matches!(partition_key, PartitionKey::Path(_) | PartitionKey::Field(_));
    let (kpl, ordered) = (packed && random.bool(), can_order && random.bool());
    Form::Kinesis(kinesis::Settings { partition_key, kpl, ordered, record_bytes: kinesis::RECORD_BYTES })
}

fn settings(random: &mut fastrand::Rng) -> Settings {
    let aggregated_record_bytes = random.bool().then(|| random.usize(100..5_000));
    let form = form(random, aggregated_record_bytes.is_some());
    let is_firehose = matches!(form, Form::Firehose);
    let from_lines =
        matches!(&form, Form::Kinesis(settings) if matches!(settings.partition_key, PartitionKey::Field(_)));
    let join = random.u8(..4) == 0 && !from_lines;
    let gzip = is_firehose && random.u8(..4) == 0;
    let max_concurrent_requests = if form.is_ordered() { 1 } else { random.usize(1..4) };
    let batch = batch::Settings {
        stream: "simulated".to_owned(),
        form,
        max_age: Duration::from_millis(random.u64(10..2_000)),
        max_bytes: random.usize(if is_firehose { 2_000 } else { 4_000 }..40_000),
        max_records: random.usize(1..40),
        aggregated_record_bytes,
        max_lines_per_record: random.bool().then(|| random.u32(1..30)),
        compression: if gzip { Compression::Gzip { level: 1 } } else { Compression::None },
    };
    let framing = framing::Settings {
        max_line_bytes: batch.longest_line().min(700),
        long_lines: LongLines::Split,
        terminator: b"\n".to_vec(),
        skip_header_lines: 0,
        multi_line: join.then(|| {
            Box::new(MultiLine {
                start: StartPattern::parse("F").expect("a letter is a pattern"),
                timeout: Duration::from_millis(random.u64(10..500)),
            })
        }),
    };
    Settings { framing, batch: batch.into(), pace: pace::Settings::default(), max_concurrent_requests }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let settings = settings(&mut random);
        // With keys from the lines, lines must stay the objects that they are.
        let from_lines =
            matches!(&settings.batch.form, Form::Kinesis(only) if matches!(only.partition_key, PartitionKey::Field(_)));
        let processing = if from_lines { None } else { processing(&mut random) };
        let now = Instant::now();
        let floor = settings.batch.memory_floor();
        let memory_limit = floor as usize + random.usize(0..200_000);
        let core = Self::core(&settings, processing.as_ref(), memory_limit, floor, seed, now);
        Self {
            random,
            settings,
            processing,
            now,
            core,
            files: Vec::new(),
            next_origin: 0,
            calls: BTreeMap::new(),
            quarantining: BTreeMap::new(),
            elsewhere: None,
            halfway: 0,
            accepted: Vec::new(),
            quarantined: BTreeSet::new(),
            arrival_order: Vec::new(),
            keyed_order: Vec::new(),
            memory_limit,
            faults: true,
            refuses_until: None,
            crashes: 0,
            finished: false,
            watermarks: BTreeMap::new(),
            history: DefaultHasher::new(),
        }
    }

    fn core(
        settings: &Settings,
        processing: Option<&Processing>,
        limit: usize,
        floor: u64,
        seed: u64,
        now: Instant,
    ) -> Core {
        let budget = Budget::new(limit as u64, floor);
        let core = Core::new(settings.clone(), Lease::new(budget, floor), seed, now);
        let Some(processing) = processing else { return core };
        let surroundings = Surroundings {
            host: "host".to_owned(),
            variables: BTreeMap::new(),
            instance: None,
            max_record_bytes: settings.batch.longest_line(),
        };
        core.with_processor(Processor::new(&processing.settings, &surroundings).expect("no variables are needed"))
    }

    /// One random thing happens.
    fn act(&mut self) {
        match self.random.u8(..20) {
            0..=4 => self.write(),
            5..=10 => self.read(),
            11..=15 => self.answer(),
            16 => {
                self.keep();
                self.process();
            }
            17 => {
                let time = Duration::from_millis(self.random.u64(1..400));
                self.pass(time);
            }
            18 => self.complete_a_file(),
            _ if self.faults && self.random.u8(..12) == 0 => self.crash(),
            _ if self.faults && self.refuses_until.is_none() && self.random.u8(..12) == 0 => {
                self.refuses_until = Some(self.now + Duration::from_secs(self.random.u64(1..100)));
            }
            _ => self.pass(Duration::from_millis(1)),
        }
    }

    fn write(&mut self) {
        if self.files.iter().filter(|file| !file.complete).count() < 3 {
            let file = File { content: Vec::new(), committed: 0, read: 0, origin: None, complete: false, ended: false };
            self.files.push(file);
            self.accepted.push(BTreeMap::new());
        }
        let open: Vec<usize> = (0..self.files.len()).filter(|index| !self.files[*index].complete).collect();
        let index = open[self.random.usize(..open.len())];
        for _ in 0..self.random.usize(1..60) {
            let number = bytecount::count(&self.files[index].content, b'\n');
            let poison = self.random.u16(..600) == 0;
            let mut line = match &self.settings.batch.form {
                Form::Kinesis(settings) if matches!(settings.partition_key, PartitionKey::Field(_)) => {
                    format!("{{\"{FIELD}\":{},\"l\":\"F{index}:{number}:\"}}", self.random.u8(..4)).into_bytes()
                }
                _ => format!("F{index}:{number}:").into_bytes(),
            };
            if poison {
                line.extend_from_slice(POISON);
            }
            match self.random.u8(..12) {
                0 => line.push(UNWANTED),
                1 => line.push(UNFIT),
                _ => {}
            }
            let padding = self.random.usize(..80);
            line.extend(std::iter::repeat_n(b'.', padding));
            line.push(b'\n');
            self.files[index].content.extend_from_slice(&line);
        }
    }

    fn complete_a_file(&mut self) {
        let open: Vec<usize> = (0..self.files.len()).filter(|index| !self.files[*index].complete).collect();
        if open.len() > 1 {
            self.files[open[self.random.usize(..open.len())]].complete = true;
        }
    }

    fn read(&mut self) {
        if !self.core.has_room() || self.files.is_empty() {
            return;
        }
        let index = self.random.usize(..self.files.len());
        let file = &mut self.files[index];
        let Some(origin) = file.origin else {
            if file.ended && file.committed == file.content.len() as u64 {
                return;
            }
            let origin = Origin::new(self.next_origin);
            self.next_origin += 1;
            file.origin = Some(origin);
            file.read = file.committed;
            let key = FileKey { inode: index as u64, ..FileKey::default() };
            let info = OriginInfo::new(format!("/world/{index}").into(), key);
            let start = Position(file.committed);
            return self.step(Input::Arrived(Arrival::Opened { origin, info: Arc::new(info), start }));
        };
        let unread = &file.content[file.read as usize..];
        if unread.is_empty() {
            if file.complete && !file.ended {
                file.ended = true;
                self.step(Input::Arrived(Arrival::Ended { origin }));
            }
            return;
        }
        let count = self.random.usize(1..=unread.len());
        let bytes = unread[..count].to_vec().into();
        let chunk = Chunk { origin, start: Position(file.read), bytes, read_at: self.now };
        file.read += count as u64;
        self.step(Input::Arrived(Arrival::Read(chunk)));
    }

    /// One of the calls under way comes back.
    fn answer(&mut self) {
        if self.calls.is_empty() {
            return;
        }
        let ids: Vec<BatchId> = self.calls.keys().copied().collect();
        let id = ids[self.random.usize(..ids.len())];
        let records = self.calls.remove(&id).expect("taken from the keys");
        let holds_poison = |record: &Sent| memchr::memmem::find(&record.data, POISON).is_some();
        let fault =
            |meaning, code: &str| Answer::Failed(Fault { meaning, code: code.to_owned(), message: String::new() });
        let refuses = self.faults && self.refuses_until.is_some_and(|until| self.now < until);
        let answer = if records.iter().any(holds_poison) || refuses {
            // Without a word about which record it is; in the end with one, for there may be nothing to compare with.
            let meaning = if self.faults { Meaning::Suspect } else { Meaning::Poison };
            fault(meaning, "InvalidArgumentException")
        } else {
            match self.random.u8(..if self.faults { 20 } else { 1 }) {
                12 | 13 => fault(Meaning::SlowDown, "ServiceUnavailableException"),
                14 => fault(Meaning::NotSent, "connection"),
                15 => fault(Meaning::Hold, "AccessDeniedException"),
                16 => {
                    self.accept(&records);
                    fault(Meaning::Unknown, "timeout")
                }
                17 => fault(Meaning::Unknown, "timeout"),
                18 | 19 => {
                    let outcome = |random: &mut fastrand::Rng| {
                        if random.bool() {
                            Outcome::Delivered
                        } else {
                            Outcome::Again { throttled: random.bool(), code: "ServiceUnavailableException".to_owned() }
                        }
                    };
                    let outcomes: Vec<Outcome> = records.iter().map(|_| outcome(&mut self.random)).collect();
                    let taken: Vec<Sent> = records
                        .iter()
                        .zip(&outcomes)
                        .filter(|(_, outcome)| **outcome == Outcome::Delivered)
                        .map(|(record, _)| record.clone())
                        .collect();
                    self.accept(&taken);
                    Answer::PerRecord(outcomes)
                }
                _ => {
                    self.accept(&records);
                    Answer::Accepted
                }
            }
        };
        let reported = reported_of(&records, &answer);
        self.step(Input::Answered(id, answer));
        let answered = self.core.take_answered();
        match reported {
            Some(reported) => assert_eq!(answered, reported, "one answer, one call to report"),
            None => assert_eq!(answered.attempts, Spread::of(records.len() as u64)),
        }
    }

    /// The quarantine keeps a record, or cannot.
    fn keep(&mut self) {
        let Some(id) = self.quarantining.keys().next().copied() else { return };
        let payload = self.quarantining.remove(&id).expect("taken from the keys");
        let kept = if self.faults && self.random.u8(..4) == 0 {
            Err("disk full".to_owned())
        } else {
            for record in payload {
                let text = if record.unprocessed { record.payload } else { self.inflate(&record.payload) };
                for (file, number) in lines_of(&text) {
                    self.quarantined.insert((file, number));
                    (file, number).hash(&mut self.history);
                }
            }
            Ok(())
        };
        self.step(Input::Quarantined(id, kept));
    }

    /// The record that is processed elsewhere comes back.
    fn process(&mut self) {
        let Some((id, job)) = self.elsewhere.take() else { return };
        self.step(Input::Processed(id, Box::new(job.run())));
    }

    fn inflate(&self, record: &[u8]) -> Vec<u8> {
        if let Some(message) = record.strip_prefix(&[0xF3, 0x89, 0x9A, 0xC2]) {
            return taken_apart(&message[..message.len() - 16]);
        }
        if self.settings.batch.compression == Compression::None {
            return record.to_vec();
        }
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(record).read_to_end(&mut text).expect("a record is whole gzip members");
        text
    }

    fn accept(&mut self, records: &[Sent]) {
        for record in records {
            let text = self.inflate(&record.data);
            assert!(text.ends_with(b"\n"), "a record splits a line");
            for (file, number) in lines_of(&text) {
                *self.accepted[file].entry(number).or_default() += 1;
                self.arrival_order.push((file, number));
                self.keyed_order.push((record.key.clone(), file, number));
                (file, number).hash(&mut self.history);
            }
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.step(Input::Tick);
    }

    /// Everything is forgotten but what was committed.
    fn crash(&mut self) {
        self.crashes += 1;
        let floor = self.settings.batch.memory_floor();
        self.core = Self::core(
            &self.settings,
            self.processing.as_ref(),
            self.memory_limit,
            floor,
            self.random.u64(..),
            self.now,
        );
        self.calls.clear();
        self.quarantining.clear();
        self.elsewhere = None;
        self.watermarks.clear();
        for file in &mut self.files {
            file.origin = None;
            file.ended = false;
        }
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        for action in actions {
            match action {
                Action::Send(id, body, count) => {
                    let records = decode(&body);
                    assert_eq!(records.len(), count);
                    assert!(count <= self.settings.batch.max_records);
                    let size = |record: &Sent| record.data.len() + record.key.len();
                    assert!(records.iter().map(size).sum::<usize>() <= self.settings.batch.max_bytes);
                    count.hash(&mut self.history);
                    self.calls.insert(id, records);
                }
                Action::Commit(origin, watermark) => self.commit(origin, watermark),
                Action::Quarantine(id, given_up) => {
                    for record in &given_up {
                        assert!(!record.extents.is_empty(), "a quarantined record must say where it comes from");
                        self.check_extent(record);
                    }
                    self.quarantining.insert(id, given_up);
                }
                Action::Process(id, job) => {
                    assert!(self.elsewhere.is_none(), "one record at a time is processed elsewhere");
                    assert!(!self.finished && !self.core.has_room(), "nothing overtakes it");
                    self.elsewhere = Some((id, job));
                }
                Action::Notice(_) => {}
                Action::Finish { settled } => {
                    assert!(settled, "nothing is left to do");
                    self.finished = true;
                }
            }
        }
        assert!(self.calls.len() <= self.settings.max_concurrent_requests, "the window was exceeded");
        let next = self.core.next_deadline(self.now);
        assert!(next.is_none_or(|next| next > self.now), "the shell would spin: a deadline lies in the past");
        if self.core.is_halfway() {
            self.halfway += 1;
            assert!(self.halfway < 10_000, "steps go on and on and nothing comes of it");
            return self.step(Input::Tick);
        }
        self.halfway = 0;
        // Records that are sent again are copied once more before their first batch is given back.
        let copies =
            self.settings.batch.form.body_bytes(self.settings.batch.max_bytes, self.settings.batch.max_records);
        let limit = self.memory_limit + copies + 32 * 1024;
        assert!(self.core.memory() <= limit, "{} of {limit} bytes", self.core.memory());
        let tally = self.core.tally();
        let settled = tally.delivered + tally.filtered + tally.quarantined;
        assert_eq!(tally.arrived, settled + self.core.pending(), "{tally:?}");
        if self.core.is_drained() {
            let held: u64 = tally.arrived - settled;
            assert!(held <= 3 * 2 * self.settings.framing.max_line_bytes as u64 * self.files.len() as u64);
        }
    }

    /// What an option could not work on is kept as it came in, with the place that it came from.
    fn check_extent(&self, record: &GivenUp) {
        let [(info, Position(start), Position(end))] = record.extents.as_slice() else { return };
        if record.unprocessed {
            let file = &self.files[info.file.inode as usize];
            assert_eq!(&file.content[*start as usize..*end as usize], record.payload, "another place than it says");
        }
    }

    /// A committed watermark is checked against what has really become of the lines before it.
    fn commit(&mut self, origin: Origin, watermark: Watermark) {
        let Position(position) = watermark.position;
        let before = self.watermarks.insert(origin, watermark).unwrap_or_default();
        assert!(watermark.filtered >= before.filtered && watermark.quarantined >= before.quarantined, "{watermark:?}");
        let tally = self.core.tally();
        let (filtered, quarantined) = self.given_up();
        assert!(filtered <= tally.filtered && quarantined <= tally.quarantined, "{filtered}, {quarantined}: {tally:?}");
        let found = self.files.iter().position(|file| file.origin == Some(origin));
        let index = found.expect("a watermark is of an origin that was opened");
        let file = &mut self.files[index];
        assert!(position >= file.committed && position <= file.read, "the watermark of file {index} fell");
        let first = bytecount::count(&file.content[..file.committed as usize], b'\n') as u64;
        let newly = &file.content[file.committed as usize..position as usize];
        for (number, line) in (first..).zip(newly.split_inclusive(|byte| *byte == b'\n')) {
            let expected = Expected::of(line, self.processing.as_ref());
            let accepted = self.accepted[index].contains_key(&number);
            let quarantined = self.quarantined.contains(&(index, number));
            let settled = match expected {
                Expected::Sent => accepted || quarantined,
                Expected::Dropped => !accepted && !quarantined,
                Expected::Quarantined => quarantined && !accepted,
            };
            assert!(
                settled,
                "line {number} of file {index} lies before the watermark {position} and went nowhere, or where it should not: {expected:?}"
            );
        }
        file.committed = position;
    }

    /// What the watermarks of this life say was filtered and quarantined.
    fn given_up(&self) -> (u64, u64) {
        let all = self.watermarks.values();
        all.fold((0, 0), |sums, watermark| (sums.0 + watermark.filtered, sums.1 + watermark.quarantined))
    }

    /// The faults end; everything must come home.
    fn settle_down(&mut self) {
        self.faults = false;
        for file in &mut self.files {
            file.complete = true;
        }
        for _ in 0..200_000 {
            let done = self.files.iter().all(|file| file.committed == file.content.len() as u64 && file.ended);
            if done && self.core.is_drained() {
                break;
            }
            self.read();
            self.answer();
            self.keep();
            self.process();
            let next = self.core.next_deadline(self.now);
            self.now =
                next.map_or(self.now + Duration::from_millis(1), |next| next.max(self.now + Duration::from_micros(10)));
            self.step(Input::Tick);
        }
        for (index, file) in self.files.iter().enumerate() {
            assert_eq!(file.committed, file.content.len() as u64, "file {index} was not delivered to its end");
        }
        self.step(Input::Stop);
        assert!(self.finished, "a drained flow must finish when it is stopped");
        let tally = self.core.tally();
        assert_eq!(self.given_up(), (tally.filtered, tally.quarantined), "the files say something else than the flow");
        let mut unlucky = 0;
        for (index, number) in &self.quarantined {
            let line =
                self.files[*index].content.split(|byte| *byte == b'\n').nth(*number as usize).unwrap_or_default();
            let poisoned = memchr::memmem::find(line, POISON).is_some();
            let aggregated =
                self.settings.batch.aggregated_record_bytes.is_some() || self.settings.framing.multi_line.is_some();
            let unfit = Expected::of(line, self.processing.as_ref()) == Expected::Quarantined;
            if !(poisoned || aggregated || unfit) {
                unlucky += 1;
                assert!(self.refuses_until.is_some(), "line {number} of file {index} was quarantined without reason");
            }
        }
        // What was on its way alone when the stream began to refuse everything, in the middle of a search.
        assert!(unlucky <= self.settings.max_concurrent_requests, "{unlucky} records were blamed for the stream");
    }
}

/// What must become of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Sent,
    Dropped,
    Quarantined,
}

impl Expected {
    fn of(line: &[u8], processing: Option<&Processing>) -> Self {
        let Some(processing) = processing else { return Self::Sent };
        if line.contains(&UNWANTED) {
            return Self::Dropped;
        }
        match processing.on_failure {
            _ if !line.contains(&UNFIT) => Self::Sent,
            OnFailure::Raw => Self::Sent,
            OnFailure::Drop => Self::Dropped,
            OnFailure::Quarantine => Self::Quarantined,
        }
    }
}

/// The lines of an aggregate, one after the other.
fn taken_apart(mut message: &[u8]) -> Vec<u8> {
    fn value<'a>(message: &mut &'a [u8]) -> &'a [u8] {
        let (mut length, mut at) = (0, 1);
        loop {
            length |= usize::from(message[at] & 0x7F) << (7 * (at - 1));
            at += 1;
            if message[at - 1] < 0x80 {
                break;
            }
        }
        let (value, rest) = message[at..].split_at(length);
        *message = rest;
        value
    }
    let mut lines = Vec::new();
    while let Some(tag) = message.first().copied() {
        let mut value_of_tag = value(&mut message);
        if tag == 0x1A {
            value_of_tag = &value_of_tag[2..];
            lines.extend_from_slice(value(&mut value_of_tag));
        }
    }
    lines
}

fn decode(body: &[u8]) -> Vec<Sent> {
    let body: serde_json::Value = serde_json::from_slice(body).expect("a body is JSON");
    let records = body["Records"].as_array().expect("a body has records");
    let decode = |record: &serde_json::Value| Sent {
        key: record["PartitionKey"].as_str().unwrap_or_default().to_owned(),
        data: base64_simd::STANDARD.decode_to_vec(record["Data"].as_str().expect("data")).expect("data is base64"),
    };
    records.iter().map(decode).collect()
}

fn lines_of(text: &[u8]) -> Vec<(usize, u64)> {
    let parse = |line: &[u8]| {
        let line = std::str::from_utf8(line).expect("lines are text");
        // Processed, or with a key, it is a field of an object.
        let line = line.strip_prefix("{\"").map_or(line, |json| &json[json.find('F').expect("a line was torn")..]);
        let mut parts = line.strip_prefix('F').expect("a line was torn").split(':');
        let file = parts.next().and_then(|file| file.parse().ok()).expect("a line names its file");
        (file, parts.next().and_then(|number| number.parse().ok()).expect("a line has a number"))
    };
    text.strip_suffix(b"\n").unwrap_or(text).split(|byte| *byte == b'\n').map(parse).collect()
}

/// In an ordered flow a line of a key is never seen for the first time after a later one of the same key and file.
fn check_order(world: &World) {
    if !world.settings.batch.form.is_ordered() {
        return;
    }
    let mut seen = BTreeSet::new();
    let mut newest = BTreeMap::new();
    for line in &world.keyed_order {
        if seen.insert(line.clone()) {
            let (key, file, number) = line;
            let before = newest.insert((key, file), number);
            assert!(before.is_none_or(|before| before < number), "line {number} of file {file} came after {before:?}");
        }
    }
}

/// Lives one world and returns a hash of its history.
fn live(seed: u64) -> u64 {
    let mut world = World::new(seed);
    for _ in 0..600 {
        world.act();
    }
    world.settle_down();
    check_order(&world);
    world.history.finish()
}

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("SIMULATION_WORLDS").unwrap_or(200)).collect(),
    }
}

/// What is to be reported of this call; `None` where records may have parts, of which not all were accepted.
fn reported_of(records: &[Sent], answer: &Answer) -> Option<Calls> {
    let attempts = Spread::of(records.len() as u64);
    let (failed, nothing) = (Spread::of(1), Spread::of(0));
    match answer {
        Answer::Accepted => {
            let payload = Spread::of(records.iter().map(|record| (record.key.len() + record.data.len()) as u64).sum());
            Some(Calls { attempts, accepted: attempts, refused: nothing, payload, failed: nothing })
        }
        Answer::PerRecord(_) => None,
        Answer::Failed(_) => Some(Calls { attempts, accepted: nothing, payload: nothing, failed, ..Calls::default() }),
    }
}

#[test]
fn nothing_is_lost_in_any_world_and_the_books_balance_after_every_step() {
    for seed in seeds() {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "world {seed} went wrong (SIMULATION_SEED={seed} runs it again)");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    for seed in seeds().into_iter().take(20) {
        assert_eq!(live(seed), live(seed), "seed {seed}");
    }
}

#[test]
fn the_worlds_have_ordered_flows_of_every_kind_among_them() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        if let Form::Kinesis(kinesis) = &settings(&mut fastrand::Rng::with_seed(seed)).batch.form {
            seen.insert((format!("{:?}", kinesis.partition_key), kinesis.kpl, kinesis.ordered));
        }
    }
    // Four kinds of keys; drawn and hashed ones cannot be ordered, hashed ones not be aggregated.
    assert_eq!(seen.len(), 2 + 1 + 4 + 4, "{seen:?}");
}

#[test]
fn without_faults_the_lines_of_a_file_arrive_once_and_in_order() {
    for seed in seeds().into_iter().take(60) {
        let mut world = World::new(seed);
        world.settings.max_concurrent_requests = 1;
        world.faults = false;
        world.crash();
        for _ in 0..300 {
            world.act();
        }
        if world.quarantined.is_empty() && world.quarantining.is_empty() {
            let mut next = BTreeMap::new();
            for (file, number) in &world.arrival_order {
                let expected: &mut u64 = next.entry(*file).or_default();
                let lines: Vec<&[u8]> = world.files[*file].content.split(|byte| *byte == b'\n').collect();
                let poisoned_before =
                    lines[..*number as usize].iter().any(|line| memchr::memmem::find(line, POISON).is_some());
                let all_left_out = number >= expected
                    && lines[*expected as usize..*number as usize]
                        .iter()
                        .all(|line| Expected::of(line, world.processing.as_ref()) != Expected::Sent);
                assert!(all_left_out || poisoned_before, "seed {seed}: file {file} line {number}, not {expected}");
                *expected = number + 1;
            }
        }
    }
}
