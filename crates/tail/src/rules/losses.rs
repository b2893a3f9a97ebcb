//! What is sought, what counts as destroyed, and what becomes of the end of a log.
//! Promises that bytes are counted once, and not before they are gone. Leaves evidence to `evidence`.

use crate::Notice;
use crate::cases::{AWAY, copied_away_and_cut, read_but_for_its_end};
use crate::model::{World, pack};
use crate::worlds::{LIVE, all, line, only_live, text};

fn destroyed(world: &World) -> usize {
    world.said(|notice| matches!(notice, Notice::Destroyed { .. }))
}

/// Bytes that only a size spoke of may never have been the log's own: when they are not there, nothing was destroyed.
#[test]
fn a_size_that_was_only_seen_is_no_loss_when_it_is_not_there() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(500);
    let size = text('x', 0..50).len();
    world.fs.append(LIVE, &text('x', 50..80));
    // The event is seen, and the read is on its way.
    world.run_steps(1);
    world.fs.truncate(LIVE, size);
    world.run_for(30_000);
    world.expect('x', 0..50);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// Without room the next read is far away. What is appended meanwhile is looked at when it is seen, so that it is known to
/// have been the log's own, should it be overwritten a moment later.
#[test]
fn what_is_appended_while_there_is_no_room_is_known_at_once() {
    let mut world = World::new(only_live);
    world.start();
    world.fs.create(LIVE, &text('x', 0..50));
    world.run_for(500);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 50..60));
    world.run_for(200);
    world.fs.append(LIVE, &text('x', 60..80));
    world.run_for(1);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(60_000);
    world.expect('x', 0..50);
    world.expect('y', 0..50);
    let lost = text('x', 50..80).len() as u64;
    assert_eq!((world.destroyed(), world.notices.len()), (lost, 1), "{:?}", world.notices);
    assert_eq!(world.rows.values().map(|row| row.counted.destroyed).sum::<u64>(), lost, "the row keeps count");
}

/// A log with unread lines is copied away and truncated; its successor waits three seconds for the copy to turn up.
#[test]
fn a_successor_waits_a_moment_for_what_is_sought_and_not_longer() {
    for comes in [true, false] {
        let mut world = World::new(only_live);
        world.fs.folder("/l/old");
        copied_away_and_cut(&mut world);
        world.run_for(1_000);
        if comes {
            world.fs.rename(AWAY, "/l/old/some-name");
        }
        world.run_for(5_000);
        world.expect('y', 0..50);
        let first = world.lines.iter().position(|line| line.starts_with(b"y"));
        let rest = world.lines.iter().rposition(|line| line.starts_with(b"x0079"));
        assert_eq!(comes, rest.is_some(), "{:?}", world.notices);
        assert!(rest < first, "the rest of the older log came after the younger one");
    }
}

/// Of a log of four lines too little is known to tell its copy, which was sent in doubt. What the log had lost by the next
/// truncation was counted as destroyed, though the copy had it.
#[test]
fn what_was_sent_in_doubt_is_not_destroyed() {
    for packed in [false, true] {
        let mut world = World::new(all);
        world.start();
        world.fs.append(LIVE, &text('x', 0..4));
        world.run_for(100);
        world.faults.no_room = 100;
        world.fs.append(LIVE, &text('x', 4..80));
        world.run_for(200);
        if packed {
            world.fs.compress(LIVE, "/l/a.log.1.gz");
        } else {
            world.fs.copy(LIVE, "/l/a.log.1");
        }
        world.run_for(10_000);
        world.fs.truncate(LIVE, 0);
        world.run_for(30_000);
        world.faults.no_room = 0;
        world.run_for(30_000);
        assert!((0..80).all(|number| world.count(line('x', number).as_bytes()) > 0), "{:?}", world.notices);
        assert_eq!(destroyed(&world), 0, "{:?}", world.notices);
    }
}

/// The rotation of before, a younger file of another name, a shorter one under its own: none of them has the lines that were
/// lost, so they count as destroyed.
#[test]
fn what_only_seems_to_cover_a_loss_does_not_hide_it() {
    let mut world = World::new(all);
    world.fs.create("/l/a.log.1", &text('w', 0..100));
    world.start();
    world.run_for(500);
    world.fs.create(LIVE, &text('x', 0..4));
    world.run_for(500);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 4..80));
    world.run_for(200);
    world.fs.create("/l/a.log-other", &text('v', 0..100));
    world.run_for(500);
    world.fs.overwrite(LIVE, &text('y', 0..10));
    world.run_for(60_000);
    world.faults.no_room = 0;
    world.run_for(60_000);
    world.expect('w', 0..100);
    world.expect('v', 0..100);
    world.expect('y', 0..10);
    assert_eq!(world.destroyed(), text('x', 4..80).len() as u64, "{:?}", world.notices);
}

