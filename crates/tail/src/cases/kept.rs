//! Copies of a log that somebody keeps.
//! Promises that a kept copy hides nothing of the log that goes on, and is not sent again itself.
//! Leaves logs that are put away under any name to `put_away`.

use super::{AWAY, world_that_read_little, world_with_a_kept_copy};
use crate::Notice;
use crate::model::World;
use crate::worlds::{LIVE, PATTERNS, Rotation, all, only_live, rotate, text};
use std::path::Path;

/// Of a log of four lines too little is known to tell a copy. It was copied after it had grown, with the flow full: what was
/// copied was sent, and then the log.
#[test]
fn a_copy_of_a_log_of_which_little_was_read_waits_until_more_is_known() {
    for matches in PATTERNS {
        let mut world = world_that_read_little(matches);
        world.fs.copy(LIVE, "/l/a.log.1");
        world.run_for(500);
        world.faults.no_room = 0;
        world.run_for(10_000);
        world.expect('x', 0..80);
    }
}

/// The same, and a restored file took the name of the log: what had been open was read on without a name, and the copy of the
/// restored file was sent, too.
#[test]
fn a_copy_of_what_is_open_without_a_name_is_not_sent_again_though_little_of_it_was_read() {
    for matches in PATTERNS {
        let mut world = world_that_read_little(matches);
        world.fs.create(LIVE, &text('x', 0..80));
        world.fs.folder("/l/old");
        world.fs.copy(LIVE, "/l/old/a.log-20261102");
        world.fs.truncate(LIVE, 0);
        world.run_for(500);
        world.faults.no_room = 0;
        world.run_for(30_000);
        world.expect('x', 0..80);
    }
}

/// Somebody kept the log as `app.log.bak`. The log went on, was rotated and packed with the flow full: the archive counted as
/// a copy of what had been kept, and what came after that was lost.
#[test]
fn a_kept_copy_hides_nothing_of_the_rotation_that_goes_on_behind_it() {
    for (packed, settled) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new(only_live);
        world.start();
        world.fs.append(LIVE, &text('x', 0..40));
        world.run_for(if settled { 5_000 } else { 0 });
        world.faults.no_room = 100;
        world.fs.copy(LIVE, "/l/a.log.bak");
        world.run_for(200);
        world.fs.append(LIVE, &text('x', 40..160));
        world.run_for(200);
        let rotation = if packed { Rotation::RenameAndPack } else { Rotation::Rename };
        rotate(&mut world, LIVE, rotation, 1, |_| {});
        world.run_for(500);
        world.faults.no_room = 0;
        world.run_for(130_000);
        world.expect('x', 0..160);
        assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
    }
}

