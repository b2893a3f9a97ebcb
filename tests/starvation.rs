//! One hostile input of each kind beside a good flow, counted in steps: nothing here looks at a clock.
//! Promises that no step of a flow works longer than its share, whatever the options, the pattern and the line; that what
//! may take longer is handed out, comes back in order, and holds up neither a good flow nor a stop; and that a record
//! meets the same end in every run.
//! Leaves the bytes that a search looks at to the unit tests of the patterns, and the real time to the bench.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

#[path = "support/hostile.rs"]
mod hostile;

use datalake_agent::deliver::{Answer, pace};
use datalake_base::record::{Arrival, Chunk, FileKey, Origin, OriginInfo, Position};
use datalake_core::batch::{self, Compression, Form};
use datalake_core::budget::{Budget, Lease};
use datalake_core::flow::{Action, BatchId, Core, Input, Job, Settings};
use datalake_core::framing::{self, LongLines, MultiLine, StartPattern};
use datalake_process::{OnFailure, Processor, Surroundings};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the records of one step may take, in nanoseconds of the worst case: ten milliseconds, and one record more.
const MOST_IN_A_STEP: u64 = 20_000_000;
const CHUNK: usize = 256 * 1024;

/// A flow without a shell: what it is handed, what it did.
struct Driven {
    core: Core,
    now: Instant,
    sent: Vec<u8>,
    quarantined: usize,
    committed: u64,
    calls: Vec<(BatchId, usize)>,
    jobs: Vec<(BatchId, Box<Job>)>,
    longest_job: usize,
    finished: bool,
}

impl Driven {
    fn new(options: &Value, start: Option<&str>) -> Self {
        let batch = batch::Settings {
            stream: "s".to_owned(),
            form: Form::Firehose,
            max_age: Duration::from_millis(10),
            max_bytes: 3 << 20,
            max_records: 500,
            aggregated_record_bytes: None,
            max_lines_per_record: None,
            compression: Compression::None,
        };
        let framing = framing::Settings {
            max_line_bytes: batch.longest_line(),
            long_lines: LongLines::Split,
            terminator: b"\n".to_vec(),
            skip_header_lines: 0,
            multi_line: start.map(|start| {
                Box::new(MultiLine { start: StartPattern::parse(start).unwrap(), timeout: Duration::from_millis(10) })
            }),
        };
        let options = datalake_process::Settings::parse_with(options, OnFailure::Quarantine).unwrap();
        let surroundings = Surroundings {
            host: "h".to_owned(),
            variables: Default::default(),
            instance: None,
            max_record_bytes: batch.longest_line(),
        };
        let floor = batch.memory_floor();
        let now = Instant::now();
        let settings =
            Settings { framing, batch: batch.into(), pace: pace::Settings::default(), max_concurrent_requests: 1 };
        let mut core = Core::new(settings, Lease::new(Budget::new(64 << 20, floor), floor), 7, now);
        if !options.is_empty() {
            core = core.with_processor(Processor::new(&options, &surroundings).unwrap());
        }
        let mut driven = Self {
            core,
            now,
            sent: Vec::new(),
            quarantined: 0,
            committed: 0,
            calls: Vec::new(),
            jobs: Vec::new(),
            longest_job: 0,
            finished: false,
        };
        let info = Arc::new(OriginInfo::new("/log".into(), FileKey::default()));
        driven.step(Input::Arrived(Arrival::Opened { origin: Origin::new(1), info, start: Position::START }));
        driven
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        assert!(self.core.step_cost() <= MOST_IN_A_STEP, "a step may have taken {} ns", self.core.step_cost());
        for action in actions {
            match action {
                Action::Send(id, body, records) => {
                    let text = String::from_utf8(body.to_vec()).unwrap();
                    for piece in text.split("\"Data\":\"").skip(1) {
                        let data = piece.split('"').next().unwrap();
                        self.sent.extend(base64_simd::STANDARD.decode_to_vec(data).unwrap());
                    }
                    self.calls.push((id, records));
                }
                Action::Commit(_, watermark) => self.committed = watermark.position.0,
                Action::Quarantine(id, given_up) => {
                    self.quarantined += given_up.len();
                    self.step(Input::Quarantined(id, Ok(())));
                }
                Action::Process(id, job) => {
                    self.longest_job = self.longest_job.max(job.bytes());
                    self.jobs.push((id, job));
                    assert_eq!(self.jobs.len(), 1, "one record at a time, or order is lost");
                }
                Action::Notice(_) => {}
                Action::Finish { .. } => self.finished = true,
            }
        }
    }

