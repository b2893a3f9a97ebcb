//! What begins alike, and what lies beside a log and is nobody's.
//! Promises that other people's files are never sent, and that equal beginnings hide nothing that is ours.
//! Leaves copies that somebody keeps to `kept`.

use crate::Notice;
use crate::model::World;
use crate::worlds::{LIVE, PATTERNS, ROTATIONS, Rotation, all, line, only_live, rotate, text};
use std::path::Path;

/// What was rotated away before the first start is nobody's, and stays so. When the first rotation renamed it from `.1` to
/// `.2`, its old name led to another file before its new one was seen: it was forgotten, and sent as if it had just come.
/// An equal header does not make it ours either.
#[test]
fn an_old_rotation_that_nobody_followed_is_not_read_when_the_next_rotations_rename_it() {
    for (header, pause) in [("", 3_000), ("", 200_000), ("time,host,service,level,message\n", 3_000)] {
        let with_header = |lines: Vec<u8>| [header.as_bytes().to_vec(), lines].concat();
        let mut world = World::new(only_live);
        world.fs.create("/l/a.log.1", &with_header(text('o', 0..40)));
        world.fs.create("/l/a.log.2", &with_header(text('p', 0..40)));
        world.fs.create(LIVE, &with_header(text('x', 0..20)));
        world.start();
        world.run_for(pause);
        for round in 0..3 {
            rotate(&mut world, LIVE, Rotation::Rename, round, |_| {});
            world.fs.create(LIVE, &with_header(Vec::new()));
            world.run_for(20_000);
            world.fs.append(LIVE, &text('y', round * 20..round * 20 + 20));
            world.run_for(20_000);
        }
        world.expect('x', 0..20);
        world.expect('y', 0..60);
        for old in ['o', 'p'] {
            let sent = (0..40).filter(|number| world.count(line(old, *number).as_bytes()) > 0).count();
            assert_eq!(sent, 0, "{header:?} {pause} {:?}", world.notices);
        }
    }
}

/// A stranger without a name is remembered for a moment, not for ever: neither in memory nor in the row of its folder.
#[test]
fn a_stranger_that_was_deleted_is_forgotten() {
    let held = |world: &World| world.folder_rows.values().map(|row| row.held.len()).sum::<usize>();
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log.1", &text('o', 0..40));
    world.fs.create(LIVE, &text('x', 0..20));
    world.start();
    world.run_for(3_000);
    assert_eq!(held(&world), 1);
    world.fs.unlink("/l/a.log.1");
    // The row is saved with the next complete listing.
    world.run_for(600_000);
    assert_eq!(held(&world), 0);
}

/// Equal lines prove nothing: of logs that repeat themselves everything is sent, some of it twice.
#[test]
fn logs_of_constant_lines_lose_nothing() {
    for tick in ["tick\n".to_owned(), format!("{}\n", "a longer line that is always the same ".repeat(4))] {
        for rotation in ROTATIONS {
            for matches in PATTERNS {
                for stopped in [false, true] {
                    let mut world = World::new(matches);
                    world.start();
                    let mut written = 0;
                    for round in 1..=3 {
                        for count in [20, 30] {
                            world.fs.append(LIVE, tick.repeat(count).as_bytes());
                            written += count as u32;
                            if count == 20 {
                                world.run_for(500);
                            }
                        }
                        if stopped {
                            world.stop();
                        }
                        rotate(&mut world, LIVE, rotation, round, |_| {});
                        if stopped {
                            world.start();
                        }
                        world.run_for(20_000);
                    }
                    let count = world.count(tick.trim_end_matches('\n').as_bytes());
                    assert!(
                        count >= written,
                        "{rotation:?}, stopped {stopped}: {count} of {written}; {:?}",
                        world.notices
                    );
                }
            }
        }
    }
}

/// A file that begins like the one before, because both have a header, is another file: its header is sent, too.
#[test]
fn a_header_that_every_file_has_is_sent_of_every_file() {
    let header = format!("{}\n", "time,host,service,level,message,".repeat(20));
    for rotation in ROTATIONS {
        for matches in PATTERNS {
            for stopped in [false, true] {
                for (whole, lines) in [(true, 0), (false, 20)] {
                    let mut world = World::new(matches);
                    world.start();
                    for round in 1..=3 {
                        world.fs.append(LIVE, header.as_bytes());
                        if whole {
                            // The header alone is seen first.
                            world.run_for(500);
                        }
                        world.fs.append(LIVE, &text('x', round * 50..round * 50 + lines));
                        world.run_for(500);
                        if stopped {
                            world.stop();
                        }
                        rotate(&mut world, LIVE, rotation, round, |_| {});
                        if stopped {
                            world.start();
                        }
                        world.run_for(20_000);
                        world.expect('x', round * 50..round * 50 + lines);
                    }
                    let count = world.count(header.trim_end().as_bytes());
                    assert!(count >= 3, "{rotation:?}, stopped {stopped}, {lines}: {count}; {:?}", world.notices);
                }
            }
        }
    }
}

