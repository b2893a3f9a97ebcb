//! When a file is asked what it holds, and when it is asked again.
//! Promises for each wait the moment at which it ends.
//! Leaves what the answers mean to the stories of `compare` and `conclude`.

use super::*;
use crate::Part;
use crate::seen::{Moment, Ticket};
use crate::tail::scene::{NOW, Outcome, Scene, few, many};
use crate::worlds::text;
use std::cmp::Reverse;

/// A file was written anew between two questions: what the first answer said is worth nothing.
#[test]
fn a_file_that_was_written_anew_since_it_was_asked_first_begins_differently_or_is_shorter() {
    let mut scene = Scene::new(&many(), 1_000);
    let mut question = scene.question(&many());
    let (whole, half, later) = (0..WINDOW, 0..WINDOW / 2, 700..800);
    for (what, bytes, range, packed, expected) in [
        ("the same", many(), &whole, false, true),
        ("longer, of which half a window was asked", text('x', 0..60), &half, false, true),
        ("other bytes", text('y', 0..40), &whole, false, false),
        ("no more than a part of them", few(), &whole, false, false),
        ("another place in it", many(), &later, false, true),
        ("another place in it, and just as long as it began", many()[..1_024].to_vec(), &later, false, true),
        ("another place in it, and shorter than it began", many()[..1_023].to_vec(), &later, false, false),
        (
            "another place in what is unpacked, which tells nothing of lengths",
            many()[..900].to_vec(),
            &later,
            true,
            true,
        ),
    ] {
        let mut sample = scene.sample(scene.rotation, &bytes, std::slice::from_ref(range));
        sample.packed = packed;
        assert_eq!(question.still_begins(&sample), expected, "{what}");
    }
    question.beginning = Sample::default();
    let sample = scene.sample(scene.rotation, &many(), &[]);
    assert!(question.still_begins(&sample), "nothing is known of its beginning");
}

/// A file is asked one question at a time: two would be two answers, and a content that is known twice.
#[test]
fn a_file_that_is_being_asked_is_not_asked_once_more() {
    for (asked, expected) in [(true, 0), (false, 1)] {
        let mut scene = Scene::new(&many(), 1_000);
        let rotation = scene.rotation;
        scene.file_at(rotation).asked = asked;
        scene.tail.prove(rotation);
        assert_eq!(scene.tail.unproven.len(), expected);
    }
}

/// A file that nobody may read does not keep the agent from having caught up: that would never end.
#[test]
fn only_files_that_can_be_read_are_waited_for() {
    let mut scene = Scene::new(&many(), many().len());
    assert!(!scene.tail.files_wait());
    let rotation = scene.rotation;
    scene.tail.waiting.insert(rotation);
    assert!(scene.tail.files_wait() && !scene.tail.is_caught_up());
    scene.file_at(rotation).refused = true;
    assert!(!scene.tail.files_wait());
}

/// While a folder is listed, an older rotation may still show. A folder of very many files is not waited for.
#[test]
fn files_of_a_folder_wait_for_its_listing_up_to_ten_thousand_names() {
    for (listing, seen, expected) in
        [(true, 9_999, false), (true, 10_000, true), (true, 10_001, true), (false, 0, true)]
    {
        let mut scene = Scene::new(&many(), many().len());
        let (rotation, folder) = (scene.rotation, scene.file_at(scene.rotation).last_folder);
        let entry = scene.tail.places.folders.get_mut(folder).unwrap();
        (entry.listing, entry.seen) = (listing.then_some(Ticket(9)), seen);
        scene.tail.prove(rotation);
        scene.tail.ask_unproven(&mut scene.todo);
        assert_eq!(scene.file_at(rotation).asked, expected, "{seen} names");
        assert_eq!(scene.tail.unproven.is_empty(), expected);
        // Nobody's answer wakes it, so time does.
        let soon = Reverse((NOW.plus_ms(20), Due::Work));
        assert_eq!(scene.tail.due.iter().any(|due| *due == soon), !expected);
    }
}

/// While another file is asked, its answer is the next step.
#[test]
fn files_that_wait_are_looked_at_after_the_next_answer_if_one_is_on_its_way() {
    let mut scene = Scene::new(&many(), many().len());
    let folder = scene.file_at(scene.rotation).last_folder;
    scene.tail.places.folders.get_mut(folder).unwrap().listing = Some(Ticket(9));
    let rotation = scene.rotation;
    scene.tail.prove(rotation);
    scene.tail.samples = 1;
    scene.tail.ask_unproven(&mut scene.todo);
    assert!(scene.tail.due.is_empty() && !scene.tail.unproven.is_empty());
}

/// An older rotation is still packed. The log is looked at all the same, as it may be put away meanwhile; what may be a rotation
/// waits, so that lines come in order.
#[test]
fn of_the_files_of_a_family_only_the_log_does_not_wait_for_older_ones() {
    for (name, is_live, expected) in
        [("a.log", true, Some(None)), ("a.log.1", true, None), ("a.log.1", false, None), ("a.log", false, None)]
    {
        let mut scene = Scene::new(&many(), many().len());
        let older = scene.file("a.log.7", 10, false);
        scene.file_at(older).changed_at = 499;
        scene.tail.waiting.insert(older);
        let (log, rotation) = (scene.log, scene.rotation);
        let asked = if name == "a.log" { log } else { rotation };
        let named = scene.tail.places.find_name(0, name.as_bytes()).unwrap();
        scene.tail.places.names.get_mut(named).unwrap().is_live = is_live;
        scene.file_at(asked).standing = Standing::Unproven;
        scene.tail.prove(asked);
        scene.tail.ask_unproven(&mut scene.todo);
        let family = scene.tail.jobs.values().find_map(|job| match job {
            Job::Identify(question) => Some(question.family),
            _ => None,
        });
        assert_eq!(family, expected, "{name}, live: {is_live}");
    }
}

