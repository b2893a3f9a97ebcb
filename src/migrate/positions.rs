//! The positions of all flows among the files on disk, as rows for our checkpoint.
//! Promises a row for each file that has a place, with evidence taken from the file as it stands.
//! Leaves deciding about places to `place`, and saving to the checkpoint.

use super::checkpoints::{OldPositions, OldRow};
use super::notes::Weight;
use super::place::{self, Placement, Seen, Unplaced};
use super::translate::OldFlow;
use crate::config::FlowPlan;
use crate::saved::SavedPosition;
use crate::source::file::import::{self, Found};
use datalake_base::record::FileKey;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many names are looked at for a file that left its folder.
const MOST_NAMES: usize = 50_000;

/// What became of all positions.
#[derive(Debug, Default)]
pub struct Positions {
    /// Flow by flow, in the order of the configuration.
    pub flows: Vec<FlowPositions>,
    /// Flows with saved positions that are not configured, and how many rows each has.
    pub foreign: BTreeMap<String, usize>,
    /// Rows that cannot be understood.
    pub odd: Vec<String>,
    /// What is to be saved.
    pub update: Imported,
    /// When each of its rows was saved there, in milliseconds since 1970; 0 where none was.
    pub updated: BTreeMap<(String, FileKey), u64>,
}

/// What is to be saved of it in our checkpoint.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Positions of files.
    pub positions: Vec<SavedPosition>,
    /// Pairs of stream and pattern that count as started.
    pub started: Vec<(String, String)>,
}

/// The positions of one flow.
#[derive(Debug)]
pub struct FlowPositions {
    /// Its name there.
    pub id: String,
    /// Its name here.
    pub name: String,
    /// Its destination, as our checkpoint names it.
    pub stream: String,
    /// The newest row, by which the Kinesis Agent would go on.
    pub newest: Option<OldRow>,
    /// What was decided.
    pub placement: Placement,
}

/// Places everything. `now` is milliseconds since 1970.
#[must_use]
pub fn gather(old: &[OldFlow], plans: &[Arc<FlowPlan>], positions: OldPositions, now: u64) -> Positions {
    let mut by_flow: BTreeMap<String, Vec<OldRow>> = BTreeMap::new();
    for row in positions.rows {
        by_flow.entry(row.flow.clone()).or_default().push(row);
    }
    let mut all = Positions { odd: positions.odd, ..Positions::default() };
    let mut rows: BTreeMap<(String, FileKey), SavedPosition> = BTreeMap::new();
    for (flow, plan) in old.iter().zip(plans) {
        let old_rows = by_flow.remove(&flow.id).unwrap_or_default();
        let seen = look(flow, plan, &old_rows);
        let ends_line = |path: &Path, position: u64| import::ends_line(path, position).ok();
        let mut placement = place::place(&old_rows, &seen, &ends_line);
        let stream = plan.source.stream.clone();
        save(&flow.folder, &stream, &mut placement, now, &mut rows, &mut all.updated);
        if placement.started {
            let patterns = plan.source.include.iter().map(|pattern| (stream.clone(), pattern.as_str().to_owned()));
            all.update.started.extend(patterns);
        }
        let newest =
            old_rows.into_iter().max_by(|one, other| (one.updated, &other.path).cmp(&(other.updated, &one.path)));
        all.flows.push(FlowPositions { id: flow.id.clone(), name: plan.name.clone(), stream, newest, placement });
    }
    all.foreign = by_flow.into_iter().map(|(flow, rows)| (flow, rows.len())).collect();
    all.update.positions = rows.into_values().collect();
    all
}

