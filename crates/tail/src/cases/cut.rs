//! Logs that are cut, or written anew in their place.
//! Promises that what was delivered is not sent again, and that what comes behind a cut is read.
//! Leaves logs that are moved away to `moved`.

use crate::model::World;
use crate::worlds::{LIVE, PATTERNS, all, line, only_live, text};
use crate::{Again, Notice};
use std::path::Path;

/// Big files are deleted gently, in steps; each step once sent the whole rest again.
#[test]
fn a_delivered_file_that_is_cut_in_steps_is_not_sent_again() {
    for stopped in [false, true] {
        let mut world = World::new(only_live);
        world.limits.read = 256 * 1024;
        let whole = text('x', 0..5_000);
        world.fs.create(LIVE, &whole);
        world.start();
        world.run_for(500);
        for step in (0..10).rev() {
            if stopped {
                world.stop();
            }
            world.fs.truncate(LIVE, whole.len() * step / 10);
            if stopped {
                world.start();
            }
            world.run_for(700);
        }
        world.run_for(15_000);
        world.expect('x', 0..5_000);
        assert!(world.notices.is_empty(), "{:?}", world.notices);
        world.fs.append(LIVE, &text('y', 0..20));
        world.run_for(1_000);
        world.expect('y', 0..20);
    }
}

/// rsync, editors and restores put a longer copy in the place of a file.
#[test]
fn a_log_that_is_replaced_by_a_longer_copy_of_itself_goes_on_where_it_was() {
    for stopped in [false, true] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &text('x', 0..100));
        world.start();
        world.run_for(500);
        for round in 1..=3 {
            if stopped {
                world.stop();
            }
            let longer = text('x', 0..100 + round * 100);
            world.fs.create("/l/.a.log.Xyz", &longer[..longer.len() / 2]);
            world.fs.append("/l/.a.log.Xyz", &longer[longer.len() / 2..]);
            world.fs.rename("/l/.a.log.Xyz", LIVE);
            if stopped {
                world.start();
            }
            world.run_for(15_000);
            world.expect('x', 0..100 + round * 100);
        }
        // And by a shorter one that is restored: from where it is known to be equal, said.
        let shorter = text('x', 0..200);
        world.fs.create(LIVE, &shorter);
        world.run_for(15_000);
        assert!((0..400).all(|number| world.count(line('x', number).as_bytes()) <= 2));
        assert!((0..150).all(|number| world.count(line('x', number).as_bytes()) == 1), "equal up to 8 KiB");
        let upto = |notice: &Notice| matches!(notice, Notice::ReadAgain { reason: Again::EqualUpTo { .. }, .. });
        assert_eq!(world.said(upto), 1, "{:?}", world.notices);
    }
}

/// A network filesystem said for seconds that a file was shorter than what had been read: it was sent 38 times.
#[test]
fn a_size_that_lies_changes_nothing() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..2_000));
    world.start();
    world.run_for(500);
    for stale in [Some(1_000), None, Some(0), Some(80_000), None] {
        world.fs.stale(LIVE, stale);
        world.run_for(2_000);
    }
    world.fs.append(LIVE, &text('y', 0..50));
    world.run_for(20_000);
    world.expect('x', 0..2_000);
    world.expect('y', 0..50);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// A file that grew by being written anew was thought to have grown: bytes that never were counted as destroyed.
#[test]
fn bytes_that_were_only_seen_by_size_are_not_counted_as_destroyed() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..20));
    world.start();
    world.run_for(500);
    world.fs.overwrite(LIVE, &text('y', 0..60));
    world.run_for(20_000);
    world.expect('x', 0..20);
    world.expect('y', 0..60);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

#[test]
fn a_file_that_was_rewritten_with_the_same_length_while_nobody_looked_is_read_anew() {
    for quiet in [false, true] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &text('x', 0..50));
        world.start();
        world.run_for(if quiet { 300_000 } else { 500 });
        world.stop();
        world.fs.overwrite(LIVE, &text('y', 0..50));
        world.start();
        world.run_for(20_000);
        world.expect('x', 0..50);
        world.expect('y', 0..50);
    }
}

/// Two changes within a tick of the clock have the same stamp: only stamps that stood still are believed.
#[test]
fn a_file_that_was_rewritten_in_the_tick_of_its_last_change_is_read_anew() {
    for looks in [1, 2] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &text('x', 0..50));
        world.start();
        world.run_for(500);
        if looks == 2 {
            world.step(crate::Seen::EventsLost);
            world.run_for(300);
        }
        world.stop();
        world.fs.overwrite_within_the_tick(LIVE, &text('y', 0..50));
        world.start();
        world.run_for(20_000);
        world.expect('x', 0..50);
        world.expect('y', 0..50);
    }
}

