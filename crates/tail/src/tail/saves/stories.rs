//! What is saved, when, and what the next life makes of it.
//! Promises for each field of a row the story that needs it.
//! Leaves the format to the checkpoint.

use super::*;
use crate::FileKey;
use crate::seen::{Moment, Ticket};
use crate::tail::scene::{NOW, Scene, many};
use std::cmp::Reverse;
use std::path::PathBuf;

fn saved(todo: &[ToDo]) -> usize {
    todo.iter().filter(|todo| matches!(todo, ToDo::Save(_))).count()
}

/// The machine has just started, and its clock with it: the first row does not wait.
#[test]
fn the_first_row_is_saved_at_once_and_the_next_ones_twenty_milliseconds_apart() {
    for (now, saved_at, expected) in [(5, 0, 1), (119, 100, 0), (120, 100, 1)] {
        let mut scene = Scene::new(&many(), 1_000);
        (scene.tail.now, scene.tail.saved_at) = (Moment(now * 1_000), Moment(saved_at * 1_000));
        let number = scene.content;
        scene.tail.mark_dirty(number);
        scene.tail.save_rows(&mut scene.todo);
        assert_eq!(saved(&scene.todo), expected, "{now} ms");
    }
}

/// A thousand logs changed at once: they are saved in parts, and nothing wakes the agent when all are.
#[test]
fn many_rows_are_saved_a_part_in_each_step_until_none_is_left() {
    for (rows, again) in [(AT_A_TIME, false), (AT_A_TIME + 1, true)] {
        let mut scene = Scene::new(&many(), 1_000);
        for number in 0..rows as u64 {
            let content = scene.tail.contents.all.insert(Content::new(number + 10, None, NOW));
            scene.tail.mark_dirty(content);
        }
        // Their time has come.
        scene.tail.due.clear();
        scene.tail.rows_at = NEVER;
        scene.tail.save_rows(&mut scene.todo);
        assert_eq!(saved(&scene.todo), AT_A_TIME);
        let due = scene.tail.due.iter().any(|Reverse(due)| *due == (NOW.plus_ms(SAVES_APART), Due::Rows));
        assert_eq!(due, again, "{rows} rows");
    }
}

/// What comes after the start counts from its beginning, so the start is over only when everything was decided that was there,
/// and saved.
#[test]
fn the_start_is_over_when_nothing_is_asked_or_listed_and_the_rows_of_before_are_saved() {
    type Change = fn(&mut Scene);
    let cases: [(&str, Change, bool); 6] = [
        ("nothing is to be done", |_| (), true),
        (
            "a file is asked",
            |scene| {
                let question = scene.question(&many());
                scene.tail.ask(Job::Identify(question));
            },
            false,
        ),
        (
            "a folder is listed for the first time",
            |scene| {
                let folder = scene.tail.places.folders.get_mut(0).unwrap();
                (folder.is_home, folder.is_watched, folder.listings) = (true, true, 0);
            },
            false,
        ),
        ("a row is to be saved", |scene| scene.tail.rows_first = Some(1), false),
        ("the rows of before are saved", |scene| scene.tail.rows_first = Some(0), true),
        (
            "a file whose end is looked for is to be asked",
            |scene| {
                scene.tail.skips = true;
                scene.tail.unproven.insert((1, scene.rotation));
            },
            false,
        ),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 1_000);
        scene.tail.begun = false;
        let folder = scene.tail.places.folders.get_mut(0).unwrap();
        (folder.is_watched, folder.listings) = (true, 2);
        change(&mut scene);
        scene.tail.begin(&mut scene.todo);
        assert_eq!(scene.tail.begun, expected, "{what}");
        assert_eq!(scene.todo.iter().any(|todo| matches!(todo, ToDo::Begun)), expected, "{what}");
    }
}

