//! Whose turn it is, and which files are open.
//! Promises for each condition the story that only it decides.
//! Leaves what a read, a comparison and time lead to to the stories of `read`, `check` and `time`, and how all of it plays
//! together to `rules` and `worlds`.

use super::*;
use crate::Packing;
use crate::seen::{Failure, Moment, Seen, Ticket};
use crate::tail::scene::{NOW, Scene, closes, many, nameless, open, pack, timed};
use std::cmp::Reverse;

type Change = fn(&mut Scene);

fn asks_to_read(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::Read { .. }))
}

/// What has no turn although something is there is never sent; what has one although nothing is there costs for nothing.
#[test]
fn a_content_wants_a_turn_if_something_of_it_can_be_had_and_nothing_has_to_come_first() {
    fn read_all(scene: &mut Scene) {
        scene.it().known = scene.it().read;
    }
    let cases: [(&str, &[Change], bool); 24] = [
        ("something is to be read", &[], true),
        ("nothing is", &[read_all], false),
        ("nothing is, but that is in doubt", &[read_all, |scene| scene.it().confirmed = false], true),
        ("nothing is known to be", &[read_all, |scene| scene.it().poll = true], true),
        ("its flow is gone", &[|scene| scene.tail.flows[0].gone = true], false),
        ("it sleeps", &[|scene| scene.it().flow = None], false),
        ("its name is gone", &[nameless], false),
        ("its name is gone, and it is open", &[open, nameless], true),
        ("nobody has seen its file in this life", &[|scene| scene.file_at(scene.log).remembered = true], false),
        ("the same, and it is open", &[open, |scene| scene.file_at(scene.log).remembered = true], true),
        ("an archive", &[pack, read_all], true),
        ("an archive that was read", &[pack, |scene| scene.it().at_end = true], false),
        ("it waits to go on elsewhere", &[|scene| scene.it().jump = 7], false),
        (
            "its origin has ended and is not settled",
            &[|scene| (scene.it().ended, scene.it().settled) = (true, 5)],
            false,
        ),
        ("its origin has ended", &[|scene| scene.it().ended = true], true),
        ("it is not settled", &[|scene| scene.it().settled = 5], true),
        ("it is looked for", &[|scene| scene.it().state = State::Sought], false),
        ("it is finished", &[|scene| scene.it().state = State::Finished], false),
        ("it is compared", &[|scene| scene.it().checking = true], false),
        ("it is being opened", &[|scene| scene.it().opening = true], false),
        ("its file is not known", &[|scene| scene.it().file = NONE], false),
        ("in doubt, and compared", &[|scene| (scene.it().checking, scene.it().confirmed) = (true, false)], false),
        (
            "in doubt, and finished",
            &[|scene| (scene.it().state, scene.it().confirmed) = (State::Finished, false)],
            false,
        ),
        ("to be polled, without a name", &[nameless, |scene| scene.it().poll = true], false),
    ];
    for (what, changes, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        changes.iter().for_each(|change| change(&mut scene));
        assert_eq!(scene.tail.wants_turn(scene.content), expected, "{what}");
    }
}

/// Closed files are opened even while the flow has no room; a flow that reads or has none is not asked again.
#[test]
fn what_wants_a_turn_is_put_in_line_once_to_be_opened_or_read() {
    for (is_open, confirmed, closed) in [(false, true, 1), (false, false, 0), (true, true, 0), (true, false, 0)] {
        for (blocked, reading) in [(false, false), (true, false), (false, true)] {
            let mut scene = Scene::new(&many(), 500);
            if is_open {
                open(&mut scene);
            }
            scene.it().confirmed = confirmed;
            scene.tail.flows[0].blocked = blocked;
            scene.tail.flows[0].reading = reading.then_some(Ticket(9));
            let number = scene.content;
            scene.tail.enqueue(number);
            scene.tail.enqueue(number);
            let flow = &scene.tail.flows[0];
            assert_eq!((flow.closed.len(), flow.ready.len()), (closed, 1 - closed), "open {is_open}, {confirmed}");
            assert_eq!(scene.tail.enqueued, closed == 0 && !blocked && !reading);
        }
    }
}

