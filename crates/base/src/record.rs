//! The vocabulary: the words that every stage speaks, and nothing that does work.
//! Promises that each word means one thing everywhere; the invariants stand on the fields.
//! Leaves reading, framing, packing, sending and saving to the stages.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::ops::{Add, Deref};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// One ordered sequence of input: a file by identity, one truncation of it. The number is made up
/// at every start of the process and never used again within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(u64);

impl Origin {
    /// The origin with this number; no number is handed out twice.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number it was made with.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// "Everything before this" in an origin, in bytes. Within an origin it only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// Where an origin begins.
    pub const START: Self = Self(0);
}

impl Add<usize> for Position {
    type Output = Self;

    fn add(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// A claim: "until I am settled, the watermark stops before the bytes that I stand for". Made by the ledger,
/// carried by the record, settled exactly once, by value.
///
/// It stands for a *run* of bytes, so the usual cost is one claim per record and origin, not one per line.
/// Taking a claim only when a record is sealed would be cheaper still and wrong: as soon as two records of one
/// origin are open at the same time, the later one's claim would cover bytes of the earlier one.
///
/// Where a run is spread over many records, one claim has a part for each of them. The parts can be settled together
/// or, divided, one by one; the bytes are settled when all parts are.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a claim that is not settled holds the watermark for ever"]
pub struct Claim {
    origin: Origin,
    serial: u64,
    /// At least 1.
    parts: u32,
    /// Where the bytes begin that it stands for; for the operator, in quarantine files.
    pub start: Position,
    /// Where they end.
    pub end: Position,
}

impl Claim {
    /// The claim of that many parts with this number in its origin's order of reading; only a ledger makes them.
    pub const fn new(origin: Origin, serial: u64, parts: u32, start: Position, end: Position) -> Self {
        Self { origin, serial, parts, start, end }
    }

    /// How many parts it has.
    #[must_use]
    pub const fn parts(&self) -> u32 {
        self.parts
    }

    /// Takes that many of its parts off.
    ///
    /// # Panics
    /// When that leaves either without a part.
    pub const fn split_off(&mut self, parts: u32) -> Self {
        assert!(0 < parts && parts < self.parts, "a claim needs a part");
        self.parts -= parts;
        Self { origin: self.origin, serial: self.serial, parts, start: self.start, end: self.end }
    }

    /// The same parts, known to be about this stretch.
    pub const fn over(self, start: Position, end: Position) -> Self {
        Self { start, end, ..self }
    }

    /// The origin whose bytes it stands for.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Its number in the origin's order of reading.
    #[must_use]
    pub const fn serial(&self) -> u64 {
        self.serial
    }
}

/// What an operator knows an origin by. Said once, when the origin opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginInfo {
    /// The path when it was opened (a rename later does not change it).
    pub path: PathBuf,
    /// The identity of the file, for provenance and for quarantined records.
    pub file: FileKey,
    /// Which life of the file: a file that is truncated in place keeps its identity and begins again at 0. The hash of
    /// its first line (of its first [`Fingerprint::LONGEST`] bytes, where the line is longer), set by the source as soon as
    /// it has read that; so it is the same after a restart, and for a copy.
    pub generation: OnceLock<u64>,
}

impl OriginInfo {
    /// The origin of this path and file, in a life not known yet.
    #[must_use]
    pub const fn new(path: PathBuf, file: FileKey) -> Self {
        Self { path, file, generation: OnceLock::new() }
    }

    /// Notes which life it is, once enough of the `beginning` of the file is there.
    pub fn note_generation(&self, beginning: &[u8]) {
        if self.generation.get().is_some() {
            return;
        }
        let beginning = &beginning[..beginning.len().min(Fingerprint::LONGEST)];
        let line_end = beginning.iter().position(|byte| *byte == b'\n').map(|newline| newline + 1);
        if let Some(end) = line_end.or((beginning.len() == Fingerprint::LONGEST).then_some(beginning.len())) {
            // The first one has noted the same.
            self.generation.get_or_init(|| Fingerprint::of(&beginning[..end]).hash);
        }
    }
}

/// Which file it is, as far as the filesystem tells: evidence, to be confirmed by content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileKey {
    /// The device the file lies on.
    pub device: u64,
    /// Its inode; used again by the filesystem after a deletion.
    pub inode: u64,
    /// Birth time in nanoseconds since 1970, 0 where the filesystem does not keep it.
    pub born: u64,
}

/// Bytes as they were read. `start` is the position of the first of them in the origin.
#[derive(Debug)]
pub struct Chunk {
    /// Where they come from.
    pub origin: Origin,
    /// Position of the first byte; chunks of an origin follow each other without a gap.
    pub start: Position,
    /// The bytes; never empty.
    pub bytes: PooledBytes,
    /// When they were read, for the age of the batch that they go into.
    pub read_at: Instant,
}

