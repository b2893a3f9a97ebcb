//! A file as a command sees it: which one it is, and whether it holds a content that is known.
//! Promises to answer by content, for plain files, copies and archives alike, and to change nothing.
//! Leaves comparing to the tail core's proof, and what follows to the command.

use super::identity::{self, Kind};
use super::reading::{Plain, kind_of};
use super::unpack::{Came, Decoders, Unpacker};
use datalake_base::record::{FileKey, Fingerprint};
use datalake_tail::proof::{ENOUGH, WINDOW};
use datalake_tail::{Failure, Packing, Part, Proof, Sample, Verdict, Weight};
use rustix::fs::OFlags;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Unpacked bytes at a time.
const PIECE: usize = 64 * 1024;
/// How far back the last line end of a file is looked for.
const LONGEST_LINE: u64 = 64 << 20;

/// An open file, as it was when it was opened.
pub struct Specimen {
    file: File,
    key: FileKey,
    size: u64,
    packing: Option<Packing>,
    limits: datalake_archive::Limits,
    beginning: Vec<u8>,
}

/// How much of a file is a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// It has everything of the content up to the position that was asked about, and this many bytes in all.
    Everything(u64),
    /// It has the content's beginning, proven up to the first number, and this many bytes in all.
    Beginning(u64, u64),
    /// Something else, as far as can be proven.
    Other,
}

impl Specimen {
    /// Opens the file that the path leads to.
    ///
    /// # Errors
    /// When it is no regular file or cannot be read.
    pub fn open(path: &Path, limits: datalake_archive::Limits) -> io::Result<Self> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
        let status = identity::of_file(&file)?;
        if status.kind != Kind::Regular {
            return Err(io::Error::other("this is no regular file"));
        }
        let mut beginning = identity::head_bytes(&file)?;
        let part = Part { range: 0..WINDOW, bytes: beginning.clone() };
        let packing = match kind_of(&[part]) {
            datalake_tail::Kind::Packed(packing) => Some(packing),
            datalake_tail::Kind::Plain | datalake_tail::Kind::Undecided => None,
        };
        let mut specimen = Self { file, key: status.key, size: status.size, packing, limits, beginning: Vec::new() };
        if packing.is_some_and(|packing| packing != Packing::Other) {
            // What cannot be unpacked has no beginning that anything could be compared with.
            let sample = specimen.unpacked(std::slice::from_ref(&(0..WINDOW)), WINDOW);
            beginning = sample.ok().and_then(|mut sample| sample.parts.pop()).map_or_else(Vec::new, |part| part.bytes);
        }
        specimen.beginning = beginning;
        Ok(specimen)
    }

    /// Which file it is.
    #[must_use]
    pub const fn key(&self) -> FileKey {
        self.key
    }

    /// Its size when it was opened; packed, for archives.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is an archive.
    #[must_use]
    pub const fn is_packed(&self) -> bool {
        self.packing.is_some()
    }

    /// Whether it is of a kind that is never read.
    #[must_use]
    pub fn is_unreadable_archive(&self) -> bool {
        self.packing == Some(Packing::Other)
    }

    /// Its first bytes, unpacked; at most a KiB.
    #[must_use]
    pub fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// Whether a content with this proof may lie in it: a cheap question, before it is compared.
    #[must_use]
    pub fn may_hold(&self, proof: &Proof) -> bool {
        let begins = |length: usize, hash: u64| {
            length > 0 && self.beginning.get(..length).is_some_and(|bytes| Fingerprint::of(bytes).hash == hash)
        };
        begins(proof.head.length as usize, proof.head.hash)
            || (proof.start != 0 && begins(ENOUGH as usize, proof.start))
    }

    /// Where its last whole line ends, as it was when it was opened; its end, for archives.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_line_end(&self) -> io::Result<u64> {
        let mut end = self.size;
        let lowest = self.size.saturating_sub(LONGEST_LINE);
        while self.packing.is_none() && end > lowest {
            let start = end.saturating_sub(WINDOW);
            let bytes = identity::bytes_between(&self.file, start, end)?;
            if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
                return Ok(start + newline as u64 + 1);
            }
            end = start;
        }
        Ok(if self.packing.is_some() { self.size } else { end })
    }

    /// Compares it with each content: its proof, how far it is settled, and whether it is known to lie in this file. An
    /// archive is unpacked once.
    ///
    /// # Errors
    /// When it cannot be read or unpacked.
    pub fn compare(&self, contents: &[(Proof, u64, bool)]) -> Result<Vec<Holds>, Failure> {
        let ranges: Vec<Vec<Range<u64>>> =
            contents.iter().map(|(proof, settled, _)| proof.ranges(*settled, 0)).collect();
        let sample = match self.packing {
            None => self.plain(ranges.concat())?,
            Some(_) => self.unpacked(&ranges.concat(), u64::MAX)?,
        };
        let holds = |(proof, settled, lies_here): &(Proof, u64, bool)| self.judge(proof, *settled, *lies_here, &sample);
        Ok(contents.iter().map(holds).collect())
    }

    fn judge(&self, proof: &Proof, settled: u64, lies_here: bool, sample: &Sample) -> Holds {
        let length = sample.end.unwrap_or(self.size);
        // Few bytes, or bytes that repeat, are proof only together with the identity of the file.
        let enough = |weight: Weight| lies_here || weight > Weight::Doubt;
        match proof.against(settled, sample) {
            Verdict::Same(weight) if enough(weight) => Holds::Everything(length),
            Verdict::Prefix { up_to, weight, diverged } if enough(weight) && (lies_here || !diverged) => {
                Holds::Beginning(up_to, length)
            }
            _ => Holds::Other,
        }
    }

    fn plain(&self, ranges: Vec<Range<u64>>) -> Result<Sample, Failure> {
        let failed = |error: io::Error| super::identity::failure_of(&error);
        let status = identity::of_file(&self.file).map_err(failed)?;
        Plain::new(self.file.try_clone().map_err(failed)?, &status).sample(ranges).map_err(failed)
    }

    /// Unpacks it to its end, or up to `most` bytes, and keeps these ranges.
    fn unpacked(&self, ranges: &[Range<u64>], most: u64) -> Result<Sample, Failure> {
        let failed = |error: io::Error| super::identity::failure_of(&error);
        let packing = self.packing.unwrap_or(Packing::Other);
        let file = self.file.try_clone().map_err(failed)?;
        let mut unpacker = Unpacker::new(file, packing, self.limits, &Decoders::new(None))?;
        let mut parts: Vec<Part> =
            ranges.iter().map(|range| Part { range: range.clone(), bytes: Vec::new() }).collect();
        let mut output = vec![0; PIECE];
        let mut end = None;
        while unpacker.at() < most {
            let start = unpacker.at();
            match unpacker.step(&mut output)? {
                Came::To(count) => parts.iter_mut().for_each(|part| take(part, start, &output[..count])),
                Came::ToTheEnd => {
                    end = Some(start);
                    break;
                }
            }
        }
        let status = unpacker.status()?.told();
        Ok(Sample { status, kind: datalake_tail::Kind::Plain, parts, packed: true, end })
    }
}

