//! What was seen: totals, totals by stream, and the last calls one by one.
//! Promises that stored and failed records add up to the records of all calls answered with 200 or lost on purpose.
//! Leaves what the records hold to `store`.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde::Serialize;

use crate::figures::billed;
use crate::protocol::Put;
use crate::service::{RecordFailure, Service};

/// How many calls are remembered one by one.
const CALLS_KEPT: usize = 4096;

/// Totals since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Connections accepted.
    pub connections: u64,
    /// Connections whose TLS handshake failed.
    pub failed_handshakes: u64,
    /// Calls of a known operation, whatever became of them.
    pub calls: u64,
    /// Bytes of the bodies that were read, in wire form.
    pub wire_bytes: u64,
    /// Records stored.
    pub records: u64,
    /// Bytes of the stored records, before base64.
    pub bytes: u64,
    /// The same, each record rounded up to 5 KiB (Kinesis: with its key, to 1 KiB).
    pub billed_bytes: u64,
    /// Newlines in the stored records; 0 where they are not counted.
    pub lines: u64,
    /// Records failed one by one inside a 200.
    pub failed_records: u64,
    /// Calls whose records were stored and whose answer was withheld.
    pub answers_lost: u64,
    /// Calls cut off before they were read.
    pub resets: u64,
    /// Calls read and never answered.
    pub hung: u64,
    /// Calls refused as a whole, by error code, or by HTTP status where there is no code.
    pub refused: BTreeMap<String, u64>,
    /// Objects written.
    pub objects: u64,
    /// Bytes of the objects written, as they are on disk.
    pub object_bytes: u64,
    /// Writes that failed; what they held is kept and tried again.
    pub failed_writes: u64,
    /// The same by stream.
    pub streams: BTreeMap<String, StreamStats>,
}

/// Totals of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamStats {
    /// Calls whose records were looked at one by one.
    pub calls: u64,
    /// Records stored.
    pub records: u64,
    /// Bytes of the stored records, before base64.
    pub bytes: u64,
    /// The same, each record rounded up to 5 KiB (Kinesis: with its key, to 1 KiB).
    pub billed_bytes: u64,
    /// Newlines in the stored records; 0 where they are not counted.
    pub lines: u64,
    /// Records failed one by one.
    pub failed_records: u64,
}

/// One call, as it was seen.
#[derive(Clone, Debug)]
pub struct CallSeen {
    /// Number of the call, from 1, in the order the heads arrived.
    pub call: u64,
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// The stream, empty when the call was not read or did not name one.
    pub stream: String,
    /// Records in the call.
    pub records: usize,
    /// Records of it that were stored.
    pub stored: usize,
    /// Bytes of all its records before base64.
    pub bytes: u64,
    /// When its body was read to the end.
    pub arrived: Instant,
    /// `Ok`, `AnswerLost`, `Reset`, `Hang`, an error code, or an HTTP status without one.
    pub answer: String,
}

/// The counters behind [`Stats`].
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) stats: Stats,
    pub(crate) calls: VecDeque<CallSeen>,
}

impl Tally {
    /// Remembers a call.
    pub(crate) fn saw(&mut self, seen: CallSeen) {
        if self.calls.len() == CALLS_KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(seen);
    }

    /// Counts a call whose records were looked at one by one.
    pub(crate) fn stored(&mut self, put: &Put, failures: &[Option<RecordFailure>], lines: u64, service: Service) {
        let (stream, sizes) = (put.stream.as_str(), &put.sizes);
        if !self.stats.streams.contains_key(stream) {
            self.stats.streams.insert(stream.to_owned(), StreamStats::default());
        }
        let Some(by_stream) = self.stats.streams.get_mut(stream) else { return };
        let mut seen = StreamStats { calls: 1, lines, ..StreamStats::default() };
        let keys = put.key_sizes.iter().copied().chain(std::iter::repeat(0));
        for ((size, key), failure) in sizes.iter().zip(keys).zip(failures) {
            if failure.is_some() {
                seen.failed_records += 1;
            } else {
                seen.records += 1;
                seen.bytes += *size as u64;
                seen.billed_bytes += billed(*size + key, service);
            }
        }
        debug_assert_eq!((seen.records + seen.failed_records) as usize, sizes.len());
        by_stream.calls += seen.calls;
        by_stream.records += seen.records;
        by_stream.bytes += seen.bytes;
        by_stream.billed_bytes += seen.billed_bytes;
        by_stream.lines += seen.lines;
        by_stream.failed_records += seen.failed_records;
        self.stats.records += seen.records;
        self.stats.bytes += seen.bytes;
        self.stats.billed_bytes += seen.billed_bytes;
        self.stats.lines += seen.lines;
        self.stats.failed_records += seen.failed_records;
    }

    /// Counts a call refused as a whole.
    pub(crate) fn refused(&mut self, code: &str) {
        *self.stats.refused.entry(code.to_owned()).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_and_failed_records_are_counted_apart_and_by_stream() {
        let mut tally = Tally::default();
        let put =
            |stream: &str, sizes: &[usize]| Put { stream: stream.to_owned(), sizes: sizes.to_vec(), ..Put::default() };
        let failures = [None, None, Some(RecordFailure::Internal)];
        tally.stored(&put("a", &[10, 6000, 1]), &failures, 4, Service::Firehose);
        tally.stored(&put("b", &[5]), &[None], 1, Service::Firehose);
        let stats = &tally.stats;
        assert_eq!((stats.records, stats.failed_records, stats.bytes, stats.lines), (3, 1, 6015, 5));
        assert_eq!(stats.billed_bytes, 5120 + 10240 + 5120);
        assert_eq!(stats.streams["a"].records, 2);
        assert_eq!(stats.streams["b"].billed_bytes, 5120);
    }
}
