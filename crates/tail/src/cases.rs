//! Single cases, each a story that somebody has met: links, replaced files, constant lines, sizes that lie.
//! Promises a test for each kind of rotation and of disturbance that the rules name.
//! Leaves all worlds and chance to `worlds`.

use crate::model::{World, pack};
use crate::seen::{Moment, Seen, Ticket};
use crate::worlds::{LIVE, PATTERNS, ROTATIONS, Rotation, all, line, only_live, rotate, text};
use crate::{Again, FileKey, Fingerprint, Notice, Row, SavedState};
use std::path::Path;

mod quiet;

fn linked(path: &Path) -> bool {
    path.starts_with("/logs")
}

/// `/logs/c.log` leads through `/pods/c/0.log` to `/t/c.log`; the flow matches the first.
fn world_of_links(hops: usize) -> World {
    let mut world = World::new(linked);
    world.homes = vec!["/logs".into()];
    for folder in ["/logs", "/pods", "/t"] {
        world.fs.folder(folder);
    }
    match hops {
        1 => world.fs.link("/logs/c.log", "/t/c.log"),
        _ => {
            world.fs.link("/logs/c.log", "/pods/0.log");
            world.fs.link("/pods/0.log", "/t/c.log");
        }
    }
    world
}

fn rotate_target(world: &mut World) {
    for number in (1..9).rev() {
        world.fs.rename(&format!("/t/c.log.{number}"), &format!("/t/c.log.{}", number + 1));
    }
    world.fs.rename("/t/c.log", "/t/c.log.1");
}

/// Two rotations within a second, and a rotation while the agent was down, lost what was in the folder of the target:
/// every container host at an upgrade of the agent.
#[test]
fn what_a_link_leads_to_is_followed_through_its_rotations_in_the_folder_of_the_target() {
    for hops in [1, 2] {
        for (stopped, rotations) in [(false, 1), (false, 2), (true, 1), (true, 3)] {
            let mut world = world_of_links(hops);
            world.fs.create("/t/c.log", &text('x', 0..20));
            world.start();
            world.run_for(200);
            world.expect('x', 0..20);
            if stopped {
                world.stop();
            }
            for round in 1..=rotations {
                world.fs.append("/t/c.log", &text('x', round * 20..round * 20 + 20));
                rotate_target(&mut world);
            }
            world.fs.append("/t/c.log", &text('y', 0..20));
            if stopped {
                world.start();
            }
            world.run_for(15_000);
            world.expect('x', 0..rotations * 20 + 20);
            world.expect('y', 0..20);
            world.stop();
            world.fs.append("/t/c.log", &text('y', 20..40));
            rotate_target(&mut world);
            world.start();
            world.run_for(15_000);
            world.expect('y', 0..40);
            assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
        }
    }
}

#[test]
fn a_link_that_is_turned_to_another_file_loses_nothing_of_the_first() {
    let mut world = world_of_links(1);
    world.fs.create("/t/c.log", &text('x', 0..20));
    world.start();
    world.run_for(200);
    world.fs.append("/t/c.log", &text('x', 20..40));
    world.fs.create("/t/d.log", &text('y', 0..20));
    world.fs.link("/logs/c.log", "/t/d.log");
    world.run_for(500);
    world.fs.append("/t/c.log", &text('x', 40..60));
    world.fs.append("/t/d.log", &text('y', 20..40));
    world.run_for(1_000);
    world.expect('x', 0..60);
    world.expect('y', 0..40);
}

#[test]
fn a_link_that_leads_nowhere_is_read_when_it_leads_somewhere() {
    let mut world = world_of_links(1);
    world.start();
    world.run_for(200);
    world.fs.create("/t/c.log", &text('x', 0..20));
    world.run_for(1_000);
    world.expect('x', 0..20);
}

/// Four lines of the log are read; 76 more are there, for which the flow has no room.
fn world_that_read_little(matches: fn(&Path) -> bool) -> World {
    let mut world = World::new(matches);
    world.start();
    world.fs.append(LIVE, &text('x', 0..4));
    world.run_for(100);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 4..80));
    world.run_for(50);
    world
}

