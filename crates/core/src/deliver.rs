//! The words of delivery: a call, its answer, what a failure means, a record that is given up; and the policy beside them.
//! Promises that every failure has one of five meanings, and that each says whether the records may be stored.
//! Leaves sending, and reading what the service says, to the agent.

/// How fast a stream may be fed: fixed limits, and one that follows the service's throttling.
pub mod pace;
/// How long to wait before the next attempt.
pub mod retry;

use bytes::Bytes;
use datalake_base::record::{OriginInfo, Position};
use std::sync::Arc;

/// One call, ready to be sent: the JSON body and how many records it holds.
#[derive(Clone, Debug)]
pub struct Call {
    /// The request body, complete.
    pub body: Bytes,
    /// Records in it.
    pub records: usize,
}

/// What came back for one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every record was accepted.
    Accepted,
    /// Some were not: one outcome per record, in the order of the call.
    PerRecord(Vec<Outcome>),
    /// The call failed as a whole.
    Failed(Fault),
}

/// What happened to one record of a call that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Accepted.
    Delivered,
    /// Not accepted this time; send it again. The reason is the service's error code.
    Again {
        /// Whether the code says that the stream is throttled.
        throttled: bool,
        /// The service's error code.
        code: String,
    },
}

/// A call that failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Fault {
    /// What it means for us.
    pub meaning: Meaning,
    /// The service's error code, or ours in lower case (`timeout`, `connection`, `credentials`).
    pub code: String,
    /// Words for the operator: the service's own, and what to do.
    pub message: String,
}

/// What a failure means, after the delivery table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The stream is throttled: cut the pace, retry for ever.
    SlowDown,
    /// Nobody knows whether the records arrived: retry for ever, count possible duplicates.
    Unknown,
    /// The request never left: retry for ever, nothing can be doubled.
    NotSent,
    /// Only the operator can fix it (credentials, no such stream, denied, KMS, something in the way): pause the flow, retry
    /// slowly.
    Hold,
    /// The content of the call is refused, and nothing says whether a record or the stream is at fault: search for a record
    /// that is refused while others are accepted.
    Suspect,
    /// The content of the call is refused, and the service names the record: find it and quarantine it.
    Poison,
}

impl Meaning {
    /// Whether the records of the failed call may have been accepted all the same.
    #[must_use]
    pub const fn may_be_stored(self) -> bool {
        match self {
            Self::Unknown => true,
            Self::SlowDown | Self::NotSent | Self::Hold | Self::Suspect | Self::Poison => false,
        }
    }
}

/// A record that the service refuses for good, or that no option can work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its bytes before base64.
    pub payload: Vec<u8>,
    /// Its partition key, if it was for Kinesis Data Streams.
    pub partition_key: Option<String>,
    /// Lines in it.
    pub lines: usize,
    /// Where its bytes come from: file, begin, end.
    pub extents: Vec<(Arc<OriginInfo>, Position, Position)>,
    /// Why the service refuses it, or which option could not work on it.
    pub fault: Fault,
    /// Whether it is as it came in: the flow's options, and its compression, are still to be applied.
    pub unprocessed: bool,
}
