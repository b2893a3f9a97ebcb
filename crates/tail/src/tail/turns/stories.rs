//! Whose turn it is, what a read and a comparison lead to, and what time brings about.
//! Promises for each condition the story that only it decides.
//! Leaves how turns, reads and rotations play together to `rules` and `worlds`.

use super::*;
use crate::Packing;
use crate::seen::{Moment, Ticket};
use crate::tail::scene::{NOW, Outcome, Scene, few, many};
use crate::worlds::text;
use std::cmp::Reverse;

type Change = fn(&mut Scene);

/// The file of the content is open.
fn open(scene: &mut Scene) {
    let number = scene.content;
    let slot = scene.tail.slots.len() as u32;
    scene.tail.slots.push(Some((number, false)));
    scene.tail.opened.push_back(number);
    scene.it().slot = slot;
}

fn nameless(scene: &mut Scene) {
    scene.tail.places.remove_name(0);
}

fn pack(scene: &mut Scene) {
    scene.file_at(scene.log).packing = Some(Packing::Gzip);
}

/// After how many milliseconds the content is looked at again.
fn timed(scene: &mut Scene) -> Option<u64> {
    let (timed, now) = (scene.it().timed, scene.tail.now);
    (timed != NEVER).then(|| timed.ms_since(now))
}

fn asks_to_read(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::Read { .. }))
}

fn closes(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::Close { .. }))
}

fn ends(scene: &Scene) -> bool {
    scene.todo.iter().any(|todo| matches!(todo, ToDo::End { .. }))
}

fn lost(scene: &Scene) -> Option<(u64, Loss)> {
    scene.todo.iter().find_map(|todo| match todo {
        ToDo::Say(Notice::Destroyed { bytes, reason, .. }) => Some((*bytes, *reason)),
        _ => None,
    })
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

/// One huge file is not read on while a thousand small ones are on their way; nor does it wait for ever.
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

/// An answer to a read: of these bytes, of a file of this size, with so many names.
fn reads(scene: &mut Scene, bytes: &[u8], size: u64, names: u32, end: bool) {
    let overlap = scene.it().read.min(WINDOW);
    let status = Status { key: scene.file_at(scene.log).key, size, names, ..Status::default() };
    let number = scene.content;
    scene.tail.was_read(number, FlowId(0), overlap, bytes, &status, end, &mut scene.todo);
}

/// What was written over the file since it was compared must not be delivered as its continuation.
#[test]
fn a_read_that_does_not_go_on_where_reading_ended_leads_to_a_comparison() {
    let whole = many();
    let size = whole.len() as u64;
    let long = text('x', 0..60);
    type Case<'a> = (&'a str, usize, Vec<u8>, u64, bool, bool);
    let cases: [Case<'_>; 14] = [
        ("it goes on", 500, whole.clone(), size, false, true),
        ("nothing new", 500, whole[..500].to_vec(), 500, false, true),
        ("nothing new, though the size says more", 500, whole[..500].to_vec(), 600, false, true),
        ("fewer bytes than were read", 500, whole[..499].to_vec(), 499, false, false),
        ("other bytes before", 500, text('y', 0..40), size, false, false),
        ("it was cut, as the size says", 500, whole[..500].to_vec(), 499, false, false),
        ("an archive, whose size says nothing", 500, whole[..500].to_vec(), 9, true, true),
        ("it goes on behind its first kibibyte", 1_500, whole[476..].to_vec(), size, false, true),
        ("other bytes there", 1_500, [&whole[476..1_000], &text('y', 0..30)[..]].concat(), size, false, false),
        ("the whole of a long log", 1_500, long[476..].to_vec(), long.len() as u64, false, true),
        ("the same, though the size says less", 1_500, long[476..].to_vec(), 400, false, true),
        ("nothing was read before", 0, whole.clone(), size, false, true),
        ("nothing was read before, and nothing is there", 0, Vec::new(), 0, false, true),
        ("nothing was read before of an archive", 0, whole.clone(), 9, true, true),
    ];
    for (what, read, bytes, size, packed, expected) in cases {
        let mut scene = Scene::new(&whole, read);
        open(&mut scene);
        if packed {
            pack(&mut scene);
        }
        scene.it().poll = true;
        scene.it().touched = Moment(1);
        reads(&mut scene, &bytes, size, 1, false);
        let overlap = read.min(1_024);
        let got = if expected { bytes.len().saturating_sub(overlap) } else { 0 };
        assert_eq!((scene.it().confirmed, scene.it().read), (expected, (read + got) as u64), "{what}");
        assert_eq!((scene.it().served, scene.it().polled, scene.it().poll), (true, true, false), "{what}");
        assert_eq!(scene.it().touched == NOW, got > 0, "{what}");
        let handed = scene.todo.iter().any(|todo| matches!(todo, ToDo::HandOver { .. }));
        assert_eq!(handed, got > 0, "{what}");
        assert_eq!(scene.it().doubts, u8::from(!expected), "{what}");
    }
}

