//! The bytes of a full record made smaller; the choice of compressor stays in this one file.
//! Promises gzip members that any reader of the lake opens, each within the record limit, none splitting a line.
//! Leaves when a record is full to the packer, which asks for the target.

use super::firehose::RECORD_BYTES;

/// The longest line that is sure to fit into a record even if it does not compress at all: gzip adds a header of
/// 18 bytes and five bytes for every stored block.
pub(super) const LONGEST_LINE: usize = 1_000_000;

/// No more than this is gathered for one record, whatever the ratio: beyond it a record gets larger but the bill
/// hardly smaller (a record of 500 KB wastes half a per cent of its billing), and memory is what it costs.
const RAW_MOST: usize = 3 * 1024 * 1024;

/// How much may be gathered so that the record, should it not compress, still fits into one call.
pub(super) const fn raw_limit(call_bytes: usize) -> usize {
    let limit = call_bytes / 4 * 3;
    if limit < RAW_MOST { limit } else { RAW_MOST }
}

/// Compresses full records, one gzip member each, and learns how much to gather for the next.
pub(super) struct Compressor {
    gzip: libdeflater::Compressor,
    /// Input over output of the records so far, smoothed.
    ratio: f64,
    /// Members, and behind them what was written earlier: zeroing it for every record would cost as much as base64.
    output: Vec<u8>,
    /// Where each member ends in `output`.
    ends: Vec<usize>,
}

/// What one record was compressed to: one member, or several where one would be over the record limit.
pub(super) struct Members<'a> {
    output: &'a [u8],
    ends: &'a [usize],
}

impl Members<'_> {
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.ends.last().copied().unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(self.ends);
        starts.zip(self.ends).map(|(start, end)| &self.output[*start..*end])
    }
}

impl Compressor {
    pub(super) fn new(level: u8) -> Self {
        let level = libdeflater::CompressionLvl::new(i32::from(level)).expect("the plan allows levels 1 to 12 only");
        Self { gzip: libdeflater::Compressor::new(level), ratio: 3.0, output: Vec::new(), ends: Vec::new() }
    }

    /// How many bytes to gather so that a record comes out just below `record_limit`.
    pub(super) fn raw_target(&self, record_limit: usize, call_bytes: usize) -> usize {
        let target = record_limit as f64 * self.ratio * 0.93;
        (target as usize).clamp(1, raw_limit(call_bytes))
    }

    /// Compresses whole lines.
    pub(super) fn compress(&mut self, raw: &[u8]) -> Members<'_> {
        self.ends.clear();
        self.compress_within(raw);
        let members = Members { output: &self.output, ends: &self.ends };
        let ratio = raw.len() as f64 / members.bytes() as f64;
        // Falls at once and rises slowly: a record over the limit costs a second compression.
        self.ratio = if ratio < self.ratio { ratio } else { self.ratio * 0.8 + ratio * 0.2 };
        members
    }

    pub(super) fn memory(&self) -> usize {
        self.output.capacity()
    }

    /// The memory after a record of this many bytes.
    pub(super) fn memory_with(&self, raw: usize) -> usize {
        // The library's bound for gzip is below a thousandth more than the input, and a few bytes.
        self.output.capacity().max(raw + raw / 1000 + 64)
    }

    pub(super) fn rest(&mut self) {
        self.output = Vec::new();
        self.ends.clear();
    }

    /// Appends one member, or, where it would be over the record limit, the members of both halves.
    fn compress_within(&mut self, raw: &[u8]) {
        let start = self.ends.last().copied().unwrap_or_default();
        let needed = start + self.gzip.gzip_compress_bound(raw.len());
        if needed > self.output.len() && start == 0 {
            // Fresh zeros come from the system, and what is never written of them takes no memory: most of it, for the bound
            // is for input that does not compress.
            self.output = Vec::new();
            self.output = vec![0; needed];
        } else if needed > self.output.len() {
            self.output.reserve_exact(needed - self.output.len());
            self.output.resize(needed, 0);
        }
        let written = self.gzip.gzip_compress(raw, &mut self.output[start..]);
        let written = written.expect("the output is as long as the compressor's own bound");
        if written <= RECORD_BYTES {
            self.ends.push(start + written);
            return;
        }
        let middle = raw.len() / 2;
        let cut = memchr::memrchr(b'\n', &raw[..middle])
            .or_else(|| memchr::memchr(b'\n', &raw[middle..raw.len() - 1]).map(|at| middle + at))
            .expect("a single line fits into a record even if it does not compress");
        self.compress_within(&raw[..=cut]);
        self.compress_within(&raw[cut + 1..]);
    }
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Compressor").field("ratio", &self.ratio).finish_non_exhaustive()
    }
}
