//! The decisions of one flow, one story each, against a service that is a function.

use super::*;
use crate::batch::{Compression, Form, PartitionKey, kinesis};
use crate::budget::Budget;
use crate::deliver::{Fault, Meaning, Outcome};
use crate::framing::LongLines;
use datalake_base::record::{FileKey, Position};

mod answers;
mod backlog;
mod endings;
mod options;
mod quarantine;
mod searching;
mod sending;

const FILE: Origin = Origin::new(1);
const SECOND: Duration = Duration::from_secs(1);

/// A flow whose lines are a record each, and what it did.
struct Bench {
    core: Core,
    now: Instant,
    read: u64,
    calls: VecDeque<(BatchId, Vec<String>)>,
    /// Every call that was sent, in order.
    sent: Vec<Vec<String>>,
    delivered: Vec<String>,
    quarantined: Vec<String>,
    keeping: VecDeque<(BatchId, Vec<String>)>,
    /// Records that are processed elsewhere.
    jobs: VecDeque<(BatchId, Box<Job>)>,
    notices: Vec<Notice>,
    committed: u64,
    finished: Option<bool>,
}

fn settings(form: Form) -> Settings {
    let batch = batch::Settings {
        stream: "logs".to_owned(),
        form,
        max_age: Duration::from_millis(100),
        max_bytes: 100_000,
        max_records: 500,
        aggregated_record_bytes: None,
        max_lines_per_record: None,
        compression: Compression::None,
    };
    let framing = framing::Settings {
        max_line_bytes: 1_000,
        long_lines: LongLines::Split,
        terminator: b"\n".to_vec(),
        skip_header_lines: 0,
        multi_line: None,
    };
    Settings { framing, batch: batch.into(), pace: pace::Settings::default(), max_concurrent_requests: 1 }
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let floor = settings.batch.memory_floor();
        Self::within(settings, &Budget::new(64 << 20, floor))
    }

    fn within(settings: Settings, budget: &Arc<Budget>) -> Self {
        let now = Instant::now();
        let floor = settings.batch.memory_floor();
        let core = Core::new(settings, Lease::new(budget.clone(), floor), 7, now);
        let mut bench = Self {
            core,
            now,
            read: 0,
            calls: VecDeque::new(),
            sent: Vec::new(),
            delivered: Vec::new(),
            quarantined: Vec::new(),
            keeping: VecDeque::new(),
            jobs: VecDeque::new(),
            notices: Vec::new(),
            committed: 0,
            finished: None,
        };
        let info = Arc::new(OriginInfo::new("/logs/a.log".into(), FileKey::default()));
        bench.step(Input::Arrived(Arrival::Opened { origin: FILE, info, start: Position::START }));
        bench
    }

    fn firehose() -> Self {
        Self::new(settings(Form::Firehose))
    }

    fn step(&mut self, input: Input) {
        let mut actions = Vec::new();
        self.core.step(input, self.now, &mut actions);
        for action in actions {
            match action {
                Action::Send(id, body, _) => {
                    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
                    let text = |record: &serde_json::Value| {
                        let data = record["Data"].as_str().unwrap();
                        String::from_utf8(base64_simd::STANDARD.decode_to_vec(data).unwrap()).unwrap()
                    };
                    let records: Vec<String> = body["Records"].as_array().unwrap().iter().map(text).collect();
                    self.sent.push(records.clone());
                    self.calls.push_back((id, records));
                }
                Action::Commit(_, watermark) => self.committed = watermark.position.0,
                Action::Quarantine(id, given_up) => {
                    let text = |record: GivenUp| String::from_utf8(record.payload).unwrap();
                    self.keeping.push_back((id, given_up.into_iter().map(text).collect()));
                }
                Action::Process(id, job) => self.jobs.push_back((id, job)),
                Action::Notice(notice) => self.notices.push(notice),
                Action::Finish { settled } => self.finished = Some(settled),
            }
        }
    }

    fn write(&mut self, text: &str) {
        assert!(self.core.has_room(), "there is no room");
        let chunk = Chunk {
            origin: FILE,
            start: Position(self.read),
            bytes: text.as_bytes().to_vec().into(),
            read_at: self.now,
        };
        self.read += text.len() as u64;
        self.step(Input::Arrived(Arrival::Read(chunk)));
    }

    /// Lives until nothing more happens, or so long.
    fn live(&mut self, time: Duration, mut service: impl FnMut(&[String]) -> Answer) {
        let end = self.now + time;
        for _ in 0..100_000 {
            if let Some((id, records)) = self.keeping.pop_front() {
                self.quarantined.extend(records);
                self.step(Input::Quarantined(id, Ok(())));
            } else if let Some((id, job)) = self.jobs.pop_front() {
                self.step(Input::Processed(id, Box::new(job.run())));
            } else if let Some((id, records)) = self.calls.pop_front() {
                let answer = service(&records);
                match &answer {
                    Answer::Accepted => self.delivered.extend(records),
                    Answer::PerRecord(outcomes) => {
                        let taken = records.into_iter().zip(outcomes).filter(|(_, it)| **it == Outcome::Delivered);
                        self.delivered.extend(taken.map(|(record, _)| record));
                    }
                    Answer::Failed(_) => {}
                }
                self.step(Input::Answered(id, answer));
            } else {
                match self.core.next_deadline(self.now).filter(|next| *next <= end) {
                    Some(next) => self.now = next,
                    None => break,
                }
                self.step(Input::Tick);
            }
        }
        self.now = self.now.max(end);
    }

    fn conditions(&self) -> Vec<&Condition> {
        let changes = self.notices.iter().filter_map(|notice| match notice {
            Notice::Changed(condition) => Some(condition),
            _ => None,
        });
        changes.collect()
    }
}

