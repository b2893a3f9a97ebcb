//! Configuration: read, written, plan; every fault reported at once.

/// The same, proven runnable.
pub mod plan;
