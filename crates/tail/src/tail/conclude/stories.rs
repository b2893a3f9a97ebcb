//! What becomes of a file in which nothing lies that is known for sure.
//! Promises for each condition the story that only it decides.
//! Leaves comparing to the stories of `compare`.

use super::*;
use crate::tail::scene::{NOW, Outcome, Scene, few, many};
use crate::worlds::text;

type Change = fn(&mut Scene, &mut Question);

/// Somebody's files lie beside the logs, and logs are rotated under names of all kinds: what a file beside a log is decides
/// what an operator gets twice, what he gets that is not his, and what he loses.
#[test]
fn a_file_beside_a_log_is_read_where_the_log_has_just_been_replaced_or_where_it_is_equal_to_something_of_ours() {
    fn replace_log(scene: &mut Scene) {
        scene.it().found_at = NOW;
    }
    fn hold(scene: &mut Scene) {
        let identity = held(scene.file_at(scene.rotation).key);
        scene.tail.places.folders.get_mut(0).unwrap().held.insert(identity);
    }
    enum Is {
        Stranger,
        Read,
        Later(u64),
    }
    let cases: [(&str, Change, Is); 12] = [
        ("the log is that of long ago", |_, _| (), Is::Stranger),
        ("a few bytes are equal to ours", |_, question| question.doubt = 5, Is::Read),
        (
            "it goes on where something of ours ends",
            |scene, question| question.from = Some((scene.content, 100)),
            Is::Read,
        ),
        ("it begins like a log of which little is known", |_, question| question.alike_bytes = 50, Is::Stranger),
        ("the log is new", |scene, _| replace_log(scene), Is::Read),
        (
            "the log is new, and the file was there at the first look",
            |scene, _| {
                replace_log(scene);
                hold(scene);
            },
            Is::Stranger,
        ),
        (
            "it was there at the first look, and is equal to something of ours",
            |scene, question| {
                hold(scene);
                question.doubt = 5;
            },
            Is::Read,
        ),
        (
            "the log is new, and the file counted as a stranger 149 seconds ago",
            |scene, _| {
                replace_log(scene);
                hold(scene);
                scene.file_at(scene.rotation).judged_at = 351;
            },
            Is::Read,
        ),
        (
            "the log is new, and the file counted as a stranger 150 seconds ago",
            |scene, _| {
                replace_log(scene);
                hold(scene);
                scene.file_at(scene.rotation).judged_at = 350;
            },
            Is::Stranger,
        ),
        ("nobody knows whether the log is new", |scene, _| scene.it().confirmed = false, Is::Later(250)),
        (
            "what was read of a log that is looked for begins like it",
            |scene, _| {
                scene.sought(&few());
            },
            Is::Read,
        ),
        (
            "it was there at the first look, and a log that is looked for begins like it",
            |scene, _| {
                hold(scene);
                scene.sought(&few());
            },
            Is::Read,
        ),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&text('y', 0..40), 1_000);
        let mut question = scene.question(&many());
        change(&mut scene, &mut question);
        let (rotation, identity) = (scene.rotation, held(scene.file_at(scene.rotation).key));
        scene.tail.conclude(question, &mut scene.todo);
        let is_held = scene.tail.places.folders.get(0).unwrap().held.contains(&identity);
        match (expected, scene.outcome()) {
            (Is::Stranger, Outcome::Stranger) => assert!(is_held, "{what}: the next start knows it"),
            (Is::Read, Outcome::Holds(content)) => {
                assert_eq!(scene.content_at(content).file, rotation, "{what}");
                assert!(!is_held, "{what}: it is no stranger any more");
            }
            (Is::Later(expected), Outcome::Waits(milliseconds)) => assert_eq!(milliseconds, expected, "{what}"),
            (_, outcome) => panic!("{what}: {outcome:?}"),
        }
    }
}

