//! One flow: the whole life of a byte decided in one place, and the shell that does as told.

/// The memory that flows share.
pub mod budget;
/// Input and time in, actions out.
pub mod core;
