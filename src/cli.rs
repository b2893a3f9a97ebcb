//! To come.

/// Says whether a configuration can run.
pub mod check;
