//! One sequence of bytes being followed: how far it was read and settled, the evidence for it, and where it lies.
//! Promises `settled <= read`, and that a checkpoint row holds evidence for what it claims.
//! Leaves moving it from place to place to the stream.

use super::archive::Decoder;
use super::identity::{self, Status};
use super::names::Packing;
use super::reader::Slot;
use datalake_base::record::{FileKey, Fingerprint, Origin, OriginInfo, Position, SavedPosition};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Which strand; never used again within a process.
pub(super) type Id = u64;

/// Settled read boundaries that are kept, to know a copy that is shorter than what was read.
const OLD_BOUNDARIES: usize = 4;

/// Where the bytes are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) key: FileKey,
    pub(super) path: Arc<Path>,
    /// As last looked at; for archives the packed size.
    pub(super) size: u64,
    pub(super) changed: u64,
    /// Set when the content must be unpacked; positions then count unpacked bytes.
    pub(super) packing: Option<Packing>,
    pub(super) link: bool,
}

impl Place {
    pub(super) fn look(&mut self, status: &Status) {
        self.size = status.size;
        self.changed = status.changed;
    }
}

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is read and shipped.
    Log,
    /// New, and perhaps a copy of something known: not read before that is clear.
    Candidate {
        /// When it last changed.
        since: Instant,
        /// Whether it is shipped from its beginning when it is a copy of nothing.
        fresh: bool,
    },
    /// A copy of what another strand reads: not read.
    Twin,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// In its folder, under the path of its place.
    Present,
    /// Not in its folder; an open descriptor may still hold it.
    Absent { since: Instant },
    /// Its content is no longer at its place, and is looked for elsewhere since then.
    Lost { since: Instant, sought: bool },
}

/// An open file, and its place among the open files.
pub(super) enum Source {
    Plain {
        file: File,
        _slot: Slot,
    },
    /// An archive; `at` unpacked bytes came out of it so far.
    Archive {
        decoder: Decoder,
        at: u64,
        _slot: Slot,
    },
}

/// See the head of this file. Invariant: `settled <= read`; evidence ends ascend.
pub(super) struct Strand {
    pub(super) flow: usize,
    pub(super) role: Role,
    pub(super) standing: Standing,
    pub(super) place: Place,
    /// Hash of folder and name without rotation suffixes.
    pub(super) family: u64,
    pub(super) origin: Option<Origin>,
    /// What the flow was told of the newest origin, until it is known which life of the file it is.
    pub(super) info: Option<Arc<OriginInfo>>,
    pub(super) read: u64,
    pub(super) settled: u64,
    pub(super) head: Fingerprint,
    /// Read boundaries with the hash of the bytes before each.
    pub(super) evidence: VecDeque<(u64, Fingerprint)>,
    /// The content was compared with the evidence since there was reason to doubt it.
    pub(super) confirmed: bool,
    /// It comes from a row and was not looked at since: untouched since the row means as good as confirmed.
    pub(super) as_saved: bool,
    pub(super) source: Option<Source>,
    /// Read that one to its present end first.
    pub(super) after: Option<Id>,
    /// What it is a copy of, as far as it is one.
    pub(super) copy_of: Option<Id>,
    pub(super) queued: bool,
    pub(super) dirty: bool,
    pub(super) ticking: bool,
    /// No further byte is expected, and its flow knows.
    pub(super) ended: bool,
    /// Its name was taken by another file or changed.
    pub(super) rotated: bool,
    /// An archive read to its end.
    pub(super) finished: bool,
    /// It could not be opened or read; not tried again before something about it changes.
    pub(super) denied: bool,
    /// So often in a row; the operator was told at the first, and is told again when it can be read.
    pub(super) denials: u32,
    /// The size when the content was last known to be this strand's; what is there now may be other content.
    pub(super) sure: u64,
    /// Up to which loss it was compared with what is lost.
    pub(super) compared: u32,
    /// How often it was tried to unpack it for comparison.
    pub(super) attempts: u8,
    /// When bytes last came.
    pub(super) touched: Instant,
    /// When its path was last seen to lead to its file, in milliseconds since 1970. What is open is read whatever became of
    /// its path, so reading it proves nothing about that.
    pub(super) seen: u64,
    /// When its content was last known to be at its path, in milliseconds since 1970. Invariant: `looked <= seen`.
    pub(super) looked: u64,
    /// When its row was last made, in milliseconds since 1970; 0 without a row.
    pub(super) saved_at: u64,
    /// What it adds to the lag of its flow.
    pub(super) counted: u64,
}

