//! What an operator asks: how contents stand, what is known of a file, which content waits longest.
//! Promises that asking changes nothing, and that a part of the answer costs no more than was asked for.
//! Leaves the words to the commands.

use super::Tail;
use crate::content::{Content, State};
use crate::places::Standing;
use crate::row::{ContentId, Counted, Row, SavedState};
use crate::seen::FlowId;
use datalake_base::record::FileKey;
use std::path::PathBuf;

/// What there is to see of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Which one.
    pub id: ContentId,
    /// The flow that reads it; none where no pattern matches its home any more.
    pub flow: Option<FlowId>,
    /// The path by which a pattern matched it.
    pub home: PathBuf,
    /// Where it lies, each name with whether that is a link. None where its file has no name, or it has no file.
    pub names: Vec<(PathBuf, bool)>,
    /// None of these names is matched by a pattern, or led to by a link that is.
    pub is_rotated: bool,
    /// Everything before this is settled; unpacked bytes, for archives.
    pub settled: u64,
    /// Everything before this was read.
    pub read: u64,
    /// So much of it is known to exist.
    pub known: u64,
    /// What became of its bytes.
    pub counted: Counted,
    /// Where it stands.
    pub state: SavedState,
    /// Its file is an archive.
    pub is_packed: bool,
    /// Its file is open.
    pub is_open: bool,
    /// Its file could not be opened or read when that was tried last.
    pub is_refused: bool,
    /// Size of the file at the last look.
    pub size: u64,
    /// When its file was changed, in nanoseconds since 1970; 0 where it has no file.
    pub changed: u64,
}

/// What a file is to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStanding {
    /// It was there before the agent came, or it is none of the flows' business.
    Ignored,
    /// It is being asked what it holds.
    Comparing,
    /// It holds a content that is known.
    Holds,
    /// An archive that is not read.
    Skipped,
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAbout {
    /// What it is; none where it was never seen.
    pub standing: Option<FileStanding>,
    /// It could not be opened or read when that was tried last.
    pub is_refused: bool,
    /// Contents that it may hold: the one that it is known to hold first, then those that begin alike.
    pub contents: Vec<ContentAbout>,
}

/// A content that a file may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentAbout {
    /// As it would be saved now.
    pub row: Row,
    /// The flow that reads it.
    pub flow: Option<FlowId>,
    /// How far it was read.
    pub read: u64,
}

impl Tail {
    /// The contents with numbers from `from` on, at most `most` numbers; and where to go on, if there are more.
    #[must_use]
    pub fn inspect(&self, from: u32, most: u32) -> (Vec<Inspected>, Option<u32>) {
        let end = from.saturating_add(most).min(self.contents.all.numbers());
        let contents =
            (from..end).filter_map(|number| self.contents.get(number)).map(|content| self.inspected(content));
        (contents.collect(), (end < self.contents.all.numbers()).then_some(end))
    }

    /// What is known of the file of this identity, which begins with these bytes.
    #[must_use]
    pub fn about(&self, key: FileKey, beginning: &[u8]) -> FileAbout {
        let file = self.places.find_file(key).and_then(|number| self.places.files.get(number));
        let mut numbers = Vec::new();
        let standing = file.map(|file| match file.standing {
            Standing::Ignored => FileStanding::Ignored,
            Standing::Unproven => FileStanding::Comparing,
            Standing::Skipped => FileStanding::Skipped,
            Standing::Holds(content) => {
                numbers.push(content);
                FileStanding::Holds
            }
        });
        for alike in self.contents.alike(beginning) {
            if !numbers.contains(&alike) {
                numbers.push(alike);
            }
        }
        let contents = numbers.into_iter().filter_map(|number| Some((number, self.contents.get(number)?)));
        let contents = contents.map(|(number, content)| ContentAbout {
            row: self.row(number, content),
            flow: content.flow,
            read: content.read,
        });
        FileAbout { standing, is_refused: file.is_some_and(|file| file.refused), contents: contents.collect() }
    }