/// One read of a flow at a time, of what was compared and had its turn less recently.
#[test]
fn a_flow_with_room_reads_what_is_open_and_compared() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Reads,
        Compares,
        Opens,
        Waits,
        Drops,
    }
    let cases: [(&str, Change, Then); 10] = [
        ("it is open", |_| (), Then::Reads),
        ("its flow has no room", |scene| scene.tail.flows[0].blocked = true, Then::Waits),
        ("another is read", |scene| scene.tail.flows[0].reading = Some(Ticket(9)), Then::Waits),
        ("the system has nothing to give", |scene| scene.tail.starved = true, Then::Waits),
        (
            "it has its first turn, and others come",
            |scene| {
                let question = scene.question(&many());
                scene.tail.ask(Job::Identify(question));
            },
            Then::Reads,
        ),
        ("it is in doubt", |scene| scene.it().confirmed = false, Then::Compares),
        ("it is closed", |scene| scene.it().slot = NONE, Then::Opens),
        (
            "it comes after its rotations",
            |scene| {
                scene.it().ahead = true;
                let older = scene.file("a.log.7", 5, false);
                scene.tail.prove(older);
            },
            Then::Waits,
        ),
        (
            "it had a turn, and others come",
            |scene| {
                scene.it().served = true;
                let question = scene.question(&many());
                scene.tail.ask(Job::Identify(question));
            },
            Then::Waits,
        ),
        ("nothing is there any more", |scene| scene.it().known = 500, Then::Drops),
    ];
    for (what, change, then) in cases {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene);
        change(&mut scene);
        let number = scene.content;
        scene.it().queued = true;
        scene.tail.flows[0].ready.push_back(number);
        scene.tail.enqueued = false;
        scene.tail.pump(FlowId(0), &mut scene.todo);
        let flow = &scene.tail.flows[0];
        let came = if asks_to_read(&scene) {
            Then::Reads
        } else if scene.tail.checks.contains(&number) {
            Then::Compares
        } else if flow.closed.contains(&number) {
            Then::Opens
        } else if flow.ready.contains(&number) {
            Then::Waits
        } else {
            Then::Drops
        };
        assert_eq!(came, then, "{what}");
        assert!(!scene.tail.enqueued, "{what}: nothing new is in line");
        let again = scene.tail.due.iter().any(|Reverse(due)| *due == (NOW.plus_ms(100), Due::Flow(FlowId(0))));
        assert_eq!(again, what == "it comes after its rotations", "{what}");
        assert_eq!(scene.it().checking, then == Then::Compares, "{what}");
    }
}

/// Each step is bounded, however many files have become empty meanwhile.
#[test]
fn in_one_step_a_flow_looks_through_256_files_and_opens_sixteen() {
    let mut scene = Scene::new(&many(), 500);
    scene.it().known = 500;
    let number = scene.content;
    scene.tail.flows[0].ready.extend(std::iter::repeat_n(number, 300));
    scene.tail.pump(FlowId(0), &mut scene.todo);
    assert_eq!(scene.tail.flows[0].ready.len(), 44);
    scene.tail.flows[0].closed.extend(std::iter::repeat_n(number, 20));
    scene.tail.open_waiting(FlowId(0), &mut scene.todo);
    assert_eq!(scene.tail.flows[0].closed.len(), 4);
}

