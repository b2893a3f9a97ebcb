//! When folders are listed, files looked at and opened, and rows saved.
//! Promises that work is bounded and nothing is forgotten. Leaves what is found to the others.

use crate::model::World;
use crate::worlds::{LIVE, all, line, only_live, text};
use crate::{ContentId, Failure, FolderId, Notice, SavedState, Seen, Status};

/// Some folders have no events (network filesystems, too many watches): they are listed every second, for ever.
#[test]
fn a_folder_without_events_is_listed_every_second() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..10));
    world.start();
    world.run_for(500);
    world.faults.lost_events = 100;
    world.step(Seen::Watching { folder: FolderId(0), events: false });
    for round in 1..5 {
        world.fs.append(LIVE, &text('x', round * 10..round * 10 + 10));
        world.run_for(2_500);
        world.expect('x', 0..round * 10 + 10);
    }
}

/// Thousands of files that stood still need not be opened at a start.
#[test]
fn files_that_stood_still_are_not_opened_at_a_start() {
    let mut world = World::new(all);
    for number in 0..20 {
        world.fs.create(&format!("/l/a.log.{number}"), &text('x', number * 20..number * 20 + 20));
    }
    world.start();
    world.run_for(300_000);
    world.stop();
    assert!(world.rows.values().all(|row| row.state == SavedState::Followed), "none is new any more");
    let looks = world.looks;
    for mounted_anew in [false, true] {
        if mounted_anew {
            world.stop();
            world.fs.remount();
        }
        world.start();
        world.run_for(20_000);
        assert_eq!(world.looks - looks, 0, "mounted anew: {mounted_anew}");
    }
    world.expect('x', 0..400);
}

/// One file may be open, and it is a truncated one that nobody has written to since: others need the descriptor more.
#[test]
fn an_empty_file_that_is_kept_open_makes_way_for_others() {
    let mut world = World::new(all);
    world.limits.open = 1;
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(500);
    world.fs.truncate(LIVE, 0);
    world.run_for(300);
    world.fs.create("/l/a.log.other", &text('y', 0..50));
    world.run_for(2_000);
    world.expect('y', 0..50);
}

/// A second without descriptors is a second in which none is asked for.
#[test]
fn nothing_is_asked_of_a_system_that_has_just_refused() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..10));
    world.start();
    world.run_for(30_000);
    assert_eq!(world.open_files(), 0);
    world.faults.failing.insert("/l/a.log.other".into(), Failure::NoResource);
    world.fs.create("/l/a.log.other", &text('y', 0..10));
    world.run_for(1);
    let looks = world.looks;
    world.fs.append(LIVE, &text('x', 10..20));
    world.run_for(800);
    assert_eq!(world.looks, looks, "{:?}", world.notices);
    world.faults.failing.clear();
    world.run_for(40_000);
    world.expect('x', 0..20);
    world.expect('y', 0..10);
    assert_eq!(world.said(|notice| matches!(notice, Notice::NoResource)), 1);
    assert_eq!(world.said(|notice| matches!(notice, Notice::ResourcesAgain)), 1);
}

/// The first line tells generations of a file apart. It is reported once, when it becomes whole after its origin began.
#[test]
fn a_first_line_that_becomes_whole_later_is_reported_once() {
    for (begun, reported) in [(&b"begun"[..], 1), (b"begun and ended\n", 0)] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, begun);
        world.start();
        world.run_for(500);
        for round in 0..3 {
            world.fs.append(LIVE, b" and ended\n");
            world.fs.append(LIVE, &text('x', round * 20..round * 20 + 20));
            world.run_for(500);
        }
        assert_eq!(world.generations.len(), reported);
    }
}

/// Saves are 20 ms apart at least, however fast calls are answered.
#[test]
fn rows_are_saved_at_a_bounded_pace() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, b"");
    world.start();
    world.run_for(500);
    let saves = world.saves;
    for number in 0..200 {
        world.fs.append(LIVE, &text('x', number..number + 1));
        world.run_for(1);
    }
    assert!((5..=12).contains(&(world.saves - saves)), "{} saves in 200 ms", world.saves - saves);
}

/// Two rows name one file, as a crash between two saves leaves them: the younger content is what was seen there last.
#[test]
fn of_two_rows_for_one_file_the_younger_goes_on() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(500);
    world.stop();
    let mut older = world.rows[&1].clone();
    older.id = ContentId(9);
    let mut younger = older.clone();
    younger.id = ContentId(10);
    world.rows = [(9, older), (10, younger)].into();
    world.fs.append(LIVE, &text('x', 50..60));
    world.start();
    world.run_for(30_000);
    world.expect('x', 0..60);
    let position = |id: u64| world.rows.get(&id).map(|row| row.position);
    assert_eq!(position(10), Some(text('x', 0..60).len() as u64), "{:?}", world.rows);
    assert!(world.rows.get(&9).is_none_or(|row| row.state == SavedState::Finished), "{:?}", world.rows);
}

/// A file is opened by its own name, where a link leads to it, too: links may be turned at any time.
#[test]
fn a_file_is_reached_by_its_own_name_rather_than_by_a_link() {
    for names in [["link", "own"], ["own", "link"]] {
        let mut places = crate::places::Places::default();
        let folder = places.folder(std::path::Path::new("/l"));
        let file = places.insert_file(&Status::default(), crate::Moment(0));
        for text in names {
            let name = places.insert_name(folder, text.as_bytes().into(), file);
            places.names.get_mut(name).unwrap().is_link = text == "link";
        }
        assert_eq!(places.path_of(file), Some("/l/own".into()));
    }
}