/// Makes the rows of one flow; a file that cannot be read becomes a position without a file.
fn save(
    folder: &Path,
    stream: &str,
    placement: &mut Placement,
    now: u64,
    rows: &mut BTreeMap<(String, FileKey), SavedPosition>,
    updated: &mut BTreeMap<(String, FileKey), u64>,
) {
    for placed in std::mem::take(&mut placement.placed) {
        match import::row(stream, &placed.file, placed.start, now) {
            Ok(row) => {
                let key = (stream.to_owned(), row.file);
                // Two flows with one file and one stream: the earlier position loses nothing.
                if rows.get(&key).is_none_or(|known| row.position < known.position) {
                    updated.insert(key.clone(), placed.updated);
                    rows.insert(key, row);
                }
                let mut placed = placed;
                if placed.file.path.parent() != Some(folder) {
                    placed.weight = Weight::Differs;
                    placed.words.push_str(
                        "; it lies outside of the flow's folder: its rest is sent only when its path is added to `filePattern`",
                    );
                }
                placement.placed.push(placed);
            }
            Err(error) => placement.unplaced.push(Unplaced {
                row: OldRow {
                    flow: String::new(),
                    path: placed.file.path.clone(),
                    file: None,
                    modified: 0,
                    size: placed.file.size,
                    offset: 0,
                    updated: 0,
                },
                weight: Weight::Blocks,
                words: format!("the file cannot be read: {error}; run this as a user who may"),
            }),
        }
    }
}

/// The files that the flow and its rows may be about.
fn look(flow: &OldFlow, plan: &FlowPlan, rows: &[OldRow]) -> Vec<Seen> {
    let spelled_out: Vec<&Path> = plan
        .source
        .include
        .iter()
        .map(|pattern| pattern.as_str())
        .filter(|text| !text.contains(['*', '?', '[', '{', '\\']))
        .map(Path::new)
        .collect();
    let matches = |path: &Path| {
        let any =
            |patterns: &[crate::source::file::discover::Pattern]| patterns.iter().any(|pattern| pattern.matches(path));
        any(&plan.source.include) && !any(&plan.source.exclude)
    };
    let wanted: BTreeSet<u64> = rows.iter().filter_map(|row| row.file).map(|(_, inode)| inode).collect();
    let mut folders: BTreeSet<PathBuf> = rows.iter().filter_map(|row| row.path.parent()).map(Path::to_owned).collect();
    folders.insert(flow.folder.clone());
    let mut seen: BTreeMap<FileKey, Seen> = BTreeMap::new();
    let mut add = |file: Found| {
        let one = Seen {
            matches: matches(&file.path),
            rotation: spelled_out
                .iter()
                .any(|live| live.parent() == file.path.parent() && import::is_rotation(live, &file.path)),
            file,
        };
        let of_interest = one.matches
            || one.rotation
            || one.file.packed
            || wanted.contains(&one.file.key.inode)
            || rows.iter().any(|row| row.path == one.file.path);
        // Of two names of one file the one that the flow reads by counts.
        if of_interest && seen.get(&one.file.key).is_none_or(|known| one.matches && !known.matches) {
            seen.insert(one.file.key, one);
        }
    };
    for folder in &folders {
        for path in names_in(folder) {
            import::found(&path).into_iter().for_each(&mut add);
        }
    }
    let known: BTreeSet<u64> = seen.keys().map(|key| key.inode).collect();
    let missing: BTreeSet<u64> = wanted.difference(&known).copied().collect();
    if !missing.is_empty() {
        for file in moved(&folders, &missing) {
            let one = Seen { matches: matches(&file.path), rotation: false, file };
            seen.entry(one.file.key).or_insert(one);
        }
    }
    seen.into_values().collect()
}

/// Files with these inodes below the folders and in the folders beside them.
fn moved(folders: &BTreeSet<PathBuf>, inodes: &BTreeSet<u64>) -> Vec<Found> {
    use std::os::unix::fs::DirEntryExt;
    let mut waiting: Vec<(PathBuf, u32)> = Vec::new();
    for folder in folders {
        waiting.push((folder.clone(), 2));
        // A folder for old logs often lies beside that of the live ones.
        if let Some(parent) = folder.parent().filter(|parent| parent.parent().is_some()) {
            waiting.push((parent.to_owned(), 1));
        }
    }
    let (mut found, mut looked) = (Vec::new(), 0);
    while let Some((folder, deeper)) = waiting.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            looked += 1;
            if looked > MOST_NAMES {
                return found;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && deeper > 0 => waiting.push((entry.path(), deeper - 1)),
                Ok(kind) if kind.is_file() && inodes.contains(&entry.ino()) => {
                    found.extend(import::found(&entry.path()))
                }
                _ => {}
            }
        }
    }
    found
}

fn names_in(folder: &Path) -> Vec<PathBuf> {
    // A folder that is not there holds nothing; of one that may not be read the rows become positions without files.
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