/// A place that nobody looks at.
pub(crate) const AWAY: &str = "/elsewhere/away";

/// Starts the agent. Fifty lines of the log are read; 30 more are there, for which the flow has no room.
pub(crate) fn read_but_for_its_end(world: &mut World) {
    world.start();
    world.fs.create(LIVE, &text('x', 0..50));
    world.run_for(500);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 50..80));
    world.run_for(200);
}

/// The same, and such a log is copied away and truncated; there is room again, and 50 other lines are written.
pub(crate) fn copied_away_and_cut(world: &mut World) {
    world.fs.folder("/elsewhere");
    read_but_for_its_end(world);
    world.fs.copy(LIVE, AWAY);
    world.fs.truncate(LIVE, 0);
    world.run_for(200);
    world.faults.no_room = 0;
    world.fs.append(LIVE, &text('y', 0..50));
}

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

/// Truncated, renamed beyond every pattern, and written to, all before anybody looked: by what it was at the last look, it
/// is the flow's, and so is what it holds now.
#[test]
fn what_is_written_to_a_followed_file_after_its_name_was_lost_is_read() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..50));
    world.start();
    world.run_for(500);
    world.expect('x', 0..50);
    world.fs.copy(LIVE, "/l/a.log.1");
    world.fs.truncate(LIVE, 0);
    world.fs.rename(LIVE, "/l/moved-9");
    world.fs.append("/l/moved-9", &text('y', 0..20));
    world.run_for(1_000);
    world.expect('y', 0..20);
    world.stop();
    world.fs.append("/l/moved-9", &text('y', 20..30));
    world.start();
    world.run_for(20_000);
    world.expect('y', 0..30);
    world.expect('x', 0..50);
}

#[test]
fn what_belongs_to_the_agent_itself_is_read_whole_and_forgotten_when_it_is_deleted() {
    let mut world = World::new(all);
    world.owned = true;
    world.start();
    for number in 0..3 {
        world.fs.create(&format!("/l/a.log{number}"), &text('x', 0..20));
    }
    world.run_for(500);
    assert_eq!(world.count(line('x', 3).as_bytes()), 3, "equal files of the agent's own are no copies");
    world.fs.unlink("/l/a.log0");
    world.run_for(5_000);
    assert_eq!(world.rows.len(), 2);
}

#[test]
fn many_files_are_taken_up_in_bounded_steps_and_cost_little_each() {
    let files = 5_000;
    let mut world = World::new(all);
    for number in 0..files {
        world.fs.create(&format!("/l/a.log-{number:07}"), line('x', number).as_bytes());
    }
    world.start();
    // The model asserts that no step wants more than a bounded number of things.
    world.run_for(60_000);
    world.fs.append("/l/a.log-0000001", b"\n");
    world.run_for(1_000);
    assert_eq!(world.count(line('x', 1).as_bytes()), 1, "{} bytes read, {}", world.read_bytes, world.lag());
    assert!(world.is_caught_up());
    assert!(world.open_files() < 10, "{} open files", world.open_files());
    let before = world.steps;
    world.run_for(100_000);
    assert!(world.steps - before < 60, "{} steps while nothing happened", world.steps - before);
}

