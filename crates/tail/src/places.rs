//! What folders hold: names, the files that they lead to, and what changed.
//! Promises a few dozen bytes for each name and each file, and that a file is found by name and by identity at once.
//! Leaves what is in the files to the contents.

use crate::seen::{FlowId, Moment, Packing, Status, Ticket};
use datalake_base::record::FileKey;
use hashbrown::HashTable;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// No such thing.
pub(crate) const NONE: u32 = u32::MAX;

/// A number for both, which for different ones is the same as seldom as 64 bits allow: families are known by it alone.
pub(crate) fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let hash = bytes.chunks(8).fold(scramble(seed ^ 0x9e37_79b9_7f4a_7c15), |hash, chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        scramble(hash ^ u64::from_le_bytes(word))
    });
    scramble(hash ^ bytes.len() as u64)
}

/// The last step of MurmurHash3: each bit changes every other with even chance, and no two numbers become one.
const fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let number = (number ^ (number >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    number ^ (number >> 33)
}

/// So that both ends of the number depend on all of it.
pub(crate) const fn spread(number: u64) -> u64 {
    let number = (number ^ (number >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    number ^ (number >> 29)
}

/// A collection whose members keep their number until they are taken out.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    members: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { members: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    /// Room for exactly this many more, where their number is known.
    pub(crate) fn reserve(&mut self, members: usize) {
        let missing = members.saturating_sub(self.free.len());
        if self.members.capacity() - self.members.len() < missing {
            // One by one they would make room at their usual steps.
            let usual = self.members.len() / 8;
            self.members.reserve_exact(missing.max(usual));
        }
    }

    /// How many there is room for.
    #[cfg(test)]
    pub(crate) fn room(&self) -> usize {
        self.members.capacity()
    }

    pub(crate) fn insert(&mut self, member: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self.members[number as usize] = Some(member);
            return number;
        }
        if self.members.len() == self.members.capacity() {
            // By an eighth: doubling would keep room for as many again. But few, as most destinations have, take little.
            let members = self.members.len();
            self.members.reserve_exact((members / 8).max(members.clamp(2, 64)));
        }
        self.members.push(Some(member));
        self.members.len() as u32 - 1
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let member = self.members.get_mut(number as usize)?.take();
        if member.is_some() {
            self.free.push(number);
        }
        member
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.members.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.members.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.members.iter().enumerate().filter_map(|(number, member)| Some((number as u32, member.as_ref()?)))
    }

    pub(crate) fn numbers(&self) -> u32 {
        self.members.len() as u32
    }
}

/// A name in a folder that leads to a file.
#[derive(Debug)]
pub(crate) struct Name {
    pub(crate) folder: u32,
    pub(crate) text: Box<[u8]>,
    pub(crate) file: u32,
    /// The next name of the same file.
    next: u32,
    /// Where it stands among the names of its folder.
    at: u32,
    /// In which listing it was last seen.
    pub(crate) seen_in: u32,
    /// The flow whose patterns match it, or for which it may be a rotation.
    pub(crate) flow: Option<FlowId>,
    /// Whether a pattern matches it, or a link that matches leads to it.
    pub(crate) is_live: bool,
    /// A pattern matches it.
    pub(crate) is_matched: bool,
    pub(crate) is_link: bool,
}

/// A name that a link leads to.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: Box<[u8]>,
    pub(crate) flow: FlowId,
    /// The link that matches: its folder and name.
    pub(crate) link: (u32, Box<[u8]>),
}

/// What a file is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It was there when we came, or turned out to be of no interest.
    Ignored,
    /// It is to be asked what it holds.
    Unproven,
    /// It holds this content.
    Holds(u32),
    /// An archive that is not read.
    Skipped,
}

