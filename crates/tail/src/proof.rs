//! Proof by content: what is remembered of bytes that were read, and whether a file holds them.
//! Promises that nothing else in the agent compares content, for plain files, copies and archives alike.
//! Leaves reading samples to the shell, and what follows from a verdict to the core.

use crate::seen::Sample;
use datalake_base::record::Fingerprint;
use std::ops::Range;

/// The longest stretch of which a hash is taken.
pub const WINDOW: u64 = Fingerprint::LONGEST as u64;

/// What is hashed before boundaries within a read.
const SMALL_WINDOW: usize = 256;

/// Boundaries lie at the line ends before these multiples, and before all smaller powers of two from [`FIRST_GRID`] on.
const GRID: u64 = 64 * 1024;
const FIRST_GRID: u64 = ENOUGH;

/// Fewer equal bytes than this prove nothing.
pub const ENOUGH: u64 = 256;

/// This many lines are more than a header. Lines that begin with `#` do not count.
const LINES_FAIR: u8 = 2;
const LINES_STRONG: u8 = 8;

/// How far back it is looked whether the bytes before a boundary were written before.
const REPETITION: usize = 8 * 1024;

/// No more boundaries than this while bytes are unsettled, and after they are settled.
const MOST_BOUNDARIES: usize = 48;
const MOST_SETTLED: usize = 8;

/// How sure it is that equal bytes were not written twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Too few bytes, or bytes that repeat: another file may hold the same.
    Doubt,
    /// Enough for content that is nowhere else.
    Fair,
    /// More than any header: enough while the other content is still there, too.
    Strong,
}

/// What a sample is, compared with what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It holds everything that was read.
    Same(Weight),
    /// It begins with what was read, and holds it at least up to this line end, but not to the end.
    Prefix {
        /// The line end.
        up_to: u64,
        /// How sure that is.
        weight: Weight,
        /// Whether it goes on with other bytes; else it is shorter, as far as the sample shows.
        diverged: bool,
    },
    /// It is something else.
    Other,
    /// More of it must be read to tell.
    Need(Vec<Range<u64>>),
}

/// A place in the content, and the bytes before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Boundary {
    /// Where it is.
    pub end: u64,
    /// Hash of the bytes just before it.
    pub hash: u64,
    /// How many bytes were hashed, at least one.
    pub length: u16,
    /// Those bytes do not occur shortly before.
    pub unique: bool,
    /// A line ends there.
    pub line: bool,
}

impl Boundary {
    fn before(bytes: &[u8], end: u64, window: usize) -> Self {
        let stretch = &bytes[bytes.len() - bytes.len().min(window)..];
        Self {
            end,
            hash: Fingerprint::of(stretch).hash,
            length: stretch.len() as u16,
            unique: is_unique(bytes),
            line: stretch.last() == Some(&b'\n'),
        }
    }

    fn range(&self) -> Range<u64> {
        self.end - u64::from(self.length)..self.end
    }

    /// `None` when the sample does not say.
    fn holds(&self, sample: &Sample) -> Option<bool> {
        let range = self.range();
        if sample.end.is_some_and(|end| end < self.end) {
            return Some(false);
        }
        let stretch = stretch_of(sample, &range)?;
        Some(stretch.len() as u64 == range.end - range.start && Fingerprint::of(stretch).hash == self.hash)
    }
}

impl Boundary {
    /// Whether the sample has all bytes of it, be they the same or not.
    fn is_covered(&self, sample: &Sample) -> bool {
        stretch_of(sample, &self.range()).is_some_and(|stretch| stretch.len() == usize::from(self.length))
    }
}

/// The bytes of the sample in this range; fewer where the file ends before; `None` when it was not asked for.
pub(crate) fn stretch_of<'a>(sample: &'a Sample, range: &Range<u64>) -> Option<&'a [u8]> {
    let part = sample.parts.iter().find(|part| part.range.start <= range.start && part.range.end >= range.end)?;
    let within = |position: u64| (position - part.range.start).min(part.bytes.len() as u64) as usize;
    Some(&part.bytes[within(range.start)..within(range.end)])
}

