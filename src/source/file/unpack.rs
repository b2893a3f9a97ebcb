//! An archive that is open: its bytes from any position on, a bounded step at a time.
//! Promises that a step reads and gives at most a few pieces, and that what it holds is charged to the budget.
//! Leaves the format to the archive crate, and what the bytes mean to the tail core.

use super::identity::{self, Status, failure_of};
use datalake_archive::{Decoder, Format, Kind, Limits, Pause, recognise};
use datalake_core::budget::{Budget, Lease};
use datalake_tail::{ArchiveFault, Failure, Packing};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Packed bytes that are read at a time.
const PACKED: usize = 64 * 1024;

/// Unpacked bytes behind the position that are kept: what the tail core asks for as overlap.
const RECENT: usize = 1024;

/// Decoders at the same time, whatever there is to unpack.
const MOST_DECODERS: usize = 2;

/// Who may hold a decoder.
#[derive(Clone, Debug, Default)]
pub(super) struct Decoders {
    taken: Arc<AtomicUsize>,
    budget: Option<Arc<Budget>>,
}

/// A place among the decoders, and its memory; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    taken: Arc<AtomicUsize>,
    _memory: Option<Lease>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Decoders {
    pub(super) fn new(budget: Option<Arc<Budget>>) -> Self {
        Self { taken: Arc::default(), budget }
    }

    /// A place and memory for a decoder of this format, if there is one.
    fn permit(&self, format: Format, limits: &Limits) -> Option<Permit> {
        if self.taken.load(Ordering::Relaxed) >= MOST_DECODERS {
            return None;
        }
        let needs = match format {
            Format::Gzip => 128 << 10,
            Format::Bzip2 => (4 << 20).min(limits.memory),
            Format::Zstd | Format::Xz => limits.memory,
        };
        let memory = match &self.budget {
            None => None,
            Some(budget) => {
                let mut lease = Lease::new(budget.clone(), 0);
                if !lease.covers(usize::try_from(needs).unwrap_or(usize::MAX)) {
                    return None;
                }
                Some(lease)
            }
        };
        self.taken.fetch_add(1, Ordering::Relaxed);
        Some(Permit { taken: self.taken.clone(), _memory: memory })
    }
}

/// See the head of this file.
pub(super) struct Unpacker {
    file: File,
    format: Format,
    limits: Limits,
    decoder: Decoder,
    /// Packed bytes, of which those from `next` on are still to be unpacked.
    packed: Vec<u8>,
    next: usize,
    /// Where in the file the next ones are.
    offset: u64,
    /// The last unpacked bytes.
    recent: Vec<u8>,
    scratch: Vec<u8>,
    _permit: Permit,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// To so many bytes; none need be the end.
    To(usize),
    /// To the end of the archive.
    ToTheEnd,
}

impl Unpacker {
    /// Begins at the first byte.
    ///
    /// # Errors
    /// `NoDecoder` when none is free, `Unsupported` for what is never unpacked.
    pub(super) fn new(file: File, packing: Packing, limits: Limits, decoders: &Decoders) -> Result<Self, Failure> {
        let format = match packing {
            Packing::Gzip => Format::Gzip,
            Packing::Zstd => Format::Zstd,
            Packing::Bzip2 => Format::Bzip2,
            Packing::Xz => Format::Xz,
            Packing::Other => return Err(Failure::Archive(ArchiveFault::Unsupported)),
        };
        let permit = decoders.permit(format, &limits).ok_or(Failure::NoDecoder)?;
        let decoder = Decoder::new(format, limits);
        let (packed, recent, scratch) = (Vec::new(), Vec::with_capacity(RECENT), Vec::new());
        Ok(Self { file, format, limits, decoder, packed, next: 0, offset: 0, recent, scratch, _permit: permit })
    }

    /// Where the next unpacked byte stands.
    pub(super) const fn at(&self) -> u64 {
        self.decoder.given()
    }

    pub(super) fn status(&self) -> Result<Status, Failure> {
        identity::of_file(&self.file).map_err(|error| failure_of(&error))
    }

    /// Goes back to the beginning when the position is before what it still has.
    pub(super) fn go_back_for(&mut self, position: u64) {
        if position < self.at() - self.recent.len() as u64 {
            self.decoder = Decoder::new(self.format, self.limits);
            (self.next, self.offset) = (0, 0);
            self.packed.clear();
            self.recent.clear();
        }
    }

    /// The unpacked bytes from the position up to where it is, as far as it has them.
    pub(super) fn behind(&self, position: u64) -> &[u8] {
        let count = usize::try_from(self.at().saturating_sub(position)).unwrap_or(usize::MAX);
        &self.recent[self.recent.len() - count.min(self.recent.len())..]
    }

    /// Unpacks a little, at most up to the position, and drops it.
    pub(super) fn skip_to(&mut self, position: u64) -> Result<Came, Failure> {
        let most = usize::try_from(position - self.at()).unwrap_or(PACKED).min(PACKED);
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(most, 0);
        let came = self.step(&mut scratch);
        self.scratch = scratch;
        came
    }

    /// Unpacks a little into the output.
    pub(super) fn step(&mut self, output: &mut [u8]) -> Result<Came, Failure> {
        if self.next == self.packed.len() {
            self.read_packed()?;
        }
        let begins = self.at() == 0;
        let step = self.decoder.step(&self.packed[self.next..], output).map_err(|failure| self.fault(&failure))?;
        self.next += step.taken;
        let given = &output[..step.given];
        if begins && !matches!(recognise(given), Kind::Plain | Kind::Undecided) {
            // An archive in an archive: what comes out is no text either.
            return Err(Failure::Archive(ArchiveFault::Unsupported));
        }
        let kept = RECENT.saturating_sub(given.len()).min(self.recent.len());
        self.recent.drain(..self.recent.len() - kept);
        self.recent.extend_from_slice(&given[given.len().saturating_sub(RECENT)..]);
        if step.given == 0 && step.pause == Pause::Hungry && self.next == self.packed.len() && !self.read_packed()? {
            return match self.decoder.is_whole() {
                true => Ok(Came::ToTheEnd),
                false => Err(Failure::Archive(ArchiveFault::NotWhole)),
            };
        }
        Ok(Came::To(step.given))
    }

    /// Reads the next packed bytes; `false` when there are none now.
    fn read_packed(&mut self) -> Result<bool, Failure> {
        let status = self.status()?;
        self.decoder.set_packed_size(status.size);
        self.packed.resize(PACKED, 0);
        let count = loop {
            match self.file.read_at(&mut self.packed, self.offset) {
                Ok(count) => break count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.packed.clear();
                    self.next = 0;
                    return Err(failure_of(&error));
                }
            }
        };
        self.packed.truncate(count);
        self.next = 0;
        self.offset += count as u64;
        Ok(count > 0)
    }

    fn fault(&self, failure: &datalake_archive::Failure) -> Failure {
        use datalake_archive::Failure as Fault;
        tracing::debug!(format = self.format.name(), reason = %failure, "an archive is given up");
        Failure::Archive(match failure {
            Fault::Memory { needed, .. } => ArchiveFault::Memory { needs: *needed },
            Fault::Barren { input } => ArchiveFault::NoOutput { input: *input },
            Fault::Output { .. } => ArchiveFault::TooLong { output: self.decoder.given() },
            Fault::Damaged { .. } => ArchiveFault::Corrupt,
        })
    }
}
