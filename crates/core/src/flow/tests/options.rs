//! Flows whose records are processed one by one: what becomes of a record that an option cannot work on, what is reported of
//! that, and how results find room.

use super::*;
use datalake_process::{Instance, OnFailure, Processor, Surroundings};

fn processing(settings: Settings, options: &serde_json::Value, on_failure: OnFailure) -> Bench {
    process(Bench::new(settings), options, on_failure)
}

fn process(mut bench: Bench, options: &serde_json::Value, on_failure: OnFailure) -> Bench {
    let surroundings = Surroundings {
        host: "host".to_owned(),
        variables: BTreeMap::new(),
        instance: None,
        max_record_bytes: bench.core.settings.batch.longest_line(),
    };
    let options = datalake_process::Settings::parse_with(options, on_failure).unwrap();
    let processor = Processor::new(&options, &surroundings).unwrap();
    bench.core = bench.core.with_processor(processor);
    bench
}

/// No line of these tests is one of an access log.
fn failing(on_failure: OnFailure) -> Bench {
    let options = serde_json::json!([{"optionName": "LOGTOJSON", "logFormat": "COMMONAPACHELOG"}]);
    processing(settings(Form::Firehose), &options, on_failure)
}

/// What was reported of records that could not be processed: kept raw, dropped, quarantined.
fn reported(bench: &Bench) -> Vec<[u64; 3]> {
    let sums = bench.notices.iter().filter_map(|notice| match notice {
        Notice::Unprocessed { quarantined, raw, dropped, .. } => Some([*raw, *dropped, *quarantined]),
        _ => None,
    });
    sums.collect()
}

#[test]
fn records_that_cannot_be_processed_are_reported_at_once_then_each_minute_in_sums_and_all_at_the_end() {
    let cases = [(OnFailure::Raw, [1, 0, 0]), (OnFailure::Drop, [0, 1, 0]), (OnFailure::Quarantine, [0, 0, 1])];
    for (on_failure, one) in cases {
        let times = |count: u64| one.map(|number: u64| number * count);
        let mut bench = failing(on_failure);
        bench.write(&lines(1, &[]));
        assert_eq!(reported(&bench), [times(1)]);
        bench.live(SECOND * 10, |_| Answer::Accepted);
        for _ in 0..3 {
            bench.write(&lines(1, &[]));
            bench.live(SECOND * 10, |_| Answer::Accepted);
        }
        assert_eq!(reported(&bench).len(), 1, "a minute is not over");
        // To the moment, and woken for it.
        bench.live(SECOND * 20, |_| Answer::Accepted);
        assert_eq!(reported(&bench), [times(1), times(3)]);
        bench.write(&lines(2, &[]));
        bench.live(SECOND, |_| Answer::Accepted);
        bench.step(Input::Stop);
        bench.live(SECOND, |_| Answer::Accepted);
        assert_eq!(reported(&bench), [times(1), times(3), times(2)]);
        let tally = bench.core.tally();
        assert_eq!((tally.unprocessed, tally.arrived), (6, bench.read));
        let of = |number: u64| if number > 0 { bench.read } else { 0 };
        assert_eq!([tally.delivered, tally.filtered, tally.quarantined], one.map(of));
        assert_eq!(bench.committed, bench.read);
    }
}

/// A full record is no full call: each made a call of its own.
#[test]
fn results_fill_the_calls_that_lines_would_fill() {
    let options = serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]);
    let mut settings = settings(Form::Firehose);
    std::sync::Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(1_000);
    let mut calls = Vec::new();
    for processed in [false, true] {
        let mut bench = if processed {
            processing(settings.clone(), &options, OnFailure::Raw)
        } else {
            Bench::new(settings.clone())
        };
        bench.write(&lines(2_000, &[]));
        bench.live(SECOND, |_| Answer::Accepted);
        assert_eq!(bench.delivered.concat(), lines(2_000, &[]));
        calls.push(bench.sent.len());
    }
    assert_eq!(calls, [1, 1]);
}

/// The machine may answer late: records from then on have what it said.
#[test]
fn what_is_learnt_of_the_machine_is_in_the_records_from_then_on() {
    let options = serde_json::json!([{"optionName": "ADDEC2METADATA", "metadataTTL": 60}]);
    let mut bench = processing(settings(Form::Firehose), &options, OnFailure::Raw);
    bench.write("{\"number\":1}\n");
    bench.live(SECOND, |_| Answer::Accepted);
    bench.core.learn(&Arc::new(Instance { instance_id: Some("i-0abc".to_owned()), ..Instance::default() }));
    bench.write("{\"number\":2}\n");
    bench.live(SECOND, |_| Answer::Accepted);
    let known: Vec<bool> = bench.delivered.iter().map(|record| record.contains("i-0abc")).collect();
    assert_eq!(known, [false, true], "{:?}", bench.delivered);
}

