//! What is saved of a content, and of what a folder held.
//! Promises that a row belongs to a content: where that lies now, nobody but its bytes can say.
//! Leaves the database to the checkpoint.

use crate::proof::{Boundary, Proof};
use datalake_base::record::{FileKey, Fingerprint};
use std::path::PathBuf;

/// A content, for as long as anything is known of it. Independent of inodes; unique for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);

/// Where a content stood when its row was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SavedState {
    /// It is followed.
    #[default]
    Followed,
    /// It is followed, and had just been found: what it replaced may have been put somewhere that was not looked at yet.
    New,
    /// It has no place, and more of it was known than was read.
    Sought,
    /// All of it was read, and no more is expected: an archive, or a file that is gone.
    Finished,
}

impl SavedState {
    /// As a number, for a column.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Followed => 0,
            Self::Sought => 1,
            Self::Finished => 2,
            Self::New => 3,
        }
    }

    /// The state with this number.
    #[must_use]
    pub const fn of_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Followed),
            1 => Some(Self::Sought),
            2 => Some(Self::Finished),
            3 => Some(Self::New),
            _ => None,
        }
    }
}

/// A place in which the content lay at the last look; one without bytes and time is a file that held it before, and of which nobody knew
/// what it held then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SavedPlace {
    /// The path.
    pub path: PathBuf,
    /// The file.
    pub key: FileKey,
    /// Its size then (packed, for archives).
    pub size: u64,
    /// Its change time then.
    pub changed: u64,
    /// The stamps were seen to stand still: equal stamps mean that it was not touched.
    pub quiet: bool,
    /// How the file is packed, see [`packing_number`].
    pub packing: u8,
}

/// One row of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Which content.
    pub id: ContentId,
    /// The path by which a pattern matched it: it tells which flow goes on with it.
    pub home: PathBuf,
    /// Everything before this is settled; unpacked bytes where it lies in an archive.
    pub position: u64,
    /// The known length: what lies between is unread or unsettled. 0 where it is unknown (archives).
    pub known: u64,
    /// Where it stood.
    pub state: SavedState,
    /// How the file at its first place is packed, see [`packing_number`].
    pub packing: u8,
    /// Where it lay: the place that is read first, at most four. None where it has none.
    pub places: Vec<SavedPlace>,
    /// How it is known again. Only of bytes before `position`.
    pub proof: Proof,
    /// What became of its bytes.
    pub counted: Counted,
}

/// What became of the bytes of a content, for as long as its row was kept. Bytes that were skipped on purpose, at the first
/// start or as a hole, are in none of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Accepted by the service.
    pub delivered: u64,
    /// Dropped because the settings say so.
    pub filtered: u64,
    /// Kept in the quarantine.
    pub quarantined: u64,
    /// Destroyed before they were read.
    pub destroyed: u64,
}

/// The number of a packing for a column; 0 for a plain file.
#[must_use]
pub const fn packing_number(packing: Option<crate::Packing>) -> u8 {
    use crate::Packing;
    match packing {
        None => 0,
        Some(Packing::Gzip) => 1,
        Some(Packing::Zstd) => 2,
        Some(Packing::Bzip2) => 3,
        Some(Packing::Xz) => 4,
        Some(Packing::Other) => 5,
    }
}

/// The packing with this number.
#[must_use]
pub const fn packing_of_number(number: u8) -> Option<crate::Packing> {
    use crate::Packing;
    match number {
        1 => Some(Packing::Gzip),
        2 => Some(Packing::Zstd),
        3 => Some(Packing::Bzip2),
        4 => Some(Packing::Xz),
        5 => Some(Packing::Other),
        _ => None,
    }
}

/// What a folder held at the last look: identities of files that no row names. What is not among them later is new.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderRow {
    /// The folder.
    pub path: PathBuf,
    /// Ascending; see [`held`].
    pub held: Vec<u64>,
}