    /// Looks through contents with numbers from `from` on, at most `most` numbers, for the oldest of each flow that is not
    /// settled, and improves `oldest`, which has a place for each flow. Returns where to go on, if there are more.
    #[must_use]
    pub fn oldest_unsettled(&self, from: u32, most: u32, oldest: &mut [Option<(u64, u32)>]) -> Option<u32> {
        let end = from.saturating_add(most).min(self.contents.all.numbers());
        for number in from..end {
            let Some(content) = self.contents.get(number).filter(|content| content.counted > 0) else { continue };
            let Some(place) = content.flow.and_then(|flow| oldest.get_mut(usize::from(flow.0))) else { continue };
            if place.is_none_or(|(id, _)| content.id < id) {
                *place = Some((content.id, number));
            }
        }
        (end < self.contents.all.numbers()).then_some(end)
    }

    fn inspected(&self, content: &Content) -> Inspected {
        let file = self.places.files.get(content.file);
        let names: Vec<_> =
            self.places.names_of(content.file).map(|name| (self.places.path_of_name(name), name.is_link)).collect();
        let is_rotated = !names.is_empty() && !self.places.names_of(content.file).any(|name| name.is_live);
        Inspected {
            id: ContentId(content.id),
            flow: content.flow,
            home: self.home_of(content),
            names,
            is_rotated,
            settled: content.settled,
            read: content.read,
            known: content.known,
            counted: content.count(),
            state: match content.state {
                State::Sought => SavedState::Sought,
                State::Finished if content.is_settled() => SavedState::Finished,
                State::Finished | State::Followed => SavedState::Followed,
            },
            is_packed: file.is_some_and(|file| file.packing.is_some()),
            is_open: content.slot != crate::places::NONE,
            is_refused: file.is_some_and(|file| file.refused),
            size: file.map_or(0, |file| file.size),
            changed: file.map_or(0, |file| file.changed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{SavedPlace, SavedState};
    use crate::{FlowSettings, Limits, Settings};

    fn tail(contents: u64) -> Tail {
        let flows = vec![FlowSettings::default(), FlowSettings::default()];
        let mut tail = Tail::new(Settings { flows, limits: Limits::default(), first_origin: 1 });
        for id in 1..=contents {
            let place = SavedPlace {
                path: format!("/logs/{id}.log").into(),
                key: FileKey { device: 1, inode: id, born: 7 },
                size: 100,
                ..SavedPlace::default()
            };
            let row = Row {
                id: ContentId(id),
                home: place.path.clone(),
                // Every third waits for something.
                position: if id % 3 == 0 { 40 } else { 100 },
                known: 100,
                state: SavedState::Followed,
                places: vec![place],
                ..Row::default()
            };
            tail.remember(row, Some(FlowId((id % 2) as u16)));
        }
        tail
    }

    #[test]
    fn pages_hold_every_content_once_and_none_is_longer_than_was_asked_for() {
        let tail = tail(1_000);
        let (mut seen, mut from) = (Vec::new(), Some(0));
        while let Some(number) = from {
            let (page, next) = tail.inspect(number, 64);
            assert!(page.len() <= 64);
            seen.extend(page.into_iter().map(|content| content.id.0));
            from = next;
        }
        assert_eq!(seen, (1..=1_000).collect::<Vec<_>>());
        assert_eq!(tail.inspect(5_000, 64), (Vec::new(), None), "a page behind the end");
    }

    #[test]
    fn the_oldest_that_waits_is_found_for_each_flow_in_whatever_portions() {
        let tail = tail(1_000);
        for portion in [1, 7, 10_000] {
            let (mut oldest, mut from) = (vec![None; 2], Some(0));
            while let Some(number) = from {
                from = tail.oldest_unsettled(number, portion, &mut oldest);
            }
            let ids: Vec<u64> = oldest.iter().flatten().map(|(id, _)| *id).collect();
            assert_eq!(ids, [6, 3], "in portions of {portion}");
        }
    }

    /// Numbers are used again, so they say nothing about age.
    #[test]
    fn the_oldest_that_waits_is_the_one_with_the_lowest_id_in_whatever_order_they_are_kept() {
        for ids in [[5, 3, 8], [3, 8, 5], [8, 5, 3]] {
            let mut tail = tail(0);
            for id in ids {
                let row = Row { id: ContentId(id), position: 40, known: 100, ..Row::default() };
                tail.remember(row, Some(FlowId(0)));
            }
            let mut oldest = vec![None; 2];
            assert_eq!(tail.oldest_unsettled(0, 10, &mut oldest), None);
            assert_eq!(oldest[0].map(|(id, _)| id), Some(3), "{ids:?}");
        }
    }

    #[test]
    fn a_file_is_found_by_its_identity_and_a_stranger_is_not() {
        let tail = tail(3);
        let about = tail.about(FileKey { device: 1, inode: 2, born: 7 }, b"");
        assert_eq!(about.standing, Some(FileStanding::Holds));
        assert_eq!(about.contents.iter().map(|content| content.row.id.0).collect::<Vec<_>>(), [2]);
        let about = tail.about(FileKey { device: 1, inode: 99, born: 7 }, b"");
        assert_eq!((about.standing, about.contents.len()), (None, 0));
    }

    /// What `files` and `why` show of a content and of its file.
    #[test]
    fn an_operator_sees_where_a_content_lies_and_how_it_stands() {
        use crate::tail::scene::{Scene, many};
        let mut scene = Scene::new(&many(), 500);
        scene.file_at(scene.log).changed = 77;
        let show = |scene: &Scene| scene.tail.inspect(0, 1).0.remove(0);
        let shown = show(&scene);
        assert_eq!((shown.names.clone(), shown.is_rotated), (vec![("/l/a.log".into(), false)], false));
        assert_eq!((shown.read, shown.settled, shown.known, shown.size, shown.changed), (500, 500, 1_840, 1_840, 77));
        assert_eq!((shown.state, shown.flow), (SavedState::Followed, Some(FlowId(0))));
        assert!(!shown.is_packed && !shown.is_open && !shown.is_refused);
        // Rotated, packed, open and refused.
        scene.it().file = scene.rotation;
        let rotation = scene.file_at(scene.rotation);
        (rotation.packing, rotation.refused) = (Some(crate::Packing::Gzip), true);
        scene.it().slot = 3;
        let shown = show(&scene);
        assert!(shown.is_rotated && shown.is_packed && shown.is_open && shown.is_refused);
        // Without a place it is not rotated, and finished only if it is settled.
        scene.it().file = crate::places::NONE;
        scene.it().state = State::Finished;
        let shown = show(&scene);
        assert_eq!((shown.names.len(), shown.is_rotated, shown.size), (0, false, 0));
        assert_eq!(shown.state, SavedState::Finished);
        scene.it().settled = 5;
        assert_eq!(show(&scene).state, SavedState::Followed);
        scene.it().state = State::Sought;
        assert_eq!(show(&scene).state, SavedState::Sought);
    }

    /// The content of the file comes first, and none twice.
    #[test]
    fn of_a_file_its_standing_is_known_and_what_begins_like_it() {
        use crate::tail::scene::{Scene, many};
        for (standing, expected) in [
            (Standing::Ignored, FileStanding::Ignored),
            (Standing::Unproven, FileStanding::Comparing),
            (Standing::Skipped, FileStanding::Skipped),
        ] {
            let mut scene = Scene::new(&many(), many().len());
            let file = scene.file_at(scene.rotation);
            (file.standing, file.refused) = (standing, true);
            let key = file.key;
            let about = scene.tail.about(key, &many());
            assert_eq!((about.standing, about.is_refused), (Some(expected), true));
            assert_eq!(about.contents.len(), 1, "it begins like the log");
        }
        let mut scene = Scene::new(&many(), many().len());
        let key = scene.file_at(scene.log).key;
        let about = scene.tail.about(key, &many());
        assert_eq!((about.standing, about.is_refused, about.contents.len()), (Some(FileStanding::Holds), false, 1));
    }
}