impl Strand {
    pub(super) fn new(flow: usize, role: Role, place: Place, family: u64, now: Instant) -> Self {
        Self {
            flow,
            role,
            standing: Standing::Present,
            place,
            family,
            origin: None,
            info: None,
            read: 0,
            settled: 0,
            head: Fingerprint::default(),
            evidence: VecDeque::new(),
            confirmed: true,
            as_saved: false,
            source: None,
            after: None,
            copy_of: None,
            queued: false,
            dirty: false,
            ticking: false,
            ended: false,
            rotated: false,
            finished: false,
            denied: false,
            denials: 0,
            sure: 0,
            compared: 0,
            attempts: 0,
            touched: now,
            seen: 0,
            looked: 0,
            saved_at: 0,
            counted: 0,
        }
    }

    /// The strand that a row describes, not confirmed yet.
    pub(super) fn remembered(
        row: &SavedPosition,
        flow: usize,
        packing: Option<Packing>,
        family: u64,
        now: Instant,
    ) -> Self {
        let place = Place {
            key: row.file,
            path: row.path.as_path().into(),
            size: row.size,
            changed: row.changed,
            packing,
            link: false,
        };
        let mut strand = Self::new(flow, Role::Log, place, family, now);
        strand.read = row.position.0;
        strand.settled = row.position.0;
        strand.head = row.head;
        strand.sure = row.size;
        strand.evidence = VecDeque::from([(row.frontier_end.0, row.frontier)]);
        strand.confirmed = false;
        strand.as_saved = true;
        strand.finished = packing.is_some() && is_finished(row);
        (strand.seen, strand.looked) = (row.saved_at, row.saved_at);
        strand.saved_at = row.saved_at;
        strand
    }

    /// The newest boundary: where it ends and what stands before it.
    pub(super) fn frontier(&self) -> (u64, Fingerprint) {
        self.evidence.back().copied().unwrap_or_default()
    }

    /// Whether the evidence can tell this content from another that only begins alike.
    pub(super) fn is_evident(&self) -> bool {
        let (end, before) = self.frontier();
        self.read <= u64::from(self.head.length) || (end > 0 && before.length > 0)
    }

    /// Takes the hash of the bytes before the settled position, when no boundary lies there.
    pub(super) fn take_evidence(&mut self) {
        let Some(Source::Plain { file, .. }) = &self.source else { return };
        let place = self.evidence.partition_point(|(end, _)| *end < self.settled);
        if self.settled == 0 || !self.confirmed || self.evidence.get(place).is_some_and(|(end, _)| *end == self.settled)
        {
            return;
        }
        // Looked at before the rest of the evidence: as that holds afterwards, this was not other content.
        if let Ok(before) = identity::bytes_before(file, self.settled)
            && holds_evidence(self, file).unwrap_or(false)
        {
            self.evidence.insert(place, (self.settled, Fingerprint::of(&before)));
        }
    }

    /// Reading came to `end`; `before` are the bytes just before it.
    pub(super) fn advance(&mut self, end: u64, before: Fingerprint, now: Instant) {
        assert!(end >= self.read, "a strand is read forwards only");
        self.read = end;
        self.sure = self.sure.max(end);
        self.touched = now;
        if self.evidence.back().is_none_or(|(last, _)| *last < end) {
            self.evidence.push_back((end, before));
        }
        self.drop_old_boundaries();
    }

    /// The path leads to the file now.
    pub(super) const fn seen_at(&mut self, wall: u64) {
        self.seen = wall;
    }

    /// The file holds the content now, as it did when its path was last seen to lead to it.
    pub(super) const fn holds_its_content(&mut self) {
        self.looked = self.seen;
    }

    /// Everything before `position` is settled. Returns whether that is news.
    pub(super) fn settle(&mut self, position: u64) -> bool {
        let position = position.min(self.read);
        if position <= self.settled {
            return false;
        }
        self.settled = position;
        self.drop_old_boundaries();
        true
    }

    fn drop_old_boundaries(&mut self) {
        while self.evidence.get(OLD_BOUNDARIES).is_some_and(|(end, _)| *end <= self.settled) {
            self.evidence.pop_front();
        }
    }

    /// Whether bytes are known to wait, or the content must be looked at.
    pub(super) fn wants_turn(&self) -> bool {
        let reachable = match self.standing {
            Standing::Present => true,
            Standing::Absent { .. } => self.source.is_some(),
            Standing::Lost { .. } => false,
        };
        self.role == Role::Log
            && reachable
            && match self.place.packing {
                Some(_) => !self.finished,
                None => self.place.size > self.read || !self.confirmed,
            }
    }

    /// Bytes that wait to be read or settled.
    pub(super) fn lag(&self) -> u64 {
        match self.role {
            Role::Twin | Role::Candidate { fresh: false, .. } => 0,
            Role::Candidate { .. } => self.place.size,
            Role::Log if self.place.packing.is_some() => {
                self.read - self.settled + if self.finished { 0 } else { self.place.size }
            }
            Role::Log => self.place.size.max(self.read) - self.settled,
        }
    }

