//! What a comparison of a followed log leads to.
//! Promises that a size which lies is distinguished from a cut, and a cut from another content.
//! Leaves what becomes of the file then to the stories of `identify`.

use super::*;
use crate::Packing;
use crate::seen::Moment;
use crate::tail::scene::{NOW, Scene, closes, few, lost, many, nameless, open, pack, reads, timed};
use crate::worlds::text;

type Change = fn(&mut Scene);

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
    let cases: [(&str, usize, Change, Vec<u8>, Then); 15] = [
        ("it has grown", 1_840, none, text('x', 0..50), Then::Same),
        ("it is as it was", 1_840, none, many(), Then::Same),
        ("written anew", 1_840, none, text('y', 0..40), Then::Lost),
        ("cut at a line end", 1_840, none, text('x', 0..30), Then::Shorter),
        ("cut, and there is a copy", 1_840, copied, text('x', 0..30), Then::Lost),
        ("cut to what may be anything", 1_840, none, text('x', 0..6), Then::Lost),
        ("cut to what proves nothing", 1_840, none, few(), Then::Lost),
        ("cut, and there are a few new lines", 1_840, none, text('y', 0..4), Then::Lost),
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

/// Nothing comes later in an archive, or in what sleeps: its descriptor is given back. A log stays open, and what
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
