//! What a file is that begins like a content.
//! Promises for each condition of a comparison the story that only it decides.
//! Leaves what becomes of files in which nothing known lies to the stories of `conclude`.

use super::*;
use crate::Packing;
use crate::tail::scene::{NOW, Outcome, Scene, many};
use crate::worlds::text;

type Change = fn(&mut Scene, &mut Question);

/// What the last question asks, of which ranges.
fn asked(scene: &Scene) -> Option<(Stage, Vec<Range<u64>>)> {
    let stage = scene.tail.jobs.values().find_map(|job| match job {
        Job::Identify(question) => Some(question.stage),
        _ => None,
    })?;
    let ranges = scene.todo.iter().rev().find_map(|todo| match todo {
        ToDo::Sample { ranges, .. } => Some(ranges.clone()),
        _ => None,
    })?;
    Some((stage, ranges))
}

/// What is asked to compare something with the content of the log.
fn ranges(scene: &mut Scene) -> Vec<Range<u64>> {
    let it = scene.it();
    it.proof.ranges(it.read, 3)
}

/// The rotation answers, which holds these bytes; packed, it has these in it.
fn answers(scene: &mut Scene, mut question: Box<Question>, bytes: &[u8], packing: Option<Packing>) {
    (question.packing, question.stage) = (packing, Stage::Compare(scene.content));
    let mut asked = ranges(scene);
    asked.extend(question.ends(scene.it().read).map(|end| end..end + 1));
    let mut sample = scene.sample(question.file, bytes, &asked);
    if packing.is_some() {
        (sample.packed, sample.end) = (true, Some(bytes.len() as u64));
    }
    let number = scene.content;
    scene.tail.compare(question, number, sample, &mut scene.todo);
}

/// The log answers whether it still holds the content, and with it the same bytes as the rotation.
fn place_answers(scene: &mut Scene, question: Box<Question>, bytes: &[u8]) {
    let (place, number) = (scene.it().file, scene.content);
    let mut asked = ranges(scene);
    asked.extend(question.tail.clone());
    let sample = scene.sample(place, bytes, &asked);
    scene.tail.place_answered(question, number, &sample, &mut scene.todo);
}

/// A shorter file is asked for its last bytes, too: by them it is known as a copy of an earlier moment.
#[test]
fn a_plain_file_that_is_shorter_than_what_was_read_is_asked_for_its_end() {
    let read = many().len() as u64;
    for (size, packing, expected) in [
        (1_500, None, Some(476..1_500)),
        (500, None, Some(0..500)),
        (read, None, None),
        (read + 1, None, None),
        (0, None, None),
        (1_500, Some(Packing::Gzip), None),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        scene.file_at(scene.rotation).size = size;
        let mut question = scene.question(&many());
        (question.packing, question.alike) = (packing, vec![scene.content]);
        let mut ranges = ranges(&mut scene);
        ranges.extend(expected);
        ranges.extend(packing.map(|_| read..read + 1));
        ranges.sort_by_key(|range| (range.start, range.end));
        scene.tail.next_alike(question, &mut scene.todo);
        assert_eq!(asked(&scene), Some((Stage::Compare(scene.content), ranges)), "{size}, {packing:?}");
    }
}

/// A copy that is still being written looks like a shorter log.
#[test]
fn a_shorter_file_that_may_still_grow_is_asked_again_in_half_a_second() {
    for (changed_at, expected) in [(499, Some(500)), (498, None)] {
        let mut scene = Scene::new(&many(), many().len());
        (scene.it().file, scene.file_at(scene.rotation).changed_at) = (NONE, changed_at);
        let question = scene.question(&many());
        answers(&mut scene, question, &text('x', 0..30), None);
        match expected {
            Some(milliseconds) => assert_eq!(scene.outcome(), Outcome::Waits(milliseconds)),
            None => assert!(matches!(scene.outcome(), Outcome::Holds(_)), "{:?}", scene.outcome()),
        }
    }
}