/// What lay beside a log when it was first looked at is nobody's, however the log is rotated later; and so is what somebody
/// puts beside a log that stays what it is.
#[test]
fn files_beside_a_log_that_are_no_rotations_of_it_are_not_shipped() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log.old", &text('z', 0..50));
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(300_000);
    world.fs.create("/l/a.log.bak", &text('w', 0..50));
    world.run_for(300_000);
    for stopped in [true, false] {
        if stopped {
            world.stop();
        }
        rotate(&mut world, LIVE, crate::worlds::Rotation::Rename, 1, |_| {});
        let which = if stopped { 'y' } else { 'v' };
        world.fs.create(LIVE, &text(which, 0..50));
        if stopped {
            world.start();
        }
        world.run_for(20_000);
        world.expect(which, 0..50);
    }
    world.expect('x', 0..50);
    for stranger in ['z', 'w'] {
        assert_eq!(world.count(line(stranger, 3).as_bytes()), 0, "{stranger}");
    }
}

/// Two files that came at once and begin alike, for longer than any header: one was taken for a copy of the other before
/// either had been read.
#[test]
fn new_files_that_begin_alike_and_go_on_differently_are_both_read() {
    let mut world = World::new(all);
    world.start();
    world.faults.no_room = 100;
    world.fs.create("/l/a.log-one", &[text('x', 0..30), text('y', 0..30)].concat());
    world.fs.create("/l/a.log-two", &[text('x', 0..30), text('z', 0..30)].concat());
    world.run_for(2_000);
    world.faults.no_room = 0;
    world.run_for(20_000);
    world.expect('y', 0..30);
    world.expect('z', 0..30);
}

/// Two files go on from one beginning, each in its own way. The one with less counted as a copy of the other, which had grown
/// while they were compared: what both had behind the beginning was not.
#[test]
fn of_two_files_that_go_on_differently_from_one_beginning_both_are_read() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log", &text('x', 0..48));
    world.start();
    world.run_for(50);
    world.fs.create("/l/a.log", &text('x', 0..48));
    world.run_for(3_000);
    world.fs.rename("/l/a.log", "/l/moved");
    world.fs.append("/l/moved", &text('m', 0..5));
    world.fs.create("/l/a.log", &[text('x', 0..48), text('n', 0..1)].concat());
    world.run_for(20_000);
    world.expect('m', 0..5);
    world.expect('n', 0..1);
}

/// All that is left of a log is a kept copy of its beginning, and nothing of it is settled while the service is away. The next
/// log begins with the same header: it was compared with that copy again and again, and not read before the service was back.
#[test]
fn a_log_that_begins_like_one_that_was_cut_is_read_before_that_is_settled() {
    let header = "the,same,header,in,all,logs,".repeat(40) + "\n";
    let mut world = World::new(all);
    world.settles = false;
    world.fs.create("/l/a.log", &[header.as_bytes(), &text('x', 0..40)].concat());
    world.start();
    world.run_for(1_000);
    world.fs.copy("/l/a.log", "/l/a.log.bak");
    world.run_for(1_000);
    world.fs.append("/l/a.log", &text('x', 40..80));
    world.run_for(1_000);
    world.expect('x', 0..80);
    world.fs.truncate("/l/a.log", 0);
    world.run_for(20_000);
    world.fs.append("/l/a.log", &[header.as_bytes(), &text('y', 0..1)].concat());
    world.run_for(20_000);
    world.expect('y', 0..1);
    world.settles = true;
    world.settle_all();
    world.run_for(20_000);
    world.expect('x', 0..80);
    world.expect('y', 0..1);
    assert!(world.is_caught_up());
}

/// A heartbeat that is the same all day, and a kill while half of it is settled: the position is within what was read, where
/// nothing but equal lines can be compared. The log was taken for another one, and all of it was sent again.
#[test]
fn a_log_of_constant_lines_goes_on_from_its_position_after_a_crash() {
    for (repeated, matches) in [("tick\n", only_live as fn(&Path) -> bool), ("a line that says nothing new\n", all)] {
        let (mut world, lines) = (World::new(matches), 20_000);
        (world.settles, world.limits.read) = (false, 256 * 1024);
        world.fs.create(LIVE, repeated.repeat(lines).as_bytes());
        world.start();
        world.run_for(5_000);
        let (origin, half) = (crate::Origin::new(1 << 32), (repeated.len() * lines / 2) as u64);
        world.step(crate::Seen::Settled { origin, position: crate::Position(half), filtered: 0, quarantined: 0 });
        world.run_for(2_000);
        world.crash();
        world.lines.clear();
        world.settles = true;
        world.start();
        world.run_for(30_000);
        assert_eq!(world.lines.len(), lines / 2, "{:?}", world.notices);
    }
}

/// Each rotation of a log with a header said that its lines may come twice.
#[test]
fn a_rotation_of_a_log_with_a_header_is_no_reason_for_a_notice() {
    for rotation in [Rotation::CopyTruncate, Rotation::Rename] {
        for matches in PATTERNS {
            let mut world = World::new(matches);
            let header = "#Fields: date time s-ip cs-method\n";
            world.fs.create("/l/a.log", &[header.as_bytes(), &text('x', 0..40)].concat());
            world.start();
            for round in 1..4 {
                world.run_for(5_000);
                rotate(&mut world, "/l/a.log", rotation, round, |_| {});
                let lines = text('y', round * 40..round * 40 + 2);
                world.fs.append("/l/a.log", &[header.as_bytes(), &lines].concat());
                world.run_for(5_000);
                world.fs.append("/l/a.log", &text('y', round * 40 + 2..round * 40 + 40));
            }
            world.run_for(20_000);
            world.expect('y', 40..160);
            assert_eq!(world.said(|notice| matches!(notice, Notice::ReadAgain { .. })), 0, "{:?}", world.notices);
        }
    }
}