fn failed(meaning: Meaning, code: &str) -> Answer {
    Answer::Failed(Fault { meaning, code: code.to_owned(), message: "why".to_owned() })
}

/// Refuses calls that hold a line with `bad`, without a word about which record it is.
fn refuses_bad(records: &[String]) -> Answer {
    let bad = records.iter().any(|record| record.contains("bad"));
    if bad { failed(Meaning::Suspect, "InvalidArgumentException") } else { Answer::Accepted }
}

fn refuses_all(_: &[String]) -> Answer {
    failed(Meaning::Suspect, "InvalidArgumentException")
}

fn lines(count: usize, bad: &[usize]) -> String {
    (0..count).map(|number| format!("{}{number}\n", if bad.contains(&number) { "bad" } else { "line" })).collect()
}

#[test]
fn one_bad_record_is_found_wherever_it_is_and_its_neighbours_arrive() {
    for count in [2, 3, 7, 100] {
        for bad in 0..count {
            let mut bench = Bench::firehose();
            bench.write(&lines(count, &[bad]));
            bench.live(SECOND, refuses_bad);
            assert_eq!(bench.quarantined, [format!("bad{bad}\n")], "{count} records");
            assert_eq!((bench.delivered.len(), bench.committed), (count - 1, bench.read));
            assert_eq!(bench.core.pending(), 0);
        }
    }
}

#[test]
fn several_bad_records_are_found_and_told_in_one_line_and_a_sum() {
    let mut bench = Bench::firehose();
    let bad: Vec<usize> = (0..500).step_by(7).collect();
    bench.write(&lines(500, &bad));
    bench.live(SECOND * 120, refuses_bad);
    assert_eq!((bench.quarantined.len(), bench.delivered.len()), (bad.len(), 500 - bad.len()));
    let reported: Vec<u64> = bench
        .notices
        .iter()
        .filter_map(|notice| if let Notice::Quarantined { records, .. } = notice { Some(*records) } else { None })
        .collect();
    assert_eq!((reported.len(), reported.iter().sum()), (2, bad.len() as u64), "{reported:?}");
    let sums = bench.notices.iter().fold((0, 0), |sums, notice| match notice {
        Notice::Quarantined { lines, bytes, .. } => (sums.0 + lines, sums.1 + bytes),
        _ => sums,
    });
    let bytes: usize = bench.quarantined.iter().map(String::len).sum();
    assert_eq!(sums, (bad.len() as u64, bytes as u64));
    let tally = bench.core.tally();
    assert_eq!((tally.quarantined_records, tally.quarantined), (bad.len() as u64, bytes as u64));
}

