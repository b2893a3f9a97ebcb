//! Where content is looked for that has lost its place, for how long, and what is made of it in the end.
//! Promises for each condition of the search the story that only it decides.
//! Leaves what worlds come to that way to `rules::losses`.

use super::*;
use crate::Packing;
use crate::seen::{FlowId, Ticket};
use crate::tail::identify::{Question, Stage};
use crate::tail::scene::{NOW, Scene, few, many};
use crate::worlds::text;
use std::path::Path;

type Change = fn(&mut Scene);

/// A copy with this name, of this size, plain or packed.
fn copy(scene: &mut Scene, name: &str, size: u64, packed: bool) -> u32 {
    let file = scene.file(name, size, false);
    scene.file_at(file).packing = packed.then_some(Packing::Gzip);
    scene.file_at(file).standing = Standing::Holds(scene.content);
    scene.it().copies.push(file);
    file
}

/// What was lost for good: how many bytes, and why.
fn lost(scene: &Scene) -> Option<(u64, Loss)> {
    scene.todo.iter().find_map(|todo| match todo {
        ToDo::Say(Notice::Destroyed { bytes, reason, .. }) => Some((*bytes, *reason)),
        _ => None,
    })
}

fn look_for(scene: &mut Scene) {
    scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
    let home = scene.it().home.clone();
    scene.it().file = NONE;
    scene.it().state = State::Sought;
    let number = scene.content;
    scene.tail.seek(number, home);
}

/// Of several kept copies of a log that is gone, the wrong one ends before the log did, and the rest is lost.
#[test]
fn what_holds_the_most_of_a_log_is_read_and_plain_rather_than_packed_if_it_holds_all() {
    // Of 100 bytes 50 were read.
    type Copy = (u64, bool, bool);
    let plain = |size| (size, false, false);
    let packed = |size| (size, true, false);
    let refused = |size, packed| (size, packed, true);
    let cases: [(State, &[Copy], Option<usize>); 13] = [
        (State::Followed, &[plain(80), plain(60)], Some(0)),
        (State::Followed, &[plain(100), plain(120)], Some(1)),
        (State::Followed, &[plain(90), packed(10)], Some(1)),
        (State::Followed, &[plain(100), packed(500)], Some(0)),
        (State::Followed, &[packed(20), packed(10)], Some(0)),
        (State::Followed, &[plain(49)], None),
        (State::Followed, &[plain(50)], Some(0)),
        (State::Finished, &[plain(49)], Some(0)),
        (State::Sought, &[plain(49)], None),
        (State::Followed, &[refused(200, false), plain(60)], Some(1)),
        (State::Followed, &[refused(200, true), plain(60)], Some(1)),
        (State::Followed, &[refused(200, false)], Some(0)),
        (State::Followed, &[], None),
    ];
    for (state, copies, expected) in cases {
        let mut scene = Scene::new(&many(), 0);
        (scene.it().read, scene.it().known, scene.it().state) = (50, 100, state);
        let files: Vec<u32> = copies
            .iter()
            .enumerate()
            .map(|(number, (size, packed, refused))| {
                let file = copy(&mut scene, &format!("copy-{number}"), *size, *packed);
                scene.file_at(file).refused = *refused;
                file
            })
            .collect();
        let found = scene.tail.copy_to_go_on_in(scene.content);
        assert_eq!(found, expected.map(|number| files[number]), "{state:?} {copies:?}");
    }
}

