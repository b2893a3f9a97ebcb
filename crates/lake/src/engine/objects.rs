//! Objects below the folder of the lake: which there are, and whether they are whole.
//! Promises that an object which was looked through once is not looked through again while its size and time stay.
//! Leaves what is in them to the engine.

use crate::Exit;
use crate::config::Lake;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Where is kept which objects are whole; a hidden file, which no table reads.
const WHOLE: &str = ".datalake-whole";
/// Maximum number of lines that are kept; then the file begins anew.
const MOST_KEPT: usize = 1_000_000;

/// One object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Below the folder of the lake.
    pub path: PathBuf,
    /// Its partition, such as `2026-03-01-00`.
    pub partition: String,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since 1970.
    pub written_ms: u64,
}

/// The objects of a table, by path.
///
/// # Errors
/// When a folder that is there cannot be listed.
pub fn list(root: &Path, prefix: &str) -> Result<Vec<Object>, Exit> {
    let mut objects = Vec::new();
    for (folder, partition) in partitions(root, prefix)? {
        objects.extend(list_partition(root, &folder, &partition)?);
    }
    objects.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(objects)
}

/// The objects of all tables.
///
/// # Errors
/// When a folder that is there cannot be listed.
pub fn list_all(lake: &Lake) -> Result<Vec<Object>, Exit> {
    let mut all = Vec::new();
    for table in lake.tables.values() {
        all.extend(list(&lake.root, &table.prefix)?);
    }
    Ok(all)
}

/// The folders of a table's partitions, and what these are called.
///
/// # Errors
/// When a folder that is there cannot be listed.
pub fn partitions(root: &Path, prefix: &str) -> Result<BTreeMap<PathBuf, String>, Exit> {
    let partition = |(folder, name): (PathBuf, String)| Some((folder, name.strip_prefix("dt=")?.to_owned()));
    Ok(entries(&root.join(prefix))?.into_iter().filter_map(partition).collect())
}

/// The objects of one partition, by path.
///
/// # Errors
/// When a folder that is there cannot be listed.
pub fn list_partition(root: &Path, folder: &Path, partition: &str) -> Result<Vec<Object>, Exit> {
    let mut objects = Vec::new();
    for (path, name) in entries(folder)? {
        let Ok(metadata) = path.metadata() else { continue };
        if name.starts_with('.') || !name.ends_with(".gz") || !metadata.is_file() {
            continue;
        }
        let written = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        objects.push(Object {
            path: path.strip_prefix(root).unwrap_or(&path).to_owned(),
            partition: partition.to_owned(),
            size: metadata.len(),
            written_ms: written.map_or(0, |written| u64::try_from(written.as_millis()).unwrap_or(u64::MAX)),
        });
    }
    Ok(objects)
}

/// What is in a folder; nothing where there is none.
fn entries(folder: &Path) -> Result<BTreeMap<PathBuf, String>, Exit> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(Exit::Failed(format!("cannot list {}: {error}", folder.display()))),
    };
    let name = |entry: std::fs::DirEntry| Some((entry.path(), entry.file_name().into_string().ok()?));
    Ok(entries.flatten().filter_map(name).collect())
}

/// Looks through objects that were not looked through before; the first that is no whole gzip is an error. DuckDB would
/// take the beginning of it and say nothing.
///
/// # Errors
/// The name of an object that is truncated or damaged, and what to do.
pub fn prove_whole<'a>(root: &Path, objects: impl Iterator<Item = &'a Object>) -> Result<(), Exit> {
    let kept = root.join(WHOLE);
    let text = std::fs::read_to_string(&kept).unwrap_or_default();
    let known: HashSet<&str> = text.lines().take(MOST_KEPT).collect();
    let mut fresh = String::new();
    let done = objects.into_iter().try_for_each(|object| {
        let line = format!("{} {} {}", object.size, object.written_ms, object.path.display());
        if !known.contains(line.as_str()) {
            whole(&root.join(&object.path)).map_err(|reason| damaged(object, &reason))?;
            fresh.push_str(&line);
            fresh.push('\n');
        }
        Ok(())
    });
    if !fresh.is_empty() {
        let old = if known.len() >= MOST_KEPT { "" } else { text.as_str() };
        // A lake that cannot be written to is only slower.
        drop(std::fs::write(&kept, format!("{old}{fresh}")));
    }
    done
}

fn damaged(object: &Object, reason: &str) -> Exit {
    let path = object.path.display();
    Exit::Failed(format!(
        "the object {path} is truncated or damaged ({reason}); restore it, or move it out of the lake, and ask again"
    ))
}

/// Reads to the end, and through the checksum there.
fn whole(path: &Path) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut unpacked = flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file));
    let mut buffer = vec![0; 1 << 16];
    loop {
        match unpacked.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// Writes rows to a packed object whole or not at all.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, lines: &[u8]) -> Result<(), Exit> {
    let cannot = |error: std::io::Error| Exit::Failed(format!("cannot write {}: {error}", path.display()));
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    let packed = packed.write_all(lines).and_then(|()| packed.finish()).map_err(cannot)?;
    write_plain(path, &packed)
}

/// Writes a file whole or not at all, and the folders that it lies in.
///
/// # Errors
/// When it cannot be written.
pub fn write_plain(path: &Path, bytes: &[u8]) -> Result<(), Exit> {
    let cannot = |error: std::io::Error| Exit::Failed(format!("cannot write {}: {error}", path.display()));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(cannot)?;
    }
    let mut file = File::create(&beside).map_err(cannot)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(cannot)?;
    std::fs::rename(&beside, path).map_err(cannot)
}