/// One huge file is not read on while a thousand small ones are on their way, and does not wait for ever.
#[test]
fn a_file_that_had_a_turn_waits_for_others_of_its_flow_for_512_steps() {
    type Ask = fn(&mut Scene) -> Job;
    let identify: Ask = |scene| Job::Identify(scene.question(&many()));
    let cases: [(&str, Ask, bool); 5] = [
        ("a file is asked", identify, true),
        ("a file is opened", |scene| Job::Open { content: scene.content, slot: 0 }, true),
        (
            "an archive is asked",
            |scene| {
                let mut question = scene.question(&many());
                question.packing = Some(Packing::Gzip);
                Job::Identify(question)
            },
            false,
        ),
        ("a folder is listed", |_| Job::List(0), false),
        (
            "a file of another flow is opened",
            |scene| {
                scene.it().flow = Some(FlowId(1));
                Job::Open { content: scene.content, slot: 0 }
            },
            false,
        ),
    ];
    for (what, ask, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let job = ask(&mut scene);
        scene.tail.ask(job);
        for step in 0..1_030 {
            let waits = expected && step % 513 != 512;
            assert_eq!(scene.tail.first_turns_come(FlowId(0)), waits, "{what}, step {step}");
        }
    }
    let mut scene = Scene::new(&many(), 500);
    let question = scene.question(&many());
    for name in 0..2 {
        scene.tail.places.names.get_mut(name).unwrap().flow = Some(FlowId(1));
    }
    scene.tail.ask(Job::Identify(question));
    assert!(!scene.tail.first_turns_come(FlowId(0)), "a file of another flow is asked");
}

/// Records of a log come in the order in which they were written, as long as nothing is lost or stuck for it.
#[test]
fn what_follows_waits_for_what_comes_before_it_unless_that_is_not_to_be_had() {
    /// The content comes after this one, which lies in the rotation.
    fn before(scene: &mut Scene, read: u64, known: u64) -> u32 {
        let mut content = Content::new(9, Some(FlowId(0)), NOW);
        (content.file, content.read, content.settled, content.known) = (scene.rotation, read, read, known);
        let number = scene.tail.contents.all.insert(content);
        scene.it().after = number;
        number
    }
    type Before = fn(&mut Scene, &mut Content);
    let cases: [(&str, u64, Before, bool); 12] = [
        ("something is to be read of it", 80, |_, _| (), true),
        ("nothing is", 50, |_, _| (), false),
        ("it is compared", 50, |_, content| content.checking = true, true),
        ("it is being opened", 50, |_, content| content.opening = true, true),
        ("it is finished", 80, |_, content| content.state = State::Finished, false),
        ("it has just been lost", 80, |_, content| content.state = State::Sought, true),
        ("all was read before it was lost", 50, |_, content| content.state = State::Sought, false),
        ("nobody may read it", 80, |scene, _| scene.file_at(scene.rotation).refused = true, false),
        (
            "there is no room to open it, as this is open without a name",
            80,
            |scene, _| {
                open(scene);
                nameless(scene);
                scene.tail.most_open = 1;
            },
            false,
        ),
        (
            "there is room to open it",
            80,
            |scene, _| {
                open(scene);
                nameless(scene);
                scene.tail.most_open = 2;
            },
            true,
        ),
        (
            "this can be closed for it",
            80,
            |scene, _| {
                open(scene);
                scene.tail.most_open = 1;
            },
            true,
        ),
        (
            "it is open",
            80,
            |scene, content| {
                open(scene);
                nameless(scene);
                scene.tail.most_open = 1;
                content.slot = 5;
            },
            true,
        ),
    ];
    for (what, known, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let number = before(&mut scene, 50, known);
        let mut content = std::mem::replace(scene.content_at(number), Content::new(9, None, NOW));
        change(&mut scene, &mut content);
        *scene.content_at(number) = content;
        let this = scene.content;
        assert_eq!(scene.tail.is_held_back(this), expected, "{what}");
        assert_eq!(scene.it().after, if expected { number } else { NONE }, "{what}");
    }
    for (milliseconds, expected) in [(2_999, true), (3_000, false)] {
        let mut scene = Scene::new(&many(), 500);
        let number = before(&mut scene, 50, 80);
        scene.content_at(number).file = NONE;
        scene.tail.lose(number, &mut Vec::new());
        scene.tail.seeks.get_mut(&number).unwrap().since = Moment(NOW.0 - milliseconds * 1_000);
        let this = scene.content;
        assert_eq!(scene.tail.is_held_back(this), expected, "lost {milliseconds} ms ago");
    }
    // A log that was looked at before its turn.
    for (ahead, older, expected) in [(true, true, true), (true, false, false), (false, true, false)] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().ahead = ahead;
        if older {
            let older = scene.file("a.log.7", 5, false);
            scene.tail.prove(older);
        }
        let this = scene.content;
        assert_eq!(scene.tail.is_held_back(this), expected, "ahead {ahead}, older {older}");
        assert_eq!(scene.it().ahead, expected);
    }
}

