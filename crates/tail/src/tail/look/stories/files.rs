//! What the size and the stamps of a file say, and what is done about one that cannot be read.
//! Promises that nothing is compared without a reason, and nothing believed that may have been written anew.
//! Leaves comparing to the other parts.

use super::*;

/// The log as it is now: of this size, with these stamps.
fn touch(scene: &mut Scene, file: u32, size: u64, changed: u64) {
    let key = scene.file_at(file).key;
    let status = Status { key, size, changed, names: 1 };
    scene.tail.touched(file, &status, Some(FlowId(0)), &mut scene.todo);
}

/// Equal stamps mean that a file was not touched, once they stood still for two seconds.
#[test]
fn stamps_are_believed_when_they_stood_still_for_two_seconds() {
    for (size, changed, changed_at, quiet, expected) in [
        (1_840, 7, 498, false, (true, 498, true)),
        (1_840, 7, 499, false, (false, 499, false)),
        (1_840, 7, 498, true, (true, 498, false)),
        (1_841, 7, 498, true, (false, 500, false)),
        (1_840, 8, 498, true, (false, 500, false)),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        let log = scene.log;
        let file = scene.file_at(log);
        (file.changed, file.changed_at, file.quiet, file.attempts) = (7, changed_at, quiet, 3);
        (file.remembered, file.unseen) = (true, true);
        let status = Status { key: file.key, size, changed, names: 1 };
        scene.tail.touched(log, &status, Some(FlowId(0)), &mut scene.todo);
        let dirty = scene.it().dirty;
        let file = scene.file_at(log);
        assert_eq!((file.quiet, file.changed_at, dirty), expected, "{size} {changed} {changed_at}");
        assert_eq!((file.size, file.changed, file.remembered, file.unseen), (size, changed, false, false));
        assert_eq!(file.attempts, if file.changed_at == 500 { 0 } else { 3 });
    }
}