/// A stream whose source is another service refuses every put: within a second 97 % of a log lay in the quarantine.
#[test]
fn a_stream_that_refuses_everything_empties_no_log_into_the_quarantine_and_is_not_hammered() {
    for count in [1, 2, 10, 500] {
        let mut bench = Bench::firehose();
        bench.write(&lines(count, &[]));
        bench.live(SECOND * 3600, refuses_all);
        assert!(bench.quarantined.is_empty() && bench.keeping.is_empty(), "{count}: {:?}", bench.quarantined);
        assert!(matches!(bench.conditions()[..], [Condition::Paused { .. }]), "{count}: {:?}", bench.notices);
        // Twenty at once, then one every 5 to 60 s.
        assert!((30..400).contains(&bench.sent.len()), "{count}: {} calls in an hour", bench.sent.len());
        bench.live(SECOND * 120, |_| Answer::Accepted);
        assert_eq!((bench.delivered.len(), bench.committed), (count, bench.read), "it goes on by itself");
        assert!(matches!(bench.conditions()[..], [Condition::Paused { .. }, Condition::Flowing]));
    }
}

#[test]
fn a_single_bad_record_is_blamed_once_a_later_one_was_accepted_and_not_before() {
    let mut bench = Bench::firehose();
    bench.write("bad\n");
    bench.live(SECOND * 600, refuses_bad);
    assert!(bench.quarantined.is_empty());
    assert_eq!(bench.committed, 0);
    bench.write("good\n");
    bench.live(SECOND, refuses_bad);
    assert_eq!((&bench.quarantined[..], &bench.delivered[..]), (&["bad\n".to_owned()][..], &["good\n".to_owned()][..]));
    assert_eq!(bench.committed, bench.read);
}

#[test]
fn an_acceptance_of_a_call_that_was_sent_before_the_refusal_proves_nothing() {
    let mut settings = settings(Form::Firehose);
    settings.max_concurrent_requests = 2;
    Arc::make_mut(&mut settings.batch).max_records = 1;
    let mut bench = Bench::new(settings);
    bench.write("bad\ngood\n");
    let calls: Vec<_> = bench.calls.drain(..).collect();
    assert_eq!(calls.len(), 2, "both are under way");
    bench.step(Input::Answered(calls[0].0, refuses_all(&[])));
    bench.step(Input::Answered(calls[1].0, Answer::Accepted));
    // The stream refuses everything from here on.
    bench.live(SECOND * 60, refuses_all);
    assert!(bench.quarantined.is_empty());
}

#[test]
fn a_record_that_the_service_names_needs_no_other_evidence() {
    let mut bench = Bench::firehose();
    bench.write(&lines(3, &[1]));
    bench.live(SECOND, |records| match refuses_bad(records) {
        Answer::Failed(fault) => Answer::Failed(Fault { meaning: Meaning::Poison, ..fault }),
        other => other,
    });
    assert_eq!(bench.quarantined, ["bad1\n"]);
    let mut bench = Bench::firehose();
    bench.write("bad\n");
    bench.live(SECOND, |_| failed(Meaning::Poison, "ValidationException"));
    assert_eq!(bench.quarantined, ["bad\n"]);
}

#[test]
fn a_stream_that_changes_its_mind_in_the_middle_of_a_search_costs_no_record() {
    for accepted in 0..30 {
        let mut bench = Bench::firehose();
        bench.write(&lines(64, &[]));
        let mut calls = 0;
        // Refuses, accepts this many calls, refuses for a while, accepts.
        bench.live(SECOND * 3_600, |records| {
            calls += 1;
            if calls == 1 || (accepted + 2..accepted + 40).contains(&calls) {
                refuses_all(records)
            } else {
                Answer::Accepted
            }
        });
        assert!(bench.quarantined.len() <= 1, "{accepted}: {:?}", bench.quarantined);
        assert_eq!(bench.committed, bench.read, "{accepted}");
    }
}

