//! What time and failures bring about.
//! Promises that nothing waits for ever, and nothing is closed that may still get bytes.
//! Leaves the search for content to the stories of `seek`.

use super::*;
use crate::Packing;
use crate::seen::Moment;
use crate::tail::scene::{NOW, Outcome, Scene, closes, ends, many, nameless, open, timed};
use datalake_base::record::Origin;

type Change = fn(&mut Scene);

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
        /// Looked at again after this many milliseconds.
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
