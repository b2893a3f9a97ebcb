//! Which bytes of which origin are settled: claims out, watermark back, and what became of the bytes before it.
//! Promises that a watermark never passes an unsettled byte and never falls, in whatever order claims are settled, and that
//! each byte before it counts as delivered, filtered or quarantined: one of the three.
//! Leaves deciding what "settled" means to the flow core, and saving watermarks to the checkpoint.

use datalake_base::record::{Claim, Origin, Position, Watermark};
use std::collections::{BTreeMap, VecDeque};

/// The open claims of all origins of one flow.
#[derive(Debug, Default)]
pub struct Ledger {
    tracks: BTreeMap<Origin, Track>,
}

/// The claims of one origin, in reading order.
#[derive(Debug)]
pub struct Track {
    origin: Origin,
    /// Not yet popped: `entries[i]` is of the claim `front + i`, and `entries[i].end <= entries[i + 1].end`.
    entries: VecDeque<Entry>,
    /// Serial of the front of `entries`.
    front: u64,
    /// Everything before this is settled. Invariant: `watermark <= read`; never falls.
    watermark: Position,
    /// Bytes before the watermark that were filtered.
    filtered: u64,
    /// Bytes before the watermark that were given up and kept.
    quarantined: u64,
    /// Everything before this was admitted or discarded.
    read: Position,
}

/// What is known of one claim.
#[derive(Clone, Copy, Debug)]
struct Entry {
    end: Position,
    /// Parts that are not settled.
    open: u32,
    /// Bytes that its parts stand for. The rest up to `end` was filtered.
    input: u64,
    /// Of these, the ones that were given up and kept. Invariant: `quarantined <= input`.
    quarantined: u64,
}

impl Ledger {
    /// Begins the track of an origin whose bytes before `start` are settled already.
    ///
    /// # Panics
    /// When the origin was opened before.
    pub fn open(&mut self, origin: Origin, start: Position) {
        let track = Track {
            origin,
            entries: VecDeque::new(),
            front: 0,
            watermark: start,
            filtered: 0,
            quarantined: 0,
            read: start,
        };
        assert!(self.tracks.insert(origin, track).is_none(), "origin {origin:?} was opened twice");
    }

    /// The track of an origin, to admit bytes to.
    pub fn track(&mut self, origin: Origin) -> Option<&mut Track> {
        self.tracks.get_mut(&origin)
    }

    /// Forgets an origin that has nothing open; no byte of it may come any more.
    ///
    /// # Panics
    /// When a claim of the origin is open.
    pub fn close(&mut self, origin: Origin) {
        if let Some(track) = self.tracks.remove(&origin) {
            assert!(track.entries.is_empty(), "origin {origin:?} was closed with open claims");
        }
    }

    /// Whether every claim of the origin is settled.
    #[must_use]
    pub fn is_settled(&self, origin: Origin) -> bool {
        self.tracks.get(&origin).is_none_or(|track| track.entries.is_empty())
    }

    /// The claim's bytes are settled: delivered, or given up on purpose. Returns the origin's new watermark
    /// where this moved it.
    ///
    /// # Panics
    /// When the claim is not of this ledger.
    #[must_use = "a watermark that is not committed is a longer repetition after a crash"]
    pub fn settle(&mut self, claim: Claim) -> Option<Position> {
        let track = self.tracks.get_mut(&claim.origin());
        track.expect("a claim's origin stays open until all its claims are settled").settle(claim)
    }

    /// The claim's bytes were given up on purpose and are kept: notes that, before the claim is settled.
    ///
    /// # Panics
    /// When the claim is not of this ledger.
    pub fn note_quarantined(&mut self, claim: &Claim) {
        let track = self.tracks.get_mut(&claim.origin());
        let entry = track.and_then(|track| track.entry(claim)).expect("the claim is open");
        // What was filtered within the stretch of the claim is none of it.
        entry.quarantined = (entry.quarantined + (claim.end.0 - claim.start.0)).min(entry.input);
    }

    /// The watermark of an open origin, and what became of the bytes before it.
    #[must_use]
    pub fn watermark(&self, origin: Origin) -> Option<Watermark> {
        let Track { watermark, filtered, quarantined, .. } = self.tracks.get(&origin)?;
        Some(Watermark { position: *watermark, filtered: *filtered, quarantined: *quarantined })
    }
}

impl Track {
    /// Claims the bytes up to `end`.
    ///
    /// # Panics
    /// When `end` lies before what was read already.
    pub fn admit(&mut self, end: Position) -> Claim {
        self.admit_spread(end, 1)
    }

