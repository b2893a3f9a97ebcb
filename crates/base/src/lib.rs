//! The vocabulary that every crate speaks: amounts with their unit, and the words of the path of a byte.
//! Promises that each word means one thing everywhere, and does no work beyond that.
//! Leaves reading, framing, packing, sending and saving to the other crates.

/// The accounting of a flow: read = delivered + pending + filtered + quarantined.
pub mod accounting;
/// JSON looked through byte by byte.
pub mod json;
/// Points in time as the calendar has them.
pub mod calendar;
/// Which known word was probably meant.
pub mod nearest;
/// What AWS asks for.
pub mod prices;
/// The vocabulary every stage speaks: origin, position, chunk, watermark.
pub mod record;
/// Text from outside, safe to print.
pub mod shown;
/// Amounts with their unit in the type.
pub mod units;