/// What was sent in doubt is not destroyed, though nobody can tell whether it is what is looked for; and what is sent twice is
/// said.
#[test]
fn what_is_sent_in_doubt_is_said_and_nothing_more_of_it_is_missed() {
    let mut scene = Scene::new(&text('y', 0..40), 1_000);
    let read = few().len() as u64;
    let sought = scene.sought(&few());
    scene.content_at(sought).known = read + 100;
    let question = scene.question(&many());
    scene.tail.conclude(question, &mut scene.todo);
    assert_eq!(scene.content_at(sought).known, read);
    assert_eq!(scene.said(), Some((read, Again::EqualInDoubt)));
    // Read on in a copy meanwhile, it may still get what it misses there.
    let mut scene = Scene::new(&text('y', 0..40), 1_000);
    let sought = scene.sought(&few());
    (scene.content_at(sought).known, scene.content_at(sought).state) = (read + 100, State::Followed);
    let question = scene.question(&many());
    scene.tail.conclude(question, &mut scene.todo);
    assert_eq!(scene.content_at(sought).known, read + 100);
}

/// A log was seen and lost before anything of it was read: it is read where it turns up, unless it is read elsewhere already.
#[test]
fn a_log_of_which_nothing_was_read_is_read_where_it_is_found_unless_it_lies_elsewhere() {
    type Change = fn(&mut Content);
    let cases: [(&str, Change, bool); 4] = [
        ("looked for", |_| (), true),
        ("read on in a copy", |content| content.state = State::Followed, false),
        ("all that was read is known to be", |content| content.state = State::Finished, false),
        ("a flow was given some of it", |content| content.origin = Some(datalake_base::record::Origin::new(3)), false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&text('y', 0..40), 1_000);
        let sought = scene.sought(&[]);
        scene.content_at(sought).known = many().len() as u64;
        scene.file_at(scene.rotation).size = many().len() as u64;
        change(scene.content_at(sought));
        let question = scene.question(&many());
        scene.tail.conclude(question, &mut scene.todo);
        let Outcome::Holds(content) = scene.outcome() else { panic!("{what}: {:?}", scene.outcome()) };
        assert_eq!(content == sought, expected, "{what}");
    }
}

/// A log that was looked at before its turn comes after the rotations that are still asked. What goes on where something of
/// ours ends comes at once.
#[test]
fn only_what_was_looked_at_before_its_turn_and_is_read_from_its_beginning_waits_for_older_files() {
    for (family, from, expected) in [(None, None, true), (Some(7), None, false), (None, Some(100), false)] {
        let mut scene = Scene::new(&many(), 1_000);
        scene.it().found_at = NOW;
        let mut question = scene.question(&many());
        question.family = family;
        question.from = from.map(|end| (scene.content, end));
        scene.tail.conclude(question, &mut scene.todo);
        let Outcome::Holds(content) = scene.outcome() else { panic!("{:?}", scene.outcome()) };
        assert_eq!(scene.content_at(content).ahead, expected, "{family:?}, from {from:?}");
    }
}

/// A deleted log is open, and four lines of it were read: its rest is read within moments, and then a file that begins like it
/// is judged.
#[test]
fn a_file_that_may_be_a_copy_of_an_open_log_without_a_name_waits_a_tenth_of_a_second() {
    for (polled, expected) in [(false, Some(100)), (true, None)] {
        let mut scene = Scene::new(&text('y', 0..40), 1_000);
        scene.it().found_at = NOW;
        let open = scene.sought(&few());
        let it = scene.content_at(open);
        (it.slot, it.state, it.polled) = (3, State::Followed, polled);
        scene.tail.opened.push_back(open);
        scene.tail.end_seek(open);
        let question = scene.question(&many());
        scene.tail.conclude(question, &mut scene.todo);
        match expected {
            Some(milliseconds) => assert_eq!(scene.outcome(), Outcome::Waits(milliseconds)),
            None => {
                assert!(matches!(scene.outcome(), Outcome::Holds(_)), "{:?}", scene.outcome());
                assert_eq!(scene.said(), Some((few().len() as u64, Again::EqualInDoubt)));
            }
        }
    }
}

/// Of a file without a name nobody tells that it grew: what there is in it is found by reading it once.
#[test]
fn an_open_file_without_a_name_is_read_on_until_a_read_has_found_nothing() {
    for (open, unread, polled, expected) in [
        (true, 0, false, true),
        (true, 10, false, true),
        (true, 10, true, true),
        (true, 0, true, false),
        (false, 10, false, false),
    ] {
        let mut scene = Scene::new(&many(), 1_000);
        let it = scene.it();
        (it.slot, it.known, it.polled) = (if open { 3 } else { NONE }, it.read + unread, polled);
        let number = scene.content;
        assert_eq!(scene.tail.read_on(number), expected, "open {open}, {unread} unread, polled {polled}");
        assert_eq!(scene.it().poll, expected);
    }
}