/// A deleted log is open, and all of it was read. What holds just as much is a copy of it; what holds more is where it goes on.
#[test]
fn an_open_log_without_a_name_goes_on_in_what_holds_more_of_it() {
    for (bytes, copy) in [(many(), true), (text('x', 0..41), false)] {
        let mut scene = Scene::new(&many(), many().len());
        let it = scene.it();
        (it.file, it.slot, it.polled) = (NONE, 0, true);
        scene.tail.slots.push(Some((scene.content, false)));
        let question = scene.question(&many());
        answers(&mut scene, question, &bytes, None);
        assert_eq!(scene.outcome(), Outcome::Holds(scene.content));
        assert_eq!(scene.it().copies.to_vec(), if copy { vec![scene.rotation] } else { Vec::new() });
        let expected = if copy { NONE } else { scene.rotation };
        assert_eq!(scene.it().file, expected);
    }
}

/// The flow had no room for the end of the log when that was packed: whether the archive ends like the log shows only when its
/// own last bytes are compared.
#[test]
fn an_archive_that_ends_within_what_was_not_read_of_the_log_is_asked_for_its_end() {
    let read = text('x', 0..30).len() as u64;
    let known = many().len() as u64;
    for (end, expected) in
        [(read, None), (read + 1, Some(read..read + 1)), (known - 1, Some(read..known - 1)), (known, None)]
    {
        let mut scene = Scene::new(&many(), read as usize);
        let mut question = scene.question(&many());
        question.tail = Some(read..known);
        answers(&mut scene, question, &many()[..end as usize], Some(Packing::Gzip));
        let (stage, asked) = asked(&scene).unwrap();
        match expected {
            Some(tail) => {
                assert_eq!(stage, Stage::Tail(scene.content), "{end}");
                assert!(asked.contains(&tail) && asked.contains(&(end..end + 1)), "{asked:?}");
            }
            None => assert_eq!(stage, Stage::Place(scene.content), "{end}"),
        }
    }
}

/// A log that is written to all the time changes while it is compared: that is tried eight times in a row, not for ever.
#[test]
fn a_comparison_with_what_changes_all_the_time_is_put_off_after_eight_rounds() {
    for rounds in [0, 1, 7, 8] {
        let expected = if rounds < 8 { Outcome::AsksOn } else { Outcome::Waits(1_000) };
        // Where it was read further since the file was asked.
        let mut scene = Scene::new(&many(), many().len());
        let mut question = scene.question(&many());
        (question.rounds, question.stage) = (rounds, Stage::Compare(scene.content));
        let (number, whole) = (scene.content, 0..WINDOW);
        let sample = scene.sample(scene.rotation, &many(), std::slice::from_ref(&whole));
        scene.tail.compare(question, number, sample.clone(), &mut scene.todo);
        assert_eq!(scene.outcome(), expected, "{rounds} rounds before");
        // And since its place was asked.
        let mut scene = Scene::new(&many(), many().len());
        let mut question = scene.question(&many());
        question.rounds = rounds;
        scene.tail.place_answered(question, number, &sample, &mut scene.todo);
        assert_eq!(scene.outcome(), expected, "{rounds} rounds before");
    }
}

