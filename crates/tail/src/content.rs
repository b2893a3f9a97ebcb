//! Contents: byte sequences that are followed, and how they are found by their beginning.
//! Promises that a position belongs to a content, wherever that lies.
//! Leaves where it lies to the places, and what is done with it to the tail.

use crate::places::{NONE, Slab, spread};
use crate::proof::{ENOUGH, Proof, Weight};
use crate::row::Counted;
use crate::seen::{FlowId, Moment};
use datalake_base::record::{Fingerprint, Origin};
use hashbrown::HashTable;
use std::cmp::Reverse;
use std::ops::Deref;

/// A folder, and a name in it.
pub(crate) type Home = (u32, Box<[u8]>);

/// No such time.
pub(crate) const NEVER: Moment = Moment(u64::MAX);

/// No such position.
pub(crate) const NO_JUMP: u64 = u64::MAX;

/// Where a content stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It has a place, or is open without a name.
    Followed,
    /// It has no place; it is looked for where rotation may have put it.
    Sought,
    /// Nothing more is expected of it. It is remembered, to know copies of it.
    Finished,
}

/// A few numbers, mostly none: eight bytes then.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "a vector itself is three times as long, and nearly all are empty")]
pub(crate) struct Few(Option<Box<Vec<u32>>>);

impl Deref for Few {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }
}

impl Few {
    pub(crate) fn push(&mut self, number: u32) {
        self.0.get_or_insert_default().push(number);
    }

    pub(crate) fn take_out(&mut self, number: u32) {
        if let Some(numbers) = &mut self.0 {
            numbers.retain(|other| *other != number);
        }
        self.0.take_if(|numbers| numbers.is_empty());
    }

    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }
}

/// Bytes of a content that were not sent on purpose.
#[derive(Debug, Default)]
struct GivenUp {
    filtered: u64,
    quarantined: u64,
}

/// See the head of this file. Invariant: `settled <= read`; what is between was handed over.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) id: u64,
    /// `None`: it sleeps, because no pattern matches its home any more.
    pub(crate) flow: Option<FlowId>,
    pub(crate) state: State,
    /// The file it is read from.
    pub(crate) file: u32,
    /// Other files that hold it, or its beginning.
    pub(crate) copies: Few,
    /// Where it is open.
    pub(crate) slot: u32,
    pub(crate) read: u64,
    pub(crate) settled: u64,
    /// So much of it is known to exist.
    pub(crate) known: u64,
    /// So much was there when the bytes before it were last compared: what came later may be other content.
    pub(crate) sure: u64,
    pub(crate) origin: Option<Origin>,
    pub(crate) proof: Proof,
    /// The folder and name by which a pattern matched it, once it has lost that name.
    pub(crate) home: Option<Box<Home>>,
    /// Folders in which it had names that are gone.
    pub(crate) traces: Few,
    /// It comes after that one.
    pub(crate) after: u32,
    /// The file that held it last and holds something else.
    pub(crate) left: u32,
    /// It is a log that was looked at before its turn: older files of its family are still asked what they hold, and come
    /// first. Nothing of it was read.
    pub(crate) ahead: bool,
    /// When it was found; [`NEVER`] when a row knew it.
    pub(crate) found_at: Moment,
    /// When bytes last came.
    pub(crate) touched: Moment,
    /// It lost bytes that were counted as destroyed.
    pub(crate) destroyed: u64,
    /// Bytes of it that the service accepted, as far as the settled position tells.
    pub(crate) delivered: u64,
    /// The same of what was given up; most contents have nothing of that.
    given_up: Option<Box<GivenUp>>,
    /// Once everything that was read is settled, it goes on from here, unless this is
    /// [`NO_JUMP`]: it was cut, or there is a hole.
    pub(crate) jump: u64,
    /// Nothing gives reason to doubt that its file holds it.
    pub(crate) confirmed: bool,
    /// It is known from a row, and its file was not compared with it since the start.
    pub(crate) from_row: bool,
    /// A sample of its file is on the way.
    pub(crate) checking: bool,
    /// A read of it is on the way.
    pub(crate) reading: bool,
    /// Its file is being opened.
    pub(crate) opening: bool,
    pub(crate) queued: bool,
    pub(crate) dirty: bool,
    /// Its row says that it lies where a pattern matched it, and nowhere else.
    pub(crate) saved_at_home: bool,
    /// Its origin has ended.
    pub(crate) ended: bool,
    /// What was read last ends with a line, so its origin may end there.
    pub(crate) whole_line: bool,
    /// How often in a row a read found something else than a comparison.
    pub(crate) doubts: u8,
    /// An archive that was read to its end.
    pub(crate) at_end: bool,
    /// When time is let pass for it, or [`NEVER`].
    pub(crate) timed: Moment,
    /// It is read though nothing is known to be there: no event tells of a file without a name.
    pub(crate) poll: bool,
    /// That was done at least once.
    pub(crate) polled: bool,
    /// It had a turn since it was opened.
    pub(crate) served: bool,
    /// The open file had no name left when it was last read.
    pub(crate) unlinked: bool,
    /// What it adds to the lag of its flow.
    pub(crate) counted: u64,
}

