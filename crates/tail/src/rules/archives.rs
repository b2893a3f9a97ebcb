//! How archives are known, and when they are unpacked.
//! Promises that packed bytes are never shipped as lines.
//! Leaves their order to `rotations`.

use crate::model::{World, pack};
use crate::worlds::{LIVE, all, text};

/// The first two bytes of an archive are there: that could be a line, too. As long as it grows it is not read as one.
#[test]
fn a_file_with_half_of_an_archive_mark_is_not_read_while_it_grows() {
    let mut world = World::new(all);
    world.start();
    world.run_for(500);
    let archive = pack(&text('x', 0..20));
    world.fs.create("/l/a.log.1.gz", &archive[..2]);
    world.run_for(1_000);
    world.fs.append("/l/a.log.1.gz", &archive[2..]);
    world.run_for(10_000);
    world.expect('x', 0..20);
    assert_eq!(world.lines.len(), 20, "{:?}", world.lines);
}

/// A line that begins as an archive does, and stays so short, is a line.
#[test]
fn half_of_an_archive_mark_that_stays_so_is_a_line() {
    let mut world = World::new(all);
    world.start();
    world.fs.create(LIVE, b"PK");
    world.run_for(10_000);
    world.fs.append(LIVE, b"I is what it is\n");
    world.run_for(1_000);
    assert_eq!(world.lines, [b"PKI is what it is"]);
}