/// Four lines of a log were read when it went. A file with these lines and a name of its rotations is most likely the log; a
/// mistake does no harm, as it is read from its beginning.
#[test]
fn what_may_be_a_log_of_which_little_was_read_is_known_by_beginning_and_name() {
    struct Found {
        folder: &'static str,
        name: &'static str,
        begins: Vec<u8>,
        size: u64,
        packed: bool,
    }
    let found = |name| Found { folder: "/l", name, begins: many(), size: 2_000, packed: false };
    let read = few().len() as u64;
    type Change = fn(&mut Content);
    let as_it_is: Change = |_| ();
    let cases: [(&str, Found, Change, bool); 14] = [
        ("a rotation", found("a.log.1"), as_it_is, true),
        ("its own name", found("a.log"), as_it_is, true),
        ("its own name in another folder", Found { folder: "/k", ..found("a.log") }, as_it_is, false),
        ("another name in its folder", found("b.log"), as_it_is, false),
        ("another beginning", Found { begins: text('y', 0..40), ..found("a.log.1") }, as_it_is, false),
        ("just what was read", Found { size: read, ..found("a.log.1") }, as_it_is, true),
        ("less than was read", Found { size: read - 1, ..found("a.log.1") }, as_it_is, false),
        ("packed, it is shorter", Found { size: 9, packed: true, ..found("a.log.1.gz") }, as_it_is, true),
        ("open without a name", found("a.log.1"), |content| content.slot = 3, false),
        ("more is known of it", found("a.log.1"), |content| content.known = 3_000, true),
        (
            "enough is known of it",
            found("a.log.1"),
            |content| {
                let lines = text('x', 0..10);
                (content.read, content.proof) = (lines.len() as u64, Proof::of_beginning(&lines));
            },
            false,
        ),
        (
            "nothing was read of it, and it was as long",
            found("a.log.1"),
            |content| (content.read, content.known, content.proof) = (0, 2_000, Proof::default()),
            true,
        ),
        (
            "nothing was read of it, and it was longer",
            found("a.log.1"),
            |content| (content.read, content.known, content.proof) = (0, 2_001, Proof::default()),
            false,
        ),
        ("nobody knows its name", found("a.log.1"), |content| content.home = None, false),
    ];
    for (what, found, change, expected) in cases {
        let mut scene = Scene::new(&text('z', 0..40), 1_000);
        let sought = scene.sought(&few());
        change(scene.content_at(sought));
        let file = scene.file_in(found.folder, found.name, found.size, false);
        scene.file_at(file).packing = found.packed.then_some(crate::Packing::Gzip);
        assert_eq!(scene.tail.small_sought(file, &found.begins), expected.then_some(sought), "{what}");
    }
}

/// All that is known of a sought log is a header, and other files have that, too: one of them is sent, and what is missing of the
/// log counted as sent with it.
#[test]
fn what_is_sought_counts_as_sent_only_with_a_file_of_its_log_that_may_be_all_of_it() {
    let read = few().len() as u64;
    type Sought = fn(&mut Content);
    let as_it_is: Sought = |_| ();
    let cases: [(&str, &str, u64, bool, Sought, bool); 8] = [
        ("a rotation as long as it was", "a.log.7", read, false, as_it_is, true),
        ("its own name", "a.log", read, false, as_it_is, true),
        ("longer", "a.log.7", read + 1, false, as_it_is, true),
        ("shorter", "a.log.7", read - 1, false, as_it_is, false),
        ("packed", "a.log.7.gz", 9, true, as_it_is, true),
        ("another log", "b.log", read, false, as_it_is, false),
        ("nobody knows its name", "a.log.7", read, false, |content| content.home = None, false),
        ("found meanwhile", "a.log.7", read, false, |content| content.state = State::Followed, false),
    ];
    for (what, name, size, packed, change, expected) in cases {
        let mut scene = Scene::new(&many(), many().len());
        let sought = scene.sought(&few());
        // Of which nothing has arrived yet.
        (scene.content_at(sought).read, scene.content_at(sought).settled) = (0, 0);
        change(scene.content_at(sought));
        let mut question = scene.question(&text('z', 0..40));
        question.file = scene.file(name, size, true);
        (question.covers, question.doubt) = (sought, 5);
        scene.file_at(question.file).packing = packed.then_some(crate::Packing::Gzip);
        scene.tail.conclude(question, &mut scene.todo);
        assert_eq!(scene.content_at(sought).known == 0, expected, "{what}");
    }
}

