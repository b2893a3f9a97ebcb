//! What a flow's patterns match on disk now, for people: nothing is followed or remembered, and opened only on demand.
//! Promises an end, however many files there are, and to say why nothing matches.
//! Leaves judging it to the commands.

use super::access::{self, Obstacle, User};
use super::discover::{Folders, Pattern};
use super::walk::{Trouble, Walker};
use super::{OwnFiles, Settings};
use datalake_base::record::FileKey;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// More entries than this are not looked at.
const MOST_ENTRIES: usize = 100_000;
/// Files that cannot be read are named up to this number.
const MOST_NAMED: usize = 10;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// Files that match.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// The file written last, and when, in milliseconds since 1970.
    pub newest: Option<(PathBuf, u64)>,
    /// Which files: device, inode and birth.
    pub keys: BTreeSet<FileKey>,
    /// Files of the agent itself among what matches.
    pub own: Vec<PathBuf>,
    /// What keeps this user from reading, each thing once.
    pub closed: Vec<Obstacle>,
    /// Whether there were more entries than are looked at.
    pub cut: bool,
    /// Folders that are watched for it.
    pub folders: usize,
    /// Patterns that match nothing, and why.
    pub misses: Vec<(Pattern, Miss)>,
}

/// Why a pattern matches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Miss {
    /// This folder is not there.
    NoFolder(PathBuf),
    /// The pattern names this folder.
    IsFolder(PathBuf),
    /// The folders are there, and no file in them matches.
    NoFile,
}

/// Looks at what the patterns match, as this user may.
#[must_use]
pub fn survey(include: &[Pattern], exclude: &[Pattern], own: &OwnFiles, user: &User) -> Survey {
    let mut survey = Survey::default();
    let mut seen = BTreeSet::new();
    for pattern in include {
        let closed = survey.closed.len();
        let folders = pattern.folders();
        survey.folders += folders.leaves.union(&folders.branches).count();
        let mut hits = 0;
        for folder in &folders.leaves {
            hits += survey.look(folder, pattern, exclude, own, user, &mut seen);
        }
        // Where something is closed, nobody knows what it holds.
        if hits == 0 && survey.closed.len() == closed && !survey.cut {
            survey.misses.push((pattern.clone(), miss(pattern, &folders)));
        }
    }
    survey
}

impl Survey {
    /// Looks into a folder; answers how many files in it match, those that were seen before included.
    fn look(
        &mut self,
        folder: &Path,
        pattern: &Pattern,
        exclude: &[Pattern],
        own: &OwnFiles,
        user: &User,
        seen: &mut BTreeSet<PathBuf>,
    ) -> usize {
        let Ok(entries) = std::fs::read_dir(folder) else {
            self.note(access::obstacle(folder, user));
            return 0;
        };
        let mut hits = 0;
        // Asked once a folder: a hundred thousand paths are not followed one by one, unless they are links.
        let is_own = own.hold_folder(folder);
        for entry in entries.flatten() {
            let path = entry.path();
            if seen.len() >= MOST_ENTRIES {
                self.cut = true;
                break;
            }
            if !pattern.covers(&path) || exclude.iter().any(|pattern| pattern.matches(&path)) {
                continue;
            }
            let Ok(metadata) = path.metadata() else { continue };
            if !metadata.is_file() {
                continue;
            }
            hits += 1;
            if !pattern.matches(&path) || !seen.insert(path.clone()) {
                continue;
            }
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            let is_own =
                if is_link { own.hold_path(&path) } else { is_own || own.hold(metadata.dev(), metadata.ino()) };
            if is_own {
                self.own.push(path);
                continue;
            }
            self.files += 1;
            self.bytes += metadata.len();
            self.keys.insert(FileKey { device: metadata.dev(), inode: metadata.ino(), born: born(&metadata) });
            self.note(access::obstacle(&path, user));
            let changed = u64::try_from(metadata.mtime()).unwrap_or(0).saturating_mul(1000);
            if self.newest.as_ref().is_none_or(|(_, newest)| *newest < changed) {
                self.newest = Some((path, changed));
            }
        }
        hits
    }

    fn note(&mut self, obstacle: Option<Obstacle>) {
        let Some(obstacle) = obstacle else { return };
        if self.closed.len() < MOST_NAMED && !self.closed.contains(&obstacle) {
            self.closed.push(obstacle);
        }
    }
}

/// The paths that match, without the agent's own files, as a flow would list them; no more than are looked at.
#[must_use]
pub fn paths(settings: &Settings) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    for pattern in &settings.include {
        let folders = pattern.folders();
        let entries = folders.leaves.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        let paths = entries.map(|entry| entry.path());
        let matching = paths.filter(|path| {
            pattern.matches(path)
                && !settings.exclude.iter().any(|pattern| pattern.matches(path))
                && path.metadata().is_ok_and(|metadata| metadata.is_file())
                && !settings.own.hold_path(path)
        });
        found.extend(matching.take(MOST_ENTRIES.saturating_sub(found.len())));
    }
    found.into_iter().collect()
}

/// Opens a file as a flow would: the links on its way are judged, and nothing but a regular file is opened.
///
/// # Errors
/// When it cannot be opened, or a flow would refuse to.
pub fn open(settings: &Settings, path: &Path) -> io::Result<File> {
    let walker = Walker { follow: settings.follow_links, own: settings.own.clone() };
    walker.open(path).map(|(file, _)| file).map_err(|trouble| match trouble {
        Trouble::Denied(error) => error,
        Trouble::Refused(refusal) => io::Error::other(refusal.to_string()),
        Trouble::Other => io::Error::other("it is no regular file"),
        Trouble::Elsewhere => io::ErrorKind::NotFound.into(),
    })
}

fn born(metadata: &std::fs::Metadata) -> u64 {
    let born = metadata.created().ok().and_then(|born| born.duration_since(std::time::UNIX_EPOCH).ok());
    born.map_or(0, |born| u64::try_from(born.as_nanos()).unwrap_or(0))
}

/// Why the pattern matches nothing.
fn miss(pattern: &Pattern, folders: &Folders) -> Miss {
    if let Some(path) = pattern.literal()
        && path.is_dir()
    {
        return Miss::IsFolder(path.to_owned());
    }
    if folders.leaves.is_empty()
        && let Some(missing) = pattern.first_missing()
    {
        return Miss::NoFolder(missing);
    }
    Miss::NoFile
}
