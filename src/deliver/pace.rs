//! How fast a stream may be fed.

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