/// Records come in the order in which they were written, also where the log was looked at before its rotations.
#[test]
fn a_rotation_comes_before_its_log_only_if_that_was_looked_at_before_its_turn() {
    let cases: [(&str, Change, bool); 5] = [
        ("looked at before its turn", |scene, _| scene.it().ahead = true, true),
        ("read in its turn", |_, _| (), false),
        ("looked for", |scene, _| (scene.it().ahead, scene.it().state) = (true, State::Sought), false),
        ("looked for, in its turn", |scene, _| scene.it().state = State::Sought, false),
        (
            "of the same age",
            |scene, _| {
                scene.it().ahead = true;
                scene.it().file = scene.rotation;
            },
            false,
        ),
    ];
    for (what, change, first) in cases {
        let mut scene = Scene::new(&many(), 0);
        let mut question = scene.question(&many());
        change(&mut scene, &mut question);
        let (log, rotation) = (scene.content, scene.rotation);
        let new = scene.tail.contents.all.insert(Content::new(3, Some(FlowId(0)), NOW));
        scene.content_at(log).after = 77;
        scene.tail.families.insert(9, log);
        scene.tail.put_in_line(new, rotation, 9);
        let line = (scene.content_at(new).after, scene.content_at(log).after, scene.tail.families[&9]);
        assert_eq!(line, if first { (77, new, log) } else { (log, 77, new) }, "{what}");
    }
}

/// At the first start logs are followed from the end of their last line. Without a line end in reach a small file is one begun
/// line, and of a large one only what comes counts.
#[test]
fn a_file_without_a_line_end_is_followed_from_its_beginning_if_it_is_small_and_else_from_its_end() {
    let line = |length: usize| vec![b'x'; length];
    for (lowest, bytes, expected) in
        [(0, line(3_000), 0), (4_000, line(3_000), 7_000), (4_000, [line(1_500), b"\nxy".to_vec()].concat(), 5_501)]
    {
        let mut scene = Scene::new(&many(), 0);
        let question = scene.question(&bytes[..1_024]);
        let middle = lowest + 1_024;
        let end = lowest + bytes.len() as u64;
        let mut sample = scene.sample(scene.rotation, &[], &[]);
        for range in [lowest..middle, middle..end] {
            let bytes = bytes[(range.start - lowest) as usize..(range.end - lowest) as usize].to_vec();
            sample.parts.push(crate::Part { range, bytes });
        }
        scene.file_at(scene.rotation).size = end;
        scene.tail.follow_from_end(&question, &sample);
        let Outcome::Holds(content) = scene.outcome() else { panic!("{:?}", scene.outcome()) };
        let content = scene.content_at(content);
        assert_eq!((content.read, content.settled, content.known), (expected, expected, end));
    }
}

/// The end of the last line is looked for in the last sixteen kibibytes.
#[test]
fn at_the_first_start_the_last_sixteen_kibibytes_of_a_log_are_looked_through() {
    for (size, expected) in [
        (100_000, (0..16).map(|window| 83_616 + window * 1_024..84_640 + window * 1_024).collect::<Vec<_>>()),
        (1_500, vec![0..476, 476..1_500]),
    ] {
        let mut scene = Scene::new(&many(), 0);
        scene.tail.begun = false;
        let log = scene.log;
        (scene.file_at(log).skip, scene.file_at(log).size) = (true, size);
        let mut question = scene.question(&many());
        question.file = log;
        scene.tail.conclude(question, &mut scene.todo);
        let asked = scene.todo.iter().find_map(|todo| match todo {
            ToDo::Sample { ranges, .. } => Some(ranges.clone()),
            _ => None,
        });
        assert_eq!(asked, Some(expected));
    }
}

/// The log is looked at once more before its rotation counts as new.
mod the_log_answers {
    use super::*;

