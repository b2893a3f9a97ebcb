//! Open files: reading a little from one, samples of one, holes in one.
//! Promises a bounded read, and statuses that were taken after the bytes they describe.
//! Leaves which file, and what its bytes mean, to the tail core.

use super::identity::{self, Status};
use super::unpack::Unpacker;
use datalake_tail::{Kind, Packing, Part, Sample};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;

/// A hole that is shorter than this is read as the zeros it stands for.
const LONGEST_READ_HOLE: u64 = 64 * 1024;

/// A read gives at least so many bytes where the file holds them.
const LEAST: usize = 1024;

/// A file that is kept open.
pub(super) enum Open {
    /// As it is.
    Plain(Plain),
    /// An archive that is being unpacked.
    Packed(Box<Unpacker>),
}

/// An open plain file.
pub(super) struct Plain {
    pub(super) file: File,
    /// As it was last seen.
    size: u64,
    /// It takes less room on the disk than it is long.
    sparse: bool,
}

/// What one read gave.
pub(super) enum Bytes {
    /// They stand in the buffer from `first` on.
    Some { first: usize, status: Status },
    /// Nothing was ever written before this position.
    Hole { end: u64 },
}

/// The kernel copies to a border of this many bytes in two thirds of the time that it takes to copy elsewhere
/// (measured: 0.10 against 0.16 CPU seconds a GiB).
const BORDER: usize = 64;

impl Plain {
    pub(super) fn new(file: File, status: &Status) -> Self {
        let mut plain = Self { file, size: 0, sparse: false };
        plain.note(status);
        plain
    }

    fn note(&mut self, status: &Status) {
        self.size = status.size;
        self.sparse = status.stored.saturating_add(LONGEST_READ_HOLE) <= status.size;
    }

    /// Appends to an empty buffer what the file holds from `from` on, at most so many bytes. Before the bytes stands what
    /// brings them to a border.
    pub(super) fn read(&mut self, from: u64, overlap: u32, most: u32, buffer: &mut Vec<u8>) -> io::Result<Bytes> {
        let mut most = most as usize;
        let wanted_at = from + u64::from(overlap);
        if self.sparse {
            match hole_at(&self.file, wanted_at)? {
                Found::Hole(end) => return Ok(Bytes::Hole { end }),
                Found::Data(end) => most = most.min(usize::try_from(end.saturating_sub(from)).unwrap_or(most)),
            }
        }
        // A small file needs no large buffer. It may have grown since it was looked at: then the next read gets more.
        let expected = usize::try_from(self.size.saturating_sub(from)).unwrap_or(most);
        let expected = expected.clamp((overlap as usize + LEAST).min(most), most);
        buffer.reserve_exact(expected + BORDER);
        let first = buffer.as_ptr().align_offset(BORDER).min(BORDER);
        buffer.resize(first, 0);
        let mut count = 0;
        // The beginning of a content is compared as a whole, so a short read is not taken for its end.
        while count < LEAST.min(most) {
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(buffer), from + count as u64) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // Not more than was asked for, however large the buffer is from an earlier use.
        buffer.truncate(first + count.min(most));
        let status = identity::of_file(&self.file)?;
        self.note(&status);
        Ok(Bytes::Some { first, status })
    }

    /// What the file holds in these ranges.
    pub(super) fn sample(&self, ranges: Vec<Range<u64>>) -> io::Result<Sample> {
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let bytes = identity::bytes_between(&self.file, range.start, range.end)?;
            parts.push(Part { range, bytes });
        }
        let status = identity::of_file(&self.file)?.told();
        Ok(Sample { status, kind: kind_of(&parts), parts, packed: false, end: None })
    }
}

/// What the first bytes say, where they were asked for.
pub(super) fn kind_of(parts: &[Part]) -> Kind {
    use datalake_archive::{Format, Kind as Found};
    let Some(first) = parts.iter().find(|part| part.range.start == 0 && !part.range.is_empty()) else {
        return Kind::Plain;
    };
    match datalake_archive::recognise(&first.bytes) {
        Found::Plain => Kind::Plain,
        Found::Undecided => Kind::Undecided,
        Found::Unsupported(_) => Kind::Packed(Packing::Other),
        Found::Packed(Format::Gzip) => Kind::Packed(Packing::Gzip),
        Found::Packed(Format::Zstd) => Kind::Packed(Packing::Zstd),
        Found::Packed(Format::Bzip2) => Kind::Packed(Packing::Bzip2),
        Found::Packed(Format::Xz) => Kind::Packed(Packing::Xz),
    }
}

