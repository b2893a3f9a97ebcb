//! To come.

/// Says whether a configuration can run.
pub mod check;

/// Shows and sends again what was given up on purpose.
pub mod quarantine;
