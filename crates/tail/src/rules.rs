//! Rules of the core, one by one: each test breaks when its rule is taken out.
//! Promises for each rule the world in which nothing else makes up for it.
//! Leaves stories of rotation to `cases`, all worlds and chance to `worlds`.

mod archives;
mod evidence;
mod failures;
mod looks;
mod losses;
mod proofs;
mod rotations;