#[test]
fn in_an_ordered_flow_nothing_of_a_later_batch_passes_a_suspect() {
    let only = kinesis::Settings {
        partition_key: PartitionKey::Path(regex::Regex::new("(logs)").unwrap()),
        kpl: false,
        ordered: true,
        record_bytes: kinesis::RECORD_BYTES,
    };
    let mut bench = Bench::new(settings(Form::Kinesis(only)));
    bench.write("bad\n");
    bench.live(SECOND * 60, refuses_bad);
    bench.write("good\n");
    bench.live(SECOND * 60, refuses_bad);
    assert!(bench.delivered.is_empty() && bench.quarantined.is_empty());
    bench.live(SECOND * 120, |_| Answer::Accepted);
    assert_eq!(bench.delivered, ["bad\n", "good\n"]);
}

/// A stop took the whole `shutdownTimeoutMillis` although nothing could be delivered.
#[test]
fn a_paused_flow_ends_at_once_when_it_is_stopped_and_says_that_something_is_left() {
    let hold = |_: &[String]| failed(Meaning::Hold, "AccessDeniedException");
    let mut bench = Bench::firehose();
    bench.write("line\n");
    bench.live(SECOND, hold);
    bench.calls.clear();
    let stopped = bench.now;
    bench.step(Input::Stop);
    bench.live(Duration::ZERO, hold);
    if bench.finished.is_none() {
        // The retry was just under way.
        bench.live(LAST_ANSWERS, |_| unreachable!("its answer does not come"));
    }
    assert_eq!(bench.finished, Some(false));
    assert!(bench.now - stopped <= LAST_ANSWERS);
}

#[test]
fn a_paused_flow_whose_retry_hangs_is_left_after_a_moment() {
    let mut bench = Bench::firehose();
    bench.write("line\n");
    bench.live(Duration::from_millis(150), |_| failed(Meaning::Hold, "credentials"));
    // The retry goes out and is not answered.
    bench.now += SECOND * 60;
    bench.step(Input::Tick);
    assert_eq!(bench.calls.len(), 1);
    bench.step(Input::Stop);
    assert_eq!(bench.finished, None, "its answer may come");
    bench.now += LAST_ANSWERS;
    assert_eq!(bench.core.next_deadline(bench.now - SECOND), Some(bench.now));
    bench.step(Input::Tick);
    assert_eq!(bench.finished, Some(false));
}

#[test]
fn a_stop_goes_on_trying_while_the_service_is_only_slow_or_away() {
    for meaning in [Meaning::SlowDown, Meaning::Unknown, Meaning::NotSent] {
        let mut bench = Bench::firehose();
        bench.write("line\n");
        bench.live(SECOND, |_| failed(meaning, "code"));
        bench.step(Input::Stop);
        bench.live(SECOND * 30, |_| failed(meaning, "code"));
        assert_eq!(bench.finished, None, "{meaning:?}");
        bench.live(SECOND * 30, |_| Answer::Accepted);
        assert_eq!((bench.finished, bench.delivered.len()), (Some(true), 1));
    }
}

#[test]
fn a_stop_does_not_wait_for_a_quarantine_without_room() {
    let mut bench = Bench::firehose();
    bench.write(&lines(2, &[0]));
    bench.live(Duration::from_millis(150), |records| {
        if records.len() == 2 { refuses_all(records) } else { refuses_bad(records) }
    });
    let mut bench = Bench { quarantined: Vec::new(), ..bench };
    bench.write("bad\n");
    bench.write("good\n");
    while bench.keeping.is_empty() {
        bench.now += Duration::from_millis(100);
        bench.step(Input::Tick);
        while let Some((id, records)) = bench.calls.pop_front() {
            bench.step(Input::Answered(id, refuses_bad(&records)));
        }
    }
    let (id, _) = bench.keeping.pop_front().unwrap();
    bench.step(Input::Quarantined(id, Err("disk full".to_owned())));
    bench.step(Input::Stop);
    assert_eq!(bench.finished, Some(false));
}

