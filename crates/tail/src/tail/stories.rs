//! What the system refuses, what a failure means, how much room is kept, and when the core has caught up.
//! Promises for each condition of the step machine the story that only it decides.
//! Leaves what files hold to the stories of the other parts.

use super::scene::{NOW, Scene, many};
use super::*;
use crate::places::Standing;
use crate::seen::{ArchiveFault, Status};

type Change = fn(&mut Scene);

fn open(scene: &mut Scene, packed: bool) -> u32 {
    let number = scene.content;
    let slot = scene.tail.slots.len() as u32;
    scene.tail.slots.push(Some((number, packed)));
    scene.tail.decoders += usize::from(packed);
    scene.tail.opened.push_back(number);
    scene.it().slot = slot;
    slot
}

fn due_at(scene: &Scene, milliseconds: u64, due: Due) -> bool {
    scene.tail.due.contains_at(scene.tail.now.plus_ms(milliseconds), due)
}

trait ContainsAt {
    fn contains_at(&self, at: Moment, due: Due) -> bool;
}

impl ContainsAt for BinaryHeap<Reverse<(Moment, Due)>> {
    fn contains_at(&self, at: Moment, due: Due) -> bool {
        self.iter().any(|Reverse(other)| *other == (at, due))
    }
}

fn says(scene: &Scene, wanted: &Notice) -> usize {
    scene.todo.iter().filter(|todo| matches!(todo, ToDo::Say(notice) if notice == wanted)).count()
}

/// What waits in files, and what is on its way: an operator sees from it whether the agent keeps up.
#[test]
fn the_lag_of_a_flow_is_what_is_unread_and_what_is_in_flight() {
    // 1,840 bytes, of which 500 were read and 400 settled.
    let pack: Change = |scene| scene.file_at(scene.log).packing = Some(crate::Packing::Gzip);
    let cases: [(&str, &[Change], u64); 6] = [
        ("a log", &[], 1_440),
        ("it is looked for", &[|scene| scene.it().state = State::Sought], 1_440),
        ("it is finished", &[|scene| scene.it().state = State::Finished], 100),
        ("an archive, of which only the packed size is known", &[pack], 1_940),
        ("an archive that was read", &[pack, |scene| (scene.it().at_end, scene.it().known) = (true, 500)], 100),
        ("an archive that was read and is finished", &[pack, |scene| scene.it().state = State::Finished], 100),
    ];
    for (what, changes, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        scene.it().settled = 400;
        changes.iter().for_each(|change| change(&mut scene));
        scene.it().counted = 30;
        scene.tail.flows[0].gauge.lag = 70;
        let number = scene.content;
        scene.tail.recount(number);
        assert_eq!((scene.it().counted, scene.tail.gauge(FlowId(0)).lag), (expected, expected + 40), "{what}");
        scene.tail.recount(number);
        assert_eq!(scene.tail.gauge(FlowId(0)).lag, expected + 40, "{what}: it counts once");
    }
}

/// The system is out of descriptors: fewer are used from then on, nothing is asked for a second, and that is said once.
#[test]
fn a_system_that_has_nothing_to_give_is_asked_for_less_and_later() {
    for (slots, most_open, expected) in [(5, 512, 4), (1, 512, 1), (0, 512, 1), (5, 3, 3)] {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.most_open = most_open;
        scene.tail.slots.extend(std::iter::repeat_n(Some((77, false)), slots));
        scene.tail.starve(&mut scene.todo);
        assert_eq!((scene.tail.most_open, scene.tail.starved), (expected, true));
        assert_eq!((due_at(&scene, 1_000, Due::Resources), says(&scene, &Notice::NoResource)), (true, 1));
        scene.tail.starve(&mut scene.todo);
        assert_eq!(scene.tail.due.iter().filter(|due| due.0 == (NOW.plus_ms(1_000), Due::Resources)).count(), 1);
        assert_eq!(says(&scene, &Notice::NoResource), 1);
        assert_eq!(scene.tail.refused_at, NOW);
    }
}

