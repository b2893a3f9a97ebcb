//! SQL that means the same on this machine and in Athena.
//! Promises that a text which passed the lint is one query, and that what is known to give another answer elsewhere is
//! refused with its place and what to write instead.
//! Leaves running it to `engine`.

/// What would silently differ, or is no single query.
pub mod lint;
/// Athena's functions for DuckDB, and their self-test.
pub mod prelude;
