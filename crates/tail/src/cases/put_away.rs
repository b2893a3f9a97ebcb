//! Logs that are copied or packed to a name that looks like no rotation, and cut or deleted.
//! Promises that they are read to their end, whatever else holds a part of them.
//! Leaves copies of logs that stay where they are to `kept`.

use crate::model::{World, pack};
use crate::worlds::{LIVE, all, line, only_live, text};
use std::path::Path;

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
