//! Rules of the core, one by one: each test breaks when its rule is taken out.
//! Promises for each rule the world in which nothing else makes up for it.
//! Leaves stories of rotation to `cases`, all worlds and chance to `worlds`.

use crate::cases::{AWAY, copied_away_and_cut, read_but_for_its_end};
use crate::model::{World, pack};
use crate::proof::{Boundary, Proof, Verdict, WINDOW, Weight};
use crate::worlds::{LIVE, PATTERNS, Rotation, all, line, only_live, rotate, text};
use crate::{
    Again, ContentId, Failure, FileKey, Fingerprint, FolderId, Notice, Part, Row, Sample, SavedState, Seen, Status,
};

/// Lines that stand once in each file, at its beginning.
fn count_of(world: &World, text: &[u8]) -> Vec<u32> {
    text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(|line| world.count(line)).collect()
}

fn destroyed(world: &World) -> usize {
    world.notices.iter().filter(|notice| matches!(notice, Notice::Destroyed { .. })).count()
}

/// Bytes that do not repeat themselves, without a line end.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..length).map(|_| b'a' + random.u8(..26)).collect()
}

/// A log in whose place another comes, which begins and ends like it and was never seen. Equal evidence of too little
/// weight once made them one: what the second held in its own right was lost.
fn replaced_while_stopped(first: &[u8], second: &[u8]) -> World {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, first);
    world.start();
    world.run_for(500);
    world.stop();
    world.fs.create(LIVE, second);
    world.start();
    world.run_for(20_000);
    world
}

/// Evidence needs two lines: a header that every file has is one.
#[test]
fn a_header_of_one_line_proves_nothing_however_long_it_is() {
    let header = [noise(1, 600), b"\n".to_vec()].concat();
    let world = replaced_while_stopped(&header, &[header.clone(), text('y', 0..5)].concat());
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
    world.expect('y', 0..5);
}

/// Lines that begin with `#` are a header, however many there are.
#[test]
fn a_header_of_comments_proves_nothing_however_many_they_are() {
    let header: Vec<u8> =
        (0..12).flat_map(|number| [b"#".to_vec(), noise(number, 60), b"\n".to_vec()].concat()).collect();
    let world = replaced_while_stopped(&header, &[header.clone(), text('y', 0..5)].concat());
    assert_eq!(count_of(&world, &header), [2; 12], "{:?}", world.notices);
    world.expect('y', 0..5);
}

/// The same line again and again may have been written any number of times.
#[test]
fn a_beginning_that_repeats_itself_proves_nothing() {
    let lines = b"GET /healthz 200, as every second\n".repeat(12);
    let world = replaced_while_stopped(&lines, &lines);
    assert_eq!(world.lines.len(), 24, "{:?}", world.notices);
}

/// A file that ends as it begins shows the same bytes at both ends, whatever is between.
#[test]
fn an_end_that_equals_the_beginning_proves_nothing() {
    let mut ends = text('a', 0..40);
    ends.truncate(1_023);
    ends.push(b'\n');
    let file = |which| [ends.clone(), text(which, 0..300), ends.clone()].concat();
    let world = replaced_while_stopped(&file('x'), &file('y'));
    world.expect('x', 0..300);
    world.expect('y', 0..300);
}

/// What is long enough is no header, be it few lines: a copy of it beside the log is a copy.
#[test]
fn a_copy_of_a_long_log_of_few_lines_is_not_sent() {
    let lines: Vec<u8> = (0..4).flat_map(|seed| [noise(seed, 20_000), b"\n".to_vec()].concat()).collect();
    let mut world = World::new(all);
    world.fs.create(LIVE, &lines);
    world.start();
    world.run_for(500);
    world.fs.copy(LIVE, "/l/a.log.copy");
    world.run_for(20_000);
    assert_eq!((world.lines.len(), world.notices.len()), (4, 0), "{:?}", world.notices);
}

/// A file that is only a header was thought a copy of a log that begins with it, as it was equal to its last byte.
#[test]
fn a_file_that_is_only_the_header_of_another_is_sent() {
    let header = format!("{}\n", "time,host,service,level,message,".repeat(20)).into_bytes();
    let mut world = World::new(all);
    world.fs.create(LIVE, &[header.clone(), text('x', 0..50)].concat());
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.other", &header);
    world.run_for(20_000);
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
}

/// Equal up to a line end within the first 4 KiB, two files may just have the same long header: both are sent whole.
#[test]
fn a_long_header_of_many_lines_is_sent_of_every_file() {
    let header = text('h', 0..30);
    let file = |which| [header.clone(), text(which, 0..100)].concat();
    let world = replaced_while_stopped(&file('x'), &file('y'));
    assert_eq!(count_of(&world, &header), [2; 30], "{:?}", world.notices);
    world.expect('x', 0..100);
    world.expect('y', 0..100);
}

