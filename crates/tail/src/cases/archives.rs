//! Archives: their order, the decoders they need, and what is not read of them.
//! Promises that each is read once, or skipped and said.
//! Leaves unpacking to the shell.

use crate::model::World;
use crate::worlds::{LIVE, Rotation, all, line, only_live, rotate, text};
use crate::{Again, Notice};

/// Two decoders at a time; what found none free waited for a quarter of a second, or a tenth, though one was given back at
/// once: these took seven seconds that way.
#[test]
fn many_archives_are_read_one_after_the_other_without_waiting_for_decoders_that_are_free() {
    let mut world = World::new(|path| path.starts_with("/l"));
    world.start();
    world.run_for(100);
    world.stop();
    let logs: Vec<char> = ('a'..='h').collect();
    for log in &logs {
        for round in 0..8 {
            let live = format!("/l/{log}.log");
            world.fs.append(&live, &text(*log, round * 20..round * 20 + 20));
            rotate(&mut world, &live, Rotation::RenameAndPack, round, |_| {});
        }
    }
    let begun = world.now;
    world.start();
    let all =
        |world: &World| logs.iter().all(|log| (0..160).all(|number| world.count(line(*log, number).as_bytes()) > 0));
    while !all(&world) {
        world.run_for(10);
        assert!(world.now.ms_since(begun) < 60_000, "{:?}", world.notices);
    }
    logs.iter().for_each(|log| world.expect(*log, 0..160));
    assert!(world.now.ms_since(begun) < 4_000, "{} ms", world.now.ms_since(begun));
}

#[test]
fn an_archive_that_is_not_read_is_never_shipped_as_lines_and_said_once() {
    let mut world = World::new(all);
    world.start();
    world.fs.create(LIVE, &text('x', 0..50));
    world.run_for(500);
    world.fs.create("/l/a.log.1.zip", &[b"PK\x03\x04", &text('z', 0..50)[..]].concat());
    world.fs.unlink(LIVE);
    world.fs.create(LIVE, &text('y', 0..50));
    world.run_for(20_000);
    world.expect('x', 0..50);
    world.expect('y', 0..50);
    assert_eq!(world.count(line('z', 1).as_bytes()), 0);
    let skipped = world.said(|notice| matches!(notice, Notice::ArchiveSkipped { .. }));
    assert_eq!(skipped, 1, "{:?}", world.notices);
}

/// No descriptor was free for the oldest of some archives; the next two took both decoders and waited for it for ever.
#[test]
fn archives_that_wait_for_an_older_one_hold_no_decoder() {
    for seed in 0..40 {
        let mut world = World::new(all);
        world.random = fastrand::Rng::with_seed(seed);
        for number in 0..6 {
            world.fs.create("/l/text", &text('x', number * 20..number * 20 + 20));
            world.fs.compress("/l/text", &format!("{LIVE}.{}.gz", 9 - number));
        }
        world.start();
        world.faults.failures = 40;
        world.run_for(4_000);
        world.faults.failures = 0;
        world.run_for(60_000);
        world.expect('x', 0..120);
    }
}

/// Two archives hold beginnings of a log, and nothing its end. How much is in an archive shows only when it is read: each of
/// them is read once, not one after the other as long as the search goes on.
#[test]
fn archives_that_end_before_the_log_are_each_read_once() {
    let mut world = World::new(only_live);
    world.start();
    world.fs.append(LIVE, &text('x', 0..40));
    world.run_for(5_000);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 40..60));
    world.run_for(500);
    world.fs.compress(LIVE, "/l/a.log.bak.gz");
    world.run_for(3_000);
    world.fs.append(LIVE, &text('x', 60..80));
    world.run_for(500);
    world.fs.compress(LIVE, "/l/a.log.old.gz");
    world.run_for(3_000);
    world.fs.append(LIVE, &text('x', 80..120));
    world.run_for(500);
    world.fs.truncate(LIVE, 0);
    world.run_for(10);
    world.faults.no_room = 0;
    let before = world.looks;
    world.run_for(130_000);
    assert!(world.looks <= before + 2, "{} looks", world.looks - before);
    world.expect('x', 0..80);
    assert_eq!(world.said(|notice| matches!(notice, Notice::Destroyed { .. })), 1, "{:?}", world.notices);
}

/// What was read of a kept copy is not settled, and could still go wrong there: the archive that goes on behind it is read
/// from its beginning, which went without a word.
#[test]
fn an_archive_that_repeats_what_is_not_settled_yet_is_reported() {
    let mut world = World::new(all);
    world.settles = false;
    world.fs.create("/l/a.log.bak", &text('x', 0..57));
    world.start();
    world.run_for(1_000);
    world.fs.create("/l/a.log.1", &text('x', 0..80));
    world.fs.compress("/l/a.log.1", "/l/a.log.1.gz");
    world.fs.unlink("/l/a.log.1");
    world.run_for(5_000);
    world.settles = true;
    world.settle_all();
    world.run_for(20_000);
    world.expect('x', 57..80);
    let said = world.said(|notice| matches!(notice, Notice::ReadAgain { reason: Again::EqualInDoubt, .. }));
    assert_eq!(said, 1, "{:?}", world.notices);
}
