//! Where accepted records go: into objects, into memory, onto a log file a stream, or nowhere.
//! Promises that a record is where it belongs before its call is answered.
//! Leaves the making of objects to `objects`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::mem;
use std::path::PathBuf;
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

use crate::objects::{Objects, Written};
use crate::protocol::Put;
use crate::service::RecordFailure;

/// What is done with accepted records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Buffered and written as objects below the root folder.
    #[default]
    Lake,
    /// Kept in memory, in the order they arrive; for tests, and without bound.
    Collect,
    /// Counted and dropped, without decoding them where that can be avoided; for benches.
    Count,
    /// Appended to `<root>/<stream>.log` before the call is answered; for tests that kill the sender.
    SinkLog,
}

/// A record that was kept in memory.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Its bytes.
    pub data: Bytes,
    /// When its call was read to the end.
    pub at: Instant,
    /// Number of its call, from 1.
    pub call: u64,
    /// Number of the connection it came on, from 1.
    pub connection: u64,
    /// Its partition key, if it came by `PutRecords`.
    pub partition_key: Option<String>,
    /// The shard it went to, from 0, if it has one.
    pub shard: Option<u32>,
    /// Its number in the shard as the service writes it, 56 digits, which only grow.
    pub sequence_number: Option<String>,
}

/// When and how a call came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) clock: Timestamp,
    pub(crate) call: u64,
    pub(crate) connection: u64,
}

/// The place of one [`Mode`].
#[derive(Debug)]
pub(crate) enum Store {
    Lake(Objects),
    Collect(BTreeMap<String, Vec<Arrived>>),
    Count,
    SinkLog(SinkLogs),
}

/// One log file a stream.
#[derive(Debug)]
pub(crate) struct SinkLogs {
    pub(crate) root: PathBuf,
    pub(crate) files: BTreeMap<String, File>,
}

impl Store {
    /// Whether another call can be taken now.
    pub(crate) fn has_room(&self) -> bool {
        match self {
            Self::Lake(objects) => objects.has_room(),
            Self::Collect(_) | Self::Count | Self::SinkLog(_) => true,
        }
    }

    /// Takes the records that did not fail; answers with the newlines in them.
    ///
    /// # Errors
    /// The log file could not be written; then no record of the call was taken.
    pub(crate) fn accept(
        &mut self,
        put: &mut Put,
        failures: &[Option<RecordFailure>],
        arrival: Arrival,
    ) -> io::Result<u64> {
        let whole = put.ranges().enumerate().zip(failures).filter(|(_, failure)| failure.is_none());
        let (indexes, taken): (Vec<_>, Vec<_>) = whole.map(|(record, _)| record).unzip();
        if put.payload.is_empty() && !matches!(self, Self::Collect(_)) {
            return Ok(0);
        }
        let lines = taken.iter().map(|range| newlines(&put.payload[range.clone()])).sum();
        match self {
            Self::Count => {}
            Self::Collect(streams) => {
                let payload = Bytes::from(mem::take(&mut put.payload));
                let records = indexes.into_iter().zip(taken).map(|(index, range)| Arrived {
                    data: payload.slice(range),
                    at: arrival.at,
                    call: arrival.call,
                    connection: arrival.connection,
                    partition_key: put.keys.get(index).map(|key| key.partition_key.clone()),
                    shard: put.places.get(index).map(|place| place.shard),
                    sequence_number: put.places.get(index).map(|place| place.sequence_number()),
                });
                streams.entry(put.stream.clone()).or_default().extend(records);
            }
            Self::SinkLog(logs) => {
                // One write for the whole call, whatever failed in it.
                let mut accepted = Vec::with_capacity(taken.iter().map(ExactSizeIterator::len).sum());
                taken.into_iter().for_each(|range| accepted.extend_from_slice(&put.payload[range]));
                logs.append(&put.stream, &accepted)?;
            }
            Self::Lake(objects) => {
                for range in taken {
                    objects.append(&put.stream, &put.payload[range], arrival.clock, arrival.at);
                }
                objects.flush_due(arrival.at);
            }
        }
        Ok(lines)
    }

