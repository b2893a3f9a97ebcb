//! The first look of a process: what is remembered meets what is there.
//! Promises that `initialPosition` decides only about files that were there when a pattern was first started.
//! Leaves content that changed meanwhile to the same rules as while running.

use super::InitialPosition;
use super::discover::{Pattern, folder_of, name_of};
use super::identity;
use super::names;
use super::reconcile::Seen;
use super::strand::{Id, Role, Standing, Strand};
use super::stream::{CLOCK_LAG, Incident, Stream, World, family_of};
use datalake_base::record::{CheckpointUpdate, Fingerprint, Position, Remembered};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is known during the first look.
pub(super) struct FirstLook {
    /// The patterns that were started before.
    started: BTreeSet<String>,
    /// Per folder, when it was last looked at, in milliseconds since 1970.
    looked: HashMap<PathBuf, u64>,
}

/// How far back a line that was begun is looked for.
const LONGEST_SEARCH: u64 = 64 * 1024 * 1024;

impl Stream {
    /// Takes over the rows of this stream.
    pub(super) fn remember(&mut self, remembered: &Remembered, world: &World) {
        let mut flows: HashMap<PathBuf, Option<usize>> = HashMap::new();
        let name = self.name.clone();
        let retired = self.retired(remembered);
        for row in remembered.positions.iter().filter(|row| row.stream == name) {
            let flow = self.flow_of(&row.path).or_else(|| {
                let family = folder_of(&row.path).join(OsStr::from_bytes(&names::family(name_of(&row.path))));
                if self.is_excluded(&row.path) || retired.iter().any(|pattern| pattern.matches(&row.path)) {
                    return self.flow_of(&family);
                }
                // Asked once per family: the answer may need a walk through folders.
                *flows.entry(family).or_insert_with(|| self.flow_of_rotated(&row.path))
            });
            match flow {
                Some(flow) => {
                    let packing = names::packing(name_of(&row.path));
                    let family = family_of(&row.path);
                    let mut strand = Strand::remembered(row, flow, packing, family, world.now);
                    strand.rotated = self.flow_of(&row.path).is_none();
                    let rotation = packing.is_some() || !names::parents(name_of(&row.path)).is_empty();
                    let undecided = rotation && row.position == Position::START;
                    if undecided {
                        strand.role = Role::Candidate { since: world.now, fresh: true };
                    }
                    let id = self.insert(strand);
                    if undecided {
                        self.candidates.push(id);
                        self.doubted.push(id);
                        self.tick_later(id);
                    }
                }
                None => {
                    self.dormant.insert(row.file, row.clone());
                }
            }
        }
    }

    /// Patterns of earlier starts that the configuration no longer has. What only they match is not read any more; what
    /// nobody ever matched was renamed after it was read, and is.
    fn retired(&self, remembered: &Remembered) -> Vec<Pattern> {
        let current: HashSet<&str> =
            self.flows.iter().flat_map(|flow| &flow.settings.include).map(Pattern::as_str).collect();
        let started = remembered.started.iter().filter(|(stream, _)| *stream == self.name);
        started
            .filter(|(_, text)| !current.contains(text.as_str()))
            .filter_map(|(_, text)| Pattern::parse(text).ok())
            .collect()
    }

    /// Looks everywhere for the first time, and places new files as the settings say.
    pub(super) fn begin(&mut self, remembered: &Remembered, world: &mut World, update: &mut CheckpointUpdate) {
        let started: BTreeSet<String> = remembered
            .started
            .iter()
            .filter(|(stream, _)| *stream == self.name)
            .map(|(_, pattern)| pattern.clone())
            .collect();
        self.first_look = Some(FirstLook { started: started.clone(), looked: self.last_looks() });
        self.expect_rotations(world);
        let leaves: Vec<PathBuf> = self.folders.leaves.iter().cloned().collect();
        self.look(&leaves, world);
        // Rows whose whole folder is gone are in no look.
        let elsewhere: Vec<Id> = self
            .strands
            .iter()
            .filter(|(_, strand)| {
                strand.standing == Standing::Present && !self.folders.leaves.contains(folder_of(&strand.place.path))
            })
            .map(|(id, _)| *id)
            .collect();
        for id in elsewhere {
            self.missing(id, world);
        }
        self.first_look = None;
        let new = self.flows.iter().flat_map(|flow| &flow.settings.include).map(|pattern| pattern.as_str());
        let new: BTreeSet<&str> = new.filter(|pattern| !started.contains(*pattern)).collect();
        update.started.extend(new.into_iter().map(|pattern| (self.name.clone(), pattern.to_owned())));
    }

    /// A name that a pattern spells out may have come, been written to and been rotated while nobody looked.
    fn expect_rotations(&mut self, world: &World) {
        let known: HashSet<Arc<Path>> = self.strands.values().map(|strand| strand.place.path.clone()).collect();
        // Of a file of which nothing was settled yet, a header at most is known: too little to tell it from what took its
        // place since then. A rotation born after it was last looked at is news in any case.
        let only_found = self.strands.values().filter(|strand| strand.read == 0);
        self.incidents.extend(only_found.map(|strand| Incident {
            path: strand.place.path.clone(),
            flow: strand.flow,
            strand: Id::MAX,
            since: strand.looked.saturating_sub(CLOCK_LAG.as_millis() as u64).saturating_mul(1_000_000),
            until: world.now,
        }));
        for (flow, settings) in self.flows.iter().map(|flow| &flow.settings).enumerate() {
            let spelled_out = settings.include.iter().filter_map(Pattern::literal);
            for path in spelled_out.filter(|path| !known.contains(*path)) {
                let since = self.last_look_at(folder_of(path), world);
                let until = world.now;
                self.incidents.push(Incident { path: path.into(), flow, strand: Id::MAX, since, until });
            }
        }
    }