/// Half a minute without a refusal, and it is used fully again step by step.
#[test]
fn after_half_a_minute_without_a_refusal_twice_as_many_files_are_open() {
    for (milliseconds, most_open, expected, again, said) in [
        (29_999, 4, 4, true, 0),
        (30_000, 4, 8, true, 1),
        (30_000, 256, 512, false, 1),
        (30_000, 300, 512, false, 1),
        (30_000, 255, 510, true, 1),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let tail = &mut scene.tail;
        (tail.most_open, tail.starved, tail.told_starved, tail.refused_at) = (most_open, true, true, NOW);
        tail.now = NOW.plus_ms(milliseconds);
        tail.try_again(&mut scene.todo);
        assert_eq!((scene.tail.most_open, scene.tail.starved), (expected, false), "{milliseconds}");
        assert_eq!(due_at(&scene, 30_000, Due::Resources), again, "{milliseconds} {most_open}");
        assert_eq!(says(&scene, &Notice::ResourcesAgain), said);
        scene.tail.try_again(&mut scene.todo);
        assert_eq!(says(&scene, &Notice::ResourcesAgain), said);
    }
}

/// `drain` and the tests of a whole agent believe it.
#[test]
fn the_core_has_caught_up_when_nothing_is_read_asked_listed_or_looked_for() {
    let cases: [(&str, Change, bool); 16] = [
        ("nothing is to be done", |_| (), true),
        ("the start is not over", |scene| scene.tail.begun = false, false),
        ("a folder is listed", |scene| _ = scene.tail.ask(Job::List(0)), false),
        ("a file is to be asked", |scene| _ = scene.tail.unproven.insert((1, scene.rotation)), false),
        ("a content is to be compared", |scene| scene.tail.checks.push_back(scene.content), false),
        (
            "a content is looked for",
            |scene| {
                let number = scene.content;
                scene.it().file = NONE;
                scene.tail.lose(number, &mut Vec::new());
            },
            false,
        ),
        ("a file is read", |scene| scene.tail.flows[0].reading = Some(Ticket(9)), false),
        ("a file is to be read", |scene| scene.tail.flows[0].ready.push_back(scene.content), false),
        ("a file is to be opened", |scene| scene.tail.flows[0].closed.push_back(scene.content), false),
        (
            "the flow is gone",
            |scene| {
                scene.tail.flows[0].gone = true;
                scene.tail.flows[0].closed.push_back(scene.content);
            },
            true,
        ),
        (
            "a listing is on its way",
            |scene| scene.tail.places.folders.get_mut(0).unwrap().listing = Some(Ticket(9)),
            false,
        ),
        ("a listing is compared", |scene| scene.tail.places.folders.get_mut(0).unwrap().sweep = Some(5), false),
        ("a file waits", |scene| _ = scene.tail.waiting.insert(scene.rotation), false),
        ("the system has nothing to give", |scene| scene.tail.starved = true, true),
        ("a row is to be saved", |scene| scene.tail.dirty.push_back(scene.content), true),
        ("a file is open", |scene| _ = open(scene, false), true),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), many().len());
        change(&mut scene);
        assert_eq!(scene.tail.is_caught_up(), expected, "{what}");
    }
}

/// Many things are due at once after a long sleep of the machine: a part of them in each step.
#[test]
fn in_one_step_256_things_are_done_that_are_due_and_nothing_before_its_time() {
    let mut scene = Scene::new(&many(), many().len());
    for _ in 0..300 {
        scene.tail.at(0, Due::Nameless(9));
    }
    scene.tail.do_what_is_due(&mut scene.todo);
    assert_eq!(scene.tail.due.len(), 44);
    scene.tail.due.clear();
    scene.tail.flows[0].blocked = true;
    scene.tail.at(1, Due::Flow(FlowId(0)));
    scene.tail.do_what_is_due(&mut scene.todo);
    assert!(scene.tail.flows[0].blocked && scene.tail.deadline() == Some(NOW.plus_ms(1)));
    scene.tail.now = NOW.plus_ms(1);
    scene.tail.do_what_is_due(&mut scene.todo);
    assert!(!scene.tail.flows[0].blocked && scene.tail.deadline().is_none());
}

/// Each of the thousands of files that wait asked for a step of its own: the steps of 100,000 small files took half of the
/// processor's time.
#[test]
fn one_step_is_due_however_many_ask_for_it_and_the_earliest_counts() {
    let mut scene = Scene::new(&many(), many().len());
    for due in [Due::Work, Due::Rows] {
        for milliseconds in [100, 100, 50, 70, 50] {
            scene.tail.at(milliseconds, due);
        }
    }
    assert_eq!((scene.tail.due.len(), scene.tail.deadline()), (4, Some(NOW.plus_ms(50))));
    scene.tail.now = NOW.plus_ms(50);
    scene.tail.do_what_is_due(&mut scene.todo);
    assert_eq!(scene.tail.due.len(), 2);
    // What is not done by then asks again.
    scene.tail.at(20, Due::Work);
    assert_eq!(scene.tail.deadline(), Some(NOW.plus_ms(70)));
}