/// Only the beginning of a log was seen, when it was cut and copied away; then something else was written.
#[test]
fn what_begins_differently_than_when_it_was_seen_first_is_compared_before_it_is_read() {
    let head = many()[..1_024].to_vec();
    for (what, bytes, size, packed, expected) in [
        ("the same beginning", many(), many().len(), false, true),
        ("another one", text('y', 0..40), many().len(), false, false),
        ("a short read of it", many()[..700].to_vec(), many().len(), false, true),
        ("a short read of a file that is shorter", many()[..700].to_vec(), 1_023, false, false),
        ("a short read of a file that is just as long", many()[..700].to_vec(), 1_024, false, true),
        ("a short read of an archive", many()[..700].to_vec(), 9, true, true),
    ] {
        let mut scene = Scene::new(&many(), 0);
        scene.it().proof = Proof::of_beginning(&head);
        open(&mut scene);
        if packed {
            pack(&mut scene);
        }
        reads(&mut scene, &bytes, size as u64, 1, false);
        assert_eq!(scene.it().confirmed, expected, "{what}");
        assert_eq!(scene.it().found_at, Moment(1_000_000), "{what}: it is known since then");
    }
    // What had no beginning yet is found now.
    let mut scene = Scene::new(&many(), 0);
    open(&mut scene);
    reads(&mut scene, &many(), many().len() as u64, 0, false);
    assert_eq!((scene.it().found_at, scene.it().unlinked), (NOW, true));
}

/// So much is known to exist. Bytes that a cut took before they were read are destroyed; what only a size said never was.
#[test]
fn a_read_tells_how_much_there_is_and_what_a_cut_has_taken() {
    // 500 bytes were read, and so many are known and sure.
    type Case<'a> = (&'a str, [u64; 2], &'a [u8], u64, [bool; 2], (u64, Option<u64>, State));
    let cases: [Case<'_>; 11] = [
        ("a part", [1_840, 1_840], &many()[..900], 1_840, [false, false], (1_840, None, State::Followed)),
        ("it has grown", [1_840, 1_840], &many()[..900], 2_000, [false, false], (2_000, None, State::Followed)),
        ("more than the size says", [600, 600], &many()[..900], 600, [false, false], (900, None, State::Followed)),
        ("the end", [500, 500], &many()[..500], 500, [false, false], (500, None, State::Followed)),
        ("it was cut", [1_840, 1_840], &many()[..500], 500, [false, false], (500, Some(1_340), State::Followed)),
        ("cut, which was never sure", [1_840, 500], &many()[..500], 500, [false, false], (500, None, State::Followed)),
        (
            "nothing comes of a size",
            [1_840, 1_840],
            &many()[..500],
            1_840,
            [false, false],
            (500, None, State::Followed),
        ),
        ("a part of an archive", [600, 600], &many()[..900], 9, [true, false], (900, None, State::Followed)),
        ("the end of an archive", [600, 600], &many()[..900], 9, [true, true], (900, None, State::Finished)),
        ("an archive ends sooner", [1_000, 1_000], &many()[..900], 9, [true, true], (900, None, State::Finished)),
        ("no more of an archive now", [600, 600], &many()[..500], 9, [true, false], (600, None, State::Followed)),
    ];
    for (what, [known, sure], bytes, size, [packed, end], expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene);
        if packed {
            pack(&mut scene);
        }
        (scene.it().known, scene.it().sure) = (known, sure);
        reads(&mut scene, bytes, size, 1, end);
        let loss = lost(&scene).map(|(bytes, _)| bytes);
        assert_eq!((scene.it().known, loss, scene.it().state), expected, "{what}");
        assert_eq!((scene.it().sure, scene.it().at_end), (expected.0, end), "{what}");
        assert_eq!((closes(&scene), ends(&scene)), (end, end), "{what}");
    }
}

/// Each origin says what its first line is; if that was not whole when it began, later.
#[test]
fn the_first_line_of_an_origin_is_said_once_when_it_is_whole() {
    let mut scene = Scene::new(&[], 0);
    open(&mut scene);
    let generations = |scene: &Scene| {
        let said = |todo: &&ToDo| matches!(todo, ToDo::Generation { .. });
        let begun = |todo: &ToDo| matches!(todo, ToDo::Begin { generation: Some(_), .. });
        (scene.todo.iter().filter(said).count(), scene.todo.iter().any(begun))
    };
    reads(&mut scene, b"begun", 5, 1, false);
    assert_eq!(generations(&scene), (0, false));
    reads(&mut scene, b"begun and ended\n", 16, 1, false);
    assert_eq!(generations(&scene), (1, false));
    reads(&mut scene, b"begun and ended\nmore\n", 21, 1, false);
    assert_eq!(generations(&scene), (1, false));
    let mut scene = Scene::new(&[], 0);
    open(&mut scene);
    reads(&mut scene, b"a line\n", 7, 1, false);
    assert_eq!(generations(&scene), (0, true));
}

/// A line was cut by the end of its origin, and its rest comes in another: the line is sent once more, whole.
#[test]
fn after_an_end_in_the_middle_of_a_line_the_line_comes_once_more() {
    let bytes = [few(), b"begun".to_vec()].concat();
    let more = [bytes.clone(), b" and ended\n".to_vec()].concat();
    for (had_end, expected) in [(true, bytes.len() - 5), (false, bytes.len())] {
        let mut scene = Scene::new(&bytes, bytes.len());
        open(&mut scene);
        let it = scene.it();
        (it.had_end, it.delivered) = (had_end, bytes.len() as u64);
        reads(&mut scene, &more, more.len() as u64, 1, false);
        let from = scene.todo.iter().find_map(|todo| match todo {
            ToDo::HandOver { start, skip, .. } => Some((start.0 as usize, *skip)),
            _ => None,
        });
        assert_eq!(from, Some((expected, expected)), "{had_end}");
        assert_eq!((scene.it().settled, scene.it().delivered), (expected as u64, expected as u64));
        assert!(!scene.it().had_end);
    }
}