/// A file, by its identity. The invariant of a table: one for each identity.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) key: FileKey,
    pub(crate) size: u64,
    pub(crate) changed: u64,
    pub(crate) standing: Standing,
    first_name: u32,
    /// When its stamps were last seen to differ from those before, in seconds.
    pub(crate) changed_at: u32,
    /// The folder in which it was last seen.
    pub(crate) last_folder: u32,
    pub(crate) packing: Option<Packing>,
    /// A row named it, and it was not seen since.
    pub(crate) remembered: bool,
    /// The same, also after it was missed in every listing of the start.
    pub(crate) unseen: bool,
    /// Equal stamps mean that it was not touched.
    pub(crate) quiet: bool,
    /// It is in the line of those that are asked what they hold.
    pub(crate) queued: bool,
    /// The operator knows that it cannot be read.
    pub(crate) refused: bool,
    /// Unsuccessful attempts since it changed.
    pub(crate) attempts: u8,
    /// How often it has waited until more of its log was read.
    pub(crate) waits: u8,
    /// A pattern matched it for the first time ever: it is followed from its end.
    pub(crate) skip: bool,
    /// When its folder had been looked at last before it came, in seconds.
    pub(crate) since: u32,
    /// It is being asked what it holds.
    pub(crate) asked: bool,
    /// When it was taken for a stranger, in seconds: as long as what was known may have been stale, that is not final.
    pub(crate) judged_at: u32,
    /// It was compared with what is known, or was there before that.
    pub(crate) compared: bool,
}

/// A folder, and what it is to us.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) path: Arc<Path>,
    /// Patterns lead to it.
    pub(crate) is_home: bool,
    /// Watched and listed: it is a home, a hop of a link, or files are followed in it.
    pub(crate) is_watched: bool,
    /// Rotations of what lies in these are put here.
    pub(crate) sources: Vec<u32>,
    pub(crate) names: Vec<u32>,
    /// Names in it that links lead to.
    pub(crate) targets: Vec<Target>,
    /// What it held at the last look and no row names.
    pub(crate) held: BTreeSet<u64>,
    /// It was looked at before, in this life or an earlier one.
    pub(crate) is_known: bool,
    pub(crate) row_dirty: bool,
    pub(crate) events: bool,
    pub(crate) refused: bool,
    pub(crate) listing: Option<Ticket>,
    pub(crate) listing_everything: bool,
    /// Another listing is wanted, not before then.
    pub(crate) due: Option<Moment>,
    pub(crate) wants_everything: bool,
    /// Listings that ended, and the number of the one that runs.
    pub(crate) listings: u32,
    /// Names that were not seen in the last listing are still to be sorted out, from this one downwards.
    pub(crate) sweep: Option<u32>,
    /// Contents that are sought in it.
    pub(crate) sought: u32,
    /// When it was last listed to its end.
    pub(crate) listed_at: Option<Moment>,
    /// Names in the last listing.
    pub(crate) seen: u32,
}

