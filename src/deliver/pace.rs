//! How fast a stream may be fed.
use std::time::Instant;

/// Upper limits that the operator set; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Bytes before base64.
    pub max_bytes_per_second: Option<u64>,
    /// Records.
    pub max_records_per_second: Option<u64>,
    /// Calls.
    pub max_requests_per_second: Option<u64>,
}
/// Stub.
#[derive(Debug)]
pub struct Pace {}
impl Pace {
    /// Stub.
    #[must_use]
    pub fn new(_settings: Settings, _now: Instant) -> Self { Self {} }
    /// Stub.
    #[must_use]
    pub fn ready_at(&self, _bytes: u64, _records: u64, _now: Instant) -> Option<Instant> { None }
    /// Stub.
    pub fn sent(&mut self, _bytes: u64, _records: u64, _now: Instant) {}
    /// Stub.
    pub fn throttled(&mut self, _now: Instant) {}
    /// Stub.
    pub fn succeeded(&mut self, _now: Instant) {}
}