/// Whether the last of these bytes do not occur shortly before: logs of constant lines repeat themselves.
fn is_unique(bytes: &[u8]) -> bool {
    let needle = (bytes.len() / 2).min(512);
    if needle == 0 {
        return false;
    }
    let last = &bytes[bytes.len() - needle..];
    let searched = &bytes[bytes.len().saturating_sub(REPETITION)..bytes.len() - 1];
    !occurs(last, searched)
}

/// The end of a needle that is searched for, in bytes.
const ANCHOR: usize = 32;
/// After this many places that only end like the needle, it is searched for in another way.
const MOST_PLACES: usize = 64;

/// Whether the needle occurs among the bytes. Several boundaries a read ask this, and a search that is made for needles of
/// 512 bytes prepares itself for longer than these few bytes are worth: so its end is searched for, and where that is found
/// the rest is compared.
fn occurs(needle: &[u8], bytes: &[u8]) -> bool {
    let (rest, anchor) = needle.split_at(needle.len() - needle.len().min(ANCHOR));
    let finder = memchr::memmem::Finder::new(anchor);
    let mut from = rest.len();
    for _ in 0..MOST_PLACES {
        let Some(at) = bytes.get(from..).and_then(|left| finder.find(left)) else { return false };
        if bytes[..from + at].ends_with(rest) {
            return true;
        }
        from += at + 1;
    }
    memchr::memmem::find(&bytes[from - rest.len()..], needle).is_some()
}

/// What is remembered of the bytes of a content from its beginning to where it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The first bytes.
    pub head: Fingerprint,
    /// Hash of the first [`ENOUGH`] of them; 0 while there are fewer, or it is not known.
    pub start: u64,
    /// The first bytes do not repeat themselves.
    unique: bool,
    /// Hash of the first line; 0 while it is not known.
    pub generation: u64,
    /// From here on it has two lines, and eight; 0 while it has not.
    pub fair_from: u32,
    /// See `fair_from`.
    pub strong_from: u32,
    /// Lines so far, at most eight.
    lines: u8,
    /// In what kind of line reading ended: 0 at the start of one, 1 in a line, 2 in a comment.
    within: u8,
    /// Ascending; the last is where reading ended, if anything is known of it.
    boundaries: Vec<Boundary>,
}

impl Proof {
    /// All ranges that a complete comparison needs, and room for `others` in the same question.
    #[must_use]
    pub fn ranges(&self, read: u64, others: usize) -> Vec<Range<u64>> {
        let head = (self.head.length > 0).then_some(0..u64::from(self.head.length));
        let known = self.boundaries.iter().filter(|boundary| boundary.end <= read);
        let mut ranges: Vec<Range<u64>> = head.into_iter().chain(known.map(Boundary::range)).collect();
        if self.frontier(read).is_none() && read > 0 {
            ranges.push(read.saturating_sub(WINDOW)..read);
        }
        // The newest say most, and a question has sixteen ranges.
        let most = MOST_RANGES - others;
        if ranges.len() > most {
            ranges.drain(1..ranges.len() + 1 - most);
        }
        ranges
    }

    /// What the sample is, compared with the first `read` bytes of this content.
    #[must_use]
    pub fn against(&self, read: u64, sample: &Sample) -> Verdict {
        let need = || Verdict::Need(self.ranges(read, 0));
        if self.head.length > 0 {
            let Some(head) = stretch_of(sample, &(0..u64::from(self.head.length))) else { return need() };
            let begins = if head.len() == self.head.length as usize {
                Fingerprint::of(head) == self.head
            } else {
                let start = head.get(..ENOUGH as usize);
                self.start != 0 && start.is_some_and(|start| Fingerprint::of(start).hash == self.start)
            };
            if !begins {
                return Verdict::Other;
            }
        }
        let reaches = match sample.end {
            Some(end) => end >= read,
            None => sample.packed || sample.status.size >= read,
        };
        let known = self.boundaries.iter().rev().filter(|boundary| boundary.end <= read);
        let (mut newest, mut diverged) = (true, false);
        for boundary in known {
            match boundary.holds(sample) {
                None if newest => return need(),
                // A size may be stale; bytes are not.
                Some(true) if newest && (reaches || boundary.end == read) => {
                    return Verdict::Same(self.weight(boundary).max(self.weight_of_head(read)));
                }
                Some(true) if boundary.line => {
                    return Verdict::Prefix { up_to: boundary.end, weight: self.weight(boundary), diverged };
                }
                Some(false) => diverged |= boundary.is_covered(sample),
                _ => {}
            }
            newest = false;
        }
        match (newest && reaches, diverged || self.head.length == 0) {
            (true, _) => Verdict::Same(self.weight_of_head(read)),
            (false, true) => Verdict::Other,
            // Nothing but the beginning can be compared.
            (false, false) => Verdict::Prefix { up_to: 0, weight: Weight::Doubt, diverged },
        }
    }