/// A flow that has much to do, lives so long under `service`, whose answers take `latency`, and falls further behind.
fn falls_behind(bench: &mut Bench, time: Duration, latency: Duration, mut service: impl FnMut(&[String]) -> Answer) {
    let (end, mut backlog) = (bench.now + time, 16 << 20);
    let mut pending: VecDeque<(Instant, BatchId, Answer)> = VecDeque::new();
    while bench.now < end {
        backlog += 1 << 10;
        bench.core.set_backlog(backlog, backlog, 0);
        for (id, records) in std::mem::take(&mut bench.calls) {
            pending.push_back((bench.now + latency, id, service(&records)));
        }
        if bench.core.has_room() {
            bench.write(&lines(100, &[]));
        } else if pending.front().is_some_and(|(at, ..)| *at <= bench.now) {
            let (_, id, answer) = pending.pop_front().unwrap();
            bench.step(Input::Answered(id, answer));
        } else {
            bench.now += Duration::from_millis(20);
            bench.step(Input::Tick);
        }
    }
}

fn told_behind(bench: &Bench) -> Vec<Stage> {
    let behind = bench.notices.iter().filter_map(|notice| match notice {
        Notice::Behind { stage, .. } => Some(*stage),
        _ => None,
    });
    behind.collect()
}

const FIVE_MINUTES: Duration = Duration::from_secs(300);

#[test]
fn a_flow_that_falls_behind_names_what_limits_it_once() {
    let slow = Duration::from_millis(500);
    let mut network = Bench::firehose();
    falls_behind(&mut network, FIVE_MINUTES, slow, |_| Answer::Accepted);
    assert_eq!(told_behind(&network), [Stage::Network]);

    let mut settings = settings(Form::Firehose);
    settings.pace.max_bytes_per_second = Some(500);
    let mut own = Bench::new(settings.clone());
    falls_behind(&mut own, FIVE_MINUTES, Duration::ZERO, |_| Answer::Accepted);
    assert_eq!(told_behind(&own), [Stage::OwnLimit]);

    let mut quota = Bench::firehose();
    let mut calls = 0;
    falls_behind(&mut quota, FIVE_MINUTES, Duration::ZERO, |_| {
        calls += 1;
        if calls % 2 == 0 { Answer::Accepted } else { failed(Meaning::SlowDown, "ServiceUnavailableException") }
    });
    assert_eq!(told_behind(&quota), [Stage::Quota]);

    let mut away = Bench::firehose();
    falls_behind(&mut away, FIVE_MINUTES, Duration::ZERO, |_| failed(Meaning::NotSent, "connect"));
    assert_eq!(told_behind(&away), [Stage::Network]);

    let mut paused = Bench::firehose();
    falls_behind(&mut paused, FIVE_MINUTES, Duration::ZERO, |_| failed(Meaning::Hold, "AccessDeniedException"));
    assert_eq!(told_behind(&paused), [Stage::Paused]);
    assert!(paused.core.limits().of(Stage::Paused) > FIVE_MINUTES * 9 / 10);
}

/// A flow that sends up to eight calls at once, and the lease of another that leaves it no memory beyond its floor.
fn beside_a_greedy_flow(mut settings: Settings) -> (Bench, Lease) {
    settings.max_concurrent_requests = 8;
    let floor = settings.batch.memory_floor();
    let budget = Budget::new(2 * floor, floor);
    let mut greedy = Lease::new(budget.clone(), 0);
    assert!(greedy.covers(floor as usize));
    (Bench::within(settings, &budget), greedy)
}

