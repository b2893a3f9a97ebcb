//! Which file a saved position of the Kinesis Agent is about, and where reading goes on in every file of a flow.
//! Promises that what was accepted is not sent again where that can be known, and that what cannot be known is sent.
//! Leaves looking at the disk to its caller; nothing here waits or reads.

use super::checkpoints::OldRow;
use super::notes::Weight;
use crate::source::file::import::{Found, Start};
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::path::Path;

/// Clocks of filesystems tick some milliseconds late.
const TICK: u64 = 1_000;

/// A file that may belong to the flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The file.
    pub file: Found,
    /// Whether a pattern of the flow matches its path.
    pub matches: bool,
    /// Whether its name is that of a rotation of a file that the pattern spells out.
    pub rotation: bool,
}

/// A file with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The file.
    pub file: Found,
    /// Where reading goes on.
    pub start: Start,
    /// How much it matters.
    pub weight: Weight,
    /// Why there.
    pub words: String,
    /// When the position was saved there, in milliseconds since 1970; 0 where none was.
    pub updated: u64,
}

/// A position without a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unplaced {
    /// The row.
    pub row: OldRow,
    /// How much it matters.
    pub weight: Weight,
    /// What became of it.
    pub words: String,
}

/// Where a flow goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    /// Files, in the order of their paths.
    pub placed: Vec<Placed>,
    /// Positions without a file, the newest first.
    pub unplaced: Vec<Unplaced>,
    /// The flow was running there: `initialPosition` no longer applies to it.
    pub started: bool,
}

/// Asks whether a line ends just before a position of a file; `None` when it cannot be read.
pub type EndsLine<'a> = &'a dyn Fn(&Path, u64) -> Option<bool>;

/// Places all rows of one flow among the files that were seen.
#[must_use]
pub fn place(rows: &[OldRow], seen: &[Seen], ends_line: EndsLine<'_>) -> Placement {
    let mut rows: Vec<&OldRow> = rows.iter().collect();
    rows.sort_by(|one, other| (other.updated, &other.path).cmp(&(one.updated, &one.path)));
    let Some(newest) = rows.first().copied() else { return Placement::default() };
    let mut placing = Placing { seen, ends_line, starts: vec![None; seen.len()], unplaced: Vec::new() };
    for row in &rows {
        placing.place_row(row, newest);
    }
    let resumed = placing.starts.iter().position(|start| start.as_ref().is_some_and(|start| start.row == Some(newest)));
    placing.finish_siblings(resumed);
    placing.place_rest(newest, resumed);
    let mut placed: Vec<Placed> = seen
        .iter()
        .zip(placing.starts)
        .filter_map(|(seen, start)| {
            let Begin { start, weight, words, row } = start?;
            let updated = row.map_or(0, |row| row.updated);
            Some(Placed { file: seen.file.clone(), start, weight, words, updated })
        })
        .collect();
    placed.sort_by(|one, other| one.file.path.cmp(&other.file.path));
    Placement { placed, unplaced: placing.unplaced, started: true }
}

#[derive(Clone, Debug)]
struct Begin<'a> {
    start: Start,
    weight: Weight,
    words: String,
    row: Option<&'a OldRow>,
}

struct Placing<'a> {
    seen: &'a [Seen],
    ends_line: EndsLine<'a>,
    starts: Vec<Option<Begin<'a>>>,
    unplaced: Vec<Unplaced>,
}

fn modified(file: &Found) -> u64 {
    file.modified / 1_000_000
}

/// Whether it was born, as far as that is known, clearly after this moment.
fn born_after(file: &Found, moment: u64) -> bool {
    file.key.born > 0 && file.key.born / 1_000_000 > moment + TICK
}

/// The order in which the Kinesis Agent goes through files.
fn newer(one: &Found, other: &Found) -> bool {
    (modified(one), other.size) > (modified(other), one.size)
}