/// A position that is settled moves on and never back; what was given up on purpose was not delivered.
#[test]
fn what_is_settled_is_counted_once() {
    for (position, filtered, quarantined, expected) in [
        (300, 0, 0, (300, 200)),
        (300, 50, 20, (300, 130)),
        (100, 0, 0, (100, 0)),
        (90, 0, 0, (100, 0)),
        (900, 0, 0, (500, 400)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().settled = 100;
        let number = scene.content;
        let origin = scene.tail.new_origin(number);
        scene.it().origin = Some(origin);
        scene.tail.settled(origin, position, filtered, quarantined);
        let counted = scene.it().count();
        assert_eq!((scene.it().settled, counted.delivered), expected, "{position}");
        assert_eq!((counted.filtered, counted.quarantined), (filtered, quarantined));
        assert_eq!(scene.it().dirty, position > 100);
    }
    // What is finished is remembered, and what is the agent's own forgotten, as soon as all is settled.
    for (owned, state, gone) in
        [(false, State::Finished, true), (true, State::Finished, false), (false, State::Followed, false)]
    {
        let mut scene = Scene::new(&many(), 500);
        (scene.it().settled, scene.it().state) = (100, state);
        scene.it().file = NONE;
        scene.tail.settings.flows[0].owned = owned;
        scene.tail.flows[0].gauge.files = 1;
        let number = scene.content;
        let origin = scene.tail.new_origin(number);
        scene.it().origin = Some(origin);
        scene.tail.settled(origin, 500, 0, 0);
        assert_eq!(!scene.tail.gone.is_empty(), gone);
        assert_eq!(scene.tail.contents.get(number).is_none(), owned);
    }
}

/// Holes of a sparse file, or bytes that nobody can read: reading goes on behind them when all before is settled.
#[test]
fn reading_goes_on_elsewhere_when_everything_before_is_settled() {
    for (end, settled, origin, expected) in [
        (800, 500, false, Some((800, false))),
        (800, 400, true, Some((500, true))),
        (800, 500, true, Some((800, false))),
        (500, 500, false, None),
        (400, 500, false, None),
    ] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().settled = settled;
        let number = scene.content;
        if origin {
            scene.it().origin = Some(scene.tail.new_origin(number));
        }
        scene.tail.found_hole(number, end, &mut scene.todo);
        let said = scene.todo.iter().find_map(|todo| match todo {
            ToDo::Say(Notice::Hole { bytes, .. }) => Some(*bytes),
            _ => None,
        });
        assert_eq!(said, expected.map(|_| end - 500));
        let (read, waits) = expected.unwrap_or((500, false));
        assert_eq!((scene.it().read, scene.it().jump != NO_JUMP), (read, waits), "{end}, settled {settled}");
        assert_eq!(ends(&scene), origin);
        assert_eq!(scene.it().confirmed, read == 500, "what lies behind is compared");
        if waits {
            let origin = scene.it().origin.unwrap();
            scene.tail.settled(origin, 500, 0, 0);
            assert_eq!((scene.it().read, scene.it().origin), (800, None));
        }
    }
}

/// A log was cut in the middle of what was read: it goes on there as a shorter content, and the longer one is remembered.
#[test]
fn a_log_that_was_cut_goes_on_at_its_end_in_the_same_open_file() {
    let mut scene = Scene::new(&many(), many().len());
    open(&mut scene);
    scene.file_at(scene.log).size = 460;
    let (number, log) = (scene.content, scene.log);
    scene.tail.jump(number, 460, &mut scene.todo);
    assert_eq!((scene.it().state, scene.it().file, scene.it().slot), (State::Finished, NONE, NONE));
    let Standing::Holds(shorter) = scene.file_at(log).standing else { panic!("nothing lies there") };
    let it = scene.content_at(shorter);
    assert_eq!((it.read, it.settled, it.slot, it.confirmed), (460, 460, 0, false));
    assert!(!closes(&scene));
    // Cut to just what was read nothing has changed.
    let mut scene = Scene::new(&many(), 500);
    let (number, log) = (scene.content, scene.log);
    scene.tail.jump(number, 500, &mut scene.todo);
    assert_eq!((scene.file_at(log).standing, scene.it().read), (Standing::Holds(number), 500));
}

/// A network filesystem says now this and now that: after four doubts in a row the next comparison waits for a second.
#[test]
fn a_file_that_changes_with_every_look_is_looked_at_each_second() {
    for (doubts, expected) in [(3, None), (4, Some(1_000)), (255, Some(1_000))] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().doubts = doubts;
        let number = scene.content;
        scene.tail.doubt(number, &mut scene.todo);
        assert_eq!(timed(&mut scene), expected, "{doubts} before");
        assert_eq!(scene.it().queued, expected.is_none());
        assert!(!scene.it().confirmed);
    }
    // Another archive is asked what it holds.
    let mut scene = Scene::new(&many(), 500);
    pack(&mut scene);
    let number = scene.content;
    scene.tail.doubt(number, &mut scene.todo);
    assert_eq!((scene.file_at(scene.log).standing, scene.it().state), (Standing::Unproven, State::Sought));
}