/// Descriptors and decoders are few: what takes one that something else waits for may wait for that for ever.
#[test]
fn a_file_is_opened_if_there_is_a_descriptor_and_for_an_archive_a_decoder_and_its_turn() {
    let cases: [(&str, bool, Change, bool, bool); 9] = [
        ("a log", true, |_| (), true, false),
        ("a log that waits for something older", false, |_| (), true, false),
        ("the system has nothing to give", true, |scene| scene.tail.starved = true, false, false),
        ("an archive", true, pack, true, false),
        ("an archive that waits for something older", false, pack, false, true),
        (
            "an archive without a decoder",
            true,
            |scene| {
                pack(scene);
                scene.tail.decoders = 2;
            },
            false,
            true,
        ),
        ("a log while no decoder is free", true, |scene| scene.tail.decoders = 2, true, false),
        ("no descriptor is free", true, |scene| scene.tail.most_open = 0, false, false),
        (
            "one can be closed",
            true,
            |scene| {
                scene.tail.most_open = 1;
                let mut content = Content::new(9, Some(FlowId(0)), NOW);
                (content.file, content.slot) = (scene.rotation, 0);
                let number = scene.tail.contents.all.insert(content);
                scene.tail.slots.push(Some((number, false)));
                scene.tail.opened.push_back(number);
            },
            true,
            false,
        ),
    ];
    for (what, for_turn, change, opens, waits) in cases {
        let mut scene = Scene::new(&many(), 500);
        change(&mut scene);
        let (number, decoders) = (scene.content, scene.tail.decoders);
        assert_eq!(scene.tail.open(number, for_turn, &mut scene.todo), opens, "{what}");
        assert_eq!((scene.it().opening, scene.tail.opens_wait), (opens, waits), "{what}");
        let asked = scene.todo.iter().any(|todo| matches!(todo, ToDo::Open { slot: Slot(0), .. }));
        assert_eq!(asked, opens, "{what}");
        assert_eq!(scene.tail.decoders - decoders, usize::from(opens && what == "an archive"), "{what}");
        assert_eq!(scene.tail.slots_in_use(), usize::from(opens), "{what}");
    }
    // What waits for something older does not close a file for itself.
    let mut scene = Scene::new(&many(), 500);
    scene.tail.most_open = 1;
    let mut content = Content::new(9, Some(FlowId(0)), NOW);
    (content.file, content.slot) = (scene.rotation, 0);
    let other = scene.tail.contents.all.insert(content);
    scene.tail.slots.push(Some((other, false)));
    scene.tail.opened.push_back(other);
    let number = scene.content;
    assert!(!scene.tail.open(number, false, &mut scene.todo) && scene.todo.is_empty());
}