    /// How sure it is that what ends at this boundary was written once.
    fn weight(&self, boundary: &Boundary) -> Weight {
        let is_beginning = u64::from(boundary.length) < boundary.end
            && (u32::from(boundary.length), boundary.hash) == (self.head.length, self.head.hash);
        let lines = |from: u32| from > 0 && boundary.end >= u64::from(from);
        if boundary.end < ENOUGH || !boundary.unique || is_beginning {
            Weight::Doubt
        } else if lines(self.strong_from) || boundary.end >= GRID {
            Weight::Strong
        } else if lines(self.fair_from) {
            Weight::Fair
        } else {
            Weight::Doubt
        }
    }

    /// How sure it is that what was read was written once.
    #[must_use]
    pub fn weight_at(&self, read: u64) -> Weight {
        let frontier = self.boundaries.iter().rev().find(|boundary| boundary.end <= read);
        frontier.map_or(Weight::Doubt, |frontier| self.weight(frontier)).max(self.weight_of_head(read))
    }

    /// The beginning may be known further than it was settled: then it proves more than what was settled of it.
    fn weight_of_head(&self, read: u64) -> Weight {
        let lines = |from: u32| from > 0 && from <= self.head.length;
        if !self.unique || read > u64::from(self.head.length) || u64::from(self.head.length) < ENOUGH {
            Weight::Doubt
        } else if lines(self.strong_from) {
            Weight::Strong
        } else if lines(self.fair_from) {
            Weight::Fair
        } else {
            Weight::Doubt
        }
    }

    /// What is known of the bytes just before `read`.
    #[must_use]
    pub fn frontier(&self, read: u64) -> Option<&Boundary> {
        self.boundaries.iter().rev().find(|boundary| boundary.end <= read).filter(|last| last.end == read)
    }

    /// The cheap check: whether these bytes, which end at `read`, are those that were read before.
    #[must_use]
    pub fn accepts(&self, overlap: &[u8], read: u64) -> bool {
        let Some(frontier) = self.frontier(read) else { return false };
        let Some(start) = overlap.len().checked_sub(frontier.length.into()) else { return false };
        Fingerprint::of(&overlap[start..]).hash == frontier.hash
    }

    /// Whether nothing that is known of both beginnings tells them apart.
    pub(crate) fn may_begin_like(&self, other: &Self) -> bool {
        if self.head.length == other.head.length {
            return self.head == other.head;
        }
        self.start == 0 || other.start == 0 || self.start == other.start
    }

    /// Bytes were read: `bytes[0]` is at `start`, those from `from` on are new, at least one; those before it are the overlap.
    pub(crate) fn advance(&mut self, start: u64, from: u64, bytes: &[u8]) {
        let end = start + bytes.len() as u64;
        debug_assert!(start <= from && from < end, "a content is read forwards only");
        self.boundaries.retain(|boundary| boundary.end <= from);
        // What is known of the beginning is counted already.
        let counted = from.max(u64::from(self.head.length)).min(end);
        if start == 0 {
            self.take_head(bytes);
        }
        if self.lines < LINES_STRONG {
            self.count_lines(counted, &bytes[(counted - start) as usize..]);
        }
        let mut grid = next_grid(from);
        while grid < end {
            let upto = &bytes[..(grid - start) as usize];
            let lowest = ((from - start) as usize).max(upto.len().saturating_sub(REPETITION));
            if let Some(newline) = memchr::memrchr(b'\n', &upto[lowest..]) {
                let upto = &upto[..=lowest + newline];
                self.push(Boundary::before(upto, start + upto.len() as u64, SMALL_WINDOW));
            }
            grid = next_grid(grid);
        }
        self.push(Boundary::before(bytes, end, Fingerprint::LONGEST));
    }