/// A log is compared once at a time, and an archive not at all: it does not change.
#[test]
fn only_a_log_that_is_not_compared_or_opened_already_is_compared() {
    let cases: [(&str, Change, bool); 5] = [
        ("followed", |_| (), true),
        ("compared already", |scene| scene.it().checking = true, false),
        ("being opened", |scene| scene.it().opening = true, false),
        ("looked for", |scene| scene.it().state = State::Sought, false),
        ("finished", |scene| scene.it().state = State::Finished, false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        change(&mut scene);
        let number = scene.content;
        scene.tail.suspect(number);
        assert_eq!((scene.tail.checks.len(), scene.it().confirmed), (usize::from(expected), !expected), "{what}");
    }
    let cases: [(&str, Change, Option<bool>); 6] = [
        ("by name", |_| (), Some(false)),
        (
            "open, without a name",
            |scene| {
                open(scene);
                nameless(scene)
            },
            Some(true),
        ),
        ("closed, without a name", nameless, None),
        ("an archive", pack, None),
        (
            "an open archive",
            |scene| {
                open(scene);
                pack(scene)
            },
            None,
        ),
        ("not wanted any more", |scene| scene.it().checking = false, None),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let number = scene.content;
        scene.tail.suspect(number);
        change(&mut scene);
        scene.tail.ask_checks(&mut scene.todo);
        let asked = scene.todo.iter().find_map(|todo| match todo {
            ToDo::Sample { slot, .. } => Some(slot.is_some()),
            _ => None,
        });
        assert_eq!((asked, scene.tail.samples), (expected, usize::from(expected.is_some())), "{what}");
        assert_eq!(scene.it().checking, expected.is_some(), "{what}");
        assert_eq!(scene.it().confirmed, what.ends_with("archive"), "{what}");
    }
    for (samples, starved) in [(16, false), (0, true)] {
        let mut scene = Scene::new(&many(), 500);
        let number = scene.content;
        scene.tail.suspect(number);
        (scene.tail.samples, scene.tail.starved) = (samples, starved);
        scene.tail.ask_checks(&mut scene.todo);
        assert!(scene.todo.is_empty() && scene.tail.checks.len() == 1);
    }
}

/// A comparison asks for what is known of the content, for the last byte that was seen of a log, and for its beginning while
/// nothing is known.
#[test]
fn a_comparison_asks_for_what_is_known_and_for_the_last_byte_that_was_seen() {
    for (read, known, packed, expected) in [
        (500, 500, false, vec![0..500, 0..500]),
        (500, 900, false, vec![0..500, 0..500, 899..900]),
        (500, 900, true, vec![0..500, 0..500]),
        (0, 900, false, vec![0..1_024, 899..900]),
        (0, 0, false, vec![]),
    ] {
        let mut scene = Scene::new(&many(), read);
        scene.it().known = known;
        if packed {
            pack(&mut scene);
        }
        let content = scene.tail.contents.get(scene.content).unwrap();
        let mut ranges = scene.tail.ranges_of_check(content);
        ranges.retain(|range| !(range.start == 0 && range.end == 500 && !expected.contains(range)));
        let ends = |ranges: &[Range<u64>]| ranges.iter().filter(|range| range.end > 500).cloned().collect::<Vec<_>>();
        assert_eq!(ends(&ranges), ends(&expected), "{read}, {known}");
        assert_eq!(ranges.is_empty(), expected.is_empty());
        assert!(ranges.is_sorted_by_key(|range| (range.start, range.end)));
    }
}

/// The log answers a comparison, which holds these bytes.
fn answers(scene: &mut Scene, bytes: &[u8]) {
    let ranges = scene.tail.ranges_of_check(scene.tail.contents.get(scene.content).unwrap());
    let sample = scene.sample(scene.log, bytes, &ranges);
    let number = scene.content;
    scene.tail.checked(number, &sample, &mut scene.todo);
}

/// What a log holds by now: the same, less of the same, or something else.
#[test]
fn a_comparison_tells_a_log_that_grew_from_one_that_was_cut_and_one_that_was_written_anew() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Then {
        Same,
        /// It goes on as a shorter content.
        Shorter,
        Lost,
    }
    let copied: Change = |scene| {
        let rotation = scene.rotation;
        scene.it().copies.push(rotation);
    };
    let none: Change = |_| ();
    let cases: [(&str, usize, Change, Vec<u8>, Then); 14] = [
        ("it has grown", 1_840, none, text('x', 0..50), Then::Same),
        ("it is as it was", 1_840, none, many(), Then::Same),
        ("written anew", 1_840, none, text('y', 0..40), Then::Lost),
        ("cut at a line end", 1_840, none, text('x', 0..30), Then::Shorter),
        ("cut, and there is a copy", 1_840, copied, text('x', 0..30), Then::Lost),
        ("cut to what may be anything", 1_840, none, text('x', 0..6), Then::Lost),
        ("cut to what proves nothing", 1_840, none, few(), Then::Lost),
        ("emptied", 1_840, none, Vec::new(), Then::Lost),
        ("cut, and written on", 1_840, none, [text('x', 0..30), text('y', 0..30)].concat(), Then::Lost),
        ("nothing was read, and it is as it was", 0, none, many(), Then::Same),
        ("nothing was read, and it has grown", 0, none, text('x', 0..50), Then::Same),
        ("nothing was read, and it was cut", 0, none, text('x', 0..30), Then::Lost),
        ("nothing was read, and it was emptied", 0, none, Vec::new(), Then::Lost),
        ("nothing was there", 0, |scene| (scene.it().known, scene.it().sure) = (0, 0), Vec::new(), Then::Same),
    ];
    for (what, read, change, bytes, then) in cases {
        let mut scene = Scene::new(&many(), read);
        open(&mut scene);
        let (number, log) = (scene.content, scene.log);
        (scene.it().checking, scene.it().confirmed) = (true, false);
        change(&mut scene);
        answers(&mut scene, &bytes);
        assert!(!scene.it().checking, "{what}");
        assert_eq!(scene.file_at(log).size, bytes.len() as u64, "{what}");
        let came = match scene.file_at(log).standing {
            Standing::Holds(content) if content == number => Then::Same,
            Standing::Holds(_) => Then::Shorter,
            _ => Then::Lost,
        };
        assert_eq!(came, then, "{what}");
        let doubt = (what == "cut to what may be anything").then_some((bytes.len() as u64, Again::CutInDoubt));
        assert_eq!(scene.said(), doubt, "{what}");
        if then == Then::Same {
            assert_eq!((scene.it().known, scene.it().sure), (bytes.len() as u64, bytes.len() as u64), "{what}");
            assert!(scene.it().confirmed, "{what}");
        }
        assert_eq!(lost(&scene), None, "{what}");
    }
    // Bytes count, and not what a size says besides: without them nothing tells how much is left.
    for (bytes, size, copied) in [
        (text('x', 0..30), 1_840, false),
        (text('x', 0..30), 2_000, false),
        (text('x', 0..6), 1_840, false),
        (text('x', 0..6), 2_000, false),
        (text('x', 0..6), 0, false),
        (text('x', 0..30), 1_840, true),
        (text('x', 0..30), 2_000, true),
    ] {
        let mut scene = Scene::new(&many(), 1_840);
        if copied {
            let rotation = scene.rotation;
            scene.it().copies.push(rotation);
        }
        let ranges = scene.tail.ranges_of_check(scene.tail.contents.get(scene.content).unwrap());
        let mut sample = scene.sample(scene.log, &bytes, &ranges);
        sample.status.size = size;
        let (number, log) = (scene.content, scene.log);
        scene.tail.checked(number, &sample, &mut scene.todo);
        assert_eq!((scene.file_at(log).standing, scene.said()), (Standing::Unproven, None), "{size}");
    }
    // A log of which the end was not read is cut in the middle of what was.
    let mut scene = Scene::new(&text('x', 0..50), 1_840);
    answers(&mut scene, &text('x', 0..30));
    assert_eq!(lost(&scene), Some((460, Loss::EndCut)));
    // Another file has its name by now.
    let mut scene = Scene::new(&many(), 500);
    let (number, whole) = (scene.content, 0..WINDOW);
    let sample = scene.sample(scene.rotation, &many(), std::slice::from_ref(&whole));
    scene.tail.checked(number, &sample, &mut scene.todo);
    assert_eq!(timed(&mut scene), Some(250));
    // More of it was read than when it was asked.
    let mut scene = Scene::new(&many(), 1_840);
    let sample = scene.sample(scene.log, &many(), std::slice::from_ref(&whole));
    scene.tail.checked(number, &sample, &mut scene.todo);
    assert_eq!(timed(&mut scene), Some(1_000));
}

