//! Points in time, read from fields of records and written into them.
//! Promises one way to write a moment for all options.
//! Leaves the calendar to the base, and what time it is to the caller.

/// Points in time parsed by a format.
pub(super) mod parse;

pub(super) use datalake_base::calendar::{Civil, Moment, write, write_millis};