    fn push(&mut self, boundary: Boundary) {
        if self.boundaries.last().is_none_or(|last| last.end < boundary.end) {
            if self.boundaries.is_empty() {
                // Many files have no other.
                self.boundaries.reserve_exact(1);
            }
            self.boundaries.push(boundary);
        }
    }

    fn take_head(&mut self, bytes: &[u8]) {
        let head = &bytes[..bytes.len().min(Fingerprint::LONGEST)];
        if head.len() as u64 > u64::from(self.head.length) {
            self.head = Fingerprint::of(head);
            self.unique = is_unique(head);
            if let Some(start) = head.get(..ENOUGH as usize) {
                self.start = Fingerprint::of(start).hash;
            }
        }
        if self.generation == 0 {
            let line = memchr::memchr(b'\n', head).map(|newline| newline + 1);
            if let Some(end) = line.or((head.len() == Fingerprint::LONGEST).then_some(head.len())) {
                self.generation = Fingerprint::of(&head[..end]).hash;
            }
        }
    }

    fn count_lines(&mut self, from: u64, bytes: &[u8]) {
        for (place, byte) in bytes.iter().enumerate() {
            match (self.within, *byte) {
                (2, b'\n') => self.within = 0,
                (_, b'\n') => {
                    self.within = 0;
                    self.lines += 1;
                    let end = u32::try_from(from + place as u64 + 1).unwrap_or(u32::MAX);
                    match self.lines {
                        LINES_FAIR => self.fair_from = end,
                        LINES_STRONG => {
                            self.strong_from = end;
                            return;
                        }
                        _ => {}
                    }
                }
                (0, b'#') => self.within = 2,
                (0, _) => self.within = 1,
                _ => {}
            }
        }
    }

    /// Whether these first bytes are those that are known.
    pub(crate) fn begins(&self, bytes: &[u8]) -> bool {
        let head = bytes.get(..self.head.length as usize);
        self.head.length == 0 || head.is_some_and(|head| Fingerprint::of(head) == self.head)
    }

    /// What is known of a content of which nothing was read: its first bytes.
    pub(crate) fn of_beginning(beginning: &[u8]) -> Self {
        let mut proof = Self::default();
        let beginning = &beginning[..beginning.len().min(Fingerprint::LONGEST)];
        proof.take_head(beginning);
        proof.count_lines(0, beginning);
        proof
    }

    /// Takes what is known of a content that is followed from `read` on without having been read: its first bytes and
    /// those before `read`.
    pub(crate) fn from_sample(sample: &Sample, read: u64) -> Self {
        let mut proof = Self::default();
        let head = stretch_of(sample, &(0..WINDOW)).unwrap_or_default();
        let head = &head[..head.len().min(usize::try_from(read).unwrap_or(usize::MAX))];
        proof.take_head(head);
        proof.count_lines(0, head);
        proof.take_frontier(sample, read);
        proof
    }

    /// Takes the bytes before `read` from a sample that holds them.
    pub(crate) fn take_frontier(&mut self, sample: &Sample, read: u64) {
        let range = read.saturating_sub(WINDOW)..read;
        let Some(before) = stretch_of(sample, &range).filter(|before| before.len() as u64 == range.end - range.start)
        else {
            return;
        };
        if read > 0 {
            if self.lines < LINES_STRONG && range.start >= u64::from(self.head.length) {
                self.count_lines(range.start, before);
            }
            self.boundaries.retain(|boundary| boundary.end < read);
            self.push(Boundary::before(before, read, Fingerprint::LONGEST));
        }
    }

