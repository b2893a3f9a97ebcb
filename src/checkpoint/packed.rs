//! Rows that wait, each as its columns, one behind the other in one stretch of memory.
//! Promises the newest row of a content, and memory that is given back as a whole: rows of a hundred thousand files that
//! each had their own would lie scattered among what lives long.
//! Leaves what a column means to `columns`.

use super::columns::{Columns, encode_places};
use datalake_tail::{ContentId, Counted, Row};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Seven numbers, two small ones, three lengths.
const HEAD: usize = 7 * 8 + 2 + 3 * 4;

/// Appends the row.
fn pack(row: &Columns<'_>, bytes: &mut Vec<u8>) {
    let Counted { delivered, filtered, quarantined, destroyed } = row.counted;
    for number in [row.id.0, row.position, row.known, delivered, filtered, quarantined, destroyed] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend([row.state, row.packing]);
    let texts = [row.home, row.places, row.proof];
    for text in texts {
        bytes.extend(u32::try_from(text.len()).expect("a row is smaller than 4 GiB").to_le_bytes());
    }
    texts.into_iter().for_each(|text| bytes.extend(text));
}

/// What was packed at the beginning of these bytes.
fn unpack(bytes: &[u8]) -> Columns<'_> {
    let number = |place: usize| u64::from_le_bytes(bytes[place * 8..][..8].try_into().expect("eight bytes"));
    let length =
        |place: usize| u32::from_le_bytes(bytes[58 + place * 4..][..4].try_into().expect("four bytes")) as usize;
    let (home, rest) = bytes[HEAD..].split_at(length(0));
    let (places, rest) = rest.split_at(length(1));
    Columns {
        id: ContentId(number(0)),
        position: number(1),
        known: number(2),
        counted: Counted { delivered: number(3), filtered: number(4), quarantined: number(5), destroyed: number(6) },
        state: bytes[56],
        packing: bytes[57],
        home,
        places,
        proof: &rest[..length(2)],
    }
}

const fn packed_bytes(row: &Columns<'_>) -> usize {
    HEAD + row.home.len() + row.places.len() + row.proof.len()
}

/// Where a row is to be deleted.
const DELETED: usize = usize::MAX;

/// Replaced rows are thrown out when they take more than this, and more than the others.
const MOST_DEAD: usize = 64 << 10;

/// The newest row of each content of each stream, or that it is to be deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct PackedRows {
    bytes: Vec<u8>,
    /// Where in `bytes` the row begins, or [`DELETED`]. No stream without a row.
    places: BTreeMap<Arc<str>, HashMap<ContentId, usize>>,
    /// Bytes of rows that were replaced.
    dead: usize,
}

impl PackedRows {
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn contains(&self, stream: &str, id: ContentId) -> bool {
        self.places.get(stream).is_some_and(|places| places.contains_key(&id))
    }

    /// Puts it in the place of an older row of the content; `None` is one to delete.
    pub(super) fn insert(&mut self, stream: &Arc<str>, id: ContentId, row: Option<&Row>) {
        match row {
            None => self.put(stream, id, None),
            Some(row) => {
                let (places, proof) = (encode_places(&row.places), row.proof.encode());
                self.put(stream, id, Some(Columns::of(row, &places, &proof)));
            }
        }
    }

    fn put(&mut self, stream: &Arc<str>, id: ContentId, row: Option<Columns<'_>>) {
        let end = self.bytes.len();
        if let Some(row) = row {
            pack(&row, &mut self.bytes);
        }
        let place = if row.is_some() { end } else { DELETED };
        let places = match self.places.get_mut(&**stream) {
            Some(places) => places,
            None => self.places.entry(stream.clone()).or_default(),
        };
        let Some(replaced) = places.insert(id, place).filter(|place| *place != DELETED) else { return };
        let length = packed_bytes(&unpack(&self.bytes[replaced..]));
        if self.bytes.len() - end == length {
            // Mostly a row is as long as the one before.
            self.bytes.copy_within(end.., replaced);
            self.bytes.truncate(end);
            places.insert(id, replaced);
            return;
        }
        self.dead += length;
        if self.dead > MOST_DEAD && self.dead > self.bytes.len() / 2 {
            self.throw_out();
        }
    }