/// What nothing holds any more is looked for, unless it is the agent's own, was read to its end, or sleeps.
#[test]
fn only_what_is_followed_for_somebody_is_looked_for() {
    let cases: [(&str, Change, State, bool); 5] = [
        ("followed", |_| (), State::Sought, true),
        ("the agent's own", |scene| scene.tail.settings.flows[0].owned = true, State::Finished, false),
        ("no pattern matches it any more", |scene| scene.it().flow = None, State::Followed, false),
        ("finished", |scene| scene.it().state = State::Finished, State::Finished, false),
        ("looked for already", |scene| scene.it().state = State::Sought, State::Sought, false),
    ];
    for (what, change, state, sought) in cases {
        let mut scene = Scene::new(&many(), 100);
        // What was sent of it is on its way still.
        (scene.it().file, scene.it().settled) = (NONE, 50);
        change(&mut scene);
        let number = scene.content;
        scene.tail.lose(number, &mut scene.todo);
        assert_eq!((scene.it().state, scene.tail.seeks.contains_key(&number)), (state, sought), "{what}");
    }
}

/// A copy was made when the log had two lines, and of its ten lines none was read: by those ten the log is still found.
#[test]
fn a_copy_of_less_than_the_known_beginning_is_no_place_to_go_on_in_while_nothing_was_read() {
    let beginning = many()[..1_024].to_vec();
    let cases: [(&str, u64, bool, Change, bool); 7] = [
        ("a part of the beginning", 1_023, false, |_| (), true),
        ("all of the beginning", 1_024, false, |_| (), false),
        ("more", 1_025, false, |_| (), false),
        ("an archive", 10, true, |_| (), false),
        ("something was read", 1_023, false, |scene| scene.it().read = 1, false),
        ("nothing is expected of it", 1_023, false, |scene| scene.it().state = State::Finished, false),
        ("looked for", 1_023, false, |scene| scene.it().state = State::Sought, false),
    ];
    for (what, size, packed, change, expected) in cases {
        let mut scene = Scene::new(&many(), 0);
        scene.it().proof = crate::Proof::of_beginning(&beginning);
        let copy = copy(&mut scene, "copy", size, packed);
        change(&mut scene);
        assert_eq!(scene.tail.is_fragment(scene.content, copy), expected, "{what}");
        if expected {
            scene.it().file = NONE;
            let number = scene.content;
            scene.tail.lose(number, &mut scene.todo);
            assert_eq!(scene.it().state, State::Sought);
        }
    }
}

