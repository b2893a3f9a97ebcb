//! Logs that are alike by their sizes, their names or their headers.
//! Promises that none of them hides that another was destroyed, and that nobody else's file is sent.
//! Leaves copies of one log to `kept`.

use crate::model::World;
use crate::worlds::{LIVE, PATTERNS, line, text};
use std::path::Path;

fn any_log(path: &Path) -> bool {
    path.parent() == Some(Path::new("/l")) && path.extension().is_some_and(|extension| extension == "log")
}

/// A log comes for which the flow has no room, and is deleted while the agent is down.
fn is_deleted_unread(world: &mut World, log: &str, text: &[u8]) {
    world.faults.no_room = 100;
    world.fs.create(log, text);
    world.run_for(2_000);
    world.stop();
    world.fs.unlink(log);
    world.faults.no_room = 0;
}

/// A log and its rotation have the same size, as where lines are of one length: the log was deleted unread, and nothing was said.
#[test]
fn a_log_that_is_deleted_unread_is_destroyed_though_the_one_before_it_was_as_long() {
    let header = "the,same,header,in,all,logs,".repeat(40) + "\n";
    for (header, lines) in [("", 4), (header.as_str(), 40)] {
        for matches in PATTERNS {
            let mut world = World::new(matches);
            let log = |which| [header.as_bytes(), &text(which, 0..lines)].concat();
            world.start();
            world.fs.create(LIVE, &log('x'));
            world.run_for(5_000);
            world.fs.rename(LIVE, "/l/a.log.1");
            world.run_for(5_000);
            is_deleted_unread(&mut world, LIVE, &log('y'));
            world.start();
            world.run_for(900_000);
            assert_eq!(world.count(line('y', 0).as_bytes()), 0);
            assert_eq!(world.destroyed(), log('y').len() as u64, "{lines} lines: {:?}", world.notices);
        }
    }
}

/// Names of different logs differ as those of rotations do: by a number, or by two letters.
#[test]
fn a_log_whose_name_has_another_number_hides_no_loss() {
    for (one, two) in [("/l/worker-1.log", "/l/worker-2.log"), ("/l/access-eu.log", "/l/access-us.log")] {
        for first in [true, false] {
            let mut world = World::new(any_log);
            world.start();
            world.run_for(1_000);
            if !first {
                world.fs.create(two, &text('y', 0..4));
                world.run_for(5_000);
            }
            is_deleted_unread(&mut world, one, &text('x', 0..4));
            if first {
                world.fs.create(two, &text('y', 0..60));
            }
            world.start();
            world.run_for(900_000);
            assert_eq!(world.count(line('x', 0).as_bytes()), 0);
            assert_eq!(world.destroyed(), text('x', 0..4).len() as u64, "{one}, the first: {first}");
        }
    }
}

/// What is put into a folder of rotations while a log is looked for is the log's only by the log's own name.
#[test]
fn a_file_whose_name_only_begins_like_that_of_a_sought_log_is_not_sent() {
    let cases = [
        ("/l/access-eu.log", "/l/old/access-us.log"),
        ("/l/worker-1.log", "/l/old/worker-2.log"),
        ("/l/app.log-eu", "/l/old/app.log-us"),
    ];
    for (ours, theirs) in cases {
        let mut world = World::new(|path| {
            ["/l/access-eu.log", "/l/worker-1.log", "/l/app.log-eu"].iter().any(|one| path == Path::new(one))
        });
        world.fs.folder("/l/old");
        world.start();
        world.run_for(200_000);
        is_deleted_unread(&mut world, ours, &text('x', 0..40));
        world.start();
        world.run_for(2_000);
        world.fs.create(theirs, &text('z', 0..40));
        world.run_for(100_000);
        assert_eq!(world.destroyed(), text('x', 0..40).len() as u64, "{:?}", world.notices);
        assert_eq!(world.count(line('z', 0).as_bytes()), 0, "{theirs}: {:?}", world.notices);
    }
}