/// The identity of a file as folder rows hold it. Without the device, whose number may change with every mount.
#[must_use]
pub fn held(key: FileKey) -> u64 {
    let mixed = (key.inode ^ key.born.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ key.born
}

impl Row {
    /// A row of the format before: it belonged to a file. `packed`: whether its path had the suffix of an archive that
    /// the agent read; its positions then count unpacked bytes.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "the columns of the old table, once")]
    pub fn of_old_row(
        id: ContentId,
        file: FileKey,
        path: PathBuf,
        position: u64,
        head: Fingerprint,
        frontier_end: u64,
        frontier: Fingerprint,
        size: u64,
        changed: u64,
        packing: Option<crate::Packing>,
    ) -> Self {
        // See the row of a finished archive in that format: a boundary at the position, and no hash for it.
        let finished = packing.is_some() && position > 0 && frontier_end == position && frontier.length == 0;
        Self {
            id,
            home: path.clone(),
            position,
            known: if packing.is_some() { 0 } else { size },
            state: if finished { SavedState::Finished } else { SavedState::Followed },
            packing: packing_number(packing),
            places: vec![SavedPlace { path, key: file, size, changed, quiet: false, packing: packing_number(packing) }],
            proof: Proof::of_old_row(head, frontier_end, frontier),
            counted: Counted::default(),
        }
    }
}

/// A proof as bytes, for a column. The first byte is the version.
impl Proof {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![1];
        bytes.extend(self.head.length.to_le_bytes());
        bytes.extend(self.head.hash.to_le_bytes());
        bytes.extend(self.start.to_le_bytes());
        bytes.extend(self.generation.to_le_bytes());
        bytes.extend(self.fair_from.to_le_bytes());
        bytes.extend(self.strong_from.to_le_bytes());
        bytes.push(self.counted());
        for boundary in self.boundaries() {
            bytes.extend(boundary.end.to_le_bytes());
            bytes.extend(boundary.hash.to_le_bytes());
            let flags = u16::from(boundary.unique) << 14 | u16::from(boundary.line) << 15;
            bytes.extend((boundary.length | flags).to_le_bytes());
        }
        bytes
    }

    /// The proof that these are the bytes of; `None` for what `encode` does not write.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (fixed, rest) = rest.split_at_checked(37)?;
        if *version != 1 || rest.len() % 18 != 0 {
            return None;
        }
        let four = |at: usize| fixed[at..at + 4].try_into().map(u32::from_le_bytes).unwrap_or_default();
        let eight = |at: usize| fixed[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
        let head = Fingerprint { length: four(0), hash: eight(4) };
        let boundaries: Vec<Boundary> = rest
            .chunks_exact(18)
            .map(|chunk| {
                let eight = |at: usize| chunk[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or_default();
                let flags = u16::from_le_bytes([chunk[16], chunk[17]]);
                Boundary {
                    end: eight(0),
                    hash: eight(8),
                    length: flags & 0x3fff,
                    unique: flags & 1 << 14 != 0,
                    line: flags & 1 << 15 != 0,
                }
            })
            .collect();
        let sound = |boundary: &Boundary| {
            let length = usize::from(boundary.length);
            (1..=Fingerprint::LONGEST).contains(&length) && length as u64 <= boundary.end
        };
        let ascending = boundaries.windows(2).all(|pair| pair[0].end < pair[1].end);
        let sound = boundaries.iter().all(sound) && ascending && head.length as usize <= Fingerprint::LONGEST;
        sound.then(|| Self::of_parts(head, eight(12), eight(20), (four(28), four(32)), fixed[36], boundaries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Packing;

    /// They stand in the databases of agents that are updated, and must mean the same to each.
    #[test]
    fn the_numbers_of_states_and_packings_never_change() {
        let states = [SavedState::Followed, SavedState::Sought, SavedState::Finished, SavedState::New];
        for (number, state) in (0..).zip(states) {
            assert_eq!((state.number(), SavedState::of_number(number)), (number, Some(state)));
        }
        assert_eq!(SavedState::of_number(4), None);
        let packings = [Packing::Gzip, Packing::Zstd, Packing::Bzip2, Packing::Xz, Packing::Other].map(Some);
        for (number, packing) in (0..).zip([None].into_iter().chain(packings)) {
            assert_eq!((packing_number(packing), packing_of_number(number)), (number, packing));
        }
        assert_eq!(packing_of_number(6), None);
    }

    /// With another formula after an update, every stranger of a folder would be new, and be sent.
    #[test]
    fn what_a_folder_held_is_known_by_the_same_numbers_after_an_update() {
        let held = |inode, born| held(FileKey { device: 1, inode, born });
        let known = [held(7, 0), held(0x12_3456, 1_795_867_668_123_456_789)];
        assert_eq!(known, [0x6328_ff6b_c4f4_a400, 0x910f_e57b_a249_b7cc]);
    }

    /// A database may be damaged. What no reading leaves behind is no proof, and is never counted with.
    #[test]
    fn bytes_that_no_proof_has_are_not_taken_for_one() {
        let decoded = |head: u32, boundaries: &[(u64, u16)]| {
            let boundary = |(end, length): &(u64, u16)| Boundary { end: *end, length: *length, ..Boundary::default() };
            let boundaries = boundaries.iter().map(boundary).collect();
            let head = Fingerprint { length: head, hash: 5 };
            Proof::decode(&Proof::of_parts(head, 1, 2, (3, 4), 0, boundaries).encode()).is_some()
        };
        assert!(decoded(1_024, &[(1, 1), (1_024, 1_024), (5_000, 1_024)]));
        assert!(!decoded(1_025, &[(5_000, 1_024)]), "a beginning that is too long");
        assert!(!decoded(10, &[(5_000, 1_025)]), "a stretch that is too long");
        assert!(!decoded(10, &[(99, 100)]), "a stretch that begins before the file");
        assert!(!decoded(10, &[(99, 0)]), "nothing before a place");
        assert!(!decoded(10, &[(99, 9), (99, 8)]) && !decoded(10, &[(99, 9), (98, 8)]), "places out of order");
    }
}