/// Keeps what is wanted of bytes that begin at `start`.
fn take(part: &mut Part, start: u64, bytes: &[u8]) {
    let within = |position: u64| usize::try_from(position.saturating_sub(start)).unwrap_or(usize::MAX).min(bytes.len());
    part.bytes.extend_from_slice(&bytes[within(part.range.start)..within(part.range.end)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn lines(count: usize) -> Vec<u8> {
        (0..count).flat_map(|number| format!("line {number} of a log\n").into_bytes()).collect()
    }

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    /// The proof of a content of which these bytes were read, as a row has it.
    fn proof(bytes: &[u8]) -> Proof {
        let head = Fingerprint::of(&bytes[..bytes.len().min(Fingerprint::LONGEST)]);
        let last = Fingerprint::of(&bytes[bytes.len() - bytes.len().min(Fingerprint::LONGEST)..]);
        Proof::of_old_row(head, bytes.len() as u64, last)
    }

    fn compared(file: &[u8], settled: &[u8], lies_here: bool) -> Holds {
        let file = written(file);
        let specimen = Specimen::open(file.path(), datalake_archive::Limits::default()).unwrap();
        let settled_at = settled.len() as u64;
        specimen.compare(&[(proof(settled), settled_at, lies_here)]).unwrap().remove(0)
    }

    #[test]
    fn a_file_and_an_archive_of_what_was_settled_hold_everything_and_say_how_much_more() {
        let (all, more) = (lines(1000), lines(1100));
        for packed in [false, true] {
            let as_file = |bytes: &[u8]| if packed { gzip(bytes) } else { bytes.to_vec() };
            assert_eq!(compared(&as_file(&all), &all, false), Holds::Everything(all.len() as u64));
            assert_eq!(compared(&as_file(&more), &all, false), Holds::Everything(more.len() as u64));
            let mut other = lines(1100);
            other[..4].copy_from_slice(b"LINE");
            assert_eq!(compared(&as_file(&other), &all, false), Holds::Other, "another beginning");
        }
    }

    #[test]
    fn a_file_that_was_rewritten_in_place_does_not_hold_what_was_settled() {
        let mut rewritten = lines(1000);
        let middle = rewritten.len() - 500;
        rewritten[middle..].fill(b'x');
        assert!(!matches!(compared(&rewritten, &lines(1000), true), Holds::Everything(_)));
        assert!(!matches!(compared(&lines(10), &lines(1000), true), Holds::Everything(_)), "cut");
    }

    #[test]
    fn few_equal_bytes_prove_something_only_of_the_file_that_is_known() {
        assert_eq!(compared(b"line\n", b"line\n", true), Holds::Everything(5));
        assert_eq!(compared(b"line\n", b"line\n", false), Holds::Other);
    }

    #[test]
    fn the_last_whole_line_is_found_however_long_the_rest_is() {
        let end = |bytes: &[u8]| {
            let file = written(bytes);
            Specimen::open(file.path(), datalake_archive::Limits::default()).unwrap().last_line_end().unwrap()
        };
        assert_eq!(end(b"one\ntwo\n"), 8);
        assert_eq!(end(b"one\nbegun"), 4);
        assert_eq!(end(b"begun"), 0);
        assert_eq!(end(&[b"one\n".as_slice(), &[b'x'; 100_000]].concat()), 4);
    }
}
