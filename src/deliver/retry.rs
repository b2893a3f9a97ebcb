//! How long to wait before the next attempt.
use super::Meaning;
use std::time::Duration;
/// Stub.
#[must_use]
pub fn delay(_meaning: Meaning, attempt: u32, _random: u64) -> Duration {
    Duration::from_millis(100 * u64::from(attempt.min(10)))
}
