//! When folders are listed, and what a listing or an event says of names and files.
//! Promises for each condition the story that only it decides.
//! Leaves what files hold to the stories of the other parts.

use super::*;
use crate::Packing;
use crate::content::Content;
use crate::seen::Moment;
use crate::tail::scene::{NOW, Outcome, Scene, many};
use std::cmp::Reverse;

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
    let cases: [(&str, &[Change], Then); 14] = [
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
        ("listed once", |scene| folder(scene).listings = 1, false),
        (
            "its second listing is on its way",
            |scene| (folder(scene).listings, folder(scene).listing) = (2, Some(Ticket(9))),
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
                (home.is_home, home.refused) = (true, true);
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

/// A change of name, as an event or a listing tells it.
#[test]
fn a_name_that_leads_elsewhere_has_left_its_file() {
    for (listed, expected) in [(false, Some(0)), (true, None)] {
        let mut scene = Scene::new(&many(), 500);
        let (number, rotation) = (scene.content, scene.rotation);
        let entry = entry(&mut scene, rotation, "a.log", Some(FlowId(0)));
        scene.tail.note(0, entry, listed, &mut scene.todo);
        let name = scene.tail.places.find_name(0, b"a.log").unwrap();
        assert_eq!(scene.tail.places.names.get(name).map(|name| name.file), Some(rotation));
        assert!(scene.tail.seeks.contains_key(&number), "what was there has lost its place");
        if expected.is_some() {
            assert!(listed_in(&scene, 0).is_some(), "others may have moved, too");
        }
    }
    // A stranger is looked for by nobody, and so only what an event tells is doubted.
    for listed in [false, true] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        let entry = entry(&mut scene, log, "a.log.1", None);
        scene.tail.note(0, entry, listed, &mut scene.todo);
        assert_eq!(listed_in(&scene, 0), (!listed).then_some(0));
    }
    let mut scene = Scene::new(&many(), 500);
    let number = scene.content;
    scene.tail.changed(0, b"a.log", None, &mut scene.todo);
    assert!(scene.tail.places.find_name(0, b"a.log").is_none() && scene.tail.seeks.contains_key(&number));
    let mut scene = Scene::new(&many(), 500);
    scene.tail.changed(0, b"other", None, &mut scene.todo);
    scene.tail.changed(99, b"a.log", None, &mut scene.todo);
    assert!(scene.tail.due.is_empty() && scene.tail.places.find_name(0, b"a.log").is_some());
}

/// Files of no interest cost nothing, unless something is looked for where they lie; then up to some thousands.
#[test]
fn a_stranger_is_known_only_where_something_is_looked_for_and_while_there_are_not_too_many() {
    let key = |inode| crate::FileKey { device: 1, inode, born: 5 };
    let stranger = || Entry {
        name: (*b"stranger").into(),
        status: Some(Status { key: key(900), size: 5, ..Status::default() }),
        flow: None,
        kin: None,
        skip: false,
        hops: Vec::new(),
    };
    for (sought, names, expected) in [(0, 2, false), (1, 2, true), (1, 8_191, true), (1, 8_192, false)] {
        let mut scene = Scene::new(&many(), 500);
        folder(&mut scene).sought = sought;
        folder(&mut scene).names.resize(names, 0);
        scene.tail.note(0, stranger(), true, &mut scene.todo);
        assert_eq!(scene.tail.places.find_file(key(900)).is_some(), expected, "{sought}, {names} names");
    }
    // Among many it is known by a name that was known before, or by its flow.
    for (name, flow) in [("a.log.1", None), ("stranger", Some(FlowId(0)))] {
        let mut scene = Scene::new(&many(), 500);
        folder(&mut scene).sought = 1;
        folder(&mut scene).names.resize(9_000, 0);
        scene.tail.note(0, Entry { name: name.as_bytes().into(), flow, ..stranger() }, true, &mut scene.todo);
        assert!(scene.tail.places.find_file(key(900)).is_some(), "{name}");
    }
    // And one that is known already needs no room.
    let mut scene = Scene::new(&many(), 500);
    folder(&mut scene).sought = 1;
    folder(&mut scene).names.resize(9_000, 0);
    let rotation = scene.rotation;
    let again = entry(&mut scene, rotation, "another-name", None);
    scene.tail.note(0, again, true, &mut scene.todo);
    assert!(scene.tail.places.find_name(0, b"another-name").is_some());
    // A known name that leads to a stranger leads to nothing of ours any more.
    let mut scene = Scene::new(&many(), 500);
    scene.tail.note(0, Entry { name: (*b"a.log").into(), ..stranger() }, true, &mut scene.todo);
    assert!(scene.tail.places.find_name(0, b"a.log").is_none());
    // One that a pattern matches is known everywhere.
    let mut scene = Scene::new(&many(), 500);
    scene.tail.note(0, Entry { flow: Some(FlowId(0)), skip: true, ..stranger() }, true, &mut scene.todo);
    let file = scene.tail.places.find_file(key(900)).unwrap();
    assert_eq!((scene.file_at(file).standing, scene.file_at(file).skip), (Standing::Unproven, false));
    let mut scene = Scene::new(&many(), 500);
    scene.tail.begun = false;
    scene.tail.note(0, Entry { flow: Some(FlowId(0)), skip: true, ..stranger() }, true, &mut scene.todo);
    let file = scene.tail.places.find_file(key(900)).unwrap();
    assert!(scene.file_at(file).skip && scene.tail.skips);
    // Of a link the name says so; of a dangling one nothing is known.
    let mut scene = Scene::new(&many(), 500);
    let link = Entry { flow: Some(FlowId(0)), hops: vec!["/t/target".into()], ..stranger() };
    scene.tail.note(0, Entry { status: None, ..link.clone() }, true, &mut scene.todo);
    assert!(scene.tail.places.find_file(key(900)).is_none());
    scene.tail.note(0, link, true, &mut scene.todo);
    let name = scene.tail.places.find_name(0, b"stranger").unwrap();
    let name = scene.tail.places.names.get(name).unwrap();
    assert!(name.is_link && name.is_live && name.is_matched);
    let target = scene.tail.places.folder(Path::new("/t"));
    assert_eq!(scene.tail.target_flow(target, b"target"), Some(FlowId(0)));
    assert_eq!(scene.tail.target_flow(target, b"other"), None);
    assert_eq!(scene.tail.places.folders.get(target).unwrap().targets.len(), 1, "it is known once");
    assert_eq!(listed_in(&scene, target), Some(0));
    let old = scene.tail.places.folder(Path::new("/t/old"));
    assert_eq!(scene.tail.places.folders.get(old).unwrap().sources, [target], "its rotations are expected, too");
}

/// Where a pattern matches the name by which a content lies there, that tells its flow, and nothing else has to.
#[test]
fn a_content_that_lies_at_a_name_that_a_pattern_matches_needs_no_other() {
    for (matched, elsewhere, expected) in [(true, false, false), (false, false, true), (true, true, true)] {
        let mut scene = Scene::new(&many(), 500);
        scene.it().home = Some(Box::new((0, b"old.log".as_slice().into())));
        let log = scene.log;
        if elsewhere {
            scene.it().file = scene.rotation;
        }
        let entry = entry(&mut scene, log, "a.log", matched.then_some(FlowId(0)));
        scene.tail.note(0, entry, true, &mut scene.todo);
        assert_eq!(scene.it().home.is_some(), expected, "{matched}, {elsewhere}");
    }
}

/// What was beside a log at the first look is nobody's; what comes later may be its rotation.
#[test]
fn a_new_file_is_asked_unless_it_was_there_at_the_first_look() {
    for (live, kin, known, held_before, sought, expected) in [
        (true, false, true, true, false, (true, true)),
        (false, true, true, false, false, (true, false)),
        (false, true, true, true, false, (false, true)),
        (false, true, true, true, true, (false, true)),
        (false, true, false, false, false, (false, true)),
        (false, true, false, false, true, (true, true)),
        (false, true, false, true, false, (false, true)),
        (false, true, false, true, true, (true, true)),
        (false, false, true, true, false, (true, true)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        let identity = held(scene.file_at(rotation).key);
        scene.file_at(rotation).standing = Standing::Ignored;
        let entry = folder(&mut scene);
        (entry.is_known, entry.sought, entry.listed_at) = (known, u32::from(sought), Some(Moment(123_000_000)));
        if held_before {
            entry.held.insert(identity);
        }
        let flow = |is: bool| is.then_some(FlowId(0));
        scene.tail.came(rotation, 0, flow(live), flow(kin));
        let what = format!("live {live}, kin {kin}, known {known}, held {held_before}, sought {sought}");
        let is_held = folder(&mut scene).held.contains(&identity);
        assert_eq!((scene.file_at(rotation).standing == Standing::Unproven, is_held), expected, "{what}");
        assert_eq!(folder(&mut scene).row_dirty, is_held && !held_before, "{what}");
        assert_eq!(scene.file_at(rotation).since, if live { 450 } else { 123 }, "{what}");
        assert_eq!(scene.file_at(rotation).compared, kin && !live && known && held_before, "{what}");
    }
}

/// The other half of a renaming: the file has a name again, and what it holds goes on.
#[test]
fn a_file_that_has_a_name_again_is_not_looked_for_any_more() {
    for (state, elsewhere, expected) in [
        (State::Sought, false, (State::Followed, false)),
        (State::Followed, false, (State::Followed, true)),
        (State::Sought, true, (State::Sought, true)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let (log, number) = (scene.log, scene.content);
        (scene.it().state, scene.it().unlinked) = (state, true);
        scene.it().traces.push(5);
        if elsewhere {
            scene.it().file = scene.rotation;
        }
        scene.tail.found_again(log);
        assert_eq!((scene.it().state, scene.it().confirmed), expected);
        assert_eq!((scene.it().unlinked, scene.it().traces.is_empty()), (elsewhere, !elsewhere));
        assert_eq!((scene.it().dirty, scene.tail.contents.get(number).is_some()), (!elsewhere, true));
    }
}

/// Equal stamps mean that a file was not touched, once they stood still for two seconds.
#[test]
fn stamps_are_believed_when_they_stood_still_for_two_seconds() {
    for (size, changed, changed_at, quiet, expected) in [
        (1_840, 7, 498, false, (true, 498, true)),
        (1_840, 7, 499, false, (false, 499, false)),
        (1_840, 7, 498, true, (true, 498, false)),
        (1_841, 7, 498, true, (false, 500, false)),
        (1_840, 8, 498, true, (false, 500, false)),
    ] {
        let mut scene = Scene::new(&many(), many().len());
        let log = scene.log;
        let file = scene.file_at(log);
        (file.changed, file.changed_at, file.quiet, file.attempts) = (7, changed_at, quiet, 3);
        (file.remembered, file.unseen) = (true, true);
        let status = Status { key: file.key, size, changed, names: 1 };
        scene.tail.touched(log, &status, Some(FlowId(0)), &mut scene.todo);
        let dirty = scene.it().dirty;
        let file = scene.file_at(log);
        assert_eq!((file.quiet, file.changed_at, dirty), expected, "{size} {changed} {changed_at}");
        assert_eq!((file.size, file.changed, file.remembered, file.unseen), (size, changed, false, false));
        assert_eq!(file.attempts, if file.changed_at == 500 { 0 } else { 3 });
    }
}

/// What is none of ours is asked again when it may have become ours.
#[test]
fn a_changed_file_is_asked_again_if_it_may_be_something_of_ours_by_now() {
    let (same, touched, resized) = ((1_840, 7), (1_840, 8), (1_841, 8));
    for (standing, (size, changed), live, sought, expected) in [
        (Standing::Unproven, same, false, false, false),
        (Standing::Unproven, touched, false, false, true),
        (Standing::Ignored, same, false, true, false),
        (Standing::Ignored, touched, false, true, true),
        (Standing::Ignored, touched, false, false, false),
        (Standing::Ignored, same, true, false, true),
        (Standing::Skipped, same, true, false, false),
        (Standing::Skipped, touched, true, false, true),
        (Standing::Skipped, touched, false, false, false),
        (Standing::Skipped, resized, false, false, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        folder(&mut scene).sought = u32::from(sought);
        let file = scene.file_at(rotation);
        (file.standing, file.changed) = (standing, 7);
        let status = Status { key: file.key, size, changed, names: 1 };
        scene.tail.touched(rotation, &status, live.then_some(FlowId(0)), &mut scene.todo);
        let what = format!("{standing:?}, {size}, {changed}, live {live}, sought {sought}");
        assert_eq!(!scene.tail.unproven.is_empty(), expected, "{what}");
    }
}

/// The log as it is now: of this size, with these stamps.
fn touch(scene: &mut Scene, file: u32, size: u64, changed: u64) {
    let key = scene.file_at(file).key;
    let status = Status { key, size, changed, names: 1 };
    scene.tail.touched(file, &status, Some(FlowId(0)), &mut scene.todo);
}

/// A log that grew is read on, and compared first if it may have been written anew.
#[test]
fn a_changed_log_is_compared_unless_it_only_grew_behind_what_was_read() {
    // 1,840 bytes of which 500 were read.
    for (what, size, changed, expected) in [
        ("it has grown", 2_000, 8, (true, 2_000)),
        ("it was touched", 1_840, 8, (true, 1_840)),
        ("nothing was done", 1_840, 0, (true, 1_840)),
        ("it is shorter", 1_800, 8, (false, 1_840)),
        ("it is as long as what was read", 500, 8, (false, 1_840)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        touch(&mut scene, log, size, changed);
        assert_eq!((scene.it().confirmed, scene.it().known), expected, "{what}");
    }
    let cases: [(&str, usize, Change, u64, bool); 6] = [
        ("all of it was read, and it was touched", 1_840, |_| (), 1_840, false),
        ("nothing was read", 0, |_| (), 2_000, true),
        ("nothing is known of what was read", 500, |scene| scene.it().proof = Default::default(), 2_000, false),
        ("nothing was read, and nothing is known", 0, |scene| scene.it().proof = Default::default(), 2_000, true),
        ("it was in doubt", 500, |scene| scene.it().confirmed = false, 2_000, false),
        ("it was finished", 1_840, |scene| scene.it().state = State::Finished, 2_000, true),
    ];
    for (what, read, change, size, expected) in cases {
        let mut scene = Scene::new(&many(), read);
        change(&mut scene);
        let log = scene.log;
        touch(&mut scene, log, size, 8);
        assert_eq!((scene.it().confirmed, scene.it().state), (expected, State::Followed), "{what}");
    }
}

/// Thousands of files need not be opened at a start: equal stamps that stood still are believed.
#[test]
fn a_file_of_a_row_is_compared_unless_its_stamps_stood_still_and_all_of_it_was_read() {
    for (read, changed, quiet, expected) in
        [(1_840, 0, true, true), (1_840, 0, false, false), (1_840, 8, true, false), (500, 0, true, false)]
    {
        let mut scene = Scene::new(&many(), read);
        let log = scene.log;
        (scene.file_at(log).remembered, scene.file_at(log).quiet) = (true, quiet);
        scene.it().confirmed = false;
        touch(&mut scene, log, 1_840, changed);
        assert_eq!(scene.it().confirmed, expected, "{read}, {changed}, {quiet}");
    }
}

/// Its flow has no room, and its turn may be far away: what was read is compared now, so that what is new is its own.
#[test]
fn an_open_log_that_changes_while_its_flow_has_no_room_is_compared() {
    for (open, blocked, changed, expected) in
        [(true, true, 8, true), (false, true, 8, false), (true, false, 8, false), (true, true, 0, false)]
    {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.flows[0].blocked = blocked;
        if open {
            scene.tail.slots.push(Some((scene.content, false)));
            scene.it().slot = 0;
        }
        let log = scene.log;
        touch(&mut scene, log, 1_840, changed);
        assert_eq!(scene.it().checking, expected, "open {open}, blocked {blocked}, {changed}");
    }
}

/// An archive does not change under its name, so what changed is another one; a copy that changes may be on its way to be
/// something else.
#[test]
fn archives_and_copies_that_change_are_asked_what_they_hold() {
    for (at_end, size, expected) in [(true, 1_841, true), (true, 1_840, false), (false, 1_841, false)] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        scene.file_at(log).packing = Some(Packing::Gzip);
        scene.it().at_end = at_end;
        touch(&mut scene, log, size, 8);
        assert_eq!(scene.file_at(log).standing == Standing::Unproven, expected, "{at_end}, {size}");
        assert_eq!(scene.it().queued, !at_end, "what is not read to its end is read on");
    }
    for (packed, size, changed, expected) in [
        (false, 1_840, 0, false),
        (false, 1_840, 8, true),
        (false, 1_841, 8, true),
        (true, 1_840, 8, false),
        (true, 1_841, 8, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let (rotation, number) = (scene.rotation, scene.content);
        scene.it().copies.push(rotation);
        let file = scene.file_at(rotation);
        (file.standing, file.packing) = (Standing::Holds(number), packed.then_some(Packing::Gzip));
        touch(&mut scene, rotation, size, changed);
        assert_eq!(scene.it().copies.is_empty(), expected, "packed {packed}, {size}, {changed}");
        assert_eq!(scene.outcome() == Outcome::Nothing, expected);
    }
    // A log that counted as a copy and was cut may have gone on before; one that grew was not cut.
    for (size, expected) in [(1_839, true), (1_841, false)] {
        let mut scene = Scene::new(&many(), 500);
        let (log, number) = (scene.log, scene.content);
        scene.it().file = scene.rotation;
        scene.it().copies.push(log);
        touch(&mut scene, log, size, 8);
        assert_eq!(scene.tail.seeks.contains_key(&number), expected, "{size}");
    }
}

/// A row slept because no pattern matched it; one does now.
#[test]
fn what_slept_is_its_flows_when_a_pattern_matches_it_again() {
    let mut scene = Scene::new(&many(), 500);
    let log = scene.log;
    scene.it().flow = None;
    touch(&mut scene, log, 1_840, 0);
    assert_eq!((scene.it().flow, scene.tail.gauge(FlowId(0)).files), (Some(FlowId(0)), 2));
    touch(&mut scene, log, 1_840, 0);
    assert_eq!(scene.tail.gauge(FlowId(0)).files, 2);
}

/// What a name led to keeps in mind where it was, for the search.
#[test]
fn a_content_that_loses_a_name_remembers_the_folder_and_the_name_that_a_pattern_matched() {
    for (matched, traces, home, expected) in [
        (true, 0, false, (1, Some(&b"a.log"[..]), true)),
        (false, 0, false, (1, None, false)),
        (true, 7, false, (8, Some(b"a.log"), true)),
        (true, 8, false, (8, Some(b"a.log"), true)),
        (true, 0, true, (1, Some(b"first"), true)),
    ] {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.places.names.get_mut(0).unwrap().is_matched = matched;
        (10..10 + traces).for_each(|folder| scene.it().traces.push(folder));
        if home {
            scene.it().home = Some(Box::new((3, b"first".as_slice().into())));
        }
        let left = scene.tail.leave(0);
        scene.tail.leave(0);
        let it = scene.it();
        assert_eq!(it.traces.len(), expected.0);
        assert_eq!(it.home.as_deref().map(|home| &*home.1), expected.1);
        assert_eq!(left, matched.then(|| (0, b"a.log".as_slice().into())));
        assert_eq!(!scene.tail.replaced.is_empty(), expected.2);
    }
}

/// The other half of a renaming comes in a moment; without a time of birth another file may have the number by then.
#[test]
fn a_stranger_without_a_name_is_kept_for_ten_seconds_if_it_can_be_known_again() {
    for (standing, born, kept) in [
        (Standing::Ignored, 5, true),
        (Standing::Skipped, 5, true),
        (Standing::Ignored, 0, false),
        (Standing::Skipped, 0, false),
        (Standing::Unproven, 5, false),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        let identity = held(crate::FileKey { born, ..scene.file_at(rotation).key });
        folder(&mut scene).held.insert(identity);
        (scene.file_at(rotation).standing, scene.file_at(rotation).key.born) = (standing, born);
        let name = scene.tail.places.find_name(0, b"a.log.1").unwrap();
        scene.tail.vanished(name, &mut scene.todo);
        assert_eq!(scene.tail.places.files.get(rotation).is_some(), kept, "{standing:?} {born}");
        let at = Reverse((NOW.plus_ms(10_000), Due::Nameless(rotation)));
        assert_eq!(scene.tail.due.iter().any(|due| *due == at), kept);
        scene.tail.forget_nameless(rotation);
        assert!(scene.tail.places.files.get(rotation).is_none());
        assert!(!folder(&mut scene).held.contains(&identity) && folder(&mut scene).row_dirty);
    }
    // What has a name again, or holds something, is not forgotten.
    for named in [true, false] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        scene.file_at(rotation).standing = if named { Standing::Ignored } else { Standing::Holds(scene.content) };
        if !named {
            let name = scene.tail.places.find_name(0, b"a.log.1").unwrap();
            scene.tail.places.remove_name(name);
        }
        scene.tail.forget_nameless(rotation);
        assert!(scene.tail.places.files.get(rotation).is_some());
    }
    // It has another name.
    let mut scene = Scene::new(&many(), 500);
    let rotation = scene.rotation;
    scene.file_at(rotation).standing = Standing::Unproven;
    scene.tail.places.insert_name(0, b"other".as_slice().into(), rotation);
    let name = scene.tail.places.find_name(0, b"a.log.1").unwrap();
    scene.tail.vanished(name, &mut scene.todo);
    assert!(scene.tail.places.files.get(rotation).is_some());
}

/// Said once, and once more when it is over; a file that a rule of the operator refuses is not said at all.
#[test]
fn a_file_that_cannot_be_read_is_said_once_and_tried_again_after_half_a_minute() {
    for (failure, standing, said, waits) in [
        (Failure::Denied, Standing::Unproven, 1, true),
        (Failure::Denied, Standing::Ignored, 1, false),
        (Failure::Refused, Standing::Unproven, 0, true),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let rotation = scene.rotation;
        scene.file_at(rotation).standing = standing;
        for _ in 0..2 {
            scene.tail.refuse(rotation, Some(FlowId(0)), failure, &mut scene.todo);
        }
        let notices = scene.todo.iter().filter(|todo| matches!(todo, ToDo::Say(Notice::Unreadable { .. })));
        assert_eq!((notices.count(), scene.tail.waiting.contains(&rotation)), (said, waits), "{failure:?}");
        assert!(scene.tail.due.iter().any(|due| *due == Reverse((NOW.plus_ms(30_000), Due::File(rotation)))));
        for _ in 0..2 {
            scene.tail.readable(rotation, &mut scene.todo);
        }
        let notices = scene.todo.iter().filter(|todo| matches!(todo, ToDo::Say(Notice::ReadableAgain { .. })));
        assert_eq!((notices.count(), scene.file_at(rotation).refused), (1, false));
    }
}

/// Where no pattern tells, a rotation is known by the names of the logs: those here, those of which this is the place for
/// rotations, and those that are looked for.
#[test]
fn a_file_that_no_pattern_matches_may_be_a_rotation_by_the_names_of_logs() {
    fn of(name: &str) -> Entry {
        Entry { name: name.as_bytes().into(), status: None, flow: None, kin: None, skip: false, hops: Vec::new() }
    }
    let target = |name: &str| Target { name: name.as_bytes().into(), flow: FlowId(0), link: (0, (*b"link").into()) };
    // The target of a link lies in this folder, and its rotations beside it.
    for (name, expected) in [("c.log", false), ("c.log.1", true), ("c.log-20261101", true), ("d.log.1", false)] {
        let mut scene = Scene::new(&many(), 500);
        let pods = scene.tail.places.folder(Path::new("/pods"));
        assert_eq!(scene.tail.kin_of(pods, &of(name)), None, "{name}: nothing leads here");
        scene.tail.places.folders.get_mut(pods).unwrap().targets.push(target("c.log"));
        assert_eq!(scene.tail.kin_of(pods, &of(name)).is_some(), expected, "{name}");
    }
    // The log lies elsewhere, and this is where its rotations are put.
    for (name, expected) in
        [("a.log", true), ("a.log.1", true), ("a.log.1.gz", true), ("b.log.1", false), ("other", false)]
    {
        let mut scene = Scene::new(&many(), 500);
        let old = scene.tail.places.folder(Path::new("/l/old"));
        scene.tail.places.folders.get_mut(old).unwrap().sources.push(0);
        assert_eq!(scene.tail.kin_of(old, &of(name)).is_some(), expected, "{name}");
    }
    // The log is looked for, and its name may be gone.
    for (name, place, expected) in [("a.log.2", "/l", true), ("a.log.2", "/k", false), ("b.log.2", "/l", false)] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.tail.places.find_name(0, b"a.log").unwrap();
        scene.tail.vanished(log, &mut scene.todo);
        let rotation = scene.tail.places.find_name(0, b"a.log.1").unwrap();
        scene.tail.places.remove_name(rotation);
        let place = scene.tail.places.folder(Path::new(place));
        let away = scene.tail.places.folder(Path::new("/nowhere"));
        scene.tail.places.folders.get_mut(place).unwrap().sources.push(away);
        assert_eq!(scene.tail.kin_of(place, &of(name)).is_some(), expected, "{name}");
    }
    // Where the shell knows, it is believed.
    for (flow, kin) in [(Some(FlowId(0)), None), (None, Some(FlowId(3)))] {
        let mut scene = Scene::new(&many(), 500);
        let old = scene.tail.places.folder(Path::new("/l/old"));
        scene.tail.places.folders.get_mut(old).unwrap().sources.push(0);
        assert_eq!(scene.tail.kin_of(old, &Entry { flow, kin, ..of("a.log.1") }), kin);
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

/// The writer of a log that was cut and moved goes on under a name that no listing shows: the file is kept until it is known
/// what comes there.
#[test]
fn a_file_whose_writer_may_go_on_is_kept_though_a_listing_does_not_show_it_or_its_name_is_gone() {
    fn written_anew() -> Scene {
        let mut scene = Scene::new(&many(), 500);
        let (number, log) = (scene.content, scene.log);
        scene.tail.other_content(number, log, &mut Vec::new());
        scene.tail.places.names.get_mut(0).unwrap().flow = None;
        scene
    }
    let mut scene = written_anew();
    (folder(&mut scene).listings, folder(&mut scene).sweep) = (1, Some(NONE));
    folder(&mut scene).listing_everything = false;
    scene.tail.sweep(0, &mut scene.todo);
    assert!(scene.tail.places.find_name(0, b"a.log").is_some());
    let (mut scene, log) = (written_anew(), scene.log);
    scene.tail.vanished(0, &mut scene.todo);
    assert!(scene.tail.places.files.get(log).is_some());
}

/// A file without a name gets one again: that is the other half of a renaming. One that has a name gets just another.
#[test]
fn a_second_name_of_a_file_says_nothing_new_of_what_it_holds() {
    for (named, expected) in [(true, true), (false, false)] {
        let mut scene = Scene::new(&many(), 500);
        let log = scene.log;
        let entry = entry(&mut scene, log, "moved", Some(FlowId(0)));
        if !named {
            scene.tail.places.remove_name(0);
        }
        scene.it().unlinked = true;
        scene.tail.note(0, entry, true, &mut scene.todo);
        assert_eq!(scene.it().unlinked, expected);
    }
    let mut scene = Scene::new(&many(), 500);
    let fresh = crate::FileKey { device: 1, inode: 901, born: 5 };
    let entry = Entry {
        status: Some(Status { key: fresh, size: 5, ..Status::default() }),
        ..entry(&mut scene, 0, "fresh", Some(FlowId(0)))
    };
    scene.tail.note(0, entry, true, &mut scene.todo);
    let file = scene.tail.places.find_file(fresh).unwrap();
    assert_eq!(scene.file_at(file).standing, Standing::Unproven);
}

/// A container's log has the date in its name, and a link leads to the newest one.
#[test]
fn beside_the_target_of_a_link_files_of_its_family_may_be_its_rotations_and_elsewhere_only_those_of_its_name() {
    let of = |name: &str| Entry {
        name: name.as_bytes().into(),
        status: None,
        flow: None,
        kin: None,
        skip: false,
        hops: Vec::new(),
    };
    for (name, beside, elsewhere) in [
        ("app-20261102.log", true, false),
        ("app-20261101.log", false, false),
        ("app-20261101.log.1", true, true),
        ("app-20261101.log7", false, true),
        ("other-20261102.log", false, false),
    ] {
        let mut scene = Scene::new(&many(), 500);
        let folders = ["/pods", "/old"].map(|path| scene.tail.places.folder(Path::new(path)));
        let link = Target { name: (*b"app-20261101.log").into(), flow: FlowId(0), link: (0, (*b"link").into()) };
        scene.tail.places.folders.get_mut(folders[0]).unwrap().targets.push(link);
        scene.tail.places.folders.get_mut(folders[1]).unwrap().sources.push(folders[0]);
        let found = folders.map(|folder| scene.tail.kin_of(folder, &of(name)).is_some());
        assert_eq!(found, [beside, elsewhere], "{name}");
    }
    // The log has no name just now, and a rotation of it is known.
    for (flow, expected) in [(Some(FlowId(0)), true), (None, false)] {
        let mut scene = Scene::new(&many(), 500);
        scene.tail.places.remove_name(0);
        scene.tail.places.names.get_mut(1).unwrap().flow = flow;
        let old = scene.tail.places.folder(Path::new("/l/old"));
        scene.tail.places.folders.get_mut(old).unwrap().sources.push(0);
        assert_eq!(scene.tail.kin_of(old, &of("a.log.7")).is_some(), expected);
        assert_eq!(scene.tail.kin_of(old, &of("b.log.7")), None);
    }
}