    /// Claims the bytes up to `end`; all of them but `input` were filtered.
    ///
    /// # Panics
    /// When `end` lies before what was read already.
    pub fn admit_input(&mut self, end: Position, input: u64) -> Claim {
        let claim = self.admit_spread(end, 1);
        if let Some(entry) = self.entries.back_mut() {
            entry.input = input;
        }
        claim
    }

    /// Claims the bytes up to `end`, which are spread over this many records.
    ///
    /// # Panics
    /// When `end` lies before what was read already, or there are no records.
    pub fn admit_spread(&mut self, end: Position, records: u32) -> Claim {
        assert!(records > 0, "a claim that nothing could settle");
        let start = self.read;
        self.advance(end);
        let serial = self.front + self.entries.len() as u64;
        self.entries.push_back(Entry { end, open: records, input: end.0 - start.0, quarantined: 0 });
        Claim::new(self.origin, serial, records, start, end)
    }

    /// Lets `claim` stand for the bytes up to `end` too. Only the newest claim of an origin can be stretched; `false` means
    /// that this one is not, and that the bytes must be admitted by a claim of their own.
    ///
    /// # Panics
    /// When `end` lies before what was read already.
    pub fn stretch(&mut self, claim: &mut Claim, end: Position) -> bool {
        self.stretch_input(claim, end, end.0.saturating_sub(self.read.0))
    }

    /// The same; all of these bytes but `input` were filtered.
    ///
    /// # Panics
    /// When `end` lies before what was read already.
    pub fn stretch_input(&mut self, claim: &mut Claim, end: Position, input: u64) -> bool {
        let newest = self.front + self.entries.len() as u64;
        if claim.origin() != self.origin || claim.serial() + 1 != newest {
            return false;
        }
        self.advance(end);
        if let Some(entry) = self.entries.back_mut() {
            assert!(entry.open > 0, "a settled claim was stretched");
            entry.end = end;
            entry.input += input;
        }
        claim.end = end;
        true
    }

    /// The bytes up to `end` need no delivery (filtered). Returns the new watermark where nothing before them is open.
    ///
    /// # Panics
    /// When `end` lies before what was read already.
    #[must_use = "a watermark that is not committed is a longer repetition after a crash"]
    pub fn discard(&mut self, end: Position) -> Option<Position> {
        self.advance(end);
        match self.entries.back_mut() {
            Some(newest) => {
                newest.end = end;
                None
            }
            None => {
                self.filtered += end.0 - self.watermark.0;
                self.watermark = end;
                Some(end)
            }
        }
    }

    /// The origin it is the track of.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// Everything before this was admitted or discarded.
    #[must_use]
    pub const fn read(&self) -> Position {
        self.read
    }

    fn advance(&mut self, end: Position) {
        assert!(end >= self.read, "{end} was admitted after {} in {:?}", self.read, self.origin);
        self.read = end;
    }

    #[expect(clippy::needless_pass_by_value, reason = "a claim is settled exactly once: by value")]
    fn settle(&mut self, claim: Claim) -> Option<Position> {
        let entry = self.entry(&claim).expect("the entry of an unsettled claim is never popped");
        entry.open = entry.open.checked_sub(claim.parts()).expect("a claim is settled once");
        let mut moved = None;
        while let Some(entry) = self.entries.front().filter(|entry| entry.open == 0) {
            assert!(entry.end >= self.watermark && entry.end <= self.read, "the watermark left its bounds");
            let filtered = (entry.end.0 - self.watermark.0).checked_sub(entry.input);
            self.filtered += filtered.expect("a claim stands for bytes that were read");
            self.quarantined += entry.quarantined;
            self.watermark = entry.end;
            moved = Some(entry.end);
            self.entries.pop_front();
            self.front += 1;
        }
        moved
    }

    fn entry(&mut self, claim: &Claim) -> Option<&mut Entry> {
        let index = claim.serial().checked_sub(self.front).and_then(|index| usize::try_from(index).ok())?;
        self.entries.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FILE: Origin = Origin::new(1);

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.open(FILE, Position::START);
        ledger
    }

    #[test]
    fn a_later_success_does_not_overtake_an_earlier_open_record() {
        let mut ledger = ledger();
        let first = ledger.track(FILE).unwrap().admit(Position(10));
        let second = ledger.track(FILE).unwrap().admit(Position(20));
        assert_eq!(ledger.settle(second), None);
        assert_eq!(ledger.settle(first), Some(Position(20)));
    }

    #[test]
    fn only_the_newest_claim_can_be_stretched() {
        let mut ledger = ledger();
        let mut first = ledger.track(FILE).unwrap().admit(Position(10));
        assert!(ledger.track(FILE).unwrap().stretch(&mut first, Position(15)));
        let second = ledger.track(FILE).unwrap().admit(Position(20));
        assert!(!ledger.track(FILE).unwrap().stretch(&mut first, Position(30)));
        assert_eq!(ledger.settle(first), Some(Position(15)));
        assert_eq!(ledger.settle(second), Some(Position(20)));
    }

