//! What a name says of its file, and of what that holds.
//! Promises that a file which moved is known as moved, and a stranger as a stranger.
//! Leaves what changes in a file to `files`.

use super::*;

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
        scene.tail.found_again(log, (0, b"a.log"), false);
        assert_eq!((scene.it().state, scene.it().confirmed), expected);
        assert_eq!((scene.it().unlinked, scene.it().traces.is_empty()), (elsewhere, !elsewhere));
        assert_eq!((scene.it().dirty, scene.tail.contents.get(number).is_some()), (!elsewhere, true));
    }
}

/// At a start all files are found again, and rows of a hundred thousand need not be made where they say so already.
#[test]
fn a_file_that_is_found_where_its_row_says_is_not_saved_again() {
    for (saved, home, renumbered, state, dirty) in [
        (true, Some(&b"a.log"[..]), false, State::Followed, false),
        (false, Some(b"a.log"), false, State::Followed, true),
        (true, Some(b"b.log"), false, State::Followed, true),
        (true, None, false, State::Followed, true),
        (true, Some(b"a.log"), true, State::Followed, true),
        (true, Some(b"a.log"), false, State::Sought, true),
    ] {
        for (folder, dirty) in [(0, dirty), (1, true)] {
            let mut scene = Scene::new(&many(), 500);
            let log = scene.log;
            (scene.it().state, scene.it().saved_at_home) = (state, saved);
            scene.it().home = home.map(|home| Box::new((0, home.into())));
            scene.tail.found_again(log, (folder, b"a.log"), renumbered);
            assert_eq!(scene.it().dirty, dirty, "{saved} {home:?} {renumbered} {state:?} {folder}");
            assert!(!scene.it().saved_at_home, "what comes next changes that");
        }
    }
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