/// Sizes of network filesystems are stale: only a last byte that is gone was cut off.
#[test]
fn the_end_of_a_log_was_cut_off_only_if_its_last_byte_is_gone() {
    let seen = text('x', 0..50);
    for (what, size, there, expected) in [
        ("it is there", 2_300, true, (2_300, None)),
        ("it is there, though the size says less", 2_000, true, (2_300, None)),
        ("it is gone", 2_000, false, (2_000, Some(300))),
        ("all that was not read is gone", 1_840, false, (1_840, Some(460))),
        ("the size says less than what was read", 1_000, false, (1_840, Some(460))),
    ] {
        let mut scene = Scene::new(&seen, 1_840);
        assert_eq!(seen.len(), 2_300);
        let ranges = scene.tail.ranges_of_check(scene.tail.contents.get(scene.content).unwrap());
        let bytes = if there { &seen[..] } else { &seen[..size.max(1_840)] };
        let mut sample = scene.sample(scene.log, bytes, &ranges);
        sample.status.size = size as u64;
        let number = scene.content;
        scene.tail.still_holds(number, &sample, &mut scene.todo);
        assert_eq!((scene.it().known, lost(&scene).map(|lost| lost.0)), expected, "{what}");
        assert_eq!(scene.it().sure, expected.0, "{what}");
    }
}

/// Nothing was in the log until now: what it replaced may have come and gone meanwhile.
#[test]
fn a_log_in_which_something_is_for_the_first_time_was_found_just_then() {
    for (bytes, expected) in [(many(), NOW), (Vec::new(), Moment(1_000_000))] {
        let mut scene = Scene::new(&[], 0);
        scene.it().known = 1;
        let (number, whole) = (scene.content, 0..WINDOW);
        let sample = scene.sample(scene.log, &bytes, std::slice::from_ref(&whole));
        scene.tail.still_holds(number, &sample, &mut scene.todo);
        assert_eq!(scene.it().found_at, expected);
    }
}