    /// Everything that needs no answer from elsewhere, step by step.
    fn work(&mut self) {
        for _ in 0..100_000 {
            if let Some((id, _)) = self.calls.pop() {
                self.step(Input::Answered(id, Answer::Accepted));
            } else if self.core.is_halfway() {
                self.step(Input::Tick);
            } else {
                return;
            }
        }
        panic!("it works for ever");
    }

    fn come_back(&mut self) -> bool {
        let Some((id, job)) = self.jobs.pop() else { return false };
        self.step(Input::Processed(id, Box::new(job.run())));
        true
    }

    /// Takes in all of it and sends it on.
    fn through(&mut self, content: &[u8]) {
        let mut position = self.committed;
        for bytes in content.chunks(CHUNK) {
            while !self.core.has_room() {
                self.work();
                if !self.come_back() {
                    self.now += Duration::from_millis(50);
                    self.step(Input::Tick);
                }
            }
            let bytes = bytes.to_vec();
            let length = bytes.len() as u64;
            let chunk =
                Chunk { origin: Origin::new(1), start: Position(position), bytes: bytes.into(), read_at: self.now };
            position += length;
            self.step(Input::Arrived(Arrival::Read(chunk)));
        }
        for _ in 0..10_000 {
            self.work();
            if !self.come_back() {
                self.now += Duration::from_millis(50);
                self.step(Input::Tick);
            }
            if self.committed == position && self.core.is_drained() {
                return;
            }
        }
        panic!("{} of {position} bytes came through", self.committed);
    }
}

#[test]
fn no_hostile_line_keeps_a_step_longer_than_its_share_and_the_next_line_comes_through() {
    // Work is counted against the length, so a longer line proves nothing more.
    for (what, options, line) in hostile::lines(200_000) {
        let mut flow = Driven::new(&options, None);
        let content = [&line, &b"{\"good\": 1}\n"[..]].concat();
        flow.through(&content);
        let first = (flow.sent.clone(), flow.quarantined);
        let is_long = line.len() - 1 == line.iter().position(|byte| *byte == b'\n').unwrap();
        assert_eq!(flow.longest_job > 0, is_long, "{what}: a long line belongs elsewhere, short ones do not");
        // The same again, behind something else: the same end.
        flow.sent.clear();
        flow.quarantined = 0;
        let mut again = Driven::new(&options, None);
        again.through(&content);
        assert_eq!((again.sent.len(), again.quarantined), (first.0.len(), first.1), "{what}: another end");
        assert!(again.sent == first.0, "{what}: another result");
    }
}

