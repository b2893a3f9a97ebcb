//! When folders are listed, and what they hold then.
//! Promises for each condition the story that only it decides.
//! Leaves what a listing says of names and files to its parts.

use super::*;
use crate::Packing;
use crate::content::Content;
use crate::seen::Moment;
use crate::tail::scene::{NOW, Outcome, Scene, many};
use std::cmp::Reverse;

mod files;
mod names;

type Change = fn(&mut Scene);

fn folder(scene: &mut Scene) -> &mut crate::places::Folder {
    scene.tail.places.folders.get_mut(0).unwrap()
}

/// In how many milliseconds the folder is listed.
fn listed_in(scene: &Scene, number: u32) -> Option<u64> {
    let due = scene.tail.places.folders.get(number).unwrap().due?;
    let at = Reverse((due, Due::Folder(number)));
    assert!(scene.tail.due.iter().any(|other| *other == at), "it is woken for it");
    Some(due.ms_since(scene.tail.now))
}

fn lists(scene: &Scene) -> Option<bool> {
    scene.todo.iter().find_map(|todo| match todo {
        ToDo::List { everything, .. } => Some(*everything),
        _ => None,
    })
}

fn entry(scene: &mut Scene, file: u32, name: &str, flow: Option<FlowId>) -> Entry {
    let entry = scene.file_at(file);
    let status = Status { key: entry.key, size: entry.size, changed: entry.changed, names: 1 };
    Entry { name: name.as_bytes().into(), status: Some(status), flow, kin: None, skip: false, hops: Vec::new() }
}

/// Listing costs most of what an idle agent does: nothing is listed before its time, and nothing twice at once.
#[test]
fn a_folder_is_listed_at_the_earliest_moment_that_was_wanted_and_of_ever_larger_ones_less_often() {
    for (first, second, expected) in [(100, 50, 50), (50, 100, 50), (50, 50, 50)] {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.list_soon(0, first, true);
        scene.tail.list_soon(0, second, false);
        assert_eq!((listed_in(&scene, 0), folder(&mut scene).wants_everything), (Some(expected), true));
        assert_eq!(scene.tail.due.len(), if second < first { 2 } else { 1 });
    }
    for (seen, expected) in [(0, 0), (1_000, 30), (20_000, 600), (100_000, 1_000)] {
        let mut scene = Scene::new(&many(), 500);
        folder(&mut scene).seen = seen;
        scene.tail.list_in_turn(0, false);
        assert_eq!((listed_in(&scene, 0), folder(&mut scene).wants_everything), (Some(expected), false));
    }
    let mut scene = Scene::new(&many(), 500);
    scene.tail.started = None;
    scene.tail.list_soon(0, 0, true);
    assert!(scene.tail.due.is_empty(), "before the start nothing is listed");
}

