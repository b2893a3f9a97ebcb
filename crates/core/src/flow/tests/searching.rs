//! In which order a search for a bad record tries what is left, and when it waits.

use super::*;

/// A flow whose first call, of these lines, is under way.
fn sending(text: &str) -> Bench {
    let mut bench = Bench::firehose();
    bench.write(text);
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert_eq!(bench.calls.len(), 1);
    bench
}

/// Answers call after call, each as soon as it is sent.
fn answer(bench: &mut Bench, answers: impl IntoIterator<Item = Answer>) {
    for answer in answers {
        while bench.calls.is_empty() {
            bench.now = bench.core.next_deadline(bench.now).unwrap();
            bench.step(Input::Tick);
        }
        let (id, _) = bench.calls.pop_front().unwrap();
        bench.step(Input::Answered(id, answer));
    }
    while bench.calls.is_empty() {
        bench.now = bench.core.next_deadline(bench.now).unwrap();
        bench.step(Input::Tick);
    }
}

/// The good lines of a call must not wait for the minute in which a refused one is tried again.
#[test]
fn a_search_takes_no_time_beyond_its_calls() {
    for bad in 0..8 {
        let mut bench = sending(&lines(8, &[bad]));
        bench.live(Duration::ZERO, refuses_bad);
        assert_eq!((bench.quarantined.concat(), bench.delivered.len()), (format!("bad{bad}\n"), 7));
    }
}

#[test]
fn a_part_of_a_refused_call_that_fails_for_another_reason_is_tried_again_before_the_next() {
    let mut bench = sending(&lines(4, &[]));
    answer(&mut bench, [refuses_all(&[]), failed(Meaning::Unknown, "timeout"), Answer::Accepted]);
    let sent: Vec<String> = bench.sent.iter().map(|records| records.concat().replace('\n', " ")).collect();
    assert_eq!(sent, ["line0 line1 line2 line3 ", "line0 line1 ", "line0 line1 ", "line2 line3 "]);
}

/// With two records that were refused alone, one of which meets a network that fails, the other may be the better try.
#[test]
fn a_record_that_was_refused_alone_goes_behind_the_others_when_its_call_fails() {
    let mut bench = sending(&lines(2, &[0, 1]));
    let refused = || refuses_all(&[]);
    answer(&mut bench, [refused(), refused(), refused(), failed(Meaning::Unknown, "timeout")]);
    let sent: Vec<String> = bench.sent.iter().map(|records| records.concat().replace('\n', " ")).collect();
    assert_eq!(sent, ["bad0 bad1 ", "bad0 ", "bad1 ", "bad0 ", "bad1 "]);
}

/// After twenty refusals each attempt tries what was longest not tried, one at a time, and waits 5 to 60 s.
#[test]
fn a_slow_search_tries_one_part_at_a_time_and_each_in_its_turn() {
    let mut settings = settings(Form::Firehose);
    settings.max_concurrent_requests = 4;
    let mut bench = Bench::new(settings);
    bench.write(&lines(32, &[]));
    bench.now += SECOND;
    bench.step(Input::Tick);
    let mut slow = Vec::new();
    for attempt in 0..200 {
        while bench.calls.is_empty() {
            bench.now = bench.core.next_deadline(bench.now).unwrap();
            bench.step(Input::Tick);
        }
        if attempt > 40 {
            assert_eq!(bench.calls.len(), 1, "one at a time");
            slow.push((bench.now, bench.calls[0].1.concat()));
        }
        let (id, records) = bench.calls.pop_front().unwrap();
        bench.step(Input::Answered(id, refuses_all(&records)));
    }
    let tried: BTreeSet<&String> = slow[slow.len() - 32..].iter().map(|(_, records)| records).collect();
    assert_eq!(tried.len(), 32, "each of the 32 records in its turn");
    let took = slow[slow.len() - 1].0 - slow[0].0;
    assert!(took > SECOND * 20 * (slow.len() as u32 - 1) && took < SECOND * 40 * (slow.len() as u32 - 1), "{took:?}");
    // An acceptance says that the stream is well: then it goes on at once.
    bench.live(SECOND * 61, |_| Answer::Accepted);
    assert_eq!((bench.delivered.len(), bench.committed), (32, bench.read));
}

/// A fresh batch is what a record is compared with that nothing else is left for; before that it waits.
#[test]
fn a_search_goes_on_before_the_next_batch_is_sent() {
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).max_records = 2;
    let mut bench = Bench::new(settings);
    bench.write(&lines(4, &[0]));
    bench.live(SECOND, refuses_bad);
    let sent: Vec<String> = bench.sent.iter().map(|records| records.concat().replace('\n', " ")).collect();
    assert_eq!(sent, ["bad0 line1 ", "bad0 ", "line1 ", "bad0 ", "line2 line3 "]);
}

/// An operator must not wait for twenty refusals to read that the stream refuses what there is.
#[test]
fn a_flow_whose_only_record_is_refused_says_at_once_that_it_is_paused() {
    let mut bench = sending("bad\n");
    let (id, _) = bench.calls.pop_front().unwrap();
    bench.step(Input::Answered(id, refuses_all(&[])));
    assert!(matches!(bench.core.condition(), Condition::Paused { reason } if reason.contains("no record is blamed")));
    assert!(matches!(bench.conditions()[..], [Condition::Paused { .. }]));
    // It is held meanwhile: as memory, and as the oldest byte of the flow.
    bench.core.packer.rest();
    assert!(bench.core.memory() > 0);
    assert_eq!(bench.core.oldest(), Some(bench.now - SECOND));
}