/// A clock that goes back stands still: what is due later comes all the same.
#[test]
fn time_never_goes_back() {
    let mut scene = Scene::new(&many(), many().len());
    scene.tail.step(Seen::Time, Moment(NOW.0 - 1), &mut scene.todo);
    assert_eq!(scene.tail.now, NOW);
    scene.tail.step(Seen::Time, NOW.plus_ms(1), &mut scene.todo);
    assert_eq!(scene.tail.now, NOW.plus_ms(1));
}

/// One call settles bytes of several files: all that it settled is saved together.
#[test]
fn rows_are_saved_with_the_step_unless_more_may_be_settled_at_once() {
    for settled in [true, false] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().settled = 100;
        let number = scene.content;
        let origin = scene.tail.new_origin(number);
        scene.it().origin = Some(origin);
        scene.tail.mark_dirty(number);
        let position = datalake_base::record::Position(500);
        let seen = if settled { Seen::Settled { origin, position, filtered: 0, quarantined: 0 } } else { Seen::Time };
        scene.tail.step(seen, NOW, &mut scene.todo);
        let saved = scene.todo.iter().any(|todo| matches!(todo, ToDo::Save(_)));
        assert_eq!(saved, !settled);
        assert_eq!(scene.it().settled == 500, settled);
    }
}

/// A flow has no room for what a log got since it was looked at last. That may be cut before there is room: what was read is
/// compared now.
#[test]
fn a_log_whose_flow_has_no_room_is_compared_if_it_has_grown_since_the_last_look() {
    for (read, known, sure, expected) in
        [(500, 900, 500, true), (500, 900, 900, false), (0, 900, 500, false), (500, 500, 500, false)]
    {
        let mut scene = Scene::new(&many(), read);
        open(&mut scene, false);
        (scene.it().known, scene.it().sure) = (known, sure);
        let number = scene.content;
        let ticket = scene.tail.ask(Job::Read { content: number, flow: FlowId(0), overlap: 0 });
        scene.it().reading = true;
        scene.tail.flows[0].reading = Some(ticket);
        scene.tail.take_in(Seen::NoRoom { ticket }, &mut scene.todo);
        assert!(scene.tail.flows[0].blocked && scene.tail.flows[0].reading.is_none());
        assert_eq!(scene.it().checking, expected, "{read} {known} {sure}");
    }
}

/// A failure says nothing about content, and what was asked is asked again: so what was taken for it is given back.
#[test]
fn what_failed_gives_back_what_it_took() {
    for failure in [Failure::NoResource, Failure::NoDecoder, Failure::Stale, Failure::Archive(ArchiveFault::Corrupt)] {
        let mut scene = Scene::new(&many(), 500);
        open(&mut scene, false);
        let number = scene.content;
        scene.it().reading = true;
        // The only open file is the one that failed, and the system takes none away.
        scene.tail.opened.clear();
        let job = Job::Read { content: number, flow: FlowId(0), overlap: 0 };
        scene.tail.failed(job, failure, &mut scene.todo);
        let kept = matches!(failure, Failure::NoResource | Failure::NoDecoder);
        assert_eq!(scene.it().slot != NONE, kept, "{failure:?}");
        assert_eq!((scene.it().reading, scene.tail.starved), (false, failure == Failure::NoResource));
        // Of a comparison.
        let mut scene = Scene::new(&many(), 500);
        (scene.tail.samples, scene.it().checking) = (3, true);
        scene.tail.failed(Job::Check(number), failure, &mut scene.todo);
        assert_eq!((scene.tail.samples, scene.it().checking), (2, false));
        // Of an opening.
        let mut scene = Scene::new(&many(), 500);
        scene.tail.slots.push(Some((number, true)));
        (scene.tail.decoders, scene.it().opening) = (1, true);
        scene.tail.failed(Job::Open { content: number, slot: 0 }, failure, &mut scene.todo);
        assert_eq!((scene.tail.slots_in_use(), scene.tail.decoders, scene.it().opening), (0, 0, false));
        // Of a question.
        let mut scene = Scene::new(&many(), 500);
        (scene.tail.samples, scene.tail.decoders) = (3, 1);
        let mut question = scene.question(&many());
        question.packing = Some(crate::Packing::Gzip);
        scene.tail.failed(Job::Identify(question), failure, &mut scene.todo);
        assert_eq!((scene.tail.samples, scene.tail.decoders), (2, 0));
    }
    // And an answer, too.
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    scene.tail.samples = 3;
    let ticket = scene.tail.ask(Job::Check(number));
    let sample = scene.sample(scene.log, &many(), &[]);
    scene.tail.take_in(Seen::Sampled { ticket, sample }, &mut scene.todo);
    assert_eq!(scene.tail.samples, 2);
}