impl Content {
    pub(crate) fn new(id: u64, flow: Option<FlowId>, now: Moment) -> Self {
        Self {
            id,
            flow,
            state: State::Followed,
            file: NONE,
            copies: Few::default(),
            slot: NONE,
            read: 0,
            settled: 0,
            known: 0,
            sure: 0,
            origin: None,
            proof: Proof::default(),
            home: None,
            traces: Few::default(),
            after: NONE,
            left: NONE,
            ahead: false,
            found_at: now,
            touched: now,
            destroyed: 0,
            delivered: 0,
            given_up: None,
            jump: NO_JUMP,
            confirmed: true,
            from_row: false,
            checking: false,
            reading: false,
            opening: false,
            queued: false,
            dirty: false,
            saved_at_home: false,
            ended: false,
            whole_line: false,
            doubts: 0,
            at_end: false,
            timed: NEVER,
            poll: false,
            polled: false,
            served: false,
            unlinked: false,
            counted: 0,
        }
    }

    /// What became of its bytes.
    pub(crate) fn count(&self) -> Counted {
        let (filtered, quarantined) = self.given_up.as_ref().map_or((0, 0), |it| (it.filtered, it.quarantined));
        Counted { delivered: self.delivered, filtered, quarantined, destroyed: self.destroyed }
    }

    /// These came to it, beside what was counted before.
    pub(crate) fn add(&mut self, counted: Counted) {
        let Counted { delivered, filtered, quarantined, destroyed } = counted;
        self.delivered = self.delivered.saturating_add(delivered);
        self.destroyed = self.destroyed.saturating_add(destroyed);
        if filtered > 0 || quarantined > 0 {
            let given_up = self.given_up.get_or_insert_default();
            given_up.filtered = given_up.filtered.saturating_add(filtered);
            given_up.quarantined = given_up.quarantined.saturating_add(quarantined);
        }
    }

    /// It was cut, and what is left becomes a content of its own once everything that was read is settled. Until then nothing
    /// confirms that it lies where it lay, so nothing may wait for it.
    pub(crate) const fn is_cut(&self) -> bool {
        self.jump < self.read
    }

    /// Its origin has ended, and another begins only once everything that was read is settled: while the service is away nothing
    /// more is read of it.
    pub(crate) const fn waits_to_settle(&self) -> bool {
        self.ended && !self.is_settled()
    }

    /// Only the beginning is known, and more was read: the agent stopped within the first long lines, and nothing tells what is
    /// before the position.
    pub(crate) fn is_unproven(&self) -> bool {
        let head = u64::from(self.proof.head.length);
        head > 0 && self.read > head && self.proof.boundaries().iter().all(|boundary| boundary.end > self.read)
    }

    /// Bytes that are known of and were not read.
    pub(crate) const fn unread(&self) -> u64 {
        self.known.saturating_sub(self.read)
    }