    /// What was read after `read` does not count any more.
    pub(crate) fn cut(&mut self, read: u64) {
        self.boundaries.retain(|boundary| boundary.end <= read);
        if u64::from(self.head.length) > read {
            // The shorter beginning has no hash of its own, unless it is the one that is kept beside the whole.
            let known = self.start != 0 && read >= ENOUGH;
            self.head =
                if known { Fingerprint { length: ENOUGH as u32, hash: self.start } } else { Fingerprint::default() };
            self.start = if known { self.start } else { 0 };
            self.unique = false;
        }
        let reached = |from: u32| if u64::from(from) <= read { from } else { 0 };
        (self.fair_from, self.strong_from) = (reached(self.fair_from), reached(self.strong_from));
        // Counted anew from here on, so rather too few than too many.
        self.lines = if self.strong_from > 0 { LINES_STRONG } else { self.lines.min(LINES_FAIR) };
    }

    /// Keeps few boundaries: all while bytes are unsettled as far as there is room, and a few that were settled.
    pub(crate) fn thin(&mut self, settled: u64, idle: bool) {
        if !idle && self.boundaries.len() <= MOST_BOUNDARIES {
            return;
        }
        // In place: a copy of each that stays would keep the heap from giving back what lay around it.
        let split = self.boundaries.partition_point(|boundary| boundary.end <= settled);
        let (mut first, mut nearer) = (split, u64::MAX);
        for place in (0..split).rev() {
            let boundary = self.boundaries[place];
            if split - first < MOST_SETTLED && boundary.end <= nearer / 3 * 2 {
                first -= 1;
                self.boundaries[first] = boundary;
                nearer = boundary.end;
            }
        }
        self.boundaries.drain(..first);
        let (all, kept) = (self.boundaries.len(), split - first);
        if all > MOST_BOUNDARIES {
            let mut place = 0;
            self.boundaries.retain(|_| {
                place += 1;
                place <= kept || (place - kept) % 2 == 0 || place == all
            });
        }
        if idle {
            self.boundaries.shrink_to_fit();
        }
    }

    /// The newest line end at or before `limit` up to which the sample holds what was read.
    pub(crate) fn line_upto(&self, limit: u64, sample: &Sample) -> Option<(u64, Weight)> {
        let usable = |boundary: &&Boundary| boundary.line && boundary.end <= limit;
        let newest =
            self.boundaries.iter().rev().filter(usable).find(|boundary| boundary.holds(sample) == Some(true))?;
        Some((newest.end, self.weight(newest)))
    }

    /// How sure it is that these bytes, which end at `end` and were read of this content too, were written once.
    pub(crate) fn weight_of_tail(&self, tail: &[u8], end: u64) -> Weight {
        self.weight(&Boundary::before(tail, end, Fingerprint::LONGEST))
    }

    /// What of it concerns the first `settled` bytes: what a row says.
    #[must_use]
    pub fn upto(&self, settled: u64) -> Self {
        let mut proof = self.clone();
        proof.thin(settled, true);
        proof.boundaries.retain(|boundary| boundary.end <= settled);
        proof
    }

    pub(crate) const fn counted(&self) -> u8 {
        self.lines | self.within << 4 | (self.unique as u8) << 7
    }

    /// By what it is found: its whole beginning, and the beginning of that.
    pub(crate) fn keys(&self) -> [Option<Fingerprint>; 2] {
        let start = Fingerprint { length: ENOUGH as u32, hash: self.start };
        let whole = self.start == 0 || self.head.length as usize == Fingerprint::LONGEST;
        [whole.then_some(self.head), (self.start != 0).then_some(start)]
    }

    pub(crate) fn of_parts(
        head: Fingerprint,
        start: u64,
        generation: u64,
        (fair_from, strong_from): (u32, u32),
        counted: u8,
        boundaries: Vec<Boundary>,
    ) -> Self {
        let (lines, within, unique) = (counted & 0x0f, counted >> 4 & 3, counted & 0x80 != 0);
        Self { head, start, unique, generation, fair_from, strong_from, lines, within, boundaries }
    }

    /// The boundaries, ascending.
    #[must_use]
    pub fn boundaries(&self) -> &[Boundary] {
        &self.boundaries
    }