/// The content is read in a kept copy, and what holds more is looked for: the end of the copy is no loss yet.
#[test]
fn the_end_of_a_copy_is_not_cut_off_while_something_longer_is_looked_for() {
    for (what, size, known, then) in [
        ("more is to be read of the copy", 2_000, 2_300, (State::Followed, 2_300)),
        ("the copy was read to its end", 1_840, 2_300, (State::Sought, 2_300)),
        ("nothing more is known of", 1_840, 1_840, (State::Followed, 1_840)),
        ("nothing more is known of, and the size says less", 1_000, 1_840, (State::Followed, 1_840)),
    ] {
        let mut scene = Scene::new(&text('x', 0..50), 1_840);
        let (number, copy) = (scene.content, scene.rotation);
        scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
        (scene.it().known, scene.it().sure, scene.it().file) = (known, known, copy);
        scene.tail.look_on(number, copy);
        let ranges = scene.tail.ranges_of_check(scene.tail.contents.get(number).unwrap());
        let mut sample = scene.sample(copy, &text('x', 0..50)[..size.max(1_840)], &ranges);
        sample.status.size = size as u64;
        scene.tail.still_holds(number, &sample, &mut scene.todo);
        assert_eq!((scene.it().state, scene.it().known), then, "{what}");
        assert_eq!(lost(&scene), None, "{what}");
    }
    // The same is seen by a read.
    for (state, bytes, size) in [(State::Sought, 500, 500), (State::Followed, 900, 900)] {
        let mut scene = Scene::new(&many(), 500);
        let (number, copy) = (scene.content, scene.rotation);
        scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
        scene.it().file = copy;
        open(&mut scene);
        scene.tail.look_on(number, copy);
        reads(&mut scene, &many()[..bytes], size, 1, false);
        assert_eq!((scene.it().state, lost(&scene)), (state, None));
    }
    // An archive that holds all that is known is where it ends.
    let mut scene = Scene::new(&many()[..900], 500);
    let (number, copy) = (scene.content, scene.rotation);
    scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
    scene.it().file = copy;
    scene.file_at(copy).packing = Some(Packing::Gzip);
    open(&mut scene);
    scene.tail.look_on(number, copy);
    reads(&mut scene, &many()[..900], 77, 1, true);
    assert_eq!((scene.it().state, scene.it().file), (State::Finished, copy));
}

/// An archive holds no bytes that come later, nor does what sleeps: its descriptor is given back. A log stays open, and what
/// its writer puts there is the flow's.
#[test]
fn what_is_lost_stays_open_only_if_something_may_come_there() {
    let cases: [(&str, Change, bool); 3] = [
        ("a log", |_| (), false),
        ("an archive", pack, true),
        ("no pattern matches it any more", |scene| scene.it().flow = None, true),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene);
        change(&mut scene);
        let (number, log) = (scene.content, scene.log);
        scene.tail.other_content(number, log, &mut scene.todo);
        assert_eq!(closes(&scene), expected, "{what}");
    }
    // A file without a name and without an heir is forgotten.
    let mut scene = Scene::new(&many(), 500);
    nameless(&mut scene);
    scene.it().flow = None;
    let (number, log) = (scene.content, scene.log);
    scene.tail.other_content(number, log, &mut scene.todo);
    assert!(scene.tail.places.files.get(log).is_none());
}

/// The content goes on in a copy at once, so nobody looks for it: what came beside the log just before is asked all the same.
#[test]
fn strangers_beside_a_log_that_goes_on_in_a_copy_are_asked_again() {
    let mut scene = Scene::new(&many(), 500);
    let copy = scene.file("copy", 1_840, false);
    scene.it().copies.push(copy);
    let (number, log, rotation) = (scene.content, scene.log, scene.rotation);
    scene.file_at(rotation).standing = Standing::Ignored;
    scene.tail.other_content(number, log, &mut scene.todo);
    assert_eq!((scene.it().file, scene.it().state), (copy, State::Followed));
    assert_eq!(scene.file_at(rotation).standing, Standing::Unproven);
    // The same where nothing more was expected of it.
    let mut scene = Scene::new(&many(), many().len());
    let (number, log, rotation) = (scene.content, scene.log, scene.rotation);
    scene.it().state = State::Finished;
    scene.file_at(rotation).standing = Standing::Ignored;
    scene.tail.other_content(number, log, &mut scene.todo);
    assert_eq!(scene.file_at(rotation).standing, Standing::Unproven);
}