/// Of two kept copies the older one was read on when the log was cut, and what only the younger one held was counted as
/// destroyed.
#[test]
fn of_several_copies_the_one_that_holds_the_most_is_read_when_the_log_is_cut() {
    let mut world = world_with_a_kept_copy(only_live);
    world.run_for(500);
    world.fs.append(LIVE, &text('x', 80..120));
    world.run_for(500);
    world.fs.copy(LIVE, "/l/a.log.1");
    world.run_for(2_000);
    world.fs.truncate(LIVE, 0);
    world.run_for(500);
    world.faults.no_room = 0;
    world.run_for(130_000);
    world.expect('x', 0..120);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// The log was compared with the copy that rotation had made of it, from which nothing was read yet. It was cut meanwhile, and
/// a listing said so; all the same reading was to go on in the log, which was empty, and the copy counted as read.
#[test]
fn a_log_that_is_cut_while_it_is_compared_with_its_copy_is_read_in_the_copy() {
    for steps in 0..60 {
        let mut world = World::new(all);
        world.start();
        world.fs.append(LIVE, &text('x', 0..40));
        world.run_for(5_000);
        world.stop();
        // It is looked for at the start, and so the folder is listed once more.
        world.fs.rename(LIVE, AWAY);
        world.fs.append(LIVE, &text('y', 0..13));
        world.fs.copy(LIVE, "/l/a.log.1");
        world.faults.no_room = 100;
        world.start();
        world.run_steps(steps);
        world.fs.truncate(LIVE, 0);
        world.run_for(500);
        world.fs.append(LIVE, &text('z', 0..1));
        world.run_for(500);
        world.faults.no_room = 0;
        world.run_for(130_000);
        println!("cut after {steps} steps");
        world.expect('x', 0..40);
        world.expect('y', 0..13);
        world.expect('z', 0..1);
    }
}

/// The pattern matches the kept copy, too, and nothing else holds the end of the log: the loss was said of a file without a
/// name, and the next life knew no longer whose the log was.
#[test]
fn what_ends_in_a_kept_copy_keeps_the_name_of_its_log() {
    let mut world = world_with_a_kept_copy(all);
    world.run_for(3_000);
    world.fs.append(LIVE, &text('x', 80..120));
    world.run_for(500);
    world.fs.truncate(LIVE, 0);
    world.run_for(500);
    world.faults.no_room = 0;
    world.run_for(1_000);
    assert!(world.rows.values().all(|row| row.home.starts_with("/l")), "{:?}", world.rows);
    world.run_for(30_000);
    world.expect('x', 0..80);
    let named = |notice: &Notice| matches!(notice, Notice::Destroyed { path, .. } if path == Path::new("/l/a.log.bak"));
    assert_eq!(world.said(named), 1, "{:?}", world.notices);
    assert_eq!(world.destroyed(), text('x', 80..120).len() as u64);
}

/// The kept copy was longer than what was read, and shorter than the log: its end counted as that of the log, and then the
/// rest was found.
#[test]
fn nothing_counts_as_destroyed_while_what_holds_it_is_looked_for() {
    let mut world = world_with_a_kept_copy(only_live);
    world.run_for(3_000);
    world.fs.append(LIVE, &text('x', 80..120));
    world.run_for(500);
    world.fs.folder("/elsewhere");
    world.fs.copy(LIVE, AWAY);
    world.fs.truncate(LIVE, 0);
    world.run_for(500);
    world.faults.no_room = 0;
    world.run_for(200);
    world.fs.rename(AWAY, "/l/mine");
    world.run_for(130_000);
    world.expect('x', 0..120);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// A copy that was the log itself once, and in which the content came to lie, was asked anew under its next name as if nothing
/// were known of it, and read again.
#[test]
fn a_log_that_was_found_in_the_copy_that_it_had_been_is_not_read_again_under_its_next_name() {
    let mut world = World::new(all);
    world.fs.create("/l/a.log", &text('x', 0..59));
    world.start();
    world.run_for(10_000);
    world.fs.copy("/l/a.log", "/l/a.log.bak");
    world.run_for(1_000);
    world.fs.rename("/l/a.log", "/l/a.log.1");
    world.run_for(1_500);
    world.fs.create("/l/a.log.bak", &text('y', 0..15));
    world.fs.rename("/l/a.log.1", "/l/a.log.2");
    world.fs.create("/l/a.log.1", &text('z', 0..15));
    world.run_for(20_000);
    world.expect('x', 0..59);
    world.expect('y', 0..15);
    world.expect('z', 0..15);
}

/// One line of the log was read. It grew, somebody kept a copy of it, and it was renamed, all before anybody looked: the copy
/// was sent, too, without a word.
#[test]
fn a_copy_of_a_log_that_grew_and_was_renamed_in_the_same_moment_is_not_sent_again() {
    for matches in PATTERNS {
        let mut world = World::new(matches);
        world.start();
        world.fs.append(LIVE, &text('x', 0..1));
        world.run_for(10_000);
        world.fs.append(LIVE, &text('x', 1..200));
        world.fs.copy(LIVE, "/l/a.log.bak");
        world.fs.rename(LIVE, "/l/a.log.1");
        world.run_for(10_000);
        world.fs.append(LIVE, &text('x', 200..202));
        world.run_for(10_000);
        world.expect('x', 0..202);
        assert!(world.notices.is_empty(), "{:?}", world.notices);
    }
}
