//! Many files: their turns, their slots, and what each of them costs.
//! Promises bounded steps, and that no file waits for ever behind others.
//! Leaves the cost of IO to the shell.

use crate::model::World;
use crate::seen::{Moment, Seen, Ticket};
use crate::worlds::{LIVE, all, line, text};

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
