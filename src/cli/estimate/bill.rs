//! Lines in, billed bytes out: each way of packing them, by the packer that the agent sends with.
//! Promises the records, and so the rounding, that a flow would make of these lines at these times.
//! Leaves lines to the sample, and prices to the table.

use datalake_core::batch::firehose::RECORD_BYTES;
use datalake_core::batch::kinesis::AGGREGATE_BYTES;
use datalake_core::batch::{Compression, Form, Lines, Packer, Record, Sealed, Settings};
use std::path::Path;
use std::time::Instant;

/// How lines become records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Each line is one, as with the Kinesis Agent.
    EachLine,
    /// Many lines in each.
    Packed,
    /// Many lines in each, compressed.
    PackedAndGzip,
}

impl Way {
    /// All that the service takes.
    pub(super) fn all(form: &Form) -> &'static [Self] {
        match form {
            Form::Firehose => &[Self::EachLine, Self::Packed, Self::PackedAndGzip],
            Form::Kinesis(_) => &[Self::EachLine, Self::Packed],
        }
    }

    /// In the order of the columns.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::EachLine => "each line a record (as the Kinesis Agent)",
            Self::Packed => "packed",
            Self::PackedAndGzip => "packed + gzip",
        }
    }

    /// For programs.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EachLine => "eachLine",
            Self::Packed => "packed",
            Self::PackedAndGzip => "packedAndGzip",
        }
    }

    /// The settings of a flow that goes this way and is else like this one.
    fn settings(self, of_flow: &Settings) -> Settings {
        let mut settings = of_flow.clone();
        if self == Self::EachLine {
            settings.aggregated_record_bytes = None;
            settings.max_lines_per_record = None;
            settings.compression = Compression::None;
            if let Form::Kinesis(only) = &mut settings.form {
                only.kpl = false;
            }
            return settings;
        }
        if settings.aggregated_record_bytes.is_none() {
            let usual = match &mut settings.form {
                Form::Firehose => RECORD_BYTES,
                Form::Kinesis(only) => {
                    only.kpl = true;
                    AGGREGATE_BYTES
                }
            };
            settings.aggregated_record_bytes = Some(usual.min(settings.max_bytes));
        }
        settings.compression = match (self, of_flow.compression) {
            (Self::Packed, _) => Compression::None,
            (_, Compression::None) => Compression::Gzip { level: 1 },
            (_, configured) => configured,
        };
        settings
    }

    /// Whether the flow goes this way now.
    pub(super) fn is_of(self, flow: &Settings) -> bool {
        let way = match (flow.aggregated_record_bytes, flow.compression) {
            (_, Compression::Gzip { .. }) => Self::PackedAndGzip,
            (None, Compression::None) => Self::EachLine,
            (Some(_), Compression::None) => Self::Packed,
        };
        self == way
    }
}

/// The lines so far under one way.
#[derive(Debug)]
pub(super) struct Bill {
    pub(super) way: Way,
    packer: Packer,
    settings: Settings,
    /// The partition key of the file that lines come from, where keys come from paths.
    key: Option<String>,
    sum: Sum,
}

/// What it came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    /// Bytes of lines.
    pub(super) bytes: f64,
    /// What is billed for them, in bytes.
    pub(super) billed: f64,
    /// Records of the service.
    pub(super) records: f64,
}

impl Bill {
    pub(super) fn new(way: Way, flow: &Settings) -> Self {
        let settings = way.settings(flow);
        // A seed of its own: the same lines have the same bill.
        let packer = Packer::new(settings.clone(), fastrand::Rng::with_seed(1));
        Self { way, packer, settings, key: None, sum: Sum::default() }
    }

    /// The lines from here on are of this file.
    pub(super) fn begin(&mut self, path: &Path) {
        self.key = self.packer.key_of_path(path);
    }

    /// A record as it comes out of processing, at a time that never goes back.
    pub(super) fn add(&mut self, record: &[u8], at: Instant) {
        self.pass(at);
        for piece in record.chunks(self.settings.longest_line()) {
            if self.packer.packing_space().bytes < piece.len() {
                let overflow = self.packer.seal_record();
                self.take(overflow);
                if self.packer.space().bytes < piece.len() {
                    self.seal();
                }
            }
            let lines =
                Lines { bytes: piece, input: piece.len() as u64, count: 1, read_at: at, key: self.key.as_deref() };
            let before = self.packer.append(lines, |_| None);
            self.take(before);
            if self.packer.record_is_full() {
                let overflow = self.packer.seal_record();
                self.take(overflow);
            }
            if self.packer.is_full() {
                self.seal();
            }
        }
    }

    /// Time passes: what is old enough is sent.
    pub(super) fn pass(&mut self, now: Instant) {
        if self.packer.due().is_some_and(|due| due <= now) {
            self.seal();
        }
    }

    /// Bytes of records that are complete.
    pub(super) const fn bytes(&self) -> f64 {
        self.sum.bytes
    }

    fn seal(&mut self) {
        for sealed in self.packer.seal() {
            self.take(sealed);
        }
    }

    fn take(&mut self, sealed: Option<Sealed>) {
        sealed.iter().flat_map(Sealed::records).for_each(|record| self.count(record));
    }

    fn count(&mut self, record: &Record) {
        self.sum.bytes += record.input as f64;
        self.sum.billed += record.billed as f64;
        self.sum.records += record.parts as f64;
    }