impl<'a> Placing<'a> {
    fn set(&mut self, place: usize, start: Start, weight: Weight, words: impl Into<String>, row: Option<&'a OldRow>) {
        self.starts[place] = Some(Begin { start, weight, words: words.into(), row });
    }

    fn line_ends(&self, file: &Found, position: u64) -> bool {
        (self.ends_line)(&file.path, position).unwrap_or(false)
    }

    /// Finds the file of one row.
    fn place_row(&mut self, row: &'a OldRow, newest: &OldRow) {
        let Some((place, how)) = self.find(row) else {
            return self.without_file(row, newest);
        };
        if self.starts[place].is_some() {
            // A newer row is about the same file, under another name.
            return;
        }
        let file = &self.seen[place].file;
        let moved = if file.path == row.path { String::new() } else { format!(", which was {}", shown(&row.path)) };
        if row.updated > 0 && born_after(file, row.updated) {
            let words = format!("its inode belongs to {} now, which was born later", shown(&file.path));
            return self.lost(row, newest, words);
        }
        if file.size < row.offset {
            let words = format!(
                "read from its beginning: it was cut to {} since byte {} was accepted{moved}",
                counted(file.size, "byte"),
                row.offset
            );
            self.set(place, Start::At(0), Weight::Differs, words, Some(row));
            return self.find_copy(row, place);
        }
        if !self.line_ends(file, row.offset) {
            let words = format!(
                "read from its beginning: no line ends at byte {}, so other content has taken the place of what was accepted{moved}; \
                 lines may be sent a second time",
                row.offset
            );
            return self.set(place, Start::At(0), Weight::Differs, words, Some(row));
        }
        let weight = if how.is_empty() { Weight::Same } else { Weight::Differs };
        let words = format!("goes on at byte {} of {}{moved}{how}", row.offset, file.size);
        self.set(place, Start::At(row.offset), weight, words, Some(row));
    }

    /// The file of a row, and what is doubtful about it.
    fn find(&self, row: &OldRow) -> Option<(usize, &'static str)> {
        let position =
            |test: &dyn Fn(&Found) -> bool| self.seen.iter().position(|seen| !seen.file.packed && test(&seen.file));
        if let Some((device, inode)) = row.file {
            if let Some(place) = position(&|file| (file.key.device, file.key.inode) == (device, inode)) {
                return Some((place, ""));
            }
            if let Some(place) =
                position(&|file| file.key.inode == inode && file.path == row.path && file.size >= row.offset)
            {
                return Some((place, "; its device has another number now"));
            }
        }
        // A copy of the disk keeps names and times, and gives other inodes.
        position(&|file| {
            file.path == row.path && row.modified > 0 && modified(file) == row.modified && file.size >= row.offset
        })
        .map(|place| (place, "; it is known by its path and its time alone, as after a copy of the disk"))
    }

    fn without_file(&mut self, row: &OldRow, newest: &OldRow) {
        let name = row.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let archives: Vec<String> = self
            .seen
            .iter()
            .filter(|seen| seen.file.packed && modified(&seen.file) + TICK >= row.modified)
            .filter(|seen| seen.file.path.file_name().is_some_and(|other| other.to_string_lossy().starts_with(&name)))
            .map(|seen| shown(&seen.file.path).to_string())
            .collect();
        let words = match archives.as_slice() {
            [] => "no file has its identity: it was deleted, compressed or moved to another folder".to_owned(),
            archives => format!("no file has its identity; perhaps it was compressed: look at {}", archives.join(", ")),
        };
        self.lost(row, newest, words);
    }

    fn lost(&mut self, row: &OldRow, newest: &OldRow, words: String) {
        let (weight, words) = match row == newest {
            true => (Weight::Differs, format!("{words}; what it held after byte {} is not sent", row.offset)),
            false => (Weight::Same, format!("{words}; the Kinesis Agent had gone on to other files after it")),
        };
        self.unplaced.push(Unplaced { row: row.clone(), weight, words });
    }

