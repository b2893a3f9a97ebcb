//! Starts: the first one, and those that know rows of an earlier life.
//! Promises that rows of each kind lead to where they led, and that no row is saved without a reason.
//! Leaves rotations while the agent was down to the other cases.

use crate::Failure;
use crate::model::{World, pack};
use crate::worlds::{LIVE, all, only_live, rotate, text};
use crate::{FileKey, Fingerprint, Row, SavedState};

#[test]
fn files_of_a_filesystem_that_was_mounted_anew_are_not_sent_again() {
    for births in [true, false] {
        for running in [true, false] {
            let mut world = World::new(all);
            world.fs.births = births;
            world.fs.create(LIVE, &text('x', 0..300));
            world.fs.create("/l/a.log.1", &text('y', 0..300));
            world.start();
            world.run_for(10_000);
            if !running {
                world.stop();
            }
            world.fs.remount();
            if !running {
                world.start();
            }
            // Nobody tells of a new number: the sweep finds it.
            world.run_for(300_000);
            world.fs.append(LIVE, &text('z', 0..10));
            world.run_for(1_000);
            world.expect('x', 0..300);
            world.expect('y', 0..300);
            world.expect('z', 0..10);
        }
    }
}

#[test]
fn at_the_first_start_files_are_followed_from_the_end_and_later_ones_from_their_beginning() {
    let mut world = World::new(all);
    world.from_end = true;
    let old = [&text('x', 0..50)[..], b"begun"].concat();
    world.fs.create(LIVE, &old);
    world.fs.create("/l/a.log.1.gz", &pack(&text('z', 0..50)));
    world.start();
    world.run_for(500);
    assert!(world.has_begun() && world.lines.is_empty());
    world.fs.append(LIVE, b" and ended\n");
    world.fs.create("/l/a.log.new", &text('y', 0..20));
    world.run_for(500);
    assert_eq!(world.count(b"begun and ended"), 1);
    world.expect('y', 0..20);
    world.stop();
    world.fs.append(LIVE, &text('x', 50..60));
    world.start();
    world.run_for(20_000);
    world.expect('x', 50..60);
    assert_eq!(world.lines.len(), 1 + 20 + 10, "{:?}", world.lines);
}

/// Rows of before belonged to files; each kind of them is read forward once.
#[test]
fn rows_of_the_format_before_lead_to_where_they_led() {
    let whole = text('x', 0..100);
    let settled = text('x', 0..40).len() as u64;
    let fingerprint = |bytes: &[u8]| Fingerprint::of(&bytes[bytes.len().saturating_sub(1_024)..]);
    let old = |key: FileKey, path: &str, size: u64, changed: u64| {
        let (head, before) = (Fingerprint::of(&whole[..1_024]), fingerprint(&whole[..settled as usize]));
        Row::of_old_row(crate::ContentId(1), key, path.into(), settled, head, settled, before, size, changed, None)
    };
    let key = FileKey { device: 1, inode: 1, born: 1_000 };
    for case in ["plain", "rotated", "gone", "another device"] {
        let mut world = World::new(only_live);
        world.started = true;
        world.fs.create(LIVE, &whole);
        let row = old(key, LIVE, whole.len() as u64, 1);
        world.rows.insert(1, row);
        match case {
            "rotated" => rotate(&mut world, LIVE, crate::worlds::Rotation::Rename, 1, |_| {}),
            "gone" => world.fs.unlink(LIVE),
            "another device" => world.fs.remount(),
            _ => {}
        }
        world.start();
        world.run_for(20_000);
        if case == "gone" {
            assert!(world.lines.is_empty());
            assert_eq!(world.destroyed(), whole.len() as u64 - settled, "{:?}", world.notices);
        } else {
            world.expect('x', 40..100);
            assert_eq!(world.lines.len(), 60, "{case}");
        }
    }
    // Positions of the Kinesis Agent come without any evidence.
    let mut world = World::new(only_live);
    world.started = true;
    world.fs.create(LIVE, &whole);
    let nothing = Fingerprint::default();
    let id = crate::ContentId(1);
    world.rows.insert(1, Row::of_old_row(id, key, LIVE.into(), settled, nothing, 0, nothing, settled, 1, None));
    world.start();
    world.run_for(1_000);
    assert_eq!(world.lines.len(), 60);
    assert_eq!(world.rows.get(&1).map(|row| row.state), Some(SavedState::Followed));
}

/// At each start a row of every file was made and compared with the one that is saved: of a hundred thousand files 15 MiB, and
/// part of the time until the first of them was read.
#[test]
fn a_start_saves_no_row_that_says_already_where_its_file_lies() {
    let mut world = World::new(|path| path.extension().is_some_and(|extension| extension == "log"));
    world.start();
    (0..50).for_each(|number| world.fs.append(&format!("/l/{number}.log"), &text('x', number * 20..number * 20 + 20)));
    world.run_for(130_000);
    world.stop();
    let saved = world.saves;
    assert_eq!(world.rows.len(), 50);
    world.start();
    world.run_for(3_000);
    assert!(world.has_begun() && world.is_caught_up());
    assert_eq!(world.saves, saved, "nothing has changed");
    world.stop();
    world.fs.rename("/l/7.log", "/l/7.log.1");
    world.start();
    world.run_for(3_000);
    assert_eq!(world.saves, saved + 1, "one has another name");
    assert_eq!(world.rows.values().filter(|row| row.places[0].path.ends_with("7.log.1")).count(), 1);
}

/// Rotations of all flows are put into one folder. One of the folders of logs may not be listed: for as long as that was so,
/// nobody looked for the rotations of the others.
#[test]
fn a_folder_that_may_not_be_listed_hides_the_rotations_of_no_other() {
    for failure in [Failure::Denied, Failure::NoResource] {
        let mut world = World::new(|path| path.extension().is_some_and(|extension| extension == "log"));
        world.homes = vec!["/l".into(), "/m".into()];
        world.rotated_to = vec!["/r".into()];
        ["/m", "/r"].iter().for_each(|folder| world.fs.folder(folder));
        if failure == Failure::Denied {
            world.faults.failing.insert("/m".into(), failure);
        }
        world.fs.create(LIVE, &text('x', 0..40));
        world.start();
        world.run_for(1_000);
        world.stop();
        world.faults.failing.insert("/m".into(), failure);
        world.fs.append(LIVE, &text('x', 40..80));
        world.fs.rename(LIVE, "/r/a.log-20261101");
        world.fs.create(LIVE, &text('y', 0..20));
        world.start();
        world.run_for(5_000);
        if failure == Failure::NoResource {
            // Which is over in a moment, or nothing else works either.
            world.faults.failing.clear();
        }
        world.run_for(60_000);
        world.expect('y', 0..20);
        world.expect('x', 0..80);
    }
}

/// The first listing failed for want of a descriptor: the start was over with nothing seen, and all that lay there was sent.
#[test]
fn files_are_followed_from_their_end_though_the_first_listing_of_their_folder_failed_for_a_moment() {
    let mut world = World::new(all);
    world.from_end = true;
    world.fs.create(LIVE, &text('x', 0..50));
    world.faults.failing.insert("/l".into(), Failure::NoResource);
    world.start();
    world.run_for(1_500);
    assert!(!world.has_begun());
    world.faults.failing.clear();
    world.run_for(10_000);
    assert!(world.has_begun());
    world.fs.append(LIVE, &text('x', 50..60));
    world.run_for(10_000);
    world.expect('x', 50..60);
    assert_eq!(world.lines.len(), 10);
}
