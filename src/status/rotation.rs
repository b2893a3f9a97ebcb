//! When rotation takes away what was not read: out of the rotated files that lie there now.
//! Promises an estimate that rather warns too early, and none before two rotations were seen.
//! Leaves reading the folders of what is asked for to the caller's thread.

use datalake_tail::names;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Names that are looked at in one folder.
const MOST_NAMES: usize = 100_000;
/// Folders beside a file into which rotation commonly moves it.
const USUAL: [&str; 5] = ["rotated", "old", "archive", "../rotated", "../old"];
/// Fewer rotations say nothing about their pace.
const LEAST: usize = 2;

/// When unread bytes are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Nothing waits.
    Nothing,
    /// Fewer than two rotated files were found.
    Unknown,
    /// In about so long, if nothing more is delivered.
    In(Duration),
}

/// Rotated files of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotated {
    /// When each was written last, in milliseconds since 1970, the newest first.
    pub changed: Vec<u64>,
}

impl Rotated {
    /// Looks for rotated files of this live file, where rotation may have put them.
    #[must_use]
    pub fn of(live: &Path, rotated_to: &[PathBuf]) -> Self {
        let (Some(folder), Some(name)) = (live.parent(), live.file_name()) else { return Self::default() };
        let usual = USUAL.iter().map(|other| folder.join(other));
        let folders = std::iter::once(folder.to_owned()).chain(usual).chain(rotated_to.iter().cloned());
        // One folder may have several names here.
        let folders: BTreeSet<PathBuf> = folders.filter_map(|folder| folder.canonicalize().ok()).collect();
        let mut changed: Vec<u64> =
            folders.into_iter().flat_map(|folder| in_folder(&folder, name.as_bytes())).collect();
        changed.sort_unstable_by(|one, other| other.cmp(one));
        Self { changed }
    }

    /// When a content is deleted that was written last at `written` (0: it is the live file), all in milliseconds since 1970.
    #[must_use]
    pub fn loss(&self, written: u64, now: u64) -> Loss {
        let (Some(newest), Some(oldest)) = (self.changed.first(), self.changed.last()) else { return Loss::Unknown };
        if self.changed.len() < LEAST {
            return Loss::Unknown;
        }
        let count = self.changed.len() as u64;
        let interval = (newest - oldest) / (count - 1);
        // As many as lie there are kept: a file is deleted that many rotations after it was rotated itself.
        let kept = interval * count;
        let age = if written == 0 { 0 } else { now.saturating_sub(written) };
        Loss::In(Duration::from_millis(kept.saturating_sub(age)))
    }
}

fn in_folder(folder: &Path, live: &[u8]) -> Vec<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().take(MOST_NAMES).flatten();
    let kin = entries.filter(|entry| names::is_kin(live, entry.file_name().as_bytes()));
    let changed = |entry: std::fs::DirEntry| {
        let status = entry.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let since = status.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    };
    kin.filter_map(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;

    #[test]
    fn what_waits_is_lost_after_as_many_rotations_as_are_kept() {
        let now = 100 * HOUR;
        let rotated = Rotated { changed: vec![99 * HOUR, 98 * HOUR, 97 * HOUR] };
        let hours = |hours: u64| Loss::In(Duration::from_millis(hours * HOUR));
        assert_eq!(rotated.loss(0, now), hours(3), "the live file");
        assert_eq!(rotated.loss(99 * HOUR, now), hours(2));
        assert_eq!(rotated.loss(97 * HOUR, now), hours(0), "the next rotation takes it");
        assert_eq!(rotated.loss(90 * HOUR, now), hours(0));
    }

    #[test]
    fn fewer_than_two_rotations_say_nothing() {
        assert_eq!(Rotated::default().loss(0, 5), Loss::Unknown);
        assert_eq!(Rotated { changed: vec![7] }.loss(0, 50), Loss::Unknown);
        assert_eq!(Rotated { changed: vec![7, 7] }.loss(0, 50), Loss::In(Duration::ZERO), "twice in a moment");
    }

    #[test]
    fn rotated_files_are_found_by_name_beside_the_file_and_where_rotation_moves_them() {
        let folder = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        for name in ["app.log", "app.log.1", "app.log.2.gz", "other.log.1", "old/app.log.3"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        std::fs::write(elsewhere.path().join("app.log-20261121"), "x").unwrap();
        let found = Rotated::of(&folder.path().join("app.log"), &[elsewhere.path().to_owned()]);
        assert_eq!(found.changed.len(), 4, "{found:?}");
        assert!(found.changed.is_sorted_by(|one, other| one >= other));
    }
}
