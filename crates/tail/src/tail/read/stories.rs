//! What a read leads to, and what is settled of it.
//! Promises that no bytes are delivered that are not the continuation of what was read.
//! Leaves comparisons to the stories of `check`.

use super::*;
use crate::proof::Proof;
use crate::seen::Moment;
use crate::tail::scene::{NOW, Scene, closes, ends, few, lost, many, open, pack, reads};
use crate::worlds::text;

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
    // 500 bytes were read; the two numbers are what is known and what is sure.
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

/// A line was cut by the end of its origin, be it that of an earlier life, and its rest comes in another: the line is sent once
/// more, whole. Of a line that is longer than what is read again, the beginning was a record of its own.
#[test]
fn an_origin_that_begins_in_the_middle_of_a_line_begins_with_that_line() {
    let begun = [few(), b"begun".to_vec()].concat();
    let (first, long) = (b"begun".to_vec(), vec![b'a'; 5_000]);
    for (bytes, origin, ended, expected) in [
        (&begun, false, false, begun.len() - 5),
        (&begun, true, true, begun.len() - 5),
        (&begun, true, false, begun.len()),
        (&first, false, false, 0),
        (&first, true, false, 5),
        (&few(), false, false, few().len()),
        (&long, false, false, 5_000),
    ] {
        let more = [&bytes[..], b" and ended\n"].concat();
        let mut scene = Scene::new(bytes, bytes.len());
        open(&mut scene);
        let number = scene.content;
        let running = origin.then(|| scene.tail.new_origin(number));
        let it = scene.it();
        (it.origin, it.ended, it.delivered) = (running, ended, bytes.len() as u64);
        let overlap = bytes.len().min(WINDOW as usize);
        reads(&mut scene, &more[bytes.len() - overlap..], more.len() as u64, 1, false);
        let from = scene.todo.iter().find_map(|todo| match todo {
            ToDo::HandOver { start, skip, .. } => Some((start.0 as usize, *skip)),
            _ => None,
        });
        let what = format!("{} bytes, {origin} {ended}", bytes.len());
        assert_eq!(from, Some((expected, overlap + expected - bytes.len())), "{what}");
        assert_eq!((scene.it().settled, scene.it().delivered), (expected as u64, expected as u64), "{what}");
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
        scene.tail.settled(origin, position, filtered, quarantined, &mut Vec::new());
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
        scene.tail.settled(origin, 500, 0, 0, &mut Vec::new());
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
            scene.tail.settled(origin, 500, 0, 0, &mut Vec::new());
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