    #[test]
    fn a_run_over_many_records_is_settled_when_all_of_them_are() {
        let mut ledger = ledger();
        let mut run = ledger.track(FILE).unwrap().admit_spread(Position(30), 3);
        let next = ledger.track(FILE).unwrap().admit(Position(40));
        let one = run.split_off(1);
        assert_eq!((one.parts(), run.parts()), (1, 2));
        assert_eq!(ledger.settle(next), None);
        assert_eq!(ledger.settle(run), None);
        assert_eq!(ledger.settle(one), Some(Position(40)));
    }

    #[test]
    fn a_discarded_line_moves_the_watermark_only_when_nothing_before_it_is_open() {
        let mut ledger = ledger();
        assert_eq!(ledger.track(FILE).unwrap().discard(Position(5)), Some(Position(5)));
        let claim = ledger.track(FILE).unwrap().admit(Position(10));
        assert_eq!(ledger.track(FILE).unwrap().discard(Position(12)), None);
        assert_eq!(ledger.track(FILE).unwrap().read(), Position(12));
        assert_eq!(ledger.settle(claim), Some(Position(12)));
    }

    /// The newest claim may be settled while an older one is open.
    #[test]
    fn a_line_that_is_discarded_behind_a_settled_claim_waits_for_the_one_before_it() {
        let mut ledger = ledger();
        let first = ledger.track(FILE).unwrap().admit(Position(10));
        let second = ledger.track(FILE).unwrap().admit(Position(20));
        assert_eq!(ledger.settle(second), None);
        assert_eq!(ledger.track(FILE).unwrap().discard(Position(25)), None);
        let third = ledger.track(FILE).unwrap().admit(Position(30));
        assert_eq!(ledger.settle(first), Some(Position(25)));
        assert_eq!(ledger.watermark(FILE).map(|watermark| watermark.filtered), Some(5));
        assert_eq!(ledger.settle(third), Some(Position(30)));
    }

    /// A line is filtered in the middle of what one record took, and the record is given up: the filtered bytes stay filtered.
    #[test]
    fn what_was_filtered_within_a_record_does_not_count_as_quarantined_with_it() {
        let mut ledger = ledger();
        let mut claim = ledger.track(FILE).unwrap().admit(Position(10));
        assert_eq!(ledger.track(FILE).unwrap().discard(Position(14)), None);
        assert!(ledger.track(FILE).unwrap().stretch(&mut claim, Position(20)));
        ledger.note_quarantined(&claim);
        assert_eq!(ledger.settle(claim), Some(Position(20)));
        let Watermark { position, filtered, quarantined } = ledger.watermark(FILE).unwrap();
        assert_eq!((position, filtered, quarantined), (Position(20), 4, 16));
    }

    #[test]
    fn an_origin_is_settled_when_all_its_claims_are_and_one_that_nobody_opened_is() {
        let mut ledger = ledger();
        assert!(ledger.is_settled(FILE) && ledger.is_settled(Origin::new(2)));
        let claim = ledger.track(FILE).unwrap().admit(Position(10));
        assert!(!ledger.is_settled(FILE) && ledger.is_settled(Origin::new(2)));
        assert_eq!(ledger.settle(claim), Some(Position(10)));
        assert!(ledger.is_settled(FILE));
        ledger.close(FILE);
        assert!(ledger.track(FILE).is_none());
    }

    #[test]
    #[should_panic(expected = "closed with open claims")]
    fn an_origin_with_open_claims_cannot_be_forgotten() {
        let mut ledger = ledger();
        let _claim = ledger.track(FILE).unwrap().admit(Position(10));
        ledger.close(FILE);
    }

    /// One act of the model world.
    #[derive(Clone, Debug)]
    enum Act {
        /// A line of a file goes to the open record of a key.
        Line { file: usize, key: usize },
        /// Three lines of a file go to a record each, under one claim.
        Spread { file: usize },
        /// A line of a file is filtered.
        Drop { file: usize },
        /// The open record of a key is sealed and sent.
        Seal { key: usize },
        /// One of the records under way comes home.
        Answer { which: usize, again: bool },
        /// The process dies and starts again from the saved watermarks.
        Crash,
    }