    /// The proof that rows of before this format had: the first bytes, and those before one boundary.
    #[must_use]
    pub fn of_old_row(head: Fingerprint, frontier_end: u64, frontier: Fingerprint) -> Self {
        let boundary = Boundary {
            end: frontier_end,
            hash: frontier.hash,
            length: frontier.length as u16,
            // It was not looked at; what it had to prove, it proved by being longer than the beginning.
            unique: frontier_end > WINDOW,
            line: false,
        };
        let known = frontier.length > 0 && frontier_end > 0;
        let long = u32::try_from(frontier_end.min(WINDOW * 2)).unwrap_or(u32::MAX);
        Self {
            head,
            fair_from: if frontier_end > WINDOW { long } else { 0 },
            strong_from: if frontier_end > WINDOW * 2 { long } else { 0 },
            boundaries: if known { vec![boundary] } else { Vec::new() },
            ..Self::default()
        }
    }
}

/// No more ranges than this in one question.
pub(crate) const MOST_RANGES: usize = 16;

/// The next place at which a boundary is wanted.
const fn next_grid(position: u64) -> u64 {
    if position < FIRST_GRID {
        FIRST_GRID
    } else if position < GRID {
        (position + 1).next_power_of_two()
    } else {
        (position / GRID + 1) * GRID
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logs of one size lie under names of one log: the one was read, the other deleted unread.
    #[test]
    fn beginnings_may_be_alike_unless_what_is_known_of_both_tells_them_apart() {
        let proof = |which, lines| Proof::of_beginning(&crate::worlds::text(which, 0..lines));
        for (one, other, expected) in [
            (proof('x', 4), proof('x', 4), true),
            (proof('x', 4), proof('y', 4), false),
            (proof('x', 10), proof('x', 20), true),
            (proof('x', 10), proof('y', 20), false),
            // Less than 256 bytes of one are no part of what is known of the other.
            (proof('x', 4), proof('y', 20), true),
            (Proof::default(), proof('y', 20), true),
        ] {
            assert_eq!((one.may_begin_like(&other), other.may_begin_like(&one)), (expected, expected));
        }
    }

    #[test]
    fn bytes_are_found_wherever_they_occur_and_only_there() {
        let mut random = fastrand::Rng::with_seed(17);
        let (mut found, mut by_the_other_way) = (0, 0);
        for round in 0..20_000 {
            // Few different bytes, so that much occurs twice and more ends alike.
            let letters = [1, 2, 2, 3, 20][round % 5];
            let mut bytes: Vec<u8> = (0..random.usize(0..600)).map(|_| b'a' + random.u8(0..letters)).collect();
            let mut needle: Vec<u8> = (0..random.usize(1..100)).map(|_| b'a' + random.u8(0..letters)).collect();
            if random.bool() && bytes.len() > needle.len() {
                let at = random.usize(0..=bytes.len() - needle.len());
                bytes[at..at + needle.len()].copy_from_slice(&needle);
            }
            if round % 7 == 0 {
                // Runs that end like the needle, more than are compared one by one.
                needle = [&b"b"[..], &[b'a'; 60]].concat();
                bytes = [&[b'a'; 300][..], &bytes].concat();
                by_the_other_way += 1;
            }
            let expected = bytes.windows(needle.len()).any(|window| window == needle);
            assert_eq!(occurs(&needle, &bytes), expected, "{needle:?} in {bytes:?}");
            found += usize::from(expected);
        }
        assert!(found > 1_000 && found < 19_000 && by_the_other_way > 1_000, "{found} {by_the_other_way}");
    }

    /// Lines that end alike and begin differently come before the one that is looked for.
    #[test]
    fn what_only_ends_like_it_hides_no_occurrence_however_often_it_comes() {
        for rest in 1..=4 {
            let needle = vec![b'c'; ANCHOR + rest];
            for places in 0..2 * MOST_PLACES {
                let before = [&b"yyy"[..], &[&b"x"[..], &needle[1..]].concat().repeat(places)].concat();
                assert!(!occurs(&needle, &before), "{rest} {places}");
                assert!(occurs(&needle, &[&before[..], b"x", &needle].concat()), "{rest} {places}");
            }
        }
    }
}