/// The next life believes what a row says of its content: as finished it would read nothing of what came meanwhile, as new it
/// takes its rotations for new ones.
#[test]
fn a_row_tells_whether_its_content_is_new_finished_or_sought() {
    type Change = fn(&mut Scene);
    let new: Change = |scene| scene.it().found_at = NOW;
    let finished: Change = |scene| scene.it().state = State::Finished;
    let cases: [(&str, &[Change], SavedState); 9] = [
        ("followed for long", &[], SavedState::Followed),
        ("just found", &[new], SavedState::New),
        ("finished", &[finished], SavedState::Finished),
        ("finished, and not settled", &[finished, |scene| scene.it().settled = 5], SavedState::Followed),
        ("followed, and not settled", &[|scene| scene.it().settled = 5], SavedState::Followed),
        ("just found, and finished as its copy lies there", &[new, finished], SavedState::New),
        (
            "an archive that was read to its end",
            &[new, finished, |scene| scene.it().at_end = true],
            SavedState::Finished,
        ),
        (
            "a rotation that was read to its end",
            &[new, finished, |scene| scene.it().file = scene.rotation],
            SavedState::Finished,
        ),
        ("looked for", &[new, |scene| scene.it().state = State::Sought], SavedState::Sought),
    ];
    for (what, changes, expected) in cases {
        let mut scene = Scene::new(&many(), 1_000);
        scene.tail.places.folders.get_mut(0).unwrap().listed_at = Some(NOW);
        changes.iter().for_each(|change| change(&mut scene));
        let content = scene.tail.contents.get(scene.content).unwrap();
        assert_eq!(scene.tail.row(scene.content, content).state, expected, "{what}");
    }
}

/// Until the folder was listed once more and all is judged that was found, a rotation may turn up that nobody has seen.
#[test]
fn a_content_is_new_for_a_minute_and_until_its_folder_was_looked_at_once_more() {
    type Change = fn(&mut Scene);
    let ago = |scene: &mut Scene, milliseconds: u64| scene.it().found_at = Moment(NOW.0 - milliseconds * 1_000);
    let cases: [(&str, Change, bool); 11] = [
        ("a row knew it", |scene| scene.it().found_at = NEVER, false),
        ("a minute old", |_| (), false),
        ("a bit younger", |scene| scene.it().found_at = Moment(NOW.0 - 59_999_000), true),
        (
            "a minute old to the millisecond",
            |scene| {
                scene.it().found_at = Moment(NOW.0 - 60_000_000);
                scene.tail.places.folders.get_mut(0).unwrap().listed_at = Some(NOW);
            },
            false,
        ),
        ("listed when it was found", |scene| scene.it().found_at = Moment(400_000_000), true),
        ("listed right after it was found", |scene| scene.it().found_at = Moment(399_999_999), false),
        ("being listed", |scene| scene.tail.places.folders.get_mut(0).unwrap().listing = Some(Ticket(9)), true),
        ("a listing is compared", |scene| scene.tail.places.folders.get_mut(0).unwrap().sweep = Some(3), true),
        (
            "a file is to be asked",
            |scene| {
                scene.tail.unproven.insert((1, scene.rotation));
            },
            true,
        ),
        ("255 rows are to be saved", |scene| scene.tail.dirty.extend(0..255), false),
        ("256 rows are to be saved", |scene| scene.tail.dirty.extend(0..256), true),
    ];
    for (what, change, expected) in cases {
        let mut scene = Scene::new(&many(), 1_000);
        scene.tail.places.folders.get_mut(0).unwrap().listed_at = Some(Moment(400_000_000));
        ago(&mut scene, 110_000);
        change(&mut scene);
        let content = scene.tail.contents.get(scene.content).unwrap();
        assert_eq!(scene.tail.is_new(content), expected, "{what}");
    }
}

/// What is read without a name is saved under the name it had; a copy without a name is no place to look at.
#[test]
fn of_the_places_without_a_name_only_the_one_that_is_read_is_saved() {
    let mut scene = Scene::new(&many(), 1_000);
    let (log, rotation) = (scene.log, scene.rotation);
    scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
    scene.it().copies.push(rotation);
    for name in [&b"a.log"[..], b"a.log.1"] {
        let name = scene.tail.places.find_name(0, name).unwrap();
        scene.tail.places.remove_name(name);
    }
    let key = scene.file_at(log).key;
    let content = scene.tail.contents.get(scene.content).unwrap();
    let places: Vec<(PathBuf, FileKey)> =
        scene.tail.row(scene.content, content).places.into_iter().map(|place| (place.path, place.key)).collect();
    assert_eq!(places, [(PathBuf::from("/l/a.log"), key)]);
}

fn key(inode: u64) -> FileKey {
    FileKey { device: 1, inode, born: 5 }
}

