//! What links lead to: containers' logs above all.
//! Promises that a target is followed through its rotations, in its own folder, and a link to wherever it is turned.
//! Leaves who may make a link to the shell.

use crate::model::World;
use crate::worlds::text;
use std::path::Path;

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