/// What is a rotation elsewhere shows only when the names of the logs are known: their folders come first.
#[test]
fn a_folder_is_listed_when_it_is_due_and_no_listing_of_it_or_of_its_logs_is_on_its_way() {
    #[derive(Debug, PartialEq)]
    enum Then {
        Nothing,
        Lists(bool),
        Later(u64),
    }
    fn source(scene: &mut Scene) -> &mut crate::places::Folder {
        let home = scene.tail.places.folder(Path::new("/home"));
        folder(scene).sources.push(home);
        let home = scene.tail.places.folders.get_mut(home).unwrap();
        (home.is_home, home.listings, home.listed_at) = (true, 2, Some(NOW));
        home
    }
    let home: Change = |scene| folder(scene).is_home = true;
    let cases: [(&str, &[Change], Then); 17] = [
        ("patterns lead there", &[home], Then::Lists(false)),
        ("all names are wanted", &[home, |scene| folder(scene).wants_everything = true], Then::Lists(true)),
        ("no pattern leads there", &[], Then::Lists(true)),
        (
            "links lead there",
            &[home, |scene| {
                folder(scene).targets.push(Target { name: (*b"x").into(), flow: FlowId(0), link: (0, (*b"y").into()) });
            }],
            Then::Lists(true),
        ),
        ("not yet", &[home, |scene| folder(scene).due = Some(NOW.plus_ms(1))], Then::Nothing),
        ("not wanted", &[home, |scene| folder(scene).due = None], Then::Nothing),
        ("it is listed", &[home, |scene| folder(scene).listing = Some(Ticket(9))], Then::Later(5)),
        ("a listing of it is compared", &[home, |scene| folder(scene).sweep = Some(9)], Then::Later(5)),
        ("its logs are known", &[|scene| _ = source(scene)], Then::Lists(true)),
        ("its logs are not known yet", &[|scene| source(scene).listings = 0], Then::Later(5)),
        (
            "no pattern leads to where it comes from",
            &[|scene| (source(scene).is_home, source(scene).listings) = (false, 0)],
            Then::Lists(true),
        ),
        (
            "its logs may not be listed",
            &[|scene| {
                let home = source(scene);
                (home.refused, home.listed_at) = (true, None);
            }],
            Then::Later(1_000),
        ),
        (
            "the first listing of its logs failed",
            &[|scene| {
                let home = source(scene);
                (home.listings, home.listed_at) = (1, None);
            }],
            Then::Later(1_000),
        ),
        (
            "its logs are listed again after a first listing that failed",
            &[|scene| {
                let home = source(scene);
                (home.listings, home.listing, home.listed_at) = (2, Some(Ticket(9)), None);
            }],
            Then::Later(1_000),
        ),
        (
            "the first listing of its logs is compared",
            &[|scene| {
                let home = source(scene);
                (home.listings, home.sweep, home.listed_at) = (1, Some(9), None);
            }],
            Then::Later(5),
        ),
        ("its logs may not be listed any more", &[|scene| source(scene).refused = true], Then::Lists(true)),
        (
            "it has logs itself, and those elsewhere may not be listed",
            &[home, |scene| {
                let home = source(scene);
                (home.refused, home.listed_at) = (true, None);
            }],
            Then::Lists(false),
        ),
    ];
    for (what, changes, then) in cases {
        let mut scene = Scene::new(&many(), 500);
        (folder(&mut scene).due, folder(&mut scene).seen) = (Some(NOW), 7);
        changes.iter().for_each(|change| change(&mut scene));
        if what.starts_with("no pattern leads to where") {
            for source in folder(&mut scene).sources.clone() {
                let source = scene.tail.places.folders.get_mut(source).unwrap();
                (source.is_home, source.listings) = (false, 0);
            }
        }
        scene.tail.list_if_due(0, &mut scene.todo);
        let came = match (lists(&scene), listed_in_quietly(&scene)) {
            (Some(everything), _) => Then::Lists(everything),
            (None, Some(milliseconds)) if what != "not yet" => Then::Later(milliseconds),
            _ => Then::Nothing,
        };
        assert_eq!(came, then, "{what}");
        let watched = scene.todo.iter().any(|todo| matches!(todo, ToDo::Watch { .. }));
        let is_listed = matches!(then, Then::Lists(_));
        assert_eq!((watched, folder(&mut scene).listings), (is_listed, u32::from(is_listed)), "{what}");
        assert_eq!(folder(&mut scene).seen, if is_listed { 0 } else { 7 });
        // It is watched once.
        if is_listed {
            (folder(&mut scene).listing, folder(&mut scene).due) = (None, Some(NOW));
            scene.todo.clear();
            scene.tail.list_if_due(0, &mut scene.todo);
            assert!(scene.todo.iter().all(|todo| !matches!(todo, ToDo::Watch { .. })), "{what}");
        }
    }
}

fn listed_in_quietly(scene: &Scene) -> Option<u64> {
    scene.tail.places.folders.get(0).unwrap().due.map(|due| due.ms_since(scene.tail.now))
}

