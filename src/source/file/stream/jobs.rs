//! Answers that take several steps: listings of large folders, and whatever must be unpacked.
//! Promises a bounded step. Leaves what is asked to the tail core.

use super::super::identity::Status;
use super::super::listing::Listing;
use super::super::reading::{Open, kind_of};
use super::super::unpack::{Came, Unpacker};
use super::{QUESTION, Stream, Work, World};
use datalake_base::record::ChunkPool;
use datalake_tail::{Failure, Packing, Part, Sample, Seen, Slot, Ticket};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Steps of a decoder in one step of a job; each reads at most 64 KiB and gives at most 256.
const DECODER_STEPS: usize = 4;

/// What a step of a decoder costs.
const DECODER_STEP: Work = 512 * 1024;

/// A name in a listing costs as much as reading so many bytes.
const NAME: Work = 4 * 1024;

/// Unpacked bytes that a sample takes at a time.
const PIECE: usize = 64 * 1024;

/// An answer under way.
pub(super) enum Job {
    List {
        ticket: Ticket,
        path: Arc<Path>,
        everything: bool,
        listing: Listing,
    },
    Sample {
        ticket: Ticket,
        from: Source,
        parts: Vec<Part>,
    },
    /// `fresh`: so many bytes of the buffer were unpacked for it.
    Read {
        ticket: Ticket,
        slot: Slot,
        from: u64,
        most: u32,
        buffer: Vec<u8>,
        fresh: usize,
    },
}

/// What a sample is taken of.
pub(super) enum Source {
    /// An open archive.
    Slot(Slot),
    /// One that is open for this only.
    Own(Box<Unpacker>),
}

impl Job {
    pub(super) const fn slot(&self) -> Option<Slot> {
        match self {
            Self::Read { slot, .. } | Self::Sample { from: Source::Slot(slot), .. } => Some(*slot),
            Self::List { .. } | Self::Sample { .. } => None,
        }
    }

    /// Nobody waits for the answer.
    pub(super) fn give_up(self, pool: &ChunkPool) {
        if let Self::Read { buffer, .. } = self {
            pool.give_back(buffer);
        }
    }
}

impl Stream {
    pub(super) fn begin_sampling(
        &mut self,
        ticket: Ticket,
        slot: Option<Slot>,
        path: &Path,
        packing: Packing,
        ranges: Vec<Range<u64>>,
        world: &mut World,
    ) {
        let first = ranges.iter().map(|range| range.start).min().unwrap_or(0);
        let from = match slot {
            Some(slot) => match self.open.get_mut(&slot) {
                Some(Open::Packed(unpacker)) => {
                    unpacker.go_back_for(first);
                    Ok(Source::Slot(slot))
                }
                _ => Err(Failure::Missing),
            },
            None => self.open(path, Some(packing), world).and_then(|(open, _)| match open {
                Open::Packed(unpacker) => Ok(Source::Own(unpacker)),
                Open::Plain(_) => Err(Failure::Missing),
            }),
        };
        let parts = ranges.into_iter().map(|range| Part { range, bytes: Vec::new() }).collect();
        match from {
            Ok(from) => self.jobs.push_back(Job::Sample { ticket, from, parts }),
            Err(failure) => self.tell(Seen::Failed { ticket, failure }, world),
        }
    }

