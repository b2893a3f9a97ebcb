//! What fails, and what is tried again how often.
//! Promises that no failure costs bytes, or is asked for without a pause.
//! Leaves archives that are not whole to `archives`.

use crate::model::World;
use crate::worlds::{LIVE, all, text};
use crate::{Failure, Notice};

/// What cannot be had now is tried again after a pause that the failure calls for, and read as soon as it can be had.
#[test]
fn what_cannot_be_had_is_tried_again_after_a_pause() {
    let tries = [
        (Failure::NoResource, 55..=70),
        (Failure::NoDecoder, 220..=260),
        (Failure::Stale, 55..=70),
        (Failure::Missing, 55..=70),
        (Failure::Denied, 2..=3),
        (Failure::System { errno: 5 }, 2..=3),
    ];
    for (failure, expected) in tries {
        let mut world = World::new(all);
        world.start();
        world.run_for(1_000);
        world.faults.failing.insert(LIVE.into(), failure);
        world.fs.create(LIVE, &text('x', 0..20));
        world.run_for(60_000);
        assert!(expected.contains(&world.looks), "{failure:?}: {} tries in a minute", world.looks);
        world.faults.failing.clear();
        world.run_for(40_000);
        world.expect('x', 0..20);
        let unreadable = usize::from(matches!(failure, Failure::Denied | Failure::System { .. }));
        assert_eq!(world.said(|notice| matches!(notice, Notice::Unreadable { .. })), unreadable);
        assert_eq!(world.said(|notice| matches!(notice, Notice::ReadableAgain { .. })), unreadable);
    }
}