/// Where rotation puts what lies in a folder: the usual places, and those that the operator names.
#[test]
fn rotations_are_expected_beside_a_folder_above_it_and_where_the_settings_say() {
    let mut scene = Scene::new(&many(), 500);
    scene.tail.settings.flows[0].rotated_to = vec!["/l".into(), "/away".into()];
    for _ in 0..2 {
        scene.tail.know_rotations(0);
    }
    for path in ["/l/rotated", "/l/old", "/l/archive", "/rotated", "/away"] {
        let number = scene.tail.places.folder(Path::new(path));
        assert_eq!(scene.tail.places.folders.get(number).unwrap().sources, [0], "{path}");
        assert_eq!(listed_in(&scene, number), Some(0), "{path}");
    }
    assert!(folder(&mut scene).sources.is_empty() && folder(&mut scene).due.is_none(), "it is no place of its own");
    // What was listed or is to be listed needs nothing more.
    for (listings, due) in [(1, None), (0, Some(NOW.plus_ms(70)))] {
        let mut scene = Scene::new(&many(), 500);
        let old = scene.tail.places.folder(Path::new("/l/old"));
        let place = scene.tail.places.folders.get_mut(old).unwrap();
        (place.listings, place.due) = (listings, due);
        scene.tail.know_rotations(0);
        assert_eq!(scene.tail.places.folders.get(old).unwrap().due, due);
    }
}

#[test]
fn patterns_lead_to_a_folder_until_they_do_not_and_its_events_are_missed_at_once() {
    let mut scene = Scene::new(&many(), 500);
    scene.tail.home(Path::new("/l"), true);
    assert_eq!((folder(&mut scene).is_home, listed_in(&scene, 0)), (true, Some(0)));
    folder(&mut scene).due = None;
    scene.tail.home(Path::new("/l"), false);
    assert_eq!((folder(&mut scene).is_home, folder(&mut scene).due), (false, None));
    for (had, events, is_home, expected) in [
        (true, false, true, Some(1_000)),
        (false, false, true, None),
        (true, true, true, None),
        (true, false, false, None),
    ] {
        let mut scene = Scene::new(&many(), 500);
        (folder(&mut scene).events, folder(&mut scene).is_home) = (had, is_home);
        scene.tail.watching(0, events);
        assert_eq!((listed_in(&scene, 0), folder(&mut scene).events), (expected, events));
    }
    // At the start all are listed, and the places for rotations of those to which patterns lead are known.
    for is_home in [true, false] {
        let mut scene = Scene::new(&many(), 500);
        folder(&mut scene).is_home = is_home;
        let folders = scene.tail.places.folders.iter().count();
        scene.tail.start(&mut scene.todo);
        assert_eq!(listed_in(&scene, 0), Some(0));
        assert_eq!(scene.tail.places.folders.iter().count() > folders, is_home);
        assert_eq!((scene.tail.started, scene.tail.started_at), (Some(0), NOW));
    }
}

/// Only the answer to the last question counts.
#[test]
fn a_listing_is_over_with_its_last_part() {
    for (ticket, last, over) in [(9, true, true), (9, false, false), (8, true, false)] {
        let mut scene = Scene::new(&many(), 500);
        (folder(&mut scene).listing, folder(&mut scene).refused) = (Some(Ticket(9)), true);
        let log = scene.log;
        let entries = vec![entry(&mut scene, log, "a.log", Some(FlowId(0)))];
        scene.tail.listed(0, Ticket(ticket), entries, last, &mut scene.todo);
        assert_eq!(folder(&mut scene).seen, u32::from(ticket == 9));
        assert_eq!((folder(&mut scene).listing.is_none(), folder(&mut scene).sweep.is_some()), (over, over));
        assert_eq!(scene.tail.sweeping.len(), usize::from(over));
        let said = scene.todo.iter().any(|todo| matches!(todo, ToDo::Say(Notice::FolderReadableAgain { .. })));
        assert_eq!((said, folder(&mut scene).refused), (over, !over));
    }
}

