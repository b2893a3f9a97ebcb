//! When a flow sends and how much, when it rests, and what it takes for an answer.

use super::*;

fn long_lines(count: usize) -> String {
    (0..count).map(|number| format!("{number:0>899}\n")).collect()
}

/// Small calls share a quota more evenly than large ones, and less is uploaded in vain.
#[test]
fn a_throttled_stream_is_called_with_less_at_a_time() {
    let mut bench = Bench::firehose();
    let mut calls = 0;
    bench.write(&long_lines(400));
    bench.live(SECOND * 120, |_| {
        calls += 1;
        if calls == 1 { failed(Meaning::SlowDown, "ServiceUnavailableException") } else { Answer::Accepted }
    });
    let sizes: Vec<usize> = bench.sent.iter().map(|records| records.concat().len()).collect();
    assert_eq!(bench.delivered.concat(), long_lines(400));
    // The first was sent before anything was known, and is sent again; what had been sealed beside it goes as it is.
    assert!(sizes[0] > 90_000 && sizes.iter().skip(3).all(|size| *size <= 48 * 1024), "{sizes:?}");
    assert!(sizes.iter().skip(3).rev().skip(1).all(|size| *size >= 32 * 1024), "{sizes:?}");
}

#[test]
fn a_flow_that_has_nothing_to_do_gives_its_memory_back_after_a_while() {
    let mut bench = Bench::firehose();
    bench.write(&lines(100, &[]));
    bench.live(SECOND * 4, |_| Answer::Accepted);
    assert!(bench.core.is_drained() && bench.core.memory() > 0);
    bench.live(SECOND * 2, |_| Answer::Accepted);
    assert_eq!(bench.core.memory(), 0);
    assert_eq!(bench.core.next_deadline(bench.now), None, "it sleeps");
}

/// Fewer outcomes than records say nothing of any record: nothing is settled, all are sent again.
#[test]
fn an_answer_with_too_few_outcomes_or_too_many_is_none() {
    for outcomes in [0, 1, 3] {
        let mut bench = Bench::firehose();
        bench.write(&lines(2, &[]));
        let mut calls = 0;
        bench.live(SECOND * 60, |_| {
            calls += 1;
            if calls == 1 { Answer::PerRecord(vec![Outcome::Delivered; outcomes]) } else { Answer::Accepted }
        });
        assert_eq!((bench.sent.len(), bench.committed), (2, bench.read), "{outcomes}");
        assert_eq!(bench.sent[0], bench.sent[1]);
        assert_eq!(bench.core.tally().delivered, bench.read);
    }
}

/// A record that was refused alone is compared with the call that waits behind it; nothing is paused for that.
#[test]
fn a_flow_that_has_something_to_compare_with_is_not_paused() {
    let mut settings = settings(Form::Firehose);
    std::sync::Arc::make_mut(&mut settings.batch).max_records = 1;
    let mut bench = Bench::new(settings);
    bench.write(&lines(3, &[0]));
    bench.live(SECOND * 60, refuses_bad);
    assert_eq!((bench.quarantined.concat(), bench.delivered.len()), ("bad0\n".to_owned(), 2));
    let paused = |condition: &&&Condition| matches!(condition, Condition::Paused { .. });
    assert_eq!(bench.conditions().iter().filter(paused).count(), 0, "{:?}", bench.conditions());
}

/// Twenty refusals in a row may be a search; the next makes it slow.
#[test]
fn a_search_is_quick_for_twenty_refusals() {
    let mut bench = Bench::firehose();
    bench.write(&lines(500, &[]));
    bench.live(Duration::from_millis(500), refuses_all);
    assert_eq!(bench.sent.len(), 21);
}

#[test]
fn a_step_that_did_little_is_no_half_step() {
    let mut settings = settings(Form::Firehose);
    settings.framing.multi_line =
        Some(Box::new(framing::MultiLine { start: framing::StartPattern::parse("line").unwrap(), timeout: SECOND }));
    for settings in [settings, super::settings(Form::Firehose)] {
        let mut bench = Bench::new(settings);
        bench.write(&lines(10, &[]));
        assert!(!bench.core.is_halfway());
    }
}

/// A search that finds its record is no pause.
#[test]
fn a_search_that_goes_on_is_not_paused() {
    let mut bench = Bench::firehose();
    bench.write(&lines(100, &[40]));
    bench.live(SECOND * 60, refuses_bad);
    assert_eq!(bench.quarantined, ["bad40\n"]);
    let paused = |condition: &&&Condition| matches!(condition, Condition::Paused { .. });
    assert_eq!(bench.conditions().iter().filter(paused).count(), 0, "{:?}", bench.conditions());
}

#[test]
fn a_backlog_that_stands_still_is_none_that_grows_and_caught_up_is_below_a_mebibyte() {
    let caught_up = |bench: &Bench| bench.notices.iter().filter(|notice| **notice == Notice::CaughtUp).count();
    let mut bench = Bench::firehose();
    for _ in 0..600 {
        bench.core.set_backlog(16 << 20, 16 << 20, 0);
        bench.now += SECOND;
        bench.step(Input::Tick);
    }
    assert!(told_behind(&bench).is_empty() && caught_up(&bench) == 0);
    falls_behind(&mut bench, FIVE_MINUTES, SECOND, |_| Answer::Accepted);
    assert_eq!((told_behind(&bench).len(), caught_up(&bench)), (1, 0));
    for (bytes, reported) in [(2 << 20, 0), (1 << 20, 0), ((1 << 20) - 1, 1), (0, 1)] {
        bench.core.set_backlog(bytes, bytes, 0);
        bench.now += SECOND;
        bench.step(Input::Tick);
        assert_eq!(caught_up(&bench), reported, "{bytes}");
    }
}

#[test]
fn the_oldest_byte_is_as_old_as_its_read_wherever_it_waits() {
    let mut bench = Bench::firehose();
    assert_eq!(bench.core.oldest(), None);
    let read_at = bench.now;
    bench.write(&lines(2, &[]));
    assert_eq!(bench.core.oldest(), Some(read_at), "in the open batch");
    bench.now += SECOND;
    bench.step(Input::Tick);
    assert_eq!((bench.calls.len(), bench.core.oldest()), (1, Some(read_at)), "under way");
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.core.oldest(), None);
}

/// A step works for a bounded time; what is left is the next.
#[test]
fn a_step_with_much_to_do_is_a_half_step_and_the_next_goes_on() {
    let mut settings = settings(Form::Firehose);
    let batch = std::sync::Arc::make_mut(&mut settings.batch);
    (batch.max_bytes, batch.aggregated_record_bytes) = (4_000_000, Some(1_000_000));
    let start = framing::StartPattern::parse("line [0-9]+ .*(one|two|three)+ end").unwrap();
    settings.framing.multi_line = Some(Box::new(framing::MultiLine { start, timeout: SECOND }));
    let mut bench = Bench::new(settings);
    let text = "line 1 and what comes behind it: two end\n".repeat(80_000);
    bench.write(&text);
    let mut halves = 0;
    for _ in 0..100_000 {
        assert!(bench.core.step_cost() <= 2 * STEP_COST);
        if bench.core.is_halfway() {
            halves += 1;
            bench.step(Input::Tick);
        } else {
            bench.live(SECOND, |_| Answer::Accepted);
            if bench.core.is_drained() {
                break;
            }
        }
    }
    assert!(halves > 0 && bench.delivered.concat() == text, "{halves}");
}