#[test]
fn a_flow_that_others_leave_no_memory_names_the_budget() {
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(100_000);
    let (mut bench, _greedy) = beside_a_greedy_flow(settings);
    falls_behind(&mut bench, FIVE_MINUTES / 2, SECOND, |_| Answer::Accepted);
    assert_eq!(told_behind(&bench), [Stage::Memory], "{:?}", bench.core.limits());
}

#[test]
fn a_flow_that_waits_for_its_files_names_the_disk_and_one_that_is_up_to_date_names_nothing() {
    let mut bench = Bench::firehose();
    for second in 0..600_u64 {
        bench.core.set_backlog((16 << 20) + second, (16 << 20) + second, 0);
        bench.now += SECOND;
        bench.step(Input::Tick);
    }
    assert_eq!(told_behind(&bench), [Stage::Disk]);
    let mut bench = Bench::firehose();
    for _ in 0..600 {
        bench.now += SECOND;
        bench.step(Input::Tick);
    }
    assert!(told_behind(&bench).is_empty());
    assert_eq!(*bench.core.limits(), Limits::default(), "an idle flow waits for nothing");
}

/// A flow that got a line every few seconds and whose calls took long was reported as limited by its disk for a third of the
/// time: what it had read and sent counted as if it lay on the disk.
#[test]
fn a_flow_that_has_read_all_there_is_waits_for_nothing_but_for_the_next_attempt() {
    let mut bench = Bench::firehose();
    for _ in 0..60 {
        bench.core.set_backlog(10, 0, 0);
        bench.write("one line\n");
        for _ in 0..20 {
            bench.now += SECOND / 4;
            bench.step(Input::Tick);
        }
        bench.core.set_backlog(0, 0, 0);
        bench.live(SECOND, |_| Answer::Accepted);
    }
    assert_eq!(*bench.core.limits(), Limits::default(), "it is up to date");

    // One record of a call is refused for now: nothing else is left to do.
    let refuse = |code: &str, throttled| Outcome::Again { code: code.to_owned(), throttled };
    for (throttled, stage) in [(false, Stage::Network), (true, Stage::Quota)] {
        let mut bench = Bench::firehose();
        bench.core.set_backlog(10, 0, 0);
        bench.write("one line\n");
        bench.live(SECOND * 60, |records| {
            Answer::PerRecord(records.iter().map(|_| refuse("ServiceUnavailable", throttled)).collect())
        });
        bench.step(Input::Tick);
        let (of, disk) = (bench.core.limits().of(stage), bench.core.limits().of(Stage::Disk));
        assert!(of > SECOND * 30 && disk == Duration::ZERO, "{:?}", bench.core.limits());
    }
}

#[test]
fn catching_up_is_told_once_and_a_backlog_that_only_shrinks_is_no_news() {
    let mut bench = Bench::firehose();
    falls_behind(&mut bench, FIVE_MINUTES, SECOND, |_| Answer::Accepted);
    for bytes in [10 << 20, 2 << 20, 1 << 10, 0] {
        bench.core.set_backlog(bytes, bytes, 0);
        bench.now += SECOND * 30;
        bench.step(Input::Tick);
    }
    let caught_up = bench.notices.iter().filter(|notice| **notice == Notice::CaughtUp).count();
    assert_eq!((told_behind(&bench).len(), caught_up), (1, 1));

    let mut bench = Bench::firehose();
    for second in 0..600_u64 {
        bench.core.set_backlog((1 << 30) - (second << 20), (1 << 30) - (second << 20), 0);
        bench.now += SECOND;
        bench.step(Input::Tick);
    }
    assert!(told_behind(&bench).is_empty());
}

#[test]
fn bytes_that_were_destroyed_are_told_at_once_with_what_limited_the_flow_and_then_in_sums() {
    let mut bench = Bench::firehose();
    let paused =
        |bench: &mut Bench, time| falls_behind(bench, time, Duration::ZERO, |_| failed(Meaning::Hold, "denied"));
    paused(&mut bench, SECOND * 30);
    for destroyed in 1..100 {
        bench.core.set_backlog(0, 0, destroyed * 1_000);
        bench.now += SECOND * 10;
        bench.step(Input::Tick);
    }
    let reported: Vec<u64> = bench
        .notices
        .iter()
        .filter_map(|notice| match notice {
            Notice::Behind { stage: Stage::Paused, destroyed, .. } => Some(*destroyed),
            _ => None,
        })
        .collect();
    assert_eq!(reported, [1_000, 60_000], "the rest comes with the next");
}