/// A copy of a log that stays where it is, and goes on by itself: sent is what only the copy holds.
#[test]
fn of_a_longer_copy_beside_a_log_only_what_is_new_is_sent() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &[text('x', 0..200), text('y', 0..20)].concat());
    world.run_for(30_000);
    world.expect('x', 0..200);
    world.expect('y', 0..20);
}

/// A file that is equal to the beginning of a log is read from where that log is settled. If the agent is killed, what was
/// in flight is read again from this file, because there is no other.
#[test]
fn a_file_that_begins_like_an_unsettled_log_is_read_from_where_that_is_settled() {
    let mut world = World::new(only_live);
    // Long reads, in which boundaries lie at line ends.
    (world.settles, world.limits.read) = (false, 256 * 1024);
    world.fs.create(LIVE, &text('x', 0..400));
    world.start();
    world.run_for(500);
    world.fs.create(LIVE, &[text('x', 0..300), text('y', 0..300)].concat());
    world.run_for(20_000);
    assert!(world.rows.values().all(|row| row.position == 0), "{:?}", world.rows);
    assert!((0..300).all(|number| world.count(line('y', number).as_bytes()) > 0));
}

/// Between the look at a file and its first turn something else was written over it: that was delivered as the content that
/// had been looked at, and once more after the next start, when it turned out to be another.
#[test]
fn what_is_written_over_a_log_before_its_first_turn_is_sent_once() {
    for lines in [3, 20, 50] {
        let mut world = World::new(only_live);
        world.fs.create(LIVE, &text('x', 0..50));
        (world.faults.no_room, world.faults.lost_events) = (100, 100);
        world.start();
        world.run_for(500);
        world.fs.overwrite(LIVE, &text('y', 0..lines));
        world.faults.no_room = 0;
        world.run_for(20_000);
        world.stop();
        world.start();
        world.run_for(20_000);
        world.expect('y', 0..lines);
    }
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

/// A log of which 50 lines were read has lived for long; then it is rotated to where nobody looks, and the next log `z` with
/// it. A third one has its name by now.
fn two_rotations_unseen(pause: u64) -> World {
    let mut world = World::new(only_live);
    world.fs.folder("/elsewhere");
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(pause);
    world.fs.rename(LIVE, "/elsewhere/first");
    world.fs.create(LIVE, &text('z', 0..50));
    world.fs.rename(LIVE, AWAY);
    world.fs.create(LIVE, &text('y', 0..20));
    world
}

/// A slow tool brings a rotation half a minute late, of a log that nobody saw: the folder has been looked at since the next
/// log came, and still it is the log that came just before.
#[test]
fn a_rotation_that_comes_half_a_minute_late_is_read() {
    let mut world = two_rotations_unseen(200_000);
    world.run_for(30_000);
    world.fs.rename(AWAY, "/l/a.log.1");
    world.run_for(20_000);
    world.expect('z', 0..50);
    world.expect('y', 0..20);
}

/// The same, and the agent is stopped while the rotation is on its way: that the log is new is in its row, however often that
/// was saved.
#[test]
fn a_rotation_that_comes_while_the_agent_is_stopped_soon_after_a_new_log_is_read() {
    let mut world = two_rotations_unseen(200_000);
    for round in 1..4 {
        world.run_for(4_000);
        world.fs.append(LIVE, &text('y', round * 20..round * 20 + 20));
    }
    world.run_for(4_000);
    world.stop();
    world.fs.rename(AWAY, "/l/a.log.1");
    world.start();
    world.run_for(20_000);
    world.expect('z', 0..50);
    world.expect('y', 0..80);
}

/// The same, and nobody may read the rotation for minutes: as long as it is not judged, the log is new.
#[test]
fn a_log_is_new_as_long_as_something_beside_it_cannot_be_read() {
    let mut world = two_rotations_unseen(200_000);
    world.run_for(1_000);
    world.faults.failing.insert("/l/a.log.1".into(), Failure::Denied);
    world.fs.rename(AWAY, "/l/a.log.1");
    for round in 1..6 {
        world.run_for(40_000);
        world.fs.append(LIVE, &text('y', round * 20..round * 20 + 20));
    }
    world.run_for(1_000);
    world.stop();
    world.faults.failing.clear();
    world.start();
    world.run_for(60_000);
    world.expect('z', 0..50);
    world.expect('y', 0..120);
}

/// An empty log of long ago: written, copied, truncated and written again between two looks. The first bytes that are seen of
/// it are those of a new log, wherever they are seen: by a read, a check while there is no room, or the next start.
#[test]
fn the_first_bytes_of_an_empty_log_make_it_new() {
    for (no_room, stopped) in [(0, false), (100, false), (0, true)] {
        let mut world = World::new(only_live);
        world.start();
        world.run_for(500);
        // It is truncated while it is asked what it holds, so it is known, and nothing is known of it.
        world.fs.create(LIVE, &text('q', 0..1));
        world.run_steps(1);
        world.fs.truncate(LIVE, 0);
        world.run_for(200_000);
        world.faults.no_room = no_room;
        if stopped {
            world.stop();
        }
        world.fs.append(LIVE, &text('z', 0..50));
        world.fs.copy(LIVE, "/l/a.log.1");
        world.fs.overwrite(LIVE, &text('y', 0..50));
        if stopped {
            world.start();
        }
        world.run_for(3_000);
        world.faults.no_room = 0;
        world.run_for(20_000);
        world.expect('z', 0..50);
        world.expect('y', 0..50);
    }
}

/// A log was restored under its name after another had been there that nobody saw: what lies there is old, and has come just
/// now all the same.
#[test]
fn a_restored_log_is_new_under_its_name() {
    for stopped in [false, true] {
        let mut world = World::new(only_live);
        world.fs.folder("/elsewhere");
        world.fs.create(LIVE, &text('x', 0..50));
        world.start();
        world.run_for(200_000);
        if stopped {
            world.stop();
        }
        world.fs.rename(LIVE, "/elsewhere/first");
        world.fs.create(LIVE, &text('z', 0..50));
        world.fs.rename(LIVE, AWAY);
        world.fs.copy("/elsewhere/first", LIVE);
        if stopped {
            world.start();
        }
        world.run_for(5_000);
        world.fs.rename(AWAY, "/l/a.log.1");
        world.run_for(20_000);
        world.expect('x', 0..50);
        world.expect('z', 0..50);
    }
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

/// An archive that is still being written is older than the rotations behind it: they wait for it.
#[test]
fn younger_rotations_wait_for_an_archive_that_is_not_whole_yet() {
    for matches in PATTERNS {
        let mut world = World::new(matches);
        world.fs.create(LIVE, &text('x', 0..20));
        world.start();
        world.run_for(500);
        world.stop();
        let archive = pack(&text('x', 0..40));
        world.fs.rename(LIVE, "/l/a.log.2");
        world.fs.unlink("/l/a.log.2");
        world.fs.create("/l/a.log.2.gz", &archive[..archive.len() / 2]);
        world.fs.create("/l/a.log.1", &text('x', 40..60));
        world.fs.create(LIVE, &text('x', 60..80));
        world.start();
        world.run_for(2_500);
        world.fs.overwrite("/l/a.log.2.gz", &archive);
        world.run_for(30_000);
        world.expect('x', 0..80);
        assert!(world.lines.is_sorted(), "older rotations come first");
    }
}

/// A log loses its name while it is empty, or before anybody knows what it holds: its writer goes on under a name that
/// nothing matches.
#[test]
fn what_is_written_to_a_log_that_lost_its_name_while_it_was_empty_is_read() {
    let mut world = World::new(only_live);
    world.start();
    world.fs.create(LIVE, b"");
    world.run_for(500);
    world.fs.rename(LIVE, "/l/moved-9");
    world.run_for(100);
    world.fs.append("/l/moved-9", &text('y', 0..20));
    world.run_for(20_000);
    world.expect('y', 0..20);
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

/// Nobody knows what is a rotation of a log in `old` before the folder of the logs could be listed: what was found there
/// was taken for nobody's.
#[test]
fn rotations_elsewhere_wait_until_the_folder_of_their_logs_could_be_listed() {
    for (denied, disorder) in [(true, false), (false, true), (true, true)] {
        for seed in 0..10 {
            let mut world = World::new(only_live);
            world.random = fastrand::Rng::with_seed(seed);
            world.fs.folder("/l/old");
            world.fs.create(LIVE, &text('x', 0..20));
            world.start();
            world.run_for(200_000);
            world.stop();
            for round in 1..4 {
                world.fs.append(LIVE, &text('x', round * 20..round * 20 + 20));
                rotate(&mut world, LIVE, Rotation::CopyTruncateAway, round, |_| {});
            }
            world.fs.append(LIVE, &text('y', 0..20));
            world.faults.disorder = disorder;
            if denied {
                world.faults.failing.insert("/l".into(), Failure::Denied);
            }
            world.start();
            world.run_for(15_000);
            world.faults.failing.clear();
            world.run_for(30_000);
            world.expect('x', 0..80);
            world.expect('y', 0..20);
        }
    }
}

/// At the first start `old` holds what was rotated before anybody came. Listed before the folder of the logs, whose names
/// tell what is a rotation, it was found to hold nothing; at the next look all of it had just come.
#[test]
fn what_lay_elsewhere_before_the_first_start_is_not_read_though_its_folder_is_listed_at_once() {
    for (denied, disorder) in [(true, false), (false, true), (true, true)] {
        for seed in 0..10 {
            let mut world = World::new(only_live);
            world.random = fastrand::Rng::with_seed(seed);
            world.fs.folder("/l/old");
            world.fs.create("/l/old/a.log-20261101", &text('o', 0..50));
            world.fs.create(LIVE, &text('x', 0..20));
            world.faults.disorder = disorder;
            if denied {
                world.faults.failing.insert("/l".into(), Failure::Denied);
            }
            world.start();
            world.run_for(15_000);
            world.faults.failing.clear();
            world.run_for(300_000);
            world.expect('x', 0..20);
            assert_eq!(world.count(line('o', 1).as_bytes()), 0, "{denied} {disorder} {seed}: {:?}", world.notices);
        }
    }
}

/// An older rotation whose filesystem does not answer holds younger ones back for some seconds, not for as long as that
/// lasts.
#[test]
fn younger_rotations_do_not_wait_for_ever_for_one_that_cannot_be_had() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..20));
    world.start();
    world.run_for(500);
    world.stop();
    for round in 1..3 {
        rotate(&mut world, LIVE, Rotation::Rename, round, |_| {});
        world.fs.create(LIVE, &text('x', round * 20..round * 20 + 20));
    }
    world.fs.create("/l/a.log.3", &text('w', 0..20));
    world.faults.failing.insert("/l/a.log.3".into(), Failure::Stale);
    world.start();
    world.run_for(30_000);
    world.expect('x', 0..60);
    world.faults.failing.clear();
    world.run_for(30_000);
    world.expect('w', 0..20);
}

