//! Single cases, each a story that somebody has met: links, replaced files, constant lines, sizes that lie.
//! Promises a test for each kind of rotation and of disturbance that the rules name.
//! Leaves all worlds and chance to `worlds`.

mod alike;
mod archives;
mod cut;
mod kept;
mod links;
mod many;
mod moved;
mod put_away;
mod quiet;
mod starts;
mod strangers;

use crate::model::World;
use crate::worlds::{LIVE, text};
use std::path::Path;

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