/// A folder that nobody may list keeps what it held; one that is gone holds nothing.
#[test]
fn a_folder_that_cannot_be_listed_is_tried_again_after_two_seconds_and_said_once() {
    for (failure, refused, said) in
        [(Failure::Denied, true, 1), (Failure::Stale, true, 1), (Failure::NoResource, false, 0)]
    {
        let mut scene = Scene::new(&many(), 500);
        (folder(&mut scene).listing, folder(&mut scene).listing_everything) = (Some(Ticket(9)), true);
        let notices = |scene: &Scene| {
            let unreadable = |todo: &&ToDo| matches!(todo, ToDo::Say(Notice::FolderUnreadable { .. }));
            scene.todo.iter().filter(unreadable).count()
        };
        scene.tail.list_failed(0, failure, &mut scene.todo);
        assert_eq!(notices(&scene), said, "{failure:?}");
        scene.tail.list_failed(0, failure, &mut scene.todo);
        assert_eq!((listed_in(&scene, 0), folder(&mut scene).wants_everything), (Some(2_000), true));
        assert_eq!((folder(&mut scene).refused, folder(&mut scene).listing), (refused, None));
        assert_eq!(notices(&scene), said, "{failure:?}, again");
    }
    let mut scene = Scene::new(&many(), 500);
    folder(&mut scene).is_watched = true;
    scene.tail.list_failed(0, Failure::Missing, &mut scene.todo);
    assert!(!folder(&mut scene).is_watched && folder(&mut scene).sweep.is_some() && scene.tail.sweeping.len() == 1);
}

/// The start is over only when each folder was listed to its end, or cannot be.
#[test]
fn a_folder_is_new_until_its_first_listing_is_compared_unless_it_cannot_be_listed() {
    let cases: [(&str, Change, bool); 8] = [
        ("never listed", |scene| folder(scene).listings = 0, true),
        (
            "its first listing is on its way",
            |scene| (folder(scene).listings, folder(scene).listing) = (1, Some(Ticket(9))),
            true,
        ),
        ("its first listing is compared", |scene| (folder(scene).listings, folder(scene).sweep) = (1, Some(5)), true),
        ("listed once", |scene| (folder(scene).listings, folder(scene).listed_at) = (1, Some(NOW)), false),
        (
            "its second listing is on its way",
            |scene| {
                let folder = folder(scene);
                (folder.listings, folder.listing, folder.listed_at) = (2, Some(Ticket(9)), Some(NOW));
            },
            false,
        ),
        (
            "refused",
            |scene| (folder(scene).listings, folder(scene).refused, folder(scene).is_known) = (0, true, false),
            false,
        ),
        (
            "refused, and known",
            |scene| (folder(scene).listings, folder(scene).refused, folder(scene).is_known) = (2, true, true),
            false,
        ),
        (
            "its logs may not be listed",
            |scene| {
                let home = scene.tail.places.folder(Path::new("/home"));
                (folder(scene).listings, folder(scene).sources) = (0, vec![home]);
                let home = scene.tail.places.folders.get_mut(home).unwrap();
                (home.is_home, home.listings) = (true, 1);
            },
            false,
        ),
    ];
    for (what, change, expected) in cases {
        for is_home in [false, true] {
            let mut scene = Scene::new(&many(), 500);
            change(&mut scene);
            if is_home && what != "its logs may not be listed" {
                folder(&mut scene).is_home = true;
            }
            assert_eq!(scene.tail.is_first(0), expected, "{what}");
            assert_eq!(scene.tail.is_new_home(0), expected && folder(&mut scene).is_home, "{what}");
        }
    }
}