#[test]
fn a_file_costs_at_most_five_eighths_of_a_kibibyte() {
    // A short text takes the smallest block but one of the heap.
    let name = size_of::<crate::places::Name>() + 32;
    let file = size_of::<Option<crate::places::File>>();
    let content = size_of::<Option<crate::content::Content>>();
    let proof = 3 * size_of::<crate::proof::Boundary>() + 16;
    // Three tables with a slot of four or eight bytes, filled to seven eighths at most and half at least.
    let tables = 2 * 10 + 2 * 18;
    let sum = name + file + content + proof + tables;
    println!("name {name}, file {file}, content {content}, proof {proof}, tables {tables}: {sum}");
    assert!(sum * 9 / 8 <= 640, "{sum} bytes, and up to an eighth of room to grow");
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

#[test]
fn a_file_that_is_deleted_while_its_flow_has_no_room_is_read_to_its_end() {
    let mut world = World::new(all);
    world.start();
    world.faults.no_room = 100;
    world.fs.create(LIVE, &text('x', 0..50));
    world.fs.create("/l/a.log.other", &text('y', 0..50));
    world.run_for(500);
    world.fs.unlink(LIVE);
    world.fs.unlink("/l/a.log.other");
    world.run_for(500);
    world.faults.no_room = 0;
    world.run_for(20_000);
    world.expect('x', 0..50);
    world.expect('y', 0..50);
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

/// A slow tool makes the copy elsewhere and brings it late.
#[test]
fn content_is_sought_for_a_while_before_it_counts_as_destroyed() {
    let mut world = World::new(only_live);
    world.fs.folder("/l/old");
    copied_away_and_cut(&mut world);
    world.run_for(6_000);
    world.fs.rename(AWAY, "/l/old/some-name");
    world.run_for(20_000);
    world.expect('x', 0..80);
    world.expect('y', 0..50);
    assert!(world.notices.is_empty(), "{:?}", world.notices);
}

/// Destroyed is what nothing holds any more: said once, with the number of bytes.
#[test]
fn what_nothing_holds_any_more_is_counted_once() {
    let mut world = World::new(only_live);
    read_but_for_its_end(&mut world);
    world.fs.overwrite(LIVE, &text('y', 0..50));
    world.run_for(200);
    world.faults.no_room = 0;
    world.run_for(60_000);
    world.expect('x', 0..50);
    world.expect('y', 0..50);
    assert_eq!((world.destroyed(), world.notices.len()), (text('x', 50..80).len() as u64, 1), "{:?}", world.notices);
}

/// One huge file went on while a thousand small ones were asked what they hold, opened one by one, and closed again.
#[test]
fn a_thousand_files_have_their_first_turn_while_a_huge_one_has_a_few() {
    for open in [512, 8] {
        let mut world = World::new(all);
        world.limits.open = open;
        world.fs.create(LIVE, &text('h', 0..40_000));
        for number in 0..1_000 {
            world.fs.create(&format!("/l/a.log-x{number:04}"), format!("small {number}\n").as_bytes());
        }
        world.start();
        world.run_for(5_000);
        let small = |line: &Vec<u8>| line.starts_with(b"small");
        let last = world.lines.iter().rposition(small).unwrap_or(0);
        let (before, after) = world.lines.split_at(last + 1);
        assert_eq!(before.iter().filter(|line| small(line)).count(), 1_000);
        assert_eq!(world.lines.len(), 41_000);
        // Reads of 4 KiB: some for each of the steps that the small ones take, not one for each small file.
        let reads = (before.len() - 1_000) * text('h', 0..1).len() / (4 << 10);
        assert!(reads < 100 && after.len() > 10_000, "{open} open files: {reads} reads of the huge file went first");
    }
}

/// It went behind all others, so of hundreds of open files the one that could be closed lay anywhere among those that wait.
#[test]
fn a_file_for_which_there_was_no_room_keeps_its_turn() {
    for (seed, open) in (0..20).flat_map(|seed| [(seed, 512), (seed, 8)]) {
        let mut world = World::new(all);
        world.random = fastrand::Rng::with_seed(seed);
        world.limits.open = open;
        let small = |number: u64| format!("small {number:02}");
        (0..50).for_each(|n| world.fs.create(&format!("/l/a.log-x{n:02}"), format!("{}\n", small(n)).as_bytes()));
        world.faults.no_room = 60;
        world.start();
        world.run_for(30_000);
        assert!(world.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).eq((0..50).map(small)));
    }
}

/// Each time that no slot could be had one more step was due for ever, each of which looked through all open files: reads of
/// another flow made hundreds of them while the service was away.
#[test]
fn while_no_slot_can_be_had_ten_looks_a_second_are_enough_whatever_others_read() {
    let mut world = World::new(all);
    (world.limits.open, world.settles) = (8, false);
    for number in 0..100 {
        world.fs.create(&format!("/l/a.log-x{number:04}"), format!("small {number}\n").as_bytes());
    }
    world.faults.no_room = 100;
    world.start();
    world.run_for(20_000);
    let in_a_second = |world: &mut World| {
        let before = world.steps;
        world.run_for(1_000);
        world.steps - before
    };
    let before = in_a_second(&mut world);
    for _ in 0..1_000 {
        world.now = Moment(world.now.0 + 300);
        world.step(Seen::Hole { ticket: Ticket(u64::MAX), end: 0 });
    }
    let after = in_a_second(&mut world);
    assert!(after <= before + 20, "{before} steps in a second, then {after}");
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

/// A log that was restored from a copy, and emptied and moved out of the pattern before anybody looked into it: it was
/// forgotten with its name, and what its writer went on to put there was lost.
#[test]
fn a_file_that_was_seen_only_empty_under_the_name_of_a_log_is_followed_under_any_other() {
    for steps in 1..12 {
        let mut world = World::new(only_live);
        world.fs.append(LIVE, &text('x', 0..20));
        world.start();
        world.run_for(5_000);
        world.fs.create(LIVE, &text('x', 0..20));
        world.fs.truncate(LIVE, 0);
        world.run_steps(steps);
        if !world.has_shown(LIVE) {
            continue;
        }
        world.fs.rename(LIVE, "/l/moved");
        world.run_steps(3);
        world.fs.append("/l/moved", &text('y', 0..20));
        world.run_for(20_000);
        world.expect('x', 0..20);
        world.expect('y', 0..20);
    }
}

/// The log, or the file that had just replaced it, was emptied and moved out of the pattern. Its writer went on a second later,
/// no event said so, and no listing shows a name that nothing matches: at the next start nobody knew whose the file was.
#[test]
fn what_comes_late_in_a_log_that_was_emptied_and_moved_is_read_though_no_event_tells_of_it() {
    for restored in [false, true] {
        let mut world = World::new(only_live);
        world.fs.append(LIVE, &text('x', 0..20));
        world.start();
        world.run_for(5_000);
        if restored {
            world.fs.create(LIVE, &text('x', 0..20));
            world.run_for(1_000);
        }
        world.fs.truncate(LIVE, 0);
        world.fs.rename(LIVE, "/l/moved");
        world.run_for(1_500);
        world.faults.lost_events = 100;
        world.fs.append("/l/moved", &text('y', 0..20));
        world.run_for(3_000);
        world.faults.lost_events = 0;
        world.crash();
        world.start();
        world.run_for(20_000);
        world.expect('x', 0..20);
        world.expect('y', 0..20);
    }
}

/// The event of a rotation was lost, and a listing comes every two minutes. After one the new log counted as an old one; a
/// kill before the listing made a stranger of the rotation, and its 20 lines were lost.
#[test]
fn a_rotation_that_no_event_told_of_is_read_though_the_agent_is_killed_before_a_listing_shows_it() {
    for pause in [100, 70_000, 119_000] {
        let mut world = World::new(only_live);
        world.start();
        world.run_for(1_000);
        world.faults.lost_events = 100;
        world.fs.append(LIVE, &text('x', 0..20));
        world.fs.rename(LIVE, "/l/a.log.1");
        world.run_for(100);
        world.faults.lost_events = 0;
        world.fs.append(LIVE, &text('y', 0..20));
        world.run_for(pause);
        world.fs.append(LIVE, &text('y', 20..40));
        world.run_for(100);
        world.crash();
        world.start();
        world.run_for(130_000);
        world.expect('x', 0..20);
        world.expect('y', 0..40);
    }
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

/// The last line was read up to its middle when the log was cut, and what had been read went out as it was. Its rest came out
/// of the archive half a minute later: a line in two records, neither of which anybody wrote. After a kill between the two it
/// was the same, as no row said that a line had begun.
#[test]
fn a_line_that_was_cut_by_the_end_of_its_log_comes_whole_when_the_rest_is_found() {
    for (killed, lines) in [(false, 20), (true, 20), (false, 0), (true, 0)] {
        let mut world = World::new(only_live);
        world.start();
        let (begun, rest) = (line('x', lines).as_bytes()[..20].to_vec(), line('x', lines).as_bytes()[20..].to_vec());
        world.fs.append(LIVE, &[text('x', 0..lines), begun].concat());
        world.run_for(3_000);
        world.faults.no_room = 100;
        world.fs.append(LIVE, &[rest, b"\n".to_vec(), text('x', lines + 1..40)].concat());
        world.fs.folder("/elsewhere");
        world.run_for(500);
        world.fs.copy(LIVE, "/elsewhere/copy");
        world.fs.truncate(LIVE, 0);
        world.faults.no_room = 0;
        world.run_for(30_000);
        assert!(world.destroyed() > 0, "{:?}", world.notices);
        if killed {
            world.crash();
        }
        world.fs.folder("/l/old");
        world.fs.rename("/elsewhere/copy", "/l/old/a.log-20261102");
        if killed {
            world.start();
        }
        world.run_for(130_000);
        world.expect('x', 0..40);
        // Twenty bytes prove nothing: what was read of so little counts as another content.
        assert!(killed || lines == 0 || world.destroyed() == 0, "{:?}", world.notices);
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

/// Forty lines of the log are read; 40 more are there, for which the flow has no room, and somebody keeps a copy of all.
fn world_with_a_kept_copy(matches: fn(&Path) -> bool) -> World {
    let mut world = World::new(matches);
    world.start();
    world.fs.append(LIVE, &text('x', 0..40));
    world.run_for(5_000);
    world.faults.no_room = 100;
    world.fs.append(LIVE, &text('x', 40..80));
    world.run_for(500);
    world.fs.copy(LIVE, "/l/a.log.bak");
    world
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

/// Somebody kept a copy of the log; while the agent was down the log went on and was put away under a name of its own. The
/// copy was found at the start, so nobody looked for the log itself: 40 lines were lost.
#[test]
fn a_log_that_was_put_away_under_any_name_while_down_is_read_to_its_end_though_a_copy_of_it_lies_there() {
    let mut world = World::new(only_live);
    world.start();
    world.fs.append(LIVE, &text('x', 0..40));
    world.run_for(5_000);
    world.fs.copy(LIVE, "/l/a.log.bak");
    world.run_for(130_000);
    world.stop();
    world.fs.append(LIVE, &text('x', 40..80));
    world.fs.rename(LIVE, "/l/put-away");
    world.fs.create(LIVE, &text('y', 0..20));
    world.start();
    world.run_for(130_000);
    world.expect('x', 0..80);
    world.expect('y', 0..20);
}

/// How the log is put away under a name of which nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutAway {
    Copied,
    Packed,
    CopiedThenPacked,
    CopiedThenRenamed,
}

/// What happened to a log of which somebody keeps a copy.
#[derive(Clone, Copy, Debug)]
struct Kept {
    /// Everything of the log that the copy holds was read before.
    read_before: bool,
    packed_copy: bool,
    /// The agent stands still while the log goes on and is put away; else its flow is full.
    down: bool,
    /// Lines that come after the copy was made.
    more: usize,
    way: PutAway,
    deleted: bool,
}

fn keeps(kept: Kept) {
    let mut world = World::new(only_live);
    world.start();
    world.fs.append(LIVE, &text('x', 0..40));
    world.run_for(if kept.read_before { 5_000 } else { 0 });
    world.faults.no_room = 100;
    if kept.packed_copy {
        world.fs.compress(LIVE, "/l/a.log.bak.gz");
    } else {
        world.fs.copy(LIVE, "/l/a.log.bak");
    }
    world.run_for(500);
    if kept.down {
        world.stop();
    }
    world.fs.append(LIVE, &text('x', 40..40 + kept.more));
    world.run_for(200);
    match kept.way {
        PutAway::Packed => world.fs.compress(LIVE, "/l/mine.gz"),
        _ => world.fs.copy(LIVE, "/l/mine"),
    }
    world.run_for(50);
    if kept.deleted {
        world.fs.unlink(LIVE);
        world.fs.create(LIVE, &text('y', 0..20));
    } else {
        world.fs.truncate(LIVE, 0);
        world.run_for(30);
        world.fs.append(LIVE, &text('y', 0..20));
    }
    world.run_for(300);
    if kept.way == PutAway::CopiedThenPacked {
        world.fs.compress("/l/mine", "/l/mine.gz");
        world.fs.unlink("/l/mine");
    } else if kept.way == PutAway::CopiedThenRenamed {
        world.fs.rename("/l/mine", "/l/yours");
    }
    world.run_for(100);
    world.faults.no_room = 0;
    if kept.down {
        world.start();
    }
    world.run_for(130_000);
    world.expect('x', 0..40 + kept.more);
    world.expect('y', 0..20);
    assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
}

/// Somebody kept a copy of the log. The log went on, was copied or packed to a name of which nobody knows, and cut: reading
/// went on in the kept copy, and nobody looked for the rest, which lay beside it.
#[test]
fn a_log_that_was_put_away_under_any_name_and_cut_is_read_to_its_end_though_a_copy_of_its_beginning_lies_there() {
    let mut failed = Vec::new();
    for number in 0..2 * 2 * 2 * 3 * 4 * 2 {
        let kept = Kept {
            read_before: number & 1 == 0,
            packed_copy: number & 2 == 0,
            down: number & 4 == 0,
            deleted: number & 8 == 0,
            more: [0, 8, 120][number / 16 % 3],
            way: [PutAway::Copied, PutAway::Packed, PutAway::CopiedThenPacked, PutAway::CopiedThenRenamed][number / 48],
        };
        if std::panic::catch_unwind(|| keeps(kept)).is_err() {
            failed.push(format!("{kept:?}"));
        }
    }
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

/// The log is copied or packed to a name that looks like no rotation, and deleted or cut.
fn put_away(world: &mut World, packed: bool, deleted: bool) {
    if packed {
        world.fs.compress(LIVE, "/l/mine.gz");
    } else {
        world.fs.copy(LIVE, "/l/mine");
    }
    if deleted {
        world.fs.unlink(LIVE);
    } else {
        world.fs.truncate(LIVE, 0);
    }
}

/// The flow has room for the first part of a packed copy only when the log is put away.
#[test]
fn a_log_that_was_put_away_under_any_name_is_read_to_its_end_though_a_packed_copy_of_it_was_read_in_part() {
    for (packed, deleted, matches) in [
        (false, false, only_live as fn(&Path) -> bool),
        (true, false, only_live),
        (false, true, all),
        (true, true, all),
    ] {
        let mut world = World::new(matches);
        world.limits.read = 2_048;
        world.fs.append(LIVE, &text('x', 0..400));
        world.fs.compress(LIVE, "/l/a.log.bak.gz");
        world.fs.append(LIVE, &text('x', 400..500));
        world.start();
        while world.lines.len() < 100 {
            world.run_steps(1);
        }
        world.faults.no_room = 100;
        world.run_for(5_000);
        assert!(world.lines.len() < 400, "the flow has room for {} lines", world.lines.len());
        put_away(&mut world, packed, deleted);
        world.run_for(300);
        world.fs.append(LIVE, &text('y', 0..20));
        world.faults.no_room = 0;
        world.run_for(130_000);
        world.expect('x', 0..500);
        world.expect('y', 0..20);
        assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
    }
}

/// The log before was packed for seconds, and nobody looked at the log itself until that was over: copied to any name and cut
/// meanwhile, it was lost.
#[test]
fn a_log_that_was_put_away_under_any_name_is_read_to_its_end_though_the_log_before_it_is_still_packed() {
    for (packed, deleted, killed) in
        [(false, false, false), (true, false, true), (false, true, true), (true, true, false)]
    {
        let mut world = World::new(only_live);
        world.start();
        world.fs.append(LIVE, &text('x', 0..40));
        world.run_for(5_000);
        world.fs.rename(LIVE, "/l/a.log.1");
        let archive = pack(&text('x', 0..40));
        let (first, rest) = archive.split_at(archive.len() / 2);
        world.fs.create("/l/a.log.1.gz", first);
        world.run_for(100);
        world.fs.append(LIVE, &text('y', 0..40));
        world.run_for(1_000);
        assert_eq!(world.count(line('y', 0).as_bytes()), 0, "what comes first is still packed");
        if killed {
            world.crash();
        }
        put_away(&mut world, packed, deleted);
        if killed {
            world.start();
        }
        world.run_for(300);
        world.fs.append(LIVE, &text('z', 0..20));
        world.run_for(500);
        world.fs.append("/l/a.log.1.gz", rest);
        world.fs.unlink("/l/a.log.1");
        world.run_for(130_000);
        world.expect('x', 0..40);
        world.expect('y', 0..40);
        world.expect('z', 0..20);
        assert_eq!(world.destroyed(), 0, "{:?}", world.notices);
    }
}

/// 40 lines were read. The pattern matches the kept copy, too, and nobody has heard of the log.
fn world_in_which_the_log_counts_as_a_copy() -> World {
    let mut world = World::new(all);
    world.start();
    world.run_for(100);
    world.faults.unheard.insert(LIVE.into());
    world.fs.append(LIVE, &text('x', 0..40));
    world.fs.copy(LIVE, "/l/a.log.bak");
    world.run_for(1_000);
    world.fs.copy(LIVE, "/l/a.log.bak");
    world.run_for(1_000);
    world.expect('x', 0..40);
    world
}

/// The pattern matches the kept copy, too, and that was found first; when it was kept anew, the log counted as one more copy of
/// what was open without a name. While the agent was down the log went on, was put away under a name of its own and cut: what
/// had been read lay in the kept copy, so nobody looked for the rest.
#[test]
fn a_log_that_counted_as_a_copy_and_was_put_away_while_down_is_read_to_its_end() {
    let ways = [PutAway::Copied, PutAway::Packed, PutAway::CopiedThenRenamed];
    for (number, way) in ways.into_iter().cycle().take(12).enumerate() {
        let (deleted, killed) = (number / 3 % 2 == 1, number / 6 == 1);
        println!("{way:?}, deleted: {deleted}, killed: {killed}");
        let mut world = world_in_which_the_log_counts_as_a_copy();
        if killed {
            world.crash();
        } else {
            world.stop();
        }
        world.fs.append(LIVE, &text('x', 40..80));
        match (way, deleted) {
            (PutAway::Packed, _) => world.fs.compress(LIVE, "/l/mine.gz"),
            (PutAway::CopiedThenRenamed, true) => world.fs.rename(LIVE, "/l/mine"),
            _ => world.fs.copy(LIVE, "/l/mine"),
        }
        if deleted {
            world.fs.unlink(LIVE);
        } else {
            world.fs.truncate(LIVE, 0);
        }
        world.fs.append(LIVE, &text('y', 0..20));
        world.start();
        world.run_for(130_000);
        world.expect('x', 0..80);
        world.expect('y', 0..20);
        assert!(world.notices.is_empty(), "{:?}", world.notices);
    }
}

/// The same while the agent runs, between two looks at the log. What it had been put away as was of no interest.
#[test]
fn a_log_that_counted_as_a_copy_and_was_put_away_and_cut_is_read_to_its_end() {
    for (packed, wait) in [(false, 0), (true, 0), (false, 300), (true, 300)] {
        println!("packed: {packed}, written to after {wait} ms");
        let mut world = world_in_which_the_log_counts_as_a_copy();
        world.faults.unheard.clear();
        world.fs.append(LIVE, &text('x', 40..80));
        put_away(&mut world, packed, false);
        world.run_for(wait);
        world.fs.append(LIVE, &text('y', 0..20));
        world.run_for(130_000);
        world.expect('x', 0..80);
        world.expect('y', 0..20);
        assert!(world.notices.is_empty(), "{:?}", world.notices);
    }
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

/// A log that was emptied and restored by a copy of what its writer has put there meanwhile: the writer's file has no name, so
/// nobody can ask what it holds, and its lines come twice. That went without a word.
#[test]
fn lines_of_a_file_without_a_name_that_come_twice_are_reported() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log", &text('x', 0..40));
    world.start();
    world.run_for(1_000);
    world.expect('x', 0..40);
    world.fs.truncate("/l/a.log", 0);
    world.run_for(300);
    // Nobody hears of what is written, and the copy takes the name.
    world.fs.append("/l/a.log", &text('y', 0..20));
    world.fs.create("/l/a.log", &text('y', 0..20));
    world.run_for(20_000);
    assert!((0..20).all(|number| world.count(line('y', number).as_bytes()) >= 1), "{:?}", world.notices);
    let twice = (0..20).any(|number| world.count(line('y', number).as_bytes()) > 1);
    let said = world.said(|notice| matches!(notice, Notice::ReadAgain { reason: Again::EqualInDoubt, .. }));
    assert_eq!((twice, said), (true, 1), "{:?}", world.notices);
}

/// What was read of the kept copy is not settled, and could still go wrong there: the archive that goes on behind it is read
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

/// As before, where the log itself was cut: a rotation of it was not looked at to the end before the cut was settled.
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

/// Emptied, and found so; then renamed to a name that says nothing, written to, and the agent killed before it could look. Only
/// memory knew whose the file had been.
#[test]
fn what_comes_in_a_log_that_was_emptied_and_moved_is_read_though_the_agent_is_killed_before_it_looks() {
    for matches in PATTERNS {
        for kept in [false, true] {
            let mut world = World::new(matches);
            world.fs.create("/l/a.log", &text('x', 0..20));
            world.start();
            world.run_for(10_000);
            if kept {
                world.fs.copy("/l/a.log", "/l/a.log.bak");
                world.run_for(1_000);
            }
            world.fs.truncate("/l/a.log", 0);
            world.run_for(1_000);
            world.crash();
            world.fs.rename("/l/a.log", "/l/moved");
            world.fs.append("/l/moved", &text('y', 0..6));
            world.fs.create("/l/a.log", &text('z', 0..30));
            world.start();
            world.run_for(20_000);
            world.expect('x', 0..20);
            world.expect('y', 0..6);
            world.expect('z', 0..30);
            // And what nobody's log ever was stays a stranger.
            world.fs.create("/l/other", &text('s', 0..20));
            world.run_for(20_000);
            assert_eq!(world.count(line('s', 0).as_bytes()), 0);
        }
    }
}

/// The empty log went on under its own name, and the next row says so: the one of before knows the same file.
#[test]
fn a_log_that_was_emptied_and_went_on_is_read_once_after_two_kills() {
    let mut world = World::new(only_live);
    world.fs.create("/l/a.log", &text('x', 0..20));
    world.start();
    world.run_for(1_000);
    world.fs.truncate("/l/a.log", 0);
    world.run_for(1_000);
    world.crash();
    world.fs.append("/l/a.log", &text('y', 0..20));
    world.start();
    world.run_for(1_000);
    world.crash();
    world.fs.append("/l/a.log", &text('y', 20..30));
    world.start();
    world.run_for(20_000);
    world.expect('x', 0..20);
    world.expect('y', 0..30);
    let left = world.rows.values().flat_map(|row| &row.places).filter(|place| place.size == 0).count();
    assert_eq!(left, 0, "what the log holds is known");
}
