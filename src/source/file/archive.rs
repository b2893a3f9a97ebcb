//! Bytes out of `.gz`, `.zst` and `.bz2`, one bounded read after the other.
//! Promises bounded memory whatever the archive says about itself, and that a cut-off archive is an error, not an end.
//! Leaves where in the content to begin to the reader, who counts.

use super::names::Packing;
use std::fs::File;
use std::io::{self, BufReader, Read};

/// The largest window of a zstd archive, as a power of two: 16 MiB, more than `zstd -19` uses.
const LARGEST_WINDOW: u32 = 24;

/// How much of an archive is read from disk at a time.
const PACKED_READ: usize = 64 * 1024;

/// An archive being read from its beginning.
pub(super) enum Decoder {
    Gzip(Box<flate2::read::MultiGzDecoder<BufReader<File>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, BufReader<File>>>),
    Bzip2(Box<bzip2::read::MultiBzDecoder<BufReader<File>>>),
}

impl Decoder {
    /// Begins at the first byte; the file must be positioned there.
    pub(super) fn new(packing: Packing, file: File) -> io::Result<Self> {
        let file = BufReader::with_capacity(PACKED_READ, file);
        Ok(match packing {
            Packing::Gzip => Self::Gzip(Box::new(flate2::read::MultiGzDecoder::new(file))),
            Packing::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(file)?;
                decoder.window_log_max(LARGEST_WINDOW)?;
                Self::Zstd(Box::new(decoder))
            }
            Packing::Bzip2 => Self::Bzip2(Box::new(bzip2::read::MultiBzDecoder::new(file))),
        })
    }

    /// Appends up to `most` bytes of content; 0 only at the clean end of a whole archive.
    pub(super) fn read_into(&mut self, buffer: &mut Vec<u8>, most: usize) -> io::Result<usize> {
        let before = buffer.len();
        let reader: &mut dyn Read = match self {
            Self::Gzip(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
            Self::Bzip2(decoder) => decoder,
        };
        match reader.take(most as u64).read_to_end(buffer) {
            Ok(count) => Ok(count),
            Err(error) => {
                buffer.truncate(before);
                Err(error)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Write;

    pub(in super::super) fn packed(packing: Packing, content: &[u8]) -> Vec<u8> {
        match packing {
            Packing::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
            Packing::Zstd => zstd::encode_all(content, 1).unwrap(),
            Packing::Bzip2 => {
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                encoder.write_all(content).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    fn content_of(packing: Packing, archive: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(archive).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut decoder = Decoder::new(packing, file)?;
        let mut content = Vec::new();
        while decoder.read_into(&mut content, 1000)? > 0 {}
        Ok(content)
    }

    #[test]
    fn every_packing_gives_back_its_content_and_that_of_archives_glued_together() {
        let lines = "some line that is packed\n".repeat(5_000).into_bytes();
        for packing in [Packing::Gzip, Packing::Zstd, Packing::Bzip2] {
            let archive = packed(packing, &lines);
            assert_eq!(content_of(packing, &archive).unwrap(), lines, "{packing:?}");
            let glued = [archive.clone(), archive].concat();
            assert_eq!(content_of(packing, &glued).unwrap().len(), 2 * lines.len(), "{packing:?}");
        }
    }

    #[test]
    fn a_cut_off_archive_is_an_error_wherever_it_was_cut() {
        let lines: Vec<u8> = (0..3_000).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        for packing in [Packing::Gzip, Packing::Zstd, Packing::Bzip2] {
            let archive = packed(packing, &lines);
            for cut in [5, archive.len() / 2, archive.len() - 1] {
                assert!(content_of(packing, &archive[..cut]).is_err(), "{packing:?} cut at {cut}");
            }
        }
    }
}