/// What lies at a position.
enum Found {
    /// A hole that is long enough to be skipped, up to there.
    Hole(u64),
    /// Something that is read, at least up to there.
    Data(u64),
}

/// Asks the filesystem. One that knows no holes says that all is data.
fn hole_at(file: &File, position: u64) -> io::Result<Found> {
    use rustix::fs::SeekFrom;
    let end_of_file = || identity::of_file(file).map(|status| status.size);
    let data = match rustix::fs::seek(file, SeekFrom::Data(position)) {
        Ok(data) => data,
        // Nothing but a hole up to the end of the file, or behind it.
        Err(Errno::NXIO) => end_of_file()?.max(position),
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(Found::Data(u64::MAX)),
        Err(error) => return Err(error.into()),
    };
    if data - position >= LONGEST_READ_HOLE {
        return Ok(Found::Hole(data));
    }
    match rustix::fs::seek(file, SeekFrom::Hole(data)) {
        Ok(hole) if hole > position => Ok(Found::Data(hole.max(position + LONGEST_READ_HOLE))),
        Ok(_) | Err(Errno::NXIO | Errno::INVAL | Errno::OPNOTSUPP) => Ok(Found::Data(u64::MAX)),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Seek, SeekFrom, Write};

    fn open(path: &std::path::Path) -> Plain {
        let file = File::open(path).unwrap();
        let status = identity::of_file(&file).unwrap();
        Plain::new(file, &status)
    }

    fn read(file: &mut Plain, from: u64, overlap: u32, most: u32) -> Result<Vec<u8>, u64> {
        let mut buffer = Vec::new();
        match file.read(from, overlap, most, &mut buffer).unwrap() {
            Bytes::Some { first, .. } => Ok(buffer[first..].to_vec()),
            Bytes::Hole { end } => Err(end),
        }
    }

    #[test]
    fn a_read_gives_what_was_asked_for_and_less_only_at_the_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let content: Vec<u8> = (0..3000_u32).flat_map(|number| number.to_le_bytes()).collect();
        std::fs::write(file.path(), &content).unwrap();
        let mut plain = open(file.path());
        assert_eq!(read(&mut plain, 0, 0, 100).unwrap(), content[..100]);
        assert_eq!(read(&mut plain, 50, 50, 1000).unwrap(), content[50..1050]);
        assert_eq!(read(&mut plain, 11_000, 1000, 262_144).unwrap(), content[11_000..]);
        assert_eq!(read(&mut plain, 12_000, 0, 262_144).unwrap(), b"");
        assert_eq!(read(&mut plain, 20_000, 0, 262_144).unwrap(), b"");
    }

    #[test]
    fn a_buffer_of_a_large_read_does_not_make_the_next_one_larger_than_asked_for() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![b'x'; 500_000]).unwrap();
        let mut plain = open(file.path());
        let mut buffer = Vec::new();
        plain.read(0, 0, 262_144, &mut buffer).unwrap();
        buffer.clear();
        let Bytes::Some { first, .. } = plain.read(0, 0, 100, &mut buffer).unwrap() else { panic!("no hole") };
        assert_eq!(buffer.len() - first, 100);
    }

    /// A sparse file of 1 TiB cost 4 GB of traffic in 23 s.
    #[test]
    fn a_hole_of_a_tebibyte_is_one_answer_and_what_stands_around_it_is_read() {
        let temporary = tempfile::NamedTempFile::new().unwrap();
        let mut file = temporary.as_file();
        file.write_all(b"before\n").unwrap();
        let far = 1 << 40;
        file.seek(SeekFrom::Start(far)).unwrap();
        if file.write_all(b"behind\n").is_err() {
            eprintln!("SKIPPED: this filesystem takes no file of 1 TiB");
            return;
        }
        let mut plain = open(temporary.path());
        let before = read(&mut plain, 0, 0, 262_144).unwrap();
        assert!(before.starts_with(b"before\n") && before.len() <= 262_144, "{}", before.len());
        let Err(end) = read(&mut plain, before.len() as u64, 0, 262_144) else { panic!("zeros are read") };
        assert!(end <= far && far - end <= 65_536, "{end}");
        let behind = read(&mut plain, end, 0, 262_144).unwrap();
        assert!(behind.ends_with(b"behind\n"));
        file.set_len(far * 2).unwrap();
        let mut plain = open(temporary.path());
        let at = far + 7 + 65_536;
        assert_eq!(read(&mut plain, at, 0, 262_144), Err(far * 2), "nothing but a hole up to the end");
    }
}