/// What a source tells its flow. Per origin: one `Opened`, any number of `Read`, at most one of `Ended` and `Closed`.
#[derive(Debug)]
pub enum Arrival {
    /// A new origin; its first byte will be at `start` (more than 0 after a restart, or when a log was quiet).
    Opened {
        /// The origin.
        origin: Origin,
        /// What it is called.
        info: Arc<OriginInfo>,
        /// Where reading begins.
        start: Position,
    },
    /// More bytes of an origin.
    Read(Chunk),
    /// No further byte will ever come from this origin: a last line without newline is complete.
    Ended {
        /// The origin.
        origin: Origin,
    },
    /// The same of origins whose bytes are all settled, so that nothing of them is held: a call settles a hundred thousand
    /// small files, which must not come one by one between the reads of others.
    Closed {
        /// The origins; a thousand at most.
        origins: Vec<Origin>,
    },
}

/// A buffer that goes back to its pool when it is dropped, so that steady reading allocates nothing.
#[derive(Debug)]
pub struct PooledBytes {
    buffer: Vec<u8>,
    /// Where in the buffer the bytes begin.
    start: usize,
    home: Option<ChunkPool>,
}

impl Deref for PooledBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..]
    }
}

impl From<Vec<u8>> for PooledBytes {
    /// Bytes that belong to no pool, as tests and small messages use them.
    fn from(buffer: Vec<u8>) -> Self {
        Self { buffer, start: 0, home: None }
    }
}

impl Drop for PooledBytes {
    fn drop(&mut self) {
        if let Some(pool) = self.home.take() {
            pool.give_back(std::mem::take(&mut self.buffer));
        }
    }
}

/// A fixed number of read buffers, shared by all flows.
///
/// Invariant: `lent + free <= capacity`, and after a resize to less as soon as what was lent is back; so the memory of
/// reading is `capacity * chunk size` at most.
#[derive(Clone, Debug)]
pub struct ChunkPool {
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Debug)]
struct Shelf {
    free: Vec<Vec<u8>>,
    lent: usize,
    capacity: usize,
}

impl ChunkPool {
    /// A pool that lends at most `capacity` buffers at a time and allocates none before it must.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { shelf: Arc::new(Mutex::new(Shelf { free: Vec::new(), lent: 0, capacity })) }
    }

    /// Lends at most `capacity` buffers at a time from now on; what is lent beyond that comes back and is not lent again.
    pub fn resize(&self, capacity: usize) {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.capacity = capacity;
        shelf.free.truncate(capacity);
    }

    /// An empty buffer with whatever capacity its last use left, or `None` while all are lent.
    #[must_use]
    pub fn lend(&self) -> Option<Vec<u8>> {
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        if shelf.lent >= shelf.capacity {
            return None;
        }
        shelf.lent += 1;
        Some(shelf.free.pop().unwrap_or_default())
    }

    /// Whether a buffer can be lent now.
    #[must_use]
    pub fn has_free(&self) -> bool {
        let shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.lent < shelf.capacity
    }

    /// The filled buffer, from `start` on, as bytes that come back to this pool. Only for a buffer that it lent.
    ///
    /// # Panics
    /// When the buffer is shorter than that.
    #[must_use]
    pub fn wrap(&self, buffer: Vec<u8>, start: usize) -> PooledBytes {
        assert!(start <= buffer.len(), "bytes begin behind their end");
        PooledBytes { buffer, start, home: Some(self.clone()) }
    }

    /// Takes back a buffer that it lent and that was not wrapped.
    pub fn give_back(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(shelf.lent > 0, "a buffer came back to a pool that had lent none");
        shelf.lent -= 1;
        shelf.free.push(buffer);
    }
}

/// A watermark of an origin, and what became of the bytes before it since the origin opened. All else before it was delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Watermark {
    /// Everything before this is settled.
    pub position: Position,
    /// Bytes that the settings drop.
    pub filtered: u64,
    /// Bytes that are kept in the quarantine.
    pub quarantined: u64,
}

impl From<Position> for Watermark {
    /// Everything before the position was delivered.
    fn from(position: Position) -> Self {
        Self { position, ..Self::default() }
    }
}

/// What a flow has done with what its source handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It took something from the channel, so there is room.
    Taken,
    /// Something was settled.
    Settled,
}

/// The newest watermark of each origin: flows post, the source takes. Newest wins, so it can neither
/// fill up nor block; a watermark that is overtaken before it was looked at was of no interest.
#[derive(Clone, Debug, Default)]
pub struct Watermarks {
    newest: Arc<Mutex<Newest>>,
}

#[derive(Debug, Default)]
struct Newest {
    of: BTreeMap<Origin, Watermark>,
    /// The one that was taken last, where others were left.
    last: Option<Origin>,
}