#[test]
fn the_time_that_options_take_is_theirs_and_counted_once() {
    let settings = settings(Form::Firehose);
    let surroundings = datalake_process::Surroundings {
        host: "host".to_owned(),
        variables: BTreeMap::new(),
        instance: None,
        max_record_bytes: 1_000,
    };
    let options = serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]);
    let options = datalake_process::Settings::parse_with(&options, datalake_process::OnFailure::Raw).unwrap();
    let processor = datalake_process::Processor::new(&options, &surroundings).unwrap();
    let mut bench = Bench::new(settings);
    bench.core = bench.core.with_processor(processor);
    bench.core.set_backlog(1 << 30, 1 << 30, 0);
    bench.step(Input::Tick);
    let begin = *bench.core.limits();
    for _ in 0..100 {
        bench.core.count_work(Duration::from_millis(80));
        bench.now += Duration::from_millis(100);
        bench.step(Input::Tick);
    }
    let limits = bench.core.limits();
    assert_eq!(limits.main_since(&begin), Some((Stage::Options, 80)));
    assert_eq!(limits.of(Stage::Disk), Duration::from_secs(2));
}

#[test]
fn what_limited_a_flow_before_a_restart_is_not_forgotten() {
    let mut before = Limits::default();
    before.add(Stage::Quota, SECOND * 100);
    let mut bench = Bench::firehose();
    bench.core = bench.core.with_limits(before);
    falls_behind(&mut bench, FIVE_MINUTES, SECOND, |_| Answer::Accepted);
    assert_eq!(bench.core.limits().of(Stage::Quota), SECOND * 100);
    assert_eq!(told_behind(&bench), [Stage::Network], "what was before is not what limits it now");
}

/// A flow that is refused memory cannot wait for another's batch to grow old.
#[test]
fn a_flow_that_holds_more_than_its_floor_sends_early_once_another_was_refused_memory() {
    let mut settings = settings(Form::Firehose);
    let batch = Arc::make_mut(&mut settings.batch);
    (batch.max_age, batch.aggregated_record_bytes) = (SECOND * 3600, Some(100_000));
    settings.framing.max_line_bytes = 100;
    batch.max_bytes = 400_000;
    // The floor of these settings would hold two batches; the plan sets less aside for a shorter line.
    let budget = Budget::new(2 << 20, 0);
    let now = Instant::now();
    let mut first = Bench::new(settings.clone());
    first.core = Core::new(settings, Lease::new(budget.clone(), 1_000), 7, now);
    first.now = now;
    let info = Arc::new(OriginInfo::new("/logs/a.log".into(), FileKey::default()));
    first.step(Input::Arrived(Arrival::Opened { origin: FILE, info, start: Position::START }));
    while first.read < 150_000 {
        first.write(&lines(100, &[]));
    }
    first.live(SECOND * 10, |_| Answer::Accepted);
    let before = first.sent.len();
    assert!(first.core.memory() > 1_000, "something is held above the floor");
    // Time alone is no reason.
    first.live(SECOND * 60, |_| Answer::Accepted);
    assert_eq!(first.sent.len(), before, "nobody was refused anything");
    let mut other = Lease::new(budget, 0);
    assert!(!other.covers(4 << 20));
    assert_eq!(first.core.next_deadline(first.now), Some(first.now + SECOND), "it looks once a second");
    first.live(SECOND, |_| Answer::Accepted);
    assert_eq!(first.sent.len(), before + 1, "the open batch went");
    // And not again for the same refusal.
    first.write(&lines(100, &[]));
    first.live(SECOND * 60, |_| Answer::Accepted);
    assert_eq!(first.sent.len(), before + 1);
}