/// A copy is compared before it is read on in; an archive does not change. How long the content is in an archive nobody knows.
#[test]
fn a_content_that_goes_on_in_a_copy_is_at_least_as_long_as_that() {
    for (state, size, packed, known, confirmed) in [
        (State::Followed, 1_500, false, 1_840, false),
        (State::Followed, 2_000, false, 2_000, false),
        (State::Sought, 2_000, false, 2_000, false),
        (State::Followed, 2_000, true, 1_840, true),
        (State::Followed, 100, true, 1_840, true),
        (State::Finished, 2_000, false, 1_840, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let copy = copy(&mut scene, "copy", size, packed);
        (scene.it().state, scene.it().at_end) = (state, true);
        if packed {
            (scene.it().read, scene.it().settled) = (0, 0);
        }
        let number = scene.content;
        scene.tail.go_on_in_copy(number, copy, &mut scene.todo);
        let it = scene.it();
        assert_eq!((it.file, it.known, it.confirmed), (copy, known, confirmed), "{state:?} {size} {packed}");
        assert_eq!(it.at_end, state == State::Finished);
        assert_eq!(
            it.proof.head.length, 500,
            "the copy holds all of the known beginning, or nobody knows what it holds"
        );
    }
}

/// A copy was made before the whole beginning was there: the content is known by what the copy holds of it from now on.
#[test]
fn of_a_beginning_only_as_much_is_remembered_as_the_copy_holds() {
    for (size, read, expected) in [
        (500, 0, 256),
        (500, 499, 256),
        (500, 500, 256),
        (500, 501, 1_024),
        (1_023, 0, 256),
        (1_024, 0, 1_024),
        (2_000, 0, 1_024),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        scene.it().read = read;
        let number = scene.content;
        scene.tail.goes_on_in(number, size);
        assert_eq!(scene.it().proof.head.length, expected, "{size} bytes, {read} read");
        let found = scene.tail.contents.alike(&many()).contains(&number);
        assert_eq!(found, expected == 1_024, "the rest of its beginning is no sign of it any more");
    }
}

/// The log counted as a copy when the agent stopped, and is none any more: it may have gone on meanwhile, and been put away.
#[test]
fn behind_a_log_that_is_no_copy_any_more_its_rest_is_looked_for() {
    let cases: [(&str, Change, bool); 6] = [
        ("it holds something else", |_| (), true),
        ("it is gone", |scene| scene.tail.places.remove_name(0), true),
        (
            "it is still a copy",
            |scene| {
                let log = scene.log;
                scene.it().copies.push(log)
            },
            false,
        ),
        ("the content lies there", |scene| scene.it().file = scene.log, false),
        (
            "no pattern matches it any more",
            |scene| scene.tail.places.names.get_mut(0).unwrap().is_matched = false,
            false,
        ),
        ("another flow reads it", |scene| scene.tail.places.names.get_mut(0).unwrap().flow = Some(FlowId(1)), false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        scene.it().file = scene.rotation;
        change(&mut scene);
        let number = scene.content;
        scene.tail.look_on_behind(number, (0, b"a.log".as_slice().into()));
        assert_eq!(scene.tail.seeks.contains_key(&number), expected, "{what}");
    }
}

/// The same while the agent runs: the log, which counted as a copy, was cut.
#[test]
fn behind_a_log_that_counted_as_a_copy_and_was_cut_its_rest_is_looked_for() {
    let cases: [(&str, Change, bool); 5] = [
        ("the log", |_| (), true),
        ("no log", |scene| scene.tail.places.names.get_mut(0).unwrap().is_live = false, false),
        (
            "no pattern matches it any more",
            |scene| scene.tail.places.names.get_mut(0).unwrap().is_matched = false,
            false,
        ),
        ("another flow reads it", |scene| scene.tail.places.names.get_mut(0).unwrap().flow = Some(FlowId(1)), false),
        ("the content is finished", |scene| scene.it().state = State::Finished, false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let (number, log) = (scene.content, scene.log);
        scene.it().file = scene.rotation;
        change(&mut scene);
        scene.tail.copy_was_cut(number, log);
        assert_eq!(scene.tail.seeks.contains_key(&number), expected, "{what}");
    }
}

/// The copy ends before the log did. How much an archive holds shows only when it is read: of two archives of beginnings each
/// is read once, the larger one last.
#[test]
fn after_a_copy_that_ends_too_early_only_what_may_hold_more_is_read() {
    // Of 1,840 bytes 500 were read, of a plain copy or of an archive of 200 bytes.
    for (short, size, packed, refused, expected) in [
        (false, 501, false, false, true),
        (false, 500, false, false, false),
        (false, 1, true, false, true),
        (false, 501, false, true, false),
        (true, 200, true, false, false),
        (true, 201, true, false, true),
        (true, 501, false, false, true),
        (true, 500, false, false, false),
    ] {
        let mut scene = Scene::new(&many(), 500);
        look_for(&mut scene);
        let ended = scene.file("short", 200, false);
        scene.file_at(ended).packing = short.then_some(Packing::Gzip);
        (scene.it().file, scene.it().state, scene.it().confirmed, scene.it().at_end) =
            (ended, State::Followed, true, true);
        let next = copy(&mut scene, "next", size, packed);
        scene.file_at(next).refused = refused;
        let number = scene.content;
        assert!(scene.tail.leave_short_copy(number, &mut scene.todo));
        let what = format!("after an archive: {short}, {size} bytes, packed: {packed}, refused: {refused}");
        let it = scene.it();
        assert_eq!(
            (it.file, it.state),
            if expected { (next, State::Followed) } else { (NONE, State::Sought) },
            "{what}"
        );
        assert_eq!(it.copies.to_vec(), if expected { vec![ended] } else { vec![next, ended] }, "{what}");
        assert_eq!(it.confirmed, !expected, "{what}");
    }
    // What nobody looks for has nothing to leave for.
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    assert!(!scene.tail.leave_short_copy(number, &mut scene.todo));
}

/// A log is looked for where it was, where it had names, and where rotation puts what was there.
#[test]
fn content_is_looked_for_beside_its_names_and_where_their_rotations_go() {
    let mut scene = Scene::new(&many(), 500);
    let folders = ["/k", "/old", "/other"].map(|path| scene.tail.places.folder(Path::new(path)));
    scene.tail.places.folders.get_mut(folders[1]).unwrap().sources = vec![folders[0]];
    scene.it().traces.push(folders[0]);
    let number = scene.content;
    let look = scene.tail.where_to_look(number, None);
    assert!([0, folders[0], folders[1]].iter().all(|folder| look.contains(folder)) && !look.contains(&folders[2]));
    assert!(look.is_sorted_by(|one, other| one < other), "each of them once");
    // Where nothing is known but the name.
    let home = (folders[2], b"a.log".as_slice().into());
    scene.it().file = NONE;
    scene.it().traces.clear();
    assert!(scene.tail.where_to_look(number, Some(&home)).contains(&folders[2]));
    // A search counts where it looks, and no longer.
    look_for(&mut scene);
    let sought = |scene: &Scene| scene.tail.places.folders.get(0).unwrap().sought;
    assert_eq!((sought(&scene), scene.tail.is_sought_in(0)), (1, true));
    look_for(&mut scene);
    assert_eq!(sought(&scene), 1);
    scene.tail.end_seek(number);
    assert_eq!((sought(&scene), scene.tail.is_sought_in(0)), (0, false));
}

/// A file of somebody else is asked again when a log beside it is lost, if nobody compared it yet or it came just before.
#[test]
fn strangers_are_asked_again_if_they_were_never_compared_or_judged_within_150_seconds() {
    for (standing, compared, judged_at, expected) in [
        (Standing::Ignored, false, 0, true),
        (Standing::Ignored, true, 0, false),
        (Standing::Ignored, true, 351, true),
        (Standing::Ignored, true, 350, false),
        (Standing::Ignored, true, 1, false),
        (Standing::Skipped, false, 0, false),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        let file = scene.file_at(rotation);
        (file.standing, file.compared, file.judged_at) = (standing, compared, judged_at);
        scene.tail.compare_again(0);
        assert_eq!(scene.tail.unproven.len(), usize::from(expected), "{standing:?}, {compared}, {judged_at}");
    }
    // Among many files, too.
    let mut scene = Scene::new(&many(), 500);
    for number in 0..300 {
        let file = scene.file(&format!("file-{number}"), 5, false);
        scene.file_at(file).standing = Standing::Ignored;
    }
    scene.tail.compare_again(0);
    assert_eq!(scene.tail.unproven.len(), 300);
    // In the first seconds of a clock nobody has judged anything.
    let mut scene = Scene::new(&many(), 500);
    scene.tail.now = Moment(5_000_000);
    let rotation = scene.rotation;
    (scene.file_at(rotation).standing, scene.file_at(rotation).compared) = (Standing::Ignored, true);
    scene.tail.compare_again(0);
    assert!(scene.tail.unproven.is_empty());
}

/// The folders were listed after the log was lost, and nothing in them is to be asked.
fn looked_through(scene: &mut Scene) {
    scene.tail.seeks.values_mut().for_each(|seek| seek.folders = vec![0]);
    let folder = scene.tail.places.folders.get_mut(0).unwrap();
    folder.listed_at = Some(NOW);
}

/// Nothing counts as destroyed before everything was looked at that may hold it.
#[test]
fn a_search_is_not_over_while_a_folder_is_listed_or_a_file_in_it_is_asked() {
    let cases: [(&str, Change, bool); 11] = [
        ("all was looked at", |_| (), false),
        (
            "the folder was listed before",
            |scene| scene.tail.places.folders.get_mut(0).unwrap().listed_at = Some(Moment(NOW.0 - 1)),
            true,
        ),
        ("the folder was never listed", |scene| scene.tail.places.folders.get_mut(0).unwrap().listed_at = None, true),
        ("it is listed", |scene| scene.tail.places.folders.get_mut(0).unwrap().listing = Some(Ticket(9)), true),
        ("the listing is compared", |scene| scene.tail.places.folders.get_mut(0).unwrap().sweep = Some(3), true),
        ("a file is to be asked", |scene| _ = scene.tail.unproven.insert((1, scene.rotation)), true),
        ("a file waits", |scene| _ = scene.tail.waiting.insert(scene.rotation), true),
        (
            "a file waits that nobody may read",
            |scene| {
                scene.file_at(scene.rotation).refused = true;
                scene.tail.waiting.insert(scene.rotation);
            },
            false,
        ),
        (
            "a file waits elsewhere",
            |scene| {
                let file = scene.file_in("/k", "a.log.1", 5, false);
                scene.tail.waiting.insert(file);
            },
            false,
        ),
        (
            "a file is asked",
            |scene| {
                let question: Box<Question> = scene.question(&many());
                assert_eq!(question.stage, Stage::Beginning);
                scene.tail.ask(Job::Identify(question));
            },
            true,
        ),
        ("something else is asked", |scene| _ = scene.tail.ask(Job::List(0)), false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        look_for(&mut scene);
        looked_through(&mut scene);
        change(&mut scene);
        let number = scene.content;
        assert_eq!(scene.tail.may_be_found(&scene.tail.seeks[&number]), expected, "{what}");
    }
}

/// A tool that copies and packs takes its time; after ten seconds nothing more comes, and after ten minutes nobody waits.
#[test]
fn content_is_looked_for_ten_seconds_or_as_long_as_something_may_hold_it_but_ten_minutes_at_most() {
    for (state, milliseconds, asked, over) in [
        (State::Sought, 9_999, false, false),
        (State::Sought, 10_000, false, true),
        (State::Sought, 10_000, true, false),
        (State::Sought, 599_999, true, false),
        (State::Sought, 600_000, true, true),
        (State::Followed, 1_999, false, false),
        (State::Followed, 2_000, false, true),
        (State::Followed, 2_000, true, false),
    ] {
        let mut scene = Scene::new(&many(), 500);
        look_for(&mut scene);
        looked_through(&mut scene);
        scene.it().state = state;
        if asked {
            scene.tail.unproven.insert((1, scene.rotation));
        }
        scene.tail.now = NOW.plus_ms(milliseconds);
        let number = scene.content;
        scene.tail.seek_on(number, &mut scene.todo);
        assert_eq!(scene.tail.seeks.contains_key(&number), !over, "{state:?}, {milliseconds} ms, asked: {asked}");
        let loss = (over && state == State::Sought).then_some((many().len() as u64 - 500, Loss::Truncated));
        assert_eq!(lost(&scene), loss, "{state:?}, {milliseconds} ms, asked: {asked}");
    }
}

/// While something is looked for its folders are listed each second, whatever the events say.
#[test]
fn folders_in_which_something_is_looked_for_are_listed_each_second() {
    for (milliseconds, expected) in [(999, false), (1_000, true)] {
        let mut scene = Scene::new(&many(), 500);
        look_for(&mut scene);
        looked_through(&mut scene);
        let folder = scene.tail.places.folders.get_mut(0).unwrap();
        (folder.due, folder.wants_everything) = (None, false);
        scene.tail.now = NOW.plus_ms(milliseconds);
        let number = scene.content;
        scene.tail.seek_on(number, &mut scene.todo);
        assert_eq!(scene.tail.places.folders.get(0).unwrap().wants_everything, expected, "{milliseconds} ms");
    }
}

/// What is said to be destroyed is believed: the number of bytes, why, and that a copy of the beginning was read first.
#[test]
fn in_the_end_a_copy_of_the_beginning_is_read_or_what_is_missing_counts_as_destroyed() {
    fn in_archive(scene: &mut Scene) {
        scene.it().file = scene.rotation;
        (scene.file_at(scene.rotation).packing, scene.file_at(scene.rotation).size) = (Some(Packing::Gzip), 77);
    }
    let rest = many().len() as u64 - 500;
    type Case<'a> = (&'a str, usize, Change, Option<(u64, Loss)>, State);
    let cases: [Case<'_>; 7] = [
        ("nothing holds it", 500, |_| (), Some((rest, Loss::Truncated)), State::Finished),
        (
            "its file is still known",
            500,
            |scene| scene.it().file = scene.log,
            Some((rest, Loss::Deleted)),
            State::Finished,
        ),
        ("an archive that could not be read", 500, in_archive, Some((77, Loss::Deleted)), State::Finished),
        (
            "an archive that was read",
            500,
            |scene| {
                in_archive(scene);
                scene.it().at_end = true;
            },
            Some((rest, Loss::Deleted)),
            State::Finished,
        ),
        (
            "a copy of what was read",
            500,
            |scene| _ = copy(scene, "copy", 300, false),
            Some((rest, Loss::Truncated)),
            State::Finished,
        ),
        (
            "nothing was read, and a copy of the beginning is there",
            0,
            |scene| _ = copy(scene, "copy", 300, false),
            None,
            State::Followed,
        ),
        (
            "nothing was read, and nothing is there",
            0,
            |_| (),
            Some((many().len() as u64, Loss::Truncated)),
            State::Finished,
        ),
    ];
    for (what, read, change, loss, state) in cases {
        let mut scene = Scene::new(&many(), read);
        look_for(&mut scene);
        change(&mut scene);
        let (number, copies) = (scene.content, scene.it().copies.to_vec());
        scene.tail.give_up(number, &mut scene.todo);
        assert_eq!((lost(&scene), scene.it().state), (loss, state), "{what}");
        assert_eq!(scene.it().destroyed, loss.map_or(0, |(bytes, _)| bytes), "{what}");
        if let [copy] = copies[..] {
            // The beginning of what was read is a content of its own, as after a cut: more may come behind it.
            let Standing::Holds(holds) = scene.file_at(copy).standing else { panic!("{what}: nothing is known of it") };
            let there = scene.tail.contents.get(holds).unwrap();
            assert_eq!((holds == number, there.file, there.read), (read == 0, copy, read.min(300) as u64), "{what}");
        }
    }
}

/// Too little was read to tell a rotation, which was sent as something new: what is missing came with that.
#[test]
fn what_was_sent_in_doubt_under_a_name_of_the_log_is_not_destroyed() {
    struct Other {
        name: &'static str,
        id: u64,
        size: u64,
        packing: Option<Packing>,
        at_end: bool,
    }
    let plain = |name, size| Other { name, id: 5, size, packing: None, at_end: false };
    let packed = |size, at_end| Other { name: "a.log.7", id: 5, size, packing: Some(Packing::Gzip), at_end };
    let cases: [(&str, Other, bool); 9] = [
        ("a rotation", plain("a.log.7", 1_840), true),
        ("the log", plain("a.log", 1_841), true),
        ("a shorter rotation", plain("a.log.7", 1_839), false),
        ("another log", plain("b.log.7", 1_840), false),
        ("what was there before", Other { id: 0, ..plain("a.log.7", 1_840) }, false),
        ("itself", Other { id: 1, ..plain("a.log.7", 1_840) }, false),
        ("an archive that holds as much", packed(1_840, true), true),
        ("an archive that holds less", packed(1_839, true), false),
        ("an archive that is still read", packed(9, false), true),
    ];
    for (what, other, expected) in cases {
        let mut scene = Scene::new(&many(), few().len());
        for name in [&b"a.log"[..], b"a.log.1"] {
            let name = scene.tail.places.find_name(0, name).unwrap();
            scene.tail.places.remove_name(name);
        }
        look_for(&mut scene);
        let mut content = Content::new(other.id, Some(FlowId(0)), NOW);
        (content.known, content.at_end) = (other.size, other.at_end);
        let content = scene.tail.contents.all.insert(content);
        let size = if other.packing.is_some() { 9 } else { other.size };
        let file = scene.file(other.name, size, false);
        (scene.file_at(file).packing, scene.file_at(file).standing) = (other.packing, Standing::Holds(content));
        assert_eq!(scene.tail.is_covered(scene.content, &[0]), expected, "{what}");
        // Among many files, too.
        let names = std::mem::take(&mut scene.tail.places.folders.get_mut(0).unwrap().names);
        (0..300).for_each(|number| _ = scene.file(&format!("file-{number}"), 5, false));
        scene.tail.places.folders.get_mut(0).unwrap().names.extend(names);
        assert_eq!(scene.tail.is_covered(scene.content, &[0]), expected, "{what}");
        // Enough is known to tell that it is something else.
        let lines = text('x', 0..10);
        (scene.it().read, scene.it().proof) = (lines.len() as u64, crate::Proof::of_beginning(&lines));
        assert!(!scene.tail.is_covered(scene.content, &[0]), "{what}");
    }
    // And nothing is said then, or read once more out of a copy.
    let mut scene = Scene::new(&many(), 0);
    look_for(&mut scene);
    copy(&mut scene, "copy", 300, false);
    looked_through(&mut scene);
    let content = scene.tail.contents.all.insert(Content::new(5, Some(FlowId(0)), NOW));
    (scene.file_at(scene.rotation).standing, scene.file_at(scene.rotation).size) = (Standing::Holds(content), 2_000);
    let number = scene.content;
    scene.tail.give_up(number, &mut scene.todo);
    assert_eq!((lost(&scene), scene.it().destroyed, scene.it().state), (None, 0, State::Finished));
}

/// Ten thousand finished logs without a place are remembered, to know copies of them; then the oldest is forgotten.
#[test]
fn the_oldest_of_more_than_ten_thousand_finished_contents_without_a_place_is_forgotten() {
    let cases: [(&str, Change, bool); 4] = [
        ("finished", |_| (), true),
        ("it has turned up", |scene| scene.it().file = scene.log, false),
        ("it goes on", |scene| scene.it().state = State::Followed, false),
        ("another has its number", |scene| scene.it().id = 99, false),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        (scene.it().file, scene.it().state) = (NONE, State::Finished);
        scene.file_at(scene.log).standing = Standing::Unproven;
        let number = scene.content;
        scene.tail.flows[0].gauge.files = 1;
        scene.tail.remember_gone(number);
        let last = scene.tail.contents.all.insert(Content::new(3, None, NOW));
        scene.tail.contents.get_mut(last).unwrap().state = State::Finished;
        change(&mut scene);
        scene.tail.gone.extend(std::iter::repeat_n((u32::MAX, 0), MOST_GONE - 2));
        scene.tail.remember_gone(last);
        assert!(scene.tail.contents.get(number).is_some(), "{what}: there is room for all");
        scene.tail.remember_gone(last);
        assert_eq!(scene.tail.contents.get(number).is_none(), expected, "{what}");
        assert_eq!(scene.tail.forgotten, if expected { vec![1] } else { Vec::new() }, "{what}");
        assert_eq!(scene.tail.gone.len(), MOST_GONE, "{what}");
    }
    // What lies somewhere or is still on its way is not among them.
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    scene.tail.remember_gone(number);
    (scene.it().file, scene.it().settled) = (NONE, 5);
    scene.tail.remember_gone(number);
    assert!(scene.tail.gone.is_empty());
}

/// The agent's own files are deleted when everything of them is settled, so their content is forgotten then, and counts no more.
#[test]
fn what_is_forgotten_counts_no_more() {
    for (state, settled, expected) in
        [(State::Finished, 500, true), (State::Finished, 499, false), (State::Followed, 500, false)]
    {
        let mut scene = Scene::new(&many(), 500);
        (scene.it().state, scene.it().settled, scene.it().counted) = (state, settled, 40);
        let rotation = scene.rotation;
        scene.it().copies.push(rotation);
        (scene.tail.flows[0].gauge.files, scene.tail.flows[0].gauge.lag) = (3, 100);
        let (number, files) = (scene.content, [scene.log, scene.rotation]);
        scene.tail.forget_if_over(number);
        let gauge = scene.tail.gauge(FlowId(0));
        assert_eq!((gauge.files, gauge.lag), if expected { (2, 60) } else { (3, 100) }, "{state:?} {settled}");
        let ignored = files.iter().all(|file| scene.file_at(*file).standing == Standing::Ignored);
        assert_eq!(ignored, expected);
    }
}

/// A file without a name is kept for the content that it holds, or for what its writer may still put there.
#[test]
fn a_file_without_a_name_is_kept_only_for_what_it_holds_or_may_get() {
    let cases: [(&str, Change, bool); 4] = [
        ("a content lies there", |_| (), true),
        ("a content has a copy there", |scene| scene.it().file = scene.rotation, false),
        ("nobody's content", |scene| scene.file_at(scene.log).standing = Standing::Ignored, false),
        (
            "it has a name",
            |scene| {
                scene.file_at(scene.log).standing = Standing::Ignored;
                scene.tail.places.insert_name(0, b"b.log".as_slice().into(), scene.log);
            },
            true,
        ),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        scene.tail.places.remove_name(0);
        change(&mut scene);
        scene.tail.forget_file_if_bare(log);
        assert_eq!(scene.tail.places.files.get(log).is_some(), expected, "{what}");
    }
}

/// An operator finds a log in the reports under the name by which a pattern matched it, wherever it lies by now.
#[test]
fn a_content_keeps_the_name_by_which_a_pattern_matched_it() {
    let home = |scene: &Scene, file| {
        let home = scene.tail.home_without_name(scene.content, file);
        home.map(|home| scene.tail.places.path(home.0, &home.1))
    };
    let path = Some(std::path::PathBuf::from("/l/a.log"));
    let scene = Scene::new(&many(), 500);
    assert_eq!(home(&scene, scene.rotation), path, "it moves away from the name");
    assert_eq!(home(&scene, scene.log), None, "the file has such a name itself");
    let mut scene = Scene::new(&many(), 500);
    look_for(&mut scene);
    assert_eq!(home(&scene, scene.rotation), path, "it is looked for under that name");
    let at_home = |scene: &Scene| scene.tail.home_of(scene.tail.contents.get(scene.content).unwrap());
    assert_eq!(Some(at_home(&scene)), path);
    scene.it().home = None;
    scene.it().file = scene.rotation;
    assert_eq!(at_home(&scene), Path::new("/l/a.log.1"), "nothing else is known of it");
    let target = crate::places::Target {
        name: b"a.log.1".as_slice().into(),
        flow: FlowId(0),
        link: (0, b"link.log".as_slice().into()),
    };
    scene.tail.places.folders.get_mut(0).unwrap().targets.push(target);
    assert_eq!(at_home(&scene), Path::new("/l/link.log"), "a link leads to it");
    scene.it().home = Some(Box::new((0, b"old.log".as_slice().into())));
    assert_eq!(at_home(&scene), Path::new("/l/old.log"));
    scene.it().file = scene.log;
    assert_eq!(at_home(&scene), Path::new("/l/a.log"), "a pattern matches where it lies");
    assert_eq!(scene.tail.target_home(0, b"a.log"), None);
    assert_eq!(scene.tail.target_home(0, b"a.log.1"), Some((0, b"link.log".as_slice().into())));
}