/// The copy of a log of which little was read was taken for a stranger, as the log was still there. When the log is truncated,
/// strangers are compared again.
#[test]
fn a_stranger_is_compared_again_when_a_log_is_lost() {
    for lines in [2, 4, 6] {
        let mut world = World::new(only_live);
        world.start();
        world.fs.append(LIVE, &text('x', 0..lines));
        world.run_for(200_000);
        world.faults.no_room = 100;
        world.fs.append(LIVE, &text('x', lines..40));
        world.run_for(200);
        world.fs.copy(LIVE, "/l/a.log.1");
        world.run_for(10_000);
        world.fs.truncate(LIVE, 0);
        world.run_for(1_000);
        world.faults.no_room = 0;
        world.run_for(30_000);
        assert!((0..40).all(|number| world.count(line('x', number).as_bytes()) > 0), "{:?}", world.notices);
    }
}

/// Truncated, moved to where nobody looks, and written to: only the descriptor by which it was open leads there.
#[test]
fn what_is_written_to_an_open_file_that_was_truncated_and_moved_away_is_read() {
    let mut world = World::new(only_live);
    world.fs.folder("/elsewhere");
    world.start();
    world.fs.create(LIVE, &text('x', 0..50));
    world.run_for(500);
    world.fs.truncate(LIVE, 0);
    world.fs.rename(LIVE, AWAY);
    world.fs.append(AWAY, &text('y', 0..20));
    world.run_for(20_000);
    world.expect('x', 0..50);
    world.expect('y', 0..20);
}

/// The last line of a rotation had no end, and after minutes it was sent as it was. When its rest comes the line is sent whole,
/// not its rest as a line of its own.
#[test]
fn a_line_that_was_thought_ended_is_sent_whole_when_it_goes_on() {
    for (deleted, stopped) in [(false, false), (true, false), (true, true)] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &[text('x', 0..50), b"begun".to_vec()].concat());
        world.start();
        world.run_for(500);
        world.fs.rename(LIVE, "/l/a.log.1");
        let whole = [text('x', 0..50), b"begun and ended\n".to_vec()].concat();
        if deleted {
            world.fs.unlink("/l/a.log.1");
            world.run_for(60_000);
            if stopped {
                world.stop();
            }
            world.fs.create(LIVE, &whole);
            if stopped {
                world.start();
            }
        } else {
            world.run_for(300_000);
            world.fs.append("/l/a.log.1", b" and ended\n");
        }
        world.run_for(20_000);
        assert_eq!((world.count(b"begun"), world.count(b"begun and ended")), (1, 1), "{deleted} {stopped}");
        world.expect('x', 0..50);
    }
}

/// What was counted as destroyed and turns up after all is read, and the count taken back.
#[test]
fn what_turns_up_after_it_was_counted_as_destroyed_is_recovered() {
    let mut world = World::new(only_live);
    copied_away_and_cut(&mut world);
    world.run_for(30_000);
    assert_eq!(world.destroyed(), text('x', 50..80).len() as u64);
    world.fs.rename(AWAY, "/l/a.log.1");
    world.run_for(30_000);
    world.expect('x', 0..80);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
    assert_eq!(world.rows.values().map(|row| row.counted.destroyed).sum::<u64>(), 0);
}

/// An archive that is deleted before it had a decoder: what it held is not known, so its packed size counts.
#[test]
fn an_archive_that_is_deleted_before_it_was_opened_counts_with_its_packed_size() {
    let mut world = World::new(all);
    world.limits.open = 1;
    world.faults.no_room = 100;
    for which in ['x', 'y'] {
        world.fs.create(&format!("/l/a.log-{which}"), &pack(&text(which, 0..50)));
    }
    world.start();
    world.run_for(5_000);
    assert_eq!(world.lag(), 2 * pack(&text('x', 0..50)).len() as u64, "what waits in archives is lag");
    assert_eq!(world.open_files(), 1);
    for which in ['x', 'y'] {
        world.fs.unlink(&format!("/l/a.log-{which}"));
    }
    world.run_for(1_000);
    world.faults.no_room = 0;
    world.run_for(60_000);
    assert_eq!(world.lines.len(), 50, "one was open");
    assert_eq!(world.destroyed(), pack(&text('y', 0..50)).len() as u64, "{:?}", world.notices);
}

/// The unread end of a log was cut off: that much is destroyed, and the rest is the log as before.
#[test]
fn an_unread_end_that_is_cut_off_is_destroyed_and_the_rest_goes_on() {
    let mut world = World::new(only_live);
    read_but_for_its_end(&mut world);
    world.fs.truncate(LIVE, text('x', 0..60).len());
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(60_000);
    world.expect('x', 0..60);
    assert_eq!((world.destroyed(), world.notices.len()), (text('x', 60..80).len() as u64, 1), "{:?}", world.notices);
    assert_eq!(world.rows.len(), 1, "it is one content: {:?}", world.rows);
}

/// While something is sought its folder is listed once a second, which costs something in a large one.
#[test]
fn a_folder_in_which_something_is_sought_is_listed_every_second() {
    let mut world = World::new(only_live);
    read_but_for_its_end(&mut world);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(1_000);
    let listings = world.listed.len();
    world.run_for(5_000);
    // `/l`, and the four folders where rotations may lie.
    let each = (world.listed.len() - listings) as f64 / 5.0;
    assert!((3.0..=6.0).contains(&each), "{each} listings for each folder in five seconds");
}
