//! The wire form of `PutRecordBatch` and its limits.
//! Promises the figures of the service, each with its source.
//! Leaves writing a body to `body`, and which bytes make a record to the packer.

use super::body;

/// Records in one call (API reference of `PutRecordBatch`).
pub const CALL_RECORDS: usize = 500;
/// Bytes of one record before base64: 1,000 KiB (API reference of `Record`).
pub const RECORD_BYTES: usize = 1_024_000;
/// Bytes of one call before base64: 4 MiB (quota page), less 1 KiB of caution.
pub const CALL_BYTES: usize = 4 * 1024 * 1024 - 1024;
/// Each record is billed rounded up to a multiple of this (pricing page).
pub const BILLING_STEP: usize = 5 * 1024;

/// What closes a record in the body.
pub(super) const RECORD_CLOSE: &[u8] = br#""}"#;

/// The longest body of a call with this many bytes before base64 in this many records.
#[must_use]
pub const fn body_bytes(payload: usize, records: usize) -> usize {
    body::bytes(payload, records, RECORD_CLOSE.len())
}

/// What stands before the records.
pub(super) fn opening(stream: &str) -> Vec<u8> {
    let name = serde_json::to_string(stream).expect("a string is valid JSON");
    format!(r#"{{"DeliveryStreamName":{name},"Records":["#).into_bytes()
}