/// What cannot be opened now is tried again in a tenth of a second; what waits for something older keeps nothing else from it.
#[test]
fn files_that_cannot_be_opened_now_stay_in_line() {
    for (held_back, opened) in [(true, true), (false, false)] {
        let mut scene = Scene::new(&many(), 500);
        pack(&mut scene);
        scene.tail.decoders = 2;
        if held_back {
            scene.it().ahead = true;
            let older = scene.file("a.log.7", 5, false);
            scene.tail.prove(older);
        }
        let mut content = Content::new(9, Some(FlowId(0)), NOW);
        (content.file, content.known) = (scene.rotation, 50);
        let next = scene.tail.contents.all.insert(content);
        let number = scene.content;
        scene.tail.enqueue(number);
        scene.tail.enqueue(next);
        scene.tail.open_waiting(FlowId(0), &mut scene.todo);
        assert!(scene.tail.flows[0].closed.contains(&number));
        assert_eq!(scene.content_at(next).opening, opened);
        assert!(scene.tail.due.iter().any(|Reverse(due)| *due == (NOW.plus_ms(100), Due::Work)));
    }
    // What wants none any more does not.
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    scene.tail.enqueue(number);
    scene.it().known = 500;
    scene.tail.open_waiting(FlowId(0), &mut scene.todo);
    assert!(!scene.it().queued && scene.todo.is_empty() && scene.tail.due.is_empty());
    // What is open by now is read.
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    scene.tail.enqueue(number);
    open(&mut scene);
    scene.tail.open_waiting(FlowId(0), &mut scene.todo);
    assert!(scene.tail.flows[0].ready.contains(&number) && scene.todo.is_empty());
}

/// A file without a name is lost when it is closed; one that has its first turn before it is no use.
#[test]
fn of_the_open_files_one_is_closed_that_can_be_opened_again_and_had_its_turn() {
    let cases: [(&str, Change, bool); 9] = [
        ("nothing is to be read", |scene| scene.it().known = 500, true),
        ("it had a turn", |scene| scene.it().served = true, true),
        ("it is another flow's", |scene| scene.it().flow = Some(FlowId(1)), true),
        ("it has its first turn before it", |_| (), false),
        (
            "it waits for something older",
            |scene| {
                scene.it().ahead = true;
                let older = scene.file("a.log.7", 5, false);
                scene.tail.prove(older);
            },
            true,
        ),
        (
            "it has no name",
            |scene| {
                nameless(scene);
                scene.it().known = 500;
            },
            false,
        ),
        ("it is read", |scene| (scene.it().known, scene.it().reading) = (500, true), false),
        ("it is compared", |scene| (scene.it().known, scene.it().checking) = (500, true), false),
        ("it is closed", |scene| (scene.it().known, scene.it().slot) = (500, NONE), false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.flows.push(super::super::Flow::default());
        open(&mut scene);
        change(&mut scene);
        assert_eq!(scene.tail.close_another(Some(FlowId(0)), &mut scene.todo), expected, "{what}");
        assert_eq!(closes(&scene), expected, "{what}");
    }
    // First what has nothing to read.
    let mut scene = Scene::new(&many(), 500);
    open(&mut scene);
    scene.it().served = true;
    let mut content = Content::new(9, Some(FlowId(0)), NOW);
    (content.file, content.slot) = (scene.rotation, 1);
    let idle = scene.tail.contents.all.insert(content);
    scene.tail.slots.push(Some((idle, false)));
    scene.tail.opened.push_back(idle);
    assert!(scene.tail.close_another(Some(FlowId(0)), &mut scene.todo));
    assert_eq!((scene.it().slot, scene.content_at(idle).slot), (0, NONE));
}

/// Hundreds of open files were looked through for each of thousands that wait, at each event: a quarter of the processor's
/// time of 100,000 small files.
#[test]
fn where_nothing_can_be_closed_it_is_looked_for_again_after_a_read_or_a_comparison_or_100_milliseconds() {
    let events: [(&str, Change, bool); 6] = [
        ("nothing", |_| (), false),
        ("99 ms", |scene| scene.tail.now = NOW.plus_ms(BLOCKED * 5 - 1), false),
        ("100 ms", |scene| scene.tail.now = NOW.plus_ms(BLOCKED * 5), true),
        ("a slot is free", |scene| scene.tail.free_slot(0), true),
        (
            "something is compared",
            |scene| {
                let number = scene.content;
                let ticket = scene.tail.ask(Job::Check(number));
                scene.tail.samples += 1;
                let sample = scene.sample(scene.log, &many(), &[]);
                scene.tail.take_in(Seen::Sampled { ticket, sample }, &mut scene.todo);
            },
            true,
        ),
        (
            "a question fails",
            |scene| {
                let job = Job::Open { content: 99, slot: 99 };
                scene.tail.failed(job, Failure::Missing, &mut scene.todo);
            },
            true,
        ),
    ];
    for (what, event, expected) in events {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene);
        scene.it().known = 900;
        assert!(!scene.tail.close_for(Some(FlowId(0)), &mut scene.todo), "it waits for its first turn");
        // Now it could be closed.
        scene.it().served = true;
        event(&mut scene);
        scene.tail.do_what_is_due(&mut scene.todo);
        assert_eq!(scene.tail.has_no_slot(Some(FlowId(0))), !expected, "{what}");
        assert!(!scene.tail.has_no_slot(None), "{what}");
    }
}