/// A flow that takes lines of up to 100,000 bytes, with a filter that drops none of them.
fn of_long_records() -> Bench {
    let mut settings = settings(Form::Firehose);
    settings.framing.max_line_bytes = 100_000;
    processing(settings, &serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]), OnFailure::Raw)
}

fn line_of(bytes: usize) -> String {
    format!("{}\n", "x".repeat(bytes - 1))
}

/// A long record must not hold up the other flows of its thread.
#[test]
fn a_record_over_64_kib_is_processed_elsewhere_and_nothing_passes_it() {
    let mut bench = of_long_records();
    bench.write(&line_of(64 * 1024));
    assert!(bench.jobs.is_empty() && bench.core.has_room(), "this one is processed here");
    bench.live(SECOND, |_| Answer::Accepted);
    bench.write(&[line_of(64 * 1024 + 1), "after\n".to_owned()].concat());
    assert_eq!(bench.jobs.iter().map(|(_, job)| job.bytes()).collect::<Vec<_>>(), [64 * 1024 + 1]);
    assert!(!bench.core.has_room() && !bench.core.is_drained());
    let calls = bench.sent.len();
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert_eq!((bench.jobs.len(), bench.sent.len()), (1, calls), "it is handed out once, and nothing passes it");
    assert_eq!(bench.core.limits().of(Stage::Options), SECOND, "the flow waits for its options");
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.delivered, [line_of(64 * 1024), line_of(64 * 1024 + 1), "after\n".to_owned()]);
    assert_eq!((bench.committed, bench.core.pending()), (bench.read, 0));
}

#[test]
fn a_stop_does_not_wait_for_a_record_that_is_processed_elsewhere_and_takes_no_result_of_it() {
    let mut bench = of_long_records();
    bench.write(&line_of(70_000));
    assert!(!bench.core.is_drained() && !bench.core.has_room());
    let (id, job) = bench.jobs.pop_front().unwrap();
    bench.step(Input::Stop);
    assert_eq!(bench.finished, Some(true), "it is read again at the next start");
    bench.step(Input::Processed(id, Box::new(job.run())));
    bench.live(SECOND, |_| Answer::Accepted);
    assert!(bench.sent.is_empty() && bench.committed == 0);
}

/// `run --once` ends when nothing is held: it would leave such a record behind.
#[test]
fn a_flow_holds_a_record_that_became_complete_by_waiting_and_is_processed_elsewhere() {
    let start = framing::StartPattern::parse("x").unwrap();
    let mut settings = settings(Form::Firehose);
    settings.framing.max_line_bytes = 100_000;
    settings.framing.multi_line = Some(Box::new(framing::MultiLine { start, timeout: SECOND }));
    let mut bench =
        processing(settings, &serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]), OnFailure::Raw);
    bench.write(&line_of(70_000));
    assert!(bench.core.has_room() && bench.jobs.is_empty());
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert_eq!(bench.jobs.len(), 1);
    assert!(!bench.core.is_drained() && !bench.core.has_room());
    bench.live(SECOND, |_| Answer::Accepted);
    assert!(bench.core.is_drained());
    assert_eq!((bench.delivered.concat().len() as u64, bench.committed), (bench.read, bench.read));
}

/// A stop took the whole `shutdownTimeoutMillis` where the disk of the quarantine was full.
#[test]
fn a_stop_does_not_wait_for_a_quarantine_without_room_however_many_records_failed_meanwhile() {
    for lines_meanwhile in [0, 1] {
        let mut bench = failing(OnFailure::Quarantine);
        bench.write(&lines(1, &[]));
        bench.write(&lines(lines_meanwhile, &[]));
        let (id, _) = bench.keeping.pop_front().unwrap();
        bench.step(Input::Quarantined(id, Err("disk full".to_owned())));
        bench.step(Input::Stop);
        assert_eq!((bench.finished, bench.committed), (Some(false), 0), "{lines_meanwhile}");
    }
}

