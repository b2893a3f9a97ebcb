//! What is a rotation of a log and what a stranger, what came after what, and what a file without a name still is.
//! Promises the rule where names, ages or moments alone decide. Leaves contents to `evidence`.

use crate::cases::AWAY;
use crate::model::{World, pack};
use crate::worlds::{LIVE, PATTERNS, Rotation, all, line, only_live, rotate, text};
use crate::{Failure, FileKey, Notice};

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
        let said = world.said(|notice| matches!(notice, Notice::ArchiveSkipped { .. }));
        assert_eq!(said, skipped, "{:?}", world.notices);
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
        // Digits of the log's own name are none of its age.
        ("web2.log.1", middle - 1),
        ("a.log.9999", middle - 9_999),
        ("a.log.10000", middle + 10_000),
        ("a-20261121.log", middle + 20_261_121),
        ("a.log", u64::MAX),
    ];
    for (name, expected) in ages {
        assert_eq!(age(name.as_bytes()), expected, "{name}");
    }
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