    /// A file that was cut may have been copied before: then the copy holds what was not read.
    fn find_copy(&mut self, row: &'a OldRow, cut: usize) {
        let live = row.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = live.split('.').next().unwrap_or_default().to_owned();
        let mut copies: Vec<usize> = (0..self.seen.len())
            .filter(|place| *place != cut && self.starts[*place].is_none())
            .filter(|place| {
                let file = &self.seen[*place].file;
                let name = file.path.file_name().unwrap_or_default().to_string_lossy();
                let named = !stem.is_empty() && name.starts_with(&stem);
                named && !file.packed && file.size >= row.offset.max(row.size) && modified(file) + TICK >= row.modified
            })
            .collect();
        copies.sort_by_key(|place| self.seen[*place].file.modified);
        if let Some(copy) = copies.into_iter().find(|place| self.line_ends(&self.seen[*place].file, row.offset)) {
            let words = format!(
                "goes on at byte {}: it looks like the copy made before {} was cut",
                row.offset,
                shown(&row.path)
            );
            self.set(copy, Start::At(row.offset), Weight::Differs, words, Some(row));
        }
    }

    /// Files that were left for a newer one were read to their end: of the last batch of a file only the position in the
    /// next file was saved. That holds for what was written before the next file began.
    fn finish_siblings(&mut self, resumed: Option<usize>) {
        let Some(resumed) = resumed.map(|place| &self.seen[place].file) else { return };
        for (seen, begin) in self.seen.iter().zip(&mut self.starts) {
            let Some(begin) = begin else { continue };
            let (Start::At(offset), Some(_)) = (begin.start, begin.row) else { continue };
            let behind = seen.file.size.saturating_sub(offset);
            if seen.file.key == resumed.key || behind == 0 || offset == 0 || newer(&seen.file, resumed) {
                continue;
            }
            if resumed.key.born > 0 && seen.file.modified < resumed.key.born {
                begin.start = Start::LastLine;
                begin.words = format!(
                    "read to its end: its last {} went out with the first lines of a later file",
                    counted(behind, "byte")
                );
            } else {
                begin.weight = Weight::Differs;
                begin
                    .words
                    .push_str("; it was written to after a later file began, so some lines may be sent a second time");
            }
        }
    }

    /// Files of which nothing was saved.
    fn place_rest(&mut self, newest: &'a OldRow, resumed: Option<usize>) {
        let since = newest.updated;
        let live_is_there = resumed.is_some_and(|place| self.seen[place].matches);
        for place in 0..self.seen.len() {
            let Seen { file, matches, rotation } = &self.seen[place];
            if self.starts[place].is_some() {
                continue;
            }
            let unseen = born_after(file, since) || (file.key.born == 0 && modified(file) > since + TICK);
            if !matches {
                // Under a name that is spelled out, files came and went while nobody looked.
                if *rotation && !live_is_there && !file.packed && unseen {
                    let words = "read from its beginning: it was rotated after the last position was saved";
                    self.set(place, Start::At(0), Weight::Same, words, None);
                }
            } else if file.packed {
                self.set(
                    place,
                    Start::Known,
                    Weight::Same,
                    "an archive; the Kinesis Agent never read archives, so it is not read",
                    None,
                );
            } else if unseen {
                self.set(
                    place,
                    Start::At(0),
                    Weight::Same,
                    "read from its beginning: it is younger than the last position",
                    None,
                );
            } else if modified(file) > since + TICK {
                let words = "read from its beginning: it was written to after the last position was saved, and how far it was sent is \
                             not known; lines may be sent a second time";
                self.set(place, Start::At(0), Weight::Differs, words, None);
            } else if resumed.is_some_and(|resumed| newer(file, &self.seen[resumed].file)) {
                self.set(
                    place,
                    Start::At(0),
                    Weight::Same,
                    "read from its beginning: the Kinesis Agent would read it next",
                    None,
                );
            } else {
                let words =
                    "not read again: it is older than the last position, and the Kinesis Agent would not go back to it";
                self.set(place, Start::LastLine, Weight::Same, words, None);
            }
        }
    }
}

#[cfg(test)]
mod tests;