/// What lies in an archive or is finished stays as it is; a log must be asked whether it still holds what it held.
#[test]
fn the_place_of_a_content_is_asked_only_if_it_may_have_changed() {
    enum Then {
        Asks,
        Copy,
        GoesOn,
        Waits(u64),
    }
    fn pack(scene: &mut Scene) {
        scene.file_at(scene.log).packing = Some(Packing::Gzip);
    }
    fn finish(scene: &mut Scene) {
        scene.it().state = State::Finished;
    }
    let read = many().len() as u64;
    let cases: [(&str, u64, Change, Then); 8] = [
        ("it lies in a log", read, |_, _| (), Then::Asks),
        ("it lies in an archive that is not read to its end", read, |scene, _| pack(scene), Then::Waits(250)),
        ("of which the file is only a part", read - 1, |scene, _| pack(scene), Then::Asks),
        (
            "it lies in an archive",
            read,
            |scene, _| {
                pack(scene);
                scene.it().at_end = true;
            },
            Then::Copy,
        ),
        ("it is finished", read, |scene, _| finish(scene), Then::Copy),
        ("it is finished, and goes on here", read + 1, |scene, _| finish(scene), Then::GoesOn),
        ("it is finished, and the file is only a part", read - 1, |scene, _| finish(scene), Then::Asks),
        (
            "it is finished, and not settled",
            read,
            |scene, _| {
                finish(scene);
                scene.it().settled = 5;
            },
            Then::Asks,
        ),
    ];
    for (what, size, change, then) in cases {
        let mut scene = Scene::new(&many(), many().len());
        let mut question = scene.question(&many());
        question.size = Some(size);
        question.sample = scene.sample(scene.rotation, &many(), &[]);
        change(&mut scene, &mut question);
        let mut expected = ranges(&mut scene);
        expected.extend((size < read).then(|| size - WINDOW..size));
        expected.sort_by_key(|range| (range.start, range.end));
        let (number, rotation) = (scene.content, scene.rotation);
        scene.tail.ask_place(question, number, &mut scene.todo);
        match then {
            Then::Asks => assert_eq!(asked(&scene), Some((Stage::Place(number), expected)), "{what}"),
            Then::Waits(milliseconds) => assert_eq!(scene.outcome(), Outcome::Waits(milliseconds), "{what}"),
            Then::Copy => assert_eq!(scene.it().copies.to_vec(), [rotation], "{what}"),
            Then::GoesOn => {
                assert_eq!((scene.it().file, scene.outcome()), (rotation, Outcome::Holds(number)), "{what}")
            }
        }
    }
}

/// A rotation was read, which was a copy of the log; the log has nothing more. It is the log that will go on.
#[test]
fn a_log_that_holds_just_what_was_read_of_its_copy_is_where_that_goes_on() {
    let mut scene = Scene::new(&many(), many().len());
    let (log, rotation) = (scene.log, scene.rotation);
    scene.it().file = rotation;
    (scene.file_at(log).standing, scene.file_at(rotation).standing) =
        (Standing::Unproven, Standing::Holds(scene.content));
    let mut question = scene.question(&many());
    question.file = log;
    let asked = ranges(&mut scene);
    question.sample = scene.sample(log, &many(), &asked);
    place_answers(&mut scene, question, &many());
    assert_eq!(scene.it().file, log);
}

/// A log that was as long as a kept copy of it is written to while it is compared with that, and renamed before any event tells
/// of its new lines: they were never read.
#[test]
fn a_copy_that_was_written_to_while_it_was_compared_is_compared_again() {
    let size = many().len() as u64;
    let cases: [(&str, u64, bool, Outcome); 5] = [
        ("as it was", size, false, Outcome::Holds(0)),
        ("longer, as it was eight times before", size + 46, false, Outcome::Holds(0)),
        ("longer", size + 46, false, Outcome::Waits(20)),
        ("cut", size - 46, false, Outcome::Waits(20)),
        ("packed, its size is another", size - 1_000, true, Outcome::Holds(0)),
    ];
    for (what, now, packed, expected) in cases {
        let mut scene = Scene::new(&many(), many().len());
        let mut question = scene.question(&many());
        if packed {
            question.packing = Some(Packing::Gzip);
            scene.file_at(scene.rotation).packing = Some(Packing::Gzip);
        }
        scene.file_at(scene.rotation).size = now;
        scene.file_at(scene.rotation).waits = if what.ends_with("before") { 8 } else { 7 };
        let number = scene.content;
        scene.tail.copy(&question, number);
        assert_eq!(scene.outcome(), expected, "{what}");
        let rotation = scene.rotation;
        let is_copy = scene.it().copies.contains(&rotation);
        assert_eq!(is_copy, expected == Outcome::Holds(0), "{what}");
    }
}

/// Of an archive only the bytes are seen that were asked for: while the log grows, an archive of it may be longer than that.
#[test]
fn an_archive_of_which_the_end_was_not_seen_is_asked_again_in_a_quarter_of_a_second() {
    let mut scene = Scene::new(&many(), many().len());
    let mut question = scene.question(&many());
    question.packing = Some(Packing::Gzip);
    question.size = Some(many().len() as u64);
    place_answers(&mut scene, question, &many());
    assert_eq!(scene.outcome(), Outcome::Waits(250));
}