/// A log got a name that nothing matches, and that it had lost its own was not seen. The copy of the next log was taken for a
/// stranger then, as the first was thought to lie where it always had; once its name is seen to be lost, it is compared again.
#[test]
fn a_stranger_is_compared_again_when_a_log_turns_out_to_have_lost_its_name() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(200_000);
    // It is open, and so not sought without a name.
    world.fs.append(LIVE, &text('x', 50..60));
    world.run_for(500);
    world.faults.unheard.insert(LIVE.into());
    world.fs.rename(LIVE, "/l/moved-1");
    world.run_for(1_000);
    world.fs.create(LIVE, &text('z', 0..50));
    world.fs.copy(LIVE, "/l/a.log.1");
    world.fs.truncate(LIVE, 0);
    world.run_for(100);
    world.faults.unheard.clear();
    world.fs.truncate(LIVE, 0);
    world.run_for(20_000);
    world.expect('x', 0..60);
    world.expect('z', 0..50);
}

/// Five lines, copied before the first look, and truncated before there was room to read them. Too little is known of them to
/// compare, so name and beginning decide; the copy had been taken for what was there before.
#[test]
fn a_copy_that_was_made_before_the_first_look_is_found_by_its_name_and_its_beginning() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..5));
    world.fs.copy(LIVE, "/l/a.log.1");
    world.faults.no_room = 100;
    world.start();
    world.run_for(1_000);
    world.fs.truncate(LIVE, 0);
    world.run_for(1_000);
    world.faults.no_room = 0;
    world.run_for(30_000);
    world.expect('x', 0..5);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
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

