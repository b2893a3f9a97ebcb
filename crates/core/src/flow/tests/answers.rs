//! What an answer adds to the numbers: the status, the metrics and the accounting report are made of them.

use super::*;
use datalake_base::accounting::Spread;

fn again() -> Outcome {
    Outcome::Again { throttled: false, code: "InternalFailure".to_owned() }
}

/// Answers the call that is under way and lives until the next one is.
fn answer(bench: &mut Bench, answer: Answer) {
    let (id, _) = bench.calls.pop_front().unwrap();
    bench.step(Input::Answered(id, answer));
    while bench.calls.is_empty() && !bench.core.is_drained() {
        bench.now = bench.core.next_deadline(bench.now).unwrap();
        bench.step(Input::Tick);
    }
}

#[test]
fn what_is_accepted_counts_in_every_measure() {
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(20);
    let mut bench = Bench::new(settings);
    for round in 1..=3 {
        // Three lines of 6 bytes go into a record, which is billed as 5 KiB.
        bench.write(&lines(9, &[]));
        bench.live(SECOND, |_| Answer::Accepted);
        let expected = Tally {
            arrived: round * 54,
            delivered: round * 54,
            lines: round * 9,
            records: round * 3,
            payload: round * 54,
            billed: round * 3 * 5 * 1024,
            calls: round,
            ..Tally::default()
        };
        assert_eq!(bench.core.tally(), expected);
    }
}

#[test]
fn records_that_are_sent_again_count_as_such_and_as_possibly_doubled_where_they_may_have_arrived() {
    for (meaning, doubled) in
        [(Meaning::Unknown, true), (Meaning::SlowDown, false), (Meaning::NotSent, false), (Meaning::Hold, false)]
    {
        let mut bench = Bench::firehose();
        bench.write(&lines(3, &[]));
        bench.now += SECOND;
        bench.step(Input::Tick);
        for times in 1..=3 {
            answer(&mut bench, failed(meaning, "code"));
            let tally = bench.core.tally();
            assert_eq!((tally.calls, tally.retried), (times, times * 3), "{meaning:?}");
            assert_eq!(tally.possibly_duplicated, if doubled { times * 3 } else { 0 }, "{meaning:?}");
        }
        answer(&mut bench, Answer::PerRecord(vec![Outcome::Delivered, again(), again()]));
        answer(&mut bench, Answer::PerRecord(vec![again(), Outcome::Delivered]));
        let tally = bench.core.tally();
        assert_eq!((tally.calls, tally.retried, tally.records), (5, 9 + 2 + 1, 2));
    }
}

/// From these an operator sees whether calls are full, and how many of their records a service refuses.
#[test]
fn each_answer_is_reported_with_what_its_call_carried() {
    let mut bench = Bench::firehose();
    bench.write(&lines(3, &[]));
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert!(bench.core.take_answered().is_empty());
    let of = |attempts, accepted, refused: Option<u64>, payload| Calls {
        attempts: Spread::of(attempts),
        accepted: Spread::of(accepted),
        refused: refused.map_or_else(Spread::default, Spread::of),
        payload: Spread::of(payload),
        failed: Spread::of(u64::from(refused.is_none())),
    };
    answer(&mut bench, failed(Meaning::Unknown, "timeout"));
    assert_eq!(bench.core.take_answered(), of(3, 0, None, 0));
    answer(&mut bench, Answer::PerRecord(vec![Outcome::Delivered; 2]));
    assert_eq!(bench.core.take_answered(), of(3, 0, None, 0), "an answer that fits no call is a failed one");
    answer(&mut bench, Answer::PerRecord(vec![again(), Outcome::Delivered, again()]));
    assert_eq!(bench.core.take_answered(), of(3, 1, Some(2), 6));
    answer(&mut bench, Answer::Accepted);
    assert_eq!(bench.core.take_answered(), of(2, 2, Some(0), 12));
    assert!(bench.core.take_answered().is_empty());
}

/// What a flow says it settled must never be more than what arrived: a byte would be in two accounts.
#[test]
fn a_flow_that_settled_more_than_arrived_stops_at_once() {
    let none = Tally::default();
    for wrong in [Tally { delivered: 1, ..none }, Tally { filtered: 1, ..none }, Tally { quarantined: 1, ..none }] {
        let mut bench = Bench::firehose();
        bench.core.tally = wrong;
        let step = std::panic::AssertUnwindSafe(|| bench.step(Input::Tick));
        assert!(std::panic::catch_unwind(step).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_failed_call_shows_in_the_condition_and_in_what_the_flow_waits_for() {
    for (meaning, stage) in [
        (Meaning::SlowDown, Stage::Quota),
        (Meaning::Unknown, Stage::Network),
        (Meaning::NotSent, Stage::Network),
        (Meaning::Hold, Stage::Paused),
    ] {
        let mut bench = Bench::firehose();
        bench.write(&lines(1, &[]));
        bench.now += SECOND;
        bench.step(Input::Tick);
        let (id, _) = bench.calls.pop_front().unwrap();
        bench.step(Input::Answered(id, failed(meaning, "code")));
        let reason = "code: why".to_owned();
        let expected = match meaning {
            Meaning::SlowDown => Condition::Throttled { reason },
            Meaning::Hold => Condition::Paused { reason },
            _ => Condition::Failing { reason },
        };
        assert_eq!(*bench.core.condition(), expected);
        let moment = Duration::from_micros(10);
        let before = *bench.core.limits();
        bench.now += moment;
        bench.step(Input::Tick);
        assert!(bench.calls.is_empty(), "the retry is due later");
        assert_eq!(bench.core.limits().of(stage), before.of(stage) + moment, "{meaning:?}: {:?}", bench.core.limits());
    }
}
