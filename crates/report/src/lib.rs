//! How a file that an operator wrote is read and judged: JSON with places, and reports of what is wrong where.
//! Promises that a report shows every fault with file, line and column, safe to print.
//! Leaves opening files and the meaning of keys to its callers.

/// JSON with comments, every value with its place.
pub mod json;
/// What is wrong, where, and what would do.
pub mod report;