    fn act() -> impl Strategy<Value = Act> {
        prop_oneof![
            8 => (0..3_usize, 0..3_usize).prop_map(|(file, key)| Act::Line { file, key }),
            2 => (0..3_usize).prop_map(|file| Act::Spread { file }),
            1 => (0..3_usize).prop_map(|file| Act::Drop { file }),
            2 => (0..3_usize).prop_map(|key| Act::Seal { key }),
            3 => (0..8_usize, prop::bool::weighted(0.3)).prop_map(|(which, again)| Act::Answer { which, again }),
            1 => Just(Act::Crash),
        ]
    }

    /// A record of the model: its claims, and which lines (file, number) it holds.
    #[derive(Default)]
    struct ModelRecord {
        claims: Vec<Claim>,
        lines: Vec<(usize, u64)>,
    }

    /// Three files of numbered lines, three partition keys whose records interleave, answers in any order,
    /// retries, filtered lines, crashes. Each line is one byte long, so its number is its position.
    struct World {
        ledger: Ledger,
        generation: u64,
        read: [u64; 3],
        saved: [u64; 3],
        outcome: [std::collections::BTreeSet<u64>; 3],
        open: [ModelRecord; 3],
        under_way: Vec<ModelRecord>,
    }

    impl World {
        fn start(saved: [u64; 3], outcome: [std::collections::BTreeSet<u64>; 3], generation: u64) -> Self {
            let mut ledger = Ledger::default();
            for (file, position) in saved.iter().enumerate() {
                ledger.open(Self::origin(generation, file), Position(*position));
            }
            Self { ledger, generation, read: saved, saved, outcome, open: Default::default(), under_way: Vec::new() }
        }

        fn origin(generation: u64, file: usize) -> Origin {
            Origin::new(generation * 3 + file as u64)
        }

        fn save(&mut self, file: usize, watermark: Option<Position>) {
            if let Some(Position(position)) = watermark {
                assert!(position >= self.saved[file], "a watermark fell");
                self.saved[file] = position;
            }
            for line in 0..self.saved[file] {
                assert!(
                    self.outcome[file].contains(&line),
                    "line {line} of file {file} lies before the watermark, unsettled"
                );
            }
        }

        fn apply(mut self, act: &Act) -> Self {
            match *act {
                Act::Line { file, key } => {
                    let end = Position(self.read[file] + 1);
                    let track = self.ledger.track(Self::origin(self.generation, file)).unwrap();
                    let record = &mut self.open[key];
                    let stretched = record.claims.iter_mut().any(|claim| {
                        claim.origin() == Self::origin(self.generation, file) && track.stretch(claim, end)
                    });
                    if !stretched {
                        record.claims.push(track.admit(end));
                    }
                    record.lines.push((file, self.read[file]));
                    self.read[file] += 1;
                }
                Act::Spread { file } => {
                    let first = self.read[file];
                    self.read[file] += 3;
                    let track = self.ledger.track(Self::origin(self.generation, file)).unwrap();
                    let mut claim = track.admit_spread(Position(first + 3), 3);
                    let parts = [claim.split_off(1), claim.split_off(1), claim];
                    let records = (first..).zip(parts);
                    self.under_way.extend(
                        records.map(|(line, part)| ModelRecord { claims: vec![part], lines: vec![(file, line)] }),
                    );
                }
                Act::Drop { file } => {
                    self.outcome[file].insert(self.read[file]);
                    self.read[file] += 1;
                    let end = Position(self.read[file]);
                    let moved = self.ledger.track(Self::origin(self.generation, file)).unwrap().discard(end);
                    self.save(file, moved);
                }
                Act::Seal { key } => self.under_way.push(std::mem::take(&mut self.open[key])),
                Act::Answer { again: true, .. } => {}
                Act::Answer { which, again: false } => {
                    if !self.under_way.is_empty() {
                        let record = self.under_way.swap_remove(which % self.under_way.len());
                        for (file, line) in record.lines {
                            self.outcome[file].insert(line);
                        }
                        for claim in record.claims {
                            let file = (claim.origin().number() - self.generation * 3) as usize;
                            let moved = self.ledger.settle(claim);
                            self.save(file, moved);
                        }
                    }
                }
                Act::Crash => return Self::start(self.saved, self.outcome, self.generation + 1),
            }
            self
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// The rule "newest success wins" loses lines in nearly every such world; the contiguous prefix loses none.
        #[test]
        fn no_line_before_a_saved_watermark_is_ever_unsettled(acts in prop::collection::vec(act(), 1..200)) {
            let mut world = World::start([0; 3], Default::default(), 0);
            for act in &acts {
                world = world.apply(act);
            }
            // In the end everything comes home, and then the watermark is where reading stopped.
            for key in 0..3 {
                world = world.apply(&Act::Seal { key });
            }
            while !world.under_way.is_empty() {
                world = world.apply(&Act::Answer { which: 0, again: false });
            }
            prop_assert_eq!(world.saved, world.read);
        }
    }
}