/// A name that no pattern matches is not in a listing of what patterns match: that does not mean that it is gone.
#[test]
fn names_that_a_listing_does_not_show_are_gone_a_part_of_them_in_each_step() {
    let mut scene = Scene::new(&many(), 500);
    for number in 0..5_000 {
        scene.file(&format!("file-{number}"), 5, false);
    }
    let names = folder(&mut scene).names.len();
    (folder(&mut scene).listings, folder(&mut scene).sweep) = (1, Some(NONE));
    folder(&mut scene).listing_everything = true;
    scene.tail.sweeping.push_back(0);
    scene.tail.sweep(0, &mut scene.todo);
    assert_eq!((folder(&mut scene).names.len(), scene.tail.sweeping.len()), (names - 4_096, 1));
    scene.tail.sweep(0, &mut scene.todo);
    assert_eq!((folder(&mut scene).names.len(), scene.tail.sweeping.len(), folder(&mut scene).sweep), (0, 0, None));
    // What was seen stays.
    let mut scene = Scene::new(&many(), 500);
    (folder(&mut scene).listings, folder(&mut scene).sweep) = (1, Some(NONE));
    scene.tail.places.names.get_mut(1).unwrap().seen_in = 1;
    scene.tail.sweep(0, &mut scene.todo);
    assert_eq!(folder(&mut scene).names, [1]);
}

/// A listing of what patterns match does not show a log that was moved to any name and goes on there.
#[test]
fn a_followed_log_of_which_no_pattern_matches_the_name_is_gone_only_if_a_whole_listing_does_not_show_it() {
    let moved: Change = |scene| scene.tail.places.names.get_mut(0).unwrap().flow = None;
    let cases: [(&str, &[Change], bool, bool); 6] = [
        ("moved", &[moved], false, true),
        ("moved, in a whole listing", &[moved], true, false),
        ("it has a flow by its name", &[], false, false),
        ("a copy", &[moved, |scene| scene.it().file = scene.rotation], false, false),
        ("finished", &[moved, |scene| scene.it().state = State::Finished], false, false),
        ("somebody's file", &[moved, |scene| scene.file_at(scene.log).standing = Standing::Unproven], false, false),
    ];
    for (what, changes, everything, stays) in cases {
        let mut scene = Scene::new(&many(), 500);
        changes.iter().for_each(|change| change(&mut scene));
        (folder(&mut scene).listings, folder(&mut scene).sweep) = (1, Some(NONE));
        folder(&mut scene).listing_everything = everything;
        scene.tail.places.names.get_mut(1).unwrap().seen_in = 1;
        scene.tail.sweep(0, &mut scene.todo);
        assert_eq!(scene.tail.places.find_name(0, b"a.log").is_some(), stays, "{what}");
        if stays {
            assert_eq!((listed_in(&scene, 0), folder(&mut scene).wants_everything), (Some(0), true), "{what}");
        }
    }
}