    /// Everything that was read of it is settled.
    pub(crate) const fn is_settled(&self) -> bool {
        self.settled >= self.read
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Contents {
    pub(crate) all: Slab<Content>,
    /// By the hash of their beginning, those that can be known again.
    by_head: HashTable<(u32, u32)>,
    /// How many have a beginning of this length.
    lengths: Vec<u32>,
}

impl Default for Contents {
    fn default() -> Self {
        Self { all: Slab::default(), by_head: HashTable::new(), lengths: Vec::new() }
    }
}

/// No more contents are compared with one file than this.
const MOST_ALIKE: usize = 8;

impl Contents {
    pub(crate) fn get(&self, number: u32) -> Option<&Content> {
        self.all.get(number)
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut Content> {
        self.all.get_mut(number)
    }

    /// Has the content found by its beginning from now on, and no longer by that of before.
    pub(crate) fn index(&mut self, number: u32, before: [Option<Fingerprint>; 2]) {
        let Some(content) = self.all.get(number) else { return };
        let wanted = content.proof.weight_at(content.read) > Weight::Doubt;
        let now = if wanted { content.proof.keys() } else { [None; 2] };
        for key in before.into_iter().flatten().filter(|key| !now.contains(&Some(*key))) {
            self.unindex(number, key);
        }
        for key in now.into_iter().flatten().filter(|key| u64::from(key.length) >= ENOUGH) {
            let short = (key.hash >> 32) as u32;
            let known = |entry: &(u32, u32)| *entry == (short, number);
            // Nothing distinguishes files that are all alike, so the table does not search through all of them.
            let crowded = || self.by_head.iter_hash(of_short(short)).nth(MOST_ALIKE * 8).is_some();
            if self.by_head.find(of_short(short), known).is_none() && !crowded() {
                // Thousands of destinations with a file each must not take a table each.
                self.lengths.resize(self.lengths.len().max(key.length as usize + 1), 0);
                self.lengths[key.length as usize] += 1;
                // The table keeps half of the hash, so that it can grow without asking.
                self.by_head.insert_unique(of_short(short), (short, number), |entry| of_short(entry.0));
            }
        }
    }

    fn unindex(&mut self, number: u32, key: Fingerprint) {
        let short = (key.hash >> 32) as u32;
        if let Ok(entry) = self.by_head.find_entry(of_short(short), |entry| *entry == (short, number)) {
            entry.remove();
            self.lengths[key.length as usize] -= 1;
        }
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Content> {
        for key in self.all.get(number)?.proof.keys().into_iter().flatten() {
            self.unindex(number, key);
        }
        self.all.remove(number)
    }

    /// The contents that begin as these bytes do: the longest first, then those that are sought, then the newest.
    pub(crate) fn alike(&self, beginning: &[u8]) -> Vec<u32> {
        let mut found = Vec::new();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for (place, byte) in beginning.iter().take(Fingerprint::LONGEST).enumerate() {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            let length = place + 1;
            if self.lengths.get(length).is_none_or(|contents| *contents == 0) {
                continue;
            }
            let head = Fingerprint { length: length as u32, hash };
            let short = (hash >> 32) as u32;
            let same = self.by_head.iter_hash(of_short(short)).filter(|(_, number)| {
                self.all.get(*number).is_some_and(|content| content.proof.keys().contains(&Some(head)))
            });
            found.extend(same.map(|(_, number)| *number).take(MOST_ALIKE * 8));
        }
        // Those that are equal for longest come first.
        found.reverse();
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|number| seen.insert(*number));
        found.truncate(MOST_ALIKE * 8);
        found.sort_by_key(|number| {
            // What holds the longest holds the others, too.
            let rank = |content: &Content| (Reverse(content.read), content.state != State::Sought, Reverse(content.id));
            self.all.get(*number).map(rank)
        });
        found.truncate(MOST_ALIKE);
        found
    }
}

const fn of_short(short: u32) -> u64 {
    spread(short as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worlds::text;

    /// A content of which these bytes were read, found by its beginning; its number.
    fn insert(contents: &mut Contents, bytes: &[u8], read: u64) -> u32 {
        let id = contents.all.iter().count() as u64;
        let mut content = Content::new(id, None, Moment(0));
        (content.read, content.proof) = (read, Proof::of_beginning(bytes));
        let number = contents.all.insert(content);
        contents.index(number, [None; 2]);
        number
    }

    #[test]
    fn what_became_of_bytes_is_counted_in_four_kinds() {
        let mut content = Content::new(1, None, Moment(0));
        let counted =
            |delivered, filtered, quarantined, destroyed| Counted { delivered, filtered, quarantined, destroyed };
        content.add(counted(5, 0, 0, 1));
        assert!(content.given_up.is_none(), "few have that, and it takes room");
        content.add(counted(7, 3, 0, 0));
        content.add(counted(0, 0, 2, 7));
        content.add(counted(1, 4, 4, 0));
        assert_eq!(content.count(), counted(13, 7, 6, 8));
    }

    /// Contents come and go for years: what was known of them must not stay.
    #[test]
    fn a_content_that_is_forgotten_is_no_longer_found_by_any_beginning_that_it_had() {
        let mut contents = Contents::default();
        let whole = text('x', 0..40);
        let number = insert(&mut contents, &whole, 1_024);
        assert_eq!(contents.by_head.len(), 2, "by 256 bytes and by 1,024");
        let before = contents.get(number).unwrap().proof.keys();
        contents.index(number, before);
        assert_eq!(contents.by_head.len(), 2, "known already");
        // It is cut, so that less is known of its beginning.
        let content = contents.get_mut(number).unwrap();
        (content.read, content.proof) = (300, Proof::of_beginning(&whole[..300]));
        contents.index(number, before);
        assert_eq!((contents.by_head.len(), contents.alike(&whole)), (1, vec![number]));
        assert!(contents.remove(number).is_some());
        assert_eq!((contents.by_head.len(), contents.lengths.iter().sum::<u32>()), (0, 0));
    }

    #[test]
    fn what_proves_nothing_is_not_looked_for_by_its_beginning() {
        let mut contents = Contents::default();
        let repeated = b"tick\n".repeat(100);
        insert(&mut contents, &repeated, 500);
        assert!(contents.alike(&repeated).is_empty() && contents.by_head.is_empty());
    }

    /// Ten thousand logs, each with a beginning of its own.
    #[test]
    fn each_of_many_contents_is_found_by_its_beginning_alone() {
        let mut contents = Contents::default();
        let beginning = |number: usize| text('x', number * 10..number * 10 + 10);
        let numbers: Vec<u32> = (0..500).map(|number| insert(&mut contents, &beginning(number), 300)).collect();
        for (place, number) in numbers.into_iter().enumerate() {
            assert_eq!(contents.alike(&beginning(place)), [number]);
        }
    }

    /// A thousand files that begin alike: a file is compared with eight of them, and the table searches through few.
    #[test]
    fn of_many_contents_that_begin_alike_the_longest_then_the_sought_then_the_newest_are_compared() {
        let mut contents = Contents::default();
        let beginning = text('x', 0..10);
        let numbers: Vec<u32> = (0..60).map(|number| insert(&mut contents, &beginning, 300 + number % 30)).collect();
        let of = |places: [usize; 8]| places.map(|place| numbers[place]);
        assert_eq!(contents.alike(&beginning), of([59, 29, 58, 28, 57, 27, 56, 26]));
        contents.get_mut(numbers[28]).unwrap().state = State::Sought;
        assert_eq!(contents.alike(&beginning), of([59, 29, 28, 58, 57, 27, 56, 26]));
        for _ in 0..1_000 {
            insert(&mut contents, &beginning, 300);
        }
        assert!((64..=65).contains(&contents.by_head.len()), "{} of 1,060", contents.by_head.len());
    }
}