    /// What the log answers that holds these bytes.
    fn answers(scene: &mut Scene, question: Box<Question>, bytes: &[u8]) {
        let (log, number) = (scene.log, scene.content);
        let mut ranges = scene.tail.ranges_of_check(scene.tail.contents.get(number).unwrap());
        ranges.push(0..WINDOW);
        let sample = scene.sample(log, bytes, &ranges);
        scene.tail.log_answered(question, number, &sample, &mut scene.todo);
    }

    /// The rotation begins like the log, of which four lines were read: whether it is a copy shows when more is read. It does
    /// not wait for ever, and not for what nobody will read.
    #[test]
    fn a_rotation_that_begins_like_its_log_waits_until_more_of_that_was_read() {
        const LATER: Outcome = Outcome::Waits(250);
        let cases: [(&str, Change, Option<Outcome>, u8); 9] = [
            ("more is there", |_, _| (), Some(LATER), 1),
            ("it waited seven times", |scene, _| scene.file_at(scene.rotation).waits = 7, Some(LATER), 8),
            ("it waited eight times", |scene, _| scene.file_at(scene.rotation).waits = 8, None, 8),
            ("an archive does not wait", |_, question| question.packing = Some(crate::Packing::Gzip), None, 0),
            ("the log itself waits", |scene, _| scene.it().ahead = true, None, 0),
            (
                "nothing is there",
                |scene, _| {
                    scene.it().known = few().len() as u64;
                    scene.it().sure = few().len() as u64;
                },
                None,
                0,
            ),
            ("it begins differently", |scene, question| *question = *scene.question(&text('y', 0..40)), None, 0),
            ("it is empty", |scene, question| *question = *scene.question(&[]), None, 0),
            (
                "enough of the log is known by now to be compared",
                |scene, _| {
                    let lines = text('x', 0..10);
                    (scene.it().read, scene.it().settled) = (lines.len() as u64, lines.len() as u64);
                    scene.it().proof = Proof::of_beginning(&lines);
                },
                Some(Outcome::AsksOn),
                0,
            ),
        ];
        for (what, change, expected, waits) in cases {
            let mut scene = Scene::new(&many(), few().len());
            scene.it().found_at = NOW;
            let mut question = scene.question(&many());
            change(&mut scene, &mut question);
            // The log has as much as is known of it.
            let known = scene.it().known as usize;
            let alike =
                ["it waited eight times", "an archive does not wait", "the log itself waits", "nothing is there"];
            answers(&mut scene, question, &many()[..known]);
            match expected {
                Some(outcome) => assert_eq!(scene.outcome(), outcome, "{what}"),
                None => {
                    assert!(matches!(scene.outcome(), Outcome::Holds(_)), "{what}: {:?}", scene.outcome());
                    let bytes = alike.contains(&what).then_some((known.min(1_024) as u64, Again::EqualInDoubt));
                    assert_eq!(scene.said(), bytes, "{what}");
                }
            }
            assert_eq!(scene.file_at(scene.rotation).waits, waits, "{what}");
        }
    }

    /// What was known of the log when its rotation was compared with it has changed: the comparison is worth nothing.
    #[test]
    fn a_rotation_is_compared_anew_when_something_new_shows_of_its_log() {
        // Nothing was known of the log but its size.
        let mut scene = Scene::new(&many(), 0);
        scene.it().found_at = NOW;
        let question = scene.question(&text('y', 0..40));
        answers(&mut scene, question, &many());
        assert_eq!(scene.outcome(), Outcome::Waits(SOON));
        // It holds something else by now.
        let mut scene = Scene::new(&many(), 1_000);
        let question = scene.question(&text('y', 0..40));
        answers(&mut scene, question, &text('z', 0..40));
        assert_eq!(scene.outcome(), Outcome::Waits(SOON));
        // Its name leads to another file.
        let mut scene = Scene::new(&many(), 1_000);
        scene.it().found_at = NOW;
        let question = scene.question(&text('y', 0..40));
        let (number, whole) = (scene.content, 0..WINDOW);
        let sample = scene.sample(scene.rotation, &many(), std::slice::from_ref(&whole));
        scene.tail.log_answered(question, number, &sample, &mut scene.todo);
        assert_eq!(scene.outcome(), Outcome::Waits(SOON));
    }
}