/// What is only looked for may be what begins like it, be it a line: it is sent again, and said.
#[test]
fn a_beginning_without_weight_is_a_doubt_only_where_the_content_lies_nowhere() {
    for (placeless, expected) in [(true, 1), (false, 0)] {
        let mut scene = Scene::new(&many(), many().len());
        if placeless {
            scene.it().file = NONE;
        }
        let mut question = scene.question(&many());
        let asked = ranges(&mut scene);
        let sample = scene.sample(scene.rotation, &text('z', 0..40), &asked);
        let number = scene.content;
        scene.tail.note_prefix(&mut question, number, &sample);
        assert_eq!((question.doubt, question.from), (expected, None));
    }
}

/// Two files may have a long header in common. Equal for more than that, the file is read where the equal part ends.
#[test]
fn what_is_equal_for_less_than_four_kibibytes_may_be_a_header() {
    for (lines, expected) in [(50, (None, 2_024)), (180, (Some(8_188), 0))] {
        let whole = text('x', 0..400);
        let mut scene = Scene::new(&whole, whole.len());
        let mut question = scene.question(&many());
        let asked = ranges(&mut scene);
        let bytes = [text('x', 0..lines), text('y', 0..300)].concat();
        let sample = scene.sample(scene.rotation, &bytes, &asked);
        let number = scene.content;
        scene.tail.note_prefix(&mut question, number, &sample);
        assert_eq!((question.from, question.doubt), (expected.0.map(|end| (number, end)), expected.1));
    }
}

/// A file holds more than the log of which it is a copy. First the log may just have grown: that is read, and the file asked
/// again. Then what only the file holds is sent.
#[test]
fn a_longer_copy_waits_until_the_log_is_read_and_three_times_more() {
    let longer = text('x', 0..60);
    for (known, attempts, expected, then) in
        [(1, 0, Some(500), 0), (1, 3, Some(500), 3), (0, 0, Some(500), 1), (0, 2, Some(500), 3), (0, 3, None, 4)]
    {
        let mut scene = Scene::new(&many(), many().len());
        let read = many().len() as u64;
        scene.it().known = read + known;
        scene.it().ahead = true;
        scene.file_at(scene.rotation).attempts = attempts;
        let mut question = scene.question(&longer);
        let asked = ranges(&mut scene);
        question.sample = scene.sample(scene.rotation, &longer, &asked);
        let number = scene.content;
        scene.tail.longer_copy(question, number, &mut scene.todo);
        assert!(!scene.it().ahead, "it is read for this");
        assert_eq!(scene.file_at(scene.rotation).attempts, then);
        match expected {
            Some(milliseconds) => assert_eq!(scene.outcome(), Outcome::Waits(milliseconds)),
            None => {
                let Outcome::Holds(content) = scene.outcome() else { panic!("{:?}", scene.outcome()) };
                assert_eq!(scene.content_at(content).read, read);
            }
        }
    }
}

/// The log is found in an archive of which everything was read before, or not.
#[test]
fn what_is_found_in_an_archive_is_finished_if_that_ends_where_it_was_read() {
    let read = many().len() as u64;
    for (packed, end, expected) in [
        (true, Some(read), State::Finished),
        (true, Some(read + 10), State::Followed),
        (true, None, State::Followed),
        (false, None, State::Followed),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        (scene.it().file, scene.it().state, scene.it().found_at) = (NONE, State::Sought, Default::default());
        scene.file_at(scene.rotation).packing = packed.then_some(Packing::Gzip);
        let mut sample = scene.sample(scene.rotation, &many(), &[]);
        (sample.packed, sample.end) = (packed, end);
        let (number, rotation) = (scene.content, scene.rotation);
        scene.tail.adopt(number, rotation, &sample, &mut scene.todo);
        let it = scene.it();
        assert_eq!((it.state, it.at_end), (expected, expected == State::Finished), "packed {packed}, {end:?}");
        assert_eq!((it.file, it.found_at), (rotation, NOW));
    }
}
