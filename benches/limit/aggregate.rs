//! An aggregated record of the Kinesis Producer Library, written once into memory that is used again.
//! Promises the form that consumers take apart: magic, one key, the lines, MD5.
//! Leaves how large it gets to the program.

use md5::{Digest, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const CHECKSUM_BYTES: usize = 16;
/// Bytes of a key: 64 random bits in hexadecimal.
pub(crate) const KEY_BYTES: usize = 16;
/// What an aggregate has beside its lines and their frames: magic, the key and its frame, the checksum.
pub(crate) const FRAME_BYTES: usize = MAGIC.len() + 2 + KEY_BYTES + CHECKSUM_BYTES;

/// What a line has beside its bytes; lines are shorter than 16 KiB.
pub(crate) const fn line_frame(length: usize) -> usize {
    // Tag and length of the record, the index of the key, tag and length of the data.
    let of_data = if length < 128 { 1 } else { 2 };
    let of_record = if 2 + 1 + of_data + length < 128 { 1 } else { 2 };
    1 + of_record + 2 + 1 + of_data
}

/// The aggregate being written.
pub(crate) struct Aggregate {
    bytes: Vec<u8>,
    key: String,
}

impl Aggregate {
    pub(crate) fn new(random: &mut fastrand::Rng) -> Self {
        let mut aggregate = Self { bytes: Vec::with_capacity(64 * 1024), key: String::new() };
        aggregate.begin(random);
        aggregate
    }

    pub(crate) fn begin(&mut self, random: &mut fastrand::Rng) {
        self.key = format!("{:016x}", random.u64(..));
        self.bytes.clear();
        self.bytes.extend_from_slice(&MAGIC);
        self.bytes.extend_from_slice(&[0x0A, KEY_BYTES as u8]);
        self.bytes.extend_from_slice(self.key.as_bytes());
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Its size in a call once it is sealed, its key included.
    pub(crate) fn size(&self) -> usize {
        self.bytes.len() + CHECKSUM_BYTES + KEY_BYTES
    }

    pub(crate) fn size_with(&self, line: &[u8]) -> usize {
        self.size() + line_frame(line.len()) + line.len()
    }

    pub(crate) fn push(&mut self, line: &[u8]) {
        let of_data = if line.len() < 128 { 1 } else { 2 };
        self.bytes.push(0x1A);
        self.length(2 + 1 + of_data + line.len());
        self.bytes.extend_from_slice(&[0x08, 0, 0x1A]);
        self.length(line.len());
        self.bytes.extend_from_slice(line);
    }

    pub(crate) fn seal(&mut self) -> &[u8] {
        let checksum = Md5::digest(&self.bytes[MAGIC.len()..]);
        self.bytes.extend_from_slice(&checksum);
        &self.bytes
    }

    fn length(&mut self, length: usize) {
        if length < 128 {
            self.bytes.push(length as u8);
        } else {
            self.bytes.extend_from_slice(&[(length & 0x7F) as u8 | 0x80, (length >> 7) as u8]);
        }
    }
}