/// A descriptor that is free is used again, and a decoder goes to what waits for it.
#[test]
fn what_is_free_again_is_given_to_what_waits_for_it() {
    for (packed, file, opens) in [(true, true, false), (true, false, true), (true, true, true), (false, true, true)] {
        let mut scene = Scene::new(&many(), 500);
        let slot = open(&mut scene, packed);
        let rotation = scene.rotation;
        if file {
            scene.tail.for_decoder.insert(rotation);
        }
        scene.tail.opens_wait = opens;
        let number = scene.content;
        scene.tail.close(number, &mut scene.todo);
        assert_eq!(scene.todo, [ToDo::Close { slot: Slot(slot) }]);
        assert_eq!((scene.tail.slots_in_use(), scene.tail.decoders), (0, 0));
        assert_eq!(due_at(&scene, 0, Due::File(rotation)), packed && file);
        assert_eq!(due_at(&scene, 0, Due::Work), packed && opens);
        assert_eq!(scene.tail.opens_wait, opens && !packed);
        scene.tail.close(number, &mut scene.todo);
        assert_eq!(scene.todo.len(), 1, "it is closed once");
    }
}

/// What was asked about a file that is closed is void: its answer would be of another file.
#[test]
fn what_was_asked_of_a_file_is_void_when_it_is_closed() {
    let mut scene = Scene::new(&many(), 500);
    let slot = open(&mut scene, false);
    let number = scene.content;
    let other = scene.tail.contents.all.insert(Content::new(9, Some(FlowId(0)), NOW));
    (scene.it().reading, scene.it().checking, scene.tail.samples) = (true, true, 3);
    let read = scene.tail.ask(Job::Read { content: number, flow: FlowId(0), overlap: 0 });
    scene.tail.flows[0].reading = Some(read);
    scene.tail.ask(Job::Check(number));
    let kept = [scene.tail.ask(Job::Check(other)), scene.tail.ask(Job::List(0))];
    assert_eq!(scene.tail.take_slot(number), slot);
    assert_eq!(scene.tail.jobs.keys().copied().collect::<Vec<_>>(), kept.map(|ticket| ticket.0));
    assert_eq!((scene.it().reading, scene.it().checking, scene.tail.samples), (false, false, 2));
    assert!(scene.tail.flows[0].reading.is_none());
    assert_eq!(scene.tail.take_slot(number), NONE);
    // Given to another content, it has a turn before it and is looked at soon.
    scene.content_at(other).served = true;
    scene.content_at(other).file = scene.rotation;
    scene.tail.give_slot(other, slot);
    let it = scene.content_at(other);
    assert_eq!((it.slot, it.served, it.timed), (slot, false, NOW.plus_ms(250)));
    assert_eq!(scene.tail.opened.back(), Some(&other));
    scene.tail.give_slot(number, NONE);
    assert_eq!((scene.it().slot, scene.tail.opened.back()), (NONE, Some(&other)));
}

/// A limit that is lowered holds from now on; one that is raised is reached as the system allows.
#[test]
fn a_lower_limit_of_open_files_holds_at_once() {
    let mut scene = Scene::new(&many(), 500);
    scene.tail.limit_open(100);
    assert_eq!((scene.tail.most_open, scene.tail.settings.limits.open), (100, 100));
    scene.tail.limit_open(200);
    assert_eq!((scene.tail.most_open, scene.tail.settings.limits.open), (100, 200));
}