/// Between a listing and the opening of a file its name may have gone to another.
#[test]
fn a_file_that_was_opened_is_read_only_if_it_is_the_one_that_was_meant() {
    let cases: [(&str, Change, bool); 5] = [
        ("it is", |_| (), true),
        ("the name leads elsewhere", |scene| scene.file_at(scene.log).key.inode = 99, false),
        ("it is open already", |scene| scene.it().slot = 5, false),
        ("it is looked for", |scene| scene.it().state = State::Sought, false),
        ("it is finished", |scene| scene.it().state = State::Finished, false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let status = Status { key: scene.file_at(scene.log).key, size: 500, ..Status::default() };
        (scene.it().opening, scene.it().served) = (true, true);
        let number = scene.content;
        scene.tail.slots.push(Some((number, false)));
        change(&mut scene);
        scene.tail.was_opened(number, 0, &status, &mut scene.todo);
        assert!(!scene.it().opening, "{what}");
        assert_eq!((scene.it().slot == 0, closes(&scene)), (expected, !expected), "{what}");
        assert_eq!(timed(&mut scene), Some(if expected { 5_000 } else { 250 }), "{what}");
        assert_eq!(scene.it().served, !expected, "{what}");
        assert!(scene.tail.seeks.is_empty(), "{what}: it has its name");
    }
    // Its name is gone as well.
    for (state, expected) in [(State::Followed, State::Sought), (State::Finished, State::Finished)] {
        let mut scene = Scene::new(&many(), 500);
        nameless(&mut scene);
        scene.it().state = state;
        let number = scene.content;
        scene.tail.slots.push(Some((number, false)));
        scene.tail.was_opened(number, 0, &Status::default(), &mut scene.todo);
        assert_eq!((scene.it().state, scene.tail.seeks.contains_key(&number)), (expected, state == State::Followed));
    }
}

/// What was read is compared with each read: with the bytes before it, as many as are known.
#[test]
fn a_read_asks_for_the_last_kibibyte_once_more_and_for_two_kibibytes_at_least() {
    for (read, limit, expected) in
        [(0, 100, (0, 0, 2_048)), (500, 100, (0, 500, 2_548)), (1_500, 4_096, (476, 1_024, 5_120))]
    {
        let mut scene = Scene::new(&many(), read);
        scene.tail.settings.limits.read = limit;
        open(&mut scene);
        let number = scene.content;
        scene.tail.read(number, FlowId(0), &mut scene.todo);
        let Some(ToDo::Read { from, overlap, most, .. }) = scene.todo.last() else { panic!("{:?}", scene.todo) };
        assert_eq!((*from, *overlap, *most), expected);
        assert!(scene.it().reading && scene.tail.flows[0].reading.is_some());
        scene.tail.read_done(number, FlowId(0));
        assert!(!scene.it().reading && scene.tail.flows[0].reading.is_none());
    }
}

/// A flow without room is asked again in a moment, should nobody say that it has room.
#[test]
fn a_flow_without_room_is_tried_again_after_twenty_milliseconds() {
    let mut scene = Scene::new(&many(), 500);
    scene.tail.block(FlowId(0));
    assert!(scene.tail.flows[0].blocked);
    assert!(scene.tail.due.iter().any(|Reverse(due)| *due == (NOW.plus_ms(20), Due::Flow(FlowId(0)))));
}