fn place(path: &str, inode: u64) -> SavedPlace {
    SavedPlace { path: path.into(), key: key(inode), size: 100, changed: 1, quiet: true, packing: 0 }
}

fn row(id: u64, state: SavedState, position: u64, places: Vec<SavedPlace>) -> Row {
    Row { id: ContentId(id), home: "/l/a.log".into(), state, position, known: 100, places, ..Row::default() }
}

fn tail() -> Tail {
    let flows = vec![crate::FlowSettings::default()];
    Tail::new(crate::Settings { flows, ..crate::Settings::default() })
}

/// A log that was new in the life before, and of which nothing was read, comes after its rotations in this life, too.
#[test]
fn only_what_was_new_and_not_read_is_still_ahead_of_its_turn() {
    for (state, position, expected) in [
        (SavedState::New, 0, (true, true)),
        (SavedState::New, 5, (true, false)),
        (SavedState::Followed, 0, (false, false)),
        (SavedState::Followed, 5, (false, false)),
    ] {
        let mut tail = tail();
        tail.remember(row(1, state, position, vec![place("/l/a.log", 7)]), Some(FlowId(0)));
        let content = tail.contents.all.iter().next().unwrap().1;
        assert_eq!((content.found_at != NEVER, content.ahead), expected, "{state:?} {position}");
    }
}

/// What has no place or was looked for is looked for; and so is, under its name, the log that counted as a copy of it.
#[test]
fn what_the_rows_of_the_life_before_leave_to_be_looked_for_is_remembered() {
    let log: Home = (0, b"a.log".as_slice().into());
    for (what, state, places, expected) in [
        ("it lies at its name", SavedState::Followed, vec![place("/l/a.log", 7)], vec![]),
        ("it was looked for", SavedState::Sought, vec![place("/l/a.log", 7)], vec![None]),
        ("it has no place", SavedState::Followed, vec![], vec![None]),
        (
            "the log counts as a copy",
            SavedState::Followed,
            vec![place("/l/a.log.1", 7), place("/l/a.log", 8)],
            vec![Some(log)],
        ),
        (
            "something else counts as a copy",
            SavedState::Followed,
            vec![place("/l/a.log.1", 7), place("/l/a.log.2", 8)],
            vec![],
        ),
    ] {
        let mut tail = tail();
        tail.remember(row(1, state, 5, places), Some(FlowId(0)));
        let remembered: Vec<Option<Home>> = tail.remembered.iter().map(|(_, log)| log.clone()).collect();
        assert_eq!(remembered, expected, "{what}");
        assert_eq!(tail.gauge(FlowId(0)).files, 1);
    }
}

/// The log of a rotation is known by both names; a rotation is not the log of its log.
#[test]
fn the_log_of_a_row_is_known_by_its_name() {
    for (home, path, expected) in [
        ("/l/a.log", "/l/a.log", true),
        ("/l/a.log.1", "/l/a.log", true),
        ("/l/a.log.1", "/k/a.log", true),
        ("/l/a.log", "/l/a.log.1", false),
        ("/l/a.log", "/l/b.log", false),
        ("/l/a.log", "/k/a.log", false),
    ] {
        let mut tail = tail();
        let found = tail.log_by_name(Path::new(home), Path::new(path));
        let paths = found.map(|(folder, name)| tail.places.path(folder, &name));
        assert_eq!(paths, expected.then(|| path.into()), "{home}, {path}");
    }
}

/// A log was cut and written anew just before the agent was killed, so that two rows name its file: what was seen there last
/// lies there, and the other is looked for.
#[test]
fn of_two_contents_that_were_saved_at_one_file_the_younger_one_lies_there() {
    for ids in [[1, 2], [2, 1]] {
        let mut tail = tail();
        for id in ids {
            tail.remember(row(id, SavedState::Followed, 5, vec![place("/l/a.log", 7)]), Some(FlowId(0)));
        }
        let file = tail.places.find_file(key(7)).unwrap();
        let at = |id: u64| tail.contents.all.iter().find(|(_, content)| content.id == id).unwrap();
        assert_eq!((at(2).1.file, at(1).1.file), (file, NONE), "{ids:?}");
        assert_eq!(tail.places.files.get(file).map(|file| file.standing), Some(Standing::Holds(at(2).0)));
        assert_eq!(tail.remembered.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [at(1).0]);
    }
}