/// With events a folder is listed every two minutes, without them each second; what it held is saved when that changed.
#[test]
fn after_a_listing_the_next_one_is_due_in_a_second_or_in_two_minutes() {
    for (events, is_home, known, dirty, next, saved) in [
        (true, true, true, false, 120_000, false),
        (false, true, true, false, 1_000, false),
        (false, false, true, false, 120_000, false),
        (true, false, true, false, 120_000, false),
        (true, true, false, false, 120_000, true),
        (true, true, true, true, 120_000, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let entry = folder(&mut scene);
        (entry.events, entry.is_home, entry.is_known, entry.row_dirty) = (events, is_home, known, dirty);
        (entry.listings, entry.sweep) = (0, Some(NONE));
        scene.tail.sweep(0, &mut scene.todo);
        assert_eq!(listed_in(&scene, 0), Some(next));
        assert_eq!(!scene.tail.dirty_folders.is_empty(), saved);
        let entry = folder(&mut scene);
        assert!(entry.is_known && !entry.row_dirty && entry.listed_at == Some(NOW));
    }
}

/// After the first look at everything, what rows tell of and nobody saw is gone; then the start is over.
#[test]
fn what_rows_tell_of_is_missed_after_each_folder_was_listed_once() {
    for (started, listings, begun, expected) in [
        (Some(0), 0, false, (Some(0), false)),
        (Some(0), 1, false, (Some(NONE), false)),
        (Some(NONE), 1, false, (Some(NONE), true)),
        (Some(NONE), 1, true, (Some(NONE), true)),
        (None, 1, false, (None, false)),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        (scene.tail.started, scene.tail.begun) = (started, begun);
        folder(&mut scene).listings = listings;
        scene.tail.sort_out_unseen(&mut scene.todo);
        assert_eq!((scene.tail.started, scene.tail.begun), expected, "{started:?} {listings}");
        let said = scene.todo.iter().any(|todo| matches!(todo, ToDo::Begun));
        assert_eq!(said, expected.1 && !begun);
    }
    // A thousand files in each step.
    let mut scene = Scene::new(&many(), many().len());
    (0..1_500).for_each(|number| _ = scene.file(&format!("file-{number}"), 5, false));
    scene.tail.started = Some(0);
    scene.tail.miss_remembered(&mut scene.todo);
    assert_eq!(scene.tail.started, Some(1_024));
    scene.tail.miss_remembered(&mut scene.todo);
    assert_eq!(scene.tail.started, Some(NONE));
    // Only what was not seen, and has no name.
    for (remembered, named, expected) in [(true, false, true), (true, true, false), (false, false, false)] {
        let mut scene = Scene::new(&many(), 500);
        let (number, log) = (scene.content, scene.log);
        scene.file_at(log).remembered = remembered;
        if !named {
            scene.tail.places.remove_name(0);
        }
        scene.tail.started = Some(0);
        scene.tail.miss_remembered(&mut scene.todo);
        assert_eq!(scene.tail.seeks.contains_key(&number), expected, "{remembered}, {named}");
    }
}

/// Contents of the rows are looked for where nobody has seen them, and read where their copy lies.
#[test]
fn after_the_first_look_what_has_no_file_is_looked_for_and_what_lies_in_a_copy_read_there() {
    let mut scene = Scene::new(&many(), 500);
    let bare = scene.tail.contents.all.insert(Content::new(7, Some(FlowId(0)), NOW));
    let number = scene.content;
    scene.it().file = scene.rotation;
    scene.it().home = Some(Box::new((0, b"a.log".as_slice().into())));
    scene.tail.remembered = vec![(bare, None), (number, None), (99, None)];
    scene.tail.started = Some(0);
    scene.tail.miss_remembered(&mut scene.todo);
    assert!(scene.tail.seeks.contains_key(&bare) && scene.tail.seeks.contains_key(&number));
    assert_eq!((scene.content_at(bare).state, scene.it().state), (State::Sought, State::Followed));
}

/// A log that lies under the name of its rotation is looked for by its own, should it be lost there: other rotations of it have
/// that in theirs.
#[test]
fn a_log_that_was_renamed_within_its_pattern_keeps_its_own_name_in_mind() {
    for (before, now, expected) in [
        (Some("a.log"), "a.log.1", Some("a.log")),
        (Some("a.log"), "b.log", None),
        (Some("a.log.1"), "a.log", None),
        (Some("a.log"), "a.log", None),
        (None, "a.log.1", None),
    ] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().home = before.map(|name| Box::new((0, name.as_bytes().into())));
        let key = scene.file_at(scene.log).key;
        let status = Some(Status { key, size: 500, ..Status::default() });
        let flow = Some(FlowId(0));
        let entry = Entry { name: now.as_bytes().into(), status, flow, kin: None, skip: false, hops: Vec::new() };
        scene.tail.note(0, entry, false, &mut scene.todo);
        let home = scene.it().home.as_deref().map(|(_, name)| String::from_utf8_lossy(name).into_owned());
        assert_eq!(home.as_deref(), expected, "{before:?}, {now}");
    }
}