/// A plain file goes on where an archive of it ends: a restored log.
#[test]
fn a_file_that_goes_on_where_an_archive_ends_is_read_from_there() {
    let mut world = World::new(all);
    world.fs.create("/l/a.log.1.gz", &pack(&text('x', 0..100)));
    world.start();
    world.run_for(5_000);
    world.fs.create("/l/a.log.copy", &[text('x', 0..100), text('y', 0..20)].concat());
    world.run_for(30_000);
    world.expect('x', 0..100);
    world.expect('y', 0..20);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// A tool writes the copy first: the log grows by the same lines a second later.
#[test]
fn a_copy_that_is_ahead_of_its_log_for_a_second_is_a_copy() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &text('x', 0..220));
    world.run_for(1_000);
    world.fs.append(LIVE, &text('x', 200..220));
    world.run_for(30_000);
    world.expect('x', 0..220);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
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
    let said = |wanted: fn(&Notice) -> bool| world.notices.iter().filter(|notice| wanted(notice)).count();
    assert_eq!(said(|notice| matches!(notice, Notice::NoResource)), 1);
    assert_eq!(said(|notice| matches!(notice, Notice::ResourcesAgain)), 1);
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

/// Where inodes are used again, and nothing tells their ages apart, a stranger's inode may be that of a rotation next.
#[test]
fn a_rotation_with_the_inode_of_a_deleted_stranger_is_no_stranger() {
    let mut world = World::new(only_live);
    (world.fs.births, world.fs.reuse) = (false, true);
    world.fs.folder("/elsewhere");
    world.fs.create("/l/a.log.1", &text('o', 0..50));
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(3_000);
    world.fs.unlink("/l/a.log.1");
    world.run_for(5);
    world.fs.create("/l/a.log.1", &text('z', 0..50));
    world.fs.rename(LIVE, AWAY);
    world.fs.create(LIVE, &text('y', 0..50));
    world.run_for(30_000);
    world.expect('z', 0..50);
    world.expect('y', 0..50);
    assert_eq!(world.count(line('o', 1).as_bytes()), 0);
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

/// An empty log gets lines while there is no room; before one of them is read it is copied to a name that tells nothing, and
/// truncated. By its beginning, looked at while it waited, it is known.
#[test]
fn a_log_of_which_nothing_was_read_is_known_by_its_beginning() {
    let mut world = World::new(only_live);
    world.fs.folder("/l/old");
    world.start();
    world.run_for(500);
    world.fs.create(LIVE, &text('q', 0..1));
    world.run_steps(1);
    world.fs.truncate(LIVE, 0);
    world.run_for(10_000);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('z', 0..50));
    world.run_for(300);
    world.fs.append(LIVE, &text('z', 50..60));
    world.run_for(300);
    world.fs.copy(LIVE, "/l/old/some-name");
    world.fs.truncate(LIVE, 0);
    world.run_for(2_000);
    world.faults.no_room = 0;
    world.run_for(30_000);
    world.expect('z', 0..60);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// An archive that is being written has at least ten seconds to become whole.
#[test]
fn an_archive_that_becomes_whole_within_ten_seconds_is_not_given_up() {
    // So short that its beginning cannot be had.
    let archive = pack(&text('x', 0..20));
    for (seconds, skipped) in [(9, 0), (30, 1)] {
        let mut world = World::new(all);
        world.start();
        world.run_for(500);
        world.fs.create("/l/a.log.1.gz", &archive[..archive.len() / 2]);
        world.run_for(seconds * 1_000);
        world.fs.overwrite("/l/a.log.1.gz", &archive);
        world.run_for(30_000);
        world.expect('x', 0..20);
        let said = world.notices.iter().filter(|notice| matches!(notice, Notice::ArchiveSkipped { .. })).count();
        assert_eq!(said, skipped, "{:?}", world.notices);
    }
}

/// A log of few lines that is restored by a copy goes on where it was: two lines are more than a header.
#[test]
fn a_copy_of_a_log_of_three_lines_takes_its_place() {
    let lines = |numbers: std::ops::Range<u64>| -> Vec<u8> {
        numbers.flat_map(|seed| [noise(seed, 120), b"\n".to_vec()].concat()).collect()
    };
    let world = replaced_while_stopped(&lines(0..3), &lines(0..4));
    assert_eq!(count_of(&world, &lines(0..4)), [1; 4], "{:?}", world.notices);
}

/// The proof of these bytes, read in pieces that end at these positions.
fn proof_of(bytes: &[u8], ends: &[usize]) -> Proof {
    let (mut proof, mut from) = (Proof::default(), 0);
    for end in ends.iter().copied().chain([bytes.len()]) {
        let start = from - from.min(WINDOW as usize);
        proof.advance(start as u64, from as u64, &bytes[start..end]);
        from = end;
    }
    proof
}

/// What a file with these bytes answers to all questions about the first `read` bytes.
fn sample_of(bytes: &[u8], ranges: Vec<std::ops::Range<u64>>) -> Sample {
    let within = |position: u64| position.min(bytes.len() as u64) as usize;
    let part =
        |range: std::ops::Range<u64>| Part { bytes: bytes[within(range.start)..within(range.end)].to_vec(), range };
    let status = Status { size: bytes.len() as u64, ..Status::default() };
    Sample { status, parts: ranges.into_iter().map(part).collect(), ..Sample::default() }
}

#[test]
fn a_proof_judges_whole_files_beginnings_and_others_at_any_position() {
    let whole = text('x', 0..300);
    let other = [text('x', 0..150), text('y', 0..150)].concat();
    let proof = proof_of(&whole, &[1_000, 3_000, 6_500, 7_001, 9_999]);
    for read in [1_000, 3_000, 6_500, 7_001, 9_999, whole.len() as u64] {
        let ranges = || proof.ranges(read, 0);
        let verdict = |bytes: &[u8]| proof.against(read, &sample_of(bytes, ranges()));
        assert_eq!(verdict(&whole), Verdict::Same(Weight::Strong), "{read}");
        assert_eq!(verdict(&whole[..read as usize]), Verdict::Same(Weight::Strong), "{read}");
        assert_eq!(verdict(&text('y', 0..300)), Verdict::Other, "{read}");
        let equal = text('x', 0..150).len() as u64;
        match verdict(&other) {
            Verdict::Same(_) => assert!(read <= equal),
            Verdict::Prefix { up_to, diverged, weight } => {
                assert!(read > equal && diverged && weight == Weight::Strong);
                assert!(up_to <= equal && up_to >= 2_000 && other[up_to as usize - 1] == b'\n', "{read}: {up_to}");
            }
            verdict => panic!("{read}: {verdict:?}"),
        }
        match verdict(&whole[..900]) {
            Verdict::Prefix { up_to, diverged: false, .. } => assert!(whole[up_to as usize - 1] == b'\n'),
            verdict => assert!(read <= 900, "{read}: {verdict:?}"),
        }
    }
    for limit in [500, 1_000, 5_000, 6_600, 9_999] {
        let (end, weight) = proof.line_upto(limit, &sample_of(&whole, proof.ranges(9_999, 0))).unwrap();
        assert!(end <= limit && end * 3 > limit && whole[end as usize - 1] == b'\n', "{limit}: {end}");
        assert_eq!(weight == Weight::Strong, end >= 400, "{limit}");
    }
    assert_eq!(proof.against(9_999, &sample_of(&whole, Vec::new())), Verdict::Need(proof.ranges(9_999, 0)));
}

#[test]
fn boundaries_ascend_and_what_is_saved_of_a_proof_is_what_comes_back() {
    let lines = |lengths: &[usize]| -> Vec<u8> {
        let line = |(seed, length): (usize, &usize)| [noise(seed as u64, *length), b"\n".to_vec()].concat();
        lengths.iter().enumerate().flat_map(line).collect()
    };
    for lengths in [&[200, 5_000, 3_000, 20, 20][..], &[70; 100], &[9_000, 1], &[1; 2_000]] {
        let bytes = lines(lengths);
        let proof = proof_of(&bytes, &[]);
        assert!(proof.boundaries().windows(2).all(|pair| pair[0].end < pair[1].end));
        let encoded = proof.encode();
        assert_eq!(Proof::decode(&encoded), Some(proof.clone()));
        assert_eq!(Proof::decode(&encoded[..encoded.len() - 1]), None, "cut off");
        assert_eq!(Proof::decode(&[encoded.clone(), vec![0]].concat()), None, "too long");
        assert_eq!(Proof::decode(&[vec![2], encoded[1..].to_vec()].concat()), None, "another version");
        // Followed from its end without having been read.
        let read = bytes.len() as u64;
        let followed = Proof::from_sample(&sample_of(&bytes, vec![0..WINDOW, read.saturating_sub(WINDOW)..read]), read);
        assert_eq!(Proof::decode(&followed.encode()), Some(followed.clone()));
        assert!(followed.accepts(&bytes[bytes.len().saturating_sub(2_000)..], read));
    }
}

#[test]
fn a_row_of_the_format_before_proves_as_much_as_it_knows() {
    let bytes = text('x', 0..100);
    let weight = |end: usize, length: usize| {
        let frontier = Fingerprint::of(&bytes[end - length..end]);
        let proof = Proof::of_old_row(Fingerprint::of(&bytes[..1_024]), end as u64, frontier);
        let known: Vec<(u64, u16)> = proof.boundaries().iter().map(|it: &Boundary| (it.end, it.length)).collect();
        assert_eq!(known, if length > 0 && end > 0 { vec![(end as u64, length as u16)] } else { Vec::new() });
        proof.weight_at(end as u64)
    };
    assert_eq!(weight(0, 0), Weight::Doubt);
    assert_eq!(weight(1_500, 0), Weight::Doubt, "nothing is known of the end");
    assert_eq!([500, 1_024].map(|end| weight(end, end.min(1_000))), [Weight::Doubt; 2]);
    assert_eq!([1_025, 2_048].map(|end| weight(end, 1_024)), [Weight::Fair; 2]);
    assert_eq!([2_049, 4_000].map(|end| weight(end, 1_024)), [Weight::Strong; 2]);
    // An archive was over when its end had no hash.
    let state = |position: u64, end: u64, length: usize, packing| {
        let frontier = Fingerprint::of(&bytes[..length]);
        let (id, key, head) = (ContentId(1), FileKey::default(), Fingerprint::of(&bytes[..1_024]));
        Row::of_old_row(id, key, LIVE.into(), position, head, end, frontier, 10, 1, packing).state
    };
    let gzip = Some(crate::Packing::Gzip);
    assert_eq!(state(2_000, 2_000, 0, gzip), SavedState::Finished);
    for (position, end, length, packing) in [(0, 0, 0, gzip), (2_000, 1_000, 0, gzip), (2_000, 2_000, 9, gzip)] {
        assert_eq!(state(position, end, length, packing), SavedState::Followed);
    }
    assert_eq!(state(2_000, 2_000, 0, None), SavedState::Followed);
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

/// What a folder held is known by inode and birth, not by the number of the device, which every mount may change.
#[test]
fn a_stranger_is_known_again_and_hides_nobody_else() {
    let key = FileKey { device: 1, inode: 7, born: 9 };
    let held = crate::row::held;
    assert_eq!(held(key), held(FileKey { device: 2, ..key }));
    assert!(held(key) != held(FileKey { inode: 8, ..key }) && held(key) != held(FileKey { born: 10, ..key }));
    let mut world = World::new(only_live);
    world.fs.folder("/elsewhere");
    world.fs.create("/l/a.log.2", &text('o', 0..50));
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(200_000);
    for stopped in [false, true] {
        if stopped {
            world.stop();
        }
        let which = if stopped { 'z' } else { 'y' };
        world.fs.rename(LIVE, AWAY);
        world.fs.create(LIVE, &text(which, 0..50));
        world.fs.rename(LIVE, "/l/a.log.1");
        world.fs.create(LIVE, &text('v', 0..50));
        if stopped {
            world.start();
        }
        world.run_for(30_000);
        world.expect(which, 0..50);
    }
    assert_eq!(world.count(line('o', 1).as_bytes()), 0);
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
    let said = |wanted: fn(&Notice) -> bool| world.notices.iter().filter(|notice| wanted(notice)).count();
    assert_eq!(said(|notice| matches!(notice, Notice::FolderUnreadable { .. })), 1);
    assert_eq!(said(|notice| matches!(notice, Notice::FolderReadableAgain { .. })), 1);
}

/// Some writers begin a file with the date in its name, and turn a link to it: all of one family are theirs, also one that the
/// link led to only while the agent was stopped.
#[test]
fn dated_files_that_a_link_led_to_while_the_agent_was_stopped_are_read() {
    let mut world = World::new(|path| path.starts_with("/logs"));
    world.homes = vec!["/logs".into()];
    for folder in ["/logs", "/t"] {
        world.fs.folder(folder);
    }
    let dated = |day: usize| format!("/t/app-2026110{day}.log");
    world.fs.create(&dated(1), &text('x', 0..20));
    world.fs.link("/logs/c.log", &dated(1));
    world.start();
    world.run_for(1_000);
    world.stop();
    world.fs.append(&dated(1), &text('x', 20..40));
    for (day, which) in [(2, 'y'), (3, 'z')] {
        world.fs.create(&dated(day), &text(which, 0..40));
        world.fs.link("/logs/c.log", &dated(day));
    }
    world.start();
    world.run_for(30_000);
    world.expect('x', 0..40);
    world.expect('y', 0..40);
    world.expect('z', 0..40);
}

/// The same beside each other: as the first file is still there, the second may be another with the same header.
#[test]
fn two_files_that_are_one_equal_line_are_both_sent() {
    let header = [noise(1, 600), b"\n".to_vec()].concat();
    let mut world = World::new(all);
    world.fs.create(LIVE, &header);
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.other", &header);
    world.run_for(20_000);
    assert_eq!(count_of(&world, &header), [2], "{:?}", world.notices);
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

/// The times in the names of svlogd, multilog and s6-log tell the order of their files, to a few nanoseconds.
#[test]
fn names_with_a_time_in_hex_digits_are_as_old_as_that_time() {
    use crate::names::age;
    let seconds = [0x37c2_19bf_u64, 0x37c2_19c0, 0x4000_0000, 0x67c2_19bf];
    let nanoseconds = [0_u64, 4, 8, 0x1000_0000, 999_999_999];
    let mut ages = Vec::new();
    for second in seconds {
        for nanosecond in nanoseconds {
            ages.push(age(format!("@40000000{second:08x}{nanosecond:08x}.s").as_bytes()));
        }
    }
    assert!(ages.windows(2).all(|pair| pair[0] < pair[1]), "{ages:?}");
    let middle = u64::MAX / 2;
    assert_eq!(ages.first(), Some(&(middle + (0x37c2_19bf << 30))));
    assert_eq!(ages.last(), Some(&(middle + (0x67c2_19bf << 30) + 999_999_999 / 4)));
    // What only looks like it has no time.
    for name in ["@4000000037c219bf2ef02e9", "@4000000037c219bf2ef02e9g", "@", "current"] {
        assert_eq!(age(name.as_bytes()), u64::MAX, "{name}");
    }
}

#[test]
fn numbers_and_dates_in_names_tell_their_age() {
    use crate::names::age;
    let middle = u64::MAX / 2;
    let ages = [
        ("a.log.9", middle - 9),
        ("a.log.1", middle - 1),
        ("a-20261121.log", middle + 20_261_121),
        ("a.log", u64::MAX),
    ];
    for (name, expected) in ages {
        assert_eq!(age(name.as_bytes()), expected, "{name}");
    }
}

/// A file with the same first KiB and other bytes behind it is another, where no line end within the first KiB says that it
/// may be the same up to there.
#[test]
fn what_has_only_half_of_a_first_line_in_common_is_another_file() {
    let whole = [noise(1, 3_000), b"\n".to_vec(), text('x', 0..100)].concat();
    let other = [whole[..1_100].to_vec(), noise(2, 8_000)].concat();
    let proof = proof_of(&whole, &[2_000]);
    let read = whole.len() as u64;
    assert_eq!(proof.against(read, &sample_of(&other, proof.ranges(read, 0))), Verdict::Other);
}

/// A copy under any name may be on its way: what was a stranger when half of it was there is looked at again when it grows.
#[test]
fn a_copy_that_comes_in_two_parts_is_found() {
    let mut world = World::new(only_live);
    world.fs.folder("/l/old");
    read_but_for_its_end(&mut world);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(1_000);
    world.fs.create("/l/old/some-name", &text('x', 0..30));
    world.run_for(5_000);
    world.fs.append("/l/old/some-name", &text('x', 30..80));
    world.run_for(20_000);
    world.expect('x', 0..80);
    world.expect('y', 0..50);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// The copy of a log was under a name of its flow, too; it is moved to one that nothing matches, and its writer goes on.
#[test]
fn what_is_written_to_a_copy_that_lost_its_name_is_read() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..100));
    world.start();
    world.run_for(500);
    world.fs.copy(LIVE, "/l/a.log.copy");
    world.run_for(5_000);
    world.fs.rename("/l/a.log.copy", "/l/moved-9");
    world.fs.append("/l/moved-9", &text('y', 0..20));
    world.run_for(20_000);
    world.expect('x', 0..100);
    world.expect('y', 0..20);
}

/// A log was written anew with the same beginning, and longer than before: the bytes before the position tell, which come
/// with each read.
#[test]
fn a_log_that_was_written_anew_and_longer_with_the_same_beginning_is_read_anew() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &[text('h', 0..30), text('x', 0..100)].concat());
    world.start();
    world.run_for(500);
    world.fs.overwrite(LIVE, &[text('h', 0..30), text('y', 0..200)].concat());
    world.run_for(20_000);
    world.expect('x', 0..100);
    world.expect('y', 0..200);
}

/// Of a short log that was cut nothing proves that it is still the same: it is sent again, and that is said.
#[test]
fn a_short_log_that_was_cut_is_sent_again_and_that_is_said() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..12));
    world.start();
    world.run_for(500);
    world.fs.truncate(LIVE, text('x', 0..7).len());
    world.run_for(20_000);
    let said = |notice: &&Notice| matches!(notice, Notice::ReadAgain { reason: Again::CutInDoubt, .. });
    assert_eq!(world.notices.iter().filter(said).count(), 1, "{:?}", world.notices);
    assert_eq!(count_of(&world, &text('x', 0..12)), [2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
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

/// A copy that ends before the log does, and not where anything is remembered of that: its end is compared with the log's.
#[test]
fn a_shorter_copy_beside_a_log_is_not_sent() {
    let mut world = World::new(all);
    world.fs.create(LIVE, &text('x', 0..200));
    world.start();
    world.run_for(500);
    world.fs.create("/l/a.log.copy", &text('x', 0..150));
    world.run_for(20_000);
    world.expect('x', 0..200);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
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