/// An answer to a question that is void says nothing.
#[test]
fn answers_that_nobody_waits_for_change_nothing() {
    let mut scene = Scene::new(&many(), 500);
    let (number, ticket) = (scene.content, Ticket(99));
    let sample = scene.sample(scene.log, &[], &[]);
    let status = Status::default();
    for seen in [
        Seen::Opened { ticket, status },
        Seen::Sampled { ticket, sample },
        Seen::Read { ticket, bytes: b"x\n", status, end: false },
        Seen::Hole { ticket, end: 900 },
        Seen::NoRoom { ticket },
        Seen::Failed { ticket, failure: Failure::NoResource },
        Seen::Listed { ticket, entries: Vec::new(), last: true },
    ] {
        scene.tail.take_in(seen, &mut scene.todo);
    }
    assert!(scene.todo.is_empty() && scene.tail.due.is_empty() && !scene.tail.flows[0].blocked);
    assert_eq!((scene.it().read, scene.file_at(scene.log).standing), (500, Standing::Holds(number)));
    // Origins and tickets are never used twice.
    let origins = [scene.tail.new_origin(number), scene.tail.new_origin(number)];
    let tickets = [scene.tail.ask(Job::List(0)), scene.tail.ask(Job::List(0))];
    assert!(origins[0] != origins[1] && tickets[0] != tickets[1]);
    assert_eq!((scene.tail.origins.len(), scene.tail.jobs.len()), (2, 2));
}

/// Where events were lost, or one of them is unclear, only a listing shows what is there.
#[test]
fn lost_events_and_doubts_lead_to_a_listing_at_once() {
    for seen in [Seen::EventsLost, Seen::Unsure { folder: crate::FolderId(0) }] {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.take_in(seen, &mut scene.todo);
        assert!(due_at(&scene, 0, Due::Folder(0)));
    }
    let mut scene = Scene::new(&many(), 500);
    scene.tail.flows[0].blocked = true;
    scene.tail.take_in(Seen::Room { flow: FlowId(0) }, &mut scene.todo);
    scene.tail.take_in(Seen::Closed { flow: FlowId(0) }, &mut scene.todo);
    assert!(!scene.tail.flows[0].blocked && scene.tail.flows[0].gone);
}

/// At a start a hundred thousand contents stand in each line: 4 MiB that were kept for as long as the agent ran.
#[test]
fn the_room_of_a_long_queue_is_given_back_when_little_stands_in_it() {
    for (left, room, smaller) in
        [(0, 100_000, true), (24_000, 100_000, true), (25_001, 100_000, false), (0, 4_096, false)]
    {
        let mut tail =
            Tail::new(crate::Settings { flows: vec![crate::FlowSettings::default()], ..crate::Settings::default() });
        let queue = || std::collections::VecDeque::from_iter(0..left);
        let fill = |queue_of: &mut std::collections::VecDeque<u32>| {
            *queue_of = queue();
            queue_of.reserve_exact(room - left as usize);
        };
        fill(&mut tail.checks);
        fill(&mut tail.dirty);
        fill(&mut tail.opened);
        fill(&mut tail.flows[0].ready);
        fill(&mut tail.flows[0].closed);
        tail.due.extend((0..u64::from(left)).map(|at| Reverse((Moment(at), Due::Work))));
        tail.due.reserve_exact(room - left as usize);
        tail.give_back_room();
        let queues = [&tail.checks, &tail.dirty, &tail.opened, &tail.flows[0].ready, &tail.flows[0].closed];
        for queue in queues {
            assert_eq!((queue.capacity() < room, queue.len()), (smaller, left as usize), "{left} of {room}");
        }
        assert_eq!((tail.due.capacity() < room, tail.due.len()), (smaller, left as usize), "{left} of {room}");
    }
}

/// An eighth more of each would be 5 MiB of a hundred thousand files.
#[test]
fn room_is_made_for_the_rows_that_come_and_for_no_more() {
    let mut tail = Tail::new(crate::Settings::default());
    tail.expect(1_000);
    let place = crate::SavedPlace { path: "/l/a.log".into(), ..Default::default() };
    let row = crate::Row { home: "/l/a.log".into(), places: vec![place], ..Default::default() };
    let before = (tail.contents.all.room(), tail.places.files.room(), tail.places.names.room());
    assert_eq!(before, (1_000, 1_000, 1_000));
    for inode in 0..1_000 {
        let mut row = row.clone();
        (row.id.0, row.places[0].key.inode) = (inode, inode);
        tail.remember(row, None);
    }
    assert_eq!((tail.contents.all.room(), tail.places.files.room()), (1_000, 1_000));
}