impl Watermarks {
    /// Everything before the watermark of `origin` is settled.
    pub fn post(&self, origin: Origin, watermark: impl Into<Watermark>) {
        let watermark = watermark.into();
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.of.entry(origin).or_insert(watermark);
        *known = (*known).max(watermark);
    }

    /// This many at most of those that were posted and not taken, from where the last call left off: none waits for others
    /// that are posted again and again.
    #[must_use]
    pub fn take(&self, most: usize) -> BTreeMap<Origin, Watermark> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.of.len() <= most {
            return std::mem::take(&mut *newest).of;
        }
        let after = newest.last.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = newest.of.range((after, Bound::Unbounded));
        let first = newest.last.into_iter().flat_map(|last| newest.of.range(..=last));
        let origins: Vec<Origin> = rest.chain(first).map(|(origin, _)| *origin).take(most).collect();
        newest.last = origins.last().copied();
        origins.into_iter().filter_map(|origin| newest.of.remove_entry(&origin)).collect()
    }
}

/// How far files are settled that belong to the agent itself: the source posts, the owner of the files takes. Newest wins,
/// as with [`Watermarks`].
#[derive(Clone, Debug, Default)]
pub struct SettledFiles {
    newest: Arc<Mutex<BTreeMap<PathBuf, Position>>>,
}

impl SettledFiles {
    /// Everything before `position` in the file at `path` is settled.
    pub fn post(&self, path: &Path, position: Position) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        match newest.get_mut(path) {
            Some(known) => *known = (*known).max(position),
            None => {
                newest.insert(path.to_owned(), position);
            }
        }
    }

    /// All that were posted since the last call.
    #[must_use]
    pub fn take(&self) -> BTreeMap<PathBuf, Position> {
        std::mem::take(&mut *self.newest.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How content is recognised: the length and hash of a stretch of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// How many bytes were hashed; 0 matches anything.
    pub length: u32,
    /// Their FNV-1a hash, which is stable across versions and machines.
    pub hash: u64,
}

impl Fingerprint {
    /// The longest stretch that is hashed.
    pub const LONGEST: usize = 1024;

    /// The fingerprint of these bytes, all of them.
    ///
    /// # Panics
    /// When there are more than [`Fingerprint::LONGEST`] of them.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        assert!(bytes.len() <= Self::LONGEST, "fingerprints are of short stretches");
        let hash = bytes
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
        Self { length: bytes.len() as u32, hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_lends_no_more_than_its_capacity_and_lends_again_what_came_back() {
        let pool = ChunkPool::new(2);
        let first = pool.lend().map(|buffer| pool.wrap(buffer, 0));
        let second = pool.lend().map(|buffer| pool.wrap(buffer, 0));
        assert!(first.is_some() && second.is_some() && pool.lend().is_none());
        drop(first);
        assert!(pool.lend().is_some());
    }

    #[test]
    fn a_watermark_never_falls_whatever_the_order_of_posting() {
        let watermarks = Watermarks::default();
        watermarks.post(Origin::new(1), Position(9));
        watermarks.post(Origin::new(1), Position(4));
        assert_eq!(watermarks.take(9).get(&Origin::new(1)), Some(&Position(9).into()));
        assert!(watermarks.take(9).is_empty());
        (1..=5).for_each(|number| watermarks.post(Origin::new(number), Position(number)));
        let some = |most| watermarks.take(most).into_values().map(|it| it.position.0).collect::<Vec<_>>();
        assert_eq!(some(2), [1, 2]);
        // They are posted again before the others had their turn.
        (1..=2).for_each(|number| watermarks.post(Origin::new(number), Position(number)));
        assert_eq!((some(2), some(2), some(9), some(1)), (vec![3, 4], vec![1, 5], vec![2], vec![]));
    }

    #[test]
    fn a_life_of_a_file_is_known_by_its_first_line_as_soon_as_that_is_whole() {
        let info = OriginInfo::new(PathBuf::from("/a"), FileKey::default());
        info.note_generation(b"first");
        assert_eq!(info.generation.get(), None);
        info.note_generation(b"first line\nsecond");
        let known = info.generation.get().copied();
        assert_eq!(known, Some(Fingerprint::of(b"first line\n").hash));
        info.note_generation(b"other\n");
        assert_eq!(info.generation.get().copied(), known);
        let endless = OriginInfo::new(PathBuf::from("/a"), FileKey::default());
        endless.note_generation(&[b'x'; 1023]);
        assert_eq!(endless.generation.get(), None);
        endless.note_generation(&[b'x'; 5000]);
        assert_eq!(endless.generation.get().copied(), Some(Fingerprint::of(&[b'x'; 1024]).hash));
    }
}