/// A listing takes the time of others in a large folder: what happens there costs a tenth of the time at most.
#[test]
fn a_large_folder_is_not_listed_for_each_name_that_vanishes() {
    let mut world = World::new(all);
    for number in 0..5_000 {
        world.fs.create(&format!("/l/a.log-{number:05}"), line('x', number).as_bytes());
    }
    world.start();
    world.run_for(60_000);
    let before = world.listed.len();
    for number in 0..100 {
        world.fs.unlink(&format!("/l/a.log-{number:05}"));
        world.run_for(10);
    }
    let listings = world.listed[before..].iter().filter(|(path, _)| path == std::path::Path::new("/l")).count();
    assert!((4..=8).contains(&listings), "{listings} listings of 15 ms in a second");
}

/// Patterns tell which names of a folder matter. Where rotations or the targets of links lie nothing tells, and all are asked
/// for.
#[test]
fn only_where_no_pattern_tells_all_names_are_listed() {
    let mut world = World::new(|path| path == std::path::Path::new("/l/link.log"));
    world.homes.push("/t".into());
    for folder in ["/t", "/l/old"] {
        world.fs.folder(folder);
    }
    world.start();
    world.run_for(1_000);
    let all_of = |world: &World, folder: &str, from: usize| {
        let listings = world.listed[from..].iter().filter(|(path, _)| path == std::path::Path::new(folder));
        listings.map(|(_, everything)| *everything).collect::<Vec<_>>()
    };
    let wanted = |world: &World, from| ["/l", "/t", "/l/old"].map(|folder| all_of(world, folder, from).last().copied());
    assert_eq!(wanted(&world, 0), [Some(false), Some(false), Some(true)]);
    world.fs.create("/t/c.log", &text('x', 0..20));
    world.fs.link("/l/link.log", "/t/c.log");
    world.run_for(1_000);
    let from = world.listed.len();
    world.run_for(300_000);
    assert_eq!(wanted(&world, from), [Some(false), Some(true), Some(true)]);
    world.expect('x', 0..20);
}

/// A folder that may not be listed is tried again every two seconds.
#[test]
fn a_folder_that_cannot_be_listed_is_tried_again_every_two_seconds() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..20));
    world.faults.failing.insert("/l".into(), Failure::Denied);
    world.start();
    world.run_for(20_000);
    let tries = world.listed.iter().filter(|(path, _)| path == std::path::Path::new("/l")).count();
    assert!((8..=12).contains(&tries), "{tries} tries in 20 s");
    world.faults.failing.clear();
    world.run_for(5_000);
    world.expect('x', 0..20);
    assert_eq!(world.said(|notice| matches!(notice, Notice::FolderUnreadable { .. })), 1);
    assert_eq!(world.said(|notice| matches!(notice, Notice::FolderReadableAgain { .. })), 1);
}

/// At the first start files are followed from their end, also those that could not be asked at once where that is.
#[test]
fn a_start_is_not_over_before_all_files_that_are_followed_from_their_end_were_asked() {
    let mut world = World::new(all);
    world.from_end = true;
    world.limits.samples = 1;
    for number in 0..20 {
        world.fs.create(&format!("/l/a.log-x{number}"), &text('x', number * 10..number * 10 + 10));
        world.faults.failing.insert(format!("/l/a.log-x{number}").into(), Failure::NoResource);
    }
    world.start();
    world.run_for(5_000);
    assert!(!world.has_begun());
    world.faults.failing.clear();
    world.run_for(10_000);
    assert!(world.has_begun() && world.lines.is_empty(), "{} lines", world.lines.len());
    world.fs.append("/l/a.log-x7", &text('y', 0..10));
    world.run_for(1_000);
    world.expect('y', 0..10);
}

/// A log that grows costs reads and nothing else: the bytes before the position come with them.
#[test]
fn a_log_that_grows_is_not_looked_into_beside_its_reads() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(500);
    let looks = world.looks;
    for round in 1..20 {
        world.fs.append(LIVE, &text('x', round * 50..round * 50 + 50));
        world.run_for(100);
    }
    assert_eq!(world.looks, looks);
    world.expect('x', 0..1_000);
}

#[test]
fn an_agent_is_not_caught_up_while_something_waits_for_room() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(30_000);
    assert!(world.is_caught_up());
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 50..60));
    for _ in 0..50 {
        world.run_for(10);
        assert!(!world.is_caught_up() && world.lag() > 0);
    }
    world.faults.no_room = 0;
    world.run_for(10_000);
    assert!(world.is_caught_up() && world.lag() == 0);
}

/// A stranger that is written to all the time is none of ours still: it is looked into once, unless something is sought.
#[test]
fn a_stranger_that_grows_is_not_looked_into_again_and_again() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log.old", &text('o', 0..20));
    world.fs.create(LIVE, &text('x', 0..20));
    world.start();
    world.run_for(10_000);
    let looks = world.looks;
    for number in 20..40 {
        world.fs.append("/l/a.log.old", &text('o', number..number + 1));
        world.run_for(3_000);
    }
    assert_eq!(world.looks, looks);
}