impl Folder {
    /// Whether its first listing is on its way, or is being compared with what was known.
    pub(crate) const fn is_listed_first(&self) -> bool {
        self.listings == 1 && (self.listing.is_some() || self.sweep.is_some())
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Places {
    pub(crate) folders: Slab<Folder>,
    by_path: BTreeMap<Arc<Path>, u32>,
    pub(crate) names: Slab<Name>,
    by_name: HashTable<u32>,
    pub(crate) files: Slab<File>,
    by_key: HashTable<u32>,
}

fn hash_of_name(folder: u32, text: &[u8]) -> u64 {
    mix(folder.into(), text)
}

const fn hash_of_key(key: FileKey) -> u64 {
    spread(key.inode ^ key.born.rotate_left(17))
}

impl Places {
    /// The folder with this path, made known when it is not.
    pub(crate) fn folder(&mut self, path: &Path) -> u32 {
        if let Some(folder) = self.by_path.get(path) {
            return *folder;
        }
        let path: Arc<Path> = path.into();
        let folder = self.folders.insert(Folder {
            path: path.clone(),
            is_home: false,
            is_watched: false,
            sources: Vec::new(),
            names: Vec::new(),
            targets: Vec::new(),
            held: BTreeSet::new(),
            is_known: false,
            row_dirty: false,
            events: true,
            refused: false,
            listing: None,
            listing_everything: false,
            due: None,
            wants_everything: false,
            listings: 0,
            sweep: None,
            sought: 0,
            listed_at: None,
            seen: 0,
        });
        self.by_path.insert(path, folder);
        folder
    }

    /// Makes room for those of these folders that are not known yet.
    pub(crate) fn expect_folders(&mut self, paths: &[PathBuf]) {
        let new = paths.iter().filter(|path| !self.by_path.contains_key(path.as_path())).count();
        self.folders.reserve(new);
    }

    pub(crate) fn find_name(&self, folder: u32, text: &[u8]) -> Option<u32> {
        let hash = hash_of_name(folder, text);
        let same =
            |number: &u32| self.names.get(*number).is_some_and(|name| name.folder == folder && *name.text == *text);
        self.by_name.find(hash, same).copied()
    }

    /// The file of this identity; also when only the number of its device is another, as after a mount.
    pub(crate) fn find_file(&self, key: FileKey) -> Option<u32> {
        let exactly = |number: &u32| self.files.get(*number).is_some_and(|file| file.key == key);
        let found = self.by_key.find(hash_of_key(key), exactly);
        let renumbered = |number: &u32| {
            self.files.get(*number).is_some_and(|file| {
                file.unseen && key.born != 0 && file.key.inode == key.inode && file.key.born == key.born
            })
        };
        found.or_else(|| self.by_key.find(hash_of_key(key), renumbered)).copied()
    }

    pub(crate) fn insert_file(&mut self, status: &Status, now: Moment) -> u32 {
        let file = self.files.insert(File {
            key: status.key,
            size: status.size,
            changed: status.changed,
            standing: Standing::Ignored,
            first_name: NONE,
            changed_at: seconds(now),
            last_folder: NONE,
            packing: None,
            remembered: false,
            unseen: false,
            quiet: false,
            queued: false,
            refused: false,
            attempts: 0,
            waits: 0,
            skip: false,
            since: 0,
            asked: false,
            judged_at: 0,
            compared: false,
        });
        let files = &self.files;
        let hash = |number: &u32| files.get(*number).map_or(0, |file| hash_of_key(file.key));
        self.by_key.insert_unique(hash_of_key(status.key), file, hash);
        file
    }

    /// Forgets the file; it has no name.
    pub(crate) fn remove_file(&mut self, number: u32) {
        let Some(file) = self.files.get(number) else { return };
        debug_assert_eq!(file.first_name, NONE, "a file with a name is not forgotten");
        if let Ok(entry) = self.by_key.find_entry(hash_of_key(file.key), |other| *other == number) {
            entry.remove();
        }
        self.files.remove(number);
    }

    /// Another name for the file.
    pub(crate) fn insert_name(&mut self, folder: u32, text: Box<[u8]>, file: u32) -> u32 {
        let hash = hash_of_name(folder, &text);
        let at = self.folders.get(folder).map_or(0, |folder| folder.names.len() as u32);
        let number = self.names.insert(Name {
            folder,
            text,
            file: NONE,
            next: NONE,
            at,
            seen_in: 0,
            flow: None,
            is_live: false,
            is_matched: false,
            is_link: false,
        });
        if let Some(folder) = self.folders.get_mut(folder) {
            folder.names.push(number);
        }
        let names = &self.names;
        let hasher = |number: &u32| names.get(*number).map_or(0, |name| hash_of_name(name.folder, &name.text));
        self.by_name.insert_unique(hash, number, hasher);
        self.attach(number, file);
        number
    }

    fn attach(&mut self, number: u32, file: u32) {
        let (Some(name), Some(entry)) = (self.names.get_mut(number), self.files.get_mut(file)) else { return };
        name.file = file;
        name.next = std::mem::replace(&mut entry.first_name, number);
        entry.last_folder = name.folder;
    }

    /// Takes the name off its file.
    fn detach(&mut self, number: u32) {
        let Some((file, next)) = self.names.get(number).map(|name| (name.file, name.next)) else { return };
        let Some(entry) = self.files.get_mut(file) else { return };
        if entry.first_name == number {
            entry.first_name = next;
            return;
        }
        let mut current = entry.first_name;
        while current != NONE {
            let Some(name) = self.names.get_mut(current) else { return };
            if name.next == number {
                name.next = next;
                return;
            }
            current = name.next;
        }
    }

    /// The name leads to another file now.
    pub(crate) fn redirect(&mut self, number: u32, file: u32) {
        self.detach(number);
        self.attach(number, file);
    }

    /// The name is gone.
    pub(crate) fn remove_name(&mut self, number: u32) {
        self.detach(number);
        let Some(name) = self.names.remove(number) else { return };
        if let Ok(entry) = self.by_name.find_entry(hash_of_name(name.folder, &name.text), |other| *other == number) {
            entry.remove();
        }
        let Some(folder) = self.folders.get_mut(name.folder) else { return };
        folder.names.swap_remove(name.at as usize);
        if let Some(moved) = folder.names.get(name.at as usize).copied()
            && let Some(moved) = self.names.get_mut(moved)
        {
            moved.at = name.at;
        }
    }

    /// The names of a file.
    pub(crate) fn names_of(&self, file: u32) -> impl Iterator<Item = &Name> {
        let mut next = self.files.get(file).map_or(NONE, |file| file.first_name);
        std::iter::from_fn(move || {
            let name = self.names.get(next)?;
            next = name.next;
            Some(name)
        })
    }

    pub(crate) fn has_name(&self, file: u32) -> bool {
        self.files.get(file).is_some_and(|file| file.first_name != NONE)
    }

    pub(crate) fn path(&self, folder: u32, name: &[u8]) -> PathBuf {
        let folder = self.folders.get(folder).map_or(Path::new(""), |folder| &*folder.path);
        folder.join(OsStr::from_bytes(name))
    }

    pub(crate) fn path_of_name(&self, name: &Name) -> PathBuf {
        self.path(name.folder, &name.text)
    }

    /// A path that leads to the file; not through a link, where there is another.
    pub(crate) fn path_of(&self, file: u32) -> Option<PathBuf> {
        let name = self.names_of(file).find(|name| !name.is_link).or_else(|| self.names_of(file).next())?;
        Some(self.path_of_name(name))
    }
}

pub(crate) const fn seconds(now: Moment) -> u32 {
    (now.0 / 1_000_000) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 5,000 idle flows took 115 MiB, and each of their destinations has a tail core with five folders: its own, and four in
    /// which rotations may be. Sizes are of 64 bits.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_destination_without_work_is_small() {
        for (what, size, most) in [
            ("Tail", size_of::<crate::Tail>(), 1_192),
            ("Folder", size_of::<Folder>(), 192),
            ("Name", size_of::<Name>(), 48),
            ("File", size_of::<File>(), 80),
            ("ToDo", size_of::<crate::ToDo>(), 88),
        ] {
            assert!(size <= most, "{what} takes {size} bytes, more than {most}");
        }
    }

    /// `a.log` of the first folder and `b.log` of the second had one number: two families, which waited for each other.
    #[test]
    fn short_names_in_different_folders_have_different_numbers() {
        let mut numbers = BTreeSet::new();
        let letters = || (b'a'..=b'z').map(|letter| vec![letter]);
        let short: Vec<Vec<u8>> =
            letters().chain(letters().flat_map(|one| letters().map(move |two| [one.clone(), two].concat()))).collect();
        for folder in 0..64 {
            for suffix in [&b""[..], b".log"] {
                for name in &short {
                    let name = [name, suffix].concat();
                    let shown = String::from_utf8_lossy(&name).into_owned();
                    assert!(numbers.insert(mix(folder, &name)), "{shown} in folder {folder} has the number of another");
                }
            }
        }
    }

    /// One by one they made room for eight.
    #[test]
    fn folders_that_are_expected_take_room_for_themselves_only() {
        let mut places = Places::default();
        places.folder(Path::new("/l"));
        let beside = ["/l/old", "/l/rotated", "/l/archive", "/rotated"].map(PathBuf::from);
        places.expect_folders(&beside);
        for path in &beside {
            places.folder(path);
        }
        assert_eq!((places.folders.members.len(), places.folders.members.capacity()), (5, 5));
        places.expect_folders(&beside);
        assert_eq!(places.folders.members.capacity(), 5, "they are known");
    }

    /// A hundred thousand files at half a KiB each: room for as many again would be 50 MiB.
    #[test]
    fn a_collection_that_grows_keeps_room_for_an_eighth_more() {
        let mut slab = Slab::default();
        let (mut capacity, mut steps) = (0, 0);
        for number in 0..10_000_u32 {
            assert_eq!(slab.insert(number), number);
            steps += usize::from(capacity != slab.members.capacity());
            capacity = slab.members.capacity();
            assert!(capacity - slab.members.len() <= 64.max(slab.members.len() / 8), "{number}: {capacity}");
        }
        assert!(steps < 45, "{steps} times all of them were moved");
    }

    #[test]
    fn room_is_made_for_what_is_expected_where_there_is_none() {
        let mut slab = Slab::default();
        (0..80_u32).for_each(|number| _ = slab.insert(number));
        let free = slab.members.capacity() - 80;
        for enough in 1..=free {
            slab.reserve(enough);
            assert_eq!(slab.members.capacity(), 80 + free, "there is room for {enough}");
        }
        // Room for one of ten, which is less than they would take by themselves.
        slab.members.shrink_to(81);
        slab.reserve(1);
        assert_eq!(slab.members.capacity(), 81, "there is room for it");
        slab.reserve(2);
        assert_eq!(slab.members.capacity(), 90);
        slab.members.shrink_to(83);
        slab.reserve(3);
        assert_eq!(slab.members.capacity(), 83, "there is room for them");
        slab.members.shrink_to(80);
        slab.reserve(50);
        assert_eq!(slab.members.capacity(), 130);
        // Numbers that were given back are room, too.
        (0..60).for_each(|number| _ = slab.remove(number));
        slab.members.shrink_to(80);
        slab.reserve(60);
        assert_eq!(slab.members.capacity(), 80);
    }

    /// Distinct, and spread over both ends, of which tables use the lower for the place and the upper for a mark.
    #[track_caller]
    fn assert_spread(what: &str, hashes: impl Iterator<Item = u64>) {
        let hashes: BTreeSet<u64> = hashes.collect();
        let lower: BTreeSet<u64> = hashes.iter().map(|hash| hash & 0x3ff).collect();
        let upper: BTreeSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
        // Of 1,024 places chance fills 879.
        assert_eq!((hashes.len(), upper.len()), (2_000, 128), "{what}");
        assert!(lower.len() > 820, "{what}: {} of 1,024 places", lower.len());
    }

    /// Each container has a folder with a `0.log`; inodes are given one after the other, on one day. Looking for one of ten
    /// thousand among those with its hash must not be looking through all of them.
    #[test]
    fn files_and_names_that_are_much_alike_have_hashes_of_their_own() {
        assert_spread("folders", (0..2_000).map(|folder| hash_of_name(folder, b"0.log")));
        assert_spread("names", (0..2_000).map(|number| hash_of_name(7, format!("{number}.log").as_bytes())));
        let key = |inode, born| hash_of_key(FileKey { device: 1, inode, born });
        assert_spread("inodes", (0..2_000).map(|inode| key(inode, 0)));
        assert_spread("inodes of a day", (0..2_000).map(|inode| key(inode, 1_795_867_668_123_456_789)));
        assert_spread("births", (0..2_000).map(|number| key(9, 1_795_867_668_123_456_789 + number * 1_000_000)));
        let mut random = fastrand::Rng::with_seed(3);
        assert_spread("chance", (0..2_000).map(|_| spread(random.u64(..))));
        assert_spread("high bits", (0..2_000).map(|number| spread(number << 50)));
    }

    fn status(inode: u64, born: u64, device: u64) -> Status {
        Status { key: FileKey { device, inode, born }, ..Status::default() }
    }

    /// After a mount the number of the device is another. Only a file that a row names and nobody has seen since may have got
    /// one: two that are both there are two, and without a birth nothing tells them apart.
    #[test]
    fn a_file_is_known_under_another_device_only_until_it_is_seen() {
        for (unseen, born, found) in [(true, 5, true), (false, 5, false), (true, 0, false), (false, 0, false)] {
            let mut places = Places::default();
            let file = places.insert_file(&status(7, born, 1), Moment(0));
            places.files.get_mut(file).unwrap().unseen = unseen;
            assert_eq!(places.find_file(status(7, born, 1).key), Some(file));
            assert_eq!(places.find_file(status(7, born, 2).key).is_some(), found, "{unseen} {born}");
            assert_eq!(places.find_file(status(8, born, 2).key), None);
        }
    }

    /// Files come and go for years.
    #[test]
    fn what_is_forgotten_is_no_longer_found_and_hides_nothing() {
        let mut places = Places::default();
        let folder = places.folder(Path::new("/l"));
        let text = |number: u64| format!("{number}.log").into_bytes().into_boxed_slice();
        let insert = |number| {
            let file = places.insert_file(&status(number, 5, 1), Moment(0));
            (file, places.insert_name(folder, text(number), file))
        };
        let all: Vec<(u32, u32)> = (0..2_000).map(insert).collect();
        for (file, name) in all.iter().step_by(2) {
            places.remove_name(*name);
            places.remove_file(*file);
        }
        for (number, (file, name)) in (0..).zip(&all) {
            let there = number % 2 == 1;
            assert_eq!(places.find_file(status(number, 5, 1).key), there.then_some(*file), "{number}");
            assert_eq!(places.find_name(folder, &text(number)), there.then_some(*name), "{number}");
        }
        assert_eq!((places.by_key.len(), places.by_name.len()), (1_000, 1_000));
    }
}