#[test]
fn a_good_flow_goes_on_step_by_step_while_a_record_of_another_is_away() {
    let options = json!([{"optionName": "REDACT", "regex": ["p(?:.*;)?"]}]);
    let mut hostile = Driven::new(&options, None);
    let bytes = [&b"p".repeat(900_000)[..], b"\n"].concat();
    let chunk = Chunk { origin: Origin::new(1), start: Position::START, bytes: bytes.into(), read_at: hostile.now };
    hostile.step(Input::Arrived(Arrival::Read(chunk)));
    assert_eq!(hostile.jobs.len(), 1, "the record was handed out, not worked on");
    // The good flow needs nobody: a thousand lines come and go while the record is away.
    let mut good = Driven::new(&json!([{"optionName": "ADDMETADATA", "metadata": {}}]), None);
    for number in 0..1000 {
        let line = format!("line {number}\n");
        let bytes = line.into_bytes();
        let (start, length) = (good.committed, bytes.len() as u64);
        good.step(Input::Arrived(Arrival::Read(Chunk {
            origin: Origin::new(1),
            start: Position(start),
            bytes: bytes.into(),
            read_at: good.now,
        })));
        good.now += Duration::from_millis(10);
        good.step(Input::Tick);
        good.work();
        assert_eq!(good.committed, start + length, "line {number} waits for nobody");
    }
    // The hostile flow itself goes on with what it has to do, and takes in nothing that would overtake the record.
    hostile.now += Duration::from_secs(60);
    hostile.step(Input::Tick);
    assert!(!hostile.core.has_room() && hostile.committed == 0);
    assert!(hostile.come_back());
    hostile.work();
    assert_eq!((hostile.quarantined, hostile.committed), (1, 900_001));
}

#[test]
fn a_stop_does_not_wait_for_a_record_that_is_away_and_the_record_is_read_again() {
    let options = json!([{"optionName": "REDACT", "regex": ["p(?:.*;)?"]}]);
    let mut flow = Driven::new(&options, None);
    let content = [&b"first\n"[..], &b"p".repeat(900_000), b"\n"].concat();
    let chunk = Chunk { origin: Origin::new(1), start: Position::START, bytes: content.into(), read_at: flow.now };
    flow.step(Input::Arrived(Arrival::Read(chunk)));
    assert_eq!(flow.jobs.len(), 1);
    flow.step(Input::Stop);
    flow.work();
    assert!(flow.finished, "the flow is done without the record");
    assert_eq!(
        (flow.committed, flow.sent.as_slice()),
        (6, &b"first\n"[..]),
        "what lies before it is settled, it is not"
    );
    // What comes back late changes nothing.
    assert!(flow.come_back());
    assert_eq!(flow.committed, 6);
}

#[test]
fn looking_for_the_beginning_of_a_record_takes_no_longer_than_a_step_may() {
    for (start, line) in hostile::starts(900_000) {
        let mut flow = Driven::new(&json!([]), Some(start));
        let mut position = 0;
        for bytes in line.chunks(CHUNK).chain([&b"\nend\n"[..]]) {
            let mut rounds = 0;
            while !flow.core.has_room() {
                flow.now += Duration::from_millis(50);
                flow.step(Input::Tick);
                flow.work();
                rounds += 1;
                assert!(rounds < 10_000, "{start}: no end");
            }
            let bytes = bytes.to_vec();
            let length = bytes.len() as u64;
            let chunk =
                Chunk { origin: Origin::new(1), start: Position(position), bytes: bytes.into(), read_at: flow.now };
            position += length;
            flow.step(Input::Arrived(Arrival::Read(chunk)));
            flow.work();
        }
        for _ in 0..1000 {
            flow.now += Duration::from_millis(50);
            flow.step(Input::Tick);
            flow.work();
        }
        assert_eq!(flow.committed, position, "{start}: everything comes through");
    }
}

#[test]
fn short_records_stay_where_they_are() {
    let options = json!([
        {"optionName": "LOGTOJSON", "logFormat": "SYSLOG", "matchPattern": r"(\S+) (\S+) \[([^\]]+)\] (.*)", "customFieldNames": ["a", "b", "c", "d"]},
        {"optionName": "REDACT", "regex": [r"password=[^&\s]+", r"\b\d{3}-\d{2}-\d{4}\b"]},
    ]);
    let mut flow = Driven::new(&options, None);
    flow.through(&b"one two [three] four password=secret 123-45-6789\n".repeat(2000));
    assert_eq!(flow.longest_job, 0, "usual records under usual options are worked on at once");
    assert_eq!(flow.sent.iter().filter(|byte| **byte == b'\n').count(), 2000);
}
