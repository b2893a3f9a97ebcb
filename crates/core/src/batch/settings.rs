//! How a flow's lines become calls: what the configuration says, and the limits of the service it is for.
//! Promises that a line of `longest_line` always fits into an empty batch.
//! Leaves packing to the packer.

use super::{compress, firehose, kinesis};
use std::time::Duration;

/// When a record and a batch are complete.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Name of the stream.
    pub stream: String,
    /// The service it is a stream of.
    pub form: Form,
    /// A batch is sealed when its oldest byte is this old.
    pub max_age: Duration,
    /// Bytes of a batch before base64, at most [`Form::call_bytes`].
    pub max_bytes: usize,
    /// Records of a batch, at most [`Form::call_records`].
    pub max_records: usize,
    /// Lines are packed into records of at most this many bytes; `None` is one line a record.
    pub aggregated_record_bytes: Option<usize>,
    /// And of at most this many lines, for streams that split records again.
    pub max_lines_per_record: Option<u32>,
    /// What is done with the bytes of a full record.
    pub compression: Compression,
}

/// The wire form of calls: that of the service they are for.
#[derive(Clone, Debug, Default)]
pub enum Form {
    /// `PutRecordBatch` of Firehose.
    #[default]
    Firehose,
    /// `PutRecords` of Kinesis Data Streams.
    Kinesis(kinesis::Settings),
}

impl Form {
    /// The most bytes of a call, before base64.
    #[must_use]
    pub const fn call_bytes(&self) -> usize {
        match self {
            Self::Firehose => firehose::CALL_BYTES,
            Self::Kinesis(settings) => settings.call_bytes(),
        }
    }

    /// The most records of a call.
    #[must_use]
    pub const fn call_records(&self) -> usize {
        match self {
            Self::Firehose => firehose::CALL_RECORDS,
            Self::Kinesis(_) => kinesis::CALL_RECORDS,
        }
    }

    /// The most bytes of a record, before base64, its partition key included.
    #[must_use]
    pub const fn record_bytes(&self) -> usize {
        match self {
            Self::Firehose => firehose::RECORD_BYTES,
            Self::Kinesis(settings) => settings.record_bytes,
        }
    }

    /// The longest body of a call with this many bytes before base64 in this many records.
    #[must_use]
    pub const fn body_bytes(&self, payload: usize, records: usize) -> usize {
        match self {
            Self::Firehose => firehose::body_bytes(payload, records),
            Self::Kinesis(_) => kinesis::body_bytes(payload, records),
        }
    }

    /// Whether the order of lines is kept within each partition key even when single records are refused.
    #[must_use]
    pub const fn is_ordered(&self) -> bool {
        matches!(self, Self::Kinesis(settings) if settings.ordered)
    }

    /// What the service bills for a record of this many bytes, in bytes: each is rounded up.
    pub(super) const fn billed(&self, payload: usize) -> u64 {
        let step = match self {
            Self::Firehose => firehose::BILLING_STEP,
            Self::Kinesis(_) => kinesis::BILLING_STEP,
        };
        payload.next_multiple_of(step) as u64
    }

    /// What of a record's bytes is not free for a line.
    #[must_use]
    pub fn frame(&self) -> usize {
        match self {
            Self::Firehose => 0,
            Self::Kinesis(settings) => settings.frame(),
        }
    }
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

impl Settings {
    /// The same for a stream of Kinesis that takes records of at most this many bytes, partition keys included. It never
    /// allows more than before.
    #[must_use]
    pub fn within(mut self, record_bytes: usize) -> Self {
        if let Form::Kinesis(only) = &mut self.form {
            only.record_bytes = only.record_bytes.min(record_bytes.max(kinesis::RECORD_BYTES));
            self.max_bytes = self.max_bytes.min(only.call_bytes());
            let most = only.record_bytes.min(self.max_bytes);
            self.aggregated_record_bytes = self.aggregated_record_bytes.map(|bytes| bytes.min(most));
        }
        self
    }

    /// The longest line, in bytes, that is sure to fit into a record and a call under these settings.
    #[must_use]
    pub fn longest_line(&self) -> usize {
        match self.compression {
            Compression::None => self.form.record_bytes().min(self.max_bytes).saturating_sub(self.form.frame()),
            Compression::Gzip { .. } => compress::LONGEST_LINE.min(compress::raw_limit(self.max_bytes)),
        }
    }

    /// The least memory, in bytes, with which a flow gets on under these settings: one longest line in its wire form
    /// (a buffer may be twice as large as what is in it), and what the compressor needs for it.
    #[must_use]
    pub fn memory_floor(&self) -> u64 {
        let times = match (&self.form, self.compression) {
            (Form::Firehose, Compression::None) => 3,
            // An aggregate is gathered before it is written.
            (Form::Kinesis(_), Compression::None) => 5,
            (_, Compression::Gzip { .. }) => 6,
        };
        times * (self.longest_line() + self.form.frame()) as u64 + 64 * 1024
    }
}