/// What is none of ours is asked again when it may have become ours.
#[test]
fn a_changed_file_is_asked_again_if_it_may_be_something_of_ours_by_now() {
    let (same, touched, resized) = ((1_840, 7), (1_840, 8), (1_841, 8));
    for (standing, (size, changed), live, sought, expected) in [
        (Standing::Unproven, same, false, false, false),
        (Standing::Unproven, touched, false, false, true),
        (Standing::Ignored, same, false, true, false),
        (Standing::Ignored, touched, false, true, true),
        (Standing::Ignored, touched, false, false, false),
        (Standing::Ignored, same, true, false, true),
        (Standing::Skipped, same, true, false, false),
        (Standing::Skipped, touched, true, false, true),
        (Standing::Skipped, touched, false, false, false),
        (Standing::Skipped, resized, false, false, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        folder(&mut scene).sought = u32::from(sought);
        let file = scene.file_at(rotation);
        (file.standing, file.changed) = (standing, 7);
        let status = Status { key: file.key, size, changed, names: 1 };
        scene.tail.touched(rotation, &status, live.then_some(FlowId(0)), &mut scene.todo);
        let what = format!("{standing:?}, {size}, {changed}, live {live}, sought {sought}");
        assert_eq!(!scene.tail.unproven.is_empty(), expected, "{what}");
    }
}

/// A log that grew is read on, and compared first if it may have been written anew.
#[test]
fn a_changed_log_is_compared_unless_it_only_grew_behind_what_was_read() {
    // 1,840 bytes of which 500 were read.
    for (what, size, changed, expected) in [
        ("it has grown", 2_000, 8, (true, 2_000)),
        ("it was touched", 1_840, 8, (true, 1_840)),
        ("nothing was done", 1_840, 0, (true, 1_840)),
        ("it is shorter", 1_800, 8, (false, 1_840)),
        ("it is as long as what was read", 500, 8, (false, 1_840)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        touch(&mut scene, log, size, changed);
        assert_eq!((scene.it().confirmed, scene.it().known), expected, "{what}");
    }
    let cases: [(&str, usize, Change, u64, bool); 6] = [
        ("all of it was read, and it was touched", 1_840, |_| (), 1_840, false),
        ("nothing was read", 0, |_| (), 2_000, true),
        ("nothing is known of what was read", 500, |scene| scene.it().proof = Default::default(), 2_000, false),
        ("nothing was read, and nothing is known", 0, |scene| scene.it().proof = Default::default(), 2_000, true),
        ("it was in doubt", 500, |scene| scene.it().confirmed = false, 2_000, false),
        ("it was finished", 1_840, |scene| scene.it().state = State::Finished, 2_000, true),
    ];
    for (what, read, change, size, expected) in cases {
        let mut scene = Scene::new(&many(), read);
        change(&mut scene);
        let log = scene.log;
        touch(&mut scene, log, size, 8);
        assert_eq!((scene.it().confirmed, scene.it().state), (expected, State::Followed), "{what}");
    }
}

/// Thousands of files need not be opened at a start: equal stamps that stood still are believed.
#[test]
fn a_file_of_a_row_is_compared_unless_its_stamps_stood_still_and_all_of_it_was_read() {
    for (read, changed, quiet, expected) in
        [(1_840, 0, true, true), (1_840, 0, false, false), (1_840, 8, true, false), (500, 0, true, false)]
    {
        let mut scene = Scene::new(&many(), read);
        let log = scene.log;
        (scene.file_at(log).remembered, scene.file_at(log).quiet) = (true, quiet);
        scene.it().confirmed = false;
        touch(&mut scene, log, 1_840, changed);
        assert_eq!(scene.it().confirmed, expected, "{read}, {changed}, {quiet}");
    }
}

/// Its flow has no room, and its turn may be far away: what was read is compared now, so that what is new is its own.
#[test]
fn an_open_log_that_changes_while_its_flow_has_no_room_is_compared() {
    for (open, blocked, changed, expected) in
        [(true, true, 8, true), (false, true, 8, false), (true, false, 8, false), (true, true, 0, false)]
    {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.flows[0].blocked = blocked;
        if open {
            scene.tail.slots.push(Some((scene.content, false)));
            scene.it().slot = 0;
        }
        let log = scene.log;
        touch(&mut scene, log, 1_840, changed);
        assert_eq!(scene.it().checking, expected, "open {open}, blocked {blocked}, {changed}");
    }
}

/// An archive does not change under its name, so what changed is another one; a copy that changes may be on its way to be
/// something else.
#[test]
fn archives_and_copies_that_change_are_asked_what_they_hold() {
    for (at_end, size, expected) in [(true, 1_841, true), (true, 1_840, false), (false, 1_841, false)] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        scene.file_at(log).packing = Some(Packing::Gzip);
        scene.it().at_end = at_end;
        touch(&mut scene, log, size, 8);
        assert_eq!(scene.file_at(log).standing == Standing::Unproven, expected, "{at_end}, {size}");
        assert_eq!(scene.it().queued, !at_end, "what is not read to its end is read on");
    }
    for (packed, size, changed, expected) in [
        (false, 1_840, 0, false),
        (false, 1_840, 8, true),
        (false, 1_841, 8, true),
        (true, 1_840, 8, false),
        (true, 1_841, 8, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let (rotation, number) = (scene.rotation, scene.content);
        scene.it().copies.push(rotation);
        let file = scene.file_at(rotation);
        (file.standing, file.packing) = (Standing::Holds(number), packed.then_some(Packing::Gzip));
        touch(&mut scene, rotation, size, changed);
        assert_eq!(scene.it().copies.is_empty(), expected, "packed {packed}, {size}, {changed}");
        assert_eq!(scene.outcome() == Outcome::Nothing, expected);
    }
    // A log that counted as a copy and was cut may have gone on before; one that grew was not cut.
    for (size, expected) in [(1_839, true), (1_841, false)] {
        let mut scene = Scene::new(&many(), 500);
        let (log, number) = (scene.log, scene.content);
        scene.it().file = scene.rotation;
        scene.it().copies.push(log);
        touch(&mut scene, log, size, 8);
        assert_eq!(scene.tail.seeks.contains_key(&number), expected, "{size}");
    }
}

/// A row slept because no pattern matched it; one does now.
#[test]
fn what_slept_is_its_flows_when_a_pattern_matches_it_again() {
    let mut scene = Scene::new(&many(), 500);
    let log = scene.log;
    scene.it().flow = None;
    touch(&mut scene, log, 1_840, 0);
    assert_eq!((scene.it().flow, scene.tail.gauge(FlowId(0)).files), (Some(FlowId(0)), 2));
    touch(&mut scene, log, 1_840, 0);
    assert_eq!(scene.tail.gauge(FlowId(0)).files, 2);
}

/// Said once, and once more when it is over; a file that a rule of the operator refuses is not said at all.
#[test]
fn a_file_that_cannot_be_read_is_said_once_and_tried_again_after_half_a_minute() {
    for (failure, standing, said, waits) in [
        (Failure::Denied, Standing::Unproven, 1, true),
        (Failure::Denied, Standing::Ignored, 1, false),
        (Failure::Refused, Standing::Unproven, 0, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        scene.file_at(rotation).standing = standing;
        for _ in 0..2 {
            scene.tail.refuse(rotation, Some(FlowId(0)), failure, &mut scene.todo);
        }
        let notices = scene.todo.iter().filter(|todo| matches!(todo, ToDo::Say(Notice::Unreadable { .. })));
        assert_eq!((notices.count(), scene.tail.waiting.contains(&rotation)), (said, waits), "{failure:?}");
        assert!(scene.tail.due.iter().any(|due| *due == Reverse((NOW.plus_ms(30_000), Due::File(rotation)))));
        for _ in 0..2 {
            scene.tail.readable(rotation, &mut scene.todo);
        }
        let notices = scene.todo.iter().filter(|todo| matches!(todo, ToDo::Say(Notice::ReadableAgain { .. })));
        assert_eq!((notices.count(), scene.file_at(rotation).refused), (1, false));
    }
}