    /// Bytes that were seen and not read.
    pub(super) fn unread(&self) -> u64 {
        if self.place.packing.is_some() { 0 } else { self.place.size.saturating_sub(self.read) }
    }

    /// The row of a file of which nothing was read.
    fn row_of_beginning(&self, stream: &str, saved_at: u64) -> SavedPosition {
        SavedPosition {
            stream: stream.to_owned(),
            file: self.place.key,
            path: self.place.path.to_path_buf(),
            position: Position::START,
            head: Fingerprint::default(),
            frontier_end: Position::START,
            frontier: Fingerprint::default(),
            size: self.place.size,
            changed: self.place.changed,
            saved_at,
        }
    }

    /// Its row as of now.
    pub(super) fn row(&self, stream: &str, saved_at: u64) -> SavedPosition {
        let settled = self.evidence.iter().rev().find(|(end, _)| *end <= self.settled).copied().unwrap_or_default();
        if matches!(self.role, Role::Candidate { .. }) {
            return self.row_of_beginning(stream, saved_at);
        }
        let whole_archive = self.place.packing.is_some() && (self.finished || self.role == Role::Twin);
        let whole_archive = whole_archive && self.settled == self.read;
        // See `is_finished`.
        let (frontier_end, frontier) =
            if whole_archive { (self.settled.max(1), Fingerprint::default()) } else { settled };
        SavedPosition {
            stream: stream.to_owned(),
            file: self.place.key,
            path: self.place.path.to_path_buf(),
            position: Position(if whole_archive { self.settled.max(1) } else { self.settled }),
            head: self.head,
            frontier_end: Position(frontier_end),
            frontier,
            size: self.place.size,
            changed: self.place.changed,
            saved_at,
        }
    }
}

/// Whether an archive's row says that all of it is settled: such a row has a boundary at its position, and no hash for it.
/// A row of a part may have no hash either, where no read ended before the position; then it has no boundary.
fn is_finished(row: &SavedPosition) -> bool {
    row.position > Position::START && row.frontier_end == row.position && row.frontier.length == 0
}

/// Whether the file begins with the head and holds the bytes before the newest boundary.
pub(super) fn holds_evidence(strand: &Strand, file: &File) -> io::Result<bool> {
    let (end, frontier) = strand.frontier();
    Ok(identity::of_file(file)?.size >= strand.read
        && identity::holds_at(file, end, frontier)?
        && identity::begins_with(&identity::head_bytes(file)?, strand.head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strand() -> Strand {
        let place = Place {
            key: FileKey::default(),
            path: Path::new("/l/a").into(),
            size: 100,
            changed: 1,
            packing: None,
            link: false,
        };
        Strand::new(0, Role::Log, place, 0, Instant::now())
    }

    #[test]
    fn a_row_holds_the_newest_boundary_at_or_before_what_is_settled() {
        let mut strand = strand();
        for end in [10, 20, 30] {
            strand.advance(end, Fingerprint { length: end as u32, hash: end }, Instant::now());
        }
        assert!(strand.settle(25) && !strand.settle(24));
        let row = strand.row("firehose:s", 7);
        assert_eq!((row.position, row.frontier_end, row.frontier.hash), (Position(25), Position(20), 20));
        assert_eq!((strand.lag(), strand.unread()), (75, 70));
    }

    /// An archive of one read was half delivered when the agent was killed. Its row had no boundary before the position,
    /// so no hash, and that alone was taken for the sign of an archive that is done: the other half was never sent.
    #[test]
    fn an_archive_that_is_settled_in_part_is_not_taken_for_a_finished_one() {
        let again = |strand: &Strand| {
            Strand::remembered(&strand.row("firehose:s", 7), 0, Some(Packing::Gzip), 0, Instant::now())
        };
        let mut archive = strand();
        archive.place.packing = Some(Packing::Gzip);
        archive.advance(60_498, Fingerprint { length: 256, hash: 1 }, Instant::now());
        archive.settle(4_000);
        for finished in [false, true] {
            archive.finished = finished;
            assert_eq!((again(&archive).finished, again(&archive).read), (false, 4_000));
            assert!(again(&archive).wants_turn());
        }
        archive.settle(60_498);
        assert!(again(&archive).finished);
        let mut empty = strand();
        (empty.place.packing, empty.finished) = (Some(Packing::Gzip), true);
        assert!(again(&empty).finished, "an archive of nothing");
    }

    #[test]
    fn settled_boundaries_do_not_pile_up() {
        let mut strand = strand();
        for end in 1..1000 {
            strand.advance(end, Fingerprint::default(), Instant::now());
            strand.settle(end);
        }
        assert!(strand.evidence.len() <= OLD_BOUNDARIES + 1 && strand.frontier().0 == 999);
    }
}
