//! The new configuration and the imported positions on disk.
//! Promises that positions are saved before the configuration that needs them, that no file is replaced without being
//! kept under another name, and that a position of ours that is newer than theirs stays.
//! Leaves judging what is written to `prepare`.

use super::{Migration, text};
use crate::checkpoint::{self, Store};
use crate::config::Plan;
use crate::saved::SavedContent;
use datalake_base::record::FileKey;
use datalake_base::shown::shown;
use datalake_base::units::counted;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Why it was not written, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Our state folder cannot be used, or an agent runs on it.
    #[error(transparent)]
    State(#[from] checkpoint::Error),
    /// A file or folder cannot be written.
    #[error("{} cannot be written: {source}; positions may be saved already, which harms nothing: mend it and run this again", shown(&path))]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What was written.
#[derive(Debug, Default)]
pub struct Written {
    /// One line for each act, for the operator.
    pub acts: Vec<String>,
}

/// Saves positions, then writes the configuration. `now` is milliseconds since 1970.
///
/// # Errors
/// When the state folder is in use or cannot be written, before anything is written; when a file cannot be written.
pub fn write(migration: &Migration, plan: &Plan, config: &Path, now: u64) -> Result<Written, WriteError> {
    let mut written = Written::default();
    save(migration, plan, now, &mut written)?;
    let folder = config.parent().unwrap_or(Path::new(""));
    let mut files = migration.files.iter();
    // The main file last: as long as it is not there, no agent starts on a part of the flows.
    let main = files.next();
    for file in files {
        put(&folder.join(&file.name), &text(file), &mut written)?;
    }
    if let Some(main) = main {
        put(config, &text(main), &mut written)?;
    }
    Ok(written)
}

fn save(migration: &Migration, plan: &Plan, now: u64, written: &mut Written) -> Result<(), WriteError> {
    let Some(Ok(positions)) = &migration.positions else { return Ok(()) };
    let folder = &plan.state_directory;
    let owner = std::fs::metadata(folder).ok().map(|metadata| (metadata.uid(), metadata.gid()));
    let (mut store, remembered) = Store::open(folder, &positions.update.started, now)?;
    let by_file = |saved: &SavedContent| {
        let place = saved.row.places.first()?;
        let file = FileKey { device: place.key.device, inode: place.key.inode, born: place.key.born };
        Some(((saved.stream.to_string(), file), saved.saved_at))
    };
    let ours: BTreeMap<(String, FileKey), u64> = remembered.contents.iter().filter_map(by_file).collect();
    let (kept, taken): (Vec<_>, Vec<_>) = positions.update.positions.iter().cloned().partition(|row| {
        let file = (row.stream.clone(), row.file);
        let updated = positions.updated.get(&file).copied().unwrap_or(0);
        ours.get(&file).is_some_and(|saved_at| *saved_at >= updated)
    });
    let started = positions.update.started.clone();
    let act = format!("saved {} in {}", counted(taken.len(), "position"), shown(&folder));
    store.import(taken, started, &remembered)?;
    drop(store);
    written.acts.push(act);
    if !kept.is_empty() {
        written.acts.push(format!("kept {} that this agent had saved later itself", counted(kept.len(), "position")));
    }
    // The agent may be another user than whoever moves it.
    if let Some((user, group)) = owner.filter(|_| rustix::process::geteuid().is_root()) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_file() {
                std::os::unix::fs::chown(&path, Some(user), Some(group))
                    .map_err(|source| WriteError::File { path, source })?;
            }
        }
    }
    Ok(())
}

/// Writes one file as a whole; what was there is kept beside it.
fn put(path: &Path, text: &str, written: &mut Written) -> Result<(), WriteError> {
    let failed = |source: io::Error| WriteError::File { path: path.to_owned(), source };
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        written.acts.push(format!("{} is as it should be", shown(&path)));
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::DirBuilder::new().recursive(true).mode(0o750).create(folder).map_err(failed)?;
    let there = std::fs::metadata(path).ok();
    let owner = there.as_ref().map_or_else(|| std::fs::metadata(folder), |there| Ok(there.clone())).map_err(failed)?;
    let new = path.with_extension("json.new");
    std::fs::remove_file(&new).ok();
    let mode = there.as_ref().map_or(0o640, |there| there.mode() & 0o770);
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&new, Some(owner.uid()), Some(owner.gid())).map_err(failed)?;
    }
    if there.is_some() {
        let kept = kept_name(path);
        std::fs::hard_link(path, &kept).or_else(|_| std::fs::copy(path, &kept).map(|_bytes| ())).map_err(failed)?;
        written.acts.push(format!("{} is kept as {}", shown(&path), shown(&kept)));
    }
    std::fs::rename(&new, path).map_err(failed)?;
    written.acts.push(format!("wrote {}", shown(&path)));
    Ok(())
}

/// A name beside it that nobody has yet and that no agent reads.
fn kept_name(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let numbered = |number: u32| match number {
        1 => path.with_file_name(format!("{name}.orig")),
        _ => path.with_file_name(format!("{name}.{number}.orig")),
    };
    (1..).map(numbered).find(|kept| !kept.exists()).unwrap_or_else(|| numbered(1))
}