    /// Does a step of it, and keeps it for the next unless it is answered.
    pub(super) fn step_job(&mut self, job: Job, world: &mut World) -> Work {
        match job {
            Job::List { ticket, path, everything, mut listing } => {
                let mut named = Vec::new();
                let most = self.limits.entries;
                let mut buffer = path.to_path_buf();
                let wanted = |name: &[u8]| {
                    use std::os::unix::ffi::OsStrExt;
                    everything || {
                        buffer.push(std::ffi::OsStr::from_bytes(name));
                        let wanted = self.flow_of(&buffer).is_some() || self.kin_of(&buffer, name).is_some();
                        buffer.pop();
                        wanted
                    }
                };
                match listing.next(most, wanted, &mut named) {
                    Ok(last) => {
                        let cost = QUESTION + NAME * named.len() as u64;
                        let entries = self.entries(&path, named);
                        if !last {
                            self.jobs.push_back(Job::List { ticket, path, everything, listing });
                        }
                        if last || !entries.is_empty() {
                            self.tell(Seen::Listed { ticket, entries, last }, world);
                        }
                        cost
                    }
                    Err(error) => {
                        let failure = super::failure_of(&error);
                        self.tell(Seen::Failed { ticket, failure }, world);
                        QUESTION
                    }
                }
            }
            Job::Sample { ticket, mut from, mut parts } => {
                let unpacker = match &mut from {
                    Source::Own(unpacker) => Some(unpacker),
                    Source::Slot(slot) => match self.open.get_mut(slot) {
                        Some(Open::Packed(unpacker)) => Some(unpacker),
                        _ => None,
                    },
                };
                let Some(unpacker) = unpacker else { return 0 };
                match sample(unpacker, &mut parts) {
                    Ok(None) => self.jobs.push_back(Job::Sample { ticket, from, parts }),
                    Ok(Some((end, status))) => {
                        drop(from);
                        let sample = Sample { status: status.told(), kind: kind_of(&parts), parts, packed: true, end };
                        self.tell(Seen::Sampled { ticket, sample }, world);
                    }
                    Err(failure) => {
                        drop(from);
                        self.tell(Seen::Failed { ticket, failure }, world);
                    }
                }
                DECODER_STEP * DECODER_STEPS as u64
            }
            Job::Read { ticket, slot, from, most, mut buffer, mut fresh } => {
                let Some(Open::Packed(unpacker)) = self.open.get_mut(&slot) else {
                    world.pool.give_back(buffer);
                    return 0;
                };
                match read(unpacker, from, most as usize, &mut buffer, &mut fresh) {
                    Ok(Progress::On) => {
                        self.jobs.push_back(Job::Read { ticket, slot, from, most, buffer, fresh });
                    }
                    Ok(Progress::Done { end }) => match unpacker.status() {
                        Ok(status) => self.tell_read(ticket, buffer, 0, &status, end, world),
                        Err(failure) => {
                            world.pool.give_back(buffer);
                            self.tell(Seen::Failed { ticket, failure }, world);
                        }
                    },
                    Err(failure) => {
                        world.pool.give_back(buffer);
                        self.tell(Seen::Failed { ticket, failure }, world);
                    }
                }
                DECODER_STEP * DECODER_STEPS as u64
            }
        }
    }
}

/// How far a read came.
enum Progress {
    /// It needs more steps.
    On,
    /// The buffer holds the answer.
    Done { end: bool },
}

/// Unpacks a little towards `from`, and then into the buffer.
fn read(
    unpacker: &mut Unpacker,
    from: u64,
    most: usize,
    buffer: &mut Vec<u8>,
    fresh: &mut usize,
) -> Result<Progress, Failure> {
    if buffer.is_empty() {
        unpacker.go_back_for(from);
    }
    for _ in 0..DECODER_STEPS {
        if buffer.is_empty() && unpacker.at() < from {
            if unpacker.skip_to(from)? == Came::ToTheEnd {
                // The content is shorter than what was read of it.
                return Ok(Progress::Done { end: true });
            }
            continue;
        }
        if buffer.is_empty() {
            buffer.extend_from_slice(unpacker.behind(from));
        }
        let had = buffer.len();
        if had >= most {
            return Ok(Progress::Done { end: false });
        }
        buffer.resize(most, 0);
        let came = unpacker.step(&mut buffer[had..]);
        buffer.truncate(had + if let Ok(Came::To(count)) = came { count } else { 0 });
        match came {
            Ok(Came::To(count)) => *fresh += count,
            Ok(Came::ToTheEnd) => return Ok(Progress::Done { end: true }),
            // What came before is handed out first; the next read meets the same trouble.
            Err(_) if *fresh > 0 => return Ok(Progress::Done { end: false }),
            Err(failure) => return Err(failure),
        }
    }
    Ok(Progress::On)
}

/// Unpacks a little towards what is still missing of the parts. Gives the end of the content, if that was reached, and the
/// status of the file, once all is there that is to be had.
fn sample(unpacker: &mut Unpacker, parts: &mut [Part]) -> Result<Option<(Option<u64>, Status)>, Failure> {
    let last = parts.iter().map(|part| part.range.end).max().unwrap_or(0);
    for part in parts.iter_mut().filter(|part| part.bytes.is_empty()) {
        // What the decoder has just passed.
        let behind = unpacker.behind(part.range.start);
        let begins = unpacker.at() - behind.len() as u64;
        if begins <= part.range.start && unpacker.at() > part.range.start {
            let count = (part.range.end - part.range.start).min(behind.len() as u64) as usize;
            part.bytes.extend_from_slice(&behind[..count]);
        }
    }
    let mut piece = vec![0; PIECE];
    for _ in 0..DECODER_STEPS {
        let at = unpacker.at();
        if at >= last {
            return Ok(Some((None, unpacker.status()?)));
        }
        let room = piece.len().min(usize::try_from(last - at).unwrap_or(PIECE));
        match unpacker.step(&mut piece[..room])? {
            Came::ToTheEnd => return Ok(Some((Some(at), unpacker.status()?))),
            Came::To(count) => {
                for part in parts.iter_mut() {
                    let next = part.range.start + part.bytes.len() as u64;
                    let end = part.range.end.min(at + count as u64);
                    if next >= at && next < end {
                        part.bytes.extend_from_slice(&piece[(next - at) as usize..(end - at) as usize]);
                    }
                }
            }
        }
    }
    Ok(None)
}