/// The archive is gone, and so all that is left of a log is the beginning that it was cut to. What came behind it was taken
/// for what had been there before, as after another cut.
#[test]
fn what_is_written_behind_the_beginning_of_a_log_is_read_when_the_archive_of_the_whole_is_deleted() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log", &text('x', 0..48));
    world.start();
    world.run_for(50);
    world.fs.compress("/l/a.log", "/l/a.log.1.gz");
    world.run_for(3_000);
    world.fs.truncate("/l/a.log", text('x', 0..24).len());
    world.run_for(3_000);
    world.fs.unlink("/l/a.log.1.gz");
    world.fs.append("/l/a.log", &text('n', 0..1));
    world.run_for(20_000);
    world.expect('x', 0..48);
    world.expect('n', 0..1);
}

/// A log was cut, and nothing of it is settled while the service is away: a rotation of it was not looked at to the end before
/// that.
#[test]
fn a_rotation_of_a_log_that_was_cut_is_read_before_the_cut_is_settled() {
    for matches in PATTERNS {
        let mut world = World::new(matches);
        world.settles = false;
        world.fs.create("/l/a.log", &text('x', 0..80));
        world.start();
        world.run_for(1_000);
        world.expect('x', 0..80);
        world.fs.truncate("/l/a.log", text('x', 0..40).len());
        world.run_for(1_000);
        world.fs.create("/l/a.log.1", &text('y', 0..30));
        world.run_for(20_000);
        if matches(Path::new("/l/a.log.1")) {
            world.expect('y', 0..30);
        }
        world.fs.create("/l/a.log.2", &[text('x', 0..3), text('z', 0..30)].concat());
        world.run_for(20_000);
        if matches(Path::new("/l/a.log.2")) {
            world.expect('z', 0..30);
        }
        assert!(world.is_caught_up(), "nothing is asked again and again");
    }
}

/// The service is away, so the log that was cut waits to go on from there. When the whole was restored under another name, the
/// content moved there, and the lines behind the cut were forgotten.
#[test]
fn lines_behind_a_cut_are_read_when_the_whole_is_restored_under_another_name() {
    for matches in PATTERNS {
        let mut world = World::new(matches);
        world.settles = false;
        world.fs.create("/l/a.log", &text('x', 0..80));
        world.start();
        world.run_for(1_000);
        world.fs.truncate("/l/a.log", text('x', 0..40).len());
        world.run_for(1_000);
        world.fs.append("/l/a.log", &text('y', 0..30));
        world.run_for(5_000);
        world.fs.create("/l/a.log.1", &text('x', 0..80));
        world.run_for(20_000);
        world.settles = true;
        world.settle_all();
        world.run_for(400_000);
        world.expect('y', 0..30);
        assert!((0..80).all(|number| world.count(line('x', number).as_bytes()) > 0), "{:?}", world.notices);
    }
}

/// No event tells of the growth, and its time is that of the last change: only the comparison with a copy has seen it.
#[test]
fn growth_that_only_a_comparison_has_seen_is_read() {
    let mut world = World::new(all);
    world.fs.create("/l/a.log", &text('x', 0..40));
    world.start();
    world.run_for(20_000);
    world.fs.overwrite_within_the_tick("/l/a.log", &text('x', 0..45));
    world.faults.unheard.insert("/l/a.log".into());
    world.fs.create("/l/a.log.bak", &text('x', 0..45));
    world.run_for(400_000);
    world.expect('x', 0..45);
}

/// The log is deleted before anybody could look at what the cut has left. Each time that became a content without a file.
#[test]
fn what_is_left_of_a_log_that_was_cut_and_deleted_is_no_content_for_ever() {
    let mut world = World::new(only_live);
    for round in 0..4 {
        world.fs.create("/l/a.log", &text(['p', 'q', 'r', 's'][round], 0..80));
        if round == 0 {
            world.start();
        }
        world.run_for(60_000);
        world.fs.truncate("/l/a.log", text('p', 0..40).len());
        world.run_steps(1);
        world.fs.unlink("/l/a.log");
        world.run_for(600_000);
        assert!(world.rows.len() <= round + 1, "{:?}", world.rows.values().map(|row| row.state).collect::<Vec<_>>());
    }
}

/// What was written behind a cut waits until all before it is settled. When the log is deleted before that, it is lost, and
/// counted.
#[test]
fn lines_behind_a_cut_count_as_destroyed_when_the_log_is_deleted_before_they_could_be_read() {
    let mut world = World::new(only_live);
    world.settles = false;
    world.fs.create("/l/a.log", &text('x', 0..80));
    world.start();
    world.run_for(1_000);
    world.fs.truncate("/l/a.log", text('x', 0..40).len());
    world.run_for(1_000);
    world.fs.append("/l/a.log", &text('y', 0..30));
    world.run_for(5_000);
    world.fs.unlink("/l/a.log");
    world.run_for(60_000);
    world.settles = true;
    world.settle_all();
    world.run_for(100_000);
    assert_eq!((world.destroyed(), world.lag()), (text('y', 0..30).len() as u64, 0), "{:?}", world.notices);
}