/// In the first three seconds all folders are looked round for older rotations, unless that is over before.
#[test]
fn logs_wait_for_the_first_look_at_everything_but_not_for_longer_than_three_seconds() {
    for (milliseconds, from, expected) in
        [(2_999, Some(5), true), (3_000, Some(5), false), (2_999, Some(NONE), false), (2_999, None, false)]
    {
        let mut scene = Scene::new(&many(), many().len());
        (scene.tail.started_at, scene.tail.started) = (Moment(NOW.0 - milliseconds * 1_000), from);
        assert_eq!(scene.tail.is_looking_round(), expected, "{milliseconds} ms, {from:?}");
    }
}

/// A rotation waits for an older one that is being written, for ten seconds after the last change: order is worth no more.
#[test]
fn younger_files_of_a_family_wait_for_older_ones_that_changed_in_the_last_ten_seconds() {
    type Change = fn(&mut Scene, u32);
    let cases: [(&str, &str, Change, bool); 6] = [
        ("changed nine seconds ago", "a.log.7", |scene, file| scene.file_at(file).changed_at = 491, true),
        ("changed ten seconds ago", "a.log.7", |scene, file| scene.file_at(file).changed_at = 490, false),
        ("not ours to read", "a.log.7", |scene, file| scene.file_at(file).refused = true, false),
        ("of the same age", "a.log.1.gz", |_, _| (), false),
        ("younger", "a.log.0", |_, _| (), false),
        ("of another log", "b.log.7", |_, _| (), false),
    ];
    for (what, name, change, expected) in cases {
        let mut scene = Scene::new(&many(), many().len());
        let other = scene.file(name, 10, false);
        scene.file_at(other).changed_at = 499;
        change(&mut scene, other);
        scene.tail.waiting.insert(other);
        let rotation = scene.rotation;
        let (age, family) = (scene.tail.age_of(rotation), scene.tail.family_of(rotation));
        assert_eq!(scene.tail.waits_for_older(age, family), expected, "{what}");
        assert_eq!(scene.tail.older_are_asked(rotation), expected, "{what}");
    }
}

/// The log comes after its rotations, also after those that nobody has asked yet.
#[test]
fn older_files_of_the_same_family_that_are_in_line_come_first() {
    for (name, expected) in [("a.log.7", true), ("a.log.0", false), ("b.log.7", false)] {
        let mut scene = Scene::new(&many(), many().len());
        let other = scene.file(name, 10, false);
        scene.tail.prove(other);
        assert_eq!(scene.tail.older_are_asked(scene.rotation), expected, "{name}");
    }
}

/// An archive ends in the middle: as long as it may still be written it is tried each second. One that nobody writes any more
/// is given up, and that is said.
#[test]
fn an_archive_that_is_not_whole_is_tried_six_times_and_for_ten_seconds_after_its_last_change() {
    for (attempts, changed_at, expected) in [
        (0, 480, Some(1)),
        (4, 480, Some(5)),
        (5, 480, None),
        (5, 490, None),
        (5, 491, Some(6)),
        (6, 491, Some(6)),
        (6, 490, None),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        let question = scene.question(&many());
        let rotation = scene.rotation;
        (scene.file_at(rotation).attempts, scene.file_at(rotation).changed_at) = (attempts, changed_at);
        scene.tail.identify_failed(&question, Failure::Archive(ArchiveFault::NotWhole), &mut scene.todo);
        match expected {
            Some(then) => {
                assert_eq!((scene.outcome(), scene.file_at(rotation).attempts), (Outcome::Waits(1_000), then));
            }
            None => assert_eq!(scene.file_at(rotation).standing, Standing::Skipped, "{attempts}, {changed_at}"),
        }
    }
}

/// Two bytes may become an archive, or be all there is of a log.
#[test]
fn a_file_that_may_become_an_archive_is_asked_again_for_two_seconds() {
    for (changed_at, expected) in [(499, Some(500)), (498, None)] {
        let mut scene = Scene::new(&many(), many().len());
        scene.it().found_at = NOW;
        let (rotation, whole) = (scene.rotation, 0..WINDOW);
        (scene.file_at(rotation).changed_at, scene.file_at(rotation).size) = (changed_at, 2);
        let question = scene.question(b"\x1f\x8b");
        let mut sample = scene.sample(rotation, b"\x1f\x8b", std::slice::from_ref(&whole));
        sample.kind = Kind::Undecided;
        scene.tail.answered(question, sample, &mut scene.todo);
        match expected {
            Some(milliseconds) => assert_eq!(scene.outcome(), Outcome::Waits(milliseconds)),
            None => assert!(matches!(scene.outcome(), Outcome::Holds(_)), "{:?}", scene.outcome()),
        }
    }
    // What is plain is judged at once.
    let mut scene = Scene::new(&many(), many().len());
    scene.it().found_at = NOW;
    scene.file_at(scene.rotation).changed_at = 499;
    let bytes = text('y', 0..40);
    let question = scene.question(&bytes);
    let part = Part { range: 0..WINDOW, bytes: bytes[..1_024].to_vec() };
    let sample = Sample { parts: vec![part], ..scene.sample(scene.rotation, &bytes, &[]) };
    scene.tail.answered(question, sample, &mut scene.todo);
    assert!(matches!(scene.outcome(), Outcome::Holds(_)), "{:?}", scene.outcome());
}