    /// Writes what has waited long enough at `now`.
    pub(crate) fn flush_due(&mut self, now: Instant) {
        if let Self::Lake(objects) = self {
            objects.flush_due(now);
        }
    }

    /// Writes all that waits.
    ///
    /// # Errors
    /// The first write that failed.
    pub(crate) fn flush_all(&mut self) -> io::Result<()> {
        match self {
            Self::Lake(objects) => objects.flush_all(),
            Self::Collect(_) | Self::Count | Self::SinkLog(_) => Ok(()),
        }
    }

    /// What was written as objects.
    pub(crate) fn written(&self) -> Written {
        match self {
            Self::Lake(objects) => objects.written(),
            Self::Collect(_) | Self::Count | Self::SinkLog(_) => Written::default(),
        }
    }

    /// What was kept in memory.
    pub(crate) fn collected(&mut self) -> Option<&mut BTreeMap<String, Vec<Arrived>>> {
        match self {
            Self::Collect(streams) => Some(streams),
            Self::Lake(_) | Self::Count | Self::SinkLog(_) => None,
        }
    }
}

impl SinkLogs {
    /// Appends to a stream's log; a write that fails half-way is taken back.
    fn append(&mut self, stream: &str, accepted: &[u8]) -> io::Result<()> {
        if !self.files.contains_key(stream) {
            let file = File::options().create(true).append(true).open(self.root.join(format!("{stream}.log")))?;
            self.files.insert(stream.to_owned(), file);
        }
        let Some(file) = self.files.get_mut(stream) else { return Err(io::ErrorKind::NotFound.into()) };
        let before = file.metadata()?.len();
        file.write_all(accepted).inspect_err(|_| drop(file.set_len(before)))
    }
}

/// Newlines in `bytes`.
fn newlines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(records: &[&[u8]]) -> Put {
        Put {
            stream: "s".to_owned(),
            payload: records.concat(),
            sizes: records.iter().map(|record| record.len()).collect(),
            ..Put::default()
        }
    }

    fn arrival() -> Arrival {
        Arrival { at: Instant::now(), clock: Timestamp::UNIX_EPOCH, call: 1, connection: 1 }
    }

    #[test]
    fn memory_keeps_accepted_records_in_order_and_empty_ones_too() {
        let mut store = Store::Collect(BTreeMap::new());
        let failures = [None, Some(RecordFailure::Internal), None];
        assert_eq!(store.accept(&mut put(&[b"a\n", b"b\n", b"c"]), &failures, arrival()).unwrap(), 1);
        assert_eq!(store.accept(&mut put(&[b""]), &[None], arrival()).unwrap(), 0);
        let kept: Vec<_> = store.collected().unwrap()["s"].iter().map(|arrived| arrived.data.clone()).collect();
        assert_eq!(kept, [b"a\n".as_slice(), b"c", b""]);
    }

    #[test]
    fn a_log_file_grows_by_the_accepted_records_and_survives_a_restart() {
        let root = tempfile::tempdir().unwrap();
        for round in 0..2 {
            let mut store = Store::SinkLog(SinkLogs { root: root.path().to_owned(), files: BTreeMap::new() });
            let failures = [None, Some(RecordFailure::Throttled), None];
            assert_eq!(store.accept(&mut put(&[b"a\n", b"b\n", b"c\n"]), &failures, arrival()).unwrap(), 2, "{round}");
        }
        assert_eq!(std::fs::read(root.path().join("s.log")).unwrap(), b"a\nc\na\nc\n");
    }

    #[test]
    fn counting_keeps_nothing_but_the_count_of_lines() {
        assert_eq!(Store::Count.accept(&mut put(&[b"a\nb\n"]), &[None], arrival()).unwrap(), 2);
    }
}