#[test]
fn what_is_learnt_while_a_record_is_away_is_in_the_records_after_it() {
    let options = serde_json::json!([{"optionName": "ADDEC2METADATA", "metadataTTL": 60}]);
    let mut settings = settings(Form::Firehose);
    settings.framing.max_line_bytes = 100_000;
    let mut bench = processing(settings, &options, OnFailure::Raw);
    bench.write(&format!("{{\"number\":\"{}\"}}\n", "1".repeat(70_000)));
    assert_eq!(bench.jobs.len(), 1);
    bench.core.learn(&Arc::new(Instance { instance_id: Some("i-0abc".to_owned()), ..Instance::default() }));
    bench.live(SECOND, |_| Answer::Accepted);
    bench.write("{\"number\":2}\n");
    bench.live(SECOND, |_| Answer::Accepted);
    let known: Vec<bool> = bench.delivered.iter().map(|record| record.contains("i-0abc")).collect();
    assert_eq!(known, [false, true]);
}

#[test]
fn records_are_marked_with_the_time_on_the_wall_wherever_they_are_processed() {
    let options = serde_json::json!([{"optionName": "ADDMETADATA", "timestamp": true, "metadata": {"a": "b"}}]);
    let mut settings = settings(Form::Firehose);
    settings.framing.max_line_bytes = 99_000;
    let mut bench = processing(settings, &options, OnFailure::Raw);
    bench.core.set_wall_clock(1_539_002_096_789);
    for line in ["line\n".to_owned(), line_of(70_000)] {
        bench.write(&line);
        bench.live(SECOND, |_| Answer::Accepted);
    }
    assert_eq!(bench.delivered.len(), 2);
    assert!(
        bench.delivered.iter().all(|record| record.contains("2018-10-08T12:34:56.789")),
        "{:?}",
        bench.delivered[0]
    );
}

/// With a quarantine that is slow, a log that no option fits would fill the memory.
#[test]
fn failed_records_are_held_up_to_256_kib_and_then_the_flow_reads_on_as_they_are_kept() {
    // Each counts as its 1,000 bytes and 256 more: with 209 of them the limit is reached.
    let mut bench = failing(OnFailure::Quarantine);
    let text = line_of(1_000).repeat(100);
    bench.write(&text);
    assert_eq!(bench.keeping.iter().map(|(_, kept)| kept.len()).collect::<Vec<_>>(), [100]);
    assert!(bench.core.has_room());
    // One act at a time: what fails meanwhile is gathered, as far as there is room beside what is being kept.
    bench.write(&text);
    assert!(bench.core.has_room() && bench.keeping.len() == 1);
    bench.write(&text);
    assert!(!bench.core.has_room() && bench.keeping.len() == 1, "the third waits with its last 91");
    assert!(!bench.core.is_drained());
    let (id, _) = bench.keeping.pop_front().unwrap();
    bench.step(Input::Quarantined(id, Ok(())));
    assert_eq!(bench.keeping.front().map(|(_, kept)| kept.len()), Some(200), "and the last 91 were taken in");
    assert_eq!((bench.committed, bench.core.tally().quarantined_records), (100_000, 100));
    assert!(bench.core.has_room());
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.quarantined.len(), 200);
    assert_eq!((bench.committed, bench.core.tally().quarantined), (bench.read, bench.read));
    let mut bench = failing(OnFailure::Quarantine);
    bench.write(&line_of(1_000).repeat(300));
    assert_eq!(bench.keeping.front().map(|(_, kept)| kept.len()), Some(209));
}

#[test]
fn a_flow_says_whether_it_looks_at_records_one_by_one() {
    assert!(failing(OnFailure::Raw).core.processes_records() && !Bench::firehose().core.processes_records());
}

/// With little memory each call has what there was room for, whether a record's size is known before or after processing.
#[test]
fn lines_that_find_no_memory_are_sent_in_smaller_calls_and_all_of_them_arrive() {
    for processed in [false, true] {
        let mut settings = settings(Form::Firehose);
        let batch = Arc::make_mut(&mut settings.batch);
        (batch.aggregated_record_bytes, batch.max_age) = (Some(100_000), SECOND * 3600);
        let floor = settings.batch.memory_floor();
        let (mut bench, _greedy) = beside_a_greedy_flow(settings);
        if processed {
            let options = serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]);
            bench = process(bench, &options, OnFailure::Raw);
        }
        let (mut text, mut under_way) = (String::new(), 0);
        for round in 0..2_000 {
            if bench.core.has_room() {
                // Half of them end in the middle of a line, which is held.
                let end = if round % 2 == 0 { "\n" } else { "" };
                let part = format!("{}{round}{end}", lines(400, &[]));
                bench.write(&part);
                text += &part;
            } else {
                assert!(bench.core.packer.is_empty(), "what is open is sent, to give its memory back");
                under_way = under_way.max(bench.calls.len());
                let (id, records) = bench.calls.pop_front().unwrap();
                bench.delivered.extend(records);
                bench.now += SECOND / 10;
                bench.step(Input::Answered(id, Answer::Accepted));
            }
            assert!(bench.core.memory() as u64 <= floor, "{} of {floor} bytes", bench.core.memory());
        }
        assert!(under_way > 1, "several calls share the memory");
        assert!(bench.core.limits().of(Stage::Memory) > SECOND, "{:?}", bench.core.limits());
        while !bench.core.has_room() {
            let (id, records) = bench.calls.pop_front().unwrap();
            bench.delivered.extend(records);
            bench.step(Input::Answered(id, Answer::Accepted));
        }
        bench.step(Input::Arrived(Arrival::Ended { origin: FILE }));
        bench.live(SECOND * 3600, |_| Answer::Accepted);
        assert!(bench.delivered.concat().trim_end() == text.trim_end() && bench.committed == bench.read);
    }
}