    /// Names that only a wildcard matches may have come and gone as well: a rotation of such a name that nobody knows,
    /// born after the last look, was never read.
    pub(super) fn expect_rotations_of(&mut self, new: &[&Seen], world: &World) {
        if self.first_look.is_none() {
            return;
        }
        for seen in new.iter().filter(|seen| seen.flow.is_none() && !self.dormant.contains_key(&seen.status.key)) {
            let folder = folder_of(&seen.path);
            let live = folder.join(OsStr::from_bytes(&names::family(name_of(&seen.path))));
            let expected = self.by_path.contains_key(live.as_path())
                || self.incidents.iter().any(|incident| *incident.path == *live);
            if let Some(flow) = self.flow_of(&live).filter(|_| !expected) {
                let (since, until) = (self.last_look_at(folder, world), world.now);
                self.incidents.push(Incident { path: live.into(), flow, strand: Id::MAX, since, until });
            }
        }
    }

    /// When something in each folder was last looked at, in milliseconds since 1970. Whatever was found before that has
    /// a row: rows of one moment are written together.
    fn last_looks(&self) -> HashMap<PathBuf, u64> {
        let mut looked: HashMap<PathBuf, u64> = HashMap::new();
        for strand in self.strands.values() {
            let newest = looked.entry(folder_of(&strand.place.path).to_owned()).or_default();
            *newest = strand.looked.max(*newest);
        }
        looked
    }

    /// The same for one folder, in nanoseconds since 1970 of the clock that stamps files; now, where nothing was.
    fn last_look_at(&self, folder: &Path, world: &World) -> u64 {
        let looked = self.first_look.as_ref().and_then(|first| first.looked.get(folder)).copied();
        looked.unwrap_or(world.wall).saturating_sub(CLOCK_LAG.as_millis() as u64).saturating_mul(1_000_000)
    }

    /// Whether the file is to be read from its end: it is there at the first start of everything that matches it.
    pub(super) fn skips(&self, path: &Path, flow: usize) -> bool {
        let Some(FirstLook { started, .. }) = &self.first_look else { return false };
        let matching = |pattern: &&Pattern| pattern.matches(path);
        let mut patterns = self.flows.iter().flat_map(|flow| &flow.settings.include).filter(matching);
        self.flows[flow].settings.initial_position == InitialPosition::EndOfFile
            && !patterns.any(|pattern| started.contains(pattern.as_str()))
    }

    /// Places a file that was there before the first start behind its last line.
    pub(super) fn skip_to_end(&mut self, id: Id, world: &mut World) {
        let Some(strand) = self.strands.get(&id) else { return };
        let (path, key) = (strand.place.path.clone(), strand.place.key);
        if strand.place.packing.is_some() {
            if let Some(strand) = self.strands.get_mut(&id) {
                strand.role = Role::Twin;
            }
            self.candidates.retain(|other| *other != id);
            self.recount(id);
            self.mark_dirty(id);
            return;
        }
        if let Ok((file, status, _slot)) = world.descriptors.open(&path, world.now)
            && status.key == key
            && let Ok((position, before, head)) = end_of_last_line(&file, status.size)
            && let Some(strand) = self.strands.get_mut(&id)
        {
            strand.place.look(&status);
            strand.head = head;
            strand.advance(position, before, world.now);
            strand.settle(position);
        }
        self.make_log(id);
    }
}

/// The position after the last newline, the bytes before it and the first bytes, as hashes.
pub(super) fn end_of_last_line(file: &File, size: u64) -> io::Result<(u64, Fingerprint, Fingerprint)> {
    let mut end = size;
    let lowest = size.saturating_sub(LONGEST_SEARCH);
    let position = loop {
        if end <= lowest {
            // No line ends in reach: a whole small file is one begun line; in a large one nothing else is to be had.
            break if lowest == 0 { 0 } else { size };
        }
        let bytes = identity::bytes_before(file, end)?;
        if bytes.is_empty() {
            break end;
        }
        if let Some(newline) = memchr::memrchr(b'\n', &bytes) {
            break end - (bytes.len() - newline - 1) as u64;
        }
        end -= bytes.len() as u64;
    };
    let before = Fingerprint::of(&identity::bytes_before(file, position)?);
    Ok((position, before, Fingerprint::of(&identity::head_bytes(file)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_after_the_last_newline_wherever_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(5_000);
        for (content, position) in [
            (String::new(), 0),
            ("one\ntwo\n".into(), 8),
            ("one\ntwo".into(), 4),
            ("begun".into(), 0),
            (format!("one\n{long}"), 4),
            (long.clone(), 0),
        ] {
            std::fs::write(file.path(), &content).unwrap();
            let found = end_of_last_line(&File::open(file.path()).unwrap(), content.len() as u64).unwrap();
            assert_eq!(found.0, position, "{} bytes", content.len());
        }
    }
}
