//! Files that end: what is held of them, where it goes, and that nothing of them is left.

use super::*;

/// Another file with this text, which ends at once.
fn whole_file(bench: &mut Bench, origin: Origin, text: &str) {
    let info = Arc::new(OriginInfo::new("/logs/b.log".into(), FileKey::default()));
    bench.step(Input::Arrived(Arrival::Opened { origin, info, start: Position::START }));
    let chunk = Chunk { origin, start: Position::START, bytes: text.as_bytes().to_vec().into(), read_at: bench.now };
    bench.step(Input::Arrived(Arrival::Read(chunk)));
    bench.step(Input::Arrived(Arrival::Ended { origin }));
}

#[test]
fn the_last_line_of_a_file_arrives_although_nothing_ends_it_and_the_file_is_forgotten() {
    let mut bench = Bench::firehose();
    whole_file(&mut bench, Origin::new(2), "first\nlast");
    assert_eq!(bench.core.origins.len(), 2, "it is open while something of it is on its way");
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!((bench.delivered.concat().as_str(), bench.committed), ("first\nlast\n", 10));
    assert_eq!(bench.core.origins.len(), 1);
    assert!(bench.core.ledger.track(Origin::new(2)).is_none());
    // One that held nothing is forgotten at once.
    whole_file(&mut bench, Origin::new(3), "");
    assert_eq!(bench.core.origins.len(), 1);
}

/// A flow kept what it knew of each of 100,000 small files for as long as they lay there.
#[test]
fn origins_that_are_settled_are_forgotten_together_and_one_with_something_under_way_when_that_is_settled() {
    let mut bench = Bench::firehose();
    let open = |bench: &mut Bench, origin| {
        let info = Arc::new(OriginInfo::new("/logs/b.log".into(), FileKey::default()));
        bench.step(Input::Arrived(Arrival::Opened { origin, info, start: Position::START }));
        let bytes = b"line\n".to_vec().into();
        bench.step(Input::Arrived(Arrival::Read(Chunk { origin, start: Position::START, bytes, read_at: bench.now })));
    };
    let [first, second, third, unknown] = [2, 3, 4, 99].map(Origin::new);
    open(&mut bench, first);
    open(&mut bench, second);
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.core.origins.len(), 3);
    open(&mut bench, third);
    bench.step(Input::Arrived(Arrival::Closed { origins: vec![first, third, unknown] }));
    assert_eq!(bench.core.origins.keys().copied().skip(1).collect::<Vec<_>>(), [second, third]);
    assert!(bench.core.ledger.track(first).is_none() && bench.core.ledger.track(third).is_some());
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.core.origins.keys().copied().skip(1).collect::<Vec<_>>(), [second]);
    assert!(bench.core.ledger.track(third).is_none());
}

/// Thousands of small files that end without a newline must not make a record each, or a call each.
#[test]
fn last_lines_of_files_share_records_and_calls_to_the_last_byte() {
    // The longest line has 1,000 bytes, and a last line is taken in only where it would find room.
    for (record, call, records) in [
        (2_000, 2_000, &["a\nb\n"][..]),
        (1_002, 2_000, &["a\nb\n"]),
        (1_001, 2_000, &["a\n", "b\n"]),
        (1_001, 1_002, &["a\n", "b\n"]),
    ] {
        let mut settings = settings(Form::Firehose);
        let batch = Arc::make_mut(&mut settings.batch);
        (batch.aggregated_record_bytes, batch.max_bytes) = (Some(record), call);
        let mut bench = Bench::new(settings);
        whole_file(&mut bench, Origin::new(2), "a");
        whole_file(&mut bench, Origin::new(3), "b");
        bench.live(SECOND, |_| Answer::Accepted);
        assert_eq!(bench.sent, [records], "{record} {call}");
    }
}

/// Nor may they make a call that is too long.
#[test]
fn a_last_line_that_may_find_no_room_in_the_call_begins_the_next() {
    let mut settings = settings(Form::Firehose);
    let batch = Arc::make_mut(&mut settings.batch);
    (batch.aggregated_record_bytes, batch.max_bytes) = (Some(1_001), 1_001);
    let mut bench = Bench::new(settings);
    whole_file(&mut bench, Origin::new(2), "a");
    whole_file(&mut bench, Origin::new(3), "b");
    bench.live(SECOND, |_| Answer::Accepted);
    assert_eq!(bench.sent, [["a\n"], ["b\n"]]);
}