/// What lies in a file that holds something else by now is looked for with all that is known of it, under its names.
#[test]
fn what_is_lost_keeps_its_name_and_what_was_sure_of_its_length() {
    for (known, sure, expected) in [(900, 900, 900), (900, 700, 700), (700, 900, 700), (900, 300, 500)] {
        let mut scene = Scene::new(&many(), 500);
        (scene.it().known, scene.it().sure, scene.it().jump) = (known, sure, 7);
        let (number, log) = (scene.content, scene.log);
        scene.tail.other_content(number, log, &mut scene.todo);
        let it = scene.it();
        assert_eq!((it.known, it.file, it.jump, it.confirmed), (expected, NONE, NO_JUMP, true));
        assert_eq!(it.home.as_deref(), Some(&(0, b"a.log".as_slice().into())));
        assert_eq!(it.traces.to_vec(), [0]);
        assert_eq!(scene.file_at(log).standing, Standing::Unproven);
    }
    // It remembers no more than eight folders, and the first name by which a pattern matched it.
    for (traces, expected) in [(7, 8), (8, 8)] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().home = Some(Box::new((0, b"first.log".as_slice().into())));
        (10..10 + traces).for_each(|folder| scene.it().traces.push(folder));
        let (number, log) = (scene.content, scene.log);
        scene.tail.other_content(number, log, &mut scene.todo);
        assert_eq!((scene.it().traces.len(), scene.it().home.as_deref().unwrap().1[..].len()), (expected, 9));
    }
    let mut scene = Scene::new(&many(), 500);
    scene.it().traces.push(0);
    scene.tail.places.names.get_mut(0).unwrap().is_matched = false;
    let (number, log) = (scene.content, scene.log);
    scene.tail.other_content(number, log, &mut scene.todo);
    assert_eq!((scene.it().traces.to_vec(), scene.it().home.is_some()), (vec![0], false));
}

/// Each failure has its own patience: what may be over in a moment is tried soon, and what somebody has to change is not.
#[test]
fn what_failed_is_tried_again_when_it_may_succeed() {
    let system = Failure::System { errno: 5 };
    for (failure, attempts, expected) in [
        (Failure::NoResource, 0, Some(1_000)),
        (Failure::NoDecoder, 0, Some(250)),
        (Failure::Stale, 0, Some(1_000)),
        (Failure::Missing, 0, Some(1_000)),
        (Failure::Denied, 0, Some(30_000)),
        (system, 0, Some(30_000)),
        (Failure::Archive(ArchiveFault::NotWhole), 5, Some(1_000)),
        (Failure::Archive(ArchiveFault::NotWhole), 6, None),
        (Failure::Archive(ArchiveFault::Corrupt), 0, None),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let (number, log) = (scene.content, scene.log);
        scene.file_at(log).attempts = attempts;
        scene.tail.content_failed(number, failure, &mut scene.todo);
        assert_eq!(timed(&mut scene), expected, "{failure:?}");
        assert_eq!(scene.it().state == State::Finished, expected.is_none(), "{failure:?}");
        assert_eq!(scene.it().at_end, expected.is_none(), "{failure:?}");
    }
    let cases: [(&str, Change, State); 4] = [
        ("its name is gone", nameless, State::Sought),
        (
            "its name is gone, and it is open",
            |scene| {
                open(scene);
                nameless(scene)
            },
            State::Followed,
        ),
        ("it has its name", |_| (), State::Followed),
        (
            "it is finished",
            |scene| {
                nameless(scene);
                scene.it().state = State::Finished
            },
            State::Finished,
        ),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        change(&mut scene);
        let number = scene.content;
        scene.tail.content_failed(number, Failure::NoResource, &mut scene.todo);
        assert_eq!(scene.it().state, expected, "{what}");
        assert_eq!(scene.tail.seeks.contains_key(&number), expected == State::Sought, "{what}");
    }
}

/// Time passes for a content once: the earliest moment counts.
#[test]
fn a_content_is_looked_at_at_the_earliest_moment_that_was_wanted() {
    for (first, second, expected) in [(100, 50, (50, 2)), (50, 100, (50, 1)), (50, 50, (50, 1))] {
        let mut scene = Scene::new(&many(), 500);
        let number = scene.content;
        scene.tail.time_content(number, first);
        scene.tail.time_content(number, second);
        assert_eq!((timed(&mut scene), scene.tail.due.len()), (Some(expected.0), expected.1));
    }
}