/// A record and a call are filled to the last byte, and no result is split.
#[test]
fn a_result_that_does_not_go_into_the_open_record_begins_the_next() {
    let options = serde_json::json!([{"optionName": "ADDFIELDS", "fields": {"padding": "x".repeat(380)}}]);
    // Each result has 406 bytes: two go into a record, and there may be room for half a record in a call.
    for (call, records) in [(5 * 812, 50), (4 * 812 + 406, 56)] {
        let mut settings = settings(Form::Firehose);
        let batch = Arc::make_mut(&mut settings.batch);
        (batch.aggregated_record_bytes, batch.max_bytes) = (Some(812), call);
        let mut bench = processing(settings, &options, OnFailure::Raw);
        bench.write(&"{\"number\":1}\n".repeat(100));
        bench.live(SECOND, |_| Answer::Accepted);
        assert_eq!((bench.delivered.concat().len(), bench.delivered.len()), (100 * 406, records));
        assert!(bench.delivered.iter().all(|record| record.ends_with("}\n") && record.starts_with("{\"number\":1")));
        let calls: Vec<usize> = bench.sent.iter().map(|records| records.concat().len()).collect();
        assert!(calls.iter().rev().skip(1).all(|bytes| *bytes == call), "{calls:?}");
    }
}

/// Filters that look around are slow: the work on many short records is shared out over steps.
#[test]
fn a_step_processes_records_for_ten_milliseconds_at_most_and_a_costly_one_elsewhere() {
    let costly = |patterns: usize| {
        let patterns: Vec<String> = (0..patterns).map(|number| format!("^(?=~{number})~")).collect();
        let mut settings = settings(Form::Firehose);
        Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(50_000);
        processing(settings, &serde_json::json!([{"optionName": "FILTER", "exclude": patterns}]), OnFailure::Raw)
    };
    let mut bench = costly(5);
    bench.write("0123456789\n");
    let one = bench.core.step_cost();
    assert!((1..STEP_COST / 10).contains(&one), "{one}");
    let text = "0123456789\n".repeat(1_000);
    bench.write(&text);
    let mut steps = 1;
    while bench.core.is_halfway() {
        assert!((STEP_COST..STEP_COST + one).contains(&bench.core.step_cost()), "{}", bench.core.step_cost());
        bench.step(Input::Tick);
        steps += 1;
    }
    assert_eq!(steps, (1_000 * one).div_ceil(STEP_COST.next_multiple_of(one)));
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!((bench.delivered.concat().len() as u64, bench.committed), (bench.read, bench.read));
    // A record that alone takes longer than a step.
    let mut bench = costly(130);
    bench.write(&line_of(200));
    assert_eq!(bench.jobs.len(), 1);
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.delivered, [line_of(200)]);
}

/// What framing leaves out counts, or the accounting would have bytes that never come.
#[test]
fn header_lines_and_the_rest_of_long_lines_count_as_filtered() {
    for processed in [false, true] {
        let mut settings = settings(Form::Firehose);
        let (long_lines, skip_header_lines) = (LongLines::Truncate, 1);
        settings.framing = framing::Settings { max_line_bytes: 100, long_lines, skip_header_lines, ..settings.framing };
        let mut bench = Bench::new(settings);
        if processed {
            let options = serde_json::json!([{"optionName": "FILTER", "exclude": "~"}]);
            bench = process(bench, &options, OnFailure::Raw);
        }
        bench.write(&["a,b\n".to_owned(), line_of(151), "1,2\n".to_owned()].concat());
        bench.live(SECOND, |_| Answer::Accepted);
        let tally = bench.core.tally();
        assert_eq!((tally.filtered, tally.delivered), (4 + 151 - 99, 99 + 4));
        assert_eq!((bench.core.pending(), bench.committed), (0, bench.read));
    }
}
