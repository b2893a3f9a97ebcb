//! Runs in, sealed calls in their wire form out.

use std::time::Duration;

/// When a record and a batch are complete.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the delivery stream.
    pub stream: String,
    /// A batch is sealed when its oldest byte is this old.
    pub max_age: Duration,
    /// Bytes of a batch before base64, at most [`firehose::CALL_BYTES`].
    pub max_bytes: usize,
    /// Records of a batch, at most [`firehose::CALL_RECORDS`].
    pub max_records: usize,
    /// Lines are packed into records of at most so many bytes; `None` is one line a record.
    pub aggregated_record_bytes: Option<usize>,
    /// And of at most so many lines, for streams that split records again.
    pub max_lines_per_record: Option<u32>,
    /// What is done with the bytes of a full record.
    pub compression: Compression,
}

/// What is done with the bytes of a full record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// They are sent as they are.
    #[default]
    None,
    /// They are sent as one gzip member; the level is 1 (fast) to 12 (small).
    Gzip {
        /// 1 to 12.
        level: u8,
    },
}

/// The limits of `PutRecordBatch`.
pub mod firehose {
    /// Records in one call (API reference of `PutRecordBatch`).
    pub const CALL_RECORDS: usize = 500;
    /// Bytes of one record before base64: 1,000 KiB (API reference of `Record`).
    pub const RECORD_BYTES: usize = 1_024_000;
    /// Bytes of one call before base64: 4 MiB (quota page), less 1 KiB of caution.
    pub const CALL_BYTES: usize = 4 * 1024 * 1024 - 1024;
    /// Each record is billed rounded up to a multiple of this (pricing page).
    pub const BILLING_STEP: usize = 5 * 1024;
}
