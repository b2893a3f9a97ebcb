//! Logs that lose their name: moved, deleted, or emptied first, with nobody looking.
//! Promises that what their writers put there is read, and that what nothing holds any more is counted once.
//! Leaves rotations by the usual tools to `rules` and `worlds`.

use super::{AWAY, copied_away_and_cut, read_but_for_its_end};
use crate::model::World;
use crate::worlds::{LIVE, PATTERNS, all, line, only_live, text};
use crate::{Again, Notice};

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
