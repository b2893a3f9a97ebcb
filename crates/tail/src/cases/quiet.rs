//! Logs that are quiet: what is kept of them, and how they go on.
//! Promises that a flow keeps nothing of a log that is settled and closed, and that its next line still follows the last.

use crate::model::World;
use crate::worlds::{LIVE, all, line, only_live, text};

/// Longer than a quiet log stays open.
const QUIET: u64 = 11_000;

/// A flow kept what it knows of each log for as long as that lay there: 75 MB of 100,000 small files.
#[test]
fn a_flow_keeps_nothing_of_a_log_that_is_quiet_and_its_next_line_follows_the_last() {
    let mut world = World::new(only_live);
    world.fs.create(LIVE, &text('x', 0..40));
    world.start();
    world.run_for(1_000);
    assert_eq!((world.origins_open(), world.open_files()), (1, 1));
    world.run_for(QUIET);
    assert_eq!((world.origins_open(), world.open_files()), (0, 0));
    world.fs.append(LIVE, &text('x', 40..60));
    world.run_for(1_000);
    assert_eq!(world.origins_open(), 1);
    // A kill just then finds the position of before.
    world.crash();
    world.fs.append(LIVE, &text('x', 60..80));
    world.start();
    world.run_for(QUIET);
    world.expect('x', 0..80);
    assert_eq!((world.origins_open(), world.notices.len()), (0, 0), "{:?}", world.notices);
    assert_eq!(world.lines.len(), 80);
}

/// If an origin ended within a line, its flow would send the half.
#[test]
fn a_log_that_is_quiet_within_a_line_goes_on_with_the_same_line() {
    let mut world = World::new(only_live);
    let (half, rest) = (&line('x', 20)[..9], &line('x', 20)[9..]);
    world.fs.create(LIVE, &[text('x', 0..20), half.into()].concat());
    world.start();
    world.run_for(QUIET);
    assert_eq!((world.origins_open(), world.open_files()), (1, 0));
    world.fs.append(LIVE, format!("{rest}\n").as_bytes());
    world.run_for(QUIET);
    world.expect('x', 0..21);
    assert_eq!((world.origins_open(), world.lines.len()), (0, 21));
}

/// How many of the lines that are not sent a flow has seen is in no position.
#[test]
fn a_flow_that_does_not_send_the_first_lines_keeps_what_it_knows_of_a_quiet_log() {
    let mut world = World::new(only_live);
    world.skips_header = true;
    world.fs.create(LIVE, &text('x', 0..1));
    world.start();
    world.run_for(QUIET);
    assert_eq!((world.origins_open(), world.open_files()), (1, 0));
}

/// Most of many files are closed long before the service has accepted what was read of them.
#[test]
fn of_many_files_a_flow_keeps_what_is_open_or_not_settled() {
    let mut world = World::new(all);
    (world.limits.open, world.settles) = (8, false);
    for number in 0..200 {
        world.fs.create(&format!("/l/a.log-x{number:03}"), format!("small {number}\n").as_bytes());
    }
    world.start();
    world.run_for(3_000);
    assert_eq!((world.lines.len(), world.origins_open()), (200, 200));
    world.settles = true;
    world.settle_all();
    assert!(world.origins_open() <= 8, "{}", world.origins_open());
    world.fs.append("/l/a.log-x007", b"more\n");
    world.run_for(QUIET);
    assert_eq!((world.lines.len(), world.origins_open(), world.notices.len()), (201, 0, 0));
}
