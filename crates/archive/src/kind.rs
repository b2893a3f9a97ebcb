//! What a file is by its first bytes.
//! Promises that a name plays no part, and that too few bytes are called too few rather than text.
//! Leaves what happens to each kind to the caller.

/// A packing that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// `gzip`, also BGZF and what `pigz` writes.
    Gzip,
    /// Zstandard, skippable frames included.
    Zstd,
    /// `bzip2`, also what `pbzip2` writes.
    Bzip2,
    /// `xz`.
    Xz,
}

impl Format {
    /// Its name as operators write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
        }
    }

    /// Whether this is the first byte of its sign, or of one of its signs.
    pub(crate) const fn may_begin_with(self, first: u8) -> bool {
        match self {
            Self::Gzip => first == 0x1f,
            Self::Zstd => matches!(first, 0x28 | 0x50..=0x5f),
            Self::Bzip2 => first == b'B',
            Self::Xz => first == 0xfd,
        }
    }
}

/// A packing that is recognised and skipped, by its name.
pub type Unsupported = &'static str;

/// What a file is, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No archive: lines.
    Plain,
    /// An archive whose content is read.
    Packed(Format),
    /// An archive that is skipped.
    Unsupported(Unsupported),
    /// All bytes so far could begin an archive; more of them decide.
    Undecided,
}

/// Bytes at the beginning that [`recognise`] needs to decide about any file.
pub const ENOUGH: usize = 263;

/// First bytes that nothing but an archive has. The longest of those that share a beginning comes first.
const SIGNS: [(&[u8], Kind); 26] = [
    (b"\x1f\x8b\x08", Kind::Packed(Format::Gzip)),
    (b"\x28\xb5\x2f\xfd", Kind::Packed(Format::Zstd)),
    (b"\xfd7zXZ\0", Kind::Packed(Format::Xz)),
    (b"PK\x03\x04", Kind::Unsupported("zip")),
    (b"PK\x05\x06", Kind::Unsupported("zip")),
    (b"PK\x07\x08", Kind::Unsupported("zip")),
    (b"\x04\x22\x4d\x18", Kind::Unsupported("lz4")),
    (b"\x02\x21\x4c\x18", Kind::Unsupported("lz4")),
    (b"7z\xbc\xaf\x27\x1c", Kind::Unsupported("7z")),
    (b"Rar!\x1a\x07", Kind::Unsupported("rar")),
    (b"LZIP\x01", Kind::Unsupported("lzip")),
    (b"LZIP\0", Kind::Unsupported("lzip")),
    (b"\x89LZO\0\r\n\x1a\n", Kind::Unsupported("lzop")),
    (b"\xff\x06\0\0sNaPpY", Kind::Unsupported("snappy")),
    (b"\x1f\x9d", Kind::Unsupported("compress")),
    (b"\x1f\xa0", Kind::Unsupported("compress")),
    (b"\x1f\x1e", Kind::Unsupported("pack")),
    (b"\x22\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\x23\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\x24\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\x25\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\x26\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\x27\xb5\x2f\xfd", Kind::Unsupported("zstd of a version before 0.8")),
    (b"\xf1\x2f\xb5\x23", Kind::Unsupported("zstd of a version before 0.8")),
    (b"MSCF\0\0\0\0", Kind::Unsupported("cab")),
    (b"xar!\0", Kind::Unsupported("xar")),
];

/// A `.lzma` file has no sign of its own but a header that text cannot have: properties, a dictionary of a power of two or
/// one and a half, and a length, mostly unknown.
const LZMA: (&[u8], usize) = (b"\x5d\0\0", 13);

/// Where `tar` has its sign.
const TAR: (usize, &[u8]) = (257, b"ustar");