    /// The sum. What is still open would have taken more lines: it is billed as a share of the record that it would have
    /// become, at this rate in bytes a second, or full where none is known.
    pub(super) fn end(mut self, rate: Option<f64>) -> Sum {
        let [first, last] = self.packer.seal();
        let mut records: Vec<Record> =
            [&first, &last].into_iter().flatten().flat_map(Sealed::records).copied().collect();
        let open = records.pop().filter(|_| self.way != Way::EachLine);
        let open = open.filter(|open| open.input > 0 && open.payload > 0);
        let all = first.iter().chain(&last).flat_map(Sealed::records);
        all.take(records.len() + usize::from(open.is_none())).for_each(|record| self.count(record));
        let Some(open) = open else { return self.sum };
        let (bytes, payload) = (open.input as f64, open.payload as f64);
        let limit = self.settings.aggregated_record_bytes.unwrap_or(self.settings.max_bytes) as f64;
        let full = limit * bytes / payload;
        let in_time = rate.map_or(full, |rate| rate * self.settings.max_age.as_secs_f64());
        let times = (in_time.min(full) / bytes).max(1.0);
        self.sum.bytes += bytes;
        self.sum.billed += self.billed(payload * times) / times;
        self.sum.records += 1.0 / times;
        self.sum
    }

    fn billed(&self, payload: f64) -> f64 {
        let step = match self.settings.form {
            Form::Firehose => datalake_core::batch::firehose::BILLING_STEP,
            Form::Kinesis(_) => datalake_core::batch::kinesis::BILLING_STEP,
        } as f64;
        (payload / step).ceil() * step
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datalake_core::batch::firehose::{CALL_BYTES, CALL_RECORDS};
    use std::time::Duration;

    fn flow(aggregated: Option<usize>) -> Settings {
        Settings {
            stream: "logs".to_owned(),
            form: Form::Firehose,
            max_age: Duration::from_secs(60),
            max_bytes: CALL_BYTES,
            max_records: CALL_RECORDS,
            aggregated_record_bytes: aggregated,
            max_lines_per_record: None,
            compression: Compression::None,
        }
    }

    /// `lines` lines of 120 bytes, this long after each other.
    fn billed(way: Way, lines: usize, apart: Duration, rate: Option<f64>) -> Sum {
        let (mut bill, begin) = (Bill::new(way, &flow(Some(RECORD_BYTES))), Instant::now());
        let line = [b"x".repeat(119), b"\n".to_vec()].concat();
        for number in 0..lines {
            bill.add(&line, begin + apart * u32::try_from(number).unwrap());
        }
        bill.end(rate)
    }

    #[test]
    fn each_line_is_rounded_up_by_itself_where_it_is_a_record() {
        let sum = billed(Way::EachLine, 1234, Duration::ZERO, None);
        assert_eq!(sum, Sum { bytes: 148_080.0, billed: 1234.0 * 5120.0, records: 1234.0 });
    }

    #[test]
    fn packed_lines_fill_records_where_they_come_fast() {
        // 8,533 lines fill a record, and four of those with a small one a call.
        let sum = billed(Way::Packed, 85_330, Duration::ZERO, None);
        assert!(sum.billed >= 10_240_000.0 && sum.billed < 10_260_000.0 && sum.records < 12.0, "{sum:?}");
        // A sample that is too short for one counts as a part of one.
        let sum = billed(Way::Packed, 100, Duration::ZERO, None);
        assert!(sum.records < 0.012 && sum.billed >= sum.bytes && sum.billed < sum.bytes * 1.001, "{sum:?}");
    }

    #[test]
    fn slow_lines_leave_in_records_that_are_not_full() {
        // One a second: 60 of them, 7,200 bytes, are a record after a minute, and 10,240 are billed.
        let sum = billed(Way::Packed, 600, Duration::from_secs(1), Some(120.0));
        assert!((sum.billed / sum.bytes - 10_240.0 / 7_200.0).abs() < 0.02, "{sum:?}");
        // Known from a sample of ten lines alone.
        let sum = billed(Way::Packed, 10, Duration::ZERO, Some(120.0));
        assert!((sum.billed / sum.bytes - 10_240.0 / 7_200.0).abs() < 0.001, "{sum:?}");
    }

    #[test]
    fn compressed_lines_cost_less_than_packed_ones() {
        let (packed, gzip) = (
            billed(Way::Packed, 85_330, Duration::ZERO, None),
            billed(Way::PackedAndGzip, 85_330, Duration::ZERO, None),
        );
        assert_eq!(packed.bytes, gzip.bytes);
        assert!(gzip.billed < packed.billed / 10.0, "{gzip:?}");
    }

    #[test]
    fn the_way_of_a_flow_is_known() {
        for (aggregated, compression, way) in [
            (None, Compression::None, Way::EachLine),
            (Some(1000), Compression::None, Way::Packed),
            (Some(1000), Compression::Gzip { level: 3 }, Way::PackedAndGzip),
        ] {
            let settings = Settings { compression, ..flow(aggregated) };
            assert!(way.is_of(&settings));
            assert_eq!(Way::all(&Form::Firehose).iter().filter(|way| way.is_of(&settings)).count(), 1);
        }
    }

    #[test]
    fn lines_of_any_length_are_billed_without_a_panic() {
        for way in [Way::EachLine, Way::Packed, Way::PackedAndGzip] {
            for length in [1, 5119, 5120, 5121, 1_000_000, 1_024_000, 3_000_000] {
                let mut bill = Bill::new(way, &flow(None));
                bill.add(&vec![b'x'; length], Instant::now());
                bill.add(b"y\n", Instant::now());
                assert_eq!(bill.end(None).bytes, length as f64 + 2.0, "{way:?} {length}");
            }
        }
    }
}