    fn throw_out(&mut self) {
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.dead);
        for place in self.places.values_mut().flat_map(HashMap::values_mut).filter(|place| **place != DELETED) {
            let row = unpack(&self.bytes[*place..]);
            *place = bytes.len();
            pack(&row, &mut bytes);
        }
        (self.bytes, self.dead) = (bytes, 0);
    }

    /// All of them, by stream and number: so the database meets them in the order in which it keeps them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, ContentId, Option<Columns<'_>>)> {
        self.places.iter().flat_map(move |(stream, places)| {
            let mut places: Vec<(ContentId, usize)> = places.iter().map(|(id, place)| (*id, *place)).collect();
            places.sort_unstable();
            let row = |place| (place != DELETED).then(|| unpack(&self.bytes[place..]));
            places.into_iter().map(move |(id, place)| (stream, id, row(place)))
        })
    }

    /// Takes those of `older` of which there is nothing newer.
    pub(super) fn take_back(&mut self, older: &Self) {
        for (stream, id, row) in older.iter() {
            if !self.contains(stream, id) {
                self.put(stream, id, row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::row;
    use super::*;

    fn rows(packed: &PackedRows) -> Vec<(&str, u64, Option<Row>)> {
        packed.iter().map(|(stream, id, columns)| (&**stream, id.0, columns.map(|it| it.row().unwrap()))).collect()
    }

    #[test]
    fn rows_come_in_the_order_of_the_database_and_as_they_were() {
        let (a, b): (Arc<str>, Arc<str>) = ("firehose:a".into(), "firehose:b".into());
        let mut packed = PackedRows::default();
        assert!(packed.is_empty());
        packed.insert(&b, ContentId(1), Some(&row(1, 5)));
        packed.insert(&a, ContentId(9), None);
        packed.insert(&a, ContentId(2), Some(&row(2, 7)));
        let expected =
            [("firehose:a", 2, Some(row(2, 7))), ("firehose:a", 9, None), ("firehose:b", 1, Some(row(1, 5)))];
        assert_eq!(rows(&packed), expected);
        assert!(packed.contains("firehose:a", ContentId(9)) && !packed.contains("firehose:b", ContentId(9)));
        assert!(!packed.is_empty());
    }

    /// While a disk refuses for hours, rows are replaced again and again.
    #[test]
    fn rows_that_are_replaced_for_ever_take_no_more_room_than_twice_the_newest() {
        let stream: Arc<str> = "s".into();
        let mut packed = PackedRows::default();
        let row_at = |position: u64| {
            let mut row = row(position % 100, position);
            row.home.push("x".repeat((position / 100 % 5) as usize));
            (!position.is_multiple_of(7)).then_some(row)
        };
        for position in 0..20_000 {
            packed.insert(&stream, ContentId(position % 100), row_at(position).as_ref());
        }
        assert!(packed.bytes.len() < 2 * MOST_DEAD + 100_000, "{} bytes", packed.bytes.len());
        let newest: Vec<_> = (19_900..20_000).map(|position| ("s", position % 100, row_at(position))).collect();
        assert_eq!(rows(&packed), newest);
        // A row of the same length lies where the one before lay.
        let before = (packed.bytes.len(), packed.dead);
        let again = row_at(19_902).unwrap();
        packed.insert(&stream, ContentId(2), Some(&Row { position: 77, ..again.clone() }));
        assert_eq!((packed.bytes.len(), packed.dead), before);
        assert_eq!(rows(&packed)[2], ("s", 2, Some(Row { position: 77, ..again })));
    }

    #[test]
    fn what_is_taken_back_never_replaces_what_is_newer() {
        let stream: Arc<str> = "s".into();
        let (mut older, mut newer) = (PackedRows::default(), PackedRows::default());
        for id in 1..=3 {
            older.insert(&stream, ContentId(id), Some(&row(id, 10)));
        }
        newer.insert(&stream, ContentId(1), Some(&row(1, 20)));
        newer.insert(&stream, ContentId(2), None);
        newer.take_back(&older);
        assert_eq!(rows(&newer), [("s", 1, Some(row(1, 20))), ("s", 2, None), ("s", 3, Some(row(3, 10)))]);
    }
}