/// A quiet log is closed after five seconds; what has no name is read each second until nothing can come any more.
#[test]
fn time_closes_quiet_files_and_ends_those_without_a_name() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Nothing,
        Turn,
        Closes,
        /// Looked at again after so many milliseconds.
        Later(u64),
        /// Read once more, and looked at again in a second.
        Polls,
        Ends,
    }
    fn quiet(scene: &mut Scene, milliseconds: u64) {
        open(scene);
        scene.it().known = scene.it().read;
        scene.it().touched = Moment(NOW.0 - milliseconds * 1_000);
        (scene.it().timed, scene.it().polled) = (NOW, true);
    }
    fn deleted(scene: &mut Scene, milliseconds: u64) {
        quiet(scene, milliseconds);
        nameless(scene);
        scene.it().unlinked = true;
    }
    fn moved(scene: &mut Scene, milliseconds: u64) {
        deleted(scene, milliseconds);
        scene.it().unlinked = false;
    }
    let cases: [(&str, Change, Then); 25] = [
        ("quiet for five seconds", |scene| quiet(scene, 5_000), Then::Closes),
        ("quiet for less", |scene| quiet(scene, 4_999), Then::Later(5_000)),
        (
            "being read",
            |scene| {
                quiet(scene, 9_000);
                scene.it().reading = true
            },
            Then::Later(5_000),
        ),
        (
            "being compared",
            |scene| {
                quiet(scene, 9_000);
                scene.it().checking = true
            },
            Then::Later(5_000),
        ),
        (
            "being opened",
            |scene| {
                quiet(scene, 9_000);
                scene.it().opening = true
            },
            Then::Later(5_000),
        ),
        (
            "not yet",
            |scene| {
                quiet(scene, 9_000);
                scene.it().timed = NOW.plus_ms(1)
            },
            Then::Nothing,
        ),
        (
            "something is there",
            |scene| {
                quiet(scene, 9_000);
                scene.it().known = 900
            },
            Then::Turn,
        ),
        (
            "finished",
            |scene| {
                quiet(scene, 9_000);
                scene.it().state = State::Finished
            },
            Then::Nothing,
        ),
        (
            "closed",
            |scene| {
                quiet(scene, 9_000);
                scene.it().slot = NONE
            },
            Then::Nothing,
        ),
        ("deleted for ten seconds", |scene| deleted(scene, 10_000), Then::Ends),
        ("deleted just before", |scene| deleted(scene, 9_999), Then::Polls),
        (
            "deleted, and not read since",
            |scene| {
                deleted(scene, 10_000);
                scene.it().polled = false
            },
            Then::Polls,
        ),
        (
            "deleted, and being read",
            |scene| {
                deleted(scene, 10_000);
                scene.it().reading = true
            },
            Then::Polls,
        ),
        (
            "deleted, and being compared",
            |scene| {
                deleted(scene, 10_000);
                scene.it().checking = true
            },
            Then::Later(1_000),
        ),
        (
            "the agent's own, deleted",
            |scene| {
                deleted(scene, 0);
                scene.tail.settings.flows[0].owned = true;
                scene.it().settled = 5
            },
            Then::Ends,
        ),
        (
            "the agent's own, moved",
            |scene| {
                moved(scene, 10_000);
                scene.tail.settings.flows[0].owned = true
            },
            Then::Polls,
        ),
        ("moved for three minutes", |scene| moved(scene, 180_000), Then::Ends),
        ("moved just before", |scene| moved(scene, 179_999), Then::Polls),
        (
            "deleted, to go on elsewhere",
            |scene| {
                deleted(scene, 10_000);
                scene.it().jump = 7
            },
            Then::Later(1_000),
        ),
        (
            "deleted, and closed",
            |scene| {
                deleted(scene, 10_000);
                scene.it().slot = NONE
            },
            Then::Nothing,
        ),
        (
            "a rotation that may go on",
            |scene| {
                quiet(scene, 9_000);
                scene.it().file = scene.rotation;
                scene.it().origin = Some(Origin::new(1));
            },
            Then::Later(171_020),
        ),
        (
            "a rotation of which nothing was sent",
            |scene| {
                quiet(scene, 9_000);
                scene.it().file = scene.rotation;
            },
            Then::Closes,
        ),
        (
            "a log of which something was sent",
            |scene| {
                quiet(scene, 9_000);
                scene.it().origin = Some(Origin::new(1));
            },
            Then::Closes,
        ),
        (
            "a rotation that does not go on",
            |scene| {
                quiet(scene, 180_000);
                scene.it().file = scene.rotation;
                scene.it().origin = Some(Origin::new(1));
            },
            Then::Closes,
        ),
        (
            "a rotation whose origin has ended",
            |scene| {
                quiet(scene, 180_000);
                scene.it().file = scene.rotation;
                (scene.it().origin, scene.it().ended) = (Some(Origin::new(1)), true);
            },
            Then::Closes,
        ),
    ];
    for (what, change, then) in cases {
        let mut scene = Scene::new(&many(), 500);
        change(&mut scene);
        let number = scene.content;
        scene.tail.time_passed(number, &mut scene.todo);
        let gone = scene.it().state == State::Finished && scene.it().slot == NONE && closes(&scene);
        let later = timed(&mut scene).filter(|_| what != "not yet");
        let came = match later {
            _ if gone => Then::Ends,
            Some(1_000) if scene.it().poll && scene.it().queued => Then::Polls,
            Some(milliseconds) => Then::Later(milliseconds),
            None if closes(&scene) => Then::Closes,
            None if scene.it().queued => Then::Turn,
            None => Then::Nothing,
        };
        match what {
            "deleted, and being read" | "moved just before" => assert!(scene.it().poll, "{what}"),
            _ => assert_eq!(came, then, "{what}"),
        }
        assert_eq!(ends(&scene), what == "a rotation that does not go on", "{what}");
    }
}

/// A deleted log was read to its end: what else is known to hold it is where it may go on.
#[test]
fn what_was_read_to_its_end_without_a_name_goes_on_in_a_longer_copy_or_is_finished() {
    for (size, packed, expected) in [
        (None, false, (State::Finished, false)),
        (Some(501), false, (State::Followed, true)),
        (Some(500), false, (State::Finished, true)),
        (Some(900), true, (State::Finished, true)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene);
        nameless(&mut scene);
        let rotation = scene.rotation;
        if let Some(size) = size {
            scene.it().copies.push(rotation);
            scene.file_at(rotation).size = size;
            scene.file_at(rotation).packing = packed.then_some(Packing::Gzip);
        }
        let number = scene.content;
        scene.tail.end_orphan(number, &mut scene.todo);
        assert_eq!((scene.it().state, scene.it().file == rotation), expected, "{size:?}");
        assert!(closes(&scene) && scene.outcome() != Outcome::Stranger);
    }
}