#[test]
fn a_flow_that_holds_no_more_than_its_floor_waits_although_another_was_refused_memory() {
    let mut settings = settings(Form::Firehose);
    let batch = Arc::make_mut(&mut settings.batch);
    (batch.max_age, batch.aggregated_record_bytes) = (SECOND * 3600, Some(100_000));
    let mut bench = Bench::new(settings);
    bench.write(&lines(100, &[]));
    assert!((1..=bench.core.lease.floor()).contains(&bench.core.memory()));
    let refusals = bench.core.lease.refusals();
    assert!(!bench.core.lease.covers(1 << 30) && bench.core.lease.refusals() > refusals);
    bench.live(SECOND * 60, |_| Answer::Accepted);
    assert!(bench.sent.is_empty());
}

/// Records that were refused for now had waited for the retry, and then for the age of the batch too.
#[test]
fn records_that_are_sent_again_do_not_wait_for_the_age_of_a_batch() {
    let mut settings = settings(Form::Firehose);
    let batch = Arc::make_mut(&mut settings.batch);
    (batch.max_age, batch.max_records) = (SECOND * 3600, 2);
    let mut bench = Bench::new(settings);
    bench.write(&lines(2, &[]));
    let mut calls = 0;
    bench.live(SECOND * 10, |_| {
        calls += 1;
        let again = Outcome::Again { throttled: false, code: "InternalFailure".to_owned() };
        if calls == 1 { Answer::PerRecord(vec![Outcome::Delivered, again]) } else { Answer::Accepted }
    });
    assert_eq!(bench.sent, [vec!["line0\n".to_owned(), "line1\n".to_owned()], vec!["line1\n".to_owned()]]);
    assert_eq!((bench.committed, bench.core.tally().retried), (bench.read, 1));
}

#[test]
fn single_records_that_are_throttled_cut_the_pace_and_others_that_fail_do_not() {
    for throttled in [true, false] {
        let mut bench = Bench::firehose();
        bench.write(&lines(2, &[]));
        bench.now += SECOND;
        bench.step(Input::Tick);
        let (id, _) = bench.calls.pop_front().unwrap();
        let again = Outcome::Again { throttled, code: "code".to_owned() };
        bench.step(Input::Answered(id, Answer::PerRecord(vec![Outcome::Delivered, again])));
        assert_eq!(bench.core.pace.learned_bytes_per_second().is_some(), throttled);
        let throttles = matches!(bench.core.condition(), Condition::Throttled { .. });
        assert_eq!(throttles, throttled);
    }
}

#[test]
fn a_record_whose_next_line_does_not_come_is_sent_after_its_timeout_and_not_before() {
    let mut settings = settings(Form::Firehose);
    let start = framing::StartPattern::parse("line").unwrap();
    settings.framing.multi_line = Some(Box::new(framing::MultiLine { start, timeout: SECOND * 5 }));
    let mut bench = Bench::new(settings);
    bench.write("line 1\n more\n");
    bench.live(SECOND * 4, |_| Answer::Accepted);
    assert!(bench.sent.is_empty());
    bench.live(SECOND * 2, |_| Answer::Accepted);
    assert_eq!(bench.sent, [["line 1\n more\n"]]);
    assert_eq!(bench.committed, bench.read);
}

/// 5,000 idle flows took 115 MiB: what only throttled, limited, compressing or joining flows need was part of each. Sizes
/// are of 64 bits; what makes one larger belongs behind a pointer unless every flow needs it.
#[test]
#[cfg(target_pointer_width = "64")]
fn a_flow_without_work_is_small() {
    for (what, size, most) in [
        ("Core", size_of::<Core>(), 1_740),
        ("Packer", size_of::<batch::Packer>(), 330),
        ("Pace", size_of::<Pace>(), 80),
        ("Settings", size_of::<Settings>(), 120),
        ("Stream, of each file that is read", size_of::<Stream>(), 160),
    ] {
        assert!(size <= most, "{what} takes {size} bytes, more than {most}");
    }
}
