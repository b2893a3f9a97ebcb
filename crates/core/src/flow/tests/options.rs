//! Flows whose records are processed one by one: what becomes of a record that an option cannot work on, what is reported of
//! that, and how results find room.

use super::*;
use datalake_process::{Instance, OnFailure, Processor, Surroundings};

fn processing(settings: Settings, options: &serde_json::Value, on_failure: OnFailure) -> Bench {
    let surroundings =
        Surroundings { host: "host".to_owned(), variables: BTreeMap::new(), instance: None, max_record_bytes: 1_000 };
    let options = datalake_process::Settings::parse_with(options, on_failure).unwrap();
    let processor = Processor::new(&options, &surroundings).unwrap();
    let mut bench = Bench::new(settings);
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
