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
            assert!(bench.core.step_cost() >= STEP_COST);
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
    bench.step(Input::Tick);
    assert_eq!(bench.core.step_cost(), 0);
}

/// A look-around takes about a microsecond a byte, which does not go into a step's time without a rest.
#[test]
fn a_step_that_could_not_look_at_all_bytes_is_a_half_step_whatever_the_pattern_takes() {
    let start = framing::StartPattern::parse("(?!more)").unwrap();
    let cost = start.cost();
    let fits = usize::try_from(STEP_COST / cost).unwrap() / 5;
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(50_000);
    settings.framing.multi_line = Some(Box::new(framing::MultiLine { start, timeout: SECOND }));
    for (lines, halfway) in [(fits, false), (2 * fits, true)] {
        let mut bench = Bench::new(settings.clone());
        bench.write(&"line\n".repeat(lines));
        assert_eq!(bench.core.is_halfway(), halfway, "{lines} lines");
        assert!(halfway || bench.core.step_cost() == bench.read * cost);
        while bench.core.is_halfway() {
            bench.step(Input::Tick);
        }
        bench.live(SECOND * 2, |_| Answer::Accepted);
        assert_eq!((bench.delivered.concat().len() as u64, bench.committed), (bench.read, bench.read));
    }
}

fn ordered() -> Settings {
    let only = kinesis::Settings {
        partition_key: PartitionKey::Path(regex::Regex::new("(logs)").unwrap()),
        kpl: false,
        ordered: true,
        record_bytes: kinesis::RECORD_BYTES,
    };
    settings(Form::Kinesis(only))
}

/// A record that is refused for now keeps those behind it waiting; the stream is not called all the time for that.
#[test]
fn in_an_ordered_flow_refused_records_are_sent_again_less_and_less_often() {
    let mut bench = Bench::new(ordered());
    bench.write(&lines(2, &[]));
    let again = || Outcome::Again { throttled: false, code: "InternalFailure".to_owned() };
    bench.live(SECOND * 600, |records| Answer::PerRecord(records.iter().map(|_| again()).collect()));
    assert!((60..300).contains(&bench.sent.len()), "{} calls in ten minutes", bench.sent.len());
    assert!(bench.sent.iter().all(|records| *records == ["line0\n"]), "nothing passes it");
    // A call that fails as a whole then is one failure more, not the first.
    while bench.calls.is_empty() {
        bench.now = bench.core.next_deadline(bench.now).unwrap();
        bench.step(Input::Tick);
    }
    let (id, _) = bench.calls.pop_front().unwrap();
    bench.step(Input::Answered(id, failed(Meaning::Unknown, "timeout")));
    let next = bench.core.next_deadline(bench.now).unwrap();
    assert!(next > bench.now + SECOND, "{:?}", next - bench.now);
    bench.live(SECOND * 60, |_| Answer::Accepted);
    assert_eq!((bench.delivered.concat(), bench.committed), (lines(2, &[]), bench.read));
}

/// Thousands of idle flows must not wake the process.
#[test]
fn a_flow_sleeps_while_nothing_but_an_answer_or_a_line_can_bring_it_on() {
    let mut settings = settings(Form::Firehose);
    settings.pace.max_requests_per_second = Some(1);
    Arc::make_mut(&mut settings.batch).max_records = 1;
    let mut bench = Bench::new(settings);
    assert_eq!(bench.core.next_deadline(bench.now), None, "it has read nothing yet");
    bench.write(&lines(3, &[]));
    for _ in 0..2 {
        assert_eq!(bench.core.next_deadline(bench.now), None, "the window is full, whatever the pace allows");
        let (id, _) = bench.calls.pop_front().unwrap();
        bench.step(Input::Answered(id, Answer::Accepted));
    }
    assert!(bench.calls.is_empty());
    assert_eq!(bench.core.next_deadline(bench.now), Some(bench.now + SECOND), "the pace allows the next");
}

/// What waits behind a call that failed is filled up meanwhile: fewer calls, and fuller ones.
#[test]
fn a_batch_that_waits_for_a_retry_takes_the_lines_that_come_meanwhile() {
    let mut bench = Bench::firehose();
    bench.write("first\n");
    bench.now += SECOND;
    bench.step(Input::Tick);
    bench.write("second\n");
    let (id, _) = bench.calls.pop_front().unwrap();
    bench.step(Input::Answered(id, failed(Meaning::Hold, "AccessDeniedException")));
    bench.now += Duration::from_millis(200);
    bench.step(Input::Tick);
    bench.write("third\n");
    bench.live(SECOND * 60, |_| Answer::Accepted);
    assert_eq!(bench.sent, [vec!["first\n"], vec!["first\n"], vec!["second\n", "third\n"]]);
}

#[test]
fn a_flow_that_holds_just_its_floor_gives_nothing_up_for_another() {
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).max_age = SECOND * 3600;
    let holds = |floor: u64| {
        let budget = Budget::new(64 << 20, floor);
        let mut bench = Bench::new(settings.clone());
        bench.core = Core::new(settings.clone(), Lease::new(budget.clone(), floor), 7, bench.now);
        let info = Arc::new(OriginInfo::new("/logs/a.log".into(), FileKey::default()));
        bench.step(Input::Arrived(Arrival::Opened { origin: FILE, info, start: Position::START }));
        bench.write(&lines(10, &[]));
        assert!(!Lease::new(budget, 0).covers(1 << 30), "another is refused memory");
        bench
    };
    let floor = settings.batch.memory_floor();
    let memory = holds(floor).core.packer.memory() as u64;
    for (floor, sent) in [(memory, 0), (memory - 1, 1)] {
        let mut bench = holds(floor);
        assert_eq!(bench.core.packer.memory() as u64, memory);
        let soon = bench.core.next_deadline(bench.now).is_some_and(|next| next <= bench.now + SECOND);
        assert_eq!(soon, sent > 0);
        bench.now += SECOND;
        bench.step(Input::Tick);
        assert_eq!(bench.calls.len(), sent);
    }
}

#[test]
fn a_line_that_is_longer_than_a_record_should_be_is_a_record_of_its_own() {
    let mut settings = settings(Form::Firehose);
    Arc::make_mut(&mut settings.batch).aggregated_record_bytes = Some(100);
    let mut bench = Bench::new(settings);
    let long = format!("{}\n", "x".repeat(300));
    bench.write(&["a\n", "b\n", &long, "c\n", "d\n"].concat());
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.delivered, ["a\nb\n", &long, "c\nd\n"]);
}