/// Says what a file is that begins with these bytes. `Undecided` only while all of them could belong to an archive.
#[must_use]
pub fn recognise(beginning: &[u8]) -> Kind {
    if beginning.is_empty() {
        return Kind::Undecided;
    }
    let mut undecided = false;
    let mut signed = |sign: &[u8]| {
        undecided |= beginning.len() < sign.len() && sign.starts_with(beginning);
        beginning.starts_with(sign)
    };
    if let Some((_, kind)) = SIGNS.iter().find(|(sign, _)| signed(sign)) {
        return *kind;
    }
    let skippable = (0x50..=0x5f).map(|first| [first, 0x2a, 0x4d, 0x18]);
    if skippable.into_iter().any(|sign| signed(&sign)) {
        return Kind::Packed(Format::Zstd);
    }
    for level in b'1'..=b'9' {
        for block in [b"1AY&SY", b"\x17rE8P\x90"] {
            if signed(&[b"BZh", &[level][..], block].concat()) {
                return Kind::Packed(Format::Bzip2);
            }
        }
    }
    if signed(LZMA.0) {
        match lzma_header(beginning) {
            Some(true) => return Kind::Unsupported("lzma"),
            Some(false) => {}
            None => undecided = true,
        }
    }
    let tar = beginning.get(TAR.0..TAR.0 + TAR.1.len());
    if tar == Some(TAR.1) {
        return Kind::Unsupported("tar");
    }
    if undecided { Kind::Undecided } else { Kind::Plain }
}

/// Whether this is the header of a `.lzma` file; `None` when there is too little of it.
fn lzma_header(beginning: &[u8]) -> Option<bool> {
    let header = beginning.get(..LZMA.1)?;
    let dictionary = u32::from_le_bytes([header[1], header[2], header[3], header[4]]);
    let length = u64::from_le_bytes(header[5..13].try_into().ok()?);
    let plausible = dictionary.count_ones() <= 2 && (length == u64::MAX || length < 1 << 40);
    Some(plausible)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packing_is_known_by_its_first_bytes_and_lines_are_lines() {
        for (bytes, kind) in [
            (&b"\x1f\x8b\x08\0\0\0\0\0"[..], Kind::Packed(Format::Gzip)),
            (b"\x28\xb5\x2f\xfd\x04", Kind::Packed(Format::Zstd)),
            (b"\x5a\x2a\x4d\x18\xff\xff\xff\xff", Kind::Packed(Format::Zstd)),
            (b"BZh91AY&SY", Kind::Packed(Format::Bzip2)),
            (b"BZh1\x17rE8P\x90", Kind::Packed(Format::Bzip2)),
            (b"\xfd7zXZ\0\0\x04", Kind::Packed(Format::Xz)),
            (b"PK\x03\x04\x14\0", Kind::Unsupported("zip")),
            (b"\x04\x22\x4d\x18\x64", Kind::Unsupported("lz4")),
            (b"\x5d\0\0\x80\0\xff\xff\xff\xff\xff\xff\xff\xff", Kind::Unsupported("lzma")),
            (b"BZh9 is how this line begins\n", Kind::Plain),
            (b"PKI: certificate renewed\n", Kind::Plain),
            (b"2026-11-28 10:00:00 started\n", Kind::Plain),
            (b"]\0\0 strange, but a line\n", Kind::Plain),
            (b"\n", Kind::Plain),
        ] {
            assert_eq!(recognise(bytes), kind, "{bytes:?}");
        }
        let mut tar = vec![0; 512];
        tar[..7].copy_from_slice(b"app.log");
        tar[257..263].copy_from_slice(b"ustar\0");
        assert_eq!(recognise(&tar), Kind::Unsupported("tar"));
    }

    #[test]
    fn the_beginning_of_a_sign_is_undecided_and_one_byte_more_decides() {
        let mut signs: Vec<Vec<u8>> = SIGNS.iter().map(|(sign, _)| sign.to_vec()).collect();
        signs.push(b"BZh91AY&SY".to_vec());
        signs.push(b"\x5f\x2a\x4d\x18".to_vec());
        for sign in signs {
            for cut in 1..sign.len() {
                let part = recognise(&sign[..cut]);
                assert_eq!(part, Kind::Undecided, "{:?} of {sign:?}", &sign[..cut]);
            }
            assert!(!matches!(recognise(&sign), Kind::Undecided | Kind::Plain), "{sign:?}");
            let mut other = sign.clone();
            if let Some(last) = other.last_mut() {
                *last ^= 0x80;
            }
            assert!(!matches!(recognise(&other), Kind::Undecided), "{other:?}");
        }
    }

    #[test]
    fn an_empty_file_may_become_anything() {
        assert_eq!(recognise(b""), Kind::Undecided);
    }
}
